"""The numbers that decide the verdict on gradients, and their thresholds."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real
from typing import NamedTuple

import numpy as np

from seqdyn.facts import fact_line
from seqdyn.reports.bootstrap import Estimate
from seqdyn.reports.non_finite import NonFinite

EXPONENT_ROUNDING = 1e-9
"""An exponent up to this, in nats per step, counts as 0."""


@dataclass(frozen=True)
class Thresholds:
    """The values beyond which a gradient counts as vanishing or exploding; they are our choice, and can be changed.

    Attributes
    ----------
    vanishing_warn, vanishing_fail : float
        log₁₀ of what is left of a gradient. Below −7 it is lost in the rounding of float32 sums.
    exploding_warn, exploding_fail : float
        log₁₀ of the growth of a gradient.
    transient : float
        log₁₀ of a growth that decays again.
    saturated, clipped : float in (0, 1)
        The share of gate values at an end of their range, and of training steps that were clipped.
    truncated : float in (0, 1)
        The share of the gradient that truncation leaves out.
    """

    vanishing_warn: float = -3.0
    vanishing_fail: float = -7.0
    exploding_warn: float = 2.0
    exploding_fail: float = 4.0
    transient: float = 2.0
    saturated: float = 0.9
    clipped: float = 0.5
    truncated: float = 0.1

    def __post_init__(self) -> None:
        values = [getattr(self, field.name) for field in fields(self)]
        if not all(isinstance(value, Real) and np.isfinite(float(value)) for value in values):
            raise ValueError(f"Thresholds are finite numbers, got {self}.")
        if not all(0 < share < 1 for share in (self.saturated, self.clipped, self.truncated)):
            raise ValueError(
                f"saturated, clipped and truncated are shares in (0, 1), got {self.saturated}, {self.clipped}, "
                f"{self.truncated}."
            )
        if not self.vanishing_fail <= self.vanishing_warn < self.exploding_warn <= self.exploding_fail:
            raise ValueError(
                "Thresholds must increase: vanishing_fail ≤ vanishing_warn < exploding_warn ≤ exploding_fail, got "
                f"{self.vanishing_fail}, {self.vanishing_warn}, {self.exploding_warn}, {self.exploding_fail}."
            )

    def side(self, value: float) -> str:
        """Whether a log₁₀ is "OK", "VANISHING" or "EXPLODING"."""
        if np.isnan(value) or value > self.exploding_warn:
            return "EXPLODING"
        return "VANISHING" if value < self.vanishing_warn else "OK"

    def severity(self, value: float) -> str:
        """Whether a log₁₀ is a "PASS", a "WARN" or a "FAIL"."""
        if self.side(value) == "OK":
            return "PASS"
        return "WARN" if self.vanishing_fail <= value <= self.exploding_fail else "FAIL"


class Evidence(NamedTuple):
    """The numbers that decide the verdict; norms are log₁₀.

    lag                the required lag K, in steps
    gradient, product  L and G, with their intervals
    spread             the 5 % and 95 % quantiles of L over sequences and errors
    rows, longest      the steps of all sequences together, and the longest lag that can be measured
    peak, peak_lag     the largest median log₁₀ ‖P‖ over all lags, and its lag
    exponent           λ₁, and ``exponent_error`` its standard error, nats per step; NaN where not computed
    autonomous         whether the system runs without inputs
    growth             ln of how much the states of such a system grow from the first half of the run to the second
    values             how many errors there are at the required lag
    non_finite         what is not finite, why, and where it begins
    bptt_length        the length of truncated backpropagation in training
    guessed            whether K is a guess, because the user did not give it
    cut_off            why no error depends on an earlier state, where that is known; else empty
    at_ends            the share of gates or units at an end of their range, if inputs are far from unit size
    stopped            whether the user stopped the report before the gradient was measured
    """

    lag: int
    gradient: Estimate
    product: Estimate
    spread: tuple[float, float]
    rows: int
    longest: int
    peak: float
    peak_lag: int
    exponent: float
    exponent_error: float
    autonomous: bool
    growth: float = 0.0
    values: int = 1000
    non_finite: NonFinite | None = None
    bptt_length: int | None = None
    guessed: bool = False
    cut_off: str = ""
    at_ends: float = 0.0
    stopped: bool = False

    def __repr__(self) -> str:
        norms = {name: getattr(self, name).median for name in ("gradient", "product")}
        return fact_line("Evidence", {"lag": self.lag} | norms | {"exponent": self.exponent, "errors": self.values})

    @property
    def chaotic(self) -> bool:
        """Whether the autonomous system is chaotic: λ₁ > 0, and the states stay bounded."""
        diverges = self.autonomous and self.exponent - 2 * self.exponent_error > EXPONENT_ROUNDING
        return diverges and self.growth < self.exponent * self.rows / 4  # else the states themselves grow at that rate

    @property
    def truncated(self) -> bool:
        """Whether backpropagation is cut before it reaches K steps back, which takes a length of K + 1."""
        return self.bptt_length is not None and self.bptt_length <= self.lag

    @property
    def decays(self) -> bool:
        """Whether disturbances that have grown decay again."""
        return self.peak_lag < self.lag if np.isnan(self.exponent) else self.exponent <= EXPONENT_ROUNDING
