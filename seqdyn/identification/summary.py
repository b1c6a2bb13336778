"""One screen of text about a linear system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seqdyn.identification.channels import channel_names
from seqdyn.identification.lasting_modes import LASTING, lasting, without_undriven_modes

if TYPE_CHECKING:
    from seqdyn.identification.system import LinearSystem


MOST_ROWS_SHOWN = 10
"""Poles and outputs that a summary has room for."""

MOST_COLUMNS_SHOWN = 6
"""Inputs and zeros that it has room for."""

UNKNOWN_ERROR = "± unknown"
"""Instead of a standard error that is infinite."""

STEPS_AHEAD = 10
"""Steps of the longer forecast whose error it tells."""


def summarise(system: LinearSystem) -> str:
    """Sizes, poles, zeros, static gains, noise and estimation of a LinearSystem, as far as they are known."""
    parts = [
        _heading(system),
        _poles(system),
        _zeros(system),
        _gains(system),
        _noise(system),
        _estimation_lines(system),
    ]
    text = "\n\n".join("\n".join(lines) for lines in parts if lines)
    if not system.has_standard_errors():
        return text
    return f"{text}\n\n± one standard error{'; unknown: the data do not tell it' * (UNKNOWN_ERROR in text)}"


def _heading(system: LinearSystem) -> list[str]:
    """Sizes and stability; a drift of the outputs is reported apart."""
    sizes = f"{_counted(system.inputs, 'input')}, {_counted(system.outputs, 'output')}, order {system.order}"
    drift = _drift(system)
    forgets = system.is_stable() and system.input_output_part() is system
    stable = "stable" if drift or forgets else f"not stable (spectral radius {system.spectral_radius():.6g})"
    first = f"Linear system: {sizes}, dt = {system.dt:g} {system.time_unit}".rstrip() + f"; {stable}"
    if not drift:
        return [first]
    return [f"{first}, with a drift of the outputs", f"drift: {_counted(drift, 'pole')} at 1 that no input reaches"]


def _drift(system: LinearSystem) -> int:
    """Poles at 1 that no input reaches; 0 if there are others, too, that do not decay."""
    part = system.input_output_part()
    unreached = len(without_undriven_modes(system.transition, system.input_map)[0]) == part.order
    at_one = np.allclose(lasting(system.poles()), 1, rtol=0, atol=1 - LASTING)
    return system.order - part.order if part.is_stable() and unreached and at_one else 0


def _poles(system: LinearSystem) -> list[str]:
    """A row a real pole or pair, slowest first; those at 0 are only counted."""
    poles, constants, periods = system.poles(), system.time_constants(), system.periods()
    errors = system.pole_standard_errors() if system.has_standard_errors() else None
    shown = [i for i, pole in enumerate(poles) if pole.imag >= 0 and pole != 0]
    still = int((poles == 0).sum())
    unit = f", {system.time_unit}" if system.time_unit else ""
    rows = [["pole", "modulus", f"time constant{unit}", f"period{unit}"]]
    for i in shown[:MOST_ROWS_SHOWN]:
        pair = f" ± {poles[i].imag:.4g}i" if poles[i].imag else ""
        modulus = _with_error(abs(poles[i]), None if errors is None else errors.modulus[i])
        constant = _with_error(constants[i], None if errors is None else errors.time_constant[i])
        rows.append([f"{poles[i].real:.4g}{pair}", modulus, constant, _number(periods[i])])
    more = [f"and {len(shown) - MOST_ROWS_SHOWN} more"] if len(shown) > MOST_ROWS_SHOWN else []
    at_zero = [f"{_counted(still, 'pole')} at 0"] if still else []
    return (_aligned(rows) if shown else []) + more + at_zero


def _zeros(system: LinearSystem) -> list[str]:
    zeros = [zero for zero in system.zeros() if zero.imag >= 0]
    written = [f"{zero.real:.4g}" + (f" ± {zero.imag:.4g}i" if zero.imag else "") for zero in zeros]
    rest = ["…"] if len(written) > MOST_COLUMNS_SHOWN else []
    return [f"zeros: {', '.join(written[:MOST_COLUMNS_SHOWN] + rest)}"] if written else []


def _gains(system: LinearSystem) -> list[str]:
    """Outputs × inputs."""
    if not system.inputs:
        return []
    try:
        gains = system.dc_gain()
    except ValueError:
        return ["static gain: none, there is a pole at 1"]
    errors = system.standard_error(type(system).dc_gain) if system.has_standard_errors() else np.full(gains.shape, None)
    sources = channel_names(system.input_names, system.inputs, "input")
    goals = channel_names(system.output_names, system.outputs, "output")
    rows = [["static gain", *sources[:MOST_COLUMNS_SHOWN]]]
    for goal, own, sure in zip(goals[:MOST_ROWS_SHOWN], gains, errors, strict=False):
        rows.append([goal, *(_with_error(*pair) for pair in zip(own[:MOST_COLUMNS_SHOWN], sure, strict=False))])
    return (
        _aligned(rows)
        + _left_out(system.outputs - MOST_ROWS_SHOWN, "output")
        + _left_out(system.inputs - MOST_COLUMNS_SHOWN, "input")
    )


def _noise(system: LinearSystem) -> list[str]:
    """Standard deviations of the errors of forecasts."""
    if system.noise_covariance is None:
        return []
    covariances, ahead = [system.noise_covariance], ["1 step ahead"]
    if system.noise_gain is not None:
        covariances.append(system.prediction_covariance(STEPS_AHEAD)[-1])
        ahead.append(f"{STEPS_AHEAD} steps ahead")
    deviations = np.sqrt(np.array([np.diag(covariance) for covariance in covariances]))
    rows = [["standard deviation of errors", *ahead]]
    goals = channel_names(system.output_names, system.outputs, "output")
    for goal, own in zip(goals[:MOST_ROWS_SHOWN], deviations.T, strict=False):
        rows.append([goal, *(_number(value) for value in own)])
    return _aligned(rows) + _left_out(system.outputs - MOST_ROWS_SHOWN, "output")


def _estimation_lines(system: LinearSystem) -> list[str]:
    told = system.estimation
    if told is None:
        return []
    return [
        f"estimated for {told.focus}: {_counted(told.steps, 'step')}, {_counted(told.parameters, 'parameter')}",
        f"log-likelihood {told.log_likelihood:.1f}, AIC {told.aic:.1f}, BIC {told.bic:.1f}, FPE {told.fpe:.4g}",
    ]


def _with_error(value: float, error: float | None) -> str:
    """The value with as many digits as two digits of its standard error have."""
    if error is None or math.isnan(error) or not math.isfinite(value) or error <= 0:
        return _number(value)
    if math.isinf(error):
        return f"{_number(value)} {UNKNOWN_ERROR}"
    last = 1 - math.floor(math.log10(float(f"{error:.1e}")))
    if not 0 <= last <= 6:
        return f"{_number(value)} ± {error:.2g}"
    return f"{value:.{last}f} ± {error:.{last}f}"


def _number(value: float) -> str:
    """Four digits; a dash for what there is none of."""
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _left_out(count: int, noun: str) -> list[str]:
    return [f"and {_counted(count, f'more {noun}')}"] if count > 0 else []


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two spaces apart, the first left-aligned where it holds names, all others right-aligned."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    names = rows[0][0] != "pole"
    return [
        "  ".join(
            cell.ljust(width) if names and not place else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
