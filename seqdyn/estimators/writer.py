"""Estimators that write sentences about what they are given: what a translator and a captioner share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Attending
from seqdyn.checks import check_count
from seqdyn.composition import Embedding
from seqdyn.data.text import Vocabulary
from seqdyn.dynamics.driven import Driven, StepErrors, unpadded
from seqdyn.estimators.batched_prediction import map_by_length
from seqdyn.estimators.decoders import DecoderPlan
from seqdyn.estimators.documented import documented
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.estimators.parameters import (
    Rule,
    accepted,
    at_least,
    check_parameters,
    non_negative,
    one_of,
    optional,
    share,
)
from seqdyn.estimators.symbols import SYMBOL_RULES, SymbolLayers
from seqdyn.scores import SCORES
from seqdyn.sentences import SENTENCES_AT_ONCE, Sentence, SentencePredictor, sentence_numbers, spaced
from seqdyn.state import hold
from seqdyn.teacher_forcing import as_teacher_forcing
from seqdyn.training.batches import Padded, Rows
from seqdyn.training.checkpoint import digest
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.objective import Objective
from seqdyn.training.pairs import Forced, Pairs, shift_right
from seqdyn.training.reinforce import Reinforce

WRITER_RULES: dict[str, Rule] = SYMBOL_RULES | {
    "attention": one_of(*SCORES, "multi_head", "hard", None),
    "hidden_size": at_least(1),
    "decoder_layers": optional(at_least(1)),
    "heads": at_least(1),
    "context": one_of("output", "input", None),
    "input_feeding": one_of(False, True),
    "hard_training": one_of("marginal", "reinforce"),
    "teacher_forcing": accepted(as_teacher_forcing, "a share, the name of a schedule, or a TeacherForcing"),
    "lowercase": one_of(False, True),
    "smoothing": share(zero=True),
    "beam_width": at_least(1),
    "length_penalty": non_negative(),
    "coverage_penalty": non_negative(),
    "max_length": optional(at_least(1)),
}
"""What the parameters of a writer must be."""


@documented(SymbolLayers)
@dataclass(kw_only=True, repr=False, eq=False)
class Writer(NetworkEstimator):
    """An encoder of anything, and a decoder that writes a sentence about it, symbol by symbol until the end mark.

    A subclass turns sources into tensors (time, …), of which the encoder makes one or more rows of the decoder's
    memory, and builds the encoder.

    Parameters
    ----------
    attention : {"general", "additive", "dot", "scaled_dot", "multi_head", "hard"} or None
        How the decoder looks at its source, see :mod:`seqdyn.scores`. ``"hard"`` looks at one place at a time, see
        :class:`~seqdyn.cells.hard_attention.HardAttention`.
    residual : bool
        Add a layer's input to its output where the widths agree.
    num_layers : int
        Layers of the encoder, if it has any.
    decoder_layers : int, optional
        Layers of the decoder; ``num_layers`` if None. With ``context="output"`` and soft attention those above the
        first see c_t besides what comes from below.
    hidden_size : int
        Width of every layer.
    embedding_size : int
        Width of the vectors of symbols, and of what scores are read from.
    heads : int
        Of ``"multi_head"``.
    context : {"output", "input"}
        Where c_t goes: behind the recurrence (Luong), or into it, where the state before the step asks (Bahdanau):
        s_t = f([E y_{t-1}; c_t], s_{t-1}). The decoder is then run step by step, which is slower.
    input_feeding : bool
        With ``context="output"``, let the recurrence see what was attended to before; step by step, too.
    hard_training : {"marginal", "reinforce"}
        How ``"hard"`` attention is trained: by the exact likelihood, or by looking at random, with a learnt baseline.
    teacher_forcing : float, {"constant", "linear", "exponential", "inverse_sigmoid"} or TeacherForcing
        How many steps of a training see the true symbol before: a share, or how it falls along the training.
    lowercase : bool
        Read all sentences in lower case.
    smoothing : float in [0, 1)
        Label smoothing of the loss.
    dropout : float in [0, 1)
        Share dropped in training of the vectors, behind every layer, and of what scores are read from; one mask a
        sentence.
    beam_width : int
        Beams of ``predict``.
    length_penalty, coverage_penalty : float, at least 0
        α and β of the score of a sentence, see :class:`~seqdyn.sentences.SentencePredictor`.
    max_length : int, optional
        Symbols a sentence may have; twice the longest of the training if None.
    batch_size : int
        Examples in a step; those of like lengths together.

    Attributes
    ----------
    vocabulary_ : Vocabulary
        Of the sentences.
    longest_ : int
        Symbols a sentence may have, unless ``max_length`` is given.
    """

    unit: str = "word"
    cell: Any = SymbolLayers.cell
    vocabulary_size: int | None = SymbolLayers.vocabulary_size
    min_count: int = SymbolLayers.min_count
    attention: Any = "general"
    residual: bool = True
    num_layers: int = 1
    decoder_layers: int | None = None
    hidden_size: int = 256
    embedding_size: int = 256
    heads: int = 4
    context: str | None = "output"
    input_feeding: bool = False
    hard_training: str = "marginal"
    teacher_forcing: Any = 1.0
    lowercase: bool = False
    smoothing: float = 0.1
    dropout: float = 0.2
    beam_width: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    max_length: int | None = None
    batch_size: int = 64
    learning_rate: float = 2e-3
    schedule: Any = "warmup_cosine"

    # ---------------------------------------------------------------- fitting

    def _check_parameters(self, rules: dict[str, Rule]) -> None:
        """Raise if parameters are not what they must be, or do not go together."""
        check_parameters(self, rules)
        if (self.context == "input") + self.input_feeding + (self.attention == "hard") > 1:
            raise ValueError(
                'context="input" feeds the context itself, input_feeding=True what was made of it, and '
                'attention="hard" feeds nothing back: choose one.'
            )
        forcing = as_teacher_forcing(self.teacher_forcing)
        if forcing.alpha < 1 or (self.hard_training == "reinforce" and not forcing.is_full):
            raise ValueError(
                f"teacher_forcing={self.teacher_forcing!r}: symbols cannot be mixed, so alpha has to be 1, and "
                'hard_training="reinforce" sees every true symbol: leave it at 1.0.'
            )

    def _learn_targets(self, texts: list[str]) -> list[Tensor]:
        """Learn the vocabulary of the sentences to be written, and return their numbers."""
        used = self._training_count(len(texts))
        self.vocabulary_ = self._vocabulary(texts[:used], True)
        numbers = [self._with_end(text) for text in texts]
        self.longest_ = 2 * max(map(len, numbers[:used]))
        return [self._tokens(row) for row in numbers]

    def _train_pairs(self, x: list[Tensor], y: list[Tensor], generator: torch.Generator) -> None:
        """Train on sources and the sentences about them."""
        used, symbols = self._training_count(len(x)), len(self.vocabulary_)
        batches = Pairs(Rows.of(x[:used]), Rows.of(y[:used]), self.batch_size)
        held_out = Pairs(Rows.of(x[used:]), Rows.of(y[used:]), SENTENCES_AT_ONCE) if self.early_stopping else None
        objectives = self._objective(generator), Forced(CrossEntropy(symbols), symbols)
        harder = as_teacher_forcing(self.teacher_forcing).gets_harder
        self._train(batches, held_out, objectives, generator, lambda: digest(*x, *y), harder)

    def _objective(self, generator: torch.Generator) -> Objective:
        """What a step minimises."""
        head, begin = CrossEntropy(len(self.vocabulary_), self.smoothing), len(self.vocabulary_)
        if self.attention == "hard" and self.hard_training == "reinforce":
            objective = Reinforce(head, begin, self.hidden_size, generator)
            return objective.to(self.optimisation.place, self.optimisation.precision)
        return Forced(head, begin, as_teacher_forcing(self.teacher_forcing))

    def _decoder(self, memory_size: int, symbols: int, generator: torch.Generator) -> Embedding:
        """From the token before, and what is looked at, to the scores of the next one."""
        layers = self.decoder_layers or self.num_layers
        context = self.context or ("output" if self.input_feeding else "input")
        own = self.get_params(deep=False) | {"layers": layers, "context": context}
        plan = DecoderPlan(**{field.name: own[field.name] for field in fields(DecoderPlan)})
        return plan.build(SymbolLayers.of(vars(self)).layer(generator), memory_size, symbols, generator)

    def _with_end(self, text: str) -> list[int]:
        """The numbers of a sentence to be written, with the end mark."""
        return [*sentence_numbers(self.vocabulary_, self._case(text)), self.vocabulary_.mark("end")]

    def _vocabulary(self, texts: list[str], target: bool) -> Vocabulary:
        """The symbols of one side, with the marks that it needs."""
        unknown = () if self.unit == "subword" else ("unknown",)
        marks = (*unknown, *(("end",) if target else ()))
        return SymbolLayers.of(vars(self)).vocabulary([spaced(self._case(text), self.unit) for text in texts], marks)

    # ---------------------------------------------------------------- sentences

    @property
    def predictor_(self) -> SentencePredictor:
        """The fitted network with the vocabulary of its targets."""
        self._check_fitted()
        return SentencePredictor(self.network_, self.vocabulary_, self.max_length or self.longest_)

    @torch.no_grad()
    def _driven(self, pairs: Pairs) -> Driven:
        """The decoder as it writes sentences, each from the state and on the memory that its source leads to."""
        batch = next(iter(pairs.epoch(torch.Generator())))
        target, there = batch.y
        memory, states = self.network_.encode(batch.x, batch.mask)
        given = Attending(shift_right(len(self.vocabulary_), target), hold(memory, target.shape[1]))
        rows = Rows.of(*(unpadded(tree, there) for tree in (given, target.unsqueeze(2))))
        errors = StepErrors(CrossEntropy(len(self.vocabulary_)).loss, "−ln p of every symbol")
        return Driven(self.network_.decoder, rows, errors, states=states, estimator=self)

    def _search(self, x: list[Tensor], n_best: int | None) -> list[list[Sentence]]:
        """The likeliest sentences about sources, best first."""
        check_count("n_best", n_best, others=(None,))
        check_count("beam_width", self.beam_width)
        if n_best is not None and n_best > self.beam_width:
            raise ValueError(f"n_best={n_best} is more than beam_width={self.beam_width}: widen the search.")
        predictor, options = self.predictor_, (self.beam_width, self.length_penalty, self.coverage_penalty)

        def search(_: list[int], padded: Padded) -> list[list[Sentence]]:
            return [row[:n_best] for row in predictor.search(padded, *options)]

        return map_by_length(x, search, "search", self.verbose)

    def _log_probabilities(self, x: list[Tensor], y: list[Tensor]) -> list[Array]:
        """ln p of every symbol of sentences about sources."""
        predictor = self.predictor_

        def score(numbers: list[int], padded: Padded) -> list[Array]:
            return predictor.log_probabilities(padded, [y[number] for number in numbers])

        return map_by_length(x, score, "score", self.verbose)

    def _case(self, text: str) -> str:
        return text.lower() if self.lowercase else text


def as_sentences(texts: Any, name: str) -> list[str]:
    """Sentences as a list, none of them empty."""
    if isinstance(texts, str):
        raise ValueError(f"{name} is one text, {texts[:40]!r}: give a list of sentences, such as [text].")
    if hasattr(texts, "columns") or isinstance(texts, dict) or getattr(texts, "ndim", 1) != 1:
        raise ValueError(f"{name} is a {type(texts).__name__} of shape {np.shape(texts)}: give a list or one column.")
    found = list(texts)
    if not found:
        raise ValueError(f"{name} holds no sentence: give one at least.")
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise ValueError(f"Sentence {number} of {name} is {text!r:.60}, expected a str.")
        if not text.strip():
            raise ValueError(f"Sentence {number} of {name} is empty: leave the pair out.")
    return found
