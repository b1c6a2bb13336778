"""The linear cells against signal processing: scipy.signal and pandas' exponential average."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import signal
from torch import Tensor

from seqdyn.cells.linear import Linear, LinearState
from seqdyn.cells.moving_average import AverageState, ExponentialMovingAverage, MovingAverage, WindowState
from seqdyn.loops import scan


def step_by_step(cell: Any, x: Tensor, state: Any = None) -> Any:
    """The written step, not the kernel."""
    return scan(cell, x, state, record=lambda x, before, output, after: None)


both_paths = pytest.mark.parametrize("run", [scan, step_by_step], ids=["kernel", "step"])


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def drawn_linear(seed: int = 0) -> Linear:
    """A stable model, with a feedthrough."""
    generator = torch.Generator().manual_seed(seed)
    cell = Linear(2, 4, output_size=3, generator=generator).double()
    torch.nn.init.normal_(cell.feedthrough, generator=generator)
    return cell


@both_paths
@pytest.mark.parametrize("time", [1, 2, 31, 32, 33, 64, 100, 1100])
def test_linear_is_dlsim(run: Any, time: int) -> None:
    """A_control = D, B_control = C, C_control = B, D_control = A and x_0 = h_{-1}; the kernel's blocks hold 32."""
    cell, x, start = drawn_linear(), randn(3, time, 2), randn(3, 4)
    D, C, B, A = (p.detach().numpy() for p in (cell.transition, cell.input_map, cell.readout, cell.feedthrough))
    result = run(cell, x, LinearState(start))
    for row in range(3):
        _, y, states = signal.dlsim((D, C, B, A, 1.0), x[row].numpy(), x0=start[row].numpy())
        np.testing.assert_allclose(result.output[row].detach().numpy(), y, rtol=1e-10, atol=1e-12)
        last = D @ states[-1] + C @ x[row, -1].numpy()  # dlsim's states are those before each step
        np.testing.assert_allclose(result.state.h[row].detach().numpy(), last, rtol=1e-10, atol=1e-12)


def test_linear_impulse_response() -> None:
    """Markov parameters: y_0 = A, y_k = B D^{k-1} C."""
    cell = drawn_linear()
    A, B, C, D = (p.detach() for p in (cell.feedthrough, cell.readout, cell.input_map, cell.transition))
    impulse = torch.zeros(2, 40, 2, dtype=torch.float64)
    impulse[0, 0, 0] = impulse[1, 0, 1] = 1
    response = scan(cell, impulse).output.detach()  # (input, time, outputs)
    expected = torch.stack([A.T, *((B @ torch.linalg.matrix_power(D, k) @ C).T for k in range(39))], 1)
    torch.testing.assert_close(response, expected, rtol=1e-10, atol=1e-12)


def test_linear_starts_stable() -> None:
    """The poles at the start are real and spread from 0.95 down towards 0."""
    poles = torch.linalg.eigvals(Linear(1, 4, generator=torch.Generator().manual_seed(0)).transition.detach().double())
    assert poles.imag.abs().max() < 1e-6
    np.testing.assert_allclose(np.sort(poles.real.numpy()), [0.2375, 0.475, 0.7125, 0.95], atol=1e-5)


@both_paths
@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("time", [1, 3, 40])
def test_moving_average_is_an_fir_filter(run: Any, window: int, time: int) -> None:
    """lfilter with one numerator a feature, from silence and from a known past."""
    cell = MovingAverage(2, window=window, weights="learned").double()
    torch.nn.init.normal_(cell.weight, generator=torch.Generator().manual_seed(3))
    x = randn(3, window - 1 + time, 2)
    past, now = x[:, : window - 1].flip(1), x[:, window - 1 :]  # the register holds the newest first
    expected = np.stack(
        [signal.lfilter(w.detach().numpy(), [1.0], x[..., i].numpy()) for i, w in enumerate(cell.weight)]
    )
    known = run(cell, now, WindowState(past))
    np.testing.assert_allclose(
        known.output.detach().numpy(), expected[..., window - 1 :].transpose(1, 2, 0), atol=1e-12
    )
    np.testing.assert_array_equal(known.state.past, x[:, x.shape[1] - window + 1 :].flip(1))
    silence = run(cell, x).output.detach().numpy()
    np.testing.assert_allclose(silence, expected.transpose(1, 2, 0), atol=1e-12)


@both_paths
def test_uniform_window_is_the_mean(run: Any) -> None:
    """The uniform window is pandas' rolling mean."""
    x = randn(1, 30, 2)
    output = run(MovingAverage(2, window=5).double(), x).output[0].numpy()
    np.testing.assert_allclose(output[4:], pd.DataFrame(x[0].numpy()).rolling(5).mean().to_numpy()[4:], atol=1e-12)


@both_paths
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("time", [1, 63, 64, 65, 200])
def test_exponential_average_is_an_iir_filter(run: Any, learned: bool, time: int) -> None:
    """lfilter([1 − γ], [1, −γ]) from h_{-1}; the kernel's blocks hold 64 steps."""
    cell = ExponentialMovingAverage(2, gamma=0.9, learned=learned).double()
    if learned:
        with torch.no_grad():
            cell.logit.copy_(torch.logit(torch.tensor([0.5, 0.97], dtype=torch.float64)))
    x, h = randn(3, time, 2), 2 * randn(3, 2)
    result = run(cell, x, AverageState(h))
    for feature, gamma in enumerate([0.5, 0.97] if learned else [0.9, 0.9]):
        memory = gamma * h[:, feature : feature + 1].numpy()
        expected, _ = signal.lfilter([1 - gamma], [1, -gamma], x[..., feature].numpy(), zi=memory)
        np.testing.assert_allclose(result.output[..., feature].detach().numpy(), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(result.state.h[:, feature].detach().numpy(), expected[:, -1], rtol=1e-12, atol=1e-12)


@both_paths
@pytest.mark.parametrize("gamma", [0.2, 0.9, 0.999])
def test_exponential_average_is_ewm(run: Any, gamma: float) -> None:
    """pandas' ewm(alpha=1 − γ, adjust=False) starts at x_0."""
    x = randn(1, 150, 2)
    expected = pd.DataFrame(x[0].numpy()).ewm(alpha=1 - gamma, adjust=False).mean().to_numpy()
    output = run(ExponentialMovingAverage(2, gamma=gamma).double(), x, AverageState(x[:, 0])).output
    np.testing.assert_allclose(output[0].numpy(), expected, rtol=1e-12, atol=1e-12)
