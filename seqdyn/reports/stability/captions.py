"""What each figure of a stability report shows, in a sentence with its numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from seqdyn.reports.stability.tables import Content, look_up, written

Caption = Callable[[Content], str]


def _spectrum(content: Content) -> str:
    values = np.asarray(look_up(content, "/recurrence/eigenvalues"), dtype=np.float64)
    outside = int((np.hypot(*values.T) > 1).sum())
    radius = written(look_up(content, "/recurrence/spectral_radius"))
    return f"{len(values)} eigenvalues of one step, {outside} of them outside the unit circle; the radius is {radius}."


def _singular_values(content: Content) -> str:
    found = look_up(content, "/recurrence/singular_values")
    return f"{len(found)} singular values of the recurrence, from {written(max(found))} down to {written(min(found))}."


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
    return f"Singular values after {found['steps']} steps: they span {spread} decades, the effective rank is {rank}."


def _parameters(content: Content) -> str:
    found = look_up(content, "/gradient/parameters")
    nearest, farthest = (max(values[place] for values in found["log10"].values()) for place in (0, -1))
    reach = f"at most {written(nearest)} from lag 0 and {written(farthest)} from the lags up to {found['edges'][-1]}"
    return f"log10 norm of the gradient by parameter and band of lags: {reach}."


def _truncation(content: Content) -> str:
    found = look_up(content, "/gradient/parameters")
    small = [edge for edge, share in zip(found["edges"], found["beyond_apart"], strict=True) if share < 0.1]
    where = f"falls below 10 % at lag {small[0]}" if small else "stays above 10 % at every lag"
    return f"The share of the gradient from beyond a lag, taken apart so that nothing cancels, {where}."


def _along_time(content: Content) -> str:
    values = look_up(content, "/gradient/accumulated/median")
    omega = look_up(content, "/gradient/omega/value")
    ends = f"from {written(values[0])} at the first step to {written(values[-1])} at the last"
    return f"log10 of the accumulated gradient, {ends}." + ("" if omega is None else f" Ω is {written(omega)}.")


def _exponents(content: Content) -> str:
    found = content["lyapunov"]
    first, error = written(found["exponents"][0]), written(found["standard_errors"][0])
    return f"{len(found['exponents'])} {found['kind']} exponents; the largest is {first} ± {error} {found['unit']}."


def _running(content: Content) -> str:
    found = look_up(content, "/lyapunov/running")
    half, end = found["values"][len(found["values"]) // 2][0], found["values"][-1][0]
    return f"The estimate of λ₁ was {written(half)} half-way and is {written(end)} after {found['steps'][-1]} steps."


def _finite_time(content: Content) -> str:
    found = look_up(content, "/lyapunov/finite_time")
    values = np.asarray(found["values"], dtype=np.float64)
    return f"Growth rates over {found['lag']} steps: {int((values > 0).sum())} of {len(values)} stretches grow."


def _gate_means(content: Content) -> str:
    named = look_up(content, "/gates/named")
    means = ", ".join(f"{name} {written(named[name]['mean'])}" for name in sorted(named))
    return f"The mean of every unit of every gate; over all units: {means}."


def _time_constants(content: Content) -> str:
    named, required = look_up(content, "/gates/named"), content["subject"]["required_lag"]
    values = [value for name in sorted(named) for value in named[name]["time_constants"] or ()]
    reach = sum(value >= required for value in values)
    return f"{reach} of {len(values)} units remember for the required lag of {required} steps or longer."


def _training(content: Content) -> str:
    training = content["training"]
    loss, norms = training.get("loss") or [np.nan], training.get("gradient_norm") or [np.nan]
    events = len(training["non_finite"])
    return (
        f"Over {len(training['epochs'])} epochs the loss went from {written(loss[0])} to {written(loss[-1])} and the "
        f"norm of the gradient from {written(norms[0])} to {written(norms[-1])}; {events} steps were not finite."
    )


def _fixed_points(content: Content) -> str:
    found = content["fixed_points"]
    stable, slow = sum(found["stable"]), sum(kind == "slow" for kind in found["kinds"])
    count = len(found["points"])
    return f"{count} points: {stable} stable, {count - stable} unstable; {slow} of them are slow points."


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
