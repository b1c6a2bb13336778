"""Records: delays, gaps and slopes taken out, groups of like lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.identification.records import DataRecord, grouped

Array = np.ndarray[Any, Any]
few = settings(max_examples=40, deadline=None)


def record_of(time: int, inputs: int = 2, outputs: int = 2, lost: float = 0.0, seed: int = 0) -> DataRecord:
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(time, inputs)), random.normal(size=(time, outputs))
    return DataRecord.of(x, np.where(random.random(y.shape) < lost, np.nan, y), random.random(y.shape))


# -------------------------------------------------------------------- delays


@few
@given(delays=st.lists(st.integers(0, 9), min_size=1, max_size=4), time=st.integers(10, 30))
def test_a_delay_puts_what_acts_beside_what_it_acts_on(delays: list[int], time: int) -> None:
    record, longest = record_of(time, inputs=len(delays)), max(delays)
    late = record.delayed(delays)
    assert len(late.x) == len(late.y) == len(late.weight) == time - longest
    np.testing.assert_array_equal(late.y, record.y[longest:])
    np.testing.assert_array_equal(late.weight, record.weight[longest:])
    for step, row in enumerate(late.x):
        np.testing.assert_array_equal(row, [record.x[step + longest - d, i] for i, d in enumerate(delays)])


@few
@given(delays=st.lists(st.integers(0, 4), min_size=2, max_size=2), more=st.integers(0, 4))
def test_delays_add_up(delays: list[int], more: int) -> None:
    record = record_of(20)
    together = record.delayed([d + more for d in delays])
    one_by_one = record.delayed(delays).delayed([more, more])
    for found, expected in zip(one_by_one, together, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_without_inputs_or_delays_a_record_stays() -> None:
    record = record_of(5, inputs=0)
    for found, expected in zip(record.delayed([]), record, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("delays", [[0], [1, 1, 1], [0, -1], [0, 12], [15, 15]])
def test_delays_that_do_not_fit_are_refused(delays: list[int]) -> None:
    with pytest.raises(ValueError, match=r"do not fit a record of 12 steps and 2 inputs: give one an input"):
        record_of(12).delayed(delays)


# -------------------------------------------------------------------- gaps


@few
@given(lost=st.floats(0.0, 0.9), seed=st.integers(0, 1000))
def test_bridges_leave_what_is_known_and_count_nothing(lost: float, seed: int) -> None:
    record = record_of(30, lost=lost, seed=seed)
    bridged, known = record.bridged(), ~np.isnan(record.y)
    np.testing.assert_array_equal(bridged.y[known], record.y[known])
    assert np.isfinite(bridged.y).all()
    assert (bridged.weight[~known] == 0).all()
    for found, expected in zip(bridged.bridged(), bridged, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_bridges_are_straight() -> None:
    nan = np.nan
    record = DataRecord.of(np.zeros((6, 0)), [[nan], [1.0], [nan], [nan], [4.0], [nan]])
    np.testing.assert_allclose(record.bridged().y.ravel(), [1.0, 1.0, 2.0, 3.0, 4.0, 4.0])
    nothing = DataRecord.of(np.zeros((3, 0)), np.full((3, 1), nan))
    np.testing.assert_array_equal(nothing.bridged().y, np.zeros((3, 1)))


# -------------------------------------------------------------------- slopes


@few
@given(
    slope=st.floats(-1e3, 1e3), level=st.floats(-1e3, 1e3), lost=st.sampled_from([0.0, 0.3]), inputs=st.integers(0, 2)
)
def test_a_straight_line_is_taken_out_whatever_its_slope(slope: float, level: float, lost: float, inputs: int) -> None:
    """What is left is as of the record without the line; its mean over the known steps stays."""
    record = record_of(25, inputs, 1, lost)
    line = slope * np.arange(25.0)[:, None] + level
    moved = DataRecord.of(record.x + line, record.y + line, record.weight)
    plain, found = record.detrended(), moved.detrended()
    assert found.x.shape == record.x.shape
    for name in ("x", "y"):
        before, after = getattr(plain, name), getattr(found, name)
        known = ~np.isnan(after)
        np.testing.assert_array_equal(known, ~np.isnan(getattr(record, name)))
        means = np.nanmean(getattr(moved, name), axis=0) if after.size else []
        gap = after - before - (np.nanmean(after - before, axis=0) if after.size else 0.0)
        np.testing.assert_allclose(gap[known], 0, atol=1e-10 * (1 + abs(slope) * 25 + abs(level)))
        np.testing.assert_allclose(np.nanmean(after, axis=0) if after.size else [], means, atol=1e-8)


def test_detrended_twice_is_detrended_once_and_two_values_have_no_slope() -> None:
    record = record_of(40, lost=0.2).detrended()
    np.testing.assert_allclose(record.detrended().y, record.y, atol=1e-12)
    short = DataRecord.of([[1.0], [2.0]], [[5.0], [9.0]])
    np.testing.assert_array_equal(short.detrended().y, short.y)


# -------------------------------------------------------------------- groups


@few
@given(times=st.lists(st.integers(1, 70), min_size=1, max_size=12))
def test_groups_hold_every_record_once_and_pad_less_than_twice(times: list[int]) -> None:
    records = [record_of(time, lost=0.2, seed=place) for place, time in enumerate(times)]
    groups = grouped(records)
    assert sorted(place for group in groups for place in group.places) == list(range(len(times)))
    for group in groups:
        lengths = [times[place] for place in group.places]
        assert group.x.shape[1] == max(lengths) < 2 * min(lengths)
        for row, place in enumerate(group.places):
            weight, expected = group.weight[row].numpy(), records[place].weight
            np.testing.assert_array_equal(weight[: len(expected)], expected)
            assert not weight[len(expected) :].any()


def test_missing_outputs_never_count() -> None:
    record = DataRecord.of([[1.0], [2.0]], [[np.nan], [3.0]], [[5.0], [2.0]])
    np.testing.assert_array_equal(record.weight, [[0.0], [2.0]])
    np.testing.assert_array_equal(DataRecord.of([[1.0], [2.0]], [[np.nan], [3.0]]).weight, [[0.0], [1.0]])
    np.testing.assert_array_equal(record.before(1).weight, [[0.0]])


@pytest.mark.parametrize(("x", "y"), [([1.0], [[1.0]]), ([[1.0]], [1.0]), ([[1.0]], [[1.0], [2.0]])])
def test_shapes_that_do_not_fit_are_refused(x: Any, y: Any) -> None:
    with pytest.raises(ValueError, match=r"must be \(time, inputs\) and \(time, outputs\) of one length"):
        DataRecord.of(x, y)
