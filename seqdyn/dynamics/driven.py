"""How a model's gradients are measured: its cell, the data that drive it, and the errors of its outputs.

    y_t, h_t = f(x_t, h_{t-1}),   E_t = ℓ(y_t, target_t)

Any class can be measured as a cell is: it gives its network and its data, in the units of the network, by one method,
``driven_by(X, y) -> Driven``. See :class:`Drivable`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.state import State, map_leaves
from seqdyn.training.batches import Rows

ElementwiseLoss = Callable[..., Tensor]
"""``loss(output, target)``, elementwise: errors of the shape (sequences, steps, …)."""


class StepErrors(NamedTuple):
    """A loss E_t of every step, as a function of outputs and targets, and its name.

    Attributes
    ----------
    of : callable
        ``of(output, target)`` from (sequences, steps, outputs) and (sequences, steps, targets) to errors whose leading
        axes are (sequences, steps). E_t may depend on the output of its own step only.
    name : str
    """

    of: ElementwiseLoss
    name: str


@dataclass(frozen=True)
class Driven:
    """A cell, the rows that drive it, and the errors of its outputs.

    Parameters
    ----------
    cell : Cell
    rows : Rows
        Inputs and targets as the network takes them, series laid end to end; a missing target has weight 0.
    errors : Errors, optional
        None where there are no targets.
    at_end : bool
        Whether only the last step of a sequence has an error.
    states : State, optional
        h_{-1} of every series, where it is not the cell's own.
    alone : bool
        Whether nothing drives the cell: a system that runs by itself.
    estimator : optional
        The fitted estimator it belongs to: what a report advises are parameters of this one, and its ``history_``, its
        ``window`` and its ``bptt_length`` are read.
    layout : str
        How the data were laid out, where that has to be said.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.training.heads import Squared
    >>> rows = Rows.of(torch.zeros(4, 50, 3), torch.zeros(4, 50, 1))
    >>> driven = Driven(GRU(3, 1), rows, StepErrors(Squared().loss, "squared error"))
    >>> driven.errors.name, driven.at_end
    ('squared error', False)
    """

    cell: Cell
    rows: Rows
    errors: StepErrors | None = None
    at_end: bool = False
    states: State | None = None
    alone: bool = False
    estimator: Any = None
    layout: str = ""


@runtime_checkable
class Drivable(Protocol):
    """A model that can be measured: it provides its network and its data in the units of the network.

    A class owes one method, and every report takes it: the network as a :class:`~seqdyn.cell.Cell`, the data that the
    user gives as :class:`~seqdyn.training.batches.Rows`, and the loss it was trained with.

    Examples
    --------
    >>> from seqdyn import GRU, stability_report
    >>> class Scaled:
    ...     def __init__(self, network, scale):
    ...         self.network, self.scale = network, scale
    ...
    ...     def driven_by(self, X, y=None):
    ...         return Driven(self.network, Rows.of(X / self.scale))
    >>> model = Scaled(GRU(3, 8, generator=torch.Generator().manual_seed(0)), scale=1000.0)
    >>> stability_report(model, torch.ones(4, 60, 3).cumsum(1), required_lag=10, tier="fast")
    StabilityReport(verdict=OK, severity=PASS, model=Scaled, required_lag=10)
    """

    def driven_by(self, X: Any, y: Any, /) -> Driven:
        """The network as these data drive it.

        Parameters
        ----------
        X, y
            As the model's ``fit`` takes them; ``y`` is None where nothing stands beside X.

        Returns
        -------
        Driven

        Raises
        ------
        ValueError
            If the data do not fit the model; the message says what to give.
        """


def unpadded(tree: Any, there: Tensor) -> list[Any]:
    """Split a batch, padded at the end where ``there`` (batch, time) is False, into sequences without their padding."""
    lengths = there.sum(1).tolist()
    return [map_leaves(lambda leaf: leaf[row, :length], tree) for row, length in enumerate(lengths)]  # noqa: B023


def weighted(errors: StepErrors, target: Tensor, weight: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Make the weighted errors a function of the outputs alone: w_t ℓ(y_t, target_t).

    Without ``weight`` all targets count the same. An error that reads several of them counts as much as the least: with
    one missing it is not known.
    """

    def found(output: Tensor) -> Tensor:
        values = errors.of(output, target)
        return values if weight is None else values * _aligned_weight(weight, values)

    return found


def _aligned_weight(weight: Tensor, values: Tensor) -> Tensor:
    """Reshape weights so that they broadcast against errors from the first axis on, (sequences, steps, …)."""
    own, inner = weight.shape[2:], values.shape[2:]
    if len(own) > len(inner) or any(one not in (1, other) for one, other in zip(own, inner, strict=False)):
        weight = weight.flatten(2).amin(2)
    return weight.reshape(*weight.shape, *[1] * (values.dim() - weight.dim()))


def by_step(errors: StepErrors, output: Tensor, target: Tensor) -> StepErrors:
    """Adapt a loss to targets that are class numbers, if it does not take them as they are.

    Class numbers stand beside several outputs as (sequences, steps, 1). torch's ``CrossEntropyLoss`` and ``NLLLoss``,
    which look for the classes on axis 1, get them step by step: outputs (n, classes) and class numbers (n,), or
    probabilities (n, classes). Any other loss that fails on class numbers as they stand is tried so, and then with
    (sequences, steps) of them; the first form in which it runs is kept. Beside one output, whole numbers that a loss
    does not take become real ones. Whether it gives one error a step is for :func:`check_errors` to say.
    """
    ways = _ways(errors.of, output, target)
    return errors._replace(of=next((way for way in ways if _accepts(way, output, target)), errors.of))


def _ways(loss: ElementwiseLoss, output: Tensor, target: Tensor) -> list[ElementwiseLoss]:
    """The forms in which a loss may take these targets."""
    numbers, alike = _class_numbers(output, target), target.shape == output.shape
    if isinstance(loss, nn.CrossEntropyLoss | nn.NLLLoss) and output.dim() == 3 and (numbers or alike):
        return [_over_rows(loss)]
    if numbers:
        return [loss, _over_rows(loss), lambda output, target: loss(output, target.squeeze(2).long())]
    return [loss, lambda output, target: loss(output, target.to(output.dtype))] if alike else [loss]


def _class_numbers(output: Tensor, target: Tensor) -> bool:
    """Whether targets are one column of whole numbers beside several outputs."""
    return target.shape[2:] == (1,) and output.dim() == 3 and output.shape[2] > 1 and not bool((target % 1).any())


def _over_rows(loss: ElementwiseLoss) -> ElementwiseLoss:
    """A loss of outputs (n, classes) and class numbers (n,), on sequences of both."""

    def errors(output: Tensor, target: Tensor) -> Tensor:
        found = loss(output.flatten(0, 1), target.flatten().long() if target.shape[2] == 1 else target.flatten(0, 1))
        return found.unflatten(0, output.shape[:2]) if isinstance(found, Tensor) and found.dim() else found

    return errors


def _accepts(loss: ElementwiseLoss, output: Tensor, target: Tensor) -> bool:
    try:
        loss(output, target)
    except FAILURES:
        return False
    return True


def check_errors(errors: StepErrors, output: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
    """Raise unless a loss gives one error a step, which depends on the output of that step alone.

    A loss that fails, averages or ignores the output is refused. Whether steps are mixed is looked at in one step: what
    mixes all steps is found there, what mixes only others is not.

    Examples
    --------
    >>> check_errors(StepErrors(lambda y, t: (y - t).mean(), "mean"), torch.ones(2, 30, 1), torch.zeros(2, 30, 1))
    Traceback (most recent call last):
    ...
    ValueError: loss(output, target) gave shape () of output (2, 30, 1), torch.float32, and target (2, 30, 1), ...
    """
    came = f"output {tuple(output.shape)}, {output.dtype}, and target {tuple(target.shape)}, {target.dtype}"
    with torch.enable_grad():
        output = output.detach().clone().requires_grad_()
        try:
            values = errors.of(output, target)
        except FAILURES as error:
            hint = _of_classes(errors.of, output, target) if _class_numbers(output, target) else ""
            raise ValueError(f"loss(output, target) failed on {came}: {error}. {ELEMENTWISE}{hint}") from error
        _check_error_shape(values, came, weight is not None, *output.shape[:2])
        if not values.requires_grad:
            raise ValueError(f"loss(output, target) has no gradient by {came}: compute it from the output.")
        _check_own_step(values, output, came)


def _of_classes(loss: ElementwiseLoss, output: Tensor, target: Tensor) -> str:
    """Explain in which shape class numbers reach a loss, and why it failed on them step by step."""
    try:
        _over_rows(loss)(output, target)
    except FAILURES as error:
        return (
            f" y holds class numbers, from {int(target.min())} to {int(target.max())}, and comes as (sequences, steps, "
            "1): target.squeeze(2).long() is (sequences, steps). Step by step, as torch.nn.CrossEntropyLoss takes "
            f"outputs (n, {output.shape[2]}) and class numbers (n,), it failed too: {error}"
        )
    return ""


FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)
"""What a loss raises of shapes and types that it does not take."""
ELEMENTWISE = (
    "It must be elementwise, (sequences, steps) or (sequences, steps, outputs), as torch's losses are with "
    'reduction="none".'
)


def _check_error_shape(values: Any, came: str, weighted: bool, sequences: int, steps: int) -> None:
    """Errors a step; or, where no target is missing, one a sequence, (sequences, 1, …)."""
    wanted = [(sequences, steps), *([] if weighted else [(sequences, 1)])]
    if isinstance(values, Tensor) and tuple(values.shape[:2]) in wanted:
        return
    what = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
    raise ValueError(
        f"loss(output, target) gave {what} of {came}; expected ({sequences}, {steps}) or ({sequences}, {steps}, …), "
        f"one error a step, or several. {ELEMENTWISE} Where only some steps have an error, let y be NaN at the others."
    )


def _check_own_step(values: Tensor, output: Tensor, came: str) -> None:
    """Whether the error of one step is moved by the output of another."""
    place = (0, values.shape[1] // 2)
    (slope,) = torch.autograd.grad(values[place].sum(), output)
    moved = (slope.nan_to_num() != 0).flatten(2).any(2)
    own = place if values.shape[1] > 1 else (0, int(moved[0].int().argmax()))  # one error a sequence: of any step
    moved[own] = False
    if moved.any():
        sequence, step = moved.nonzero()[-1].tolist()
        raise ValueError(
            f"The error of sequence 0 at step {own[1]} also depends on the output of sequence {sequence} at step "
            f"{step}: the loss mixes steps, or spreads shapes that do not fit over each other. It got {came} and gave "
            f"{tuple(values.shape)}; every error may depend on the output of its own step alone."
        )
