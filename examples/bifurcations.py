"""A network sees the logistic map at five values of r, and is run free at all others: it doubles where the map does.

The map y_t = r y_{t-1} (1 − y_{t-1}) rests, then swings between 2, 4, 8, … values from r = 3 and r = 1 + √6 on, and is
chaotic beyond 3.57. An Elman network of r and its own last output learns single steps at five values of r. It starts
them from random memories, so that it learns to forget: the map has none. Left alone at 600 values it has the same tree,
and its multipliers pass −1 where those of the map do, to 0.02; those of a polynomial of third degree, among which the
map is, to 10⁻⁴. With a folder as argument it draws both trees.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import root_scalar

from seqdyn import Autoregression, Cell, ElmanRegressor, NextGenerationReservoirRegressor
from seqdyn.dynamics import fixed_points, lyapunov_spectrum
from seqdyn.held import Held
from seqdyn.phase_figures import plot_bifurcation
from seqdyn.state import flatten, map_leaves
from seqdyn.systems.logistic import Logistic, LogisticState
from seqdyn.systems.simulate import simulate

SEEN, SERIES, STEPS = (2.8, 3.1, 3.4, 3.7, 4.0), 100, 4
GRID = np.linspace(2.7, 4.0, 600)
CHAOS = 3.5699  # the end of the doublings


def train() -> tuple[ElmanRegressor, NextGenerationReservoirRegressor]:
    """A network, and a polynomial of third degree, from short series that begin anywhere."""
    start = LogisticState(torch.rand(SERIES, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    orbits = np.concatenate([simulate(Logistic(r).double(), STEPS + 1, start).numpy() for r in SEEN])
    past, target = orbits[:, :-1], orbits[:, 1:]
    parameter = np.broadcast_to(np.repeat(SEEN, SERIES)[:, None, None], past.shape)
    network = ElmanRegressor(hidden_size=24, initial_state="random", learning_rate=2e-2, schedule="cosine",
                             max_epochs=1500, batch_size=100, tol=0.0, n_iter_no_change=1500,
                             autoregression=Autoregression(), random_state=0)  # fmt: skip
    cubic = NextGenerationReservoirRegressor(delays=1, degree=3, warmup=0, autoregression=Autoregression())
    rows = np.concatenate([past, parameter], axis=2)
    return network.fit(rows, target), cubic.fit(rows, target)


def alone(r: np.ndarray, steps: int) -> np.ndarray:
    """Inputs of free runs, (values, steps, 2): the last value is known before the first step only."""
    rows = np.full((len(r), steps, 2), np.nan)
    rows[:, 0, 0], rows[:, :, 1] = 0.4, r[:, None]
    return rows


def held(model: Any, r: float) -> Held:
    """The free run at one value of r, as a system without input."""
    x = model.predictor_.encode(np.array([[[np.nan, r]]]))
    return Held(model.cell_, map_leaves(lambda leaf: leaf[:, 0], x))


class Iterated(Cell):
    """Several steps of a system as one: its fixed points are cycles, stable or not."""

    def __init__(self, cell: Cell, period: int):
        super().__init__(0, cell.hidden_size, cell.output_size)
        self.cell, self.period = cell, period

    def initial_state(self, batch: int) -> tuple:
        return self.cell.initial_state(batch)

    def forward(self, x: torch.Tensor, state: tuple) -> tuple:
        for _ in range(self.period):
            output, state = self.cell(x, state)
        return output, state


def multiplier(model: Any, r: float, period: int) -> float:
    """The most negative multiplier of the cycle of a period next to where a free run gets to."""
    _, state = model.predict(alone(np.array([r]), 400), return_state=True)
    cycle = fixed_points(Iterated(held(model, r), period), starts=flatten(state))
    return float(cycle.eigenvalues.real.min())


def doubling(model: Any, period: int, low: float, high: float) -> float:
    """Where the multiplier of a cycle passes −1."""
    return root_scalar(lambda r: multiplier(model, r, period) + 1, x0=low, x1=high, xtol=1e-4).root


def exponent(system: Cell, start: tuple) -> float:
    return float(lyapunov_spectrum(system, state=start, steps=2000, k=1, k_adjoint=0).exponents[0])


def main(folder: Path | None = None) -> None:
    network, cubic = train()
    places = {"the map": [3.0, 1 + 6**0.5]}
    for name, model in (("the network", network), ("third degree", cubic)):
        places[name] = [doubling(model, 1, 2.95, 3.02), doubling(model, 2, 3.42, 3.45)]
    print("period doubles     1 → 2    2 → 4")
    for name, (first, second) in places.items():
        print(f"  {name:12} {first:9.4f}{second:9.4f}")

    true, learnt = visited(), network.predict(alone(GRID, 1000))[:, 800:, 0]
    gaps = np.array([gap(one, other) for one, other in zip(true, learnt, strict=True)])[GRID < CHAOS]
    print(f"values visited below r = {CHAOS}: {np.median(gaps):.4f} apart, at most {gaps.max():.3f}")

    print("   r    λ₁ of the map and of the network, nats per step")
    found = []
    for r in (2.9, 3.3, 3.52, 3.65, 3.9):  # away from 3.236 and 3.499, where the map's own is −∞
        start = LogisticState(torch.linspace(0.1, 0.9, 10, dtype=torch.float64)[:, None])
        _, state = network.predict(alone(np.full(10, r), 50), return_state=True)
        found.append((exponent(Logistic(r), start), exponent(held(network, r), state)))
        print(f"  {r:.2f}  {found[-1][0]:7.3f} {found[-1][1]:7.3f}")
    if folder is not None:
        seen = ", ".join(f"{r:g}" for r in SEEN)
        scans = {"The logistic map": true, f"A network that has seen r = {seen}": learnt}
        drawing = plot_bifurcation({name: (GRID, runs[:, :100]) for name, runs in scans.items()}, "r")
        drawing.savefig(folder / "bifurcation.png", dpi=100)
    apart = {name: np.abs(np.subtract(found, places["the map"])).max() for name, found in places.items()}
    assert apart["the network"] < 0.03 and apart["third degree"] < 1e-3
    assert np.median(gaps) < 0.005 and gaps.max() < 0.08
    assert all((one > 0) == (other > 0) and abs(one - other) < 0.15 for one, other in found)


def visited() -> np.ndarray:
    """What the map visits, (values, 200), after 800 steps."""
    orbit = [np.full(len(GRID), 0.4)]
    for _ in range(1000):
        orbit.append(GRID * orbit[-1] * (1 - orbit[-1]))
    return np.stack(orbit[801:], axis=1)


def gap(one: np.ndarray, other: np.ndarray) -> float:
    """How far a value that one of them visits is from the nearest of the other, at most."""
    apart = np.abs(one[:, None] - other)
    return float(max(apart.min(axis=0).max(), apart.min(axis=1).max()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
