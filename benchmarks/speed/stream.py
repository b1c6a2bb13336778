"""How long does one step of a stream take, beside torch's cells and one-step calls of its modules?

``Stream.push`` of a fitted estimator of 64 units with 8 inputs, numpy in and out, against ``nn.GRUCell`` and
``nn.LSTMCell`` with a linear readout, and ``nn.GRU`` and ``nn.LSTM`` on sequences of one step, all under inference
mode. These carry their state on, read a row without copying it, and leave their answer a tensor. Weights are shared,
and the answers must agree.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed.protocol import Case, Comparison, Row, fresh, interleave, timed
from seqdyn import GRURegressor, LSTMRegressor

HIDDEN, FEATURES, PUSHES = 64, 8, 500
BARS = {"GRU": 25e-6, "LSTM": 30e-6}
TOLERANCE = 1e-5


def measure(quick: bool, threads: int) -> list[Row]:
    """Both cells in one fresh process, one thread: a step has no work for two."""
    return [Row.read(row) for row in fresh(in_one_process, threads=1, rounds=3 if quick else 15)]


def in_one_process(rounds: int, pushes: int = PUSHES) -> list[dict[str, Any]]:
    """Stored rows; seconds are of one step."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    return [interleave(case, rounds, seed=0).stored() for case in cases(pushes)]


def cases(pushes: int) -> Iterator[Case]:
    """One case a cell."""
    x = np.random.default_rng(0).normal(size=(200, FEATURES)).astype(np.float32)
    for kind, estimator in (("GRU", GRURegressor), ("LSTM", LSTMRegressor)):
        model = estimator(hidden_size=HIDDEN, max_epochs=1, scale=False, random_state=0).fit(x, x[:, 0])
        stream, weights = model.stream(), dict(model.cell_.named_parameters())
        steps: dict[str, Callable[[np.ndarray], Any]] = {
            "seqdyn push": stream.push,
            f"nn.{kind}Cell": torch_step(getattr(nn, f"{kind}Cell")(FEATURES, HIDDEN), weights),
            f"nn.{kind}": torch_step(getattr(nn, kind)(FEATURES, HIDDEN, batch_first=True), weights),
        }
        apart = check(steps, x[:20])
        turns = {
            name: per_step(timed(lambda step=step: run(step, x[0], pushes)), pushes) for name, step in steps.items()
        }
        comparisons = [Comparison("seqdyn push", None, "value", BARS[kind])]
        comparisons += [Comparison("seqdyn push", name) for name in list(steps)[1:]]
        yield Case({"cell": kind}, turns, tuple(comparisons), {"difference": apart})


def torch_step(module: nn.Module, weights: dict[str, Tensor]) -> Callable[[np.ndarray], Tensor]:
    """The module and a linear readout, which carry their state on; an array is seen as a tensor without a copy."""
    head, state = nn.Linear(HIDDEN, 1), None
    sequence = isinstance(module, nn.RNNBase)
    with torch.no_grad():
        for name, own in module.named_parameters():
            stem = name.removesuffix("_l0")
            if stem.startswith("weight"):
                own.copy_(weights["cell.input_weight" if stem == "weight_ih" else "cell.recurrent_weight"])
            elif stem == "bias_ih":
                own.copy_(weights["cell.bias"])
            else:
                own.zero_()
                if "cell.recurrent_bias" in weights:
                    own[2 * HIDDEN :] = weights["cell.recurrent_bias"]
        head.weight.copy_(weights["affine.weight"])
        head.bias.copy_(weights["affine.bias"])

    def step(x: np.ndarray) -> Tensor:
        nonlocal state
        with torch.inference_mode():
            row = torch.from_numpy(x)[None]
            if sequence:
                output, state = module(row[None], state)
                return head(output[0])
            state = module(row, state)
            return head(state[0] if isinstance(state, tuple) else state)

    return step


def run(step: Callable[[np.ndarray], Any], x: np.ndarray, pushes: int) -> None:
    """The same row again and again."""
    for _ in range(pushes):
        step(x)


def per_step(turn: Callable[[], dict[str, float]], pushes: int) -> Callable[[], dict[str, float]]:
    """Of one step, not of all."""
    return lambda: {name: value / pushes for name, value in turn().items()}


def check(steps: dict[str, Callable[[np.ndarray], Any]], rows: np.ndarray) -> float:
    """How far the answers of all lie apart, relative to the largest."""
    answers = [np.array([np.asarray(step(row)).item() for row in rows]) for step in steps.values()]
    apart = max(float(np.abs(answers[0] - other).max() / np.abs(other).max()) for other in answers[1:])
    if not apart <= TOLERANCE:
        raise AssertionError(f"{', '.join(steps)} answer {apart:.1e} apart, more than {TOLERANCE}.")
    return apart
