"""Stability reports made by hand: every section filled, with the awkward numbers in, and sparse ones."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

EVIL = "<script>alert(1)</script> \"quoted\" & 'single' $x_1$"
"""A name nobody should be able to hurt the page with."""

NAMES = ("p05", "p25", "p50", "p75", "p95")
SHIFTS = (-1.1, -0.4, 0.0, 0.35, 0.9)


def full(model: str = "LSTMRegressor(hidden_size=32)", seed: int = 0) -> dict[str, Any]:
    """A report in which everything was computed, of an LSTM that vanishes."""
    draw = np.random.default_rng(seed)
    return {
        "schema": {"name": "seqdyn.stability_report", "version": 1},
        "subject": _subject(model),
        "verdict": {
            "name": "VANISHING",
            "severity": "WARN",
            "reason": "At lag 64 the gradient is 10^-4.21 of what it was at lag 1, below 10^-3: what lies so far back "
            "is hardly learnt.",
            "gradient": {"median": -4.2123456789, "low": -4.61, "high": -3.88},
            "product": {"median": -3.4123, "low": -3.9, "high": -3.02},
        },
        "recurrence": _recurrence(draw),
        "products": _products(draw),
        "gradient": _gradient(draw),
        "lyapunov": _lyapunov(draw),
        "horizons": _horizons(),
        "gates": _gates(draw),
        "training": _training(draw),
        "fixed_points": _fixed_points(draw),
        "checks": _checks(),
        "counts": {"PASS": 3, "WARN": 1, "FAIL": 1, "SKIPPED": 1, "ERROR": 1},
        "recommendations": _recommendations(),
    }


def sparse(model: str = "Elman(2, 8)") -> dict[str, Any]:
    """A report in which nothing but the products was computed, and those of a dead network."""
    content = full(model)
    empty = ("recurrence", "gradient", "lyapunov", "gates", "training", "fixed_points")
    content |= dict.fromkeys(empty)
    content["products"] |= {"singular": None, "map": None}
    content["products"]["quantiles"] = {name: [-0.5, *[-math.inf] * 8] for name in NAMES}
    content["verdict"]["gradient"] = dict.fromkeys(("median", "low", "high"), math.nan)
    content["verdict"]["product"] = dict.fromkeys(("median", "low", "high"), -math.inf)
    content["horizons"], content["recommendations"] = [], []
    return content


def bare() -> dict[str, Any]:
    """A report in which everything was left out."""
    content = sparse()
    content |= {"products": None, "horizons": None, "checks": [], "counts": dict.fromkeys(content["counts"], 0)}
    return content


def broken() -> dict[str, Any]:
    """A report whose every measured float is −∞ or NaN in turn, with lags, counts and shapes as they were."""
    return _without_numbers(full(), iter([-math.inf, math.nan, math.inf] * 20000))


def changed(content: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A copy with other sections; dictionaries are merged into what is there."""
    copied = copy.deepcopy(content)
    for name, value in sections.items():
        copied[name] = copied[name] | value if isinstance(value, dict) and copied[name] else value
    return copied


def _without_numbers(value: Any, others: Any) -> Any:
    if isinstance(value, float):
        return next(others)
    if isinstance(value, dict):
        return {key: _without_numbers(one, others) for key, one in value.items()}
    return [_without_numbers(one, others) for one in value] if isinstance(value, list) else value


def _subject(model: str) -> dict[str, Any]:
    return {
        "model": model,
        "cell": "LSTM(2, 32)",
        "kind": "driven",
        "state": "h, c",
        "width": 64,
        "parameters": 24704,
        "sequences": 8,
        "steps": 300,
        "measured_in": "a float64 copy",
        "errors": "the squared error of every step",
        "required_lag": 64,
        "required_lag_from": "the caller",
        "seed": 0,
        "thresholds": {"vanishing_warn": -3.0, "vanishing_fail": -7.0, "exploding_warn": 2.0, "truncated": 0.1},
        "versions": {"seqdyn": "0.1.0", "torch": "2.13.0"},
        "conventions": ["P_{s,t} = ∂h_t/∂h_s, newest factor on the left", "norms are spectral, in log10"],
        "not_computed": ["fixed points of the closed loop: the model is driven"],
    }


def _recurrence(draw: np.random.Generator) -> dict[str, Any]:
    matrix = draw.normal(size=(64, 64)) * 1.05 / 8
    values = np.linalg.eigvals(matrix)
    stretch = np.linalg.svd(matrix, compute_uv=False)
    return {
        "at": "the mean state and the mean input",
        "spectral_radius": float(np.abs(values).max()),
        "largest_singular_value": float(stretch[0]),
        "smallest_singular_value": float(stretch[-1]),
        "eigenvector_condition": 91.234567,
        "henrici": 5.812345,
        "numerical_radius": 1.4512345,
        "kreiss": 3.3,
        "peak": 3.8745922717546996,
        "peak_lag": 3,
        "eigenvalues": [[float(value.real), float(value.imag)] for value in values],
        "singular_values": [float(value) for value in stretch],
        "radius_along": dict(zip(NAMES, (0.91, 0.95, 0.97, 0.99, 1.02), strict=True)),
    }


def _products(draw: np.random.Generator) -> dict[str, Any]:
    lags = [2**power for power in range(9)]
    median = [0.4 - 0.06 * lag for lag in lags]
    times = list(range(0, 288, 9))
    distances = np.subtract.outer(times, times)
    values = np.where(distances < 0, np.nan, -0.03 * distances + draw.normal(0, 0.4, distances.shape))
    values[-1, 0] = -np.inf
    return {
        "lags": lags,
        "samples": [8 * (300 - lag) for lag in lags],
        "quantiles": {
            name: [value + shift * math.log10(lag + 1) for value, lag in zip(median, lags, strict=True)]
            for name, shift in zip(NAMES, SHIFTS, strict=True)
        },
        "singular": {
            "steps": 256,
            "log10": [float(-15 - 2.1 * number) for number in range(63)] + [-math.inf],
            "condition": math.inf,
            "effective_rank": 1.2345,
        },
        "map": {"times": times, "values": [[float(value) for value in row] for row in values]},
    }


def _gradient(draw: np.random.Generator) -> dict[str, Any]:
    lags = list(range(1, 300))
    median = [-0.066 * lag + 0.05 * draw.normal() for lag in lags]
    edges = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 299]
    names = ("cell.input_weight", "cell.recurrent_weight", "cell.bias", "readout.weight", "readout.bias")
    sent = {
        name: [float(1.0 - shift - 0.5 * place) for place in range(11)]
        for name, shift in zip(names, (0.2, 0.0, 0.9, 0.4, 1.1), strict=True)
    }
    for name in names[3:]:
        sent[name] = [sent[name][0], *[-math.inf] * 10]
    return {
        "lags": lags,
        "quantiles": {
            name: [value + shift * math.log10(lag + 1) for value, lag in zip(median, lags, strict=True)]
            for name, shift in zip(NAMES, SHIFTS, strict=True)
        },
        "accumulated": {
            "steps": list(range(300)),
            "median": [float(-0.004 * (300 - step) + 0.1 * draw.normal()) for step in range(300)],
        },
        "omega": {
            "value": 0.031234567,
            "steps": list(range(299)),
            "median": [float(0.03 + 0.01 * draw.normal()) for _ in range(299)],
        },
        "parameters": {
            "edges": edges,
            "log10": sent,
            "beyond": [float(1.1 * 0.6**place) for place in range(10)] + [0.0],
            "beyond_apart": [float(0.9 * 0.55**place) for place in range(10)] + [0.0],
        },
    }


def _lyapunov(draw: np.random.Generator) -> dict[str, Any]:
    exponents = [float(-0.152 - 0.03 * number) for number in range(16)]
    steps = list(range(20, 2001, 20))
    return {
        "exponents": exponents,
        "standard_errors": [float(0.004 + 0.001 * number) for number in range(16)],
        "unit": "nats per step",
        "kind": "conditional",
        "steps": 2000,
        "kaplan_yorke": 0.0,
        "entropy": 0.0,
        "lyapunov_time": math.inf,
        "sum_rule_residual": 3.2e-14,
        "adjoint_gap": 0.0021,
        "running": {
            "steps": steps,
            "values": [[value + float(draw.normal()) / step**0.8 for value in exponents[:8]] for step in steps],
        },
        "finite_time": {"lag": 64, "values": [float(value) for value in -0.15 + 0.03 * draw.normal(size=500)]},
    }


def _horizons() -> list[dict[str, Any]]:
    return [
        {"name": "Jacobian horizon", "steps": 41.0, "at_least": False, "definition": "the last lag with ‖P‖ ≥ 1 %"},
        {"name": "gradient horizon", "steps": 30.0, "at_least": False, "definition": "the last lag with ‖g‖ ≥ 1 %"},
        {"name": "numeric horizon, float64", "steps": 299.0, "at_least": True, "definition": "‖g‖ ≥ 2.2e-16"},
        {"name": "Lyapunov time constant", "steps": 6.578947368421052, "at_least": False, "definition": "−1 / λ₁"},
    ]


def _gates(draw: np.random.Generator) -> dict[str, Any]:
    def gate(level: float, spread: float, lives: bool = False) -> dict[str, Any]:
        means = np.sort(np.clip(level + spread * draw.normal(size=32), 0.001, 0.999))
        lifetimes = [float(value) for value in -1 / np.log(means)]
        return {
            "mean": float(means.mean()),
            "below_5_percent": 0.0312345,
            "above_95_percent": 0.12,
            "unit_means": [float(value) for value in means],
            "time_constants": [*lifetimes[:-1], math.inf] if lives else None,
        }

    named = {"input": gate(0.5, 0.15), "forget": gate(0.85, 0.1, lives=True), "output": gate(0.4, 0.2)}
    candidate = gate(0.1, 0.3)
    candidate["unit_means"] = sorted(float(value) for value in np.tanh(draw.normal(size=32)))
    return {"named": named | {"candidate": candidate}, "saturated": 0.021, "dead": 0.0}


def _training(draw: np.random.Generator) -> dict[str, Any]:
    epochs = list(range(1, 201))
    names = ("cell.input_weight", "cell.recurrent_weight", "cell.bias", "readout.weight", "readout.bias")

    def fall(start: float) -> list[float]:
        return [float(start * epoch**-0.7 * np.exp(0.15 * draw.normal())) for epoch in epochs]

    norms = fall(4.0)
    norms[57] = math.nan
    return {
        "epochs": epochs,
        "loss": fall(1.0),
        "gradient_norm": norms,
        "clip_coefficient": [min(1.0, 1 / norm) if norm == norm else math.nan for norm in norms],
        "clip_fraction": [min(1.0, norm / 4) if norm == norm else 1.0 for norm in norms],
        "steps_reached": [0.4 + 0.001 * epoch for epoch in epochs],
        "clip_norm": 1.0,
        "parameters": {
            name: {"gradient_norm": fall(2.0 / (place + 1)), "update_ratio": fall(1e-2)}
            for place, name in enumerate(names)
        },
        "non_finite": [{"epoch": 58, "batch": 3, "parameters": ["cell.recurrent_weight", "cell.bias"]}],
    }


def _fixed_points(draw: np.random.Generator) -> dict[str, Any]:
    turn = np.linspace(0, 18, 400)
    return {
        "points": [[-1.2, 0.3], [1.1, -0.2], [0.02, 0.05], [0.4, 1.0]],
        "trajectory": [[float(np.cos(t) * 1.3), float(np.sin(1.7 * t))] for t in turn],
        "stable": [True, True, False, False],
        "speed": [1.2e-13, 3.4e-13, 2.2e-14, 3.1e-3],
        "index": [0, 0, 1, 2],
        "kinds": ["fixed", "fixed", "fixed", "slow"],
        "share": [0.51, 0.4, 0.05, 0.04],
        "time_constants": [12.345678, 9.8, math.inf, 88.0],
    }


def _checks() -> list[dict[str, Any]]:
    def check(name: str, status: str, value: float | None, threshold: float | None, **more: str) -> dict[str, Any]:
        number = next(numbers)
        own = {"id": f"GS{number:03d}", "name": name, "status": status, "value": value, "threshold": threshold}
        return own | {"unit": more.get("unit", ""), "message": more["message"], "section": more["section"]}

    numbers = iter(range(1, 100))
    return [
        check("gradients finite", "PASS", 0.0, 0.0, message="no gradient is infinite or NaN", section="gradient"),
        check(
            "gradient at the required lag",
            "WARN",
            -4.2123456789,
            -3.0,
            unit="log10",
            message="the gradient from 64 steps back is 10^-4.21 of what it was",
            section="gradient",
        ),
        check("product does not explode", "PASS", -3.4123, 2.0, unit="log10", message="it decays", section="products"),
        check("clipping", "FAIL", 0.61, 0.5, message="61 % of the steps were clipped", section="training"),
        check("sum rule", "PASS", 3.2e-14, 1e-8, unit="nats per step", message="holds", section="lyapunov"),
        check("fixed points", "SKIPPED", None, None, message="not asked for", section="fixed_points"),
        check("memory capacity", "ERROR", math.nan, None, message="RuntimeError: singular", section="products"),
    ]


def _recommendations() -> list[dict[str, Any]]:
    return [
        {
            "id": "R01",
            "text": "Start the forget gates at a bias of 4.159 = ln 64, so that they remember 64 steps.",
            "number": 4.1588830833596715,
            "unit": "",
            "check": "GS002",
        },
        {"id": "R02", "text": "Raise clip_norm to 1.9.", "number": 1.9, "unit": "", "check": "GS004"},
        {"id": "R03", "text": "Truncate at 30 steps.", "number": 30.0, "unit": "steps", "check": "GS002"},
        {"id": "R04", "text": "Look at the recurrent weight first.", "number": None, "unit": "", "check": "GS004"},
    ]
