"""Attention finds its place: ten digits are written from the end to the beginning, seen and unseen.

One vector has to carry the whole source where there is no attention; with it, the decoder looks where the next digit
stands, and the map of what it looked at is the anti-diagonal.
"""

import numpy as np

from seqdyn import Translator

LENGTH = 10


def pairs(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Strings of ten digits, and the same backwards."""
    digits = np.random.default_rng(seed).integers(0, 10, (count, LENGTH))
    sources = ["".join(map(str, row)) for row in digits]
    return sources, [source[::-1] for source in sources]


def main() -> None:
    (sources, targets), (unseen, truth) = pairs(2500, 0), pairs(300, 1)
    exact = {}
    for attention in ("additive", None):
        model = Translator(
            unit="character", attention=attention, hidden_size=64, embedding_size=64, dropout=0.0, smoothing=0.0,
            learning_rate=1e-2, max_epochs=7, random_state=0,
        )  # fmt: skip
        model.fit(sources, targets)
        exact[attention] = model.evaluate(unseen, truth)["exact"]
        print(
            f"attention={attention!s:9} {exact[attention]:.3f} of {len(unseen)} unseen strings right to the last digit"
        )
        if attention:
            maps = [model.attention_weights(*pair).values[:LENGTH] for pair in zip(unseen, truth, strict=True)]
    looked = np.mean([alpha.argmax(1) == np.arange(LENGTH)[::-1] for alpha in maps])
    print(f"the digit that is written is the one that is looked at: {looked:.3f} of all")
    print("the map of", unseen[0])
    for row in maps[0]:
        print("   ", " ".join("·░▒▓█"[min(4, int(5 * weight))] for weight in row))
    assert exact["additive"] == 1.0 and looked > 0.99
    assert exact[None] < 0.9


if __name__ == "__main__":
    main()
