"""Subspace identification: the state is what the past says about the future.

    Y_f = Γ X + …        Γ = [B; BD; BD²; …]

The part of the future outputs that the past explains, beyond what the future inputs do, has the range of the extended
observability matrix Γ. Its singular values show the order; its shift invariance gives B and D, x → h and x → y follow
by least squares (:mod:`seqdyn.identification.sensitivity`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.identification.hankel import Factor

WEIGHTINGS = ("cva", "n4sid", "moesp")


@dataclass(frozen=True)
class Subspace:
    """The range of Γ, one of its ``directions`` (future · outputs, candidates) for every candidate of a state.

    Γ is the first ``order`` of them. ``singular_values`` are those of the weighted projection, largest first; with
    "cva" canonical correlations in [0, 1].
    """

    singular_values: Array
    directions: Array
    outputs: int

    @property
    def largest_order(self) -> int:
        """The largest order that the horizon can resolve."""
        return int(min(len(self.directions) - self.outputs, len(self.singular_values)))

    def readout(self, order: int) -> Array:
        """B of a model of this order: the first block of Γ."""
        return self.directions[: self.outputs, :order]

    def transition(self, order: int) -> Array:
        """D by shift invariance: Γ without its last block, times D, is Γ without its first."""
        observability = self.directions[:, :order]
        moved: Array = np.linalg.lstsq(observability[: -self.outputs], observability[self.outputs :], rcond=None)[0]
        return moved

    def stable_transition(self, order: int) -> Array:
        """D = Γ⁺ [Γ moved up by one block; 0], which is stable, with ΓᵀΓ for a Lyapunov function, and forgets sooner.

        Maciejowski (1995), Guaranteed stability with subspace methods.
        """
        observability = self.directions[:, :order]
        moved = np.vstack([observability[self.outputs :], np.zeros((self.outputs, order))])
        solution: Array = np.linalg.lstsq(observability, moved, rcond=None)[0]
        return solution


def subspace(data: Factor, weighting: str) -> Subspace:
    """The subspace of the states, in one of the three classical weightings.

    The singular value decomposition is taken of Σ^{-1/2} L32 with Σ = L32 L32ᵀ + L33 L33ᵀ ("cva", Larimore 1990), of
    the oblique projection L32 L22⁺ [L21 L22] ("n4sid", Van Overschee & De Moor 1994), or of L32 ("moesp", Verhaegen
    1994).
    """
    seen = data.block(3, 2)
    if weighting == "cva":
        root = _floored_root(seen @ seen.T + data.block(3, 3) @ data.block(3, 3).T)
        weighted = np.linalg.solve(root, seen)
    elif weighting == "n4sid":
        root = np.eye(len(seen))
        past = np.hstack([data.block(2, 1), data.block(2, 2)])
        weighted = seen @ np.linalg.pinv(data.block(2, 2), rcond=1e-9) @ past
    else:
        root, weighted = np.eye(len(seen)), seen
    left, values, _ = np.linalg.svd(weighted, full_matrices=False)
    return Subspace(values, root @ (left * np.sqrt(values)), data.outputs)


def predictor_subspace(data: Factor, feedthrough: bool) -> Subspace:
    """The subspace of the predictor's states, which feedback from outputs to inputs does not distort.

        y_t = A x_t + Σ_i Φ_i [x_{t-i}; y_{t-i}] + e_t
        y_{t+i} − A x_{t+i} − Σ_{k≤i} Φ_k [x_{t+i-k}; y_{t+i-k}] = B D̄^i h_{t-1} + e_{t+i}

    A long autoregression takes out what the future inputs and outputs do themselves; without ``feedthrough`` A is 0.
    What is left has the range of [B; BD̄; BD̄²; …] with D̄ = D − K B, and is seen from the past by canonical
    correlation. Jansson (2003), Subspace identification and ARX modeling.
    """
    inputs, outputs, future = data.inputs, data.outputs, data.future
    x_future = data.lower[: future * inputs].reshape(future, inputs, data.lower.shape[1])
    past = data.lower[future * inputs : -future * outputs]
    y_future = data.lower[-future * outputs :].reshape(future, outputs, data.lower.shape[1])
    at_once = x_future[0] if feedthrough else x_future[0, :0]
    solution = np.linalg.lstsq(np.vstack([at_once, past]).T, y_future[0].T, rcond=1e-9)[0].T
    direct = np.zeros((outputs, inputs))
    direct[:, : len(at_once)] = solution[:, : len(at_once)]
    of_x, of_y = np.split(solution[:, len(at_once) :], [data.past * inputs], axis=1)
    by_lag = np.concatenate(
        [of_x.reshape(outputs, data.past, inputs), of_y.reshape(outputs, data.past, outputs)], axis=2
    )[:, ::-1]
    left = [y - direct @ x for x, y in zip(x_future, y_future, strict=True)]
    for begin in range(future - 1):
        seen = np.vstack([x_future[begin], y_future[begin]])
        for lag in range(1, min(future - begin, data.past + 1)):
            left[begin + lag] = left[begin + lag] - by_lag[:, lag - 1] @ seen
    return _correlated(np.vstack(left), past, outputs)


def _correlated(future: Array, past: Array, outputs: int) -> Subspace:
    """The directions in which the past tells most of the future, by canonical correlation."""
    basis = torch.linalg.qr(torch.as_tensor(past.T), mode="reduced").Q.numpy()
    root = _floored_root(future @ future.T)
    left, values, _ = np.linalg.svd(np.linalg.solve(root, future @ basis), full_matrices=False)
    return Subspace(values, root @ (left * np.sqrt(values)), outputs)


def realisation(data: Factor) -> Subspace:
    """The same from the impulse response, for inputs that hold the last outputs: nothing but them is regressed on.

        y_t ≈ Σ_k G_k x_{t-k}        [G_1 G_2 …; G_2 G_3 …; …] = Γ [C, DC, …]

    Ho & Kálmán (1966); Kung (1978), A new identification and model reduction algorithm via singular value
    decompositions.
    """
    future, past, inputs, outputs = data.future, data.past, data.inputs, data.outputs
    known = data.lower[: (future + past) * inputs]
    response = np.linalg.lstsq(known.T, data.lower[-outputs:].T, rcond=1e-9)[0].T.reshape(outputs, -1, inputs)
    lags = np.concatenate([response[:, :future][:, ::-1], response[:, future:][:, ::-1]], axis=1)
    rows, columns = future, lags.shape[1] - future
    blocks = [[lags[:, row + column + 1] for column in range(columns)] for row in range(rows)]
    left, values, _ = np.linalg.svd(np.block(blocks), full_matrices=False)
    return Subspace(values, left * np.sqrt(values), outputs)


def _floored_root(covariance: Array) -> Array:
    """The symmetric square root, with a floor that keeps noise-free data regular."""
    values, vectors = (part.numpy() for part in torch.linalg.eigh(torch.as_tensor(covariance)))
    floor = 1e-10 * max(float(values.sum()), np.finfo(np.float64).tiny)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0.0) + floor)) @ vectors.T
    return root


def noise_markov(data: Factor) -> Array:
    """[I; BK; BDK; …]: how the outputs go on after a one-step error, from what the past does not explain."""
    unexplained = data.block(3, 3)[:, : data.outputs]
    markov: Array = np.linalg.lstsq(unexplained[: data.outputs].T, unexplained.T, rcond=None)[0].T
    return markov
