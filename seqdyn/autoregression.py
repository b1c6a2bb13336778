"""What a model does with its targets' own past: delay line, centring, and its own predictions where nothing was seen.

    v_t = y_{t-1} where it is known, else ŷ_{t-1}
    u_t = (v_t − c_t, v_{t-1} − c_t, …, v_{t-p+1} − c_t, other inputs),    c_t = v_t if centred, else 0
    o_t, h_t = cell(u_t, h_{t-1})
    ŷ_t = o_t + c_t

So a gap, a forecast, scheduled teacher forcing and the training on free runs are all *data*: a row whose past value is
not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.cell import Cell, Wrapper
from seqdyn.scan import unroll
from seqdyn.state import State, map_leaves


class AutoregressiveState(NamedTuple):
    """``inner``: of the inner cell; ``past`` (batch, p − 1, targets): v_{t-1}, v_{t-2}, …, and whether each was ever
    ``seen`` (batch, p − 1), 1 or 0; ``last`` (batch, targets): ŷ_{t-1}."""

    inner: State
    past: Tensor
    seen: Tensor
    last: Tensor


class Autoregressive(Wrapper):
    """A cell that sees its targets' own past, and its own predictions where the past is not known.

    The input is x_t = (v, k, r): the last value of every target, whether it is known (1) or not (0), and the other
    inputs. With centring, lags from before the series began count as equal to the present value.

    Parameters
    ----------
    cell : Cell
        Takes ``targets · p`` inputs, ``targets · (p − 1)`` if centred, and then the other inputs.
    targets : int, at least 1
    lags : int, at least 1
        p, how many of the last values it sees; at least 2 if centred.
    centred : bool
        Whether values are seen, and predictions made, relative to the last value: ŷ_t = o_t + c_t.
    shifted : sequence of int, one an output
        The target whose last value is added to this output if centred; −1 for none (a standard deviation, say).
    fed : sequence of int, one a target
        The output that stands for the next value of this target; the first ``targets`` if None.

    Examples
    --------
    A step that is not known takes the last prediction:

    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> from seqdyn.scan import scan
    >>> double = Linear(1, 0, 1)
    >>> _ = double.feedthrough.data.fill_(2.0)
    >>> x = torch.tensor([[[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]])
    >>> scan(Autoregressive(double, shifted=[0]), x).output.detach().squeeze()
    tensor([2., 4., 8.])
    """

    def __init__(
        self,
        cell: Cell,
        targets: int = 1,
        lags: int = 1,
        centred: bool = False,
        shifted: Sequence[int] = (),
        fed: Sequence[int] | None = None,
    ):
        seen = targets * (lags - 1 if centred else lags)
        if targets < 1 or lags < 1 + centred or cell.input_size < seen:
            raise ValueError(
                f"With {targets} targets and lags={lags}{', centred' if centred else ''} the cell needs at least "
                f"{seen} inputs, and at least one lag (two if centred), but {type(cell).__name__} takes "
                f"{cell.input_size}."
            )
        super().__init__(cell)
        self.marks: Tensor
        self.targets, self.lags, self.centred = targets, lags, centred
        self.input_size = cell.input_size - seen + 2 * targets
        self.shifted = tuple(shifted) or (-1,) * self.output_size
        self.fed = tuple(range(targets)) if fed is None else tuple(fed)
        if len(self.shifted) != self.output_size or len(self.fed) != targets:
            raise ValueError(
                f"shifted needs one entry for each of the {self.output_size} outputs, fed one for each of the "
                f"{targets} targets, got {len(self.shifted)} and {len(self.fed)}."
            )
        marks = [[float(target == own) for own in range(targets)] for target in self.shifted]
        self.register_buffer("marks", torch.tensor(marks).T, persistent=False)

    def initial_state(self, batch: int) -> AutoregressiveState:
        return AutoregressiveState(
            self.cell.initial_state(batch),
            self.zeros(batch, self.lags - 1, self.targets),
            self.zeros(batch, self.lags - 1),
            self.zeros(batch, self.targets),
        )

    def primed(self, lead: Tensor, there: Tensor) -> AutoregressiveState:
        """The initial state with the delay line filled from the rows before: the inner cell begins anew.

        Parameters
        ----------
        lead : Tensor, shape (batch, p − 1, inputs)
            The rows before the first step, oldest first.
        there : Tensor of bool, shape (batch, p − 1)
            Whether each belongs to the same series.
        """
        seen = (there & (lead[..., self.targets : 2 * self.targets] > 0).all(2)).to(lead).flip(1)
        past = lead[..., : self.targets].flip(1) * seen.unsqueeze(2)
        return self.initial_state(len(lead))._replace(past=past, seen=seen)

    def forward(self, x: Any, state: AutoregressiveState) -> tuple[Tensor, AutoregressiveState]:
        value, u = self._meet(x, state)
        output, inner = self.cell(u, state.inner)
        output = self._shift(output, value)
        return output, AutoregressiveState(inner, *self._moved(value, state), output[:, self.fed])

    def unroll(self, x: Any, state: AutoregressiveState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        (_, known, _), _ = self._split(x)
        given = (known > 0).all(2).all(0)  # (time,): nobody runs on its own prediction
        if bool(given.all()):
            return self._driven(x, state)
        outputs = []
        for start, stop in pairwise(_borders(given)):
            piece = map_leaves(lambda leaf: leaf[:, start:stop], x)  # noqa: B023
            driven = bool(given[start]) and stop - start > 1
            output, state = self._driven(piece, state) if driven else self._alone(piece, state)
            outputs.append(output)
        return torch.cat(outputs, 1), state

    def gates(self, x: Any, before: AutoregressiveState, output: Any, after: State) -> dict[str, Tensor]:
        _, u = self._meet(x, before)
        inner, _ = self.cell(u, before.inner)
        return self.cell.gates(u, before.inner, inner, after.inner)

    def jacobian(self, x: Any, before: State, output: Any, after: State) -> Any:
        return NotImplemented  # the inner cell's is not the whole: the delay line is state, too

    def _meet(self, x: Any, state: AutoregressiveState) -> tuple[Tensor, Any]:
        """v_t, and what the inner cell sees of it: u_t."""
        (value, known, rest), noise = self._split(x)
        value = torch.where(known > 0, value, state.last)
        present = value.unsqueeze(1)
        windows = torch.cat([present, state.past], 1).unsqueeze(1)
        return value, _with(self._seen(present, windows, state.seen.unsqueeze(1), rest), noise)

    def _driven(self, x: Any, state: AutoregressiveState) -> tuple[Tensor, AutoregressiveState]:
        """All values known: the delay line is a sliding window over them, and the inner cell's kernel runs."""
        (value, _, rest), noise = self._split(x)
        values = torch.cat([state.past.flip(1), value], 1)  # (batch, p − 1 + time, targets)
        seen = torch.cat([state.seen.flip(1), torch.ones_like(value[..., 0])], 1)
        windows = values.unfold(1, self.lags, 1).transpose(2, 3).flip(2)  # (batch, time, p, targets), newest first
        marks = seen.unfold(1, self.lags, 1).flip(2)[..., 1:]
        u = self._seen(value, windows, marks, rest)
        output, inner = unroll(self.cell, _with(u, noise), state.inner)
        output = self._shift(output, value)
        keep = values.shape[1] - self.lags + 1
        return output, AutoregressiveState(
            inner, values[:, keep:].flip(1), seen[:, keep:].flip(1), output[:, -1, self.fed]
        )

    def _alone(self, x: Any, state: AutoregressiveState) -> tuple[Tensor, AutoregressiveState]:
        """The written step, repeated."""
        outputs = []
        for t in range(_value(x).shape[1]):
            output, state = self(map_leaves(lambda leaf: leaf[:, t], x), state)  # noqa: B023
            outputs.append(output)
        return torch.stack(outputs, 1), state

    def _split(self, x: Any) -> tuple[tuple[Tensor, Tensor, Tensor], Any]:
        """(v, k, r), and the noise that may come with them."""
        value, noise = x if isinstance(x, tuple) else (x, None)
        parts = value.split([self.targets, self.targets, self.input_size - 2 * self.targets], -1)
        return parts, noise

    def _seen(self, value: Tensor, windows: Tensor, marks: Tensor, rest: Tensor) -> Tensor:
        """u from the delay line (batch, time, p, targets); of one step without its axis of time."""
        if self.centred:
            windows = (windows[:, :, 1:] - value.unsqueeze(2)) * marks.unsqueeze(3)
        line = windows.flatten(2)
        return torch.cat([line if rest.dim() == 3 else line.squeeze(1), rest], -1)

    def _shift(self, output: Tensor, value: Tensor) -> Tensor:
        return output + value @ self.marks if self.centred else output

    def _moved(self, value: Tensor, state: AutoregressiveState) -> tuple[Tensor, Tensor]:
        """The delay line one step on."""
        if self.lags == 1:
            return state.past, state.seen
        seen = torch.cat([torch.ones_like(state.seen[:, :1]), state.seen[:, :-1]], 1)
        return torch.cat([value.unsqueeze(1), state.past[:, :-1]], 1), seen


@dataclass(frozen=True)
class Autoregression:
    """How an estimator uses the columns of X that hold its targets' last values, y_{t-1}: the leading ones.

    They may be NaN: where the past is not known, the model's own prediction takes its place. So a gap and a forecast
    are rows of NaN. Their scaling is that of the targets.

    Parameters
    ----------
    targets : int, at least 1
        How many leading columns of X are last values. y has as many columns, or a multiple: ``horizon`` for each.
    lags : int, at least 1
        How many of the last values the network sees at once: its delay line.
    centred : bool
        Show the network the lags relative to the last value, and let it predict relative to that; then a level that it
        has never met does not matter. Needs ``lags`` of at least 2.
    horizon : int, at least 1
        Steps ahead in one row of y, one target's steps side by side: y_t, y_{t+1}, …, y_{t+H-1}.
    teacher_forcing : float in [0, 1], or "linear"
        In training, the share of steps that see the true last value; the others see the network's own prediction.
        ``"linear"`` goes from 1 to 0 along the training (scheduled sampling); since its loss rises on the way, the
        training then stops early only with ``early_stopping``.
    free_run : int, at least 0
        In training, the last so many steps of every sequence or window see the network's own predictions only.

    References
    ----------
    Bengio et al. (2015), Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import Autoregression, ElmanRegressor
    >>> wave = np.sin(0.3 * np.arange(300))
    >>> model = ElmanRegressor(autoregression=Autoregression(lags=3), hidden_size=8, random_state=0)
    >>> model = model.fit(wave[:-1, None], wave[1:])
    >>> ahead = np.full((5, 1), np.nan)
    >>> ahead[0] = wave[-1]
    >>> model.predict(ahead, initial_state=model.state_).shape
    (5,)
    """

    targets: int = 1
    lags: int = 1
    centred: bool = False
    horizon: int = 1
    teacher_forcing: float | str = 1.0
    free_run: int = 0

    def __post_init__(self) -> None:
        for name in ("targets", "lags", "horizon"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {getattr(self, name)!r}.")
        if self.centred and self.lags < 2:
            raise ValueError(
                f"centred shows the lags relative to the last value: lags must be at least 2, got {self.lags}."
            )
        share = self.teacher_forcing
        if share != "linear" and not (isinstance(share, int | float) and 0 <= share <= 1):
            raise ValueError(f"teacher_forcing must be a share in [0, 1] or 'linear', got {share!r}.")
        if not isinstance(self.free_run, int) or self.free_run < 0:
            raise ValueError(f"free_run must be an int of at least 0, got {self.free_run!r}.")

    def width(self, inputs: int) -> int:
        """What the inner network takes, when X has so many features."""
        return inputs - self.targets + self.targets * (self.lags - self.centred)

    def wrap(self, cell: Cell, heads: int, located: Sequence[int], middle: int) -> Autoregressive:
        """The network with its own past.

        Parameters
        ----------
        cell : Cell
            The inner network, of ``targets · horizon · heads`` outputs.
        heads : int
            Outputs that describe one predicted number.
        located : sequence of int
            Which of them move with the level.
        middle : int
            Which of them stands for the prediction.
        """
        shifted = [
            target if head in located else -1
            for target in range(self.targets)
            for _ in range(self.horizon)
            for head in range(heads)
        ]
        fed = [target * self.horizon * heads + middle for target in range(self.targets)]
        return Autoregressive(cell, self.targets, self.lags, self.centred, shifted, fed)

    def hide(self, x: Tensor, lengths: Tensor | None, progress: float, generator: torch.Generator) -> Tensor:
        """Inputs of training (batch, time, inputs) with some last values marked as not known.

        Parameters
        ----------
        x : Tensor
        lengths : Tensor of int64, shape (batch,), or None
            The length of every sequence; None: all of them fill the batch.
        progress : float in [0, 1]
            How much of the training is done.
        generator : torch.Generator
        """
        share = 1.0 - progress if self.teacher_forcing == "linear" else float(self.teacher_forcing)
        if share >= 1.0 and not self.free_run:
            return x
        size, time = x.shape[:2]
        shown = torch.rand(size, time, generator=generator) < share
        ends = torch.full((size,), time) if lengths is None else lengths.cpu()
        shown &= torch.arange(time) < (ends - self.free_run)[:, None]
        x = x.clone()
        x[..., self.targets : 2 * self.targets] *= shown.to(x)[..., None]
        return x


def _borders(given: Tensor) -> list[int]:
    """The instants at which a stretch of known or unknown values begins, and the end."""
    changes = (given[1:] != given[:-1]).nonzero().flatten() + 1
    return [0, *changes.tolist(), len(given)]


def _value(x: Any) -> Tensor:
    value: Tensor = x[0] if isinstance(x, tuple) else x
    return value


def _with(value: Tensor, noise: Any) -> Any:
    return value if noise is None else (value, noise)
