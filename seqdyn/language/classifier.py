"""Classifiers of texts: one label a text, or one a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils import Tags
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.codecs import ClassTargets, Codec, SymbolInputs
from seqdyn.composition import Embedding, Identity
from seqdyn.dynamics.driven import Driven, StepErrors
from seqdyn.encoder import POOLINGS, Encoder, Ensemble
from seqdyn.estimators.autoencoder import SequenceAutoencoder
from seqdyn.estimators.documented import documented
from seqdyn.estimators.layers import Layers, directed, widths_of
from seqdyn.estimators.learning import last_of_each
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.estimators.parameters import (
    Rule,
    at_least,
    check_parameters,
    instance_of,
    one_of,
    optional,
    share,
    unchanged_on_error,
)
from seqdyn.estimators.pretraining import copy_layers, copy_vectors, pretraining_clone
from seqdyn.estimators.symbols import BUILT_CELL, SYMBOL_RULES, SymbolLayers, vocabulary_text
from seqdyn.language.explanation import Explanation, occluded
from seqdyn.language.labelled_texts import Text, TextReader, as_text_labels, as_texts, text_weights
from seqdyn.language.model import LanguageModel
from seqdyn.predictor import Predictor
from seqdyn.stream import Stream
from seqdyn.training.batches import Batch, Rows, Spans
from seqdyn.training.checkpoint import digest
from seqdyn.training.forward import Annotator, run_network
from seqdyn.training.heads import Averaged, CrossEntropy, Head
from seqdyn.training.objective import Supervised
from seqdyn.training.stopping import NonFiniteError
from seqdyn.typed_bases import ClassifierMixin

TEXT_CLASSIFIER_RULES: dict[str, Rule] = SYMBOL_RULES | {
    "cell": BUILT_CELL,
    "lowercase": one_of(False, True),
    "pooling": one_of(*POOLINGS),
    "word_dropout": share(zero=True),
    "members": at_least(1),
    "pretraining": optional(
        instance_of(LanguageModel | SequenceAutoencoder, "a LanguageModel or a SequenceAutoencoder")
    ),
}
"""What the parameters of a classifier of texts must be."""


@documented(SymbolLayers, Layers)
@dataclass(kw_only=True, repr=False, eq=False)
class TextClassifier(ClassifierMixin, NetworkEstimator):
    """The probability of every class of a text, read by recurrent layers: P(y) = softmax(W pool(o_1 … o_T) + b).

        x_t = E_{s_t},   o_t, h_t = f(x_t, h_{t-1}) in one direction or both,   pool: last, mean, max or attention

    Parameters
    ----------
    unit : {"word", "character", "subword"}
        What a symbol of a text is; a list of tokens is taken as it is.
    lowercase : bool
        Read texts in lower case.
    cell : {"lstm", "gru", "elman"}, callable or Cell
        Every layer; or a class called as ``cell(input_size, hidden_size)`` for each, or one built cell.
    hidden_size : int or tuple of int
        Width of the memory of each direction; a tuple gives one a layer.
    bidirectional : {True, False, "first"}
        Whether every layer reads both directions, none, or the first.
    embedding_size : int
        Width of the vectors of symbols.
    pooling : {"attention", "last", "mean", "max"}
        How a text becomes one row, see :class:`~seqdyn.encoder.Pooling`.
    return_sequences : bool
        One label a token, rather than one a text; give scikit-learn's cross-validation ``cv=KFold(…)``, since it does
        not know how to stratify them.
    dropout : float in [0, 1)
        Share of the vectors' entries, and of every layer's outputs, dropped in training, one mask a text.
    word_dropout : float in [0, 1)
        Share of symbols that a training step sees as unknown.
    members : int
        Networks that begin differently, are trained side by side, and whose probabilities are averaged.
    pretraining : LanguageModel or SequenceAutoencoder, optional
        A clone of it is fitted on the training texts first, and its vocabulary is taken. Of a language model, which
        reads one text a line, by characters or words, the vectors are where the training begins; of an autoencoder all
        its layers. What it was fitted on before is left behind.
    batch_size : int
        Texts in a step; those of like lengths together.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without any: 3 epochs, or as many as 500 steps take;
        more of them learn small data by heart.
    early_stopping, validation_fraction : bool, float in (0, 1)
        Hold out the last texts of each class, watch the loss there, and restore the best weights. Otherwise the
        training loss is watched.

    Attributes
    ----------
    classes_ : array, shape (classes,)
    vocabulary_ : Vocabulary
    network_ : Annotator
    history_ : DataFrame
        One row an epoch, see :class:`~seqdyn.estimators.network_estimator.NetworkEstimator`.
    language_model_ : LanguageModel, SequenceAutoencoder or None
        With ``pretraining``.

    References
    ----------
    Dai & Le (2015), Semi-supervised sequence learning, for the start from a language model; Lakshminarayanan, Pritzel &
    Blundell (2017) for the average of several.

    Examples
    --------
    >>> texts = ["a good film", "good and clever", "a bad film", "bad and boring"] * 8
    >>> model = TextClassifier(hidden_size=8, max_epochs=30, random_state=0).fit(texts, [1, 1, 0, 0] * 8)
    >>> model.predict(["good", "a boring film"])
    array([1, 0])
    """

    _learnt: ClassVar[tuple[str, ...]] = ("vocabulary_", "classes_", "language_model_")
    _budget: ClassVar[tuple[int, int]] = 3, 500

    unit: str = "word"
    cell: Any = SymbolLayers.cell
    vocabulary_size: int | None = SymbolLayers.vocabulary_size
    min_count: int = SymbolLayers.min_count
    lowercase: bool = True
    hidden_size: Any = 64
    num_layers: int = 1
    bidirectional: Any = True
    residual: bool = False
    embedding_size: int = 64
    pooling: str = "attention"
    return_sequences: bool = False
    dropout: float = 0.5
    word_dropout: float = 0.1
    members: int = 3
    pretraining: Any = None
    batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 5e-3
    weight_decay: float = 1.0
    schedule: Any = "warmup_cosine"
    weight_average: float = 0.99

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Sequence[Text], y: Any, sample_weight: Any = None) -> Self:
        """Train on texts.

        Parameters
        ----------
        X : sequence of str, or of lists of str
            Texts, or their tokens.
        y : array, shape (texts,); with ``return_sequences`` a list of sequences, one label a token
        sample_weight : array, shape (texts,), optional
            What every text counts in the loss.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are not as many labels as texts (or tokens), a text is empty, there is one class only, or
            parameters do not fit; the message says where.
        NonFiniteError
            If loss or gradient explode.
        """
        with unchanged_on_error(self, but=NonFiniteError):
            check_parameters(self, TEXT_CLASSIFIER_RULES)
            self._learn(as_texts(X), y, sample_weight)
        return self

    def _learn(self, X: list[Text], y: Any, sample_weight: Any) -> None:
        """Read texts and labels, build the network, and train it."""
        model = None if self.pretraining is None else self._pretrained(X)
        reader, size = self._reader, self.vocabulary_size
        vocabulary = reader.vocabulary(X, size, self.min_count) if model is None else model.vocabulary_
        tokens = reader.symbols(X, vocabulary)
        labels = as_text_labels(y, tokens, self.return_sequences)
        classes = np.unique(np.concatenate(labels) if self.return_sequences else labels)
        if len(classes) < 2:
            raise ValueError(f"TextClassifier needs two classes or more, but y holds one: {classes.tolist()[0]!r}.")
        generator = self.optimisation.generator()
        self.vocabulary_, self.classes_, self.language_model_ = vocabulary, classes, model
        self._begin(generator)
        if isinstance(model, LanguageModel):
            copy_vectors(self.network_, torch.as_tensor(model.embedding_))
        if isinstance(model, SequenceAutoencoder):
            for encoder in (part for part in self.network_.modules() if isinstance(part, Encoder)):
                copy_layers(encoder, model.network_.encoder)
        rows = self._rows_of(tokens, labels, text_weights(sample_weight, len(tokens)))
        self._train_rows(rows, labels, generator)

    def _train_rows(self, rows: Rows, labels: Any, generator: torch.Generator) -> None:
        """Train on the texts that are not held out."""
        objective = Supervised(self._head(), prepare=self._hide if self.word_dropout else None)
        held = torch.zeros(len(rows.starts), dtype=torch.bool)
        if self.early_stopping:
            kinds = np.zeros(len(held)) if self.return_sequences else np.searchsorted(self.classes_, labels)
            held = torch.as_tensor(last_of_each(kinds, self.validation_fraction))
        batches = Spans(rows.part(rows.starts[~held], rows.lengths[~held]), self.batch_size)
        held_out = Spans(rows.part(rows.starts[held], rows.lengths[held]), 256) if bool(held.any()) else None
        parts = rows.x, rows.y, rows.weight, rows.starts
        self._train(batches, held_out, (objective, Supervised(objective.head)), generator, lambda: digest(*parts))

    def _hide(self, batch: Batch, progress: float, generator: torch.Generator) -> Batch:
        """The batch with some symbols unknown."""
        hidden = torch.rand(batch.x.shape, generator=generator).to(batch.x.device) < self.word_dropout
        return batch._replace(x=batch.x.masked_fill(hidden, self.vocabulary_.mark("unknown")))

    def _pretrained(self, X: Sequence[Text]) -> Any:
        """A language model of the texts, one a line, or an autoencoder of them."""
        model = pretraining_clone(self.pretraining, self.unit, "classifier", self.random_state)
        texts = [self._reader.prepared(text) for text in X if isinstance(text, str)]
        if len(texts) < len(X):
            raise ValueError("pretraining learns texts, but X holds lists of tokens: join them, or leave it out.")
        if isinstance(model, SequenceAutoencoder):
            return model.fit(texts)
        if self.unit == "subword" or (model.min_count == 1 and model.vocabulary_size is None):
            raise ValueError(
                "pretraining needs a mark for what is unknown: characters or words, with min_count=2 or a "
                "vocabulary_size."
            )
        return model.fit("".join(f"{text}\n" for text in texts))

    def _build(self, generator: torch.Generator) -> Annotator:
        symbols, classes = len(self.vocabulary_), len(self.classes_)
        members = [self._member(symbols, classes, generator) for _ in range(self.members)]
        return Annotator(members[0] if len(members) == 1 else Ensemble(members), self.return_sequences)

    def _facts(self) -> dict[str, object]:
        return {"classes": len(self.classes_), "vocabulary": vocabulary_text(self.vocabulary_)}

    def _member(self, symbols: int, classes: int, generator: torch.Generator) -> Encoder:
        """One network: from tokens to the scores of classes."""
        embedding = Embedding(Identity(self.embedding_size), symbols, generator)
        with torch.no_grad():
            embedding.weight.mul_(0.1)  # small vectors generalise: what is rare stays near nothing
        widths = widths_of(self.hidden_size, self.num_layers, self.cell)
        layers, _ = directed(
            SymbolLayers.of(vars(self)).layer(generator), self.embedding_size, widths, self.bidirectional
        )
        return Encoder([embedding, *layers], self.residual, self.dropout, classes, generator, self.pooling)

    def _head(self) -> Head:
        one = CrossEntropy(len(self.classes_))
        return one if self.members == 1 else Averaged(one, self.members)

    # ---------------------------------------------------------------- texts and labels

    @property
    def _reader(self) -> TextReader:
        return TextReader(self.unit, self.lowercase)

    def _given(self, X: Any) -> list[list[str]]:
        """The symbols of texts, by the vocabulary of the fit."""
        self._check_fitted()
        return self._reader.symbols(as_texts(X), self.vocabulary_)

    def _numbers(self, tokens: list[list[str]]) -> list[Tensor]:
        """Texts as numbers."""
        return [torch.as_tensor(self.vocabulary_.numbers(text)) for text in tokens]

    def rows(self, X: Sequence[Text], y: Any) -> Rows:
        """Texts as the network is trained on them: tokens, and their labels as numbers.

        Raises
        ------
        ValueError
            If a label is none of ``classes_``, or they are not as many as texts or tokens.
        """
        tokens = self._given(X)
        labels = as_text_labels(y, tokens, self.return_sequences)
        found = np.unique(np.concatenate(labels) if self.return_sequences else labels)
        if not np.isin(found, self.classes_).all():
            raise ValueError(f"y holds {found.tolist()}, the fit knew {self.classes_.tolist()}: leave the others out.")
        return self._rows_of(tokens, labels, np.ones(len(tokens)))

    def driven_by(self, X: Any, y: Any = None) -> Driven:
        """The network driven by texts, and the errors −ln P of their labels, for reports.

        Parameters
        ----------
        X, y
            As ``fit`` takes them.

        Raises
        ------
        ValueError
            If texts or labels are missing, or the network has no causal state.
        """
        if X is None or y is None:
            raise ValueError(
                "A TextClassifier is measured on texts and their labels: give both, as its fit takes them."
            )
        predictor = self.predictor_
        cell = predictor.causal("stability_report")
        errors = StepErrors(predictor.codec.targets.head.loss, "−ln P of the labels")
        return Driven(cell, self.rows(X, y), errors, not predictor.per_step, estimator=self)

    def _rows_of(self, tokens: list[list[str]], labels: Any, weight: Array) -> Rows:
        """Texts end to end with their labels; of one a text, the last step has it."""
        x, place, precision = self._numbers(tokens), self.optimisation.place, self.optimisation.precision
        targets, weights = [], []
        for number, text in enumerate(x):
            own = labels[number] if self.return_sequences else np.full(len(text), labels[number])
            targets.append(torch.as_tensor(np.searchsorted(self.classes_, own))[:, None])
            counts = torch.full((len(text), 1), float(weight[number]), dtype=precision)
            if not self.return_sequences:
                counts[:-1] = 0
            weights.append(counts)
        x, targets, weights = ([own.to(place) for own in column] for column in (x, targets, weights))
        return Rows.of(x, targets, weights)

    # ---------------------------------------------------------------- predicting

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags

    @property
    def predictor_(self) -> Predictor:
        """The fitted network between texts and probabilities."""
        self._check_fitted()
        codec = Codec(SymbolInputs(self.vocabulary_), ClassTargets(self.classes_, self._head()))
        return Predictor(self.network_, codec, per_step=self.return_sequences, flat=True)

    def predict_proba(self, X: Sequence[Text]) -> Any:
        """The probability of every class: (texts, classes), or a list of (tokens, classes)."""
        return self._probabilities(self._numbers(self._given(X)))

    def predict(self, X: Sequence[Text]) -> Array | list[Array]:
        """The likeliest class of every text, (texts,), or a list of those of its tokens."""
        found = self.predict_proba(X)
        if self.return_sequences:
            return [self.classes_[p.argmax(1)] for p in found]
        return self.classes_[found.argmax(1)]

    def score(self, X: Sequence[Text], y: Any, sample_weight: Any = None) -> float:
        """The share of texts, or of tokens, whose label is right."""
        X = as_texts(X)
        labels = as_text_labels(y, self._given(X), self.return_sequences)
        weight = text_weights(sample_weight, len(X))
        predicted = self.predict(X)
        if self.return_sequences:
            weight = np.repeat(weight, [len(own) for own in labels])
            predicted, labels = np.concatenate(predicted), np.concatenate(labels)
        return float(np.average(predicted == labels, weights=weight))

    def evaluate(self, X: Sequence[Text], y: Any) -> dict[str, float]:
        """Measure how well labels are predicted.

        Returns
        -------
        dict
            ``accuracy``; ``nats_per_label``, the mean of −ln P(y), which also counts how sure it was; and
            ``labels_scored``. A label that the fit did not know has the probability 0.
        """
        X = as_texts(X)
        labels, found = as_text_labels(y, self._given(X), self.return_sequences), self.predict_proba(X)
        if self.return_sequences:
            labels, found = np.concatenate(labels), np.concatenate(found)
        p = (found * (labels[:, None] == self.classes_)).sum(1)
        right = self.classes_[found.argmax(1)] == labels
        with np.errstate(divide="ignore"):
            nats = float(-np.log(p).mean())
        return {"accuracy": float(right.mean()), "nats_per_label": nats, "labels_scored": len(labels)}

    def explain(self, text: Text) -> Explanation:
        """Explain a prediction: how much the log-odds of the predicted class lose when a word is unknown.

        Parameters
        ----------
        text : str, or list of str

        Returns
        -------
        Explanation
            With ``to_frame()``, ``to_html()`` and ``plot()``.
        """
        if self.return_sequences:
            raise ValueError("explain needs one label a text, but with return_sequences=True there is one a token.")
        (tokens,) = self._given([text])
        (numbers,), unknown = self._numbers([tokens]), self.vocabulary_.mark("unknown")
        return occluded(tokens, numbers, unknown, self._probabilities, self.classes_, self._attention)

    def stream(self) -> Stream:
        """A stream that takes a text symbol by symbol: ``push(symbol)`` returns the class of the text so far.

        ``stream.probabilities()`` are those of all classes. A word is pushed with the space before it.

        Raises
        ------
        ValueError
            If the network is not causal: it needs ``bidirectional=False, members=1``, and for one label a text
            ``pooling="last"``.
        """
        return self.predictor_.stream()

    def _probabilities(self, numbers: list[Tensor]) -> Any:
        """The probability of every class of texts as numbers."""
        rows = Rows.of([text.to(self.optimisation.place) for text in numbers])
        with torch.inference_mode():
            output, _ = run_network(self.network_, rows)
        found = self.predictor_.decode(output)
        if self.return_sequences:
            return np.split(found, rows.starts[1:].numpy())
        return found[(rows.starts + rows.lengths - 1).numpy()]

    def _attention(self, numbers: Tensor) -> Array | None:
        """What every step weighs; None where there is no attention."""
        if self.pooling != "attention":
            return None
        with torch.inference_mode():
            return np.asarray(self.network_.encoder.attention(numbers[None].to(self.optimisation.place))[0].cpu())
