"""Baselines: what a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Tags
from torch import nn

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression
from seqdyn.cells.linear import Linear
from seqdyn.composition import Offset
from seqdyn.data.scaling import Scaling
from seqdyn.estimators.closed_form import (
    ONE_LAG,
    ClosedFormRegressor,
    keep_network,
    keep_scalings,
    measured_examples,
    of_level,
    solving_pairs,
    weighed_scalings,
    with_own_past,
)
from seqdyn.estimators.documented import documented
from seqdyn.estimators.experiments import Experiments
from seqdyn.estimators.learning import Scalings
from seqdyn.estimators.linear_model import LinearModel, inputs_beside, write_system
from seqdyn.estimators.parameters import Rule, at_least, check_parameters, each, either, one_of, unchanged_on_error
from seqdyn.estimators.reading import read_inputs
from seqdyn.estimators.sampling import STEP_RULES, sampling, time_labels
from seqdyn.estimators.training import Alignment
from seqdyn.identification.arx import Lags, LagTrial, Regression, arx_system, lag_trials
from seqdyn.identification.delay import checked_delays
from seqdyn.identification.records import DataRecord
from seqdyn.training.batches import Rows


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class PersistenceRegressor(ClosedFormRegressor):
    """Everything stays as it is: y_t = x_t, for inputs that hold the present value of the targets.

    In one-step-ahead forecasting X is the series and y the same series one step later.

    Parameters
    ----------
    columns : sequence of int or str, or None
        Which feature holds the present value of each target, by number or (of a frame) by name; None: the first ones.
    warmup : int or None
        Leading steps that carry no score.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import PersistenceRegressor
    >>> level = np.array([1.0, 2.0, 4.0, 8.0])
    >>> PersistenceRegressor().fit(level[:-1, None], level[1:]).predict(level[:-1, None])
    array([1., 2., 4.])
    """

    columns: Any = None

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        names = list(getattr(self, "feature_names_in_", ()))
        asked = list(range(outputs)) if self.columns is None else list(self.columns)
        columns = [names.index(column) if column in names else column for column in asked]
        if len(columns) != outputs or not all(column in range(inputs) for column in columns):
            raise ValueError(
                f"Every target needs the feature that holds its present value: y has {outputs} columns, X {inputs} "
                f"features, columns={self.columns!r}."
            )
        network = Linear(inputs, 0, outputs, torch.Generator())
        with torch.no_grad():
            network.feedthrough.zero_()[range(outputs), columns] = 1.0
        return network

    def _scalings(self, data: Experiments) -> Scalings:
        """Both are the identity, so that y_t = x_t in the units of the data."""
        units = Scaling.identity(self.n_features_in_), Scaling.identity(self.n_outputs_)
        return Scalings(np.nanmean(data.sequences.rows, axis=0), *units)

    def _solved(self, rows: Rows, targets: Array, weight: Array) -> nn.Module:
        """Nothing to solve."""
        return self._network(self.n_features_in_, self.n_outputs_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


ARX_RULES: dict[str, Rule] = {
    **STEP_RULES,
    **ONE_LAG,
    "output_lags": either(at_least(0), one_of("auto")),
    "input_lags": either(at_least(0), one_of("auto")),
    "input_delay": either(at_least(0), each(at_least(0))),
    "feedthrough": one_of(False, True),
}
"""What the parameters of an ARX model must be."""


@documented(ClosedFormRegressor)
@dataclass(kw_only=True, repr=False, eq=False)
class ARXRegressor(LinearModel):
    """Autoregression with inputs, by least squares.

        y_t = Σ_{i=1}^{p} a_i y_{t-i} + Σ_{j=d}^{d+q} b_j x_{t-j} + b + e_t

    The fit minimises the *one-step* error; ``predict`` is the *free run*: past outputs are its own predictions. With
    ``predict(X, y=…, steps_ahead=k)`` the outputs up to t − k are the measured ones.

    Parameters
    ----------
    output_lags : int of at least 0, or "auto"
        p.
    input_lags : int of at least 0, or "auto"
        q. ``"auto"``, for p or q or both, takes of 0 … 10 lags those with the least corrected criterion of Akaike over
        the same steps, see ``order_search_``.
    input_delay : int of at least 0, or a sequence of such
        d, in steps, for all inputs or one an input.
    feedthrough : bool
        False: x_t does not reach y_t, the delay counts as at least 1. Inputs that react to y_t within the step, as
        those of a controller do, need it.
    dt : float, pandas.Timedelta, str such as "10min", or None
        Time between two steps. None: read from the DatetimeIndex or TimedeltaIndex of X or y, else 1.
    time_unit : str
        Unit of ``dt``. Empty: the one of ``dt``, or of labels of time the largest of d, h, min and s that a step fills.
    warmup : int or None
        Leading steps that carry no weight and no score.

    Attributes
    ----------
    cell_ : Offset
        The same equation as a state-space model; its state holds the p last outputs and d + q last inputs.
    output_lags_, input_lags_ : int
        p and q.
    input_delay_ : tuple of int
        d of every input.
    dt_, time_unit_ : float, str
        Time between two steps, and its unit.
    order_search_ : DataFrame
        What ``"auto"`` tried: output_lags, input_lags, regressors and aicc; empty where both were given.
    feedthrough_, readout_, input_map_, transition_, output_offset_, state_offset_, system_, block_matrix_
        The model, see :class:`~seqdyn.estimators.linear_model.LinearModel`.

    Notes
    -----
    In MATLAB's ``arx`` the orders are na = p, nb = q + 1 and nk = d.

    Rows of which a lag is not known are left out. The system knows its noise: gain, covariance (with T − k degrees of
    freedom for k regressors), likelihood, and the covariance of its coefficients, R ⊗ (ΦᵀΦ)⁻¹, for
    ``system_.standard_error`` and its kin. They are right where e_t is white: look at ``residual_tests``.

    References
    ----------
    Ljung (1999), System Identification, sections 4.2 and 9.4; Hurvich & Tsai (1989) for the criterion.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import ARXRegressor
    >>> x = np.random.default_rng(0).normal(size=(200, 1))
    >>> y = np.zeros(200)
    >>> for t in range(1, 200):
    ...     y[t] = 0.9 * y[t - 1] + x[t, 0]
    >>> model = ARXRegressor(output_lags=1, input_lags=0, warmup=1).fit(x, y)
    >>> float(round(model.score(x, y), 3))
    1.0
    >>> ARXRegressor(output_lags="auto", input_lags="auto").fit(x, y).output_lags_
    1
    """

    warmup: int | None = None
    autoregression: Autoregression | None = None
    output_lags: Any = 2
    input_lags: Any = 2
    input_delay: Any = 0
    feedthrough: bool = True
    dt: Any = None
    time_unit: str = ""

    @property
    def order_search_(self) -> pd.DataFrame:
        """Lags tried by ``"auto"``; empty where they were given."""
        return pd.DataFrame(self.trials_, columns=list(LagTrial._fields)).astype(
            dict.fromkeys(LagTrial._fields[:3], int)
        )

    # ---------------------------------------------------------------- the parts

    @property
    def alignment(self) -> Alignment:
        """How outputs stand beside inputs."""
        return Alignment(warmup=self.warmup or 0, own_past=of_level(self.autoregression))

    def _untrained(self) -> nn.Module:
        return with_own_past(self._network(), self.alignment.own_past)

    def _network(self) -> nn.Module:
        """An unsolved cell of the fitted widths."""
        inputs, outputs = self.n_features_in_, self.n_outputs_
        lags = outputs * self.output_lags_ + inputs * self.input_lags_
        return Offset(Linear(inputs + 1, lags + sum(self.input_delay_), outputs, torch.Generator()))

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Solve for the coefficients.

        Parameters
        ----------
        X : array (time, features) or (series, time, features), list of arrays, DataFrame, or None
            None, or no features: no inputs.
        y : array, Series, DataFrame, or list of arrays
            One target a step; NaN marks a missing one.
        sample_weight : array, optional
            What every step, or every sequence, counts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If parameters or data do not fit; the message says where.
        """
        with unchanged_on_error(self):
            check_parameters(self, ARX_RULES)
            self.fitted_params_ = self.get_params(deep=False)
            sequences = read_inputs(self, inputs_beside(X, y), True, self.alignment.missing, fewest=0)
            self.dt_, self.time_unit_ = sampling(self.dt, self.time_unit, time_labels(sequences, y))
            data = measured_examples(self, sequences, y, sample_weight, True)
            keep_scalings(self, weighed_scalings(data, self.alignment.own_past))
            records = _regression_records(*solving_pairs(self, data), data.weight)
            self._choose_lags(records)
            keep_network(self, self._solved(records), data.sequences)
        return self

    def _choose_lags(self, records: list[DataRecord]) -> None:
        """The lags, as given or by the criterion."""
        delays = checked_delays(self.input_delay, self.n_features_in_, "input_delay")
        self.input_delay_ = delays if self.feedthrough else tuple(max(delay, 1) for delay in delays)
        p, q = (None if lags == "auto" else [lags] for lags in (self.output_lags, self.input_lags))
        trials: list[LagTrial] = lag_trials(records, p, q, self.input_delay_) if p is None or q is None else []
        best = min(trials, key=lambda trial: trial.aicc, default=LagTrial(self.output_lags, self.input_lags, 0, 0.0))
        self.output_lags_, self.input_lags_, self.trials_ = (
            *best[:2],
            np.array(trials).reshape(-1, len(LagTrial._fields)),
        )

    def _solved(self, records: list[DataRecord]) -> nn.Module:
        """The cell with its weights, and what is known of their errors."""
        regression = Regression.of(records, Lags(self.output_lags_, self.input_lags_), self.input_delay_)
        if regression.steps < 2:
            raise ValueError(
                f"n_samples={regression.steps} steps have all their lags known; at least 2 are needed: give longer "
                "series, or lower output_lags, input_lags or input_delay."
            )
        system, network = arx_system(regression, self.input_delay_), self._network().double()
        write_system(network, system)
        own = self.autoregression is not None  # the last outputs are inputs: the errors have no way into the state
        self.noise_gain_, self.noise_covariance_ = None if own else system.noise_gain, system.noise_covariance
        self.estimation_ = system.estimation
        return network


def _regression_records(rows: Rows, targets: Array, weight: Array) -> list[DataRecord]:
    """One record a series, in scaled units; outputs that do not count are not known."""
    known = np.where(weight[:, None] > 0, targets, np.nan)
    counts = np.broadcast_to(weight[:, None], known.shape)
    parts = (np.split(part, rows.starts[1:].tolist()) for part in (rows.x.cpu().double().numpy(), known, counts))
    return [DataRecord.of(*part) for part in zip(*parts, strict=True)]
