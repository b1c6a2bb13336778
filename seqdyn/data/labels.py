"""Labels of rows and series: as arrays that files can hold, and as errors quote them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def index_content(index: pd.Index) -> dict[str, Any]:
    """An index as a tree of arrays of numbers, instants or strings.

    Examples
    --------
    >>> import pandas as pd
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
    return {"labels": labels if plain else np.array([*labels, None], dtype=object)[:-1], "name": index.name}


def index_from(content: dict[str, Any]) -> pd.Index:
    """The inverse of :func:`index_content`.

    Examples
    --------
    >>> import pandas as pd
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
    return pd.Index(content["labels"], name=name, tupleize_cols=False)


def quoted(label: Any) -> str:
    """A label as the user wrote it.

    Examples
    --------
    >>> import numpy as np
    >>> quoted(np.int64(3)), quoted("a")
    ('3', "'a'")
    """
    return repr(label.item() if isinstance(label, np.generic) else label)
