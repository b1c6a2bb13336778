"""How tight a bound on unseen pictures of binarised MNIST does DRAW reach in 40 minutes, with attention and without?

The fixed binarisation; all 10,000 test pictures; beside the bound, that of importance samples.

    SEQDYN_DATA=… python benchmarks/draw.py [--attention] [--minutes 38] [--threads 1] [--seed 0] [--glimpses 10]
        [--learning-rate 3e-3] [--importance-samples 10]
"""

from __future__ import annotations

import argparse
import time

import torch
from measure import machine

from seqdyn import DRAW
from seqdyn.datasets import fetch_binarized_mnist

BARS = {False: 92.8, True: 100.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", action="store_true")
    parser.add_argument("--minutes", type=float, default=38.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--glimpses", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--importance-samples", type=int, default=10)
    parser.add_argument("--out", help="A file for the model.")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    data = fetch_binarized_mnist()
    model = DRAW(
        attention=given.attention, glimpses=given.glimpses, learning_rate=given.learning_rate, max_epochs=1000,
        max_time=60 * given.minutes, n_iter_no_change=1000, random_state=given.seed,
    )  # fmt: skip
    began = time.monotonic()
    model.fit(data.train)
    minutes = (time.monotonic() - began) / 60
    count = sum(weight.numel() for weight in model.network_.parameters())
    print(f"{model}\n{count} parameters, {len(model.history_)} epochs in {minutes:.1f} minutes")
    print("nats", model.history_["loss"].round(1).tolist(), flush=True)
    if given.out:
        model.save(given.out)
    for name, part in (("validation", data.validation), ("test", data.test)):
        found = model.evaluate(part)
        told = found.pop("divergence_per_glimpse").round(1).tolist()
        print(name, {name: round(value, 3) for name, value in found.items()}, "per glimpse", told, flush=True)
    print("bar", BARS[given.attention], "reached" if found["bound_nats"] <= BARS[given.attention] else "not reached")
    tight = model.evaluate(data.test, importance_samples=given.importance_samples)
    print(f"{given.importance_samples} importance samples: {tight['importance_weighted_nats']:.2f} nats, ", end="")
    print(f"of which {tight['effective_sample_size']:.1f} count")


if __name__ == "__main__":
    main()
