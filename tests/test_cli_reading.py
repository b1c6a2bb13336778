"""Reading tables: written in any dialect they are read back as they were, or it is said what else they could mean."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqdyn.cli.dates import Spelling, regularity
from seqdyn.cli.dialects import AS_FOUND, STYLES, Dialect, Numbers, decoded, parse_csv, pattern, separator
from seqdyn.cli.instants import AS_WRITTEN, Clock, read_instants
from seqdyn.cli.tables import check_numbers, mostly_numbers, read_rows
from seqdyn.cli.written import decimals

MARKS = [style for style in STYLES if style.thousands != "'"]


def number(value: float, places: int, style: Numbers) -> str:
    """A number with so many decimals as people of some country write it."""
    text = f"{value:,.{places}f}" if style.thousands else f"{value:.{places}f}"
    swapped = {",": style.thousands, ".": style.decimal}
    return "".join(swapped.get(letter, letter) for letter in text)


def written(rows: list[list[str]], sep: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=sep).writerows(rows)
    return stream.getvalue()


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, str, str, Numbers]:
    """A table of two columns of numbers, as it is and as it is written."""
    style, sep = draw(st.sampled_from(MARKS)), draw(st.sampled_from([",", ";", "\t", "|"]))
    assume((style.thousands, sep) != (".", ","))
    rows = draw(st.integers(2, 12))
    columns, cells = {}, []
    for name in ("a", "größe"):
        places = draw(st.integers(0, 4))
        numbers = draw(st.lists(st.integers(-(10**8), 10**8), min_size=rows, max_size=rows))
        columns[name] = [value / 10**places for value in numbers]
        cells.append([number(value, places, style) for value in columns[name]])
    text = written([list(columns), *map(list, zip(*cells, strict=True))], sep)
    return pd.DataFrame(columns), text, sep, style


# --- dialects


@settings(max_examples=80, deadline=None)
@given(tables(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"]), st.booleans())
def test_a_dialect_that_is_given(table: Any, encoding: str, zipped: bool) -> None:
    """With all options the table is read back as it was, and nothing is in doubt."""
    frame, text, sep, style = table
    raw = text.encode(encoding)
    raw = gzip.compress(raw) if zipped else raw
    read, notes = parse_csv(raw, Dialect(sep, style.decimal, style.thousands, encoding), "t.csv")
    pd.testing.assert_frame_equal(read.astype(float), frame.astype(float))
    assert notes == []


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_no_dialect_is_misread_in_silence(table: Any, encoding: str) -> None:
    """Without options the table is read back as it was, or a note names the option that gives the other numbers."""
    frame, text, _, style = table
    read, notes = parse_csv(text.encode(encoding), AS_FOUND, "t.csv")
    assert list(read.columns) == list(frame.columns)
    if any(dtype.kind not in "if" for dtype in read.dtypes) or not np.allclose(read, frame):
        assert len(notes) == 1, (text, read)
        option = {"--decimal": {"decimal": style.decimal}, "--thousands": {"thousands": style.thousands}}
        chosen = next(value for name, value in option.items() if name in notes[0])
        again, _ = parse_csv(text.encode(encoding), Dialect(**chosen), "t.csv")
        np.testing.assert_allclose(again.astype(float), frame)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("t;y\n01.01.2024;1.234,5\n02.01.2024;7\n", [1234.5, 7]),
        ("t,y\n2024-01-01,1.5\n2024-01-02,2\n", [1.5, 2]),
        ('t,y\na,"1,234.5"\nb,"12.25"\n', [1234.5, 12.25]),
        ('t,y\na,"1,5"\nb,"2,25"\n', [1.5, 2.25]),
        ("t;y\na;1\u00a0234,5\nb;2\u202f000\n", [1234.5, 2000]),
        ("t\ty\na\t1'234.5\nb\t7\n", [1234.5, 7]),
        ("t;y\na;1e3\nb;-2,5E-1\n", [1000, -0.25]),
        ("y\n1,5\n2,5\n", [1.5, 2.5]),
        ("t;y\na;1,5\nb;\nc;NA\n", [1.5, np.nan, np.nan]),
        ("t|y\na|+1.5\nb|.5\n", [1.5, 0.5]),
    ],
)
def test_ways_of_writing(text: str, values: list[float]) -> None:
    """Each of these has but one meaning."""
    frame, notes = parse_csv(text.encode(), AS_FOUND, "t.csv")
    np.testing.assert_allclose(frame["y"], values)
    assert notes == []


@pytest.mark.parametrize(
    ("text", "value", "note"),
    [
        ("t;y\na;1.234\nb;5.678\n", 1.234, "1.234 was read as 1.234; if it is 1234, say --thousands ."),
        ("t;y\na;1,234\nb;5,678\n", 1.234, "1,234 was read as 1.234; if it is 1234, say --thousands ,"),
        ('t,y\na,"1,234"\nb,"678"\n', 1234, "1,234 was read as 1234; if it is 1.234, say --decimal ,"),
    ],
)
def test_marks_of_fractions_or_of_thousands(text: str, value: float, note: str) -> None:
    """One mark before three digits everywhere may be either: a note says what was taken, and its option works."""
    frame, notes = parse_csv(text.encode(), AS_FOUND, "t.csv")
    assert frame["y"][0] == value and notes == [f"{note}."]


@pytest.mark.parametrize("mark", ["-", "--", "n/a", "N.A.", "NA", ".", "..", "", "?", "null", "–"])
@pytest.mark.parametrize("text", ["t;y\na;1.234,5\nb;@\nc;7\nd; @ \n", "t,y\na,1234.5\nb,@\nc,7\nd, @ \n"])
def test_missing_numbers(text: str, mark: str) -> None:
    """What stands for a missing number is none, in either way of writing; a note counts what is not empty."""
    frame, notes = parse_csv(text.replace("@", mark).encode(), AS_FOUND, "t.csv")
    np.testing.assert_array_equal(frame["y"], [1234.5, np.nan, 7, np.nan])
    assert len(notes) <= 1 and all("of 'y' with" in note and "read as missing" in note for note in notes)
    if mark in ("-", ".", "?", "N.A."):  # pandas takes NA and the like for empty by itself
        assert notes == [f"t.csv: 2 cells of 'y' with {mark!r} were read as missing."]


def test_marks_in_columns_of_text_stay() -> None:
    """A dash among names is a name; whole numbers with a gap are numbers still."""
    frame, notes = parse_csv(b"shop,y,z\n-,1,-\na,-,-\nb,3,-\n", AS_FOUND, "t.csv")
    assert list(frame["shop"]) == ["-", "a", "b"] and list(frame["z"]) == ["-"] * 3
    assert notes == ["t.csv: 1 cell of 'y' with '-' was read as missing."]


@pytest.mark.parametrize("text", ["t;y\na;1.234,5\nb;oops\nc;7,25\nd;-\n", "t,y\na,1234.5\nb,oops\nc,7.25\nd,-\n"])
def test_a_cell_that_is_no_number_is_named(tmp_path: Path, text: str) -> None:
    """The cell that is wrong, not the first one and not the gap."""
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    frame = read_rows(tmp_path / "t.csv")
    assert list(frame["y"])[::2] == ["1234.5", "7.25"] and mostly_numbers(frame["y"])
    with pytest.raises(ValueError, match="Column 'y' of t.csv is not numeric: it holds 'oops' at row 2."):
        check_numbers(frame, ["y"], Path("t.csv"), missing=True)


def test_dates_with_points_are_no_numbers() -> None:
    """pandas reads 01.02.2024 as a million and more, where points are to group thousands."""
    frame, _ = parse_csv(b"t;y\n01.02.2024;1.000.000\n02.02.2024;2.000.000\n", Dialect(thousands="."), "t.csv")
    assert list(frame["t"]) == ["01.02.2024", "02.02.2024"] and list(frame["y"]) == [10**6, 2 * 10**6]


def test_a_code_page_is_said_aloud() -> None:
    """What is no UTF-8 is read as Western European, and the note shows a word by which one can tell."""
    text, notes = decoded("tag;größe\n1;2\n".encode("cp1252"), None, "t.csv")
    assert text.startswith("tag;größe") and "cp1252" in notes[0] and "größe" in notes[0] and "--encoding" in notes[0]
    assert decoded("да;нет\n".encode("cp1251"), "cp1251", "t.csv") == ("да;нет\n", [])


@pytest.mark.parametrize(
    ("raw", "dialect", "said"),
    [
        (b"", AS_FOUND, "t.csv is empty"),
        (b"a,b\n1,2\n1,2,3,4\n", AS_FOUND, "t.csv does not read as a CSV file: .*line 3"),
        (bytes(range(256)), AS_FOUND, "it holds the byte 0"),
        (b"\xff\xfea", Dialect(encoding="utf-8"), "is no letter in utf-8. Give its --encoding."),
        (b"a\n1\n", Dialect(encoding="klingon"), "--encoding klingon: there is no such encoding"),
        (b"a\n1\n", Dialect(decimal=".", thousands="."), "give one mark each"),
    ],
)
def test_what_is_no_table(raw: bytes, dialect: Dialect, said: str) -> None:
    """The error names the file, the place and the option."""
    with pytest.raises(ValueError, match=said):
        parse_csv(raw, dialect, "t.csv")


def test_separators_in_quotes_do_not_count() -> None:
    """A comma in a name is none between cells; the line of names decides."""
    assert separator('"a, b";c\n1;2\n') == ";" and separator('a,"b;c"\n1,2\n') == ","
    assert separator("a;b\n1,5;2,5\n3,5;4,5\n") == ";"


@pytest.mark.parametrize("style", STYLES)
def test_the_pattern_of_numbers(style: Numbers) -> None:
    """Groups have three digits, and the first does not begin with 0."""
    import re

    assert re.fullmatch(pattern(style), number(1234567.5, 1, style))
    if style.thousands:
        mark = style.thousands
        assert not any(re.fullmatch(pattern(style), text) for text in (f"0{mark}123", f"1{mark}23", f"1{mark}2345"))


def test_parquet(tmp_path: Path) -> None:
    """A Parquet file is a table as well; an index with a name becomes a column."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"y": [1.0, 2.0]}, pd.DatetimeIndex(["2024-01-01", "2024-01-02"], name="t"))
    frame.to_parquet(tmp_path / "t.parquet")
    read = read_rows(tmp_path / "t.parquet")
    assert list(read.columns) == ["t", "y"] and read["t"][1] == pd.Timestamp("2024-01-02")


# --- times

FORMATS = ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%y", "%Y%m%d", "%Y-%m-%dT%H:%M:%S"]
FREQUENCIES = ["D", "B", "W-MON", "MS", "ME", "QS", "YE"]


@settings(max_examples=120, deadline=None)
@given(
    st.datetimes(pd.Timestamp("1990-01-01"), pd.Timestamp("2040-01-01")),
    st.sampled_from(FORMATS),
    st.sampled_from(FREQUENCIES),
    st.integers(4, 30),
)
def test_no_date_is_misread_in_silence(start: Any, form: str, freq: str, count: int) -> None:
    """Regular dates come back as they were and are written as they were, or a note names the other order."""
    stamps = pd.date_range(pd.Timestamp(start).normalize(), periods=count, freq=freq)
    text = pd.Series(list(stamps.strftime(form)), name="t")
    column = text.astype(int) if text.str.isdigit().all() else text
    times, spelling, notes = read_instants(column, AS_WRITTEN, "t.csv")
    if pd.api.types.is_integer_dtype(times):  # equally far apart, they may be plain numbers
        assert len(set(np.diff(times))) == 1
        times, spelling, notes = read_instants(column, Clock(date_format=form), "t.csv")
    if not np.array_equal(times, stamps):
        option = Clock(day_first="--day-first" in notes[0])
        times, spelling, _ = read_instants(column, option, "t.csv")
    np.testing.assert_array_equal(times, stamps)
    assert spelling.write(times) == list(text)


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%m.%d.%Y", "%d.%m.%Y %H:%M"])
def test_the_regular_order_is_taken(form: str) -> None:
    """Working days from 4 to 12 March would be months with a hole in the other order: then nothing is in doubt."""
    stamps = pd.date_range("2024-03-04", periods=7, freq="B")
    times, _, notes = read_instants(pd.Series(stamps.strftime(form)), AS_WRITTEN, "t.csv")
    if form == "%m.%d.%Y":  # nobody writes so: with points the day comes first
        assert times.iloc[0] == pd.Timestamp("2024-04-03")
    else:
        assert list(times) == list(stamps)
    assert notes == []


def test_both_orders_are_regular() -> None:
    """01/01/2024 … 01/12/2024 are months or days: months are taken, which is said with the option for days."""
    text = pd.Series(pd.date_range("2024-01-01", periods=12, freq="MS").strftime("%d/%m/%Y"))
    times, spelling, notes = read_instants(text, AS_WRITTEN, "t.csv")
    assert times.iloc[-1] == pd.Timestamp("2024-12-01") and spelling.one(times.iloc[1]) == "01/02/2024"
    assert notes == ["01/12/2024 was read as 1 December 2024; both ways are regular: --month-first chooses the other."]
    times, _, notes = read_instants(text, Clock(day_first=False), "t.csv")
    assert times.iloc[-1] == pd.Timestamp("2024-01-12") and notes == []


def test_days_without_zeros() -> None:
    """1/2/2024 comes out without zeros, too, and its hours with theirs."""
    text = pd.Series(["30/1/2024 08:00", "31/1/2024 08:00", "1/2/2024 08:00"])
    times, spelling, _ = read_instants(text, AS_WRITTEN, "t.csv")
    assert spelling.write(times) == list(text)
    assert spelling.one(pd.Timestamp("2024-12-09 05:07")) == "9/12/2024 05:07"


@pytest.mark.parametrize(
    ("text", "following"),
    [
        (["2023Q3", "2023Q4", "2024Q1"], "2024Q2"),
        (["2023-Q4", "2024-Q1", "2024-Q2"], "2024-Q3"),
        (["2020-W52", "2020-W53", "2021-W01"], "2021-W02"),
        (["2024-11", "2024-12", "2025-01"], "2025-02"),
        (["2024/11", "2024/12", "2025/01"], "2025/02"),
    ],
)
def test_periods_come_out_as_they_went_in(text: list[str], following: str) -> None:
    """Quarters, ISO weeks and months, by their beginnings inside."""
    times, spelling, notes = read_instants(pd.Series(text), AS_WRITTEN, "t.csv")
    assert spelling.write(times) == text and notes == [] and regularity(times) == 1
    step = times.iloc[1] - times.iloc[0] if "W" in text[0] else pd.DateOffset(months=3 if "Q" in text[0] else 1)
    assert spelling.one(times.iloc[-1] + step) == following


def test_there_is_no_week_53_in_2021() -> None:
    """A period that does not exist is an error, which says which row it is in."""
    with pytest.raises(ValueError, match=r"in row 2: '2021-W53'. There is no such week."):
        read_instants(pd.Series(["2021-W52", "2021-W53"], name="t"), AS_WRITTEN, "t.csv")


AUTUMN = pd.date_range("2022-10-29 22:00", "2022-10-31", freq="h", tz="Europe/Berlin")


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S%z", "iso", "%Y-%m-%dT%H:%M%z"])
def test_offsets_across_a_clock_change(form: str) -> None:
    """Distances to UTC that change are read in UTC; in a time zone that is given they come out as they went in."""
    text = pd.Series([stamp.isoformat() if form == "iso" else stamp.strftime(form) for stamp in AUTUMN])
    times, spelling, notes = read_instants(text, Clock(time_zone="Europe/Berlin"), "t.csv")
    assert list(times) == list(AUTUMN) and spelling.write(times) == list(text) and notes == []
    times, spelling, notes = read_instants(text, AS_WRITTEN, "t.csv")
    assert list(times) == list(AUTUMN) and "--time-zone" in notes[0]  # the same instants
    assert spelling.one(times.iloc[-1]) == text.iloc[-1] and times.diff().nunique() == 1


@pytest.mark.parametrize("suffix", ["Z", "+01:00", "-0330"])
def test_one_distance_to_utc(suffix: str) -> None:
    """The same everywhere, it is written as it was, and nothing is in doubt."""
    text = pd.Series([f"2024-01-01T0{hour}:00{suffix}" for hour in range(5)])
    times, spelling, notes = read_instants(text, AS_WRITTEN, "t.csv")
    assert spelling.write(times) == list(text) and notes == []
    assert times.iloc[0] == pd.Timestamp(text[0])


def test_midnights_across_a_clock_change() -> None:
    """Days of the wall clock are not regular in UTC: the error names the option, which helps."""
    days = pd.date_range("2022-10-20", periods=20, freq="D", tz="Europe/Berlin")
    text = pd.Series([day.isoformat() for day in days], name="t")
    with pytest.raises(ValueError, match=r"distance to UTC changes \(\+01:00 and \+02:00\).*--time-zone Europe/Berlin"):
        read_instants(text, AS_WRITTEN, "t.csv")
    assert list(read_instants(text, Clock(time_zone="Europe/Berlin"), "t.csv")[0]) == list(days)


def test_an_hour_that_comes_twice() -> None:
    """Wall-clock times without distances: the first 02:00 is in summer time, the second in winter time, per series."""
    wall = pd.Series([*AUTUMN.tz_localize(None)] * 2)
    series = pd.Series(["a"] * len(AUTUMN) + ["b"] * len(AUTUMN))
    times, spelling, _ = read_instants(
        wall.dt.strftime("%Y-%m-%d %H:%M"), Clock(time_zone="Europe/Berlin"), "t", series
    )
    assert list(times) == [*AUTUMN] * 2 and spelling.one(times.iloc[0]) == "2022-10-29 22:00"


def test_an_hour_that_never_was() -> None:
    """02:30 on the last Sunday in March is on no clock of Berlin."""
    text = pd.Series(["2022-03-27 01:30", "2022-03-27 02:30"])
    with pytest.raises(ValueError, match="Row 2 of t.csv is at 2022-03-27 02:30:00, which the clocks of Europe/Berlin"):
        read_instants(text, Clock(time_zone="Europe/Berlin"), "t.csv")
    with pytest.raises(ValueError, match="--time-zone Mars/Olympus: there is no such time zone"):
        read_instants(text, Clock(time_zone="Mars/Olympus"), "t.csv")


@pytest.mark.parametrize(
    ("text", "clock", "said"),
    [
        (
            ["2024-01-01", "soon"],
            AS_WRITTEN,
            "in row 2: 'soon'. Write dates as 2024-12-31, or .* --date-format",
        ),
        (["31/12/2024", "12/31/2024"], AS_WRITTEN, "in row 2: '12/31/2024'. Write .* --day-first or --month-first"),
        (["31/12/2024"], Clock(day_first=False), "in row 1: '31/12/2024'. With --month-first there is no such date"),
        (["2024"], Clock(date_format="%d.%m"), "in row 1: '2024'. It is not written as --date-format %d.%m"),
        (["2024-01-01", None], AS_WRITTEN, "in row 2: None"),
    ],
)
def test_what_is_no_time(text: list[Any], clock: Clock, said: str) -> None:
    """The error says the row, what stands there, and the option."""
    with pytest.raises(ValueError, match=said):
        read_instants(pd.Series(text, name="t", dtype=object), clock, "t.csv")


def test_numbers_and_instants_are_taken_as_they_are() -> None:
    """Integers stay integers; instants of a Parquet file are read already."""
    times, spelling, _ = read_instants(pd.Series([1, 3, 5]), AS_WRITTEN, "t.csv")
    assert list(times) == [1, 3, 5] and spelling.write(times) == [1, 3, 5]
    stamps = pd.Series(pd.date_range("2024-01-01", periods=3, freq="h"))
    times, spelling, _ = read_instants(stamps, Clock(time_zone="UTC"), "t.parquet")
    assert str(times.dt.tz) == "UTC" and spelling == Spelling()


def test_a_table_that_goes_with_another() -> None:
    """Three rows known ahead are in doubt by themselves; they are written as those before them."""
    past = pd.Series(pd.date_range("2024-01-20", periods=12).strftime("%d/%m/%Y"))
    _, spelling, _ = read_instants(past, AS_WRITTEN, "t.csv")
    ahead = pd.Series(["01/02/2024", "02/02/2024", "03/02/2024"])
    times, _, notes = read_instants(ahead, AS_WRITTEN.as_in(spelling), "f.csv")
    assert times.iloc[-1] == pd.Timestamp("2024-02-03") and notes == []


# --- printed numbers


@pytest.mark.parametrize(
    ("values", "expected"),
    [([112, 118, 132], 1), ([0.0123, 0.045], 5), ([12.34, 56.7], 2), ([1 / 3], 6), ([123456.0], 0), ([np.nan], 3)],
)
def test_printed_decimals(values: list[float], expected: int) -> None:
    """Those of the data, and so many that four figures of a typical value count; six if the data were computed."""
    assert decimals(values) == expected
