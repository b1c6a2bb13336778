"""How fast is the linear recurrence, alone and with its gradient, and how much memory do 10⁸ steps need?

- ``states``: all states of order 8, one input, float64, 10⁶ steps, beside ``scipy.signal.dlsim`` and a numpy loop (on
  10⁴ steps, scaled up) and ``scipy.signal.lfilter`` (outputs only). Bar: 60 ms.
- ``gradient``: the free-run mean squared error by A, B, C, D and h_{-1}, 10⁵ steps, beside autograd through a plain
  torch loop (on 10⁴ steps, scaled up). Bar: 400 times faster, gradients equal to 1e-8.
- ``small``: forward and backward, batch 32, float32, beside the loop recorded by autograd. Bar: never slower.
- ``long``: 10⁸ steps in pieces of 10⁶, the state carried on; the peak must not grow with the number of pieces.

    python benchmarks/linear_kernel.py [--what states gradient small long] [--rounds 9]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from measure import machine, report, take_turns
from scipy import signal
from torch import Tensor

from seqdyn.kernels.linear import linear_recurrence, linear_states

ORDER, SHORT = 8, 10**4


def system(inputs: int, hidden: int, outputs: int, dtype: torch.dtype) -> list[Tensor]:
    """A, B, C and D; D of spectral radius 0.95."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(outputs, inputs), (outputs, hidden), (hidden, inputs), (hidden, hidden)]
    A, B, C, D = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return [matrix.to(dtype) for matrix in (A, B, C, D * 0.95 / torch.linalg.eigvals(D).abs().max())]


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def numpy_states(x: np.ndarray, C: np.ndarray, D: np.ndarray) -> np.ndarray:
    """All states by a loop; x (time, inputs)."""
    drive, states, h = x @ C.T, np.empty((len(x), len(D))), np.zeros(len(D))
    for t, u in enumerate(drive):
        h = states[t] = D @ h + u
    return states


def torch_loop(x: Tensor, h: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """The step as it is written, for autograd."""
    outputs = []
    for x_t in x.unbind(1):
        outputs.append(x_t @ A.T + h @ B.T)
        h = x_t @ C.T + h @ D.T
    return torch.stack(outputs, 1), h


def gradients(recurrence: Callable, y: Tensor, x: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Of the free-run mean squared error by h_{-1}, A, B, C and D."""
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    return torch.autograd.grad((recurrence(x, *leaves)[0] - y).square().mean(), leaves, materialize_grads=True)


def states(rounds: int) -> None:
    A, B, C, D = system(1, ORDER, 1, torch.float64)
    x, h = noise(1, 10**6, 1), torch.zeros(1, ORDER, dtype=torch.float64)
    control = (D.numpy(), C.numpy(), B.numpy(), A.numpy(), 1.0)
    numerator, denominator = signal.ss2tf(*control[:4])
    inputs = x[0].numpy()
    scale = len(inputs) / SHORT
    ours = linear_states(x, h, C, D)[0][0, :SHORT].numpy()
    peer = numpy_states(inputs[:SHORT], C.numpy(), D.numpy())
    difference = np.abs(ours - peer).max() / np.abs(peer).max()
    print(f"all states, order {ORDER}, 10^6 steps; largest relative difference {difference:.1e}")
    seconds = take_turns(
        {
            "linear_states": lambda: linear_states(x, h, C, D),
            "linear_recurrence, outputs": lambda: linear_recurrence(x, h, A, B, C, D),
            "lfilter, outputs": lambda: signal.lfilter(numerator[0], denominator, inputs[:, 0]),
            "dlsim, scaled up": lambda: signal.dlsim(control, inputs[:SHORT]),
            "numpy loop, scaled up": lambda: numpy_states(inputs[:SHORT], C.numpy(), D.numpy()),
        },
        rounds,
    )
    for name in ("dlsim, scaled up", "numpy loop, scaled up"):
        seconds[name] *= scale
    report(seconds, "linear_states", "dlsim, scaled up", 1e3, "ms")


def gradient(rounds: int) -> None:
    x, leaves = noise(1, 10**5, 1), [noise(1, ORDER), *system(1, ORDER, 1, torch.float64)]
    y = noise(1, 10**5, 1).flip(1)
    few, target = x[:, :SHORT], y[:, :SHORT]
    pairs = zip(
        gradients(linear_recurrence, target, few, leaves), gradients(torch_loop, target, few, leaves), strict=True
    )
    worst = max(((mine - theirs).abs().max() / theirs.abs().max()).item() for mine, theirs in pairs)
    print(f"gradient, order {ORDER}, 10^5 steps; largest relative difference (10^4 steps) {worst:.1e}")
    seconds = take_turns(
        {
            "linear_recurrence": lambda: gradients(linear_recurrence, y, x, leaves),
            "torch loop, scaled up": lambda: gradients(torch_loop, target, few, leaves),
        },
        rounds,
    )
    seconds["torch loop, scaled up"] *= x.shape[1] / SHORT
    print(f"    {1 / report(seconds, 'linear_recurrence', 'torch loop, scaled up', 1e3, 'ms'):.0f} times faster")


def small(rounds: int) -> None:
    for steps in (1, 50, 200, 1000):
        for hidden in (4, 16, 64):
            x, y = noise(32, steps, 2, dtype=torch.float32), noise(32, steps, 2, dtype=torch.float32)
            leaves = [torch.zeros(32, hidden), *system(2, hidden, 2, torch.float32)]
            print(f"T {steps}, hidden {hidden}")
            seconds = take_turns(
                {
                    "linear_recurrence": lambda: gradients(linear_recurrence, y, x, leaves),  # noqa: B023
                    "torch loop": lambda: gradients(torch_loop, y, x, leaves),  # noqa: B023
                },
                rounds,
            )
            report(seconds, "linear_recurrence", "torch loop", 1e3, "ms")


def long(_: int) -> None:
    A, B, C, D = system(1, ORDER, 1, torch.float64)
    h = torch.zeros(1, ORDER, dtype=torch.float64)
    generator, total, inside = torch.Generator().manual_seed(2), 0.0, 0.0
    for piece in range(100):
        x = torch.randn(1, 10**6, 1, generator=generator, dtype=torch.float64)
        begin = time.perf_counter()
        output, h = linear_recurrence(x, h, A, B, C, D)
        inside += time.perf_counter() - begin
        total += output.square().sum().item()
        if piece in (0, 9, 99):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            mean = total / (piece + 1) / 1e6
            print(f"    {piece + 1:>3} · 10^6 steps: peak {peak:.0f} MiB, {inside:.2f} s, mean square {mean:.4f}")


def main() -> None:
    questions = {"states": states, "gradient": gradient, "small": small, "long": long}
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--what", nargs="+", choices=questions, default=list(questions))
    arguments.add_argument("--rounds", type=int, default=9)
    options = arguments.parse_args()
    print(machine())
    for question in options.what:
        questions[question](options.rounds)


if __name__ == "__main__":
    main()
