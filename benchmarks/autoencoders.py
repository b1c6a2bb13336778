"""How much of a sequence do 32 numbers hold? SequenceAutoencoder beside principal components of the same size.

Digits as eight rows of eight pixels, sines of unlike lengths, words of up to eight letters; all that is scored was in
no training. Principal components see sequences padded with zeros to one length.

    python benchmarks/autoencoders.py [--seed 0]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from measure import machine
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score

from seqdyn import SequenceAutoencoder

CODE, LETTERS = 32, "abcdefghijklmnopqrstuvwxyz"


def components(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Rows made again from principal components."""
    model = PCA(CODE).fit(train)
    return np.asarray(model.inverse_transform(model.transform(test)))


def digits(seed: int) -> tuple[float, float]:
    """R² of unseen digits, of the autoencoder and of components."""
    X = load_digits().images
    order = np.random.default_rng(seed).permutation(len(X))
    train, test = X[order[:1400]], X[order[1400:]]
    model = SequenceAutoencoder(
        cell="gru", hidden_size=128, dropout=0.1, optimizer="adamw", weight_decay=0.1, max_epochs=120, random_state=seed
    )
    made = components(train.reshape(len(train), -1), test.reshape(len(test), -1))
    columns = [part.reshape(-1, 8) for part in (test, made)]  # each beside its own mean, as score counts
    return model.fit(train).score(test), float(r2_score(*columns, multioutput="variance_weighted"))


def sines(seed: int) -> tuple[float, float]:
    """R² of unseen sines of 20 to 60 steps, of drawn amplitude, frequency and phase."""
    draw = np.random.default_rng(seed)

    def some(count: int) -> list[np.ndarray]:
        found = []
        for _ in range(count):
            t = np.arange(draw.integers(20, 61))
            found.append(draw.uniform(0.5, 2) * np.sin(2 * np.pi * draw.uniform(0.02, 0.12) * t + draw.uniform(0, 6.3)))
        return found

    train, test = some(2000), some(400)
    model = SequenceAutoencoder(hidden_size=64, max_epochs=60, random_state=seed).fit([one[:, None] for one in train])
    padded = [np.array([np.pad(one, (0, 60 - len(one))) for one in part]) for part in (train, test)]
    made = components(*padded)
    joined = np.concatenate([row[: len(one)] for row, one in zip(made, test, strict=True)])
    return model.score([one[:, None] for one in test]), float(r2_score(np.concatenate(test), joined))


def words(seed: int, count: int, epochs: int) -> tuple[float, float]:
    """The exact share of unseen made-up words of three to eight letters; components of one-hot letters, rounded."""
    draw = np.random.default_rng(seed)
    drawn = {"".join(draw.choice(list(LETTERS), draw.integers(3, 9))) for _ in range(count + 1000)}
    every = sorted(drawn)
    draw.shuffle(every)
    train, test = every[:-1000], every[-1000:]
    model = SequenceAutoencoder(
        code_size=CODE, hidden_size=128, embedding_size=32, batch_size=64, max_epochs=epochs, random_state=seed
    ).fit(train)

    def one_hot(texts: list[str]) -> np.ndarray:
        found = np.zeros((len(texts), 8, 27))
        for row, text in enumerate(texts):
            for place, letter in enumerate(text.ljust(8)):
                found[row, place, LETTERS.find(letter)] = 1.0  # -1, the last, is the blank
        return found.reshape(len(texts), -1)

    made = components(one_hot(train), one_hot(test)).reshape(len(test), 8, 27).argmax(2)
    exact = np.mean(
        [(row == one_hot([text]).reshape(8, 27).argmax(1)).all() for row, text in zip(made, test, strict=True)]
    )
    return model.score(test), float(exact)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--words", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    print("\n| task | figure | autoencoder | components | seconds |\n|---|---|---|---|---|")
    reached = True
    for name, figure, run in (
        ("digits as rows", "R²", lambda: digits(given.seed)),
        ("sines of unlike lengths", "R²", lambda: sines(given.seed)),
        ("words of 3 to 8 letters", "exact", lambda: words(given.seed, given.words, given.epochs)),
    ):
        began = time.monotonic()
        own, other = run()
        print(f"| {name} | {figure} | {own:.4f} | {other:.4f} | {time.monotonic() - began:.0f} |", flush=True)
        reached = reached and own >= 0.95
    print(f"bar .95: {'reached' if reached else 'missed'}")
    raise SystemExit(0 if reached else 1)


if __name__ == "__main__":
    main()
