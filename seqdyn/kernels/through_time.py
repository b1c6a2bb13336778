"""What the compiled recurrences share: which tensors they take, their layout, and their products over all steps.

Everything is time-major, (time, batch, ·): a step is one stretch of memory, and the steps of the whole batch are the
rows of a matrix. So what does not depend on h_{t-1}, W x_t + b before the loop and the gradients of the weights after
it, is one large product of matrices each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual

from seqdyn.kernels.compiled import available, in_parallel, threads_for
from seqdyn.kernels.memory import recycled

PRECISIONS = (torch.float32, torch.float64)
"""The dtypes that compiled loops know."""

NO_MASK = np.zeros((0, 0), dtype=bool)
"""All steps are there."""


def fits(x: Tensor, *others: Tensor) -> bool:
    """Whether compiled loops can run on these tensors: plain, not empty, on the CPU, of one precision.

    Examples
    --------
    >>> fits(torch.zeros(1, 2, 3), torch.zeros(1, 4, dtype=torch.float64))
    False
    """
    if x.numel() == 0 or x.dtype not in PRECISIONS or not available():
        return False
    return all(_is_plain(value) and value.dtype == x.dtype for value in (x, *others))


def _is_plain(value: Tensor) -> bool:
    """Whether a tensor is memory on the CPU, without a tangent of forward-mode differentiation."""
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.device.type == "cpu"
        and value.layout is torch.strided
        and unpack_dual(value).tangent is None
    )


def wants_gradient(*values: Tensor) -> bool:
    """Whether autograd records what is computed from these."""
    return torch.is_grad_enabled() and any(value.requires_grad for value in values)


def packed(value: Tensor) -> Tensor:
    """The same numbers, contiguous; a copy only where they are not."""
    if value.is_contiguous():
        return value.detach()
    return recycled(tuple(value.shape), value.dtype).copy_(value.detach())


def mask_array(mask: Tensor | None) -> Any:
    """A mask (batch, time) as the loops take it."""
    return NO_MASK if mask is None else np.ascontiguousarray(mask.T.cpu().numpy())


def project(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """W x_t + b at all steps, (time, batch, sums), for x (time, batch, inputs)."""
    sums = recycled((*x.shape[:2], len(weight)), x.dtype)
    torch.addmm(bias, x.flatten(0, 1), weight.T, out=sums.flatten(0, 1))
    return sums


def start_at(h: Tensor, time: int) -> Tensor:
    """Room for h_{-1}, h_0, … (time + 1, batch, hidden), of which the first is there."""
    states = recycled((time + 1, *h.shape), h.dtype)
    states[0] = h
    return states


def run_rows(loop: Callable[..., None], shape: tuple[int, ...], *values: Any) -> None:
    """Call ``loop(first, last, *values)`` on all rows of a batch: threads share the rows, and none waits for another.

    ``shape`` is (time, batch, hidden), that of the states; tensors among the values go in as contiguous arrays.
    """
    arrays = [packed(value).numpy() if isinstance(value, Tensor) else value for value in values]
    time, batch, hidden = shape
    in_parallel(lambda first, last: loop(first, last, *arrays), batch, threads_for(batch, time * batch * hidden**2))


def sum_over_steps(left: Tensor, right: Tensor) -> Tensor:
    """Σ l rᵀ over time and batch, (m, n), of (time, batch, m) and (time, batch, n)."""
    left, right = left.flatten(0, 1), right.flatten(0, 1)
    if right.shape[1] < left.shape[1]:
        return (right.T @ left).T  # several times faster where right is narrow
    return left.T @ right
