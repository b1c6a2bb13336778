"""What does ``LSTMRegressor.fit`` cost beside a minimal hand-written torch loop?

Same windows, steps, batch size, optimizer (fused Adam), clipping and model size; the peer has no validation of data,
no history, no check for NaN and no final pass. Bars: at most 1.10 at B 32, T 96, H 64 and 1.25 at H 32, T 64.

    python benchmarks/loop_overhead.py [--epochs 10] [--rounds 9]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from measure import machine, report, take_turns

from seqdyn import LSTMRegressor

BATCH, BATCHES, FEATURES = 32, 20, 8


def windows(time: int) -> tuple[np.ndarray, np.ndarray]:
    """640 windows of white noise, and a running sum to learn."""
    X = np.random.default_rng(0).normal(size=(BATCH * BATCHES, time, FEATURES)).astype(np.float32)
    return X, X.cumsum(axis=1)[:, :, :1] / np.sqrt(time).astype(np.float32)


def bare_loop(X: np.ndarray, y: np.ndarray, hidden: int, epochs: int) -> None:
    """The minimal torch loop."""
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)
    lstm, head = torch.nn.LSTM(FEATURES, hidden, batch_first=True), torch.nn.Linear(hidden, 1)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2, fused=True)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            output, _ = lstm(inputs.index_select(0, chosen))
            loss = torch.nn.functional.mse_loss(head(output), targets.index_select(0, chosen))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()


def ours(X: np.ndarray, y: np.ndarray, hidden: int, epochs: int) -> None:
    """The whole of fit: reading, scaling, training, the history, the final state."""
    LSTMRegressor(hidden_size=hidden, max_epochs=epochs, n_iter_no_change=epochs, batch_size=BATCH, random_state=0).fit(
        X, y
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--rounds", type=int, default=9)
    options = arguments.parse_args()
    print(machine())
    for hidden, time, bar in ((64, 96, 1.10), (32, 64, 1.25)):
        X, y = windows(time)
        print(f"B {BATCH}, T {time}, H {hidden}, {options.epochs} epochs of {BATCHES} steps; bar {bar}")
        seconds = take_turns(
            {
                "LSTMRegressor.fit": lambda: ours(X, y, hidden, options.epochs),  # noqa: B023
                "bare torch loop": lambda: bare_loop(X, y, hidden, options.epochs),  # noqa: B023
            },
            options.rounds,
        )
        report(seconds, "LSTMRegressor.fit", "bare torch loop", 1e3 / (BATCHES * options.epochs), "ms/step")


if __name__ == "__main__":
    main()
