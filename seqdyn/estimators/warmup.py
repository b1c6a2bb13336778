"""The leading steps that find the state: how many there are, and whether they suffice."""

from __future__ import annotations

import warnings

from seqdyn.checks import outside
from seqdyn.data.sequences import Sequences
from seqdyn.initial_state import InitialState, Warmup
from seqdyn.predictor import Predictor

LONGEST_MEMORY = 1e6
"""Steps; what remembers its start for longer, as a drift does, forgets it in no warm-up."""


def warmup_of(strategy: InitialState, warmup: int | None) -> int | None:
    """The warm-up that is asked for, or that the strategy brings; None: a tenth of every sequence."""
    if warmup is not None or not isinstance(strategy, Warmup):
        return warmup or 0
    return strategy.steps


def check_warmup(predictor: Predictor, sequences: Sequences, forgetting_time: float) -> None:
    """Warn if the warm-up is shorter than the network remembers its start, and a longer one would do."""
    warmup = int(predictor.warmup_steps(sequences.lengths).min())
    if 0 < warmup < forgetting_time <= LONGEST_MEMORY:
        warnings.warn(
            f"warmup={warmup} is shorter than the {forgetting_time:g} steps this model remembers its start: "
            "predictions after the warm-up still depend on it. Set a longer warmup.",
            stacklevel=outside(),
        )
