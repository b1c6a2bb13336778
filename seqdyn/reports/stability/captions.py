"""What each figure of a stability report shows, in a sentence with its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from seqdyn.reports.stability.tables import (
    STABILITIES,
    Content,
    counted,
    look_up,
    needed_time_constant,
    stabilities,
    written,
)

Caption = Callable[[Content], str]


def _spectrum(content: Content) -> str:
    values = np.asarray(look_up(content, "/recurrence/eigenvalues"), dtype=np.float64)
    outside = int((np.hypot(*values.T) > 1).sum())
    radius = written(look_up(content, "/recurrence/spectral_radius"))
    count = counted(len(values), "eigenvalue")
    return f"{count} of one step, {outside} outside the unit circle; the radius is {radius}."


def _singular_values(content: Content) -> str:
    found = look_up(content, "/recurrence/singular_values")
    count = counted(len(found), "singular value")
    return f"{count} of the recurrence, from {written(max(found))} down to {written(min(found))}."


def _norms(content: Content) -> str:
    verdict, required = content["verdict"], content["subject"]["required_lag"]
    gradient, product = (written(look_up(verdict, f"/{name}/median")) for name in ("gradient", "product"))
    return (
        f"Norms by lag: at the required lag {required} the median log10 norm is {gradient} of the gradient and "
        f"{product} of the product. Bands are quartiles and 5 to 95 %."
    )


def _map(content: Content) -> str:
    values = np.asarray(look_up(content, "/products/map/values"), dtype=np.float64)
    known = values[~np.isnan(values)]
    low, high = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
    return f"log10 norm of the product between pairs of steps: from {written(float(low))} to {written(float(high))}."


def _product_singular_values(content: Content) -> str:
    found = look_up(content, "/products/singular")
    spread, rank = written(found["condition"]), written(found["effective_rank"])
    steps = counted(found["steps"], "step")
    return f"Singular values after {steps}: they span {spread} decades, the effective rank is {rank}."


def _parameters(content: Content) -> str:
    found = look_up(content, "/gradient/parameters")
    nearest, farthest = (max(values[place] for values in found["log10"].values()) for place in (0, -1))
    reach = f"at most {written(nearest)} from lag 0 and {written(farthest)} from the lags up to {found['edges'][-1]}"
    return f"log10 norm of the gradient by parameter and band of lags: {reach}."


def _truncation(content: Content) -> str:
    found, most = look_up(content, "/gradient/parameters"), content["subject"]["thresholds"]["truncated"]
    small = [edge for edge, share in zip(found["edges"], found["beyond_apart"], strict=True) if share <= most]
    limit = f"{written(100 * most)} %"
    where = f"falls to {limit} or less at lag {small[0]}" if small else f"stays above {limit} at every lag"
    return f"The share of the gradient from beyond a lag, taken apart so that nothing cancels, {where}."


def _along_time(content: Content) -> str:
    values = look_up(content, "/gradient/accumulated/median")
    omega = look_up(content, "/gradient/omega/value")
    ends = f"from {written(values[0])} at the first step to {written(values[-1])} at the last"
    return f"log10 of the accumulated gradient, {ends}." + ("" if omega is None else f" Ω is {written(omega)}.")


def _exponents(content: Content) -> str:
    found = content["lyapunov"]
    first, error = written(found["exponents"][0]), written(found["standard_errors"][0])
    count = counted(len(found["exponents"]), f"{found['kind']} exponent")
    return f"{count}; the largest is {first} ± {error} {found['unit']}."


def _running(content: Content) -> str:
    found = look_up(content, "/lyapunov/running")
    half, end = found["values"][len(found["values"]) // 2][0], found["values"][-1][0]
    steps = counted(found["steps"][-1], "step")
    return f"The estimate of λ₁ was {written(half)} half-way and is {written(end)} after {steps}."


def _finite_time(content: Content) -> str:
    found = look_up(content, "/lyapunov/finite_time")
    values = np.asarray(found["values"], dtype=np.float64)
    stretches = counted(len(values), "stretch grows", "stretches grow")
    return f"Growth rates over {counted(found['lag'], 'step')}: {int((values > 0).sum())} of {stretches}."


def _gate_means(content: Content) -> str:
    named = look_up(content, "/gates/named")
    means = ", ".join(f"{name} {written(named[name]['mean'])}" for name in sorted(named))
    return f"The mean of every unit of every gate; over all units: {means}."


def _time_constants(content: Content) -> str:
    named, needed = look_up(content, "/gates/named"), needed_time_constant(content)
    values = [value for name in sorted(named) for value in named[name]["time_constants"] or ()]
    reach, lag = sum(value >= needed for value in values), counted(content["subject"]["required_lag"], "step")
    units, kept = counted(len(values), "unit"), written(content["subject"]["thresholds"]["vanishing_warn"])
    return (
        f"Time constants: {reach} of {units} at {counted(needed, 'step')} or longer, which keeps 10^{kept} over the "
        f"required lag of {lag}."
    )


def _training(content: Content) -> str:
    training = content["training"]
    loss, norms = training.get("loss") or [np.nan], training.get("gradient_norm") or [np.nan]
    events = counted(len(training["non_finite"]), "step was", "steps were")
    epochs = counted(len(training["epochs"]), "epoch")
    return (
        f"Over {epochs} the loss went from {written(loss[0])} to {written(loss[-1])} and the norm of the gradient "
        f"from {written(norms[0])} to {written(norms[-1])}; {events} not finite."
    )


def _fixed_points(content: Content) -> str:
    found = content["fixed_points"]
    kinds = Counter(stabilities(found))
    return f"{counted(len(found['points']), 'point')}: {', '.join(f'{kinds[kind]} {kind}' for kind in STABILITIES)}."


CAPTIONS: dict[str, Caption] = {
    "spectrum": _spectrum,
    "singular_values": _singular_values,
    "norms_by_lag": _norms,
    "product_map": _map,
    "product_singular_values": _product_singular_values,
    "gradient_by_parameter": _parameters,
    "truncation_share": _truncation,
    "gradient_along_time": _along_time,
    "lyapunov_exponents": _exponents,
    "running_exponents": _running,
    "finite_time_exponents": _finite_time,
    "gate_means": _gate_means,
    "gate_time_constants": _time_constants,
    "training_timeline": _training,
    "fixed_points": _fixed_points,
}
"""The caption of every figure, from the report."""
