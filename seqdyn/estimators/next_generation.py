"""The next-generation reservoir as a regressor: a polynomial of delayed inputs, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from seqdyn.cells.delay_polynomial import DelayPolynomial, count_monomials
from seqdyn.estimators.documented import documented
from seqdyn.estimators.parameters import Rule, at_least, either, one_of
from seqdyn.estimators.reservoirs import ReservoirRegressor

LINES = ((1, 1), (2, 1), (4, 2), (8, 3))
"""Delays and strides that are tried: from the present alone to 21 steps back."""

HIGHEST = 8
"""The highest degree that is tried."""


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class NextGenerationReservoirRegressor(ReservoirRegressor):
    """A polynomial of delayed inputs: y_t = V φ_t + c, φ_t all products of 1 to q entries of (x_t, x_{t−s}, …).

    Also known as nonlinear vector autoregression (NVAR). V and c are solved for by ridge regression.

    Parameters
    ----------
    delays : int, at least 1, or "auto"
        k, how many inputs it sees at once.
    stride : int, at least 1, or "auto"
        s, steps from one to the next.
    degree : int, at least 1, or "auto"
        q. ``"auto"`` tries the highest that ``max_features`` allows, at most 8, and the one below.
    max_features : int, at least 1
        How many products there may be where the degree is chosen; at most a third of the rows, too.

    Attributes
    ----------
    delays_, stride_, degree_ : int
    cell_, state_, ridge_, feeds_back_, validation_
        See :class:`~seqdyn.estimators.reservoirs.ReservoirRegressor`.

    Notes
    -----
    Where the state is seen as a whole and without noise, one delay and a high degree are best; delays make up for what
    is not seen. With ``"auto"`` (1, 2, 4 and 8 delays at strides 1, 1, 2 and 3) the free run decides.

    References
    ----------
    Gauthier, Bollt, Griffith & Barbosa (2021), Next generation reservoir computing.

    Examples
    --------
    The logistic map is a polynomial:

    >>> import numpy as np
    >>> from seqdyn.estimators.next_generation import NextGenerationReservoirRegressor
    >>> x = [0.3]
    >>> for _ in range(300):
    ...     x.append(4 * x[-1] * (1 - x[-1]))
    >>> x = np.array(x)[:, None]
    >>> model = NextGenerationReservoirRegressor(delays=1, degree=2).fit(x[:-1], x[1:])
    >>> stream = model.stream()
    >>> ahead = np.vstack([stream.push([0.3]), stream.forecast(19)])
    >>> bool(np.abs(ahead - x[1:21]).max() < 1e-6)
    True
    """

    _tuned: ClassVar[tuple[str, ...]] = ("delays", "stride", "degree")

    delays: Any = "auto"
    stride: Any = "auto"
    degree: Any = "auto"
    max_features: int = 500

    def _choices(self, inputs: int, rows: int) -> list[dict[str, Any]]:
        lines = [line for line in LINES if self._allows(line)]
        if not lines:
            lines = [(self.delays if self.delays != "auto" else 2, self.stride if self.stride != "auto" else 1)]
        lines = [line for line in lines if 4 * (line[0] - 1) * line[1] < rows] or lines[:1]
        return [
            {"delays": delays, "stride": stride, "degree": degree}
            for delays, stride in lines
            for degree in self._degrees(inputs * delays, rows)
        ]

    def _allows(self, line: tuple[int, int]) -> bool:
        """Whether a delay line is one of those that were asked for."""
        return self.delays in ("auto", line[0]) and self.stride in ("auto", line[1])

    def _degrees(self, entries: int, rows: int) -> list[int]:
        if self.degree != "auto":
            return [self.degree]
        most = min(self.max_features, rows // 3)
        fit = [degree for degree in range(1, HIGHEST + 1) if count_monomials(entries, degree) <= most]
        return fit[:-3:-1] or [1]

    def _reservoir(self, inputs: int, settings: Mapping[str, Any]) -> DelayPolynomial:
        return DelayPolynomial(inputs, delays=settings["delays"], stride=settings["stride"], degree=settings["degree"])

    def _rules(self) -> Mapping[str, Rule]:
        auto = either(one_of("auto"), at_least(1))
        return {"delays": auto, "stride": auto, "degree": auto, "max_features": at_least(1)}
