"""Predictors hold all that is needed to use a fitted network.

A predictor holds the network with its start, and the codec between its units and those of the data. Estimators hold one
(``est.predictor_``); forecasters, scorers, reports and streams use it.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from seqdyn.arrays import Array
from seqdyn.cell import Cell, outline
from seqdyn.checks import outside
from seqdyn.codecs import Codec, tensor
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import target_rows
from seqdyn.facts import shown_by_facts
from seqdyn.files import save
from seqdyn.state import State, expand, leaves, map_leaves
from seqdyn.stream import Stream
from seqdyn.training.batches import Rows
from seqdyn.training.forward import Annotator, run_network

LONGEST_MEMORY = 1e6
"""Steps; what remembers its start for longer, as a drift does, forgets it in no warm-up."""


class Ran(NamedTuple):
    """What a network made of sequences: ``output`` (rows, outputs), one row a prediction, and the ``state`` after each
    series' last known step (None where it was not asked for)."""

    output: Tensor
    state: State | None


@shown_by_facts
@dataclass(frozen=True)
class Predictor:
    """A fitted network, its start, and the codec between its units and those of the data.

    Parameters
    ----------
    network : Cell or Annotator
    codec : Codec
    lag : int, at least 0
        τ: y_t is read after x_{t+τ} was seen; every series is continued by τ mean rows.
    per_step : bool
        One prediction a step, or one a sequence, at its end.
    warmup : int or None
        Leading steps that carry no score; None: a tenth of every sequence, at least 1.
    window : int or None
        The longest sequence of which a tenth is taken, as long as those it was trained on; None: any.
    flat : bool
        Whether targets have no axis of their own.
    first : optional
        What the network sees before the first step of a sequence that comes alone.

    Examples
    --------
    >>> from seqdyn import ARXRegressor
    >>> from seqdyn.data.sequences import as_sequences
    >>> x = np.random.default_rng(0).normal(size=(50, 1))
    >>> predictor = ARXRegressor(output_lags=1).fit(x, np.cumsum(x)).predictor_
    >>> output, state = predictor.run(as_sequences(x))
    >>> predictor.decode(output).shape
    (50, 1)
    """

    network: nn.Module
    codec: Codec
    lag: int = 0
    per_step: bool = True
    warmup: int | None = 0
    window: int | None = None
    flat: bool = False
    first: Any = None

    def facts(self) -> dict[str, object]:
        """Return what the repr shows."""
        sides = {name: type(side).__name__ for name, side in vars(self.codec).items()}
        others = {name: getattr(self, name) for name in ("lag", "per_step", "warmup")}
        return {"network": outline(self.network), **sides, **others}

    @property
    def like(self) -> Tensor:
        """A tensor of the network's precision, on its device."""
        own = [*self.network.parameters(), *self.network.buffers()]
        return next((value for value in own if value.is_floating_point()), torch.zeros(0))

    def causal(self, what: str) -> Cell:
        """Return the network as a Cell, or raise if its state does not depend on the past alone.

        Parameters
        ----------
        what : str
            What needs it, for the error.
        """
        if isinstance(self.network, Cell):
            return self.network
        try:
            return cast(Annotator, self.network).as_cell()
        except ValueError as reason:
            raise ValueError(
                f"{what} needs a causal model, whose state depends on the past alone, but {reason}"
            ) from None

    def rows(
        self, sequences: Sequences, table: Array | None = None, weight: Array | None = None, lag: int | None = None
    ) -> Rows:
        """Return the rows in the units of the network, on its device; ``lag`` mean rows continue every series.

        Parameters
        ----------
        sequences : Sequences
        table : array, shape (total, targets) or, with one a sequence, (series, targets), optional
            Targets as users give them; they stand τ rows late. What is missing has weight 0.
        weight : array, shape (total, 1), optional
            What the targets of every step count; all the same if None.
        lag : int, optional
            The predictor's own if None.
        """
        lag = self.lag if lag is None else lag
        self._check_names(sequences)
        x, starts, lengths = sequences.rows, sequences.starts, sequences.lengths
        if lag:
            longer = np.tile(np.asarray(self.codec.inputs.mean, dtype=np.float64), (len(x) + lag * len(lengths), 1))
            longer[sequences.places(lag)] = x
            x, starts, lengths = longer, starts + lag * np.arange(len(lengths)), lengths + lag
        nothing = self.like.new_zeros(len(x), 0)
        rows = Rows(self.encode(x), nothing, None, torch.as_tensor(starts), torch.as_tensor(lengths))
        return rows if table is None else self._with_targets(rows, sequences, table, weight, lag)

    def _check_names(self, sequences: Sequences) -> None:
        """Raise if features have other names than those of the fit, or the same in another order."""
        given, fitted = sequences.features, self.codec.inputs.names
        if given is not None and fitted is not None and tuple(map(str, given)) != fitted:
            raise ValueError(f"The features are {list(given)}, those of the fit were {list(fitted)}, in this order.")

    def _with_targets(self, rows: Rows, sequences: Sequences, table: Array, weight: Array | None, lag: int) -> Rows:
        numbers = target_rows(self.codec.targets.encode(table), sequences, self.per_step)
        counts = ~np.isnan(numbers) * (np.ones(1) if weight is None else weight)
        place = sequences.places(lag) + lag
        y, late = np.zeros((len(rows), numbers.shape[1])), np.zeros((len(rows), numbers.shape[1]))
        y[place], late[place] = np.where(counts > 0, numbers, 0.0), counts
        alike = bool((late == late[0, 0]).all())
        return replace(rows, y=tensor(y, self.like), weight=None if alike else tensor(late, self.like))

    def encode(self, rows: Array) -> Any:
        """Features (…, features) in the units of the data as the network takes them."""
        return self.codec.inputs.encode(rows, self.like)

    def run(self, sequences: Sequences, state: State | None = None, keep_state: bool = False) -> Ran:
        """Run the network over sequences.

        Parameters
        ----------
        sequences : Sequences
        state : State, optional
            h_{-1}, one row, or one a series; the network's own start if None.
        keep_state : bool
            Give back the state after the last known step, too.

        Raises
        ------
        ValueError
            If the state does not fit, or the network is not causal and a state is given or asked for.
        """
        network = self.network
        if state is not None or keep_state:
            network = self.causal("initial_state=State" if state is not None else "return_state=True")
        start = None if state is None else self.as_state(state, len(sequences.lengths))
        late = self.rows(sequences)
        output, after = run_network(network, late, start)
        if self.lag and keep_state:
            _, after = run_network(network, self.rows(sequences, lag=0), start)
        after = after if keep_state else None
        if not self.per_step:
            return Ran(output[(late.starts + late.lengths - 1).to(output.device)], after)
        if self.lag:
            output = output[torch.as_tensor(sequences.places(self.lag) + self.lag).to(output.device)]
        return Ran(output, after)

    def decode(self, output: Tensor) -> Array:
        """Return predictions from outputs (…, outputs), in the units of the data."""
        return cast(Array, self.codec.targets.decode(output))

    def predicted(self, output: Tensor) -> Array:
        """Return predictions as users get them from outputs: numbers or labels (…, targets)."""
        return np.asarray(self.codec.targets.finish(self.decode(output)))

    def warmup_steps(self, lengths: Array) -> Array:
        """Leading steps of every series that carry no score."""
        return warmup_steps(self.warmup, self.window, lengths)

    def check_warmup(self, sequences: Sequences, forgetting_time: float) -> None:
        """Warn if the warm-up is shorter than the network remembers its start, and a longer one would do.

        Parameters
        ----------
        sequences : Sequences
        forgetting_time : float
            Steps until two starts agree.
        """
        warmup = int(self.warmup_steps(sequences.lengths).min())
        if 0 < warmup < forgetting_time <= LONGEST_MEMORY:
            warnings.warn(
                f"warmup={warmup} is shorter than the {forgetting_time:g} steps this model remembers its start: "
                "predictions after the warm-up still depend on it. Set a longer warmup.",
                stacklevel=outside(),
            )

    def as_state(self, state: State, series: int) -> State:
        """A given state on the device, one row for every series."""
        found = leaves(state)
        if not found:
            raise ValueError("initial_state holds no tensors; give est.state_ or the state predict returned.")
        rows = {len(leaf) if leaf.dim() else 0 for leaf in found}
        if rows == {1} and series > 1:
            state = expand(state, series)
        elif rows != {series}:
            raise ValueError(
                f"initial_state has {sorted(rows)} rows, expected 1 or one for each of the {series} series of X."
            )
        return map_leaves(lambda leaf: leaf.to(self.like.device), state)

    def stream(self, state: State | None = None) -> Stream:
        """A :class:`~seqdyn.stream.Stream`, in the units of the data."""
        start = None if state is None else self.as_state(state, 1)
        return Stream(
            self.causal("stream"), start, codec=self.codec, lag=self.lag, flat=self.flat, first=self.first
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the predictor alone, without what it was trained by; ``seqdyn.load(path)`` reads it back.

        Raises
        ------
        TypeError
            If something in it cannot be stored, such as a cell that is not registered; the message says what.
        """
        save(path, self)

    def to_content(self) -> dict[str, Any]:
        """Return the tree that files hold."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        return cls(**content)


def warmup_steps(warmup: int | None, window: int | None, lengths: Array) -> Array:
    """Leading steps of every series that carry no loss and no score.

    Examples
    --------
    >>> warmup_steps(5, None, np.array([40, 200])), warmup_steps(None, 100, np.array([40, 200]))
    (array([5, 5]), array([ 4, 10]))
    """
    if warmup is None:
        return np.maximum(1, np.minimum(lengths, window or lengths) // 10)
    return np.full(len(lengths), warmup, dtype=np.int64)
