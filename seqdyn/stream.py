"""The one mutable object: a model that meets its data one step at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell, outline
from seqdyn.checks import check_count
from seqdyn.codecs import Codec, Plain
from seqdyn.facts import shown_by_facts
from seqdyn.loops import rollout
from seqdyn.prepared import WrittenStep, quick_step
from seqdyn.state import State, detach, leaves, map_leaves, named_leaves

ArrayFeed = Callable[[Array, Array | None], Array]


@shown_by_facts
class Stream:
    """A cell with its current state: y_t, h_t = f(x_t, h_{t-1}), one step a call.

    Pushing the rows of a sequence one by one gives what a scan over the whole gives. It pickles, with its place. The
    weights are read at every push: over a network that is trained on, a stream follows it.

    Parameters
    ----------
    cell : Cell
    state : State, optional
        Of one row; the cell's own initial state if None.
    codec : Codec, optional
        Between the units of the data and those of the cell, see :mod:`seqdyn.codecs`; the cell's own units if None.
    lag : int, at least 0
        τ: the answer to x_t comes with x_{t+τ}; the first τ pushes answer None.
    flat : bool
        Answer one number or label, rather than an array (targets,).
    first : optional
        What the model sees before the first step: it is pushed at the beginning, and after every :meth:`reset`.

    Examples
    --------
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> stream = Stream(ExponentialMovingAverage(1, gamma=0.5))
    >>> stream.push([1.0]), stream.push([1.0])
    (array([0.5], dtype=float32), array([0.75], dtype=float32))
    >>> stream
    Stream(cell=ExponentialMovingAverage(1 → 1), inputs=1, steps=2, state=h (1, 1))
    """

    _step: WrittenStep
    _held: Any

    def __init__(
        self,
        cell: Cell,
        state: State | None = None,
        *,
        codec: Codec | Plain | None = None,
        lag: int = 0,
        flat: bool = False,
        first: Any = None,
    ):
        self.cell, self.lag, self.flat, self.first = cell, lag, flat, first
        self.codec: Any = _plain_codec(cell) if codec is None else codec
        self._like = cell.zeros(1)
        if state is None:
            self.reset()
        else:
            self.state = state

    @property
    def state(self) -> State:
        """h_t, in the units of the cell; assigning it moves the stream there."""
        return map_leaves(torch.clone, self._step.leave(self._held))

    @state.setter
    def state(self, state: State) -> None:
        expected = {name: (leaf.shape, leaf.dtype) for name, leaf in named_leaves(self.cell.initial_state(1))}
        given = {name: (leaf.shape, leaf.dtype) for name, leaf in named_leaves(state)}
        if given != expected:
            raise ValueError(
                f"The state has the leaves {_leaf_types(given)}, but a stream of {type(self.cell).__name__} needs "
                f"{_leaf_types(expected)}: one row."
            )
        if not all(bool(torch.isfinite(leaf).all()) for leaf in leaves(state) if leaf.is_floating_point()):
            raise ValueError("The state is NaN or infinite somewhere: no step leads out of that. Give a finite one.")
        self._prepare(map_leaves(torch.clone, detach(state)))
        self._last: Tensor | None = None
        self._pushed = 0

    def push(self, x: Any) -> Array | Any:
        """Take one step.

        Parameters
        ----------
        x : array-like, shape (inputs,)
            The input of this instant; what else the codec reads, such as a token.

        Returns
        -------
        array, shape (outputs,), or None
            y_t; with a lag τ, y_{t-τ}, and None for the first τ pushes.

        Raises
        ------
        ValueError
            If the shape does not fit, or a number is NaN or infinite. The stream then stays where it was.
        """
        row = self.codec.inputs.read(x)
        if not self._step.current:
            self._prepare(self._step.leave(self._held))
        self._last, self._held = self._step.row(self.codec.inputs.encode(row, self._like), self._held)
        self._pushed += 1
        return None if self._pushed <= self.lag else self._answer(self._last)

    def probabilities(self) -> Array:
        """The probability of every class in the answer to the last push, (classes,), in the order of ``classes_``.

        Raises
        ------
        ValueError
            If the model predicts numbers, or there is no answer yet.
        """
        return cast(Array, self.codec.targets.probabilities(self._answered()))

    def quantiles(self, levels: Sequence[float] | None = None) -> Array:
        """Quantiles of the answer to the last push, (outputs, levels), or (levels,) of one target.

        Parameters
        ----------
        levels : sequence of float in (0, 1), increasing, optional
            Those of the fit if None.

        Raises
        ------
        ValueError
            If the model's loss says nothing of quantiles, or there is no answer yet.
        """
        found: Array = self.codec.targets.quantiles(self._answered(), levels)
        return found[0] if self.flat else found

    def forecast(self, horizon: int, exogenous: Any = None, feed: ArrayFeed | None = None) -> Array:
        """Forecast by feeding every output back as the next input. The stream itself stays where it is.

        The first value follows the answer to the last push, which is the first input of the run. So for a model that
        predicts one step ahead, that answer is the first value of the future, and the forecast begins with the second.

        Parameters
        ----------
        horizon : int, at least 1
            Steps ahead.
        exogenous : array-like, shape (horizon, features), optional
            Known inputs of the future, in the units of the data.
        feed : callable, optional
            ``feed(y, exogenous_t) -> x``, arrays (targets,), (features,) or None, and (inputs,) in the units of the
            data. By default x is y, followed by the exogenous features if there are any.

        Returns
        -------
        array, shape (horizon, outputs)

        Raises
        ------
        ValueError
            Before the first push, with a lag, or if output and exogenous features do not make up an input.
        """
        check_count("horizon", horizon)
        if self._last is None:
            raise ValueError("Nothing has been pushed since the state was set: push the last known step first.")
        if self.lag:
            raise ValueError(f"A stream with output_lag={self.lag} answers late: it cannot feed its output back.")
        join = feed or _join
        known = None if exogenous is None else np.asarray(exogenous, dtype=np.float64)
        self._check_feed(join, known, horizon)

        def close(output: Tensor, u: Tensor | None) -> Any:
            x = join(self.codec.targets.decode(output)[0], None if u is None else u.numpy()[0])
            return self.codec.inputs.encode(x[None], self._like)

        with torch.inference_mode():
            future = None if known is None else torch.as_tensor(known).unsqueeze(0)
            ahead = rollout(self.cell, self.state, horizon, last=self._last[None], feed=close, exogenous=future)
            return cast(Array, self._answer(ahead.output[0]))

    def fork(self) -> Stream:
        """An independent stream at the same place, over the same weights."""
        return copy.copy(self)

    def reset(self) -> None:
        """Go back to the beginning: the cell's initial state, and what it sees before the first step."""
        self.state = self.cell.initial_state(1)
        if self.first is not None:
            self.push(self.first)
            self._pushed = 0

    def facts(self) -> dict[str, object]:
        """Return what the repr shows; ``steps`` counts the pushes since the state was set."""
        shape = self.codec.inputs.shape
        facts: dict[str, object] = {
            "cell": outline(self.cell),
            "inputs": (shape[0] if len(shape) == 1 else shape) if shape else "tokens",
            "steps": self._pushed,
            "state": ", ".join(f"{name or 'state'} {tuple(leaf.shape)}" for name, leaf in named_leaves(self.state)),
        }
        return {**facts, "lag": self.lag} if self.lag else facts

    def _prepare(self, state: State) -> None:
        """Go on from a state, by the step that is the quickest of the cell as it is."""
        self._step = quick_step(self.cell, state)
        self._held = self._step.enter(state)

    def _answer(self, output: Tensor) -> Array | Any:
        """What users get of outputs (…, outputs)."""
        values = self.codec.targets.finish(self.codec.targets.decode(output))
        return values[..., 0][()] if self.flat else values

    def _answered(self) -> Tensor:
        if self._last is None or (self.lag and self._pushed <= self.lag):
            raise ValueError("There is no answer yet: push a step first.")
        return self._last

    def _check_feed(self, join: ArrayFeed, known: Array | None, horizon: int) -> None:
        assert self._last is not None
        if known is not None and (known.ndim != 2 or not len(known)):
            raise ValueError(f"exogenous has shape {known.shape}, expected ({horizon}, features): one row a step.")
        first = np.shape(join(self.codec.targets.decode(self._last), None if known is None else known[0]))
        if first != self.codec.inputs.shape:
            raise ValueError(
                f"The next input would have shape {first}, but {self.codec.inputs.shape} is needed: give the other "
                "features as exogenous, or say with feed(y, exogenous) how an output becomes an input."
            )


def _join(y: Array, exogenous: Array | None) -> Array:
    return y if exogenous is None else np.concatenate([y, exogenous])


def _plain_codec(cell: Cell) -> Plain:
    if cell.input_shape is None:
        raise ValueError(f"{type(cell).__name__} takes a tree: a stream of it needs a codec, to read it by.")
    return Plain(cell.input_shape)


def _leaf_types(leaves: dict[str, Any]) -> str:
    return ", ".join(f"{name or 'state'} {tuple(shape)} {dtype}" for name, (shape, dtype) in leaves.items())
