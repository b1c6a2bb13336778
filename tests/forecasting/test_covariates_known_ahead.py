"""Covariates known ahead in the closed forms: exact delays, least squares by hand, statsmodels, and the gas furnace."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.tsa.ar_model import AutoReg

from seqdyn.forecasting.combination import CombinedForecaster
from seqdyn.forecasting.naive import NaiveForecaster, SeasonalNaiveForecaster
from seqdyn.forecasting.ridge import RidgeForecaster
from seqdyn.forecasting.statistical import AutoRegForecaster, ExponentialSmoothingForecaster
from tests.forecasting.test_baselines import _read

Array = np.ndarray[Any, Any]

MODELS = {
    "ridge": RidgeForecaster(future=["u"]),
    "not centred": RidgeForecaster(future=["u"], centred=False),
    "direct": RidgeForecaster(future=["u"], strategy="direct", horizon=7),
    "differenced": RidgeForecaster(future=["u"], difference=1),
    "differenced direct": RidgeForecaster(future=["u"], difference=1, strategy="direct", horizon=7),
    "pooled": RidgeForecaster(future=["u"], pooled=True),
    "auto": RidgeForecaster(future=["u"], penalty="auto", input_lags="auto", horizon=6),
    "auto regression": AutoRegForecaster(future=["u"]),
}


def inputs(rows: int, seed: int = 0) -> Array:
    """White noise."""
    return np.random.default_rng(seed).normal(size=rows)


@pytest.mark.parametrize("delay", [0, 1, 4])
@pytest.mark.parametrize("name", list(MODELS))
def test_a_pure_delay_is_exact(name: str, delay: int) -> None:
    """y_t = 3 + 2 u_{t−d}: the error is 0, at all 20 steps; one step late it would be as large as y."""
    u = inputs(240)
    y = 3 + 2 * np.concatenate([np.zeros(delay), u[: 240 - delay]])
    frame = pd.DataFrame({"y": y, "u": u})
    found = MODELS[name].fit(frame[:200]).forecast(20, frame[["u"]][200:220])
    np.testing.assert_allclose(found.to_numpy().ravel(), y[200:220], atol=2e-6)


@pytest.mark.parametrize("name", list(MODELS))
def test_what_follows_from_an_input_is_found_through_noise(name: str) -> None:
    """y = 5 u + noise of 0.1: an error of the size of the noise."""
    u = inputs(300)
    y = 5 * u + 0.1 * inputs(300, 1)
    frame = pd.DataFrame({"y": y, "u": u})
    found = MODELS[name].fit(frame[:290]).forecast(10, frame[["u"]][290:])
    assert np.abs(found.to_numpy().ravel() - y[290:]).mean() < 0.15


def test_ridge_with_inputs_is_a_regression_by_hand() -> None:
    """The columns are the lags, the last q + 1 inputs and 1; only the lags are penalised. Rolled out step by step."""
    u, e = inputs(80), inputs(80, 1)
    y = np.zeros(80)
    for t in range(2, 80):
        y[t] = 0.5 * y[t - 1] + u[t] - 0.4 * u[t - 2] + e[t]
    p, q = 3, 2
    rows = np.array([[*y[t - p : t], *u[t - q : t + 1], 1.0] for t in range(p, 70)])
    for penalty in (5.0, 0.0):
        diagonal = np.diag([penalty] * p + [1e-6] * (q + 2))
        w = np.linalg.solve(rows.T @ rows + diagonal, rows.T @ y[p:70])
        path = list(y[:70])
        for t in range(70, 80):
            path.append(float(np.array([*path[t - p : t], *u[t - q : t + 1], 1.0]) @ w))
        parameters = {"lags": p, "input_lags": q, "penalty": penalty, "centred": False, "log": False, "scale": None}
        frame = pd.DataFrame({"y": y, "u": u})
        model = RidgeForecaster(future=["u"], season_length=1, **parameters).fit(frame[:70])
        found = model.forecast(10, frame[["u"]][70:])
        np.testing.assert_allclose(found.to_numpy().ravel(), path[70:], rtol=1e-5)


def test_direct_steps_use_no_input_after_them() -> None:
    """A shorter horizon is a prefix, and step k is a least squares of its own on u up to t + k."""
    u = inputs(90)
    y = np.convolve(u, [1.0, 0.5, 0.2])[:90] + 0.3 * inputs(90, 1)
    frame = pd.DataFrame({"y": y, "u": u})
    parameters = {"lags": 2, "input_lags": 1, "penalty": 0.0, "centred": False, "log": False, "season_length": 1}
    model = RidgeForecaster(future=["u"], strategy="direct", horizon=4, **parameters).fit(frame[:80])
    found = model.forecast(4, frame[["u"]][80:84]).to_numpy().ravel()
    np.testing.assert_array_equal(model.forecast(2, frame[["u"]][80:82]).to_numpy().ravel(), found[:2])
    for k in range(4):
        rows = np.array([[y[t - 2], y[t - 1], u[t + k - 1], u[t + k], 1.0] for t in range(2, 80 - k)])
        w = np.linalg.lstsq(rows, y[2 + k : 80], rcond=None)[0]
        expected = np.array([y[78], y[79], u[80 + k - 1], u[80 + k], 1.0]) @ w
        np.testing.assert_allclose(found[k], expected, rtol=1e-5)


def test_auto_regression_with_inputs_is_statsmodels() -> None:
    """AutoReg with exog = (u_t, u_{t−1}): forecasts and intervals."""
    u = inputs(130)
    y = np.zeros(130)
    for t in range(1, 130):
        y[t] = 0.6 * y[t - 1] + u[t] + 0.5 * u[t - 1]
    y += 0.2 * inputs(130, 1)
    frame = pd.DataFrame({"y": y, "u": u})
    model = AutoRegForecaster(future=["u"], lags=2, input_lags=1, log=False, season_length=1)
    found = model.fit(frame[:120]).forecast(10, frame[["u"]][120:], level=80)["y"]
    exog = np.column_stack([u, np.append(0.0, u[:-1])])  # the first row is no target
    peer = AutoReg(y[:120], lags=2, trend="c", exog=exog[:120]).fit()
    np.testing.assert_allclose(found["mean"], peer.forecast(10, exog=exog[120:]), rtol=1e-6, atol=1e-6)
    bounds = peer.get_prediction(120, 129, exog_oos=exog[120:]).conf_int(alpha=0.2)
    np.testing.assert_allclose(found[["0.1", "0.9"]].to_numpy(), np.asarray(bounds), rtol=1e-5, atol=1e-5)


def test_every_series_has_its_own_inputs_and_response() -> None:
    """In a long frame, in gaps of the target too, and the same alone."""
    frames = []
    for number, name in enumerate("ab"):
        u = inputs(150, number)
        y = (2.0, -3.0)[number] * u
        frames.append(pd.DataFrame({"unique_id": name, "ds": np.arange(150), "y": y, "u": u}))
    frame = pd.concat(frames, ignore_index=True)
    known = frame[frame["ds"] < 140].copy()
    known.loc[known["ds"].isin([50, 51, 139]), "y"] = np.nan
    ahead = frame[frame["ds"] >= 140]
    model = RidgeForecaster(future=["u"]).fit(known)
    found = model.forecast(10, ahead[["unique_id", "ds", "u"]])
    np.testing.assert_allclose(found["mean"], ahead["y"], atol=2e-6)
    alone = RidgeForecaster(future=["u"]).fit(known[known["unique_id"] == "b"])
    np.testing.assert_allclose(
        alone.forecast(10, ahead[ahead["unique_id"] == "b"])["mean"], found["mean"][10:], atol=1e-9
    )


def test_an_input_far_outside_its_history_moves_the_forecast() -> None:
    """The bounds of a runaway are wider by as much as the input leaves its deviation."""
    u = np.append(inputs(200), [30.0, -40.0])
    frame = pd.DataFrame({"y": 5 * u, "u": u})
    model = RidgeForecaster(future=["u"], log=False).fit(frame[:200])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the history never was so high is said
        found = model.forecast(2, frame[["u"]][200:])
    np.testing.assert_allclose(found.to_numpy().ravel(), [150.0, -200.0], rtol=1e-5)
    assert model.clipped_ == 0


def test_the_gas_furnace() -> None:
    """RMSE at 1, 6 and 12 steps with the input known; least squares on four lags of both gives 1.47 at 12 steps."""
    gas = _read("gasrate_co2.csv").iloc[:, -2:].set_axis(["u", "y"], axis=1)
    models = (
        (AutoRegForecaster(future=["u"], lags=4, input_lags=4, log=False), (0.361, 0.985, 1.473)),
        (AutoRegForecaster(future=["u"]), (0.378, 0.942, 1.443)),
        (RidgeForecaster(future=["u"], penalty="auto", horizon=12), (0.421, 0.986, 1.479)),
    )
    for model, known in models:
        table = model.fit(gas[:200]).backtest(gas, 12, 85, 1, baselines=None).metrics("step")
        np.testing.assert_allclose(table["RMSE"].to_numpy()[[0, 5, 11]], known, atol=2e-3)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (NaiveForecaster(future=["u"]), "NaiveForecaster does not use the covariates 'u': RidgeForecaster, AutoReg"),
        (SeasonalNaiveForecaster(future=["u"], season_length=4), "SeasonalNaiveForecaster does not use"),
        (ExponentialSmoothingForecaster(future=["u"]), "ExponentialSmoothingForecaster does not use"),
        (
            RidgeForecaster(past=["u"]),
            "RidgeForecaster does not use the covariates 'u': Forecaster uses",
        ),
        (CombinedForecaster(models={"a": NaiveForecaster()}, future=["u"]), "CombinedForecaster does not use"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_covariates_that_are_not_used_are_named(model: Any, named: str) -> None:
    """One warning at fit, with the columns and who uses them."""
    frame = pd.DataFrame({"y": inputs(40), "u": inputs(40, 1)})
    with pytest.warns(UserWarning, match=named) as said:
        model.fit(frame)
    assert len(said) == 1


def test_who_uses_covariates_says_nothing() -> None:
    """Warnings are errors here."""
    frame = pd.DataFrame({"y": inputs(60), "u": inputs(60, 1)})
    members = {"naive": NaiveForecaster(), "ridge": RidgeForecaster()}
    for model in (RidgeForecaster(future=["u"]), CombinedForecaster(models=members, future=["u"])):
        model.fit(frame)


def test_wrong_input_lags_are_refused() -> None:
    """Negative numbers and other words."""
    frame = pd.DataFrame({"y": inputs(40), "u": inputs(40, 1)})
    for model in (RidgeForecaster(future=["u"], input_lags=-1), AutoRegForecaster(future=["u"], input_lags="all")):
        with pytest.raises(ValueError, match="input_lags must be"):
            model.fit(frame)
