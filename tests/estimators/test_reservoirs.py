"""Reservoirs: the ridge regression against its definition, free runs against the truth, and what estimators owe."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import seqdyn
from seqdyn import Autoregression
from seqdyn.cells.delay_polynomial import DelayPolynomial
from seqdyn.cells.echo_state import EchoState
from seqdyn.composition import Readout
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.estimators.echo_state import EchoStateRegressor
from seqdyn.estimators.next_generation import NextGenerationReservoirRegressor
from seqdyn.estimators.ridge import Triangle
from seqdyn.loops import rollout, scan
from seqdyn.systems.henon import Henon
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.simulate import simulate
from tests.estimators.models import close, panel, ragged, table

Array = np.ndarray[Any, Any]

SMALL: dict[str, Callable[..., Any]] = {
    "echo state": lambda **changes: EchoStateRegressor(**{"hidden_size": 30, "random_state": 0} | changes),
    "next generation": lambda **changes: NextGenerationReservoirRegressor(**{"max_features": 40} | changes),
}
KINDS = pytest.mark.parametrize("kind", SMALL)


@cache
def lorenz(steps: int = 3000) -> Array:
    """The Lorenz system at dt = 0.02, on its attractor."""
    return simulate(Lorenz(dt=0.02).double(), steps, discard=500)[0].numpy()


# --- the regression ------------------------------------------------------------------------------------------------


def regression(rows: int = 60, features: int = 5) -> tuple[Array, Array, Array]:
    """Features far from their mean and of unlike size, two targets, weights of which some are 0."""
    generator = np.random.default_rng(0)
    F = generator.normal(size=(rows, features)) * 10.0 ** np.arange(features) + 100
    Y = F[:, :2] @ generator.normal(size=(2, 2)) + generator.normal(size=(rows, 2))
    return F, Y, generator.integers(0, 3, size=rows).astype(float)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 1.0])
def test_the_triangle_solves_the_ridge(ridge: float) -> None:
    """It is scikit-learn's ridge on standardised features, at α = ρ Σ w."""
    F, Y, w = regression()
    mean = np.average(F, axis=0, weights=w)
    deviation = np.sqrt(np.average((F - mean) ** 2, axis=0, weights=w))
    peer = Ridge(alpha=ridge * w.sum(), solver="svd").fit((F - mean) / deviation, Y, sample_weight=w)
    weight, bias = Triangle.of(F, Y, w).solved([ridge])[0]
    close(weight, peer.coef_.T / deviation[:, None], 1e-10)
    close(F @ weight + bias, peer.predict((F - mean) / deviation), 1e-10)


def test_the_triangle_tells_the_error_and_joins() -> None:
    """On other rows than it was solved from; two parts are the whole."""
    F, Y, w = regression()
    one, other = (Triangle.of(F[part], Y[part], w[part]) for part in (slice(25), slice(25, None)))
    solution = one.solved([0.1])[0]
    residuals = Y[25:] - F[25:] @ solution.weight - solution.bias
    assert other.error(solution) == pytest.approx((w[25:, None] * residuals**2).sum() / (2 * w[25:].sum()), rel=1e-10)
    close(one.joined(other).solved([0.1])[0].weight, Triangle.of(F, Y, w).solved([0.1])[0].weight, 1e-11)


def test_nothing_is_lost_to_squaring() -> None:
    """Two features that differ by 1e-9: their difference is found, which the normal equations in float64 cannot see."""
    generator = np.random.default_rng(1)
    a, difference = generator.normal(size=(2, 200))
    F = np.column_stack([a, a + 1e-9 * difference])
    weight, _ = Triangle.of(F, difference[:, None], np.ones(200)).solved([0.0])[0]
    found = F @ weight
    assert np.abs(found[:, 0] - difference).max() < 1e-5
    standard = (F - F.mean(0)) / F.std(0)
    assert np.linalg.matrix_rank(standard.T @ standard) == 1  # the peer that squares is blind


def test_a_constant_feature_says_nothing() -> None:
    """It is left out, and the rest is as without it."""
    F, Y, w = regression()
    weight, bias = Triangle.of(np.column_stack([F, np.full(60, 7.3)]), Y, w).solved([1e-6])[0]
    expected = Triangle.of(F, Y, w).solved([1e-6])[0]
    assert (weight[-1] == 0).all()
    close(weight[:-1], expected.weight, 1e-10)
    close(bias, expected.bias, 1e-8)


# --- the cells -----------------------------------------------------------------------------------------------------


def test_the_echo_state_is_its_equation() -> None:
    """One step by hand, with a leak; the radius, the density and the scale of the input are what was asked for."""
    cell = EchoState(3, 400, leak=0.3, spectral_radius=0.7, input_scale=0.5, connections=8)
    W, x, h = cell.recurrent_matrix(), torch.randn(2, 3), torch.rand(2, 400)
    output, after = cell(x, cell.initial_state(2)._replace(h=h))
    expected = 0.7 * h + 0.3 * torch.tanh(x @ cell.input_weight.T + h @ W.T + cell.bias)
    close(after.h, expected, 1e-6)
    close(output, torch.cat([x, expected, expected[:, ::2] ** 2], 1), 1e-6)
    assert torch.linalg.eigvals(W.double()).abs().max() == pytest.approx(0.7, rel=1e-5)
    assert (W != 0).sum(1).eq(8).all()
    assert (cell.input_weight @ torch.randn(3, 5000)).std() == pytest.approx(0.5, rel=0.1)


def test_without_a_gradient_the_reservoir_is_the_same() -> None:
    """The fused product equals the written one."""
    cell, x = EchoState(2, 50).double(), torch.randn(3, 40, 2, dtype=torch.float64)
    with torch.no_grad():
        fused = scan(cell, x).output
    close(fused, scan(cell, x).output.detach(), 1e-13)


@pytest.mark.parametrize("cell", [EchoState(2, 9), DelayPolynomial(2, delays=3, degree=2)], ids=["echo", "delays"])
def test_kernels_and_closed_forms_are_there(cell: Any) -> None:
    """Were they missing, the laws about them would pass unseen."""
    x, before = torch.randn(3, 5, 2), cell.initial_state(3)
    assert cell.unroll(x, before) is not NotImplemented
    output, after = cell(x[:, 0], before)
    shapes = [tuple(part.shape) for part in cell.block(x[:, 0], before, output, after)]
    n = before[0][0].numel()
    assert shapes == [(3, cell.output_size, 2), (3, cell.output_size, n), (3, n, 2), (3, n, n)]


@pytest.mark.parametrize(("delays", "stride", "degree"), [(1, 1, 3), (3, 2, 3), (4, 1, 1)])
def test_the_polynomial_has_all_products(delays: int, stride: int, degree: int) -> None:
    """The same numbers as scikit-learn's PolynomialFeatures of the delay line."""
    x = np.random.default_rng(0).normal(size=(20, 2))
    lagged = [np.vstack([np.zeros((lag * stride, 2)), x[: len(x) - lag * stride]]) for lag in range(delays)]
    expected = PolynomialFeatures(degree, include_bias=False).fit_transform(np.hstack(lagged))
    found = scan(DelayPolynomial(2, delays=delays, stride=stride, degree=degree).double(), torch.as_tensor(x)[None])
    close(np.sort(found.output[0].numpy(), axis=1), np.sort(expected, axis=1), 1e-12)
    close(found.output[0, :, : expected.shape[1]].numpy(), expected, 1e-12)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EchoState(3, 4, leak=0.0), r"leak must lie in \(0, 1\], got 0.0"),
        (lambda: EchoState(3, 4, spectral_radius=-1.0), "spectral_radius must be a number of at least 0, got -1.0"),
        (lambda: EchoState(3, 4, input_scale=float("inf")), "input_scale must be a number of at least 0, got inf"),
        (lambda: EchoState(3, 0), "hidden_size must be an int of at least 1, got 0"),
        (lambda: EchoState(3, 4, connections=0), "connections must be an int of at least 1"),
        (lambda: DelayPolynomial(3, degree=0), "degree must be an int of at least 1, got 0"),
        (lambda: DelayPolynomial(3, stride=1.5), "stride must be an int of at least 1, got 1.5"),
    ],
)
def test_bad_cells(make: Callable[[], Any], text: str) -> None:
    """What is out of range is named."""
    with pytest.raises(ValueError, match=text):
        make()


# --- what is solved for --------------------------------------------------------------------------------------------


def test_a_known_polynomial_is_found() -> None:
    """The Hénon map from one of its coordinates: x_{t+1} = 1 − a x_t² + b x_{t-1}, its coefficients to 1e-8."""
    x = simulate(Henon().double(), 400, discard=50)[0, :, :1].numpy()
    model = NextGenerationReservoirRegressor(delays=2, stride=1, degree=2, ridge=0.0, scale=False)
    model.fit(x[:-1], x[1:])
    weight = model.cell_.affine.weight[0].detach().numpy()  # of x_t, x_{t-1}, x_t², x_t x_{t-1}, x_{t-1}²
    np.testing.assert_allclose(weight, [0, 0.3, -1.4, 0, 0], atol=1e-8)
    assert model.cell_.affine.bias.item() == pytest.approx(1.0, abs=1e-8)
    assert (model.ridge_, model.delays_, model.degree_) == (0.0, 2, 2) and model.feeds_back_ and not model.validation_


def test_the_readout_is_the_ridge_of_the_change() -> None:
    """V solves the regression of y_t − y_{t-1} on the features, after the warm-up; the last value is added."""
    data = lorenz(600)
    model = EchoStateRegressor(hidden_size=20, spectral_radius=0.5, ridge=1e-4, warmup=50, random_state=1)
    model.fit(data[:-1], data[1:])
    scaled = (data - data[:-1].mean(0)) / data[:-1].std(0)
    with torch.no_grad():
        features = scan(model.cell_.cell, torch.as_tensor(scaled[None, :-1])).output[0, 50:].numpy()
    peer = make_pipeline(StandardScaler(), Ridge(alpha=1e-4 * len(features), solver="svd"))
    change = peer.fit(features, np.diff(scaled, axis=0)[50:]).predict(features)
    expected = (scaled[50:-1] + change) * data[:-1].std(0) + data[:-1].mean(0)
    close(model.predict(data[:-1])[50:], expected, 1e-9)


@KINDS
@pytest.mark.parametrize("own", [None, Autoregression(targets=3)], ids=["found out", "told"])
def test_two_halves_are_the_whole(kind: str, own: Any) -> None:
    """``partial_fit`` twice is a fit to both: the same weights to 1e-9, for a fixed ridge and scaling."""
    data = lorenz(1500)
    X, y = [data[:800], data[800:-1]], [data[1:801], data[801:]]
    fixed = {"spectral_radius": 0.5} if kind == "echo state" else {"delays": 2, "stride": 1, "degree": 2}
    model = SMALL[kind](ridge=1e-6, scale=False, autoregression=own, warmup=20, **fixed)
    data_scaled = [[part / data.std(0) for part in parts] for parts in (X, y)]
    X, y = data_scaled
    whole = clone(model).fit(X, y)
    halves = model.partial_fit(X[0], y[0]).partial_fit(X[1], y[1])
    for one, other in zip(halves.cell_.parameters(), whole.cell_.parameters(), strict=True):
        close(one.detach(), other.detach(), 1e-9)
    close(halves.predict(X[1]), whole.predict(X)[1], 1e-9)
    for one, other in zip(seqdyn.state.leaves(halves.state_), seqdyn.state.leaves(whole.state_), strict=True):
        close(one, other[1:], 1e-9)


@KINDS
@pytest.mark.parametrize(("inputs", "outputs"), [("f4", "f8"), ("f8", "f4"), ("f4", "f4")])
def test_what_is_fed_back_is_found_out_in_the_coarser_precision(kind: str, inputs: str, outputs: str) -> None:
    """Rounded to float32 a value is still the same; what differs by more than that is another one."""
    data = lorenz(700)
    X, y = data[:-1].astype(inputs), data[1:].astype(outputs)
    model = SMALL[kind](ridge=1e-3).fit(X, y)
    assert model.feeds_back_
    close(model.predict(data[:-1]), SMALL[kind](ridge=1e-3).fit(data[:-1], data[1:]).predict(data[:-1]), 1e-3)
    y[200] += np.asarray(1e-5 * np.abs(y[200]), dtype=outputs)
    assert not SMALL[kind](ridge=1e-3).fit(X, y).feeds_back_


@KINDS
def test_what_is_fed_back_is_found_out(kind: str) -> None:
    """y one step after X, also with other inputs beside and targets missing; told and found out are the same model."""
    data = lorenz(700)
    X, y = np.column_stack([data[:-1], np.arange(699.0)]), data[1:].copy()
    assert SMALL[kind](ridge=1e-3).fit(X, y).feeds_back_
    y[[3, 100]] = np.nan
    found, told = (SMALL[kind](autoregression=own).fit(X, y) for own in (None, Autoregression(targets=3)))
    assert found.feeds_back_ and found.ridge_ == told.ridge_
    close(told.predict(X), found.predict(X), 1e-9)
    y[200] += 1e-9
    assert not SMALL[kind](ridge=1e-3).fit(X, y).feeds_back_


def test_the_free_run_chooses_where_the_error_of_one_step_misleads() -> None:
    """Two near delays: the ridge with the best fit leaves the data within a few steps, the chosen one stays."""
    data = lorenz(2500)
    model = NextGenerationReservoirRegressor(delays=2, stride=1, degree=2, autoregression=Autoregression(targets=3))
    chosen = clone(model).fit(data[:1999], data[1:2000])
    weakest = model.set_params(ridge=1e-18).fit(data[:1999], data[1:2000])
    one_step = [((m.predict(data[:1999])[10:] - data[11:2000]) ** 2).mean() for m in (weakest, chosen)]
    assert one_step[0] <= one_step[1] and chosen.ridge_ > 1e-12
    starts = np.stack([data[start : start + 150] for start in range(2000, 2300, 30)])
    seen = starts.copy()
    seen[:, 10:] = np.nan
    bound = 2 * np.abs(data).max()
    assert np.abs(chosen.predict(seen)).max() < bound
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        assert np.abs(weakest.predict(seen)).max() < bound


@KINDS
def test_without_feedback_the_held_out_error_chooses(kind: str) -> None:
    """Noise on a linear target: of the ridges that were tried none predicts the held-out rows better."""
    X, y = table(200)
    model = SMALL[kind]().fit(X, y)
    shown = pd.DataFrame(model.validation_)
    best = shown.loc[shown.error.idxmin()]
    assert not model.feeds_back_ and best.ridge == model.ridge_ and model.ridge_ > 1e-6
    assert all(best[name] == getattr(model, f"{name}_") for name in model._tuned)
    assert model.score(*table(200, seed=7)) > 0.9


def test_one_seed_is_one_network() -> None:
    """The same random_state draws the same reservoir, another draws another; torch's global generator is left alone."""
    X, y = table(60)
    before = torch.get_rng_state()
    one, same, other = (SMALL["echo state"](random_state=seed).fit(X, y).predict(X) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-6
    assert torch.equal(torch.get_rng_state(), before)


# --- free runs -----------------------------------------------------------------------------------------------------


@KINDS
def test_all_ways_of_running_free_are_one(kind: str) -> None:
    """A stream's forecast, rows of NaN, and a rollout of the cell from many states at once."""
    data = lorenz(1200)
    X, y = data[:999], data[1:1000]
    model = SMALL[kind]().fit(X, y)
    stream = model.stream(model.state_)
    expected = np.vstack([stream.push(data[999]), stream.forecast(39)])
    told = SMALL[kind](autoregression=Autoregression(targets=3)).fit(X, y)
    gap = np.vstack([data[999], np.full((39, 3), np.nan)])
    close(told.predict(gap, initial_state=told.state_), expected, 1e-6)
    seen = np.stack([data[start : start + 100] for start in (0, 500)])
    _, state = model.predict(seen[:, :-1], return_state=True)
    last = torch.as_tensor(model.input_scaling_.apply(seen[:, -1]))
    with torch.no_grad():
        found = rollout(model.cell_, state, 20, last=last, feed=lambda y, _: y).output
    for row in range(2):
        stream = model.stream()
        for step in seen[row]:
            answer = stream.push(step)
        alone = np.vstack([answer, stream.forecast(19)])
        close(model.target_scaling_.invert(found[row].numpy()), alone, 1e-6)


def test_the_echo_state_forecasts_lorenz() -> None:
    """100 units on 2,000 rows: 20 free runs stay within 0.4 σ for at least 3 Lyapunov times in the median."""
    data = lorenz()
    model = EchoStateRegressor(hidden_size=100, autoregression=Autoregression(targets=3), random_state=0)
    model.fit(data[:1999], data[1:2000])
    runs = np.stack([data[start : start + 600] for start in range(2000, 2400, 20)])
    seen = runs.copy()
    seen[:, 101:] = np.nan
    errors = np.sqrt((((model.predict(seen)[:, 100:-1] - runs[:, 101:]) / data.std(0)) ** 2).mean(2))
    lost = np.where((errors > 0.4).any(1), (errors > 0.4).argmax(1), errors.shape[1])
    assert np.median(lost) * 0.02 * 0.9056 > 3


def test_the_exponents_of_the_trained_model_are_those_of_the_flow() -> None:
    """The closed loop of the cell, in network units: 0.906, 0 and −14.57 of the Lorenz system."""
    data = lorenz()
    model = NextGenerationReservoirRegressor(delays=1, degree=6).fit(data[:-1], data[1:])
    last = torch.as_tensor(model.input_scaling_.apply(data[-1:]))
    found = lyapunov_spectrum(model.cell_, steps=4000, last=last, dt=0.02, k_adjoint=0)
    np.testing.assert_allclose(found.exponents[:2], [0.906, 0.0], atol=0.05)
    assert float(found.exponents[2]) == pytest.approx(-14.57, abs=0.1)


# --- what estimators owe -------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("container", ["panel", "ragged"])
def test_sequences_and_streams(kind: str, container: str, tmp_path: Path) -> None:
    """Each series alone, row by row, from ``state_`` on, and after a file."""
    X, y = panel(steps=30) if container == "panel" else ragged((40, 12, 33))
    model = SMALL[kind](warmup=2).fit(X, y)
    model.save(tmp_path / "model.safetensors")
    twin = seqdyn.load(tmp_path / "model.safetensors")
    predicted = model.predict(X)
    for series, expected in zip(X, predicted, strict=True):
        close(model.predict(series), expected, 1e-12)
        np.testing.assert_array_equal(twin.predict(series), model.predict(series))
        stream = twin.stream()
        close([stream.push(row) for row in series], expected, 1e-12)
    close(twin.partial_fit(X, y).predict(X[0]), model.partial_fit(X, y).predict(X[0]), 1e-12)
    half = [part[:6] for part in X]
    _, state = model.predict(half, return_state=True)
    rest = model.predict([part[6:] for part in X], initial_state=state)
    for found, whole in zip(rest, model.predict([*X]), strict=True):
        close(found, whole[6:], 1e-12)


@KINDS
def test_weights_and_missing_targets(kind: str) -> None:
    """A step of weight 0 or with an unknown target carries none; what counts twice is there twice."""
    X, y = table(80)
    nothing, weight = y.copy(), np.ones(80)
    nothing[[30, 50]], weight[[30, 50]] = np.nan, 0.0
    one, other = SMALL[kind](ridge=1e-3).fit(X, nothing), SMALL[kind](ridge=1e-3).fit(X, y, sample_weight=weight)
    close(one.predict(X), other.predict(X), 1e-9)
    parts, targets = panel(series=2, steps=40)
    fixed = {"ridge": 1e-3, "scale": False} | ({} if kind == "echo state" else {"degree": 2})
    twice = SMALL[kind](**fixed).fit(parts[[0, 1, 1]], targets[[0, 1, 1]])
    heavy = SMALL[kind](**fixed).fit(parts, targets, sample_weight=np.array([1.0, 2.0]))
    close(heavy.predict(parts), twice.predict(parts), 1e-9)


@KINDS
def test_targets_in_the_warmup_and_frames(kind: str) -> None:
    """Whatever stands in the warm-up; pandas in, pandas out; cross-validation in time."""
    X, y = table(60)
    changed = y.copy()
    changed[:6] = 1e6
    plain, other = (SMALL[kind](warmup=6).fit(X, target) for target in (y, changed))
    close(other.predict(X), plain.predict(X), 1e-9)
    frame = pd.DataFrame(X, columns=["a", "b"], index=pd.date_range("2024-01-01", periods=60, freq="D"))
    found = SMALL[kind](warmup=6).set_predict_output("pandas").fit(frame, pd.Series(y, frame.index)).predict(frame)
    close(found.to_numpy(), plain.predict(X), 1e-12)
    split = TimeSeriesSplit(2)
    scores = cross_val_score(SMALL[kind](), X, y, cv=split, error_score="raise")
    np.testing.assert_array_equal(scores, [SMALL[kind]().fit(X[a], y[a]).score(X[b], y[b]) for a, b in split.split(X)])


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        ("echo state", {"ridge": -1.0}, "ridge must be one of 'auto'|ridge must be 'auto'"),
        ("echo state", {"leak": 0}, r"leak must be a number in \(0, 1\], got 0"),
        ("echo state", {"spectral_radius": "big"}, "spectral_radius must be .*'auto'"),
        ("echo state", {"autoregression": Autoregression(lags=2)}, "Autoregression of one lag and one step"),
        ("next generation", {"degree": 0}, "degree must be 'auto' or an int of at least 1, got 0"),
        ("next generation", {"validation_fraction": 1.0}, r"validation_fraction must be a number in \(0, 1\)"),
    ],
)
def test_bad_parameters(kind: str, changes: dict[str, Any], text: str) -> None:
    """Each is named with what it may be."""
    X, y = table(30)
    with pytest.raises(ValueError, match=text):
        SMALL[kind](**changes).fit(X, y)


@KINDS
def test_bad_data_and_later_data(kind: str) -> None:
    """Too few rows; other widths in ``partial_fit``, which leaves the model as it was; a parameter that was changed."""
    X, y = table(60)
    with pytest.raises(ValueError, match="at least 2 are needed"):
        SMALL[kind](warmup=59).fit(X, y)
    model = SMALL[kind]().fit(X, y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="y has 2 outputs, but the fit so far was of 1"):
        model.partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="3 features"):
        model.partial_fit(np.column_stack([X, y]), y)
    np.testing.assert_array_equal(model.predict(X), before)
    model.ridge = 0.5
    with pytest.raises(ValueError, match="ridge was 'auto' in fit and is 0.5 now"):
        model.partial_fit(X, y)


def test_a_file_of_the_cells(tmp_path: Path) -> None:
    """Saved and read back, with and without a readout."""
    x = torch.randn(1, 12, 2)
    for number, cell in enumerate(
        [EchoState(2, 9), EchoState(2, 9, 3, leak=0.5), DelayPolynomial(2, 1, 3), Readout(DelayPolynomial(2), 2)]
    ):
        seqdyn.files.save(tmp_path / f"{number}.safetensors", cell)
        twin = seqdyn.load(tmp_path / f"{number}.safetensors")
        assert torch.equal(scan(twin, x).output, scan(cell, x).output)
