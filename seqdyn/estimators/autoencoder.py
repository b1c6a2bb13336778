"""The sequence autoencoder as an estimator: numbers or text in, one vector a sequence out, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.autoencoder import Autoencoder, Reconstruction
from seqdyn.cell import Cell
from seqdyn.checks import is_int
from seqdyn.composition import Embedding, Identity, Readout, Stack
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences, as_sequences
from seqdyn.data.text import Vocabulary
from seqdyn.dynamics.driven import Driven, StepErrors, unpadded
from seqdyn.encoder import Encoder
from seqdyn.estimators.batched_prediction import map_by_length
from seqdyn.estimators.documented import documented
from seqdyn.estimators.layers import Layers, directed, widths_of
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.estimators.parameters import at_least, check_parameters, unchanged_on_error
from seqdyn.estimators.symbols import SYMBOL_RULES, SymbolLayers, vocabulary_text
from seqdyn.sentences import SENTENCES_AT_ONCE
from seqdyn.state import hold
from seqdyn.training.batches import Padded, Rows, Spans
from seqdyn.training.checkpoint import digest
from seqdyn.training.heads import CrossEntropy, Head, Squared
from seqdyn.training.stopping import NonFiniteError
from seqdyn.typed_bases import TransformerMixin


@documented(SymbolLayers, Layers)
@dataclass(kw_only=True, repr=False, eq=False)
class SequenceAutoencoder(TransformerMixin, NetworkEstimator, auto_wrap_output_keys=None):
    """One vector for a sequence of any length, from which the sequence is reconstructed.

        z = W_z s + b_z,   s = encoder(x_1 … x_T)
        o_t, h_t = f(z, h_{t-1}),   [x̂_t; e_t] = W_y o_t + b_y,   P(x̂ ends at t) = σ(e_t)

    Sequences are numbers, in any container that regressors take, or texts: a list of str.

    Parameters
    ----------
    code_size : int
        Width of z.
    num_layers : int
        Layers of encoder and of decoder.
    bidirectional : {True, False, "first"}
        Of the encoder.
    residual : bool
        Add each layer's input to its output where the widths agree, in the encoder.
    embedding_size : int
        Width of the vectors of symbols, for texts.
    dropout : float in [0, 1)
        Share of every layer's outputs dropped in training, in the encoder.
    scale : bool
        Standardise numbers inside.
    batch_size : int
        Sequences in a step; those of like lengths together.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without any: 50 epochs, or as many as 2,000 steps take.

    Attributes
    ----------
    vocabulary_ : Vocabulary or None
        Of texts.
    scaling_ : Scaling or None
        Of numbers.
    n_features_in_ : int
        Features of a step; 1 for texts.
    longest_ : int
        Steps of the longest sequence of the training: a reconstruction has at most this many.
    network_ : Autoencoder
    history_ : DataFrame
        One row an epoch: the loss, its parts ``reconstruction`` and ``end``, and more.

    Examples
    --------
    >>> words = ["to", "be", "or", "not"] * 8
    >>> model = SequenceAutoencoder(code_size=4, hidden_size=16, max_steps=300, random_state=0).fit(words)
    >>> codes = model.transform(["be", "not"])
    >>> codes.shape, model.inverse_transform(codes)
    ((2, 4), ['be', 'not'])
    """

    _learnt: ClassVar[tuple[str, ...]] = ("vocabulary_", "scaling_", "n_features_in_", "names_", "longest_")
    _budget: ClassVar[tuple[int, int]] = 50, 2000

    unit: str = SymbolLayers.unit
    cell: Any = SymbolLayers.cell
    vocabulary_size: int | None = SymbolLayers.vocabulary_size
    min_count: int = SymbolLayers.min_count
    code_size: int = 32
    hidden_size: Any = 64
    num_layers: int = 1
    bidirectional: Any = True
    residual: bool = False
    embedding_size: int = 32
    dropout: float = 0.0
    scale: bool = True
    batch_size: int = 32
    learning_rate: float = 5e-3
    schedule: Any = "warmup_cosine"

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: None = None) -> Self:
        """Train the network to reconstruct sequences.

        Parameters
        ----------
        X : array (series, time, features), list of arrays (time, features), frames of these, or list of str
            See :func:`~seqdyn.data.sequences.as_sequences`.
        y : None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no sequence, one is empty, or holds NaN or infinity; the message says where.
        NonFiniteError
            If loss or gradient explode.
        """
        with unchanged_on_error(self, but=NonFiniteError):
            check_parameters(self, SYMBOL_RULES | {"code_size": at_least(1)})
            if not hasattr(X, "__len__"):
                raise ValueError(f"X is a {type(X).__name__}: give an array, a list or a frame of sequences.")
            if not len(X):
                raise ValueError("X holds no sequence: give one at least.")
            self._learn(X)
        return self

    def _learn(self, X: Any) -> None:
        """Read the sequences, build the network, and train it."""
        generator = self.optimisation.generator()
        if holds_texts(X):
            self._learn_texts(_checked_texts(X)[: self._training_count(len(X))])
        else:
            self._learn_numbers(X)
        x = self._tensors(X)
        used = self._training_count(len(x))
        self.longest_ = max(map(len, x[:used]))
        self._begin(generator)
        batches, objective = Spans(_with_itself(x[:used]), self.batch_size), Reconstruction(self.head_)
        held_out = Spans(_with_itself(x[used:]), self.batch_size) if used < len(x) else None
        self._train(batches, held_out, (objective, objective), generator, lambda: digest(*x))

    def _learn_texts(self, texts: list[str]) -> None:
        """Learn the symbols of texts."""
        self.vocabulary_: Vocabulary | None = SymbolLayers.of(vars(self)).vocabulary(texts, ("unknown",))
        self.scaling_: Scaling | None = None
        self.names_: tuple[str, ...] | None = None
        self.n_features_in_ = 1

    def _learn_numbers(self, X: Any) -> None:
        """Learn the scale of numbers, how many there are in a step, and their names."""
        sequences = as_sequences(X)
        width = sequences.rows.shape[1]
        if not width:
            raise ValueError(f"X has 0 feature(s) (shape={np.shape(X)}) while a minimum of 1 is required.")
        rows = sequences.rows[: int(sequences.lengths[: self._training_count(len(sequences.lengths))].sum())]
        self.scaling_ = Scaling.fit(rows) if self.scale else Scaling.identity(width)
        self.vocabulary_, self.names_, self.n_features_in_ = None, _feature_names(sequences), width

    def _build(self, generator: torch.Generator) -> Autoencoder:
        vocabulary, features = self.vocabulary_, self.n_features_in_
        layer = SymbolLayers.of(vars(self)).layer(generator)
        widths = widths_of(self.hidden_size, self.num_layers, self.cell)
        below = features if vocabulary is None else self.embedding_size
        vectors = [] if vocabulary is None else [Embedding(Identity(below), len(vocabulary), generator)]
        layers, _ = directed(layer, below, widths, self.bidirectional)
        encoder = Encoder([*vectors, *layers], self.residual, self.dropout)
        below, upper = self.code_size, list[Cell]()
        for hidden in widths:
            upper.append(layer(below, hidden))
            below = upper[-1].output_size
        outputs = (features if vocabulary is None else len(vocabulary)) + 1
        return Autoencoder(encoder, Readout(Stack(upper), outputs, generator=generator), generator)

    def _facts(self) -> dict[str, object]:
        if self.vocabulary_ is None:
            return {"features": self.n_features_in_}
        return {"vocabulary": vocabulary_text(self.vocabulary_)}

    @property
    def head_(self) -> Head:
        """What the outputs of the network mean, except the last."""
        return Squared() if self.vocabulary_ is None else CrossEntropy(len(self.vocabulary_))

    # ---------------------------------------------------------------- there and back

    def transform(self, X: Any) -> Array:
        """The vector of every sequence, (series, code_size)."""
        self._check_fitted()

        def encode(_: list[int], padded: Padded) -> Tensor:
            with torch.inference_mode():
                return self.network_.encode(padded.value, padded.gaps).cpu()

        return np.asarray(torch.stack(map_by_length(self._given(X), encode, "encode", self.verbose)).numpy())

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """What the entries of a vector are called."""
        self._check_fitted()
        return np.array([f"{type(self).__name__.lower()}{number}" for number in range(self.code_size)], dtype=object)

    def inverse_transform(self, Z: Any, lengths: Sequence[int] | None = None) -> Any:
        """The sequences that vectors stand for.

        Parameters
        ----------
        Z : array, shape (series, code_size)
        lengths : sequence of int, optional
            Of every sequence. None: each ends where the decoder says that it more likely ends than goes on, at the
            latest after ``longest_`` steps.

        Returns
        -------
        list of str; or array (series, time, features), a list of arrays where their lengths differ
        """
        self._check_fitted()
        z = np.asarray(Z, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != self.code_size or not len(z):
            raise ValueError(f"Z has shape {z.shape}, expected (series, {self.code_size}).")
        if not np.isfinite(z).all():
            raise ValueError(f"Z holds NaN or infinity in row {int(np.argmin(np.isfinite(z).all(1)))}.")
        given = None if lengths is None else _given_lengths(lengths, len(z))
        point, ends = self._decoded(z, self.longest_ if given is None else max(given))
        stops = ends if given is None else given
        rows = [row[:stop] for row, stop in zip(point, stops, strict=True)]
        if self.vocabulary_ is not None:
            return [self.vocabulary_.decode(row[:, 0]) for row in rows]
        assert self.scaling_ is not None
        rows = [self.scaling_.invert(row) for row in rows]
        return np.stack(rows) if len(set(stops)) == 1 else rows

    def score(self, X: Any, y: None = None) -> float:
        """How well sequences are reconstructed: R² of numbers, the share of texts that are right to the letter."""
        figures = self.evaluate(X)
        return figures["r2" if self.vocabulary_ is None else "exact"]

    def evaluate(self, X: Any) -> dict[str, float]:
        """How well sequences are reconstructed from their vectors.

        Returns
        -------
        dict
            ``length``, the share whose end is right. Of numbers, cut to their true lengths: ``r2``, over all values,
            each feature against its own mean, and ``rmse`` in their units. Of texts ``exact``, the share that is right
            to the letter, with its end, and ``symbols``, the share of right symbols, cut to the true lengths.
        """
        x, codes = self._given(X), self.transform(X)
        true, lengths = [row.cpu().numpy() for row in x], [len(row) for row in x]
        point, _ = self._decoded(codes, max(*lengths, self.longest_))
        length = np.array(self._decoded(codes, self.longest_)[1]) == lengths
        made = [row[:stop] for row, stop in zip(point, lengths, strict=True)]
        if self.vocabulary_ is not None:
            unknown = self.vocabulary_.mark("unknown")
            right = [(row[:, 0] == own) & (own != unknown) for row, own in zip(made, true, strict=True)]
            exact = np.array([bool(own.all()) for own in right]) & length
            symbols = float(np.concatenate(right).mean())
            return {"exact": float(exact.mean()), "symbols": symbols, "length": float(length.mean())}
        assert self.scaling_ is not None
        joined, given = (self.scaling_.invert(np.concatenate(rows).astype(np.float64)) for rows in (made, true))
        rmse = float(np.sqrt(np.mean((joined - given) ** 2)))
        r2 = float(r2_score(given, joined, multioutput="variance_weighted"))
        return {"r2": r2, "rmse": rmse, "length": float(length.mean())}

    def _decoded(self, z: Array, steps: int) -> tuple[Array, list[int]]:
        """What vectors stand for, (series, steps, targets), and how long each is."""
        points, ends = list[Array](), list[int]()
        with torch.inference_mode():
            for some in self._tensor(z).split(SENTENCES_AT_ONCE):
                output = self.network_.decode(some, steps)
                points.append(self.head_.point(output[..., :-1]).cpu().numpy())
                ends += _predicted_lengths(output[..., -1])
        return np.concatenate(points), ends

    # ---------------------------------------------------------------- sequences

    def rows(self, X: Any) -> Spans:
        """Sequences as the network is trained on them, in one batch."""
        x = self._given(X)
        return Spans(_with_itself(x), len(x))

    @torch.no_grad()
    def driven_by(self, X: Any, y: None = None) -> Driven:
        """The decoder as the vectors of sequences drive it, each from the state that its own leads to.

        Parameters
        ----------
        X
            As ``fit`` takes it.
        y : None

        Raises
        ------
        ValueError
            If there are no sequences, or something stands beside them.
        """
        if X is None or y is not None:
            raise ValueError("A SequenceAutoencoder is measured on sequences, its targets: give them as X, and no y.")
        batch, head = next(iter(self.rows(X).epoch(torch.Generator()))), self.head_
        there = torch.ones(batch.y.shape[:2], dtype=torch.bool) if batch.mask is None else batch.mask
        codes = self.network_.encode(batch.x, batch.mask)
        rows = Rows.of(*(unpadded(tree, there) for tree in (hold(codes, there.shape[1]), batch.y)))
        errors = StepErrors(
            lambda output, target: head.loss(output[..., :-1], target), "the error of the reconstruction"
        )
        return Driven(self.network_.decoder, rows, errors, states=self.network_.state(codes), estimator=self)

    def _given(self, X: Any) -> list[Tensor]:
        """Sequences as the fitted network takes them."""
        self._check_fitted()
        return self._tensors(X)

    def _tensors(self, X: Any) -> list[Tensor]:
        """Sequences as the network takes them, by what was learnt of the data."""
        vocabulary = self.vocabulary_
        if vocabulary is not None:
            if not holds_texts(X):
                raise ValueError(f"X is a {type(X).__name__} of numbers, but the fit learnt texts: give a list of str.")
            return [self._tokens(vocabulary.encode(text)) for text in _checked_texts(X)]
        if holds_texts(X):
            raise ValueError("X holds texts, but the fit learnt numbers.")
        assert self.scaling_ is not None
        sequences = as_sequences(X)
        if sequences.rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {sequences.rows.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        names = _feature_names(sequences)
        if self.names_ is not None and names not in (None, self.names_):
            raise ValueError(f"The features are {names}, those of the fit were {self.names_}, in this order.")
        return list(self._tensor(self.scaling_.apply(sequences.rows)).split(sequences.lengths.tolist()))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.three_d_array = True
        return tags


def holds_texts(X: Any) -> bool:
    """Whether these are texts: a list, or one column, of str."""
    if isinstance(X, str):
        raise ValueError(f"X is one text, {X[:40]!r}: give a list of texts, such as [text].")
    if hasattr(X, "columns") or getattr(X, "ndim", 1) != 1 or not isinstance(X, np.ndarray | list | tuple | pd.Series):
        return False
    return any(isinstance(one, str) for one in X)


def _feature_names(sequences: Sequences) -> tuple[str, ...] | None:
    """What the features are called, where they have names."""
    return None if sequences.features is None else tuple(map(str, sequences.features))


def _checked_texts(X: Any) -> list[str]:
    """Texts, if each is one of a symbol or more."""
    for number, text in enumerate(X):
        if not isinstance(text, str) or not text:
            raise ValueError(f"Text {number} of X is {text!r:.60}, expected a str of a symbol or more.")
    return [str(text) for text in X]


def _given_lengths(lengths: Sequence[int], count: int) -> list[int]:
    """Given lengths, if there is one of at least 1 for every vector."""
    found = list(lengths)
    if len(found) != count or not all(is_int(length) and length >= 1 for length in found):
        raise ValueError(f"lengths holds {found[:5]} for {count} vectors: give an int of at least 1 for each.")
    return [int(length) for length in found]


def _predicted_lengths(logits: Tensor) -> list[int]:
    """How long every sequence is: up to the first step at which it more likely ends, or all of (batch, time)."""
    over = (logits > 0).int()
    first = torch.where(over.any(1), over.argmax(1), logits.shape[1] - 1)
    return (first + 1).tolist()


def _with_itself(x: list[Tensor]) -> Rows:
    """Sequences that are their own targets."""
    return Rows.of(x, [row.reshape(len(row), -1) for row in x])
