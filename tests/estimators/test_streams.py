"""Streams of fitted estimators: a row at a time is the same as all at once."""

from __future__ import annotations

import copy
import pickle
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seqdyn
from seqdyn import (
    Autoregression,
    ElmanRegressor,
    ExponentialMovingAverage,
    GRURegressor,
    LSTMClassifier,
    LSTMRegressor,
    PersistenceRegressor,
    Stream,
)
from seqdyn.codecs import Codec, Plain
from seqdyn.data.sequences import as_sequences
from seqdyn.loops import scan
from seqdyn.state import flatten, map_leaves
from tests.estimators.models import CAUSAL, CLOSED, close, lstm, panel, table
from tests.laws.kinds import Pictures, Tokens

Array = np.ndarray[Any, Any]

EVERY = {**CAUSAL, **CLOSED}
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])


def fitted(name: str, dtype: str, outputs: int = 1) -> tuple[Any, Array]:
    """An estimator fitted on a table, and the table."""
    X, y = table(30)
    changes = {"dtype": dtype} if name in CAUSAL else {}
    return EVERY[name](**changes).fit(X, y if outputs == 1 else np.column_stack([y, -y])), X


@pytest.mark.parametrize("name", EVERY)
@PRECISIONS
def test_pushing_is_predicting(name: str, dtype: str, tolerance: float, tmp_path: Path) -> None:
    """Row by row: before and after a file, from the start and from ``state_``, and across a fork."""
    model, X = fitted(name, dtype)
    expected, onward = model.predict(X), model.predict(X, initial_state=model.state_)
    model.save(tmp_path / "model.safetensors")
    for estimator in (model, seqdyn.load(tmp_path / "model.safetensors")):
        stream = estimator.stream()
        close([stream.push(row) for row in X[:10]], expected[:10], tolerance)
        twin = stream.fork()
        close([stream.push(row) for row in X[10:]], expected[10:], tolerance)
        close([twin.push(row) for row in X[10:]], expected[10:], tolerance)
        later = estimator.stream(initial_state=estimator.state_)
        close([later.push(row) for row in X], onward, tolerance)


@pytest.mark.parametrize("name", EVERY)
def test_many_outputs(name: str) -> None:
    """A row of answers a push."""
    model, X = fitted(name, "float64" if name in CAUSAL else "", outputs=2)
    stream = model.stream()
    found = np.array([stream.push(row) for row in X])
    assert found.shape == (30, 2)
    close(found, model.predict(X), 1e-12)


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e7])
def test_large_offsets(offset: float) -> None:
    """Pascals around 101325, years around 2000: the units of the data cost a stream no digits that predict keeps."""
    X, y = table(30)
    model = lstm().fit(X + offset, y + offset)
    stream = model.stream()
    found = np.array([stream.push(row) for row in X + offset]) - offset
    np.testing.assert_allclose(found, model.predict(X + offset) - offset, rtol=0, atol=5e-5)
    assert 1 < np.abs(found).max() < 1e3


def test_forks_part() -> None:
    """What one learns the other does not know."""
    model, X = fitted("lstm", "float64")
    stream = model.stream()
    stream.push(X[0])
    twin = stream.fork()
    twin.push(X[5])
    close([stream.push(row) for row in X[1:]], model.predict(X)[1:], 1e-12)
    assert not torch.equal(flatten(stream.state), flatten(twin.state))


def test_reset_and_state() -> None:
    """Back to the beginning, or to any state; what is given and what is got is a copy."""
    model, X = fitted("lstm", "float64")
    expected = model.predict(X)
    stream = model.stream()
    for row in X[:7]:
        stream.push(row)
    seventh = stream.state
    _, state = model.predict(X[:7], return_state=True)
    close(flatten(seventh), flatten(state), 1e-12)
    stream.reset()
    close([stream.push(row) for row in X[:5]], expected[:5], 1e-12)
    stream.state = seventh
    close([stream.push(row) for row in X[7:]], expected[7:], 1e-12)
    for leaf in map_leaves(lambda leaf: leaf, stream.state):
        leaf.fill_(99.0)
    assert not (flatten(stream.state) == 99.0).any()
    close(flatten(seventh), flatten(state), 1e-12)


def test_a_state_from_a_stream_is_a_start() -> None:
    """It goes into predict, into another stream, and into ``initial_state`` of another fit."""
    model, X = fitted("lstm", "float64")
    stream = model.stream()
    for row in X[:7]:
        stream.push(row)
    state = stream.state
    close(model.predict(X[7:], initial_state=state), model.predict(X)[7:], 1e-12)
    other = lstm(initial_state=state, dtype="float64").fit(X, X[:, 0])
    assert np.isfinite(other.predict(X)).all()


def test_a_state_that_does_not_fit_a_stream() -> None:
    """Says what it has and what is needed."""
    model, X = fitted("lstm", "float64")
    other = lstm(hidden_size=5, dtype="float64").fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"h \(1, 5\).*needs .*h \(1, 4\)"):
        model.stream().state = other.state_
    with pytest.raises(ValueError, match="has .* rows, expected 1|one row"):
        model.stream(initial_state=map_leaves(lambda leaf: leaf.expand(3, -1), model.state_))
    with pytest.raises(ValueError, match=r"float32.*float64"):
        model.stream(initial_state=lstm().fit(X, X[:, 0]).state_)


@pytest.mark.parametrize("row", [[1.0], [1.0, 2.0, 3.0], 1.0, [[1.0, 2.0]]], ids=["short", "long", "scalar", "table"])
def test_a_row_of_another_shape(row: Any) -> None:
    """Says which shape is expected."""
    model, _ = fitted("lstm", "float32")
    with pytest.raises(ValueError, match=r"x has shape .*, expected \(2,\): one number a feature"):
        model.stream().push(row)


@pytest.mark.parametrize("lag", [1, 3])
@PRECISIONS
def test_output_lag_answers_late(lag: int, dtype: str, tolerance: float) -> None:
    """None τ times, then y_0, y_1, …; a reset is silent again."""
    X, y = table(30)
    model = lstm(output_lag=lag, dtype=dtype).fit(X, y)
    stream = model.stream()
    for _ in range(2):
        answers = [stream.push(row) for row in X]
        assert answers[:lag] == [None] * lag
        close(answers[lag:], model.predict(X)[:-lag], tolerance)
        stream.reset()


def test_classes_are_pushed_as_labels() -> None:
    """Names, numbers and truth values."""
    X, y = panel()
    for labels in (np.array(["down", "up"]), np.array([3, 7]), np.array([False, True])):
        model = LSTMClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(X, labels[(y > 0).astype(int)])
        stream = model.stream()
        assert [stream.push(row) for row in X[0]] == model.predict(X)[0].tolist()


# --- running on alone ----------------------------------------------------------------------------------------------


def by_hand(stream: Any, first: Any, horizon: int, feed: Any) -> Array:
    """Push every answer back."""
    answers, last = [], first
    for step in range(horizon):
        last = stream.push(feed(last, step))
        answers.append(last)
    return np.array(answers)


@pytest.mark.parametrize("name", EVERY)
@PRECISIONS
def test_a_forecast_is_feeding_predictions_back(name: str, dtype: str, tolerance: float) -> None:
    """One feature that is its own target: the same as pushing every answer, and the stream stays where it is."""
    X, _ = table(40, features=1)
    changes = {"dtype": dtype} if name in CAUSAL else {}
    model = EVERY[name](**changes).fit(X[:-1], X[1:, 0])
    stream = model.stream()
    for row in X:
        last = stream.push(row)
    found = stream.forecast(8)
    assert found.shape == (8,)
    close(found, stream.forecast(8), 0)
    close(found, by_hand(stream.fork(), last, 8, lambda y, step: [y]), 20 * tolerance)


def test_a_forecast_with_known_inputs() -> None:
    """Outputs first, then the exogenous features; or any other way, with ``feed``."""
    X, y = table(40)
    series = np.column_stack([y, X[:, 1]])
    model = lstm(dtype="float64").fit(series[:-1], y[1:])
    stream = model.stream()
    for row in series:
        last = stream.push(row)
    future = np.arange(5.0)[:, None]
    expected = by_hand(stream.fork(), last, 5, lambda y, step: [y, *future[step]])
    close(stream.forecast(5, exogenous=future), expected, 1e-12)
    other = by_hand(stream.fork(), last, 5, lambda y, step: [2 * y, -future[step, 0]])
    own = stream.forecast(5, exogenous=future, feed=lambda y, u: np.array([2 * y[0], -u[0]]))
    close(own, other, 1e-12)


def test_a_forecast_of_many_outputs() -> None:
    """Two series that are each other's inputs."""
    X, _ = table(40)
    model = lstm(dtype="float64").fit(X[:-1], X[1:])
    stream = model.stream()
    for row in X:
        last = stream.push(row)
    found = stream.forecast(6)
    assert found.shape == (6, 2)
    close(found, by_hand(stream.fork(), last, 6, lambda y, step: y), 1e-12)


def test_persistence_stays() -> None:
    """The last value, to the end of the horizon."""
    series = np.array([1.0, 2.0, 4.0, 8.0])
    stream = PersistenceRegressor().fit(series[:-1, None], series[1:]).stream()
    stream.push([8.0])
    np.testing.assert_array_equal(stream.forecast(3), [8.0, 8.0, 8.0])


def test_forecasts_that_cannot_be() -> None:
    """Before the first push, after a new state, with a lag, with features that nobody knows."""
    X, y = table(30)
    stream = lstm().fit(X, y).stream()
    with pytest.raises(ValueError, match="Nothing has been pushed"):
        stream.forecast(3)
    stream.push(X[0])
    with pytest.raises(ValueError, match=r"next input would have shape \(1,\), but \(2,\) is needed"):
        stream.forecast(3)
    with pytest.raises(ValueError, match="exogenous has .*2 rows in time.* expected exactly steps=3"):
        stream.forecast(3, exogenous=np.zeros((2, 1)))
    with pytest.raises(
        ValueError, match=r"steps must be at least 1, got 0|horizon must be an int of at least 1, got 0"
    ):
        stream.forecast(0, exogenous=np.zeros((0, 1)))
    stream.reset()
    with pytest.raises(ValueError, match="Nothing has been pushed"):
        stream.forecast(3, exogenous=np.zeros((3, 1)))
    late = lstm(output_lag=1).fit(X, y).stream()
    late.push(X[0])
    with pytest.raises(ValueError, match="output_lag=1"):
        late.forecast(3, exogenous=np.zeros((3, 1)))


# --- what a production keeps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(name: str, bad: float) -> None:
    """The error names the feature; state, answers and count stay, and the stream goes on as if nothing had come."""
    model, X = fitted(name, "float64" if name in CAUSAL else "")
    stream, twin = model.stream(), model.stream()
    for row in X[:5]:
        stream.push(row), twin.push(row)
    before = repr(stream)
    with pytest.raises(ValueError, match=f"The input is {bad} in feature 1: it would spoil the memory for good"):
        stream.push([0.0, bad, *X[0, 2:]])
    assert repr(stream) == before and torch.equal(flatten(stream.state), flatten(twin.state))
    close([stream.push(row) for row in X[5:]], [twin.push(row) for row in X[5:]], 0)


def test_a_last_value_that_is_not_known_may_be_pushed() -> None:
    """With own past the model's own prediction takes its place; infinity is refused there, too."""
    y = np.sin(np.arange(60.0))[:, None]
    model = GRURegressor(autoregression=Autoregression(), hidden_size=4, max_epochs=3, random_state=0).fit(
        y[:-1], y[1:]
    )
    holes = y[:20].copy()
    holes[7:11] = np.nan
    stream = model.stream()
    close(np.array([stream.push(row) for row in holes]), model.predict(holes), 1e-6)
    with pytest.raises(ValueError, match="The input is inf in feature 0"):
        stream.push([np.inf])
    with pytest.raises(ValueError, match="The input is nan in feature 0"):
        lstm(max_epochs=1).fit(y[:-1], y[1:]).stream().push([np.nan])


def test_probabilities_step_by_step() -> None:
    """Those of predict_proba, in the order of the classes; before the first push there are none."""
    X, y = table(30)
    labels = np.where(y > 0.5, "high", np.where(y < -0.5, "low", "mid"))
    for lag in (0, 2):
        model = LSTMClassifier(hidden_size=4, max_epochs=5, output_lag=lag, random_state=0).fit(X, labels)
        stream, expected = model.stream(), model.predict_proba(X)
        for step, row in enumerate(X):
            with pytest.raises(ValueError, match="no answer yet") if step < lag + 1 else nullcontext():
                stream.probabilities()
            answer = stream.push(row)
            if step >= lag:
                close(stream.probabilities(), expected[step - lag], 1e-6)
                assert answer == model.classes_[stream.probabilities().argmax()]
        with pytest.raises(ValueError, match="A classifier knows no quantiles; ask for probabilities"):
            stream.quantiles()


@pytest.mark.parametrize("loss", ["quantile", "gaussian"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_quantiles_step_by_step(loss: str, outputs: int) -> None:
    """Those of predict_quantiles; at other levels, between them."""
    X, y = table(30)
    y = y if outputs == 1 else np.column_stack([y, -y])
    model = lstm(loss=loss, quantiles=(0.1, 0.5, 0.8)).fit(X, y)
    stream, expected = model.stream(), model.predict_quantiles(X)
    with pytest.raises(ValueError, match="no answer yet"):
        stream.quantiles()
    for step, row in enumerate(X):
        stream.push(row)
        close(stream.quantiles(), expected[step], 1e-6)
    inner = stream.quantiles((0.3, 0.5))
    assert inner.shape == (*expected[-1].shape[:-1], 2)
    assert (expected[-1][..., 0] < inner[..., 0]).all() and (inner[..., 0] < expected[-1][..., 1]).all()
    close(inner[..., 1], expected[-1][..., 1], 1e-6)
    with pytest.raises(ValueError, match="knows no classes: fit a classifier"):
        stream.probabilities()
    with pytest.raises(ValueError, match="Squared knows no quantiles"):
        plain = lstm().fit(X, y).stream()
        plain.push(X[0])
        plain.quantiles()


@pytest.mark.parametrize("name", EVERY)
def test_a_stream_pickles_with_its_place(name: str) -> None:
    """The copy goes on, from another process or a deep copy, and the two part."""
    model, X = fitted(name, "float64" if name in CAUSAL else "")
    stream = model.stream()
    for row in X[:10]:
        stream.push(row)
    copies, where = (pickle.loads(pickle.dumps(stream)), copy.deepcopy(stream)), repr(stream)
    rest = [stream.push(row) for row in X[10:]]
    for one in copies:
        assert "steps=10" in repr(one) and repr(one) == where
        close([one.push(row) for row in X[10:]], rest, 0)


def test_the_repr_says_where_a_stream_is() -> None:
    """The cell, its inputs, how far it is, its state; and whether answers come late."""
    X, y = table(30)
    stream = lstm(hidden_size=4).fit(X, y).stream()
    assert repr(stream) == "Stream(cell=Readout(LSTM(2 → 4)), inputs=2, steps=0, state=h (1, 4), c (1, 4))"
    stream.push(X[0])
    assert "inputs=2, steps=1" in repr(stream)
    assert "<td>1</td>" in stream._repr_html_() and "Readout(LSTM(2 → 4))" in stream._repr_html_()
    assert "lag=2" in repr(lstm(output_lag=2).fit(X, y).stream()) and "lag" not in repr(stream)
    assert repr(PersistenceRegressor().fit(X[:, :1], y).stream()).endswith("inputs=1, steps=0, state=h (1, 0))")


def test_a_stream_of_a_bare_cell_has_no_units() -> None:
    """It gives what the cell gives, and refuses what the cell does not know."""
    cell = ExponentialMovingAverage(2, gamma=0.5)
    stream = Stream(cell)
    close(stream.push([1.0, 3.0]), [0.5, 1.5], 1e-7)
    with pytest.raises(ValueError, match="stream from a fitted classifier"):
        stream.probabilities()
    with pytest.raises(ValueError, match="stream from a fitted regressor"):
        stream.quantiles((0.5,))
    with pytest.raises(ValueError, match="The input is nan in feature 1"):
        stream.push([1.0, np.nan])


@pytest.mark.parametrize("kind", [GRURegressor, LSTMRegressor, ElmanRegressor])
def test_a_number_beyond_the_precision_is_refused(kind: Any) -> None:
    """It would be infinite in the network: no stream takes it, no prediction, and no state that is not finite."""
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40.0)
    model = kind(hidden_size=3, max_epochs=2, random_state=0).fit(X, y)
    stream = model.stream()
    first = stream.push(X[0])
    before = flatten(stream.state)
    for call in (lambda: stream.push([1e39, 0.0]), lambda: model.predict([[1e39, 0.0]])):
        with pytest.raises(
            ValueError, match=r"is 1e\+39 in feature 0, more than torch.float32 holds once it is scaled"
        ):
            call()
    torch.testing.assert_close(flatten(stream.state), before, rtol=0, atol=0)
    assert np.isfinite(stream.push(X[1])) and np.isfinite(first)
    with pytest.raises(ValueError, match="state is NaN or infinite"):
        stream.state = map_leaves(lambda leaf: leaf * torch.nan, stream.state)
    with pytest.raises(ValueError, match="The input is nan in feature 1"):
        stream.forecast(3, exogenous=[[0.0], [np.nan], [1.0]])


def test_a_row_with_names_is_put_in_order() -> None:
    """A Series goes by its labels, and other labels are an error; so do the columns of what a predictor runs."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    model = GRURegressor(hidden_size=3, max_epochs=2, random_state=0).fit(X, np.arange(40.0))
    row = X.iloc[0]
    assert model.stream().push(row[["b", "a"]]) == model.stream().push(row) == model.stream().push(row.to_numpy())
    with pytest.raises(ValueError, match=r"x has the features \['a', 'c'\], but those of the fit were \['a', 'b'\]"):
        model.stream().push(row.rename({"b": "c"}))
    run = model.predictor_.run
    with pytest.raises(ValueError, match="x has 1 features, but the model expects 2"):
        run(as_sequences(X.to_numpy()[:, :1]))
    with pytest.raises(ValueError, match=r"those of the fit were \['a', 'b'\], in this order"):
        run(as_sequences([X[["b", "a"]]]))


def test_quantiles_are_checked() -> None:
    """Levels lie in (0, 1), and increase."""
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40.0)
    stream = GRURegressor(hidden_size=3, max_epochs=2, loss="gaussian", random_state=0).fit(X, y).stream()
    stream.push(X[0])
    for levels in ([1.5], [0.9, 0.1], []):
        with pytest.raises(ValueError, match="quantiles"):
            stream.quantiles(levels)


def test_streams_of_tokens_and_of_pictures() -> None:
    """A bare cell is pushed what its steps take."""
    tokens = Tokens(5, 4)
    stream, sequence = Stream(tokens), torch.tensor([[3, 0, 4]])
    pushed = [stream.push(int(token)) for token in sequence[0]]
    np.testing.assert_array_equal(pushed, scan(tokens, sequence).output[0].detach().numpy())
    assert "inputs=tokens, steps=3" in repr(stream)
    with pytest.raises(ValueError, match="expected a token, which is a whole number"):
        stream.push(0.5)
    pictures = Pictures(1, 4, 4)
    stream, film = Stream(pictures), torch.rand(1, 3, *pictures.input_shape)
    pushed = [stream.push(frame) for frame in film[0].numpy()]
    np.testing.assert_allclose(pushed, scan(pictures, film).output[0].detach().numpy(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="x has shape"):
        stream.push(np.zeros((2, 2)))


class Vocabulary:
    """Letters in, numbers for the network."""

    shape = ()

    def read(self, x: str) -> Any:
        return np.array("abcde".index(x))

    def encode(self, rows: Any, like: Any) -> Any:
        return torch.as_tensor(rows)


def test_a_vocabulary_takes_the_place_of_a_scaling() -> None:
    """What is pushed is what the codec reads."""
    tokens = Tokens(5, 4)
    spelt = Stream(tokens, codec=Codec(Vocabulary(), Plain(())))
    np.testing.assert_array_equal(spelt.push("d"), Stream(tokens).push(3))
