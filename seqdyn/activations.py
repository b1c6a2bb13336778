"""Activation functions σ and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda value: value,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda value: torch.softmax(value, dim=-1),
}
"""σ by name."""

SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": torch.ones_like,
    "tanh": lambda value: 1 - value**2,
    "relu": lambda value: (value > 0).to(value),
    "sigmoid": lambda value: value * (1 - value),
}
"""σ' as a function of σ's value; relu's is 0 at 0."""


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
