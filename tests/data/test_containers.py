"""Frames of polars and pyarrow, nullable and pyarrow-backed columns: read as all others, given back as they came."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals
import numpy as np
import pandas as pd
import pytest

from seqdyn.data.containers import as_pandas, container_of
from seqdyn.data.panel_additions import frame_ahead, read_future, read_more, static_frame
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel, Roles
from seqdyn.files import read, write

polars = pytest.importorskip("polars", reason="polars is not installed")
pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")

DAYS = pd.date_range("2024-01-01", periods=6)


def long() -> pd.DataFrame:
    """Two series, the second before the first in the alphabet."""
    return pd.DataFrame({"unique_id": np.repeat(["b", "a"], 6), "ds": [*DAYS, *DAYS], "y": np.arange(12.0)})


def in_polars(frame: pd.DataFrame) -> Any:
    """The same in polars, without pandas' conversion."""
    return polars.from_dict({name: frame[name].to_numpy() for name in frame})


def restored(panel: Panel) -> Any:
    """The rows themselves, as if they were a forecast."""
    series = range(len(panel.names))
    return panel.restore({"y": panel.target.reshape(len(series), -1)}, [panel.times[panel.rows(i)] for i in series])


def through_a_file(panel: Panel, folder: Path) -> Panel:
    """What comes back of it."""
    write(folder / "panel", panel)
    found: Panel = read(folder / "panel")
    return found


def types_of(frame: Any) -> list[Any]:
    """Of all columns, as narwhals calls them."""
    return list(narwhals.from_native(frame).schema.values())


def rows(frame: Any) -> list[Any]:
    """As tuples."""
    return list(narwhals.from_native(frame).iter_rows())


def kind(dtype: Any) -> Any:
    """An Enum of pyarrow is a Categorical."""
    return narwhals.Categorical if isinstance(dtype, narwhals.Enum | narwhals.Categorical) else dtype


CASTS: list[dict[str, Any]] = [
    {},
    {"ds": polars.Date},
    {"ds": polars.Datetime("ns")},
    {"ds": polars.Datetime("ms")},
    {"ds": polars.Datetime("us", "Europe/Berlin")},
    {"y": polars.Float32},
    {"unique_id": polars.Categorical},
    {"unique_id": polars.Enum(["a", "b"])},
]


@pytest.mark.parametrize("cast", CASTS, ids=str)
@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_round_trips(library: str, cast: dict[str, Any], tmp_path: Path) -> None:
    """Rows, types and library come back, also of one series without ids, and through a file."""
    frame = in_polars(long()).cast(cast)
    for data in (frame, frame.drop("unique_id").head(6)):
        data = data if library == "polars" else data.to_arrow()
        panel = through_a_file(read_panel(data), tmp_path)
        found = restored(panel)
        assert container_of(found) == library and type(found) is type(data)
        assert [kind(dtype) for dtype in types_of(found)] == [kind(dtype) for dtype in types_of(data)]
        assert rows(found) == rows(data)
    if library == "polars":
        assert restored(read_panel(frame)).schema == frame.schema


def test_the_panel_is_that_of_pandas() -> None:
    """Whatever the library: values, times, names, gaps."""
    frame = long().drop(index=3)
    frame.loc[8, "y"] = np.nan
    expected = read_panel(frame)
    table = in_polars(frame).with_columns(y=polars.col("y").fill_nan(None))
    for data in (table, table.to_arrow(), table.with_columns(y=polars.col("y").cast(polars.Int64))):
        panel = read_panel(data)
        np.testing.assert_array_equal(panel.target, expected.target)
        assert panel.times.equals(expected.times) and list(panel.names) == ["b", "a"]
        assert panel.gaps().equals(expected.gaps()) and panel.grid == expected.grid


def test_what_comes_later() -> None:
    """New rows, covariates ahead and static ones of any library, whatever the first frame was of."""
    frame = long().assign(price=np.arange(12.0), day=["work", "rest"] * 6)
    roles = Roles(future=("price", "day"))
    for whole in (frame, in_polars(frame), in_polars(frame).to_arrow()):
        head = read_panel(whole, roles).head(np.array([4, 4]))
        rest = frame.groupby("unique_id", sort=False).tail(2)
        for new in (rest, in_polars(rest), in_polars(rest).to_arrow()):
            joined = head.joined(read_more(new, head))
            np.testing.assert_array_equal(joined.future, read_panel(frame, roles).future)
            known = read_future(new, head, 2)
            np.testing.assert_array_equal(known[:, :, 0], [[4, 5], [10, 11]])
            np.testing.assert_array_equal(known[:, :, 2], [[1, 0], [1, 0]])
        areas = polars.DataFrame({"unique_id": ["a", "b"], "area": [1.0, 2.0]})
        assert static_frame(areas, head, ["area"])["area"].tolist() == [2.0, 1.0]


def test_the_frame_to_fill_is_of_the_same_library() -> None:
    """With nulls of the right type, to be filled and read."""
    frame = in_polars(long().assign(price=1.0, day="work"))
    panel = read_panel(frame, Roles(future=("price", "day")))
    blank = frame_ahead(panel, 2)
    assert blank.schema == frame.drop("y").schema and blank["price"].null_count() == 4
    filled = blank.with_columns(price=polars.lit(3.0), day=polars.lit("work"))
    np.testing.assert_array_equal(read_future(filled, panel, 2)[0], [[3, 1], [3, 1]])


# -------------------------------------------------------------------- types of pandas

TARGETS = {
    "float32": "float32",
    "float64": "float64",
    "int64": "float64",
    "Float32": "Float32",
    "Float64": "Float64",
    "Int64": "Float64",
    "boolean": "Float64",
    "float[pyarrow]": "float[pyarrow]",
    "double[pyarrow]": "double[pyarrow]",
    "int64[pyarrow]": "double[pyarrow]",
}
TIMES = ["datetime64[s]", "datetime64[ns]", "timestamp[ns][pyarrow]", "timestamp[us][pyarrow]", "date32[day][pyarrow]"]


def layouts(frame: pd.DataFrame) -> dict[str, Any]:
    """The same series in every layout of pandas."""
    wide = frame.pivot(index="ds", columns="unique_id", values="y")[["b", "a"]]
    return {
        "long": frame,
        "multiindex": frame.set_index(["unique_id", "ds"]),
        "wide": wide,
        "series": wide["b"].rename("y"),
    }


def types(found: Any) -> tuple[str, str]:
    """Of values and of times."""
    if isinstance(found, pd.DataFrame) and "ds" in found:
        return str(found["y"].dtype), str(found["ds"].dtype)
    values = found.dtype if isinstance(found, pd.Series) else found.dtypes.iloc[0]
    return str(values), str(found.index.get_level_values(-1).dtype)


@pytest.mark.parametrize("layout", ["long", "multiindex", "wide", "series"])
@pytest.mark.parametrize("dtype", TARGETS)
def test_types_of_targets(dtype: str, layout: str, tmp_path: Path) -> None:
    """They stay what they are, whole numbers as numbers with a fraction of the same kind."""
    data = layouts(long().assign(y=(np.arange(12) % 2)).astype({"y": dtype}))[layout]
    panel = through_a_file(read_panel(data), tmp_path)
    assert types(restored(panel)) == (TARGETS[dtype], "datetime64[us]")
    two = panel.restore({"y": np.zeros((len(panel.names), 2)), "0.1": np.zeros((len(panel.names), 2))}, panel.ahead(2))
    assert {str(kind) for kind in two.dtypes.drop(["unique_id", "ds"], errors="ignore")} == {TARGETS[dtype]}


@pytest.mark.parametrize("layout", ["long", "multiindex", "wide", "series"])
@pytest.mark.parametrize("dtype", TIMES)
def test_types_of_times(dtype: str, layout: str, tmp_path: Path) -> None:
    """Also of the steps ahead; new rows of any other type follow them."""
    data = layouts(long().astype({"ds": dtype}))[layout]
    panel = through_a_file(read_panel(data), tmp_path)
    assert types(restored(panel)) == ("float64", dtype)
    ahead = panel.restore({"y": np.zeros((len(panel.names), 2))}, panel.ahead(2))
    assert types(ahead)[1] == dtype
    head = panel.head(np.full(len(panel.names), 4))
    later = layouts(long())[layout] if layout != "long" else long()
    rest = later[later["ds"] > DAYS[3]] if layout == "long" else later[later.index.get_level_values(-1) > DAYS[3]]
    assert head.joined(read_more(rest, head)).times.equals(panel.times)


@pytest.mark.parametrize("dtype", ["string", "category", "object", "Int64", "large_string[pyarrow]", "int64[pyarrow]"])
def test_types_of_ids(dtype: str, tmp_path: Path) -> None:
    """As columns, levels and heads."""
    frame = long().assign(unique_id=np.repeat([7, 3], 6) if "nt64" in dtype else np.repeat(["b", "a"], 6))
    frame = frame.astype({"unique_id": dtype})
    panel = through_a_file(read_panel(frame), tmp_path)
    assert restored(panel)["unique_id"].dtype == frame["unique_id"].dtype
    indexed = restored(through_a_file(read_panel(frame.set_index(["unique_id", "ds"])), tmp_path))
    assert indexed.index.get_level_values(0).dtype == frame["unique_id"].dtype


def test_decimals_and_dates_of_python() -> None:
    """What databases give: they are numbers and dates."""
    rows = [(datetime.date(2024, 1, day), Decimal(day) / 4) for day in range(1, 6)]
    frame = pd.DataFrame(rows, columns=["ds", "y"])
    frame.loc[2, "y"] = None
    panel = read_panel(frame)
    np.testing.assert_array_equal(panel.target, [0.25, 0.5, np.nan, 1, 1.25])
    assert panel.times.equals(pd.date_range("2024-01-01", periods=5)) and panel.grid.freq == "D"
    wide = frame.set_index("ds")
    np.testing.assert_array_equal(read_panel(wide).target, panel.target)
    arrow = pyarrow.table({"ds": frame["ds"], "y": frame["y"]})
    np.testing.assert_array_equal(read_panel(arrow).target, panel.target)
    np.testing.assert_array_equal(read_panel(polars.from_arrow(arrow)).target, panel.target)


def test_what_is_no_frame_of_theirs() -> None:
    """Lazy frames, single columns, columns of lists: each with the way out."""
    frame = in_polars(long())
    with pytest.raises(TypeError, match=r"df is a lazy frame, which holds no rows yet: give df\.collect\(\)"):
        read_panel(frame.lazy())
    with pytest.raises(TypeError, match="df is a single polars column, which has no times"):
        read_panel(frame["y"])
    with pytest.raises(TypeError, match=r"Column 'y' of df has the type List\(Int64\): give numbers"):
        read_panel(polars.DataFrame({"ds": [1, 2], "y": [[1], [2]]}))
    with pytest.raises(TypeError, match="pandas Series or DataFrame, a polars DataFrame, a pyarrow Table"):
        read_panel({"ds": [1], "y": [2]})
    assert as_pandas(3) == 3 and container_of([1]) == "pandas"


def test_nulls_in_times_and_ids() -> None:
    """They are named as in pandas."""
    frame = in_polars(long())
    with pytest.raises(ValueError, match=r"Row 0 of df has no time \(NaT\)"):
        read_panel(frame.with_columns(ds=polars.when(polars.col("y") > 0).then(polars.col("ds"))))
    with pytest.raises(ValueError, match="Row 0 of df has no series: 'unique_id' is missing there"):
        read_panel(frame.with_columns(unique_id=polars.when(polars.col("y") > 0).then(polars.col("unique_id"))))
