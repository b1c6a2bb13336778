"""Compare a generated trajectory with the truth, with a second piece of the truth as the floor, and count escapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array

Distance = Callable[[Array, Array], float]

BOX_MARGIN = 0.1
"""How far the box around the truth reaches beyond its ends, in its standard deviations."""


class Divergence(NamedTuple):
    """How far a generated trajectory is from the truth.

    Attributes
    ----------
    value : float
        Of the generated trajectory; at least 0, but for the error of an estimate.
    floor : float
        The same of a second piece of truth, of the same length: what a perfect model scores. It depends on the
        length, and so does the value. NaN where there is no second piece.
    outside : float
        The share of generated steps outside the box around the truth, [min − 0.1 σ, max + 0.1 σ] of every output, or
        not finite; in [0, 1].
    """

    value: float
    floor: float
    outside: float

    def __repr__(self) -> str:
        return f"Divergence(value={self.value:.4g}, floor={self.floor:.4g}, outside={self.outside:.4g})"


class Segments(NamedTuple):
    """Trajectories (time, outputs) of one length: the truth, what was generated, and a second true piece, or None."""

    true: Array
    generated: Array
    second: Array | None


def segments(y: Any, generated: Any, other: Any = None) -> Segments:
    """Cut trajectories to the length T of the generated one.

    Where the truth y has 2 T steps or more, its first T are the truth, and its last T the second piece, unless there is
    another one. Lengths and outputs have to fit, and the truth must have no gaps.
    """
    true, run = _finite_trajectory("y", y), _finite_trajectory("generated", generated)
    second = None if other is None else _finite_trajectory("other", other)
    steps = len(run)
    if steps < 2:
        raise ValueError(f"generated has {steps} step(s): a distribution needs many, thousands rather than hundreds.")
    if second is None and len(true) >= 2 * steps:
        true, second = true[:steps], true[-steps:]
    if len(true) != steps:
        raise ValueError(
            f"y has {len(true)} steps and generated {steps}. What is compared must be equally long, because the score "
            f"depends on the length: give {steps} steps of y, or at least {2 * steps} (without other) for a floor too."
        )
    for name, one in {"generated": run, "other": second}.items():
        if one is not None and one.shape != true.shape:
            raise ValueError(f"{name} has the shape {one.shape}, y {true.shape}: they must have the same outputs.")
    _check_gaps("y", true)
    if second is not None:
        _check_gaps("y" if other is None else "other", second)
    return Segments(true, run, second)


def against_floor(distance: Distance, found: Segments) -> Divergence:
    """The distance of what was generated from the truth, beside that of the second piece of truth."""
    low, high = box(found.true)
    outside = 1 - np.mean(within_box(found.generated, low, high))
    floor = np.nan if found.second is None else distance(found.true, found.second)
    return Divergence(float(distance(found.true, found.generated)), float(floor), float(outside))


def box(true: Array) -> tuple[Array, Array]:
    """The lower and upper corner, [min − 0.1 σ, max + 0.1 σ] of every output, σ with T − 1."""
    margin = BOX_MARGIN * true.std(axis=0, ddof=1)
    return true.min(axis=0) - margin, true.max(axis=0) + margin


def within_box(points: Array, low: Array, high: Array) -> Array:
    """Which points (time, outputs) lie in a box, its edge included; one that is not finite does not."""
    return np.asarray(((points >= low) & (points <= high)).all(axis=1))


def _check_gaps(name: str, true: Array) -> None:
    if not np.isfinite(true).all():
        step, output = (int(index) for index in np.argwhere(~np.isfinite(true))[0])
        raise ValueError(
            f"{name} is {true[step, output]} in output {output}, at step {step} of the {len(true)} that are compared: "
            "the truth must be known everywhere."
        )


def _finite_trajectory(name: str, values: Any) -> Array:
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} has the shape {np.shape(values)}, expected (time, outputs) of one trajectory.")
    return array
