"""Dropout whose masks are drawn once a pass and held in time, so that a step stays pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.state import hold


class LayerNoise(NamedTuple):
    """What is drawn for one layer: the dropout mask on what it gives, (batch, time, *outputs), and its own noise."""

    mask: Tensor | None
    own: Any


def layer_noise(
    layers: Sequence[Sequence[Cell]], dropout: float, batch: int, time: int, generator: torch.Generator
) -> tuple[LayerNoise, ...] | None:
    """One :class:`LayerNoise` a layer; None if there is none at all.

    A layer of two directions has the pair of their own noises.
    """

    def mask(layer: Sequence[Cell]) -> Tensor | None:
        return dropout_mask(layer[0].zeros(batch, *_joint_shape(layer)), dropout, time, generator) if dropout else None

    def own(layer: Sequence[Cell]) -> Any:
        drawn = tuple(cell.noise(batch, time, generator) for cell in layer)
        return drawn[0] if len(drawn) == 1 else None if all(part is None for part in drawn) else drawn

    noise = tuple(LayerNoise(mask(layer), own(layer)) for layer in layers)
    return noise if any(part is not None for entry in noise for part in entry) else None


def dropout_mask(like: Tensor, dropout: float, time: int, generator: torch.Generator) -> Tensor | None:
    """0 with probability ``dropout``, else 1 / (1 − dropout), one for every entry of ``like``, held in time; None
    without dropout."""
    if not dropout:
        return None
    drawn = torch.empty(like.shape, dtype=like.dtype, device=generator.device)
    return hold(drawn.bernoulli_(1 - dropout, generator=generator).div_(1 - dropout).to(like.device), time)


def check_share(name: str, value: float) -> float:
    """Return the value if it lies in [0, 1), else raise."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}.")
    return value


def _joint_shape(layer: Sequence[Cell]) -> tuple[int, ...]:
    """The shape of what a layer gives: of two directions the rows side by side."""
    shape = layer[0].output_shape
    if shape is None:
        raise ValueError(f"{type(layer[0]).__name__} gives a tree, of which dropout does not know what to drop.")
    return shape if len(layer) == 1 else (sum(cell.output_size for cell in layer),)
