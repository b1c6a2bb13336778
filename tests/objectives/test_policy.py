"""REINFORCE with a learnt baseline: an agent that must remember what it saw some steps ago."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from seqdyn.cells.lstm import LSTM
from seqdyn.composition import Readout
from seqdyn.training.batches import Batch, Rows, Spans
from seqdyn.training.forward import forward
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.loop import Recipe, Trainer
from seqdyn.training.objective import Pass, evaluated

LAG, ACTIONS = 3, 2
HEAD = CrossEntropy(ACTIONS)


class Reinforce(nn.Module):
    """−(R − b) ln π(a) + (R − b)²: R is 1 where the action is the cue of ``LAG`` steps ago."""

    def __init__(self) -> None:
        super().__init__()
        self.baseline = nn.Parameter(torch.zeros(()))

    def forward(self, network: Any, batch: Batch, state: Any, generator: torch.Generator, progress: float) -> Pass:
        scores, _ = forward(network, batch, state, generator)
        action = HEAD.sample(scores, generator)
        reward = (action[:, LAG:] == batch.x[:, :-LAG].long()).float()
        advantage = reward - self.baseline
        gain = advantage.detach() * HEAD.log_probability(scores, action)[:, LAG:]
        parts = {"reward": reward.mean(), "value": (advantage**2).mean()}
        return Pass(parts["value"] - gain.mean(), reward.numel(), output=scores, parts=parts)


def test_a_policy_learns_from_rewards_alone() -> None:
    """From half of the rewards to 95 % of them; the baseline is trained, too, and comes to what is earned.

    Rewards alone may leave a policy in a corner, one of four here: the median of three is compared.
    """
    earned = []
    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        cues = torch.randint(ACTIONS, (64, 20, 1), generator=draw).float()
        policy = Readout(LSTM(1, 16, generator=draw), ACTIONS, generator=draw)
        objective, episodes = Reinforce(), Spans(Rows.of(cues), 64)
        before = evaluated(policy, episodes, objective)["reward"]
        trainer = Trainer(policy, episodes, objective, Recipe(max_epochs=600, learning_rate=0.02), draw)
        trainer.run()
        assert "objective.baseline" in trainer.parameters and "gradient_norm/objective.baseline" in trainer.columns
        earned.append(evaluated(policy, episodes, objective)["reward"])
        assert 0.4 < before < 0.6
        assert abs(float(objective.baseline.detach()) - earned[-1]) < 0.1
    assert sorted(earned)[1] > 0.95
