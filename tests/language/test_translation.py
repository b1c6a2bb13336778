"""Translators: every kind of attention learns, searches and scores; files, languages, schedules, and bad input."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from seqdyn import (
    SequenceAutoencoder,
    Translator,
    check_causal,
    check_likelihood,
    check_padding,
    load,
    stability_report,
)
from seqdyn.cells.lstm import LSTM
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.sentences import SentencePredictor
from seqdyn.state import leaves
from seqdyn.teacher_forcing import TeacherForcing

KINDS = ["additive", "dot", "general", "scaled_dot", "multi_head", "hard", None]
SMALL: dict[str, Any] = {
    "unit": "character", "hidden_size": 32, "embedding_size": 16, "dropout": 0.0, "smoothing": 0.0, "heads": 2,
    "learning_rate": 0.02, "batch_size": 32, "random_state": 0,
}  # fmt: skip


def reversals(count: int, seed: int = 0, longest: int = 6) -> tuple[list[str], list[str]]:
    """Strings of two to six letters, and the same from the end to the beginning."""
    draw = np.random.default_rng(seed)
    sources = ["".join(draw.choice(list("abcdef"), draw.integers(2, longest + 1))) for _ in range(count)]
    return sources, [source[::-1] for source in sources]


SOURCES, TARGETS = reversals(600)
UNSEEN = reversals(60, 1)


def fitted(**options: Any) -> Translator:
    return Translator(**(SMALL | {"max_epochs": 8} | options)).fit(SOURCES, TARGETS)


@pytest.fixture(scope="module")
def model() -> Translator:
    """One that is only read."""
    return fitted()


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", KINDS)
def test_every_attention_learns_to_reverse(attention: str | None) -> None:
    """Strings it has not seen, and it looks where the letter stands; without attention it is worse."""
    model = fitted(attention=attention, max_epochs=16)
    exact = model.evaluate(*UNSEEN)["exact"]
    if attention is None:
        assert exact < 0.9
        return
    assert exact > 0.9
    places = [
        model.attention_weights(source, target).values[:-1].argmax(1) == np.arange(len(source))[::-1]
        for source, target in zip(*UNSEEN, strict=True)
    ]
    assert np.concatenate(places).mean() > 0.75


@pytest.mark.parametrize(
    "options",
    [
        {"attention": "hard", "hard_training": "reinforce", "max_epochs": 14},
        {"attention": "hard", "decoder_layers": 2},
        {"input_feeding": True},
        {"context": "input", "attention": "additive", "decoder_layers": 2},
        {"teacher_forcing": "inverse_sigmoid"},
        {"cell": "gru", "decoder_layers": 2, "bidirectional": False, "learning_rate": 0.01, "max_epochs": 16},
        {"coverage_penalty": 0.2, "unit": "character"},
    ],
    ids=str,
)
def test_every_way_to_train_learns(options: dict[str, Any]) -> None:
    """REINFORCE, input feeding, coins, other cells and layers."""
    assert fitted(**options).evaluate(*UNSEEN)["exact"] > 0.8


def test_googles_network() -> None:
    """The first layer reads both directions, those above are residual, the decoder's see the context."""
    model = Translator.google(num_layers=3, **SMALL, max_steps=1).fit(SOURCES[:40], TARGETS[:40])
    assert (model.attention, model.residual, model.bidirectional) == ("additive", True, "first")
    widths = [[cell.output_size for cell in layer] for layer in model.network_.encoder.layers]
    assert widths == [[16], [32, 32], [32], [32]]
    decoder = model.network_.decoder.cell
    assert [layer.input_size for layer in decoder.upper] == [64, 64] and decoder.residual


@pytest.mark.parametrize("unit", ["word", *(["subword"] if find_spec("tokenizers") else [])])
def test_words_and_subwords(unit: str) -> None:
    """The first word of a sentence is the word that it is elsewhere; what is written reads as it was given."""
    numbers = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four"}
    draw = np.random.default_rng(0)
    rows = [draw.choice(list(numbers), draw.integers(1, 5)) for _ in range(300)]
    sources, targets = [" ".join(row) for row in rows], [" ".join(numbers[word] for word in row) for row in rows]
    size = 280 if unit == "subword" else None
    model = Translator(**(SMALL | {"unit": unit, "vocabulary_size": size, "max_epochs": 25})).fit(sources, targets)
    assert model.predict(["drei eins", "vier"]) == ["three one", "four"]
    if unit == "word":
        assert model.vocabulary_.labels[2:] and all(word.startswith(" ") for word in model.vocabulary_.symbols)


def test_one_model_for_several_languages() -> None:
    """A mark before the source says into which; a language that it does not know is an error."""
    sources, backwards = reversals(500)
    forwards = [source.upper() for source in sources]
    languages = ["upper"] * 500 + ["back"] * 500
    model = Translator(**SMALL, max_epochs=8).fit(sources * 2, forwards + backwards, languages)
    assert model.languages_ == ("back", "upper")
    assert model.predict(["abc", "fed"], "upper") == ["ABC", "FED"]
    assert model.predict(["abc", "fed"], ["back", "upper"]) == ["cba", "FED"]
    with pytest.raises(ValueError, match="language 'sideways' is none of those of the fit, \\['back', 'upper'\\]"):
        model.predict(["abc"], "sideways")
    with pytest.raises(ValueError, match="knows several languages"):
        model.predict(["abc"])
    with pytest.raises(ValueError, match="language holds 2 for 1"):
        model.predict(["abc"], ["back", "back"])
    with pytest.raises(ValueError, match="languages holds 2 for 3"):
        Translator(**SMALL).fit(sources[:3], backwards[:3], ["a", "b"])
    with pytest.raises(ValueError, match="languages is .*expected a str"):
        Translator(**SMALL).fit(sources[:2], backwards[:2], ["a", None])
    with pytest.raises(ValueError, match="language is 5, expected a str"):
        model.predict(["abc"], 5)
    assert Translator(**SMALL, max_steps=1).fit(sources[:2], backwards[:2], "en").languages_ == ("en",)
    assert stability_report(model, sources[:5], backwards[:5], required_lag=2, tier="fast")


# --- predicting -------------------------------------------------------------------------------------------------------


def test_sentences_do_not_depend_on_the_others(model: Translator) -> None:
    """Alone, beside others, in any order."""
    together = model.search(UNSEEN[0], 3)
    for number in (0, 17, 59):
        alone = model.search([UNSEEN[0][number]], 3)[0]
        assert [one.text for one in alone] == [one.text for one in together[number]]
        assert [one.score for one in alone] == pytest.approx([one.score for one in together[number]], abs=1e-4)
    assert model.predict(UNSEEN[0][::-1]) == model.predict(UNSEEN[0])[::-1]


def test_scores_of_a_search_are_those_of_forcing(model: Translator) -> None:
    """ln p of every symbol, with the end; in the order of their scores."""
    for found in model.search(UNSEEN[0][:5]):
        scores = [one.score for one in found if one.ended]
        assert scores == sorted(scores, reverse=True)
    best = [row[0] for row in model.search(UNSEEN[0][:5])]
    forced = model.log_probabilities(UNSEEN[0][:5], [one.text for one in best])
    for one, log_p in zip(best, forced, strict=True):
        np.testing.assert_allclose(one.log_probabilities, log_p, atol=1e-5)


def test_figures_of_an_evaluation(model: Translator) -> None:
    """BLEU with its signature, the exact share, nats a symbol with the end."""
    pytest.importorskip("sacrebleu")
    figures = model.evaluate(*UNSEEN)
    assert "tok:13a" in figures["signature"] and figures["symbols_scored"] == sum(map(len, UNSEEN[1])) + 60
    log_p = np.concatenate(model.log_probabilities(*UNSEEN))
    assert figures["nats_per_symbol"] == pytest.approx(-log_p.mean())
    assert model.score(*UNSEEN) == figures["bleu"]
    words = Translator(**(SMALL | {"unit": "word"}), max_steps=2).fit(["a b"] * 9, ["c d"] * 9)
    assert 0 <= words.score(["a b"], ["c d"]) <= 100


def test_the_map_of_the_best_translation(model: Translator) -> None:
    """Labelled symbols of both sides, rows that sum to 1, and a figure with one row a symbol."""
    weights = model.attention_weights("abc")
    assert weights.dims == ("target", "source") and list(weights.source.values) == ["a", "b", "c"]
    assert list(weights.target.values) == [*model.predict(["abc"])[0], "⟨end⟩"]
    np.testing.assert_allclose(weights.sum("source"), 1.0, atol=1e-6)
    drawn = model.plot_attention("abc", "cba")
    assert [tick.get_text() for tick in drawn.axes[0].get_yticklabels()] == ["c", "b", "a", "⟨end⟩"]
    none = Translator(**SMALL, attention=None, max_steps=1).fit(SOURCES, TARGETS)
    assert list(none.attention_weights("abc", "cba").source.values) == ["⟨summary⟩"]


def test_longer_than_any_of_the_training(model: Translator) -> None:
    """It is translated as far as ``longest_`` goes."""
    (found,) = model.predict(["abcdef" * 20])
    assert model.longest_ == 14 and len(found) <= 14
    assert fitted(max_length=4, max_epochs=1).search(["abcdef"])[0][0].symbols.__len__() <= 4


def test_a_beam_wider_than_the_vocabulary(model: Translator) -> None:
    """It finds no more than there is, each once."""
    wide = clone(model).set_params(beam_width=50, max_length=3, max_steps=5).fit(SOURCES, TARGETS)
    (found,) = wide.search(["ab"])
    assert len({one.symbols for one in found}) == len(found)


# --- files and manners ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["general", "hard", None])
def test_a_file_holds_it(attention: str | None, tmp_path: Path) -> None:
    """The same translations, weights and history; so does a clone that is fitted again."""
    model = fitted(attention=attention, max_epochs=2)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.predict(UNSEEN[0]) == model.predict(UNSEEN[0])
    assert again.vocabulary_ == model.vocabulary_ and again.history_.equals(model.history_)
    twin = clone(model).fit(SOURCES, TARGETS)
    assert twin.predict(UNSEEN[0]) == model.predict(UNSEEN[0])


def test_a_checkpoint_goes_on(tmp_path: Path) -> None:
    """Stopped after three of six epochs, the same call goes on to the same weights."""
    plain = fitted(max_epochs=6, schedule=None, hidden_size=8)
    fitted(max_epochs=3, schedule=None, hidden_size=8, checkpoint=tmp_path / "kept")
    again = fitted(max_epochs=6, schedule=None, hidden_size=8, checkpoint=tmp_path / "kept")
    for name, value in plain.network_.state_dict().items():
        assert torch.equal(value, again.network_.state_dict()[name]), name


def test_held_out_pairs_are_scored_without_smoothing() -> None:
    """The best weights are those of the least −ln p of the last pairs, which taught no vocabulary."""
    sources, targets = [*SOURCES[:80], *["zz"] * 20], [*TARGETS[:80], *["zz"] * 20]
    options = {"early_stopping": True, "validation_fraction": 0.2, "max_epochs": 4, "smoothing": 0.3}
    model = Translator(**SMALL | options).fit(sources, targets)
    assert "z" not in model.source_vocabulary_.symbols and "z" not in model.vocabulary_.symbols
    log_p = np.concatenate(model.log_probabilities(sources[80:], targets[80:]))
    assert model.history_.validation_loss.min() == pytest.approx(-log_p.mean(), rel=1e-4)


def test_case_and_the_space_around_do_not_count_where_they_are_not_read() -> None:
    """In lower case, and by words; the signature says so."""
    upper, lower = ["EINS ZWEI EINS ZWEI ", "ZWEI EINS"] * 9, ["One two one two\n", "two ONE"] * 9
    options = SMALL | {"unit": "word", "lowercase": True, "max_steps": 200, "max_epochs": None}
    figures = Translator(**options).fit(upper, lower).evaluate(upper, lower)
    assert figures["exact"] == 1.0 and figures["bleu"] > 0 and "case:lc" in figures["signature"]


def test_what_a_search_is_asked_for_reaches_it(model: Translator) -> None:
    """Both penalties change scores; the length can be changed after the fit."""
    plain = clone_of(clone_of(model, "length_penalty", 0.0), "coverage_penalty", 0.0)
    scores = [one.search(UNSEEN[0][:4])[0][0].score for one in (
        plain, clone_of(plain, "length_penalty", 2.0), clone_of(plain, "coverage_penalty", 3.0)
    )]  # fmt: skip
    assert len(set(scores)) == 3
    assert len(clone_of(model, "max_length", 2).search(["abcdef"])[0][0].symbols) <= 2


@pytest.mark.parametrize("options", [{}, {"attention": "hard"}, {"context": "input"}, {"input_feeding": True}], ids=str)
def test_dropout_reaches_every_part(options: dict[str, Any]) -> None:
    """In training vectors, layers and, of soft attention, what is read; afterwards nothing is dropped."""
    model = fitted(**options, dropout=0.5, decoder_layers=2, max_steps=1, max_epochs=None)
    assert model.network_.noise(2, 3, 4, torch.Generator()) == (None, None)
    noise = model.network_.train().noise(2, 3, 4, torch.Generator().manual_seed(0))
    masks = [leaf for leaf in leaves(noise) if leaf is not None]
    assert len(masks) >= 5 - ("attention" in options) and all(
        0.2 < float((m == 0).double().mean()) < 0.8 for m in masks
    )
    layers = [part for part in model.network_.decoder.modules() if isinstance(part, LSTM)]
    assert len(layers) == 2


def test_a_schedule_is_followed_to_its_end() -> None:
    """The loss may rise with the task, which ends no training."""
    options = {"teacher_forcing": "linear", "max_epochs": 560, "batch_size": 100, "n_iter_no_change": 2}
    tiny = {"hidden_size": 2, "embedding_size": 2, "learning_rate": 1.0}  # so fast that it gains nothing in 500 steps
    model = Translator(**SMALL | options | tiny).fit(SOURCES[:4], TARGETS[:4])
    assert model.history_["loss"].argmin() < 50 and len(model.history_) == 560


# --- bad input --------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[Any, Any, str]] = {
    "counts": (["a", "b"], ["a"], "2 sources stand beside 1 targets"),
    "an empty source": (["a", " "], ["a", "b"], "Sentence 1 of sources is empty"),
    "an empty target": (["a"], [""], "Sentence 0 of targets is empty"),
    "no sentence": ([], [], "sources holds no sentence"),
    "one text": ("abc", ["a"], "sources is one text, 'abc'"),
    "a frame": (pd.DataFrame({"de": ["a"]}), ["b"], "sources is a DataFrame of shape"),
    "a dict": ({"a": 1}, ["b"], "sources is a dict"),
    "no text": (["a", 3], ["a", "b"], "Sentence 1 of sources is 3"),
    "missing": (["a", None], ["a", "b"], "Sentence 1 of sources is None"),
}


@pytest.mark.parametrize("case", BAD)
def test_pairs_that_are_none(case: str) -> None:
    """What is wrong, and where."""
    sources, targets, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        Translator(**SMALL).fit(sources, targets)


def test_parameters_that_are_none() -> None:
    """All at once, with what would do."""
    with pytest.raises(ValueError, match="attention must be one of 'additive'.*beam_width must be an int"):
        Translator(attention="soft", beam_width=0).fit(SOURCES, TARGETS)
    feeding = [{"context": "input"}, {"input_feeding": True}, {"attention": "hard"}]
    for one, other in itertools.combinations(feeding, 2):
        with pytest.raises(ValueError, match='context="input" feeds the context itself.*choose one'):
            Translator(**one, **other).fit(SOURCES, TARGETS)
    for forcing in (
        {"teacher_forcing": TeacherForcing(alpha=0.5)},
        {"teacher_forcing": 0.5, "hard_training": "reinforce"},
    ):
        with pytest.raises(ValueError, match="symbols cannot be mixed.*sees every true symbol"):
            Translator(**forcing).fit(SOURCES, TARGETS)
    with pytest.raises(ValueError, match="cell must be one of 'lstm'"):
        Translator(cell=LSTM(16, 32)).fit(SOURCES, TARGETS)
    with pytest.raises(ValueError, match="teacher_forcing must be a share"):
        Translator(teacher_forcing=2.0).fit(SOURCES, TARGETS)
    short = fitted(max_epochs=1, hidden_size=4)
    for name, value in (("beam_width", 0), ("length_penalty", -1.0), ("coverage_penalty", -1.0)):
        with pytest.raises(ValueError, match=f"{name} must be"):
            clone_of(short, name, value).predict(["ab"])
    with pytest.raises(ValueError, match="n_best=9 is more than beam_width=5"):
        short.search(["ab"], 9)


def clone_of(model: Translator, name: str, value: Any) -> Translator:
    """A fitted copy with another parameter of the search."""
    return copy.copy(model).set_params(**{name: value})


def test_before_it_is_fitted() -> None:
    """scikit-learn's own error."""
    for asked in (lambda m: m.predict(["a"]), lambda m: m.score(["a"], ["b"]), lambda m: m.attention_weights("a")):
        with pytest.raises(NotFittedError):
            asked(Translator())


def test_what_it_does_not_know(model: Translator) -> None:
    """An unknown symbol of a source is read as unknown; one of a target has the probability of being unknown."""
    assert len(model.predict(["aZb"])) == 1
    assert np.isfinite(model.log_probabilities(["ab"], ["Zb"])[0]).all()
    assert "�" not in model.predict(["ZZZZ"])[0]


# --- audits and reports -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"attention": kind} for kind in KINDS] + [{"input_feeding": True}, {"context": "input"}], ids=str
)
def test_the_audits_pass(options: dict[str, Any]) -> None:
    """No symbol is seen before its time, padding changes nothing, ln p is one number; in double precision."""
    model = fitted(**options, max_steps=20, max_epochs=None, dtype="float64")
    for audit in (check_causal(model), check_padding(model), check_likelihood(model)):
        assert audit, audit
    assert check_likelihood(model).largest < 1e-9
    assert check_likelihood(model, ["abc", "fa"])


def test_a_model_that_cheats_is_found(model: Translator) -> None:
    """A search that says more than the network holds true, a decoder that looks ahead."""
    search = SentencePredictor.search

    def boasting(self: SentencePredictor, *args: Any) -> Any:
        return [
            [replace(one, log_probabilities=tuple(p / 2 for p in one.log_probabilities)) for one in row]
            for row in search(self, *args)
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentencePredictor, "search", boasting)
        assert not check_likelihood(model)

    def ahead(self: EncoderDecoder, x: Any, mask: Any, seen: Any, noise: Any = None) -> Any:
        return seen.flip(1).unsqueeze(2).double()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderDecoder, "forced", ahead)
        assert not check_causal(model)


def test_a_report_on_its_gradients(model: Translator) -> None:
    """Of the decoder, every sentence from its own source; with the loss of the fit."""
    report = stability_report(model, *UNSEEN, required_lag=3, tier="fast")
    assert report.content["subject"]["model"] == "Translator" and "ln p" in report.content["subject"]["errors"]
    with pytest.raises(ValueError, match="measured on sources and targets"):
        stability_report(model, UNSEEN[0])


def test_the_encoder_begins_where_an_autoencoder_ended() -> None:
    """Its vocabulary and its weights; others than its own widths are named."""
    reader = SequenceAutoencoder(hidden_size=32, embedding_size=16, code_size=8, max_steps=20)
    options = SMALL | {"max_steps": 1, "learning_rate": 1e-12, "max_epochs": None}
    model = Translator(**options, pretraining=reader).fit(SOURCES, TARGETS)
    known = clone(reader).set_params(random_state=0).fit(SOURCES)
    assert model.source_vocabulary_ == known.vocabulary_
    for name, weight in known.network_.encoder.layers.named_parameters():
        torch.testing.assert_close(model.network_.encoder.layers.get_parameter(name), weight, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="pretraining has 0.0.weight of shape .*, the encoder .*same cell"):
        Translator(**options | {"embedding_size": 8}, pretraining=reader).fit(SOURCES, TARGETS)
    elman = clone(reader).set_params(cell="elman")
    with pytest.raises(ValueError, match="give both the same cell"):
        Translator(**options, pretraining=elman).fit(SOURCES, TARGETS)
    with pytest.raises(ValueError, match="pretraining has unit='character', the translator 'word'"):
        Translator(**options | {"unit": "word"}, pretraining=reader).fit(SOURCES, TARGETS)
    assert fitted(pretraining=reader).evaluate(*UNSEEN)["exact"] > 0.9
