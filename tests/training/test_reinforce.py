"""Policy gradients of hard attention: against exact enumeration, with and without a baseline."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from seqdyn.cells.gru import GRU
from seqdyn.cells.hard_attention import Explored, HardAttention
from seqdyn.composition import Embedding, Identity
from seqdyn.encoder import Encoder
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.scores import Attention
from seqdyn.training.batches import Batch, Rows
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.pairs import Forced, Pairs, shift_right, source_mask
from seqdyn.training.reinforce import Reinforce

BEGIN, SYMBOLS, HEAD = 4, 4, CrossEntropy(4)
LENGTH = 3


def setting() -> tuple[EncoderDecoder, Batch]:
    """Three places to look at, three steps, in double precision."""
    g = torch.Generator().manual_seed(3)
    encoder = Encoder([Embedding(Identity(3), 6, g), GRU(3, 3, generator=g)])
    hard = HardAttention(GRU(3, 4, generator=g), Attention("general", 4, 3, g), SYMBOLS, g)
    network = EncoderDecoder(encoder, Embedding(hard, 5, g), generator=g).double()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.9, generator=g)
    pairs = Pairs(Rows.of([torch.tensor([1, 5, 2])]), Rows.of([torch.tensor([3, 1, 0])]), 1)
    return network, next(iter(pairs.epoch(g)))


def flat(loss: Tensor, network: EncoderDecoder) -> Tensor:
    """The gradient as one row."""
    own = list(network.parameters())
    found = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([one.flatten() for one in found])


def explored(network: EncoderDecoder, batch: Batch, path: tuple[int, ...]) -> Explored:
    """What the decoder gives along a path, by uniform numbers that lead there."""
    seen, mask = shift_right(BEGIN, batch.y.value), source_mask(batch)
    middle = torch.full(seen.shape, 0.5, dtype=torch.float64)
    query = network.explored(batch.x, mask, seen, middle, None).query
    alpha = network.attention(query, network.encode(batch.x, mask).memory).weights.detach()
    place = torch.tensor(path)[None, :, None].expand(len(seen), -1, 1)
    uniform = (alpha.cumsum(2).gather(2, place) - alpha.gather(2, place) / 2).squeeze(2)
    return network.explored(batch.x, mask, seen, uniform, None)


def parts(network: EncoderDecoder, batch: Batch, path: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """C_t, ln α_t and s_t along a path."""
    found = explored(network, batch, path)
    assert found.position[0].tolist() == list(path)
    return HEAD.loss(found.scores, batch.y.value), found.log_weight, found.query


PATHS = list(itertools.product(range(3), repeat=LENGTH))


def test_the_expected_gradient_is_that_of_the_expected_cost() -> None:
    """Over all 27 paths Σ p ĝ = ∂ Σ p C, with no baseline and with any that does not see the choice; no tolerance of
    chance. The sign of the score part is tested alone, too: it is not small."""
    network, batch = setting()
    walked = [parts(network, batch, path) for path in PATHS]
    p = [log_weight.sum().exp() for _, log_weight, _ in walked]
    assert sum(p).item() == pytest.approx(1.0)
    expected = flat(sum(own * cost.mean() for own, (cost, _, _) in zip(p, walked, strict=True)), network)
    for learnt in (False, True):
        objective = Reinforce(HEAD, BEGIN, 4 if learnt else None, torch.Generator().manual_seed(5)).double()
        values = [objective.values(explored(network, batch, path), batch.y.value).mean() for path in PATHS]
        found = flat(sum(own.detach() * value for own, value in zip(p, values, strict=True)), network)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
        pathwise = flat(sum(own.detach() * cost.mean() for own, (cost, _, _) in zip(p, walked, strict=True)), network)
        assert (found - pathwise).norm() > 0.05 * expected.norm()  # the score part is not small
        assert sum(own * value for own, value in zip(p, values, strict=True)).item() == pytest.approx(
            sum(own * cost.mean() for own, (cost, _, _) in zip(p, walked, strict=True)).item()
        )  # the value is the cost


def test_padding_of_both_sides_changes_nothing() -> None:
    """Two pairs of unlike lengths side by side: the loss is the weighted mean of each alone, whatever stands behind."""
    network, _ = setting()
    sources, targets = [torch.tensor([1, 5, 2]), torch.tensor([4])], [torch.tensor([3, 1, 0]), torch.tensor([2])]
    both = next(iter(Pairs(Rows.of(sources), Rows.of(targets), 2).epoch(torch.Generator().manual_seed(0))))
    objective = Reinforce(HEAD, BEGIN, 4, torch.Generator().manual_seed(5)).double()

    class Fixed(EncoderDecoder):
        """Looks at the first row always."""

        def explored(self, x: Any, mask: Any, seen: Any, uniform: Tensor, noise: Any) -> Explored:
            return super().explored(x, mask, seen, uniform * 0, noise)

    network.__class__ = Fixed
    together = objective(network, both, None, torch.Generator(), 0.0)
    alone = [
        objective(network, next(iter(Pairs(Rows.of([x]), Rows.of([y]), 1).epoch(torch.Generator()))), None,
                  torch.Generator(), 0.0)
        for x, y in zip(sources, targets, strict=True)
    ]  # fmt: skip
    expected = sum(one.loss * one.weight for one in alone) / 4
    torch.testing.assert_close(together.loss, expected)
    torch.testing.assert_close(flat(together.loss, network), flat(expected, network))
    other = both._replace(
        x=torch.where(both.mask, both.x, 3), y=both.y._replace(value=torch.where(both.y.mask, both.y.value, 1))
    )
    again = objective(network, other, None, torch.Generator(), 0.0)
    torch.testing.assert_close(again.loss, together.loss)
    torch.testing.assert_close(flat(again.loss, network), flat(together.loss, network))


def estimates(baseline: bool, count: int = 1500) -> tuple[Tensor, EncoderDecoder, Batch]:
    """Gradients of the objective as the trainer draws them, one row a draw; the baseline learnt before."""
    network, batch = setting()
    objective = Reinforce(HEAD, BEGIN, 4 if baseline else None, torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    if baseline:
        learn = torch.optim.Adam(objective.parameters(), 0.05)
        for _ in range(400):
            learn.zero_grad()
            objective(network, batch, None, generator, 0.0).loss.backward()
            learn.step()
    rows = [flat(objective(network, batch, None, generator, 0.0).loss, network) for _ in range(count)]
    return torch.stack(rows), network, batch


def test_reinforce_is_unbiased_and_a_baseline_halves_its_variance() -> None:
    """Of 1,500 draws the mean lies within four standard errors of the truth in every coordinate."""
    plain, network, batch = estimates(False)
    learnt, *_ = estimates(True)
    walked = [parts(network, batch, path) for path in PATHS]
    truth = flat(sum(w.sum().exp() * cost.mean() for cost, w, _ in walked), network)
    for drawn in (plain, learnt):
        error = drawn.std(0) / len(drawn) ** 0.5
        live = error > 1e-12
        assert ((drawn.mean(0) - truth)[~live].abs() < 1e-10).all()
        assert float(((drawn.mean(0) - truth)[live] / error[live]).abs().max()) < 4.0
    assert float(learnt.var(0).sum()) < 0.5 * float(plain.var(0).sum())


def test_the_cost_bounds_the_likelihood() -> None:
    """E[C] ≥ −ln Σ p(y | j): the exact marginal is never above what REINFORCE minimises."""
    network, batch = setting()
    walked = [parts(network, batch, path) for path in PATHS]
    cost = sum(w.sum().exp().item() * c.mean().item() for c, w, _ in walked)
    exact = Forced(HEAD, BEGIN)(network, batch, None, torch.Generator(), 0.0).loss.item()
    assert exact < cost
    objective = Reinforce(HEAD, BEGIN, None)
    generator = torch.Generator().manual_seed(0)
    drawn = [objective(network, batch, None, generator, 0.0).loss.item() for _ in range(600)]
    error = torch.tensor(drawn).std() / len(drawn) ** 0.5
    assert abs(torch.tensor(drawn).mean() - cost) < 4 * error
