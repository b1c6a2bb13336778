"""Going on: from any step, out of a file, after kill -9, and after a fit that was saved; each to the bit."""

from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
)
from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout, Stack
from seqdyn.files import FileFormatError, read, write
from seqdyn.initial_state import Random
from seqdyn.loops import scan
from seqdyn.state import detach, flatten
from seqdyn.training.batches import Batches, Spans
from seqdyn.training.checkpoint import Checkpoint, described
from seqdyn.training.heads import Gaussian, Squared
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Pass, Supervised
from seqdyn.training.streams import Streams
from tests.laws.kinds import Tokens
from tests.training.series import noise
from tests.training.test_loop import After, interrupt, six_series, small

LENGTHS = [9, 4, 7, 9, 5, 8, 6]


class Snapshots:
    """A checkpoint that never ends a training: the state at every step, through a file."""

    def __init__(self, folder: Path):
        self.path, self.states = folder / "state.safetensors", []

    def restore(self, trainer: Trainer) -> None:
        """There is nothing yet."""

    def offer(self, trainer: Trainer) -> None:
        """Keep what a file gives back."""
        carried = trainer.state()["carried"]
        write(self.path, trainer.state() | {"carried": None})
        self.states.append(read(self.path) | {"carried": copy.deepcopy(carried)})

    def write(self, trainer: Trainer) -> None:
        """At the end."""


def cell(start: Random | None = None) -> nn.Module:
    """Two layers, dropout between them, and a random start."""
    draw = torch.Generator().manual_seed(1)
    layers = Stack([GRU(2, 3, generator=draw), GRU(3, 3, generator=draw)], dropout=0.3)
    network = Readout(layers, 2, generator=draw)
    return (network if start is None else start(network)).double()


class Weighed(nn.Module):
    """An objective with a weight and a memory of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale, self.own = nn.Parameter(torch.zeros(())), Supervised(Squared())
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, *given: Any) -> Any:
        if self.training:
            self.seen += 1
        found = self.own(*given)
        parts = {"error": found.loss, "seen": self.seen.clone()}
        return found._replace(loss=found.loss * (-self.log_scale).exp() + self.log_scale, parts=parts)


def spans(**changes: Any) -> Batches:
    """Three steps an epoch."""
    return Spans(noise(LENGTHS, weighted=True).rows(), 3, torch.tensor([1] * 7), **changes)


def streams() -> Batches:
    """Five chunks an epoch, with borders inside."""
    return Streams(noise(LENGTHS).rows(), 2, 5, torch.tensor([1] * 7))


def falling() -> Callable[[], float]:
    """A validation loss that finds its best early."""
    return lambda: next(values)
    values = iter([3.0, 1.0, 2.0, 2.5] * 10)


TRAININGS: dict[str, Callable[[], dict[str, Any]]] = {
    "buckets, dropout": lambda: {"batches": spans()},
    "shuffled": lambda: {"batches": spans(order="shuffled")},
    "streams": lambda: {"batches": streams()},
    "random start": lambda: {"network": cell(Random()), "batches": spans()},
    "seeded start": lambda: {"network": cell(Random(seed=3)), "batches": streams()},
    "average": lambda: {"batches": spans(), "recipe": Recipe(weight_average=0.9, max_epochs=4)},
    "clip quantile": lambda: {"batches": spans(), "recipe": Recipe(clip_quantile=0.5, max_epochs=4)},
    "plateau": lambda: {"batches": spans(), "recipe": Recipe(schedule="plateau", max_epochs=9, learning_rate=1.0)},
    "cosine, sgd": lambda: {"batches": spans(), "recipe": Recipe("sgd", schedule="cosine", max_epochs=4)},
    "patience": lambda: {"batches": spans(), "recipe": Recipe(n_iter_no_change=1, patience_steps=3, tol=10.0)},
    "steps": lambda: {"batches": spans(), "recipe": Recipe(max_steps=8)},
    "objective": lambda: {"batches": spans(), "objective": Weighed()},
    "late checks": lambda: {"batches": spans(), "late": True},
}


def made(name: str, checkpoint: Any = None) -> Trainer:
    """A training of this kind from its beginning."""
    plan = {"network": cell(), "objective": Supervised(Squared()), "recipe": Recipe(max_epochs=4)} | TRAININGS[name]()
    late = plan.pop("late", False)
    plan["recipe"] = Recipe(**{**vars(plan["recipe"]), "max_epochs": plan["recipe"].max_epochs or 6})
    trainer = Trainer(**plan, generator=torch.Generator().manual_seed(5), checkpoint=checkpoint)
    trainer.guard.every_step = not late
    return trainer


def ending(trainer: Trainer) -> tuple[list[Tensor], list[dict[str, float]]]:
    """All that a training leaves behind, but the time it took."""
    state = trainer.state()
    kept = [value for module in state["modules"] for value in module.values()]
    kept += [value for one in state["optimizer"]["state"].values() for value in one.values()]
    kept += [state["generator"]["now"], *([] if state["norms"] is None else [state["norms"]])]
    return kept, [{key: value for key, value in entry.items() if key != "seconds"} for entry in trainer.history]


def same(one: Trainer, other: Trainer) -> None:
    """To the bit."""
    (kept, history), (others, expected) = ending(one), ending(other)
    assert len(kept) == len(others) and all(torch.equal(a, b) for a, b in zip(kept, others, strict=True))
    assert repr(history) == repr(expected) and one.ended == other.ended and one.budget.steps == other.budget.steps


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_goes_on_from_any_step(name: str, tmp_path: Path) -> None:
    """In the middle of epochs too: weights, moments, generators, averages, norms, patience and history go on."""
    snapshots = Snapshots(tmp_path)
    whole = made(name, snapshots)
    whole.run()
    assert len(snapshots.states) == whole.budget.batches_done > 5
    plain = made(name)
    plain.run()
    same(whole, plain)
    for state in snapshots.states[:: 2 if len(snapshots.states) < 20 else 5]:
        again = made(name)
        again.load_state(state)
        again.run()
        same(again, whole)


def test_a_training_goes_on_from_between_two_epochs(tmp_path: Path) -> None:
    """By hand: an epoch, then the others in another process's place."""
    whole, first = made("buckets, dropout"), made("buckets, dropout")
    whole.run()
    first.set_mode(training=True)
    first.budget.start()
    first.epoch()
    write(tmp_path / "state", first.state())
    second = made("buckets, dropout")
    second.load_state(read(tmp_path / "state"))
    second.run()
    same(second, whole)


def test_the_best_weights_go_on(tmp_path: Path) -> None:
    """Patience keeps them: a training that goes on after its best epoch ends with the weights of that epoch."""

    def validated(checkpoint: Any) -> Trainer:
        trainer = made("buckets, dropout", checkpoint)
        trainer.validate = lambda: [3.0, 1.0, 2.0, 2.5][trainer.budget.epoch]
        return trainer

    snapshots = Snapshots(tmp_path)
    whole = validated(snapshots)
    whole.run()
    again = validated(None)
    again.load_state(snapshots.states[-1])
    again.run()
    same(again, whole)
    last = made("buckets, dropout")
    last.run()
    assert not torch.equal(next(iter(last.parameters.values())), next(iter(whole.parameters.values())))


# --- through estimators --------------------------------------------------------------------------------------------


def data() -> tuple[np.ndarray, np.ndarray]:
    """Two series of two features."""
    X = np.random.default_rng(0).normal(size=(2, 60, 2))
    return X, X.cumsum(1)[..., 0]


MODELS: dict[str, Callable[..., Any]] = {
    "streams": lambda **k: LSTMRegressor(hidden_size=4, bptt_length=10, streams=2, max_epochs=6, **k),
    "windows": lambda **k: GRURegressor(hidden_size=4, window=20, stride=7, dropout=0.2, max_epochs=4, **k),
    "early stopping": lambda **k: ElmanRegressor(hidden_size=4, early_stopping=True, max_epochs=8, **k),
    "own past": lambda **k: GRURegressor(
        hidden_size=4, autoregression=Autoregression(lags=3, teacher_forcing="linear"), window=20, max_epochs=4, **k
    ),
    "random start": lambda **k: GRURegressor(hidden_size=4, initial_state="random", batch_size=1, max_epochs=4, **k),
    "many": lambda **k: GRURegressor(
        hidden_size=4, omega=1.0, clip_norm=("quantile", 0.4, 1.0), weight_average=0.9, batch_size=1, max_epochs=4, **k
    ),
    "gaussian": lambda **k: LSTMRegressor(hidden_size=4, loss="gaussian", batch_size=1, max_epochs=4, **k),
    "linear": lambda **k: LinearStateSpaceRegressor(order=2, bptt_length=20, max_epochs=4, **k),
    "bidirectional": lambda **k: GRURegressor(hidden_size=4, bidirectional=True, batch_size=1, max_epochs=4, **k),
}


class Killed(BaseException):
    """As kill -9, but the test goes on."""


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let no training take more steps than this."""
    own = Trainer.step

    def step(self: Trainer, batch: Any) -> None:
        if self.budget.batches_done >= steps:
            raise Killed
        own(self, batch)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_goes_on_from_its_checkpoint(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle, and called again: predictions, state, history and forgetting time are those of one fit."""
    X, y = data()
    path = tmp_path / "training.safetensors"
    whole = MODELS[name](random_state=0).fit(X, y)
    kept = {"random_state": 0, "checkpoint": path, "checkpoint_every": 0.0}
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            MODELS[name](**kept).fit(X, y)
    assert path.exists()
    resumed = MODELS[name](**kept).fit(X, y)
    finished = MODELS[name](**kept).fit(X, y)  # it is over: nothing is trained again
    for model in (resumed, finished):
        np.testing.assert_array_equal(model.predict(X), whole.predict(X))
        left, right = (one.history_.drop(columns="seconds") for one in (model, whole))
        np.testing.assert_array_equal(left.to_numpy(), right.to_numpy())
        assert list(left.columns) == list(right.columns) and model.history_.attrs == whole.history_.attrs
        if "state_" in vars(whole):
            assert torch.equal(flatten(model.state_), flatten(whole.state_))
            assert model.forgetting_time_ == whole.forgetting_time_
        more, others = (copy.deepcopy(one).set_params(checkpoint=None).partial_fit(X, y) for one in (model, whole))
        np.testing.assert_array_equal(more.predict(X), others.predict(X))


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_trains_on_as_one_in_memory(name: str, tmp_path: Path) -> None:
    """fit → save → load → partial_fit is fit → partial_fit; so is a pickle; moments, generator and norms go on."""
    X, y = data()
    here = MODELS[name](random_state=0).fit(X, y)
    here.save(tmp_path / "model.safetensors")
    others = seqdyn.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(here))
    for _ in range(2):
        for model in (here, *others):
            model.partial_fit(X, y)
        for other in others:
            np.testing.assert_array_equal(other.predict(X), here.predict(X))
    here.save(tmp_path / "again.safetensors")  # and through a file that has been trained on
    again = seqdyn.load(tmp_path / "again.safetensors").partial_fit(X, y)
    np.testing.assert_array_equal(again.predict(X), here.partial_fit(X, y).predict(X))


def test_a_classifier_goes_on_too(tmp_path: Path) -> None:
    """Its classes are those of the first fit."""
    X, y = data()
    here = GRUClassifier(hidden_size=4, max_epochs=3, random_state=0).fit(X, np.where(y > 0, "up", "down"))
    here.save(tmp_path / "model")
    there = seqdyn.load(tmp_path / "model")
    for model in (here, there):
        model.partial_fit(X, np.where(y > 1, "up", "down"))
    np.testing.assert_array_equal(there.predict_log_proba(X), here.predict_log_proba(X))


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    """Other parameters, by name, and other data; what a training does not depend on may change."""
    X, y = six_series()
    path = tmp_path / "training"
    kept: dict[str, Any] = {"loss": "mse", "checkpoint": path, "checkpoint_every": 0.0}
    model = small(**kept).fit(X, y)
    for change, told in (
        ({"hidden_size": 5}, "hidden_size was 4 and is 5 now"),
        ({"loss": "mae"}, "loss was 'mse' and is 'mae' now"),
        ({"random_state": 1}, "random_state was 0 and is 1 now"),
    ):
        with pytest.raises(ValueError, match=f"the checkpoint of another training: {told}. One path is one training"):
            small(**kept | change).fit(X, y)
    moved = np.where(X == X[3, 3, 0], 0.0, X)
    for other_X, other_y in ((moved, y), (X, np.where(y == y[3, 3], np.nan, y)), (X[:5], y[:5])):
        with pytest.raises(ValueError, match="another training: it was of other data"):
            small(**kept).fit(other_X, other_y)
    with pytest.raises(ValueError, match="estimator was LSTMRegressor and is GRURegressor now"):
        GRURegressor(**_shared(model)).fit(X, y)
    small(**kept | {"verbose": 0, "checkpoint_every": 9.0}).fit(X, y)
    with pytest.raises(ValueError, match="start was None and is"):
        model.set_params(warm_start=True).fit(X, y)
    with pytest.raises(FileNotFoundError, match="but there is no folder"):
        small(**kept | {"checkpoint": tmp_path / "nowhere" / "training"}).fit(X, y)


def test_a_refused_fit_spoils_nothing(tmp_path: Path) -> None:
    """The model is the one from before: weights, history, what goes on."""
    X, y = six_series()
    model = small(checkpoint=tmp_path / "training").fit(X, y)
    before, history = model.predict(X), model.history_
    with pytest.raises(ValueError, match="it was of other data"):
        model.fit(X[:4], y[:4])
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.history_ is history


def test_a_larger_budget_goes_on(tmp_path: Path) -> None:
    """Two epochs, and then three more, are five; a schedule counts on its budget, and is refused."""
    X, y = six_series()
    path = tmp_path / "training"
    small(max_epochs=2, checkpoint=path).fit(X, y)
    longer = small(max_epochs=5, checkpoint=path).fit(X, y)
    assert len(longer.history_) == 5
    np.testing.assert_array_equal(longer.predict(X), small(max_epochs=5).fit(X, y).predict(X))
    small(max_epochs=2, schedule="cosine", checkpoint=tmp_path / "other").fit(X, y)
    with pytest.raises(ValueError, match="max_epochs was 2 and is 5 now"):
        small(max_epochs=5, schedule="cosine", checkpoint=tmp_path / "other").fit(X, y)


def pinball(quantile: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Two of these differ by what they close over alone."""
    return lambda output, target: torch.maximum(quantile * (target - output), (quantile - 1) * (target - output))


class Falling:
    """A schedule without a __repr__ of its own."""

    def __init__(self, to: float):
        self.to = to

    def __call__(self, progress: float) -> float:
        return 1 + progress * (self.to - 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"loss": pinball(0.1)}, {"loss": pinball(0.9)}),
        (
            {"loss": lambda output, target: (output - target) ** 2},
            {"loss": lambda output, target: (output - target) ** 4},
        ),
        ({"schedule": Falling(0.1)}, {"schedule": Falling(0.5)}),
    ],
    ids=["closures", "lambdas", "objects"],
)
def test_losses_and_schedules_are_told_apart(one: dict[str, Any], other: dict[str, Any], tmp_path: Path) -> None:
    """By what they do, not by what they are called."""
    X, y = six_series()
    expected = small(**one, checkpoint=tmp_path / "training").fit(X, y).predict(X)
    np.testing.assert_array_equal(small(**one, checkpoint=tmp_path / "training").fit(X, y).predict(X), expected)
    with pytest.raises(ValueError, match=f"{next(iter(one))} was .* and is .* now"):
        small(**other, checkpoint=tmp_path / "training").fit(X, y)


def test_a_trainer_knows_its_recipe_and_weights(tmp_path: Path) -> None:
    """Below the estimators, without a mark of one's own, too."""
    path = tmp_path / "training"
    made("streams", Checkpoint(path)).run()
    other = made("streams", Checkpoint(path))
    other.recipe = Recipe(**vars(other.recipe) | {"optimizer": "sgd"})
    with pytest.raises(ValueError, match="optimizer was 'adam' and is 'sgd' now"):
        other.run()
    other = made("streams", Checkpoint(path))
    other.parameters = dict(list(other.parameters.items())[1:])
    with pytest.raises(ValueError, match="weights was"):
        other.run()


@pytest.mark.parametrize("name", ["streams", "average"])
def test_a_state_can_be_loaded_again_and_again(name: str) -> None:
    """Going on from it leaves it as it was; a training that is over stays over."""
    whole = made(name)
    whole.run()
    first = made(name)
    first.epochs = 2
    first.run()
    state = first.state()
    for _ in range(2):
        again = made(name)
        again.load_state(state)
        again.run()
        same(again, whole)
        weights = [parameter.clone() for parameter in again.parameters.values()]
        again.run()
        assert all(map(torch.equal, weights, again.parameters.values())) and len(again.history) == len(whole.history)


class Carrying(nn.Module):
    """A network that is no cell, but holds one."""

    def __init__(self) -> None:
        super().__init__()
        self.own = cell()


def carried_along(network: Any, batch: Any, state: Any, generator: torch.Generator, progress: float) -> Pass:
    """Carries the state of the cell, and beside it a number that counts the steps."""
    inner, count = (None, torch.zeros(())) if state is None else (state["inner"], state["count"][0])
    run = scan(network.own, batch.x, inner, reset=batch.reset)
    loss = ((run.output - batch.y) ** 2).mean() + 0.01 * count.sin() * network.own.affine.weight.sum()
    return Pass(loss, batch.y.numel(), {"inner": detach(run.state), "count": (count + 1, None)})


def test_any_tree_is_carried_through_a_file(tmp_path: Path) -> None:
    """States of cells that the network holds, in dicts and tuples, in the middle of an epoch."""

    def training(checkpoint: Any = None) -> Trainer:
        draw = torch.Generator().manual_seed(5)
        return Trainer(Carrying(), streams(), carried_along, Recipe(max_epochs=3), draw, checkpoint=checkpoint)

    whole = training()
    whole.run()
    stopped, own = training(Checkpoint(tmp_path / "c", every=0.0)), Trainer.step

    def step(batch: Any) -> None:
        if stopped.budget.batches_done == 4:
            raise Killed
        own(stopped, batch)

    stopped.step = step  # type: ignore[method-assign]
    with pytest.raises(Killed):
        stopped.run()
    resumed = training(Checkpoint(tmp_path / "c"))
    resumed.run()
    same(resumed, whole)


def _shared(model: LSTMRegressor) -> dict[str, Any]:
    """The parameters that a GRU has as well."""
    return {name: value for name, value in model.get_params().items() if name != "peepholes"}


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """A model, a damaged file, a folder that is not there; the estimator is then as it was before."""
    X, y = six_series()
    model = small(loss="mse").fit(X, y)
    model.save(tmp_path / "model")
    (tmp_path / "damaged").write_bytes((tmp_path / "model").read_bytes()[:-3])
    with pytest.raises(FileFormatError, match="is no checkpoint of a training"):
        small(checkpoint=tmp_path / "model").fit(X, y)
    with pytest.raises(FileFormatError, match="truncated or damaged"):
        small(checkpoint=tmp_path / "damaged").fit(X, y)
    with pytest.raises(FileNotFoundError, match="no folder"):
        small(checkpoint=tmp_path / "none" / "here").fit(X, y)


def test_a_partial_fit_leaves_the_checkpoint_alone(tmp_path: Path) -> None:
    """It is one more epoch on other data."""
    X, y = six_series()
    path = tmp_path / "training"
    model = small(loss="mse", checkpoint=path).fit(X, y)
    before = path.read_bytes()
    model.partial_fit(X + 1, y)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["training"]


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    """The estimator keeps what is learnt; the same call goes on from the last writing."""
    X, y = six_series()
    path = tmp_path / "training"
    kept: dict[str, Any] = {"checkpoint": path, "checkpoint_every": 0.0, "max_epochs": 4}
    loss = After(7, interrupt)
    with pytest.warns(UserWarning, match="interrupted in epoch 2, after 7 steps"):
        small(loss=loss, **kept).fit(X, y)
    loss.calls = 10**9
    resumed = small(loss=loss, **kept).fit(X, y)
    np.testing.assert_array_equal(resumed.predict(X), small(loss=loss, max_epochs=4).fit(X, y).predict(X))


def test_parameters_are_described_alike_in_any_process() -> None:
    """Values, functions, cells and states; no address is part of it."""
    X = np.arange(3.0)
    assert described(X) == described(X.copy()) != described(X + 1)
    one, other = (described(Random(scale)) for scale in (1.0, 2.0))
    assert one == "Random(scale=1.0, seed=None)" and other != one
    assert described(small).startswith("tests.training.test_loop.small ") and described(GRU) == "seqdyn.cells.gru.GRU"
    assert described(cell()) == described(cell()) != described(GRU(2, 3))
    assert " at 0x" not in described(After(1, small)) and described(Gaussian()) == "Gaussian()"
    state = GRU(2, 3).initial_state(1)
    assert described(state) == described(tuple(state)).replace("tuple", "GRUState", 1)
    numbers = np.random.RandomState(0)
    assert described(numbers) == described(np.random.RandomState(0)) != (numbers.rand(), described(numbers))[1]


def test_a_checkpoint_is_written_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every so many seconds, and when all is over."""
    now, written = [0.0], []
    monkeypatch.setattr("seqdyn.training.checkpoint.time", type("", (), {"monotonic": staticmethod(lambda: now[0])}))
    checkpoint = Checkpoint(tmp_path / "c", every=10.0)
    own = checkpoint.write
    checkpoint.write = lambda trainer: (written.append(now[0]), own(trainer))  # type: ignore[method-assign,assignment]

    trainer = made("streams", checkpoint)
    trainer.observer = lambda *given: now.__setitem__(0, now[0] + 4.0)
    trainer.run()
    steps = trainer.budget.batches_done
    assert written == [*(12.0 * k for k in range(1, steps * 4 // 12 + 1)), 4.0 * steps]
    for every in (-1.0, True, "often", math.nan):
        with pytest.raises(ValueError, match="checkpoint_every must be a number of seconds of at least 0"):
            Checkpoint(tmp_path / "c", every=every)  # type: ignore[arg-type]


def test_a_cell_that_files_do_not_know_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint holds weights and numbers, no class: neither a user's cell nor its state need be registered."""

    class Own(Tokens):
        input_shape = None

        def forward(self, x: Tensor, state: Any) -> Any:
            return super().forward(x.argmax(1), state)

    X, y = six_series()
    settings: dict[str, Any] = {"cell": lambda inputs, hidden: Own(inputs, hidden), "hidden_size": 4, "max_epochs": 4}
    settings |= {"bptt_length": 3, "random_state": 0}
    kept = {"checkpoint": tmp_path / "c", "checkpoint_every": 0.0}
    with monkeypatch.context() as patch:
        kill_after(patch, 10)
        with pytest.raises(Killed):
            RecurrentRegressor(**settings, **kept).fit(X, y)
    resumed = RecurrentRegressor(**settings, **kept).fit(X, y)
    np.testing.assert_array_equal(resumed.predict(X), RecurrentRegressor(**settings).fit(X, y).predict(X))


# --- kill -9 -------------------------------------------------------------------------------------------------------

KILLS = """
    import os, random, signal, sys, time, warnings
    import numpy as np
    from seqdyn import LSTMRegressor

    warnings.simplefilter("ignore")
    path, X = sys.argv[1], np.random.default_rng(0).normal(size=(6, 20, 2))
    LSTMRegressor(max_epochs=1).fit(X, X)  # the first of a process is slow

    def train(every, path):
        model = LSTMRegressor(hidden_size=6, batch_size=2, dropout=0.2, max_epochs=300, random_state=0,
                              checkpoint=path, checkpoint_every=every)
        return model.fit(X, X.cumsum(1)[..., 0])

    draws = random.Random(int(sys.argv[2]))
    for _ in range(20):
        child = os.fork()
        if child == 0:
            train(0.0, path)
            os._exit(0)
        time.sleep(draws.uniform(0.1, 0.35))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    from seqdyn.files import read
    counters = read(path)["training"]["counters"]
    assert counters["ended"] is None and counters["batches_done"] > 20, counters
    one, whole = train(60.0, path), train(60.0, None)
    assert (one.predict(X) == whole.predict(X)).all()
    assert one.history_.drop(columns="seconds").equals(whole.history_.drop(columns="seconds"))
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
    print(counters["batches_done"], counters["index"])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill")
def test_kill_9_twenty_times(tmp_path: Path) -> None:
    """At random moments, in the middle of steps, of epochs and of writing: the same call goes on, to the same bits."""
    command = [sys.executable, "-c", textwrap.dedent(KILLS), str(tmp_path / "training.safetensors"), "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(seqdyn.__file__).parents[1])
    assert ran.returncode == 0, ran.stderr
