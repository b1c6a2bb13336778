"""Models of growing freedom on one split: does the nonlinearity pay?

A heater's power goes with the square of its voltage, so that y = (linear dynamics) of u². No linear model of u can
follow that, and the GRU's free-run error is far smaller. Given u² as its input, the linear model is the truth: now
nothing is left for the network to find. The interval is a block bootstrap's.
"""

import numpy as np

import seqdyn
from seqdyn.reports.comparison import compare_models


def heater(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Voltages (time, 1) that change every five steps, and the temperature (time,), measured with noise 0.05."""
    generator = np.random.default_rng(0)
    voltage, level = np.repeat(generator.uniform(-1.0, 2.0, steps // 5), 5), np.zeros(steps)
    for t in range(1, steps):
        level[t] = 0.8 * level[t - 1] + 0.2 * voltage[t] ** 2
    return voltage[:, None], level + 0.05 * generator.normal(size=steps)


def main() -> None:
    u, y = heater(500)
    models = {
        "moving average": seqdyn.MovingAverageRegressor(window=20, weights="learned"),
        "persistence": "persistence",
        "ARX": seqdyn.ARXRegressor(),
        "linear state space": seqdyn.LinearStateSpaceRegressor(order=2),
        "GRU": seqdyn.GRURegressor(hidden_size=8, max_epochs=150, schedule="cosine"),
    }
    options = {"models": models, "horizons": (1, 5, 20), "window": 40, "seeds": 2}

    print("Input: the voltage")
    by_voltage = compare_models(u, y, **options)
    print(by_voltage)
    assert by_voltage.verdict.startswith("Yes: GRU")
    assert by_voltage.improvement.low > 0.4

    print("\nInput: its square")
    by_power = compare_models(u**2, y, **options | {"seeds": 1})
    print(by_power.verdict)
    assert not by_power.verdict.startswith("Yes")
    assert by_power.error("linear state space") < 0.06  # the noise is 0.05


if __name__ == "__main__":
    main()
