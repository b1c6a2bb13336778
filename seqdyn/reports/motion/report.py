"""The motion report: does the free run close on a stable cycle, which one, and which neurons make it?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from seqdyn.checks import check_count
from seqdyn.motion.model import MotionModel
from seqdyn.reports.base import Report
from seqdyn.reports.difference import ReportDifference
from seqdyn.reports.json_text import Schema
from seqdyn.reports.motion.figures import overview
from seqdyn.reports.motion.measurements import Content, measured
from seqdyn.reports.motion.page import to_html
from seqdyn.reports.motion.verdict import checks_of, verdict_of
from seqdyn.reports.quantities import Axis, Quantity, single

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEURONS = 8
"""Neurons in the printed table."""


SCHEMA = Schema(
    "seqdyn.motion_report",
    "a motion report",
    1,
    {name: (dict,) for name in ("schema", "subject", "verdict")} | {"checks": (list,)},
)

JOINT = (Axis("joint", "name", "/subject/joints/*"),)

QUANTITIES = (
    single("/rhythm/frequency", "frequency", "Hz"),
    single("/rhythm/travelling_index", "travelling index"),
    Quantity("/rhythm/amplitude/*", "amplitude", "amplitude", "/subject/unit", JOINT),
    Quantity("/rhythm/offset/*", "mean", "mean", "/subject/unit", JOINT),
    single("/cycle/period_in_steps", "period of the cycle", "steps"),
    single("/back/share", "share of perturbed starts that come back"),
)
"""What is compared of two reports, and labelled."""


class MotionReport(Report):
    """What :func:`motion_report` found, in every form it can be handed on.

    Parameters
    ----------
    content : dict
        Everything, as plain dictionaries, lists, numbers and strings.

    Attributes
    ----------
    content : dict
    verdict : {"LIMIT CYCLE", "AT REST", "CHAOTIC", "NOT CLOSED", "DIVERGES"}
    severity : {"PASS", "WARN", "FAIL"}
    reason : str
        The verdict in one sentence.
    checks : DataFrame
        One row a check: its status, value and threshold.
    """

    schema, quantities = SCHEMA, QUANTITIES

    @property
    def checks(self) -> pd.DataFrame:
        """One row a check."""
        return pd.DataFrame(self.content["checks"]).set_index("check")

    def joints(self) -> pd.DataFrame:
        """The rhythm, one row a joint: offset and amplitude in the unit of the model, lag to the next in cycles."""
        found = self.content["rhythm"]
        if found is None:
            return pd.DataFrame(columns=["offset", "amplitude", "lag"])
        columns = {"offset": found["offset"], "amplitude": found["amplitude"], "lag": [*found["lags"], math.nan]}
        return pd.DataFrame(columns, index=pd.Index(self.content["subject"]["joints"], name="joint"))

    def neurons(self) -> pd.DataFrame:
        """Neurons by joints: how the amplitude changes while the neuron is held at its mean.

        In shares of the largest amplitude of the free run, so that a joint that hardly moves does not stand out;
        ``frequency`` in shares of its own.
        """
        found = self.content["neurons"]
        if found is None:
            return pd.DataFrame(columns=[*self.content["subject"]["joints"], "frequency"])
        frame = pd.DataFrame(found["amplitude"], index=pd.Index(found["names"], name="neuron"))
        frame.columns = pd.Index(self.content["subject"]["joints"], name="joint")
        return frame.assign(frequency=found["frequency"])

    def to_frame(self) -> pd.DataFrame:
        """Every single number, one a row: section, name, value."""
        rows = []
        for section in ("rhythm", "cycle", "exponents", "points", "back"):
            for name, value in (self.content[section] or {}).items():
                values = value if isinstance(value, list) else [value]
                rows += [(section, name, k, float(v)) for k, v in enumerate(values) if isinstance(v, int | float)]
        return pd.DataFrame(rows, columns=["section", "name", "number", "value"])

    def _page(self, minimal: bool) -> str:
        return to_html(self, minimal=minimal)

    def plot(self) -> Figure:
        """The motion, the cycle in the plane, what the neurons do, and the multipliers."""
        return overview(self.content)

    def compare(self, other: MotionReport) -> ReportDifference:
        """This report before, the other one after: what a training or another drive has changed.

        Parameters
        ----------
        other : MotionReport

        Returns
        -------
        ReportDifference
            A mapping with the keys ``verdict``, ``checks`` and ``numbers``; ``print`` it, or ``.to_html(path)``.
        """
        return ReportDifference(_identified(self.content), _identified(other.content), QUANTITIES)

    def __str__(self) -> str:
        subject, found = self.content["subject"], self.content
        count = len(subject["joints"])
        drive = ", ".join(f"{name} = {value:g}" for name, value in subject["drive"].items()) or "no drive"
        lines = [
            f"{self.verdict} ({self.severity}): {self.reason}",
            f"{subject['model']}; {count} joint{'' if count == 1 else 's'} at {subject['rate']:g} Hz, {drive}",
        ]
        if found["rhythm"] is None:
            return "\n".join(lines)
        own, rates, points, back = (found[name] for name in ("rhythm", "exponents", "points", "back"))
        pairs = zip(rates["values"], rates["errors"], strict=True)
        shown = ", ".join(f"{value:.3g}" + (f" ± {error:.1g}" if error else "") for value, error in pairs)
        kinds = ", ".join(f"{number} {kind}" for kind, number in points["kinds"].items()) or "none"
        lines += [
            "",
            f"rhythm      {own['frequency']:.4f} Hz, {_wave(own)}",
            f"cycle       {_cycle(found['cycle'])}",
            f"exponents   {shown} per second, of {rates['of']}",
            f"points      {kinds}, of {points['starts']} starts; Newton's step at most {points['newton_step']:.1g}",
            f"comes back  from {back['share']:.0%} of {back['starts']} starts moved by {back['noise']:g} standard "
            "deviations",
            *(self._moving() if own["frequency"] else []),
            "",
            *(f"{check['status']:4}  {check['check']}: {check['meaning']}" for check in found["checks"]),
        ]
        return "\n".join(lines)

    def _moving(self) -> list[str]:
        """What joints and neurons do."""
        lines = ["", self.joints().round(3).to_string(na_rep="")]
        if self.content["neurons"] is not None:
            lines += [
                "",
                "Neurons that drive most: held at its mean, what one changes, in shares of the largest amplitude",
                _strongest(self.neurons()),
            ]
        return lines


def motion_report(
    model: MotionModel,
    drive: Any = None,
    start: Any = None,
    *,
    steps: int = 500,
    starts: int = 64,
    seed: int = 0,
) -> MotionReport:
    """What a motion model does when it runs free under a constant drive, and how it does it.

    Rhythm and lags of the joints; the limit cycle, closed by Newton's method, with its multipliers; exponents;
    certified fixed points; whether the motion comes back after a perturbation; and which neurons drive which joint.

    Parameters
    ----------
    model : MotionModel
        Fitted.
    drive : array, shape (drives,), or None
        What is held; None for a model without a drive.
    start : array, shape (warm-up, joints), optional
        Angles from which the free run begins; which cycle is found, if there are several, is up to it.
    steps : int, at least 32
        Of every free run, of which the second half is measured: several turns.
    starts : int, at least 1
        Perturbed starts, and starts of the search for fixed points.
    seed : int
        Of everything drawn.

    Returns
    -------
    MotionReport
        ``print`` it, or ``.to_html("motion.html")``.

    Raises
    ------
    ValueError
        If the drive, the start or a number does not fit.

    References
    ----------
    Sussillo & Barak (2013), Opening the black box; Schilder, Osinga & Vogt (2005), Continuation of quasi-periodic
    invariant tori.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import Autoregression, GRURegressor
    >>> turn = 2 * np.pi * np.arange(300)[:, None] / 25
    >>> own = Autoregression(free_run=30)
    >>> network = GRURegressor(
    ...     hidden_size=8, window=40, stride=20, max_steps=150, autoregression=own, random_state=0
    ... )
    >>> model = MotionModel(network, rate=25.0).fit(None, np.sin(turn + [0, 1]))
    >>> report = motion_report(model, steps=300, starts=8)
    >>> report.verdict, round(report.content["rhythm"]["frequency"], 1)
    ('LIMIT CYCLE', 1.0)
    """
    if not isinstance(model, MotionModel):
        raise TypeError(f"motion_report is about a MotionModel, got {type(model).__name__}; for others there is "
                        "stability_report.")  # fmt: skip
    check_count("steps", steps, 32)
    check_count("starts", starts)
    content = measured(model, drive, start, steps, starts, seed)
    checks = checks_of(content)
    schema = {"name": SCHEMA.name, "version": SCHEMA.version}
    return MotionReport({"schema": schema} | content | {"checks": checks, "verdict": verdict_of(content, checks)})


def _identified(content: Content) -> Content:
    """The content with an id for every check, as a comparison needs it."""
    checks = [check | {"id": check["check"], "name": check["meaning"], "unit": ""} for check in content["checks"]]
    return content | {"checks": checks}


def _wave(found: Content) -> str:
    if found["wave"] == "rest":
        return "at rest"
    if len(found["amplitude"]) == 1:
        return "one joint"
    return f"a {found['wave']} wave along the joints (travelling index {found['travelling_index']:.2f})"


def _cycle(found: Content) -> str:
    if not found["found"]:
        return f"none: {found['why']}"
    sizes = ", ".join(f"{value:.3g}" for value in found["multipliers"])
    return (
        f"{found['kind']}, {found['period_in_steps']:.4f} steps a turn ({found['frequency']:.4f} Hz), closed to "
        f"{found['residual']:.0e}; multipliers {sizes}"
    )


def _strongest(frame: pd.DataFrame) -> str:
    """The neurons of the largest effect, with the three joints each moves most."""
    joints = frame.drop(columns="frequency").fillna(-1.0)
    order = joints.abs().max(axis=1).sort_values(ascending=False).index[:NEURONS]
    rows = []
    for name in order:
        most = joints.loc[name].abs().sort_values(ascending=False).index[:3]
        what = ", ".join(f"{joint} {joints.loc[name, joint]:+.0%}" for joint in most)
        rows.append(f"  {name:10} {what}; frequency {frame.loc[name, 'frequency']:+.1%}")
    return "\n".join(rows)
