"""Teacher forcing as data: how much of the true past every step of a training sees, k_t in [0, 1].

    v_t = k_t y_{t-1} + (1 − k_t) ŷ_{t-1}

k = 1 everywhere is full teacher forcing, k = 0 a free run; between them lie a coin at every step (scheduled sampling),
a true value now and then (sparse forcing), and a mixture at every step (generalised forcing).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqdyn.checks import check_choice, check_count

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "exponential": lambda progress: 0.01**progress,
    "inverse_sigmoid": lambda progress: 1.0 / (1.0 + math.exp(12.0 * (progress - 0.5))),
}
"""How the share of true values falls from 1 to (about) 0 along the progress of a training, in [0, 1]."""


@dataclass(frozen=True)
class TeacherForcing:
    """Which steps of a training see the true last value, and how much of it.

    Parameters
    ----------
    share : float in [0, 1]
        ε, the share of steps that see it at the beginning; each is drawn.
    schedule : {"constant", "linear", "exponential", "inverse_sigmoid"}
        How ε goes from ``share`` to ``least`` along the training.
    least : float in [0, 1]
        ε at the end of a schedule.
    coin : {"step", "sequence"}
        Whether every step is drawn by itself, or every sequence as a whole.
    every : int, at least 1
        n: only every n-th step, from the first one on, sees the true value at all (sparse forcing).
    alpha : float in (0, 1]
        α: a step that sees the true value sees α y + (1 − α) ŷ (generalised forcing). How much is needed is measured by
        :func:`~seqdyn.dynamics.forcing.recommended_alpha`.
    free_run : int, at least 0
        The last so many steps of every sequence see none.
    warmup : int, at least 0
        The first so many see all of it, whatever the rest says: there the state is found, as it is before a forecast.
        Without it a sequence begins at ŷ = 0, of which a small α keeps much for 1/α steps.

    References
    ----------
    Williams & Zipser (1989), A Learning Algorithm for Continually Running Fully Recurrent Neural Networks; Bengio et
    al. (2015), Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks, section 2.4; Mikhaeil,
    Monfared & Durstewitz (2022), On the difficulty of learning chaotic dynamics with RNNs (sparse); Hess, Monfared,
    Brenner & Durstewitz (2023), Generalized Teacher Forcing for Learning Chaotic Dynamics (generalised).

    Examples
    --------
    >>> TeacherForcing(every=3).known(1, 7)
    tensor([[1., 0., 0., 1., 0., 0., 1.]], dtype=torch.float64)
    >>> TeacherForcing(alpha=0.25, free_run=1).known(1, 3)
    tensor([[0.2500, 0.2500, 0.0000]], dtype=torch.float64)
    >>> TeacherForcing(alpha=0.25, warmup=1).known(1, 3)
    tensor([[1.0000, 0.2500, 0.2500]], dtype=torch.float64)
    """

    share: float = 1.0
    schedule: str = "constant"
    least: float = 0.0
    coin: str = "step"
    every: int = 1
    alpha: float = 1.0
    free_run: int = 0
    warmup: int = 0

    def __post_init__(self) -> None:
        for name in ("share", "least", "alpha"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name} must be a number in [0, 1], got {value!r}.")
        if self.alpha == 0:
            raise ValueError("alpha must be above 0: with 0 no step sees a true value; that is share=0.")
        check_choice("schedule", self.schedule, list(SCHEDULES))
        check_choice("coin", self.coin, ("step", "sequence"))
        check_count("every", self.every)
        check_count("free_run", self.free_run, 0)
        check_count("warmup", self.warmup, 0)

    @property
    def is_full(self) -> bool:
        """Whether every step sees the true value: nothing need be changed, or drawn."""
        alike = self.rate(0.0) == 1.0 and not self.gets_harder
        return alike and self.every == 1 and self.alpha == 1.0 and not self.free_run

    @property
    def gets_harder(self) -> bool:
        """Whether the task changes along the training, so that its loss may rise."""
        return self.schedule != "constant" and self.share > self.least

    def rate(self, progress: float) -> float:
        """ε at a progress in [0, 1].

        Examples
        --------
        >>> TeacherForcing(schedule="linear", least=0.5).rate(0.5)
        0.75
        """
        if self.schedule == "constant":
            return float(self.share)
        return self.least + (self.share - self.least) * SCHEDULES[self.schedule](progress)

    def known(
        self,
        batch: int,
        time: int,
        lengths: Tensor | None = None,
        progress: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """k_t of every step, shape (batch, time), on the CPU.

        Parameters
        ----------
        batch, time : int
        lengths : Tensor of int64, shape (batch,), optional
            The length of every sequence; None: all of them fill the batch.
        progress : float in [0, 1]
            How much of the training is done.
        generator : torch.Generator, optional
            Draws the coins; needed where ε lies below 1.
        """
        places = torch.arange(time)
        shown = (places % self.every == 0).expand(batch, time)
        rate = self.rate(progress)
        if generator is not None:
            shown = shown & (torch.rand(batch, time if self.coin == "step" else 1, generator=generator) < rate)
        elif rate < 1:
            raise ValueError(f"A share of {rate:g} is drawn: give a generator.")
        known = torch.where(places < self.warmup, 1.0, shown.double() * self.alpha)
        if self.free_run:
            ends = torch.full((batch,), time) if lengths is None else lengths.cpu()
            known = known * (places < (ends - self.free_run)[:, None])
        return known


def as_teacher_forcing(value: Any, free_run: int = 0) -> TeacherForcing:
    """A policy from a share, from the name of a schedule, or as it is.

    Examples
    --------
    >>> as_teacher_forcing("linear", free_run=2)
    TeacherForcing(share=1.0, schedule='linear', least=0.0, coin='step', every=1, alpha=1.0, free_run=2, warmup=0)
    """
    if isinstance(value, TeacherForcing):
        if free_run:
            raise ValueError("Say free_run in the TeacherForcing itself, not beside it.")
        return value
    if isinstance(value, str):
        check_choice("teacher_forcing", value, list(SCHEDULES))
        return TeacherForcing(schedule=value, free_run=free_run)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        names = ", ".join(map(repr, SCHEDULES))
        raise ValueError(
            f"teacher_forcing must be a share in [0, 1], one of {names}, or a TeacherForcing, got {value!r}."
        )
    return TeacherForcing(share=float(value), free_run=free_run)
