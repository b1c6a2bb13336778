"""Plates of three coloured digits, painted by DRAW: a picture has three channels, and a window moves over all of them.

What unseen plates cost is a bound, printed beside the exact cost of a probability for every pixel and channel. Three
digits in nine cells are all the same to that; the painter learns that ink comes in digits, and a digit in one colour.
"""

import sys

import numpy as np

from seqdyn import DRAW
from seqdyn.datasets import load_digit_plates
from seqdyn.images.figures import gallery


def one_colour(plates: np.ndarray) -> float:
    """Of neighbouring pixels with ink (plates, 3, height, width), the share that agree in all three channels."""
    left, right = plates[..., :-1], plates[..., 1:]
    ink = left.any(1) & right.any(1)
    return float((left == right).all(1)[ink].mean())


def main(out: str | None = None) -> None:
    train = load_digit_plates(2000)
    unseen = load_digit_plates(500, subset="test", random_state=1)  # of digits that no training plate has
    share = (train.sum(0) + 0.5) / (len(train) + 1)
    floor = -float(np.log(np.where(unseen, share, 1 - share)).sum((1, 2, 3)).mean())
    model = DRAW(channels=3, glimpses=6, read_size=8, write_size=8, latent_size=12, hidden_size=96, batch_size=64,
                 learning_rate=8e-3, max_epochs=11, random_state=0)  # fmt: skip
    found = model.fit(train).evaluate(unseen)
    print(f"independent pixels {floor:.0f} nats, exactly")
    print(
        f"DRAW               {found['bound_nats']:.0f} nats at most: pixels {found['pixel_nats']:.0f}, glimpses",
        end=" ",
    )
    print(" + ".join(f"{nats:.1f}" for nats in found["divergence_per_glimpse"]))
    drawn = model.sample(200, random_state=0)
    counted = np.random.default_rng(0).random(drawn.shape) < share
    agree = {"true plates": unseen, "DRAW's own": drawn, "independent pixels": counted}
    for name, plates in agree.items():
        print(f"neighbours of one colour, {name}: {one_colour(plates):.2f}")
    if out is not None:
        stem, _, suffix = out.rpartition(".")
        gallery([unseen[:8], drawn[:8]]).savefig(out)
        model.plot_strip(model.reconstruct(unseen[:4], return_steps=True, random_state=0)).savefig(
            f"{stem}_strip.{suffix}"
        )
    assert found["bound_nats"] < 0.7 * floor
    assert one_colour(drawn) > one_colour(counted) + 0.3


if __name__ == "__main__":
    main(*sys.argv[1:2])
