"""How much memory does ``fit`` need for one very long sequence?

Truncated BPTT with ``bptt_length=100`` on one sequence of 10⁵ and of 10⁶ steps, one epoch each, every run in its own
process: the peak above what the imports and the arrays take must grow with the data alone (a few copies of it), not
with what the network computes on the way.

    python benchmarks/memory.py [--hidden 32]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from measure import machine

FEATURES = 4


def peak() -> float:
    """Peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit(steps: int, hidden: int) -> None:
    """One epoch; prints data, peak above the start, and seconds."""
    from seqdyn import LSTMRegressor

    model = LSTMRegressor(hidden_size=hidden, bptt_length=100, max_steps=5, max_epochs=1, random_state=0)
    warm = np.random.default_rng(0).normal(size=(2000, FEATURES))
    model.fit(warm, warm[:, 0])
    X = np.random.default_rng(0).normal(size=(steps, FEATURES))
    y = X[:, 0].copy()
    before, begin = peak(), time.perf_counter()
    model.set_params(max_steps=None).fit(X, y)
    data = (X.nbytes + y.nbytes) / 2**20
    print(f"{steps} {data:.1f} {peak() - before:.1f} {time.perf_counter() - begin:.1f}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--hidden", type=int, default=32)
    arguments.add_argument("--steps", type=int, help="measure one length in this process")
    options = arguments.parse_args()
    if options.steps:
        fit(options.steps, options.hidden)
        return
    print(machine())
    print(f"{'steps':>9} {'data MiB':>9} {'peak above MiB':>15} {'peak / data':>12} {'seconds':>8}")
    for steps in (10**5, 10**6):
        command = [sys.executable, __file__, "--steps", str(steps), "--hidden", str(options.hidden)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        count, data, above, seconds = output
        print(f"{count:>9} {data:>9} {above:>15} {float(above) / float(data):>12.2f} {seconds:>8}")
    full = 10**6 * options.hidden * 4 * 7 / 2**20
    print(f"full BPTT over 10^6 steps would hold about {full:.0f} MiB of activations (7 float32 per step and unit)")


if __name__ == "__main__":
    main()
