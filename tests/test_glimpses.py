"""Windows of Gaussian filters: every known departure of other ports fails here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqdyn.cells.draw import DRAWCell, Painter
from seqdyn.cells.lstm import LSTM
from seqdyn.glimpses import Read, Window, Write, filters, pair_of_filters, put_through, seen_through, window_of


def number(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


@pytest.mark.parametrize("variance", [0.1, 0.5, 2.0, 9.0])
def test_filters_are_gaussians_of_their_variance(variance: float) -> None:
    """exp(−(a − μ)²/(2σ²)), whatever σ²: not only at ½, where others agree."""
    found = filters(number(4.2), number(1.5), number(variance), 3, 11)[0].numpy()
    for i, row in enumerate(found):
        mean = 4.2 + (i - 1) * 1.5
        expected = np.exp(-((np.arange(11) - mean) ** 2) / (2 * variance))
        np.testing.assert_allclose(row, expected / expected.sum(), rtol=1e-12)


@pytest.mark.parametrize(("size", "stride"), [(1, 0.0), (2, 3.0), (3, 0.5), (5, 2.25), (4, 0.5)])
def test_a_window_at_0_is_in_the_middle(size: int, stride: float) -> None:
    """Counted from 0: the mean of all centres is (A − 1)/2, for every N and δ."""
    window = window_of(torch.zeros(1, 5, dtype=torch.float64), size, 9, 13)
    assert (float(window.x), float(window.y)) == (6.0, 4.0)
    narrow = filters(window.x, number(stride), number(1e-4), size, 13)[0]
    centres = narrow @ torch.arange(13, dtype=torch.float64)
    assert float(centres.mean()) == pytest.approx(6.0, abs=0.51 if size % 2 == 0 else 1e-9)
    wide = filters(window.x, number(stride), number(2.0), size, 13)[0]
    torch.testing.assert_close(wide, wide.flip(0, 1))  # the middle stays where it is when all is mirrored


def test_the_grid_reaches_over_the_longer_side() -> None:
    whole = window_of(torch.zeros(1, 5, dtype=torch.float64), 5, 9, 13)
    assert float(whole.stride) == 3.0 and math.sqrt(float(whole.variance)) == 1.5
    one = window_of(torch.zeros(1, 5, dtype=torch.float64), 1, 9, 13)
    assert float(one.stride) == 0.0 and math.sqrt(float(one.variance)) == 0.5


def test_a_moved_window_moves_by_half_a_side_and_one_half() -> None:
    """g = (A − 1)/2 + (A + 1)/2 · g̃: at ±1 it lies one pixel outside."""
    ends = window_of(torch.tensor([[1.0, -1, 0, 0, 0]], dtype=torch.float64), 3, 9, 13)
    assert (float(ends.x), float(ends.y)) == (13.0, -1.0)


def test_narrow_filters_on_every_pixel_read_and_write_the_picture_itself() -> None:
    x = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat = torch.ones(2, dtype=torch.float64)
    window = Window(2 * flat, 2 * flat, flat, 1e-3 * flat, flat)
    torch.testing.assert_close(seen_through(x, window, 5), x)
    torch.testing.assert_close(put_through(x, window, 5, 5), x)


def test_intensity_scales_what_is_read_up_and_what_is_written_down() -> None:
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    one = window_of(torch.zeros(1, 5, dtype=torch.float64), 3, 4, 4)
    three = one._replace(intensity=number(3.0))
    torch.testing.assert_close(seen_through(x, three, 3), 3 * seen_through(x, one, 3))
    patch = seen_through(x, one, 3)
    torch.testing.assert_close(put_through(patch, three, 4, 4), put_through(patch, one, 4, 4) / 3)


def test_mirrors() -> None:
    """A mirrored picture, read through a mirrored window, is the mirrored patch."""
    x = torch.rand(1, 1, 6, 8, dtype=torch.float64)
    numbers = torch.tensor([[0.3, -0.2, 0.1, -0.4, 0.2]], dtype=torch.float64)
    mirrored = numbers * torch.tensor([-1.0, 1, 1, 1, 1])
    seen = seen_through(x, window_of(numbers, 3, 6, 8), 3)
    torch.testing.assert_close(seen_through(x.flip(3), window_of(mirrored, 3, 6, 8), 3), seen.flip(3))


def test_rows_sum_to_one_however_far_outside_the_window_lies() -> None:
    for centre in (-1e4, -30.0, 3.0, 40.0, 1e4):
        found = filters(number(centre), number(2.0), number(1e-6), 4, 7)
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found.sum(2), torch.ones(1, 4, dtype=torch.float64))


def test_gradients_by_all_five_numbers() -> None:
    x = torch.rand(2, 1, 5, 6, dtype=torch.float64)
    numbers = 0.3 * torch.randn(2, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    numbers.requires_grad_()
    assert torch.autograd.gradcheck(lambda n: seen_through(x, window_of(n, 3, 5, 6), 3), (numbers,))
    assert torch.autograd.gradcheck(lambda n: put_through(x[..., :3, :3], window_of(n, 3, 5, 6), 5, 6), (numbers,))


def test_filters_of_both_sides() -> None:
    down, across = pair_of_filters(window_of(torch.zeros(1, 5), 3, 5, 7), 3, 5, 7)
    assert down.shape == (1, 3, 5) and across.shape == (1, 3, 7)


def cell_of(size: int | None, hidden: int = 4) -> DRAWCell:
    """A painter of 4 × 4 pixels in double precision, its weights drawn."""
    g = torch.Generator().manual_seed(0)
    shape = (1, 4, 4)
    read = Read(shape, hidden, size, g)
    painter = Painter(LSTM(2, hidden, generator=g), Write(shape, hidden, size, g))
    cell = DRAWCell(LSTM(read.output_size + hidden, hidden, generator=g), painter, read, g)
    return cell.double()


def test_with_an_identity_for_filters_attention_is_none() -> None:
    """The same weights, a window of every pixel that never moves: the same canvas."""
    from seqdyn.loops import scan
    from seqdyn.state import hold

    plain, windowed = cell_of(None), cell_of(4)
    own = plain.state_dict()
    windowed.load_state_dict(own, strict=False)
    for place in (windowed.read.place, windowed.painter.write.place):
        assert place is not None
        place.weight.data.zero_()
        place.bias.data.copy_(torch.tensor([0.0, 0, -12, 0, 0]))  # σ² e^(4 tanh(−3)), nearly e⁻⁴
    x = torch.rand(3, 1, 4, 4, dtype=torch.float64)
    canvases = [scan(cell, hold(x, 3)).state.painter.canvas for cell in (plain, windowed)]
    torch.testing.assert_close(*canvases, atol=1e-9, rtol=0)


@pytest.mark.parametrize("part", [Read, Write])
def test_bad_windows(part: type[Read] | type[Write]) -> None:
    with pytest.raises(ValueError, match="more than a picture of 4 × 6"):
        part((1, 4, 6), 3, 5)
    with pytest.raises(ValueError, match="must be"):
        part((1, 4, 6), 3, 0)
    with pytest.raises(ValueError, match="there is no window"):
        part((1, 4, 6), 3, None).window(torch.zeros(1, 3))


def test_an_encoder_of_the_wrong_width() -> None:
    shape = (1, 4, 4)
    with pytest.raises(ValueError, match="make its input_size 36"):
        DRAWCell(LSTM(7, 4), Painter(LSTM(2, 4), Write(shape, 4, None)), Read(shape, 4, None))
