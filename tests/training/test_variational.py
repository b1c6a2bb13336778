"""The bound of a painter: against quadrature and enumeration, and against the known mistakes of other ports."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seqdyn.cell import Noisy
from seqdyn.cells.draw import DRAWCell, Latent, Painter
from seqdyn.cells.lstm import LSTM
from seqdyn.glimpses import Read, Write
from seqdyn.loops import scan
from seqdyn.state import hold
from seqdyn.training.batches import Rows, Spans
from seqdyn.training.objective import evaluated
from seqdyn.training.variational import Variational, bound, divergence, importance_weighted

SHAPE = (1, 2, 2)


def painter(latent: int = 1, size: int | None = None, scale: float = 1.2, seed: int = 0) -> DRAWCell:
    """A painter of 2 × 2 pixels with weights that are far from 0."""
    g = torch.Generator().manual_seed(seed)
    read = Read(SHAPE, 3, size, g)
    inner = Painter(LSTM(latent, 3, generator=g), Write(SHAPE, 3, size, g))
    cell = DRAWCell(LSTM(read.output_size + 3, 3, generator=g), inner, read, g).double()
    for parameter in cell.parameters():
        parameter.data.normal_(0, scale, generator=g)
    return cell


def picture() -> torch.Tensor:
    return torch.tensor([[[[1.0, 0], [0, 1]]]], dtype=torch.float64)


def exact(cell: DRAWCell, x: torch.Tensor) -> float:
    """ln p(x) of one glimpse and one latent number, by quadrature on a grid."""
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    canvas = scan(cell.painter, z.view(-1, 1, 1)).state.canvas.detach()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(canvas, x.expand_as(canvas), reduction="none")
    log_joint = -loss.flatten(1).sum(1) - z**2 / 2 - math.log(2 * math.pi) / 2
    return float(torch.logsumexp(log_joint, 0) + math.log(z[1] - z[0]))


def test_nothing_is_told_by_a_standard_normal() -> None:
    """L_z = 0 with μ = 0 and σ = 1, with T = 3 and five numbers: one number and step each costs its own ½."""
    nothing = torch.zeros(2, 3, 5)
    assert torch.equal(divergence(Latent(nothing, nothing, nothing)), torch.zeros(2, 3))


def test_the_divergence_is_that_of_two_normals() -> None:
    g = torch.Generator().manual_seed(0)
    mean, log_scale = (torch.randn(4, 3, 5, generator=g, dtype=torch.float64) for _ in range(2))
    own = torch.distributions.Normal(mean, log_scale.exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(own, standard).sum(-1)
    torch.testing.assert_close(divergence(Latent(mean, mean, log_scale)), expected)


def test_the_bound_is_below_the_exact_value_and_importance_samples_reach_it() -> None:
    """One glimpse, one number: E L̂_1 ≤ E L̂_10 ≤ E L̂_500 ≤ ln p(x), each within its error of many draws."""
    cell, x, g = painter(), picture(), torch.Generator().manual_seed(1)
    truth, paths = exact(cell, x), 20_000
    with torch.no_grad():
        weights = bound(cell, x.expand(paths, -1, -1, -1), cell.noise(paths, 1, g)).log_weight
        whole = bound(cell, x.expand(paths, -1, -1, -1), cell.noise(paths, 1, g))
    found, errors = [], []
    for count in (1, 10, 500):
        rows = importance_weighted(weights.view(-1, count))
        found.append(float(rows.mean()))
        errors.append(float(rows.std()) / math.sqrt(len(rows)))
    elbo = -(whole.pixels + whole.divergence.sum(1))
    assert abs(float(elbo.mean()) - found[0]) < 4 * (errors[0] + float(elbo.std()) / math.sqrt(paths))
    assert found[0] < found[1] < truth + 4 * errors[1] and found[1] - found[0] > 4 * errors[0]
    assert abs(found[2] - truth) < 4 * errors[2] + 0.01


def test_importance_weights_of_one_path_are_its_weight() -> None:
    weights = torch.randn(5, 1, dtype=torch.float64)
    torch.testing.assert_close(importance_weighted(weights), weights.squeeze(1))


@pytest.mark.parametrize("size", [None, 2])
def test_noise_is_new_at_every_glimpse(size: int | None) -> None:
    """z_t and z_t' do not go together, given the same μ and σ; one noise for all steps would make them one number."""
    cell = painter(latent=2, size=size)
    for part in (cell.mean, cell.log_scale):
        part.weight.data.zero_()
        part.bias.data.zero_()
    noise = cell.noise(4000, 3, torch.Generator().manual_seed(0))
    assert noise.shape == (4000, 3, 2)
    with torch.no_grad():
        z = scan(cell, Noisy(hold(picture().expand(4000, -1, -1, -1), 3), noise)).output.z
    correlation = np.corrcoef(z.flatten(1).T.numpy())
    assert np.abs(correlation - np.eye(6)).max() < 4 / math.sqrt(4000)
    torch.testing.assert_close(z, noise)  # μ = 0, σ = 1


def test_what_is_lacking_is_measured_against_probabilities() -> None:
    """x̂ = x − σ(c): an encoder that passes on what it reads sees probabilities, not log-odds."""
    cell = painter()
    cell.painter.start.data.fill_(2.0)
    seen: list[torch.Tensor] = []

    class Spy(torch.nn.Module):
        size = None

        def forward(self, x: torch.Tensor, lacking: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            seen.append(lacking)
            return torch.cat([x.flatten(1), lacking.flatten(1)], 1)

    cell.read = Spy()  # type: ignore[assignment]
    cell(picture(), cell.initial_state(1))
    torch.testing.assert_close(seen[0], picture() - torch.sigmoid(torch.tensor(2.0)))


def test_the_canvas_adds_up_and_ends_in_log_odds() -> None:
    """c_T = c_0 + Σ write(h_t), and L_x is the cross-entropy of σ(c_T)."""
    cell, noise = painter(latent=2), torch.zeros(1, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        run = scan(cell, Noisy(hold(picture(), 3), noise), record=lambda x, before, output, after: after.heard)
        written = sum(cell.painter.write(h) for h in run.record.unbind(1))
        torch.testing.assert_close(run.state.painter.canvas, cell.painter.start + written)
        p = torch.sigmoid(run.state.painter.canvas)
        expected = -(picture() * p.log() + (1 - picture()) * (1 - p).log()).sum()
        torch.testing.assert_close(bound(cell, picture(), noise).pixels, expected[None])


def test_the_painter_shares_its_parameters_and_sees_no_picture() -> None:
    """Given the z of a posterior run, the prior paints the same canvas."""
    cell = painter(latent=2, size=2)
    noise = cell.noise(2, 4, torch.Generator().manual_seed(0))
    with torch.no_grad():
        run = scan(cell, Noisy(hold(picture().expand(2, -1, -1, -1), 4), noise))
        again = scan(cell.painter, run.output.z)
    torch.testing.assert_close(again.state.canvas, run.state.painter.canvas, atol=1e-14, rtol=0)
    assert not any("read" in name or "encoder" in name for name, _ in cell.painter.named_parameters())


def test_the_objective_is_a_mean_over_pictures() -> None:
    """Its parts add up over batches, and the same seed gives the same figure."""
    cell = painter(latent=2)
    images = torch.randint(2, (7, *SHAPE), generator=torch.Generator().manual_seed(0)).double()
    rows = Rows(images, images, None, torch.arange(7), torch.ones(7, dtype=torch.long))
    found, again = (evaluated(cell, Spans(rows, 3, order="shuffled"), Variational(3)) for _ in range(2))
    assert found == again
    assert found["loss"] == pytest.approx(found["pixels"] + found["divergence"])


def test_a_whole_picture_is_projected_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all of a held picture is read, no step reads it again, and the canvas is that of the written steps."""
    cell = painter(latent=2)
    x = Noisy(hold(picture(), 3), cell.noise(1, 3, torch.Generator().manual_seed(0)))
    with torch.no_grad():
        written = scan(cell, x, record=lambda *step: None).state.painter.canvas
        monkeypatch.setattr(cell, "forward", lambda *_: pytest.fail("a step was written out"))
        torch.testing.assert_close(scan(cell, x).state.painter.canvas, written, atol=1e-13, rtol=0)
