"""Figures of a text: what a language model does at every symbol, what a translator attends to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.figures import MODELS, PALETTE, figure
from seqdyn.loops import scan
from seqdyn.state import flatten
from seqdyn.training.pairs import shift_right

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import DataArray


WRITTEN_CELLS = 12
"""Up to so many rows and columns every number is written into the picture."""


def text_figure(network: Cell, numbers: Array, labels: tuple[str, ...]) -> Figure:
    """Plot inputs, states and the probabilities of the next symbol, one column a symbol, the first the beginning."""
    x = shift_right(len(labels), torch.as_tensor(numbers, device=network.zeros(1).device))

    def state(x: Any, before: Any, output: Any, after: Any) -> Tensor:
        return flatten(after)

    with torch.inference_mode():
        run = scan(network, x[None], record=state)
    states, probabilities = run.record[0].cpu().numpy(), torch.softmax(run.output[0], -1).cpu().numpy()
    best = probabilities.argmax(1)
    names = [_visible(name) for name in (*labels, "⟨begin⟩")]
    whole = len(labels) <= WRITTEN_CELLS  # of a larger vocabulary, what comes in and what is likely
    seen = np.arange(len(names)) if whole else np.unique(x.cpu().numpy())
    likely = np.arange(len(labels)) if whole else np.unique([*best, *numbers])
    heights = [len(seen), max(4, min(states.shape[1], 2 * WRITTEN_CELLS)), len(likely)]
    drawing, axes = figure(3, width=max(4.0, 1.6 + 0.46 * len(x)), height=1.6 + 0.2 * sum(heights))
    axes[0].get_gridspec().set_height_ratios(heights)
    _cells(
        axes[0], np.eye(len(names))[x.cpu().numpy()][:, seen], "in: one-hot", "Greys", (0, 1), [names[k] for k in seen]
    )
    _cells(axes[1], states, "state", "RdBu", _around_zero(states), [])
    _cells(axes[2], probabilities[:, likely], "P(next)", "Blues", (0, 1), [names[k] for k in likely])
    axes[0].set_xticks(range(len(x)), [names[k] for k in x.tolist()])
    axes[0].xaxis.tick_top()
    axes[0].set_title("what came last", fontsize=9)
    axes[1].set_xticks([])
    axes[2].set_xticks(range(len(x)), [names[k] for k in best])
    for tick, right in zip(axes[2].get_xticklabels(), best == numbers, strict=True):
        tick.set_color(PALETTE["data"] if right else MODELS[1])
    place = np.searchsorted(likely, numbers)
    axes[2].scatter(range(len(x)), place, s=150, marker="s", facecolors="none", edgecolors=MODELS[1], linewidths=1.5)
    axes[2].set_xlabel("the likeliest next symbol; squares: what came")
    return drawing


def attention_figure(weights: DataArray) -> Figure:
    """Plot what every symbol of a target attended to, one row a symbol, from weights (target, source)."""
    target, source = (
        [_visible(str(name).strip() or str(name)) for name in weights[dim].values] for dim in weights.dims
    )
    wide, high = len(source), len(target)
    drawing, axes = figure(1, width=max(3.5, 1.8 + 0.36 * wide), height=max(2.5, 1.3 + 0.3 * high))
    _cells(axes, weights.values.T, "what is written", "Greys", (0, 1), target)
    axes.set_xticks(range(wide), source, rotation=90 if max(map(len, source)) > 2 else 0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("what is attended to")
    return drawing


def _cells(axes: Axes, values: Array, name: str, colours: str, limits: tuple[float, float], rows: list[str]) -> None:
    """Values (time, rows) as coloured cells."""
    axes.imshow(values.T, aspect="auto", cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.grid(False)
    axes.set_ylabel(name)
    axes.set_yticks(range(len(rows)), rows)
    if max(values.shape) > WRITTEN_CELLS:
        return
    middle = sum(limits) / 2
    for (t, row), value in np.ndenumerate(values):
        far = abs(value - middle) / (limits[1] - limits[0])
        dark = far > 0.35 if colours == "RdBu" else far > 0.1 and value > middle
        axes.text(
            t,
            row,
            f"{value:.2f}".rstrip("0").rstrip("."),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black",
        )


def _around_zero(values: Array) -> tuple[float, float]:
    largest = float(np.abs(values).max()) or 1.0
    return -largest, largest


def _visible(name: str) -> str:
    """A symbol that can be seen."""
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(name, name.replace("$", r"\$"))
