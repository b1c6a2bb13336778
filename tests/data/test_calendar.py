"""Calendar features: they turn once a cycle, follow the wall clock, and go with the frequency."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from seqdyn.data.calendar import CYCLES, calendar_features, calendar_names

TURNS = {
    "minute": ("1h", "min"),
    "hour": ("1D", "15min"),
    "day_of_week": ("7D", "6h"),
    "month": ("366D", "D"),
    "quarter": ("366D", "D"),
}


@pytest.mark.parametrize("name", CYCLES)
def test_features_lie_on_the_unit_circle(name: str) -> None:
    """sin² + cos² = 1, for dates, dates in a time zone and periods; equal instants have equal features."""
    stamps = pd.date_range("2024-01-01", periods=500, freq="7h")
    found = calendar_features(stamps, [name])
    assert found.shape == (500, 2) and np.allclose((found**2).sum(1), 1)
    assert np.array_equal(found, calendar_features(stamps.tz_localize("UTC"), [name]))
    hours = pd.date_range("2024-01-01", periods=500, freq="h")
    assert np.array_equal(calendar_features(hours, [name]), calendar_features(hours.to_period("h"), [name]))


@pytest.mark.parametrize("name", TURNS)
def test_a_turn_is_a_cycle(name: str) -> None:
    """After a cycle the same features come again, and none of them before."""
    length, step = TURNS[name]
    start = pd.Timestamp("2024-01-01")
    stamps = pd.date_range(start, start + pd.Timedelta(length), freq=step)
    found = calendar_features(stamps, [name])
    assert np.allclose(found[0], found[-1])
    assert len(np.unique(found[:-1].round(9), axis=0)) == len(stamps) - 1 or name in ("month", "quarter")
    assert len(np.unique(found.round(9), axis=0)) > 3


def test_the_wall_clock_counts() -> None:
    """Noon is noon on both sides of a change of the clocks."""
    stamps = pd.DatetimeIndex(["2024-03-30 12:00", "2024-03-31 12:00"]).tz_localize("Europe/Berlin")
    found = calendar_features(stamps, ["hour"])
    assert np.allclose(found[0], found[1]) and np.allclose(found[0], [0, -1], atol=1e-12)


@pytest.mark.parametrize(
    ("freq", "kind", "expected"),
    [
        ("s", "datetime", ("minute", "hour")),
        ("ms", "datetime", ("minute", "hour")),
        ("15min", "datetime", ("hour", "day_of_week")),
        ("60min", "datetime", ("hour", "day_of_week", "day_of_year")),
        ("2h", "datetime", ("hour", "day_of_week", "day_of_year")),
        ("D", "datetime", ("day_of_week", "day_of_month", "day_of_year")),
        ("B", "datetime", ("day_of_week", "day_of_month", "day_of_year")),
        ("W-WED", "datetime", ("day_of_year",)),
        ("7D", "datetime", ("day_of_year",)),
        ("ME", "datetime", ("month",)),
        ("M", "period", ("month",)),
        ("Q-DEC", "period", ("quarter",)),
        ("BQE-DEC", "datetime", ("quarter",)),
        ("YS-JAN", "datetime", ()),
        (1, "integer", ()),
    ],
)
def test_auto(freq: str | int, kind: str, expected: tuple[str, ...]) -> None:
    """Cycles longer than a step and not longer than a year."""
    assert calendar_names("auto", 1, freq, kind) == expected


def test_choices() -> None:
    """None, one name, several; what is no name, and integer times, are refused."""
    assert calendar_names(None, 1, "h", "datetime") == calendar_names((), 1, "h", "datetime") == ()
    assert calendar_names("hour", 1, "h", "datetime") == calendar_names(["hour"], 1, "h", "datetime") == ("hour",)
    with pytest.raises(ValueError, match="'minute', 'hour'.*or 'auto', got 'week'"):
        calendar_names(["hour", "week"], 1, "h", "datetime")
    with pytest.raises(ValueError, match="Numbers as times have no calendar"):
        calendar_names("hour", 1, 1, "integer")
    assert calendar_features(pd.RangeIndex(3), ()).shape == (3, 0)
