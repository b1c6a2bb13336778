"""What fused recurrences share: gradients with a history, and whether a transform of ``torch.func`` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def transformed() -> bool:
    """Whether this runs inside a transform of ``torch.func``: ``vmap``, ``jacrev``, ``jvp`` and the like.

    torch has no public name for it.

    Examples
    --------
    >>> seen = []
    >>> _ = torch.func.vmap(lambda x: seen.append(transformed()) or x)(torch.zeros(2))
    >>> seen, transformed()
    ([True], False)
    """
    return bool(torch._C._are_functorch_transforms_active())


def gradient_with_history(
    written: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    """Return the gradient by every input, recorded by autograd, so that it can be differentiated again.

    ``written(*inputs)`` is the output, by operations that autograd records; ``gradient`` is by this output. An input
    that needs no gradient gets None.

    Examples
    --------
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> (slope,) = gradient_with_history(torch.square, [x], torch.tensor(1.0))
    >>> slope.item(), torch.autograd.grad(slope, x)[0].item()
    (6.0, 2.0)
    """
    own = [value.view_as(value) for value in inputs]  # one input may be computed from another: they are held apart
    wanted = [value for value in own if value.requires_grad]
    found = iter(torch.autograd.grad(written(*own), wanted, gradient, create_graph=True))
    return tuple(next(found) if value.requires_grad else None for value in own)
