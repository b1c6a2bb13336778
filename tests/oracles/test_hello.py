"""The lecture's worked example: a character-level language model of "hello", vocabulary h, e, l, o.

h_t = tanh(W_hh h_{t-1} + W_xh x_t),   P(next) = softmax(W_hy h_t)
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqdyn.cells.elman import Elman, ElmanState
from seqdyn.loops import rollout, scan

VOCABULARY = "helo"
Array = NDArray[np.float64]


def one_hot(text: str) -> Tensor:
    """(1, time, 4)"""
    return torch.eye(4, dtype=torch.float64)[[VOCABULARY.index(character) for character in text]][None]


def greedy(distribution: Tensor) -> str:
    """The likeliest next character at every step of one sequence (time, 4)."""
    return "".join(VOCABULARY[index] for index in distribution.argmax(-1).tolist())


def model(W_xh: Array, W_hh: Array, b: Array, W_hy: Array, b_y: Array) -> Elman:
    """An Elman network with these weights and a softmax."""
    cell = Elman(4, len(W_hh), output_size=4, output_activation="softmax").double()
    own = (cell.input_weight, cell.recurrent_weight, cell.bias, cell.affine.weight, cell.affine.bias)
    with torch.no_grad():
        for parameter, value in zip(own, (W_xh, W_hh, b, W_hy, b_y), strict=True):
            parameter.copy_(torch.from_numpy(np.asarray(value, dtype=np.float64)))
    return cell


def forward(text: str, W_xh: Array, W_hh: Array, b: Array, W_hy: Array, b_y: Array) -> tuple[Array, Array]:
    """The forward pass by hand: one column of W_xh a character, hidden states and distributions."""
    h, hidden, distributions = np.zeros(len(W_hh)), [], []
    for character in text:
        h = np.tanh(W_hh @ h + W_xh[:, VOCABULARY.index(character)] + b)
        scores = W_hy @ h + b_y
        hidden.append(h)
        distributions.append(np.exp(scores) / np.exp(scores).sum())
    return np.array(hidden), np.array(distributions)


SMALL = (
    np.array([[0.6, -0.4, 0.2, 0.1], [-0.3, 0.8, 0.5, -0.7], [0.9, 0.1, -0.6, 0.3]]),
    np.array([[0.5, -0.2, 0.1], [0.3, 0.4, -0.6], [-0.1, 0.7, 0.2]]),
    np.array([0.1, -0.2, 0.05]),
    np.array([[0.2, -0.5, 0.4], [1.1, 0.3, 0.7], [-0.6, 1.2, 0.1], [0.3, -0.8, -0.9]]),
    np.array([0.0, 0.1, -0.1, 0.05]),
)


def test_forward_pass_by_hand() -> None:
    """Hand-set weights: hidden states, the distribution at every step and the greedy next character."""
    hidden, distributions = forward("hello", *SMALL)
    result = scan(model(*SMALL), one_hot("hello"), record=lambda x, before, output, after: after)
    np.testing.assert_allclose(result.record.h[0].detach().numpy(), hidden, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(result.output[0].detach().numpy(), distributions, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(result.output.sum(-1).detach().numpy(), 1.0, rtol=1e-13)
    assert greedy(result.output[0]) == "".join(VOCABULARY[index] for index in distributions.argmax(1))


def test_first_steps_on_paper() -> None:
    """The first character sees no memory, the second sees the first through U: worked out with a calculator."""
    result = scan(model(*SMALL), one_hot("he"), record=lambda x, before, output, after: after)
    # h_0 = tanh(0.7, -0.5, 0.95) and h_1 = tanh(U h_0 + (-0.3, 0.6, 0.15))
    np.testing.assert_allclose(result.record.h[0, 0].detach().numpy(), [0.6044, -0.4621, 0.7398], atol=5e-5)
    np.testing.assert_allclose(result.record.h[0, 1].detach().numpy(), [0.1670, 0.1514, -0.0858], atol=5e-5)


FIGURE_HIDDEN = np.array([[0.3, -0.1, 0.9], [0.996, 0.3, 0.1], [0.1, -0.5, -0.3], [-0.3, 0.9, 0.7]])
FIGURE_SCORES = np.array([[1.0, 2.2, -3.0, 4.1], [0.5, 0.3, -1.0, 1.2], [0.1, 0.5, 1.9, -1.1], [0.2, -1.5, -0.1, 2.2]])
FIGURE_SHARES = np.array(
    [[0.03, 0.13, 0.0, 0.84], [0.25, 0.2, 0.05, 0.5], [0.11, 0.17, 0.68, 0.03], [0.11, 0.02, 0.08, 0.79]]
)
"""The numbers in the figure of Stanford's CS231n for the inputs h, e, l, l; its 1.0 is 0.996 here: tanh never is 1."""


def test_figure_of_the_lecture() -> None:
    """Weights solved for the figure's hidden layer and scores give back both, and its sampling distributions."""
    a = np.arctanh(FIGURE_HIDDEN)
    # l comes twice: W_hh must carry the step from one hidden state to the other; the least such W_hh has rank one.
    step = FIGURE_HIDDEN[2] - FIGURE_HIDDEN[1]
    W_hh = np.outer(a[3] - a[2], step) / (step @ step)
    columns = [a[0], a[1] - W_hh @ FIGURE_HIDDEN[0], a[2] - W_hh @ FIGURE_HIDDEN[1], np.zeros(3)]
    readout = np.linalg.solve(np.column_stack([FIGURE_HIDDEN, np.ones(4)]), FIGURE_SCORES).T
    cell = model(np.column_stack(columns), W_hh, np.zeros(3), readout[:, :3], readout[:, 3])
    result = scan(cell, one_hot("hell"), record=lambda x, before, output, after: after)
    np.testing.assert_allclose(result.record.h[0].detach().numpy(), FIGURE_HIDDEN, atol=1e-12)
    np.testing.assert_allclose(result.output[0].detach().numpy(), FIGURE_SHARES, atol=0.01)
    assert greedy(result.output[0]) == "oolo"  # an untrained network: the figure's point


def speller(gain: float = 4.0) -> Elman:
    """One neuron for h, for e, for l after e, and for l after l: ±1 codes the place in the word.

    The first three columns of each row say which character switches a neuron on; U tells the two l apart.
    """
    W_xh = gain * np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 2, 0]])
    W_hh = gain * np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    b = gain * np.array([-1, -1, -2, -2])
    W_hy = gain * np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    b_y = gain * np.array([-2, 0, 1, 0])
    return model(W_xh, W_hh, b, W_hy, b_y)


def test_spelling_open_loop() -> None:
    """Fed "hell", the constructed network predicts "ello", and is sure of it: the second l is told from the first."""
    distribution = scan(speller(), one_hot("hell")).output[0]
    assert greedy(distribution) == "ello"
    assert distribution.max(-1).values.min() > 0.99


def test_spelling_closed_loop() -> None:
    """Fed "h" and then its own characters, it says "hello"."""
    cell = speller()
    first = scan(cell, one_hot("h"))

    def choose(distribution: Tensor, _: None) -> Tensor:
        return torch.eye(4, dtype=torch.float64)[distribution.argmax(-1)]

    rest = rollout(cell, first.state, 3, last=first.output[:, -1], feed=choose)
    assert "h" + greedy(first.output[0]) + greedy(rest.output[0]) == "hello"


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_memory_decides(start: float) -> None:
    """The same character "l" is followed by l or by o, depending only on the state."""
    code = torch.tensor([[-1.0, -1.0, 1.0, -1.0]] if start else [[-1.0, 1.0, -1.0, -1.0]], dtype=torch.float64)
    output = scan(speller(), one_hot("l"), ElmanState(code)).output[0]
    assert greedy(output) == ("o" if start else "l")
