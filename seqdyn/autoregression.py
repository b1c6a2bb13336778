"""Cells that see their targets' own past, and their own predictions where that past is not known.

    v_t = k_t y_{t-1} + (1 − k_t) ŷ_{t-1}                                        OwnPast
    u_t = (v_t − c_t, v_{t-1} − c_t, …, v_{t-p+1} − c_t, other inputs)           DelayLine, c_t = v_t if centred, else 0
    o_t, h_t = cell(u_t, h_{t-1})
    ŷ_t = o_t + c_t

k_t in [0, 1] says how much of the last value is known. So a gap, a forecast, teacher forcing of every kind and the
training on free runs are all *data*: rows whose past is not known, or not quite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Block, Cell, apart, noisy
from seqdyn.checks import check_choice, check_count
from seqdyn.data.scaling import Scaling
from seqdyn.delay_line import DelayLine
from seqdyn.facts import shown_by_facts, shown_by_shape
from seqdyn.loops import unroll, walk
from seqdyn.state import State, hold, leaves, map_leaves, steps
from seqdyn.teacher_forcing import TeacherForcing, as_teacher_forcing


@shown_by_shape
class Past(NamedTuple):
    """The input of :class:`OwnPast`: the last value, how much of it is known, and the other inputs.

    Attributes
    ----------
    value : Tensor, shape (batch, *shape)
        y_{t-1}; what stands where it is not known is never read.
    known : Tensor, shape (batch, *shape), or such that it broadcasts
        k_t in [0, 1].
    exogenous : tree, leaves (batch, …), or None
        r_t, the other inputs.
    """

    value: Tensor
    known: Tensor
    exogenous: Any = None


@shown_by_shape
class OwnPastState(NamedTuple):
    """``inner``: of the inner cell; ``last`` (batch, *shape): ŷ_{t-1}."""

    inner: State
    last: Tensor


@dataclass(frozen=True)
class Columns:
    """Picks some columns of an output, such as the point prediction among the numbers that describe it.

    Examples
    --------
    >>> Columns((0, 2))(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1., 3.]])
    """

    places: tuple[int, ...]

    def __call__(self, output: Tensor) -> Tensor:
        return output[..., list(self.places)]


def beside(value: Tensor, exogenous: Any) -> Tensor:
    """Join the last value and the other inputs, if there are any. This is the default feed of :class:`OwnPast`."""
    return value if exogenous is None else torch.cat([value, exogenous], -1)


class OwnPast(Cell):
    """A cell that sees the last value of what it predicts, and its own prediction where that is not known.

        v_t = k_t y_{t-1} + (1 − k_t) ŷ_{t-1}
        o_t, h_t = cell(feed(v_t, r_t), h_{t-1}),   ŷ_t = point(o_t)

    Its input is a :class:`Past` (y_{t-1}, k_t, r_t), its output o_t, its state (h_t, ŷ_t). Run on :meth:`alone`,
    nothing is known: that is the closed loop. Whole numbers (tokens) are never mixed: they are the true ones where
    k_t > 0.

    Parameters
    ----------
    cell : Cell
    feed : callable, optional
        ``feed(v, r) -> x`` makes the input of the inner cell, row by row. None: v, with r beside it where there is one.
        To be saved it has to be a registered function or record.
    point : callable, optional
        ``point(output) -> ŷ``, what of an output stands for the value; all of it if None.

    Raises
    ------
    ValueError
        If the inner cell's output is a tree and no ``point`` says what of it is fed back.

    Examples
    --------
    A step that is not known takes the last prediction:

    >>> import torch
    >>> from seqdyn.cells.linear import Linear
    >>> from seqdyn.loops import scan
    >>> double = Linear(1, 0, 1)
    >>> _ = double.feedthrough.data.fill_(2.0)
    >>> known = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1)
    >>> scan(OwnPast(double), Past(torch.ones(1, 3, 1), known)).output.detach().squeeze()
    tensor([2., 4., 8.])
    """

    input_shape = None

    def __init__(
        self, cell: Cell, feed: Callable[[Any, Any], Any] | None = None, point: Callable[[Any], Tensor] | None = None
    ):
        super().__init__(cell.input_size, cell.hidden_size, cell.output_size)
        if cell.output_shape is None:
            raise ValueError(f"{type(cell).__name__} gives a tree, and OwnPast feeds one tensor back: read it first.")
        self.cell, self.feed, self.point = cell, feed, point
        self.output_shape = cell.output_shape
        like = self._point(torch.zeros(1, *cell.output_shape))
        self.value_shape, self.whole = tuple(like.shape[1:]), not like.is_floating_point()

    def initial_state(self, batch: int) -> OwnPastState:
        return OwnPastState(self.cell.initial_state(batch), self._nothing(batch))

    def primed(self, lead: Past, there: Tensor) -> OwnPastState:
        known = _everywhere(lead.known > 0)
        inner = self.cell.primed(self._rows(lead.value, lead.exogenous), there & known)
        return OwnPastState(inner, self._nothing(len(there)))

    def start_from(self, state: State | None = None, last: Tensor | None = None) -> OwnPastState:
        """Return the state after the output ``last`` = y_{-1}, (batch, *shape), with h_{-1} as the inner state.

        Each is that of a fresh start (zeros, the cell's initial state) if None.
        """
        if last is not None and (not isinstance(last, Tensor) or tuple(last.shape[1:]) != self.value_shape):
            shape = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
            expected = ", ".join(map(str, ("batch", *self.value_shape)))
            raise ValueError(f"last, the output before the first step, is ({expected}), got {shape}.")
        given = leaves(state) + leaves(last)
        fresh = self.initial_state(len(given[0]) if given else 1)
        return OwnPastState(
            fresh.inner if state is None else state, fresh.last if last is None else last.to(fresh.last)
        )

    def alone(self, batch: int, time: int, exogenous: Any = None) -> Past:
        """Return the input of a closed loop: no past value is known; the other inputs are given, or zeros."""
        nothing = self._nothing(batch)
        beside = 0 if self.feed else self.input_size - nothing[0].numel()
        if exogenous is None and beside:
            exogenous = hold(self.zeros(batch, beside), time)
        return Past(hold(nothing, time), hold(self.zeros(batch, *self.value_shape), time), exogenous)

    def forward(self, x: Any, state: OwnPastState) -> tuple[Any, OwnPastState]:
        u = self._meet(x, state.last)
        output, inner = self.cell(u, state.inner)
        return output, OwnPastState(inner, self._point(output))

    def unroll(self, x: Any, state: OwnPastState, mask: Tensor | None = None) -> Any:
        if mask is not None:
            return NotImplemented
        known = _past(apart(x)[0]).known
        given = _everywhere(known >= 1).all(0)  # (time,): nobody runs on its own prediction
        if bool(given.all()):
            return self._driven(x, state)
        outputs = []
        for start, stop in pairwise(_borders(given)):
            piece, driven = steps(x, start, stop), bool(given[start]) and stop - start > 1
            output, state = self._driven(piece, state) if driven else walk(self, piece, state)
            outputs.append(output)
        return torch.cat(outputs, 1), state

    def prepared(self) -> Any:
        inner, point = self.cell.prepared(), self.point
        if inner is NotImplemented or self.feed or not isinstance(point, Columns | None) or self.whole:
            return NotImplemented
        places = slice(None) if point is None else list(point.places)

        def step(x: tuple[Array, Array, Any], state: tuple[Any, Array]) -> tuple[Array, tuple[Any, Array]]:
            (value, known, rest), (before, last) = x, state
            mixed = known * np.where(known > 0, value, 0) + (1 - known) * last
            v = np.where(known >= 1, value, mixed)
            output, after = inner(v if rest is None else np.concatenate([v, rest], -1), before)
            return output, (after, output[..., places])

        return step

    def gates(self, x: Any, before: OwnPastState, output: Any, after: OwnPastState) -> dict[str, Tensor]:
        return self.cell.gates(self._meet(x, before.last), before.inner, output, after.inner)

    def block(self, x: Any, before: OwnPastState, output: Any, after: OwnPastState) -> Any:
        """From the inner cell's block, through v_t: inputs are (value, known, exogenous), the state is (h, ŷ)."""
        (value, known, _exogenous), _ = apart(x)
        plain = self.feed is None and (self.point is None or isinstance(self.point, Columns))
        if not plain or value.dim() != 2 or known.shape != value.shape:
            return NotImplemented
        inner = self.cell.block(self._meet(x, before.last), before.inner, output, after.inner)
        if inner is NotImplemented:
            return NotImplemented
        by_known = (torch.where(known > 0, value, 0) - before.last) * (known < 1)
        return _closed(inner, known, by_known, self.point if isinstance(self.point, Columns) else None)

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        return self.cell.noise(batch, time, generator)

    def _nothing(self, batch: int) -> Tensor:
        """The value before any was predicted: zeros."""
        zeros = self.zeros(batch, *self.value_shape)
        return zeros.long() if self.whole else zeros

    def _meet(self, x: Any, last: Tensor) -> Any:
        """What the inner cell sees: u_t."""
        past, noise = apart(x)
        value, known, rest = _past(past)
        return noisy(self._feed(_mixed(value, known, last), rest), noise)

    def _driven(self, x: Any, state: OwnPastState) -> tuple[Any, OwnPastState]:
        """All values known: they are fed as they are, and the inner cell's kernel runs."""
        (value, _, rest), noise = apart(x)
        output, inner = unroll(self.cell, noisy(self._rows(value, rest), noise), state.inner)
        return output, OwnPastState(inner, self._point(output[:, -1]))

    def _rows(self, value: Tensor, rest: Any) -> Any:
        """Feed (batch, time, …) as rows of one batch: what feeds one step feeds them all."""
        batch, time = value.shape[:2]
        rows = self._feed(value.flatten(0, 1), map_leaves(lambda leaf: leaf.flatten(0, 1), rest))
        return map_leaves(lambda leaf: leaf.unflatten(0, (batch, time)), rows)

    def _feed(self, value: Tensor, rest: Any) -> Any:
        return (self.feed or beside)(value, rest)

    def _point(self, output: Any) -> Any:
        return output if self.point is None else self.point(output)


@shown_by_facts
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
    residual : bool
        Show it the lags as they are, and let it predict the change from the last value: a step of a motion or of a flow
        is small, and standing still is where the training begins.
    horizon : int, at least 1
        Steps ahead in one row of y, one target's steps side by side: y_t, y_{t+1}, …, y_{t+H-1}.
    teacher_forcing : float in [0, 1], the name of a schedule, or TeacherForcing
        In training, the share of steps that see the true last value; the others see the network's own prediction.
        ``"linear"`` goes from 1 to 0 along the training (scheduled sampling); since its loss rises on the way, the
        training then stops early only with ``early_stopping``. A :class:`~seqdyn.teacher_forcing.TeacherForcing` says
        the rest: sparse and generalised forcing, other schedules.
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
    >>> model = ElmanRegressor(autoregression=Autoregression(lags=3), max_epochs=20, random_state=0)
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
    teacher_forcing: float | str | TeacherForcing = 1.0
    free_run: int = 0
    residual: bool = False

    def __post_init__(self) -> None:
        for name in ("targets", "lags", "horizon"):
            check_count(name, getattr(self, name))
        for name in ("centred", "residual"):
            check_choice(name, getattr(self, name), (True, False))
        if self.centred and self.lags < 2:
            raise ValueError(
                f"centred shows the lags relative to the last value: lags must be at least 2, got {self.lags}."
            )
        check_count("free_run", self.free_run, 0)
        as_teacher_forcing(self.teacher_forcing, self.free_run)

    def facts(self) -> dict[str, object]:
        """Return the parameters that differ from their defaults, for the repr."""
        own = {part.name: (getattr(self, part.name), part.default) for part in fields(self)}
        return {name: value for name, (value, default) in own.items() if value != default}

    @property
    def relative(self) -> bool:
        """Whether the network predicts relative to the last value."""
        return self.centred or self.residual

    @property
    def forcing(self) -> TeacherForcing:
        """The policy that says which past values a training step sees."""
        return as_teacher_forcing(self.teacher_forcing, self.free_run)

    def target_scaling(self, inputs: Scaling) -> Scaling:
        """Return the scaling of targets whose predictions are fed back: that of their last values among the inputs."""
        column = np.repeat(np.arange(self.targets), self.horizon)
        return Scaling(inputs.mean[column], inputs.scale[column])

    def width(self, inputs: int) -> int:
        """Return the number of inputs of the inner network when X has ``inputs`` features."""
        return inputs - self.targets + self.targets * (self.lags - self.centred)

    def wrap(self, cell: Cell, heads: int, location_outputs: Sequence[int], point_output: int) -> OwnPast:
        """Wrap the network so that it sees its own past.

        Parameters
        ----------
        cell : Cell
            The inner network, of ``targets · horizon · heads`` outputs.
        heads : int
            Outputs that describe one predicted number.
        location_outputs : sequence of int
            Which of them move with the level.
        point_output : int
            Which of them stands for the prediction.
        """
        shifted = [
            target if head in location_outputs else -1
            for target in range(self.targets)
            for _ in range(self.horizon)
            for head in range(heads)
        ]
        fed = tuple(target * self.horizon * heads + point_output for target in range(self.targets))
        plain = self.lags == 1 and not self.residual
        line = cell if plain else DelayLine(cell, self.targets, self.lags, self.centred, shifted, self.residual)
        return OwnPast(line, point=Columns(fed))

    def hide(self, x: Past, lengths: Tensor | None, progress: float, generator: torch.Generator) -> Past:
        """Mark some last values of training inputs (batch, time, …) as unknown, or as partly known.

        Parameters
        ----------
        x : Past
        lengths : Tensor of int64, shape (batch,), or None
            The length of every sequence; None: all of them fill the batch.
        progress : float in [0, 1]
            How much of the training is done.
        generator : torch.Generator
        """
        if self.forcing.is_full:
            return x
        batch, time = x.value.shape[:2]
        shown = self.forcing.known(batch, time, lengths, progress, generator)
        return x._replace(known=x.known * shown.to(x.known)[..., None])


def _past(x: Any) -> Past:
    """The input of a cell with its own past, or an error that says what it is."""
    if not isinstance(x, Past):
        raise TypeError(
            f"OwnPast takes a seqdyn.autoregression.Past(value, known, exogenous), got {type(x).__name__}: say how "
            "much of the last value is known. For a closed loop give cell.alone(batch, time)."
        )
    return x


def _mixed(value: Tensor, known: Tensor, last: Tensor) -> Tensor:
    """k v + (1 − k) ŷ; what is not known at all is never read, and what is known fully has no part of ŷ."""
    if not value.is_floating_point():
        return torch.where(known > 0, value, last)
    mixed = known * torch.where(known > 0, value, 0) + (1 - known) * last
    return torch.where(known >= 1, value, mixed)


def _closed(inner: Block, known: Tensor, by_known: Tensor, point: Columns | None) -> Block:
    """The block of a cell that sees v = k value + (1 − k) ŷ, from that of the inner cell by v and the other inputs."""
    width = known.shape[1]

    def by_inputs(slopes: Tensor) -> Tensor:
        v, rest = slopes[..., :width], slopes[..., width:]
        return torch.cat([v * known.unsqueeze(1), v * by_known.unsqueeze(1), rest], 2)

    def by_state(own: Tensor, slopes: Tensor) -> Tensor:
        return torch.cat([own, slopes[..., :width] * (1 - known).unsqueeze(1)], 2)

    def fed(rows: Tensor) -> Tensor:
        return rows if point is None else rows[:, list(point.places)]

    feedthrough, readout = by_inputs(inner.feedthrough), by_state(inner.readout, inner.feedthrough)
    return Block(
        feedthrough,
        readout,
        torch.cat([by_inputs(inner.input_map), fed(feedthrough)], 1),
        torch.cat([by_state(inner.transition, inner.input_map), fed(readout)], 1),
    )


def _everywhere(marks: Tensor) -> Tensor:
    """Whether marks (batch, time, …) hold for the whole of each step, (batch, time)."""
    return marks.reshape(*marks.shape[:2], -1).all(2)


def _borders(given: Tensor) -> list[int]:
    """The instants at which a stretch of known or unknown values begins, and the end."""
    changes = (given[1:] != given[:-1]).nonzero().flatten() + 1
    return [0, *changes.tolist(), len(given)]
