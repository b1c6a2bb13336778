"""DRAW: a picture painted in glimpses, by a recurrent variational autoencoder.

    x̂_t = x − σ(c_{t-1})                                        what is lacking yet
    r_t = read(x, x̂_t, h^dec_{t-1})
    h^enc_t = RNN^enc([r_t; h^dec_{t-1}], h^enc_{t-1})
    μ_t = W_μ h^enc_t + b_μ,   ln σ_t = 5 tanh((W_σ h^enc_t + b_σ)/5)
    z_t = μ_t + σ_t ⊙ ε_t                                       ε_t ~ N(0, I), new at every step
    h^dec_t = RNN^dec(z_t, h^dec_{t-1})
    c_t = c_{t-1} + write(h^dec_t)                              the canvas: log-odds of every pixel

:class:`Painter` is the last two lines: from z_t to the canvas, and with z_t ~ N(0, I) it makes new pictures. Around it,
with the same parameters, :class:`DRAWCell` sees a picture.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from seqdyn.affine import Affine
from seqdyn.cell import Cell, Summing, apart, noisy
from seqdyn.facts import shown_by_shape
from seqdyn.glimpses import Read, Write
from seqdyn.loops import walk
from seqdyn.state import State, constant, hold, is_held

LARGEST_LOG_SCALE = 5.0
"""ln σ_t is 5 tanh(· / 5)."""


@shown_by_shape
class PainterState(NamedTuple):
    """``canvas`` (batch, channels, height, width), and the ``decoder``'s state."""

    canvas: Tensor
    decoder: State


class Painter(Cell):
    """A decoder that adds to a canvas: from z_t to c_t.

    Parameters
    ----------
    decoder : Cell
        From z_t to numbers.
    write : Write

    Attributes
    ----------
    start : Parameter, shape (channels, height, width)
        c_0; starts at 0.

    References
    ----------
    Gregor et al. (2015), DRAW: A recurrent neural network for image generation, eqs. (7) and (8).
    """

    def __init__(self, decoder: Cell, write: Write):
        super().__init__(decoder.input_size, decoder.hidden_size)
        self.decoder, self.write = decoder, write
        self.start = nn.Parameter(torch.zeros(write.shape))
        self.output_shape = write.shape

    def initial_state(self, batch: int) -> PainterState:
        return PainterState(self.start.expand(batch, -1, -1, -1), self.decoder.initial_state(batch))

    def forward(self, x: Tensor, state: PainterState) -> tuple[Tensor, PainterState]:
        h, decoder = self.decoder(x, state.decoder)
        canvas = state.canvas + self.write(h)
        return canvas, PainterState(canvas, decoder)


@shown_by_shape
class DRAWState(NamedTuple):
    """The ``encoder``'s state, what was ``heard`` (batch, hidden) of the decoder last, and the ``painter``'s state."""

    encoder: State
    heard: Tensor
    painter: PainterState


class Latent(NamedTuple):
    """The latent variable of a step: ``z``, drawn from N(``mean``, exp(``log_scale``)²); leaves (batch, latent)."""

    z: Tensor
    mean: Tensor
    log_scale: Tensor


class DRAWCell(Cell):
    """A painter that compares its canvas with the picture: it maps the picture to z_t, its mean and its scale.

    The canvas is in its state. Its noise is ε, (batch, time, latent); without noise z_t is its mean.

    Parameters
    ----------
    encoder : Cell
        From [r_t; h^dec_{t-1}] to numbers.
    painter : Painter
    read : Read
    generator : torch.Generator, optional
        Draws W_μ and W_σ.

    References
    ----------
    Gregor et al. (2015), DRAW: A recurrent neural network for image generation, eqs. (3) to (8).

    Examples
    --------
    >>> from seqdyn.cells.lstm import LSTM
    >>> from seqdyn.loops import scan
    >>> shape = (1, 6, 6)
    >>> read = Read(shape, 8, size=3)
    >>> cell = DRAWCell(LSTM(read.output_size + 8, 8), Painter(LSTM(2, 8), Write(shape, 8, size=3)), read)
    >>> run = scan(cell, hold(torch.zeros(1, *shape), 4))
    >>> run.output.z.shape, run.state.painter.canvas.shape
    (torch.Size([1, 4, 2]), torch.Size([1, 1, 6, 6]))
    """

    output_shape = None

    def __init__(self, encoder: Cell, painter: Painter, read: Read, generator: torch.Generator | None = None):
        wide = read.output_size + painter.decoder.output_size
        if encoder.input_shape != (wide,):
            raise ValueError(
                f"The encoder takes {encoder.input_shape}, but is given {read.output_size} numbers read and "
                f"{painter.decoder.output_size} of the decoder: make its input_size {wide}."
            )
        super().__init__(read.output_size, encoder.hidden_size, painter.input_size)
        self.encoder, self.painter, self.read = encoder, painter, read
        self.mean = Affine(encoder.output_size, painter.input_size, generator)
        self.log_scale = Affine(encoder.output_size, painter.input_size, generator)
        self.input_shape = read.shape

    def initial_state(self, batch: int) -> DRAWState:
        heard = self.zeros(batch, self.painter.decoder.output_size)
        return DRAWState(self.encoder.initial_state(batch), heard, self.painter.initial_state(batch))

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Tensor:
        like = self.zeros(1)
        return torch.randn(batch, time, self.output_size, generator=generator, dtype=like.dtype).to(like.device)

    def forward(self, x: Any, state: DRAWState) -> tuple[Latent, DRAWState]:
        picture, noise = apart(x)
        lacking = picture - torch.sigmoid(state.painter.canvas)
        seen = self.read(picture, lacking, state.heard)
        h, encoder = self.encoder(torch.cat([seen, state.heard], 1), state.encoder)
        return self.painted(h, noise, encoder, state)

    def painted(self, h: Tensor, noise: Tensor | None, encoder: State, state: DRAWState) -> tuple[Latent, DRAWState]:
        """The rest of a step, from h^enc_t on."""
        mean, log_scale = self.mean(h), LARGEST_LOG_SCALE * torch.tanh(self.log_scale(h) / LARGEST_LOG_SCALE)
        z = mean if noise is None else mean + log_scale.exp() * noise
        heard, decoder = self.painter.decoder(z, state.painter.decoder)
        canvas = state.painter.canvas + self.painter.write(heard)
        return Latent(z, mean, log_scale), DRAWState(encoder, heard, PainterState(canvas, decoder))

    def unroll(self, x: Any, state: DRAWState, mask: Tensor | None = None) -> Any:
        """Where the whole picture is read, its part is computed once: W_1 x + W_2 x̂ = (W_1 + W_2) x − W_2 σ(c)."""
        picture, noise = apart(x)
        encoder = self.encoder
        if mask is not None or self.read.size is not None or not isinstance(encoder, Summing) or not is_held(picture):
            return NotImplemented
        pixels = constant(picture).flatten(1)
        of_x, of_lacking, of_heard = encoder.input_weight.split([*[pixels.shape[1]] * 2, state.heard.shape[1]], 1)
        sums = linear(pixels, of_x + of_lacking, encoder.bias)
        known = noisy(hold(sums, picture.shape[1]), noise)
        return walk(_Known(self, of_lacking, of_heard), known, state)


class _Known(Cell):
    """A :class:`DRAWCell` that is given (W_1 + W_2) x + b in place of x."""

    output_shape = None

    def __init__(self, cell: DRAWCell, of_lacking: Tensor, of_heard: Tensor):
        super().__init__(len(of_lacking), cell.hidden_size)
        self.cell, self.of_lacking, self.of_heard = cell, of_lacking, of_heard

    def forward(self, x: Any, state: DRAWState) -> tuple[Latent, DRAWState]:
        sums, noise = apart(x)
        painted = torch.sigmoid(state.painter.canvas).flatten(1)
        sums = sums - linear(painted, self.of_lacking) + linear(state.heard, self.of_heard)
        h, encoder = cast(Summing, self.cell.encoder).summed(sums, state.encoder)
        return self.cell.painted(h, noise, encoder, state)


class OnCanvas(Cell):
    """A :class:`DRAWCell` whose output is its canvas, (batch, pixels): what instruments look at.

    Parameters
    ----------
    cell : DRAWCell
    """

    def __init__(self, cell: DRAWCell):
        super().__init__(cell.input_size, cell.hidden_size, cell.painter.start.numel())
        self.cell, self.input_shape = cell, cell.input_shape

    def initial_state(self, batch: int) -> DRAWState:
        return self.cell.initial_state(batch)

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Tensor:
        return self.cell.noise(batch, time, generator)

    def forward(self, x: Any, state: DRAWState) -> tuple[Tensor, DRAWState]:
        _, after = self.cell(x, state)
        return after.painter.canvas.flatten(1), after
