"""Labels of frames: dates, the units of columns, the source, and the time between two rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
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
    """Consecutive dates, named ``time``.

    Parameters
    ----------
    start : str
        The first date, such as ``"1949-01-01"``.
    periods : int
        How many dates.
    freq : str
        The step, as pandas names it.

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
    """Label a frame with the units of its columns, its source, and the time between two rows.

    Parameters
    ----------
    frame : DataFrame
        Its ``attrs`` are replaced.
    units : mapping of str to str
        By column; ``"1"`` for a column without a unit.
    source : str
        Where the data are from.
    interval : float, optional
        The time between two rows, if the index does not have it.
    interval_unit : str
        The unit of ``interval``.

    Returns
    -------
    DataFrame
        The same frame.

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
