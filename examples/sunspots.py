"""Forecasting sunspots, one step ahead and in free run, honestly beside what costs nothing.

Fitted on 1700–1940, tested on 1941–2008. One step ahead, a model sees every year before it answers. In free run it
is fed with its own answers for 11 years, from every year of the test period on. The two errors answer different
questions, and the second is always the larger. Beside the GRU stand persistence (next year is like this year), the
mean of the past, and a linear autoregression on 11 years by least squares, which is hard to beat.
"""

import argparse

import numpy as np

import seqdyn
from seqdyn.datasets import load_sunspots
from seqdyn.metrics import rmse

TRAIN, HORIZON = 240, 11


def free_run(model, values: np.ndarray) -> np.ndarray:
    """Forecasts (origin, horizon) of the HORIZON years after every year of the test period."""
    stream = model.stream()
    for value in values[:TRAIN]:
        stream.push([value])
    ahead = []
    for value in values[TRAIN:-HORIZON]:
        next_year = stream.push([value])  # the answer to this year is the first forecast …
        ahead.append([float(next_year), *stream.forecast(HORIZON - 1)])  # … and the rest feeds on it
    return np.array(ahead)


def main(out: str | None = None) -> None:
    frame = load_sunspots()
    values = frame["sunspots"].to_numpy()
    X, y = values[:-1, None], values[1:]  # this year, and the next
    future = np.lib.stride_tricks.sliding_window_view(values[TRAIN + 1 :], HORIZON)  # (origin, horizon)

    still = np.broadcast_to(values[TRAIN:-HORIZON, None], future.shape)  # every year like the last one known
    mean = values[: TRAIN + 1].mean()
    errors = {
        "persistence": (rmse(y[TRAIN:], X[TRAIN:]), rmse(future, still)),
        "mean of 1700–1940": (rmse(y[TRAIN:], 0 * y[TRAIN:] + mean), rmse(future, 0 * future + mean)),
    }
    models = {"autoregression, 11 years": seqdyn.MovingAverageRegressor(window=11, weights="learned")}
    for seed in range(3):
        models[f"GRU, seed {seed}"] = seqdyn.GRURegressor(
            hidden_size=16, bptt_length=50, max_epochs=100, early_stopping=True, random_state=seed
        )
    for name, model in models.items():
        model.fit(X[:TRAIN], y[:TRAIN])
        errors[name] = rmse(y[TRAIN:], model.predict(X)[TRAIN:]), rmse(future, free_run(model, values))

    print("RMSE, 1941–2008            one step   free run of 11 years")
    for name, (one_step, free) in errors.items():
        print(f"  {name:25s} {one_step:7.1f} {free:11.1f}")
    if out is not None:
        predictions = {name: np.r_[np.nan, model.predict(X)] for name, model in models.items()}
        seqdyn.plot_forecast(frame.index, values, predictions, split=frame.index[TRAIN + 1]).savefig(out)

    for name in models:
        assert errors[name][0] < 0.8 * errors["persistence"][0] < errors[name][1] < errors["persistence"][1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", help="write a figure of the one-step predictions to this file")
    main(parser.parse_args().out)
