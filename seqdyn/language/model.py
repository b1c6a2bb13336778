"""Language models: the next symbol of a text from all those before it, by any cell."""

from __future__ import annotations

import codecs
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import torch
from sklearn.utils import check_random_state

from seqdyn.cell import Cell
from seqdyn.checks import check_choice, check_count, is_int
from seqdyn.codecs import ClassTargets, Codec, SymbolInputs
from seqdyn.composition import Embedding, Readout, Residual, Stack
from seqdyn.data.text import Source, Vocabulary, check_numbers, encode_corpus, pieces
from seqdyn.decoding import Beam, Drawn
from seqdyn.decoding_strategy import DECODING_STRATEGIES, DecodingStrategy
from seqdyn.dynamics.driven import Driven, Errors
from seqdyn.estimators.built import OfSymbols
from seqdyn.estimators.layers import layer_of, widths_of
from seqdyn.estimators.parameters import (
    Rule,
    at_least,
    check_parameters,
    one_of,
    optional,
    share,
)
from seqdyn.estimators.sequence import unchanged_on_error
from seqdyn.language.figures import picture
from seqdyn.language.generation import (
    Generation,
    Primed,
    drawn_pieces,
    drawn_texts,
    primed,
    searched_texts,
    unwritten,
)
from seqdyn.language.scoring import NOTHING, Reading, Scored, Totals, scored
from seqdyn.predictor import Predictor
from seqdyn.stream import Stream
from seqdyn.training.batches import Rows
from seqdyn.training.pairs import shift_right
from seqdyn.training.streams import TokenStreams
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.objective import Supervised
from seqdyn.training.stopping import NonFiniteError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

BEAMS = 5
"""The width of a search unless one is given."""


@dataclass(kw_only=True, repr=False, eq=False)
class LanguageModel(OfSymbols):
    """The probability of every next symbol of a text, given all before it: p(s_t | s_1 … s_{t-1}) = softmax(y_t).

        x_t = E_{s_{t-1}},   y_t, h_t = f(x_t, h_{t-1}),   loss = −(1/N) Σ ln p(s_t | s_1 … s_{t-1})

    A symbol is a character, a word or a sub-word. Before the first one stands a token of its own, so that every symbol
    of a text is scored, and a model can write without a prompt. It is trained by truncated backpropagation through
    time: the corpus lies on parallel streams, which are walked in chunks, and the state is carried on without end.

    Parameters
    ----------
    unit : {"character", "word", "subword"}
        Sub-words need the library ``tokenizers``: ``pip install seqdyn[text]``.
    cell : {"lstm", "gru", "elman"}, callable or Cell
        Or a class called as ``cell(input_size, hidden_size)`` for every layer, or one built cell.
    hidden_size : int or tuple of int
        Width of the memory; a tuple gives one a layer.
    num_layers : int
        Layers of ``hidden_size``, when that is an int.
    residual : bool
        Add each layer's input to its output where the widths agree.
    embedding_size : int, optional
        Width of the vectors E of symbols; None: 64, or with ``tied`` that of the top layer.
    tied : bool
        Score symbols by their own vectors: y_t = E o_t + b.
    dropout, embedding_dropout : float in [0, 1)
        Share of every layer's outputs, and of the vectors' entries, dropped in training. A mask is drawn once a chunk
        and stream, and held in time (locked dropout).
    vocabulary_size : int, optional
        Keep so many symbols, the most frequent; of sub-words: learn so many. The others are unknown.
    min_count : int
        Keep symbols that appear so often. With 2 or more, or with ``vocabulary_size``, there is a mark for what is
        unknown; else a text with a symbol that the corpus does not have is an error.
    encoding : str
        Of files; ``"utf-8-sig"`` leaves out a byte-order mark, which is else the first symbol.
    bptt_length, streams : int
        k, the symbols the gradient goes back, and the streams side by side; fewer where a short corpus would not fill
        a chunk of each.
    **others
        As in :class:`~seqdyn.estimators.trained.Trained`. Without a budget: 20 epochs, or as many as 1,000 steps take.
        ``early_stopping`` holds the end of the corpus out.

    Attributes
    ----------
    vocabulary_ : Vocabulary
    network_ : Cell
        From tokens to scores.
    history_ : DataFrame
        One row an epoch: epoch, loss (nats a symbol), validation_loss, gradient_norm, and more, see
        :class:`~seqdyn.estimators.gradient.GradientEstimator`.

    References
    ----------
    Mikolov et al. (2010), Recurrent neural network based language model; Graves (2013), Generating sequences with
    recurrent neural networks; Gal & Ghahramani (2016) for locked dropout.

    Examples
    --------
    >>> model = LanguageModel(hidden_size=16, max_steps=300, n_iter_no_change=300, random_state=0).fit("hello " * 30)
    >>> model.generate("hel", 9, strategy="greedy")
    'lo hello '
    >>> model.evaluate("hello hello")["nats_per_character"] < 0.2
    True
    """

    _budget: ClassVar[tuple[int, int]] = 20, 1000

    hidden_size: Any = 256
    num_layers: int = 1
    residual: bool = False
    embedding_size: int | None = None
    tied: bool = False
    dropout: float = 0.0
    embedding_dropout: float = 0.0
    encoding: str = "utf-8"
    bptt_length: int = 64
    streams: int = 64
    learning_rate: float = 3e-3
    schedule: Any = "warmup_cosine"

    # ---------------------------------------------------------------- fitting

    def fit(self, corpus: Source, y: None = None) -> Self:
        """Learn a corpus.

        Parameters
        ----------
        corpus : str, path, or iterable of paths
            A str is the text itself. Files are read one after the other as one text; their numbers are written to a
            temporary file and mapped from there, so that a corpus may be larger than memory.
        y : None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the corpus is empty or has one symbol only, a file has another encoding (named with its offset), or
            parameters do not fit.
        NonFiniteError
            If loss or gradient explode; the model keeps the last good weights.

        Warns
        -----
        ConvergenceWarning
            If a budget was spent while the loss still fell.
        """
        with unchanged_on_error(self, but=NonFiniteError):
            check_parameters(self)
            if isinstance(corpus, Iterator):
                corpus = list(corpus)  # it is read twice
            marks = ("unknown",) if self._leaves_out else ()
            vocabulary = Vocabulary.of(corpus, self.unit, marks, self.vocabulary_size, self.min_count, self.encoding)
            if len(vocabulary.symbols) < 2:
                raise ValueError(
                    f"The corpus has one symbol only, {vocabulary.symbols[0]!r}: whatever comes next is certain. Give "
                    "a text with two symbols or more."
                )
            with tempfile.TemporaryDirectory() as folder:
                path = None if isinstance(corpus, str) else os.path.join(folder, "corpus")
                self._learn(vocabulary, encode_corpus(corpus, vocabulary, path, self.encoding))
        return self

    def _learn(self, vocabulary: Vocabulary, tokens: Array) -> None:
        """Train on the numbers of a corpus."""
        train = len(tokens) - max(1, round(self.validation_fraction * len(tokens))) * self.early_stopping
        if train < 2:
            raise ValueError(f"The corpus has {len(tokens)} symbols, of which {train} are trained on: give more.")
        generator = self._generator()
        self._new(generator, vocabulary_=vocabulary)
        objective, begin = Supervised(CrossEntropy(len(vocabulary))), len(vocabulary)
        streams = max(1, min(self.streams, train // self.bptt_length))
        batches = TokenStreams(tokens[:train], streams, self.bptt_length, begin, self._device)
        held = TokenStreams(tokens[train:], 1, 1024, begin, self._device) if self.early_stopping else None
        self._teach(batches, held, (objective, objective), generator, batches.digest)

    @property
    def _leaves_out(self) -> bool:
        """Whether there are symbols that the vocabulary leaves out."""
        return self.unit != "subword" and (self.min_count > 1 or self.vocabulary_size is not None)

    def _build(self, fitted: Mapping[str, Any], generator: torch.Generator) -> Cell:
        """From tokens to scores, with the token of the beginning as the last."""
        symbols, widths = len(fitted["vocabulary_"]), widths_of(self.hidden_size, self.num_layers, self.cell)
        below = self.embedding_size or (widths[-1] if self.tied else 64)
        layers: list[Cell] = []
        for hidden in widths:
            layer = layer_of(self._cell, below, hidden, generator)
            layers.append(Residual(layer) if self.residual and layer.output_size == below else layer)
            below = layer.output_size
        stack = layers[0] if len(layers) == 1 and not self.dropout else Stack(layers, self.dropout)
        inner = stack if self.tied else Readout(stack, symbols, generator=generator)
        return Embedding(inner, symbols + 1, generator, self.embedding_dropout, symbols if self.tied else None)

    def _rules(self) -> dict[str, Rule]:
        return super()._rules() | {
            "embedding_size": optional(at_least(1)),
            "tied": one_of(False, True),
            "embedding_dropout": share(zero=True),
            "bptt_length": at_least(1),
            "encoding": (_is_encoding, "the name of an encoding"),
        }

    # ---------------------------------------------------------------- fitted attributes

    @property
    def predictor_(self) -> Predictor:
        """The fitted network between text and probabilities."""
        self._check()
        symbols = len(self.vocabulary_)
        targets = ClassTargets(np.array(self.vocabulary_.labels, dtype=object), CrossEntropy(symbols))
        codec = Codec(SymbolInputs(self.vocabulary_, symbols), targets)
        return Predictor(self.network_, codec, flat=True, first=symbols)

    @property
    def embedding_(self) -> Array:
        """The learnt vectors, (symbols, embedding_size), in the order of ``vocabulary_.labels``."""
        self._check()
        table = cast(Embedding, self.network_).weight[:-1]
        return np.asarray(table.detach().cpu())

    def nearest(self, symbol: str, n: int = 5) -> list[tuple[str, float]]:
        """The symbols whose vectors point most nearly the same way, with the cosine, nearest first.

        Parameters
        ----------
        symbol : str
            One symbol.
        n : int
        """
        check_count("n", n)
        vectors = self.embedding_ / np.linalg.norm(self.embedding_, axis=1, keepdims=True)
        own = int(self.predictor_.codec.inputs.read(symbol))
        cosine = vectors @ vectors[own]
        order = [k for k in np.argsort(-cosine, kind="stable").tolist() if k != own][:n]
        return [(self.vocabulary_.labels[k], float(cosine[k])) for k in order]

    # ---------------------------------------------------------------- scoring

    def log_probabilities(self, text: str | Array) -> Array:
        """ln p of every symbol of a text, given those before it: shape (symbols,).

        Parameters
        ----------
        text : str, or array of int, shape (symbols,)
            The text, or the numbers of its symbols.

        Raises
        ------
        ValueError
            If the text is empty, or a symbol is unknown and there is no mark for such.
        """
        self._check()
        numbers = self.vocabulary_.encode(text) if isinstance(text, str) else check_numbers(text, len(self.vocabulary_))
        if not len(numbers):
            raise ValueError(NOTHING)
        return Reading(self.network_, len(self.vocabulary_)).log_probabilities(numbers)

    def score(self, corpus: Source, y: None = None) -> float:
        """The mean log-likelihood of a symbol, in nats: higher is better.

        Parameters
        ----------
        corpus : str, path, or iterable of paths
        y : None
        """
        return Totals.of(self._scored(corpus), self.vocabulary_).mean

    def evaluate(self, corpus: Source) -> dict[str, float]:
        """How well a text is predicted, in units that can be compared.

        Parameters
        ----------
        corpus : str, path, or iterable of paths

        Returns
        -------
        dict
            ``nats_per_character``, ``bits_per_character``; ``bits_per_byte``, of UTF-8; ``perplexity_per_word``, where
            words are what white space divides; ``symbols_scored``, all of them, also the first; and
            ``unknown_symbols``, whose probability is that of being unknown: where there are any, models of other
            vocabularies cannot be compared.
        """
        return Totals.of(self._scored(corpus), self.vocabulary_).figures()

    def _scored(self, corpus: Source) -> Iterator[Scored]:
        """ln p of the symbols of a corpus, piece by piece."""
        self._check()
        return scored(self.network_, self.vocabulary_, pieces(corpus, self.vocabulary_.unit, self.encoding))

    def rows(self, text: str) -> Rows:
        """A text as the network is trained on it: tokens (time,), and beside each the one that comes next."""
        numbers = torch.as_tensor(self.vocabulary_.encode(text), device=self.network_.zeros(1).device)
        if not len(numbers):
            raise ValueError(NOTHING)
        return Rows.of([shift_right(len(self.vocabulary_), numbers)], [numbers[:, None]])

    def driven_by(self, text: Any, y: None = None) -> Driven:
        """The network as a text drives it, and −ln p of every symbol: what reports measure.

        Parameters
        ----------
        text : str
        y : None

        Raises
        ------
        ValueError
            If it is no text, or something stands beside it.
        """
        if not isinstance(text, str) or y is not None:
            raise ValueError("A LanguageModel is measured on a text: give it as X, a str, and no y.")
        predictor = self.predictor_
        errors = Errors(predictor.codec.targets.head.loss, "−ln p of every symbol")
        return Driven(predictor.causal("stability_report"), self.rows(text), errors, estimator=self)

    def stream(self) -> Stream:
        """A text that comes symbol by symbol: ``push(symbol)`` answers the likeliest next one.

        ``stream.probabilities()`` are those of every symbol, in the order of ``vocabulary_.labels``; before the first
        push they are those of a first symbol. ``fork()`` goes on twice from the middle of a sentence.
        """
        return self.predictor_.stream()

    def plot(self, text: str) -> Figure:
        """What the network does with a text: one-hot vectors in, its state, the probabilities of the next symbol.

        Parameters
        ----------
        text : str
            A short one: every symbol is a column.

        Returns
        -------
        matplotlib Figure
        """
        numbers = self.vocabulary_.encode(text)
        if not len(numbers):
            raise ValueError(NOTHING)
        return picture(self.network_, numbers, self.vocabulary_.labels)

    # ---------------------------------------------------------------- writing

    def generate(
        self,
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
        """Write on.

        Parameters
        ----------
        prompt : str, or sequence of str
            What comes before; a sequence is written on side by side. With words, leave out a space at the end: a word
            has the space before it with it.
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
        start, stops = self._primed([prompt] if isinstance(prompt, str) else prompt), _stops(stop)
        if strategy == "beam":
            if temperature != 1 or top_k is not None or top_p is not None:
                raise ValueError(
                    "strategy='beam' draws nothing: temperature, top_k and top_p change nothing. Leave them out, or "
                    "take strategy='sample'."
                )
            beam = self._beam(BEAMS if beam_width is None else beam_width, length, length_penalty, stops)
            found = [best[0] for best in searched_texts(beam, self.vocabulary_, start, length)]
        elif beam_width is not None or length_penalty:
            raise ValueError(f"beam_width and length_penalty belong to strategy='beam', not to {strategy!r}.")
        else:
            drawn, seeds = self._drawn(strategy, temperature, top_k, top_p), _seeds(random_state, len(start.last))
            found = drawn_texts(drawn, self.vocabulary_, start, length, seeds, stops)
        given = found if return_log_probabilities else [generation.text for generation in found]
        return given[0] if isinstance(prompt, str) else given

    def generate_iter(
        self,
        prompt: str = "",
        length: int = 200,
        strategy: str = "sample",
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        random_state: Any = None,
    ) -> Iterator[str]:
        """Write on, and hand on what is written as it goes: joined, the pieces are what :meth:`generate` gives.

        Parameters
        ----------
        prompt, length, strategy, temperature, top_k, top_p, stop, random_state
            As in :meth:`generate`, without ``"beam"``.

        Yields
        ------
        str
            Some symbols.
        """
        if strategy == "beam":
            raise ValueError("strategy='beam' knows its text at the end only: take generate, or another strategy.")
        if not isinstance(prompt, str):
            raise ValueError(f"prompt is {prompt!r:.60}, expected one text: several are written on by generate.")
        check_count("length", length)
        drawn, start, (seed,) = (
            self._drawn(strategy, temperature, top_k, top_p), self._primed([prompt]), _seeds(random_state, 1)
        )  # fmt: skip
        return drawn_pieces(drawn, self.vocabulary_, start, length, seed, _stops(stop))

    def search(
        self,
        prompt: str = "",
        length: int = 200,
        beam_width: int = BEAMS,
        n_best: int | None = None,
        length_penalty: float = 0.0,
        stop: str | None = None,
    ) -> list[Generation]:
        """The likeliest texts that a beam search finds after a prompt, best first.

        Parameters
        ----------
        prompt, length, beam_width, length_penalty, stop
            As in :meth:`generate`.
        n_best : int, at most ``beam_width``, optional
            How many of them; all if None.

        Returns
        -------
        list of Generation
            Those that ended with ``stop`` come first.
        """
        check_count("length", length)
        check_count("beam_width", beam_width)
        check_count("n_best", n_best, others=(None,))
        if n_best is not None and n_best > beam_width:
            raise ValueError(f"n_best={n_best} is more than beam_width={beam_width}: widen the search.")
        start, beam = self._primed([prompt]), self._beam(beam_width, length, length_penalty, _stops(stop))
        return searched_texts(beam, self.vocabulary_, start, length)[0][:n_best]

    def _drawn(self, strategy: str, temperature: float, top_k: int | None, top_p: float | None) -> Drawn:
        """The network, read through a draw."""
        return Drawn(self.network_, DecodingStrategy(strategy, temperature, top_k, top_p, unwritten(self.vocabulary_)))

    def _beam(self, width: int, length: int, length_penalty: float, stops: Sequence[str]) -> Beam:
        """The network on several beginnings at once."""
        numbers = self.vocabulary_.encode(stops[0]) if len(stops) == 1 else np.empty(0, np.int64)
        if stops and len(numbers) != 1:
            raise ValueError(f"stop={stops!r}: a beam search ends at one {self.unit}, such as stop='\\n'.")
        end = int(numbers[0]) if stops else None
        return Beam(self.network_, width, end, length_penalty, length, unwritten(self.vocabulary_))

    def _primed(self, prompts: Iterable[str]) -> Primed:
        """The network after the prompts."""
        self._check()
        texts = list(prompts) if isinstance(prompts, Iterable) and not isinstance(prompts, bytes) else [prompts]
        if not texts:
            raise ValueError("prompt holds no text: give one at least, which may be empty.")
        for text in texts:
            if not isinstance(text, str):
                raise ValueError(f"prompt is {text!r:.60}, expected a text, or a list of texts.")
        with torch.inference_mode():
            return primed(self.network_, [self.vocabulary_.encode(text) for text in texts], len(self.vocabulary_))


def _is_encoding(name: Any) -> bool:
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, TypeError):
        return False


def _stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """The texts that end a text."""
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(isinstance(text, str) and text for text in stops):
        raise ValueError(f"stop is {stop!r}, expected a text of a symbol or more, or several.")
    return stops


def _seeds(random_state: Any, count: int) -> list[int]:
    """A seed for every sequence: the first is the same however many there are."""
    if isinstance(random_state, list | tuple | np.ndarray):
        seeds = list(random_state)
        if len(seeds) != count or not all(is_int(seed) for seed in seeds):
            raise ValueError(f"random_state holds {len(seeds)} seeds for {count} prompts: give one int for each.")
        return [int(seed) for seed in seeds]
    if random_state is None:
        return np.random.default_rng().integers(2**31, size=count).tolist()
    return [int(seed) for seed in check_random_state(random_state).randint(2**31 - 1, size=count)]
