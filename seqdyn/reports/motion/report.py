"""The motion report: whether the free run closes on a stable cycle, which one, and which neurons drive it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from seqdyn.checks import check_count
from seqdyn.motion.model import MotionModel
from seqdyn.progress import Callback
from seqdyn.reports.difference import ReportDifference
from seqdyn.reports.json_text import Schema
from seqdyn.reports.motion.figures import motion_figure
from seqdyn.reports.motion.measurements import MotionContent, measure_motion
from seqdyn.reports.motion.page import exponent_words, motion_page, point_words
from seqdyn.reports.motion.verdict import motion_checks, motion_verdict
from seqdyn.reports.quantities import Axis, ReportQuantity, single
from seqdyn.reports.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRINTED_NEURONS = 8
"""How many neurons the printed table has."""

MOTION_SCHEMA = Schema(
    "seqdyn.motion_report",
    "a motion report",
    1,
    {name: (dict,) for name in ("schema", "subject", "verdict")} | {"checks": (list,)},
)

JOINT = (Axis("joint", "name", "/subject/joints/*"),)

MOTION_REPORT_QUANTITIES = (
    single("/rhythm/frequency", "frequency", "Hz"),
    single("/rhythm/travelling_index", "travelling index"),
    ReportQuantity("/rhythm/amplitude/*", "amplitude", "amplitude", "/subject/unit", JOINT),
    ReportQuantity("/rhythm/offset/*", "mean", "mean", "/subject/unit", JOINT),
    single("/cycle/period_in_steps", "period of the cycle", "steps"),
    single("/back/share", "share of perturbed starts that come back"),
)
"""The quantities that are compared and labelled."""


class MotionReport(Report):
    """The result of :func:`motion_report`, as a text, page, figure, frame or labelled arrays.

    Parameters
    ----------
    content : dict
        Everything, as plain dictionaries, lists, numbers and strings.

    Notes
    -----
    The ``verdict`` is ``"LIMIT CYCLE"``, ``"AT REST"``, ``"CHAOTIC"``, ``"NOT CLOSED"``, ``"DIVERGES"`` or, if the
    report was stopped before it looked for a cycle, ``"INCONCLUSIVE"``.
    """

    schema, quantities = MOTION_SCHEMA, MOTION_REPORT_QUANTITIES

    @property
    def checks(self) -> pd.DataFrame:
        """One row for every check: its status, value and threshold."""
        return pd.DataFrame(self.content["checks"]).set_index("check")

    def joints(self) -> pd.DataFrame:
        """The rhythm by joint: offset and amplitude in the unit of the model, lag to the next joint in cycles."""
        found = self.content["rhythm"]
        if found is None:
            return pd.DataFrame(columns=["offset", "amplitude", "lag"])
        columns = {"offset": found["offset"], "amplitude": found["amplitude"], "lag": [*found["lags"], math.nan]}
        return pd.DataFrame(columns, index=pd.Index(self.content["subject"]["joints"], name="joint"))

    def neurons(self) -> pd.DataFrame:
        """The change of every joint's amplitude while a neuron is held at its mean, one row for every neuron.

        Amplitudes are shares of the largest amplitude of the free run, so that a joint that hardly moves does not
        stand out; ``frequency`` is a share of the free run's.
        """
        found = self.content["neurons"]
        if found is None:
            return pd.DataFrame(columns=[*self.content["subject"]["joints"], "frequency"])
        frame = pd.DataFrame(found["amplitude"], index=pd.Index(found["names"], name="neuron"))
        frame.columns = pd.Index(self.content["subject"]["joints"], name="joint")
        return frame.assign(frequency=found["frequency"])

    def to_frame(self) -> pd.DataFrame:
        """Every single number, one in a row: section, name, number and value."""
        rows = []
        for section in ("rhythm", "cycle", "exponents", "points", "back"):
            for name, value in (self.content[section] or {}).items():
                values = value if isinstance(value, list) else [value]
                rows += [(section, name, k, float(v)) for k, v in enumerate(values) if isinstance(v, int | float)]
        return pd.DataFrame(rows, columns=["section", "name", "number", "value"])

    def _page(self, minimal: bool) -> str:
        return motion_page(self, minimal=minimal)

    def plot(self) -> Figure:
        """The motion, the cycle in the plane of two joints, the multipliers, and neurons by joints."""
        return motion_figure(self.content)

    def compare(self, other: MotionReport) -> ReportDifference:
        """Compare this report (before) with another one (after), to see what a change has done.

        Parameters
        ----------
        other : MotionReport
            The report after the change.

        Returns
        -------
        ReportDifference
            A mapping with the keys ``verdict``, ``checks`` and ``numbers``; ``print`` it, or ``.to_html(path)``.
        """
        return ReportDifference(_with_check_ids(self.content), _with_check_ids(other.content), MOTION_REPORT_QUANTITIES)

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
        own = found["rhythm"]
        lines += [
            "",
            f"rhythm      {own['frequency']:.4f} Hz, {_wave_words(own)}",
            *self._dynamics(),
            *(self._moving() if own["frequency"] else []),
            "",
            *(f"{check['status']:4}  {check['check']}: {check['meaning']}" for check in found["checks"]),
        ]
        return "\n".join(lines)

    def _dynamics(self) -> Iterator[str]:
        """The cycle, the exponents, the points and the return, one line for each that was measured."""
        cycle, rates, points, back = (self.content[name] for name in ("cycle", "exponents", "points", "back"))
        if cycle is not None:
            yield f"cycle       {_cycle_words(cycle)}"
        if rates is not None:
            yield f"exponents   {exponent_words(self.content, 3)} per second, of {rates['of']}"
        if points is not None:
            newton = f"last Newton step at most {points['newton_step']:.1g}"
            yield f"points      {point_words(self.content)}, from {points['starts']} starts; {newton}"
        if back is not None:
            moved = f"{back['starts']} starts moved by {back['noise']:g} standard deviations"
            yield f"comes back  from {back['share']:.0%} of {moved}"

    def _facts(self) -> dict[str, object]:
        subject = self.content["subject"]
        return {"model": subject["model"], "joints": len(subject["joints"])}

    def _moving(self) -> list[str]:
        """The tables of joints and neurons."""
        lines = ["", self.joints().round(3).to_string(na_rep="")]
        if self.content["neurons"] is not None:
            lines += [
                "",
                "The most important neurons: the changes while one is held at its mean, as shares of the largest "
                "amplitude",
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
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> MotionReport:
    """Report what a motion model does in a free run under a constant drive, and which neurons drive it.

    It measures the rhythm and lags of the joints; the limit cycle, closed by Newton's method, with its multipliers;
    the exponents; certified fixed points; whether the motion returns after a perturbation; and the effect of every
    neuron on every joint.

    Parameters
    ----------
    model : MotionModel
        Fitted.
    drive : array, shape (drives,), or None
        The constant drive; None for a model without one.
    start : array, shape (warm-up, joints), optional
        Angles from which the free run begins. If there are several cycles, it decides which one is found.
    steps : int, at least 32
        Steps of every free run. Its second half is measured and should hold several turns.
    starts : int, at least 1
        How many perturbed starts there are, and how many starts of the search for fixed points.
    seed : int
        Of everything drawn.
    verbose : bool or int
        1 shows a progress bar over the sections of the report.
    callback : callable, optional
        ``callback(Progress)`` after every section. If it returns true, the sections that are left are not measured.

    Returns
    -------
    MotionReport
        ``print`` it, or write a page with ``.to_html("motion.html")``.

    Raises
    ------
    TypeError
        If the model is not a MotionModel.
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
        raise TypeError(
            f"motion_report takes a MotionModel, got {type(model).__name__}; for others use stability_report."
        )
    check_count("steps", steps, 32)
    check_count("starts", starts)
    content = measure_motion(model, drive, start, steps, starts, seed, verbose, callback)
    checks = motion_checks(content)
    schema = {"name": MOTION_SCHEMA.name, "version": MOTION_SCHEMA.version}
    return MotionReport({"schema": schema} | content | {"checks": checks, "verdict": motion_verdict(content, checks)})


def _with_check_ids(content: MotionContent) -> MotionContent:
    """The content with an id for every check, which a comparison needs."""
    checks = [check | {"id": check["check"], "name": check["meaning"], "unit": ""} for check in content["checks"]]
    return content | {"checks": checks}


def _wave_words(found: MotionContent) -> str:
    if found["wave"] == "rest":
        return "at rest"
    if len(found["amplitude"]) == 1:
        return "one joint"
    return f"a {found['wave']} wave along the joints (travelling index {found['travelling_index']:.2f})"


def _cycle_words(found: MotionContent) -> str:
    if not found["found"]:
        return f"none: {found['why']}"
    sizes = ", ".join(f"{value:.3g}" for value in found["multipliers"])
    return (
        f"{found['kind']}, {found['period_in_steps']:.4f} steps a turn ({found['frequency']:.4f} Hz), closed to "
        f"{found['residual']:.0e}; multipliers {sizes}"
    )


def _strongest(frame: pd.DataFrame) -> str:
    """The neurons with the largest effect, each with the three joints that it moves most."""
    joints = frame.drop(columns="frequency").fillna(-1.0)
    order = joints.abs().max(axis=1).sort_values(ascending=False).index[:PRINTED_NEURONS]
    rows = []
    for name in order:
        most = joints.loc[name].abs().sort_values(ascending=False).index[:3]
        what = ", ".join(f"{joint} {joints.loc[name, joint]:+.0%}" for joint in most)
        rows.append(f"  {name:10} {what}; frequency {frame.loc[name, 'frequency']:+.1%}")
    return "\n".join(rows)
