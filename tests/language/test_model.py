"""Language models: one probability by every way to it, and a state that can be cut, forked and kept."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sklearn.base import clone

import seqdyn
from seqdyn import Cell, LanguageModel, load
from seqdyn.cell import apart
from seqdyn.cells.elman import Elman
from seqdyn.language import scoring
from seqdyn.training.loop import NonFiniteError

TEXT = "the cat sat on the mat. the dog sat on the log. a cat and a dog sat. " * 12
SMALL: dict[str, Any] = {"hidden_size": 12, "embedding_size": 8, "max_epochs": 4, "bptt_length": 20, "streams": 4}


def fitted(**options: Any) -> LanguageModel:
    """A small model of a small text."""
    return LanguageModel(**(SMALL | {"random_state": 0} | options)).fit(TEXT)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """One that is only read."""
    return fitted(dtype="float64")


UNITS = ["character", "word", *(["subword"] if find_spec("tokenizers") else [])]


# --- one probability --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_symbol_by_symbol_is_the_whole(unit: str, cell: str) -> None:
    """Pushed one by one: the same ln p of every symbol."""
    model = fitted(unit=unit, cell=cell, num_layers=2, dropout=0.2, vocabulary_size=300 if unit == "subword" else None)
    text = "the dog sat on the mat."
    stream, found = model.stream(), []
    for number in model.vocabulary_.encode(text):
        found.append(math.log(stream.probabilities()[number]))
        stream.push(int(number))
    np.testing.assert_allclose(found, model.log_probabilities(text), atol=1e-6)


def test_pieces_and_chunks_make_no_difference(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A text in one go, in chunks of three symbols, or from a file read a few bytes at a time."""
    whole = model.log_probabilities(TEXT)
    assert model.score(TEXT) == pytest.approx(whole.mean(), rel=1e-12)
    monkeypatch.setattr(scoring, "STEPS_HELD", 3)
    monkeypatch.setattr("seqdyn.data.text.CHARACTERS_AT_ONCE", 7)
    np.testing.assert_allclose(model.log_probabilities(TEXT), whole, rtol=1e-9)
    path = tmp_path / "text"
    path.write_text(TEXT)
    assert model.score(path) == pytest.approx(whole.mean(), rel=1e-12)
    assert model.evaluate([path, path])["symbols_scored"] == 2 * len(TEXT)


def test_a_fork_goes_on_as_if_nothing_had_happened(model: LanguageModel) -> None:
    """From the middle of a sentence, twice."""
    stream = model.stream()
    for letter in "the cat":
        stream.push(letter)
    branch = stream.fork()
    for letter in " and a dog":
        branch.push(letter)
    for letter in " sat":
        stream.push(letter)
    for one, text in ((stream, "the cat sat"), (branch, "the cat and a dog")):
        alone = model.stream()
        for letter in text:
            alone.push(letter)
        np.testing.assert_allclose(one.probabilities(), alone.probabilities(), rtol=1e-12)


def test_probabilities_of_all_texts_sum_to_one(model: LanguageModel) -> None:
    """Of all of one symbol, and of all of two."""
    letters = model.vocabulary_.symbols
    assert sum(math.exp(model.log_probabilities(a).sum()) for a in letters) == pytest.approx(1, rel=1e-12)
    both = (math.exp(model.log_probabilities(a + b).sum()) for a in letters for b in letters)
    assert sum(both) == pytest.approx(1, rel=1e-12)


def test_figures_in_units_that_compare(model: LanguageModel) -> None:
    """Each by its definition, from ln p of the whole."""
    text = "the cat sat on a log."
    nats = -model.log_probabilities(text).sum()
    found = model.evaluate(text)
    assert found["nats_per_character"] == pytest.approx(nats / 21)
    assert found["bits_per_character"] == found["bits_per_byte"] == pytest.approx(nats / 21 / math.log(2))
    assert found["perplexity_per_word"] == pytest.approx(math.exp(nats / 6))
    assert found["symbols_scored"] == 21 and found["unknown_symbols"] == 0
    words = fitted(unit="word", min_count=3)
    found = words.evaluate("the zebra sat.")
    nats = -words.log_probabilities("the zebra sat.").sum()
    assert found["symbols_scored"] == 4 and found["unknown_symbols"] == 1
    assert found["nats_per_character"] == pytest.approx(nats / 14)
    umlaut = LanguageModel(**SMALL).fit("für über " * 50)
    found = umlaut.evaluate("für")
    assert found["bits_per_byte"] == pytest.approx(found["bits_per_character"] * 3 / 4)


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"random_state": 1},
        {"random_state": 1, "temperature": 0.5},
        {"random_state": 1, "top_k": 3},
        {"random_state": 1, "top_p": 0.8},
        {"strategy": "greedy"},
        {"strategy": "beam", "beam_width": 4, "length_penalty": 0.7},
    ],
    ids=str,
)
@pytest.mark.parametrize("prompt", ["", "the ca"])
def test_what_is_written_has_the_probability_that_is_said(
    model: LanguageModel, options: dict[str, Any], prompt: str
) -> None:
    """ln p of every symbol, as the text after its prompt has it."""
    found = model.generate(prompt, 25, return_log_probabilities=True, **options)
    assert len(found.text) == len(found.symbols) == 25
    expected = model.log_probabilities(prompt + found.text)[len(prompt) :]
    np.testing.assert_allclose(found.log_probabilities, expected, rtol=1e-9)
    if options.get("strategy") != "beam":
        assert found.score == pytest.approx(expected.sum())
    if set(options) == {"random_state"}:
        np.testing.assert_allclose(found.sampler_log_probabilities, expected, rtol=1e-9)


def test_a_sample_does_not_depend_on_the_batch(model: LanguageModel) -> None:
    """Alone or beside prompts of other lengths: what is written, and with the seeds given, in any order."""
    prompts = ["the cat", "", "a dog sat on th"]
    together = model.generate(prompts, 30, random_state=[5, 6, 7])
    for prompt, seed, text in zip(prompts, [5, 6, 7], together, strict=True):
        assert model.generate(prompt, 30, random_state=[seed]) == text
    assert model.generate(prompts[::-1], 30, random_state=[7, 6, 5]) == together[::-1]
    assert model.generate(["the", "the"], 30, random_state=3)[0] == model.generate("the", 30, random_state=3)
    assert len(set(model.generate(["the"] * 5, 30, random_state=3))) == 5
    assert model.generate("the", 30) != model.generate("the", 30)


def test_samples_have_the_frequencies_of_the_model(model: LanguageModel) -> None:
    """4,000 first symbols, within four standard errors."""
    count = 4000
    found = model.generate(["the "] * count, 1, random_state=0)
    shares = np.array([found.count(letter) / count for letter in model.vocabulary_.symbols])
    p = np.exp([model.log_probabilities("the " + letter)[-1] for letter in model.vocabulary_.symbols])
    assert (np.abs(shares - p) <= 4 * np.sqrt(p * (1 - p) / count) + 1e-9).all()


@pytest.mark.parametrize("unit", UNITS)
def test_pieces_joined_are_the_text(unit: str) -> None:
    """An iterator writes what generate writes, stops where it stops."""
    model = fitted(unit=unit, vocabulary_size=300 if unit == "subword" else None)
    for stop in (None, ".", ("dog", "t")):
        options: dict[str, Any] = {"random_state": 2, "temperature": 1.5, "stop": stop}
        pieces = list(model.generate_iter("the cat", 70, **options))
        text = model.generate("the cat", 70, **options)
        assert "".join(pieces) == text
        if stop is None and unit != "subword":
            assert len(pieces) > 3
    greedy = "".join(model.generate_iter("the", 20, "greedy"))
    assert greedy == model.generate("the", 20, "greedy")


@pytest.mark.skipif("subword" not in UNITS, reason="tokenizers is not installed")
def test_half_characters_wait_for_their_other_half() -> None:
    """Stops are found across symbols; pieces joined are the text, also where it ends inside a character."""
    options = {"unit": "subword", "vocabulary_size": 256, "random_state": 0, "max_epochs": 60, "learning_rate": 0.02}
    model = LanguageModel(**(SMALL | options)).fit("日本 € " * 60)
    assert len(set(model.vocabulary_.labels)) == 256
    found = model.generate("日", 200, stop="本", random_state=0)
    assert found.endswith("本") and "本" not in found[:-1]
    for length in range(1, 12):
        pieces = model.generate_iter("日", length, random_state=1)
        assert "".join(pieces) == model.generate("日", length, random_state=1)


def test_long_limits_cost_nothing(model: LanguageModel) -> None:
    """What is not written is not drawn."""
    assert model.generate("the c", 10**9, stop=".", random_state=0).endswith(".")
    texts = model.generate(["the c", "a d"] * 3, 5000, stop=".", random_state=0)
    assert all(text.endswith(".") and text.count(".") == 1 for text in texts)


def test_small_temperatures_are_greedy(model: LanguageModel) -> None:
    """Down to where numbers end."""
    for temperature in (1e-3, 1e-40, 1e-300):
        assert model.generate("the", 20, temperature=temperature, random_state=0) == model.generate("the", 20, "greedy")


def test_a_reset_goes_back_to_the_beginning(model: LanguageModel) -> None:
    """To where nothing is known of the text, with the probabilities of a first symbol."""
    stream, fresh = model.stream(), model.stream()
    for letter in "the c":
        stream.push(letter)
    stream.reset()
    np.testing.assert_array_equal(stream.probabilities(), fresh.probabilities())
    np.testing.assert_array_equal(model.predictor_.stream().probabilities(), fresh.probabilities())
    assert stream.push("t") == fresh.push("t") and type(stream.push("h")) is str
    np.testing.assert_array_equal(stream.fork().probabilities(), stream.probabilities())


def test_a_fit_that_fails_spoils_nothing(tmp_path: Path) -> None:
    """The model of before stays, with its vocabulary."""
    model = fitted(checkpoint=tmp_path / "checkpoint")
    before = model.score("the cat")
    with pytest.raises(ValueError, match="data"):
        model.fit("another text " * 40)
    with pytest.raises(ValueError, match="one symbol only"):
        model.fit("aaaa")
    assert model.score("the cat") == before and len(model.history_) == 4


def test_texts_without_spaces_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded memory, and words are counted across the cuts."""
    model = LanguageModel(**SMALL, random_state=0).fit("abcab " * 60)
    text = "abcababc" * 20 + " ab  abc a"
    whole = model.evaluate(text)
    monkeypatch.setattr("seqdyn.data.text.CHARACTERS_AT_ONCE", 7)
    cut = model.evaluate(text)
    for figures in (whole, cut):  # e to the nats of a word, whose rounding it multiplies
        figures["perplexity_per_word"] = np.log(figures["perplexity_per_word"])
    assert cut == pytest.approx(whole, rel=1e-9)


def test_it_stops(model: LanguageModel) -> None:
    """With the symbol that completes a text, each sequence by itself."""
    for stop in (".", "at", ("og", "at")):
        stops = (stop,) if isinstance(stop, str) else stop
        for text in model.generate(["the c", "a d", ""], 400, stop=stop, random_state=0):
            ends = [text.find(s) + len(s) for s in stops if s in text]
            assert ends and min(ends) == len(text)
    assert model.generate("the cat", 1, stop="zzz", random_state=0) in model.vocabulary_.symbols


def test_searches(model: LanguageModel) -> None:
    """n-best, ordered, ended first; the best is what generate gives; wider than greedy is no worse."""
    found = model.search("the c", 12, beam_width=6, stop=".", length_penalty=0.6)
    ended = [generation.text.endswith(".") for generation in found]
    assert ended == sorted(ended, reverse=True) and len({generation.text for generation in found}) == 6
    scores = [generation.score for generation, end in zip(found, ended, strict=True) if end]
    assert scores == sorted(scores, reverse=True)
    options: dict[str, Any] = {"strategy": "beam", "beam_width": 6, "stop": ".", "length_penalty": 0.6}
    assert model.generate("the c", 12, **options) == found[0].text
    assert [g.text for g in model.search("the c", 12, 6, 2, 0.6, ".")] == [g.text for g in found[:2]]
    greedy = model.generate("the", 12, "greedy", return_log_probabilities=True)
    assert model.search("the", 12, beam_width=1)[0].text == greedy.text
    assert model.search("the", 12, beam_width=8)[0].score >= greedy.score - 1e-9


def test_marks_are_never_written() -> None:
    """What is unknown has a probability, and no letters."""
    model = LanguageModel(**(SMALL | {"min_count": 30, "random_state": 0})).fit("ab" * 60 + "qwxyz" * 20)
    assert model.vocabulary_.labels[0] == "⟨unknown⟩"
    for options in ({"random_state": 0}, {"strategy": "greedy"}, {"strategy": "beam"}):
        assert set(model.generate("", 60, **options)) <= {"a", "b"}


# --- what is learnt ---------------------------------------------------------------------------------------------------


def test_it_learns(model: LanguageModel) -> None:
    """Better than the frequencies of the letters; and the loss of the history is that of the text."""
    letters = np.array([TEXT.count(letter) for letter in model.vocabulary_.symbols]) / len(TEXT)
    alone = float((letters * np.log(letters)).sum())
    longer = fitted(max_epochs=60, n_iter_no_change=60)
    assert longer.score(TEXT) > alone + 1.5
    assert -longer.history_["loss"].iloc[-1] == pytest.approx(longer.score(TEXT), abs=0.2)


@pytest.mark.parametrize("unit", UNITS)
def test_sources_make_no_difference(unit: str, tmp_path: Path) -> None:
    """The same text as a str, a file, or two: the same weights, to the bit."""
    options = SMALL | {"unit": unit, "random_state": 0, "vocabulary_size": 300 if unit == "subword" else None}
    first, second = tmp_path / "a", tmp_path / "b"
    cut = TEXT.index(" ", 400)
    first.write_text(TEXT[:cut])
    second.write_text(TEXT[cut:])
    (tmp_path / "whole").write_text(TEXT)
    models = [
        LanguageModel(**options).fit(s) for s in (TEXT, tmp_path / "whole", [first, second], iter([first, second]))
    ]
    weights = [model.network_.state_dict() for model in models]
    assert all(torch.equal(weights[0][name], other[name]) for other in weights[1:] for name in other)


def test_the_same_seed_gives_the_same_model() -> None:
    """And leaves everybody else's random numbers alone."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, other, third = fitted(dropout=0.3), fitted(dropout=0.3), fitted(dropout=0.3, random_state=1)
    assert one.score(TEXT) == other.score(TEXT) != third.score(TEXT)
    one.generate("the", 10)
    assert torch.equal(before[0], torch.random.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_tied_weights_are_one() -> None:
    """Symbols are read by the vectors they are written with, and both are trained."""
    model = fitted(tied=True, embedding_size=None)
    assert model.embedding_.shape == (len(model.vocabulary_), 12)
    names = dict(model.network_.named_parameters())
    assert not any("affine" in name for name in names) and names["weight"].shape == (len(model.vocabulary_) + 1, 12)
    x = torch.as_tensor(model.vocabulary_.encode("the"))[None]
    hidden = seqdyn.scan(model.network_.cell, torch.nn.functional.embedding(x, names["weight"])).output
    scores = seqdyn.scan(model.network_, x).output
    torch.testing.assert_close(scores, hidden @ names["weight"][:-1].T + names["bias"])


def test_dropout_is_locked_in_time() -> None:
    """One mask a chunk and stream, on what layers give and on the vectors; none outside of training."""
    model = fitted(dropout=0.5, embedding_dropout=0.4, num_layers=2)
    network = model.network_
    assert network.noise(3, 5, torch.Generator()) is None
    network.train()
    noise = network.noise(3, 5, torch.Generator().manual_seed(0))
    for mask in (noise.mask, *(layer.mask for layer in noise.own)):
        assert torch.equal(mask, mask[:, :1].expand_as(mask)) and set(mask.unique().tolist()) >= {0.0}
    assert not torch.equal(noise.mask[0], noise.mask[1])
    network.eval()


class CountState(NamedTuple):
    """How much was seen."""

    h: torch.Tensor


class Count(Cell):
    """A leaky sum of what comes in, which a user wrote."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.drive = torch.nn.Linear(input_size, hidden_size)

    def initial_state(self, batch: int) -> CountState:
        return CountState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Any, state: CountState) -> tuple[torch.Tensor, CountState]:
        h = 0.7 * state.h + torch.tanh(self.drive(apart(x)[0]))
        return h, CountState(h)


def test_any_cell() -> None:
    """A class, a built cell, a function of both widths."""
    for cell in (Count, Elman(8, 5), lambda inputs, hidden: Elman(inputs, hidden, activation="relu")):
        model = fitted(cell=cell)
        stream = model.stream()
        stream.push("t")
        np.testing.assert_allclose(np.log(stream.probabilities())[model.vocabulary_.encode("h")],
                                   model.log_probabilities("th")[1:], atol=1e-6)  # fmt: skip


def test_a_part_is_held_out() -> None:
    """The end of the corpus, whose loss is watched; the best weights are kept."""
    model = fitted(early_stopping=True, validation_fraction=0.25, max_epochs=12)
    best = model.history_["validation_loss"].min()
    held = len(TEXT) - round(0.25 * len(TEXT))
    assert -model.score(TEXT[held:]) == pytest.approx(best, abs=1e-5)


def test_a_short_text_is_walked_on_fewer_streams() -> None:
    """So that each has a chunk to learn from."""
    model = LanguageModel(**(SMALL | {"streams": 64, "bptt_length": 64})).fit("to be or not to be")
    assert model.evaluate("to be")["symbols_scored"] == 5


def test_nearest() -> None:
    """By the cosine, without the symbol itself; a word is found with the space before it."""
    model = fitted(unit="word")
    found = model.nearest("cat", 3)
    vectors = dict(zip(model.vocabulary_.labels, model.embedding_, strict=True))
    cosine = {
        name: float(v @ vectors[" cat"] / np.linalg.norm(v) / np.linalg.norm(vectors[" cat"]))
        for name, v in vectors.items()
        if name != " cat"
    }
    assert [name for name, _ in found] == sorted(cosine, key=cosine.__getitem__, reverse=True)[:3]
    assert dict(found) == pytest.approx({name: cosine[name] for name, _ in found}, abs=1e-6)


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS)
def test_it_comes_back_from_a_file(unit: str, tmp_path: Path) -> None:
    """With its vocabulary: the same scores, the same samples, the same history."""
    model = fitted(unit=unit, tied=True, embedding_size=None, vocabulary_size=300 if unit == "subword" else None)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.score(TEXT) == model.score(TEXT)
    assert again.generate("the", 20, random_state=0) == model.generate("the", 20, random_state=0)
    assert again.history_.equals(model.history_) and again.get_params() == model.get_params()


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """To the bit; another text is refused."""
    options = {"dropout": 0.3, "schedule": None, "checkpoint_every": 0.0}
    whole = fitted(max_epochs=4, **options)
    path = tmp_path / "checkpoint"
    fitted(max_epochs=2, checkpoint=path, **options)
    resumed = fitted(max_epochs=4, checkpoint=path, **options)
    weights = whole.network_.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in resumed.network_.state_dict().items())
    with pytest.raises(ValueError, match="data"):
        LanguageModel(**(SMALL | {"random_state": 0, "checkpoint": path} | options)).fit(TEXT[:-1])


def test_it_is_an_estimator() -> None:
    """Cloned, it is as it was made."""
    model = LanguageModel(unit="word", hidden_size=(4, 5), dropout=0.1)
    assert clone(model).get_params() == model.get_params()
    assert fitted(hidden_size=(4, 5)).fit(TEXT).network_.hidden_size == 9


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("corpus", "options", "error", "message"),
    [
        ("", {}, ValueError, "The corpus is empty"),
        ([], {}, ValueError, "The corpus is empty"),
        ("aaaa", {}, ValueError, "The corpus has one symbol only, 'a'"),
        ("ab", {"early_stopping": True}, ValueError, "The corpus has 2 symbols, of which 1 are trained on"),
        (3, {}, TypeError, "'int' object is not iterable|A corpus is"),
        (["a text"], {}, TypeError, "made of paths, got str"),
        (TEXT, {"unit": "letter"}, ValueError, "unit must be one of 'character', 'word', 'subword', got 'letter'"),
        (TEXT, {"cell": "rnn"}, ValueError, "cell must be one of 'lstm', 'gru', 'elman'"),
        (TEXT, {"hidden_size": 0}, ValueError, "hidden_size must be an int of at least 1"),
        (TEXT, {"dropout": 1.0}, ValueError, r"dropout must be a number in \[0, 1\)"),
        (TEXT, {"embedding_dropout": -0.1}, ValueError, "embedding_dropout must be"),
        (TEXT, {"tied": True, "embedding_size": 5}, ValueError, "make its outputs as wide as its inputs"),
        (TEXT, {"encoding": "base64"}, ValueError, "encoding must be the name of an encoding"),
        (TEXT, {"encoding": "latin-99"}, ValueError, "encoding must be the name of an encoding"),
        (TEXT, {"streams": 0}, ValueError, "streams must be an int of at least 1"),
        (TEXT, {"unit": "word", "vocabulary_size": 0}, ValueError, "vocabulary_size must be"),
    ],
)
def test_what_cannot_be_learnt(corpus: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    """The message names what was given, and what is needed; nothing is fitted."""
    model = LanguageModel(**(SMALL | options))
    with pytest.raises(error, match=message):
        model.fit(corpus)
    assert not model.__sklearn_is_fitted__()


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    """It is named, with the offset of the byte; with its encoding it is read, to be learnt and to be scored."""
    path = tmp_path / "old.txt"
    path.write_bytes(("ein Fluß " * 30).encode("latin-1"))
    with pytest.raises(ValueError, match=r"old.txt is not utf-8: byte 0xdf at offset 7"):
        LanguageModel(**SMALL).fit(path)
    model = LanguageModel(**SMALL, encoding="latin-1").fit(path)
    assert model.evaluate(path)["symbols_scored"] == 270


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.generate("the ümlaut"), "'ü', character 4, is not in the vocabulary"),
        (lambda m: m.generate("the", 0), "length must be"),
        (lambda m: m.generate("the", temperature=0), "temperature must be .* above 0, got 0; .*strategy='greedy'"),
        (lambda m: m.generate("the", strategy="greedy", top_k=3), "strategy='greedy' always takes the likeliest"),
        (lambda m: m.generate("the", strategy="beam", temperature=2.0), "strategy='beam' draws nothing"),
        (lambda m: m.generate("the", beam_width=3), "beam_width and length_penalty belong to strategy='beam'"),
        (lambda m: m.generate("the", strategy="best"), "strategy must be one of 'sample', 'greedy', 'beam'"),
        (lambda m: m.generate("the", top_p=1.5), r"top_p must be a number in \(0, 1\]"),
        (lambda m: m.generate("the", strategy="beam", stop="at"), "a beam search ends at one character"),
        (lambda m: m.generate("the", stop=""), "stop is '', expected a text"),
        (lambda m: m.generate([]), "prompt holds no text"),
        (lambda m: m.generate(["a", "t"], random_state=[1]), "random_state holds 1 seeds for 2 prompts"),
        (lambda m: m.generate(["a"], random_state=[1.7]), "give one int for each"),
        (lambda m: m.generate(None), "prompt is None, expected a text"),
        (lambda m: m.generate(5), "prompt is 5, expected a text"),
        (lambda m: m.generate(b"the"), "prompt is b'the', expected a text"),
        (lambda m: m.generate(["the", 1]), "prompt is 1, expected a text"),
        (lambda m: m.generate_iter(["the"]), "expected one text: give several to generate"),
        (lambda m: m.generate("the", strategy="beam", beam_width=0), "width must be"),
        (lambda m: m.generate_iter("the", strategy="beam"), "knows its text at the end only"),
        (lambda m: m.search("the", beam_width=2, n_best=3), "n_best=3 is more than beam_width=2"),
        (lambda m: m.log_probabilities(""), "The text is empty"),
        (lambda m: m.score(""), "The text is empty"),
        (lambda m: m.evaluate([]), "The text is empty"),
        (lambda m: m.rows(""), "The text is empty"),
        (lambda m: m.stream().push("at"), "expected one character: push them one by one"),
        (lambda m: m.stream().push(""), "expected one character"),
        (lambda m: m.stream().push(99), "expected one from 0 to"),
        (lambda m: m.stream().push(1.5), "expected one character"),
        (lambda m: m.nearest("the"), "expected one character"),
        (lambda m: m.nearest("t", 0), "n must be"),
    ],
)
def test_what_cannot_be_asked(model: LanguageModel, call: Any, message: str) -> None:
    """The message says what was given, and what is needed."""
    with pytest.raises(ValueError, match=message):
        call(model)


def test_before_a_fit() -> None:
    """Nothing can be asked."""
    from sklearn.exceptions import NotFittedError

    for ask in (lambda m: m.generate("a"), lambda m: m.score("a"), lambda m: m.save("x"), lambda m: m.embedding_):
        with pytest.raises(NotFittedError):
            ask(LanguageModel())


def test_a_loss_that_explodes() -> None:
    """The last good weights are kept."""
    model = LanguageModel(**(SMALL | {"learning_rate": 1e39, "clip_norm": None, "optimizer": "sgd", "schedule": None}))
    with pytest.raises(NonFiniteError):
        model.fit(TEXT)
    assert all(bool(weight.isfinite().all()) for weight in model.network_.state_dict().values())


# --- the picture ------------------------------------------------------------------------------------------------------


def test_the_picture_of_a_text(model: LanguageModel) -> None:
    """Vectors in, states, probabilities: what is drawn is what the network does."""
    figure = model.plot("the cat")
    one_hot, states, probabilities = (axes.images[0].get_array() for axes in figure.axes)
    numbers = model.vocabulary_.encode("the cat")
    x = torch.as_tensor([[len(model.vocabulary_), *numbers[:-1]]])
    run = seqdyn.scan(model.network_, x, record=lambda x, before, output, after: torch.cat([after.h, after.c], 1))
    np.testing.assert_allclose(states.T, run.record[0].detach(), rtol=1e-12)
    assert (one_hot.sum(0) == 1).all() and one_hot.shape[1] == 7
    named = [tick.get_text() for tick in figure.axes[2].get_yticklabels()]
    p = torch.softmax(run.output[0], -1).detach().numpy()
    row = named.index("h")
    np.testing.assert_allclose(probabilities[row], p[:, model.vocabulary_.encode("h")[0]], rtol=1e-12)
    best = [tick.get_text() for tick in figure.axes[2].get_xticklabels()]
    assert best == [{" ": "␣"}.get(model.vocabulary_.labels[k], model.vocabulary_.labels[k]) for k in p.argmax(1)]
    with pytest.raises(ValueError, match="The text is empty"):
        model.plot("")


def test_numbers_are_texts_too(model: LanguageModel) -> None:
    """A text as the numbers of its symbols has the same probability; others are refused."""
    numbers = model.vocabulary_.encode("the dog")
    np.testing.assert_array_equal(model.log_probabilities(numbers), model.log_probabilities("the dog"))
    with pytest.raises(ValueError, match="none of the"):
        model.log_probabilities(np.array([99]))


def test_a_report_on_its_gradients(model: LanguageModel) -> None:
    """Tokens in, −ln p of the next symbol as the error."""
    report = seqdyn.stability_report(model, TEXT[:300], required_lag=5, tier="fast")
    assert report.content["subject"]["model"] == "LanguageModel" and "ln p" in report.content["subject"]["errors"]
    for X, y in ((None, None), (3, None), ("the", "cat")):
        with pytest.raises(ValueError, match="A LanguageModel is measured on a text"):
            seqdyn.stability_report(model, X, y)
