"""What a training writes down: a row of numbers for every step, and their means by epoch.

    ‖g‖ = √Σ_p ‖g_p‖²        the gradient before clipping, over all parameters p
    ‖Δθ_p‖ / ‖θ_p‖           what the optimizer changed, over what was there: in the first step of every epoch

Rows stay on the device until their epoch is over. Norms are taken in double precision: the square of a gradient of
1e25 is no number of single precision, and a clip that believes its norm to be infinite would make it 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

ROW_START = ("loss", "gradient_norm", "limit")
"""The first numbers of a row; the norm of every parameter's gradient follows."""
STEP_COLUMNS = ("loss", "gradient_norm", "clip_coefficient", "clip_fraction")
"""What is known of a whole step; the norm and the update ratio of every parameter follow."""


class Monitor:
    """Norms of gradients and of updates, by parameter.

    Parameters
    ----------
    parameters : mapping of str to Tensor
        What is trained, by name; one at least.

    Attributes
    ----------
    names : tuple of str
        Of the parameters.
    columns : tuple of str
        What is known of a step.
    """

    def __init__(self, parameters: Mapping[str, Tensor]):
        self.names, self.parameters = tuple(parameters), list(parameters.values())
        self.columns = (*STEP_COLUMNS, *by_parameter(self.names))
        known = self.parameters[0].device.type != "mps"  # which has no double precision
        self.precision = torch.float64 if known else torch.float32

    def gradients(self) -> list[Tensor]:
        """The gradient of every parameter; zeros where the loss does not depend on one."""
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]

    def norms(self, values: Sequence[Tensor]) -> Tensor:
        """The norm of every tensor, shape (parameters,)."""
        return torch.stack(torch._foreach_norm(list(values), 2, self.precision))

    @torch.no_grad()
    def ratios(self, before: list[Tensor]) -> Tensor:
        """‖Δθ_p‖ / ‖θ_p‖ since the parameters were ``before``, shape (parameters,); NaN where ‖θ_p‖ = 0."""
        change, size = self.norms(torch._foreach_sub(self.parameters, before)), self.norms(before)
        return torch.where(size > 0, change / size, math.nan)

    def broken(self, row: Tensor) -> tuple[str, ...]:
        """The parameters whose gradient is not finite in this row."""
        norms = row[len(ROW_START) :]
        return tuple(name for name, good in zip(self.names, norms.isfinite().tolist(), strict=True) if not good)

    def means(self, rows: Tensor, ratios: Tensor | None) -> dict[str, float]:
        """The mean of every column over the rows (steps, numbers) where it is a number; NaN without any.

        ``ratios`` are those of the first step, where they were measured.
        """
        loss, norm, limit = rows[:, : len(ROW_START)].unbind(1)
        clipped = shortening(norm, limit), (norm > limit).to(rows)
        measured = rows.new_full((len(rows), len(self.names)), math.nan)
        if ratios is not None:
            measured[0] = ratios
        table = torch.cat([torch.stack([loss, norm, *clipped], 1), rows[:, len(ROW_START) :], measured], 1)
        table = table if len(table) else table.new_full((1, table.shape[1]), math.nan)
        leading, rest = table[:, : len(STEP_COLUMNS)].mean(0), table[:, len(STEP_COLUMNS) :].nanmean(0)
        return dict(zip(self.columns, [*leading.tolist(), *rest.tolist()], strict=True))


def shortening(norm: Tensor, limit: Tensor) -> Tensor:
    """The factor min(1, c / ‖g‖) that shortens a gradient to its limit c, as torch computes it.

    Examples
    --------
    >>> shortening(torch.tensor([0.5, 4.0]), torch.tensor(1.0))
    tensor([1.0000, 0.2500])
    """
    return (limit / (norm + 1e-6)).clamp(max=1.0)


def by_parameter(names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns there are for every parameter.

    Examples
    --------
    >>> by_parameter(("bias",))
    ('gradient_norm/bias', 'update_ratio/bias')
    """
    return tuple(f"{column}/{name}" for column in ("gradient_norm", "update_ratio") for name in names)


class Ledger:
    """The rows of an epoch, with what every step counts and the parts of its loss.

    Attributes
    ----------
    rows : list of Tensor, shape (numbers,)
        As a step of the descent makes them: the loss first.
    ratios : Tensor, shape (parameters,), or None
        What the first step of the epoch changed, over what was there.
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
        self.ratios: Tensor | None = None
        self.weights: list[Tensor | float] = []
        self.parts: list[dict[str, Tensor]] = []

    def add(self, row: Tensor, weight: Tensor | float, parts: Mapping[str, Tensor]) -> None:
        """Write down one step."""
        self.rows.append(row)
        self.weights.append(weight.detach() if isinstance(weight, Tensor) else float(weight))
        self.parts.append({name: torch.as_tensor(value).detach() for name, value in parts.items()})

    def table(self, width: int) -> Tensor:
        """All rows on the host, (steps, width)."""
        return torch.stack(self.rows).cpu().double() if self.rows else torch.zeros(0, width, dtype=torch.float64)

    def mean_loss(self) -> float:
        """Σ w ℓ / Σ w over the steps; NaN without any."""
        return self._mean(torch.stack(self.rows)[:, 0] if self.rows else None, self.weights)

    def mean_parts(self) -> dict[str, float]:
        """The same of every part, over the steps that have it."""
        names = dict.fromkeys(name for parts in self.parts for name in parts)
        return {name: self._mean(*self._column(name)) for name in names}

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on, on the host."""
        return {
            "rows": torch.stack(self.rows).cpu() if self.rows else None,
            "ratios": self.ratios,
            "weights": _on_host(self.weights),
            "parts": [{name: value.cpu() for name, value in parts.items()} for parts in self.parts],
        }

    def load_state(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on from what :meth:`state` gave."""
        self.rows = [] if state["rows"] is None else list(state["rows"].to(device).unbind(0))
        self.ratios = None if state["ratios"] is None else state["ratios"].to(device)
        self.weights = list[Tensor | float](state["weights"].tolist())
        self.parts = [{name: value.to(device) for name, value in parts.items()} for parts in state["parts"]]

    def _column(self, name: str) -> tuple[Tensor, list[Tensor | float]]:
        pairs = [(p[name], w) for p, w in zip(self.parts, self.weights, strict=True) if name in p]
        return torch.stack([value for value, _ in pairs]), [weight for _, weight in pairs]

    @staticmethod
    def _mean(values: Tensor | None, weights: list[Tensor | float]) -> float:
        if values is None:
            return math.nan
        counts, numbers = _on_host(weights), values.cpu().double()
        return float((numbers * counts).sum() / counts.sum()) if float(counts.sum()) > 0 else float(numbers.mean())


def _on_host(weights: list[Tensor | float]) -> Tensor:
    """All weights, in float64; what lies on the device is brought at once."""
    there = [weight for weight in weights if isinstance(weight, Tensor)]
    brought = iter(torch.stack(there).tolist() if there else ())
    numbers = [next(brought) if isinstance(weight, Tensor) else weight for weight in weights]
    return torch.tensor(numbers, dtype=torch.float64)
