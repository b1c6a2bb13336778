"""Decoding: what is drawn has the probabilities that are said, whatever the batch, and however the steps are taken."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqdyn.cell import Noisy
from seqdyn.cells.gru import GRU
from seqdyn.composition import Embedding, Readout, Stack
from seqdyn.data.text import Vocabulary
from seqdyn.decoding import Beam, Chance, Draw, Drawn, Hypothesis, hypotheses
from seqdyn.decoding_strategy import DecodingStrategy, draw_symbol
from seqdyn.files import load, save
from seqdyn.loops import rollout, scan
from seqdyn.state import take
from tests.laws.kinds import Pictures, Tokens

SCORES = torch.tensor([2.0, -1.0, 0.5, 0.5, -3.0, 1.0], dtype=torch.float64)
DECODING_STRATEGIES = [
    DecodingStrategy(),
    DecodingStrategy(temperature=0.5),
    DecodingStrategy(temperature=3.0, top_k=4),
    DecodingStrategy(top_p=0.7),
    DecodingStrategy(temperature=2.0, top_k=5, top_p=0.8),
    DecodingStrategy("greedy"),
]


def tokens() -> Tokens:
    """Five symbols, weights that are always the same."""
    cell = Tokens(5, 4)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(torch.randn(weight.shape, generator=draw))
    return cell.double()


def by_hand(strategy: DecodingStrategy, p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """q, symbol by symbol, in numpy."""
    if strategy.name == "greedy":
        return np.eye(len(p))[p.argmax()]
    q = p ** (1 / strategy.temperature)
    q = q / q.sum()
    order = np.argsort(-q, kind="stable")
    if strategy.top_k is not None:
        q[order[strategy.top_k :]] = 0.0
        q = q / q.sum()
    if strategy.top_p is not None:
        before = 0.0
        for symbol in order:
            now, before = before, before + q[symbol]
            if now >= strategy.top_p:
                q[symbol] = 0.0
        q = q / q.sum()
    return q


@pytest.mark.parametrize("strategy", DECODING_STRATEGIES, ids=str)
def test_the_distribution_is_that_of_its_definition(strategy: DecodingStrategy) -> None:
    """In numpy, and by 100,000 draws within four standard errors."""
    p = torch.softmax(SCORES, 0).numpy()
    q = by_hand(strategy, p)
    found = strategy.log_probabilities(torch.log_softmax(SCORES, 0))
    np.testing.assert_allclose(found.exp(), q, atol=1e-12)
    count = 100_000
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    shares = torch.bincount(draw_symbol(found.expand(count, -1), uniform), minlength=len(q)).numpy() / count
    assert (np.abs(shares - q) <= 4 * np.sqrt(q * (1 - q) / count) + 1e-12).all()


@settings(deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=9), st.floats(0.2, 5), st.integers(1, 12))
def test_what_changes_nothing(scores: list[float], temperature: float, k: int) -> None:
    """τ = 1, k of all symbols and m = 1 are p itself; ties do not change how many are kept; one is always kept."""
    log_p = torch.log_softmax(torch.tensor(scores, dtype=torch.float64), 0)
    plain = DecodingStrategy().log_probabilities(log_p)
    torch.testing.assert_close(plain, log_p)
    for strategy in (DecodingStrategy(top_k=len(scores)), DecodingStrategy(top_p=1.0)):
        torch.testing.assert_close(strategy.log_probabilities(log_p).exp(), log_p.exp())
    kept = DecodingStrategy(temperature=temperature, top_k=k).log_probabilities(log_p) > -math.inf
    assert int(kept.sum()) == min(k, len(scores)) and bool(kept[log_p.argmax()])
    equal = torch.full((5,), -math.log(5))
    assert int((DecodingStrategy(top_k=2).log_probabilities(equal) > -math.inf).sum()) == 2
    assert int((DecodingStrategy(top_p=1e-9).log_probabilities(log_p) > -math.inf).sum()) == 1


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_what_is_impossible_is_never_drawn(uniform: float) -> None:
    """Nor at the borders of its neighbours."""
    log_q = torch.tensor([-math.inf, 0.25, -math.inf, 0.75, -math.inf])
    log_q[[1, 3]] = log_q[[1, 3]].log()
    symbol = int(draw_symbol(log_q, torch.tensor(uniform, dtype=torch.float64)))
    assert symbol == (1 if uniform < 0.25 else 3)


@pytest.mark.parametrize("strategy", DECODING_STRATEGIES, ids=str)
def test_all_at_once_is_step_by_step(strategy: DecodingStrategy) -> None:
    """Teacher-forced, and in closed loop, in one piece or in two: the same symbols, and the same probabilities."""
    cell = tokens()
    model = Drawn(cell, strategy)
    x, chance = torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1]]), model.seeded([5, 6], 4)
    found = scan(model, Noisy(x, chance)).output
    log_p = torch.log_softmax(scan(cell, x).output, -1)
    torch.testing.assert_close(found.log_probability, log_p.gather(-1, found.symbol[..., None])[..., 0])
    log_q = strategy.log_probabilities(log_p)
    torch.testing.assert_close(found.sampler_log_probability, log_q.gather(-1, found.symbol[..., None])[..., 0])
    written, chance = written_by(model, [5, 6, 7], 12)
    again = scan(model, Noisy(torch.cat([torch.zeros(3, 1).long(), written.symbol[:, :-1]], 1), chance)).output
    for one, other in zip(written, again, strict=True):
        torch.testing.assert_close(one, other)


def written_by(model: Drawn, seeds: list[int], time: int) -> tuple[Draw, Chance]:
    """What a model writes after symbol 0, in two pieces."""
    batch, chance = len(seeds), model.seeded(seeds, time)
    nothing = torch.zeros(batch, dtype=torch.float64)
    last, state, pieces = Draw(nothing.long(), nothing, nothing), model.initial_state(batch), []
    for part in (slice(0, 5), slice(5, time)):
        now = Chance(chance.uniform[:, part], None)
        run = rollout(
            model, state, now.uniform.shape[1], last=last, feed=lambda draw, c: Noisy(draw.symbol, c), exogenous=now
        )
        pieces.append(run.output)
        state, last = run.state, Draw(*(leaf[:, -1] for leaf in run.output))
    return Draw(*(torch.cat(leaves, 1) for leaves in zip(*pieces, strict=True))), chance


def test_a_sequence_does_not_depend_on_its_batch() -> None:
    """Its seed says all: alone, with others, in another order."""
    model = Drawn(tokens(), DecodingStrategy(temperature=2.0))
    together, _ = written_by(model, [1, 2, 3], 30)
    for row, seed in enumerate([1, 2, 3]):
        assert torch.equal(written_by(model, [seed], 30)[0].symbol[0], together.symbol[row])
    assert torch.equal(written_by(model, [3, 1, 2], 30)[0].symbol, take(together.symbol, torch.tensor([2, 0, 1])))
    assert not torch.equal(together.symbol[0], together.symbol[1])


def test_a_row_ends_at_its_symbol() -> None:
    """``until`` masks what would come after it."""
    model = Drawn(tokens(), DecodingStrategy(temperature=3.0))
    nothing, chance = torch.zeros(4, dtype=torch.float64), model.seeded([1, 2, 3, 4], 50)
    run = rollout(
        model,
        model.initial_state(4),
        50,
        last=Draw(nothing.long(), nothing, nothing),
        feed=lambda draw, c: Noisy(draw.symbol, c),
        exogenous=chance,
        until=lambda draw: draw.symbol == 2,
    )
    lengths = run.mask.sum(1)
    assert run.mask.shape[1] == int(lengths.max()) < 50
    for row, length in enumerate(lengths.tolist()):
        assert run.output.symbol[row, length - 1] == 2 and 2 not in run.output.symbol[row, : length - 1]


def test_the_probabilities_of_all_texts_sum_to_one() -> None:
    """Three symbols, four steps: the mass of the 81 texts, each teacher-forced through the greedy model, is 1."""
    cell = Readout(GRU(3, 4, generator=torch.Generator().manual_seed(0)), 3).double()
    texts = torch.cartesian_prod(*[torch.arange(3)] * 4)
    x = torch.nn.functional.one_hot(torch.cat([torch.zeros(81, 1).long(), texts[:, :-1]], 1), 3).double()
    log_p = torch.log_softmax(scan(cell, x).output, -1).gather(-1, texts[..., None])[..., 0]
    assert float(log_p.detach().sum(1).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_noise_of_the_inner_cell_comes_along() -> None:
    """Dropout masks of a stack, and the draw's own numbers, from one generator."""
    draw = torch.Generator().manual_seed(0)
    stack = Readout(Stack([GRU(3, 8, generator=draw), GRU(8, 8, generator=draw)], dropout=0.5), 4, generator=draw)
    model, x = Drawn(stack, DecodingStrategy()), torch.randn(2, 6, 3, generator=draw)
    one, other = (model.noise(2, 6, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    first = scan(model, Noisy(x, one)).output
    torch.testing.assert_close(first, scan(model, Noisy(x, one)).output)
    assert not torch.equal(first.log_probability, scan(model, Noisy(x, other)).output.log_probability)
    without = scan(model, Noisy(x, Chance(one.uniform, None))).output
    assert not torch.equal(first.log_probability, without.log_probability)
    alone = model.seeded([8], 6)
    torch.testing.assert_close(
        scan(model, Noisy(x[1:], alone)).output.log_probability[0],
        scan(model, Noisy(x, model.seeded([9, 8], 6))).output.log_probability[1],
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DecodingStrategy("beams"), "strategy must be one of 'sample', 'greedy', got 'beams'"),
        (lambda: DecodingStrategy(temperature=0), "temperature must be a finite number above 0, got 0; .*'greedy'"),
        (lambda: DecodingStrategy(temperature=math.nan), "temperature must be"),
        (lambda: DecodingStrategy(temperature="hot"), "temperature must be"),
        (lambda: DecodingStrategy(top_k=0), "top_k"),
        (lambda: DecodingStrategy(top_p=0.0), r"top_p must be a number in \(0, 1\], got 0.0"),
        (lambda: DecodingStrategy(top_p=1.5), "top_p must be"),
        (lambda: DecodingStrategy("greedy", top_k=3), "strategy='greedy' always takes the likeliest"),
        (lambda: Drawn(Pictures(1, 4, 4)), r"Pictures gives outputs of shape \(1, 4, 4\), and symbols are drawn"),
        (lambda: Drawn(Drawn(Tokens(5, 4))), "Drawn gives outputs of shape None"),
        (lambda: Drawn(Tokens(5, 4)).seeded([1], 0), "time must be"),
    ],
)
def test_what_cannot_be_decoded(call: Any, message: str) -> None:
    """The message says what was given, and the way out."""
    with pytest.raises(ValueError, match=message):
        call()


def test_greedy_needs_no_chance() -> None:
    """And takes the first of equals."""
    found = scan(Drawn(tokens(), DecodingStrategy("greedy")), torch.zeros(1, 3).long()).output
    assert found.symbol.shape == (1, 3) and bool((found.sampler_log_probability == 0).all())
    without = scan(Drawn(tokens(), DecodingStrategy(temperature=2.0)), torch.zeros(1, 3).long()).output
    assert torch.equal(without.symbol, found.symbol)
    equal: Tensor = torch.zeros(4)
    assert int(DecodingStrategy("greedy").log_probabilities(equal).argmax()) == 0


def test_a_decoder_goes_through_a_file(tmp_path: Path) -> None:
    """With its strategy, and the cell inside."""
    cell = Readout(GRU(3, 4, generator=torch.Generator().manual_seed(0)), 3, generator=torch.Generator().manual_seed(1))
    model, x = Drawn(cell, DecodingStrategy(temperature=2.0, top_k=2)), torch.randn(2, 5, 3)
    save(tmp_path / "decoder", model)
    loaded, chance = load(tmp_path / "decoder"), model.seeded([1, 2], 5)
    assert loaded.strategy == model.strategy
    for one, other in zip(scan(model, Noisy(x, chance)).output, scan(loaded, Noisy(x, chance)).output, strict=True):
        assert torch.equal(one, other)


def test_an_embedding_is_one_hot_times_its_weights() -> None:
    """Values, and gradients too; a token that is no symbol is named."""
    draw = torch.Generator().manual_seed(0)
    cell = GRU(3, 4, generator=draw).double()
    model, x = Embedding(cell, 5, generator=draw).double(), torch.tensor([[0, 4, 4, 2]])
    plain = model.weight.detach().clone().requires_grad_()
    vectors = torch.as_tensor(Vocabulary.of("abcde").one_hot(x[0].numpy()))[None]
    one, other = scan(model, x).output, scan(cell, vectors @ plain).output
    torch.testing.assert_close(one, other, rtol=0, atol=1e-14)
    one.square().sum().backward()
    other.square().sum().backward()
    torch.testing.assert_close(model.weight.grad, plain.grad, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="The tokens lie between 0 and 5, but there are 5 symbols, from 0 to 4"):
        scan(model, torch.tensor([[0, 5]]))
    with pytest.raises(ValueError, match="Embedding gives"):
        Embedding(Tokens(5, 4), 5)


# --- beams ------------------------------------------------------------------------------------------------------------


def searched(steps: int, width: int, rows: list[int] | None = None, **options: Any) -> list[list[Hypothesis]]:
    """A search from one start a row, each after its own symbol."""
    cell = tokens()
    beam = Beam(cell, width, longest=steps, **options)
    last = torch.tensor([0, 1, 2, 3] if rows is None else rows)
    begun = beam.fanned(scan(cell, last[:, None]).state)
    run = rollout(
        beam, begun, steps, last=beam.first(last), feed=lambda y, _: y.symbol, until=lambda output: output.over
    )
    return hypotheses(beam, run)


def log_probability(first: int, symbols: tuple[int, ...]) -> float:
    """ln p of symbols after a first one, which the cell has seen twice: teacher-forced, in one pass."""
    cell = tokens()
    x = torch.tensor([[first, first, *symbols[:-1]]])
    log_p = torch.log_softmax(scan(cell, x).output, -1)[0, 1:]
    return float(log_p[range(len(symbols)), list(symbols)].sum().detach())


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("end", [None, 2])
def test_every_hypothesis_has_the_score_of_its_text(end: int | None, alpha: float) -> None:
    """Scored again with the symbols given, each has the probability that the search says."""
    for first, found in enumerate(searched(6, 4, end=end, length_penalty=alpha)):
        assert len({hypothesis.symbols for hypothesis in found}) == len(found) >= 4
        for hypothesis in found:
            expected = log_probability(first, hypothesis.symbols)
            assert hypothesis.log_probability == pytest.approx(expected, rel=1e-9)
            penalty = ((5 + len(hypothesis.symbols)) / 6) ** alpha
            assert hypothesis.score == pytest.approx(expected / penalty, rel=1e-9)
            assert hypothesis.ended == (end is not None and hypothesis.symbols[-1] == end)
            assert end not in hypothesis.symbols[:-1]


def test_one_beam_is_the_greedy_search() -> None:
    """Symbol by symbol, until it ends."""
    for first, found in enumerate(searched(8, 1, end=2)):
        cell = tokens()
        greedy = Drawn(cell, DecodingStrategy("greedy"))
        begun = scan(cell, torch.tensor([[first]])).state
        last = Draw(torch.tensor([first]), torch.zeros(1), torch.zeros(1))
        run = rollout(greedy, begun, 8, last=last, feed=lambda y, _: y.symbol, until=lambda y: y.symbol == 2)
        assert found[0].symbols == tuple(run.output.symbol[0].tolist())


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_for_every_text_is_exhaustive(alpha: float) -> None:
    """Five symbols, one of which ends, at most four of them: all 341 that end, the best first."""
    ended = [
        (*begin, 2) for length in range(4) for begin in itertools.product([0, 1, 3, 4], repeat=length)
    ]  # fmt: skip
    for first, found in enumerate(searched(4, 341, end=2, length_penalty=alpha)):
        scores = {text: log_probability(first, text) / ((5 + len(text)) / 6) ** alpha for text in ended}
        best = sorted(ended, key=scores.__getitem__, reverse=True)
        those = [hypothesis for hypothesis in found if hypothesis.ended]
        assert [hypothesis.symbols for hypothesis in those[:50]] == best[:50]
        assert [hypothesis.score for hypothesis in those] == pytest.approx(
            [scores[text] for text in best[: len(those)]]
        )


def test_a_search_does_not_depend_on_the_others() -> None:
    """Alone, in another order, or beside searches that are over sooner."""
    together = searched(7, 3, end=2, length_penalty=0.5)
    for first in range(4):
        assert searched(7, 3, [first], end=2, length_penalty=0.5) == [together[first]]
    assert searched(7, 3, [3, 1], end=2, length_penalty=0.5) == [together[3], together[1]]


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_it_stops_as_soon_as_nothing_can_change(alpha: float) -> None:
    """What it finds is what it finds without the early end."""
    cell, found = tokens(), []
    for until in (lambda output: output.over, None):
        beam = Beam(cell, 3, end=3, length_penalty=alpha, longest=40)
        last = torch.tensor([0, 1, 3])
        run = rollout(
            beam, beam.initial_state(3), 40, last=beam.first(last), feed=lambda y, _: y.symbol, until=until
        )  # fmt: skip
        steps = 40 if run.mask is None else int(run.mask.sum(1).min())
        found.append(([[h for h in row if h.ended] for row in hypotheses(beam, run)], steps))
    assert found[0][0] == found[1][0] and found[0][1] < found[1][1] == 40


def test_what_is_forbidden_never_comes() -> None:
    """On beams, and in draws of every kind."""
    for found in searched(5, 4, forbidden=(1, 3)):
        assert not {1, 3} & {symbol for hypothesis in found for symbol in hypothesis.symbols}
    log_p = torch.log_softmax(SCORES, 0)
    greedy, few = DecodingStrategy("greedy", forbidden=(0,)), DecodingStrategy(top_k=2, forbidden=(0, 5))
    for strategy in (greedy, few, DecodingStrategy(forbidden=(0,))):
        q = strategy.log_probabilities(log_p).exp()
        assert float(q.sum()) == pytest.approx(1) and not q[list(strategy.forbidden)].any()
    assert int(DecodingStrategy("greedy", forbidden=(0,)).log_probabilities(log_p).argmax()) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be"),
        ({"width": 2, "length_penalty": -1.0}, "length_penalty must be a number of at least 0, got -1.0"),
        ({"width": 2, "longest": 0}, "longest must be"),
    ],
)
def test_what_is_no_beam(options: dict[str, Any], message: str) -> None:
    """The message names it."""
    with pytest.raises(ValueError, match=message):
        Beam(tokens(), **options)
