"""Medians, paired ratios with a bootstrap interval, and whether a bar is met."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Values = np.ndarray[Any, Any]


class Summary(NamedTuple):
    """Of one number a round: the median, the quartiles, and a 95 % bootstrap interval of the median."""

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float]


class Measure(NamedTuple):
    """What is made of two contestants round by round, and on which side of the bar it should be."""

    of: Callable[[Values, Values], Values]
    meets: Callable[[float, float], bool]
    sign: str


MEASURES = {
    "ratio": Measure(lambda ours, peer: peer / ours, operator.ge, "≥"),
    "share": Measure(lambda ours, peer: ours / peer, operator.le, "≤"),
    "excess": Measure(lambda ours, peer: ours - peer, operator.le, "≤"),
    "value": Measure(lambda ours, peer: ours, operator.le, "≤"),
}
"""ratio: how many times faster ours is. share: ours as a part of the peer's. excess: how much more ours takes. value:
ours alone."""


def summary(values: Any, resamples: int = 2000, seed: int = 0) -> Summary:
    """Median, quartiles and the percentile bootstrap interval of the median.

    Examples
    --------
    >>> summary([1.0, 2.0, 3.0]).median
    2.0
    """
    values = np.asarray(values, dtype=float)
    drawn = np.random.default_rng(seed).choice(values, (resamples, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    first, third = np.quantile(values, [0.25, 0.75])
    return Summary(float(np.median(values)), (float(first), float(third)), (float(low), float(high)))


def compared(ours: Any, peer: Any, measure: str) -> Summary:
    """The summary of a comparison, paired round by round.

    Examples
    --------
    >>> compared([1.0, 2.0], [4.0, 8.0], "ratio").median
    4.0
    """
    return summary(MEASURES[measure].of(np.asarray(ours, dtype=float), np.asarray(peer, dtype=float)))


def met(median: float, measure: str, bar: float) -> bool:
    """Whether the median is on the right side of the bar.

    Examples
    --------
    >>> met(4.0, "ratio", 3.0), met(9.0, "excess", 8.0)
    (True, False)
    """
    return MEASURES[measure].meets(median, bar)


class Line(NamedTuple):
    """t = fixed + each · n, and how far every point lies off, as a part of the line."""

    fixed: float
    each: float
    residuals: Values


def fitted_line(sizes: Any, seconds: Any) -> Line:
    """The line with the least relative squared residuals, so that small sizes count as much as large ones.

    Examples
    --------
    >>> line = fitted_line([1, 10, 100], [3.0, 21.0, 201.0])
    >>> round(line.fixed, 6), round(line.each, 6)
    (1.0, 2.0)
    """
    sizes, seconds = np.asarray(sizes, dtype=float), np.asarray(seconds, dtype=float)
    design = np.stack([np.ones_like(sizes), sizes], axis=1)
    (fixed, each), *_ = np.linalg.lstsq(design / seconds[:, None], np.ones_like(sizes), rcond=None)
    line = design @ np.array([fixed, each])
    return Line(float(fixed), float(each), seconds / line - 1)
