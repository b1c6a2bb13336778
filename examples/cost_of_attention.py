"""What attention costs as sequences grow: multiplications, counted, and milliseconds.

Soft attention compares every step with every row of the source, and reads them all: T · S. A window needs the last n
steps: T · n. Hard attention reads one row a step, but to choose it compares them all: it reads less, and is no faster.
"""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from seqdyn import Attending, hold, scan
from seqdyn.cells.attention import AttentionDecoder
from seqdyn.cells.gru import GRU
from seqdyn.cells.hard_attention import HardAttention
from seqdyn.cells.window_attention import WindowAttention
from seqdyn.scores import Attention

WIDTH, WINDOW, LENGTHS = 32, 32, (128, 256, 512, 1024, 2048)


def cost(run) -> tuple[float, float]:
    """Millions of multiplications in products of matrices, and the least milliseconds of five runs."""
    with FlopCounterMode(display=False) as counter:
        run()
    found = []
    for _ in range(5):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return counter.get_total_flops() / 2e6, 1e3 * min(found)


@torch.no_grad()
def main() -> None:
    draw = torch.Generator().manual_seed(0)
    soft = AttentionDecoder(GRU(WIDTH, WIDTH, generator=draw), Attention("general", WIDTH, WIDTH, draw), generator=draw)
    hard = HardAttention(GRU(WIDTH, WIDTH, generator=draw), Attention("general", WIDTH, WIDTH, draw), 10, draw)
    window = WindowAttention(WIDTH, WINDOW, generator=draw)
    print(f"{'':8} | {'soft':^16} | {'hard':^16} | {'window of 32':^16}")
    print(f"{'length':>8}" + 3 * f" | {'million':>8} {'ms':>7}")
    costs = {}
    for length in LENGTHS:
        x = torch.randn(1, length, WIDTH, generator=draw)
        uniform = torch.rand(1, length, generator=draw)
        given = {
            name: Attending(x, hold(cell.attention.memory(x), length))
            for name, cell in (("soft", soft), ("hard", hard))
        }
        runs = (
            lambda: scan(soft, given["soft"]),  # noqa: B023
            lambda: hard.explore(given["hard"], hard.initial_state(1), uniform),  # noqa: B023
            lambda: scan(window, x),  # noqa: B023
        )
        costs[length] = [cost(run) for run in runs]
        print(f"{length:>8}" + "".join(f" | {count:>8,.1f} {ms:>7.2f}" for count, ms in costs[length]))
    first, last = LENGTHS[-2], LENGTHS[-1]
    grown = [after[0] / before[0] for before, after in zip(costs[first], costs[last], strict=True)]
    print(f"twice as long: {grown[0]:.1f}, {grown[1]:.1f} and {grown[2]:.1f} times the multiplications")
    assert grown[0] > 3.0 and grown[1] > 3.0 and grown[2] < 2.1


if __name__ == "__main__":
    main()
