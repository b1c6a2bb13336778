"""What to change, with the number to change it to, in code that can be pasted; what was measured to help most is first.

Each rule is followed, and its effect measured, in ``benchmarks/following_advice.py`` or in its test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from seqdyn.cells.echo_state import EchoState
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.dynamics.gates import forget_bias_for
from seqdyn.reports.checks import Check
from seqdyn.reports.stability.gates import keeping, most_closed, needed_time_constant, slowest
from seqdyn.reports.stability.gradients import beyond
from seqdyn.reports.stability.inputs import FAR, input_sizes
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.verdict import ENOUGH, Evidence, Thresholds, Verdict
from seqdyn.reports.subject import Subject
from seqdyn.reports.writing import counted, from_log10, written


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


class _Case(NamedTuple):
    subject: Subject
    found: Measurements
    evidence: Evidence
    limits: Thresholds
    verdict: Verdict
    failing: frozenset[str]

    def has(self, *kinds: type) -> bool:
        """Whether a cell of these kinds is inside."""
        return any(isinstance(module, kinds) for module in self.subject.cell.modules())

    @property
    def side(self) -> str:
        """VANISHING, EXPLODING or OK, whatever the verdict puts before it."""
        if self.verdict.name in ("VANISHING", "EXPLODING"):
            return self.verdict.name
        median = self.evidence.gradient.median
        return self.limits.side(median) if self.verdict.name == "TRUNCATED" and not math.isnan(median) else "OK"

    @property
    def given(self) -> str:
        """What was handed in: an estimator, a cell or a torch module."""
        if self.subject.estimator is not None:
            return "estimator"
        return "torch module" if any(own != name for own, name in self.subject.names().items()) else "cell"

    @property
    def relu(self) -> bool:
        """Whether an Elman cell with relu is inside."""
        return any(isinstance(part, Elman) and part.activation == "relu" for part in self.subject.cell.modules())

    @property
    def isometry(self) -> str:
        """The start of a plain recurrence that neither shrinks nor stretches: a relu halves all but the identity."""
        return "identity" if self.relu else "orthogonal"

    @property
    def rate(self) -> float:
        """By what factor gradients change a step: L spans the K − 1 steps from lag 1 to lag K."""
        return float(10 ** (self.evidence.gradient.median / (self.evidence.lag - 1)))

    def set(self, name: str, value: Any) -> str | None:
        """A parameter of the estimator, as code; None where there is none that takes it."""
        taken = self.given == "estimator" and self.subject.accepts(**{name: value})
        return f"`{name}={value!r}`" if taken else None

    def start(self, name: str, number: float | None = None) -> str | None:
        """A start of the weights, as code: a parameter of the estimator, or a function that changes a module."""
        own = "model" if self.given == "torch module" else "cell"
        call = f"`seqdyn.training.initialisation.{name}({own}{'' if number is None else f', {number}'})`"
        if self.given != "estimator":
            return call
        parameter = self.set("initialise", name if number is None else (name, number))
        if parameter or not self.subject.accepts(cell=LSTM) or "initialise" in self.subject.estimator.get_params():
            return parameter
        return f"by a function `cell(inputs, hidden)` that makes one, calls {call} and returns it"

    def gated(self, bias: float) -> str:
        """A gated cell in place of a plain one, as code."""
        kind = type(self.subject.estimator).__name__
        if self.given == "estimator" and kind.startswith("Elman"):
            return f"`LSTM{kind.removeprefix('Elman')}(initialise=('forget_bias', {bias}))`"
        return self.set("cell", "lstm") or "LSTM or GRU"

    @property
    def started_so(self) -> bool:
        """Whether an estimator began with the recurrent weights that neither shrink nor stretch already."""
        own = getattr(self.subject.estimator, "initialise", None)
        name, gain = own if isinstance(own, tuple) else (own or "orthogonal", 1.0)
        return self.given == "estimator" and (name, gain) == (self.isometry, 1.0)


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


# --- what cannot be trained at all ------------------------------------------------------------------------------------


def _restore(case: _Case) -> Recommendation | None:
    """Weights that are not finite, now or once in the training: back to those before, and smaller steps."""
    broken = case.found.broken is not None and case.found.broken.cause == "parameter"
    if not broken and "GS022" not in case.failing:
        return None
    back = "Go back to weights from before this happened, or begin anew: nothing recovers from NaN. " if broken else ""
    rate, estimator = getattr(case.subject.estimator, "learning_rate", None), case.given == "estimator"
    lower = f"`learning_rate={rate / 10:g}`" if rate else "a tenth of the learning rate"
    clip = case.set("clip_norm", 1.0) if estimator else "`torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)`"
    where = "" if estimator else " between `loss.backward()` and `optimizer.step()`"
    clipped = f", and clip the gradient: {clip}{where}" if clip else ""
    text = f"{back}Then take smaller steps: {lower}{clipped}."
    return Recommendation("R15", text, 1.0, "norm", "GS001" if broken else "GS022")


def _defined(case: _Case) -> Recommendation | None:
    """A loss that is NaN on some outputs: keep the outputs where it is defined."""
    if case.found.broken is None or case.found.broken.cause != "loss":
        return None
    text = (
        "Look for a logarithm, a square root or a division of the outputs in the loss, and keep the outputs where it "
        "is defined. Above 0 they stay with `torch.nn.functional.softplus(output) + 1e-6` in place of `output`, in the "
        "loss or at the end of the model."
    )
    return Recommendation("R16", text, 1e-6, "output", "GS001")


def _scale_inputs(case: _Case) -> Recommendation | None:
    """Inputs far from unit size: which one is farthest, and how to centre and scale."""
    sizes = input_sizes(case.subject)
    if "GS024" not in case.failing or sizes is None:
        return None
    mean, scale = sizes
    worst = int(torch.stack(sizes).abs().max(0).values.argmax())
    code = case.set("scale", True) or "`X = (X - X.mean((0, 1))) / X.std((0, 1))`"
    text = (
        f"Scale the inputs: feature {worst} has mean {written(float(mean[worst]))} and standard deviation "
        f"{written(float(scale[worst]))}, and inputs beyond {FAR:g} drive gates and units to the ends of their range. "
        f"Centre and scale them, {code}, and train anew."
    )
    return Recommendation("R14", text, float(max(mean[worst].abs(), scale[worst])), "input", "GS024")


def _reach(case: _Case) -> Recommendation | None:
    """Truncation that is shorter than the lag, or leaves out much: how long it has to be."""
    length = case.subject.bptt_length
    if "GS015" not in case.failing or not length:
        return None
    if case.evidence.truncated and not case.evidence.guessed:
        needed = _enough_steps(case.evidence.lag, case.subject.steps)
        why = f"cannot teach a lag of {case.evidence.lag}; {counted(needed, 'step')} can"
    else:
        parameters, share = case.found.parameters, case.limits.truncated
        assert parameters is not None
        pairs = zip(parameters.edges, parameters.beyond_apart, strict=True)
        needed = next(edge + 1 for edge, left in pairs if float(left) <= share)
        why = (
            f"leaves out {beyond(case.found, length):.0%} of the gradient; {counted(needed, 'step')} leave {share:.0%}"
        )
    text = f"Carry the gradient further back, `bptt_length={needed}`: `bptt_length={length}` {why}."
    return Recommendation("R09", text, float(needed), "steps", "GS015")


def _enough_steps(lag: int, steps: int) -> int:
    """A length of truncation that can teach a lag: whole sequences where they are short, else a third more than it.

    Of chunks as long as the lag itself one error each would reach so far back; of these every fourth does.
    """
    return steps if lag < steps <= 2 * lag else math.ceil(4 * lag / 3)


# --- gradients that vanish --------------------------------------------------------------------------------------------


def _hold_longer(case: _Case) -> Recommendation | None:
    """Gates whose time constants are shorter than the lag: a bias that holds as long."""
    gates, lag, tau = keeping(case.found), case.evidence.lag, slowest(case.found)
    concerned = case.side == "VANISHING" or case.verdict.name in ("MIXED", "INCONCLUSIVE")
    if not concerned or "GS017" not in case.failing or not gates:
        return None
    bias = round(float(forget_bias_for(float(lag))), 2)
    ways = [case.start("forget_bias", bias), case.start("chrono", max(lag, 3))]
    if None in ways:
        return None
    gate = "forget gate" if case.has(LSTM) else "update gate"
    other = f", or with memories of up to {counted(lag, 'step')}, {ways[1]}" if str(ways[1]).startswith("`") else ""
    text = (
        f"Let the {gate} hold longer: begin with a bias of {bias:g}, {ways[0]}{other}. Nine of ten units now forget "
        f"within {tau:.3g} steps (time constant); to keep {from_log10(case.limits.vanishing_warn)} of a gradient over "
        f"{counted(lag, 'step')} some need {needed_time_constant(lag, case.limits.vanishing_warn):.3g}."
    )
    return Recommendation("R01", text, bias, "bias", "GS017")


def _isometric(case: _Case) -> Recommendation | None:
    """A plain recurrence that shrinks or stretches: weights that do neither."""
    networks = [module for module in case.subject.cell.modules() if isinstance(module, Elman)]
    if case.side != "VANISHING" or not networks or not math.isfinite(case.evidence.gradient.median):
        return None
    sizes = torch.cat([torch.linalg.svdvals(own.recurrent_weight.detach().double()) for own in networks])
    low, high = float(sizes.min()), float(sizes.max())
    rate = case.rate
    gated = case.gated(round(float(forget_bias_for(float(case.evidence.lag))), 2))
    start = case.start(case.isometry)
    cure = f"Take a gated cell, {gated}"
    if not (case.started_so or (0.95 < low and high < 1.05) or start is None):
        cure = f"Begin with {case.isometry} recurrent weights, {start}, or take a gated cell, {gated}"
    text = (
        f"{cure}: a gradient keeps {rate:.3f} of its size a step, and the recurrent weights have singular values from "
        f"{low:.3g} to {high:.3g}."
    )
    return Recommendation("R02", text, round(rate, 3), "factor a step", "GS002")


def _slower_poles(case: _Case) -> Recommendation | None:
    """A linear model whose poles forget too fast: how slow one has to be."""
    recurrent = case.has(Elman, LSTM, GRU)
    if case.side != "VANISHING" or recurrent or not case.has(Linear) or case.found.recurrence is None:
        return None
    needed = round(10 ** (case.limits.vanishing_warn / (case.evidence.lag - 1)), 4)
    radius = case.found.recurrence.matrix.spectral_radius
    start = case.start("orthogonal", needed)
    cure = f" Begin with such poles: {start}." if start else ""
    text = (
        f"The slowest pole has modulus {radius:.4g}; to keep {from_log10(case.limits.vanishing_warn)} of a gradient "
        f"over {counted(case.evidence.lag, 'step')} it needs at least {needed:.4f}.{cure}"
    )
    return Recommendation("R03", text, needed, "modulus", "GS002")


def _omega(case: _Case) -> Recommendation | None:
    """Ω as a regulariser, where there are weights that it could change and a trainer that takes it."""
    found = case.found.omega
    if case.side != "VANISHING" or found is None or not math.isfinite(found.value):
        return None
    if not case.has(Elman, LSTM, GRU) or case.set("omega", 2.0) is None:
        return None
    text = (
        f"If nothing else helps, penalise what shrinks the gradient, `omega=2.0`: Ω is {found.value:.3g} now. It "
        "helped in some fits only, and a step takes 3 to 7 times as long."
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


def _shrink(case: _Case) -> Recommendation | None:
    """The factor on the recurrent weights that would bring the growth back to 1."""
    if case.side != "EXPLODING" or not math.isfinite(case.evidence.gradient.median):
        return None
    if case.subject.kind == "autonomous" or case.has(LSTM, GRU, EchoState) or not case.has(Elman, Linear):
        return None
    start, number, unit = case.start(case.isometry), 1.0, "gain"
    cure = f"Begin with {case.isometry} recurrent weights, {start}"
    if not case.has(Elman):  # where units saturate less at smaller weights, this factor is too large
        number, unit = round(1 / case.rate, 3), "factor"
        cure = f"Make the recurrent weights {number:.3f} times as large"
    elif start is None:
        return None
    text = f"{cure}: a gradient grows by a factor of {case.rate:.4f} a step."
    return Recommendation("R06", text, number, unit, "GS003")


def _clip(case: _Case) -> Recommendation | None:
    """A limit of 1 where nothing is clipped: norms of a training that explodes say nothing of those to come."""
    grows = case.side == "EXPLODING" or case.verdict.name == "MIXED"
    if not grows or case.subject.kind == "autonomous" or case.found.broken is not None:
        return None
    norms = _norms(case)
    limit = 1.0 if norms is None else min(1.0, float(f"{2 * np.median(norms):.2g}"))
    code: str | None = f"`torch.nn.utils.clip_grad_norm_(model.parameters(), {limit:g})`"
    if case.given == "estimator":
        clips = any(getattr(case.subject.estimator, name, None) is not None for name in ("clip_norm", "clip_quantile"))
        code = None if clips else case.set("clip_norm", limit)
    text = f"Clip the gradient, {code}: a step along one that has exploded throws the weights far off."
    return None if code is None else Recommendation("R05", text, limit, "norm", "GS003")


def _forcing(case: _Case) -> Recommendation | None:
    """A chaotic target: let the model see the true value as often as it can be predicted."""
    found = case.found.lyapunov
    own_past = case.verdict.name == "EXPLODING" and getattr(case.subject.estimator, "autoregression", None) is not None
    if not (case.evidence.chaotic or own_past) or found is None or not float(found.exponents[0]) > 0:
        return None
    leading = float(found.exponents[0])
    steps = max(1, round(math.log(2) / leading))
    text = (
        f"If the data are chaotic themselves, let the model see the true value every {counted(steps, 'step')} in "
        f"training, `teacher_forcing=TeacherForcing(every={steps})` in its `Autoregression`: neighbours are twice as "
        f"far apart after {math.log(2) / leading:.3g} steps (ln 2 / λ₁; λ₁ = {leading:.3g})."
    )
    return Recommendation("R07", text, float(steps), "steps", "GS011")


def _forget_the_start(case: _Case) -> Recommendation | None:
    """A reservoir that does not forget its start: the spectral radius at which it would."""
    found, networks = case.found.lyapunov, [m for m in case.subject.cell.modules() if isinstance(m, EchoState)]
    if "GS011" not in case.failing or found is None or len(networks) != 1 or case.subject.kind == "autonomous":
        return None
    leading = float(found.exponents[0])
    radius = networks[0].spectral_radius
    lower = float(f"{0.9 * min(1.0, radius * math.exp(-leading)):.2g}")
    code = case.set("spectral_radius", lower) or f"`EchoState(…, spectral_radius={lower:g})`"
    text = (
        f"Make the reservoir forget its start: lower the spectral radius from {radius:.3g} to {lower:g}, {code}. Its "
        f"leading exponent under these inputs is {leading:.3g} nats per step, so that two starts never come together "
        "(no echo state property). A larger `input_scale` or a smaller `leak` calms it, too."
    )
    return Recommendation("R17", text, lower, "radius", "GS011")


# --- everything else --------------------------------------------------------------------------------------------------


def _transient(case: _Case) -> Recommendation | None:
    if "GS008" not in case.failing or case.found.recurrence is None or not case.has(Elman, LSTM, GRU, Linear):
        return None
    lag, matrix, start = case.evidence.peak_lag, case.found.recurrence.matrix, case.start("orthogonal")
    if start is None:
        return None
    text = (
        f"Begin with orthogonal recurrent weights, {start}: disturbances grow to {from_log10(case.evidence.peak)} "
        f"times their size within {counted(lag, 'step')} before they decay. J_t of a typical step is far from normal: "
        f"Henrici's measure is {matrix.henrici:.3g}, the condition of its eigenvectors "
        f"{matrix.eigenvector_condition:.3g}."
    )
    return Recommendation("R08", text, float(lag), "steps", "GS008")


def _shorten(case: _Case) -> Recommendation | None:
    """Truncation that carries nothing through most of its length: shorter, but never so short as the lag."""
    table, length = case.found.horizons, case.subject.bptt_length
    if "GS016" not in case.failing or table is None or not length:
        return None
    needed = math.ceil(4 * max(table["gradient"].steps, case.evidence.lag) / 3)
    if needed >= length:
        return None
    text = (
        f"`bptt_length={needed}` needs {1 - needed / length:.0%} less memory: a hundredth of the gradient reaches "
        f"{math.ceil(table['gradient'].steps)} steps back, of the {length} it is carried through."
    )
    return Recommendation("R10", text, float(needed), "steps", "GS016")


def _unsaturate(case: _Case) -> Recommendation | None:
    gates = case.found.gates
    if "GS018" not in case.failing or "GS024" in case.failing or not gates:
        return None
    name, share = most_closed(gates)
    rate = getattr(case.subject.estimator, "learning_rate", None)
    lower = f"`learning_rate={rate / 10:g}`" if rate else "a tenth of the learning rate"
    text = (
        f"Train anew with smaller steps, {lower}: the gate `{name}` is at an end of its range at {share:.0%} of all "
        "steps, where no gradient passes and nothing brings it back."
    )
    return Recommendation("R11", text, round(share, 4), "share", "GS018")


def _clip_less(case: _Case) -> Recommendation | None:
    """Where clipping sets the length of most steps: not so with Adam, which divides by the size of the gradient."""
    norms, optimizer = _norms(case), getattr(case.subject.estimator, "optimizer", None)
    if "GS021" not in case.failing or norms is None or optimizer != "sgd":
        return None
    limit = float(f"{3 * np.median(norms):.3g}")
    text = (
        f"Clip less, `clip_norm={limit:.3g}`, three times the median norm of the training: most steps are clipped, so "
        "that clipping sets their length."
    )
    return Recommendation("R12", text, limit, "norm", "GS021")


def _ask(case: _Case) -> Recommendation | None:
    """A lag that nobody named: all other advice depends on it."""
    if not case.evidence.guessed or case.verdict.severity == "PASS":
        return None
    lag = case.evidence.lag
    text = (
        f"Say how far back the model has to learn, by `required_lag`: {counted(lag, 'step')}, "
        f"{case.subject.required_lag_from}, is a guess, on which all that is said here depends."
    )
    return Recommendation("R13", text, float(lag), "steps", "GS002")


def _measure_more(case: _Case) -> Recommendation | None:
    lag, needed = case.evidence.lag, ENOUGH * case.evidence.lag
    if lag > case.evidence.longest:
        text = f"Give series, or stretches, longer than the lag of {lag}, or a smaller `required_lag`."
        return Recommendation("R13", text, float(lag), "steps", "GS005")
    if "GS005" in case.failing:
        text = (
            f"Give at least {needed} steps in all, or a smaller `required_lag`: {case.evidence.rows} steps can tell "
            f"about {case.evidence.rows // ENOUGH}."
        )
        return Recommendation("R13", text, float(needed), "steps", "GS005")
    if case.verdict.name != "INCONCLUSIVE" or "GS006" not in case.failing:
        return None
    wanted = 4 * case.subject.sequences
    if case.subject.unused >= 3 * case.subject.sequences * case.subject.steps:
        text = f"Look at more of the data, `max_sequences={wanted}`: that about halves the interval."
    else:
        text = f"Give about {wanted} sequences like these: that about halves the interval, which contains a threshold."
    return Recommendation("R13", text, float(wanted), "sequences", "GS006")


RULES: tuple[Callable[[_Case], Recommendation | None], ...] = (
    _defined,
    _restore,
    _scale_inputs,
    _ask,
    _reach,
    _hold_longer,
    _isometric,
    _slower_poles,
    lambda case: _clip(case) if case.relu else None,  # no start alone was measured to help a relu
    _shrink,
    lambda case: None if case.relu else _clip(case),
    _forget_the_start,
    _forcing,
    _transient,
    _unsaturate,
    _clip_less,
    _shorten,
    _measure_more,
    _omega,
)
"""In the order in which following them was measured to help."""
