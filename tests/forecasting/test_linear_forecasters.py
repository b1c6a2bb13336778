"""Linear autoregressions of many series: trends, logarithms, intervals of short series, and their parts."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from seqdyn.data.panel_reading import read_panel
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.error_quantiles import error_quantiles, error_variance
from seqdyn.forecasting.history import mean_changes
from seqdyn.forecasting.least_squares import Order, fit_autoregressions
from seqdyn.forecasting.ridge import RidgeForecaster
from seqdyn.forecasting.statistical import AutoRegForecaster
from seqdyn.forecasting.tables import blocks, table
from seqdyn.forecasting.units import Units

Array = np.ndarray[Any, Any]

MODELS = {
    "ridge": RidgeForecaster(),
    "penalty by validation": RidgeForecaster(penalty="auto", horizon=24),
    "pooled": RidgeForecaster(pooled=True, penalty="auto"),
    "direct": RidgeForecaster(strategy="direct", horizon=12),
    "differenced": RidgeForecaster(difference=1),
    "auto regression": AutoRegForecaster(),
}


def months(values: Any) -> pd.Series:
    """Values of successive months."""
    return pd.Series(np.asarray(values, dtype=float), pd.period_range("2000-01", periods=len(values), freq="M"))


def airline(rows: int, seed: int = 0) -> Array:
    """Growth of 1 % a month times a season of 30 % times noise of 3 %."""
    steps = np.arange(rows)
    noise = 0.03 * np.random.default_rng(seed).normal(size=rows)
    return 100 * np.exp(0.01 * steps + 0.3 * np.sin(steps * np.pi / 6) + noise)


# -------------------------------------------------------------------- trends and logarithms


@pytest.mark.parametrize("rows", [36, 120])
@pytest.mark.parametrize("name", list(MODELS))
def test_an_exact_line_is_continued_as_a_line(name: str, rows: int) -> None:
    """Up, and down through zero: within 1 % of its size over two years."""
    steps = np.arange(rows + 24.0)
    for line in (5 + 0.3 * steps, 0.2 * rows - 0.19 * steps):
        found = MODELS[name].fit(months(line[:rows])).forecast(24)
        np.testing.assert_allclose(found, line[rows:], atol=0.01 * np.abs(line).max())


@pytest.mark.parametrize("rows", [36, 120])
@pytest.mark.parametrize("name", list(MODELS))
def test_exact_growth_is_continued_as_growth(name: str, rows: int) -> None:
    """1 % a month: within 1 % over two years."""
    growth = 10 * 1.01 ** np.arange(rows + 24)
    np.testing.assert_allclose(MODELS[name].fit(months(growth[:rows])).forecast(24), growth[rows:], rtol=0.01)


def test_steep_growth_is_not_taken_for_a_runaway() -> None:
    """30 % a step, ten times the history's range ahead: not held, and nothing is said."""
    growth = 1.3 ** np.arange(40)
    model = RidgeForecaster(lags=2).fit(pd.Series(growth[:30]))
    np.testing.assert_allclose(model.forecast(10), growth[30:], rtol=0.01)
    assert model.clipped_ == 0


def test_logarithms_are_taken_where_they_forecast_better() -> None:
    """Airline-like series are logged and lines are not, each series for itself; those with zeros never."""
    frame = pd.DataFrame({f"airline {seed}": airline(120, seed) for seed in range(4)})
    frame = frame.assign(line=5 + 0.3 * np.arange(120), zero=np.append(0.0, airline(119)))
    model = RidgeForecaster(penalty="auto", horizon=12, selection="series", season_length=12).fit(frame)
    assert model.logged_.tolist() == [True] * 4 + [False] * 2
    assert AutoRegForecaster(season_length=12).fit(frame).logged_.tolist()[4:] == [False] * 2


def test_one_choice_of_the_logarithm_serves_a_panel() -> None:
    """With selection="global" all that are positive are logged, or none is."""
    frame = pd.DataFrame({"a": airline(120), "b": airline(120, 1), "zero": np.append(0.0, airline(119))})
    assert RidgeForecaster(penalty="auto", season_length=12).fit(frame).logged_.tolist() == [True, True, False]
    lines = pd.DataFrame({name: 5 + slope * np.arange(120.0) for name, slope in (("a", 0.3), ("b", 0.1))})
    assert not RidgeForecaster(season_length=12).fit(lines).logged_.any()


# -------------------------------------------------------------------- intervals


def coverage(series: Array, rows: int, **parameters: Any) -> float:
    """How often 80 % intervals of 6 steps hold what comes, over all series, each fitted by itself."""
    frame = pd.DataFrame(series.T, index=pd.period_range("2000-01", periods=series.shape[1], freq="M"))
    found = RidgeForecaster(**parameters).fit(frame[:rows]).forecast(6, level=80)
    low, high = (found.xs(name, axis=1, level=1).to_numpy() for name in ("0.1", "0.9"))
    assert (high > low).all()
    truth = frame[rows:].to_numpy()
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize(("kind", "rows"), [("noise", 8), ("noise", 14), ("walk", 20), ("walk", 30), ("walk", 60)])
@pytest.mark.parametrize("penalty", [300.0, "auto"])
def test_intervals_of_short_series_hold_what_they_promise(kind: str, rows: int, penalty: Any) -> None:
    """70–90 % of later values lie in 80 % intervals; of 1000 series the share has a standard error of 1 %."""
    noise = np.random.default_rng(rows).normal(size=(1000, rows + 6))
    series = 100 + (10 * noise if kind == "noise" else np.cumsum(noise, axis=1))
    assert 0.70 < coverage(series, rows, penalty=penalty) < 0.90


@pytest.mark.parametrize("rows", [2, 3, 5, 8, 20])
def test_no_interval_has_zero_width_or_lies_beside_its_mean(rows: int) -> None:
    """At any length, for any level."""
    y = np.array([12.0, 9, 11, 10, 13, 8, 12, 10, 14, 9] * 2)[:rows]
    for penalty in (300.0, "auto", 0.0):
        found = (
            RidgeForecaster(penalty=penalty).fit(months(y)).forecast(6, level=[50, 80, 98] if rows > 3 else [50, 80])
        )
        values = found.drop(columns="mean").to_numpy()
        assert (np.diff(values, axis=1) > 1e-6).all()
        assert ((found["0.25"] <= found["mean"]) & (found["mean"] <= found["0.75"])).all()


def test_error_quantiles_are_ranks_of_many_errors_and_student_of_few() -> None:
    """Both formulas by hand."""
    errors = np.random.default_rng(0).normal(size=(1, 1, 99))
    levels = np.array([0.1, 0.9])
    np.testing.assert_array_equal(error_quantiles(errors, levels, np.ones(1))[0, 0], np.sort(errors[0, 0])[[9, 89]])
    few = errors[:, :, :8]
    width = student.ppf(0.9, 4) * np.sqrt(np.mean(few**2))
    np.testing.assert_allclose(error_quantiles(few, levels, np.ones(1))[0, 0], [-width, width])
    np.testing.assert_allclose(error_variance(np.full((1, 3, 1), np.nan), np.array([2.0])), [[4.0, 8.0, 12.0]])


def test_the_variance_of_far_steps_follows_the_line_through_all() -> None:
    """Of errors that grow as a walk's it is σ² k, times what their overlap adds."""
    walks = np.cumsum(np.random.default_rng(0).normal(size=(1, 6, 4000)), axis=1)
    np.testing.assert_allclose(error_variance(walks, np.ones(1)), [np.arange(1, 7)], rtol=0.06)
    holes = np.where(np.arange(6)[:, None] < 4, walks, np.nan)
    np.testing.assert_allclose(error_variance(holes, np.ones(1)), [np.arange(1, 7)], rtol=0.06)


# -------------------------------------------------------------------- the parts


def test_blocks_hold_every_series_once_and_stay_small() -> None:
    """Of any lengths."""
    lengths = np.random.default_rng(0).integers(1, 100_000, size=500)
    found = list(blocks(lengths, 20))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(500))
    assert all(len(block) == 1 or len(block) * lengths[block].max() * 20 <= 4_000_000 for block in found)
    np.testing.assert_array_equal(table(np.arange(6.0), np.array([4, 0]), np.array([2, 3]))[1], [0, 1, 2])


def test_weights_of_many_series_are_those_of_each_alone() -> None:
    """Of different lengths, with gaps, for several penalties at once, with and without differences."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({name: generator.normal(size=90).cumsum() for name in "abc"})
    frame.loc[60:, "b"] = np.nan
    frame.loc[[20, 33], "c"] = np.nan
    panel = read_panel(frame)
    penalties = np.array([[0.1], [10.0]])
    for order in (Order(4), Order(3, steps=2, centred=True), Order(2, difference=1)):
        together = fit_autoregressions(panel, panel.target, panel.future, order, penalties)
        for number in range(3):
            own = panel.select(np.array([number]))
            for whole, alone in zip(
                together, fit_autoregressions(own, own.target, own.future, order, penalties), strict=True
            ):
                np.testing.assert_allclose(whole.coefficients[number], alone.coefficients[0], atol=1e-9)
                np.testing.assert_allclose(whole.intercepts[number], alone.intercepts[0], atol=1e-9)


@pytest.mark.parametrize("model", [RidgeForecaster(penalty=1.0), AutoRegForecaster(lags=2)], ids=["ridge", "auto"])
def test_a_file_from_before_there_were_inputs_forecasts_the_same(model: Any) -> None:
    """Their attributes are not in it."""
    model.fit(months(airline(60)))
    content = model.to_content()
    fitted = {name: value for name, value in content["fitted"].items() if not name.startswith("input_")}
    again = type(model).from_content({**content, "fitted": fitted})
    pd.testing.assert_frame_equal(again.forecast(6, level=80), model.forecast(6, level=80))


def test_lags_reach_over_the_longest_season() -> None:
    """Of several."""
    assert RidgeForecaster(season_length=(4, 12)).fit(months(airline(60))).lags_.tolist() == [13]


def test_units_are_those_of_numpy() -> None:
    """Mean, and mean absolute seasonal difference; the one-step one, and 1, where there is none."""
    frame = pd.DataFrame({"a": [1.0, 4, 2, 8, 5, 7], "flat": 3.0, "season": [1.0, 2, 1, 2, 1, 2]})
    panel = read_panel(frame)
    np.testing.assert_allclose(mean_changes(panel, 2), [np.mean([1, 4, 3, 1]), 1.0, 1.0])
    units = Units.of(panel, 2, np.array([True, False, False]), "deviation")
    np.testing.assert_allclose(units.centre, [np.log(frame["a"]).mean(), 3.0, 1.5])
    np.testing.assert_allclose(units.scale, [np.log(frame["a"]).std(ddof=0), 1.0, 0.5])
    z = units.of_panel(panel, np.arange(3))
    np.testing.assert_allclose(units.restored(z[:, None], panel.series)[:, 0], panel.target)


def test_bounds_are_wider_where_inputs_leave_their_history() -> None:
    """Twice as far away with a stretch of 2."""
    panel = read_panel(pd.Series([2.0, -2.0] * 10))
    top = [Envelope.of(panel).limits(1, stretch)[1].item() for stretch in (1.0, 2.0)]
    assert top[1] - 2.0 == pytest.approx(2 * (top[0] - 2.0)) and top[0] > 2.0 + 3 * 4


def test_two_thousand_series_take_seconds() -> None:
    """Penalty and logarithm by validation, forecast and intervals; the bound leaves room for a busy machine."""
    y = 100 + np.random.default_rng(0).normal(size=(2000, 60)).cumsum(axis=1)
    frame = pd.DataFrame(y.T, index=pd.period_range("2000-01", periods=60, freq="M"))
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RidgeForecaster(penalty="auto").fit(frame).forecast(12, level=80)
    assert time.perf_counter() - begin < 20
