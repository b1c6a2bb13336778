"""Estimators trained by gradient: from parameters and data to a trained network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from seqdyn.autoregression import Autoregression
from seqdyn.cell import Cell
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import Targets, as_weights, check_no_infinity, target_names, target_rows
from seqdyn.dynamics.norm_preservation import omega_penalty
from seqdyn.estimators.experiments import check_known
from seqdyn.estimators.observers import ReachObserver
from seqdyn.estimators.parameters import check_parameters
from seqdyn.estimators.sequence import SequenceEstimator, unchanged_on_error
from seqdyn.estimators.trained import Trained, history
from seqdyn.estimators.warmup import check_warmup, warmup_of
from seqdyn.initial_state import InitialState, as_initial_state
from seqdyn.predictor import warmup_steps
from seqdyn.state import leaves, map_leaves
from seqdyn.training.batches import Batch, Rows, SpanBounds, Spans, cut_windows, loss_mask
from seqdyn.training.checkpoint import Checkpoint, digest
from seqdyn.training.forward import forgetting_time, run_network
from seqdyn.training.initialisation import as_initialiser
from seqdyn.training.loop import HISTORY, NonFiniteError, Recipe, Trainer
from seqdyn.training.objective import Supervised, elementwise, weighted_mean
from seqdyn.training.streams import Streams

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class GradientEstimator(Trained, SequenceEstimator):
    """An estimator trained by backpropagation through time, full or truncated.

    Parameters
    ----------
    **others
        As in :class:`~seqdyn.estimators.trained.Trained`.
    return_sequences : bool
        True: one output a step; False: one output a sequence (many-to-one).
    initial_state : {"zero", "random", "learned", "warmup"}, strategy or State
        Where the memory starts, see :mod:`seqdyn.initial_state`. ``"warmup"`` is zero with
        ``warmup=max(1, T // 10)`` when that is None.
    warmup : int or None
        Leading steps that run to find the state and carry no loss or score. ``"warmup"`` takes a tenth of whatever
        sequence it meets, in ``score`` of the sequence scored.
    output_lag : int
        τ: y_t is read after x_{t+τ} was seen. X is continued by τ mean rows.
    window, stride : int or None, int
        None trains on whole sequences; else on windows of that many steps, each separately, ``stride`` apart.
    bptt_length, streams : int or None, int
        None is full BPTT. k is truncated BPTT: the sequences lie end to end on ``streams`` streams, one training step
        is one chunk of k steps, and the state is carried on without end.
    omega : float of at least 0
        Weight of Pascanu's Ω in the loss, which keeps the length of the gradient on its way back, see
        :func:`~seqdyn.dynamics.norm_preservation.omega_penalty`: 2 to 4 on sequences with one target at their end. A
        step then takes three to four times as long. The trajectory it looks at has no dropout.
    initialise : None, "orthogonal", "identity", (name, number) or callable
        Where the recurrent weights start, see :mod:`seqdyn.training.initialisation`: ``("orthogonal", gain)``,
        ``("identity", gain)``, ``("forget_bias", value)`` and ``("chrono", longest)``, or a callable
        ``(cell, generator) -> None``. None leaves a cell's own start. It comes before ``linear_start``.
    batch_size : int
        Sequences or windows in one step, padded and masked; those of like lengths together.
    early_stopping, validation_fraction : bool, float in (0, 1)
        Hold out the last ``validation_fraction`` of every sequence (of the sequences, with ``return_sequences=False``,
        and of each class its share), watch the loss there, and restore the best weights. Otherwise the training loss is
        watched.
    scale : bool
        Standardise inputs and targets inside, fitted on the training part only.
    warm_start : bool
        ``fit`` goes on from the weights and scaling of the last one.
    autoregression : Autoregression or None
        How the leading columns of X, the last values of the targets, are used; they may then be NaN. Its
        ``teacher_forcing`` and ``free_run`` may change where a fit goes on from the last one.

    Attributes
    ----------
    cell_ : Cell
        The trained network, in network units.
    state_ : State
        After the last row of the training data, with the final weights; one row a series.
    history_ : DataFrame
        One row an epoch of the last call: epoch, loss (with the weighted Ω, which stands alone in omega),
        validation_loss, gradient_norm (before clipping), clip_coefficient, learning_rate, seconds; clip_fraction, the
        share of steps whose gradient was longer than the limit; steps_reached, the share of the steps of a sequence
        whose state receives a gradient of 1e-10 or more (in the last epoch of ``fit``, and after 1,000, 4,000, … steps;
        NaN between), and for every parameter of the network gradient_norm/… (before clipping, the mean over steps) and
        update_ratio/…, ‖Δθ‖/‖θ‖ of the first step, NaN where θ = 0.
        ``history_.attrs["non_finite"]`` lists where the training met a loss, gradient or weight that is not finite, as
        dicts of epoch, batch and parameters.
    forgetting_time_ : float
        Steps until two initial states agree to 1 % on the training data.
    """

    return_sequences: bool = True
    initial_state: Any = "zero"
    warmup: int | None = None
    output_lag: int = 0
    window: int | None = None
    stride: int = 1
    bptt_length: int | None = None
    streams: int = 1
    omega: float = 0.0
    initialise: Any = None
    batch_size: int = 32
    scale: bool = True
    warm_start: bool = False
    autoregression: Autoregression | None = None

    # ---------------------------------------------------------------- what subclasses owe

    def _network(self, inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
        """An untrained network of these widths."""
        raise NotImplementedError

    def _encode(self, targets: Targets, first: bool) -> tuple[Array, Array | None]:
        """Targets as numbers, one row a target, and what each row counts by its class."""
        raise NotImplementedError

    # ---------------------------------------------------------------- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on sequences.

        Parameters
        ----------
        X : array (time, features) or (series, time, features), list of arrays, or DataFrame
            One sequence, many of one length, many of unlike lengths, or one with labels. Finite.
        y : array, Series, DataFrame, or list of arrays
            Targets beside X, one a step or one a sequence; NaN marks a missing one.
        sample_weight : array, optional
            What every step, or every sequence, counts in the loss.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If parameters or data do not fit; the message says where.
        NonFiniteError
            If loss or gradient explode; it has the ``epoch``, the ``batch`` and the ``parameters``, and the estimator
            keeps the last good weights and the history up to there.

        Warns
        -----
        ConvergenceWarning
            If a budget was spent while the loss still fell; the message says which, and what to set.
        """
        fresh = not (self.warm_start and "network_" in vars(self))
        return self._learn(X, y, sample_weight, fresh, whole=True)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch on new data, at a constant rate; scaling and optimizer go on from the last call.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`; after a first call one row is enough.

        Returns
        -------
        self
        """
        fresh = "network_" not in vars(self)
        return self._learn(X, y, sample_weight, fresh, whole=False)

    def _learn(self, X: Any, y: Any, sample_weight: Any, fresh: bool, whole: bool) -> Self:
        """A whole training, which is watched and may be kept in a checkpoint, or one more epoch."""
        observer = ReachObserver()
        with unchanged_on_error(self, but=NonFiniteError):
            sequences, trainer = self._prepare(X, y, sample_weight, fresh, whole)
            if whole:
                trainer.observer = observer
                trainer.checkpoint = self._checkpoint(trainer, fresh, observer)
            try:
                self._train(trainer, fresh)
                observer.measure(self.network_)
            except NonFiniteError:
                self._conclude(sequences, trainer, observer)  # with the last good weights
                raise
            self._conclude(sequences, trainer, observer)
        return self

    def _conclude(self, sequences: Sequences, trainer: Trainer, observer: ReachObserver) -> None:
        """What is known after the last step."""
        self.history_ = _history(trainer, observer)
        self.n_iter_ = len(trainer.history)
        self._memory = {
            "generator": trainer.generator.get_state(),
            "optimizer": (self.optimizer, trainer.descent.optimizer.state_dict()),
            "norms": trainer.descent.clipping.seen,
        }
        self._close(sequences, trainer.generator)

    def _train(self, trainer: Trainer, fresh: bool) -> None:
        """All steps of a fit; none where the beginning of a fresh one has solved it."""
        trainer.run()

    def _prepare(self, X: Any, y: Any, sample_weight: Any, fresh: bool, whole: bool) -> tuple[Sequences, Trainer]:
        """Everything up to the first step: data checked and scaled, network built, batches planned."""
        check_parameters(self)
        hold_out = self.early_stopping and whole
        if fresh:
            self.fitted_params_ = self.get_params(deep=False)
        else:
            self._check_unchanged()
        sequences = self._read_inputs(X, reset=fresh)
        targets = self._read_targets(y, sequences)
        sequences = targets.sequences
        check_no_infinity(targets.table, sequences, self._per_step)
        numbers, class_weight = self._encode(targets, fresh)
        self._check_own_past(numbers.shape[1])
        self._check_extent(sequences, numbers, fresh, hold_out)
        self.flat_targets_ = targets.flat
        self.target_names_ = target_names(y)
        raw = target_rows(numbers, sequences, self._per_step)
        weight = _product(as_weights(sample_weight, sequences), _steps(class_weight, sequences, self._per_step))
        known = ~np.isnan(raw) * (np.ones(1) if weight is None else weight[:, None])
        train = self._training_lengths(sequences.lengths, numbers, hold_out)
        spans = self._spans(sequences, train)
        learnt = loss_mask(*spans, total=len(raw) + self._lag * len(train)).numpy()[sequences.places(self._lag) + self._lag]
        memory = {} if fresh else vars(self).get("_memory", {})
        generator = self._generator(memory.get("generator"))
        if fresh:
            self._fit_scaling(sequences, raw, train, learnt[:, None] & (known > 0))
            self.network_ = self._fresh_network(generator)
        rows = self._training_rows(sequences, targets.table, weight)
        batches = self._batches(rows.part(spans.starts, spans.lengths), spans.warmup, rows.starts)
        validate = self._validation(rows, train) if hold_out else None
        if fresh:
            self._initialise(generator)
            self._begin(rows.part(rows.starts[train > 0], torch.as_tensor(train[train > 0] + self._lag)))
        name, moments = memory.get("optimizer", (None, None))
        return sequences, Trainer(
            self.network_,
            batches,
            self._objective(),
            self._recipe() if whole else replace(self._recipe(), max_epochs=1, schedule=None),
            generator,
            validate,
            optimizer_state=moments if name == self.optimizer else None,
            norms=memory.get("norms"),
        )

    def _objective(self) -> Supervised:
        """What the training minimises."""
        return Supervised(
            self._head(),
            {"omega": self._penalty} if self.omega else {},
            None if self._own_past is None else self._hide,
        )

    def _checkpoint(self, trainer: Trainer, fresh: bool, observer: ReachObserver) -> Checkpoint | None:
        """Where the training is kept, marked with all that it is of."""
        if self.checkpoint is None:
            return None
        rows = cast("Spans | Streams", trainer.batches).rows
        tensors = (*leaves(rows.x), rows.y, *([] if rows.weight is None else [rows.weight]), rows.starts, rows.lengths)
        mark = {"data": digest(*tensors)} | ({} if fresh else {"start": digest(*self.network_.state_dict().values())})
        return self._checkpointed(mark, self.schedule is not None or self._own_past is not None, {"observer": observer})

    def _penalty(self, network: nn.Module, batch: Batch) -> Tensor:
        """Ω of the trajectory of a batch, as the loss summed over what counts sees it."""
        head = self._head()

        def cost(output: Tensor) -> Tensor:
            values = elementwise(head.loss(output, batch.y), batch.y)
            return values if batch.weight is None else values * batch.weight

        return float(self.omega) * omega_penalty(cast(Cell, network), batch.x, cost)

    def _initialise(self, generator: torch.Generator) -> None:
        """The start of the recurrent weights, where one is asked for."""
        start = as_initialiser(self.initialise)
        if start is not None:
            start(self.network_, generator)

    def _hide(self, batch: Batch, progress: float, generator: torch.Generator) -> Batch:
        """Let the network see its own predictions where the training asks for it."""
        assert self._own_past is not None
        lengths = None if batch.mask is None else batch.mask.sum(1)
        return batch._replace(x=self._own_past.hide(batch.x, lengths, progress, generator))

    def _recipe(self) -> Recipe:
        recipe = super()._recipe()
        harder = self._own_past is not None and self._own_past.forcing.gets_harder and not self.early_stopping
        return replace(recipe, n_iter_no_change=math.inf) if harder else recipe  # its loss rises along the schedule

    def _spans(self, sequences: Sequences, train: Array) -> SpanBounds:
        """Whole training sequences, or their windows; τ rows longer, of which the first τ answer to nothing."""
        starts = sequences.starts + self._lag * np.arange(len(train))
        kept = train > 0
        begin, length = torch.as_tensor(starts[kept]), torch.as_tensor(train[kept] + self._lag)
        if self.window is not None:
            begin, length = cut_windows(begin, length, self.window + self._lag, self.stride)
        warmup = torch.as_tensor(warmup_steps(self._warmup, self._window, length.numpy() - self._lag))
        if bool((warmup >= length - self._lag).any()):
            raise ValueError(
                f"warmup={int(warmup.max())} leaves no step with a loss in a sequence or window of "
                f"{int(length.min()) - self._lag} steps."
            )
        if self.bptt_length is not None and self.streams > int(length.sum()):
            raise ValueError(
                f"streams must lie between 1 and the {int(length.sum())} rows of the training data, got {self.streams}."
            )
        return SpanBounds(begin, length, warmup + self._lag)

    def _batches(self, seen: Rows, warmup: Tensor, series: Tensor) -> Spans | Streams:
        """The plan of an epoch: spans in batches, or chunks of streams."""
        if self.bptt_length is not None:
            chunks = Streams(seen, self.streams, self.bptt_length, warmup)
            if chunks.weight is not None and not bool(chunks.weight.any()):
                raise ValueError(
                    f"No target counts on {self.streams} streams of {chunks.length} steps: all are missing, without "
                    "weight, or in the warm-up after a border. Use fewer streams or a shorter warmup."
                )
            return chunks
        lead = 0 if self._own_past is None else self._own_past.lags - 1
        borders = series[torch.searchsorted(series, seen.starts, right=True) - 1]
        return Spans(seen, self.batch_size, warmup, lead if bool((borders < seen.starts).any()) else 0, borders)

    @property
    def _warmup(self) -> int | None:
        return warmup_of(self._strategy, self.warmup)

    @property
    def _window(self) -> int | None:
        return self.window

    # ---------------------------------------------------------------- data

    def _training_lengths(self, lengths: Array, numbers: Array, hold_out: bool) -> Array:
        """The leading steps of every series that are trained on; 0 for a series held out whole."""
        if not hold_out:
            return lengths
        if self._per_step:
            return lengths - np.maximum(1, np.round(self.validation_fraction * lengths).astype(np.int64))
        return np.where(last_of_each(self._kinds(numbers), self.validation_fraction), 0, lengths)

    def _kinds(self, numbers: Array) -> Array:
        """The kind of every sequence, of which a part that is held out takes its share: all are of one kind."""
        return np.zeros(len(numbers))

    def _check_extent(self, sequences: Sequences, numbers: Array, fresh: bool, hold_out: bool) -> None:
        """Enough steps to learn from, and at least one target."""
        if fresh and self._per_step and len(sequences.rows) < 2:
            raise ValueError(f"X has n_samples=1 step: {type(self).__name__} needs at least 2 to fit.")
        if hold_out and int(sequences.lengths.min() if self._per_step else len(sequences.lengths)) < 2:
            raise ValueError(
                "early_stopping holds a part out, but there is only one sequence with one target, or a sequence of one "
                "step."
            )
        if np.isnan(numbers).all():
            raise ValueError("y is NaN everywhere: at least one target must be known.")

    def _fit_scaling(self, sequences: Sequences, raw: Array, train: Array, counts: Array) -> None:
        """Scalings from the training part only; of the targets, from those that count in the loss."""
        seen = sequences.rows[sequences.steps < np.repeat(train, sequences.lengths)]
        known = np.where(counts, raw, np.nan)
        check_known(known)
        self.n_outputs_ = raw.shape[1]
        self.input_mean_ = np.nanmean(seen, axis=0)
        self.input_scaling_ = Scaling.fit(seen) if self.scale else Scaling.identity(seen.shape[1])
        self.target_scaling_ = Scaling.fit(known) if self._scales_targets else Scaling.identity(raw.shape[1])
        self._share_scaling()

    @property
    def _scales_targets(self) -> bool:
        return self.scale

    def _training_rows(self, sequences: Sequences, table: Array, weight: Array | None) -> Rows:
        """Scaled tensors with their targets."""
        return self.predictor_.rows(sequences, table, None if weight is None else weight[:, None])

    def _validation(self, rows: Rows, train: Array) -> Callable[[], float]:
        """The loss on what was held out; the state comes from running over everything before it."""
        held = torch.zeros(len(rows), 1)
        trained = np.where(train > 0, train + self._lag, 0).tolist()
        for start, length, used in zip(rows.starts.tolist(), rows.lengths.tolist(), trained, strict=True):
            held[start + used : start + length] = 1
        held = held.to(rows.device, rows.dtype)
        weight = held if rows.weight is None else held * rows.weight
        if not bool(weight.any()):
            raise ValueError("No target is known in the part held out for early_stopping.")

        head = self._head()

        def validate() -> float:
            output, _ = run_network(self.network_, rows)
            return float(weighted_mean(elementwise(head.loss(output[None], rows.y[None]), rows.y[None]), weight[None]))

        return validate

    # ---------------------------------------------------------------- network

    def _fresh_network(self, generator: torch.Generator) -> nn.Module:
        """An untrained network of the fitted widths."""
        return self._fresh(self._rebuild, generator)

    def _begin(self, rows: Rows) -> None:
        """What is done with a fresh network and the rows it will be trained on, before the first step."""

    def _rebuild(self, generator: torch.Generator | None = None) -> nn.Module:
        head, own, inputs = self._head(), self._own_past, self.n_features_in_
        width = inputs if own is None else own.width(inputs)
        network = self._network(width, self.n_outputs_ * head.outputs, generator or torch.Generator())
        return network if own is None else own.wrap(cast(Cell, network), head.outputs, head.location_outputs, head.point_output)

    def _start(self, cell: Cell) -> Cell:
        """The cell with its initial-state strategy."""
        return self._strategy(cell)

    @property
    def _strategy(self) -> InitialState:
        return as_initial_state(self.initial_state)

    # ---------------------------------------------------------------- after training

    def _close(self, sequences: Sequences, generator: torch.Generator) -> None:
        """What is known only with the final weights: the state after the data, and how long the start is remembered."""
        self.network_.eval()
        if not isinstance(self.network_, Cell):
            self.__dict__.pop("state_", None)
            self.__dict__.pop("forgetting_time_", None)
            return
        predictor = self.predictor_
        rows = predictor.rows(sequences, lag=0)
        _, self.state_ = run_network(self.network_, rows)
        self.forgetting_time_ = self._forgetting_time(rows, generator)
        check_warmup(predictor, sequences, self.forgetting_time_)

    def _forgetting_time(self, rows: Rows, generator: torch.Generator) -> float:
        """Steps until two starts agree to 1 %, on the first series."""
        first = slice(int(rows.starts[0]), int(rows.starts[0] + rows.lengths[0]))
        x = map_leaves(lambda leaf: leaf[None, first], rows.x)
        return forgetting_time(cast(Cell, self.network_), x, generator)


def _history(trainer: Trainer, observer: ReachObserver) -> pd.DataFrame:
    """The frame of a training: what the trainer wrote down, and what was observed."""
    frame = history(trainer)
    reach = [observer.found.get(int(entry["epoch"]), math.nan) for entry in trainer.history]
    frame.insert(len(HISTORY), "steps_reached", np.array(reach, dtype=float))
    return frame


def last_of_each(kinds: Array, fraction: float) -> Array:
    """The last share of every kind, at least one of each that has two: bool, shape (sequences,).

    Examples
    --------
    >>> last_of_each(np.array([0, 0, 0, 1, 1, 2]), 0.1).astype(int)
    array([0, 0, 1, 0, 1, 0])
    """
    last = np.zeros(len(kinds), dtype=bool)
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        count = min(max(1, round(fraction * len(members))), len(members) - 1)
        last[members[len(members) - count :]] = True
    return last


def _steps(weight: Array | None, sequences: Sequences, per_step: bool) -> Array | None:
    return weight if weight is None or per_step else np.repeat(weight, sequences.lengths)


def _product(one: Array | None, other: Array | None) -> Array | None:
    if one is None or other is None:
        return one if other is None else other
    return one * other
