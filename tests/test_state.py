"""Trees of tensors: round trips, selection, labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqdyn.state import (
    detach,
    expand,
    flatten,
    from_xarray,
    leaves,
    map_leaves,
    named_leaves,
    select,
    stack,
    to_xarray,
    unflatten,
)

BATCH = 3
quick = settings(max_examples=60, deadline=None, derandomize=True)


class Pair(NamedTuple):
    h: Any
    c: Any


def _tensor(seed: int, shape: list[int]) -> Tensor:
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


shapes = st.lists(st.integers(1, 3), max_size=2)
tensors = st.builds(_tensor, st.integers(0, 1000), shapes)
trees = st.recursive(
    tensors | st.none(),
    lambda inner: (
        st.builds(Pair, inner, inner)
        | st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)
states = trees.filter(lambda tree: bool(leaves(tree)))


def same(one: Any, other: Any) -> bool:
    """Equal in structure and values."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if one is None or other is None:
        return one is other
    if type(one) is not type(other) or len(one) != len(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return all(same(a, b) for a, b in zip(one, other, strict=True))


@quick
@given(trees)
def test_mapping_the_identity_changes_nothing(tree: Any) -> None:
    """map_leaves keeps every branch and its type, empty ones too."""
    assert same(map_leaves(lambda leaf: leaf, tree), tree)


@quick
@given(trees)
def test_maps_compose(tree: Any) -> None:
    """Mapping f and then g is mapping both at once, and a map over two trees sees the same places."""
    twice = map_leaves(lambda leaf: leaf - 1, map_leaves(lambda leaf: 2 * leaf, tree))
    assert same(twice, map_leaves(lambda leaf: 2 * leaf - 1, tree))
    assert same(map_leaves(torch.add, tree, tree), map_leaves(lambda leaf: 2 * leaf, tree))


@quick
@given(states)
def test_flatten_round_trip(tree: Any) -> None:
    """unflatten is the inverse of flatten, both ways round."""
    vector = flatten(tree)
    assert vector.shape == (BATCH, sum(leaf[0].numel() for leaf in leaves(tree)))
    assert same(unflatten(vector, tree), tree)
    assert torch.equal(flatten(unflatten(vector + 1, tree)), vector + 1)


@quick
@given(states)
def test_flatten_of_other_batches(tree: Any) -> None:
    """``like`` gives the structure only: the vector decides how many rows there are."""
    vector = flatten(tree)
    assert same(unflatten(vector[:1], tree), map_leaves(lambda leaf: leaf[:1], tree))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_flatten_round_trip_of_an_empty_leaf(shape: tuple[int, ...]) -> None:
    """A leaf without numbers, as the register of a window of one step, survives beside others and alone."""
    for tree in ((torch.zeros(BATCH, *shape),), (torch.zeros(BATCH, *shape), torch.ones(BATCH, 2))):
        assert same(unflatten(flatten(tree), tree), tree)


def test_flatten_of_a_leaf_without_axes() -> None:
    """A leaf (batch,) is one number a row."""
    tree = Pair(torch.arange(3.0), torch.zeros(3, 2))
    assert flatten(tree).tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0]]
    assert same(unflatten(flatten(tree), tree), tree)


def test_flatten_keeps_the_order_of_the_leaves() -> None:
    """Leaves one after the other, each in the order of its memory."""
    tree = (torch.tensor([[1.0, 2.0]]), {"b": torch.tensor([[[3.0, 4.0], [5.0, 6.0]]]), "a": torch.tensor([[7.0]])})
    assert flatten(tree).tolist() == [[1, 2, 3, 4, 5, 6, 7]]


@quick
@given(trees)
def test_names_are_unique_paths(tree: Any) -> None:
    """Every leaf has its own path, in the order of ``leaves``."""
    found = list(named_leaves(tree, "state"))
    assert len({name for name, _ in found}) == len(found)
    assert all(name.startswith("state") for name, _ in found)
    assert all(leaf is other for (_, leaf), other in zip(found, leaves(tree), strict=True))


def test_names() -> None:
    """Fields, keys and positions, joined by dots."""
    tree = (Pair(torch.zeros(1), None), {"a": [torch.zeros(1)]})
    assert [name for name, _ in named_leaves(tree)] == ["0.h", "1.a.0"]
    assert [name for name, _ in named_leaves(torch.zeros(1))] == [""]
    assert [name for name, _ in named_leaves(None)] == []


@quick
@given(states, st.lists(st.booleans(), min_size=BATCH, max_size=BATCH))
def test_select_takes_rows(tree: Any, condition: list[bool]) -> None:
    """Each row comes whole from one of the two trees."""
    other = map_leaves(lambda leaf: leaf + 1, tree)
    chosen = select(torch.tensor(condition), tree, other)
    for row, first in enumerate(condition):
        expected = tree if first else other
        assert same(
            map_leaves(lambda leaf, row=row: leaf[row], chosen), map_leaves(lambda leaf, row=row: leaf[row], expected)
        )


@quick
@given(states, st.integers(1, 4))
def test_stack_is_undone_by_indexing(tree: Any, time: int) -> None:
    """States stacked in time: (batch, time, …), each found again at its step."""
    sequence = [map_leaves(lambda leaf, t=t: leaf + t, tree) for t in range(time)]
    joined = stack(sequence)
    assert all(leaf.shape[:2] == (BATCH, time) for leaf in leaves(joined))
    for t, one in enumerate(sequence):
        assert same(map_leaves(lambda leaf, t=t: leaf[:, t], joined), one)


def test_detach_ends_gradients() -> None:
    """The same values without history."""
    weight = torch.ones(2, 3, requires_grad=True)
    tree = Pair(2 * weight, None)
    assert not detach(tree).h.requires_grad
    assert torch.equal(detach(tree).h, tree.h)


def test_expand_repeats_without_copying() -> None:
    """One row becomes many that share its memory; gradients add up."""
    row = torch.tensor([[1.0, 2.0]], requires_grad=True)
    many = expand(Pair(row, None), 4)
    assert many.h.tolist() == [[1.0, 2.0]] * 4
    assert many.h.data_ptr() == row.data_ptr()
    many.h.sum().backward()
    assert row.grad.tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize(
    "other", [(torch.zeros(2, 1),), [torch.zeros(2, 1)] * 3, {"a": torch.zeros(2, 1)}], ids=["short", "long", "dict"]
)
def test_trees_of_unlike_structure_are_refused(other: Any) -> None:
    """Trees that do not match raise, instead of dropping leaves."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        map_leaves(torch.add, {"b": torch.zeros(2, 1)} if isinstance(other, dict) else (torch.zeros(2, 1),) * 2, other)


def test_xarray_names_and_dims() -> None:
    """One variable a leaf; the leading axes as given, the others named after their leaf."""
    state = (Pair(torch.ones(2, 3), torch.zeros(2, 4, 5)),)
    labelled = to_xarray(state)
    assert set(labelled.data_vars) == {"0.h", "0.c"}
    assert labelled["0.h"].dims == ("batch", "0.h_hidden")
    assert labelled["0.c"].dims == ("batch", "0.c_hidden", "0.c_hidden_1")
    in_time = to_xarray(stack([state, state]), dims=("batch", "time"))
    assert in_time["0.h"].dims == ("batch", "time", "0.h_hidden")
    assert list(to_xarray(torch.zeros(2, 3)).data_vars) == ["state"]


@quick
@given(states)
def test_xarray_round_trip(tree: Any) -> None:
    """Out to xarray and back: structure, dtype and values are as before."""
    assert same(from_xarray(to_xarray(tree), tree), tree)


def test_xarray_leaves_gradients_behind_and_takes_the_dtype_of_like() -> None:
    """A state with history can be labelled; coming back it has the dtype that is asked for."""
    tree = Pair(torch.ones(2, 3, requires_grad=True) * 2, torch.zeros(2, 1))
    labelled = to_xarray(tree)
    np.testing.assert_array_equal(labelled["h"].values, np.full((2, 3), 2.0))
    back = from_xarray(labelled, map_leaves(Tensor.double, tree))
    assert back.h.dtype == torch.float64 and not back.h.requires_grad
