"""Containers in, the same containers out: shapes, labels, and series that do not talk to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import seqdyn
from seqdyn import ARXRegressor, GRUClassifier, LSTMClassifier, MovingAverageRegressor, RecurrentRegressor
from seqdyn.cells.gru import GRU
from tests.estimators.models import CAUSAL, CLOSED, close, lstm, panel, ragged, table

Array = np.ndarray[Any, Any]

EVERY = {**CAUSAL, **CLOSED}


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """X and y of :func:`table` with labels, two targets."""
    X, y = table()
    days = pd.date_range("2024-03-01", periods=len(X), freq="D", name="day")
    return pd.DataFrame(X, days, ["rate", "level"]), pd.DataFrame({"flow": y, "heat": -2 * y}, days)


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_one_sequence(name: str) -> None:
    """2-D X: predictions are shaped as y was, as numbers in float64."""
    X, y = table()
    for target in (y, y[:, None], np.column_stack([y, -y])):
        predicted = EVERY[name]().fit(X, target).predict(X)
        assert isinstance(predicted, np.ndarray) and predicted.dtype == np.float64
        assert predicted.shape == target.shape and np.isfinite(predicted).all()


@pytest.mark.parametrize("name", EVERY)
def test_many_sequences(name: str) -> None:
    """3-D X: (series, time) or (series, time, outputs), as y was; features are the last axis."""
    X, y = panel()
    for target in (y, y[..., None], np.stack([y, -y], axis=2)):
        model = EVERY[name]().fit(X, target)
        assert model.predict(X).shape == target.shape and model.n_features_in_ == 2
        assert model.predict(X[:2, :5]).shape == (2, 5, *target.shape[2:])
        assert isinstance(model.score(X, target), float)


@pytest.mark.parametrize("name", EVERY)
def test_ragged_sequences(name: str) -> None:
    """A list of 2-D arrays: a list of as many predictions, each as long as its series."""
    X, y = ragged()
    for target in (y, [part[:, None] for part in y], [np.column_stack([part, -part]) for part in y]):
        predicted = EVERY[name]().fit(X, target).predict(X)
        assert isinstance(predicted, list)
        assert [part.shape for part in predicted] == [part.shape for part in target]


@pytest.mark.parametrize("name", EVERY)
def test_a_frame(name: str) -> None:
    """A DataFrame indexed by time, y as a Series, a frame or an array: arrays come back, as in scikit-learn."""
    X, y = frames()
    for target in (y["flow"], y, y[["flow"]], y["flow"].to_numpy()):
        predicted = EVERY[name]().fit(X, target).predict(X)
        assert isinstance(predicted, np.ndarray) and predicted.shape == target.shape
    model = EVERY[name]().fit(X, y)
    assert model.feature_names_in_.tolist() == ["rate", "level"]
    np.testing.assert_array_equal(model.predict(X), EVERY[name]().fit(X.to_numpy(), y.to_numpy()).predict(X.to_numpy()))


@pytest.mark.parametrize("name", EVERY)
def test_the_container_does_not_matter(name: str) -> None:
    """One sequence in any container, nested lists too, is the same fit; so are equal series in an array or a list."""
    X, y = table()
    expected = EVERY[name]().fit(X, y).predict(X)
    for container in (X[None], [X], X.tolist(), pd.DataFrame(X), X.astype(np.float32).astype(float), X[None].tolist()):
        target = y[None] if np.ndim(container) == 3 and not isinstance(container, list) else y
        target = [y] if isinstance(container, list) and isinstance(container[0], np.ndarray) else target
        target = [y.tolist()] if isinstance(container, list) and np.ndim(container) == 3 and target is y else target
        predicted = EVERY[name]().fit(container, target).predict(container)
        close(np.reshape(predicted, -1), expected, 1e-6)
    X3, y3 = panel()
    listed = EVERY[name]().fit(list(X3), list(y3)).predict(list(X3))
    np.testing.assert_array_equal(np.stack(listed), EVERY[name]().fit(X3, y3).predict(X3))


@pytest.mark.parametrize("name", EVERY)
def test_series_do_not_talk(name: str) -> None:
    """Each ragged series is predicted as if it were alone, whatever the others are and however long."""
    X, y = ragged((9, 4, 12, 1, 30))
    model = EVERY[name]().fit(X, y)
    for part, predicted in zip(X, model.predict(X), strict=True):
        close(predicted, model.predict(part), 1e-6)


def test_padding_counts_nothing() -> None:
    """The loss over ragged series is the mean over their steps, weighted by nothing else."""
    X, y = ragged()
    model = lstm(learning_rate=1e-300, max_epochs=1).fit(X, y)
    errors = np.concatenate(model.predict(X)) - np.concatenate(y)
    assert model.history_["loss"][0] == pytest.approx(np.mean((errors / np.concatenate(y).std()) ** 2), rel=1e-5)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(40),
        pd.RangeIndex(1000, 1080, 2),
        pd.date_range("2024-01-01", periods=40, freq="h"),
        pd.date_range("2024-01-31", periods=40, freq="ME"),
        pd.bdate_range("2024-01-01", periods=40),
        pd.date_range("2024-03-30", periods=40, freq="h", tz="Europe/Vienna"),
        pd.period_range("1990", periods=40, freq="Q"),
        pd.timedelta_range("0s", periods=40, freq="100ms"),
        pd.Index(np.arange(40) * 0.1),
        pd.Index([f"run {number:02d}" for number in range(40)]),
    ],
    ids=["range", "even", "hourly", "month ends", "business days", "tz", "quarters", "timedelta", "seconds", "names"],
)
def test_time_indices(index: pd.Index) -> None:
    """Every unbroken index is accepted, and comes back on request."""
    X, y = table()
    model = lstm().fit(pd.DataFrame(X, index).rename(columns=str), pd.Series(y, index))
    predicted = model.set_predict_output("pandas").predict(pd.DataFrame(X, index).rename(columns=str))
    pd.testing.assert_index_equal(predicted.index, index)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_dtypes(dtype: Any) -> None:
    """Numbers of any kind are numbers."""
    X = (np.random.default_rng(0).uniform(size=(30, 2)) * 3).astype(dtype)
    predicted = lstm().fit(X, X[:, 0]).predict(X)
    assert predicted.dtype == np.float64 and np.isfinite(predicted).all()


def test_a_constant_feature_or_target() -> None:
    """No division by zero: a constant feature says nothing, a constant target is predicted."""
    X, y = table()
    X[:, 1] = 1234.5
    model = lstm().fit(X, np.column_stack([y, np.full(len(y), 7.0)]))
    assert np.isfinite(model.predict(X)).all()
    np.testing.assert_allclose(lstm(max_epochs=100).fit(X, np.full(len(y), 7.0)).predict(X), 7.0, atol=0.3)


# --- what sequences can be mapped to ----------------------------------------------------------------------------------


def test_one_to_many() -> None:
    """One row in, a longer y out: the input is held; an amplitude becomes a wave."""
    generator = np.random.default_rng(0)
    X = generator.uniform(1, 2, size=(60, 1, 1))
    y = X[:, 0] * np.sin(0.5 * np.arange(12))
    model = lstm(hidden_size=16, max_epochs=150, learning_rate=0.03).fit(X, y)
    assert model.predict(X[:3]).shape == (3, 12)
    assert model.score(X, y) > 0.9
    two = lstm().fit(X, np.stack([y, -y], axis=2))
    assert two.predict(X[:3]).shape == (3, 12, 2)
    stream = model.stream()
    close([stream.push(X[0, 0]) for _ in range(12)], model.predict(X[:1])[0], 1e-6)


def test_one_to_many_goes_on_as_one_to_many() -> None:
    """Going on, after partial_fit, warm_start and a file, it still answers in sequences; another fit may be longer."""
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(6, 1, 2)), generator.normal(size=(6, 5))
    longer = generator.normal(size=(6, 7))
    assert lstm().partial_fit(X, y).partial_fit(X, y).predict(X).shape == (6, 5)
    assert lstm(warm_start=True).fit(X, y).fit(X, y).predict(X).shape == (6, 5)
    assert lstm().fit(X, y).fit(X, longer).predict(X).shape == (6, 7)
    assert lstm().fit(X, y).fit(*panel(steps=1 + 4)).predict(panel(steps=3)[0]).shape == (5, 3)


def test_one_to_one() -> None:
    """One row in, one value out, a network without a memory: one target a sequence, or one a step."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(80, 1, 2))
    y = np.tanh(X[:, 0, 0] - X[:, 0, 1])
    model = lstm(return_sequences=False, max_epochs=150, learning_rate=0.03).fit(X, y)
    assert model.predict(X).shape == (80,) and model.score(X, y) > 0.9
    per_step = lstm(max_epochs=150, learning_rate=0.03).fit(X, y[:, None])
    assert per_step.predict(X).shape == (80, 1) and per_step.score(X, y[:, None]) > 0.9


@pytest.mark.parametrize("lengths", [(8,) * 60, tuple(4 + number % 6 for number in range(60))], ids=["even", "ragged"])
def test_many_to_one(lengths: tuple[int, ...]) -> None:
    """One target a sequence, at its own last step: the largest value so far."""
    generator = np.random.default_rng(0)
    X = [generator.uniform(size=(steps, 1)) for steps in lengths]
    y = np.array([part.max() for part in X])
    data = np.stack(X) if len(set(lengths)) == 1 else X
    model = lstm(return_sequences=False, hidden_size=8, max_epochs=150, learning_rate=0.03).fit(data, y)
    assert model.predict(data).shape == (60,) and model.score(data, y) > 0.8
    last = lstm(return_sequences=False).fit(data, np.column_stack([y, -y]))
    assert last.predict(data).shape == (60, 2)
    stream = model.stream()
    close([stream.push(row) for row in X[7]][-1], model.predict([X[7]])[0], 1e-6)


def test_many_to_many() -> None:
    """One target a step, of any width, from inputs of any width."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(30, 20, 3))
    y = np.stack([X[..., 0] - X[..., 1], X[..., 2], np.cumsum(X[..., 0], axis=1) / 4], axis=2)
    model = lstm(hidden_size=16, max_epochs=100, learning_rate=0.03).fit(X, y)
    fresh = generator.normal(size=(5, 20, 3))
    expected = np.stack([fresh[..., 0] - fresh[..., 1], fresh[..., 2], np.cumsum(fresh[..., 0], axis=1) / 4], axis=2)
    assert model.predict(fresh).shape == (5, 20, 3) and model.score(fresh, expected) > 0.9


# --- classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [np.array(["down", "up"]), np.array([3, 7]), np.array([False, True]), np.array(["a", "b"], dtype=object)],
    ids=["str", "int", "bool", "object"],
)
def test_labels_come_back_as_they_went_in(labels: Array) -> None:
    """In every container, with their dtype; probabilities have a last axis of classes_ and sum to 1."""
    X, y = panel()
    classes = labels[(y > 0).astype(int)]
    model = LSTMClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(X, classes)
    predicted, probability = model.predict(X), model.predict_proba(X)
    np.testing.assert_array_equal(model.classes_, labels)
    assert predicted.shape == (5, 12) and predicted.dtype == labels.dtype
    assert probability.shape == (5, 12, 2)
    np.testing.assert_allclose(probability.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_array_equal(predicted, labels[probability.argmax(axis=-1)])
    listed = LSTMClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(list(X), list(classes))
    np.testing.assert_array_equal(np.stack(listed.predict(list(X))), predicted)
    assert [part.shape for part in listed.predict_proba(list(X[:2]))] == [(12, 2), (12, 2)]
    one = GRUClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(X[0], classes[0])
    assert one.predict(X[0]).shape == (12,) and one.predict_proba(X[0]).shape == (12, 2)
    whole = GRUClassifier(return_sequences=False, hidden_size=4, max_epochs=3, random_state=0).fit(X, classes[:, 0])
    assert whole.predict(X).shape == (5,) and whole.predict_proba(X).shape == (5, 2)
    assert whole.stream().push(X[0, 0]) in labels


def test_more_classes_than_two() -> None:
    """Three classes, told apart; a class that partial_fit was told of and never saw has a probability, too."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(40, 10, 1))
    y = np.digitize(X[..., 0], [-0.5, 0.5])
    model = GRUClassifier(hidden_size=8, max_epochs=60, learning_rate=0.03, random_state=0).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2] and model.score(X, y) > 0.95
    announced = LSTMClassifier(hidden_size=4, random_state=0).partial_fit(X, np.minimum(y, 1), classes=[0, 1, 2])
    assert announced.predict_proba(X).shape == (40, 10, 3)
    assert announced.partial_fit(X, y).classes_.tolist() == [0, 1, 2]


# --- predictions with labels ---------------------------------------------------------------------------------------


def test_predictions_as_pandas() -> None:
    """A Series for a flat y, else a frame; the index of X, or (series, time); the names of the targets."""
    X, y = frames()
    model = lstm().fit(X, y).set_predict_output("pandas")
    predicted = model.predict(X)
    assert list(predicted.columns) == ["flow", "heat"]
    pd.testing.assert_index_equal(predicted.index, X.index)
    np.testing.assert_array_equal(predicted, model.set_predict_output("default").predict(X))
    series = lstm().fit(X, y["flow"]).set_predict_output("pandas").predict(X.iloc[:5])
    assert isinstance(series, pd.Series) and series.name == "flow" and series.index.equals(X.index[:5])
    X3, y3 = panel()
    stacked = lstm().fit(X3, y3).set_predict_output("pandas").predict(X3)
    assert stacked.index.names == ["series", "time"] and stacked.loc[3].shape == (12,)
    np.testing.assert_array_equal(stacked.loc[3], lstm().fit(X3, y3).predict(X3)[3])
    lists, parts = ragged()
    listed = lstm().fit(lists, parts).set_predict_output("pandas").predict(lists)
    assert listed.groupby(level="series").size().tolist() == [9, 4, 12]
    one = lstm(return_sequences=False).fit(X3, y3[:, 0]).set_predict_output("pandas").predict(X3)
    assert one.shape == (5,) and one.index.name == "series"


def test_predictions_as_xarray() -> None:
    """A DataArray with named dims; the coordinates are the labels."""
    X, y = frames()
    model = lstm().fit(X, y)
    expected = model.predict(X)
    found = model.set_predict_output("xarray").predict(X)
    assert isinstance(found, xr.DataArray) and found.dims == ("time", "outputs")
    np.testing.assert_array_equal(found, expected)
    assert found["outputs"].values.tolist() == ["flow", "heat"] and (found["time"].values == X.index).all()
    X3, y3 = panel()
    many = lstm().fit(X3, np.stack([y3, -y3], axis=2))
    expected = many.predict(X3)
    found = many.set_predict_output("xarray").predict(X3)
    assert found.dims == ("series", "time", "outputs")
    np.testing.assert_array_equal(found, expected)
    flat = lstm().fit(X3, y3).set_predict_output("xarray").predict(X3)
    assert flat.dims == ("series", "time") and flat.shape == (5, 12)


def test_xarray_keeps_the_order_of_outputs_and_time() -> None:
    """Names that are not in alphabetical order, a single output in a table, and NaN-free values."""
    X, y = frames()
    y = y.rename(columns={"flow": "zeta", "heat": "alpha"})
    model = lstm().fit(X, y)
    expected = model.predict(X)
    found = model.set_predict_output("xarray").predict(X)
    assert found["outputs"].values.tolist() == ["zeta", "alpha"]
    np.testing.assert_array_equal(found, expected)
    one = lstm().fit(X, y[["zeta"]]).set_predict_output("xarray").predict(X)
    assert one.dims == ("time", "outputs") and one.shape == (40, 1)


def test_labelled_predictions_of_classes(tmp_path: Path) -> None:
    """Class labels in a Series; the choice survives a file."""
    X, y = frames()
    model = LSTMClassifier(hidden_size=4, max_epochs=2, random_state=0)
    model.fit(X, np.where(y["flow"] > 0, "up", "down")).set_predict_output("pandas")
    predicted = model.predict(X)
    assert isinstance(predicted, pd.Series) and set(predicted) <= {"up", "down"}
    model.save(tmp_path / "model.safetensors")
    pd.testing.assert_series_equal(seqdyn.load(tmp_path / "model.safetensors").predict(X), predicted)


def test_an_output_that_does_not_exist() -> None:
    """The names that do are listed."""
    with pytest.raises(ValueError, match=r"'default', 'pandas' or 'xarray', got 'polars'"):
        lstm().set_predict_output("polars")


# --- any cell ------------------------------------------------------------------------------------------------------


def test_widths_and_layers() -> None:
    """An int and a number of layers, or a tuple; residual where widths agree."""
    X, y = table()
    for changes, expected in [
        ({"hidden_size": 3, "num_layers": 2}, 6),
        ({"hidden_size": (5, 2)}, 7),
        ({"hidden_size": (4, 4), "residual": True}, 8),
    ]:
        model = RecurrentRegressor(cell=GRU, max_epochs=1, random_state=0, **changes).fit(X, y)
        assert model.cell_.hidden_size == expected
        assert np.isfinite(model.predict(X)).all()


def test_a_built_cell_is_copied_and_used_as_the_only_layer() -> None:
    """The original is left alone; its own widths count; the copy is what is trained."""
    X, y = table()
    cell = GRU(2, 6)
    before = [parameter.detach().clone() for parameter in cell.parameters()]
    model = RecurrentRegressor(cell=cell, hidden_size=99, max_epochs=3, random_state=0).fit(X, y)
    assert model.cell_.hidden_size == 6
    assert all((one == other).all() for one, other in zip(cell.parameters(), before, strict=True))
    begin = RecurrentRegressor(cell=cell, max_epochs=1, learning_rate=1e-300, random_state=0).fit(X, y)
    found = [p for module in begin.cell_.modules() if isinstance(module, GRU) for p in module.parameters()]
    assert all((one == other).all() for one, other in zip(found, before, strict=True))
    assert any(
        (one != other).any() for one, other in zip(model.cell_.parameters(), begin.cell_.parameters(), strict=True)
    )


def test_closed_forms_take_one_to_many_too() -> None:
    """The input is held for them as for the others."""
    X, y = np.arange(8.0).reshape(8, 1, 1), np.arange(8.0)[:, None] * np.ones(5)
    for model in (MovingAverageRegressor(window=1), ARXRegressor(output_lags=0, input_lags=0)):
        np.testing.assert_allclose(model.fit(X, y).predict(X), y, atol=1e-9)
