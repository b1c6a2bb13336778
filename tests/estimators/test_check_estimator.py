"""scikit-learn's own checks, and scikit-learn's own tools around the estimators.

``check_array_api_input`` is skipped by scikit-learn itself for every estimator: it runs only where SCIPY_ARRAY_API=1
is set before scipy is imported, and seqdyn takes no array API inputs.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import loguniform, randint
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import seqdyn
from seqdyn import (
    GRU,
    LSTM,
    ARXRegressor,
    EchoStateRegressor,
    ElmanClassifier,
    ElmanRegressor,
    ExponentialMovingAverageRegressor,
    GRUClassifier,
    GRURegressor,
    LinearStateSpaceRegressor,
    LRUClassifier,
    LRURegressor,
    LSTMClassifier,
    LSTMRegressor,
    MinGRUClassifier,
    MinGRURegressor,
    MinLSTMClassifier,
    MinLSTMRegressor,
    MotionModel,
    MovingAverageRegressor,
    NextGenerationReservoirRegressor,
    PersistenceRegressor,
    RecurrentClassifier,
    RecurrentRegressor,
)
from seqdyn.estimators.linear_model import LinearModel
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.forecasting.contract import PanelForecaster

Array = np.ndarray[Any, Any]

REGRESSORS = [
    RecurrentRegressor(max_epochs=10, learning_rate=0.05),
    ElmanRegressor(max_epochs=10, learning_rate=0.05),
    LSTMRegressor(max_epochs=10, learning_rate=0.05),
    GRURegressor(max_epochs=10, learning_rate=0.05),
    MinGRURegressor(max_epochs=10, learning_rate=0.05),
    MinLSTMRegressor(max_epochs=10, learning_rate=0.05),
    LRURegressor(max_epochs=10, learning_rate=0.05),
    LinearStateSpaceRegressor(),
    LinearStateSpaceRegressor(
        method="gradient", stable=False, max_epochs=25, learning_rate=0.1
    ),  # 25 steps of 1e-2 are too few
    MovingAverageRegressor(),
    MovingAverageRegressor(weights="learned"),
    ExponentialMovingAverageRegressor(),
    PersistenceRegressor(),
    ARXRegressor(),
    EchoStateRegressor(hidden_size=30, random_state=0),
    NextGenerationReservoirRegressor(max_features=40),
]
CLASSIFIERS = [
    RecurrentClassifier(max_epochs=10, learning_rate=0.05),
    ElmanClassifier(max_epochs=10, learning_rate=0.05),
    LSTMClassifier(max_epochs=10, learning_rate=0.05),
    GRUClassifier(max_epochs=10, learning_rate=0.05),
    MinGRUClassifier(max_epochs=10, learning_rate=0.05),
    MinLSTMClassifier(max_epochs=25, learning_rate=0.05),
    LRUClassifier(max_epochs=10, learning_rate=0.05),
]
EVERY = [*REGRESSORS, *CLASSIFIERS]

NOT_EXCHANGEABLE = {
    "check_methods_sample_order_invariance": "rows are steps in time: in another order they are another sequence",
    "check_methods_subset_invariance": "the memory comes from the rows before: a subset has another past",
    "check_sample_weight_equivalence_on_dense_data": "a row said twice is two steps in time, not one of weight two",
}
NO_INPUTS = {"check_estimators_empty_data_messages": "no features are a system without inputs, not a slip"}


def expected_failures(estimator: Any) -> dict[str, str]:
    """The three checks that take rows for exchangeable, and the one that takes no features for a slip.

    Persistence has no memory, and passes all of them.

    An identified model finds out that rows drawn at random have none, and passes the first two.
    """
    if isinstance(estimator, PersistenceRegressor):
        return {}
    if isinstance(estimator, LinearStateSpaceRegressor) and estimator.method != "gradient":
        return {name: NOT_EXCHANGEABLE[name] for name in NOT_EXCHANGEABLE if "invariance" not in name} | NO_INPUTS
    return NOT_EXCHANGEABLE | (NO_INPUTS if isinstance(estimator, LinearModel) else {})


@parametrize_with_checks(EVERY, expected_failed_checks=expected_failures)
def test_scikit_learn_checks(estimator: Any, check: Any) -> None:
    """Everything scikit-learn asks of an estimator, with no other exceptions than these."""
    check(estimator)


def wave(rows: int = 60) -> tuple[Array, Array]:
    """Two features, and a target with a memory of two steps."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(rows, 2)) * [1.0, 50.0] + [0.0, 1000.0]
    y = X[:, 0] + np.r_[0, X[:-1, 0]] + np.r_[0, 0, X[:-2, 0]]
    return X, y


def targets(estimator: Any) -> Array:
    """Numbers for a regressor, names for a classifier."""
    _, y = wave()
    return np.where(y > 0, "up", "down") if is_classifier(estimator) else y


def quick(estimator: Any) -> Any:
    """A clone that trains for a moment."""
    quicker = {"hidden_size": 4, "max_epochs": 2, "random_state": 0}
    own = estimator.get_params()
    return clone(estimator).set_params(**{name: value for name, value in quicker.items() if name in own})


def named(estimators: list[Any]) -> Any:
    """Parametrise over estimators, by name."""
    ids = [type(e).__name__ + ("-learned" if getattr(e, "weights", "") == "learned" else "") for e in estimators]
    return pytest.mark.parametrize("estimator", estimators, ids=ids)


# --- what scikit-learn's users do ----------------------------------------------------------------------------------


def test_every_public_estimator_is_checked() -> None:
    """A new estimator joins the list above, or this fails."""
    public = {
        name
        for name in seqdyn.__all__
        if isinstance(value := getattr(seqdyn, name), type)
        and issubclass(value, BaseEstimator)
        and not issubclass(
            value, PanelForecaster | NetworkEstimator | MotionModel
        )  # they take frames, texts or motions
    }
    assert public == {type(estimator).__name__ for estimator in EVERY}


@named(EVERY)
def test_parameters(estimator: Any) -> None:
    """Get, set, clone and the repr: ``__init__`` stores what it is given; the repr shows what is no default."""
    given = estimator.get_params()
    assert given == clone(estimator).get_params()
    assert not hasattr(estimator, "__dict__") or set(vars(estimator)) == set(given)
    default = type(estimator)()
    assert repr(default) == f"{type(estimator).__name__}()"
    changed = default.set_params(warmup=3)
    assert changed is default and default.get_params()["warmup"] == 3
    assert repr(changed) == f"{type(estimator).__name__}(warmup=3)"
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        default.set_params(depth=3)
    with pytest.raises(TypeError):
        type(estimator)(5)
    assert is_regressor(estimator) != is_classifier(estimator)


@named(EVERY)
def test_a_clone_is_not_fitted(estimator: Any) -> None:
    """And a fitted estimator that is cloned keeps what it has learnt."""
    X, _ = wave()
    model = quick(estimator).fit(X, targets(estimator))
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
    assert len(model.predict(X)) == len(X)


@named(EVERY)
def test_copies_predict_the_same(estimator: Any, tmp_path: Path) -> None:
    """pickle, joblib, deepcopy and seqdyn's own files: the same predictions, to the bit; going on works."""
    X, _ = wave()
    y = targets(estimator)
    model = quick(estimator).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    model.save(tmp_path / "model.safetensors")
    copies = {
        "pickle": pickle.loads(pickle.dumps(model)),
        "joblib": joblib.load(tmp_path / "model.joblib"),
        "deepcopy": copy.deepcopy(model),
        "file": seqdyn.load(tmp_path / "model.safetensors"),
    }
    expected, score = model.predict(X), model.score(X, y)
    for way, twin in copies.items():
        assert type(twin) is type(model) and twin.get_params() == model.get_params(), way
        np.testing.assert_array_equal(twin.predict(X), expected, err_msg=way)
        assert twin.score(X, y) == score, way
        assert {name for name in vars(twin) if name.endswith("_")} == {
            name for name in vars(model) if name.endswith("_")
        }, way
        if hasattr(twin, "partial_fit"):
            twin.partial_fit(X, y)
    np.testing.assert_array_equal(model.predict(X), expected, err_msg="what copies learn is theirs alone")


@named(EVERY)
def test_in_a_pipeline(estimator: Any) -> None:
    """Behind a StandardScaler: fit, predict, score, and parameters by their path."""
    X, _ = wave()
    y = targets(estimator)
    pipeline = make_pipeline(StandardScaler(), quick(estimator)).fit(X, y)
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_array_equal(pipeline.predict(X), quick(estimator).fit(scaled, y).predict(scaled))
    assert pipeline.score(X, y) == quick(estimator).fit(scaled, y).score(scaled, y)
    assert pipeline.set_params(**{f"{pipeline.steps[-1][0]}__warmup": 2})[-1].warmup == 2


@named(EVERY)
def test_cross_validation_in_time(estimator: Any) -> None:
    """cross_val_score over a TimeSeriesSplit is fit and score on its parts, for arrays and for a DataFrame."""
    X, _ = wave()
    y = targets(estimator)
    split = TimeSeriesSplit(3)
    scores = cross_val_score(quick(estimator), X, y, cv=split, error_score="raise")
    by_hand = [quick(estimator).fit(X[a], y[a]).score(X[b], y[b]) for a, b in split.split(X)]
    np.testing.assert_array_equal(scores, by_hand)
    frame = pd.DataFrame(X, columns=["rate", "level"], index=pd.date_range("2024-01-01", periods=len(X), freq="D"))
    labelled = cross_val_score(quick(estimator), frame, pd.Series(y, frame.index), cv=split, error_score="raise")
    np.testing.assert_allclose(labelled, by_hand, rtol=1e-6)


def test_grid_search_in_time() -> None:
    """The better width is found, refitted, and predicts as a fit by hand."""
    X, y = wave(120)
    model = LSTMRegressor(max_epochs=30, learning_rate=0.05, random_state=0)
    search = GridSearchCV(model, {"hidden_size": [1, 8]}, cv=TimeSeriesSplit(2), error_score="raise").fit(X, y)
    assert search.best_params_ == {"hidden_size": 8}
    expected = clone(model).set_params(hidden_size=8).fit(X, y).predict(X)
    np.testing.assert_array_equal(search.predict(X), expected)


def test_grid_search_through_a_pipeline_over_kinds() -> None:
    """Cells, tuples of widths and strategies are values to search over, too."""
    X, y = wave()
    pipeline = Pipeline([("scale", StandardScaler()), ("model", RecurrentRegressor(max_epochs=1, random_state=0))])
    grid = {"model__cell": [GRU, LSTM], "model__hidden_size": [3, (3, 2)], "model__initial_state": ["zero", "learned"]}
    search = GridSearchCV(pipeline, grid, cv=TimeSeriesSplit(2), error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8 and np.isfinite(search.best_score_)


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": randint(2, 5), "num_layers": randint(1, 3)},
        {"batch_size": randint(1, 4), "window": randint(5, 9), "stride": randint(1, 3)},
        {"bptt_length": randint(5, 9), "streams": randint(1, 3), "max_epochs": randint(1, 3)},
        {"learning_rate": loguniform(1e-3, 1e-1), "warmup": [np.int64(0)], "output_lag": np.arange(2)},
        {"optimizer": np.array(["adam", "sgd"]), "residual": np.array([False, True])},
    ],
    ids=lambda values: "-".join(values),
)
def test_randomized_search_draws_numpy_numbers(values: dict[str, Any]) -> None:
    """What scipy and numpy draw, numpy's ints, floats, strings and bools, are good parameters."""
    X, y = wave()
    model = LSTMRegressor(hidden_size=3, max_epochs=1, random_state=0)
    search = RandomizedSearchCV(
        model, values, n_iter=2, cv=TimeSeriesSplit(2), random_state=0, error_score="raise", refit=False
    )
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("estimator", [LinearStateSpaceRegressor(max_epochs=1), MovingAverageRegressor()])
def test_other_widths_may_be_numpy_numbers(estimator: Any) -> None:
    """Order and window, too."""
    X, y = wave()
    name = "order" if "order" in estimator.get_params() else "window"
    assert estimator.set_params(**{name: np.int64(2)}).fit(X, y).predict(X).shape == y.shape


# --- class weights -------------------------------------------------------------------------------------------------


def rare(positives: int = 12) -> tuple[Array, Array]:
    """200 noisy sequences of which a few are positive."""
    generator = np.random.default_rng(0)
    y = np.zeros(200, dtype=int)
    y[:positives] = 1
    y = generator.permutation(y)
    return generator.normal(size=(200, 5, 1)) + 0.5 * y[:, None, None], y


def recall(class_weight: Any) -> float:
    """The share of rare sequences that is found."""
    X, y = rare()
    model = ElmanClassifier(
        hidden_size=4, return_sequences=False, class_weight=class_weight, max_epochs=15, random_state=0
    )
    return float(np.mean(model.fit(X, y).predict(X)[y == 1] == 1))


def test_class_weight_finds_the_rare_class() -> None:
    """Balanced weights find most of what no weights find little of; a dict of the same weights is the same."""
    assert recall("balanced") > 0.5 > recall(None)
    assert recall({0: 200 / (2 * 188), 1: 200 / (2 * 12)}) == recall("balanced")


@named(CLASSIFIERS)
def test_class_weight_is_a_sample_weight(estimator: Any) -> None:
    """Weights by class are the weights of their rows; both together multiply."""
    X, _ = wave()
    y, by_class = targets(estimator), {"up": 3.0, "down": 1.0}
    own = np.random.default_rng(1).uniform(0.5, 1, size=len(y))
    weight = np.where(y == "up", 3.0, 1.0)
    for given, together in [(None, weight), (own, own * weight)]:
        one = quick(estimator).set_params(class_weight=by_class).fit(X, y, sample_weight=given)
        other = quick(estimator).fit(X, y, sample_weight=together)
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
