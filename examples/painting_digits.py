"""Handwritten digits are painted in glimpses, everywhere at once or through a window that moves.

DRAW adds to a canvas, step by step, and each step is told something, z_t: its divergence from N(0, I) is what it costs.
What the pixels and all steps cost together is a bound: a picture itself costs less, and importance samples say more of
how much less. A probability for every pixel is exact. On 8 × 8 pixels a window of 6 × 6 filters has no advantage.
"""

import sys

import numpy as np

from seqdyn import DRAW
from seqdyn.datasets import load_binarized_digits

GLIMPSES = 5


def main(out: str | None = None) -> None:
    train, validation, unseen = load_binarized_digits()
    train = np.concatenate([train, validation])
    share = (train.sum(0) + 0.5) / (len(train) + 1)
    floor = -float(np.log(np.where(unseen, share, 1 - share)).sum((1, 2)).mean())
    small = {"glimpses": GLIMPSES, "hidden_size": 64, "latent_size": 8, "batch_size": 64, "learning_rate": 6e-3,
             "max_epochs": 20, "random_state": 0}  # fmt: skip
    window = {"attention": True, "read_size": 6, "write_size": 6}
    models = {"everywhere": DRAW(attention=False, **small), "through a window": DRAW(**window, **small)}
    print(f"{'independent pixels':18} {floor:.2f} nats, exactly")
    found = {}
    for name, model in models.items():
        found[name] = model.fit(train).evaluate(unseen, importance_samples=10)
        own = found[name]
        told = " + ".join(f"{nats:.1f}" for nats in own["divergence_per_glimpse"])
        print(f"{name:18} {own['bound_nats']:.2f} nats at most: pixels {own['pixel_nats']:.1f}, glimpses {told}")
        print(f"{'':18} {own['importance_weighted_nats']:.2f} at most, by 10 paths a picture")
    if out is not None:
        model = models["through a window"]
        model.plot_strip(model.reconstruct(unseen[:6], return_steps=True, random_state=0)).savefig(out)
    for own in found.values():
        parts = own["pixel_nats"] + own["divergence_per_glimpse"].sum()
        assert abs(parts - own["bound_nats"]) < 1e-3  # nothing else is paid
        assert own["importance_weighted_nats"] < own["bound_nats"] < 0.85 * floor
    assert found["everywhere"]["bound_nats"] < found["through a window"]["bound_nats"]


if __name__ == "__main__":
    main(*sys.argv[1:2])
