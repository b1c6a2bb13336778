"""Stamps: strings, dates and numbers are times where they are clear, and refused with the way out where not."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqdyn.data.grids import Grid, grid_of
from seqdyn.data.panel_additions import read_future, read_more
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel, Roles
from seqdyn.data.stamps import clock_hint, times_of

DAYS = pd.date_range("2024-01-01", periods=30)

TEXTS: dict[str, tuple[str, Any]] = {
    "days": ("%Y-%m-%d", DAYS),
    "compact": ("%Y%m%d", DAYS),
    "months": ("%Y-%m", pd.date_range("2023-01-01", periods=30, freq="MS")),
    "hours": ("%Y-%m-%d %H:%M", pd.date_range("2024-01-01", periods=30, freq="h")),
    "seconds": ("%Y-%m-%dT%H:%M:%S", pd.date_range("2024-01-01", periods=30, freq="s")),
    "fractions": ("%Y-%m-%d %H:%M:%S.%f", pd.date_range("2024-01-01", periods=30, freq="100ms")),
    "zoned": ("%Y-%m-%dT%H:%M:%S%z", pd.date_range("2024-01-01", periods=30, freq="h", tz="UTC")),
}


@pytest.mark.parametrize(("written", "times"), TEXTS.values(), ids=TEXTS)
def test_strings_that_begin_with_the_year(written: str, times: pd.DatetimeIndex) -> None:
    """In a column, a level and an index; new rows and what is known ahead may be written or not."""
    texts = times.strftime(written)
    assert times_of(texts).equals(times)
    roles = Roles(future=("u",))
    values = {"y": np.arange(30.0), "u": np.arange(30.0)}
    dated, text = pd.DataFrame(values, times), pd.DataFrame(values, texts)
    long = text.rename_axis("ds").reset_index()
    expected = read_panel(dated, roles)
    for data in (text, long, long.assign(unique_id="y").set_index(["unique_id", "ds"])):
        panel = read_panel(data, roles)
        assert panel.times.equals(times) and panel.grid == expected.grid
        head = panel.head(np.array([20]))
        for rest in (dated, text):
            assert head.joined(read_more(rest.iloc[20:], head)).times.equals(times)
            np.testing.assert_array_equal(read_future(rest[["u"]], head, 3)[0, :, 0], [20, 21, 22])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["01/02/2024", "01/03/2024"], r"such as '01/02/2024', which say no date for certain \(day or month first"),
        (["2024-01-01", "1.2.2024"], r"such as '1\.2\.2024'.*to_datetime\(…, format="),
        (
            ["2024-01-01T00:00+01:00", "2024-07-01T00:00+02:00"],
            r"of several time zones, .*utc=True\), and then",
        ),
        (["2024-01-01", "2024-13-01"], "such as '2024-13-01', which is no date"),
        (["monday", "tuesday"], "such as 'monday'"),
    ],
)
def test_strings_that_are_not_clear(texts: list[str], message: str) -> None:
    """Nobody guesses whether the day or the month comes first."""
    with pytest.raises(ValueError, match="The times of df are str values " + message):
        read_panel(pd.Series([1.0, 2.0], texts))


def test_dates_of_python_and_missing_ones() -> None:
    """Objects of dates, instants and periods; missing ones stay missing and are named by their row."""
    for kind in (datetime.date, datetime.datetime):
        own = pd.Index([kind(2024, 1, day) for day in range(1, 31)], dtype=object)
        assert times_of(own).equals(DAYS)
    months = pd.period_range("2024-01", periods=5, freq="M")
    assert times_of(months.astype(object)).equals(months) and times_of(DAYS) is DAYS
    gap = times_of(pd.Index(["2024-01-01", None, "2024-01-03"], dtype=object))
    assert gap.isna().tolist() == [False, True, False]
    with pytest.raises(ValueError, match=r"Row 1 of df has no time \(NaT\)"):
        read_panel(pd.DataFrame({"ds": ["2024-01-01", None, "2024-01-03"], "y": 1.0}))


# -------------------------------------------------------------------- clocks


def test_wall_clock_hours() -> None:
    """Without a zone the hour that is missing in spring is a gap; the one that comes twice in autumn is explained."""
    zoned = pd.date_range("2024-03-30", "2024-04-02", freq="h", tz="Europe/Berlin")
    gaps = read_panel(pd.Series(1.0, zoned.tz_localize(None))).gaps()
    assert gaps["after"].tolist() == [pd.Timestamp("2024-03-31 01:00")] and gaps["missing"].tolist() == [1]
    assert len(read_panel(pd.Series(1.0, zoned)).gaps()) == 0
    zoned = pd.date_range("2024-10-26", "2024-10-29", freq="h", tz="Europe/Berlin")
    wall = pd.Series(np.arange(len(zoned), dtype=float), zoned.tz_localize(None))
    message = r"two rows for series 'y' at 2024-10-27 02:00:00.*Clocks may have been changed.*ambiguous='infer'"
    with pytest.raises(ValueError, match=message):
        read_panel(wall)
    localised = wall.set_axis(wall.index.tz_localize("Europe/Berlin", ambiguous="infer"))
    panel = read_panel(localised)
    assert panel.times.equals(zoned) and panel.ahead(1)[0][0] == zoned[-1] + pd.Timedelta("1h")


def test_hints_stand_where_clocks_are_changed() -> None:
    """Nowhere else, and never where the zone is known."""
    assert clock_hint(pd.Timestamp("2024-11-03 01:00")) and clock_hint(pd.Timestamp("2024-03-10 02:00"))
    for stamp in ("2024-10-27 12:00", "2024-10-28 02:00", "2024-07-07 02:00"):
        assert clock_hint(pd.Timestamp(stamp)) == ""
    assert clock_hint(pd.Timestamp("2024-10-27 03:00", tz="Europe/Berlin")) == clock_hint(3) == ""
    wall = pd.date_range("2024-03-30", periods=40, freq="h", tz="Europe/Berlin").tz_localize(None)
    table = pd.DataFrame({"y": 1.0, "u": 1.0}, wall)
    with pytest.raises(ValueError, match="since the whole row is absent, in series 'y' at 2024-03-31 02:00:00.*Clocks"):
        read_panel(table, Roles(future=("u",)))


# -------------------------------------------------------------------- numbers


@pytest.mark.parametrize("step", [0.1, 0.25, 1 / 3, 1e-6, 7.5, 1e5, 1.0])
@pytest.mark.parametrize("start", [0.0, -12.7, 1e3])
def test_seconds(step: float, start: float) -> None:
    """The step is found with rows missing; instants are those of numpy to a millionth of a step."""
    times = start + step * np.arange(5000)
    kept = np.delete(times, [3, 4, 700])
    grid = grid_of(pd.Index(kept))
    assert grid.kind == "float" and grid.freq == pytest.approx(step, rel=1e-12) and grid.season_length() == 1
    assert len(grid.between(times[0], times[-1])) == 5000
    np.testing.assert_allclose(grid.between(times[0], times[-1]), times, atol=2e-6 * step, rtol=0)
    np.testing.assert_allclose(grid.after(times[10], 100), times[11:111], atol=2e-6 * step, rtol=0)
    assert grid_of(pd.Index(kept), grid.freq) == grid


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "double[pyarrow]"])
def test_panels_of_seconds(dtype: str, tmp_path: Any) -> None:
    """Read, continued, looked ahead of and given back in every layout, whatever noise the last digits have."""
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    times = pd.Index(np.arange(40) * 0.1, dtype=dtype)
    table = pd.DataFrame({"ds": [*times, *times], "y": np.arange(80.0), "u": np.arange(80.0)}).astype({"ds": dtype})
    table.insert(0, "unique_id", np.repeat(["b", "a"], 40))
    roles = Roles(future=("u",))
    for data in (table, table.set_index(["unique_id", "ds"])):
        panel = read_panel(data, roles)
        assert panel.grid == Grid(0.1, "float") and panel.present.all() and panel.lengths.tolist() == [40, 40]
        panel = Panel.from_content(panel.to_content())
        head = panel.head(np.array([30, 25]))
        late = np.round(np.asarray(table["ds"], dtype=float) * 10).astype(int)
        rest = table[late >= np.repeat([30, 25], 40)]
        assert head.joined(read_more(rest, head)).times.equals(panel.times)
        known = read_future(rest.set_index(["unique_id", "ds"])[["u"]], head, 5)
        np.testing.assert_array_equal(known[:, :, 0], [np.arange(30, 35), np.arange(65, 70)])
        found = panel.restore({"mean": np.zeros((2, 3))}, panel.ahead(3))
        ahead = found["ds"] if "ds" in found else found.index.get_level_values(1)
        assert ahead.dtype == table["ds"].dtype
        np.testing.assert_allclose(np.asarray(ahead, float), [4.0, 4.1, 4.2] * 2, rtol=1e-6)


def test_wide_frames_of_seconds() -> None:
    """Series that end apart share their instants."""
    wide = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)}, index=np.arange(20) * 0.3)
    panel = read_panel(wide)
    behind = panel.head(np.array([20, 17]))
    found = behind.restore({"mean": np.arange(10.0).reshape(2, 5)}, behind.ahead(5))
    assert len(found) == 8 and found.index.is_monotonic_increasing and found["b"].tolist()[:5] == [5, 6, 7, 8, 9]


def test_numbers_without_a_step() -> None:
    """Irregular ones, a single one, and steps that are none: with the way out."""
    with pytest.raises(ValueError, match=r"The time .* does not lie on a grid of step .* begins at 0\.0: give freq="):
        grid_of(pd.Index(np.sqrt(np.arange(30.0))))
    with pytest.raises(ValueError, match="are no multiples of a step: give freq=.*numpy.interp"):
        grid_of(pd.Index([0.0, 1e-9, 1.0]))
    with pytest.raises(ValueError, match=r"One time, 0\.5, has no step to the next: give freq="):
        grid_of(pd.Index([0.5]))
    assert grid_of(pd.Index([0.5]), 0.25).after(0.5, 2).tolist() == [0.75, 1.0]
    for freq in (0, -0.1, True, "h"):
        with pytest.raises(ValueError, match="With numbers as times freq is a step above 0"):
            grid_of(pd.Index([0.0, 0.1]), freq)
    panel = read_panel(pd.Series(np.arange(9.0), np.arange(9) * 0.5))
    with pytest.raises(ValueError, match=r"4\.7 does not lie on the grid of freq=0\.5 through 4\.0: round"):
        read_more(pd.Series([1.0], [4.7]), panel)
    with pytest.raises(ValueError, match="are integers such as 5, those of the fit were numbers with a fraction"):
        read_more(pd.Series([1.0], [5]), panel)
