"""Rotations of joints: exponential maps, their matrices, and the Euler angles that human motion is scored in."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from seqdyn.arrays import Array

LOCKED = 1e-7
"""Where cos E₂ is below this, E₁ and E₃ turn about the same axis, and E₃ is set to 0."""


def rotation_matrices(maps: Any) -> Array:
    """The matrices of exponential maps: R = I + sin θ K + (1 − cos θ) K².

    θ = ‖r‖ is the angle, r / θ = (x, y, z) the axis, K = [0 −z y; z 0 −x; −y x 0].

    Parameters
    ----------
    maps : array, shape (…, 3)
        r, the axis times the angle, rad.

    Returns
    -------
    array, shape (…, 3, 3)

    Raises
    ------
    ValueError
        If the last axis has not three entries, or one is NaN or infinite.

    References
    ----------
    Grassia (1998), Practical parameterization of rotations using the exponential map, equation 1.

    Examples
    --------
    >>> rotation_matrices([0.0, 0.0, np.pi / 2]).round(3) + 0.0
    array([[ 0., -1.,  0.],
           [ 1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    """
    values = np.asarray(maps, dtype=np.float64)
    if values.ndim < 1 or values.shape[-1] != 3:
        raise ValueError(f"maps has shape {values.shape}, expected (…, 3): the three entries of an exponential map.")
    if not np.isfinite(values).all():
        raise ValueError(f"maps is NaN or infinite, first at {tuple(map(int, np.argwhere(~np.isfinite(values))[0]))}.")
    return Rotation.from_rotvec(values.reshape(-1, 3)).as_matrix().reshape(*values.shape, 3)


def euler_angles(maps: Any) -> Array:
    """The Euler angles of exponential maps, in the convention in which human motion is scored.

        E₂ = −asin R₀₂,   E₁ = atan2(R₁₂ / cos E₂, R₂₂ / cos E₂),   E₃ = atan2(R₀₁ / cos E₂, R₀₀ / cos E₂)

    So R = R_x(−E₁) R_y(−E₂) R_z(−E₃).

    Parameters
    ----------
    maps : array, shape (…, 3)
        r, the axis times the angle, rad.

    Returns
    -------
    array, shape (…, 3)
        (E₁, E₂, E₃) in rad: E₁ and E₃ from −π to π, E₂ from −π/2 to π/2.

    Raises
    ------
    ValueError
        If the last axis has not three entries, or one is NaN or infinite.

    Notes
    -----
    E₁ and E₃ leap by 2π where they pass π, and differences of them are large there; the published errors contain such
    leaps. In gimbal lock, E₂ = ±π/2, only E₁ ± E₃ is defined: E₃ is 0 there, and R is still that of the angles. (The
    published program gives another E₁ there, which is not that of R.)

    References
    ----------
    Slabaugh (1999), Computing Euler angles from a rotation matrix; Martinez, Black & Romero (2017), On human motion
    prediction using recurrent neural networks.

    Examples
    --------
    >>> euler_angles([[0.3, 0.0, 0.0], [0.0, -0.2, 0.0]]).round(3) + 0.0
    array([[-0.3,  0. ,  0. ],
           [ 0. ,  0.2,  0. ]])
    """
    matrices = rotation_matrices(maps)
    cosine = np.hypot(matrices[..., 1, 2], matrices[..., 2, 2])
    locked = cosine < LOCKED
    second = -np.arctan2(matrices[..., 0, 2], cosine)
    free = np.arctan2(matrices[..., 1, 2], matrices[..., 2, 2])
    first = np.where(locked, np.arctan2(-matrices[..., 2, 1], matrices[..., 1, 1]), free)
    third = np.where(locked, 0.0, np.arctan2(matrices[..., 0, 1], matrices[..., 0, 0]))
    return np.stack([first, second, third], axis=-1)
