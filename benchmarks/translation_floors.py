"""Floors of translation, without a network: word for word, the nearest sentence of the training, and the source itself.

IBM model 1 (Brown et al. 1993): t(e | d) by expectation maximisation from the training pairs, with an empty source
word; every word is translated by its likeliest, in the order of the source, punctuation and unknown words are copied.

    SEQDYN_DATA=… python benchmarks/translation_floors.py
"""

from __future__ import annotations

import re
import time

import numpy as np
from measure import machine
from multi30k import sentences
from sacrebleu.metrics import BLEU
from sklearn.feature_extraction.text import TfidfVectorizer

WORD = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Words and signs, as they are written."""
    return WORD.findall(text)


def joined(words: list[str]) -> str:
    """Words as a sentence: signs stand behind the word before."""
    text = re.sub(r" ([.,!?;:)])", r"\1", " ".join(words))
    return text[:1].upper() + text[1:]


def word_for_word(sources: list[str], targets: list[str], rounds: int = 5) -> dict[str, str]:
    """The likeliest translation of every word, by IBM model 1."""
    left: dict[str, int] = {"": 0}
    right: dict[str, int] = {}
    d, e, pair, place = [], [], [], 0
    for source, target in zip(sources, targets, strict=True):
        own = [0, *(left.setdefault(word, len(left)) for word in tokens(source))]
        for word in tokens(target):
            column = right.setdefault(word, len(right))
            d += own
            e += [column] * len(own)
            pair += [place] * len(own)  # one number a word of a target
            place += 1
    at = np.array(pair)
    cells, which = np.unique(np.array(d, np.int64) * len(right) + np.array(e), return_inverse=True)
    t = np.full(len(cells), 1.0 / len(right))
    rows = cells // len(right)
    for _ in range(rounds):
        own = t[which]
        share = own / np.bincount(at, own)[at]
        counts = np.bincount(which, share, len(cells))
        t = counts / np.bincount(rows, counts, len(left))[rows]
    names, best = list(right), {}
    for word, row in left.items():
        mine = slice(*np.searchsorted(rows, [row, row + 1]))
        if word and mine.stop > mine.start:
            best[word] = names[int(cells[mine][np.argmax(t[mine])] % len(right))]
    return best


def nearest(sources: list[str], targets: list[str], asked: list[str]) -> list[str]:
    """The translation of the most similar source of the training."""
    words = TfidfVectorizer().fit(sources)
    known, found = words.transform(sources), words.transform(asked)
    return [targets[int(k)] for k in np.asarray((found @ known.T).argmax(1)).ravel()]


def main() -> None:
    print(machine())
    source, target = (sentences("train", language) for language in ("de", "en"))
    test = [sentences("test_2016_flickr", language) for language in ("de", "en")]
    began = time.monotonic()
    best = word_for_word(source, target)
    words = [
        joined([word if not word[0].isalnum() else best.get(word, word) for word in tokens(text)]) for text in test[0]
    ]
    spent = time.monotonic() - began
    metric = BLEU()
    for name, lines in (
        ("the source as it is", test[0]),
        ("the nearest training source", nearest(source, target, test[0])),
        (f"word for word, IBM model 1 ({spent:.0f} s)", words),
    ):
        print(f"| {name} | {metric.corpus_score(lines, [test[1]]).score:.1f} |")
    print(metric.get_signature())


if __name__ == "__main__":
    main()
