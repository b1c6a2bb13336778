"""Pictures: handwriting, in grey and in black and white, and scenes with a sentence about each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from seqdyn.checks import check_choice, check_count
from seqdyn.datasets.sources import fetch

if TYPE_CHECKING:
    from seqdyn.data.scenes import Scenes


class Digits(NamedTuple):
    """``images`` (1797, 8, 8), float32 in [0, 1], and ``labels`` (1797,), integers from 0 to 9."""

    images: np.ndarray
    labels: np.ndarray


class BinarizedPictures(NamedTuple):
    """``train``, ``validation`` and ``test``, (pictures, height, width) of uint8, 0 or 1."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def load_digits() -> Digits:
    """Handwritten digits of 13 people, 8 × 8 pixels.

    Returns
    -------
    Digits
        ``images`` (1797, 8, 8), 0 is paper and 1 is ink, and ``labels`` (1797,).

    References
    ----------
    Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; CC BY 4.0; through scikit-learn.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.images.shape, digits.labels[:5].tolist()
    ((1797, 8, 8), [0, 1, 2, 3, 4])
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    return Digits((bunch.images / 16).astype(np.float32), bunch.target)


def load_binarized_digits() -> BinarizedPictures:
    """The digits of :func:`load_digits` in black and white: a pixel is 1 if at least half of it is ink.

    Returns
    -------
    BinarizedPictures
        1,257, 180 and 360 pictures of 8 × 8 pixels in their order; the first two parts together are the 1,437 pictures
        of the usual split.

    Examples
    --------
    >>> [len(part) for part in load_binarized_digits()]
    [1257, 180, 360]
    """
    from seqdyn.data.pictures import binarised

    images = binarised(load_digits().images)
    return BinarizedPictures(images[:1257], images[1257:1437], images[1437:])


def load_digit_scenes(n: int = 2000, *, subset: str = "train", random_state: int | None = 0) -> Scenes:
    """Scenes of two handwritten digits with a sentence about each: "a three left of a seven".

    Parameters
    ----------
    n : int, at least 1
        How many scenes.
    subset : {"train", "test"}
        The images to draw from: the first 1,437 images of :func:`load_digits`, or the last 360.
    random_state : int or None
        Of everything drawn.

    Returns
    -------
    Scenes
        Images (n, 24, 24), captions, the words that name the digits and the cells they are in.

    Examples
    --------
    >>> made = load_digit_scenes(3)
    >>> made.captions[0], made.words[0].tolist(), made.cells[0].tolist()
    ('a zero left of a zero', [1, 5], [7, 8])
    """
    from seqdyn.data.scenes import digit, scenes

    own, (images, labels) = _images_of(subset), load_digits()
    return scenes(check_count("n", n), digit(images[own], labels[own]), np.random.default_rng(random_state))


def load_shape_scenes(n: int = 2000, *, random_state: int | None = 0) -> Scenes:
    """Scenes of simple shapes with a sentence about each: "a small circle above two squares".

    Parameters
    ----------
    n : int, at least 1
        How many scenes.
    random_state : int or None
        Of everything drawn.

    Returns
    -------
    Scenes
        Images (n, 24, 24), captions, the words that name the shapes and the cells they are in.

    Examples
    --------
    >>> load_shape_scenes(3).captions[1]
    'a small triangle above two crosses'
    """
    from seqdyn.data.scenes import scenes, shape

    return scenes(check_count("n", n), shape, np.random.default_rng(random_state))


def load_digit_plates(
    n: int = 2000, *, digits: int = 3, side: int = 24, subset: str = "train", random_state: int | None = 0
) -> np.ndarray:
    """Plates of several handwritten digits in pure colours: every channel of a pixel is 0 or 1.

    Parameters
    ----------
    n : int, at least 1
        How many plates.
    digits : int, at least 1
        How many digits a plate has, each in a cell of its own.
    side : int, a multiple of 8
        Height and width of a plate, in pixels.
    subset : {"train", "test"}
        As in :func:`load_digit_scenes`.
    random_state : int or None
        Of everything drawn.

    Returns
    -------
    array of uint8, shape (n, 3, side, side)

    Examples
    --------
    >>> load_digit_plates(4).shape
    (4, 3, 24, 24)
    """
    from seqdyn.data.pictures import binarised
    from seqdyn.data.scenes import plates

    if check_count("side", side) % 8 or check_count("digits", digits) > (side // 8) ** 2:
        raise ValueError(f"side={side} must be a multiple of 8, and hold digits={digits} of 8 × 8 pixels.")
    images = binarised(load_digits().images)[_images_of(subset)]
    return plates(check_count("n", n), images, digits, side, np.random.default_rng(random_state))


def fetch_binarized_mnist() -> BinarizedPictures:
    """Handwritten digits, 28 × 28 pixels, black and white: the fixed binarisation on which likelihoods are compared.

    The test part is sorted by class, so that its first pictures are not a random sample.

    Returns
    -------
    BinarizedPictures
        50,000, 10,000 and 10,000 pictures.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`seqdyn.datasets.sources.fetch`. The files are MATLAB files, in spite of their names.

    References
    ----------
    Salakhutdinov & Murray (2008), On the quantitative analysis of deep belief networks.

    Examples
    --------
    >>> fetch_binarized_mnist().test.shape  # doctest: +SKIP
    (10000, 28, 28)
    """
    from scipy.io import loadmat

    parts = (loadmat(fetch(f"binarized_mnist_{part}"))["X"] for part in ("train", "valid", "test"))
    return BinarizedPictures(*(part.reshape(-1, 28, 28) for part in parts))


def _images_of(subset: str) -> slice:
    """The images of a subset."""
    return {"train": slice(1437), "test": slice(1437, None)}[check_choice("subset", subset, ("train", "test"))]
