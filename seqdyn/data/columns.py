"""Convert columns of frames to numbers; a category becomes one column for every value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array

MOST_CATEGORIES = 100
"""Values that a covariate may have before it counts as free text."""


def column_as_numbers(column: pd.Series, name: str) -> Array:
    """Convert a column of numbers, decimals or truth values to float64 (rows,), with NaN where a value is missing.

    Raises
    ------
    ValueError
        If it holds anything else.

    Examples
    --------
    >>> column_as_numbers(pd.Series([1, None, 3], dtype="Int64"), "df")
    array([ 1., nan,  3.])
    """
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "decimal":
        return column.astype(np.float64).to_numpy()
    check_numeric(column, name)
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def check_numeric(column: pd.Series, name: str) -> None:
    """Raise if a column does not hold real numbers."""
    dtype = column.dtype
    numeric = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    if not numeric or pd.api.types.is_complex_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
        example = f", such as {column.iloc[0]!r}" if len(column) else ""
        raise ValueError(
            f"Column {column.name!r} of {name} has the dtype {dtype}{example}: give numbers, e.g. with "
            "pandas.to_numeric."
        )


def is_category(column: pd.Series) -> bool:
    """Whether a column holds text, or is marked as categorical.

    Examples
    --------
    >>> is_category(pd.Series(["school", None])), is_category(pd.Series([1.0, 2.0])), is_category(pd.Series([True]))
    (True, False, False)
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or str(dtype).startswith("dictionary"):
        return True
    kind = pd.api.types.infer_dtype(column, skipna=True) if pd.api.types.is_string_dtype(dtype) else ""
    return kind in ("string", "boolean")


def categories_of(table: pd.DataFrame, columns: Sequence[str], name: str) -> dict[str, tuple[Any, ...]]:
    """Return the values of every categorical column, in alphabetical order.

    Raises
    ------
    ValueError
        If a column holds free text, or numbers that are written as text.

    Examples
    --------
    >>> categories_of(pd.DataFrame({"day": ["work", "holiday", "work"], "price": 1.0}), ["day", "price"], "df")
    {'day': ('holiday', 'work')}
    """
    return {column: _values_of_category(table[column], name) for column in columns if is_category(table[column])}


def encoded(column: pd.Series, values: tuple[Any, ...]) -> tuple[Array, int]:
    """Encode a category as one column for every value: 1 where it is that value, NaN where it is missing.

    Returns the table (rows, values), and the first row with a value that is not known; −1 if there is none.

    Examples
    --------
    >>> encoded(pd.Series(["a", None, "b"]), ("a", "b"))[0]
    array([[ 1.,  0.],
           [nan, nan],
           [ 0.,  1.]])
    """
    code = pd.Index(values, dtype=object).get_indexer(pd.Index(column.astype(object)))
    missing = column.isna().to_numpy(dtype=bool)
    table = (code[:, None] == np.arange(len(values))).astype(np.float64)
    table[missing] = np.nan
    strange = (code < 0) & ~missing
    return table, int(np.argmax(strange)) if strange.any() else -1


def unknown_value(column: str, name: str, value: Any, where: str, values: tuple[Any, ...]) -> ValueError:
    """Return the error for a value of a category that the fit did not see."""
    some = ", ".join(map(repr, values[:10])) + (" …" if len(values) > 10 else "")
    return ValueError(
        f"The covariate {column!r} of {name} is {value!r} {where}, which was not in the fit; it knew {some}. Fit again "
        "with rows of it, or give one of these."
    )


def column_names(columns: Sequence[str], categories: Mapping[str, tuple[Any, ...]]) -> tuple[str, ...]:
    """Return the names of the columns of numbers: the covariate, or ``covariate=value`` for a category.

    Examples
    --------
    >>> column_names(["price", "day"], {"day": ("holiday", "work")})
    ('price', 'day=holiday', 'day=work')
    """
    return tuple(
        name
        for column in columns
        for name in ([f"{column}={value}" for value in categories[column]] if column in categories else [column])
    )


def _values_of_category(column: pd.Series, name: str) -> tuple[Any, ...]:
    """The values of a category, each as Python's own type."""
    found = [value.item() if isinstance(value, np.generic) else value for value in column.dropna().unique().tolist()]
    text = not isinstance(column.dtype, pd.CategoricalDtype) and not str(column.dtype).startswith("dictionary")
    if text and found and all(isinstance(value, str) and _reads_as_number(value) for value in found):
        raise ValueError(
            f"Column {column.name!r} of {name} has numbers written as text, such as {found[0]!r}: make them numbers "
            "with pandas.to_numeric, or, if they are codes, categories with astype('category')."
        )
    if len(found) > MOST_CATEGORIES:
        raise ValueError(
            f"Column {column.name!r} of {name} has {len(found)} different values, such as {found[0]!r}; a category may "
            f"have up to {MOST_CATEGORIES}: group the rare ones, or leave the column out."
        )
    return tuple(sorted(found, key=str))


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
