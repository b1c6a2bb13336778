"""Invariant curves of a map, on which it is a rigid rotation: F(h(θ)) = h(θ + ω), by Fourier collocation.

    h(θ) = 2π w θ + Σ_k c_k e^{2πikθ},   |k| ≤ N,   θ in turns

w counts the turns of components that are angles. The unknowns are the values at 2N + 1 phases and ω. Newton's step,

    v(θ + ω) + δω h'(θ + ω) − J(θ) v(θ) = F(h(θ)) − h(θ + ω),   ⟨h', v⟩ = 0

is found by GMRES. Along the curve the operator is only a shift, which Fourier coefficients invert: its preconditioner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, gmres
from torch import Tensor

from seqdyn.dynamics.angles import TURN, Lifted

CURVE_ITERATIONS = 15
"""Of Newton's method, at most."""

KRYLOV = 120
"""Iterations of GMRES in a step of Newton's, at most: a step that falls short is one on the way."""

SPARE = 0.01
"""Of the tolerance, at which Newton's method ends."""

DIVISOR = 1e-7
"""|e^{2πikω} − 1| below which a harmonic of the phase is left as it is: the curve may be passed at any pace there."""

SAMPLES = 2048
"""Steps of a run that a fit uses, at most."""

TAIL = 1e-12
"""The last harmonics of a curve that is resolved are this small, relative to its size."""


@dataclass(frozen=True)
class Curve:
    """A closed curve of states.

    Attributes
    ----------
    coefficients : Tensor of complex128, shape (N + 1, n)
        c_0 … c_N.
    winding : Tensor, shape (n,)
        w, whole numbers.
    """

    coefficients: Tensor
    winding: Tensor

    @property
    def harmonics(self) -> int:
        """N."""
        return len(self.coefficients) - 1

    def at(self, theta: Tensor) -> Tensor:
        """h(θ), (m, n), at phases θ (m,) in turns."""
        waves = _waves(theta, self.harmonics)
        periodic = 2 * (waves @ self.coefficients).real - self.coefficients[0].real
        return periodic + TURN * theta.unsqueeze(1) * self.winding

    def slope(self, theta: Tensor) -> Tensor:
        """dh/dθ, (m, n)."""
        k = torch.arange(self.harmonics + 1, dtype=torch.float64).unsqueeze(1)
        return 2 * (_waves(theta, self.harmonics) @ (2j * math.pi * k * self.coefficients)).real + TURN * self.winding

    def grid(self) -> Tensor:
        """2N + 1 phases from 0 to 1."""
        count = 2 * self.harmonics + 1
        return torch.arange(count, dtype=torch.float64) / count

    @property
    def amplitude(self) -> Tensor:
        """Root mean square of every component around its mean, or around its steady turning, (n,)."""
        return (2 * self.coefficients[1:].abs().square().sum(0)).sqrt()

    @property
    def tail(self) -> float:
        """The last two harmonics, relative to the curve's size."""
        size = float(self.amplitude.max()) + float(self.winding.abs().max())
        return float(self.coefficients[-2:].abs().max()) / size

    def padded(self, harmonics: int) -> Curve:
        """The same curve with room for more harmonics."""
        more = self.coefficients.new_zeros(harmonics - self.harmonics, self.coefficients.shape[1])
        return Curve(torch.cat([self.coefficients, more]), self.winding)


def curve_through(values: Tensor, winding: Tensor) -> Curve:
    """The curve with given values (2N + 1, n) at equal steps of the phase from 0 on."""
    count = len(values)
    theta = torch.arange(count, dtype=torch.float64).unsqueeze(1) / count
    return Curve(torch.fft.rfft(values - TURN * theta * winding, dim=0) / count, winding)


def least_squares_curve(run: Tensor, rotation: float, winding: Tensor, harmonics: int) -> tuple[Curve, float, float]:
    """The curve on which a run (time, n) turns by ω a step, by least squares, ω itself, and the error.

    The error is the root mean square of what is left, relative to the curve's size.
    """
    time = _sampled(len(run))
    run = run[time]
    time = time.double()
    for _ in range(6):
        waves = _waves(rotation * time, harmonics)
        drift = TURN * (rotation * time).unsqueeze(1) * winding
        design = torch.cat([waves.real, -waves.imag[:, 1:]], 1)
        parts = torch.linalg.lstsq(design, run - drift, driver="gelsy").solution
        curve = Curve(_complex_coefficients(parts, harmonics), winding)
        left = run - drift - design @ parts
        pull = time.sub(time.mean()).unsqueeze(1) * curve.slope(rotation * time)
        change = float((pull * left).sum() / pull.square().sum())
        rotation += change
        if abs(change) * len(run) < 1e-13:
            break
    size = float((curve.amplitude.square().sum() + (TURN * winding).square().sum()).sqrt())
    return curve, rotation, float(left.square().sum(1).mean().sqrt()) / size


def _sampled(count: int) -> Tensor:
    """A subset of many steps, unevenly spaced."""
    if count <= SAMPLES:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:SAMPLES].sort().values


def invariant_curve(step: Lifted, curve: Curve, rotation: float, tolerance: float) -> tuple[Curve, float, float]:
    """Newton's method on the invariance equation, from a nearly invariant curve: the curve, ω and the residual."""
    best = curve, rotation, residual(step, curve, rotation)
    for _ in range(CURVE_ITERATIONS):
        if best[2] <= SPARE * tolerance:
            break
        curve, rotation = _newton(step, curve, rotation)
        error = residual(step, curve, rotation)
        if not error < 2 * best[2]:
            break
        gained = error < 0.5 * best[2]
        best = min(best, (curve, rotation, error), key=lambda each: each[2])
        if not gained:
            break
    return best


def residual(step: Lifted, curve: Curve, rotation: float) -> float:
    """max |F(h(θ)) − h(θ + ω)| between the phases of the grid, relative to the largest amplitude."""
    theta = curve.grid() + 0.37 / (2 * curve.harmonics + 1)
    gap = step.short(step(curve.at(theta)) - curve.at(theta + rotation))
    size = max(float(curve.amplitude.max()), float(curve.winding.abs().max()))
    return float(gap.abs().max()) / size


def _newton(step: Lifted, curve: Curve, rotation: float) -> tuple[Curve, float]:
    """One step: the curve and the rotation number moved."""
    theta, shape = curve.grid(), (2 * curve.harmonics + 1, curve.coefficients.shape[1])
    values, tangent, ahead = curve.at(theta), curve.slope(theta), curve.slope(theta + rotation)
    scale = curve.amplitude + curve.winding.abs()
    scale = scale.clamp_min(1e-3 * float(scale.max()))
    gap = step.short(step(values) - curve.at(theta + rotation)) / scale
    jacobian = step.field.jacobian(values) * scale / scale.unsqueeze(1)
    tangent, ahead = tangent / scale, ahead / scale
    weight = 1 / math.sqrt(shape[0])

    def joined(v: Tensor, change: Tensor) -> np.ndarray:
        return torch.cat([v.flatten(), change.reshape(1)]).numpy()

    def operate(vector: np.ndarray) -> np.ndarray:
        v, change = torch.from_numpy(vector[:-1]).reshape(shape), float(vector[-1])
        moved = _rotated(v, rotation) + change * ahead - (jacobian @ v.unsqueeze(2)).squeeze(2)
        return joined(moved, weight * (tangent * v).sum())

    def precondition(vector: np.ndarray) -> np.ndarray:
        r = torch.from_numpy(vector[:-1]).reshape(shape)
        along = (r * ahead).sum(1) / ahead.square().sum(1)
        across = _rotated(r - along.unsqueeze(1) * ahead, -rotation)
        phase = _unshifted(along - along.mean(), rotation)
        start = (vector[-1] / weight - (tangent * across).sum()) / tangent.square().sum()
        phase = phase + start - (phase * tangent.square().sum(1)).sum() / tangent.square().sum()
        return joined(across + phase.unsqueeze(1) * tangent, along.mean())

    size = shape[0] * shape[1] + 1
    right = joined(gap, torch.zeros(1, dtype=gap.dtype))
    operator, inverse = (LinearOperator((size, size), part, dtype=np.float64) for part in (operate, precondition))
    found, _ = gmres(operator, right, rtol=1e-4, restart=min(size, KRYLOV), maxiter=1, M=inverse)
    change = torch.from_numpy(found[:-1]).reshape(shape) * scale
    return curve_through(values + change, curve.winding), rotation + float(found[-1])


def _rotated(values: Tensor, rotation: float) -> Tensor:
    """v(θ + ω) at the phases of the grid, from v there, (2N + 1, n)."""
    spectrum = torch.fft.rfft(values, dim=0)
    k = torch.arange(len(spectrum), dtype=torch.float64).unsqueeze(1)
    return torch.fft.irfft(spectrum * torch.exp(2j * math.pi * rotation * k), n=len(values), dim=0)


def _unshifted(values: Tensor, rotation: float) -> Tensor:
    """α with α(θ + ω) − α(θ) = values, (2N + 1,), of mean 0; harmonics that the shift leaves unchanged are left out."""
    spectrum = torch.fft.rfft(values)
    k = torch.arange(len(spectrum), dtype=torch.float64)
    divisor = torch.exp(2j * math.pi * rotation * k) - 1
    seen = divisor.abs() > DIVISOR
    return torch.fft.irfft(torch.where(seen, spectrum / torch.where(seen, divisor, 1.0), 0.0), n=len(values))


def _waves(theta: Tensor, harmonics: int) -> Tensor:
    """e^{2πikθ}, (m, N + 1)."""
    return torch.exp(2j * math.pi * theta.unsqueeze(1) * torch.arange(harmonics + 1, dtype=torch.float64))


def _complex_coefficients(parts: Tensor, harmonics: int) -> Tensor:
    """Complex coefficients from those of cosine and sine, (2N + 1, n)."""
    cosine, sine = parts[: harmonics + 1] / 2, parts[harmonics + 1 :] / 2
    sine = torch.cat([torch.zeros_like(sine[:1]), sine])
    return torch.complex(torch.cat([2 * cosine[:1], cosine[1:]]), sine)
