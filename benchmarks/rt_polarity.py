"""How well does TextClassifier() tell praise from blame? Ten folds of rt-polarity, naive Bayes beside it.

Fold k holds the lines whose number, counted from 0 in each file, has the remainder k by 10. No other data are used, and
no vectors from elsewhere. With --pretrained the classifier begins with the vectors of a language model that has read
the training folds' own sentences.

    SEQDYN_DATA=… python benchmarks/rt_polarity.py [--folds 10] [--seed 0] [--members 3] [--pretrained]
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import torch
from language_floors import naive_bayes
from measure import data_folder, machine

from seqdyn import LanguageModel, TextClassifier

BAR = 0.775


def sentences() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Sentences, labels (1 praises), and folds."""
    texts, labels, folds = [], [], []
    for label, name in ((1, "pos"), (0, "neg")):
        lines = (data_folder() / "rt_polarity" / f"{name}.txt").read_text(encoding="latin-1").strip("\n").split("\n")
        texts += lines
        labels += [label] * len(lines)
        folds += [number % 10 for number in range(len(lines))]
    return texts, np.array(labels), np.array(folds)


def reader(seed: int) -> LanguageModel:
    """A language model of words, as wide as the classifier's vectors."""
    return LanguageModel(
        unit="word", min_count=2, hidden_size=64, tied=True, dropout=0.3, embedding_dropout=0.3, streams=32,
        bptt_length=32, max_epochs=6, random_state=seed,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--pretrained", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    texts, labels, folds = sentences()
    print("\n| fold | naive Bayes, words | words and pairs | TextClassifier | seconds |\n|---|---|---|---|---|")
    rows: list[Any] = []
    for k in range(given.folds):
        train, test = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
        known, unseen = [texts[i] for i in train], [texts[i] for i in test]
        floors = [np.mean(naive_bayes(known, labels[train], unseen, n) == labels[test]) for n in (1, 2)]
        start = reader(given.seed + k) if given.pretrained else None
        model = TextClassifier(members=given.members, pretraining=start, random_state=given.seed + k)
        began = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a training of three epochs still learns
            model.fit(known, labels[train])
        seconds = time.monotonic() - began
        rows.append([*floors, model.score(unseen, labels[test]), seconds])
        print(f"| {k} | {floors[0]:.4f} | {floors[1]:.4f} | {rows[-1][2]:.4f} | {seconds:.0f} |", flush=True)
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / len(rows) ** 0.5
    print(f"| mean | {mean[0]:.4f} | {mean[1]:.4f} | **{mean[2]:.4f}** ± {error[2]:.4f} | {mean[3]:.0f} |")
    print(f"bar {BAR}: {'reached' if mean[2] >= BAR else 'missed'}")
    raise SystemExit(int(mean[2] < BAR))


if __name__ == "__main__":
    main()
