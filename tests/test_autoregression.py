"""Own past: one cell for closed loops, gaps and every kind of teacher forcing; all of them are data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqdyn.autoregression import Autoregression, Columns, OwnPast, Past
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.composition import Readout
from seqdyn.delay_line import DelayLine
from seqdyn.loops import rollout, scan
from seqdyn.teacher_forcing import SCHEDULES, TeacherForcing, as_teacher_forcing
from tests.laws.kinds import Tokens
from tests.laws.laws import close

Array = np.ndarray


def network(inputs: int = 2, outputs: int = 2) -> Cell:
    generator = torch.Generator().manual_seed(0)
    return Readout(GRU(inputs, 5, generator=generator), outputs, generator=generator).double()


def values(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def known(shares: list[float]) -> Tensor:
    return torch.tensor(shares, dtype=torch.float64).view(1, -1, 1).expand(3, len(shares), 2)


@pytest.mark.parametrize("shares", [[1.0, 0, 0, 1, 1, 0.3, 0.3, 0, 1], [0.25] * 9, [0.0] * 9, [1.0] * 9])
def test_the_past_is_mixed_as_the_equation_says(shares: list[float]) -> None:
    """v_t = k_t y_{t-1} + (1 − k_t) ŷ_{t-1}, written out as a loop by hand."""
    cell, y = network(), values(3, 9, 2)
    found = scan(OwnPast(cell), Past(y, known(shares)))
    state, last, expected = cell.initial_state(3), torch.zeros(3, 2, dtype=torch.float64), []
    for t, share in enumerate(shares):
        last, state = cell(share * y[:, t] + (1 - share) * last, state)
        expected.append(last)
    close(found.output, torch.stack(expected, 1), "output")
    close(found.state.inner, state, "state")
    close(found.state.last, last, "what is fed next")


def test_alone_it_is_the_rollout() -> None:
    """With other inputs beside the past, a point among several outputs, and a start in the middle."""
    cell, others = network(3, 4), values(3, 6, 1)
    point = Columns((0, 2))
    loop = OwnPast(cell, point=point)
    state, last = scan(cell, values(3, 5, 3)).state, values(3, 2)
    found = scan(loop, loop.alone(3, 6, others), loop.start_from(state, last))
    feed = lambda y, u: torch.cat([point(y), u], 1)  # noqa: E731
    first = torch.zeros(3, 4, dtype=torch.float64).index_copy(1, torch.tensor([0, 2]), last)
    expected = rollout(cell, state, 6, last=first, feed=feed, exogenous=others)
    close(found.output, expected.output, "output")
    close(found.state.inner, expected.state, "state")


def test_without_other_inputs_given_they_are_zeros() -> None:
    """A cell that takes more than its past is left alone with nothing else."""
    loop = OwnPast(network(3, 2))
    assert loop.alone(2, 4).exogenous.shape == (2, 4, 1)
    close(scan(loop, loop.alone(2, 4)), scan(loop, loop.alone(2, 4, torch.zeros(2, 4, 1).double())), "alone")


def test_what_is_not_known_is_never_read() -> None:
    """NaN and infinity where nothing is known reach neither values nor gradients."""
    cell = OwnPast(network())
    share = known([1.0, 0.0, 0.5, 0.0])
    clean, spoilt = values(3, 4, 2), values(3, 4, 2)
    spoilt[share == 0] = torch.nan
    spoilt[0, 1] = torch.inf
    outcomes = []
    for y in (clean, spoilt):
        cell.zero_grad()
        x = y.clone().requires_grad_()
        output = scan(cell, Past(x, share)).output
        output.pow(2).sum().backward()
        outcomes.append((output.detach(), x.grad, [p.grad.clone() for p in cell.parameters()]))
    close(outcomes[1], outcomes[0], "outcome")
    assert not outcomes[1][1][share == 0].any()


def test_what_is_known_fully_has_no_part_of_a_prediction_that_overflowed() -> None:
    """0 · inf is NaN: it must not come in through 1 − k = 0."""
    huge = Linear(1, 0, 1).double()
    torch.nn.init.constant_(huge.feedthrough, 1e300)
    x = Past(torch.full((1, 3, 1), 1e10, dtype=torch.float64), torch.ones(1, 3, 1, dtype=torch.float64))
    run = scan(OwnPast(huge), x, record=lambda x, before, output, after: after.last)
    assert run.record.isinf().all() and not run.output.isnan().any()


def test_tokens_are_taken_or_fed_back_never_mixed() -> None:
    """Whole numbers: the true one where k > 0, else the cell's own."""
    cell = Tokens(5, 3).double()
    own = OwnPast(cell, feed=lambda v, _: v, point=lambda scores: scores.argmax(-1))
    assert own.value_shape == () and own.alone(2, 3).value.dtype == torch.int64
    truth, share = torch.tensor([[3, 1, 4, 0]]), torch.tensor([[1.0, 0.0, 0.5, 0.0]], dtype=torch.float64)
    found = scan(own, Past(truth, share))
    state, last, seen = cell.initial_state(1), torch.tensor([0]), []
    for t in range(4):
        token = truth[:, t] if share[0, t] > 0 else last
        scores, state = cell(token, state)
        last = scores.argmax(-1)
        seen.append(scores)
    close(found.output, torch.stack(seen, 1), "scores")


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: scan(OwnPast(Elman(2, 2)), torch.zeros(1, 3, 2)), TypeError, r"takes a .*Past\(value, known, exog"),
        (lambda: OwnPast(Elman(2, 2)).start_from(None, torch.zeros(1, 3)), ValueError, r"last.* is \(batch, 2\), got"),
    ],
)
def test_wrong_input_is_named(build: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        build()


@pytest.mark.parametrize("name", ["centred", "residual"])
@pytest.mark.parametrize("value", ["x", 1, None])
def test_how_the_change_is_said_is_true_or_false(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be one of True, False, got {value!r}"):
        Autoregression(lags=2, **{name: value})


def test_a_delay_line_is_primed_from_the_rows_before() -> None:
    """A window with its lead is the rest of the whole, for a cell without memory of its own."""
    line = OwnPast(DelayLine(Linear(4, 0, 1).double(), lags=4))
    with torch.no_grad():
        for parameter in line.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    whole = Past(values(2, 9, 1), torch.ones(2, 9, 1, dtype=torch.float64))
    cut = lambda start, stop: Past(whole.value[:, start:stop], whole.known[:, start:stop])  # noqa: E731
    state = line.primed(cut(2, 5), torch.ones(2, 3, dtype=torch.bool))
    close(scan(line, cut(5, 9), state).output, scan(line, whole).output[:, 5:], "after the lead")
    there = torch.tensor([[False, True, True], [True, True, True]])
    assert line.primed(cut(2, 5), there).inner.seen.tolist() == [[1, 1, 0], [1, 1, 1]]


# ---- teacher forcing -------------------------------------------------------------------------------------------------


def test_full_forcing_changes_nothing() -> None:
    assert TeacherForcing().is_full and not TeacherForcing().gets_harder
    assert TeacherForcing().known(2, 3).tolist() == [[1.0] * 3] * 2
    for other in ({"share": 0.5}, {"schedule": "linear"}, {"every": 2}, {"alpha": 0.5}, {"free_run": 1}):
        assert not TeacherForcing(**other).is_full


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_fall_from_the_share_to_the_least(name: str) -> None:
    """ε starts at ``share``, never rises, and ends at ``least``."""
    policy = TeacherForcing(share=0.9, schedule=name, least=0.2)
    rates = [policy.rate(progress) for progress in np.linspace(0, 1, 21)]
    assert rates[0] == pytest.approx(0.9, abs=0.01)
    assert all(a >= b for a, b in pairwise(rates))
    assert rates[-1] == pytest.approx(0.9 if name == "constant" else 0.2, abs=0.01)
    assert policy.gets_harder == (name != "constant")


def test_scheduled_sampling_is_bengios() -> None:
    """Linear decay in the progress; the inverse sigmoid falls by the logistic function around the middle."""
    assert TeacherForcing(schedule="linear").rate(0.3) == pytest.approx(0.7)
    sigmoid = TeacherForcing(schedule="inverse_sigmoid")
    assert sigmoid.rate(0.5) == 0.5 and sigmoid.rate(0.25) == pytest.approx(1 / (1 + np.exp(-3)))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 6),
    st.integers(1, 30),
    st.floats(0, 1),
    st.integers(1, 5),
    st.floats(0.01, 1),
    st.integers(0, 5),
    st.sampled_from(["step", "sequence"]),
)
def test_policies_go_together(
    batch: int, time: int, share: float, every: int, alpha: float, free_run: int, coin: str
) -> None:
    """What is known is 0 or α, only at every n-th step, never in the free run, and by the draw of one generator."""
    policy = TeacherForcing(share=share, every=every, alpha=alpha, free_run=free_run, coin=coin)
    lengths = torch.randint(1, time + 1, (batch,), generator=torch.Generator().manual_seed(0))
    found = policy.known(batch, time, lengths, 0.0, torch.Generator().manual_seed(1))
    again = policy.known(batch, time, lengths, 0.0, torch.Generator().manual_seed(1))
    assert found.shape == (batch, time) and torch.equal(found, again)
    assert set(found.unique().tolist()) <= {0.0, alpha}
    places = torch.arange(time)
    assert not found[:, places % every != 0].any()
    assert not found[(places >= (lengths - free_run)[:, None]) & (places < lengths[:, None])].any()
    if coin == "sequence":
        seen = (places % every == 0) & (places < (lengths - free_run)[:, None])
        assert all(len(set(row[there].tolist())) <= 1 for row, there in zip(found, seen, strict=True))


def test_the_share_is_drawn() -> None:
    """Within four standard errors of ε."""
    found = TeacherForcing(share=0.3).known(100, 400, generator=torch.Generator().manual_seed(0))
    assert abs(float(found.mean()) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 40_000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"share": 1.5}, r"share must be a number in \[0, 1\], got 1.5"),
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"schedule": "cosine"}, "schedule must be one of 'constant'"),
        ({"coin": "batch"}, "coin must be one of 'step', 'sequence'"),
        ({"every": 0}, "every must be an int of at least 1, got 0"),
        ({"free_run": -1}, "free_run must be an int of at least 0, got -1"),
    ],
)
def test_policies_that_cannot_be(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TeacherForcing(**change)


def test_policies_by_name_and_share() -> None:
    assert as_teacher_forcing(0.5) == TeacherForcing(share=0.5)
    assert as_teacher_forcing("exponential", 3) == TeacherForcing(schedule="exponential", free_run=3)
    with pytest.raises(ValueError, match="free_run in the TeacherForcing itself"):
        as_teacher_forcing(TeacherForcing(), 2)
    with pytest.raises(ValueError, match="teacher_forcing must be a share"):
        as_teacher_forcing(2.0)
    with pytest.raises(ValueError, match="A share of 0.5 is drawn: give a generator"):
        TeacherForcing(share=0.5).known(1, 2)
