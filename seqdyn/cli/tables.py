"""Tables: CSV files with column names, indexed by time, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from seqdyn.cli.dialects import AS_FOUND, Dialect, known_cells, parse_csv, read_bytes
from seqdyn.cli.instants import AS_WRITTEN, Clock, read_instants

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.cli.dates import Spelling

_BEFORE = "[t-1]"


def read_table(path: Path, time: str | None, dialect: Dialect = AS_FOUND, clock: Clock = AS_WRITTEN) -> pd.DataFrame:
    """Read a CSV file; the rows are one unbroken stretch of time.

    The column ``time``, of dates or numbers, becomes the index; rows are numbered if it is None. Raises if the file is
    empty or no CSV, there is no such column, or its times are not sorted, repeated, or have holes.
    """
    frame = read_rows(path, dialect)
    if time is None:
        return frame
    import pandas as pd

    from seqdyn.data.time_index import check_time_index

    check_columns(frame, [time], path, "--time")
    index = pd.Index(as_times(frame[time], path, clock)[0], name=time)
    frame = frame.set_index(index).drop(columns=time)
    if index.has_duplicates:
        raise ValueError(f"{path} has two rows at {time} = {index[index.duplicated()][0]}: keep one row per time.")
    if not index.is_monotonic_increasing:
        late = index[1:][index[1:] < index[:-1]][0]
        raise ValueError(f"{path} is not sorted by {time}: {late} comes after a later time. Sort its rows.")
    check_time_index(index, str(path))
    return frame


def read_rows(path: Path, dialect: Dialect = AS_FOUND) -> pd.DataFrame:
    """Read a CSV or Parquet file, maybe compressed, as it is; "-" is standard input.

    Raises if the file is empty, is no CSV, or has no rows.
    """
    raw = read_bytes(path)
    if raw[:4] == b"PAR1":
        frame = _read_parquet(raw, path)
    else:
        frame, found = parse_csv(raw, dialect, str(path))
        note(found)
    if frame.empty:
        raise ValueError(f"{path} has the columns {spoken(frame.columns)}, but no rows.")
    return frame


def _read_parquet(raw: bytes, path: Path) -> pd.DataFrame:
    import io
    from importlib.util import find_spec

    import pandas as pd

    if find_spec("pyarrow") is None:
        raise ImportError(f"{path} is a Parquet file: install pyarrow to read it, or write it as CSV.")
    frame = pd.read_parquet(io.BytesIO(raw))
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


def note(sentences: Iterable[str]) -> None:
    """What should be known of how a file was read, on standard error."""
    for sentence in sentences:
        typer.echo(f"seqdyn: note: {sentence}", err=True)


def check_readable(path: Path) -> None:
    """Raise at once if there is no such file: what reads it takes seconds to be imported."""
    if str(path) != "-":
        with path.open("rb"):
            pass


def check_columns(frame: pd.DataFrame, wanted: Iterable[str], path: Path, asker: str) -> None:
    """Raise if columns that the asker (an option, the model) wants are missing: names those there and the closest."""
    columns = [str(column) for column in frame.columns]
    missing = [name for name in wanted if name not in columns]
    if not missing:
        return
    close = [get_close_matches(name, columns, n=1) or get_close_matches(name.lower(), columns, n=1) for name in missing]
    hint = f" Did you mean {spoken(match[0] for match in close if match)}?" if any(close) else ""
    raise ValueError(f"{path} has no column {spoken(missing)} ({asker}).{hint} It has {spoken(columns)}.")


def check_numbers(frame: pd.DataFrame, columns: Sequence[str], path: Path, missing: bool = False) -> None:
    """Raise if a column holds text, or (unless ``missing`` is allowed, as in a target) an empty or infinite value."""
    import numpy as np
    import pandas as pd

    for name in columns:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        text = frame[name][numbers.isna() & frame[name].notna()]
        if len(text):
            words = known_cells(text)
            first = (words if len(words) else text).index[0]
            at = place(frame, int(frame.index.get_loc(first)))
            raise ValueError(f"Column {name!r} of {path} is not numeric: it holds {text[first]!r} at {at}.")
        values = numbers.to_numpy(dtype=float)
        bad = np.flatnonzero(np.isinf(values) if missing else ~np.isfinite(values))
        if len(bad):
            what = "is infinite" if np.isinf(values[bad[0]]) else "has no value"
            raise ValueError(
                f"Column {name!r} of {path} {what} at {place(frame, int(bad[0]))} ({len(bad)} such cells). "
                + ("Leave the cell empty." if missing else "Inputs must be known at every step: fill the gaps, or drop "
                   "these rows or the column.")
            )  # fmt: skip


def mostly_numbers(column: pd.Series) -> bool:
    """Whether a column holds numbers, or text that is one in more than half of the cells."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    known = known_cells(column)
    return 2 * int(pd.to_numeric(known, errors="coerce").notna().sum()) > len(known)


def place(frame: pd.DataFrame, row: int) -> str:
    """A row as the user knows it: by its time, or by its number from 1."""
    label = frame.index[row]
    return f"row {int(label) + 1}" if frame.index.name is None else str(label).removesuffix(" 00:00:00")


def own_past(target: str) -> str:
    """The name of the feature that holds the target one step before."""
    return f"{target}{_BEFORE}"


def present_of(feature: str) -> str | None:
    """The target that a feature holds the past of, or None: the inverse of :func:`own_past`."""
    return feature.removesuffix(_BEFORE) if feature.endswith(_BEFORE) else None


def add_own_past(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """The table with the target one step before as a further column; the first row, which has none, is left out."""
    return frame.assign(**{own_past(target): frame[target].shift(1)}).iloc[1:]


def with_next_row(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with one more row, empty, at the next time; as it is where the times are not regular."""
    import numpy as np
    import pandas as pd

    index = frame.index
    if isinstance(index, pd.DatetimeIndex):
        step = pd.DatetimeIndex(index, freq="infer").freq if len(index) > 2 else None
        following = None if step is None else index[-1] + step
    else:
        steps = np.diff(index.to_numpy(dtype=float))
        regular = len(steps) > 0 and np.allclose(steps, steps[0])
        following = index[-1] + (index[-1] - index[-2]) if regular else None
    return frame if following is None else frame.reindex([*index, following]).rename_axis(index.name)


def inputs_of(estimator: Any, frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.Index]:
    """The columns the model was fitted on, in its order, and the rows that predictions are written for."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        numeric = frame.select_dtypes("number")
        if numeric.shape[1] != estimator.n_features_in_:
            raise ValueError(
                f"The model was fitted on {estimator.n_features_in_} features without names, but {path} has "
                f"{numeric.shape[1]} numeric columns: keep those of the fit, in their order."
            )
        names = numeric.columns
    wanted = [str(name) for name in names]
    index = frame.index
    target = next((present_of(name) for name in wanted if name not in frame and present_of(name)), None)
    if target is not None:
        check_columns(frame, [target], path, "the model predicts it from its past")
        check_numbers(frame, [target], path)
        frame = add_own_past(with_next_row(frame) if len(wanted) == 1 else frame, target)
        index = index.union(frame.index)
    check_columns(frame, wanted, path, "the model was fitted on it")
    check_numbers(frame, wanted, path)
    return frame[wanted].astype(float), index


def spoken(names: Iterable[object]) -> str:
    """Names in quotes, at most twelve of them."""
    quoted = [repr(str(name)) for name in names]
    return ", ".join(quoted[:12]) + (f" and {len(quoted) - 12} more" if len(quoted) > 12 else "")


def as_times(
    column: pd.Series, path: Path, clock: Clock = AS_WRITTEN, series: pd.Series | None = None
) -> tuple[pd.Series, Spelling]:
    """Numbers as they are, everything else as instants; and how they are written."""
    times, spelling, found = read_instants(column, clock, str(path), series)
    note(found)
    return times, spelling
