"""One step of the classical Runge–Kutta method, for the systems given by a differential equation."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def runge_kutta(flow: Callable[[Tensor, float], Tensor], h: Tensor, dt: float) -> Tensor:
    """h(t + dt) from h(t) and dh/dt = flow(h, s), of fourth order; s in {0, ½, 1} is the share of dt that has passed.

    References
    ----------
    Kutta (1901), Beitrag zur näherungsweisen Integration totaler Differentialgleichungen.
    """
    first = flow(h, 0.0)
    second = flow(h + dt / 2 * first, 0.5)
    third = flow(h + dt / 2 * second, 0.5)
    fourth = flow(h + dt * third, 1.0)
    return h + dt / 6 * (first + 2 * second + 2 * third + fourth)
