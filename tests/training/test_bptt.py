"""Backpropagation through time, full and truncated, against a loop written by hand.

The loop by hand knows neither scan nor batches: it walks over plain lists of tensors step by step, starts again where
a series or a stream begins, cuts the graph between chunks, and takes its own steps down the gradient.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout, Stack
from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor
from seqdyn.initial_state import Learned
from seqdyn.state import State, detach
from seqdyn.training.batches import Batch, Spans
from seqdyn.training.heads import Squared
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Supervised
from seqdyn.training.streams import Streams
from tests.training.series import Series, noise

Gradients = dict[str, Tensor]

RATE = 0.3
"""Large, so that the weights of every chunk are others than those of the chunk before."""


def squared(output: Tensor, target: Tensor) -> Tensor:
    """ℓ = (ŷ − y)²"""
    return (output - target) ** 2


def stacked(generator: torch.Generator) -> Cell:
    """Two unlike layers with a readout."""
    return Readout(Stack([GRU(2, 3, generator=generator), LSTM(3, 4, generator=generator)]), 2, generator=generator)


CELLS: dict[str, Callable[[torch.Generator], Cell]] = {
    "linear": lambda generator: Linear(2, 3, output_size=2, generator=generator),
    "elman": lambda generator: Elman(2, 4, output_size=2, generator=generator),
    "stack": stacked,
    "learned start": lambda generator: Learned()(stacked(generator)),
}


def build(name: str) -> Cell:
    """A cell in float64."""
    return CELLS[name](torch.Generator().manual_seed(1)).double()


def gradient(network: nn.Module) -> Gradients:
    """A copy of all gradients, 0 where there is none."""
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in network.named_parameters()}


def trained(network: Cell, batches: Spans | Streams, epochs: int = 1) -> list[Gradients]:
    """What an observer of the trainer sees, step after step."""
    seen: list[Gradients] = []
    recipe = Recipe(optimizer="sgd", learning_rate=RATE, clip_norm=None, max_epochs=epochs, n_iter_no_change=1000)
    Trainer(
        network,
        batches,
        Supervised(Squared()),
        recipe,
        torch.Generator().manual_seed(0),
        observer=lambda epoch, batch, network, output: seen.append(gradient(network)),
    ).run()
    return seen


def by_hand(
    network: Cell, series: Series, streams: int = 1, chunk: int = 10**6, warmup: int = 0, epochs: int = 1
) -> list[Gradients]:
    """Truncated backpropagation through time, written out: one list of gradients, and ``network`` is trained."""
    x, y = torch.cat(series.x), torch.cat(series.y)
    weight = torch.ones_like(y) if series.weight is None else torch.cat(series.weight)
    length = -(-len(x) // streams)
    fresh = {*series.starts(), *range(0, len(x), length)}
    seen = []
    for _ in range(epochs):
        states: list[State] = [None] * streams
        age = [0] * streams  # steps since the last fresh start
        for begin in range(0, length, chunk):
            states = [state if state is None else detach(state) for state in states]
            cost, counts = x.new_zeros(()), x.new_zeros(())
            for stream in range(streams):
                for step in range(begin, min(begin + chunk, length)):
                    row = stream * length + step
                    if row >= len(x):
                        continue
                    if row in fresh:
                        states[stream], age[stream] = network.initial_state(1), 0
                    output, states[stream] = network(x[row : row + 1], states[stream])
                    if age[stream] >= warmup:
                        cost = cost + (weight[row] * squared(output[0], y[row])).sum()
                        counts = counts + weight[row].sum()
                    age[stream] += 1
            if counts > 0:
                network.zero_grad()
                (cost / counts).backward()
                seen.append(gradient(network))
                descend(network)
    return seen


def descend(network: nn.Module) -> None:
    """One step against the gradient."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= RATE * parameter.grad


def same(found: list[Gradients], expected: list[Gradients]) -> None:
    """As many steps, and the same gradients in each."""
    assert len(found) == len(expected)
    for step, (one, other) in enumerate(zip(found, expected, strict=True)):
        for name, value in one.items():
            torch.testing.assert_close(
                value, other[name], rtol=1e-10, atol=1e-13, msg=lambda text, at=(step, name): f"{at}: {text}"
            )


def steps_of(warmup: int, series: Series) -> Tensor:
    """The same warm-up for every series."""
    return torch.full((len(series.x),), warmup)


# --- the whole -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("chunk", [23, 24, 1000])
def test_a_chunk_as_long_as_the_sequence_gives_the_full_gradient(name: str, chunk: int) -> None:
    """k ≥ T: the gradients are those of full BPTT, bit for bit, and those by hand; every epoch."""
    series = noise([23])
    truncated = trained(build(name), Streams(series.rows(), 1, chunk, steps_of(0, series)), epochs=3)
    full = trained(build(name), Spans(series.rows(), 32, steps_of(0, series)), epochs=3)
    assert len(truncated) == 3
    for one, other in zip(truncated, full, strict=True):
        assert all(torch.equal(one[parameter], other[parameter]) for parameter in one)
    same(truncated, by_hand(build(name), series, epochs=3))


def test_full_bptt_over_ragged_sequences_is_the_gradient_by_hand() -> None:
    """One padded batch of sequences of unlike lengths, weights and a warm-up: the weighted mean over what counts."""
    series = noise([7, 3, 11, 1, 6], weighted=True)
    found = trained(build("learned start"), Spans(series.rows(), 32, steps_of(2, series)), epochs=3)
    same(found, by_hand(build("learned start"), series, warmup=2, epochs=3))


def test_batches_of_sequences_are_averaged_each_for_itself() -> None:
    """A step on some of the sequences is the gradient of their own mean."""
    series = noise([7, 3, 11, 1, 6])
    network = build("elman")
    compared = []

    def observe(epoch: int, batch: Batch, network: nn.Module, output: Tensor) -> None:
        chosen = [next(i for i, part in enumerate(series.x) if torch.equal(part[0], row[0])) for row in batch.x]
        twin = copy.deepcopy(network)
        part = Series([series.x[i] for i in chosen], [series.y[i] for i in chosen], None)
        same([gradient(network)], by_hand(twin, part))
        compared.extend(chosen)

    recipe = Recipe(optimizer="sgd", learning_rate=RATE, clip_norm=None, max_epochs=2)
    batches = Spans(series.rows(), 2, steps_of(0, series))
    Trainer(network, batches, Supervised(Squared()), recipe, torch.Generator().manual_seed(3), observer=observe).run()
    assert sorted(compared) == sorted([*range(5), *range(5)])


# --- truncated -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("chunk", [1, 5, 22])
def test_one_long_sequence(name: str, chunk: int) -> None:
    """k < T on one sequence: every chunk, two epochs; the state is carried on, its history is cut."""
    series = noise([23])
    found = trained(build(name), Streams(series.rows(), 1, chunk, steps_of(0, series)), epochs=2)
    assert len(found) == 2 * -(-23 // chunk)
    same(found, by_hand(build(name), series, chunk=chunk, epochs=2))


@pytest.mark.parametrize("name", CELLS)
def test_many_sequences_of_one_length(name: str) -> None:
    """As many streams as sequences: all start together, none is cut."""
    series = noise([12] * 4)
    found = trained(build(name), Streams(series.rows(), 4, 5, steps_of(0, series)), epochs=2)
    same(found, by_hand(build(name), series, streams=4, chunk=5, epochs=2))


@pytest.mark.parametrize("streams", [1, 2, 3, 5])
@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("name", ["stack", "learned start"])
def test_ragged_sequences_on_streams(name: str, streams: int, chunk: int) -> None:
    """Sequences of unlike lengths end to end: a fresh start at every border, inside a chunk and between two."""
    series = noise([7, 3, 11, 1, 6])
    found = trained(build(name), Streams(series.rows(), streams, chunk, steps_of(0, series)), epochs=2)
    same(found, by_hand(build(name), series, streams=streams, chunk=chunk, epochs=2))


@pytest.mark.parametrize("warmup", [1, 4, 8])
def test_warmup_and_weights_on_streams(warmup: int) -> None:
    """The warm-up after every fresh start has no loss; a chunk of nothing else only moves the state on."""
    series = noise([7, 3, 11, 1, 6, 9], weighted=True)
    batches = Streams(series.rows(), 2, 3, steps_of(warmup, series))
    found = trained(build("stack"), batches, epochs=2)
    assert 0 < len(found) <= 2 * len(batches)
    same(found, by_hand(build("stack"), series, streams=2, chunk=3, warmup=warmup, epochs=2))


def test_a_chunk_without_a_target_moves_the_state_and_no_weight() -> None:
    """The middle of a sequence counts nothing: no step is taken there, and the steps after it start behind it."""
    series = noise([20])
    weight = torch.ones(20, 2, dtype=torch.float64)
    weight[5:15] = 0
    series = series._replace(weight=[weight])
    found = trained(build("stack"), Streams(series.rows(), 1, 5, steps_of(0, series)))
    assert len(found) == 2
    same(found, by_hand(build("stack"), series, chunk=5))


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    streams=st.integers(1, 4),
    chunk=st.integers(1, 12),
    warmup=st.integers(0, 3),
    weighted=st.booleans(),
)
def test_any_lengths_streams_chunks_and_warmups(
    lengths: list[int], streams: int, chunk: int, warmup: int, weighted: bool
) -> None:
    """Wherever the borders fall, the gradients are those by hand."""
    series = noise(lengths, weighted=weighted)
    streams = min(streams, sum(lengths))
    found = trained(build("elman"), Streams(series.rows(), streams, chunk, steps_of(warmup, series)))
    same(found, by_hand(build("elman"), series, streams=streams, chunk=chunk, warmup=warmup))


def test_truncation_changes_the_gradient() -> None:
    """The test can fail: with k < T the gradient is not the full one."""
    series = noise([23])
    full = trained(build("stack"), Spans(series.rows(), 1, steps_of(0, series)))[0]
    chunks = trained(build("stack"), Streams(series.rows(), 1, 22, steps_of(0, series)))[0]
    assert any((full[name] - chunks[name]).abs().max() > 1e-3 for name in full)


# --- what joins it -------------------------------------------------------------------------------------------------


def test_a_penalty_joins_the_loss() -> None:
    """Its gradient is added at every step, and its value is in the history."""
    series = noise([23])

    def trainer(**penalties: Any) -> tuple[Trainer, list[Gradients]]:
        seen: list[Gradients] = []
        recipe = Recipe(optimizer="sgd", learning_rate=RATE, clip_norm=None, max_epochs=1)
        made = Trainer(
            build("elman"),
            Spans(series.rows(), 1, steps_of(0, series)),
            Supervised(Squared(), penalties),
            recipe,
            torch.Generator(),
            observer=lambda epoch, batch, network, output: seen.append(gradient(network)),
        )
        made.run()
        return made, seen

    def ridge(network: nn.Module, batch: Batch | None = None) -> Tensor:
        return 0.5 * sum((p**2).sum() for p in network.parameters())

    plain, without = trainer()
    shrunk, added = trainer(ridge=ridge)
    begin = build("elman")
    for name, parameter in begin.named_parameters():
        torch.testing.assert_close(added[0][name], without[0][name] + parameter.detach())
    assert shrunk.history[0]["ridge"] == pytest.approx(ridge(begin).item())
    assert shrunk.history[0]["loss"] == pytest.approx(plain.history[0]["loss"] + ridge(begin).item())
    assert "ridge" in shrunk.columns and "ridge" not in plain.columns


def test_the_observer_sees_epoch_batch_and_network() -> None:
    """It is called at every step, after the backward pass and before the weights move."""
    series = noise([10] * 4)
    network = build("elman")
    calls: list[tuple[int, torch.Size]] = []
    before = [p.detach().clone() for p in network.parameters()]

    def observe(epoch: int, batch: Batch, seen: nn.Module, output: Tensor) -> None:
        assert seen is network and all(p.grad is not None for p in seen.parameters())
        assert output.grad is not None and output.grad.shape == batch.y.shape
        if not calls:
            assert all(torch.equal(p, q) for p, q in zip(seen.parameters(), before, strict=True))
        calls.append((epoch, batch.x.shape))

    recipe = Recipe(max_epochs=2)
    batches = Spans(series.rows(), 2, steps_of(0, series))
    Trainer(network, batches, Supervised(Squared()), recipe, torch.Generator(), observer=observe).run()
    assert calls == [(epoch, torch.Size([2, 10, 2])) for epoch in (0, 0, 1, 1)]


# --- through an estimator ------------------------------------------------------------------------------------------


def test_an_estimator_trains_as_the_loop_by_hand() -> None:
    """Ragged series on two streams, a warm-up, a missing target: two epochs of ``fit`` give the weights by hand."""
    series = noise([7, 3, 11, 5])
    settings: dict[str, Any] = {
        "hidden_size": 3,
        "bptt_length": 4,
        "streams": 2,
        "warmup": 1,
        "optimizer": "sgd",
        "clip_norm": None,
        "max_epochs": 2,
        "scale": False,
        "dtype": "float64",
        "random_state": 0,
    }
    X, y = [part.numpy() for part in series.x], [part.clone().numpy() for part in series.y]
    y[2][6, 0] = np.nan
    weight = [(~torch.from_numpy(part).isnan()).double() for part in y]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "warmup=1 is shorter")
        begin = ElmanRegressor(**settings, learning_rate=1e-300).fit(X, y)
        model = ElmanRegressor(**settings, learning_rate=RATE).fit(X, y)
    network = begin.cell_.train()
    by_hand(network, series._replace(weight=weight), streams=2, chunk=4, warmup=1, epochs=2)
    for (name, value), other in zip(model.cell_.named_parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(value, other, rtol=1e-10, atol=1e-12, msg=lambda text, at=name: f"{at}: {text}")


@pytest.mark.parametrize("initial_state", ["zero", "learned", "random"])
def test_an_estimator_with_chunks_as_long_as_its_sequence(initial_state: str) -> None:
    """``bptt_length`` ≥ T is the same as none: the same history, the same predictions, to the bit."""
    X, y = noise([30]).x[0].numpy(), noise([30]).y[0].numpy()
    full, truncated = (
        GRURegressor(hidden_size=4, initial_state=initial_state, bptt_length=k, max_epochs=5, random_state=0).fit(X, y)
        for k in (None, 30)
    )
    np.testing.assert_array_equal(full.history_["loss"], truncated.history_["loss"])
    np.testing.assert_array_equal(full.predict(X), truncated.predict(X))
