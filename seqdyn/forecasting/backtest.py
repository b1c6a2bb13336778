"""Backtests: forecasts from rolling origins in the past, beside what came."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from seqdyn.data.panels import Panel

Array = np.ndarray[Any, Any]

KEYS = ["model", "series", "cutoff", "time", "step", "y", "mean"]
"""Columns of a backtest, before its quantiles."""

REFERENCE = "naive2"
"""The model that OWA is relative to."""


@dataclass(repr=False, eq=False)
class Backtest:
    """The result of a backtest.

    Attributes
    ----------
    frame : DataFrame
        One row a forecast: model, series, cutoff (the last known instant), time, step, y, mean, and a column for every
        quantile.
    season_length : int
        m of MASE.
    scales : DataFrame
        Q of MASE for every series and cutoff, from the rows up to the cutoff.
    notes : list of str
        What was left out, and why.
    """

    frame: pd.DataFrame
    season_length: int
    scales: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    @property
    def quantiles(self) -> list[float]:
        """The quantiles that were forecast."""
        return [float(name) for name in self.frame.columns[len(KEYS) :]]

    @property
    def models(self) -> list[str]:
        """The model and its baselines."""
        return list(dict.fromkeys(self.frame["model"]))

    def metrics(self, by: str | Sequence[str] = ()) -> pd.DataFrame:
        """Errors of every model, steps and then windows averaged.

        Parameters
        ----------
        by : str or sequence of str
            Split further by ``"series"``, ``"cutoff"`` or ``"step"``.

        Returns
        -------
        DataFrame
            Indexed by model and ``by``. MAE and RMSE in the unit of y; MASE, each error divided by the mean absolute
            m-step difference before its cutoff, windows without one (Q = 0, or too short) left out; sMAPE in M4's
            definition, 0 to 200; OWA = ½ (sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2) where that was run; with
            quantiles WQL = mean over them of 2 Σ ρ_q / Σ |y|, and the coverage of every central interval in percent;
            n, how many known values were compared.

        References
        ----------
        Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from seqdyn import SeasonalNaiveForecaster
        >>> wave = pd.Series(np.sin(np.arange(60) * np.pi / 6) + 0.1 * np.arange(60))
        >>> SeasonalNaiveForecaster(season_length=12).backtest(wave, 6, 3).metrics()["MAE"].round(2).tolist()
        [1.2]
        """
        extra = [by] if isinstance(by, str) else list(by)
        unknown = [name for name in extra if name not in KEYS[1:5]]
        if unknown:
            raise ValueError(f"by may name 'series', 'cutoff', 'time' and 'step', got {unknown[0]!r}.")
        keys = ["model", *[name for name in extra if name != "model"]]
        rows = self._errors()
        windows = rows.groupby([*keys, "_window"], observed=True, sort=False)[
            ["MAE", "_square", "MASE", "sMAPE"]
        ].mean()
        table = windows.groupby(keys, sort=False).mean()
        table["_square"] = np.sqrt(rows.groupby(keys, sort=False)["_square"].mean())
        table = table.rename(columns={"_square": "RMSE"})[["MAE", "RMSE", "MASE", "sMAPE"]]
        if REFERENCE in self.models:
            table["OWA"] = _owa(table)
        sums = rows.groupby(keys, sort=False)
        for name, column in self._probabilistic(rows).items():
            table[name] = column(sums)
        table["n"] = sums.size()
        return table

    def verdict(self, metric: str = "MASE") -> str:
        """One sentence: does the model beat the baselines?"""
        table = self.metrics()
        metric = metric if table[metric].notna().all() else "MAE"
        others = table.drop(index="model", errors="ignore")
        if "model" not in table.index or not len(others):
            return "No baseline was run beside the model."
        own, best = float(table.loc["model", metric]), str(others[metric].idxmin())
        found = float(others.loc[best, metric])
        where = f"{metric} {own:.4g} against {found:.4g} of {best}"
        if own < found:
            return f"The model beats all {len(others)} baselines: {where}, the best of them."
        better = int((others[metric] <= own).sum())
        return (
            f"The model LOSES to {better} of {len(others)} baselines: {where}. Use the baseline, or change the model."
        )

    def plot(self, series: Any = None, ax: Any = None) -> Any:
        """Forecasts of the model beside what came, and every model's error by step.

        Parameters
        ----------
        series : label, optional
            Which series; the first if None.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from seqdyn.forecasting.figures import plot_backtest

        return plot_backtest(self.frame, self.metrics("step"), series)

    def __repr__(self) -> str:
        table = self.metrics().round(4).to_string()
        windows = self.frame.groupby("series", sort=False)["cutoff"].nunique().max()
        head = f"Backtest of {self.frame['series'].nunique()} series, {windows} windows of {self.frame['step'].max()} steps"
        return "\n".join([head, table, self.verdict(), *self.notes])

    def _errors(self) -> pd.DataFrame:
        """One row a known value: its errors, and the window it belongs to."""
        rows = self.frame[self.frame["y"].notna()].copy()
        if not len(rows):
            raise ValueError("No value is known in the windows of this backtest: there is nothing to compare with.")
        keys = pd.MultiIndex.from_frame(rows[["series", "cutoff"]])
        window, _ = pd.factorize(keys)
        scale = self.scales.set_index(["series", "cutoff"])["scale"].reindex(keys).to_numpy()
        error = (rows["y"] - rows["mean"]).abs().to_numpy()
        size = (rows["y"].abs() + rows["mean"].abs()).to_numpy()
        rows["_window"], rows["MAE"], rows["_square"] = window, error, error**2
        with np.errstate(divide="ignore", invalid="ignore"):
            rows["MASE"] = np.where(scale > 0, error / scale, np.nan)
            rows["sMAPE"] = 200 * np.where(size > 0, error / size, 0.0)
        return rows

    def _probabilistic(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Columns of the table that need quantiles; each a function of the grouped rows."""
        levels = self.quantiles
        if not levels:
            return {}
        y = rows["y"].to_numpy()[:, None]
        values = rows[[f"{level:g}" for level in levels]].to_numpy()
        q = np.array(levels)
        error = y - values
        rows["_pinball"] = np.where(
            np.isnan(values).any(axis=1), np.nan, np.maximum(q * error, (q - 1) * error).mean(axis=1)
        )
        rows["_size"] = np.abs(rows["y"])
        found: dict[str, Any] = {"WQL": lambda groups: 2 * groups["_pinball"].sum(min_count=1) / groups["_size"].sum()}
        for low in [level for level in levels if level < 0.5]:
            high = next((level for level in levels if np.isclose(level, 1 - low)), None)
            if high is not None:
                inside = (rows[f"{low:g}"] <= rows["y"]) & (rows["y"] <= rows[f"{high:g}"])
                name = f"coverage_{100 * (high - low):g}"
                rows[name] = 100 * inside.where(rows[f"{low:g}"].notna())
                found[name] = lambda groups, name=name: groups[name].mean()
        return found


@dataclass
class Windows:
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
    def of(cls, panel: Panel, horizon: int, n_windows: int, step_size: int) -> Windows:
        """The last windows of every series; origins without at least two rows before them are left out."""
        for name, value in (("n_windows", n_windows), ("step_size", step_size)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {value!r}.")
        window = np.arange(n_windows)
        rows = panel.ends[:, None] - horizon - (n_windows - 1 - window) * step_size
        good = rows - panel.starts[:, None] >= 2
        if not good.any():
            raise ValueError(
                f"No series is long enough for {n_windows} windows of {horizon} steps, {step_size} apart: the longest has "
                f"{panel.lengths.max()} rows. Lower horizon, n_windows or step_size."
            )
        series, window = np.nonzero(good)
        notes = []
        if not good.all():
            short = int((~good.all(axis=1)).sum())
            notes.append(f"{int((~good).sum())} windows of {short} series are left out: too few rows before them.")
        return cls(series, rows[good], window, horizon, n_windows, notes)

    def scales(self, panel: Panel, season_length: int) -> pd.DataFrame:
        """Q of MASE at every origin."""
        return scales(panel, self.series, self.rows, season_length)

    def run(self, model: Any, panel: Panel, refit: bool | int, levels: Array | None, name: str) -> list[pd.DataFrame]:
        """Forecasts of one model from all origins, in tidy frames."""
        every = self.count if refit is False else int(refit)
        if every < 1:
            raise ValueError(f"refit must be True, False or a number of windows of at least 1, got {refit!r}.")
        ready = refit is False and hasattr(model, "known_")
        if ready:
            self._warn_of_the_past(model, panel)
        frames = []
        for first in range(0, self.count, every):
            chosen = (self.window >= first) & (self.window < first + every)
            fitted = model if ready else clone(model)._fitted_to(self.before(panel, chosen))
            frames.append(self._forecast(fitted, panel, chosen, levels, name))
        return frames

    def _forecast(self, model: Any, panel: Panel, chosen: Array, levels: Array | None, name: str) -> pd.DataFrame:
        known = np.isin(self.series, np.flatnonzero(panel.names.isin(model.known_.names)))
        if not known[chosen].all():
            absent = panel.names[self.series[chosen & ~known][0]]
            self.notes.append(
                f"Series {absent!r} (and perhaps others) had no rows yet when {name} was fitted: left out."
            )
        series, rows = self.series[chosen & known], self.rows[chosen & known]
        future = following(panel, rows, self.horizon)
        mean, quantiles = model._roll(panel, series, rows, self.horizon, future, levels)
        return tidy(panel, series, rows, mean, quantiles, levels, name)

    def before(self, panel: Panel, chosen: Array | None = None) -> Panel:
        """The rows of every series before its first (chosen) origin."""
        chosen = np.ones(len(self.rows), bool) if chosen is None else chosen
        lengths = np.zeros(len(panel.names), dtype=np.int64)
        first = np.full(len(panel.names), np.iinfo(np.int64).max)
        np.minimum.at(first, self.series[chosen], self.rows[chosen])
        has = first < np.iinfo(np.int64).max
        lengths[has] = (first - panel.starts)[has]
        return panel.head(lengths)

    def _warn_of_the_past(self, model: Any, panel: Panel) -> None:
        """Say so if the fit has seen what it is now tested on."""
        seen = dict(zip(model.fitted_until_.names, model.fitted_until_.last, strict=True))
        for number in np.unique(self.series):
            until = seen.get(panel.names[number])
            row = int(self.rows[self.series == number].min())
            if until is not None and until >= panel.times[row]:
                warnings.warn(
                    f"The model was fitted on rows up to {until!s}, after the first origin of this backtest "
                    f"({panel.times[row - 1]!s} in series {panel.names[number]!r}): the test is in-sample. Give refit=True, "
                    "or fit on earlier rows.",
                    stacklevel=4,
                )
                return


def tidy(
    panel: Panel, series: Array, rows: Array, mean: Array, quantiles: Array | None, levels: Array | None, name: str
) -> pd.DataFrame:
    """One row a forecast step that lies within its series."""
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
    if levels is not None and quantiles is not None:
        table |= {f"{level:g}": quantiles[:, :, i][inside] for i, level in enumerate(levels)}
    return pd.DataFrame(table)


def following(panel: Panel, rows: Array, horizon: int) -> Array:
    """Covariates known ahead of every origin, (origins, horizon, covariates); past the end the last ones are repeated."""
    place = np.minimum(rows[:, None] + np.arange(horizon), len(panel.future) - 1)
    return panel.future[place]


def scales(panel: Panel, series: Array, rows: Array, season_length: int) -> pd.DataFrame:
    """Q = mean |y_t − y_{t-m}| over the known pairs before every origin; NaN where there are none."""
    steps = np.arange(len(panel.target)) - panel.starts[panel.series]
    difference = np.full(len(panel.target), np.nan)
    late = np.flatnonzero(steps >= season_length)
    difference[late] = np.abs(panel.target[late] - panel.target[late - season_length])
    known = ~np.isnan(difference)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, difference, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    begin = panel.starts[series]
    number = count[rows] - count[begin]
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.where(number > 0, (total[rows] - total[begin]) / number, np.nan)
    return pd.DataFrame(
        {"series": panel.names[series], "cutoff": panel.times[rows - 1], "scale": scale}
    ).drop_duplicates(["series", "cutoff"])


def _owa(table: pd.DataFrame) -> pd.Series:
    """½ (sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2), group by group."""
    reference = table.xs(REFERENCE, level="model") if table.index.nlevels > 1 else table.loc[REFERENCE]
    if table.index.nlevels == 1:
        return 0.5 * (table["sMAPE"] / reference["sMAPE"] + table["MASE"] / reference["MASE"])
    rest = table.index.droplevel("model")
    ratios = [table[name].to_numpy() / reference[name].reindex(rest).to_numpy() for name in ("sMAPE", "MASE")]
    return pd.Series(0.5 * (ratios[0] + ratios[1]), index=table.index)
