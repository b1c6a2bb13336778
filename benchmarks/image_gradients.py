"""Does the last row of a picture feel the first, and the last glimpse the first? Gradients by lag.

A Row LSTM and a Diagonal BiLSTM of one layer through the 28 rows of binarised MNIST, and DRAW through its glimpses,
before and after a short training. What is printed is the size of ∂E/∂h_{t-k} beside that at lag 1, E the loss of the
last step, in powers of ten: the median over pictures.

    SEQDYN_DATA=… python benchmarks/image_gradients.py [--minutes 2] [--threads 1] [--pictures 4]
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
import torch
from measure import machine

from seqdyn import DRAW, PixelRNN, hold
from seqdyn.cells.draw import OnCanvas
from seqdyn.datasets import fetch_binarized_mnist
from seqdyn.dynamics.gradients import gradient_by_lag

LAGS = (1, 2, 4, 8, 16, 27)


def reach(model: Any, images: np.ndarray) -> str:
    """The sizes at some lags."""
    if isinstance(model, PixelRNN):
        x, cell = torch.as_tensor(images).double(), model.network_
        y, last = x, x.shape[1] - 1
    else:
        x = hold(model.pictures(images).double(), model.glimpses)
        y, cell, last = x.flatten(2), OnCanvas(model.network_), model.glimpses - 1
    errors = torch.nn.functional.binary_cross_entropy_with_logits
    found = gradient_by_lag(cell, x, lambda output: errors(output, y, reduction="none"), anchors=[last])
    sizes = found.relative[:, 0].median(0).values / math.log(10)
    lags = [lag for lag in LAGS if lag <= len(sizes)]
    return f"{' '.join(f'{float(sizes[lag - 1]):+.2f}' for lag in lags)} at lags {lags}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    data = fetch_binarized_mnist()
    chosen = data.test[:: len(data.test) // given.pictures][: given.pictures]
    models: dict[str, Any] = {
        "row": PixelRNN(variant="row", hidden_size=8, random_state=0),
        "diagonal": PixelRNN(hidden_size=8, random_state=0),
        "draw": DRAW(attention=False, hidden_size=64, latent_size=16, random_state=0),
        "draw, attention": DRAW(attention=True, hidden_size=64, latent_size=16, random_state=0),
    }
    for name, model in models.items():
        for budget in ({"max_steps": 1}, {"max_epochs": 1000, "max_time": 60 * given.minutes}):
            model.set_params(max_steps=None, max_epochs=None, max_time=None).set_params(**budget).fit(data.train)
            print(f"{name}, {budget}: {reach(model, chosen)}", flush=True)


if __name__ == "__main__":
    main()
