"""Audits: does a model do what it must never fail to do?

    causality     the output at step i does not depend on an input at step j > i
    padding       a sequence gives the same outputs alone and in a batch of longer ones
    likelihood    ln p of a text is the same by one pass, symbol by symbol, and as its writer says

They run the model on inputs made for the purpose, and say where it fails.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from seqdyn.autoencoder import Autoencoder
from seqdyn.cell import Attending, Cell
from seqdyn.checks import check_count
from seqdyn.data.pictures import as_pictures
from seqdyn.dynamics.trajectory import double
from seqdyn.encoder import Encoder, Ensemble
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.estimators.autoencoder import SequenceAutoencoder
from seqdyn.estimators.built import Built
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.images.captioning import Captioner
from seqdyn.images.pixel import PixelRNN
from seqdyn.language.generation import Generation
from seqdyn.language.model import LanguageModel
from seqdyn.language.translation import Translator
from seqdyn.loops import scan
from seqdyn.picture_encoder import PictureEncoder
from seqdyn.rows import Raster
from seqdyn.sentences import SentencePredictor, beside
from seqdyn.state import is_held, leaves, map_leaves
from seqdyn.training.forward import Annotator

Array = np.ndarray[Any, Any]
Run = Callable[[Any, Tensor | None], Any]


@dataclass(frozen=True)
class Audit:
    """What an audit found; it is true where it passed.

    Attributes
    ----------
    name : str
    passed : bool
    reason : str
        The finding in one sentence.
    places : tuple of pairs of int
        Where it failed: of causality the steps (i, j) at which output i saw input j; of padding (sequence, step); of
        the likelihood (text, symbol).
    largest : float
        The largest difference that was found.
    """

    name: str
    passed: bool
    reason: str
    places: tuple[tuple[int, int], ...] = ()
    largest: float = 0.0

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return f"{self.name}: {'PASS' if self.passed else 'FAIL'}. {self.reason}"


def check_causal(model: Any, X: Any = None, *, steps: int = 12, seed: int = 0) -> Audit:
    """Whether no output of a model depends on an input that comes later.

    Every step is changed in turn; all outputs before it have to stay as they were, to the bit.

    Parameters
    ----------
    model : Cell, Encoder, EncoderDecoder, fitted estimator, model of texts, or callable
        A callable is ``(x, mask) -> outputs``, with x as in X.
    X : Tensor, shape (batch, time, *inputs), or a tree of such, optional
        Inputs in the units of the network; drawn for it if None, of shape (2, steps, *input_shape).
    steps : int, at least 2
    seed : int

    Returns
    -------
    Audit

    Raises
    ------
    TypeError
        If the model is none of those.
    ValueError
        If no X can be drawn for it.

    Examples
    --------
    >>> import seqdyn
    >>> from seqdyn.cells.gru import GRU
    >>> print(check_causal(GRU(3, 4)))
    causality: PASS. No output of 12 steps changed with an input after it.
    >>> check_causal(seqdyn.Encoder([(GRU(3, 4), GRU(3, 4))]), steps=3).places
    ((0, 1), (0, 2), (1, 2))
    """
    run, x, generator = _prepared(model, X, check_count("steps", steps, 2), seed)
    before = run(x, None)
    time, places, largest = leaves(x)[0].shape[1], [], 0.0
    for j in range(1, time):
        after = run(_changed(x, j, _symbols(model), generator), None)
        gaps = _gaps(after, before)[:, :j].amax(0)
        places += [(i, j) for i in (gaps != 0).nonzero().flatten().tolist()]
        largest = max(largest, float(gaps.max()))
    if not places:
        return Audit("causality", True, f"No output of {time} steps changed with an input after it.")
    (i, j), many = places[0], f"{len(places)} pair{'s' if len(places) > 1 else ''} in all"
    reason = f"The output at step {i} changed with the input at step {j}, by up to {largest:.2g}; {many}."
    return Audit("causality", False, reason, tuple(places), largest)


def check_padding(model: Any, X: Any = None, *, steps: int = 12, seed: int = 0, tolerance: float = 1e-9) -> Audit:
    """Whether a sequence gives the same outputs alone, and beside longer ones with anything in the padding.

    Parameters
    ----------
    model, X, steps, seed
        As in :func:`check_causal`; sequences are cut to unlike lengths.
    tolerance : float
        Of the largest difference, relative to the largest output.

    Returns
    -------
    Audit

    Examples
    --------
    >>> from seqdyn.cells.lstm import LSTM
    >>> print(check_padding(LSTM(3, 4)))
    padding: PASS. 4 sequences of 1 to 12 steps give alone what they give side by side.
    """
    run, x, generator = _prepared(model, X, check_count("steps", steps, 2), seed, batch=4)
    batch, time = leaves(x)[0].shape[:2]
    lengths = torch.linspace(1, time, batch).round().long()
    mask = torch.arange(time) < lengths[:, None]
    places, largest, size = [], 0.0, 0.0
    for padded in (x, _scrambled(x, mask, _symbols(model), generator)):
        together = run(padded, mask)
        for row, length in enumerate(lengths.tolist()):
            own = map_leaves(lambda leaf: leaf[row : row + 1, :length], x)  # noqa: B023
            alone = run(own, torch.ones(1, length, dtype=torch.bool))
            gaps = _gaps(map_leaves(lambda leaf: leaf[row : row + 1, :length], together), alone)[0]  # noqa: B023
            size = max(size, *(float(leaf.abs().max()) for leaf in leaves(alone)))
            places += [(row, step) for step in (gaps > tolerance * max(size, 1e-300)).nonzero().flatten().tolist()]
            largest = max(largest, float(gaps.max()))
    told = f"{batch} sequence{'s' if batch > 1 else ''} of {int(lengths[0])} to {time} steps"
    if not places:
        return Audit("padding", True, f"{told} give alone what they give side by side.", largest=largest)
    row, step = places[0]
    reason = f"Of {told}, number {row} gives another output at step {step} beside longer ones, by up to {largest:.2g}."
    return Audit("padding", False, reason, tuple(dict.fromkeys(places)), largest)


def check_likelihood(
    model: Any, texts: Any = None, *, length: int = 20, seed: int = 0, tolerance: float | None = None
) -> Audit:
    """Whether ln p of a text is one number: by one pass, symbol by symbol, and as ``generate`` says of what it wrote.

    And whether the probabilities of all symbols that may follow sum to 1, each scored as the end of a text: a model
    that sees the symbol it predicts does not pass. (Not of more than 500 symbols.)

    Parameters
    ----------
    model : LanguageModel, Translator, Captioner or PixelRNN, fitted
    texts : list of str, or array of pictures, optional
        Texts to be scored; three that the model writes if None. Of a translator sources, of which the translations that
        it finds are scored; three that are drawn from its symbols if None. Of a captioner pictures, likewise; three of
        noise if None. Of a model of pictures an array of them; three that the model draws if None.
    length : int, at least 1
        Symbols it writes.
    seed : int
    tolerance : float, optional
        Of the largest difference in nats; 1e-9 in double precision, else 1e-4, if None.

    Returns
    -------
    Audit

    Examples
    --------
    >>> from seqdyn import LanguageModel
    >>> model = LanguageModel(hidden_size=4, max_steps=2, random_state=0).fit("hello")
    >>> print(check_likelihood(model))
    likelihood: PASS. ln p of 3 texts is the same in one pass, symbol by symbol and as written.
    """
    if isinstance(model, Translator | Captioner):
        return _of_writer(model, texts, seed, tolerance)
    if isinstance(model, PixelRNN):
        return _of_pixels(model, texts, seed, tolerance)
    if not isinstance(model, LanguageModel):
        raise TypeError(
            f"check_likelihood takes a fitted LanguageModel, Translator, Captioner or PixelRNN, got "
            f"{type(model).__name__}."
        )
    double_precision = model.dtype == "float64"
    tolerance = (1e-9 if double_precision else 1e-4) if tolerance is None else tolerance
    written = model.generate([""] * 3, length, random_state=seed, return_log_probabilities=True)
    given = [np.array(text.symbols) for text in written]
    if texts is not None:
        given = [model.vocabulary_.encode(text) for text in ([texts] if isinstance(texts, str) else texts)]
    gaps = {
        (number, symbol): gap
        for number, symbols in enumerate(given)
        for symbol, gap in enumerate(_disagreement(model, symbols, written[number] if texts is None else None))
    }
    places, largest = tuple(place for place, gap in gaps.items() if gap > tolerance), max(gaps.values())
    if not places:
        many = len(model.vocabulary_)
        untold = f" (the sum over {many:,} symbols was not taken)" if many > ALL else ""
        reason = f"ln p of {len(given)} texts is the same in one pass, symbol by symbol and as written{untold}."
        return Audit("likelihood", True, reason, largest=largest)
    number, symbol = places[0]
    reason = f"ln p of symbol {symbol} of text {number} depends on the way it is found, by up to {largest:.2g}."
    return Audit("likelihood", False, reason, places, largest)


@torch.no_grad()
def _of_pixels(model: PixelRNN, images: Any, seed: int, tolerance: float | None) -> Audit:
    """ln p of every pixel: by one pass over rows, pixel by pixel, and, of all values of the last one, a sum of 1."""
    tolerance = (1e-9 if model.dtype == "float64" else 1e-4) if tolerance is None else tolerance
    given = model.sample(3, random_state=seed) if images is None else images
    given = as_pictures(given, model.levels, shape=(1, *model.shape_))[:, 0]
    once = model.log_probabilities(given)
    tokens = torch.as_tensor(given).flatten(1).long()
    before = torch.nn.functional.pad(tokens, (1, -1)).to(model.predictor_.network.zeros(1).device)
    scores = scan(Raster(model.predictor_.network), before)
    stepwise = torch.log_softmax(scores.output.double().cpu(), -1).gather(2, tokens.unsqueeze(2)).squeeze(2).numpy()
    gaps = np.abs(once.reshape(stepwise.shape) - stepwise)
    ends = np.repeat(given[:, None], model.levels, 1)
    ends[:, :, -1, -1] = np.arange(model.levels)
    last = model.log_probabilities(ends.reshape(-1, *model.shape_))[:, -1, -1].reshape(len(given), -1)
    gaps[:, -1] = np.maximum(gaps[:, -1], np.abs(np.exp(last).sum(1) - 1))
    places = tuple((int(picture), int(pixel)) for picture, pixel in np.argwhere(gaps > tolerance))
    if not places:
        reason = f"ln p of {len(given)} pictures is the same in one pass and pixel by pixel."
        return Audit("likelihood", True, reason, largest=float(gaps.max()))
    picture, pixel = places[0]
    reason = f"ln p of pixel {pixel} of picture {picture} depends on the way it is found, by up to {gaps.max():.2g}."
    return Audit("likelihood", False, reason, places, float(gaps.max()))


def _of_writer(model: Translator | Captioner, sources: Any, seed: int, tolerance: float | None) -> Audit:
    """ln p of what a search has found: as it says, in one forced pass, and step by step."""
    tolerance = (1e-9 if model.dtype == "float64" else 1e-4) if tolerance is None else tolerance
    some = model.sources(*_read_by(model, sources, np.random.default_rng(seed)))
    predictor, options = model.predictor_, (model.beam_width, model.length_penalty, model.coverage_penalty)
    gaps: dict[tuple[int, int], float] = {}
    for number, source in enumerate(some):
        x = beside([source])
        best = predictor.search(x, *options)[0][0]
        (forced,) = predictor.log_probabilities(x, [torch.tensor(best.symbols, device=x.value.device)])
        others = np.array([best.log_probabilities, _walked(predictor, x.value, best.symbols)])
        gaps |= {(number, symbol): float(gap) for symbol, gap in enumerate(np.abs(others - forced).max(0))}
        last = (number, len(forced) - 1)
        gaps[last] = max(gaps[last], _from_one(predictor, x.value, best.symbols))
    places, largest = tuple(place for place, gap in gaps.items() if gap > tolerance), max(gaps.values())
    if not places:
        reason = f"ln p of {len(some)} sentences is the same in one pass, symbol by symbol and as the search says."
        return Audit("likelihood", True, reason, largest=largest)
    number, symbol = places[0]
    reason = f"ln p of symbol {symbol} of sentence {number} depends on the way it is found, by up to {largest:.2g}."
    return Audit("likelihood", False, reason, places, largest)


def _read_by(model: Translator | Captioner, sources: Any, draw: np.random.Generator) -> tuple[Any, ...]:
    """Sources, three that are drawn if there are none; and the language of a translator that knows several."""
    if isinstance(model, Captioner):
        if sources is None and model.features is not None:
            raise ValueError("A Captioner with features=… reads what no audit can draw: give it pictures as texts.")
        return (draw.random((3, *model.shape_)) if sources is None else sources,)
    known = model.source_vocabulary_.symbols
    given = [sources] if isinstance(sources, str) else None if sources is None else list(sources)
    some = given or ["".join(draw.choice(known, 5)).strip() or known[0] for _ in range(3)]
    return some, *model.languages_[:1]


def _from_one(predictor: SentencePredictor, source: Tensor, symbols: tuple[int, ...]) -> float:
    """How far the sum of p over all that may stand last is from 1; not of more than :data:`ALL` symbols."""
    count = len(predictor.vocabulary)
    if count > ALL:
        return 0.0
    ends = [torch.tensor([*symbols[:-1], k], device=source.device) for k in range(count)]
    log_p = predictor.log_probabilities(beside([source[0]] * count), ends)
    return abs(float(sum(np.exp(row[-1]) for row in log_p)) - 1)


@torch.no_grad()
def _walked(predictor: SentencePredictor, source: Tensor, symbols: tuple[int, ...]) -> list[float]:
    """ln p symbol by symbol, the decoder run by hand."""
    memory, state = predictor.network.encode(source)
    last, found = predictor.begin, []
    for symbol in symbols:
        given = Attending(torch.tensor([last], device=source.device), memory)
        scores, state = predictor.network.decoder(given, state)
        found.append(float(torch.log_softmax(scores[0].double(), -1)[symbol]))
        last = symbol
    return found


ALL = 500
"""Vocabularies up to this size are summed over: a text is scored once for every symbol."""


def _disagreement(model: LanguageModel, symbols: Array, written: Generation | None) -> list[float]:
    """How far the ways to ln p of every symbol are apart; of the last one, also how far the sum over all is from 1."""
    once = model.log_probabilities(symbols)
    others = [_stepwise(model, symbols), *([] if written is None else [written.log_probabilities])]
    gaps: list[float] = np.abs(np.array(others) - once).max(0).tolist()
    if len(model.vocabulary_) <= ALL:
        ends = [model.log_probabilities(np.append(symbols[:-1], k))[-1] for k in range(len(model.vocabulary_))]
        gaps[-1] = max(gaps[-1], abs(float(np.exp(ends).sum()) - 1))
    return gaps


def _stepwise(model: LanguageModel, symbols: Array) -> Array:
    """ln p symbol by symbol, from a stream."""
    stream, found = model.stream(), []
    for symbol in symbols.tolist():
        found.append(float(np.log(stream.probabilities()[symbol])))
        stream.push(symbol)
    return np.array(found)


def _fitted(model: Any) -> Any:
    """The network of a fitted model, or what was given."""
    if isinstance(model, SequenceAutoencoder):
        return model.network_
    return model.predictor_.network if isinstance(model, SequenceEstimator | Built) else model


def _network(model: Any) -> Any:
    """What runs: the network of a fitted model, or what was given."""
    network = _fitted(model)
    if not callable(network):
        raise TypeError(
            f"An audit takes a Cell, an Encoder, a fitted estimator or a callable (x, mask) -> outputs, got "
            f"{type(model).__name__}."
        )
    return network


def _prepared(model: Any, X: Any, steps: int, seed: int, batch: int = 2) -> tuple[Run, Any, torch.Generator]:
    """How to run the model, as a copy in double precision on the CPU, and on what."""
    network, generator = _network(model), torch.Generator().manual_seed(seed)
    if isinstance(network, nn.Module):
        network = copy.deepcopy(network).double().cpu().eval()
    if X is None:
        X = _drawn(model, network, batch, steps, generator)
    elif isinstance(model, LanguageModel) and isinstance(X, str):
        X = model.rows(X).x[None]
    x = double(torch.as_tensor(X) if isinstance(X, np.ndarray) else X)

    @torch.no_grad()
    def run(x: Any, mask: Tensor | None) -> Any:
        if isinstance(network, Cell):
            return scan(network, x, mask=mask).output
        if isinstance(network, EncoderDecoder):
            return _decoded(network, x, mask)
        return network(x, mask).output if isinstance(network, Encoder | Ensemble) else network(x, mask)

    return run, x, generator


def _decoded(network: EncoderDecoder, x: Tensor, mask: Tensor | None) -> Tensor:
    """What a decoder gives: on x, of which nothing is hidden, or about x, where it is padded and masked.

    Without a mask x is what the decoder sees, about a fixed source; with one it is the source, and all that the decoder
    gives for fixed symbols stands at every step. A picture is one step, of which nothing can be padding: x is what the
    decoder sees.
    """
    some = torch.arange(5).expand(len(x), 5)
    if isinstance(network.encoder, PictureEncoder):
        shape = network.encoder.input_shape
        picture = torch.linspace(0, 1, math.prod(shape), dtype=torch.float64).reshape(1, 1, *shape)
        return cast(Tensor, network.forced(picture.expand(len(x), *picture.shape[1:]), None, x))
    if mask is None:
        return cast(Tensor, network.forced(some % cast(int, network.encoder.input_size), None, x))
    given = network.forced(x, mask, some % network.decoder.input_size)
    return given.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)


def _drawn(model: Any, network: Any, batch: int, steps: int, generator: torch.Generator) -> Tensor:
    """Inputs for a network that says what it takes."""
    inner = _taking(network)
    shape = getattr(inner, "input_shape", None)
    if shape is None:
        raise ValueError(f"{type(model).__name__} does not say what it takes: give X (batch, time, *inputs).")
    if shape:
        return torch.randn(batch, steps, *shape, generator=generator, dtype=torch.float64)
    return torch.randint(inner.input_size, (batch, steps), generator=generator)


def _symbols(model: Any) -> int | None:
    """How many symbols a model of tokens knows."""
    return cast("int | None", getattr(_taking(_network(model)), "input_size", None))


def _taking(network: Any) -> Any:
    """The part of a network that takes its inputs: of an encoder and a decoder the one that knows fewer symbols."""
    if isinstance(network, EncoderDecoder):
        if isinstance(network.encoder, PictureEncoder):
            return network.decoder
        few = cast(int, network.encoder.input_size) < network.decoder.input_size
        return network.encoder if few else network.decoder
    return network.encoder if isinstance(network, Annotator | Autoencoder) else network


def _changed(x: Any, step: int, symbols: int | None, generator: torch.Generator) -> Any:
    """x with another value at one step; what is held in time stays."""

    def change(leaf: Tensor) -> Tensor:
        if is_held(leaf):
            return leaf
        leaf = leaf.clone()
        leaf[:, step] = _other(leaf[:, step], symbols, generator)
        return leaf

    return map_leaves(change, x)


def _scrambled(x: Any, mask: Tensor, symbols: int | None, generator: torch.Generator) -> Any:
    """x with other values in the padding."""

    def scramble(leaf: Tensor) -> Tensor:
        marks = mask.reshape(*mask.shape, *[1] * (leaf.dim() - 2))
        return leaf if is_held(leaf) else torch.where(marks, leaf, _other(leaf, symbols, generator))

    return map_leaves(scramble, x)


def _other(values: Tensor, symbols: int | None, generator: torch.Generator) -> Tensor:
    """Numbers a unit normal step away, or other tokens."""
    if values.is_floating_point():
        return values + torch.randn(values.shape, generator=generator, dtype=values.dtype)
    count = symbols or int(values.max()) + 1
    return (values + torch.randint(1, max(count, 2), values.shape, generator=generator)) % count


def _gaps(one: Any, other: Any) -> Tensor:
    """The largest difference of two outputs at every step, (batch, time); NaN beside a number is infinite."""
    found = [
        torch.nan_to_num((a.double() - b.double()).abs(), nan=torch.inf).flatten(2).amax(2)
        if a.dim() > 2
        else (a.double() - b.double()).abs()
        for a, b in zip(leaves(one), leaves(other), strict=True)
    ]
    return torch.stack(found).amax(0)
