"""The loop: when it stops, what it keeps, what it leaves alone, and that it is silent."""

from __future__ import annotations

import math
import os
import random
import re
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from tqdm import tqdm

from seqdyn import ElmanRegressor, GRURegressor, LSTMClassifier, LSTMRegressor, RecurrentRegressor
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout
from seqdyn.progress import Progress
from seqdyn.state import flatten
from seqdyn.training import stopping
from seqdyn.training.batches import Batch, Rows, Spans
from seqdyn.training.checkpoint import Checkpoint
from seqdyn.training.heads import Custom, Squared
from seqdyn.training.loop import NonFiniteError, Recipe, Trainer
from seqdyn.training.objective import Pass, Supervised, evaluated
from seqdyn.training.optimisation import clones
from seqdyn.training.streams import Streams
from tests.training.series import noise

Array = np.ndarray[Any, Any]

NAMES = ["cell.input_weight", "cell.recurrent_weight", "cell.bias", "affine.weight", "affine.bias"]
COLUMNS = ["epoch", "loss", "validation_loss", "gradient_norm", "clip_coefficient", "learning_rate", "seconds"]
COLUMNS += ["clip_fraction", "steps_reached"]
COLUMNS += [f"{column}/{name}" for column in ("gradient_norm", "update_ratio") for name in NAMES]


def six_series() -> tuple[Array, Array]:
    """With ``batch_size=2``, three steps an epoch."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(6, 8, 2))
    return X, X.cumsum(axis=1)[..., 0]


def small(**changes: Any) -> LSTMRegressor:
    """An estimator that takes three steps an epoch on six series."""
    return LSTMRegressor(**{"hidden_size": 4, "batch_size": 2, "max_epochs": 5, "random_state": 0} | changes)


def trainer(network: nn.Module, *, lengths: tuple[int, ...] = (9,) * 6, **changes: Any) -> Trainer:
    """A trainer over random series, three steps an epoch unless told."""
    plan = {name: changes.pop(name) for name in ("validate", "observer", "checkpoint") if name in changes}
    series = noise(list(lengths))
    batches = Spans(series.rows(), changes.pop("batch_size", 2), torch.zeros(len(lengths), dtype=torch.long))
    objective = Supervised(Custom(changes.pop("loss")) if "loss" in changes else Squared())
    recipe = Recipe(**{"max_epochs": 4, "clip_norm": None} | changes)
    return Trainer(network, batches, objective, recipe, torch.Generator().manual_seed(0), **plan)


def elman() -> Cell:
    """A small network in float64."""
    return Elman(2, 3, output_size=2, generator=torch.Generator().manual_seed(0)).double()


def weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """To the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class After:
    """A loss that is the squared error until its n-th call, and then something happens."""

    def __init__(self, calls: int, happens: Callable[[Tensor, Tensor], Tensor]):
        self.calls, self.happens, self.seen = calls, happens, 0

    def __repr__(self) -> str:
        return f"After({self.happens.__name__})"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        self.seen += 1
        return (output - target) ** 2 if self.seen <= self.calls else self.happens(output, target)


def interrupt(output: Tensor, target: Tensor) -> Tensor:
    """Somebody presses Ctrl-C."""
    signal.raise_signal(signal.SIGINT)
    time.sleep(1)
    raise AssertionError("the signal should have arrived")


# --- not finite ----------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights() -> None:
    """The eighth step (epoch 2, batch 1) fails: the weights of the seventh are the last known to be good."""
    X, y = six_series()
    model = small(loss=After(7, lambda output, target: (output - target) * math.nan))
    with pytest.raises(NonFiniteError, match="epoch 2, batch 1: loss nan") as caught:
        model.fit(X, y)
    named = re.search(r"first in .*?'(.+?)'", str(caught.value))
    assert named is not None and named[1] in dict(model.cell_.named_parameters())
    good = small(max_steps=6).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), good.predict(X))
    assert model.score(X, y) == good.score(X, y)
    np.testing.assert_array_equal(model.history_["loss"], good.history_["loss"])
    np.testing.assert_array_equal(flatten(model.state_), flatten(good.state_))


def test_a_gradient_that_is_not_finite_names_its_parameter() -> None:
    """The loss is 0 and finite, its slope is not: √|x| at x = 0."""
    X, y = six_series()
    model = small(loss=After(4, lambda output, target: (output - output.detach()).abs().sqrt()))
    with pytest.raises(NonFiniteError, match=r"epoch 1, batch 1: loss 0, gradient norm nan.*first in .*'[\w.]+'"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict(X), small(max_steps=3).fit(X, y).predict(X))


def test_a_gradient_that_is_not_finite_in_one_parameter_only() -> None:
    """The message names that one."""
    network = elman()
    network.recurrent_weight.register_hook(lambda gradient: gradient / 0)
    before = weights(network)
    with pytest.raises(NonFiniteError, match=r"epoch 0, batch 0: .*first in .*'recurrent_weight'"):
        trainer(network).run()
    assert equal(weights(network), before)


def test_the_first_step_may_fail() -> None:
    """Then the weights are those drawn, the estimator predicts, and its history has columns and no rows."""
    X, y = six_series()
    model = small(loss=After(0, lambda output, target: output / 0))
    with pytest.raises(NonFiniteError, match="epoch 0, batch 0"):
        model.fit(X, y)
    assert np.isfinite(model.predict(X)).all()
    assert list(model.history_.columns) == COLUMNS and len(model.history_) == 0


def test_a_training_that_diverges() -> None:
    """Steps far too large end in the error, not in NaN weights; it says what to change."""
    X, y = six_series()
    model = small(optimizer="sgd", learning_rate=1e30, clip_norm=None, loss="mse", max_epochs=50)
    with pytest.raises(NonFiniteError, match=r"Lower learning_rate \(now 1e\+30\)"):
        model.fit(X, y)
    assert all(value.isfinite().all() for value in model.cell_.parameters())


@pytest.mark.parametrize("rate", [math.nan, math.inf])
def test_a_step_that_ruins_the_weights_is_taken_back(rate: float) -> None:
    """A rate that is no number would make weights that are none: it is refused before the step."""
    network = elman()
    before = weights(network)
    with pytest.raises(ValueError, match="schedule made the learning rate"):
        trainer(network, schedule=lambda progress: rate, batch_size=6).run()
    assert equal(weights(network), before)


def test_the_last_step_may_not_ruin_the_weights() -> None:
    """There is no next loss after it, and still nothing that is not finite is left behind."""
    network = elman()
    with pytest.raises((NonFiniteError, ValueError)):
        trainer(network, schedule=lambda progress: math.nan, batch_size=6, max_epochs=1).run()
    assert all(value.isfinite().all() for value in weights(network).values())


def test_where_steps_are_checked_once_an_epoch() -> None:
    """As on a GPU: the weights go back to the beginning of the epoch, whose loss was finite there."""
    network, good = elman(), elman()
    trainer(good, max_epochs=2).run()
    late = trainer(network, loss=After(7, lambda output, target: output * math.nan))
    late.guard.every_step = False
    with pytest.raises(NonFiniteError, match="epoch 2, batch 1"):
        late.run()
    assert equal(weights(network), weights(good)) and len(late.history) == 2


# --- Ctrl-C --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_ctrl_c_leaves_a_fitted_estimator(steps: int, tmp_path: Path) -> None:
    """With a warning, the weights learnt so far, a state, a history, and everything a fitted estimator can do."""
    X, y = six_series()
    model = small(loss=After(steps, interrupt))
    with pytest.warns(UserWarning, match=f"interrupted in epoch {steps // 3}, after {steps} steps"):
        assert model.fit(X, y) is model
    assert list(model.history_.columns) == COLUMNS and len(model.history_) == steps // 3
    assert flatten(model.state_).shape == (6, 2 * 4)
    if steps:
        good = small(max_steps=steps).fit(X, y)
        np.testing.assert_array_equal(model.predict(X), good.predict(X))
    model.set_params(loss="mse").save(tmp_path / "interrupted.safetensors")
    assert model.stream().push(X[0, 0]) == pytest.approx(model.predict(X)[0, 0], abs=1e-6)
    model.set_params(warm_start=True).fit(X, y)
    assert len(model.history_) == 5


def test_ctrl_c_while_an_observer_looks() -> None:
    """The step it looks at is not taken."""
    network, good = elman(), elman()
    trainer(good, max_steps=4).run()
    seen = []

    def observe(epoch: int, batch: Batch, network: nn.Module, output: Tensor) -> None:
        seen.append(epoch)
        if len(seen) == 5:
            raise KeyboardInterrupt

    stopped = trainer(network, observer=observe)
    with pytest.warns(UserWarning, match="interrupted in epoch 1, after 4 steps"):
        stopped.run()
    assert equal(weights(network), weights(good)) and not network.training


def test_ctrl_c_with_early_stopping_keeps_the_best_weights() -> None:
    """Those of the lowest validation loss so far."""
    values = iter([3.0, 1.0, 2.0])
    network, good = elman(), elman()
    trainer(good, max_epochs=2).run()

    def validate() -> float:
        try:
            return next(values)
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.warns(UserWarning, match="interrupted"):
        trainer(network, validate=validate, max_epochs=9).run()
    assert equal(weights(network), weights(good))


# --- when it stops -------------------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best_weights() -> None:
    """The estimator's own validation loss, computed by hand, is the smallest of its history; later ones are larger."""
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(60, 3)), generator.normal(size=60)
    model = LSTMRegressor(
        hidden_size=16, early_stopping=True, validation_fraction=0.25, n_iter_no_change=15, random_state=0
    ).fit(X, y)
    losses = model.history_["validation_loss"].to_numpy()
    mean, scale = y[:45].mean(), y[:45].std()
    np.testing.assert_allclose(model.target_scaling_.mean, mean)
    np.testing.assert_allclose(model.input_scaling_.mean, X[:45].mean(axis=0))
    np.testing.assert_allclose(model.input_scaling_.scale, X[:45].std(axis=0))
    by_hand = np.mean(((model.predict(X)[45:] - y[45:]) / scale) ** 2)
    assert by_hand == pytest.approx(losses.min(), rel=1e-4)
    assert losses[-1] > losses.min() * 1.01
    assert len(losses) == stopping_epoch(losses, patience=15, tol=1e-4, steps=1) < 1000


def stopping_epoch(losses: Array, patience: int, tol: float, steps: int) -> int:
    """Stop when more than ``patience`` epochs, and 500 steps, have brought the loss down by less than ``tol``."""
    reached, since = math.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        if reached - loss >= tol:
            reached, since = loss, epoch
        if epoch - since > patience and (epoch - since) * steps >= 500:
            return epoch
    return len(losses)


def test_early_stopping_splits_in_time() -> None:
    """What is held out, inputs and targets, changes no training step; what is not does."""
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(50, 2)), generator.normal(size=50)
    settings: dict[str, Any] = {"hidden_size": 4, "early_stopping": True, "max_epochs": 6, "random_state": 0}
    other_X, other_y, earlier = X.copy(), y.copy(), y.copy()
    other_X[45:], other_y[45:], earlier[44] = 9, -9, 9
    plain, held, trained = (
        LSTMRegressor(**settings).fit(*data).history_ for data in [(X, y), (other_X, other_y), (X, earlier)]
    )
    np.testing.assert_array_equal(plain["loss"], held["loss"])
    assert (plain["validation_loss"] != held["validation_loss"]).all()
    assert (plain["loss"] != trained["loss"]).all()


def test_early_stopping_holds_the_last_sequences_out_with_one_target_each() -> None:
    """With ``return_sequences=False`` the last ones of ten are not trained on."""
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(10, 5, 2)), generator.normal(size=10)
    settings: dict[str, Any] = {"return_sequences": False, "early_stopping": True, "validation_fraction": 0.2}
    settings |= {"hidden_size": 4, "max_epochs": 4, "random_state": 0}
    other = y.copy()
    other[8:] = 9
    plain, held = (LSTMRegressor(**settings).fit(X, target).history_ for target in (y, other))
    np.testing.assert_array_equal(plain["loss"], held["loss"])
    assert (plain["validation_loss"] != held["validation_loss"]).all()
    other[7] = 9
    assert (LSTMRegressor(**settings).fit(X, other).history_["loss"] != plain["loss"]).all()


def test_early_stopping_sees_the_whole_of_a_validation_part_of_ragged_series() -> None:
    """The last tenth of every series, at least one step, is validated on with the state that leads there."""
    generator = np.random.default_rng(0)
    X = [generator.normal(size=(n, 2)) for n in (30, 12, 4)]
    y = [generator.normal(size=len(part)) for part in X]
    model = GRURegressor(hidden_size=4, early_stopping=True, max_epochs=3, scale=False, random_state=0).fit(X, y)
    predicted = model.predict(X)
    held = [(part[-n:], target[-n:]) for part, target, n in zip(predicted, y, (3, 1, 1), strict=True)]
    errors = np.concatenate([(part - target) ** 2 for part, target in held])
    assert np.mean(errors) == pytest.approx(model.history_["validation_loss"].min(), rel=1e-4)


def test_without_early_stopping_the_training_loss_is_watched() -> None:
    """A loss that cannot fall stops the training, after ``n_iter_no_change`` epochs or 500 steps, whichever is more."""
    X, y = six_series()
    for patience, epochs in ((3, 1 + 167), (180, 1 + 181)):  # three steps an epoch
        model = small(loss=flat, n_iter_no_change=patience, max_epochs=300).fit(X, y)
        assert len(model.history_) == stopping_epoch(np.ones(300), patience, tol=1e-4, steps=3) == epochs
        assert model.history_["validation_loss"].isna().all()
        assert model.n_iter_ == epochs


def flat(output: Tensor, target: Tensor) -> Tensor:
    """A loss that nothing can lower."""
    return output * 0 + 1.0


@pytest.mark.parametrize("bptt_length", [None, 3])
def test_max_steps(bptt_length: int | None) -> None:
    """That many optimizer steps, also in the middle of an epoch."""
    X, y = six_series()
    calls = After(10**9, interrupt)
    small(loss=calls, max_steps=7, max_epochs=50, bptt_length=bptt_length).fit(X, y)
    assert calls.seen == 7


def test_max_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step that spends the time is the last."""
    now = [100.0]

    def slow(output: Tensor, target: Tensor) -> Tensor:
        now[0] += 1.0
        return (output - target) ** 2

    X, y = six_series()
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: now[0]))
    model = small(loss=slow, max_time=7.5, max_epochs=50).fit(X, y)
    assert now[0] == 108.0
    assert model.history_["seconds"].tolist() == [3.0, 6.0, 8.0]
    with pytest.warns(ConvergenceWarning, match=r"after max_time=14.5 \(15 steps\).*Set a larger max_time"):
        small(loss=slow, max_time=14.5, max_epochs=50, learning_rate=0.03).fit(X, y)


def test_max_epochs() -> None:
    """No more passes than that, and every pass shows every sequence once."""
    X, y = six_series()
    calls = After(10**9, interrupt)
    model = small(loss=calls, max_epochs=4).fit(X, y)
    assert calls.seen == 4 * 3 and model.history_["epoch"].tolist() == [0, 1, 2, 3]


# --- the step ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [None, 0.05, 1e6])
def test_gradients_are_clipped_by_their_common_norm(clip_norm: float | None) -> None:
    """A step of SGD is the one torch's clip_grad_norm_ gives; the history has the norm before and the factor."""
    network, hand = elman(), elman()
    gradients: list[list[Tensor]] = []

    def observe(epoch: int, batch: Batch, network: nn.Module, output: Tensor) -> None:
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])

    made = trainer(
        network,
        optimizer="sgd",
        learning_rate=0.5,
        clip_norm=clip_norm,
        batch_size=6,
        observer=observe,
        max_epochs=1,
    )
    entry = made.run()[0]
    for parameter, gradient in zip(hand.parameters(), gradients[0], strict=True):
        parameter.grad = gradient
    norm = nn.utils.clip_grad_norm_(hand.parameters(), math.inf if clip_norm is None else clip_norm)
    torch.optim.SGD(hand.parameters(), lr=0.5).step()
    for found, expected in zip(network.parameters(), hand.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert entry["gradient_norm"] == pytest.approx(norm.item(), rel=1e-12)
    factor = 1.0 if clip_norm is None else min(1.0, clip_norm / (norm.item() + 1e-6))
    assert entry["clip_coefficient"] == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_optimizers_are_those_of_torch(name: str, weight_decay: float) -> None:
    """Four steps, against the same gradients given to torch's own by hand."""
    network, hand = elman(), elman()
    oracle = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name](
        hand.parameters(), lr=0.05, weight_decay=weight_decay, foreach=False
    )

    def observe(epoch: int, batch: Batch, network: nn.Module, output: Tensor) -> None:
        for one, other in zip(network.parameters(), hand.parameters(), strict=True):
            torch.testing.assert_close(one.detach(), other.detach(), rtol=1e-9, atol=1e-12)
            assert one.grad is not None
            other.grad = one.grad.clone()
        oracle.step()

    trainer(
        network, optimizer=name, learning_rate=0.05, weight_decay=weight_decay, batch_size=6, observer=observe
    ).run()
    for one, other in zip(network.parameters(), hand.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_frozen_parameters_stay() -> None:
    """What needs no gradient is not trained; the rest is."""
    network = elman()
    network.recurrent_weight.requires_grad_(False)
    before = weights(network)
    trainer(network).run()
    moved = {name for name, value in weights(network).items() if not torch.equal(value, before[name])}
    assert moved == before.keys() - {"recurrent_weight"}


def test_the_history() -> None:
    """One row an epoch with these columns; the loss is what it was while training, in network units."""
    X, y = six_series()
    model = small(batch_size=6, clip_norm=1e-3, schedule="cosine").fit(X, y)
    history = model.history_
    assert list(history.columns) == COLUMNS
    begin = small(batch_size=6, learning_rate=1e-300, max_epochs=1).fit(X, y)
    error = (begin.predict(X) - y) / y.std()
    assert history["loss"][0] == pytest.approx(np.mean(error**2), rel=1e-5)
    assert (history["gradient_norm"] > 1e-3).all()
    np.testing.assert_allclose(history["clip_coefficient"], 1e-3 / history["gradient_norm"], rtol=1e-3)
    assert history["seconds"].is_monotonic_increasing and history["seconds"][0] > 0
    assert history["learning_rate"][0] == 1e-2 and history["learning_rate"].is_monotonic_decreasing


# --- determinism, and what is left alone ---------------------------------------------------------------------------


class Drawn(Cell):
    """A user's cell that draws its weights from torch's global generator, as torch.nn does."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.drive = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.zeros(batch, self.hidden_size),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = torch.tanh(self.drive(torch.cat([x, state[0]], dim=-1)))
        return h, (h,)


RANDOM: dict[str, Any] = {
    "shuffled": lambda seed: small(random_state=seed),
    "dropout": lambda seed: small(random_state=seed, dropout=0.5, num_layers=2),
    "bidirectional dropout": lambda seed: small(random_state=seed, dropout=0.5, bidirectional=True),
    "random start": lambda seed: small(random_state=seed, initial_state="random"),
    "windows": lambda seed: small(random_state=seed, window=3, dropout=0.3),
    "streams": lambda seed: small(random_state=seed, bptt_length=3, streams=2, initial_state="random"),
    "a user's cell": lambda seed: RecurrentRegressor(cell=Drawn, hidden_size=4, max_epochs=3, random_state=seed),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_state_determines_the_fit(name: str) -> None:
    """The same seed gives the same bits, whatever the global generators hold; another seed gives others."""
    X, y = six_series()
    fits = []
    for seed, globally in [(0, 1), (0, 2), (1, 1)]:
        torch.manual_seed(globally)
        np.random.seed(globally)  # noqa: NPY002
        fits.append(RANDOM[name](seed).fit(X, y))
    same, again, other = (model.predict(X) for model in fits)
    np.testing.assert_array_equal(same, again)
    np.testing.assert_array_equal(fits[0].history_["loss"], fits[1].history_["loss"])
    assert np.abs(same - other).max() > 1e-6


def test_random_states_of_scikit_learn() -> None:
    """A RandomState is drawn from, so that two fits differ; None is a new seed every time."""
    X, y = six_series()
    for make in (lambda: np.random.RandomState(0), lambda: None):
        model = small(random_state=make())
        first, second = (model.fit(X, y).predict(X) for _ in range(2))
        assert np.abs(first - second).max() > 1e-6
    generator = np.random.RandomState(0)
    np.testing.assert_array_equal(
        small(random_state=generator).fit(X, y).predict(X),
        small(random_state=np.random.RandomState(0)).fit(X, y).predict(X),
    )


def surroundings() -> dict[str, Any]:
    """Everything global that a training could touch."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.random.get_rng_state().tolist(),
        "numpy": (name, keys.tolist(), rest),
        "random": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "dtype": torch.get_default_dtype(),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warnings": list(warnings.filters),
        "floating point": np.geterr(),
        "environment": dict(os.environ),
        "interrupt": signal.getsignal(signal.SIGINT),
    }


@pytest.mark.parametrize("name", RANDOM)
def test_nothing_global_is_touched(name: str, tmp_path: Path) -> None:
    """Fitting, going on, predicting and streaming leave generators, threads, filters and defaults as they were."""
    X, y = six_series()
    torch.optim.SGD([torch.zeros(1)])  # the first optimizer of a process imports sympy, which sets a filter of its own
    before = surroundings()
    model = RANDOM[name](None).fit(X, y)
    model.partial_fit(X, y).predict(X)
    model.score(X, y)
    if not getattr(model, "bidirectional", False):
        model.stream().push(X[0, 0])
    if name != "a user's cell":
        model.save(tmp_path / "model.safetensors")
    assert surroundings() == before


def test_a_training_that_fails_touches_nothing_global_either() -> None:
    """Also after an error and after Ctrl-C."""
    X, y = six_series()
    before = surroundings()
    with pytest.raises(NonFiniteError):
        small(loss=After(4, lambda output, target: output / 0), initial_state="random").fit(X, y)
    with pytest.warns(UserWarning, match="interrupted"):
        small(loss=After(4, interrupt), dropout=0.5).fit(X, y)
    assert surroundings() == before


def test_dropout_and_random_starts_are_for_training_only() -> None:
    """Prediction repeats itself, and starts from the mean."""
    X, y = six_series()
    model = small(dropout=0.5, initial_state="random").fit(X, y)
    assert not any(module.training for module in model.cell_.modules())
    np.testing.assert_array_equal(model.predict(X), model.predict(X))
    assert not flatten(model.cell_.initial_state(1)).any()


# --- silence -------------------------------------------------------------------------------------------------------


def test_silence_by_default(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout or stderr."""
    X, y = six_series()
    model = small(early_stopping=True).fit(X, y).partial_fit(X, y)
    model.predict(X)
    LSTMClassifier(hidden_size=2, max_epochs=2).fit(X, y > 0).predict_proba(X)
    assert capfd.readouterr() == ("", "")


def test_a_silent_fit_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the one that watches progress bars: there is no bar."""
    X, y = six_series()
    monkeypatch.setattr(tqdm, "monitor", None)  # as in a fresh process
    threads = set(threading.enumerate())
    small().fit(X, y)
    assert set(threading.enumerate()) <= threads


def test_verbose_shows_a_bar(capfd: pytest.CaptureFixture[str]) -> None:
    """On stderr: the epochs, and the loss."""
    X, y = six_series()
    model = small(verbose=1, early_stopping=True).fit(X, y)
    out, err = capfd.readouterr()
    assert out == ""
    assert "5/5" in err and "epoch" in err
    assert f"loss={model.history_['loss'].iloc[-1]:.3g}" in err and "validation_loss=" in err


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not into the working folder, not into a temporary one, not at home."""
    X, y = six_series()
    for name in ("work", "temporary", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    small(early_stopping=True, verbose=1).fit(X, y).predict(X)
    ElmanRegressor(hidden_size=2, max_epochs=2, bptt_length=3).fit(X, y).stream().push(X[0, 0])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# --- memory --------------------------------------------------------------------------------------------------------


def test_no_graph_outlives_its_chunk() -> None:
    """A state that is carried on carries no history: what the first chunk saw can be forgotten."""
    series = noise([40])
    network = elman()
    batches = Streams(series.rows(), 1, 10, torch.zeros(1, dtype=torch.long))
    made = Trainer(network, batches, Supervised(Squared()), Recipe(max_epochs=1), torch.Generator())
    for batch in batches.epoch(made.generator):
        made.step(batch)
        assert made.carried is not None and not made.carried.h.requires_grad


# --- objectives that are wrong ---------------------------------------------------------------------------------------


def with_pass(change: Callable[[Pass], Any], network: nn.Module | None = None) -> Trainer:
    """A training whose objective gives something else."""
    draw = torch.Generator().manual_seed(0)
    plain = Supervised(Squared())
    rows = Rows.of([torch.randn(6, 2, generator=draw)], [torch.randn(6, 1, generator=draw)])
    made = Readout(GRU(2, 3, generator=draw), 1, generator=draw) if network is None else network
    return Trainer(made, Spans(rows, 1), lambda *given: change(plain(*given)), Recipe(max_epochs=2), draw)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p.loss, TypeError, "The objective gave Tensor, expected a .*Pass"),
        (lambda p: p._replace(loss=p.loss.expand(3)), TypeError, "whose loss is a scalar"),
        (lambda p: p._replace(weight=math.nan), ValueError, "weight=nan, expected a number of at least 0"),
        (lambda p: p._replace(weight=-1.0), ValueError, "weight=-1.0"),
        (lambda p: p._replace(weight=None), ValueError, "weight=None"),
        (lambda p: p._replace(weight=torch.ones(3)), ValueError, r"weight=a tensor of shape \(3,\)"),
        (lambda p: p._replace(parts=None), TypeError, "parts=None, expected a dict"),
        (lambda p: p._replace(parts={"v": torch.ones(3)}), ValueError, "part 'v' .* is a tensor of shape"),
        (lambda p: p._replace(parts={"loss": p.loss}), ValueError, "are columns of the history"),
        (
            lambda p: p._replace(parts={"gradient_norm/affine.weight": p.loss}),
            ValueError,
            "are columns of the history",
        ),
    ],
)
def test_objectives_that_are_wrong(change: Any, error: Any, message: str) -> None:
    """Said before the first weight has moved."""
    trainer = with_pass(change)
    before = clones(trainer.descent.weights)
    with pytest.raises(error, match=message):
        trainer.run()
    assert all(map(torch.equal, before, trainer.descent.weights))


def test_a_network_of_another_width_or_kind() -> None:
    """The head needs as many outputs as it describes a target by; what is no cell needs an objective of its own."""
    with pytest.raises(ValueError, match="gives 2 outputs a step, but Squared needs 1: 1 for each of 1 targets"):
        with_pass(lambda p: p, Readout(GRU(2, 3), 2)).run()
    with pytest.raises(TypeError, match="The network is a Linear, which is neither a Cell nor an Annotator"):
        with_pass(lambda p: p, nn.Linear(2, 1)).run()


def test_an_observer_may_look_at_what_has_no_gradient() -> None:
    """Such as symbols that were drawn."""
    seen = []
    trainer = with_pass(lambda p: p._replace(output={"y": p.output, "drawn": torch.arange(3)}))
    trainer.observer = lambda epoch, batch, network, output: seen.append(output["y"].grad is not None)
    trainer.run()
    assert seen == [True, True]


class Holding(nn.Module):
    """An objective that holds the network, too, and a dropout."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.dropout, self.seen = network, nn.Dropout(0.5), []

    def forward(self, network: Any, batch: Any, state: Any, generator: Any, progress: float) -> Pass:
        self.seen.append(self.dropout.training)
        return Supervised(Squared())(network, batch, state, generator, progress)


def test_a_parameter_that_both_hold_is_trained_once() -> None:
    """The same steps as without, and the same norms."""
    plain, held = with_pass(lambda p: p), with_pass(lambda p: p)
    held.objective = Holding(held.network)
    again = Trainer(held.network, held.batches, held.objective, held.recipe, held.generator)
    assert len(again.parameters) == len(plain.parameters)
    again.run()
    plain.run()
    assert all(map(torch.equal, plain.descent.weights, again.descent.weights))
    assert plain.history[-1]["gradient_norm"] == again.history[-1]["gradient_norm"]


def test_evaluation_is_without_dropout_and_leaves_the_modes_as_they_were() -> None:
    """Of the objective too, and of a part of the network that its user holds still."""
    trainer = with_pass(lambda p: p)
    objective = Holding(trainer.network)
    trainer.network.train()
    trainer.network.affine.eval()
    found = evaluated(trainer.network, trainer.batches, objective)
    assert objective.seen == [False] and objective.dropout.training
    assert trainer.network.training and not trainer.network.affine.training and found["loss"] > 0
    rows = trainer.batches.rows
    nothing = Spans(Rows(rows.x, rows.y, torch.zeros(6, 1), rows.starts, rows.lengths), 1)
    assert math.isnan(evaluated(trainer.network, nothing, objective)["loss"])


def test_a_fit_that_fails_has_fitted_nothing() -> None:
    """Neither a first one, nor one after another, whose weights had begun to move."""
    X, y = six_series()

    def fails(output: Tensor, target: Tensor) -> Tensor:
        raise RuntimeError("what a user's loss may do")

    broken = small(loss=After(3, fails))
    with pytest.raises(RuntimeError, match="what a user's loss"):
        broken.fit(X, y)
    assert not broken.__sklearn_is_fitted__()
    model = small(loss=After(10**9, fails)).fit(X, y)
    before = model.predict(X)
    model.set_params(warm_start=True).loss.calls = model.loss.seen + 3
    with pytest.raises(RuntimeError, match="what a user's loss"):
        model.fit(X, y)
    np.testing.assert_array_equal(model.predict(X), before)


def test_one_row_after_early_stopping() -> None:
    """``partial_fit`` holds nothing out."""
    X, y = six_series()
    model = small(early_stopping=True).fit(X, y)
    assert len(model.partial_fit(X[:1, :1], y[:1, :1]).history_) == 1


# --- progress ---------------------------------------------------------------------------------------------------------


def test_a_callback_sees_every_epoch() -> None:
    """Its number of so many, the loss of the history, and the seconds."""
    seen: list[Progress] = []
    made = trainer(elman(), callback=seen.append)
    history = made.run()
    assert [(one.what, one.unit, one.done, one.total) for one in seen] == [("fit", "epoch", n, 4) for n in (1, 2, 3, 4)]
    assert [one.loss for one in seen] == [entry["loss"] for entry in history]
    assert made.ended == "max_epochs" and seen[-1].seconds_left == 0


def test_a_true_answer_ends_the_training() -> None:
    """After that epoch, without a word about budgets; the best weights are restored as always."""
    losses = iter([3.0, 1.0, 2.0, 0.5])
    plan: dict[str, Any] = {"validate": lambda: next(losses), "learning_rate": 0.05}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = trainer(elman(), callback=lambda progress: progress.done == 3, **plan)
        assert len(made.run()) == 3
    assert made.ended == "callback" and made.patience.best == 1.0
    shorter = trainer(elman(), max_epochs=2, learning_rate=0.05)
    shorter.run()
    assert all(map(torch.equal, made.descent.weights, shorter.descent.weights))


def test_what_was_stopped_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """As one whose budget was spent: to the end of one that was never stopped."""
    whole = trainer(elman())
    whole.run()
    stopped = trainer(elman(), checkpoint=Checkpoint(tmp_path / "c"), callback=lambda progress: progress.done == 2)
    assert len(stopped.run()) == 2
    seen: list[Progress] = []
    resumed = trainer(elman(), checkpoint=Checkpoint(tmp_path / "c"), callback=seen.append)
    resumed.run()
    assert [one.done for one in seen] == [3, 4]
    assert all(map(torch.equal, resumed.descent.weights, whole.descent.weights))


def test_more_words_on_the_bar(capfd: pytest.CaptureFixture[str]) -> None:
    """verbose=2 tells the rate and the norm, too; 1 does not, and a truth value is 1."""
    for verbose, more in ((True, False), (1, False), (2, True)):
        trainer(elman(), validate=lambda: 1.0, verbose=verbose).run()
        err = capfd.readouterr().err
        assert "fit:" in err and "4/4" in err and "loss=" in err and "validation_loss=1" in err
        assert all((name in err) == more for name in ("learning_rate=0.01", "gradient_norm="))


def test_trainings_and_recipes_show_what_they_are() -> None:
    """In one line, without data and weights; a recipe shows what is not as by default."""
    made = trainer(elman(), clip_norm=1.0)
    assert repr(made) == (
        "Trainer(network=Elman, batches=Spans, objective=Supervised, epochs=0 of 4, steps=0, ended=None)"
    )
    made.run()
    assert "epochs=4 of 4, steps=12, ended=max_epochs" in repr(made)
    assert repr(Recipe()) == "Recipe()" and repr(Recipe("sgd", max_epochs=3)) == "Recipe(optimizer='sgd', max_epochs=3)"
