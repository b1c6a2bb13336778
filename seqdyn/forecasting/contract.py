"""What every forecaster shares: frames in and out, and forecasts from any origin of a panel.

An *origin* is a place in a series: the row number of the first step to be forecast. All rows before it are known.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from seqdyn.checks import check_count, outside
from seqdyn.data.labels import quoted
from seqdyn.data.panel_additions import read_more, static_frame
from seqdyn.data.panel_ahead import frame_ahead, read_future
from seqdyn.data.panel_reading import read_panel
from seqdyn.data.panels import Panel, Roles
from seqdyn.files import save as save_file
from seqdyn.forecasting.backtest import Backtest
from seqdyn.forecasting.defaults import default_baselines
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.figures import history_length, plot_fan
from seqdyn.forecasting.origins import Origins, future_after, scales, tidy
from seqdyn.forecasting.search import Search, grid_search
from seqdyn.forecasting.unused import warn_of_unused

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


class Forecasts(NamedTuple):
    """What is forecast.

    Attributes
    ----------
    mean : array, shape (origins, horizon)
        The point forecast.
    quantiles : array, shape (origins, horizon, quantiles), or None
        Where quantiles were asked for; they never cross.
    notes : tuple of str
        What a reader of them should know: ``forecast`` warns of it, a backtest notes it.
    """

    mean: Array
    quantiles: Array | None = None
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True, repr=False, eq=False)
class PanelForecaster(BaseEstimator):
    """A forecaster of panels. Subclasses owe ``_learn`` and ``_roll``.

    Parameters
    ----------
    freq : str, offset of pandas, number or None
        Frequency of the data; if None that of the index, or the one that is found.
    season_length : int, sequence of int, or None
        m, steps in a season; from the frequency if None (24 for hours, 12 for months, 7 for days, …). Of several, such
        as (24, 168), the shortest is the season of MASE and of models that know one; lags reach over the longest.
    id_col, time_col, target_col : str
        Columns of a long frame.
    past, future, static : sequence of str
        Columns of covariates: known up to the present, known ahead, and constant in a series. Text and categories are
        one input a value, those of the fit.
    """

    freq: Any = None
    season_length: Any = None
    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str = "y"
    past: Sequence[str] = ()
    future: Sequence[str] = ()
    static: Sequence[str] = ()

    used_covariates: ClassVar[tuple[str, ...]] = ("past", "future", "static")
    """Which covariates help; ``fit`` warns of the others."""

    # ---------------------------------------------------------------- what subclasses owe

    def _learn(self, panel: Panel) -> None:
        """Fit to a panel."""
        raise NotImplementedError

    def _roll(
        self, panel: Panel, series: Array, rows: Array, horizon: int, future: Array, levels: Array | None
    ) -> Forecasts:
        """Forecast from origins of a panel, whose series are among those of the fit, with the fitted weights.

        Parameters
        ----------
        panel : Panel
            What is known; of every series only the rows before an origin may be used for it.
        series, rows : array of int, shape (origins,)
            For each origin the number of its series in the panel, and the row that is forecast first; the row after
            the series' last for its end.
        horizon : int
        future : array, shape (origins, horizon, covariates known ahead)
        levels : array, shape (quantiles,), or None
            The quantiles asked for.
        """
        raise NotImplementedError

    # ---------------------------------------------------------------- fitting

    def fit(self, df: Any, y: Any = None, *, static: pd.DataFrame | None = None) -> Self:
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
        self._learn(panel)
        self._remember(panel)
        return self

    def _remember(self, panel: Panel) -> None:
        self.panel_ = panel
        self.known_ = self.fitted_until_ = panel.tail(1)
        self.season_length_ = self._season(panel)
        self._histories: Envelope | None = None

    def _season(self, panel: Panel) -> int:
        """m; the shortest of several."""
        return self._seasons(panel)[0]

    def _seasons(self, panel: Panel) -> tuple[int, ...]:
        """All seasons, the shortest first."""
        season = self.season_length
        if season is None:
            return (panel.grid.season_length(),)
        several = season if isinstance(season, list | tuple | np.ndarray) else [season]
        if not len(several):
            raise ValueError("season_length is an empty sequence: give one season or more, or None.")
        return tuple(sorted({int(check_count("season_length", own, others=(None,))) for own in several}))

    def _roles(self) -> Roles:
        def names(given: Sequence[str]) -> tuple[str, ...]:
            return (given,) if isinstance(given, str) else tuple(given)

        for name in ("id_col", "time_col"):
            if getattr(self, name) == "mean":
                raise ValueError(f"{name}='mean' is what forecasts call their point forecast: rename the column.")
        covariates = names(self.past), names(self.future), names(self.static)
        return Roles(self.id_col, self.time_col, self.target_col, *covariates)

    def _read(self, df: Any, static: pd.DataFrame | None = None, anew: bool = False) -> Panel:
        """A frame; the values of categories are those of the fit, unless it is read for a new one."""
        roles = self._roles()
        categories = None if anew or not self.__sklearn_is_fitted__() else self.known_.categories
        if static is None:
            return read_panel(df, roles, self.freq, categories=categories)
        if not roles.static:
            raise ValueError("static was given, but no covariate is named in static= of the forecaster.")
        apart = Roles(roles.id_col, roles.time_col, roles.target_col, roles.past, roles.future)
        panel = read_panel(df, apart, self.freq, categories=categories)
        return replace(panel, static=static_frame(static, panel, roles.static), roles=roles)

    # ---------------------------------------------------------------- forecasting

    def future_frame(self, horizon: int) -> Any:
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
        return frame_ahead(self.known_, check_count("horizon", horizon))

    def forecast(
        self,
        horizon: int | None = None,
        future: Any = None,
        *,
        quantiles: Sequence[float] | None = None,
        level: float | Sequence[float] | None = None,
        baselines: Any = (),
    ) -> Any:
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
            In the layout of the frame of the fit: ``mean``, and a column for every quantile (``"0.1"``, …).

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
        levels = as_levels(quantiles, level)
        known = self._known(future, horizon)
        found = self._judged(self._ahead(horizon, known, levels), levels, type(self).__name__)
        columns = {"mean": found.mean}
        if levels is not None:
            assert found.quantiles is not None
            columns |= {f"{value:g}": found.quantiles[:, :, i] for i, value in enumerate(levels)}
        return self.known_.restore(columns | self._beside(baselines, horizon, known), self.known_.ahead(horizon))

    def predict(self, horizon: int | None = None, future: Any = None, **options: Any) -> Any:
        """The same as :meth:`forecast`.

        Parameters
        ----------
        horizon, future, **options
            As there.

        Returns
        -------
        DataFrame, Series, DataArray or Dataset
        """
        return self.forecast(horizon, future, **options)

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
        if not fill_gaps and not new.present.all():
            row = int(np.argmin(new.present))
            raise ValueError(
                f"df has no row for series {quoted(new.names[new.series[row]])} at {new.times[row]!s}: give the rows "
                "in between (NaN where missing), or fill_gaps=True to take them as missing."
            )
        self._take_in(new)
        return self

    def _take_in(self, new: Panel) -> None:
        """Go on from new rows."""
        panel = self.panel_.joined(new)
        self._follow(new, panel, panel.tail(1))

    def _follow(self, new: Panel, panel: Panel, known: Panel) -> None:
        """Go on from new rows, which a panel holds already; ``known`` are its last ones.

        The one hook of ``update``: forecasters made of others pass it on to them, and share the panel.
        """
        self.panel_, self.known_, self._histories = panel, known, None

    def _envelope(self) -> Envelope:
        """What the known rows allow forecasts to be."""
        self._histories = vars(self).get("_histories") or Envelope.of(self.panel_)
        return self._histories

    def _beside(self, baselines: Any, horizon: int, known: Array) -> dict[str, Array]:
        """Point forecasts of baselines, fitted to all that is known."""
        if baselines is None or not len(baselines):
            return {}
        panel = self._own_panel()
        models = self._baselines(baselines, panel, horizon).items()
        fitted = {name: model._fitted_to(panel) for name, model in models}
        return {name: one._judged(one._ahead(horizon, known, None), None, name).mean for name, one in fitted.items()}

    def _judged(self, found: Forecasts, levels: Array | None, name: str) -> Forecasts:
        """Forecasts as they are given out: none that is not finite, and a warning of what is wrong with them."""
        envelope = self._envelope()
        quantiles = envelope.about(found.mean, found.quantiles, levels)
        wrong = envelope.notes(found.mean, quantiles, self.known_.names, name, self._remedies())
        if any("not finite" in note for note in wrong):
            wrong[0] += " The last known value stands in their place."
        for note in (*wrong, *found.notes):
            warnings.warn(note, stacklevel=outside())
        mean, quantiles = envelope.repaired(found.mean, quantiles, levels)
        return Forecasts(self._within(mean), None if quantiles is None else self._within(quantiles))

    def _within(self, values: Array) -> Array:
        """Values held within ``bounds_``, lowest and highest, of a model that has them."""
        bounds = vars(self).get("bounds_")
        return values if bounds is None else np.clip(values, *bounds)

    def _remedies(self) -> list[str]:
        """Settings of this model that may keep its path from running away."""
        ways = {"difference": (1, "difference=1"), "log": (False, "log=False")}
        return [way for name, (set_, way) in ways.items() if getattr(self, name, set_) != set_]

    def _horizon(self, horizon: int | None) -> int:
        return check_count("horizon", getattr(self, "horizon", None) if horizon is None else horizon)

    def _known(self, future: Any, horizon: int) -> Array:
        """Covariates known ahead, (series, horizon, covariates)."""
        if future is None and not self.known_.roles.future:
            return np.zeros((len(self.known_.names), horizon, 0))
        return read_future(future, self.known_, horizon)

    def _ahead(self, horizon: int, known: Array, levels: Array | None) -> Forecasts:
        """Forecasts from the end of every series."""
        panel = self.panel_
        return self._roll(panel, np.arange(len(panel.names)), panel.ends, horizon, known, levels)

    def _fitted_to(self, panel: Panel) -> Self:
        self._learn(panel)
        self._remember(panel)
        return self

    def plot(
        self,
        horizon: int | None = None,
        future: Any = None,
        *,
        level: float | Sequence[float] | None = (80, 95),
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
        horizon = self._horizon(horizon)
        levels = as_levels(None, level)
        panel = self._own_panel() if "panel_" in vars(self) else self.known_
        number = 0 if series is None else int(panel.names.get_indexer([series])[0])
        if number < 0:
            raise ValueError(f"There is no series {series!r}; the forecaster knows {list(panel.names[:5])}.")
        found = self._ahead(horizon, self._known(future, horizon), levels)
        rows = panel.rows(number)
        shown = slice(max(rows.start, rows.stop - (history or history_length(horizon, self.season_length_))), rows.stop)
        bands = {} if levels is None else {q: found.quantiles[number, :, i] for i, q in enumerate(levels)}  # type: ignore[index]
        ahead = self.known_.ahead(horizon)[number]
        title = str(panel.names[number])
        return plot_fan(panel.times[shown], panel.target[shown], ahead, found.mean[number], bands, title=title)

    def score(self, df: Any, y: Any = None) -> float:
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
        whole = self._continued(df)
        series, rows = np.arange(len(whole.names)), whole.starts + self.panel_.lengths
        horizon = int((whole.lengths - self.panel_.lengths).max())
        found = self._roll(whole, series, rows, horizon, future_after(whole, rows, horizon), None)
        frame = tidy(whole, series, rows, found.mean, None, None, "model")
        table = Backtest(frame, self.season_length_, scales(whole, series, rows, self.season_length_)).metrics()
        return -float(table["MASE"].fillna(table["MAE"]).iloc[0])

    def _continued(self, df: Any) -> Panel:
        """The panel of the fit, continued by new rows.

        Raises
        ------
        ValueError
            If the new rows leave a gap, overlap with the known ones, or belong to other series.
        """
        return self.panel_.joined(read_more(df, self.panel_))

    # ---------------------------------------------------------------- backtesting

    def backtest(
        self,
        df: Any = None,
        horizon: int | None = None,
        n_windows: int = 1,
        step_size: int | None = None,
        *,
        refit: bool | int = False,
        quantiles: Sequence[float] | None = None,
        level: float | Sequence[float] | None = None,
        baselines: Any = "auto",
        static: pd.DataFrame | None = None,
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
        levels = as_levels(quantiles, level)
        season = self._season(panel)
        frames = origins.run(self, panel, refit, levels, "model")
        for name, baseline in self._baselines(baselines, panel, horizon, origins).items():
            frames += origins.run(baseline, panel, refit, levels, name)
        frame, scale = pd.concat(frames, ignore_index=True), origins.scales(panel, season)
        return Backtest(frame, season, scale, origins.notes, panel.layout)

    def search(self, grid: Any, df: Any, horizon: int | None = None, **options: Any) -> Search:
        """Try every setting of a grid in a backtest; see :func:`seqdyn.forecasting.search.grid_search`.

        Parameters
        ----------
        grid : dict of lists
            As in scikit-learn's ``ParameterGrid``.
        df, horizon, **options
            As there.

        Returns
        -------
        Search
        """
        return grid_search(self, grid, df, horizon, **options)

    def _own_panel(self) -> Panel:
        check_is_fitted(self)
        return self.panel_

    def __sklearn_is_fitted__(self) -> bool:
        return "known_" in vars(self)

    def _baselines(
        self, choice: Any, panel: Panel, horizon: int, origins: Origins | None = None
    ) -> dict[str, PanelForecaster]:
        """Unfitted baselines by name, to run beside this model; what "auto" leaves out is noted."""
        if isinstance(choice, Mapping):
            return dict(choice)
        if isinstance(choice, PanelForecaster):
            raise TypeError(f"baselines takes names, or a dict: {{'mine': {type(choice).__name__}()}}.")
        count = 1 if origins is None else origins.count
        found, notes = default_baselines(choice, panel, horizon, count, season_length=self.season_length)
        if origins is not None:
            origins.notes.extend(notes)
        return found

    # ---------------------------------------------------------------- files

    def save(self, path: Any) -> None:
        """Write the fitted forecaster to one ``.safetensors`` file; ``seqdyn.load(path)`` reads it back."""
        check_is_fitted(self)
        save_file(path, self)

    def to_content(self) -> dict[str, Any]:
        """Parameters and fitted attributes as a tree that files can hold."""
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_") and not name.startswith("_")}
        return {"params": {f.name: getattr(self, f.name) for f in fields(self)}, "fitted": fitted}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        forecaster = cls(**content["params"])
        forecaster.__dict__.update(content["fitted"])
        return forecaster


def as_levels(quantiles: Sequence[float] | None, level: float | Sequence[float] | None) -> Array | None:
    """The quantiles asked for, by themselves or as central intervals in percent; None if there are none.

    Examples
    --------
    >>> as_levels(None, [80, 95])
    array([0.025, 0.1  , 0.9  , 0.975])
    """
    if quantiles is None and level is None:
        return None
    given: Any = [] if quantiles is None else np.atleast_1d(np.asarray(quantiles, dtype=object))
    found = [float(value) if isinstance(value, int | float | np.number) else np.nan for value in given]
    for percent in [] if level is None else np.atleast_1d(np.asarray(level, dtype=np.float64)):
        if 0 < percent <= 1:
            raise ValueError(f"level is in percent: did you mean {min(100 * percent, 99):g}? Got {percent:g}.")
        if not 0 < percent < 100:
            raise ValueError(f"level is a share of central intervals in percent, between 0 and 100, got {percent:g}.")
        found += [0.5 - percent / 200, 0.5 + percent / 200]
    if not found or not all(0 < value < 1 for value in found):
        raise ValueError(f"quantiles must be numbers in (0, 1), got {quantiles!r}.")
    levels = np.unique(np.round(found, 10))
    if len({f"{value:g}" for value in levels}) < len(levels):
        raise ValueError(f"quantiles must differ within six digits, which name the columns, got {quantiles!r}.")
    return levels
