"""What fused recurrences share: gradients with a history, and whether a transform of ``torch.func`` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def transformed() -> bool:
    """Whether this runs inside a transform of ``torch.func``, such as ``vmap`` or ``jvp``, or in forward mode.

    torch has no public name for either.

    Examples
    --------
    >>> seen = []
    >>> _ = torch.func.vmap(lambda x: seen.append(transformed()) or x)(torch.zeros(2))
    >>> seen, transformed()
    ([True], False)
    """
    return bool(torch._C._are_functorch_transforms_active()) or forward_ad._current_level >= 0


def gradient_with_history(
    written: Callable[..., Any], inputs: Sequence[Tensor | None], gradient: Tensor | Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """Return the gradient by every input, recorded by autograd, so that it can be differentiated again.

    ``written(*inputs)`` is the output, or several, by operations that autograd records; ``gradient`` is by these. An
    input that needs no gradient, or is None, gets None.

    Examples
    --------
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = gradient_with_history(torch.square, [x], torch.tensor(1.0))
    >>> slope.item(), torch.autograd.grad(slope, x)[0].item()
    (6.0, 2.0)
    """
    # one input may be computed from another: they are held apart
    own = [None if value is None else value.view_as(value) for value in inputs]
    wanted = [value for value in own if value is not None and value.requires_grad]
    found = iter(torch.autograd.grad(written(*own), wanted, gradient, create_graph=True))
    return tuple(next(found) if value is not None and value.requires_grad else None for value in own)
