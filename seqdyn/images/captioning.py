"""Captioners: from a picture to a sentence; its features are the first state, or are looked at before every symbol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
import xarray
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.dynamics.driven import Driven
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.estimators.documented import documented
from seqdyn.estimators.parameters import Rule, at_least, optional, unchanged_on_error
from seqdyn.estimators.symbols import SymbolLayers, vocabulary_text
from seqdyn.estimators.writer import WRITER_RULES, Writer, as_sentences
from seqdyn.images.figures import caption_figure
from seqdyn.picture_encoder import GivenFeatures, PatchFeatures, PictureEncoder
from seqdyn.sentences import Sentence, padded_rows
from seqdyn.training.batches import Rows
from seqdyn.training.pairs import Pairs
from seqdyn.training.stopping import NonFiniteError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Features = Callable[[Any], Any]

CAPTIONER_RULES: dict[str, Rule] = WRITER_RULES | {
    "features": optional((callable, "a callable: features(images) -> array")),
    "patch_size": at_least(1),
}
"""What the parameters of a captioner must be."""


@documented(SymbolLayers)
@dataclass(kw_only=True, repr=False, eq=False)
class Captioner(Writer):
    """The probability of a sentence, given a picture: p(y | x) = ∏ p(y_t | y_1 … y_{t-1}, x).

        a_1 … a_L = features of the cells of a grid,   s = their summary
        s_0 = tanh(W s + b)                                        the picture is the first state
        c_t = Σ_i α_ti a_i,   α_t = softmax_i(score(s_{t-1}, a_i))   and is looked at before every word
        s_t = f([E y_{t-1}; c_t], s_{t-1}),   p(y_t) = softmax(E tanh(W_c [s_t; c_t]) + b)

    Parameters
    ----------
    attention : {"additive", "general", "dot", "scaled_dot", "multi_head", "hard"} or None
        How it looks at the picture (show, attend and tell). ``"hard"`` looks at one cell a word. None: the picture is
        the first state and nothing else (show and tell).
    features : callable, optional
        ``features(images) -> array`` of the pictures as they are given to ``fit``: (pictures, numbers), one row each;
        (pictures, cells, numbers); or (pictures, numbers, rows, columns), a map. It is not trained, and a fitted model
        with one cannot be kept in a file. None: a small convolutional network is trained along.
    patch_size : int
        Pixels of a cell, without ``features``.
    context : {"input", "output"} or None
        Where c_t of soft attention goes: into the recurrence, as above, or behind it, where it is forgotten by the next
        word. None: into it.
    num_layers : int
        Layers of the decoder, unless ``decoder_layers`` is given.
    max_epochs, max_steps, max_time : int, int or float, or None
        Budgets: passes over the data, optimizer steps, seconds. Without any: 20 epochs, or as many as 2,000 steps take.

    Attributes
    ----------
    vocabulary_ : Vocabulary
    grid_ : (int, int)
        Rows and columns of cells.
    shape_ : tuple of int
        Of one picture, channels first, or of its features.
    network_ : EncoderDecoder
    history_ : DataFrame

    References
    ----------
    Vinyals et al. (2015), Show and tell; Xu et al. (2015), Show, attend and tell.

    Examples
    --------
    >>> from seqdyn.datasets import load_shape_scenes
    >>> made = load_shape_scenes(64)
    >>> model = Captioner(hidden_size=16, embedding_size=16, max_steps=5, random_state=0)
    >>> model.fit(made.images, made.captions).attention_weights(made.images[0]).sizes["row"]
    3
    """

    _learnt: ClassVar[tuple[str, ...]] = ("vocabulary_", "grid_", "shape_", "longest_")
    _budget: ClassVar[tuple[int, int]] = 20, 2000

    attention: Any = "additive"
    context: str | None = None
    features: Any = None
    patch_size: int = 8
    hidden_size: int = 128
    embedding_size: int = 64
    smoothing: float = 0.0
    dropout: float = 0.0
    residual: bool = False
    beam_width: int = 3
    batch_size: int = 32
    learning_rate: float = 5e-3

    # ---------------------------------------------------------------- fitting

    def fit(self, images: Any, captions: Sequence[str]) -> Self:
        """Train on pictures with a sentence about each.

        Parameters
        ----------
        images : array, shape (pictures, height, width) or (pictures, channels, height, width)
            Of any finite numbers; with ``features``, whatever that takes.
        captions : sequence of str

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are not as many pictures as sentences, a sentence is empty, or shapes do not fit.
        NonFiniteError
            If loss or gradient explode.
        """
        with unchanged_on_error(self, but=NonFiniteError):
            self._check_parameters(CAPTIONER_RULES)
            self._learn(images, as_sentences(captions, "captions"))
        return self

    def _learn(self, images: Any, captions: list[str]) -> None:
        x = self._seen(images, None)
        if len(x) != len(captions):
            raise ValueError(f"{len(x)} pictures stand beside {len(captions)} captions: give one for each.")
        y, used = self._learn_targets(captions), self._training_count(len(x))
        generator = self.optimisation.generator()
        self.shape_ = tuple(map(int, x.shape[1:]))
        self.grid_ = self._grid(images)
        self._begin(generator)
        features = self.network_.encoder.features
        if isinstance(features, GivenFeatures):
            features.mean.copy_(x[:used].mean((0, 1)))
            features.scale.copy_(x[:used].std((0, 1), correction=0).clamp(min=1e-6))
        else:
            features.scale.fill_(max(float(x[:used].abs().max()), 1e-12))
        self._train_pairs(list(x.unsqueeze(1)), y, generator)

    def _build(self, generator: torch.Generator) -> EncoderDecoder:
        features: Any = GivenFeatures(self.shape_[-1])
        if self.features is None:
            features = PatchFeatures(self.shape_[0], self.patch_size, generator=generator)
        cells = int(np.prod(self.grid_))
        encoder = PictureEncoder(features, cells, self.hidden_size, self.attention is not None, generator)
        decoder = self._decoder(self.hidden_size, len(self.vocabulary_), generator)
        return EncoderDecoder(encoder, decoder, generator=generator)

    def _facts(self) -> dict[str, object]:
        return {"vocabulary": vocabulary_text(self.vocabulary_), "grid": "{} × {}".format(*self.grid_)}

    # ---------------------------------------------------------------- writing

    def predict(self, images: Any) -> list[str]:
        """Describe every picture by a sentence, with a beam search."""
        return [found[0].text for found in self.search(images, 1)]

    def search(self, images: Any, n_best: int | None = None) -> list[list[Sentence]]:
        """The likeliest sentences about every picture, best first: ``n_best`` of them, ``beam_width`` if None."""
        return self._search(self.sources(images), n_best)

    def log_probabilities(self, images: Any, captions: Sequence[str]) -> list[Array]:
        """ln p of every word of each caption, the end mark the last: arrays (words,).

        Raises
        ------
        ValueError
            If a caption has a word that is none of the vocabulary; with ``min_count`` or ``vocabulary_size`` such words
            are scored as the unknown one.
        """
        return self._log_probabilities(*self._pairs(images, captions))

    def score(self, images: Any, captions: Sequence[str]) -> float:
        """The mean of ln p of captions, in nats: higher is better."""
        return float(np.mean([row.sum() for row in self.log_probabilities(images, captions)]))

    def evaluate(self, images: Any, captions: Sequence[str]) -> dict[str, float]:
        """Measure how well pictures are described, and how likely the true sentences are.

        Returns
        -------
        dict
            ``exact``, the share of sentences that are right in every word; ``word_accuracy``, the share of words of the
            true ones that stand at their place; ``nats_per_caption`` with the end mark; ``captions_scored``.
        """
        log_p = self.log_probabilities(images, captions)
        predicted = self.predict(images)
        pairs = [(one.split(), self._case(other).split()) for one, other in zip(predicted, captions, strict=True)]
        right = [place < len(one) and one[place] == word for one, other in pairs for place, word in enumerate(other)]
        return {
            "exact": float(np.mean([one == other for one, other in pairs])),
            "word_accuracy": float(np.mean(right)),
            "nats_per_caption": -float(np.mean([row.sum() for row in log_p])),
            "captions_scored": len(log_p),
        }

    def attention_weights(self, image: Any, caption: str | None = None) -> xarray.DataArray:
        """Attention weights before every word, (word, row, column) of the grid; those of a word sum to 1.

        Parameters
        ----------
        image : array
            One picture, as in :meth:`fit`.
        caption : str, optional
            The best sentence about it if None.

        Raises
        ------
        ValueError
            If ``attention`` is None: nothing is looked at.
        """
        if self.attention is None:
            raise ValueError("attention=None looks at nothing: the picture is in the first state.")
        one = image[None] if hasattr(image, "ndim") else [image]
        (x,) = self.sources(one)
        symbols = self._known(caption) if caption is not None else None
        if symbols is None:
            symbols = torch.tensor(self._search([x], 1)[0][0].symbols, device=x.device)
        (alpha,) = self.predictor_.weights(padded_rows([x]), [symbols])
        words = [self.vocabulary_.labels[number].strip() for number in symbols.tolist()]
        return xarray.DataArray(
            alpha.reshape(len(words), *self.grid_),
            dims=("word", "row", "column"),
            coords={"word": words, "row": range(self.grid_[0]), "column": range(self.grid_[1])},
            name="attention",
        )

    def plot_attention(self, image: Any, caption: str | None = None) -> Figure:
        """Plot the picture once for every word, lit where the model looked; see :meth:`attention_weights`."""
        return caption_figure(image, self.attention_weights(image, caption))

    # ---------------------------------------------------------------- pictures as numbers

    def sources(self, images: Any) -> list[Tensor]:
        """Pictures, or their features, as the encoder takes them: one step each."""
        self._check_fitted()
        return list(self._seen(images, self.shape_).unsqueeze(1))

    def driven_by(self, images: Any, captions: Any = None) -> Driven:
        """The decoder driven by true sentences, and the errors −ln p of their symbols, for reports.

        Parameters
        ----------
        images, captions
            As in :meth:`fit`.

        Raises
        ------
        ValueError
            If one of them is missing.
        """
        if images is None or captions is None:
            raise ValueError("A Captioner is measured on images and captions: give both, as its fit takes them.")
        return self._driven(self.pairs(images, captions))

    def pairs(self, images: Any, captions: Sequence[str]) -> Pairs:
        """Pictures and sentences as the network is trained on them, in one batch."""
        x, y = self._pairs(images, captions)
        return Pairs(Rows.of(x), Rows.of(y), len(x))

    def _pairs(self, images: Any, captions: Sequence[str]) -> tuple[list[Tensor], list[Tensor]]:
        """Pictures as the encoder takes them, and their sentences as numbers."""
        x, texts = self.sources(images), as_sentences(captions, "captions")
        if len(x) != len(texts):
            raise ValueError(f"{len(x)} pictures stand beside {len(texts)} captions: give one for each.")
        return x, [self._known(text) for text in texts]

    def _seen(self, images: Any, shape: tuple[int, ...] | None) -> Tensor:
        """Pictures (pictures, channels, height, width), or features (pictures, cells, numbers)."""
        if self.features is None:
            found, what = _finite_pictures(images), "images are"
        else:
            found, what = _computed_features(self.features, images), "features(images) gave"
        if shape is not None and found.shape[1:] != tuple(shape):
            own = " × ".join(map(str, found.shape[1:]))
            raise ValueError(f"{what} {own} a picture, but the model was fitted on {' × '.join(map(str, shape))}.")
        return self._tensor(found)

    def _grid(self, images: Any) -> tuple[int, int]:
        """Rows and columns of cells."""
        if self.features is not None:
            given = np.shape(self.features(images[:1]))
            return (int(given[2]), int(given[3])) if len(given) == 4 else (1, self.shape_[0])
        _, height, width = self.shape_
        if height % check_count("patch_size", self.patch_size) or width % self.patch_size:
            raise ValueError(f"patch_size={self.patch_size} does not divide pictures of {height} × {width} pixels.")
        return height // self.patch_size, width // self.patch_size

    def _known(self, caption: str) -> Tensor:
        """A caption as numbers; every word has to be known."""
        (caption,) = as_sentences([caption], "caption")
        symbols = self._with_end(caption)
        trained = self.min_count > 1 or self.vocabulary_size is not None  # on the mark of unknown symbols
        if not trained and "unknown" in self.vocabulary_.marks and self.vocabulary_.mark("unknown") in symbols:
            place = symbols.index(self.vocabulary_.mark("unknown"))
            words = caption.split() if self.unit == "word" else list(caption)
            strange = words[place] if place < len(words) else "a symbol"
            raise ValueError(
                f"The caption {caption!r} has {strange!r}, which is none of the {len(self.vocabulary_.symbols)} "
                f"{self.unit}s of the training."
            )
        return self._tokens(symbols)


def _finite_pictures(images: Any) -> Array:
    """Pictures (pictures, channels, height, width) of finite numbers."""
    given = images.detach().cpu() if isinstance(images, Tensor) else images
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            "images are not one array of numbers: give (pictures, height, width) or (pictures, channels, "
            "height, width), or features=… that reads them."
        ) from None
    found = found[:, None] if found.ndim == 3 else found
    if found.ndim != 4 or 0 in found.shape:
        raise ValueError(
            f"images has shape {np.shape(images)}, expected (pictures, height, width) or (pictures, channels, height, "
            "width); one picture is images[None]."
        )
    if not np.isfinite(found).all():
        number = int(np.argwhere(~np.isfinite(found))[0, 0])
        raise ValueError(f"images holds NaN or infinity, first in picture {number}.")
    return found


def _computed_features(features: Features, images: Any) -> Array:
    """What a callable gives of pictures, as (pictures, cells, numbers)."""
    given = features(images)
    found = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=np.float64)
    if found.ndim not in (2, 3, 4) or len(found) != len(images) or 0 in found.shape:
        raise ValueError(
            f"features gave shape {found.shape} of {len(images)} pictures, expected (pictures, numbers), (pictures, "
            "cells, numbers) or (pictures, numbers, rows, columns)."
        )
    if not np.isfinite(found).all():
        raise ValueError("features gave NaN or infinity.")
    if found.ndim == 4:
        return np.moveaxis(found.reshape(*found.shape[:2], -1), 1, 2)
    return found[:, None] if found.ndim == 2 else found
