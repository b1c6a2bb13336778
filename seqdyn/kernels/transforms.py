"""Whether a transform of ``torch.func`` looks on: it sees the written step only, never a fused one."""

from __future__ import annotations

import torch


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
