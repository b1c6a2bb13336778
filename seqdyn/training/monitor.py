"""What a training writes down: a row of numbers for every step, and their means by epoch.

    ‖g‖ = √Σ_p ‖g_p‖²        the gradient before clipping, over all parameters p
    ‖Δθ_p‖ / ‖θ_p‖           what the optimizer changed, over what was there: in the first step of every epoch

Rows stay on the device until their epoch is over. Norms are taken in double precision: the square of a gradient of
1e25 is no number of single precision, and a clip that believes its norm to be infinite would make it 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

LEADING = ("loss", "gradient_norm", "clip_coefficient", "clip_fraction")
"""The first numbers of a row; those of every parameter follow: the norm of its gradient, and its update ratio."""


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
        Of a row.
    """

    def __init__(self, parameters: Mapping[str, Tensor]):
        self.names, self.parameters = tuple(parameters), list(parameters.values())
        self.columns = (*LEADING, *by_parameter(self.names))
        known = self.parameters[0].device.type != "mps"  # which has no double precision
        self.precision = torch.float64 if known else torch.float32
        self.unmeasured = self.parameters[0].new_full((len(self.names),), math.nan, dtype=self.precision)

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
        norms = row[len(LEADING) :][: len(self.names)]
        return tuple(name for name, good in zip(self.names, norms.isfinite().tolist(), strict=True) if not good)

    def means(self, table: Tensor) -> dict[str, float]:
        """The mean of every column over the rows (steps, columns) where it is a number; NaN without any."""
        leading, rest = table[:, : len(LEADING)].mean(0), table[:, len(LEADING) :].nanmean(0)
        return dict(zip(self.columns, [*leading.tolist(), *rest.tolist()], strict=True))


def by_parameter(names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns there are for every parameter.

    Examples
    --------
    >>> by_parameter(("bias",))
    ('gradient_norm/bias', 'update_ratio/bias')
    """
    return tuple(f"{column}/{name}" for column in ("gradient_norm", "update_ratio") for name in names)
