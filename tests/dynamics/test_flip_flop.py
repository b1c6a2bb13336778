"""The 3-bit flip-flop of Sussillo & Barak (2013): what a trained network remembers are its stable fixed points."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from seqdyn.dynamics.equilibria import fixed_points
from seqdyn.estimators.regressors import ElmanRegressor
from seqdyn.loops import scan
from seqdyn.state import flatten


def flip_flop(series, steps, seed):
    """Pulses ±1 on three channels, all at the first step, and the sign of the last one of each."""
    generator = np.random.default_rng(seed)
    pulses = generator.choice([-1.0, 1.0], (series, steps, 3)) * (generator.random((series, steps, 3)) < 0.15)
    pulses[:, 0] = generator.choice([-1.0, 1.0], (series, 3))
    held = pulses.copy()
    for step in range(1, steps):
        held[:, step] = np.where(pulses[:, step] == 0, held[:, step - 1], pulses[:, step])
    return pulses, held


def test_eight_memories_are_the_corners_of_a_cube():
    """Eight stable points, one a memory; between them 12 saddles on the edges, 6 on the faces and 1 in the middle."""
    model = ElmanRegressor(hidden_size=16, scale=False, max_epochs=60, learning_rate=1e-2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*flip_flop(256, 60, 0))
    cell = model.cell_.double().cpu()
    pulses = torch.from_numpy(flip_flop(64, 100, 1)[0])
    states = scan(cell, pulses, record=lambda x, before, output, after: flatten(after)).record.detach().flatten(0, 1)
    generator = torch.Generator().manual_seed(0)
    corners = states[torch.randint(len(states), (1024, 4), generator=generator)]
    weights = torch.randint(0, 2, (1024, 4), generator=generator).double()
    weights[:, 0] = 1
    found = fixed_points(cell, starts=(weights.unsqueeze(2) * corners).sum(1) / weights.sum(1, keepdim=True))
    assert found.index[~found.slow].bincount().tolist() == [8, 12, 6, 1]
    assert found.stable.sum() == 8 and found.newton_step[~found.slow].max() < 1e-12
    outputs = cell(torch.zeros(len(found), 3).double(), found.states(cell))[0][found.stable]
    assert len({tuple(row) for row in outputs.sign().int().tolist()}) == 8
    assert ((outputs.abs() - 1).abs() < 0.1).all() and found.points.abs().max() < 1
