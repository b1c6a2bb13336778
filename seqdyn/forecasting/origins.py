"""The origins of a backtest, and the scale of errors before each of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.labels import counted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.history import differences, running_sums


@dataclass
class Origins:
    """The origins of a backtest.

    Attributes
    ----------
    series, rows, window : array of int, shape (origins,)
        For each origin the number of its series, the row forecast first, and the number of its window.
    horizon, count : int
    notes : list of str
    """

    series: Array
    rows: Array
    window: Array
    horizon: int
    count: int
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, panel: Panel, horizon: int, n_windows: int, step_size: int) -> Origins:
        """The last windows of every series, ``step_size`` apart; those with fewer than two rows before are left out.

        Examples
        --------
        >>> import pandas as pd
        >>> from seqdyn.data.panel_reading import read_panel
        >>> Origins.of(read_panel(pd.Series(range(10))), 3, 2, 1).rows
        array([6, 7])
        """
        check_count("n_windows", n_windows)
        check_count("step_size", step_size)
        rows = panel.ends[:, None] - horizon - np.arange(n_windows)[::-1] * step_size
        good = rows - panel.starts[:, None] >= 2
        if not good.any():
            raise ValueError(
                f"No series is long enough for {counted(n_windows, 'window')} of {counted(horizon, 'step')}, "
                f"{step_size} apart: the longest has {counted(panel.lengths.max(), 'row')}. Lower horizon, n_windows "
                "or step_size."
            )
        series, window = np.nonzero(good)
        notes = []
        if not good.all():
            lost, short = int((~good).sum()), int((~good.all(axis=1)).sum())
            left = counted(lost, f"window of {short} series is", f"windows of {short} series are")
            notes.append(f"{left} left out: too few rows before {'it' if lost == 1 else 'them'}.")
        return cls(series, rows[good], window, horizon, n_windows, notes)

    def scales(self, panel: Panel, season_length: int) -> pd.DataFrame:
        """Q of MASE at every origin; how many have none is noted."""
        found = naive_scales(panel, self.series, self.rows, season_length)
        undefined = int((~(found["scale"] > 0)).sum())
        if undefined:
            self.notes.append(
                f"MASE leaves out {undefined} of {len(found)} windows: the rows before them are too few, or repeat "
                f"themselves every {season_length} steps."
            )
        return found

    def before(self, panel: Panel, chosen: Array | None = None) -> Panel:
        """The rows of every series before its first (chosen) origin, and before the first origin of all.

        So no series is fitted to what lies in the future of another. Times that are numbers are each series' own, and
        are not compared. Series without an origin are left out.
        """
        first = self.first(panel, chosen)
        lengths = np.where(first < len(panel.target), first - panel.starts, 0)
        if panel.grid.kind in ("integer", "float") or not (lengths > 0).any():
            return panel.head(lengths)
        cutoff = min(panel.times[row - 1] for row in first[lengths > 0])
        early = np.add.reduceat(panel.times <= cutoff, panel.starts)
        lost = int(np.maximum(lengths - early, 0).sum())
        if lost and not any("first origin of all" in note for note in self.notes):
            self.notes.append(
                f"{lost} rows after {cutoff!s}, the first origin of all series, are left out of the fit: they lie in "
                "the future of some series."
            )
        return panel.head(np.minimum(lengths, early))

    def first(self, panel: Panel, chosen: Array | None = None) -> Array:
        """The first (chosen) origin of every series; the number of all rows where there is none."""
        chosen = np.ones(len(self.rows), bool) if chosen is None else chosen
        first = np.full(len(panel.names), len(panel.target))
        np.minimum.at(first, self.series[chosen], self.rows[chosen])
        return first


def naive_scales(panel: Panel, series: Array, rows: Array, season_length: int) -> pd.DataFrame:
    """Q = mean |y_t − y_{t-m}| over the known pairs before every origin; NaN where there are none.

    A frame of series, cutoff and scale, one row for each.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series([1.0, 2.0, 4.0, 8.0]))
    >>> naive_scales(panel, np.array([0]), np.array([3]), 1)["scale"].tolist()
    [1.5]
    """
    total, count = running_sums(panel, np.abs(differences(panel, season_length)), series, rows)
    scale = np.divide(total, count, out=np.full(len(rows), np.nan), where=count > 0)
    table = pd.DataFrame({"series": panel.names[series], "cutoff": panel.times[rows - 1], "scale": scale})
    return table.drop_duplicates(["series", "cutoff"])
