"""Baselines: what a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import Tags
from torch import nn

from seqdyn.cells.linear import Linear
from seqdyn.composition import Offset
from seqdyn.data.scaling import Scaling
from seqdyn.estimators.closed_form import ClosedFormEstimator, Measured
from seqdyn.estimators.linear_model import LinearModel, inputs_beside, write_system
from seqdyn.estimators.parameters import at_least, each, either, one_of
from seqdyn.estimators.sampling import STEP_RULES, sampling, time_labels
from seqdyn.identification.arx import Lags, Regression, Trial, arx_system, search
from seqdyn.identification.delay import checked_delays
from seqdyn.identification.records import Record
from seqdyn.training.batches import Rows

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class PersistenceRegressor(ClosedFormEstimator):
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

    def _solve(self, rows: Rows, targets: Array, weight: Array) -> None:
        """Nothing to solve: both scalings become the identity, so that y_t = x_t in the units of the data."""
        self.input_scaling_ = Scaling.identity(self.n_features_in_)
        self.target_scaling_ = Scaling.identity(self.n_outputs_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


@dataclass(kw_only=True, repr=False, eq=False)
class ARXRegressor(LinearModel, ClosedFormEstimator):
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

    output_lags: Any = 2
    input_lags: Any = 2
    input_delay: Any = 0
    feedthrough: bool = True
    dt: Any = None
    time_unit: str = ""

    @property
    def order_search_(self) -> pd.DataFrame:
        """Lags tried by ``"auto"``; empty where they were given."""
        return pd.DataFrame(self.trials_, columns=list(Trial._fields)).astype(dict.fromkeys(Trial._fields[:3], int))

    def _measured_rows(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> Measured:
        """X = None, or without columns: no inputs at all. The labels of the steps may tell the time between them."""
        read = self._read_inputs(inputs_beside(X, y), reset=reset, fewest=0)
        self.dt_, self.time_unit_ = sampling(self.dt, self.time_unit, time_labels(read, y))
        return super()._measured_rows(read, y, sample_weight, reset)

    def _network(self, inputs: int, outputs: int) -> nn.Module:
        lags = outputs * self.output_lags_ + inputs * self.input_lags_
        return Offset(Linear(inputs + 1, lags + sum(self.input_delay_), outputs, torch.Generator()))

    def _solve_from(self, data: Measured) -> None:
        """The lags, then the rest."""
        delays = checked_delays(self.input_delay, self.n_features_in_, "input_delay")
        self.input_delay_ = delays if self.feedthrough else tuple(max(delay, 1) for delay in delays)
        p, q = (None if lags == "auto" else [lags] for lags in (self.output_lags, self.input_lags))
        trials: list[Trial] = []
        if p is None or q is None:
            scaled = self.target_scaling_.apply(data.numbers)
            trials = search(_records(self._solving_rows(data.sequences), scaled, data.weight), p, q, self.input_delay_)
        best = min(trials, key=lambda trial: trial.aicc, default=Trial(self.output_lags, self.input_lags, 0, 0.0))
        self.output_lags_, self.input_lags_, self.trials_ = *best[:2], np.array(trials).reshape(-1, len(Trial._fields))
        super()._solve_from(data)

    def _solve(self, rows: Rows, targets: Array, weight: Array) -> None:
        lags = Lags(self.output_lags_, self.input_lags_)
        regression = Regression.of(_records(rows, targets, weight), lags, self.input_delay_)
        if regression.steps < 2:
            raise ValueError(
                f"n_samples={regression.steps} steps have all their lags known; at least 2 are needed: give longer "
                "series, or lower output_lags, input_lags or input_delay."
            )
        system = arx_system(regression, self.input_delay_)
        write_system(self.network_, system)
        own = self.autoregression is not None  # the last outputs are inputs: the errors have no way into the state
        self.noise_gain_, self.noise_covariance_ = None if own else system.noise_gain, system.noise_covariance
        self.estimation_ = system.estimation

    def _rules(self) -> dict[str, Any]:
        return (
            super()._rules()
            | STEP_RULES
            | {
                "output_lags": either(at_least(0), one_of("auto")),
                "input_lags": either(at_least(0), one_of("auto")),
                "input_delay": either(at_least(0), each(at_least(0))),
                "feedthrough": one_of(False, True),
            }
        )


def _records(rows: Rows, targets: Array, weight: Array) -> list[Record]:
    """One record a series, in scaled units; outputs that do not count are not known."""
    known = np.where(weight[:, None] > 0, targets, np.nan)
    counts = np.broadcast_to(weight[:, None], known.shape)
    parts = (np.split(part, rows.starts[1:].tolist()) for part in (rows.x.cpu().double().numpy(), known, counts))
    return [Record.of(*part) for part in zip(*parts, strict=True)]
