"""Estimators that write sentences about what they are given: what a translator and a captioner share."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.cell import Attending
from seqdyn.checks import check_count
from seqdyn.composition import Embedding
from seqdyn.data.text import Vocabulary
from seqdyn.dynamics.driven import Driven, Errors, unpadded
from seqdyn.estimators.built import BY_WIDTHS, OfSymbols
from seqdyn.estimators.decoders import DecoderPlan
from seqdyn.estimators.parameters import Rule, accepted, at_least, non_negative, one_of, optional, share
from seqdyn.scores import SCORES
from seqdyn.sentences import AT_ONCE, Sentence, SentencePredictor, alike, beside, read, spaced
from seqdyn.state import hold
from seqdyn.teacher_forcing import as_teacher_forcing
from seqdyn.training.batches import Rows
from seqdyn.training.pairs import Pairs
from seqdyn.training.checkpoint import digest
from seqdyn.training.pairs import Forced, shift_right
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.objective import Objective
from seqdyn.training.reinforce import Reinforce

Array = np.ndarray[Any, Any]

ATTENTIONS = (*SCORES, "multi_head", "hard", None)
"""What a decoder may look at its source by."""


@dataclass(kw_only=True, repr=False, eq=False)
class Writer(OfSymbols):
    """An encoder of anything, and a decoder that writes a sentence about it, word by word until the end mark.

    A subclass makes sources into tensors (time, …), one row of the decoder's memory a step or more, and builds the
    encoder.

    Attributes
    ----------
    vocabulary_ : Vocabulary
        Of the sentences.
    longest_ : int
        Symbols a sentence may have, unless ``max_length`` is given.
    """

    unit: str = "word"
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

    def _check_together(self) -> None:
        """Raise if parameters do not go together."""
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

    def _train(self, x: list[Tensor], y: list[Tensor], generator: torch.Generator) -> None:
        train = len(x) - self._held(len(x))
        batches = Pairs(Rows.of(x[:train]), Rows.of(y[:train]), self.batch_size)
        held = Pairs(Rows.of(x[train:]), Rows.of(y[train:]), AT_ONCE) if self.early_stopping else None
        plain = Forced(CrossEntropy(len(self.vocabulary_)), len(self.vocabulary_))
        objectives = self._objective(generator), plain
        harder = as_teacher_forcing(self.teacher_forcing).gets_harder
        changes = {"n_iter_no_change": math.inf} if harder else {}  # the loss rises with the task
        self._teach(batches, held, objectives, generator, lambda: digest(*x, *y), changes)

    def _objective(self, generator: torch.Generator) -> Objective:
        """What a step minimises."""
        head, begin = CrossEntropy(len(self.vocabulary_), self.smoothing), len(self.vocabulary_)
        if self.attention == "hard" and self.hard_training == "reinforce":
            objective = Reinforce(head, begin, self.hidden_size, generator)
            return objective.to(self._device, self._precision)
        return Forced(head, begin, as_teacher_forcing(self.teacher_forcing))

    def _decoder(self, memory_size: int, symbols: int, generator: torch.Generator) -> Embedding:
        """From the token before, and what is looked at, to the scores of the next one."""
        layers = self.decoder_layers or self.num_layers
        context = self.context or ("output" if self.input_feeding else "input")
        own = self.get_params(deep=False) | {"layers": layers, "context": context}
        plan = DecoderPlan(**{field.name: own[field.name] for field in fields(DecoderPlan)})
        return plan.build(self._layer(generator), memory_size, symbols, generator)

    def _ended(self, vocabulary: Vocabulary, text: str) -> list[int]:
        """The numbers of a sentence, with the end mark."""
        return [*read(vocabulary, self._case(text)), vocabulary.mark("end")]

    def _vocabulary(self, texts: list[str], target: bool) -> Vocabulary:
        """The symbols of one side, with the marks that it needs."""
        unknown = () if self.unit == "subword" else ("unknown",)
        marks = (*unknown, *(("end",) if target else ()))
        whole = [spaced(self._case(text), self.unit) for text in texts]
        return Vocabulary.of_texts(whole, self.unit, marks, self.vocabulary_size, self.min_count)

    # ---------------------------------------------------------------- sentences

    @property
    def predictor_(self) -> SentencePredictor:
        """The fitted network with the vocabulary of its targets."""
        self._check()
        return SentencePredictor(self.network_, self.vocabulary_, self.max_length or self.longest_)

    @torch.no_grad()
    def _driven(self, pairs: Pairs) -> Driven:
        """The decoder as it writes sentences, each from the state and on the memory that its source leads to."""
        batch = next(iter(pairs.epoch(torch.Generator())))
        target, there = batch.y
        memory, states = self.network_.encode(batch.x, batch.mask)
        given = Attending(shift_right(len(self.vocabulary_), target), hold(memory, target.shape[1]))
        rows = Rows.of(*(unpadded(tree, there) for tree in (given, target.unsqueeze(2))))
        errors = Errors(CrossEntropy(len(self.vocabulary_)).loss, "−ln p of every symbol")
        return Driven(self.network_.decoder, rows, errors, states=states, estimator=self)

    def _searched(self, x: list[Tensor], n_best: int | None) -> list[list[Sentence]]:
        """The likeliest sentences about sources, best first."""
        check_count("n_best", n_best, others=(None,))
        check_count("beam_width", self.beam_width)
        if n_best is not None and n_best > self.beam_width:
            raise ValueError(f"n_best={n_best} is more than beam_width={self.beam_width}: widen the search.")
        predictor, options = self.predictor_, (self.beam_width, self.length_penalty, self.coverage_penalty)
        found: list[list[Sentence]] = [[] for _ in x]
        for chosen in alike(x):
            best = predictor.search(beside([x[i] for i in chosen]), *options)
            for i, row in zip(chosen, best, strict=True):
                found[i] = row[:n_best]
        return found

    def _scored(self, x: list[Tensor], y: list[Tensor]) -> list[Array]:
        """ln p of every symbol of sentences about sources."""
        found: list[Array] = [np.empty(0)] * len(x)
        for chosen in alike(x):
            own = self.predictor_.log_probabilities(beside([x[i] for i in chosen]), [y[i] for i in chosen])
            for i, row in zip(chosen, own, strict=True):
                found[i] = row
        return found

    def _case(self, text: str) -> str:
        return text.lower() if self.lowercase else text

    # ---------------------------------------------------------------- parameters

    def _rules(self) -> dict[str, Rule]:
        return super()._rules() | {
            "attention": one_of(*ATTENTIONS),
            "cell": BY_WIDTHS,
            "hidden_size": at_least(1),
            "decoder_layers": optional(at_least(1)),
            "embedding_size": at_least(1),
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
