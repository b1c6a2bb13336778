"""How well does Translator() translate Multi30k from German, with attention and without, by the same budget?

BLEU by sacrebleu of the test part of 2016, cased and detokenised: greedy, and with five beams. Beside it word for word,
by IBM model 1 of the same training part, which translation_floors.py scores in seconds.

    SEQDYN_DATA=… python benchmarks/multi30k.py [--attention general|none|…]
        [--minutes 28 | --steps 7800] [--threads 2] [--seed 0]
"""

from __future__ import annotations

import argparse
import gzip
import time
from typing import Any

import numpy as np
import torch
from measure import data_folder, machine

from seqdyn import Translator

BARS = {"greedy": 35.5, "beam 5": 36.5}


def sentences(part: str, language: str) -> list[str]:
    """The sentences of one part in one language."""
    path = data_folder() / "multi30k" / f"{part}.{language}.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().strip("\n").split("\n")


def translator(attention: str | None, budget: dict[str, Any], seed: int) -> Translator:
    """What is measured."""
    return Translator(
        attention=attention, decoder_layers=2, vocabulary_size=4000, max_epochs=1000, n_iter_no_change=1000,
        dropout=0.2, random_state=seed, **budget,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", default="general")
    parser.add_argument("--minutes", type=float, default=28.0)
    parser.add_argument("--steps", type=int, help="Instead of minutes.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(machine(), flush=True)
    source, target = (sentences("train", language) for language in ("de", "en"))
    budget = {"max_steps": given.steps} if given.steps else {"max_time": 60 * given.minutes}
    model = translator(None if given.attention == "none" else given.attention, budget, given.seed)
    began = time.monotonic()
    model.fit(source, target)
    seconds = time.monotonic() - began
    count = sum(weight.numel() for weight in model.network_.parameters())
    print(f"{model}\n{count / 1e6:.2f} M parameters, {len(model.history_)} epochs in {seconds / 60:.1f} minutes with")
    print("the vocabulary; losses", model.history_["loss"].round(3).tolist(), flush=True)
    test = [sentences("test_2016_flickr", language) for language in ("de", "en")]
    validation = [sentences("val", language) for language in ("de", "en")]
    rows: dict[str, Any] = {}
    for name, width in (("greedy", 1), ("beam 5", 5)):
        model.set_params(beam_width=width, length_penalty=1.0 if width > 1 else 0.0)
        rows[name] = model.evaluate(*test)
        known = model.score(*validation)
        print(f"| {given.attention} | {name} | test {rows[name]['bleu']:.2f} | validation {known:.2f} |", flush=True)
    print(f"{rows['beam 5']['signature']}; {rows['beam 5']['nats_per_symbol']:.3f} nats a symbol of the true targets")
    best = model.predict(test[0])
    draw, half = np.random.default_rng(0), []
    from sacrebleu.metrics import BLEU

    for _ in range(200):
        chosen = draw.integers(0, len(best), len(best))
        half.append(BLEU().corpus_score([best[i] for i in chosen], [[test[1][i] for i in chosen]]).score)
    low, high = np.quantile(half, [0.025, 0.975])
    print(f"bootstrap of the test sentences, 95 %: {low:.1f} to {high:.1f}")
    for i in (0, 1, 2):
        print(f"  {test[0][i]}\n  → {best[i]}\n  = {test[1][i]}")
    reached = all(rows[name]["bleu"] >= bar for name, bar in BARS.items())
    print(f"bars {BARS}: {'reached' if reached else 'missed'}")
    raise SystemExit(0 if reached or given.attention == "none" else 1)


if __name__ == "__main__":
    main()
