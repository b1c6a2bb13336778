"""Any model as a cell with the rows that drive it and the errors of its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from seqdyn.cell import Cell
from seqdyn.conversion import from_torch
from seqdyn.data.sequences import as_sequences
from seqdyn.data.tensors import series_first
from seqdyn.dynamics.driven import Drivable, Driven, ElementwiseLoss
from seqdyn.dynamics.driven_cell import cell_alone, cell_driven_by
from seqdyn.reports.initial_states import begin_from, one_row
from seqdyn.torch_modules import RECURRENT, check_values, takes_time_first, unwrapped


def driven_model(model: Any, X: Any, y: Any, loss: ElementwiseLoss | None, initial_state: Any, steps: int) -> Driven:
    """Read a model as a cell, with its rows in its own units and its errors; see :func:`seqdyn.stability_report`."""
    if isinstance(model, Drivable) and not isinstance(model, type):
        return begin_from(model.driven_by(X, y), initial_state)
    X, y, layout = series_first(X, y, _takes_time_first(model))
    step = is_step(model, initial_state)
    cell = _step_cell(model, X, initial_state) if step else _cell(model)
    driven = cell_alone(cell, y, steps) if X is None else cell_driven_by(cell, X, y, loss is None)
    return replace(driven if step else begin_from(driven, initial_state), layout=layout)


def _cell(model: Any) -> Cell:
    """The cell itself, or a cell that computes the same as a network of torch's."""
    if isinstance(model, nn.Module):
        check_values("The model", model)
        return model if isinstance(model, Cell) else from_torch(model)  # its error says which part to pass
    raise TypeError(
        "stability_report takes a Cell, a fitted estimator or forecaster, torch's RNN, LSTM or GRU, or a step function "
        f"(x, h) -> (y, h) with initial_state, got {type(model).__name__}. Your own recurrence becomes a Cell in ten "
        "lines; see seqdyn.Cell. A class with a method driven_by(X, y) is measured as that says."
    )


def is_step(model: Any, initial_state: Any) -> bool:
    """Whether a model computes one step, (x, h) -> (y, h): a function, or a module given with an initial state."""
    if isinstance(model, nn.Module):
        return initial_state is not None and not isinstance(unwrapped(model), (Cell, *RECURRENT))
    return callable(model) and not isinstance(model, type) and not isinstance(model, Drivable)


def _step_cell(step: Callable[..., Any], X: Any, initial_state: Any) -> Cell:
    """A cell whose step is a function, and whose initial state is given."""
    if initial_state is None:
        raise ValueError(
            "A step function (x, h) -> (y, h) needs an initial_state, h_{-1} of one sequence, as in "
            "stability_report(step, X, initial_state=torch.zeros(1, 32))."
        )
    width = 0 if X is None else as_sequences(X, "X").rows.shape[1]
    return from_torch(step, initial_state=one_row(step, initial_state, width), input_size=width)


def _takes_time_first(model: Any) -> bool:
    """Whether a model is a network of torch's with data (time, batch, inputs), or a cell made from one."""
    if isinstance(model, Cell):
        return any(not getattr(part, "torch_batch_first", True) for part in model.modules())
    return takes_time_first(unwrapped(model))


def model_name(model: Any) -> str:
    """The user's name of a model; for a cell made from a module of torch's or a function, the name of that."""
    given = unwrapped(model)
    own = getattr(given, "__name__", type(given).__name__)
    return getattr(given, "torch_module", "step function" if own == "<lambda>" else own)
