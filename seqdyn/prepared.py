"""Steps that are taken one at a time, with nothing around them: one row, in numpy, without autograd.

    y_t, h_t = f(x_t, h_{t-1})

torch needs several microseconds for each of the dozen small operations of a step, numpy a tenth of that. So a cell may
offer its step on arrays (:meth:`seqdyn.cell.Cell.prepared`), and :func:`quick_step` says by what a row goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized

from seqdyn.arrays import Array
from seqdyn.cell import Cell, Noisy
from seqdyn.kernels.transforms import transformed
from seqdyn.state import State, detach, leaves, map_leaves

MOST_WEIGHTS = 2**18
"""Beyond so many the products take most of the time, and torch's are the faster ones."""

ArrayStep = Callable[[Any, Any], tuple[Any, Any]]
"""``(x, state) -> (output, state)`` on arrays, leaves (batch, …)."""


def shared_arrays(*values: Tensor) -> tuple[Array, ...]:
    """Return tensors as arrays on the same memory: what changes in place is seen at once.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> (array,) = shared_arrays(weight)
    >>> weight.data.fill_(1.0), array
    (tensor([1., 1.]), array([1., 1.], dtype=float32))
    """
    return tuple(value.detach().numpy() for value in values)


class WrittenStep:
    """The step of a cell as it is written, on tensors.

    Parameters
    ----------
    cell : Cell
    """

    def __init__(self, cell: Cell):
        self.cell = cell

    @property
    def current(self) -> bool:
        """Whether the cell still holds the parameters that the step reads; changed in place they are the same."""
        return True

    def enter(self, state: State) -> Any:
        """The state as the step takes it."""
        return state

    def leave(self, held: Any) -> State:
        """The state as tensors."""
        return held

    def __call__(self, x: Any, held: Any) -> tuple[Any, Any]:
        output, after = self.cell(x, held)
        return output, after

    @torch.inference_mode()
    def row(self, x: Any, held: Any) -> tuple[Any, Any]:
        """The same of one row without the batch, without autograd."""
        output, after = self.cell(map_leaves(lambda leaf: leaf.unsqueeze(0), x), held)
        return map_leaves(lambda leaf: leaf.squeeze(0), output), after


class PreparedStep(WrittenStep):
    """The step of a cell on arrays, with tensors as inputs and outputs; the state stays in arrays from step to step.

    Parameters
    ----------
    cell : Cell
        One that offers :meth:`~seqdyn.cell.Cell.prepared`, on the CPU.
    state : State
        Of one row; it says structure and dtype.
    """

    def __init__(self, cell: Cell, state: State):
        super().__init__(cell)
        self._form, self._step = detach(state), cell.prepared()
        self._dtype = next(leaf.dtype for leaf in leaves(state) if leaf.is_floating_point())
        self._places = [
            (module._parameters, name, parameter.data_ptr())
            for module in cell.modules()
            for name, parameter in module.named_parameters(recurse=False)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cell, self._form)

    @property
    def current(self) -> bool:
        for parameters, name, address in self._places:
            parameter = parameters.get(name)
            if parameter is None or parameter.data_ptr() != address:
                return False
        return True

    def enter(self, state: State) -> Any:
        return map_leaves(lambda leaf: leaf.detach().numpy()[0], state)

    def leave(self, held: Any) -> State:
        return map_leaves(lambda _, leaf: torch.from_numpy(leaf[None]), self._form, held)

    def __call__(self, x: Any, held: Any) -> tuple[Tensor, Any]:
        if (taken := self._take(map_leaves(lambda leaf: leaf[0], x), held)) is not None:
            return taken[0].unsqueeze(0), taken[1]
        output, state = super().__call__(x, self.leave(held))
        return output, self.enter(state)

    def row(self, x: Any, held: Any) -> tuple[Tensor, Any]:
        if (taken := self._take(x, held)) is not None:
            return taken
        output, state = super().row(x, self.leave(held))
        return output, self.enter(state)

    def _take(self, x: Any, held: Any) -> tuple[Tensor, Any] | None:
        """The step of one row; None where what comes in is not of its kind, which is then up to the written step."""
        if isinstance(x, Noisy):
            return None
        with np.errstate(all="ignore"):
            result, after = self._step(map_leaves(_as_array, x), held)
        output = torch.from_numpy(result)
        return (output, after) if output.dtype == self._dtype else None


def _as_array(leaf: Tensor) -> Array:
    return leaf.detach().numpy() if leaf.requires_grad else leaf.numpy()


def quick_step(cell: Cell, state: State) -> WrittenStep:
    """Return what takes the steps of a cell from a state on: its prepared step where that pays, else the written one.

    It pays for one row, on the CPU, of a cell of at most ``MOST_WEIGHTS`` weights that offers one.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> gru = GRU(3, 8)
    >>> [type(quick_step(gru, gru.initial_state(batch))).__name__ for batch in (1, 2)]
    ['PreparedStep', 'WrittenStep']
    """
    own, rows = [*cell.parameters(), *cell.buffers()], leaves(state)
    alike = {(value.device.type, value.dtype) for value in (*own, *rows) if value.is_floating_point()}
    fits = alike in ({("cpu", torch.float32)}, {("cpu", torch.float64)}) and {len(leaf) for leaf in rows} == {1}
    if not fits or sum(value.numel() for value in own) > MOST_WEIGHTS:
        return WrittenStep(cell)
    if torch.compiler.is_compiling() or transformed() or any(map(is_parametrized, cell.modules())):
        return WrittenStep(cell)
    return WrittenStep(cell) if cell.prepared() is NotImplemented else PreparedStep(cell, state)
