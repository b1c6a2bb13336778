"""The forecaster: any regressor of the library on a frame, with its state kept between calls.

A row of the regressor's inputs is (z_{t-1}, what is known at t); its target is z_t, or z_t … z_{t+H-1}. What is not
known yet is NaN, and the regressor's own prediction takes its place (:mod:`seqdyn.autoregression`). So training,
filtering through gaps, forecasting and backtesting are one pass over rows.
"""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray
from sklearn.utils.validation import check_is_fitted

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.panels import Panel, Roles
from seqdyn.dynamics.driven import Driven
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.descriptions import describe_forecaster
from seqdyn.forecasting.envelope import Envelope
from seqdyn.forecasting.fitted import Departure, FittedNetwork
from seqdyn.forecasting.inputs import targets
from seqdyn.forecasting.intervals import DEFAULT_MEASURED_STEPS, Draws, interval_notes, network_quantiles
from seqdyn.forecasting.memory import SeriesMemory
from seqdyn.forecasting.network import given_setting, plan_network, recipe
from seqdyn.forecasting.network_fit import choose_share, fit_network, with_scales
from seqdyn.forecasting.paths import path_pieces
from seqdyn.forecasting.reading import check_grid
from seqdyn.forecasting.request import ForecastRequest, Forecasts
from seqdyn.forecasting.requirements import check_forecaster
from seqdyn.generators import generator_of
from seqdyn.progress import Meter
from seqdyn.state import State


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
        How many of the last values the network sees at once. None: chosen, see Notes; where nothing is chosen, one
        more than a season if the series are long enough, else 2.
    centred : bool or None
        Show the network the lags relative to the last value, and let it predict relative to that. Then a trend is
        continued. None: chosen; where nothing is chosen True.
    log : bool, None or "auto"
        Model log y. The point forecast of y is then a median, not a mean. None and ``"auto"``: chosen; where nothing is
        chosen False, or True for ``"auto"`` in positive series.
    difference, seasonal_difference : int or None
        d and D: model (1 − L)^d (1 − L^m)^D y. None: chosen; 0 where nothing is, or the other is given.
    scaling : {"auto", "standard", "robust", "mean", "seasonal", None}
        How each series is scaled, by what the fit has seen of it: mean and standard deviation; median and quartiles;
        mean |y|; mean and mean |y_t − y_{t-m}|. ``"auto"``: ``"seasonal"``; where nothing is chosen
        ``"standard"``.
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
    validation : int
        Origins at the end of every series, at most, that open settings are chosen on, see Notes. 0: nothing is chosen.
    n_samples : int
        Sample paths that quantiles are taken from, where the model draws them.
    random_state : int, RandomState or None
        Draws the sample paths.
    freq, season_length, id_col, time_col, target_col, past, future, static, verbose, callback
        As in every forecaster.

    Attributes
    ----------
    estimator_ : regressor
        Fitted.
    history_ : DataFrame
        Its training: epoch, loss and the rest, as regressors have it.
    memory_ : SeriesMemory
        Where every series stands after its last known row; :attr:`state` has it labelled, ``state_`` is the network's
        own, in network units.
    errors_ : ForecastErrors
        What intervals are made of, see Notes.
    plan_ : NetworkPlan
        What was chosen, see Notes: :class:`~seqdyn.forecasting.network.NetworkPlan`.
    transform_ : SeriesTransform
        The scale of every series, fixed at the last fit.

    Notes
    -----
    In the recursive strategy ``past`` covariates are forecast along with the target.

    A regressor whose start was left open (``skip`` and ``linear_start`` as they are) begins as a linear model. Its
    penalty, and of logarithm, differences, lags and centring what was not given, are those that forecast the last rows
    best, see :mod:`seqdyn.forecasting.linear_choice`. The network is then trained to correct it, and the share of its
    correction is kept that forecasts these rows best, be it 0; at the end all is trained anew on all rows. Parameters
    of the regressor that are those of its class count as left open: 40 epochs or 2,000 steps at a rate of 3e-3 that
    falls along a cosine, on windows where series are long. A regressor with a start of its own is taken as it is.

    Intervals come from the network's own head, if its loss is ``"quantile"`` or ``"gaussian"``. Otherwise they are
    conformal: errors are measured from every origin in the rows that were held out to choose on, or by early stopping,
    at no further fit; where these are few, intervals are wider for it. Without such rows, sample paths draw from the
    errors of the rows of the fit, with a warning where the network has more than one weight for five of them. To
    calibrate on rows of your own choice, put it into a
    :class:`~seqdyn.forecasting.calibrated.ConformalForecaster`.

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
    centred: bool | None = None
    log: Any = None
    difference: int | None = None
    seasonal_difference: int | None = None
    scaling: str | None = "auto"
    scale_features: bool = False
    weight: str | None = None
    calendar: Any = None
    teacher_forcing: Any = 1.0
    free_run: int = 0
    validation: int = 30
    n_samples: int = 500
    random_state: Any = None

    def _learn(self, panel: Panel) -> None:
        check_forecaster(self)
        plan, tests = plan_network(self, panel, self.seasons_of(panel), self.steps)
        measured = self.horizon or max(self.season_of(panel), DEFAULT_MEASURED_STEPS)
        total = 1 if tests is None else 2
        with Meter("fit", "training", total, self.verbose, self.callback) as meter:
            if tests is None:
                fit = fit_network(self, plan, panel)
                self.errors_ = fit.errors(measured)
            else:
                plan, errors = choose_share(self, plan, panel, tests, measured)
                if meter.advance(detail="without the last rows"):
                    plan = replace(plan, share=0.0)
                fit = fit_network(self, plan, panel)
                self.errors_ = errors.on(fit.network, fit.panel)
            meter.advance(detail="on all rows")
        self.plan_, network = plan, fit.network
        self.estimator_, self.transform_, self.inputs_ = network.estimator, network.transform, network.inputs

    def roles(self) -> Roles:
        roles = super().roles()
        return roles if self.weight is None else replace(roles, static=(*roles.static, self.weight))

    def remember(self, panel: Panel) -> None:
        panel = with_scales(panel, self.transform_) if self.scale_features else panel
        super().remember(panel)
        self._news: list[Panel] = []
        self.envelope_ = Envelope.of(panel)
        self.memory_ = SeriesMemory.of(self._network, panel, self.estimator_.state_)

    @property
    def steps(self) -> int:
        """How many steps the network predicts at once: ``horizon`` of a direct model, else 1."""
        return int(self.horizon or 1) if self.strategy == "direct" else 1

    @property
    def _network(self) -> FittedNetwork:
        """What was fitted, for the series of the fit."""
        rest = self.steps, self.context_length, self.known_.names, self.known_.static
        return FittedNetwork(self.estimator_, self.transform_, self.inputs_, *rest)

    def default_estimator(self, panel: Panel) -> GRURegressor:
        """The regressor that is fitted where none is given, as it would be trained on a panel."""
        own = GRURegressor(random_state=0)
        setting = given_setting(self, panel, self.seasons_of(panel))
        found = recipe(own, setting, panel)
        return own.set_params(**{name: value for name, value in found.items() if name not in ("skip", "linear_start")})

    @property
    def history_(self) -> pd.DataFrame:
        """How the regressor was trained on all rows, one row an epoch."""
        check_is_fitted(self)
        history: pd.DataFrame = self.estimator_.history_
        return history

    @property
    def state_(self) -> State:
        """The network's state after the last known row, one row a series, in network units."""
        return self.memory_.network

    @property
    def state(self) -> xarray.Dataset:
        """Where every series stands, labelled: the network's state, and what waits beside it.

        ``pending`` is the last known value in network units, which the next row will hold; ``tail`` and ``recent`` are
        what differences are undone from, with gaps filled and as they are. Assigning such a Dataset goes back to it
        (the instant is not part of it: rows that ``update`` has read stay read); assigning a State sets the network's
        alone.
        """
        check_is_fitted(self)
        return self.memory_.labelled(self.known_.names)

    @state.setter
    def state(self, state: Any) -> None:
        check_is_fitted(self)
        self.memory_ = self.memory_.at(state, self._network)

    def _take_in(self, new: Panel) -> None:
        """New rows cost only themselves: they are joined to the history when somebody asks for it."""
        self.follow(new, None, self.known_.joined(new).tail(1))

    def follow(self, new: Panel, panel: Panel | None, known: Panel) -> None:
        network = self._network
        self.memory_ = self.memory_.update(network, new, self.known_.future)
        self.envelope_ = self.envelope_.joined(new, self.known_.names.get_indexer(new.names))
        self.known_ = network.described(known)
        if panel is not None:
            self.panel_, self._news = network.described(panel), []
        elif "panel_" in vars(self):
            self._news.append(new)

    def _envelope(self) -> Envelope:
        return self.envelope_

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
        transform, twin = self.plan_.setting.transform(panel, self.season_of(panel)), copy.copy(self)
        twin.transform_, twin.estimator_ = transform, copy.copy(self.estimator_)
        static = (with_scales(panel, transform) if self.scale_features else panel).static
        network = replace(self._network, transform=transform, names=panel.names, static=static)
        X = network.rows(panel, transform.forward(panel))
        _, twin.estimator_.state_ = self.estimator_.predict(np.split(X, panel.starts[1:]), return_state=True)
        twin.errors_ = self.errors_.among(self.known_.names, panel.names)
        twin.remember(panel)
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
        X = self._network.rows(panel, z)
        cuts = panel.starts[1:]
        return np.split(X, cuts), np.split(targets(z, panel, self.steps), cuts)

    def driven_by(self, df: Any, y: None = None) -> Driven:
        """The network as the rows of a frame drive it, see :meth:`sequences`: what reports measure.

        Parameters
        ----------
        df : frame or series
            Like the one of the fit.
        y : None

        Raises
        ------
        ValueError
            If there is no frame, or targets stand beside it.
        """
        if df is None or y is not None:
            raise ValueError(
                "A Forecaster is measured on a frame like the one it was fitted on: give it as X, and no y."
            )
        driven: Driven = self.estimator_.driven_by(*self.sequences(df))
        return driven

    def forecast_ahead(self, horizon: int, future: Array, levels: Array | None = None) -> Forecasts:
        return self._finished(self.memory_.departure(self._network, self.known_, future), horizon, levels)

    def forecast_from(self, request: ForecastRequest) -> Forecasts:
        return self._finished(self._network.departure(request), request.horizon, request.levels)

    def _finished(self, start: Departure, horizon: int, levels: Array | None) -> Forecasts:
        """From states and rows ahead to forecasts in the units of the data."""
        self._check_reach(horizon)
        network = self._network
        output = network.output(start)
        mean = network.transform.backward(network.points(output, horizon), start.series, start.tails)
        if levels is None:
            return Forecasts(mean)
        draws = Draws(horizon, self.n_samples, generator_of(self.random_state))
        found = network_quantiles(network, start, output, levels, self.errors_, draws)
        return Forecasts(mean, found, interval_notes(self.errors_, levels))

    def _check_reach(self, horizon: int) -> None:
        if self.strategy == "direct" and horizon > self.steps:
            raise ValueError(
                f"This direct model was fitted for horizon={self.steps} and cannot forecast {horizon} steps: fit with "
                "a longer horizon, or with strategy='recursive'."
            )

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
        horizon, count = self._horizon(horizon), check_count("n_samples", n_samples)
        if self.steps > 1:
            raise ValueError(
                "Sample paths need strategy='recursive': a direct model says nothing of how steps go together."
            )
        start = self.memory_.departure(self._network, self.known_, self._known(future, horizon))
        draw = generator_of(self.random_state)
        values = np.concatenate([*path_pieces(self._network, start, count, self.errors_.residuals, draw)])
        labels = {"series": np.asarray(self.known_.names), "step": np.arange(1, horizon + 1)}
        return xarray.DataArray(np.moveaxis(values, 2, 1), labels, ("series", "sample", "step"))

    def facts(self) -> dict[str, object]:
        weights = sum(parameter.numel() for parameter in self.estimator_.network_.parameters())
        network = {"network": f"{type(self.estimator_).__name__}, {weights} weights", "plan": self.plan_.describe()}
        return super().facts() | network

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
            [*describe_forecaster(self, panel), "", f"last {ahead} steps, fitted without them", table, test.verdict()]
        )

    def to_content(self) -> dict[str, Any]:
        """Parameters and fitted attributes as a tree that files can hold; the data of the fit is not among them."""
        content = super().to_content()
        content["fitted"].pop("panel_", None)
        return content
