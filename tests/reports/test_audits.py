"""Audits: what keeps the laws passes, what breaks one is told where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor

import seqdyn
from seqdyn import GRU, LSTM, Encoder, LanguageModel, check_causal, check_likelihood, check_padding
from seqdyn.language import scoring
from seqdyn.state import map_leaves
from tests.laws.cells import LAW_TABLE, Entry, prepare

EVERY_FIFTH = [entry for entry in LAW_TABLE if "beam" not in entry.name][::5]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """A small one."""
    return LanguageModel(hidden_size=6, max_steps=3, random_state=0, dtype="float64").fit("to be or not to be " * 9)


@pytest.mark.parametrize("entry", EVERY_FIFTH, ids=lambda entry: entry.name)
def test_cells_of_the_library_pass(entry: Entry) -> None:
    """On inputs of every kind: numbers, tokens, pictures, trees."""
    cell, x = prepare(entry, batch=3, time=7)
    assert check_causal(cell, x)
    assert check_padding(cell, x)


def test_fitted_models_pass(model: LanguageModel) -> None:
    """Estimators in both directions as they are, language models with tokens."""
    X, y = np.random.default_rng(0).normal(size=(2, 30, 20, 2))
    for estimator in (seqdyn.GRURegressor(hidden_size=4, max_epochs=1).fit(X, y), model):
        assert check_causal(estimator) and check_padding(estimator)
    both = seqdyn.GRURegressor(hidden_size=4, max_epochs=1, bidirectional=True).fit(X, y)
    assert check_padding(both)
    found = check_causal(both, steps=5)
    assert not found and set(found.places) == {(i, j) for j in range(5) for i in range(j)} and found.largest > 0


def test_what_reads_the_future_is_told() -> None:
    """Both directions, and a normalisation over time: each with the pairs that leak."""
    bidirectional = Encoder([(GRU(2, 3), GRU(2, 3))])
    assert check_causal(bidirectional, steps=4).places == tuple((i, j) for j in range(4) for i in range(j))
    cell = LSTM(2, 3).double()

    def normalised(x: Tensor, mask: Tensor | None) -> Tensor:
        return seqdyn.scan(cell, (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True), mask=mask).output

    x = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert "The output at step 0 changed with the input at step 1" in str(check_causal(normalised, x))

    def peeking(x: Tensor, mask: Tensor | None) -> Tensor:
        output = x.clone()
        output[:, 2] += x[:, 4]
        return output

    assert check_causal(peeking, x).places == ((2, 4),)


def test_what_reads_padding_is_told() -> None:
    """A mean over all steps, and a backward pass that begins in the padding."""
    x = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cell = GRU(2, 3).double()

    def careless(x: Tensor, mask: Tensor | None) -> Tensor:
        return seqdyn.scan(cell, x, reverse=True).output

    found = check_padding(careless, x)
    assert not found and found.largest > 0 and {row for row, _ in found.places} <= {0, 1}
    assert check_padding(lambda x, mask: seqdyn.scan(cell, x, mask=mask, reverse=True).output, x)
    assert "gives another output at step 0" in check_padding(lambda x, mask: x - x.mean(1, keepdim=True), x).reason


def test_the_likelihood_is_one_number(model: LanguageModel) -> None:
    """In double and single precision, of its own texts and of given ones, in every unit."""
    assert check_likelihood(model) and check_likelihood(model, ["to be", "or not"])
    assert check_likelihood(LanguageModel(unit="word", hidden_size=6, max_steps=3).fit("to be or not to be " * 9))


def test_a_leak_is_told(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is shown what it predicts: one pass disagrees with the steps, and its probabilities do not sum."""
    monkeypatch.setattr(scoring, "shift_right", lambda begin, tokens: tokens)
    found = check_likelihood(model)
    assert not found and found.largest > 0.01 and {text for text, _ in found.places} == {0, 1, 2}
    assert "ln p of symbol 0 of text 0 depends on the way it is computed" in str(found)


def test_inputs_of_every_form(model: LanguageModel) -> None:
    """A text, numbers in an array, one text for the likelihood; what passes says how near it came."""
    numbers = np.array([model.vocabulary_.encode("to be or"), model.vocabulary_.encode("not to b")])
    assert check_causal(model, "to be or not") and check_causal(model, numbers) and check_padding(model, numbers)
    assert 0 < check_likelihood(model, "to be").largest < 1e-9
    words = LanguageModel(unit="word", hidden_size=6, max_steps=1).fit(" ".join(f"w{k} w{k}" for k in range(600)))
    assert "the sum over 601 symbols was not taken" in str(check_likelihood(words, length=3))
    with pytest.raises(NotFittedError):
        check_causal(LanguageModel())


def test_trees_and_held_inputs() -> None:
    """A memory that is held in time belongs to all steps: it is not changed at one."""
    entry = next(entry for entry in LAW_TABLE if entry.name == "memory")
    cell, x = prepare(entry, batch=2, time=5)
    assert check_causal(cell, x) and check_causal(cell, map_leaves(lambda leaf: leaf.float().double(), x))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_causal(3), TypeError, "An audit takes a Cell, an Encoder, a fitted estimator or a callable"),
        (lambda: check_causal(lambda x, mask: x), ValueError, "has no input_shape: give X"),
        (lambda: check_causal(GRU(2, 3), steps=1), ValueError, "steps must be"),
        (
            lambda: check_likelihood(GRU(2, 3)),
            TypeError,
            "takes a fitted LanguageModel, Translator, Captioner or PixelRNN, got GRU",
        ),
    ],
)
def test_what_cannot_be_audited(call: Any, error: type[Exception], message: str) -> None:
    """The message says what was given, and what is needed."""
    with pytest.raises(error, match=message):
        call()


def test_an_audit_is_shown_in_a_line() -> None:
    """Its places may be many: they are not part of it."""
    found = check_causal(Encoder([(GRU(2, 3), GRU(2, 3))]), steps=3)
    assert repr(found).startswith("Audit(name=causality, passed=False, reason=The output at step 0")
