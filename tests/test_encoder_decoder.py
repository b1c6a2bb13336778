"""Encoder and decoder: gradients of every parameter, searches, padding, coins, and what the winner attended to."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqdyn.cell import Attending
from seqdyn.cells.attention import AttentionDecoder, InputFeeding
from seqdyn.cells.gru import GRU
from seqdyn.cells.hard_attention import HardAttention
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Embedding, Identity
from seqdyn.data.text import Vocabulary
from seqdyn.encoder import Encoder
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.loops import rollout, scan
from seqdyn.scores import Attention, attention_of
from seqdyn.sentences import Sentence, SentencePredictor, padded_rows
from seqdyn.state import hold
from seqdyn.teacher_forcing import TeacherForcing
from seqdyn.training.batches import Batch, Padded, Rows
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.pairs import Forced, Pairs, shift_right

SYMBOLS = Vocabulary(("a", "b", "c"), marks=("end",))  # 4, the fifth token is the beginning
KINDS = ["additive", "dot", "general", "scaled_dot", "multi_head", "hard", "feeding", "layers", None]


def network(kind: str | None, seed: int = 0) -> EncoderDecoder:
    """A small network of one kind, in double precision, nothing zero."""
    g = torch.Generator().manual_seed(seed)
    encoder = Encoder([Embedding(Identity(3), 6, g), (GRU(3, 2, generator=g), GRU(3, 2, generator=g))])
    if kind == "hard":
        hard = HardAttention(GRU(3, 4, generator=g), Attention("general", 4, 4, g), len(SYMBOLS), g)
        decoder = Embedding(hard, 5, g)
    else:
        name = kind if kind in ("additive", "dot", "general", "scaled_dot", "multi_head") else "general"
        attention = attention_of(name, 4, 4, 2, g)
        upper = [LSTM(8, 4, generator=g), LSTM(8, 4, generator=g)] if kind == "layers" else []
        below = 6 if kind == "feeding" else 3
        inner: Any = AttentionDecoder(GRU(below, 4, generator=g), attention, upper, True, 3, generator=g)
        decoder = Embedding(InputFeeding(inner) if kind == "feeding" else inner, 5, g, tied=4)
    found = EncoderDecoder(encoder, decoder, kind is None, g).double()
    for parameter in found.parameters():
        parameter.data.normal_(0, 0.8, generator=g)
    return found.eval()


SOURCES = [torch.tensor(row) for row in ([1, 2, 3, 4], [5], [0, 3], [2, 2, 1])]


def predictor(kind: str | None, longest: int = 5) -> SentencePredictor:
    return SentencePredictor(network(kind), SYMBOLS, longest)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind: str | None) -> None:
    """Also those that make the memory, and the start."""
    model = network(kind)
    x, mask = padded_rows(SOURCES)
    scores = model.forced(x, mask, torch.tensor([[4, 1, 2]] * 4))
    torch.log_softmax(scores, -1)[..., 1].sum().backward()
    for name, parameter in model.named_parameters():
        if kind == "dot" and name == "decoder.cell.attention":
            continue
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        if not (kind is None and "score" in name):  # the softmax of one score is 1
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_the_fused_pass_is_the_rollout_on_its_own_symbols(kind: str | None) -> None:
    """The likeliest symbols step by step, forced, give the same scores; and so does a beam of width 1."""
    model = network(kind)
    padded = padded_rows(SOURCES)
    memory, state = model.encode(padded.value, padded.mask)
    run = rollout(
        model.decoder, state, 5,
        last=torch.nn.functional.one_hot(torch.full((4,), 4), 5).double()[:, :4],
        feed=lambda scores, held: Attending(_token(scores), held), exogenous=hold(memory, 5),
    )  # fmt: skip
    symbols = run.output.argmax(2)
    forced = model.forced(padded.value, padded.mask, shift_right(4, symbols))
    torch.testing.assert_close(forced, run.output, rtol=1e-10, atol=1e-10)
    greedy = predictor(kind).search(padded, 1)
    for row, found in zip(symbols.tolist(), greedy, strict=True):
        cut = row[: row.index(0) + 1] if 0 in row else row
        assert found[0].symbols == tuple(cut)


def _token(scores: Tensor) -> Tensor:
    """The likeliest symbol; before the first there is none, and all scores are 0."""
    return torch.where(scores.abs().sum(1) > 0, scores.argmax(1), 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_that_covers_everything_is_exhaustive(kind: str | None, alpha: float) -> None:
    """Of all sentences of up to three symbols and an end it finds the best; their ln p is that of forcing them."""
    own = predictor(kind, longest=4)
    ended = [(*row, 0) for n in range(4) for row in itertools.product([1, 2, 3], repeat=n)]
    source = padded_rows(SOURCES[:1] * len(ended))
    log_p = own.log_probabilities(source, [torch.tensor(row) for row in ended])
    scores = {row: float(p.sum()) / ((5 + len(row)) / 6) ** alpha for row, p in zip(ended, log_p, strict=True)}
    best = sorted(ended, key=scores.__getitem__, reverse=True)
    found = [one for one in own.search(padded_rows(SOURCES[:1]), 4**4, alpha)[0] if one.ended]
    assert [one.symbols for one in found] == best
    for one in found:
        assert one.score == pytest.approx(scores[one.symbols], abs=1e-9)
        np.testing.assert_allclose(one.log_probabilities, log_p[ended.index(one.symbols)], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_is_each_sentence_alone(kind: str | None) -> None:
    """Searches with their scores, ln p, and weights."""
    own = predictor(kind)
    targets = [torch.tensor(row) for row in ([1, 2, 0], [0], [3, 3, 3, 1, 0], [2, 0])]
    together = (own.search(padded_rows(SOURCES), 3, 0.6, 0.2), own.log_probabilities(padded_rows(SOURCES), targets))
    weights = own.weights(padded_rows(SOURCES), targets)
    for number, source in enumerate(SOURCES):
        alone = padded_rows([source])
        one = own.search(alone, 3, 0.6, 0.2)[0]
        assert [found.symbols for found in one] == [found.symbols for found in together[0][number]]
        assert [found.score for found in one] == pytest.approx([found.score for found in together[0][number]])
        np.testing.assert_allclose(own.log_probabilities(alone, [targets[number]])[0], together[1][number], atol=1e-12)
        np.testing.assert_allclose(own.weights(alone, [targets[number]])[0], weights[number], atol=1e-12)
        width = 1 if kind is None else len(source)
        assert weights[number].shape == (len(targets[number]), width)
        np.testing.assert_allclose(weights[number].sum(1), 1.0, atol=1e-12)


@pytest.mark.parametrize("kind", ["general", "feeding", "layers", "multi_head"])
def test_the_winner_attended_to_what_forcing_its_words_attends_to(kind: str) -> None:
    """The weights along its beam, step by step, are those of one forced pass."""
    own = predictor(kind)
    best = own.search(padded_rows(SOURCES[:1]), 3)[0][0]
    memory, state = own.network.encode(SOURCES[:1][0][None])
    seen, rows = [4, *best.symbols[:-1]], []
    for token in seen:
        x = Attending(torch.tensor([token]), memory)
        output, after = own.network.decoder(x, state)
        rows.append(own.network.decoder.gates(x, state, output, after)["attention"][0])
        state = after
    (forced,) = own.weights(padded_rows(SOURCES[:1]), [torch.tensor(best.symbols)])
    np.testing.assert_allclose(forced, torch.stack(rows).detach().numpy(), atol=1e-12)


def test_the_coverage_penalty_orders_what_was_found() -> None:
    """β Σ ln min(Σ α, 1) is added to every score, and the best comes first."""
    own = predictor("general")
    plain, covered = own.search(padded_rows(SOURCES), 4), own.search(padded_rows(SOURCES), 4, coverage_penalty=2.0)
    moved = 0
    for number, (before, after) in enumerate(zip(plain, covered, strict=True)):
        expected: dict[tuple[int, ...], float] = {}
        for one in before:
            (alpha,) = own.weights(padded_rows([SOURCES[number]]), [torch.tensor(one.symbols)])
            expected[one.symbols] = one.score + 2.0 * float(np.log(np.minimum(alpha.sum(0), 1.0)).sum())
        assert {one.symbols: one.score for one in after} == pytest.approx(expected)
        ended = [one.score for one in after if one.ended]
        assert ended == sorted(ended, reverse=True)
        moved += [one.symbols for one in before] != [one.symbols for one in after]
    assert moved


def test_sentences_as_they_are_kept() -> None:
    """Text without its mark, and ln p as the sum of those of its symbols."""
    found: Sentence = predictor("general").search(padded_rows(SOURCES), 2)[0][0]
    assert found.text == "".join(SYMBOLS.labels[k] for k in found.symbols if k)
    assert found.log_probability == pytest.approx(sum(found.log_probabilities))


# --- the objective ----------------------------------------------------------------------------------------------------


def batch() -> Batch:
    targets = [torch.tensor(row) for row in ([1, 2, 0], [0], [3, 3, 3, 1, 0], [2, 0])]
    pairs = Pairs(Rows.of(SOURCES), Rows.of(targets), 4)
    return next(iter(pairs.epoch(torch.Generator().manual_seed(0))))


def test_the_loss_is_the_mean_over_symbols_with_the_end() -> None:
    """−ln p of all symbols that are there, each sentence alone, divided by their number."""
    own, given = predictor("general"), batch()
    with torch.no_grad():
        passed = Forced(CrossEntropy(4), 4)(own.network, given, None, torch.Generator(), 0.0)
    sources = Padded(given.x, given.mask)
    lengths = given.y.mask.sum(1).tolist()
    log_p = own.log_probabilities(sources, [row[:n] for row, n in zip(given.y.value, lengths, strict=True)])
    assert float(passed.loss) == pytest.approx(-np.concatenate(log_p).mean())
    assert float(passed.weight) == sum(lengths)


def test_coins_decide_what_the_decoder_sees() -> None:
    """With a share of 1 it is the fused pass; with 0 the decoder's own symbols; both by the same loop in between."""
    own, given = network("general").train(), batch()
    x, mask, seen = given.x, given.mask, shift_right(4, given.y.value)
    ones = torch.ones(seen.shape, dtype=torch.float64)
    torch.testing.assert_close(own.partly_forced(x, mask, seen, ones, None), own.forced(x, mask, seen))
    none = ones * 0
    none[:, 0] = 1.0
    free = own.partly_forced(x, mask, seen, none, None)
    torch.testing.assert_close(free, own.forced(x, mask, shift_right(4, free.argmax(2))))
    draw = torch.Generator().manual_seed(1)
    losses = [
        Forced(CrossEntropy(4), 4, TeacherForcing(share))(own, given, None, draw, 0.0).loss.item()
        for share in (1.0, 0.0)
    ]
    expected = [CrossEntropy(4).loss(output, given.y.value) for output in (own.forced(x, mask, seen), free)]
    weight = given.weight
    assert losses == pytest.approx([((one * weight).sum() / weight.sum()).item() for one in expected])


def test_a_decoder_without_attention() -> None:
    """It is refused; to see one summary is summarised=True."""
    encoder = Encoder([Embedding(Identity(3), 6), GRU(3, 2)])
    with pytest.raises(ValueError, match="Embedding reads no memory"):
        EncoderDecoder(encoder, Embedding(GRU(3, 4), 5))
    assert scan(Embedding(GRU(3, 4), 5), torch.tensor([[1]])).output.shape == (1, 1, 4)


def test_only_hard_attention_is_explored() -> None:
    """What looks at a mixture is named."""
    with pytest.raises(TypeError, match="AttentionDecoder does not look at one row at a time: take HardAttention"):
        network("general").explored(SOURCES[0][None], None, torch.tensor([[4]]), torch.tensor([[0.5]]), None)
