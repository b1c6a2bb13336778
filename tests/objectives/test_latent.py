"""A latent model: the evidence lower bound of a linear Gaussian one, against the exact evidence."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from seqdyn.training.batches import Batch, Rows, Spans
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Pass, evaluated

NOISE = 0.5


class Factor(nn.Module):
    """x_t = w z_t + s ε, z_t ~ N(0, 1); q(z | x) = N(a · x, b²)."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.a = nn.Parameter(torch.ones(2)), nn.Parameter(torch.full((2,), 0.1))
        self.log_b, self.log_s = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_scale = x @ self.a, self.log_b.expand(x.shape[:-1])
        z = mean + log_scale.exp() * noise
        return z[..., None] * self.w, mean, log_scale


def bound(network: Any, batch: Batch, state: Any, generator: torch.Generator, progress: float) -> Pass:
    """−ln p(x | z) + KL(q(z | x) ‖ p(z)), each the mean of a step, with one draw of z."""
    draws = torch.randn(batch.x.shape[:2], generator=generator)
    decoded, mean, log_scale = network(batch.x, draws)
    scale = network.log_s.exp()
    error = ((batch.x - decoded) ** 2 / (2 * scale**2) + network.log_s + 0.5 * math.log(2 * math.pi)).sum(-1).mean()
    kl = (0.5 * (mean**2 + (2 * log_scale).exp() - 1) - log_scale).mean()
    return Pass(error + kl, draws.numel(), output=decoded, parts={"reconstruction": error, "kl": kl})


def test_a_bound_is_learnt_with_its_parts_in_the_history() -> None:
    """It comes within 0.02 nats a step of the exact evidence of the data's own model, and is never below it."""
    draw = torch.Generator().manual_seed(1)
    w = torch.tensor([1.5, -0.8])
    x = torch.randn(40, 100, 1, generator=draw) * w + NOISE * torch.randn(40, 100, 2, generator=draw)
    network = Factor()
    trainer = Trainer(
        network, Spans(Rows.of(x), 10), bound, Recipe(max_epochs=150, learning_rate=0.03, schedule="cosine"), draw
    )
    history_ = pd.DataFrame(trainer.run(), columns=list(trainer.columns))
    assert (history_["loss"] - history_["reconstruction"] - history_["kl"]).abs().max() < 1e-5
    exact = stats.multivariate_normal(cov=(torch.outer(w, w) + NOISE**2 * torch.eye(2)).numpy())
    evidence = -exact.logpdf(x.view(-1, 2).numpy()).mean()
    found = [evaluated(network, Spans(Rows.of(x), 40), bound, seed)["loss"] for seed in range(10, 30)]
    assert evidence - 0.005 < sum(found) / 20 < evidence + 0.02
    assert 0.3 < history_["kl"].iloc[-1]
