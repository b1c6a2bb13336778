"""What the estimators' parameters mean, shown by what they change and what they leave alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch import Tensor

import seqdyn
from seqdyn import (
    ARXRegressor,
    Cell,
    ElmanRegressor,
    ExponentialMovingAverage,
    ExponentialMovingAverageRegressor,
    GRUClassifier,
    GRURegressor,
    Linear,
    LinearStateSpaceRegressor,
    LSTMClassifier,
    MovingAverageRegressor,
    RecurrentClassifier,
    RecurrentRegressor,
)
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.initial_state import Learned, Random, Warmup
from seqdyn.state import flatten, leaves, map_leaves
from tests.estimators.models import CAUSAL, CLOSED, close, lstm, panel, ragged, table
from tests.laws.cells import Entry, prepare
from tests.laws.laws import LAWS

Array = np.ndarray[Any, Any]

pytestmark = pytest.mark.filterwarnings("ignore:warmup=.* is shorter than")
"""Models here are trained for a moment; what they remember for how long is tested by itself."""


# --- delay and direction -------------------------------------------------------------------------------------------


def ahead(lag: int, steps: int = 12) -> tuple[Array, Array]:
    """White noise, and the same noise ``lag`` steps before it comes: y_t = x_{t+lag}."""
    X = np.random.default_rng(0).normal(size=(60, steps, 1))
    return X, np.concatenate([X[:, lag:, 0], np.full((60, lag), np.nan)], axis=1)


def test_output_lag_lets_a_model_wait() -> None:
    """y_t = x_{t+2} is learnt with output_lag=2, and cannot be without."""
    X, y = ahead(2)
    changes: dict[str, Any] = {"hidden_size": 8, "max_epochs": 100, "learning_rate": 0.03}
    assert lstm(output_lag=2, **changes).fit(X, y).score(X, y) > 0.95
    assert lstm(**changes).fit(X, y).score(X, y) < 0.5


@pytest.mark.parametrize("name", ["lstm", "linear", "deep"])
@pytest.mark.parametrize("container", ["table", "panel", "ragged"])
def test_output_lag_is_a_shifted_problem(name: str, container: str) -> None:
    """X is continued by τ mean rows, the targets come τ rows late: the same weights, the same predictions."""
    lag = 3
    X, y = {"table": lambda: tuple([part] for part in table()), "panel": lambda: map(list, panel()), "ragged": ragged}[
        container
    ]()
    X, y = list(X), list(y)
    rows = np.concatenate(X)
    X = [(part - rows.mean(axis=0)) / rows.std(axis=0) for part in X]
    y = [part / 10 for part in y]
    late_X = [np.concatenate([part, np.zeros((lag, 2))]) for part in X]
    late_y = [np.concatenate([np.full(lag, np.nan), part]) for part in y]
    lagged = CAUSAL[name](output_lag=lag, scale=False, dtype="float64").fit(X, y)
    shifted = CAUSAL[name](scale=False, dtype="float64").fit(late_X, late_y)
    for found, expected in zip(lagged.predict(X), shifted.predict(late_X), strict=True):
        close(found, expected[lag:], 1e-9)
    np.testing.assert_allclose(lagged.history_["loss"], shifted.history_["loss"], rtol=1e-9)


@pytest.mark.parametrize("scale", [True, False])
def test_the_rows_that_continue_are_mean_rows(scale: bool) -> None:
    """In the units of the data, whether they are standardised inside or not."""
    X, y = table()
    model = lstm(output_lag=2, scale=scale, dtype="float64").fit(X, y)
    stream = model.stream()
    answers = [stream.push(row) for row in [*X, X.mean(axis=0), X.mean(axis=0)]]
    close(answers[2:], model.predict(X), 1e-9)


@pytest.mark.parametrize(
    "plan", [{"window": 10, "stride": 5}, {"bptt_length": 10, "streams": 40}], ids=["windows", "streams"]
)
def test_output_lag_where_a_sequence_is_cut(plan: dict[str, Any]) -> None:
    """y_t = x_t, said two steps later: targets of steps that a window or a stream has not seen carry no loss."""
    X = np.random.default_rng(0).normal(size=(400, 1))
    settings = {"order": 3, "output_lag": 2, "learning_rate": 0.03, "max_epochs": 100, "n_iter_no_change": 99}
    model = LinearStateSpaceRegressor(**settings, **plan, random_state=0).fit(X, X[:, 0])
    assert model.score(X, X[:, 0]) > 0.95
    assert model.history_["loss"].iloc[-1] < 0.01


def test_bidirectional_reads_the_future() -> None:
    """y_t = x_{t-1} + x_{t+1}: both directions learn it, in all layers or the first only; a causal model cannot."""
    X = np.random.default_rng(0).normal(size=(60, 12, 1))
    padded = np.pad(X[..., 0], ((0, 0), (1, 1)))
    y = padded[:, :-2] + padded[:, 2:]
    changes: dict[str, Any] = {"hidden_size": 8, "max_epochs": 60, "learning_rate": 0.03}
    assert lstm(bidirectional=True, **changes).fit(X, y).score(X, y) > 0.9
    assert lstm(bidirectional="first", num_layers=2, **changes).fit(X, y).score(X, y) > 0.9
    assert lstm(**changes).fit(X, y).score(X, y) < 0.6


def test_bidirectional_summary() -> None:
    """Many-to-one: the forward direction at the end, the backward one at the beginning; ragged series too."""
    generator = np.random.default_rng(0)
    X = [generator.normal(size=(steps, 1)) for steps in [5, 8, 11] * 20]
    y = np.array([part[0, 0] - part[-1, 0] for part in X])
    model = GRURegressor(
        hidden_size=8,
        return_sequences=False,
        bidirectional=True,
        max_epochs=60,
        learning_rate=0.03,
        batch_size=60,
        random_state=0,
    ).fit(X, y)
    assert model.score(X, y) > 0.9
    for place in (0, 1, 2):
        close(model.predict([X[place]]), model.predict(X)[place : place + 1], 1e-6)


@pytest.mark.parametrize("bidirectional", [True, "first"])
def test_bidirectional_has_no_causal_state(bidirectional: Any) -> None:
    """What needs one says so; after another fit without, it is there."""
    X, y = panel()
    model = lstm(bidirectional=bidirectional, num_layers=2).fit(X, y)
    state = lstm(num_layers=2).fit(X, y).state_
    for ask in (
        lambda: model.stream(),
        lambda: model.predict(X, return_state=True),
        lambda: model.predict(X, initial_state=state),
        lambda: lstm(bidirectional=bidirectional, num_layers=2, initial_state=state).fit(X, y),
        lambda: lstm(bidirectional=bidirectional, bptt_length=5).fit(X, y),
        lambda: lstm(bidirectional=bidirectional, output_lag=1).fit(X, y),
    ):
        with pytest.raises(ValueError, match=r"bidirectional.*causal|causal.*bidirectional|bidirectional reads"):
            ask()
    for name in ("cell_", "state_", "forgetting_time_"):
        assert not hasattr(model, name)
    model.set_params(bidirectional=False).fit(X, y)
    assert model.stream().push(X[0, 0]) == pytest.approx(model.predict(X)[0, 0], abs=1e-4)
    model.set_params(bidirectional=True).fit(X, y)
    assert not hasattr(model, "state_") and not hasattr(model, "cell_")


# --- where the memory starts ---------------------------------------------------------------------------------------


def test_zero_start() -> None:
    """Every sequence, training and prediction alike."""
    X, y = table()
    assert not flatten(lstm().fit(X, y).cell_.initial_state(3)).any()


def test_random_start_is_drawn_anew_for_every_batch() -> None:
    """With weights that do not move the loss changes from epoch to epoch; predictions start from the mean."""
    X, y = table()
    frozen: dict[str, Any] = {"learning_rate": 1e-300, "max_epochs": 5}
    drawn = lstm(initial_state="random", **frozen).fit(X, y)
    assert drawn.history_["loss"].nunique() == 5
    assert lstm(**frozen).fit(X, y).history_["loss"].nunique() == 1
    np.testing.assert_array_equal(drawn.predict(X), lstm(**frozen).fit(X, y).predict(X))
    assert not flatten(drawn.cell_.initial_state(1)).any()
    spread = [lstm(initial_state=Random(scale), **frozen).fit(X, y).history_["loss"].std() for scale in (0.1, 2.0)]
    assert spread[0] < spread[1]


def test_random_start_with_a_seed_of_its_own() -> None:
    """Another seed of the strategy, other draws, with the same weights."""
    X, y = table()
    losses = {
        seed: lstm(initial_state=Random(1.0, seed=seed), learning_rate=1e-300).fit(X, y).history_["loss"].tolist()
        for seed in (None, 7, 8)
    }
    again = lstm(initial_state=Random(1.0, seed=7), learning_rate=1e-300).fit(X, y)
    assert losses[7] == again.history_["loss"].tolist()
    assert not {*losses[7]} & {*losses[8], *losses[None]}


def test_random_start_makes_a_model_insensitive_to_it() -> None:
    """Trained from random starts, predictions depend less on where the memory starts."""
    X, y = panel(series=20, steps=20)
    shaken: dict[str, float] = {}
    for strategy in ("zero", "random"):
        model = GRURegressor(
            hidden_size=8, initial_state=strategy, max_epochs=60, learning_rate=0.03, random_state=0
        ).fit(X, y)
        generator = torch.Generator().manual_seed(0)
        start = map_leaves(
            lambda leaf, g=generator: torch.randn(leaf.shape, generator=g), model.cell_.initial_state(20)
        )
        shaken[strategy] = float(np.mean((model.predict(X, initial_state=start) - model.predict(X)) ** 2))
    assert shaken["random"] < 0.3 * shaken["zero"]


def test_learned_start() -> None:
    """A decay from 5 under an input that says nothing: only a start that is learnt can give it."""
    X, y = np.zeros((40, 1)), 5 * 0.9 ** np.arange(40)
    scores = {}
    for strategy in ("zero", "learned"):
        model = RecurrentRegressor(
            cell=Linear(1, 1),
            initial_state=strategy,
            max_epochs=400,
            learning_rate=0.02,
            n_iter_no_change=400,
            random_state=0,
        ).fit(X, y)
        scores[strategy] = model.score(X, y)
        assert bool(flatten(model.cell_.initial_state(1)).any()) == (strategy == "learned")
    assert scores["learned"] > 0.99 and scores["zero"] < 0.01


@pytest.mark.parametrize("name", ["lstm", "deep", "linear"])
def test_a_state_as_the_start(name: str) -> None:
    """The strategy is that state for every sequence, in prediction, in streams, after a reset and in a file."""
    X, y = panel()
    state = map_leaves(lambda leaf: leaf[:1] + 0.5, CAUSAL[name]().fit(X, y).state_)
    model = CAUSAL[name](initial_state=state).fit(X, y)
    for leaf, given in zip(leaves(model.cell_.initial_state(2)), leaves(state), strict=True):
        assert torch.equal(leaf, given.expand_as(leaf))
    np.testing.assert_array_equal(model.predict(X), model.predict(X, initial_state=state))
    assert np.abs(model.predict(X) - CAUSAL[name]().fit(X, y).predict(X)).max() > 1e-3
    stream = model.stream()
    first = stream.push(X[0, 0])
    stream.reset()
    assert stream.push(X[0, 0]) == first == pytest.approx(model.predict(X)[0, 0], abs=1e-4)


def test_warmup_strategy_takes_a_tenth() -> None:
    """``"warmup"`` is zero with max(1, T // 10) steps, of every series its own, or with those that are given."""
    X, y = ragged((9, 25, 40))
    model = lstm(initial_state="warmup").fit(X, y)
    changed = [part.copy() for part in y]
    for part, steps in zip(changed, (1, 2, 4), strict=True):
        part[:steps] = np.nan
    same = lstm(initial_state="warmup", scale=False)
    np.testing.assert_array_equal(same.fit(X, changed).predict(X)[1], same.fit(X, y).predict(X)[1])
    assert model.score(X, y) == model.score(X, changed)
    changed[2][4] += 100
    assert model.score(X, y) != model.score(X, changed)
    longer = lstm(initial_state="warmup", warmup=6).fit(X, y)
    assert longer.score(X, y) == longer.score(X, changed)


def test_warmup_combines_with_any_strategy() -> None:
    """Strategies are objects, too: a warm-up from a learnt start."""
    X, y = table()
    one = lstm(initial_state=Warmup(5, Learned())).fit(X, y)
    other = lstm(initial_state="learned", warmup=5).fit(X, y)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert one.score(X, y) == other.score(X, y)


# --- what counts ---------------------------------------------------------------------------------------------------

PLANS: dict[str, dict[str, Any]] = {
    "whole": {},
    "windows": {"window": 12, "stride": 12},
    "streams": {"bptt_length": 7},
    "lag": {"output_lag": 2},
    "early stopping": {"early_stopping": True},
    "many outputs": {"loss": "gaussian"},
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("nothing", [1e6, np.nan])
def test_targets_in_the_warmup_carry_no_loss(plan: str, scale: bool, nothing: float) -> None:
    """Whatever stands there, a million or nothing at all: the same weights, the same score."""
    X, y = table(48)
    changed = y.copy()
    changed[:6] = nothing
    changes = PLANS[plan] | {"warmup": 6, "scale": scale}
    plain, other = lstm(**changes).fit(X, y), lstm(**changes).fit(X, changed)
    np.testing.assert_array_equal(plain.predict(X), other.predict(X))
    assert plain.score(X, y) == plain.score(X, changed)
    changed[6] = y[6] + 1
    assert np.abs(lstm(**changes).fit(X, changed).predict(X) - plain.predict(X)).max() > 1e-7


@pytest.mark.parametrize("name", CLOSED)
def test_targets_in_the_warmup_carry_no_weight(name: str) -> None:
    """In the closed forms, too."""
    X, y = table(48)
    for nothing in (1e6, np.nan):
        changed = y.copy()
        changed[:6] = nothing
        plain, other = (CLOSED[name]().set_params(warmup=6).fit(X, target) for target in (y, changed))
        if name == "arx":  # its past outputs are inputs: the steps that need them start two later
            kept = y.copy()
            kept[:6] = np.nan
            plain = CLOSED[name]().set_params(warmup=6).fit(X, kept)
            changed[:6] = np.nan
            other = CLOSED[name]().set_params(warmup=6).fit(X, changed)
        close(other.predict(X), plain.predict(X), 1e-9)
        assert plain.score(X, y) == pytest.approx(plain.score(X, changed), abs=1e-12)


def test_labels_in_the_warmup_carry_no_loss() -> None:
    """Of a classifier: the same probabilities, whatever the labels there."""
    X, y = table(48)
    labels, changed = y > 0, y > 0
    changed[:6] = ~changed[:6]
    plain, other = (
        LSTMClassifier(hidden_size=4, warmup=6, max_epochs=3, random_state=0).fit(X, target)
        for target in (labels, changed)
    )
    np.testing.assert_array_equal(plain.predict_proba(X), other.predict_proba(X))
    assert plain.score(X, labels) == plain.score(X, changed)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("scale", [False, True])
def test_rows_of_weight_zero_have_no_targets(plan: str, scale: bool) -> None:
    """Their targets may be anything; a NaN is the same as weight 0."""
    X, y = table(48)
    weight = np.random.default_rng(1).uniform(0.5, 1.5, size=48)
    silent = [7, 8, 20, 30]
    weight[silent] = 0
    garbage, missing = y.copy(), y.copy()
    garbage[silent], missing[silent] = -1e6, np.nan
    changes = PLANS[plan] | {"scale": scale}
    expected = lstm(**changes).fit(X, y, sample_weight=weight)
    for target in (garbage, missing):
        other = lstm(**changes).fit(X, target, sample_weight=weight)
        np.testing.assert_array_equal(other.predict(X), expected.predict(X))
        np.testing.assert_array_equal(other.history_["loss"], expected.history_["loss"])
        assert expected.score(X, target, sample_weight=weight) == expected.score(X, y, sample_weight=weight)


def test_weights_are_repetitions_of_sequences() -> None:
    """Many-to-one: a sequence of weight 3 is the sequence three times, one of weight 0 is not there."""
    X, y = panel(series=6)
    y = y[:, -1]
    times = np.array([1, 3, 0, 2, 1, 0])
    changes: dict[str, Any] = {"return_sequences": False, "scale": False, "dtype": "float64", "max_epochs": 10}
    weighted = lstm(**changes).fit(X, y, sample_weight=times)
    repeated = lstm(**changes).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    close(weighted.predict(X), repeated.predict(X), 1e-9)
    assert weighted.score(X, y, sample_weight=times) == pytest.approx(
        weighted.score(np.repeat(X, times, axis=0), np.repeat(y, times))
    )


def test_weights_in_every_shape() -> None:
    """One a series or one a step, shaped as y: what they mean is the same, and a constant is no weight."""
    X, y = panel()
    each = np.array([1.0, 2.0, 0.5, 0.0, 1.0])
    expected = lstm().fit(X, y, sample_weight=each).predict(X)
    for weight in (each.tolist(), np.repeat(each, 12), np.repeat(each[:, None], 12, axis=1)):
        np.testing.assert_array_equal(lstm().fit(X, y, sample_weight=weight).predict(X), expected)
    listed = lstm().fit(list(X), list(y), sample_weight=[np.full(12, number) for number in each])
    np.testing.assert_array_equal(np.stack(listed.predict(list(X))), expected)
    assert np.abs(lstm().fit(X, y).predict(X) - expected).max() > 1e-4
    np.testing.assert_array_equal(
        lstm().fit(X, y, sample_weight=np.full(5, 3.0)).predict(X), lstm().fit(X, y).predict(X)
    )
    one = lstm().fit(X[:1], y[:1], sample_weight=np.arange(12.0)[None])
    np.testing.assert_array_equal(
        one.predict(X[:1])[0], lstm().fit(X[0], y[0], sample_weight=np.arange(12.0)).predict(X[0])
    )


@pytest.mark.parametrize("name", [*CAUSAL, *CLOSED])
def test_missing_targets(name: str) -> None:
    """NaN in y, in one of two outputs too: everything is predicted, and the score is that of what is known."""
    X, y = table(48)
    both = np.column_stack([y, -y])
    both[5:9, 0] = both[20, 1] = both[30, :] = np.nan
    model = {**CAUSAL, **CLOSED}[name]().fit(X, both)
    predicted = model.predict(X)
    assert np.isfinite(predicted).all()
    known = ~np.isnan(both)
    by_hand = [r2_score(both[known[:, place], place], predicted[known[:, place], place]) for place in (0, 1)]
    assert model.score(X, both) == pytest.approx(np.mean(by_hand), rel=1e-12)


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_labels(missing: Any) -> None:
    """NaN or None among the labels is a missing target of a classifier."""
    X, y = table(48)
    labels = np.where(y > 0, "up", "down").astype(object)
    holes = labels.copy()
    holes[[3, 10, 11]] = missing
    weight = np.ones(48)
    weight[[3, 10, 11]] = 0
    model = GRUClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(X, holes)
    same = GRUClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(X, labels, sample_weight=weight)
    assert model.classes_.tolist() == ["down", "up"]
    np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))
    assert model.score(X, holes) == accuracy_score(labels[weight > 0], model.predict(X)[weight > 0])


# --- scores --------------------------------------------------------------------------------------------------------


def test_the_score_of_a_regressor_is_r2() -> None:
    """The mean over outputs of scikit-learn's R², over all rows of all series after the warm-up, with weights."""
    X, y = panel()
    both = np.stack([y, np.cumsum(y, axis=1)], axis=2)
    weight = np.random.default_rng(0).uniform(size=(5, 12))
    model = lstm(warmup=3, max_epochs=30).fit(X, both)
    found, true = model.predict(X)[:, 3:].reshape(-1, 2), both[:, 3:].reshape(-1, 2)
    assert model.score(X, both) == pytest.approx(r2_score(true, found), rel=1e-9)
    expected = r2_score(true, found, sample_weight=weight[:, 3:].ravel())
    assert model.score(X, both, sample_weight=weight) == pytest.approx(expected, rel=1e-9)
    parts, targets = ragged()
    listed = lstm().fit(parts, targets)
    expected = r2_score(np.concatenate(targets), np.concatenate(listed.predict(parts)))
    assert listed.score(parts, targets) == pytest.approx(expected, rel=1e-9)


def test_the_score_of_a_classifier_is_accuracy() -> None:
    """The share of rows after the warm-up that is right, with weights."""
    X, y = panel()
    weight = np.random.default_rng(0).uniform(size=(5, 12))
    model = LSTMClassifier(hidden_size=4, warmup=3, max_epochs=20, random_state=0).fit(X, y > 0)
    right = (model.predict(X) == (y > 0))[:, 3:]
    assert model.score(X, y > 0) == pytest.approx(right.mean())
    assert model.score(X, y > 0, sample_weight=weight) == pytest.approx(np.average(right, weights=weight[:, 3:]))
    whole = LSTMClassifier(hidden_size=4, return_sequences=False, max_epochs=9, random_state=0).fit(X, y[:, 0] > 0)
    assert whole.score(X, y[:, 0] > 0) == np.mean(whole.predict(X) == (y[:, 0] > 0))


# --- going on ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CAUSAL, *CLOSED])
@pytest.mark.parametrize("container", ["table", "panel", "ragged"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_the_state_continues_the_training_data(name: str, container: str, dtype: str, tolerance: float) -> None:
    """predict(whole) = the fitted part, then the rest from ``state_``; the state after both is the whole's."""
    X, y = {"table": lambda: tuple([part] for part in table(40)), "panel": panel, "ragged": ragged}[container]()
    cut = [2 * len(part) // 3 for part in X]
    first_X, first_y = ([part[:at] for part, at in zip(parts, cut, strict=True)] for parts in (X, y))
    rest = [part[at:] for part, at in zip(X, cut, strict=True)]
    changes = {"dtype": dtype} if name in CAUSAL else {}
    model = {**CAUSAL, **CLOSED}[name](**changes).fit(first_X, first_y)
    whole, end = model.predict([*X], return_state=True)
    found, after = model.predict(rest, initial_state=model.state_, return_state=True)
    for series, at in enumerate(cut):
        close(model.predict(first_X)[series], whole[series][:at], tolerance)
        close(found[series], whole[series][at:], tolerance)
    for one, other in zip(leaves(after), leaves(end), strict=True):
        close(one, other, tolerance)
    memory = getattr(model, "order_", 1) > 0  # few rows may leave an identified model none
    if name != "persistence" and memory:
        assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(model.predict(rest), found, strict=True))


def test_a_state_of_one_row_starts_every_series() -> None:
    """And a delayed model goes on as well."""
    X, y = panel()
    model = lstm().fit(X, y)
    _, state = model.predict(X[:1], return_state=True)
    found = model.predict(X, initial_state=state)
    for series in range(5):
        close(found[series], model.predict(X[series], initial_state=state), 1e-6)
    late = lstm(output_lag=2, dtype="float64").fit(X[0, :8], y[0, :8])
    whole = late.predict(X[0])
    close(late.predict(X[0, 8:], initial_state=late.state_), whole[8:], 1e-12)
    close(late.predict(X[0, :8])[:6], whole[:6], 1e-12)


def snapshot(estimator: SequenceEstimator) -> dict[str, Any]:
    """Everything an estimator holds, copied."""
    return copy.deepcopy(
        {name: value for name, value in vars(estimator).items() if name != "network_"}
        | {"weights": estimator.network_.state_dict(), "training": estimator.network_.training}
    )


def unchanged(one: Any, other: Any) -> bool:
    """Equal, through dicts, tuples, arrays, tensors and frames."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(unchanged(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(unchanged, one, other))
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, pd.DataFrame):
        return one.equals(other)
    if hasattr(one, "__dataclass_fields__"):
        return unchanged(vars(one), vars(other))
    return bool(np.array_equal(one, other, equal_nan=isinstance(one, float)))


@pytest.mark.parametrize("name", [*CAUSAL, *CLOSED])
def test_predicting_changes_nothing(name: str) -> None:
    """Predict, from states and into streams, score, save: the estimator and its data stay as they are."""
    X, y = panel()
    model = {**CAUSAL, **CLOSED}[name]().fit(X, y)
    given_X, given_y, before = X.copy(), y.copy(), snapshot(model)
    expected = model.predict(X)
    model.predict(X, initial_state=model.state_, return_state=True)
    model.predict(X[0])
    model.score(X, y)
    stream = model.stream()
    for row in X[0]:
        stream.push(row)
    stream.forecast(2, feed=lambda target, _: np.zeros(2))
    assert unchanged(snapshot(model), before)
    np.testing.assert_array_equal(model.predict(X), expected)
    np.testing.assert_array_equal(X, given_X)
    np.testing.assert_array_equal(y, given_y)


def test_partial_fit_is_one_more_epoch() -> None:
    """With SGD, which has no memory of its own, three calls are three epochs."""
    X, y = panel()
    changes: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "dtype": "float64"}
    model = lstm(**changes)
    for _ in range(3):
        assert model.partial_fit(X, y) is model
        assert len(model.history_) == 1
    close(model.predict(X), lstm(max_epochs=3, **changes).fit(X, y).predict(X), 1e-12)


def test_partial_fit_and_warm_start_keep_the_scaling() -> None:
    """That of the first call; a plain fit takes a new one and forgets."""
    X, y = table()
    for again in (
        lambda: lstm().partial_fit(X, y).partial_fit(100 * X, 100 * y),
        lambda: lstm(warm_start=True).fit(X, y).fit(100 * X, 100 * y),
    ):
        model = again()
        np.testing.assert_allclose(model.input_scaling_.mean, X.mean(axis=0))
        np.testing.assert_allclose(model.target_scaling_.scale, y.std())
    fresh = lstm().fit(X, y).fit(100 * X, 100 * y)
    np.testing.assert_allclose(fresh.input_scaling_.mean, 100 * X.mean(axis=0))
    np.testing.assert_array_equal(fresh.predict(X), lstm().fit(100 * X, 100 * y).predict(X))


def test_partial_fit_learns() -> None:
    """Call after call, on the same data."""
    X, y = panel(series=20)
    model = lstm(hidden_size=8, learning_rate=0.02)
    scores = []
    for _ in range(60):
        scores.append(model.partial_fit(X, y).score(X, y))
    assert scores[-1] > 0.8 > scores[0]


def test_warm_start_goes_on() -> None:
    """With SGD, two fits of three epochs are one of six."""
    X, y = panel()
    changes: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "dtype": "float64"}
    model = lstm(warm_start=True, **changes).fit(X, y).fit(X, y)
    close(model.predict(X), lstm(max_epochs=6, **changes).fit(X, y).predict(X), 1e-12)
    assert len(model.history_) == 3


# --- scaling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "linear"])
def test_units_do_not_matter(name: str) -> None:
    """Kelvin or Celsius, metres or miles: the predictions are the same, in their units."""
    X, y = table()
    gain, offset = np.array([1e-3, 40.0]), np.array([-273.15, 1e4])
    one = CAUSAL[name](dtype="float64").fit(X, y)
    other = CAUSAL[name](dtype="float64").fit(X * gain + offset, 1e4 * y - 5)
    close(other.predict(X * gain + offset), 1e4 * one.predict(X) - 5, 1e-8)
    assert other.score(X * gain + offset, 1e4 * y - 5) == pytest.approx(one.score(X, y), abs=1e-8)


def test_without_scale_the_network_sees_the_data() -> None:
    """predict is a scan of the cell over X itself."""
    X, y = table()
    model = lstm(scale=False, dtype="float64").fit(X, y)
    by_hand = seqdyn.scan(model.cell_, torch.from_numpy(X)[None]).output[0, :, 0]
    close(by_hand.detach(), model.predict(X), 1e-12)
    assert model.input_scaling_.mean.tolist() == [0, 0] and model.target_scaling_.scale.tolist() == [1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype(dtype: str) -> None:
    """Of the weights and the state; predictions are float64 arrays anyway."""
    X, y = table()
    model = lstm(dtype=dtype).fit(X, y)
    expected = getattr(torch, dtype)
    assert {parameter.dtype for parameter in model.cell_.parameters()} == {expected}
    assert {leaf.dtype for leaf in leaves(model.state_)} == {expected}
    assert model.predict(X).dtype == np.float64


# --- quantiles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["quantile", "gaussian"])
def test_quantiles_cover_what_they_say(loss: str) -> None:
    """Noise whose size is the input: between the 10 % and the 90 % quantile lie about 80 %, at each size."""
    generator = np.random.default_rng(0)
    X = generator.choice([1.0, 5.0], size=(40, 50, 1))
    y = 100 + X[..., 0] * generator.normal(size=(40, 50))
    model = ElmanRegressor(hidden_size=8, loss=loss, max_epochs=40, learning_rate=0.03, random_state=0).fit(X, y)
    low, middle, high = np.moveaxis(model.predict_quantiles(X), -1, 0)
    assert (low <= middle).all() and (middle <= high).all()
    np.testing.assert_allclose(middle, model.predict(X), rtol=1e-6)
    for size in (1.0, 5.0):
        here = X[..., 0] == size
        inside = (low[here] <= y[here]) & (y[here] <= high[here])
        assert 0.72 < inside.mean() < 0.88
        assert np.median((high - low)[here]) == pytest.approx(2 * 1.2816 * size, rel=0.25)


@pytest.mark.parametrize("loss", ["quantile", "gaussian"])
def test_quantiles_in_every_container(loss: str) -> None:
    """Shaped as the prediction, with a last axis of the quantiles asked for; they never cross."""
    X, y = panel()
    both = np.stack([y, -y], axis=2)
    levels = (0.05, 0.3, 0.5, 0.7, 0.99)
    for data, target, shape in [
        (X, y, (5, 12, 5)),
        (X, both, (5, 12, 2, 5)),
        (X[0], y[0], (12, 5)),
        (X[0], both[0], (12, 2, 5)),
    ]:
        model = lstm(loss=loss, quantiles=levels).fit(data, target)
        quantiles = model.predict_quantiles(data)
        assert quantiles.shape == shape and (np.diff(quantiles, axis=-1) >= 0).all()
        np.testing.assert_allclose(quantiles[..., 2], model.predict(data), rtol=1e-6, atol=1e-6)
    parts, targets = ragged()
    listed = lstm(loss=loss, quantiles=levels).fit(parts, targets).predict_quantiles(parts)
    assert [part.shape for part in listed] == [(9, 5), (4, 5), (12, 5)]
    one = lstm(loss=loss, quantiles=levels, return_sequences=False).fit(X, y[:, 0]).predict_quantiles(X)
    assert one.shape == (5, 5)


def test_quantiles_need_a_loss_that_knows_them() -> None:
    """The message names the two."""
    X, y = table()
    with pytest.raises(ValueError, match=r"loss='mse' knows no quantiles.*loss='quantile' or loss='gaussian'"):
        lstm().fit(X, y).predict_quantiles(X)


# --- what a fit tells ----------------------------------------------------------------------------------------------


def forgetting(cell: Cell, **changes: Any) -> float:
    """The forgetting time of a cell that is not trained."""
    X, y = table(60, features=cell.input_size)
    model = RecurrentRegressor(cell=cell, learning_rate=1e-300, max_epochs=1, random_state=0, **changes)
    return model.fit(X, y).forgetting_time_


@pytest.mark.parametrize("gamma", [0.5, 0.8, 0.9])
def test_forgetting_time(gamma: float) -> None:
    """A decay by γ a step is below 1 % from step ⌈ln 0.01 / ln γ⌉ on, counted from 1."""
    expected = np.ceil(np.log(0.01) / np.log(gamma))
    found = forgetting(ExponentialMovingAverage(2, gamma=gamma))
    assert found in (expected - 1, expected)  # the first step of that kind has the number expected − 1, from 0


def test_forgetting_time_of_a_perfect_memory() -> None:
    """What does not decay is never forgotten; a shift register forgets all at once."""
    cell = Linear(2, 3)
    with torch.no_grad():
        cell.transition.copy_(torch.eye(3))
    assert forgetting(cell) == np.inf
    with torch.no_grad():
        cell.transition.copy_(torch.diag(torch.ones(2), -1))
    assert forgetting(cell) in (2, 3)


@pytest.mark.filterwarnings("error")
def test_a_warmup_shorter_than_the_memory_is_warned_about() -> None:
    """The forgetting time is named; a warm-up that long is fine."""
    long = int(forgetting(ExponentialMovingAverage(2, gamma=0.8)))
    with pytest.warns(UserWarning, match=f"warmup={long - 1} is shorter than the {long} steps"):
        forgetting(ExponentialMovingAverage(2, gamma=0.8), warmup=long - 1)
    forgetting(ExponentialMovingAverage(2, gamma=0.8), warmup=long)


def test_estimate_state() -> None:
    """The state that fits the first rows best is the one the record began with."""
    X, y = table(60)
    model = LinearStateSpaceRegressor(order=2, dtype="float64", max_epochs=20, random_state=0).fit(X, y)
    made = model.predict(X)
    found = model.estimate_state(X[30:50], made[30:50])
    _, expected = model.predict(X[:30], return_state=True)
    close(model.predict(X[30:], initial_state=found), made[30:], 1e-6)
    close(flatten(found), flatten(expected), 1e-4)


# --- a cell of one's own -------------------------------------------------------------------------------------------


@seqdyn.register
class LeakyState(NamedTuple):
    h: Tensor


@seqdyn.register
class Leaky(Cell):
    """Ten lines: h_t = ½ h_{t-1} + ½ tanh(W [x_t; h_{t-1}] + b), y_t = h_t."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.drive = torch.nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch: int) -> LeakyState:
        return LeakyState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: LeakyState) -> tuple[Tensor, LeakyState]:
        h = 0.5 * state.h + 0.5 * torch.tanh(self.drive(torch.cat([x, state.h], dim=-1)))
        return h, LeakyState(h)


class Unknown(Leaky):
    """The same under a name that nobody has registered."""


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_users_cell_passes_the_laws(law: Callable[..., None]) -> None:
    """All of them."""
    law(*prepare(Entry("leaky", lambda generator: Leaky(3, 4))))


def test_a_users_cell_trains() -> None:
    """In one layer, in several, in both directions, truncated, as a regressor and as a classifier."""
    X, y = panel(series=20, steps=15)
    settings: dict[str, Any] = {"cell": Leaky, "hidden_size": 8, "max_epochs": 60, "learning_rate": 0.03}
    settings |= {"random_state": 0}
    for changes in (
        {},
        {"num_layers": 2, "residual": True},
        {"bidirectional": True},
        {"bptt_length": 5, "streams": 20},
    ):
        assert RecurrentRegressor(**settings | changes).fit(X, y).score(X, y) > 0.8
    assert RecurrentClassifier(**settings).fit(X, y > 0).score(X, y > 0) > 0.85


def test_a_users_cell_streams_and_saves(tmp_path: Path) -> None:
    """Row by row, and after a file written and read with ``seqdyn.register``; without it, the error says so."""
    X, y = table()
    model = RecurrentRegressor(cell=Leaky, hidden_size=4, max_epochs=3, dtype="float64", random_state=0).fit(X, y)
    model.save(tmp_path / "leaky.safetensors")
    for estimator in (model, seqdyn.load(tmp_path / "leaky.safetensors")):
        stream = estimator.stream()
        close([stream.push(row) for row in X], model.predict(X), 1e-12)
    unknown = RecurrentRegressor(cell=Unknown, hidden_size=4, max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(TypeError, match=r"Unknown.*@seqdyn\.register"):
        unknown.save(tmp_path / "unknown.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["leaky.safetensors"]


def test_a_callable_loss_trains_and_is_not_saved(tmp_path: Path) -> None:
    """Weighted absolute errors; the file refuses it and names the way out."""
    X, y = table()
    model = lstm(loss=lambda output, target: (output - target).abs(), max_epochs=5).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), lstm(loss="mae", max_epochs=5).fit(X, y).predict(X))
    with pytest.raises(TypeError, match=r"loss.*seqdyn\.register.*loss='mse'"):
        model.save(tmp_path / "model.safetensors")


def test_a_callable_loss_of_a_classifier() -> None:
    """Outputs (…, classes) and class numbers (…, 1): cross-entropy written out is cross-entropy."""
    X, y = table()

    def written_out(output: Tensor, target: Tensor) -> Tensor:
        return -torch.gather(output.log_softmax(-1), -1, target.long())

    one = LSTMClassifier(hidden_size=4, loss=written_out, max_epochs=5, random_state=0).fit(X, y > 0)
    other = LSTMClassifier(hidden_size=4, max_epochs=5, random_state=0).fit(X, y > 0)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-5)


# --- training plans ------------------------------------------------------------------------------------------------


def test_windows_are_trained_separately() -> None:
    """Windows side by side are the same fit as the pieces given as sequences."""
    X, y = table(40)
    pieces = [X[at : at + 10] for at in range(0, 40, 10)], [y[at : at + 10] for at in range(0, 40, 10)]
    one = lstm(window=10, stride=10, dtype="float64").fit(X, y)
    other = lstm(dtype="float64").fit(*pieces)
    close(one.predict(X), other.predict(X), 1e-12)
    close(flatten(one.state_), flatten(other.predict(X, return_state=True)[1]), 1e-12)


def test_streams_cut_the_data_and_carry_the_state() -> None:
    """Two streams are the two halves walked side by side: the same as the halves as two series."""
    X, y = table(40)
    one = lstm(bptt_length=7, streams=2, dtype="float64").fit(X, y)
    other = lstm(bptt_length=7, streams=2, dtype="float64").fit([X[:20], X[20:]], [y[:20], y[20:]])
    close(one.predict(X), other.predict(X), 1e-12)


def test_closed_forms_are_estimators_of_the_same_kind() -> None:
    """A moving average over sequences of unlike lengths never reaches across a border."""
    X, y = ragged()
    model = MovingAverageRegressor(window=3).fit(X, y)
    alone = [model.predict(part) for part in X]
    for found, expected in zip(model.predict(X), alone, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


# --- closed forms against other libraries ----------------------------------------------------------------------------


def test_moving_average_is_pandas_and_least_squares() -> None:
    """Rolling means with zeros before the beginning, read out by numpy's least squares."""
    X, y = table(80)
    centred = X - X.mean(axis=0)  # before the beginning stands the mean
    rolled = pd.DataFrame(np.concatenate([np.zeros((3, 2)), centred])).rolling(4).mean().to_numpy()[3:]
    design = np.column_stack([rolled, np.ones(80)])
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    close(MovingAverageRegressor(window=4).fit(X, y).predict(X), expected, 1e-9)


def test_learned_moving_average_is_least_squares_over_lags() -> None:
    """One output: every lag of every feature has a weight of its own."""
    X, y = table(80)
    centred = np.concatenate([np.zeros((3, 2)), X - X.mean(axis=0)])
    design = np.column_stack([*(centred[3 - lag : 83 - lag] for lag in range(4)), np.ones(80)])
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    close(MovingAverageRegressor(window=4, weights="learned").fit(X, y).predict(X), expected, 1e-8)


def test_exponential_average_is_pandas() -> None:
    """At a given γ: ewm without adjustment from a zero start; with γ open, none is better on a grid."""
    X, y = table(80)
    centred = pd.DataFrame(np.concatenate([np.zeros((1, 2)), X - X.mean(axis=0)]))

    def by_hand(gamma: float) -> Array:
        design = np.column_stack([centred.ewm(alpha=1 - gamma, adjust=False).mean().to_numpy()[1:], np.ones(80)])
        return design @ np.linalg.lstsq(design, y, rcond=None)[0]

    close(ExponentialMovingAverageRegressor(gamma=0.7).fit(X, y).predict(X), by_hand(0.7), 1e-9)
    model = ExponentialMovingAverageRegressor().fit(X, y)
    error = np.sum((model.predict(X) - y) ** 2)
    assert all(np.sum((by_hand(gamma) - y) ** 2) >= error - 1e-9 for gamma in np.linspace(0.01, 0.99, 99))


def test_arx_is_least_squares_and_runs_free() -> None:
    """One-step least squares by hand; then its own predictions are its past outputs."""
    X, y = table(80)
    u, v = X - X.mean(axis=0), y - y.mean()
    design = np.column_stack([v[1:-1], v[:-2], u[2:], u[1:-1], np.ones(78)])
    weights = np.linalg.lstsq(design, v[2:], rcond=None)[0]
    expected = np.zeros(82)
    inputs = np.concatenate([np.zeros((2, 2)), u])
    for t in range(2, 82):
        expected[t] = weights @ np.concatenate(
            [expected[t - 1 : t], expected[t - 2 : t - 1], inputs[t], inputs[t - 1], [1.0]]
        )
    model = ARXRegressor(output_lags=2, input_lags=1).fit(X, y)
    close(model.predict(X), expected[2:] + y.mean(), 1e-9)
