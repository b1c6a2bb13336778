"""What `seqdyn demo` forecasts, with which settings, and what it does to one data set.

The first three quarters of the rows are fitted, the last quarter is forecast from rolling origins.

The first case is one in which the state earns its keep: two of the three variables of the system are not in the data,
and show in the past of the third alone. The past of a few rows tells little of them, and no linear law does.

How the settings were chosen: within the first three quarters. These were cut in four parts; up to a hundred settings of
each case (GRU or LSTM; recursive or direct; differences, lags; width, windows, epochs, learning rate and its schedule,
weight decay, loss) were fitted on three parts and tested on the fourth, with two to four seeds. Of those whose training
stays calm (the norm of the gradient falls, and is not clipped) the smallest mean MASE won. The last quarter chose
nothing, but it was looked at on the way.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.forecasting.automatic import AutoForecaster
    from seqdyn.forecasting.backtest import Backtest
    from seqdyn.forecasting.contract import PanelForecaster
    from seqdyn.forecasting.forecaster import Forecaster

AUTO = "auto"
"""The name of the AutoForecaster in tables and figures."""

UNTRAINED = "no epoch made the network better on the rows held out, its linear start is kept"
"""What to say of such a training."""

LEVELS = (80, 95)
"""Central intervals, in percent."""

HELD_OUT = {"early_stopping": True, "n_iter_no_change": 1000}
"""The last tenth of the fit's rows tells which epoch was the best, and how wide intervals are; all epochs are run."""

SLOW = {"learning_rate": 0.003, "weight_decay": 0.01, "schedule": "cosine"}
"""Training that suits short series: no step is far, and the last ones hardly move."""


@dataclass(frozen=True)
class Case:
    """A data set, and the one recurrent forecaster that is fitted to it.

    ``name`` stands in file names and the table, ``title`` in figures; ``period`` is the time between two rows: month,
    quarter or year. ``data`` is one series, or one a column, indexed by time. Forecasts go ``horizon`` steps ahead,
    from origins ``step`` rows apart; ``settings`` are those of the Forecaster, ``training`` those of its GRU. A season
    has ``season_length`` steps, by the frequency if None. Of many series ``shown`` is the one in the figures.
    ``memories`` are numbers of rows: what the network is worth if it remembers no more than these is measured as well.
    """

    name: str
    title: str
    unit: str
    period: str
    data: Any
    horizon: int
    step: int
    settings: dict[str, Any]
    training: dict[str, Any]
    season_length: int | None = None
    shown: str | None = None
    memories: tuple[int, ...] = ()
    note: str = ""

    @property
    def cut(self) -> int:
        """The first row of the last quarter."""
        return len(self.data) - round(len(self.data) / 4)

    @property
    def past(self) -> Any:
        """The first three quarters."""
        return self.data.iloc[: self.cut]

    @property
    def windows(self) -> int:
        """How many origins the last quarter has room for."""
        return (len(self.data) - self.cut - self.horizon) // self.step + 1

    def label(self, time: Any) -> str:
        """An instant as people write it: 2001-12, 2009Q3, 2008; the number of a step."""
        return str(time.to_period(self.period[0].upper())) if hasattr(time, "to_period") else f"{time:.0f}"

    def forecaster(self, seed: int, max_epochs: int | None = None) -> Forecaster:
        """The model, not yet fitted."""
        from seqdyn.estimators.regressors import GRURegressor
        from seqdyn.forecasting.forecaster import Forecaster

        training = HELD_OUT | self.training | ({} if max_epochs is None else {"max_epochs": max_epochs})
        network = GRURegressor(**training, random_state=seed)
        return Forecaster(
            network, horizon=self.horizon, season_length=self.season_length, **self.settings, random_state=seed
        )

    def automatic(self, seed: int, max_epochs: int | None = None) -> AutoForecaster:
        """Closed forms weighted by their past errors, and the network where it beats them; not yet fitted."""
        from seqdyn.forecasting.automatic import AutoForecaster

        network = self.forecaster(seed, max_epochs)
        return AutoForecaster(horizon=self.horizon, season_length=self.season_length, network=network)


@dataclass(frozen=True)
class Outcome:
    """What came out of one case.

    ``model`` is fitted on the first three quarters, and its state has read the last one, too, in ``reading`` seconds;
    ``test`` is over the last quarter, beside all baselines; ``seconds`` is how long every model's fit took.
    ``forgetful`` is the MASE of the same network there, by how many rows it sees before an origin.
    """

    case: Case
    model: Forecaster
    test: Backtest
    seconds: dict[str, float]
    reading: float
    forgetful: dict[int, float]

    @property
    def epochs(self) -> int:
        """How many epochs of training were kept; none where the linear start of the network was the best."""
        return len(self.model.estimator_.history_)

    def verdict(self) -> str:
        """The network against the baselines, of which the AutoForecaster is none."""
        frame = self.test.frame
        return replace(self.test, frame=frame[frame["model"] != AUTO]).verdict()

    def ahead(self) -> pd.DataFrame:
        """The forecast after the last row with its intervals, one row a series and time."""
        frame = self.model.forecast(self.case.horizon, level=LEVELS)
        if self.case.shown is not None:
            frame = frame.stack(0, future_stack=True).rename_axis(["time", "series"]).sort_index(level=1)
        return frame.reset_index()

    def table(self) -> pd.DataFrame:
        """The metrics, one row a model, named; the smallest of every error marked in columns of its own."""
        errors = self.test.metrics().drop(columns=["OWA", "WQL"]).rename(index={"model": "GRU"})
        table = errors.assign(seconds=errors.index.map(self.seconds | {"GRU": self.seconds["model"]}))
        table = table.assign(data=self.case.name, unit=self.case.unit, horizon=self.case.horizon)
        table["origins"] = self.case.windows
        for name in ("MAE", "RMSE", "MASE", "sMAPE"):
            table[f"best_{name}"] = table[name] == table[name].min()
        return table.reset_index().set_index(["data", "model"])


def lorenz() -> Case:
    """One of the three variables of the Lorenz system: the others show in its past alone, and not by a linear law."""
    from seqdyn.datasets.systems import load_lorenz

    every = 5
    return Case(
        name="lorenz",
        title="x of the Lorenz system",
        unit="no unit",
        period="step",
        data=load_lorenz(1200 * every)["x"].iloc[::every].reset_index(drop=True).rename_axis("time"),
        horizon=20,
        step=10,
        settings={"strategy": "direct", "lags": 2},
        training={"hidden_size": 32, "window": 48, "stride": 4, "max_epochs": 60, "loss": "mae", "schedule": "cosine"},
        season_length=1,
        memories=(2, 4, 8, 16, 32),
        note="simulated without noise, 20 rows a unit of time; y and z, which drive it, are not in the data",
    )


def co2() -> Case:
    """CO2 by months, a year ahead: how every month differs from that of the year before."""
    from seqdyn.datasets.series import load_co2

    return Case(
        name="co2",
        title="CO₂ over Mauna Loa",
        unit="ppm",
        period="month",
        data=load_co2("monthly")["co2"],
        horizon=12,
        step=3,
        settings={"log": True, "seasonal_difference": 1, "lags": 2},
        training={"hidden_size": 16, "window": 96, "stride": 12, "max_epochs": 40, **SLOW},
    )


def sunspots() -> Case:
    """Sunspots by years, ten at once; the frequency does not tell their cycle of 11 years."""
    from seqdyn.datasets.series import load_sunspots

    return Case(
        name="sunspots",
        title="Sunspots",
        unit="sunspot number",
        period="year",
        data=load_sunspots()["sunspots"],
        horizon=10,
        step=2,
        settings={"strategy": "direct", "lags": 6},
        training={"hidden_size": 48, "window": 44, "stride": 4, "max_epochs": 80, "loss": "huber", **SLOW},
        season_length=11,
    )


def economy() -> Case:
    """Five accounts of the economy of the United States by quarters, two years at once: one network for all."""
    from seqdyn.datasets.series import load_macrodata

    return Case(
        name="economy",
        title="US accounts",
        unit="10⁹ US$ of 2005 a year",
        period="quarter",
        data=load_macrodata()[["realgdp", "realcons", "realinv", "realgovt", "realdpi"]],
        horizon=8,
        step=2,
        settings={"strategy": "direct", "log": True, "lags": 5},
        training={"hidden_size": 32, "window": 48, "stride": 8, "max_epochs": 60, **SLOW},
        shown="realgdp",
    )


CASES: tuple[Callable[[], Case], ...] = (lorenz, co2, sunspots, economy)


def run_case(case: Case, seed: int, max_epochs: int | None = None, verbose: int = 0) -> Outcome:
    """Fit the first three quarters, test on the last, then read it; ``max_epochs`` stands in for the case's own."""
    model = case.forecaster(seed, max_epochs)
    model.estimator.set_params(verbose=verbose)
    models = {"model": model, AUTO: case.automatic(seed, max_epochs)} | baselines(case)
    seconds = {name: _seconds_of(partial(model.fit, case.past)) for name, model in models.items()}
    models.pop("model")
    test = model.backtest(case.data, case.horizon, case.windows, case.step, level=LEVELS, baselines=models)
    forgetful = {rows: _forgetful(case, model, rows) for rows in case.memories}
    reading = _seconds_of(partial(model.update, case.data.iloc[case.cut :]))
    return Outcome(case, model, test, seconds, reading, forgetful)


def _forgetful(case: Case, model: Forecaster, rows: int) -> float:
    """The MASE of a fitted model whose state begins at zero so many rows before every origin."""
    shortened = copy(model).set_params(context_length=rows)
    test = shortened.backtest(case.data, case.horizon, case.windows, case.step, baselines=None)
    return float(test.metrics()["MASE"]["model"])


def baselines(case: Case) -> dict[str, PanelForecaster]:
    """All that ``baselines="auto"`` means, not yet fitted."""
    from seqdyn.data.panel_reading import read_panel
    from seqdyn.forecasting.defaults import default_baselines

    panel = read_panel(case.past)
    return default_baselines("auto", panel, case.horizon, case.windows, season_length=case.season_length).models


def _seconds_of(work: Callable[[], Any]) -> float:
    """Seconds of a piece of work; Ctrl-C ends the demo, not only this training."""
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Training was interrupted")
        try:
            work()
        except UserWarning as warning:
            raise KeyboardInterrupt from warning
    return time.perf_counter() - began
