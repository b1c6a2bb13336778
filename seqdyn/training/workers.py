"""Several processes that train one network together, each on its own rows of the same batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor


class Workers:
    """The processes of ``torch.distributed``, which has to be initialised: their gradients are summed.

        g = Σ_r w_r g_r / Σ_r w_r        over workers r, each with the mean loss of w_r items

    Workers see the same batches in the same order, each its own rows (``batches.shard(rank, world)``), and draw noise
    of their own. What they all know afterwards, loss, gradient and weights, is the same to the bit.

    Attributes
    ----------
    rank, world : int
        The number of this worker, and how many there are.

    Raises
    ------
    RuntimeError
        If ``torch.distributed`` is not initialised.
    """

    def __init__(self) -> None:
        if not (distributed.is_available() and distributed.is_initialized()):
            raise RuntimeError(
                "Workers share gradients through torch.distributed: call torch.distributed.init_process_group first, "
                "in every process (torchrun starts them)."
            )
        self.rank, self.world = distributed.get_rank(), distributed.get_world_size()

    def seed(self, generator: torch.Generator, base: int, step: int) -> None:
        """Seed this worker's noise of one step: other workers and other steps draw other numbers."""
        generator.manual_seed((base + 0x9E3779B97F4A7C15 * (step * self.world + self.rank + 1)) % 2**63)

    def agreed(self, due: bool) -> bool:
        """What the first worker says, whose clock counts."""
        flag = torch.tensor([float(due)])
        flag = flag.cuda() if distributed.get_backend() == "nccl" else flag
        distributed.broadcast(flag, 0)
        return bool(flag)

    def gathered(self, value: Any) -> list[Any]:
        """The value of every worker, in the order of their ranks."""
        found: list[Any] = [None] * self.world
        distributed.all_gather_object(found, value)
        return found

    @torch.no_grad()
    def share(self, gradients: Sequence[Tensor], loss: Tensor, weight: Tensor | float) -> tuple[Tensor, Tensor]:
        """Make every gradient that of all workers together, in place; returns their mean loss, and what it counts."""
        own = torch.as_tensor(weight, dtype=loss.dtype, device=loss.device).reshape(1)
        together = torch.cat([*(gradient.flatten() for gradient in gradients), loss.reshape(1)]) * own
        together = torch.cat([together.nan_to_num() if float(own) == 0 else together, own])
        distributed.all_reduce(together)
        total = together[-1]
        pieces = (together[:-1] / total.clamp(min=torch.finfo(loss.dtype).tiny)).split(
            [g.numel() for g in gradients] + [1]
        )
        for gradient, piece in zip(gradients, pieces, strict=False):
            gradient.copy_(piece.view_as(gradient))
        return pieces[-1][0], total
