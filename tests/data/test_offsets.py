"""Offsets: every step that pandas has is a grid, kept whole in files, and found again where stamps tell of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqdyn.data.grids import Grid, candidate_frequencies, grid_of
from seqdyn.data.offsets import monthly, offset_content, offset_from, offset_of, season_of, spelled, unit_of
from seqdyn.data.panel_reading import read_panel
from seqdyn.files import read, write

CLOSED = ["2023-04-07", "2023-04-10", "2023-05-01"]
QUARTERS = pd.offsets.FY5253Quarter(qtr_with_extra_week=4, startingMonth=1, weekday=6, variation="nearest")
OPEN_ON_SATURDAYS = np.busdaycalendar(weekmask="1111110", holidays=CLOSED)

OFFSETS: dict[str, tuple[Any, int]] = {
    "business days": ("B", 5),
    "business days with holidays": (pd.offsets.CustomBusinessDay(holidays=CLOSED), 5),
    "every other open day": (pd.offsets.CustomBusinessDay(2, holidays=CLOSED), 1),
    "three days a week": (pd.offsets.CustomBusinessDay(weekmask="Mon Wed Fri", holidays=CLOSED), 3),
    "numpy's calendar": (pd.offsets.CustomBusinessDay(calendar=OPEN_ON_SATURDAYS), 6),
    "4-4-5 quarters": (QUARTERS, 4),
    "4-4-5 years": (pd.offsets.FY5253(startingMonth=1, weekday=6, variation="last"), 1),
    "semi-month ends": ("SME", 24),
    "semi-month starts": ("SMS", 24),
    "last Fridays": ("LWOM-FRI", 12),
    "second Tuesdays": ("WOM-2TUE", 12),
    "business months with holidays": (pd.offsets.CustomBusinessMonthEnd(holidays=["2023-03-31"]), 12),
    "weeks from the first stamp": (pd.offsets.Week(), 52),
    "months": (pd.DateOffset(months=1), 12),
    "two months": (pd.DateOffset(2, months=1), 6),
    "quarters": (pd.DateOffset(months=3), 4),
    "years": (pd.DateOffset(years=1), 1),
    "weeks": (pd.DateOffset(weeks=1), 52),
    "half years": ("HYE", 2),
    "business hours": (pd.offsets.BusinessHour(start="08:00", end="12:00"), 1),
    "Easter": (pd.offsets.Easter(), 1),
}  # fmt: skip
TABLE = pytest.mark.parametrize(("freq", "season"), OFFSETS.values(), ids=OFFSETS)


@TABLE
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_grids_continue_as_pandas_does(freq: Any, season: int, zone: str | None) -> None:
    """``between`` and ``after`` are pandas' own date_range, with rows missing here and there."""
    full = pd.date_range("2023-03-15", periods=60, freq=freq, tz=zone)
    for stamps in (full, full.delete([3, 4, 20, 41])):
        grid = grid_of(stamps, freq)
        assert grid.between(stamps[0], stamps[-1]).equals(full)
        assert grid.after(full[10], 5).equals(full[11:16])
        assert grid == grid_of(stamps, grid.freq)


@TABLE
def test_seasons(freq: Any, season: int) -> None:
    """m of every one of them."""
    assert season_of(freq) == season == Grid(freq, "datetime").season_length()


@TABLE
def test_offsets_in_files(freq: Any, season: int, tmp_path: Path) -> None:
    """As a name and keyword arguments, in plain JSON; what comes back makes the same instants, and is the same."""
    grid = grid_of(pd.date_range("2023-03-15", periods=60, freq=freq), freq)
    offset = offset_of(grid.freq)
    again = offset_from(json.loads(json.dumps(offset_content(offset))))
    assert again == offset and copy.deepcopy(offset) == offset
    expected = pd.date_range("2023-03-15", periods=400, freq=freq)
    write(tmp_path / "grid", {"grid": grid, "freq": freq})
    found = read(tmp_path / "grid")
    assert found["grid"] == grid
    assert pd.date_range("2023-03-15", periods=400, freq=found["freq"]).equals(expected)
    assert spelled(offset_of(found["grid"].freq)) == grid.freq


@pytest.mark.parametrize("name", ["semi-month ends", "4-4-5 quarters", "last Fridays", "business days with holidays"])
def test_what_the_index_says_counts(name: str) -> None:
    """Nothing is guessed over it: in a Series, a wide frame, turned round, and with two rows."""
    freq = OFFSETS[name][0]
    index = pd.date_range("2023-03-15", periods=30, freq=freq)
    series = pd.Series(np.arange(30.0), index)
    for data in (series, series.to_frame("a"), series.iloc[::-1], series.iloc[:2], pd.concat({"a": series})):
        panel = read_panel(data)
        assert panel.ahead(1)[0][0] == pd.date_range(panel.last[0], periods=2, freq=freq)[1]
        assert (panel.lengths == len(data)).all()
    with pytest.raises(ValueError, match="does not lie on the grid of freq='3D'"):
        read_panel(series, freq="3D")  # what is given counts more


@pytest.mark.parametrize("day", [*range(1, 32)])
@pytest.mark.parametrize("months", [1, 3, 12])
def test_a_day_of_the_month_is_found(day: int, months: int) -> None:
    """Also one that short months do not have, with rows missing, at any hour, and given without its day."""
    start = pd.Timestamp("2023-01-01 06:00")
    firsts = [start + pd.DateOffset(months=months * step) for step in range(30)]
    full = pd.DatetimeIndex([first + pd.Timedelta(min(day, first.days_in_month) - 1, "D") for first in firsts])
    for stamps in (full, full[[0, 1, 2]], full.delete([3, 4, 20])):
        for freq in (None, pd.DateOffset(months=months)):
            grid = grid_of(stamps, freq)
            assert grid.between(stamps[0], stamps[-1]).equals(full[: full.get_loc(stamps[-1]) + 1])
            assert grid.after(full[2], 5).equals(full[3:8])
            assert grid.season_length() == 12 // months


def test_pandas_own_months_that_forget_their_day() -> None:
    """31 January, 29 February, 29 March: stamps made so are continued so."""
    full = pd.date_range("2024-01-31", periods=8, freq=pd.DateOffset(months=1))
    assert full[2].day == 29
    grid = grid_of(full[:6], pd.DateOffset(months=1))
    assert grid.between(full[0], full[5]).equals(full[:6]) and grid.after(full[5], 2).equals(full[6:])


@pytest.mark.parametrize("freq", ["SME", "SMS", "LWOM-FRI", "LWOM-SUN"])
def test_days_of_months_without_a_word(freq: str) -> None:
    """Pay days and last Fridays are found in stamps that say no frequency, also with rows missing."""
    full = pd.date_range("2023-03-15", periods=40, freq=freq)
    for stamps in (pd.DatetimeIndex(full.to_numpy()), full.delete([3, 4, 20])):
        assert grid_of(stamps).between(full[0], full[-1]).equals(full)


def test_three_stamps_a_month_apart() -> None:
    """The 15th of July, August and September is no step of 31 days, nor three Marches one of 365."""
    assert grid_of(pd.to_datetime(["2024-07-15", "2024-08-15", "2024-09-15"])).freq == monthly(1, 15)
    assert grid_of(pd.to_datetime(["2021-03-15", "2022-03-15", "2023-03-15"])).freq == monthly(12, 15)
    assert grid_of(pd.to_datetime(["2024-07-14", "2024-08-14", "2024-09-13"])).freq != monthly(1, 14)
    assert list(candidate_frequencies(pd.to_datetime(["2024-07-15", "2024-08-15"]))) == []


def test_units() -> None:
    """Keywords of a DateOffset; several at once have no unit, and no season."""
    assert unit_of(pd.DateOffset(hours=6)) == ("h", 6) and unit_of(pd.DateOffset(2, days=1)) == ("D", 2)
    mixed = pd.DateOffset(months=1, days=1)
    assert unit_of(mixed)[0] == "DateOffset" and season_of(mixed) == 1
    full = pd.date_range("2024-01-01", periods=9, freq=mixed)
    assert grid_of(full[:6], mixed).after(full[5], 3).equals(full[6:])


def test_foreign_offsets() -> None:
    """A name that is none of pandas' is refused, and so is a class of the user's own, which files cannot rebuild."""
    for name in ("__loader__", "Timestamp", "np", "nothing"):
        with pytest.raises(ValueError, match="no offset of pandas"):
            offset_from({"name": name, "arguments": {}})

    class Fortnight(pd.offsets.Day):  # type: ignore[misc]
        """Two weeks."""

    with pytest.raises(TypeError, match="Fortnight, which a file cannot hold"):
        write("nowhere", {"freq": Fortnight(14)})
