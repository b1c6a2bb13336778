"""Codecs: between the units of the data and those of a network.

    x (data) → encode → network → outputs → decode → y (data) → finish → what users get

:class:`NumberInputs` scales features, :class:`NumberTargets` undoes a scaling through a head, :class:`ClassTargets`
turns scores into probabilities and labels; :class:`Codec` joins both sides. Text has a vocabulary in their place,
pictures a scaling of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seqdyn.autoregression import Autoregression, Past
from seqdyn.data.scaling import Scaling
from seqdyn.data.targets import as_labels, as_numbers, is_missing
from seqdyn.training.heads import Head

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class NumberInputs:
    """Features of the data as a network takes them: scaled, and last values apart, with whether they are known.

    Parameters
    ----------
    scaling : Scaling
    mean : array, shape (features,)
        The mean of the training inputs, in their units: what stands where nothing is known.
    own : Autoregression or None
        How the leading features, the targets' last values, are used; these may be NaN.
    """

    scaling: Scaling
    mean: Array
    own: Autoregression | None = None

    @property
    def width(self) -> int:
        """How many features there are."""
        return len(self.mean)

    @property
    def missing(self) -> int:
        """How many leading features may be NaN."""
        return 0 if self.own is None else self.own.targets

    def encode(self, rows: Array, like: Tensor) -> Any:
        """Rows (…, features) as the network takes them, in the dtype and on the device of ``like``."""
        x = self.scaling.apply(rows)
        if self.own is None:
            return tensor(x, like)
        value, rest = np.split(x, [self.own.targets], axis=-1)
        known = ~np.isnan(value)
        exogenous = tensor(rest, like) if rest.shape[-1] else None
        return Past(tensor(np.where(known, value, 0.0), like), tensor(known, like), exogenous)

    def check(self, row: Array) -> None:
        """Raise if a row that comes in cannot be used: it would spoil the memory for good."""
        wrong = ~np.isfinite(row)
        wrong[: self.missing] &= np.isinf(row[: self.missing])
        if wrong.any():
            feature = int(np.argmax(wrong))
            raise ValueError(
                f"The input is {row[feature]} in feature {feature}: the memory would be spoilt for good, so the stream "
                "stays where it was. Push a finite row, such as the last one again, or leave the step out."
            )


class Targets(Protocol):
    """The other side: what a network's outputs stand for."""

    head: Head

    def encode(self, table: Array) -> Array:
        """Targets as users give them, (rows, targets), in the units of the network; NaN where there is none."""

    def decode(self, output: Tensor) -> Array:
        """From outputs (…, targets · outputs) to predictions, in the units of the data."""

    def finish(self, values: Array) -> Any:
        """From predictions to what users get, (…, targets)."""

    def quantiles(self, output: Tensor, levels: Sequence[float] | None = None) -> Array:
        """Quantiles (…, targets, levels), in the units of the data."""

    def log_probabilities(self, output: Tensor) -> Array:
        """ln p of every class (…, classes)."""

    def probabilities(self, output: Tensor) -> Array:
        """The probability of every class (…, classes)."""


@dataclass(frozen=True)
class NumberTargets:
    """Numbers: y = s ŷ + m, with ŷ the point prediction of the head.

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
        numbers = as_numbers(table)
        if numbers.shape[1] != len(self.scaling.mean):
            raise ValueError(f"y has {numbers.shape[1]} outputs, but the model predicts {len(self.scaling.mean)}.")
        return self.scaling.apply(numbers)

    def decode(self, output: Tensor) -> Array:
        return self.scaling.invert(self.head.point(output).cpu().numpy())

    def finish(self, values: Array) -> Any:
        return values

    def quantiles(self, output: Tensor, levels: Sequence[float] | None = None) -> Array:
        spread = self.head.quantile(output, self.levels if levels is None else levels)
        values = spread.cpu().numpy().astype(np.float64)
        return values * self.scaling.scale[:, None] + self.scaling.mean[:, None]

    def log_probabilities(self, output: Tensor) -> Array:
        return self.head.log_probabilities(output).cpu().numpy()

    def probabilities(self, output: Tensor) -> Array:
        return self.head.probabilities(output).cpu().numpy()


@dataclass(frozen=True)
class ClassTargets:
    """Classes: probabilities from scores, labels from probabilities.

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
        known = ~is_missing(labels)
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
        return np.asarray(self.classes[values.argmax(-1)])[..., None]

    def quantiles(self, output: Tensor, levels: Sequence[float] | None = None) -> Array:
        return self.head.quantile(output, levels or ()).cpu().numpy()

    def log_probabilities(self, output: Tensor) -> Array:
        return self.head.log_probabilities(output.double()).squeeze(-2).cpu().numpy()

    def probabilities(self, output: Tensor) -> Array:
        return self.decode(output)


@dataclass(frozen=True)
class Codec:
    """Both sides of a network.

    Parameters
    ----------
    inputs : NumberInputs, or what has its interface
    targets : NumberTargets, ClassTargets, or what has their interface
    """

    inputs: Any
    targets: Any


@dataclass(frozen=True)
class Plain:
    """Both sides of a bare cell, which has no other units than its own.

    Parameters
    ----------
    width : int
        How many numbers come in.
    """

    width: int

    @property
    def inputs(self) -> Plain:
        """Rows come in as they are."""
        return self

    @property
    def targets(self) -> Plain:
        """Outputs go out as they are."""
        return self

    def encode(self, rows: Array, like: Tensor) -> Tensor:
        return tensor(rows, like)

    def check(self, row: Array) -> None:
        NumberInputs(Scaling.identity(self.width), np.zeros(self.width)).check(row)

    def decode(self, output: Tensor) -> Array:
        values: Array = output.cpu().numpy()
        return values

    def finish(self, values: Array) -> Any:
        return values

    def quantiles(self, output: Tensor, levels: Sequence[float] | None = None) -> Array:
        raise ValueError("A bare cell says what it gives, and no quantiles: stream from a fitted regressor.")

    def log_probabilities(self, output: Tensor) -> Array:
        return self.probabilities(output)

    def probabilities(self, output: Tensor) -> Array:
        raise ValueError("A bare cell says what it gives, and no probabilities: stream from a fitted classifier.")


def tensor(values: Array, like: Tensor) -> Tensor:
    """An array as a tensor of this dtype and device."""
    return torch.as_tensor(np.ascontiguousarray(values)).to(like.device, like.dtype)
