"""Tests of what a linear model has left unexplained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import chi2

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.identification.correlation import cross_correlation, varies, whiteness
from seqdyn.identification.kalman import predictions_ahead
from seqdyn.identification.system import LinearSystem

LEVEL = 0.01
"""p-value below which something is left."""


class Errors(NamedTuple):
    """The errors of a record, NaN where no output was measured, and the inputs beside them.

    ``inputs`` (rows, inputs); ``ahead`` and ``free`` (rows, outputs): one step ahead, and of the free run.
    """

    inputs: Array
    ahead: Array
    free: Array


def errors_of(system: LinearSystem, x: Array, y: Array, start: Array) -> Errors:
    """The errors of a system over one record; those one step ahead are the free run's if it knows no noise."""
    free = y - system.simulate(x, start)[0]
    return Errors(x, free if system.noise_gain is None else y - predictions_ahead(system, x, y, start, 1), free)


def residual_tests(records: Sequence[Errors], lags: int, names: tuple[list[str], list[str]]) -> pd.DataFrame:
    """All tests of all outputs and inputs, by their names, over every pair of known errors of one record."""
    check_count("lags", lags)
    known = np.sum([np.count_nonzero(~np.isnan(record.ahead), axis=0) for record in records], axis=0)
    if known.min() < 4 * lags:
        raise ValueError(
            f"{known.min()} rows of {names[0][int(known.argmin())]} are known, but tests over lags={lags} need "
            f"{4 * lags}: give longer records or fewer lags."
        )
    table = pd.DataFrame(
        _found(_end_to_end(records, lags), lags, names),
        columns=["test", "output", "input", "statistic", "p_value", "verdict"],
    )
    verdict = table["verdict"].where(table["p_value"] < LEVEL, "nothing left")
    return table.assign(verdict=verdict.where(table["p_value"].notna(), "cannot tell: the errors do not change"))


def _end_to_end(records: Sequence[Errors], lags: int) -> Errors:
    """The records one after the other, with so many unknown rows between them that no pair is of two records."""
    gap = 1 + lags + math.isqrt(sum(len(record.inputs) for record in records))
    apart = [[*(np.pad(part, ((0, gap), (0, 0)), constant_values=np.nan) for part in record)] for record in records]
    return Errors(*(np.concatenate(parts)[:-gap] for parts in zip(*apart, strict=True)))


def _found(errors: Errors, lags: int, names: tuple[list[str], list[str]]) -> Iterator[tuple[Any, ...]]:
    """One row a test."""
    past, future = range(lags + 1), range(-lags, 0)
    tests = (
        ("input", errors.ahead, past, "raise the order"),
        ("input, free run", errors.free, past, "raise the order, or try a nonlinear model"),
        ("feedback", errors.ahead, future, "the input reacts to the output: fit with focus='prediction'"),
    )
    for output, name in enumerate(names[0]):
        yield "whiteness", name, "", *whiteness(errors.ahead[:, output], lags), "raise the order"
        for column, source in enumerate(names[1]):
            seen = errors.inputs[:, column]
            if not varies(seen) or not varies(errors.ahead[:, output]):
                continue
            for test, left, reach, advice in tests:
                statistic, freedom = cross_correlation(left[:, output], seen, reach)
                yield test, name, source, statistic, float(chi2.sf(statistic, freedom)), advice
