"""Classifiers of texts: scikit-learn's manners, labels of texts and of tokens, and the words that mattered."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from seqdyn import (
    LanguageModel,
    SequenceAutoencoder,
    TextClassifier,
    check_causal,
    check_padding,
    load,
    stability_report,
)

GOOD, BAD = ["good", "clever", "moving", "fine"], ["bad", "boring", "long", "dull"]
SMALL: dict[str, Any] = {
    "hidden_size": 8, "embedding_size": 8, "batch_size": 16, "learning_rate": 0.02, "max_epochs": 12, "random_state": 0,
    "members": 1, "weight_decay": 0.1,
}  # fmt: skip


def reviews(count: int = 120, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Films with one good or one bad word among words that say nothing."""
    draw = np.random.default_rng(seed)
    texts, labels = [], draw.integers(0, 2, count)
    for label in labels:
        words = draw.choice(["a", "film", "the", "is", "of", "with", "and"], draw.integers(3, 12)).tolist()
        words.insert(int(draw.integers(0, len(words) + 1)), str(draw.choice(GOOD if label else BAD)))
        texts.append(" ".join(words).capitalize() + ".")
    return texts, np.where(labels == 1, "good", "bad")


TEXTS, LABELS = reviews()
UNITS = ["character", "word", *(["subword"] if find_spec("tokenizers") else [])]


@pytest.fixture(scope="module")
def model() -> TextClassifier:
    """One that is only read."""
    return TextClassifier(**(SMALL | {"max_epochs": 40})).fit(TEXTS, LABELS)


# --- its network as a cell --------------------------------------------------------------------------------------------

FORWARD = SMALL | {"bidirectional": False, "pooling": "last", "max_epochs": 3}


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "residual": True}, {"return_sequences": True}], ids=str)
def test_in_one_direction_it_is_a_cell(options: dict[str, Any]) -> None:
    """Step by step it gives the same probabilities, and has a report on its gradients."""
    texts = [text.lower().rstrip(".").split() for text in TEXTS]
    a_token = "return_sequences" in options
    labels = [[int(token in GOOD) for token in text] for text in texts] if a_token else LABELS
    forward = TextClassifier(**FORWARD, **options).fit(texts, labels)
    stream = forward.stream()
    for word in texts[0]:
        stream.push(f" {word}")
    expected = forward.predict_proba(texts[:1])[0]
    np.testing.assert_allclose(stream.probabilities(), expected[-1] if a_token else expected, atol=1e-6)
    report = stability_report(forward, texts, labels, required_lag=3, tier="fast")
    assert report.content["subject"]["errors"] == "−ln P of the labels"


def test_what_is_no_cell() -> None:
    """The error says why, and how to fit one that is."""
    for options, reason in (
        ({"bidirectional": True}, "it is bidirectional and also reads the future"),
        ({"members": 2}, "it is 2 networks side by side. Fit with members=1"),
        ({"pooling": "mean"}, "it sums all steps up by pooling='mean'"),
    ):
        with pytest.raises(ValueError, match=reason):
            stability_report(TextClassifier(**(FORWARD | options)).fit(TEXTS, LABELS), TEXTS, LABELS)
    forward = TextClassifier(**FORWARD).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="measured on texts and their labels"):
        stability_report(forward, TEXTS)
    with pytest.raises(ValueError, match="the fit knew"):
        stability_report(forward, TEXTS, ["fair"] * len(TEXTS))


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_learns_the_words_that_matter(pooling: str, bidirectional: bool) -> None:
    """Wherever they stand, in texts that it has not seen."""
    options = SMALL | {"pooling": pooling, "bidirectional": bidirectional, "max_epochs": 40, "dropout": 0.2}
    model = TextClassifier(**options).fit(TEXTS, LABELS)
    assert model.score(*reviews(200, 1)) > 0.97


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_every_unit_and_cell(unit: str, cell: str) -> None:
    """Probabilities of all classes, which sum to 1; the likeliest is predicted."""
    size = 300 if unit == "subword" else None
    model = TextClassifier(**(SMALL | {"unit": unit, "cell": cell, "max_epochs": 2, "vocabulary_size": size}))
    found = model.fit(TEXTS, LABELS).predict_proba(["A good film", "dull", "Zyxwü?"])
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)
    assert (model.predict(["A good film", "dull", "Zyxwü?"]) == model.classes_[found.argmax(1)]).all()
    assert model.classes_.tolist() == ["bad", "good"]


def test_one_label_a_token() -> None:
    """Of texts and of lists of tokens: whether a word was seen before in its text."""
    draw = np.random.default_rng(0)
    texts = [draw.choice(["a", "b", "c", "d"], draw.integers(2, 9)).tolist() for _ in range(300)]
    labels = [[word in text[:k] for k, word in enumerate(text)] for text in texts]
    model = TextClassifier(**(SMALL | {"hidden_size": 24, "max_epochs": 40, "dropout": 0.0, "word_dropout": 0.0}),
                           return_sequences=True, bidirectional=False).fit(texts, labels)  # fmt: skip
    assert model.score(texts, labels) > 0.95
    found = model.predict(texts[:3])
    assert [len(row) for row in found] == [len(text) for text in texts[:3]]
    assert [p.shape for p in model.predict_proba(["a b a", "c"])] == [(3, 2), (1, 2)]
    text, tokens = model.predict(["a b a", ["a", "b", "a"]])
    assert len(text) == len(tokens) == 3


def test_neither_padding_nor_company_matters(model: TextClassifier) -> None:
    """A text alone has the probability that it has among others, in any order."""
    texts, _ = reviews(30, 2)
    together = model.predict_proba(texts)
    np.testing.assert_allclose(np.concatenate([model.predict_proba([text]) for text in texts]), together, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(texts[::-1])[::-1], together, atol=1e-6)
    assert check_padding(model)
    assert not check_causal(model)
    assert check_causal(TextClassifier(**SMALL, bidirectional=False, return_sequences=True).fit(
        [text.split() for text in TEXTS], [[k % 2 for k, _ in enumerate(text.split())] for text in TEXTS]))  # fmt: skip


def test_tokens_are_words() -> None:
    """A text and its tokens are the same."""
    tokens = [text.lower().replace(".", " .").split() for text in TEXTS]
    first, second = (TextClassifier(**(SMALL | {"max_epochs": 2})).fit(X, LABELS) for X in (TEXTS, tokens))
    assert set(second.vocabulary_.symbols) - set(first.vocabulary_.symbols) == {" ."}
    clean = [text.rstrip(".") for text in TEXTS]
    np.testing.assert_array_equal(first.predict_proba(clean), first.predict_proba([text.split() for text in clean]))


def test_weights_of_texts() -> None:
    """One of weight 0 is not there; its words are known, though."""
    texts, labels = reviews(60, 3)
    weight = np.ones(60)
    weight[30:] = 0
    flipped = np.where(np.arange(60) < 30, labels, np.where(labels == "good", "bad", "good"))
    models = [TextClassifier(**SMALL).fit(texts, y, weight) for y in (labels, flipped)]
    np.testing.assert_array_equal(models[0].predict_proba(texts), models[1].predict_proba(texts))
    assert models[0].score(texts, labels, weight) == models[0].score(texts[:30], labels[:30])


def test_a_part_is_held_out() -> None:
    """Of each class its share; the best weights are kept."""
    model = TextClassifier(**(SMALL | {"max_epochs": 10}), early_stopping=True).fit(TEXTS, LABELS)
    assert np.isfinite(model.history_["validation_loss"]).all()


def test_a_start_from_a_language_model(tmp_path: Path) -> None:
    """Of the training texts alone: its vectors, in every member, before a step is taken."""
    reader = LanguageModel(unit="word", min_count=2, hidden_size=8, embedding_size=8, max_epochs=3, random_state=0)
    options = SMALL | {"pretraining": reader, "max_epochs": 1, "members": 2}
    model = TextClassifier(**(options | {"learning_rate": 1e-12})).fit(TEXTS, LABELS)
    for member in model.network_.encoder.members:
        np.testing.assert_allclose(member.layers[0][0].weight.detach(), model.language_model_.embedding_, atol=1e-9)
    assert not hasattr(reader, "vocabulary_") and model.vocabulary_ is model.language_model_.vocabulary_
    trained = TextClassifier(**(SMALL | {"pretraining": reader, "max_epochs": 40})).fit(TEXTS, LABELS)
    assert trained.score(*reviews(100, 1)) > 0.95
    free = clone(reader).set_params(random_state=None)
    again = [TextClassifier(**(SMALL | {"pretraining": free, "max_epochs": 1})).fit(TEXTS, LABELS) for _ in "ab"]
    np.testing.assert_array_equal(again[0].predict_proba(TEXTS), again[1].predict_proba(TEXTS))
    again[0].save(tmp_path / "m.safetensors")
    kept = load(tmp_path / "m.safetensors")
    assert kept.language_model_.score(" good") == again[0].language_model_.score(" good")
    assert again[0].set_params(pretraining=None).fit(TEXTS, LABELS).language_model_ is None


def test_a_fit_that_fails_spoils_nothing(model: TextClassifier) -> None:
    """The model of before stays."""
    model = clone(model).fit(TEXTS, LABELS)
    before = model.predict_proba(TEXTS)
    reader = LanguageModel(unit="word", min_count=2, embedding_size=5, max_steps=1)
    with pytest.raises(ValueError, match="5 wide"):
        model.set_params(pretraining=reader).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), before)


def test_members_are_averaged() -> None:
    """Each gives a probability of its own; the mean is what is said, in a file too."""
    model = TextClassifier(**(SMALL | {"members": 3})).fit(TEXTS, LABELS)
    x = model.vocabulary_.numbers([" good"])
    each = [torch.softmax(member(torch.as_tensor(x)[None]).summary, -1) for member in model.network_.encoder.members]
    assert not torch.allclose(each[0], each[1])
    np.testing.assert_allclose(model.predict_proba(["good"]), torch.stack(each).mean(0).detach(), rtol=1e-5)
    assert check_padding(model) and model.explain("good film").attention.sum() == pytest.approx(1, abs=1e-5)


def test_figures_by_their_definition(model: TextClassifier) -> None:
    """Accuracy is the score; nats are of the probability of the right label; an unknown label cannot be right."""
    texts, labels = reviews(50, 4)
    found, p = model.evaluate(texts, labels), model.predict_proba(texts)
    assert found["accuracy"] == model.score(texts, labels) and found["labels_scored"] == 50
    right = p[range(50), np.searchsorted(model.classes_, labels)]
    assert found["nats_per_label"] == pytest.approx(-np.log(right).mean())
    assert model.evaluate(["good"], ["middling"]) == {"accuracy": 0.0, "nats_per_label": np.inf, "labels_scored": 1}
    tagger = TextClassifier(**(SMALL | {"max_epochs": 1}), return_sequences=True)
    tagger.fit([["a", "b"], ["b"]] * 4, [[0, 1], [1]] * 4)
    assert tagger.evaluate([["a", "b"], ["b"]], [[0, 1], [1]])["labels_scored"] == 3


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """To the bit; other labels are refused."""
    options = SMALL | {"schedule": None, "checkpoint_every": 0.0}
    whole = TextClassifier(**(options | {"max_epochs": 4})).fit(TEXTS, LABELS)
    path = tmp_path / "checkpoint"
    for epochs in (2, 4):
        resumed = TextClassifier(**(options | {"max_epochs": epochs, "checkpoint": path})).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(resumed.predict_proba(TEXTS), whole.predict_proba(TEXTS))
    for y, weight in ((LABELS[::-1], None), (LABELS, np.arange(1.0, 121.0))):
        with pytest.raises(ValueError, match="data"):
            TextClassifier(**(options | {"max_epochs": 4, "checkpoint": path})).fit(TEXTS, y, weight)


# --- scikit-learn's manners -------------------------------------------------------------------------------------------


def test_it_works_in_scikit_learn() -> None:
    """X is a list of strings, or an array of them: cross-validation, a search, a pipeline."""
    model = TextClassifier(**(SMALL | {"max_epochs": 25, "dropout": 0.2}))
    assert cross_val_score(model, TEXTS, LABELS, cv=2).mean() > 0.8
    short = clone(model).set_params(max_epochs=2)
    scores = cross_val_score(short, TEXTS, LABELS, cv=2)
    for X in (np.array(TEXTS), np.array(TEXTS, dtype=object)):
        np.testing.assert_array_equal(cross_val_score(short, X, LABELS, cv=2), scores)
    search = GridSearchCV(short, {"pooling": ["mean", "max"]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_["pooling"] in ("mean", "max") and search.predict(TEXTS[:3]).shape == (3,)
    reversed_ = make_pipeline(FunctionTransformer(lambda texts: [text[::-1] for text in texts]), clone(model))
    assert reversed_.fit(TEXTS, LABELS).score(TEXTS, LABELS) > 0.8
    assert clone(model).get_params() == model.get_params()


def test_the_same_seed_gives_the_same_model() -> None:
    """And a fit after another is as the first."""
    model = TextClassifier(**SMALL).fit(TEXTS, LABELS)
    first = model.predict_proba(TEXTS)
    TextClassifier(**SMALL).fit(TEXTS[:20], LABELS[:20])
    np.testing.assert_array_equal(model.fit(TEXTS, LABELS).predict_proba(TEXTS), first)


@pytest.mark.parametrize("unit", UNITS)
def test_it_comes_back_from_a_file(unit: str, tmp_path: Path) -> None:
    """With its vocabulary and classes."""
    size = 300 if unit == "subword" else None
    model = TextClassifier(**(SMALL | {"unit": unit, "max_epochs": 2, "vocabulary_size": size})).fit(TEXTS, LABELS)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert again.predict(TEXTS[:2]).tolist() == model.predict(TEXTS[:2]).tolist()
    assert again.history_.equals(model.history_) and again.get_params() == model.get_params()


# --- the words that mattered ------------------------------------------------------------------------------------------


def test_the_words_that_mattered(model: TextClassifier, tmp_path: Path) -> None:
    """The one good word, by what its loss would cost; what is told adds up with the probabilities."""
    found = model.explain("A film with a clever and <of>.")
    frame = found.to_frame()
    assert found.label == "good" and frame["word"][frame["contribution"].idxmax()] == "clever"
    p, without = (
        model.predict_proba([t])[0, 1] for t in ("a film with a clever and <of>.", "a film with a zzz and <of>.")
    )
    odds = np.log(p / (1 - p)) - np.log(without / (1 - without))
    assert frame["contribution"].max() == pytest.approx(odds, rel=1e-3)
    assert found.probability == pytest.approx(p) and found.attention.sum() == pytest.approx(1, abs=1e-5)
    page = found.to_html(tmp_path / "words.html")
    assert "clever" in page and "&lt;" in page and "<of>" not in page and found._repr_html_() == page
    assert page in (tmp_path / "words.html").read_text(encoding="utf-8")
    bars = found.plot().axes[0]
    assert [label.get_text() for label in bars.get_yticklabels()] == frame["word"].tolist()
    formula = model.explain("$x^$ is good")
    formula.plot().savefig(tmp_path / "formula.png")
    long = model.explain(" ".join(["film"] * 200 + ["good"])).to_frame()
    assert len(long) == 201
    mean = TextClassifier(**(SMALL | {"max_epochs": 1}), pooling="mean").fit(TEXTS, LABELS).explain("good film")
    assert mean.attention is None and list(mean.to_frame()) == ["word", "contribution"]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        (["a", "b"], [1], {}, "X holds 2 texts, y 1 labels: give one for each"),
        (["a", "b"], None, {}, "X holds 2 texts, y None"),
        ([], [], {}, "X holds no text"),
        ("a text", [1], {}, "X is one text, 'a text': give a list of texts"),
        (["a", ""], [0, 1], {}, r"Text 1 of X is empty \(1 are\)"),
        (["a", "  "], [0, 1], {}, "Text 1 of X is empty"),
        (["a", 3], [0, 1], {}, "Text 1 of X is 3, expected a str, or a list of tokens"),
        (["a", None], [0, 1], {}, "Text 1 of X is None, expected"),
        (np.array([["a"], ["b"]]), [0, 1], {}, r"X is a ndarray of shape \(2, 1\)"),
        (pd.DataFrame({"text": ["a", "b"]}), [0, 1], {}, "X is a DataFrame of shape"),
        (["a", "b"], ["x", None], {}, "The label of text 1 is missing"),
        ([["a b", "c"], ["d"]], [0, 1], {}, "a token is one word"),
        (["a", "b"], [0, 1], {"min_count": 99}, "No word of the texts appears min_count=99 times"),
        (["a", "b"], [1, 1], {}, "two classes or more, but y holds one: 1"),
        (["a", "b"], [[1, 2], [3, 4]], {}, "one label a text; for one a token set return_sequences=True"),
        (["a b", "b"], [[1], [2]], {"return_sequences": True}, r"Text 0 has 2 tokens, .* but labels of shape \(1,\)"),
        (["a", "b"], [0.5, 1.7], {}, "Unknown label type"),
        (["a", "b"], [0, 1], {"pooling": "sum"}, "pooling must be one of 'last', 'mean'"),
        (["a", "b"], [0, 1], {"cell": "rnn"}, "cell must be one of 'lstm'"),
        (["a", "b"], [0, 1], {"pretraining": 3}, "pretraining must be None or a LanguageModel"),
        (
            ["a", "b"],
            [0, 1],
            {"pretraining": LanguageModel()},
            "pretraining has unit='character', the classifier 'word'",
        ),
        (["a", "b"], [0, 1], {"pretraining": LanguageModel(unit="word", max_steps=1)}, "needs a mark for what is unk"),
        ([["a"], ["b"]], [0, 1], {"pretraining": LanguageModel(unit="word", min_count=2)}, "X holds lists of tokens"),
    ],
)
def test_what_cannot_be_learnt(X: Any, y: Any, options: dict[str, Any], message: str) -> None:
    """The message names what was given, and what is needed; nothing is fitted."""
    model = TextClassifier(**(SMALL | options))
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not model.__sklearn_is_fitted__()


def test_weights_that_are_none() -> None:
    """Negative, too few, or all zero."""
    for weight in ([1, -1], [1], [0, 0], [1, np.nan]):
        with pytest.raises(ValueError, match="sample_weight has shape"):
            TextClassifier(**SMALL).fit(["a", "b"], [0, 1], weight)


def test_widths_that_do_not_meet() -> None:
    """Both are named."""
    reader = LanguageModel(unit="word", min_count=2, embedding_size=5, max_steps=1)
    with pytest.raises(ValueError, match="pretraining has vectors 5 wide, the network 8"):
        TextClassifier(**SMALL, pretraining=reader).fit(TEXTS, LABELS)


def test_what_cannot_be_asked(model: TextClassifier) -> None:
    """An empty text, one text that is no list, an explanation of labels of tokens."""
    with pytest.raises(ValueError, match="Text 0 of X is empty"):
        model.predict([""])
    with pytest.raises(ValueError, match="X is one text"):
        model.predict("good")
    tagger = TextClassifier(**(SMALL | {"max_epochs": 1}), return_sequences=True).fit([["a", "b"]] * 4, [[0, 1]] * 4)
    with pytest.raises(ValueError, match="there is one a token"):
        tagger.explain("a b")


def test_a_start_from_an_autoencoder() -> None:
    """All layers of every member begin as those of an autoencoder of the texts; the model keeps it, also in a file."""
    reader = SequenceAutoencoder(unit="word", hidden_size=8, embedding_size=8, max_steps=5)
    options = SMALL | {"pretraining": reader, "max_steps": 1, "learning_rate": 1e-12, "members": 2, "max_epochs": None}
    model = TextClassifier(**options).fit(TEXTS, LABELS)
    known = model.language_model_
    assert isinstance(known, SequenceAutoencoder) and model.vocabulary_ == known.vocabulary_
    for member in model.network_.encoder.members:
        for name, weight in known.network_.encoder.layers.named_parameters():
            torch.testing.assert_close(member.layers.get_parameter(name), weight, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="pretraining has 0.0.weight"):
        TextClassifier(**options | {"embedding_size": 4}).fit(TEXTS, LABELS)
    twin = TextClassifier(**options).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(twin.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
    """With its autoencoder."""
    reader = SequenceAutoencoder(unit="word", hidden_size=8, embedding_size=8, max_steps=5)
    model = TextClassifier(**(SMALL | {"pretraining": reader, "max_epochs": 1})).fit(TEXTS, LABELS)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert isinstance(again.language_model_, SequenceAutoencoder)
