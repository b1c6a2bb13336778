"""How likely are the unseen pictures of binarised MNIST, in exact nats, after 40 minutes of PixelRNN?

The fixed binarisation; all 10,000 test pictures. Floors beside it: a probability for every pixel, and tables that count
what follows its nearest neighbours, both scored here.

    SEQDYN_DATA=… python benchmarks/binarized_mnist.py [--variant diagonal|row] [--minutes 38] [--threads 1] [--seed 0]
        [--hidden-size 32] [--num-layers 1]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from measure import machine

from seqdyn import PixelRNN
from seqdyn.datasets import fetch_binarized_mnist

BARS = {"diagonal": 83.0, "row": 85.0}
NEIGHBOURS = [(-1, 0), (0, -1), (-1, -1), (-1, 1), (-2, 0), (0, -2), (-2, -1), (-2, 1), (-1, -2), (-1, 2)]


def independent(train: np.ndarray, test: np.ndarray) -> float:
    """Nats a picture where every pixel has its own probability."""
    p = (train.sum(0) + 0.5) / (len(train) + 1)
    return float(-(test * np.log(p) + (1 - test) * np.log(1 - p)).sum((1, 2)).mean())


def counted(train: np.ndarray, test: np.ndarray, neighbours: list[tuple[int, int]] = NEIGHBOURS) -> float:
    """Nats a picture where every pixel looks its nearest earlier neighbours up in a table."""
    codes = []
    for part in (train, test):
        codes.append(sum(_moved(part, *by).astype(np.int64) << bit for bit, by in enumerate(neighbours)))
    nats, size = 0.0, 2 ** len(neighbours)
    for r, c in np.ndindex(*train.shape[1:]):
        seen, asked = codes[0][:, r, c], codes[1][:, r, c]
        ones = np.bincount(seen, train[:, r, c], minlength=size)
        p = ((ones + 0.5) / (np.bincount(seen, minlength=size) + 1))[asked]
        nats -= float(np.log(np.where(test[:, r, c], p, 1 - p)).mean())
    return nats


def _moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """What stands so far from every pixel; 0 outside."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    height, width = images.shape[1:]
    return padded[:, 2 + down : 2 + down + height, 2 + right : 2 + right + width]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=list(BARS), default="diagonal")
    parser.add_argument("--minutes", type=float, default=38.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hidden-size", type=int, default=32)
    parser.add_argument("--num-layers", type=int, default=1)
    parser.add_argument("--out", help="A file for the model.")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    data = fetch_binarized_mnist()
    print(f"independent pixels {independent(data.train, data.test):.1f}, ", end="")
    print(f"tables of ten neighbours {counted(data.train, data.test):.1f} nats", flush=True)
    model = PixelRNN(
        variant=given.variant, hidden_size=given.hidden_size, num_layers=given.num_layers, max_epochs=1000,
        max_time=60 * given.minutes, n_iter_no_change=1000, random_state=given.seed,
    )  # fmt: skip
    began = time.monotonic()
    model.fit(data.train)
    minutes = (time.monotonic() - began) / 60
    count = sum(weight.numel() for weight in model.network_.parameters())
    losses = (784 * model.history_["loss"]).round(2).tolist()
    print(
        f"{model}\n{count} parameters, {len(model.history_)} epochs in {minutes:.1f} minutes; nats {losses}", flush=True
    )
    if given.out:
        model.save(given.out)
    for part in ("validation", "test"):
        found = model.evaluate(getattr(data, part))
        print(part, {name: round(value, 4) for name, value in found.items()}, flush=True)
    reached = "reached" if found["nats_per_image"] <= BARS[given.variant] else "not reached"
    print(f"bar {BARS[given.variant]}: {reached}")


if __name__ == "__main__":
    main()
