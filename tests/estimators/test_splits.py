"""Cross-validation in time: PanelTimeSplit, and scorers that leave out the warm-up and may carry the state on."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import seqdyn
from seqdyn import ARXRegressor, GRUClassifier, LSTMRegressor, PersistenceRegressor
from seqdyn.data.splits import PanelTimeSplit
from seqdyn.estimators.scorers import scorers, time_scorer
from seqdyn.metrics import mae, rmse
from tests.estimators.models import lstm, panel, ragged, table

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore:warmup=")


def stations(lengths: tuple[int, ...] = (40, 30, 25), begins: tuple[int, ...] = (0, 10, 5)) -> tuple[Any, Any]:
    """Series of unlike lengths that begin on unlike days, driven by what a first-order lag sees."""
    generator = np.random.default_rng(0)
    parts = {}
    for name, length, begin in zip("cab", lengths, begins, strict=True):
        push = generator.normal(size=length)
        level = pd.Series(push).ewm(alpha=0.3, adjust=False).mean().to_numpy() + 3
        parts[name] = pd.DataFrame(
            {"push": push, "level": level}, pd.date_range("2024-01-01", periods=length) + begin * pd.Timedelta("1D")
        )
    frame = pd.concat(parts, names=["series", "time"])
    return frame[["push"]], frame["level"]


ARX = ARXRegressor(output_lags=1, input_lags=0)


# --- the split -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_splits": 3},
        {"test_size": 4},
        {"gap": 2},
        {"max_train_size": 7},
        {"n_splits": 2, "test_size": 9, "gap": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [30, 41])
def test_on_one_series_it_is_time_series_split(options: dict[str, Any], rows: int) -> None:
    """Of arrays, frames and a panel of one series."""
    X, y = table(rows)
    frame = pd.DataFrame(X, pd.date_range("2024-01-01", periods=rows))
    for data in (X, frame, pd.concat({"only": frame}), xr.DataArray(X)):
        expected = list(TimeSeriesSplit(**options).split(X))
        found = list(PanelTimeSplit(**options).split(data, y))
        assert len(found) == PanelTimeSplit(**options).get_n_splits() == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])


def test_every_series_is_cut_at_the_same_instants() -> None:
    """By brute force over the labels; a series without rows is absent, and every test day is met once."""
    X, _ = stations()
    days = X.index.get_level_values(1)
    instants = days.unique().sort_values()
    cuts = [24, 32]
    for (train, test), cut in zip(PanelTimeSplit(2, test_size=8, gap=1).split(X), cuts, strict=True):
        np.testing.assert_array_equal(train, np.flatnonzero(days < instants[cut - 1]))
        np.testing.assert_array_equal(
            test, np.flatnonzero((days >= instants[cut]) & (days < instants[cut] + pd.Timedelta("8D")))
        )
    last = X.iloc[test].index.get_level_values(0).unique().tolist()
    assert last == ["c", "a"]  # b has ended
    first = next(iter(PanelTimeSplit(3, test_size=11, max_train_size=4).split(X)))
    assert X.iloc[first[0]].index.get_level_values(0).unique().tolist() == ["c", "b"]  # a begins in the test part
    assert X.iloc[first[0]].index.get_level_values(1).nunique() == 4


def test_splits_that_do_not_fit() -> None:
    """Too few instants, rows that are not instants, parameters out of range."""
    X, _ = stations()
    with pytest.raises(ValueError, match="n_splits=5 folds of test_size=9 .* do not fit into the 40 instants"):
        next(PanelTimeSplit(test_size=9).split(X))
    for data in (panel()[0], ragged()[0]):
        with pytest.raises(ValueError, match=r"3-D or a list.*levels \(series, time\)"):
            next(PanelTimeSplit().split(data))
    with pytest.raises(ValueError, match="expected two"):
        next(PanelTimeSplit().split(pd.concat({"more": X})))
    with pytest.raises(ValueError, match="missing label of time"):
        next(PanelTimeSplit().split(X.rename(index={X.index[3][1]: pd.NaT}, level=1)))
    with pytest.raises(ValueError, match="inconsistent"):
        next(PanelTimeSplit().split(X, np.zeros(3)))
    for wrong in ({"n_splits": 1}, {"test_size": 0}, {"gap": -1}, {"max_train_size": 0}, {"n_splits": 2.5}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be .*an int of at least"):
            PanelTimeSplit(**wrong)


def test_it_is_a_splitter_of_scikit_learn() -> None:
    """It has a repr, can be pickled, and works in searches with frames, Series and several scorers."""
    assert repr(PanelTimeSplit(3)) == "PanelTimeSplit(gap=0, max_train_size=None, n_splits=3, test_size=None)"
    split = pickle.loads(pickle.dumps(PanelTimeSplit(2)))
    X, y = stations()
    found = cross_validate(ARX, X, y, cv=split, scoring=dict(scorers), return_train_score=True, error_score="raise")
    assert {f"test_{name}" for name in scorers} <= set(found)
    np.testing.assert_array_less(-1e-12, found["test_neg_mae"] - found["test_neg_rmse"])
    search = GridSearchCV(ARX, {"output_lags": [0, 1]}, cv=split, scoring=scorers["neg_mae"]).fit(X, y)
    assert search.best_params_ == {"output_lags": 1}


# --- scorers -------------------------------------------------------------------------------------------------------


def containers() -> dict[str, tuple[Any, Any, Any, Any]]:
    """X, y, and what the score compares: everything after two steps of every series that is known."""
    X, y = table(30)
    y = np.where(np.arange(30) % 7 == 3, np.nan, y)
    X3, y3 = panel()
    lists, parts = ragged()
    frame, level = stations()
    counted = frame.groupby(level=0, sort=False).cumcount().to_numpy()
    cube = xr.DataArray(X3, dims=("series", "time", "feature"))
    return {
        "2-D": (X, y, np.arange(30) >= 2, y),
        "3-D": (X3, y3, np.broadcast_to(np.arange(12) >= 2, y3.shape), y3),
        "xarray": (
            cube.T,
            xr.DataArray(y3.T, dims=("time", "series")),
            np.broadcast_to(np.arange(12) >= 2, y3.shape),
            y3,
        ),
        "ragged": (lists, parts, np.concatenate([np.arange(len(part)) >= 2 for part in parts]), np.concatenate(parts)),
        "panel": (frame, level, counted >= 2, level.to_numpy()),
    }


@pytest.mark.parametrize("name", containers())
def test_warm_up_and_missing_targets_are_left_out(name: str) -> None:
    """The metric of what remains, in every container; R² is that of the estimator."""
    X, y, heard, flat = containers()[name]
    model = lstm(warmup=2).fit(X, y)
    predicted = model.predict(X)
    predicted = np.concatenate(predicted) if isinstance(predicted, list) else predicted
    kept = heard & ~np.isnan(flat)
    assert scorers["neg_mae"](model, X, y) == pytest.approx(-mean_absolute_error(flat[kept], predicted[kept]))
    assert time_scorer(mean_absolute_error)(model, X, y) == pytest.approx(mae(flat[kept], predicted[kept]))
    assert scorers["r2"](model, X, y) == pytest.approx(model.score(X, y))


def test_scores_of_outputs_classes_and_whole_series() -> None:
    """The mean over outputs; labels with a metric of labels; one target a series."""
    X, y = panel()
    both = lstm().fit(X, np.stack([y, -y], axis=2))
    each = [rmse(sign * y, both.predict(X)[..., i]) for i, sign in enumerate((1, -1))]
    assert scorers["neg_rmse"](both, X, np.stack([y, -y], axis=2)) == pytest.approx(-np.mean(each))
    labels = np.where(y > 0, "up", "down")
    model = GRUClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(X, labels)
    assert time_scorer(accuracy_score)(model, X, labels) == pytest.approx(model.score(X, labels))
    last = lstm(return_sequences=False, warmup=3).fit(X, y[:, -1])
    assert scorers["neg_mae"](last, X, y[:, -1]) == pytest.approx(-mae(y[:, -1], last.predict(X)))


def test_scores_that_cannot_be() -> None:
    """Nothing left, another width, another estimator, a sign that is none."""
    X, y = table(20)
    model = lstm(warmup=5).fit(X, y)
    for wrong in (y * np.nan, np.where(np.arange(20) < 5, y, np.nan)):
        with pytest.raises(ValueError, match="No target is left to score in output 0"):
            scorers["neg_mae"](model, X, wrong)
    with pytest.raises(ValueError, match="y has 2 outputs, but the model predicts 1"):
        scorers["neg_mae"](model, X, np.column_stack([y, y]))
    with pytest.raises(TypeError, match=r"got Ridge.*make_scorer"):
        scorers["neg_mae"](Ridge().fit(X, y), X, y)
    with pytest.raises(ValueError, match="sign must be 1 .* or -1"):
        time_scorer(mae, 0)


# --- the state -----------------------------------------------------------------------------------------------------


def test_a_fold_that_is_carried_on_is_the_run_through() -> None:
    """Scored with carry_state, every series of the test part is predicted as if it were run from its beginning."""
    X, y = stations()
    carried, cold = time_scorer(mae, -1, carry_state=True), scorers["neg_mae"]
    for train, test in PanelTimeSplit(3, test_size=6).split(X):
        model = clone(ARX).fit(X.iloc[train], y.iloc[train])
        trained = X.index[train].get_level_values(0).unique()
        through = pd.Series(model.predict(X), X.index).iloc[test]
        alone = pd.Series(model.predict(X.iloc[test]), X.index[test])
        known = through.index.get_level_values(0).isin(trained)
        expected = through.where(known, alone)
        assert carried(model, X.iloc[test], y.iloc[test]) == pytest.approx(-mae(y.iloc[test], expected), abs=1e-9)
        assert cold(model, X.iloc[test], y.iloc[test]) == pytest.approx(-mae(y.iloc[test], alone))
        assert carried(model, X.iloc[test], y.iloc[test]) > cold(model, X.iloc[test], y.iloc[test])
        assert carried(model, X.iloc[train], y.iloc[train]) == cold(model, X.iloc[train], y.iloc[train])


@pytest.mark.parametrize("kind", ["frame", "array"])
def test_the_test_part_starts_cold_unless_told(kind: str) -> None:
    """On one series the cold score is that of the fold's rows alone; an array has no labels that could tell more."""
    X, y = (part.loc["c"] for part in stations())
    data = (X, y) if kind == "frame" else (X.to_numpy(), y.to_numpy())
    cold = cross_val_score(ARX, *data, cv=PanelTimeSplit(3), scoring=scorers["neg_mae"], error_score="raise")
    carried = time_scorer(mae, -1, carry_state=True)
    if kind == "array":
        with pytest.raises(ValueError, match="carry_state needs labels of time .* but X has none"):
            cross_val_score(ARX, *data, cv=PanelTimeSplit(3), scoring=carried, error_score="raise")
        return
    warm = cross_val_score(ARX, *data, cv=PanelTimeSplit(3), scoring=carried, error_score="raise")
    assert (warm > cold).all() and warm[-1] > -1e-3
    gap = cross_val_score(ARX, *data, cv=PanelTimeSplit(3, gap=1), scoring=carried, error_score="raise")
    np.testing.assert_allclose(
        gap, cross_val_score(ARX, *data, cv=PanelTimeSplit(3, gap=1), scoring=scorers["neg_mae"])
    )


def test_carrying_on_needs_no_warm_up() -> None:
    """Rows of a series that is carried on all count; the others keep their warm-up."""
    X, y = stations((20, 12, 8), (0, 0, 12))
    train = X.index.get_level_values(1) < pd.Timestamp("2024-01-09")
    model = LSTMRegressor(hidden_size=4, max_epochs=1, warmup=3, random_state=0)
    model.fit(X[train], y[train])
    values = y[~train].copy()
    begins = pd.MultiIndex.from_tuples([(name, pd.Timestamp("2024-01-09")) for name in "ca"])
    values.loc[:] = np.nan
    values.loc[begins] = 1.0
    found = time_scorer(mae, carry_state=True)(model, X[~train], values)
    state = model.state_
    first = [
        model.predict(X[~train].loc[[name]], initial_state=type(state)(*(leaf[i : i + 1] for leaf in state)))[0]
        for i, name in enumerate("ca")
    ]
    assert found == pytest.approx(np.mean(np.abs(np.array(first) - 1)))
    with pytest.raises(ValueError, match="lies in the warm-up"):
        time_scorer(mae)(model, X[~train], values)


def test_where_the_training_ended(tmp_path: Any) -> None:
    """partial_fit moves it; a Pipeline keeps it if it keeps the labels; a file does not hold it."""
    X, y = stations()
    early = X.index.get_level_values(1) < pd.Timestamp("2024-01-12")
    late = X.index.get_level_values(1) < pd.Timestamp("2024-01-20")
    carried = time_scorer(mae, -1, carry_state=True)
    model = lstm().partial_fit(X[early], y[early]).partial_fit(X[late & ~early], y[late & ~early])
    assert carried(model, X[~late], y[~late]) != scorers["neg_mae"](model, X[~late], y[~late])
    through = make_pipeline(StandardScaler().set_output(transform="pandas"), clone(ARX)).fit(X[late], y[late])
    assert carried(through, X[~late], y[~late]) > scorers["neg_mae"](through, X[~late], y[~late])
    bare = make_pipeline(StandardScaler(), clone(ARX)).fit(X, y)
    with pytest.raises(ValueError, match="X has none"):
        carried(bare, X, y)
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="what the estimator was fitted on has none"):
        carried(seqdyn.load(tmp_path / "model.safetensors"), X[~late], y[~late])
    both = LSTMRegressor(hidden_size=3, max_epochs=1, bidirectional=True, random_state=0).fit(X[late], y[late])
    with pytest.raises(ValueError, match="carry_state=True needs a causal model"):
        carried(both, X[~late], y[~late])
    assert PersistenceRegressor().fit(X[late], y[late])._training_end.keys() == {"c", "a", "b"}
