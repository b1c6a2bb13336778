"""A long short-term memory along the diagonals of a picture, with its gradient written out.

    a_rc = p_rc + [h_{r,c-1}; h_{r-1,c}] W                    sums of i, f, o, g
    c_rc = σ(f) ⊙ c_{r,c-1} + σ(i) ⊙ tanh(g)
    h_rc = σ(o) ⊙ tanh(c_rc)

Pixels on one anti-diagonal, r + c = q, do not need each other: a step is one product and some elementwise lines.
Pictures lie pixel after pixel, the batch behind, so that a diagonal is a slice with the stride width − 1, and nothing
is computed where there is no pixel. The gradient of W is one product after the loop. Where the gradient itself is to be
differentiated, it is that of the written steps, recorded by autograd.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from seqdyn.kernels.transforms import gradient_with_history


class _Diagonal(NamedTuple):
    """The pixels of one diagonal: rows ``first`` to ``last``, and ``own``, their places in the picture."""

    number: int
    first: int
    last: int
    own: slice

    @property
    def rows(self) -> slice:
        """These rows."""
        return slice(self.first, self.last + 1)

    @property
    def below(self) -> slice:
        """The same where row −1 is kept, too, as the first."""
        return slice(self.first + 1, self.last + 2)


def _diagonals(height: int, width: int) -> Iterator[_Diagonal]:
    stride = max(width - 1, 1)
    for q in range(height + width - 1):
        first, last = max(0, q - width + 1), min(height - 1, q)
        start = first * width + q - first
        yield _Diagonal(q, first, last, slice(start, start + (last - first) * stride + 1, stride))


class _DiagonalLSTMRecurrence(torch.autograd.Function):
    """From p (d, height · width, batch, 4 hidden), h above the first row (d, width, batch, hidden) and W
    (d, 2 hidden, 4 hidden) to all h (d, height · width, batch, hidden), for d pictures with their own W."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, above: Tensor, weight: Tensor) -> Tensor:
        d, pixels, batch, _ = projected.shape
        width, size = above.shape[1], above.shape[3]
        height = pixels // width
        gates, seen = torch.empty_like(projected), projected.new_empty(d, pixels, batch, 2 * size)
        memory, before, hidden = (projected.new_empty(d, pixels, batch, size) for _ in range(3))
        h = projected.new_zeros(d, height + 1, batch, size)  # the last of every row, and above the first
        c = projected.new_zeros(d, height, batch, size)
        for diagonal in _diagonals(height, width):
            q, _, _, own = diagonal
            if q < width:
                h[:, 0] = above[:, q]
            beside = torch.cat([h[:, diagonal.below], h[:, diagonal.rows]], 3)
            seen[:, own], before[:, own] = beside, c[:, diagonal.rows]
            sums = torch.bmm(beside.view(d, -1, 2 * size), weight).view(*beside.shape[:3], -1)
            sums += projected[:, own]
            i, f, o, g = sums.split(size, 3)
            sums[..., : 3 * size].sigmoid_()
            g.tanh_()
            new = torch.addcmul(i * g, f, c[:, diagonal.rows])
            c[:, diagonal.rows], gates[:, own] = new, sums
            new = new.tanh_()
            memory[:, own] = new
            h[:, diagonal.below] = new = new * o
            hidden[:, own] = new
        ctx.save_for_backward(projected, above, weight, gates, seen, before, memory)
        return hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        projected, above, weight, gates, seen, before, memory = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradient_with_history(_pixel_by_pixel, [projected, above, weight], gradient)
        (d, width, batch, size), height = above.shape, projected.shape[1] // above.shape[1]
        i, f, o, g = gates.split(size, 3)
        by_memory = o * (1 - memory * memory)
        slopes = torch.cat([g * i * (1 - i), before * f * (1 - f), memory * o * (1 - o), i * (1 - g * g)], 3)
        by_sums, by_above = torch.empty_like(gates), torch.zeros_like(above)
        dh, dc = gates.new_zeros(d, height + 1, batch, size), gates.new_zeros(d, height, batch, size)
        transposed = weight.mT.contiguous()
        for diagonal in reversed(list(_diagonals(height, width))):
            q, _, _, own = diagonal
            by_h = gradient[:, own] + dh[:, diagonal.below]
            by_c = torch.addcmul(dc[:, diagonal.rows], by_h, by_memory[:, own])
            new = torch.cat([by_c, by_c, by_h, by_c], 3)
            new *= slopes[:, own]
            by_sums[:, own] = new
            dc[:, diagonal.rows] = by_c * f[:, own]
            left, over = torch.bmm(new.view(d, -1, 4 * size), transposed).view(*new.shape[:3], -1).split(size, 3)
            dh[:, diagonal.below] = left  # what came to these pixels before is used up
            dh[:, diagonal.first] = over[:, 0]
            dh[:, diagonal.first + 1 : diagonal.last + 1] += over[:, 1:]
            if q < width:
                by_above[:, q] = dh[:, 0]
        by_weight = seen.flatten(1, 2).mT @ by_sums.flatten(1, 2)
        return by_sums, by_above, by_weight


def _pixel_by_pixel(projected: Tensor, above: Tensor, weight: Tensor) -> Tensor:
    """All h, pixel by pixel and recorded by autograd."""
    over, size, rows = above.unbind(1), above.shape[3], []
    for row in projected.unflatten(1, (-1, above.shape[1])).unbind(1):
        h = c = torch.zeros_like(over[0])
        line = []
        for p, up in zip(row.unbind(1), over, strict=True):
            i, f, o, g = (p + torch.cat([h, up], 2) @ weight).split(size, 2)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            line.append(h)
        over = tuple(line)
        rows += line
    return torch.stack(rows, 1)


def diagonal_lstm_recurrence(projected: Tensor, above: Tensor, weight: Tensor) -> Tensor:
    """All states h (directions, height · width, batch, hidden) of memories that run along the rows of pictures.

    ``projected`` is p, pixel by pixel, (directions, height · width, batch, 4 · hidden); ``above`` is h above the first
    row, (directions, width, batch, hidden); ``weight`` is W of each, (directions, 2 · hidden, 4 · hidden).
    """
    return cast(Tensor, _DiagonalLSTMRecurrence.apply(projected, above, weight))
