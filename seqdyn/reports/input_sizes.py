"""The size of the inputs of a recurrence, and code that centres and scales the user's X."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqdyn.cell import Cell
from seqdyn.cells.linear import Linear
from seqdyn.composition import Stack
from seqdyn.dynamics.trajectory import double, float64_copy, rows_of
from seqdyn.row_modules import Encoded
from seqdyn.wrapper import Wrapper

FAR_FROM_UNIT = 5.0
"""An input with a larger mean or scale is far from unit size: it drives gates and units to the ends of their range."""

NORMALISING = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.BatchNorm1d)
"""Modules that bring their inputs to unit size, wherever they are inside a step."""


class Sizes(NamedTuple):
    """Mean and standard deviation (inputs,) of what a recurrence reads, and whether these are outputs of an encoder."""

    mean: Tensor
    scale: Tensor
    encoded: bool

    @property
    def largest(self) -> Tensor:
        """The larger of |mean| and scale, for every input."""
        return torch.maximum(self.mean.abs(), self.scale)


def input_sizes(cell: Cell, x: Any) -> Sizes | None:
    """Measure the inputs of the first recurrence of a cell, behind encoders and other wrappers.

    None if the inputs are not plain finite numbers, or if their size does not matter, because the recurrence is linear
    or normalises them itself.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> x = torch.tensor([[[999.0], [1001.0]]])
    >>> input_sizes(GRU(1, 4), x).largest
    tensor([1000.], dtype=torch.float64)
    >>> input_sizes(Encoded(GRU(1, 4), nn.LayerNorm(1)), x).largest
    tensor([0.], dtype=torch.float64)
    """
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() != 3 or not x.shape[2]:
        return None
    inner: Any = float64_copy(cell)
    seen, encoded = double(x), False
    with torch.no_grad():
        while isinstance(inner, Wrapper | Stack):
            encoded = encoded or isinstance(inner, Encoded)
            inner, seen = (inner.layers[0], seen) if isinstance(inner, Stack) else (inner.cell, inner.see(seen))
    if not isinstance(seen, Tensor) or not seen.isfinite().all():
        return None
    if isinstance(inner, Linear) or any(isinstance(part, NORMALISING) for part in inner.modules()):
        return None
    rows = rows_of(seen)
    return Sizes(rows.mean(0), rows.std(0, correction=0), encoded)


def scaling_code(X: Any) -> str:
    """Write code that centres and scales X by scikit-learn's StandardScaler, which leaves constant features at 0.

    Code for arrays, tensors, packed sequences, lists of these and DataFrames; words for anything else.

    Examples
    --------
    >>> scaling_code(np.zeros((50, 3)))
    '`X = StandardScaler().fit_transform(X.reshape(-1, X.shape[-1])).reshape(X.shape)`'
    """
    flat = "StandardScaler().fit_transform(X.reshape(-1, X.shape[-1]))"
    if isinstance(X, PackedSequence):
        return "`X = X._replace(data=torch.as_tensor(StandardScaler().fit_transform(X.data)))`"
    if isinstance(X, pd.DataFrame):
        return "`X = StandardScaler().set_output(transform='pandas').fit_transform(X)`"
    if isinstance(X, Tensor) and not X.is_nested and X.dim() > 1:
        return f"`X = torch.as_tensor({flat}).reshape(X.shape)`"
    if isinstance(X, np.ndarray) and X.ndim > 1:
        return f"`X = {flat}.reshape(X.shape)`"
    if isinstance(X, list) and all(isinstance(rows, np.ndarray | Tensor) and rows.ndim == 2 for rows in X):
        parts = "torch.as_tensor(scaler.transform(rows))" if isinstance(X[0], Tensor) else "scaler.transform(rows)"
        return f"`scaler = StandardScaler().fit(np.concatenate(X)); X = [{parts} for rows in X]`"
    return "fitted to the rows of all sequences together"
