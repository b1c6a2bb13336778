"""Nested comparison: moving average, persistence, ARX, linear state space, Elman, GRU and LSTM on one split.

Every model is fitted on the first part of every record and scored on the rest, from one policy for its state: it is
estimated from the last ``window`` measured rows, whatever the model. What differs is the model alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from seqdyn.checks import check_count
from seqdyn.metrics.points import fit_percent, rmse
from seqdyn.reports.block_bootstrap import LEVEL, TINY, block_length, bootstrap
from seqdyn.reports.runs import Run, checked, default_models, persist, run_model
from seqdyn.reports.splits import Split, read_split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

FREE_RUN = np.inf
"""The horizon of a free run: no measured output at all."""


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
    verbose: int = 0,
) -> Comparison:
    """Does the nonlinearity pay? Models of growing freedom on one split, in free run and k steps ahead.

    Free run: the state is estimated from the first ``window`` rows of the test part; no output is seen after them, and
    every later row is scored. k steps ahead: ŷ_t from the inputs up to t and the outputs up to t − k. Models with a
    model of the noise (linear state space, ARX) predict with their ``steps_ahead``; others estimate their state from
    the ``window`` rows up to t − k and run freely for k steps; moving averages see no outputs, so that this is their
    free run. Persistence is ŷ_t = y_{t-k}, and in free run the last value of the window for ever.

    Parameters
    ----------
    X, y : array, list of arrays, DataFrame, or xarray.DataArray
        One sequence or several, with one target a step. NaN in y is a missing target, left out of every score.
    models : mapping of str to estimator, optional
        Cloned, and fitted in this order; ``"persistence"`` stands for itself. None: moving average, persistence, ARX,
        linear state space, Elman, GRU and LSTM; the window of the first and the order of ARX are those with the least
        free-run error over the last quarter of the training part; networks begin as a linear state-space system, and
        are trained until the last fifth of the training part fits no better.
    test_fraction : float in (0, 1)
        The end of every record that is the test part. All fitting, scaling included, sees the rest alone.
    horizons : sequence of int of at least 1
        k, in steps. The same rows, at most 50 evenly spread ones, are scored for every model at every k.
    window : int of at least 1
        Rows a state is estimated from.
    seeds : int of at least 1
        Fits of every model with random weights; errors are the mean over them.
    random_state : int
        Of the first of these fits (unless a model has its own), and of the bootstrap.
    verbose : int
        1 shows a progress bar over the models.

    Returns
    -------
    Comparison
        The table, the sentence and the figure. A model that fails has its error as a note.

    Raises
    ------
    ValueError, TypeError
        If data or parameters do not fit; the message says which.

    Notes
    -----
    With several outputs, errors are divided by each output's standard deviation over the training part before they are
    squared and averaged; FIT is the mean over outputs. The verdict is one of free runs. Its interval resamples the
    test part and the seeds for the two models that are best there: it does not count that they were chosen so.
    Networks have no model of the noise; few steps ahead a linear model that has one can be better although the
    nonlinearity pays in free run.

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
    chosen = default_models(split) if models is None else checked(models)
    runs = {}
    for name, model in tqdm(chosen.items()) if verbose else chosen.items():
        if isinstance(model, str):
            runs[name] = persist(split)
        else:
            runs[name] = run_model(model, split, seeds, random_state)
    return Comparison(split, runs, int(random_state))


class Improvement(NamedTuple):
    """How much less the best nonlinear model's free-run error is than the best linear one's.

    Attributes
    ----------
    linear, nonlinear : str
        The two models.
    share : float
        1 − RMSE of the nonlinear / RMSE of the linear model.
    low, high : float
        Its 95 % interval.
    block_length : int
        Rows of a block of the bootstrap.
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
    split : Split
        The records, and which of their rows are scored.
    runs : dict of str to Run
        By model: its predictions, its fitted estimators (``runs["GRU"].estimators``), seconds, notes.
    random_state : int
        Of the bootstrap.
    """

    split: Split
    runs: dict[str, Run]
    random_state: int = 0

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a model.

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
        """Long: model, output, seed, horizon (inf is the free run), rmse in the unit of the output."""
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
        """The scored rows of the test part: measured, and the free run of every model, the mean over its seeds.

        Indexed as X; columns are pairs (model, output), the first "measured".
        """
        runs = {"measured": self.split.measured, **{name: run.free.mean(axis=0) for name, run in self.runs.items()}}
        columns = pd.MultiIndex.from_product([runs, self.split.outputs], names=["model", "output"])
        index = self.split.sequences.labels()[self.split.scored]
        return pd.DataFrame(np.column_stack(list(runs.values())), index, columns)

    def error(self, model: str, horizon: float = FREE_RUN) -> float:
        """RMSE of a model k steps ahead, or in free run: the mean over its seeds; see the notes of compare_models.

        Parameters
        ----------
        model : str
        horizon : int or inf
            k, one of those compared; inf is the free run.
        """
        failed = self.runs[model].kind == "failed"
        return np.nan if failed else float(np.sqrt(np.nanmean(self._squares(model, horizon), axis=1)).mean())

    @cached_property
    def improvement(self) -> Improvement | None:
        """The best nonlinear model beside the best linear one; None if one of the kinds is missing."""
        linear, nonlinear = self.best("linear"), self.best("nonlinear")
        if linear is None or nonlinear is None:
            return None
        squares = self._squares(linear), self._squares(nonlinear)
        known = ~np.isnan(squares[0][0])
        one, other = (values[:, known] for values in squares)
        series = self.split.series[known]
        length = block_length(other.mean(axis=0) - one.mean(axis=0), series)
        generator = np.random.default_rng(self.random_state)
        low, high = bootstrap(one, other, series, length, generator)
        share = 1 - self.error(nonlinear) / max(self.error(linear), TINY)
        return Improvement(linear, nonlinear, share, low, high, length)

    def best(self, kind: str) -> str | None:
        """The model of a kind ("linear" or "nonlinear") with the least free-run error; None if there is none."""
        errors = {name: self.error(name) for name, run in self.runs.items() if run.kind == kind}
        finite = {name: value for name, value in errors.items() if np.isfinite(value)}
        return min(finite, key=lambda name: finite[name], default=None)

    @property
    def verdict(self) -> str:
        """One sentence: does the nonlinearity pay, in free run?"""
        found = self.improvement
        if found is None:
            missing = "nonlinear" if self.best("nonlinear") is None else "linear"
            return f"Not decided: no {missing} model could be compared."
        pair = f"RMSE {self.error(found.nonlinear):.4g} against {self.error(found.linear):.4g} in free run over "
        pair += f"{np.isfinite(self._squares(found.linear)[0]).sum()} rows"
        said = f"{found.nonlinear} has {_more_or_less(found.share)} free-run error than {found.linear}"
        if found.low <= 0 <= found.high:
            interval = f"{_more_or_less(found.low)} to {_more_or_less(found.high)}"
            return f"Not decided: {said}, but the {LEVEL} % interval, {interval}, includes 0 ({pair})."
        ends = sorted([abs(found.low), abs(found.high)])
        interval = f"{LEVEL} % interval {100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
        return f"{'Yes' if found.low > 0 else 'No'}: {said} ({interval}; {pair})."

    @property
    def notes(self) -> list[str]:
        """What to know beside the verdict: persistence, memory, the interval, and what models said of themselves."""
        return [*self._persistence_notes(), *self._memory_notes(), *self._interval_notes(), *self._model_notes()]

    def plot(self, output: Any = None) -> Figure:
        """Every model's error against the horizon, and the free runs of the best linear and nonlinear one.

        Parameters
        ----------
        output : label, optional
            Which output the free runs show; the first if None.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from seqdyn.reports.comparison_figure import plot_comparison

        return plot_comparison(self, output)

    def summary(self) -> str:
        """One screen: the table, the verdict and the notes."""
        split, table = self.split, self.frame.drop(columns="note")
        seeds = max(len(run.estimators) for run in self.runs.values())
        head = f"{len(self.runs)} models, fitted on {split.fitted} rows, scored on {len(split.measured)} after a "
        head += f"window of {split.window}" + (f", mean of {seeds} seeds" if seeds > 1 else "")
        head += "" if len(split.outputs) == 1 else "; errors in standard deviations of every output"
        table.columns = [name.replace("-step RMSE", "-step").replace("free-run", "free") for name in table.columns]
        text = table.to_string(float_format=lambda value: f"{value:.4g}", na_rep="–", index_names=False)
        return "\n".join([head, text, f"Does the nonlinearity pay? {self.verdict}", *self.notes])

    def __repr__(self) -> str:
        return self.summary()

    def _pair(self, run: Run, horizon: float) -> tuple[Array, Array]:
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
                    f"{name} remembers its start for {rows}, the window has {self.split.window}: part of its "
                    "free-run error is that of the estimated state."
                )

    def _interval_notes(self) -> Iterator[str]:
        if self.improvement is not None:
            blocks = f"blocks of {self.improvement.block_length} rows"
            seeds = " and of the seeds" if len(self.runs[self.improvement.nonlinear].estimators) > 1 else ""
            yield f"The interval is that of a block bootstrap of the test rows ({blocks}){seeds}."

    def _model_notes(self) -> Iterator[str]:
        ranges = []
        for name in [name for name, run in self.runs.items() if len(run.estimators) > 1]:
            by_seed = np.sqrt(np.nanmean(self._squares(name), axis=1))
            ranges.append(f"{name} {by_seed.min():.4g} to {by_seed.max():.4g}")
        if ranges:
            yield f"Free-run RMSE of the seeds: {', '.join(ranges)}."
        said: dict[str, list[str]] = {}
        for name, run in self.runs.items():
            for note in run.notes:
                said.setdefault(note, []).append(name)
        yield from (f"{', '.join(names)}: {note}" for note, names in said.items())


def _more_or_less(share: float) -> str:
    return f"{100 * abs(share):.0f} % {'less' if share >= 0 else 'more'}"
