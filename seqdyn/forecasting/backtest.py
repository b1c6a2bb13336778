"""Backtests: forecasts from rolling origins in the past, beside what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seqdyn.data.containers import as_container
from seqdyn.data.labels import counted, quoted
from seqdyn.data.panel_layouts import Layout
from seqdyn.facts import fact_table
from seqdyn.forecasting.request import quantile_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure


KEYS = ["model", "series", "cutoff", "time", "step", "y", "mean"]
"""Columns of a backtest, before its quantiles."""

GROUPS = ("series", "cutoff", "time", "step")
"""What errors may be split by, beside the model."""

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
    layout : Layout or None
        Of the data, for :meth:`table`.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.forecasting.naive import NaiveForecaster
    >>> series = pd.Series([1.0, 2.0, 4.0, 8.0, 16.0])
    >>> test = NaiveForecaster().backtest(series, 1, 2, baselines=None)
    >>> test.metrics()["MAE"].tolist()
    [6.0]
    """

    frame: pd.DataFrame
    season_length: int
    scales: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    layout: Layout | None = None

    def table(self) -> Any:
        """The frame in the library of the data: polars for polars.

        Returns
        -------
        DataFrame or Table
            As ``frame``, which is of pandas always.
        """
        if self.layout is None or self.layout.container == "pandas":
            return self.frame
        series, time = self.layout.dtypes[1:]
        dtypes = {"series": series, "cutoff": time, "time": time}
        return as_container(self.frame, self.layout.container, {name: own for name, own in dtypes.items() if own})

    @property
    def quantiles(self) -> list[float]:
        """The quantiles that were forecast."""
        return [float(name) for name in self.frame.columns[len(KEYS) :]]

    @property
    def models(self) -> list[str]:
        """The model and its baselines."""
        return list(dict.fromkeys(self.frame["model"]))

    def metrics(self, by: str | Sequence[str] = ()) -> pd.DataFrame:
        """Errors of every model, averaged over steps and then over windows.

        Parameters
        ----------
        by : str or sequence of str
            Split further by ``"series"``, ``"cutoff"``, ``"time"`` or ``"step"``.

        Returns
        -------
        DataFrame
            Indexed by model and ``by``. MAE, and RMSE of all errors together, in the unit of y; MASE, each error
            divided by the mean absolute m-step difference before its cutoff, windows without one (Q = 0, or too short)
            left out; sMAPE in M4's definition, 0 to 200; OWA = ½ (sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2)
            where that was run; with quantiles the pinball loss ρ_q, WQL = mean over them of 2 Σ ρ_q / Σ |y|, and of
            every central interval its coverage in percent and MSIS, its interval score divided as in MASE; n, how many
            known values were compared. What a forecast that is NaN goes into is NaN.

        Raises
        ------
        ValueError
            If ``by`` names something else, or no value is known in any window.

        References
        ----------
        Makridakis, Spiliotis & Assimakopoulos (2020), The M4 Competition.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from seqdyn import SeasonalNaiveForecaster
        >>> wave = pd.Series(np.sin(np.arange(60) * np.pi / 6) + 0.1 * np.arange(60))
        >>> test = SeasonalNaiveForecaster(season_length=12).backtest(wave, 6, 3, baselines=None)
        >>> test.metrics()["MAE"].round(2).tolist()
        [1.2]
        """
        extra = [by] if isinstance(by, str) else list(by)
        unknown = [name for name in extra if name not in GROUPS]
        if unknown:
            raise ValueError(f"by may name {', '.join(map(repr, GROUPS))}, got {quoted(unknown[0])}.")
        keys = ["model", *dict.fromkeys(extra)]
        rows = self._errors()
        sums = rows.groupby(keys, sort=False)
        table = rows.groupby([*keys, "_window"], sort=False)[["MAE", "MASE", "sMAPE"]].mean()
        table = table.groupby(keys, sort=False).mean()
        table.insert(1, "RMSE", np.sqrt(sums["_square"].mean()))
        table[sums["_failed"].any().reindex(table.index)] = np.nan
        if REFERENCE in self.models:
            table["OWA"] = _owa(table)
        if self.quantiles:
            table = table.join(self._pinball(rows, keys)).join(self._intervals(rows, keys))
        table["n"] = sums.size()
        return table

    def verdict(self, metric: str = "MASE") -> str:
        """One sentence: does the model beat the baselines?

        Parameters
        ----------
        metric : str
            A column of :meth:`metrics`, lower is better; MAE instead where it is not defined for all.
        """
        table = self.metrics()
        if metric not in table:
            raise ValueError(f"metric must be one of {list(table.columns)}, got {metric!r}.")
        failed = [str(name) for name in table.index[table["MAE"].isna()] if name != "model"]
        others = table.drop(index="model", errors="ignore").dropna(subset="MAE")
        if "model" not in table.index or not len(others):
            return "No baseline was run beside the model."
        if np.isnan(table.loc["model", "MAE"]):
            return "The model FAILED: some of its forecasts are not numbers (NaN)."
        defined = others[metric].notna().all() and not np.isnan(table.loc["model", metric])
        metric = metric if defined else "MAE"
        own, best = float(table.loc["model", metric]), str(others[metric].idxmin())
        found, count = float(others.loc[best, metric]), len(others)
        where = f"{metric} {own:.4g} against {found:.4g} of {best}"
        where += f" ({', '.join(failed)} failed)" if failed else ""
        if own < found:
            return f"The model beats {_all_of(count)}: {where}{', the best of them' if count > 1 else ''}."
        better = int((others[metric] < own).sum())
        if not better:
            return f"The model is no better than the best of {_number_of(count)}: {where}. Use the baseline."
        return f"The model LOSES to {better} of {_number_of(count)}: {where}. Use the baseline, or change the model."

    def plot(self, series: Any = None) -> Figure:
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
        series, steps = self.frame["series"].nunique(), self.frame["step"].max()
        head = f"Backtest of {series} series, {counted(windows, 'window')} of {counted(steps, 'step')}"
        return "\n".join([head, table, self.verdict(), *self.notes])

    def _repr_html_(self) -> str:
        facts = {"origins": len(self.scales), "season": self.season_length, "verdict": self.verdict()}
        notes = {f"note {number}": note for number, note in enumerate(self.notes, 1)}
        return fact_table("Backtest", facts | notes) + self.metrics().round(4).to_html()

    def _errors(self) -> pd.DataFrame:
        """One row a known value: its errors, and the window it belongs to."""
        rows = self.frame[self.frame["y"].notna()].copy()
        if not len(rows):
            raise ValueError("No value is known in the windows of this backtest: there is nothing to compare with.")
        rows["_window"] = rows.groupby(["series", "cutoff"], sort=False).ngroup()
        windows = pd.MultiIndex.from_frame(rows.drop_duplicates("_window")[["series", "cutoff"]])
        scale = self.scales.set_index(["series", "cutoff"])["scale"].reindex(windows).to_numpy()[rows["_window"]]
        rows["_scale"] = scale
        error = (rows["y"] - rows["mean"]).abs().to_numpy()
        size = (rows["y"].abs() + rows["mean"].abs()).to_numpy()
        rows["MAE"], rows["_square"], rows["_failed"] = error, error**2, np.isnan(error)
        rows["MASE"] = np.divide(error, scale, out=np.full(len(rows), np.nan), where=scale > 0)
        rows["sMAPE"] = 200 * np.divide(error, size, out=np.zeros(len(rows)), where=size != 0)
        return rows

    def _pinball(self, rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
        """The mean of ρ_q(y, z_q), and mean_q 2 Σ ρ_q / Σ |y|, group by group; NaN for models without quantiles."""
        q = np.array(self.quantiles)
        error = rows["y"].to_numpy()[:, None] - rows[quantile_columns(q)].to_numpy()
        pinball = np.maximum(q * error, (q - 1) * error).mean(axis=1)
        table = rows[keys].assign(pinball=pinball, size=rows["y"].abs(), failed=np.isnan(pinball))
        groups = table.groupby(keys, sort=False)
        total = groups["size"].sum()
        ratio = 2 * groups["pinball"].sum() / total.where(total > 0)
        found = pd.DataFrame({"pinball": groups["pinball"].mean(), "WQL": ratio})
        return found.mask(groups["failed"].any(), axis=0)

    def _intervals(self, rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
        """The share of y inside every central interval in percent, and MSIS, group by group."""
        table, names = rows[keys].copy(), []
        for low in (level for level in self.quantiles if level < 0.5):
            high = next((level for level in self.quantiles if np.isclose(level, 1 - low)), None)
            if high is None:
                continue
            lower, upper = (rows[column] for column in quantile_columns([low, high]))
            inside = 100.0 * ((lower <= rows["y"]) & (rows["y"] <= upper))
            names.append(f"coverage_{100 * (high - low):g}")
            table[names[-1]] = inside.where(lower.notna() & upper.notna())
            beyond = np.maximum(lower - rows["y"], 0) + np.maximum(rows["y"] - upper, 0)
            names.append(f"MSIS_{100 * (high - low):g}")
            table[names[-1]] = (upper - lower + beyond / low) / rows["_scale"].where(rows["_scale"] > 0)
        return table.groupby(keys, sort=False)[names].mean()


def _number_of(count: int) -> str:
    return f"{count} baseline{'s' if count > 1 else ''}"


def _all_of(count: int) -> str:
    return f"all {count} baselines" if count > 1 else "the one baseline"


def _owa(table: pd.DataFrame) -> pd.Series:
    """½ (sMAPE / sMAPE of Naive2 + MASE / MASE of Naive2), group by group; NaN where Naive2 makes no errors."""
    own = table[["sMAPE", "MASE"]]
    is_reference = own.index.get_level_values("model") == REFERENCE
    if own.index.nlevels == 1:
        below = np.broadcast_to(own[is_reference].to_numpy(), own.shape)
    else:
        reference = own[is_reference].droplevel("model")
        below = reference.reindex(own.index.droplevel("model")).to_numpy()
    ratio = np.divide(own.to_numpy(), below, out=np.full(own.shape, np.nan), where=below > 0)
    return pd.Series(ratio.mean(axis=1), index=own.index)
