"""The linear state-space model as a regressor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from seqdyn.cells.linear import Linear
from seqdyn.estimators.tasks import NumberTask

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class LinearStateSpaceRegressor(NumberTask):
    """A linear state-space model learned by gradient: [y_t; h_t] = [A B; C D] [x_t; h_{t-1}].

    Parameters
    ----------
    order : int, at least 1
        Width of h.
    **others
        The training, see :class:`~seqdyn.estimators.gradient.GradientEstimator`.

    Attributes
    ----------
    feedthrough_, readout_, input_map_, transition_ : array
        A, B, C, D from inputs in their units over the state in network units to outputs in their units; inputs and
        outputs are taken as deviations from their training means.

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
        return self._start(Linear(inputs, self.order, outputs, generator))

    @property
    def feedthrough_(self) -> Array:
        """A, (outputs, inputs)."""
        return self._matrix("feedthrough") * self._gain()[:, None] / self.input_scaling_.scale

    @property
    def readout_(self) -> Array:
        """B, (outputs, order)."""
        return self._matrix("readout") * self._gain()[:, None]

    @property
    def input_map_(self) -> Array:
        """C, (order, inputs)."""
        return self._matrix("input_map") / self.input_scaling_.scale

    @property
    def transition_(self) -> Array:
        """D, (order, order)."""
        return self._matrix("transition")

    def _gain(self) -> Array:
        return np.repeat(self.target_scaling_.scale, self._loss().heads)

    def _matrix(self, name: str) -> Array:
        linear = next(module for module in self.cell_.modules() if isinstance(module, Linear))
        values: Array = getattr(linear, name).detach().cpu().double().numpy()
        return values
