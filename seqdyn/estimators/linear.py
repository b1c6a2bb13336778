"""The linear state-space model as a regressor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from seqdyn.cell import Offset
from seqdyn.cells.linear import Linear
from seqdyn.estimators.tasks import NumberTask

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class LinearStateSpaceRegressor(NumberTask):
    """A linear state-space model learned by gradient: [y_t; h_t] = [A B; C D] [x_t; h_{t-1}] + [y_0; h_0].

    Parameters
    ----------
    order : int, at least 1
        Width of h.
    **others
        The training, see :class:`~seqdyn.estimators.gradient.GradientEstimator`.

    Attributes
    ----------
    feedthrough_, readout_, input_map_, transition_ : array
        A, B, C, D, with inputs and outputs in their own units and the state in network units.
    output_offset_, state_offset_ : array
        y_0 in the units of the outputs, and h_0.

    Notes
    -----
    The offsets are the weights of a constant input (:class:`~seqdyn.cell.Offset`). They let a model between scaled
    inputs and outputs be exactly the one between the data.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import LinearStateSpaceRegressor
    >>> x = np.random.default_rng(0).normal(size=(300, 1))
    >>> y = np.convolve(x[:, 0], 0.8 ** np.arange(40))[:300]
    >>> model = LinearStateSpaceRegressor(order=1, max_epochs=400, random_state=0).fit(x, y)
    >>> model.transition_.round(1)
    array([[0.8]])
    """

    order: int = 4

    def _network(self, inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
        linear = Linear(inputs + 1, self.order, outputs, generator)
        with torch.no_grad():
            linear.input_map[:, -1] = 0.0  # no offset to begin with, as in the feedthrough
        return self._start(Offset(linear))

    @property
    def feedthrough_(self) -> Array:
        """A, (outputs, inputs)."""
        return self._matrix("feedthrough")[:, :-1] * self._gain()[:, None] / self._scale()

    @property
    def readout_(self) -> Array:
        """B, (outputs, order)."""
        return self._matrix("readout") * self._gain()[:, None]

    @property
    def input_map_(self) -> Array:
        """C, (order, inputs)."""
        return self._matrix("input_map")[:, :-1] / self._scale()

    @property
    def transition_(self) -> Array:
        """D, (order, order)."""
        return self._matrix("transition")

    @property
    def output_offset_(self) -> Array:
        """y_0, (outputs,)."""
        heads = self._loss().heads
        own = self._matrix("feedthrough")[:, -1] * self._gain() + np.repeat(self.target_scaling_.mean, heads)
        return own - self.feedthrough_ @ self._mean()

    @property
    def state_offset_(self) -> Array:
        """h_0, (order,)."""
        return self._matrix("input_map")[:, -1] - self.input_map_ @ self._mean()

    def _scale(self) -> Array:
        """The scale of every input of the linear cell: of X, or of its delay line."""
        own, scale = self._own_past, self.input_scaling_.scale
        if own is None:
            return scale
        return np.concatenate([np.tile(scale[: own.targets], own.lags - own.centred), scale[own.targets :]])

    def _mean(self) -> Array:
        """The mean of every input of the linear cell; lags relative to the last value have none."""
        own, mean = self._own_past, self.input_scaling_.mean
        if own is None:
            return mean
        lags = np.tile(mean[: own.targets], own.lags - own.centred) * (not own.centred)
        return np.concatenate([lags, mean[own.targets :]])

    def _gain(self) -> Array:
        return np.repeat(self.target_scaling_.scale, self._loss().heads)

    def _matrix(self, name: str) -> Array:
        linear = next(module for module in self.cell_.modules() if isinstance(module, Linear))
        values: Array = getattr(linear, name).detach().cpu().double().numpy()
        return values
