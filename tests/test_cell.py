"""The contract and its compositions: Stack, Residual, Readout, Encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cell import Cell, Noisy
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
from seqdyn.checks import check_choice
from seqdyn.composition import Readout, Residual, Stack
from seqdyn.encoder import Encoder
from seqdyn.generators import own_generator
from seqdyn.initial_state import Learned
from seqdyn.loops import scan
from seqdyn.state import is_held, leaves, map_leaves
from seqdyn.wrapper import Wrapper
from tests.laws.laws import close, gradients


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(1), dtype=torch.float64)


def by_hand(layer: Cell, x: Tensor, state: Any = None, reverse: bool = False) -> tuple[Tensor, Any]:
    """A layer alone, step by step."""
    return scan(layer, x, state, reverse=reverse, record=lambda x, before, output, after: None)[:2]


# ---- the contract ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, 2.0, "2", True])
@pytest.mark.parametrize("name", ["input_size", "hidden_size", "output_size"])
def test_sizes_are_counts(name: str, size: Any) -> None:
    """A size that is no count is refused by name and value."""
    sizes = {"input_size": 2, "hidden_size": 3, "output_size": 4, name: size}
    with pytest.raises(ValueError, match=f"{name} must be an int.*got {size!r}"):
        Cell(**sizes)


def test_output_size_is_hidden_size_by_default() -> None:
    """None reads the memory itself."""
    assert Cell(2, 3).output_size == 3
    assert Cell(2, 3, 0).output_size == 0


def test_what_a_subclass_owes() -> None:
    """A missing method is named, with the class; the optional ones say that they do not apply."""

    class Half(Cell):
        pass

    half = Half(2, 3)
    with pytest.raises(NotImplementedError, match=r"Half must define initial_state\(batch\)"):
        half.initial_state(1)
    with pytest.raises(NotImplementedError, match=r"Half must define forward\(x, state\)"):
        half(torch.zeros(1, 2), ())
    assert half.unroll(torch.zeros(1, 1, 2), ()) is NotImplemented
    assert half.jacobian(None, None, None, None) is NotImplemented
    assert half.gates(None, None, None, None) == {}
    assert half.noise(2, 5, seeded()) is None
    assert half.alone(2, 5).shape == (2, 5, 2)


def test_zeros_follow_the_cell() -> None:
    """Zeros have the dtype of the parameters, else of the buffers, else torch's default."""
    assert GRU(2, 3).double().zeros(2, 4, 1).dtype == torch.float64
    assert MovingAverage(2).double().zeros(2).dtype == torch.float64
    assert Cell(2, 3).zeros(2, 5).dtype == torch.get_default_dtype()
    assert GRU(2, 3).zeros(2, 4, 1).shape == (2, 4, 1)
    assert GRU(2, 3).to("meta").zeros(2).device.type == "meta"


def test_choices_are_listed() -> None:
    """A name that is not known is answered with those that are."""
    assert check_choice("activation", "b", ("a", "b")) == "b"
    with pytest.raises(ValueError, match="activation must be one of 'a', 'b', got 'c'"):
        check_choice("activation", "c", ("a", "b"))
    for build in (
        lambda: Elman(2, 3, activation="swish"),
        lambda: Elman(2, 3, 1, output_activation="swish"),
        lambda: GRU(2, 3, reset_gate="never"),
        lambda: MovingAverage(2, weights="free"),
        lambda: Readout(GRU(2, 3), 1, activation="swish"),
    ):
        with pytest.raises(ValueError, match=r"must be one of '.*', got '"):
            build()


def test_averages_check_their_parameters() -> None:
    """A window holds a step, and γ lies inside (0, 1)."""
    with pytest.raises(ValueError, match="window must be an int of at least 1, got 0"):
        MovingAverage(2, window=0)
    for gamma in (0.0, 1.0, -0.5, 2.0):
        with pytest.raises(ValueError, match=f"gamma must lie strictly between 0 and 1, got {gamma}"):
            ExponentialMovingAverage(2, gamma=gamma)


def test_generators_are_the_callers_own() -> None:
    """A given generator is used; without one there is a fresh seed each time."""
    mine = seeded()
    assert own_generator(mine) is mine
    assert own_generator(None).initial_seed() != own_generator(None).initial_seed()
    state = mine.get_state()
    GRU(2, 3, generator=mine)
    assert not torch.equal(mine.get_state(), state)


@pytest.mark.parametrize(
    "build",
    [
        lambda g: Elman(2, 3, output_size=2, generator=g),
        lambda g: LSTM(2, 3, peepholes=True, generator=g),
        lambda g: GRU(2, 3, generator=g),
        lambda g: Linear(2, 3, generator=g),
        lambda g: Affine(2, 3, generator=g),
    ],
    ids=["Elman", "LSTM", "GRU", "Linear", "Affine"],
)
def test_weights_can_be_drawn_anew(build: Any) -> None:
    """reset_parameters forgets what the weights were, follows its generator, and draws as the constructor does."""

    def redrawn(seed: int, old: float) -> dict[str, Tensor]:
        cell = build(seeded(1))
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.fill_(old)
        for part in cell.modules():
            part.reset_parameters(seeded(seed))
        return dict(cell.named_parameters())

    found, other = redrawn(3, old=0.7), redrawn(4, old=0.7)
    close(redrawn(3, old=-5.0), found, "weights drawn with one seed", tolerance=0)
    assert any(not torch.equal(found[name], other[name]) for name in found)
    built = build(seeded(3))
    if len(list(built.modules())) == 1:
        close(dict(built.named_parameters()), found, "weights as the constructor draws them", tolerance=0)


# ---- Stack, Residual, Readout ----------------------------------------------------------------------------------------


def test_stack_is_its_layers_one_after_the_other() -> None:
    """The output of each layer is the input of the next; the state has one entry a layer."""
    layers = [Elman(3, 4, generator=seeded(1)), GRU(4, 6, generator=seeded(2)), LSTM(6, 2, generator=seeded(3))]
    stacked = Stack(layers).double()
    assert (stacked.input_size, stacked.hidden_size, stacked.output_size) == (3, 12, 2)
    x, states = randn(2, 7, 3), []
    result = scan(stacked, x)
    for layer in layers:
        x, state = by_hand(layer, x)
        states.append(state)
    close(result.output, x, "output")
    close(result.state, tuple(states), "state")


def test_stack_multiplies_by_its_masks() -> None:
    """One mask after each layer, the last one too; what is dropped does not reach the layer above."""
    layers = [GRU(3, 4, generator=seeded(1)), GRU(4, 2, generator=seeded(2))]
    stacked = Stack(layers, dropout=0.5).double()
    x = randn(2, 7, 3)
    held = stacked.noise(2, 7, seeded(5))
    masks = [mask[:, 0] for mask in leaves(held)]
    below, _ = by_hand(layers[0], x)
    above, _ = by_hand(layers[1], below * masks[0][:, None])
    close(scan(stacked, Noisy(x, held)).output, above * masks[1][:, None], "output")
    close(by_hand(stacked, Noisy(x, held))[0], above * masks[1][:, None], "output")
    ones = map_leaves(torch.ones_like, held)
    close(scan(stacked, Noisy(x, ones)), scan(stacked, x), "all kept")
    nothing = map_leaves(torch.zeros_like, held)
    assert not scan(stacked, Noisy(x, nothing)).output.any()


def test_dropout_masks_mean_one() -> None:
    """Masks are 0 or 1 / (1 − p), are 1 on average, held in time, differ between rows, and follow the generator."""
    share, batch = 0.3, 4000
    noise = Stack([GRU(3, 16), LSTM(16, 8)], dropout=share).double().noise(batch, 6, seeded())
    assert all(is_held(mask) and mask.shape[:2] == (batch, 6) for mask in leaves(noise))
    masks = [mask[:, 0] for mask in leaves(noise)]
    assert [tuple(mask.shape) for mask in masks] == [(batch, 16), (batch, 8)]
    for mask in masks:
        assert mask.dtype == torch.float64
        assert set(mask.unique().tolist()) == {0.0, 1 / (1 - share)}
        error = np.sqrt(share / (1 - share) / mask.numel())
        assert abs(mask.mean().item() - 1) < 4 * error
        assert (mask[0] != mask[1:]).any()
    again = Stack([GRU(3, 16), LSTM(16, 8)], dropout=share).double().noise(batch, 6, seeded())
    close(again, noise, "the same seed", tolerance=0)
    assert Stack([GRU(3, 16)]).noise(batch, 6, seeded()) is None
    read = Readout(Stack([GRU(3, 4)], dropout=share), 2)
    assert [mask.shape for mask in leaves(read.noise(5, 2, seeded()))] == [(5, 2, 4)]


def test_noise_stays_out_of_the_state() -> None:
    """No mask is a leaf of the state."""
    stacked = Stack([GRU(3, 4), LSTM(4, 2)], dropout=0.5)
    held = stacked.noise(2, 5, seeded())
    state = scan(stacked, Noisy(torch.zeros(2, 5, 3), held)).state
    assert [tuple(leaf.shape) for leaf in leaves(state)] == [(2, 4), (2, 2), (2, 2)]


def test_stack_names_the_gates_by_layer() -> None:
    """0.reset, 1.0.input …: the gates of every layer as that layer sees its input, dropout included."""
    layers = [GRU(3, 4, generator=seeded(1)), Elman(4, 4, generator=seeded(2)), LSTM(4, 2, generator=seeded(3))]
    stacked = Stack([layers[0], Stack(layers[1:], dropout=0.5)], dropout=0.4).double()
    x = randn(2, 6, 3)
    noise = stacked.noise(2, 6, seeded(4))
    (lowest, _), (_, ((middle, _), _)) = noise
    gates = scan(stacked, Noisy(x, noise), record=lambda *step: stacked.gates(*step)).record
    assert set(gates) == {
        "0.reset",
        "0.update",
        "0.candidate",
        "1.1.input",
        "1.1.forget",
        "1.1.candidate",
        "1.1.output",
    }
    below = scan(layers[0], x, record=lambda *step: layers[0].gates(*step))
    seen = by_hand(layers[1], below.output * lowest)[0] * middle
    above = scan(layers[2], seen, record=lambda *step: layers[2].gates(*step))
    close(gates["0.candidate"], below.record["candidate"], "gate below")
    close(gates["1.1.forget"], above.record["forget"], "gate above")


def test_residual_adds_its_input() -> None:
    """y_t = x_t + o_t, and the state is the inner cell's."""
    inner = GRU(3, 3, generator=seeded())
    residual = Residual(inner).double()
    x = randn(2, 6, 3)
    output, state = by_hand(inner, x)
    for run in (scan, by_hand):
        close(run(residual, x)[0], output + x, "output")
        close(run(residual, x)[1], state, "state")


@pytest.mark.parametrize("activation", ["identity", "tanh", "relu", "sigmoid", "softmax"])
def test_readout_is_affine(activation: str) -> None:
    """y_t = σ_y(W_y o_t + b_y), with b_y starting at 0."""
    inner = LSTM(3, 4, generator=seeded())
    readout = Readout(inner, 2, activation=activation, generator=seeded(2)).double()
    assert readout.output_size == 2 and readout.hidden_size == 4 and not readout.affine.bias.any()
    torch.nn.init.normal_(readout.affine.bias, generator=seeded(3))
    x = randn(2, 6, 3)
    output, state = by_hand(inner, x)
    functions = {"identity": lambda a: a, "softmax": lambda a: torch.softmax(a, -1)}
    expected = functions.get(activation, getattr(torch, activation, None))(
        output @ readout.affine.weight.T + readout.affine.bias
    )
    for run in (scan, by_hand):
        close(run(readout, x)[0], expected, "output")
        close(run(readout, x)[1], state, "state")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Stack([]), "Stack needs at least one layer"),
        (lambda: Stack([GRU(3, 4), LSTM(5, 2)]), r"LSTM expects inputs of the shape \(5,\).*\(GRU\) gives \(4,\)"),
        (lambda: Stack([GRU(3, 4), Readout(GRU(4, 4), 2), LSTM(4, 2)]), r"\(Readout\) gives \(2,\)"),
        (lambda: Stack([GRU(3, 4)], dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: Stack([GRU(3, 4)], dropout=-0.1), r"dropout must be in \[0, 1\), got -0.1"),
        (lambda: Residual(GRU(3, 4)), r"GRU has input_shape=\(3,\) and output_shape=\(4,\).*Readout\(3\)"),
        (lambda: Encoder([]), "Encoder needs at least one layer"),
        (lambda: Encoder([(GRU(3, 4), GRU(2, 4))]), r"Layer 0 .GRU. expects inputs of the shape \(2,\).* has \(3,\)"),
        (
            lambda: Encoder([(GRU(3, 4), GRU(3, 4)), LSTM(4, 4)]),
            r"Layer 1 .LSTM. expects inputs of the shape \(4,\).* has \(8,\)",
        ),
        (lambda: Encoder([GRU(3, 4)], dropout=1.5), r"dropout must be in \[0, 1\), got 1.5"),
    ],
)
def test_compositions_that_do_not_fit(build: Any, words: str) -> None:
    """The message names both sides and their widths."""
    with pytest.raises(ValueError, match=words):
        build()


class Spy(Cell):
    """A memory whose gates and Jacobian are read off its own output."""

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (torch.zeros(batch, self.hidden_size),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = 0.5 * state[0] + x
        return h, (h,)

    def gates(self, x: Any, before: Any, output: Any, after: Any) -> dict[str, Tensor]:
        return {"own": output}


@pytest.mark.parametrize(
    "wrap",
    [Residual, lambda cell: Readout(cell, 3), lambda cell: Stack([cell, Spy(3, 3)])],
    ids=["Residual", "Readout", "Stack"],
)
def test_wrappers_show_the_inner_cell_its_own_output(wrap: Any) -> None:
    """gates(x, before, output, after) of a wrapped cell gets the output of that cell, not the wrapper's."""
    spy, x = Spy(3, 3), torch.ones(1, 3, 3)
    cell = wrap(spy)
    gates = scan(cell, x, record=lambda *step: cell.gates(*step)).record
    close(gates.get("own", gates.get("0.own")), scan(spy, x).output, "own output")


def test_residual_around_dropout() -> None:
    """A shortcut around a stack with dropout adds the input, not the pair of input and masks."""
    residual = Residual(Stack([GRU(3, 3, generator=seeded())], dropout=0.5)).double()
    x = randn(2, 4, 3)
    drawn = Noisy(x, residual.noise(2, 4, seeded()))
    for run in (scan, by_hand):
        close(run(residual, drawn)[0], x + scan(residual.cell, drawn).output, "output")


def test_dropout_inside_a_stack_is_not_lost() -> None:
    """An inner stack gets masks of its own, and they act: with all of its units dropped only the bias is read."""
    inner = Readout(Stack([GRU(3, 4, generator=seeded())], dropout=0.5), 3, generator=seeded(1))
    outer = Stack([inner, GRU(3, 2, generator=seeded(2))])
    noise = outer.noise(2, 5, seeded())
    assert [mask.shape for mask in leaves(noise)] == [(2, 5, 4)]
    torch.nn.init.ones_(inner.affine.bias)
    nothing = map_leaves(torch.zeros_like, noise)
    for run in (scan, by_hand):
        found = run(outer, Noisy(torch.ones(2, 5, 3), nothing))[0]
        close(found, scan(outer.layers[1], torch.ones(2, 5, 3)).output, "output", tolerance=1e-6)


# ---- Encoder ---------------------------------------------------------------------------------------------------------


def pair(inputs: int, hidden: int, seed: int = 0) -> tuple[LSTM, LSTM]:
    return LSTM(inputs, hidden, generator=seeded(seed)), LSTM(inputs, hidden, generator=seeded(seed + 1))


def torch_encoder(encoder: Encoder, inputs: int, hidden: int) -> nn.LSTM:
    """torch's bidirectional LSTM with the encoder's weights, its second bias at 0."""
    with torch.random.fork_rng():
        network = nn.LSTM(inputs, hidden, num_layers=len(encoder.layers), bidirectional=True, batch_first=True)
    network = network.double()
    with torch.no_grad():
        for index, layer in enumerate(encoder.layers):
            for cell, suffix in zip(layer, ("", "_reverse"), strict=True):
                torch.nn.init.normal_(cell.bias, generator=seeded(index))
                network.get_parameter(f"weight_ih_l{index}{suffix}").copy_(cell.input_weight)
                network.get_parameter(f"weight_hh_l{index}{suffix}").copy_(cell.recurrent_weight)
                network.get_parameter(f"bias_ih_l{index}{suffix}").copy_(cell.bias)
                network.get_parameter(f"bias_hh_l{index}{suffix}").zero_()
    return network


def test_encoder_is_torchs_bidirectional_lstm() -> None:
    """Outputs, summaries (the final h of both directions of the last layer) and gradients, over two layers."""
    encoder = Encoder([pair(3, 4), pair(8, 4, seed=2)]).double()
    network = torch_encoder(encoder, 3, 4)
    x, x_too = (randn(2, 9, 3).requires_grad_() for _ in range(2))
    output, (h, _) = network(x_too)
    found = encoder(x)
    close(found.output, output, "output")
    close(found.summary, torch.cat([h[-2], h[-1]], 1), "summary")
    weight = randn(2, 9, 8)
    ((found.output * weight).sum() + found.summary.sum()).backward()
    ((output * weight).sum() + h[-2:].sum()).backward()
    close(x.grad, x_too.grad, "gradient of x", tolerance=1e-10)
    for index, layer in enumerate(encoder.layers):
        for cell, suffix in zip(layer, ("", "_reverse"), strict=True):
            other = network.get_parameter(f"weight_hh_l{index}{suffix}").grad
            close(cell.recurrent_weight.grad, other, f"gradient of U, layer {index}{suffix}", tolerance=1e-10)


def test_encoder_of_ragged_batches_is_torchs_with_packing() -> None:
    """Right-padded series: as torch's packed sequences."""
    encoder = Encoder([pair(3, 4), pair(8, 4, seed=2)]).double()
    network = torch_encoder(encoder, 3, 4)
    x, lengths = randn(3, 9, 3), torch.tensor([9, 5, 1])
    mask = torch.arange(9) < lengths[:, None]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    output, (h, _) = network(packed)
    output, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
    found = encoder(torch.where(mask[..., None], x, 1e30), mask)
    close(found.output[mask], output[mask], "output")
    close(found.summary, torch.cat([h[-2], h[-1]], 1), "summary")


def google(output_size: int | None = None) -> Encoder:
    """The shape of Wu et al. (2016), three layers of it: the first bidirectional, residual above."""
    layers = [pair(3, 4), LSTM(8, 8, generator=seeded(4)), LSTM(8, 8, generator=seeded(5))]
    return Encoder(layers, residual=True, output_size=output_size, generator=seeded(6)).double()


def mixed() -> Encoder:
    """Unlike cells in the two directions, a learned start, a residual pair."""
    layers = [(GRU(3, 4, generator=seeded(1)), Elman(3, 2, generator=seeded(2)))]
    above = (Learned()(GRU(6, 4, generator=seeded(3))), LSTM(6, 2, generator=seeded(4)))
    encoder = Encoder([*layers, above], residual=True).double()
    torch.nn.init.normal_(above[0].learned[0], generator=seeded(5))
    return encoder


@pytest.mark.parametrize("build", [google, mixed, lambda: google(output_size=2)], ids=["google", "mixed", "readout"])
def test_encoder_with_a_mask_is_each_series_alone(build: Any) -> None:
    """Right-padded, left-padded, with holes: every row is what it is by itself."""
    encoder = build()
    x = randn(3, 10, 3)
    right = torch.arange(10) < torch.tensor([[10], [6], [1]])
    broken = torch.ones(3, 10, dtype=torch.bool)
    broken[0, 4:6] = broken[1, :3] = broken[1, 8:] = broken[2, 0] = broken[2, 5] = False
    for mask in (right, right.flip(1), broken):
        found = encoder(torch.where(mask[..., None], x, 1e30), mask)
        assert found.output.isfinite().all()
        for row in range(3):
            alone = encoder(x[row : row + 1, mask[row]])
            close(found.output[row, mask[row]], alone.output[0], "output")
            close(found.summary[row], alone.summary[0], "summary")


def test_encoder_as_google_built_it() -> None:
    """First layer in both directions, then one direction with shortcuts: o = LSTM(x) + x; a layer by hand."""
    encoder = google()
    assert [len(layer) for layer in encoder.layers] == [2, 1, 1]
    assert encoder.output_size == 8 and encoder.input_size == 3
    x = randn(2, 7, 3)
    (forth, back), (second,), (third,) = encoder.layers
    level = torch.cat([by_hand(forth, x)[0], by_hand(back, x, reverse=True)[0]], -1)  # widths differ: no shortcut
    level = by_hand(second, level)[0] + level
    level = by_hand(third, level)[0] + level
    found = encoder(x)
    close(found.output, level, "output")
    close(found.summary, level[:, -1], "summary of a last layer in one direction: its last step")


def test_encoder_summary_of_a_residual_pair() -> None:
    """→o + x at the last step beside ←o + x at the first: the summary is made of parts of the output."""
    encoder = Encoder([pair(4, 2)], residual=True).double()
    x = randn(2, 7, 4)
    found = encoder(x)
    close(found.summary, torch.cat([found.output[:, -1, :2], found.output[:, 0, 2:]], 1), "summary")
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    found = encoder(x, mask)
    close(found.summary[1], torch.cat([found.output[1, 3, :2], found.output[1, 0, 2:]]), "summary of a short row")


def test_encoder_looks_both_ways() -> None:
    """The first output of a pair depends on the last input, that of a plain layer does not; all weights are used."""
    x = randn(1, 6, 3).requires_grad_()
    (slope,) = torch.autograd.grad(Encoder([pair(3, 4)]).double()(x).output[:, 0].sum(), x)
    assert slope[:, -1].abs().max() > 0
    (slope,) = torch.autograd.grad(Encoder([LSTM(3, 4)]).double()(x).output[:, 0].sum(), x)
    assert not slope[:, 1:].any()
    encoder = google(output_size=2)
    found = encoder(x)
    (found.output.sum() + found.summary.sum()).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in encoder.parameters())


def test_encoder_readout() -> None:
    """Output and summary go through the same affine map."""
    encoder, plain = google(output_size=2), google()
    x = randn(2, 5, 3)
    found, inner = encoder(x), plain(x)
    close(found.output, encoder.affine(inner.output), "output")
    close(found.summary, encoder.affine(inner.summary), "summary")
    assert encoder.output_size == 2


def test_encoder_dropout() -> None:
    """One mask a layer and sequence, as wide as both directions; 1 on average; applied to output and summary."""
    encoder = Encoder([pair(3, 4), LSTM(8, 2, generator=seeded(3))], dropout=0.25).double()
    masks = [mask[:, 0] for mask in leaves(encoder.noise(6000, 6, seeded()))]
    assert [tuple(mask.shape) for mask in masks] == [(6000, 8), (6000, 2)]
    for mask in masks:
        assert abs(mask.mean().item() - 1) < 4 * np.sqrt(0.25 / 0.75 / mask.numel())
    assert Encoder([LSTM(3, 2)]).noise(2, 6, seeded()) is None
    x, noise = randn(4, 6, 3), encoder.noise(4, 6, seeded())
    masks = [mask[:, 0] for mask in leaves(noise)]
    (forth, back), (top,) = encoder.layers
    level = torch.cat([by_hand(forth, x)[0], by_hand(back, x, reverse=True)[0]], -1) * masks[0][:, None]
    level = by_hand(top, level)[0] * masks[1][:, None]
    found = encoder(x, noise=noise)
    close(found.output, level, "output")
    close(found.summary, level[:, -1], "summary")


def test_encoder_of_stacks_with_dropout() -> None:
    """Each direction draws its own masks, and they act."""
    directions = tuple(Stack([GRU(3, 4, generator=seeded(seed))], dropout=0.5) for seed in (1, 2))
    encoder, x = Encoder([directions]).double(), randn(2, 6, 3)
    noise = encoder.noise(2, 6, seeded(3))
    forth, back = (mask[:, 0] for mask in leaves(noise))
    assert not torch.equal(forth, back)
    kept = torch.cat([forth, back], 1)
    close(encoder(x, noise=noise).output, encoder(x).output * kept[:, None], "output")
    close(encoder(x, noise=noise).summary, encoder(x).summary * kept, "summary")


def test_wrapper_passes_everything_on() -> None:
    """A wrapper that changes nothing is the inner cell: steps, kernel, gates, Jacobian, sizes, gradients."""
    inner = GRU(3, 4, generator=seeded()).double()
    outer, x = Wrapper(inner), randn(2, 5, 3)
    assert (outer.input_size, outer.hidden_size, outer.output_size) == (3, 4, 4)
    record = {}
    for cell in (inner, outer):
        record[cell] = scan(cell, x, record=lambda *s, cell=cell: (cell.gates(*s), cell.jacobian(*s)))
        close(cell.unroll(x, cell.initial_state(2)), tuple(scan(inner, x)[:2]), "kernel")
    close(record[outer], record[inner], "record", tolerance=0)
    found = gradients(outer, x, outer.initial_state(2), lambda x, state: tuple(scan(outer, x, state)[:2]))
    expected = gradients(inner, x, inner.initial_state(2), lambda x, state: tuple(scan(inner, x, state)[:2]))
    close({name.removeprefix("cell."): slope for name, slope in found.items()}, expected, "gradient")


@pytest.mark.parametrize(
    "cell",
    [ExponentialMovingAverage(3), MovingAverage(3), GRU(3, 4), Linear(3, 4)],
    ids=lambda cell: type(cell).__name__,
)
def test_inputs_of_another_dtype_are_refused(cell: Cell) -> None:
    """A float64 input never turns a float32 state into float64: it is an error that names both."""
    with pytest.raises((ValueError, TypeError), match=r"(?=.*float64)(?=.*float32)"):
        scan(cell, torch.zeros(2, 5, 3, dtype=torch.float64))
