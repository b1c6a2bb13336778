"""Handwritten digits, the lower half of which is hidden: what could have been there, and how likely what was there is.

A PixelRNN gives every pixel a probability, given those before it. The hidden half comes last, so that completing it is
exact: a draw from p(hidden | seen), and ln p of the true half. Beside it stand two answers that cost nothing.
"""

import sys

import numpy as np
import torch

from seqdyn import PixelRNN
from seqdyn.datasets import load_binarized_digits
from seqdyn.images.figures import gallery

SEEN = 4  # rows of 8


def nats(truth: np.ndarray, probability: np.ndarray) -> float:
    """What pictures cost on average, if every pixel is 1 with a probability of its own."""
    return -float(np.log(np.where(truth, probability, 1 - probability)).sum((1, 2)).mean())


def nearest(images: np.ndarray, known: np.ndarray, apart: bool = False) -> np.ndarray:
    """The lower halves of those known pictures whose upper halves differ from the given ones in the fewest pixels."""
    upper = images[:, None, :SEEN] != known[None, :, :SEEN]
    distance = upper.sum((2, 3)) + apart * 99 * np.eye(len(images), len(known), dtype=int)
    return known[distance.argmin(1), SEEN:]


def main(out: str | None = None) -> None:
    train, validation, unseen = load_binarized_digits()
    train = np.concatenate([train, validation])
    hidden, truth = train[:, SEEN:], unseen[:, SEEN:]
    share = (hidden.sum(0) + 0.5) / (len(train) + 1)
    agree = float((nearest(train, train, apart=True) == hidden).mean())  # a training picture and its own nearest one
    model = PixelRNN(variant="row", hidden_size=16, max_epochs=15, random_state=0).fit(train)
    log_p = model.predictor_.log_probabilities(torch.as_tensor(unseen)).numpy()
    found = {
        "independent pixels": nats(truth, np.broadcast_to(share, truth.shape)),
        "nearest upper half": nats(truth, np.where(nearest(unseen, train), agree, 1 - agree)),
        "PixelRNN": -float(log_p[:, SEEN:].sum((1, 2)).mean()),
    }
    for name, value in found.items():
        print(f"{name:20} {value:6.2f} nats for a lower half of {truth[0].size} pixels")

    mask = np.zeros((8, 8), dtype=bool)
    mask[:SEEN] = True
    completed = model.complete(unseen[:6], mask, n=6, random_state=0)
    print("\n" + "  ".join(f"{name:8}" for name in ("seen", "drawn", "drawn", "drawn", "true")))
    for row in range(8):
        half = unseen[1, row] if row < SEEN else np.full(8, 2)
        shown = [half, *completed.images[1, :3, row], unseen[1, row]]
        print("  ".join("".join(" █░"[pixel] for pixel in line) for line in shown))
    if out is not None:
        occluded = np.where(mask, unseen[:6], np.nan)
        rows = [[half, *own, true] for half, own, true in zip(occluded, completed.images, unseen, strict=False)]
        gallery(rows, ["seen", "drawn", *[""] * 5, "true"]).savefig(out)
    assert completed.exact.all()
    assert found["PixelRNN"] < 0.8 * min(found["independent pixels"], found["nearest upper half"])


if __name__ == "__main__":
    main(*sys.argv[1:2])
