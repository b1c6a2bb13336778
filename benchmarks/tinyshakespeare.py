"""How well does a character model of one LSTM layer read Shakespeare after 20 minutes on two cores?

The first 90 % of tiny Shakespeare are learnt, the last 10 % scored: every character, in one stream from the beginning
of that part. Beside it stand what the frequencies of characters and tables of n characters need (Witten and Bell's
interpolation). Prints the history and a sample at the end.

    SEQDYN_DATA=… python benchmarks/tinyshakespeare.py [--minutes 19.5] [--hidden 512] [--dropout 0.5] [--seed 0]
"""

from __future__ import annotations

import argparse
import math
import time
import warnings

from language_floors import witten_bell
from measure import data_folder, machine

from seqdyn import LanguageModel

BAR = 1.45
"""Nats a character."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=19.5)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--embedding-dropout", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-floors", action="store_true")
    given = parser.parse_args()
    print(machine())
    text = (data_folder() / "tinyshakespeare.txt").read_text(encoding="utf-8")
    cut = int(0.9 * len(text))
    train, test = text[:cut], text[cut:]
    print(f"{len(train):,} characters to learn, {len(test):,} to score\n")
    print("| model | nats a character | bits | seconds |\n|---|---|---|---|")
    for order in () if given.no_floors else (1, 2, 3, 4, 5, 6):
        began = time.monotonic()
        nats = witten_bell(train, test, order)
        seconds = time.monotonic() - began
        print(f"| Witten–Bell, order {order} | {nats:.3f} | {nats / math.log(2):.3f} | {seconds:.0f} |", flush=True)
    model = LanguageModel(
        hidden_size=given.hidden, dropout=given.dropout, embedding_dropout=given.embedding_dropout, optimizer="adamw",
        weight_decay=given.weight_decay, max_time=60 * given.minutes, max_epochs=1000, n_iter_no_change=1000,
        random_state=given.seed,
    )  # fmt: skip
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(train)
    seconds = time.monotonic() - began
    found = model.evaluate(test)
    dropped = f"dropout {given.dropout} and {given.embedding_dropout}, weight decay {given.weight_decay}"
    name = f"LSTM {given.hidden}, {dropped}, seed {given.seed}, {len(model.history_)} epochs"
    print(f"| {name} | **{found['nats_per_character']:.4f}** | {found['bits_per_character']:.3f} | {seconds:.0f} |")
    print(f"\n{found}\nbar {BAR}: {'reached' if found['nats_per_character'] <= BAR else 'missed'}")
    print(model.history_[["loss", "gradient_norm", "learning_rate", "seconds"]].round(4).to_string())
    print(model.generate("ROMEO:\n", 500, temperature=0.8, random_state=0))
    raise SystemExit(found["nats_per_character"] > BAR)


if __name__ == "__main__":
    main()
