"""The training of a linear state-space network by gradient: from where it was identified, or from random weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import numpy as np
import torch
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.cell import Cell
from seqdyn.cells.linear import Linear
from seqdyn.checks import outside
from seqdyn.composition import Offset
from seqdyn.data.scaling import Scaling
from seqdyn.estimators.linear_model import linear_of, scaled_system
from seqdyn.estimators.observers import ReachObserver
from seqdyn.estimators.tasks import NumberTask
from seqdyn.identification.stability import largest_modulus, pulled_inside
from seqdyn.identification.system import LinearSystem
from seqdyn.training.batches import Rows
from seqdyn.training.checkpoint import Checkpoint
from seqdyn.training.loop import Trainer

LARGEST_TRAINED_RADIUS = 0.9999
"""Where a transition that training made unstable is moved."""


@dataclass(kw_only=True, repr=False, eq=False)
class LinearTraining(NumberTask):
    """The part of a linear state-space regressor that trains: a linear network, and how to go on with it.

    Parameters
    ----------
    order : int
        Width of h.
    stable : bool
        Move a transition that training made unstable back inside the unit circle.
    beginning : Settings or None
        What the network it starts from was identified by; a checkpoint is marked with it. None: the weights it has, or
        random ones.
    **others
        As in :class:`~seqdyn.estimators.tasks.NumberTask`.
    """

    order: int
    stable: bool = True
    beginning: Any = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any], fitted: Mapping[str, Any]) -> Self:
        """A training with these parameters, of what is fitted so far: a network, scalings, where a training was.

        Parameters
        ----------
        parameters : mapping of str to value
            Those of this class, and perhaps more.
        fitted : mapping of str to value
            Fitted attributes. Without ``network_`` it starts from random weights and fits the scalings.
        """
        own = {field.name: parameters[field.name] for field in fields(cls) if field.name in parameters}
        training = cls(**own | {"warm_start": True})
        training.__dict__.update(fitted, fitted_params_=training.get_params(deep=False))
        return training

    def learnt(self) -> dict[str, Any]:
        """Everything fitted, by the names of the attributes."""
        own = {"fitted_params_", *self.get_params(deep=False)}
        return {name: value for name, value in vars(self).items() if name not in own}

    def untrained(self) -> Cell:
        """A network of the fitted widths, with weights that mean nothing."""
        return cast(Cell, self._fresh(self._rebuild, torch.Generator()))

    def _network(self, inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
        linear = Linear(inputs + 1, self.order, outputs, generator)
        with torch.no_grad():
            linear.input_map[:, -1] = 0.0  # no offset to begin with, as in the feedthrough
        return self._start(Offset(linear))

    def _train(self, trainer: Trainer, fresh: bool) -> None:
        super()._train(trainer, fresh)
        if self.stable:
            keep_stable(linear_of(self.network_))

    def _forgetting_time(self, rows: Rows, generator: torch.Generator) -> float:
        return scaled_system(self.network_).forgetting_time()

    def _checkpoint(self, trainer: Trainer, fresh: bool, observer: ReachObserver) -> Checkpoint | None:
        return super()._checkpoint(trainer, fresh or self.beginning is not None, observer)


def keep_stable(linear: Linear) -> None:
    """Move a trained transition inside the unit circle if it left it, with a warning.

    Parameters
    ----------
    linear : Linear
        Changed in place.
    """
    transition = linear.transition.detach().cpu().double().numpy()
    radius = largest_modulus(transition)
    if radius < 1.0:
        return
    warnings.warn(
        f"The training led to an unstable model (spectral radius {radius:.4g}), which was moved inside the unit "
        "circle: what it predicts changes. Train with a smaller learning_rate, or set stable=False.",
        stacklevel=outside(),
    )
    with torch.no_grad():
        linear.transition.copy_(torch.as_tensor(pulled_inside(transition, LARGEST_TRAINED_RADIUS)))


def delay_line_scaling(own: Autoregression, scaling: Scaling) -> Scaling:
    """The scaling of a delay line of the leading inputs, and of the other inputs."""
    first, rest, lags = slice(own.targets), slice(own.targets, None), own.lags - own.centred
    mean = np.tile(scaling.mean[first], lags) * (not own.centred)
    scale = np.tile(scaling.scale[first], lags)
    return Scaling(np.r_[mean, scaling.mean[rest]], np.r_[scale, scaling.scale[rest]])


def is_filter(system: LinearSystem) -> bool:
    """Whether its noise gain makes a stable filter of a system, with transition D − K B."""
    gain = system.noise_gain
    return gain is not None and largest_modulus(system.transition - gain @ system.readout) < 1.0
