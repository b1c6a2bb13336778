"""The one mutable object: a model that meets its data one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.loops import rollout
from seqdyn.state import State, detach, map_leaves, named_leaves

Array = np.ndarray[Any, Any]
Feed = Callable[[Array, Array | None], Array]


class Stream:
    """A cell with its current state: y_t, h_t = f(x_t, h_{t-1}), one step a call.

    Pushing the rows of a sequence one by one gives what a scan over the whole gives.

    Parameters
    ----------
    cell : Cell
    state : State, optional
        Of one row; the cell's own initial state if None.
    encode : callable, optional
        From rows of data (rows, inputs), an array, to the tensor or tree that the cell takes.
    decode : callable, optional
        From outputs (…, outputs), an array, to y (…, targets) in the units of the data.
    lag : int, at least 0
        τ: the answer to x_t comes with x_{t+τ}; the first τ pushes answer None.
    inputs : int, optional
        How many numbers a push takes, if ``encode`` makes others of them; the cell's own number if None.
    finish : callable, optional
        What :meth:`push` and :meth:`forecast` make of decoded values (…, targets); class labels, say.

    Examples
    --------
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> stream = Stream(ExponentialMovingAverage(1, gamma=0.5))
    >>> stream.push([1.0]), stream.push([1.0])
    (array([0.5], dtype=float32), array([0.75], dtype=float32))
    """

    def __init__(
        self,
        cell: Cell,
        state: State | None = None,
        *,
        encode: Callable[[Array], Any] | None = None,
        decode: Callable[[Array], Array] | None = None,
        lag: int = 0,
        inputs: int | None = None,
        finish: Callable[[Array], Any] | None = None,
    ):
        self.cell = cell
        self.lag = lag
        self._encode = encode or self._plain
        self._decode = decode or _same
        self._finish = finish or _same
        self._shape = (cell.input_size if inputs is None else inputs,)
        own = cell.zeros(1)
        self._precision, self._device = np.float64 if own.dtype == torch.float64 else np.float32, own.device
        self.state = cell.initial_state(1) if state is None else state

    @property
    def state(self) -> State:
        """h_t, in the units of the cell; assigning it moves the stream there."""
        return map_leaves(torch.clone, self._state)

    @state.setter
    def state(self, state: State) -> None:
        expected = {name: (leaf.shape, leaf.dtype) for name, leaf in named_leaves(self.cell.initial_state(1))}
        given = {name: (leaf.shape, leaf.dtype) for name, leaf in named_leaves(state)}
        if given != expected:
            raise ValueError(
                f"The state has the leaves {_spoken(given)}, but a stream of {type(self.cell).__name__} needs "
                f"{_spoken(expected)}: one row."
            )
        self._state = detach(state)
        self._last: Tensor | None = None
        self._pushed = 0

    def push(self, x: Any) -> Any:
        """Take one step.

        Parameters
        ----------
        x : array-like, shape (inputs,)
            The input of this instant.

        Returns
        -------
        array, shape (outputs,), or None
            y_t; with a lag τ, y_{t-τ}, and None for the first τ pushes.
        """
        row = np.asarray(x, dtype=np.float64)
        if row.shape != self._shape:
            raise ValueError(f"x has shape {row.shape}, expected {self._shape}: one number a feature.")
        with torch.inference_mode():
            self._last, self._state = self.cell(self._encode(row[None]), self._state)
        self._pushed += 1
        return None if self._pushed <= self.lag else self._finish(self._decode(_array(self._last)))

    def forecast(
        self,
        horizon: int,
        exogenous: Any = None,
        feed: Feed | None = None,
    ) -> Any:
        """Run on alone: every output becomes the next input. The stream itself stays where it is.

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
        self._check_feed(join, known)

        def close(output: Tensor, u: Tensor | None) -> Any:
            return self._encode(join(self._decode(_array(output)), None if u is None else _array(u))[None])

        with torch.inference_mode():
            future = None if known is None else torch.as_tensor(known).unsqueeze(0)
            ahead = rollout(self.cell, self._state, horizon, last=self._last, feed=close, exogenous=future)
        return self._finish(self._decode(_array(ahead.output)))

    def fork(self) -> Stream:
        """An independent stream at the same place, over the same weights."""
        twin = Stream.__new__(Stream)
        twin.__dict__ |= self.__dict__
        return twin

    def reset(self) -> None:
        """Go back to the cell's initial state."""
        self.state = self.cell.initial_state(1)

    def _check_feed(self, join: Feed, known: Array | None) -> None:
        assert self._last is not None
        if known is not None and known.ndim != 2:
            raise ValueError(f"exogenous has shape {known.shape}, expected (horizon, features).")
        first = np.shape(join(self._decode(_array(self._last)), None if known is None else known[0]))
        if first != self._shape:
            raise ValueError(
                f"The next input would have shape {first}, but {self._shape} is needed: give the other features as "
                "exogenous, or say with feed(y, exogenous) how an output becomes an input."
            )

    def _plain(self, rows: Array) -> Tensor:
        return torch.from_numpy(rows.astype(self._precision)).to(self._device)


def _array(output: Tensor) -> Array:
    """The only row of a batch, as an array."""
    values: Array = output.cpu().numpy()[0]
    return values


def _join(y: Array, exogenous: Array | None) -> Array:
    return y if exogenous is None else np.concatenate([y, exogenous])


def _same(value: Any) -> Any:
    return value


def _spoken(leaves: dict[str, Any]) -> str:
    return ", ".join(f"{name or 'state'} {tuple(shape)} {dtype}" for name, (shape, dtype) in leaves.items())
