"""Teacher forcing of an encoder and a decoder: the objective of sequences beside sequences.

    loss = Σ m_t ℓ(decoder(y_{t-1}), y_t) / Σ m_t,   y_{-1}: the beginning

What the decoder sees is data: the true value before, or, where a coin of
:class:`~seqdyn.teacher_forcing.TeacherForcing` says so, what the decoder itself holds for the likeliest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.state import State, leaves
from seqdyn.teacher_forcing import TeacherForcing
from seqdyn.training.batches import Batch
from seqdyn.training.heads import Head
from seqdyn.training.objective import Pass, elementwise, total_weight, weighted_mean

FULL = TeacherForcing()
"""Every step sees the true value."""


@dataclass(frozen=True)
class Forced:
    """Predict every value of a target from the source and those before it.

    Its batches are those of :class:`~seqdyn.training.batches.Pairs`.

    Parameters
    ----------
    head : Head
        What the decoder's outputs mean, and what they cost.
    begin : int
        The token that stands before the first.
    forcing : TeacherForcing
        Which steps see the true value before.
    """

    head: Head
    begin: int
    forcing: TeacherForcing = FULL

    def __call__(
        self, network: EncoderDecoder, batch: Batch, state: State | None, generator: torch.Generator, progress: float
    ) -> Pass:
        target, there = batch.y
        noise = network.noise(len(target), leaves(batch.x)[0].shape[1], target.shape[1], generator)
        seen, mask = following(self.begin, target), source_mask(batch)
        if self.forcing.is_full or not network.training:
            output = network.forced(batch.x, mask, seen, noise)
        else:
            batch_size, time = target.shape[:2]
            known = self.forcing.known(batch_size, time, there.sum(1), progress, generator)
            known = known.to(next(network.parameters()))
            known[:, 0] = 1.0
            output = network.partly_forced(batch.x, mask, seen, known, noise)
        values = elementwise(self.head.loss(output, target), target)
        return Pass(weighted_mean(values, batch.weight), total_weight(values, batch.weight), None, output, {}, batch)


def source_mask(batch: Batch) -> Tensor | None:
    """Which steps of the sources are there; None if all are."""
    return None if batch.mask is None or bool(batch.mask.all()) else batch.mask


def following(begin: int, tokens: Tensor) -> Any:
    """What a decoder sees when tokens (batch, time) are its targets: the one before each, ``begin`` before the first.

    Examples
    --------
    >>> following(9, torch.tensor([[4, 5, 6]]))
    tensor([[9, 4, 5]])
    """
    return torch.nn.functional.pad(tokens[:, :-1], (1, 0), value=begin)
