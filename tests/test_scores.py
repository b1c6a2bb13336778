"""Attention: by hand, beside torch's own, with padding, and what no order of a memory changes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqdyn.scores import (
    SCORES,
    Additive,
    Attention,
    Dot,
    General,
    MultiHead,
    Reader,
    attention_of,
    softmax_over,
)

KINDS = [*SCORES, "multi_head"]


def reader(kind: str, width: int = 4, seed: int = 0) -> Reader:
    """Attention of one kind, in double precision, nothing zero."""
    draw = torch.Generator().manual_seed(seed)
    attention = attention_of(kind, 4, width, 2, draw).double()
    for parameter in attention.parameters():
        parameter.data.normal_(0, 0.5, generator=draw)
    return attention


def rows(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_score_by_hand() -> None:
    """vᵀ tanh(W q + U k), qᵀ k, qᵀ W k, qᵀ k / √d, one pair at a time."""
    query, memory = rows(2, 3, 4), rows(2, 5, 4, seed=2)
    for kind in SCORES:
        score = reader(kind).score
        found = score(query, score.keys(memory))
        for b in range(2):
            for t in range(3):
                for j in range(5):
                    q, k = query[b, t], memory[b, j]
                    if isinstance(score, Additive):
                        expected = score.score[0] @ torch.tanh(
                            score.query.weight @ q + score.query.bias + score.key @ k
                        )
                    elif isinstance(score, General):
                        expected = q @ score.weight @ k
                    else:
                        assert isinstance(score, Dot)
                        expected = q @ k / (2.0 if kind == "scaled_dot" else 1.0)
                    torch.testing.assert_close(found[b, t, j], expected, rtol=0, atol=1e-12)


def test_the_scaled_product_is_torchs() -> None:
    """With padding, as torch's function masks it."""
    attention, query, memory = reader("scaled_dot"), rows(2, 3, 4), rows(2, 5, 4, seed=2)
    there = torch.arange(5) < torch.tensor([[5], [3]])
    expected = nn.functional.scaled_dot_product_attention(query, memory, memory, attn_mask=there.unsqueeze(1))
    torch.testing.assert_close(attention(query, attention.memory(memory, there)).context, expected)


def test_several_heads_are_torchs() -> None:
    """The same weights in torch.nn.MultiheadAttention give the same contexts and mean weights."""
    attention, query, memory = reader("multi_head", 6), rows(2, 3, 4), rows(2, 5, 6, seed=2)
    there = torch.arange(5) < torch.tensor([[5], [3]])
    peer = nn.MultiheadAttention(4, 2, kdim=6, vdim=6, batch_first=True).double()
    for name, own in (
        ("q_proj_weight", attention.query.weight),
        ("k_proj_weight", attention.key),
        ("v_proj_weight", attention.value.weight),
    ):
        getattr(peer, name).data.copy_(own)
    peer.in_proj_bias.data.copy_(torch.cat([attention.query.bias, torch.zeros(4), attention.value.bias]))
    peer.out_proj.weight.data.copy_(attention.output.weight)
    peer.out_proj.bias.data.copy_(attention.output.bias)
    context, weights = peer(query, memory, memory, key_padding_mask=~there)
    found = attention(query, attention.memory(memory, there))
    torch.testing.assert_close(found.context, context)
    torch.testing.assert_close(found.weights, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_one_over_what_is_there(kind: str) -> None:
    """Exactly 0 at padding, whatever stands there; a memory of one row weighs 1; one of none says nothing."""
    attention, query, memory = reader(kind), rows(3, 2, 4), rows(3, 5, 4, seed=2)
    there = torch.arange(5) < torch.tensor([[5], [1], [0]])
    found = attention(query, attention.memory(memory, there))
    torch.testing.assert_close(found.weights.sum(2), torch.tensor([[1.0], [1.0], [0.0]]).expand(3, 2).double())
    assert found.weights[1:, :, 1:].eq(0).all() and found.weights[2].eq(0).all()
    for padding in (1e3, torch.nan):
        other = torch.where(there.unsqueeze(2), memory, padding).requires_grad_()
        context = attention(query, attention.memory(other, there)).context
        torch.testing.assert_close(context, found.context, rtol=0, atol=0)
        assert torch.autograd.grad(context.sum(), other)[0].isfinite().all()
    if kind != "multi_head":
        torch.testing.assert_close(found.context[1], memory[1, :1].expand(2, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_a_memory_does_not_matter(kind: str) -> None:
    """Rows in another order: the same context, the weights in that order."""
    attention, query, memory, order = reader(kind), rows(2, 3, 4), rows(2, 5, 4, seed=2), [3, 0, 4, 1, 2]
    one, other = (attention(query, attention.memory(part)) for part in (memory, memory[:, order]))
    torch.testing.assert_close(other.context, one.context)
    torch.testing.assert_close(other.weights, one.weights[:, :, order])


@pytest.mark.parametrize("kind", KINDS)
def test_one_query_or_many(kind: str) -> None:
    """A step reads what the whole sequence reads there; all gradients are those of finite differences."""
    attention, query, memory = reader(kind), rows(2, 3, 4), rows(2, 5, 4, seed=2)
    own = attention.memory(memory)
    together = attention(query, own)
    for t in range(3):
        alone = attention(query[:, t], own)
        torch.testing.assert_close(alone.context, together.context[:, t])
        torch.testing.assert_close(alone.weights, together.weights[:, t])
    there = torch.arange(5) < torch.tensor([[5], [2]])

    def context(query: Tensor, memory: Tensor) -> Tensor:
        return attention(query, attention.memory(memory, there)).context

    assert torch.autograd.gradcheck(context, (query.requires_grad_(), memory.requires_grad_()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_that_is_not_held_is_named(kind: str) -> None:
    """Read step by step it would be one row."""
    attention, memory = reader(kind), rows(1, 4, 4)
    with pytest.raises(
        ValueError, match=r"keys of shape \(1, 4\), expected \(batch, source, ·\).*hold\(memory, time\)"
    ):
        attention(rows(1, 4), type(attention.memory(memory))(*(leaf[:, 0] for leaf in attention.memory(memory))))


def test_nothing_there_has_no_gradient_that_is_not_finite() -> None:
    """A row without any key gives zeros and gradients of zero, not NaN."""
    scores = torch.tensor([[0.3, -2.0]], requires_grad=True)
    softmax_over(scores, torch.zeros(1, 2, dtype=torch.bool)).sum().backward()
    assert scores.grad.eq(0).all()


def test_widths_that_do_not_fit() -> None:
    """Products need one width, heads have to divide it, and names are known."""
    with pytest.raises(ValueError, match="queries as wide as the memory, got 4 and 6.*general"):
        Attention("dot", 4, 6)
    with pytest.raises(ValueError, match="3 heads do not divide queries 4 wide"):
        MultiHead(3, 4, 4)
    with pytest.raises(ValueError, match="attention must be"):
        Attention("soft", 4, 4)
