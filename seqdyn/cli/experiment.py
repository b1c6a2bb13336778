"""What `seqdyn demo` does to one series: cut it in time, fit the models, measure their one-step and free-run errors.

    one step    ŷ_{t+1} from the true values up to t
    free run    ŷ_{t+1}, …, ŷ_{t+C}: every output becomes the next input, over one cycle of C steps

Both begin before every step of the test part; weights, scaling and early stopping have seen the training part only.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]

RECURRENT = ("Elman network", "LSTM", "GRU")
BASELINES = ("persistence", "seasonal naive")


@dataclass(frozen=True)
class Problem:
    """A series as a sequence model sees it: x_k = (y_k, u_{k+1}), and y_{k+1} is to be predicted.

    Attributes
    ----------
    name, title, unit, step : str
        Of the series, short and long; of its values; of one step in time.
    cycle : int
        Steps of its season: the length of a free run, of the warm-up, and a quarter of a training window.
    values : Series, shape (time,)
        The series itself, in its unit.
    y : array, shape (time,)
        What is modelled: the values, transformed.
    known : array, shape (time + cycle, features)
        u_{k+1}: what is known of the next step in advance.
    restore : callable
        From the last value and a path of y to a path of values.
    columns : list of str
        The names of the inputs.
    copies : tuple of float
        The training part is given once times each of these factors.
    """

    name: str
    title: str
    unit: str
    step: str
    cycle: int
    values: pd.Series
    y: Array
    known: Array
    restore: Callable[[float, Array], Array]
    columns: list[str]
    copies: tuple[float, ...] = (1.0,)

    @property
    def cut(self) -> int:
        """The first step of the test part, the last quarter."""
        return len(self.y) - round(len(self.y) / 4)

    @property
    def inputs(self) -> Array:
        """x, shape (time, 1 + features)."""
        return np.column_stack([self.y, self.known[: len(self.y)]])

    @property
    def starts(self) -> range:
        """The last known step of every free run, and of every one-step prediction."""
        return range(self.cut - 1, len(self.y) - 1)

    def training_data(self) -> tuple[Any, Any]:
        """X and y of the training part: a frame and a series, or arrays of several scaled copies."""
        import pandas as pd

        X, y = self.inputs[: self.cut - 1], self.y[1 : self.cut]
        if len(self.copies) > 1:
            return np.stack([factor * X for factor in self.copies]), np.stack([factor * y for factor in self.copies])
        return self.labelled(X), pd.Series(y, name=f"next {self.columns[0]}")

    def labelled(self, X: Array) -> Any:
        """Leading inputs as a frame, where the models were fitted on one."""
        import pandas as pd

        return X if len(self.copies) > 1 else pd.DataFrame(X, self.values.index[: len(X)], self.columns)


class Result(NamedTuple):
    """One model on one series.

    Attributes
    ----------
    model : str
    estimator : estimator or None
        None for a baseline, which has nothing to fit.
    one_step : array, shape (test,)
        Predictions of every step of the test part.
    runs : array, shape (test, cycle)
        The free run that begins at every step of the test part; it may reach beyond the data.
    one_step_error, free_run_error : float
        RMSE, in the unit of the series; of the free run over all starts and all leads inside the data.
    seconds : float
        Of the fit.
    """

    model: str
    estimator: Any
    one_step: Array
    runs: Array
    one_step_error: float
    free_run_error: float
    seconds: float


def digits(results: list[Result]) -> int:
    """Decimal places of an error, so that three figures of the smallest one count."""
    return max(0, 2 - math.floor(math.log10(min(result.one_step_error for result in results))))


def sunspots() -> Problem:
    """Yearly sunspot numbers as square roots: their swings grow with their level.

    All models learn from two more copies of the training part, one smaller and one larger, because networks saturate
    beyond what they have met. On the last quarter of the training part alone this makes no difference; in the test
    part, whose maxima are higher than all before, the networks' one-step errors fall from 16–23 to 12–18 (5 seeds).
    """
    from seqdyn.datasets import load_sunspots

    values = load_sunspots()["sunspots"]
    return Problem(
        name="sunspots",
        title="Sunspots, yearly mean",
        unit="sunspot number",
        step="year",
        cycle=11,
        values=values,
        y=np.sqrt(values.to_numpy()),
        known=np.zeros((len(values) + 11, 0)),
        restore=lambda last, path: np.square(np.maximum(path, 0.0)),
        columns=["root"],
        copies=(1.0, 0.8, 1.25),
    )


def co2() -> Problem:
    """Monthly CO2 as changes from month to month, beside the season of the coming month: the trend has no ceiling."""
    import pandas as pd

    from seqdyn.datasets import load_co2

    series = load_co2("monthly")["co2"]
    values = series.iloc[1:]
    coming = pd.date_range(values.index[1], periods=len(values) + 12, freq="MS")
    angle = 2 * np.pi * (coming.month.to_numpy() - 1) / 12
    return Problem(
        name="co2",
        title="CO₂ over Mauna Loa, monthly mean",
        unit="ppm",
        step="month",
        cycle=12,
        values=values,
        y=np.diff(series.to_numpy()),
        known=np.column_stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]),
        restore=lambda last, path: last + np.cumsum(path),
        columns=["change", "sin_year", "cos_year", "sin_half_year", "cos_half_year"],
    )


def solve(problem: Problem, seed: int, max_epochs: int) -> Iterator[Result]:
    """Fit and measure every model of the demo, one by one."""
    yield from _baselines(problem)
    for name, estimator in _estimators(problem.cycle, seed, max_epochs).items():
        began = time.monotonic()
        _fit(estimator, problem)
        seconds = time.monotonic() - began
        yield _measured(problem, name, estimator, _one_step(estimator, problem), _runs(estimator, problem), seconds)


@contextmanager
def one_thread() -> Iterator[None]:
    """Networks this small are no faster on many threads, and many times slower where the threads wait for a core."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _estimators(cycle: int, seed: int, max_epochs: int) -> dict[str, Any]:
    """The models: all see the same rows; those trained by gradient share every setting."""
    from seqdyn.estimators.linear import LinearStateSpaceRegressor
    from seqdyn.estimators.moving_average import MovingAverageRegressor
    from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor, LSTMRegressor

    training: dict[str, Any] = {
        "window": 4 * cycle,
        "stride": 4,
        "warmup": cycle,
        "max_epochs": max_epochs,
        "early_stopping": True,
        "validation_fraction": 0.2,
        "n_iter_no_change": 25,
        "tol": 0.0,
        "random_state": seed,
    }
    return {
        "moving average": MovingAverageRegressor(window=cycle, weights="learned", warmup=cycle),
        "linear state space": LinearStateSpaceRegressor(order=8, **training),
        "Elman network": ElmanRegressor(hidden_size=32, **training),
        "LSTM": LSTMRegressor(hidden_size=32, **training),
        "GRU": GRURegressor(hidden_size=32, **training),
    }


def _fit(estimator: Any, problem: Problem) -> None:
    """Fit on the training part; Ctrl-C ends the demo, not only this training."""
    with warnings.catch_warnings():
        # The test part begins hundreds of steps after the start: whether the warm-up sufficed does not matter there.
        warnings.filterwarnings("ignore", "warmup=")
        warnings.filterwarnings("error", "Training was interrupted")
        try:
            estimator.fit(*problem.training_data())
        except UserWarning as warning:
            raise KeyboardInterrupt from warning


def _one_step(estimator: Any, problem: Problem) -> Array:
    """The value after every start, from all true values before it."""
    predicted = np.ravel(estimator.predict(problem.labelled(problem.inputs[:-1])))
    values = problem.values.to_numpy()
    return np.array([problem.restore(values[k], predicted[k : k + 1])[0] for k in problem.starts])


def _runs(estimator: Any, problem: Problem) -> Array:
    """The cycle after every start, from the model's own outputs."""
    stream = estimator.stream()
    inputs, values = problem.inputs, problem.values.to_numpy()
    for x in inputs[: problem.cut - 1]:
        stream.push(x)
    runs = []
    for k in problem.starts:
        first = np.ravel(stream.push(inputs[k]))
        rest = stream.forecast(problem.cycle - 1, exogenous=problem.known[k + 1 : k + problem.cycle])
        runs.append(problem.restore(values[k], np.concatenate([first, np.ravel(rest)])))
    return np.array(runs)


def _baselines(problem: Problem) -> Iterator[Result]:
    """What needs no fitting: the last value, and what happened one cycle ago."""
    values, cycle = problem.values.to_numpy(), problem.cycle
    persistence = np.array([np.full(cycle, values[k]) for k in problem.starts])
    seasonal = np.array([problem.restore(values[k], problem.y[k + 1 - cycle : k + 1]) for k in problem.starts])
    for name, runs in zip(BASELINES, (persistence, seasonal), strict=True):
        yield _measured(problem, name, None, runs[:, 0], runs, 0.0)


def _measured(problem: Problem, name: str, estimator: Any, one_step: Array, runs: Array, seconds: float) -> Result:
    """A result with its errors."""
    from seqdyn.metrics import rmse

    values = problem.values.to_numpy()
    padded = np.concatenate([values, np.full(problem.cycle, np.nan)])
    actual = np.array([padded[k + 1 : k + 1 + problem.cycle] for k in problem.starts])
    inside = ~np.isnan(actual)
    return Result(
        name,
        estimator,
        one_step,
        runs,
        rmse(values[problem.cut :], one_step),
        rmse(actual[inside], runs[inside]),
        seconds,
    )
