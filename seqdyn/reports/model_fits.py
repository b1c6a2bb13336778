"""Fitted models compared on a record that none of them was fitted on: FIT of every output, and one figure.

Nothing is fitted here; :func:`~seqdyn.reports.comparison.compare_models` fits and compares models of several kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.data.targets import target_names
from seqdyn.estimators.linear import LinearStateSpaceRegressor
from seqdyn.estimators.linear_model import LinearModel, inputs_beside
from seqdyn.estimators.numbers import is_sequence_regressor
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.estimators.starts import start_rows
from seqdyn.identification.system import LinearSystem
from seqdyn.metrics.points import fit_percent, mae, rmse
from seqdyn.progress import Callback, track
from seqdyn.reports.comparison_split import ScoredRecord, read_records, scored_records
from seqdyn.reports.model_runs import PERSISTENCE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare(
    models: Any,
    X: Any,
    y: Any,
    *,
    steps_ahead: int | None = None,
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> ModelFits:
    """Compare fitted models on a record that they have not seen, by FIT, RMSE and one figure.

        FIT = 100 (1 − ‖y − ŷ‖ / ‖y − ȳ‖)        over the rows after the start

    The state of every model is estimated from the first rows of the record, which are not scored.

    Parameters
    ----------
    models : mapping of str to model, sequence of models, or one model
        Fitted regressors of the library (anything with ``estimate_state``: linear state space, ARX, Elman, LSTM, GRU,
        …), or a :class:`~seqdyn.identification.system.LinearSystem`. Models without names get those of their classes.
    X, y : array, list of arrays, DataFrame, or xarray.DataArray
        One record or several, as in ``fit``, that no model was fitted on; X is None for systems without inputs. NaN in
        y is a missing output, which is not scored.
    steps_ahead : int of at least 1, optional
        k, in steps: ŷ_t is predicted from the inputs up to t and the outputs up to t − k, which needs models with a
        noise model (linear state space, ARX); the table then has persistence, ŷ_t = y_{t−k}, too. None: the free run,
        in which no output after the start is used.
    verbose : bool or int
        1 shows a progress bar over the models.
    callback : callable, optional
        ``callback(Progress)`` after every model. If it returns true, the models that are left are not compared.

    Returns
    -------
    ModelFits
        The table, the predictions and the figure.

    Raises
    ------
    TypeError
        If one of the models is not a model, or cannot predict k steps ahead.
    ValueError
        If a model is not fitted or has other outputs than y, or if a record is too short.

    Notes
    -----
    The start is the first tenth of every record, and at least twice the order of the largest linear model. With several
    records, scores are taken over the rows of all.

    References
    ----------
    Ljung (1999), System Identification, section 16.5 (model validation).

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ARXRegressor, LinearStateSpaceRegressor
    >>> x = np.random.default_rng(0).normal(size=(600, 1))
    >>> y = np.convolve(x[:, 0], 0.8 ** np.arange(60))[:600] + 0.1 * np.random.default_rng(1).normal(size=600)
    >>> state_space = LinearStateSpaceRegressor(order=1).fit(x[:300], y[:300])
    >>> arx = ARXRegressor(output_lags=1, input_lags=0).fit(x[:300], y[:300])
    >>> fits = compare({"state space": state_space, "ARX": arx}, x[300:], y[300:])
    >>> fits.table["FIT %"].round(0).tolist()
    [93.0, 93.0]
    >>> figure = fits.plot()
    """
    if steps_ahead is not None:
        check_count("steps_ahead", steps_ahead)
    chosen = _checked_models(models, steps_ahead)
    X = inputs_beside(X, y)
    sequences, _, numbers = read_records(X, y)
    names = target_names(y)
    _check_outputs(chosen, numbers.shape[1], names)
    outputs = names or _own_names(chosen) or [f"y{i}" for i in range(numbers.shape[1])]
    records = scored_records(sequences, numbers, lambda length, record: _start_rows(chosen, length, record))
    labels = y.index if isinstance(y, pd.Series | pd.DataFrame) and sequences.index is None else sequences.labels()
    predictions = {}
    for name in track(chosen, "compare", "model", verbose=verbose, callback=callback, describe=str):
        parts = [_predict_record(name, chosen[name], record, steps_ahead) for record in records]
        predictions[name] = np.concatenate(parts)
    return ModelFits(records, labels, list(map(str, outputs)), predictions, steps_ahead)


@dataclass(repr=False, eq=False)
class ModelFits:
    """The result of :func:`compare`.

    Attributes
    ----------
    records : list of ScoredRecord
        x, y (time, outputs) and the first scored row of every record.
    labels : Index
        The labels of the rows of all records, end to end.
    outputs : list of str
        The names of the outputs.
    predictions : dict of str to array, shape (total, outputs)
        By model, in the units of y, including the rows of the start.
    steps_ahead : int or None
        k; None for the free run.
    """

    records: list[ScoredRecord]
    labels: pd.Index
    outputs: list[str]
    predictions: dict[str, Array]
    steps_ahead: int | None

    @cached_property
    def scored(self) -> Array:
        """Which rows of all records, end to end, are scored: bool, shape (total,)."""
        return np.concatenate([np.arange(len(record.y)) >= record.first for record in self.records])

    @cached_property
    def measured(self) -> Array:
        """y of all records end to end: (total, outputs)."""
        return np.concatenate([record.y for record in self.records])

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for every pair (model, output): ``FIT %``, ``RMSE``, ``MAE`` and ``mean error`` (of ŷ − y), ``rows``.

        All but FIT are in the unit of the output; ``rows`` counts the known outputs that are scored.
        """
        rows = {}
        for name, predicted in (self.predictions | self._reference()).items():
            for column, output in enumerate(self.outputs):
                known = self.scored & ~np.isnan(self.measured[:, column]) & ~np.isnan(predicted[:, column])
                one, other = self.measured[known, column], predicted[known, column]
                rows[name, output] = {
                    "FIT %": fit_percent(one, other) if known.any() else np.nan,
                    "RMSE": rmse(one, other),
                    "MAE": mae(one, other),
                    "mean error": float(np.mean(other - one)) if known.any() else np.nan,
                    "rows": int(known.sum()),
                }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index = pd.MultiIndex.from_tuples(rows, names=["model", "output"])
        return table

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Measured and predicted outputs with the index of y; columns are pairs (model, output), "measured" first."""
        parts = {"measured": self.measured, **self.predictions}
        columns = pd.MultiIndex.from_product([parts, self.outputs], names=["model", "output"])
        return pd.DataFrame(np.hstack(list(parts.values())), self.labels, columns)

    @property
    def kind(self) -> str:
        """The kind of prediction, in words."""
        if self.steps_ahead is None:
            return "free run"
        return f"{self.steps_ahead} step{'s' if self.steps_ahead > 1 else ''} ahead"

    def plot(self, record: int = 0) -> Figure:
        """Draw every output of a record, measured and predicted, with the FIT of every model; the start is grey.

        Parameters
        ----------
        record : int
            The number of the record, from 0.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If there is no such record.
        """
        from seqdyn.reports.comparison_figure import plot_model_fits

        return plot_model_fits(self, record)

    def summary(self) -> str:
        """The table on one screen, under a line that says what was scored."""
        return self._headline() + "\n" + self.table.to_string(float_format=lambda value: f"{value:.4g}", na_rep="–")

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return f"<p>{self._headline()}</p>{self.table.to_html(float_format=lambda value: f'{value:.4g}', na_rep='–')}"

    def _headline(self) -> str:
        started, total = int((~self.scored).sum()), len(self.scored)
        return f"{self.kind.capitalize()}, scored on {total - started} rows after {started} for the start"

    def _reference(self) -> dict[str, Array]:
        """Persistence as a reference for k-step predictions; nothing for a free run."""
        if self.steps_ahead is None or PERSISTENCE in self.predictions:
            return {}
        shifted = [pd.DataFrame(record.y).ffill().shift(self.steps_ahead).to_numpy() for record in self.records]
        return {PERSISTENCE: np.concatenate(shifted)}


# -------------------------------------------------------------------- models


def _checked_models(models: Any, steps_ahead: int | None) -> dict[str, SequenceEstimator]:
    """The models by name, each fitted and able to predict what is asked."""
    found = {}
    for name, model in _models_by_name(models).items():
        if isinstance(model, LinearSystem):
            model = LinearStateSpaceRegressor.from_system(model)
        if not is_sequence_regressor(model):
            got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
            raise TypeError(
                f"models[{name!r}] is {got}, expected a fitted regressor of the library, which has estimate_state, or "
                "a LinearSystem."
            )
        try:
            check_is_fitted(model)
        except NotFittedError:
            raise NotFittedError(
                f"models[{name!r}], a {type(model).__name__}, is not fitted: compare() fits nothing. Fit it on another "
                "record first."
            ) from None
        if steps_ahead is not None and not isinstance(model, LinearModel):
            raise TypeError(
                f"models[{name!r}], a {type(model).__name__}, has no noise model, which predictions {steps_ahead} "
                "steps ahead need: compare free runs (steps_ahead=None), or leave it out."
            )
        found[name] = model
    return found


def _models_by_name(models: Any) -> dict[str, Any]:
    """The models by name: a mapping as it is, others by the names of their classes, numbered if these repeat."""
    if isinstance(models, Mapping):
        named = {str(name): model for name, model in models.items()}
    else:
        several = list(models) if isinstance(models, Sequence) and not isinstance(models, str) else [models]
        kinds = [type(model).__name__ for model in several]
        named = {
            kind if kinds.count(kind) == 1 else f"{kind} {kinds[: place + 1].count(kind)}": model
            for place, (kind, model) in enumerate(zip(kinds, several, strict=True))
        }
    if not named:
        raise ValueError("models is empty: give at least one fitted model.")
    return named


def _check_outputs(models: Mapping[str, SequenceEstimator], outputs: int, names: Sequence[Any] | None) -> None:
    for name, model in models.items():
        if model.n_outputs_ != outputs:
            raise ValueError(
                f"models[{name!r}] has {model.n_outputs_} outputs, y has {outputs}: give y with the outputs that the "
                "models were fitted on, and compare models with other outputs on their own."
            )
        own = model.target_names_
        if own is not None and names is not None and list(map(str, own)) != list(map(str, names)):
            raise ValueError(
                f"models[{name!r}] was fitted on the outputs {list(own)}, y has {list(names)}: give the same columns "
                "in the same order."
            )


def _own_names(models: Mapping[str, SequenceEstimator]) -> Sequence[Any] | None:
    """The names of the outputs of the first model that knows them."""
    return next((model.target_names_ for model in models.values() if model.target_names_), None)


def _start_rows(models: Mapping[str, SequenceEstimator], length: int, record: int) -> int:
    """How many rows the initial states are estimated from."""
    order = max((model.system_.order for model in models.values() if isinstance(model, LinearModel)), default=0)
    start = int(start_rows(np.array(length), order))
    if length < start + 2:
        raise ValueError(
            f"Record {record} has {length} rows, of which the first {start} are for the start (a tenth, and at least "
            f"twice the order, {order}), so that too few are left to score: give a record of at least {start + 2} "
            "rows, or models of lower order."
        )
    return start


def _predict_record(name: str, model: Any, record: ScoredRecord, steps_ahead: int | None) -> Array:
    """ŷ of a record (time, outputs), from a state estimated on its first rows."""
    x = record.x if "feature_names_in_" in vars(model) else np.asarray(record.x)
    y = record.y[:, 0] if model.flat_targets_ else record.y
    state = model.estimate_state(x[: record.first], y[: record.first])
    if isinstance(model, LinearModel) and steps_ahead is not None:
        predicted = model.predict(x, y=y, steps_ahead=steps_ahead, initial_state=state)
    else:
        predicted = model.predict(x, initial_state=state)
    values = np.asarray(predicted, dtype=np.float64)
    if values.size != record.y.size:
        raise ValueError(
            f"models[{name!r}] predicts an array of shape {values.shape} for outputs of shape {record.y.shape}: "
            "compare models that predict one value for every output and step."
        )
    return values.reshape(record.y.shape)
