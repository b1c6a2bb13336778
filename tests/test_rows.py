"""Pictures row by row, diagonal by diagonal, pixel by pixel: one probability, and no pixel sees what comes later."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seqdyn.affine import Affine
from seqdyn.cells.diagonal_lstm import DiagonalLSTM
from seqdyn.cells.masked_window import MaskedWindow
from seqdyn.cells.row_lstm import RowLSTM
from seqdyn.decoding import Draw, Drawn
from seqdyn.decoding_strategy import DecodingStrategy
from seqdyn.kernels.diagonal_lstm import _pixel_by_pixel, diagonal_lstm_recurrence
from seqdyn.loops import rollout, scan
from seqdyn.rows import PixelReadout, PixelResidual, Pixels, Placed, Raster, RowCell, RowStack
from seqdyn.training.heads import Bernoulli, CrossEntropy

VARIANTS: list[Any] = [RowLSTM, DiagonalLSTM]


def drawn_network(recurrence: Any, height: int, width: int, layers: int = 2, levels: int = 2, seed: int = 0) -> Pixels:
    """A model of small pictures with weights that are far from 0."""
    g = torch.Generator().manual_seed(seed)
    blocks = [PixelResidual(recurrence(width, 4, 3, generator=g), g) for _ in range(layers)]
    rows = RowStack([Placed(MaskedWindow(width, 4, size=5, generator=g), height), *blocks])
    scores = 1 if levels == 2 else levels
    network = Pixels(Placed(PixelReadout(rows, scores, g), height), levels).double()
    for parameter in network.parameters():
        parameter.data.normal_(0, 0.7, generator=g)
    return network


def all_pictures(height: int, width: int, levels: int = 2) -> Tensor:
    """Every picture there is."""
    values = list(itertools.product(range(levels), repeat=height * width))
    return torch.tensor(values, dtype=torch.float64).view(-1, height, width)


def probabilities(network: Pixels, images: Tensor) -> Tensor:
    """p(x) by one pass over the rows."""
    head: Any = Bernoulli() if network.levels == 2 else CrossEntropy(network.levels)
    return torch.exp(-head.loss(scan(network, images).output, images).sum((1, 2)))


# ---------------------------------------------------------------- a likelihood is a likelihood


@pytest.mark.parametrize("recurrence", VARIANTS)
@pytest.mark.parametrize(
    ("height", "width", "levels"), [(2, 3, 2), (3, 3, 2), (1, 2, 4), (2, 2, 3), (4, 1, 2), (1, 6, 2)]
)
def test_the_probabilities_of_all_pictures_sum_to_one(recurrence: Any, height: int, width: int, levels: int) -> None:
    network = drawn_network(recurrence, height, width, levels=levels)
    assert float(probabilities(network, all_pictures(height, width, levels)).detach().sum()) == pytest.approx(
        1, abs=1e-12
    )


class Unshifted(DiagonalLSTM):
    """The departure of several ports: the second direction is not moved down a row, and sees what comes later."""

    def unroll(self, x: Tensor, state: Any, mask: Tensor | None = None) -> Any:
        output, after = super().unroll(x, state)
        moved = torch.cat([state.back.unsqueeze(1), self._backs(x)[:, :-1]], 1)
        return output - moved + self._backs(x), after

    def _backs(self, x: Tensor) -> Tensor:
        """The second direction of every row, at its own row."""
        states = self.initial_state(len(x))
        found = []
        for row in x.unbind(1):
            _, states = self.forward(row, states)
            found.append(states.back)
        return torch.stack(found, 1)


class MaskB(MaskedWindow):
    """The departure of others: the first layer shows a pixel its own value."""

    def unroll(self, x: Tensor, state: Any, mask: Tensor | None = None) -> Any:
        output, after = super().unroll(x, state)
        return output + x.unsqueeze(-1), after


def test_leaks_show_as_a_sum_that_is_not_one() -> None:
    """What the tests above stand on: they fail under the known mistakes."""
    network = drawn_network(Unshifted, 3, 3)
    assert abs(float(probabilities(network, all_pictures(3, 3)).detach().sum()) - 1) > 1e-3
    network = drawn_network(RowLSTM, 3, 3)
    window: Any = network.cell.cell.cell.layers[0].cell  # type: ignore[union-attr]
    window.__class__ = MaskB
    assert abs(float(probabilities(network, all_pictures(3, 3)).detach().sum()) - 1) > 1e-3


# ---------------------------------------------------------------- causality


def leaks(run: Callable[[Tensor], Tensor], height: int, width: int, own: bool) -> list[tuple[int, int]]:
    """Pairs (i, j): what stands at pixel i changed with pixel j, which comes later, or with ``own`` is i itself."""
    g = torch.Generator().manual_seed(1)
    x = torch.randint(2, (1, height, width), generator=g).double()
    before, found = run(x), []
    for j in range(height * width):
        other = x.clone().flatten(1)
        other[:, j] = 1 - other[:, j]
        gaps = (run(other.view_as(x)) - before).abs().reshape(height * width, -1).amax(1)
        found += [(i, j) for i in range(j + own) if gaps[i] != 0]
    return found


@pytest.mark.parametrize("recurrence", VARIANTS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_no_pixel_sees_itself_or_a_later_one_in_any_layer(recurrence: Any, layers: int) -> None:
    network = drawn_network(recurrence, 6, 7, layers)
    stack: Any = network.cell.cell.cell  # type: ignore[union-attr]
    with torch.no_grad():
        assert not leaks(lambda x: scan(network, x).output, 6, 7, own=True)
        for depth in range(1, layers + 2):
            part = RowStack(list(stack.layers[:depth]))
            assert not leaks(lambda x, part=part: scan(part, x).output, 6, 7, own=True)  # type: ignore[misc]


@pytest.mark.parametrize("direction", [0, 1])
def test_both_directions_of_the_diagonal_see_the_past_alone(direction: int) -> None:
    """With one direction silenced, the other is causal by itself: mask B, so a pixel may see its own features."""
    cell = DiagonalLSTM(5, 1, 3, generator=torch.Generator().manual_seed(0)).double()
    cell.input_weight.data[direction] = 0
    cell.state_weight.data[direction] = 0
    cell.bias.data[direction] = 0
    with torch.no_grad():
        assert not leaks(lambda x: scan(cell, x.unsqueeze(-1)).output, 5, 5, own=False)
        assert leaks(lambda x: scan(cell, x.unsqueeze(-1)).output, 5, 5, own=True) or direction == 0


def seen(recurrence: Any, layers: int, size: int) -> np.ndarray:
    """Which earlier pixels reach a target, (targets, pixels), by the gradient, in one of four networks at least: one
    relu or another is 0."""
    found = np.zeros((size * size, size * size), dtype=bool)
    for seed in range(4):
        network = drawn_network(recurrence, size, size, layers, seed=seed)
        g = torch.Generator().manual_seed(seed)
        x = torch.rand(1, size, size, generator=g, dtype=torch.float64).requires_grad_()
        output = scan(network, x).output.flatten()
        rows = [torch.autograd.grad(one, x, retain_graph=True)[0].flatten() for one in output]
        found |= torch.stack(rows).numpy() != 0
    return found


@pytest.mark.parametrize("layers", [1, 2])
def test_a_row_lstm_sees_a_triangle(layers: int) -> None:
    """Own row: columns c − reach − L … c − 1; row r − d: c − d − L − reach … c + d + reach − 1, with reach 2 here."""
    size, reach = 9, 2
    found = seen(RowLSTM, layers, size).reshape(size, size, size, size)
    for r, c, y, x in np.ndindex(*found.shape):
        if y == r:
            expected = c - reach - layers <= x < c
        else:
            d = r - y
            expected = d >= 1 and c - d - layers - reach <= x <= c + d + reach - 1
        assert found[r, c, y, x] == expected, (r, c, y, x)


def test_a_diagonal_lstm_sees_nearly_all_earlier_pixels() -> None:
    """All but the last pixel of the row above, where it is out of the window's reach."""
    size, reach = 8, 2
    found = seen(DiagonalLSTM, 1, size).reshape(size, size, size, size)
    for r, c, y, x in np.ndindex(*found.shape):
        earlier = (y, x) < (r, c)
        hidden = y == r - 1 and x == size - 1 and c < size - 1 - reach
        assert found[r, c, y, x] == (earlier and not hidden), (r, c, y, x)


# ---------------------------------------------------------------- one equation, several ways to run it


def test_a_diagonal_lstm_is_its_equation() -> None:
    """A double loop over rows and columns, in both directions, the second moved down a row."""
    g = torch.Generator().manual_seed(0)
    cell = DiagonalLSTM(4, 3, 2, generator=g).double()
    x = torch.randn(2, 5, 4, 3, generator=g, dtype=torch.float64)

    def line(direction: int) -> Tensor:
        columns = range(4) if direction == 0 else range(3, -1, -1)
        h = torch.zeros(2, 6, 4, 2, dtype=torch.float64)  # row 0 stands above the picture
        for r in range(5):
            left, c = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
            for column in columns:
                seen_here = torch.cat([left, h[:, r, column]], 1)
                sums = x[:, r, column] @ cell.input_weight[direction] + seen_here @ cell.state_weight[direction]
                i, f, o, candidate = (sums + cell.bias[direction]).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
                left = torch.sigmoid(o) * torch.tanh(c)
                h[:, r + 1, column] = left
        return h

    with torch.no_grad():
        expected = line(0)[:, 1:] + line(1)[:, :-1]
        torch.testing.assert_close(scan(cell, x).output, expected, atol=1e-13, rtol=0)


def test_a_row_lstm_is_its_equation() -> None:
    """With the kernels as convolutions along the row, mask B on the inputs."""
    g = torch.Generator().manual_seed(0)
    cell = RowLSTM(5, 3, 2, size=3, generator=g).double()
    x = torch.randn(2, 4, 5, 3, generator=g, dtype=torch.float64)
    inputs = torch.cat([cell.input_weight.view(2, 3, 8), torch.zeros(1, 3, 8)]).permute(2, 1, 0)
    states = cell.state_weight.view(3, 2, 8).permute(2, 1, 0)
    h = c = torch.zeros(2, 2, 5, dtype=torch.float64)
    rows = []
    with torch.no_grad():
        for row in x.unbind(1):
            sums = torch.nn.functional.conv1d(row.mT, inputs, padding=1) + cell.bias[:, None]
            i, f, candidate, o = (sums + torch.nn.functional.conv1d(h, states, padding=1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(candidate)
            h = torch.sigmoid(o) * torch.tanh(c)
            rows.append(h.mT)
        torch.testing.assert_close(scan(cell, x).output, torch.stack(rows, 1), atol=1e-13, rtol=0)


def test_a_masked_window_is_a_masked_convolution() -> None:
    g = torch.Generator().manual_seed(0)
    cell = MaskedWindow(6, 3, size=5, generator=g).double()
    x = torch.randn(2, 4, 6, generator=g, dtype=torch.float64)
    kernel = torch.zeros(3, 1, 25, dtype=torch.float64)
    kernel[:, 0, :12] = cell.weight.T
    with torch.no_grad():
        expected = torch.nn.functional.conv2d(x.unsqueeze(1), kernel.view(3, 1, 5, 5), cell.bias, padding=2)
        torch.testing.assert_close(scan(cell, x).output, expected.permute(0, 2, 3, 1), atol=1e-13, rtol=0)


@pytest.mark.parametrize("recurrence", VARIANTS)
@pytest.mark.parametrize("levels", [2, 4])
def test_pixel_by_pixel_is_row_by_row(recurrence: Any, levels: int) -> None:
    """The law of the raster: the same scores, from the value of the pixel before."""
    network = drawn_network(recurrence, 4, 5, levels=levels)
    x = torch.randint(levels, (3, 4, 5), generator=torch.Generator().manual_seed(2))
    before = torch.nn.functional.pad(x.flatten(1), (1, -1))
    with torch.no_grad():
        written = scan(Raster(network), before).output
        rows = scan(network, x.double()).output
    whole = rows.flatten(1) if levels == 2 else rows.view(3, 20, levels)
    torch.testing.assert_close(written[..., 1] if levels == 2 else written, whole, atol=1e-12, rtol=0)


@pytest.mark.parametrize("recurrence", VARIANTS)
def test_a_raster_goes_on_below_given_rows(recurrence: Any) -> None:
    network = drawn_network(recurrence, 4, 3)
    x = torch.randint(2, (2, 4, 3), generator=torch.Generator().manual_seed(2))
    raster = Raster(network)
    with torch.no_grad():
        above = scan(network, x[:, :2].double()).state
        before = torch.nn.functional.pad(x.flatten(1), (1, -1))[:, 6:]
        later = scan(raster, before, raster.beginning(above)).output[..., 1]
        torch.testing.assert_close(later, scan(network, x.double()).output[:, 2:].flatten(1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("recurrence", VARIANTS)
def test_samples_have_the_probabilities_of_the_model(recurrence: Any) -> None:
    """20,000 pictures of 2 × 2 pixels against all 16 probabilities: χ² of 15 degrees, its 0.1 % point 37.7."""
    network, count = drawn_network(recurrence, 2, 2, layers=1), 20_000
    cell = Drawn(Raster(network), DecodingStrategy())
    g = torch.Generator().manual_seed(5)
    nothing = torch.zeros(count, dtype=torch.float64)
    with torch.no_grad():
        start = cell.initial_state(count)
        last = Draw(torch.zeros(count, dtype=torch.long), nothing, nothing)
        chance = cell.noise(count, 4, g)
        run = rollout(cell, start, 4, last=last, feed=fed, exogenous=chance)
        p = probabilities(network, all_pictures(2, 2))
        own = probabilities(network, run.output.symbol.view(count, 2, 2).double())
    torch.testing.assert_close(run.output.log_probability.sum(1).exp(), own, atol=1e-12, rtol=0)
    codes = (run.output.symbol * torch.tensor([8, 4, 2, 1])).sum(1)
    observed = torch.bincount(codes, minlength=16)
    assert float(((observed - count * p) ** 2 / (count * p)).sum()) < 37.7


def fed(draw: Draw, chance: Any) -> Any:
    """The last symbol, with the next number to draw by."""
    from seqdyn.cell import Noisy

    return Noisy(draw.symbol, chance)


@pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 2), (3, 1), (1, 3)])
def test_the_diagonal_kernel_is_the_written_loop_with_all_gradients(height: int, width: int) -> None:
    g = torch.Generator().manual_seed(0)
    shapes = [(2, height * width, 3, 8), (2, width, 3, 2), (2, 4, 8)]
    inputs = [torch.randn(shape, generator=g, dtype=torch.float64, requires_grad=True) for shape in shapes]
    fast, slow = diagonal_lstm_recurrence(*inputs), _pixel_by_pixel(*inputs)
    torch.testing.assert_close(fast, slow, atol=1e-13, rtol=0)
    weight = torch.randn(fast.shape, generator=g, dtype=torch.float64)
    for one, other in zip(*(torch.autograd.grad(y, inputs, weight) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_directions_are_mirrors_of_each_other() -> None:
    """With both weights alike, mirroring a picture mirrors each direction before the shift."""
    g = torch.Generator().manual_seed(0)
    cell = DiagonalLSTM(4, 2, 3, generator=g).double()
    for parameter in cell.parameters():
        parameter.data[1] = parameter.data[0]
    x = torch.randn(2, 3, 4, 2, generator=g, dtype=torch.float64)
    with torch.no_grad():
        state, mirrored = scan(cell, x).state, scan(cell, x.flip(2)).state
    torch.testing.assert_close(state.h, mirrored.back.flip(1), atol=1e-13, rtol=0)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MaskedWindow(4, 3, size=4), "size must be odd"),
        (lambda: MaskedWindow(4, 3, size=1), "size must be"),
        (lambda: RowLSTM(4, 3, 2, size=2), "size must be odd"),
        (lambda: RowLSTM(0, 3, 2), "width must be"),
        (lambda: Pixels(PixelReadout(MaskedWindow(4, 3), 3), levels=2), "needs 1 score"),
        (lambda: Pixels(PixelReadout(MaskedWindow(4, 3), 1), levels=3), "needs 3 score"),
    ],
)
def test_bad_arguments(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_a_row_cell_owes_its_parts() -> None:
    cell, affine = RowCell(3, 2, 2), Affine(2, 2)
    for part in (cell.above, cell.initial_state):
        with pytest.raises(NotImplementedError):
            part(affine)  # type: ignore[operator]
