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
    return unfit(x, *others) is None


def unfit(x: Tensor, *others: Tensor) -> str | None:
    """Why compiled loops cannot run on these tensors; None where they can.

    Examples
    --------
    >>> unfit(torch.zeros(1, 2, 3), torch.zeros(1, 4, dtype=torch.float64))
    'x is float32, and the rest is float64'
    """
    if x.dtype not in PRECISIONS:
        return f"x is {_precision(x.dtype)}, and compiled loops know float32 and float64"
    if not available():
        return "numba is not installed: pip install 'seqdyn[fast]'"
    if x.numel() == 0:
        return "x is empty"
    for value in (x, *others):
        if value.device.type != "cpu":
            return f"the tensors are on {value.device.type}, and compiled loops run on the CPU"
        if type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided:
            return f"a tensor is a {type(value).__name__}, of which torch knows more than its memory"
        if value.dtype != x.dtype:
            return f"x is {_precision(x.dtype)}, and the rest is {_precision(value.dtype)}"
    return None


def _precision(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def in_words(reason: str | None, torch_lacks: str | None = None) -> str:
    """What runs a recurrence: compiled loops, or for a reason torch's own kernel, or the written step.

    Parameters
    ----------
    reason : str, optional
        Why compiled loops cannot run, see :func:`unfit`.
    torch_lacks : str, optional
        What torch's own kernel does not know.

    Examples
    --------
    >>> in_words("x is bfloat16", "masks")
    "step by step: x is bfloat16, and torch's own kernel knows no masks"
    """
    if reason is None:
        return "in compiled loops"
    if torch_lacks is None:
        return f"in torch's own kernel: {reason}"
    return f"step by step: {reason}, and torch's own kernel knows no {torch_lacks}"


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


def run_rows(loop: Callable[..., None], extent: tuple[int, int], *values: Any) -> None:
    """Call ``loop(first, last, *values)`` on all rows of a batch: threads share the rows, and none waits for another.

    ``extent`` are the rows and the multiplications on all of them; tensors go in as contiguous arrays.
    """
    arrays = [packed(value).numpy() if isinstance(value, Tensor) else value for value in values]
    rows, work = extent
    in_parallel(lambda first, last: loop(first, last, *arrays), rows, threads_for(rows, work))


def extent_of(states: Tensor, recurrent: Tensor) -> tuple[int, int]:
    """The rows of states (time, batch, hidden), and how many multiplications U h_{t-1} takes at all steps."""
    time, batch, _ = states.shape
    return batch, time * batch * recurrent.numel()


def sum_over_steps(left: Tensor, right: Tensor) -> Tensor:
    """Σ l rᵀ over time and batch, (m, n), of (time, batch, m) and (time, batch, n)."""
    left, right = left.flatten(0, 1), right.flatten(0, 1)
    if right.shape[1] < left.shape[1]:
        return (right.T @ left).T  # several times faster where right is narrow
    return left.T @ right
