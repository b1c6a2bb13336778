"""Generated text: a language model runs on its own symbols, which are drawn or searched for.

    prompt → state → symbol s_t ~ q(· | s_1 … s_{t-1}) → the next input → …

Every sequence has a seed of its own, so that what is drawn does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack, overload

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell, Noisy
from seqdyn.checks import check_choice, check_count, is_int
from seqdyn.data.text import REPLACEMENT, Vocabulary
from seqdyn.decoding import Beam, Draw, Drawn, Hypothesis, hypotheses
from seqdyn.decoding_strategy import DECODING_STRATEGIES, DecodingStrategy
from seqdyn.loops import rollout, scan
from seqdyn.progress import track
from seqdyn.state import State, map_leaves

if TYPE_CHECKING:
    from seqdyn.language.model import LanguageModel


BEAMS = 5
"""The width of a search unless one is given."""

SYMBOLS_PER_PIECE = 16
"""Symbols that are drawn before an iterator hands them on."""

SYMBOLS_PER_CHECK = 1024
"""Symbols that are drawn before it is asked whether all texts have ended."""


@dataclass(frozen=True)
class Generation:
    """A text that a model has written.

    Attributes
    ----------
    text : str
        Without the prompt.
    symbols : tuple of int
        The numbers of its symbols.
    log_probabilities : array, shape (symbols,)
        ln p of every symbol, given the prompt and those before it: what :meth:`LanguageModel.score` is the mean of.
    sampler_log_probabilities : array, shape (symbols,)
        ln q, what the strategy made of p; 0 in a search, which draws nothing.
    score : float
        ln p of all of it; in a search, divided by the length penalty.
    """

    text: str
    symbols: tuple[int, ...]
    log_probabilities: Array
    sampler_log_probabilities: Array
    score: float


class GenerationOptions(TypedDict, total=False):
    """Options of :meth:`~seqdyn.language.model.LanguageModel.generate`, for type checkers."""

    temperature: float
    top_k: int | None
    top_p: float | None
    stop: str | Sequence[str] | None
    random_state: Any
    beam_width: int | None
    length_penalty: float


@overload
def generate(
    self: LanguageModel,
    prompt: str = "",
    length: int = 200,
    strategy: str = "sample",
    *,
    return_log_probabilities: Literal[False] = False,
    **options: Unpack[GenerationOptions],
) -> str: ...
@overload
def generate(
    self: LanguageModel,
    prompt: list[str] | tuple[str, ...],
    length: int = 200,
    strategy: str = "sample",
    *,
    return_log_probabilities: Literal[False] = False,
    **options: Unpack[GenerationOptions],
) -> list[str]: ...


@overload
def generate(
    self: LanguageModel,
    prompt: str = "",
    length: int = 200,
    strategy: str = "sample",
    *,
    return_log_probabilities: Literal[True],
    **options: Unpack[GenerationOptions],
) -> Generation: ...


@overload
def generate(
    self: LanguageModel,
    prompt: list[str] | tuple[str, ...],
    length: int = 200,
    strategy: str = "sample",
    *,
    return_log_probabilities: Literal[True],
    **options: Unpack[GenerationOptions],
) -> list[Generation]: ...


def generate(
    self: LanguageModel,
    prompt: str | Sequence[str] = "",
    length: int = 200,
    strategy: str = "sample",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] | None = None,
    random_state: Any = None,
    beam_width: int | None = None,
    length_penalty: float = 0.0,
    return_log_probabilities: bool = False,
) -> Any:
    """Continue a text.

    Parameters
    ----------
    prompt : str, or list of str
        What comes before; the texts of a list are continued side by side. With words, leave out
        a space at the end: a word has the space before it with it.
    length : int, at least 1
        Symbols at most.
    strategy : {"sample", "greedy", "beam"}
        ``"beam"`` searches for the likeliest text, see :class:`~seqdyn.decoding.Beam`.
    temperature, top_k, top_p
        Of ``"sample"``, see :class:`~seqdyn.decoding_strategy.DecodingStrategy`.
    stop : str or sequence of str, optional
        A text is over with the symbol that completes one of these; it stays in the text. For ``"beam"`` one symbol.
    random_state : int, RandomState, sequence of int, or None
        Of a sequence of prompts each has a seed of its own: what is drawn does not depend on the others. A
        sequence gives the seeds themselves.
    beam_width, length_penalty : int, float
        Of ``"beam"``: 5 and 0 unless given.
    return_log_probabilities : bool
        Give back a :class:`~seqdyn.language.generation.Generation`, which has ln p and ln q of every symbol.

    Returns
    -------
    str, Generation, or list of those
        What was written, without the prompt.

    Raises
    ------
    ValueError
        If options contradict each other, or a prompt holds an unknown symbol.
    """
    check_choice("strategy", strategy, (*DECODING_STRATEGIES, "beam"))
    check_count("length", length)
    network, stops = self.predictor_.causal("generate"), stop_texts(stop)
    start = prime(network, self.vocabulary_, [prompt] if isinstance(prompt, str) else prompt)
    if strategy == "beam":
        if temperature != 1 or top_k is not None or top_p is not None:
            raise ValueError(
                "strategy='beam' draws nothing: temperature, top_k and top_p change nothing. Leave them out, or "
                "take strategy='sample'."
            )
        width = BEAMS if beam_width is None else beam_width
        beam = text_beam(network, self.vocabulary_, width, length, length_penalty, stops)
        found = [best[0] for best in search_texts(beam, self.vocabulary_, start, length)]
    elif beam_width is not None or length_penalty:
        raise ValueError(f"beam_width and length_penalty belong to strategy='beam', not to {strategy!r}.")
    else:
        drawn = Drawn(network, DecodingStrategy(strategy, temperature, top_k, top_p, mark_numbers(self.vocabulary_)))
        seeds = text_seeds(random_state, len(start.last))
        found = draw_texts(drawn, self.vocabulary_, start, length, seeds, stops, self.verbose)
    given = found if return_log_probabilities else [generation.text for generation in found]
    return given[0] if isinstance(prompt, str) else given


class Primed(NamedTuple):
    """A network after all but the last symbols of its prompts: its ``state``, and these, ``last`` (batch,)."""

    state: State
    last: Tensor


def prime(network: Cell, vocabulary: Vocabulary, prompts: Iterable[str]) -> Primed:
    """Run a network over prompts, each of which may be empty; the token after the last symbol stands before a text."""
    texts = list(prompts) if isinstance(prompts, Iterable) and not isinstance(prompts, bytes) else [prompts]
    if not texts:
        raise ValueError("prompt holds no text: give one at least, which may be empty.")
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"prompt is {text!r:.60}, expected a text, or a list of texts.")
    device = network.zeros(1).device
    rows = [torch.tensor([len(vocabulary), *vocabulary.encode(text)], device=device) for text in texts]
    last = torch.stack([row[-1] for row in rows])
    seen = torch.tensor([len(row) - 1 for row in rows], device=device)
    with torch.inference_mode():
        if not int(seen.max()):
            return Primed(network.initial_state(len(rows)), last)
        x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)[:, :-1]
        mask = torch.arange(x.shape[1], device=device) < seen[:, None]
        return Primed(scan(network, x, mask=None if bool(mask.all()) else mask).state, last)


def draw_texts(
    drawn: Drawn,
    vocabulary: Vocabulary,
    start: Primed,
    length: int,
    seeds: Sequence[int],
    stops: Sequence[str],
    verbose: bool | int = 0,
) -> list[Generation]:
    """Draw a text after every prompt, each of at most ``length`` symbols."""
    rows: list[list[Draw]] = [[] for _ in seeds]
    parts = _draw_in_parts(drawn, start, length, seeds, Endings(vocabulary, stops, len(seeds)), SYMBOLS_PER_CHECK)
    total = -(-length // SYMBOLS_PER_CHECK)
    for part in track(parts, "generate", "piece", total=total, verbose=verbose if total > 1 else 0):
        for row, piece in zip(rows, part, strict=True):
            row.append(piece)
    return [_generation(vocabulary, map_leaves(lambda *parts: torch.cat(parts), *row)) for row in rows]


def draw_pieces(
    drawn: Drawn, vocabulary: Vocabulary, start: Primed, length: int, seed: int, stops: Sequence[str]
) -> Iterator[str]:
    """Draw one text, handed on in pieces as it goes; half a character waits for its other half."""
    waiting: list[int] = []
    endings = Endings(vocabulary, stops, 1)
    for ((symbols, *_),) in _draw_in_parts(drawn, start, length, [seed], endings, SYMBOLS_PER_PIECE):
        waiting += symbols.tolist()
        text = vocabulary.decode(np.array(waiting))
        if vocabulary.unit != "subword" or not text.endswith(REPLACEMENT):
            waiting = []
            yield text
    if waiting:
        yield vocabulary.decode(np.array(waiting))


def search_texts(beam: Beam, vocabulary: Vocabulary, start: Primed, length: int) -> list[list[Generation]]:
    """Search for the likeliest texts after every prompt, best first."""
    with torch.inference_mode():
        run = rollout(
            beam,
            beam.fanned(start.state),
            length,
            last=beam.first(start.last),
            feed=lambda extension, _: extension.symbol,
            until=None if beam.end is None else lambda extension: extension.over,
        )
    return [[_of_hypothesis(vocabulary, found) for found in row[: beam.width]] for row in hypotheses(beam, run)]


def text_beam(
    network: Cell, vocabulary: Vocabulary, width: int, length: int, length_penalty: float, stops: Sequence[str]
) -> Beam:
    """A network that writes several texts at once, of which the likeliest are kept, up to one symbol in ``stops``."""
    numbers = vocabulary.encode(stops[0]) if len(stops) == 1 else np.empty(0, np.int64)
    if stops and len(numbers) != 1:
        raise ValueError(f"stop={stops!r}: a beam search ends at one {vocabulary.unit}, such as stop='\\n'.")
    end = int(numbers[0]) if stops else None
    return Beam(network, width, end, length_penalty, length, mark_numbers(vocabulary))


def mark_numbers(vocabulary: Vocabulary) -> tuple[int, ...]:
    """The numbers of marks, which are never written."""
    return tuple(range(len(vocabulary.marks)))


def stop_texts(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """The texts that end a text, none of them empty."""
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(isinstance(text, str) and text for text in stops):
        raise ValueError(f"stop is {stop!r}, expected a text of a symbol or more, or several.")
    return stops


def text_seeds(random_state: Any, count: int) -> list[int]:
    """A seed for every text; the first is the same however many there are."""
    if isinstance(random_state, list | tuple | np.ndarray):
        seeds = list(random_state)
        if len(seeds) != count or not all(is_int(seed) for seed in seeds):
            raise ValueError(f"random_state holds {len(seeds)} seeds for {count} prompts: give one int for each.")
        return [int(seed) for seed in seeds]
    if random_state is None:
        return np.random.default_rng().integers(2**31, size=count).tolist()
    return [int(seed) for seed in check_random_state(random_state).randint(2**31 - 1, size=count)]


class Endings:
    """Which of several texts are ``over``: each as soon as it holds one of ``stops``. It is asked after every step."""

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str], rows: int):
        self.vocabulary, self.stops = vocabulary, tuple(stops)
        self.longest = max((len(stop.encode()) for stop in stops), default=0)  # a symbol has a byte at least
        self.tails: list[list[int]] = [[] for _ in range(rows)]
        self.over = [False] * rows

    def __call__(self, draw: Draw) -> Tensor:
        for row, symbol in enumerate(draw.symbol.tolist()):
            if not self.over[row]:
                self.tails[row] = [*self.tails[row][-self.longest :], symbol]
                text = self.vocabulary.decode(np.array(self.tails[row]))
                self.over[row] = any(stop in text for stop in self.stops)
        return torch.tensor(self.over, device=draw.symbol.device)


def _draw_in_parts(
    drawn: Drawn, start: Primed, length: int, seeds: Sequence[int], endings: Endings, at_once: int
) -> Iterator[list[Draw]]:
    """A rollout on its own symbols, in pieces: of every row, what was drawn, leaves (symbols,)."""
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    greedy, (state, last) = drawn.strategy.name == "greedy", start
    for place in range(0, length, at_once):
        count, nothing, over = min(at_once, length - place), drawn.zeros(len(last)), list(endings.over)
        with torch.inference_mode():
            run = rollout(
                drawn,
                state,
                count,
                last=Draw(last, nothing, nothing),
                feed=lambda draw, noise: draw.symbol if noise is None else Noisy(draw.symbol, noise),
                exogenous=None if greedy else drawn.seeded(generators, count),
                until=endings if endings.stops else None,
            )
        state, last = run.state, run.output.symbol[:, -1]
        there = [run.output.symbol.shape[1]] * len(seeds) if run.mask is None else run.mask.sum(1).tolist()
        lengths = [0 if ended else steps for ended, steps in zip(over, there, strict=True)]
        output = map_leaves(lambda leaf: leaf.cpu(), run.output)
        yield [map_leaves(lambda leaf: leaf[row, :stop], output) for row, stop in enumerate(lengths)]  # noqa: B023
        if all(endings.over):
            return


def _generation(vocabulary: Vocabulary, row: Draw) -> Generation:
    symbols, log_p, log_q = (leaf.numpy() for leaf in row)
    return Generation(vocabulary.decode(symbols), tuple(symbols.tolist()), log_p, log_q, float(log_p.sum()))


def _of_hypothesis(vocabulary: Vocabulary, found: Hypothesis) -> Generation:
    text, log_p = vocabulary.decode(np.array(found.symbols)), np.array(found.log_probabilities)
    return Generation(text, found.symbols, log_p, np.zeros(len(log_p)), found.score)
