"""The verdict on models whose gradients are known, and on evidence made by hand."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import Tensor

from seqdyn import (
    ARXRegressor,
    Autoregression,
    EchoStateRegressor,
    ElmanRegressor,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    MovingAverageRegressor,
    RecurrentRegressor,
    StabilityReport,
    assert_stable,
    from_torch,
    stability_report,
)
from seqdyn.cell import Cell
from seqdyn.cells.echo_state import EchoState
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Readout
from seqdyn.estimators.parameters import check_parameters
from seqdyn.reports.bootstrap import Estimate, estimate, median
from seqdyn.reports.checks import ReportCheck
from seqdyn.reports.evidence import Evidence, Thresholds
from seqdyn.reports.non_finite import NonFinite
from seqdyn.reports.probe import probe_of
from seqdyn.reports.stability.verdict import decide
from seqdyn.systems.henon import Henon
from tests.dynamics.unchanged import unchanged

LAG = 50


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drive(inputs: int, series: int = 8, time: int = 200, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(series, time, inputs, generator=seeded(7), dtype=torch.float64)


def linear(gain: float, width: int = 6) -> Linear:
    """D = gain · Q: every gradient shrinks by exactly this factor a step."""
    cell = Linear(2, width, generator=seeded()).double()
    torch.nn.init.orthogonal_(cell.transition, gain=gain, generator=seeded(1))
    return cell


def elman(scale: float) -> Elman:
    """An orthogonal recurrence, scaled."""
    cell = Elman(2, 32, generator=seeded()).double()
    with torch.no_grad():
        cell.recurrent_weight *= scale
    return cell


def lstm(bias: float) -> LSTM:
    cell = LSTM(2, 32, generator=seeded()).double()
    torch.nn.init.constant_(cell.bias.data.chunk(4)[1], bias)
    return cell


class Case:
    """A model, how strong its input is, and what must be said of it."""

    def __init__(self, build: Any, verdict: str, severity: str, scale: float = 1.0):
        self.build, self.verdict, self.severity, self.scale = build, verdict, severity, scale


CASES = {
    "linear, D = 0.5 Q": Case(lambda: linear(0.5), "VANISHING", "FAIL"),
    "linear, D = 0.8 Q": Case(lambda: linear(0.8), "VANISHING", "WARN"),
    "linear, D = Q": Case(lambda: linear(1.0), "OK", "PASS"),
    "linear, D = 1.12 Q": Case(lambda: linear(1.12), "EXPLODING", "WARN"),
    "linear, D = 1.3 Q": Case(lambda: linear(1.3), "EXPLODING", "FAIL"),
    "elman, 0.5": Case(lambda: elman(0.5), "VANISHING", "FAIL", 0.1),
    "elman, 1": Case(lambda: elman(1.0), "OK", "PASS", 0.1),
    "elman, 2": Case(lambda: elman(2.0), "EXPLODING", "WARN", 0.1),
    "lstm, forget bias -3": Case(lambda: lstm(-3.0), "VANISHING", "FAIL"),
    "lstm, forget bias 3": Case(lambda: lstm(3.0), "OK", "PASS"),
    "gru, update bias -3": Case(lambda: gru(-3.0), "VANISHING", "FAIL"),
    "gru, update bias 3": Case(lambda: gru(3.0), "OK", "PASS"),
}


def gru(bias: float) -> GRU:
    cell = GRU(2, 32, generator=seeded()).double()
    torch.nn.init.constant_(cell.bias.data.chunk(3)[1], bias)
    return cell


@pytest.mark.parametrize("name", CASES)
def test_constructed_cells(name: str) -> None:
    """Cells of known gradients get the verdict they were built for."""
    case = CASES[name]
    cell = case.build()
    report = stability_report(cell, drive(2, scale=case.scale), required_lag=LAG, tier="fast")
    assert (report.verdict, report.severity) == (case.verdict, case.severity), str(report)
    assert report.exit_code == (1 if case.severity == "FAIL" else 0)
    assert report.exit_code_of(fail_on="warn") == (0 if case.verdict == "OK" and report.passed(fail_on="warn") else 1)


@pytest.mark.parametrize("gain", [0.5, 0.9, 1.0, 1.2])
def test_the_number_is_the_one_known(gain: float) -> None:
    """L = (K − 1) log₁₀ gain and G = K log₁₀ gain for D = gain · Q, exactly."""
    verdict = stability_report(linear(gain), drive(2), required_lag=LAG, tier="fast").content["verdict"]
    assert verdict["gradient"]["median"] == pytest.approx((LAG - 1) * math.log10(gain), abs=1e-9)
    assert verdict["product"]["median"] == pytest.approx(LAG * math.log10(gain), abs=1e-9)


def test_the_spectral_radius_decides_nothing() -> None:
    """ρ = 0.9 would say vanishing after 66 steps; the gain peaks at 38.7 and a gradient over 30 steps is well alive."""
    cell = Linear(2, 2, generator=seeded()).double()
    with torch.no_grad():
        cell.transition.copy_(torch.tensor([[0.9, 10.0], [0.0, 0.9]], dtype=torch.float64))
        cell.readout.fill_(1.0)
    report = stability_report(cell, drive(2), required_lag=80, thresholds={"transient": 1.5})
    recurrence = report.content["recurrence"]
    assert recurrence["spectral_radius"] == pytest.approx(0.9)
    assert recurrence["peak"] == pytest.approx(38.745922717546996, abs=1e-9) and recurrence["peak_lag"] == 9
    by_radius = 80 * math.log10(0.9)
    assert by_radius < -3.6 and Thresholds().side(by_radius) == "VANISHING"
    assert report.verdict == "TRANSIENT", str(report)


def test_chaos_is_no_defect() -> None:
    """The Hénon map alone: λ₁ = 0.42, and the recommendation says how often to force."""
    report = stability_report(Henon().double(), steps=4000)
    assert (report.verdict, report.severity) == ("CHAOTIC", "PASS")
    forcing = next(advice for advice in report.content["recommendations"] if advice["id"] == "R07")
    assert forcing["number"] == round(math.log(2) / 0.419)


def test_what_is_not_finite_explodes() -> None:
    """A recurrence that overflows is reported, not raised."""

    class Runaway(Linear):
        def forward(self, x: Tensor, state: Any) -> Any:
            return super().forward(x, type(state)(state.h.exp()))

        def unroll(self, x: Tensor, state: Any, mask: Tensor | None = None) -> Any:
            return NotImplemented

        def jacobian(self, x: Tensor, before: Any, output: Tensor, after: Any) -> Any:
            return NotImplemented

        def block(self, x: Tensor, before: Any, output: Tensor, after: Any) -> Any:
            return NotImplemented

    cell = Runaway(2, 2, generator=seeded()).double()
    torch.nn.init.ones_(cell.transition)
    report = stability_report(cell, drive(2))
    assert (report.verdict, report.severity) == ("EXPLODING", "FAIL") and "not finite from step" in report.reason
    assert report.exit_code == 1 and sum(report.content["counts"].values()) == len(report.checks)


def test_too_little_data_is_never_a_pass() -> None:
    report = stability_report(linear(1.0), drive(2, series=1, time=100), required_lag=60, tier="fast")
    assert (report.verdict, report.severity) == ("INCONCLUSIVE", "WARN") and "at least 180" in report.reason
    beyond = stability_report(linear(1.0), drive(2, series=8, time=100), required_lag=300, tier="fast")
    assert beyond.verdict == "INCONCLUSIVE" and "have only 100" in beyond.reason
    assert beyond.exit_code == 2
    assert beyond.exit_code_of(fail_on="warn") == 1


def test_errors_that_do_not_feel_the_state() -> None:
    cell = linear(1.0)
    torch.nn.init.zeros_(cell.readout)
    report = stability_report(cell, drive(2), required_lag=20, tier="fast")
    assert report.verdict == "INCONCLUSIVE" and "the readout's weights `readout` are all 0" in report.reason


# --- evidence made by hand --------------------------------------------------------------------------------------------


def evidence(median: float, low: float | None = None, high: float | None = None, **more: Any) -> Evidence:
    own = Estimate(median, median if low is None else low, median if high is None else high)
    given = {
        "lag": 50,
        "gradient": own,
        "product": own,
        "spread": (median, median),
        "rows": 1000,
        "longest": 200,
        "peak": 0.0,
        "peak_lag": 1,
        "exponent": -0.1,
        "exponent_error": 0.01,
        "autonomous": False,
    }
    return Evidence(**(given | more))


@pytest.mark.parametrize(
    ("found", "name", "severity"),
    [
        (evidence(0.0), "OK", "PASS"),
        (evidence(-3.1), "VANISHING", "WARN"),
        (evidence(-7.1), "VANISHING", "FAIL"),
        (evidence(-math.inf), "VANISHING", "FAIL"),
        (evidence(2.1), "EXPLODING", "WARN"),
        (evidence(4.1), "EXPLODING", "FAIL"),
        (evidence(-2.9, -3.5, -2.5), "INCONCLUSIVE", "WARN"),
        (evidence(1.9, 1.0, 2.5), "INCONCLUSIVE", "WARN"),
        (evidence(-8.0, -9.0, -4.0), "VANISHING", "FAIL"),
        (evidence(0.0, spread=(-4.0, 3.0)), "MIXED", "WARN"),
        (evidence(0.0, peak=2.5, peak_lag=7), "TRANSIENT", "WARN"),
        (evidence(0.0, peak=2.5, exponent=0.1), "OK", "PASS"),
        (evidence(9.0, autonomous=True, exponent=0.5), "CHAOTIC", "PASS"),
        (evidence(9.0, autonomous=True, exponent=0.5, exponent_error=0.3), "EXPLODING", "FAIL"),
        (evidence(0.0, rows=149), "INCONCLUSIVE", "WARN"),
        (evidence(0.0, longest=49), "INCONCLUSIVE", "WARN"),
        (evidence(math.nan, values=0), "INCONCLUSIVE", "WARN"),
        (evidence(0.0, values=2), "INCONCLUSIVE", "WARN"),
        (evidence(9.0, autonomous=True, exponent=0.01, growth=5.0), "EXPLODING", "FAIL"),
        (evidence(0.0, peak=2.5, peak_lag=60, exponent=math.nan), "OK", "PASS"),
        (evidence(0.0, peak=2.5, peak_lag=7, exponent=math.nan), "TRANSIENT", "WARN"),
        (evidence(0.0, non_finite=NonFinite("overflow", "The states are not finite")), "EXPLODING", "FAIL"),
        (evidence(0.0, non_finite=NonFinite("parameter", "The weights are not finite")), "NOT FINITE", "FAIL"),
        (evidence(9.0, non_finite=NonFinite("loss", "The loss is NaN")), "NOT FINITE", "FAIL"),
        (evidence(0.0, bptt_length=50), "TRUNCATED", "FAIL"),
        (evidence(0.0, bptt_length=51), "OK", "PASS"),
        (evidence(-9.0, bptt_length=10), "TRUNCATED", "FAIL"),
        (evidence(math.nan, values=0, bptt_length=10), "TRUNCATED", "FAIL"),
        (evidence(0.0, bptt_length=10, guessed=True), "TRUNCATED", "WARN"),
        (evidence(-9.0, bptt_length=10, guessed=True), "VANISHING", "FAIL"),
        (evidence(math.nan, values=0, bptt_length=10, cut_off="Nothing reads the state"), "INCONCLUSIVE", "WARN"),
        (evidence(0.0, at_ends=0.95), "SATURATED", "WARN"),
        (evidence(0.0, at_ends=0.85), "OK", "PASS"),
        (evidence(-8.0, at_ends=0.95), "VANISHING", "FAIL"),
        (evidence(0.0, peak=2.5, peak_lag=7, exponent=5e-17, exponent_error=0.0), "TRANSIENT", "WARN"),
        (evidence(9.0, autonomous=True, exponent=5e-17, exponent_error=0.0), "EXPLODING", "FAIL"),
        (evidence(0.0, bptt_length=10, non_finite=NonFinite("loss", "The loss is NaN")), "NOT FINITE", "FAIL"),
    ],
)
def test_the_rules(found: Evidence, name: str, severity: str) -> None:
    verdict = decide(found, Thresholds())
    assert (verdict.name, verdict.severity) == (name, severity)
    assert verdict.reason.endswith(".")


def test_evidence_and_checks_are_shown_in_a_line() -> None:
    """By what decides, not by all that they hold."""
    assert repr(evidence(-4.0)) == "Evidence(lag=50, gradient=-4, product=-4, exponent=-0.1, errors=1000)"
    check = ReportCheck("GS005", "enough data", "WARN", 90.0, 150.0, "steps", "A long sentence.", "subject")
    assert repr(check) == "ReportCheck(id=GS005, name=enough data, status=WARN, value=90)"


@pytest.mark.parametrize("found", [evidence(-9.0), evidence(-4.0), evidence(9.0), evidence(0.0, rows=149)])
def test_a_guess_is_said(found: Evidence) -> None:
    """Whatever is wrong over a lag that nobody named is said with that; its severity stays."""
    said, guessed = (decide(found._replace(guessed=guess), Thresholds()) for guess in (False, True))
    assert guessed[:2] == said[:2] and guessed.reason == f"{said.reason} That lag is a guess: give yours as " + (
        "`required_lag`."
    )


@pytest.mark.parametrize(("median", "only"), [(0.0, True), (0.99, True), (-1.0, True), (-1.1, False), (1.1, False)])
def test_only_where_it_is_little(median: float, only: bool) -> None:
    assert (" only." in decide(evidence(median), Thresholds()).reason) == only


def test_the_interval_of_a_median() -> None:
    """Of normal values the bootstrap interval covers the true median about as often as it says."""
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        found = estimate(generator.normal(size=(30, 1)), seed)
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 200 <= 0.99  # 95 % ± 3 standard errors, and what a bootstrap of 30 medians falls short
    assert estimate(np.full((4, 3), -np.inf), 0) == Estimate(-np.inf, -np.inf, -np.inf)
    assert estimate(np.array([[np.nan, 1.0], [np.nan, np.nan]]), 0) == Estimate(1.0, 1.0, 1.0)
    assert median(np.array([-np.inf, 2.0])) == -np.inf


def test_thresholds_are_checked() -> None:
    with pytest.raises(ValueError, match="must increase"):
        Thresholds(vanishing_warn=3.0)
    with pytest.raises(ValueError, match="finite"):
        Thresholds(exploding_fail=math.inf)
    with pytest.raises(ValueError, match="finite"):
        Thresholds(clipped="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shares in"):
        Thresholds(clipped=-3.0)
    with pytest.raises(ValueError, match="Unknown thresholds"):
        stability_report(linear(1.0), drive(2), thresholds={"explodes": 1.0})


# --- what a reviewer broke --------------------------------------------------------------------------------------------


class Alone(Cell):
    """h_t = g h_{t-1}, without input."""

    def __init__(self, gain: float):
        super().__init__(0, 1)
        self.register_buffer("gain", torch.tensor(gain))

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (torch.ones_like(self.gain).expand(batch, 1),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        return self.gain * state[0], (self.gain * state[0],)


@pytest.mark.parametrize("tier", ["fast", "standard"])
def test_growth_is_not_chaos(tier: str) -> None:
    """A system alone whose states grow explodes; one that stays bounded is chaotic, in every tier."""
    assert stability_report(Alone(1.05), steps=2000, tier=tier).verdict == "EXPLODING"
    assert stability_report(Alone(0.9), steps=2000, tier=tier).verdict == "VANISHING"
    assert stability_report(Henon().double(), steps=2000, tier=tier).verdict == "CHAOTIC"


def test_a_lag_of_one_is_refused() -> None:
    """Relative to lag 1 everything is 1 there."""
    with pytest.raises(ValueError, match="at least 2, got 1: gradients are measured against those at lag 1"):
        stability_report(linear(2.0), drive(2), required_lag=1)


@pytest.mark.parametrize(("gain", "advice", "number"), [(1.5, "R06", 1 / 1.5), (0.7, "R03", 10 ** (-3 / 49))])
def test_advice_counts_steps_as_the_verdict_does(gain: float, advice: str, number: float) -> None:
    """L spans K − 1 steps: with D = 1.5 Q the growth is 1.5 a step, not 1.5^(49/50)."""
    report = stability_report(linear(gain), drive(2), required_lag=LAG, tier="fast")
    found = next(one for one in report.content["recommendations"] if one["id"] == advice)
    assert found["number"] == pytest.approx(number, abs=6e-4)


@pytest.mark.parametrize(
    ("lengths", "lag", "rows", "steps"),
    [
        ([390], 100, 390, 390),  # one stretch holds it all
        ([3000], 50, 3000, 375),
        ([20] * 6 + [500] * 4, 100, 2000, 250),  # the short ones cannot show the lag
        ([100] * 40, 30, 800, 100),
        ([7000], 3000, 7000, 7000),  # max_steps gives way to the lag
        ([10, 20], 100, 20, 20),
    ],
)
def test_as_much_of_the_data_as_can_show_the_lag(lengths: list[int], lag: int, rows: int, steps: int) -> None:
    series = [drive(2, series=1, time=length)[0].numpy() for length in lengths]
    probe = probe_of(linear(1.0), series, required_lag=lag)
    assert (probe.sequences * probe.steps, probe.steps) == (rows, steps)
    assert probe.unused == sum(lengths) - rows


def test_errors_are_followed_where_there_are_any() -> None:
    """Targets known in the first third only: anchors are found there."""
    x = drive(2)
    y = torch.full((8, 200, 6), math.nan, dtype=torch.float64)
    y[:, :80] = 0.0
    report = stability_report(linear(0.8), x, y, required_lag=LAG, tier="standard")
    assert report.verdict == "VANISHING" and report.gradient.median == pytest.approx(49 * math.log10(0.8), abs=1e-9)


def test_one_median() -> None:
    """The verdict's median is that of the table and of the figure."""
    x = drive(2, scale=1.0)
    x[:3] *= 20
    content = stability_report(elman(1.0), x, required_lag=16, tier="fast").content
    for section, key in (("gradient", "gradient"), ("products", "product")):
        shown = content[section]["quantiles"]["p50"][content[section]["lags"].index(16)]
        assert content["verdict"][key]["median"] == pytest.approx(shown, abs=1e-12)


def test_a_single_error_decides_nothing() -> None:
    X = drive(1, series=1, time=30).numpy()
    model = ElmanRegressor(return_sequences=False, hidden_size=4, max_epochs=1, random_state=0).fit(X, [1.0])
    report = stability_report(model, X, [1.0], required_lag=9)
    assert report.verdict == "INCONCLUSIVE" and "Only 1 error" in report.reason and report.exit_code == 2


def test_one_of_eight_that_vanishes_is_seen() -> None:
    """The median is fine; GS007 warns of the one."""
    cell = elman(1.0)
    x = drive(2, scale=0.1)
    x[0] *= 100
    report = stability_report(cell, x, required_lag=LAG, tier="fast")
    assert report.checks.loc["GS007", "status"] == "WARN"


@pytest.mark.parametrize(("clip_norm", "limit"), [(("quantile", 0.5), None), (("quantile", 0.5, 2.0), 2.0)])
def test_a_training_clipped_by_a_quantile(clip_norm: Any, limit: float | None) -> None:
    """It has a page, with the fixed limit if there is one; how often it clips is no finding."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = GRURegressor(hidden_size=4, max_epochs=2, clip_norm=clip_norm, random_state=0).fit(X, X.sum(1))
    report = stability_report(model, X, X.sum(1), required_lag=5, tier="fast")
    assert report.content["training"]["clip_norm"] == limit and report.checks.loc["GS021", "status"] == "SKIPPED"
    assert "</html>" in report.to_html() and StabilityReport.from_json(report.to_json()).to_json() == report.to_json()


ADVISED = re.compile(r"(initialise|omega|clip_norm|bptt_length)=(\([^)]*\)|'[^']*'|[\d.]+)")


@pytest.mark.parametrize(
    "model",
    [
        LSTMRegressor(hidden_size=4, max_epochs=2, random_state=0),
        GRURegressor(hidden_size=4, max_epochs=2, bptt_length=20, random_state=0),
        GRURegressor(hidden_size=4, max_epochs=2, autoregression=Autoregression(lags=2), random_state=0),
        ElmanRegressor(hidden_size=4, max_epochs=2, random_state=0),
        ElmanRegressor(
            hidden_size=4,
            max_epochs=2,
            clip_norm=("quantile", 0.1, 1.0),
            initialise=("orthogonal", 3.0),
            random_state=0,
        ),
        LinearStateSpaceRegressor(order=2),
        MovingAverageRegressor(window=3),
        ARXRegressor(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_advice_is_taken(model: Any) -> None:
    """What the report tells an estimator to set, the estimator takes."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 1))
    y = np.convolve(X[:, 0], 0.5 ** np.arange(5))[:400]
    model.fit(X, y)
    report = stability_report(model, X, y, required_lag=40)
    for advice in report.recommendations:
        for name, value in ADVISED.findall(advice):
            check_parameters(clone(model).set_params(**{name: ast.literal_eval(value)}))
    if isinstance(model, MovingAverageRegressor | ARXRegressor | LinearStateSpaceRegressor):
        assert not any("omega" in advice or "initialise" in advice for advice in report.recommendations)


# --- causes outside the recurrence, and advice in every case ----------------------------------------------------------


def sizes_of(scale: float, *parts: torch.nn.Module) -> Any:
    """torch's modules with weights of one seed, as large as is said; the first is what is measured."""
    with torch.no_grad():
        for parameter in (parameter for part in parts for parameter in part.parameters()):
            parameter.copy_(scale * torch.randn(parameter.shape, generator=seeded()))
    return parts[0]


def without(module: Any, name: str) -> Any:
    """A module with weights of zeros."""
    torch.nn.init.zeros_(module.get_parameter(name))
    return module


def fitted(model: Any) -> Any:
    """Trained on a sum of its last inputs; what comes back are the arguments of a report."""
    X = np.random.default_rng(0).normal(size=(300, 1))
    y = np.convolve(X[:, 0], 0.5 ** np.arange(5))[:300]
    return model.fit(X, y), X, y


def step(gain: float) -> Any:
    return lambda x, h: (gain * h + x,) * 2


QUICK: dict[str, Any] = {"hidden_size": 4, "max_epochs": 1, "random_state": 0}
ALONE = {"initial_state": torch.zeros(1, 2, dtype=torch.float64)}
TROUBLED: dict[str, Any] = {
    "step that forgets": lambda: (step(0.3), drive(2), ALONE),
    "step that grows": lambda: (step(1.5), drive(2), ALONE),
    "step that overflows": lambda: (step(5.0), drive(2, time=600), ALONE),
    "step of NaN": lambda: (lambda x, h: ((x + h).sqrt(),) * 2, drive(2), ALONE),
    "relu RNN that overflows": lambda: (
        sizes_of(3.0, torch.nn.RNN(2, 4, nonlinearity="relu", batch_first=True)),
        drive(2, time=600),
    ),
    "relu RNN that is dead": lambda: (sizes_of(-1.0, Elman(2, 4, activation="relu")), drive(2).abs()),
    "relu without a gradient": lambda: (sizes_of(0.3, torch.nn.RNN(2, 1, nonlinearity="relu")), drive(2)),
    "linear that overflows": lambda: (linear(9.0), drive(2, time=600)),
    "linear that forgets": lambda: (linear(0.5), drive(2)),
    "own cell that forgets": lambda: (Leaky(2, 3), drive(2, time=800), {"required_lag": 600}),
    "reservoir": lambda: (EchoState(2, 20), drive(2)),
    "reservoir, fitted": lambda: fitted(EchoStateRegressor(hidden_size=20, random_state=0)),
    "moving average": lambda: (MovingAverage(2, window=3), drive(2)),
    "moving average, fitted": lambda: fitted(MovingAverageRegressor(window=3)),
    "readout of zeros": lambda: (without(Readout(GRU(2, 4), 1), "affine.weight"), drive(2)),
    "linear readout of zeros": lambda: (without(linear(1.0), "readout"), drive(2)),
    "recurrence of zeros": lambda: (without(Elman(2, 4), "recurrent_weight"), drive(2)),
    "GRU without biases": lambda: (torch.nn.GRU(2, 4, bias=False, batch_first=True), drive(2)),
    "offset GRU": lambda: (torch.nn.GRU(2, 4, batch_first=True), drive(2) + 1000),
    "short series": lambda: (gru(3.0), drive(2, time=30)),
    "few errors": lambda: (gru(3.0), drive(2, series=1, time=52)),
    "alike but for some": lambda: (elman(1.6), torch.cat([0.01 * drive(2)[:4], 30 * drive(2)[4:]])),
    "GRU, fitted": lambda: fitted(GRURegressor(**QUICK)),
    "forgetful GRU, started as advised": lambda: fitted(GRURegressor(**QUICK, initialise=("forget_bias", 3.9))),
    "Elman of a class": lambda: fitted(RecurrentRegressor(cell=Elman, **QUICK)),
    "truncated": lambda: fitted(LSTMRegressor(**QUICK, bptt_length=20)),
}


@pytest.mark.parametrize("tier", ["fast", "standard"])
@pytest.mark.parametrize("name", TROUBLED)
def test_no_verdict_without_advice(name: str, tier: str) -> None:
    """Whatever is not a PASS says what to do, and what was not measured is said in words."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, X, *others = TROUBLED[name]()
    y, options = (others[0], {}) if others and not isinstance(others[0], dict) else (None, dict(*others))
    report = stability_report(model, X, y, **{"required_lag": LAG, "tier": tier} | options)
    assert report.severity == "PASS" or report.recommendations, str(report)
    assert not report.checks["message"].str.contains(r"^[a-z_]+ was not measured").any()


@pytest.mark.parametrize(
    ("build", "name", "what"),
    [
        (lambda: without(Readout(GRU(2, 4), 1), "affine.weight"), "affine.weight", "reads"),
        (lambda: without(linear(1.0), "readout"), "readout", "reads"),
        (
            lambda: from_torch(torch.nn.GRU(2, 4, batch_first=True), without(torch.nn.Linear(4, 1), "weight")),
            "head.weight",
            "reads",
        ),
        (lambda: without(Elman(2, 4), "recurrent_weight"), "recurrent_weight", "carries"),
    ],
)
def test_weights_of_zeros_are_the_cause(build: Any, name: str, what: str) -> None:
    """Where nothing reads the state it is named, and no gate is asked to hold longer."""
    cell = build()
    report = stability_report(cell, drive(2, time=100), required_lag=20)
    assert report.verdict == "INCONCLUSIVE" and f"Nothing {what}" in report.reason and f"`{name}`" in report.reason
    assert [one["id"] for one in report.content["recommendations"]] == ["R18"]


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM])
def test_inputs_far_off_are_no_pass(kind: type) -> None:
    """Everything saturated lets gradients through and yet learns nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(3, 8, batch_first=True)
    report = stability_report(model, drive(3, time=100) + 1000, required_lag=10)
    assert (report.verdict, report.severity) == ("SATURATED", "WARN") and "far from unit size" in report.reason
    assert report.content["recommendations"][0]["id"] == "R14"
    with pytest.raises(AssertionError, match="SATURATED"):
        assert_stable(model, drive(3, time=100) + 1000, required_lag=10)


def test_an_exponent_of_rounding_is_zero() -> None:
    """An orthogonal recurrence has λ₁ = 0, which float64 gives as some 10⁻¹⁷."""
    for width in (4, 6, 8):
        check = stability_report(linear(1.0, width), drive(2), required_lag=20).checks.loc["GS011"]
        assert check["status"] == "PASS" and 0 < check["threshold"] < 1e-6


@pytest.mark.parametrize(
    ("model", "y", "guessed"),
    [
        (lambda: gru(1.0), None, True),
        (lambda: MovingAverage(2, window=9), None, False),
        (lambda: GRURegressor(**QUICK).fit(drive(2).numpy(), drive(1).numpy()), drive(1).numpy(), True),
        (
            lambda: GRURegressor(**QUICK, return_sequences=False).fit(drive(2).numpy(), np.arange(8.0)),
            np.arange(8.0),
            False,
        ),
        (lambda: GRURegressor(**QUICK, window=20).fit(drive(2).numpy(), drive(1).numpy()), drive(1).numpy(), False),
    ],
)
def test_who_says_the_lag(model: Any, y: Any, guessed: bool) -> None:
    """A window says it, and so does an error at the end of a sequence alone; lengths of other sequences do not."""
    own, X = model(), drive(2).numpy()
    assert probe_of(own, X, y).guessed == guessed
    assert not probe_of(own, X, y, required_lag=7).guessed


def test_a_moving_average_reaches_as_far_as_its_window() -> None:
    """The farthest of w inputs is w − 1 steps back: that is its lag if nothing else is said."""
    for window in (3, 9):
        report = stability_report(MovingAverage(2, window=window), drive(2), tier="fast")
        assert report.required_lag == window - 1 and report.severity == "PASS"


def test_where_a_later_stretch_begins_beyond_all_bounds() -> None:
    """The cause lies in the stretch before it."""
    report = stability_report(linear(2.0), drive(2, series=1, time=16000), required_lag=20, tier="fast")
    assert report.verdict == "EXPLODING" and "of sequence 0" in report.reason


# --- models of every kind ---------------------------------------------------------------------------------------------


def test_estimators_bring_their_loss_and_history() -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(600, 2))
    y = X.sum(1)
    model = LSTMRegressor(hidden_size=8, max_epochs=3, bptt_length=20, random_state=0).fit(X, y)
    with unchanged(model.network_):
        report = stability_report(model, X, y)
    subject = report.content["subject"]
    assert subject["required_lag"] == 60 and subject["required_lag_from"] == "a tenth of the sequence"
    assert subject["errors"] == "mse" and report.content["training"]["epochs"] == [0, 1, 2]
    status = {check["id"]: check["status"] for check in report.content["checks"]}
    assert status["GS015"] != "SKIPPED" and status["GS021"] != "SKIPPED" and "ERROR" not in status.values()


def test_one_output_a_sequence() -> None:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(30, 25, 2))
    model = ElmanRegressor(return_sequences=False, hidden_size=6, max_epochs=2, random_state=0).fit(X, X[:, 0, 0])
    report = stability_report(model, X, X[:, 0, 0])
    assert report.content["subject"]["required_lag"] == 24
    assert report.verdict in ("VANISHING", "INCONCLUSIVE", "OK")


class Leaky(Cell):
    """A user's cell, in ten lines, without closed forms."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.drive = torch.nn.Linear(input_size, hidden_size)

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.zeros(batch, self.hidden_size),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = 0.98 * state[0] + 0.02 * torch.tanh(self.drive(x))
        return h, (h,)


@pytest.mark.parametrize(
    "model",
    [
        lambda: Leaky(2, 3),
        lambda: torch.nn.LSTM(2, 8, num_layers=2, batch_first=True),
        lambda: torch.nn.GRU(2, 8, batch_first=True),
        lambda: torch.nn.RNN(2, 8, batch_first=True),
        lambda: Readout(GRU(2, 4, reset_gate="before"), 1, activation="sigmoid"),
    ],
    ids=["own cell", "torch LSTM", "torch GRU", "torch RNN", "readout"],
)
def test_any_model(model: Any) -> None:
    """In float32, with every instrument at work, and unchanged."""
    own = model()
    x = drive(2, time=80).float()
    with unchanged(own):
        report = stability_report(own, x, required_lag=10, tier="full")
    assert not [check for check in report.content["checks"] if check["status"] == "ERROR"], report.checks
    assert report.content["fixed_points"] is not None


def test_assert_stable() -> None:
    assert assert_stable(linear(1.0), drive(2), required_lag=LAG).verdict == "OK"
    with pytest.raises(AssertionError, match=r"VANISHING \(FAIL\)"):
        assert_stable(linear(0.5), drive(2), required_lag=LAG)


def test_the_same_call_gives_the_same_report() -> None:
    one, two = (stability_report(lstm(1.0), drive(2, time=80), required_lag=10) for _ in range(2))
    assert one.to_json() == two.to_json() and one.to_html() == two.to_html()


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(TypeError, match="takes a Cell, a fitted estimator"):
        stability_report("model.pt", drive(2))
    with pytest.raises(TypeError, match=r"from_torch takes nn\.RNN"):
        stability_report(torch.nn.Linear(2, 2), drive(2))
    with pytest.raises(TypeError, match=r"holds model\[0\] \(LSTM\)"):
        stability_report(torch.nn.Sequential(torch.nn.LSTM(2, 3), torch.nn.Linear(3, 1)), drive(2))
    with pytest.raises(ValueError, match="3 features"):
        stability_report(linear(1.0), drive(3))
    with pytest.raises(ValueError, match="required_lag must be"):
        stability_report(linear(1.0), drive(2), required_lag=0)
    with pytest.raises(ValueError, match="is driven by 2"):
        stability_report(linear(1.0))
    with pytest.raises(ValueError, match="y without X"):
        stability_report(Henon(), y=drive(2))
    with pytest.raises(ValueError, match="tier must be"):
        stability_report(linear(1.0), drive(2), tier="everything")
    model = LSTMRegressor(hidden_size=4, bidirectional=True, max_epochs=1).fit(np.zeros((30, 1)) + 1.0, np.arange(30.0))
    with pytest.raises(ValueError, match="causal"):
        stability_report(model, np.ones((30, 1)))
