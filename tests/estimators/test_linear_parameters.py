"""What a linear state-space regressor is told: the time between steps, delays, offsets, the focus, and how to train."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from sklearn.base import clone

from seqdyn import ARXRegressor, Autoregression, LinearStateSpaceRegressor, linearise, load
from seqdyn.estimators.identification_warnings import warn_of
from seqdyn.estimators.sampling import UNITS, sampling
from seqdyn.estimators.tasks import NumberTask
from seqdyn.estimators.training import Training
from seqdyn.identification.identify import Settings, identify
from seqdyn.identification.records import DataRecord
from seqdyn.identification.system import LinearSystem

Array = np.ndarray[Any, Any]


def echo(time: int = 300, delay: int = 0, noise: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    """y_t = 0.9 y_{t-1} + x_{t-1-d} of white noise, and white noise on it: its time constant is 9.49 steps."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(time, 1))
    return x, lfilter([0.0] * (1 + delay) + [1.0], [1.0, -0.9], x[:, 0]) + noise * random.normal(size=time)


STEPS = -1.0 / np.log(0.9)
"""The time constant of :func:`echo`, in steps."""


# -------------------------------------------------------------------- the house


def test_the_parameters_of_training_are_those_of_what_trains() -> None:
    """Every one of them, with its default; what is asked of an identification differs, and is said here."""
    trained = {field.name: field.default for part in (Training, NumberTask) for field in fields(part)}
    found = {field.name: field.default for field in fields(LinearStateSpaceRegressor)}
    different = {"initial_state": "estimate", "validation_fraction": 0.25, "dtype": "float64"}
    assert {name: found[name] for name in trained} == trained | different


@pytest.mark.parametrize("model", [LinearStateSpaceRegressor(order=2), ARXRegressor(output_lags=2)])
def test_all_about_the_system_is_that_of_the_system(model: Any) -> None:
    model.fit(*echo(noise=0.1))
    system = model.system_
    for name in ("feedthrough", "readout", "input_map", "transition", "output_offset", "state_offset"):
        np.testing.assert_array_equal(getattr(model, f"{name}_"), getattr(system, name))
    assert model.summary() == system.summary()
    for draw in ("plot_bode", "plot_poles", "plot_response", "plot_singular_values"):
        assert len(getattr(model, draw)().axes) == len(getattr(system, draw)().axes)
        for own, other in zip(
            inspect.signature(getattr(model, draw)).parameters.values(),
            inspect.signature(getattr(system, draw)).parameters.values(),
            strict=False,
        ):
            if own.kind is not own.VAR_KEYWORD:
                assert (own.name, own.default) == (other.name, other.default)


def test_a_system_has_the_names_of_the_frames() -> None:
    x, y = echo(noise=0.1)
    model = LinearStateSpaceRegressor(order=1).fit(pd.DataFrame({"valve": x[:, 0]}), pd.Series(y, name="level"))
    for system in (model.system_, linearise(model)):
        assert (system.input_names, system.output_names) == (("valve",), ("level",))
    assert "valve" in model.summary()
    plain = LinearStateSpaceRegressor(order=1).fit(x, y).system_
    assert (plain.input_names, plain.output_names) == ((), ())


# -------------------------------------------------------------------- the time between two steps


def at(index: pd.Index) -> tuple[pd.DataFrame, pd.Series]:
    x, y = echo(len(index))
    return pd.DataFrame({"x": x[:, 0]}, index), pd.Series(y, index)


TIMES: dict[str, tuple[Any, float, str]] = {
    "seconds": (pd.date_range("2024-01-01", periods=300, freq="30s"), 30.0, "s"),
    "milliseconds": (pd.date_range("2024-01-01", periods=300, freq="5ms"), 0.005, "s"),
    "minutes": (pd.date_range("2024-01-01", periods=300, freq="10min"), 10.0, "min"),
    "hours, with a zone": (pd.date_range("2024-01-01", periods=300, freq="3h", tz="UTC"), 3.0, "h"),
    "days": (pd.date_range("2024-01-01", periods=300, freq="D"), 1.0, "d"),
    "since the start": (pd.timedelta_range("0s", periods=300, freq="2min"), 2.0, "min"),
    "numbers": (pd.RangeIndex(300), 1.0, ""),
}


@pytest.mark.parametrize("name", TIMES)
def test_the_step_is_read_from_the_labels(name: str) -> None:
    """Of X, and of y where X has none; time constants are in that unit."""
    index, dt, unit = TIMES[name]
    x, y = at(index)
    for given_ in ((x, y), (x.to_numpy(), y), (x, y.to_numpy())):
        model = LinearStateSpaceRegressor(order=1).fit(*given_)
        assert model.dt_ == pytest.approx(dt)
        assert model.system_.time_unit == model.time_unit_ == unit
        assert model.system_.time_constants()[0] == pytest.approx(dt * STEPS)


def test_panels_lists_and_xarrays_have_labels_of_time_too() -> None:
    index = pd.date_range("2024-01-01", periods=150, freq="15min")
    x, y = at(index)
    panel = pd.concat({"a": x, "b": x}), pd.concat({"a": y, "b": y})
    listed = [x, x.iloc[:100]], [y, y.iloc[:100]]
    labelled = x.rename_axis(index="time", columns="features").stack().to_xarray(), y.rename_axis("time").to_xarray()
    for data in (panel, listed, labelled, (None, y)):
        model = LinearStateSpaceRegressor(order=1).fit(*data)
        assert (model.dt_, model.time_unit_) == (15.0, "min")


def test_records_of_unlike_steps_are_refused() -> None:
    """Unless it is said what the step is."""
    parts = [at(pd.date_range("2024-01-01", periods=100, freq=freq)) for freq in ("10min", "1h")]
    x, y = map(list, zip(*parts, strict=True))
    with pytest.raises(ValueError, match=r"step of 0 days 00:10:00, others of 0 days 01:00:00: .* set dt"):
        LinearStateSpaceRegressor(order=1).fit(x, y)
    assert LinearStateSpaceRegressor(order=1, dt=2.0, time_unit="s").fit(x, y).system_.dt == 2.0


@given(seconds=st.floats(1e-3, 1e7), unit=st.sampled_from(["", *UNITS]))
@settings(max_examples=50, deadline=None)
def test_a_time_is_the_same_in_every_unit(seconds: float, unit: str) -> None:
    """To the nanosecond that pandas knows; the unit chosen is the largest that the step fills."""
    step = pd.Timedelta(seconds, "s")
    for given_ in (step, str(step), step.to_timedelta64()):
        found = sampling(given_, unit)
        assert found.dt * UNITS[found.unit] == pytest.approx(seconds, rel=1e-12, abs=2e-9)
        assert found.unit == unit or (not unit and (found.dt >= 1 or found.unit == "s"))


@pytest.mark.parametrize("dt", [0.0, -1.0, np.inf, np.nan, "soon", "-3min", True, [1.0]])
def test_what_is_no_time_is_refused(dt: Any) -> None:
    with pytest.raises(ValueError, match="dt must be None, a number above 0, or a time such as '10min'"):
        LinearStateSpaceRegressor(dt=dt).fit(*echo())


def test_a_time_needs_a_unit_of_time() -> None:
    with pytest.raises(ValueError, match="time_unit='V', but the step is a time, 0 days 00:10:00: take one of d, h"):
        LinearStateSpaceRegressor(order=1, dt="10min", time_unit="V").fit(*echo())
    with pytest.raises(ValueError, match="time_unit must be the name of a unit"):
        LinearStateSpaceRegressor(order=1, time_unit=3).fit(*echo())
    assert LinearStateSpaceRegressor(order=1, dt="30min", time_unit="h").fit(*echo()).dt_ == 0.5


@pytest.mark.parametrize(
    "dt", [None, 0.1, "10min", pd.Timedelta("10min"), timedelta(minutes=10), np.timedelta64(10, "m")]
)
def test_files_hold_the_step(dt: Any, tmp_path: Path) -> None:
    model = LinearStateSpaceRegressor(order=1, dt=dt).fit(*echo(noise=0.1))
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert (again.dt_, again.time_unit_, again.focus_) == (model.dt_, model.time_unit_, model.focus_)
    assert repr(again.system_) == repr(model.system_)
    assert clone(again).fit(*echo(noise=0.1)).dt_ == model.dt_


def test_given_and_linearised_systems_keep_their_step() -> None:
    system = LinearSystem([[0.0]], [[1.0]], [[1.0]], [[0.9]], dt=0.2, time_unit="h")
    model = LinearStateSpaceRegressor.from_system(system)
    for found in (model.system_, linearise(model)):
        assert (found.dt, found.time_unit) == (0.2, "h")
    assert (linearise(model, dt=3.0).dt, linearise(model, dt=3.0).time_unit) == (3.0, "")


# -------------------------------------------------------------------- delay, offset, focus


@pytest.mark.parametrize("delay", [3, [3], (3,), np.array([3]), "auto"])
def test_a_delay_stands_in_the_state(delay: Any) -> None:
    """Four coefficients before the first that is not 0, exactly; order is that of what is behind the delay."""
    x, y = echo(delay=3)
    model = LinearStateSpaceRegressor(order=1, feedthrough=False, input_delay=delay).fit(x, y)
    assert (model.order_, model.input_delay_) == (4, (3,))
    assert model.excitation_ is not None and model.excitation_.delay.tolist() == [1]  # without feedthrough
    response = model.system_.markov_parameters(8)[:, 0, 0]
    np.testing.assert_allclose(response, [0.0] * 4 + [1.0, 0.9, 0.81, 0.729], atol=1e-9)
    np.testing.assert_allclose(model.predict(x), y, atol=1e-8)


@pytest.mark.parametrize("delay", [-1, 1.5, "long", [1, -1], [[1]], None])
def test_what_is_no_delay_is_refused(delay: Any) -> None:
    with pytest.raises(ValueError, match="input_delay must be an int of at least 0 or 'auto' or a sequence"):
        LinearStateSpaceRegressor(order=1, input_delay=delay).fit(*echo())


def test_there_is_one_delay_an_input() -> None:
    for cls in (LinearStateSpaceRegressor, ARXRegressor):
        with pytest.raises(ValueError, match=r"input_delay must be a whole number .* or 1 of them.*got \[1, 2\]"):
            cls(input_delay=[1, 2]).fit(*echo())


def test_a_record_outlasts_the_delay() -> None:
    x, y = echo()
    with pytest.raises(ValueError, match="input_delay=400, but the shortest record has 300 rows"):
        LinearStateSpaceRegressor(order=1, input_delay=400).fit(x, y)
    with pytest.raises(ValueError, match="input_delay=50, but the shortest record has 50 rows"):
        LinearStateSpaceRegressor(order=1, input_delay=50).fit([x, x[:50]], [y, y[:50]])


def test_a_drift_is_a_state_that_is_estimated_too() -> None:
    """A level that moved since the fit: predictions start from where it is now, and not from its place in the fit."""
    x, y = echo(1500, noise=0.02)
    drift = 0.1 * np.random.default_rng(1).normal(size=1500).cumsum()
    model = LinearStateSpaceRegressor(order=1, offset="drift", focus="prediction").fit(x[:1000], (y + drift)[:1000])
    assert model.order_ == 2
    moved = y + 50.0
    state = model.estimate_state(x[1000:1050], moved[1000:1050])
    errors = model.predict(x[1000:], initial_state=state) - moved[1000:]
    assert np.abs(errors).mean() < 2.0
    assert np.abs(model.predict(x[1000:]) - moved[1000:]).mean() > 20.0


@pytest.mark.parametrize("focus", ["prediction", "simulation"])
def test_the_focus_is_the_one_asked_for(focus: str) -> None:
    model = LinearStateSpaceRegressor(order=1, focus=focus).fit(*echo(noise=0.2))
    assert model.focus_ == model.system_.estimation.focus == focus


def test_the_focus_of_what_was_not_identified_is_none() -> None:
    trained = LinearStateSpaceRegressor(order=1, method="gradient", stable=False, max_epochs=1).fit(*echo())
    assert trained.focus_ is None and trained.input_delay_ is None and trained.system_.estimation is None
    assert LinearStateSpaceRegressor.from_system(trained.system_).focus_ is None


def test_the_search_tells_the_focus_and_the_order() -> None:
    search = LinearStateSpaceRegressor().fit(*echo(noise=0.2)).order_search_
    assert list(search.columns) == ["focus", "order", "singular_value", "subspace_error", "refined_error"]
    assert set(search["focus"]) <= {"prediction", "simulation"} and search["order"].min() == 0


# -------------------------------------------------------------------- what a training would not keep

WALK = np.random.default_rng(0).normal(size=200).cumsum()


@pytest.mark.parametrize(
    "kept",
    [{"feedthrough": False}, {"input_delay": 2}, {"input_delay": "auto"}, {"offset": "drift"}, {"offset": "trend"}],
)
@pytest.mark.parametrize(
    ("trained", "advice"),
    [
        ({"method": "gradient"}, "method='subspace\\+gradient'"),
        ({"loss": "mae"}, "loss='mse'"),
        ({"window": 20}, "window=None"),
        ({"early_stopping": True}, "early_stopping=False"),
        ({"initial_state": "learned"}, "initial_state='estimate'"),
    ],
)
def test_a_training_would_not_keep_it(kept: dict[str, Any], trained: dict[str, Any], advice: str) -> None:
    """The error names what asks for the training, what it would lose, and what to set; which then is fitted."""
    ((name, value),), ((asks, _),) = kept.items(), trained.items()
    text = rf"training loop, which {asks} asks for, cannot hold {name}={value!r}: .* Set {advice}, or leave out {name}"
    with pytest.raises(ValueError, match=text):
        LinearStateSpaceRegressor(**kept, **trained).fit(*echo())


@pytest.mark.parametrize(("asked", "words"), [({"focus": "prediction"}, "focus='prediction' asks"),
                                              ({"offset": "drift"}, "offset='drift' asks")])  # fmt: skip
def test_another_focus_than_the_one_asked_for_is_said(asked: dict[str, Any], words: str) -> None:
    x, y = echo(noise=0.1)
    records, settings_ = [DataRecord.of(x, y[:, None])], Settings(order=1, **{"focus": "auto"} | asked)
    found = identify(records, replace(settings_, focus="simulation", offset="constant"))
    with pytest.warns(UserWarning, match=f"No stable predictor of order 1 was found, which {words}.*stable=False"):
        warn_of(found, records, settings_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(replace(found, focus="prediction"), records, settings_)
        warn_of(found, records, Settings(order=1, focus="auto"))


def test_no_warm_up_is_too_short_for_a_drift() -> None:
    """Which never forgets its start; a memory that a warm-up could outlast is still spoken of."""
    x, y = echo(600, noise=0.1)
    drift = y + 0.1 * np.random.default_rng(1).normal(size=600).cumsum()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LinearStateSpaceRegressor(order=1, offset="drift", initial_state="warmup", warmup=16).fit(x, drift)
    assert model.forgetting_time_ > 1e6
    with pytest.warns(UserWarning, match="warmup=2 is shorter than the .* Set a longer warmup"):
        LinearStateSpaceRegressor(order=1, initial_state="warmup", warmup=2).fit(x, y)


TRAININGS: dict[str, tuple[Callable[[], LinearStateSpaceRegressor], str]] = {
    "alone": (lambda: LinearStateSpaceRegressor(order=2, method="gradient", max_epochs=3, random_state=0), "training"),
    "after the closed form": (
        lambda: LinearStateSpaceRegressor(order=2, loss="mae", max_epochs=3, random_state=0),
        "subspace+training",
    ),
    "with its own past": (
        lambda: LinearStateSpaceRegressor(autoregression=Autoregression(), max_epochs=3, random_state=0),
        "training",
    ),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_tells_of_itself_and_goes_on(name: str, tmp_path: Path) -> None:
    """History, epochs, state; warm starts and pieces go on from the weights; a file brings it back."""
    make, method = TRAININGS[name]
    model = make().fit(WALK[:-1, None], WALK[1:])
    assert model.method_ == method and model.n_iter_ == len(model.history_) == 3
    before = model.transition_
    model.save(tmp_path / "model.safetensors")
    for going_on in (load(tmp_path / "model.safetensors"), model):
        going_on.partial_fit(WALK[:-1, None], WALK[1:])
        assert len(going_on.history_) == 1 and not np.array_equal(going_on.transition_, before)
    losses = model.set_params(warm_start=True).fit(WALK[:-1, None], WALK[1:]).history_["loss"]
    assert losses.iloc[0] < make().fit(WALK[:-1, None], WALK[1:]).history_["loss"].iloc[0]


def test_what_is_identified_alone_has_an_empty_history() -> None:
    model = LinearStateSpaceRegressor(order=1).fit(*echo())
    assert model.n_iter_ == 0 and list(model.history_["loss"]) == []
    model.partial_fit(*echo(seed=1))
    assert model.method_.endswith("+training") and len(model.history_) == 1


def test_a_given_system_can_be_trained_on() -> None:
    """From where it is, in its own units; what was known of its estimation is not known of what came of it."""
    x, y = echo(noise=0.1)
    given_ = LinearStateSpaceRegressor(order=1).fit(x, y).system_
    model = LinearStateSpaceRegressor.from_system(given_).set_params(learning_rate=1e-4, random_state=0)
    before = np.mean((model.predict(x) - y) ** 2)
    model.partial_fit(x, y)
    assert model.method_ == "given+training" and len(model.history_) == 1
    assert not np.array_equal(model.transition_, given_.transition)
    assert np.mean((model.predict(x) - y) ** 2) == pytest.approx(before, rel=0.1)
    assert model.system_.estimation is None and model.system_.noise_gain is not None
