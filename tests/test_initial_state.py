"""Where a sequence's memory starts: every strategy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.gru import GRU, GRUState
from seqdyn.cells.lstm import LSTM, LSTMState
from seqdyn.composition import Stack
from seqdyn.initial_state import Given, Learned, Random, Started, Warmup, Zero, as_initial_state, drawing
from seqdyn.loops import scan
from seqdyn.state import flatten, leaves
from tests.laws.laws import close


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lstm() -> LSTM:
    return LSTM(3, 4, generator=seeded()).double()


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


SOME = LSTMState(randn(1, 4, seed=2), randn(1, 4, seed=3))


@pytest.mark.parametrize(
    "strategy", [Zero(), Random(), Learned(), Given(SOME), Warmup()], ids=lambda s: type(s).__name__
)
def test_a_start_changes_nothing_but_the_start(strategy: Any) -> None:
    """From a state that is given, the wrapped cell is the cell itself, on both paths."""
    cell, x = lstm(), randn(2, 5, 3)
    state = LSTMState(randn(2, 4), randn(2, 4))
    for record in (None, lambda x, before, output, after: None):
        close(scan(strategy(cell), x, state, record=record), scan(cell, x, state, record=record), "scan", tolerance=0)


def test_zero_is_the_cells_own() -> None:
    """Zero starts from zeros, without a parameter more."""
    started = Zero()(lstm())
    assert not flatten(started.initial_state(3)).any()
    assert len(list(started.parameters())) == len(list(lstm().parameters()))


def test_learned_starts_are_parameters() -> None:
    """One row each, beginning at the cell's own start, repeated for the batch, and found by gradient descent."""
    started = Learned()(lstm())
    close(started.initial_state(2), lstm().initial_state(2), "at the beginning", tolerance=0)
    own = [parameter for name, parameter in started.named_parameters() if name.startswith("learned")]
    assert [tuple(parameter.shape) for parameter in own] == [(1, 4), (1, 4)]
    with torch.no_grad():
        own[0].fill_(0.25)
        own[1].fill_(-0.5)
    state = started.initial_state(3)
    assert isinstance(state, LSTMState)
    assert (state.h == 0.25).all() and (state.c == -0.5).all() and len(state.h) == 3
    (scan(started, randn(3, 2, 3)).output ** 2).sum().backward()
    assert all(parameter.grad.abs().min() > 0 for parameter in own)


def test_learned_start_gets_gradient_from_every_row_and_reset() -> None:
    """The gradient is the sum over all places where the start is used; a row that is not reset or begun has none."""
    started = Learned()(Elman(1, 2, generator=seeded()).double())
    x = randn(2, 6, 1)
    reset = torch.zeros(2, 6, dtype=torch.bool)
    reset[1, 3] = True
    (whole,) = torch.autograd.grad(scan(started, x, reset=reset).output.sum(), list(started.learned))
    pieces = [x[:1], x[1:, :3], x[1:, 3:]]
    parts = [torch.autograd.grad(scan(started, piece).output.sum(), list(started.learned))[0] for piece in pieces]
    close(whole, sum(parts), "gradient of the start")


def test_learned_start_is_saved_copied_and_cast() -> None:
    """It lies in the state dict, follows the dtype, and a deep copy has its own."""
    started = Learned()(lstm())
    assert {"learned.0", "learned.1"} <= set(started.state_dict())
    twin = copy.deepcopy(started).float()
    with torch.no_grad():
        twin.learned[0].fill_(1.0)
    assert twin.initial_state(1).h.dtype == torch.float32
    assert (twin.initial_state(1).h == 1).all() and not started.initial_state(1).h.any()


def test_given_states_are_repeated() -> None:
    """Every row starts there; it is no parameter; it follows the dtype of the cell; reset goes back to it."""
    started = Given(SOME)(lstm())
    close(started.initial_state(3).c, SOME.c.expand(3, 4), "start", tolerance=0)
    assert not list(started.initial_state(3).c.shape) == [1, 4]
    assert len(list(started.parameters())) == len(list(lstm().parameters()))
    assert Given(SOME)(LSTM(3, 4)).initial_state(2).c.dtype == torch.float32
    x, reset = randn(1, 6, 3), torch.zeros(1, 6, dtype=torch.bool)
    reset[0, 4] = True
    close(scan(started, x, reset=reset).state, scan(lstm(), x[:, 4:], SOME).state, "after a reset")


def test_given_states_for_a_learned_start() -> None:
    """A known state may be where a learned start begins."""
    started = Started(lstm(), mean=SOME, learned=True)
    close(started.initial_state(2).h, SOME.h.expand(2, 4), "start", tolerance=0)
    assert len(started.learned) == 2


@pytest.mark.parametrize(
    "state",
    [
        LSTMState(torch.zeros(2, 4), torch.zeros(2, 4)),
        LSTMState(torch.zeros(1, 5), torch.zeros(1, 5)),
        ElmanState(torch.zeros(1, 4)),
        torch.zeros(1, 4),
    ],
    ids=["two rows", "wrong width", "other leaves", "no tree"],
)
def test_given_states_must_fit(state: Any) -> None:
    """The message shows what was given and what the cell needs: one row of its own leaves."""
    with pytest.raises(ValueError, match=r"LSTM needs \{'h': \(1, 4\), 'c': \(1, 4\)\} \(one row"):
        Given(state)(lstm())


def test_random_starts_at_its_mean_outside_of_training() -> None:
    """Prediction draws nothing."""
    started = Random(3.0)(lstm())
    assert not flatten(started.initial_state(4)).any()
    with drawing(started, seeded()):
        assert flatten(started.initial_state(4)).all()
    assert not flatten(started.initial_state(4)).any()


def test_random_starts_have_their_mean_and_scale() -> None:
    """h = μ + s ε with ε of mean 0 and variance 1, a draw for each row and neuron, within four standard errors."""
    started = Started(lstm(), mean=SOME, scale=0.5)
    with drawing(started, seeded()):
        drawn = started.initial_state(20_000)
    for leaf, mean in zip(leaves(drawn), leaves(SOME), strict=True):
        assert (leaf.mean(0) - mean).abs().max() < 4 * 0.5 / 20_000**0.5
        assert (leaf.std(0) / 0.5 - 1).abs().max() < 4 / 40_000**0.5
        assert torch.corrcoef(leaf.T).fill_diagonal_(0).abs().max() < 0.04
    assert (drawn.h - SOME.h != drawn.c - SOME.c).all()


def test_random_starts_follow_the_trainers_generator() -> None:
    """One generator, one sequence of draws; a fresh draw every time; resets draw too."""
    started = Random()(lstm())
    draws = []
    for _ in range(2):
        with drawing(started, seeded(5)):
            draws.append([started.initial_state(2) for _ in range(2)])
    close(draws[0], draws[1], "the same generator", tolerance=0)
    assert not torch.equal(draws[0][0].h, draws[0][1].h)
    x, reset = randn(2, 4, 3), torch.zeros(2, 4, dtype=torch.bool)
    reset[:, 2] = True
    with drawing(started, seeded(5)):
        drawn = scan(started, x, lstm().initial_state(2), reset=reset)
    plain = scan(started, x, lstm().initial_state(2), reset=reset)
    close(drawn.output[:, :2], plain.output[:, :2], "before the reset")
    assert (drawn.output[:, 2] != plain.output[:, 2]).all()


def test_random_starts_with_a_seed_ignore_the_trainers_generator() -> None:
    """A seed of its own fixes the draws and leaves the trainer's alone."""
    started = Random(seed=7)(lstm())
    first, second, trainer = [], [], seeded(1)
    before = trainer.get_state()
    for found in (first, second):
        with drawing(started, trainer):
            found.append(started.initial_state(2))
    assert torch.equal(trainer.get_state(), before)
    expected = torch.randn(2, 4, generator=seeded(7), dtype=torch.float64)
    close(first[0].h, expected, "draw", tolerance=0)


def test_drawing_reaches_inner_cells_and_ends_with_an_error() -> None:
    """Starts deep in a network draw; after the block, however it ends, they do not."""
    network = torch.nn.ModuleDict({"deep": Stack([Random()(GRU(3, 4)), GRU(4, 2)])})
    with pytest.raises(RuntimeError, match="training broke"), drawing(network, seeded()):
        lower, upper = network["deep"].initial_state(2)
        assert lower.h.all() and not upper.h.any()
        raise RuntimeError("training broke")
    assert not flatten(network["deep"].initial_state(2)).any()


def test_scale_is_not_negative() -> None:
    """A negative spread is refused; none at all is the mean."""
    with pytest.raises(ValueError, match=r"scale .* at least 0, got -1"):
        Random(-1.0)(lstm())
    started = Random(0.0)(lstm())
    with drawing(started, seeded()):
        assert not flatten(started.initial_state(2)).any()


def test_warmup_begins_as_its_start_says() -> None:
    """A warm-up is a start and then a run: here the start, by default zero."""
    assert not flatten(Warmup()(lstm()).initial_state(2)).any()
    close(Warmup(3, Given(SOME))(lstm()).initial_state(1), SOME, "start", tolerance=0)
    assert Warmup().steps is None and Warmup(5).steps == 5


def test_warmup_forgets_its_start() -> None:
    """Run over the past, two starts come together: the state is plausible whatever it began with."""
    cell, past = LSTM(3, 4, generator=seeded()).double(), randn(1, 200, 3)
    found = [scan(start(cell), past).state for start in (Zero(), Given(SOME))]
    close(found[0], found[1], "state after the warm-up", tolerance=1e-6)


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("zero", Zero()), ("random", Random()), ("learned", Learned()), ("warmup", Warmup())],
)
def test_names_of_strategies(name: str, strategy: Any) -> None:
    """The four names, and strategies as they are."""
    assert as_initial_state(name) == strategy
    assert as_initial_state(strategy) is strategy


def test_a_state_is_a_strategy() -> None:
    """A State means: start there."""
    strategy = as_initial_state(GRUState(torch.ones(1, 4)))
    assert isinstance(strategy, Given)
    assert (strategy(GRU(3, 4)).initial_state(2).h == 1).all()


@pytest.mark.parametrize("value", ["zeros", ""])
def test_unknown_names(value: str) -> None:
    """The names that are known are listed."""
    with pytest.raises(ValueError, match=f"'zero', 'random', 'learned', 'warmup' or a State, got {value!r}"):
        as_initial_state(value)


@pytest.mark.parametrize("value", [None, 3, 0.5, (), object()], ids=lambda value: type(value).__name__)
def test_what_is_no_strategy(value: Any) -> None:
    """Neither name, strategy nor State: the message lists what is, and names the type that came."""
    with pytest.raises(TypeError, match=f"initial_state must be one of 'zero'.*State.*got {type(value).__name__}"):
        as_initial_state(value)
