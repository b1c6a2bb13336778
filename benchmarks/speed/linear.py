"""How fast are linear systems, beside scipy and statsmodels?

Order 8, one input and one output, float64. All states of 10⁵ steps, beside ``scipy.signal.dlsim`` (10⁴ steps, scaled
up); outputs alone, beside ``scipy.signal.lfilter``; the gradient of a free run by all matrices, beside autograd through
a torch loop (10⁴ steps, scaled up); and one-step predictions of the steady-state Kalman filter, which is a linear
system itself, beside ``statsmodels``' filter, which also computes covariances. Results are checked to agree first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import signal
from scipy.linalg import solve_discrete_are
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter
from torch import Tensor

from benchmarks.speed.protocol import Case, Comparison, Measured, Row, fresh, interleave, timed
from seqdyn.kernels.linear import linear_recurrence, linear_states

ORDER, STEPS, FEW = 8, 10**5, 10**4
TOLERANCE = 1e-8


def measure(quick: bool, threads: int) -> list[Row]:
    """All questions in one fresh process."""
    return [Row.read(row) for row in fresh(in_one_process, threads=threads, rounds=3 if quick else 11)]


def in_one_process(rounds: int) -> list[dict[str, object]]:
    """The questions one after another, as stored rows."""
    return [interleave(case, rounds, seed=0).stored() for case in cases()]


def cases() -> Iterator[Case]:
    """One case a question."""
    random = np.random.default_rng(0)
    A, B, C, D = (random.normal(size=shape) for shape in ((1, 1), (1, ORDER), (ORDER, 1), (ORDER, ORDER)))
    D *= 0.95 / np.abs(np.linalg.eigvals(D)).max()
    x = random.normal(size=(STEPS, 1))
    for question in (states, outputs, gradient, kalman):
        yield question(x, A, B, C, D)


def states(x: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray) -> Case:
    """h_t = D h_{t-1} + C x_t, all of them."""
    inputs, start = torch.from_numpy(x)[None], torch.zeros(1, ORDER, dtype=torch.float64)
    matrices = torch.from_numpy(C), torch.from_numpy(D)
    control, few = (D, C, np.eye(ORDER), np.zeros((ORDER, 1)), 1.0), x[:FEW]
    contestants = {
        "seqdyn": lambda: linear_states(inputs, start, *matrices)[0][0, : FEW - 1],
        "scipy dlsim": lambda: signal.dlsim(control, few)[1][1:],
    }
    apart = agree(contestants)
    labels = {"question": f"all states, {STEPS:,} steps"}
    turns = {"seqdyn": timed(contestants["seqdyn"]), "scipy dlsim": scaled(timed(contestants["scipy dlsim"]))}
    return Case(labels, turns, (Comparison("seqdyn", "scipy dlsim"),), {"difference": apart})


def outputs(x: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray) -> Case:
    """y_t = A x_t + B h_{t-1} alone."""
    inputs, start = torch.from_numpy(x)[None], torch.zeros(1, ORDER, dtype=torch.float64)
    matrices = [torch.from_numpy(matrix) for matrix in (A, B, C, D)]
    numerator, denominator = signal.ss2tf(D, C, B, A)
    contestants = {
        "seqdyn": lambda: linear_recurrence(inputs, start, *matrices)[0][0, :, 0],
        "scipy lfilter": lambda: signal.lfilter(numerator[0], denominator, x[:, 0]),
    }
    labels, facts = {"question": f"outputs, {STEPS:,} steps"}, {"difference": agree(contestants)}
    turns = {name: timed(call) for name, call in contestants.items()}
    return Case(labels, turns, (Comparison("seqdyn", "scipy lfilter"),), facts)


def gradient(x: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray) -> Case:
    """Of the mean squared error of a free run, by h_{-1}, A, B, C and D."""
    inputs = torch.from_numpy(x)[None]
    leaves = [torch.from_numpy(value) for value in (np.ones((1, ORDER)), A, B, C, D)]
    few = inputs[:, :FEW]
    contestants = {
        "seqdyn": lambda: gradients(linear_recurrence, few, leaves),
        "torch loop": lambda: gradients(torch_loop, few, leaves),
    }
    labels, facts = {"question": f"gradient, {STEPS:,} steps"}, {"difference": agree(contestants)}
    ours = timed(lambda: gradients(linear_recurrence, inputs, leaves))
    turns = {"seqdyn": ours, "torch loop": scaled(timed(contestants["torch loop"]))}
    return Case(labels, turns, (Comparison("seqdyn", "torch loop"),), facts)


def kalman(x: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray) -> Case:
    """ŷ_t = B h_{t-1},  h_t = D h_{t-1} + K (y_t − ŷ_t): the predictions of the steady state, of data x."""
    noise, variance = C @ C.T, np.eye(1)
    covariance = solve_discrete_are(D.T, B.T, noise, variance)
    gain = D @ covariance @ B.T / (B @ covariance @ B.T + variance)
    data, start = torch.from_numpy(x)[None], torch.zeros(1, ORDER, dtype=torch.float64)
    matrices = [torch.from_numpy(value) for value in (np.zeros((1, 1)), B, gain, D - gain @ B)]
    peer = KalmanFilter(k_endog=1, k_states=ORDER, design=B, transition=D, selection=np.eye(ORDER))
    peer["state_cov"], peer["obs_cov"] = noise, variance
    peer.bind(x.copy())
    peer.initialize_known(np.zeros(ORDER), covariance)
    contestants = {
        "seqdyn": lambda: linear_recurrence(data, start, *matrices)[0][0, :, 0],
        "statsmodels": lambda: peer.filter().forecasts[0],
    }
    labels, facts = {"question": f"predictions of a Kalman filter, {STEPS:,} steps"}, {"difference": agree(contestants)}
    turns = {name: timed(call) for name, call in contestants.items()}
    return Case(labels, turns, (Comparison("seqdyn", "statsmodels"),), facts)


def scaled(turn: Callable[[], Measured]) -> Callable[[], Measured]:
    """What all steps would take, from what a few take."""
    return lambda: {name: value * STEPS / FEW for name, value in turn().items()}


def torch_loop(x: Tensor, h: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """The step as it is written, for autograd."""
    found = []
    for x_t in x.unbind(1):
        found.append(x_t @ A.T + h @ B.T)
        h = x_t @ C.T + h @ D.T
    return torch.stack(found, 1), h


def gradients(recurrence: Callable[..., tuple[Tensor, Tensor]], x: Tensor, leaves: list[Tensor]) -> Tensor:
    """All gradients in one row; the target is x turned around."""
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    loss = (recurrence(x, *leaves)[0] - x.flip(1)).square().mean()
    return torch.cat([found.flatten() for found in torch.autograd.grad(loss, leaves)])


def agree(contestants: dict[str, Callable[[], object]]) -> float:
    """How far the two lie apart, relative to the largest value."""
    ours, peer = (np.asarray(call()) for call in contestants.values())
    apart = float(np.abs(ours - peer).max() / np.abs(peer).max())
    if not apart <= TOLERANCE:
        raise AssertionError(f"{' and '.join(contestants)} lie {apart:.1e} apart, more than {TOLERANCE}.")
    return apart
