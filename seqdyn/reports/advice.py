"""The recommendations of a report: each has an id that never changes, a number to set, and the check behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Recommendation(NamedTuple):
    """One recommended change.

    Attributes
    ----------
    id : str
        R01, R02, …; it never changes.
    text : str
        The advice in words; code to paste stands in backticks.
    number : float or None
        The number in the text that should be set.
    unit : str
        Its unit.
    check : str
        The id of the check behind it.
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
