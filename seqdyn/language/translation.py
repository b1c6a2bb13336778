"""Translators: from a sentence to a sentence, by an encoder, attention and a decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
import xarray
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.composition import Embedding, Identity
from seqdyn.dynamics.driven import Driven
from seqdyn.encoder import Encoder
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.estimators.autoencoder import SequenceAutoencoder
from seqdyn.estimators.documented import documented
from seqdyn.estimators.layers import directed, widths_of
from seqdyn.estimators.parameters import Rule, instance_of, one_of, optional, unchanged_on_error
from seqdyn.estimators.pretraining import copy_layers, pretraining_clone
from seqdyn.estimators.symbols import SymbolLayers, vocabulary_text
from seqdyn.estimators.writer import WRITER_RULES, Writer, as_sentences
from seqdyn.language.figures import attention_figure
from seqdyn.sentences import Sentence, padded_rows, sentence_numbers, spaced
from seqdyn.training.batches import Rows
from seqdyn.training.pairs import Pairs
from seqdyn.training.stopping import NonFiniteError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Languages = str | Sequence[str] | None

TRANSLATOR_RULES: dict[str, Rule] = WRITER_RULES | {
    "context": one_of("output", "input"),
    "pretraining": optional(instance_of(SequenceAutoencoder, "a SequenceAutoencoder")),
}
"""What the parameters of a translator must be."""


@documented(SymbolLayers)
@dataclass(kw_only=True, repr=False, eq=False)
class Translator(Writer):
    """The probability of a target sentence, given its source: p(y | x) = ∏ p(y_t | y_1 … y_{t-1}, x).

        h_1 … h_S, s = encoder(x)                          one direction or both
        s_t = f(E y_{t-1}, s_{t-1}),   s_0 from s
        c_t = Σ_j α_tj h_j,   α_t = softmax_j(score(s_t, h_j))
        p(y_t) = softmax(E tanh(W_c [s_t; c_t]) + b)       the last symbol is the end mark

    Parameters
    ----------
    attention : {"general", "additive", "dot", "scaled_dot", "multi_head", "hard"} or None
        How the decoder looks at its source, see :mod:`seqdyn.scores`. ``"hard"`` looks at one place at a time, see
        :class:`~seqdyn.cells.hard_attention.HardAttention`. None: it sees one summary of the source, at every step.
    bidirectional : {True, False, "first"}
        Whether every layer of the encoder reads both directions, none, or the first.
    num_layers : int
        Layers of the encoder.
    pretraining : SequenceAutoencoder, optional
        A clone of it is fitted on the sources first; its vocabulary is taken, and its layers are where the encoder
        begins.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without any: 10 epochs, or as many as 1,000 steps take.

    Attributes
    ----------
    vocabulary_, source_vocabulary_ : Vocabulary
        Of targets, and of sources.
    languages_ : tuple of str
        Those that were given to ``fit``.
    network_ : EncoderDecoder
    longest_ : int
        Symbols a translation may have, unless ``max_length`` is given.
    history_ : DataFrame

    References
    ----------
    Sutskever, Vinyals & Le (2014); Bahdanau, Cho & Bengio (2015); Luong, Pham & Manning (2015); Wu et al. (2016);
    Johnson et al. (2017), Google's multilingual neural machine translation system (a mark for the language).

    Examples
    --------
    >>> model = Translator(unit="word", hidden_size=16, embedding_size=16, max_steps=150, learning_rate=0.02,
    ...                    random_state=0)
    >>> model = model.fit(["ein Hund", "eine Katze"] * 8, ["a dog", "a cat"] * 8)
    >>> model.predict(["eine Katze", "ein Hund"])
    ['a cat', 'a dog']
    """

    _learnt: ClassVar[tuple[str, ...]] = ("vocabulary_", "source_vocabulary_", "languages_", "longest_")
    _budget: ClassVar[tuple[int, int]] = 10, 1000

    unit: str = "subword"
    attention: Any = "general"
    bidirectional: Any = True
    num_layers: int = 1
    pretraining: Any = None

    @classmethod
    def google(cls, **parameters: Any) -> Self:
        """Build Google's network: a bidirectional first layer, residual layers above, and a decoder of several layers.

        Parameters
        ----------
        **parameters
            Others than those of the preset: ``num_layers=4, bidirectional="first", residual=True,
            attention="additive"``.
        """
        preset: dict[str, Any] = {"num_layers": 4, "bidirectional": "first", "residual": True, "attention": "additive"}
        return cls(**(preset | parameters))

    # ---------------------------------------------------------------- fitting

    def fit(self, sources: Sequence[str], targets: Sequence[str], languages: Languages = None) -> Self:
        """Train on pairs of sentences.

        Parameters
        ----------
        sources, targets : sequence of str
        languages : str, or sequence of str, optional
            The language of every target, or of all: it becomes a mark before the source, and one model serves them all.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are not as many sources as targets, a sentence is empty, or parameters do not fit.
        NonFiniteError
            If loss or gradient explode; the model keeps the last good weights.
        """
        with unchanged_on_error(self, but=NonFiniteError):
            self._check_parameters(TRANSLATOR_RULES)
            self._learn(as_sentences(sources, "sources"), as_sentences(targets, "targets"), languages)
        return self

    def _learn(self, sources: list[str], targets: list[str], languages: Languages) -> None:
        if len(sources) != len(targets):
            raise ValueError(f"{len(sources)} sources stand beside {len(targets)} targets: give pairs.")
        marked = None if languages is None else _language_list(languages, len(targets), "languages")
        used = self._training_count(len(targets))
        known = None if self.pretraining is None else self._pretrained(sources[:used])
        y = self._learn_targets(targets)
        self.source_vocabulary_ = self._vocabulary(sources[:used], False) if known is None else known.vocabulary_
        self.languages_ = tuple(sorted(set(marked or ())))
        generator = self.optimisation.generator()
        self._begin(generator)
        if known is not None:
            copy_layers(self.network_.encoder, known.network_.encoder)
        self._train_pairs(self._sources(sources, marked), y, generator)

    def _pretrained(self, sources: list[str]) -> Any:
        """An autoencoder of the sources."""
        model = pretraining_clone(self.pretraining, self.unit, "translator", self.random_state)
        return model.fit([spaced(self._case(text), self.unit) for text in sources])

    def _build(self, generator: torch.Generator) -> EncoderDecoder:
        encoder = self._encoder(len(self.source_vocabulary_) + len(self.languages_), generator)
        decoder = self._decoder(encoder.output_size, len(self.vocabulary_), generator)
        return EncoderDecoder(encoder, decoder, self.attention is None, generator)

    def _facts(self) -> dict[str, object]:
        facts = {"source": vocabulary_text(self.source_vocabulary_), "target": vocabulary_text(self.vocabulary_)}
        return facts | ({"languages": self.languages_} if self.languages_ else {})

    def _encoder(self, symbols: int, generator: torch.Generator) -> Encoder:
        """From tokens to the rows that the decoder looks at."""
        vectors = Embedding(Identity(self.embedding_size), symbols, generator, self.dropout)
        widths = widths_of(self.hidden_size, self.num_layers, self.cell)
        layer = SymbolLayers.of(vars(self)).layer(generator)
        layers, below = directed(layer, self.embedding_size, widths, self.bidirectional)
        matched = self.hidden_size if self.attention in ("dot", "scaled_dot") and below != self.hidden_size else None
        return Encoder([vectors, *layers], self.residual, self.dropout, matched, generator)

    # ---------------------------------------------------------------- predicting

    def predict(self, sentences: Sequence[str], language: Languages = None) -> list[str]:
        """Translate sentences with a beam search.

        A sentence longer than any of the training is translated, too, though only ``longest_`` symbols of it.

        Parameters
        ----------
        sentences : sequence of str
        language : str, or sequence of str, optional
            Into which language, where ``fit`` was given several.

        Raises
        ------
        ValueError
            If a sentence is empty, or a language unknown.
        """
        return [found[0].text for found in self.search(sentences, 1, language)]

    def search(
        self, sentences: Sequence[str], n_best: int | None = None, language: Languages = None
    ) -> list[list[Sentence]]:
        """The likeliest translations of every sentence, best first.

        Parameters
        ----------
        sentences : sequence of str
        n_best : int, at most ``beam_width``, optional
            How many; all if None.
        language : str, or sequence of str, optional

        Returns
        -------
        list of lists of Sentence
        """
        return self._search(self.sources(sentences, language), n_best)

    def log_probabilities(
        self, sources: Sequence[str], targets: Sequence[str], language: Languages = None
    ) -> list[Array]:
        """ln p of every symbol of each target, the end mark the last: arrays (symbols,)."""
        return self._log_probabilities(*self._pairs(sources, targets, language))

    def score(self, sources: Sequence[str], targets: Sequence[str], language: Languages = None) -> float:
        """BLEU of the predictions, from 0 to 100, by sacrebleu; see :meth:`evaluate` for its signature."""
        return float(self.evaluate(sources, targets, language)["bleu"])

    def evaluate(self, sources: Sequence[str], targets: Sequence[str], language: Languages = None) -> dict[str, Any]:
        """Measure how well sentences are translated, and how likely the true translations are.

        Returns
        -------
        dict
            ``bleu`` of the sentences as they are written (with ``lowercase`` in lower case), and its ``signature``;
            ``exact``, the share of sentences that are right to the letter; ``nats_per_symbol`` of the true targets,
            with the end; ``symbols_scored``.
        """
        metric = _bleu(self.lowercase)
        targets = [spaced(self._case(text), self.unit).removeprefix(" ") for text in as_sentences(targets, "targets")]
        log_p = np.concatenate(self.log_probabilities(sources, targets, language))
        predicted = self.predict(sources, language)
        exact = float(np.mean([one == other for one, other in zip(predicted, targets, strict=True)]))
        return {
            "bleu": float(metric.corpus_score(predicted, [targets]).score),
            "signature": str(metric.get_signature()),
            "exact": exact,
            "nats_per_symbol": -float(log_p.mean()),
            "symbols_scored": len(log_p),
        }

    def attention_weights(
        self, source: str, target: str | None = None, language: str | None = None
    ) -> xarray.DataArray:
        """Attention weights of every symbol of a target, (target, source).

        Parameters
        ----------
        source : str
        target : str, optional
            The best translation if None.
        language : str, optional
        """
        (x,) = self.sources([source], language)
        if target is None:
            symbols = list(self.search([source], 1, language)[0][0].symbols)
        else:
            symbols = self._with_end(as_sentences([target], "target")[0])
        (alpha,) = self.predictor_.weights(padded_rows([x]), [torch.tensor(symbols, device=x.device)])
        labels = (*self.source_vocabulary_.labels, *(f"⟨{name}⟩" for name in self.languages_))
        seen = ["⟨summary⟩"] if self.attention is None else [labels[number] for number in x.tolist()]
        return xarray.DataArray(
            alpha,
            dims=("target", "source"),
            coords={"target": [self.vocabulary_.labels[number] for number in symbols], "source": seen},
            name="attention",
        )

    def plot_attention(self, source: str, target: str | None = None, language: str | None = None) -> Figure:
        """Plot the attention weights, one row a symbol of the target; see :meth:`attention_weights`."""
        return attention_figure(self.attention_weights(source, target, language))

    # ---------------------------------------------------------------- sentences as numbers

    def _sources(self, texts: list[str], languages: list[str] | None) -> list[Tensor]:
        """Sources as numbers, with the mark of the language before them."""
        rows = [sentence_numbers(self.source_vocabulary_, self._case(text)) for text in texts]
        if languages is not None:
            unknown = sorted(set(languages) - set(self.languages_))
            if unknown:
                raise ValueError(f"language {unknown[0]!r} is none of those of the fit, {list(self.languages_)}.")
            first = len(self.source_vocabulary_)
            rows = [
                np.append(first + self.languages_.index(own), row) for own, row in zip(languages, rows, strict=True)
            ]
        return [self._tokens(row) for row in rows]

    def sources(self, sentences: Sequence[str], language: Languages = None) -> list[Tensor]:
        """Sentences as the encoder takes them: the numbers of their symbols, the mark of the language before them."""
        self._check_fitted()
        texts = as_sentences(sentences, "sentences")
        return self._sources(texts, self._asked(language, len(texts)))

    def driven_by(self, sources: Any, targets: Any = None) -> Driven:
        """The decoder driven by true translations, and the errors −ln p of their symbols, for reports.

        Parameters
        ----------
        sources, targets
            As in :meth:`fit`. Of several languages the first is taken.

        Raises
        ------
        ValueError
            If one of them is missing.
        """
        if sources is None or targets is None:
            raise ValueError("A Translator is measured on sources and targets: give both, as its fit takes them.")
        return self._driven(self.pairs(sources, targets, *self.languages_[:1]))

    def pairs(self, sources: Sequence[str], targets: Sequence[str], language: Languages = None) -> Pairs:
        """Pairs of sentences as the network is trained on them, in one batch."""
        x, y = self._pairs(sources, targets, language)
        return Pairs(Rows.of(x), Rows.of(y), len(x))

    def _asked(self, language: Languages, count: int) -> list[str] | None:
        """The language of every target."""
        if language is None:
            if self.languages_:
                raise ValueError(f"The model knows several languages, {list(self.languages_)}: give language=….")
            return None
        return _language_list(language, count, "language")

    def _pairs(
        self, sources: Sequence[str], targets: Sequence[str], language: Languages
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Sources and targets as numbers."""
        x, right = self.sources(sources, language), as_sentences(targets, "targets")
        if len(x) != len(right):
            raise ValueError(f"{len(x)} sources stand beside {len(right)} targets: give pairs.")
        return x, [self._tokens(self._with_end(text)) for text in right]


def _language_list(languages: Any, count: int, name: str) -> list[str]:
    """A language for every sentence, or one for all."""
    given = [languages] * count if isinstance(languages, str) else languages
    found = list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(one, str) for one in found):
        raise ValueError(f"{name} is {languages!r:.60}, expected a str, or one for each sentence.")
    if len(found) != count:
        raise ValueError(f"{name} holds {len(found)} for {count} sentences: give one for each, or one for all.")
    return found


def _bleu(lowercase: bool) -> Any:
    """The metric BLEU, with its signature."""
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise ImportError("BLEU needs the library sacrebleu: pip install 'seqdyn[text]'.") from None
    return BLEU(lowercase=lowercase)
