"""What a forecaster keeps between calls: the state of its network, and the data that the next step needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray

from seqdyn.arrays import Array
from seqdyn.data.panels import Panel
from seqdyn.forecasting.fitted import Departure, FittedNetwork
from seqdyn.forecasting.inputs import lagged_targets
from seqdyn.state import State, from_xarray, leaves, map_leaves, take, to_xarray

LABELS = {"pending": "pending", "tail": "tails", "recent": "recent"}
"""The variables of a labelled state beside the network's own, and the attributes that they are."""


@dataclass(frozen=True)
class SeriesMemory:
    """Everything that forecasts of all series start from; reading rows gives another one, and changes none.

    Attributes
    ----------
    network : State
        After the last known row, one row a series, in network units.
    pending : array, shape (series, columns)
        The last known values in units of each series, which the next row will hold.
    tails, recent : array, shape (series, memory)
        What differences are undone from, with gaps filled and as they are.
    context : Panel or None
        The last rows, where a forecast is conditioned on no more than these.
    """

    network: State
    pending: Array
    tails: Array
    recent: Array
    context: Panel | None

    @classmethod
    def of(cls, network: FittedNetwork, panel: Panel, state: State) -> SeriesMemory:
        """After the last row of every series of a fit, where the network is in this state."""
        z = network.transform.forward(panel)
        everyone = np.arange(len(panel.names))
        tails = network.tails(panel, everyone, panel.ends, network.rows(panel, z))
        context = None if network.context_length is None else panel.tail(_context_rows(network))
        return cls(state, z[panel.ends - 1], tails, network.transform.recent(panel), context)

    def update(self, network: FittedNetwork, new: Panel, before: Array) -> SeriesMemory:
        """After new rows of some series: O(new), whatever came before.

        ``before`` are the covariates known ahead of the last known rows.
        """
        owner, transform = network.numbers(new), network.units(new)
        z = transform.forward(new, self.recent[owner])
        X = network.inputs.rows(network.described(new), lagged_targets(z, new, self.pending[owner]), before[owner])
        place = torch.as_tensor(owner)
        said, after = network.estimator.predict(
            np.split(X, new.starts[1:]), initial_state=take(self.network, place), return_state=True
        )
        tails, recent = transform.moved(new, self.tails[owner], self.recent[owner], np.concatenate(said)[:, 0])
        return SeriesMemory(
            map_leaves(lambda old, now: old.index_copy(0, place.to(old.device), now), self.network, after),
            _placed(self.pending, owner, z[new.ends - 1]),
            _placed(self.tails, owner, tails),
            _placed(self.recent, owner, recent),
            None if self.context is None else self.context.joined(new).tail(_context_rows(network)),
        )

    def departure(self, network: FittedNetwork, known: Panel, future: Array) -> Departure:
        """What forecasts after the last known rows, those of the panel ``known``, start from."""
        constants = network.inputs.constants(known)
        beside = network.inputs.ahead(known.ahead(future.shape[1]), future, constants, known.future)
        x = network.encoded(self.pending, beside)
        return Departure(self._state(network), x, np.arange(len(known.names)), self.tails)

    def _state(self, network: FittedNetwork) -> State:
        """The state kept, or the one that the last rows alone lead to."""
        if self.context is None:
            return self.network
        z = network.units(self.context).forward(self.context)
        X = network.rows(self.context, z)
        return network.states(self.context, np.arange(len(self.context.names)), self.context.ends, X)

    def labelled(self, names: pd.Index) -> xarray.Dataset:
        """The network's state and what waits beside it, by series."""
        network = to_xarray(self.network, ("series",)).assign_coords(series=np.asarray(names))
        beside = {label: (("series", f"{label}_value"), getattr(self, own).copy()) for label, own in LABELS.items()}
        return network.assign(beside)

    def at(self, state: Any, network: FittedNetwork) -> SeriesMemory:
        """The memory with another state: a labelled one, or a State, which is the network's alone."""
        beside: dict[str, Any] = {}
        if isinstance(state, xarray.Dataset):
            whole = self._checked(state, network.names)
            beside = {own: whole[label].to_numpy().copy() for label, own in LABELS.items()}
            state = from_xarray(whole, self.network)
        found = network.estimator.predictor_.as_state(state, len(network.names))
        if not all(bool(leaf.isfinite().all()) for leaf in leaves(found)):
            raise ValueError("The state holds values that are not finite (NaN or inf).")
        return replace(self, network=found, **beside)

    def _checked(self, state: xarray.Dataset, names: pd.Index) -> xarray.Dataset:
        """A labelled state in the order of the series, if it has all of them and all variables."""
        absent = [str(name) for name in self.labelled(names).data_vars if name not in state]
        if absent or "series" not in state.indexes:
            raise ValueError(
                f"The state has the variables {sorted(map(str, state.data_vars))}, but not {absent or ['series']}: "
                "give what .state of this forecaster returned."
            )
        missing = names.difference(state.indexes["series"])
        if len(missing):
            raise ValueError(f"The state has no rows for series {missing[0]!r}: give one for every series.")
        return state.sel(series=np.asarray(names))


def _context_rows(network: FittedNetwork) -> int:
    """The last rows that a forecast from a short context needs."""
    return int(network.context_length or 0) + network.transform.memory + 1


def _placed(old: Array, rows: Array, values: Array) -> Array:
    """A copy of an array with other values in some rows."""
    new = old.copy()
    new[rows] = values
    return new
