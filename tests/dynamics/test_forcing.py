"""Generalised forcing: what it makes of gradients, how much of it is needed, and that a training may change it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqdyn.autoregression import Autoregression, OwnPast, Past
from seqdyn.cell import Cell
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout
from seqdyn.dynamics.forcing import forced_growth, recommended_alpha
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.flow import FlowState
from seqdyn.loops import scan
from seqdyn.state import flatten, unflatten
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.simulate import simulate
from seqdyn.teacher_forcing import TeacherForcing
from tests.dynamics.unchanged import unchanged

STEPS = 12


def values(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear_map(A: Tensor) -> Cell:
    """ŷ_t = A v_t, without a memory."""
    cell = Linear(len(A), 0, len(A)).double()
    cell.feedthrough.data.copy_(A)
    return cell


def gated(kind: Any = GRU, size: int = 4) -> Cell:
    generator = torch.Generator().manual_seed(0)
    return Readout(kind(2, size, generator=generator), 2, generator=generator).double()


class Map(Cell):
    """x_t = F(x_{t-1}) as a cell of its own past: one step of a flow from where its input says."""

    def __init__(self, flow: Lorenz):
        super().__init__(3, 0, 3)
        self.flow = flow

    def initial_state(self, batch: int) -> tuple[()]:
        return ()

    def forward(self, x: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:
        return self.flow(x[:, :0], FlowState(x))[0], state


def shown(forcing: TeacherForcing) -> Tensor:
    """k_t of two series, (2, STEPS, 2)."""
    known = forcing.known(2, STEPS, generator=torch.Generator().manual_seed(0))
    return known[..., None].expand(2, STEPS, 2)


def test_alpha_of_one_is_full_forcing_and_a_share_of_none_a_free_run_to_the_bit() -> None:
    cell, y = gated(), values(2, STEPS, 2)
    loop = OwnPast(cell)
    full = scan(loop, Past(y, shown(TeacherForcing(alpha=1.0)))).output
    assert torch.equal(full, scan(cell, y).output)
    free = scan(loop, Past(y, shown(TeacherForcing(share=0.0)))).output
    assert torch.equal(free, scan(loop, loop.alone(2, STEPS)).output)
    assert not torch.equal(full, free)


def test_a_warm_up_sees_everything_and_a_free_run_at_the_end_nothing() -> None:
    """Also where no coin falls, no n-th step is, and α is small; the end comes before the beginning."""
    forcing = TeacherForcing(share=0.0, every=5, alpha=0.1, warmup=3, free_run=2)
    known = forcing.known(2, 6, torch.tensor([6, 4]), generator=torch.Generator())
    assert known.tolist() == [[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert TeacherForcing(alpha=0.25, warmup=2).known(1, 4).tolist() == [[1, 1, 0.25, 0.25]]
    with pytest.raises(ValueError, match="warmup"):
        TeacherForcing(warmup=-1)


@pytest.mark.parametrize("alpha", [0.1, 0.75])
def test_gradients_of_a_linear_map_shrink_by_one_minus_alpha_a_step(alpha: float) -> None:
    """∂ŷ_t/∂ŷ_{-1} = ((1 − α) A)^{t+1}, by autograd through the loop."""
    A = values(2, 2)
    loop, x = OwnPast(linear_map(A)), Past(values(1, STEPS, 2), shown(TeacherForcing(alpha=alpha))[:1])

    def run(last: Tensor) -> Tensor:
        return scan(loop, x, loop.start_from(last=last)).output[0]

    found = torch.autograd.functional.jacobian(run, torch.ones(1, 2, dtype=torch.float64))[:, :, 0]
    expected = torch.stack([torch.linalg.matrix_power((1 - alpha) * A, step + 1) for step in range(STEPS)])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_sparse_forcing_cuts_gradients_where_it_says() -> None:
    """Between two true values everything comes back, across one nothing does, to the bit."""
    loop, every = OwnPast(linear_map(values(2, 2))), 5
    kept: list[Tensor] = []

    def keep(t: int, state: Any) -> Any:
        kept.append(state.last.detach().requires_grad_() if t == 0 else state.last)
        if state.last.requires_grad:
            state.last.retain_grad()
        return state._replace(last=kept[-1])

    run = scan(loop, Past(values(1, STEPS, 2), shown(TeacherForcing(every=every))[:1]), force=keep)
    for t in range(STEPS):
        gradients = torch.autograd.grad(run.output[0, t].sum(), kept, retain_graph=True, allow_unused=True)
        reached = [gradient is not None and bool(gradient.any()) for gradient in gradients]  # by ŷ_{s-1}
        assert reached == [t - t % every < s <= t + 1 for s in range(STEPS)]


def test_the_growth_of_a_linear_map_is_that_of_its_powers() -> None:
    A = values(3, 3) * 2
    growth = forced_growth(linear_map(A), values(2, STEPS, 3), alpha=0.25)
    power = torch.linalg.matrix_norm(torch.linalg.matrix_power(0.75 * A, STEPS), 2)
    assert growth.product == pytest.approx(float(power) ** (1 / STEPS), rel=1e-12)
    assert growth.bound == pytest.approx(0.75 * float(torch.linalg.matrix_norm(A, 2)), rel=1e-12)


@pytest.mark.parametrize("kind", [GRU, LSTM])
def test_the_growth_is_that_of_jacobians_by_autograd(kind: Any) -> None:
    """Every step on its own: v = α y + (1 − α) ŷ at ŷ = y, differentiated by (h, ŷ)."""
    cell, y, alpha = gated(kind), values(1, STEPS, 2), 0.3
    factors = []
    state = cell.initial_state(1)
    for t in range(STEPS):
        before = (state, y[:, t])

        def step(vector: Tensor, before: Any = before, truth: Tensor = y[:, t]) -> Tensor:
            h, last = unflatten(vector, before)
            output, after = cell(alpha * truth + (1 - alpha) * last, h)
            return flatten((after, output))[0]

        factors.append(torch.autograd.functional.jacobian(step, flatten(before))[:, 0])
        state = cell(y[:, t], state)[1]
    product = torch.linalg.matrix_norm(torch.linalg.multi_dot(factors[::-1]), 2)
    bound = torch.stack([torch.linalg.matrix_norm(factor, 2) for factor in factors]).log().mean().exp()
    growth = forced_growth(cell, y, alpha=alpha)
    assert growth.product == pytest.approx(float(product) ** (1 / STEPS), rel=1e-10)
    assert growth.bound == pytest.approx(float(bound), rel=1e-10)


def test_the_sequence_that_grows_most_decides() -> None:
    cell, y = gated(), 3 * values(4, STEPS, 2)
    apart = [forced_growth(cell, y[[row]]) for row in range(4)]
    together = forced_growth(cell, y)
    assert together.product == pytest.approx(max(growth.product for growth in apart), rel=1e-12)
    assert together.bound == pytest.approx(max(growth.bound for growth in apart), rel=1e-12)


def test_alpha_of_a_map_is_one_minus_the_inverse_of_its_growth() -> None:
    A = torch.tensor([[0.0, 3.0], [1.0, 0.0]], dtype=torch.float64)  # norm 3, that of its square, of even powers, √3
    y = values(1, STEPS, 2)
    assert recommended_alpha(linear_map(A), y, by="bound") == pytest.approx(1 - 1 / 3, abs=1e-6)
    assert recommended_alpha(linear_map(A), y) == pytest.approx(1 - 1 / 3**0.5, abs=1e-6)
    assert recommended_alpha(linear_map(A / 4), y) == 0


def test_alpha_of_a_chaotic_map_is_that_of_its_exponent() -> None:
    """Lorenz: 1 − e^{−λ Δt}, λ = 0.906; the largest of four finite times."""
    flow = Lorenz(dt=0.02).double()
    start = FlowState(values(4, 3) + torch.tensor([0.0, 0.0, 25.0]))
    alpha = recommended_alpha(Map(flow), simulate(flow, 1500, start, discard=500))
    assert alpha == pytest.approx(1 - np.exp(-0.906 * 0.02), abs=0.1 * 0.02)


def test_alpha_of_a_network_with_a_memory_is_where_growth_begins() -> None:
    cell, y = gated(), values(3, 60, 2)
    cell.affine.weight.data.mul_(8)
    alpha = recommended_alpha(cell, y)
    assert 0 < alpha < 1
    assert forced_growth(cell, y, alpha=alpha).product <= 1 < forced_growth(cell, y, alpha=alpha - 2e-6).product


def test_no_alpha_tames_a_memory_that_grows_by_itself() -> None:
    cell = Linear(2, 3, 2).double()
    cell.transition.data.copy_(2 * torch.eye(3))
    assert recommended_alpha(cell, values(1, STEPS, 2)) == 1


def test_a_fitted_estimator_is_measured_and_trained_on_with_what_it_asks_for() -> None:
    wave = np.sin(0.3 * np.arange(200))[:, None]
    own = Autoregression(lags=2)
    model = GRURegressor(hidden_size=4, max_epochs=2, autoregression=own, warm_start=True, random_state=0)
    model.fit(wave[:-1], wave[1:])
    x = Past(torch.as_tensor(wave[None, :50]), torch.ones(1, 50, 1))
    with unchanged(model.cell_):
        alpha = recommended_alpha(model.cell_, x)
    before = [value.clone() for value in model.cell_.state_dict().values()]
    model.set_params(autoregression=replace(own, teacher_forcing=TeacherForcing(alpha=max(alpha, 0.1))))
    model.fit(wave[:-1], wave[1:])
    assert any(not torch.equal(*pair) for pair in zip(before, model.cell_.state_dict().values(), strict=True))
    for other in (replace(own, lags=3), None):
        with pytest.raises(ValueError, match="autoregression was"):
            model.set_params(autoregression=other).fit(wave[:-1], wave[1:])


def test_bad_input() -> None:
    y = values(1, STEPS, 2)
    with pytest.raises(ValueError, match=r"alpha must be a number in \[0, 1\], got 1.5"):
        forced_growth(gated(), y, alpha=1.5)
    with pytest.raises(ValueError, match="by must be one of 'product', 'bound'"):
        recommended_alpha(gated(), y, by="norm")
    known = torch.ones(1, STEPS, 2).index_fill(1, torch.tensor([3]), 0.0)
    with pytest.raises(ValueError, match=r"x\.known is 0 at \(sequence, step, …\) 0, 3, 0: growth"):
        forced_growth(OwnPast(gated()), Past(y, known))
    with pytest.raises(ValueError, match=r"GRU takes 2 input\(s\) and gives 4 output\(s\)"):
        forced_growth(GRU(2, 4), y)
