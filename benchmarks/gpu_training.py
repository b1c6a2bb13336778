"""What does recording a step on one GPU save, and what does a plain torch loop take?

The same windows, batch size, steps, optimizer (fused Adam), clipping and size of model, on data that lie on the device:
the trainer with and without :class:`~seqdyn.training.capture.Capture`, and a loop by hand. Absolute times with their
spread; the losses of the two trainings must agree.

    python benchmarks/gpu_training.py [--epochs 20] [--rounds 7]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from measure import machine, take_turns

from seqdyn.cells.gru import GRU
from seqdyn.composition import Readout
from seqdyn.training.batches import Rows, Spans
from seqdyn.training.capture import Capture, CudaRecorder
from seqdyn.training.heads import Squared
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Supervised

BATCH, BATCHES, SEED = 32, 20, 0


def data(time: int, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """White noise, and a running sum to learn, on the device."""
    x = torch.randn(BATCH * BATCHES, time, inputs, generator=torch.Generator().manual_seed(SEED))
    return x.cuda(), (x.cumsum(1)[..., :1] / time**0.5).cuda()


def ours(x: torch.Tensor, y: torch.Tensor, hidden: int, epochs: int, capture: bool) -> float:
    """Train; returns the last loss."""
    draw = torch.Generator().manual_seed(SEED)
    network = Readout(GRU(x.shape[2], hidden, generator=draw), 1, generator=draw).cuda()
    batches = Spans(Rows.of(list(x), list(y)), BATCH)
    recipe = Recipe(max_epochs=epochs, n_iter_no_change=epochs)
    recorded = Capture(CudaRecorder()) if capture else None
    trainer = Trainer(network, batches, Supervised(Squared()), recipe, draw, capture=recorded)
    loss = trainer.run()[-1]["loss"]
    if recorded is not None and recorded.refused is not None:
        print(f"    not recorded: {recorded.refused}")
    torch.cuda.synchronize()
    return loss


def bare_loop(x: torch.Tensor, y: torch.Tensor, hidden: int, epochs: int) -> None:
    """The minimal torch loop, data on the device."""
    gru, head = torch.nn.GRU(x.shape[2], hidden, batch_first=True).cuda(), torch.nn.Linear(hidden, 1).cuda()
    parameters = [*gru.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2, fused=True)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).cuda().split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.mse_loss(head(gru(x[chosen])[0]), y[chosen])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
    torch.cuda.synchronize()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, default=20)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("There is no GPU here: this benchmark needs one that torch can use.")
    print(machine(), torch.cuda.get_device_name(), f"seed {SEED}", sep=", ")
    for time, hidden, inputs in ((96, 64, 7), (64, 32, 1)):
        x, y = data(time, inputs)
        print(f"B {BATCH}, T {time}, H {hidden}, I {inputs}, {options.epochs} epochs of {BATCHES} steps")
        losses = [ours(x, y, hidden, options.epochs, capture) for capture in (False, True)]
        print(f"    last loss {losses[0]:.6f} as written, {losses[1]:.6f} recorded")
        assert abs(losses[0] - losses[1]) <= 1e-3 * abs(losses[0]), "the recorded training is another one"
        seconds = take_turns(
            {
                "as written": lambda: ours(x, y, hidden, options.epochs, False),  # noqa: B023
                "recorded": lambda: ours(x, y, hidden, options.epochs, True),  # noqa: B023
                "plain torch loop": lambda: bare_loop(x, y, hidden, options.epochs),  # noqa: B023
            },
            options.rounds,
        )
        for name, values in seconds.items():
            each = 1e3 * values / (BATCHES * options.epochs)
            low, middle, high = np.quantile(each, [0.25, 0.5, 0.75])
            print(f"    {name:<18} {middle:8.3f} ms a step (quartiles {low:.3f} to {high:.3f}, {len(each)} rounds)")


if __name__ == "__main__":
    main()
