"""An autoencoder of sequences in scikit-learn's manners: numbers or text in, one vector a sequence out, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from torch import Tensor

from seqdyn.autoencoder import Autoencoder, Reconstruction
from seqdyn.cell import Cell
from seqdyn.checks import is_int
from seqdyn.composition import Embedding, Identity, Readout, Stack
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences, as_sequences
from seqdyn.data.text import Vocabulary
from seqdyn.dynamics.driven import Driven, Errors, unpadded
from seqdyn.encoder import Encoder
from seqdyn.estimators.built import BY_WIDTHS, OfSymbols
from seqdyn.estimators.layers import directed, widths_of
from seqdyn.estimators.parameters import Rule, at_least, check_parameters
from seqdyn.estimators.sequence import unchanged_on_error
from seqdyn.sentences import AT_ONCE, alike, beside
from seqdyn.state import hold
from seqdyn.training.batches import Rows, Spans
from seqdyn.training.checkpoint import digest
from seqdyn.training.heads import CrossEntropy, Head, Squared
from seqdyn.training.stopping import NonFiniteError

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class SequenceAutoencoder(TransformerMixin, OfSymbols, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """One dense vector for a sequence of any length, from which the sequence can be made again.

        z = W_z s + b_z,   s = encoder(x_1 … x_T)
        o_t, h_t = f(z, h_{t-1}),   [x̂_t; e_t] = W_y o_t + b_y,   P(x̂ ends at t) = σ(e_t)

    Sequences are numbers, in any container that regressors take, or texts: a list of str.

    Parameters
    ----------
    code_size : int
        Width of z.
    cell : {"lstm", "gru", "elman"} or callable
        Or a class called as ``cell(input_size, hidden_size)`` for every layer.
    hidden_size : int or tuple of int
        Width of the memory; a tuple gives one a layer.
    num_layers : int
        Layers of encoder and of decoder.
    bidirectional : {True, False, "first"}
        Of the encoder.
    residual : bool
        Add each layer's input to its output where the widths agree, in the encoder.
    embedding_size : int
        Width of the vectors of symbols, for texts.
    unit : {"character", "word", "subword"}
        Of texts.
    vocabulary_size, min_count : int
        See :class:`~seqdyn.data.text.Vocabulary`.
    dropout : float in [0, 1)
        Share of every layer's outputs dropped in training, in the encoder.
    scale : bool
        Standardise numbers inside.
    batch_size : int
        Sequences in a step; those of like lengths together.
    **others
        As in :class:`~seqdyn.estimators.trained.Trained`. Without a budget: 50 epochs, or as many as 2,000 steps take.

    Attributes
    ----------
    vocabulary_ : Vocabulary or None
        Of texts.
    scaling_ : Scaling or None
        Of numbers.
    n_features_in_ : int
        Features of a step; 1 for texts.
    longest_ : int
        Steps of the longest sequence of the training: what is made from a vector has at most as many.
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

    _kept: ClassVar[tuple[str, ...]] = ("vocabulary_", "scaling_", "n_features_in_", "names_", "longest_")
    _budget: ClassVar[tuple[int, int]] = 50, 2000

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
        """Train on sequences; what comes out should be what came in.

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
            check_parameters(self)
            if not hasattr(X, "__len__"):
                raise ValueError(f"X is a {type(X).__name__}: give an array, a list or a frame of sequences.")
            if not len(X):
                raise ValueError("X holds no sequence: give one at least.")
            self._learn(X)
        return self

    def _learn(self, X: Any) -> None:
        generator = self._generator()
        if is_text(X):
            size, count = self.vocabulary_size, self.min_count
            train = _checked(X)[: len(X) - self._held(len(X))]
            vocabulary = Vocabulary.of_texts(train, self.unit, ("unknown",), size, count)
            fitted: dict[str, Any] = {"vocabulary_": vocabulary, "scaling_": None, "n_features_in_": 1, "names_": None}
        else:
            sequences = as_sequences(X)
            seen, width = len(sequences.lengths) - self._held(len(sequences.lengths)), sequences.rows.shape[1]
            if not width:
                raise ValueError(f"X has 0 feature(s) (shape={np.shape(X)}) while a minimum of 1 is required.")
            rows = sequences.rows[: int(sequences.lengths[:seen].sum())]
            scaling = Scaling.fit(rows) if self.scale else Scaling.identity(width)
            fitted = {"vocabulary_": None, "scaling_": scaling, "n_features_in_": width, "names_": _names(sequences)}
        x = self._sequences(X, **fitted)
        held = self._held(len(x))
        self._new(generator, longest_=max(map(len, x[: len(x) - held])), **fitted)
        batches, objective = Spans(_rows(x[: len(x) - held]), self.batch_size), Reconstruction(self.head_)
        apart = Spans(_rows(x[len(x) - held :]), self.batch_size) if held else None
        self._teach(batches, apart, (objective, objective), generator, lambda: digest(*x))

    def _build(self, fitted: Mapping[str, Any], generator: torch.Generator) -> Autoencoder:
        vocabulary, features = fitted["vocabulary_"], fitted["n_features_in_"]
        layer, widths = self._layer(generator), widths_of(self.hidden_size, self.num_layers, self.cell)
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

    @property
    def head_(self) -> Head:
        """What the outputs of the network, but the last, mean."""
        return Squared() if self.vocabulary_ is None else CrossEntropy(len(self.vocabulary_))

    # ---------------------------------------------------------------- there and back

    def transform(self, X: Any) -> Array:
        """The vector of every sequence, (series, code_size)."""
        self._check()
        x = self._given(X)
        codes: list[Tensor] = [torch.empty(0)] * len(x)
        for chosen in alike(x):
            padded = beside([x[i] for i in chosen])
            with torch.inference_mode():
                z = self.network_.encode(padded.value, padded.gaps).cpu()
            for i, row in zip(chosen, z, strict=True):
                codes[i] = row
        found: Array = torch.stack(codes).numpy()
        return found

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """What the entries of a vector are called."""
        self._check()
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
        self._check()
        z = np.asarray(Z, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != self.code_size or not len(z):
            raise ValueError(f"Z has shape {z.shape}, expected (series, {self.code_size}).")
        if not np.isfinite(z).all():
            raise ValueError(f"Z holds NaN or infinity in row {int(np.argmin(np.isfinite(z).all(1)))}.")
        given = None if lengths is None else _lengths(lengths, len(z))
        point, ends = self._decoded(z, self.longest_ if given is None else max(given))
        stops = ends if given is None else given
        rows = [row[:stop] for row, stop in zip(point, stops, strict=True)]
        if self.vocabulary_ is not None:
            return [self.vocabulary_.decode(row[:, 0]) for row in rows]
        rows = [self.scaling_.invert(row) for row in rows]
        return np.stack(rows) if len(set(stops)) == 1 else rows

    def score(self, X: Any, y: None = None) -> float:
        """How well sequences are made again from their vectors: R² of numbers, the share of texts that are exact."""
        figures = self.evaluate(X)
        return figures["r2" if self.vocabulary_ is None else "exact"]

    def evaluate(self, X: Any) -> dict[str, float]:
        """How well sequences are made again.

        Returns
        -------
        dict
            ``length``, the share whose end is right. Of numbers, of their true lengths: ``r2``, over all values, each
            feature beside its own mean, and ``rmse`` in their units. Of texts ``exact``, the share that is right to the
            letter, its end with it, and ``symbols``, the share of right symbols, of the true lengths.
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
        joined, given = (self.scaling_.invert(np.concatenate(rows).astype(np.float64)) for rows in (made, true))
        rmse = float(np.sqrt(np.mean((joined - given) ** 2)))
        r2 = float(r2_score(given, joined, multioutput="variance_weighted"))
        return {"r2": r2, "rmse": rmse, "length": float(length.mean())}

    def _decoded(self, z: Array, steps: int) -> tuple[Array, list[int]]:
        """What vectors stand for, (series, steps, targets), and how long each is."""
        codes, points, ends = torch.as_tensor(z, dtype=self._precision, device=self._device), [], list[int]()
        with torch.inference_mode():
            for some in codes.split(AT_ONCE):
                output = self.network_.decode(some, steps)
                points.append(self.head_.point(output[..., :-1]).cpu().numpy())
                ends += _ends(output[..., -1])
        return np.concatenate(points), ends

    # ---------------------------------------------------------------- sequences

    def rows(self, X: Any) -> Spans:
        """Sequences as the network is trained on them, in one batch."""
        x = self._given(X)
        return Spans(_rows(x), len(x))

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
        errors = Errors(lambda output, target: head.loss(output[..., :-1], target), "the error of what is made again")
        return Driven(self.network_.decoder, rows, errors, states=self.network_.state(codes), estimator=self)

    def _given(self, X: Any) -> list[Tensor]:
        """Sequences as the network takes them."""
        self._check()
        return self._sequences(X, self.vocabulary_, self.scaling_, self.n_features_in_, self.names_)

    def _sequences(
        self, X: Any, vocabulary_: Vocabulary | None, scaling_: Scaling | None, n_features_in_: int, names_: Any
    ) -> list[Tensor]:
        if vocabulary_ is not None:
            if not is_text(X):
                raise ValueError(f"X is a {type(X).__name__} of numbers, but the fit learnt texts: give a list of str.")
            return [torch.as_tensor(vocabulary_.encode(text), device=self._device) for text in _checked(X)]
        if is_text(X):
            raise ValueError("X holds texts, but the fit learnt numbers.")
        assert scaling_ is not None
        sequences = as_sequences(X)
        if sequences.rows.shape[1] != n_features_in_:
            raise ValueError(
                f"X has {sequences.rows.shape[1]} features, but {type(self).__name__} is expecting {n_features_in_} "
                "features as input."
            )
        if names_ is not None and _names(sequences) not in (None, names_):
            raise ValueError(f"The features are {_names(sequences)}, those of the fit were {names_}, in this order.")
        rows = torch.as_tensor(scaling_.apply(sequences.rows), dtype=self._precision, device=self._device)
        return list(rows.split(sequences.lengths.tolist()))

    # ---------------------------------------------------------------- scikit-learn and files

    def _rules(self) -> dict[str, Rule]:
        return super()._rules() | {"cell": BY_WIDTHS, "code_size": at_least(1), "embedding_size": at_least(1)}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.three_d_array = True
        return tags


def is_text(X: Any) -> bool:
    """Whether these are texts: a list, or one column, of str."""
    if isinstance(X, str):
        raise ValueError(f"X is one text, {X[:40]!r}: give a list of texts, such as [text].")
    if hasattr(X, "columns") or getattr(X, "ndim", 1) != 1 or not isinstance(X, np.ndarray | list | tuple | pd.Series):
        return False
    return any(isinstance(one, str) for one in X)


def _names(sequences: Sequences) -> tuple[str, ...] | None:
    """What the features are called, where they have names."""
    return None if sequences.features is None else tuple(map(str, sequences.features))


def _checked(X: Any) -> list[str]:
    """Texts, if each is one of a symbol or more."""
    for number, text in enumerate(X):
        if not isinstance(text, str) or not text:
            raise ValueError(f"Text {number} of X is {text!r:.60}, expected a str of a symbol or more.")
    return [str(text) for text in X]


def _lengths(lengths: Sequence[int], count: int) -> list[int]:
    """Given lengths, if there is one of at least 1 for every vector."""
    found = list(lengths)
    if len(found) != count or not all(is_int(length) and length >= 1 for length in found):
        raise ValueError(f"lengths holds {found[:5]} for {count} vectors: give an int of at least 1 for each.")
    return [int(length) for length in found]


def _ends(logits: Tensor) -> list[int]:
    """How long every sequence is: up to the first step at which it more likely ends, or all of (batch, time)."""
    over = (logits > 0).int()
    first = torch.where(over.any(1), over.argmax(1), logits.shape[1] - 1)
    return (first + 1).tolist()


def _rows(x: list[Tensor]) -> Rows:
    """Sequences with themselves as targets."""
    return Rows.of(x, [row.reshape(len(row), -1) for row in x])
