"""Labels of frames: dates, the units of columns, the source, and the time between two rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd


class Split(NamedTuple):
    """Two frames: ``train`` for fitting, ``test`` for scoring.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"value": range(5)})
    >>> len(Split(frame[:3], frame[3:]).test)
    2
    """

    train: pd.DataFrame
    test: pd.DataFrame


def calendar(start: str, periods: int, freq: str) -> pd.DatetimeIndex:
    """Consecutive dates, named ``time``; the step is as pandas names it."""
    return pd.date_range(start, periods=periods, freq=freq, name="time")


def label_frame(
    frame: pd.DataFrame, units: Mapping[str, str], source: str, interval: float | None = None, interval_unit: str = "1"
) -> pd.DataFrame:
    """Label a frame, in place, with the units of its columns, its source, and the time between two rows.

    The unit of a column without one is ``"1"``; the time is left out if the index has it.

    Examples
    --------
    >>> import pandas as pd
    >>> label_frame(pd.DataFrame({"level": [0.0]}), {"level": "V"}, "a tank", 4.0, "s").attrs["units"]
    {'level': 'V'}
    """
    attributes: dict[str, Any] = {"source": source, "units": dict(units)}
    if interval is not None:
        attributes |= {"interval": interval, "interval_unit": interval_unit}
    frame.attrs = attributes
    return frame
