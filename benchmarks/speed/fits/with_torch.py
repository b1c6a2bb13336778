"""The minimal loop in plain torch: the honest baseline."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed.fits.task import BATCH, CLIP, HIDDEN, KINDS, RATE, WINDOW, Last, Task, Trained, Watch


class Network(nn.Module):
    """y_t = head(h_t) with the weights that seqdyn starts from.

    torch has a second bias, which the model does not need and which doubles the steps of the first. ``one_bias`` keeps
    it still, so that the curves can be compared; it is not used where time is taken.
    """

    def __init__(self, kind: str, start: dict[str, np.ndarray], one_bias: bool):
        super().__init__()
        self.recurrent: nn.RNNBase = getattr(nn, KINDS[kind])(1, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 1)
        names = {
            "weight_ih_l0": "cell.input_weight",
            "weight_hh_l0": "cell.recurrent_weight",
            "bias_ih_l0": "cell.bias",
        }
        with torch.no_grad():
            for name, own in names.items():
                self.recurrent.get_parameter(name).copy_(torch.from_numpy(start[own]))
            self.second_bias.zero_()
            for name in ("weight", "bias"):
                self.head.get_parameter(name).copy_(torch.from_numpy(start[f"affine.{name}"]))
        if one_bias:
            moves = torch.zeros(len(self.second_bias))
            if kind == "GRU":
                moves[2 * HIDDEN :] = 1  # the bias inside the reset is not a second one
            self.second_bias.register_hook(lambda gradient: gradient * moves)

    @property
    def second_bias(self) -> nn.Parameter:
        return self.recurrent.get_parameter("bias_hh_l0")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrent(x)[0])


class Scaled:
    """The series as inputs and targets of zero mean and unit variance, in overlapping windows."""

    def __init__(self, values: np.ndarray):
        x, y = torch.from_numpy(values[:-1]), torch.from_numpy(values[1:])
        self.x, self.y = Scale(x), Scale(y)
        self.inputs = self.x.apply(x).unfold(0, WINDOW, 1).unsqueeze(2)
        self.targets = self.y.apply(y).unfold(0, WINDOW, 1).unsqueeze(2)

    def last(self, network: nn.Module) -> Last:
        """The network's answer to the last step of windows."""

        @torch.inference_mode()
        def answer(windows: np.ndarray) -> np.ndarray:
            output = network(self.x.apply(torch.from_numpy(windows)))
            return self.y.invert(output[:, -1, 0]).numpy()

        return answer


class Scale:
    """Mean and standard deviation."""

    def __init__(self, values: Tensor):
        self.mean, self.deviation = values.mean(), values.std(correction=0)

    def apply(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation

    def invert(self, values: Tensor) -> Tensor:
        return values * self.deviation + self.mean


def train(task: Task, tuned: bool, steps: int, watch: Watch | None) -> Trained:
    """Slices of views, fused Adam, nothing else."""
    scaled, network = Scaled(task.values), Network(task.kind, task.weights, one_bias=watch is not None)
    weights = list(network.parameters())
    optimizer = torch.optim.Adam(weights, lr=RATE, fused=True)
    for step, chosen in enumerate(torch.from_numpy(task.order).split(BATCH)[:steps]):
        optimizer.zero_grad(set_to_none=True)
        output = network(scaled.inputs.index_select(0, chosen))
        loss = nn.functional.mse_loss(output, scaled.targets.index_select(0, chosen))
        loss.backward()
        nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        if watch is not None:
            watch(step, loss.item(), scaled.last(network))
    return Trained(scaled.last(network), sum(value.numel() for value in weights))
