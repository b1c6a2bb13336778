"""Figures of dynamics: the artists hold the right numbers, and everything written is on the page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from seqdyn.figures import MODELS, PALETTE
from seqdyn.metrics import power_spectrum_error
from seqdyn.phase_figures import (
    plot_bifurcation,
    plot_delay_embedding,
    plot_phase_portrait,
    plot_power_spectra,
    plot_return_map,
    successive_maxima,
)
from seqdyn.systems.logistic import Logistic, LogisticState
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.simulate import simulate

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def lorenz() -> Array:
    return simulate(Lorenz(dt=0.01).double(), 6000, discard=1000)[0].numpy()


def wave(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape)


def drawn(axes: Any) -> list[Array]:
    """The data of every line of a panel, (points, dimensions)."""
    lines = [line.get_data_3d() if hasattr(line, "get_data_3d") else line.get_data() for line in axes.lines]
    return [np.array(line, dtype=float).T for line in lines]


def colour(axes: Any, line: int = 0) -> str:
    return to_hex(axes.lines[line].get_color()).upper()


# --- portraits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [[0, 2], [2, 1], [0, 1, 2], [-1, 0]])
def test_a_portrait_shows_the_outputs_asked_for(lorenz: Array, outputs: list[int]) -> None:
    axes = plot_phase_portrait(lorenz, outputs, names=["x", "y", "z"]).axes[0]
    np.testing.assert_array_equal(drawn(axes)[0], lorenz[:, outputs])
    labels = [getattr(axes, f"get_{axis}label")() for axis in "xyz"[: len(outputs)]]
    assert labels == [["x", "y", "z"][one] for one in outputs]
    assert axes.name == ("3d" if len(outputs) == 3 else "rectilinear")


def test_many_outputs_show_the_first_three() -> None:
    axes = plot_phase_portrait(wave(50, 6)).axes[0]
    np.testing.assert_array_equal(drawn(axes)[0], wave(50, 6)[:, :3])
    assert axes.get_zlabel() == "y3"


def test_trajectories_of_a_system_share_its_panel() -> None:
    y = wave(4, 30, 2)
    axes = plot_phase_portrait(y).axes[0]
    np.testing.assert_array_equal(np.stack(drawn(axes)), y)
    assert {colour(axes, line) for line in range(4)} == {MODELS[0]}


@pytest.mark.parametrize("dimension", [2, 3])
def test_systems_stand_side_by_side_in_the_limits_of_the_first(dimension: int) -> None:
    y = wave(200, dimension)
    drawing = plot_phase_portrait({"true": y, "GRU": 0.5 * y, "LSTM": 0.9 * y})
    assert [axes.get_title() or axes.get_title(loc="left") for axes in drawing.axes] == ["true", "GRU", "LSTM"]
    assert [colour(axes) for axes in drawing.axes] == [PALETTE["data"], *MODELS[:2]]
    limits = [[getattr(axes, f"get_{axis}lim")() for axis in "xyz"[:dimension]] for axes in drawing.axes]
    assert limits[0] == limits[1] == limits[2]
    low, high = np.array(limits[0]).T
    assert low == pytest.approx(y.min(axis=0) - 0.1 * np.ptp(y, axis=0))
    assert high == pytest.approx(y.max(axis=0) + 0.1 * np.ptp(y, axis=0))


@pytest.mark.parametrize("lost", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("dimension", [2, 3])
def test_what_leaves_is_counted_and_not_drawn(lost: float, dimension: int) -> None:
    y = wave(200, dimension)
    away = y.copy()
    away[150:, 1] = lost
    axes = plot_phase_portrait({"true": y, "network": away}).axes[1]
    assert (axes.get_title() or axes.get_title(loc="left")) == "network (25 % outside)"
    line = drawn(axes)[0]
    np.testing.assert_array_equal(line[:150], y[:150])
    assert np.isnan(line[150:]).all()


def test_a_map_has_no_lines_between_its_steps() -> None:
    line = plot_phase_portrait(wave(50, 2), points=True).axes[0].lines[0]
    assert (line.get_linestyle(), line.get_marker()) == ("None", ".")


def test_a_fixed_point_has_room() -> None:
    low, high = plot_phase_portrait(np.ones((20, 2))).axes[0].get_xlim()
    assert low < 1 < high


# --- delay embeddings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_delay_embedding_is_the_past_of_one_output(dimension: int) -> None:
    y = wave(3, 40, 2)
    axes = plot_delay_embedding(y, 7, output=1, dimension=dimension, name="x").axes[0]
    first = 7 * (dimension - 1)
    for number, line in enumerate(drawn(axes)):
        for step, point in enumerate(line):
            expected = [y[number, first + step - 7 * lag, 1] for lag in range(dimension)]
            assert point.tolist() == expected
        assert len(line) == 40 - first
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x(t)", "x(t − 7)")


def test_a_map_is_its_own_embedding() -> None:
    """y_t = r y_{t−1} (1 − y_{t−1})."""
    start = LogisticState(torch.tensor([[0.3]], dtype=torch.float64))
    y = simulate(Logistic(r=3.9).double(), 100, start)[0].numpy()
    after, before = drawn(plot_delay_embedding(y, 1, points=True).axes[0])[0].T
    assert after == pytest.approx(3.9 * before * (1 - before))


# --- return maps -------------------------------------------------------------------------------------------------


def test_maxima_of_a_coarse_wave_are_refined() -> None:
    """Seven samples a turn miss the top by up to a tenth; the parabola by less than a fiftieth."""
    y = 3 * np.sin(np.arange(0, 200, 0.9))
    found = successive_maxima(y)
    assert len(found) == int((200 - np.pi / 2) // (2 * np.pi)) + 1
    assert found == pytest.approx(np.full(len(found), 3.0), abs=0.06)
    assert np.abs(y[1:-1][(y[:-2] < y[1:-1]) & (y[1:-1] > y[2:])] - 3).max() > 0.2


def test_maxima_are_those_of_a_loop(lorenz: Array) -> None:
    z = lorenz[:, 2]
    expected = []
    for t in range(1, len(z) - 1):
        if z[t - 1] < z[t] > z[t + 1]:
            a, b, _ = np.polyfit([-1, 0, 1], z[t - 1 : t + 2], 2)
            expected.append(z[t] - b**2 / (4 * a))
    assert successive_maxima(z) == pytest.approx(expected)
    assert len(expected) > 50


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.0, 0.0], []),
        ([0.0, 1.0, 1.0, 0.0], []),
        ([2.0, 1.0, 2.0], []),
        ([0.0, np.inf, 0.0], []),
        ([0.0, 1.0, np.nan], []),
        ([0.0, 1.0, -np.inf], []),
        ([1.0], []),
        ([0.0, 1e200, 0.0], [1e200]),
    ],
    ids=str,
)
def test_what_is_a_maximum(values: list[float], expected: list[float]) -> None:
    assert successive_maxima(values).tolist() == expected


def test_the_return_map_of_the_lorenz_system_is_a_cusp(lorenz: Array) -> None:
    """A curve, steeper than 1 everywhere: no cycle is stable (Lorenz 1963, figure 4)."""
    diagonal, points = plot_return_map(lorenz, output=2, name="z").axes[0].lines
    x, y = points.get_data()
    peaks = successive_maxima(lorenz[:, 2])
    np.testing.assert_array_equal([x, y], [peaks[:-1], peaks[1:]])
    order = np.argsort(x)
    x, y = x[order], y[order]
    top = int(y.argmax())
    for side, sign in ((slice(None, top), 1), (slice(top + 1, None), -1)):
        slope = sign * np.diff(y[side]) / np.diff(x[side])
        assert np.median(slope) > 1
        assert (np.diff(y[side]) * sign > 0).mean() > 0.98
    assert diagonal.get_slope() == 1


def test_a_cycle_is_a_point_on_the_diagonal_and_systems_share_the_panel() -> None:
    turn = np.linspace(0, 60, 2000)
    drawing = plot_return_map({"true": np.sin(turn), "GRU": 2 * np.sin([turn, 2 * turn])[..., None]})
    axes = drawing.axes[0]
    for line, height, count in zip(axes.lines[1:], (1, 2), (9, 9 + 18), strict=True):
        assert line.get_xydata() == pytest.approx(np.full((count, 2), height), abs=1e-4)
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["true", "GRU"]
    assert [colour(axes, line) for line in (1, 2)] == [PALETTE["data"], MODELS[0]]


# --- spectra -----------------------------------------------------------------------------------------------------


def test_a_spectrum_integrates_to_one_and_peaks_where_it_turns() -> None:
    turn = 2 * np.pi * np.arange(4000) * 0.05
    drawing = plot_power_spectra(np.sin([0.7 * turn, 2 * turn]).T, 0.05, names=["x", "z"], unit="s")
    for axes, frequency in zip(drawing.axes, (0.7, 2.0), strict=True):
        at, density = axes.lines[0].get_data()
        assert at[density.argmax()] == pytest.approx(frequency, abs=0.01)
        assert density.sum() * at[1] == pytest.approx(1, rel=1e-3)
        assert (at[-1], axes.get_yscale()) == (pytest.approx(10), "log")
    assert [axes.get_ylabel() for axes in drawing.axes] == ["x", "z"]
    assert drawing.axes[1].get_xlabel() == "frequency, 1/s"


def test_spectra_are_those_that_the_distance_compares() -> None:
    y, z = wave(3000).cumsum(), wave(2, 3000)[1].cumsum()
    axes = plot_power_spectra({"true": y, "model": z}, 0.5, smoothing=8).axes[0]
    p, q = (line.get_ydata() / 3000 / 0.5 for line in axes.lines)
    expected = power_spectrum_error(y, z, smoothing=8).value
    assert np.sqrt(1 - np.sum(np.sqrt(p * q))) == pytest.approx(expected)


def test_spectra_of_different_lengths_and_of_many_trajectories() -> None:
    """White noise has the density 2 Δt at all frequencies, however long, and the mean is over trajectories."""
    drawing = plot_power_spectra({"true": wave(20_000), "model": wave(10, 5000, 1)}, 0.1)
    for line in drawing.axes[0].lines:
        assert line.get_ydata().mean() == pytest.approx(0.2, rel=0.01)
    spread = [float(line.get_ydata().std()) for line in drawing.axes[0].lines]
    assert spread[1] < spread[0] / 2


def test_what_does_not_move_has_no_line() -> None:
    y = wave(500, 2)
    still, lost = y.copy(), y.copy()
    still[:, 0], lost[40, 1] = 0.5, np.nan
    drawing = plot_power_spectra({"true": y, "still": still, "lost": lost}, 1.0)
    labels = [[line.get_label() for line in axes.lines] for axes in drawing.axes]
    assert labels == [["true", "lost"], ["true", "still"]]
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["true", "still", "lost"]
    assert colour(drawing.axes[0], 1) == MODELS[1] and colour(drawing.axes[1], 1) == MODELS[0]


# --- bifurcations ------------------------------------------------------------------------------------------------


def logistic(values: Array) -> list[Array]:
    start = [LogisticState(torch.tensor([[0.3]], dtype=torch.float64)) for _ in values]
    return [
        simulate(Logistic(r=float(r)).double(), 40, one, discard=400)[0, :, 0].numpy()
        for r, one in zip(values, start, strict=True)
    ]


def test_a_bifurcation_diagram_shows_fixed_points_and_cycles() -> None:
    """The logistic map rests at 1 − 1/r up to 3, then alternates between two values."""
    values = np.array([2.8, 2.9, 3.2, 3.3])
    drawing = plot_bifurcation({"true system": (values, logistic(values))}, "r", name="x", centre=3.0)
    axes = drawing.axes[0]
    at, reached = axes.lines[0].get_data()
    for r in values:
        here = np.unique(reached[at == r].round(8))
        root = np.sqrt((r - 3) * (r + 1)) if r > 3 else 0
        expected = [(r + 1 - root) / (2 * r), (r + 1 + root) / (2 * r)] if r > 3 else [1 - 1 / r]
        assert here == pytest.approx(expected, abs=1e-7)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("r", "x")
    assert axes.lines[-1].get_xdata() == [3.0, 3.0]


def test_scans_are_aligned_in_the_limits_of_the_first() -> None:
    scans = {"true": ([1.0, 2.0], [[0.0, 1.0], [0.5]]), "GRU": (np.array([1.5]), [np.array([0.2, 9.0, 0.3, 0.4])])}
    drawing = plot_bifurcation(scans, "a")
    first, second = drawing.axes
    assert first.get_ylim() == second.get_ylim() == pytest.approx((-0.05, 1.05))
    assert first.get_xlim() == second.get_xlim()
    assert second.get_title(loc="left") == "GRU (25 % outside)"
    assert [colour(axes) for axes in (first, second)] == [PALETTE["data"], MODELS[0]]
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "a")


def test_a_parameter_at_which_a_model_blows_up_is_marked() -> None:
    scans = {"true": ([1, 2, 3], [[0.0], [1.0], [0.5]]), "GRU": ([1, 2, 3], [[0.2, np.inf], [], [np.nan, np.nan]])}
    points, marks = plot_bifurcation(scans, "a").axes[1].lines
    assert points.get_xydata().tolist() == [[1.0, 0.2]]
    assert marks.get_xdata().tolist() == [1.0, 3.0]
    assert plot_bifurcation(scans, "a").axes[1].get_title(loc="left") == "GRU (75 % outside)"


# --- all of them -------------------------------------------------------------------------------------------------


Draw = Callable[[Array], Figure]
FIGURES: dict[str, Draw] = {
    "portrait": lambda y: plot_phase_portrait({"true system": y, "network": y}, [0, 2], names=["x", "y", "z"]),
    "space": lambda y: plot_phase_portrait({"true system": y, "network": y}, names=["x", "y", "z"]),
    "delay": lambda y: plot_delay_embedding({"true system": y, "network": y}, 10, name="x"),
    "delay in space": lambda y: plot_delay_embedding(y, 10, dimension=3, name="x"),
    "return map": lambda y: plot_return_map({"true system": y, "network": y}, output=2, name="z"),
    "spectra": lambda y: plot_power_spectra({"true system": y, "network": y}, 0.01, unit="s"),
    "bifurcation": lambda y: plot_bifurcation({"true system": ([1, 2], y[:2]), "network": ([1, 2], y[:2])}, "ρ"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_everything_written_is_on_the_page(name: str, lorenz: Array) -> None:
    drawing = FIGURES[name](lorenz)
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    found = [text for legend in drawing.legends for text in legend.get_texts()]
    for axes in drawing.axes:
        found += [getattr(axes, f"{axis}axis").label for axis in "xyz" if hasattr(axes, f"{axis}axis")]
        found += [one for one in (axes.title, axes._left_title) if one.get_text()]
    for text in found:
        extent = text.get_window_extent(canvas.get_renderer())
        assert drawing.bbox.x0 - 1 <= extent.x0 and extent.x1 <= drawing.bbox.x1 + 1, text.get_text()
        assert drawing.bbox.y0 - 1 <= extent.y0 and extent.y1 <= drawing.bbox.y1 + 1, text.get_text()
    assert len(found) >= 3


def test_a_system_of_which_nothing_can_be_drawn_leaves_an_empty_place() -> None:
    """Its panel is as large as the others, its name is there."""
    y, lost = wave(300, 3), np.full((300, 3), np.nan)
    drawings = [
        plot_phase_portrait({"true": y, "lost": lost}, [0, 1]),
        plot_phase_portrait({"true": y, "lost": lost}),
        plot_delay_embedding({"true": y, "lost": lost}, 1),
        plot_return_map({"true": y, "lost": lost}),
        plot_power_spectra({"true": y, "lost": lost}, 1.0),
        plot_bifurcation({"true": ([1, 2], y[:2]), "lost": ([1, 2], lost[:2])}, "r"),
        plot_bifurcation({"true": ([1, 2], y[:2]), "none": ([1, 2], [[], []])}, "r"),
    ]
    for drawing in drawings:
        FigureCanvasAgg(drawing).draw()
        sizes = np.array([axes.get_position().size for axes in drawing.axes])
        assert sizes == pytest.approx(np.tile(sizes[0], (len(sizes), 1)), rel=0.02)
        assert sizes.min() > 0.2


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_changes_no_settings_and_no_data(name: str, lorenz: Array) -> None:
    before, settings = lorenz.copy(), dict(matplotlib.rcParams)
    FIGURES[name](lorenz)
    assert dict(matplotlib.rcParams) == settings
    np.testing.assert_array_equal(lorenz, before)


def test_no_figure_needs_pyplot() -> None:
    script = (
        "import sys; from seqdyn.phase_figures import plot_phase_portrait, plot_bifurcation\n"
        "plot_phase_portrait([[0.0, 1, 2], [1, 2, 0]]); plot_bifurcation({'true': ([1.0], [[2.0]])}, 'r')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: plot_phase_portrait(wave(9)),
            r"of the 1 outputs, got \[0\]; one alone is drawn by plot_delay",
        ),
        (lambda: plot_phase_portrait(wave(9, 3), [0, 3]), r"two or three of the 3 outputs, got \[0, 3\]"),
        (lambda: plot_phase_portrait(wave(9, 3), [0.5, 1]), r"got \[0.5, 1\]"),
        (lambda: plot_phase_portrait(wave(9, 2), names=["x"]), "names has 1 names, expected one for each of the 2"),
        (lambda: plot_phase_portrait({}), "the mapping is empty"),
        (lambda: plot_phase_portrait(wave(2, 2, 9, 2)), r"y has the shape \(2, 2, 9, 2\), expected \(time, outputs\)"),
        (lambda: plot_phase_portrait({"a": wave(9, 2), "b": wave(9, 3)}), "the same outputs, got {'a': 2, 'b': 3}"),
        (lambda: plot_phase_portrait([[0.0, np.nan], [1.0, 1.0]]), "The first system is not finite everywhere"),
        (lambda: plot_delay_embedding(wave(9), 0), "delay must be an int of at least 1, got 0"),
        (lambda: plot_delay_embedding(wave(9), 5, dimension=3), "9 steps has no pair 10 steps apart"),
        (lambda: plot_delay_embedding(wave(9), 1, dimension=4), "dimension must be one of 2, 3, got 4"),
        (lambda: plot_delay_embedding(wave(9, 2), 1, output=2), "output must be one of the 2, 0 to 1, got 2"),
        (lambda: plot_return_map(np.ones(9)), "Output 0 does not have two maxima in a row"),
        (lambda: successive_maxima(wave(9, 2)), r"values has the shape \(9, 2\)"),
        (lambda: plot_power_spectra(wave(9), 0.0), "dt must be a positive number, the time a step covers, got 0.0"),
        (lambda: plot_power_spectra(wave(9), 1.0, smoothing=-1), "smoothing must be a number of frequency bins"),
        (lambda: plot_power_spectra(wave(20, 9), 1.0), "9 outputs are too many panels, there is room for 8"),
        (lambda: plot_bifurcation([1, 2], "r"), "scans must be a mapping of names to .*, got list"),
        (
            lambda: plot_bifurcation({"a": ([1.0, 2.0], [[1.0]])}, "r"),
            r"'a' has 1 arrays for values of .* \(2,\)",
        ),
        (lambda: plot_bifurcation({"a": [[1.0]]}, "r"), "'a' has 1 parts, expected the pair"),
        (lambda: plot_bifurcation({"a": ([1.0], [[np.nan]])}, "r"), "'a' visits no finite value"),
    ],
)
def test_bad_input(draw: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
