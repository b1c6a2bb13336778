"""Stable transitions: moving eigenvalues inside the unit circle, and coordinates that keep them there.

    D = r E⁻¹ F        E = ½ (H11 + H22 + Y − Yᵀ),  F = H21,  [H11 H21ᵀ; H21 H22] = WᵀW + εI

Every W (2n × 2n) and Y (n × n) give a D with spectral radius below r, and every such D is reached: a step in W and Y is
free, and the model stays stable without losing a single one of them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import schur
from torch import Tensor

from seqdyn.arrays import Array

LEAST_WEIGHT = 1e-9
"""ε, in a scale in which the trace of H is about 1."""


class Contraction(NamedTuple):
    """The coordinates of a stable transition: ``W`` (2n, 2n) and ``Y`` (n, n), and the ``limit`` r of its radius."""

    W: Tensor
    Y: Tensor
    limit: float = 1.0


def largest_modulus(transition: Array) -> float:
    """The largest modulus of the eigenvalues; 0 of an empty matrix."""
    return float(np.abs(np.linalg.eigvals(transition)).max(initial=0.0))


def pulled_inside(transition: Array, limit: float) -> Array:
    """The transition with every eigenvalue of a modulus above ``limit`` moved to it, angles and Schur vectors kept.

    Ljung (1999), System Identification, section 10.6, for what is done to unstable predictors.
    """
    triangle, vectors = schur(transition)
    borders = np.flatnonzero(np.concatenate([[True], np.diag(triangle, -1) == 0, [True]]))
    for first, last in pairwise(borders.tolist()):
        block = triangle[first:last, first:last]
        block *= min(1.0, limit / max(largest_modulus(block), np.finfo(np.float64).tiny))
    moved: Array = vectors @ triangle @ vectors.T
    return moved


def contraction(transition: Array, limit: float = 1.0) -> Contraction:
    """Coordinates W and Y of a transition r D of radius below the limit r: H = [P (PD)ᵀ; PD P] with DᵀPD − P = −I."""
    if largest_modulus(transition) >= limit:
        raise ValueError(
            f"The transition has spectral radius {largest_modulus(transition):.6g}, not below {limit:.6g}."
        )
    transition = transition / limit
    order = len(transition)
    weight = _lyapunov(transition)
    weight = weight / np.trace(weight)
    moved = weight @ transition
    square = np.block([[weight, moved.T], [moved, weight]]) - LEAST_WEIGHT * np.eye(2 * order)
    values, vectors = np.linalg.eigh((square + square.T) / 2)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return Contraction(torch.as_tensor(root), torch.zeros(order, order, dtype=torch.float64), limit)


def _lyapunov(transition: Array) -> Array:
    """P of DᵀPD − P = −I, as Σ_k (Dᵀ)^k D^k summed in doubling stretches (Smith 1968)."""
    weight, power = np.eye(len(transition)), transition
    while (step := power.T @ weight @ power).any() and np.isfinite(step).all():
        before, weight, power = weight, weight + step, power @ power
        if np.array_equal(before, weight):
            break
    return weight


def transition_of(coordinates: Contraction) -> Tensor:
    """D = r E⁻¹ F.

    Revay, Wang & Manchester (2021), A Convex Parameterization of Robust Recurrent Neural Networks, for E and F.
    """
    E, F = _pencil(coordinates)
    return coordinates.limit * torch.linalg.solve_ex(E, F).result


def _pencil(coordinates: Contraction) -> tuple[Tensor, Tensor]:
    """E and F."""
    W, Y, _ = coordinates
    order = len(Y)
    square = W.T @ W + LEAST_WEIGHT * torch.eye(2 * order, dtype=W.dtype)
    return (square[:order, :order] + square[order:, order:] + Y - Y.T) / 2, square[order:, :order]


def tangent(coordinates: Contraction) -> Array:
    """∂ vec D / ∂ (vec W, vec Y), row by row, (n², 5n²): dD = r E⁻¹ (dF − dE E⁻¹ F) with dH = dWᵀ W + Wᵀ dW."""
    W, limit, order = coordinates.W.numpy(), coordinates.limit, len(coordinates.Y)
    unit = np.eye(2 * order)
    half = np.einsum("ja,ib->ijab", unit, W)  # dWᵀ W for a step of W_ij
    square = (half + half.swapaxes(2, 3)).reshape(-1, 2 * order, 2 * order)
    small = np.eye(order * order).reshape(-1, order, order)
    of_e = np.concatenate([square[:, :order, :order] + square[:, order:, order:], small - small.swapaxes(1, 2)]) / 2
    of_f = np.concatenate([square[:, order:, :order], np.zeros_like(small)])
    E, F = (part.numpy() for part in _pencil(coordinates))
    moved = limit * np.linalg.solve(E, of_f - of_e @ np.linalg.solve(E, F))
    return np.ascontiguousarray(moved.reshape(len(moved), -1).T)
