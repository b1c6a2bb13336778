"""Laws of the estimators that build a network from what they learn of their data, and of motion models."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from seqdyn import (
    DRAW,
    Captioner,
    GRURegressor,
    LanguageModel,
    MotionModel,
    PixelRNN,
    SequenceAutoencoder,
    TextClassifier,
    Translator,
    load,
)
from seqdyn.estimators.documented import split_docstring
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.progress import Progress

NETWORKS: list[Any] = [
    LanguageModel,
    TextClassifier,
    Translator,
    Captioner,
    SequenceAutoencoder,
    PixelRNN,
    DRAW,
]
STRIPES = np.tile([[[0], [1]], [[1], [0]]], (8, 1, 4))
TEXTS = ["a good film", "a bad film"] * 4
SMALL: dict[str, Any] = {"hidden_size": 4, "random_state": 0}
CASES: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "LanguageModel": (LanguageModel(**SMALL), ("to be or not " * 8,), "vocabulary=7 characters"),
    "TextClassifier": (TextClassifier(members=1, embedding_size=4, **SMALL), (TEXTS, [1, 0] * 4), "classes=2"),
    "Translator": (Translator(unit="word", embedding_size=4, **SMALL), (TEXTS, TEXTS[::-1]), "target=4 words"),
    "Captioner": (Captioner(embedding_size=4, patch_size=2, **SMALL), (STRIPES[:8], TEXTS), "grid=1 × 2"),
    "SequenceAutoencoder": (SequenceAutoencoder(code_size=2, **SMALL), (TEXTS,), "vocabulary=10 characters"),
    "numbers": (SequenceAutoencoder(code_size=2, **SMALL), ([np.zeros((3, 2)), np.ones((4, 2))],), "features=2"),
    "PixelRNN": (PixelRNN(**SMALL), (STRIPES,), "picture=2 × 4 pixels"),
    "DRAW": (DRAW(attention=False, glimpses=2, latent_size=2, **SMALL), (STRIPES,), "picture=1 × 2 × 4 pixels"),
}


@pytest.mark.parametrize("kind", [*NETWORKS, NetworkEstimator, MotionModel], ids=lambda kind: kind.__name__)
def test_every_parameter_is_documented_once(kind: Any) -> None:
    """The docstring describes what the signature takes, no more and no less."""
    _, entries, _ = split_docstring(inspect.cleandoc(kind.__doc__))
    assert set(entries) == set(inspect.signature(kind).parameters)
    assert kind.__doc__.count("Parameters\n----------") + kind.__doc__.count("Parameters\n    ----------") == 1


@pytest.mark.parametrize("kind", [*NETWORKS, MotionModel], ids=lambda kind: kind.__name__)
def test_ancestors_are_few(kind: Any) -> None:
    """At most three classes of the library, the class itself included."""
    own = [part for part in kind.__mro__ if part.__module__.startswith("seqdyn.")]
    assert len(own) <= 3 and issubclass(kind, BaseEstimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", CASES)
def test_a_fitted_model_shows_what_it_learnt(name: str, tmp_path: Path) -> None:
    """In a line, in a table and on a screen; before the fit scikit-learn's parameters alone."""
    template, data, fact = CASES[name]
    model = clone(template).set_params(max_steps=2)
    before = repr(model)
    assert before.startswith(f"{type(model).__name__}(")
    assert "fitted(" not in before and "<caption>" not in model._repr_html_()
    model.fit(*data)
    assert repr(model).startswith(before + ", fitted(") and fact in repr(model) and "weights=" in repr(model)
    assert "<caption>fitted</caption>" in model._repr_html_()
    summary = model.summary()
    assert summary.startswith(f"{type(model).__name__}, fitted\n") and fact.partition("=")[2] in summary
    assert type(model.network_).__name__ in summary
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert repr(again) == repr(model) and again.summary() == summary


@pytest.mark.parametrize("name", CASES)
def test_a_callback_ends_the_training(name: str) -> None:
    """It is told after every epoch; what was learnt until it answers is kept."""
    template, data, _ = CASES[name]
    seen: list[Progress] = []

    def callback(progress: Progress) -> bool:
        seen.append(progress)
        return progress.done == 2

    model = clone(template).set_params(max_epochs=20, callback=callback).fit(*data)
    assert [progress.done for progress in seen] == [1, 2] and {progress.what for progress in seen} == {"fit"}
    assert model.n_iter_ == len(model.history_) == 2
    with pytest.raises(ValueError, match="callback must be None or a callable of a Progress, got 3"):
        clone(template).set_params(callback=3).fit(*data)


def test_a_callback_is_not_kept_in_a_file(tmp_path: Path) -> None:
    """It is code, and a training that it has ended needs it no more."""
    model = LanguageModel(max_epochs=1, callback=lambda progress: True, **SMALL).fit("to be or not " * 8)
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").callback is None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_long_predictions_show_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is more than one batch, and only if ``verbose`` asks for it; what is predicted stays the same."""
    model = SequenceAutoencoder(code_size=2, max_steps=2, **SMALL).fit(TEXTS)
    many = TEXTS * 10
    quiet, nothing = model.transform(many), capsys.readouterr()
    np.testing.assert_array_equal(model.set_params(verbose=1).transform(many), quiet)
    assert nothing == ("", "") and "encode" in capsys.readouterr().err
    model.transform(TEXTS)
    assert capsys.readouterr() == ("", "")


def test_a_motion_model_shows_what_it_learnt() -> None:
    """Its joints and their ranges in the training; before the fit scikit-learn's parameters alone."""
    turn = 2 * np.pi * np.arange(100) / 25
    angles = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    model = MotionModel(GRURegressor(hidden_size=4, max_epochs=2, random_state=0), rate=25.0)
    before = repr(model)
    assert before.startswith("MotionModel(estimator=GRURegressor(")
    assert "fitted(" not in before and "<caption>" not in model._repr_html_()
    model.fit(None, angles)
    assert "joints=2" in repr(model) and "<caption>fitted</caption>" in model._repr_html_()
    assert model.summary().startswith("MotionModel of 25 Hz, fitted\n") and "angle_1" in model.summary()
