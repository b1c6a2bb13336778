"""One step's Jacobian: its eigenvalues, singular values, and how far it is from a normal matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.patches import Circle

from seqdyn.dynamics.gradients import known_quantiles
from seqdyn.dynamics.typical_step import typical_step
from seqdyn.figures import MODELS, PALETTE
from seqdyn.reports.drawing import Axes, drawing, numbers
from seqdyn.reports.grids import Grid
from seqdyn.reports.pointers import Content
from seqdyn.reports.quantities import QUANTILES, Axis, Quantity, single
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.subject import Subject
from seqdyn.reports.theme import Run, Theme
from seqdyn.reports.writing import counted, written

NUMBERS = {
    "spectral_radius": "spectral radius ρ",
    "largest_singular_value": "largest singular value σ₁",
    "smallest_singular_value": "smallest singular value",
    "eigenvector_condition": "condition of the eigenvectors κ(V)",
    "henrici": "Henrici's departure from normality",
    "numerical_radius": "numerical radius",
    "kreiss": "Kreiss constant",
    "peak": "peak of ‖Dᵏ‖",
}
"""What is one number of a matrix."""


def _measure(run: Run) -> None:
    subject = run.subject
    run("recurrence", lambda: typical_step(subject.cell, subject.x, subject.state))


def _content(_: Subject, found: Measurements) -> dict[str, Any] | None:
    if found.recurrence is None:
        return None
    own, radii = found.recurrence.matrix, found.recurrence.radii[:, None]
    along = known_quantiles(radii, list(QUANTILES.values()))[0].tolist()
    return {
        "at": found.recurrence.at,
        **{name: float(getattr(own, name)) for name in NUMBERS if name != "smallest_singular_value"},
        "smallest_singular_value": float(own.singular_values.min()),
        "peak_lag": None if own.peak_lag is None else int(own.peak_lag),
        "eigenvalues": torch.view_as_real(own.eigenvalues.to(torch.complex128)).tolist(),
        "singular_values": own.singular_values.tolist(),
        "radius_along": dict(zip(QUANTILES, along, strict=True)),
    }


@drawing("/recurrence/eigenvalues", x="real part", y="imaginary part", height=3.6)
def spectrum(axes: Axes, content: Content) -> str:
    """The eigenvalues on the unit circle, which is where powers neither grow nor decay."""
    points = numbers(content["recurrence"]["eigenvalues"]).reshape(-1, 2)
    outside = np.hypot(*points.T) > 1
    axes.add_patch(Circle((0.0, 0.0), 1.0, fill=False, color=PALETTE["data"], label="unit circle"))
    for chosen, marker, colour, label in ((~outside, "o", MODELS[0], None), (outside, "D", MODELS[1], "outside")):
        axes.plot(
            *points[chosen].T,
            marker,
            color=colour,
            markersize=4.5,
            alpha=0.8,
            markeredgewidth=0.0,
            label=label if chosen.any() else None,
        )
    reach = 1.12 * max(1.0, np.max(np.abs(points[np.isfinite(points)]), initial=0.0))
    radius = written(content["recurrence"]["spectral_radius"])
    axes.set(title=f"Eigenvalues, ρ = {radius}", aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
    count = counted(len(points), "eigenvalue")
    return f"{count} of one step, {int(outside.sum())} outside the unit circle; the radius is {radius}."


NUMBER, EIGENVALUE = (Axis("singular_value"),), (Axis("eigenvalue"),)

RECURRENCE = Theme(
    "recurrence",
    "One step",
    "One step, linearised at one point: eigenvalues inside the unit circle decay in the end, singular values above 1 "
    "may grow before. Neither decides alone.",
    _content,
    _measure,
    (
        *(single(f"/recurrence/{name}", label) for name, label in NUMBERS.items()),
        single("/recurrence/peak_lag", "lag of the peak", "steps"),
        Quantity("/recurrence/singular_values/*", "singular value", "singular_values", "", NUMBER),
        Quantity("/recurrence/eigenvalues/*/0", "eigenvalue, real part", "eigenvalue_real", "", EIGENVALUE),
        Quantity("/recurrence/eigenvalues/*/1", "eigenvalue, imaginary part", "eigenvalue_imaginary", "", EIGENVALUE),
    ),
    (Grid("Along the way", "/recurrence/radius_along", {"spectral radius": "/recurrence/radius_along/*"}, "quantile"),),
    (spectrum,),
)
