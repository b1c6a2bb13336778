"""How long a memory is, by every definition in use.

They differ because they ask different questions: how fast differences die, how far an error reaches, what float32 can
still add, how long a gate holds, how many inputs a readout can recall.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.dynamics.capacity import MemoryCapacity, memory_capacity
from seqdyn.dynamics.gates import GateStatistics, gate_statistics
from seqdyn.dynamics.gradients import GradientByLag, OutputLoss, accumulated_gradient, gradient_by_lag
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.dynamics.trajectory import double, rows_of
from seqdyn.dynamics.transitions import TransitionNorms, transition_norms
from seqdyn.state import State, flatten, leaves

if TYPE_CHECKING:
    from seqdyn.cell import Cell

FLOAT_EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}
"""The smallest number that 1 notices."""

REACHED = 1e-10
"""‖δ‖ from which a step counts as reached (Pascanu's script: ‖δ‖² ≥ 1e-20)."""


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Horizon(NamedTuple):
    """The length of a memory by one definition.

    Attributes
    ----------
    steps : float
        In steps; NaN where it does not apply.
    at_least : bool
        Whether it ends where the measurement did: the memory may be longer.
    definition : str
    """

    steps: float
    at_least: bool
    definition: str


def memory_horizons(
    cell: Cell,
    x: Any,
    state: State | None = None,
    *,
    loss: OutputLoss | None = None,
    epsilon: float = 0.01,
    seed: int = 0,
) -> dict[str, Horizon]:
    """Measure how long a cell remembers along a trajectory, by every definition.

    Parameters
    ----------
    cell : Cell
        It is not changed.
    x : Tensor, shape (batch, time, inputs)
    state : State, optional
        h_{-1}; the cell's initial state if None.
    loss : callable, optional
        As in :func:`~seqdyn.dynamics.gradients.gradient_by_lag`; the horizons of its gradient are left out if None.
    epsilon : float in (0, 1)
        ε: what share still counts as remembered.
    seed : int
        Of the inputs that measure the capacity.

    Returns
    -------
    dict of Horizon
        By name: ``"lyapunov"``, ``"products"``, ``"products, float32"``, …;
        :func:`horizon_table` defines them.

    Examples
    --------
    With γ = 1/2 a hundredth is left after 6 to 7 steps, whatever the input:

    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> found = memory_horizons(ExponentialMovingAverage(1, gamma=0.5), torch.ones(1, 64, 1), loss=lambda y: y)
    >>> round(found["products"].steps, 2), found["gradient"].steps, round(found["lyapunov"].steps, 2)
    (7.64, 7.0, 1.44)
    """
    gradient = None if loss is None else gradient_by_lag(cell, x, loss, state)
    accumulated = None if loss is None else accumulated_gradient(cell, x, loss, state)
    leading = lyapunov_spectrum(cell, x, state, k=1)
    capacity = None
    rows = flatten(rows_of(double(x)))
    if rows.shape[1] and rows.is_floating_point():  # with tokens there is no correlation
        capacity = memory_capacity(cell, mean=rows.mean(0), scale=rows.std(0, correction=0), seed=seed)
    time = leaves(x)[0].shape[1]
    lags = sorted({time, *(2**power for power in range(time.bit_length()))})
    return horizon_table(
        transition_norms(cell, x, state, lags=lags, starts=64),
        float(leading.exponents[0]),
        gradient,
        accumulated,
        gate_statistics(cell, x, state),
        capacity,
        epsilon=epsilon,
    )


def horizon_table(
    norms: TransitionNorms,
    exponent: float,
    gradient: GradientByLag | None = None,
    accumulated: Tensor | None = None,
    gates: dict[str, GateStatistics] | None = None,
    capacity: MemoryCapacity | None = None,
    *,
    epsilon: float = 0.01,
) -> dict[str, Horizon]:
    """Tabulate the lengths of a memory from what the instruments of these names have measured; None is left out.

    ``exponent`` is λ₁ in nats per step, ``epsilon`` ε in (0, 1). The table holds, in steps:

    ``lyapunov``, −1/λ₁; ``products``, the longest k with median ‖P_{s,s+k}‖ ≥ ε of that at k = 1, between measured
    lags on a straight line in ln ‖P‖; ``gradient``, the longest k with median ‖g_{t-k}‖ ≥ ε ‖g_{t-1}‖; both again
    with the rounding of float32 and float64 in place of ε; ``reached``, for how many steps t the
    errors from t on bring ‖δ_{t-1}‖ ≥ 10⁻¹⁰ to h_{t-1}, E_{t-1} not among them; ``centroid``, Σ k w_k / Σ w_k with
    w_k the median ‖g_{t-k}‖; ``<gate>``, the median of −1/ln f̄ over units, and ``<gate>, slowest tenth``, what a
    tenth of them exceeds; ``capacity``, Σ r²(k).
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon must lie in (0, 1), got {epsilon}.")
    shares = {"": epsilon} | {f", {name}": share for name, share in FLOAT_EPSILON.items()}
    found = {"lyapunov": Horizon(-1 / exponent if exponent < 0 else math.nan, False, "−1/λ₁, if λ₁ < 0")}
    found |= _of_products(norms, shares)
    found |= {} if gradient is None else _of_gradient(gradient, shares)
    found |= {} if accumulated is None else _of_accumulated(accumulated)
    found |= _of_gates(gates or {})
    if capacity is not None:
        found["capacity"] = Horizon(capacity.total, False, "Σ r²(k) over all lags k, inputs a linear readout recalls")
    return found


def _of_products(norms: TransitionNorms, shares: dict[str, float]) -> dict[str, Horizon]:
    lags, curve = torch.tensor(norms.lags, dtype=torch.float64), norms.median - norms.median[0]
    text = "the longest k with median ‖P‖ over k steps ≥ {} of that over one"
    return {
        f"products{name}": Horizon(*_last_above(lags, curve, math.log(share)), text.format(_in_powers(share)))
        for name, share in shares.items()
    }


def _of_gradient(gradient: GradientByLag, shares: dict[str, float]) -> dict[str, Horizon]:
    curve = gradient.quantiles((0.5,))[:, 0]
    found = {}
    for name, share in shares.items():
        last, at_least = _last_above(gradient.lags.double(), curve, math.log(share))
        text = f"the longest k with median ‖gₜ₋ₖ‖ ≥ {_in_powers(share)} ‖gₜ₋₁‖"
        found[f"gradient{name}"] = Horizon(last if math.isnan(last) else float(math.floor(last)), at_least, text)
    known = curve.nan_to_num(-math.inf)
    weights = (known - known.max()).exp()
    centroid = float((weights * gradient.lags).sum() / weights.sum())
    return found | {"centroid": Horizon(centroid, False, "Σ k wₖ / Σ wₖ with wₖ = median ‖gₜ₋ₖ‖")}


def _of_accumulated(accumulated: Tensor) -> dict[str, Horizon]:
    text = f"steps t with ‖δₜ₋₁‖ ≥ {_in_powers(REACHED)} by the errors from t on, without Eₜ₋₁ (after Pascanu)"
    reached = float((accumulated >= math.log(REACHED)).double().sum(1).mean())
    return {"reached": Horizon(reached, reached == accumulated.shape[1], text)}


def _of_gates(gates: dict[str, GateStatistics]) -> dict[str, Horizon]:
    found = {}
    for name, gate in gates.items():
        if gate.time_constants is not None:
            middle, slow = gate.quantiles((0.5, 0.9)).tolist()
            text = "−1/ln f̄ of {}, f̄ the geometric mean of the gate"
            found[name] = Horizon(middle, False, text.format("the median unit"))
            found[f"{name}, slowest tenth"] = Horizon(slow, False, text.format("the unit nine of ten stay below"))
    return found


def _in_powers(value: float) -> str:
    """A number above 0 as it is set in print: 0.01, and 1.2·10⁻⁷ below a thousandth."""
    digits, power = f"{value:.1e}".split("e")
    if int(power) >= -3:
        return f"{value:.3g}"
    factor = "" if float(digits) == 1 else f"{float(digits):g}·"
    return f"{factor}10{str(int(power)).translate(SUPERSCRIPTS)}"


def _last_above(lags: Tensor, curve: Tensor, level: float) -> tuple[float, bool]:
    """The last lag at which a curve of logarithms is above a level, on straight lines; and whether it ends there."""
    known = ~curve.isnan()
    lags, curve = lags[known], curve[known]
    above = (curve >= level).nonzero().flatten()
    if not len(above):
        return math.nan, False
    last = int(above[-1])
    if last + 1 == len(curve):
        return float(lags[last]), True
    high, low = float(curve[last]), float(curve[last + 1])
    share = 0.0 if math.isinf(low) else (high - level) / (high - low)
    return float(lags[last] + share * (lags[last + 1] - lags[last])), False
