"""The stability report: does this model's gradient vanish or explode, over which lags, why, and what to change?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from matplotlib.figure import Figure

from seqdyn.checks import check_choice
from seqdyn.dynamics.driven import ElementwiseLoss
from seqdyn.progress import Callback
from seqdyn.reports.bootstrap import Estimate
from seqdyn.reports.checks import STATUSES
from seqdyn.reports.drawing import overview_figure
from seqdyn.reports.evidence import Thresholds
from seqdyn.reports.number_format import format_log10, format_number
from seqdyn.reports.probe import MAX_SEQUENCES, MAX_STEPS, probe_of
from seqdyn.reports.report import Report
from seqdyn.reports.stability.difference import StabilityDifference, compare_reports
from seqdyn.reports.stability.measurements import TIERS
from seqdyn.reports.stability.recommendations import recommend
from seqdyn.reports.stability.sections import stability_page
from seqdyn.reports.stability.themes import (
    CHECK_RULES,
    STABILITY_FIGURES,
    STABILITY_QUANTITIES,
    STABILITY_SCHEMA,
    measure_stability,
    stability_content,
)
from seqdyn.reports.stability.verdict import ReportCase, decide, evidence_of
from seqdyn.state import State

OVERVIEW_FIGURES = ("norms_by_lag", "eigenvalue_plane", "product_map", "gradient_by_parameter")
"""The figures that :meth:`StabilityReport.plot` shows."""


class StabilityReport(Report):
    """The result of :func:`stability_report`, as a text, page, figure, frame or labelled arrays.

    All of these are made of one dictionary, so that they agree number for number.

    Parameters
    ----------
    content : dict
        As :func:`seqdyn.reports.stability.themes.stability_content` makes it.

    Notes
    -----
    The ``verdict`` is ``"OK"``, ``"VANISHING"``, ``"EXPLODING"``, ``"TRUNCATED"``, ``"NOT FINITE"``, ``"CHAOTIC"``,
    ``"TRANSIENT"``, ``"MIXED"``, ``"SATURATED"`` or ``"INCONCLUSIVE"``.
    """

    schema, quantities = STABILITY_SCHEMA, STABILITY_QUANTITIES

    @property
    def required_lag(self) -> int:
        """The required lag K, in steps."""
        return int(self.content["subject"]["required_lag"])

    @property
    def gradient(self) -> Estimate:
        """L with its interval: log₁₀ of the gradient of an error K steps back, relative to that one step back."""
        return Estimate(**self.content["verdict"]["gradient"])

    @property
    def product(self) -> Estimate:
        """G with its interval: log₁₀ of the norm of the product of K Jacobians."""
        return Estimate(**self.content["verdict"]["product"])

    @property
    def recommendations(self) -> list[str]:
        """What to change, each with the number to set."""
        return [advice["text"] for advice in self.content["recommendations"]]

    def _page(self, minimal: bool) -> str:
        return stability_page(self.content, minimal=minimal)

    def plot(self) -> Figure:
        """The verdict with the four most important figures."""
        verdict, subject = self.content["verdict"], self.content["subject"]
        title = f"{self.verdict} ({self.severity})  {subject['model']}, required lag {subject['required_lag']}"
        panels = [STABILITY_FIGURES[name] for name in OVERVIEW_FIGURES]
        return overview_figure(panels, self.content, [title, verdict["reason"]], self.severity)

    def compare(self, other: StabilityReport, *, other_lag: bool = False) -> StabilityDifference:
        """Compare this report (before) with another one (after), to see what a change has done.

        Parameters
        ----------
        other : StabilityReport
            The report after the change.
        other_lag : bool
            Whether the required lags may differ.
        """
        return compare_reports(self.content, other.content, other_lag=other_lag)

    def __str__(self) -> str:
        content = self.content
        subject, verdict = content["subject"], content["verdict"]
        counts = ", ".join(f"{number} {status}" for status in STATUSES if (number := content["counts"][status]))
        (median, low, high), known = map(format_log10, self.gradient), self.gradient.median == self.gradient.median
        product = f"product of Jacobians × {format_log10(self.product.median)}"
        lines = [
            f"{verdict['name']} ({verdict['severity']}): {verdict['reason']}",
            f"{subject['model']}, state {subject['state']} of width {subject['width']}, {subject['sequences']} "
            f"sequences of {subject['steps']} steps; required lag {subject['required_lag']}, from "
            f"{subject['required_lag_from']}",
            *([subject["layout"]] if subject.get("layout") else []),
            *([f"gradient at that lag × {median}, 95 % interval {low} to {high}; {product}"] if known else []),
            f"checks: {counts}",
            *(_check_line(check) for check in content["checks"] if check["status"] not in ("PASS", "SKIPPED")),
            *(f"- {advice}" for advice in self.recommendations),
        ]
        return "\n".join(lines)

    def _facts(self) -> dict[str, object]:
        return {"model": self.content["subject"]["model"], "required_lag": self.required_lag}


def stability_report(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    required_lag: int | None = None,
    loss: ElementwiseLoss | None = None,
    initial_state: State | None = None,
    tier: str = "standard",
    max_sequences: int = MAX_SEQUENCES,
    max_steps: int | None = MAX_STEPS,
    steps: int = MAX_STEPS,
    thresholds: Mapping[str, float] | None = None,
    seed: int = 0,
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> StabilityReport:
    """Report whether the gradient of a recurrent model vanishes or explodes, over which lags, why, and what to change.

    The verdict follows from L, at the required lag K:

        L = median log₁₀ ‖∂E_t/∂h_{t-K}‖ / ‖∂E_t/∂h_{t-1}‖

    Parameters
    ----------
    model : Cell, fitted estimator, torch's RNN, LSTM or GRU, step function, or any class with ``driven_by``
        The model is not changed: a float64 copy of it is measured on the CPU. A step function ``(x, h) -> (y, h)``
        needs ``initial_state``. A class of your own can say by one method how to measure it; see
        :class:`~seqdyn.dynamics.driven.Drivable`.
    X : container of sequences, optional
        For an estimator what its ``fit`` takes; for a cell an array (series, time, inputs), (time, inputs), or a list
        of such; for a network of torch's what the network takes, so (time, series, inputs) where ``batch_first`` is
        False. None: a cell without inputs runs by itself, any other runs on its own output.
    y : targets, one for every row of X, optional
        With targets the errors are those of the estimator's own loss, or ½(y − target)²; without targets, ½‖y‖².
    required_lag : int, optional
        K, how many steps back the model has to learn from, at least 2. None: the ``window`` of an estimator, else the
        length of the sequences, or a tenth of it if there are only one or two.
    loss : callable, optional
        Elementwise errors to use instead: ``loss(output, target)`` of shape (series, time) or (series, time, outputs),
        or ``loss(output)`` without y. A loss of torch's needs ``reduction="none"``.
    initial_state : State, optional
        The state before every series: one row, or one row for each series; for networks of torch's also h_0 or
        (h_0, c_0). None: the model's own.
    tier : {"fast", "standard", "full"}
        How much is measured. ``"fast"``: gradient, products and gates. ``"full"``: also all Lyapunov exponents and
        fixed points.
    max_sequences, max_steps : int, int or None
        How many sequences, and how many steps of each, are measured at most; steps are at least three times the
        required lag where the data are that long. Long series are cut into pieces.
    steps : int
        How long the model runs if X is None.
    thresholds : dict, optional
        Values by name that replace those of :class:`~seqdyn.reports.evidence.Thresholds`.
    seed : int
        Of everything drawn. The same call gives the same report, to the last byte.
    verbose : bool or int
        1 shows a progress bar over the sections of the report.
    callback : callable, optional
        ``callback(Progress)`` after every section. If it returns true, the sections that are left are not measured.

    Returns
    -------
    StabilityReport
        ``print`` it, or write a page with ``.to_html("report.html")``.

    Raises
    ------
    TypeError
        If the model is of none of these kinds.
    ValueError
        If data, loss, model and options do not fit, or the model has no causal state or no memory.

    Notes
    -----
    The verdict is INCONCLUSIVE if all sequences together are shorter than 3 K, or if the bootstrap interval of L
    contains a threshold. The spectral radius of one step decides nothing: with a radius of 0.9 a gradient may still
    grow 39-fold, and with a radius of 1.1 the trajectory may contract.

    On a busy machine ``torch.set_num_threads(1)`` or OMP_NUM_THREADS=1 can make this many times faster.

    References
    ----------
    Hochreiter (1991); Bengio, Simard & Frasconi (1994); Pascanu, Mikolov & Bengio (2013); Engelken, Wolf & Abbott
    (2023); Mikhaeil, Monfared & Durstewitz (2022).

    Examples
    --------
    >>> import torch
    >>> from seqdyn import Linear
    >>> cell = Linear(1, 4).double()
    >>> _ = torch.nn.init.orthogonal_(cell.transition, gain=0.8, generator=torch.Generator().manual_seed(0))
    >>> report = stability_report(cell, torch.ones(8, 200, 1), required_lag=50)
    >>> report.verdict, report.severity
    ('VANISHING', 'WARN')
    >>> round(report.content["verdict"]["gradient"]["median"], 2)  # 49 log10 0.8
    -4.75
    """
    check_choice("tier", tier, TIERS)
    limits = _thresholds(thresholds)
    probe = probe_of(model, X, y, required_lag, loss, initial_state, max_sequences, max_steps, steps)
    found = measure_stability(probe, tier, seed, verbose, callback)
    evidence = evidence_of(probe, found, seed)
    verdict = decide(evidence, limits)
    case = ReportCase(probe, found, evidence, limits)
    checks = [rule.check(case) for rule in CHECK_RULES]
    advice = recommend(case, verdict, checks)
    return StabilityReport(stability_content(case, verdict, checks, advice, seed))


def assert_stable(model: Any, X: Any = None, y: Any = None, *, required_lag: int, **options: Any) -> StabilityReport:
    """Raise AssertionError unless gradients reach ``required_lag`` steps back without exploding; for test suites.

    Parameters
    ----------
    model, X, y, required_lag
        As in :func:`stability_report`.
    **options
        Other parameters of :func:`stability_report`; ``tier`` is ``"fast"`` by default.

    Returns
    -------
    StabilityReport

    Raises
    ------
    AssertionError
        If the verdict is not OK; the message is the report.

    Examples
    --------
    >>> import torch
    >>> from seqdyn import LSTM
    >>> x = torch.randn(8, 60, 2, generator=torch.Generator().manual_seed(0))
    >>> assert_stable(LSTM(2, 16, generator=torch.Generator().manual_seed(0)), x, required_lag=5)
    StabilityReport(verdict=OK, severity=PASS, model=LSTM, required_lag=5)
    """
    report = stability_report(model, X, y, required_lag=required_lag, **{"tier": "fast"} | options)
    if report.verdict != "OK":
        raise AssertionError(str(report))
    return report


def _thresholds(thresholds: Mapping[str, float] | None) -> Thresholds:
    names = {field.name for field in fields(Thresholds)}
    unknown = sorted(set(thresholds or {}) - names)
    if unknown:
        raise ValueError(f"Unknown thresholds {unknown}; there are {sorted(names)}.")
    return Thresholds(**thresholds or {})


def _check_line(check: Mapping[str, Any]) -> str:
    """A check that did not pass, in one line."""
    found = check["message"]
    if check["value"] is not None and check["threshold"] is not None:
        found = f"{format_number(check['value'])} against {format_number(check['threshold'])} {check['unit']}".rstrip()
    return f"  {check['id']} {check['status']}, {check['name']}: {found}"
