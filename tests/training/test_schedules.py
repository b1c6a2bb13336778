"""Schedules: factors on the learning rate, by closed form and as the trainer uses them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqdyn.cells.elman import Elman
from seqdyn.training.batches import Spans
from seqdyn.training.heads import Custom, Squared
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Supervised
from seqdyn.training.optimisation import Plateau, as_schedule
from tests.training.series import noise

NAMES = ["constant", "cosine", "warmup", "warmup_cosine"]


def rates(schedule: Any, epochs: int = 40, **recipe: Any) -> list[float]:
    """The learning rate of every step of a training with one step an epoch."""
    series = noise([6])
    trainer = Trainer(
        Elman(2, 2).double(),
        Spans(series.rows(), 1, torch.zeros(1, dtype=torch.long)),
        Supervised(Squared()),
        Recipe(schedule=schedule, learning_rate=0.5, max_epochs=epochs, n_iter_no_change=1000, **recipe),
        torch.Generator(),
    )
    return [entry["learning_rate"] for entry in trainer.run()]


def test_none_and_constant_change_nothing() -> None:
    """The rate is the one that was given."""
    assert rates(None) == rates("constant") == [0.5] * 40


def test_cosine() -> None:
    """Half a cosine over the whole training: step n of N has the factor (1 + cos(π n / N)) / 2."""
    expected = [0.25 * (1 + math.cos(math.pi * step / 40)) for step in range(40)]
    assert rates("cosine") == pytest.approx(expected, rel=1e-12)


def test_cosine_ends_with_the_budget_that_is_spent_first() -> None:
    """``max_steps`` below the epochs is the end of the cosine."""
    expected = [0.25 * (1 + math.cos(math.pi * step / 10)) for step in range(10)]
    assert rates("cosine", max_steps=10) == pytest.approx(expected, rel=1e-12)


def test_warmup() -> None:
    """A straight line over the first twentieth, never 0, then constant; warmup_cosine goes down from there to 0."""
    found = rates("warmup", epochs=100)
    assert found[0] == pytest.approx(0.5 * 0.01)
    assert found[1:5] == pytest.approx([0.5 * step / 5 for step in range(1, 5)])
    assert found[5:] == pytest.approx([0.5] * 95)
    both = rates("warmup_cosine", epochs=100)
    assert both[:5] == pytest.approx(found[:5])
    assert both[5:] == pytest.approx([0.25 * (1 + math.cos(math.pi * step / 95)) for step in range(95)])


def test_a_callable_is_a_schedule() -> None:
    """A factor by the progress in [0, 1)."""
    assert rates(lambda progress: 1 - progress, epochs=4) == pytest.approx([0.5, 0.375, 0.25, 0.125])


@given(st.sampled_from(NAMES), st.floats(0, 1))
def test_factors_lie_between_0_and_1(name: str, progress: float) -> None:
    """Timed schedules never exceed the rate that was given, and depend on nothing but the progress."""
    schedule = as_schedule(name)
    assert 0 <= schedule.factor(progress) <= 1
    before = schedule.factor(progress)
    schedule.observe(float("inf"))
    assert schedule.factor(progress) == before


@given(st.lists(st.floats(0, 10), max_size=60))
def test_plateau_halves_after_every_five_epochs_without_improvement(losses: list[float]) -> None:
    """A loop by hand: count the epochs since the best loss, halve at five, down to a thousandth."""
    schedule, best, waited, rate = as_schedule("plateau"), math.inf, 0, 1.0
    assert isinstance(schedule, Plateau)
    for loss in losses:
        schedule.observe(loss)
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == 5:
            rate, waited = max(rate / 2, 1e-3), 0
        assert schedule.factor(0.3) == rate


def test_plateau_in_a_training_that_does_not_improve() -> None:
    """The trainer shows it the loss of every epoch: a loss that stays is a rate that falls."""
    series = noise([6])
    trainer = Trainer(
        Elman(2, 2).double(),
        Spans(series.rows(), 1, torch.zeros(1, dtype=torch.long)),
        Supervised(Custom(lambda output, target: output * 0 + 1.0)),
        Recipe(schedule="plateau", learning_rate=1.0, max_epochs=13, n_iter_no_change=1000, clip_norm=None),
        torch.Generator(),
    )
    assert [entry["learning_rate"] for entry in trainer.run()] == [1.0] * 6 + [0.5] * 5 + [0.25] * 2


def test_an_unknown_schedule_is_named() -> None:
    """With what there is instead."""
    with pytest.raises(ValueError, match=r"schedule must be None, one of 'constant', 'cosine'.*got 'step'"):
        as_schedule("step")
