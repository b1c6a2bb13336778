"""What to change, with the number to change it to, and the check that says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

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


def _start(case: _Case, name: str, number: float | None = None) -> str | None:
    """How to set a start of the weights, the estimator's parameter or a function for a bare cell; None if refused."""
    value = name if number is None else (name, number)
    if not case.subject.accepts(initialise=value):
        return None
    if case.subject.estimator is not None:
        return f"initialise={value!r}"
    return f"seqdyn.training.initialisation.{name}(cell{'' if number is None else f', {number}'})"


def _rate(case: _Case) -> float:
    """By what factor gradients change a step: L spans the K − 1 steps from lag 1 to lag K."""
    return float(10 ** (case.evidence.gradient.median / (case.evidence.lag - 1)))


# --- gradients that vanish --------------------------------------------------------------------------------------------


def _hold_longer(case: _Case) -> Recommendation | None:
    """Gates whose time constants are shorter than the lag: a bias that holds as long."""
    gates = keeping(case.found)
    if case.verdict.name not in ("VANISHING", "MIXED", "INCONCLUSIVE") or "GS017" not in case.failing or not gates:
        return None
    lag, tau = case.evidence.lag, slowest(case.found)
    bias = round(float(forget_bias_for(float(lag))), 2)
    ways = [_start(case, "forget_bias", bias), _start(case, "chrono", max(lag, 3))]
    if None in ways:
        return None
    gate = "forget gate" if _has(case, LSTM) else "update gate"
    text = (
        f"Nine of ten units forget with time constants up to {tau:.3g} steps; to keep "
        f"10^{case.limits.vanishing_warn:g} over {lag} steps some need {needed_time_constant(lag, case.limits):.3g}. "
        f"Begin with a bias of the {gate} of {bias:.2f}, which holds {lag} steps: {ways[0]}; or with time constants "
        f"spread up to {lag}: {ways[1]}."
    )
    return Recommendation("R01", text, bias, "bias", "GS017")


def _orthogonal(case: _Case) -> Recommendation | None:
    """A plain recurrence that contracts: whether by its weights or by the slope of its units, or gate it."""
    networks = [module for module in case.subject.cell.modules() if isinstance(module, Elman)]
    if case.verdict.name != "VANISHING" or not networks or not math.isfinite(case.evidence.gradient.median):
        return None
    sizes = torch.cat([torch.linalg.svdvals(own.recurrent_weight.detach().double()) for own in networks])
    low, high = float(sizes.min()), float(sizes.max())
    start = _start(case, "orthogonal")
    if 0.95 < low and high < 1.05:
        cause = "The recurrent weights are orthogonal already: it is the slope of the units that shrinks it. Make the "
        cause += "inputs or their weights smaller, so that no unit saturates"
    else:
        cause = f"The recurrent weights have singular values from {low:.3g} to {high:.3g}"
        cause += f": begin with orthogonal ones, {start}" if start else ": begin with orthogonal ones"
    rate = _rate(case)
    text = f"A gradient keeps {rate:.3f} of itself a step. {cause}; or take a gated cell, LSTM or GRU."
    return Recommendation("R02", text, round(rate, 3), "factor a step", "GS002")


def _slower_poles(case: _Case) -> Recommendation | None:
    """A linear model whose poles forget too fast: how slow one has to be."""
    recurrent = _has(case, Elman, LSTM, GRU)
    if case.verdict.name != "VANISHING" or recurrent or not _has(case, Linear) or case.found.recurrence is None:
        return None
    needed = 10 ** (case.limits.vanishing_warn / (case.evidence.lag - 1))
    radius = case.found.recurrence.matrix.spectral_radius
    text = (
        f"The slowest pole has modulus {radius:.4g}; to keep 10^{case.limits.vanishing_warn:g} from lag 1 to lag "
        f"{case.evidence.lag} it needs at least {needed:.4f}."
    )
    return Recommendation("R03", text, round(needed, 4), "modulus", "GS002")


def _omega(case: _Case) -> Recommendation | None:
    """Ω as a regulariser, where there are weights that it could change and a trainer that takes it."""
    found = case.found.omega
    trained = case.subject.estimator is not None and _has(case, Elman, LSTM, GRU)
    if case.verdict.name != "VANISHING" or found is None or not math.isfinite(found.value) or not trained:
        return None
    if not case.subject.accepts(omega=2.0):
        return None
    text = (
        f"Ω, how far from keeping its length the gradient is at every step, is {found.value:.3g}. Add it to the loss "
        "with a weight of 2 to 4, omega=2.0, together with clipping: without it Ω usually fails (Pascanu, Mikolov & "
        "Bengio 2013)."
    )
    return Recommendation("R04", text, 2.0, "weight", "GS002")


# --- gradients that explode -------------------------------------------------------------------------------------------


def _norms(case: _Case) -> np.ndarray | None:
    """Norms of the training, one mean an epoch."""
    history = case.subject.history
    if history is None or "gradient_norm" not in history:
        return None
    norms = history["gradient_norm"].to_numpy(dtype=float)
    norms = norms[np.isfinite(norms) & (norms > 0)]
    return norms if len(norms) else None


def _limit(norms: np.ndarray, times: float) -> float:
    """A limit at some times the median norm, within half to ten times the mean (Pascanu 2013)."""
    return float(f"{np.clip(times * np.median(norms), 0.5 * norms.mean(), 10 * norms.mean()):.3g}")


def _clip(case: _Case) -> Recommendation | None:
    """A limit from the norms seen in training: twice their median, within half to ten times their mean."""
    grows = case.verdict.name in ("EXPLODING", "MIXED") and case.found.broken is None
    if not grows or case.subject.kind == "autonomous" or not case.subject.accepts(clip_norm=1.0):
        return None
    norms = _norms(case)
    if norms is None:
        text = (
            "Clip gradients, at a norm of 1.0 to begin with; after an epoch the history of the training says what is "
            "usual. An estimator clips with clip_norm=1.0, or to the median of the norms so far with clip_quantile=0.5."
        )
        return Recommendation("R05", text, 1.0, "norm", "GS003")
    limit = _limit(norms, 2)
    text = (
        f"Clip gradients at {limit:.3g}, twice the median norm of the epochs of the training ({np.median(norms):.3g}; "
        f"mean {norms.mean():.3g}): clip_norm={limit:.3g}."
    )
    return Recommendation("R05", text, limit, "norm", "GS003")


def _shrink(case: _Case) -> Recommendation | None:
    """The factor on the recurrent weights that would bring the growth back to 1."""
    if case.verdict.name != "EXPLODING" or not math.isfinite(case.evidence.gradient.median):
        return None
    if case.subject.kind == "autonomous" or _has(case, LSTM, GRU) or not _has(case, Elman, Linear):
        return None
    rate, start = _rate(case), _start(case, "orthogonal")
    other = f", or begin with orthogonal ones: {start}" if start else ""
    text = f"Gradients grow by {rate:.4f} a step. Multiply the recurrent weights by about {1 / rate:.3f}{other}."
    return Recommendation("R06", text, round(1 / rate, 3), "factor", "GS003")


def _forcing(case: _Case) -> Recommendation | None:
    """A chaotic target: force the model as often as it can be predicted."""
    found = case.found.lyapunov
    driven = case.subject.kind == "driven" and case.verdict.name == "EXPLODING"
    if not (case.evidence.chaotic or driven) or found is None or not float(found.exponents[0]) > 0:
        return None
    leading = float(found.exponents[0])
    interval = math.log(2) / leading
    steps = max(1, round(interval))
    text = (
        f"Neighbours part by a factor of two in ln 2 / λ₁ = {interval:.3g} steps (λ₁ = {leading:.3g}). If the data are "
        f"chaotic themselves, force the state to them every {_steps(steps)} in training; clipping alone does not help "
        "(Mikhaeil, Monfared & Durstewitz 2022)."
    )
    return Recommendation("R07", text, float(steps), "steps", "GS011")


def _steps(count: int) -> str:
    return "step" if count == 1 else f"{count} steps"


# --- everything else --------------------------------------------------------------------------------------------------


def _transient(case: _Case) -> Recommendation | None:
    if "GS008" not in case.failing or case.found.recurrence is None:
        return None
    lag, matrix = case.evidence.peak_lag, case.found.recurrence.matrix
    start = _start(case, "orthogonal") if _has(case, Elman, LSTM, GRU) else None
    cure = f" Begin with orthogonal recurrent weights: {start}." if start else ""
    text = (
        f"Disturbances grow by 10^{case.evidence.peak:.1f} within {lag} steps, although they decay later. J_t of a "
        f"typical step is {matrix.henrici:.3g} from normal (Henrici), with eigenvectors of condition "
        f"{matrix.eigenvector_condition:.3g}.{cure}"
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
    limit = _limit(norms, 3)
    text = (
        "Most steps are clipped, so clipping sets the learning rate. Raise the limit to three times the median norm of "
        f"the epochs, clip_norm={limit:.3g}, or lower learning_rate."
    )
    return Recommendation("R12", text, limit, "norm", "GS021")


def _measure_more(case: _Case) -> Recommendation | None:
    needed = ENOUGH * case.evidence.lag
    if case.evidence.lag > case.evidence.longest:
        text = f"Give series, or stretches, longer than the lag of {case.evidence.lag}, or ask about a shorter one."
        return Recommendation("R13", text, float(case.evidence.lag), "steps", "GS005")
    if "GS005" in case.failing:
        text = (
            f"Give at least {needed} steps in all, or ask about a shorter lag: {case.evidence.rows} steps can tell "
            f"about {case.evidence.rows // ENOUGH}."
        )
        return Recommendation("R13", text, float(needed), "steps", "GS005")
    if case.verdict.name != "INCONCLUSIVE" or "GS006" not in case.failing:
        return None
    wanted = 4 * case.subject.sequences
    if case.subject.unused >= 3 * case.subject.sequences * case.subject.steps:
        text = f"Much of the data was not looked at: max_sequences={wanted} would about halve the interval."
    else:
        text = f"The interval holds a threshold: about {wanted} sequences like these would halve it."
    return Recommendation("R13", text, float(wanted), "sequences", "GS006")


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
