"""One step at a time gives what the whole sequence at once gives.

A network is trained on the sunspots and then meets the series row by row: the pushed answers equal the prediction of
the whole to the last digits, also for a model that was saved and loaded, from the middle on with the state that a
prediction of the first half returns, and in a fork that goes its own way without disturbing the original.
"""

import tempfile
from pathlib import Path

import numpy as np

import seqdyn
from seqdyn.datasets import load_sunspots


def main() -> None:
    series = load_sunspots().to_numpy()  # (time, 1)
    X, y = series[:-1], series[1:, 0]  # the next year is the target
    model = seqdyn.GRURegressor(hidden_size=16, max_epochs=40, dtype="float64", random_state=0).fit(X, y)
    batch = model.predict(X)

    stream = model.stream()
    pushed = np.array([stream.push(row) for row in X])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sunspots.safetensors"
        model.save(path)
        again = seqdyn.load(path).stream()
    loaded = np.array([again.push(row) for row in X])

    first, state = model.predict(X[:150], return_state=True)
    halves = np.concatenate([first, model.predict(X[150:], initial_state=state)])

    before = model.stream()
    for row in X[:200]:
        before.push(row)
    fork = before.fork()
    for _ in range(50):
        fork.push([0.0])  # another future
    resumed = np.array([before.push(row) for row in X[200:]])

    print("Largest difference to predicting the whole, in sunspots (float64)")
    for name, one, other in (
        ("pushed row by row", pushed, batch),
        ("pushed, after save and load", loaded, batch),
        ("in two halves", halves, batch),
        ("the original after its fork went astray", resumed, batch[200:]),
    ):
        difference = np.abs(one - other).max()
        print(f"  {name:40s} {difference:.1e}")
        assert difference < 1e-12 * np.abs(y).max()


if __name__ == "__main__":
    main()
