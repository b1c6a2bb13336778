"""The law table: every cell of the library and its variants. A new cell is one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.autoregression import Columns, OwnPast, Past
from seqdyn.cell import Attending, Cell, Noisy
from seqdyn.cells.attention import AttentionDecoder, ContextInput, InputFeeding
from seqdyn.cells.delay_polynomial import DelayPolynomial
from seqdyn.cells.diagonal_lstm import DiagonalLSTM
from seqdyn.cells.draw import DRAWCell, OnCanvas, Painter
from seqdyn.cells.echo_state import EchoState
from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.cells.gru import GRU
from seqdyn.cells.hard_attention import HardAttention
from seqdyn.cells.linear import Linear
from seqdyn.cells.lru import LRU
from seqdyn.cells.lstm import LSTM, LSTMState
from seqdyn.cells.masked_window import MaskedWindow
from seqdyn.cells.min_gru import MinGRU
from seqdyn.cells.min_lstm import MinLSTM
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.cells.row_lstm import RowLSTM
from seqdyn.cells.window_attention import WindowAttention
from seqdyn.composition import Embedding, Identity, Offset, Readout, Residual, Stack
from seqdyn.decoding import Beam, Drawn
from seqdyn.decoding_strategy import DecodingStrategy
from seqdyn.delay_line import DelayLine
from seqdyn.files import register
from seqdyn.glimpses import Read, Write
from seqdyn.held import Held
from seqdyn.initial_state import Given, Learned, Random, Warmup, Zero
from seqdyn.rows import PixelReadout, PixelResidual, Pixels, Placed, Raster, RowStack
from seqdyn.scores import Attention, Attentive, attention_of
from seqdyn.state import detach, hold, map_leaves
from seqdyn.systems.cascaded_tanks import CascadedTanks
from seqdyn.systems.duffing import Duffing
from seqdyn.systems.henon import Henon
from seqdyn.systems.logistic import Logistic
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.lorenz96 import Lorenz96
from seqdyn.systems.mackey_glass import MackeyGlass
from seqdyn.systems.pendulum import Pendulum
from seqdyn.systems.rossler import Rossler
from seqdyn.systems.salamander import Salamander
from seqdyn.systems.van_der_pol import VanDerPol
from tests.laws.kinds import Asked, Attends, Latent, Memory, Pictures, Tokens

BATCH, TIME = 4, 24
"""Long enough for scan to cut at masks and resets, and for the linear kernel to need a second block."""


def plain(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
    """An input (batch, time, *inputs) of unit variance."""
    shape = cell.input_shape or (cell.input_size,)
    return torch.randn(batch, time, *shape, generator=generator, dtype=torch.float64)


def with_noise(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
    """x with what is drawn for it: dropout masks held in time, a latent variable new at every step."""
    return Noisy(plain(cell, batch, time, generator), cell.noise(batch, time, generator))


def tokens(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
    """Whole numbers (batch, time)."""
    return torch.randint(cell.input_size, (batch, time), generator=generator)


def drawing(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
    """Tokens, and the numbers by which the next ones are drawn."""
    return Noisy(tokens(cell, batch, time, generator), cell.noise(batch, time, generator))


def levels(cell: Pixels, batch: int, time: int, generator: torch.Generator) -> Any:
    """Rows of whole values, as numbers."""
    shape = (batch, time, cell.width)
    return torch.randint(cell.levels, shape, generator=generator).double()


def picture(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
    """A picture that is held, and a latent variable new at every step."""
    shape = cell.input_shape or ()
    x = torch.rand(batch, *shape, generator=generator, dtype=torch.float64)
    return Noisy(hold(x, time), cell.noise(batch, time, generator))


def several(width: int) -> Callable[..., Any]:
    """Tokens (batch, time, width)."""
    return lambda cell, batch, time, generator: torch.randint(
        cell.input_size, (batch, time, width), generator=generator
    )


def asked(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
    """A query at every step, and a memory that is held."""
    width = next(part for part in cell.modules() if isinstance(part, Attends)).memory_size
    keys, values = (torch.randn(batch, 5, width, generator=generator, dtype=torch.float64) for _ in range(2))
    return Asked(plain(cell, batch, time, generator), hold(Memory(keys, values), time))


def attending(inputs: Callable[..., Any] = plain) -> Callable[..., Any]:
    """An input at every step, and a memory that is held, of five rows of which some are not there."""

    def both(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
        attention = next(part.attention for part in cell.modules() if isinstance(part, Attentive))
        rows = torch.randn(batch, 5, attention.memory_size, generator=generator, dtype=cell.zeros(1).dtype)
        there = torch.arange(5) < torch.randint(1, 6, (batch, 1), generator=generator)
        x = Attending(inputs(cell, batch, time, generator), hold(attention.memory(rows, there), time))
        drawn = cell.noise(batch, time, generator)
        return detach(x if drawn is None else Noisy(x, drawn))

    return both


def past(exogenous: Callable[..., Any] | None = None, share: float = 0.5, noise: bool = False) -> Callable[..., Any]:
    """Last values, some of them known, some half known; beside them what a function makes of the cell."""

    def inputs(cell: OwnPast, batch: int, time: int, generator: torch.Generator) -> Any:
        value = torch.randn(batch, time, *cell.value_shape, generator=generator, dtype=torch.float64)
        coins = torch.rand(batch, time, generator=generator, dtype=torch.float64)
        known = torch.where(coins < share, 1.0, torch.where(coins < (1 + share) / 2, 0.0, 0.3))
        known = known.reshape(batch, time, *[1] * (value.dim() - 2)).expand_as(value).clone()
        x = Past(value, known, exogenous and exogenous(cell, batch, time, generator))
        return Noisy(x, cell.noise(batch, time, generator)) if noise else x

    return inputs


def others(width: int) -> Callable[..., Any]:
    """Inputs (batch, time, width) beside the past."""
    return lambda cell, batch, time, generator: torch.randn(
        batch, time, width, generator=generator, dtype=torch.float64
    )


def memory(cell: Cell, batch: int, time: int, generator: torch.Generator) -> Any:
    """The held memory alone."""
    return asked(cell, batch, time, generator).memory


@register
def most_likely(value: Tensor, _: Any) -> Tensor:
    """Scores as the token they stand for."""
    return value.argmax(-1)


@register
def asking(value: Tensor, memory: Any) -> Asked:
    """The last value as the query."""
    return Asked(value, memory)


class Entry(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    name : str
    build : callable
        ``build(generator) -> Cell``; the generator may be None.
    inputs : callable
        ``inputs(cell, batch, time, generator) -> x``, a tree of tensors (batch, time, …), of any float dtype.
    scale : float or None
        Every parameter is drawn from N(0, scale²), so that nothing is zero by initialisation; None keeps the
        cell's own, for cells that only make sense there.
    """

    name: str
    build: Callable[[torch.Generator | None], Cell]
    inputs: Callable[[Cell, int, int, torch.Generator], Any] = plain
    scale: float | None = 0.4


def prepare(
    entry: Entry, batch: int = BATCH, time: int = TIME, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Cell, Any]:
    """The cell of an entry with all its parameters drawn, and an input for it."""
    generator = torch.Generator().manual_seed(seed)
    cell = entry.build(generator).to(dtype)
    if entry.scale is not None:
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.normal_(0.0, entry.scale, generator=generator)
    x = entry.inputs(cell, batch, time, generator)
    return cell, map_leaves(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, x)


GIVEN_H = ElmanState(torch.tensor([[0.5, -0.3, 0.8, -0.9]]))
GIVEN_HC = LSTMState(torch.tensor([[0.5, -0.3, 0.8, -0.9]]), torch.tensor([[1.5, -0.2, -0.7, 0.1]]))


def three_unlike(g: torch.Generator | None, dropout: float = 0.0) -> Stack:
    """Three layers of different kind and width."""
    return Stack([Elman(3, 4, generator=g), GRU(4, 6, generator=g), LSTM(6, 2, generator=g)], dropout)


def translator(g: torch.Generator | None) -> Readout:
    """A deep network as people build it: gated, residual, a learned start in the middle, a readout on top."""
    layers = [GRU(3, 5, generator=g), Residual(LSTM(5, 5, generator=g)), Learned()(Elman(5, 4, generator=g))]
    return Readout(Stack([*layers, MovingAverage(4, window=3)]), 2, generator=g)


def nested(g: torch.Generator | None) -> Stack:
    """Compositions inside compositions, with closed forms and kernels missing in the middle."""
    inner = Readout(GRU(3, 4, reset_gate="before", generator=g), 3, activation="tanh", generator=g)
    average = ExponentialMovingAverage(3, gamma=0.6, learned=True)
    return Stack([Residual(Stack([average, inner])), Random(0.5)(LSTM(3, 2, peepholes=True, generator=g))])


def dropout_inside(g: torch.Generator | None) -> Stack:
    """Dropout in an inner stack, behind a shortcut, and in the outer one."""
    inner = Stack([GRU(3, 4, generator=g), Elman(4, 3, generator=g)], dropout=0.4)
    return Stack([Residual(inner), LSTM(3, 2, generator=g)], dropout=0.2)


def centred(g: torch.Generator | None) -> OwnPast:
    """Two targets relative to their last values, one output without a level, an input beside them."""
    inner = Readout(LSTM(5, 3, generator=g), 4, generator=g, skip=True)
    return OwnPast(DelayLine(inner, 2, 3, centred=True, shifted=[0, -1, 1, 1]), point=Columns((0, 2)))


def seeded(g: torch.Generator | None, build: Callable[[], Cell]) -> Cell:
    """A cell that draws from torch's global generator, as users' cells do, with that seeded and left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0 if g is None else g.initial_seed())
        return build()


def google(g: torch.Generator | None, attention: str = "additive", dropout: float = 0.0) -> AttentionDecoder:
    """A decoder of three layers, of which two see the context."""
    reader = attention_of(attention, 4, 3, 2, g)
    upper = [LSTM(4 + reader.context_size, 4, generator=g), GRU(4 + reader.context_size, 3, generator=g)]
    return AttentionDecoder(LSTM(3, 4, generator=g), reader, upper, True, 2, dropout, g)


def feeding(g: torch.Generator | None) -> InputFeeding:
    """A decoder that sees what it gave."""
    return InputFeeding(
        AttentionDecoder(GRU(5, 4, generator=g), Attention("scaled_dot", 4, 4), output_size=2, generator=g)
    )


def pixels(g: torch.Generator | None, recurrence: Any, levels: int = 2, depth: int = 2) -> Pixels:
    """A whole model of pictures three pixels wide; as deep as it is wide."""
    layers = [PixelResidual(recurrence(3, 2 * depth, depth, generator=g), g) for _ in range(depth)]
    rows = RowStack([Placed(MaskedWindow(3, 2 * depth, size=3, generator=g), height=4), *layers])
    return Pixels(Placed(PixelReadout(rows, 1 if levels == 2 else levels, g), height=4), levels)


def painting(g: torch.Generator | None, size: int | None) -> DRAWCell:
    """A painter of pictures of 3 × 4 pixels that sees them, whole or through a window."""
    shape = (1, 3, 4)
    read = Read(shape, 3, size, g)
    painter = Painter(LSTM(2, 3, generator=g), Write(shape, 3, size, g))
    return DRAWCell(LSTM(read.output_size + 3, 3, generator=g), painter, read, g)


def held_past(g: torch.Generator) -> Cell:
    """A closed loop under a constant drive."""
    loop = OwnPast(Readout(GRU(4, 3, generator=g), 2, generator=g))
    drive = torch.tensor([[0.5, -1.0]])
    return Held(loop, map_leaves(lambda leaf: leaf[:, 0], loop.alone(1, 1, hold(drive, 1))))


LAW_TABLE: list[Entry] = [
    Entry("moving average", lambda g: MovingAverage(3, window=4)),
    Entry("moving average, learned", lambda g: MovingAverage(3, window=3, weights="learned")),
    Entry("moving average, window 1", lambda g: MovingAverage(3, window=1)),
    Entry("moving average, window 1, learned", lambda g: MovingAverage(2, window=1, weights="learned")),
    Entry("exponential average", lambda g: ExponentialMovingAverage(3, gamma=0.8)),
    Entry("exponential average, learned", lambda g: ExponentialMovingAverage(3, learned=True)),
    Entry("echo state", lambda g: EchoState(3, 7, 2, leak=0.6, connections=3, generator=g)),
    Entry("echo state, features", lambda g: EchoState(3, 6, squares=False, generator=g)),
    Entry("delay polynomial", lambda g: DelayPolynomial(2, 3, delays=3, stride=2, degree=3, generator=g), scale=0.02),
    Entry("delay polynomial, bounded", lambda g: Readout(DelayPolynomial(3, degree=3), 2, "tanh", generator=g)),
    Entry("linear", lambda g: Linear(3, 4, generator=g)),
    Entry("linear, output size", lambda g: Linear(3, 5, output_size=2, generator=g)),
    Entry("elman, tanh", lambda g: Elman(3, 5, generator=g)),
    Entry("elman, relu", lambda g: Elman(3, 5, activation="relu", generator=g)),
    Entry("elman, sigmoid", lambda g: Elman(3, 5, activation="sigmoid", generator=g)),
    Entry("elman, readout", lambda g: Elman(3, 5, output_size=2, output_activation="softmax", generator=g)),
    Entry("lstm", lambda g: LSTM(3, 4, generator=g)),
    Entry("lstm, one neuron", lambda g: LSTM(1, 1, generator=g)),
    Entry("lstm, peepholes", lambda g: LSTM(3, 4, peepholes=True, generator=g)),
    Entry("gru, reset after", lambda g: GRU(3, 5, generator=g)),
    Entry("gru, reset before", lambda g: GRU(3, 5, reset_gate="before", generator=g)),
    Entry("min gru", lambda g: MinGRU(3, 5, generator=g)),
    Entry("min lstm", lambda g: MinLSTM(3, 4, generator=g)),
    Entry("lru", lambda g: LRU(3, 4, generator=g)),
    Entry("lru, readout", lambda g: LRU(3, 6, output_size=2, output_activation="tanh", generator=g)),
    Entry(
        "min gru, lru, stack", lambda g: Stack([MinGRU(3, 4, generator=g), Residual(LRU(4, 2, 4, generator=g))], 0.3)
    ),
    Entry("stack", three_unlike),
    Entry("stack, dropout, no masks", lambda g: three_unlike(g, dropout=0.3)),
    Entry("stack, dropout, masks", lambda g: three_unlike(g, dropout=0.3), inputs=with_noise),
    Entry("residual", lambda g: Residual(Elman(3, 3, generator=g))),
    Entry("readout", lambda g: Readout(LSTM(3, 4, generator=g), 2, activation="sigmoid", generator=g)),
    Entry("readout of dropout", lambda g: Readout(three_unlike(g, 0.3), 3, generator=g), inputs=with_noise),
    Entry("dropout within dropout", dropout_inside, inputs=with_noise),
    Entry("readout, skip", lambda g: Readout(LSTM(3, 4, generator=g), 2, generator=g, skip=True)),
    Entry("held", lambda g: Held(GRU(3, 4, generator=g), torch.tensor([[0.5, -1.0, 0.3]]).double())),
    Entry("held, own past", held_past),
    Entry("delay line", lambda g: DelayLine(GRU(4, 3, generator=g), lags=3)),
    Entry("delay line, residual", lambda g: DelayLine(GRU(2, 2, generator=g), shifted=[0, -1], residual=True)),
    Entry("delay line, centred", lambda g: DelayLine(GRU(3, 2, generator=g), lags=3, centred=True, shifted=[0, -1])),
    Entry("own past", lambda g: OwnPast(GRU(3, 4, generator=g), point=Columns((1,))), inputs=past(others(2))),
    Entry("own past, nothing beside", lambda g: OwnPast(Readout(GRU(2, 3, generator=g), 2, generator=g)), past()),
    Entry(
        "own past, all known",
        lambda g: OwnPast(DelayLine(GRU(4, 3, generator=g), lags=3), point=Columns((1,))),
        inputs=past(others(1), share=1.0),
    ),
    Entry("own past, centred", centred, inputs=past(others(1))),
    Entry("own past, centred, all known", centred, inputs=past(others(1), share=1.0)),
    Entry("own past, noise", lambda g: OwnPast(Readout(three_unlike(g, 0.3), 3, generator=g)), past(noise=True)),
    Entry("tokens", lambda g: seeded(g, lambda: Tokens(7, 4)), inputs=tokens),
    Entry("embedding", lambda g: Embedding(GRU(3, 4, generator=g), 7, generator=g), inputs=tokens),
    Entry("embedding, tied", lambda g: Embedding(GRU(4, 4, generator=g), 8, generator=g, tied=7), inputs=tokens),
    Entry(
        "embedding, masks",
        lambda g: Embedding(Stack([GRU(3, 4, generator=g)], 0.3), 7, generator=g, dropout=0.3),
        inputs=drawing,
    ),
    Entry("identity, stack", lambda g: Stack([Identity(3), GRU(3, 4, generator=g)])),
    Entry(
        "embedding as a layer",
        lambda g: Stack([Embedding(Identity(3), 7, generator=g), LSTM(3, 4, generator=g)]),
        inputs=tokens,
    ),
    Entry(
        "tokens, drawn",
        lambda g: Drawn(seeded(g, lambda: Tokens(7, 4)), DecodingStrategy(temperature=2.0, top_k=5)),
        inputs=drawing,
    ),
    Entry("tokens, beam", lambda g: Beam(seeded(g, lambda: Tokens(7, 4)), 3, end=2), inputs=several(3)),
    Entry("tokens, own past", lambda g: OwnPast(seeded(g, lambda: Tokens(7, 4)), most_likely), inputs=past()),
    Entry("tokens, stack", lambda g: Stack([seeded(g, lambda: Tokens(7, 4)), GRU(7, 3, generator=g)]), inputs=tokens),
    Entry("pictures", lambda g: seeded(g, lambda: Pictures(2, 4, 3))),
    Entry("pictures, own past", lambda g: OwnPast(seeded(g, lambda: Pictures(2, 4, 3))), inputs=past()),
    Entry("pictures, residual", lambda g: Residual(seeded(g, lambda: Pictures(2, 4, 3)))),
    Entry(
        "pictures, stack, masks", lambda g: Stack([seeded(g, lambda: Pictures(1, 3, 2)) for _ in "ab"], 0.3), with_noise
    ),
    Entry("memory", lambda g: seeded(g, lambda: Attends(3, 3, 4)), inputs=asked),
    Entry("memory, stack", lambda g: Stack([seeded(g, lambda: Attends(3, 3, 4)), GRU(3, 3, generator=g)]), asked),
    Entry("memory, readout", lambda g: Readout(seeded(g, lambda: Attends(3, 3, 4)), 2, generator=g), inputs=asked),
    Entry("memory, own past", lambda g: OwnPast(seeded(g, lambda: Attends(4, 4, 4)), asking), inputs=past(memory)),
    Entry("attention, general, three layers", lambda g: google(g, "general"), inputs=attending()),
    Entry("attention, additive, masks", lambda g: google(g, dropout=0.3), inputs=attending()),
    Entry("attention, several heads", lambda g: google(g, "multi_head"), inputs=attending()),
    Entry("attention, input feeding", feeding, inputs=attending()),
    Entry(
        "attention, context as input",
        lambda g: ContextInput(LSTM(5, 4, generator=g), Attention("additive", 4, 3, g), 2, 0.3, g),
        inputs=attending(),
    ),
    Entry(
        "attention, tokens",
        lambda g: Embedding(google(g, dropout=0.3), 7, g, dropout=0.2),
        inputs=attending(tokens),
    ),
    Entry(
        "hard attention",
        lambda g: HardAttention(GRU(3, 4, generator=g), Attention("general", 4, 3, g), 5, g),
        inputs=attending(),
    ),
    Entry("window attention", lambda g: WindowAttention(4, window=6, heads=2, generator=g)),
    Entry("window attention, stack", lambda g: Stack([WindowAttention(2, 3, generator=g) for _ in "ab"])),
    Entry("masked window", lambda g: MaskedWindow(4, 3, size=5, generator=g)),
    Entry("row lstm", lambda g: RowLSTM(4, 3, 2, generator=g)),
    Entry("row lstm, wide kernel", lambda g: RowLSTM(4, 2, 2, size=5, generator=g)),
    Entry("diagonal lstm", lambda g: DiagonalLSTM(4, 3, 2, generator=g)),
    Entry("diagonal lstm, one column", lambda g: DiagonalLSTM(1, 3, 2, generator=g)),
    Entry("rows, placed", lambda g: Placed(RowLSTM(3, 2, 2, generator=g), height=5)),
    Entry("pixels, rows", lambda g: pixels(g, RowLSTM)),
    Entry("pixels, diagonals, three levels", lambda g: pixels(g, DiagonalLSTM, levels=3), inputs=levels),
    Entry("raster, rows", lambda g: Raster(pixels(g, RowLSTM, depth=1)), inputs=tokens),
    Entry("raster, diagonals", lambda g: Raster(pixels(g, DiagonalLSTM, 3, depth=1)), inputs=tokens),
    Entry("painter", lambda g: painting(g, 2).painter),
    Entry("draw", lambda g: painting(g, None), inputs=picture),
    Entry("draw, attention", lambda g: painting(g, 2), inputs=picture),
    Entry("draw, on its canvas", lambda g: OnCanvas(painting(g, None)), inputs=picture),
    Entry("latent", lambda g: seeded(g, lambda: Latent(3, 4)), inputs=with_noise),
    Entry("latent, stack", lambda g: Stack([seeded(g, lambda: Latent(3, 4)), GRU(3, 2, generator=g)]), with_noise),
    Entry("latent, own past", lambda g: OwnPast(seeded(g, lambda: Latent(3, 4))), inputs=past(noise=True)),
    Entry("offset", lambda g: Offset(GRU(4, 3, generator=g))),
    Entry("zero start", lambda g: Zero()(GRU(3, 4, generator=g))),
    Entry("random start", lambda g: Random(2.0)(GRU(3, 4, generator=g))),
    Entry("learned start", lambda g: Learned()(LSTM(3, 4, generator=g))),
    Entry("learned start of a stack", lambda g: Learned()(three_unlike(g))),
    Entry("given start", lambda g: Given(GIVEN_H)(Elman(3, 4, generator=g))),
    Entry("given start of two", lambda g: Given(GIVEN_HC)(LSTM(3, 4, generator=g))),
    Entry("warm-up from a learned start", lambda g: Warmup(5, Learned())(GRU(3, 4, generator=g))),
    Entry("translator", translator),
    Entry("nested", nested),
    Entry("cascaded tanks", lambda g: CascadedTanks(), scale=None),
    Entry("henon", lambda g: Henon(), scale=None),
    Entry("logistic", lambda g: Logistic(), scale=None),
    Entry("lorenz", lambda g: Lorenz(), scale=None),
    Entry("lorenz 96", lambda g: Lorenz96(5), scale=None),
    Entry("rossler", lambda g: Rossler(), scale=None),
    Entry("van der pol", lambda g: VanDerPol(0.1), scale=None),
    Entry("pendulum", lambda g: Pendulum(), scale=None),
    Entry("duffing", lambda g: Duffing(), scale=None),
    Entry("salamander", lambda g: Salamander(), scale=None),
    Entry("mackey glass", lambda g: MackeyGlass(), scale=None),
]
