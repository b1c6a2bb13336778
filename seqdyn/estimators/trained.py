"""What every estimator has that is trained by gradient: its budget, its optimizer, its device, its seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from seqdyn.files import storable
from seqdyn.generators import generator_of
from seqdyn.training.checkpoint import Checkpoint, described
from seqdyn.training.loop import BUDGETS, Recipe, Trainer

UNMARKED = ("checkpoint", "checkpoint_every", "verbose")
"""Parameters that a training does not depend on."""


@dataclass(kw_only=True, repr=False, eq=False)
class Trained(BaseEstimator):
    """An estimator with a :class:`~seqdyn.training.loop.Recipe`.

    Parameters
    ----------
    optimizer : {"adam", "adamw", "sgd"}
    learning_rate : float
    schedule : None, "constant", "cosine", "plateau", "warmup", "warmup_cosine" or callable
        Factor on the learning rate, by the progress of the training.
    weight_decay : float
    clip_norm : float or None
        Longest gradient, over all parameters together.
    clip_quantile : float in (0, 1), or None
        Longest gradient as a quantile of the norms of all steps so far (AutoClip; 0.1 is usual); at most ``clip_norm``
        where that is given, too.
    weight_average : float in [0, 1)
        Keep the exponential average of the weights, w̄ ← a w̄ + (1 − a) w after every step; 0 keeps the last weights.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without ``max_epochs``: 200 epochs, or as many as 1,000
        steps take, or as ``max_steps`` asks for. ``max_epochs=0`` is the start alone, such as a ``linear_start``.
    early_stopping, validation_fraction : bool, float in (0, 1)
        Hold out a part of the data, watch the loss there, and restore the best weights. Otherwise the training loss is
        watched.
    n_iter_no_change, tol : int, float
        A training ends once the watched loss has not improved by ``tol`` for more than ``n_iter_no_change`` epochs and
        for 500 optimizer steps.
    device : "auto", str or torch.device
        ``"auto"`` takes the GPU where there is one.
    dtype : {"float32", "float64"}
    random_state : int, RandomState or None
    verbose : bool or int
        Whether to show a progress bar.
    checkpoint : path or None
        A file where ``fit`` keeps the training while it runs. If the file is there already, the same call goes on from
        it, to the bit; a call with other data or parameters is refused. ``partial_fit`` leaves it alone.
    checkpoint_every : float, at least 0
        Seconds between two writings: what is lost at most.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-2
    schedule: Any = None
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    clip_quantile: float | None = None
    weight_average: float = 0.0
    max_epochs: int | None = None
    max_steps: int | None = None
    max_time: float | None = None
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    device: Any = "auto"
    dtype: str = "float32"
    random_state: Any = None
    verbose: int | bool = 0
    checkpoint: Any = None
    checkpoint_every: float = 60.0

    def _recipe(self) -> Recipe:
        """How to train."""
        own = self.get_params(deep=False)
        return Recipe(**{field.name: own[field.name] for field in fields(Recipe) if field.name in own})

    def _checkpointed(self, mark: Mapping[str, str], by_progress: bool, beside: Mapping[str, Any]) -> Checkpoint:
        """Where a training is kept, marked with the parameters it depends on.

        Parameters
        ----------
        mark : mapping of str to str
            What else it is of.
        by_progress : bool
            Whether a step depends on how much is still to come: the budget is then part of the mark.
        beside : mapping of str to Resumable
            What goes on with it.
        """
        free = UNMARKED if by_progress else (*UNMARKED, *BUDGETS)
        given = {name: described(storable(v)) for name, v in self.get_params(deep=False).items() if name not in free}
        own = given | {"estimator": type(self).__name__} | dict(mark)
        return Checkpoint(self.checkpoint, self.checkpoint_every, own, beside)

    @property
    def _precision(self) -> torch.dtype:
        return precision_of(self.dtype)

    @property
    def _device(self) -> torch.device:
        return device_of(self.device)

    def _generator(self, state: Tensor | None = None) -> torch.Generator:
        """All randomness of a fit, from ``random_state`` or going on from a state; the global ones are left alone."""
        return generator_of(self.random_state) if state is None else torch.Generator().set_state(state)

    def _fresh(self, build: Callable[[torch.Generator], nn.Module], generator: torch.Generator) -> nn.Module:
        """A new network; cells of users that draw from torch's global generator find it seeded, and unchanged."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(generator.initial_seed())  # manual_seed would seed every GPU, too
            return build(generator).to(self._device, self._precision)


def precision_of(dtype: str) -> torch.dtype:
    """The type of a network's numbers, by its name."""
    return torch.float64 if dtype == "float64" else torch.float32


def device_of(device: Any) -> torch.device:
    """A device, ``"auto"`` the GPU where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def history(trainer: Trainer) -> pd.DataFrame:
    """The frame of a training: one row an epoch; ``attrs["non_finite"]`` lists where it met what is not finite."""
    frame = pd.DataFrame(trainer.history, columns=list(trainer.columns))
    frame.attrs["non_finite"] = trainer.non_finite
    return frame


def with_budget(recipe: Recipe, batches: int, epochs: int, steps: int) -> Recipe:
    """The recipe with a budget, where none is given: so many epochs, or as many as so many steps take.

    Examples
    --------
    >>> with_budget(Recipe(), batches=10, epochs=3, steps=500).max_epochs
    50
    """
    free = recipe.max_epochs is None and recipe.max_steps is None and recipe.max_time is None
    return replace(recipe, max_epochs=max(epochs, -(-steps // batches))) if free else recipe
