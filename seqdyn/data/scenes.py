"""Synthetic pictures with known content: scenes with captions, and plates of coloured digits.

A scene has 3 × 3 cells of 8 × 8 pixels and two things in two of them, in one row or one column. The upper or left one
is named first, so that one sentence is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np

from seqdyn.arrays import Array

CELL, SIDE = 8, 3
"""Pixels of a cell, cells of a side."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SCENE_SHAPES = ("circle", "square", "triangle", "cross")
KINDS = ("a small", "a large", "two")
"""How many things there are of a shape, and how large."""

COLOURS = {
    "red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1),
    "yellow": (1, 1, 0), "magenta": (1, 0, 1), "cyan": (0, 1, 1),
}  # fmt: skip
"""Pure colours: a channel is on or off."""


class Scenes(NamedTuple):
    """Pictures with a sentence about each.

    Attributes
    ----------
    images : array, shape (scenes, 24, 24)
        From 0, paper, to 1, ink.
    captions : list of str
    words : array of int, shape (scenes, 2)
        Which words name the two things, counted from 0.
    cells : array of int, shape (scenes, 2)
        Where these are: cells of a 3 × 3 grid, row by row.
    """

    images: Array
    captions: list[str]
    words: Array
    cells: Array


def scenes(n: int, thing: Callable[[np.random.Generator], tuple[Array, str]], generator: np.random.Generator) -> Scenes:
    """Draw scenes of two objects each.

    Parameters
    ----------
    n : int
    thing : callable
        ``thing(generator) -> (picture (8, 8), words)``, the last of which names it.
    generator : numpy Generator
    """
    images = np.zeros((n, SIDE * CELL, SIDE * CELL), dtype=np.float32)
    captions, words, cells = [], np.zeros((n, 2), dtype=np.int64), np.zeros((n, 2), dtype=np.int64)
    for number in range(n):
        first, second, relation = _two_cells(generator)
        (one, left), (other, right) = thing(generator), thing(generator)
        for picture, (row, column) in ((one, first), (other, second)):
            images[number, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = picture
        captions.append(f"{left} {relation} {right}")
        words[number] = len(left.split()) - 1, len(captions[-1].split()) - 1
        cells[number] = SIDE * first[0] + first[1], SIDE * second[0] + second[1]
    return Scenes(images, captions, words, cells)


def _two_cells(generator: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int], str]:
    """Two cells in one column or one row, and what the upper or left one is to the other."""
    line, (low, high) = int(generator.integers(SIDE)), sorted(map(int, generator.choice(SIDE, 2, replace=False)))
    if generator.integers(2):
        return (low, line), (high, line), "above"
    return (line, low), (line, high), "left of"


def digit(images: Array, labels: Array) -> Callable[[np.random.Generator], tuple[Array, str]]:
    """One of some pictures of digits: "a three"; all ten digits are as likely."""
    of_label = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}

    def draw(generator: np.random.Generator) -> tuple[Array, str]:
        label = int(generator.choice(list(of_label)))
        article = "an" if DIGITS[label] == "eight" else "a"
        return images[generator.choice(of_label[label])], f"{article} {DIGITS[label]}"

    return draw


def shape(generator: np.random.Generator) -> tuple[Array, str]:
    """One or two of a shape: "a small circle", "two squares"."""
    name, kind = SCENE_SHAPES[int(generator.integers(len(SCENE_SHAPES)))], KINDS[int(generator.integers(len(KINDS)))]
    if kind == "two":
        centres, radius = ((3.5 + generator.uniform(-1, 1), x) for x in (1.75, 5.25)), 1.6
        return np.maximum(*(_filled_shape(name, *centre, radius) for centre in centres)), f"two {name}{_plural(name)}"
    radius = 1.6 if kind == "a small" else 3.4
    centre = 3.5 + generator.uniform(-1, 1, 2) * (3.5 - radius)
    return _filled_shape(name, float(centre[0]), float(centre[1]), radius), f"{kind} {name}"


def _plural(name: str) -> str:
    return "es" if name.endswith("s") else "s"


def _filled_shape(name: str, y: float, x: float, radius: float) -> Array:
    """A shape around a point of a cell, its edges softened by four times four points a pixel."""
    points = (np.arange(4 * CELL) + 0.5) / 4 - 0.5
    down, across = (points - y)[:, None], (points - x)[None]
    inside = {
        "circle": down**2 + across**2 <= radius**2,
        "square": np.maximum(abs(down), abs(across)) <= 0.9 * radius,
        "triangle": (abs(across) <= (down + radius) / 2) & (down <= radius) & (down >= -radius),
        "cross": (np.minimum(abs(down), abs(across)) <= 0.35 * radius) & (np.maximum(abs(down), abs(across)) <= radius),
    }[name]
    return cast(Array, inside.reshape(CELL, 4, CELL, 4).mean((1, 3)).astype(np.float32))


def plates(n: int, images: Array, digits: int, side: int, generator: np.random.Generator) -> Array:
    """Plates of several coloured digits that do not touch: (n, 3, side, side) of 0 and 1.

    ``images`` (images, 8, 8) are of 0 and 1, ``digits`` of them stand on a plate, and ``side`` is a multiple of 8.
    """
    cells, found = (side // CELL) ** 2, np.zeros((n, 3, side, side), dtype=np.uint8)
    colours = np.array(list(COLOURS.values()), dtype=np.uint8)
    for plate in found:
        for cell in generator.choice(cells, digits, replace=False):
            row, column = divmod(int(cell), side // CELL)
            ink = images[generator.integers(len(images))].astype(np.uint8)
            coloured = colours[generator.integers(len(colours))][:, None, None] * ink
            plate[:, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = coloured
    return found
