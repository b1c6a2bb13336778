"""The Jacobian of one step: its eigenvalues, its singular values, and how far it is from a normal matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.patches import Circle

from seqdyn.dynamics.gradients import known_quantiles
from seqdyn.dynamics.typical_step import typical_step
from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.drawing import Axes, numbers, report_figure
from seqdyn.reports.number_format import format_number, plural
from seqdyn.reports.pointers import Content
from seqdyn.reports.probe import Probe
from seqdyn.reports.quantities import QUANTILES, Axis, ReportQuantity, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.table_layouts import TableLayout
from seqdyn.reports.theme import Examination, Theme

MATRIX_NUMBERS = {
    "spectral_radius": "spectral radius ρ",
    "largest_singular_value": "largest singular value σ₁",
    "smallest_singular_value": "smallest singular value",
    "eigenvector_condition": "condition of the eigenvectors κ(V)",
    "henrici": "Henrici's departure from normality",
    "numerical_radius": "numerical radius",
    "kreiss": "Kreiss constant",
    "peak": "peak of ‖Dᵏ‖",
}
"""The single numbers of a matrix, with their labels."""


def measure_recurrence(run: Examination) -> None:
    probe = run.probe
    run("recurrence", lambda: typical_step(probe.cell, probe.x, probe.state))


def recurrence_content(_: Probe, found: Measurements) -> dict[str, Any] | None:
    if found.recurrence is None:
        return None
    own, radii = found.recurrence.matrix, found.recurrence.radii[:, None]
    along = known_quantiles(radii, list(QUANTILES.values()))[0].tolist()
    return {
        "at": found.recurrence.at,
        **{name: float(getattr(own, name)) for name in MATRIX_NUMBERS if name != "smallest_singular_value"},
        "smallest_singular_value": float(own.singular_values.min()),
        "peak_lag": None if own.peak_lag is None else int(own.peak_lag),
        "eigenvalues": torch.view_as_real(own.eigenvalues.to(torch.complex128)).tolist(),
        "singular_values": own.singular_values.tolist(),
        "radius_along": dict(zip(QUANTILES, along, strict=True)),
    }


@report_figure("/recurrence/eigenvalues", x="real part", y="imaginary part", height=3.6)
def eigenvalue_plane(axes: Axes, content: Content) -> str:
    """The eigenvalues and the unit circle, on which powers neither grow nor decay."""
    points = numbers(content["recurrence"]["eigenvalues"]).reshape(-1, 2)
    outside = np.hypot(*points.T) > 1
    axes.add_patch(Circle((0.0, 0.0), 1.0, fill=False, color=PALETTE["data"], label="unit circle"))
    look: dict[str, Any] = {"markersize": 4.5, "alpha": 0.8, "markeredgewidth": 0.0}
    axes.plot(*points[~outside].T, "o", color=MODELS[0], **look)
    axes.plot(*points[outside].T, "D", color=MODELS[1], label="outside" if outside.any() else None, **look)
    reach = 1.12 * max(1.0, np.max(np.abs(points[np.isfinite(points)]), initial=0.0))
    radius = format_number(content["recurrence"]["spectral_radius"])
    axes.set(title=f"Eigenvalues, ρ = {radius}", aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
    count = plural(len(points), "eigenvalue")
    return f"{count} of one step, {int(outside.sum())} outside the unit circle; the spectral radius is {radius}."


MATRIX_AXES, EIGENVALUE_AXES = (Axis("singular_value"),), (Axis("eigenvalue"),)
IMAGINARY, ALONG_THE_WAY = "eigenvalue, imaginary part", {"spectral radius": "/recurrence/radius_along/*"}

RECURRENCE_THEME = Theme(
    "recurrence",
    "One step",
    "One step, linearised at one point. Where all eigenvalues are inside the unit circle disturbances decay in the "
    "end; where a singular value is above 1 they may grow first. Neither decides alone.",
    recurrence_content,
    measure_recurrence,
    (
        *(single(f"/recurrence/{name}", label) for name, label in MATRIX_NUMBERS.items()),
        single("/recurrence/peak_lag", "lag of the peak", "steps"),
        ReportQuantity("/recurrence/singular_values/*", "singular value", "singular_values", "", MATRIX_AXES),
        ReportQuantity("/recurrence/eigenvalues/*/0", "eigenvalue, real part", "eigenvalue_real", "", EIGENVALUE_AXES),
        ReportQuantity("/recurrence/eigenvalues/*/1", IMAGINARY, "eigenvalue_imaginary", "", EIGENVALUE_AXES),
    ),
    (TableLayout("Along the way", "/recurrence/radius_along", ALONG_THE_WAY, "quantile"),),
    (eigenvalue_plane,),
)
