"""Films of a handwritten digit that drifts and turns into another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seqdyn.datasets.pictures import load_digits


class Films(NamedTuple):
    """``X`` (films, time, pixels), float32 in [0, 1], and ``y`` (films, time), the digit each frame shows."""

    X: np.ndarray
    y: np.ndarray


def load_moving_digits(
    n_films: int = 1000,
    time: int = 12,
    *,
    canvas: int = 12,
    digits: Sequence[int] = (0, 1, 4),
    subset: str = "train",
    random_state: int | np.random.Generator | None = 0,
) -> Films:
    """Films of a handwritten digit that drifts over a canvas and turns into another one at a random step.

    The digit moves one pixel in both directions in every frame and bounces off the edges. Because it changes, the label
    of a frame cannot be inferred from its neighbours alone: many-to-many, one label for every frame.

    Parameters
    ----------
    n_films : int, at least 1
        How many films.
    time : int, at least 2
        How many frames a film has.
    canvas : int, at least 8
        Width and height of a frame, in pixels; the digits are 8 × 8.
    digits : sequence of int
        The digits to show, at least two. A thousand films suffice to learn three; all ten need several thousand.
    subset : {"train", "test"}
        The images to draw from: the first three quarters of every digit's images, or the rest. No image is in both.
    random_state : int, numpy Generator or None
        Of the images, initial places, directions and the step of the change.

    Returns
    -------
    Films
        ``X`` (n_films, time, canvas²) and ``y`` (n_films, time); the change happens at a step from 1 to time − 1.

    Raises
    ------
    ValueError
        If a size is too small, or subset is something else.

    References
    ----------
    Made from :func:`seqdyn.datasets.pictures.load_digits`, in the manner of Srivastava et al. (2015),
    Unsupervised learning of video representations using LSTMs.

    Examples
    --------
    >>> films = load_moving_digits(n_films=4)
    >>> films.X.shape
    (4, 12, 144)
    >>> films.y[0].tolist()
    [4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0]
    """
    if time < 2 or canvas < 8 or len(set(digits)) < 2 or subset not in ("train", "test"):
        raise ValueError(
            "load_moving_digits needs time >= 2, canvas >= 8, at least two digits, and subset 'train' or 'test'; got "
            f"time={time}, canvas={canvas}, digits={tuple(digits)}, subset={subset!r}."
        )
    generator = np.random.default_rng(random_state)
    images, labels = load_digits()
    chosen = _two_images(labels, digits, subset, n_films, generator)  # (films, 2)
    change = generator.integers(1, time, n_films)
    shown = chosen[np.arange(n_films)[:, None], (np.arange(time) >= change[:, None]).astype(int)]  # (films, time)
    corner = _bouncing(n_films, time, canvas - 8, generator)
    return Films(_paste(images[shown], corner, canvas).reshape(n_films, time, -1), labels[shown])


def _two_images(
    labels: np.ndarray, digits: Sequence[int], subset: str, n_films: int, generator: np.random.Generator
) -> np.ndarray:
    """The numbers of two images for every film, (films, 2), of two different digits."""
    pools = []
    for digit in sorted(set(digits)):
        images = np.flatnonzero(labels == digit)
        cut = 3 * len(images) // 4
        pools.append(images[:cut] if subset == "train" else images[cut:])
    first = generator.integers(len(pools), size=n_films)
    second = (first + generator.integers(1, len(pools), size=n_films)) % len(pools)
    kinds = np.stack([first, second], axis=1)
    place = (generator.random(kinds.shape) * np.array([len(pool) for pool in pools])[kinds]).astype(int)
    return np.array(
        [[pools[kind][k] for kind, k in zip(*pair, strict=True)] for pair in zip(kinds, place, strict=True)]
    )


def _bouncing(n_films: int, time: int, room: int, generator: np.random.Generator) -> np.ndarray:
    """The upper left corner of a digit that moves one pixel in every step and turns at the edges: (films, time, 2)."""
    start = generator.integers(0, 2 * room + 1, (n_films, 1, 2))  # beyond ``room`` it is on its way back
    return room - np.abs((start + np.arange(time)[:, None]) % max(2 * room, 1) - room)


def _paste(images: np.ndarray, corner: np.ndarray, canvas: int) -> np.ndarray:
    """Put images (films, time, 8, 8) with their corners onto empty frames (films, time, canvas, canvas)."""
    n_films, time, height, width = images.shape
    frames = np.zeros((n_films, time, canvas, canvas), images.dtype)
    film, step = np.ogrid[:n_films, :time]
    rows = corner[..., 0, None, None] + np.arange(height)[:, None]
    columns = corner[..., 1, None, None] + np.arange(width)
    frames[film[..., None, None], step[..., None, None], rows, columns] = images
    return frames
