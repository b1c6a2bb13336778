"""The moving average in its two forms, and what sets them apart: how long an input is remembered.

The window, y_t = (x_t + x_{t-1} + … + x_{t-K+1}) / K, has no memory but the last K − 1 inputs: its response to one
impulse is over after K steps. The filter, y_t = h_t with h_t = γ h_{t-1} + (1 − γ) x_t, keeps one number, and its
response (1 − γ) γ^k never ends. Both are compared with their closed forms on the yearly sunspot numbers.
"""

import numpy as np
import torch

import seqdyn
from seqdyn.datasets import load_sunspots

WINDOW, GAMMA = 4, 0.8


def main() -> None:
    window = seqdyn.MovingAverage(1, window=WINDOW).double()
    average = seqdyn.ExponentialMovingAverage(1, gamma=GAMMA).double()

    impulse = torch.zeros(1, 12, 1, dtype=torch.float64)  # (batch, time, inputs)
    impulse[0, 0, 0] = 1.0
    finite = seqdyn.scan(window, impulse).output.flatten().numpy()
    infinite = seqdyn.scan(average, impulse).output.flatten().numpy()
    print("The answer to one impulse")
    print("  steps after it    ", *(f"{k:6d}" for k in range(7)))
    print("  window            ", *(f"{value:6.3f}" for value in finite[:7]))
    print("  stateful filter   ", *(f"{value:6.3f}" for value in infinite[:7]))
    lags = np.arange(12)
    np.testing.assert_allclose(finite, (lags < WINDOW) / WINDOW, atol=1e-15)
    np.testing.assert_allclose(infinite, (1 - GAMMA) * GAMMA**lags, atol=1e-15)

    x = load_sunspots()["sunspots"]
    series = torch.tensor(x.to_numpy()).view(1, -1, 1)
    windowed = seqdyn.scan(window, series).output.flatten().numpy()
    filtered = seqdyn.scan(average, series).output.flatten().numpy()
    # pandas' ewm starts from the first value; so does the cell, if that is its state before the first step
    first = average.initial_state(1)._replace(h=series[:, 0])
    from_first = seqdyn.scan(average, series, first).output.flatten().numpy()
    differences = {
        "window against pandas.rolling": np.abs(windowed - x.rolling(WINDOW).mean())[WINDOW - 1 :].max(),
        "filter against pandas.ewm": np.abs(from_first - x.ewm(alpha=1 - GAMMA, adjust=False).mean()).max(),
    }
    print("Largest difference on the sunspots")
    for name, difference in differences.items():
        print(f"  {name:30s} {difference:.1e}")
        assert difference < 1e-11

    # where h_0 was a guess, it matters for as long as γ^t is not small
    gap = np.abs(from_first - filtered)
    np.testing.assert_allclose(gap, x.iloc[0] * GAMMA ** np.arange(1, len(x) + 1), atol=1e-11)
    print(f"Starting from 0 instead of {x.iloc[0]:.0f} costs {gap[0]:.2f} at the first step, {gap[19]:.3f} at the 20th")


if __name__ == "__main__":
    main()
