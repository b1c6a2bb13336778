"""Will this model's gradient vanish or explode, over which lags, why, and what should be changed?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from matplotlib.figure import Figure

from seqdyn.checks import check_choice
from seqdyn.reports.base import Report
from seqdyn.reports.bootstrap_median import Estimate
from seqdyn.reports.checks import STATUSES
from seqdyn.reports.evidence import Thresholds
from seqdyn.reports.overview import overview
from seqdyn.reports.stability.difference import Difference, compare
from seqdyn.reports.stability.measurements import TIERS
from seqdyn.reports.stability.recommendations import recommend
from seqdyn.reports.stability.sections import to_html
from seqdyn.reports.stability.themes import FIGURES, QUANTITIES, RULES, SCHEMA, content_of, measure
from seqdyn.reports.stability.verdict import Case, decide, evidence_of
from seqdyn.reports.subject import SEQUENCES, STEPS, Loss, subject_of
from seqdyn.reports.writing import from_log10, written
from seqdyn.state import State

PANELS = ("norms_by_lag", "spectrum", "product_map", "gradient_by_parameter")
"""What the overview shows."""


class StabilityReport(Report):
    """What :func:`stability_report` found, in every form it can be handed on.

    All of them are made of one dictionary, so that they agree number for number.

    Parameters
    ----------
    content : dict
        As :func:`seqdyn.reports.stability.themes.content_of` makes it.

    Its ``verdict`` is ``"OK"``, ``"VANISHING"``, ``"EXPLODING"``, ``"TRUNCATED"``, ``"NOT FINITE"``, ``"CHAOTIC"``,
    ``"TRANSIENT"``, ``"MIXED"``, ``"SATURATED"`` or ``"INCONCLUSIVE"``.
    """

    schema, quantities = SCHEMA, QUANTITIES

    @property
    def required_lag(self) -> int:
        """K, in steps."""
        return int(self.content["subject"]["required_lag"])

    @property
    def gradient(self) -> Estimate:
        """L, ``median``, ``low`` and ``high``: log₁₀ of what an error tells the state K steps before it."""
        return Estimate(**self.content["verdict"]["gradient"])

    @property
    def product(self) -> Estimate:
        """G: log₁₀ of what any disturbance of the state K steps before could do."""
        return Estimate(**self.content["verdict"]["product"])

    @property
    def recommendations(self) -> list[str]:
        """What to change; each with its number."""
        return [advice["text"] for advice in self.content["recommendations"]]

    def _page(self, minimal: bool) -> str:
        return to_html(self.content, minimal=minimal)

    def plot(self) -> Figure:
        """The verdict and the four figures behind it."""
        verdict, subject = self.content["verdict"], self.content["subject"]
        title = f"{self.verdict} ({self.severity})  {subject['model']}, required lag {subject['required_lag']}"
        panels = [FIGURES[name] for name in PANELS]
        return overview(panels, self.content, [title, verdict["reason"]], self.severity)

    def compare(self, other: StabilityReport, **options: Any) -> Difference:
        """This report before, the other one after: what a training or a cure has changed.

        Parameters
        ----------
        other : StabilityReport
        options
            Those of :func:`seqdyn.reports.stability.difference.compare`.
        """
        return compare(self.content, other.content, **options)

    def __str__(self) -> str:
        content = self.content
        subject, verdict = content["subject"], content["verdict"]
        counts = ", ".join(f"{number} {status}" for status in STATUSES if (number := content["counts"][status]))
        (median, low, high), known = map(from_log10, self.gradient), self.gradient.median == self.gradient.median
        product = f"product of Jacobians × {from_log10(self.product.median)}"
        lines = [
            f"{verdict['name']} ({verdict['severity']}): {verdict['reason']}",
            f"{subject['model']}, state {subject['state']} of width {subject['width']}, {subject['sequences']} "
            f"sequences of {subject['steps']} steps; required lag {subject['required_lag']}, from "
            f"{subject['required_lag_from']}",
            *([subject["layout"]] if subject.get("layout") else []),
            *([f"gradient at that lag × {median}, 95 % interval {low} to {high}; {product}"] if known else []),
            f"checks: {counts}",
            *(_said(check) for check in content["checks"] if check["status"] not in ("PASS", "SKIPPED")),
            *(f"- {advice}" for advice in self.recommendations),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<StabilityReport {self.verdict} ({self.severity}) at lag {self.content['subject']['required_lag']}>"


def stability_report(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    required_lag: int | None = None,
    loss: Loss | None = None,
    initial_state: State | None = None,
    tier: str = "standard",
    max_sequences: int = SEQUENCES,
    max_steps: int | None = STEPS,
    steps: int = STEPS,
    thresholds: Mapping[str, float] | None = None,
    seed: int = 0,
    verbose: bool = False,
) -> StabilityReport:
    """Will this recurrent model's gradient vanish or explode, over which lags, why, and what should I change?

        L = median log₁₀ ‖∂E_t/∂h_{t-K}‖ / ‖∂E_t/∂h_{t-1}‖     decides, at the required lag K

    Parameters
    ----------
    model : Cell, fitted estimator, torch's RNN, LSTM or GRU, step function, or any class with ``driven_by``
        It is not changed: what is measured is a float64 copy on the CPU. A step function ``(x, h) -> (y, h)`` needs
        ``initial_state``. A class of your own says by one method how it is measured; see
        :class:`~seqdyn.dynamics.driven.Drivable`.
    X : container of sequences, optional
        For an estimator what its ``fit`` takes; for a cell an array (series, time, inputs), (time, inputs), or a list
        of such; for a network of torch's as the network takes it, so (time, series, inputs) where ``batch_first`` is
        False. None runs a cell of no input by itself, and any other on its own output.
    y : targets beside X, optional
        Then the errors are those of the estimator's own loss, or ½(y − target)²; without targets ½‖y‖².
    required_lag : int, optional
        K, how far back the model has to learn from, at least 2. ``window`` of an estimator if None, else the length of
        the sequences, and a tenth of it where they are one or two.
    loss : callable, optional
        ``loss(output, target) -> errors``, elementwise, in place of those: (series, time) or (series, time, outputs);
        ``loss(output)`` without y. torch's losses are taken as they are, with ``reduction="none"``.
    initial_state : State, optional
        The state before every series, one row or one a series; of torch's networks also h_0 or (h_0, c_0). The model's
        own if None.
    tier : {"fast", "standard", "full"}
        ``"fast"`` is gradient, products and gates; ``"full"`` adds all Lyapunov exponents and fixed points.
    max_sequences, max_steps : int, int or None
        How many sequences, and steps of each, are measured; at least three times the required lag where there are so
        many. Long series are cut into stretches.
    steps : int
        Without X: how long the model runs.
    thresholds : dict, optional
        Others than those of :class:`~seqdyn.reports.evidence.Thresholds`, by name.
    seed : int
        Of everything drawn. The same call gives the same report, to the last byte.
    verbose : bool
        Whether a line on the screen says what is being measured.

    Returns
    -------
    StabilityReport
        ``print`` it, or ``.to_html("report.html")``.

    Raises
    ------
    TypeError
        If there is no way to measure such a model.
    ValueError
        If data, loss, model and options do not fit, or the model has no causal state or no memory.

    Notes
    -----
    A long lag needs data: all sequences together must be three times as long as K, or the verdict is INCONCLUSIVE, as
    it is where the bootstrap interval of L holds a threshold. The spectral radius is reported and decides nothing: a
    radius of 0.9 may stand beside a growth of 39, and one of 1.1 beside a trajectory that contracts.

    On a machine that is busy with other work, threads that share small factorisations wait for each other: there
    ``torch.set_num_threads(1)`` or OMP_NUM_THREADS=1 makes it many times faster.

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
    limits = _limits(thresholds)
    subject = subject_of(
        model,
        X,
        y,
        required_lag=required_lag,
        loss=loss,
        initial_state=initial_state,
        max_sequences=max_sequences,
        max_steps=max_steps,
        steps=steps,
    )
    found = measure(subject, tier, seed, verbose)
    evidence = evidence_of(subject, found, seed)
    verdict = decide(evidence, limits)
    case = Case(subject, found, evidence, limits)
    checks = [rule.check(case) for rule in RULES]
    advice = recommend(case, verdict, checks)
    return StabilityReport(content_of(case, verdict, checks, advice, seed))


def assert_stable(model: Any, X: Any = None, y: Any = None, *, required_lag: int, **options: Any) -> StabilityReport:
    """For test suites: raise AssertionError unless gradients reach ``required_lag`` steps back without exploding.

    Parameters
    ----------
    model, X, y, required_lag, options
        As in :func:`stability_report`; ``tier`` is ``"fast"`` if nothing else is said.

    Returns
    -------
    StabilityReport

    Raises
    ------
    AssertionError
        If the verdict is anything but OK, with the report as its message.

    Examples
    --------
    >>> import torch
    >>> from seqdyn import LSTM
    >>> x = torch.randn(8, 60, 2, generator=torch.Generator().manual_seed(0))
    >>> assert_stable(LSTM(2, 16, generator=torch.Generator().manual_seed(0)), x, required_lag=5)
    <StabilityReport OK (PASS) at lag 5>
    """
    report = stability_report(model, X, y, required_lag=required_lag, **{"tier": "fast"} | options)
    if report.verdict != "OK":
        raise AssertionError(str(report))
    return report


def _limits(thresholds: Mapping[str, float] | None) -> Thresholds:
    names = {field.name for field in fields(Thresholds)}
    unknown = sorted(set(thresholds or {}) - names)
    if unknown:
        raise ValueError(f"Unknown thresholds {unknown}; there are {sorted(names)}.")
    return Thresholds(**thresholds or {})


def _said(check: Mapping[str, Any]) -> str:
    """A check that did not pass, in one line."""
    found = check["message"]
    if check["value"] is not None and check["threshold"] is not None:
        found = f"{written(check['value'])} against {written(check['threshold'])} {check['unit']}".rstrip()
    return f"  {check['id']} {check['status']}, {check['name']}: {found}"
