"""How much faster is a picture drawn pixel by pixel with a state than by a full pass for every pixel?

64 pictures of 28 × 28 pixels from untrained models of the size that binarized_mnist.py trains; the same pictures from
the same numbers.

    python benchmarks/drawing_pixels.py [--threads 1] [--pictures 64] [--side 28]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from measure import machine

from seqdyn import PixelRNN, scan
from seqdyn.decoding import Drawn
from seqdyn.rows import Raster


def by_passes(model: PixelRNN, seeds: list[int]) -> np.ndarray:
    """A full pass over all pictures for every pixel."""
    height, width = model.shape_
    chance = Drawn(Raster(model.network_)).seeded(seeds, height * width).uniform
    x = torch.zeros(len(seeds), height, width)
    with torch.inference_mode():
        for number in range(height * width):
            r, c = divmod(number, width)
            p = torch.sigmoid(scan(model.network_, x).output[:, r, c])
            x[:, r, c] = (chance[:, number] > 1 - p).float()
    return x.long().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=28)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    images = np.random.default_rng(0).integers(2, size=(32, given.side, given.side))
    print(
        "\n| model | with a state, s | a pass for every pixel, s | ratio | the same pictures |\n|---|---|---|---|---|"
    )
    for variant, layers in (("diagonal", 1), ("row", 2)):
        model = PixelRNN(variant=variant, num_layers=layers, max_steps=2, random_state=0).fit(images)
        seeds = list(range(given.pictures))
        model.predictor_.drawn(seeds[:2])
        began = time.monotonic()
        drawn, _ = model.predictor_.drawn(seeds)
        fast = time.monotonic() - began
        began = time.monotonic()
        slow_pictures = by_passes(model, seeds)
        slow = time.monotonic() - began
        same = float((drawn == slow_pictures).all((1, 2)).mean())
        print(f"| {variant} | {fast:.2f} | {slow:.1f} | {slow / fast:.0f} | {same:.0%} |", flush=True)


if __name__ == "__main__":
    main()
