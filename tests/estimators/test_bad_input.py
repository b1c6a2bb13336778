"""Bad input: each a clear error that says what came, what was expected, and the way out.

Errors are ValueError or TypeError of the estimator's own, or scikit-learn's where it has one; never an IndexError, a
RuntimeError of torch or a broadcast that happens to work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, ShuffleSplit, TimeSeriesSplit, cross_val_score

from seqdyn import (
    GRU,
    ARXRegressor,
    Autoregression,
    ExponentialMovingAverageRegressor,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMClassifier,
    MovingAverageRegressor,
    PersistenceRegressor,
    RecurrentRegressor,
)
from seqdyn.state import map_leaves
from tests.estimators.models import CAUSAL, CLOSED, lstm, panel, ragged, table

Array = np.ndarray[Any, Any]

EVERY = {**CAUSAL, **CLOSED}
X, Y = table(20)
X3, Y3 = panel(series=4, steps=6)
XS, YS = ragged((6, 4))


def classifier(**changes: Any) -> LSTMClassifier:
    """A small one."""
    return LSTMClassifier(**{"hidden_size": 4, "max_epochs": 1, "random_state": 0} | changes)


def with_value(values: Array, place: tuple[int, ...], value: float) -> Array:
    """A copy with one other number."""
    changed = values.copy()
    changed[place] = value
    return changed


# --- shapes --------------------------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "one axis": (Y, Y, {}, r"X has shape \(\d+,\), expected \(time, features\). Reshape your data: X.reshape\(-1, 1\)"),
    "four axes": (X.reshape(2, 2, 5, 2), Y, {}, "Found array with dim 4"),
    "a number": (3.0, Y, {}, "Expected 2D array, got scalar array"),
    "a Series": (pd.Series(Y), Y, {}, "to_frame|2-dimensional container"),
    "fewer targets": (X, Y[:-1], {}, r"inconsistent numbers of samples: \[20, 19\]"),
    "three axes of targets": (
        X,
        Y.reshape(20, 1, 1),
        {},
        r"y has shape \(20, 1, 1\), expected \(time,\) or \(time, outputs",
    ),
    "fewer series of targets": (X3, Y3[:3], {}, r"y has shape \(3, 6\), expected \(4, 6\) or \(4, 6, outputs\)"),
    "fewer steps of targets": (X3, Y3[:, :5], {}, "y has 5 steps a series, X has 6"),
    "one target a sequence": (X3, Y3[:, 0], {}, r"y has shape \(4,\).*set return_sequences=False"),
    "one target a ragged sequence": (XS, np.ones(2), {}, r"y.*return_sequences=False"),
    "one target a step": (X3, Y3[..., None], {"return_sequences": False}, r"y has shape \(4, 6, 1\).*return_sequences"),
    "one sequence only": (X, Y, {"return_sequences": False}, r"y has shape \(20,\).*A 2-D X is one sequence"),
    "fewer arrays": (XS, YS[:1], {}, "y must be a list of 2 arrays, one a series of X, got list of length 1"),
    "lengths": (XS, [YS[0], YS[1][:3]], {}, r"y\[1\] has shape \(3,\), expected \(4,\) or \(4, outputs\) like X\[1\]"),
    "widths": ([XS[0], XS[1][:, :1]], YS, {}, r"series of X have \[1, 2\] features, expected one number"),
    "axes of targets": (XS, [YS[0], YS[1][:, None]], {}, r"y\[1\] has shape \(4, 1\), expected \(4,\)"),
    "widths of targets": (XS, [np.ones((6, 1)), np.ones((4, 2))], {}, r"y.*(outputs|shape|columns)"),
    "no targets": (X, None, {}, "requires y to be passed, but the target y is None"),
    "no targets of ragged": (XS, None, {}, "requires y to be passed, but the target y is None"),
    "empty": (X[:0], Y[:0], {}, r"0 sample\(s\) \(shape=\(0, 2\)\)"),
    "no series": (X3[:0], Y3[:0], {}, r"\(0, 6, 2\)"),
    "no steps": (X3[:, :0], Y3[:, :0], {}, r"\(4, 0, 2\)"),
    "no features": (X[:, :0], Y, {}, r"0 feature\(s\)"),
    "an empty list": ([], [], {}, "Expected 2D array"),
    "an empty series": ([XS[0], XS[1][:0]], [YS[0], YS[1][:0]], {}, r"0 sample\(s\).*\(0, 2\)"),
    "one row": (X[:1], Y[:1], {}, "n_samples=1 step.*at least 2"),
    "a table among series": ([X, Y], [Y, Y], {}, "X.*|inhomogeneous"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(case: str) -> None:
    """Inputs and targets that do not fit each other, or nothing."""
    inputs, targets, changes, message = SHAPES[case]
    with pytest.raises(ValueError, match=message):
        lstm(**changes).fit(inputs, targets)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("case", ["one axis", "fewer targets", "fewer steps of targets", "empty", "one row", "lengths"])
def test_shapes_of_every_estimator(name: str, case: str) -> None:
    """Whichever is asked."""
    inputs, targets, _, message = SHAPES[case]
    with pytest.raises(ValueError, match=message if case != "one row" else "at least 2"):
        EVERY[name]().fit(inputs, targets)


Numbers = st.integers(0, 3)
Shape = st.lists(st.integers(0, 4), min_size=0, max_size=4).map(tuple)


@settings(deadline=None, max_examples=200)
@given(
    Shape.flatmap(lambda shape: st.tuples(st.just(shape), st.one_of(Shape, st.just(shape), st.just(shape[:-1])))),
    st.booleans(),
)
def test_any_shape_is_fitted_or_refused(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], return_sequences: bool
) -> None:
    """Random shapes of X and y: a fit whose prediction has the shape of y, or a ValueError that names a shape."""
    generator = np.random.default_rng(0)
    inputs, targets = (np.asarray(generator.normal(size=shape)) for shape in shapes)
    model = lstm(max_epochs=1, return_sequences=return_sequences)
    try:
        model.fit(inputs, targets)
    except ValueError as error:
        assert any(
            word in str(error) for word in ("shape", "sample", "feature", "steps", "dim", "2D array", "at least")
        ), error
        return
    predicted = model.predict(inputs)
    assert predicted.shape == targets.shape and np.isfinite(predicted).all()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 2)), max_size=3),
    st.lists(st.integers(0, 4), max_size=3),
)
def test_any_list_is_fitted_or_refused(parts: list[tuple[int, int]], lengths: list[int]) -> None:
    """Random lists of series: predictions in a list shaped as y, or a ValueError that says which part."""
    inputs, targets = [np.ones(shape) for shape in parts], [np.arange(length, dtype=float) for length in lengths]
    model = lstm(max_epochs=1)
    try:
        model.fit(inputs, targets)
    except ValueError as error:
        assert any(word in str(error) for word in ("shape", "sample", "feature", "list of", "2D array", "at least"))
        return
    assert [part.shape for part in model.predict(inputs)] == [part.shape for part in targets]


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_inputs_that_are_not_finite(name: str, value: float, said: str) -> None:
    """In fit, predict and score: where it is, as the user counts."""
    X_long, y = table(20)
    model = EVERY[name]().fit(X_long, y)
    bad = with_value(X_long, (7, 1), value)
    for ask in (lambda: EVERY[name]().fit(bad, y), lambda: model.predict(bad), lambda: model.score(bad, y)):
        with pytest.raises(ValueError, match=f"X contains .*{said}.* at step 7, feature 1"):
            ask()
    with pytest.raises(ValueError, match=f"X contains .*{said}.* in series 1 at step 7, feature 1"):
        model.predict([X_long[:3], bad])
    frame = pd.DataFrame(bad, pd.period_range("1990", periods=20, freq="Y"), ["rate", "level"])
    with pytest.raises(ValueError, match=f"X contains .*{said}.* at 1997, feature"):
        EVERY[name]().fit(frame, y)


@pytest.mark.parametrize("make", [lstm, classifier, ARXRegressor], ids=["regressor", "classifier", "closed form"])
def test_infinite_targets_say_where(make: Callable[[], Any]) -> None:
    """Any inf is an error that says where it is."""
    y = Y > 0 if make is classifier else Y
    with pytest.raises(ValueError, match=r"y .*inf.*step 7"):
        make().fit(X, with_value(y.astype(float), (7,), np.inf))
    with pytest.raises(ValueError, match=r"y .*inf.*series 1 .*step 2"):
        make().fit(XS, [YS[0] > 0, with_value((YS[1] > 0).astype(float), (2,), np.inf)])


@pytest.mark.parametrize("name", EVERY)
def test_targets_that_are_all_missing(name: str) -> None:
    """All of them, or all of one output."""
    with pytest.raises(ValueError, match="NaN everywhere|known target"):
        EVERY[name]().fit(X, np.full(20, np.nan))
    if name in CAUSAL:
        with pytest.raises(ValueError, match="Target 1 has no known value"):
            EVERY[name]().fit(X, np.column_stack([Y, np.full(20, np.nan)]))


def test_nothing_left_to_learn_from() -> None:
    """Targets that are known only where the weight is 0, or in the warm-up."""
    half = np.where(np.arange(20) < 10, np.nan, Y)
    with pytest.raises(ValueError, match=r"[Nn]o target|at least one"):
        lstm().fit(X, half, sample_weight=(np.arange(20) < 10).astype(float))
    with pytest.raises(ValueError, match=r"[Nn]o target|at least one"):
        lstm(warmup=10).fit(X, half[::-1])


def test_targets_that_are_no_numbers() -> None:
    """Names for a regressor, complex numbers, dictionaries."""
    for y in (np.array(["a"] * 20), Y + 1j, np.array([{}] * 20)):
        with pytest.raises((ValueError, TypeError), match="string|Complex|float"):
            lstm().fit(X, y)


@pytest.mark.parametrize(
    "inputs", [np.full((20, 2), "a"), X + 1j, np.full((20, 2), None)], ids=["str", "complex", "None"]
)
def test_inputs_that_are_no_numbers(inputs: Array) -> None:
    """Strings, complex numbers, objects."""
    with pytest.raises((ValueError, TypeError), match="numeric|Complex|NaN|float"):
        lstm().fit(inputs, Y)


def test_labels() -> None:
    """One class, continuous numbers, two columns, classes that the first fit did not know."""
    with pytest.raises(ValueError, match=r"two classes.*one class"):
        classifier().fit(X, np.zeros(20))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        classifier().fit(X, Y)
    with pytest.raises(ValueError, match="y has 2 columns"):
        classifier().fit(X, np.column_stack([Y > 0, Y < 0]))
    with pytest.raises(ValueError, match=r"did not know: classes_ is array\(\[False,  True\]\)"):
        classifier().partial_fit(X, Y > 0).partial_fit(X, np.where(Y > 0, "up", "down"))
    with pytest.raises(ValueError, match=r"did not know: classes_ is array\(\[5, 6\]\)"):
        classifier().partial_fit(X, Y > 0, classes=[5, 6])
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight="fair").fit(X, Y > 0)


# --- predicting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_predicting_with_other_features(name: str) -> None:
    """In every container: how many there are, and how many were fitted."""
    model = EVERY[name]().fit(X, Y)
    for inputs in (X[:, :1], X3[..., :1], [X[:, :1]]):
        with pytest.raises(ValueError, match=r"X has 1 features, but \w+ is expecting 2 features"):
            model.predict(inputs)


@pytest.mark.parametrize("name", EVERY)
def test_predicting_before_fitting(name: str) -> None:
    """NotFittedError from everything that needs a fit."""
    model = EVERY[name]()
    for ask in (lambda: model.predict(X), lambda: model.score(X, Y), lambda: model.stream(), lambda: model.save("x")):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            ask()
    for name_ in ("cell_", "state_", "history_"):
        assert not hasattr(model, name_)


BROKEN: dict[str, dict[str, Any]] = {
    "schedule": {"schedule": "sometimes"},
    "warm-up": {"warmup": 100},
    "streams": {"bptt_length": 3, "streams": 100},
    "random state": {"random_state": "dice"},
    "hidden size": {"hidden_size": 0},
    "start": {"initial_state": "one"},
    "device": {"device": "abacus"},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_fit_that_fails_fits_nothing(case: str) -> None:
    """An estimator that could not be fitted says so; one that was fitted before does, too, or predicts as before."""
    model = lstm(**BROKEN[case])
    with pytest.raises((ValueError, TypeError)):
        model.fit(X, Y)
    with pytest.raises(NotFittedError):
        model.predict(X)
    good = lstm().fit(X, Y)
    expected = good.predict(X)
    with pytest.raises((ValueError, TypeError)):
        good.set_params(**BROKEN[case]).fit(100 * X, 100 * Y)
    try:
        found = good.set_params(**lstm().get_params()).predict(X)
    except NotFittedError:
        return
    np.testing.assert_array_equal(found, expected)


def test_data_that_fail_fit_nothing() -> None:
    """The same where the data are bad."""
    for inputs, targets in ((X, Y[:5]), (with_value(X, (1, 1), np.nan), Y), (X, Y * np.nan)):
        model = lstm()
        with pytest.raises(ValueError):
            model.fit(inputs, targets)
        with pytest.raises(NotFittedError):
            model.predict(X)


def test_scoring_against_other_targets() -> None:
    """Fewer, of another width, all missing, or all in the warm-up."""
    model = lstm().fit(X, Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, Y[:5])
    with pytest.raises(ValueError, match=r"2 (outputs|columns)|\(20, 2\)"):
        model.score(X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match=r"(?i)NaN everywhere|no .*target"):
        model.score(X, Y * np.nan)
    model.set_params(warmup=6)
    with pytest.raises(ValueError, match="warm"):
        model.score(X[:5], Y[:5])


def test_going_on_with_other_data() -> None:
    """partial_fit and warm_start keep widths and names."""
    for begin in (lambda: lstm().partial_fit(X, Y), lambda: lstm(warm_start=True).fit(X, Y)):
        for again in ("partial_fit", "fit"):
            if again == "fit" and not begin().warm_start:
                continue
            with pytest.raises(ValueError, match=r"y has 2 outputs, but .*1"):
                getattr(begin(), again)(X, np.column_stack([Y, Y]))
            with pytest.raises(ValueError, match="X has 1 features"):
                getattr(begin(), again)(X[:, :1], Y)


# --- frames --------------------------------------------------------------------------------------------------------


def frame(index: Any = None) -> pd.DataFrame:
    """The table with labels."""
    return pd.DataFrame(X, index if index is not None else pd.RangeIndex(20), ["rate", "level"])


def test_columns() -> None:
    """Unknown, missing, in another order: in a frame, and in a list of frames."""
    for fitted, wrap in [
        (lstm().fit(frame(), Y), lambda data: data),
        (lstm().fit([frame(), frame()], [Y, Y]), lambda data: [data, data]),
    ]:
        for changed in (frame().rename(columns={"level": "height"}), frame()[["level", "rate"]]):
            with pytest.raises(ValueError, match=r"feature names|columns"):
                fitted.predict(wrap(changed))
        with pytest.raises(ValueError, match=r"feature names|columns|3 features"):
            fitted.predict(wrap(frame().assign(depth=1)))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([0, *range(19)], r"index of X has duplicates, the first at 0.*groupby"),
        ([*range(1, 20), 0], r"not sorted in time.*sort_index\(\).*TimeSeriesSplit"),
        (range(20, 0, -1), "not sorted in time"),
        ([*range(10), *range(15, 25)], "hole after 9.*TimeSeriesSplit.*reindex"),
        ([*range(19), 30], "hole after 18"),
        (pd.date_range("2024-01-01", periods=21, freq="D").delete(10), "hole after 2024-01-10"),
        (pd.date_range("2024-01-01", periods=21, freq="h", tz="UTC").delete(10), "hole after 2024-01-01 09:00"),
        (pd.date_range("2024-01-01", periods=24, freq="MS").delete([7, 8, 9, 10]), "hole after 2024-07-01"),
        (pd.bdate_range("2024-01-01", periods=30).delete(range(5, 15)), "hole after 2024-01-05"),
        (pd.period_range("1990", periods=24, freq="Q").delete([5, 6, 7, 8]), "hole after 1991Q1"),
        (pd.timedelta_range("0s", periods=22, freq="s").delete([5, 6]), "hole after 0 days 00:00:04"),
        (pd.Index(np.arange(25) * 0.5).delete(range(5, 10)), "hole after 2.0"),
        (pd.date_range("2024-01-01", periods=20).insert(3, pd.NaT)[:20], "not sorted|missing|NaT"),
        (pd.MultiIndex.from_product([[0, 1], range(5), range(2)]), r"MultiIndex.*two levels \(series, time\)"),
    ],
    ids=[
        "duplicates",
        "unsorted",
        "backwards",
        "hole",
        "hole at the end",
        "days",
        "hours",
        "months",
        "business days",
        "quarters",
        "timedelta",
        "floats",
        "NaT",
        "three levels",
    ],
)
def test_time_indices(index: Any, message: str) -> None:
    """Rows that are not one unbroken stretch of time: in fit, and in predict."""
    broken = frame(index)
    with pytest.raises(ValueError, match=message):
        lstm().fit(broken, Y)
    with pytest.raises(ValueError, match=message):
        lstm().fit(frame(), Y).predict(broken)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(60),
        pd.date_range("2024-01-01", periods=60, freq="D"),
        pd.date_range("2024-01-01", periods=60, freq="MS"),
        pd.bdate_range("2024-01-01", periods=60),
        pd.period_range("1990", periods=60, freq="M"),
        pd.timedelta_range("0s", periods=60, freq="s"),
        pd.Index(np.arange(60) * 0.1),
    ],
    ids=["range", "days", "months", "business days", "periods", "timedelta", "seconds"],
)
@pytest.mark.parametrize(
    "split",
    [KFold(5), KFold(20), KFold(5, shuffle=True, random_state=0), ShuffleSplit(2, random_state=0)],
    ids=["KFold", "KFold of 3 rows", "shuffled", "ShuffleSplit"],
)
def test_splits_that_join_across_a_hole(index: pd.Index, split: Any) -> None:
    """KFold on a frame raises and names TimeSeriesSplit, which works."""
    inputs, y = table(60)
    data = pd.DataFrame(inputs, index).rename(columns=str)
    with pytest.raises(ValueError, match="TimeSeriesSplit"):
        cross_val_score(lstm(), data, y, cv=split, error_score="raise")
    assert np.isfinite(cross_val_score(lstm(), data, y, cv=TimeSeriesSplit(3), error_score="raise")).all()


# --- states --------------------------------------------------------------------------------------------------------


def test_states_that_do_not_fit() -> None:
    """Of another width, another kind, another dtype, another number of rows; of no tensors at all."""
    model = lstm().fit(X, Y)
    wrong: dict[str, tuple[Any, str]] = {
        "width": (lstm(hidden_size=5).fit(X, Y).state_, r"h has shape \(1, 5\).*expects \(1, 4\)"),
        "kind": (GRURegressor(hidden_size=4, max_epochs=1).fit(X, Y).state_, r"leaves \['state\.h'\].*'state\.c'"),
        "dtype": (lstm(dtype="float64").fit(X, Y).state_, r"float64.*expects .*float32"),
        "layers": (lstm(num_layers=2).fit(X, Y).state_, r"leaves .*'state\.1\.h'"),
        "rows": (lstm().fit(X3, Y3).state_, r"initial_state has \[4\] rows, expected 1"),
        "nothing": ((), "initial_state has shape \\(0,\\)"),
        "an array": (np.zeros((1, 4)), "initial_state|tensor"),
        "a name": ("nought", "initial_state|tensor"),
    }
    for case, (state, message) in wrong.items():
        with pytest.raises((ValueError, TypeError), match=message):
            model.predict(X, initial_state=state)
            pytest.fail(case)
    with pytest.raises(ValueError, match="rows, expected 1 or one for each of the 4 series"):
        model.predict(X3, initial_state=lstm().fit(X3[:3], Y3[:3]).state_)


def test_states_that_do_not_fit_as_a_parameter() -> None:
    """The same for ``initial_state`` of a fit: the leaves there are, and those that are needed."""
    state = lstm().fit(X, Y).state_
    for changes in ({"hidden_size": 5}, {"num_layers": 2}):
        with pytest.raises(ValueError, match="initial state has the leaves .* needs .*one row"):
            lstm(initial_state=state, **changes).fit(X, Y)
    with pytest.raises(ValueError, match="needs .*'h'"):
        GRURegressor(hidden_size=4, initial_state=state).fit(X, Y)
    with pytest.raises(ValueError, match="one row"):
        lstm(initial_state=lstm().fit(X3, Y3).state_).fit(X, Y)


def test_a_state_that_is_not_finite_shows() -> None:
    """A NaN given is a NaN got: nothing hides it."""
    model = lstm().fit(X, Y)
    state = map_leaves(lambda leaf: leaf * torch.nan, model.state_)
    assert np.isnan(model.predict(X, initial_state=state)).all()


# --- weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), r"sample_weight has shape \(3,\), expected one number for each of the 20 steps"),
        (-np.arange(20.0), "finite and at least 0"),
        (with_value(np.ones(20), (3,), np.nan), "finite and at least 0"),
        (with_value(np.ones(20), (3,), np.inf), "finite and at least 0"),
        (np.zeros(20), "only zeros"),
        ("balanced", "sample_weight|could not convert"),
        (np.ones((20, 2)), r"sample_weight has shape \(20, 2\)"),
    ],
    ids=["short", "negative", "NaN", "inf", "zeros", "a name", "wide"],
)
def test_weights(weight: Any, message: str) -> None:
    """In fit, for models of both kinds, and in score."""
    model = lstm().fit(X, Y)
    for ask in (
        lambda: lstm().fit(X, Y, sample_weight=weight),
        lambda: ARXRegressor().fit(X, Y, sample_weight=weight),
        lambda: model.score(X, Y, sample_weight=weight),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


def test_weights_of_series() -> None:
    """As many numbers in another arrangement are other weights: time and series exchanged, or lengths."""
    with pytest.raises(ValueError, match=r"sample_weight has shape \(6, 4\)"):
        lstm().fit(X3, Y3, sample_weight=np.arange(24.0).reshape(6, 4))
    with pytest.raises(ValueError, match="sample_weight"):
        lstm().fit(XS, YS, sample_weight=[np.arange(4.0), np.arange(6.0)])
    with pytest.raises(ValueError, match="sample_weight"):
        lstm().fit(X3, Y3, sample_weight=np.ones(3))


# --- parameters ----------------------------------------------------------------------------------------------------

VALUES: dict[str, list[Any]] = {
    "callback": [3, "loud", True],
    "hidden_size": [0, -1, 2.5, "big", (), (3, 0), None, True],
    "num_layers": [0, 1.5, None],
    "residual": [1, "yes", None],
    "bidirectional": ["last", 1, None],
    "dropout": [1, -0.1, None, "some", np.nan],
    "return_sequences": [0, None],
    "warmup": [-1, 0.5, "long"],
    "output_lag": [-1, 0.5, None],
    "window": [0, 2.5, "wide"],
    "stride": [0, None],
    "bptt_length": [0, -3, "all"],
    "streams": [0, None],
    "optimizer": ["lbfgs", None, torch.optim.Adam],
    "learning_rate": [0, -1, np.nan, np.inf, "small", None],
    "schedule": ["sometimes", 3],
    "weight_decay": [-1, np.nan, None],
    "clip_norm": [0, -1, "short", ("quantile", 1.0), ("quantile", 0.1, 0.0), ("norm", 1.0)],
    "clip_quantile": [0, 1, -0.5, "half", np.nan],
    "omega": [-1, np.nan, np.inf, None, "some"],
    "initialise": [
        "chrono",
        "forget",
        ("chrono", 1),
        ("orthogonal", 0),
        ("identity", 1.0, 2.0),
        (),
        3,
        ("chrono", "a"),
    ],
    "weight_average": [-0.1, 1.0, 1.5, "half"],
    "autoregression": [1, "own", object()],
    "skip": ["yes", 2],
    "linear_start": [-1.0, "ridge"],
    "max_epochs": [-1, 1.5, "all"],
    "max_steps": [0, 1.5],
    "max_time": [0, -1, "a minute"],
    "batch_size": [0, 1.5, None],
    "early_stopping": [1, None],
    "validation_fraction": [0, 1, 2, None],
    "n_iter_no_change": [0, None],
    "tol": [-1, np.nan, None],
    "scale": ["standard", None],
    "warm_start": [1, None],
    "device": ["abacus", "cuda:99", None, 3.5],
    "dtype": ["float16", None, np.float32],
    "random_state": ["dice", -1, 2.5],
    "verbose": ["loud", -1, None],
    "checkpoint": [3, 0.5, ("a", "b")],
    "checkpoint_every": [-1.0, "often", None, np.nan, True],
    "loss": ["rmse", None, 3],
    "quantiles": [(0.9, 0.1), (0.0, 0.5), ("half",), 3, None, ()],
    "initial_state": ["one", None, 3],
    "peepholes": [1, None],
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_parameters(name: str) -> None:
    """Each is refused by name, with the value, before anything is learnt."""
    also = {"loss": "quantile"} if name == "quantiles" else {}
    for value in VALUES[name]:
        with pytest.raises((ValueError, TypeError), match=name) as caught:
            lstm(**also | {name: value}).fit(X, Y)
            pytest.fail(f"{name}={value!r} was accepted")
        assert any(said in str(caught.value) for said in (repr(value), str(value), f"got {type(value).__name__}"))


def test_every_parameter_has_bad_values() -> None:
    """The table above knows all parameters."""
    assert set(VALUES) == set(lstm().get_params())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearStateSpaceRegressor(order=0), "order must be an int of at least 1 or 'auto', got 0"),
        (lambda: LinearStateSpaceRegressor(omega=1.0), "omega belongs to .*method='gradient'"),
        (lambda: LinearStateSpaceRegressor(initialise="identity"), "initialise belongs to .*method='gradient'"),
        (lambda: GRURegressor(reset_gate="between"), "reset_gate must be one of 'after', 'before', got 'between'"),
        (lambda: RecurrentRegressor(cell="gru"), "cell must be a Cell, or a class .*got 'gru'"),
        (lambda: RecurrentRegressor(cell=None), "cell must be a Cell, or a class .*got None"),
        (lambda: RecurrentRegressor(cell=torch.nn.GRU), r"must make a seqdyn Cell, got GRU"),
        (lambda: RecurrentRegressor(cell=GRU(3, 4)), "GRU has input_size=3, but .*2 features"),
        (lambda: MovingAverageRegressor(window=0), "window must be .*int of at least 1, got 0"),
        (lambda: MovingAverageRegressor(window=None), "window must be an int of at least 1, got None"),
        (lambda: MovingAverageRegressor(weights="mine"), "weights must be one of 'uniform', 'learned', got 'mine'"),
        (lambda: ExponentialMovingAverageRegressor(gamma=1.0), r"gamma must be .*in \(0, 1\), got 1.0"),
        (lambda: PersistenceRegressor(columns=[5]), r"y has 1 columns, X 2 features, columns=\[5\]"),
        (lambda: PersistenceRegressor(columns=[-1]), r"columns=\[-1\]"),
        (lambda: PersistenceRegressor(columns=[0, 1]), r"y has 1 columns.*columns=\[0, 1\]"),
        (lambda: PersistenceRegressor(columns="level"), "columns='level'"),
        (lambda: ARXRegressor(output_lags=-1), "output_lags must be an int of at least 0 or 'auto', got -1"),
        (lambda: ARXRegressor(output_lags=30), "steps have all their lags known; .*lower output_lags"),
        (lambda: ARXRegressor(warmup=20), "0 of n_samples=20 steps have a known target after the warm-up"),
    ],
)
def test_values_of_parameters_of_others(make: Callable[[], Any], message: str) -> None:
    """The parameters only some estimators have."""
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(X, Y)


def test_all_problems_at_once() -> None:
    """One error lists everything that is wrong, however many there are."""
    bad = {name: values[0] for name, values in VALUES.items()}
    with pytest.raises(ValueError) as caught:
        lstm(**bad).fit(X, Y)
    assert [name for name in bad if f"{name} must" not in str(caught.value)] == []
    with pytest.raises(ValueError, match=r"warmup must .* window must .* weights must") as caught:
        MovingAverageRegressor(window=0, weights="mine", warmup=-1).fit(X, Y)


CONFLICTS: dict[str, tuple[dict[str, Any], str]] = {
    "window and bptt": ({"window": 5, "bptt_length": 5}, "window .*bptt_length .*choose one"),
    "streams without bptt": ({"streams": 2}, "streams .*set bptt_length"),
    "window of one target": ({"window": 5, "return_sequences": False}, "window .*return_sequences=False"),
    "bidirectional and bptt": ({"bidirectional": True, "bptt_length": 5}, "bptt_length .*bidirectional"),
    "bidirectional and lag": ({"bidirectional": "first", "output_lag": 1}, "output_lag .*bidirectional"),
    "omega of both directions": ({"omega": 1.0, "bidirectional": True}, "omega .*leave out bidirectional"),
    "omega and bptt": ({"omega": 1.0, "bptt_length": 3}, "omega .*leave out bptt_length"),
    "omega and own past": ({"omega": 1.0, "autoregression": Autoregression()}, "omega .*leave out autoregression"),
    "a start without a place": ({"initialise": "identity"}, "identity .*a gated cell .*use forget_bias or chrono"),
    "warm-up of everything": ({"warmup": 6}, "warmup=6 leaves no step with a loss in a sequence or window of 6 steps"),
    "warm-up of a window": ({"window": 3, "warmup": 3}, "warmup=3 leaves no step"),
    "too many streams": ({"bptt_length": 2, "streams": 25}, "streams must lie between 1 and the 24 rows"),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_parameters_that_do_not_go_together(case: str) -> None:
    """Good alone, not with each other, or not with these data."""
    changes, message = CONFLICTS[case]
    y = Y3[:, 0] if changes.get("return_sequences") is False else Y3
    with pytest.raises(ValueError, match=message):
        lstm(**changes).fit(X3, y)


def test_several_conflicts_at_once() -> None:
    """All pairs are named."""
    with pytest.raises(ValueError, match=r"window .*bptt_length .*bidirectional .*output_lag"):
        lstm(window=5, bptt_length=5, bidirectional=True, output_lag=1).fit(X3, Y3)


def test_early_stopping_with_nothing_to_hold_out() -> None:
    """One sequence with one target; no target or no weight in the part held out."""
    with pytest.raises(ValueError, match="only one sequence with one target"):
        lstm(early_stopping=True, return_sequences=False).fit(X3[:1], Y3[:1, 0])
    with pytest.raises(ValueError, match="No target is known in the part held out"):
        lstm(early_stopping=True).fit(X, np.where(np.arange(20) >= 18, np.nan, Y))
    with pytest.raises(ValueError, match="held out"):
        lstm(early_stopping=True).fit(X, Y, sample_weight=(np.arange(20) < 18).astype(float))


def test_losses_and_schedules_that_do_not_work() -> None:
    """A loss that has averaged already, or gives nothing, says what came; a rate that is no number stops."""
    missing = with_value(Y, (3,), np.nan)
    with pytest.raises((ValueError, TypeError), match=r"loss.*shape|elementwise"):
        lstm(loss=torch.nn.functional.mse_loss).fit(X, missing)
    with pytest.raises((ValueError, TypeError), match="loss"):
        lstm(loss=lambda output, target: None).fit(X, Y)
    with pytest.raises((ValueError, ArithmeticError), match="schedule|learning_rate|rate"):
        lstm(schedule=lambda progress: float("nan")).fit(X, Y)


# --- anything ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        arrays.arrays(
            np.float64, arrays.array_shapes(min_dims=2, max_dims=3, max_side=5), elements=st.floats(width=64)
        ),
        st.lists(st.lists(st.floats(), max_size=3), max_size=4),
        st.text(max_size=3),
        st.none(),
        st.dictionaries(st.text(max_size=2), st.lists(st.floats(), max_size=3), max_size=2),
    ),
)
def test_any_input_is_predicted_or_refused(inputs: Any) -> None:
    """Numbers of any size, ragged nested lists, text: finite predictions of the right length, or a clear error."""
    model = lstm().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, on numbers near the largest there are
        try:
            predicted = model.predict(inputs)
        except (ValueError, TypeError) as error:
            assert len(str(error)) > 20
            return
    assert np.shape(predicted) == np.shape(inputs)[:-1]
