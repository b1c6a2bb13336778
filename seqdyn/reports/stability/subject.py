"""What a stability report is about: a cell, the inputs that drive it, and the errors whose gradients are followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from torch import Tensor, nn

from seqdyn.autoregression import OwnPast
from seqdyn.cell import Attending, Cell
from seqdyn.cells.draw import DRAWCell, OnCanvas
from seqdyn.checks import check_count
from seqdyn.conversion import from_torch
from seqdyn.data.sequences import as_sequences
from seqdyn.data.targets import as_numbers, as_targets, spread
from seqdyn.dynamics.closed_loop import closed
from seqdyn.dynamics.trajectory import double, measured
from seqdyn.estimators.autoencoder import SequenceAutoencoder
from seqdyn.estimators.parameters import check_parameters
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.forecasting.forecaster import Forecaster
from seqdyn.images.captioning import Captioner
from seqdyn.images.draw import DRAW
from seqdyn.images.pixel import PixelRNN
from seqdyn.language.classifier import TextClassifier
from seqdyn.language.model import LanguageModel
from seqdyn.language.translation import Translator
from seqdyn.loops import scan
from seqdyn.motion.model import MotionModel
from seqdyn.state import State, flatten, hold, leaves, map_leaves, take, unflatten
from seqdyn.training.batches import Rows
from seqdyn.training.forced import following
from seqdyn.training.heads import Bernoulli, CrossEntropy

SEQUENCES, STEPS = 8, 2000
"""How many sequences, and steps of each, are measured unless asked for more."""

BALANCE = 1e-3
"""A change of the state in one step below which a system counts as at rest."""

Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Subject:
    """A cell on a trajectory.

    Attributes
    ----------
    model : str
        What the user handed in.
    cell : Cell
    x : tree, leaves (sequences, steps, *inputs)
    state : State
        h_{-1} of every sequence.
    loss : callable
        From outputs (sequences, steps, outputs) to errors; see :func:`seqdyn.dynamics.gradients.gradient_by_lag`.
    errors : str
        What those errors are, in words.
    at_end : bool
        Whether only the last step of a sequence has an error.
    kind : {"driven", "autonomous"}
    required_lag : int
        K: how far back a gradient has to reach.
    required_lag_from : str
        Who says so.
    estimator : fitted estimator or None
    unused : int
        Rows of the data that were not measured.
    """

    model: str
    cell: Cell
    x: Any
    state: State
    loss: Callable[[Tensor], Tensor]
    errors: str
    at_end: bool
    kind: str
    required_lag: int
    required_lag_from: str
    estimator: SequenceEstimator | None = None
    unused: int = 0

    @property
    def bptt_length(self) -> int | None:
        """Where backpropagation is cut; None if it is not."""
        return getattr(self.estimator, "bptt_length", None)

    @property
    def history(self) -> pd.DataFrame | None:
        """What its training wrote down."""
        return getattr(self.estimator, "history_", None)

    def accepts(self, **change: Any) -> bool:
        """Whether the estimator would take these parameters; True for a bare cell, which has none to refuse."""
        if self.estimator is None:
            return True
        if not set(change) <= set(self.estimator.get_params(deep=False)):
            return False
        try:
            check_parameters(clone(self.estimator).set_params(**change))
        except ValueError:
            return False
        return True

    @property
    def sequences(self) -> int:
        """How many sequences are measured."""
        return len(leaves(self.x)[0])

    @property
    def steps(self) -> int:
        """How many steps each of them has."""
        return int(leaves(self.x)[0].shape[1])


class Errors(NamedTuple):
    """E_t from outputs and targets, elementwise, and what it is in words."""

    of: Loss
    name: str


class _Source(NamedTuple):
    """What a model and its data give, before it is decided how much of it is measured; ``states`` are those of every
    sequence at its start, where they are not the cell's own."""

    cell: Cell
    rows: Rows
    errors: Errors
    at_end: bool = False
    kind: str = "driven"
    states: State | None = None


def subject_of(
    model: Any,
    X: Any = None,
    y: Any = None,
    *,
    required_lag: int | None = None,
    loss: Loss | None = None,
    initial_state: State | None = None,
    max_sequences: int = SEQUENCES,
    max_steps: int | None = STEPS,
    steps: int = STEPS,
) -> Subject:
    """Read a model and its data; the parameters are those of :func:`seqdyn.stability_report`.

    Raises
    ------
    TypeError
        If the model is neither a cell, a fitted estimator, nor one of torch's recurrent networks.
    ValueError
        If data and model do not fit, or the model has no causal state.
    """
    check_count("required_lag", required_lag, 2, (None,), "gradients are measured against those at lag 1")
    check_count("max_sequences", max_sequences)
    check_count("max_steps", max_steps, 2, (None,))
    source = _source(model, X, y, loss, steps)
    name, model = type(model).__name__, getattr(model, "estimator_", model)
    lag, said = _required(model, required_lag, source.rows)
    cut, unused = _cut(source, lag, initial_state, max_sequences, max_steps)
    x, target, weight, state = cut
    return Subject(
        name,
        source.cell,
        x,
        state,
        _error(source.errors.of, target, weight),
        source.errors.name,
        source.at_end,
        source.kind,
        lag,
        said,
        model if isinstance(model, SequenceEstimator) else None,
        unused,
    )


# --- model and data ---------------------------------------------------------------------------------------------------


def _source(model: Any, X: Any, y: Any, loss: Loss | None, steps: int) -> _Source:
    """The cell, its rows in its own units, and its errors."""
    if isinstance(model, Forecaster):
        if X is None or y is not None:
            raise ValueError(
                "A Forecaster is measured on a frame like the one it was fitted on: give it as X, and no y."
            )
        X, y = model.sequences(X)
        model = model.estimator_
    if isinstance(model, MotionModel):
        if y is None:
            raise ValueError("A MotionModel is measured on a motion: give its drive or None as X, the angles as y.")
        X, y = model.rows(X, y)
        model = model.estimator_
    if isinstance(model, SequenceEstimator):
        return _of_estimator(model, X, y, loss)
    if isinstance(model, LanguageModel):
        return _of_language_model(model, X, y, loss)
    if isinstance(model, TextClassifier):
        return _of_text_classifier(model, X, y, loss)
    if isinstance(model, Translator | Captioner):
        return _of_writer(model, X, y, loss)
    if isinstance(model, SequenceAutoencoder):
        return _of_autoencoder(model, X, y, loss)
    if isinstance(model, PixelRNN | DRAW):
        return _of_pictures(model, X, y, loss)
    if isinstance(model, nn.Module) and not isinstance(model, Cell):
        model = from_torch(model)  # or it says which part of the module it takes
    if not isinstance(model, Cell):
        raise TypeError(
            f"stability_report takes a Cell, a fitted estimator or forecaster, or torch's RNN, LSTM or GRU, got "
            f"{type(model).__name__}. Your own recurrence becomes a Cell in ten lines; see seqdyn.Cell."
        )
    if X is None:
        return _alone(model, y, loss, steps)
    sequences = as_sequences(X.detach().cpu().numpy() if isinstance(X, Tensor) else X, "X")
    x = torch.as_tensor(np.asarray(sequences.rows, dtype=np.float64))
    if x.shape[1] != model.input_size:
        raise ValueError(f"X has {x.shape[1]} features, but {type(model).__name__} takes {model.input_size} inputs.")
    rows = Rows(x, x[:, :0], None, torch.as_tensor(sequences.starts), torch.as_tensor(sequences.lengths))
    if y is None:
        return _Source(model, rows, _untargeted(loss))
    targets = as_targets(y.detach().cpu().numpy() if isinstance(y, Tensor) else y, sequences, per_step=True)
    numbers = spread(as_numbers(targets.table), sequences, per_step=True)
    if loss is None and numbers.shape[1] != model.output_size:
        raise ValueError(f"y has {numbers.shape[1]} columns, but the model gives {model.output_size} outputs.")
    known = torch.as_tensor(~np.isnan(numbers))
    named = _given(loss) if loss is not None else Errors(lambda o, target: 0.5 * (o - target) ** 2, "½(y − target)²")
    return _Source(model, _with_targets(rows, torch.as_tensor(np.nan_to_num(numbers)), known), named)


def _of_estimator(model: SequenceEstimator, X: Any, y: Any, loss: Loss | None) -> _Source:
    """A fitted estimator: its network, scaled rows, and the loss it was trained with."""
    predictor = model.predictor_
    cell = predictor.causal("stability_report")
    if X is None:
        raise ValueError(f"{type(model).__name__} is driven by inputs: give X, as its predict takes it.")
    if y is None:
        return _Source(cell, predictor.rows(model.read(X)), _untargeted(loss), not predictor.per_step)
    targets = as_targets(y, model.read(X), predictor.per_step)
    rows = predictor.rows(targets.sequences, targets.table)
    own = getattr(model, "loss", None)
    name = own if isinstance(own, str) else "the loss of the fit" if own is not None else "squared error"
    errors = Errors(predictor.codec.targets.head.loss, name) if loss is None else _given(loss)
    return _Source(cell, rows, errors, not predictor.per_step)


def _of_language_model(model: LanguageModel, X: Any, y: Any, loss: Loss | None) -> _Source:
    """A language model on a text: its network, the text in tokens, and −ln p of every symbol."""
    if not isinstance(X, str) or y is not None:
        raise ValueError("A LanguageModel is measured on a text: give it as X, a str, and no y.")
    own = Errors(model.predictor_.codec.targets.head.loss, "−ln p of every symbol")
    cell = model.predictor_.causal("stability_report")
    return _Source(cell, model.rows(X), own if loss is None else _given(loss))


def _of_text_classifier(model: TextClassifier, X: Any, y: Any, loss: Loss | None) -> _Source:
    """A classifier on texts: its network, the texts in tokens, and −ln P of their labels."""
    if X is None or y is None:
        raise ValueError("A TextClassifier is measured on texts and their labels: give both, as its fit takes them.")
    predictor = model.predictor_
    cell = predictor.causal("stability_report")
    own = Errors(predictor.codec.targets.head.loss, "−ln P of the labels")
    return _Source(cell, model.rows(X, y), own if loss is None else _given(loss), not predictor.per_step)


@torch.no_grad()
def _of_writer(model: Translator | Captioner, X: Any, y: Any, loss: Loss | None) -> _Source:
    """A writer on pairs: its decoder, each sentence from the state and on the memory that its source leads to."""
    if X is None or y is None:
        sides = "sources and targets" if isinstance(model, Translator) else "images and captions"
        raise ValueError(f"A {type(model).__name__} is measured on {sides}: give both, as its fit takes them.")
    first = model.languages_[:1] if isinstance(model, Translator) else ()
    batch = next(iter(model.pairs(X, y, *first).epoch(torch.Generator())))
    target, there = batch.y
    memory, states = model.network_.encode(batch.x, batch.mask)
    given = Attending(following(len(model.vocabulary_), target), hold(memory, target.shape[1]))
    rows = Rows.of(*(_unpadded(tree, there) for tree in (given, target.unsqueeze(2))))
    own = Errors(CrossEntropy(len(model.vocabulary_)).loss, "−ln p of every symbol")
    return _Source(model.network_.decoder, rows, own if loss is None else _given(loss), states=states)


@torch.no_grad()
def _of_autoencoder(model: SequenceAutoencoder, X: Any, y: Any, loss: Loss | None) -> _Source:
    """An autoencoder on sequences: its decoder, each from the state and on the vector that they lead to."""
    if X is None or y is not None:
        raise ValueError("A SequenceAutoencoder is measured on sequences, its targets: give them as X, and no y.")
    batch, head = next(iter(model.rows(X).epoch(torch.Generator()))), model.head_
    there = torch.ones(batch.y.shape[:2], dtype=torch.bool) if batch.mask is None else batch.mask
    codes = model.network_.encode(batch.x, batch.mask)
    rows = Rows.of(*(_unpadded(tree, there) for tree in (hold(codes, there.shape[1]), batch.y)))
    own = Errors(lambda output, target: head.loss(output[..., :-1], target), "the error of what is made again")
    return _Source(
        model.network_.decoder, rows, own if loss is None else _given(loss), states=model.network_.state(codes)
    )


def _of_pictures(model: PixelRNN | DRAW, X: Any, y: Any, loss: Loss | None) -> _Source:
    """A model of pictures: row by row, −ln p of every pixel; or glimpse by glimpse, −ln D(x | c_t) of every pixel."""
    if X is None or y is not None:
        raise ValueError(f"A {type(model).__name__} is measured on pictures: give them as X, and no y.")
    if isinstance(model, PixelRNN):
        own = Errors(model.predictor_.head.loss, "−ln p of every pixel")
        return _Source(cast(Cell, model.network_), model.rows(X), own if loss is None else _given(loss))
    x = model.pictures(X)
    held = [hold(picture[None], model.glimpses)[0] for picture in x]
    rows = Rows.of(held, [picture.flatten(1) for picture in held])
    errors = Errors(Bernoulli().loss, "−ln D(x | c) of every pixel")
    cell = OnCanvas(cast(DRAWCell, model.network_))
    return _Source(cell, rows, errors if loss is None else _given(loss), at_end=True)


def _unpadded(tree: Any, there: Tensor) -> list[Any]:
    """The sequences of a padded batch, each as long as it is."""
    lengths = there.sum(1).tolist()
    return [map_leaves(lambda leaf: leaf[row, :length], tree) for row, length in enumerate(lengths)]  # noqa: B023


def _alone(cell: Cell, y: Any, loss: Loss | None, steps: int) -> _Source:
    """A cell without inputs, or on its own output."""
    if y is not None:
        raise ValueError("y without X: targets stand beside the inputs that lead to them.")
    check_count("steps", steps, 2)
    if cell.input_size and cell.input_shape != cell.output_shape:
        raise ValueError(
            f"{type(cell).__name__} is driven by {cell.input_size} input(s): give X (series, time, {cell.input_size})."
        )
    cell = closed(cell) if cell.input_size else cell
    x = map_leaves(lambda leaf: leaf[0], cell.alone(1, steps))
    nothing = torch.zeros(steps, 0, dtype=torch.float64)
    rows = Rows(x, nothing, None, torch.tensor([0]), torch.tensor([steps]))
    return _Source(cell, rows, _untargeted(loss), kind="autonomous")


def _untargeted(loss: Loss | None) -> Errors:
    if loss is not None:
        return _given(lambda output, _: loss(output))
    return Errors(lambda output, _: 0.5 * output**2, "½‖y‖² of the outputs, for want of targets")


def _given(loss: Loss) -> Errors:
    if not callable(loss):
        raise TypeError(f"loss must be a callable (output, target) -> errors, got {type(loss).__name__}.")
    return Errors(loss, "the given loss")


def _with_targets(rows: Rows, targets: Tensor, known: Tensor) -> Rows:
    return Rows(rows.x, targets, known.to(targets.dtype), rows.starts, rows.lengths)


def _error(of: Loss, target: Tensor, weight: Tensor | None) -> Callable[[Tensor], Tensor]:
    """From outputs to the errors that count."""

    def error(output: Tensor) -> Tensor:
        values = of(output, target)
        return values if weight is None else values * weight

    return error


# --- the lag that matters, and how much is measured -------------------------------------------------------------------


def _required(model: Any, required_lag: int | None, rows: Rows) -> tuple[int, str]:
    """K, and who says so."""
    if required_lag is not None:
        return int(required_lag), "required_lag"
    for name in ("bptt_length", "window"):
        value = getattr(model, name, None)
        if value:
            return max(2, int(value)), name
    longest = int(rows.lengths.max())
    if len(rows.lengths) >= 3:
        return max(2, int(rows.lengths.float().median()) - 1), "the length of the sequences"
    return max(2, longest // 10), "a tenth of the sequence"


def _cut(
    source: _Source, lag: int, initial_state: State | None, count: int, longest: int | None
) -> tuple[tuple[Any, Tensor, Tensor | None, State], int]:
    """Stretches of one length, disjoint, with the states they begin from; and how many rows are in none."""
    rows = source.rows
    starts, steps = (_ends if source.at_end else _stretches)(rows, lag, count)
    kept = steps if longest is None else min(steps, max(longest, 3 * lag))
    if kept < 2:
        raise ValueError(
            "Sequences of one step have no lag to look at: give at least two steps (series, time, inputs)."
        )
    if source.at_end:
        starts = starts + steps - kept
    states = _states(source, starts, initial_state)
    index = starts[:, None] + torch.arange(kept)
    unused = int(rows.lengths.sum()) - len(starts) * kept
    weight = None if rows.weight is None else rows.weight.cpu()[index].double()
    return (take(double(rows.x), index), rows.y.cpu()[index].double(), weight, states), unused


def _stretches(rows: Rows, lag: int, count: int) -> tuple[Tensor, int]:
    """The starts of the stretches, and their length.

    Of all lengths that are whole parts of a series, and long enough for the lag, the one that leaves out fewest rows;
    of those the shortest, which makes most stretches. Of more stretches than are wanted, some evenly spread.
    """
    lengths = rows.lengths
    enough = min(2 * lag, int(lengths.max()))
    lasting = torch.tensor(sorted({length // parts for length in lengths.tolist() for parts in range(1, count + 1)}))
    lasting = lasting[lasting >= enough]
    there = (lengths[:, None] // lasting).sum(0)
    covered = there.clamp(max=count) * lasting
    steps = int(lasting[covered.argmax()])
    starts = torch.cat(
        [start + steps * torch.arange(int(length) // steps) for start, length in zip(rows.starts, lengths, strict=True)]
    )
    return starts[_spread(len(starts), count)], steps


def _ends(rows: Rows, lag: int, count: int) -> tuple[Tensor, int]:
    """The ends of some series, which have one target each: of those longer than the lag and than half of all."""
    lengths = rows.lengths
    usual = float(lengths.float().median())
    enough = (lengths >= usual) if usual > lag else lengths > min(lag, int(lengths.max()) - 1)
    chosen = enough.nonzero().flatten()
    chosen = chosen[_spread(len(chosen), count)]
    steps = int(lengths[chosen].min())
    return rows.starts[chosen] + lengths[chosen] - steps, steps


def _spread(total: int, count: int) -> Tensor:
    """At most ``count`` of so many places, evenly spread."""
    return torch.linspace(0, total - 1, min(count, total)).round().long().unique()


@torch.no_grad()
def _states(source: _Source, starts: Tensor, initial_state: State | None) -> State:
    """h before every stretch: the initial state at the beginning of a series, else what the rows before it lead to."""
    rows, found = source.rows, []
    cell = measured(source.cell)
    fresh = cell.initial_state(1)
    if initial_state is not None:
        given = _one_row(initial_state)
        fresh = cell.start_from(given) if source.kind == "autonomous" and isinstance(cell, OwnPast) else given
    elif source.kind == "autonomous":
        fresh = _off_balance(cell, map_leaves(lambda leaf: leaf[:1], double(rows.x)), fresh)
    for start in starts.tolist():
        begin = int(rows.starts[rows.starts <= start].max())
        state = fresh
        if source.states is not None and initial_state is None:
            number = int((rows.starts == begin).nonzero())
            state = map_leaves(lambda leaf: leaf[number : number + 1].to("cpu", torch.float64), source.states)  # noqa: B023
        if begin < start:
            before = map_leaves(lambda leaf: leaf[None, begin:start], rows.x)  # noqa: B023
            state = scan(cell, double(before), fresh).state
        found.append(state)
    return map_leaves(lambda *parts: torch.cat(parts), *found)


def _off_balance(cell: Cell, x: Any, state: State) -> State:
    """A state a thousandth beside one where the cell rests: on an unstable point it would never be seen to leave."""
    _, after = cell(x, state)
    if bool((flatten(after) - flatten(state)).abs().max() > BALANCE):
        return state
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(flatten(state).shape, generator=generator, dtype=torch.float64)
    return unflatten(flatten(state) + BALANCE * drawn, state)


def _one_row(state: State) -> State:
    """A given state in the precision of the measurement."""
    rows = {len(leaf) for leaf in leaves(state)}
    if rows != {1}:
        raise ValueError(f"initial_state has {sorted(rows)} rows, expected one: it begins every series.")
    return map_leaves(lambda leaf: leaf.detach().to("cpu", torch.float64), state)
