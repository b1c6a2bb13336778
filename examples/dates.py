"""Dates as people write them become dates as machines sort them.

Six forms, from "29 november 2026" to "11/29/26", become 2026-11-29: every part is looked up where it stands, and the
month is looked up in what was learnt. Days that were in no training sentence are right to the letter.
"""

import numpy as np
import pandas as pd

from seqdyn import Translator

FORMS = ["%d %B %Y", "%B %d, %Y", "%d.%m.%Y", "%a, %d %b %Y", "%m/%d/%y", "%A %d %B %Y"]


def dates(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Days from 1970 to 2029 in one of six forms, and as 2026-11-29."""
    draw = np.random.default_rng(seed)
    days = pd.Timestamp("1970-01-01") + pd.to_timedelta(draw.integers(0, 21_900, count), unit="D")
    return [day.strftime(draw.choice(FORMS)).lower() for day in days], [day.strftime("%Y-%m-%d") for day in days]


def main() -> None:
    sources, targets = dates(4000, 0)
    known = set(sources)
    unseen, truth = zip(*((s, t) for s, t in zip(*dates(600, 1), strict=True) if s not in known), strict=True)
    model = Translator(
        unit="character", hidden_size=64, embedding_size=32, dropout=0.1, smoothing=0.0, learning_rate=1e-2,
        max_epochs=8, random_state=0,
    )  # fmt: skip
    model.fit(sources, targets)
    figures = model.evaluate(list(unseen), list(truth))
    for text in ("29 november 2026", "sunday 01 february 2009", "12/31/99"):
        print(f"{text:>24}  →  {model.predict([text])[0]}")
    looked = model.attention_weights("29 november 2026").max("source")
    pairs = zip(looked.target.values.tolist(), looked.values.tolist(), strict=True)
    print("the largest weight of every symbol:", " ".join(f"{symbol} {weight:.2f}" for symbol, weight in pairs))
    print(f"{figures['exact']:.4f} of {len(truth)} unseen dates are exact")
    assert figures["exact"] > 0.99


if __name__ == "__main__":
    main()
