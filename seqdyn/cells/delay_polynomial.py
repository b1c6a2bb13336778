"""The next-generation reservoir: a delay line, and all products of what stands in it."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqdyn.affine import Affine
from seqdyn.cell import Block, Cell
from seqdyn.checks import check_count
from seqdyn.facts import shown_by_shape


@shown_by_shape
class DelayState(NamedTuple):
    """The shift register: ``past`` (batch, (delays − 1) · stride, inputs) holds x_{t-1}, x_{t-2}, …"""

    past: Tensor


class DelayPolynomial(Cell):
    """A polynomial in delayed inputs, the next-generation reservoir (nonlinear vector autoregression, NVAR).

        u_t = (x_t, x_{t−s}, …, x_{t−(k−1)s}),   φ_t = all products of 1 to q entries of u_t,   y_t = V φ_t + c

    Parameters
    ----------
    input_size : int
    output_size : int, optional
        Width of y_t. None leaves out the readout: y_t = φ_t, with x_t first.
    delays : int, at least 1
        k.
    stride : int, at least 1
        s, steps from one delay to the next.
    degree : int, at least 1
        q.
    generator : torch.Generator, optional
        Draws V; a fresh one if None.

    References
    ----------
    Gauthier, Bollt, Griffith & Barbosa (2021), Next generation reservoir computing, eqs. (5)–(8).

    Examples
    --------
    >>> from seqdyn.loops import scan
    >>> pairs = torch.tensor([[[2.0], [3.0], [5.0]]])
    >>> scan(DelayPolynomial(1, delays=2, degree=2), pairs).output[0]  # x_t, x_{t-1}, x_t², x_t x_{t-1}, x_{t-1}²
    tensor([[ 2.,  0.,  4.,  0.,  0.],
            [ 3.,  2.,  9.,  6.,  4.],
            [ 5.,  3., 25., 15.,  9.]])
    """

    def __init__(
        self,
        input_size: int,
        output_size: int | None = None,
        delays: int = 2,
        stride: int = 1,
        degree: int = 2,
        generator: torch.Generator | None = None,
    ):
        for name, value in {"delays": delays, "stride": stride, "degree": degree}.items():
            check_count(name, value)
        features = count_monomials(input_size * delays, degree)
        register = (delays - 1) * stride
        super().__init__(input_size, register * input_size, features if output_size is None else output_size)
        self.delays, self.stride, self.degree, self.register = delays, stride, degree, register
        self.register_buffer("like", torch.zeros(0), persistent=False)  # before the charts, whose numbers are whole
        self._chart()
        self.affine = None if output_size is None else Affine(features, output_size, generator)

    def _chart(self) -> None:
        """Every product of q entries is one of q − 1 entries, its parent, times one more."""
        place: dict[tuple[int, ...], int] = {(): 0}
        for degree in range(1, self.degree + 1):
            products = list(combinations_with_replacement(range(self.input_size * self.delays), degree))
            parents = torch.tensor([place[product[:-1]] for product in products], dtype=torch.int64)
            self.register_buffer(f"parents{degree}", parents, persistent=False)
            last = torch.tensor([product[-1] for product in products], dtype=torch.int64)
            self.register_buffer(f"last{degree}", last, persistent=False)
            place = {product: index for index, product in enumerate(products)}

    def initial_state(self, batch: int) -> DelayState:
        return DelayState(self.zeros(batch, self.register, self.input_size))

    def forward(self, x: Tensor, state: DelayState) -> tuple[Tensor, DelayState]:
        line = torch.cat([x.unsqueeze(1), state.past], 1)
        return self._read(line[:, :: self.stride].flatten(1)), DelayState(line[:, : self.register])

    def unroll(self, x: Tensor, state: DelayState, mask: Tensor | None = None) -> Any:
        """The delay line is a sliding window over the inputs."""
        if mask is not None:
            return NotImplemented
        line = torch.cat([state.past.flip(1), x], 1)
        time = x.shape[1]
        lags = [
            line[:, self.register - lag : self.register - lag + time]
            for lag in range(0, self.register + 1, self.stride)
        ]
        return self._read(torch.cat(lags, -1)), DelayState(line[:, line.shape[1] - self.register :].flip(1))

    def jacobian(self, x: Tensor, before: DelayState, output: Tensor, after: DelayState) -> Tensor:
        shift = torch.diag(x.new_ones(max(self.register - 1, 0)), -1)[: self.register, : self.register]
        return torch.kron(shift, torch.eye(self.input_size).to(x)).expand(len(x), -1, -1)

    def block(self, x: Tensor, before: DelayState, output: Tensor, after: DelayState) -> Block:
        line = torch.cat([x.unsqueeze(1), before.past], 1)
        slopes = self._slopes(line[:, :: self.stride].flatten(1))
        slopes = slopes if self.affine is None else self.affine.weight @ slopes
        by_line = slopes.new_zeros(*slopes.shape[:2], self.register + 1, self.input_size)
        by_line[:, :, :: self.stride] = slopes.unflatten(2, (self.delays, self.input_size))
        input_map = torch.eye(self.hidden_size, self.input_size).to(x).expand(len(x), -1, -1)
        transition = self.jacobian(x, before, output, after)
        return Block(by_line[:, :, 0], by_line[:, :, 1:].flatten(2), input_map, transition)

    def constructor_arguments(self) -> dict[str, Any]:
        return {"output_size": None} if self.affine is None else {}

    def _read(self, u: Tensor) -> Tensor:
        features = torch.cat(self._products(u), -1)
        return features if self.affine is None else self.affine(features)

    def _products(self, u: Tensor) -> list[Tensor]:
        """The products of u (…, entries), degree by degree."""
        found = [u]
        for degree in range(2, self.degree + 1):
            parents, last = self._charted(degree)
            found.append(found[-1].index_select(-1, parents) * u.index_select(-1, last))
        return found

    def _slopes(self, u: Tensor) -> Tensor:
        """∂φ/∂u, (batch, features, entries), by the product rule."""
        each = torch.eye(u.shape[1]).to(u)
        products, slopes = self._products(u), [each.expand(len(u), -1, -1)]
        for degree in range(2, self.degree + 1):
            parents, last = self._charted(degree)
            through = slopes[-1].index_select(1, parents) * u.index_select(1, last).unsqueeze(2)
            slopes.append(through + products[degree - 2].index_select(1, parents).unsqueeze(2) * each[last])
        return torch.cat(slopes, 1)

    def _charted(self, degree: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"parents{degree}"), self.get_buffer(f"last{degree}")


def count_monomials(entries: int, degree: int) -> int:
    """How many products of 1 to ``degree`` of so many entries there are: C(entries + degree, degree) − 1.

    Examples
    --------
    >>> count_monomials(6, 2)
    27
    """
    return comb(entries + degree, degree) - 1
