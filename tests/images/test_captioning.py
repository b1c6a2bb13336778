"""Captioner: sentences about made scenes, what was looked at, given features, and every wrong input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqdyn import Captioner, check_causal, check_likelihood, check_padding, load, stability_report
from seqdyn.data.scenes import DIGITS, SCENE_SHAPES
from seqdyn.datasets import load_digit_plates, load_digit_scenes, load_digits, load_shape_scenes
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.state import flatten

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "embedding_size": 8,
    "max_steps": 60,
    "random_state": 0,
    "learning_rate": 2e-2,
}
MADE = load_shape_scenes(100)


@pytest.fixture(scope="module", params=["additive", "hard", None])
def model(request: pytest.FixtureRequest) -> Captioner:
    return Captioner(attention=request.param, **SMALL).fit(MADE.images, MADE.captions)


def dots(n: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """One bright cell of four, and a sentence that says which."""
    draw = np.random.default_rng(seed)
    cells = draw.integers(4, size=n)
    images = draw.random((n, 8, 8)) * 0.1
    for image, cell in zip(images, cells, strict=True):
        row, column = divmod(cell, 2)
        image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.9
    return images, [f"it is {('upper', 'lower')[cell // 2]} {('left', 'right')[cell % 2]}" for cell in cells]


@pytest.mark.parametrize("attention", ["general", "additive", "scaled_dot", "multi_head", "hard", None])
def test_it_tells_what_it_sees(attention: str | None) -> None:
    images, captions = dots(200)
    learnt: dict[str, Any] = {"max_steps": 200, "hidden_size": 32, "learning_rate": 1e-2}
    fitted = Captioner(attention=attention, patch_size=4, **SMALL | learnt).fit(images, captions)
    unseen, truth = dots(50, seed=1)
    assert fitted.predict(unseen) == truth
    found = fitted.evaluate(unseen, truth)
    assert found["exact"] == found["word_accuracy"] == 1 and found["nats_per_caption"] < 0.7
    assert fitted.score(unseen, truth) == pytest.approx(-found["nats_per_caption"])


def test_attention_weights(model: Captioner, tmp_path: Path) -> None:
    if model.attention is None:
        with pytest.raises(ValueError, match="looks at nothing"):
            model.attention_weights(MADE.images[0])
        return
    weights = model.attention_weights(MADE.images[0], MADE.captions[0])
    assert weights.dims == ("word", "row", "column") and weights.shape[1:] == (3, 3)
    assert weights["word"].values.tolist() == [*MADE.captions[0].split(), "⟨end⟩"]
    np.testing.assert_allclose(weights.sum(("row", "column")), 1, atol=1e-5)
    best = model.predict(MADE.images[:1])[0]
    own = model.attention_weights(MADE.images[0])
    assert own["word"].values.tolist()[: len(best.split())] == best.split()
    model.plot_attention(MADE.images[0], MADE.captions[0]).savefig(tmp_path / "seen.png")


def test_beams(model: Captioner) -> None:
    found = model.search(MADE.images[:4])
    for row in found:
        assert len(row) >= 3 and row == sorted(row, key=lambda one: (not one.ended, -one.score))
    assert [row[0].text for row in found] == model.predict(MADE.images[:4])
    log_p = model.log_probabilities(MADE.images[:1], [found[0][0].text])[0]
    np.testing.assert_allclose(log_p, found[0][0].log_probabilities, atol=1e-4)


def test_the_audits_pass_and_find_what_looks_ahead(model: Captioner) -> None:
    """No word is seen before its time, and ln p is one number, by three ways."""
    exact = Captioner(**{**model.get_params(), "dtype": "float64", "max_steps": 5}).fit(MADE.images, MADE.captions)
    for audit in (check_causal(exact), check_padding(exact), check_likelihood(exact)):
        assert audit, audit
    assert check_likelihood(exact, MADE.images[:2]).largest < 1e-9

    def ahead(self: EncoderDecoder, x: Any, mask: Any, seen: Any, noise: Any = None) -> Any:
        return seen.flip(1).unsqueeze(2).double()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderDecoder, "forced", ahead)
        assert not check_causal(exact)


def test_a_report_on_its_gradients(model: Captioner) -> None:
    """Of the decoder, every sentence from its own picture."""
    report = stability_report(model, MADE.images[:4], MADE.captions[:4], required_lag=3, tier="fast")
    assert report.content["subject"]["model"] == "Captioner" and "ln p" in report.content["subject"]["errors"]
    with pytest.raises(ValueError, match="measured on images and captions"):
        stability_report(model, MADE.images)


def test_a_picture_alone_is_told_as_among_others(model: Captioner) -> None:
    assert model.predict(MADE.images[2:3]) == model.predict(MADE.images[:5])[2:3]


def test_without_attention_the_picture_is_in_the_first_state_alone() -> None:
    """Show and tell: given the same first state, another picture changes nothing."""
    fitted = Captioner(attention=None, **SMALL).fit(MADE.images, MADE.captions)
    x = torch.stack(fitted.sources(MADE.images[:2]))
    memory, state = fitted.network_.encode(x)
    assert not memory.values.any() or torch.equal(memory.values[0], memory.values[1])
    assert (flatten(state)[0] != flatten(state)[1]).any()


@pytest.mark.parametrize("kind", ["rows", "cells", "map"])
def test_given_features(kind: str) -> None:
    """A callable that makes one row, several, or a map of features of every picture."""

    def features(images: np.ndarray) -> np.ndarray:
        cells = np.asarray(images).reshape(-1, 2, 4, 2, 4).mean((2, 4))
        forms = {"rows": cells.reshape(-1, 4), "cells": cells.reshape(-1, 4, 1), "map": cells[:, None]}
        return forms[kind]

    images, captions = dots(200)
    fitted = Captioner(features=features, **SMALL | {"max_steps": 200}).fit(images, captions)
    unseen, truth = dots(50, seed=1)
    assert fitted.evaluate(unseen, truth)["exact"] > 0.9
    assert fitted.grid_ == {"rows": (1, 1), "cells": (1, 4), "map": (2, 2)}[kind]
    with pytest.raises(TypeError, match="features"):
        fitted.save("model.safetensors")


def test_features_of_torch() -> None:
    images, captions = dots(50)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))
    fitted = Captioner(features=lambda x: network(torch.as_tensor(x).float()), **SMALL).fit(images, captions)
    assert len(fitted.predict(images[:3])) == 3


def test_save_and_load(model: Captioner, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.predict(MADE.images[:10]) == model.predict(MADE.images[:10]) and again.grid_ == (3, 3)


def test_hard_training_by_reinforce() -> None:
    fitted = Captioner(attention="hard", hard_training="reinforce", **SMALL).fit(MADE.images, MADE.captions)
    assert np.isfinite(fitted.score(MADE.images, MADE.captions))


def test_three_channels() -> None:
    plates = load_digit_plates(20, side=16)
    fitted = Captioner(**SMALL).fit(plates, ["three digits"] * 20)
    assert fitted.predict(plates[:2]) == ["three digits"] * 2


@pytest.mark.parametrize(
    ("images", "captions", "message"),
    [
        (MADE.images[:3], MADE.captions[:2], "3 pictures stand beside 2 captions"),
        (MADE.images[:2], ["a circle", " "], "Sentence 1 of captions is empty"),
        (MADE.images[0], ["a circle"], r"one picture is images\[None\]"),
        (np.full((2, 24, 24), np.nan), ["a circle"] * 2, "NaN or infinity, first in picture 0"),
        (np.zeros((2, 20, 24)), ["a circle"] * 2, "patch_size=8 does not divide pictures of 20 × 24"),
        (MADE.images[:1], "a circle", "is one text"),
    ],
)
def test_bad_input(images: Any, captions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Captioner(**SMALL).fit(images, captions)


def test_unknown_words(model: Captioner) -> None:
    strange = "a small pentagon above a cross"
    with pytest.raises(ValueError, match="'pentagon', which is none of the"):
        model.score(MADE.images[:1], [strange])
    if model.attention is not None:
        with pytest.raises(ValueError, match="'pentagon', which is none of the"):
            model.attention_weights(MADE.images[0], strange)


def test_pictures_of_another_size(model: Captioner) -> None:
    with pytest.raises(ValueError, match="1 × 16 × 24 a picture, but the model was fitted on 1 × 24 × 24"):
        model.predict(np.zeros((1, 16, 24)))


def test_features_of_varying_width() -> None:
    """A callable that gives another number of features later on."""
    widths = iter([5, 5, 4])

    def features(images: np.ndarray) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(images), next(widths)))

    fitted = Captioner(features=features, **SMALL | {"max_steps": 1}).fit(MADE.images, MADE.captions)
    with pytest.raises(ValueError, match="gave 1 × 4 a picture, but the model was fitted on 1 × 5"):
        fitted.predict(MADE.images[:2])
    for wrong, message in ((np.zeros(3), "features gave shape"), (np.full((100, 2), np.inf), "NaN")):
        with pytest.raises(ValueError, match=message):
            Captioner(features=lambda x, wrong=wrong: wrong, **SMALL).fit(MADE.images, MADE.captions)


def test_input_feeding_is_heard() -> None:
    """With it the context goes behind the recurrence, unless context says otherwise, which is refused."""
    found = []
    for on in (False, True):
        fitted = Captioner(input_feeding=on, **SMALL | {"max_steps": 1}).fit(MADE.images, MADE.captions)
        found.append(fitted.network_.state_dict().keys())
    assert found[0] != found[1]
    with pytest.raises(ValueError, match="choose one"):
        Captioner(input_feeding=True, context="input", **SMALL).fit(MADE.images, MADE.captions)


@pytest.mark.parametrize("scale", [255.0, 1e-3])
def test_the_scale_of_pictures_does_not_matter(scale: float) -> None:
    one, other = (Captioner(**SMALL).fit(factor * MADE.images, MADE.captions) for factor in (1.0, scale))
    assert other.score(scale * MADE.images, MADE.captions) == pytest.approx(
        one.score(MADE.images, MADE.captions), rel=0.05
    )


def test_one_picture_is_enough() -> None:
    fitted = Captioner(features=lambda x: np.ones((len(x), 3)), **SMALL | {"max_steps": 2}).fit(MADE.images[:1], ["a"])
    assert np.isfinite(fitted.score(MADE.images[:1], ["a"]))


def test_rare_words_are_scored_as_unknown() -> None:
    captions = [*MADE.captions[:-1], "a unique pentagon"]
    fitted = Captioner(min_count=2, **SMALL | {"max_steps": 2}).fit(MADE.images, captions)
    assert np.isfinite(fitted.score(MADE.images, captions))


@pytest.mark.parametrize("shape", [(24, 24), (1, 24, 24), (3, 24, 24), (24, 24, 3)])
def test_pictures_are_drawn_in_their_own_range(shape: tuple[int, ...], tmp_path: Path) -> None:
    from seqdyn.images.figures import caption_figure

    weights = Captioner(**SMALL | {"max_steps": 1}).fit(MADE.images, MADE.captions).attention_weights(MADE.images[0])
    drawing = caption_figure(np.random.default_rng(0).integers(256, size=shape), weights)
    low, high = drawing.axes[0].images[0].get_array().min(), drawing.axes[0].images[0].get_array().max()
    assert low == 0 and high == 1
    for wrong in (np.zeros((24, 24, 2)), "path.png"):
        with pytest.raises(ValueError, match=r"drawn"):
            caption_figure(wrong, weights)


def test_features_get_what_fit_got() -> None:
    images, captions = dots(20)
    given = torch.as_tensor(images)
    fitted = Captioner(features=lambda x: x.float().flatten(1), **SMALL | {"max_steps": 2}).fit(given, captions)
    assert fitted.attention_weights(torch.as_tensor(images)[0]).sizes["column"] == 1


def test_no_cell_sees_its_neighbours() -> None:
    from seqdyn.picture_encoder import PatchFeatures, PictureEncoder

    encoder = PictureEncoder(PatchFeatures(1, 8), cells=9, output_size=5)
    x = torch.rand(1, 1, 1, 24, 24)
    other = x.clone()
    other[..., :8, 8:16] += 1  # the second cell
    changed = (encoder(x)[0] != encoder(other)[0]).any(2)[0]
    assert changed.tolist() == [False, True, *[False] * 7]


def test_a_gallery_shows_every_picture() -> None:
    from seqdyn.images.figures import gallery

    drawing = gallery([[np.zeros((4, 4)), np.full((4, 4), np.nan)], [np.ones((4, 4))]], ["paper", "hidden"])
    page = np.asarray(drawing.axes[0].images[0].get_array())
    assert page.shape == (11, 11, 3) and (page[1:5, 1:5] == 1).all() and not page[6:10, 1:5].any()
    assert page[1, 6, 2] > page[1, 6, 0]


# ---------------------------------------------------------------- scenes


def test_digit_scenes_say_where_things_are() -> None:
    """The named cells hold the named digits, all others are empty, and the sentence is the one of the two places."""
    made, (digits, labels) = load_digit_scenes(200, subset="test", random_state=3), load_digits()
    known = {image.tobytes(): int(label) for image, label in zip(digits[1437:], labels[1437:], strict=True)}
    for image, caption, words, cells in zip(*made, strict=True):
        grid = image.reshape(3, 8, 3, 8).swapaxes(1, 2).reshape(9, 8, 8)
        named = [caption.split()[word] for word in words]
        assert [DIGITS[known[np.ascontiguousarray(grid[cell]).tobytes()]] for cell in cells] == named
        assert not np.delete(grid, cells, 0).any()
        (r, c), (y, x) = (divmod(int(cell), 3) for cell in cells)
        assert ("above" in caption) == (r < y and c == x) and ("left of" in caption) == (c < x and r == y)
        assert "an eight" in caption or "a eight" not in caption


def test_shape_scenes() -> None:
    made = load_shape_scenes(300, random_state=3)
    pairs = zip(made.captions, made.words, strict=True)
    heads = {word for caption, words in pairs for word in np.array(caption.split())[words]}
    assert heads == {form for name in SCENE_SHAPES for form in (name, f"{name}s" if name[-1] != "s" else f"{name}es")}
    grid = made.images.reshape(-1, 3, 8, 3, 8).swapaxes(2, 3).reshape(-1, 9, 64)
    for row, cells in zip(grid, made.cells, strict=True):
        assert (row[cells].max(1) > 0.5).all() and not np.delete(row, cells, 0).any()
    assert made.images.min() == 0 and made.images.max() == 1


def test_scenes_are_drawn_from_their_seed() -> None:
    one, same, other = (load_shape_scenes(5, random_state=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.images, same.images) and one.captions == same.captions != other.captions
    with pytest.raises(ValueError, match="subset"):
        load_digit_scenes(5, subset="validation")
    with pytest.raises(ValueError, match="multiple of 8"):
        load_digit_plates(5, side=20)
    with pytest.raises(ValueError, match="n must be"):
        load_shape_scenes(0)


def test_plates_are_pure_colours() -> None:
    plates = load_digit_plates(50, digits=2)
    grid = plates.reshape(50, 3, 3, 8, 3, 8).transpose(0, 2, 4, 1, 3, 5).reshape(50, 9, 3, 64)
    assert (grid.any((2, 3)).sum(1) == 2).all()
    inked = grid[grid.any((2, 3))]
    on = inked.any(2)
    assert all((picture[channels] == picture[channels][0]).all() for picture, channels in zip(inked, on, strict=True))
