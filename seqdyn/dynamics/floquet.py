"""Floquet multipliers of an invariant curve: how small deviations from it grow in one turn.

    Q_{t+1} R_t = qr(J(ωt) Q_t),   ln |μ_i| = (1/ω) ⟨ln |R_t,ii|⟩

The mean of a smooth function along a quasi-periodic run converges faster than any power of time, if its weights vanish
with all derivatives at both ends.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqdyn.dynamics.held import Field
from seqdyn.dynamics.invariant_curve import Curve, curve_through
from seqdyn.dynamics.lyapunov import Frame

AVERAGED_STEPS = (1000, 20_000)
"""Steps along a curve that its multipliers are averaged over: thirty turns or more, within these bounds."""

TRIVIAL = 1e-6
"""So near to 1 is the multiplier of a shift along the curve, once the average has settled."""


def curve_multipliers(field: Field, curve: Curve, rotation: float, k: int) -> Tensor:
    """The moduli of at most k Floquet multipliers of an invariant curve, F(h(θ)) = h(θ + ω), the largest first.

    The average goes on until one of them is 1: that of a shift along the curve.
    """
    frame, slopes = Frame(1, field.width, min(k, field.width)), _jacobians(field, curve)
    rates = torch.zeros(0, min(k, field.width), dtype=torch.float64)
    steps = max(AVERAGED_STEPS[0], math.ceil(30 / rotation))
    while True:
        theta = rotation * torch.arange(len(rates), min(steps, AVERAGED_STEPS[1]), dtype=torch.float64)
        for chunk in theta.split(max(1, field.rows_at_once // 4)):
            along = slopes.at(chunk % 1).unflatten(1, (field.width, field.width))
            rates = torch.cat([rates, frame.carry(along.unsqueeze(0))[0]])
        found = (_mean(rates[len(rates) // 5 :]) / rotation).exp()
        if (found - 1).abs().min() < TRIVIAL or len(rates) >= AVERAGED_STEPS[1]:
            return found.sort(descending=True).values.to(torch.complex128)
        steps = 2 * len(rates)


def _mean(rates: Tensor) -> Tensor:
    """The mean over time, (k,), with weights that vanish with all derivatives at both ends."""
    place = (torch.arange(len(rates), dtype=torch.float64) + 1) / (len(rates) + 1)
    weight = torch.exp(4 - 1 / (place * (1 - place))).unsqueeze(1)
    dead = rates == -math.inf
    mean = (weight * torch.where(dead, 0.0, rates)).sum(0) / weight.sum()
    return torch.where(dead.any(0), -math.inf, mean)


def _jacobians(field: Field, curve: Curve) -> Curve:
    """J(θ), which closes as the curve does, as n² numbers with twice its harmonics."""
    theta = curve.padded(2 * curve.harmonics).grid()
    found = torch.cat([field.jacobian(chunk) for chunk in field.chunks(curve.at(theta))]).flatten(1)
    return curve_through(found, torch.zeros(found.shape[1], dtype=torch.float64))
