"""Transforms: backward undoes forward, nothing leaks from later rows, and no series makes a scale of 0."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.data.panel_additions import read_more
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel, Roles
from seqdyn.files import read, write
from seqdyn.forecasting.transform import SCALINGS, SeriesTransform

Array = np.ndarray[Any, Any]
M = 4
EVERY = list(itertools.product([False, "auto"], [0, 1, 2], [0, 1, 2], SCALINGS))
CASES = pytest.mark.parametrize(("log", "d", "D", "scaling"), EVERY)


def panel_of(*series: Any, gaps: Any = ()) -> Panel:
    """Series as columns of a long frame, by step; ``gaps`` are rows that are not there."""
    frame = pd.concat([pd.DataFrame({"unique_id": i, "ds": range(len(y)), "y": y}) for i, y in enumerate(series)])
    return read_panel(frame.reset_index(drop=True).drop(index=list(gaps)).astype({"y": float}))


def series(length: int = 40, seed: int = 0) -> Array:
    """Positive, with trend and season."""
    steps = np.arange(length)
    noise = np.random.default_rng(seed).normal(size=length)
    return np.exp(2 + 0.02 * steps + 0.3 * np.sin(2 * np.pi * steps / M) + 0.05 * noise)


def typical() -> Panel:
    """Two positive series of unlike lengths and one with negative values; some rows are missing."""
    return panel_of(series(40), series(25, 1) - 8, series(33, 2), gaps=[7, 8, 20, 45, 80])


@CASES
def test_backward_undoes_forward(log: Any, d: int, D: int, scaling: str | None) -> None:
    """From any origin after which no row is missing, whatever gaps there are before it."""
    panel = typical()
    transform = SeriesTransform.fit(panel, log, d, D, M, scaling)
    assert transform.memory == d + M * D and (transform.scale > 0).all()
    numbers = np.array([0, 1, 2])
    rows = panel.ends - np.array([5, 3, 8])
    z = transform.forward(panel)[:, 0]
    tails = transform.tails(panel, numbers, rows)
    for number, row in enumerate(rows):
        expected = panel.target[row : panel.ends[number]]
        true = transform.levels(panel)[row - transform.memory : row]
        ahead = z[row : panel.ends[number]]
        if not np.isnan(true).any():
            np.testing.assert_allclose(tails[number], true)
        filled = np.where(np.isnan(true), tails[number], true)
        if not np.isnan(ahead).any():
            found = transform.backward(ahead[None], numbers[[number]], filled[None])
            np.testing.assert_allclose(found[0], expected, rtol=1e-8)
            several = np.repeat(ahead[None, :, None], 3, axis=2)  # with a last axis, as paths and quantiles have
            found = transform.backward(several, numbers[[number]], filled[None])
            np.testing.assert_allclose(found[0], np.repeat(expected[:, None], 3, axis=1), rtol=1e-8)


@CASES
def test_rows_to_come_change_nothing(log: Any, d: int, D: int, scaling: str | None) -> None:
    """The transform of the head is the head of the transform, also when it was fitted there."""
    panel = typical()
    head = panel.head(np.array([20, 18, 26]))
    transform = SeriesTransform.fit(head, log, d, D, M, scaling)
    kept = panel.steps < np.array([20, 18, 26])[panel.series]
    np.testing.assert_array_equal(transform.forward(panel)[kept], transform.forward(head))
    changed = Panel(**{**vars(panel), "target": np.where(kept, panel.target, panel.target * 1.5 + 1)})
    np.testing.assert_array_equal(transform.forward(changed)[kept], transform.forward(head))
    rows = panel.starts + np.array([20, 18, 26])
    tails = transform.tails(changed, np.arange(3), rows)
    np.testing.assert_array_equal(tails, transform.tails(head, np.arange(3), head.ends))
    again = SeriesTransform.fit(changed.head(head.lengths), log, d, D, M, scaling)
    np.testing.assert_array_equal(again.scale, transform.scale)


@pytest.mark.parametrize(("d", "D"), [*itertools.product([0, 1, 2], [0, 1])])
def test_differences_are_those_of_pandas(d: int, D: int) -> None:
    """(1 − L)^d (1 − L^m)^D of each series by itself; NaN where it needs a row that is not there."""
    panel = typical()
    found = SeriesTransform.fit(panel, False, d, D, M, None).forward(panel)[:, 0]
    for number in range(3):
        own = pd.Series(panel.target[panel.rows(number)])
        for lag in [1] * d + [M] * D:
            own = own.diff(lag)
        np.testing.assert_allclose(found[panel.rows(number)], own, atol=1e-9)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_scales_are_those_of_numpy(scaling: str | None) -> None:
    """Series by series, missing values left out."""
    panel = typical()
    transform = SeriesTransform.fit(panel, False, 0, 0, M, scaling)
    for number in range(3):
        y = panel.target[panel.rows(number)]
        low, middle, high = np.nanquantile(y, [0.25, 0.5, 0.75])
        centre, scale = {
            "standard": (np.nanmean(y), np.nanstd(y)),
            "robust": (middle, (high - low) / 1.349),
            "mean": (0.0, np.nanmean(np.abs(y))),
            "seasonal": (np.nanmean(y), np.nanmean(np.abs(y[M:] - y[:-M]))),
            None: (0.0, 1.0),
        }[scaling]
        assert transform.centre[number, 0] == pytest.approx(centre)
        assert transform.scale[number, 0] == pytest.approx(scale)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scales_with_any_gaps(data: Any) -> None:
    """Quartiles of a few known values are numpy's."""
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    values = [data.draw(st.lists(st.integers(-3, 3) | st.just(np.nan), min_size=n, max_size=n)) for n in lengths]
    panel = panel_of(*[[1.0, *own] for own in values])
    found = SeriesTransform.fit(panel, False, 0, 0, M, "robust").centre[:, 0]
    np.testing.assert_allclose(found, [np.nanmedian([1.0, *own]) for own in values])


@CASES
@pytest.mark.parametrize("level", [0.0, 1e-12, 5.0, -3e9])
def test_constant_series(log: Any, d: int, D: int, scaling: str | None, level: float) -> None:
    """They are 0 on their scale, finite, and come back as they are."""
    panel = panel_of(np.full(30, level), series(30))
    transform = SeriesTransform.fit(panel, log, d, D, M, scaling)
    z = transform.forward(panel)[transform.memory : 30, 0]
    assert (transform.scale > 0).all() and np.isfinite(z).all() and np.ptp(z) <= 1e-6
    if scaling not in (None, "mean") or transform.memory:
        assert np.abs(z).max() <= 1e-6
    tails = transform.tails(panel, np.array([0]), np.array([30]))
    back = transform.backward(z[None, :4], np.array([0]), tails)
    np.testing.assert_allclose(back, level, rtol=1e-9)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_long_runs_of_zeros(scaling: str | None) -> None:
    """A quartile range or seasonal step of 0 gives way to the standard deviation."""
    y = np.zeros(200)
    y[[50, 51, 120]] = 7.0, 3.0, 9.0
    panel = panel_of(y, np.tile([1.0, 5.0, 2.0, 8.0], 10))
    transform = SeriesTransform.fit(panel, "auto", 0, 0, M, scaling)
    assert transform.log.tolist() == [False, True]
    z = transform.forward(panel)[:, 0]
    assert np.abs(z).max() < 100
    if scaling in ("robust", "seasonal"):
        assert transform.scale[0, 0] == pytest.approx(
            np.std(y) if scaling == "robust" else np.mean(np.abs(y[4:] - y[:-4]))
        )
        assert transform.scale[1, 0] > 0.1  # a perfect season leaves nothing to step


def test_covariates_are_scaled_and_not_differenced() -> None:
    """A constant one is divided by its size: should it change, that is a step of one, not of a thousand million."""
    frame = pd.DataFrame({"y": series(20), "p": np.arange(20.0), "flag": 3.0, "none": 0.0, "gone": np.nan})
    panel = read_panel(frame, Roles(past=("p", "flag", "none", "gone")))
    transform = SeriesTransform.fit(panel, "auto", 1, 0, M, "standard")
    z = transform.forward(panel)
    np.testing.assert_allclose(z[:, 1], (np.arange(20) - 9.5) / np.std(np.arange(20)))
    assert transform.scale[0, 2:].tolist() == [3, 1, 1] and transform.centre[0, 2:].tolist() == [3, 0, 0]
    assert np.isnan(z[0, 0]) and np.isfinite(z[1:, 0]).all() and np.isnan(z[:, 4]).all()


def test_logarithms() -> None:
    """Where a series is positive; asked for, or met later, where it is not, they are an error."""
    panel = panel_of([1.0, 2.0, 3.0], [1.0, 0.0, 3.0], [1.0, np.nan, 3.0])
    transform = SeriesTransform.fit(panel, "auto", 0, 0, 1, None)
    assert transform.log.tolist() == [True, False, True]
    expected = [*np.log([1, 2, 3]), 1, 0, 3, 0, np.nan, np.log(3)]
    np.testing.assert_allclose(transform.levels(panel), expected)
    assert not SeriesTransform.fit(panel, False, 0, 0, 1, None).log.any()
    with pytest.raises(ValueError, match=r"log=True needs positive series, but 1 has the value 0\. Take log='auto'"):
        SeriesTransform.fit(panel, True, 0, 0, 1, None)
    later = panel_of([1.0, 2.0, -3.0], [1.0, 0.0, 3.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="Series 0 is -3 at 2, but its logarithm is modelled: it must stay positive"):
        transform.forward(later)
    assert np.isfinite(transform.to_data(np.array([[1e9], [1e9], [-1e9]]), np.arange(3))).all()


@pytest.mark.parametrize(("d", "D"), [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)])
@pytest.mark.parametrize("gaps", [(), (28,), (30, 31), (29, 33)])
def test_going_on_is_reading_the_whole(d: int, D: int, gaps: tuple[int, ...]) -> None:
    """Tails and recent values moved along new rows, in any chunks, are those of the whole."""
    y = series(36)
    y[list(gaps)] = np.nan
    frame = pd.DataFrame({"a": y, "b": series(36, 1)})
    whole = read_panel(frame)
    first = read_panel(frame[:26])
    transform = SeriesTransform.fit(first, "auto", d, D, M, "standard")
    everyone = np.arange(2)
    known, tails, recent = first, transform.tails(first, everyone, first.ends), transform.recent(first)
    pieces = []
    for begin, end in itertools.pairwise([26, 27, 30, 31, 36]):
        new = read_more(frame[begin:end], known)
        pieces.append(np.stack(np.split(transform.forward(new, recent)[:, 0], 2)))
        tails, recent = transform.moved(new, tails, recent)
        known = known.joined(new)
    expected = np.stack(np.split(transform.forward(whole)[:, 0], 2))[:, 26:]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, atol=1e-9)
    np.testing.assert_allclose(tails, transform.tails(whole, everyone, whole.ends))
    np.testing.assert_array_equal(recent, transform.recent(whole))


def test_tails_of_short_histories() -> None:
    """What lies before a series is its own first value, never the neighbour's."""
    panel = panel_of([100.0] * 20, [1.0, 2.0, 3.0])
    transform = SeriesTransform.fit(panel, False, 1, 1, M, None)
    tails = transform.tails(panel, np.array([1, 0]), np.array([22, 1]))
    assert tails.tolist() == [[1.0, 1.0, 1.0, 1.0, 2.0], [100.0] * 5]
    recent = transform.recent(panel)[1]
    np.testing.assert_array_equal(recent, [np.nan, np.nan, 1, 2, 3])


def test_tails_are_filled_by_phase() -> None:
    """With a seasonal difference by the same phase a season before; else by the last value."""
    panel = panel_of([1.0, 2.0, 3.0, 4.0, 5.0, np.nan, np.nan, 8.0])
    seasonal = SeriesTransform.fit(panel, False, 0, 1, M, None)
    assert seasonal.tails(panel, np.array([0]), np.array([8])).tolist() == [[5, 2, 3, 8]]
    plain = SeriesTransform.fit(panel, False, 2, 0, M, None)
    assert plain.tails(panel, np.array([0]), np.array([7])).tolist() == [[5, 5]]


def test_selection_and_files(tmp_path: Path) -> None:
    """Some of the series; the same from a file."""
    panel = typical()
    transform = SeriesTransform.fit(panel, "auto", 1, 1, M, "standard")
    write(tmp_path / "transform", transform)
    again = read(tmp_path / "transform")
    np.testing.assert_array_equal(again.forward(panel), transform.forward(panel))
    part = panel.select(np.array([2]))
    own = transform.select(np.array([2])).forward(part)
    np.testing.assert_array_equal(own, transform.forward(panel)[panel.rows(2)])
