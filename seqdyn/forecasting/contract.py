"""What every forecaster shares: frames in and out, around a model of panels.

``fit``, ``forecast``, ``update`` and ``backtest`` take frames: they check and convert them, ask the model, and give its
answer in the layout that came in. Forecasters that are made of others speak to them in values: ``fit_panel`` takes a
:class:`~seqdyn.data.panels.Panel`, and ``forecast_from`` answers a
:class:`~seqdyn.forecasting.request.ForecastRequest` by :class:`~seqdyn.forecasting.request.Forecasts`. A new forecaster
owes ``forecast_from``, and ``_learn`` where it has something to fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.panel_additions import frame_ahead, read_future, read_more
from seqdyn.data.panels import Panel, Roles
from seqdyn.facts import fact_line, fact_table
from seqdyn.files import save as save_file
from seqdyn.forecasting.backtest import Backtest
from seqdyn.forecasting.backtest_run import BacktestRun, scaled_error_of
from seqdyn.forecasting.defaults import Baselines, default_baselines
from seqdyn.forecasting.descriptions import with_shared_parameters
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.figures import history_length, plot_fan
from seqdyn.forecasting.origins import Origins
from seqdyn.forecasting.reading import check_whole, column_roles, read_with_static, series_number, warn_of_unused
from seqdyn.forecasting.request import ForecastRequest, Forecasts, quantile_columns, quantile_levels
from seqdyn.forecasting.search import grid_search
from seqdyn.forecasting.seasons import given_seasons
from seqdyn.progress import Callback, nested
from seqdyn.typed_bases import BaseEstimator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Level = float | Sequence[float] | None


@dataclass(kw_only=True, repr=False, eq=False)
class PanelForecaster(BaseEstimator):
    """A forecaster of frames of one or many series.

    Parameters
    ----------
    freq : str, offset of pandas, number or None
        Frequency of the data. None: that of the index, or the one that is found.
    season_length : int, sequence of int, or None
        m, steps in a season. None: from the frequency (24 for hours, 12 for months, 7 for days, …). Of several, such
        as (24, 168), the shortest is the season of MASE and of models that know one; lags reach over the longest.
    id_col, time_col, target_col : str
        Columns of a long frame: series, time and value.
    past, future, static : sequence of str
        Columns of covariates: known up to the present, known ahead, and constant in a series. Text and categories are
        one input a value, those of the fit.
    verbose : bool or int, at least 0
        1: a progress bar of fits and backtests; 2: also of what runs inside them.
    callback : callable or None
        ``callback(Progress)`` after every step of the work; a true answer ends it early, and what was done is kept.
    """

    freq: Any = None
    season_length: Any = None
    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"
    past: Sequence[str] = ()
    future: Sequence[str] = ()
    static: Sequence[str] = ()
    verbose: bool | int = 0
    callback: Callback | None = None

    used_covariates: ClassVar[tuple[str, ...]] = ("past", "future", "static")
    """Which covariates help; ``fit`` warns of the others."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__doc__ = with_shared_parameters(cls.__doc__, PanelForecaster.__doc__, cls.used_covariates)

    def _learn(self, panel: Panel) -> None:
        """Fit to a panel; a forecaster without parameters has nothing to do."""

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        """Forecast from origins of a panel, whose series are among those of the fit, with the fitted weights."""
        raise NotImplementedError

    def forecast_ahead(self, horizon: int, future: Array, levels: Array | None = None) -> Forecasts:
        """Forecast from the end of every series of the fit; ``future`` is (series, horizon, covariates known ahead)."""
        return self.forecast_from(ForecastRequest.at_end(self.panel_, horizon, future, levels))

    def fit_panel(self, panel: Panel) -> Self:
        """Fit to a panel instead of a frame."""
        self._learn(panel)
        self.remember(panel)
        return self

    def remember(self, panel: Panel) -> None:
        """Take a panel as what is known after a fit."""
        self.panel_ = panel
        self.known_ = self.fitted_until_ = panel.tail(1)
        self.season_length_ = self.season_of(panel)
        self._histories: Envelope | None = None

    def follow(self, new: Panel, panel: Panel, known: Panel) -> None:
        """Go on from new rows, which ``panel`` holds already; ``known`` has the last row of every series.

        Forecasters made of others pass this on to them, and share the panel.
        """
        self.panel_, self.known_, self._histories = panel, known, None

    def bounded(self, values: Array) -> Array:
        """Values held within ``bounds_``, lowest and highest, of a model that has them."""
        bounds = vars(self).get("bounds_")
        return values if bounds is None else np.clip(values, *bounds)

    def remedies(self) -> list[str]:
        """Settings of this model that may keep its forecasts from running away."""
        ways = {"difference": (1, "difference=1"), "log": (False, "log=False")}
        return [way for name, (set_, way) in ways.items() if getattr(self, name, set_) != set_]

    def seasons_of(self, panel: Panel) -> tuple[int, ...]:
        """The lengths of the seasons of a panel, the shortest first: those given, or that of the frequency."""
        return given_seasons(self.season_length, panel)

    def season_of(self, panel: Panel) -> int:
        """m, the length of the season of a panel; the shortest of several."""
        return self.seasons_of(panel)[0]

    def inner(self, model: PanelForecaster) -> PanelForecaster:
        """A copy of a forecaster that runs inside this one: of its progress one level less is shown."""
        verbose = max(int(model.verbose), nested(self.verbose))
        copy: PanelForecaster = clone(model)
        return copy.set_params(verbose=verbose, callback=model.callback or self.callback)

    def roles(self) -> Roles:
        """What the columns of a frame are."""
        return column_roles(self.id_col, self.time_col, self.target_col, self.past, self.future, self.static)

    def default_horizon(self) -> int | None:
        """The steps ahead that are forecast where nobody says how many."""
        return getattr(self, "horizon", None)

    def warned(self, found: Forecasts, levels: Array | None, name: str) -> Forecasts:
        """Forecasts as they are given out: all of them finite, after a warning of what is wrong with them."""
        mean, quantiles = self._envelope().checked(found, levels, self.known_.names, name, self.remedies())
        return Forecasts(self.bounded(mean), None if quantiles is None else self.bounded(quantiles))

    def _envelope(self) -> Envelope:
        """What the known rows allow forecasts to be."""
        self._histories = vars(self).get("_histories") or Envelope.of(self.panel_)
        return self._histories

    def fit(self, df: Any, y: None = None, *, static: pd.DataFrame | None = None) -> Self:
        """Fit to a frame of one or many series.

        Parameters
        ----------
        df : DataFrame, Series, DataArray or Dataset
            Wide, long, with a MultiIndex (series, time), or labelled by xarray; see :mod:`seqdyn.data.panel_layouts`.
            Missing values and absent rows of the target are left out of the fit.
        y : None
            Unused; it lets scikit-learn's tools call ``fit(df, None)``.
        static : DataFrame, optional
            Static covariates indexed by series, if they are not columns of ``df``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the frame cannot be read; the message says what, where, and what to do.
        """
        if y is not None:
            raise ValueError("fit takes one frame; covariates are columns of it, named in past, future and static.")
        panel = self._read(df, static, anew=True)
        warn_of_unused(type(self).__name__, self.used_covariates, panel.roles)
        return self.fit_panel(panel)

    def _read(self, df: Any, static: pd.DataFrame | None = None, anew: bool = False) -> Panel:
        """A frame; the values of categories are those of the fit, unless it is read for a new one."""
        categories = None if anew or not self.__sklearn_is_fitted__() else self.known_.categories
        roles = self.roles()
        return read_with_static(df, static, roles, self.freq, categories)

    def update(self, df: Any, *, fill_gaps: bool = False) -> Self:
        """Take in new rows; what was fitted stays as it is. (To fit again, call ``fit``.)

        Parameters
        ----------
        df : as in :meth:`fit`
            Rows that follow directly on what is known, of all series or some.
        fill_gaps : bool
            Take rows that are absent in between as missing targets.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If rows overlap with the known ones or leave a gap, or a series was not in the fit.
        """
        check_is_fitted(self)
        new = read_more(df, self.known_, fill_gaps=fill_gaps)
        if not fill_gaps:
            check_whole(new)
        self._take_in(new)
        return self

    def _take_in(self, new: Panel) -> None:
        """Go on from new rows."""
        panel = self.panel_.joined(new)
        self.follow(new, panel, panel.tail(1))

    def future_frame(self, horizon: int) -> pd.DataFrame:
        """The rows and columns to fill for ``forecast(horizon, future=…)``.

        Parameters
        ----------
        horizon : int
            Steps ahead.

        Returns
        -------
        DataFrame or Dataset
            Labelled as the frame of the fit, of the same library; the covariates known ahead are missing.
        """
        check_is_fitted(self)
        frame: pd.DataFrame = frame_ahead(self.known_, check_count("horizon", horizon))
        return frame

    def forecast(
        self,
        horizon: int | None = None,
        future: Any = None,
        *,
        quantiles: Sequence[float] | None = None,
        level: Level = None,
        baselines: Any = (),
    ) -> pd.DataFrame:
        """Forecast the steps after the last known ones; nothing changes.

        Parameters
        ----------
        horizon : int, at least 1
            Steps ahead; the model's own ``horizon`` if None.
        future : DataFrame or Dataset, optional
            Covariates known ahead, see :meth:`future_frame`.
        quantiles : sequence of float in (0, 1), optional
            Quantiles to forecast; they never cross.
        level : float or sequence of float in (0, 100), optional
            The same as central intervals, in percent: 80 means the quantiles 0.1 and 0.9.
        baselines : sequence of str, "auto", or dict of forecasters
            Baselines to forecast beside it, one column each; names as in :meth:`backtest`.

        Returns
        -------
        DataFrame, Series, DataArray or Dataset
            In the layout of the frame of the fit: ``mean``, and a column for every quantile (``"0.1"``, …). Type
            checkers are told of a DataFrame.

        Raises
        ------
        ValueError
            If the covariates known ahead are not given, do not reach the horizon or have missing values.

        Warns
        -----
        UserWarning
            If forecasts leave what the history allows, see :mod:`seqdyn.forecasting.envelope`; if some are not finite:
            the last known value then stands in their place; if intervals rest on too few errors, or on errors of rows
            that the weights have seen.
        """
        check_is_fitted(self)
        horizon = self._horizon(horizon)
        levels = quantile_levels(quantiles, level)
        known = self._known(future, horizon)
        found = self.warned(self.forecast_ahead(horizon, known, levels), levels, type(self).__name__)
        columns = {"mean": found.mean}
        if levels is not None and found.quantiles is not None:
            columns |= dict(zip(quantile_columns(levels), np.moveaxis(found.quantiles, 2, 0), strict=True))
        columns |= self._beside(baselines, horizon, known)
        frame: pd.DataFrame = self.known_.restore(columns, self.known_.ahead(horizon))
        return frame

    predict = forecast
    """The same, by scikit-learn's name."""

    def _beside(self, baselines: Any, horizon: int, known: Array) -> dict[str, Array]:
        """Point forecasts of baselines, fitted to all that is known."""
        if baselines is None or not len(baselines):
            return {}
        panel = self._own_panel()
        models = self.baselines_for(baselines, panel, horizon).models
        fitted = {name: model.fit_panel(panel) for name, model in models.items()}
        return {name: own.warned(own.forecast_ahead(horizon, known), None, name).mean for name, own in fitted.items()}

    def _horizon(self, horizon: int | None) -> int:
        return check_count("horizon", self.default_horizon() if horizon is None else horizon)

    def _known(self, future: Any, horizon: int) -> Array:
        """Covariates known ahead, (series, horizon, covariates)."""
        if future is None and not self.known_.roles.future:
            return np.zeros((len(self.known_.names), horizon, 0))
        return read_future(future, self.known_, horizon)

    def plot(
        self,
        horizon: int | None = None,
        future: Any = None,
        *,
        level: Level = (80, 95),
        series: Any = None,
        history: int | None = None,
    ) -> Figure:
        """The end of a series, its forecast, and the bands around it.

        Parameters
        ----------
        horizon, future
            As in :meth:`forecast`.
        level : float or sequence of float or None
            Central intervals in percent.
        series : label, optional
            Which series; the first if None.
        history : int, optional
            How many known rows to show.

        Returns
        -------
        matplotlib.figure.Figure
        """
        check_is_fitted(self)
        horizon, levels = self._horizon(horizon), quantile_levels(None, level)
        panel = self._own_panel() if "panel_" in vars(self) else self.known_
        number = series_number(series, panel.names)
        found = self.forecast_ahead(horizon, self._known(future, horizon), levels)
        bands = {} if found.quantiles is None else dict(zip(levels, found.quantiles[number].T, strict=True))  # type: ignore[arg-type]
        start = -(history or history_length(horizon, self.season_length_))
        times, values = (own[panel.rows(number)][start:] for own in (panel.times, panel.target))
        ahead, title = self.known_.ahead(horizon)[number], str(panel.names[number])
        return plot_fan(times, values, ahead, found.mean[number], bands, title=title)

    def score(self, df: Any, y: None = None) -> float:
        """−MASE of a forecast over the rows that follow the fit, the mean over series; higher is better.

        Parameters
        ----------
        df : as in :meth:`fit`
            The rows after those of the fit, with the covariates known ahead.
        y : None

        Returns
        -------
        float
            −mean |y − ŷ| / Q with Q the error of the seasonal naive forecast in the fit's data; −MAE if that is 0.

        Raises
        ------
        ValueError
            If the rows do not follow directly.
        """
        check_is_fitted(self)
        whole = self.panel_.joined(read_more(df, self.panel_))
        horizon = int((whole.lengths - self.panel_.lengths).max())
        rows = whole.starts + self.panel_.lengths
        request = ForecastRequest.within(whole, np.arange(len(whole.names)), rows, horizon)
        return -scaled_error_of(self.forecast_from(request), request, self.season_length_)

    def backtest(
        self,
        df: Any = None,
        horizon: int | None = None,
        n_windows: int = 1,
        step_size: int | None = None,
        *,
        refit: bool | int = False,
        quantiles: Sequence[float] | None = None,
        level: Level = None,
        baselines: Any = "auto",
        static: pd.DataFrame | None = None,
        verbose: bool | int | None = None,
        callback: Callback | None = None,
    ) -> Backtest:
        """Forecast from rolling origins in the past, and compare with what came.

        Parameters
        ----------
        df : as in :meth:`fit`, optional
            The whole history; that of the fit if None.
        horizon : int, optional
            Steps ahead; the model's own ``horizon`` if None.
        n_windows : int
            Origins of every series, the last one ``horizon`` steps before its end.
        step_size : int, optional
            Steps between origins; ``horizon`` if None.
        refit : bool or int
            False: one set of weights, those of the fit; a model that is not fitted yet is fitted before the first
            origin. True: fit anew before every origin; k: before every k-th.
        quantiles, level
            As in :meth:`forecast`.
        baselines : "auto", None, sequence of str, or dict of forecasters
            What to compare with. ``"auto"``: all that are quick enough here. Names are those of
            :data:`seqdyn.forecasting.defaults.BASELINES`.
        static : DataFrame, optional
            As in :meth:`fit`.
        verbose : bool or int, optional
            A progress bar; the model's own ``verbose`` if None.
        callback : callable, optional
            ``callback(Progress)`` after every model and origin; a true answer ends the backtest, which keeps what was
            forecast so far. The model's own ``callback`` if None.

        Returns
        -------
        Backtest

        Warns
        -----
        UserWarning
            If the fitted model has seen rows after the first origin: such a test is in-sample.

        Notes
        -----
        Without ``refit`` a stateful model reads the history once; its states at all origins are then rolled out
        together.
        """
        panel = self._read(df, static, anew=bool(refit)) if df is not None else self._own_panel()
        horizon = self._horizon(horizon)
        origins = Origins.of(panel, horizon, n_windows, horizon if step_size is None else step_size)
        others, notes = self.baselines_for(baselines, panel, horizon, n_windows)
        origins.notes.extend(notes)
        run = BacktestRun(panel, origins, refit, quantile_levels(quantiles, level))
        watch = self.verbose if verbose is None else verbose, self.callback if callback is None else callback
        frame = run.forecasts({"model": self, **others}, *watch)
        season = self.season_of(panel)
        return Backtest(frame, season, origins.scales(panel, season), origins.notes, panel.layout)

    search = grid_search
    """The best setting of a grid, by backtests."""

    def baselines_for(self, choice: Any, panel: Panel, horizon: int, windows_count: int = 1) -> Baselines:
        """The baselines somebody chose, of this model's seasons."""
        return default_baselines(choice, panel, horizon, windows_count, season_length=self.season_length)

    def _own_panel(self) -> Panel:
        check_is_fitted(self)
        return self.panel_

    def __sklearn_is_fitted__(self) -> bool:
        return "known_" in vars(self)

    def save(self, path: Any) -> None:
        """Write the fitted forecaster to one ``.safetensors`` file; ``seqdyn.load(path)`` reads it back."""
        check_is_fitted(self)
        save_file(path, self)

    def to_content(self) -> dict[str, Any]:
        """Parameters and fitted attributes as a tree that files can hold; a callback is left out."""
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_") and not name.startswith("_")}
        params = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "callback"}
        return {"params": params, "fitted": fitted}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        forecaster = cls(**content["params"])
        forecaster.__dict__.update(content["fitted"])
        return forecaster

    def facts(self) -> dict[str, object]:
        """What a fitted forecaster shows of itself, by name."""
        known = self.known_
        series = list(known.names) if len(known.names) > 1 else 1
        return {"series": series, "freq": known.grid.freq, "season": self.season_length_, "until": str(max(known.last))}

    def __repr__(self, *options: Any) -> str:
        parameters: str = super().__repr__(*options)
        return f"{parameters}: {fact_line('fitted', self.facts())}" if self.__sklearn_is_fitted__() else parameters

    def _repr_html_(self) -> str:
        if not self.__sklearn_is_fitted__():
            return str(estimator_html_repr(self))
        own = self.get_params(deep=False)
        given = {field.name: own[field.name] for field in fields(self) if own[field.name] is not field.default}
        return fact_table(type(self).__name__, given | self.facts())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
