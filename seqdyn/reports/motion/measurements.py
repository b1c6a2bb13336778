"""The measurements of a motion report, as one plain dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.dynamics.limit_cycles import LimitCycle, limit_cycle
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.dynamics.neuron_forces import clamp, memory, neurons
from seqdyn.held import Held
from seqdyn.loops import scan
from seqdyn.motion.model import MotionModel
from seqdyn.motion.rhythms import Rhythm, rhythm
from seqdyn.progress import Callback, track
from seqdyn.state import State, flatten, leaves, map_leaves, take, unflatten

MotionContent = dict[str, Any]

NOISE = 0.5
"""How far the perturbed starts are from the motion, in standard deviations of every state variable."""

FREQUENCY_TOLERANCE = 0.02
"""A motion has returned if its frequency differs by at most this share, and its amplitudes by 5 times as much."""

AT_REST = 0.01
"""A motion smaller than this, in rad, is at rest."""

LEADING_EXPONENTS = 3
"""How many exponents are measured."""

GROWTH_NATS, LONGEST_RUN = 8.0, 20_000
"""A growth by so many nats leaves any range; a run is followed for no more steps than these."""

MULTIPLIERS = 4
"""How many multipliers the report has."""


MEASURED_LAST = ("cycle", "exponents", "points", "neurons", "back")
"""The sections of the report that need a free run that stays in its range."""


def measure_motion(
    model: MotionModel,
    drive: Any,
    start: Any,
    steps: int,
    starts: int,
    seed: int,
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> MotionContent:
    """Measure a motion model; see :func:`seqdyn.motion_report`. A section that was not measured is None."""
    cell = model.autonomous(drive)
    run = model.run(drive, start, steps, record=lambda x, before, output, after: after)
    settled = map_leaves(lambda leaf: leaf[:, steps // 2 :], run.record)
    last = map_leaves(lambda leaf: leaf[:, -1], run.record)
    stays = not model.strays(run.angles).any()
    free = _rhythm_of(model, run.angles.values[steps // 2 :]) if stays else None
    content: MotionContent = {
        "subject": _described_model(model, drive, steps),
        "stays": stays,
        "angles": run.angles.values.tolist(),
        "rhythm": None if free is None else _rhythm_content(free),
        **dict.fromkeys(MEASURED_LAST),
    }
    if free is None:
        return content
    if np.isnan(free.frequency):
        raise ValueError(
            f"steps={steps}, of which half is measured, cover less than two turns of the rhythm: give more."
        )
    instruments: dict[str, Callable[[], Any]] = {
        "cycle": lambda: _cycle_content(cell, last, model.rate),
        "exponents": lambda: _exponent_content(cell, last, model.rate, content["cycle"], seed),
        "points": lambda: _point_content(cell, starts, seed),
        "neurons": lambda: _neuron_content(model, settled, free, drive, start, steps),
        "back": lambda: _return_content(model, cell, settled, free, steps, starts, seed),
    }
    for name in track(MEASURED_LAST, "report", "section", verbose=verbose, callback=callback, describe=str):
        content[name] = instruments[name]()
    if content["exponents"] is not None:
        leading = content["exponents"]["values"][0]
        content["stays"] = content["cycle"]["found"] or _stays(model, drive, start, leading)
    return content


def _described_model(model: MotionModel, drive: Any, steps: int) -> MotionContent:
    held = [] if drive is None else [float(value) for value in np.atleast_1d(drive)]
    return {
        "model": f"MotionModel({type(model.estimator_).__name__}), {len(neurons(model.cell_))} neurons",
        "joints": list(model.angles_),
        "rate": float(model.rate),
        "drive": dict(zip(model.drives_, held, strict=True)),
        "steps": steps,
        "unit": model.unit,
    }


def _rhythm_of(model: MotionModel, values: Array) -> Rhythm:
    """The rhythm of a run, in the unit of the model."""
    return rhythm(values, model.rate, still=AT_REST if model.unit == "radians" else float(np.rad2deg(AT_REST)))


def _rhythm_content(free: Rhythm) -> MotionContent:
    return {
        "frequency": free.frequency,
        "wave": free.wave(),
        "travelling_index": free.travelling_index(),
        "offset": free.offset.tolist(),
        "amplitude": free.amplitude.tolist(),
        "lags": free.lags().tolist(),
    }


def _cycle_content(cell: Held, state: State, rate: float) -> MotionContent:
    """The limit cycle, or why none was found."""
    try:
        found = limit_cycle(cell, state=state, dt=1 / rate)
    except ValueError as error:
        return {"found": False, "why": str(error)}
    return {
        "found": True,
        "kind": found.kind,
        "frequency": found.frequency,
        "period_in_steps": found.period_in_steps,
        "residual": found.residual,
        "stable": found.stable,
        "multipliers": found.multipliers.abs()[:MULTIPLIERS].tolist(),
        "slowest": float(found.transverse.abs().max()) if len(found.transverse) else 0.0,
        "exponents": found.exponents[:LEADING_EXPONENTS].tolist(),
        "recovery": _recovery(found),
        "lags": found.lags().tolist(),
    }


def _recovery(cycle: LimitCycle) -> float:
    """Seconds until a deviation from the cycle has decayed to 1 %; inf if it does not decay."""
    slowest = float(cycle.transverse.abs().max()) if len(cycle.transverse) else 0.0
    span = cycle.period if cycle.steps is None else cycle.steps * cycle.dt
    return span * float(np.log(0.01) / np.log(slowest)) if 0 < slowest < 1 else (0.0 if slowest == 0 else float("inf"))


def _exponent_content(cell: Held, state: State, rate: float, cycle: MotionContent, seed: int) -> MotionContent:
    """The leading exponents: exactly those of the cycle, if one was found, else the means along a run."""
    if cycle["found"]:
        values = cycle["exponents"]
        return {"values": values, "errors": [0.0] * len(values), "of": "the cycle"}
    count = min(LEADING_EXPONENTS, flatten(state).shape[1])
    found = lyapunov_spectrum(cell, state=state, steps=2000, k=count, dt=1 / rate, k_adjoint=0, seed=seed)
    return {"values": found.exponents.tolist(), "errors": found.standard_errors.tolist(), "of": "a run"}


def _stays(model: MotionModel, drive: Any, start: Any, leading: float) -> bool:
    """Whether a run stays in its range for as long as a growth at the leading exponent needs to leave it."""
    if leading <= 0:
        return True
    steps = min(LONGEST_RUN, 32 + round(GROWTH_NATS / leading * model.rate))
    return not bool(model.strays(model.run(drive, start, steps).angles).any())


def _point_content(cell: Held, starts: int, seed: int) -> MotionContent:
    found = fixed_points(cell, starts=starts, seed=seed)
    return {
        "kinds": dict(Counter(found.kinds)),
        "stable": int(found.stable.sum()),
        "slow": int(found.slow.sum()),
        "index": found.index.tolist(),
        "newton_step": float(found.newton_step.max()) if len(found) else 0.0,
        "rejected": found.rejected,
        "starts": found.starts,
    }


def _neuron_content(
    model: MotionModel, settled: State, free: Rhythm, drive: Any, start: Any, steps: int
) -> MotionContent | None:
    """The changes of amplitudes and frequency while one neuron is held at its mean over the free run."""
    names = neurons(model.cell_)
    if not names or free.frequency == 0:
        return None
    inner = memory(settled)
    means = torch.cat([leaf.flatten(2) for leaf in leaves(inner)], 2).mean((0, 1))
    rows = {name: np.where(np.arange(len(names)) == place, float(means[place]), np.nan)[:, None]
            for place, name in enumerate(names)}  # fmt: skip
    run = model.run(drive, start, steps, clamp(model.cell_, rows), copies=len(names)).angles.values
    angles = run.reshape(len(names), steps, -1)[:, steps // 2 :]
    amplitude = np.full((len(names), len(free.amplitude)), np.nan)
    frequency = np.full(len(names), np.nan)
    for place, held in enumerate(angles):
        if not model.strays(held).any():
            found = _rhythm_of(model, held)
            amplitude[place], frequency[place] = found.amplitude, found.frequency
    return {
        "names": names,
        "amplitude": ((amplitude - free.amplitude) / max(float(free.amplitude.max()), 1e-9)).tolist(),
        "frequency": (frequency / max(free.frequency, 1e-9) - 1).tolist(),
    }


def _return_content(
    model: MotionModel, cell: Held, settled: State, free: Rhythm, steps: int, starts: int, seed: int
) -> MotionContent:
    """The share of perturbed starts from which the motion returns."""
    generator = torch.Generator().manual_seed(seed)
    path = map_leaves(lambda leaf: leaf[0], settled)
    flat = flatten(path)
    chosen = torch.randint(len(flat), (starts,), generator=generator)
    moved = flat[chosen] + NOISE * flat.std(0) * torch.randn(starts, flat.shape[1], generator=generator).to(flat)
    with torch.no_grad():
        output = scan(cell, cell.alone(starts, steps), unflatten(moved, take(path, [0]))).output
    angles = model.predictor_.decode(output)[:, steps // 2 :]
    found = [_rhythm_of(model, one) for one in angles if np.isfinite(one).all()]
    near = [
        abs(one.frequency - free.frequency) <= FREQUENCY_TOLERANCE * free.frequency
        and bool((np.abs(one.amplitude - free.amplitude) <= 5 * FREQUENCY_TOLERANCE * free.amplitude.max()).all())
        for one in found
    ]
    return {"share": sum(near) / starts, "starts": starts, "noise": NOISE}
