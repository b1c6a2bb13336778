"""An affine map at all steps, W x_t + b, with its gradient written out: in memory that is used again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from seqdyn.kernels.through_time import fits, packed, project, sum_over_steps
from seqdyn.kernels.transforms import gradient_with_history, transformed


def projected(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """W x_t + b (batch, time, sums), for x (batch, time, inputs) and W (sums, inputs).

    b is (sums,), one for each step (batch, time, sums), or None. Where x is not on the CPU, this is torch's linear.

    Examples
    --------
    >>> projected(torch.ones(1, 2, 3), torch.ones(1, 3)).flatten().tolist()
    [3.0, 3.0]
    """
    others = (weight,) if bias is None else (weight, bias)
    if transformed() or torch.is_autocast_enabled("cpu") or not fits(x, *others):
        return _written(x, weight, bias)
    sums: Tensor = _Projection.apply(x, weight, bias)
    return sums


def _written(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same, recorded by autograd."""
    return linear(x, weight, bias) if bias is None or bias.dim() == 1 else linear(x, weight) + bias


class _Projection(torch.autograd.Function):
    """From x, W and b to W x_t + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        if bias is not None and bias.dim() == 1:
            return project(packed(x), weight, bias)
        sums = project(packed(x), weight, weight.new_zeros(len(weight)))
        return sums if bias is None else sums.add_(bias)  # faster than a product that adds to a matrix

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradient_with_history(_written, [x, weight, bias], gradients[0])
        errors = packed(gradients[0])
        by_x = project(errors, weight.T, weight.new_zeros(weight.shape[1])) if ctx.needs_input_grad[0] else None
        by_bias = None if bias is None else errors.sum((0, 1)) if bias.dim() == 1 else errors
        return by_x, sum_over_steps(errors, x), by_bias
