"""The checks of a report: each has an id that never changes, a value and a threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from seqdyn.facts import fact_line

STATUSES = ("PASS", "WARN", "FAIL", "SKIPPED", "ERROR")

INSTRUMENT_NAMES = {
    "gradient": "Gradients",
    "lyapunov": "Lyapunov exponents",
    "parameters": "Gradients of single parameters",
    "products": "Products of Jacobians",
    "recurrence": "Jacobians of one step",
    "saturation": "Ranges of the units",
}
"""The names of measurements in a sentence."""


class ReportCheck(NamedTuple):
    """One check of a report.

    id, name           GS001, GS002, …, which never changes; and what the check demands
    status             the outcome, one of :data:`STATUSES`
    value, threshold   the number that was checked, and its limit, both in ``unit``
    message, section   the finding in one sentence, and the section of the report that holds the numbers
    """

    id: str
    name: str
    status: str
    value: float | None
    threshold: float | None
    unit: str
    message: str
    section: str

    def __repr__(self) -> str:
        return fact_line("ReportCheck", {name: getattr(self, name) for name in ("id", "name", "status", "value")})


class Finding(NamedTuple):
    """The outcome of a check."""

    status: str
    value: float | None
    threshold: float | None
    message: str


class CheckRule(NamedTuple):
    """How a check is made; without the measurements that it ``needs`` it is skipped or in error."""

    id: str
    name: str
    unit: str
    section: str
    needs: tuple[str, ...]
    judge: Callable[[Any], Finding]

    def check(self, case: Any) -> ReportCheck:
        """Make the check; ``case.found`` has the measurements, and ``failed``, the reasons of failures by name."""
        status, value, threshold, message = self._answer(case)
        return ReportCheck(self.id, self.name, status, value, threshold, self.unit, message, self.section)

    def _answer(self, case: Any) -> Finding:
        for need in self.needs:
            if need in case.found.failed:
                return Finding("ERROR", None, None, case.found.failed[need])
            if getattr(case.found, need) is None:
                return skipped(f"{INSTRUMENT_NAMES.get(need, need.replace('_', ' ').capitalize())} were not measured.")
        return self.judge(case)


def check_rule(
    id: str, name: str, unit: str, section: str, *needs: str
) -> Callable[[Callable[[Any], Finding]], CheckRule]:
    """Turn a function that judges a case into a rule."""
    return lambda judge: CheckRule(id, name, unit, section, needs, judge)


def counts(checks: Sequence[ReportCheck]) -> dict[str, int]:
    """The number of checks of every status."""
    return {status: sum(check.status == status for check in checks) for status in STATUSES}


def skipped(why: str) -> Finding:
    """The outcome of a check that does not apply."""
    return Finding("SKIPPED", None, None, why)


def pass_at_most(value: float, threshold: float, message: str, bad: str = "WARN") -> Finding:
    """PASS if the value does not exceed its threshold."""
    return Finding("PASS" if value <= threshold else bad, value, threshold, message)


def pass_at_least(value: float, threshold: float, message: str, bad: str = "WARN") -> Finding:
    """PASS if the value reaches its threshold."""
    return Finding("PASS" if value >= threshold else bad, value, threshold, message)
