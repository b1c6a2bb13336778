"""The echo state network: a large random recurrence with fixed weights, and a readout found by least squares."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, linear

from seqdyn.affine import Affine
from seqdyn.cell import Block, Cell
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape
from seqdyn.generators import own_generator
from seqdyn.kernels.transforms import transformed


@shown_by_shape
class ReservoirState(NamedTuple):
    """``h`` (batch, hidden)."""

    h: Tensor


class EchoState(Cell):
    """An echo state network: h_t = (1 − a) h_{t-1} + a tanh(W_in x_t + W h_{t-1} + b), y_t = V φ_t + c.

    W_in, W and b are drawn once and are no parameters; the readout sees φ_t = [x_t; h_t; h_t²], the squares of every
    second unit. They break the symmetry (x, h) → (−x, −h), which a readout of h alone would have where b = 0.

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int, optional
        Width of y_t. None leaves out the readout: y_t = φ_t.
    leak : float in (0, 1]
        a: 1 forgets at once what W does not keep, a small one makes slow units.
    spectral_radius : float, at least 0
        The largest |eigenvalue| of W: how long it remembers.
    input_scale : float, at least 0
        The standard deviation of W_in x_t for independent inputs of unit variance.
    bias_scale : float, at least 0
        b is uniform in ± this.
    connections : int, at least 1
        How many units each unit hears.
    squares : bool
        Show the readout h_t², too.
    generator : torch.Generator, optional
        Draws all of them; a fresh one if None.

    Attributes
    ----------
    input_weight : Tensor, shape (hidden, inputs)
        W_in, a buffer.
    sources : Tensor of int64, shape (hidden, connections)
        The units that each unit hears, a buffer.
    recurrent_weight : Tensor, shape (hidden, connections)
        What it makes of them, the entries of W that are not 0, a buffer.
    bias : Tensor, shape (hidden,)
        b, a buffer.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    Jaeger (2001), The "echo state" approach to analysing and training recurrent neural networks; Pathak, Hunt, Girvan,
    Lu & Ott (2018), Model-free prediction of large spatiotemporally chaotic systems, for the squares.

    Examples
    --------
    >>> from seqdyn.loops import scan
    >>> cell = EchoState(3, 100, generator=torch.Generator().manual_seed(0))
    >>> scan(cell, torch.zeros(1, 5, 3)).output.shape
    torch.Size([1, 5, 153])
    >>> radius = torch.linalg.eigvals(cell.recurrent_matrix()).abs().max()
    >>> round(float(radius), 3)
    0.9
    """

    input_weight: Tensor
    sources: Tensor
    recurrent_weight: Tensor
    bias: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        leak: float = 1.0,
        spectral_radius: float = 0.9,
        input_scale: float = 0.2,
        bias_scale: float = 1.0,
        connections: int = 10,
        squares: bool = True,
        generator: torch.Generator | None = None,
    ):
        if not 0 < leak <= 1:
            raise ValueError(f"leak must lie in (0, 1], got {leak}.")
        scales = {"spectral_radius": spectral_radius, "input_scale": input_scale, "bias_scale": bias_scale}
        for name, value in scales.items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be a number of at least 0, got {value}.")
        check_count("hidden_size", hidden_size)
        features = input_size + hidden_size + (-(-hidden_size // 2) if squares else 0)
        super().__init__(input_size, hidden_size, features if output_size is None else output_size)
        self.leak, self.squares, self.connections = leak, squares, check_count("connections", connections)
        self.spectral_radius, self.input_scale, self.bias_scale = spectral_radius, input_scale, bias_scale
        self._draw(own_generator(generator))
        self.affine = None if output_size is None else Affine(features, output_size, generator)

    def _draw(self, generator: torch.Generator) -> None:
        """W_in, W and b."""
        hidden, inputs = self.hidden_size, self.input_size

        def uniform(*shape: int) -> Tensor:
            return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1

        dtype = torch.get_default_dtype()
        count = min(self.connections, hidden)
        sources = torch.rand(hidden, hidden, generator=generator).topk(count, 1).indices
        weight = uniform(hidden, count)
        radius = float(torch.linalg.eigvals(_dense(sources, weight)).abs().max())
        weight = weight * (self.spectral_radius / radius if radius else 0.0)
        spread = math.sqrt(3 / max(1, inputs))  # a uniform number in ±√3 has unit variance
        self.register_buffer("input_weight", (self.input_scale * spread * uniform(hidden, inputs)).to(dtype))
        self.register_buffer("sources", sources)
        self.register_buffer("recurrent_weight", weight.to(dtype))
        self.register_buffer("bias", (self.bias_scale * uniform(hidden)).to(dtype))

    def recurrent_matrix(self) -> Tensor:
        """W, shape (hidden, hidden): row i holds what unit i makes of the others."""
        return _dense(self.sources, self.recurrent_weight)

    def initial_state(self, batch: int) -> ReservoirState:
        return ReservoirState(self.zeros(batch, self.hidden_size))

    def forward(self, x: Tensor, state: ReservoirState) -> tuple[Tensor, ReservoirState]:
        h = self._moved(linear(x, self.input_weight, self.bias), state.h)
        return self._read(x, h), ReservoirState(h)

    def unroll(self, x: Tensor, state: ReservoirState, mask: Tensor | None = None) -> Any:
        """The inputs are summed and the readout is taken for all steps at once."""
        if mask is not None:
            return NotImplemented
        h, states = state.h, []
        for driven in linear(x, self.input_weight, self.bias).unbind(1):
            h = self._moved(driven, h)
            states.append(h)
        return self._read(x, torch.stack(states, 1)), ReservoirState(h)

    def jacobian(self, x: Tensor, before: ReservoirState, output: Tensor, after: ReservoirState) -> Tensor:
        slope = self._slope(x, before)
        kept = (1 - self.leak) * torch.eye(self.hidden_size).to(x)
        return kept + slope.unsqueeze(2) * self.recurrent_matrix()

    def block(self, x: Tensor, before: ReservoirState, output: Tensor, after: ReservoirState) -> Block:
        input_map = self._slope(x, before).unsqueeze(2) * self.input_weight
        transition = self.jacobian(x, before, output, after)
        whole = torch.eye(self.input_size).to(x).expand(len(x), -1, -1)
        feedthrough = torch.cat([whole, *self._seen(input_map, after.h)], 1)
        readout = torch.cat([torch.zeros_like(input_map.mT), *self._seen(transition, after.h)], 1)
        if self.affine is not None:
            feedthrough, readout = self.affine.weight @ feedthrough, self.affine.weight @ readout
        return Block(feedthrough, readout, input_map, transition)

    def constructor_arguments(self) -> dict[str, Any]:
        return {"output_size": None} if self.affine is None else {}

    def _moved(self, driven: Tensor, h: Tensor) -> Tensor:
        """h_t from W_in x_t + b and h_{t-1}."""
        return (1 - self.leak) * h + self.leak * torch.tanh(driven + self._from_neurons(h))

    def _from_neurons(self, h: Tensor) -> Tensor:
        """W h, of the entries that are not 0 alone; fused where nobody asks for a derivative."""
        if torch.is_grad_enabled() or transformed():
            states = h.index_select(1, self.sources.flatten()).unflatten(1, self.sources.shape)
            return (states * self.recurrent_weight).sum(2)
        units = h.T.contiguous()
        return embedding_bag(self.sources, units, per_sample_weights=self.recurrent_weight, mode="sum").T

    def _read(self, x: Tensor, h: Tensor) -> Tensor:
        features = torch.cat([x, h, h[..., ::2] ** 2] if self.squares else [x, h], -1)
        return features if self.affine is None else self.affine(features)

    def _slope(self, x: Tensor, before: ReservoirState) -> Tensor:
        """a (1 − tanh²), (batch, hidden)."""
        driven = linear(x, self.input_weight, self.bias) + self._from_neurons(before.h)
        return self.leak * (1 - torch.tanh(driven) ** 2)

    def _seen(self, rows: Tensor, h: Tensor) -> list[Tensor]:
        """From the derivative of h to those of what the readout sees of it."""
        return [rows, 2 * h[:, ::2].unsqueeze(2) * rows[:, ::2]] if self.squares else [rows]


def _dense(sources: Tensor, weight: Tensor) -> Tensor:
    """The matrix with these entries in the columns ``sources`` of every row."""
    return weight.new_zeros(len(sources), len(sources)).scatter(1, sources, weight)
