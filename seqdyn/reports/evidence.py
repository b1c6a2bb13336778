"""What a verdict on gradients is made of, and the thresholds it is held against."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real
from typing import NamedTuple

import numpy as np

from seqdyn.reports.bootstrap_median import Estimate
from seqdyn.reports.finite import Broken

ROUNDING = 1e-9
"""Nats per step up to which an exponent above 0 is taken for rounding."""


@dataclass(frozen=True)
class Thresholds:
    """Where a gradient counts as vanished or exploded; all of them are our own choice, and yours to change.

    Attributes
    ----------
    vanishing_warn, vanishing_fail : float
        log₁₀ of what is left of a gradient. Below −7 it is lost in the rounding of float32 sums.
    exploding_warn, exploding_fail : float
        log₁₀ of its growth.
    transient : float
        log₁₀ of a growth that dies again.
    saturated, clipped : float in (0, 1)
        Shares of gate values at their ends, and of training steps that were clipped.
    truncated : float in (0, 1)
        Share of the gradient that truncation leaves out.
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
        """On which side of the thresholds a log₁₀ lies."""
        if np.isnan(value) or value > self.exploding_warn:
            return "EXPLODING"
        return "VANISHING" if value < self.vanishing_warn else "OK"

    def severity(self, value: float) -> str:
        """PASS, WARN or FAIL."""
        if self.side(value) == "OK":
            return "PASS"
        return "WARN" if self.vanishing_fail <= value <= self.exploding_fail else "FAIL"


class Evidence(NamedTuple):
    """What the verdict is made of, norms as log₁₀.

    Attributes
    ----------
    lag : int
        K.
    gradient, product : Estimate
        L and G.
    spread : tuple of float
        The 5 % and 95 % quantiles of L over sequences and errors.
    rows, longest, values : int
        Steps of all sequences together, the longest lag that could be measured, and errors at the required lag.
    peak, peak_lag
        The largest median log₁₀ ‖P‖ over all lags.
    exponent, exponent_error, growth : float
        λ₁ and its standard error, NaN where they were not computed; of a system that runs alone, ln of how much its
        states grow from the first half of the run to the second.
    broken : Broken or None
        What was not finite, why, and where it begins.
    bptt_length : int or None
        Where backpropagation is cut in training.
    guessed : bool
        Whether nobody said K.
    cut_off : str
        Why no error depends on an earlier state, where that is known; else empty.
    at_ends : float
        Where inputs are far from unit size, the share of gates or units at an end of their range; else 0.
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
    broken: Broken | None = None
    bptt_length: int | None = None
    guessed: bool = False
    cut_off: str = ""
    at_ends: float = 0.0

    @property
    def chaotic(self) -> bool:
        """Whether the system alone parts neighbours and yet stays bounded: gradients grow in any good model of it."""
        parts = self.autonomous and self.exponent - 2 * self.exponent_error > ROUNDING
        return parts and self.growth < self.exponent * self.rows / 4  # else the states themselves grow at that rate

    @property
    def truncated(self) -> bool:
        """Whether backpropagation is too short for any error to teach what came K steps before: that takes K + 1."""
        return self.bptt_length is not None and self.bptt_length <= self.lag

    @property
    def decays(self) -> bool:
        """Whether disturbances that have grown die again."""
        return self.peak_lag < self.lag if np.isnan(self.exponent) else self.exponent <= ROUNDING
