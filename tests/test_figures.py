"""Figures: they show what they should, nothing overlaps, and nothing changes by drawing them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text
from torch import Tensor

from seqdyn import figures
from seqdyn.autoregression import OwnPast
from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.composition import Readout, Residual, Stack
from seqdyn.encoder import Encoder
from seqdyn.figures import MODELS, PALETTE, STYLE, figure, plot_forecast, plot_history
from seqdyn.initial_state import Learned
from seqdyn.state import map_leaves
from seqdyn.systems.logistic import Logistic
from seqdyn.unrolled_figure import plot_unrolled
from tests.laws.cells import LAW_TABLE, Entry, prepare


def texts(drawing: Figure) -> list[str]:
    return [text.get_text() for text in written(drawing)]


def written(drawing: Figure) -> list[Text]:
    found = drawing.findobj(
        lambda artist: isinstance(artist, Text) and bool(artist.get_text()) and artist.get_visible()
    )
    return [artist for artist in found if isinstance(artist, Text)]


def boxes(drawing: Figure) -> list[FancyBboxPatch]:
    return [patch for patch in drawing.axes[0].patches if isinstance(patch, FancyBboxPatch)]


# --- unrolled ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", LAW_TABLE, ids=lambda entry: entry.name)
def test_nothing_overlaps_and_all_is_on_the_page(entry: Entry) -> None:
    cell, x = prepare(entry, 1, 1)
    asked = cell.attends or (cell.input_shape is None and (not isinstance(cell, OwnPast) or cell.feed is not None))
    drawing = plot_unrolled(cell, steps=4, x=map_leaves(lambda leaf: leaf[:, 0], x) if asked else None)
    renderer = FigureCanvasAgg(drawing).get_renderer()
    extents = {text: text.get_window_extent(renderer) for text in written(drawing)}
    page = drawing.bbox
    for text, extent in extents.items():
        assert page.x0 <= extent.x0 and extent.x1 <= page.x1 and page.y0 <= extent.y0 and extent.y1 <= page.y1
        for other, second in extents.items():
            assert text is other or not extent.overlaps(second), (text.get_text(), other.get_text())
        for box in boxes(drawing):
            frame = box.get_window_extent(renderer)
            inside = frame.x0 <= extent.x0 and extent.x1 <= frame.x1 and frame.y0 <= extent.y0 and extent.y1 <= frame.y1
            assert inside or not frame.overlaps(extent), text.get_text()


@pytest.mark.parametrize("cell", [Elman(3, 4), LSTM(3, 4), Stack([Elman(3, 4), LSTM(4, 2)])])
def test_every_arrow_ends_or_starts_at_a_box(cell: Cell) -> None:
    drawing = plot_unrolled(cell)
    frames = [box.get_bbox() for box in boxes(drawing)]
    arrows = [patch for patch in drawing.axes[0].patches if isinstance(patch, FancyArrowPatch)]
    points: list[Any] = [arrow.get_path().vertices for arrow in arrows]

    def touches(point: Any) -> bool:
        x, y = point
        return any(
            (min(abs(x - frame.x0), abs(x - frame.x1)) < 0.02 and frame.y0 < y < frame.y1)
            or (min(abs(y - frame.y0), abs(y - frame.y1)) < 0.02 and frame.x0 < x < frame.x1)
            for frame in frames
        )

    free = [line for line in points if not any(map(touches, line))]
    assert len(arrows) > 8 and len(free) == 1  # the one from the folded to the unrolled


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_one_box_a_layer_and_step_and_one_column_folded(steps: int) -> None:
    three = Stack([Elman(3, 4), GRU(4, 16), LSTM(16, 2)])
    assert len(boxes(plot_unrolled(three, steps))) == 3 * (steps + 1)
    assert len(boxes(plot_unrolled(GRU(3, 4), steps))) == steps + 1


def test_shapes_are_those_of_a_step() -> None:
    shown = texts(plot_unrolled(Readout(Stack([GRU(3, 16), LSTM(16, 5)]), 2)))
    assert {"$x_t$  (batch, 3)", "$y_t$  (batch, 2)", "h (batch, 16)", "h (batch, 5)", "c (batch, 5)"} <= set(shown)
    assert {"(batch, 16)", "(batch, 5)"} <= set(shown)  # between the layers
    assert {"GRU", "LSTM", "Readout"} <= set(shown)
    assert "past (batch, 4, 3)" in texts(plot_unrolled(MovingAverage(3, window=5)))


def test_time_runs_from_the_state_before_to_the_last_output() -> None:
    shown = texts(plot_unrolled(LSTM(3, 4), steps=3))
    for name in "hc":
        assert [f"${name}_{{t-1}}$", f"${name}_t$", f"${name}_{{t+1}}$", f"${name}_{{t+2}}$"] == [
            text for text in shown if text.startswith(f"${name}_")
        ]
    assert {"$x_t$", "$x_{t+2}$", "$y_{t+2}$"} <= set(shown) and "$x_{t+3}$" not in shown


def test_the_parameters_are_counted_once() -> None:
    cell = Elman(3, 4)
    assert f"{3 * 4 + 4 * 4 + 4} parameters, the same at every step" in texts(plot_unrolled(cell))
    assert "no parameters" in texts(plot_unrolled(MovingAverage(1)))


def test_a_system_without_inputs_has_no_arrow_from_below() -> None:
    assert not any(text.startswith("$x") for text in texts(plot_unrolled(Logistic())))


def test_a_memory_of_nothing_is_not_drawn() -> None:
    shown = texts(plot_unrolled(MovingAverage(2, window=1)))
    assert not any("past" in text for text in shown) and "…" not in shown


def test_wrappers_are_part_of_the_box_or_invisible() -> None:
    assert "Residual(LSTM)" in texts(plot_unrolled(Residual(LSTM(2, 2))))
    assert "Tall" in texts(plot_unrolled(Tall(LSTM(2, 2), 3)))
    learned = texts(plot_unrolled(Learned()(GRU(2, 2))))
    assert "GRU" in learned and not any("Started" in text for text in learned)
    many = texts(plot_unrolled(Residual(Stack([LSTM(3, 3) for _ in range(4)]))))
    assert "Residual(Stack(LSTM, LSTM, LSTM, LSTM))" in many
    assert "and 3 more" in many and r"$\mathrm{state}_t$" in many


class Tall(Readout):
    """Steps as a Readout, under another name."""


class PairState(NamedTuple):
    slow_one: Tensor
    fast: Tensor


class Pair(Cell):
    """Two inputs, and a state with long names."""

    def initial_state(self, batch: int) -> PairState:
        return PairState(torch.zeros(batch, 2), torch.zeros(batch, 2, 3))

    def forward(self, x: Any, state: PairState) -> tuple[Any, PairState]:
        return {"sum": x[0] + x[1]}, state


def test_other_inputs_are_given() -> None:
    shown = texts(plot_unrolled(Pair(2, 2), x=(torch.zeros(1, 2), torch.zeros(1, 2))))
    assert {"$x_t$  (batch, 2), (batch, 2)", "slow_one (batch, 2)", "fast (batch, 2, 3)"} <= set(shown)
    assert r"$\mathrm{slow\_one}_t$" in shown
    with pytest.raises(ValueError, match=r"Pair cannot take a step on zeros .* input of one step as x"):
        plot_unrolled(Pair(2, 2))


def test_drawing_changes_nothing_in_the_model() -> None:
    cell = Stack([GRU(3, 4), LSTM(4, 2)], dropout=0.5)
    cell.layers[0].eval()
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    modes = [module.training for module in cell.modules()]
    torch.manual_seed(3)
    dice = torch.random.get_rng_state()
    plot_unrolled(cell)
    assert torch.equal(torch.random.get_rng_state(), dice)
    assert all(torch.equal(value, before[name]) for name, value in cell.state_dict().items())
    assert [module.training for module in cell.modules()] == modes
    assert all(parameter.grad is None and parameter.requires_grad for parameter in cell.parameters())


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "3"])
def test_steps_below_one_are_refused(steps: Any) -> None:
    with pytest.raises(ValueError, match="steps must be an int of at least 1"):
        plot_unrolled(GRU(1, 1), steps)


@pytest.mark.parametrize(
    ("thing", "name"),
    [(3, "int"), (torch.nn.Linear(1, 1), "Linear"), (Encoder([GRU(1, 1)]), "Encoder"), (GRU, "class GRU")],
)
def test_what_is_no_cell_is_refused(thing: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"draws a built Cell.*got (the )?{name}"):
        plot_unrolled(thing)


# --- curves -----------------------------------------------------------------------------------------------------------


def history(**changes: Any) -> dict[str, Any]:
    columns = {
        "epoch": np.arange(1, 6),
        "loss": [1.0, 0.5, 0.3, 0.2, 0.15],
        "validation_loss": [1.1, 0.6, 0.5, 0.45, 0.46],
        "gradient_norm": [5.0, 2.0, 1.0, 0.5, 0.1],
        "clip_coefficient": [0.2, 0.5, 1.0, 1.0, 1.0],
        "learning_rate": [0.01] * 5,
    }
    return {name: value for name, value in {**columns, **changes}.items() if value is not None}


def test_history_shows_loss_and_gradient() -> None:
    left, right = plot_history(history()).axes
    assert [line.get_label() for line in left.lines] == ["training", "validation"]
    assert [line.get_label() for line in right.lines][1] == "clipped (2 of 5)"
    assert left.get_yscale() == right.get_yscale() == "log"
    np.testing.assert_array_equal(left.lines[0].get_xdata(), np.arange(1, 6))


def test_history_without_validation_clipping_or_epochs() -> None:
    drawing = plot_history(history(validation_loss=[np.nan] * 5, clip_coefficient=None, epoch=None))
    assert [len(axes.lines) for axes in drawing.axes] == [1, 1]
    assert all(axes.get_legend() is None for axes in drawing.axes)


def test_history_with_a_loss_below_zero_is_linear() -> None:
    left, right = plot_history(
        history(loss=[1.0, 0.5, -0.3, np.nan, -1.0], gradient_norm=[1.0, 0.0, np.inf, 1, 1])
    ).axes
    assert left.get_yscale() == right.get_yscale() == "linear"


def test_history_takes_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    assert len(plot_history(pandas.DataFrame(history())).axes) == 2


def test_history_of_one_epoch_is_visible() -> None:
    one = {name: value[:1] for name, value in history().items()}
    assert plot_history(one).axes[0].lines[0].get_marker() == "o"


def test_history_without_a_column_says_which() -> None:
    with pytest.raises(ValueError, match="history has no column 'loss' and no 'gradient_norm'"):
        plot_history({"epoch": [1]})


def test_forecast_has_a_colour_a_role() -> None:
    drawing = plot_forecast(
        range(4), [1, 2, 3, np.nan], {"GRU": [1, 2, 3, 4], "LSTM": [0, 1, 2, 3]}, 2, [1, 1, 2, 3], "K"
    )
    axes = drawing.axes[0]
    colours = {line.get_label(): to_hex(line.get_color()).upper() for line in axes.lines}
    assert colours["actual"] == PALETTE["data"] and colours["baseline"] == PALETTE["baseline"]
    assert (colours["GRU"], colours["LSTM"]) == MODELS[:2]
    assert axes.get_ylabel() == "K" and {"fit", "test"} <= set(texts(drawing))
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["actual", "baseline", "GRU", "LSTM"]


def test_forecast_over_dates(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    times = pandas.date_range("2024-01-01", periods=40, freq="D")
    for split in ("2024-02-01", np.datetime64("2024-02-01"), times[31]):
        drawing = plot_forecast(times, np.arange(40), {"GRU": pandas.Series(np.arange(40.0))}, split=split)
        drawing.savefig(tmp_path / "forecast.png")
        at: Any = drawing.axes[0].lines[-1].get_xdata()
        assert at[0] == np.datetime64("2024-02-01")
    assert len(plot_forecast(times, np.arange(40), {}).axes[0].lines) == 1


def test_forecast_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'GRU' has shape \(3,\) and times \(4,\)"):
        plot_forecast(range(4), range(4), {"GRU": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"'actual' has shape \(4, 1\)"):
        plot_forecast(range(4), np.zeros((4, 1)), {})


# --- the style --------------------------------------------------------------------------------------------------------

DRAWINGS = {
    "unrolled": lambda: plot_unrolled(Linear(1, 2)),
    "history": lambda: plot_history(history()),
    "forecast": lambda: plot_forecast(range(3), [1, 2, 3], {"a": [1, 2, 3]}, split=1),
    "empty": lambda: figure(2, 2, height=3.0, sharex=True)[0],
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_nothing_global_changes_and_a_png_is_written(name: str, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    drawing = DRAWINGS[name]()
    drawing.savefig(tmp_path / "figure.png")
    assert dict(matplotlib.rcParams) == before
    assert isinstance(drawing, Figure)
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.std() > 0.01


def test_the_style_does_not_depend_on_the_users_settings(tmp_path: Path) -> None:
    plain, odd = tmp_path / "plain.png", tmp_path / "odd.png"
    for name in ("unrolled", "history", "forecast"):
        DRAWINGS[name]().savefig(plain)
        settings: dict[Any, Any] = {
            "font.size": 30,
            "axes.grid": False,
            "text.color": "red",
            "lines.linewidth": 9,
            "xtick.labelsize": 25,
        }
        with matplotlib.rc_context(settings):
            DRAWINGS[name]().savefig(odd)
        assert plain.read_bytes() == odd.read_bytes()


def test_axes_come_as_matplotlib_gives_them() -> None:
    drawing, axes = figure()
    assert axes.figure is drawing and drawing.get_layout_engine() is not None
    assert figure(2, 3)[1].shape == (2, 3)
    assert tuple(figure(2, width=5.0)[0].get_size_inches()) == (5.0, 5.6)
    assert not axes.spines["top"].get_visible() and not axes.spines["right"].get_visible()


def test_the_palette_names_every_role() -> None:
    assert {"data", "baseline", "model 1", f"model {len(MODELS)}"} <= set(PALETTE)
    assert len(set(MODELS)) == len(MODELS) == 6
    with matplotlib.rc_context(STYLE):
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"] == list(MODELS)


def test_neither_matplotlib_nor_pandas_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys, seqdyn.figures as f; assert not {'matplotlib', 'pandas'} & set(sys.modules); "
        "f.figure(); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(figures.__file__).parents[1])
