"""A recurrence that is given as a function of one step, y_t, h_t = step(x_t, h_{t-1}), and a trial of that step."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from seqdyn.cell import Cell
from seqdyn.row_modules import as_shape, no_code
from seqdyn.state import State, expand, leaves, map_leaves, named_leaves, take
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


Step = Callable[[Any, Any], Any]


class StepTrial(NamedTuple):
    """The result of a trial.

    Attributes
    ----------
    output_shape : tuple of int
        The shape of y_t without the batch.
    rowwise : bool
        Whether the step takes single rows, without the batch.
    any_dtype : bool
        Whether it works in float64, too.
    """

    output_shape: tuple[int, ...]
    rowwise: bool
    any_dtype: bool


def try_step(step: Step, start: State, shape: tuple[int, ...]) -> StepTrial:
    """Run a step on a few rows, or on one, and check it against the rules.

    Raises
    ------
    ValueError
        If it breaks a rule; the message says which.

    Examples
    --------
    >>> try_step(lambda x, h: (h, 0.5 * h + x), torch.zeros(3), (3,))
    StepTrial(output_shape=(3,), rowwise=False, any_dtype=True)
    """
    x, state = _trial_rows(start, shape)
    with torch.random.fork_rng(devices=[]):
        result, rowwise = _try_step(step, x, state, (len(x),)), False
        if isinstance(result, _Fault):
            result, rowwise = _by_row(step, x, state, result), True
        apply = over_rows(step) if rowwise else step
        _check_rules(apply, x, state, result)
        return StepTrial(tuple(result[0].shape[1:]), rowwise, _takes_double(step, rowwise, x, state, result))


def _by_row(step: Step, x: Tensor, state: State, together: _Fault) -> Any:
    """What a step that takes single rows gives for a batch; raises if it takes neither."""
    single = _try_step(step, x[0], _single_row(state, 0), ())
    if isinstance(single, _Fault):
        raise ValueError((single if together.raised and not single.raised else together).words)
    result = _try_step(over_rows(step), x, state, (len(x),))
    if isinstance(result, _Fault):
        raise ValueError(
            "The step takes single rows, and torch.func.vmap cannot run it over a batch. Write it for rows "
            f"x (batch, …) and h (batch, …). {result.words}"
        )
    return result


class _Fault(NamedTuple):
    """Why a step does not do, and whether it raised rather than gave something else."""

    words: str
    raised: bool


def _try_step(step: Step, x: Tensor, state: State, batch: tuple[int, ...]) -> Any:
    """What the step gives, (output, state), or a :class:`_Fault`."""
    given = form(state)
    try:
        with torch.no_grad():
            result = step(x, map_leaves(Tensor.clone, state))
    except Exception as error:
        return _Fault(f"The step failed on x, {form(x)}, and h, {given}: {type(error).__name__}: {error}", True)
    if not isinstance(result, tuple | list) or len(result) != 2:
        return _Fault(f"The step gave {form(result)}, expected two things: the output y and the next state h.", False)
    output, after = result
    if not isinstance(output, Tensor) or output.shape[: len(batch)] != batch or not output.is_floating_point():
        rows = "(batch, …), a row for every row of x" if batch else "a tensor"
        return _Fault(f"The step gave the output {form(output)} for x, {form(x)}: expected {rows}, real.", False)
    if form(after) != given:
        return _Fault(
            f"The step gave the state back as {form(after)}, but got it as {given}: structure, names, shapes and "
            "dtypes must stay.",
            False,
        )
    return output, after


def _check_rules(apply: Step, x: Tensor, state: State, result: Any) -> None:
    """Raise unless a step is pure, treats every row alike, and can be differentiated."""
    kept, near = map_leaves(Tensor.clone, state), _tolerance(state)
    with torch.no_grad():
        again = apply(x, kept)
    if not _agree(kept, state, 0.0):
        raise ValueError("The step changes the state it is given in place: make a new one, h = h + ….")
    if not _agree(tuple(again), tuple(result), near):
        raise ValueError(
            "The step gave another result the second time: it draws random numbers or remembers something beside h. "
            "What it remembers belongs into the state; dropout is to be off, module.eval()."
        )
    for row in range(len(x)):
        alone = _try_step(apply, x[[row]], take(state, [row]), (1,))
        if isinstance(alone, _Fault):
            raise ValueError(f"The step does not work for a batch of one. {alone.words}")
        if not _agree(tuple(alone), take(tuple(result), [row]), near):
            raise ValueError("The step gives a row another value when it stands alone: it mixes the rows of a batch.")
    _check_gradient(apply, x, state)


def _check_gradient(apply: Step, x: Tensor, state: State) -> None:
    """Raise if what a step gives has no gradient by what it takes."""

    def free(leaf: Tensor) -> Tensor:
        return leaf.clone().requires_grad_(leaf.is_floating_point())

    way = "it leaves torch on the way (numpy, .detach(), .item(), torch.no_grad()). Write it in torch."
    try:
        with torch.enable_grad():
            output, after = apply(free(x), map_leaves(free, state))
    except Exception as error:
        raise ValueError(f"The step works, but not where gradients are kept: {error} Perhaps {way}") from error
    for name, part in (("output", output), ("state", after)):
        if not any(leaf.requires_grad for leaf in leaves(part)):
            raise ValueError(f"The {name} that the step gives has no gradient by x and h: {way}")


def _takes_double(step: Any, rowwise: bool, x: Tensor, state: State, result: Any) -> bool:
    """Whether the step works in float64, too; a module that does not is refused, since it is measured so."""

    def double(leaf: Tensor) -> Tensor:
        return leaf.double() if leaf.is_floating_point() else leaf

    wide = bare_copy("The step", step).double() if isinstance(step, nn.Module) else step
    found = _try_step(over_rows(wide) if rowwise else wide, double(x), map_leaves(double, state), (len(x),))
    fits = not isinstance(found, _Fault) and found[0].dtype == torch.float64
    fits = fits and _agree(tuple(result), tuple(found), _tolerance(state))
    if isinstance(step, nn.Module) and not fits:
        raise ValueError(
            f"The step ({type(step).__name__}) does not work after .double(): it keeps or makes tensors of a fixed "
            "dtype. Keep them by register_buffer, and make them by x.new_zeros(…)."
        )
    return fits


def _trial_rows(start: State, shape: tuple[int, ...]) -> tuple[Tensor, State]:
    """A few inputs and states, different in every row."""
    like = first_floating(leaves(start)).detach()
    taken = {*shape, *(extent for leaf in leaves(start) for extent in leaf.shape)}
    batch = next(count for count in range(3, 4 + len(taken)) if count not in taken)  # so that no axis passes for it
    x = torch.linspace(-1, 1, batch * prod(shape)).to(like).view(batch, *shape) if shape else torch.zeros(batch).long()

    def spread(leaf: Tensor) -> Tensor:
        rows = torch.stack([leaf.detach()] * batch)
        return rows + torch.linspace(0, 0.1, rows.numel()).to(leaf).view_as(rows) if leaf.is_floating_point() else rows

    return x.to(like.device), map_leaves(spread, start)


def over_rows(step: Step) -> Step:
    """A step for single rows, run over the rows of a batch.

    Examples
    --------
    >>> step = over_rows(lambda x, h: (x @ h, h))
    >>> step(torch.ones(2, 3), torch.ones(2, 3))[0]
    tensor([3., 3.])
    """

    def apply(x: Tensor, state: State) -> tuple[Tensor, State]:
        def one(x: Tensor, *parts: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            own = iter(parts)
            output, after = step(x, map_leaves(lambda _: next(own), state))
            return output, tuple(leaves(after))

        output, parts = torch.func.vmap(one)(x, *leaves(state))
        own = iter(parts)
        return output, map_leaves(lambda _: next(own), state)

    return apply


def _single_row(tree: State, row: int) -> State:
    """One row of a state, without the batch."""
    return map_leaves(lambda leaf: leaf[row], tree)


def first_floating(found: list[Tensor]) -> Tensor:
    """The first leaf of floating point."""
    return next(leaf for leaf in found if leaf.is_floating_point())


def _agree(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two trees hold the same numbers, up to a tolerance."""
    pairs = zip(leaves(one), leaves(other), strict=True)
    return all(torch.allclose(a.double(), b.double(), tolerance, tolerance, equal_nan=True) for a, b in pairs)


def _tolerance(tree: Any) -> float:
    """How far two ways of computing the same may differ in the dtype of a tree."""
    return float(torch.finfo(first_floating(leaves(tree)).dtype).eps ** 0.5)


def form(tree: Any) -> str:
    """Return the structure of a tree in words: "GRUState(h=float32 (4, 8))"."""
    if isinstance(tree, Tensor):
        return f"{str(tree.dtype).removeprefix('torch.')} {tuple(tree.shape)}"
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {form(branch)}" for key, branch in tree.items()) + "}"
    if hasattr(tree, "_fields"):
        return f"{type(tree).__name__}({', '.join(f'{key}={form(getattr(tree, key))}' for key in tree._fields)})"
    if isinstance(tree, tuple | list):
        left, right = "()" if isinstance(tree, tuple) else "[]"
        return left + ", ".join(map(form, tree)) + right
    return "None" if tree is None else f"a {type(tree).__name__}"
