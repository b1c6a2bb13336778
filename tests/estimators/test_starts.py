"""Where runs and scores start: plain numbers, a State, or what the first rows of a record tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from sklearn.metrics import r2_score
from sklearn.model_selection import TimeSeriesSplit, cross_val_score

from seqdyn import ARXRegressor, Autoregression, ElmanRegressor, GRUClassifier, LinearStateSpaceRegressor, LSTMRegressor
from seqdyn.estimators.linear_model import LinearModel
from seqdyn.estimators.starts import PARTS, SHORTEST, STATES, leading_rows
from seqdyn.identification.kalman import prediction_deviation
from seqdyn.identification.system import LinearSystem
from seqdyn.state import flatten
from tests.estimators.models import CAUSAL, CLOSED, panel, table

Array = np.ndarray[Any, Any]

SLOW = LinearSystem.from_control([[0.97, 0.1], [0.0, 0.8]], [[0.0], [1.0]], [[1.0, 0.0]], [[0.0]])
"""A memory of 33 steps."""
NOISY = LinearSystem(
    [[0.1], [0.0]], [[1.0, 0.5], [0.2, -1.0]], [[1.0], [0.3]], [[0.9, 0.1], [0.0, 0.6]],
    noise_gain=[[0.4, 0.1], [0.0, 0.3]], noise_covariance=[[1.0, 0.3], [0.3, 2.0]],
)  # fmt: skip
EVERY: dict[str, Callable[[], Any]] = CAUSAL | CLOSED


def released(time: int = 600, start: Any = (100.0, 0.0), level: float = 0.05, seed: int = 0) -> tuple[Array, Array]:
    """White inputs, and the outputs of the slow system from this start, with white noise."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(time, 1))
    return x, SLOW.simulate(x, np.asarray(start))[0][:, 0] + level * random.normal(size=time)


@pytest.fixture(scope="module")
def slow() -> LinearStateSpaceRegressor:
    return LinearStateSpaceRegressor.from_system(SLOW)


# -------------------------------------------------------------------- plain numbers


@pytest.mark.parametrize("name", EVERY)
def test_numbers_are_the_state_they_stand_for(name: str) -> None:
    """The leaves, one after the other: for one run, for many, for streams; as an array, a list or a tensor."""
    X, y = panel(3, 30)
    model = EVERY[name]().fit(X, y)
    numbers = flatten(model.state_).detach().double().numpy()
    expected = model.predict(X, initial_state=model.state_)
    for given_ in (numbers, numbers.tolist(), torch.as_tensor(numbers)):
        np.testing.assert_allclose(model.predict(X, initial_state=given_), expected, atol=1e-6 * np.abs(expected).max())
    alone = model.predict(X[0], initial_state=numbers[0])
    np.testing.assert_allclose(alone, expected[0], atol=1e-6 * np.abs(expected).max())
    stream = model.stream(numbers[0])
    np.testing.assert_allclose([stream.push(row) for row in X[0]], alone, rtol=1e-4, atol=1e-6 * np.abs(alone).max())


@pytest.mark.parametrize("name", EVERY)
def test_zero_is_a_state_of_zeros(name: str) -> None:
    """By its name, in runs, scores and streams; whatever the estimator itself starts from."""
    X, y = panel(3, 30)
    model = EVERY[name]().fit(X, y)
    zeros = np.zeros(flatten(model.state_).shape[1])
    np.testing.assert_array_equal(model.predict(X, initial_state="zero"), model.predict(X, initial_state=zeros))
    assert model.score(X, y, initial_state="zero") == model.score(X, y, initial_state=zeros)
    np.testing.assert_array_equal(model.stream("zero").push(X[0, 0]), model.stream(zeros).push(X[0, 0]))


def test_zero_is_not_the_start_that_was_learned() -> None:
    X, y = panel(3, 30)
    model = ElmanRegressor(hidden_size=3, initial_state="learned", max_epochs=5, random_state=0).fit(X, y)
    assert np.abs(model.predict(X, initial_state="zero") - model.predict(X))[:, 0].min() > 0.0
    np.testing.assert_array_equal(model.predict(X, initial_state="zero"), model.predict(X, initial_state=np.zeros(3)))


def test_numbers_stand_for_classifiers_too() -> None:
    X, y = table(60)
    model = GRUClassifier(hidden_size=3, max_epochs=2, random_state=0).fit(X, y > y.mean())
    np.testing.assert_array_equal(
        model.predict(X, initial_state=flatten(model.state_)[0].tolist()), model.predict(X, initial_state=model.state_)
    )
    with pytest.raises(
        ValueError, match=r"initial_state='estimate', expected 'zero', .*a State, or plain numbers of shape \(3,\)"
    ):
        model.predict(X, initial_state="estimate")


@given(rows=st.integers(1, 4), width=st.integers(1, 5), flat=st.booleans())
@settings(max_examples=40, deadline=None)
def test_numbers_of_another_shape_are_refused(rows: int, width: int, flat: bool) -> None:
    """One row for all, or one a series, as wide as the state; else the error says what was expected."""
    model, x = LinearStateSpaceRegressor.from_system(SLOW), np.ones((3, 5, 1))
    numbers = np.ones(width) if flat else np.ones((rows, width))
    if width == 2 and (flat or rows in (1, 3)):
        ran = model.predict(x, initial_state=numbers)
        np.testing.assert_allclose(ran[2], SLOW.simulate(x[2], np.ones(2))[0][:, 0])
        return
    with pytest.raises(
        ValueError, match=r"initial_state has shape .*, expected 'zero', .*a State, or plain numbers of shape \(2,"
    ):
        model.predict(x, initial_state=numbers)


@pytest.mark.parametrize("start", [[np.nan, 0.0], "rest", {"h": 1.0}, 3.0, [[[0.0, 0.0]]], [[0.0], [0.0, 1.0]]])
def test_what_is_no_start_is_refused(slow: LinearStateSpaceRegressor, start: Any) -> None:
    x, y = released(50)
    asks: list[Callable[[], Any]] = [
        lambda: slow.predict(x, initial_state=start),
        lambda: slow.predict(x, y=y, steps_ahead=1, initial_state=start),
        lambda: slow.score(x, y, initial_state=start),
        lambda: slow.stream(start),
    ]
    for ask in asks:
        with pytest.raises(ValueError, match="initial_state|model of the noise"):
            ask()
    with pytest.raises(ValueError, match="'zero', 'estimate' where y is given beside X, a State, or plain numbers"):
        slow.stream("estimate")


# -------------------------------------------------------------------- estimated starts


@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=5), width=st.integers(0, 40))
def test_a_tenth_tells_the_start_or_two_rows_a_number(lengths: list[int], width: int) -> None:
    """Never a whole record; none of a short one, and none without a state."""
    found = leading_rows(np.array(lengths), width)
    for rows, length in zip(found, lengths, strict=True):
        if not width or length < SHORTEST * width:
            assert rows == 0
        else:
            assert rows == max(int(np.ceil(length / PARTS)), STATES * width) <= length
            assert rows < length or length == 1


@pytest.mark.parametrize("name", EVERY)
def test_an_estimated_start_is_that_of_the_first_rows(name: str) -> None:
    """Of every model; the score leaves these rows out, those without weight too."""
    X, y = panel(2, 60)
    model = EVERY[name]().fit(X, y)
    width = flatten(model.cell_.initial_state(1)).shape[1]
    (rows,) = set(leading_rows(np.array([60, 60]), width).tolist())
    ran = model.predict(X, y=y, initial_state="estimate")
    state = model.estimate_state(X[:, :rows], y[:, :rows]) if rows else None
    np.testing.assert_allclose(ran, model.predict(X, initial_state=state), atol=1e-5 * np.abs(ran).max())
    expected = r2_score(y[:, rows:].ravel(), ran[:, rows:].ravel())
    assert model.score(X, y, initial_state="estimate") == pytest.approx(expected, abs=1e-5)


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4), listed=st.booleans())
@settings(max_examples=25, deadline=None)
def test_records_of_any_length_start_each_for_itself(lengths: list[int], listed: bool) -> None:
    """Exact from 6 rows on; a shorter record is left to rest. In lists, and in frames with labels."""
    model, starts = LinearStateSpaceRegressor.from_system(SLOW), np.random.default_rng(0).normal(size=(4, 2))
    data = [released(n, start, 0.0, seed=n) for n, start in zip(lengths, starts, strict=False)]
    x, y = map(list, zip(*data, strict=True))
    ran = model.predict(x, y=y, initial_state="estimate")
    if not listed:
        keys = [f"record {i}" for i in range(len(x))]
        frames = pd.concat([pd.DataFrame(part) for part in x], keys=keys), pd.concat(list(map(pd.Series, y)), keys=keys)
        together = model.predict(frames[0], y=frames[1], initial_state="estimate")
        ran = np.split(together, np.cumsum(lengths)[:-1])
    for inputs, outputs, found in zip(x, y, ran, strict=True):
        expected = outputs if len(outputs) >= 6 else model.predict(inputs)
        np.testing.assert_allclose(found, expected, atol=1e-8)


def test_what_is_missing_or_counts_nothing_tells_nothing(slow: LinearStateSpaceRegressor) -> None:
    """Gaps and weights of 0 in the first rows; where nothing is known there, the record is left to rest."""
    x, y = released(level=0.0)
    holes, weight = y.copy(), np.ones(600)
    holes[:55], weight[:57] = np.nan, 0.0
    wrong = np.where(weight > 0, y, 1e3)
    for outputs, counts in ((holes, None), (wrong, weight)):
        assert slow.score(x, outputs, counts, initial_state="estimate") == pytest.approx(1.0)
    holes[:60] = np.nan
    assert slow.score(x, holes, initial_state="estimate") == pytest.approx(r2_score(y[60:], slow.predict(x)[60:]))


def test_records_of_a_network_may_be_ragged() -> None:
    """Their states are those of each alone."""
    X, y = table(150)
    model = ElmanRegressor(hidden_size=3, max_epochs=20, dtype="float64", random_state=0).fit(X, y)
    cuts = [(0, 40), (40, 70), (70, 150)]
    x, z = ([values[a:b] for a, b in cuts] for values in (X, y))
    together = flatten(model.estimate_state(x, z))
    for row, inputs, outputs in zip(together, x, z, strict=True):
        found = model.predict(inputs, initial_state=row.numpy()[None])
        alone = model.predict(inputs, initial_state=model.estimate_state(inputs, outputs))
        assert np.mean((found - outputs) ** 2) == pytest.approx(np.mean((alone - outputs) ** 2), rel=1e-3)


# -------------------------------------------------------------------- scores


def test_the_score_of_an_identified_model_does_not_ask_where_it_starts(slow: LinearStateSpaceRegressor) -> None:
    """A right model is right on a record that starts elsewhere; from rest it is not."""
    x, y = released()
    fitted = LinearStateSpaceRegressor(order=2).fit(x, y)
    for model in (slow, fitted):
        assert model.score(x, y) == model.score(x, y, initial_state="estimate") > 0.98
        assert model.score(x, y, initial_state=np.zeros(2)) < 0.5
        told = model.score(x, y, initial_state=[100.0, 0.0] if model is slow else fitted.starts_)
        assert told > 0.99


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinearStateSpaceRegressor(order=2, initial_state="zero"),
        lambda: ARXRegressor(),
        lambda: LSTMRegressor(hidden_size=3, max_epochs=3, random_state=0),
    ],
)
def test_other_models_score_from_their_strategy(make: Callable[[], Any]) -> None:
    x, y = released()
    model = make().fit(x, y)
    assert model.score(x, y) == pytest.approx(r2_score(y, model.predict(x)))


def test_a_model_that_is_not_identified_scores_from_its_strategy() -> None:
    """One with its own past, one output a sequence, or several outputs a target."""
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    own = LinearStateSpaceRegressor(autoregression=Autoregression(), max_epochs=3, random_state=0)
    own.fit(walk[:-1, None], walk[1:])
    assert own.score(walk[:-1, None], walk[1:]) == r2_score(walk[1:], own.predict(walk[:-1, None]))
    X, _ = panel(6)
    whole = LinearStateSpaceRegressor(return_sequences=False, max_epochs=3, random_state=0).fit(X, X[:, -1, 0])
    assert whole.score(X, X[:, -1, 0]) == r2_score(X[:, -1, 0], whole.predict(X))
    with pytest.raises(ValueError, match="return_sequences=True"):
        whole.score(X, X[:, -1, 0], initial_state="estimate")


def test_cross_validation_does_not_punish_folds_that_start_under_way() -> None:
    """Every fold after the first starts where the last one left the system, 3 deviations from rest or more."""
    x = np.repeat(np.random.default_rng(0).normal(size=12), 50)[:, None]
    y = lfilter([0.0, 0.02], [1.0, -0.98], x[:, 0]) + 0.001 * np.random.default_rng(1).normal(size=600)
    folds = TimeSeriesSplit(5, test_size=60)
    scores = cross_val_score(LinearStateSpaceRegressor(order=1), x, y, cv=folds)
    cold = cross_val_score(LinearStateSpaceRegressor(order=1, initial_state="zero"), x, y, cv=folds)
    assert scores.min() > 0.95 and cold.min() < 0.0
    by_hand = []
    for train, test in folds.split(x):
        model = LinearStateSpaceRegressor(order=1).fit(x[train], y[train])
        ran = model.predict(x[test], initial_state=model.estimate_state(x[test][:6], y[test][:6]))
        by_hand.append(r2_score(y[test][6:], ran[6:]))
    np.testing.assert_allclose(scores, by_hand, rtol=1e-9)


def test_an_estimate_needs_what_was_measured(slow: LinearStateSpaceRegressor) -> None:
    x, y = released(50)
    with pytest.raises(ValueError, match="y=None and initial_state='estimate'"):
        slow.predict(x, initial_state="estimate")
    model = ElmanRegressor(hidden_size=3, max_epochs=2, random_state=0).fit(x, y)
    for given_ in ({"y": y}, {"y": y, "initial_state": model.state_}):
        with pytest.raises(ValueError, match="give y and initial_state='estimate' together"):
            model.predict(x, **given_)


# -------------------------------------------------------------------- steps ahead


@pytest.mark.parametrize("ahead", [1, 3])
def test_the_deviation_of_a_prediction_comes_with_it(ahead: int) -> None:
    """In units of the outputs, over gaps, as the filter of the system says; then the state."""
    x = np.random.default_rng(0).normal(size=(2, 80, 1))
    y = np.stack([NOISY.simulate(part)[0] for part in x])
    y[0, 20:30] = y[1, 5, 1] = np.nan
    model = LinearStateSpaceRegressor.from_system(NOISY)
    ran, deviation, state = model.predict(x, y=y, steps_ahead=ahead, return_std=True, return_state=True)
    alone, last = model.predict(x, y=y, steps_ahead=ahead, return_state=True)
    np.testing.assert_array_equal(ran, alone)
    np.testing.assert_array_equal(state.h, last.h)
    for found, measured in zip(deviation, y, strict=True):
        np.testing.assert_allclose(found, prediction_deviation(model.system_, measured, ahead))
    assert deviation[0, 29, 0] > deviation[0, 10, 0] >= 1.0


def test_predictions_ahead_lie_within_their_deviation() -> None:
    """Of a model fitted in units far from 1: 68.3 % within one deviation, within 4 standard errors of that share."""
    random = np.random.default_rng(0)
    errors = random.multivariate_normal(np.zeros(2), NOISY.noise_covariance, size=4000)
    x, h, y = random.normal(size=(4000, 1)), np.zeros(2), np.zeros((4000, 2))
    for t, (now, e) in enumerate(zip(x, errors, strict=True)):
        y[t] = NOISY.feedthrough @ now + NOISY.readout @ h + e
        h = NOISY.input_map @ now + NOISY.transition @ h + NOISY.noise_gain @ e
    y = 1000.0 * y + 50.0
    model: LinearModel = LinearStateSpaceRegressor(order=2, focus="prediction").fit(x[:2000], y[:2000])
    ran, deviation = model.predict(x[2000:], y=y[2000:], steps_ahead=1, return_std=True)
    inside = (np.abs(y[2000:] - ran) < deviation).mean(axis=0)
    np.testing.assert_allclose(inside, 0.683, atol=4 * np.sqrt(0.683 * 0.317 / 2000))


def test_steps_ahead_start_where_the_first_rows_say(slow: LinearStateSpaceRegressor) -> None:
    system = LinearSystem(*(getattr(SLOW, name) for name in ("feedthrough", "readout", "input_map", "transition")),
                          noise_gain=np.zeros((2, 1)), noise_covariance=[[1.0]])  # fmt: skip
    x, y = released(level=0.0)
    model = LinearStateSpaceRegressor.from_system(system)
    np.testing.assert_allclose(model.predict(x, y=y, steps_ahead=3, initial_state="estimate"), y, atol=1e-8)
    assert np.abs(model.predict(x, y=y, steps_ahead=3) - y).max() > 10.0


def test_a_deviation_needs_steps_ahead(slow: LinearStateSpaceRegressor) -> None:
    x, y = released(50)
    with pytest.raises(ValueError, match="steps_ahead=None and y=given"):
        slow.predict(x, y=y, return_std=True)
