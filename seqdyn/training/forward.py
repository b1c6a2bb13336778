"""How a network is run: in training, batch by batch; afterwards, over all rows in bounded memory.

A network is a :class:`~seqdyn.cell.Cell`, or an :class:`Annotator` around a bidirectional encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell, noisy
from seqdyn.encoder import Encoder, Ensemble
from seqdyn.loops import blanked, scan
from seqdyn.state import State, detach, expand, flatten, hold, leaves, map_leaves, steps, take
from seqdyn.training.batches import Batch, Rows

ROWS_AT_ONCE = 2**14
"""Rows in one inference call: large enough for full speed on two cores, small enough to stay in cache."""


class Annotator(nn.Module):
    """An encoder that marks every step, or the whole sequence: (x, mask) → y (batch, time, outputs).

    Parameters
    ----------
    encoder : Encoder or Ensemble
    sequences : bool
        True reads the encoder's output at every step; False its summary, repeated at every step.
    """

    def __init__(self, encoder: Encoder | Ensemble, sequences: bool):
        super().__init__()
        self.encoder = encoder
        self.sequences = sequences

    def constructor_arguments(self) -> dict[str, Any]:
        """What files need beside the attributes: nothing."""
        return {}

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: Any = None) -> Tensor:
        output, summary = self.encoder(x, mask, noise)
        marks: Tensor = output if self.sequences else hold(summary, x.shape[1])
        return marks

    def as_cell(self) -> Cell:
        """The same network as a Cell: its output at the last step is the mark of the sequence.

        Raises
        ------
        ValueError
            If a mark depends on more than the last state of the past: with two directions, several members, or another
            pooling than the last step.
        """
        cell = self.encoder.as_cell()
        if not self.sequences and (pooling := cast(Encoder, self.encoder).pooling) != "last":
            raise ValueError(f'it sums all steps up by pooling={pooling!r}. Fit with pooling="last".')
        return cell


def forward(
    network: nn.Module, batch: Batch, state: State | None, generator: torch.Generator
) -> tuple[Any, State | None]:
    """The training pass of one batch: outputs (batch, time, *outputs), and the state to carry on, detached.

    Parameters
    ----------
    network : Cell or Annotator
    batch : Batch
    state : State or None
        From the batch before, if this one follows it.
    generator : torch.Generator
        Draws the noise.

    Notes
    -----
    Padding behind the last step of a row needs no mask in a causal network: it is blanked, carries no weight, and the
    state after it is given to nobody.
    """
    size, time = leaves(batch.x)[0].shape[:2]
    if isinstance(network, Annotator):
        return network(batch.x, batch.mask, network.encoder.noise(size, time, generator)), None
    if not isinstance(network, Cell):
        raise TypeError(
            f"The network is a {type(network).__name__}, which is neither a Cell nor an Annotator: nobody knows how to "
            "run it over time. Make it a Cell, or give an objective that runs it."
        )
    noise = network.noise(size, time, generator)
    if batch.lead is not None:
        state = network.primed(*batch.lead)
    x, mask = batch.x, batch.mask
    padded = mask is not None and batch.trailing
    if mask is not None and padded:
        x, mask = blanked(x, mask), None
    run = scan(network, noisy(x, noise), state, mask=mask, reset=batch.reset)
    return run.output, None if padded else detach(run.state)


def run_network(network: nn.Module, rows: Rows, state: State | None = None) -> tuple[Any, State | None]:
    """Run a network over all rows.

    Parameters
    ----------
    network : Cell or Annotator
    rows : Rows
        Only ``x``, ``starts`` and ``lengths`` are read.
    state : State, optional
        One row a series; the network's own start if None.

    Returns
    -------
    output : tree, leaves (total, *outputs)
        In the order of the rows; rows outside every series are 0.
    state : State or None
        After each series' last row; None for an Annotator.
    """
    order = torch.argsort(rows.lengths, stable=True)
    outputs, states = None, []
    with torch.inference_mode():
        for series in _length_groups(rows.lengths, order):
            start = None if state is None else take(state, series)
            for index, mask, output, state_now in _run_chunks(network, rows, series, start):
                after = state_now
                outputs = _zeros_like(output, len(rows)) if outputs is None else outputs
                for whole, part in zip(leaves(outputs), leaves(output), strict=True):
                    whole[index if mask is None else index[mask]] = part if mask is None else part[mask]
            states.append(after)
    assert outputs is not None
    if isinstance(network, Annotator):
        return outputs, None
    back = torch.argsort(order)
    with torch.no_grad():  # no longer in inference mode: what is given away may take part in a training
        return outputs, take(map_leaves(lambda *parts: torch.cat(parts), *states), back)


@torch.inference_mode(False)
def _zeros_like(output: Any, count: int) -> Any:
    """As many rows of zeros, in the form of an output (batch, time, …)."""
    return map_leaves(lambda leaf: leaf.new_zeros(count, *leaf.shape[2:]), output)


def _length_groups(lengths: Tensor, order: Tensor) -> Iterator[Tensor]:
    """Series in the order of their lengths, in groups of about ROWS_AT_ONCE padded rows, one at least."""
    ordered, first = lengths[order], 0
    while first < len(order):
        likely = ordered[first : first + ROWS_AT_ONCE // max(1, int(ordered[first])) + 1]
        padded = likely * torch.arange(1, len(likely) + 1)
        count = max(1, int((padded <= ROWS_AT_ONCE).sum()))
        yield order[first : first + count]
        first += count


def _run_chunks(
    network: nn.Module, rows: Rows, series: Tensor, state: State | None
) -> Iterator[tuple[Tensor, Tensor | None, Any, State]]:
    """Walk along a group of series in chunks: yields row numbers, mask, output and state."""
    starts, lengths = rows.starts[series], rows.lengths[series]
    longest = int(lengths.max())
    whole = isinstance(network, Annotator)
    chunk = longest if whole else max(1, ROWS_AT_ONCE // len(series))
    for begin in range(0, longest, chunk):
        places = torch.arange(begin, min(begin + chunk, longest))
        mask = None if bool((lengths > places[-1]).all()) else (places < lengths[:, None]).to(rows.device)
        index = (starts[:, None] + torch.minimum(places, lengths[:, None] - 1)).to(rows.device)
        x = take(rows.x, index)
        if whole:
            output = network(x, mask)
        else:
            assert isinstance(network, Cell)
            output, state = scan(network, x, state, mask=mask)[:2]
        yield index, mask, output, state


def forgetting_time(cell: Cell, x: Any, generator: torch.Generator, limit: int = 500) -> float:
    """Steps until two initial states agree to 1 %: how long the start is remembered on this input.

    Parameters
    ----------
    cell : Cell
    x : tree, leaves (1, time, *inputs)
    generator : torch.Generator
        Draws the second start, a unit normal step away from the first.
    limit : int
        Steps to look at.

    Returns
    -------
    float
        The number of steps after which the distance of the two states stays at or below 1 % of what it was; infinite
        if they do not agree within the steps looked at.
    """
    first = cell.initial_state(1)
    other = map_leaves(lambda leaf: leaf + torch.randn(leaf.shape, generator=generator).to(leaf), first)
    both = map_leaves(lambda a, b: torch.cat([a, b]), first, other)

    def distance(x: Any, before: State, output: Any, after: State) -> Tensor:
        one, two = flatten(after).double()
        return (one - two).norm().unsqueeze(0)

    with torch.inference_mode():
        begin = distance(None, None, None, both)
        gaps = scan(cell, expand(steps(x, 0, limit), 2), both, record=distance).record[0]
    apart = (gaps > 0.01 * begin).nonzero().flatten()
    if not len(apart):
        return 1.0 if float(begin) > 0 else 0.0
    last = int(apart[-1])
    return float("inf") if last + 1 == len(gaps) else float(last + 2)  # gaps[n] is the distance after n + 1 steps
