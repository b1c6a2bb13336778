"""How likely are unseen digits of 8 × 8 pixels, in exact nats: PixelRNN beside a masked-convolution model of its size?

The digits of scikit-learn, 1 where a pixel is half full; the first 1,437 are learnt, the last 360 scored. Floors beside
it: a probability for every pixel, and a table of each pixel's six nearest earlier neighbours. The masked convolution
(PixelCNN) is a bare torch network with the same first layer, biases, start, optimizer, schedule and averaged weights.

    python benchmarks/binarized_digits.py [--epochs 15] [--seeds 0 1 2] [--threads 1]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from binarized_mnist import NEIGHBOURS, counted, independent
from measure import machine
from torch import Tensor, nn

from seqdyn import PixelRNN
from seqdyn.datasets import load_binarized_digits


class MaskedConvolution(nn.Module):
    """A 7 × 7 convolution of mask A, residual blocks 1 × 1, 3 × 3 of mask B, 1 × 1, and two 1 × 1 on top."""

    def __init__(self, side: int, hidden: int, blocks: int, start: Tensor):
        super().__init__()
        self.first = nn.Conv2d(1, 2 * hidden, 7, padding=3)
        self.place = nn.Parameter(torch.zeros(2 * hidden, side, side))
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            down, up = nn.Conv2d(2 * hidden, hidden, 1), nn.Conv2d(hidden, 2 * hidden, 1)
            self.blocks.append(nn.ModuleList([down, nn.Conv2d(hidden, hidden, 3, padding=1), up]))
        self.head, self.scores = nn.Conv2d(2 * hidden, 2 * hidden, 1), nn.Conv2d(2 * hidden, 1, 1)
        self.bias = nn.Parameter(start.clone())

    def forward(self, x: Tensor) -> Tensor:
        y = masked(self.first, x.unsqueeze(1), False) + self.place
        for down, across, up in self.blocks:  # type: ignore[misc]
            y = y + up(torch.relu(masked(across, torch.relu(down(torch.relu(y))), True)))
        scores: Tensor = self.scores(torch.relu(self.head(torch.relu(y)))).squeeze(1)
        return scores + self.bias


def masked(layer: nn.Conv2d, x: Tensor, own: bool) -> Tensor:
    """A convolution that sees earlier pixels, and with ``own`` the pixel itself."""
    size = layer.kernel_size[0]
    there = (torch.arange(size * size) < size * size // 2 + own).view(size, size)
    return nn.functional.conv2d(x, layer.weight * there, layer.bias, padding=layer.padding)


def convolution(
    train: np.ndarray, test: np.ndarray, hidden: int, blocks: int, epochs: int, seed: int
) -> tuple[int, float]:
    """Parameters and nats of a masked convolution, trained by a bare loop."""
    torch.manual_seed(seed)
    p = torch.as_tensor((train.sum(0) + 0.5) / (len(train) + 1))
    network = MaskedConvolution(train.shape[1], hidden, blocks, (p / (1 - p)).log().float())
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
    )
    x, steps = torch.as_tensor(train).float(), epochs * (len(train) // 16)
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min(1, 20 * t / steps + 0.01) * 0.5 * (1 + np.cos(np.pi * t / steps))
    )
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: 16 * (len(x) // 16)].view(-1, 16):
            loss = nn.functional.binary_cross_entropy_with_logits(network(x[rows]), x[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
    y = torch.as_tensor(test).float()
    with torch.no_grad():
        nats = nn.functional.binary_cross_entropy_with_logits(average(y), y, reduction="none").sum((1, 2)).mean()
    return sum(weight.numel() for weight in network.parameters()), float(nats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    data = load_binarized_digits()
    train, test = np.concatenate([data.train, data.validation]), data.test
    print(f"independent pixels {independent(train, test):.1f}, tables of six neighbours ", end="")
    print(f"{counted(train, test, NEIGHBOURS[:6]):.1f} nats", flush=True)
    print(f"\n| model | parameters | nats, seeds {given.seeds} | seconds |\n|---|---|---|---|")
    for variant, settings in VARIANTS.items():
        began, found = time.monotonic(), []
        for seed in given.seeds:
            if variant == "masked convolution":
                count, nats = convolution(train, test, epochs=given.epochs, seed=seed, **settings)
            else:
                budget = {"max_epochs": given.epochs, "n_iter_no_change": given.epochs}
                model = PixelRNN(variant=variant, random_state=seed, **budget, **settings).fit(train)
                count = sum(weight.numel() for weight in model.network_.parameters())
                nats = model.evaluate(test)["nats_per_image"]
            found.append(nats)
        seconds = (time.monotonic() - began) / len(found)
        print(f"| {variant} | {count} | {' '.join(f'{one:.2f}' for one in found)} | {seconds:.0f} |", flush=True)


VARIANTS: dict[str, dict[str, Any]] = {
    "row": {"hidden_size": 16, "num_layers": 2},
    "diagonal": {"hidden_size": 20},
    "masked convolution": {"hidden": 16, "blocks": 4},
}


if __name__ == "__main__":
    main()
