"""A trained network is a linear system near an operating point, and another one near another point.

The data are of a store with a saturating outflow, h_t = h_{t-1} + (x_t − tanh h_{t-1}) / 4: the fuller, the slower. At
rest under an input x its pole is 1 − (1 − x²) / 4, its gain 1 / (1 − x²). A GRU that saw only inputs and outputs has
eight states of its own. Linearised at two inputs its single poles are others than the store's (zeros beside them take
most of their effect away), but what they make up is the same: the gain, and the time it takes to answer.
"""

import numpy as np

from seqdyn import GRURegressor
from seqdyn.estimators.linearise import linearise
from seqdyn.identification.system import LinearSystem


def simulate(x: np.ndarray) -> np.ndarray:
    """The store, from empty, over inputs (series, time)."""
    h, levels = np.zeros(len(x)), []
    for x_t in x.T:
        h = h + (x_t - np.tanh(h)) / 4
        levels.append(h)
    return np.stack(levels, axis=1)


def store_near(x: float) -> LinearSystem:
    """The tangent of the store at rest under x, where tanh h = x: y_t = h_t."""
    pole = 1 - (1 - x**2) / 4
    return LinearSystem.from_rnn([[0.25]], [[pole]], [[1.0]])


def answer_time(system: LinearSystem) -> float:
    """Steps until a step response has come 1 − 1/e of its way, between the steps by a straight line."""
    risen = system.step_response(100).ravel() / system.dc_gain().item()
    return float(np.interp(1 - np.exp(-1), np.maximum.accumulate(risen), np.arange(1, 101)))


def main() -> None:
    draw = np.random.default_rng(0)
    x = draw.uniform(-0.8, 0.8, (64, 4)).repeat(25, axis=1) + 0.1 * draw.normal(size=(64, 100))
    model = GRURegressor(
        hidden_size=8, batch_size=16, max_epochs=120, learning_rate=0.02, schedule="cosine", random_state=0
    )
    model.fit(x[:, :, None], simulate(x))

    print("input   slowest pole        gain              steps to answer")
    print("        store   GRU         store   GRU       store   GRU")
    for level in (0.0, 0.6):
        store, network = store_near(level), linearise(model, [level])
        gains = [system.dc_gain().item() for system in (store, network)]
        times = [answer_time(system) for system in (store, network)]
        radii = [system.spectral_radius() for system in (store, network)]
        print(f"{level:5.1f}   " + "   ".join("{:.3f}   {:.3f}  ".format(*pair) for pair in (radii, gains, times)))
        assert network.is_stable()
        np.testing.assert_allclose(gains[1], gains[0], rtol=0.15)
        np.testing.assert_allclose(times[1], times[0], rtol=0.15)


if __name__ == "__main__":
    main()
