"""The linear state-space model as a regressor: identified in closed form, refined by exact gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression
from seqdyn.cells.linear import LinearState
from seqdyn.codecs import tensor
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import Targets, as_weights
from seqdyn.estimators.closed_form import of_level
from seqdyn.estimators.documented import documented
from seqdyn.estimators.experiments import Experiments
from seqdyn.estimators.identification_warnings import warn_of
from seqdyn.estimators.learning import Learner, Session, examples_of, fitted_so_far, keep_learnt, prepare
from seqdyn.estimators.linear_model import LinearModel, inputs_beside, scaled_system, write_system
from seqdyn.estimators.linear_plan import LINEAR_RULES, Plan
from seqdyn.estimators.linear_training import is_filter, linear_learner
from seqdyn.estimators.numbers import numbers_beside, predict_quantiles
from seqdyn.estimators.parameters import check_parameters, check_unchanged, unchanged_on_error
from seqdyn.estimators.reading import read_inputs
from seqdyn.estimators.sampling import sampling, time_labels
from seqdyn.estimators.starts import is_estimate
from seqdyn.estimators.tasks import NumberTask
from seqdyn.estimators.training import Alignment, Clip, Training, warmup_of
from seqdyn.identification.estimation import Estimation
from seqdyn.identification.excitation import Excitation
from seqdyn.identification.identify import Identification, OrderTrial, examine, identify, noise_of
from seqdyn.identification.system import LinearSystem
from seqdyn.initial_state import Zero, as_initial_state
from seqdyn.predictor import warmup_steps
from seqdyn.training.forward import run_network
from seqdyn.training.loop import HISTORY
from seqdyn.training.stopping import NonFiniteError

UNIDENTIFIED_ORDER = 4
"""States of ``order="auto"`` where the subspace of the states is not looked for."""


@documented(Training, NumberTask)
@dataclass(kw_only=True, repr=False, eq=False)
class LinearStateSpaceRegressor(LinearModel):
    """A linear state-space model: [y_t; h_t] = [A B; C D] [x_t; h_{t-1}] + [y_0; h_0], with noise K e_t in h_t.

    Identified by subspace methods in closed form, then refined by exact gradients of the error one step ahead or of the
    *free run* (``focus``), together with the start of every record.

    Parameters
    ----------
    order : int of at least 1, or "auto"
        Width of h. ``"auto"`` compares the orders from 0 (no memory) to 10 over the last ``validation_fraction`` of
        every record, see ``order_search_``; beside it stand the ``singular_values_``.
    method : {"subspace+gradient", "subspace", "gradient"}
        Closed form and refinement, the closed form alone, or gradient steps from random weights.
    weighting : {"cva", "n4sid", "moesp"}
        Of the subspace method. ``"n4sid"`` needs inputs that change quickly.
    feedthrough : bool
        False: A = 0, x_t reaches y_{t+1} first.
    stable : bool
        Keep the spectral radius of D below 1: an estimate outside is moved in, and the refinement cannot leave. No time
        constant becomes longer than about half of the longest record, either. False: for a plant that is unstable, or
        an integrator, in a loop that holds it.
    initial_state : "estimate", or as in every estimator
        ``"estimate"``: the start of every record is estimated with the model, see ``starts_``. ``predict`` then starts
        from zero (the mean, in scaled units), or from the state it is given; ``score`` estimates the start of every
        record from its first rows, which carry no score.
    block_rows : int or None
        Past and future steps of the Hankel matrices; None: 20, or fewer where the data are short.
    validation_fraction : float in (0, 1)
        The end of every record on which orders and focuses are compared, and which ``early_stopping`` holds out.
    focus : {"auto", "prediction", "simulation"}
        Which error is made small: the one of the prediction one step ahead, which is right where the noise has dynamics
        or the inputs react to the outputs, or the one of the free run. ``"auto"`` predicts, unless what the free run
        leaves is white, or no linear model explains the errors one step ahead and the free run comes much closer to the
        ends of the records. The closed form alone predicts where inputs react or there are none. See ``focus_``.
    offset : {"constant", "drift", "trend"}
        What is added to the outputs: y_0 alone; a drift as well, an integrator of the noise, which is a state of the
        model; or a straight line a record: the model is that of the data without their lines, predictions have none,
        and scores and tests are to be made on data without them.
    input_delay : int, sequence of int, or "auto"
        Steps before an input acts, for all or one an input; ``"auto"``: as seen in the data. What is on its way stands
        in the state: ``order_`` counts it, ``order`` does not.
    dt : float, pandas.Timedelta, str such as "10min", or None
        Time between two steps. None: read from the DatetimeIndex or TimedeltaIndex of X or y, else 1.
    time_unit : str
        Unit of ``dt``. Empty: the one of ``dt``, or of labels of time the largest of d, h, min and s that a step fills.
    dtype : {"float64", "float32"}

    Attributes
    ----------
    feedthrough_, readout_, input_map_, transition_, output_offset_, state_offset_, system_, block_matrix_
        The model, see :class:`~seqdyn.estimators.linear_model.LinearModel`; so are ``estimation_``, ``dt_`` and
        ``time_unit_``.
    order_ : int
        Width of h.
    starts_ : State
        h_{-1} of every training record: ``predict(X, initial_state=model.starts_)`` is the run that was fitted. The
        training loop begins where prediction does.
    singular_values_ : array
        Of the weighted projection: canonical correlations with ``"cva"``.
    order_search_ : DataFrame
        Orders tried by ``"auto"``, of every focus: singular_value, and the RMS errors over the validation part in
        scaled units; taken is the least N ln error² + 2 n (2 outputs + inputs), Akaike's criterion with the validation
        error.
    input_delay_ : tuple of int or None
        Steps before every input acts, as given or seen; None where ``focus_`` is.
    excitation_ : Excitation
        What the inputs reveal: order of excitation, levels, and the delay that ``input_delay_`` leaves.
    focus_ : {"prediction", "simulation"} or None
        The error that the closed form and its refinement made small; None where the system was given, or trained from
        random weights.
    method_ : str
        How the model was found: the closed form, refined by ``"least squares"`` or by ``"training"``.

    Notes
    -----
    The closed form needs outputs of their own for every step: with ``autoregression``, ``return_sequences=False`` or
    ``output_lag`` the model is trained by gradient, and ``"auto"`` is an order of 4. The refinement is least squares
    where the loss is the squared error over whole records; with another loss, windows, truncated BPTT,
    ``early_stopping``, ``weight_decay`` or another ``initial_state`` than ``"estimate"``, ``"zero"`` and ``"warmup"``
    the training loop takes the closed form as its start; a transition that it makes unstable is moved back, with a
    warning. ``method_`` says what was done. ``partial_fit`` identifies on its first data, and then trains.

    A mean that is less than four standard errors (of independent values) away from 0 is taken for 0, so that a system
    without offsets is at rest at 0, and not at its sample's mean.

    References
    ----------
    Van Overschee & De Moor (1996), Subspace Identification for Linear Systems; Ljung (1999), System Identification.

    Examples
    --------
    >>> import numpy as np
    >>> from seqdyn import LinearStateSpaceRegressor
    >>> x = np.random.default_rng(0).normal(size=(300, 1))
    >>> y = np.convolve(x[:, 0], 0.8 ** np.arange(60))[:300]
    >>> model = LinearStateSpaceRegressor(order=1).fit(x, y)
    >>> model.transition_.round(6)
    array([[0.8]])
    >>> model.system_.dc_gain().round(6)
    array([[5.]])
    """

    order: Any = "auto"
    method: str = "subspace+gradient"
    weighting: str = "cva"
    feedthrough: bool = True
    stable: bool = True
    initial_state: Any = "estimate"
    block_rows: int | None = None
    validation_fraction: float = 0.25
    focus: str = "auto"
    offset: str = "constant"
    input_delay: Any = 0
    dt: Any = None
    time_unit: str = ""
    dtype: str = "float64"

    loss: Any = NumberTask.loss
    quantiles: Any = NumberTask.quantiles
    return_sequences: bool = Training.return_sequences
    warmup: int | None = Training.warmup
    output_lag: int = Training.output_lag
    window: int | None = Training.window
    stride: int = Training.stride
    bptt_length: int | None = Training.bptt_length
    streams: int = Training.streams
    omega: float = Training.omega
    initialise: Any = Training.initialise
    batch_size: int = Training.batch_size
    scale: bool = Training.scale
    warm_start: bool = Training.warm_start
    autoregression: Autoregression | None = Training.autoregression

    optimizer: str = Training.optimizer
    learning_rate: float = Training.learning_rate
    schedule: Any = Training.schedule
    weight_decay: float = Training.weight_decay
    clip_norm: Clip = Training.clip_norm
    clip_quantile: float | None = Training.clip_quantile
    weight_average: float = Training.weight_average
    max_epochs: int | None = Training.max_epochs
    max_steps: int | None = Training.max_steps
    max_time: float | None = Training.max_time
    early_stopping: bool = Training.early_stopping
    n_iter_no_change: int = Training.n_iter_no_change
    tol: float = Training.tol
    device: Any = Training.device
    random_state: Any = Training.random_state
    verbose: int | bool = Training.verbose
    callback: Any = Training.callback
    checkpoint: Any = Training.checkpoint
    checkpoint_every: float = Training.checkpoint_every

    # ---------------------------------------------------------------- systems that are known

    @classmethod
    def from_system(cls, system: LinearSystem) -> Self:
        """A fitted regressor that is this system, with inputs, outputs and state in its units."""
        model = cls(order=system.order)
        model.fitted_params_ = model.get_params(deep=False)
        model.n_features_in_, model.n_outputs_ = system.inputs, system.outputs
        model.input_mean_, model.input_scaling_ = np.zeros(system.inputs), Scaling.identity(system.inputs)
        model.target_scaling_ = Scaling.identity(system.outputs)
        model.flat_targets_, model.target_names_, model.held_length_ = system.outputs == 1, None, None
        model._forget("given")
        model.dt_, model.time_unit_ = system.dt, system.time_unit
        model.focus_ = system.estimation.focus if system.estimation else None
        model._adopt(system)
        model.network_.eval()
        model.state_ = model.starts_ = model.cell_.initial_state(1)
        model.forgetting_time_ = system.forgetting_time()
        return model

    @classmethod
    def from_block(cls, A: Any, B: Any = None, C: Any = None, D: Any = None) -> Self:
        """A fitted regressor from the lectures' block matrix [A B; C D]."""
        return cls.from_system(LinearSystem.from_block(A, B, C, D))

    @classmethod
    def from_control(cls, A: Any, B: Any = None, C: Any = None, D: Any = None) -> Self:
        """A fitted regressor from control theory's quadruple."""
        return cls.from_system(LinearSystem.from_control(A, B, C, D))

    @classmethod
    def from_rnn(cls, W_ih: Any, W_hh: Any, W_hy: Any, b_h: Any = None, b_y: Any = None) -> Self:
        """A fitted regressor from a linear recurrent network, see :meth:`LinearSystem.from_rnn`."""
        return cls.from_system(LinearSystem.from_rnn(W_ih, W_hh, W_hy, b_h, b_y))

    # ---------------------------------------------------------------- before a fit

    def check_excitation(self, X: Any, y: Any) -> Excitation:
        """Whether these data can tell what a fit would ask of them; printed, it says so in plain words.

        Parameters
        ----------
        X, y : array, list of arrays, or DataFrame
            As in ``fit``; nothing is fitted.

        Returns
        -------
        Excitation
        """
        check_parameters(self, LINEAR_RULES)
        probe = type(self)(**self.get_params(deep=False))
        sequences = probe._read(X, y, fresh=True)
        data = probe._experiments(probe.targets_beside(sequences, y, self.return_sequences), y, None, fresh=True)
        records = data.records(Scaling.fit(data.sequences.rows), Scaling.fit(data.known))
        return examine(records, self._plan.settings)

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Identify the model from sequences.

        Parameters
        ----------
        X : array (time, features) or (series, time, features), list of arrays, DataFrame, or None
            One experiment, many of one or of unlike lengths, or one with labels. None, or no features: no inputs.
        y : array, Series, DataFrame, or list of arrays
            Outputs beside X; NaN marks a missing one.
        sample_weight : array, optional
            What every step counts in the error; 0 leaves it out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If parameters or data do not fit, or the data are too short for the order; the message says what to change.

        Warns
        -----
        UserWarning
            If the inputs do not tell what is asked for, or the estimate had to be made stable, or of another focus.
        """
        return self._learn(X, y, sample_weight, not (self.warm_start and self.__sklearn_is_fitted__()), whole=True)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Identify on the first data, then train for one more epoch on every further piece.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`.

        Returns
        -------
        self
        """
        return self._learn(X, y, sample_weight, not self.__sklearn_is_fitted__(), whole=False)

    def _learn(self, X: Any, y: Any, sample_weight: Any, fresh: bool, whole: bool) -> Self:
        """Identify, where nothing is fitted yet; then train, where identification is not all."""
        with unchanged_on_error(self, but=NonFiniteError):
            check_parameters(self, LINEAR_RULES)
            if fresh:
                self._begin_anew()
            else:
                check_unchanged(self, self.task.alike)
            sequences = self._read(X, y, fresh)
            targets = self.targets_beside(sequences, y, self.return_sequences)
            data = self._experiments(targets, y, sample_weight, fresh)
            if fresh:
                self.dt_, self.time_unit_ = sampling(self.dt, self.time_unit, time_labels(sequences, y))
            identifies = fresh and self._plan.identifies
            if identifies:
                self._identify(data, self.early_stopping and whole)
            if identifies and not self._plan.trains:
                self._conclude(data)
            else:
                examples = examples_of(self, sequences, targets, y, sample_weight)
                before = None if fresh and not identifies else fitted_so_far(self)._replace(found_here=identifies)
                self._train(prepare(self._learner, examples, before, whole), data)
        return self

    @property
    def order_search_(self) -> pd.DataFrame:
        """Orders tried by ``order="auto"``; empty where the order was given."""
        return pd.DataFrame(self.trials_, columns=list(OrderTrial._fields)).astype({"order": int})

    @property
    def _plan(self) -> Plan:
        return Plan.of(vars(self), self.task.head.outputs)

    # ---------------------------------------------------------------- identifying

    def _begin_anew(self) -> None:
        """Forget the network of an earlier fit, and say what it is not known by."""
        for name in ("network_", "resume_"):
            self.__dict__.pop(name, None)
        self.fitted_params_ = self.get_params(deep=False)
        self.order_ = int(self.order) if isinstance(self.order, Integral) else UNIDENTIFIED_ORDER
        self._forget("training")

    def _forget(self, method: str) -> None:
        """What a model has that was found by this method, and not identified."""
        self.method_, self.singular_values_ = method, np.zeros(0)
        self.trials_: dict[str, Array] = {}
        self.excitation_: Excitation | None = None
        self.noise_gain_: Array | None = None
        self.noise_covariance_: Array | None = None
        self.estimation_: Estimation | None = None
        self.focus_: str | None = None
        self.input_delay_: tuple[int, ...] | None = None
        self.history_, self.n_iter_ = pd.DataFrame({name: np.zeros(0) for name in HISTORY}), 0

    def _read(self, X: Any, y: Any, fresh: bool) -> Sequences:
        return read_inputs(self, inputs_beside(X, y), fresh, self.alignment.missing, fewest=0)

    def _experiments(self, targets: Targets, y: Any, sample_weight: Any, fresh: bool) -> Experiments:
        """What is learnt from: targets in the warm-up are not looked at."""
        sequences, numbers = targets.sequences, numbers_beside(self, targets, y, fresh)
        given = as_weights(sample_weight, sequences)
        warmup = warmup_steps(self.alignment.warmup, self.alignment.window, sequences.lengths)
        heard = sequences.steps >= np.repeat(warmup, sequences.lengths)
        return Experiments(sequences, numbers, heard * (np.ones(len(numbers)) if given is None else given))

    def _identify(self, data: Experiments, hold_out: bool) -> None:
        """The closed form, refined by least squares where that is the loss; from what is not held out."""
        lengths = data.sequences.lengths
        self._plan.check_delays(self.n_features_in_, lengths)
        held = np.maximum(1, np.round(self.validation_fraction * lengths).astype(np.int64)) if hold_out else 0
        head = data.leading(lengths - held)
        self.input_mean_ = head.sequences.rows.mean(axis=0)
        self.input_scaling_, self.target_scaling_ = head.scalings(self.scale)
        records = head.records(self.input_scaling_, self.target_scaling_)
        found = identify(records, self._plan.settings)
        warn_of(found, records, self._plan.settings)
        self._keep(found)

    def _keep(self, found: Identification) -> None:
        """Make the model what was found."""
        self.trials_ = {name: np.array([getattr(one, name) for one in found.trials]) for name in OrderTrial._fields}
        self.singular_values_, self.excitation_ = found.singular_values, found.excitation
        self.method_, self.focus_ = self._plan.method(found.refined), found.focus
        self.input_delay_ = found.input_delay or (0,) * self.n_features_in_
        self._adopt(found.system)
        self.starts_ = LinearState(tensor(found.starts, self.predictor_.like))

    def _adopt(self, system: LinearSystem) -> None:
        """Make the network this system, in network units."""
        self.order_ = system.order
        self.network_ = self._untrained()
        write_system(self.network_, system)
        self.noise_gain_, self.noise_covariance_ = system.noise_gain, system.noise_covariance
        self.estimation_ = system.estimation

    def _conclude(self, data: Experiments) -> None:
        """What is known once the model is."""
        self.network_.eval()
        predictor = self.predictor_
        start = self.starts_ if self._plan.estimates_starts else None
        self.state_ = run_network(self.network_, predictor.rows(data.sequences), start)[1]
        self.forgetting_time_ = self.system_.forgetting_time()
        predictor.check_warmup(data.sequences, self.forgetting_time_)

    # ---------------------------------------------------------------- training

    @property
    def _learner(self) -> Learner:
        """What trains the network, from where it is."""
        plan, given = self._plan, self.get_params(deep=False)
        own = {"initial_state": plan.strategy, "autoregression": self.alignment.own_past}
        return linear_learner(type(self).__name__, Training.of(given | own), self.task, given | {"order": self.order_})

    def _untrained(self) -> torch.nn.Module:
        return self._learner.network(self.n_features_in_, self.n_outputs_, self.task.head, torch.Generator())

    def _train(self, session: Session, data: Experiments) -> None:
        """Train the network, and take over what was learnt, also where a loss that is not finite ends it."""
        try:
            session.run()
        except NonFiniteError:
            self._take_over(session, data)
            raise
        self._take_over(session, data)

    def _take_over(self, session: Session, data: Experiments) -> None:
        """The network that was trained, with its noise as the data show it."""
        keep_learnt(self, session)
        self.method_ += "" if self.method_.endswith("training") else "+training"
        self.starts_, self.estimation_ = self.cell_.initial_state(len(data.sequences.lengths)), None
        if self._plan.identifiable:
            records = data.records(self.input_scaling_, self.target_scaling_)
            before = replace(scaled_system(self.network_), noise_gain=self.noise_gain_)
            after = noise_of(before, records, self.block_rows)
            if after.noise_gain is not None or not is_filter(before):
                self.noise_gain_, self.noise_covariance_ = after.noise_gain, after.noise_covariance

    # ---------------------------------------------------------------- predicting

    predict_quantiles = predict_quantiles

    @property
    def _scored_start(self) -> Any:
        return "estimate" if self._plan.estimates_starts and self._plan.identifiable else None

    # ---------------------------------------------------------------- the parts

    @property
    def alignment(self) -> Alignment:
        """How outputs stand beside inputs; a feedthrough reads the last value itself, as of_level says."""
        own = of_level(self.autoregression) if self.feedthrough else self.autoregression
        strategy = Zero() if is_estimate(self.initial_state) else as_initial_state(self.initial_state)
        warmup = warmup_of(strategy, self.warmup)
        return Alignment(self.return_sequences, self.output_lag, warmup, self.window, own)
