"""Random generators: a caller's own, or a new one, and never torch's global one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def own_generator(generator: torch.Generator | None) -> torch.Generator:
    """The caller's generator, or a new one seeded by the operating system."""
    if generator is not None:
        return generator
    fresh = torch.Generator()
    fresh.seed()
    return fresh


def generator_of(random_state: Any) -> torch.Generator:
    """A generator seeded by scikit-learn's ``random_state``: None, an int or a RandomState.

    Examples
    --------
    >>> generator_of(3).initial_seed() == generator_of(3).initial_seed()
    True
    """
    from sklearn.utils import check_random_state  # cells, which only want a generator, need not wait for it

    if random_state is None:
        seed = np.random.default_rng().integers(2**31)
    else:
        seed = check_random_state(random_state).randint(2**31 - 1)
    return torch.Generator().manual_seed(int(seed))


def seeds_of(random_state: Any, count: int) -> list[int]:
    """Seeds for so many sequences; each depends on the state and on its own number alone.

    Examples
    --------
    >>> seeds_of(3, 5)[:2] == seeds_of(3, 2)
    True
    """
    drawn = torch.randint(2**62, (count,), generator=generator_of(random_state))
    return [int(seed) for seed in drawn]


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Let what draws from torch's global generator find it seeded, and leave that as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())  # manual_seed would seed every GPU, too
        yield
