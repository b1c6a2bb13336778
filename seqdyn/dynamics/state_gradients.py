"""The gradient of a loss with respect to every state, δ_k = ∂C/∂h_k, and how far back it reaches.

    C = Σ_t ℓ_t,   δ_k = ∂⁺C/∂h_k + δ_{k+1} J_{k+1},   J_k = ∂h_k/∂h_{k-1}

The leaves of a state are independent of each other here: δ of an LSTM's c is taken with its h held, so that δ_{k+1}
J_{k+1} over the whole state (h, c) counts no way twice. ∂⁺ is the immediate dependence, through the output of step k.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.dynamics.gradients import OutputLoss, log_lengths, output_gradient, summed
from seqdyn.dynamics.trajectory import Trajectory, rows_of
from seqdyn.facts import shown_by_shape
from seqdyn.loops import scan
from seqdyn.state import State, detach, flatten, leaves, map_leaves, named_leaves, stack, steps, take
from seqdyn.training.batches import Batch

FIRST_MEASUREMENT = 1000
"""Steps before the first measurement."""

OBSERVED_ROWS, OBSERVED_STEPS = 4, 500
"""At most so many sequences, and steps at their end, are looked at."""


@shown_by_shape
class Swept(NamedTuple):
    """A run and the gradient of its states, detached from the graph: leaves (batch, time, …).

    ``before`` is h_{t-1}, what every step started from; ``gradient`` (batch, time, n) is δ_t over the flattened state
    h_t.
    """

    x: Any
    before: State
    gradient: Tensor


def steps_reached(
    cell: Cell,
    x: Any,
    loss: OutputLoss,
    state: State | None = None,
    *,
    mask: Tensor | None = None,
    threshold: float = 1e-10,
) -> float:
    """The share of the steps whose state still receives a gradient: ‖∂C/∂h_k‖ ≥ 1e-10.

    Pascanu's "steps in the past": with a loss at the end of a sequence alone, 0.3 says that backpropagation through
    time comes back over the last 30 % of it.

    Parameters
    ----------
    cell : Cell
        Any; it is not changed.
    x : Tensor, shape (batch, time, inputs), or a tree of such
    loss : callable
        ``loss(output) -> C``, a scalar, or what every row and step costs (batch, time), which is summed.
    state : State, optional
        h_{-1}; the cell's initial state if None.
    mask : Tensor of bool, shape (batch, time), optional
        False at padding behind the last step of a row, which does not count.
    threshold : float
        What counts as a gradient; single precision ends 35 decades lower, but its sums 7 below their largest term.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        If input or state do not fit the cell, or the cell has no memory.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks; the quantity is that of
    the code published with it.

    Examples
    --------
    A memory that halves every step gives 1e-10 and more back for 34 of them:

    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> half = Linear(1, 1)
    >>> for weight, value in zip(half.parameters(), (0.0, 1.0, 1.0, 0.5)):
    ...     _ = torch.nn.init.constant_(weight, value)
    >>> steps_reached(half, torch.zeros(1, 100, 1), lambda output: output[:, -1].sum())
    0.34
    """
    log_norms, _ = returned(cell, x, loss, state)
    there = log_norms >= math.log(threshold)
    return float(there.double().mean() if mask is None else (there & mask).sum() / mask.sum())


def returned(cell: Cell, x: Any, loss: OutputLoss, state: State | None = None) -> tuple[Tensor, Tensor]:
    """Backpropagate along a trajectory, stretch by stretch: memory does not grow with the number of steps.

    What comes back are ln ‖δ_t‖, and ‖δ_t J_t‖ / ‖δ_t‖, NaN where δ_t = 0, each (batch, time).
    """
    trajectory = Trajectory(cell, x, state)
    slopes = output_gradient(trajectory, loss)
    log_norms = slopes.new_empty(trajectory.batch, trajectory.time)
    ratios = torch.empty_like(log_norms)
    later = slopes.new_zeros(trajectory.batch, trajectory.width)
    scale = slopes.new_full((trajectory.batch,), -torch.inf)
    for stretch in trajectory.backward():
        slope, block = slopes[:, stretch.start : stretch.stop], stretch.blocks()
        own = _immediate(stretch.cell, stretch.x, stretch.before, slope)
        seen = (slope.flatten(2).unsqueeze(2) @ block.readout).squeeze(2)  # by h_{t-1}, through h_t or not
        for step in reversed(range(stretch.stop - stretch.start)):
            J = block.transition[:, step]
            delta, log_norms[:, stretch.start + step] = summed(later, scale, own[:, step])
            there = delta.any(1)
            ratios[:, stretch.start + step] = torch.where(there, log_lengths(_row_product(delta, J)).exp(), torch.nan)
            later, scale = summed(_row_product(later, J), scale, seen[:, step])
    return log_norms, ratios


def _row_product(row: Tensor, matrix: Tensor) -> Tensor:
    """(batch, n) times (batch, n, n)."""
    return (row.unsqueeze(1) @ matrix).squeeze(1)


def share_reached(run: Swept, mask: Tensor | None = None, threshold: float = 1e-10) -> float:
    """The share of the steps of a swept run whose gradient is at least this long."""
    there = run.gradient.norm(dim=2) >= threshold
    return float(there.double().mean() if mask is None else (there & mask).sum() / mask.sum())


def sweep(cell: Cell, x: Any, loss: OutputLoss, state: State | None = None, reset: Tensor | None = None) -> Swept:
    """δ_t at every step, by one run of the written step forward and one back; gradients of weights are not touched.

    No gradient comes back across a reset, as in :func:`~seqdyn.loops.scan`.
    """
    nodes: list[State] = []

    def kept(t: int, state: State) -> State:
        nodes.append(map_leaves(lambda leaf: leaf.view_as(leaf), state))
        return nodes[-1]

    with torch.enable_grad():
        start = cell.initial_state(len(leaves(x)[0])) if state is None else state
        if not remembers(start):
            raise ValueError(f"{type(cell).__name__} has no memory: there is no h to differentiate by.")
        output = scan(cell, x, map_leaves(lambda leaf: leaf.detach().requires_grad_(), start), reset=reset, force=kept)
        slope = _slope(loss, output.output)
        later = _from_later_steps(output.output, slope, nodes)
    if reset is not None:
        later[:, :-1] *= ~reset[:, 1:, None].to(later.device)
    before = stack([map_leaves(Tensor.detach, node) for node in nodes])
    return Swept(x, before, later + _immediate(cell, x, before, slope))


def remembers(state: State) -> bool:
    """Whether a state holds any number."""
    return any(leaf.numel() for leaf in leaves(state))


def _slope(loss: OutputLoss, output: Any) -> Any:
    """∂C/∂y."""
    free = map_leaves(lambda leaf: leaf.detach().requires_grad_(), output)
    pieces = iter(_vector_jacobian(loss(free).sum(), None, leaves(free)))
    return map_leaves(lambda _: next(pieces), free)


def _from_later_steps(output: Any, slope: Any, nodes: list[State]) -> Tensor:
    """What every h_t receives from the steps after it, (batch, time, n): the last one nothing."""
    wanted = [leaf for node in nodes[1:] for leaf in leaves(node)]
    pieces = iter(_vector_jacobian(output, slope, wanted))
    later = [flatten(map_leaves(lambda _: next(pieces), node)) for node in nodes[1:]]
    return torch.stack([*later, torch.zeros_like(flatten(nodes[0]))], 1).detach()


@torch.enable_grad()
def _immediate(cell: Cell, x: Any, before: State, slope: Any) -> Tensor:
    """∂⁺C/∂h_t through y_t alone, every leaf with the others held: what passes through one leaf stops there."""
    held = map_leaves(lambda leaf: leaf.flatten(0, 1).requires_grad_(), before)
    output, after = cell(rows_of(x), held)
    found = {name: torch.zeros_like(leaf) for name, leaf in named_leaves(after)}

    def stop(name: str) -> Callable[[Tensor], Tensor]:
        def hook(gradient: Tensor) -> Tensor:
            found[name] = gradient
            return torch.zeros_like(gradient)

        return hook

    for name, leaf in named_leaves(after):
        if leaf.requires_grad:
            leaf.register_hook(stop(name))
    _vector_jacobian(output, rows_of(slope), leaves(held))
    pieces = iter(found.values())
    batch, time = leaves(before)[0].shape[:2]
    return flatten(map_leaves(lambda _: next(pieces), after)).detach().view(batch, time, -1)


def _vector_jacobian(output: Any, slope: Any, wanted: list[Tensor]) -> list[Tensor]:
    """slope · ∂output/∂wanted; zeros where nothing depends on it."""
    slopes = [None] * len(leaves(output)) if slope is None else leaves(slope)
    pairs = [pair for pair in zip(leaves(output), slopes, strict=True) if pair[0].requires_grad]
    if not pairs or not wanted:
        return [torch.zeros_like(leaf) for leaf in wanted]
    outputs, weights = zip(*pairs, strict=True)
    return list(torch.autograd.grad(outputs, wanted, weights, materialize_grads=True))


class StepsReachedObserver:
    """How far back the loss of an epoch's first batch reaches: after 1,000, 4,000, … steps, and in the last epoch.

    A measurement costs about as much as ten steps of a fused network, so it is made seldom. It looks at a copy on the
    CPU, without dropout, so that nothing of the training changes: no gradient, no random number, no mode. An encoder of
    two directions has no past alone: it is left out. ``found`` holds the share of :func:`steps_reached` by epoch.
    """

    def __init__(self) -> None:
        self.found: dict[int, float] = {}
        self.epoch, self.steps, self.due = -1, 0, FIRST_MEASUREMENT
        self.first: tuple[Batch, Tensor] | None = None

    def __call__(self, epoch: int, batch: Batch, network: nn.Module, output: Tensor) -> None:
        self.steps += 1
        if epoch == self.epoch:
            return
        assert output.grad is not None
        self.epoch, self.first = epoch, (batch, output.grad)
        if self.steps > self.due:
            self.due = 4 * self.steps
            self.measure(network)

    def state(self) -> dict[str, Any]:
        """All that :meth:`load_state` needs to go on, as a tree that files can hold."""
        first = None if self.first is None else _longest_rows(*self.first)
        return {
            "found": dict(self.found),
            "counters": {"epoch": self.epoch, "steps": self.steps, "due": self.due},
            "first": None if first is None else (tuple(first[0]), first[1]),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.found, first = dict(state["found"]), state["first"]
        self.first = None if first is None else (Batch(*first[0]), first[1])
        vars(self).update(state["counters"])

    def measure(self, network: nn.Module) -> None:
        """Measure on the first batch of the epoch that is going on, or of the last one after the training."""
        if self.first is not None and self.epoch not in self.found and isinstance(network, Cell):
            cell = copy.deepcopy(network).to("cpu").eval().requires_grad_(False)
            self.found[self.epoch] = _observed_share(cell, *_longest_rows(*self.first))


def _observed_share(cell: Cell, batch: Batch, slope: Tensor) -> float:
    """The share of the last steps of these rows that the gradient of the loss reaches."""
    size, time = leaves(batch.x)[0].shape[:2]
    head = max(time - OBSERVED_STEPS, 0)
    state = cell.initial_state(size) if batch.lead is None else cell.primed(*batch.lead)
    if not remembers(state):
        return math.nan
    before, after = (
        Batch(steps(batch.x, *span), None, reset=steps(batch.reset, *span), mask=steps(batch.mask, *span))
        for span in ((0, head), (head, time))
    )
    with torch.no_grad():
        if head:
            state = scan(cell, before.x, state, reset=before.reset).state
    end = steps(slope, head)
    run = sweep(cell, after.x, lambda output: (output * end).sum(), detach(state), after.reset)
    return share_reached(run, after.mask)


def _longest_rows(batch: Batch, slope: Tensor) -> tuple[Batch, Tensor]:
    """The longest few rows of a batch, and ∂C/∂y of them, on the CPU."""
    size, time = leaves(batch.x)[0].shape[:2]
    lengths = torch.full((size,), time) if batch.mask is None else batch.mask.sum(1).cpu()
    rows = lengths.argsort(descending=True, stable=True)[:OBSERVED_ROWS]
    longest = int(lengths[rows].max())

    def taken(tree: Any) -> Any:
        return map_leaves(lambda leaf: leaf.detach().cpu(), take(tree, rows))

    seen = Batch(*(steps(taken(part), 0, longest) for part in (batch.x, None, None, batch.mask, batch.reset)))
    return seen._replace(lead=taken(batch.lead)), steps(taken(slope), 0, longest)
