"""How long does one long sequence take, by truncated BPTT, beside a torch loop that does the same?

T = 20,000, one input, GRU of 32 units, 100 steps of 200 rows, the state carried on without its gradient. Both start
from the same weights and see the same chunks, and their mean losses must agree.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.speed.fits.task import CLIP, RATE, series
from benchmarks.speed.protocol import Case, Comparison, Row, fresh, interleave, timed
from seqdyn import GRURegressor

TIME, HIDDEN, CHUNK, BAR = 20_000, 32, 200, 15.0
AGREEMENT = 0.02


def measure(quick: bool, threads: int) -> list[Row]:
    """One case in one fresh process."""
    return [Row.read(fresh(in_one_process, threads=threads, rounds=3 if quick else 7))]


def in_one_process(rounds: int, time: int = TIME) -> dict[str, Any]:
    """Check that the losses agree, then take turns; a stored row."""
    warnings.simplefilter("ignore")
    values = series(0, time + 1)
    x, y = values[:-1, None], values[1:]
    start = ours(x, y, epochs=0).cell_
    losses = {"seqdyn": float(ours(x, y, epochs=1).history_["loss"].iloc[0]), "torch": torch_loop(x, y, start, True)}
    apart = abs(losses["seqdyn"] / losses["torch"] - 1)
    if not apart <= AGREEMENT:
        raise AssertionError(f"The losses lie {apart:.1%} apart: {losses}.")
    contestants = {"seqdyn": timed(lambda: ours(x, y, 1)), "torch": timed(lambda: torch_loop(x, y, start, False))}
    labels = {"cell": "GRU", "sequence": f"T {time:,}, H {HIDDEN}, BPTT {CHUNK}"}
    case = Case(labels, contestants, (Comparison("seqdyn", "torch", bar=BAR),), {"losses": losses})
    return interleave(case, rounds, seed=0).stored()


def ours(x: np.ndarray, y: np.ndarray, epochs: int) -> GRURegressor:
    """The whole of fit, with its history and its final pass."""
    return GRURegressor(hidden_size=HIDDEN, bptt_length=CHUNK, max_epochs=epochs, random_state=0).fit(x, y)


def torch_loop(x: np.ndarray, y: np.ndarray, start: nn.Module, one_bias: bool) -> float:
    """``nn.GRU`` over the chunks; ``one_bias`` keeps torch's second bias still, for comparing losses."""
    inputs, targets = ((torch.from_numpy(value) - value.mean()) / value.std() for value in (x, y[:, None]))
    gru, head = nn.GRU(1, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 1)
    weights = dict(start.named_parameters())
    with torch.no_grad():
        gru.weight_ih_l0.copy_(weights["cell.input_weight"])
        gru.weight_hh_l0.copy_(weights["cell.recurrent_weight"])
        head.weight.copy_(weights["affine.weight"])
        for bias in (gru.bias_ih_l0, gru.bias_hh_l0, head.bias):
            bias.zero_()
    if one_bias:
        moves = (torch.arange(3 * HIDDEN) >= 2 * HIDDEN).float()
        gru.bias_hh_l0.register_hook(lambda gradient: gradient * moves)
    parameters = [*gru.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)
    state, losses = torch.zeros(1, 1, HIDDEN), []
    for chunk, target in zip(inputs.split(CHUNK), targets.split(CHUNK), strict=True):
        optimizer.zero_grad(set_to_none=True)
        output, state = gru(chunk[None], state.detach())
        loss = nn.functional.mse_loss(head(output)[0], target)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())
