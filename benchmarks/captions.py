"""How often are unseen scenes told right, and is what a word names looked at, softly, hard, and not at all?

Scenes of shapes and of two digits, made by seqdyn.datasets; unseen digits are other images. Beside it, the entropy of
the sentences, which is what a model without eyes needs at least.

    python benchmarks/captions.py [--scenes 16000] [--epochs 12] [--threads 1] [--seeds 0 1] [--kinds shapes digits]
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter

import numpy as np
import torch
from measure import machine

from seqdyn import Captioner
from seqdyn.data.scenes import Scenes
from seqdyn.datasets import load_digit_scenes, load_shape_scenes

BARS = {"shapes": 0.99, "digits": 0.90}
SCENES = {"shapes": 8000, "digits": 16000}


def scenes(kind: str, n: int) -> tuple[Scenes, Scenes]:
    """To learn from, and 1,000 unseen ones."""
    if kind == "shapes":
        return load_shape_scenes(n), load_shape_scenes(1000, random_state=1)
    return load_digit_scenes(n), load_digit_scenes(1000, subset="test", random_state=1)


def looked_at(model: Captioner, unseen: Scenes) -> float:
    """The mean weight on the cell of a thing at the word that names it."""
    found = []
    for image, caption, words, cells in zip(*unseen, strict=True):
        weights = model.attention_weights(image, caption).values.reshape(-1, 9)
        found += weights[words, cells].tolist()
    return float(np.mean(found))


def entropy(captions: list[str]) -> float:
    """Of the words at every place, as if they were independent: nats a sentence."""
    nats = 0.0
    for words in zip(*(caption.replace("left of", "leftof").split() for caption in captions), strict=False):
        counts = np.array(list(Counter(words).values())) / len(words)
        nats -= float((counts * np.log(counts)).sum())
    return nats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, help="16,000 of digits and 8,000 of shapes if not given.")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--kinds", nargs="+", default=list(BARS), choices=list(BARS))
    parser.add_argument("--attention", nargs="+", default=["additive", "hard", "none"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    print("\n| scenes | attention | seed | exact | words | nats | on the named cell | seconds |")
    print(f"|{8 * '---|'}")
    for kind in given.kinds:
        known, unseen = scenes(kind, given.scenes or SCENES[kind])
        print(f"| {kind} | no eyes | | | | {entropy(known.captions):.2f} | {1 / 9:.2f} | |", flush=True)
        for attention in given.attention:
            for seed in given.seeds:
                began = time.monotonic()
                model = Captioner(
                    attention=None if attention == "none" else attention, dropout=0.2, max_epochs=given.epochs,
                    n_iter_no_change=given.epochs, random_state=seed,
                ).fit(known.images, known.captions)  # fmt: skip
                seconds = time.monotonic() - began
                found = model.evaluate(unseen.images, unseen.captions)
                seen = math.nan if attention == "none" else looked_at(model, unseen)
                print(
                    f"| {kind} | {attention} | {seed} | {found['exact']:.3f} | {found['word_accuracy']:.3f} | "
                    f"{found['nats_per_caption']:.3f} | {seen:.3f} | {seconds:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
