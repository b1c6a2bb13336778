"""Encoder and decoder: one sequence, or a picture, becomes another sequence.

    h_1 … h_S, s = encoder(x)                       rows that are remembered, and a summary
    memory = (keys, values) of the rows             or of the summary alone
    y_t, d_t = decoder((y_{t-1}, memory), d_{t-1}),  d_0 = tanh(W s + b)

The memory is held: its keys and values are made once. A sequence that is known is one pass
(:meth:`EncoderDecoder.forced`); one that is not is a rollout, and :func:`searched` finds likely ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.autoregression import OwnPast, Past
from seqdyn.cell import Attending, Cell, noisy
from seqdyn.cells.hard_attention import Explored, HardAttention
from seqdyn.checks import check_count
from seqdyn.decoding import Beam, Hypothesis, hypotheses
from seqdyn.loops import rollout, scan
from seqdyn.scores import Attentive, Memory
from seqdyn.state import State, flatten, hold, map_leaves, unflatten
from seqdyn.wrapper import Wrapper


class EncodedSource(NamedTuple):
    """What a decoder starts from: the ``memory`` that it reads, and its first ``state``."""

    memory: Memory
    state: State


class PairNoise(NamedTuple):
    """What is drawn for one pass: for the encoder and for the decoder."""

    encoder: Any
    decoder: Any


class EncoderDecoder(nn.Module):
    """An encoder, and a decoder that attends to it: p(y | x) = ∏ p(y_t | y_1 … y_{t-1}, x).

    Parameters
    ----------
    encoder : nn.Module
        ``(x, mask, noise) -> Encoding``: rows (batch, source, ·) and a summary (batch, ·), such as an
        :class:`~seqdyn.encoder.Encoder`.
    decoder : Cell
        Around one that attends, such as an :class:`~seqdyn.cells.attention.AttentionDecoder`. Any numbers between −1
        and 1 have to be a state of it: an LSTM's are, a window with marks of what was seen is not.
    summarised : bool
        Remember the summary alone, as one row, rather than every row: no attention, since there is one place to look
        at.
    generator : torch.Generator, optional
        Draws W.

    References
    ----------
    Sutskever, Vinyals & Le (2014) and Cho et al. (2014), eq. (7) (summarised); Bahdanau, Cho & Bengio (2015).

    Examples
    --------
    >>> from seqdyn.cells.attention import AttentionDecoder
    >>> from seqdyn.cells.gru import GRU
    >>> from seqdyn.composition import Embedding, Identity
    >>> from seqdyn.encoder import Encoder
    >>> from seqdyn.scores import Attention
    >>> encoder = Encoder([Embedding(Identity(4), 7), (GRU(4, 5), GRU(4, 5))])
    >>> decoder = Embedding(AttentionDecoder(GRU(6, 6), Attention("general", 6, 10)), 9, tied=8)
    >>> network = EncoderDecoder(encoder, decoder)
    >>> source, seen = torch.tensor([[3, 1, 2]]), torch.tensor([[8, 5]])
    >>> network.forced(source, None, seen).shape
    torch.Size([1, 2, 8])
    """

    def __init__(
        self, encoder: nn.Module, decoder: Cell, summarised: bool = False, generator: torch.Generator | None = None
    ):
        super().__init__()
        if not decoder.attends:
            raise ValueError(
                f"{type(decoder).__name__} reads no memory: put an AttentionDecoder around it, or inside it."
            )
        self.encoder, self.decoder, self.summarised = encoder, decoder, summarised
        size = flatten(decoder.initial_state(1)).shape[1]
        self.start = Affine(cast(int, encoder.output_size), size, generator)

    def encode(self, x: Any, mask: Tensor | None = None, noise: Any = None) -> EncodedSource:
        """Read sources (batch, source, …), of which the mask says what is there."""
        rows, summary = self.encoder(x, mask, noise)
        memory = self.attention.memory(summary.unsqueeze(1)) if self.summarised else self.attention.memory(rows, mask)
        like = self.decoder.initial_state(len(summary))
        return EncodedSource(memory, unflatten(torch.tanh(self.start(summary)), like))

    def forced(self, x: Any, mask: Tensor | None, seen: Any, noise: PairNoise | None = None) -> Any:
        """The decoder's outputs (batch, time, …) where it sees what is given, (batch, time, …)."""
        drawn = noise or PairNoise(None, None)
        memory, state = self.encode(x, mask, drawn.encoder)
        time = seen.shape[1]
        return scan(self.decoder, noisy(Attending(seen, hold(memory, time)), drawn.decoder), state).output

    def explored(self, x: Any, mask: Tensor | None, seen: Any, uniform: Tensor, noise: PairNoise | None) -> Explored:
        """The same where a decoder with hard attention looks at one row at each step, by uniform numbers
        (batch, time)."""
        drawn = noise or PairNoise(None, None)
        memory, state = self.encode(x, mask, drawn.encoder)
        given, cell = noisy(Attending(seen, hold(memory, seen.shape[1])), drawn.decoder), self.decoder
        while isinstance(cell, Wrapper):
            given, cell = cell.see(given), cell.cell
        if not isinstance(cell, HardAttention):
            raise TypeError(f"{type(cell).__name__} does not look at one row at a time: take HardAttention.")
        return cell.explore(given, state, uniform)

    def partly_forced(self, x: Any, mask: Tensor | None, seen: Tensor, known: Tensor, noise: PairNoise | None) -> Any:
        """The same where of the tokens (batch, time) only some are ``known``: else it sees its own likeliest one."""
        drawn = noise or PairNoise(None, None)
        memory, state = self.encode(x, mask, drawn.encoder)
        own = OwnPast(self.decoder, Attending, likeliest)
        given = Past(seen, known, hold(memory, seen.shape[1]))
        return scan(own, noisy(given, drawn.decoder), own.start_from(state)).output

    @torch.no_grad()
    def weights(self, x: Any, mask: Tensor | None, seen: Any) -> tuple[Tensor, Tensor]:
        """α (batch, time, rows) of the same pass, and which rows of the memory are there, (batch, rows)."""
        memory, state = self.encode(x, mask)
        given = Attending(seen, hold(memory, seen.shape[1]))
        recorded = scan(self.decoder, given, state, record=self.decoder.gates).record
        return cast(Tensor, recorded["attention"]), memory.there

    def noise(self, batch: int, source: int, time: int, generator: torch.Generator) -> PairNoise:
        """What is drawn for one pass."""
        drawn = cast(Any, self.encoder).noise(batch, source, generator)
        return PairNoise(drawn, self.decoder.noise(batch, time, generator))

    @property
    def attention(self) -> Any:
        """What makes the memory of the encoder's rows: the attention of the decoder."""
        return next(part.attention for part in self.decoder.modules() if isinstance(part, Attentive))


def likeliest(scores: Tensor) -> Tensor:
    """The token that scores (…, symbols) stand for."""
    return scores.argmax(-1)


def searched(network: EncoderDecoder, encoded: EncodedSource, begin: int, beam: Beam) -> list[list[Hypothesis]]:
    """The likeliest sequences for every source, best first: those that ended, then the others.

    ``begin`` is the token before the first; ``beam`` stands around the network's decoder, with its longest length and
    its end.
    """
    steps = check_count("longest", beam.longest)
    memory, state = encoded
    batch = len(memory.there)
    wide = map_leaves(lambda leaf: leaf.unsqueeze(1).expand(-1, beam.width, *leaf.shape[1:]).contiguous(), memory)
    run = rollout(
        beam,
        beam.fanned(state),
        steps,
        last=beam.first(torch.full((batch,), begin, device=memory.there.device)),
        feed=lambda extension, held: Attending(extension.symbol, held),
        exogenous=hold(wide, steps),
        until=lambda extension: extension.over,
    )
    return hypotheses(beam, run)
