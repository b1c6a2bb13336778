"""Sequence autoencoders: numbers and texts become one vector and come back, with their ends."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from seqdyn import GRU, SequenceAutoencoder, check_padding, load, stability_report

SMALL: dict[str, Any] = {"code_size": 8, "hidden_size": 32, "embedding_size": 8, "random_state": 0}


def sines(count: int, seed: int = 0) -> list[np.ndarray]:
    """Of two features, of unlike lengths, in units of their own."""
    draw, found = np.random.default_rng(seed), []
    for _ in range(count):
        t, phase = np.arange(draw.integers(8, 16)), draw.uniform(0, 6)
        found.append(100 + 20 * np.stack([np.sin(0.5 * t + phase), np.cos(0.5 * t + phase)], 1))
    return found


WORDS = ["to", "be", "or", "not", "that", "is", "the", "question"]


@pytest.fixture(scope="module")
def waves() -> SequenceAutoencoder:
    return SequenceAutoencoder(**SMALL, max_steps=700).fit(sines(300))


@pytest.fixture(scope="module")
def letters() -> SequenceAutoencoder:
    return SequenceAutoencoder(**SMALL, max_steps=300).fit(WORDS * 4)


def test_numbers_come_back(waves: SequenceAutoencoder) -> None:
    """Sequences it has not seen, in their units; of unlike lengths, which it tells within a step of most."""
    unseen = sines(100, 1)
    figures = waves.evaluate(unseen)
    assert figures["r2"] > 0.95 and waves.score(unseen) == figures["r2"]
    codes = waves.transform(unseen)
    assert codes.shape == (100, 8)
    made = waves.inverse_transform(codes, [len(one) for one in unseen])
    residual = np.concatenate(made) - np.concatenate(unseen)
    assert figures["rmse"] == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-4)
    own = [len(one) for one in waves.inverse_transform(codes)]
    assert figures["length"] == np.mean(np.array(own) == [len(one) for one in unseen]) > 0.8


def test_texts_come_back(letters: SequenceAutoencoder) -> None:
    """To the letter, with their ends."""
    assert letters.inverse_transform(letters.transform(WORDS)) == WORDS
    assert letters.evaluate(WORDS) == {"exact": 1.0, "symbols": 1.0, "length": 1.0}
    assert letters.score(["to", "bq"]) == 0.5


@pytest.mark.parametrize("kind", [tuple, np.array, pd.Series])
def test_texts_in_any_column(letters: SequenceAutoencoder, kind: Any) -> None:
    """A tuple, an array or a Series of them."""
    np.testing.assert_array_equal(letters.transform(kind(WORDS)), letters.transform(WORDS))


def test_a_vector_does_not_depend_on_the_others(waves: SequenceAutoencoder) -> None:
    """Alone, in any order, beside longer ones."""
    some = sines(20, 2)
    codes = waves.transform(some)
    for number in (0, 7, 19):
        np.testing.assert_allclose(waves.transform([some[number]])[0], codes[number], atol=1e-5)
    np.testing.assert_allclose(waves.transform(some[::-1]), codes[::-1], atol=1e-5)


def test_containers() -> None:
    """An array of series, a frame of them: the same vectors; an array comes back where lengths agree."""
    X = np.stack([one[:8] for one in sines(30)])
    model = SequenceAutoencoder(**SMALL, max_steps=20).fit(X)
    codes = model.transform(X)
    index = pd.MultiIndex.from_product([range(30), range(8)], names=["series", "time"])
    np.testing.assert_array_equal(model.transform(pd.DataFrame(X.reshape(-1, 2), index)), codes)
    assert model.inverse_transform(codes, [8] * 30).shape == (30, 8, 2)
    assert [len(one) for one in model.inverse_transform(codes[:2], [3, 5])] == [3, 5]


def test_in_a_pipeline() -> None:
    """Vectors as features: the frequency of a wave is read from them."""
    draw = np.random.default_rng(0)
    slow = draw.random(120) < 0.5
    X = [np.sin(np.where(s, 0.3, 0.9) * np.arange(12) + draw.uniform(0, 6))[:, None] for s in slow]
    model = make_pipeline(SequenceAutoencoder(**SMALL, max_steps=400), LogisticRegression(max_iter=1000))
    assert model.fit(X[:80], slow[:80]).score(X[80:], slow[80:]) > 0.9
    assert model[0].n_features_in_ == 1 and model[:-1].get_feature_names_out().tolist()[:1] == ["sequenceautoencoder0"]


@pytest.mark.parametrize("options", [{"cell": "gru", "num_layers": 2, "residual": True}, {"bidirectional": False}])
def test_other_layers_and_files(options: dict[str, Any], tmp_path: Path) -> None:
    """They learn, a file holds them, a clone becomes the same."""
    model = SequenceAutoencoder(**SMALL, **options, max_steps=200).fit(sines(100))
    assert model.score(sines(50, 1)) > 0.8
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.transform(sines(5)), model.transform(sines(5)))
    np.testing.assert_array_equal(clone(model).fit(sines(100)).transform(sines(5)), model.transform(sines(5)))
    text = SequenceAutoencoder(**SMALL, **options, max_steps=2).fit(WORDS)
    text.save(tmp_path / "text.safetensors")
    assert load(tmp_path / "text.safetensors").inverse_transform(text.transform(WORDS)) == text.inverse_transform(
        text.transform(WORDS)
    )


def test_what_is_held_out_teaches_no_scale() -> None:
    """Nor the longest length, nor the symbols; the loss there is watched."""
    X = [np.ones((4, 1)) + 0.1 * np.arange(4)[:, None]] * 9 + [np.full((30, 1), 1000.0)]
    model = SequenceAutoencoder(**SMALL, early_stopping=True, max_steps=4).fit(X)
    assert model.scaling_.mean[0] < 2 and model.longest_ == 4 and model.history_.validation_loss.notna().all()
    text = SequenceAutoencoder(**SMALL, early_stopping=True, max_steps=4).fit(["ab"] * 9 + ["zz"])
    assert "z" not in text.vocabulary_.symbols
    raw = SequenceAutoencoder(**SMALL, scale=False, dropout=0.5, max_steps=4).fit(X)
    assert raw.scaling_.mean[0] == 0
    assert raw.network_.encoder.train().noise(2, 3, torch.Generator()) is not None


def test_what_is_unknown_is_not_exact() -> None:
    """A letter that the fit left out cannot come back."""
    model = SequenceAutoencoder(**SMALL, min_count=16, max_steps=200).fit(["ab"] * 16 + ["az"])
    assert model.evaluate(["az"])["exact"] == 0.0 and model.evaluate(["ab"])["exact"] == 1.0


def test_the_history_has_the_parts(waves: SequenceAutoencoder) -> None:
    """The loss is their sum."""
    parts = waves.history_.reconstruction + waves.history_.end
    np.testing.assert_allclose(waves.history_.loss, parts, rtol=1e-5)


def test_audit_and_report(waves: SequenceAutoencoder, letters: SequenceAutoencoder) -> None:
    """Padding changes nothing; the gradients of the decoder are followed, each sequence from its own vector."""
    for model, X in ((waves, sines(20)), (letters, WORDS)):
        assert check_padding(model), check_padding(model)
        report = stability_report(model, X, required_lag=2, tier="fast")
        assert report.content["subject"]["errors"] == "the error of the reconstruction"
    with pytest.raises(ValueError, match="give them as X, and no y"):
        stability_report(waves, sines(3), sines(3))


EXPECTED = {
    "check_methods_sample_order_invariance": "rows are steps of one sequence",
    "check_methods_subset_invariance": "rows are steps of one sequence",
    "check_transformer_general": "one vector a sequence, not a row",
    "check_transformer_data_not_an_array": "a list of sequences has to have a length",
    "check_transformer_preserve_dtypes": "dtype= says the precision",
}


def test_scikit_learns_own_checks() -> None:
    """All but those that take rows for examples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(SequenceAutoencoder(code_size=3, hidden_size=4, max_epochs=2), on_fail=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert failed <= set(EXPECTED)


def test_bad_input(waves: SequenceAutoencoder, letters: SequenceAutoencoder) -> None:
    """What is wrong, and where."""
    broken = sines(3)
    broken[1][2, 0] = np.nan
    for X, message in (
        (broken, "NaN"),
        ([], "X holds no sequence"),
        ("abc", "X is one text"),
        (["a", ""], "Text 1 of X is ''"),
        (["a", 3], "Text 1 of X is 3"),
    ):
        with pytest.raises(ValueError, match=message):
            SequenceAutoencoder(**SMALL).fit(X)
    with pytest.raises(ValueError, match="X has 3 features, but SequenceAutoencoder is expecting 2"):
        waves.transform([np.zeros((4, 3))])
    with pytest.raises(ValueError, match="X holds texts, but the fit learnt numbers"):
        waves.transform(["a"])
    with pytest.raises(ValueError, match="the fit learnt texts: give a list of str"):
        letters.transform(np.zeros((1, 2, 1)))
    with pytest.raises(ValueError, match="Z has shape \\(2, 3\\), expected \\(series, 8\\)"):
        waves.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN or infinity in row 1"):
        waves.inverse_transform(np.array([np.zeros(8), np.full(8, np.nan)]))
    for lengths in ([3], [3.0, 5.0], [3, True]):
        with pytest.raises(ValueError, match="lengths holds .* for 2 vectors: give an int of at least 1"):
            waves.inverse_transform(np.zeros((2, 8)), lengths)
    with pytest.raises(ValueError, match="Z has shape \\(0, 8\\)"):
        waves.inverse_transform(np.zeros((0, 8)))
    with pytest.raises(ValueError, match="X is a generator: give an array"):
        SequenceAutoencoder(**SMALL).fit(one for one in sines(3))
    with pytest.raises(ValueError, match="Text 0 of X is None"):
        SequenceAutoencoder(**SMALL).fit([None, "a"])
    with pytest.raises(ValueError, match="cell must be one of"):
        SequenceAutoencoder(cell=GRU(2, 8)).fit(sines(3))
    frames = [pd.DataFrame(one, columns=["a", "b"]) for one in sines(6)]
    named = SequenceAutoencoder(**SMALL, max_steps=2).fit(frames)
    with pytest.raises(ValueError, match="The features are \\('b', 'a'\\), those of the fit were \\('a', 'b'\\)"):
        named.transform([frame[["b", "a"]] for frame in frames])
    with pytest.raises(ValueError, match="code_size must be an int"):
        SequenceAutoencoder(code_size=0).fit(sines(3))
    with pytest.raises(NotFittedError):
        SequenceAutoencoder().transform(sines(3))
    with pytest.raises(ValueError, match="too few to hold any out"):
        SequenceAutoencoder(early_stopping=True).fit(sines(1))
