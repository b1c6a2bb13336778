"""What to change, with the number to set, in code that can be pasted; what helped most in our measurements comes first.

The effect of following each rule is measured in ``benchmarks/following_advice.py`` or in its test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from seqdyn.cells.echo_state import EchoState
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.dynamics.gates import most_closed, needed_time_constant, slowest
from seqdyn.reports.advice import Advice, Recommendation, Rules, general_advice
from seqdyn.reports.checks import ReportCheck
from seqdyn.reports.input_sizes import FAR_FROM_UNIT
from seqdyn.reports.number_format import format_log10, format_number, plural
from seqdyn.reports.stability.gradients import share_beyond
from seqdyn.reports.stability.verdict import LAGS_NEEDED, ReportCase, Verdict

advice = Rules()
"""The rules, in the order of this file: those that helped most come first."""


@dataclass(frozen=True)
class _Judged(ReportCase):
    """What advice is made from: a case, its verdict, and the ids of the checks that failed."""

    verdict: Verdict
    failing: frozenset[str]

    @property
    def side(self) -> str:
        """The verdict; for TRUNCATED, which side of the thresholds the gradient is on, if it could be measured."""
        median = self.evidence.gradient.median
        measured = self.verdict.name == "TRUNCATED" and not math.isnan(median)
        return self.limits.side(median) if measured else self.verdict.name

    @property
    def cause(self) -> str | None:
        """Why something is not finite; None where everything is."""
        return None if self.found.non_finite is None else self.found.non_finite.cause

    @property
    def lag(self) -> str:
        """The required lag, in words."""
        return plural(self.evidence.lag, "step")

    @property
    def rate(self) -> float:
        """The factor by which gradients change in one step: L spans the K − 1 steps from lag 1 to lag K."""
        return float(10 ** (self.evidence.gradient.median / (self.evidence.lag - 1)))


def recommend(case: ReportCase, verdict: Verdict, checks: Sequence[ReportCheck]) -> list[Recommendation]:
    """The advice that follows from the verdict and the checks, the most effective first."""
    failing = frozenset(check.id for check in checks if check.status in ("WARN", "FAIL"))
    judged, named = _Judged(case.probe, case.found, case.evidence, case.limits, verdict, failing), case.probe.named
    given = [one._replace(text=one.text + named) if "initialisation." in one.text else one for one in advice.on(judged)]
    side = judged.side if case.evidence.values or case.evidence.non_finite else "UNREACHED"
    side = "STOPPED" if case.evidence.stopped else side
    return given or ([] if verdict.severity == "PASS" else [general_advice(side, judged.lag)])


# --- models that cannot be trained at all -----------------------------------------------------------------------------


@advice("R16", "output", "GS001")
def _defined(case: _Judged) -> Advice:
    """The loss is NaN for some outputs: keep the outputs where it is defined."""
    if case.found.non_finite is None or case.cause != "loss":
        return None
    kept = case.found.non_finite.kept
    text = (
        "Look for a logarithm, a square root or a division of the outputs in the loss, and keep the outputs where it "
        f"is defined.{f' {kept} in place of `output`, in the loss or at the end of the model.' if kept else ''}"
    )
    return text, 1e-6


@advice("R15", "norm", "GS001")
def _restore(case: _Judged) -> Advice:
    """Weights are not finite: go back to earlier ones."""
    if case.cause != "parameter":
        return None
    back = "Go back to weights from before this happened, or start again: no training recovers from NaN."
    return f"{back} Then take {_with_smaller_steps(case)}", 1.0


@advice("R15", "norm", "GS022")
def _calm(case: _Judged) -> Advice:
    """The training met a value that is not finite: take smaller steps."""
    return None if case.cause == "parameter" else (f"Take {_with_smaller_steps(case)}", 1.0)


def _with_smaller_steps(case: _Judged) -> str:
    clip = case.probe.clipping(1.0)
    return f"smaller steps, {case.probe.smaller_steps}{f', and clip the gradient, {clip}' if clip else ''}."


@advice("R14", "input", "GS024")
def _scale_inputs(case: _Judged) -> Advice:
    """Inputs are far from unit size: name the farthest one, and how to centre and scale."""
    sizes = case.probe.sizes
    assert sizes is not None
    worst, width = int(sizes.largest.argmax()), len(sizes.mean)
    mean, scale, code = float(sizes.mean[worst]), float(sizes.scale[worst]), case.probe.scaling
    what, how = f"feature {worst}", f"{code} (`StandardScaler` is scikit-learn's)"
    if sizes.encoded:
        what = f"output {worst} of the encoder"
        how = f"`encoder = torch.nn.Sequential(encoder, torch.nn.LayerNorm({width}))`"
    elif (own := case.probe.setting("scale", True)) or not code.startswith("`"):
        how = own or f"by scikit-learn's `StandardScaler`, {code}"
    text = (
        f"Scale the inputs: {what} has mean {format_number(mean)} and standard deviation {format_number(scale)}, and "
        f"inputs beyond {FAR_FROM_UNIT:g} drive gates and units to the ends of their range. Centre and scale them, "
        f"{how}, and train again."
    )
    return text, max(abs(mean), scale)


@advice("R18", "weight", "GS002", always=True)
def _connect(case: _Judged) -> Advice:
    """Weights of zeros separate the state from the errors: set them to other values."""
    why = case.evidence.cut_off
    text = (
        f"Begin with weights that are not 0, and train again: {why[:1].lower()}{why[1:]}, so that the model uses no "
        "memory. If it predicts well without one, leave it as it is."
    )
    return (text, 0.0) if why else None


@advice("R13", "steps", "GS002", always=True)
def _ask(case: _Judged) -> Advice:
    """The lag is a guess: ask for it, since all other advice depends on it."""
    if not case.evidence.guessed or case.verdict.severity == "PASS":
        return None
    text = (
        f"Give `required_lag`, how far back the model has to learn: {case.lag}, {case.probe.required_lag_from}, is "
        "a guess, and the whole report depends on it."
    )
    return text, float(case.evidence.lag)


@advice("R09", "steps", "GS015")
def _carry_further(case: _Judged) -> Advice:
    """Truncation is shorter than the lag, or leaves out much of the gradient: say how long it has to be."""
    length, lag, steps = case.probe.bptt_length or 0, case.evidence.lag, case.probe.steps
    parameters, share = case.found.parameters, case.limits.truncated
    if case.evidence.truncated:
        # in chunks as long as the lag only one error would reach so far back; in these every fourth one does
        needed = steps if lag < steps <= 2 * lag else math.ceil(4 * lag / 3)
        why = f"is too short for a lag of {lag}; {plural(needed, 'step')} are enough"
    else:
        assert parameters is not None
        pairs = zip(parameters.edges, parameters.beyond_apart, strict=True)
        needed = next((edge + 1 for edge, left in pairs if edge >= length and float(left) <= share), 0)
        left_out = f"{share_beyond(case.found, length):.0%} of the gradient"
        why = f"leaves out {left_out}; {plural(needed, 'step')} leave out {share:.0%}"
    text = f"Carry the gradient further back, `bptt_length={needed}`: `bptt_length={length}` {why}."
    return (text, float(needed)) if needed > length else None


# --- gradients that vanish --------------------------------------------------------------------------------------------


@advice("R01", "bias", "GS017")
def _hold_longer(case: _Judged) -> Advice:
    """The time constants of the gates are shorter than the lag: give the bias that holds as long."""
    lag, bias, least = case.evidence.lag, case.probe.holding_bias, case.limits.vanishing_warn
    equal, spread = case.probe.start("forget_bias", bias), case.probe.start("chrono", max(lag, 3))
    ways = [f"a bias of {bias:g}, {equal}"] if equal else []
    if spread and (spread.count("`") == 2 or not equal):
        ways.append(f"memories of up to {case.lag}, {spread}")
    if case.side not in ("VANISHING", "MIXED", "INCONCLUSIVE") or not ways or case.evidence.cut_off:
        return None
    gate = "forget gate" if case.probe.parts(LSTM) else "update gate"
    text = (
        f"Let the {gate} hold longer: begin with {', or with '.join(ways)}. Nine of ten units now forget within "
        f"{slowest(case.found.gates or {}):.3g} steps (time constant); some need "
        f"{needed_time_constant(lag, least):.3g} to keep {format_log10(least)} of a gradient over {case.lag}."
    )
    return text, bias


@advice("R02", "factor a step", "GS002")
def _isometric(case: _Judged) -> Advice:
    """A plain recurrence shrinks the gradient: begin with weights that do not, or take a gated cell."""
    networks = case.probe.parts(Elman)
    if case.side != "VANISHING" or not networks or math.isnan(case.evidence.gradient.median):
        return None
    sizes = torch.cat([torch.linalg.svdvals(own.recurrent_weight.detach().double()) for own in networks])
    low, high = float(sizes.min()), float(sizes.max())
    own, cure = case.probe.isometry, f"Take a gated cell, {case.probe.gated}"
    start = None if case.probe.started(own) or (0.95 < low and high < 1.05) else case.probe.start(own)
    if start:
        cure = f"Begin with {own} recurrent weights, {start}, or take a gated cell, {case.probe.gated}"
    text = (
        f"{cure}: a gradient keeps {case.rate:.3f} of its size in every step, and the recurrent weights have singular "
        f"values from {low:.3g} to {high:.3g}."
    )
    return text, round(case.rate, 3)


@advice("R03", "modulus", "GS002")
def _slower_poles(case: _Judged) -> Advice:
    """The poles of a linear model forget too fast: say how slow one has to be."""
    linear = case.probe.parts(Linear) and not case.probe.parts(Elman, LSTM, GRU)
    if case.side != "VANISHING" or not linear or case.found.recurrence is None:
        return None
    least = case.limits.vanishing_warn
    needed = round(10 ** (least / (case.evidence.lag - 1)), 4)
    start = case.probe.start("orthogonal", needed)
    text = (
        f"The slowest pole has modulus {case.found.recurrence.matrix.spectral_radius:.4g}; it needs at least "
        f"{needed:.4f} to keep {format_log10(least)} of a gradient over {case.lag}."
        f"{f' Begin with such poles: {start}.' if start else ''}"
    )
    return text, needed


@advice("R19", "radius", "GS002")
def _remember_longer(case: _Judged) -> Advice:
    """A reservoir forgets too fast: give the spectral radius at which a tenth is left."""
    networks, needed = case.probe.parts(EchoState), 10 ** (-1 / (case.evidence.lag - 1))
    if len(networks) != 1 or case.side != "VANISHING" or not case.rate:
        return None
    radius = networks[0].spectral_radius
    higher = float(f"{radius * needed / case.rate:.2g}")
    code = case.probe.setting("spectral_radius", higher) or f"`EchoState(…, spectral_radius={higher:g})`"
    text = (
        f"Let the reservoir remember longer: raise the spectral radius from {radius:.3g} to {higher:g}, {code}, or "
        f"take a smaller `input_scale` or `leak`. A gradient keeps {case.rate:.3f} of its size in every step; "
        f"{needed:.3f} would keep a tenth over {case.lag}."
    )
    return text, higher


@advice("R20", "steps", "GS002")
def _widen(case: _Judged) -> Advice:
    """A moving average is shorter than the lag: lengthen it."""
    window, lag = min((part.window for part in case.probe.parts(MovingAverage)), default=0), case.evidence.lag
    if case.side != "VANISHING" or not 0 < window <= lag:
        return None
    code = case.probe.setting("window", lag + 1) or f"`MovingAverage(…, window={lag + 1})`"
    return f"Take a longer window, {code}: one of {window} steps does not reach {case.lag} back.", float(lag + 1)


# --- gradients that explode -------------------------------------------------------------------------------------------


@advice("R06", "gain", "GS001")
def _bound_states(case: _Judged) -> Advice:
    """States grow without bound: make the recurrent weights smaller."""
    linear, start = case.probe.parts(Linear), case.probe.parts(Elman) and case.probe.start(case.probe.isometry)
    grow = "the states grow without bound."
    if case.cause != "overflow" or not (linear or start):
        return None
    if start:
        return f"Begin with {case.probe.isometry} recurrent weights, {start}: {grow}", 1.0
    radius = max(float(torch.linalg.eigvals(part.transition.detach()).abs().max()) for part in linear)
    factor = float(f"{1 / radius:.3g}")
    return f"Make the recurrent weights {factor:g} times as large: {grow}", factor


@advice("R05", "norm", "GS003", always=True)
def _clip_first(case: _Judged) -> Advice:
    """For a relu clipping comes first: no initialisation alone helped in our measurements."""
    return _clip_gradients(case) if case.probe.isometry == "identity" else None


@advice("R06", "gain", "GS003")
def _begin_smaller(case: _Judged) -> Advice:
    """A plain recurrence stretches the gradient: begin with weights that do not."""
    start = case.probe.start(case.probe.isometry) if case.probe.parts(Elman) else None
    return _stop_growth(case, f"Begin with {case.probe.isometry} recurrent weights, {start}", 1.0) if start else None


@advice("R06", "factor", "GS003")
def _shrink(case: _Judged) -> Advice:
    """A linear recurrence: give the factor that brings the growth back to 1 (units that saturate need another)."""
    factor, linear = round(1 / case.rate, 3), case.probe.parts(Linear) and not case.probe.parts(Elman)
    return _stop_growth(case, f"Make the recurrent weights {factor:.3f} times as large", factor) if linear else None


def _stop_growth(case: _Judged, cure: str, number: float) -> Advice:
    """The advice for gradients that grow in a driven recurrence without gates."""
    driven = case.probe.kind == "driven" and not case.probe.parts(LSTM, GRU, EchoState)
    if case.side != "EXPLODING" or not driven or not math.isfinite(case.evidence.gradient.median):
        return None
    return f"{cure}: a gradient grows by a factor of {case.rate:.4f} in every step.", number


@advice("R05", "norm", "GS003", always=True)
def _clip_gradients(case: _Judged) -> Advice:
    """Nothing is clipped: advise a limit of at most 1, since norms of a training that explodes predict nothing."""
    clips = case.probe.clip_limits != (None, None)
    driven = case.probe.kind == "driven" and case.cause in (None, "overflow")
    if case.side not in ("EXPLODING", "MIXED") or not driven or clips:
        return None
    limit = min(1.0, float(f"{2 * (case.probe.usual_norm or math.inf):.2g}"))
    code = case.probe.clipping(limit)
    text = f"Clip the gradient, {code}: one step along an exploded gradient moves the weights far away."
    return None if code is None else (text, limit)


@advice("R17", "radius", "GS011")
def _forget_the_start(case: _Judged) -> Advice:
    """A reservoir does not forget its initial state: give the spectral radius at which it would."""
    networks, leading = case.probe.parts(EchoState), case.evidence.exponent
    if len(networks) != 1 or case.probe.kind != "driven":
        return None
    radius = networks[0].spectral_radius
    lower = float(f"{0.9 * min(1.0, radius * math.exp(-leading)):.2g}")
    code = case.probe.setting("spectral_radius", lower) or f"`EchoState(…, spectral_radius={lower:g})`"
    text = (
        f"Make the reservoir forget its initial state: lower the spectral radius from {radius:.3g} to {lower:g}, "
        f"{code}, or take a larger `input_scale` or a smaller `leak`. Its leading exponent under these inputs, λ₁ − 2 "
        f"SE = {format_number(leading - 2 * case.evidence.exponent_error)} nats per step, is above 0: two initial "
        "states never converge (no echo state property)."
    )
    return text, lower


@advice("R07", "steps", "GS011", always=True)
def _forcing(case: _Judged) -> Advice:
    """The data are chaotic: feed the true value as often as its prediction loses a factor of 2."""
    own_past = case.verdict.name == "EXPLODING" and getattr(case.probe.estimator, "autoregression", None) is not None
    leading = case.evidence.exponent
    if not (case.evidence.chaotic or own_past) or not leading > 0:
        return None
    doubling = math.log(2) / leading
    steps = max(1, round(doubling))
    text = (
        f"If the data themselves are chaotic, feed the true value every {plural(steps, 'step')} in training, "
        f"`teacher_forcing=TeacherForcing(every={steps})` in its `Autoregression`: small differences double "
        f"in {doubling:.3g} steps (ln 2 / λ₁; λ₁ = {leading:.3g})."
    )
    return text, float(steps)


# --- everything else --------------------------------------------------------------------------------------------------


@advice("R08", "steps", "GS008")
def _transient(case: _Judged) -> Advice:
    """Growth that decays again: begin with normal matrices."""
    found, start, lag = case.found.recurrence, case.probe.start("orthogonal"), case.evidence.peak_lag
    if found is None or start is None or not case.probe.parts(Elman, LSTM, GRU, Linear):
        return None
    text = (
        f"Begin with orthogonal recurrent weights, {start}: disturbances grow to {format_log10(case.evidence.peak)} "
        f"times their size within {plural(lag, 'step')} before they decay. J_t of a typical step is far from normal: "
        f"Henrici's measure is {found.matrix.henrici:.3g}, the condition of its eigenvectors "
        f"{found.matrix.eigenvector_condition:.3g}."
    )
    return text, float(lag)


@advice("R11", "share", "GS018")
def _unsaturate(case: _Judged) -> Advice:
    """Training, and not the inputs, has driven gates to the ends of their range: train with smaller steps."""
    if "GS024" in case.failing:
        return None
    name, share = most_closed(case.found.gates or {})
    text = (
        f"Train again with smaller steps, {case.probe.smaller_steps}: the gate `{name}` is at an end of its range at "
        f"{share:.0%} of all steps, where it passes no gradient that could bring it back."
    )
    return text, round(share, 4)


@advice("R12", "norm", "GS021")
def _clip_less(case: _Judged) -> Advice:
    """Clipping sets the length of most steps (not with Adam, which divides by the size of the gradient): clip less."""
    usual = case.probe.usual_norm
    if usual is None or getattr(case.probe.estimator, "optimizer", None) != "sgd":
        return None
    limit = float(f"{3 * usual:.3g}")
    text = (
        f"Clip less, `clip_norm={limit:.3g}`, three times the median norm in training: most steps are clipped now, so "
        "that clipping sets their length."
    )
    return text, limit


@advice("R10", "steps", "GS016")
def _shorten(case: _Judged) -> Advice:
    """Little gradient survives most of the truncated length: shorten it, but keep it longer than the lag."""
    length = case.probe.bptt_length
    assert case.found.horizons is not None and length
    reached = case.found.horizons["gradient"].steps
    needed = math.ceil(4 * max(reached, case.evidence.lag) / 3)
    text = (
        f"`bptt_length={needed}` needs {1 - needed / length:.0%} less memory: after {math.ceil(reached)} of the "
        f"{length} steps only a hundredth of the gradient is left."
    )
    return text, float(needed)


@advice("R13", "steps", "GS005", always=True)
def _longer(case: _Judged) -> Advice:
    """Too few steps to measure the lag, or to judge it: ask for more."""
    lag, rows, needed = case.evidence.lag, case.evidence.rows, LAGS_NEEDED * case.evidence.lag
    if lag > case.evidence.longest:
        return f"Give sequences longer than the lag of {lag}, or a smaller `required_lag`.", float(lag)
    few = f"{rows} steps are enough for a lag of {rows // LAGS_NEEDED}"
    text = f"Give at least {needed} steps in all, or a smaller `required_lag`: {few}."
    return (text, float(needed)) if rows < needed else None


@advice("R13", "sequences", "GS006")
def _more(case: _Judged) -> Advice:
    """Too few sequences to decide: measure more."""
    sequences = case.probe.sequences
    if case.side != "INCONCLUSIVE" or not case.evidence.values or "GS005" in case.failing:
        return None
    wanted, unused = 4 * sequences, case.probe.unused >= 3 * sequences * case.probe.steps
    cure = f"Measure more of the data, `max_sequences={wanted}`" if unused else f"Give about {wanted} such sequences"
    return f"{cure}: that halves the interval, roughly, which contains a threshold now.", float(wanted)


@advice("R04", "weight", "GS002")
def _omega(case: _Judged) -> Advice:
    """Ω as a regulariser, where the estimator takes it and has weights that it can change."""
    found = case.found.omega
    if case.side != "VANISHING" or found is None or not math.isfinite(found.value):
        return None
    if not case.probe.parts(Elman, LSTM, GRU) or case.probe.setting("omega", 2.0) is None:
        return None
    text = (
        f"If nothing else helps, penalise vanishing gradients, `omega=2.0`: Ω is {found.value:.3g} now. It helped in "
        "some fits only, and makes a step 3 to 7 times as slow."
    )
    return text, 2.0
