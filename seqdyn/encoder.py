"""Encoders of whole sequences, whose layers may run in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell, noisy
from seqdyn.checks import check_choice
from seqdyn.composition import LayerNoise, Readout, Residual, Stack, check_share, layer_noise
from seqdyn.loops import scan


class Encoding(NamedTuple):
    """What an :class:`Encoder` returns: ``output`` (batch, time, outputs) and ``summary`` (batch, outputs)."""

    output: Tensor
    summary: Tensor


POOLINGS = ("last", "mean", "max", "attention")
"""How a sequence is summed up in one row."""


class Pooling(nn.Module):
    """Pools the rows o_1 … o_T of a sequence into one row.

        last         what each direction has seen last
        mean, max    over the steps that are there
        attention    Σ α_t o_t,   α = softmax(vᵀ tanh(W o_t + b))

    Parameters
    ----------
    kind : {"last", "mean", "max", "attention"}
    size : int
        Width of the rows.
    generator : torch.Generator, optional
        Draws W and v.

    References
    ----------
    Bahdanau, Cho & Bengio (2015), eq. (6), for the form of the scores; Yang et al. (2016), Hierarchical attention
    networks for document classification, eqs. (5)–(7).

    Examples
    --------
    >>> rows = torch.tensor([[[1.0], [2.0], [9.0]]])
    >>> Pooling("mean", 1)(rows, rows[:, 1], torch.tensor([[True, True, False]]))
    tensor([[1.5000]])
    """

    def __init__(self, kind: str, size: int, generator: torch.Generator | None = None):
        super().__init__()
        self.kind = check_choice("pooling", kind, POOLINGS)
        self.hidden = Affine(size, size, generator) if kind == "attention" else None
        self.score = Affine(size, 1, generator) if kind == "attention" else None

    def forward(self, output: Tensor, last: Tensor, mask: Tensor | None = None) -> Tensor:
        """The row of outputs (batch, time, size), of which the last of each direction are ``last`` (batch, size)."""
        if self.kind == "last":
            return last
        if self.kind == "max":
            there = output if mask is None else output.masked_fill(~mask.unsqueeze(2), -torch.inf)
            return there.amax(1)
        return (self.weights(output, mask).unsqueeze(2) * output).sum(1)

    def weights(self, output: Tensor, mask: Tensor | None = None) -> Tensor:
        """α (batch, time), which sum to 1 over the steps that are there; of the mean, equal ones."""
        if self.hidden is None or self.score is None:
            scores = output.new_zeros(output.shape[:2])
        else:
            scores = self.score(torch.tanh(self.hidden(output))).squeeze(2)
        return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), 1)


class Encoder(nn.Module):
    """Layers that may look in both directions, for whole sequences: (x, mask) → (output, summary).

    A layer is a :class:`~seqdyn.cell.Cell`, or a pair of cells of which the second walks backwards; a pair's output is
    [→o_t; ←o_t]. It is not a Cell: the past alone does not determine its state.

    Parameters
    ----------
    layers : sequence of Cell or (Cell, Cell)
        From input to output.
    residual : bool
        Add a layer's input to its output where the widths agree.
    dropout : float in [0, 1)
        Share of every layer's outputs dropped in training, one mask a sequence.
    output_size : int, optional
        Read output and summary through y = W_y o + b_y.
    generator : torch.Generator, optional
        Draws W_y, and what the pooling has.
    pooling : {"last", "mean", "max", "attention"}
        How the summary is made, see :class:`Pooling`. ``"last"`` joins what each direction has seen last: →o at the
        last valid step, ←o at the first.

    References
    ----------
    Schuster & Paliwal (1997), Bidirectional Recurrent Neural Networks; Wu et al. (2016) for the first layer
    bidirectional and residual layers above it.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.lstm import LSTM
    >>> google = Encoder([(LSTM(3, 4), LSTM(3, 4)), LSTM(8, 8), LSTM(8, 8)], residual=True)
    >>> output, summary = google(torch.zeros(2, 5, 3))
    >>> output.shape, summary.shape
    (torch.Size([2, 5, 8]), torch.Size([2, 8]))
    """

    layers: Any

    def __init__(
        self,
        layers: Sequence[Cell | tuple[Cell, Cell]],
        residual: bool = False,
        dropout: float = 0.0,
        output_size: int | None = None,
        generator: torch.Generator | None = None,
        pooling: str = "last",
    ):
        super().__init__()
        if not layers:
            raise ValueError("Encoder needs at least one layer, got none.")
        pairs = [tuple(layer) if isinstance(layer, tuple | list) else (layer,) for layer in layers]
        if any(len(pair) not in (1, 2) for pair in pairs):
            raise ValueError(f"A layer is one cell or a pair of cells, got {max(map(len, pairs))} of them.")
        self.input_size, self.input_shape = pairs[0][0].input_size, pairs[0][0].input_shape
        shape = self.input_shape
        for index, pair in enumerate(pairs):
            for cell in pair:
                if cell.input_shape != shape:
                    raise ValueError(
                        f"Layer {index} ({type(cell).__name__}) expects inputs of the shape {cell.input_shape}, but "
                        f"what comes to it has {shape}."
                    )
                if cell.output_shape != (cell.output_size,):
                    raise ValueError(
                        f"Layer {index} ({type(cell).__name__}) gives {cell.output_shape}, expected a row of numbers."
                    )
            shape = (sum(cell.output_size for cell in pair),)
        width = sum(cell.output_size for cell in pairs[-1])
        self.layers = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)
        self.residual = residual
        self.dropout = check_share("dropout", dropout)
        self.output_size = width if output_size is None else output_size
        self.affine = None if output_size is None else Affine(width, output_size, generator)
        self.pooling, self.pool = pooling, Pooling(pooling, width, generator)

    def forward(self, x: Tensor, mask: Tensor | None = None, noise: tuple[LayerNoise, ...] | None = None) -> Encoding:
        """Encode x (batch, time, *input_shape); ``noise`` is what :meth:`noise` drew, in training."""
        x, last = self._layered(x, mask, noise)
        summary = self.pool(x, last, mask)
        return Encoding(x, summary) if self.affine is None else Encoding(self.affine(x), self.affine(summary))

    def attention(self, x: Any, mask: Tensor | None = None) -> Tensor:
        """What every step weighs in the summary, (batch, time); see :meth:`Pooling.weights`."""
        return self.pool.weights(self._layered(x, mask, None)[0], mask)

    def as_cell(self) -> Cell:
        """The same layers and weights as a Cell, whose outputs are those of every step.

        Raises
        ------
        ValueError
            If a layer is bidirectional.
        """
        if any(len(layer) > 1 for layer in self.layers):
            raise ValueError("it is bidirectional and also reads the future. Fit with bidirectional=False.")
        cells = [cell for (cell,) in self.layers]
        if self.residual:
            cells = [Residual(cell) if cell.input_shape == cell.output_shape else cell for cell in cells]
        stack = Stack(cells, self.dropout)
        if self.affine is None:
            return stack
        readout = Readout(stack, self.output_size)
        readout.affine = self.affine
        return readout

    def constructor_arguments(self) -> dict[str, Any]:
        """The constructor arguments, for files, that no attribute of the same name tells."""
        return {"output_size": None} if self.affine is None else {}

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        """One :class:`~seqdyn.composition.LayerNoise` a layer, for one batch; None if there is none."""
        return layer_noise(list(self.layers), self.dropout if self.training else 0.0, batch, time, generator)

    def _layered(self, x: Any, mask: Tensor | None, noise: tuple[LayerNoise, ...] | None) -> tuple[Tensor, Tensor]:
        """The output of the top layer, and what each of its directions has seen last."""
        nothing = (LayerNoise(None, None),) * len(self.layers)
        for layer, (dropped, own) in zip(self.layers, noise or nothing, strict=True):
            output, summary = _both_directions(layer, x, mask, own)
            if self.residual and output.shape == x.shape:
                output, summary = output + x, summary + _summarised_inputs(layer, x, mask)
            if dropped is not None:
                output, summary = output * dropped, summary * dropped[:, 0]
            x = output
        return x, summary


class Ensemble(nn.Module):
    """Several encoders of the same input, with their outputs joined: (x, mask) → (outputs, summaries).

    Parameters
    ----------
    members : sequence of Encoder
        Of the same inputs.

    Examples
    --------
    >>> from seqdyn.cells.gru import GRU
    >>> Ensemble([Encoder([GRU(3, 4)]) for _ in range(2)])(torch.zeros(2, 5, 3)).summary.shape
    torch.Size([2, 8])
    """

    members: Any

    def __init__(self, members: Sequence[Encoder]):
        super().__init__()
        if not members:
            raise ValueError("An Ensemble needs one member at least, got none.")
        self.members = nn.ModuleList(members)
        self.input_size, self.input_shape = members[0].input_size, members[0].input_shape
        self.output_size = sum(member.output_size for member in members)

    def forward(self, x: Any, mask: Tensor | None = None, noise: Any = None) -> Encoding:
        """Encode x (batch, time, *input_shape); ``noise`` is what :meth:`noise` drew, in training."""
        drawn = (None,) * len(self.members) if noise is None else noise
        found = [member(x, mask, own) for member, own in zip(self.members, drawn, strict=True)]
        return Encoding(*(torch.cat(parts, dim=-1) for parts in zip(*found, strict=True)))

    def attention(self, x: Any, mask: Tensor | None = None) -> Tensor:
        """What every step weighs in the summaries, (batch, time), on average."""
        return torch.stack([member.attention(x, mask) for member in self.members]).mean(0)

    def noise(self, batch: int, time: int, generator: torch.Generator) -> Any:
        """What is drawn for every member; None if there is none."""
        drawn = tuple(member.noise(batch, time, generator) for member in self.members)
        return None if all(own is None for own in drawn) else drawn

    def as_cell(self) -> Cell:
        """Nothing: several networks have no one state."""
        raise ValueError(f"it is {len(self.members)} networks side by side. Fit with members=1.")


def _both_directions(layer: Sequence[Cell], x: Tensor, mask: Tensor | None, noise: Any) -> tuple[Tensor, Tensor]:
    noises = (noise,) if len(layer) == 1 else noise or (None, None)
    outputs = [
        scan(cell, noisy(x, own), mask=mask, reverse=index == 1).output
        for index, (cell, own) in enumerate(zip(layer, noises, strict=True))
    ]
    ends = [_end(output, mask, first=index == 1) for index, output in enumerate(outputs)]
    return torch.cat(outputs, dim=-1), torch.cat(ends, dim=-1)


def _summarised_inputs(layer: Sequence[Cell], x: Tensor, mask: Tensor | None) -> Tensor:
    """The input at the step each part of the summary was taken from, for the residual shortcut."""
    pieces = x.split([cell.output_size for cell in layer], dim=-1)
    return torch.cat([_end(piece, mask, first=index == 1) for index, piece in enumerate(pieces)], dim=-1)


def _end(output: Tensor, mask: Tensor | None, first: bool) -> Tensor:
    """The value at each row's first or last valid step."""
    if mask is None:
        return output[:, 0 if first else -1]
    steps = torch.arange(mask.shape[1], device=mask.device)
    step = torch.where(mask, steps, mask.shape[1]).amin(1) if first else torch.where(mask, steps, -1).amax(1)
    step = step.clamp(0, mask.shape[1] - 1)
    return output[torch.arange(len(output), device=output.device), step]
