"""PixelRNN: the exact likelihood on real digits, pictures that are drawn and completed, and every wrong input."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from seqdyn import PixelRNN, load
from seqdyn.data.pictures import binarised
from seqdyn.datasets import load_binarized_digits
from seqdyn.images.pixel_predictor import known_first
from seqdyn.loops import scan

SMALL: dict[str, Any] = {"hidden_size": 4, "max_steps": 30, "random_state": 0, "weight_average": 0.0}


def strewn(n: int = 200, height: int = 3, width: int = 3, levels: int = 2, seed: int = 0) -> np.ndarray:
    """Pictures whose pixels depend on those to the left and above."""
    draw = np.random.default_rng(seed)
    found = np.zeros((n, height, width), dtype=np.int64)
    for r, c in np.ndindex(height, width):
        before = found[:, r, c - 1] if c else np.zeros(n, dtype=np.int64)
        above = found[:, r - 1, c] if r else np.zeros(n, dtype=np.int64)
        found[:, r, c] = np.where(draw.random(n) < 0.7, (before + above) % levels, draw.integers(levels, size=n))
    return found


@pytest.fixture(scope="module", params=["row", "diagonal"])
def model(request: pytest.FixtureRequest) -> PixelRNN:
    return PixelRNN(variant=request.param, **SMALL).fit(strewn())


def every(height: int, width: int, levels: int = 2) -> np.ndarray:
    return np.array(list(itertools.product(range(levels), repeat=height * width))).reshape(-1, height, width)


# ---------------------------------------------------------------- likelihood


def test_the_likelihood_of_all_pictures_sums_to_one(model: PixelRNN) -> None:
    assert np.exp(model.log_likelihood(every(3, 3))).sum() == pytest.approx(1, abs=1e-5)


def test_grey_levels() -> None:
    model = PixelRNN(levels=4, **SMALL).fit(strewn(height=1, width=2, levels=4))
    assert np.exp(model.log_likelihood(every(1, 2, 4))).sum() == pytest.approx(1, abs=1e-5)
    assert set(np.unique(model.sample(50))) <= set(range(4))
    found = model.evaluate(every(1, 2, 4))
    assert found["bits_per_dimension"] == pytest.approx(found["nats_per_image"] / (2 * math.log(2)))


def test_evaluate_and_score_say_the_same(model: PixelRNN) -> None:
    images = strewn(seed=1)
    found = model.evaluate(images)
    nats = -model.log_likelihood(images)
    assert found["nats_per_image"] == pytest.approx(nats.mean()) and model.score(images) == pytest.approx(-nats.mean())
    assert found["standard_error"] == pytest.approx(nats.std(ddof=1) / math.sqrt(200)) and found["images_scored"] == 200
    assert math.isnan(model.evaluate(images[:1])["standard_error"])


def test_training_learns_what_depends_on_what() -> None:
    """Better than the best that independent pixels reach, on unseen pictures."""
    train, test = strewn(1000), strewn(1000, seed=1)
    p = (train.sum(0) + 0.5) / 1001
    floor = -(test * np.log(p) + (1 - test) * np.log(1 - p)).sum((1, 2)).mean()
    for variant in ("row", "diagonal"):
        fitted = PixelRNN(
            variant=variant, hidden_size=8, max_steps=150, learning_rate=0.01, weight_average=0.98, random_state=0
        ).fit(train)
        assert fitted.evaluate(test)["nats_per_image"] < floor - 0.5


@pytest.mark.parametrize("variant", ["row", "diagonal"])
def test_unseen_digits_are_likelier_than_by_count_tables(variant: str) -> None:
    """Below 19.0 nats, what tables of six neighbours reach, on the last 360 digits."""
    data = load_binarized_digits()
    train = np.concatenate([data.train, data.validation])
    fitted = PixelRNN(variant=variant, hidden_size=12, max_epochs=3, batch_size=8, random_state=0).fit(train)
    assert fitted.evaluate(data.test)["nats_per_image"] < 19.0


def test_the_start_is_the_share_of_every_pixel() -> None:
    """Before the first step the model knows nothing but how often each pixel is 1."""
    images = strewn(50)
    fitted = PixelRNN(**SMALL | {"max_steps": 1, "learning_rate": 1e-9}).fit(images)
    for weight in (fitted.network_.cell.cell.scores.weight, fitted.network_.cell.cell.scores.bias):
        weight.data.zero_()
    p = (images.sum(0) + 0.5) / 51
    expected = -(images * np.log(p) + (1 - images) * np.log(1 - p)).sum((1, 2)).mean()
    assert fitted.evaluate(images)["nats_per_image"] == pytest.approx(expected, rel=1e-4)


# ---------------------------------------------------------------- drawing


def test_a_picture_depends_on_its_own_seed_alone(model: PixelRNN) -> None:
    assert np.array_equal(model.sample(5, random_state=3)[:2], model.sample(2, random_state=3))
    assert np.array_equal(model.sample(5), model.sample(5)) and model.sample(3).shape == (3, 3, 3)
    assert not np.array_equal(model.sample(20, random_state=1), model.sample(20, random_state=2))


def test_drawn_probabilities_are_those_of_one_pass(model: PixelRNN) -> None:
    images, log_p = model.predictor_.drawn([1, 2, 3])
    np.testing.assert_allclose(log_p.sum((1, 2)), model.log_likelihood(images), atol=1e-5)


def test_pixel_by_pixel_draws_what_a_pass_for_every_pixel_draws() -> None:
    """The same pictures from the same numbers; how much faster, drawing_pixels.py measures."""
    fitted = PixelRNN(**SMALL | {"max_steps": 2}).fit(strewn(20, 9, 9))
    seeds = list(range(8))
    images, _ = fitted.predictor_.drawn(seeds)
    assert np.array_equal(images, by_passes(fitted, seeds))


def by_passes(fitted: PixelRNN, seeds: list[int]) -> np.ndarray:
    """The same, by a full pass over the picture for every pixel."""
    from seqdyn.decoding import Drawn
    from seqdyn.rows import Raster

    height, width = fitted.shape_
    chance = Drawn(Raster(fitted.network_)).seeded(seeds, height * width).uniform
    x = torch.zeros(len(seeds), height, width)
    with torch.inference_mode():
        for number in range(height * width):
            r, c = divmod(number, width)
            p = torch.sigmoid(scan(fitted.network_, x).output[:, r, c])
            x[:, r, c] = (chance[:, number] > 1 - p).float()
    return x.long().numpy()


# ---------------------------------------------------------------- completing


def test_a_lower_half_is_drawn_from_the_exact_conditional(model: PixelRNN) -> None:
    """The two last pixels of one picture, 4,000 times, against all four by enumeration."""
    image, known = strewn(1, seed=4), np.ones((3, 3), dtype=bool)
    known[2, 1:] = False
    found = model.complete(image, known, n=4000, random_state=0)
    assert found.exact.all() and not found.log_weights.any()
    assert np.array_equal(found.images[0][:, known], np.broadcast_to(image[0][known], (4000, 7)))
    choices = np.repeat(image, 4, 0)
    choices[:, 2, 1:] = every(1, 2)[:, 0]
    p = np.exp(model.log_likelihood(choices))
    observed = np.bincount(found.images[0][:, 2, 1] * 2 + found.images[0][:, 2, 2], minlength=4) / 4000
    assert np.abs(observed - p / p.sum()).max() < 4 * 0.5 / math.sqrt(4000)


def test_weights_make_up_for_what_comes_after_a_hole(model: PixelRNN) -> None:
    """A hole in the middle: what is drawn is not p(hidden | known), but its weighted mean is."""
    image, known = strewn(1, seed=4), np.ones((3, 3), dtype=bool)
    known[1, :2] = False
    found = model.complete(image, known, n=8000, random_state=0)
    assert not found.exact.any()
    choices = np.repeat(image, 4, 0)
    choices[:, 1, :2] = every(1, 2)[:, 0]
    p = np.exp(model.log_likelihood(choices))
    p /= p.sum()
    codes = found.images[0][:, 1, 0] * 2 + found.images[0][:, 1, 1]
    weights = np.exp(found.log_weights[0] - found.log_weights[0].max())
    weighted = np.bincount(codes, weights, minlength=4) / weights.sum()
    error = 4 * 0.5 / math.sqrt(found.effective_sample_size[0])
    assert np.abs(weighted - p).max() < error and 1 <= found.effective_sample_size[0] <= 8000
    np.testing.assert_allclose(
        found.log_probabilities[0] + found.log_weights[0],
        model.log_likelihood(found.images[0]) - prefix(model, image, known),
        atol=1e-4,
    )


def prefix(model: PixelRNN, image: np.ndarray, known: np.ndarray) -> float:
    """ln p of what stands before the first hidden pixel."""
    first = int((~known).flatten().argmax())
    every_pixel = model.predictor_.log_probabilities(torch.as_tensor(image))[0].flatten()
    return float(every_pixel[:first].sum())


def test_everything_hidden_is_a_sample(model: PixelRNN) -> None:
    nothing = np.zeros((3, 3), dtype=bool)
    found = model.complete(strewn(2), nothing, n=3, random_state=5)
    assert np.array_equal(found.images.reshape(6, 3, 3), model.sample(6, random_state=5)) and found.exact.all()


def test_a_mask_of_its_own_for_every_picture(model: PixelRNN) -> None:
    images, known = strewn(3), np.ones((3, 3, 3), dtype=bool)
    known[0, 2], known[1, 0, 0], known[2, 1:] = False, False, False
    found = model.complete(images, known, n=2, random_state=0)
    assert found.exact.tolist() == [True, False, True]
    for number in range(3):
        assert (found.images[number][:, known[number]] == images[number][known[number]]).all()


def test_a_completion_depends_on_its_own_picture_and_seed_alone(model: PixelRNN) -> None:
    """Alone, and beside a picture whose hole begins earlier."""
    image, late, early = strewn(1, seed=4), np.ones((3, 3), dtype=bool), np.zeros((3, 3), dtype=bool)
    late[2] = False
    alone = model.complete(image, late, n=20, random_state=0).images[0]
    both = model.complete(np.repeat(image, 2, 0), np.stack([late, early]), n=20, random_state=0).images
    assert np.array_equal(alone, both[0])


def test_what_stands_at_hidden_pixels_is_not_read(model: PixelRNN) -> None:
    known = np.ones((3, 3), dtype=bool)
    known[1:] = False
    occluded = np.where(known, strewn(2), np.nan)
    np.testing.assert_array_equal(model.complete(occluded, known).images, model.complete(strewn(2), known).images)


def test_exactness() -> None:
    known = np.array([[[True, True], [True, False]], [[True, False], [False, False]], [[False, True], [True, True]]])
    assert known_first(known).tolist() == [True, True, False]


# ---------------------------------------------------------------- files, seeds, parameters


def test_save_and_load(model: PixelRNN, tmp_path: Any) -> None:
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.get_params() == model.get_params() and again.shape_ == (3, 3)
    np.testing.assert_array_equal(again.log_likelihood(strewn()), model.log_likelihood(strewn()))
    np.testing.assert_array_equal(again.sample(4), model.sample(4))


def test_the_same_seed_gives_the_same_model() -> None:
    state = torch.random.get_rng_state()
    one, other = (PixelRNN(**SMALL).fit(strewn()) for _ in range(2))
    assert one.score(strewn()) == other.score(strewn()) and torch.equal(torch.random.get_rng_state(), state)


def test_early_stopping_holds_the_last_pictures_out() -> None:
    fitted = PixelRNN(**SMALL, early_stopping=True).fit(strewn())
    assert fitted.history_["validation_loss"].notna().all()


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Any) -> None:
    whole = PixelRNN(**SMALL).fit(strewn())
    part = PixelRNN(**SMALL, checkpoint=tmp_path / "c.pt", checkpoint_every=0)
    part.fit(strewn())
    assert part.fit(strewn()).score(strewn()) == whole.score(strewn())
    with pytest.raises(ValueError, match="checkpoint"):
        part.fit(strewn(seed=9))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 3)), r"one picture is images\[None\]"),
        (np.zeros((2, 3, 3, 3)), r"expected \(pictures, height, width\)"),
        (np.zeros((0, 3, 3)), "give one picture at least"),
        (np.zeros((2, 0, 3)), "one pixel at least"),
        (np.full((2, 3, 3), 0.5), "values from 0.5 to 0.5"),
        (np.full((2, 3, 3), 255), "values from 255 to 255"),
        (np.full((2, 3, 3), -1), "values from -1"),
        (np.full((2, 3, 3), 255), r"binarised\(images, 127.5\)"),
        ([np.zeros((2, 3)), np.zeros((3, 3))], "of unlike sizes"),
        (np.full((2, 3, 3), np.nan), "NaN or infinity, first in picture 0"),
        (np.array([["a"]]), "give an array of numbers"),
    ],
)
def test_bad_pictures(images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixelRNN(**SMALL).fit(images)


def test_pictures_of_another_size(model: PixelRNN) -> None:
    with pytest.raises(ValueError, match="4 × 3 pixels, but the model knows 3 × 3"):
        model.score(strewn(2, 4, 3))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((3, 3)), "expected bool"),
        (np.ones((2, 3), dtype=bool), r"mask has shape \(2, 3\)"),
        (np.ones((3, 3), dtype=bool), "hides nothing of picture 0"),
    ],
)
def test_bad_masks(model: PixelRNN, mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.complete(strewn(2), mask)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"variant": "snake"}, "variant must be"),
        ({"levels": 1}, "levels must be"),
        ({"window_size": 4}, "window_size must be"),
        ({"hidden_size": 0}, "hidden_size must be"),
    ],
)
def test_bad_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixelRNN(**SMALL | parameters).fit(strewn())


def test_not_fitted(model: PixelRNN) -> None:
    from sklearn.exceptions import NotFittedError

    for call in (
        lambda m: m.sample(1),
        lambda m: m.predictor_,
        lambda m: m.score(strewn()),
        lambda m: m.complete(strewn(), strewn() > 0),
    ):
        with pytest.raises(NotFittedError):
            call(PixelRNN())
    with pytest.raises(ValueError, match="n must be"):
        model.sample(0)
    with pytest.raises(ValueError, match="hidden_size"):
        PixelRNN(**SMALL).fit(strewn()).set_params(hidden_size=5).sample(1)


def test_binarised() -> None:
    grey = np.array([[0.1, 0.6], [0.5, 0.2]])
    assert binarised(grey).tolist() == [[0, 1], [1, 0]]
    random = binarised(np.full((1000,), 0.3), "random", random_state=0)
    assert abs(random.mean() - 0.3) < 4 * 0.46 / math.sqrt(1000)
    with pytest.raises(ValueError, match="Brightness"):
        binarised([2.0], "random")
    with pytest.raises(ValueError, match="neither black nor white"):
        binarised([np.nan])
    with pytest.raises(ValueError, match="threshold must be"):
        binarised([0.5], "otsu")


# ---------------------------------------------------------------- instruments


def test_gradients_through_the_rows() -> None:
    """The report of a one-layer row model: the last row feels the first, and no row feels a later one."""
    from seqdyn import check_causal, stability_report

    fitted = PixelRNN(variant="row", **SMALL | {"hidden_size": 2}).fit(strewn(100, 5, 3))
    report = stability_report(fitted, strewn(3, 5, 3, seed=1), required_lag=4)
    assert report.passed() and check_causal(fitted)
    with pytest.raises(ValueError, match="measured on pictures"):
        stability_report(fitted, strewn(3, 5, 3), strewn(3, 5, 3))


def test_the_audit_of_the_likelihood(model: PixelRNN) -> None:
    """One pass and pixel by pixel agree; a network that sees the pixel it predicts does not pass."""
    from seqdyn import check_likelihood

    assert (
        check_likelihood(model) and check_likelihood(model, strewn(4)) and check_likelihood(model, strewn(4)[:, None])
    )
    window = model.network_.cell.cell.cell.layers[0].cell
    run = window.unroll
    window.unroll = lambda x, state, mask=None: (run(x, state)[0] + x.unsqueeze(-1), run(x, state)[1])
    try:
        found = check_likelihood(model)
    finally:
        del window.unroll
    assert not found and "depends on the way it is computed" in found.reason
