"""Recorded steps, with a recorder that only remembers: buffers, refusals and fallbacks are those of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout, Stack
from seqdyn.training.batches import Batches, Spans
from seqdyn.training.capture import WARM_UPS, Capture
from seqdyn.training.heads import Squared
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Supervised
from seqdyn.training.streams import Streams
from tests.training.series import noise


class Remembered:
    """Stands for CUDA graphs on the CPU: a recording is the work itself, and runs when it is replayed."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.warmed, self.replays = fails, 0, 0

    def warm_up(self, work: Callable[[], None]) -> None:
        """Run it."""
        self.warmed += 1
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Keep it, or fail as an operation does that cannot be recorded."""
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")

        def replay() -> None:
            self.replays += 1
            work()

        return replay


def made(batches: Batches, capture: Capture | None, dropout: float = 0.0, **changes: Any) -> Trainer:
    """A trainer of a small network."""
    draw = torch.Generator().manual_seed(0)
    cell = Stack([GRU(2, 3, generator=draw), GRU(3, 3, generator=draw)], dropout=dropout)
    network = Readout(cell, 2, generator=draw).double()
    network.register_parameter("idle", torch.nn.Parameter(torch.ones(2, dtype=torch.float64)))
    observer = changes.pop("observer", None)
    objective = changes.pop("objective", Supervised(Squared()))
    recipe = Recipe(**{"max_epochs": 4, "learning_rate": 0.05} | changes)
    return Trainer(network, batches, objective, recipe, draw, observer=observer, capture=capture)


def assert_same(batches: Batches, capture: Capture, **changes: Any) -> None:
    """With capture and without: the same weights and the same history, to the bit."""
    one, other = made(batches, capture, **changes), made(batches, None, **changes)
    found, expected = one.run(), other.run()
    for name, value in other.network.state_dict().items():
        assert torch.equal(one.network.state_dict()[name], value), name
    for entry, plain in zip(found, expected, strict=True):
        assert {k: v for k, v in entry.items() if k != "seconds" and v == v} == {
            k: v for k, v in plain.items() if k != "seconds" and v == v
        }


@pytest.mark.parametrize("clip_norm", [0.1, None])
@pytest.mark.parametrize("weighted", [False, True])
def test_replays_are_the_steps_as_written(weighted: bool, clip_norm: float | None) -> None:
    """Seven series in threes: the first batch of an epoch and the smaller last one are not replayed."""
    recorder = Remembered()
    capture = Capture(recorder)
    assert_same(Spans(noise([6] * 7, weighted=weighted).rows(), 3), capture, clip_norm=clip_norm, weight_decay=0.1)
    assert capture.refused is None
    assert recorder.warmed == WARM_UPS and recorder.replays == 4  # one batch of three in each of four epochs


@pytest.mark.parametrize(
    ("plan", "changes", "reason"),
    [
        ("even", {"dropout": 0.5}, "numbers are drawn"),
        ("even", {"clip_quantile": 0.5}, "quantile"),
        ("even", {"observer": lambda epoch, batch, network, output: None}, "observer"),
        ("even", {"objective": Supervised(Squared(), prepare=lambda batch, progress, draw: batch)}, "objective"),
        ("ragged", {}, None),
        ("chunks", {}, None),
    ],
)
def test_what_cannot_be_recorded_runs_as_written(plan: str, changes: dict[str, Any], reason: str | None) -> None:
    """Silently, to the same bits; numbers drawn in vain are given back."""
    rows = noise([6, 4, 6, 5, 6, 6] if plan == "ragged" else [6] * 6).rows()
    recorder = Remembered()
    capture = Capture(recorder)
    assert_same(Streams(rows, 2, 5) if plan == "chunks" else Spans(rows, 2), capture, **changes)
    assert recorder.replays == 0
    assert capture.refused is None if reason is None else capture.refused is not None and reason in capture.refused


def test_a_recording_that_fails_is_not_tried_again() -> None:
    """The training goes on as it is written."""
    recorder = Remembered(fails=True)
    capture = Capture(recorder)
    assert_same(Spans(noise([6] * 6).rows(), 2), capture)
    assert recorder.warmed == WARM_UPS and "not permitted" in str(capture.refused)
