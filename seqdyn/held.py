"""A cell under a constant input, which makes it an autonomous system."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from seqdyn.cell import Block, Cell
from seqdyn.state import expand, hold, leaves, map_leaves
from seqdyn.wrapper import Wrapper


class Held(Wrapper):
    """A cell under a constant input: y_t, h_t = f(x*, h_{t-1}), an autonomous system.

    It takes no input, (batch, time, 0), so that whatever looks at autonomous systems (fixed points, limit cycles,
    exponents, simulations) looks at it.

    Parameters
    ----------
    cell : Cell
    x : Tensor, shape (1, *input_shape), or a tree of such
        x*, one row.

    Raises
    ------
    ValueError
        If x is not one row.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.moving_average import ExponentialMovingAverage
    >>> from seqdyn.systems.simulate import simulate
    >>> simulate(Held(ExponentialMovingAverage(1, gamma=0.5), torch.ones(1, 1)), steps=3).flatten()
    tensor([0.5000, 0.7500, 0.8750])
    """

    input_size = 0
    input_shape = (0,)

    def __init__(self, cell: Cell, x: Any):
        super().__init__(cell)
        self.input_size, self.input_shape = 0, (0,)
        rows = {tuple(leaf.shape[:1]) for leaf in leaves(x)}
        if rows != {(1,)}:
            raise ValueError(f"Held holds one row, leaves (1, …), but x has {sorted(rows)} rows: give x[:1].")
        self.held = map_leaves(lambda leaf: leaf.detach().clone(), x)

    def see(self, x: Tensor) -> Any:
        like = self.zeros(0)
        own = map_leaves(lambda leaf: leaf.to(like) if leaf.is_floating_point() else leaf.to(like.device), self.held)
        rows = expand(own, len(x))
        return hold(rows, x.shape[1]) if x.dim() == 3 else rows

    def alone(self, batch: int, time: int) -> Tensor:
        return hold(self.zeros(batch, 0), time)

    def inner_output(self, x: Any, before: Any, output: Any) -> Any:
        return output

    def outer_block(self, inner: Block, output: Any) -> Block:
        """What is held is no input of this cell."""
        return inner._replace(feedthrough=inner.feedthrough[..., :0], input_map=inner.input_map[..., :0])

    def constructor_arguments(self) -> dict[str, Any]:
        return {"x": self.held}
