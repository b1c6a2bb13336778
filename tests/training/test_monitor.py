"""What a training writes down: norms, updates, clipping, reach, and what was not finite."""

from __future__ import annotations

import copy
import math
import pickle
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import seqdyn
from seqdyn import (
    Autoregression,
    ElmanRegressor,
    GRUClassifier,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    RecurrentRegressor,
    plot_history,
)
from seqdyn.cells.elman import Elman
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.dynamics.state_gradients import steps_reached
from seqdyn.estimators.learning import Session, prepare
from seqdyn.training.batches import Batch, Spans
from seqdyn.training.heads import Custom
from seqdyn.training.ledger import Monitor
from seqdyn.training.objective import Supervised
from seqdyn.training.optimisation import Clipping
from seqdyn.training.stopping import NonFiniteError
from tests.training.series import noise
from tests.training.test_loop import After, elman, six_series, small, trainer

Array = np.ndarray[Any, Any]


class Watch:
    """An observer that keeps gradients and weights of every step, on its own copies."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, Tensor]] = []
        self.weights: list[dict[str, Tensor]] = []

    def __call__(self, epoch: int, batch: Batch, network: nn.Module, output: Tensor) -> None:
        named = dict(network.named_parameters())
        self.gradients.append({name: p.grad.clone() for name, p in named.items() if p.grad is not None})
        self.weights.append({name: p.detach().clone() for name, p in named.items()})


# --- norms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_norms_by_parameter_are_those_before_clipping(clip_norm: float | None) -> None:
    """Means over the three steps of an epoch, against norms of what an observer saw."""
    watch = Watch()
    history = trainer(elman(), observer=watch, clip_norm=clip_norm).run()
    for epoch, entry in enumerate(history):
        steps = watch.gradients[3 * epoch : 3 * epoch + 3]
        for name in steps[0]:
            expected = np.mean([float(step[name].norm()) for step in steps])
            assert entry[f"gradient_norm/{name}"] == pytest.approx(expected, rel=1e-12)
        totals = [math.sqrt(sum(float(g.square().sum()) for g in step.values())) for step in steps]
        assert entry["gradient_norm"] == pytest.approx(np.mean(totals), rel=1e-12)


def test_the_total_is_made_of_its_parts() -> None:
    """√Σ_p ‖g_p‖² = ‖g‖, with one step an epoch, from the columns of an estimator's history."""
    X, y = six_series()
    history = small(batch_size=6).fit(X, y).history_
    parts = history[[name for name in history if name.startswith("gradient_norm/")]]
    assert parts.shape == (5, 5)
    np.testing.assert_allclose(np.sqrt((parts**2).sum(axis=1)), history["gradient_norm"], rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_updates_are_what_the_optimizer_changed(optimizer: str) -> None:
    """‖Δθ‖ / ‖θ‖ of the first step of every epoch; a bias that is 0 has none in the very first."""
    watch = Watch()
    network = elman()
    made = trainer(network, observer=watch, optimizer=optimizer, learning_rate=0.05, clip_norm=1.0)
    history = made.run()
    weights = [*watch.weights, {name: p.detach() for name, p in network.named_parameters()}]
    for name in weights[0]:
        ratios = [
            float((after[name] - before[name]).norm() / before[name].norm()) for before, after in pairwise(weights)
        ]
        for epoch, entry in enumerate(history):
            first = ratios[3 * epoch] if math.isfinite(ratios[3 * epoch]) else math.nan
            assert entry[f"update_ratio/{name}"] == pytest.approx(first, rel=1e-9, nan_ok=True)
    single = trainer(elman(), batch_size=6, max_epochs=2).run()
    assert math.isnan(single[0]["update_ratio/bias"]) and single[1]["update_ratio/bias"] > 0


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_norms_of_huge_and_tiny_gradients(scale: float) -> None:
    """In single precision their squares are infinite or 0: the norm is right, and clipping keeps the direction."""
    network = Elman(2, 3, output_size=2, generator=torch.Generator().manual_seed(0))
    watch = Watch()
    made = trainer(network, max_epochs=1, batch_size=6, optimizer="sgd", learning_rate=1.0, clip_norm=0.1 * scale)
    made.batches = Spans(noise([9] * 6, dtype=torch.float32).rows(), batch_size=6)
    made.observer = watch
    made.objective = Supervised(Custom(lambda output, target: scale * (output - target).abs()))
    entry = made.run()[0]
    exact = {name: gradient.double() for name, gradient in watch.gradients[0].items()}
    norm = math.sqrt(sum(float(g.square().sum()) for g in exact.values()))
    assert entry["gradient_norm"] == pytest.approx(norm, rel=1e-6)
    if scale > 1:
        factor = 0.1 * scale / norm
        assert entry["clip_coefficient"] == pytest.approx(factor, rel=1e-6) and entry["clip_fraction"] == 1
        for name, parameter in network.named_parameters():
            change = parameter.detach().double() - watch.weights[0][name].double()
            torch.testing.assert_close(change, -factor * exact[name], rtol=1e-4, atol=1e-6 * scale)


def test_a_parameter_without_a_gradient_is_0() -> None:
    """It is there, and the loss does not depend on it."""
    network = elman()
    network.register_parameter("idle", nn.Parameter(torch.ones(3, dtype=torch.float64)))
    entry = trainer(network, max_epochs=1).run()[0]
    assert entry["gradient_norm/idle"] == entry["update_ratio/idle"] == 0


def test_a_weight_of_0_has_no_ratio() -> None:
    """NaN, whatever the update; the columns name the parameter."""
    monitor = Monitor({"weight": torch.zeros(2)})
    assert monitor.columns[-2:] == ("gradient_norm/weight", "update_ratio/weight")
    assert monitor.ratios([torch.zeros(2)]).isnan().all()


# --- clipping ------------------------------------------------------------------------------------------------------


def test_the_clip_fraction_counts_steps() -> None:
    """Those whose norm was above the limit."""
    watch = Watch()
    trainer(elman(), observer=watch, max_epochs=1).run()
    norms = sorted(math.sqrt(sum(float(g.square().sum()) for g in step.values())) for step in watch.gradients)
    for above, limit in ((3, 0.5 * norms[0]), (0, 2 * norms[2])):
        entry = trainer(elman(), clip_norm=limit, max_epochs=1, learning_rate=1e-12).run()[0]
        assert entry["clip_fraction"] == above / 3
    assert trainer(elman(), max_epochs=1).run()[0]["clip_fraction"] == 0


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("clip_norm", [None, 0.4])
@pytest.mark.parametrize("checks", [True, False])
def test_clipping_by_quantile(quantile: float, clip_norm: float | None, checks: bool) -> None:
    """AutoClip by hand: numpy's quantile of all norms so far, at most ``clip_norm``; torch's clip; SGD."""
    watch, network, hand = Watch(), elman(), elman()
    made = trainer(
        network,
        observer=watch,
        optimizer="sgd",
        learning_rate=0.1,
        clip_norm=clip_norm,
        clip_quantile=quantile,
    )
    made.guard.every_step = checks
    history = made.run()
    norms, factors, above = [], [], []
    for gradients, before in zip(watch.gradients, watch.weights, strict=True):
        for name, parameter in hand.named_parameters():
            torch.testing.assert_close(parameter.detach(), before[name], rtol=1e-9, atol=1e-12)
            parameter.grad = gradients[name].clone()
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients.values())))
        limit = min(float(np.quantile(norms, quantile)), clip_norm or math.inf)
        nn.utils.clip_grad_norm_(hand.parameters(), limit)
        torch.optim.SGD(hand.parameters(), lr=0.1).step()
        factors.append(min(1.0, limit / (norms[-1] + 1e-6)))
        above.append(norms[-1] > limit * (1 + 1e-12))
    assert any(above)
    for epoch, entry in enumerate(history):
        steps = slice(3 * epoch, 3 * epoch + 3)
        assert entry["clip_coefficient"] == pytest.approx(np.mean(factors[steps]), rel=1e-9)
        assert entry["clip_fraction"] == pytest.approx(np.mean(above[steps]))


def test_quantiles_of_a_growing_history_are_those_of_numpy() -> None:
    """Whatever the order of the norms, ties and all."""
    draws = np.random.default_rng(0)
    for quantile in (0.01, 0.25, 0.5, 0.99):
        clipping = Clipping(None, quantile)
        values = draws.choice(draws.exponential(size=20), size=60)
        for count, value in enumerate(values, start=1):
            found = clipping.limit(torch.tensor(value, dtype=torch.float64))
            assert float(found) == pytest.approx(np.quantile(values[:count], quantile), rel=1e-12)
        assert clipping.seen is not None
        np.testing.assert_array_equal(clipping.seen, np.sort(values))


def test_the_norms_so_far_go_on_with_a_training() -> None:
    """partial_fit adds to them; a fresh fit forgets them."""
    X, y = six_series()
    model = small(clip_norm=("quantile", 0.5, 1.0)).fit(X, y)
    assert len(model.resume_["norms"]) == 15
    assert len(model.partial_fit(X, y).resume_["norms"]) == 18
    assert len(model.fit(X, y).resume_["norms"]) == 15
    assert small().fit(X, y).resume_["norms"] is None


def test_the_former_name_of_a_quantile_warns() -> None:
    """It works for one more release, and is the same training."""
    X, y = six_series()
    with pytest.warns(FutureWarning, match=r"clip_norm=\('quantile', 0.5, 1.0\)"):
        former = small(clip_quantile=0.5).fit(X, y)
    now = small(clip_norm=("quantile", 0.5, 1.0)).fit(X, y)
    assert former.history_["loss"].tolist() == now.history_["loss"].tolist()


# --- how far it reaches ----------------------------------------------------------------------------------------------


def test_the_reach_is_measured_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some steps, four times as many, …, and in the last epoch; not in partial_fit, which it would slow down."""
    monkeypatch.setattr("seqdyn.dynamics.state_gradients.FIRST_MEASUREMENT", 3)
    X, y = six_series()
    model = small(max_epochs=20, batch_size=6, n_iter_no_change=100).fit(X, y)  # one step an epoch
    measured = model.history_["steps_reached"].notna()
    assert measured[measured].index.tolist() == [3, 16, 19]
    assert model.history_["steps_reached"].dropna().between(0, 1).all()
    assert model.partial_fit(X, y).history_["steps_reached"].isna().all()


def test_the_reach_is_that_of_the_instrument() -> None:
    """The share of steps of an Elman network that forgets at once, with one target at the end, before training."""

    def short(cell: Any, generator: torch.Generator) -> None:
        cell.cell.recurrent_weight.data *= 1e-2

    X = np.random.default_rng(0).normal(size=(3, 60, 2))
    y = X[:, -1, 0]
    settings: dict[str, Any] = {"hidden_size": 4, "return_sequences": False, "initialise": short, "scale": False}
    settings |= {"dtype": "float64", "max_epochs": 1, "learning_rate": 1e-300, "random_state": 0}
    model = ElmanRegressor(**settings).fit(X, y)

    def cost(output: Tensor) -> Tensor:
        return (output[:, -1] - torch.as_tensor(y)[:, None]).square().mean()

    expected = steps_reached(model.cell_, torch.as_tensor(X), cost)
    assert model.history_["steps_reached"].iloc[-1] == expected
    assert 3 / 60 <= expected <= 6 / 60
    long = ElmanRegressor(**settings | {"initialise": ("orthogonal", 1.0)}).fit(X, y)
    assert long.history_["steps_reached"].iloc[-1] > 0.5


class Counting(Elman):
    """Elman's network, which counts its steps."""

    taken: list[int]

    def forward(self, x: Tensor, state: Any) -> Any:
        if hasattr(self, "taken"):
            self.taken.append(len(x))
        return super().forward(x, state)


def test_the_reach_costs_little() -> None:
    """Four rows and 500 steps, once in the first epoch, whatever the data are; the last steps, where the target is."""
    taken: list[int] = []

    def cell(inputs: int, hidden: int) -> Counting:
        made = Counting(inputs, hidden, generator=torch.Generator().manual_seed(0))
        made.taken = taken
        return made

    Counting.__deepcopy__ = _sharing  # type: ignore[attr-defined]
    X = np.random.default_rng(0).normal(size=(12, 700, 1))
    model = RecurrentRegressor(
        cell=cell, hidden_size=2, return_sequences=False, batch_size=6, max_epochs=1, random_state=0
    ).fit(X, X[:, -1, 0])
    assert 0 < model.history_["steps_reached"].iloc[-1] <= 1
    assert taken.count(4) == 500


def _sharing(self: Any, memo: dict[int, Any]) -> Any:
    """A copy whose steps count, too."""
    made = Counting(self.input_size, self.hidden_size)
    made.load_state_dict(self.state_dict())
    made.taken = self.taken
    return made


REACHED: dict[str, Any] = {
    "ragged": lambda: (small(), [np.ones((n, 2)) for n in (3, 9, 5)], [np.arange(float(n)) for n in (3, 9, 5)]),
    "streams": lambda: (small(bptt_length=3, streams=2), *six_series()),
    "windows": lambda: (small(window=4, dropout=0.5, num_layers=2), *six_series()),
    "random start": lambda: (small(initial_state="random"), *six_series()),
    "learned start": lambda: (small(initial_state="learned"), *six_series()),
    "own past": lambda: (small(autoregression=Autoregression(lags=3), window=4), *six_series()),
    "linear": lambda: (
        LinearStateSpaceRegressor(order=2, method="gradient", max_epochs=2, dtype="float32"),
        *six_series(),
    ),
    "classes": lambda: (GRUClassifier(hidden_size=3, max_epochs=2), six_series()[0], six_series()[1] > 0),
}


@pytest.mark.parametrize("name", REACHED)
def test_the_reach_of_every_plan(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share above 0, and a fit that is the same to the bit as one that is not watched."""
    model, X, y = REACHED[name]()
    model.set_params(random_state=0).fit(X, y)
    assert 0 < model.history_["steps_reached"].iloc[-1] <= 1
    unwatched = copy.deepcopy(model)
    for module in ("regressors", "classifiers", "linear"):
        monkeypatch.setattr(f"seqdyn.estimators.{module}.prepare", _unwatched)
    unwatched.fit(X, y)
    np.testing.assert_array_equal(np.concatenate(unwatched.predict(X)), np.concatenate(model.predict(X)))


def _unwatched(*given: Any) -> Session:
    session = prepare(*given)
    session.trainer.observer = None
    return session


def test_there_is_no_reach_without_a_past_alone() -> None:
    """Two directions, or no memory: NaN."""
    X, y = six_series()
    assert small(bidirectional=True).fit(X, y).history_["steps_reached"].isna().all()
    stateless = RecurrentRegressor(cell=lambda inputs, hidden: MovingAverage(inputs, window=1), max_epochs=2)
    assert stateless.fit(X, y).history_["steps_reached"].isna().all()


# --- not finite ----------------------------------------------------------------------------------------------------


def test_what_is_not_finite_is_told_by_the_error_and_by_the_history() -> None:
    """Epoch, batch, and all parameters; the history goes up to there."""
    X, y = six_series()
    model = small(loss=After(7, lambda output, target: (output - output.detach()).abs().sqrt()))
    with pytest.raises(NonFiniteError) as caught:
        model.fit(X, y)
    error = caught.value
    assert (error.epoch, error.batch) == (2, 1)
    assert set(error.parameters) == {name for name, _ in model.cell_.named_parameters()}
    assert all(repr(name) in str(error) for name in error.parameters)
    assert model.history_.attrs["non_finite"] == [{"epoch": 2, "batch": 1, "parameters": error.parameters}]
    assert model.history_["epoch"].tolist() == [0, 1]
    assert model.history_["gradient_norm/cell.bias"].gt(0).all()


def test_only_the_parameters_that_are_not_finite() -> None:
    """One, two, or the loss alone; also where steps are checked once an epoch, after other steps have followed."""
    for checks in (True, False):
        network = elman()
        calls = []

        def spoil(gradient: Tensor, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            return gradient / (0 if len(calls) in (5, 10) else 1)

        network.recurrent_weight.register_hook(spoil)
        network.bias.register_hook(lambda gradient: gradient * 1)
        made = trainer(network, optimizer="sgd", learning_rate=1e-3, clip_norm=1e9)
        made.guard.every_step = checks
        with pytest.raises(NonFiniteError) as caught:
            made.run()
        assert (caught.value.epoch, caught.value.batch) == (1, 1)
        assert caught.value.parameters == ("recurrent_weight",)
        assert made.non_finite == [{"epoch": 1, "batch": 1, "parameters": ("recurrent_weight",)}]


def test_a_loss_that_is_not_finite_by_itself() -> None:
    """No parameter is to blame."""
    with pytest.raises(NonFiniteError, match="in the loss itself") as caught:
        trainer(elman(), loss=After(0, lambda output, target: output * 0 + torch.inf)).run()
    assert caught.value.parameters == () and (caught.value.epoch, caught.value.batch) == (0, 0)


def test_the_last_update_and_the_validation_tell_where_too() -> None:
    """Both are events of the same kind."""
    network = elman()
    made = trainer(network, max_epochs=1, batch_size=6)
    made.history.append({})
    network.bias.data[0] = torch.nan
    with pytest.raises(NonFiniteError, match="made weights that are not finite, first in the parameter 'bias'"):
        made.guard.check_weights(epoch=0, batch=0)
    assert made.non_finite[0]["parameters"] == ("bias",) and bool(network.bias.isfinite().all())
    with pytest.raises(NonFiniteError, match="validation loss in epoch 0") as caught:
        trainer(elman(), validate=lambda: math.inf).run()
    assert (caught.value.epoch, caught.value.batch, caught.value.parameters) == (0, 2, ())


def test_the_error_survives_pickling() -> None:
    """As joblib does it between processes."""
    error = NonFiniteError("what", 3, 1, ("bias",))
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.epoch, back.batch, back.parameters) == ("what", 3, 1, ("bias",))


# --- waiting ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("changes", [{}, {"clip_norm": ("quantile", 0.5)}, {"clip_norm": None}], ids=str)
def test_no_step_waits(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's own watch set to raise, over steps that follow the first epoch."""
    X, y = six_series()
    model = GRURegressor(hidden_size=4, batch_size=2, random_state=0, device="cuda", **changes)
    sessions: list[Session] = []
    monkeypatch.setattr(Session, "run", lambda session: sessions.append(session) or session.trainer.run())
    model.fit(X, y)
    made = sessions[0].trainer
    made.began = time.monotonic()
    made.network.train()
    made.epoch()
    batches = list(made.batches.epoch(made.generator))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            made.step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert model.fit(X, y).history_["steps_reached"].iloc[-1] > 0


# --- where it is kept ------------------------------------------------------------------------------------------------


def test_the_history_survives_files_and_pickles(tmp_path: Path) -> None:
    """Columns, numbers and events."""
    X, y = six_series()
    model = small(loss="mse", optimizer="sgd", learning_rate=1e30, clip_norm=None, max_epochs=50)
    with pytest.raises(NonFiniteError):
        model.fit(X, y)
    good = small().fit(X, y)
    for fitted in (model, good):
        fitted.save(tmp_path / "model.safetensors")
        for back in (seqdyn.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(fitted))):
            pd.testing.assert_frame_equal(back.history_, fitted.history_, check_dtype=len(fitted.history_) > 0)
            assert back.history_.attrs == fitted.history_.attrs
    assert good.history_.attrs == {"non_finite": []} and len(model.history_.attrs["non_finite"]) == 1


def test_the_history_can_be_drawn() -> None:
    """With its new columns, and of a fit that was told nothing."""
    X, y = six_series()
    history = (
        GRURegressor(hidden_size=2, max_epochs=3, clip_norm=("quantile", 0.5, 1.0), random_state=0).fit(X, y).history_
    )
    assert len(plot_history(history).axes) == 2


def test_parameters_of_training_may_change_after_a_fit() -> None:
    """clip_norm, omega and initialise shape no network."""
    X, y = six_series()
    model = LSTMRegressor(hidden_size=2, max_epochs=1, random_state=0).fit(X, y)
    expected = model.predict(X)
    model.set_params(clip_norm=("quantile", 0.3), omega=1.0, initialise=("chrono", 20))
    np.testing.assert_array_equal(model.predict(X), expected)
    model.partial_fit(X, y)
