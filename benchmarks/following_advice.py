"""Does the first advice of a stability report help? Train, report, follow it to the letter, train again.

Eight situations in which a training goes wrong, each with two seeds. What the advice says in code is pasted: a
parameter of the estimator, a line before the training of a torch module, an expression in the loss. Shown are the
verdict and a score on data held out, before and after: R², or for the loss that is NaN minus the mean squared error of
the logarithms.

    python benchmarks/following_advice.py [--seeds 0 1] [--situations "closed gates, LSTM" …]
"""

from __future__ import annotations

import argparse
import ast
import re
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

import seqdyn
from seqdyn import ElmanRegressor, GRURegressor, LSTMRegressor, from_torch, stability_report
from seqdyn.reports.stability.report import StabilityReport

Array = np.ndarray[Any, Any]

CODE = re.compile(r"`([^`]+)`")
ASSIGNED = re.compile(r"(\w+)=(.+)")


class Data(NamedTuple):
    """Sequences to train on, and others to score on."""

    X: Array
    y: Array
    X_held_out: Array
    y_held_out: Array


class Outcome(NamedTuple):
    """What a training came to: a report, and a score of which more is better."""

    report: StabilityReport
    score: float


def recall(lag: int, seed: int, series: int = 128) -> Data:
    """The first value is asked for ``lag`` steps later; smaller values lie between."""
    X = np.random.default_rng(seed).normal(size=(2 * series, lag + 1, 1))
    X[:, 1:] *= 0.3
    y = X[:, 0, 0].copy()
    return Data(X[:series], y[:series], X[series:], y[series:])


def recalled_on(lag: int, steps: int, seed: int, series: int = 128) -> Data:
    """The first value is asked for at every step from ``lag`` on."""
    X = recall(steps - 1, seed, series)
    y, y_held_out = (np.repeat(part[:, :1], steps, 1) for part in (X.X, X.X_held_out))
    y[:, :lag] = y_held_out[:, :lag] = np.nan
    return Data(X.X, y, X.X_held_out, y_held_out)


# --- estimators -------------------------------------------------------------------------------------------------------


def parameter(advice: str) -> dict[str, Any]:
    """The first parameter that an advice gives in code."""
    name, value = next(found.groups() for code in CODE.findall(advice) if (found := ASSIGNED.fullmatch(code)))
    return {name: ast.literal_eval(value)}


def trained(model: Any, data: Data, lag: int, tier: str = "standard") -> Outcome:
    model.fit(data.X, data.y)
    report = stability_report(model, data.X, data.y, required_lag=lag, tier=tier)
    return Outcome(report, float(model.score(data.X_held_out, data.y_held_out)))


def followed(model: Any, data: Data, lag: int, advised: str = "", tier: str = "standard") -> tuple[Outcome, Outcome]:
    """Before and after the first advice, or the one with this id."""
    before = trained(model, data, lag, tier)
    texts = {advice["id"]: advice["text"] for advice in before.report.content["recommendations"]}
    text = texts[advised or next(iter(texts))]
    return before, trained(clone(model).set_params(**parameter(text)), data, lag, tier)


def closed(kind: type) -> Callable[[int], tuple[Outcome, Outcome]]:
    """Gates that forget within two steps, and a value to be held for fifty."""
    return lambda seed: followed(
        kind(
            hidden_size=16,
            return_sequences=False,
            initialise=("forget_bias", -2.0),
            max_epochs=40,
            random_state=seed,
        ),
        recall(50, seed),
        50,
    )


def short_truncation(seed: int) -> tuple[Outcome, Outcome]:
    model = LSTMRegressor(
        hidden_size=8, bptt_length=10, streams=8, max_epochs=60, n_iter_no_change=60, random_state=seed
    )
    return followed(model, recalled_on(20, 27, seed, series=96), 20)


def saturated(seed: int) -> tuple[Outcome, Outcome]:
    """Inputs around 3,000 that vary by hundreds, as they come."""
    data = recall(20, seed)
    data = data._replace(X=1000 * data.X + 3000, X_held_out=1000 * data.X_held_out + 3000)
    model = GRURegressor(
        hidden_size=16,
        return_sequences=False,
        initialise=("forget_bias", 3.0),
        scale=False,
        max_epochs=60,
        random_state=seed,
    )
    return followed(model, data, 20)


def plain(activation: str, start: tuple[str, float], lag: int, **others: Any) -> Callable[[int], Any]:
    return lambda seed: followed(
        ElmanRegressor(
            hidden_size=32,
            activation=activation,
            return_sequences=False,
            initialise=start,
            max_epochs=60,
            random_state=seed,
            **others,
        ),
        recall(lag, seed),
        lag,
    )


# --- torch, in a loop of one's own ------------------------------------------------------------------------------------


class Network(nn.Module):
    """torch's LSTM, and a readout of its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, X: Tensor) -> Tensor:
        return self.head(self.lstm(X)[0])


def fit(network: Network, X: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor], epochs: int = 40) -> None:
    """The loop that everyone writes; it stops where the loss is NaN."""
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(32):
            error = loss(network(X[rows])[:, -1], y[rows]).mean()
            if not error.isfinite():
                return
            optimizer.zero_grad()
            error.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()


def at_the_end(y: Tensor, steps: int) -> Tensor:
    """Targets for a report: at the last step alone."""
    return torch.cat([torch.full((len(y), steps - 1, 1), torch.nan), y[:, None]], 1)


def torch_loop(seed: int) -> tuple[Outcome, Outcome]:
    data = recall(50, seed)
    X, y, X_held_out, y_held_out = (torch.as_tensor(part, dtype=torch.float32) for part in data)
    y, y_held_out = y[:, None], y_held_out[:, None]

    def outcome(line: str) -> Outcome:
        torch.manual_seed(seed)
        network = Network()
        exec(line, {"seqdyn": seqdyn, "torch": torch, "lstm": network.lstm})
        fit(network, X, y, lambda output, target: (output - target) ** 2)
        cell = from_torch(network.lstm, network.head)
        report = stability_report(cell, X, at_the_end(y, X.shape[1]), required_lag=50)
        with torch.no_grad():
            error = ((network(X_held_out)[:, -1] - y_held_out) ** 2).mean()
        return Outcome(report, float(1 - error / y_held_out.var()))

    with torch.random.fork_rng():
        before = outcome("")
        return before, outcome(CODE.findall(before.report.recommendations[0])[0])


def loss_of_nan(seed: int) -> tuple[Outcome, Outcome]:
    """Targets above 0, compared by their logarithms, and outputs that may be below it."""
    X, y, X_held_out, y_held_out = (torch.as_tensor(part, dtype=torch.float32) for part in recall(10, seed))
    y, y_held_out = y.exp()[:, None], y_held_out.exp()[:, None]

    def outcome(expression: str) -> Outcome:
        def positive(output: Tensor) -> Tensor:
            return eval(expression, {"torch": torch, "output": output})  # type: ignore[no-any-return]

        def loss(output: Tensor, target: Tensor) -> Tensor:
            return (positive(output).log() - target.log()) ** 2

        torch.manual_seed(seed)
        network = Network()
        nn.init.zeros_(network.head.bias)  # outputs on both sides of 0
        fit(network, X, y, loss)
        cell = from_torch(network.lstm, network.head)
        with torch.no_grad():
            error = loss(network(X_held_out)[:, -1], y_held_out).mean()
        steps = y[:, None].expand(-1, X.shape[1], -1)
        return Outcome(
            stability_report(cell, X, steps, required_lag=10, loss=loss), -float(error.nan_to_num(torch.inf))
        )

    with torch.random.fork_rng():
        before = outcome("output")
        return before, outcome(CODE.findall(before.report.recommendations[0])[0])


SITUATIONS: dict[str, Callable[[int], tuple[Outcome, Outcome]]] = {
    "closed gates, LSTM": closed(LSTMRegressor),
    "closed gates, GRU": closed(GRURegressor),
    "short truncation": short_truncation,
    "saturated inputs": saturated,
    "exploding tanh": plain("tanh", ("orthogonal", 4.0), 30, learning_rate=1e-3),
    "relu at gain 1.3": plain("relu", ("identity", 1.3), 40, clip_norm=None),
    "torch LSTM": torch_loop,
    "NaN loss": loss_of_nan,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    arguments.add_argument("--situations", nargs="+", choices=SITUATIONS, default=list(SITUATIONS))
    options = arguments.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{'situation':<20} seed  advice  before                      after                       seconds")
    for name in options.situations:
        for seed in options.seeds:
            start = time.perf_counter()
            before, after = SITUATIONS[name](seed)
            shown = [f"{found.report.verdict:<12} {found.score:>13.3f}" for found in (before, after)]
            advice = before.report.content["recommendations"][0]["id"]
            seconds = time.perf_counter() - start
            print(f"{name:<20} {seed:>4}  {advice:<6}  {shown[0]}  {shown[1]}  {seconds:>6.1f}", flush=True)


if __name__ == "__main__":
    main()
