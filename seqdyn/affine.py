"""The affine map W o + b, whose weights are drawn by a generator that the caller gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seqdyn.generators import own_generator


class Affine(nn.Module):
    """W o + b, with W drawn by the caller's generator (Glorot uniform) and b = 0."""

    if TYPE_CHECKING:

        def __call__(self, value: Tensor) -> Tensor: ...

    def __init__(self, input_size: int, output_size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(output_size, input_size))
        self.bias = nn.Parameter(torch.zeros(output_size))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw W anew and set b to 0."""
        nn.init.xavier_uniform_(self.weight, generator=own_generator(generator))
        nn.init.zeros_(self.bias)

    def forward(self, value: Tensor) -> Tensor:
        return nn.functional.linear(value, self.weight, self.bias)
