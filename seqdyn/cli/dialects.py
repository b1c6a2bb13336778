"""Dialects of CSV: what separates the cells, how numbers are written, and what letters the bytes are."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import compress, islice
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", ";", "\t", "|")
"""What is looked for, in this order."""

SPOKEN = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "none": ""}
"""Separators and marks that are hard to type in a shell."""

SPACES = "\u00a0\u202f\u2009"
"""What stands for a space between groups of thousands."""

BEGIN = r"[+-]?[.,]?\d"
"""How every number begins."""

SAMPLED_LINES = 2000
"""Rows that the way of writing numbers is found in."""


MISSING = frozenset((
    "", "-", "--", "\u2013", "\u2014", ".", "..", "...", "?", ":", "na",
    "n.a.", "n/a", "nan", "null", "none",
))  # fmt: skip
"""What stands for a number that is not known, in small letters and without spaces around it."""


class Dialect(NamedTuple):
    """How a file is written; what is None is found in it.

    ``sep`` stands between cells, ``decimal`` between a number and its fraction, ``thousands`` between groups of three
    digits ("" where there is none); ``encoding`` is that of the bytes, by its Python name.
    """

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None


AS_FOUND = Dialect()
"""All is found in the file."""


class Numbers(NamedTuple):
    """How numbers are written."""

    decimal: str = "."
    thousands: str = ""

    @property
    def between(self) -> str:
        """The mark between thousands, as a regular expression; "" without one."""
        return f"[ {SPACES}]" if self.thousands == " " else re.escape(self.thousands)


STYLES = tuple(Numbers(*marks) for marks in (".", ",", ".,", ",.", ". ", ", ", ".'", ",'"))
"""The simplest first: the mark before decimals, and the one between thousands where there is one."""


def parse_csv(raw: bytes, dialect: Dialect, name: str) -> tuple[pd.DataFrame, list[str]]:
    """A table from the bytes of a file, and what has to be said about how it was read.

    The bytes may be compressed by gzip. A column is of numbers where all of it holds them, else of text. A note says
    where another reading was possible, which one was taken, and the option that chooses the other. Raises if the file,
    which errors call ``name``, is empty, no text, or has rows of unlike lengths.

    Examples
    --------
    >>> frame, notes = parse_csv(b"ds;y\\n2024-01-01;1.234,5\\n2024-01-02;7,25\\n", Dialect(), "sales.csv")
    >>> frame["y"].tolist(), notes
    ([1234.5, 7.25], [])
    """
    text, notes = decoded(raw, dialect.encoding, name)
    if not text.strip():
        raise ValueError(f"{name} is empty: expected a line of column names, and then the data.")
    sep = separator(text) if dialect.sep is None else SPOKEN.get(dialect.sep, dialect.sep)
    sample = _csv_rows(text, sep, name, nrows=SAMPLED_LINES, dtype=str)
    numbers, doubt = _style(sample, dialect, sep)
    frame = _csv_rows(text, sep, name, **({} if numbers == STYLES[0] else {"dtype": str}))
    read = {column: _converted(frame[column], numbers) for column in frame.columns}
    marked = {column: frame[column][read[column].isna() & frame[column].notna()] for column in frame.columns}
    return frame.assign(**read), [*notes, *doubt, *said_missing(marked, name)]


def decoded(raw: bytes, encoding: str | None, name: str) -> tuple[str, list[str]]:
    """Bytes as text: by their mark, as UTF-8, else as the Western European code page, which is said aloud.

    Examples
    --------
    >>> decoded("year,Größe".encode("utf-16"), None, "a.csv")[0]
    'year,Größe'
    """
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    if encoding is not None:
        return _by_name(raw, encoding, name), []
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _by_name(raw, "utf-16", name), []
    even, odd = raw[:1000:2].count(0), raw[1:1000:2].count(0)
    if max(even, odd) > 100 or (max(even, odd) > len(raw) // 8 and min(even, odd) == 0):
        return _by_name(raw, "utf-16-be" if even > odd else "utf-16-le", name), []
    if b"\0" in raw:
        raise ValueError(f"{name} does not read as a CSV file: it holds the byte 0, which no text does.")
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        text = _by_name(raw, "cp1252", name)
        word = re.findall(r"\S*", text[max(0, error.start - 12) : error.start + 12])
        shown = max(word, key=lambda part: sum(letter > "\x7f" for letter in part))
        note = f"{name} is no UTF-8: read as cp1252 (Western European), such as {shown!r}; --encoding names another."
        return text, [note]


def _by_name(raw: bytes, encoding: str, name: str) -> str:
    try:
        return raw.decode("utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding)
    except LookupError:
        raise ValueError(f"--encoding {encoding}: there is no such encoding; try utf-8, utf-16 or cp1252.") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} does not read as a CSV file: byte {error.start} is no letter in {encoding}. Give its --encoding."
        ) from None


def separator(text: str) -> str:
    """What separates the cells: it stands in the line of names, and equally often in the others.

    Examples
    --------
    >>> separator("ds;y\\n2024-01-01;1,5\\n2024-01-02;2,5\\n"), separator("y\\n1,5\\n")
    (';', ';')
    """
    lines = list(islice(io.StringIO(text), 50))
    best, most = None, 0.0
    for sep in SEPARATORS:
        counts = [len(row) for row in csv.reader(lines, delimiter=sep) if row]
        if not counts or counts[0] == 1:
            continue
        agree = Counter(counts)[counts[0]] / len(counts)
        if agree > most + 1e-9 or (agree == most and best is not None and counts[0] > len(lines[0].split(best))):
            best, most = sep, agree
    return best or next(sep for sep in (";", "\t", "|", ",") if not any(sep in line for line in lines) or sep == ",")


def _csv_rows(text: str, sep: str, name: str, **how: object) -> pd.DataFrame:
    import pandas as pd

    words = r"\s+" if sep == " " else sep
    try:
        frame: pd.DataFrame = pd.read_csv(io.StringIO(text), sep=words, index_col=False, low_memory=False, **how)
    except pd.errors.EmptyDataError:
        raise ValueError(f"{name} is empty: expected a line of column names, and then the data.") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(f"{name} does not read as a CSV file: {error} (cells separated by {sep!r}).") from error
    return frame


def _style(sample: pd.DataFrame, dialect: Dialect, sep: str) -> tuple[Numbers, list[str]]:
    """How the numbers of a table of text are written, and what is in doubt."""
    known = [known_cells(sample[name]) for name in sample.columns]
    cells = [column[column.str.match(BEGIN)] for column in known if mostly(column, f"{BEGIN}.*")]
    fitting = [style for style in STYLES if _as_given(style, dialect)] or [_given(dialect)]
    written = {style: [_is_written(column, style) for column in cells] for style in fitting}
    most = max(map(sum, written.values()))
    best = next(style for style in fitting if sum(written[style]) == most)
    if dialect.decimal is not None or dialect.thousands is not None:
        return best, []
    rivals = [
        style
        for style in fitting
        if sum(written[style]) == most
        and _means_other([*compress(cells, map(and_, written[best], written[style]))], best, style)
    ]
    if not rivals:
        return best, []
    return _decided(cells, best, rivals[0], sep)


def _as_given(style: Numbers, dialect: Dialect) -> bool:
    return (dialect.decimal in (None, style.decimal)) and (
        dialect.thousands is None or SPOKEN.get(dialect.thousands, dialect.thousands) == style.thousands
    )


def _given(dialect: Dialect) -> Numbers:
    """A way of writing that is none of the usual ones."""
    decimal, thousands = dialect.decimal or ".", SPOKEN.get(dialect.thousands or "", dialect.thousands or "")
    if len(decimal) != 1 or len(thousands) > 1 or decimal == thousands or decimal.isalnum():
        raise ValueError(
            f"--decimal {decimal!r} and --thousands {thousands!r}: give one mark each, and not the same, such as "
            "--decimal , --thousands ."
        )
    return Numbers(decimal, thousands)


def pattern(style: Numbers) -> str:
    """Numbers of a way of writing, as a regular expression.

    Examples
    --------
    >>> bool(re.fullmatch(pattern(Numbers(",", ".")), "-1.234,5")), bool(re.fullmatch(pattern(Numbers()), "1,5"))
    (True, False)
    """
    mark = re.escape(style.decimal)
    whole = rf"(?:[1-9]\d{{0,2}}(?:{style.between}\d{{3}})+|\d+)" if style.thousands else r"\d+"
    return rf"[+-]?(?:{whole}(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d+)?"


def _is_written(column: pd.Series, style: Numbers) -> bool:
    """Whether all cells are numbers of this way of writing."""
    return bool(column.str.fullmatch(pattern(style)).all())


def _means_other(cells: Sequence[pd.Series], one: Numbers, other: Numbers) -> bool:
    """Whether numbers that two ways of writing fit are not the same in both."""
    if one == other:
        return False
    return any(
        column.map(lambda cell: _plain_number(cell, one) != _plain_number(cell, other)).any() for column in cells
    )


def _decided(cells: Sequence[pd.Series], plain: Numbers, grouped: Numbers, sep: str) -> tuple[Numbers, list[str]]:
    """Between a mark of fractions and one of thousands: 1,234 is 1.234 or 1234.

    Thousands, if cells are not separated by semicolons, and no number beyond 999 stands without the mark.
    """
    mark = plain.decimal
    if (mark, sep) == (".", ","):  # where cells are separated by commas, points group no thousands
        return plain, []
    written = re.compile(pattern(plain))
    numbers = [cell.lstrip("+-") for column in cells for cell in column if written.fullmatch(cell)]
    marked, bare = [cell for cell in numbers if mark in cell], [cell for cell in numbers if mark not in cell]
    thousands = mark == "," and sep != ";" and all(len(cell) <= 3 for cell in bare)
    best, other = (grouped, plain) if thousands else (plain, grouped)
    read, else_read = _plain_number(marked[0], best), _plain_number(marked[0], other)
    option = f"--decimal {mark}" if thousands else f"--thousands {mark}"
    return best, [f"{marked[0]} was read as {read}; if it is {else_read}, say {option}."]


def _plain_number(cell: str, style: Numbers) -> str:
    """A number as Python reads it."""
    return re.sub(style.between, "", cell).replace(style.decimal, ".")


def _converted(column: pd.Series, numbers: Numbers) -> pd.Series:
    """A column of text as numbers, if all its cells are, or are missing; whole ones stay whole.

    Where a few cells are something else, all stay text, as Python writes numbers: an error can name these few.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column
    known = known_cells(column)
    if not len(known) or not mostly(known, pattern(numbers)):
        return column
    fits = known.str.fullmatch(pattern(numbers))
    plain = known[fits].str.replace(numbers.between, "", regex=True).str.replace(numbers.decimal, ".", regex=False)
    return pd.to_numeric(plain).reindex(column.index) if fits.all() else plain.reindex(column.index).fillna(column)


def known_cells(cells: pd.Series) -> pd.Series:
    """Cells of text, without spaces around them, that do not stand for a missing number.

    Examples
    --------
    >>> import pandas as pd
    >>> list(known_cells(pd.Series(["1", " - ", "n.a.", "x "])))
    ['1', 'x']
    """
    known = cells.dropna().astype(str).str.strip()
    return known[~known.str.lower().isin(MISSING)]


def mostly(known: pd.Series, words: str) -> bool:
    """Whether more than half of the cells are such words."""
    return 2 * int(known.str.fullmatch(words).sum()) > len(known)


def said_missing(marked: Mapping[str, pd.Series], name: str) -> list[str]:
    """How many cells of which columns were read as missing, and what stands there."""
    marked = {column: cells[cells.str.strip() != ""] for column, cells in marked.items() if len(cells)}
    marked = {column: cells for column, cells in marked.items() if len(cells)}
    if not marked:
        return []
    words = sorted({str(cell).strip() for cells in marked.values() for cell in cells})
    count = sum(map(len, marked.values()))
    return [
        f"{name}: {count} cell{'s' if count > 1 else ''} of {', '.join(map(repr, marked))} with "
        f"{', '.join(map(repr, words))} {'were' if count > 1 else 'was'} read as missing."
    ]


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, or of standard input if it is called "-"."""
    return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
