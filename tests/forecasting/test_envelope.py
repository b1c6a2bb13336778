"""What a history allows: trends and growth go on, runaways and numbers that are none are named."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel
from seqdyn.forecasting.calibrated import ConformalForecaster
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.request import ForecastRequest, Forecasts

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class Told(PanelForecaster):
    """Forecasts what it is told, the same for all series."""

    values: Any = ()
    spread: Any = 0.0

    def _learn(self, panel: Panel) -> None:
        pass

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        mean = np.tile(np.asarray(self.values, dtype=float)[: request.horizon], (len(request.rows), 1))
        levels = request.levels
        quantiles = None if levels is None else mean[:, :, None] + self.spread * (levels - 0.5) + 0.0 * levels
        return Forecasts(mean, quantiles)


@dataclass(kw_only=True, repr=False, eq=False)
class Bounded(Told):
    """It knows that nothing lies outside [0, 100]."""

    def _learn(self, panel: Panel) -> None:
        self.bounds_ = (0.0, 100.0)


@dataclass(kw_only=True, repr=False, eq=False)
class Logged(Told):
    """It may be asked for logarithms."""

    log: Any = None


def told(history: Any, values: Any, **options: Any) -> Any:
    """The forecast of these values after this history."""
    return Told(values=values).fit(pd.Series(np.asarray(history, dtype=float))).forecast(len(values), **options)


def series(kind: str, length: int) -> Array:
    """A history and its continuation."""
    t = np.arange(length)
    noise = np.random.default_rng(0).normal(size=length)
    return {
        "steep line": 1e4 * t - 3.0,
        "falling line": 5.0 - 77.0 * t,
        "growth of 1 %": 100 * 1.01**t,
        "growth of 30 %": 1.3**t,
        "debt that grows": -50 * 1.05**t,
        "decay": 80 * 0.9**t,
        "random walk": np.cumsum(noise),
        "season": 10 + 5 * np.sin(t / 2),
        "counts": np.random.default_rng(1).poisson(0.3, size=length).astype(float),
        "constant": np.full(length, 7.0),
        "zeros": np.zeros(length),
    }[kind]


KINDS = ["steep line", "falling line", "growth of 1 %", "growth of 30 %", "debt that grows", "decay", "random walk",
         "season", "counts", "constant", "zeros"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("history", [12, 24, 120])
def test_what_goes_on_as_it_was_is_left_alone(kind: str, history: int) -> None:
    """The true continuation is given out as it is, without a word, as far as the history is long, and 24 steps."""
    whole = series(kind, history + max(history, 24))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = told(whole[:history], whole[history:])
    np.testing.assert_array_equal(found, whole[history:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_what_runs_away_is_named_with_series_step_and_model(kind: str, sign: int) -> None:
    """A recursion that doubles its distance from the last value at every step."""
    history = series(kind, 60)
    size = max(float(np.ptp(history)), 1.0)
    path = history[-1] + sign * size * 2.0 ** np.arange(24)
    with pytest.warns(UserWarning, match=r"Told: 1 of 1 forecasts are far beyond .* of series .* steps ahead") as said:
        found = told(history, path)
    assert len(said) == 1
    assert said[0].filename == __file__
    np.testing.assert_array_equal(found, path)


@pytest.mark.parametrize(("rows", "why"), [(12, "12 known values tell little"), (40, "its errors say so")])
def test_a_quantile_far_out_is_no_runaway(rows: int, why: str) -> None:
    """The point forecast is fine: the interval is wide, and that is said, not that the model has run away."""
    model = Told(values=[5.0] * 3, spread=1e6).fit(pd.Series(series("season", rows)))
    message = f"Told: quantiles of 1 of 1 forecasts are far beyond the history.*as wide as this because {why}.*narrower"
    with pytest.warns(UserWarning, match=message) as said:
        model.forecast(3, level=80)
    assert len(said) == 1 and "run away" not in str(said[0].message)


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (Told(values=[1e5]), "Do not use them; compare with baselines."),
        (Logged(values=[1e5], log=False), "Do not use them; compare with baselines."),
        (Logged(values=[1e5]), "Do not use them; compare with baselines or take log=False."),
        (ConformalForecaster(Told(values=[1e5] * 2)), "Do not use them; compare with baselines."),
    ],
    ids=["no settings", "one that is set", "one that is not", "of another"],
)
def test_no_setting_is_advised_that_the_model_lacks(model: Any, advice: str) -> None:
    with pytest.warns(UserWarning, match="run away") as said:
        model.fit(pd.Series(series("season", 300))).forecast(1)
    assert str(said[0].message).endswith(advice)


def test_forecasts_stay_within_the_bounds_of_their_model() -> None:
    """An interval at a bound has no width there; a value that was mended is within too, and so is a backtest."""
    full = pd.Series(np.full(40, 100.0))
    for model in (Bounded(values=[100.0] * 3), ConformalForecaster(Bounded(values=[100.0] * 3), horizon=3)):
        found = model.fit(full).forecast(3, level=80)
        assert (found["0.9"] == 100.0).all() and (found["0.1"] < 100.0).all()
        test = model.backtest(full, 3, level=80, baselines=None, refit=True).frame
        assert (test["0.9"] == 100.0).all() and (test["0.1"] < 100.0).all()
    with pytest.warns(UserWarning, match="not finite"):
        mended = Bounded(values=[np.nan]).fit(full).forecast(1, level=95)
    assert mended["0.975"].item() == mended["mean"].item() == 100.0


def test_a_backtest_notes_what_ran_away() -> None:
    frame = pd.DataFrame({"a": series("season", 60), "b": series("season", 60) * 1e6})
    result = Told(values=[1e5] * 5).backtest(frame, 5, 2, baselines=None)
    assert any(note.startswith("model: 2 of 4 forecasts are far beyond") and "'a'" in note for note in result.notes)
    assert result.notes[-1] in repr(result)
    assert not Told(values=[9.0] * 5).backtest(frame[["a"]], 5, 2, baselines=None).notes


def test_what_is_not_finite_gives_way_to_the_last_known_value() -> None:
    """With a warning; a quantile then lies on the line from there to the limits of the history."""
    model = Told(values=[4.0, np.nan, np.inf]).fit(pd.Series([*series("season", 40), 6.0, np.nan]))
    with pytest.warns(UserWarning, match=r"1 of 1 forecasts are not finite.*2 steps ahead.* value stands"):
        found = model.forecast(3, quantiles=[0.1, 0.5, 0.9])
    assert found["mean"].tolist() == [4.0, 6.0, 6.0]
    assert found["0.5"].tolist() == [4.0, 6.0, 6.0]
    low, high = Envelope.of(model.panel_).limits(3)
    np.testing.assert_allclose(found["0.9"].iloc[2], 6 + 0.8 * (high[0, 2] - 6))
    np.testing.assert_allclose(found["0.1"].iloc[1], 6 + 0.8 * (low[0, 1] - 6))
    test = Told(values=[np.nan]).backtest(pd.Series(series("season", 40)), 1, baselines=None)
    assert np.isnan(test.metrics()["MAE"].iloc[0])


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_histories_are_those_of_a_loop(data: Any) -> None:
    """Lowest, highest, last and number of known values before any rows, whatever is missing."""
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    y = [np.where(generator.random(length) < 0.3, np.nan, generator.normal(size=length)) for length in lengths]
    pieces = [pd.DataFrame({"unique_id": i, "ds": range(len(own)), "y": own}) for i, own in enumerate(y)]
    panel = read_panel(pd.concat(pieces).assign(y=lambda frame: frame["y"].where(frame["ds"] > 0, 1.0)))
    rows = np.array(
        [start + k for start, length in zip(panel.starts, lengths, strict=True) for k in range(1, length + 1)]
    )
    found = Envelope.of(panel, rows)
    for place, row in enumerate(rows):
        own = panel.target[panel.starts[panel.series[row - 1]] : row]
        own = own[~np.isnan(own)]
        parts = (found.lowest[place], found.highest[place], found.last[place], found.known[place])
        assert parts == (own.min(), own.max(), own[-1], len(own))
    before = panel.head(np.maximum(panel.lengths - 2, 1))
    if (panel.lengths > 2).all():
        new = Envelope.of(before).joined(_after(panel, before.lengths), np.arange(len(lengths)))
        whole = Envelope.of(panel)
        for name in ("lowest", "highest", "last", "known"):
            np.testing.assert_array_equal(getattr(new, name), getattr(whole, name))


def _after(panel: Panel, lengths: Array) -> Panel:
    """The rows of every series after the leading ones."""
    return panel.tail(int((panel.lengths - lengths).max()))


def test_the_point_lies_within_every_central_interval_and_none_is_of_no_width() -> None:
    levels = np.array([0.1, 0.4, 0.5, 0.6, 0.9])
    beside = np.array([[[2.0, 2.5, 3.0, 3.5, 4.0]], [[-4.0, -3.0, -2.0, -1.5, -1.0]], [[0.0] * 5]])
    histories = Envelope.of(read_panel(pd.DataFrame({"a": [0.0, 4.0] * 9, "b": [-4.0, 0.0] * 9, "c": 0.0})))
    found = histories.around(np.array([[1.0], [0.0], [0.0]]), beside, levels)
    assert found is not None
    small = 4e-6
    np.testing.assert_allclose(found[0, 0], [1 - small, 1 - small, 3.0, 3.5, 4.0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1, 0], [-4.0, -3.0, -2.0, small, small], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[2, 0], [0.0, 0.0, 0.0, 1e-6, 1e-6], rtol=0, atol=1e-12)
