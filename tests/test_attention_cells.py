"""Cells that attend: their equations by hand, a transformer as a recurrence, hard attention summed over all paths."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqdyn.cell import Attending
from seqdyn.cells.attention import AttentionDecoder, ContextInput, InputFeeding
from seqdyn.cells.gru import GRU
from seqdyn.cells.hard_attention import HardAttention, drawn_position
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.window_attention import WindowAttention
from seqdyn.composition import Offset, Readout, Residual, Stack
from seqdyn.loops import scan
from seqdyn.scores import Attention, attention_of
from seqdyn.state import detach, hold
from tests.laws.laws import loop


def random(module: Any, seed: int = 0) -> Any:
    """The module in double precision, nothing zero."""
    draw = torch.Generator().manual_seed(seed)
    module = module.double()
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.5, generator=draw)
    return module


def rows(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- a decoder --------------------------------------------------------------------------------------------------------


def test_a_step_is_its_equations() -> None:
    """s, α, c, the upper layer that sees c, and y = tanh(W [u; c] + b)."""
    attention = attention_of("general", 4, 3)
    decoder = random(AttentionDecoder(GRU(2, 4), attention, [LSTM(7, 4)], residual=True, output_size=5))
    x, memory, state = rows(2, 2), attention.memory(rows(2, 6, 3, seed=2)), decoder.initial_state(2)
    output, after = decoder(Attending(x, memory), state)
    s, lower = decoder.lower(x, state.lower)
    alpha = torch.softmax(torch.einsum("bq,qm,bjm->bj", s, attention.score.weight, memory.values), 1)
    c = torch.einsum("bj,bjm->bm", alpha, memory.values)
    u, upper = decoder.upper[0](torch.cat([s, c], 1), state.upper[0])
    expected = torch.tanh(torch.cat([u + s, c], 1) @ decoder.join.weight.T + decoder.join.bias)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close((after.lower.h, after.upper[0].c), (lower.h, upper.c))
    gates = decoder.gates(Attending(x, memory), state, output, after)
    torch.testing.assert_close(gates["attention"], alpha)


def test_the_context_as_an_input_is_its_equations() -> None:
    """The state before asks, the step sees the answer, and what is read sees both."""
    attention = attention_of("additive", 4, 3)
    cell = random(ContextInput(GRU(5, 4), attention, output_size=2))
    x, memory, last = rows(2, 5, 2), attention.memory(rows(2, 6, 3, seed=2)), torch.zeros(2, 4).double()
    state, outputs, maps = cell.cell.initial_state(2), [], []
    for t in range(5):
        hidden = torch.tanh((last @ attention.score.query.weight.T + attention.score.query.bias)[:, None] + memory.keys)
        alpha = torch.softmax(hidden @ attention.score.score[0], 1)
        c = torch.einsum("bj,bjm->bm", alpha, memory.values)
        last, state = cell.cell(torch.cat([x[:, t], c], 1), state)
        outputs.append(torch.tanh(torch.cat([last, c], 1) @ cell.join.weight.T + cell.join.bias))
        maps.append(alpha)
    run = scan(cell, Attending(x, hold(memory, 5)), record=cell.gates)
    torch.testing.assert_close(run.output, torch.stack(outputs, 1))
    torch.testing.assert_close(run.record["attention"], torch.stack(maps, 1))
    with pytest.raises(ValueError, match="it must take its inputs, and the 3 of the context"):
        ContextInput(GRU(2, 4), Attention("general", 4, 3))


def test_input_feeding_is_its_equation() -> None:
    """The cell sees [x_t; y_{t-1}], at first zeros."""
    cell = random(GRU(5, 3))
    x = rows(2, 4, 2)
    last, state, outputs = torch.zeros(2, 3).double(), cell.initial_state(2), []
    for t in range(4):
        last, state = cell(torch.cat([x[:, t], last], 1), state)
        outputs.append(last)
    torch.testing.assert_close(scan(InputFeeding(cell), x).output, torch.stack(outputs, 1))


def test_what_does_not_fit() -> None:
    """Widths, and a memory that is missing or too much, are named."""
    attention = Attention("general", 4, 3)
    with pytest.raises(ValueError, match="asks with rows 4 wide, but GRU gives \\(5,\\)"):
        AttentionDecoder(GRU(2, 5), attention)
    with pytest.raises(ValueError, match="Upper layer 0 \\(GRU\\) takes \\(4,\\), expected the 4 outputs.*\\(7,\\)"):
        AttentionDecoder(GRU(2, 4), attention, [GRU(4, 4)])
    with pytest.raises(ValueError, match="outputs behind them"):
        InputFeeding(GRU(2, 4))
    square = AttentionDecoder(GRU(4, 4), attention)
    for build in (
        lambda: Residual(square),
        lambda: Offset(square),
        lambda: Readout(square, 2, skip=True),
        lambda: Stack([GRU(2, 4), square]),
    ):
        with pytest.raises(ValueError):
            build()
    decoder = AttentionDecoder(GRU(2, 4), attention)
    with pytest.raises(ValueError, match=r"AttentionDecoder expects seqdyn.cell.Attending\(x, hold\(memory, time\)\)"):
        scan(decoder, torch.zeros(1, 3, 2))
    given = Attending(torch.zeros(1, 3, 2), hold(attention.memory(torch.zeros(1, 2, 3)), 3))
    with pytest.raises(ValueError, match="x is a Attending, but GRU expects no memory"):
        scan(GRU(2, 4), given)
    with pytest.raises(ValueError, match="expects \\(batch, time, 2\\)"):
        scan(decoder, given._replace(x=torch.zeros(1, 3, 5)))


# --- a window of the own past -----------------------------------------------------------------------------------------


def test_a_transformer_layer_is_a_recurrence() -> None:
    """Torch's own encoder layer with a causal mask, from the same weights, to 1e-10."""
    size, heads, time = 6, 2, 9
    cell = random(WindowAttention(size, window=time, heads=heads, inner_size=10))
    cell.position.data.zero_()  # torch's layer has no positions
    peer = nn.TransformerEncoderLayer(size, heads, 10, 0.0, batch_first=True, norm_first=True).double()
    own = peer.self_attn
    own.in_proj_weight.data.copy_(torch.cat([cell.query.weight, cell.key, cell.value.weight]))
    own.in_proj_bias.data.copy_(torch.cat([cell.query.bias, torch.zeros(size), cell.value.bias]))
    copies = [
        (own.out_proj, cell.join), (peer.linear1, cell.rise), (peer.linear2, cell.fall),
        (peer.norm1, cell.before), (peer.norm2, cell.between),
    ]  # fmt: skip
    for theirs, ours in copies:
        theirs.weight.data.copy_(ours.weight)
        theirs.bias.data.copy_(ours.bias)
    x = rows(3, time, size)
    expected = peer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(time, dtype=torch.float64))
    torch.testing.assert_close(scan(cell, x).output, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(loop(cell, x).output, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("window", [1, 2, 7, 300])
def test_the_matrix_is_the_recurrence(window: int) -> None:
    """Values and gradients of two layers, over more than one stretch of the kernel, from a state that has seen some."""
    time = 150
    two = random(Stack([WindowAttention(4, window, heads=2), WindowAttention(4, 3)]))
    before = detach(scan(two, rows(2, 5, 4, seed=3)).state)
    grads = []
    for run in (scan, loop):
        x = rows(2, time, 4).requires_grad_()
        output, state = run(two, x, before)[:2]
        weights = rows(2, time, 4, seed=4)
        grads.append((output, state, torch.autograd.grad((output * weights).sum(), [x, *two.parameters()])))
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-10, atol=1e-10)


def test_nothing_before_the_window_is_seen() -> None:
    """What came more than n − 1 steps ago changes nothing; what came n − 1 steps ago does."""
    cell = random(WindowAttention(4, window=5))
    x = rows(1, 12, 4)
    for lag in range(12):
        other = x.clone()
        other[:, 11 - lag, 0] += 1.0
        moved = bool((scan(cell, other).output[:, 11] != scan(cell, x).output[:, 11]).any())
        assert moved == (lag < 5)


# --- hard attention ---------------------------------------------------------------------------------------------------


def hard(symbols: int = 4) -> tuple[HardAttention, Tensor, Any]:
    """A decoder, its inputs, and a memory of three rows, the last of them not there for the second sequence."""
    attention = Attention("general", 5, 3)
    cell = random(HardAttention(GRU(2, 5), attention, symbols))
    return cell, rows(2, 3, 2), attention.memory(rows(2, 3, 3, seed=2), torch.tensor([[True] * 3, [True, True, False]]))


def test_the_marginal_is_the_sum_over_all_paths() -> None:
    """ln p(y) step by step is the sum over the 27 paths of places that may be looked at."""
    cell, x, memory = hard()
    scores = scan(cell, Attending(x, hold(memory, 3))).output
    torch.testing.assert_close(scores.exp().sum(2), torch.ones(2, 3).double())
    target = torch.tensor([[1, 0, 3], [2, 2, 0]])
    found = scores.gather(2, target.unsqueeze(2)).sum((1, 2))
    query = scan(cell.lower, x).output
    alpha = cell.attention(query, memory).weights
    total = torch.zeros(2).double()
    for path in itertools.product(range(3), repeat=3):
        chosen = torch.tensor(path).expand(2, 3)
        looked = cell.look(memory.values.gather(1, chosen.unsqueeze(2).expand(-1, -1, 3)))
        log_p = torch.log_softmax(cell.readout(torch.tanh(cell.ask(query) + looked)), 2)
        own = log_p.gather(2, target.unsqueeze(2)).squeeze(2)
        total += (alpha.gather(2, chosen.unsqueeze(2)).squeeze(2).log() + own).sum(1).exp()
    torch.testing.assert_close(found, total.log())


def test_padding_is_not_in_the_marginal() -> None:
    """Not even where what is there is very unlikely: in single precision the rest would be e^−87."""
    attention = Attention("general", 5, 3)
    cell = random(HardAttention(GRU(2, 5), attention, 4)).float()
    for parameter in cell.parameters():
        parameter.data.mul_(60)
    there, found = torch.tensor([[True, True, False]]), []
    for padding in (0.0, 40.0):
        memory = rows(1, 3, 3, seed=2).float()
        memory[0, 2] = padding
        x = Attending(rows(1, 3, 2).float(), hold(attention.memory(memory, there), 3))
        found.append(scan(cell, x).output)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    assert found[0].isfinite().all()


def test_what_is_explored_is_drawn_from_the_weights() -> None:
    """Of 40,000 looks the shares lie within four standard errors of α; none falls on what is not there."""
    cell, x, memory = hard()
    many = 40_000
    uniform = torch.rand(2, many, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    held = Attending(hold(x[:, 0], many), hold(memory, many))
    alpha = cell.attention(cell.lower(x[:, 0], cell.initial_state(2))[0], memory).weights
    first = drawn_position(alpha.unsqueeze(1).expand(-1, many, -1), uniform)
    share = torch.nn.functional.one_hot(first, 3).double().mean(1)
    error = (alpha * (1 - alpha) / many).sqrt()
    assert ((share - alpha).abs() <= 4 * error + 1e-12).all() and share[1, 2] == 0
    explored = cell.explore(held, cell.initial_state(2), uniform)
    torch.testing.assert_close(explored.scores.exp().sum(2), torch.ones(2, many).double())
    assert explored.position[1].max() == 1 and explored.log_weight.isfinite().all()
