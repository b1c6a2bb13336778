"""Explanations of a prediction: how much it changes when a word is hidden.

contribution_k = ln odds(class | s_1 … s_T) − ln odds(class | s_1 … unknown … s_T)
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.figures import PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WORDS_AT_ONCE = 64
"""Words that are hidden side by side."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much every word of a text contributes to its predicted class.

    Attributes
    ----------
    words : tuple of str
        The symbols of the text, as it was read.
    contributions : array, shape (words,)
        What ln odds of the predicted class lose when the word is unknown: above 0 it speaks for the class.
    attention : array, shape (words,), or None
        What every word weighs in the pooling by attention; the steps have seen their neighbours, too.
    label : object
        The predicted class.
    probability : float
        Its probability.

    References
    ----------
    Li, Monroe & Jurafsky (2016), Understanding neural networks through representation erasure.
    """

    words: tuple[str, ...]
    contributions: Array
    attention: Array | None
    label: Any
    probability: float

    def to_frame(self) -> pd.DataFrame:
        """One row a word: word, contribution, and attention where there is one."""
        columns: dict[str, Any] = {"word": [word.strip() for word in self.words], "contribution": self.contributions}
        return pd.DataFrame(columns if self.attention is None else columns | {"attention": self.attention})

    def to_html(self, path: str | Path | None = None) -> str:
        """The text as HTML, the background of each word coloured by its contribution.

        Parameters
        ----------
        path : path, optional
            Where to write it, as a page.

        Returns
        -------
        str
        """
        largest = float(np.abs(self.contributions).max()) or 1.0
        words = "".join(
            f'<span title="{value:+.2f}" style="background:{_colour(value / largest)}">{html.escape(word)}</span>'
            for word, value in zip(self.words, self.contributions.tolist(), strict=True)
        )
        told = f"{html.escape(str(self.label))}, probability {self.probability:.2f}"
        page = (
            '<figure style="font-family:sans-serif;margin:1em 0">'
            f'<p style="white-space:pre-wrap;line-height:1.8">{words}</p>'
            f"<figcaption>{told}. Blue speaks for it, red against it.</figcaption></figure>"
        )
        if path is not None:
            Path(path).write_text(f'<!doctype html><meta charset="utf-8"><title>{told}</title>{page}', encoding="utf-8")
        return page

    def _repr_html_(self) -> str:
        return self.to_html()

    def plot(self) -> Figure:
        """The contributions as bars, one a word, in the order of the text."""
        drawing, axes = figure(height=1.1 + 0.24 * len(self.words))
        places = np.arange(len(self.words))
        colours = [PALETTE["model 1" if value > 0 else "model 2"] for value in self.contributions]
        axes.barh(places, self.contributions, color=colours)
        axes.axvline(0, color=PALETTE["note"], linewidth=0.8)
        axes.set_yticks(places, [_escaped(word.strip() or repr(word)) for word in self.words])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel(f"contribution to the log-odds of {_escaped(str(self.label))}")
        axes.set_title(f"{_escaped(str(self.label))}, probability {self.probability:.2f}")
        return drawing


def occluded(
    words: Sequence[str],
    numbers: Tensor,
    unknown: int,
    probabilities: Callable[[list[Tensor]], Array],
    classes: Array,
    attention: Callable[[Tensor], Array | None],
) -> Explanation:
    """Hide one word of a text after another, and measure how the log-odds of the predicted class change.

    ``probabilities`` leads from texts as numbers to (texts, classes), ``attention`` from one to what every word weighs.
    """
    whole = probabilities([numbers])[0]
    others: list[Array] = []
    for places in torch.arange(len(numbers)).split(WORDS_AT_ONCE):
        without = numbers.repeat(len(places), 1)
        without[torch.arange(len(places)), places] = unknown
        others += list(probabilities(list(without)))
    best = int(np.argmax(whole))
    odds = [_log_odds(p[best]) for p in (whole, *others)]
    contributions = odds[0] - np.array(odds[1:])
    return Explanation(tuple(words), contributions, attention(numbers), classes[best], float(whole[best]))


def _log_odds(p: float) -> float:
    p = min(max(float(p), 1e-12), 1 - 1e-12)
    return float(np.log(p / (1 - p)))


def _colour(share: float) -> str:
    """From red over white to blue, −1 to 1."""
    return f"rgba({'30,110,200' if share > 0 else '210,60,50'},{0.75 * abs(share):.2f})"


def _escaped(text: str) -> str:
    """A text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")
