"""Forecasts without tuning: what AutoForecaster makes of series whose law is known, and what it costs.

    python benchmarks/automatic.py [--what laws speed panel] [--seeds 20] [--series 1000]

* laws: series that a statistician knows the answer to; MASE (m = 1) and what the 80 % intervals hold, of
  AutoForecaster, of the Forecaster that a newcomer writes, of the best naive forecast in hindsight, and of the law
  itself: the forecast of whoever knows it;
* speed: 150 months: the first fit and forecast, a forecast again, an update of one row;
* panel: so many series of 100 months, 12 steps with intervals, without the network: seconds and most memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from measure import machine

from seqdyn import (
    AutoForecaster,
    DriftForecaster,
    Forecaster,
    GRURegressor,
    MovingAverageForecaster,
    NaiveForecaster,
    SeasonalNaiveForecaster,
)
from seqdyn.metrics import coverage, mase

Array = np.ndarray[Any, Any]
MOST = {"MS": 24, "D": 30}
"""Steps ahead, of months and days."""

NAIVE: dict[str, Callable[[], Any]] = {
    "last value": NaiveForecaster,
    "drift": DriftForecaster,
    "seasonal": SeasonalNaiveForecaster,
    "mean of 10": lambda: MovingAverageForecaster(window=10),
}


class Law(NamedTuple):
    """A kind of series."""

    make: Callable[[np.random.Generator, int], tuple[Array, Array]]
    """y of so many rows, and what whoever knows the law forecasts for each from the last row of the fit."""

    rows: int
    freq: str
    drawn: bool
    """Whether there are as many of it as seeds, or one."""


def line(draws: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """A straight line."""
    y = 5 + 0.3 * np.arange(rows)
    return y, y


def growth(draws: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """1 % a month."""
    y = 100 * 1.01 ** np.arange(rows)
    return y, y


def constant(draws: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """Always 7."""
    y = np.full(rows, 7.0)
    return y, y


def sine(period: float) -> Callable[[np.random.Generator, int], tuple[Array, Array]]:
    """A clean sine."""

    def make(draws: np.random.Generator, rows: int) -> tuple[Array, Array]:
        y = 10 + 3 * np.sin(2 * np.pi * np.arange(rows) / period)
        return y, y

    return make


def airline(draws: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """Growth, a yearly season that grows along, and 3 % of noise."""
    t = np.arange(rows)
    known = 4.8 + 0.01 * t + 0.15 * np.sin(2 * np.pi * t / 12) + 0.08 * np.cos(2 * np.pi * t / 4)
    return np.exp(known + 0.03 * draws.normal(size=rows)), np.exp(known)


def walk(draws: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """A random walk."""
    y = 100 + np.cumsum(draws.normal(size=rows))
    return y, np.full(rows, y[-MOST["D"] - 1])


def intermittent(draws: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """Poisson 5 in three months of ten, else nothing; the law forecasts the mean."""
    return draws.binomial(1, 0.3, rows) * draws.poisson(5, rows) * 1.0, np.full(rows, 1.5)


LAWS: dict[str, Law] = {
    "straight line": Law(line, 144, "MS", False),
    "growth of 1 %": Law(growth, 144, "MS", False),
    **{f"sine, period {period:g}": Law(sine(period), 300, "D", False) for period in (7, 11, 12.5, 17, 30.3)},
    "constant": Law(constant, 84, "MS", False),
    "airline": Law(airline, 144, "MS", True),
    "random walk": Law(walk, 300, "D", True),
    "intermittent": Law(intermittent, 120, "MS", True),
}

MODELS: dict[str, Callable[[], Any]] = {
    "AutoForecaster()": lambda: AutoForecaster(random_state=0),
    "Forecaster(GRURegressor())": lambda: Forecaster(GRURegressor(random_state=0)),
}


def scaled(y: Array, said: Array, past: Array) -> float:
    """MASE, m = 1; mean |y − ŷ| where the past does not change."""
    return float(mase(y, said, past, 1)) if np.ptp(past) > 0 else float(np.abs(y - said).mean())


def examined(model: Any, series: pd.Series, horizon: int, intervals: bool) -> tuple[float, float, float]:
    """MASE, the share of values within the 80 % interval, and seconds."""
    past, came = series.iloc[:-horizon], series.iloc[-horizon:].to_numpy()
    begin = time.perf_counter()
    found = model.fit(past).forecast(horizon, **({"level": 80} if intervals else {}))
    seconds = time.perf_counter() - begin
    said = found["mean"].to_numpy() if intervals else found.to_numpy().ravel()
    held = coverage(came, found["0.1"].to_numpy(), found["0.9"].to_numpy()) if intervals else np.nan
    return scaled(came, said, past.to_numpy()), 100 * float(held), seconds


def measure_laws(seeds: int) -> None:
    """One line a law."""
    names = [*MODELS, *NAIVE]
    print(f"{'':<18} {'law':>8}" + "".join(f" {name:>28}" for name in MODELS) + "   best naive forecast")
    for name, law in LAWS.items():
        horizon, results, ideal = MOST[law.freq], [], []
        for seed in range(seeds if law.drawn else 1):
            y, known = law.make(np.random.default_rng(seed), law.rows)
            series = pd.Series(y, pd.date_range("2010-01-01", periods=law.rows, freq=law.freq), name="y")
            ideal.append(scaled(y[-horizon:], known[-horizon:], y[:-horizon]))
            makers = {**MODELS, **NAIVE}
            results.append([examined(makers[own](), series, horizon, own in MODELS) for own in names])
        found = dict(zip(names, np.mean(results, axis=0), strict=True))
        best = min(NAIVE, key=lambda own: found[own][0])
        parts = [f" {found[own][0]:9.3g} {found[own][1]:6.1f} % {found[own][2]:7.1f} s" for own in MODELS]
        print(f"{name:<18} {np.mean(ideal):8.3g}" + "".join(parts) + f"   {found[best][0]:.3g} ({best})", flush=True)


def measure_speed(rounds: int = 5) -> None:
    """150 months, of the airline kind."""
    y, _ = airline(np.random.default_rng(0), 160)
    months = pd.Series(y, pd.date_range("2010-01-01", periods=160, freq="MS"), name="y")
    for name, network in (("with the network", "auto"), ("without the network", None)):
        times: dict[str, list[float]] = {"first fit and forecast": [], "forecast": [], "update": []}
        for _ in range(rounds):
            model = AutoForecaster(network=network, random_state=0)
            times["first fit and forecast"].append(
                _seconds(lambda model=model: model.fit(months.iloc[:150]).forecast(12, level=80))
            )
            times["forecast"] += [_seconds(lambda model=model: model.forecast(12, level=80)) for _ in range(5)]
            times["update"] += [
                _seconds(lambda model=model, i=i: model.update(months.iloc[i : i + 1])) for i in range(150, 155)
            ]
        for what, values in times.items():
            print(f"  150 months, {name:<20} {what:<24} median {np.median(values):8.4f} s, most {max(values):8.4f} s")


def measure_panel(count: int) -> None:
    """The fit and the forecast in a process of its own, so that its memory is its own."""
    code = f"import automatic; automatic.fit_panel({count})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=sys.path[0])


def fit_panel(count: int, rows: int = 100) -> None:
    """Months with a level, a growth and a season of their own, a random walk and noise."""
    draws, t = np.random.default_rng(0), np.arange(rows)
    level, slope = draws.uniform(50, 500, (count, 1)), 0.002 * draws.normal(size=(count, 1))
    season = 0.2 * draws.uniform(0, 1, (count, 1)) * np.sin(2 * np.pi * (t / 12 + draws.uniform(0, 1, (count, 1))))
    noise = 0.015 * np.cumsum(draws.normal(size=(count, rows)), axis=1) + 0.05 * draws.normal(size=(count, rows))
    stamps = pd.date_range("2015-01-01", periods=rows, freq="MS")
    y = level * np.exp(slope * t + season) * (1 + noise)
    names = {"unique_id": np.repeat(np.arange(count), rows), "ds": np.tile(stamps, count)}
    df, start = pd.DataFrame({**names, "y": y.ravel()}), _memory()
    model = AutoForecaster(network=None, horizon=12)
    fit = _seconds(lambda: model.fit(df))
    ahead = _seconds(lambda: model.forecast(12, level=80))
    print(f"  {count:,} series x {rows} rows: fit {fit:.1f} s, forecast of 12 steps with intervals {ahead:.1f} s, "
          f"most memory {_memory():.2f} GB ({start:.2f} before the fit)", flush=True)  # fmt: skip


def _seconds(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _memory() -> float:
    """The most resident memory so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", default=["laws", "speed", "panel"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--series", nargs="+", type=int, default=[1000])
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine(), flush=True)
    if "laws" in chosen.what:
        measure_laws(chosen.seeds)
    if "speed" in chosen.what:
        measure_speed()
    if "panel" in chosen.what:
        for count in chosen.series:
            measure_panel(count)
    print(machine().split(", ")[-1].replace("at the start", "at the end"))


if __name__ == "__main__":
    main()
