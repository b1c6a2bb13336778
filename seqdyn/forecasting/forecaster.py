"""The forecaster: any regressor of the library on a frame, with its state kept between calls.

A row of the regressor's inputs is (z_{t-1}, what is known at t); its target is z_t, or z_t … z_{t+H-1}. What is not
known yet is NaN, and the regressor's own prediction takes its place (:mod:`seqdyn.autoregression`). So training,
filtering through gaps, forecasting and backtesting are one pass over rows.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
import xarray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from seqdyn.autoregression import Autoregression
from seqdyn.checks import check_choice, check_count
from seqdyn.codecs import tensor
from seqdyn.data.calendar import calendar_names
from seqdyn.data.panels import Panel, Roles
from seqdyn.estimators.closed_form import ClosedFormEstimator
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.estimators.tasks import NumberEstimator
from seqdyn.forecasting.conformal import Conformal, held_out, spread
from seqdyn.forecasting.contract import Forecasts, PanelForecaster
from seqdyn.forecasting.defaults import default_baselines
from seqdyn.forecasting.inputs import Inputs, scale_features, shifted, targets
from seqdyn.forecasting.origins import Origins, check_grid
from seqdyn.forecasting.paths import Sampler, sample_paths, spread_by_series
from seqdyn.forecasting.states import at_origins, outputs_ahead
from seqdyn.forecasting.transform import SCALINGS, SeriesTransform
from seqdyn.generators import generator_of
from seqdyn.state import State, from_xarray, leaves, map_leaves, take, to_xarray
from seqdyn.training.heads import Head

if TYPE_CHECKING:
    pass

Array = np.ndarray[Any, Any]


RESIDUALS = 20_000
"""Rows of all series together whose one-step errors are kept for sample paths, at least 100 of each."""


BESIDE = {"pending": "last_", "tail": "tails_", "recent": "recent_"}
"""What belongs to the state of a forecaster beside the network's own."""


@dataclass(repr=False, eq=False)
class Forecaster(PanelForecaster):
    """Forecasts of a stateful regressor: ŷ_{t+1}, h_{t+1} = f(y_t, u_{t+1}, h_t), for one or many series.

    One set of weights serves all series; each has its own scale, and its own state, which remembers its whole past.

    Parameters
    ----------
    estimator : regressor
        Any regressor of the library; a GRU if None. It is copied.
    horizon : int or None
        Steps of a direct model, and the default of ``forecast``.
    strategy : {"recursive", "direct"}
        ``"recursive"`` predicts one step and feeds it back; ``"direct"`` predicts all ``horizon`` steps at once.
    context_length : int or None
        How many of the last rows condition a forecast. None: all of them, through the state.
    lags : int or None
        How many of the last values the network sees at once; a season and one if None, where the series are long
        enough.
    centred : bool
        Show the network the lags relative to the last value, and let it predict relative to that. Then a trend is
        continued.
    log : bool or "auto"
        Model log y; ``"auto"`` where a series is positive. The point forecast of y is then a median, not a mean.
    difference, seasonal_difference : int
        d and D: model (1 − L)^d (1 − L^m)^D y.
    scaling : {"standard", "robust", "mean", "seasonal", None}
        How each series is scaled, by what the fit has seen of it: mean and standard deviation; median and quartiles;
        mean |y|; mean and mean |y_t − y_{t-m}|.
    scale_features : bool
        Tell the network how large and how rough each series is, as static covariates: the logarithms of its standard
        deviation and of its mean absolute differences over one step and over m.
    weight : str or None
        A static covariate that says how much each series counts in the loss; it is no input.
    calendar : None, "auto" or sequence of str
        Calendar features: ``"hour"``, ``"day_of_week"``, ``"day_of_month"``, ``"day_of_year"``, ``"month"``, …
    teacher_forcing : float in [0, 1] or "linear"
        In training, the share of steps that see the true last value.
    free_run : int
        In training, the last so many steps of every window run on the network's own predictions.
    calibration : int
        Origins at the end of the fit's data that are held out to measure errors for split-conformal intervals; 0: none.
    n_samples : int
        Sample paths that quantiles are taken from, where the model draws them.
    random_state : int, RandomState or None
        Draws the sample paths.
    freq, season_length, id_col, time_col, target_col, past, future, static
        See :class:`~seqdyn.forecasting.contract.PanelForecaster`. In the recursive strategy ``past`` covariates are
        forecast along with the target.

    Attributes
    ----------
    estimator_ : regressor
        Fitted.
    state_ : State
        After the last known row, one row a series, in network units; :attr:`state` has it labelled.
    transform_ : SeriesTransform
        The scale of every series, fixed at the last fit.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from seqdyn import Forecaster, GRURegressor
    >>> days = pd.date_range("2024-01-01", periods=200, freq="D")
    >>> sales = pd.Series(20 + 5 * np.sin(np.arange(200) * 2 * np.pi / 7), days, name="sales")
    >>> model = Forecaster(GRURegressor(hidden_size=8, max_epochs=100, random_state=0)).fit(sales)
    >>> model.forecast(3).index[0]
    Timestamp('2024-07-19 00:00:00')
    """

    estimator: Any = None
    _: KW_ONLY
    horizon: int | None = None
    strategy: str = "recursive"
    context_length: int | None = None
    lags: int | None = None
    centred: bool = True
    log: Any = False
    difference: int = 0
    seasonal_difference: int = 0
    scaling: str | None = "standard"
    scale_features: bool = False
    weight: str | None = None
    calendar: Any = None
    teacher_forcing: Any = 1.0
    free_run: int = 0
    calibration: int = 0
    n_samples: int = 500
    random_state: Any = None

    # ---------------------------------------------------------------- fitting

    def _learn(self, panel: Panel) -> None:
        self._check()
        if not self.calibration:
            self._learn_from(panel)
            self.conformal_ = None
            return
        horizon = self.horizon or max(1, self._season(panel))
        origins, before = held_out(panel, horizon, self.calibration)
        self._learn_from(before)
        super()._remember(self._described(before, self.transform_))
        self.spread_ = spread(self, before, horizon)
        self.conformal_ = Conformal.measure(self, panel, origins)
        self._learn_from(panel)
        super()._remember(self._described(panel, self.transform_))
        self.spread_ = spread(self, panel, horizon)

    def _learn_from(self, panel: Panel) -> None:
        season = self._season(panel)
        self.transform_ = SeriesTransform.fit(
            panel, self.log, self.difference, self.seasonal_difference, season, self.scaling
        )
        names = calendar_names(self.calendar, season, panel.grid.freq, panel.grid.kind)
        panel = self._described(panel, self.transform_)
        self.inputs_ = Inputs.of(panel, names, self._steps, self.weight)
        z = self.transform_.forward(panel)
        self._check_extent(z, panel)
        X, Y = self.inputs_.rows(panel, shifted(z, panel)), targets(z, panel, self._steps)
        begins, ends = panel.stretches(max(50, 2 * season))
        weight = None if self.weight is None else self._weights(panel)[panel.series[begins]]
        parts = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
        with _own_start():
            self.estimator_ = self._configured(panel, z.shape[1])
            self.estimator_.fit([X[part] for part in parts], [Y[part] for part in parts], weight)
        if len(parts) > len(panel.names):  # trained between long gaps, the state goes through them
            _, self.estimator_.state_ = self.estimator_.predict(np.split(X, panel.starts[1:]), return_state=True)
        self.residuals_, self.roughness_ = self._residuals(X, Y, panel)

    def _described(self, panel: Panel, transform: SeriesTransform) -> Panel:
        """The panel with the scale of every series among its static covariates, if that was asked for."""
        if not self.scale_features:
            return panel
        static = scale_features(panel, transform.levels(panel), transform.season_length)
        return panel.with_static(static if panel.static is None else panel.static.join(static))

    def _weights(self, panel: Panel) -> Array:
        """What every series counts in the loss, (series,)."""
        assert panel.static is not None
        weight = panel.static[self.weight].to_numpy(dtype=np.float64)
        if not (weight >= 0).all() or not weight.any():
            raise ValueError(f"weight={self.weight!r} must be at least 0 for every series, and above 0 for some.")
        return weight

    def _roles(self) -> Roles:
        roles = super()._roles()
        return roles if self.weight is None else replace(roles, static=(*roles.static, self.weight))

    def _remember(self, panel: Panel) -> None:
        super()._remember(self._described(panel, self.transform_))
        self._news: list[Panel] = []
        z = self.transform_.forward(panel)
        self.state_ = self.estimator_.state_
        self.last_ = z[panel.ends - 1]
        everyone = np.arange(len(panel.names))
        self.tails_ = self._tails(panel, everyone, panel.ends, self.transform_, z)
        self.recent_ = self.transform_.recent(panel)
        self.context_ = None if self.context_length is None else panel.tail(self._context_rows)

    @property
    def _context_rows(self) -> int:
        """The last rows that a forecast from a short context needs."""
        return int(self.context_length or 0) + self.transform_.memory + 1

    @property
    def _steps(self) -> int:
        """How many steps one row predicts."""
        return int(self.horizon or 1) if self.strategy == "direct" else 1

    def _configured(self, panel: Panel, columns: int) -> Any:
        """The regressor, told which of its inputs are its targets' past."""
        estimator = self.default_estimator(panel) if self.estimator is None else clone(self.estimator)
        if isinstance(estimator, ClosedFormEstimator):
            kind = type(estimator).__name__
            if self._steps > 1:
                raise ValueError(f"{kind} predicts one step: it needs strategy='recursive'.")
            if self.lags not in (None, 1) or self.free_run or self.teacher_forcing != 1.0:
                raise ValueError(
                    f"{kind} is solved for, and sees the last value only: leave out lags, free_run and "
                    "teacher_forcing. (ARXRegressor(input_lags=…) has lags of its own.)"
                )
            return estimator.set_params(autoregression=Autoregression(columns))
        lags = self._lags(panel)
        own = Autoregression(columns, lags, self.centred, self._steps, self.teacher_forcing, self.free_run)
        estimator.set_params(autoregression=own)
        if estimator.window is None and self.context_length is not None:
            estimator.set_params(window=self.context_length)
        if estimator.window is not None and estimator.warmup is None:
            estimator.set_params(warmup=min(estimator.window, int(panel.lengths.min())) // 5)
        return estimator

    def _lags(self, panel: Panel) -> int:
        """The delay line: a season and one step, if the longest series has room for three."""
        if self.lags is not None:
            return self.lags
        season = self._season(panel)
        return season + 1 if 1 < season <= panel.lengths.max() // 3 else 2

    def default_estimator(self, panel: Panel) -> GRURegressor:
        """A GRU that suits most panels: trained on whole short series, and on windows of long ones."""
        window = max(96, 2 * self._lags(panel))
        long = int(panel.lengths.max()) > 3 * window
        return GRURegressor(
            window=window if long else None, stride=max(1, window // 4) if long else 1, max_epochs=100, random_state=0
        )

    def _residuals(self, X: Array, Y: Array, panel: Panel) -> tuple[Array | None, Array | None]:
        """One-step errors on the first rows of every series, for sample paths of point predictions.

        They are divided by their spread in each series, which is returned beside them, (series, columns).
        """
        if self._steps > 1 or "quantiles" in self._head.knows:
            return None, None
        few = panel.steps < max(100, RESIDUALS // len(panel.names))
        owner = panel.series[few]
        cuts = np.flatnonzero(np.diff(owner)) + 1
        error = Y[few] - np.concatenate(self.estimator_.predict(np.split(X[few], cuts)))
        late = panel.steps[few] >= np.minimum(self._lags(panel), panel.lengths // 2)[owner]
        known = late & ~np.isnan(error).any(axis=1)
        owner, error = owner[known], error[known]
        size = spread_by_series(error, owner, len(panel.names))
        return error / size[owner] - (error / size[owner]).mean(axis=0), size

    def _check(self) -> None:
        """Raise if parameters do not fit, or do not go together."""
        if self.estimator is not None and not isinstance(self.estimator, NumberEstimator):
            raise TypeError(
                f"estimator must be a regressor of seqdyn, such as GRURegressor(), got {type(self.estimator).__name__}."
            )
        if getattr(self.estimator, "autoregression", None) is not None:
            raise ValueError(
                "The forecaster sets autoregression itself: give lags, centred, … to it, not the estimator."
            )
        if not getattr(self.estimator, "return_sequences", True):
            raise ValueError("The estimator must predict at every step: set return_sequences=True.")
        check_choice("strategy", self.strategy, ("recursive", "direct"))
        check_choice("scaling", self.scaling, SCALINGS)
        check_choice("log", self.log, (True, False, "auto"))
        check_choice("centred", self.centred, (True, False))
        check_count("n_samples", self.n_samples)
        for name in ("horizon", "context_length", "lags"):
            check_count(name, getattr(self, name), others=(None,))
        for name in ("difference", "seasonal_difference", "free_run", "calibration"):
            check_count(name, getattr(self, name), 0)
        if self.strategy == "direct" and self.horizon is None:
            raise ValueError("strategy='direct' predicts a fixed number of steps: give horizon.")

    def _check_extent(self, z: Array, panel: Panel) -> None:
        """Raise if series are too short for what is asked of them, or a past covariate is missing altogether."""
        if self._steps >= int(panel.lengths.max()):
            raise ValueError(
                f"horizon={self._steps}, but the longest series has {panel.lengths.max()} rows: a direct model needs "
                "more rows than steps ahead."
            )
        short = panel.lengths < (self.context_length or 0)
        if short.any():
            number = int(np.argmax(short))
            raise ValueError(
                f"Series {panel.names[number]!r} has {panel.lengths[number]} rows, fewer than "
                f"context_length={self.context_length}: leave it out, or shorten the context."
            )
        empty = np.atleast_1d(np.isnan(z).all(axis=0))
        if empty[1:].any():
            raise ValueError(
                f"The past covariate {panel.roles.past[int(np.argmax(empty[1:]))]!r} is missing everywhere."
            )
        known = np.add.reduceat(~np.isnan(z[:, 0]), panel.starts)
        if (known == 0).any():
            number = int(np.argmax(known == 0))
            raise ValueError(
                f"Series {panel.names[number]!r} has {panel.lengths[number]} rows, but differences over "
                f"{self.transform_.memory} steps leave nothing of it: leave the series out, or set difference and "
                "seasonal_difference to 0."
            )

    # ---------------------------------------------------------------- state

    @property
    def state(self) -> xarray.Dataset:
        """Where every series stands, labelled: the network's state, and what waits beside it.

        ``pending`` is the last known value in network units, which the next row will hold; ``tail`` and ``recent`` are
        what differences are undone from, with gaps filled and as they are. Assigning such a Dataset goes back to it
        (the instant is not part of it: rows that ``update`` has read stay read); assigning a State sets the network's
        alone.
        """
        check_is_fitted(self)
        network = to_xarray(self.state_, ("series",)).assign_coords(series=np.asarray(self.known_.names))
        return network.assign(
            {name: (("series", f"{name}_value"), getattr(self, own).copy()) for name, own in BESIDE.items()}
        )

    @state.setter
    def state(self, state: Any) -> None:
        check_is_fitted(self)
        beside = {}
        if isinstance(state, xarray.Dataset):
            whole = self._checked_state(state)
            beside = {own: whole[name].to_numpy().copy() for name, own in BESIDE.items()}
            state = from_xarray(whole, self.state_)
        network = self.estimator_.predictor_.as_state(state, len(self.known_.names))
        if not all(bool(leaf.isfinite().all()) for leaf in leaves(network)):
            raise ValueError("The state holds values that are not finite (NaN or inf).")
        self.__dict__.update(beside, state_=network)

    def _checked_state(self, state: xarray.Dataset) -> xarray.Dataset:
        """A labelled state in the order of the series, if it has all of them and all variables."""
        own = self.state
        absent = [str(name) for name in own.data_vars if name not in state]
        if absent or "series" not in state.indexes:
            raise ValueError(
                f"The state has the variables {sorted(map(str, state.data_vars))}, but not {absent or ['series']}: "
                "give what .state of this forecaster returned."
            )
        missing = self.known_.names.difference(state.indexes["series"])
        if len(missing):
            raise ValueError(f"The state has no rows for series {missing[0]!r}: give one for every series.")
        return state.sel(series=np.asarray(self.known_.names))

    def _take_in(self, new: Panel) -> None:
        """Filter the new rows: O(new), whatever came before."""
        owner = self.known_.names.get_indexer(new.names)
        transform = self.transform_.select(owner)
        z = transform.forward(new, self.recent_[owner])
        X = self.inputs_.rows(self._with_static(new), shifted(z, new, self.last_[owner]), self.known_.future[owner])
        place = torch.as_tensor(owner)
        before = take(self.state_, place)
        said, after = self.estimator_.predict(np.split(X, new.starts[1:]), initial_state=before, return_state=True)
        self.state_ = map_leaves(lambda old, now: old.index_copy(0, place.to(old.device), now), self.state_, after)
        self.last_[owner] = z[new.ends - 1]
        said = np.concatenate(said)[:, 0]
        self.tails_[owner], self.recent_[owner] = transform.moved(new, self.tails_[owner], self.recent_[owner], said)
        self.known_ = self.known_.joined(new).tail(1)
        if self.context_ is not None:
            self.context_ = self.context_.joined(new).tail(self._context_rows)
        if "panel_" in vars(self):
            self._news.append(new)

    def _with_static(self, panel: Panel) -> Panel:
        """A panel of known series, with their static covariates as they were in the fit."""
        return panel if self.known_.static is None else panel.with_static(self.known_.static.loc[panel.names])

    def _own_panel(self) -> Panel:
        check_is_fitted(self)
        if "panel_" not in vars(self):
            raise ValueError("A loaded forecaster has its state, not the data: give the whole history as df.")
        for new in self._news:
            self.panel_ = self.panel_.joined(new)
        self._news = []
        return self.panel_

    def apply(self, df: Any, *, static: pd.DataFrame | None = None) -> Self:
        """The same weights on other series: a new forecaster, whose states come from reading ``df`` from its start.

        Parameters
        ----------
        df : as in :meth:`fit`
            The whole history of these series; their scales are measured on it.
        static : DataFrame, optional

        Returns
        -------
        Forecaster
            It shares the weights; this one stays as it is.
        """
        check_is_fitted(self)
        panel = self._read(df, static)
        check_grid(panel, self.known_)
        twin = copy.copy(self)
        season = self.season_length_
        twin.transform_ = SeriesTransform.fit(
            panel, self.log, self.difference, self.seasonal_difference, season, self.scaling
        )
        twin.estimator_ = copy.copy(self.estimator_)
        described = self._described(panel, twin.transform_)
        z = twin.transform_.forward(panel)
        X = self.inputs_.rows(described, shifted(z, panel))
        _, twin.estimator_.state_ = self.estimator_.predict(np.split(X, panel.starts[1:]), return_state=True)
        twin._remember(panel)
        return twin

    def sequences(self, df: Any, static: Any = None) -> tuple[list[Array], list[Array]]:
        """What the network learns from: inputs and targets of a frame like the fit's, transformed, an array a series.

        Parameters
        ----------
        df : frame or series
            Of series of the fit; NaN where a last value or a target is not known.
        static : DataFrame, optional
            As in ``fit``.

        Returns
        -------
        X, y : list of array
            For ``estimator_``: its ``score``, or :func:`seqdyn.stability_report`.
        """
        check_is_fitted(self)
        panel = self._read(df, static)
        check_grid(panel, self.known_)
        z = self.transform_.select(self.known_.names.get_indexer(panel.names)).forward(panel)
        X = self.inputs_.rows(self._with_static(panel), shifted(z, panel))
        cuts = panel.starts[1:]
        return np.split(X, cuts), np.split(targets(z, panel, self._steps), cuts)

    # ---------------------------------------------------------------- forecasting

    def _ahead(self, horizon: int, known: Array, levels: Array | None) -> Forecasts:
        everyone = np.arange(len(self.known_.names))
        times = self.known_.ahead(horizon)
        state = self._start()
        x = self._future_rows(self.last_, times, known, self.inputs_.constants(self.known_), self.known_.future)
        return self._finished(state, x, everyone, self.tails_, horizon, levels)

    def _start(self) -> State:
        """The state that forecasts start from: the one kept, or the one that the last rows alone lead to."""
        if self.context_ is None:
            return self.state_
        return self._states(self.context_, np.arange(len(self.context_.names)), self.context_.ends)

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        x, owner, state, tails = self._set_out(panel, series, rows, horizon, future)
        return self._finished(state, x, owner, tails, horizon, levels)

    def _set_out(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array
    ) -> tuple[Any, Array, State, Array]:
        """Everything a forecast from origins of a panel starts from."""
        panel = self._with_static(panel)
        owner = self.known_.names.get_indexer(panel.names)
        transform = self.transform_.select(owner)
        z = transform.forward(panel)
        state = self._states(panel, series, rows, z)
        times = _instants(panel, rows, horizon)
        constants = self.inputs_.constants(panel)[series]
        x = self._future_rows(z[rows - 1], times, future, constants, panel.future[rows - 1])
        return x, owner[series], state, self._tails(panel, series, rows, transform, z)

    def _tails(self, panel: Panel, series: Array, rows: Array, transform: SeriesTransform, z: Array) -> Array:
        """What differences are undone from; where values are missing, the model's own predictions stand for them."""
        said = None
        if transform.memory and np.isnan(panel.target).any():
            X = self.inputs_.rows(self._with_static(panel), shifted(z, panel))
            said = np.concatenate(self.estimator_.predict(np.split(X, panel.starts[1:])))[:, 0]
        return transform.tails(panel, series, rows, said)

    def _states(self, panel: Panel, series: Array, rows: Array, z: Array | None = None) -> State:
        """The state at every origin, from one pass over the panel."""
        if z is None:
            owner = self.known_.names.get_indexer(panel.names)
            z = self.transform_.select(owner).forward(panel)
        X = self.inputs_.rows(self._with_static(panel), shifted(z, panel))
        read = self.estimator_.predictor_.rows(self.estimator_.read(np.split(X, panel.starts[1:])))
        return at_origins(self.estimator_.cell_, read, series, rows, self.context_length)

    def _future_rows(self, last: Array, times: list[pd.Index], future: Array, constants: Array, before: Array) -> Any:
        """Inputs of the steps ahead: the last value in the first, and no values after it."""
        beside = self.inputs_.ahead(times, future, constants, before)
        past = np.full((len(last), beside.shape[1], last.shape[1]), np.nan)
        past[:, 0] = last
        return self.estimator_.predictor_.encode(np.concatenate([past, beside], axis=2))

    def _finished(
        self, state: State, x: Any, series: Array, tails: Array, horizon: int, levels: Array | None
    ) -> Forecasts:
        """From states and rows ahead to forecasts in the units of the data."""
        self._check_reach(horizon)
        output = outputs_ahead(self.estimator_.cell_, state, x)
        z = self._points(output, horizon)
        mean = self.transform_.backward(z, series, tails)
        if levels is None:
            return Forecasts(mean)
        if self.conformal_ is not None:
            q = self.transform_.integrated(z, series, tails)[:, :, None]
            width = self.spread_[series, :horizon, None] * self.conformal_.offsets(levels, horizon)
            return Forecasts(mean, np.sort(self.transform_.to_data(q + width, series), axis=2))
        if self._steps > 1:
            values = self._heads(output, levels)[:, :horizon]
        else:
            return Forecasts(mean, self._sampled(state, x, series, tails, levels))
        return Forecasts(mean, np.sort(self._around(values, z, series, tails), axis=2))

    def _points(self, output: Tensor, horizon: int) -> Array:
        """ẑ of the target, (origins, horizon)."""
        decoded = self.estimator_.predictor_.decode(output)  # (origins, steps, columns · H)
        return decoded[:, 0, :horizon] if self._steps > 1 else decoded[:, :, 0]

    def _around(self, values: Array, z: Array, series: Array, tails: Array) -> Array:
        """Quantiles in the units of the data, from those of z; differences are undone along the point forecast."""
        if not self.transform_.memory:
            return self.transform_.backward(values, series, tails)
        q = self.transform_.integrated(z, series, tails)[:, :, None]
        return self.transform_.to_data(q + (values - z[:, :, None]) * self.transform_.scale[series, :1, None], series)

    def _heads(self, output: Tensor, levels: Array) -> Array:
        """Quantiles of z as the heads of a direct model say, (origins, H, quantiles)."""
        if "quantiles" not in self._head.knows:
            raise ValueError(
                f"A direct model with loss={self.estimator_.loss!r} says nothing of its errors: set calibration to the "
                "number of origins to measure them on, or fit with loss='quantile' or 'gaussian'."
            )
        values = self.estimator_.predictor_.codec.targets.quantiles(output[:, 0], tuple(levels))
        return values[:, : self._steps]

    def _sampled(self, state: State, x: Any, series: Array, tails: Array, levels: Array) -> Array:
        """Quantiles of sample paths, (origins, horizon, quantiles)."""
        paths = self._paths(state, x, series, tails, self.n_samples)
        return np.moveaxis(np.quantile(paths, levels, axis=1), 0, -1)

    @torch.inference_mode()
    def _paths(self, state: State, x: Any, series: Array, tails: Array, count: int) -> Array:
        """Sample paths in the units of the data, (origins, paths, horizon)."""
        if self._steps > 1:
            raise ValueError(
                "Sample paths need strategy='recursive': a direct model says nothing of how steps go together."
            )
        predictor = self.estimator_.predictor_
        scaling = predictor.codec.targets.scaling
        columns = self.last_.shape[1]
        origins = len(leaves(x)[0])
        pool, size = np.zeros((1, columns)), np.ones((origins, columns))
        if self.residuals_ is not None and self.roughness_ is not None:
            pool, size = self.residuals_, self.roughness_[series] / scaling.scale
        generator = generator_of(self.random_state)
        step = max(1, 100_000 // count)
        pieces = []
        for begin in range(0, origins, step):
            part = slice(begin, begin + step)
            widths = tensor(np.repeat(size[part], count, axis=0), predictor.like)
            draw = Sampler(self._head, columns, tensor(pool, predictor.like), widths, generator)
            drawn = sample_paths(self.estimator_.cell_, take(state, part), take(x, part), count, draw)
            pieces.append(drawn[..., 0].double().cpu().numpy() * scaling.scale[0] + scaling.mean[0])
        z = np.concatenate(pieces)
        return np.moveaxis(self.transform_.backward(np.moveaxis(z, 1, 2), series, tails), 2, 1)

    def sample(self, horizon: int | None = None, n_samples: int = 100, future: Any = None) -> xarray.DataArray:
        """Sample paths of the future: each draws its next value, reads it, and goes on from its own state.

        Parameters
        ----------
        horizon : int, optional
        n_samples : int
            Paths a series.
        future : DataFrame or Dataset, optional
            As in :meth:`forecast`.

        Returns
        -------
        DataArray, dims (series, sample, step)
            In the units of the data.
        """
        check_is_fitted(self)
        horizon = self._horizon(horizon)
        known = self._known(future, horizon)
        everyone = np.arange(len(self.known_.names))
        constants, times = self.inputs_.constants(self.known_), self.known_.ahead(horizon)
        x = self._future_rows(self.last_, times, known, constants, self.known_.future)
        values = self._paths(self._start(), x, everyone, self.tails_, check_count("n_samples", n_samples))
        labels = {"series": np.asarray(self.known_.names), "step": np.arange(1, horizon + 1)}
        return xarray.DataArray(values, labels, ("series", "sample", "step"))

    @property
    def _head(self) -> Head:
        """What the outputs of the network mean."""
        head: Head = self.estimator_.predictor_.codec.targets.head
        return head

    def _check_reach(self, horizon: int) -> None:
        if self.strategy == "direct" and horizon > self._steps:
            raise ValueError(
                f"This direct model was fitted for horizon={self._steps} and cannot forecast {horizon} steps: fit with "
                "a longer horizon, or with strategy='recursive'."
            )

    def summary(self, df: Any = None, horizon: int | None = None) -> str:
        """One screen: the data, the model, its training, and the verdict against the baselines.

        The verdict is honest at the price of a second fit: a copy is fitted without the last ``horizon`` steps, and
        compared on them.

        Parameters
        ----------
        df : as in :meth:`fit`, optional
            The whole history, if the forecaster was loaded from a file.
        horizon : int, optional
            Steps ahead; the model's own, or one season, if None.

        Returns
        -------
        str
        """
        check_is_fitted(self)
        panel = self._read(df) if df is not None else self._own_panel()
        ahead = horizon or self.horizon or max(1, self.season_length_)
        test = self.backtest(df, ahead, 1, refit=True)
        table = test.metrics().sort_values("MAE").round(4).to_string()
        return "\n".join(
            [*describe(self, panel), "", f"last {ahead} steps, fitted without them", table, test.verdict()]
        )

    # ---------------------------------------------------------------- for the calibration

    def point(self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array) -> Array:
        """q̂ from origins of a panel, (origins, horizon)."""
        x, owner, state, tails = self._set_out(panel, series, rows, horizon, future)
        z = self._points(outputs_ahead(self.estimator_.cell_, state, x), horizon)
        return self.transform_.integrated(z, owner, tails)

    def truth(self, panel: Panel, series: Array, rows: Array, horizon: int) -> Array:
        """q, what came, (origins, horizon)."""
        owner = self.known_.names.get_indexer(panel.names)
        q = self.transform_.select(owner).levels(panel)
        place = rows[:, None] + np.arange(horizon)
        inside = place < panel.ends[series][:, None]
        return np.where(inside, q[np.minimum(place, len(q) - 1)], np.nan)

    # ---------------------------------------------------------------- baselines and files

    def _baselines(
        self, choice: Any, panel: Panel, horizon: int, origins: Origins | None = None
    ) -> dict[str, PanelForecaster]:
        if isinstance(choice, Mapping):
            return dict(choice)
        if isinstance(choice, PanelForecaster):
            raise TypeError(f"baselines takes names, or a dict: {{'mine': {type(choice).__name__}()}}.")
        count = 1 if origins is None else origins.count
        found, notes = default_baselines(choice, panel, horizon, count, season_length=self.season_length)
        if origins is not None:
            origins.notes.extend(notes)
        return found

    def to_content(self) -> dict[str, Any]:
        """Parameters and fitted attributes as a tree that files can hold; the data of the fit is not among them."""
        content = super().to_content()
        content["fitted"].pop("panel_", None)
        return content

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        forecaster = super().from_content(content)
        forecaster._news = []
        return forecaster


def describe(model: Forecaster, panel: Panel) -> list[str]:
    """Data, model and training of a fitted forecaster, a line each."""
    gaps, missing = panel.gaps(), int(np.isnan(panel.target).sum())
    lengths = panel.lengths
    size = f"{lengths[0]}" if len(set(lengths.tolist())) == 1 else f"{lengths.min()} to {lengths.max()}"
    network = model.estimator_.network_
    weights = sum(parameter.numel() for parameter in network.parameters())
    lines = [
        f"data      {len(lengths)} series of {size} rows, freq={panel.grid.freq!r}, season {model.season_length_}",
        f"          {missing} missing values, {len(gaps)} gaps of absent rows",
        f"model     {model.estimator_}",
        f"          {weights} weights, {model.strategy}, scaled by series ({model.scaling})",
    ]
    history = getattr(model.estimator_, "history_", None)
    if history is not None and len(history):
        last = history.iloc[-1]
        lines.append(f"training  {len(history)} epochs, {last['seconds']:.1f} s, loss {last['loss']:.4g}")
    return lines


@contextmanager
def _own_start() -> Iterator[None]:
    """No word about a short warm-up: a forecaster carries its state through the whole history."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="warmup=")
        yield


def _instants(panel: Panel, rows: Array, horizon: int) -> list[pd.Index]:
    """The instants after every origin."""
    known: dict[Any, pd.Index] = {}
    lasts = panel.times[rows - 1]
    for last in lasts:
        if last not in known:
            known[last] = panel.grid.after(last, horizon)
    return [known[last] for last in lasts]
