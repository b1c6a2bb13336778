"""The linear recurrence in blocks: products of matrices instead of a step loop, and its exact adjoint.

    [y_t; h_t] = [A B; C D] [x_t; h_{t-1}]

Over a block of L steps, outputs and last state are linear in the block's inputs and in the state before it. So all
outputs are one product of matrices, and the states at the borders of the blocks are a recurrence with D^L in place of
D, L times shorter, which is run in the same way until few steps remain.

The gradient is such a recurrence too, backwards in time. With e_t and g_t the gradients by y_t and by h_t,

    [g_{t-1}; dx_t] = [Dᵀ Bᵀ; Cᵀ Aᵀ] [g_t; e_t],   [dA dB; dC dD] = Σ_t [e_t; g_t] [x_t; h_{t-1}]ᵀ.

A long sequence goes chunk by chunk. Only the states between the chunks are kept; the gradient computes the others anew.
A sequence that does not fit into memory is one call a piece, each started from the last state of the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

CHUNK_STEPS = 2**15
"""Rows, batch × time, that are computed at once."""

LENGTHS = (4, 8, 16, 32, 64)
"""Steps in a block, to choose from."""

START = 2**15
"""Multiplications that take as long as starting one step of the loop."""

BLOCK_OVERHEAD = 64
"""Steps of the loop that take as long as what is done once for blocks."""

LOOP = 32
"""Up to so many steps, a loop recorded by autograd is as fast as all this."""


def linear_recurrence(
    x: Tensor, h: Tensor, feedthrough: Tensor, readout: Tensor, input_map: Tensor, transition: Tensor
) -> tuple[Tensor, Tensor]:
    """All outputs and the last state of the linear recurrence, with a gradient of its own.

    From x (batch, time, inputs), h_{-1} (batch, hidden), A, B, C, D to y (batch, time, outputs) and h (batch, hidden).

    Examples
    --------
    The sum so far, h_t = h_{t-1} + x_t, read before and after a step:

    >>> one = torch.ones(1, 1)
    >>> output, last = linear_recurrence(torch.ones(1, 4, 1), torch.zeros(1, 1), 0 * one, one, one, one)
    >>> output.flatten().tolist(), last.item()
    ([0.0, 1.0, 2.0, 3.0], 4.0)
    """
    if 0 < x.shape[1] <= LOOP:
        return _step_by_step(x, h, feedthrough, readout, input_map, transition)
    output, last = _LinearRecurrence.apply(x, h, feedthrough, readout, input_map, transition)
    return output, last


def linear_states(x: Tensor, h: Tensor, input_map: Tensor, transition: Tensor) -> tuple[Tensor, Tensor]:
    """All states h_t = C x_t + D h_{t-1}, shape (batch, time, hidden), and the last one.

    They are the outputs y_t = h_t of the system whose A is C and whose B is D.
    """
    return linear_recurrence(x, h, input_map, transition, input_map, transition)


def _step_by_step(x: Tensor, h: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """The same, step by step and recorded by autograd."""
    before = []
    for drive in (x @ C.T).unbind(1):
        before.append(h)
        h = torch.addmm(drive, h, D.T)
    return x @ A.T + torch.stack(before, dim=1) @ B.T, h


class _System(NamedTuple):
    """A, B, C and D."""

    feedthrough: Tensor
    readout: Tensor
    input_map: Tensor
    transition: Tensor


class _LinearRecurrence(torch.autograd.Function):
    """From x, h_{-1}, A, B, C and D to all outputs and the last state."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, *matrices: Tensor) -> tuple[Tensor, Tensor]:
        steps = _chunk(x)
        simulate = _simulator(_System(*matrices), len(x), steps)
        output = x.new_empty(*x.shape[:2], len(matrices[0]))
        borders = [h]
        for x_chunk, output_chunk in zip(x.split(steps, 1), output.split(steps, 1), strict=True):
            borders.append(simulate(x_chunk, borders[-1], output_chunk))
        ctx.save_for_backward(x, *matrices, *borders[:-1])
        return output, borders[-1]

    @staticmethod
    def backward(ctx: Any, e: Tensor, g: Tensor) -> tuple[Tensor | None, ...]:
        x, A, B, C, D, *borders = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _adjoint_with_history(x, borders[0], A, B, C, D, e, g)
        to_x, to_h, to_A, to_B, to_C, to_D = ctx.needs_input_grad
        steps = _chunk(x)
        states = _state_simulator(C, D, len(x), steps) if to_B or to_D else None
        adjoint = _state_simulator(B.T, D.T, len(x), steps) if to_x or to_h or to_C or to_D else None
        dx, (dA, dB, dC, dD) = [], map(torch.zeros_like, (A, B, C, D))
        for x_t, e_t, h in reversed(list(zip(x.split(steps, 1), e.split(steps, 1), borders, strict=True))):
            if to_A:
                dA += _sum_of_products(e_t, x_t)
            if states:
                before, _ = _simulated(states, x_t, h)
                dB += _sum_of_products(e_t, before)
            if adjoint:
                after, g = _simulated(adjoint, e_t.flip(1), g)
                g_t = after.flip(1)
                dC += _sum_of_products(g_t, x_t)
            if to_D:
                dD += _sum_of_products(g_t, before)
            if to_x:
                dx.append(e_t @ A + g_t @ C)
        return torch.cat(dx[::-1], 1) if to_x else None, g, dA, dB, dC, dD


def _adjoint_with_history(
    x: Tensor, h: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, e: Tensor, g: Tensor
) -> tuple[Tensor, ...]:
    """The same gradient with a history: the states and the adjoint are linear recurrences themselves."""
    identity = _identity(D)
    before, _ = linear_recurrence(x, h, torch.zeros_like(C), identity, C, D)
    after, first = linear_recurrence(e.flip(1), g, torch.zeros_like(B.T), identity, B.T, D.T)
    g_t = after.flip(1)
    return (
        e @ A + g_t @ C,
        first,
        _sum_of_products(e, x),
        _sum_of_products(e, before),
        _sum_of_products(g_t, x),
        _sum_of_products(g_t, before),
    )


def _sum_of_products(left: Tensor, right: Tensor) -> Tensor:
    """Σ l_t r_tᵀ over batch and time."""
    return left.flatten(0, 1).T @ right.flatten(0, 1)


def _chunk(x: Tensor) -> int:
    """Steps in a chunk of x; a multiple of every length of a block."""
    batch, time, _ = x.shape
    return max(1, min(time, LENGTHS[-1] * max(1, CHUNK_STEPS // LENGTHS[-1] // max(1, batch))))


class _Simulator(Protocol):
    """Fills ``output`` (batch, time, outputs) from x (batch, time, inputs) and h_{-1}; returns the last state."""

    def __call__(self, x: Tensor, h: Tensor, output: Tensor) -> Tensor: ...


def _simulated(simulate: _Simulator, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs, as wide as the state, and the last state."""
    output = h.new_empty(*x.shape[:2], h.shape[1])
    return output, simulate(x, h, output)


def _simulator(system: _System, batch: int, time: int) -> _Simulator:
    """The outputs of a system; in blocks where they are no wider than the state and that is faster."""
    (outputs, inputs), hidden = system.feedthrough.shape, len(system.transition)
    length = _length(batch, time, outputs, inputs, hidden)
    if length == 1 or max(outputs, inputs) > hidden:
        return _Readout(system, _state_simulator(system.input_map, system.transition, batch, time))
    return _blocks(system, length, batch, time)


def _state_simulator(input_map: Tensor, transition: Tensor, batch: int, time: int) -> _Simulator:
    """The states before every step, y_t = h_{t-1}."""
    (hidden, inputs), identity = input_map.shape, _identity(transition)
    length = _length(batch, time, hidden, min(inputs, hidden), hidden)
    if length == 1:
        return _Steps(input_map, transition)
    if inputs > hidden:
        return _Drive(input_map, _state_simulator(identity, transition, batch, time))
    return _blocks(_System(torch.zeros_like(input_map), identity, input_map, transition), length, batch, time)


def _identity(like: Tensor) -> Tensor:
    return torch.eye(len(like), dtype=like.dtype, device=like.device)


def _length(batch: int, time: int, outputs: int, inputs: int, hidden: int) -> int:
    """The steps in a block that need the fewest multiplications; 1 if a loop needs fewer."""

    def cost(length: int) -> float:
        if length == 1:
            return time * (START + batch * (hidden + outputs) * (hidden + inputs))
        prepare = (BLOCK_OVERHEAD + length) * START + length * hidden**2 * (hidden + length * inputs)
        within = time * batch * (hidden + length * inputs) * outputs
        between = time / length * batch * (length * inputs + 20 * hidden) * hidden
        return prepare + within + between

    return min((1, *LENGTHS), key=cost)


def _blocks(system: _System, length: int, batch: int, time: int) -> _Simulator:
    """Blocks, from their responses to all unit states and unit inputs; a loop if powers of D overflow."""
    (outputs, inputs), hidden = system.feedthrough.shape, len(system.transition)
    size = hidden + length * inputs
    step_by_step = _Readout(system, _Steps(system.input_map, system.transition))
    unit = torch.eye(size, dtype=system.transition.dtype, device=system.transition.device)
    response = unit.new_empty(size, length, outputs)
    after = step_by_step(unit[:, hidden:].reshape(size, length, inputs), unit[:, :hidden], response)
    if not (response.sum() + after.sum()).isfinite():
        return step_by_step
    power, carry = after.split([hidden, length * inputs])
    borders = _state_simulator(_identity(power), power.T, batch, time // length)
    return _Blocks(length, response.flatten(1), carry, borders, step_by_step)


@dataclass(frozen=True)
class _Steps:
    """The states before every step, step by step."""

    input_map: Tensor
    transition: Tensor

    def __call__(self, x: Tensor, h: Tensor, output: Tensor) -> Tensor:
        states = torch.cat([h.unsqueeze(0), (x @ self.input_map.T).transpose(0, 1)])
        for before, after in pairwise(states.unbind(0)):
            after.addmm_(before, self.transition.T)
        output.copy_(states[:-1].transpose(0, 1))
        return states[-1].clone()


@dataclass(frozen=True)
class _Blocks:
    """Block by block, of L = ``length`` steps; what remains goes step by step.

    ``response`` (hidden + L · inputs, L · outputs) is what the state before a block, and below it the block's inputs,
    add to its outputs; ``carry`` (L · inputs, hidden) what the inputs add to the state after it.
    """

    length: int
    response: Tensor
    carry: Tensor
    borders: _Simulator
    step_by_step: _Simulator

    def __call__(self, x: Tensor, h: Tensor, output: Tensor) -> Tensor:
        batch, time, _ = x.shape
        count, rest = divmod(time, self.length)
        whole = time - rest
        inputs = x[:, :whole].reshape(batch, count, len(self.carry))
        before, h = _simulated(self.borders, inputs @ self.carry, h)
        blocks = torch.cat([before, inputs], -1) @ self.response
        output[:, :whole] = blocks.view(batch, whole, output.shape[2])
        return self.step_by_step(x[:, whole:], h, output[:, whole:]) if rest else h


@dataclass(frozen=True)
class _Drive:
    """u_t = C x_t first."""

    input_map: Tensor
    driven: _Simulator

    def __call__(self, x: Tensor, h: Tensor, output: Tensor) -> Tensor:
        return self.driven(x @ self.input_map.T, h, output)


@dataclass(frozen=True)
class _Readout:
    """y_t = A x_t + B h_{t-1} last."""

    system: _System
    states: _Simulator

    def __call__(self, x: Tensor, h: Tensor, output: Tensor) -> Tensor:
        before, h = _simulated(self.states, x, h)
        torch.add(x @ self.system.feedthrough.T, before @ self.system.readout.T, out=output)
        return h
