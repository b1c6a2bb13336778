"""What costs nothing, beside language models and classifiers: tables of n symbols, and naive Bayes.

Witten and Bell's interpolation, P(w | h) = (c(h, w) + T(h) P(w | h')) / (c(h) + T(h)), with c counts, T(h) the number
of different symbols after h, h' = h without its oldest symbol, and 1/V at the end.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np


def witten_bell(train: str, test: str, order: int) -> float:
    """Nats a character of an interpolated n-gram of some order: n − 1 characters of context."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for n in range(order):
        for end in range(n, len(train)):
            counts[train[end - n : end]][train[end]] += 1
    totals = {context: follows.total() for context, follows in counts.items()}
    symbols, nats = len(set(train)), 0.0
    for end, symbol in enumerate(test):
        p = 1 / symbols
        for n in range(min(order - 1, end) + 1):
            context = test[end - n : end]
            if context not in totals:
                break
            follows = counts[context]
            p = (follows[symbol] + len(follows) * p) / (totals[context] + len(follows))
        nats -= math.log(p)
    return nats / len(test)


def naive_bayes(train: list[str], labels: np.ndarray, test: list[str], order: int = 2) -> np.ndarray:
    """The class, 0 or 1, by the presence of words (and of adjacent pairs): Σ ln (n₁ + 1)/(N₁ + F) − the same for 0."""
    counts = [Counter(), Counter()]
    for text, label in zip(train, labels.tolist(), strict=True):
        counts[label].update(features(text, order))
    known = set(counts[0]) | set(counts[1])
    total = [sum(count.values()) for count in counts]

    def odds(text: str) -> float:
        found = [feature for feature in features(text, order) if feature in known]
        one, zero = (sum(math.log((counts[k][f] + 1) / (total[k] + len(known))) for f in found) for k in (1, 0))
        return one - zero

    return np.array([odds(text) > 0 for text in test]).astype(int)


def features(text: str, order: int) -> set[tuple[str, ...]]:
    """The words of a text, and the runs of them."""
    words = text.split()
    return {tuple(words[i : i + n]) for n in range(1, order + 1) for i in range(len(words) - n + 1)}
