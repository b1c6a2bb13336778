"""A recurrence that is given as a function of one step: y_t, h_t = step(x_t, h_{t-1})."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from seqdyn.cell import Cell
from seqdyn.row_modules import as_shape, no_code
from seqdyn.state import State, expand, leaves, map_leaves, named_leaves
from seqdyn.step_trial import Step, first_floating, form, over_rows, try_step
from seqdyn.torch_modules import bare_copy, check_values, unwrapped


class StepFunction(Cell):
    """A cell made of a function of one step: y_t, h_t = step(x_t, h_{t-1}).

    Parameters
    ----------
    step : callable or nn.Module
        ``(x, h) -> (y, h)``, on rows: x (batch, *inputs), every leaf of h (batch, *shape), y (batch, *outputs). One
        that takes a single row, without the batch, is found out and run over the rows of a batch by
        :func:`torch.func.vmap`. It draws nothing, changes nothing in place, and gives the state back as it got it: in
        the same structure, shapes and dtypes. Of a module a copy is kept, in evaluation mode.
    initial_state : tree of Tensor
        h_{-1} of one row, without the batch: a tensor, or a NamedTuple, tuple, list or dict of such. What requires a
        gradient becomes a parameter.
    input_size : int or tuple of int
        The width of x_t, or its shape without the batch; ``()`` for tokens, whole numbers; 0 for a step that reads no
        input.

    Raises
    ------
    TypeError
        If the step cannot be called, or the initial state is no tree of tensors.
    ValueError
        If a trial step fails, or breaks one of the rules above; the message says which.

    Notes
    -----
    A function keeps its weights to itself: they are neither copied nor parameters of the cell, which takes them for
    constants. A function that works in one dtype only, as one with plain tensors of its own does, is run in the dtype
    of the initial state whatever the cell is converted to, and its derivatives have that precision. Give a module with
    ``forward(x, h)`` where this matters. A file holds no code: neither of the two is saved.

    Examples
    --------
    >>> from seqdyn.loops import scan
    >>> recurrent = torch.nn.GRUCell(3, 8)
    >>> def step(x, h):
    ...     h = recurrent(x, h)
    ...     return h[:, :1], h
    >>> scan(StepFunction(step, torch.zeros(8), 3), torch.zeros(4, 10, 3)).output.shape
    torch.Size([4, 10, 1])
    """

    def __init__(self, step: Step | nn.Module, initial_state: State, input_size: int | tuple[int, ...]):
        shape = _step_input_shape(input_size)
        start = _check_start(initial_state)
        step = _own_step(step)
        trial = try_step(step, start, shape)
        super().__init__(prod(shape), sum(leaf.numel() for leaf in leaves(start)), prod(trial.output_shape))
        self.input_shape, self.output_shape = shape, trial.output_shape
        self.step = step
        self._rowwise, self._any_dtype = trial.rowwise, trial.any_dtype
        self._like = map_leaves(lambda leaf: torch.empty(0, dtype=leaf.dtype, device=leaf.device), start)
        self._keep_start(start)

    def train(self, mode: bool = True) -> StepFunction:
        """Set the mode of the cell; a module that is the step stays in evaluation mode."""
        super().train(mode)
        if isinstance(self.step, nn.Module):
            self.step.eval()
        return self

    def initial_state(self, batch: int) -> State:
        kept = iter([getattr(self, name) for name in self._names])
        return expand(map_leaves(lambda _: next(kept).unsqueeze(0), self._like), batch)

    def forward(self, x: Any, state: State) -> tuple[Any, State]:
        before, apply = leaves(state), over_rows(self.step) if self._rowwise else self.step
        output, after = apply(self._home(x, leaves(self._like)[0]), map_leaves(self._home, state, self._like))
        places = iter(before)
        return output.to(first_floating(before)), map_leaves(lambda leaf: leaf.to(next(places)), after)

    def constructor_arguments(self) -> dict[str, Any]:
        raise TypeError(no_code("step", getattr(self.step, "function", self.step), ""))

    def _keep_start(self, start: State) -> None:
        """Keep the initial state, leaf by leaf: as parameters where it is learned, else as buffers."""
        self._names = [f"start_{path.replace('.', '_')}" if path else "start" for path, _ in named_leaves(start)]
        for name, leaf in zip(self._names, leaves(start), strict=True):
            if leaf.requires_grad:
                setattr(self, name, nn.Parameter(leaf.detach().clone()))
            else:
                self.register_buffer(name, leaf.detach().clone())

    def _home(self, leaf: Tensor, like: Tensor) -> Tensor:
        """A leaf where the step can take it: in the dtype and on the device of its own weights."""
        if isinstance(self.step, nn.Module):
            return leaf
        fixed = leaf.is_floating_point() and like.is_floating_point() and not self._any_dtype
        return leaf.to(like.device, like.dtype if fixed else leaf.dtype)


def _step_input_shape(input_size: Any) -> tuple[int, ...]:
    shape = as_shape(input_size)
    if shape is None:
        raise ValueError(
            "A step function needs input_size, the width of x_t (0 without inputs) or its shape without the batch, got "
            f"{input_size!r}."
        )
    return shape


def _check_start(initial_state: Any) -> State:
    try:
        found = list(named_leaves(initial_state))
    except TypeError:
        found = []
    if not found:
        raise TypeError(
            "A step function needs initial_state, the state h of one row before the first step: a tensor, or a "
            f"NamedTuple, tuple, list or dict of tensors, got {type(initial_state).__name__}."
        )
    if not any(leaf.is_floating_point() for _, leaf in found):
        raise ValueError(f"initial_state has no leaf of floating point: {form(initial_state)}. Give h.double().")
    meta = next((name or "h" for name, leaf in found if leaf.is_meta), None)
    if meta is not None:
        raise ValueError(f"initial_state is on the device 'meta': {meta} has a shape but no values.")
    return initial_state


def _own_step(step: Any) -> Any:
    """A copy of a module, without wrappers and in evaluation mode; a function as it is."""
    if isinstance(step, nn.Module):
        check_values("The step", unwrapped(step))
        return bare_copy("The step", step).eval()
    if not callable(step):
        raise TypeError(f"A step must be a function or module (x, h) -> (y, h), got {type(step).__name__}.")
    return _Borrowed(getattr(step, "_torchdynamo_orig_callable", step))  # what torch.compile was given


class _Borrowed:
    """A function, run as if its own weights were constants in the dtype of what comes in."""

    def __init__(self, function: Step):
        self.function = function

    def __deepcopy__(self, memo: dict[int, Any]) -> _Borrowed:
        return self

    def __call__(self, x: Any, state: State) -> Any:
        given = [leaf for leaf in leaves((x, state)) if leaf.is_floating_point()]
        with _Constants(given):
            return self.function(x, state)


class _Constants(TorchFunctionMode):
    """Inside, every parameter that was not given is a constant, in the dtype of what was given.

    This holds in whatever the function calls, and leaves the parameters themselves as they are.
    """

    def __init__(self, given: list[Tensor]):
        super().__init__()
        self.given = {id(leaf) for leaf in given}
        self.dtype = given[0].dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Tensor, self._constant, (args, kwargs or {}))
        return func(*args, **kwargs)

    def _constant(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) or id(tensor) in self.given:
            return tensor
        return tensor.detach().to(self.dtype) if tensor.is_floating_point() else tensor.detach()
