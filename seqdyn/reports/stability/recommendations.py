"""What to change, with the number to change it to, in code that can be pasted; what was measured to help most is first.

Each rule is followed, and its effect measured, in ``benchmarks/following_advice.py`` or in its test.
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
from seqdyn.reports.advice import Advice, Recommendation, Rules
from seqdyn.reports.checks import Check
from seqdyn.reports.input_sizes import FAR
from seqdyn.reports.last_advice import last_advice
from seqdyn.reports.stability.gradients import beyond
from seqdyn.reports.stability.verdict import ENOUGH, Case, Verdict
from seqdyn.reports.writing import counted, from_log10, written

advice = Rules()
"""The rules, in the order in which following them was measured to help: that of this file."""


@dataclass(frozen=True)
class _Judged(Case):
    """All that an advice may look at: what a check may, the verdict, and the ids of the checks that failed."""

    verdict: Verdict
    failing: frozenset[str]

    @property
    def side(self) -> str:
        """The verdict; of what is truncated, which side its gradients are on where they can be measured."""
        median = self.evidence.gradient.median
        measured = self.verdict.name == "TRUNCATED" and not math.isnan(median)
        return self.limits.side(median) if measured else self.verdict.name

    @property
    def cause(self) -> str | None:
        """Why something is not finite; None where all is."""
        return None if self.found.broken is None else self.found.broken.cause

    @property
    def lag(self) -> str:
        """K, in words."""
        return counted(self.evidence.lag, "step")

    @property
    def rate(self) -> float:
        """By what factor gradients change a step: L spans the K − 1 steps from lag 1 to lag K."""
        return float(10 ** (self.evidence.gradient.median / (self.evidence.lag - 1)))


def recommend(case: Case, verdict: Verdict, checks: Sequence[Check]) -> list[Recommendation]:
    """What follows from the verdict and the checks, the most effective first."""
    failing = frozenset(check.id for check in checks if check.status in ("WARN", "FAIL"))
    judged, named = _Judged(case.subject, case.found, case.evidence, case.limits, verdict, failing), case.subject.named
    given = [one._replace(text=one.text + named) if "initialisation." in one.text else one for one in advice.on(judged)]
    side = judged.side if case.evidence.values or case.evidence.broken else "UNREACHED"
    return given or ([] if verdict.severity == "PASS" else [last_advice(side, judged.lag)])


# --- what cannot be trained at all ------------------------------------------------------------------------------------


@advice("R16", "output", "GS001")
def _defined(case: _Judged) -> Advice:
    """A loss that is NaN on some outputs: keep the outputs where it is defined."""
    if case.found.broken is None or case.cause != "loss":
        return None
    kept = case.found.broken.kept
    text = (
        "Look for a logarithm, a square root or a division of the outputs in the loss, and keep the outputs where it "
        f"is defined.{f' {kept} in place of `output`, in the loss or at the end of the model.' if kept else ''}"
    )
    return text, 1e-6


@advice("R15", "norm", "GS001")
def _restore(case: _Judged) -> Advice:
    """Weights that are not finite: back to those before."""
    if case.cause != "parameter":
        return None
    back = "Go back to weights from before this happened, or begin anew: nothing recovers from NaN."
    return f"{back} Then take {_smaller_steps(case)}", 1.0


@advice("R15", "norm", "GS022")
def _calm(case: _Judged) -> Advice:
    """A training that was once not finite."""
    return None if case.cause == "parameter" else (f"Take {_smaller_steps(case)}", 1.0)


def _smaller_steps(case: _Judged) -> str:
    clip = case.subject.clipping(1.0)
    return f"smaller steps, {case.subject.smaller_steps}{f', and clip the gradient, {clip}' if clip else ''}."


@advice("R14", "input", "GS024")
def _scale_inputs(case: _Judged) -> Advice:
    """Inputs far from unit size: which one is farthest, and how to centre and scale."""
    sizes = case.subject.sizes
    assert sizes is not None
    worst, width = int(sizes.largest.argmax()), len(sizes.mean)
    mean, scale, code = float(sizes.mean[worst]), float(sizes.scale[worst]), case.subject.scaling
    what, how = f"feature {worst}", f"{code} (`StandardScaler` is scikit-learn's)"
    if sizes.encoded:
        what = f"number {worst} of what the encoder makes of them"
        how = f"`encoder = torch.nn.Sequential(encoder, torch.nn.LayerNorm({width}))`"
    elif (own := case.subject.setting("scale", True)) or not code.startswith("`"):
        how = own or f"by scikit-learn's `StandardScaler`, {code}"
    text = (
        f"Scale the inputs: {what} has mean {written(mean)} and standard deviation {written(scale)}, and inputs beyond "
        f"{FAR:g} drive gates and units to the ends of their range. Centre and scale them, {how}, and train anew."
    )
    return text, max(abs(mean), scale)


@advice("R18", "weight", "GS002", always=True)
def _connect(case: _Judged) -> Advice:
    """Weights of zeros between the state and the errors: gates and starts are not at fault."""
    why = case.evidence.cut_off
    text = (
        f"Begin with weights that are not 0, and train anew: {why[:1].lower()}{why[1:]}, and the model answers without "
        "any memory. Where it answers well without, leave it as it is."
    )
    return (text, 0.0) if why else None


@advice("R13", "steps", "GS002", always=True)
def _ask(case: _Judged) -> Advice:
    """A lag that nobody named: all other advice depends on it."""
    if not case.evidence.guessed or case.verdict.severity == "PASS":
        return None
    text = (
        f"Say how far back the model has to learn, by `required_lag`: {case.lag}, {case.subject.required_lag_from}, is "
        "a guess, on which all that is said here depends."
    )
    return text, float(case.evidence.lag)


@advice("R09", "steps", "GS015")
def _reach(case: _Judged) -> Advice:
    """Truncation that is shorter than the lag, or leaves out much: how long it has to be."""
    length, lag, steps = case.subject.bptt_length or 0, case.evidence.lag, case.subject.steps
    parameters, share = case.found.parameters, case.limits.truncated
    if case.evidence.truncated:
        # of chunks as long as the lag one error each would reach so far back; of these every fourth does
        needed = steps if lag < steps <= 2 * lag else math.ceil(4 * lag / 3)
        why = f"cannot teach a lag of {lag}; {counted(needed, 'step')} can"
    else:
        assert parameters is not None
        pairs = zip(parameters.edges, parameters.beyond_apart, strict=True)
        needed = next((edge + 1 for edge, left in pairs if edge >= length and float(left) <= share), 0)
        why = (
            f"leaves out {beyond(case.found, length):.0%} of the gradient; {counted(needed, 'step')} leave {share:.0%}"
        )
    text = f"Carry the gradient further back, `bptt_length={needed}`: `bptt_length={length}` {why}."
    return (text, float(needed)) if needed > length else None


# --- gradients that vanish --------------------------------------------------------------------------------------------


@advice("R01", "bias", "GS017")
def _hold_longer(case: _Judged) -> Advice:
    """Gates whose time constants are shorter than the lag: a bias that holds as long."""
    lag, bias, least = case.evidence.lag, case.subject.holding_bias, case.limits.vanishing_warn
    equal, spread = case.subject.start("forget_bias", bias), case.subject.start("chrono", max(lag, 3))
    ways = [f"a bias of {bias:g}, {equal}"] if equal else []
    if spread and (spread.count("`") == 2 or not equal):
        ways.append(f"memories of up to {case.lag}, {spread}")
    if case.side not in ("VANISHING", "MIXED", "INCONCLUSIVE") or not ways or case.evidence.cut_off:
        return None
    gate = "forget gate" if case.subject.parts(LSTM) else "update gate"
    text = (
        f"Let the {gate} hold longer: begin with {', or with '.join(ways)}. Nine of ten units now forget "
        f"within {slowest(case.found.gates or {}):.3g} steps (time constant); to keep {from_log10(least)} of a "
        f"gradient over {case.lag} some need {needed_time_constant(lag, least):.3g}."
    )
    return text, bias


@advice("R02", "factor a step", "GS002")
def _isometric(case: _Judged) -> Advice:
    """A plain recurrence that shrinks or stretches: weights that do neither."""
    networks = case.subject.parts(Elman)
    if case.side != "VANISHING" or not networks or math.isnan(case.evidence.gradient.median):
        return None
    sizes = torch.cat([torch.linalg.svdvals(own.recurrent_weight.detach().double()) for own in networks])
    low, high = float(sizes.min()), float(sizes.max())
    own, cure = case.subject.isometry, f"Take a gated cell, {case.subject.gated}"
    start = None if case.subject.started(own) or (0.95 < low and high < 1.05) else case.subject.start(own)
    if start:
        cure = f"Begin with {own} recurrent weights, {start}, or take a gated cell, {case.subject.gated}"
    text = (
        f"{cure}: a gradient keeps {case.rate:.3f} of its size a step, and the recurrent weights have singular values "
        f"from {low:.3g} to {high:.3g}."
    )
    return text, round(case.rate, 3)


@advice("R03", "modulus", "GS002")
def _slower_poles(case: _Judged) -> Advice:
    """A linear model whose poles forget too fast: how slow one has to be."""
    linear = case.subject.parts(Linear) and not case.subject.parts(Elman, LSTM, GRU)
    if case.side != "VANISHING" or not linear or case.found.recurrence is None:
        return None
    least = case.limits.vanishing_warn
    needed = round(10 ** (least / (case.evidence.lag - 1)), 4)
    start = case.subject.start("orthogonal", needed)
    text = (
        f"The slowest pole has modulus {case.found.recurrence.matrix.spectral_radius:.4g}; to keep {from_log10(least)} "
        f"of a gradient over {case.lag} it needs at least {needed:.4f}."
        f"{f' Begin with such poles: {start}.' if start else ''}"
    )
    return text, needed


@advice("R19", "radius", "GS002")
def _remember_longer(case: _Judged) -> Advice:
    """A reservoir that forgets too fast: the spectral radius at which a tenth is left."""
    networks, needed = case.subject.parts(EchoState), 10 ** (-1 / (case.evidence.lag - 1))
    if len(networks) != 1 or case.side != "VANISHING" or not case.rate:
        return None
    radius = networks[0].spectral_radius
    higher = float(f"{radius * needed / case.rate:.2g}")
    code = case.subject.setting("spectral_radius", higher) or f"`EchoState(…, spectral_radius={higher:g})`"
    text = (
        f"Let the reservoir remember longer: raise the spectral radius from {radius:.3g} to {higher:g}, {code}, or "
        f"take a smaller `input_scale` or `leak`. A gradient keeps {case.rate:.3f} of its size a step; {needed:.3f} "
        f"would keep a tenth over {case.lag}."
    )
    return text, higher


@advice("R20", "steps", "GS002")
def _widen(case: _Judged) -> Advice:
    """A moving average that is shorter than the lag."""
    window, lag = min((part.window for part in case.subject.parts(MovingAverage)), default=0), case.evidence.lag
    if case.side != "VANISHING" or not 0 < window <= lag:
        return None
    code = case.subject.setting("window", lag + 1) or f"`MovingAverage(…, window={lag + 1})`"
    return f"Take a longer window, {code}: {window} steps hold nothing of what came {case.lag} before.", float(lag + 1)


# --- gradients that explode -------------------------------------------------------------------------------------------


@advice("R06", "gain", "GS001")
def _bounded(case: _Judged) -> Advice:
    """States that grow without bound: recurrent weights that do not stretch."""
    linear, start = case.subject.parts(Linear), case.subject.parts(Elman) and case.subject.start(case.subject.isometry)
    grow = "the states grow without bound."
    if case.cause != "overflow" or not (linear or start):
        return None
    if start:
        return f"Begin with {case.subject.isometry} recurrent weights, {start}: {grow}", 1.0
    radius = max(float(torch.linalg.eigvals(part.transition.detach()).abs().max()) for part in linear)
    factor = float(f"{1 / radius:.3g}")
    return f"Make the recurrent weights {factor:g} times as large: {grow}", factor


@advice("R05", "norm", "GS003", always=True)
def _clip_first(case: _Judged) -> Advice:
    """No start alone was measured to help a relu."""
    return _clip(case) if case.subject.isometry == "identity" else None


@advice("R06", "gain", "GS003")
def _begin_smaller(case: _Judged) -> Advice:
    """A plain recurrence: weights that do not stretch."""
    start = case.subject.start(case.subject.isometry) if case.subject.parts(Elman) else None
    return _growing(case, f"Begin with {case.subject.isometry} recurrent weights, {start}", 1.0) if start else None


@advice("R06", "factor", "GS003")
def _shrink(case: _Judged) -> Advice:
    """A linear recurrence: the factor that brings the growth back to 1; where units saturate it would be too large."""
    factor, linear = round(1 / case.rate, 3), case.subject.parts(Linear) and not case.subject.parts(Elman)
    return _growing(case, f"Make the recurrent weights {factor:.3f} times as large", factor) if linear else None


def _growing(case: _Judged, cure: str, number: float) -> Advice:
    """The cure for gradients that grow in a driven recurrence without gates."""
    driven = case.subject.kind == "driven" and not case.subject.parts(LSTM, GRU, EchoState)
    if case.side != "EXPLODING" or not driven or not math.isfinite(case.evidence.gradient.median):
        return None
    return f"{cure}: a gradient grows by a factor of {case.rate:.4f} a step.", number


@advice("R05", "norm", "GS003", always=True)
def _clip(case: _Judged) -> Advice:
    """A limit of 1 where nothing is clipped: norms of a training that explodes say nothing of those to come."""
    clips = any(getattr(case.subject.estimator, name, None) is not None for name in ("clip_norm", "clip_quantile"))
    driven = case.subject.kind == "driven" and case.cause in (None, "overflow")
    if case.side not in ("EXPLODING", "MIXED") or not driven or clips:
        return None
    limit = min(1.0, float(f"{2 * (case.subject.usual_norm or math.inf):.2g}"))
    code = case.subject.clipping(limit)
    text = f"Clip the gradient, {code}: a step along one that has exploded throws the weights far off."
    return None if code is None else (text, limit)


@advice("R17", "radius", "GS011")
def _forget_the_start(case: _Judged) -> Advice:
    """A reservoir that does not forget its start: the spectral radius at which it would."""
    networks, leading = case.subject.parts(EchoState), case.evidence.exponent
    if len(networks) != 1 or case.subject.kind != "driven":
        return None
    radius = networks[0].spectral_radius
    lower = float(f"{0.9 * min(1.0, radius * math.exp(-leading)):.2g}")
    code = case.subject.setting("spectral_radius", lower) or f"`EchoState(…, spectral_radius={lower:g})`"
    text = (
        f"Make the reservoir forget its start: lower the spectral radius from {radius:.3g} to {lower:g}, {code}, or "
        "take a larger `input_scale` or a smaller `leak`. Its leading exponent under these inputs, λ₁ − 2 SE = "
        f"{written(leading - 2 * case.evidence.exponent_error)} nats per step, is above 0: two starts never come "
        "together (no echo state property)."
    )
    return text, lower


@advice("R07", "steps", "GS011", always=True)
def _forcing(case: _Judged) -> Advice:
    """A chaotic target: let the model see the true value as often as it can be predicted."""
    own_past = case.verdict.name == "EXPLODING" and getattr(case.subject.estimator, "autoregression", None) is not None
    leading = case.evidence.exponent
    if not (case.evidence.chaotic or own_past) or not leading > 0:
        return None
    doubling = math.log(2) / leading
    steps = max(1, round(doubling))
    text = (
        f"If the data are chaotic themselves, let the model see the true value every {counted(steps, 'step')} in "
        f"training, `teacher_forcing=TeacherForcing(every={steps})` in its `Autoregression`: neighbours are twice as "
        f"far apart after {doubling:.3g} steps (ln 2 / λ₁; λ₁ = {leading:.3g})."
    )
    return text, float(steps)


# --- everything else --------------------------------------------------------------------------------------------------


@advice("R08", "steps", "GS008")
def _transient(case: _Judged) -> Advice:
    """Growth that passes: weights that are normal."""
    found, start, lag = case.found.recurrence, case.subject.start("orthogonal"), case.evidence.peak_lag
    if found is None or start is None or not case.subject.parts(Elman, LSTM, GRU, Linear):
        return None
    text = (
        f"Begin with orthogonal recurrent weights, {start}: disturbances grow to {from_log10(case.evidence.peak)} "
        f"times their size within {counted(lag, 'step')} before they decay. J_t of a typical step is far from normal: "
        f"Henrici's measure is {found.matrix.henrici:.3g}, the condition of its eigenvectors "
        f"{found.matrix.eigenvector_condition:.3g}."
    )
    return text, float(lag)


@advice("R11", "share", "GS018")
def _unsaturate(case: _Judged) -> Advice:
    """Gates that training has driven to their ends, and not the inputs."""
    if "GS024" in case.failing:
        return None
    name, share = most_closed(case.found.gates or {})
    text = (
        f"Train anew with smaller steps, {case.subject.smaller_steps}: the gate `{name}` is at an end of its range at "
        f"{share:.0%} of all steps, where no gradient passes and nothing brings it back."
    )
    return text, round(share, 4)


@advice("R12", "norm", "GS021")
def _clip_less(case: _Judged) -> Advice:
    """Where clipping sets the length of most steps: not so with Adam, which divides by the size of the gradient."""
    usual = case.subject.usual_norm
    if usual is None or getattr(case.subject.estimator, "optimizer", None) != "sgd":
        return None
    limit = float(f"{3 * usual:.3g}")
    text = (
        f"Clip less, `clip_norm={limit:.3g}`, three times the median norm of the training: most steps are clipped, so "
        "that clipping sets their length."
    )
    return text, limit


@advice("R10", "steps", "GS016")
def _shorten(case: _Judged) -> Advice:
    """Truncation that carries nothing through most of its length: shorter, but never so short as the lag."""
    length = case.subject.bptt_length
    assert case.found.horizons is not None and length
    reached = case.found.horizons["gradient"].steps
    needed = math.ceil(4 * max(reached, case.evidence.lag) / 3)
    text = (
        f"`bptt_length={needed}` needs {1 - needed / length:.0%} less memory: a hundredth of the gradient reaches "
        f"{math.ceil(reached)} steps back, of the {length} it is carried through."
    )
    return text, float(needed)


@advice("R13", "steps", "GS005", always=True)
def _longer(case: _Judged) -> Advice:
    """Too few steps to show the lag, or to judge it."""
    lag, rows, needed = case.evidence.lag, case.evidence.rows, ENOUGH * case.evidence.lag
    if lag > case.evidence.longest:
        return f"Give series, or stretches, longer than the lag of {lag}, or a smaller `required_lag`.", float(lag)
    few = f"{rows} steps can tell about {rows // ENOUGH}"
    text = f"Give at least {needed} steps in all, or a smaller `required_lag`: {few}."
    return (text, float(needed)) if rows < needed else None


@advice("R13", "sequences", "GS006")
def _more(case: _Judged) -> Advice:
    """Too few sequences to decide."""
    sequences = case.subject.sequences
    if case.side != "INCONCLUSIVE" or not case.evidence.values or "GS005" in case.failing:
        return None
    wanted, unused = 4 * sequences, case.subject.unused >= 3 * sequences * case.subject.steps
    cure = f"Look at more of the data, `max_sequences={wanted}`" if unused else f"Give about {wanted} such sequences"
    return f"{cure}: that about halves the interval, which contains a threshold.", float(wanted)


@advice("R04", "weight", "GS002")
def _omega(case: _Judged) -> Advice:
    """Ω as a regulariser, where there are weights that it could change and a trainer that takes it."""
    found = case.found.omega
    if case.side != "VANISHING" or found is None or not math.isfinite(found.value):
        return None
    if not case.subject.parts(Elman, LSTM, GRU) or case.subject.setting("omega", 2.0) is None:
        return None
    text = (
        f"If nothing else helps, penalise what shrinks the gradient, `omega=2.0`: Ω is {found.value:.3g} now. It "
        "helped in some fits only, and a step takes 3 to 7 times as long."
    )
    return text, 2.0
