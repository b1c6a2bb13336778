"""Labels of rows and series: stored in files, and quoted in messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number and the word for what is counted, in the singular or the plural.

    Examples
    --------
    >>> counted(1, "row"), counted(2, "row"), counted(1, "series is", "series are")
    ('1 row', '2 rows', '1 series is')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def index_content(index: pd.Index) -> dict[str, Any]:
    """Return an index as a tree of arrays of numbers, instants or strings.

    Examples
    --------
    >>> index_content(pd.period_range("2024-01", periods=2, freq="M"))
    {'ordinals': array([648, 649]), 'freq': 'M', 'name': None}
    """
    if isinstance(index, pd.PeriodIndex):
        return {"ordinals": index.asi8, "freq": index.freqstr, "name": index.name}
    if isinstance(index, pd.DatetimeIndex):
        zone = None if index.tz is None else str(index.tz)
        plain = index if zone is None else index.tz_convert("UTC").tz_localize(None)
        return {"instants": plain.to_numpy(), "zone": zone, "name": index.name}
    labels = index.to_numpy()
    plain = labels.dtype.kind in "iufbM"
    content = {"labels": labels if plain else np.array([*labels, None], dtype=object)[:-1], "name": index.name}
    if isinstance(index, pd.CategoricalIndex):
        return content | {"categories": index_content(index.categories), "ordered": bool(index.ordered)}
    return content if plain and isinstance(index.dtype, np.dtype) else content | {"dtype": str(index.dtype)}


def index_from(content: dict[str, Any]) -> pd.Index:
    """The inverse of :func:`index_content`.

    Examples
    --------
    >>> index = pd.date_range("2024-03-30", periods=3, tz="Europe/Berlin")
    >>> index_from(index_content(index)).equals(index)
    True
    """
    name = content["name"]
    if "ordinals" in content:
        return pd.PeriodIndex.from_ordinals(content["ordinals"], freq=content["freq"], name=name)
    if "instants" in content:
        index = pd.DatetimeIndex(content["instants"], name=name)
        return index if content["zone"] is None else index.tz_localize("UTC").tz_convert(content["zone"])
    if "categories" in content:
        categories = index_from(content["categories"])
        return pd.CategoricalIndex(content["labels"], categories, ordered=content["ordered"], name=name)
    index = pd.Index(content["labels"], name=name, tupleize_cols=False)
    return index.astype(content["dtype"]) if _is_dtype(content.get("dtype")) else index


def _is_dtype(name: Any) -> bool:
    """Whether pandas knows a type by this name here; it does not know pyarrow's without pyarrow, nor all of them."""
    try:
        return name is not None and pd.api.types.pandas_dtype(name) is not None
    except (TypeError, ImportError):
        return False


def quoted(label: Any) -> str:
    """Return a label as its user would write it.

    Examples
    --------
    >>> quoted(np.int64(3)), quoted("a")
    ('3', "'a'")
    """
    return repr(label.item() if isinstance(label, np.generic) else label)
