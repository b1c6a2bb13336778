"""Sequences as one row: every pooling by its definition, with and without padding; encoders side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from seqdyn import GRU, LSTM, Embedding, Encoder, Identity
from seqdyn.encoder import POOLINGS, Ensemble, Pooling
from seqdyn.files import read, write
from seqdyn.training.heads import Averaged, CrossEntropy

LENGTHS = [5, 1, 3]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoder(pooling: str, seed: int = 0, dropout: float = 0.0) -> Encoder:
    """Tokens to three outputs, in both directions."""
    draw = seeded(seed)
    layers = [Embedding(Identity(3), 7, draw), (LSTM(3, 4, generator=draw), LSTM(3, 4, generator=draw))]
    return Encoder(layers, False, dropout, 3, draw, pooling).double()


def padded() -> tuple[Tensor, Tensor]:
    """Three texts and their mask."""
    x = torch.randint(0, 7, (3, 5), generator=seeded(1))
    return x, torch.arange(5) < torch.tensor(LENGTHS)[:, None]


def by_hand(pool: Pooling, rows: Tensor) -> Tensor:
    """The row of one sequence (time, size) without padding; not of ``"last"``, which the encoder knows."""
    if pool.kind == "mean":
        return rows.mean(0)
    if pool.kind == "max":
        return rows.amax(0)
    scores = torch.tanh(rows @ pool.hidden.weight.T + pool.hidden.bias) @ pool.score.weight[0]
    return torch.softmax(scores, 0) @ rows


@pytest.mark.parametrize("kind", POOLINGS)
def test_each_by_its_definition(kind: str) -> None:
    """In a padded batch, with anything in the padding."""
    pool, (_, mask) = Pooling(kind, 4, seeded()).double(), padded()
    rows = torch.randn(3, 5, 4, generator=seeded(2), dtype=torch.float64)
    last = rows[torch.arange(3), torch.tensor(LENGTHS) - 1]
    found = pool(rows, last, mask)
    for row, length in enumerate(LENGTHS):
        expected = last[row] if kind == "last" else by_hand(pool, rows[row, :length])
        torch.testing.assert_close(found[row], expected)
    wild = torch.where(mask.unsqueeze(2), rows, 1e6)
    torch.testing.assert_close(pool(wild, last, mask), found)
    torch.testing.assert_close(pool(rows, last), pool(rows, last, torch.ones(3, 5, dtype=torch.bool)))


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_weights_are_shares(kind: str) -> None:
    """They sum to 1 over the steps that are there, and are 0 in the padding."""
    pool, (_, mask) = Pooling(kind, 4, seeded()).double(), padded()
    weights = pool.weights(torch.randn(3, 5, 4, generator=seeded(3), dtype=torch.float64), mask)
    torch.testing.assert_close(weights.sum(1), torch.ones(3, dtype=torch.float64))
    assert not weights[~mask].any() and (weights[mask] > 0).all()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_sequence_alone_is_as_in_a_batch(pooling: str) -> None:
    """Values and gradients; every parameter has one."""
    network, (x, mask) = encoder(pooling), padded()
    together = network(x, mask).summary
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(network(x[row : row + 1, :length]).summary[0], together[row])
    together.square().sum().backward()
    assert all(bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in network.parameters() if p.requires_grad)


def test_what_is_no_pooling() -> None:
    """The choices are named."""
    with pytest.raises(ValueError, match="pooling must be one of 'last', 'mean', 'max', 'attention', got 'sum'"):
        Encoder([GRU(2, 3)], pooling="sum")


def test_encoders_side_by_side() -> None:
    """Each as alone, one behind the other; masks are drawn for each."""
    members = [encoder("attention", seed, 0.5) for seed in range(3)]
    together, (x, mask) = Ensemble(members), padded()
    found = together(x, mask)
    for k, member in enumerate(members):
        own = member(x, mask)
        torch.testing.assert_close(found.output[..., 3 * k : 3 * k + 3], own.output)
        torch.testing.assert_close(found.summary[:, 3 * k : 3 * k + 3], own.summary)
    weights = torch.stack([member.attention(x, mask) for member in members]).mean(0)
    torch.testing.assert_close(together.attention(x, mask), weights)
    noise = together.train().noise(3, 5, seeded())
    assert not torch.equal(noise[0][0].mask, noise[1][0].mask)
    dropped = together(x, mask, noise)
    torch.testing.assert_close(dropped.summary[:, :3], members[0](x, mask, noise[0]).summary)
    assert together.eval().noise(3, 5, seeded()) is None
    with pytest.raises(ValueError, match="at least, got none"):
        Ensemble([])


def test_the_mean_of_several_heads() -> None:
    """Losses and probabilities are means; the head comes back from a file."""
    head, draw = Averaged(CrossEntropy(3), 4), seeded(4)
    scores = torch.randn(2, 5, 12, generator=draw, dtype=torch.float64)
    target = torch.randint(0, 3, (2, 5, 1), generator=draw)
    each = torch.softmax(scores.unflatten(-1, (4, 3)), -1)
    torch.testing.assert_close(head.probabilities(scores).squeeze(-2), each.mean(-2))
    losses = -each.gather(-1, target.unsqueeze(-1).expand(-1, -1, 4, 1)).log().squeeze(-1)
    torch.testing.assert_close(head.loss(scores, target), losses.mean(-1, keepdim=True))
    torch.testing.assert_close(head.point(scores).squeeze(-1), each.mean(-2).argmax(-1))
    own = head.log_probability(scores, target)
    torch.testing.assert_close(own.exp(), each.mean(-2).gather(-1, target))
    assert head.outputs == 12 and head.provides == {"classes", "density"}


def test_a_head_comes_back_from_a_file(tmp_path: Path) -> None:
    """As it was."""
    write(tmp_path / "head", {"head": Averaged(CrossEntropy(3), 4)})
    assert read(tmp_path / "head")["head"] == Averaged(CrossEntropy(3), 4)
