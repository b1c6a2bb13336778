"""Where a sequence's memory starts: zero, random, learned or warmed up, and how long the choice can be noticed.

Part one: a process h_t = 0.9 h_{t-1} + x_t that had run long before its records begin, at a level around 5. A start
at zero is wrong by 5, a learned one by the spread of 1, both die away as 0.9^t, and after a warm-up neither counts.
Two starts agree to 1 % after ln 0.01 / ln 0.9 = 43.7 steps: forgetting_time_. Part two: a GRU whose training
started anew at random in every batch has learnt to be insensitive to its start; one trained from zero has not.
"""

import math

import numpy as np
import torch

import seqdyn


def records(seed: int, series: int = 100, time: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """X (series, time, 1) and y (series, time), from unknown levels before the first step."""
    draw = np.random.default_rng(seed)
    x, level = draw.normal(size=(series, time)), draw.normal(5.0, 1.0, series)
    y = np.empty_like(x)
    for t in range(time):
        level = y[:, t] = 0.9 * level + x[:, t]
    return x[:, :, None], y


def error(predicted: np.ndarray, y: np.ndarray) -> np.ndarray:
    """RMSE at every step, (time,)."""
    return np.sqrt(((predicted - y) ** 2).mean(axis=0))


def levels() -> None:
    X, y = records(seed=0)
    X_new, y_new = records(seed=1)
    training = {"max_epochs": 150, "learning_rate": 0.02, "schedule": "cosine", "n_iter_no_change": 150}
    print("RMSE at step      0      5     20     60   score   forgetting time")
    scores, first = {}, {}
    for name, start in {
        "zero": {},
        "learned": {"initial_state": "learned"},
        "warmup of 50": {"warmup": 50},
    }.items():
        linear = seqdyn.RecurrentRegressor(cell=seqdyn.Linear, hidden_size=1, scale=False, random_state=0)
        model = linear.set_params(**training, **start).fit(X, y)
        errors = error(model.predict(X_new), y_new)
        scores[name], first[name] = model.score(X_new, y_new), errors[0]
        shown = " ".join(f"{errors[t]:6.3f}" for t in (0, 5, 20, 60))
        print(f"  {name:12s} {shown}  {scores[name]:.4f}   {model.forgetting_time_:.0f} steps")
        assert abs(model.forgetting_time_ - math.log(0.01) / math.log(0.9)) < 3
    # a fourth way, for a fitted model: the start that explains the first rows of a record best
    state = model.estimate_state(X_new[:, :20], y_new[:, :20])
    errors = error(model.predict(X_new, initial_state=state), y_new)
    print("  estimated    " + " ".join(f"{errors[t]:6.3f}" for t in (0, 5, 20, 60)))
    assert first["zero"] > 4 > 2 > first["learned"] > 0.5 > errors[0]
    assert scores["zero"] < scores["learned"] < scores["warmup of 50"]


def insensitivity() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 22))
    X, y = x[:, 2:, None], (x[:, 2:] + x[:, 1:-1] + x[:, :-2]) / 3  # the mean of the last three inputs
    found = {}
    for name, start in {"zero": "zero", "random": seqdyn.Random(scale=1.0)}.items():
        model = seqdyn.GRURegressor(hidden_size=16, max_epochs=60, initial_state=start, random_state=0).fit(X, y)
        noise = torch.Generator().manual_seed(0)
        foreign = model.cell_.initial_state(len(X))
        foreign = foreign._replace(h=foreign.h + torch.randn(foreign.h.shape, generator=noise))
        found[name] = error(model.predict(X, initial_state=foreign), y)[2], model.forgetting_time_
        print(f"  trained from {name:6s}  RMSE {found[name][0]:.3f}   forgetting time {found[name][1]:.0f} steps")
    assert found["random"][0] < 0.7 * found["zero"][0]
    assert found["random"][1] < found["zero"][1]


def main() -> None:
    levels()
    print("Two steps after a foreign start")
    insensitivity()


if __name__ == "__main__":
    main()
