"""Classifiers of texts: one label a text, or one a token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from seqdyn.checks import is_number
from seqdyn.codecs import ClassTargets, Codec, SymbolInputs
from seqdyn.composition import Embedding, Identity
from seqdyn.data.targets import is_missing
from seqdyn.data.text import Vocabulary
from seqdyn.dynamics.driven import Driven, Errors
from seqdyn.encoder import POOLINGS, Encoder, Ensemble
from seqdyn.estimators.autoencoder import SequenceAutoencoder
from seqdyn.estimators.built import OfSymbols
from seqdyn.estimators.gradient import last_of_each
from seqdyn.estimators.layers import directed, widths_of
from seqdyn.estimators.parameters import Rule, at_least, check_parameters, instance_of, one_of, optional, share
from seqdyn.estimators.pretraining import copy_layers, copy_vectors
from seqdyn.estimators.sequence import unchanged_on_error
from seqdyn.language.explanation import Explanation, occluded
from seqdyn.language.model import LanguageModel
from seqdyn.predictor import Predictor
from seqdyn.stream import Stream
from seqdyn.training.batches import Batch, Rows, Spans
from seqdyn.training.checkpoint import digest
from seqdyn.training.forward import Annotator, run_network
from seqdyn.training.heads import Averaged, CrossEntropy, Head
from seqdyn.training.stopping import NonFiniteError
from seqdyn.training.objective import Supervised

Array = np.ndarray[Any, Any]
Text = str | Sequence[str]


@dataclass(kw_only=True, repr=False, eq=False)
class TextClassifier(ClassifierMixin, OfSymbols):
    """The probability of every class of a text, read by recurrent layers: P(y) = softmax(W pool(o_1 … o_T) + b).

        x_t = E_{s_t},   o_t, h_t = f(x_t, h_{t-1}) in one direction or both,   pool: last, mean, max or attention

    Parameters
    ----------
    unit : {"word", "character", "subword"}
        Of texts; a list of tokens is taken as it is.
    lowercase : bool
        Read texts in lower case.
    cell : {"lstm", "gru", "elman"}, callable or Cell
        Or a class called as ``cell(input_size, hidden_size)`` for every layer, or one built cell.
    hidden_size : int or tuple of int
        Width of the memory of each direction; a tuple gives one a layer.
    num_layers : int
        Layers of ``hidden_size``, when that is an int.
    bidirectional : {True, False, "first"}
        Whether every layer reads both directions, none, or the first.
    residual : bool
        Add each layer's input to its output where the widths agree.
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
    min_count : int
        Learn symbols that appear so often in the training texts; others are unknown.
    vocabulary_size : int, optional
        Learn so many symbols at most, the most frequent.
    members : int
        Networks that begin differently, are trained side by side, and whose probabilities are averaged.
    pretraining : LanguageModel or SequenceAutoencoder, optional
        A clone of it is fitted on the training texts first, and its vocabulary is taken. Of a language model, which
        reads one text a line, by characters or words, the vectors are where the training begins; of an autoencoder all
        its layers. What it was fitted on before is left behind.
    batch_size : int
        Texts in a step; those of like lengths together.
    **others
        As in :class:`~seqdyn.estimators.trained.Trained`. Without a budget: 3 epochs, or as many as 500 steps take;
        small data are learnt by heart in more. ``early_stopping`` holds out the last texts of each class.

    Attributes
    ----------
    classes_ : array, shape (classes,)
    vocabulary_ : Vocabulary
    network_ : Annotator
    history_ : DataFrame
        One row an epoch, see :class:`~seqdyn.estimators.gradient.GradientEstimator`.
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

    _kept: ClassVar[tuple[str, ...]] = ("vocabulary_", "classes_", "language_model_")
    _budget: ClassVar[tuple[int, int]] = 3, 500

    unit: str = "word"
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
            check_parameters(self)
            self._learn(_texts(X), y, sample_weight)
        return self

    def _learn(self, X: list[Text], y: Any, sample_weight: Any) -> None:
        """Everything up to the first step, and the training."""
        model = None if self.pretraining is None else self._pretrained(X)
        vocabulary = self._vocabulary(X) if model is None else model.vocabulary_
        tokens = self._tokens(X, vocabulary)
        labels = self._labels(y, tokens)
        classes = np.unique(np.concatenate(labels) if self.return_sequences else labels)
        if len(classes) < 2:
            raise ValueError(f"TextClassifier needs two classes or more, but y holds one: {classes.tolist()[0]!r}.")
        generator = self._generator()
        network = self._new(generator, vocabulary_=vocabulary, classes_=classes, language_model_=model)
        if isinstance(model, LanguageModel):
            copy_vectors(network, torch.as_tensor(model.embedding_))
        if isinstance(model, SequenceAutoencoder):
            for encoder in (part for part in network.modules() if isinstance(part, Encoder)):
                copy_layers(encoder, model.network_.encoder)
        rows = self._rows(tokens, labels, _weights(sample_weight, len(tokens)))
        self._train(rows, labels, generator)

    def _train(self, rows: Rows, labels: Any, generator: torch.Generator) -> None:
        """All steps, on all texts or without those that are held out."""
        objective = Supervised(self._head(), prepare=self._hide if self.word_dropout else None)
        held = torch.zeros(len(rows.starts), dtype=torch.bool)
        if self.early_stopping:
            kinds = np.zeros(len(held)) if self.return_sequences else np.searchsorted(self.classes_, labels)
            held = torch.as_tensor(last_of_each(kinds, self.validation_fraction))
        batches = Spans(rows.part(rows.starts[~held], rows.lengths[~held]), self.batch_size)
        apart = Spans(rows.part(rows.starts[held], rows.lengths[held]), 256) if bool(held.any()) else None
        parts = rows.x, rows.y, rows.weight, rows.starts
        self._teach(batches, apart, (objective, Supervised(objective.head)), generator, lambda: digest(*parts))

    def _hide(self, batch: Batch, progress: float, generator: torch.Generator) -> Batch:
        """The batch with some symbols unknown."""
        hidden = torch.rand(batch.x.shape, generator=generator).to(batch.x.device) < self.word_dropout
        return batch._replace(x=batch.x.masked_fill(hidden, self.vocabulary_.mark("unknown")))

    def _pretrained(self, X: Sequence[Text]) -> LanguageModel | SequenceAutoencoder:
        """A language model of the texts, one a line, or an autoencoder of them."""
        if self.pretraining.unit != self.unit:
            raise ValueError(f"pretraining has unit={self.pretraining.unit!r}, the classifier {self.unit!r}.")
        texts = [text for text in X if isinstance(text, str)]
        if len(texts) < len(X):
            raise ValueError("pretraining learns texts, but X holds lists of tokens: join them, or leave it out.")
        model = clone(self.pretraining)
        if model.random_state is None:
            model.set_params(random_state=self.random_state)
        if isinstance(model, SequenceAutoencoder):
            return model.fit([self._read(text) for text in texts])
        if self.unit == "subword" or (model.min_count == 1 and model.vocabulary_size is None):
            raise ValueError(
                "pretraining needs a mark for what is unknown: characters or words, with min_count=2 or a "
                "vocabulary_size."
            )
        return model.fit("".join(f"{self._read(text)}\n" for text in texts))

    def _vocabulary(self, X: Sequence[Text]) -> Vocabulary:
        """The symbols of the texts."""
        if self.unit == "subword":
            whole = "\n".join(self._read(text) if isinstance(text, str) else " ".join(text) for text in X)
            return Vocabulary.of(whole, "subword", ("unknown",), self.vocabulary_size, self.min_count)
        counts = Counter(symbol for text in self._tokens(X, Vocabulary((), self.unit)) for symbol in text)
        often = tuple(symbol for symbol, count in counts.most_common(self.vocabulary_size) if count >= self.min_count)
        if not often:
            raise ValueError(f"No {self.unit} of the texts appears min_count={self.min_count} times: keep more.")
        return Vocabulary(often, self.unit, ("unknown",))

    def _build(self, fitted: Mapping[str, Any], generator: torch.Generator) -> Annotator:
        symbols, classes = len(fitted["vocabulary_"]), len(fitted["classes_"])
        members = [self._member(symbols, classes, generator) for _ in range(self.members)]
        return Annotator(members[0] if len(members) == 1 else Ensemble(members), self.return_sequences)

    def _member(self, symbols: int, classes: int, generator: torch.Generator) -> Encoder:
        """One network: from tokens to the scores of classes."""
        embedding = Embedding(Identity(self.embedding_size), symbols, generator)
        with torch.no_grad():
            embedding.weight.mul_(0.1)  # small vectors generalise: what is rare stays near nothing
        widths = widths_of(self.hidden_size, self.num_layers, self.cell)
        layers, _ = directed(self._layer(generator), self.embedding_size, widths, self.bidirectional)
        return Encoder([embedding, *layers], self.residual, self.dropout, classes, generator, self.pooling)

    def _head(self) -> Head:
        one = CrossEntropy(len(self.classes_))
        return one if self.members == 1 else Averaged(one, self.members)

    # ---------------------------------------------------------------- texts and labels

    def _read(self, text: str) -> str:
        """A text as it is split: every word with a space before it."""
        text = text.lower() if self.lowercase else text
        return f" {text.strip()}" if self.unit == "word" else text

    def _tokens(self, X: Sequence[Text], vocabulary: Vocabulary) -> list[list[str]]:
        """The symbols of every text."""
        tokens = [self._split(text, number, vocabulary) for number, text in enumerate(X)]
        empty = [number for number, text in enumerate(tokens) if not text]
        if empty:
            raise ValueError(f"Text {empty[0]} of X is empty ({len(empty)} are): leave them out, with their labels.")
        return tokens

    def _split(self, text: Any, number: int, vocabulary: Vocabulary) -> list[str]:
        if isinstance(text, str):
            return vocabulary.split(self._read(text)) if text.strip() or self.unit != "word" else []
        if isinstance(text, list | tuple) and all(isinstance(token, str) for token in text):
            if self.unit == "word" and any(len(token.split()) != 1 for token in text):
                raise ValueError(f"Text {number} of X is {text!r:.60}: a token is one word. Several texts are a list.")
            read = [token.lower() if self.lowercase else token for token in text]
            return [f" {token}" for token in read] if self.unit == "word" else read
        raise ValueError(f"Text {number} of X is {text!r:.60}, expected a str, or a list of tokens.")

    def _given(self, X: Any) -> list[list[str]]:
        """The symbols of texts, by the vocabulary of the fit."""
        self._check()
        return self._tokens(_texts(X), self.vocabulary_)

    def _labels(self, y: Any, tokens: list[list[str]]) -> Any:
        """Labels beside the texts: an array, or an array a text."""
        if y is None or len(y) != len(tokens):
            found = "None" if y is None else f"{len(y)} labels"
            raise ValueError(f"X holds {len(tokens)} texts, y {found}: give one for each.")
        if not self.return_sequences:
            labels = np.asarray(y)
            if labels.ndim != 1:
                raise ValueError(
                    f"y has shape {labels.shape}, expected one label a text; for one a token set return_sequences=True."
                )
            missing = is_missing(labels)
            if missing.any():
                raise ValueError(f"The label of text {int(np.argmax(missing))} is missing: leave the text out.")
            check_classification_targets(labels)
            return labels
        rows = [np.asarray(own) for own in y]
        for number, (own, text) in enumerate(zip(rows, tokens, strict=True)):
            if own.shape != (len(text),):
                raise ValueError(
                    f"Text {number} has {len(text)} tokens, {' '.join(text)[:60]!r}, but labels of shape {own.shape}: "
                    "give one for each token."
                )
        return rows

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
        labels = self._labels(y, tokens)
        found = np.unique(np.concatenate(labels) if self.return_sequences else labels)
        if not np.isin(found, self.classes_).all():
            raise ValueError(f"y holds {found.tolist()}, the fit knew {self.classes_.tolist()}: leave the others out.")
        return self._rows(tokens, labels, np.ones(len(tokens)))

    def driven_by(self, X: Any, y: Any = None) -> Driven:
        """The network as texts drive it, and −ln P of their labels: what reports measure.

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
        errors = Errors(predictor.codec.targets.head.loss, "−ln P of the labels")
        return Driven(cell, self.rows(X, y), errors, not predictor.per_step, estimator=self)

    def _rows(self, tokens: list[list[str]], labels: Any, weight: Array) -> Rows:
        """Texts end to end with their labels; of one a text, the last step has it."""
        x, device = self._numbers(tokens), self._device
        targets, weights = [], []
        for number, text in enumerate(x):
            own = labels[number] if self.return_sequences else np.full(len(text), labels[number])
            targets.append(torch.as_tensor(np.searchsorted(self.classes_, own))[:, None])
            counts = torch.full((len(text), 1), float(weight[number]), dtype=self._precision)
            if not self.return_sequences:
                counts[:-1] = 0
            weights.append(counts)
        x, targets, weights = ([own.to(device) for own in column] for column in (x, targets, weights))
        return Rows.of(x, targets, weights)

    # ---------------------------------------------------------------- predicting

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags

    @property
    def predictor_(self) -> Predictor:
        """The fitted network between texts and probabilities."""
        self._check()
        codec = Codec(SymbolInputs(self.vocabulary_), ClassTargets(self.classes_, self._head()))
        return Predictor(self.network_, codec, per_step=self.return_sequences, flat=True)

    def predict_proba(self, X: Sequence[Text]) -> Any:
        """The probability of every class: (texts, classes), or a list of (tokens, classes)."""
        return self._probabilities(self._numbers(self._given(X)))

    def predict(self, X: Sequence[Text]) -> Any:
        """The likeliest class of every text, (texts,), or a list of those of its tokens."""
        found = self.predict_proba(X)
        if self.return_sequences:
            return [self.classes_[p.argmax(1)] for p in found]
        return self.classes_[found.argmax(1)]

    def score(self, X: Sequence[Text], y: Any, sample_weight: Any = None) -> float:
        """The share of texts, or of tokens, whose label is right."""
        X = _texts(X)
        labels, weight = self._labels(y, self._given(X)), _weights(sample_weight, len(X))
        predicted = self.predict(X)
        if self.return_sequences:
            weight = np.repeat(weight, [len(own) for own in labels])
            predicted, labels = np.concatenate(predicted), np.concatenate(labels)
        return float(np.average(predicted == labels, weights=weight))

    def evaluate(self, X: Sequence[Text], y: Any) -> dict[str, float]:
        """How well labels are predicted.

        Returns
        -------
        dict
            ``accuracy``; ``nats_per_label``, the mean of −ln P(y), which also counts how sure it was; and
            ``labels_scored``. A label that the fit did not know has the probability 0.
        """
        X = _texts(X)
        labels, found = self._labels(y, self._given(X)), self.predict_proba(X)
        if self.return_sequences:
            labels, found = np.concatenate(labels), np.concatenate(found)
        p = (found * (labels[:, None] == self.classes_)).sum(1)
        right = self.classes_[found.argmax(1)] == labels
        with np.errstate(divide="ignore"):
            nats = float(-np.log(p).mean())
        return {"accuracy": float(right.mean()), "nats_per_label": nats, "labels_scored": len(labels)}

    def explain(self, text: Text) -> Explanation:
        """The words that mattered: what the log-odds of the predicted class lose when one of them is unknown.

        Parameters
        ----------
        text : str, or list of str

        Returns
        -------
        Explanation
            With ``to_frame()``, ``to_html()`` and ``plot()``.
        """
        if self.return_sequences:
            raise ValueError("explain tells the words behind the one label of a text, not behind one a token.")
        (tokens,) = self._given([text])
        (numbers,), unknown = self._numbers([tokens]), self.vocabulary_.mark("unknown")
        return occluded(tokens, numbers, unknown, self._probabilities, self.classes_, self._attention)

    def stream(self) -> Stream:
        """A text that comes symbol by symbol: ``push(symbol)`` answers the class of what has come so far.

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
        rows = Rows.of([text.to(self._device) for text in numbers])
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
            return np.asarray(self.network_.encoder.attention(numbers[None].to(self._device))[0].cpu())

    # ---------------------------------------------------------------- parameters

    def _rules(self) -> dict[str, Rule]:
        return super()._rules() | {
            "lowercase": one_of(False, True),
            "embedding_size": at_least(1),
            "pooling": one_of(*POOLINGS),
            "word_dropout": share(zero=True),
            "members": at_least(1),
            "pretraining": optional(
                instance_of(LanguageModel | SequenceAutoencoder, "a LanguageModel or a SequenceAutoencoder")
            ),
        }


def _texts(X: Any) -> list[Text]:
    """X as a list of texts."""
    if isinstance(X, str):
        raise ValueError(f"X is one text, {X[:40]!r}: give a list of texts, such as [text].")
    if hasattr(X, "columns") or isinstance(X, dict) or (isinstance(X, np.ndarray) and X.ndim != 1):
        raise ValueError(f"X is a {type(X).__name__} of shape {np.shape(X)}: give a list or one column of texts.")
    texts = list(X)
    if not texts:
        raise ValueError("X holds no text: give one at least.")
    return texts


def _weights(sample_weight: Any, count: int) -> Array:
    """What every text counts."""
    if sample_weight is None:
        return np.ones(count)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (count,) or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
        told = f"{weight.min()} to {weight.max()}" if weight.size and is_number(weight.min()) else "none"
        raise ValueError(
            f"sample_weight has shape {weight.shape} and values {told}, expected one number of at least 0 for each of "
            f"{count} texts, and one above."
        )
    return weight
