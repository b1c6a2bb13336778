"""A model stays as it is: parameters, gradients, buffers, modes and the global random state, to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Fail if the block changes the module or torch's global random state."""
    before = fingerprint(module)
    yield
    assert fingerprint(module) == before


def fingerprint(module: nn.Module) -> str:
    """All that an instrument could change, as one hash."""
    digest = hashlib.sha256()

    def add(name: str, value: Tensor | None) -> None:
        digest.update(name.encode())
        if value is not None:
            digest.update(f"{value.dtype}{tuple(value.shape)}{value.requires_grad}{value.device}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())

    for name, parameter in module.named_parameters():
        add(name, parameter)
        add(f"{name}.grad", parameter.grad)
    for name, buffer in module.named_buffers():
        add(name, buffer)
    digest.update(repr([(name, part.training) for name, part in module.named_modules()]).encode())
    digest.update(torch.random.get_rng_state().numpy().tobytes())
    digest.update(repr((torch.is_grad_enabled(), torch.get_num_threads())).encode())
    return digest.hexdigest()
