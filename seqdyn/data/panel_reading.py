"""Reading panels: from a frame of any layout (:mod:`seqdyn.data.panel_layouts`) to series on one regular grid of time.

Rows may come in any order: their labels say where they belong. A row that is absent from the grid is a missing target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.data.columns import categories_of, column_as_numbers, column_names, encoded, unknown_value
from seqdyn.data.grids import Grid, grid_of, positions
from seqdyn.data.labels import quoted
from seqdyn.data.panel_layouts import Observations, Roles, table_of
from seqdyn.data.panels import Panel
from seqdyn.data.stamps import clock_hint

SPARSEST = 100
"""How many rows of the grid there may be for one observation before the stamps count as irregular."""


def read_panel(
    data: Any,
    roles: Roles | None = None,
    freq: Any = None,
    name: str = "df",
    whole: bool = False,
    categories: Mapping[str, tuple[Any, ...]] | None = None,
) -> Panel:
    """Read a frame of any layout.

    Parameters
    ----------
    data : Series, DataFrame, DataArray or Dataset
        See the table of :mod:`seqdyn.data.panel_layouts`.
    roles : Roles, optional
    freq : str, offset or int, optional
        The frequency; if None that of the index, or, where it says none, the one that is found.
    name : str
        How errors call the frame.
    whole : bool
        Keep rows before the first known target; a series may then be missing altogether.
    categories : mapping, optional
        The values of covariates that are categories, as a panel has them; those of the frame if None.

    Returns
    -------
    Panel
        Every series from its first known target to its last row, absent rows filled in as missing; the series in the
        order in which they come in the frame.

    Raises
    ------
    TypeError
        If it is no frame.
    ValueError
        For duplicate stamps, a series without any value, infinities, columns that are not numbers or that nobody
        named, covariates that are missing or have a value that is not known, and stamps on no common grid; the message
        says where.

    Examples
    --------
    >>> months = pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-05-01"])
    >>> panel = read_panel(pd.Series([1.0, 2.0, 3.0, 5.0], months))
    >>> panel.target
    array([ 1.,  2.,  3., nan,  5.])
    """
    roles = roles or Roles()
    table = table_of(data, roles, name)
    if not len(table.code):
        raise ValueError(f"{name} has no rows.")
    _check_stamps(table.stamps, name)
    covariates = table.columns[[*roles.past, *roles.future]]
    known = dict(categories_of(covariates, list(covariates), name) if categories is None else categories)
    values = _columns_as_numbers(table, covariates, known, name)
    unique = table.stamps.unique().sort_values()
    freq = table.freq if freq is None else freq
    grid = grid_of(unique, freq)
    full = grid.between(unique[0], unique[-1])
    place = positions(grid.rounded(table.stamps), full)
    order = np.lexsort([place, table.code])
    code, place = table.code[order], place[order]
    _check_duplicates(code, place, table, full, name)
    if freq is None:
        _check_alike(code, place, table.names, grid, name)
    static = _constants(table, roles, name)
    panel = _regular_panel(table, roles, known, grid, full, code, place, values[order], static, whole, name)
    _check_known(panel, name)
    return panel


def _regular_panel(
    table: Observations,
    roles: Roles,
    categories: dict[str, tuple[Any, ...]],
    grid: Grid,
    full: pd.Index,
    code: Array,
    place: Array,
    values: Array,
    static: pd.DataFrame | None,
    whole: bool,
    name: str,
) -> Panel:
    """Rows on the grid, series by series, from the first known target on."""
    first, last = _extent(code, place, ~np.isnan(values[:, 0]) | whole, table.names, len(full), name)
    lengths = last - first + 1
    total = int(lengths.sum())
    if total > SPARSEST * len(code) + 100_000:
        raise ValueError(
            f"The {len(code)} rows of {name} would be {total} at freq={grid.freq!r}: the stamps are irregular. "
            "Resample the frame first, or give the true freq."
        )
    kept = place >= first[code]
    row = (np.cumsum(lengths) - lengths - first)[code[kept]] + place[kept]
    table_of_rows = np.full((total, values.shape[1]), np.nan)
    table_of_rows[row] = values[kept]
    present = np.zeros(total, dtype=bool)
    present[row] = True
    times = full[np.arange(total) - np.repeat(np.cumsum(lengths) - lengths - first, lengths)]
    width = len(column_names(roles.past, categories))
    target, past, future = np.split(table_of_rows, [1, 1 + width], axis=1)
    return Panel(
        table.names, lengths, times, target[:, 0], past, future, static, present, grid, table.layout, roles, categories
    )


def _extent(code: Array, place: Array, known: Array, names: pd.Index, size: int, name: str) -> tuple[Array, Array]:
    """Where on the grid every series begins, with its first known row, and where it ends, with its last row."""
    first, last = np.full(len(names), size), np.zeros(len(names), dtype=np.int64)
    np.minimum.at(first, code[known], place[known])
    np.maximum.at(last, code, place)
    if (first == size).any():
        empty = names[int(np.argmax(first == size))]
        raise ValueError(f"Series {quoted(empty)} of {name} has no known target: every value is missing. Leave it out.")
    return first, last


def _columns_as_numbers(
    table: Observations, covariates: pd.DataFrame, categories: dict[str, tuple[Any, ...]], name: str
) -> Array:
    """Target, past and future covariates as numbers, (rows, columns); NaN where missing."""
    chosen = [
        _check_finite_column(table, column_as_numbers(table.columns[table.target], name), table.target, name)[:, None]
    ]
    for column in covariates:
        if column in categories:
            numbers, strange = encoded(covariates[column], categories[column])
            if strange >= 0:
                value = covariates[column].iloc[strange]
                raise unknown_value(column, name, value, _where(table, strange), categories[column])
            chosen.append(numbers)
        else:
            chosen.append(
                _check_finite_column(table, column_as_numbers(covariates[column], name), column, name)[:, None]
            )
    return np.concatenate(chosen, axis=1)


def _check_finite_column(table: Observations, numbers: Array, column: Any, name: str) -> Array:
    """Numbers, if none of them is infinite."""
    infinite = np.isinf(numbers)
    if infinite.any():
        where = _where(table, int(np.argmax(infinite)))
        raise ValueError(f"Column {column!r} of {name} is infinite (inf) {where}: give a number, or NaN if missing.")
    return numbers


def _where(table: Observations, row: int) -> str:
    return f"in series {quoted(table.names[table.code[row]])} at {table.stamps[row]!s}"


def _constants(table: Observations, roles: Roles, name: str) -> pd.DataFrame | None:
    """Static covariates as they stand in the rows, one row a series."""
    if not roles.static:
        return None
    groups = table.columns[list(roles.static)].groupby(table.code)
    varied = (groups.nunique(dropna=False) > 1).to_numpy()
    if varied.any():
        code, column = np.argwhere(varied)[0]
        raise ValueError(
            f"The static covariate {roles.static[column]!r} of {name} changes within series "
            f"{quoted(table.names[code])}: name it in past or future instead."
        )
    return groups.first().set_axis(table.names)


def _check_stamps(stamps: pd.Index, name: str) -> None:
    if stamps.hasnans:
        raise ValueError(
            f"Row {int(np.argmax(stamps.isna()))} of {name} has no time (NaT): every row needs its instant."
        )
    if stamps.dtype == object or pd.api.types.is_string_dtype(stamps.dtype):
        kinds = sorted({type(stamp).__name__ for stamp in stamps[:1000]})
        raise ValueError(
            f"The times of {name} are {' and '.join(kinds)} values such as {stamps[0]!r}: make them dates of one time "
            "zone with pandas.to_datetime."
        )


def _check_duplicates(code: Array, place: Array, table: Observations, full: pd.Index, name: str) -> None:
    same = (np.diff(code) == 0) & (np.diff(place) == 0)
    if same.any():
        row, count = int(np.argmax(same)), int(same.sum())
        raise ValueError(
            f"{name} has two rows for series {quoted(table.names[code[row]])} at {full[place[row]]!s}"
            f"{f', and {count - 1} more duplicates' if count > 1 else ''}: aggregate them first, e.g. with groupby."
            f"{clock_hint(full[place[row]])}"
        )


def _check_alike(code: Array, place: Array, names: pd.Index, grid: Grid, name: str) -> None:
    """Raise if a series is so much sparser than the common grid that it must have another frequency."""
    inner = np.diff(code) == 0
    gaps, of = np.diff(place)[inner], code[1:][inner]
    count = np.bincount(of, minlength=len(names))
    wide = np.bincount(of[gaps > 1], minlength=len(names)) > 0.5 * count
    wide |= np.bincount(of, weights=gaps, minlength=len(names)) > 5 * count
    wide &= count >= 2
    if wide.any():
        sparse = int(np.argmax(wide))
        raise ValueError(
            f"Series {quoted(names[sparse])} of {name} has {np.mean(gaps[of == sparse]):.3g} steps of the common grid "
            f"(freq={grid.freq!r}) from one row to the next on average: the series have mixed frequencies, or "
            "irregular stamps. "
            "Forecast each frequency by itself, or give freq= to say that rows are missing."
        )


def _check_known(panel: Panel, name: str) -> None:
    """Raise if a covariate known ahead is missing at some row."""
    bad = np.isnan(panel.future)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        categories = panel.categories
        owners = [name for name in panel.roles.future for _ in column_names([name], categories)]
        why = "is missing" if panel.present[row] else "is missing, since the whole row is absent,"
        hint = "" if panel.present[row] else clock_hint(panel.times[row])
        raise ValueError(
            f"The covariate {owners[column]!r} of {name} {why} in series "
            f"{quoted(panel.names[panel.series[row]])} at {panel.times[row]!s}: what is known ahead must be "
            "known at every step. Reindex to the full frequency and fill it. (Only targets and past "
            f"covariates may be missing.){hint}"
        )
