"""Autoregression with inputs: its coefficients, its delays, the choice of its lags, and how sure it is of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.signal import lfilter
from statsmodels.tsa.api import VAR, AutoReg

from seqdyn import ARXRegressor, load
from seqdyn.identification.system import LinearSystem

Array = np.ndarray[Any, Any]


def driven(time: int = 400, seed: int = 0, delay: int = 0, noise: float = 0.5) -> tuple[Array, Array]:
    """y_t = 1.2 y_{t-1} − 0.5 y_{t-2} + 0.8 u_t + 0.3 u_{t-1} − v_{t-2} + 2 + e_t with u = x_0 delayed, v = x_1."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(time, 2)) + np.array([3.0, 0.0])
    late = np.concatenate([np.full(delay, 3.0), x[:, 0]])[:time]
    drive = lfilter([0.8, 0.3], [1.0], late) + lfilter([0.0, 0.0, -1.0], [1.0], x[:, 1])
    y = lfilter([1.0], [1.0, -1.2, 0.5], drive + 2.0 + noise * random.normal(size=time))
    return x, y


def design(
    x: Array, y: Array, p: int, q: int, delays: tuple[int, ...], first: int | None = None
) -> tuple[Array, Array]:
    """[y_{t-1} … y_{t-p}, u_t … u_{t-q}, 1] and y_t, from step ``first`` on."""
    first = max(p, q + max(delays)) if first is None else first
    past = [y[first - lag : len(y) - lag] for lag in range(1, p + 1)]
    late = [(place, delay + lag) for lag in range(q + 1) for place, delay in enumerate(delays)]
    given = [x[first - lag : len(x) - lag, [place]] for place, lag in late]
    one = np.ones((len(y) - first, 1))
    return np.hstack([np.reshape(part, (len(one), -1)) for part in [*past, *given, one]]), y[first:]


# -------------------------------------------------------------------- delays and feedthrough


@pytest.mark.parametrize("delay", [0, 1, 4, [3, 0], [0, 5], (2, 1)])
def test_a_delay_is_the_same_as_inputs_that_were_shifted(delay: Any) -> None:
    x, y = driven()
    delays = [delay, delay] if isinstance(delay, int) else list(delay)
    shifted, most = np.column_stack([np.roll(x[:, place], late) for place, late in enumerate(delays)]), max(delays)
    model = ARXRegressor(output_lags=2, input_lags=1, input_delay=delay).fit(x, y)
    same_rows = slice(max(0, most - 1), None)
    plain = ARXRegressor(output_lags=2, input_lags=1).fit(shifted[same_rows], y[same_rows])
    assert model.input_delay_ == tuple(delays)
    ours, theirs = model.system_.markov_parameters(30), plain.system_.markov_parameters(30)
    for place, late in enumerate(delays):
        np.testing.assert_array_equal(ours[:late, :, place], 0.0)
        np.testing.assert_allclose(ours[late:, :, place], theirs[: 30 - late, :, place], atol=1e-9)
    assert model.system_.estimation.aic == pytest.approx(plain.system_.estimation.aic, rel=1e-9)


def test_without_feedthrough_the_delay_is_at_least_one() -> None:
    x, y = driven()
    model = ARXRegressor(input_delay=[0, 3], feedthrough=False).fit(x, y)
    assert model.input_delay_ == (1, 3)
    np.testing.assert_array_equal(model.feedthrough_, 0.0)
    same = ARXRegressor(input_delay=[1, 3]).fit(x, y)
    np.testing.assert_array_equal(same.system_.markov_parameters(9), model.system_.markov_parameters(9))


@pytest.mark.parametrize("shape", [{"input_delay": [4, 1]}, {"input_delay": 2, "input_lags": 0}, {"output_lags": 0}])
def test_the_cell_is_the_equation(shape: dict[str, Any]) -> None:
    """One step ahead the state-space form gives Φ θ of least squares."""
    x, y = driven()
    model = ARXRegressor(**shape).fit(x, y)
    regressors, targets = design(x, y, model.output_lags_, model.input_lags_, tuple(model.input_delay_))
    expected = sm.OLS(targets, regressors).fit().fittedvalues
    ahead = model.predict(x, y=y, steps_ahead=1)
    settled = 3 * (model.output_lags_ + 7)  # the start was taken as the mean
    np.testing.assert_allclose(ahead[-len(expected) :][settled:], expected[settled:], atol=1e-8)


def test_with_delays_everything_else_works(tmp_path: Path) -> None:
    """The state holds the delay line: two halves are a whole, so is a stream, and a file gives the same back."""
    x, y = driven(delay=3)
    model = ARXRegressor(input_delay=[3, 1], dt=0.1, time_unit="s").fit(x, y)
    whole = model.predict(x)
    first, state = model.predict(x[:37], return_state=True)
    np.testing.assert_allclose(np.concatenate([first, model.predict(x[37:], initial_state=state)]), whole, atol=1e-10)
    stream = model.stream()
    pushed = [float(np.squeeze(stream.push(row))) for row in x[:50]]
    np.testing.assert_allclose(pushed, whole[:50], atol=1e-10)
    begun = model.predict(x, initial_state=model.estimate_state(x[:60], y[:60]))
    assert np.mean((begun[:60] - y[:60]) ** 2) < np.mean((whole[:60] - y[:60]) ** 2)
    assert 0.5 < model.score(x, y) < 1.0
    model.save(tmp_path / "arx.safetensors")
    again = load(tmp_path / "arx.safetensors")
    np.testing.assert_array_equal(again.predict(x), whole)
    assert again.system_.estimation.aic == model.system_.estimation.aic
    assert (again.system_.dt, again.system_.time_unit) == (0.1, "s")
    np.testing.assert_array_equal(again.system_.standard_error(dc_gain), model.system_.standard_error(dc_gain))


def dc_gain(system: LinearSystem) -> Array:
    return system.dc_gain()


def test_feedback_within_the_step_needs_no_feedthrough() -> None:
    """u_t = r_t − 0.8 y_t: b_0 takes the controller's sign; without it pole and gain are within 3 standard errors."""
    random = np.random.default_rng(8)
    errors, wanted = random.normal(size=3000), 0.5 * random.normal(size=3000)
    y, u = np.zeros(3000), np.zeros(3000)
    for t in range(3000):
        y[t] = (0.9 * y[t - 1] + 0.5 * u[t - 1] if t else 0.0) + errors[t]
        u[t] = wanted[t] - 0.8 * y[t]
    wrong = ARXRegressor(output_lags=1, input_lags=1).fit(u[:, None], y).system_
    right = ARXRegressor(output_lags=1, input_lags=0, feedthrough=False).fit(u[:, None], y).system_
    assert wrong.markov_parameters(1).item() < -0.5
    pole, gain = right.poles().real.max(), right.markov_parameters(2)[1].item()
    assert abs(pole - 0.9) < 3 * right.standard_error(lambda system: system.poles().real.max())
    assert abs(gain - 0.5) < 3 * right.standard_error(lambda system: system.markov_parameters(2))[1].item()
    model = ARXRegressor(output_lags=1, input_lags=0, feedthrough=False).fit(u[:, None], y)
    verdicts = model.residual_tests(u[:, None], y).set_index("test")["verdict"]
    assert verdicts["whiteness"] == "nothing left"
    assert verdicts["feedback"] == "the input reacts to the output: fit with focus='prediction'"


# -------------------------------------------------------------------- other libraries


@pytest.mark.parametrize("delay", [0, 2])
def test_coefficients_errors_and_likelihood_are_those_of_ordinary_least_squares(delay: int) -> None:
    """With one lag of the output the pole is its coefficient; the first Markov parameter is that of the input."""
    x, y = driven(delay=delay)
    regressors, targets = design(x, y, 1, 0, (delay, delay))
    peer = sm.OLS(targets, regressors).fit()
    system = ARXRegressor(output_lags=1, input_lags=0, input_delay=delay).fit(x, y).system_
    pole = system.standard_error(lambda s: np.sort(s.poles().real)[-1:])
    first = system.standard_error(lambda s: s.markov_parameters(delay + 1))[delay, 0]
    assert np.sort(system.poles().real)[-1] == pytest.approx(peer.params[0], rel=1e-8)
    np.testing.assert_allclose(system.markov_parameters(delay + 1)[delay, 0], peer.params[1:3], rtol=1e-8)
    np.testing.assert_allclose([*pole, *first], peer.bse[:3], rtol=1e-5)
    assert system.noise_covariance.item() == pytest.approx(peer.scale, rel=1e-9)
    assert system.estimation.log_likelihood == pytest.approx(peer.llf, rel=1e-9)
    assert (system.estimation.aic, system.estimation.bic) == pytest.approx((peer.aic, peer.bic), rel=1e-9)
    share = 4 / len(targets)
    assert system.estimation.fpe == pytest.approx(peer.ssr / len(targets) * (1 + share) / (1 - share), rel=1e-9)


def test_without_inputs_it_is_an_autoregression() -> None:
    _, y = driven()
    peer = AutoReg(y, lags=2, trend="c").fit()
    system = ARXRegressor(output_lags=2).fit(None, y).system_
    np.testing.assert_allclose(np.poly(system.poles())[1:], -peer.params[1:], rtol=1e-8)
    assert system.estimation.log_likelihood == pytest.approx(peer.llf, rel=1e-9)
    model = ARXRegressor(output_lags="auto").fit(None, y)
    assert model.output_lags_ in (2, 3)
    one = model.predict(None, y=y, steps_ahead=1)
    assert np.std((y - one)[50:]) < 1.05 * np.sqrt(peer.sigma2)


def test_several_outputs_are_a_vector_autoregression() -> None:
    """Coefficients, their standard errors, and the covariance of correlated errors."""
    random = np.random.default_rng(0)
    errors = random.normal(size=(500, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    x, y = random.normal(size=(500, 1)), np.zeros((500, 2))
    for t in range(1, 500):
        y[t] = np.array([[0.7, 0.2], [-0.1, 0.5]]) @ y[t - 1] + np.array([1.0, -0.5]) * x[t] + [3.0, 0.0] + errors[t]
    peer = VAR(y, exog=x).fit(1, trend="c")
    system = ARXRegressor(output_lags=1, input_lags=0).fit(x, y).system_
    np.testing.assert_allclose(system.transition.shape, (2, 2))
    scale = y.std(axis=0)
    np.testing.assert_allclose(system.transition * scale[:, None] / scale, peer.coefs[0], rtol=1e-7)
    np.testing.assert_allclose(system.feedthrough[:, 0], peer.params[1], rtol=1e-7)
    np.testing.assert_allclose(system.standard_error(lambda s: s.feedthrough)[:, 0], peer.stderr[1], rtol=1e-6)
    own = system.standard_error(lambda s: s.readout) / scale
    np.testing.assert_allclose(own, peer.stderr[2:].T, rtol=1e-6)
    np.testing.assert_allclose(system.noise_covariance, peer.sigma_u, rtol=1e-9)
    assert system.estimation.log_likelihood == pytest.approx(peer.llf, rel=1e-9)


def test_gaps_and_several_series_are_left_out_of_the_rows() -> None:
    """Only steps of which all lags are known count, none over a border."""
    x, y = driven(300)
    seen = y.copy()
    seen[100] = np.nan
    model = ARXRegressor(output_lags=2, input_lags=1).fit([x[:200], x[200:]], [seen[:200], seen[200:]])
    parts = [design(x[a:b], y[a:b], 2, 1, (0, 0)) for a, b in ((0, 200), (200, 300))]
    regressors, targets = (np.concatenate(values) for values in zip(*parts, strict=True))
    kept = np.ones(len(targets), dtype=bool)
    kept[98:101] = False
    peer = sm.OLS(targets[kept], regressors[kept]).fit()
    assert model.estimation_.steps == kept.sum()
    assert model.system_.estimation.log_likelihood == pytest.approx(peer.llf, rel=1e-9)


def test_weights_are_those_of_weighted_least_squares() -> None:
    x, y = driven(300)
    weight = np.random.default_rng(1).uniform(0.2, 3.0, size=300)
    system = ARXRegressor(output_lags=1, input_lags=0).fit(x, y, sample_weight=weight).system_
    regressors, targets = design(x, y, 1, 0, (0, 0))
    peer = sm.WLS(targets, regressors, weights=weight[1:]).fit()
    np.testing.assert_allclose(system.feedthrough[0], peer.params[1:3], rtol=1e-8)
    np.testing.assert_allclose(system.standard_error(lambda s: s.feedthrough)[0], peer.bse[1:3], rtol=1e-6)


# -------------------------------------------------------------------- the choice of lags


def test_the_criterion_is_that_of_separate_fits_over_the_same_steps() -> None:
    x, y = driven(200)
    model = ARXRegressor(output_lags="auto", input_lags="auto", input_delay=[1, 0]).fit(x, y)
    table = model.order_search_
    assert list(table.columns) == ["output_lags", "input_lags", "regressors", "aicc"]
    assert len(table) == 11 * 11
    scale = np.log(model.target_scaling_.scale.item() ** 2)
    for row in table.iloc[::17].itertuples():
        peer = sm.OLS(*design(x, y, row.output_lags, row.input_lags, (1, 0), first=11)[::-1]).fit()
        steps, k = peer.nobs, row.regressors + 1
        aicc = steps * (np.log(peer.ssr / steps) - scale + 1) + 2 * k * steps / (steps - k - 1)
        assert row.aicc == pytest.approx(aicc, rel=1e-6)
    best = table.loc[table["aicc"].idxmin()]
    assert (model.output_lags_, model.input_lags_) == (best["output_lags"], best["input_lags"])


def test_the_true_lags_are_mostly_found() -> None:
    """p = 2 and q = 2 (of the second input) over 20 records of 400 steps: exactly in 13, never too few."""
    found = []
    for seed in range(20):
        model = ARXRegressor(output_lags="auto", input_lags="auto").fit(*driven(400, seed))
        found.append((model.output_lags_, model.input_lags_))
    assert min(p for p, _ in found) >= 2
    assert min(q for _, q in found) >= 2
    assert found.count((2, 2)) >= 10


def test_one_of_both_may_be_given() -> None:
    model = ARXRegressor(output_lags="auto", input_lags=2).fit(*driven())
    assert model.order_search_["input_lags"].unique().tolist() == [2]
    assert model.output_lags_ == 2
    assert ARXRegressor().fit(*driven()).order_search_.empty


@pytest.mark.parametrize("time", [8, 30])
def test_short_records_have_fewer_lags_to_choose_from(time: int) -> None:
    model = ARXRegressor(output_lags="auto", input_lags="auto").fit(*driven(time))
    assert model.order_search_["output_lags"].max() < 10
    assert np.isfinite(model.predict(driven(time)[0])).all()


# -------------------------------------------------------------------- how sure it is


def test_intervals_hold_the_pole_and_the_gain() -> None:
    """Over 200 records of 300 steps 68 % and 95 % of the intervals do, within three standard errors of a share."""
    hits = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        x, errors = random.normal(size=300), random.normal(size=300)
        y = lfilter([1.0], [1.0, -0.8], 0.5 * x + errors)
        system = ARXRegressor(output_lags=1, input_lags=0).fit(x[:, None], y).system_
        for quantity, truth in ((lambda s: s.poles().real, 0.8), (dc_gain, 2.5)):
            ratio = abs(quantity(system).item() - truth) / system.standard_error(quantity).item()
            hits.append((ratio < 1.0, ratio < 1.96))
    narrow, wide = np.mean(np.reshape(hits, (200, 2, 2)), axis=0).T
    assert ((narrow > 0.60) & (narrow < 0.76)).all()
    assert ((wide > 0.90) & (wide < 0.98)).all()


def test_a_model_of_inputs_alone_knows_its_noise_too() -> None:
    """Nothing is fed back: one step ahead it is the free run, and its errors have the covariance of the noise."""
    random = np.random.default_rng(0)
    x = random.normal(size=(2000, 1))
    y = lfilter([1.0, 0.5], [1.0], x[:, 0]) + 0.3 * random.normal(size=2000)
    model = ARXRegressor(output_lags=0, input_lags=1).fit(x, y)
    np.testing.assert_allclose(model.predict(x, y=y, steps_ahead=1), model.predict(x), atol=1e-9)
    assert model.system_.noise_covariance.item() == pytest.approx(0.09, rel=0.1)


def test_time_has_a_unit() -> None:
    """exp(−0.1/1) in steps of 0.1 s is a time constant of 1 s."""
    x = np.random.default_rng(0).normal(size=(400, 1))
    y = lfilter([1.0], [1.0, -np.exp(-0.1)], x[:, 0])
    system = ARXRegressor(output_lags=1, input_lags=0, dt=0.1, time_unit="s").fit(x, y).system_
    assert system.time_constants()[0] == pytest.approx(1.0, rel=1e-6)
    assert (system.dt, system.time_unit) == (0.1, "s")
    assert ARXRegressor().fit(x, y).system_.dt == 1.0
    index = pd.date_range("2024-01-01", periods=400, freq="10min")
    labelled = ARXRegressor(output_lags=1, input_lags=0).fit(pd.DataFrame({"u": x[:, 0]}, index), pd.Series(y, index))
    assert (labelled.system_.dt, labelled.system_.time_unit) == (10.0, "min")
    alone = ARXRegressor(output_lags=1).fit(None, pd.Series(y, index))
    assert (alone.dt_, alone.time_unit_) == (10.0, "min")


def test_many_outputs_keep_no_directions() -> None:
    """They would be more numbers than they are worth: the rest of the estimation stays."""
    random = np.random.default_rng(0)
    y = random.normal(size=(400, 20))
    system = ARXRegressor(output_lags=2, input_lags=1).fit(random.normal(size=(400, 2)), y).system_
    assert system.estimation.directions is None
    assert np.isfinite(system.estimation.aic)


# -------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"output_lags": -1}, "output_lags"),
        ({"input_lags": "best"}, "input_lags"),
        ({"input_delay": -1}, "input_delay"),
        ({"input_delay": 1.5}, "input_delay"),
        ({"input_delay": [1, -1]}, "input_delay"),
        ({"input_delay": "auto"}, "input_delay"),
        ({"input_delay": [1, 1, 1]}, "or 2 of them, one an input"),
        ({"feedthrough": "no"}, "feedthrough"),
        ({"dt": 0.0}, "dt"),
        ({"time_unit": 1}, "time_unit"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ARXRegressor(**parameters).fit(*driven(50))


def test_records_shorter_than_the_lags_are_refused() -> None:
    x, y = driven(12)
    with pytest.raises(ValueError, match="n_samples=0 steps have all their lags known"):
        ARXRegressor(input_delay=12).fit(x, y)
    with pytest.raises(ValueError, match="lower output_lags, input_lags or input_delay"):
        ARXRegressor(output_lags=11).fit(x, y)


def test_what_two_inputs_that_are_the_same_do_alone_is_unknown() -> None:
    """Their sum is as sure as the effect of one of them."""
    x, y = driven()
    twice = ARXRegressor(output_lags=2, input_lags=1).fit(x[:, [0, 1, 0]], y).system_
    once = ARXRegressor(output_lags=2, input_lags=1).fit(x, y).system_
    np.testing.assert_array_equal(np.isinf(twice.standard_error(LinearSystem.dc_gain)), [[True, False, True]])
    both = twice.standard_error(lambda system: system.dc_gain()[:, 0] + system.dc_gain()[:, 2])
    np.testing.assert_allclose(both, once.standard_error(LinearSystem.dc_gain)[:, 0], rtol=1e-6)
