"""A predictor alone: what it needs of a fitted network, and nothing of its training."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

import seqdyn
from seqdyn import (
    ARXRegressor,
    Autoregression,
    GRUClassifier,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    MovingAverageRegressor,
)
from seqdyn.codecs import Codec, NumberInputs, NumberTargets
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import as_sequences
from seqdyn.predictor import Predictor
from seqdyn.state import flatten
from seqdyn.training.heads import Squared

X = np.random.default_rng(0).normal(size=(3, 20, 2)) * [1.0, 50.0] + [0.0, 300.0]
Y = X.cumsum(1)[..., 0]
SMALL: dict[str, Any] = {"hidden_size": 3, "max_epochs": 2, "random_state": 0}

MODELS: dict[str, Any] = {
    "numbers": lambda: GRURegressor(**SMALL).fit(X, Y),
    "many outputs": lambda: LSTMRegressor(**SMALL).fit(X, np.stack([Y, -Y], 2)),
    "late": lambda: LSTMRegressor(output_lag=2, **SMALL).fit(X, Y),
    "at the end": lambda: GRURegressor(return_sequences=False, **SMALL).fit(X, Y[:, -1]),
    "both directions": lambda: GRURegressor(bidirectional=True, **SMALL).fit(X, Y),
    "quantiles": lambda: GRURegressor(loss="quantile", **SMALL).fit(X, Y),
    "own past": lambda: GRURegressor(autoregression=Autoregression(lags=2), **SMALL).fit(X, Y),
    "classes": lambda: GRUClassifier(**SMALL).fit(X, np.where(Y > 0, "up", "down")),
    "linear": lambda: LinearStateSpaceRegressor(order=1).fit(X, Y),
    "ARX": lambda: ARXRegressor(output_lags=1).fit(X, Y),
    "average": lambda: MovingAverageRegressor(window=3, weights="learned").fit(X, Y),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_predictor_predicts_as_its_estimator(name: str, tmp_path: Path) -> None:
    """Also from a file of its own, which knows no estimator, and from a pickle."""
    model = MODELS[name]()
    expected = np.concatenate([np.ravel(part) for part in model.predict(X)])
    model.predictor_.save(tmp_path / "predictor")
    for predictor in (
        model.predictor_,
        seqdyn.load(tmp_path / "predictor"),
        pickle.loads(pickle.dumps(model.predictor_)),
        copy.deepcopy(model.predictor_),
    ):
        assert isinstance(predictor, Predictor)
        output, state = predictor.run(as_sequences(X))
        assert state is None
        np.testing.assert_array_equal(predictor.predicted(output).ravel(), expected)
        if name == "both directions":
            with pytest.raises(ValueError, match="stream needs a causal model"):
                predictor.stream()
            continue
        stream = predictor.stream()
        if name not in ("at the end", "late"):
            answers = np.ravel([stream.push(row) for row in X[0]])
            close = np.array_equal if name == "classes" else lambda one, other: np.allclose(one, other, rtol=1e-4)
            assert close(answers, expected[: len(answers)])


@pytest.mark.parametrize("name", [name for name in MODELS if name != "both directions"])
def test_a_state_goes_in_and_out(name: str) -> None:
    """The second half from the state after the first is the second half of the whole."""
    predictor = MODELS[name]().predictor_
    whole, end = predictor.run(as_sequences(X), keep_state=True)
    _, half = predictor.run(as_sequences(X[:, :12]), keep_state=True)
    rest, after = predictor.run(as_sequences(X[:, 12:]), half, keep_state=True)
    torch.testing.assert_close(flatten(after), flatten(end), rtol=1e-5, atol=1e-6)
    if name == "at the end":
        torch.testing.assert_close(rest, whole, rtol=1e-5, atol=1e-6)
    else:
        parts = whole.view(3, 20, -1)[:, 12:].reshape(24, -1)
        torch.testing.assert_close(rest, parts, rtol=1e-4, atol=1e-5)


def test_rows_carry_targets_and_weights_into_the_network() -> None:
    """Scaled, τ rows late, 0 and without weight where they are missing; all alike: no weights."""
    model = LSTMRegressor(output_lag=2, **SMALL).fit(X, Y)
    predictor = model.predictor_
    y = Y.copy()
    y[1, 4] = np.nan
    rows = predictor.rows(as_sequences(X), y.reshape(-1, 1), np.arange(60.0)[:, None])
    assert len(rows) == 3 * 22 and rows.weight is not None
    scaled = (Y - model.target_scaling_.mean[0]) / model.target_scaling_.scale[0]
    late, weight = rows.y.view(3, 22), rows.weight.view(3, 22)
    np.testing.assert_allclose(late[0, 3:], scaled[0, 1:], rtol=1e-5)
    assert weight[0].tolist() == [0.0, 0.0, *range(20)] and late[1, 6] == weight[1, 6] == 0
    plain = MODELS["numbers"]().predictor_
    assert plain.rows(as_sequences(X), Y.reshape(-1, 1)).weight is None
    with pytest.raises(ValueError, match="y has 2 outputs, but the model predicts 1"):
        plain.rows(as_sequences(X), np.zeros((60, 2)))


def test_a_predictor_of_a_cell_of_ones_own() -> None:
    """Made by hand from a network and a codec: nothing else is needed."""
    draw = torch.Generator().manual_seed(0)
    network = seqdyn.Readout(seqdyn.GRU(2, 3, generator=draw), 1, generator=draw)
    one = np.ones(1)
    codec = Codec(
        NumberInputs(Scaling(np.array([0.0, 300.0]), np.array([1.0, 50.0])), np.array([0.0, 300.0])),
        NumberTargets(Scaling(5 * one, 10 * one), Squared()),
    )
    predictor = Predictor(network, codec, flat=True)
    output, _ = predictor.run(as_sequences(X[0]))
    answers = predictor.predicted(output)[:, 0]
    scaled = torch.as_tensor((X[:1] - [0.0, 300.0]) / [1.0, 50.0], dtype=torch.float32)
    expected = 10 * seqdyn.scan(network, scaled).output[0, :, 0].detach().numpy() + 5
    np.testing.assert_allclose(answers, expected, rtol=1e-5)
    stream = predictor.stream()
    np.testing.assert_allclose([stream.push(row) for row in X[0]], answers, rtol=1e-5, atol=1e-5)


def test_there_is_no_predictor_before_a_fit() -> None:
    """Nor one of a model whose parameters say something else than its network."""
    with pytest.raises(NotFittedError):
        _ = GRURegressor().predictor_
    assert not hasattr(GRURegressor(), "predictor_")
    model = MODELS["numbers"]().set_params(hidden_size=9)
    with pytest.raises(ValueError, match="hidden_size was 3 in fit and is 9 now"):
        _ = model.predictor_


PUBLIC = {"forecasting/*.py": "estimator_?", "reports/**/*.py": "(?:model|estimator)", "estimators/[sl]*.py": "model"}
"""Who holds an estimator, and what it is called there."""


@pytest.mark.parametrize("pattern", PUBLIC)
def test_nobody_reaches_into_an_estimator(pattern: str) -> None:
    """Forecasters, reports, scorers and linearise use public names of the estimators they hold."""
    root = Path(seqdyn.__file__).parent
    own = {"sequence.py", "linear.py", "linear_model.py", "linear_start.py", "layers.py"}
    sources = [path for path in root.glob(pattern) if path.name not in own]
    assert sources
    private = re.compile(rf"\b{PUBLIC[pattern]}\._[a-z]\w*")
    found = {f"{path.name}: {hit}" for path in sources for hit in private.findall(path.read_text())}
    assert not found
