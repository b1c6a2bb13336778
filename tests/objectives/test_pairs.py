"""An encoder and a decoder: sequences and their reverses, of unlike lengths, in buckets, with masks on both sides."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout
from seqdyn.loops import scan
from seqdyn.training.batches import Batch, Rows
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Pass, evaluated, total_weight, weighted_mean
from seqdyn.training.pairs import Pairs

SYMBOLS, BEGIN = 6, 6
HEAD = CrossEntropy(SYMBOLS)


class Translator(nn.Module):
    """The state after the source is where the decoder starts; it sees the symbol before."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.encoder = GRU(SYMBOLS, 48, generator=draw)
        self.decoder = Readout(GRU(SYMBOLS + 1, 48, generator=draw), SYMBOLS, generator=draw)

    def forward(self, source: Tensor, mask: Tensor, target: Tensor, there: Tensor) -> Any:
        summary = scan(self.encoder, nn.functional.one_hot(source, SYMBOLS).float(), mask=mask).state
        before = torch.cat([torch.full_like(target[:, :1], BEGIN), target[:, :-1]], 1)
        return scan(self.decoder, nn.functional.one_hot(before, SYMBOLS + 1).float(), summary, mask=there).output


def translation(network: Any, batch: Batch, state: Any, generator: torch.Generator, progress: float) -> Pass:
    """The cross-entropy of the next symbol, and how many are right."""
    target, there = batch.y
    scores = network(batch.x, batch.mask, target, there)
    values, right = HEAD.loss(scores, target[..., None]), (HEAD.point(scores)[..., 0] == target).float()
    weight = batch.weight[..., None]
    parts = {"right": weighted_mean(right, batch.weight)}
    return Pass(weighted_mean(values, weight), total_weight(values, weight), output=scores, parts=parts)


def pairs(count: int, seed: int) -> Pairs:
    draw = torch.Generator().manual_seed(seed)
    sources = [torch.randint(SYMBOLS, (int(n),), generator=draw) for n in torch.randint(1, 6, (count,), generator=draw)]
    return Pairs(Rows.of(sources), Rows.of([source.flip(0) for source in sources]), batch_size=32)


def test_an_encoder_and_a_decoder_learn_to_reverse() -> None:
    """Of sequences it has not seen 95 % of the symbols are right; by chance a sixth."""
    network = Translator()
    Trainer(network, pairs(2000, 0), translation, Recipe(max_epochs=14), torch.Generator()).run()
    assert evaluated(Translator(), pairs(400, 1), translation)["right"] < 0.35
    assert evaluated(network, pairs(400, 1), translation)["right"] > 0.95
