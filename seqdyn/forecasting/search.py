"""Search: every setting of a grid, each judged by a backtest of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from seqdyn.progress import Callback, nested, track


@dataclass(repr=False, eq=False)
class Search:
    """The result of a search.

    Attributes
    ----------
    table : DataFrame
        One row a setting, the best first: its parameters, and its metrics in the backtest.
    best : forecaster
        With the best setting, fitted on all of the data.
    metric : str
        What was compared.
    """

    table: pd.DataFrame
    best: Any
    metric: str

    @property
    def best_params(self) -> dict[str, Any]:
        """The parameters of the best setting."""
        return dict(self.table["params"].iloc[0])

    def __repr__(self) -> str:
        return self.table.drop(columns="params").to_string(index=False)

    def _repr_html_(self) -> str:
        return self.table.drop(columns="params").to_html(index=False)


def grid_search(
    forecaster: Any,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
    df: Any,
    horizon: int | None = None,
    *,
    n_windows: int = 1,
    step_size: int | None = None,
    refit: bool | int = False,
    level: Any = None,
    static: Any = None,
    metric: str = "MASE",
    n_jobs: int | None = None,
    verbose: bool | int | None = None,
    callback: Callback | None = None,
) -> Search:
    """Fit every setting before the first window of a backtest, and compare their errors.

    Parameters
    ----------
    forecaster : forecaster
        What is varied; it stays as it is.
    grid : dict of lists, or list of such
        As in scikit-learn's ``ParameterGrid``; ``estimator__hidden_size`` reaches into the regressor.
    df : DataFrame, Series, DataArray or Dataset
        Everything that may be used for the choice. Keep the data that the result will be tested on out of it.
    horizon, n_windows, step_size, refit, level, static
        The backtest; ``level`` for metrics of intervals.
    metric : str
        A column of ``Backtest.metrics()``; the smallest is the best.
    n_jobs : int, optional
        Settings tried at once, by joblib.
    verbose : bool or int, optional
        1: a progress bar. None: the forecaster's own.
    callback : callable, optional
        ``callback(Progress)`` after every setting; a true answer ends the search with those so far. None: the
        forecaster's own.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from seqdyn import SeasonalNaiveForecaster
    >>> from seqdyn.forecasting.search import grid_search
    >>> wave = pd.Series(np.sin(np.arange(60) * np.pi / 6))
    >>> grid_search(SeasonalNaiveForecaster(), {"season_length": [7, 12]}, wave, 6, metric="MAE").best_params
    {'season_length': 12}
    """
    settings = list(ParameterGrid(grid))
    verbose = forecaster.verbose if verbose is None else verbose
    inner, callback = nested(verbose), callback or forecaster.callback

    def judged(setting: dict[str, Any]) -> pd.Series:
        model = clone(forecaster).set_params(**{"verbose": inner, "callback": None} | setting)
        result = model.backtest(
            df, horizon, n_windows, step_size, refit=refit, level=level, baselines=None, static=static
        )
        return result.metrics().loc["model"]

    work = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(judged)(setting) for setting in settings)
    watched = track(work, "search", "candidate", total=len(settings), verbose=verbose, callback=callback)
    found = pd.DataFrame(list(watched))
    settings = settings[: len(found)]
    usable = [str(name) for name in found.columns if name != "n" and not str(name).startswith("coverage")]
    if metric not in usable:
        raise ValueError(f"metric must be one of {usable}, got {metric!r}.")
    if found[metric].isna().all():
        raise ValueError(
            f"{metric} is not defined for any setting on these windows: take another metric, such as 'MAE'."
        )
    columns = pd.DataFrame([{name: repr(value) for name, value in setting.items()} for setting in settings])
    table = pd.concat([columns, found.reset_index(drop=True)], axis=1).assign(params=settings)
    table = table.sort_values(metric, kind="stable").reset_index(drop=True)
    params = {"callback": forecaster.callback} | table["params"].iloc[0]
    best = clone(forecaster).set_params(**params).fit(df, static=static)
    return Search(table, best, metric)
