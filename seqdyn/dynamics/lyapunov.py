"""Lyapunov exponents: the mean rates at which small deviations grow or die along a trajectory.

Q_t R_t = qr(J_t Q_{t-1}),   λ_i = lim (1/T) Σ_t ln |R_t,ii|
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.arrays import EPSILON
from seqdyn.checks import is_int
from seqdyn.dynamics.closed_loop import run_plan
from seqdyn.dynamics.trajectory import Stretch, Trajectory
from seqdyn.facts import shown_by_facts
from seqdyn.state import State

if TYPE_CHECKING:
    from seqdyn.cell import Cell

CHECKPOINTS = 200
"""Points of the convergence curve, at most."""

BLOCKS = 20
"""Sub-trajectories whose means give the standard errors; sequences count, so that blocks are as long as can be."""

SUM_RULE_GAP = 1e-6
"""How far Σ ln |R_ii| may be from ln |det J|, in nats, at any step."""

RESOLVED = 0.1 * SUM_RULE_GAP
"""A step tells whether they agree if rounding, ε ‖J‖ ‖J⁻¹‖, parts them by less than this."""

TRANSIENT = 10.0
"""Nats, over all steps, that the two ends of a trajectory may cost an exponent."""


class SelfCheck(NamedTuple):
    """One self-check.

    Attributes
    ----------
    name : str
    value, threshold : float
    passed : bool
        value ≤ threshold.
    meaning : str
        What is compared with what.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    meaning: str


@shown_by_facts
@dataclass(frozen=True, repr=False)
class LyapunovSpectrum:
    """Lyapunov exponents and how well they are known.

    Rates are in nats per step, or per unit of time where ``dt`` says how long a step is.

    Attributes
    ----------
    exponents : Tensor, shape (k,)
        λ_1 ≥ λ_2 ≥ …, the mean over the batch. −∞ where deviations die within finitely many steps (a singular
        Jacobian: dead relus, shift registers, the output of a closed loop).
    standard_errors : Tensor, shape (k,)
        Of the exponents, from the means over blocks, 20 or as many as there are sequences: their standard deviation
        over the root of their number. It takes the blocks to be longer than what the dynamics remember. 0 for an
        exponent of −∞, inf where there is only one block.
    per_sequence : Tensor, shape (batch, k)
        The exponents of every sequence, in the order of ``exponents``.
    running : Tensor, shape (checkpoints, k)
        The exponents as they were after ``running_steps`` measured steps.
    running_steps : Tensor of int, shape (checkpoints,)
        At most 200.
    kind : {"conditional", "autonomous"}
        Conditional exponents are those of a cell driven by an input: how fast *its state* is forgotten while the
        input stays the same. Autonomous ones are those of a system left to itself; a flow has one of 0.
    steps : int
        Measured steps of every sequence, without the burn-in.
    dt : float
        The time a step covers.
    width : int
        n, the width of the state; ``k == n`` is the whole spectrum.
    sum_rule_residual : float
        max_t |Σ_i ln |R_t,ii| − ln |det J_t||, nats, over every third stretch of steps, and in it over those whose
        determinant float64 resolves to 1e-7: ε ‖J_t‖ ‖J_t⁻¹‖ ≤ 1e-7 with Frobenius norms, singular values that span
        less than nine decades. NaN if there is no such step, as under saturated gates or dead relus, or if k < n.
    adjoint_gap : float
        How far the leading exponents are from those found backward in time with Jᵀ; NaN if these were left out.
    """

    exponents: Tensor
    standard_errors: Tensor
    per_sequence: Tensor
    running: Tensor
    running_steps: Tensor
    kind: str
    steps: int
    dt: float
    width: int
    sum_rule_residual: float
    adjoint_gap: float

    def facts(self) -> dict[str, object]:
        """What a line or a small table shows: the leading exponents with their errors, and how they were measured."""
        pairs = zip(self.exponents[:3].tolist(), self.standard_errors[:3].tolist(), strict=True)
        leading = ", ".join(f"{value:.4g} ± {error:.2g}" for value, error in pairs)
        rest = f" and {len(self.exponents) - 3} more" if len(self.exponents) > 3 else ""
        return {"kind": self.kind, "exponents": leading + rest, "unit": self.unit, "steps": self.steps}

    @property
    def unit(self) -> str:
        """``"nats per step"``, or ``"nats per unit of time"`` if dt is not 1."""
        return "nats per step" if self.dt == 1 else "nats per unit of time"

    @property
    def lyapunov_time(self) -> float:
        """1/λ_1, where λ_1 > 0: the time in which neighbours part by a factor e. In steps, or units of dt.

        It is a time of divergence, inf if λ_1 ≤ 0. Where neighbours meet, λ_1 < 0, the time in which a difference dies
        is −1/λ_1, the horizon ``"lyapunov"`` of :func:`~seqdyn.dynamics.memory_length.memory_horizons`.
        """
        leading = float(self.exponents[0])
        return 1 / leading if leading > 0 else math.inf

    @property
    def entropy(self) -> float:
        """The sum of the positive exponents, an upper bound of the Kolmogorov–Sinai entropy (Pesin: equal to it).

        Of those that were measured: complete once the last of them is not positive.
        """
        return float(self.exponents.clamp_min(0).sum())

    @property
    def kaplan_yorke(self) -> float:
        """The Kaplan–Yorke dimension: D = j + Σ_{i≤j} λ_i / |λ_{j+1}|, j the last with Σ_{i≤j} λ_i ≥ 0.

        0 if λ_1 < 0, n if no sum is negative; NaN if too few exponents were measured to know j.
        """
        sums = self.exponents.cumsum(0)
        held = int((sums >= 0).to(torch.int).cumprod(0).sum())
        if held == len(sums):
            return float(held) if held == self.width else math.nan
        return held + (float(sums[held - 1] / self.exponents[held].abs()) if held else 0.0)

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks())

    def checks(self) -> tuple[SelfCheck, ...]:
        """The self-checks that were possible.

        *sum rule*: the exponents of a step add up to its ln |det J|, at steps where it is resolved. *adjoint*: backward
        in time, with Jᵀ, the leading exponents are the same within four standard errors and what the two ends of the
        trajectory cost (10 nats over all steps). *settled*: λ_1 half way is λ_1 within the same.
        """
        slack = 4 * float(self.standard_errors[0]) + TRANSIENT / (self.steps * self.dt)
        half = int(torch.searchsorted(self.running_steps, (self.steps + 1) // 2).clamp_max(len(self.running) - 1))
        drift = float(_gap(self.running[half, 0], self.exponents[0]))
        found = [
            ("sum rule", self.sum_rule_residual, SUM_RULE_GAP, "Σ ln |R_ii| against ln |det J|, nats, the worst step"),
            ("adjoint", self.adjoint_gap, math.sqrt(2) * slack, f"forward against backward in time, {self.unit}"),
            ("settled", drift, slack, f"λ_1 half way against λ_1, {self.unit}"),
        ]
        return tuple(
            SelfCheck(name, value, threshold, value <= threshold, meaning)
            for name, value, threshold, meaning in found
            if not math.isnan(value)
        )


def lyapunov_spectrum(
    cell: Cell,
    x: Any = None,
    state: State | None = None,
    *,
    steps: int | None = None,
    k: int | None = None,
    burn_in: int | None = None,
    dt: float = 1.0,
    last: Tensor | None = None,
    k_adjoint: int = 1,
    seed: int = 0,
) -> LyapunovSpectrum:
    """Lyapunov exponents: Q_t R_t = qr(J_t Q_{t-1}), λ_i = mean_t ln |R_t,ii|.

    Driven by x they are *conditional* ones (λ_1 < 0: the echo-state property, the state is forgotten). Without x they
    are *autonomous* ones: of a cell without input left to itself, else of the cell on its own output, x_t = y_{t-1},
    whose state is then (h, y); see :class:`~seqdyn.autoregression.OwnPast`.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, *inputs), or a tree of such, optional
        What drives it.
    state : State, optional
        h_{-1}; the cell's initial state if None. Several rows are several sequences, measured side by side at little
        more than the cost of one.
    steps : int, optional
        How many steps to walk, burn-in included. All of x if None; needed without x.
    k : int in [1, n], optional
        How many leading exponents; all n if None. A step costs O(n²k), and O(n³) for the checks of all n.
    burn_in : int, optional
        Leading steps that carry no weight, in which the state reaches its attractor and Q its directions. If None a
        tenth of the steps, at least 100, at most half of them.
    dt : float > 0
        The time a step covers: 1 gives nats per step.
    last : Tensor, shape (batch, outputs), optional
        y_{-1}, for a closed loop; zeros if None.
    k_adjoint : int in [0, k]
        How many exponents to find again backward in time. 0 leaves this check out, which saves up to two thirds of the
        time where the step is what costs.
    seed : int
        Of the directions Q starts from.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    ValueError
        If an argument is out of range, a cell is to run alone and cannot, or the trajectory does not stay finite.

    Notes
    -----
    Memory does not grow with the number of steps. Re-orthonormalised at every step.

    An Elman network's state is h = φ(a). A stack's spectrum is the union of its layers' spectra. An entry |R_ii| that
    is not above the rounding error of its column counts as 0.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn (1980), Lyapunov characteristic exponents for smooth dynamical systems.
    Engelken (2023), Gradient flossing: improving gradient descent through dynamic control of Jacobians.

    Examples
    --------
    The Hénon map is chaotic, and contracts areas by 0.3 a step:

    >>> from seqdyn.systems.henon import Henon
    >>> spectrum = lyapunov_spectrum(Henon(), steps=5000)
    >>> bool(spectrum.exponents[0] > 0.4), spectrum.kind, spectrum.unit
    (True, 'autonomous', 'nats per step')
    >>> round(float(spectrum.exponents.sum().exp()), 12)
    0.3
    >>> spectrum.passed
    True
    """
    run = run_plan(cell, x, state, steps=steps, last=last)
    if not dt > 0:
        raise ValueError(f"dt, the time a step covers, must be positive, got {dt}.")
    trajectory = Trajectory(run.cell, run.x, run.state)
    k = checked_count("k", k, 1, trajectory.width, trajectory.width)
    k_adjoint = checked_count("k_adjoint", k_adjoint, 0, k, 0)
    tally = Tally(trajectory.batch, trajectory.time, chosen_burn_in(burn_in, trajectory.time), k)
    residual, jacobians = _measured_forward(trajectory, Frame(trajectory.batch, trajectory.width, k, seed), tally)
    order = tally.exponents().argsort(descending=True)
    exponents = tally.exponents()[order]
    backward = _adjoint_exponents(trajectory, jacobians, tally, k_adjoint, seed)
    return LyapunovSpectrum(
        exponents=exponents / dt,
        standard_errors=tally.standard_errors()[order] / dt,
        per_sequence=tally.per_sequence()[:, order] / dt,
        running=tally.running()[:, order] / dt,
        running_steps=tally.counts.cumsum(0),
        kind=run.kind,
        steps=tally.measured,
        dt=float(dt),
        width=trajectory.width,
        sum_rule_residual=residual if k == trajectory.width else math.nan,
        adjoint_gap=float(_gap(exponents[:k_adjoint], backward).max()) / dt if k_adjoint else math.nan,
    )


class Frame:
    """Orthonormal directions Q (batch, width, k) carried along by Jacobians: Q_t R_t = qr(J_t Q_{t-1}).

    It starts in random directions, the same for every row.
    """

    def __init__(self, batch: int, width: int, k: int, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        columns = [torch.randn(width, generator=generator, dtype=torch.float64) for _ in range(k)]  # alike for any k
        self.axes = torch.linalg.qr(torch.stack(columns, 1)).Q.expand(batch, -1, -1)

    def carry(self, jacobians: Tensor) -> Tensor:
        """Carry Q through J_1, J_2, …, (batch, steps, n, n); what comes back is ln |R_ii|, (batch, steps, k)."""
        if jacobians.shape[-1] == 1:
            return jacobians.squeeze(-1).abs().log()
        return self._one(jacobians) if self.axes.shape[-1] == 1 else self._many(jacobians)

    def _one(self, jacobians: Tensor) -> Tensor:
        """A single direction needs no QR. What has become 0 stays 0."""
        sizes = []
        for jacobian in jacobians.unbind(1):
            moved = jacobian @ self.axes
            sizes.append(torch.linalg.vector_norm(moved, dim=1, keepdim=True))
            self.axes = moved / sizes[-1].clamp_min(torch.finfo(torch.float64).tiny)
        return torch.cat(sizes, 1).log()

    def _many(self, jacobians: Tensor) -> Tensor:
        triangles = []
        for jacobian in jacobians.unbind(1):
            self.axes, triangle = torch.linalg.qr(jacobian @ self.axes)
            triangles.append(triangle)
        return log_diagonal(torch.stack(triangles, 1))


def log_diagonal(triangles: Tensor) -> Tensor:
    """ln |R_ii| of (…, k, k) upper triangles; −∞ where it is not above the rounding error of its column."""
    sizes = triangles.diagonal(dim1=-2, dim2=-1).abs()
    floor = triangles.shape[-1] * EPSILON * torch.linalg.vector_norm(triangles, dim=-2)
    return torch.where(sizes > floor, sizes, 0.0).log()


class Tally:
    """The sums of growth rates over a trajectory, (batch, checkpoints, k), and the steps in each checkpoint.

    Steps before ``burn_in`` carry no weight; ``measured`` ones are left.
    """

    def __init__(self, batch: int, time: int, burn_in: int, k: int):
        self.burn_in, self.measured = burn_in, time - burn_in
        checkpoints = min(CHECKPOINTS, self.measured)
        self.sums = torch.zeros(batch, checkpoints, k, dtype=torch.float64)
        self.counts = torch.zeros(checkpoints, dtype=torch.long)

    def add(self, start: int, rates: Tensor) -> None:
        """Count in the rates (batch, steps, k) of the steps from ``start`` on."""
        first = min(max(0, self.burn_in - start), rates.shape[1])
        steps = torch.arange(start + first, start + rates.shape[1])
        bins = (steps - self.burn_in) * len(self.counts) // self.measured
        self.sums.index_add_(1, bins, rates[:, first:])
        self.counts += torch.bincount(bins, minlength=len(self.counts))

    def exponents(self) -> Tensor:
        """The mean rates, (k,)."""
        return self.per_sequence().mean(0)

    def per_sequence(self) -> Tensor:
        """The mean rates of every sequence, (batch, k)."""
        return self.sums.sum(1) / self.measured

    def running(self) -> Tensor:
        """The mean rates up to each checkpoint, (checkpoints, k)."""
        return self.sums.mean(0).cumsum(0) / self.counts.cumsum(0).unsqueeze(1)

    def standard_errors(self) -> Tensor:
        """Of the mean rates, from the scatter of the means over blocks of time and over sequences."""
        batch, checkpoints, k = self.sums.shape
        blocks = min(-(-BLOCKS // batch), checkpoints)
        block = torch.arange(checkpoints) * blocks // checkpoints
        counts = torch.zeros(blocks, dtype=torch.long).index_add_(0, block, self.counts)
        sums = torch.zeros(batch, blocks, k, dtype=torch.float64).index_add_(1, block, self.sums)
        means = (sums / counts.unsqueeze(1)).flatten(0, 1)
        if len(means) == 1:
            return torch.where(self.exponents().isinf(), 0.0, torch.full((k,), math.inf, dtype=torch.float64))
        return torch.where(self.exponents().isinf(), 0.0, means.std(0)) / math.sqrt(len(means))


def checked_count(name: str, value: int | None, low: int, high: int, default: int) -> int:
    """Check that an int lies within bounds; None gives the default."""
    if value is None:
        return default
    if not is_int(value) or not low <= value <= high:
        raise ValueError(f"{name} must be an int from {low} to {high}, got {value!r}.")
    return int(value)


def chosen_burn_in(burn_in: int | None, time: int) -> int:
    """The burn-in asked for, or a tenth of the steps, at least 100, at most half of them."""
    return checked_count("burn_in", burn_in, 0, time - 1, min(max(100, time // 10), time // 2))


def finite_jacobians(stretch: Stretch) -> Tensor:
    """The Jacobians of a stretch, (batch, steps, n, n), or an error that says where they are not finite."""
    jacobians = stretch.jacobians()
    if not jacobians.isfinite().all() or not stretch.states().isfinite().all():
        good = jacobians.flatten(2).isfinite().all(-1) & stretch.states().isfinite().all(-1)
        sequence, step = (~good).nonzero()[(~good).nonzero()[:, 1].argmin()].tolist()
        raise ValueError(
            f"From step {stretch.start + step} on the trajectory of sequence {sequence} is not finite: it escapes or "
            "overflows. Start in the basin of an attractor (state=…), or look at the weights and at x."
        )
    return jacobians


def _measured_forward(trajectory: Trajectory, frame: Frame, tally: Tally) -> tuple[float, Tensor]:
    """Forward in time: the largest breach of the sum rule, and the Jacobians of the last stretch.

    The rule is looked at in every third stretch: a method that breaks it breaks it at every step.
    """
    breaches = []
    for number, stretch in enumerate(trajectory.forward()):
        jacobians = finite_jacobians(stretch)
        rates = frame.carry(jacobians)
        tally.add(stretch.start, rates)
        if rates.shape[-1] == trajectory.width and number % 3 == 0:
            breaches.append(_breach(jacobians, rates))
    return max((breach for breach in breaches if not math.isnan(breach)), default=math.nan), jacobians


def _breach(jacobians: Tensor, rates: Tensor) -> float:
    """The largest |Σ ln |R_ii| − ln |det J|| where rounding does not hide it; NaN where it does at every step.

    Either side is the logarithm of a product that carries an error of ε ‖J‖ ‖J⁻¹‖.
    """
    gaps = (rates.sum(-1) - torch.linalg.slogdet(jacobians).logabsdet).abs()
    inverses, _ = torch.linalg.inv_ex(jacobians)
    rounding = EPSILON * torch.linalg.matrix_norm(jacobians) * torch.linalg.matrix_norm(inverses)
    told = gaps[rounding <= RESOLVED]
    return float(told.max()) if len(told) else math.nan


def _adjoint_exponents(trajectory: Trajectory, newest: Tensor, tally: Tally, k: int, seed: int) -> Tensor:
    """The leading exponents from Q ← qr(J_tᵀ Q), t = T … 1, over the measured steps, (k,) in descending order."""
    if not k:
        return torch.zeros(0)
    frame = Frame(trajectory.batch, trajectory.width, k, seed)
    end = trajectory.time - min(tally.burn_in, tally.measured // 2)  # Q finds its directions after it
    total = torch.zeros(k, dtype=torch.float64)
    for start, jacobians in _backward(trajectory, newest):
        rates = frame.carry(jacobians.flip(1).mT).flip(1)
        total += rates[:, max(0, tally.burn_in - start) : max(0, end - start)].sum(1).mean(0)
    return (total / (end - tally.burn_in)).sort(descending=True).values


def _backward(trajectory: Trajectory, newest: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The Jacobians from the last stretch to the first; a trajectory of one stretch is not walked again."""
    if newest.shape[1] == trajectory.time:
        yield 0, newest
        return
    for stretch in trajectory.backward():
        yield stretch.start, stretch.jacobians()


def _gap(first: Tensor, second: Tensor) -> Tensor:
    """|a − b|, 0 where both are the same infinity."""
    return torch.where(first == second, 0.0, (first - second).abs())
