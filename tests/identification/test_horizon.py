"""How far the Hankel matrices look: as far as the data allow, and an error with the right numbers where they do not."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.identification.hankel import BLOCK_ROWS, TooShort, horizon
from seqdyn.identification.records import DataRecord


def record_of(time: int, inputs: int = 1, outputs: int = 1, seed: int = 0) -> DataRecord:
    random = np.random.default_rng(seed)
    return DataRecord.of(random.normal(size=(time, inputs)), random.normal(size=(time, outputs)))


@settings(max_examples=40, deadline=None)
@given(order=st.integers(1, 8), inputs=st.integers(0, 3), outputs=st.integers(1, 3))
def test_the_length_that_the_error_names_is_the_least_that_suffices(order: int, inputs: int, outputs: int) -> None:
    with pytest.raises(TooShort) as raised:
        horizon([record_of(5, inputs, outputs)], order, None)
    named = re.search(r"as a record of (\d+) steps has", str(raised.value))
    assert named is not None
    steps = int(named[1])
    data = horizon([record_of(steps, inputs, outputs)], order, None)
    assert data.past == data.future == math.ceil(order / outputs) + 1
    with pytest.raises(TooShort, match=f"an order of {order} with {inputs} inputs and {outputs} outputs"):
        horizon([record_of(steps - 1, inputs, outputs)], order, None)


@settings(max_examples=25, deadline=None)
@given(time=st.integers(40, 400), inputs=st.integers(0, 2))
def test_two_columns_for_every_row_where_there_is_a_choice(time: int, inputs: int) -> None:
    """Or the least number of block rows; never more than 20."""
    data = horizon([record_of(time, inputs)], 1, None)
    rows = data.past
    assert 2 <= rows <= BLOCK_ROWS
    assert rows == 2 or data.columns >= 4 * rows * (inputs + 1)
    more = rows + 1
    assert rows == BLOCK_ROWS or time - 2 * more + 1 < 4 * more * (inputs + 1)


def test_high_orders_look_farther_than_twenty_steps() -> None:
    assert horizon([record_of(500)], 25, None).past == 26


def test_what_is_asked_for_is_taken() -> None:
    assert horizon([record_of(300)], 2, 7).past == 7
    with pytest.raises(TooShort, match="an order of 3 .* needs 4 block rows.* Set block_rows=4 or more, or None"):
        horizon([record_of(300)], 3, 2)
    with pytest.raises(TooShort, match="block_rows=90 with .* a record of 539 steps has. Set block_rows=None .*lower"):
        horizon([record_of(200)], 3, 90)


def test_short_records_count_together() -> None:
    pieces = [record_of(15, seed=seed) for seed in range(20)]
    data = horizon(pieces, 1, None)
    assert data.columns == 20 * (15 - 2 * data.past + 1)
    with pytest.raises(TooShort):
        horizon(pieces[:1], 4, None)


def test_gaps_shorten_the_look_and_many_gaps_are_bridged() -> None:
    """Every fifth output missing: no stretch of known steps is long enough, and straight lines fill them."""
    record = record_of(300)
    once = record.y.copy()
    once[150] = np.nan
    assert horizon([DataRecord.of(record.x, once)], 2, 10).columns == 300 - 19 - 20
    often = record.y.copy()
    often[::5] = np.nan
    assert horizon([DataRecord.of(record.x, often)], 6, None).columns > 200
