"""The training of a linear state-space network by gradient: from where it was identified, or from random weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from seqdyn.cell import Cell
from seqdyn.cells.linear import Linear
from seqdyn.checks import outside
from seqdyn.composition import Offset
from seqdyn.estimators.learning import Learner
from seqdyn.estimators.linear_model import linear_of, scaled_system
from seqdyn.estimators.tasks import ClassTask, NumberTask
from seqdyn.estimators.training import Training
from seqdyn.identification.stability import largest_modulus, pulled_inside
from seqdyn.identification.system import LinearSystem
from seqdyn.training.batches import Rows

LARGEST_TRAINED_RADIUS = 0.9999
"""Where a transition that training made unstable is moved."""


def linear_learner(name: str, training: Training, task: NumberTask | ClassTask, given: Mapping[str, Any]) -> Learner:
    """A linear network of ``order`` states, trained as parameters say, and inside the unit circle if ``stable``."""

    def build(inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
        linear = Linear(inputs + 1, given["order"], outputs, generator)
        with torch.no_grad():
            linear.input_map[:, -1] = 0.0  # no offset to begin with, as in the feedthrough
        return training.strategy(Offset(linear))

    def finish(network: nn.Module) -> None:
        if given["stable"]:
            keep_stable(linear_of(network))

    def forgets(cell: Cell, rows: Rows, generator: torch.Generator) -> float:
        return scaled_system(cell).forgetting_time()

    return Learner(
        name=name, training=training, task=task, build=build, parameters=given, finish=finish, forgetting_time=forgets
    )


def keep_stable(linear: Linear) -> None:
    """Move a trained transition inside the unit circle if it left it, with a warning."""
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


def is_filter(system: LinearSystem) -> bool:
    """Whether its noise gain makes a stable filter of a system, with transition D − K B."""
    gain = system.noise_gain
    return gain is not None and largest_modulus(system.transition - gain @ system.readout) < 1.0
