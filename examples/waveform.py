"""A tone, sample by sample: from 100 ms of a plucked string a linear model hears its partials and plays on.

A string sounds as a sum of partials that die away at different rates: each sample is a fixed combination of those
before it. A regression on the last 60 finds it; then it hears itself, for 200 ms. An LSTM does not hear that finely.
"""

import numpy as np

from seqdyn import ARXRegressor, LSTMRegressor

RATE, PITCH, PARTIALS = 4000, 196.0, 6  # samples a second, Hz


def string(seconds: float, seed: int) -> np.ndarray:
    """A plucked string: partial n has the frequency n f √(1 + B n²), dies away faster, and begins at a drawn phase."""
    t, n = np.arange(int(seconds * RATE)) / RATE, np.arange(1, PARTIALS + 1)[:, None]
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, n.shape)
    waves = np.exp(-(2.0 + 1.5 * n) * t) * np.sin(2 * np.pi * n * PITCH * np.sqrt(1 + 4e-4 * n**2) * t + phase) / n
    return waves.sum(0)


def signal_to_noise(played: np.ndarray, true: np.ndarray) -> float:
    """In dB."""
    return float(10 * np.log10((true**2).sum() / ((played - true) ** 2).sum()))


def main() -> None:
    sound = string(0.3, seed=0) + 1e-4 * np.random.default_rng(1).normal(size=int(0.3 * RATE))
    heard = int(0.1 * RATE)
    X, y = sound[: heard - 1, None], sound[1:heard]
    found = {}
    training = {"max_epochs": 150, "learning_rate": 1e-2, "schedule": "cosine", "random_state": 0}
    models = {
        "linear, 60 lags": ARXRegressor(output_lags=0, input_lags=60),
        "LSTM, 32 units": LSTMRegressor(hidden_size=32, **training),
    }
    for name, model in models.items():
        stream = model.fit(X, y).stream()
        for sample in sound[:heard]:
            following = stream.push([sample])
        played = np.concatenate([[following], np.ravel(stream.forecast(len(sound) - heard - 1))])
        found[name] = signal_to_noise(played, sound[heard:])
        print(f"{name}: 200 ms from {heard} samples at {found[name]:5.1f} dB")
    assert found["linear, 60 lags"] > 20 and found["linear, 60 lags"] > found["LSTM, 32 units"]


if __name__ == "__main__":
    main()
