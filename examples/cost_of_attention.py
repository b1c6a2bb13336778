"""What attention costs as sequences grow: scores that are computed, rows that are read, and milliseconds.

Soft attention compares every step with every row of the source, and reads them all: T · S. A window needs the last n
steps: T · n (computed in blocks, which cost up to five times that here). Hard attention reads one row a step, but to
choose it compares them all: it reads less, and is no faster.
"""

import time

import torch

from seqdyn import Attending, hold, scan
from seqdyn.cells.attention import AttentionDecoder
from seqdyn.cells.gru import GRU
from seqdyn.cells.hard_attention import HardAttention
from seqdyn.cells.window_attention import WindowAttention
from seqdyn.scores import Attention

WIDTH, WINDOW, LENGTHS = 32, 32, (128, 256, 512, 1024, 2048)


def seconds(run) -> float:
    """The least of five."""
    found = []
    for _ in range(5):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return min(found)


@torch.no_grad()
def main() -> None:
    draw = torch.Generator().manual_seed(0)
    soft = AttentionDecoder(GRU(WIDTH, WIDTH, generator=draw), Attention("general", WIDTH, WIDTH, draw), generator=draw)
    hard = HardAttention(GRU(WIDTH, WIDTH, generator=draw), Attention("general", WIDTH, WIDTH, draw), 10, draw)
    window = WindowAttention(WIDTH, WINDOW, generator=draw)
    print(f"{'':8} | {'soft':^31} | {'hard':^31} | {'window of 32':^31}")
    print(f"{'length':>8}" + 3 * f" | {'scores':>11} {'rows':>11} {'ms':>7}")
    counts, spent = {}, {}
    for length in LENGTHS:
        x = torch.randn(1, length, WIDTH, generator=draw)
        uniform = torch.rand(1, length, generator=draw)
        own = {name: cell.attention.memory(x) for name, cell in (("soft", soft), ("hard", hard))}
        given = {name: Attending(x, hold(memory, length)) for name, memory in own.items()}
        counts[length] = [(length**2, length**2), (length**2, length), (length * WINDOW, length * WINDOW)]
        runs = (
            lambda: scan(soft, given["soft"]),  # noqa: B023
            lambda: hard.explore(given["hard"], hard.initial_state(1), uniform),  # noqa: B023
            lambda: scan(window, x),  # noqa: B023
        )
        spent[length] = [1e3 * seconds(run) for run in runs]
        cells = zip(counts[length], spent[length], strict=True)
        print(f"{length:>8}" + "".join(f" | {a:>11,} {b:>11,} {ms:>7.2f}" for (a, b), ms in cells))
    first, last = LENGTHS[0], LENGTHS[-1]
    grown = [after / before for before, after in zip(spent[first], spent[last], strict=True)]
    print(f"{last // first} times as long: {grown[0]:.0f}, {grown[1]:.0f} and {grown[2]:.0f} times the time")
    assert grown[0] > 1.5 * grown[2] and grown[1] > 1.5 * grown[2]


if __name__ == "__main__":
    main()
