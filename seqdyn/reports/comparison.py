"""Nested comparison: moving average, persistence, ARX, linear state space, Elman, GRU and LSTM on one split.

Every model is fitted on the first part of every record and scored on the rest. The state of every model is estimated
from the last ``window`` measured rows, so that only the models differ.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.metrics.points import fit_percent, rmse
from seqdyn.progress import Callback, nested, track
from seqdyn.reports.bootstrap import INTERVAL_PERCENT, TINY, block_length, improvement_interval
from seqdyn.reports.comparison_split import ComparisonSplit, read_split
from seqdyn.reports.model_runs import ModelRun, checked_estimators, default_models, run_model, run_persistence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FREE_RUN = np.inf
"""The horizon of a free run, which uses no measured output."""


def compare_models(
    X: Any,
    y: Any,
    *,
    models: Mapping[str, Any] | None = None,
    test_fraction: float = 0.5,
    horizons: Sequence[int] = (1, 2, 5, 10, 20),
    window: int = 50,
    seeds: int = 3,
    random_state: int = 0,
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> Comparison:
    """Compare linear and nonlinear models on one split, in free run and k steps ahead: does the nonlinearity pay?

    Free run: the state is estimated from the first ``window`` rows of the test part; no output is used after them, and
    every later row is scored. k steps ahead: ŷ_t is predicted from the inputs up to t and the outputs up to t − k.
    Models with a noise model (linear state space, ARX) predict with their ``steps_ahead``; others estimate their state
    from the ``window`` rows up to t − k and run freely for k steps; for moving averages, which use no outputs, this is
    the free run. Persistence is ŷ_t = y_{t-k}, and in free run always the last value of the window.

    Parameters
    ----------
    X, y : array, list of arrays, DataFrame, or xarray.DataArray
        One sequence or several, with one target for every step. NaN in y is a missing target, which is not scored.
    models : mapping of str to estimator, optional
        They are cloned, and fitted in this order; the string ``"persistence"`` is a model, too. None: moving average,
        persistence, ARX, linear state space, Elman, GRU and LSTM. The window of the first and the order of ARX are
        those with the smallest free-run error over the last quarter of the training part; networks begin as a linear
        state-space system, and are trained until the last fifth of the training part no longer improves.
    test_fraction : float in (0, 1)
        The share of every record, at its end, that is the test part. All fitting and scaling uses only the rest.
    horizons : sequence of int of at least 1
        The values of k, in steps. At every k the same rows, at most 50 evenly spaced ones, are scored for every model.
    window : int of at least 1
        How many rows a state is estimated from.
    seeds : int of at least 1
        How often a model with random initial weights is fitted; errors are the mean over the fits.
    random_state : int
        Of the first of these fits (unless a model has its own), and of the bootstrap.
    verbose : bool or int
        1 shows a progress bar over the models; 2 also shows the bars of the fits.
    callback : callable, optional
        ``callback(Progress)`` after every model. If it returns true, the models that are left are not compared.

    Returns
    -------
    Comparison
        The table, the verdict and the figure. A model that fails has its error as a note.

    Raises
    ------
    ValueError, TypeError
        If data or parameters are not valid; the message says which.

    Notes
    -----
    With several outputs, errors are divided by each output's standard deviation over the training part before they are
    squared and averaged; FIT is the mean over outputs. The verdict is about free runs. Its interval resamples the test
    part and the seeds for the two models that are best there; it does not account for that choice. Networks have no
    noise model: a few steps ahead a linear model with one can be better although the nonlinearity pays in free run.

    References
    ----------
    Künsch (1989), The jackknife and the bootstrap for general stationary observations.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ElmanRegressor, LinearStateSpaceRegressor
    >>> x = np.random.default_rng(0).normal(size=(400, 1))
    >>> y = np.convolve(x[:, 0], 0.8 ** np.arange(60))[:400] + 0.1 * np.random.default_rng(1).normal(size=400)
    >>> models = {"linear": LinearStateSpaceRegressor(order=1), "Elman": ElmanRegressor(hidden_size=4, max_epochs=5)}
    >>> comparison = compare_models(x, y, models=models, horizons=(1, 5), seeds=1)
    >>> comparison.verdict.split(":")[0]
    'No'
    """
    split = read_split(X, y, test_fraction, horizons, window)
    check_count("seeds", seeds)
    if isinstance(random_state, bool) or not isinstance(random_state, Integral):
        raise TypeError(f"random_state must be an int, which the seeds count from, got {random_state!r}.")
    chosen = default_models(split) if models is None else checked_estimators(models)
    runs = {}
    for name in track(chosen, "compare", "model", verbose=verbose, callback=callback, describe=str):
        model = chosen[name]
        if isinstance(model, str):
            runs[name] = run_persistence(split)
        else:
            runs[name] = run_model(model, split, seeds, random_state, nested(verbose))
    return Comparison(split, runs, int(random_state))


class Improvement(NamedTuple):
    """The relative improvement of the free-run error from the best linear to the best nonlinear model.

    Attributes
    ----------
    linear, nonlinear : str
        The names of the two models.
    share : float
        1 − RMSE of the nonlinear / RMSE of the linear model.
    low, high : float
        Its 95 % interval.
    block_length : int
        How many rows a block of the bootstrap has.
    """

    linear: str
    nonlinear: str
    share: float
    low: float
    high: float
    block_length: int


@dataclass(repr=False, eq=False)
class Comparison:
    """The result of :func:`compare_models`.

    Attributes
    ----------
    split : ComparisonSplit
        The records, and which of their rows are scored.
    runs : dict of str to ModelRun
        By model: its predictions, its fitted estimators (``runs["GRU"].estimators``), seconds and notes.
    random_state : int
        Of the bootstrap.
    """

    split: ComparisonSplit
    runs: dict[str, ModelRun]
    random_state: int = 0

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row for every model.

        ``kind`` ("linear", "nonlinear" or "reference"), ``free-run RMSE`` and ``free-run FIT %``, ``k-step RMSE`` for
        every k, ``seconds`` of one fit, ``parameters``, ``memory`` (rows until two initial states agree to 1 %), and
        ``note``.
        """
        rows = {}
        for name, run in self.runs.items():
            errors = {f"{k}-step RMSE": self.error(name, k) for k in self.split.horizons}
            rows[name] = {
                "kind": run.kind,
                "free-run RMSE": self.error(name),
                "free-run FIT %": float(np.mean([fit_percent(self.split.measured, one) for one in run.free])),
                **errors,
                "seconds": run.seconds,
                "parameters": run.parameters,
                "memory": run.memory,
                "note": "; ".join(run.notes),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    @cached_property
    def errors(self) -> pd.DataFrame:
        """A long frame: model, output, seed, horizon (inf is the free run), and rmse in the unit of the output."""
        rows = []
        for name, run in self.runs.items():
            for k in (*self.split.horizons, FREE_RUN):
                y, predicted = self._pair(run, k)
                for seed, one in enumerate(predicted):
                    for column, output in enumerate(self.split.outputs):
                        rows.append((name, output, seed, k, rmse(y[:, column], one[:, column])))
        return pd.DataFrame(rows, columns=["model", "output", "seed", "horizon", "rmse"])

    @cached_property
    def free_runs(self) -> pd.DataFrame:
        """The scored rows of the test part: measured outputs, and the free run of every model, the mean over its seeds.

        The index is that of X; columns are pairs (model, output), "measured" first.
        """
        runs = {"measured": self.split.measured, **{name: run.free.mean(axis=0) for name, run in self.runs.items()}}
        columns = pd.MultiIndex.from_product([runs, self.split.outputs], names=["model", "output"])
        index = self.split.sequences.labels()[self.split.scored]
        return pd.DataFrame(np.column_stack(list(runs.values())), index, columns)

    def error(self, model: str, horizon: float = FREE_RUN) -> float:
        """The RMSE of a model k steps ahead or in free run, the mean over its seeds; see the notes of compare_models.

        Parameters
        ----------
        model : str
            Its name.
        horizon : int or inf
            One of the compared values of k; inf is the free run.
        """
        failed = self.runs[model].kind == "failed"
        return np.nan if failed else float(np.sqrt(np.nanmean(self._squares(model, horizon), axis=1)).mean())

    @cached_property
    def improvement(self) -> Improvement | None:
        """The improvement from the best linear to the best nonlinear model; None if one of the kinds is missing."""
        linear, nonlinear = self.best("linear"), self.best("nonlinear")
        if linear is None or nonlinear is None:
            return None
        squares = self._squares(linear), self._squares(nonlinear)
        known = ~np.isnan(squares[0][0])
        one, other = (values[:, known] for values in squares)
        series = self.split.series[known]
        length = block_length(other.mean(axis=0) - one.mean(axis=0), series)
        generator = np.random.default_rng(self.random_state)
        low, high = improvement_interval(one, other, series, length, generator)
        share = 1 - self.error(nonlinear) / max(self.error(linear), TINY)
        return Improvement(linear, nonlinear, share, low, high, length)

    def best(self, kind: str) -> str | None:
        """The model of a kind ("linear" or "nonlinear") with the smallest free-run error; None if there is none."""
        errors = {name: self.error(name) for name, run in self.runs.items() if run.kind == kind}
        finite = {name: value for name, value in errors.items() if np.isfinite(value)}
        return min(finite, key=lambda name: finite[name], default=None)

    @property
    def verdict(self) -> str:
        """Whether the nonlinearity pays in free run, in one sentence."""
        found = self.improvement
        if found is None:
            missing = "nonlinear" if self.best("nonlinear") is None else "linear"
            return f"Not decided: no {missing} model could be compared."
        pair = f"RMSE {self.error(found.nonlinear):.4g} against {self.error(found.linear):.4g} in free run over "
        pair += f"{np.isfinite(self._squares(found.linear)[0]).sum()} rows"
        said = f"{found.nonlinear} has {_more_or_less(found.share)} free-run error than {found.linear}"
        if found.low <= 0 <= found.high:
            interval = f"{_more_or_less(found.low)} to {_more_or_less(found.high)}"
            return f"Not decided: {said}, but the {INTERVAL_PERCENT} % interval, {interval}, includes 0 ({pair})."
        ends = sorted([abs(found.low), abs(found.high)])
        interval = f"{INTERVAL_PERCENT} % interval {100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
        return f"{'Yes' if found.low > 0 else 'No'}: {said} ({interval}; {pair})."

    @property
    def notes(self) -> list[str]:
        """Notes on the verdict: persistence, memory, the interval, and the warnings of the models."""
        return [*self._persistence_notes(), *self._memory_notes(), *self._interval_notes(), *self._model_notes()]

    def plot(self, output: Any = None) -> Figure:
        """Draw the error of every model against the horizon, and the free runs of the best linear and nonlinear one.

        Parameters
        ----------
        output : label, optional
            The output that the free runs show; None: the first.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If there is no such output.
        """
        from seqdyn.reports.comparison_figure import plot_comparison

        return plot_comparison(self, output)

    def summary(self) -> str:
        """The comparison on one screen: the table, the verdict and the notes."""
        text = self._table().to_string(float_format=lambda value: f"{value:.4g}", na_rep="–", index_names=False)
        return "\n".join([self._headline(), text, f"Does the nonlinearity pay? {self.verdict}", *self.notes])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        table = self._table().to_html(float_format=lambda value: f"{value:.4g}", na_rep="–", index_names=False)
        lines = [f"Does the nonlinearity pay? {self.verdict}", *self.notes]
        return f"<p>{self._headline()}</p>{table}" + "".join(f"<p>{html.escape(line)}</p>" for line in lines)

    def _headline(self) -> str:
        split, seeds = self.split, max((len(run.estimators) for run in self.runs.values()), default=0)
        head = f"{len(self.runs)} models, fitted on {split.fitted} rows, scored on {len(split.measured)} after a "
        head += f"window of {split.window}" + (f", mean of {seeds} seeds" if seeds > 1 else "")
        return head + ("" if len(split.outputs) == 1 else "; errors in standard deviations of every output")

    def _table(self) -> pd.DataFrame:
        """The frame without notes, and with short headers."""
        table = self.frame.drop(columns="note")
        return table.rename(columns=lambda name: name.replace("-step RMSE", "-step").replace("free-run", "free"))

    def _pair(self, run: ModelRun, horizon: float) -> tuple[Array, Array]:
        """Measured and predicted outputs at a horizon: (rows, outputs) and (seeds, rows, outputs)."""
        if horizon == FREE_RUN:
            return self.split.measured, run.free
        if horizon not in self.split.horizons:
            raise ValueError(f"horizon must be one of {self.split.horizons}, or inf for the free run, got {horizon!r}.")
        return self.split.measured[self.split.targets], run.ahead[:, self.split.horizons.index(int(horizon))]

    def _squares(self, model: str, horizon: float = FREE_RUN) -> Array:
        """Squared errors (seeds, rows), the mean over known outputs; NaN where none is."""
        y, predicted = self._pair(self.runs[model], horizon)
        known, squares = ~np.isnan(y), ((predicted - y) / self.split.scale) ** 2
        total, count = np.where(known, squares, 0.0).sum(axis=2), known.sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _persistence_notes(self) -> Iterator[str]:
        models = [name for name, run in self.runs.items() if run.kind in ("linear", "nonlinear")]
        for name in [name for name, run in self.runs.items() if run.kind == "reference"]:
            for k in (self.split.horizons[0], FREE_RUN):
                own = self.error(name, k)
                where = f"{k:g} step{'s' if k > 1 else ''} ahead" if k < FREE_RUN else "In free run"
                if models and all(own <= self.error(model, k) for model in models):
                    yield f"{where} no model beats {name} (RMSE {own:.4g})."

    def _memory_notes(self) -> Iterator[str]:
        for name in filter(None, (self.best("linear"), self.best("nonlinear"))):
            memory = self.runs[name].memory
            if memory > self.split.window:
                rows = f"{memory:.0f} rows" if np.isfinite(memory) else "longer than could be measured"
                yield (
                    f"{name} remembers its initial state for {rows}, but the window has only {self.split.window}: part "
                    "of its free-run error is due to the estimated state."
                )

    def _interval_notes(self) -> Iterator[str]:
        if self.improvement is not None:
            blocks = f"blocks of {self.improvement.block_length} rows"
            seeds = " and of the seeds" if len(self.runs[self.improvement.nonlinear].estimators) > 1 else ""
            yield f"The interval is from a block bootstrap of the test rows ({blocks}){seeds}."

    def _model_notes(self) -> Iterator[str]:
        ranges = []
        for name in [name for name, run in self.runs.items() if len(run.estimators) > 1]:
            by_seed = np.sqrt(np.nanmean(self._squares(name), axis=1))
            ranges.append(f"{name} {by_seed.min():.4g} to {by_seed.max():.4g}")
        if ranges:
            yield f"Free-run RMSE over the seeds: {', '.join(ranges)}."
        said: dict[str, list[str]] = {}
        for name, run in self.runs.items():
            for note in run.notes:
                said.setdefault(note, []).append(name)
        yield from (f"{', '.join(names)}: {note}" for note, names in said.items())


def _more_or_less(share: float) -> str:
    return f"{100 * abs(share):.0f} % {'less' if share >= 0 else 'more'}"
