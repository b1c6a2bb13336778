"""Columns: categories that vary in time become one column a value, those of the fit, wherever rows come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqdyn.data.columns import categories_of, column_as_numbers, column_names, encoded, is_category
from seqdyn.data.panel_additions import frame_ahead, read_future, read_more
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel, Roles
from seqdyn.files import read, write

DAYS = pd.date_range("2024-01-01", periods=20)
ROLES = Roles(past=("shop",), future=("day", "price"))


def frame() -> pd.DataFrame:
    """Two series with a category known ahead, one known up to the present with gaps, and a number."""
    table = pd.DataFrame({"unique_id": np.repeat(["b", "a"], 20), "ds": [*DAYS, *DAYS], "y": np.arange(40.0)})
    weekend = table["ds"].dt.day_of_week >= 5
    shop = np.array(["open", "shut", None], dtype=object)[np.arange(40) % 3]
    return table.assign(day=np.where(weekend, "weekend", "work"), shop=shop, price=np.arange(40.0) / 4)


@pytest.mark.parametrize("dtype", ["str", "object", "category", "string"])
def test_one_column_a_value(dtype: str) -> None:
    """That of pandas.get_dummies, NaN where missing; numbers stay as they are."""
    table = frame().astype({"day": dtype, "shop": dtype})
    panel = read_panel(table, ROLES)
    assert panel.columns("past") == ("shop=open", "shop=shut")
    assert panel.columns("future") == ("day=weekend", "day=work", "price")
    assert panel.categories == {"shop": ("open", "shut"), "day": ("weekend", "work")}
    np.testing.assert_array_equal(panel.future[:, :2], pd.get_dummies(table["day"]).to_numpy(float))
    np.testing.assert_array_equal(panel.future[:, 2], table["price"])
    missing = table["shop"].isna().to_numpy()
    np.testing.assert_array_equal(panel.past[~missing], pd.get_dummies(table["shop"]).to_numpy(float)[~missing])
    assert np.isnan(panel.past[missing]).all() and missing.sum() == 13


@pytest.mark.parametrize("dtype", ["bool", "boolean", "int8", "Float64"])
def test_truth_values_are_numbers(dtype: str) -> None:
    """0 and 1 in one column say all there is to say."""
    panel = read_panel(frame().assign(price=(np.arange(40) % 2)).astype({"price": dtype}), ROLES)
    assert panel.columns("future")[2:] == ("price",)
    np.testing.assert_array_equal(panel.future[:, 2], np.arange(40) % 2)


def test_layouts_agree() -> None:
    """Columns, levels, variables, and columns that all series share."""
    table = frame()
    expected = read_panel(table, ROLES)
    indexed = table.set_index(["unique_id", "ds"])
    for data in (indexed, indexed.to_xarray().sel(unique_id=["b", "a"]), table[::-1]):
        found = read_panel(data, ROLES)
        found = found.select(np.array([0, 1])) if list(found.names) == ["b", "a"] else found
        for role in ("past", "future"):
            own = {name: getattr(found, role)[found.rows(i)] for i, name in enumerate(found.names)}
            wanted = {name: getattr(expected, role)[expected.rows(i)] for i, name in enumerate(expected.names)}
            for name, values in wanted.items():
                np.testing.assert_array_equal(own[name], values)
    wide = table.pivot(index="ds", columns="unique_id", values="y").assign(day=table["day"][:20].to_numpy())
    shared = read_panel(wide, Roles(future=("day",)))
    np.testing.assert_array_equal(shared.future[:20], expected.future[:20, :2])


def test_parts_files_and_new_rows(tmp_path: Path) -> None:
    """A part and the rest are the whole, though the rest has fewer values; also after a file."""
    table = frame()
    whole = read_panel(table, ROLES)
    head = whole.head(np.array([17, 17]))
    write(tmp_path / "panel", head)
    kept = read(tmp_path / "panel")
    assert kept.categories == whole.categories
    rest = table[table["ds"] > DAYS[16]]
    assert set(rest["day"]) < {"weekend", "work", "else"} and len(set(rest["day"])) <= 2
    for part in (head, kept):
        joined = part.joined(read_more(rest, part))
        np.testing.assert_array_equal(joined.past, whole.past)
        np.testing.assert_array_equal(joined.future, whole.future)
    one = read_more(rest.assign(day="work", shop=None), kept)
    assert one.future[:, 1].all() and np.isnan(one.past).all()


def test_the_frame_to_fill() -> None:
    """Text where a category belongs, numbers where numbers do; filled, it is read as at the fit."""
    panel = read_panel(frame(), ROLES)
    blank = frame_ahead(panel, 3)
    assert list(blank.columns) == ["unique_id", "ds", "day", "price"] and blank["price"].dtype == float
    blank.loc[:, "day"] = ["work", "weekend", "work"] * 2
    blank["price"] = np.arange(6.0)
    expected = [[[0, 1, 0], [1, 0, 1], [0, 1, 2]], [[0, 1, 3], [1, 0, 4], [0, 1, 5]]]
    np.testing.assert_array_equal(read_future(blank, panel, 3), expected)
    np.testing.assert_array_equal(read_future(blank.set_index(["unique_id", "ds"]).to_xarray(), panel, 3), expected)
    shared = blank.iloc[:3].drop(columns="unique_id")
    np.testing.assert_array_equal(read_future(shared.astype({"day": "category"}), panel, 3), [expected[0]] * 2)


def test_values_that_are_not_known() -> None:
    """Ahead, in new rows, and in a frame read as at the fit: which, where, and what was known."""
    table = frame()
    panel = read_panel(table, ROLES)
    head = panel.head(np.array([18, 18]))
    ahead = frame_ahead(panel, 3).assign(price=1.0, day=["work", "holiday", "work"] * 2)
    message = r"'day' of future is 'holiday' for series 'b' at 2024-01-22 .*step 2 of the horizon 3, which was not in"
    with pytest.raises(ValueError, match=message + r" the fit; it knew 'weekend', 'work'\. Fit again"):
        read_future(ahead, panel, 3)
    with pytest.raises(ValueError, match=r"'day' of df is 'holiday' in series 'b' at 2024-01-19 .*it knew 'weekend'"):
        read_more(table[table["ds"] > DAYS[17]].assign(day="holiday"), head)
    with pytest.raises(ValueError, match="'shop' of df is 'closed' in series 'b' at 2024-01-02"):
        read_panel(table.replace({"shop": {"shut": "closed"}}), ROLES, categories=panel.categories)
    with pytest.raises(ValueError, match="future does not hold 'day' for series 'b' at 2024-01-21 .*step 1"):
        read_future(ahead.assign(day=None), panel, 3)
    with pytest.raises(ValueError, match="The covariate 'day' of df is missing in series 'b' at 2024-01-03"):
        read_panel(table.assign(day=table["day"].where(table.index != 2)), ROLES)
    with pytest.raises(ValueError, match="Column 'price' of df has the dtype .*give numbers"):
        read_panel(table.assign(price="cheap"), ROLES, categories=panel.categories)


def test_text_that_is_no_category() -> None:
    """Numbers written as text, and free text, are named with the way out."""
    table = frame()
    with pytest.raises(ValueError, match=r"'price' of df has numbers written as text, such as '0\.0'.*to_numeric"):
        read_panel(table.astype({"price": str}), ROLES)
    codes = read_panel(table.assign(price=pd.Categorical(np.arange(40) % 2)), ROLES)
    assert codes.columns("future")[2:] == ("price=0", "price=1")
    many = pd.DataFrame({"y": np.arange(200.0), "note": [f"note {i}" for i in range(200)]}, index=range(200))
    with pytest.raises(ValueError, match="'note' of df has 200 different values, such as 'note 0'.*up to 100: group"):
        read_panel(many, Roles(past=("note",)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", None], True),
        (pd.Categorical([1, 2]), True),
        ([1.0, 2.0], False),
        ([True, False], False),
        (pd.array([1, None], dtype="Int64"), False),
        (pd.to_datetime(["2024"]), False),
        (np.array([True, None], dtype=object), True),
        (np.array([1.0, "a"], dtype=object), False),
    ],
)
def test_what_is_a_category(values: Any, expected: bool) -> None:
    """Text, truth values with holes in an object column, and what says so."""
    assert is_category(pd.Series(values)) is expected


def test_pieces() -> None:
    """The names, the table, and the first strange value."""
    column = pd.Series(["x", "y", None, "z"])
    assert categories_of(column.to_frame("c"), ["c"], "df") == {"c": ("x", "y", "z")}
    table, strange = encoded(column, ("y", "x"))
    np.testing.assert_array_equal(table, [[0, 1], [1, 0], [np.nan] * 2, [0, 0]])
    assert strange == 3 and encoded(column, ("x", "y", "z"))[1] == -1
    assert column_names(["a", "c"], {"c": ("x", 1)}) == ("a", "c=x", "c=1")
    with pytest.raises(ValueError, match="give numbers"):
        column_as_numbers(pd.Series(["a"], name="y"), "df")


def test_panels_without_categories_are_as_they_were() -> None:
    """Also those of files that were written before there were any."""
    panel = read_panel(frame().drop(columns=["day", "shop"]), Roles(future=("price",)))
    content = panel.to_content()
    del content["categories"]
    again = Panel.from_content(content)
    assert again.categories == {} and again.columns("future") == ("price",) and again.columns("past") == ()
