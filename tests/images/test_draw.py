"""DRAW: bounds, samples from the prior, reconstructions, figures, and every wrong input."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqdyn import DRAW, load, scan
from seqdyn.datasets import load_binarized_digits, load_digit_plates

SMALL: dict[str, Any] = {
    "glimpses": 3, "read_size": 2, "write_size": 2, "latent_size": 2, "hidden_size": 8, "max_steps": 40,
    "random_state": 0, "weight_average": 0.0, "learning_rate": 1e-2,
}  # fmt: skip


def bars(n: int = 120, side: int = 4, seed: int = 0) -> np.ndarray:
    """One column of a picture is ink."""
    draw = np.random.default_rng(seed)
    return np.eye(side, dtype=int)[draw.integers(side, size=n)][:, None].repeat(side, 1)


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "attention"])
def model(request: pytest.FixtureRequest) -> DRAW:
    return DRAW(attention=request.param, **SMALL).fit(bars())


def test_bounds(model: DRAW) -> None:
    """The figures of one evaluation fit each other; more paths bound tighter."""
    one, many = model.evaluate(bars()), model.evaluate(bars(), importance_samples=20)
    assert one["divergence_per_glimpse"].shape == (3,) and (one["divergence_per_glimpse"] >= 0).all()
    assert one["bound_nats"] == pytest.approx(one["pixel_nats"] + one["divergence_per_glimpse"].sum(), rel=1e-5)
    assert one["effective_sample_size"] == pytest.approx(1) and 1 <= many["effective_sample_size"] <= 20
    assert many["importance_weighted_nats"] < many["bound_nats"] + 4 * many["standard_error"]
    assert model.score(bars()) == -one["bound_nats"] and one["images_scored"] == 120
    assert model.evaluate(bars())["bound_nats"] == one["bound_nats"]  # the same paths


def test_it_learns() -> None:
    """ln 4 nats are the truth; independent pixels need 9."""
    fitted = DRAW(attention=False, **SMALL | {"max_steps": 400, "hidden_size": 16}).fit(bars(400))
    assert fitted.evaluate(bars(100, seed=1), importance_samples=20)["importance_weighted_nats"] < 4


@pytest.mark.parametrize("attention", [False, True])
def test_unseen_digits_are_likelier_than_by_independent_pixels(attention: bool) -> None:
    data = load_binarized_digits()
    train = np.concatenate([data.train, data.validation])
    fitted = DRAW(attention=attention, glimpses=4, read_size=3, write_size=3, latent_size=4, hidden_size=32,
                  max_epochs=6, batch_size=32, learning_rate=5e-3, random_state=0).fit(train)  # fmt: skip
    assert fitted.evaluate(data.test)["bound_nats"] < 24.8


def test_samples_come_from_the_prior(model: DRAW) -> None:
    """No picture is seen: all that is not the painter may be broken."""
    images = model.sample(6, random_state=1)
    assert images.shape == (6, 4, 4) and set(np.unique(images)) <= {0, 1}
    assert np.array_equal(images, model.sample(6, random_state=1)) and np.array_equal(model.sample(2), model.sample(2))
    encoder, read = model.network_.encoder, model.network_.read
    model.network_.encoder = model.network_.read = torch.nn.Identity()
    try:
        assert np.array_equal(images, model.sample(6, random_state=1))
    finally:
        model.network_.encoder, model.network_.read = encoder, read


def test_strips(model: DRAW, tmp_path: Path) -> None:
    strip = model.sample(3, return_steps=True, random_state=1)
    assert strip.images.shape == (3, 4, 4) and strip.probabilities.shape == (3, 3, 4, 4) and strip.read is None
    assert np.array_equal(strip.images, model.sample(3, random_state=1))
    seen = model.reconstruct(bars(2), n=2, return_steps=True)
    assert seen.probabilities.shape == (4, 3, 4, 4)
    assert (seen.read is not None) == (seen.write is not None) == (strip.write is not None) == model.attention
    if seen.read is not None:
        assert seen.read.shape == (4, 3, 5) and np.isfinite(seen.read).all()
    for pictures in (strip, seen):
        assert len(model.plot_strip(pictures).axes) == 3 * len(pictures.images)
    model.animate(strip, tmp_path / "strip.gif", frames_per_second=2)
    assert (tmp_path / "strip.gif").read_bytes().startswith(b"GIF8")
    model.plot_strip(strip).savefig(tmp_path / "strip.png")


def test_reconstructions_differ_and_are_probabilities(model: DRAW) -> None:
    found = model.reconstruct(bars(3), n=4, random_state=0)
    assert found.shape == (3, 4, 4, 4) and 0 <= found.min() and found.max() <= 1
    assert np.abs(found[:, 0] - found[:, 1]).max() > 0
    np.testing.assert_array_equal(found, model.reconstruct(bars(3), n=4, random_state=0))


def test_encode(model: DRAW) -> None:
    found = model.encode(bars(5))
    assert found.shape == (5, 3, 2)
    np.testing.assert_allclose(found[:2], model.encode(bars(5)[:2]), atol=1e-6)


def test_three_channels() -> None:
    plates = load_digit_plates(60, side=16)
    fitted = DRAW(channels=3, **SMALL).fit(plates)
    assert fitted.sample(2).shape == (2, 3, 16, 16) and fitted.reconstruct(plates[:2]).shape == (2, 1, 3, 16, 16)
    p = (plates.sum(0) + 0.5) / 61
    floor = -(plates * np.log(p) + (1 - plates) * np.log(1 - p)).sum((1, 2, 3)).mean()
    found = fitted.evaluate(plates)["bound_nats"]
    longer = DRAW(channels=3, **SMALL | {"max_steps": 200, "hidden_size": 32, "read_size": 6, "write_size": 6})
    assert longer.fit(plates).evaluate(plates)["bound_nats"] < min(found, 0.95 * floor)
    fitted.plot_strip(fitted.sample(1, return_steps=True))


def test_save_and_load(model: DRAW, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.evaluate(bars())["bound_nats"] == model.evaluate(bars())["bound_nats"]
    np.testing.assert_array_equal(again.sample(3), model.sample(3))


def test_the_history_tells_the_parts(model: DRAW) -> None:
    history = model.history_
    np.testing.assert_allclose(history["loss"], history["pixels"] + history["divergence"], rtol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "images", "message"),
    [
        ({"glimpses": 0}, bars(), "glimpses must be"),
        ({"read_size": 5}, bars(), "read_size=5 is more than a picture of 4 × 4"),
        ({"write_size": 9}, bars(), "write_size=9 is more than"),
        ({"channels": 2}, bars(), "channels must be"),
        ({"latent_size": 0}, bars(), "latent_size must be"),
        ({}, bars() * 0.3, "whole numbers, 0 and 1: binarised"),
        ({}, bars() * 2, "values from 0 to 2"),
        ({"channels": 3}, bars(), r"expected \(pictures, 3, height, width\)"),
        ({}, bars()[0], "one picture is"),
    ],
)
def test_bad_input(parameters: dict[str, Any], images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DRAW(**SMALL | {"attention": True} | parameters).fit(images)


def test_bad_calls(model: DRAW) -> None:
    from sklearn.exceptions import NotFittedError

    with pytest.raises(ValueError, match="importance_samples must be"):
        model.evaluate(bars(), importance_samples=0)
    with pytest.raises(ValueError, match="5 × 5 pixels, but the model knows 4 × 4"):
        model.reconstruct(bars(3, 5))
    for call in (lambda m: m.sample(1), lambda m: m.predictor_):
        with pytest.raises(NotFittedError):
            call(DRAW())
    with pytest.raises(TypeError, match="return_steps=True"):
        model.plot_strip(model.sample(1))
    with pytest.raises(ValueError, match="frames_per_second must be"):
        model.animate(model.sample(1, return_steps=True), "never.gif", frames_per_second=0)
    with pytest.raises(ValueError, match="channels=3"):
        DRAW(**SMALL).fit(load_digit_plates(5, side=16))
    with pytest.raises(ValueError, match="moveaxis"):
        DRAW(channels=3, **SMALL).fit(load_digit_plates(5, side=16).transpose(0, 2, 3, 1))


def test_gradients_through_the_glimpses(model: DRAW) -> None:
    """The canvas is an integrator: what the last glimpse gets, the first gets too."""
    from seqdyn import check_causal, stability_report

    report = stability_report(model, bars(3), required_lag=2)
    assert report.passed() and check_causal(model)
    with pytest.raises(ValueError, match="measured on pictures"):
        stability_report(model)


def test_the_prior_is_standard_normal_and_new_at_every_glimpse(model: DRAW) -> None:
    """What sample paints from: z of its own for every picture, glimpse and number, N(0, 1)."""
    z, _ = model.predictor_.chance(list(range(2000)))
    flat = z.flatten(1).double().numpy()
    assert np.abs(np.corrcoef(flat.T) - np.eye(6)).max() < 4 / math.sqrt(2000)
    assert np.abs(flat.std(0) - 1).max() < 4 / math.sqrt(4000) and np.abs(flat.mean(0)).max() < 4 / math.sqrt(2000)
    strip = model.sample(5, return_steps=True, random_state=2)
    seeds = model._seeds(5, 2)
    with torch.no_grad():
        canvas = scan(model.network_.painter, model.predictor_.chance(seeds)[0]).state.canvas
    np.testing.assert_allclose(strip.probabilities[:, -1], torch.sigmoid(canvas)[:, 0], atol=1e-6)


def test_a_sample_depends_on_its_own_seed_alone(model: DRAW) -> None:
    assert np.array_equal(model.sample(50, random_state=1)[:20], model.sample(20, random_state=1))
    one, many = model.reconstruct(bars(1)), model.reconstruct(bars(5))
    np.testing.assert_allclose(one[0], many[0], atol=1e-6)


def test_importance_samples_are_of_one_picture_each() -> None:
    """Two pictures that cost unlike: each alone, and both together."""
    fitted = DRAW(attention=False, **SMALL | {"max_steps": 200}).fit(bars(100))
    pair = np.stack([bars(1)[0], np.ones((4, 4), dtype=int)])
    together = fitted.evaluate(pair, importance_samples=400)["importance_weighted_nats"]
    alone = [fitted.evaluate(one[None], importance_samples=400)["importance_weighted_nats"] for one in pair]
    assert abs(together - np.mean(alone)) < 0.25 * abs(alone[0] - alone[1])


def test_a_painter_that_tells_nothing_is_named() -> None:
    from sklearn.exceptions import ConvergenceWarning

    with pytest.warns(ConvergenceWarning, match="every picture is painted alike"):
        DRAW(**SMALL | {"max_steps": 3, "learning_rate": 1e-12}).fit(np.zeros((20, 4, 4), dtype=int))
