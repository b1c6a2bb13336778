"""A random tanh network, h_t = tanh(g J h_{t-1}) with J_ij of variance 1/N: order below g = 1, chaos above it.

For N → ∞ the largest Lyapunov exponent is known from a mean field: ln g up to g = 1, then 0.065 at 1.5 and 0.155 at 2,
in nats per step. Networks of 300 units, three of each, come close to it. The sign decides about gradients in a closed
loop: above 1 those of a distant past explode, whatever the loss, and clipping does not make them useful.
"""

import math

import torch

from seqdyn import Elman
from seqdyn.dynamics import lyapunov_spectrum

UNITS, STEPS = 300, 600
MEAN_FIELD = {0.5: math.log(0.5), 0.9: math.log(0.9), 1.5: 0.06522, 2.0: 0.15472}


def exponent(g: float, seed: int) -> float:
    """λ₁ of one network, from two random starts."""
    generator = torch.Generator().manual_seed(seed)
    cell = Elman(0, UNITS).double()  # no input: it runs by itself
    with torch.no_grad():
        cell.recurrent_weight.normal_(0, g / math.sqrt(UNITS), generator=generator)
    state = cell.initial_state(2)
    state = state._replace(h=torch.randn(2, UNITS, generator=generator, dtype=torch.float64))
    return float(lyapunov_spectrum(cell, state=state, steps=STEPS, k=1, k_adjoint=0).exponents[0])


def main() -> None:
    print("  g    λ₁ of three networks      mean   N → ∞   a factor e in")
    for g, expected in MEAN_FIELD.items():
        found = [exponent(g, seed) for seed in range(3)]
        mean = sum(found) / len(found)
        shown = " ".join(f"{value:7.3f}" for value in found)
        print(f"{g:4.1f}  {shown}  {mean:7.3f} {expected:7.3f}   {abs(1 / mean):.1f} steps")
        assert all((value > 0) == (g > 1) for value in found)
        assert abs(mean - expected) < 0.06


if __name__ == "__main__":
    main()
