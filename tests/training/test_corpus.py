"""Streams of tokens: every token is predicted once, from the one before it, whatever the streams and chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Embedding, Readout
from seqdyn.loops import scan
from seqdyn.training.batches import Rows
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Supervised, evaluated
from seqdyn.training.streams import Streams, TokenStreams

BEGIN = 5


def tokens(count: int, seed: int = 0) -> np.ndarray:
    """Five symbols."""
    return np.random.default_rng(seed).integers(0, BEGIN, count)


def network() -> Embedding:
    """A small language model in double precision, always the same."""
    draw = torch.Generator().manual_seed(0)
    inner = Readout(LSTM(4, 6, generator=draw), BEGIN, generator=draw)
    return Embedding(inner, BEGIN + 1, generator=draw).double()


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 20))
def test_every_token_is_predicted_once(count: int, streams: int, chunk: int) -> None:
    """Read back stream by stream, targets are the corpus, and inputs the tokens before them."""
    row, streams = tokens(count), min(streams, count)
    batches = list(TokenStreams(row, streams, chunk, BEGIN).epoch(torch.Generator()))
    weight = [torch.ones(*b.y.shape) if b.weight is None else b.weight for b in batches]
    there = torch.cat(weight, 1)[..., 0].bool()
    x, y = torch.cat([b.x for b in batches], 1), torch.cat([b.y for b in batches], 1)[..., 0]
    np.testing.assert_array_equal(y[there], row)
    first = np.arange(0, count, -(-count // streams))
    before = np.concatenate([[BEGIN], row[:-1]])
    before[first] = BEGIN
    np.testing.assert_array_equal(x[there], before)
    assert [b.follows for b in batches] == [False] + [True] * (len(batches) - 1)
    assert all(b.counts == bool(w.any()) for b, w in zip(batches, weight, strict=True))
    assert len(batches) == len(TokenStreams(row, streams, chunk, BEGIN))


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 20), st.integers(0, 5))
def test_an_epoch_may_begin_anywhere(count: int, streams: int, chunk: int, start: int) -> None:
    """As a training that goes on does."""
    plan = TokenStreams(tokens(count), min(streams, count), chunk, BEGIN)
    whole, rest = (list(plan.epoch(torch.Generator(), begin)) for begin in (0, start))
    assert len(rest) == max(0, len(whole) - start)
    assert all(torch.equal(one.x, other.x) for one, other in zip(whole[start:], rest, strict=True))


def test_workers_share_the_streams() -> None:
    """Each has its own rows of every batch."""
    plan = TokenStreams(tokens(40), 4, 3, BEGIN)
    shares = [list(plan.shard(rank, 2).epoch(torch.Generator())) for rank in range(2)]
    for whole, one, other in zip(plan.epoch(torch.Generator()), *shares, strict=True):
        assert torch.equal(whole.x[0::2], one.x) and torch.equal(whole.x[1::2], other.x)
    with pytest.raises(ValueError, match="4 streams cannot be shared by 5 workers"):
        plan.shard(0, 5)


def test_chunks_give_the_loss_of_the_whole() -> None:
    """Σ −ln p over a text does not depend on where it is cut."""
    row, net, objective = tokens(57), network(), Supervised(CrossEntropy(BEGIN))
    whole = torch.as_tensor([[BEGIN, *row[:-1]]])
    log_p = torch.log_softmax(scan(net, whole).output[0], -1)[range(57), row].mean()
    for chunk in (1, 5, 57, 100):
        found = evaluated(net, TokenStreams(row, 1, chunk, BEGIN), objective)["loss"]
        assert found == pytest.approx(-float(log_p.detach()), rel=1e-12)


def test_it_trains_as_streams_of_rows_do() -> None:
    """The same weights, to the bit, as rows in memory give whose first input is the same."""
    row, weights = tokens(64), []
    x = torch.as_tensor(np.concatenate([[BEGIN], row[:-1]]))
    x[torch.arange(0, 64, 16)] = BEGIN
    rows = Streams(Rows.of([x], [torch.as_tensor(row)[:, None]]), 4, 5)
    for plan in (TokenStreams(row, 4, 5, BEGIN), rows):
        net = network()
        Trainer(net, plan, Supervised(CrossEntropy(BEGIN)), Recipe(max_epochs=3), torch.Generator()).run()
        weights.append(net.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_row_that_is_mapped_from_a_file(tmp_path: Path) -> None:
    """It is read a chunk at a time, whatever its type."""
    row = tokens(1000).astype(np.uint8)
    row.tofile(tmp_path / "row")
    mapped = np.memmap(tmp_path / "row", np.uint8, "r")
    for one, other in zip(
        *(TokenStreams(t, 3, 64, BEGIN).epoch(torch.Generator()) for t in (row, mapped)), strict=True
    ):
        assert torch.equal(one.x, other.x) and torch.equal(one.y, other.y)


def test_more_streams_than_tokens() -> None:
    """The message names both."""
    with pytest.raises(ValueError, match="streams must lie between 1 and the 3 symbols of the corpus, got 4"):
        TokenStreams(tokens(3), 4, 8, BEGIN)
