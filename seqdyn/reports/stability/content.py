"""The content of a stability report: one plain dictionary, from which every form of it is made.

Norms are log₁₀ here; the instruments give natural logarithms.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seqdyn.dynamics.gradients import known_quantiles
from seqdyn.dynamics.singular_values import condition
from seqdyn.reports.stability.checks import Check, counts
from seqdyn.reports.stability.measurements import Measurements
from seqdyn.reports.stability.recommendations import Recommendation
from seqdyn.reports.stability.subject import Subject
from seqdyn.reports.stability.verdict import Evidence, Thresholds, Verdict
from seqdyn.state import leaves, named_leaves

VERSION = 1
"""Of the schema; it grows with every change that an older reader would get wrong."""

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}

POINTS = 400
"""How many points a curve keeps."""

CONVENTIONS = (
    "P_{s,t} = ∂h_t/∂h_s = J_t … J_{s+1}: t − s factors, the newest on the left; lag k = t − s.",
    "The state is all that a step hands on: (h, c) of an LSTM, the states of all layers of a stack.",
    "‖·‖ is the largest singular value of a matrix, the Euclidean length of a vector; curves are log₁₀.",
    "g_{t−k} = ∂E_t/∂h_{t−k}, relative to k = 1, the nearest state an error sees; exponents are nats per step.",
)


def content_of(
    subject: Subject,
    found: Measurements,
    evidence: Evidence,
    limits: Thresholds,
    verdict: Verdict,
    checks: Sequence[Check],
    recommendations: Sequence[Recommendation],
    seed: int,
) -> dict[str, Any]:
    """Everything the report says, as dictionaries, lists, numbers and strings."""
    return {
        "schema": {"name": "seqdyn.stability_report", "version": VERSION},
        "subject": _subject(subject, found, limits, seed),
        "verdict": {
            **verdict._asdict(),
            "gradient": evidence.gradient._asdict(),
            "product": evidence.product._asdict(),
        },
        "recurrence": _recurrence(found),
        "products": _products(found),
        "gradient": _gradient(found),
        "lyapunov": _lyapunov(found, subject.required_lag),
        "horizons": [{"name": name, **row._asdict()} for name, row in (found.horizons or {}).items()],
        "gates": _gates(found),
        "training": _training(subject),
        "fixed_points": _fixed_points(found),
        "checks": [check._asdict() for check in checks],
        "counts": counts(checks),
        "recommendations": [advice._asdict() for advice in recommendations],
    }


def _subject(subject: Subject, found: Measurements, limits: Thresholds, seed: int) -> dict[str, Any]:
    left = [f"{subject.unused} rows of the data (max_sequences, max_steps)"] if subject.unused else []
    omitted = [*left, *found.omitted, *(f"{name}: {why}" for name, why in found.failed.items())]
    return {
        "model": subject.model,
        "cell": " ".join(str(subject.cell).split()),
        "kind": subject.kind,
        "state": ", ".join(name for name, _ in named_leaves(subject.state)),
        "width": sum(leaf[0].numel() for leaf in leaves(subject.state)),
        "parameters": sum(parameter.numel() for parameter in subject.cell.parameters()),
        "sequences": subject.sequences,
        "steps": subject.steps,
        "measured_in": "a float64 copy",
        "errors": subject.errors,
        "required_lag": subject.required_lag,
        "required_lag_from": subject.required_lag_from,
        "seed": seed,
        "thresholds": dict(vars(limits)),
        "versions": {"seqdyn": sys.modules["seqdyn"].__version__, "torch": str(torch.__version__)},
        "conventions": list(CONVENTIONS),
        "not_computed": omitted,
    }


def _recurrence(found: Measurements) -> dict[str, Any] | None:
    if found.recurrence is None:
        return None
    own = found.recurrence.matrix
    return {
        "at": found.recurrence.at,
        "spectral_radius": float(own.spectral_radius),
        "largest_singular_value": float(own.largest_singular_value),
        "smallest_singular_value": float(own.singular_values.min()),
        "eigenvector_condition": float(own.eigenvector_condition),
        "henrici": float(own.henrici),
        "numerical_radius": float(own.numerical_radius),
        "kreiss": float(own.kreiss),
        "peak": float(own.peak),
        "peak_lag": None if own.peak_lag is None else int(own.peak_lag),
        "eigenvalues": torch.view_as_real(own.eigenvalues.to(torch.complex128)).tolist(),
        "singular_values": own.singular_values.tolist(),
        "radius_along": dict(
            zip(
                QUANTILES,
                known_quantiles(found.recurrence.radii[:, None], list(QUANTILES.values()))[0].tolist(),
                strict=True,
            )
        ),
    }


def _products(found: Measurements) -> dict[str, Any] | None:
    if found.products is None:
        return None
    singular = None
    if found.singular_values is not None:
        first = found.singular_values[0]
        spread = condition(first)
        singular = {
            "steps": found.singular_steps,
            "log10": _log10(first).tolist(),
            "condition": float(_log10(spread.log_condition)),
            "effective_rank": float(spread.effective_rank),
        }
    return {
        "lags": list(found.products.lags),
        "samples": [values.numel() for values in found.products.log_norms],
        "quantiles": _quantiles(found.products.quantiles(list(QUANTILES.values()))),
        "singular": singular,
        "map": None
        if found.map is None
        else {"times": found.map.times.tolist(), "values": _log10(found.map.log_norms[0].T).tolist()},
    }


def _gradient(found: Measurements) -> dict[str, Any] | None:
    if found.gradient is None:
        return None
    kept = _thinned(len(found.gradient.lags))
    return {
        "lags": found.gradient.lags[kept].tolist(),
        "quantiles": _quantiles(found.gradient.quantiles(list(QUANTILES.values()))[kept]),
        "accumulated": None if found.accumulated is None else _along(_log10(found.accumulated)),
        "omega": None if found.omega is None else {"value": float(found.omega.value), **_along(found.omega.curve)},
        "parameters": _parameters(found),
    }


def _parameters(found: Measurements) -> dict[str, Any] | None:
    if found.parameters is None:
        return None
    return {
        "edges": list(found.parameters.edges),
        "log10": {name: _log10(values).tolist() for name, values in found.parameters.log_norms.items()},
        "beyond": found.parameters.beyond.tolist(),
        "beyond_apart": found.parameters.beyond_apart.tolist(),
    }


def _lyapunov(found: Measurements, lag: int) -> dict[str, Any] | None:
    own = found.lyapunov
    if own is None:
        return None
    residual = own.sum_rule_residual
    if math.isnan(residual) and found.sum_rule is not None:
        residual = found.sum_rule.sum_rule_residual
    return {
        "exponents": own.exponents.tolist(),
        "standard_errors": own.standard_errors.tolist(),
        "unit": own.unit,
        "kind": own.kind,
        "steps": own.steps,
        "kaplan_yorke": float(own.kaplan_yorke),
        "entropy": float(own.entropy),
        "lyapunov_time": float(own.lyapunov_time),
        "sum_rule_residual": float(residual),
        "adjoint_gap": float(own.adjoint_gap),
        "running": {"steps": own.running_steps.tolist(), "values": own.running.tolist()},
        "finite_time": _finite_time(found, lag),
    }


def _finite_time(found: Measurements, lag: int) -> dict[str, Any] | None:
    """The leading exponents of stretches of the required lag, ln ‖P‖ / k."""
    if found.products is None or lag not in found.products.lags:
        return None
    values = found.products.log_norms[found.products.lags.index(lag)].flatten()
    return {"lag": lag, "values": (values[values.isfinite()] / lag).tolist()}


def _gates(found: Measurements) -> dict[str, Any] | None:
    if found.saturation is None:
        return None
    named = {
        name: {
            "mean": float(gate.mean.mean()),
            "below_5_percent": gate.total_low,
            "above_95_percent": gate.total_high,
            "unit_means": gate.mean.sort().values.tolist(),
            "time_constants": None if gate.time_constants is None else gate.time_constants.sort().values.tolist(),
        }
        for name, gate in (found.gates or {}).items()
    }
    parts = found.saturation.values()
    return {
        "named": named,
        "saturated": max((part.total_saturated for part in parts if part.bounded), default=0.0),
        "dead": max((part.total_dead for part in parts), default=0.0),
    }


def _training(subject: Subject) -> dict[str, Any] | None:
    history = subject.history
    if history is None or not len(history):
        return None
    columns = ("loss", "gradient_norm", "clip_coefficient", "clip_fraction", "steps_reached")
    names = [str(name).partition("/")[2] for name in history if str(name).startswith("gradient_norm/")]
    return {
        "epochs": [int(epoch) for epoch in history["epoch"]],
        **{name: [float(value) for value in history[name]] for name in columns if name in history},
        "clip_norm": getattr(subject.estimator, "clip_norm", None),
        "parameters": {
            name: {
                measure: [float(value) for value in history[f"{measure}/{name}"]]
                for measure in ("gradient_norm", "update_ratio")
            }
            for name in names
        },
        "non_finite": [
            {"epoch": event["epoch"], "batch": event["batch"], "parameters": list(event["parameters"])}
            for event in history.attrs.get("non_finite", [])
        ],
    }


def _fixed_points(found: Measurements) -> dict[str, Any] | None:
    own = found.fixed_points
    if own is None or found.trajectory is None:
        return None
    states = found.trajectory.flatten(0, 1)
    states = states[_thinned(len(states))]
    centre = states.mean(0)
    _, _, axes = torch.linalg.svd(states - centre, full_matrices=False)
    axes = axes[:2]
    flat = [_plane((part - centre) @ axes.T) for part in (own.points, states)]
    return {
        "points": flat[0],
        "trajectory": flat[1],
        "stable": own.stable.tolist(),
        "speed": own.speed.tolist(),
        "index": own.index.tolist(),
        "kinds": list(own.kinds),
        "share": own.share.tolist(),
        "time_constants": [float(times.max()) for times in own.time_constants],
    }


def _plane(points: Tensor) -> list[list[float]]:
    """Two coordinates, also of what has only one."""
    return torch.nn.functional.pad(points, (0, 2 - points.shape[1])).tolist()


def _along(curves: Tensor) -> dict[str, Any]:
    """The median over sequences at some steps."""
    kept = _thinned(curves.shape[1], even=True)
    return {"steps": kept.tolist(), "median": known_quantiles(curves[:, kept], [0.5])[:, 0].tolist()}


def _quantiles(logs: Tensor) -> dict[str, list[float]]:
    """Columns by name, log₁₀."""
    return dict(zip(QUANTILES, _log10(logs).T.tolist(), strict=True))


def _log10(natural: Tensor) -> Tensor:
    return natural / math.log(10)


def _thinned(count: int, even: bool = False) -> Tensor:
    """At most POINTS places out of so many: evenly spread, or ever further apart."""
    if count <= POINTS:
        return torch.arange(count)
    places = torch.linspace(0, count - 1, POINTS) if even else torch.logspace(0, math.log10(count), POINTS) - 1
    return places.round().long().clamp(0, count - 1).unique()
