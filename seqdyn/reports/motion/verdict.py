"""The verdict of a motion report, and the checks behind it."""

from __future__ import annotations

from typing import Any

Content = dict[str, Any]

CLOSED = 1e-8
"""A cycle counts as closed to this, relative to its size."""

AGREES = 0.01
"""The free run's frequency is that of the cycle within this share."""

BACK = 0.9
"""The share of perturbed starts that should come back."""


def checks_of(content: Content) -> list[Content]:
    """The checks, each a dict of check, status, value, threshold and meaning."""
    if content["rhythm"] is None:
        return [_check("stays", False, 0.0, 1.0, "the free run stays in its range")]
    cycle, own = content["cycle"], content["rhythm"]
    checks = [_check("stays", content["stays"], float(content["stays"]), 1.0, "the free run stays in its range")]
    if cycle["found"]:
        slowest = cycle["slowest"]
        gap = abs(own["frequency"] / cycle["frequency"] - 1)
        checks += [
            _check("closed", cycle["residual"] <= CLOSED, cycle["residual"], CLOSED,
                   f"the cycle closes to {cycle['residual']:.0e} of its size"),
            _check("stable", cycle["stable"], slowest, 1.0, f"of a deviation {slowest:.3g} is left after one turn"),
            _check("agrees", gap <= AGREES, gap, AGREES, f"the free run turns as the cycle does, to {gap:.1e}"),
        ]  # fmt: skip
    share = content["back"]["share"]
    checks.append(
        _check("comes back", share >= BACK, share, BACK, f"{share:.0%} of the moved starts come back", mild=True)
    )
    return checks


def verdict_of(content: Content, checks: list[Content]) -> Content:
    """The verdict: its name, its severity, and a sentence."""
    if content["rhythm"] is None:
        return _verdict("DIVERGES", "FAIL", "The free run leaves the range of the training for good.")
    own, cycle, rates = content["rhythm"], content["cycle"], content["exponents"]
    worst = "FAIL" if any(check["status"] == "FAIL" for check in checks) else "PASS"
    severity = "WARN" if worst == "PASS" and any(check["status"] == "WARN" for check in checks) else worst
    if own["frequency"] == 0:
        return _verdict("AT REST", "WARN", "The free run comes to rest: under this drive nothing moves.")
    if cycle["found"]:
        kind = "repeats itself" if cycle["kind"] == "periodic" else "goes round a closed curve"
        stable = f"stable; a deviation is down to 1 % after {cycle['recovery']:.2g} s."
        rest = stable if cycle["stable"] else "not stable: a deviation does not die."
        sentence = f"The free run {kind} at {cycle['frequency']:.4g} Hz, {rest}"
        return _verdict("LIMIT CYCLE", severity, sentence)
    if not content["stays"]:
        return _verdict("DIVERGES", "FAIL", "The free run leaves the range of the training slowly, and for good.")
    leading, error = rates["values"][0], rates["errors"][0]
    if leading > 4 * error and leading > 0.01 * own["frequency"]:
        sentence = f"The free run does not close; neighbours part at {leading:.3g} a second."
        return _verdict("CHAOTIC", "WARN", sentence)
    return _verdict("NOT CLOSED", "FAIL", f"No limit cycle was found: {cycle['why']}")


def _check(name: str, passed: bool, value: float, threshold: float, meaning: str, mild: bool = False) -> Content:
    status = "PASS" if passed else ("WARN" if mild else "FAIL")
    return {"check": name, "status": status, "value": value, "threshold": threshold, "meaning": meaning}


def _verdict(name: str, severity: str, reason: str) -> Content:
    return {"name": name, "severity": severity, "reason": reason}
