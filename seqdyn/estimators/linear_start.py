"""A linear start: the training begins at a linear model, of the inputs at hand or of all of them through a state.

The part of a readout that reads the inputs begins at its ridge solution, and the recurrence adds to it,

    y_t = W_y o_t + W_x x_t + b,    (W_x, b) = argmin Σ_t ‖y_t − W_x x_t − b‖² + λ ‖W_x‖²,    W_y = 0

or the recurrence itself begins as a linear state-space system (:mod:`seqdyn.identification.recurrent_start`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from seqdyn.autoregression import Autoregression, Past, beside
from seqdyn.cell import Cell
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Readout
from seqdyn.delay_line import DelayLine
from seqdyn.identification.recurrent_start import start_from
from seqdyn.state import take
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run_network
from seqdyn.training.heads import Head

ROWS_HELD_AT_ONCE = 2**17
"""Rows whose inputs are held at once; series are taken together up to it."""


@torch.no_grad()
def start_linear(network: Cell, rows: Rows, penalty: float, own: Autoregression | None, head: Head) -> None:
    """Set W_x and b of a network's readout with ``skip`` by ridge regression, λ = ``penalty``, and W_y to 0.

    The rows are scaled; steps with a target of no weight are left out. Outputs that stand for no level begin at 0.

    References
    ----------
    Hoerl & Kennard (1970), Ridge Regression.
    """
    readout = next(module for module in network.modules() if isinstance(module, Readout) and module.direct is not None)
    inputs = readout.cell.input_size
    gram, cross = (torch.zeros(inputs + 1, width, dtype=torch.float64) for width in (inputs + 1, rows.y.shape[1]))
    for part in _parts(rows):
        seen, wanted = _pairs(network, part, inputs, own)
        gram += seen.T @ seen
        cross += seen.T @ wanted
    ridge = torch.full((inputs + 1,), float(penalty), dtype=torch.float64)
    ridge[-1] = 1e-9 * max(1.0, float(gram[-1, -1]))  # b is free
    solution = torch.linalg.lstsq(gram + torch.diag(ridge), cross, driver="gelsd").solution.T  # (targets, inputs + 1)
    assert readout.direct is not None
    for parameter in (readout.direct, readout.affine.weight, readout.affine.bias):
        parameter.zero_()
    for place in head.location_outputs:
        readout.direct[place :: head.outputs] = solution[:, :-1].to(readout.direct)
        readout.affine.bias[place :: head.outputs] = solution[:, -1].to(readout.direct)


def start_recurrence(network: Cell, rows: Rows, linear: Any, head: Head) -> None:
    """Fit a clone of a linear model on the training rows, in network units, and begin the recurrence as its system.

    The network is one recurrent layer under a readout; outputs that stand for no level begin at 0.
    """
    spans = [slice(first, first + n) for first, n in zip(rows.starts.tolist(), rows.lengths.tolist(), strict=True)]
    wanted = rows.y if rows.weight is None else torch.where(rows.weight > 0, rows.y, torch.nan)
    x, y = ([values[span].cpu().double() for span in spans] for values in (rows.x, wanted))
    system = clone(linear).fit([part.numpy() for part in x], [part.numpy() for part in y]).system_
    level = torch.zeros(head.outputs, 1)
    level[list(head.location_outputs)] = 1.0
    start_from(network, system, x, heads=torch.kron(torch.eye(system.outputs), level))


def _parts(rows: Rows) -> Iterator[Rows]:
    """Neighbouring series, so many rows at a time."""
    ends = rows.starts + rows.lengths
    first = 0
    for number in range(len(ends)):
        if number + 1 == len(ends) or int(ends[number + 1] - rows.starts[first]) > ROWS_HELD_AT_ONCE:
            begin, end = int(rows.starts[first]), int(ends[number])
            piece, chosen = slice(begin, end), slice(first, number + 1)
            weight = None if rows.weight is None else rows.weight[piece]
            x = take(rows.x, piece)
            yield Rows(x, rows.y[piece], weight, rows.starts[chosen] - begin, rows.lengths[chosen])
            first = number + 1


def _pairs(network: Cell, rows: Rows, inputs: int, own: Autoregression | None) -> tuple[Tensor, Tensor]:
    """What the readout sees, with a 1, and what it should answer; weighted, in float64 on the CPU."""
    x, wanted = rows.x, rows.y
    through: Cell = MovingAverage(inputs, window=1).to(wanted)  # passes its input on
    counts = torch.ones_like(wanted) if rows.weight is None else rows.weight.expand_as(wanted)
    if own is not None:
        through = DelayLine(through, own.targets, own.lags, own.centred).to(wanted)
        counts = counts * x.known.amin(1, keepdim=True)
        value = _filled(x, rows.starts)
        x = beside(value, x.exogenous)
        if own.relative:
            wanted = wanted - value.repeat_interleave(own.horizon, 1)
    seen, _ = run_network(through, replace(rows, x=x))
    inside = torch.zeros(len(seen), dtype=torch.bool)
    for start, length in zip(rows.starts.tolist(), rows.lengths.tolist(), strict=True):
        inside[start : start + length] = True
    weight = counts.amin(1).cpu().double() * inside
    kept = weight > 0
    root = weight[kept].sqrt().unsqueeze(1)
    seen, wanted = seen.cpu().double()[kept], wanted.cpu().double()[kept]
    return torch.nn.functional.pad(seen, (0, 1), value=1.0) * root, wanted * root


def _filled(x: Past, starts: Tensor) -> Tensor:
    """Last values (total, targets), of which those that are not known repeat the ones before."""
    place = torch.arange(len(x.value), device=x.value.device).unsqueeze(1)
    known = x.known > 0
    known[starts.to(known.device)] = True
    return x.value.gather(0, torch.where(known, place, 0).cummax(0).values)
