"""The gradient of truncated backpropagation through time, beside the full one.

The state is carried on through all chunks of k steps; the gradient stops at their borders. seqdyn's chunks (scan,
detach, scan …) give exactly what a loop written by hand gives. The truncated gradient tends to the full one as k
grows, and equals it for k ≥ T. Every border cuts about as much as the memory reaches back, so that the gap falls like
the number of borders, T / k, not exponentially.
"""

import torch

import seqdyn
from seqdyn.cells.elman import ElmanState
from seqdyn.state import detach

TIME = 256


def sequence() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise (1, time, 1), and its sum over the last 20 steps, to have something to remember."""
    x = torch.randn(1, TIME, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, seqdyn.scan(seqdyn.MovingAverage(1, window=20).double(), x).output * 4


def gradient(cell: seqdyn.Cell, loss: torch.Tensor) -> torch.Tensor:
    """∂loss/∂θ as one vector."""
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(cell.parameters()))])


def truncated(cell: seqdyn.Cell, x: torch.Tensor, y: torch.Tensor, k: int) -> torch.Tensor:
    """The sum over chunks of the gradient within each chunk; the state is carried from chunk to chunk."""
    total, state = torch.zeros(()), None
    for start in range(0, TIME, k):
        output, state = seqdyn.scan(cell, x[:, start : start + k], state)[:2]
        total = total + gradient(cell, ((output - y[:, start : start + k]) ** 2).sum())
        state = detach(state)
    return total


def by_hand(cell: seqdyn.Cell, x: torch.Tensor, y: torch.Tensor, k: int) -> torch.Tensor:
    """The same as one loop over time: the state loses its history before the first step of every chunk."""
    h = cell.initial_state(1).h
    loss = torch.zeros(())
    for t in range(TIME):
        h = h.detach() if t % k == 0 else h
        output, (h,) = cell(x[:, t], ElmanState(h))
        loss = loss + ((output - y[:, t]) ** 2).sum()
    return gradient(cell, loss)


def main() -> None:
    cell = seqdyn.Elman(1, 16, output_size=1, generator=torch.Generator().manual_seed(0)).double()
    x, y = sequence()
    full = gradient(cell, ((seqdyn.scan(cell, x).output - y) ** 2).sum())
    print("  k   borders   gap to the full gradient   angle   gap to the loop by hand")
    gaps = {}
    for k in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300):
        cut = truncated(cell, x, y, k)
        gaps[k] = float((cut - full).norm() / full.norm())
        angle = float(torch.rad2deg(torch.arccos((cut @ full / cut.norm() / full.norm()).clamp(-1, 1))))
        hand = float((cut - by_hand(cell, x, y, k)).norm() / full.norm())
        print(f"{k:4d} {-(-TIME // k) - 1:8d} {gaps[k]:19.6f} {angle:13.1f}°  {hand:15.0e}")
        assert hand < 1e-12
    assert gaps[128] < gaps[32] < gaps[8] < gaps[1]
    assert gaps[256] < 1e-12 and gaps[300] < 1e-12


if __name__ == "__main__":
    main()
