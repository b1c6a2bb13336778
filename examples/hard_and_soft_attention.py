"""Hard attention looks at one place, soft attention at a mixture of all: two maps of the same string.

Hard attention is trained in two ways that can be exchanged: by the exact sum over all places, and by looking at random
(REINFORCE), whose gradient is right on average.
"""

import numpy as np

from seqdyn import Translator


def pairs(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Strings of letters, every one of them doubled: abc → aabbcc."""
    draw = np.random.default_rng(seed)
    sources = ["".join(draw.choice(list("abcdefgh"), draw.integers(3, 7))) for _ in range(count)]
    return sources, ["".join(2 * letter for letter in source) for source in sources]


def main() -> None:
    (sources, targets), (unseen, truth) = pairs(2000, 0), pairs(200, 1)
    small = {"unit": "character", "hidden_size": 32, "embedding_size": 32, "dropout": 0.0, "smoothing": 0.0,
             "learning_rate": 1e-2, "max_epochs": 14, "random_state": 0}  # fmt: skip
    models = {
        "soft": Translator(attention="additive", **small),
        "hard, exact": Translator(attention="hard", **small),
        "hard, REINFORCE": Translator(attention="hard", hard_training="reinforce", **small),
    }
    figures = {}
    for name, model in models.items():
        figures[name] = model.fit(sources, targets).evaluate(unseen, truth)
        print(f"{name:16} exact {figures[name]['exact']:.3f}, {figures[name]['nats_per_symbol']:.4f} nats a symbol")
    sharpest = {}
    for name, model in models.items():
        weights = [
            model.attention_weights(*pair).max("source").values for pair in zip(unseen[:50], truth, strict=False)
        ]
        sharpest[name] = float(np.concatenate(weights).mean())
        print(f"\n{name}: the largest weight is {sharpest[name]:.2f} on average; badge → bbaaddggee")
        for letter, row in zip("bbaaddggee", model.attention_weights("badge", "bbaaddggee").values, strict=False):
            print("   ", letter, " ".join("·░▒▓█"[min(4, int(5 * weight))] for weight in row))
    assert all(own["exact"] > 0.95 for own in figures.values())
    assert min(sharpest["hard, exact"], sharpest["hard, REINFORCE"]) > 0.9 > sharpest["soft"]


if __name__ == "__main__":
    main()
