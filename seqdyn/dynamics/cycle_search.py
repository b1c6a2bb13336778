"""Search for a limit cycle: run the map, test whether it repeats itself or turns on a curve, and refine the result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.dynamics.angles import TURN, Lifted, angles_of
from seqdyn.dynamics.certificate import certified, newton_steps
from seqdyn.dynamics.descent import damped_descent
from seqdyn.dynamics.floquet import curve_multipliers
from seqdyn.dynamics.held import Field
from seqdyn.dynamics.invariant_curve import TAIL, Curve, curve_through, invariant_curve, least_squares_curve
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.dynamics.periodic_orbit import Orbit, orbit_size, periodic_orbit, recurrence
from seqdyn.dynamics.rotation import leading_frequency, resolved_harmonics, rotation_candidates
from seqdyn.loops import scan
from seqdyn.state import flatten, hold, unflatten

FIRST_WINDOW = 1024
"""Steps of the first window that is looked at; as many are walked before it."""

NEAR = 1e-2
"""A fit that leaves more of a run than this is no beginning for Newton's method."""

GAIN = 0.9
"""What is left of a run after a fit of twice as many harmonics, if they are worth it."""

RESTS = 1e-6
"""A run that varies less than this, relative to 1 + max |h|, is at rest."""

PATIENCE = 2048
"""Steps of the first window that is asked whether it is chaotic."""

GROWTH = 15.0
"""Nats by which neighbours part in a run that is called chaotic."""


class Found(NamedTuple):
    """The result of a search: the fields of a :class:`~seqdyn.dynamics.limit_cycles.LimitCycle`."""

    kind: str
    rotation: float
    steps: int | None
    curve: Curve
    output_curve: Curve
    points: Tensor
    multipliers: Tensor
    residual: float


def found_cycle(field: Field, start: Tensor, steps: int, harmonics: int, tolerance: float, k: int) -> Found:
    """Find the limit cycle that a run from a given state (1, n) ends on; an error says what there is instead.

    The walk has at most ``steps`` steps, 2048 or more, a closed curve at most ``harmonics`` harmonics, and a
    quasi-periodic cycle at most k multipliers. The residual has to reach ``tolerance``.

    Examples
    --------
    The logistic map at r = 3.2 repeats itself after two steps, at (r + 1 ± √((r + 1)(r − 3))) / 2r:

    >>> from seqdyn.dynamics.held import held_input
    >>> from seqdyn.systems.logistic import Logistic
    >>> field = Field(Logistic(3.2), held_input(Logistic(3.2), None))
    >>> found = found_cycle(field, torch.full((1, 1), 0.3, dtype=torch.float64), 2048, 8, 1e-10, 1)
    >>> found.kind, found.steps, [round(float(h), 4) for h in found.points.flatten().sort().values]
    ('periodic', 2, [0.513, 0.7995])
    """
    best = math.inf
    for run in _growing_windows(field, start, steps):
        _check_moving(field, run)
        step = Lifted(field, angles_of(field, run))
        run = step.unwound(run)
        orbit = _orbit(step, run, tolerance)
        if orbit is not None and orbit.isolated:
            return _periodic_cycle(step, orbit)
        curve, rotation, error = _curve(step, run, harmonics, tolerance)
        if error <= tolerance:
            return _quasi_periodic(step, curve, rotation, error, k)
        if orbit is not None:
            return _periodic_cycle(step, orbit)
        best = min(best, error)
        if len(run) >= PATIENCE and error == math.inf:
            _check_regular(field, run)
    nearest = f" (the nearest one to {best:.2g})" if best < math.inf else ""
    raise ValueError(
        f"{field.name} is not periodic within {steps} steps: no p steps repeat themselves, and no closed curve of "
        f"{harmonics} harmonics is invariant to tolerance={tolerance:g}{nearest}. Give it more "
        f"harmonics, harmonics={2 * harmonics}, more steps to settle, steps={2 * steps}, or a larger tolerance. "
        "It may also turn at several frequencies at once."
    )


def _growing_windows(field: Field, start: Tensor, steps: int) -> Iterator[Tensor]:
    """The second halves of runs of doubling length, (time, n)."""
    length, walked = FIRST_WINDOW, 0
    while walked + 2 * length <= steps:
        run = _walked_steps(field, start, 2 * length, walked)
        start, walked = run[-1:], walked + 2 * length
        yield run[length:]
        length *= 2


@torch.no_grad()
def _walked_steps(field: Field, start: Tensor, count: int, walked: int) -> Tensor:
    """The states of some steps, (count, n)."""
    run: Tensor = scan(
        field.cell,
        hold(field.x, count),
        unflatten(start, field.like),
        record=lambda x, before, y, after: flatten(after),
    ).record[0]
    lost = ~run.isfinite().all(1)
    if lost.any():
        raise ValueError(
            f"{field.name} is not finite any more at step {walked + int(lost.int().argmax())} of the walk: it escapes. "
            "Begin in the basin of the cycle (state=…), or look at the weights and at x."
        )
    return run


def _check_moving(field: Field, run: Tensor) -> None:
    """Raise if a run rests, or is about to."""
    size = 1 + float(run.abs().max())
    early, late = (float(part.std(0).max()) for part in (run[: len(run) // 4], run[-len(run) // 4 :]))
    if late > RESTS * size and late > 0.5 * early:
        return
    h = damped_descent(field, run[-1:], 1e-10, 200)
    gap, jacobian = field.gap(h), field.jacobian(h)
    there = float(gap.abs().max()) <= 1e-10 * size and bool(certified(h, newton_steps(h, gap, jacobian)))
    if there and float((h - run[-1]).abs().max()) <= max(10 * late, RESTS * size):
        leading = float(torch.linalg.eigvals(jacobian).abs().max())
        where = ", ".join(f"{value:.4g}" for value in h[0, :6].tolist()) + (", …" if h.shape[1] > 6 else "")
        raise ValueError(
            f"{field.name} comes to rest at the fixed point ({where}), whose largest eigenvalue has the modulus "
            f"{leading:.6g}: there is no cycle from here. fixed_points describes it; begin elsewhere (state=…), or "
            "hold another x."
        )


def _orbit(step: Lifted, run: Tensor, tolerance: float) -> Orbit | None:
    """The periodic orbit that a run repeats, if it does."""
    period = recurrence(step, run)
    if period is None or period < 2:
        return None
    orbit = periodic_orbit(step, run[-1], period, orbit_size(step, run), tolerance)
    return orbit if orbit.residual <= tolerance else None


def _curve(step: Lifted, run: Tensor, harmonics: int, tolerance: float) -> tuple[Curve, float, float]:
    """The curve that a run turns on, its rotation number, and how well it is invariant."""
    angle = torch.where(step.angles, run, 0.0)
    plain = torch.where(step.angles, 0.0, run)
    frequency = leading_frequency(torch.cat([plain, torch.where(step.angles, angle.cos(), 0.0), angle.sin()], 1))
    best = Curve(torch.zeros(2, run.shape[1], dtype=torch.complex128), torch.zeros(run.shape[1])), 0.0, math.inf
    if frequency * len(run) < 3:
        return best
    for rotation in rotation_candidates(frequency):
        curve, rotation, error = _curve_through(step, run, rotation, harmonics)
        if error < NEAR:
            return _refined_curve(step, curve, rotation, harmonics, tolerance)
    return best


def _curve_through(step: Lifted, run: Tensor, rotation: float, harmonics: int) -> tuple[Curve, float, float]:
    """The curve through a run, with as many harmonics as it needs."""
    rate = (run[-1] - run[0]) / (len(run) - 1) / TURN
    winding = torch.where(step.angles, (rate / rotation).round(), 0.0)
    most = resolved_harmonics(rotation, len(run), harmonics)
    number = min(8, most)
    curve, rotation, error = least_squares_curve(run, rotation, winding, number)
    while 1e-13 < error < (0.5 if number < 32 else 0.1) and number < most and curve.tail > TAIL:
        number = min(2 * number, most)
        tried = least_squares_curve(run, rotation, winding, number)
        if tried[2] > GAIN * error:  # what is left is no harmonic
            break
        curve, rotation, error = tried
    return curve, rotation, error


def _refined_curve(
    step: Lifted, curve: Curve, rotation: float, harmonics: int, tolerance: float
) -> tuple[Curve, float, float]:
    """Make the curve invariant, adding harmonics as long as they are needed."""
    amplitude = float(curve.amplitude.max())
    while True:
        curve, rotation, error = invariant_curve(step, curve, rotation, tolerance)
        if error <= tolerance or curve.harmonics >= harmonics or curve.tail < TAIL:
            break
        curve = curve.padded(min(2 * curve.harmonics, harmonics))
    kept = float(curve.amplitude.max()) > 0.1 * amplitude  # a fixed point is an invariant curve, too
    return curve, rotation, error if kept else math.inf


def _periodic_cycle(step: Lifted, orbit: Orbit) -> Found:
    """A periodic cycle; its curve is the trigonometric interpolation of its points."""
    points, turns, count = orbit.points, orbit.turns, len(orbit.points)
    phases = torch.arange(count, dtype=torch.float64) * turns / count
    last = step(points[-1:])[0]
    winding = torch.where(step.angles, ((last - points[0]) / (TURN * turns)).round(), 0.0)
    outputs = _output_curve(step.field, points).roll(1, 0)
    return Found(
        kind="periodic",
        rotation=turns / count,
        steps=count,
        curve=_interpolated(points, phases, winding),
        output_curve=_interpolated(outputs, phases, torch.zeros(outputs.shape[1], dtype=torch.float64)),
        points=points,
        multipliers=orbit.multipliers,
        residual=orbit.residual,
    )


def _interpolated(values: Tensor, phases: Tensor, winding: Tensor) -> Curve:
    """The curve through values at equally spread phases in any order; an even number of them halves the last term."""
    count = len(values)
    k = torch.arange(count // 2 + 1, dtype=torch.float64).unsqueeze(1)
    periodic = (values - TURN * phases.unsqueeze(1) * winding).to(torch.complex128)
    coefficients = torch.exp(-2j * math.pi * k * phases) @ periodic / count
    if count % 2 == 0:
        coefficients[-1] /= 2
    return Curve(coefficients, winding)


def _quasi_periodic(step: Lifted, curve: Curve, rotation: float, error: float, k: int) -> Found:
    """A cycle that turns on a curve, in the direction in which ω is at most ½."""
    theta = curve.grid()
    outputs = _output_curve(step.field, curve.at(theta - rotation))
    output_curve = curve_through(outputs, torch.zeros(outputs.shape[1], dtype=torch.float64))
    if rotation % 1 > 0.5:
        rotation, curve, output_curve = -rotation, _reversed(curve), _reversed(output_curve)
    return Found(
        kind="quasi-periodic",
        rotation=rotation % 1,
        steps=None,
        curve=curve,
        output_curve=output_curve,
        points=curve.at(theta),
        multipliers=curve_multipliers(step.field, curve, rotation % 1, k),
        residual=error,
    )


def _reversed(curve: Curve) -> Curve:
    return Curve(curve.coefficients.conj().resolve_conj(), -curve.winding)


@torch.no_grad()
def _output_curve(field: Field, h: Tensor) -> Tensor:
    """The outputs of one step from every row, (m, outputs)."""
    return flatten(field.cell(*field.rows(h))[0])


def _check_regular(field: Field, run: Tensor) -> None:
    """Raise if a run is clearly chaotic."""
    count = min(len(run), 5000)
    spectrum = lyapunov_spectrum(field.cell, hold(field.x, count), unflatten(run[-1:], field.like), k=1, k_adjoint=0)
    rate, error = float(spectrum.exponents[0]), float(spectrum.standard_errors[0])
    if rate > 5 * error and rate * count > GROWTH:
        raise ValueError(
            f"{field.name} is chaotic from here: its largest Lyapunov exponent is {rate:.3g} ± {error:.1g} nats a "
            "step. It settles on no cycle; lyapunov_spectrum describes it."
        )
