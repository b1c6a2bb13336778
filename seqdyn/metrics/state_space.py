"""Whether a generated trajectory visits the same places as the truth, equally often."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from seqdyn.arrays import Array
from seqdyn.checks import check_choice, check_count, is_number
from seqdyn.metrics.reconstructions import Divergence, against_floor, box, segments, within_box

MOST_BINS = 5
"""Outputs that can be counted in boxes: beyond it no trajectory fills them."""

SMOOTHING = 1e-5
"""α, what is added to the count of every box."""

MOST_POINTS = 10_000
"""Leading points of a trajectory that become Gaussians, at most."""

DRAWS = 1_000
"""Points drawn from the true mixture."""


def state_space_divergence(
    y: Any,
    generated: Any,
    *,
    other: Any = None,
    method: str = "auto",
    bins: int = 30,
    variance: float = 1.0,
    seed: int = 0,
) -> Divergence:
    """State-space divergence D_stsp = KL(p ‖ q), p the distribution of the true points and q of the generated ones.

    Beyond the predictability time a generated trajectory may differ from the truth at every step and yet be right;
    this asks whether it is on the same attractor. It depends on the number of steps: only scores of one length can be
    compared, and none without its floor.

    Parameters
    ----------
    y : array-like, shape (time, outputs)
        The truth, of T steps, or of 2 T or more: then its first T are compared, and its last T give the floor.
    generated : array-like, shape (T, outputs)
        The free run, without its transient. What is not finite is left out, and counted in ``outside``.
    other : array-like, shape (T, outputs), optional
        A second true trajectory for the floor, where y has T steps. Without one and with T steps of y the floor is
        NaN; to have one from a single trajectory give ``generated[: len(y) // 2]``.
    method : {"auto", "bins", "mixture"}
        ``"bins"`` counts in boxes, at most 5 outputs; ``"mixture"`` puts a Gaussian on every point. ``"auto"``
        counts where it can.
    bins : int, at least 2
        Boxes an output.
    variance : float > 0
        Of the Gaussians, in the unit of y²: 1 is meant for outputs divided by their standard deviations.
    seed : int
        Of the points that the mixture draws.

    Returns
    -------
    Divergence
        In nats. ``value`` is at least 0 in bins; by the mixture it is an estimate, which near 0 may lie below. It is
        inf if no generated point lies in the box (bins), or none is finite (mixture).

    Raises
    ------
    ValueError
        If the shapes do not fit, the truth has gaps, or bins are asked for more than 5 outputs, or one is constant.

    Notes
    -----
    *Bins.* Equal bins on [min − 0.1 σ, max + 0.1 σ] of the truth; generated points outside are left out, so that a run
    that leaves for good still has a finite value: read ``outside``. Shares are smoothed as
    (n + α) / (Σ n + α · bins^d), α = 1e-5. Only boxes that are visited take memory.

    *Mixture.* p = mean_t N(y_t, σ² I) over the first 10 000 points, q likewise; D is the mean of ln p − ln q over 1 000
    points drawn from p. Of two normal distributions it is smaller than in bins, since both are widened by σ².

    The floor is D of the true points against those of the second piece of truth, with the same box, or the same draws.

    References
    ----------
    Hess, Monfared, Brenner & Durstewitz (2023), Generalized Teacher Forcing for Learning Chaotic Dynamics; Koppe et
    al. (2019), Identifying nonlinear dynamical systems via generative recurrent neural networks.

    Examples
    --------
    >>> y = np.random.default_rng(0).normal(size=(20_000, 1))
    >>> state_space_divergence(y, y[:10_000] + 1.0)
    Divergence(value=0.5586, floor=0.001548, outside=0.0041)
    """
    check_choice("method", method, ("auto", "bins", "mixture"))
    check_count("bins", bins, least=2)
    if not is_number(variance) or not 0 < variance < np.inf:
        raise ValueError(f"variance must be a positive number, got {variance!r}.")
    found = segments(y, generated, other)
    outputs = found.true.shape[1]
    if method == "mixture" or (method == "auto" and outputs > MOST_BINS):
        return against_floor(partial(_mixture, variance=float(variance), seed=seed), found)
    _check_boxes(found.true, bins)
    return against_floor(partial(_binned, bins=bins), found)


def _check_boxes(true: Array, bins: int) -> None:
    outputs = true.shape[1]
    if outputs > MOST_BINS or bins**outputs > np.iinfo(np.int64).max:
        raise ValueError(
            f"{outputs} outputs in {bins} bins each are {bins}^{outputs} boxes, which {len(true)} points cannot fill: "
            f"take method='mixture', or fewer bins; bins are for at most {MOST_BINS} outputs."
        )
    still = np.flatnonzero(np.ptp(true, axis=0) == 0)
    if still.size:
        raise ValueError(f"Output {still[0]} of y never changes, so that it has no bins: leave it out.")


def _binned(true: Array, generated: Array, bins: int) -> float:
    """KL of the smoothed shares of all boxes; those that nobody visits are alike, and added up at once."""
    low, high = box(true)
    inside = generated[within_box(generated, low, high)]
    if not len(inside):
        return np.inf
    visited = np.concatenate([_boxes(points, low, high, bins) for points in (true, inside)])
    names, places = np.unique(visited, return_inverse=True)
    boxes = bins ** true.shape[1]
    p, q = (
        np.append(np.bincount(part, minlength=len(names)), 0) for part in (places[: len(true)], places[len(true) :])
    )
    p, q = ((counts + SMOOTHING) / (counts.sum() + SMOOTHING * boxes) for counts in (p, q))
    many = np.append(np.ones(len(names)), boxes - len(names))
    return float(np.sum(many * p * np.log(p / q)))


def _boxes(points: Array, low: Array, high: Array, bins: int) -> Array:
    """The number of the box of every point, as int64."""
    place = ((points - low) / (high - low) * bins).astype(np.int64)
    return np.ravel_multi_index(tuple(np.minimum(place, bins - 1).T), (bins,) * points.shape[1])


def _mixture(true: Array, generated: Array, variance: float, seed: int) -> float:
    generator = np.random.default_rng(seed)
    finite = generated[np.isfinite(generated).all(axis=1)][:MOST_POINTS]
    if not len(finite):
        return np.inf
    true = true[:MOST_POINTS]
    noise = np.sqrt(variance) * generator.standard_normal((DRAWS, true.shape[1]))
    drawn = true[generator.integers(len(true), size=DRAWS)] + noise
    return float(np.mean(_log_density(drawn, true, variance) - _log_density(drawn, finite, variance)))


def _log_density(points: Array, centres: Array, variance: float) -> Array:
    """Of an equal mixture of Gaussians, without the factor that all of one width share."""
    nearness = -cdist(points, centres, "sqeuclidean") / (2 * variance)
    density: Array = logsumexp(nearness, axis=1) - np.log(len(centres))
    return density
