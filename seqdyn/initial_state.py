"""Initial states: strategies that say where the memory of a sequence starts.

    h_{-1} = μ + s ε        ε ~ N(0, I)

``Zero`` is μ = the cell's own start and s = 0; ``Random`` draws ε anew for every batch of the training, so that
the network learns to be insensitive to it; ``Learned`` makes μ a parameter; ``Given`` is a state somebody
knows. ``Warmup`` is one of these and then a run over the leading data, which makes the state plausible:
``scan(cell, past).state``, with no loss on those steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from seqdyn.cell import Block, Cell
from seqdyn.state import State, expand, leaves, map_leaves, named_leaves
from seqdyn.wrapper import Wrapper


@dataclass(frozen=True)
class Zero:
    """Start from the cell's own initial state: zeros, for every cell of the library.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> Zero()(GRU(2, 3)).initial_state(1).h
    tensor([[0., 0., 0.]])
    """

    def __call__(self, cell: Cell) -> Cell:
        return cell


@dataclass(frozen=True)
class Random:
    """Draw the start anew for every training batch: h_{-1} = μ + s ε. Prediction starts from the mean μ.

    Parameters
    ----------
    scale : float, at least 0
        s, in units of the state.
    seed : int, optional
        Seeds the draws; the trainer's generator is used if None.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> Random(scale=0.5)(GRU(2, 3)).eval().initial_state(1).h  # the mean: it is drawn in training only
    tensor([[0., 0., 0.]])
    """

    scale: float = 1.0
    seed: int | None = None

    def __call__(self, cell: Cell) -> Cell:
        return Started(cell, scale=self.scale, seed=self.seed)


@dataclass(frozen=True)
class Learned:
    """Make the start a parameter, trained with the weights; it begins at the cell's own initial state.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> [tuple(start.shape) for start in Learned()(GRU(2, 3)).learned]
    [(1, 3)]
    """

    def __call__(self, cell: Cell) -> Cell:
        return Started(cell, learned=True)


@dataclass(frozen=True)
class Given:
    """Start every sequence from one known state.

    Parameters
    ----------
    state : State
        With a batch of one row.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU, GRUState
    >>> Given(GRUState(torch.ones(1, 3)))(GRU(2, 3)).initial_state(2).h.shape
    torch.Size([2, 3])
    """

    state: State

    def __call__(self, cell: Cell) -> Cell:
        return Started(cell, mean=self.state)


@dataclass(frozen=True)
class Warmup:
    """Run ``steps`` steps over the leading data to find a plausible state; they carry no loss and no score.

    Parameters
    ----------
    steps : int, optional
        ``max(1, T // 10)`` for sequences of T steps if None.
    start : Zero, Random, Learned or Given
        Where the warm-up itself begins.

    Examples
    --------
    >>> Warmup(steps=10).start
    Zero()
    """

    steps: int | None = None
    start: Zero | Random | Learned | Given = field(default_factory=Zero)

    def __call__(self, cell: Cell) -> Cell:
        return self.start(cell)


InitialState = Zero | Random | Learned | Given | Warmup

NAMED: dict[str, InitialState] = {"zero": Zero(), "random": Random(), "learned": Learned(), "warmup": Warmup()}


def as_initial_state(value: Any) -> InitialState:
    """A strategy from its name, from a State, or as it is.

    Examples
    --------
    >>> as_initial_state("random")
    Random(scale=1.0, seed=None)
    """
    if isinstance(value, InitialState):
        return value
    if isinstance(value, str):
        if value not in NAMED:
            raise ValueError(f"initial_state must be one of {', '.join(map(repr, NAMED))} or a State, got {value!r}.")
        return NAMED[value]
    if isinstance(value, tuple | Tensor) and leaves(value):
        return Given(value)
    raise TypeError(
        f"initial_state must be one of {', '.join(map(repr, NAMED))}, a strategy of seqdyn.initial_state, or a State "
        f"(a NamedTuple or tuple of tensors), got {type(value).__name__}."
    )


class Started(Wrapper):
    """A cell with its start: h_{-1} = μ + s ε. The strategies build it; ``reset`` obeys it too.

    Parameters
    ----------
    cell : Cell
    mean : State, optional
        μ, one row; the cell's own initial state if None.
    learned : bool
        Make μ a parameter.
    scale : float, at least 0
        s. Draws happen only inside :func:`drawing`, in training mode; elsewhere h_{-1} = μ.
    seed : int, optional
        Seeds this cell's draws.
    """

    steps_alike = True

    def __init__(
        self, cell: Cell, mean: State | None = None, learned: bool = False, scale: float = 0.0, seed: int | None = None
    ):
        super().__init__(cell)
        if scale < 0:
            raise ValueError(f"The scale of a random initial state must be at least 0, got {scale}.")
        self.scale, self.seed = scale, seed
        self.generator: torch.Generator | None = None
        template = cell.initial_state(1)
        self.fixed = None if mean is None or learned else _check_given_state(mean, template, cell)
        start = template if mean is None else _check_given_state(mean, template, cell)
        self.learned = nn.ParameterList(
            nn.Parameter(leaf.detach().clone()) for _, leaf in named_leaves(start) if learned
        )

    def primed(self, lead: Any, there: Tensor) -> State:
        return self.initial_state(len(there))

    def inner_output(self, x: Any, before: State, output: Any) -> Any:
        return output

    def outer_block(self, inner: Block, output: Any) -> Block:
        return inner

    def prepared(self) -> Any:
        return self.cell.prepared()

    def initial_state(self, batch: int) -> State:
        start = self._mean(batch)
        if self.generator is None or not self.scale or not self.training:
            return start
        return map_leaves(lambda leaf: leaf + self.scale * self._noise(leaf), start)

    def constructor_arguments(self) -> dict[str, Any]:
        return {"mean": self.fixed, "learned": len(self.learned) > 0}

    def _mean(self, batch: int) -> State:
        own = self.cell.initial_state(batch)
        if self.fixed is not None:
            return map_leaves(lambda leaf, fixed: fixed.to(leaf).expand_as(leaf), own, self.fixed)
        if not len(self.learned):
            return own
        values = iter(self.learned)
        return expand(map_leaves(lambda _: next(values), own), batch)

    def _noise(self, leaf: Tensor) -> Tensor:
        assert self.generator is not None
        drawn = torch.randn(leaf.shape, generator=self.generator, dtype=leaf.dtype, device=self.generator.device)
        return drawn.to(leaf.device)


@contextmanager
def drawing(network: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Let every random start inside the network draw while the block runs; the trainer opens it.

    Starts that have a seed of their own draw by that, all others by ``generator``.
    """
    starts = [module for module in network.modules() if isinstance(module, Started) and module.scale]
    for start in starts:
        start.generator = generator if start.seed is None else torch.Generator().manual_seed(start.seed)
    try:
        yield
    finally:
        for start in starts:
            start.generator = None


def seeded_generators(network: nn.Module) -> list[torch.Generator]:
    """The generators of random starts with a seed of their own, while they are :func:`drawing`."""
    starts = [module for module in network.modules() if isinstance(module, Started) and module.seed is not None]
    return [start.generator for start in starts if start.generator is not None]


def _check_given_state(state: State, template: State, cell: Cell) -> State:
    """The given state, if it has the leaves and shapes of the cell's own, with one row."""
    expected = {name: tuple(leaf.shape) for name, leaf in named_leaves(template)}
    given = {name: tuple(leaf.shape) for name, leaf in named_leaves(state)}
    if expected != given:
        raise ValueError(
            f"The given initial state has the leaves {given}, but {type(cell).__name__} needs {expected} (one row, "
            "repeated for every sequence)."
        )
    return state
