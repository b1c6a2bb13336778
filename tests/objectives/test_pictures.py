"""Films: a cell whose inputs and outputs are pictures, over rows of them; the next picture is its target."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.cell import Cell
from seqdyn.training.batches import Rows, Spans
from seqdyn.training.heads import Bernoulli
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Supervised, evaluated
from tests.laws.kinds import Pictures

SIZE = 6


def films(count: int, seed: int) -> Rows:
    """A pixel that falls one row a step and jumps to the top: 1 in 36 of every picture, of unlike lengths."""
    draw = torch.Generator().manual_seed(seed)
    parts = []
    for length in torch.randint(6, 12, (count,), generator=draw).tolist():
        row, column = torch.randint(SIZE, (2,), generator=draw).tolist()
        film = torch.zeros(length + 1, 1, SIZE, SIZE)
        film[torch.arange(length + 1), 0, (row + torch.arange(length + 1)) % SIZE, column] = 1.0
        parts.append(film)
    return Rows.of([film[:-1] for film in parts], [film[1:] for film in parts])


class Falling(Pictures):
    """The memory of :class:`Pictures`, read as logits: Y_t = 8 K_y ∗ H_t − 4, with borders that meet."""

    def __init__(self) -> None:
        super().__init__(1, SIZE, SIZE)
        self.see = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h, after = super().forward(x, state)
        return 8 * h - 4, after


def test_a_cell_of_pictures_learns_what_comes_next() -> None:
    """The cost of a picture it has not seen falls to a tenth of that of pixels drawn by their share alone."""
    torch.manual_seed(0)
    with torch.random.fork_rng():
        cell: Cell = Falling()
    objective = Supervised(Bernoulli())
    unseen = Spans(films(50, 1), 16)
    batch = next(unseen.epoch(torch.Generator()))
    assert batch.x.shape[2:] == batch.y.shape[2:] == (1, SIZE, SIZE) and batch.mask is not None
    Trainer(
        cell, Spans(films(200, 0), 16), objective, Recipe(max_epochs=40, learning_rate=0.02), torch.Generator()
    ).run()
    share = torch.tensor(1 / SIZE**2)
    alone = float(-share * share.log() - (1 - share) * (1 - share).log())
    assert evaluated(cell, unseen, objective)["loss"] < 0.1 * alone
