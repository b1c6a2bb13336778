"""Codecs translate between the units of the data and those of a network.

    x (data) → encode → network → outputs → decode → y (data) → finish → what users get

:class:`NumberInputs` scales features, :class:`NumberTargets` undoes a scaling through a head, :class:`ClassTargets`
turns scores into probabilities and labels; :class:`SymbolInputs` looks text up in a vocabulary; :class:`Codec` joins
both sides. Pictures have a scaling of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression, Past
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import as_row
from seqdyn.data.targets import as_labels, missing_targets, target_numbers
from seqdyn.data.text import Vocabulary
from seqdyn.training.heads import Head, check_quantiles


@dataclass(frozen=True)
class NumberInputs:
    """Turns features into the inputs of a network: scales them, and marks which last values of targets are known.

    Parameters
    ----------
    scaling : Scaling
    mean : array, shape (features,)
        The mean of the training inputs, in their units: what stands where nothing is known.
    own : Autoregression or None
        How the leading features, the targets' last values, are used; these may be NaN.
    names : tuple of str, or None
        What the features are called, where they came with names.
    """

    scaling: Scaling
    mean: Array
    own: Autoregression | None = None
    names: tuple[str, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one step as :meth:`read` gives it."""
        return (len(self.mean),)

    def read(self, x: Any) -> Array:
        """A row of features; a Series with names has to have those of the fit, and is put in their order."""
        return as_row(x, len(self.mean), self.names)

    def encode(self, rows: Array, like: Tensor) -> Any:
        """Rows (…, features) as the network takes them, in the dtype and on the device of ``like``."""
        if rows.shape[-1] != len(self.mean):
            raise ValueError(f"x has {rows.shape[-1]} features, but the model expects {len(self.mean)}.")
        x = self.scaling.apply(rows)
        if self.own is None:
            return usable(x, rows, like)
        value, rest = np.split(x, [self.own.targets], axis=-1)
        known = ~np.isnan(value)
        past = usable(np.where(known, value, 0.0), rows, like)
        exogenous = usable(rest, rows[..., self.own.targets :], like, self.own.targets) if rest.shape[-1] else None
        return Past(past, tensor(known, like), exogenous)


@dataclass(frozen=True)
class SymbolInputs:
    """Turns symbols of a text into the inputs of a network: their numbers.

    Parameters
    ----------
    vocabulary : Vocabulary
    begin : int, optional
        A number that stands for no symbol, but for the beginning of a text; it may be given, too.
    """

    vocabulary: Vocabulary
    begin: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def read(self, x: Any) -> Array:
        """The number of one symbol, given as text or as its number."""
        numbers = self.vocabulary.encode(x) if isinstance(x, str) else np.atleast_1d(np.asarray(x))
        if numbers.shape != (1,) or numbers.dtype.kind not in "iu":
            what = f"{len(numbers)} {self.vocabulary.unit}s" if isinstance(x, str) else type(x).__name__
            raise ValueError(f"x is {x!r}: {what}, expected one {self.vocabulary.unit}: push them one by one.")
        if not (0 <= numbers[0] < len(self.vocabulary) or numbers[0] == self.begin):
            raise ValueError(f"x is number {numbers[0]}, expected one from 0 to {len(self.vocabulary) - 1}.")
        return numbers[0]

    def encode(self, rows: Array, like: Tensor) -> Tensor:
        """Numbers (…) as int64, on the device of ``like``."""
        return torch.as_tensor(rows, dtype=torch.int64, device=like.device)


@dataclass(frozen=True)
class NumberTargets:
    """Turns outputs into numbers: y = s ŷ + m, where ŷ is the point prediction of the head.

    Parameters
    ----------
    scaling : Scaling
    head : Head
    levels : tuple of float
        The quantiles that are told unless others are asked for.
    """

    scaling: Scaling
    head: Head
    levels: tuple[float, ...] = (0.1, 0.5, 0.9)

    def encode(self, table: Array) -> Array:
        """Targets as users give them, (rows, targets), in the units of the network; NaN where there is none."""
        numbers = target_numbers(table)
        if numbers.shape[1] != len(self.scaling.mean):
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the model predicts {len(self.scaling.mean)}.")
        return self.scaling.apply(numbers)

    def decode(self, output: Tensor) -> Array:
        """From outputs (…, targets · outputs) to predictions, in the units of the data."""
        return self.scaling.invert(self.head.point(output).cpu().numpy().astype(np.float64))

    def finish(self, values: Array) -> Any:
        """From predictions to what users get, (…, targets)."""
        return values

    def quantiles(self, output: Tensor, levels: Sequence[float] | None = None) -> Array:
        """Quantiles (…, targets, levels), in the units of the data."""
        spread = self.head.quantile(output, self.levels if levels is None else check_quantiles(levels))
        values = spread.cpu().numpy().astype(np.float64)
        return values * self.scaling.scale[:, None] + self.scaling.mean[:, None]

    def log_probabilities(self, output: Tensor) -> Array:
        return self.head.log_probabilities(output).cpu().numpy()

    def probabilities(self, output: Tensor) -> Array:
        return self.head.probabilities(output).cpu().numpy()


@dataclass(frozen=True)
class ClassTargets:
    """Turns outputs into classes: scores into probabilities, and probabilities into labels.

    Parameters
    ----------
    classes : array, shape (classes,), sorted
    head : Head
    """

    classes: Array
    head: Head

    def encode(self, table: Array) -> Array:
        """The numbers of the classes."""
        labels = as_labels(table)
        known = ~missing_targets(labels)
        unknown = np.setdiff1d(labels[known], self.classes)
        if len(unknown):
            raise ValueError(
                f"y holds {unknown[:5]!r}, which the first fit did not know: classes_ is {self.classes!r}."
            )
        numbers = np.full((len(labels), 1), np.nan)
        numbers[known, 0] = np.searchsorted(self.classes, labels[known])
        return numbers

    def decode(self, output: Tensor) -> Array:
        """The probability of every class (…, classes)."""
        return self.head.probabilities(output.double()).squeeze(-2).cpu().numpy()

    def finish(self, values: Array) -> Any:
        return np.asarray(self.classes[values.argmax(-1)], dtype=self.classes.dtype)[..., None]

    def quantiles(self, output: Tensor, levels: Sequence[float] | None = None) -> Array:
        raise ValueError("A classifier knows no quantiles; ask for probabilities.")

    def log_probabilities(self, output: Tensor) -> Array:
        return self.head.log_probabilities(output.double()).squeeze(-2).cpu().numpy()

    def probabilities(self, output: Tensor) -> Array:
        return self.decode(output)


@dataclass(frozen=True)
class Codec:
    """The input side and the output side of a network.

    Parameters
    ----------
    inputs : NumberInputs, or what has its interface
    targets : NumberTargets, ClassTargets, or what has their interface
    """

    inputs: Any
    targets: Any


@dataclass(frozen=True)
class Plain:
    """The codec of a bare cell: values pass unchanged in both directions.

    Parameters
    ----------
    shape : tuple of int
        Of what comes in at a step; ``()`` is a token, a whole number.
    """

    shape: tuple[int, ...]

    @property
    def inputs(self) -> Plain:
        """Rows come in as they are."""
        return self

    @property
    def targets(self) -> Plain:
        """Outputs go out as they are."""
        return self

    def read(self, x: Any) -> Array:
        row = np.asarray(x, dtype=np.float64 if self.shape else None)
        if row.shape != self.shape or not (self.shape or row.dtype.kind in "iu"):
            wanted = f"{self.shape}: one number a feature" if self.shape else "a token, which is a whole number"
            raise ValueError(f"x has shape {row.shape} and dtype {row.dtype}, expected {wanted}.")
        return row

    def encode(self, rows: Array, like: Tensor) -> Tensor:
        if not self.shape:
            return torch.as_tensor(rows, dtype=torch.int64, device=like.device)
        return usable(rows, rows, like)

    def decode(self, output: Tensor) -> Array:
        return cast(Array, output.cpu().numpy().copy())  # it may be the state itself, which nobody is to change

    def finish(self, values: Array) -> Any:
        return values

    def quantiles(self, output: Tensor, levels: Sequence[float] | None = None) -> Array:
        raise ValueError("A bare cell says what it gives, and no quantiles: stream from a fitted regressor.")

    def log_probabilities(self, output: Tensor) -> Array:
        return self.probabilities(output)

    def probabilities(self, output: Tensor) -> Array:
        raise ValueError("A bare cell says what it gives, and no probabilities: stream from a fitted classifier.")


def tensor(values: Array, like: Tensor) -> Tensor:
    """Return an array as a tensor of the dtype and device of ``like``."""
    if like.is_cpu and like.dtype == torch.float32:  # numpy converts a row faster than torch
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))
    return torch.as_tensor(np.ascontiguousarray(values)).to(like.device, like.dtype)


def all_within(values: Array, limit: float) -> bool:
    """Whether all numbers lie in ±limit, which NaN does not.

    Examples
    --------
    >>> all_within(np.array([1.0, -3.0]), 2.0), all_within(np.array([np.nan]), 2.0), all_within(np.zeros(0), 2.0)
    (False, False, True)
    """
    if values.size > 64:
        return bool((np.abs(values) <= limit).all())
    return all(-limit <= value <= limit for value in values.ravel().tolist())  # faster than numpy's calls on a row


def usable(values: Array, rows: Array, like: Tensor, first: int = 0) -> Tensor:
    """Return an array as a tensor, or raise if it is not finite: the state of a network would stay NaN or infinite.

    ``values`` (…, features) are in units of the network, ``rows`` in those of the data, for the error; ``like`` gives
    dtype and device, and ``first`` is the number of the first feature.
    """
    limit = torch.finfo(like.dtype).max
    if not all_within(values, limit):
        place = tuple(np.argwhere(~(np.abs(values) <= limit))[0])
        why = f", more than {like.dtype} holds once it is scaled" if np.isfinite(rows[place]) else ""
        raise ValueError(
            f"The input is {rows[place]} in feature {first + place[-1]}{why}: it would spoil the memory for good. "
            "Give a finite row; a stream stays where it was, and may be given the last row again or leave the step out."
        )
    return tensor(values, like)
