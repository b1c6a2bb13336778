"""Pascanu's Ω and how far a loss reaches: against written-out recursions, finite differences, and training."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqdyn import ElmanRegressor, GRURegressor, LSTMRegressor, RecurrentRegressor
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Readout, Stack
from seqdyn.dynamics.norm_preservation import frozen_omega, omega, omega_penalty
from seqdyn.dynamics.state_gradients import steps_reached, sweep
from seqdyn.loops import scan
from seqdyn.state import flatten, leaves, stack, unflatten

Array = np.ndarray[Any, Any]


def generator(seed: int = 0) -> torch.Generator:
    """A seeded one."""
    return torch.Generator().manual_seed(seed)


def inputs(batch: int = 3, time: int = 9, width: int = 2) -> Tensor:
    """Standard normal, float64."""
    return torch.randn(batch, time, width, generator=generator(7), dtype=torch.float64)


def last(output: Tensor) -> Tensor:
    """A loss at the end alone."""
    return output[:, -1].square().sum()


def every(output: Tensor) -> Tensor:
    """What every row and step costs."""
    return output.square().sum(2)


CELLS: dict[str, Callable[[], Cell]] = {
    "elman": lambda: Elman(2, 3, generator=generator()),
    "elman with readout": lambda: Elman(2, 3, output_size=2, activation="sigmoid", generator=generator()),
    "gru": lambda: Readout(GRU(2, 3, generator=generator()), 2, generator=generator(1)),
    "gru, reset before": lambda: GRU(2, 3, "before", generator=generator()),
    "lstm": lambda: Readout(LSTM(2, 3, generator=generator()), 2, generator=generator(1)),
    "lstm with peepholes": lambda: LSTM(2, 3, True, generator()),
    "linear": lambda: Linear(2, 3, generator=generator()),
    "stack": lambda: Stack([LSTM(2, 3, generator=generator()), GRU(3, 2, generator=generator(1))]),
}


def costates(cell: Cell, x: Tensor, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """δ_t and J_t by brute force: every state is perturbed after its step, and the rest of the run differentiated.

    An output that reads the new state is written by the perturbed one, which the cells here do by their last state.
    """
    state = cell.initial_state(len(x))
    befores, outputs = [], []
    for x_t in x.unbind(1):
        befores.append(state)
        output, state = cell(x_t, state)
        outputs.append(output)
    like, deltas, jacobians = state, [], []
    afters = [*befores[1:], state]
    for t in range(x.shape[1]):
        vector = flatten(afters[t]).detach().requires_grad_()
        again, current = list(outputs), unflatten(vector, like)
        if not isinstance(cell, Linear):
            again[t] = READ[type(cell)](cell, current)
        for s in range(t + 1, x.shape[1]):
            again[s], current = cell(x[:, s], current)
        deltas.append(torch.autograd.grad(loss(torch.stack(again, 1)).sum(), vector, allow_unused=True)[0])
        deltas[-1] = torch.zeros_like(vector) if deltas[-1] is None else deltas[-1]
        start = flatten(befores[t]).detach()
        rows = [torch.autograd.functional.jacobian(
            lambda v, t=t, b=b: flatten(cell(x[b : b + 1, t], unflatten(v[None], like))[1])[0], start[b]
        ) for b in range(len(x))]  # fmt: skip
        jacobians.append(torch.stack(rows))
    return torch.stack(deltas, 1).detach(), torch.stack(jacobians, 1).detach()


READ: dict[type, Callable[[Any, Any], Tensor]] = {
    Elman: lambda cell, state: cell._read(state.h),
    GRU: lambda cell, state: state.h,
    LSTM: lambda cell, state: state.h,
    Readout: lambda cell, state: cell.affine(state.h),
    Stack: lambda cell, state: state[-1].h,
}
"""The output as a function of the new state alone."""


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("loss", [last, every])
@pytest.mark.parametrize("form", ["norm", "squared"])
def test_the_curve_is_its_definition(name: str, loss: Callable[[Tensor], Tensor], form: str) -> None:
    """Ω_k from brute-force δ and Jacobians over the whole state; the value is the mean over what counts."""
    cell, x = CELLS[name]().double(), inputs()
    delta, jacobian = costates(cell, x, loss)
    torch.testing.assert_close(sweep(cell, x, loss).gradient, delta, rtol=1e-9, atol=1e-13)
    back = (delta[:, 1:, None] @ jacobian[:, 1:]).squeeze(2).norm(dim=2)
    ratio = (back / delta[:, 1:].norm(dim=2)) ** (1 if form == "norm" else 2)
    expected = (ratio - 1) ** 2
    expected[delta[:, 1:].norm(dim=2) < 1e-10] = torch.nan
    found = omega(CELLS[name](), x.float(), loss, form=form)
    assert found.curve.dtype == torch.float64 and found.curve.shape == (3, 8)
    exact = omega(cell, x, loss, form=form)
    torch.testing.assert_close(exact.curve, expected, equal_nan=True, rtol=1e-8, atol=1e-12)
    valid = expected.isfinite()
    by_code = expected.nan_to_num().mean(0).sum() / valid.double().mean(0).sum()
    assert exact.value == pytest.approx(float(by_code), rel=1e-9)
    assert found.value == pytest.approx(exact.value, rel=1e-4)


def test_known_values() -> None:
    """An orthogonal linear memory keeps the length: 0; half of it gives 1/4 and (1/4 − 1)²."""
    cell = Linear(1, 4, 1, generator()).double()
    nn.init.orthogonal_(cell.transition, generator=generator())
    x = torch.ones(2, 20, 1, dtype=torch.float64)
    assert omega(cell, x, last).value == pytest.approx(0, abs=1e-24)
    with torch.no_grad():
        cell.transition *= 0.5
    assert omega(cell, x, last).value == pytest.approx(0.25, rel=1e-12)
    assert omega(cell, x, last, form="squared").value == pytest.approx(0.5625, rel=1e-12)


def test_the_curve_says_where_the_signal_dies() -> None:
    """A GRU whose gate is shut by its input at one step: there, and nowhere else, the gradient is lost."""
    cell = GRU(1, 4, generator=generator()).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(0.01)
        cell.bias[4:8], cell.input_weight[4:8] = 8.0, -30.0
    x = torch.zeros(1, 30, 1, dtype=torch.float64)
    x[:, 12] = 1.0
    curve = omega(cell, x, lambda output: output[:, -1].sum()).curve[0]
    assert int(curve.argmax()) == 11 and float(curve[11]) > 0.9
    assert float(curve[torch.arange(29) != 11].max()) < 1e-4


def test_steps_without_a_gradient_are_left_out() -> None:
    """Below 1e-10 nothing counts: the curve is NaN there, and the value is the mean of the rest."""
    cell = Linear(1, 1, generator=generator()).double()
    for weight, value in zip(cell.parameters(), (0.0, 1.0, 1.0, 0.1), strict=True):
        nn.init.constant_(weight, value)
    x = torch.zeros(1, 30, 1, dtype=torch.float64)
    found = omega(cell, x, lambda output: output[:, -1].sum())
    assert found.curve.isfinite().sum() == 10 or found.curve.isfinite().sum() == 11
    assert found.value == pytest.approx(0.81, rel=1e-9)
    assert np.isnan(omega(cell, x, lambda output: 0 * output.sum()).value)


def fingerprint(cell: nn.Module) -> tuple[str, ...]:
    """Everything of a model and of the surroundings that a measurement could touch."""
    parts = [value.detach().numpy().tobytes() for value in cell.state_dict().values()]
    gradients = [b"" if p.grad is None else p.grad.numpy().tobytes() for p in cell.parameters()]
    modes = [str((m.training, [p.requires_grad for p in m.parameters()])).encode() for m in cell.modules()]
    numpys = str(np.random.get_state()).encode()  # noqa: NPY002
    randoms = [torch.random.get_rng_state().numpy().tobytes(), numpys, str(random.getstate()).encode()]
    return tuple(hashlib.sha256(part).hexdigest() for part in [*parts, *gradients, *modes, *randoms])


@pytest.mark.parametrize("measure", [omega, steps_reached, omega_penalty])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_alone(measure: Callable[..., Any], training: bool) -> None:
    """Parameters, gradients, modes, and every random state: to the bit; with a frozen weight and a gradient in it."""
    cell = CELLS["stack"]().train(training)
    scan(cell, inputs().float()).output.sum().backward()
    next(cell.parameters()).requires_grad_(False)
    before = fingerprint(cell)
    first = measure(cell, inputs().float(), every)
    assert fingerprint(cell) == before
    again = measure(cell, inputs().float(), every)
    assert str(again) == str(first)


def test_errors() -> None:
    """What came, what is expected."""
    with pytest.raises(ValueError, match="form must be one of 'norm', 'squared', got 'both'"):
        omega(CELLS["elman"](), inputs(), last, form="both")
    with pytest.raises(ValueError, match=r"expects \(batch, time, 2\)"):
        omega(CELLS["elman"](), inputs(width=3), last)
    with pytest.raises(ValueError, match="state"):
        omega(CELLS["elman"](), inputs(), last, GRU(2, 4).initial_state(3))


def test_one_row_is_itself() -> None:
    """Rows do not talk, and a state continues: the curve of a batch is that of its rows, of a whole that of its end."""
    cell, x = CELLS["lstm"]().double(), inputs()
    whole = omega(cell, x, every).curve
    torch.testing.assert_close(omega(cell, x[1:2], every).curve, whole[1:2])
    state = scan(cell, x[:, :4]).state
    torch.testing.assert_close(omega(cell, x[:, 4:], every, state).curve, whole[:, 4:])


# --- the regulariser -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("form", ["norm", "squared"])
def test_the_gradient_is_that_of_frozen_states(name: str, form: str) -> None:
    """Central differences of Ω with states and δ held, in random directions of all weights."""
    cell, x = CELLS[name]().double(), inputs()
    run = sweep(cell, x, every)
    value = omega_penalty(cell, x, every, form)
    assert value.item() == pytest.approx(omega(cell, x, every, form=form).value, rel=1e-9)
    value.backward()
    parameters = [p for p in cell.parameters() if p.grad is not None]
    assert parameters
    for seed in range(3):
        way = [torch.randn(p.shape, generator=generator(seed), dtype=p.dtype) for p in parameters]
        slope = sum(float((p.grad * d).sum()) for p, d in zip(parameters, way, strict=True) if p.grad is not None)
        ends = []
        for sign in (1, -2):
            with torch.no_grad():
                for parameter, direction in zip(parameters, way, strict=True):
                    parameter += sign * 1e-6 * direction
            ends.append(frozen_omega(cell, run, form).item())
        with torch.no_grad():
            for parameter, direction in zip(parameters, way, strict=True):
                parameter += 1e-6 * direction
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_the_gradient_of_the_readout_is_none() -> None:
    """States and δ are constants: what shapes only them gets nothing."""
    cell = CELLS["elman with readout"]().double()
    omega_penalty(cell, inputs(), every).backward()
    assert cell.affine.weight.grad is None and cell.recurrent_weight.grad is not None  # type: ignore[union-attr]


def test_dead_units_and_short_sequences_give_numbers() -> None:
    """J = 0 has a gradient of 0, one step or no memory no Ω at all."""
    cell = Elman(2, 3, activation="relu", generator=generator()).double()
    with torch.no_grad():
        cell.bias.fill_(-100.0)
    value = omega_penalty(cell, inputs(), lambda output: (output + 1).square().sum(2))
    value.backward()
    assert value.item() == 1.0
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in cell.parameters())
    assert float(omega_penalty(cell, inputs(time=1), every)) == 0
    for nothing in (MovingAverage(2, window=1), Linear(2, 0, 1)):
        assert float(omega_penalty(nothing, inputs().float(), every)) == 0
        for measure in (omega, steps_reached):
            with pytest.raises(ValueError, match="has no memory"):
                measure(nothing, inputs(), every)


def remember(series: int = 64, time: int = 25) -> tuple[Array, Array]:
    """The first input is asked for at the end."""
    draws = np.random.default_rng(0)
    X = draws.normal(size=(series, time, 2))
    return X, X[:, 0, 0]


def small_recurrence(cell: Any, draws: torch.Generator) -> None:
    """Recurrent weights that forget within a few steps."""
    cell.cell.recurrent_weight.data *= 0.5


def trained(weight: float, epochs: int = 40) -> ElmanRegressor:
    """An Elman network on it."""
    X, y = remember()
    model = ElmanRegressor(
        hidden_size=16,
        return_sequences=False,
        omega=weight,
        initialise=small_recurrence,
        max_epochs=epochs,
        n_iter_no_change=1000,
        dtype="float64",
        random_state=0,
    )
    return model.fit(X, y)


def test_training_with_it_brings_the_gradient_further() -> None:
    """‖∂C/∂h_0‖ / ‖∂C/∂h_T‖ rises by decades, and Ω falls, against the same training without."""
    X, y = remember()
    x = torch.as_tensor(X)

    def cost(output: Tensor) -> Tensor:
        return (output[:, -1] - torch.as_tensor(y)[:, None]).square().sum()

    def measure(model: ElmanRegressor) -> tuple[float, float]:
        gradient = sweep(model.cell_, x, cost).gradient.norm(dim=2)
        return float((gradient[:, 0] / gradient[:, -1]).log10().mean()), omega(model.cell_, x, cost).value

    (ratio, value), (plain_ratio, plain) = measure(trained(2.0)), measure(trained(0.0))
    begin_ratio, begin = measure(trained(2.0, epochs=1))
    assert ratio > begin_ratio + 3 and ratio > plain_ratio + 2
    assert value < 0.3 * begin and value < 0.5 * plain


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.3, "num_layers": 2},
        {"initial_state": "random"},
        {"initial_state": "learned"},
        {"window": 5},
        {"warmup": 2, "output_lag": 1},
        {"skip": True, "residual": True, "num_layers": 2},
        {"loss": "quantile"},
        {"early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:warmup=2 is shorter")
@pytest.mark.parametrize("make", [LSTMRegressor, GRURegressor])
def test_it_goes_with_everything_that_is_not_refused(make: Any, changes: dict[str, Any]) -> None:
    """Ragged series, too: it trains, and the loss of the first epoch holds the weighted Ω."""
    draws = np.random.default_rng(0)
    X = [draws.normal(size=(n, 2)) for n in (9, 14, 12)]
    y = [part[:, 0].cumsum() for part in X]
    settings: dict[str, Any] = {"hidden_size": 2, "max_epochs": 2, "random_state": 0} | changes
    plain = make(**settings).fit(X, y).history_
    model = make(omega=1.0, **settings).fit(X, y)
    if "dropout" not in changes and changes.get("initial_state") != "random":
        assert model.history_["loss"][0] > plain["loss"][0]
    assert np.isfinite(model.history_["loss"]).all()


def test_padding_does_not_count() -> None:
    """What a short row is padded with has no δ: Ω of a batch is the mean over its valid steps."""
    draws = np.random.default_rng(0)
    X, y = [draws.normal(size=(n, 2)) for n in (6, 11)], [draws.normal(size=n) for n in (6, 11)]
    settings: dict[str, Any] = {"cell": GRU, "hidden_size": 3, "max_epochs": 1, "scale": False, "dtype": "float64"}
    settings |= {"random_state": 0, "learning_rate": 1e-300, "batch_size": 2}
    with_, without = (RecurrentRegressor(omega=w, **settings).fit(X, y) for w in (3.0, 0.0))
    terms = []
    for rows, wanted in zip(X, y, strict=True):
        target = torch.as_tensor(wanted)[None, :, None]
        curve = omega(with_.cell_, torch.as_tensor(rows)[None], lambda o, t=target: (o - t).square().sum(2)).curve
        terms.append(curve.flatten())
    joined = torch.cat(terms)
    expected = float(joined[joined.isfinite()].mean())
    assert with_.history_["loss"][0] - without.history_["loss"][0] == pytest.approx(3 * expected, rel=1e-9)


# --- how far it reaches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decay", "expected"), [(0.5, 0.34), (0.1, 0.11), (1.0, 0.99)])
def test_steps_reached_of_a_known_memory(decay: float, expected: float) -> None:
    """D^k ≥ 1e-10; the last state of a linear cell is read by nobody."""
    cell = Linear(1, 1)
    for weight, value in zip(cell.parameters(), (0.0, 1.0, 1.0, decay), strict=True):
        nn.init.constant_(weight, value)
    found = steps_reached(cell, torch.zeros(2, 100, 1), lambda output: output[:, -1].sum())
    assert found == pytest.approx(expected, abs=0.0101)


def test_steps_reached_counts_what_is_there() -> None:
    """With a mask, the valid steps alone; with another threshold, others."""
    cell, x = CELLS["elman"]().double(), inputs(batch=2, time=10)
    mask = torch.arange(10) < torch.tensor([[10], [5]])

    def cost(output: Tensor) -> Tensor:
        return output[:, :4].sum(2)

    assert steps_reached(cell, x, cost) == 0.4
    assert steps_reached(cell, x, cost, mask=mask) == pytest.approx(8 / 15)
    assert steps_reached(cell, x, cost, threshold=1e9) == 0


def test_no_gradient_comes_back_across_a_reset() -> None:
    """Rows that start again, alone and together."""
    cell, x = CELLS["lstm"]().double(), inputs()
    reset = torch.zeros(3, 9, dtype=torch.bool)
    reset[0, 5] = reset[1, 5] = reset[1, 7] = True
    gradient = sweep(cell, x, last, reset=reset).gradient
    there = gradient.norm(dim=2) > 0
    assert there[0].tolist() == [False] * 5 + [True] * 4
    assert there[1].tolist() == [False] * 7 + [True] * 2
    assert bool(there[2].all())
    torch.testing.assert_close(gradient[0, 5:], sweep(cell, x[:, 5:], last).gradient[0])


def test_states_of_a_sweep_are_those_of_the_run() -> None:
    """h_{t-1} of every step, without a history."""
    cell, x = CELLS["stack"]().double(), inputs()
    run = sweep(cell, x, every)
    states = [cell.initial_state(3)]
    for x_t in x.unbind(1):
        states.append(cell(x_t, states[-1])[1])
    for found, expected in zip(leaves(run.before), leaves(stack(states[:-1])), strict=True):
        torch.testing.assert_close(found, expected)
        assert not found.requires_grad
    assert not run.gradient.requires_grad
