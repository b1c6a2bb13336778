"""Does a stability report say in advance which network will learn the adding problem, and does training confirm it?

Two of a hundred values are marked, and the target after the last step is their sum (tests/learning/test_adding.py).
For every network and seed: the gradient of the loss at lag 99 before training, as ``stability_report`` finds it, with
its verdict; the mean squared error on fresh sequences after 12 epochs (chance is 1/6); and the report afterwards.

    python benchmarks/adding_prediction.py [--seeds 3] [--only "LSTM, bias 3" …]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import machine
from sklearn.base import clone
from torch import nn

from seqdyn import ElmanRegressor, GRURegressor, LSTMRegressor, stability_report
from seqdyn.cells.elman import Elman
from seqdyn.reports.stability.report import StabilityReport
from seqdyn.training.initialisation import identity

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.learning.test_adding import BUDGET, STEPS, adding  # the same task and the same training

LAG = STEPS - 1
LEARNT = 0.05
"""A mean squared error below this, a third of chance, is learning."""


def as_torch(network: nn.Module, generator: torch.Generator) -> None:
    """All weights of the recurrence from U(±1/√H), as torch draws those of its RNN."""
    for cell in network.modules():
        if isinstance(cell, Elman):
            for weight in cell.parameters():
                nn.init.uniform_(weight, -(cell.hidden_size**-0.5), cell.hidden_size**-0.5, generator=generator)


def irnn(bias: float) -> Callable[[nn.Module, torch.Generator], None]:
    """The identity, and inputs that do not flood it (Le, Jaitly & Hinton 2015).

    Standardised inputs drive a relu to 0, where its gradient ends, within a hundred steps; a bias keeps it above.
    """

    def start(network: nn.Module, generator: torch.Generator) -> None:
        for cell in network.modules():
            if isinstance(cell, Elman):
                identity(cell)
                with torch.no_grad():
                    cell.input_weight.mul_(0.1)
                    cell.bias.fill_(bias)

    return start


def elman(start: Any, activation: str = "tanh") -> ElmanRegressor:
    return ElmanRegressor(**BUDGET, activation=activation, initialise=start)


def gated(kind: Callable[..., Any]) -> Callable[[str, float], Any]:
    return lambda name, value: kind(**BUDGET, initialise=(name, value))


lstm, gru = gated(LSTMRegressor), gated(GRURegressor)

NETWORKS: dict[str, Any] = {
    "Elman, as torch starts": elman(as_torch),
    "Elman, orthogonal × 0.5": elman(("orthogonal", 0.5)),
    "Elman, orthogonal": elman(("orthogonal", 1.0)),
    "Elman, orthogonal × 2": elman(("orthogonal", 2.0)),
    "IRNN, bias 0.05": elman(irnn(0.05), "relu"),
    "IRNN, bias 0": elman(irnn(0.0), "relu"),
    **{f"LSTM, bias {bias:g}": lstm("forget_bias", bias) for bias in (-3.0, 0.0, 1.0, 3.0)},
    "LSTM, chrono 99": lstm("chrono", 99),
    **{f"GRU, bias {bias:g}": gru("forget_bias", bias) for bias in (-3.0, 0.0, 3.0)},
    "GRU, chrono 99": gru("chrono", 99),
}


def before_training(model: Any, X: Any, y: Any) -> Any:
    """The same network as it starts: one step of no length. Adam would take 10⁻¹² for one, and a dead relu shows it."""
    return clone(model).set_params(optimizer="sgd", learning_rate=1e-300, max_steps=1).fit(X, y)


def judged(model: Any, X: Any, y: Any) -> StabilityReport:
    return stability_report(model, X, y, required_lag=LAG, max_sequences=32, tier="fast")


def decades(report: StabilityReport) -> float:
    """L, log₁₀ of the gradient at the lag beside that at lag 1."""
    return float(report.content["verdict"]["gradient"]["median"])


def run(name: str, seed: int) -> tuple[StabilityReport, float, StabilityReport]:
    """The report at the start, the error after training, and the report then."""
    X, y = adding(2000, seed=0)
    fresh_X, fresh_y = adding(1000, seed=1)
    model = clone(NETWORKS[name]).set_params(random_state=seed)
    first = judged(before_training(model, X, y), fresh_X, fresh_y)
    model.fit(X, y)
    error = float(np.mean((model.predict(fresh_X) - fresh_y) ** 2))
    return first, error, judged(model, fresh_X, fresh_y)


def several(values: list[float], digits: str) -> str:
    low, high = format(min(values), digits), format(max(values), digits)
    return low if low == high else f"{low} … {high}"


def words(reports: list[StabilityReport]) -> str:
    return ", ".join(sorted({report.verdict for report in reports}))


def as_predicted(first: StabilityReport, error: float) -> bool:
    """What arrives is learnt from, also where it grows on the way (TRANSIENT); what vanishes or explodes is not."""
    return (first.verdict in ("OK", "TRANSIENT")) == (error < LEARNT)


def line(name: str, runs: list[tuple[StabilityReport, float, StabilityReport]], seconds: float) -> str:
    first, errors, last = ([run[column] for run in runs] for column in range(3))
    confirmed = sum(as_predicted(*run[:2]) for run in runs)
    cells = [
        name,
        several([decades(report) for report in first], "+.1f"),
        words(first),
        several(errors, ".4f"),
        several([decades(report) for report in last], "+.1f"),
        words(last),
        f"{confirmed} of {len(runs)}",
        f"{seconds:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = arguments.parse_args()
    print(machine())
    print(f"\nlag {LAG}, {options.seeds} seeds, chance {1 / 6:.3f}, learnt below {LEARNT}; decades are log₁₀\n")
    print("| network | start: decades | verdict | error | then: decades | verdict | as predicted | s |")
    print("|---|---|---|---|---|---|---|---|")
    everything: list[tuple[float, float]] = []
    for name in options.only:
        begin = time.perf_counter()
        runs = [run(name, seed) for seed in range(options.seeds)]
        print(line(name, runs, time.perf_counter() - begin), flush=True)
        everything += [(decades(last), error) for _, error, last in runs]
    agree = sum((-3 <= size <= 2) == (error < LEARNT) for size, error in everything if not math.isnan(size))
    print(f"\nafter training: a gradient from 10^-3 to 10^2 and an error below {LEARNT} agree in {agree} of", end=" ")
    print(f"{len(everything)} runs")


if __name__ == "__main__":
    main()
