"""Activation functions σ and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda value: value,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda value: torch.softmax(value, dim=-1),
}
"""σ by name."""

ARRAY_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda value: value,
    "tanh": np.tanh,
    "relu": lambda value: np.maximum(value, 0),
    "sigmoid": lambda value: 1 / (1 + np.exp(-value)),
    "softmax": lambda value: _shares(np.exp(value - value.max(-1, keepdims=True))),
}
"""σ by name, of arrays."""

SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": torch.ones_like,
    "tanh": lambda value: 1 - value**2,
    "relu": lambda value: (value > 0).to(value),
    "sigmoid": lambda value: value * (1 - value),
}
"""σ' as a function of σ's value; relu's is 0 at 0."""


def _shares(value: Array) -> Array:
    """Parts of their sum along the last axis."""
    return np.asarray(value / value.sum(-1, keepdims=True))


def through(activation: str, value: Tensor, slopes: Tensor) -> Tensor:
    """Apply the chain rule: ∂σ(a)/∂v from σ(a), (batch, outputs), and ∂a/∂v, (batch, outputs, ·) or (outputs, ·).

    Examples
    --------
    >>> through("tanh", torch.tensor([[0.5]]), torch.tensor([[2.0]]))
    tensor([[[1.5000]]])
    """
    if activation == "softmax":
        return value.unsqueeze(2) * (slopes - value.unsqueeze(1) @ slopes)
    return SLOPES[activation](value).unsqueeze(2) * slopes
