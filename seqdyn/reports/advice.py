"""The recommendations of a report: each has an id that never changes, a number to set, and the check behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Recommendation(NamedTuple):
    """One recommended change: its id, which never changes, what to do, the number to set, and the check behind it.

    Code to paste stands in backticks in the text.
    """

    id: str
    text: str
    number: float | None
    unit: str
    check: str


Advice = tuple[str, float] | None
"""A text and its number; None if there is nothing to advise."""

Adviser = Callable[[Any], Advice]


class Rules:
    """Rules of advice, applied in the order in which they are declared.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> advice = Rules()
    >>> @advice("R01", "steps", "GS005")
    ... def more(case):
    ...     return f"Give {case.needed} steps.", case.needed
    >>> [given.text for given in advice.on(SimpleNamespace(needed=180, failing={"GS005"}))]
    ['Give 180 steps.']
    >>> advice.on(SimpleNamespace(needed=180, failing=set()))
    []
    """

    def __init__(self) -> None:
        self._rules: list[Callable[[Any], Recommendation | None]] = []

    def __call__(self, id: str, unit: str, check: str, *, always: bool = False) -> Callable[[Adviser], Adviser]:
        """Declare a rule: a function that is applied if its check fails, or always."""

        def declare(advise: Adviser) -> Adviser:
            def rule(case: Any) -> Recommendation | None:
                given = advise(case) if always or check in case.failing else None
                return None if given is None else Recommendation(id, *given, unit, check)

            self._rules.append(rule)
            return advise

        return declare

    def on(self, case: Any) -> list[Recommendation]:
        """The advice on a case, without repetitions; ``case.failing`` has the ids of the checks that failed."""
        return list(dict.fromkeys(given for rule in self._rules if (given := rule(case)) is not None))


GENERAL_ADVICE = {
    "VANISHING": (
        "GS002",
        "Keep the state from step to step: add to it, h_t = h_{t-1} + …, or multiply it by a gate near 1, as "
        "`seqdyn.LSTM` and `seqdyn.GRU` do. Too little of it is left after {lag} now.",
    ),
    "EXPLODING": (
        "GS003",
        "Make the factors of the state in every step smaller, such as the recurrent weights: their effect on the "
        "state and its gradient grows over {lag}.",
    ),
    "MIXED": (
        "GS007",
        "Examine the sequences one by one: over {lag} the gradients of some vanish while those of others explode. "
        "Bring the inputs to the same scale first.",
    ),
    "TRANSIENT": (
        "GS008",
        "Do not let any step stretch the state much in any direction: disturbances grow first and decay within {lag}.",
    ),
    "NOT FINITE": (
        "GS001",
        "Begin from a finite state, look for a logarithm, a root or a division in the step, and keep its argument "
        "where it is defined.",
    ),
    "UNREACHED": (
        "GS006",
        "Look for what separates the errors from the state {lag} before: weights of 0, units that are always 0, or a "
        "`detach()` in the step.",
    ),
    "INCONCLUSIVE": ("GS006", "Give more data, or a `required_lag` below {lag}: these data do not decide."),
    "STOPPED": ("GS006", "Let the report run to its end: the gradient over {lag} was not measured."),
}
"""By verdict: the check behind the advice, and its text."""


def general_advice(verdict: str, lag: str) -> Recommendation:
    """General advice where no rule has any; a verdict other than PASS always comes with advice."""
    check, text = GENERAL_ADVICE.get(verdict, GENERAL_ADVICE["INCONCLUSIVE"])
    return Recommendation("R21", text.replace("{lag}", lag), None, "", check)
