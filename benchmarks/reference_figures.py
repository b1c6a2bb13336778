"""Do the instruments give the published numbers? The table of reference figures, recomputed at its full size.

Maps and flows with known exponents (T1–T6), random networks beside mean-field theory at N = 1000 (T7, T8), fixed
points (T10, T11), chance levels of two tasks (T13, T14), default networks (T18), and products known exactly (T19–T23).
A figure is the mean over seeds or starts; the spread is that of one of them. The rest of the table is trained networks
(T12, T15–T17), which this script leaves out; T9 is the sign of T7 and T8.

    python benchmarks/reference_figures.py [--rows T1 T7 …] [--units 1000]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from measure import machine
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.dynamics.gradients import parameter_gradients
from seqdyn.dynamics.lyapunov import LyapunovSpectrum, lyapunov_spectrum
from seqdyn.dynamics.non_normality import normality
from seqdyn.dynamics.products import log_norm, scaled, total
from seqdyn.dynamics.singular_values import transition_singular_values
from seqdyn.dynamics.trajectory import jacobians
from seqdyn.dynamics.transitions import transition_norms
from seqdyn.systems.henon import Henon, HenonState
from seqdyn.systems.logistic import Logistic, LogisticState
from seqdyn.systems.lorenz import Lorenz, LorenzState

DECADE = math.log(10)
UNITS = 1000
"""N of the random networks, unless said otherwise."""


class Figure(NamedTuple):
    """One number: what it is, ours of every seed or start, the page's, and how far apart they may be.

    ``page`` may be a range (low, high), in which all of ours must lie, and ``tolerance`` infinite where the page warns
    that the value is not to be asserted.
    """

    name: str
    ours: Sequence[float]
    page: float | tuple[float, float]
    tolerance: float = 0.0

    @property
    def holds(self) -> bool:
        if isinstance(self.page, tuple):
            return all(self.page[0] <= value <= self.page[1] for value in self.ours)
        return abs(float(np.mean(self.ours)) - self.page) <= self.tolerance


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def per_sequence(
    names: Sequence[str], found: LyapunovSpectrum, page: Sequence[float], tolerance: float
) -> list[Figure]:
    """Every exponent of every sequence."""
    columns = found.per_sequence.T.tolist()
    return [Figure(*row, tolerance) for row in zip(names, columns, page, strict=True)]


# --- maps and flows ---------------------------------------------------------------------------------------------------


def logistic() -> list[Figure]:
    """10⁶ iterations a seed: 100 orbits of 10⁴."""
    found = []
    for seed in range(3):
        start = LogisticState(torch.rand(100, 1, generator=seeded(seed), dtype=torch.float64))
        found.append(float(lyapunov_spectrum(Logistic(4.0), state=start, steps=10_100, burn_in=100).exponents[0]))
    return [Figure("logistic map, r = 4", found, math.log(2), 1e-4)]


def henon() -> list[Figure]:
    """10⁵ iterations a start."""
    found = lyapunov_spectrum(Henon(), state=HenonState(0.1 * randn(5, 2)), steps=100_500, burn_in=500, k_adjoint=0)
    own = per_sequence(["Hénon λ₁", "Hénon λ₂"], found, [0.41922, -1.62319], 0.004)
    total_rate = Figure("Hénon λ₁ + λ₂", found.per_sequence.sum(1).tolist(), math.log(0.3), 1e-12)
    return [*own, total_rate, Figure("Hénon D_KY", [found.kaplan_yorke], 1.25827, 0.003)]


def lorenz() -> list[Figure]:
    """1000 units of time a start, after 50."""
    start = LorenzState(1 + 0.5 * randn(8, 3))
    found = lyapunov_spectrum(Lorenz(dt=0.01), state=start, steps=105_000, burn_in=5000, dt=0.01, k_adjoint=0)
    own = per_sequence(["Lorenz λ₁", "Lorenz λ₂", "Lorenz λ₃"], found, [0.9056, 0.0, -14.5723], 0.02)
    total_rate = Figure("Lorenz λ₁ + λ₂ + λ₃", found.per_sequence.sum(1).tolist(), -41 / 3, 1e-3)
    return [*own, total_rate, Figure("Lorenz D_KY", [found.kaplan_yorke], 2.06215, 0.003)]


class StandardMap(Cell):
    """p_t = p_{t-1} + k sin θ_{t-1}, θ_t = θ_{t-1} + p_t: it keeps areas."""

    def __init__(self, k: float = 1.0):
        super().__init__(0, 2)
        self.k = k

    def initial_state(self, batch: int) -> ElmanState:
        return ElmanState(self.zeros(batch, 2) + 0.01)

    def forward(self, x: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        p, angle = state.h.unbind(1)
        p = p + self.k * torch.sin(angle)
        h = torch.stack([torch.remainder(p, 2 * math.pi), torch.remainder(angle + p, 2 * math.pi)], 1)
        return h, ElmanState(h)


def standard_map() -> list[Figure]:
    """5 · 10⁵ steps from five starts beside the hyperbolic point."""
    start = ElmanState(0.01 * randn(5, 2))
    found = lyapunov_spectrum(StandardMap().double(), state=start, steps=500_000, burn_in=1000, k_adjoint=0)
    curve = found.running[:, 0]
    early = [float(curve[torch.searchsorted(found.running_steps, steps)]) for steps in (10**4, 10**5)]
    return [
        Figure("standard map λ₁ + λ₂", found.per_sequence.sum(1).tolist(), 0.0, 1e-14),
        Figure("standard map λ₁ > 0", found.per_sequence[:, 0].tolist(), (1e-3, 1.0)),
        Figure("standard map λ₁, 5 · 10⁵ steps", found.per_sequence[:, 0].tolist(), 0.10497, math.inf),
        Figure("standard map λ₁, 10⁴ steps", early[:1], 0.10497, math.inf),
        Figure("standard map λ₁, 10⁵ steps", early[1:], 0.10497, math.inf),
    ]


def diagonal() -> list[Figure]:
    """Linear maps and a flow, exactly."""
    rates = [math.log(1.1), math.log(0.8), math.log(0.9)]
    found = lyapunov_spectrum(
        linear(torch.diag(torch.tensor([1.1, 0.9, 0.8], dtype=torch.float64))), torch.zeros(1, 2000, 1)
    )
    flow = linear(torch.diag(torch.tensor([math.exp(0.001), math.exp(-0.004)], dtype=torch.float64)))
    other = lyapunov_spectrum(flow, torch.zeros(1, 12_000, 1), burn_in=8000, dt=0.01, k_adjoint=0)
    pairs = zip(found.exponents.tolist(), sorted(rates, reverse=True), strict=True)
    worst = max(abs(ours - page) for ours, page in pairs)
    off = max(abs(float(other.exponents[0]) - 0.1), abs(float(other.exponents[1]) + 0.4))
    return [Figure("diagonal maps, error", [worst], 0.0, 1e-12), Figure("diagonal flow, error", [off], 0.0, 1e-12)]


def linear(D: Tensor) -> Linear:
    cell = Linear(1, len(D)).double()
    with torch.no_grad():
        cell.transition.copy_(D)
    return cell


def stable_lorenz() -> list[Figure]:
    rest = math.sqrt(8 / 3 * 19)
    start = LorenzState(torch.tensor([[rest, rest, 19.0]]).double() + 0.01 * randn(4, 3))
    found = lyapunov_spectrum(Lorenz(rho=20.0), state=start, steps=30_000, dt=0.01, k_adjoint=0)
    names = [f"Lorenz, ρ = 20, λ{i}" for i in "₁₂₃"]
    own = per_sequence(names, found, [-0.15479177, -0.15479177, -13.35708312], 1e-3)
    return [*own, Figure("Lorenz, ρ = 20, sum", found.per_sequence.sum(1).tolist(), -41 / 3, 1e-3)]


# --- random networks beside mean-field theory -------------------------------------------------------------------------


class RandomMap(Cell):
    """x ← J tanh x with J_ij ~ N(0, g²/N), or, with a time step, dx/dt = −x + J tanh x by Euler's steps."""

    def __init__(self, gain: float, units: int, generator: torch.Generator, dt: float = 1.0):
        super().__init__(0, units)
        self.dt = dt
        weight = torch.randn(units, units, generator=generator, dtype=torch.float64)
        self.register_buffer("weight", weight * gain / units**0.5)

    def initial_state(self, batch: int) -> ElmanState:
        return ElmanState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        h = (1 - self.dt) * state.h + self.dt * torch.tanh(state.h) @ self.weight.T
        return h, ElmanState(h)

    def jacobian(self, x: Tensor, before: ElmanState, output: Tensor, after: ElmanState) -> Tensor:
        slopes = self.weight * (self.dt * (1 - torch.tanh(before.h) ** 2)).unsqueeze(1)
        slopes.diagonal(dim1=1, dim2=2).add_(1 - self.dt)
        return slopes


def random_exponent(gain: float, seed: int, steps: int, burn_in: int, dt: float) -> float:
    generator = seeded(seed)
    cell = RandomMap(gain, UNITS, generator, dt)
    start = ElmanState(torch.randn(1, UNITS, generator=generator, dtype=torch.float64))
    found = lyapunov_spectrum(cell, state=start, steps=steps + burn_in, burn_in=burn_in, k=1, k_adjoint=0, dt=dt)
    return float(found.exponents[0])


def random_maps() -> Iterator[Figure]:
    """T = 1000, five seeds."""
    for gain, page in ((0.5, -0.6931), (0.9, -0.1054), (1.5, 0.06522), (2.0, 0.15472), (5.0, 0.53243)):
        found = [random_exponent(gain, seed, 1000, 100, 1.0) for seed in range(5)]
        yield Figure(f"x ← J tanh x, g = {gain}", found, page, 0.05)


def random_flows() -> Iterator[Figure]:
    """T = 200, dt = 0.05; three seeds, five at g = 1.5, whose median counts."""
    for gain, page, tolerance in ((0.5, -0.5, 0.03), (0.9, -0.1, 0.03), (2.0, 0.1126, 0.0169), (5.0, 0.436, 0.0654)):
        found = [random_exponent(gain, seed, 4000, 400, 0.05) for seed in range(3)]
        yield Figure(f"ẋ = −x + J tanh x, g = {gain}", found, page, tolerance)
    found = [random_exponent(1.5, seed, 4000, 400, 0.05) for seed in range(5)]
    yield Figure("ẋ = −x + J tanh x, g = 1.5, median", [float(np.median(found))], 0.0468, 0.03)
    yield Figure("ẋ = −x + J tanh x, g = 1.5, each", found, 0.0468, math.inf)


# --- fixed points, tasks, default networks ----------------------------------------------------------------------------


def decoupled(units: int) -> Elman:
    cell = Elman(1, units).double()
    with torch.no_grad():
        cell.recurrent_weight.copy_(2 * torch.eye(units))
    return cell


def points() -> list[Figure]:
    found = fixed_points(decoupled(1))
    top = int(found.points[:, 0].argmax())
    counts = fixed_points(decoupled(3), starts=1024).index.bincount().tolist()
    return [
        Figure("a = tanh 2a", [float(found.points[top, 0])], 0.9575040240772688, 1e-14),
        Figure("its slope", [float(found.eigenvalues[top, 0].real)], 0.16637208775167434, 1e-14),
        *(Figure(f"three units, index {i}", [counts[i]], page) for i, page in enumerate([8, 12, 6, 1])),
    ]


def copy_memory() -> list[Figure]:
    """The cross-entropy of who knows the time and guesses the ten symbols, on 10⁴ drawn sequences."""
    found = []
    for steps, page in ((100, 0.17329), (500, 0.03999), (1000, 0.020387)):
        symbols = torch.randint(8, (10_000, 10), generator=seeded(steps))
        loss = torch.nn.functional.cross_entropy(torch.zeros(100_000, 8).double(), symbols.flatten()).item()
        found.append(Figure(f"copy memory, T = {steps}", [loss * 10 / (steps + 20)], page, 5e-6))
    return found


def adding() -> list[Figure]:
    """The variance of the sum of two uniform numbers, 10⁶ draws a seed."""
    found = [float(np.random.default_rng(seed).uniform(size=(10**6, 2)).sum(1).var()) for seed in range(3)]
    return [Figure("adding problem, chance", found, 1 / 6, 1e-3)]


def like_torch(cell: Any, seed: int, forget: float = 0.0) -> Any:
    """Weights as torch draws them, U(±1/√H), its two biases in one."""
    generator, bound = seeded(seed), cell.hidden_size**-0.5
    with torch.no_grad():
        for parameter in cell.double().parameters():
            parameter.uniform_(-bound, bound, generator=generator)
        cell.bias += torch.empty_like(cell.bias).uniform_(-bound, bound, generator=generator)
        cell.bias[cell.hidden_size : 2 * cell.hidden_size] += forget
    return cell


def default_networks() -> list[Figure]:
    """15 seeds of the start, 5 of the driven network."""
    weights = [like_torch(Elman(3, 256), seed).recurrent_weight.detach() for seed in range(15)]
    radii = [float(torch.linalg.eigvals(W).abs().max()) for W in weights]
    gains = [float(torch.linalg.matrix_norm(W, 2)) for W in weights]
    low, page, top = 2 / math.sqrt(3) * 0.96, 1 / math.sqrt(3), 2 / math.sqrt(3) * 1.04
    found = [Figure("σ₁(W), H = 256", gains, (low, top)), Figure("ρ(W), H = 256", radii, (0.98 * page, 1.1 * page))]
    for hidden in (64, 256):
        rates = [driven_rate(hidden, seed) for seed in range(5)]
        found.append(Figure(f"driven λ₁, H = {hidden}, −0.55 … −0.64", rates, -0.595, math.inf))
        found.append(Figure("its e-fold, steps, 1.6 … 1.8", [-1 / rate for rate in rates], 1.7, math.inf))
        horizons = [math.log(1.19e-7) / rate for rate in rates]
        found.append(Figure("its float32 horizon, steps, 25 … 29", horizons, 27, math.inf))
    return found


def driven_rate(hidden: int, seed: int) -> float:
    """16 inputs: the page does not say how many it had, and the rate depends on it."""
    cell = like_torch(Elman(16, hidden), seed)
    return float(lyapunov_spectrum(cell, randn(1, 1100, 16, seed=seed), k=1, burn_in=100, k_adjoint=0).exponents[0])


# --- products known exactly -------------------------------------------------------------------------------------------


def scalar_power() -> list[Figure]:
    """x_t = x_0 w^t: ∂x_t/∂w by parameter_gradients, the whole of it, relative error."""
    errors = []
    for factor in (0.5, 0.9, 1.1, 2.0):
        cell = linear(torch.tensor([[factor]], dtype=torch.float64))
        with torch.no_grad():
            cell.readout.fill_(1.0)
        state = type(cell.initial_state(1))(torch.full((1, 1), 1.5).double())
        found = parameter_gradients(cell, torch.zeros(1, 41, 1), lambda y: y, state, anchors=[40], edges=[0])
        errors.append(abs(found.log_norms["transition"][1].item() - math.log(40 * 1.5) - 39 * math.log(factor)))
    return [Figure("∂(x₀ wᵗ)/∂w, error of ln", errors, 0.0, 1e-12)]


def memory_lstm() -> list[Figure]:
    """Nine seeds of an LSTM, H = 64, forget bias 3, lag 200, in decades."""
    full, alone = [], []
    for seed in range(9):
        cell, x = like_torch(LSTM(3, 64), seed, forget=3.0), randn(1, 200, 3, seed=seed)
        full.append(float(transition_norms(cell, x, lags=[200]).median) / DECADE)
        alone.append(float(log_norm(total(scaled(jacobians(cell, x)[:, :, :64, :64])))) / DECADE)
    apart = [a - b for a, b in zip(full, alone, strict=True)]
    return [
        Figure("LSTM log₁₀‖P‖, (h, c)", full, 2.1, 2.0),
        Figure("the same of h alone", alone, -173.6, 10.0),
        Figure("apart", apart, (100, 300)),
    ]


def orthogonal() -> list[Figure]:
    cell, x = linear(torch.linalg.qr(randn(6, 6)).Q), randn(1, 1500, 1)
    norms = transition_norms(cell, x, lags=[1, 10, 999, 1500])
    worst = max(float(values.abs().max()) for values in norms.log_norms)
    exponents = float(lyapunov_spectrum(cell, x).exponents.abs().max())
    values = float(transition_singular_values(cell, x).abs().max())
    return [
        Figure("orthogonal, ln‖P‖", [worst], 0.0, 1e-12 * 1500),
        Figure("orthogonal, ln σ", [values], 0.0, 1e-12 * 1500),
        Figure("orthogonal, λ", [exponents], 0.0, 1e-12),
    ]


def transient() -> list[Figure]:
    found = normality(torch.tensor([[0.9, 10.0], [0.0, 0.9]], dtype=torch.float64))
    return [
        Figure("transient peak", [found.peak], 38.745922717546996, 1e-10),
        Figure("its lag", [float(found.peak_lag or 0)], 9),
        Figure("first below 1", [float(found.first_below_one or 0)], 63),
    ]


class Period(Cell):
    """h_t = D_{t mod 3} h_{t-1}; the input counts t."""

    MATRICES = (((1.0, 2.0), (0.0, 0.5)), ((0.5, 0.0), (3.0, 1.0)), ((0.0, 1.0), (-1.0, 0.3)))

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.register_buffer("matrices", torch.tensor(self.MATRICES, dtype=torch.float64))

    def initial_state(self, batch: int) -> ElmanState:
        return ElmanState(self.zeros(batch, 2))

    def forward(self, x: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        h = (self.matrices[x[:, 0].long() % 3] @ state.h.unsqueeze(2)).squeeze(2)
        return h, ElmanState(h)


def period() -> list[Figure]:
    x = torch.arange(3000, dtype=torch.float64).reshape(1, -1, 1)
    found = lyapunov_spectrum(Period(), x, burn_in=300, k_adjoint=2)
    return [
        Figure("period 3, λ₁", [float(found.exponents[0])], 0.45243102671494334, 1e-12),
        Figure("period 3, forward against backward", [found.adjoint_gap], 0.0, 1e-12),
    ]


ROWS: dict[str, Callable[[], Any]] = {
    "T1": logistic,
    "T2": henon,
    "T3": lorenz,
    "T4": standard_map,
    "T5": diagonal,
    "T6": stable_lorenz,
    "T10": points,
    "T13": copy_memory,
    "T14": adding,
    "T18": default_networks,
    "T19": scalar_power,
    "T20": memory_lstm,
    "T21": orthogonal,
    "T22": transient,
    "T23": period,
    "T7": random_maps,
    "T8": random_flows,
}


def line(row: str, figure: Figure, seconds: float) -> str:
    """A line of the markdown table."""
    ours = np.asarray(figure.ours, dtype=np.float64)
    spread = f"{ours.std(ddof=1):.1e} ({len(ours)})" if len(ours) > 1 else ""
    page, tolerance = figure.page, f"± {figure.tolerance:.2g}"
    if isinstance(page, tuple):
        page, tolerance = f"{page[0]:.4g} to {page[1]:.4g}", "all within"
    elif math.isinf(figure.tolerance):
        tolerance = "not asserted"
    elif not figure.tolerance:
        tolerance = "exact"
    said = page if isinstance(page, str) else f"{page:.8g}"
    sign = "–" if tolerance == "not asserted" else "yes" if figure.holds else "**no**"
    return f"| {row} | {figure.name} | {ours.mean():.8g} | {spread} | {said} | {tolerance} | {sign} | {seconds:.1f} |"


def main() -> None:
    global UNITS
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    arguments.add_argument("--units", type=int, default=UNITS)
    options = arguments.parse_args()
    UNITS = options.units
    print(machine())
    print("\n| row | figure | ours, mean | sd of one (of how many) | page | tolerance | holds | s |")
    print("|---|---|---|---|---|---|---|---|")
    for row in options.rows:
        begin = time.perf_counter()
        for figure in ROWS[row]():
            print(line(row, figure, time.perf_counter() - begin), flush=True)
            begin = time.perf_counter()


if __name__ == "__main__":
    main()
