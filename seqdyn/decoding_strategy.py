"""Decoding strategies choose the next symbol: the likeliest one, or one that is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdyn.checks import check_choice, check_count, is_number

DECODING_STRATEGIES = ("sample", "greedy")


@dataclass(frozen=True)
class DecodingStrategy:
    """How the next symbol is chosen, from a distribution q made from the model's own, p.

    ``"greedy"`` takes the likeliest symbol, of equals the first. ``"sample"`` draws from q, made in this order:

        q ∝ p^(1/τ)                                                          temperature
        some symbols never come                                              forbidden
        only the k likeliest are kept, exactly k                             top_k
        only the smallest set of the likeliest whose mass reaches m is kept  top_p

    Parameters
    ----------
    name : {"sample", "greedy"}
    temperature : float > 0
        τ: below 1 likely symbols become likelier, above 1 all more alike; 1 is p itself.
    top_k : int, at least 1, optional
        k.
    top_p : float in (0, 1], optional
        m: the symbol that crosses it is kept, too.
    forbidden : tuple of int
        Symbols of probability 0, such as the mark of what is unknown.

    References
    ----------
    Holtzman et al. (2020), The curious case of neural text degeneration (top_p).

    Examples
    --------
    >>> log_p = torch.tensor([0.5, 0.3, 0.2]).log()
    >>> DecodingStrategy(top_k=2).log_probabilities(log_p).exp()
    tensor([0.6250, 0.3750, 0.0000])
    >>> DecodingStrategy("greedy").log_probabilities(log_p).exp()
    tensor([1., 0., 0.])
    """

    name: str = "sample"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    forbidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_choice("strategy", self.name, DECODING_STRATEGIES)
        if not is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature must be a finite number above 0, got {self.temperature!r}; for its limit at 0 take "
                "strategy='greedy'."
            )
        check_count("top_k", self.top_k, others=(None,))
        if self.top_p is not None and (not is_number(self.top_p) or not 0 < self.top_p <= 1):
            raise ValueError(f"top_p must be a number in (0, 1], got {self.top_p!r}.")
        if self.name == "greedy" and (self.temperature != 1 or self.top_k is not None or self.top_p is not None):
            raise ValueError(
                "strategy='greedy' always takes the likeliest symbol: temperature, top_k and top_p change nothing. "
                "Leave them out, or take strategy='sample'."
            )

    def log_probabilities(self, log_p: Tensor) -> Tensor:
        """ln q from ln p, (…, symbols): −∞ where nothing is ever drawn."""
        log_p = without(log_p, self.forbidden)
        if self.name == "greedy":
            return torch.full_like(log_p, -math.inf).scatter(-1, log_p.argmax(-1, keepdim=True), 0.0)
        log_q = torch.log_softmax((log_p - log_p.amax(-1, keepdim=True)) / self.temperature, -1)
        if self.top_k is None and self.top_p is None:
            return log_q
        ordered, place = log_q.sort(dim=-1, descending=True, stable=True)
        kept = torch.ones_like(ordered, dtype=torch.bool)
        if self.top_k is not None:
            kept[..., self.top_k :] = False
        if self.top_p is not None:
            mass = torch.softmax(ordered.masked_fill(~kept, -math.inf), -1)
            kept = kept & (mass.cumsum(-1) - mass < self.top_p)
        ordered = torch.log_softmax(ordered.masked_fill(~kept, -math.inf), -1)
        return torch.full_like(log_q, -math.inf).scatter(-1, place, ordered)


def draw_symbol(log_q: Tensor, uniform: Tensor) -> Tensor:
    """Return the first symbol at which the sum of q passes a uniform number; never one of probability 0.

    Examples
    --------
    >>> draw_symbol(torch.tensor([0.5, 0.0, 0.5]).log(), torch.tensor(0.5))
    tensor(2)
    """
    mass = log_q.double().exp().cumsum(-1)
    passed = mass > (uniform.double() * mass[..., -1]).unsqueeze(-1)
    possible = log_q > -math.inf
    return torch.where(passed.any(-1), (passed & possible).int().argmax(-1), log_q.argmax(-1))


def without(log_p: Tensor, forbidden: Sequence[int]) -> Tensor:
    """Return ln p (…, symbols) with −∞ at the forbidden symbols."""
    return log_p.index_fill(-1, torch.tensor(forbidden, device=log_p.device), -math.inf) if forbidden else log_p
