"""What people expect of an estimator from elsewhere: their containers, scikit-learn's small print, errors that help."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import seqdyn
from seqdyn import (
    ARXRegressor,
    Cell,
    GRUClassifier,
    GRURegressor,
    LSTMClassifier,
    LSTMRegressor,
    RecurrentRegressor,
)

Array = np.ndarray[Any, Any]

LENGTHS = (5, 7, 9, 6)
DRAWS = np.random.default_rng(0)
SERIES = [DRAWS.normal(size=(n, 1)) for n in LENGTHS]
ONE_EACH = np.array([0.0, 1.0, 0.0, 1.0])
X = DRAWS.normal(size=(40, 2))
Y = X.cumsum(0)[:, 0]


def gru(**changes: Any) -> GRURegressor:
    """A small model."""
    return GRURegressor(**{"hidden_size": 3, "max_epochs": 2, "random_state": 0} | changes)


# --- ragged containers ---------------------------------------------------------------------------------------------


def objects(parts: list[Any]) -> Array:
    """An object array of these."""
    array = np.empty(len(parts), dtype=object)
    array[:] = parts
    return array


FORMS: dict[str, Any] = {
    "object array": objects(SERIES),
    "object array of 1-D": objects([part[:, 0] for part in SERIES]),
    "object array of lists": objects([part.tolist() for part in SERIES]),
    "list of 1-D": [part[:, 0] for part in SERIES],
    "tuple of 1-D": tuple(part[:, 0] for part in SERIES),
    "nested lists": [part.tolist() for part in SERIES],
    "nested lists of numbers": [part[:, 0].tolist() for part in SERIES],
    "list of Series": [pd.Series(part[:, 0]) for part in SERIES],
    "list of frames": [pd.DataFrame(part) for part in SERIES],
    "list of tensors": [torch.as_tensor(part) for part in SERIES],
    "1-D and 2-D": [SERIES[0], SERIES[1][:, 0], SERIES[2], SERIES[3][:, 0]],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [gru, lambda **k: ARXRegressor(output_lags=1, input_lags=0)], ids=["GRU", "ARX"])
def test_ragged_series_as_people_hold_them(form: str, make: Any) -> None:
    """Each is the list of 2-D arrays, for one target a step and, where the model has it, one a series."""
    steps = [part[:, 0] ** 2 for part in SERIES]
    expected = make().fit(SERIES, steps)
    model = make().fit(FORMS[form], FORMS[form] if form.startswith("no") else steps)
    for one, other in zip(model.predict(FORMS[form]), expected.predict(SERIES), strict=True):
        np.testing.assert_array_equal(one, other)
    if make is gru:
        whole = gru(return_sequences=False).fit(FORMS[form], ONE_EACH)
        np.testing.assert_array_equal(
            whole.predict(FORMS[form]), gru(return_sequences=False).fit(SERIES, ONE_EACH).predict(SERIES)
        )


def test_targets_come_in_the_same_forms() -> None:
    """One a step, ragged as X."""
    steps = [part[:, 0] ** 2 for part in SERIES]
    expected = gru().fit(SERIES, steps).predict(SERIES)
    for y in (objects(steps), [part.tolist() for part in steps], [pd.Series(part) for part in steps]):
        for one, other in zip(gru().fit(SERIES, y).predict(SERIES), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_lists_of_arrays_are_series_also_where_their_lengths_agree() -> None:
    """What a list of arrays means does not depend on their lengths; nested lists are what numpy makes of them."""
    alike = [DRAWS.normal(size=6) for _ in range(4)]
    model = gru(return_sequences=False).fit(alike, ONE_EACH)
    assert model.n_features_in_ == 1 and model.predict(alike).shape == (4,)
    table = [row.tolist() for row in X]
    np.testing.assert_array_equal(gru().fit(table, Y).predict(table), gru().fit(X, Y).predict(X))
    cube = [[[1.0], [2.0]], [[3.0], [4.0]]]
    assert gru().fit(cube, [[1.0, 2.0], [3.0, 4.0]]).predict(cube).shape == (2, 2)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([np.zeros((3, 1)), np.zeros((4, 2))], "have .1, 2. features"),
        ([np.zeros(3), np.array([1.0, np.nan])], "contains NaN in series 1 at step 1"),
        ([np.zeros((3, 1)), np.zeros((2, 2, 2))], "Item 1 of a ragged container .* with 3 axes"),
        (objects([np.zeros(3), "text"]), "Item 1 of a ragged container is 'text', with 0 axes"),
        ([[1.0, 2.0], 3.0], r"Item 1 of a ragged container is '3.0', with 0 axes: expected series, each \(time, fea"),
    ],
    ids=["widths", "NaN", "3-D part", "text", "half nested"],
)
def test_ragged_containers_that_are_none(bad: Any, message: str) -> None:
    """An error in words."""
    with pytest.raises((ValueError, TypeError), match=message):
        gru(return_sequences=False).fit(bad, [0.0, 1.0])


# --- one sequence for many -----------------------------------------------------------------------------------------


def test_the_layout_of_the_ucr_archive_is_recognised() -> None:
    """A 2-D X with one label a row, meant as many sequences: the error says what it was read as, and how to say it."""
    table = DRAWS.normal(size=(30, 12))
    labels = np.array(["a", "b"] * 15)
    for given, way in ((table, r"X\[:, :, None\]"), (pd.DataFrame(table), r"X.to_numpy\(\)\[:, :, None\]")):
        with pytest.raises(ValueError, match=f"as many rows as y has targets.*the UCR archive.*give {way}"):
            LSTMClassifier(return_sequences=False).fit(given, labels)
    model = LSTMClassifier(return_sequences=False, hidden_size=2, max_epochs=1).fit(table[:, :, None], labels)
    with pytest.raises(ValueError, match="the UCR archive"):
        model.score(table[:, :1], labels)


# --- columns that are no numbers -----------------------------------------------------------------------------------


COLUMNS: dict[str, Any] = {
    "object": (["red", "blue"] * 20, r"pd.get_dummies\(X, columns=\['colour'\], dtype=float\)"),
    "category": (pd.Categorical(["red", "blue"] * 20), r"pd.get_dummies"),
    "numbers as categories": (pd.Categorical([1, 2] * 20), r"pd.get_dummies"),
    "instants": (pd.date_range("2024", periods=40), r"X.set_index\('colour'\)"),
    "strings": (pd.array(["1", "x"] * 20, dtype="string"), r"pd.get_dummies"),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("container", ["frame", "panel", "list"])
def test_a_column_without_numbers_is_named(kind: str, container: str) -> None:
    """With its dtype, its first value and a way out; in every container of frames, in fit and in predict."""
    values, way = COLUMNS[kind]
    frame = pd.DataFrame({"size": X[:, 0], "colour": values})
    good = frame.assign(colour=X[:, 1])
    index = pd.MultiIndex.from_product([["a", "b"], range(20)])
    shapes = {"frame": lambda one: one, "panel": lambda one: one.set_index(index), "list": lambda one: [one, one]}
    wrong, right = (shapes[container](one) for one in (frame, good))
    y = [Y, Y] if container == "list" else Y
    message = f"Column 'colour' of X.* is of dtype .* and holds no numbers .*: .*{way}".replace(
        "(X,", r"(X\[0\]," if container == "list" else "(X,"
    ).replace("X.set", r"X\[0\].set" if container == "list" else "X.set")
    for ask in (lambda: gru().fit(wrong, y), lambda: gru().fit(right, y).predict(wrong)):
        with pytest.raises(TypeError, match=message):
            ask()


def test_objects_that_are_numbers_are_read() -> None:
    """As scikit-learn does."""
    frame = pd.DataFrame(X)
    np.testing.assert_array_equal(gru().fit(frame.astype(object), Y).predict(X), gru().fit(X, Y).predict(X))


# --- classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"ctas": 2.0}, r"class_weight names 'ctas', which is no class: classes_ is \['cats', 'dogs'\]"),
        ({"cats": -1.0}, r"class_weight\['cats'\] is -1.0, expected a number of at least 0"),
        ({"cats": np.nan}, r"class_weight\['cats'\] is nan"),
        ("balance", "class_weight must be None or 'balanced' or a dict from classes to weights, got 'balance'"),
        ([1.0, 2.0], "class_weight must be"),
    ],
)
def test_weights_of_classes(weights: Any, message: str) -> None:
    """A name that is no class is an error: it would weigh nothing, silently."""
    labels = np.where(Y > 0, "cats", "dogs")
    with pytest.raises(ValueError, match=message):
        GRUClassifier(class_weight=weights, hidden_size=2, max_epochs=1).fit(X, labels)
    GRUClassifier(class_weight={"cats": 2.0}, hidden_size=2, max_epochs=1).fit(X, labels)


def test_logarithms_of_probabilities() -> None:
    """ln p, also where p is too small for a number; as scikit-learn's classifiers have it."""
    y = Y > 0
    model = GRUClassifier(hidden_size=3, max_epochs=20, random_state=0).fit(X, y)
    found = model.predict_log_proba(X)
    np.testing.assert_allclose(np.exp(found), model.predict_proba(X), rtol=1e-12)
    assert found.shape == LogisticRegression().fit(X, y).predict_log_proba(X).shape
    with torch.no_grad():
        model.cell_.affine.weight *= 1e4
    assert np.isfinite(model.predict_log_proba(X)).all() and (model.predict_proba(X) == 0).any()
    ragged = [X[:4], X[4:]]
    assert [len(part) for part in model.predict_log_proba(ragged)] == [4, 36]


def test_classes_announced_twice() -> None:
    """The same again is fine, others are an error."""
    model = GRUClassifier(hidden_size=2).partial_fit(X, Y > 0, classes=[False, True])
    model.partial_fit(X, Y > 0, classes=[False, True])
    with pytest.raises(ValueError, match="classes is .*, but the first call was of"):
        model.partial_fit(X, Y > 0, classes=[0, 1, 2])


# --- early stopping ------------------------------------------------------------------------------------------------


def test_a_part_held_out_has_its_share_of_every_class() -> None:
    """Sequences with one label each, sorted by class: as good as shuffled ones."""

    def data(seed: int) -> tuple[Array, Array]:
        Z = np.random.default_rng(seed).normal(size=(100, 8, 2)) * 0.3
        Z[90:, :, 1] += 3
        Z[:45, :, 0] += 2
        return Z, np.array(["a"] * 90 + ["b"] * 10)

    (Z, labels), (unseen, truth) = data(0), data(1)
    model = GRUClassifier(return_sequences=False, early_stopping=True, hidden_size=8, max_epochs=60, random_state=0)
    assert model.fit(Z, labels).score(unseen, truth) > 0.98
    few = model.set_params(max_epochs=1)
    before = few.fit(Z, labels).history_
    held = np.r_[81:90, 99:100]  # a tenth of each, the last ones
    other = Z.copy()
    other[held] = 9.0
    np.testing.assert_array_equal(few.fit(other, labels).history_["loss"], before["loss"])
    assert (few.history_["validation_loss"] != before["validation_loss"]).all()
    for row in (80, 98):
        other = Z.copy()
        other[row] = 9.0
        assert (few.fit(other, labels).history_["loss"] != before["loss"]).all()


def test_a_class_of_one_sequence_is_trained_on() -> None:
    """It cannot be in both parts."""
    Z, labels = DRAWS.normal(size=(9, 5, 1)), np.array([0] * 4 + [1] * 4 + [2])
    model = GRUClassifier(return_sequences=False, early_stopping=True, hidden_size=2, max_epochs=2, random_state=0)
    assert model.fit(Z, labels).classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="No target is known in the part held out"):
        model.fit(Z[:3], [0, 1, 2])


# --- the end of a training -----------------------------------------------------------------------------------------


def warned(model: Any, *data: Any) -> list[str]:
    """What a fit says of its end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*(data or (X, X[:, 0] * X[:, 1])))
    assert all(one.filename == __file__ for one in caught), "a warning points at the user's line"
    return [str(one.message) for one in caught if one.category is ConvergenceWarning]


@pytest.mark.parametrize(
    ("budget", "told"),
    [({"max_epochs": 5}, "5 epochs"), ({"max_steps": 7}, "max_steps=7")],
    ids=str,
)
def test_a_budget_that_is_too_small_is_told(budget: dict[str, Any], told: str) -> None:
    """Which it was, and what to set; scikit-learn's MLP warns, too."""
    name = next(iter(budget))
    (message,) = warned(GRURegressor(random_state=0, **budget))
    assert f"The training ended after {told}" in message and "while the loss still fell" in message
    assert f"Set a larger {name} to learn on." in message


def test_a_training_that_is_over_says_nothing() -> None:
    """One that waited in vain, one whose loss no longer fell, and one more epoch of partial_fit."""
    assert not warned(gru(max_epochs=None, tol=1.0, n_iter_no_change=1, hidden_size=1))
    assert not warned(gru(loss=plateau, max_epochs=30))
    model = gru().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model.partial_fit(X, Y)


def test_the_default_budget() -> None:
    """200 epochs or 1,000 steps, whichever is more; a given number holds."""
    settings: dict[str, Any] = {"loss": plateau, "n_iter_no_change": 10_000, "max_epochs": None, "hidden_size": 1}
    X3, Y3 = X.reshape(20, 2, 2), Y.reshape(20, 2)
    assert len(gru(batch_size=10, **settings).fit(X3, Y3).history_) == 500
    assert len(gru(batch_size=3, **settings).fit(X3, Y3).history_) == 200
    assert len(gru(batch_size=10, max_steps=7, **settings).fit(X3, Y3).history_) == 4


def plateau(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A loss that nothing can lower."""
    return 0 * output + 1


# --- small print ---------------------------------------------------------------------------------------------------


def test_one_row_is_enough_to_go_on() -> None:
    """Learning online, one step a call, for regressors and classifiers."""
    model = gru().fit(X, Y)
    before = model.predict(X)
    for row in range(5):
        model.partial_fit(X[row : row + 1], Y[row : row + 1])
    assert (model.predict(X) != before).all()
    GRUClassifier(hidden_size=2, max_epochs=1).fit(X, Y > 0).partial_fit(X[:1], Y[:1] > 0)
    with pytest.raises(ValueError, match="n_samples=1 step: GRURegressor needs at least 2"):
        gru().partial_fit(X[:1], Y[:1])


def test_verbose_as_a_truth_value(capfd: pytest.CaptureFixture[str]) -> None:
    """True shows the bar, False none."""
    gru(verbose=False).fit(X, Y)
    assert capfd.readouterr().err == ""
    gru(verbose=True).fit(X, Y)
    assert "2/2" in capfd.readouterr().err


def test_devices_and_paths_are_saved_by_name(tmp_path: Path) -> None:
    """As they are documented: a torch.device, and any path."""
    model = gru(device=torch.device("cpu"), checkpoint=tmp_path / "c").fit(X, Y)
    model.save(tmp_path / "model")
    again = seqdyn.load(tmp_path / "model")
    assert again.device == "cpu" and again.checkpoint == str(tmp_path / "c")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.fit(X, Y).predict(X), model.predict(X))  # it goes on from the end


class Forgetful(Cell):
    """Gives no state."""

    def initial_state(self, batch: int) -> torch.Tensor:
        return self.zeros(batch, self.hidden_size)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> Any:
        return x


def test_a_cell_that_forgets_its_state_is_named() -> None:
    """With what a step must give."""
    with pytest.raises((TypeError, ValueError), match=r"Forgetful.*\(output, state\)"):
        RecurrentRegressor(cell=Forgetful, hidden_size=2, max_epochs=1).fit(X, Y)


# --- what the defaults learn ---------------------------------------------------------------------------------------


def test_the_defaults_learn_an_echo() -> None:
    """y_t = x_{t-5} of white noise, one sequence: with a patience of ten steps nothing is learnt."""
    x = np.random.default_rng(0).normal(size=1000)
    y = np.r_[np.zeros(5), x[:-5]]
    model = LSTMRegressor(random_state=0).fit(x[:600, None], y[:600])
    assert model.score(x[600:, None], y[600:]) > 0.9
