"""Workers: two processes with half of the rows each train as one process with all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as distributed
from torch import Tensor, multiprocessing, nn

from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout, Stack
from seqdyn.files import read, write
from seqdyn.initial_state import Learned
from seqdyn.training.batches import Batches, Rows, Spans
from seqdyn.training.checkpoint import Checkpoint
from seqdyn.training.heads import Squared
from seqdyn.training.loop import NonFiniteError, Recipe, Trainer
from seqdyn.training.objective import Supervised
from seqdyn.training.pairs import Pairs
from seqdyn.training.streams import Streams
from seqdyn.training.workers import Workers
from tests.training.series import noise

LENGTHS = [9, 4, 7, 9, 5, 8, 6]


def network(dropout: float = 0.0) -> nn.Module:
    """Float64, so that sums in another order differ little."""
    draw = torch.Generator().manual_seed(1)
    layers = Stack([GRU(2, 3, generator=draw), GRU(3, 3, generator=draw)], dropout)
    return Learned()(Readout(layers, 2, generator=draw)).double()


def weighted_spans() -> Batches:
    """The last batch has one sequence: the second worker has none."""
    return Spans(noise(LENGTHS, weighted=True).rows(), 3, torch.tensor([1] * 7))


def parallel_streams() -> Batches:
    """Borders, chunks without a target on one of them."""
    return Streams(noise(LENGTHS, weighted=True).rows(), 4, 5, torch.tensor([2] * 7))


PLANS: dict[str, Callable[[], Batches]] = {"spans": weighted_spans, "streams": parallel_streams}


def training(plan: str, workers: Workers | None, dropout: float = 0.0, **changes: Any) -> Trainer:
    """The same for one process and for many."""
    batches = PLANS[plan]()
    if workers is not None:
        batches = batches.shard(workers.rank, workers.world)
    recipe = Recipe(**{"max_epochs": 3, "clip_norm": 0.5, "weight_average": 0.5, **changes})
    generator = torch.Generator().manual_seed(5)
    return Trainer(network(dropout), batches, Supervised(Squared()), recipe, generator, workers=workers)


def ended(trainer: Trainer) -> dict[str, Any]:
    """Weights, and what was written down."""
    names = ("loss", "gradient_norm", "clip_coefficient", "clip_fraction")
    return {
        "weights": [p.detach().clone() for p in trainer.network.parameters()],
        "history": [[entry[name] for name in names] for entry in trainer.history],
        "steps": trainer.budget.steps,
    }


def work(rank: int, folder: str, meeting: str) -> None:
    """What one of two processes does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for plan in PLANS:
        trainer = training(plan, Workers())
        trainer.run()
        found[plan] = ended(trainer)
    for plan in PLANS:  # with noise of their own, from their beginning and from a checkpoint in mid-epoch
        stopped = training(plan, Workers(), dropout=0.3)
        stopped.checkpoint = Checkpoint(Path(folder) / f"{plan} kept", every=0.0)
        own = stopped.step

        def step(batch: Any, trainer: Trainer = stopped, own: Any = own) -> None:
            if trainer.budget.batches_done == 4:
                raise KeyboardInterrupt
            own(batch)

        stopped.step = step  # type: ignore[method-assign]
        with pytest.warns(UserWarning, match="interrupted"):
            stopped.run()
        distributed.barrier()
        resumed = training(plan, Workers(), dropout=0.3)
        resumed.checkpoint = Checkpoint(Path(folder) / f"{plan} kept", every=0.0)
        resumed.run()
        whole = training(plan, Workers(), dropout=0.3)
        whole.run()
        found[f"{plan} resumed"], found[f"{plan} whole"] = ended(resumed), ended(whole)
    with pytest.raises(ValueError, match="max_time would end the training of every worker at another step"):
        training("spans", Workers(), max_time=1.0)
    wild = training("spans", Workers(), optimizer="sgd", learning_rate=1e300, clip_norm=None)
    with pytest.raises(NonFiniteError):
        wild.run()
    write(Path(folder) / f"rank{rank}", found)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each of the two found."""
    folder = tmp_path_factory.mktemp("workers")
    multiprocessing.spawn(work, args=(str(folder), str(folder / "meeting")), nprocs=2)
    return [read(folder / f"rank{rank}") for rank in range(2)]


pytestmark = pytest.mark.skipif(not distributed.is_gloo_available() or os.name == "nt", reason="needs gloo")


def close(one: list[Tensor], other: list[Tensor]) -> None:
    """To rounding: a sum over workers is one in another order."""
    for left, right in zip(one, other, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("plan", PLANS)
def test_two_workers_are_one_process(found: list[Any], plan: str) -> None:
    """The same steps, losses, norms and weights; a worker without rows in a batch waits for the other."""
    alone = training(plan, None)
    alone.run()
    expected = ended(alone)
    for one in found:
        close(one[plan]["weights"], expected["weights"])
        assert one[plan]["steps"] == expected["steps"]
        torch.testing.assert_close(
            torch.tensor(one[plan]["history"]), torch.tensor(expected["history"]), rtol=1e-9, atol=1e-12
        )


def test_workers_agree_to_the_bit(found: list[Any]) -> None:
    """Whatever noise each of them drew."""
    for name in found[0]:
        one, other = (result[name] for result in found)
        assert all(torch.equal(a, b) for a, b in zip(one["weights"], other["weights"], strict=True))
        assert one["history"] == other["history"]


@pytest.mark.parametrize("plan", PLANS)
def test_workers_go_on_from_a_checkpoint(found: list[Any], plan: str) -> None:
    """One of them writes it for all, all read it; the end is that of one training, to the bit."""
    resumed, whole = found[0][f"{plan} resumed"], found[0][f"{plan} whole"]
    assert all(torch.equal(a, b) for a, b in zip(resumed["weights"], whole["weights"], strict=True))
    assert resumed["history"] == whole["history"]


def test_workers_draw_other_noise() -> None:
    """At every step and in every worker, and the same again from the same seed."""
    workers, generator, drawn = Workers.__new__(Workers), torch.Generator(), []
    workers.world = 3
    for step in range(4):
        for workers.rank in range(3):
            workers.seed(generator, 7, step)
            drawn.append(float(torch.rand(1, generator=generator)))
    assert len(set(drawn)) == 12
    workers.rank = 0
    workers.seed(generator, 7, 0)
    assert float(torch.rand(1, generator=generator)) == drawn[0]


def test_workers_need_a_group() -> None:
    """The error says how to make one."""
    with pytest.raises(RuntimeError, match="call torch.distributed.init_process_group first"):
        Workers()


def test_pairs_are_shared_too() -> None:
    """An idle worker's batch says that nothing counts."""
    rows = Rows.of([torch.zeros(2, 1), torch.zeros(3, 1), torch.zeros(1, 1)])
    counts = [[b.counts for b in Pairs(rows, rows, 2).shard(rank, 2).epoch(torch.Generator())] for rank in (0, 1)]
    assert counts[0] == [True, True] and sorted(counts[1]) == [False, True]
