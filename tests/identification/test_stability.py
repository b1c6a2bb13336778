"""The coordinates of stable transitions reach all of them and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdyn.identification.stability import (
    Contraction,
    contraction,
    largest_modulus,
    pulled_inside,
    tangent,
    transition_of,
)

Array = np.ndarray[Any, Any]


def drawn(order: int, radius: float, seed: int = 0) -> Array:
    """A random transition with this spectral radius."""
    transition = np.random.default_rng([seed, order]).normal(size=(order, order))
    return radius / largest_modulus(transition) * transition


@pytest.mark.parametrize("radius", [0.1, 0.9, 0.999])
@pytest.mark.parametrize("order", range(1, 11))
def test_every_stable_transition_has_coordinates(order: int, radius: float) -> None:
    """Measured: off by 1e-14 at a radius of 0.9, by 2e-12 at 0.999, where the coordinates are worse conditioned."""
    for seed in range(3):
        transition = drawn(order, radius, seed)
        np.testing.assert_allclose(transition_of(contraction(transition)), transition, atol=1e-10)


@given(order=st.integers(1, 8), seed=st.integers(0, 2**32 - 1), size=st.floats(-4, 4), turn=st.floats(-4, 4))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_all_coordinates_give_stable_transitions(order: int, seed: int, size: float, turn: float) -> None:
    """Whatever their sizes: 10^size and 10^turn."""
    random = np.random.default_rng(seed)
    W, Y = 10**size * random.normal(size=(2 * order, 2 * order)), 10**turn * random.normal(size=(order, order))
    transition = transition_of(Contraction(torch.as_tensor(W), torch.as_tensor(Y))).numpy()
    assert largest_modulus(transition) < 1


@pytest.mark.parametrize("limit", [0.5, 0.99])
def test_a_lower_limit_is_kept_too(limit: float) -> None:
    """Coordinates of a transition below it are its own, others stay below it; one at it has none."""
    transition = drawn(4, 0.9 * limit)
    coordinates = contraction(transition, limit)
    np.testing.assert_allclose(transition_of(coordinates), transition, atol=1e-12)
    random = np.random.default_rng(0)
    for size in (0.1, 10.0):
        moved = coordinates.W + size * torch.as_tensor(random.normal(size=(8, 8)))
        assert largest_modulus(transition_of(coordinates._replace(W=moved)).numpy()) < limit
    with pytest.raises(ValueError, match="not below"):
        contraction(drawn(4, 1.0001 * limit), limit)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_the_tangent_is_the_derivative(order: int) -> None:
    coordinates = contraction(drawn(order, 0.9), 0.98)
    step, length = np.random.default_rng(1).normal(size=5 * order**2), 1e-6
    by_w, by_y = (torch.as_tensor(part) for part in np.split(length * step, [4 * order**2]))
    W, Y, limit = coordinates
    ahead, behind = (
        transition_of(Contraction(W + sign * by_w.view_as(W), Y + sign * by_y.view_as(Y), limit)).numpy()
        for sign in (1, -1)
    )
    np.testing.assert_allclose(tangent(coordinates) @ step, ((ahead - behind) / (2 * length)).ravel(), atol=1e-7)


@pytest.mark.parametrize("order", [1, 2, 4, 7])
def test_a_step_goes_in_every_direction(order: int) -> None:
    """The tangent has full rank: no stable neighbour is out of reach."""
    assert np.linalg.matrix_rank(tangent(contraction(drawn(order, 0.9)))) == order**2


def test_a_transition_outside_has_no_coordinates() -> None:
    with pytest.raises(ValueError, match=r"spectral radius 1\.02, not below 1"):
        contraction(np.diag([1.02, 0.5]))


# -------------------------------------------------------------------- moving inside


@pytest.mark.parametrize("order", [1, 2, 3, 6, 10])
def test_stable_transitions_stay_where_they_are(order: int) -> None:
    transition = drawn(order, 0.95)
    np.testing.assert_allclose(pulled_inside(transition, 0.95 + 1e-9), transition, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("skew", [0.0, 1.0, 4.0])
def test_eigenvalues_outside_move_to_the_limit_and_no_others(order: int, skew: float) -> None:
    """Their angles stay, also where the eigenvectors are far from orthogonal; compared by their polynomial."""
    for seed in range(20):
        basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(order, order)))
        skewed = drawn(order, 1.0, seed) + skew * np.triu(drawn(order, 1.0, seed + 99), 1)
        transition = 1.2 / largest_modulus(skewed) * basis @ skewed @ basis.T
        before = np.linalg.eigvals(transition)
        moved = pulled_inside(transition, 0.99)
        assert largest_modulus(moved) < 0.9901
        expected = np.poly(before * np.minimum(1.0, 0.99 / np.abs(before)))
        np.testing.assert_allclose(np.poly(moved), expected, atol=1e-9)


def test_modes_are_kept() -> None:
    """One pair outside and one inside, in an orthogonal basis: the planes they turn in stay."""
    angle, basis = 0.7, np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    blocks = [np.kron(np.diag(moduli), turn) for moduli in ([1.1, 0.8], [0.95, 0.8])]
    before, after = (basis @ block @ basis.T for block in blocks)
    np.testing.assert_allclose(pulled_inside(before, 0.95), after, atol=1e-12)


def test_the_radius_of_nothing_is_0() -> None:
    assert largest_modulus(np.zeros((0, 0))) == 0.0
