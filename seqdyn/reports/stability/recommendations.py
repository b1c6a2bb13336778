"""What to change, with the number to change it to, and the check that says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from seqdyn.autoregression import Autoregressive
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.dynamics.gates import forget_bias_for
from seqdyn.reports.stability.checks import Check, beyond, keeping, most_closed, needed_time_constant, slowest
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.subject import Subject
from seqdyn.reports.stability.verdict import ENOUGH, Evidence, Thresholds, Verdict


class Recommendation(NamedTuple):
    """One thing to change.

    Attributes
    ----------
    id : str
        Stable: R01, R02, …
    text : str
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


class _Case(NamedTuple):
    subject: Subject
    found: Measurements
    evidence: Evidence
    limits: Thresholds
    verdict: Verdict
    failing: frozenset[str]


def recommend(
    subject: Subject,
    found: Measurements,
    evidence: Evidence,
    limits: Thresholds,
    verdict: Verdict,
    checks: Sequence[Check],
) -> list[Recommendation]:
    """What follows from the verdict and the checks, the most effective first."""
    failing = frozenset(check.id for check in checks if check.status in ("WARN", "FAIL"))
    case = _Case(subject, found, evidence, limits, verdict, failing)
    return [advice for rule in RULES if (advice := rule(case)) is not None]


def _has(case: _Case, *kinds: type) -> bool:
    return any(isinstance(module, kinds) for module in case.subject.cell.modules())


# --- gradients that vanish --------------------------------------------------------------------------------------------


def _hold_longer(case: _Case) -> Recommendation | None:
    """Gates whose time constants are shorter than the lag: a bias that holds as long."""
    gates = keeping(case.found)
    if case.verdict.name not in ("VANISHING", "MIXED", "INCONCLUSIVE") or "GS017" not in case.failing or not gates:
        return None
    lag, tau = case.evidence.lag, slowest(case.found)
    bias = float(forget_bias_for(float(lag)))
    gate = "forget gate" if _has(case, LSTM) else "update gate"
    text = (
        f"Nine of ten units forget with time constants up to {tau:.3g} steps; to keep "
        f"10^{case.limits.vanishing_warn:g} over {lag} steps some need {needed_time_constant(lag, case.limits):.3g}. "
        f"Begin with a bias of the {gate} of {bias:.2f}, which holds {lag} steps: initialise=('forget_bias', "
        f"{bias:.2f}); or with time constants spread up to {lag}: initialise=('chrono', {max(lag, 3)})."
    )
    return Recommendation("R01", text, round(bias, 2), "bias", "GS017")


def _orthogonal(case: _Case) -> Recommendation | None:
    """A plain recurrence that contracts: begin where it does not, or gate it."""
    if case.verdict.name != "VANISHING" or not _has(case, Elman) or case.found.recurrence is None:
        return None
    largest = case.found.recurrence.matrix.largest_singular_value
    text = (
        f"A step passes on at most {largest:.3g} of a disturbance (largest singular value of J_t). Begin with "
        "orthogonal recurrent weights, initialise='orthogonal', and inputs small enough not to saturate the units; or "
        f"take a gated cell, LSTM or GRU, with initialise=('chrono', {max(case.evidence.lag, 3)})."
    )
    return Recommendation("R02", text, 1.0, "gain", "GS002")


def _slower_poles(case: _Case) -> Recommendation | None:
    """A linear model whose poles forget too fast: how slow one has to be."""
    if case.verdict.name != "VANISHING" or not _has(case, Linear) or case.found.recurrence is None:
        return None
    needed = 10 ** (case.limits.vanishing_warn / case.evidence.lag)
    radius = case.found.recurrence.matrix.spectral_radius
    text = (
        f"The slowest pole has modulus {radius:.4g}; to keep 10^{case.limits.vanishing_warn:g} over "
        f"{case.evidence.lag} steps it needs at least {needed:.4f}."
    )
    return Recommendation("R03", text, round(needed, 4), "modulus", "GS002")


def _omega(case: _Case) -> Recommendation | None:
    refused = case.subject.bptt_length or _has(case, Autoregressive)
    if case.verdict.name != "VANISHING" or case.found.omega is None or refused:
        return None
    text = (
        f"Ω, how far from keeping its length the gradient is at every step, is {case.found.omega.value:.3g}. Add it to "
        "the loss with a weight of 2 to 4, omega=2.0, together with clipping: without it Ω usually fails (Pascanu, "
        "Mikolov & Bengio 2013)."
    )
    return Recommendation("R04", text, 2.0, "weight", "GS002")


# --- gradients that explode -------------------------------------------------------------------------------------------


def _norms(case: _Case) -> np.ndarray | None:
    history = case.subject.history
    if history is None or "gradient_norm" not in history:
        return None
    norms = history["gradient_norm"].to_numpy(dtype=float)
    norms = norms[np.isfinite(norms) & (norms > 0)]
    return norms if len(norms) else None


def _clip(case: _Case) -> Recommendation | None:
    """A limit from the norms seen in training: twice their median, within half to ten times their mean."""
    if case.verdict.name not in ("EXPLODING", "MIXED") or case.subject.kind == "autonomous":
        return None
    norms = _norms(case)
    if norms is None:
        text = (
            "Clip gradients, clip_norm=1.0 to begin with; after an epoch the history says what is usual, and "
            "clip_quantile=0.5 clips to the median of the norms so far."
        )
        return Recommendation("R05", text, 1.0, "norm", "GS003")
    limit = float(np.clip(2 * np.median(norms), 0.5 * norms.mean(), 10 * norms.mean()))
    text = (
        f"Clip gradients at {limit:.3g}, twice the median norm of the training ({np.median(norms):.3g}; mean "
        f"{norms.mean():.3g}): clip_norm={limit:.3g}."
    )
    return Recommendation("R05", text, float(f"{limit:.3g}"), "norm", "GS003")


def _shrink(case: _Case) -> Recommendation | None:
    """The factor on the recurrent weights that would bring the growth over K steps back to 1."""
    growth = case.evidence.gradient.median
    gated = _has(case, LSTM, GRU)
    if case.verdict.name != "EXPLODING" or case.subject.kind == "autonomous" or gated or not math.isfinite(growth):
        return None
    factor = 10 ** (-growth / case.evidence.lag)
    text = (
        f"Gradients grow by {10 ** (growth / case.evidence.lag):.4f} a step. Multiply the recurrent weights by about "
        f"{factor:.3f}, or begin with orthogonal ones: initialise='orthogonal'."
    )
    return Recommendation("R06", text, round(factor, 3), "factor", "GS003")


def _forcing(case: _Case) -> Recommendation | None:
    """A chaotic target: force the model as often as it can be predicted."""
    found = case.found.lyapunov
    if case.verdict.name not in ("CHAOTIC", "EXPLODING") or found is None or not float(found.exponents[0]) > 0:
        return None
    leading = float(found.exponents[0])
    interval = max(1.0, math.log(2) / leading)
    text = (
        f"Neighbours part by a factor of two in ln 2 / λ₁ = {interval:.3g} steps (λ₁ = {leading:.3g}). If the data are "
        f"chaotic themselves, force the state to them every {max(1, round(interval))} steps in training; clipping "
        "alone does not help (Mikhaeil, Monfared & Durstewitz 2022)."
    )
    return Recommendation("R07", text, float(max(1, round(interval))), "steps", "GS011")


# --- everything else --------------------------------------------------------------------------------------------------


def _transient(case: _Case) -> Recommendation | None:
    if "GS008" not in case.failing:
        return None
    lag = case.evidence.peak_lag
    text = (
        f"Disturbances grow by 10^{case.evidence.peak:.1f} within {lag} steps, although they decay later: J_t is far "
        "from normal. Begin with orthogonal recurrent weights, or penalise the difference of growth from 1: omega=2.0."
    )
    return Recommendation("R08", text, float(lag), "steps", "GS008")


def _lengthen(case: _Case) -> Recommendation | None:
    """The shortest truncation that leaves out less than the threshold."""
    if "GS015" not in case.failing or case.found.parameters is None or not case.subject.bptt_length:
        return None
    parameters = case.found.parameters
    enough = [
        edge + 1
        for edge, share in zip(parameters.edges, parameters.beyond_apart, strict=True)
        if float(share) <= case.limits.truncated
    ]
    share = beyond(case.found, case.subject.bptt_length)
    text = (
        f"bptt_length={case.subject.bptt_length} leaves out {share:.0%} of the gradient. With bptt_length={enough[0]} "
        f"it would be at most {case.limits.truncated:.0%}."
    )
    return Recommendation("R09", text, float(enough[0]), "steps", "GS015")


def _shorten(case: _Case) -> Recommendation | None:
    table, length = case.found.horizons, case.subject.bptt_length
    if "GS016" not in case.failing or table is None or not length:
        return None
    horizon = max(1, math.ceil(table["gradient"].steps))
    text = (
        f"A hundredth of the gradient reaches {horizon} steps back, of the {length} it is carried through: "
        f"bptt_length={horizon} needs {1 - horizon / length:.0%} less memory."
    )
    return Recommendation("R10", text, float(horizon), "steps", "GS016")


def _unsaturate(case: _Case) -> Recommendation | None:
    gates = case.found.gates
    if "GS018" not in case.failing or not gates:
        return None
    name, share = most_closed(gates)
    text = (
        f"The gate {name!r} is at an end of its range at {share:.0%} of all steps and passes no gradient there. Scale "
        "the inputs to unit variance, bring its bias towards 0, or lower the learning rate."
    )
    return Recommendation("R11", text, round(share, 4), "share", "GS018")


def _clip_less(case: _Case) -> Recommendation | None:
    norms = _norms(case)
    if "GS021" not in case.failing or norms is None:
        return None
    limit = float(np.clip(3 * np.median(norms), 0.5 * norms.mean(), 10 * norms.mean()))
    text = (
        "Most steps are clipped, so clipping sets the learning rate. Raise the limit to three times the median norm, "
        f"clip_norm={limit:.3g}, or lower learning_rate."
    )
    return Recommendation("R12", text, float(f"{limit:.3g}"), "norm", "GS021")


def _measure_more(case: _Case) -> Recommendation | None:
    needed = ENOUGH * case.evidence.lag
    if "GS005" in case.failing:
        text = (
            f"Give at least {needed} steps in all, or ask about a shorter lag: {case.evidence.rows} steps can tell "
            f"about {case.evidence.rows // ENOUGH}."
        )
        return Recommendation("R13", text, float(needed), "steps", "GS005")
    if case.verdict.name == "INCONCLUSIVE" and "GS006" in case.failing:
        wanted = 4 * case.subject.sequences
        text = (
            f"The interval holds a threshold: {wanted} sequences in place of {case.subject.sequences} would halve it "
            f"(max_sequences={wanted})."
        )
        return Recommendation("R13", text, float(wanted), "sequences", "GS006")
    return None


RULES: tuple[Callable[[_Case], Recommendation | None], ...] = (
    _hold_longer,
    _orthogonal,
    _slower_poles,
    _clip,
    _shrink,
    _forcing,
    _omega,
    _transient,
    _lengthen,
    _shorten,
    _unsaturate,
    _clip_less,
    _measure_more,
)
