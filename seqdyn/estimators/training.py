"""What a training is told: the optimizer and its budget; how a recurrence is trained through time.

:class:`Optimisation` holds what every training by gradient takes, :class:`Training` what a training on sequences takes
beside, and :class:`Alignment` says how outputs then stand beside inputs. They are frozen values: estimators take their
parameters one by one, and make such a value of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.files import storable
from seqdyn.generators import generator_of, seeded
from seqdyn.initial_state import InitialState, Warmup, as_initial_state
from seqdyn.training.checkpoint import Checkpoint, described
from seqdyn.training.loop import BUDGETS, Recipe

Clip = float | tuple[str, float] | tuple[str, float, float] | None
"""The longest gradient: a number, ``("quantile", q)``, that quantile and at most a number, or no limit."""

UNMARKED = ("checkpoint", "checkpoint_every", "verbose", "callback")
"""Parameters that a training does not depend on."""


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """What a training by gradient is told, whatever is trained.

    Parameters
    ----------
    optimizer : {"adam", "adamw", "sgd"}
        The rule of a step.
    learning_rate : float, above 0
        η, how far a step goes.
    schedule : None, "constant", "cosine", "plateau", "warmup", "warmup_cosine" or callable
        Factor on the learning rate, by the progress of the training.
    weight_decay : float, at least 0
        Share of every weight that is taken away, per unit of the learning rate.
    clip_norm : float, ("quantile", q), ("quantile", q, float), or None
        Longest gradient, over all parameters together: a number; the quantile q in (0, 1) of the norms of all steps so
        far (AutoClip; 0.1 is usual); or that quantile, and at most a number.
    clip_quantile : float in (0, 1), or None
        The former name of such a quantile; it goes in the next release.
    weight_average : float in [0, 1)
        Keep the exponential average of the weights, w̄ ← a w̄ + (1 − a) w after every step; 0 keeps the last weights.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without ``max_epochs``: 200 epochs, or as many as 1,000
        steps take, or as ``max_steps`` asks for. ``max_epochs=0`` is the start alone, such as a ``linear_start``.
    early_stopping : bool
        Hold out a part of the data, watch the loss there, and restore the best weights. Otherwise the training loss is
        watched.
    validation_fraction : float in (0, 1)
        The share that is held out.
    n_iter_no_change, tol : int, float
        A training ends once the watched loss has not improved by ``tol`` for more than ``n_iter_no_change`` epochs and
        for 500 optimizer steps.
    device : "auto", str or torch.device
        ``"auto"`` takes the GPU where there is one.
    dtype : {"float32", "float64"}
        Precision of the network.
    random_state : int, RandomState or None
        Seeds all that is drawn.
    verbose : bool or int
        0 shows nothing, 1 a progress bar, 2 more in it.
    callback : callable or None
        ``callback(progress) -> bool`` is told after every epoch how far the training is, see
        :class:`~seqdyn.progress.Progress`; a true answer ends it, as a spent budget would.
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
    clip_norm: Clip = 1.0
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
    callback: Any = None
    checkpoint: Any = None
    checkpoint_every: float = 60.0

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Self:
        """What some parameters, and perhaps more of them, say of it."""
        return cls(**{field.name: parameters[field.name] for field in fields(cls) if field.name in parameters})

    @property
    def precision(self) -> torch.dtype:
        """The type of the network's numbers."""
        return torch.float64 if self.dtype == "float64" else torch.float32

    @property
    def place(self) -> torch.device:
        """The device; ``"auto"`` is the GPU where there is one."""
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device)

    def generator(self) -> torch.Generator:
        """All randomness of a fit, from ``random_state``; the global ones are left alone."""
        return generator_of(self.random_state)

    def fresh(self, build: Callable[[torch.Generator], nn.Module], generator: torch.Generator) -> nn.Module:
        """A new network; cells of users that draw from torch's global generator find it seeded, and unchanged."""
        place, precision = self.place, self.precision
        with seeded(generator):
            return build(generator).to(place, precision)

    def checkpointed(
        self, mark: Mapping[str, str], parameters: Mapping[str, Any], by_progress: bool, beside: Mapping[str, Any]
    ) -> Checkpoint:
        """Where a training is kept, marked with what it depends on: estimator and data (``mark``), and parameters.

        ``by_progress``: a step depends on how much is still to come, so that the budget is part of the mark. What is
        ``beside`` goes on with the training.
        """
        free = UNMARKED if by_progress else (*UNMARKED, *BUDGETS)
        given = {name: described(storable(value)) for name, value in parameters.items() if name not in free}
        return Checkpoint(self.checkpoint, self.checkpoint_every, given | dict(mark), beside)


@dataclass(frozen=True)
class Alignment:
    """How outputs stand beside inputs.

    There is one output a step (``per_step``), read ``lag`` steps later, or one a sequence, at its end. The ``warmup``
    carries no loss and no score; None: a tenth of every sequence, of at most ``window`` steps. With ``own_past`` the
    leading columns of X are the targets' last values.
    """

    per_step: bool = True
    lag: int = 0
    warmup: int | None = 0
    window: int | None = None
    own_past: Autoregression | None = None

    @property
    def missing(self) -> int:
        """How many leading columns of X may be NaN."""
        return 0 if self.own_past is None else self.own_past.targets

    def check_columns(self, inputs: int, outputs: int) -> None:
        """Raise if X and y do not have the columns that ``autoregression`` speaks of."""
        own = self.own_past
        if own is not None and (inputs < own.targets or outputs != own.targets * own.horizon):
            raise ValueError(
                f"autoregression with targets={own.targets} and horizon={own.horizon} needs the last values in the "
                f"{own.targets} leading columns of X and {own.targets * own.horizon} columns of y, but X has "
                f"{inputs} and y {outputs}."
            )

    def check_per_step(self) -> None:
        """Raise if an output has no target of its own step."""
        if not self.per_step or self.lag:
            raise ValueError(
                "Every output is compared with a target of the same step here: that needs return_sequences=True and "
                "output_lag=0."
            )


@dataclass(frozen=True, kw_only=True)
class Training(Optimisation):
    """What a training by backpropagation through time is told, full or truncated.

    Parameters
    ----------
    return_sequences : bool
        True: one output a step; False: one output a sequence (many-to-one).
    initial_state : {"zero", "random", "learned", "warmup"}, strategy or State
        Where the memory starts, see :mod:`seqdyn.initial_state`. ``"warmup"`` is zero with
        ``warmup=max(1, T // 10)`` when that is None.
    warmup : int or None
        Leading steps that run to find the state and carry no loss or score. ``"warmup"`` takes a tenth of whatever
        sequence it meets, in ``score`` of the sequence scored.
    output_lag : int
        τ: y_t is read after x_{t+τ} was seen. X is continued by τ mean rows.
    window, stride : int or None, int
        None trains on whole sequences; else on windows of that many steps, each separately, ``stride`` apart.
    bptt_length, streams : int or None, int
        None is full BPTT. k is truncated BPTT: the sequences lie end to end on ``streams`` streams, one training step
        is one chunk of k steps, and the state is carried on without end.
    omega : float of at least 0
        Weight of Pascanu's Ω in the loss, which keeps the length of the gradient on its way back, see
        :func:`~seqdyn.dynamics.norm_preservation.omega_penalty`: 2 to 4 on sequences with one target at their end. A
        step then takes three to four times as long. The trajectory it looks at has no dropout.
    initialise : None, "orthogonal", "identity", (name, number) or callable
        Where the recurrent weights start, see :mod:`seqdyn.training.initialisation`: ``("orthogonal", gain)``,
        ``("identity", gain)``, ``("forget_bias", value)`` and ``("chrono", longest)``, or a callable
        ``(cell, generator) -> None``. None leaves a cell's own start. It comes before ``linear_start``.
    batch_size : int
        Sequences or windows in one step, padded and masked; those of like lengths together.
    early_stopping : bool
        Hold out the last ``validation_fraction`` of every sequence (of the sequences, with ``return_sequences=False``,
        and of each class its share), watch the loss there, and restore the best weights. Otherwise the training loss is
        watched.
    validation_fraction : float in (0, 1)
        The share that is held out.
    scale : bool
        Standardise inputs and targets inside, fitted on the training part only.
    warm_start : bool
        ``fit`` goes on from the weights and scaling of the last one.
    autoregression : Autoregression or None
        How the leading columns of X, the last values of the targets, are used; they may then be NaN. Its
        ``teacher_forcing`` and ``free_run`` may change where a fit goes on from the last one.
    """

    return_sequences: bool = True
    initial_state: Any = "zero"
    warmup: int | None = None
    output_lag: int = 0
    window: int | None = None
    stride: int = 1
    bptt_length: int | None = None
    streams: int = 1
    omega: float = 0.0
    initialise: Any = None
    batch_size: int = 32
    scale: bool = True
    warm_start: bool = False
    autoregression: Autoregression | None = None

    @cached_property
    def strategy(self) -> InitialState:
        """Where the memory of the network starts."""
        return as_initial_state(self.initial_state)

    @cached_property
    def alignment(self) -> Alignment:
        """How outputs stand beside inputs."""
        warmup = warmup_of(self.strategy, self.warmup)
        return Alignment(self.return_sequences, self.output_lag, warmup, self.window, self.autoregression)


def warmup_of(strategy: InitialState, warmup: int | None) -> int | None:
    """The warm-up that is asked for, or that the strategy brings; None: a tenth of every sequence."""
    if warmup is not None or not isinstance(strategy, Warmup):
        return warmup or 0
    return strategy.steps


def with_budget(recipe: Recipe, batches: int, epochs: int, steps: int) -> Recipe:
    """The recipe with a budget, where none is given: so many epochs, or as many as so many steps take.

    Examples
    --------
    >>> with_budget(Recipe(), batches=10, epochs=3, steps=500).max_epochs
    50
    """
    free = recipe.max_epochs is None and recipe.max_steps is None and recipe.max_time is None
    return replace(recipe, max_epochs=max(epochs, -(-steps // batches))) if free else recipe
