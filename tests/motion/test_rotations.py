"""Rotations: against the formulas written out, and against what a rotation does to a vector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from seqdyn.motion.rotations import euler_angles, rotation_matrices

MAPS = st.lists(st.floats(-4.0, 4.0), min_size=3, max_size=3).map(np.array)


def skew(r: np.ndarray) -> np.ndarray:
    x, y, z = r
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def written_out(r: np.ndarray) -> np.ndarray:
    """The protocol's formulas, away from θ = 0 and gimbal lock."""
    theta = np.linalg.norm(r)
    k = skew(r / theta)
    matrix = np.eye(3) + np.sin(theta) * k + (1 - np.cos(theta)) * k @ k
    second = -np.arcsin(matrix[0, 2])
    first = np.arctan2(matrix[1, 2] / np.cos(second), matrix[2, 2] / np.cos(second))
    return np.array([first, second, np.arctan2(matrix[0, 1] / np.cos(second), matrix[0, 0] / np.cos(second))])


def from_angles(angles: np.ndarray) -> np.ndarray:
    """R_x(−E₁) R_y(−E₂) R_z(−E₃)."""
    return np.linalg.multi_dot([expm(-skew(axis) * angle) for axis, angle in zip(np.eye(3), angles, strict=True)])


@settings(max_examples=100, deadline=None)
@given(r=MAPS)
def test_a_matrix_is_the_exponential_of_its_map(r):
    np.testing.assert_allclose(rotation_matrices(r), expm(skew(r)), atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(r=MAPS)
def test_angles_give_the_matrix_back(r):
    np.testing.assert_allclose(from_angles(euler_angles(r)), expm(skew(r)), atol=2e-7)


def test_angles_are_those_of_the_formula_and_of_scipy():
    r = np.random.default_rng(0).normal(size=(500, 3))
    found = euler_angles(r)
    np.testing.assert_allclose(found, [written_out(row) for row in r], atol=1e-12)
    np.testing.assert_allclose(found, -Rotation.from_rotvec(r).as_euler("XYZ"), atol=1e-12)
    assert (np.abs(found[:, 1]) <= np.pi / 2).all()


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-12, 1e-8, 1e-5])
def test_small_rotations(size):
    """E = −r + O(r²), without 0 / 0."""
    r = size * np.array([0.6, 0.0, 0.8])
    np.testing.assert_allclose(euler_angles(r), -r, atol=size**2)
    np.testing.assert_allclose(rotation_matrices(r), np.eye(3) + skew(r), atol=size**2)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-9, 1e-5, 1e-3])
def test_near_gimbal_lock_the_angles_are_still_those_of_the_matrix(side, gap):
    """Also where only E₁ ± E₃ is defined."""
    angles = np.array([0.4, side * (np.pi / 2 - gap), -0.9])
    matrix = from_angles(angles)
    found = euler_angles(Rotation.from_matrix(matrix).as_rotvec())
    np.testing.assert_allclose(from_angles(found), matrix, atol=3e-7)
    if gap >= 1e-5:
        np.testing.assert_allclose(found, angles, atol=1e-9)
    if gap == 0:
        assert found[2] == 0.0
        np.testing.assert_allclose(found[0], 0.4 + side * 0.9, atol=1e-7)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 5, 3)])
def test_shapes(shape):
    r = np.zeros(shape)
    assert euler_angles(r).shape == shape and rotation_matrices(r).shape == (*shape, 3)


@pytest.mark.parametrize("measure", [euler_angles, rotation_matrices])
def test_bad_input(measure):
    with pytest.raises(ValueError, match=r"maps has shape \(2, 4\), expected \(…, 3\)"):
        measure(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"expected \(…, 3\)"):
        measure(0.0)
    with pytest.raises(ValueError, match=r"NaN or infinite, first at \(1, 2\)"):
        measure([[0.0, 0.0, 0.0], [0.0, 0.0, np.inf]])
