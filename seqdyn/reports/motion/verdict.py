"""The verdict of a motion report, and its checks."""

from __future__ import annotations

from seqdyn.reports.motion.measurements import MotionContent

CLOSED = 1e-8
"""A cycle counts as closed if its gap is at most this share of its size."""

AGREES = 0.01
"""The frequency of the free run may differ from the cycle's by this share."""

BACK = 0.9
"""The share of perturbed starts from which the motion should return."""


def motion_checks(content: MotionContent) -> list[MotionContent]:
    """The checks, each a dictionary of check, status, value, threshold and meaning."""
    stays = content["rhythm"] is not None and content["stays"]
    checks = [_check_entry("stays", stays, float(stays), 1.0, "the free run stays in its range")]
    cycle, back = content["cycle"], content["back"]
    if cycle is not None and cycle["found"]:
        slowest, residual = cycle["slowest"], cycle["residual"]
        gap = abs(content["rhythm"]["frequency"] / cycle["frequency"] - 1)
        closes, left = f"the cycle closes to {residual:.0e} of its size", f"{slowest:.3g} of a deviation is left a turn"
        agrees = f"the frequencies of the free run and of the cycle differ by {gap:.1e}"
        checks += [
            _check_entry("closed", residual <= CLOSED, residual, CLOSED, closes),
            _check_entry("stable", cycle["stable"], slowest, 1.0, left),
            _check_entry("agrees", gap <= AGREES, gap, AGREES, agrees),
        ]
    if back is not None:
        returns = f"the motion returns from {back['share']:.0%} of the perturbed starts"
        checks.append(_check_entry("comes back", back["share"] >= BACK, back["share"], BACK, returns, mild=True))
    return checks


def motion_verdict(content: MotionContent, checks: list[MotionContent]) -> MotionContent:
    """The verdict: its name, its severity, and a sentence."""
    own, cycle, rates = content["rhythm"], content["cycle"], content["exponents"]
    if own is None:
        return _verdict_entry("DIVERGES", "FAIL", "The free run leaves the range of the training data for good.")
    worst = "FAIL" if any(check["status"] == "FAIL" for check in checks) else "PASS"
    severity = "WARN" if worst == "PASS" and any(check["status"] == "WARN" for check in checks) else worst
    if own["frequency"] == 0:
        return _verdict_entry("AT REST", "WARN", "The free run comes to rest: under this drive nothing moves.")
    if cycle is None:
        return _verdict_entry("INCONCLUSIVE", "WARN", "The report was stopped before it looked for a limit cycle.")
    if cycle["found"]:
        kind = "repeats itself" if cycle["kind"] == "periodic" else "goes round a closed curve"
        stable = f"stable; a deviation decays to 1 % within {cycle['recovery']:.2g} s."
        rest = stable if cycle["stable"] else "not stable: a deviation does not decay."
        return _verdict_entry("LIMIT CYCLE", severity, f"The free run {kind} at {cycle['frequency']:.4g} Hz, {rest}")
    if not content["stays"]:
        return _verdict_entry("DIVERGES", "FAIL", "The free run leaves the range of the training data slowly.")
    leading, error = (0.0, 0.0) if rates is None else (rates["values"][0], rates["errors"][0])
    if leading > 4 * error and leading > 0.01 * own["frequency"]:
        sentence = f"The free run does not close; neighbouring states diverge at a rate of {leading:.3g} per second."
        return _verdict_entry("CHAOTIC", "WARN", sentence)
    return _verdict_entry("NOT CLOSED", "FAIL", f"No limit cycle was found: {cycle['why']}")


def _check_entry(
    name: str, passed: bool, value: float, threshold: float, meaning: str, mild: bool = False
) -> MotionContent:
    status = "PASS" if passed else ("WARN" if mild else "FAIL")
    return {"check": name, "status": status, "value": value, "threshold": threshold, "meaning": meaning}


def _verdict_entry(name: str, severity: str, reason: str) -> MotionContent:
    return {"name": name, "severity": severity, "reason": reason}
