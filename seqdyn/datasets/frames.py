"""What every frame says of itself: its calendar, the units of its columns, its source, the time between two rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Split(NamedTuple):
    """Two frames: ``train`` is for fitting, ``test`` is for the score."""

    train: pd.DataFrame
    test: pd.DataFrame


def calendar(start: str, periods: int, freq: str) -> pd.DatetimeIndex:
    """Dates in a row, called ``time``.

    Parameters
    ----------
    start : str
        The first one, as ``"1949-01-01"``.
    periods : int
        How many.
    freq : str
        The step, in the words of pandas.

    Returns
    -------
    DatetimeIndex, shape (periods,)

    Examples
    --------
    >>> calendar("1949-01-01", 2, "MS").strftime("%Y-%m").tolist()
    ['1949-01', '1949-02']
    """
    import pandas as pd

    return pd.date_range(start, periods=periods, freq=freq, name="time")


def label_frame(
    frame: pd.DataFrame,
    units: Mapping[str, str],
    source: str,
    interval: float | None = None,
    interval_unit: str = "1",
) -> pd.DataFrame:
    """Say what the columns are measured in, where they are from, and how far apart the rows are.

    Parameters
    ----------
    frame : DataFrame
        Its ``attrs`` are replaced.
    units : mapping of str to str
        By column; ``"1"`` where there is none.
    source : str
    interval : float, optional
        The time between two rows, where the index does not say it.
    interval_unit : str

    Returns
    -------
    DataFrame
        The same one.

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
