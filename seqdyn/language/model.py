"""Language models: the next symbol of a text from all those before it, by any cell."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.codecs import ClassTargets, Codec, SymbolInputs
from seqdyn.composition import Embedding, Readout, Residual, Stack
from seqdyn.data.text import TextSource, Vocabulary, check_symbols, encode_corpus, pieces
from seqdyn.decoding import Drawn
from seqdyn.decoding_strategy import DecodingStrategy
from seqdyn.dynamics.driven import Driven, StepErrors
from seqdyn.estimators.documented import documented
from seqdyn.estimators.layers import Layers, widths_of
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.estimators.parameters import Rule, at_least, check_parameters, one_of, optional, share, unchanged_on_error
from seqdyn.estimators.symbols import BUILT_CELL, SYMBOL_RULES, SymbolLayers, vocabulary_text
from seqdyn.language.figures import text_figure
from seqdyn.language.generation import (
    BEAMS,
    Generation,
    draw_pieces,
    mark_numbers,
    prime,
    search_texts,
    stop_texts,
    text_beam,
    text_seeds,
)
from seqdyn.language.generation import generate as generate_text
from seqdyn.language.scoring import NO_SYMBOL, ScoredPiece, SymbolScorer, TextTotals, score_pieces
from seqdyn.predictor import Predictor
from seqdyn.progress import track
from seqdyn.stream import Stream
from seqdyn.training.batches import Rows
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.objective import Supervised
from seqdyn.training.pairs import shift_right
from seqdyn.training.stopping import NonFiniteError
from seqdyn.training.streams import TokenStreams

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _is_encoding(name: Any) -> bool:
    try:
        "".encode(name)
    except (LookupError, TypeError, ValueError):
        return False
    return True


LANGUAGE_MODEL_RULES: dict[str, Rule] = SYMBOL_RULES | {
    "cell": BUILT_CELL,
    "embedding_size": optional(at_least(1)),
    "tied": one_of(False, True),
    "embedding_dropout": share(zero=True),
    "bptt_length": at_least(1),
    "encoding": (_is_encoding, "the name of an encoding"),
}
"""What the parameters of a language model must be."""


@documented(SymbolLayers, Layers)
@dataclass(kw_only=True, repr=False, eq=False)
class LanguageModel(NetworkEstimator):
    """The probability of every next symbol of a text, given all before it: p(s_t | s_1 … s_{t-1}) = softmax(y_t).

        x_t = E_{s_{t-1}},   y_t, h_t = f(x_t, h_{t-1}),   loss = −(1/N) Σ ln p(s_t | s_1 … s_{t-1})

    A symbol is a character, a word or a sub-word. Before the first one stands a token of its own, so that every symbol
    of a text is scored, and a model can write without a prompt. It is trained by truncated backpropagation through
    time: the corpus lies on parallel streams, which are walked in chunks, and the state is carried on without end.

    Parameters
    ----------
    cell : {"lstm", "gru", "elman"}, callable or Cell
        Every layer; or a class called as ``cell(input_size, hidden_size)`` for each, or one built cell.
    embedding_size : int, optional
        Width of the vectors E of symbols; None: 64, or with ``tied`` that of the top layer.
    tied : bool
        Score symbols by their own vectors: y_t = E o_t + b.
    dropout, embedding_dropout : float in [0, 1)
        Share of every layer's outputs, and of the vectors' entries, dropped in training. A mask is drawn once a chunk
        and stream, and held in time (locked dropout).
    min_count : int, at least 1
        Keep symbols that appear at least this often. With 2 or more, or with ``vocabulary_size``, there is a mark for
        unknown symbols; else a text with a symbol that the corpus does not have is an error.
    encoding : str
        Of files; ``"utf-8-sig"`` leaves out a byte-order mark, which is else the first symbol.
    bptt_length, streams : int
        k, the symbols the gradient goes back, and the streams side by side; fewer where a short corpus would not fill
        a chunk of each.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without any: 20 epochs, or as many as 1,000 steps take.
    early_stopping, validation_fraction : bool, float in (0, 1)
        Hold the end of the corpus out, watch the loss there, and restore the best weights. Otherwise the training loss
        is watched.

    Attributes
    ----------
    vocabulary_ : Vocabulary
    network_ : Cell
        From tokens to scores.
    history_ : DataFrame
        One row an epoch: epoch, loss (nats a symbol), validation_loss, gradient_norm, and more, see
        :class:`~seqdyn.estimators.network_estimator.NetworkEstimator`.

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

    _learnt: ClassVar[tuple[str, ...]] = ("vocabulary_",)
    _budget: ClassVar[tuple[int, int]] = 20, 1000

    unit: str = SymbolLayers.unit
    cell: Any = SymbolLayers.cell
    vocabulary_size: int | None = SymbolLayers.vocabulary_size
    min_count: int = SymbolLayers.min_count
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

    def fit(self, corpus: TextSource, y: None = None) -> Self:
        """Train on a corpus.

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
            check_parameters(self, LANGUAGE_MODEL_RULES)
            if isinstance(corpus, Iterator):
                corpus = list(corpus)  # it is read twice
            marks = ("unknown",) if SymbolLayers.of(vars(self)).drops_symbols else ()
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
        generator = self.optimisation.generator()
        self.vocabulary_ = vocabulary
        self._begin(generator)
        objective, begin = Supervised(CrossEntropy(len(vocabulary))), len(vocabulary)
        streams = max(1, min(self.streams, train // self.bptt_length))
        device = self.optimisation.place
        batches = TokenStreams(tokens[:train], streams, self.bptt_length, begin, device)
        held_out = TokenStreams(tokens[train:], 1, 1024, begin, device) if self.early_stopping else None
        self._train(batches, held_out, (objective, objective), generator, batches.digest)

    def _build(self, generator: torch.Generator) -> Cell:
        """From tokens, the beginning of a text as the last, to the scores of symbols."""
        symbols, widths = len(self.vocabulary_), widths_of(self.hidden_size, self.num_layers, self.cell)
        below = self.embedding_size or (widths[-1] if self.tied else 64)
        layers, build = list[Cell](), SymbolLayers.of(vars(self)).layer(generator)
        for hidden in widths:
            layer = build(below, hidden)
            layers.append(Residual(layer) if self.residual and layer.output_size == below else layer)
            below = layer.output_size
        stack = layers[0] if len(layers) == 1 and not self.dropout else Stack(layers, self.dropout)
        inner = stack if self.tied else Readout(stack, symbols, generator=generator)
        return Embedding(inner, symbols + 1, generator, self.embedding_dropout, symbols if self.tied else None)

    def _facts(self) -> dict[str, object]:
        return {"vocabulary": vocabulary_text(self.vocabulary_)}

    # ---------------------------------------------------------------- fitted attributes

    @property
    def predictor_(self) -> Predictor:
        """The fitted network between text and probabilities."""
        self._check_fitted()
        symbols = len(self.vocabulary_)
        targets = ClassTargets(np.array(self.vocabulary_.labels, dtype=object), CrossEntropy(symbols))
        codec = Codec(SymbolInputs(self.vocabulary_, symbols), targets)
        return Predictor(self.network_, codec, flat=True, first=symbols)

    @property
    def embedding_(self) -> Array:
        """The learnt vectors, (symbols, embedding_size), in the order of ``vocabulary_.labels``."""
        self._check_fitted()
        table = cast(Embedding, self.network_).weight[:-1]
        return np.asarray(table.detach().cpu())

    def nearest(self, symbol: str, n: int = 5) -> list[tuple[str, float]]:
        """The symbols with the most similar vectors, each with the cosine of the angle, the most similar first.

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
        self._check_fitted()
        numbers = self.vocabulary_.encode(text) if isinstance(text, str) else check_symbols(text, len(self.vocabulary_))
        if not len(numbers):
            raise ValueError(NO_SYMBOL)
        return SymbolScorer(self.network_, len(self.vocabulary_)).log_probabilities(numbers)

    def score(self, corpus: TextSource, y: None = None) -> float:
        """The mean log-likelihood of a symbol, in nats: higher is better.

        Parameters
        ----------
        corpus : str, path, or iterable of paths
        y : None
        """
        return TextTotals.of(self._scored(corpus), self.vocabulary_).mean

    def evaluate(self, corpus: TextSource) -> dict[str, float]:
        """Measure how well a text is predicted.

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
        return TextTotals.of(self._scored(corpus), self.vocabulary_).figures()

    def _scored(self, corpus: TextSource) -> Iterator[ScoredPiece]:
        """ln p of the symbols of a corpus, piece by piece."""
        self._check_fitted()
        verbose = 0 if isinstance(corpus, str) else self.verbose
        parts = track(pieces(corpus, self.vocabulary_.unit, self.encoding), "evaluate", "piece", verbose=verbose)
        return score_pieces(self.network_, self.vocabulary_, parts)

    def rows(self, text: str) -> Rows:
        """A text as the network is trained on it: tokens (time,), each with the next one as its target."""
        numbers = torch.as_tensor(self.vocabulary_.encode(text), device=self.network_.zeros(1).device)
        if not len(numbers):
            raise ValueError(NO_SYMBOL)
        return Rows.of([shift_right(len(self.vocabulary_), numbers)], [numbers[:, None]])

    def driven_by(self, text: Any, y: None = None) -> Driven:
        """The network driven by a text, and the errors −ln p of its symbols, for reports.

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
        errors = StepErrors(predictor.codec.targets.head.loss, "−ln p of every symbol")
        return Driven(predictor.causal("stability_report"), self.rows(text), errors, estimator=self)

    def stream(self) -> Stream:
        """A stream that takes a text symbol by symbol: ``push(symbol)`` returns the likeliest next one.

        ``stream.probabilities()`` are those of every symbol, in the order of ``vocabulary_.labels``; before the first
        push they are those of a first symbol. ``fork()`` goes on twice from the middle of a sentence.
        """
        return self.predictor_.stream()

    def plot(self, text: str) -> Figure:
        """Plot the network over a text: one-hot inputs, states, and the probabilities of the next symbol.

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
            raise ValueError(NO_SYMBOL)
        return text_figure(self.network_, numbers, self.vocabulary_.labels)

    # ---------------------------------------------------------------- writing

    generate = generate_text

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
        """Continue a text piece by piece, as it is drawn; joined, the pieces are what :meth:`generate` returns.

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
            raise ValueError(f"prompt is {prompt!r:.60}, expected one text: give several to generate.")
        check_count("length", length)
        network, (seed,) = self.predictor_.causal("generate"), text_seeds(random_state, 1)
        drawn = Drawn(network, DecodingStrategy(strategy, temperature, top_k, top_p, mark_numbers(self.vocabulary_)))
        start = prime(network, self.vocabulary_, [prompt])
        return draw_pieces(drawn, self.vocabulary_, start, length, seed, stop_texts(stop))

    def search(
        self,
        prompt: str = "",
        length: int = 200,
        beam_width: int = BEAMS,
        n_best: int | None = None,
        length_penalty: float = 0.0,
        stop: str | None = None,
    ) -> list[Generation]:
        """Search for the likeliest continuations of a prompt with a beam search, best first.

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
        network, stops = self.predictor_.causal("search"), stop_texts(stop)
        start = prime(network, self.vocabulary_, [prompt])
        beam = text_beam(network, self.vocabulary_, beam_width, length, length_penalty, stops)
        return search_texts(beam, self.vocabulary_, start, length)[0][:n_best]
