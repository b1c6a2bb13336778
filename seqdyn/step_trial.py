"""A trial of a step (x, h) -> (y, h): whether it is pure, treats every row alike, and can be differentiated."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.state import State, leaves, map_leaves, take
from seqdyn.torch_modules import bare_copy

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

    Parameters
    ----------
    step : callable
        ``(x, h) -> (y, h)``.
    start : tree of Tensor
        h_{-1} of one row.
    shape : tuple of int
        The shape of x_t without the batch.

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
