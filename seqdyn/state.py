"""Trees of tensors: the memory of a model, whatever its shape.

A *tree* is a tensor, or a NamedTuple, tuple, list or dict of trees; ``None`` is an empty branch. A *state* is a
tree whose leaves are all ``(batch, *shape)`` and whose structure never changes in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    import xarray

Tree = TypeVar("Tree")

State = Any
"""A NamedTuple of tensors, or a tuple of states (the layers of a stack); every leaf is ``(batch, *shape)``."""


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply a function to every leaf, and to the leaves at the same place in the other trees.

    Parameters
    ----------
    function : callable
        ``function(leaf, *leaves_of_the_others) -> new leaf``.
    tree, *others : tree
        Trees of one structure.

    Returns
    -------
    tree
        The results, in the structure of the first tree.

    Examples
    --------
    >>> map_leaves(lambda leaf: leaf + 1, (torch.zeros(2), {"c": torch.ones(1)}))
    (tensor([1., 1.]), {'c': tensor([2.])})
    """
    if isinstance(tree, Tensor):
        return function(tree, *others)
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {key: map_leaves(function, tree[key], *(other[key] for other in others)) for key in tree}
    branches = [map_leaves(function, *branch) for branch in zip(tree, *others, strict=True)]
    return type(tree)(*branches) if hasattr(tree, "_fields") else type(tree)(branches)


def named_leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Walk through the leaves with their dotted paths: ``h``, ``c``, or ``0.h`` in a stack.

    Examples
    --------
    >>> [path for path, _ in named_leaves(({"h": torch.zeros(1)}, {"h": torch.zeros(1)}))]
    ['0.h', '1.h']
    """
    if isinstance(tree, Tensor):
        yield name, tree
        return
    if tree is None:
        return
    if isinstance(tree, dict):
        keys: Sequence[Any] = list(tree)
        branches: Sequence[Any] = list(tree.values())
    elif isinstance(tree, tuple | list):
        keys = getattr(tree, "_fields", range(len(tree)))
        branches = tree
    else:
        raise TypeError(f"The leaves of a tree are tensors, but {name or 'this one'} is of type {type(tree).__name__}.")
    for key, branch in zip(keys, branches, strict=True):
        yield from named_leaves(branch, f"{name}.{key}" if name else str(key))


def leaves(tree: Any) -> list[Tensor]:
    """All tensors of a tree, in a fixed order."""
    return [leaf for _, leaf in named_leaves(tree)]


def select(condition: Tensor, tree: Tree, other: Any) -> Tree:
    """Take each row from ``tree`` where the condition holds, else from ``other``.

    Parameters
    ----------
    condition : Tensor of bool, shape (batch,)
    tree, other : tree
        Trees of one structure with leaves ``(batch, *shape)``.
    """

    def choose(leaf: Tensor, alternative: Tensor) -> Tensor:
        chosen = condition.to(leaf.device).view(-1, *[1] * (leaf.dim() - 1))
        return torch.where(chosen, leaf, alternative)

    return map_leaves(choose, tree, other)


def take(tree: Tree, rows: Any) -> Tree:
    """Rows of a state or a batch, in a new order: beams, samples, forks; a row may come several times, or never.

    Parameters
    ----------
    tree : tree, leaves (batch, *shape)
    rows : Tensor of int64 or bool, slice, or sequence of int
        The number of every row that is taken, or which of them are.

    Examples
    --------
    >>> take({"h": torch.tensor([[1.0], [2.0]])}, [1, 1, 0])["h"].flatten()
    tensor([2., 2., 1.])
    """
    if isinstance(rows, slice):
        return map_leaves(lambda leaf: leaf[rows], tree)
    index = torch.as_tensor(rows)
    return map_leaves(lambda leaf: leaf[index.to(leaf.device)], tree)


def steps(tree: Tree, start: int | None, stop: int | None = None) -> Tree:
    """A stretch of time, from ``start`` up to but not including ``stop``, without copying.

    Parameters
    ----------
    tree : tree, leaves (batch, time, *shape)
    start, stop : int or None
        As in a slice.

    Examples
    --------
    >>> steps(torch.arange(5)[None], 1, 3)
    tensor([[1, 2]])
    """
    return map_leaves(lambda leaf: leaf[:, start:stop], tree)


def hold(value: Tree, time: int) -> Tree:
    """Make a constant an input that does not change: (batch, …) → (batch, time, …), without copying.

    A loop over time reads a held leaf once, so that a constant costs nothing per step.

    Examples
    --------
    >>> hold(torch.zeros(2, 3), 5).shape
    torch.Size([2, 5, 3])
    """

    def held(leaf: Tensor) -> Tensor:
        long = leaf.unsqueeze(1).expand(len(leaf), time, *leaf.shape[1:])
        long.constant = leaf  # type: ignore[attr-defined]  # so that its gradient need not come back through all steps
        return long

    return map_leaves(held, value)


def is_held(leaf: Tensor) -> bool:
    """Whether a leaf (batch, time, …) is the same at every step, because it takes no room in time.

    One that gathers gradients itself, step by step, is not.

    Examples
    --------
    >>> is_held(hold(torch.zeros(2, 3), 5)), is_held(torch.zeros(2, 5, 3))
    (True, False)
    """
    gathers = leaf.requires_grad and leaf.is_leaf
    return leaf.shape[1] > 1 and leaf.stride(1) == 0 and leaf.numel() > 0 and not gathers


def constant(leaf: Tensor) -> Tensor:
    """What a held leaf holds, (batch, …)."""
    own: Tensor | None = getattr(leaf, "constant", None)
    return leaf[:, 0] if own is None or own.requires_grad != leaf.requires_grad else own


def unbind(tree: Any) -> Iterator[Any]:
    """The trees of one step after the other. Every leaf is taken apart once, and a held one is read once."""
    if isinstance(tree, Tensor) and not is_held(tree):
        yield from tree.unbind(1)
        return
    time = leaves(tree)[0].shape[1]
    columns = [[constant(leaf)] * time if is_held(leaf) else leaf.unbind(1) for leaf in leaves(tree)]
    for row in zip(*columns, strict=True):
        pieces = iter(row)
        yield map_leaves(lambda _: next(pieces), tree)  # noqa: B023


def stack(trees: Sequence[Tree], dim: int = 1) -> Tree:
    """Join trees of one structure along a new axis: a sequence of states becomes a state with a time axis."""
    return map_leaves(lambda *column: torch.stack(column, dim), *trees)


def detach(tree: Tree) -> Tree:
    """The same values with no history: gradients end here."""
    return map_leaves(Tensor.detach, tree)


def expand(tree: Tree, batch: int) -> Tree:
    """Repeat a state of one row for a whole batch, without copying."""
    return map_leaves(lambda leaf: leaf.expand(batch, *leaf.shape[1:]), tree)


def flatten(tree: Any) -> Tensor:
    """Write the whole state as one vector a row: ``(batch, n)``, leaves one after the other.

    Examples
    --------
    >>> flatten((torch.zeros(2, 3), torch.ones(2, 1, 2))).shape
    torch.Size([2, 5])
    """
    return torch.cat([leaf.flatten(1) if leaf.dim() > 1 else leaf.unsqueeze(1) for leaf in leaves(tree)], dim=1)


def unflatten(vector: Tensor, like: Tree) -> Tree:
    """The inverse of :func:`flatten`: a vector ``(batch, n)`` in the structure of ``like``."""
    pieces = iter(vector.split([leaf[0].numel() for leaf in leaves(like)], dim=1))
    return map_leaves(lambda leaf: next(pieces).reshape(len(vector), *leaf.shape[1:]), like)


def to_xarray(tree: Any, dims: Sequence[str] = ("batch",)) -> xarray.Dataset:
    """Label a state: one variable a leaf, named by its path.

    Parameters
    ----------
    tree : tree
        A state, or states stacked in time.
    dims : sequence of str
        The names of the leading axes, ``("batch",)`` for a state, ``("batch", "time")`` for stacked states. The
        axes after them are called ``<leaf>_hidden`` (and ``<leaf>_hidden_1`` … for further ones).

    Returns
    -------
    xarray.Dataset

    Examples
    --------
    >>> dict(to_xarray({"h": torch.zeros(2, 3)}).sizes)
    {'batch': 2, 'h_hidden': 3}
    """
    import xarray

    def label(name: str, leaf: Tensor) -> xarray.Variable:
        rest = [f"{name}_hidden" + (f"_{axis}" if axis else "") for axis in range(leaf.dim() - len(dims))]
        return xarray.Variable([*dims, *rest], leaf.detach().cpu().numpy())

    return xarray.Dataset({name or "state": label(name or "state", leaf) for name, leaf in named_leaves(tree)})


def from_xarray(dataset: xarray.Dataset, like: Tree) -> Tree:
    """The inverse of :func:`to_xarray`, in the structure, dtype and device of ``like``."""
    values = [
        torch.as_tensor(dataset[name or "state"].values).to(leaf.device, leaf.dtype)
        for name, leaf in named_leaves(like)
    ]
    pieces = iter(values)
    return map_leaves(lambda _: next(pieces), like)
