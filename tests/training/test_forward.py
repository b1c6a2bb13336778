"""How a network is run: in groups of like lengths, without waiting for the device, and with states anybody may use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from seqdyn import GRURegressor, LSTMRegressor, scan
from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout
from seqdyn.state import leaves
from seqdyn.training import forward, loop
from seqdyn.training.batches import Batch, Batches, Rows, Spans
from seqdyn.training.forward import run_network
from seqdyn.training.heads import Squared
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Supervised
from seqdyn.training.streams import Streams
from tests.training.series import noise


def network() -> Readout:
    """A small one."""
    generator = torch.Generator().manual_seed(0)
    return Readout(GRU(2, 3, generator=generator), 2, generator=generator).double()


class Waits(TorchDispatchMode):
    """Counts how often a number is asked for, which on a GPU waits until all before it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        self.count += function in waits
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("clip", [{"clip_norm": 1.0}, {"clip_norm": None}, {"clip_quantile": 0.5}])
@pytest.mark.parametrize("plan", ["even", "ragged", "warmup", "chunks"])
def test_a_step_waits_for_nothing(plan: str, clip: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an epoch is checked when it is over, as on a GPU, no step of it asks for a number."""
    lengths = [7, 9, 5, 9] if plan == "ragged" else [9] * 4
    rows = noise(lengths).rows()
    warmup = torch.full((4,), 2) if plan == "warmup" else None
    batches: Batches = Streams(rows, 2, 5) if plan == "chunks" else Spans(rows, 2, warmup)
    made = Trainer(network(), batches, Supervised(Squared()), Recipe(max_epochs=1, **clip), torch.Generator())
    made.guard.every_step = False
    monkeypatch.setattr(loop, "check_pass", lambda found, taken: found)  # which looks at numbers on the CPU alone
    for batch in batches.epoch(torch.Generator()):
        with Waits() as waits:
            made.step(batch)
        made.budget.batch += 1
        if batch.reset is None:  # borders are sought on the CPU, where they are
            assert waits.count == 0


def test_trailing_padding_needs_no_mask() -> None:
    """A batch that says so gives the same outputs where there are steps as one that is run with its mask."""
    batch = next(Spans(noise([4, 7, 6]).rows(), 3).epoch(torch.Generator()))
    assert batch.trailing and batch.mask is not None
    one, _ = forward.forward(network(), batch, None, torch.Generator())
    other, state = forward.forward(network(), batch._replace(trailing=False), None, torch.Generator())
    torch.testing.assert_close(one[batch.mask], other[batch.mask])
    assert state is not None


def test_a_mask_with_holes_is_obeyed() -> None:
    """Nobody says of it that its padding stands at the end."""
    x = torch.randn(2, 6, 2, dtype=torch.float64)
    mask = torch.tensor([[True, False, True, True, False, True], [False, True, True, True, True, True]])
    found, _ = forward.forward(network(), Batch(x, x, None, mask), None, torch.Generator())
    torch.testing.assert_close(found[mask], scan(network(), x, mask=mask).output[mask])


def test_series_are_run_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as fit, taken one by one in the order of their lengths; and the outputs are those of each alone."""
    monkeypatch.setattr(forward, "ROWS_AT_ONCE", 12)
    lengths = [3, 1, 14, 4, 4, 5, 2, 30, 1]
    expected: list[list[int]] = [[]]
    for number in sorted(range(9), key=lambda n: lengths[n]):
        if expected[-1] and (len(expected[-1]) + 1) * lengths[number] > 12:
            expected.append([])
        expected[-1].append(number)
    own = torch.tensor(lengths)
    found = [group.tolist() for group in forward._length_groups(own, own.argsort(stable=True))]
    assert found == expected
    rows = noise(lengths).rows()
    output, state = run_network(network(), rows)
    for number, start in enumerate(rows.starts.tolist()):
        alone = scan(network(), rows.x[None, start : start + lengths[number]])
        torch.testing.assert_close(output[start : start + lengths[number]], alone.output[0])
        torch.testing.assert_close(leaves(state)[0][number], leaves(alone.state)[0][0])


@pytest.mark.parametrize("estimator", [GRURegressor, LSTMRegressor])
def test_states_and_outputs_may_take_part_in_a_training(estimator: type[GRURegressor]) -> None:
    """What was found in inference mode is an ordinary tensor when it is given away."""
    X = np.random.default_rng(0).normal(size=(4, 12, 2))
    model = estimator(hidden_size=3, max_epochs=2, early_stopping=True, warm_start=True, random_state=0)
    model.fit(X, X.cumsum(axis=1))
    _, state = model.predict(X, return_state=True)
    output, _ = run_network(model.cell_, Rows.of(torch.randn(4, 5, 2)))
    for leaf in (output, *leaves(state), *leaves(model.state_)):
        assert not leaf.is_inference() and not leaf.requires_grad
    model.fit(X, X.cumsum(axis=1))  # nothing that a prediction left behind stands in the way
    scan(model.cell_, torch.randn(4, 5, 2), state).output.sum().backward()
    assert all(parameter.grad is not None for parameter in model.cell_.parameters())
