"""Panels: every layout reads into the same one and comes back; parts and wholes agree; bad frames are named."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.data.panel_additions import read_future, read_more, static_frame
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel, Roles
from seqdyn.files import read, write

INDEXES: dict[str, pd.Index] = {
    "days": pd.date_range("2024-01-01", periods=30, freq="D"),
    "month ends": pd.date_range("2020-01-31", periods=30, freq="ME"),
    "business days": pd.date_range("2024-01-01", periods=30, freq="B"),
    "hours over DST": pd.date_range("2024-03-30 12:00", periods=30, freq="h", tz="Europe/Berlin"),
    "days over DST": pd.date_range("2024-03-20", periods=30, freq="D", tz="America/New_York"),
    "months": pd.period_range("2020-01", periods=30, freq="M"),
    "integers": pd.RangeIndex(5, 65, 2),
    "unsigned": pd.Index(np.arange(30), dtype="uint16"),
}
TIMES = pytest.mark.parametrize("times", INDEXES.values(), ids=INDEXES)
DAYS = INDEXES["days"]


def wide(times: pd.Index = DAYS, series: tuple[Any, ...] = ("b", "a", "c")) -> pd.DataFrame:
    """Series that begin at the first instant and end at the last, with missing values between."""
    values = np.random.default_rng(0).normal(10, 1, size=(len(times), len(series)))
    values[3, 0] = values[7:9, 1] = np.nan
    return pd.DataFrame(values, index=times, columns=pd.Index(series))


def long(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with series and time in columns."""
    stacked = frame.rename_axis("ds").reset_index().melt("ds", var_name="unique_id", value_name="y")
    return stacked[["unique_id", "ds", "y"]]


def layouts(frame: pd.DataFrame) -> dict[str, Any]:
    """The same series in every layout that has an axis of series."""
    rows = long(frame)
    labelled = xarray.DataArray(frame.to_numpy().T, {"series": frame.columns, "time": frame.index}, ("series", "time"))
    return {
        "wide": frame,
        "long": rows,
        "multiindex": rows.set_index(["unique_id", "ds"]),
        "multiindex series": rows.set_index(["unique_id", "ds"])["y"],
        "DataArray": labelled,
        "transposed": labelled.T,
        "scalar coordinate": labelled.assign_coords(quantile=0.5),
        "Dataset": labelled.to_dataset(name="y"),
    }


def same(one: Panel, other: Panel, layout: bool = True) -> None:
    """Equal in all that is known; with ``layout`` also in how it came."""
    assert list(one.names) == list(other.names) and one.times.equals(other.times)
    for name in ("lengths", "target", "past", "future", "present"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.grid == other.grid and one.roles == other.roles and (one.static is None) == (other.static is None)
    if one.static is not None and other.static is not None:
        pd.testing.assert_frame_equal(one.static, other.static, check_dtype=False)
    if layout:
        assert one.layout == other.layout and one.names.equals(other.names)


# -------------------------------------------------------------------- layouts


@TIMES
def test_every_layout_is_the_same_panel(times: pd.Index) -> None:
    """Wide, long, MultiIndex and labelled."""
    expected = read_panel(wide(times))
    assert expected.target.tolist() == pytest.approx(wide(times).to_numpy().T.ravel().tolist(), nan_ok=True)
    for data in layouts(wide(times)).values():
        same(read_panel(data), expected, layout=False)


@TIMES
def test_every_layout_of_one_series_is_the_same_panel(times: pd.Index) -> None:
    """A Series, a frame of one column, a long frame without ids, an array and a Dataset of time."""
    series = wide(times)["b"].rename("y")
    array = xarray.DataArray(series.to_numpy(), {"time": series.index}, ("time",))
    for data in (
        series,
        series.rename(None),
        series.to_frame(),
        series.rename_axis("ds").reset_index(),
        array,
        array.rename("y"),
        array.to_dataset(name="y"),
    ):
        panel = read_panel(data)
        assert list(panel.names) == ["y"] and panel.times.equals(pd.Index(times))
        np.testing.assert_array_equal(panel.target, series)


@TIMES
def test_restore_gives_the_layout_back(times: pd.Index) -> None:
    """The rows themselves, restored as if they were a forecast, are the frame that came in."""
    exact: Any = "equiv" if times.dtype != "uint16" else False
    frame = wide(times)
    for name, data in layouts(frame).items():
        panel = read_panel(data)
        found = panel.restore({"mean": panel.target.reshape(3, -1)}, [panel.times[panel.rows(i)] for i in range(3)])
        if isinstance(data, xarray.Dataset | xarray.DataArray):
            assert isinstance(found, xarray.DataArray) and found.dims == ("series", "time")
            values = data["y"] if isinstance(data, xarray.Dataset) else data
            assert found.name == values.name
            np.testing.assert_array_equal(found, values.transpose("series", "time"))
            assert found.indexes["time"].equals(pd.Index(times)) and list(found["series"].values) == ["b", "a", "c"]
        elif name == "wide":
            pd.testing.assert_frame_equal(found, data, check_freq=False, check_index_type=False)
        else:
            data = data.to_frame() if isinstance(data, pd.Series) else data
            pd.testing.assert_frame_equal(
                found,
                data.rename(columns={"y": "mean"}),
                check_freq=False,
                check_dtype=bool(exact),
                check_index_type=exact,
            )


@pytest.mark.parametrize("label", ["sales", None, 3, ("a", 1)])
def test_restore_gives_single_series_back(label: Any) -> None:
    """With their names; with several arrays a column or variable each."""
    series = wide()["b"].rename(label).rename_axis("day")
    panel = read_panel(series)
    found = panel.restore({"mean": panel.target[None]}, [panel.times])
    pd.testing.assert_series_equal(found, series, check_freq=False)
    two = panel.restore({"mean": panel.target[None], "0.1": panel.target[None]}, [panel.times])
    assert list(two.columns) == ["mean", "0.1"] and two.index.name == "day"
    array = xarray.DataArray(series.to_numpy(), {"day": DAYS}, ("day",), name=label)
    panel = read_panel(array)
    assert panel.restore({"mean": panel.target[None]}, [panel.times]).identical(array)
    long_one = series.rename("y").rename_axis("ds").reset_index()
    panel = read_panel(long_one)
    found = panel.restore({"mean": panel.target[None]}, [panel.times])
    pd.testing.assert_frame_equal(found, long_one.rename(columns={"y": "mean"}))


def test_restore_of_several_arrays() -> None:
    """A wide frame has a column a series and array; the others a column each; xarray a variable each."""
    arrays = {name: np.arange(6.0).reshape(3, 2) + i for i, name in enumerate(["mean", "0.1", "0.9"])}
    for name, data in layouts(wide()).items():
        panel = read_panel(data)
        found = panel.restore(arrays, panel.ahead(2))
        if name == "wide":
            assert list(found.columns)[:4] == [("b", "mean"), ("b", "0.1"), ("b", "0.9"), ("a", "mean")]
            np.testing.assert_array_equal(found["a"]["0.9"], [4, 5])
        elif isinstance(found, xarray.Dataset):
            np.testing.assert_array_equal(found["0.9"].sel(series="a"), [4, 5])
        else:
            np.testing.assert_array_equal(found[["mean", "0.1", "0.9"]].to_numpy()[2:4], [[2, 3, 4], [3, 4, 5]])


def test_wide_series_that_end_apart() -> None:
    """Each forecast stands at its own instants, NaN elsewhere; at one time those of all would be shifted."""
    panel = read_panel(wide())
    behind = panel.head(panel.lengths - [0, 2, 0])
    found = behind.restore({"mean": np.arange(9.0).reshape(3, 3)}, behind.ahead(3))
    assert len(found) == 5 and found["a"].dropna().tolist() == [3, 4, 5] and found["b"].dropna().tolist() == [0, 1, 2]
    assert found["a"].first_valid_index() == DAYS[-2] and found["b"].last_valid_index() == DAYS[-1] + 3 * DAYS.freq


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(60)), st.sampled_from(["long", "multiindex"]))
def test_the_order_of_rows_says_nothing(order: list[int], layout: str) -> None:
    """Only in which order the series come."""
    data = layouts(wide(DAYS[:20]))[layout]
    panel, shuffled = read_panel(data), read_panel(data.iloc[order])
    assert list(shuffled.names) == list(dict.fromkeys(np.repeat(["b", "a", "c"], 20)[order]))
    for number, name in enumerate(panel.names):
        own, other = panel.select(np.array([number])), shuffled.select(shuffled.names.get_indexer([name]))
        same(own, other)


def test_unsorted_wide_and_labelled() -> None:
    """Stamps in any order; columns stay as they are."""
    frame = wide()
    for name, data in layouts(frame.iloc[::-1]).items():
        if name not in ("long", "multiindex", "multiindex series"):
            same(read_panel(data), read_panel(layouts(frame)[name]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(0, 19), min_size=1), min_size=1, max_size=4), st.data())
def test_absent_rows_are_missing_targets(kept: list[set[int]], data: Any) -> None:
    """Every series goes from its first known target to its last row, whatever is absent; gaps are listed."""
    days = DAYS[:20]
    rows = [(f"s{i}", days[step], float(step)) for i, steps in enumerate(kept) for step in sorted(steps)]
    blank = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    rows = [(i, day, np.nan if number in blank else y) for number, (i, day, y) in enumerate(rows)]
    frame = pd.DataFrame(rows, columns=["unique_id", "ds", "y"])
    known = frame.dropna()
    if set(known["unique_id"]) != set(frame["unique_id"]):
        with pytest.raises(ValueError, match="has no known target"):
            read_panel(frame, freq="D")
        return
    panel = read_panel(frame, freq="D")
    for number, name in enumerate(panel.names):
        own = frame[frame["unique_id"] == name].set_index("ds")["y"]
        expected = own.reindex(pd.date_range(own.first_valid_index(), own.index[-1], freq="D"))
        np.testing.assert_array_equal(panel.target[panel.rows(number)], expected)
        assert panel.times[panel.rows(number)].equals(expected.index)
        np.testing.assert_array_equal(panel.present[panel.rows(number)], expected.index.isin(own.index))
    gaps = panel.gaps()
    assert gaps["missing"].sum() == (~panel.present).sum()
    for gap in gaps.itertuples():
        assert (gap.before - gap.after).days == gap.missing + 1


def test_gaps_at_the_ends_of_parts() -> None:
    """A part may begin or end in a gap, and gaps of neighbours are two."""
    panel = read_panel(pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1.0, np.nan, 3.0]}, DAYS[:3]))
    panel = replace(panel, present=~np.isnan(panel.target))
    gaps = panel.gaps()
    assert gaps["missing"].tolist() == [1, 1] and gaps["after"].tolist() == [DAYS[0]] * 2
    assert panel.tail(2).gaps()["after"].isna().all() and panel.head([2, 2]).gaps()["before"].isna().all()
    assert len(panel.tail(1).gaps()) == 0
    middle = panel.head([2, 2]).tail(1).gaps()
    assert middle["series"].tolist() == ["a", "b"] and middle["missing"].tolist() == [1, 1]


@pytest.mark.parametrize("dtype", ["int64", "float32", "Float64", "Int32", "bool"])
def test_numbers_of_any_kind(dtype: str) -> None:
    """Also pandas' own, with their own missing value."""
    values = pd.array([1, 0, 1, 1, 0], dtype=dtype)
    frame = pd.DataFrame({"a": values, "b": np.arange(5.0)})
    if dtype in ("Float64", "Int32"):
        frame.loc[2, "a"] = pd.NA
    expected = [1, 0, np.nan if dtype in ("Float64", "Int32") else 1, 1, 0]
    np.testing.assert_array_equal(read_panel(frame).target[:5], expected)
    np.testing.assert_array_equal(read_panel(frame["a"]).target, expected)


@pytest.mark.parametrize("ids", [[3, 1], [True, False], pd.Categorical(["z", "a"]), pd.to_datetime(["2020", "2019"])])
def test_ids_of_any_kind(ids: Any) -> None:
    """They come back with their type, also from a file."""
    frame = pd.DataFrame({"unique_id": ids, "ds": [0, 0], "y": [1.0, 2.0]})
    panel = read_panel(frame)
    found = panel.restore({"mean": panel.target[:, None]}, [panel.times[:1]] * 2)
    pd.testing.assert_frame_equal(found, frame.rename(columns={"y": "mean"}))
    again = Panel.from_content(panel.to_content())
    assert list(again.names) == list(panel.names) and list(again.names.get_indexer(panel.names)) == [0, 1]


# -------------------------------------------------------------------- covariates

ROLES = Roles(past=("p",), future=("f",), static=("kind", "size"))


def with_covariates() -> pd.DataFrame:
    """A long frame of two series with covariates of all kinds."""
    rows = long(wide(DAYS[:10], ("b", "a")))
    return rows.assign(
        p=np.arange(20.0), f=np.arange(20.0) ** 2, kind=np.repeat(["x", "y"], 10), size=[1] * 10 + [2] * 10
    )


def test_covariates_in_every_layout() -> None:
    """Columns, variables, and in a wide frame columns that all series share."""
    frame = with_covariates()
    panel = read_panel(frame, ROLES)
    np.testing.assert_array_equal(panel.past[:, 0], np.arange(20))
    np.testing.assert_array_equal(panel.future[:, 0], np.arange(20) ** 2)
    assert panel.static is not None and panel.static.loc["a"].tolist() == ["y", 2]
    indexed = frame.set_index(["unique_id", "ds"])
    same(read_panel(indexed, ROLES), panel, layout=False)
    dataset = indexed[["y", "p", "f"]].to_xarray()
    static = indexed[["kind", "size"]].groupby(level=0).first().to_xarray()
    both = xarray.merge([dataset, static]).sel(unique_id=["b", "a"])
    same(read_panel(both, ROLES), panel, layout=False)
    same(read_panel(both.set_coords("kind"), ROLES), panel, layout=False)
    clash = read_panel(wide(DAYS[:10], ("b", "a")).assign(y=np.arange(10.0)), Roles(past=("y",)))
    assert clash.past[:, 0].tolist() == [*range(10)] * 2 and list(clash.names) == ["b", "a"]
    shared = wide(DAYS[:10], ("b", "a")).assign(f=np.arange(10.0), p=1.0)
    roles = Roles(past=("p",), future=("f",))
    found = read_panel(shared, roles)
    assert list(found.names) == ["b", "a"] and found.future[:, 0].tolist() == [*range(10)] * 2
    assert found.past[:, 0].tolist() == [1.0] * 20


def test_leading_missing_targets_take_their_covariates_along() -> None:
    """Nothing is known of a series before its first target."""
    frame = with_covariates()
    frame.loc[0:1, "y"] = np.nan
    panel = read_panel(frame, ROLES)
    assert panel.lengths.tolist() == [8, 10] and panel.past[0, 0] == 2
    assert read_panel(frame, ROLES, whole=True).lengths.tolist() == [10, 10]


def test_static_frames() -> None:
    """In the order of the panel; more rows and columns than needed are left alone."""
    panel = read_panel(wide())
    frame = pd.DataFrame({"area": [1, 2, 3, 4], "note": "x"}, index=["a", "b", "c", "d"])
    assert static_frame(frame, panel, ["area"])["area"].tolist() == [2, 1, 3]
    for wrong, message in [
        (frame.drop("c"), "no row for series 'c'"),
        (frame.drop(columns="area"), "no column 'area'"),
        (pd.concat([frame, frame]), "two rows for series 'a'"),
    ]:
        with pytest.raises(ValueError, match=message):
            static_frame(wrong, panel, ["area"])
    with pytest.raises(TypeError, match="indexed by series, got dict"):
        static_frame({"area": 1}, panel, ["area"])


# -------------------------------------------------------------------- parts and wholes


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=3, max_size=3))
def test_a_panel_is_its_head_and_what_follows(cut: list[int]) -> None:
    """Reading the whole is reading a part and then the rest, for any cut of every series."""
    frame = long(wide()).iloc[::-1]
    frame = frame[~((frame["unique_id"] == "b") & (frame["ds"] == DAYS[12]))]  # an absent row
    whole = read_panel(frame)
    lengths = np.clip(cut, 1, 30)
    head = whole.head(lengths)
    until = dict(zip(head.names, head.last, strict=True))
    rest = frame[frame["ds"] > frame["unique_id"].map(until)]
    if len(rest):
        same(head.joined(read_more(rest, head, fill_gaps=True)), whole)
        same(head.tail(1).joined(read_more(rest, head.tail(1), fill_gaps=True)).tail(1), whole.tail(1))
    else:
        same(head, whole)


def test_heads_and_tails_and_parts() -> None:
    """Rows, lengths and names go together; series without rows are left out."""
    panel = read_panel(with_covariates(), ROLES)
    head = panel.head(np.array([4, -3]))
    assert list(head.names) == ["b"] and head.lengths.tolist() == [4] and head.past[:, 0].tolist() == [0, 1, 2, 3]
    assert head.static is not None and head.static.index.tolist() == ["b"]
    same(panel.head(np.array([99, 99])), panel)
    tail = panel.tail(3)
    assert tail.past[:, 0].tolist() == [7, 8, 9, 17, 18, 19] and tail.last == panel.last
    same(panel.tail(99), panel)
    assert panel.select(np.array([1])).past[:, 0].tolist() == [*range(10, 20)]
    same(panel.select(np.array([1, 0])), panel)
    assert panel.starts.tolist() == [0, 10] and panel.ends.tolist() == [10, 20]
    assert panel.steps.tolist() == [*range(10)] * 2 and panel.series.tolist() == [0] * 10 + [1] * 10
    assert panel.rows(1) == slice(10, 20) and panel.last == [DAYS[9]] * 2
    assert panel.ahead(2)[1].equals(DAYS[10:12])


@TIMES
def test_new_rows_follow(times: pd.Index) -> None:
    """In every layout, whatever the times are."""
    for data in layouts(wide(times)).values():
        panel = read_panel(data)
        head, rest = panel.head(np.full(3, 20)), wide(times).iloc[20:]
        for more in (rest, long(rest)):
            same(head.joined(read_more(more, head)), panel)
        one = long(rest)[long(rest)["unique_id"] == "a"]
        found = head.joined(read_more(one, head))
        assert found.lengths.tolist() == [20, 30, 20]
        np.testing.assert_array_equal(found.target[20:50], panel.target[30:60])
        late = read_more(rest.iloc[3:], head, fill_gaps=True)
        assert late.lengths.tolist() == [10] * 3 and np.isnan(late.target[:3]).all() and not late.present[:3].any()
        assert head.joined(late).times.equals(panel.times)


def test_new_rows_that_are_missing() -> None:
    """NaN is a step like any other; rows absent among the new ones are missing targets."""
    panel = read_panel(wide())
    days = pd.date_range(DAYS[-1] + DAYS.freq, periods=4, freq="D")
    new = pd.DataFrame({"b": [np.nan] * 4, "a": 1.0, "c": 2.0}, index=days).drop(days[2])
    more = read_more(new, panel)
    assert more.lengths.tolist() == [4] * 3 and np.isnan(more.target[:4]).all() and np.isnan(more.target[6])


def test_new_rows_of_a_single_series() -> None:
    """Without a name they can be of no other."""
    panel = read_panel(wide()["b"].iloc[:20])
    same(panel.joined(read_more(wide()["b"].iloc[20:].rename(None), panel)), read_panel(wide()["b"]))
    with pytest.raises(ValueError, match="Series 'a' of df was not in the fit, which knows 'b': fit again"):
        read_more(wide()["a"].iloc[20:], panel)


def test_new_rows_that_do_not_follow() -> None:
    """Overlaps, gaps, strangers, other times: each is named, with the way out."""
    frame, panel = wide(), read_panel(wide().iloc[:20])
    for data, message in [
        (frame.iloc[18:], r"Series 'b' of df begins at 2024-01-19 .*known up to 2024-01-20 .*: leave out the rows"),
        (frame.iloc[:5], "leave out the rows that overlap"),
        (frame.iloc[22:], r"begins at 2024-01-23 .*, but 2024-01-21 .* comes next: give the rows in between, or fill"),
        (frame.iloc[20:].rename(columns={"c": "d"}), "Series 'd' of df was not in the fit, which knows 'b', 'a', 'c':"),
        (frame.iloc[20:].tz_localize("UTC"), "time zone UTC, those of the fit None: convert them"),
        (frame.iloc[20:].to_period("D"), "are periods of 'D' such as 2024-01-21, those of the fit were dates"),
        (frame.iloc[20:].reset_index(drop=True), "are integers such as 0, those of the fit were dates"),
        (frame.iloc[20:].set_axis(frame.index[20:] + pd.Timedelta("1h")), "does not lie on the grid of freq='D'"),
        (frame.iloc[20:20], "df has no rows"),
        (long(frame)[:0], "df has no rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_more(data, panel)
    with pytest.raises(TypeError, match="df must come in a frame, got ndarray"):
        read_more(frame.iloc[20:].to_numpy(), panel)
    months = read_panel(wide(INDEXES["months"]))
    other = wide(pd.period_range("2023Q1", periods=9, freq="Q"))
    with pytest.raises(ValueError, match="are periods of 'Q-DEC' such as 2023Q1, those of the fit were periods of 'M'"):
        read_more(other, months)


def test_new_rows_with_covariates() -> None:
    """They are read along; static ones are known; a gap in what is known ahead cannot be filled."""
    frame = with_covariates()
    whole = read_panel(frame, ROLES)
    head = whole.head(np.array([6, 6]))
    rest = frame[frame["ds"] > DAYS[5]]
    same(head.joined(read_more(rest, head)), whole)
    same(head.joined(read_more(rest.drop(columns=["kind", "size"]), head)), whole)
    same(head.joined(read_more(rest.set_index(["unique_id", "ds"]).to_xarray(), head)), whole)
    with pytest.raises(ValueError, match="leaves a gap, in which the covariates known ahead are not known"):
        read_more(frame[frame["ds"] > DAYS[7]], head, fill_gaps=True)


# -------------------------------------------------------------------- covariates ahead


def test_covariates_ahead() -> None:
    """In the layout of the panel or without an axis of series; shuffled, longer, and with more columns."""
    frame = with_covariates()
    panel = read_panel(frame, ROLES)
    days = DAYS[10:14]
    rows = pd.DataFrame({"unique_id": ["a"] * 4 + ["b"] * 4, "ds": [*days] * 2, "f": np.arange(8.0), "else": "x"})
    expected = np.array([[4.0, 5, 6], [0, 1, 2]])[:, :, None]
    indexed = rows.set_index(["unique_id", "ds"])
    for data in (rows, rows[::-1], indexed, indexed[["f"]].to_xarray(), indexed["f"].to_xarray(), indexed["f"]):
        np.testing.assert_array_equal(read_future(data, panel, 3), expected)
    shared = pd.DataFrame({"f": [1.0, 2.0, 3.0]}, index=days[:3])
    for data in (shared, shared["f"], shared.rename_axis("ds").reset_index(), shared["f"].rename(None)):
        np.testing.assert_array_equal(read_future(data, panel, 3)[:, :, 0], [[1, 2, 3]] * 2)


def test_covariates_ahead_of_series_that_end_apart() -> None:
    """Every series looks up its own instants."""
    frame = with_covariates()
    panel = read_panel(frame, ROLES).head(np.array([6, 8]))
    found = read_future(frame[["unique_id", "ds", "f"]], panel, 2)
    np.testing.assert_array_equal(found[:, :, 0], np.array([[6.0, 7], [18, 19]]) ** 2)


def test_covariates_ahead_that_are_not_there() -> None:
    """Too short, NaN, another series, another time zone: each is named."""
    panel = read_panel(with_covariates(), ROLES)
    days = DAYS[10:12]
    rows = pd.DataFrame({"unique_id": ["a", "a", "b", "b"], "ds": [*days] * 2, "f": np.arange(4.0)})
    for data, horizon, message in [
        (None, 2, r"The covariates \['f'\] are known ahead: give them for the next 2 steps .*future_frame\(2\)"),
        (rows, 3, r"does not hold 'f' for series 'b' at 2024-01-13 .*step 3 of the horizon 3: the row is absent"),
        (rows.assign(f=[0, 1, 2, np.nan]), 2, "for series 'b' at 2024-01-12 .*step 2 of the horizon 2"),
        (rows.assign(f=[0, np.inf, 2, 3]), 2, "for series 'a' at 2024-01-12"),
        (rows[:2], 2, "future has no rows for series 'b'"),
        (rows.rename(columns={"f": "g"}), 2, "future has no column 'f'; it has"),
        (rows.assign(f=["1", "2", "3", "4"]), 2, "Column 'f' of future has the dtype .*give numbers"),
        (rows.assign(ds=rows["ds"].dt.tz_localize("UTC")), 2, "The times of future have the time zone UTC"),
        (rows.assign(ds=["a", "b"] * 2), 2, "The times of future are str values such as 'a'"),
        (pd.concat([rows, rows[:1]]), 2, "future has two rows for .*'a', .*2024-01-11"),
        (rows[:0], 2, "future has no rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_future(data, panel, horizon)
    with pytest.raises(TypeError, match="future must be a DataFrame or Dataset, got ndarray"):
        read_future(np.ones((2, 2)), panel, 2)
    with pytest.raises(ValueError, match="no covariate is known ahead: name them in future="):
        read_future(rows, read_panel(wide()), 2)


# -------------------------------------------------------------------- files


@TIMES
def test_panels_in_files(times: pd.Index, tmp_path: Path) -> None:
    """The same panel comes back, labels and all."""
    for number, data in enumerate(layouts(wide(times)).values()):
        panel = read_panel(data)
        write(tmp_path / f"{number}", panel)
        same(read(tmp_path / f"{number}"), panel)


def test_covariates_in_files(tmp_path: Path) -> None:
    """With static ones of numbers and strings."""
    panel = read_panel(with_covariates(), ROLES)
    write(tmp_path / "panel", {"panel": panel})
    again = read(tmp_path / "panel")["panel"]
    same(again, panel)
    assert again.static.dtypes.astype(str).tolist() == panel.static.dtypes.astype(str).tolist()


# -------------------------------------------------------------------- bad frames


def bad_frames() -> list[tuple[Any, Any, str]]:
    """What may come, with roles, and what the error says."""
    rows, frame = long(wide()), wide()
    covariates = with_covariates()
    future = Roles(future=("f",))
    plain = covariates[["unique_id", "ds", "y", "f"]]
    monthly = rows.assign(ds=[*DAYS, *DAYS, *pd.date_range("2020-01-01", periods=30, freq="MS")])
    irregular = [*np.cumsum([1, 3, 2, 4, 3, 5, 2, 4, 3, 7])]
    return [
        (pd.concat([rows, rows[4:6]]), None, r"two rows for series 'b' at 2024-01-05 .*, and 1 more dup.*groupby"),
        (pd.concat([frame, frame[:1]]), None, "two rows for series 'b' at 2024-01-01"),
        (rows.assign(ds=rows["ds"].where(rows.index != 7)), None, r"Row 7 of df has no time \(NaT\)"),
        (rows.assign(unique_id=rows["unique_id"].where(rows.index != 7)), None, "Row 7 .* no series: 'unique_id' is m"),
        (rows.assign(ds=rows["ds"].dt.strftime("%d/%m/%Y")), None, "str values such as '01/01/2024'.*to_datetime"),
        (rows.assign(ds=rows["ds"].astype(object).where(rows.index > 3, 7)), None, "Timestamp.*int|int.*Timestamp"),
        (
            rows.assign(ds=[*rows["ds"][:30], *rows["ds"][30:].dt.tz_localize("UTC")]),
            None,
            "The times of df are Timestamp values .*make them dates of one time zone",
        ),
        (rows.assign(ds=np.sqrt(np.arange(90))), None, "The time .* does not lie on a grid of step .*numpy.interp"),
        (monthly, None, r"Series 'c' of df has .* steps of the common grid \(freq='D'\).*mixed frequencies"),
        (pd.Series(1.0, pd.Timestamp("2024") + pd.to_timedelta(irregular, "D")), None, "irregular stamps"),
        (rows.assign(y=rows["y"].astype(object)), None, "Column 'y' of df has the dtype object, such as .*to_numeric"),
        (frame.astype({"a": object}), None, "Column 'a' of df has the dtype object"),
        (frame.astype({"a": complex}), None, "Column 'a' of df has the dtype complex128"),
        (
            rows.assign(y=rows["y"].where(rows.index != 35, np.inf)),
            None,
            r"infinite \(inf\) in series 'a' at 2024-01-06",
        ),
        (frame.replace(frame.iloc[2, 1], -np.inf), None, r"infinite \(inf\) in series 'a' at 2024-01-03"),
        (frame.assign(a=np.nan), None, "Series 'a' of df has no known target: every value is missing"),
        (pd.Series([np.nan] * 3), None, "Series 'y' of df has no known target"),
        (rows.assign(price=1.0), None, r"Nobody said what the columns \['price'\] of df are: name them in past"),
        (rows.drop(columns="y"), None, "df has no column 'y'; beside series and time it has"),
        (plain, Roles(future=("f", "g")), "df has no column 'g'"),
        (
            plain.assign(f=plain["f"].where(plain.index != 4)),
            future,
            "'f' of df is missing in series 'b' at 2024-01-05",
        ),
        (plain.drop(4), future, "'f' of df is missing, since the whole row is absent, in series 'b' at 2024-01-05"),
        (covariates.assign(size=range(20)), ROLES, "static covariate 'size' of df changes within series 'b'"),
        (covariates.assign(kind=[None] + ["x"] * 19), ROLES, "static covariate 'kind' of df changes within series 'b'"),
        (frame, Roles(static=("kind",)), "wide frame, which has no column of static covariates"),
        (frame, future, "df has no column 'f', which is named as a covariate"),
        (frame[["a"]], Roles(future=("a",)), "no column to forecast: all are covariates"),
        (frame["a"], Roles(past=("p",)), "df is a Series, which has no column 'p'"),
        (frame.set_axis(["a", "a", "c"], axis=1), None, "df has two columns of the name 'a'"),
        (rows.set_axis(["unique_id", "ds", "ds"], axis=1), None, "df has two columns of the name 'ds'"),
        (
            frame.set_axis(pd.MultiIndex.from_product([["u"], [*"abc"]]), axis=1),
            None,
            "The columns of df have 2 levels",
        ),
        (rows.assign(v=1).set_index(["unique_id", "ds", "v"]), None, "df has 3 index levels"),
        (rows.rename(columns={"ds": "date"}), None, "df has a column 'unique_id' but none named 'ds' for the time"),
        (rows.rename(columns={"unique_id": "id", "ds": "date"}), None, "read as a wide frame.*'id' does not hold"),
        (pd.DataFrame(), None, "no column to forecast"),
        (frame[:0], None, "df has no rows"),
        (rows[:0], None, "df has no rows"),
        (frame[:1].set_axis(pd.DatetimeIndex(["2024-01-01"])), None, "No frequency fits the 1 stamp from"),
        (xarray.DataArray(np.ones((2, 3)), dims=("series", "time")), None, "dim 'series' of df has no coordinate"),
        (xarray.DataArray(np.ones((2, 3, 1)), dims=("series", "time", "u")), None, "df has the dims .*expected"),
        (xarray.Dataset({"z": 1}), None, r"df has no variable 'y'; it has \['z'\]"),
    ]


@pytest.mark.parametrize(("data", "roles", "message"), bad_frames(), ids=[message for _, _, message in bad_frames()])
def test_frames_that_cannot_be_read(data: Any, roles: Roles | None, message: str) -> None:
    """What is wrong is said, and where."""
    with pytest.raises(ValueError, match=message):
        read_panel(data, roles)


def test_what_is_no_frame() -> None:
    """Arrays and lists have no times."""
    for data in (np.ones(4), [1.0, 2.0], None):
        with pytest.raises(TypeError, match="df must be a pandas Series or DataFrame.*Arrays have no times"):
            read_panel(data)


def test_given_frequencies() -> None:
    """They say that rows are missing; stamps off their grid are an error."""
    stamps = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 3, 5, 9, 12], "D")
    panel = read_panel(pd.Series(np.arange(5.0), stamps), freq="D")
    assert panel.lengths[0] == 13 and np.isnan(panel.target).sum() == 8
    assert read_panel(wide()[:1], freq="D").ahead(1)[0][0] == DAYS[1]
    with pytest.raises(ValueError, match="2024-01-02.*does not lie on the grid of freq='2D'"):
        read_panel(wide(), freq="2D")
    far = pd.Series([1.0, 2.0], pd.to_datetime(["1970-01-01", "2020-01-01"]))
    with pytest.raises(ValueError, match="freq='s' is too fine for 2 stamps from 1970-01-01"):
        read_panel(far, freq="s")
    with pytest.raises(ValueError, match=r"3 rows of df would be 1000000000001 at freq=1: the stamps are irregular"):
        read_panel(pd.Series([1.0, 2.0, 3.0], [0, 7, 10**12]), freq=1)


def test_one_row() -> None:
    """Integers have a step of one, if nothing else is said."""
    panel = read_panel(pd.Series([3.0], [7]))
    assert panel.lengths.tolist() == [1] and list(panel.ahead(2)[0]) == [8, 9] and len(panel.gaps()) == 0


# -------------------------------------------------------------------- speed


def test_thousands_of_series_take_no_time() -> None:
    """5,000 series of about 100 rows, shuffled, are read, continued and looked ahead of in well under two seconds."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(50, 150, 5000)
    codes = np.repeat(np.arange(5000), lengths)
    steps = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    days = np.datetime64("2024-01-01") - (np.repeat(lengths, lengths) - steps).astype("timedelta64[D]")
    frame = pd.DataFrame({"unique_id": codes, "ds": days, "y": 1.0, "u": generator.normal(size=len(codes))})
    frame = frame.sample(frac=1, random_state=0)
    roles = Roles(future=("u",))
    begin = time.process_time()
    panel = read_panel(frame, roles)
    head = panel.head(panel.lengths - 10)
    more = read_more(frame[frame["ds"] >= "2023-12-22"], head)
    known = read_future(frame[["unique_id", "ds", "u"]], head, 10)
    found = head.restore({"mean": known[:, :, 0]}, head.ahead(10))
    assert time.process_time() - begin < 4
    same(head.joined(more), panel)
    assert len(found) == 50_000 and np.array_equal(known.ravel(), panel.tail(10).future[:, 0])
