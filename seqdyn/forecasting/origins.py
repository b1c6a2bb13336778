"""The origins of a backtest, and what one model forecasts from all of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from seqdyn.checks import check_count, outside
from seqdyn.data.labels import counted, quoted
from seqdyn.data.panel_additions import check_zone
from seqdyn.data.panels import Panel
from seqdyn.forecasting.envelope import Envelope

Array = np.ndarray[Any, Any]


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
        """The last windows of every series; origins without at least two rows before them are left out.

        Parameters
        ----------
        panel : Panel
        horizon, n_windows, step_size : int, at least 1
            The last window ends with its series; each begins ``step_size`` steps after the one before.

        Raises
        ------
        ValueError
            If no series is long enough for any window.

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
        found = scales(panel, self.series, self.rows, season_length)
        undefined = int((~(found["scale"] > 0)).sum())
        if undefined:
            self.notes.append(
                f"MASE leaves out {undefined} of {len(found)} windows: the rows before them are too few, or repeat "
                f"themselves every {season_length} steps."
            )
        return found

    def run(self, model: Any, panel: Panel, refit: bool | int, levels: Array | None, name: str) -> list[pd.DataFrame]:
        """Forecasts of one model from all origins, in tidy frames.

        Parameters
        ----------
        model : PanelForecaster
            Used as it is if it is fitted and ``refit`` is False; else copies of it are fitted, each to the rows before
            the first of its origins.
        panel : Panel
        refit : bool or int
            True: before every window; k: before every k-th.
        levels : array or None
        name : str
            What the frames call the model.
        """
        if not isinstance(refit, bool | int | np.integer) or (refit is not False and refit < 1):
            raise ValueError(f"refit must be True, False or a number of windows of at least 1, got {refit!r}.")
        every = self.count if refit is False else int(refit)
        ready = refit is False and hasattr(model, "known_")
        if ready:
            check_zone(panel.times, model.known_, "df")
            check_grid(panel, model.known_)
            self._warn_of_the_past(model, panel)
        frames = []
        for first in range(0, self.count, every):
            chosen = (self.window >= first) & (self.window < first + every)
            if chosen.any():
                fitted = model if ready else clone(model)._fitted_to(self.before(panel, chosen))
                frames.append(self._forecast(fitted, panel, chosen, levels, name))
        return frames

    def _forecast(self, model: Any, panel: Panel, chosen: Array, levels: Array | None, name: str) -> pd.DataFrame:
        """Forecasts from the chosen origins; series that the model does not know are left out."""
        known = panel.names.isin(model.known_.names)
        if not known.all():
            chosen, panel, series, rows = self._of_known(panel, chosen, known, name)
        else:
            series, rows = self.series[chosen], self.rows[chosen]
        future = future_after(panel, rows, self.horizon)
        mean, quantiles, notes = model._roll(panel, series, rows, self.horizon, future, levels)
        envelope = Envelope.of(panel, rows)
        quantiles = envelope.about(mean, quantiles, levels)
        quantiles = None if quantiles is None else model._within(quantiles)
        wrong = envelope.notes(mean, quantiles, panel.names[series], name, model._remedies())
        self.notes += [note for note in (*wrong, *notes) if note not in self.notes]
        return tidy(panel, series, rows, mean, quantiles, levels, name)

    def _of_known(self, panel: Panel, chosen: Array, known: Array, name: str) -> tuple[Array, Panel, Array, Array]:
        """The chosen origins in a panel of the known series alone."""
        left = chosen & known[self.series]
        absent = np.unique(self.series[chosen & ~left])
        if not left.any():
            raise ValueError(
                f"None of the series, such as {quoted(panel.names[absent[0]])}, were in the fit of {name}: fit it to "
                "them, or use apply on their history."
            )
        if len(absent):
            self.notes.append(
                f"{len(absent)} series, such as {quoted(panel.names[absent[0]])}, were not in the fit of {name}: "
                "left out."
            )
        part = panel.select(np.flatnonzero(known))
        number = np.cumsum(known) - 1
        series = number[self.series[left]]
        return left, part, series, self.rows[left] - panel.starts[self.series[left]] + part.starts[series]

    def before(self, panel: Panel, chosen: Array | None = None) -> Panel:
        """The rows of every series before its first (chosen) origin, and before the first origin of all.

        So no series is fitted to what lies in the future of another. Times that are numbers are each series' own, and
        are not compared. Series without an origin are left out.
        """
        first = self._first(panel, chosen)
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

    def _first(self, panel: Panel, chosen: Array | None = None) -> Array:
        """The first (chosen) origin of every series; the number of all rows where there is none."""
        chosen = np.ones(len(self.rows), bool) if chosen is None else chosen
        first = np.full(len(panel.names), len(panel.target))
        np.minimum.at(first, self.series[chosen], self.rows[chosen])
        return first

    def _warn_of_the_past(self, model: Any, panel: Panel) -> None:
        """Say so if the fit has seen what it is now tested on."""
        seen = dict(zip(model.fitted_until_.names, model.fitted_until_.last, strict=True))
        for series, row in zip(panel.names, self._first(panel), strict=True):
            until = seen.get(series)
            if until is not None and row < len(panel.target) and until >= panel.times[row]:
                warnings.warn(
                    f"The model was fitted on rows up to {until!s}, after the first origin of this backtest "
                    f"({panel.times[row - 1]!s} in series {quoted(series)}): the test is in-sample. Give refit=True, "
                    "or fit on earlier rows.",
                    stacklevel=outside(),
                )
                return


def check_grid(panel: Panel, known: Panel) -> None:
    """Raise if a panel does not have the frequency of the fit."""
    if not panel.grid.same(known.grid, panel.times.min(), panel.times.max()):
        raise ValueError(
            f"df has the frequency {panel.grid.freq!r}, but the model was fitted for {known.grid.freq!r}: resample it, "
            f"or give freq={known.grid.freq!r} to the forecaster if rows are missing."
        )


def tidy(
    panel: Panel, series: Array, rows: Array, mean: Array, quantiles: Array | None, levels: Array | None, name: str
) -> pd.DataFrame:
    """One row a forecast step that lies within its series.

    Parameters
    ----------
    panel : Panel
    series, rows : array of int, shape (origins,)
    mean : array, shape (origins, horizon)
    quantiles : array, shape (origins, horizon, quantiles), or None
        NaN in the frame if None, but ``levels`` are asked for.
    levels : array, shape (quantiles,), or None
    name : str
        Of the model.

    Returns
    -------
    DataFrame
        The columns KEYS, and one for every level.
    """
    horizon = mean.shape[1]
    place = rows[:, None] + np.arange(horizon)
    inside = place < panel.ends[series][:, None]
    place, origin = place[inside], np.repeat(np.arange(len(rows)), horizon).reshape(-1, horizon)[inside]
    table: dict[str, Any] = {
        "model": name,
        "series": panel.names[series[origin]],
        "cutoff": panel.times[rows[origin] - 1],
        "time": panel.times[place],
        "step": place - rows[origin] + 1,
        "y": panel.target[place],
        "mean": mean[inside],
    }
    for i, column in enumerate(quantile_columns(() if levels is None else levels)):
        table[column] = np.nan if quantiles is None else quantiles[:, :, i][inside]
    return pd.DataFrame(table)


def future_after(panel: Panel, rows: Array, horizon: int) -> Array:
    """Covariates known ahead of every origin, (origins, horizon, covariates).

    Past the end of a series its last ones are repeated.
    """
    last = panel.ends[panel.series[rows - 1]] - 1  # an origin may be the row after its series' last
    return panel.future[np.minimum(rows[:, None] + np.arange(horizon), last[:, None])]


def scales(panel: Panel, series: Array, rows: Array, season_length: int) -> pd.DataFrame:
    """Q = mean |y_t − y_{t-m}| over the known pairs before every origin; NaN where there are none.

    Parameters
    ----------
    panel : Panel
    series, rows : array of int, shape (origins,)
    season_length : int
        m.

    Returns
    -------
    DataFrame
        series, cutoff and scale; one row for each.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series([1.0, 2.0, 4.0, 8.0]))
    >>> scales(panel, np.array([0]), np.array([3]), 1)["scale"].tolist()
    [1.5]
    """
    difference = np.full(len(panel.target), np.nan)
    difference[season_length:] = np.abs(panel.target[season_length:] - panel.target[:-season_length])
    difference[panel.steps < season_length] = np.nan
    known = pd.DataFrame({"sum": np.nan_to_num(difference), "count": ~np.isnan(difference)})
    total, count = known.groupby(panel.series).cumsum().to_numpy()[rows - 1].T
    scale = np.divide(total, count, out=np.full(len(rows), np.nan), where=count > 0)
    table = pd.DataFrame({"series": panel.names[series], "cutoff": panel.times[rows - 1], "scale": scale})
    return table.drop_duplicates(["series", "cutoff"])


def quantile_columns(levels: Any) -> list[str]:
    """What the columns of quantiles are called."""
    return [f"{level:g}" for level in levels]
