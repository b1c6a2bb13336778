"""A real salamander's kinematics, learnt: does the free run keep the animal's cycle, closed and stable?

    python salamander_kinematics.py [--seeds 0 1 2] [--epochs 150] [--keep FOLDER]

One mean cycle of swimming (8 joints, 3.2 Hz) and of walking (24 joints, 0.88 Hz), harmonics 0 to 5, tiled in true time.
Printed for every seed: the error of each joint over 20 free-running cycles, after one alignment of the phase, in
percent of the joint's range (median and worst joint); the drift of the phase a cycle, apart; and the limit cycle.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import measure
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from seqdyn import Autoregression, GRURegressor, MotionModel, load
from seqdyn.datasets import fetch_salamander
from seqdyn.dynamics import limit_cycle
from seqdyn.motion import cycle_error

GAITS = {"swimming": (3.2, 60.0), "walking": (0.88, 25.0)}
"""Frequency of the animal in Hz, and samples a second."""
CYCLES = 20


def network(seed: int, epochs: int) -> GRURegressor:
    """Windows of which most runs free."""
    own = Autoregression(free_run=50)
    return GRURegressor(hidden_size=64, window=70, stride=5, learning_rate=5e-3, schedule="cosine", max_epochs=epochs,
                        n_iter_no_change=epochs, autoregression=own, random_state=seed)  # fmt: skip


def learn(gait: str, seed: int, epochs: int, keep: Path | None) -> MotionModel:
    """Train, or load what was kept."""
    path = keep and keep / f"kinematics_{gait}_{seed}.safetensors"
    if path and path.exists():
        return load(path)
    frequency, rate = GAITS[gait]
    angles = fetch_salamander(gait, rate=rate, frequency=frequency, cycles=CYCLES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MotionModel(network(seed, epochs), rate=rate).fit(None, angles)
    if path:
        model.save(path)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--keep", type=Path, default=None)
    options = parser.parse_args()
    print(measure.machine())
    for gait, (frequency, rate) in GAITS.items():
        angles = fetch_salamander(gait, rate=rate, frequency=frequency, cycles=CYCLES)
        cycle = fetch_salamander(gait, rate=256 * frequency, frequency=frequency, cycles=1).to_numpy()
        for seed in options.seeds:
            begin = time.perf_counter()
            model = learn(gait, seed, options.epochs, options.keep)
            seconds = time.perf_counter() - begin
            run = model.free_run(None, angles.iloc[: round(2 * rate / frequency)], round(CYCLES * rate / frequency))
            found = cycle_error(run, cycle, frequency)
            closed = limit_cycle(model.autonomous(), dt=1 / rate)
            print(f"{gait} seed {seed}, {seconds:.0f} s: error {100 * np.median(found.error):.2f} % of the range (worst"
                  f" joint {100 * found.error.max():.2f} %), drift {found.drift:+.2e} cycles a cycle; {closed}",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
