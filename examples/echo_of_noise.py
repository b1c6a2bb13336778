"""Which memory gives back white noise of 20 steps ago: one that turns, or one with gates?

The linear recurrent unit keeps the last values in 16 complex numbers that turn at different speeds: it is a linear
model with 32 states, and 20 would do. A GRU has to learn a delay line through its nonlinearities, and the units of a
MinGRU, which only fade, cannot tell what is 20 steps old from what is 19. All have the same width and steps. The
score is the mean squared error as a share of the variance; 1 is knowing nothing.
"""

import numpy as np

from seqdyn import GRURegressor, LRURegressor, MinGRURegressor

TIME, DELAY = 200, 20


def noise(series: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X (series, time, 1), and what it was 20 steps ago; NaN, a target that is missing, in the first 20."""
    X = np.random.default_rng(seed).normal(size=(series, TIME, 1))
    y = np.roll(X[:, :, 0], DELAY, axis=1)
    y[:, :DELAY] = np.nan
    return X, y


def main() -> None:
    X, y = noise(1000, seed=0)
    X_new, y_new = noise(200, seed=1)
    budget = {"hidden_size": 32, "max_epochs": 20, "learning_rate": 1e-2, "schedule": "cosine"}
    budget["n_iter_no_change"] = 20
    models = {
        "LRU": LRURegressor(**budget, output_activation="identity", r_min=0.9, r_max=0.999, random_state=0),
        "GRU": GRURegressor(**budget, initialise=("chrono", DELAY), random_state=0),
        "MinGRU": MinGRURegressor(**budget, initialise=("chrono", DELAY), random_state=0),
    }
    error = {}
    for name, model in models.items():
        model.fit(X, y)
        error[name] = float(np.nanmean((model.predict(X_new) - y_new) ** 2))
        print(f"  {name:6s}  error {error[name]:.3f} of the variance")
    assert error["LRU"] < 0.05 < 0.4 < error["GRU"] < error["MinGRU"]


if __name__ == "__main__":
    main()
