"""Policy gradients: what is chosen at random is trained by what it cost.

    ĝ = ∇ Σ_t C_t + sg(C_t − b_t) ln α_t(j_t) + (sg(C_t) − b_t)²       over the choices j_t ~ α_t

sg stops the gradient. The second term is the score function, whose expectation is the gradient of E[C] by α; a baseline
b_t that does not depend on j_t takes nothing from it but variance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqdyn.affine import Affine
from seqdyn.cells.hard_attention import Explored
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.state import State
from seqdyn.training.batches import Batch
from seqdyn.training.heads import CrossEntropy
from seqdyn.training.objective import Pass, total_weight, weighted_mean
from seqdyn.training.pairs import shift_right, source_mask


class Reinforce(nn.Module):
    """Train hard attention by looking: the cost E_{j~α}[Σ_t −ln p(y_t | j_t)], one drawn path a sequence.

    What is looked at does not change the recurrence, so that a choice costs its own step alone. The cost bounds the
    negative log-likelihood −ln Σ_j α_j p(y | j) from above; with smoothing it is that of the smoothed targets, and the
    part ``nats`` is without.

    Parameters
    ----------
    head : CrossEntropy
    begin : int
        The token before the first.
    query_size : int or None
        Width of s_t, from which the baseline b_t = wᵀ s_t + b is learnt; None: no baseline.
    generator : torch.Generator, optional

    References
    ----------
    Williams (1992), Simple statistical gradient-following algorithms; Xu et al. (2015), eqs. (11) and (12); Mnih &
    Gregor (2014), Neural variational inference and learning in belief networks (a learnt baseline).
    """

    def __init__(
        self, head: CrossEntropy, begin: int, query_size: int | None, generator: torch.Generator | None = None
    ):
        super().__init__()
        self.head, self.begin = head, begin
        self.baseline = None if query_size is None else Affine(query_size, 1, generator)

    def forward(
        self, network: EncoderDecoder, batch: Batch, state: State | None, generator: torch.Generator, progress: float
    ) -> Pass:
        target, _ = batch.y
        seen, mask = shift_right(self.begin, target), source_mask(batch)
        noise = network.noise(len(target), batch.x.shape[1], target.shape[1], generator)
        uniform = torch.rand(target.shape, generator=generator).to(target.device)
        explored = network.explored(batch.x, mask, seen, uniform, noise)
        values = self.values(explored, target)
        parts = {"nats": weighted_mean(-self.head.log_probability(explored.scores, target).detach(), batch.weight)}
        loss = weighted_mean(values, batch.weight)
        return Pass(loss, total_weight(values, batch.weight), None, explored.scores, parts, batch)

    def values(self, explored: Explored, target: Tensor) -> Tensor:
        """C_t (batch, time), whose gradient is the estimate, and that of the baseline's error."""
        cost = self.head.loss(explored.scores, target)
        baseline = self.expected(explored.query)
        score = (cost - baseline).detach() * explored.log_weight + (cost.detach() - baseline) ** 2
        return cost + score - score.detach()

    def expected(self, query: Tensor) -> Tensor:
        """b_t (batch, time), from queries (batch, time, ·); their gradient stops here."""
        if self.baseline is None:
            return query.new_zeros(query.shape[:2])
        found: Tensor = self.baseline(query.detach()).squeeze(2)
        return found
