"""Does a network that was trained to hold three bits have a stable fixed point for each of the eight memories?

The 3-bit flip-flop of Sussillo & Barak (2013): pulses of +1 and −1 come in on three channels, at random and seldom, and
each output holds the sign of the last pulse on its channel. GRU and Elman networks of 16 units learn it; then the fixed
points without input are searched for, from states of the network's own runs and from states between them.

The bar: eight stable points, one with the outputs of each memory, every point certified (Newton's step is at most 1e-6)
and inside the span of the states that the network reaches; else the exit code is 1. Saddles are printed: between eight
memories as the corners of a cube one expects 12 with one unstable direction, 6 with two, 1 with three.

    python benchmarks/flip_flop.py [--seeds 3] [--epochs 60] [--threads 1]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from measure import machine
from sklearn.exceptions import ConvergenceWarning

from seqdyn import Cell, ElmanRegressor, GRURegressor, scan
from seqdyn.dynamics import FixedPoints, fixed_points
from seqdyn.state import flatten

Array = np.ndarray[Any, Any]

BITS, UNITS, PULSES = 3, 16, 0.15
QUIET = 500
"""Steps without pulses after those with."""

CUBE = (8, 12, 6, 1)


class Result(NamedTuple):
    """What one network came to."""

    right: float
    seconds: float
    memories: int
    indices: list[int]
    slow: int
    newton_step: float
    inside: bool
    searched: float


def flip_flop(series: int, steps: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Pulses (series, steps, 3) in {−1, 0, 1}, at the first step on every channel, and the sign of the last ones."""
    shape = (series, steps, BITS)
    pulses = generator.choice([-1.0, 1.0], shape) * (generator.random(shape) < PULSES)
    pulses[:, 0] = generator.choice([-1.0, 1.0], (series, BITS))
    held = pulses.copy()
    for step in range(1, steps):
        held[:, step] = np.where(pulses[:, step] == 0, held[:, step - 1], pulses[:, step])
    return pulses, held


def points_of(network: Cell, pulses: Array) -> tuple[FixedPoints, bool, float]:
    """The fixed points without input, whether all lie in the span of the states reached, and seconds."""
    begin = time.perf_counter()
    cell = copy.deepcopy(network).double().cpu()
    quiet = np.zeros((len(pulses), QUIET, BITS))
    with torch.no_grad():
        x = torch.from_numpy(np.concatenate([pulses, quiet], 1))
        states = scan(cell, x, record=lambda x, before, output, after: flatten(after)).record.flatten(0, 1)
    generator = torch.Generator().manual_seed(0)
    corners = states[torch.randint(len(states), (2048, 4), generator=generator)]
    weights = torch.randint(0, 2, (2048, 4), generator=generator).double()
    weights[:, 0] = 1
    between = (weights.unsqueeze(2) * corners).sum(1) / weights.sum(1, keepdim=True)
    between += 0.05 * torch.randn(between.shape, generator=generator, dtype=torch.float64)
    found = fixed_points(cell, starts=between)
    slack = 1e-6
    inside = (found.points >= states.amin(0) - slack) & (found.points <= states.amax(0) + slack)
    return found, bool(inside.all()), time.perf_counter() - begin


def memories_of(network: Cell, found: FixedPoints) -> int:
    """How many of the eight memories have a stable point with their outputs."""
    cell = copy.deepcopy(network).double().cpu()
    state = found.states(cell)
    with torch.no_grad():
        output = cell(torch.zeros(len(found), BITS).double(), state)[0]
    sure = found.stable & ((output.abs() - 1).abs() < 0.5).all(1)
    return len({tuple(row) for row in output[sure].sign().int().tolist()})


def one(kind: type[Any], seed: int, epochs: int) -> Result:
    """Train a network and look at its points."""
    pulses, held = flip_flop(256, 60, np.random.default_rng(seed))
    model = kind(
        hidden_size=UNITS, scale=False, max_epochs=epochs, batch_size=32, learning_rate=1e-2, random_state=seed
    )
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(pulses, held)
    seconds = time.perf_counter() - begin
    unseen, truth = flip_flop(128, 300, np.random.default_rng(1000 + seed))
    right = float((np.sign(model.predict(unseen)) == truth).mean())
    found, inside, searched = points_of(model.cell_, unseen)
    indices = torch.bincount(found.index[~found.slow], minlength=4).tolist()
    steps = found.newton_step[~found.slow]
    newton_step = float(steps.max()) if len(steps) else 0.0
    memories = memories_of(model.cell_, found)
    return Result(right, seconds, memories, indices, int(found.slow.sum()), newton_step, inside, searched)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--epochs", type=int, default=60)
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    print(machine())
    print(f"points with 0, 1, 2, 3, … unstable directions; a cube has {CUBE}")
    passed = True
    for kind in (GRURegressor, ElmanRegressor):
        results = []
        for seed in range(chosen.seeds):
            result = one(kind, seed, chosen.epochs)
            results.append(result)
            good = result.memories == 8 and result.indices[0] == 8 and result.inside and result.newton_step <= 2e-6
            passed &= good
            print(
                f"{kind.__name__:14} seed {seed}: {100 * result.right:.2f} % of 128 x 300 unseen steps right, "
                f"{result.memories} of 8 memories, points {result.indices}, {result.slow} slow, Newton's step at most "
                f"{result.newton_step:.1e}, {'all' if result.inside else 'NOT all'} inside, search "
                f"{result.searched:.1f} s, training {result.seconds:.1f} s{'' if good else '   BELOW THE BAR'}",
                flush=True,
            )
        median = statistics.median(result.seconds for result in results)
        print(f"{kind.__name__:14} median training {median:.1f} s")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
