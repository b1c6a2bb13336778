"""What is written down of the steps of an epoch: rows of numbers, which stay on the device until it is over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Ledger:
    """The rows of an epoch, with what every step counts and the parts of its loss.

    Attributes
    ----------
    rows : list of Tensor, shape (columns,)
        As the monitor makes them: the loss first.
    weights : list of Tensor or float
        How many items the loss of each step is the mean of.
    parts : list of dict
        The named parts of every step's loss, scalars.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.add(torch.tensor([1.0, 4.0]), 3.0, {"kl": torch.tensor(0.5)})
    >>> ledger.add(torch.tensor([5.0, 2.0]), 1.0, {"kl": torch.tensor(2.5)})
    >>> ledger.mean_loss(), ledger.mean_parts()
    (2.0, {'kl': 1.0})
    """

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.weights: list[Tensor | float] = []
        self.parts: list[dict[str, Tensor]] = []

    def add(self, row: Tensor, weight: Tensor | float, parts: Mapping[str, Tensor]) -> None:
        """Write down one step."""
        self.rows.append(row)
        self.weights.append(weight.detach() if isinstance(weight, Tensor) else float(weight))
        self.parts.append({name: torch.as_tensor(value).detach() for name, value in parts.items()})

    def table(self, width: int) -> Tensor:
        """All rows on the host, (steps, width); one of NaN if there is none."""
        return torch.stack(self.rows).cpu().double() if self.rows else torch.full((1, width), math.nan)

    def mean_loss(self) -> float:
        """Σ w ℓ / Σ w over the steps; NaN without any."""
        return self._mean([row[0] for row in self.rows], self.weights)

    def mean_parts(self) -> dict[str, float]:
        """The same of every part, over the steps that have it."""
        names = dict.fromkeys(name for parts in self.parts for name in parts)
        return {name: self._mean(*self._column(name)) for name in names}

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on, on the host."""
        return {
            "rows": torch.stack(self.rows).cpu() if self.rows else None,
            "weights": _on_host(self.weights),
            "parts": [{name: value.cpu() for name, value in parts.items()} for parts in self.parts],
        }

    def load_state(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from what :meth:`state` gave."""
        self.rows = [] if state["rows"] is None else list(state["rows"].to(device).unbind(0))
        self.weights = list(state["weights"].unbind(0))
        self.parts = [{name: value.to(device) for name, value in parts.items()} for parts in state["parts"]]

    def _column(self, name: str) -> tuple[list[Tensor], list[Tensor | float]]:
        pairs = [(p[name], w) for p, w in zip(self.parts, self.weights, strict=True) if name in p]
        return [value for value, _ in pairs], [weight for _, weight in pairs]

    @staticmethod
    def _mean(values: list[Tensor], weights: list[Tensor | float]) -> float:
        if not values:
            return math.nan
        counts, numbers = _on_host(weights), torch.stack(values).cpu().double()
        return float((numbers * counts).sum() / counts.sum()) if float(counts.sum()) > 0 else float(numbers.mean())


def _on_host(weights: list[Tensor | float]) -> Tensor:
    return torch.tensor([float(weight) for weight in weights], dtype=torch.float64)
