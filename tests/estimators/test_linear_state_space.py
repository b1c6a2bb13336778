"""The linear state-space regressor: what it predicts, what it says of its state and its errors, and what it refuses."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import dlsim, lfilter
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import TimeSeriesSplit, cross_val_score

from seqdyn import ARXRegressor, Autoregression, LinearStateSpaceRegressor, load
from seqdyn.cells.linear import LinearState
from seqdyn.identification.records import DataRecord
from seqdyn.identification.system import LinearSystem
from tests.identification.test_identify import MIMO, SISO, pole_error, stable_system
from tests.identification.test_kalman import textbook
from tests.identification.test_noise import kalman_loop
from tests.identification.test_subspace import READY_MADE, innovations

Array = np.ndarray[Any, Any]


def driven(system: LinearSystem = SISO, time: int = 400, level: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    """White inputs about a mean of 2, and outputs with white noise of ``level`` times what they vary by."""
    random = np.random.default_rng(seed)
    x = 2.0 + random.normal(size=(time, system.inputs))
    y = system.simulate(x, random.normal(size=system.order))[0]
    return x, y + level * y.std(axis=0) * random.normal(size=y.shape)


@pytest.fixture(scope="module")
def fitted() -> LinearStateSpaceRegressor:
    """On 1 500 steps of the innovation form of the ready-made system, in units far from 1."""
    record = innovations(READY_MADE, 1500, 0.3)
    return LinearStateSpaceRegressor(order=2).fit(100.0 + 7.0 * record.x, 1000.0 * record.y - 40.0)


def resonant(time: int = 400, seed: int = 0) -> Array:
    """y_t = 1.5 y_{t-1} − 0.8 y_{t-2} + e_t, white e of deviation 1."""
    return lfilter([1.0], [1.0, -1.5, 0.8], np.random.default_rng(seed).normal(size=time + 200))[200:]


def fresh(time: int = 300, seed: int = 9) -> tuple[Array, Array]:
    """More of the same."""
    record = innovations(READY_MADE, time, 0.3, seed)
    return 100.0 + 7.0 * record.x, 1000.0 * record.y - 40.0


def root_mean_square(errors: Array) -> float:
    return float(np.sqrt(np.nanmean(errors**2)))


# -------------------------------------------------------------------- the free run


def test_the_starts_give_back_the_run_that_was_fitted() -> None:
    """Ragged records with starts of their own, without noise: to rounding."""
    pairs = [driven(MIMO, time, seed=time) for time in (120, 80, 200)]
    x, y = map(list, zip(*pairs, strict=True))
    model = LinearStateSpaceRegressor(order=3).fit(x, y)
    assert model.starts_.h.shape == (3, 3)
    for ran, measured in zip(model.predict(x, initial_state=model.starts_), y, strict=True):
        np.testing.assert_allclose(ran, measured, atol=1e-9)
    assert pole_error(model.system_, MIMO) < 1e-9


def test_the_state_continues_the_training_data() -> None:
    x, y = driven(MIMO, 500)
    model = LinearStateSpaceRegressor(order=3).fit(x[:400], y[:400])
    np.testing.assert_allclose(model.predict(x[400:], initial_state=model.state_), y[400:], atol=1e-9)
    stream = model.stream(model.state_)
    np.testing.assert_allclose([stream.push(row) for row in x[400:420]], y[400:420], atol=1e-9)


def test_predicting_is_simulating_the_system(fitted: LinearStateSpaceRegressor) -> None:
    """``system_`` is in the units of the data, its state in network units: with every offset in its place."""
    x, _ = fresh()
    start = np.array([0.4, -1.1])
    state = LinearState(torch.as_tensor(start[None]))
    ran, last = fitted.predict(x, initial_state=state, return_state=True)
    expected, after = fitted.system_.simulate(x, start)
    np.testing.assert_allclose(ran, expected, rtol=1e-9)
    np.testing.assert_allclose(last.h[0].numpy(), after, rtol=1e-9)


def test_the_state_of_a_record_is_estimated_from_its_first_rows() -> None:
    """Exact without noise: for one record, for ragged ones, and through missing outputs."""
    x, y = driven(MIMO)
    model = LinearStateSpaceRegressor(order=3).fit(x, y)
    others = [driven(MIMO, time, seed=time) for time in (50, 90)]
    inputs, outputs = map(list, zip(*others, strict=True))
    gaps = [values.copy() for values in outputs]
    gaps[0][5:9] = gaps[1][0] = gaps[1][3, 1] = np.nan
    for measured in (outputs, gaps):
        heads = [[values[:40] for values in each] for each in (inputs, measured)]
        state = model.estimate_state(*heads)
        for ran, whole in zip(model.predict(inputs, initial_state=state), outputs, strict=True):
            np.testing.assert_allclose(ran, whole, atol=1e-8)
    alone = model.estimate_state(inputs[1][:40], outputs[1][:40])
    np.testing.assert_allclose(alone.h[0].numpy(), state.h[1].numpy(), atol=1e-8)


def test_units_of_the_data_do_not_matter() -> None:
    """Noisy outputs, one of them in thousandths: the same model, starts and steps ahead, in these units."""
    x, y = driven(MIMO, level=0.2)
    units = np.array([1000.0, 1.0])
    one, other = (LinearStateSpaceRegressor(order=3).fit(x, measured) for measured in (y, y * units))
    np.testing.assert_allclose(other.predict(x), one.predict(x) * units, rtol=1e-6, atol=1e-6)
    starts = [model.estimate_state(x[:20], y[:20] * unit).h for model, unit in ((one, 1.0), (other, units))]
    ran = [model.predict(x, initial_state=LinearState(h)) for model, h in zip((one, other), starts, strict=True)]
    np.testing.assert_allclose(ran[1], ran[0] * units, rtol=1e-6, atol=1e-6)
    ahead = one.predict(x, y=y, steps_ahead=2), other.predict(x, y=y * units, steps_ahead=2)
    np.testing.assert_allclose(ahead[1], ahead[0] * units, rtol=1e-5, atol=1e-4)


def test_two_rows_say_less_than_a_state_and_the_shortest_is_taken() -> None:
    """One output, order 2, one row: one equation; it is met."""
    x, y = driven()
    model = LinearStateSpaceRegressor(order=2).fit(x, y)
    ran = model.predict(x[:1], initial_state=model.estimate_state(x[:1], y[:1]))
    np.testing.assert_allclose(np.ravel(ran), y[0], atol=1e-9)


# -------------------------------------------------------------------- k steps ahead


@pytest.mark.parametrize("ahead", [1, 2, 5, 299, 300])
def test_steps_ahead_are_the_kalman_filter_by_hand(fitted: LinearStateSpaceRegressor, ahead: int) -> None:
    """In the units of the data, over gaps, from the state given; the state that comes back is the filtered one."""
    x, y = fresh()
    y[10:14] = y[50, 1] = np.nan
    start = np.array([0.4, -1.1])
    state = LinearState(torch.as_tensor(start[None]))
    found, last = fitted.predict(x, y=y, steps_ahead=ahead, initial_state=state, return_state=True)
    system, states = fitted.system_, textbook(fitted.system_, x, y, start)[2]
    known, outputs = np.vstack([start, states]), []
    for time in range(len(x)):
        h = known[max(0, time - ahead + 1)]
        for now in x[max(0, time - ahead + 1) : time]:
            h = system.input_map @ now + system.transition @ h + system.state_offset
        outputs.append(system.feedthrough @ x[time] + system.readout @ h + system.output_offset)
    np.testing.assert_allclose(found, np.array(outputs), rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(last.h[0].numpy(), states[-1], atol=1e-9)


def test_far_ahead_is_the_free_run(fitted: LinearStateSpaceRegressor) -> None:
    x, y = fresh()
    np.testing.assert_allclose(fitted.predict(x, y=y, steps_ahead=10_000), fitted.predict(x), rtol=1e-9)


def test_errors_grow_with_the_steps_ahead(fitted: LinearStateSpaceRegressor) -> None:
    """On fresh noisy data: 1 step as good as the noise allows, the free run worst."""
    x, y = fresh(2000)
    errors = [root_mean_square(fitted.predict(x, y=y, steps_ahead=ahead) - y) for ahead in (1, 2, 4, 2000)]
    assert errors == sorted(errors)
    assert errors[0] == pytest.approx(300.0, rel=0.05)
    assert errors[-1] > 1.1 * errors[0]
    np.testing.assert_allclose(fitted.system_.noise_covariance, 9e4 * np.eye(2), atol=1e4)


def test_steps_ahead_come_in_the_container_of_x(fitted: LinearStateSpaceRegressor) -> None:
    """Ragged lists, 3-D arrays and frames are the records alone."""
    pairs = [fresh(time, seed=time) for time in (60, 90)]
    x, y = map(list, zip(*pairs, strict=True))
    ragged = fitted.predict(x, y=y, steps_ahead=2)
    alone = [fitted.predict(*(inputs,), y=outputs, steps_ahead=2) for inputs, outputs in pairs]
    for one, other in zip(ragged, alone, strict=True):
        np.testing.assert_allclose(one, other)
    many = fitted.predict(np.stack([x[0], x[1][:60]]), y=np.stack([y[0], y[1][:60]]), steps_ahead=2)
    np.testing.assert_allclose(many[0], alone[0])
    np.testing.assert_allclose(many[1], alone[1][:60])


@pytest.mark.parametrize("given", [{"steps_ahead": 0}, {"steps_ahead": 1.5}, {"steps_ahead": "all"}, {}])
def test_steps_ahead_need_a_number_and_measured_outputs(fitted: LinearStateSpaceRegressor, given: Any) -> None:
    x, y = fresh(30)
    with pytest.raises(ValueError, match="steps_ahead, an int of at least 1; the free run needs neither"):
        fitted.predict(x, y=y, **given)
    with pytest.raises(ValueError, match="y=None"):
        fitted.predict(x, steps_ahead=1)


def test_measured_outputs_fit_x_and_the_model(fitted: LinearStateSpaceRegressor) -> None:
    """One column for a model of two outputs is not both of them."""
    x, y = fresh(30)
    with pytest.raises(ValueError, match="y has 1 outputs, but the model predicts 2"):
        fitted.predict(x, y=y[:, 0], steps_ahead=1)
    with pytest.raises(ValueError, match="29"):
        fitted.predict(x, y=y[:29], steps_ahead=1)


def test_without_a_model_of_the_noise_there_are_no_steps_ahead() -> None:
    x, _ = driven()
    with pytest.raises(ValueError, match="no model of the noise"):
        LinearStateSpaceRegressor.from_system(SISO).predict(x, y=x, steps_ahead=1)
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    model = LinearStateSpaceRegressor(autoregression=Autoregression(), max_epochs=2).fit(walk[:-1, None], walk[1:])
    with pytest.raises(ValueError, match="autoregression"):
        model.predict(walk[:, None], y=walk, steps_ahead=1)


# -------------------------------------------------------------------- matrices in, matrices out

A, B = np.array([[0.5, -0.2]]), np.array([[1.0, 0.5]])
C, D = np.array([[1.0, 0.0], [0.3, -0.4]]), np.array([[0.9, 0.2], [-0.2, 0.7]])
GIVEN: dict[str, Callable[[], LinearStateSpaceRegressor]] = {
    "block": lambda: LinearStateSpaceRegressor.from_block(A, B, C, D),
    "control": lambda: LinearStateSpaceRegressor.from_control(D, C, B, A),
    "system": lambda: LinearStateSpaceRegressor.from_system(LinearSystem(A, B, C, D)),
}


@pytest.mark.parametrize("name", list(GIVEN))
def test_given_matrices_predict_as_the_loop_does(name: str) -> None:
    """[y_t; h_t] = [A B; C D] [x_t; h_{t-1}], from h_{-1} = 0."""
    x, _ = driven(MIMO, 50)
    h, expected = np.zeros(2), []
    for now in x:
        expected.append(A @ now + B @ h)
        h = C @ now + D @ h
    model = GIVEN[name]()
    ran, state = model.predict(x, return_state=True)
    np.testing.assert_allclose(ran, np.ravel(expected), atol=1e-12)
    np.testing.assert_allclose(state.h[0].numpy(), h, atol=1e-12)
    np.testing.assert_allclose(model.system_.simulate(x)[0][:, 0], ran, atol=1e-12)
    for form, letters in ((model.as_block(), (A, B, C, D)), (model.as_control(), (D, C, B, A))):
        for letter, matrix in zip("ABCD", letters, strict=True):
            np.testing.assert_allclose(getattr(form, letter), matrix)


def test_a_linear_recurrent_network_predicts_as_its_loop_does() -> None:
    """h_t = W_ih x_t + W_hh h_{t-1} + b_h, y_t = W_hy h_t + b_y."""
    W_ih, W_hh, W_hy = C, D, np.array([[1.0, -1.0], [0.5, 0.2]])
    b_h, b_y = np.array([0.1, -0.2]), np.array([3.0, -1.0])
    x, h, expected = driven(MIMO, 50)[0], np.zeros(2), []
    for now in x:
        h = W_ih @ now + W_hh @ h + b_h
        expected.append(W_hy @ h + b_y)
    model = LinearStateSpaceRegressor.from_rnn(W_ih, W_hh, W_hy, b_h, b_y)
    np.testing.assert_allclose(model.predict(x), np.array(expected), atol=1e-12)


def test_a_system_given_with_its_noise_keeps_it() -> None:
    record = innovations(READY_MADE, 100, 0.3)
    model = LinearStateSpaceRegressor.from_system(READY_MADE)
    expected, _ = kalman_loop(READY_MADE, record.x, record.y, np.zeros(2), 2)
    np.testing.assert_allclose(model.predict(record.x, y=record.y, steps_ahead=2), expected, atol=1e-9)


def test_scipy_simulates_the_same(fitted: LinearStateSpaceRegressor) -> None:
    """Without the offsets, which a scipy system does not have: differences of two runs."""
    x, other = fresh(80)[0], fresh(80, seed=3)[0]
    _, difference, _ = dlsim(fitted.to_scipy(), x - other)
    np.testing.assert_allclose(difference, fitted.predict(x) - fitted.predict(other), atol=1e-6)


def test_labels_of_the_block_matrix_are_those_of_the_frames() -> None:
    x, y = driven(MIMO, level=0.1)
    frame, targets = pd.DataFrame(x, columns=["valve", "pump"]), pd.DataFrame(y, columns=["level", "flow"])
    model = LinearStateSpaceRegressor(order=3).fit(frame, targets)
    block = model.block_matrix_
    assert list(block["to"].values) == ["level", "flow", "h0", "h1", "h2"]
    assert list(block["from"].values) == ["valve", "pump", "h0", "h1", "h2"]
    assert float(block.sel({"to": "flow", "from": "pump"})) == pytest.approx(model.feedthrough_[1, 1])
    np.testing.assert_allclose(block.sel({"from": ["h0", "h1", "h2"], "to": ["h0", "h1", "h2"]}), model.transition_)
    plain = LinearStateSpaceRegressor(order=3).fit(x, y).block_matrix_
    assert list(plain["from"].values) == ["x0", "x1", "h0", "h1", "h2"]


# -------------------------------------------------------------------- containers


def test_frames_panels_and_lists_are_fitted_alike() -> None:
    pairs = [driven(time=200, seed=seed, level=0.1) for seed in range(2)]
    x, y = (np.stack(values) for values in zip(*pairs, strict=True))
    index = pd.MultiIndex.from_product([["a", "b"], range(200)])
    frames = pd.DataFrame(x.reshape(-1, 1), index, ["u"]), pd.DataFrame(y.reshape(-1, 1), index, ["z"])
    models = [LinearStateSpaceRegressor(order=2).fit(*each) for each in ((x, y), (list(x), list(y)), frames)]
    for model in models[1:]:
        np.testing.assert_allclose(model.transition_, models[0].transition_, rtol=1e-9)
        np.testing.assert_allclose(model.starts_.h, models[0].starts_.h, rtol=1e-9)


def test_missing_targets_are_left_out() -> None:
    """Without noise the answer stays exact; a gap splits the record for the subspace, not for the free run."""
    x, y = driven(time=600)
    y[np.arange(600) % 31 == 7] = np.nan
    y[300:350] = np.nan
    model = LinearStateSpaceRegressor(order=2).fit(x, y)
    assert pole_error(model.system_, SISO) < 1e-9
    assert root_mean_square(model.predict(x, initial_state=model.starts_) - y) < 1e-9


@pytest.mark.parametrize("order", [2, "auto"])
def test_an_autonomous_system_needs_no_inputs(order: Any) -> None:
    """X = None, several records with starts of their own; prediction is from the state."""
    turn = 0.97 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    fading = LinearSystem(np.zeros((1, 0)), [[1.0, 0.0]], np.zeros((2, 0)), turn, [5.0])
    nothing = np.zeros((150, 0))
    y = [fading.simulate(nothing, np.array(start))[0] for start in ([1.0, 2.0], [-3.0, 0.5])]
    model = LinearStateSpaceRegressor(order=order).fit(None, [values[:100] for values in y])
    assert (model.n_features_in_, model.order_) == (0, 2)
    assert pole_error(model.system_, fading) < 1e-8
    rest = model.predict([nothing[100:]] * 2, initial_state=model.state_)
    for ran, values in zip(rest, y, strict=True):
        np.testing.assert_allclose(np.ravel(ran), values[100:, 0], atol=1e-8)


def test_single_precision_is_the_same_model() -> None:
    x, y = driven(MIMO, level=0.05)
    models = [LinearStateSpaceRegressor(order=3, dtype=dtype).fit(x, y) for dtype in ("float64", "float32")]
    assert models[1].state_.h.dtype == torch.float32
    np.testing.assert_allclose(models[1].predict(x), models[0].predict(x), atol=1e-3)


# -------------------------------------------------------------------- files and copies


def same(one: LinearStateSpaceRegressor, other: LinearStateSpaceRegressor) -> None:
    x, y = fresh(60)
    np.testing.assert_array_equal(one.predict(x), other.predict(x))
    np.testing.assert_array_equal(one.predict(x, y=y, steps_ahead=2), other.predict(x, y=y, steps_ahead=2))
    np.testing.assert_array_equal(one.starts_.h, other.starts_.h)
    np.testing.assert_array_equal(one.singular_values_, other.singular_values_)
    pd.testing.assert_frame_equal(one.order_search_, other.order_search_)
    assert (one.method_, one.order_) == (other.method_, other.order_)
    assert str(one.excitation_) == str(other.excitation_)
    assert one.summary() == other.summary()
    for found, expected in zip(one.estimation_.directions, other.estimation_.directions, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_files_hold_all_of_it(fitted: LinearStateSpaceRegressor, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model.safetensors")
    same(load(tmp_path / "model.safetensors"), fitted)


def test_files_hold_a_search_and_an_order_of_0(tmp_path: Path) -> None:
    x, y = driven(level=0.1)
    static = np.random.default_rng(0).normal(size=(200, 1))
    for data in ((x, y), (static, np.random.default_rng(1).normal(size=(200, 1)))):
        model = LinearStateSpaceRegressor().fit(*data)
        model.save(tmp_path / "model.safetensors")
        again = load(tmp_path / "model.safetensors")
        np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))
        pd.testing.assert_frame_equal(again.order_search_, model.order_search_)


def test_given_systems_go_into_files_too(tmp_path: Path) -> None:
    model = LinearStateSpaceRegressor.from_system(READY_MADE)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    record = innovations(READY_MADE, 50, 0.3)
    for ahead in ({}, {"y": record.y, "steps_ahead": 1}):
        np.testing.assert_array_equal(again.predict(record.x, **ahead), model.predict(record.x, **ahead))


def test_pickles_hold_all_of_it(fitted: LinearStateSpaceRegressor) -> None:
    same(pickle.loads(pickle.dumps(fitted)), fitted)


def test_a_clone_is_unfitted_and_fits_the_same(fitted: LinearStateSpaceRegressor) -> None:
    record = innovations(READY_MADE, 1500, 0.3)
    copy = clone(fitted)
    assert not hasattr(copy, "starts_")
    same(copy.fit(100.0 + 7.0 * record.x, 1000.0 * record.y - 40.0), fitted)


# -------------------------------------------------------------------- options


def test_without_feedthrough_there_is_none() -> None:
    x, y = driven()
    model = LinearStateSpaceRegressor(order=2, feedthrough=False).fit(x, y)
    np.testing.assert_array_equal(model.feedthrough_, [[0.0]])
    assert pole_error(model.system_, SISO) < 1e-9


def test_a_start_of_zero_is_not_estimated() -> None:
    x, y = driven(level=0.1)
    model = LinearStateSpaceRegressor(order=2, initial_state="zero").fit(x, y)
    assert not model.starts_.h.any()
    np.testing.assert_allclose(model.predict(x, initial_state=model.starts_), model.predict(x))


@pytest.mark.parametrize("weighting", ["cva", "n4sid", "moesp"])
@pytest.mark.parametrize("method", ["subspace+gradient", "subspace"])
def test_every_weighting_and_method_finds_the_system(weighting: str, method: str) -> None:
    model = LinearStateSpaceRegressor(order=3, weighting=weighting, method=method).fit(*driven(MIMO))
    assert pole_error(model.system_, MIMO) < 1e-9
    assert model.method_ == {"subspace": "subspace"}.get(method, "subspace+least squares")


def test_the_refinement_never_fits_worse_than_the_closed_form() -> None:
    for seed in range(5):
        x, y = driven(MIMO, level=0.3, seed=seed)
        errors = [
            root_mean_square(model.predict(x, initial_state=model.starts_) - y)
            for model in (
                LinearStateSpaceRegressor(order=2, method=m).fit(x, y) for m in ("subspace+gradient", "subspace")
            )
        ]
        assert errors[0] <= errors[1]


def test_another_loss_trains_from_the_closed_form() -> None:
    """Its first epoch has the loss of the closed form, started from zero; the last one less than half of it."""
    x, y = driven(level=0.02)
    y[::25] += 20.0
    closed = LinearStateSpaceRegressor(order=2, method="subspace").fit(x, y)
    trained = LinearStateSpaceRegressor(order=2, loss="mae", random_state=0).fit(x, y)
    assert (closed.method_, trained.method_) == ("subspace", "subspace+training")
    loss = trained.history_["loss"]
    before = np.abs(closed.predict(x) - y).mean() / closed.target_scaling_.scale[0]
    assert loss.iloc[0] == pytest.approx(before, rel=1e-6)
    assert loss.iloc[-1] < 0.5 * before


def test_autoregression_is_trained_by_gradient() -> None:
    walk = np.random.default_rng(0).normal(size=300).cumsum()
    own = Autoregression(lags=2)
    model = LinearStateSpaceRegressor(autoregression=own, max_epochs=3, random_state=0).fit(walk[:-1, None], walk[1:])
    assert (model.method_, model.order_) == ("training", 4)
    assert np.isfinite(model.predict(walk[:, None])).all()


# -------------------------------------------------------------------- what the data do not tell


def test_one_sinusoid_is_too_little_for_four_states() -> None:
    x = np.sin(0.5 * np.arange(400))[:, None]
    with pytest.warns(UserWarning, match="excite 2 directions, an order of 4 needs 9"):
        model = LinearStateSpaceRegressor(order=4).fit(x, SISO.simulate(x)[0])
    assert "excite 2 directions" in str(model.check_excitation(x, x))


def test_check_excitation_fits_nothing() -> None:
    x, y = driven()
    model = LinearStateSpaceRegressor(order=2)
    assert "excite 40 of 40 block rows" in str(model.check_excitation(x, y))
    assert set(vars(model)) == set(model.get_params(deep=False))


@pytest.mark.parametrize(
    ("column", "words"),
    [(lambda x: np.ones_like(x), "Input 1 is constant"), (lambda x: x, "Inputs 0 and 1 are the same")],
)
def test_inputs_that_say_nothing_of_their_own_are_named(column: Callable[[Array], Array], words: str) -> None:
    """The rest is found all the same."""
    x, y = driven()
    with pytest.warns(UserWarning, match=words):
        model = LinearStateSpaceRegressor(order=2).fit(np.hstack([x, column(x)]), y)
    assert pole_error(model.system_, SISO) < 1e-8


@pytest.mark.parametrize("order", [2, "auto"])
def test_outputs_that_never_change_are_predicted(order: Any) -> None:
    x, _ = driven()
    with pytest.warns(UserWarning, match="Output 0 never changes"):
        model = LinearStateSpaceRegressor(order=order).fit(x, np.full(400, 5.0))
    np.testing.assert_allclose(model.predict(x), 5.0)
    np.testing.assert_allclose(model.predict(x, initial_state=model.state_), 5.0)


def test_an_unstable_system_is_held_with_a_warning_and_found_without() -> None:
    growing = LinearSystem([[0.0]], [[1.0, 1.0]], [[1.0], [-0.5]], np.diag([1.03, 0.5]))
    x, y = driven(growing, 150)
    with pytest.warns(UserWarning, match=r"unstable \(spectral radius 1.03\).*set stable=False"):
        held = LinearStateSpaceRegressor(order=2).fit(x, y)
    assert held.system_.is_stable()
    free = LinearStateSpaceRegressor(order=2, stable=False).fit(x, y)
    assert pole_error(free.system_, growing) < 1e-7


# -------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("order", [0, -1, 2.5, "best", None, True])
def test_orders_are_whole_numbers_or_auto(order: Any) -> None:
    with pytest.raises(ValueError, match="order must be an int of at least 1 or 'auto'"):
        LinearStateSpaceRegressor(order=order).fit(*driven())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "magic"}, "method must be one of 'subspace\\+gradient', 'subspace', 'gradient'"),
        ({"weighting": "pca"}, "weighting must be one of 'cva', 'n4sid', 'moesp'"),
        ({"block_rows": 1}, "block_rows must be None or an int of at least 2"),
        ({"validation_fraction": 0.0}, "validation_fraction must be a number in"),
        ({"stable": "yes"}, "stable must be one of False, True"),
        ({"initial_state": "best"}, "initial_state must be 'estimate' or"),
    ],
)
def test_parameters_are_checked_with_their_choices(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LinearStateSpaceRegressor(**changes).fit(*driven())


def test_data_that_cannot_be_fitted_are_refused() -> None:
    x, y = driven()
    model = LinearStateSpaceRegressor(order=10)
    with pytest.raises(ValueError, match="an order of 10 with 1 inputs and 1 outputs needs 11 block rows"):
        model.fit(x[:30], y[:30])
    with pytest.raises(ValueError, match="X contains NaN at step 7"):
        model.fit(np.where(np.arange(400)[:, None] == 7, np.nan, x), y)
    with pytest.raises(ValueError, match="y contains infinity"):
        model.fit(x, np.where(np.arange(400)[:, None] == 7, np.inf, y))
    with pytest.raises(ValueError, match=r"The series of X have \[1, 2\] features"):
        model.fit([x, np.hstack([x, x])], [y, y])
    with pytest.raises(ValueError, match=r"The series of y have \[1, 2\] outputs"):
        model.fit([x, x], [y, np.hstack([y, y])])
    assert not hasattr(model, "starts_")


@pytest.mark.parametrize("make", [lambda: LinearStateSpaceRegressor(order=2), lambda: ARXRegressor(output_lags=2)])
def test_inputs_without_columns_are_no_inputs(make: Callable[[], Any]) -> None:
    """As X = None, in every container, and so through scikit-learn's tools, which cut X."""
    y = resonant()
    expected = make().fit(None, y)
    nothing = np.empty((len(y), 0))
    for X, given in ((nothing, y), (pd.DataFrame(index=range(len(y))), y), ([nothing], [y]), (nothing[None], y[None])):
        model = make().fit(X, given)
        assert model.n_features_in_ == 0
        np.testing.assert_array_equal(model.transition_, expected.transition_)
    folds = TimeSeriesSplit(3)
    scores = cross_val_score(make(), nothing, y, cv=folds)
    by_hand = [make().fit(None, y[train]).score(None, y[test]) for train, test in folds.split(y)]
    np.testing.assert_allclose(scores, by_hand)
    assert scores.min() > 0.5


def test_a_model_with_inputs_needs_them(fitted: LinearStateSpaceRegressor) -> None:
    _, y = fresh(30)
    with pytest.raises(ValueError, match="X has 0 features, but LinearStateSpaceRegressor is expecting 2"):
        fitted.predict(None, y=y)


def test_without_inputs_outputs_say_how_many_steps(tmp_path: Path) -> None:
    """The free run looks at nothing else of them; with a start that they tell, it does."""
    y = resonant()
    model = LinearStateSpaceRegressor(order=2).fit(None, y)
    expected = model.predict(np.empty((30, 0)))
    np.testing.assert_array_equal(model.predict(None, y=y[:30]), expected)
    np.testing.assert_array_equal(model.predict(np.empty((30, 0)), y=np.full(30, np.nan)), expected)
    ran, state = model.predict(None, y=y[:30], initial_state=model.state_, return_state=True)
    np.testing.assert_array_equal(ran, model.predict(np.empty((30, 0)), initial_state=model.state_))
    assert state.h.shape == (1, 2)
    assert np.abs(model.predict(None, y=y[:30], initial_state="estimate") - expected).max() > 0.1


# -------------------------------------------------------------------- scores k steps ahead


@pytest.mark.parametrize("ahead", [1, 4])
def test_a_score_ahead_is_that_of_the_predictions(fitted: LinearStateSpaceRegressor, ahead: int) -> None:
    """From the estimated start, without its rows; several records, gaps, rows without weight."""
    pairs = [fresh(time, seed=time) for time in (60, 90)]
    x, y = map(list, zip(*pairs, strict=True))
    y[0][20:25, 1] = np.nan
    weight = [np.ones(60), np.ones(90)]
    weight[1][40:44] = 0.0
    y[1][40:44] = 1e6
    shown = [np.where(w[:, None] > 0, part, np.nan) for w, part in zip(weight, y, strict=True)]
    ran = fitted.predict(x, y=shown, steps_ahead=ahead, initial_state="estimate")
    predicted, measured = (np.concatenate([parts[0][6:], parts[1][9:]]) for parts in (ran, shown))
    known = ~np.isnan(measured)
    expected = [r2_score(measured[known[:, i], i], predicted[known[:, i], i]) for i in range(2)]
    assert fitted.score(x, y, weight, steps_ahead=ahead) == pytest.approx(np.mean(expected), abs=1e-12)


def test_scores_ahead_fall_to_that_of_the_free_run(fitted: LinearStateSpaceRegressor) -> None:
    x, y = fresh()
    scores = [fitted.score(x, y, steps_ahead=ahead) for ahead in (1, 2, 300)]
    assert scores[0] > scores[1] > scores[2] == pytest.approx(fitted.score(x, y), abs=1e-12)


@pytest.mark.parametrize("make", [lambda: LinearStateSpaceRegressor(order=2), lambda: ARXRegressor(output_lags=2)])
def test_a_model_without_inputs_is_scored_one_step_ahead(make: Callable[[], Any]) -> None:
    """1 − Var e / Var y of a known process, within 4 standard errors; its free run is the mean."""
    y = resonant(4000)
    model = make().fit(None, y[:2000])
    assert model.score(None, y[2000:]) == model.score(None, y[2000:], steps_ahead=1)
    assert model.score(None, y[2000:]) == pytest.approx(1 - 1 / np.var(y[2000:]), abs=4 * np.sqrt(2 / 2000))
    assert abs(model.score(None, y[2000:], steps_ahead=2000)) < 0.05


def test_without_noise_a_score_without_inputs_is_that_of_the_free_run() -> None:
    turn = 0.97 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    fading = LinearSystem(np.zeros((1, 0)), [[1.0, 0.0]], np.zeros((2, 0)), turn)
    model, y = LinearStateSpaceRegressor.from_system(fading), fading.simulate(np.zeros((80, 0)), np.ones(2))[0]
    assert model.score(None, y) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no model of the noise"):
        model.score(None, y, steps_ahead=1)


@pytest.mark.parametrize("ahead", [0, -1, 1.5, "all"])
def test_scores_ahead_need_a_number(fitted: LinearStateSpaceRegressor, ahead: Any) -> None:
    with pytest.raises(ValueError, match="steps_ahead, an int of at least 1"):
        fitted.score(*fresh(30), steps_ahead=ahead)


# -------------------------------------------------------------------- tests of the residuals


def whole(record: DataRecord, _: int) -> tuple[Any, Any]:
    """One record of 300 steps."""
    return record.x, record.y


def with_gaps(record: DataRecord, seed: int) -> tuple[Any, Any]:
    """Every output missing in 3 of 10 rows."""
    return record.x, np.where(np.random.default_rng(seed).random(record.y.shape) < 0.3, np.nan, record.y)


def in_pieces(record: DataRecord, _: int) -> tuple[Any, Any]:
    """3 records of 100 steps."""
    return np.split(record.x, 3), np.split(record.y, 3)


@pytest.fixture(scope="module", params=[whole, with_gaps, in_pieces])
def accusations(request: pytest.FixtureRequest) -> pd.DataFrame:
    """Tests of the true model, of whose data nothing was fitted but the start, over 120 seeds."""
    model, tables = LinearStateSpaceRegressor.from_system(READY_MADE), []
    for seed in range(120):
        data = request.param(innovations(READY_MADE, 300, 0.3, seed), seed)
        tables.append(model.residual_tests(*data, lags=10))
    return pd.concat(tables)


@pytest.mark.parametrize("test", ["whiteness", "input", "feedback", "input, free run"])
def test_the_right_model_is_rarely_accused(accusations: pd.DataFrame, test: str) -> None:
    """Level 1 % in 240 or 480 p-values, and even over fifths; measured: 0.2 … 2.1 %, fifths of 15 … 26 %."""
    values = accusations.loc[accusations["test"] == test, "p_value"].to_numpy()
    assert len(values) >= 240
    assert (values < 0.01).mean() < 0.03
    fifths = np.histogram(values, np.linspace(0, 1, 6))[0] / len(values)
    np.testing.assert_allclose(fifths, 0.2, atol=0.08)


def verdicts(model: LinearStateSpaceRegressor, x: Array, y: Array) -> dict[str, bool]:
    """Whether a test found something, in any output and input."""
    table = model.residual_tests(x, y)
    return {str(name): bool((rows["verdict"] != "nothing left").any()) for name, rows in table.groupby("test")}


def test_a_fitted_model_of_the_right_order_has_nothing_left(fitted: LinearStateSpaceRegressor) -> None:
    assert not any(verdicts(fitted, *fresh(1000)).values())


def test_too_low_an_order_is_detected() -> None:
    system = stable_system(4, 1, 1, seed=3, weakest=0.1)
    found = []
    for seed in range(5):
        x, y = driven(system, 800, 0.1, seed)
        low, right = (LinearStateSpaceRegressor(order=order).fit(x, y) for order in (2, 4))
        assert verdicts(low, x, y)["input, free run"]
        found.append(any(verdicts(right, x, y).values()))
    assert sum(found) <= 1


def test_feedback_is_detected() -> None:
    """u_t = w_t − 0.6 y_{t-1} of a plant with innovations: later inputs know earlier errors."""
    random = np.random.default_rng(0)
    h, last, x, y = 0.0, 0.0, [], []
    for _ in range(1000):
        x.append(random.normal() - 0.6 * last)
        error = random.normal()
        last = h + error
        h = 0.8 * h + x[-1] + 0.5 * error
        y.append(last)
    inputs, outputs = np.array(x)[:, None], np.array(y)[:, None]
    model = LinearStateSpaceRegressor(order=1).fit(inputs, outputs)
    assert verdicts(model, inputs, outputs)["feedback"]
    assert not verdicts(LinearStateSpaceRegressor(order=1).fit(*driven(level=0.1)), *driven(level=0.1))["feedback"]


def test_tests_name_outputs_and_inputs_and_need_enough_rows(fitted: LinearStateSpaceRegressor) -> None:
    table = fitted.residual_tests(*fresh())
    assert list(table.columns) == ["test", "output", "input", "statistic", "p_value", "verdict"]
    assert len(table) == 2 * (1 + 2 * 3)
    assert set(table["output"]) == {"y0", "y1"}
    with pytest.raises(ValueError, match="30 rows of y0 are known, but tests over lags=20 need 80"):
        fitted.residual_tests(*fresh(30))
    for lags in (0, -1, 1.5):
        with pytest.raises(ValueError, match="lags must be an int of at least 1"):
            fitted.residual_tests(*fresh(30), lags=lags)


def test_scattered_gaps_leave_enough_to_find_what_is_left(fitted: LinearStateSpaceRegressor) -> None:
    """No stretch of 80 known rows, as one in ten is missing; the right model is not accused, a wrong one is."""
    x, y = fresh(1500)
    y[np.arange(1500) % 10 == 3] = np.nan
    assert not any(verdicts(fitted, x, y).values())
    low = LinearStateSpaceRegressor(order=1).fit(x, y)
    assert verdicts(low, x, y)["input"] and verdicts(low, x, y)["whiteness"]


def test_fitting_is_silent_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LinearStateSpaceRegressor(order=2).fit(*driven(level=0.1))
