"""Does the time of a fit grow in proportion to the data: with steps from 10² to 10⁵, and with series from 10 to 10⁵?

GRU of 16 units, one epoch. Steps: one sequence, truncated BPTT of 100, so that every step of training does the same
work. Series: 20 rows each, 32 a batch. A line fixed + each · n is fitted to the medians, with relative residuals; the
bar is that no median lies more than 15 % off it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.speed.fits.task import series
from benchmarks.speed.protocol import Case, Row, fresh, interleave, timed
from seqdyn import GRURegressor

HIDDEN, CHUNK, ROWS, BATCH = 16, 100, 20, 32
SIZES = {
    "steps": (100, 300, 1000, 3000, 10_000, 30_000, 100_000),
    "series": (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000),
}
BAR = 0.15


def measure(quick: bool, threads: int) -> list[Row]:
    """Both questions, each in a fresh process; contestants are the sizes, in turns."""
    rounds, largest = (2, 10_000) if quick else (7, 100_000)
    return [
        Row.read(fresh(in_one_process, threads=threads, what=what, rounds=rounds, largest=largest)) for what in SIZES
    ]


def in_one_process(what: str, rounds: int, largest: int) -> dict[str, Any]:
    """A stored row, whose contestants are named by their size."""
    warnings.simplefilter("ignore")
    make = {"steps": long_sequence, "series": many_series}[what]
    contestants = {str(size): timed(make(size)) for size in SIZES[what] if size <= largest}
    return interleave(Case({"what": what}, contestants, facts={"bar": BAR}), rounds, seed=0).stored()


def long_sequence(size: int) -> Callable[[], object]:
    """One epoch over one sequence, in chunks."""
    values = series(0, size + 1)
    model = GRURegressor(hidden_size=HIDDEN, bptt_length=CHUNK, max_epochs=1, random_state=0)
    return lambda: model.fit(values[:-1, None], values[1:])


def many_series(size: int) -> Callable[[], object]:
    """One epoch over short series, in batches."""
    values = np.random.default_rng(0).normal(size=(size, ROWS + 1, 1)).astype(np.float32)
    model = GRURegressor(hidden_size=HIDDEN, batch_size=BATCH, max_epochs=1, random_state=0)
    return lambda: model.fit(values[:, :-1], values[:, 1:])
