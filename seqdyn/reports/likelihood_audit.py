"""The audit of likelihoods: ln p of a text is one number, however it is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Attending
from seqdyn.data.pictures import as_pictures
from seqdyn.images.captioning import Captioner
from seqdyn.images.pixel import PixelRNN
from seqdyn.language.generation import Generation
from seqdyn.language.model import LanguageModel
from seqdyn.language.translation import Translator
from seqdyn.loops import scan
from seqdyn.reports.audits import Audit
from seqdyn.rows import Raster
from seqdyn.sentences import SentencePredictor, padded_rows

LARGEST_VOCABULARY = 500
"""Vocabularies up to this size are summed over: a text is scored once for every symbol."""


def check_likelihood(
    model: LanguageModel | Translator | Captioner | PixelRNN,
    texts: Any = None,
    *,
    length: int = 20,
    seed: int = 0,
    tolerance: float | None = None,
) -> Audit:
    """Check that ln p of a text is one number: in one pass, symbol by symbol, and as reported by what wrote the text.

    It also checks that the probabilities of all symbols that may come last sum to 1: a model that sees the symbol it
    predicts does not pass. (This is left out for vocabularies of more than 500 symbols.)

    Parameters
    ----------
    model : LanguageModel, Translator, Captioner or PixelRNN, fitted
        Its parameters are not changed.
    texts : list of str, or array of pictures, optional
        What is scored. For a LanguageModel texts, for a PixelRNN pictures; three that the model draws if None. For a
        Translator sources, and for a Captioner pictures: the sentences that the model finds for them are scored; three
        random ones if None.
    length : int, at least 1
        Symbols of the texts that a LanguageModel writes.
    seed : int
        Of everything drawn.
    tolerance : float, optional
        The largest difference that passes, in nats; None: 1e-9 in double precision, 1e-4 otherwise.

    Returns
    -------
    Audit
        Its ``places`` are pairs (text, symbol).

    Raises
    ------
    TypeError
        If the model is none of those.
    ValueError
        If a Captioner reads features, and no texts are given.

    Examples
    --------
    >>> from seqdyn import LanguageModel
    >>> model = LanguageModel(hidden_size=4, max_steps=2, random_state=0).fit("hello")
    >>> print(check_likelihood(model))
    likelihood: PASS. ln p of 3 texts is the same in one pass, symbol by symbol and as written.
    """
    if not isinstance(model, LanguageModel | Translator | Captioner | PixelRNN):
        raise TypeError(
            f"check_likelihood takes a fitted LanguageModel, Translator, Captioner or PixelRNN, got "
            f"{type(model).__name__}."
        )
    tolerance = (1e-9 if model.dtype == "float64" else 1e-4) if tolerance is None else tolerance
    if isinstance(model, LanguageModel):
        gaps, ways = _gaps_of_texts(model, texts, length, seed), "in one pass, symbol by symbol and as written"
        many = len(model.vocabulary_)
        untold = f" (the sum over {many:,} symbols was not taken)" if many > LARGEST_VOCABULARY else ""
        return _judged(gaps, tolerance, "text", "symbol", ways + untold)
    if isinstance(model, PixelRNN):
        return _judged(_gaps_of_pictures(model, texts, seed), tolerance, "picture", "pixel", "in one pass and by pixel")
    ways = "in one pass, symbol by symbol and as reported by the search"
    return _judged(_gaps_of_sentences(model, texts, seed), tolerance, "sentence", "symbol", ways)


def _judged(gaps: Iterable[Iterable[float]], tolerance: float, whole: str, part: str, ways: str) -> Audit:
    """The audit of the differences at every part (a symbol, a pixel) of every whole (a text, a picture)."""
    found = {(number, place): float(gap) for number, row in enumerate(gaps) for place, gap in enumerate(row)}
    places, largest = tuple(place for place, gap in found.items() if gap > tolerance), max(found.values())
    if not places:
        count = len({number for number, _ in found})
        return Audit("likelihood", True, f"ln p of {count} {whole}s is the same {ways}.", largest=largest)
    number, place = places[0]
    reason = f"ln p of {part} {place} of {whole} {number} depends on the way it is computed, by up to {largest:.2g}."
    return Audit("likelihood", False, reason, places, largest)


# --- texts ------------------------------------------------------------------------------------------------------------


def _gaps_of_texts(model: LanguageModel, texts: Any, length: int, seed: int) -> list[Array]:
    """By symbol, of texts that are given, or of three that the model writes."""
    if texts is not None:
        given = [model.vocabulary_.encode(text) for text in ([texts] if isinstance(texts, str) else texts)]
        return [_gaps_of_text(model, symbols, None) for symbols in given]
    drawn = model.generate([""] * 3, length, random_state=seed, return_log_probabilities=True)
    return [_gaps_of_text(model, np.array(text.symbols), text) for text in drawn]


def _gaps_of_text(model: LanguageModel, symbols: Array, written: Generation | None) -> Array:
    """How far apart ln p of every symbol is; at the last one, also how far from 1 the sum over all symbols is."""
    once = model.log_probabilities(symbols)
    others = [_from_stream(model, symbols), *([] if written is None else [written.log_probabilities])]
    gaps: Array = np.abs(np.array(others) - once).max(0)
    if len(model.vocabulary_) <= LARGEST_VOCABULARY:
        ends = [model.log_probabilities(np.append(symbols[:-1], k))[-1] for k in range(len(model.vocabulary_))]
        gaps[-1] = max(gaps[-1], abs(float(np.exp(ends).sum()) - 1))
    return gaps


def _from_stream(model: LanguageModel, symbols: Array) -> Array:
    """ln p symbol by symbol, from a stream."""
    stream, found = model.stream(), []
    for symbol in symbols.tolist():
        found.append(float(np.log(stream.probabilities()[symbol])))
        stream.push(symbol)
    return np.array(found)


# --- pictures ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _gaps_of_pictures(model: PixelRNN, images: Any, seed: int) -> Array:
    """By pixel (pictures, pixels): one pass against pixel by pixel; at the last, also the sum over all its values."""
    given = model.sample(3, random_state=seed) if images is None else images
    given = as_pictures(given, model.levels, shape=(1, *model.shape_))[:, 0]
    once = model.log_probabilities(given)
    tokens = torch.as_tensor(given).flatten(1).long()
    before = torch.nn.functional.pad(tokens, (1, -1)).to(model.predictor_.network.zeros(1).device)
    scores = scan(Raster(model.predictor_.network), before)
    stepwise = torch.log_softmax(scores.output.double().cpu(), -1).gather(2, tokens.unsqueeze(2)).squeeze(2).numpy()
    gaps: Array = np.abs(once.reshape(stepwise.shape) - stepwise)
    ends = np.repeat(given[:, None], model.levels, 1)
    ends[:, :, -1, -1] = np.arange(model.levels)
    last = model.log_probabilities(ends.reshape(-1, *model.shape_))[:, -1, -1].reshape(len(given), -1)
    gaps[:, -1] = np.maximum(gaps[:, -1], np.abs(np.exp(last).sum(1) - 1))
    return gaps


# --- sentences about a source -----------------------------------------------------------------------------------------


def _gaps_of_sentences(model: Translator | Captioner, sources: Any, seed: int) -> list[Array]:
    """By symbol, of what a search finds for every source."""
    some = model.sources(*_sources_for(model, sources, np.random.default_rng(seed)))
    predictor, options = model.predictor_, (model.beam_width, model.length_penalty, model.coverage_penalty)
    found = []
    for source in some:
        x = padded_rows([source])
        best = predictor.search(x, *options)[0][0]
        (forced,) = predictor.log_probabilities(x, [torch.tensor(best.symbols, device=x.value.device)])
        others = np.array([best.log_probabilities, _from_decoder(predictor, x.value, best.symbols)])
        gaps = np.abs(others - forced).max(0)
        gaps[-1] = max(gaps[-1], _distance_from_one(predictor, x.value, best.symbols))
        found.append(gaps)
    return found


def _sources_for(model: Translator | Captioner, sources: Any, draw: np.random.Generator) -> tuple[Any, ...]:
    """The sources, three random ones if None; and the language of a translator that knows several."""
    if isinstance(model, Captioner):
        if sources is None and model.features is not None:
            raise ValueError("A Captioner with features=… reads what no audit can draw: give it pictures as texts.")
        return (draw.random((3, *model.shape_)) if sources is None else sources,)
    known = model.source_vocabulary_.symbols
    given = [sources] if isinstance(sources, str) else None if sources is None else list(sources)
    some = given or ["".join(draw.choice(known, 5)).strip() or known[0] for _ in range(3)]
    return some, *model.languages_[:1]


def _distance_from_one(predictor: SentencePredictor, source: Tensor, symbols: tuple[int, ...]) -> float:
    """How far from 1 the sum of p over all last symbols is; 0 where the vocabulary is too large for that."""
    count = len(predictor.vocabulary)
    if count > LARGEST_VOCABULARY:
        return 0.0
    ends = [torch.tensor([*symbols[:-1], k], device=source.device) for k in range(count)]
    log_p = predictor.log_probabilities(padded_rows([source[0]] * count), ends)
    return abs(float(sum(np.exp(row[-1]) for row in log_p)) - 1)


@torch.no_grad()
def _from_decoder(predictor: SentencePredictor, source: Tensor, symbols: tuple[int, ...]) -> list[float]:
    """ln p symbol by symbol, from the decoder's own steps."""
    memory, state = predictor.network.encode(source)
    last, found = predictor.begin, []
    for symbol in symbols:
        given = Attending(torch.tensor([last], device=source.device), memory)
        scores, state = predictor.network.decoder(given, state)
        found.append(float(torch.log_softmax(scores[0].double(), -1)[symbol]))
        last = symbol
    return found
