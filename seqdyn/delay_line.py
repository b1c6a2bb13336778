"""The delay line: a cell that sees the last p values of its targets at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell, apart, noisy
from seqdyn.facts import shown_by_shape
from seqdyn.loops import unroll
from seqdyn.prepared import shared_arrays
from seqdyn.state import State


@shown_by_shape
class DelayLineState(NamedTuple):
    """``inner``: of the inner cell; ``past`` (batch, p − 1, targets): v_{t-1}, v_{t-2}, …, and whether each was ever
    ``seen`` (batch, p − 1), 1 or 0."""

    inner: State
    past: Tensor
    seen: Tensor


class DelayLine(Cell):
    """A cell that sees the last p values of its targets at once, and with centring only relative to the last one.

        u_t = (v_t − c_t, v_{t-1} − c_t, …, v_{t-p+1} − c_t, r_t),   o_t, h_t = cell(u_t, h_{t-1}),   y_t = o_t + c_t

    The input is [v_t; r_t]. With centring c_t = v_t, so that a level that was never met does not matter, and lags from
    before the series began count as equal to the present value; else c_t = 0.

    Parameters
    ----------
    cell : Cell
        Takes ``targets · p`` inputs, ``targets · (p − 1)`` if centred, and then the other inputs.
    targets : int, at least 1
    lags : int, at least 1
        p, how many of the last values it sees; at least 2 if centred.
    centred : bool
    shifted : sequence of int, one an output
        The target whose last value is added to this output, if centred or residual; −1 for none (a standard deviation,
        say).
    residual : bool
        Let the cell say the change from the last value, y_t = o_t + v_t, and see the lags as they are.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import MovingAverage
    >>> from seqdyn.loops import scan
    >>> line = DelayLine(MovingAverage(2, window=1), lags=2)
    >>> scan(line, torch.arange(1.0, 4.0).view(1, 3, 1)).output[0]
    tensor([[1., 0.],
            [2., 1.],
            [3., 2.]])
    """

    def __init__(
        self,
        cell: Cell,
        targets: int = 1,
        lags: int = 1,
        centred: bool = False,
        shifted: Sequence[int] = (),
        residual: bool = False,
    ):
        seen = targets * (lags - 1 if centred else lags)
        if targets < 1 or lags < 1 + centred or cell.input_size < seen:
            raise ValueError(
                f"With {targets} targets and lags={lags}{', centred' if centred else ''} the cell needs at least "
                f"{seen} inputs, and at least one lag (two if centred), but {type(cell).__name__} takes "
                f"{cell.input_size}."
            )
        super().__init__(cell.input_size - seen + targets, cell.hidden_size, cell.output_size)
        self.marks: Tensor
        self.cell, self.targets, self.lags, self.centred, self.residual = cell, targets, lags, centred, residual
        self.shifted = tuple(shifted) or (-1,) * self.output_size
        if len(self.shifted) != self.output_size:
            raise ValueError(
                f"shifted needs one entry for each of the {self.output_size} outputs, got {len(self.shifted)}."
            )
        marks = [[float(target == own) for own in range(targets)] for target in self.shifted]
        self.register_buffer("marks", torch.tensor(marks).T, persistent=False)

    def initial_state(self, batch: int) -> DelayLineState:
        return DelayLineState(
            self.cell.initial_state(batch),
            self.zeros(batch, self.lags - 1, self.targets),
            self.zeros(batch, self.lags - 1),
        )

    def primed(self, lead: Tensor, there: Tensor) -> DelayLineState:
        """The initial state with the delay line filled: the inner cell begins anew."""
        rows = lead.shape[1]
        seen = torch.nn.functional.pad(there.to(lead).flip(1), (0, self.lags - 1 - rows))
        past = torch.nn.functional.pad(lead[..., : self.targets].flip(1), (0, 0, 0, self.lags - 1 - rows))
        return self.initial_state(len(lead))._replace(past=past * seen.unsqueeze(2), seen=seen)

    def forward(self, x: Any, state: DelayLineState) -> tuple[Tensor, DelayLineState]:
        value, u = self._meet(x, state)
        output, inner = self.cell(u, state.inner)
        return self._shift(output, value), DelayLineState(inner, *self._moved(value, state))

    def unroll(self, x: Any, state: DelayLineState, mask: Tensor | None = None) -> Any:
        """The delay line is a sliding window over the values, and the inner cell's kernel runs."""
        if mask is not None:
            return NotImplemented
        (value, rest), noise = self._split(x)
        values = torch.cat([state.past.flip(1), value], 1)  # (batch, p − 1 + time, targets)
        seen = torch.cat([state.seen.flip(1), torch.ones_like(value[..., 0])], 1)
        windows = values.unfold(1, self.lags, 1).transpose(2, 3).flip(2)  # (batch, time, p, targets), newest first
        marks = seen.unfold(1, self.lags, 1).flip(2)[..., 1:]
        u = self._seen(value, windows, marks, rest)
        output, inner = unroll(self.cell, noisy(u, noise), state.inner)
        keep = values.shape[1] - self.lags + 1
        return self._shift(output, value), DelayLineState(inner, values[:, keep:].flip(1), seen[:, keep:].flip(1))

    def prepared(self) -> Any:
        if (inner := self.cell.prepared()) is NotImplemented:
            return NotImplemented
        (marks,), relative, targets = shared_arrays(self.marks), self.centred or self.residual, self.targets

        def step(x: Array, state: tuple[Any, Array, Array]) -> tuple[Array, tuple[Any, Array, Array]]:
            before, past, seen = state
            value, rest = x[..., :targets], x[..., targets:]
            window = np.concatenate([value[..., None, :], past], -2)  # (…, p, targets)
            line = (past - value[..., None, :]) * seen[..., None] if self.centred else window
            u = np.concatenate([line.reshape(*x.shape[:-1], -1), rest], -1)
            output, after = inner(u, before)
            met = np.concatenate([np.ones_like(value[..., :1]), seen], -1)[..., :-1]
            return output + value.dot(marks) if relative else output, (after, window[..., :-1, :], met)

        return step

    def gates(self, x: Any, before: DelayLineState, output: Any, after: DelayLineState) -> dict[str, Tensor]:
        _, u = self._meet(x, before)
        inner, _ = self.cell(u, before.inner)
        return self.cell.gates(u, before.inner, inner, after.inner)

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        return self.cell.noise(batch, time, generator)

    def _meet(self, x: Any, state: DelayLineState) -> tuple[Tensor, Any]:
        """v_t, and what the inner cell sees of it: u_t."""
        (value, rest), noise = self._split(x)
        present = value.unsqueeze(1)
        windows = torch.cat([present, state.past], 1).unsqueeze(1)
        return value, noisy(self._seen(present, windows, state.seen.unsqueeze(1), rest), noise)

    def _split(self, x: Any) -> tuple[tuple[Tensor, ...], Any]:
        """(v, r), and the noise that may come with them."""
        value, noise = apart(x)
        return value.split([self.targets, self.input_size - self.targets], -1), noise

    def _seen(self, value: Tensor, windows: Tensor, marks: Tensor, rest: Tensor) -> Tensor:
        """u from the delay line (batch, time, p, targets); of one step without its axis of time."""
        if self.centred:
            windows = (windows[:, :, 1:] - value.unsqueeze(2)) * marks.unsqueeze(3)
        line = windows.flatten(2)
        return torch.cat([line if rest.dim() == 3 else line.squeeze(1), rest], -1)

    def _shift(self, output: Tensor, value: Tensor) -> Tensor:
        return output + value @ self.marks if self.centred or self.residual else output

    def _moved(self, value: Tensor, state: DelayLineState) -> tuple[Tensor, Tensor]:
        """The delay line one step on."""
        if self.lags == 1:
            return state.past, state.seen
        seen = torch.cat([torch.ones_like(state.seen[:, :1]), state.seen[:, :-1]], 1)
        return torch.cat([value.unsqueeze(1), state.past[:, :-1]], 1), seen
