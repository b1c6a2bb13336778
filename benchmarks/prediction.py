"""What do ``predict`` and ``Stream.push`` cost beside the bare torch calls?

Batch: 1,000 windows of 96 steps, float32; the peer is ``nn.LSTM`` and ``nn.Linear`` under inference mode on a tensor
that is already there (bar: 1.2). One step: ``push`` at H 64 (bars: 25 µs for a GRU, 30 µs for an LSTM). Closed loops:
``Stream.forecast`` and ``Forecaster.forecast``, 24 steps ahead.

    python benchmarks/prediction.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
import torch
from measure import machine, report, take_turns
from torch.nn.functional import linear

from seqdyn import (
    ElmanRegressor,
    ExponentialMovingAverageRegressor,
    Forecaster,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMRegressor,
    MovingAverageRegressor,
)

HIDDEN, FEATURES, PUSHES, HORIZON = 64, 8, 2000, 24
SMALL = {"hidden_size": HIDDEN, "max_epochs": 1, "random_state": 0}
NETWORKS = (LSTMRegressor, GRURegressor, ElmanRegressor)


def batch(rounds: int) -> None:
    """predict against the bare call."""
    X = np.random.default_rng(0).normal(size=(1000, 96, FEATURES)).astype(np.float32)
    model = LSTMRegressor(hidden_size=HIDDEN, max_epochs=1, random_state=0).fit(X[:32], X[:32, :, :1])
    lstm, head = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, 1)
    inputs = torch.from_numpy(X)

    def bare() -> None:
        with torch.inference_mode():
            head(lstm(inputs)[0])

    print("predict, 1000 windows of 96 steps, H 64; bar 1.2")
    report(
        take_turns({"predict": lambda: model.predict(X), "bare torch call": bare}, rounds),
        "predict",
        "bare torch call",
        1e3,
        "ms",
    )


def step(rounds: int) -> None:
    """push against the torch operations of the same equations, and against nn.LSTMCell."""
    x = np.random.default_rng(0).normal(size=(200, FEATURES))
    contestants = {}
    models = [estimator(**SMALL) for estimator in NETWORKS]
    models += [LinearStateSpaceRegressor(order=4), ExponentialMovingAverageRegressor(), MovingAverageRegressor()]
    for model in models:
        stream = model.fit(x, x[:, 0]).stream()
        contestants[f"{type(model).__name__} push"] = repeat(lambda stream=stream: stream.push(x[0]))
    contestants["written LSTM step"] = repeat(written_step(torch.randn(1, FEATURES)))
    contestants["nn.LSTMCell + nn.Linear"] = repeat(library_step(torch.randn(1, FEATURES)))
    print("one step, H 64; bars 25 µs for GRURegressor push, 30 µs for LSTMRegressor push")
    seconds = take_turns(contestants, rounds)
    report(seconds, "LSTMRegressor push", "written LSTM step", 1e6 / PUSHES, "µs")


def ahead(rounds: int) -> None:
    """Forecasts of one series: of a stream, and of a forecaster with its frames."""
    hours = pd.date_range("2026-01-01", periods=400, freq="h")
    wave = np.sin(0.25 * np.arange(400)) + np.random.default_rng(0).normal(0.0, 0.1, 400)
    contestants = {}
    for estimator in NETWORKS:
        stream = estimator(**SMALL).fit(wave[:-1, None], wave[1:]).stream()
        stream.push(wave[-1:])
        forecaster = Forecaster(estimator(**SMALL)).fit(pd.DataFrame({"y": wave}, index=hours))
        name = estimator.__name__.removesuffix("Regressor")
        contestants[f"Stream.forecast, {name}"] = lambda stream=stream: stream.forecast(HORIZON)
        contestants[f"Forecaster.forecast, {name}"] = lambda forecaster=forecaster: forecaster.forecast(HORIZON)
    print(f"{HORIZON} steps ahead in closed loop, H {HIDDEN}")
    seconds = take_turns(contestants, 10 * rounds)
    report(seconds, "Stream.forecast, GRU", "Forecaster.forecast, GRU", 1e3, "ms")


def repeat(call) -> object:
    """The call, PUSHES times."""

    def run() -> None:
        for _ in range(PUSHES):
            call()

    return run


def written_step(x: torch.Tensor):
    """The floor: the tensor operations of one LSTM step and its readout, with nothing around them."""
    W, U, b = torch.randn(4 * HIDDEN, FEATURES), torch.randn(4 * HIDDEN, HIDDEN), torch.zeros(4 * HIDDEN)
    head, offset = torch.randn(1, HIDDEN), torch.zeros(1)
    h = c = torch.zeros(1, HIDDEN)

    def call() -> None:
        with torch.inference_mode():
            i, f, g, o = (linear(x, W, b) + linear(h, U)).chunk(4, dim=-1)
            new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            linear(torch.sigmoid(o) * torch.tanh(new), head, offset)

    return call


def library_step(x: torch.Tensor):
    """torch's own cell."""
    cell, head = torch.nn.LSTMCell(FEATURES, HIDDEN), torch.nn.Linear(HIDDEN, 1)
    state = (torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN))

    def call() -> None:
        with torch.inference_mode():
            head(cell(x, state)[0])

    return call


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    options = arguments.parse_args()
    print(machine())
    batch(options.rounds)
    with warnings.catch_warnings():  # one epoch is no fit
        warnings.simplefilter("ignore")
        step(options.rounds)
        ahead(options.rounds)


if __name__ == "__main__":
    main()
