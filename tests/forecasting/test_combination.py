"""Combination: its weights against brute force, and its forecasts against those of its members."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from seqdyn.data.panels import Panel
from seqdyn.forecasting.combination import CombinedForecaster, simplex_weights
from seqdyn.forecasting.naive import (
    DriftForecaster,
    MovingAverageForecaster,
    NaiveForecaster,
    SeasonalNaiveForecaster,
)
from tests.forecasting.test_baselines import LEVELS, rolled, sample

MEMBERS = {
    "naive": NaiveForecaster(),
    "seasonal": SeasonalNaiveForecaster(),
    "drift": DriftForecaster(),
    "mean": MovingAverageForecaster(window=12),
}


def combined(panel: Panel, **parameters: Any) -> CombinedForecaster:
    """A fitted combination of four naive forecasters."""
    return CombinedForecaster(models=MEMBERS, season_length=4, **parameters).fit_panel(panel)


def members(panel: Panel) -> list[Any]:
    """The forecasts of the members by themselves."""
    alone = [clone(model).set_params(season_length=4).fit_panel(panel) for model in MEMBERS.values()]
    return [rolled(model, panel, [0, 1], panel.ends, 5, LEVELS) for model in alone]


def test_equal_weights_and_median() -> None:
    """The mean and the median of the members, of points and of quantiles."""
    panel, alone = sample(), members(sample())
    for weights, together in (("equal", np.mean), ("median", np.median)):
        found = rolled(combined(panel, weights=weights), panel, [0, 1], panel.ends, 5, LEVELS)
        np.testing.assert_allclose(found.mean, together([one.mean for one in alone], axis=0))
        assert found.quantiles is not None
        np.testing.assert_allclose(found.quantiles, together([one.quantiles for one in alone], axis=0))


def test_weights_are_a_labelled_frame() -> None:
    """One row a series, one column a member, on the simplex; the median has none."""
    panel = sample()
    for parameters in ({}, {"weights": "validated"}, {"weights": "validated", "selection": "series", "metric": "mse"}):
        weights = combined(panel, **parameters).weights_
        assert list(weights.index) == ["long", "short"] and list(weights.columns) == list(MEMBERS)
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)
        assert (weights >= 0).all(axis=None)
    assert combined(panel, weights="median").weights_.isna().all(axis=None)


@pytest.mark.parametrize("metric", ["mae", "mse"])
def test_simplex_weights_are_the_best_of_a_grid(metric: str) -> None:
    """No point of a fine grid on the simplex is better."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 3))
    y = values @ [0.7, 0.3, 0.0] - 0.2 * values[:, 2] + generator.standard_t(3, size=200)
    power = 1 if metric == "mae" else 2

    def error(weights: Any) -> float:
        return float(np.mean(np.abs(y - values @ np.asarray(weights)) ** power))

    grid = [(a / 50, b / 50, (50 - a - b) / 50) for a in range(51) for b in range(51 - a)]
    assert error(simplex_weights(y, values, metric)) <= min(map(error, grid)) * (1 + 1e-4)


def test_simplex_weights_find_the_truth_and_corners() -> None:
    """Exact mixtures are recovered; a perfect member gets everything."""
    values = np.random.default_rng(1).normal(size=(100, 4))
    for truth in ([0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0]):
        for metric in ("mae", "mse"):
            np.testing.assert_allclose(simplex_weights(values @ truth, values, metric), truth, atol=1e-3)


def test_validated_weights_minimise_the_past_error() -> None:
    """By hand: members fitted before the windows, their errors over Q, weights of the best mixture."""
    panel = sample()
    model = combined(panel, weights="validated", n_windows=3, horizon=4)
    first = panel.lengths - 12
    history = panel.head(first)
    series = np.repeat([0, 1], 3)
    rows = (panel.starts + first)[series] + np.tile([0, 4, 8], 2)
    alone = [clone(one).set_params(season_length=4).fit_panel(history) for one in MEMBERS.values()]
    values = np.stack([rolled(one, panel, series, rows, 4).mean for one in alone], axis=-1)
    scale = [np.nanmean(np.abs(y[4:] - y[:-4])) for y in (history.target[history.rows(i)] for i in (0, 1))]
    q = np.array(scale)[series][:, None]
    actual = panel.target[rows[:, None] + np.arange(4)] / q
    values = values / q[..., None]
    known = ~np.isnan(actual)
    np.testing.assert_allclose(model.shares_[0], simplex_weights(actual[known], values[known]), atol=1e-9)
    assert model.shares_[0, 1] > 0.5  # the series are seasonal


def test_shrinkage_lies_between_own_and_global_weights() -> None:
    """0: own weights; 1: the global ones; ½: the mean of both."""
    panel = sample()
    own, half, whole = (
        combined(panel, weights="validated", selection="series", shrinkage=share).shares_ for share in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(whole, combined(panel, weights="validated").shares_)
    np.testing.assert_allclose(half, (own + whole) / 2)


def test_members_are_refitted_unless_told_otherwise() -> None:
    """With refit their fit ends with the data, else before the windows."""
    panel = sample()
    for refit, rows in ((True, 72), (False, 60)):
        model = combined(panel, weights="validated", n_windows=3, horizon=4, refit=refit)
        assert model.members_["naive"].panel_.lengths[0] == rows
        assert np.isfinite(rolled(model, panel, [0, 1], panel.ends, 5, LEVELS).mean).all()


def test_a_short_history_gets_equal_weights_and_a_note() -> None:
    """There is nothing to validate on."""
    model = CombinedForecaster(models=[("a", NaiveForecaster()), ("b", DriftForecaster())], weights="validated")
    model.fit(pd.Series([1.0, 2.0, 4.0]))
    assert "Weights are equal" in model.notes_[0]
    np.testing.assert_allclose(model.shares_, 0.5)


@pytest.mark.parametrize(("rows", "horizon", "windows"), [(28, 8, 3), (20, 12, 1), (60, 12, 3), (200, 12, 3)])
def test_members_keep_most_of_the_rows(rows: int, horizon: int, windows: int) -> None:
    """Windows shrink to the last 40 % of a short history; where they do, a note says so."""
    y = pd.Series(np.random.default_rng(0).normal(size=rows))
    model = CombinedForecaster(models=MEMBERS, weights="validated", horizon=horizon, refit=False, season_length=4).fit(
        y
    )
    assert model.members_["naive"].panel_.lengths[0] >= 0.6 * rows
    assert not np.allclose(model.shares_, 0.25)
    said = [note for note in model.notes_ if f"validated on {windows} windows" in note]
    assert len(said) == (3 * horizon > 0.4 * rows)


def test_short_series_of_a_panel_take_the_weights_of_the_others() -> None:
    """They have no window of their own, and are fitted to all their rows."""
    generator = np.random.default_rng(1)
    frame = pd.DataFrame({"a": generator.normal(size=60), "b": np.append([np.nan] * 52, generator.normal(size=8))})
    model = CombinedForecaster(models=MEMBERS, weights="validated", selection="series", season_length=4, refit=False)
    model.fit(frame)
    assert "1 series are too short to validate on" in model.notes_[-1]
    assert model.members_["naive"].panel_.lengths.tolist() == [48, 8]
    np.testing.assert_allclose(model.shares_[1], model.shares_[0])


def test_it_is_an_estimator_like_the_others() -> None:
    """Cloned, backtested, and made of its own content again."""
    panel = sample()
    model = combined(panel, weights="validated")
    assert clone(model).get_params()["weights"] == "validated"
    frame = pd.Series(sample().target[:72])
    table = clone(model).backtest(frame, 4, 3, level=80, baselines=None).metrics()
    assert np.isfinite(table.to_numpy()).all()
    again = CombinedForecaster.from_content(model.to_content())
    np.testing.assert_array_equal(
        rolled(again, panel, [0, 1], panel.ends, 3).mean, rolled(model, panel, [0, 1], panel.ends, 3).mean
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"models": {}}, "models must be a dict or a list"),
        ({"models": [("a", 3)]}, "is no forecaster"),
        ({"models": [("a", NaiveForecaster()), ("a", NaiveForecaster())]}, "named twice"),
        ({"models": MEMBERS, "weights": "best"}, "weights must be one of"),
        ({"models": MEMBERS, "shrinkage": 2.0}, "shrinkage must be"),
        ({"models": MEMBERS, "weights": "validated", "n_windows": 0}, "n_windows must be"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    """With what was received and what is expected."""
    with pytest.raises(ValueError, match=message):
        CombinedForecaster(**parameters).fit(pd.Series(np.arange(30.0)))
