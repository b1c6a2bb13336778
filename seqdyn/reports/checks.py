"""The checks of a report: each with an id that stays, a value, and the threshold it is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

STATUSES = ("PASS", "WARN", "FAIL", "SKIPPED", "ERROR")

MEASURED = {
    "gradient": "Gradients",
    "lyapunov": "Lyapunov exponents",
    "parameters": "Gradients of single parameters",
    "products": "Products of Jacobians",
    "recurrence": "Jacobians of one step",
    "saturation": "Ranges of the units",
}
"""What measurements are called in a sentence."""


class Check(NamedTuple):
    """One check.

    Attributes
    ----------
    id : str
        Stable: GS001, GS002, …
    name : str
    status : {"PASS", "WARN", "FAIL", "SKIPPED", "ERROR"}
    value, threshold : float or None
    unit : str
    message : str
        What was found.
    section : str
        Where in the report the numbers stand.
    """

    id: str
    name: str
    status: str
    value: float | None
    threshold: float | None
    unit: str
    message: str
    section: str


class Answer(NamedTuple):
    """What a check came to."""

    status: str
    value: float | None
    threshold: float | None
    message: str


class Rule(NamedTuple):
    """How a check is made; needs are names of measurements, without which it is skipped or in error."""

    id: str
    name: str
    unit: str
    section: str
    needs: tuple[str, ...]
    judge: Callable[[Any], Answer]

    def check(self, case: Any) -> Check:
        """Judge a case, which has what was ``found``, and in it a dictionary of what ``failed``, and why."""
        status, value, threshold, message = self._answer(case)
        return Check(self.id, self.name, status, value, threshold, self.unit, message, self.section)

    def _answer(self, case: Any) -> Answer:
        for need in self.needs:
            if need in case.found.failed:
                return Answer("ERROR", None, None, case.found.failed[need])
            if getattr(case.found, need) is None:
                return skipped(f"{MEASURED.get(need, need.replace('_', ' ').capitalize())} were not measured.")
        return self.judge(case)


def rule(id: str, name: str, unit: str, section: str, *needs: str) -> Callable[[Callable[[Any], Answer]], Rule]:
    """Make a rule of a function that judges a case."""
    return lambda judge: Rule(id, name, unit, section, needs, judge)


def counts(checks: Sequence[Check]) -> dict[str, int]:
    """How many checks have each status; they add up to all of them."""
    return {status: sum(check.status == status for check in checks) for status in STATUSES}


def skipped(why: str) -> Answer:
    """A check that does not apply."""
    return Answer("SKIPPED", None, None, why)


def at_most(value: float, threshold: float, message: str, bad: str = "WARN") -> Answer:
    """PASS where the value does not exceed its threshold."""
    return Answer("PASS" if value <= threshold else bad, value, threshold, message)


def at_least(value: float, threshold: float, message: str, bad: str = "WARN") -> Answer:
    """PASS where the value reaches its threshold."""
    return Answer("PASS" if value >= threshold else bad, value, threshold, message)
