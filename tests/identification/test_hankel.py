"""The triangular factor of the block Hankel matrices: all that records say, and nothing across their borders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqdyn.identification import hankel
from seqdyn.identification.hankel import Factor, factor
from seqdyn.identification.records import DataRecord

Array = np.ndarray[Any, Any]
WIDTHS = [(1, 1), (2, 1), (1, 3), (0, 2)]


def drawn(time: int, inputs: int = 2, outputs: int = 1, seed: int = 0) -> DataRecord:
    random = np.random.default_rng(seed)
    return DataRecord.of(3.0 + random.normal(size=(time, inputs)), random.normal(size=(time, outputs)) - 1.0)


def columns(record: DataRecord, past: int, future: int) -> Array:
    """[U_f; U_p; Y_p; Y_f], one column for every instant of a record with nothing missing, step by step."""
    found = []
    for now in range(past, len(record.x) - future + 1):
        before, after = slice(now - past, now), slice(now, now + future)
        parts = record.x[after], record.x[before], record.y[before], record.y[after]
        column = np.concatenate([part.ravel() for part in parts])
        if not np.isnan(column).any():
            found.append(column)
    width = (past + future) * (record.x.shape[1] + record.y.shape[1])
    return np.reshape(found, (len(found), width)).T


def covariance(blocks: Array) -> Array:
    """Of rows whose means have been taken out."""
    centred = blocks - blocks.mean(axis=1, keepdims=True)
    return centred @ centred.T / blocks.shape[1]


def assert_factor_of(data: Factor, blocks: Array) -> None:
    assert data.columns == blocks.shape[1]
    np.testing.assert_allclose(data.lower @ data.lower.T, covariance(blocks), atol=1e-12)
    np.testing.assert_array_equal(data.lower, np.tril(data.lower))


@pytest.mark.parametrize(("past", "future"), [(3, 3), (2, 4), (5, 2)])
@pytest.mark.parametrize(("inputs", "outputs"), WIDTHS)
def test_the_factor_is_a_root_of_the_covariance_of_the_columns(
    inputs: int, outputs: int, past: int, future: int
) -> None:
    record = drawn(60, inputs, outputs)
    assert_factor_of(factor([record], past, future), columns(record, past, future))


def test_the_blocks_stand_where_past_and_future_meet() -> None:
    data = factor([drawn(80, 2, 3)], past=4, future=5)
    rows = [[data.block(row, column) for column in (1, 2, 3)] for row in (1, 2, 3)]
    assert [block[0].shape[0] for block in rows] == [5 * 2, 4 * 5, 5 * 3]
    np.testing.assert_array_equal(np.block(rows), data.lower)


def test_several_records_are_their_columns_side_by_side() -> None:
    """Records of unlike lengths; the one that is shorter than a column gives none."""
    records = [drawn(time, seed=time) for time in (40, 7, 23, 8)]
    whole = np.hstack([columns(record, 4, 4) for record in records])
    assert whole.shape[1] == 33 + 0 + 16 + 1
    assert_factor_of(factor(records, 4, 4), whole)


def test_no_column_holds_a_missing_value() -> None:
    """One NaN costs the columns that touch it, past + future of them, in whatever output it is."""
    record = drawn(60, 1, 2)
    record.y[20, 1] = record.y[50, 0] = np.nan
    data = factor([record], 3, 4)
    assert data.columns == 54 - 7 - 7
    assert_factor_of(data, columns(record, 3, 4))


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_change_nothing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [drawn(90, seed=1), drawn(33, seed=2)]
    records[0].y[40] = np.nan
    whole = factor(records, 3, 3)
    monkeypatch.setattr(hankel, "HANKEL_COLUMNS_AT_ONCE", chunk)
    parts = factor(records, 3, 3)
    assert parts.columns == whole.columns
    np.testing.assert_allclose(parts.lower @ parts.lower.T, whole.lower @ whole.lower.T, atol=1e-12)


@pytest.mark.parametrize("gap", [slice(20, 80), slice(None)], ids=["a long gap", "nothing measured"])
def test_a_chunk_without_known_columns_gives_none(gap: slice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hankel, "HANKEL_COLUMNS_AT_ONCE", 16)
    records = [drawn(100, seed=1), drawn(60, seed=2)]
    records[0].y[gap] = np.nan
    assert_factor_of(factor(records, 3, 3), np.hstack([columns(record, 3, 3) for record in records]))


def test_a_mean_says_nothing() -> None:
    record = drawn(70)
    moved = DataRecord.of(record.x + 100.0, record.y - 50.0)
    one, other = factor([record], 3, 3), factor([moved], 3, 3)
    np.testing.assert_allclose(one.lower @ one.lower.T, other.lower @ other.lower.T, atol=1e-10)


def test_outputs_that_come_back_as_inputs_are_seen() -> None:
    """X = the series and y = the series a step later; with noise on top, or two steps later, they do not come back."""
    series = np.random.default_rng(0).normal(size=(200, 1)).cumsum(axis=0)
    noise = 0.01 * np.random.default_rng(1).normal(size=(199, 1))
    assert factor([DataRecord.of(series[:-1], series[1:])], 5, 5).inputs_hold_outputs
    assert not factor([DataRecord.of(series[:-1], series[1:] + noise)], 5, 5).inputs_hold_outputs
    assert not factor([drawn(200)], 5, 5).inputs_hold_outputs


def test_fewer_columns_than_rows_still_have_a_factor() -> None:
    """Also none at all: the factor is then 0."""
    record = drawn(12)
    assert_factor_of(factor([record], 4, 4), columns(record, 4, 4))
    nothing = factor([drawn(5)], 4, 4)
    assert nothing.columns == 0
    assert not nothing.lower.any()
