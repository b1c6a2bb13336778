"""A recurrence of your own in ten lines: it trains, streams, is saved, and keeps the laws, with nothing else written.

The cell is the minimal gated unit of Zhou et al. (2016): one gate f decides what the candidate sees and what is
replaced. The laws are checked on it by hand: two halves equal the whole, a row does not depend on its neighbours in
the batch, and the product of the recorded Jacobians is the derivative of the last state by the first.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import seqdyn
from seqdyn.datasets import load_sunspots


@seqdyn.register
class MinimalState(NamedTuple):
    h: torch.Tensor


@seqdyn.register
class MinimalGatedUnit(seqdyn.Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.gate = torch.nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = torch.nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(self, batch):
        return MinimalState(self.zeros(batch, self.hidden_size))

    def forward(self, x, state):
        f = torch.sigmoid(self.gate(torch.cat([x, state.h], dim=1)))
        h = (1 - f) * state.h + f * torch.tanh(self.candidate(torch.cat([x, f * state.h], dim=1)))
        return h, MinimalState(h)


def check_laws(cell: seqdyn.Cell) -> None:
    cell = cell.double()
    x = torch.randn(4, 30, cell.input_size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = seqdyn.scan(cell, x, record=seqdyn.record_jacobian(cell))
        first = seqdyn.scan(cell, x[:, :13])
        second = seqdyn.scan(cell, x[:, 13:], first.state)
        alone = seqdyn.scan(cell, x[2:3])
    split = float((torch.cat([first.output, second.output], dim=1) - whole.output).abs().max())
    batch = float((alone.output - whole.output[2:3]).abs().max())

    product = torch.eye(cell.hidden_size, dtype=torch.float64)
    for J in whole.record[0]:  # (time, n, n); the newest factor stands on the left
        product = J @ product
    derivative = torch.autograd.functional.jacobian(
        lambda h: seqdyn.scan(cell, x[:1], MinimalState(h)).state.h[0], cell.initial_state(1).h
    )[:, 0]
    sensitivity = float((product - derivative).norm() / derivative.norm())
    print(f"laws: split {split:.0e}, batch {batch:.0e}, sensitivity {sensitivity:.0e}")
    assert max(split, batch, sensitivity) < 1e-12


def main() -> None:
    check_laws(MinimalGatedUnit(3, 8))

    series = load_sunspots().to_numpy()  # (time, 1)
    X, y = series[:-1], series[1:, 0]
    model = seqdyn.RecurrentRegressor(cell=MinimalGatedUnit, hidden_size=16, max_epochs=100, random_state=0)
    model.fit(X[:240], y[:240])
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "own.safetensors")
        loaded = seqdyn.load(Path(folder) / "own.safetensors")
    stream = loaded.stream()
    predicted = np.array([stream.push(row) for row in X])[240:]
    error, persistence = np.sqrt(np.mean([(predicted - y[240:]) ** 2, (X[240:, 0] - y[240:]) ** 2], axis=1))
    print(f"sunspots 1941–2008, next year: RMSE {error:.1f}, persistence {persistence:.1f}")
    assert error < 0.85 * persistence


if __name__ == "__main__":
    main()
