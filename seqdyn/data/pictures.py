"""Pictures as arrays: checked at the boundary, binarised, and made."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn.arrays import Array


def as_pictures(
    images: Any, levels: int = 2, channels: int = 1, shape: tuple[int, int, int] | None = None, name: str = "images"
) -> Array:
    """Pictures with whole values 0 … levels − 1, as (pictures, channels, height, width) of int64.

    Parameters
    ----------
    images : array, shape (pictures, channels, height, width), of one channel also (pictures, height, width)
        Whole numbers, of any dtype.
    levels, channels : int
    shape : (channels, height, width), optional
        What is expected.
    name : str
        Used in messages.

    Raises
    ------
    ValueError
        If shape or values do not fit; the message says what was given.

    Examples
    --------
    >>> as_pictures([[[0, 1], [1, 1]]]).shape
    (1, 1, 2, 2)
    """
    try:
        given = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
    except ValueError:
        raise ValueError(f"{name} are of unlike sizes: give one array, {_wanted(channels)}.") from None
    if given.dtype.kind not in "buif":
        raise ValueError(f"{name} has dtype {given.dtype}: give an array of numbers, {_wanted(channels)}.")
    found = given[:, None] if given.ndim == 3 and channels == 1 else given
    if found.ndim != 4 or found.shape[1] != channels:
        hint = "; one picture is images[None]" if given.ndim == 2 else ""
        if given.ndim == 4:
            last = given.shape[3] == channels
            hint = (
                "; np.moveaxis(images, -1, 1) brings channels to the front" if last else f"; channels={given.shape[1]}?"
            )
        raise ValueError(f"{name} has shape {given.shape}, expected {_wanted(channels)}{hint}.")
    if 0 in found.shape:
        raise ValueError(f"{name} has shape {given.shape}: give one picture at least, with one pixel at least.")
    if shape is not None and found.shape[1:] != tuple(shape):
        raise ValueError(
            f"{name} are {found.shape[2]} × {found.shape[3]} pixels, but the model knows {shape[1]} × {shape[2]}."
        )
    finite = np.isfinite(found)
    if not finite.all():
        raise ValueError(f"{name} holds NaN or infinity, first in picture {int(np.argwhere(~finite)[0, 0])}.")
    low, high = found.min(), found.max()
    if low < 0 or high > levels - 1 or (found != np.round(found)).any():
        whole = "0 and 1" if levels == 2 else f"0 to {levels - 1}"
        way = (
            f"binarised(images, {high / 2:g}) makes grey pictures such"
            if levels == 2
            else "scale and round them, or set levels"
        )
        raise ValueError(
            f"{name} has values from {low:g} to {high:g} (dtype {given.dtype}), expected whole numbers, {whole}: {way}."
        )
    return found.astype(np.int64)


def _wanted(channels: int) -> str:
    return "(pictures, height, width)" if channels == 1 else f"(pictures, {channels}, height, width)"


def binarised(images: Any, threshold: float = 0.5, random_state: Any = None) -> Array:
    """Grey pictures as black and white, (…, height, width) of 0 and 1.

    Parameters
    ----------
    images : array
    threshold : float or "random"
        A pixel is 1 where it is at least so bright; ``"random"`` makes it 1 with its brightness, from 0 to 1, as the
        probability.
    random_state : int, RandomState or None

    Examples
    --------
    >>> binarised([[0.2, 0.7]])
    array([[0, 1]], dtype=uint8)
    """
    given = np.asarray(images, dtype=np.float64)
    if not np.isfinite(given).all():
        raise ValueError("images holds NaN or infinity, which is neither black nor white.")
    if isinstance(threshold, str) and threshold != "random":
        raise ValueError(f"threshold must be a number or 'random', got {threshold!r}.")
    if threshold == "random":
        from sklearn.utils import check_random_state

        if given.min() < 0 or given.max() > 1:
            raise ValueError(
                f"Brightness must lie in [0, 1], got {given.min():g} to {given.max():g}: scale the images."
            )
        return (check_random_state(random_state).random_sample(given.shape) < given).astype(np.uint8)
    return (given >= threshold).astype(np.uint8)
