"""Statistics of a cell's gates along a trajectory, and the time constants they imply.

    c_t = f_t ∘ c_{t-1} + …   ⇒   c_0 is worth ∏ f_t after t steps = e^{−t/τ},   τ = −1 / ln f̄,   f̄ = (∏ f_t)^{1/t}

Time constants are in steps. Sums are kept, not values: memory does not grow with time.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.dynamics.trajectory import Stretch, Trajectory
from seqdyn.facts import shown_by_shape
from seqdyn.state import State, map_leaves, named_leaves

if TYPE_CHECKING:
    from seqdyn.cell import Cell

RUN_AT_ONCE = 2**25
"""Steps times n² that are run at a time: no Jacobian is formed here."""
KEEPING = ("forget", "update")
"""Gates that multiply the memory: the LSTM's f, the GRU's z."""
SATURATED_ENDS = (0.05, 0.95)
"""Below and above, a gate in [0, 1] is closed or open."""
CANDIDATE_ENDS = (-0.99, 0.99)
"""The same of a candidate in [−1, 1], and of a hidden unit."""
PROBED = 64
"""Steps on which is seen what the cell's own numbers compute."""


@shown_by_shape
class GateStatistics(NamedTuple):
    """One gate along a trajectory, over all steps of all sequences.

    Attributes
    ----------
    mean : Tensor, shape (hidden,)
        The arithmetic mean of every unit.
    low, high : Tensor, shape (hidden,)
        The share of values, in [0, 1], near the lower and the upper end of the range: below 0.05 and above 0.95 for a
        gate, below −0.99 and above 0.99 for a candidate.
    time_constants : Tensor, shape (hidden,), or None
        τ = −1 / ln f̄ in steps, with f̄ the geometric mean; infinite for a gate that is always 1, 0 for one that ever
        is 0. None for a gate that does not multiply the memory.
    """

    mean: Tensor
    low: Tensor
    high: Tensor
    time_constants: Tensor | None = None

    @property
    def saturated(self) -> Tensor:
        """The share of values near either end, where no gradient comes through, (hidden,)."""
        return self.low + self.high

    @property
    def total_low(self) -> float:
        """The share of all units' values near the lower end."""
        return float(self.low.mean())

    @property
    def total_high(self) -> float:
        """The share of all units' values near the upper end."""
        return float(self.high.mean())

    @property
    def total_saturated(self) -> float:
        """The share of all units' values near either end."""
        return self.total_low + self.total_high

    def quantiles(self, levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> Tensor:
        """Quantiles of the time constants over the units, (levels,); each is that of a unit, so that ∞ does no harm.

        Raises
        ------
        ValueError
            If the gate has no time constants.
        """
        if self.time_constants is None:
            raise ValueError(f"This gate multiplies no memory; time constants are those of {' or '.join(KEEPING)}.")
        return torch.quantile(self.time_constants, self.time_constants.new_tensor(levels), interpolation="nearest")


@shown_by_shape
class Saturation(NamedTuple):
    """The hidden units along a trajectory, over all steps of all sequences.

    Attributes
    ----------
    saturated : Tensor, shape (hidden,)
        The share of values with |h| > 0.99. It means something of activations within ±1; see ``bounded``.
    largest : Tensor, shape (hidden,)
        The largest |h| of any step.
    """

    saturated: Tensor
    largest: Tensor

    @property
    def dead(self) -> Tensor:
        """Whether the unit was 0 at every step, as a relu that no input reaches, (hidden,)."""
        return self.largest == 0

    @property
    def bounded(self) -> bool:
        """Whether all values lay within ±1, as those of tanh do; only then do values near ±1 count as saturated."""
        return bool((self.largest <= 1).all())

    @property
    def total_saturated(self) -> float:
        """The share of all units' values with |h| > 0.99."""
        return float(self.saturated.mean())

    @property
    def total_dead(self) -> float:
        """The share of units that are dead."""
        return float(self.dead.double().mean())


def gate_statistics(cell: Cell, x: Any, state: State | None = None) -> dict[str, GateStatistics]:
    """Measure the gates of a cell along a driven trajectory.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed. Its names for the gates are those of ``cell.gates``.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None.

    Returns
    -------
    dict of str to GateStatistics
        By name, ``"forget"``, or ``"1.forget"`` in the second layer of a stack; empty for a cell without gates.

    Raises
    ------
    ValueError
        If the input or the state does not fit the cell.

    Notes
    -----
    The names decide what is measured: gates called ``forget`` and ``update`` multiply the memory and get time constants
    (the GRU's is that of the path h_{t-1} → z ∘ h_{t-1} alone), one called ``candidate`` lies in [−1, 1].

    f̄ is the geometric mean, since what is kept is the product: a gate that alternates between 1 and 0.01 keeps 10 % a
    step, not 50 %. Time constants above 1e15 steps are rounding.

    References
    ----------
    Tallec & Ollivier (2018), Can recurrent neural networks warp time?

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.lstm import LSTM
    >>> cell = LSTM(2, 3)
    >>> for weight in (cell.input_weight, cell.recurrent_weight):
    ...     _ = torch.nn.init.zeros_(weight)
    >>> gate_statistics(cell, torch.zeros(1, 50, 2))["forget"].time_constants
    tensor([3.1922, 3.1922, 3.1922], dtype=torch.float64)
    """
    sums: dict[str, Tensor] = {}
    count = 0
    for stretch in _level_runs(cell, x, state):
        count += stretch.states().shape[:2].numel()
        for name, values in stretch.recorded(stretch.cell.gates).items():
            found = _sums(_kind_of_gate(name), values)
            sums[name] = sums[name] + found if name in sums else found
    return {name: _statistics(_kind_of_gate(name), total / count) for name, total in sums.items()}


def saturation(cell: Cell, x: Any, state: State | None = None) -> dict[str, Saturation]:
    """Measure how often the hidden units of a cell stand at ±1, and which are always 0.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such
    state : State, optional
        h_{-1}; the cell's initial state if None. It is not counted.

    Returns
    -------
    dict of str to Saturation
        By the name of the part of the state: ``"h"``, ``"c"``, or ``"1.h"`` in the second layer of a stack. Only parts
        that hold units: what a step computes with the cell's parameters or buffers. Inputs that are kept, counters and
        flags are none. Where a cell has no such part, as a moving average or a function without weights, all count.

    Raises
    ------
    ValueError
        If the input or the state does not fit the cell.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.elman import Elman
    >>> dull = Elman(1, 2, activation="relu")
    >>> _ = torch.nn.init.constant_(dull.bias, -9.0)
    >>> saturation(dull, torch.zeros(1, 5, 1))["h"].dead
    tensor([True, True])
    """
    beyond: dict[str, Tensor] = {}
    largest: dict[str, Tensor] = {}
    count, units = 0, frozenset[str]()
    for stretch in _level_runs(cell, x, state):
        count, units = count + stretch.states().shape[:2].numel(), units or _units(stretch)
        for name, leaf in named_leaves(stretch.after):
            if name not in units:
                continue
            name, sizes = name or "state", leaf.flatten(0, 1).flatten(1).abs()
            beyond[name] = beyond.get(name, 0) + (sizes > CANDIDATE_ENDS[1]).double().sum(0)
            largest[name] = torch.maximum(largest.get(name, sizes[0]), sizes.amax(0))
    return {name: Saturation(beyond[name] / count, largest[name]) for name in beyond}


def time_constant(gate: Tensor | float) -> Tensor:
    """The time constant of a constant gate, τ = −1 / ln f: after τ steps a share of 1/e is left.

    Parameters
    ----------
    gate : Tensor or float
        f, in [0, 1].

    Returns
    -------
    Tensor of float64
        τ, in steps: 0 for f = 0, infinite for f = 1.

    Raises
    ------
    ValueError
        If a value is outside [0, 1].

    Examples
    --------
    >>> time_constant(torch.sigmoid(torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)))
    tensor([ 1.4427,  3.1922,  7.8785, 20.5815], dtype=torch.float64)
    """
    values = torch.as_tensor(gate, dtype=torch.float64)
    _check_range("gate", values, (values >= 0) & (values <= 1), "in [0, 1]: the gate itself, not what goes into σ")
    return 1 / values.log().abs()


def forget_bias_for(time_constant: Tensor | float) -> Tensor:
    """The bias of a forget gate for a given time constant, b = ln (1 / (e^{1/τ} − 1)) ≈ ln (τ − ½).

    Parameters
    ----------
    time_constant : Tensor or float
        τ, in steps, above 0.

    Returns
    -------
    Tensor of float64
        b, with τ = −1 / ln σ(b). Of torch's two biases it is the sum.

    Raises
    ------
    ValueError
        If a value is not above 0.

    Examples
    --------
    >>> forget_bias_for(100.0)
    tensor(4.6002, dtype=torch.float64)
    """
    values = torch.as_tensor(time_constant, dtype=torch.float64)
    _check_range("time_constant", values, values > 0, "above 0, in steps")
    rate = 1 / values
    return -rate - (-torch.expm1(-rate)).log()  # −ln (e^r − 1), which overflows at no r


def needed_time_constant(lag: int, log10_share: float) -> float:
    """The time constant that keeps a share 10^s of the memory over a lag K: τ with e^{−K/τ} = 10^s.

    Where nothing may be lost, from s = 0 on, the lag itself comes back.
    """
    return -lag / (log10_share * math.log(10)) if log10_share < 0 else float(lag)


def keeping(gates: Mapping[str, GateStatistics]) -> dict[str, GateStatistics]:
    """The gates that multiply the memory, and so have time constants."""
    return {name: gate for name, gate in gates.items() if gate.time_constants is not None}


def slowest(gates: Mapping[str, GateStatistics]) -> float:
    """The time constant that a tenth of the units exceed, in the slowest layer; NaN if no gate has one."""
    return max((float(gate.quantiles((0.9,))[0]) for gate in keeping(gates).values()), default=math.nan)


def most_closed(gates: Mapping[str, GateStatistics]) -> tuple[str, float]:
    """The gate most often at an end of its range, and how often: a gate that keeps the memory may well be open."""
    shares = {
        name: gate.total_saturated if gate.time_constants is None else gate.total_low for name, gate in gates.items()
    }
    return max(shares.items(), key=lambda pair: pair[1])


def _level_runs(cell: Cell, x: Any, state: State | None) -> Iterator[Stretch]:
    return Trajectory(cell, x, state, numbers=RUN_AT_ONCE).forward()


def _units(stretch: Stretch) -> frozenset[str]:
    """The parts of the state that a step computes with the cell's own numbers; all of them if it has none.

    The others only hold what came in, or count: they are not differentiable by any of these numbers.
    """
    cell = copy.deepcopy(stretch.cell)
    for own in (*cell.parameters(), *cell.buffers()):
        own.requires_grad_(own.is_floating_point())
    x, before = (map_leaves(lambda leaf: leaf[0, :PROBED], tree) for tree in (stretch.x, stretch.before))
    with torch.enable_grad():
        parts = list(named_leaves(cell(x, before)[1]))
    return frozenset([name for name, leaf in parts if leaf.requires_grad] or [name for name, _ in parts])


def _kind_of_gate(name: str) -> str:
    """The name of a gate without those of the layers it is in."""
    return name.rpartition(".")[2]


def _sums(kind: str, values: Tensor) -> Tensor:
    """Sums over batch and time of the value, of low and high, and of ln f, (4, hidden)."""
    lower, upper = CANDIDATE_ENDS if kind == "candidate" else SATURATED_ENDS
    logs = values.log() if kind in KEEPING else torch.zeros_like(values)
    return torch.stack([values, (values < lower).to(values), (values > upper).to(values), logs]).sum((1, 2))


def _statistics(kind: str, means: Tensor) -> GateStatistics:
    mean, low, high, log = means
    return GateStatistics(mean, low, high, 1 / log.abs() if kind in KEEPING else None)


def _check_range(name: str, values: Tensor, fits: Tensor, expected: str) -> None:
    if not fits.all():
        raise ValueError(f"{name} must be {expected}; got {values[~fits].flatten()[0].item():g}.")
