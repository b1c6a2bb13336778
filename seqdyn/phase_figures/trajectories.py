"""Systems to draw side by side: their trajectories by name, and their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqdyn.arrays import Array
from seqdyn.checks import is_int
from seqdyn.figures import MODELS, PALETTE

Trajectories = Any
"""One system, (time, outputs) or (trajectories, time, outputs), or a mapping of names to systems."""


def named_trajectories(y: Trajectories) -> dict[str, Array]:
    """Systems by name, each (trajectories, time, outputs); a single one has the name ""."""
    systems = dict(y) if isinstance(y, Mapping) else {"": y}
    if not systems:
        raise ValueError("There is no trajectory to draw: the mapping is empty.")
    found = {str(name): _trajectories(str(name) or "y", values) for name, values in systems.items()}
    outputs = {name: values.shape[2] for name, values in found.items()}
    if len(set(outputs.values())) > 1:
        raise ValueError(f"All systems must have the same outputs, got {outputs}.")
    return found


def output_names(names: Sequence[str] | None, count: int) -> list[str]:
    """The names of all outputs; None: y1, y2, …."""
    found = [f"y{number}" for number in range(1, count + 1)] if names is None else [str(name) for name in names]
    if len(found) != count:
        raise ValueError(f"names has {len(found)} names, expected one for each of the {count} outputs.")
    return found


def colours(count: int) -> list[str]:
    """The colours of systems; the first of several is the true one, in the colour of data."""
    models = [MODELS[number % len(MODELS)] for number in range(count)]
    return models if count == 1 else [PALETTE["data"], *models[:-1]]


def one_output(systems: dict[str, Array], output: int) -> dict[str, Array]:
    """One output of every system, (trajectories, time)."""
    count = next(iter(systems.values())).shape[2]
    if not is_int(output) or not -count <= output < count:
        raise ValueError(f"output must be one of the {count}, 0 to {count - 1}, got {output!r}.")
    return {name: values[:, :, output] for name, values in systems.items()}


def share_outside(inside: Array) -> str:
    """The share of a system that lies beyond the limits of its panel, for a title; empty if it is 0."""
    return "" if inside.all() else f"({100 * (1 - inside.mean()):.3g} % outside)"


def _trajectories(name: str, values: Any) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2, 3) or not array.size:
        raise ValueError(
            f"{name} has the shape {array.shape}, expected (time, outputs) or (trajectories, time, outputs)."
        )
    array = array[:, None] if array.ndim == 1 else array
    return array[None] if array.ndim == 2 else array
