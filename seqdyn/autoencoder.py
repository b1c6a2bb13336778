"""Sequence autoencoders: a sequence of any length is encoded as one vector and decoded from it.

    s = encoder(x_1 … x_T),   z = W_z s + b_z
    o_t, h_t = f(z, h_{t-1}),   [x̂_t; e_t] = W_y o_t + b_y,   P(x̂ ends at t) = σ(e_t)

The vector is a held input of the decoder, which sees nothing else: not the true sequence, nor its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell
from seqdyn.encoder import Encoder
from seqdyn.loops import scan
from seqdyn.state import State, flatten, hold, leaves, unflatten
from seqdyn.training.batches import Batch
from seqdyn.training.heads import Bernoulli, Head
from seqdyn.training.objective import Pass, elementwise, total_weight, weighted_mean


class Autoencoder(nn.Module):
    """An encoder and a decoder with one vector between them: (x, mask) → (batch, time, outputs).

    The last output scores whether the sequence ends at this step.

    Parameters
    ----------
    encoder : Encoder
    decoder : Cell
        Takes the vector.
    generator : torch.Generator, optional
        Draws W_z and the start.

    References
    ----------
    Srivastava, Mansimov & Salakhutdinov (2015), Unsupervised learning of video representations using LSTMs (a decoder
    that sees no past); Dai & Le (2015), Semi-supervised sequence learning.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.composition import Readout
    >>> network = Autoencoder(Encoder([GRU(3, 8)]), Readout(GRU(2, 8), 4))
    >>> network.encode(torch.zeros(1, 5, 3)).shape, network(torch.zeros(1, 5, 3)).shape
    (torch.Size([1, 2]), torch.Size([1, 5, 4]))
    """

    def __init__(self, encoder: Encoder, decoder: Cell, generator: torch.Generator | None = None):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.code = Affine(encoder.output_size, decoder.input_size, generator)
        self.start = Affine(decoder.input_size, flatten(decoder.initial_state(1)).shape[1], generator)

    def forward(self, x: Any, mask: Tensor | None = None, noise: Any = None) -> Tensor:
        return self.decode(self.encode(x, mask, noise), leaves(x)[0].shape[1])

    def encode(self, x: Any, mask: Tensor | None = None, noise: Any = None) -> Tensor:
        """z (batch, code) of sequences."""
        return self.code(self.encoder(x, mask, noise).summary)

    def decode(self, z: Tensor, time: int) -> Tensor:
        """The outputs (batch, time, outputs) of vectors (batch, code)."""
        return cast(Tensor, scan(self.decoder, hold(z, time), self.state(z)).output)

    def state(self, z: Tensor) -> State:
        """The state that the decoder starts from, of vectors (batch, code)."""
        return unflatten(torch.tanh(self.start(z)), self.decoder.initial_state(len(z)))


@dataclass(frozen=True)
class Reconstruction:
    """Give back what came in, and end where it ends: the mean of ℓ over all values, and of −ln P(end) over all steps.

    Parameters
    ----------
    head : Head
        What the outputs but the last mean, and what they cost.
    """

    head: Head

    def __call__(
        self, network: Autoencoder, batch: Batch, state: State | None, generator: torch.Generator, progress: float
    ) -> Pass:
        size, time = leaves(batch.x)[0].shape[:2]
        output = network(batch.x, batch.mask, network.encoder.noise(size, time, generator))
        there = batch.mask if batch.mask is not None else torch.ones_like(output[..., 0], dtype=torch.bool)
        values = elementwise(self.head.loss(output[..., :-1], batch.y), batch.y)
        ends = Bernoulli().loss(output[..., -1], last_steps(there))
        weight = there.to(output)
        parts = {"reconstruction": weighted_mean(values, weight.unsqueeze(2)), "end": weighted_mean(ends, weight)}
        loss = parts["reconstruction"] + parts["end"]
        return Pass(loss, total_weight(ends, weight), None, output, parts, batch)


def last_steps(mask: Tensor) -> Tensor:
    """1 at the last step of every row that is there, (batch, time).

    Examples
    --------
    >>> last_steps(torch.tensor([[True, True, False], [True, True, True]])).long()
    tensor([[0, 1, 0],
            [0, 0, 1]])
    """
    return mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1))
