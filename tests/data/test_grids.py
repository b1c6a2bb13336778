"""Grids: the frequency is found with rows missing, kept over DST and month ends, and refused where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.data.grids import Grid, grid_of, positions
from seqdyn.data.offsets import unit_of

FREQS = ["s", "10s", "min", "15min", "h", "2h", "6h", "D", "B", "W-SUN", "W-WED", "MS", "ME", "BME", "QS-JAN", "QE-DEC",
         "YS-JAN", "YE-DEC"]  # fmt: skip
ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("freq", FREQS)
def test_the_frequency_is_found(freq: str, zone: str | None) -> None:
    """Of whole stretches, and with rows missing here and there; also over a change of the clocks."""
    full = pd.date_range("2023-03-20", periods=60, freq=freq, tz=zone)
    for stamps in (full, full.delete([3, 4, 20, 41]), full[np.r_[0:20, 30:60]]):
        grid = grid_of(stamps)
        assert grid.kind == "datetime"
        assert grid.between(stamps[0], stamps[-1]).equals(full)
        assert grid.after(full[10], 5).equals(full[11:16])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["15min", "h", "D", "B", "W-WED", "MS", "ME", "QE-DEC"]), st.data())
def test_gaps_change_nothing(freq: str, data: Any) -> None:
    """Whatever rows are missing, as long as three follow on one another somewhere."""
    full = pd.date_range("2022-01-03", periods=40, freq=freq, tz="Europe/Berlin")
    start = data.draw(st.integers(0, 34))
    lone = data.draw(st.sets(st.integers(0, 39), max_size=12))
    kept = sorted(lone | set(range(start, start + 6)))
    stamps = full[kept]
    expected = full[kept[0] : kept[-1] + 1]
    assert grid_of(stamps).between(stamps[0], stamps[-1]).equals(expected)


def test_a_gap_of_seventeen_hours_is_no_night() -> None:
    """pandas calls such stamps business hours, which they do not lie on."""
    full = pd.date_range("2022-01-03", periods=23, freq="h", tz="Europe/Berlin")
    grid = grid_of(full[[0, 1, 2, 3, 4, 5, 22]])
    assert grid.freq == "h" and grid.between(full[0], full[22]).equals(full)
    office = pd.date_range("2022-01-03 09:00", periods=40, freq="bh")
    assert grid_of(office).between(office[0], office[-1]).equals(office)


@pytest.mark.parametrize("freq", ["h", "D", "W-SUN", "M", "Q-DEC", "Y-DEC", "2M", "30min"])
def test_periods(freq: str) -> None:
    """Their frequency is known; the same one may be given."""
    full = pd.period_range("2020-01-01", periods=20, freq=freq)
    stamps = full.delete([3, 4])
    grid = grid_of(stamps)
    assert grid == Grid(full.freqstr, "period") == grid_of(stamps, freq)
    assert grid.between(stamps[0], stamps[-1]).equals(full) and grid.after(full[10], 3).equals(full[11:14])
    assert grid.season_length() >= 1
    with pytest.raises(ValueError, match="leave it out"):
        grid_of(stamps, "7D")


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "Int64"])
def test_integers(dtype: str) -> None:
    """The step divides all gaps; a given one must fit."""
    stamps = pd.Index([3, 5, 9, 11], dtype=dtype)
    assert grid_of(stamps) == Grid(2, "integer") == grid_of(stamps, 2)
    assert list(grid_of(stamps, 1).between(3, 6)) == [3, 4, 5, 6]
    assert list(grid_of(stamps).after(11, 2)) == [13, 15]
    assert grid_of(stamps[:1]).freq == 1 and grid_of(stamps).season_length() == 1
    for freq in (0, -2, 1.5, "h", True):
        with pytest.raises(ValueError, match="step of at least 1"):
            grid_of(stamps, freq)
    with pytest.raises(ValueError, match=r"5 does not lie on the grid of freq=6 that begins at 3"):
        grid_of(stamps, 6)


def test_the_clocks_change() -> None:
    """A day is a day on the wall clock, an hour an hour."""
    days = pd.date_range("2024-03-29", periods=6, freq="D", tz="Europe/Berlin")
    assert grid_of(days).after(days[0], 5).equals(days[1:])
    apart = days[[0, 2, 5]]  # no two follow on one another: only the greatest common divisor is left
    assert grid_of(apart).between(days[0], days[-1]).equals(days)
    skipped = pd.date_range("2018-10-20", "2018-11-20", freq="D").tz_localize(
        "America/Sao_Paulo", nonexistent="shift_forward"
    )
    assert skipped[15].hour == 1  # there was no midnight
    assert grid_of(skipped).between(skipped[0], skipped[-1]).equals(skipped)
    assert grid_of(skipped[:10]).after(skipped[9], 22).equals(skipped[10:])
    doubled = pd.date_range("2024-10-20 02:30", periods=14, freq="D").tz_localize(
        "Europe/Berlin", ambiguous=np.ones(14, bool)
    )
    assert grid_of(doubled.delete(3)).between(doubled[0], doubled[-1]).equals(doubled)
    hours = pd.date_range("2024-03-30 20:00", "2024-03-31 08:00", freq="h", tz="Europe/Berlin")
    assert len(hours) == 12 and grid_of(hours.delete(5)).between(hours[0], hours[-1]).equals(hours)


@pytest.mark.parametrize(
    ("freq", "season"),
    [("s", 60), ("10s", 6), ("ms", 1), ("min", 1440), ("5min", 288), ("90min", 16), ("60min", 24), ("3600s", 24),
     ("h", 24), ("2h", 12), ("5h", 1), ("24h", 7), ("D", 7), ("2D", 1), ("B", 5), ("W", 52), ("W-MON", 52), ("2W", 26),
     ("MS", 12), ("ME", 12), ("BME", 12), ("3MS", 4), ("QS-OCT", 4), ("QE", 4), ("BQE", 4), ("YS", 1), ("YE", 1),
     ("SMS", 24), ("SME-10", 24), ("LWOM-FRI", 12), ("WOM-2TUE", 12), ("REQ-N-JAN-SUN-4", 4), ("RE-L-JAN-SUN", 1)],
)  # fmt: skip
def test_season_lengths(freq: str, season: int) -> None:
    """m of the documented table; a multiple divides it where it can."""
    assert Grid(freq, "datetime").season_length() == season


@pytest.mark.parametrize(
    ("freq", "season"), [("M", 12), ("2M", 6), ("Q-DEC", 4), ("Y-DEC", 1), ("W-SUN", 52), ("D", 7), ("h", 24)]
)
def test_season_lengths_of_periods(freq: str, season: int) -> None:
    """They have names of their own."""
    assert Grid(freq, "period").season_length() == season
    assert unit_of(freq)[1] == int(freq[0] == "2") + 1


def test_a_given_frequency() -> None:
    """It is spelled as pandas does, and must fit; two rows are enough, then."""
    stamps = pd.to_datetime(["2020-01-01", "2020-01-03"])
    assert grid_of(stamps, "D").freq == "D" and grid_of(stamps, pd.offsets.Day()).freq == "D"
    assert grid_of(stamps[:1], "D").after(stamps[0], 1)[0] == pd.Timestamp("2020-01-02")
    with pytest.raises(ValueError, match="2020-01-03.*does not lie on the grid of freq='MS'"):
        grid_of(stamps, "MS")
    with pytest.raises(ValueError, match="2020-01-01.*does not lie on the grid of freq='W-SUN'"):
        grid_of(stamps, "W")
    for wrong in ("hourly", "-1D", 3.5, "H2"):
        with pytest.raises(ValueError, match="no pandas frequency"):
            grid_of(stamps, wrong)


@pytest.mark.parametrize(
    "stamps",
    [
        pd.to_datetime(["2020-01-01"]),
        pd.to_datetime(["2020-01-01", "2020-02-01"]),
        pd.to_datetime([1, 36_720_000_000_000_000, 141_000_000_000_000_007]),
    ],
)
def test_no_frequency(stamps: pd.DatetimeIndex) -> None:
    """Too few stamps, or so irregular that a grid would have billions of instants: no memory is asked for."""
    with pytest.raises(ValueError, match="No frequency fits"):
        grid_of(stamps)


@pytest.mark.parametrize("stamps", [pd.Index(["a", "b"]), pd.Index([True, False])])
def test_times_that_are_none(stamps: pd.Index) -> None:
    """Strings and truth values."""
    with pytest.raises(ValueError, match="Times must be dates, periods or numbers"):
        grid_of(stamps)


def test_positions() -> None:
    """−1 for what is not on the grid."""
    full = pd.date_range("2020", periods=4, freq="D")
    assert positions(full[[2, 0]].append(pd.to_datetime(["2019-01-01"])), full).tolist() == [2, 0, -1]


def test_grids_that_are_spelled_differently() -> None:
    """The same instants are the same grid, wherever they begin; other holidays are another one."""
    first, last = pd.Timestamp("2024-01-01"), pd.Timestamp("2025-01-01")
    for one, other, same in [
        ("3MS", "QS-JAN", True),
        ("7D", "W-MON", True),
        ("12MS", "YS", True),
        ("24h", "D", True),
        (pd.DateOffset(months=1, day=1), "MS", True),
        ("3MS", "MS", False),
        ("B", pd.offsets.CustomBusinessDay(), True),
        ("B", pd.offsets.CustomBusinessDay(holidays=["2024-12-25"]), False),
    ]:
        assert Grid(one, "datetime").same(Grid(other, "datetime"), first, last) is same
    assert not Grid("MS", "datetime").same(Grid("QS", "datetime"), first, first)  # one instant says nothing
    assert not Grid("M", "period").same(Grid("Q-DEC", "period"), pd.Period("2024-01"), pd.Period("2024-05"))
    assert Grid(2, "integer").same(Grid(2, "integer"), 0, 4) and not Grid(2, "integer").same(Grid(2.0, "float"), 0, 4)
