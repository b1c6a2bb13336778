"""The advice of a report: each with an id that stays, the number to set, and the check that it follows from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Recommendation(NamedTuple):
    """One thing to change.

    Attributes
    ----------
    id : str
        Stable: R01, R02, …
    text : str
        What is to be pasted stands in backticks.
    number : float or None
        The number in the text that is to be set.
    unit : str
    check : str
        The id of the check behind it.
    """

    id: str
    text: str
    number: float | None
    unit: str
    check: str


Advice = tuple[str, float] | None
"""A text and its number; None where there is nothing to advise."""

Adviser = Callable[[Any], Advice]


class Rules:
    """Rules of advice, asked in the order in which they are declared.

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
        """Declare a rule: a function that is asked where its check fails, or always."""

        def declare(advise: Adviser) -> Adviser:
            def rule(case: Any) -> Recommendation | None:
                given = advise(case) if always or check in case.failing else None
                return None if given is None else Recommendation(id, *given, unit, check)

            self._rules.append(rule)
            return advise

        return declare

    def on(self, case: Any) -> list[Recommendation]:
        """What they advise on a case, which knows the ids of the checks that are ``failing``; nothing twice."""
        return list(dict.fromkeys(given for rule in self._rules if (given := rule(case)) is not None))
