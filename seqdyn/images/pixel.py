"""PixelRNN: the probability of a picture, pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from seqdyn.arrays import Array
from seqdyn.cells.diagonal_lstm import DiagonalLSTM
from seqdyn.cells.masked_window import MaskedWindow
from seqdyn.cells.row_lstm import RowLSTM
from seqdyn.checks import check_count, is_int
from seqdyn.data.pictures import as_pictures
from seqdyn.dynamics.driven import Driven, StepErrors
from seqdyn.estimators.documented import documented
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.estimators.parameters import Rule, at_least, check_parameters, one_of, unchanged_on_error
from seqdyn.estimators.training import Clip
from seqdyn.generators import seeds_of
from seqdyn.images.pixel_predictor import Completion, PicturePredictor, known_first
from seqdyn.rows import PixelReadout, PixelResidual, Pixels, Placed, RowCell, RowStack
from seqdyn.training.batches import Rows, Spans
from seqdyn.training.checkpoint import digest
from seqdyn.training.objective import Supervised
from seqdyn.training.stopping import NonFiniteError

PIXEL_CELLS: dict[str, Any] = {"row": RowLSTM, "diagonal": DiagonalLSTM}
"""The recurrences by name."""

PIXEL_RNN_RULES: dict[str, Rule] = {
    "variant": one_of(*PIXEL_CELLS),
    "hidden_size": at_least(1),
    "levels": at_least(2),
    "window_size": (lambda value: is_int(value) and value >= 3 and value % 2 == 1, "an odd whole number of at least 3"),
}
"""What the parameters of a PixelRNN must be."""


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class PixelRNN(NetworkEstimator):
    """The exact probability of a picture: p(x) = ∏_i p(x_i | x_1 … x_{i-1}), row by row, from left to right.

        x̃ = K ⊛ x + b_rc                                 a masked window: no pixel sees itself, or what comes later
        x̃ ← x̃ + W h(x̃) + b                               num_layers times; h a Row LSTM or a Diagonal BiLSTM
        p(x_rc) = softmax(W_2 relu(W_1 relu(x̃) + b_1) + b_2 + b_rc)    of two levels one score, the log-odds of a 1

    Parameters
    ----------
    variant : {"diagonal", "row"}
        The recurrence: :class:`~seqdyn.cells.diagonal_lstm.DiagonalLSTM` sees nearly all earlier pixels,
        :class:`~seqdyn.cells.row_lstm.RowLSTM` a triangle of them, in half the steps.
    hidden_size : int
        Width of a memory; a pixel has twice as many features.
    num_layers : int
        Recurrences, one above the other.
    levels : int, at least 2
        A pixel is 0, 1, … levels − 1: 2 for black and white, 256 for bytes of grey.
    window_size : int, odd, at least 3
        Of the masked window.
    batch_size : int
        Pictures in a step.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without any: 20 epochs, or as many as 2,000 steps take.

    Attributes
    ----------
    shape_ : (int, int)
        Height and width of a picture.
    network_ : Pixels
    history_ : DataFrame
        One row an epoch: loss (nats a pixel), gradient_norm, and more.

    References
    ----------
    Van den Oord, Kalchbrenner & Kavukcuoglu (2016), Pixel recurrent neural networks.

    Examples
    --------
    >>> stripes = np.tile([[[0], [1]], [[1], [0]]], (40, 1, 4))  # the upper row is ink, or the lower
    >>> stripes.shape
    (80, 2, 4)
    >>> model = PixelRNN(hidden_size=4, max_steps=200, learning_rate=0.01, random_state=0).fit(stripes)
    >>> model.evaluate(stripes)["nats_per_image"] < 1  # ln 2 at best
    True
    >>> model.sample(3, random_state=0).shape
    (3, 2, 4)
    """

    _learnt: ClassVar[tuple[str, ...]] = ("shape_",)
    _budget: ClassVar[tuple[int, int]] = 20, 2000

    variant: str = "diagonal"
    hidden_size: int = 32
    num_layers: int = 1
    levels: int = 2
    window_size: int = 7
    batch_size: int = 16
    learning_rate: float = 4e-3
    schedule: Any = "warmup_cosine"
    clip_norm: Clip = 5.0
    weight_average: float = 0.999

    # ---------------------------------------------------------------- fitting

    def fit(self, images: Any, y: None = None) -> Self:
        """Train on pictures.

        Parameters
        ----------
        images : array of whole numbers, shape (pictures, height, width) or (pictures, 1, height, width)
            From 0 to levels − 1.
        y : None

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If shape or values do not fit; the message says what was given.
        NonFiniteError
            If loss or gradient explode.
        """
        with unchanged_on_error(self, but=NonFiniteError):
            check_parameters(self, PIXEL_RNN_RULES)
            self._learn(as_pictures(images, self.levels)[:, 0])
        return self

    def _learn(self, images: Array) -> None:
        used = self._training_count(len(images))
        generator = self.optimisation.generator()
        self.shape_ = int(images.shape[1]), int(images.shape[2])
        self._begin(generator)
        with torch.no_grad():
            self.network_.cell.bias.copy_(torch.as_tensor(_level_bias(images[:used], self.levels)))
        x = self._tensor(images)
        objective = Supervised(PicturePredictor(self.network_, self.shape_[0]).head)
        batches = Spans(_picture_rows(x[:used]), self.batch_size, order="shuffled")
        held_out = Spans(_picture_rows(x[used:]), 250) if used < len(images) else None
        self._train(batches, held_out, (objective, objective), generator, lambda: digest(images))

    def _build(self, generator: torch.Generator) -> Pixels:
        height, width = self.shape_
        features, scores = 2 * self.hidden_size, 1 if self.levels == 2 else self.levels
        window = MaskedWindow(width, features, self.window_size, generator)
        layers: list[RowCell] = [Placed(window, height)]
        for _ in range(self.num_layers):
            recurrence = PIXEL_CELLS[self.variant](width, features, self.hidden_size, generator=generator)
            layers.append(PixelResidual(recurrence, generator))
        return Pixels(Placed(PixelReadout(RowStack(layers), scores, generator), height), self.levels)

    def _facts(self) -> dict[str, object]:
        return {"picture": "{} × {} pixels".format(*self.shape_)}

    # ---------------------------------------------------------------- likelihood

    @property
    def predictor_(self) -> PicturePredictor:
        """The fitted network with the height of its pictures."""
        self._check_fitted()
        return PicturePredictor(self.network_, self.shape_[0], self.verbose)

    def log_probabilities(self, images: Any) -> Array:
        """ln p(x_i | x_1 … x_{i-1}) of every pixel, (pictures, height, width), in nats.

        Summed over the pixels of a lower part it is ln p of that part, given the rest.
        """
        self._check_fitted()
        given = torch.as_tensor(self._given(images))
        return np.asarray(self.predictor_.log_probabilities(given).cpu().numpy())

    def log_likelihood(self, images: Any) -> Array:
        """ln p of every picture, (pictures,), in nats."""
        return np.asarray(self.log_probabilities(images).sum((1, 2)))

    def rows(self, images: Any) -> Rows:
        """Pictures as the network takes them: series of rows that are their own targets."""
        self._check_fitted()
        return _picture_rows(self._tensor(self._given(images)))

    def driven_by(self, images: Any, y: None = None) -> Driven:
        """The network driven by pictures, row by row, and the errors −ln p of their pixels, for reports.

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
            raise ValueError("A PixelRNN is measured on pictures: give them as X, and no y.")
        errors = StepErrors(self.predictor_.head.loss, "−ln p of every pixel")
        return Driven(self.network_, self.rows(images), errors, estimator=self)

    def score(self, images: Any, y: None = None) -> float:
        """The mean of ln p over pictures, in nats: higher is better."""
        return float(self.log_likelihood(images).mean())

    def evaluate(self, images: Any) -> dict[str, float]:
        """Measure the exact likelihood of pictures.

        Returns
        -------
        dict
            ``nats_per_image``, the mean of −ln p; ``bits_per_dimension``, the same in bits by pixels;
            ``standard_error`` of the first, over pictures; ``images_scored``.
        """
        nats = -self.log_likelihood(images)
        pixels = self.shape_[0] * self.shape_[1]
        return {
            "nats_per_image": float(nats.mean()),
            "bits_per_dimension": float(nats.mean() / (pixels * math.log(2))),
            "standard_error": float(nats.std(ddof=1) / math.sqrt(len(nats))) if len(nats) > 1 else math.nan,
            "images_scored": len(nats),
        }

    # ---------------------------------------------------------------- new pictures

    def sample(self, n: int = 1, random_state: Any = None) -> Array:
        """Draw new pictures pixel by pixel: array of int (n, height, width).

        Parameters
        ----------
        n : int, at least 1
        random_state : int, RandomState or None
            That of the model if None.
        """
        self._check_fitted()
        images, _ = self.predictor_.drawn(self._seeds(check_count("n", n), random_state))
        return images

    def complete(self, images: Any, mask: Any, n: int = 1, random_state: Any = None) -> Completion:
        """Draw the hidden pixels of pictures, each given the pixels before it.

        Where no known pixel comes after a hidden one, as with a lower half that is hidden, this is a draw from
        p(hidden | known). Elsewhere it is not: what is known below and to the right has no say. ``exact`` tells which,
        and ``log_weights`` make up for it.

        Parameters
        ----------
        images : array, as in :meth:`fit`
            What stands at hidden pixels is not read; it may be NaN.
        mask : array of bool, shape (height, width) or (pictures, height, width)
            True where a pixel is known.
        n : int, at least 1
            Completions of every picture.
        random_state : int, RandomState or None

        Returns
        -------
        Completion
        """
        self._check_fitted()
        given = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
        given = given[:, 0] if given.ndim == 4 and given.shape[1] == 1 else given
        known = _checked_mask(mask, given)
        given = self._given(np.where(known, given, 0))
        check_count("n", n)
        hidden = ~known
        repeated = torch.as_tensor(known).repeat_interleave(n, 0)
        values = torch.as_tensor(np.where(known, given, 0)).repeat_interleave(n, 0)
        found, log_p = self.predictor_.drawn(self._seeds(len(repeated), random_state), repeated, values)
        exactly = known_first(known)
        weights = np.zeros(len(found))
        late = np.repeat(known & (np.cumsum(hidden.reshape(len(hidden), -1), 1).reshape(hidden.shape) > 0), n, 0)
        if not exactly.all():
            every = self.predictor_.log_probabilities(torch.as_tensor(found)).cpu().numpy()
            weights = (every * late).sum((1, 2))
        return Completion(
            found.reshape(len(given), n, *self.shape_),
            exactly,
            weights.reshape(len(given), n),
            log_p.sum((1, 2)).reshape(len(given), n),
        )

    def _given(self, images: Any) -> Array:
        """Pictures (pictures, height, width) such as the model knows."""
        return np.asarray(as_pictures(images, self.levels, shape=(1, *self.shape_))[:, 0])

    def _seeds(self, count: int, random_state: Any) -> list[int]:
        return seeds_of(self.random_state if random_state is None else random_state, count)


def _picture_rows(x: torch.Tensor) -> Rows:
    """Pictures (n, height, width) as series of rows that are their own targets."""
    count, height = x.shape[:2]
    lengths = torch.full((count,), height)
    flat = x.flatten(0, 1)
    return Rows(flat, flat, None, torch.arange(count) * height, lengths)


def _level_bias(images: Array, levels: int) -> Array:
    """The bias of every place that gives each level its share among the pictures, (height, width, scores)."""
    counts = np.stack([(images == level).sum(0) for level in range(levels)], -1) + 0.5
    log_p: Array = np.log(counts / counts.sum(-1, keepdims=True))
    return log_p[..., 1:] - log_p[..., :1] if levels == 2 else log_p


def _checked_mask(mask: Any, images: Array) -> Array:
    """A mask for every picture."""
    known = np.asarray(mask)
    if known.dtype != bool:
        raise ValueError(
            f"mask has dtype {known.dtype}, expected bool: True where a pixel is known, as mask.astype(bool)."
        )
    if known.shape not in (images.shape[1:], images.shape):
        raise ValueError(f"mask has shape {known.shape}, expected {images.shape[1:]} or {images.shape}.")
    known = np.broadcast_to(known, images.shape).copy()
    if known.all((1, 2)).any():
        number = int(known.all((1, 2)).argmax())
        raise ValueError(f"mask hides nothing of picture {number}: True means known; leave it out, or give ~mask.")
    return known
