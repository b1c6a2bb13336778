"""How a linear state-space regressor finds its model: whether it is identified, by what, and whether it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqdyn.estimators.parameters import NUMBER_LOSS, Rule, accepted, at_least, each, either, one_of, optional
from seqdyn.estimators.sampling import STEP_RULES
from seqdyn.estimators.starts import is_estimate
from seqdyn.identification.delay import check_shorter, checked_delays
from seqdyn.identification.identify import Settings
from seqdyn.identification.subspace import WEIGHTINGS
from seqdyn.initial_state import NAMED, InitialState, Warmup, Zero, as_initial_state

METHODS = ("subspace+gradient", "subspace", "gradient")
LINEAR_RULES: dict[str, Rule] = STEP_RULES | {
    "loss": NUMBER_LOSS,
    "order": either(at_least(1), one_of("auto")),
    "method": one_of(*METHODS),
    "weighting": one_of(*WEIGHTINGS),
    "feedthrough": one_of(False, True),
    "stable": one_of(False, True),
    "block_rows": optional(at_least(2)),
    "focus": one_of("auto", "prediction", "simulation"),
    "offset": one_of("constant", "drift", "trend"),
    "input_delay": either(at_least(0), one_of("auto"), each(at_least(0))),
    "initial_state": either(
        one_of("estimate"), accepted(as_initial_state, f"one of {', '.join(map(repr, NAMED))}, a strategy, or a State")
    ),
}
"""What the parameters of an identification must be."""


@dataclass(frozen=True)
class Plan:
    """What becomes of some parameters: ``settings`` of the identification, and the ``strategy`` by which a run starts.

    ``estimates_starts``: the start of every record is found with the model. ``identifiable``: every row of the targets
    is an output of the step beside it, and stands for a level. ``identifies`` and ``trains``: there is a closed form,
    and the training loop comes, after it or alone.
    """

    settings: Settings
    strategy: InitialState
    estimates_starts: bool
    identifiable: bool
    identifies: bool
    trains: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], heads: int) -> Plan:
        """The plan of these parameters, for a loss of so many outputs a target."""
        free_starts = is_estimate(given["initial_state"])
        strategy = Zero() if free_starts else as_initial_state(given["initial_state"])
        plain = given["autoregression"] is None and given["return_sequences"] and not given["output_lag"]
        identifiable = plain and heads == 1
        identifies = identifiable and given["method"] != "gradient"
        refine = given["method"] == "subspace+gradient"
        least_squares = _is_squared_error(given) and isinstance(strategy, Zero | Warmup)
        own = {name: given[name] for name in Settings.__dataclass_fields__ if name in given}
        settings = Settings(**own | {"refine": refine and least_squares, "free_starts": free_starts})
        trains = not identifies or (refine and not least_squares)
        return cls(settings, strategy, free_starts, identifiable, identifies, trains)

    def check_delays(self, inputs: int, lengths: Any) -> None:
        """Raise if the delays that were given do not fit so many inputs, or records of these lengths."""
        given = self.settings.input_delay
        if not isinstance(given, str):
            check_shorter(checked_delays(given, inputs, "input_delay"), lengths)

    def method(self, refined: bool) -> str:
        """What the model was found by, in words; whether least squares refined the closed form."""
        steps = ["subspace"] * self.identifies + ["least squares"] * refined + ["training"] * self.trains
        return "+".join(steps)


def _is_squared_error(given: Mapping[str, Any]) -> bool:
    """Whether a training would minimise the squared error of the free run over whole records."""
    plain = isinstance(given["loss"], str) and given["loss"] == "mse" and given["weight_decay"] == 0.0
    return plain and given["window"] is None and given["bptt_length"] is None and not given["early_stopping"]
