"""Heads against torch, scipy and scikit-learn; quantiles never cross; weights are weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import log_loss, mean_pinball_loss
from torch import Tensor
from torch.nn import functional

from seqdyn.training.heads import CrossEntropy, Custom, Gaussian, Head, Quantile, regression_head
from seqdyn.training.objective import weighted_mean

LEVELS = (0.1, 0.25, 0.5, 0.9)


def draw(*shape: int, seed: int = 0, scale: float = 2.0) -> Tensor:
    """Normal numbers in float64."""
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("mse", functional.mse_loss),
        ("mae", functional.l1_loss),
        ("huber", functional.huber_loss),
    ],
)
def test_pointwise_losses_are_those_of_torch(name: str, oracle: Callable[..., Tensor]) -> None:
    """Step by step and target by target; one output a target, which is the prediction."""
    output, target = draw(4, 7, 3, seed=1), draw(4, 7, 3, seed=2)
    head = regression_head(name, ())
    assert torch.equal(head.loss(output, target), oracle(output, target, reduction="none"))
    assert head.outputs == 1 and torch.equal(head.point(output), output)


def test_a_callable_is_a_head() -> None:
    """It is called with output and target, and its values are used as they are."""
    head = regression_head(lambda output, target: (output - target).abs() ** 3, ())
    output, target = draw(2, 3, 1), draw(2, 3, 1, seed=1)
    assert isinstance(head, Custom) and head.provides == frozenset() and head.outputs == 1
    assert torch.equal(head.loss(output, target), (output - target).abs() ** 3)


def test_pinball_loss_is_that_of_scikit_learn() -> None:
    """The mean over quantiles of the mean pinball loss, for every target."""
    head = regression_head("quantile", LEVELS)
    output, target = draw(3, 5, 2 * len(LEVELS), seed=1), draw(3, 5, 2, seed=2)
    values = head.loss(output, target)
    assert values.shape == target.shape and head.outputs == len(LEVELS)
    spread = output.reshape(3, 5, 2, len(LEVELS)).numpy()
    for column in range(2):
        true = target[..., column].reshape(-1).numpy()
        expected = [
            mean_pinball_loss(true, spread[..., column, place].reshape(-1), alpha=level)
            for place, level in enumerate(LEVELS)
        ]
        assert values[..., column].mean().item() == pytest.approx(np.mean(expected), rel=1e-12)


def test_pinball_loss_is_least_at_the_quantiles() -> None:
    """Over a sample, no other constants cost less than the sample's quantiles."""
    sample = np.random.default_rng(0).gumbel(size=1001)
    target = torch.from_numpy(sample).view(1, -1, 1)
    head = Quantile(LEVELS)

    def cost(levels: np.ndarray) -> float:
        return head.loss(torch.from_numpy(levels).expand(1, len(sample), -1), target).mean().item()

    best = np.quantile(sample, LEVELS)
    for place in range(len(LEVELS)):
        for nudge in (-0.05, 0.05):
            moved = best.copy()
            moved[place] += nudge
            assert cost(moved) > cost(best)


def test_gaussian_loss_is_the_density_of_scipy() -> None:
    """−log density of a normal distribution; σ is a softplus above 0."""
    output, target = draw(3, 5, 4, seed=1), draw(3, 5, 2, seed=2)
    head = Gaussian()
    assert head.outputs == 2
    mean, raw = output.reshape(3, 5, 2, 2).numpy()[..., 0], output.reshape(3, 5, 2, 2).numpy()[..., 1]
    scale = np.log1p(np.exp(raw)) + 1e-4
    np.testing.assert_allclose(head.loss(output, target), -stats.norm.logpdf(target.numpy(), mean, scale), rtol=1e-12)
    np.testing.assert_array_equal(head.point(output), mean)
    expected = stats.norm.ppf(np.array([0.1, 0.9]), mean[..., None], scale[..., None])
    np.testing.assert_allclose(head.quantile(output, (0.1, 0.9)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussian_loss_survives_extremes(dtype: torch.dtype) -> None:
    """A scale that wants to vanish or to explode gives finite losses and gradients."""
    raw = torch.tensor([[0.0, -1e4, 0.0, 1e4]], dtype=dtype).requires_grad_()
    value = Gaussian().loss(raw, torch.ones(1, 2, dtype=dtype)).sum()
    value.backward()
    assert value.isfinite() and raw.grad is not None and raw.grad.isfinite().all()


def test_cross_entropy_is_that_of_torch_and_scikit_learn() -> None:
    """−log softmax at the true class, one number a step."""
    output = draw(3, 5, 4, seed=1)
    target = torch.randint(4, (3, 5, 1), generator=torch.Generator().manual_seed(2))
    head = CrossEntropy(4)
    values = head.loss(output, target.double())
    assert values.shape == target.shape and head.outputs == 4
    expected = functional.cross_entropy(output.flatten(0, 1), target.flatten(), reduction="none")
    torch.testing.assert_close(values.flatten(), expected)
    probabilities = head.probabilities(output)
    assert probabilities.shape == (3, 5, 1, 4)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(3, 5, 1, dtype=torch.float64))
    assert values.mean().item() == pytest.approx(log_loss(target.flatten(), probabilities.view(-1, 4).numpy()))
    assert torch.equal(head.point(output), probabilities.argmax(-1))


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "quantile", "gaussian"])
def test_losses_have_the_gradient_of_their_values(name: str) -> None:
    """Autograd against finite differences."""
    head = regression_head(name, LEVELS)
    target = draw(2, 3, 2, seed=2)
    output = draw(2, 3, 2 * head.outputs, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: head.loss(value, target), output)


# --- quantiles -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=6, unique=True).map(sorted),
    st.booleans(),
    st.integers(0, 2**31),
    st.floats(1e-3, 1e4),
)
def test_quantiles_never_cross(levels: list[float], fitted: bool, seed: int, scale: float) -> None:
    """Whatever the network puts out, the quantiles are in order, one a level; the point lies among them."""
    head: Head = Quantile(tuple(levels)) if fitted else Gaussian()
    output = draw(2, 5, 3 * head.outputs, seed=seed, scale=scale).float()
    quantiles = head.quantile(output, levels)
    assert quantiles.shape == (2, 5, 3, len(levels))
    assert (quantiles.diff(dim=-1) >= 0).all()
    point = head.point(output)
    assert point.shape == (2, 5, 3)
    if fitted:
        nearest = int(np.argmin(np.abs(np.array(levels) - 0.5)))
        assert torch.equal(point, quantiles[..., nearest])


@pytest.mark.parametrize("levels", [(), (0.5, 0.1), (0.1, 0.1), (0.0, 0.5), (0.5, 1.0), (-0.1,), (0.5, float("nan"))])
@pytest.mark.parametrize("name", ["quantile", "gaussian"])
def test_quantiles_that_are_none(name: str, levels: tuple[float, ...]) -> None:
    """Levels outside (0, 1) or out of order are refused."""
    with pytest.raises(ValueError, match=r"quantiles must be increasing numbers in \(0, 1\), got"):
        regression_head(name, levels)


def test_smoothing_is_that_of_torch_and_changes_no_probability() -> None:
    """(1 − ε) ℓ + ε Σ −ln p / K in the loss; ln p of a class is what it was."""
    scores, target = draw(2, 5, 4), torch.randint(4, (2, 5, 1), generator=torch.Generator().manual_seed(0))
    smooth, plain = CrossEntropy(4, 0.2), CrossEntropy(4)
    mean = -torch.log_softmax(scores, -1).mean(-1, keepdim=True)
    torch.testing.assert_close(smooth.loss(scores, target), 0.8 * plain.loss(scores, target) + 0.2 * mean)
    expected = torch.nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten(), label_smoothing=0.2)
    torch.testing.assert_close(smooth.loss(scores, target).mean(), expected)
    assert torch.equal(smooth.log_probability(scores, target), -plain.loss(scores, target))


def test_an_unknown_loss_is_named() -> None:
    """With what there is instead."""
    with pytest.raises(ValueError, match=r"'mse', 'mae', 'huber', 'quantile', 'gaussian', or a callable.*got 'l2'"):
        regression_head("l2", ())


# --- weights -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**31), st.sampled_from([1, 3]))
def test_the_mean_is_that_of_numpy(seed: int, width: int) -> None:
    """Σ w ℓ / Σ w; one weight a step counts for all its targets."""
    values = draw(2, 4, 3, seed=seed)
    weight = draw(2, 4, width, seed=seed + 1).abs() * (draw(2, 4, width, seed=seed + 2) > 0)
    weight[0, 0] = 1.0
    full = np.broadcast_to(weight.numpy(), values.shape)
    assert weighted_mean(values, weight).item() == pytest.approx(np.average(values.numpy(), weights=full), rel=1e-12)
    assert weighted_mean(values, None).item() == pytest.approx(values.numpy().mean(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_that_counts_costs_nothing(dtype: torch.dtype) -> None:
    """With all weights 0 the mean is 0 and so is its gradient, not NaN."""
    values = torch.ones(2, 3, 1, dtype=dtype).requires_grad_()
    mean = weighted_mean(values, torch.zeros(2, 3, 1, dtype=dtype))
    mean.backward()
    assert mean.item() == 0 and values.grad is not None and not values.grad.any()
