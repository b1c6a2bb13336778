"""Rows for a regressor: the last values of the targets, then what is known at a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.data.calendar import calendar_features
from seqdyn.data.labels import quoted
from seqdyn.data.panels import Panel
from seqdyn.forecasting.history import differences
from seqdyn.forecasting.tables import series_means


@dataclass(frozen=True)
class ForecastInputs:
    """How the rows of a panel become inputs: (z_{t-1}, calendar_t, covariates known ahead at t − 1
    and from t on, static ones).

    Attributes
    ----------
    calendar : tuple of str
    reach : int
        Steps of the covariates known ahead that one row holds: 1, or the horizon of a direct model.
    categories : dict of array or None
        The values of every static covariate that is no number; None for one that is.
    """

    calendar: tuple[str, ...]
    reach: int
    categories: dict[str, Any]

    @classmethod
    def of(cls, panel: Panel, calendar: tuple[str, ...], reach: int, weight: str | None = None) -> ForecastInputs:
        """The inputs that go with a panel; the static covariate named by ``weight`` is no input."""
        static = panel.static if panel.static is not None else pd.DataFrame(index=panel.names)
        return cls(
            calendar, reach, {name: _category_values(static[name], name) for name in static.columns if name != weight}
        )

    def rows(self, panel: Panel, past: Array, before: Array | None = None) -> Array:
        """Inputs of all rows of a panel, (total, features); ``past`` holds z_{t-1}, NaN where it is not known.

        ``before`` are covariates known ahead of the row before each series; those of its first row if None.
        """
        place = np.arange(len(panel.target))[:, None] + np.arange(self.reach)
        inside = place < panel.ends[panel.series][:, None]
        ahead = np.where(inside[:, :, None], panel.future[np.minimum(place, len(place) - 1)], 0.0)
        earlier = np.concatenate([panel.future[:1], panel.future[:-1]])
        earlier[panel.starts] = panel.future[panel.starts] if before is None else before
        calendar = calendar_features(panel.times, self.calendar)
        held = self.constants(panel)[panel.series]
        return np.concatenate([past, calendar, earlier, ahead.reshape(len(place), -1), held], axis=1)

    def ahead(self, times: list[pd.Index], future: Array, constants: Array, before: Array) -> Array:
        """What is known at the steps after every origin, (origins, horizon, features).

        ``times`` are the instants of every origin, ``before`` the covariates known ahead of its last known row.
        """
        origins, horizon = future.shape[:2]
        steps = horizon if self.reach == 1 else 1
        calendar = self._waves(times, steps)
        earlier = np.concatenate([before[:, None], future[:, :-1]], axis=1)[:, :steps]
        reach = np.zeros((origins, max(self.reach, horizon), future.shape[2]))
        reach[:, :horizon] = future
        known = future if self.reach == 1 else reach[:, : self.reach].reshape(origins, 1, -1)
        held = np.broadcast_to(constants[:, None], (origins, steps, constants.shape[1]))
        return np.concatenate([calendar, earlier, known, held], axis=2)

    def constants(self, panel: Panel) -> Array:
        """Static covariates as numbers, (series, features): categories, those of the fit, as one column a value."""
        columns = [np.zeros((len(panel.names), 0))]
        for name, values in self.categories.items():
            assert panel.static is not None
            own = panel.static[name]
            if values is None:
                columns.append(own.to_numpy(dtype=np.float64)[:, None])
                continue
            unknown = ~own.isin(values).to_numpy()
            if unknown.any():
                raise ValueError(
                    f"The static covariate {name!r} has the value {own.iloc[int(np.argmax(unknown))]!r}, which was not "
                    f"in the fit; it knew {list(values[:5])}."
                )
            columns.append((own.to_numpy()[:, None] == values).astype(np.float64))
        return np.concatenate(columns, axis=1)

    def _waves(self, times: list[pd.Index], steps: int) -> Array:
        """Calendar features of every origin's steps; equal instants are computed once."""
        if not self.calendar:
            return np.zeros((len(times), steps, 0))
        found: dict[Any, Array] = {}
        for index in times:
            if index[0] not in found:
                found[index[0]] = calendar_features(index[:steps], self.calendar)
        return np.stack([found[index[0]] for index in times])


def targets(z: Array, panel: Panel, horizon: int) -> Array:
    """z_t … z_{t+H-1} of every column side by side, (total, columns · horizon); NaN past the end of a series.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series([1.0, 2.0, 3.0]))
    >>> targets(panel.target[:, None], panel, 2)
    array([[ 1.,  2.],
           [ 2.,  3.],
           [ 3., nan]])
    """
    if horizon == 1:
        return z
    ends = panel.ends[panel.series][:, None]
    place = np.arange(len(z))[:, None] + np.arange(horizon)
    inside = place < ends
    place = np.minimum(place, len(z) - 1)
    return np.concatenate([np.where(inside, column[place], np.nan) for column in z.T], axis=1)


def lagged_targets(z: Array, panel: Panel, before: Array | None = None) -> Array:
    """z_{t-1} of every row, (total, columns); NaN, or the given values, at the first row of a series.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> panel = read_panel(pd.Series([1.0, 2.0, 3.0]))
    >>> lagged_targets(panel.target[:, None], panel).T
    array([[nan,  1.,  2.]])
    """
    past = np.concatenate([np.full((1, z.shape[1]), np.nan), z[:-1]])
    past[panel.starts] = np.nan if before is None else before
    return past


def scale_features(panel: Panel, q: Array, season_length: int) -> pd.DataFrame:
    """How large and how rough every series is: logarithms of σ(q), mean |q_t − q_{t-1}| and mean |q_t − q_{t-m}|."""
    deviation = np.array([np.nanstd(q[panel.rows(number)]) for number in range(len(panel.names))])
    steps = (np.abs(differences(panel, lag, q)) for lag in (1, season_length))
    changes = (np.nan_to_num(series_means(step, panel.starts)) for step in steps)
    table = np.stack([deviation, *changes], axis=1)
    usual = np.array([np.median(column[column > 0]) if (column > 0).any() else 1.0 for column in table.T])
    floored = np.maximum(table, 1e-3 * usual)
    names = ("scale of the values", "scale of a step", "scale of a season")
    return pd.DataFrame(np.log(floored), index=panel.names, columns=names)


def _category_values(column: pd.Series, name: str) -> Array | None:
    """The categories of a static covariate; None for numbers."""
    if column.isna().any():
        raise ValueError(
            f"The static covariate {name!r} is missing for series {quoted(column.index[column.isna()][0])}."
        )
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return None
    values: Array = np.array(sorted(column.unique(), key=str), dtype=object)
    return values
