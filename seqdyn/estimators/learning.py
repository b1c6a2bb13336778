"""A training on sequences: planned from parameters and data, run, and what is learnt.

    prepare(learner, examples, before, whole)  →  Session  →  run_network()  →  learnt()

All here are functions and frozen values; only the network is changed, by the trainer.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.checks import outside
from seqdyn.codecs import Codec, NumberInputs
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import as_weights, target_names, target_rows
from seqdyn.dynamics.norm_preservation import omega_penalty
from seqdyn.dynamics.state_gradients import StepsReachedObserver
from seqdyn.estimators.tasks import ClassTask, NumberTask
from seqdyn.estimators.training import Alignment, Optimisation, Training
from seqdyn.generators import generator_of, seeded
from seqdyn.predictor import Predictor, warmup_steps
from seqdyn.state import leaves, map_leaves
from seqdyn.training.batches import Batch, Rows, SpanBounds, Spans, cut_windows, loss_mask
from seqdyn.training.checkpoint import Checkpoint, digest
from seqdyn.training.forward import forgetting_time, run_network
from seqdyn.training.heads import Head
from seqdyn.training.initialisation import as_initialiser
from seqdyn.training.loop import HISTORY, Recipe, Trainer
from seqdyn.training.objective import Supervised, elementwise, weighted_mean
from seqdyn.training.optimisation import as_clipping
from seqdyn.training.stopping import NonFiniteError
from seqdyn.training.streams import Streams


class Scalings(NamedTuple):
    """The units of a network: the ``mean`` of the inputs, which stands for what is not known, and the scaling of
    ``inputs`` and ``targets``."""

    mean: Array
    inputs: Scaling
    targets: Scaling


class Examples(NamedTuple):
    """What is learnt from: ``sequences`` and the ``table`` of their targets, what every step counts by its ``weight``
    (None: all the same), the ``names`` of the features (None without), and whether targets are ``flat``, without an
    axis of their own."""

    sequences: Sequences
    table: Array
    weight: Array | None = None
    names: tuple[str, ...] | None = None
    flat: bool = False


class Before(NamedTuple):
    """What a training goes on from: a ``network``, its ``scalings``, where the last training was (``resume``), and
    whether the network was ``found_here``, in the same fit and from the same data."""

    network: nn.Module
    scalings: Scalings
    resume: Mapping[str, Any] = MappingProxyType({})
    found_here: bool = False


def forgetting_time_on_first(cell: Cell, rows: Rows, generator: torch.Generator) -> float:
    """Steps until two starts agree to 1 %, on the first series."""
    first = slice(int(rows.starts[0]), int(rows.starts[0] + rows.lengths[0]))
    return forgetting_time(cell, map_leaves(lambda leaf: leaf[None, first], rows.x), generator)


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What is trained, and how.

    ``build(inputs, outputs, generator=generator)`` gives an untrained network; ``begin(network, rows)`` is called
    before the first step of a fresh one, ``finish(network)`` after the last; ``forgetting_time(cell, rows, generator)``
    is in steps. ``name`` is that of the estimator, for messages; a checkpoint is marked with the ``parameters``.
    """

    name: str
    training: Training
    task: NumberTask | ClassTask
    build: Callable[..., nn.Module]
    parameters: Mapping[str, Any]
    begin: Callable[[nn.Module, Rows], None] | None = None
    finish: Callable[[nn.Module], None] | None = None
    forgetting_time: Callable[[Cell, Rows, torch.Generator], float] = forgetting_time_on_first

    def network(self, inputs: int, outputs: int, head: Head, generator: torch.Generator) -> nn.Module:
        """An untrained network for so many features and targets, with its own past around it where it has one."""
        own, training = self.training.autoregression, self.training
        width = inputs if own is None else own.width(inputs)
        place, precision = training.place, training.precision
        with seeded(generator):
            network = self.build(width, outputs * head.outputs, generator=generator)
            whole = (
                network
                if own is None
                else own.wrap(cast(Cell, network), head.outputs, head.location_outputs, head.point_output)
            )
            return whole.to(place, precision)


def predictor_of(
    network: nn.Module, scalings: Scalings, alignment: Alignment, task: NumberTask | ClassTask, names: Any, flat: bool
) -> Predictor:
    """A network with all that is needed to use it: its units, and how its outputs stand beside its inputs."""
    inputs = NumberInputs(scalings.inputs, scalings.mean, alignment.own_past, names)
    ways = (alignment.lag, alignment.per_step, alignment.warmup, alignment.window, flat)
    return Predictor(network, Codec(inputs, task.codec(scalings.targets)), *ways)


@dataclass(frozen=True)
class Session:
    """One training, ready to run."""

    learner: Learner
    trainer: Trainer
    predictor: Predictor
    scalings: Scalings
    sequences: Sequences
    observer: StepsReachedObserver

    def run(self) -> None:
        """All steps."""
        self.trainer.run()
        if self.learner.finish is not None:
            self.learner.finish(self.predictor.network)
        self.observer.measure(self.predictor.network)

    def learnt(self) -> dict[str, Any]:
        """Everything that is known after the last step, by the names of fitted attributes."""
        trainer, network = self.trainer, self.predictor.network
        frame = history(trainer)
        reach = [self.observer.found.get(int(entry["epoch"]), math.nan) for entry in trainer.history]
        frame.insert(len(HISTORY), "steps_reached", np.array(reach, dtype=float))
        resume = {
            "generator": trainer.generator.get_state(),
            "optimizer": (self.learner.training.optimizer, trainer.descent.optimizer.state_dict()),
            "norms": trainer.descent.clipping.seen,
        }
        found = {"network_": network.eval(), "history_": frame, "n_iter_": len(trainer.history), "resume_": resume}
        found |= {"input_mean_": self.scalings.mean, "n_outputs_": len(self.scalings.targets.scale)}
        found |= {"input_scaling_": self.scalings.inputs, "target_scaling_": self.scalings.targets}
        return found | (self._memory(network) if isinstance(network, Cell) else {})

    def _memory(self, cell: Cell) -> dict[str, Any]:
        """What is known only with the final weights: the state after the data, and how long the start is remembered."""
        rows = self.predictor.rows(self.sequences, lag=0)
        _, state = run_network(cell, rows)
        forgotten = self.learner.forgetting_time(cell, rows, self.trainer.generator)
        self.predictor.check_warmup(self.sequences, forgotten)
        return {"state_": state, "forgetting_time_": forgotten}


def prepare(learner: Learner, examples: Examples, before: Before | None, whole: bool) -> Session:
    """Everything up to the first step: data scaled, the network built, batches planned.

    A ``whole`` training is watched, and may be kept in a checkpoint; else it is one more epoch. It goes on from what
    was ``before``, if there is any.
    """
    training, sequences, names = learner.training, examples.sequences, examples.names
    hold_out = training.early_stopping and whole
    encoded, head = learner.task.encode(examples.table), learner.task.head
    if training.autoregression is not None:
        training.alignment.check_columns(sequences.rows.shape[1], encoded.numbers.shape[1])
    _check_extent(learner, sequences, encoded.numbers, before is None, hold_out)
    train = training_lengths(training, sequences.lengths, encoded.kinds, hold_out)
    spans = spans_of(training, sequences, train)
    raw = target_rows(encoded.numbers, sequences, training.return_sequences)
    weight = _product(examples.weight, _steps(encoded.counts, sequences, training.return_sequences))
    resume = {} if before is None else before.resume
    generator = _generator(training, resume)
    if before is None:
        scalings = scalings_of(learner, sequences, _learnt(training, sequences, raw, weight, spans), train)
        network = learner.network(sequences.rows.shape[1], raw.shape[1], head, generator)
    else:
        network, scalings = before.network, before.scalings
    predictor = predictor_of(network, scalings, training.alignment, learner.task, names, examples.flat)
    rows = predictor.rows(sequences, examples.table, None if weight is None else weight[:, None])
    batches = batches_of(training, rows, spans)
    validate = held_out_loss(network, rows, train, training.output_lag, head) if hold_out else None
    if before is None:
        _start(learner, network, rows, train, generator)
    trainer = _trainer(training, network, batches, objective_of(training, head), generator, validate, resume, whole)
    session = Session(learner, trainer, predictor, scalings, sequences, StepsReachedObserver())
    if whole:
        trainer.observer = session.observer
        trainer.checkpoint = _checkpoint(session, before is None or before.found_here)
    return session


def _generator(training: Training, resume: Mapping[str, Any]) -> torch.Generator:
    """All randomness of a fit, from ``random_state`` or going on; the global ones are left alone."""
    state = resume.get("generator")
    return generator_of(training.random_state) if state is None else torch.Generator().set_state(state)


def _start(learner: Learner, network: nn.Module, rows: Rows, train: Array, generator: torch.Generator) -> None:
    """The start of a fresh network: of its recurrent weights, and by the rows it will be trained on."""
    start = as_initialiser(learner.training.initialise)
    if start is not None:
        start(network, generator)
    if learner.begin is not None:
        kept = train > 0
        lengths = torch.as_tensor(train[kept] + learner.training.output_lag)
        learner.begin(network, rows.part(rows.starts[kept], lengths))


def history(trainer: Trainer) -> pd.DataFrame:
    """The frame of a training: one row an epoch; ``attrs["non_finite"]`` lists where it met what is not finite."""
    frame = pd.DataFrame(trainer.history, columns=list(trainer.columns))
    frame.attrs["non_finite"] = trainer.non_finite
    return frame


def recipe_of(told: Optimisation) -> Recipe:
    """What the loop is told."""
    own = {field.name: getattr(told, field.name) for field in fields(Recipe) if hasattr(told, field.name)}
    norm, quantile = as_clipping(told.clip_norm)
    if told.clip_quantile is not None:
        now = f"clip_norm=('quantile', {told.clip_quantile}{'' if norm is None else f', {norm}'})"
        text = f"clip_quantile={told.clip_quantile} is said as {now}; the old name goes in the next release."
        warnings.warn(text, FutureWarning, stacklevel=outside())
    return Recipe(**own | {"clip_norm": norm, "clip_quantile": told.clip_quantile or quantile})


def _trainer(
    training: Training,
    network: nn.Module,
    batches: Spans | Streams,
    objective: Supervised,
    generator: torch.Generator,
    validate: Callable[[], float] | None,
    resume: Mapping[str, Any],
    whole: bool,
) -> Trainer:
    """The loop; it goes on with the moments of the same optimizer."""
    name, moments = resume.get("optimizer", (None, None))
    own, recipe = training.autoregression, recipe_of(training)
    if own is not None and own.forcing.gets_harder and not training.early_stopping:
        recipe = replace(recipe, n_iter_no_change=math.inf)  # its loss rises along the schedule
    recipe = recipe if whole else replace(recipe, max_epochs=1, schedule=None)
    moments = moments if name == training.optimizer else None
    going_on: dict[str, Any] = {"optimizer_state": moments, "norms": resume.get("norms")}
    return Trainer(network, batches, objective, recipe, generator, validate, **going_on)


def _checkpoint(session: Session, fresh: bool) -> Checkpoint | None:
    """Where the training is kept, marked with all that it is of."""
    learner, trainer = session.learner, session.trainer
    training = learner.training
    if training.checkpoint is None:
        return None
    rows = cast("Spans | Streams", trainer.batches).rows
    tensors = (*leaves(rows.x), rows.y, *([] if rows.weight is None else [rows.weight]), rows.starts, rows.lengths)
    mark = {"estimator": learner.name, "data": digest(*tensors)}
    if not fresh:
        mark["start"] = digest(*session.predictor.network.state_dict().values())
    by_progress = training.schedule is not None or training.autoregression is not None
    return training.checkpointed(mark, learner.parameters, by_progress, {"observer": session.observer})


# -------------------------------------------------------------------- the plan of an epoch


def training_lengths(training: Training, lengths: Array, kinds: Array, hold_out: bool) -> Array:
    """The leading steps of every series that are trained on; 0 for a series held out whole."""
    if not hold_out:
        return lengths
    if training.return_sequences:
        return lengths - np.maximum(1, np.round(training.validation_fraction * lengths).astype(np.int64))
    return np.where(last_of_each(kinds, training.validation_fraction), 0, lengths)


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


def spans_of(training: Training, sequences: Sequences, train: Array) -> SpanBounds:
    """Whole training sequences, or their windows; τ rows longer, of which the first τ answer to nothing."""
    alignment, lag = training.alignment, training.output_lag
    starts = sequences.starts + lag * np.arange(len(train))
    kept = train > 0
    begin, length = torch.as_tensor(starts[kept]), torch.as_tensor(train[kept] + lag)
    if training.window is not None:
        begin, length = cut_windows(begin, length, training.window + lag, training.stride)
    warmup = torch.as_tensor(warmup_steps(alignment.warmup, alignment.window, length.numpy() - lag))
    if bool((warmup >= length - lag).any()):
        raise ValueError(
            f"warmup={int(warmup.max())} leaves no step with a loss in a sequence or window of "
            f"{int(length.min()) - lag} steps."
        )
    if training.bptt_length is not None and training.streams > int(length.sum()):
        raise ValueError(
            f"streams must lie between 1 and the {int(length.sum())} rows of the training data, got {training.streams}."
        )
    return SpanBounds(begin, length, warmup + lag)


def batches_of(training: Training, rows: Rows, spans: SpanBounds) -> Spans | Streams:
    """The plan of an epoch: spans in batches, or chunks of streams."""
    seen = rows.part(spans.starts, spans.lengths)
    if training.bptt_length is not None:
        chunks = Streams(seen, training.streams, training.bptt_length, spans.warmup)
        if chunks.weight is not None and not bool(chunks.weight.any()):
            raise ValueError(
                f"No target counts on {training.streams} streams of {chunks.length} steps: all are missing, without "
                "weight, or in the warm-up after a border. Use fewer streams or a shorter warmup."
            )
        return chunks
    own = training.autoregression
    lead = 0 if own is None else own.lags - 1
    borders = rows.starts[torch.searchsorted(rows.starts, seen.starts, right=True) - 1]
    return Spans(seen, training.batch_size, spans.warmup, lead if bool((borders < seen.starts).any()) else 0, borders)


def _check_extent(learner: Learner, sequences: Sequences, numbers: Array, fresh: bool, hold_out: bool) -> None:
    """Enough steps to learn from, and at least one target."""
    per_step = learner.training.return_sequences
    if fresh and per_step and len(sequences.rows) < 2:
        raise ValueError(f"X has n_samples=1 step: {learner.name} needs at least 2 to fit.")
    if hold_out and int(sequences.lengths.min() if per_step else len(sequences.lengths)) < 2:
        raise ValueError(
            "early_stopping holds a part out, but there is only one sequence with one target, or a sequence of one "
            "step."
        )
    if np.isnan(numbers).all():
        raise ValueError("y is NaN everywhere: at least one target must be known.")


def _learnt(training: Training, sequences: Sequences, raw: Array, weight: Array | None, spans: SpanBounds) -> Array:
    """The targets of every step that count in the loss, NaN elsewhere."""
    lag = training.output_lag
    seen = loss_mask(*spans, total=len(raw) + lag * len(sequences.lengths)).numpy()[sequences.places(lag) + lag]
    counts = seen if weight is None else seen & (weight > 0)
    return np.where(counts[:, None], raw, np.nan)


def scalings_of(learner: Learner, sequences: Sequences, known: Array, train: Array) -> Scalings:
    """Scalings from the training part only; of the targets, from those that count in the loss, NaN elsewhere."""
    scale, own = learner.training.scale, learner.training.autoregression
    seen = sequences.rows[sequences.steps < np.repeat(train, sequences.lengths)]
    check_known(known)
    inputs = Scaling.fit(seen) if scale else Scaling.identity(seen.shape[1])
    targets = Scaling.fit(known) if scale and learner.task.scales else Scaling.identity(known.shape[1])
    return Scalings(np.nanmean(seen, axis=0), inputs, targets if own is None else own.target_scaling(inputs))


def check_known(known: Array) -> None:
    """Raise if a target (total, targets) is NaN everywhere."""
    missing = np.isnan(known).all(axis=0)
    if missing.any():
        raise ValueError(
            f"Target {int(np.argmax(missing))} has no known value left to learn from: at least one must be known, have "
            "a weight, and come after the warm-up in the part that is trained on."
        )


def objective_of(training: Training, head: Head) -> Supervised:
    """The loss of the task, with Ω where it has a weight, and with the past hidden where the training asks for it."""
    omega, own = training.omega, training.autoregression

    def penalty(network: nn.Module, batch: Batch) -> Tensor:
        def cost(output: Tensor) -> Tensor:
            values = elementwise(head.loss(output, batch.y), batch.y)
            return values if batch.weight is None else values * batch.weight

        return float(omega) * omega_penalty(cast(Cell, network), batch.x, cost)

    def hide(batch: Batch, progress: float, generator: torch.Generator) -> Batch:
        assert own is not None
        lengths = None if batch.mask is None else batch.mask.sum(1)
        return batch._replace(x=own.hide(batch.x, lengths, progress, generator))

    return Supervised(head, {"omega": penalty} if omega else {}, None if own is None else hide)


def held_out_loss(network: nn.Module, rows: Rows, train: Array, lag: int, head: Head) -> Callable[[], float]:
    """The loss on what was held out; the state comes from running over everything before it."""
    trained = torch.as_tensor(np.where(train > 0, train + lag, 0))
    held = loss_mask(rows.starts, rows.lengths, trained, len(rows))[:, None].to(rows.device, rows.dtype)
    weight = held if rows.weight is None else held * rows.weight
    if not bool(weight.any()):
        raise ValueError("No target is known in the part held out for early_stopping.")

    @torch.inference_mode()
    def validate() -> float:
        output, _ = run_network(network, rows)
        return float(weighted_mean(elementwise(head.loss(output[None], rows.y[None]), rows.y[None]), weight[None]))

    return validate


def _steps(weight: Array | None, sequences: Sequences, per_step: bool) -> Array | None:
    return weight if weight is None or per_step else np.repeat(weight, sequences.lengths)


def _product(one: Array | None, other: Array | None) -> Array | None:
    if one is None or other is None:
        return one if other is None else other
    return one * other


# -------------------------------------------------------------------- between an estimator and a session


def feature_names(estimator: Any) -> tuple[str, ...] | None:
    """What the features of a fit were called, where they came with names."""
    names = vars(estimator).get("feature_names_in_")
    return None if names is None else tuple(map(str, names))


def examples_of(estimator: Any, sequences: Any, targets: Any, y: Any, sample_weight: Any) -> Examples:
    """What is learnt from; what targets are called is remembered."""
    estimator.flat_targets_, estimator.target_names_ = targets.flat, target_names(y)
    weight = as_weights(sample_weight, targets.sequences)
    return Examples(targets.sequences, targets.table, weight, feature_names(estimator), targets.flat)


def fitted_so_far(estimator: Any) -> Before:
    """What a training of a fitted estimator goes on from."""
    scalings = Scalings(estimator.input_mean_, estimator.input_scaling_, estimator.target_scaling_)
    return Before(estimator.network_, scalings, vars(estimator).get("resume_") or {})


def run_session(estimator: Any, session: Session) -> None:
    """Run a session, and keep what is learnt, also where a loss that is not finite ends it."""
    try:
        session.run()
    except NonFiniteError:
        keep_learnt(estimator, session)  # with the last good weights
        raise
    keep_learnt(estimator, session)


def keep_learnt(estimator: Any, session: Session) -> None:
    """Make the estimator what was learnt."""
    for name in ("state_", "forgetting_time_"):
        vars(estimator).pop(name, None)
    vars(estimator).update(session.learnt())
