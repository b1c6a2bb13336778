"""DRAW: pictures painted in glimpses, by a recurrent variational autoencoder."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cells.draw import DRAWCell, OnCanvas, Painter
from seqdyn.cells.lstm import LSTM
from seqdyn.checks import check_count
from seqdyn.data.pictures import as_pictures
from seqdyn.dynamics.driven import Driven, StepErrors
from seqdyn.estimators.batched_prediction import track_batches
from seqdyn.estimators.documented import documented
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.estimators.parameters import Rule, at_least, check_parameters, one_of, unchanged_on_error
from seqdyn.estimators.training import Clip
from seqdyn.generators import generator_of, seeds_of
from seqdyn.glimpses import Read, Write
from seqdyn.images.figures import animate_strip, strip_figure
from seqdyn.images.painting import PATHS_AT_ONCE, PaintingPredictor, Strip
from seqdyn.state import hold
from seqdyn.training.batches import Rows, Spans
from seqdyn.training.checkpoint import digest
from seqdyn.training.heads import Bernoulli
from seqdyn.training.stopping import NonFiniteError
from seqdyn.training.variational import Variational, importance_weighted

if TYPE_CHECKING:
    import os

    from matplotlib.figure import Figure


COLLAPSED = 0.1
"""Nats of all glimpses below which a training has failed: pixels are then painted as if they were independent."""

DRAW_RULES: dict[str, Rule] = {
    "attention": one_of(False, True),
    "glimpses": at_least(1),
    "read_size": at_least(1),
    "write_size": at_least(1),
    "latent_size": at_least(1),
    "hidden_size": at_least(1),
    "channels": one_of(1, 3),
}
"""What the parameters of a DRAW must be."""


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class DRAW(NetworkEstimator):
    """A recurrent variational autoencoder that paints pictures in glimpses, see :mod:`seqdyn.cells.draw`.

        p(x) = ∫ ∏_pixels Bernoulli(x | σ(c_T)) N(z_1 … z_T; 0, I) dz,   c_T painted from z_1 … z_T
        −ln p(x) ≤ E[L_x + L_z],   z_t ~ N(μ_t, σ_t²), by an encoder that looks at x and at what is painted

    Parameters
    ----------
    attention : bool
        Read and write through a window of Gaussian filters, see :mod:`seqdyn.glimpses`; False: everywhere.
    glimpses : int
        T, steps.
    read_size, write_size : int
        N, filters in each direction, with attention.
    latent_size : int
        Width of z_t.
    hidden_size : int
        Width of the memory of encoder and decoder.
    channels : {1, 3}
        Of the pictures.
    batch_size : int
        Pictures in a step.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without any: 20 epochs, or as many as 2,000 steps take.

    Attributes
    ----------
    shape_ : (int, int, int)
        Channels, height and width of a picture.
    network_ : DRAWCell
    history_ : DataFrame
        One row an epoch: loss (nats a picture), its parts ``pixels`` and ``divergence``, and more.

    References
    ----------
    Gregor, Danihelka, Graves, Rezende & Wierstra (2015), DRAW: A recurrent neural network for image generation.

    Examples
    --------
    >>> bars = np.tile(np.eye(4, dtype=int)[:, None].repeat(4, 1), (10, 1, 1))
    >>> model = DRAW(attention=False, glimpses=3, latent_size=2, hidden_size=16, random_state=0).fit(bars)
    >>> model.evaluate(bars)["bound_nats"] < 4  # ln 4 at best, 9 where every pixel has its own probability
    True
    >>> model.sample(5, random_state=0).shape
    (5, 4, 4)
    """

    _learnt: ClassVar[tuple[str, ...]] = ("shape_",)
    _budget: ClassVar[tuple[int, int]] = 20, 2000

    attention: bool = True
    glimpses: int = 10
    read_size: int = 5
    write_size: int = 5
    latent_size: int = 32
    hidden_size: int = 256
    channels: int = 1
    batch_size: int = 128
    learning_rate: float = 3e-3
    schedule: Any = "warmup_cosine"
    clip_norm: Clip = 5.0
    weight_average: float = 0.999

    # ---------------------------------------------------------------- fitting

    def fit(self, images: Any, y: None = None) -> Self:
        """Train on pictures.

        Parameters
        ----------
        images : array of 0 and 1, shape (pictures, height, width) or (pictures, channels, height, width)
        y : None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If shape or values do not fit, or a window is larger than the pictures; the message says what was given.
        NonFiniteError
            If loss or gradient explode.
        """
        with unchanged_on_error(self, but=NonFiniteError):
            check_parameters(self, DRAW_RULES)
            self._learn(as_pictures(images, 2, self.channels))
        return self

    def _learn(self, images: Array) -> None:
        used = self._training_count(len(images))
        generator = self.optimisation.generator()
        channels, height, width = map(int, images.shape[1:])
        self.shape_ = channels, height, width
        self._begin(generator)
        share = (images[:used].sum(0) + 0.5) / (used + 1)
        with torch.no_grad():
            self.network_.painter.start.copy_(torch.as_tensor(np.log(share / (1 - share))))
        x, objective = self._tensor(images), Variational(self.glimpses)
        batches = Spans(_one_step_rows(x[:used]), self.batch_size, order="shuffled")
        held_out = Spans(_one_step_rows(x[used:]), PATHS_AT_ONCE) if used < len(images) else None
        self._train(batches, held_out, (objective, objective), generator, lambda: digest(images))
        told = self.history_["divergence"]
        if len(told) and told.iloc[-1] < COLLAPSED:
            warnings.warn(
                f"All glimpses together carry {told.iloc[-1]:.2g} nats: every picture is painted alike. A smaller "
                "learning_rate, or a longer training, often helps.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _build(self, generator: torch.Generator) -> DRAWCell:
        shape, hidden = self.shape_, self.hidden_size
        read_size, write_size = (self.read_size, self.write_size) if self.attention else (None, None)
        read = Read(shape, hidden, read_size, generator)
        encoder = LSTM(read.output_size + hidden, hidden, generator=generator)
        decoder = LSTM(self.latent_size, hidden, generator=generator)
        return DRAWCell(encoder, Painter(decoder, Write(shape, hidden, write_size, generator)), read, generator)

    def _facts(self) -> dict[str, object]:
        return {"picture": "{} × {} × {} pixels".format(*self.shape_)}

    # ---------------------------------------------------------------- likelihood

    @property
    def predictor_(self) -> PaintingPredictor:
        """The fitted network with the number of its glimpses."""
        self._check_fitted()
        return PaintingPredictor(self.network_, self.glimpses)

    def score(self, images: Any, y: None = None) -> float:
        """A lower bound on the mean of ln p, in nats, from one path a picture: higher is better."""
        return -float(self.evaluate(images)["bound_nats"])

    def evaluate(self, images: Any, importance_samples: int = 1, random_state: Any = 0) -> dict[str, Any]:
        """Measure bounds on −ln p of pictures; the exact value is lower, except for the noise of the sampled paths.

        Parameters
        ----------
        images : array, as in :meth:`fit`
        importance_samples : int, at least 1
            K, paths a picture.
        random_state : int, RandomState or None
            Draws the paths.

        Returns
        -------
        dict
            ``bound_nats``, the mean of L_x + L_z over pictures and paths, L_z in closed form;
            ``importance_weighted_nats``, the mean of −ln(1/K Σ w), a tighter bound if K > 1, and with K = 1 the same
            one with L_z sampled; ``pixel_nats``, L_x; ``divergence_per_glimpse``, L_z of every step,
            array (glimpses,); ``effective_sample_size``, the mean of (Σ w)² / Σ w², from 1 to K; ``standard_error`` of
            the bound, over pictures; ``images_scored``.
        """
        x = self.pictures(images)
        count = check_count("importance_samples", importance_samples)
        generator, found = generator_of(random_state), []
        for part in track_batches(x.split(max(1, PATHS_AT_ONCE // count)), "score", self.verbose):
            paths = self.predictor_.bounds(part.repeat_interleave(count, 0), generator)
            found.append([value.double().view(len(part), count, -1) for value in paths])
        pixels, told, weights = (torch.cat(values) for values in zip(*found, strict=True))
        costs = (pixels.squeeze(2) + told.sum(2)).mean(1)
        weights = weights.squeeze(2)
        effective = (2 * torch.logsumexp(weights, 1) - torch.logsumexp(2 * weights, 1)).exp()
        return {
            "bound_nats": float(costs.mean()),
            "importance_weighted_nats": -float(importance_weighted(weights).mean()),
            "pixel_nats": float(pixels.mean()),
            "divergence_per_glimpse": told.mean((0, 1)).cpu().numpy(),
            "effective_sample_size": float(effective.mean()),
            "standard_error": float(costs.std() / math.sqrt(len(costs))) if len(costs) > 1 else math.nan,
            "images_scored": len(x),
        }

    # ---------------------------------------------------------------- pictures

    def sample(self, n: int = 1, return_steps: bool = False, random_state: Any = None) -> Any:
        """Draw new pictures of 0 and 1, painted from z_t ~ N(0, I).

        Parameters
        ----------
        n : int, at least 1
        return_steps : bool
            Give a :class:`~seqdyn.images.painting.Strip` instead, with every step and the windows.
        random_state : int, RandomState or None
            That of the model if None.

        Returns
        -------
        array of int, shape (n, height, width), or (n, channels, height, width) of several; or Strip
        """
        self._check_fitted()
        seeds = _batches(self._seeds(check_count("n", n), random_state))
        parts = [self.predictor_.paint(part) for part in track_batches(seeds, "draw", self.verbose)]
        return self._strip(parts) if return_steps else self._shaped(_concatenated([part.images for part in parts]))

    def reconstruct(self, images: Any, n: int = 1, return_steps: bool = False, random_state: Any = None) -> Any:
        """Reconstruct pictures: the probabilities σ(c_T), from n paths each.

        Parameters
        ----------
        images : array, as in :meth:`fit`
        n : int, at least 1
        return_steps : bool
            Give a :class:`~seqdyn.images.painting.Strip` instead, of pictures one after the other, n of each.
        random_state : int, RandomState or None

        Returns
        -------
        array, shape (pictures, n, …); or Strip
        """
        x = self.pictures(images).repeat_interleave(check_count("n", n), 0)
        seeds = _batches(self._seeds(len(x), random_state))
        pairs = list(zip(x.split(PATHS_AT_ONCE), seeds, strict=True))
        parts = [self.predictor_.repaint(*pair) for pair in track_batches(pairs, "reconstruct", self.verbose)]
        if return_steps:
            return self._strip(parts)
        shown = self._shaped(_concatenated([part.probabilities[:, -1] for part in parts]))
        return shown.reshape(-1, n, *shown.shape[1:])

    def encode(self, images: Any) -> Array:
        """Encode pictures: the means of z_t, (pictures, glimpses, latent_size)."""
        x = self.pictures(images)
        return np.concatenate([self.predictor_.told(part) for part in x.split(PATHS_AT_ONCE)])

    def plot_strip(self, pictures: Strip) -> Figure:
        """Plot pictures glimpse by glimpse, one row each, with the windows as rectangles."""
        return strip_figure(pictures)

    def animate(self, pictures: Strip, path: str | os.PathLike[str], frames_per_second: int = 4) -> None:
        """Write the glimpses as an animated GIF."""
        check_count("frames_per_second", frames_per_second)
        animate_strip(pictures, path, frames_per_second)

    def _strip(self, parts: list[Strip]) -> Strip:
        """One strip of several."""
        images, probabilities, read, write = (_concatenated(list(part)) for part in zip(*parts, strict=True))
        return Strip(self._shaped(images), self._shaped(probabilities), read, write)

    def _seeds(self, count: int, random_state: Any) -> list[int]:
        return seeds_of(self.random_state if random_state is None else random_state, count)

    def pictures(self, images: Any) -> Tensor:
        """Pictures as the network takes them, (pictures, channels, height, width)."""
        self._check_fitted()
        return self._tensor(as_pictures(images, 2, self.channels, self.shape_))

    def driven_by(self, images: Any, y: None = None) -> Driven:
        """The network driven by pictures, glimpse by glimpse, and the errors −ln D(x | c_t), for reports.

        Parameters
        ----------
        images : array, as in :meth:`fit`
        y : None

        Raises
        ------
        ValueError
            If there are no pictures, or something stands beside them.
        """
        if images is None or y is not None:
            raise ValueError("A DRAW is measured on pictures: give them as X, and no y.")
        held = [hold(picture[None], self.glimpses)[0] for picture in self.pictures(images)]
        rows = Rows.of(held, [picture.flatten(1) for picture in held])
        errors = StepErrors(Bernoulli().loss, "−ln D(x | c) of every pixel")
        return Driven(OnCanvas(self.network_), rows, errors, at_end=True, estimator=self)

    def _shaped(self, pictures: Any) -> Array:
        """Pictures without the axis of one channel."""
        return np.asarray(pictures.squeeze(-3) if self.channels == 1 else pictures)


def _one_step_rows(x: Tensor) -> Rows:
    """Pictures as series of one step."""
    return Rows(x, x, None, torch.arange(len(x)), torch.ones(len(x), dtype=torch.long))


def _batches(seeds: list[int]) -> list[list[int]]:
    return [seeds[start : start + PATHS_AT_ONCE] for start in range(0, len(seeds), PATHS_AT_ONCE)]


def _concatenated(parts: list[Any]) -> Any:
    return None if parts[0] is None else np.concatenate(parts)
