"""Figures of linear systems: they show the numbers of the systems, nothing overlaps, and wrong input is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from seqdyn.identification.figures import plot_bode, plot_poles, plot_response, plot_singular_values
from seqdyn.identification.system import LinearSystem
from tests.identification.test_analysis import first_order, rotation
from tests.identification.test_lasting_modes import drifting
from tests.identification.test_standard_errors import drawn, estimated
from tests.identification.test_summary import untold
from tests.identification.test_system import random_system

Array = np.ndarray[Any, Any]

WIDE = random_system(order=4, inputs=3, outputs=2)
SURE = estimated(WIDE, size=3e-3)
NAMED = {"the true one": rotation(0.9, 0.3), "GRU at rest": rotation(0.85, 0.35), "linear": rotation(0.8, 0.3)}

DRAWN = {
    "bode": lambda: plot_bode(rotation(0.9, 0.3)),
    "bode of several": lambda: plot_bode(NAMED, unit="h"),
    "bode of many channels": lambda: plot_bode({"one": WIDE, "other": WIDE}, inputs=["valve", "heater", "ambient"]),
    "bode with bands": lambda: SURE.plot_bode(others={"the true one": WIDE}),
    "poles with regions": lambda: plot_poles({"model": SURE, "truth": WIDE}),
    "responses with bands": lambda: SURE.plot_response(),
    "poles": lambda: plot_poles(NAMED),
    "responses": lambda: plot_response(WIDE, "impulse"),
    "steps": lambda: plot_response(NAMED, unit="min"),
    "singular values": lambda: plot_singular_values(0.1 ** np.arange(30), 1, title="Canonical correlations"),
}


def curves(drawing: Figure, panel: int) -> list[Array]:
    """The heights of the curves of one panel, without the line at 0."""
    return [np.asarray(line.get_ydata()) for line in drawing.axes[panel].lines if len(line.get_ydata()) > 2]


@pytest.mark.parametrize("name", list(DRAWN))
def test_nothing_overlaps_and_all_is_on_the_page(name: str) -> None:
    drawing = DRAWN[name]()
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    renderer = canvas.get_renderer()
    hidden = {text for axes in drawing.axes for text in beyond_the_limits(axes)}
    written = drawing.findobj(lambda part: isinstance(part, Text) and part.get_text().strip() and part.get_visible())
    page, extents = drawing.bbox, {text: text.get_window_extent(renderer) for text in written if text not in hidden}
    for text, extent in extents.items():
        assert extent.y0 >= page.y0 - 1 and extent.y1 <= page.y1 + 1, text.get_text()
        assert extent.x0 >= page.x0 - 1 and extent.x1 <= page.x1 + 1, text.get_text()
        if text.get_text() in named_texts(drawing):
            for other, second in extents.items():
                assert text is other or not extent.overlaps(second), (text.get_text(), other.get_text())


def beyond_the_limits(axes: Any) -> set[Text]:
    """Ticks that matplotlib keeps and never draws."""
    pairs = (
        (axes.xaxis, sorted(axes.get_xlim())),
        (axes.yaxis, sorted(axes.get_ylim())),
    )
    ticks = [(tick, low, high) for axis, (low, high) in pairs for tick in (*axis.majorTicks, *axis.minorTicks)]
    return {
        text for tick, low, high in ticks if not low <= tick.get_loc() <= high for text in (tick.label1, tick.label2)
    }


def named_texts(drawing: Figure) -> set[str]:
    """Labels, titles and legends: all but the ticks."""
    found = {text.get_text() for legend in drawing.legends for text in legend.get_texts()}
    for axes in drawing.axes:
        found |= {axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")}
        found |= {text.get_text() for text in axes.texts}
    return found - {""}


def test_bode_shows_decibels_and_degrees() -> None:
    drawing = plot_bode(first_order(0.9), [1e-4, 0.01, 0.1, 0.5])
    response = first_order(0.9).frequency_response([1e-4, 0.01, 0.1, 0.5]).response.ravel()
    np.testing.assert_allclose(curves(drawing, 0)[0], 20 * np.log10(abs(response)))
    np.testing.assert_allclose(curves(drawing, 1)[0], np.degrees(np.angle(response)))
    assert curves(drawing, 0)[0][0] == pytest.approx(20, abs=1e-3)  # a gain of 10
    assert [axes.get_xscale() for axes in drawing.axes] == ["log", "log"]


def test_phase_goes_on_beyond_half_a_turn() -> None:
    delay = LinearSystem.from_control(np.eye(5, k=-1), np.eye(5)[:, :1], np.eye(5)[-1:], [[0.0]])  # x_{t-5}
    at = np.linspace(0.001, 0.5, 200)
    drawing = plot_bode(delay, at)
    np.testing.assert_allclose(curves(drawing, 1)[0], -5 * 360 * at, atol=1e-6)
    np.testing.assert_allclose(curves(drawing, 0)[0], 0, atol=1e-9)


def test_phases_of_like_systems_lie_together() -> None:
    """Just above and just below half a turn."""
    behind = LinearSystem.from_block([[0.0]], [[-1.0]], [[1.0]], [[0.0]])  # −x_{t-1}
    ahead = LinearSystem.from_block([[-1.0]], [[0.5]], [[1.0]], [[0.0]])  # −x_t + x_{t-1} / 2
    assert (
        np.angle(behind.frequency_response([0.001]).response) > 3 > -3 > np.angle(ahead.frequency_response([0.001])[1])
    )
    first, second = curves(plot_bode({"behind": behind, "ahead": ahead}), 1)
    assert abs(first[0] - second[0]) < 5


def test_bode_of_many_channels_has_a_column_an_input_and_two_rows_an_output() -> None:
    drawing = plot_bode(WIDE, inputs=["u", "v", "w"], outputs=["level", "heat"])
    assert len(drawing.axes) == 2 * 2 * 3
    assert [axes.get_title(loc="left") for axes in drawing.axes[:3]] == ["u", "v", "w"]
    assert [axes.get_ylabel() for axes in drawing.axes[::3]] == [
        "level\ngain, dB", "level\nphase, °", "heat\ngain, dB", "heat\nphase, °",
    ]  # fmt: skip
    response = WIDE.frequency_response().response
    np.testing.assert_allclose(curves(drawing, 2 * 3 * 1 + 2)[0], 20 * np.log10(abs(response[:, 1, 2])), atol=1e-9)


def test_a_channel_that_lets_nothing_through_is_empty() -> None:
    silent = LinearSystem.from_block(np.diag([1.0, 0.0]), np.zeros((2, 1)), np.ones((1, 2)), [[0.5]])
    drawing = plot_bode(silent)
    assert np.isnan(curves(drawing, 5)[0]).all() and np.isfinite(curves(drawing, 0)[0]).all()


def test_systems_of_unlike_sampling_end_at_their_own_nyquist_frequency() -> None:
    drawing = plot_bode({"slow": first_order(0.9, dt=2.0), "fast": first_order(0.9, dt=0.5)})
    lines = drawing.axes[0].lines
    assert [float(line.get_xdata()[-1]) for line in lines] == [0.25, 1.0]
    assert lines[0].get_xdata()[0] == lines[1].get_xdata()[0]


def test_poles_and_zeros_are_where_they_are() -> None:
    system = rotation(0.9, 0.3)
    drawing = plot_poles({"it": system})
    by_name = {line.get_label(): line for line in drawing.axes[0].lines}
    np.testing.assert_allclose(by_name["it, poles"].get_xdata(), system.poles().real)
    np.testing.assert_allclose(by_name["it, poles"].get_ydata(), system.poles().imag)
    np.testing.assert_allclose(by_name["it, zeros"].get_xdata(), system.zeros().real)
    circle = drawing.axes[0].lines[0]
    np.testing.assert_allclose(np.hypot(circle.get_xdata(), circle.get_ydata()), 1)
    assert drawing.axes[0].get_aspect() == 1
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["it, poles", "it, zeros"]


def test_zeros_far_outside_are_counted() -> None:
    far = LinearSystem.from_block([[1.0]], [[-30.0]], [[1.0]], [[0.0]])  # zero at 30
    axes = plot_poles(far).axes[0]
    assert "1 zero farther" in axes.get_xlabel() and axes.get_xlim()[1] < 2
    unstable = plot_poles(first_order(-4.0)).axes[0]  # poles are always drawn
    assert unstable.get_xlim()[0] < -4 and "farther" not in unstable.get_xlabel()


def test_responses_are_those_of_the_system() -> None:
    drawing = plot_response(WIDE, "impulse", time=12)
    expected = WIDE.impulse_response(12)
    for panel in range(6):
        np.testing.assert_array_equal(curves(drawing, panel)[0], expected[:, panel // 3, panel % 3])
    stepped = plot_response({"a": first_order(0.5, dt=0.1)}, time=30)
    np.testing.assert_array_equal(curves(stepped, 0)[0], first_order(0.5).step_response(30).ravel())
    assert stepped.axes[0].lines[0].get_xdata()[-1] == pytest.approx(2.9)


@pytest.mark.parametrize("pole", [0.0, 0.9, 1.0, 1.01, -1.0])
def test_a_response_is_as_long_as_it_takes(pole: float) -> None:
    steps = len(curves(plot_response(first_order(pole)), 0)[0])
    assert steps == {0.0: 10, 0.9: 46}.get(pole, 100)


def test_the_chosen_order_is_marked() -> None:
    values = [3.0, 1.0, 0.1, 0.0]
    drawing = plot_singular_values(values, chosen=2)
    kept, left, mark = drawing.axes[0].lines
    assert kept.get_ydata().tolist() == [3.0, 1.0] and left.get_ydata().tolist() == [0.1]
    assert mark.get_xdata()[0] == 2.5 and drawing.axes[0].texts[0].get_text() == "order 2"
    assert drawing.axes[0].get_yscale() == "log"
    assert not plot_singular_values(values).axes[0].texts
    plot_singular_values([0.0, 0.0]).canvas.draw()


def test_one_alone_has_no_legend() -> None:
    assert not plot_bode(first_order(0.5)).legends and not plot_response(first_order(0.5)).legends
    assert [text.get_text() for text in plot_bode(NAMED).legends[0].get_texts()] == list(NAMED)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="same inputs and outputs"):
        plot_bode({"a": WIDE, "b": first_order(0.5)})
    with pytest.raises(TypeError, match="b: not a LinearSystem"):
        plot_poles({"a": WIDE, "b": 3})  # type: ignore[dict-item]
    for nothing in ({}, [WIDE], None):
        with pytest.raises(TypeError, match="one LinearSystem, or a mapping"):
            plot_poles(nothing)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="49 panels"):
        plot_response(random_system(inputs=7, outputs=7))
    with pytest.raises(ValueError, match="2 names of inputs and 2 of outputs, expected 3 and 2"):
        plot_bode(WIDE, inputs=["a", "b"])
    with pytest.raises(ValueError, match="'step' or 'impulse'"):
        plot_response(WIDE, "ramp")
    for values in ([], [[1.0]], [-1.0], [np.nan]):
        with pytest.raises(ValueError, match="one row of numbers"):
            plot_singular_values(values)
    with pytest.raises(ValueError, match="chosen must lie between 0 and the 2"):
        plot_singular_values([1.0, 0.5], 3)


# --- bands ------------------------------------------------------------------------------------------------------------


def edges(axes: Any) -> list[tuple[Array, Array, Array]]:
    """Of every band of a panel: where, its lower and its upper edge."""
    found = []
    for strip in axes.collections:
        corners = strip.get_paths()[0].vertices
        at = np.unique(corners[:, 0])
        found.append(
            (
                at,
                np.array([corners[corners[:, 0] == one, 1].min() for one in at]),
                np.array([corners[corners[:, 0] == one, 1].max() for one in at]),
            )
        )
    return found


def unsure_gain(error: float) -> LinearSystem:
    """y_t = 2 x_t, the 2 with this standard error."""
    system = estimated(LinearSystem([[2.0]], np.zeros((1, 0)), np.zeros((0, 1)), np.zeros((0, 0))), count=1)
    assert system.estimation is not None and system.estimation.directions is not None
    along = system.estimation.directions._replace(feedthrough=np.full((1, 1, 1), error))
    return replace(system, estimation=replace(system.estimation, directions=along))


def test_the_band_of_a_gain() -> None:
    """2 ± 1.96 · 0.01, in dB: ± 20 / ln 10 · 1.96 · 0.01 / 2; its phase is sure."""
    above, below = plot_bode(unsure_gain(0.01), [0.1, 0.2, 0.4]).axes
    ((at, lower, upper),) = edges(above)
    np.testing.assert_allclose(at, [0.1, 0.2, 0.4])
    half = 20 / np.log(10) * 1.959964 * 0.005
    np.testing.assert_allclose(lower, 20 * np.log10(2) - half, rtol=1e-6)
    np.testing.assert_allclose(upper, 20 * np.log10(2) + half, rtol=1e-6)
    ((_, lower, upper),) = edges(below)
    np.testing.assert_allclose([lower, upper], 0, atol=1e-9)


def test_the_bands_of_a_response() -> None:
    axes = plot_response(SURE, "impulse", time=20).axes
    for panel in range(6):
        ((at, lower, upper),) = edges(axes[panel])
        curve = SURE.impulse_response(20)[:, panel // 3, panel % 3]
        error = SURE.standard_error(lambda system: system.impulse_response(20))[:, panel // 3, panel % 3]
        assert (
            at[-1] == 19 and lower.min() >= (curve - 1.97 * error).min() and upper.max() <= (curve + 1.97 * error).max()
        )
        np.testing.assert_allclose(lower.min(), (curve - 1.959964 * error)[:-1].min(), rtol=1e-6)


def test_ninety_five_of_a_hundred_systems_lie_in_the_bands() -> None:
    """400 draws, at one frequency: 95 % ± 3.3 % (three standard errors)."""
    at = [0.07]
    axes = plot_bode(SURE, [*at, 0.08]).axes
    (_, lower, upper), *_ = edges(axes[0])
    gains = [20 * np.log10(abs(one.frequency_response(at).response[0, 0, 0])) for one in drawn(SURE, 400)]
    assert abs(np.mean([lower[0] <= gain <= upper[0] for gain in gains]) - 0.95) < 0.033


def test_ninety_five_of_a_hundred_poles_lie_in_the_regions() -> None:
    """The ellipse of the pair, and the bar of a real pole."""
    axes = plot_poles(SURE).axes[0]
    poles = SURE.poles()
    pair, real = int(np.flatnonzero(poles.imag > 0)[0]), int(np.flatnonzero(poles.imag == 0)[0])
    middle = poles[pair].real, poles[pair].imag
    (ellipse,) = [patch.get_path() for patch in axes.patches if patch.get_path().contains_point(middle)]
    bar = axes.collections[0].get_segments()[0][:, 0]
    moved = [one.poles() for one in drawn(SURE, 400)]
    near = [[one[np.abs(one - poles[i]).argmin()] for i in (pair, real)] for one in moved]
    inside = np.mean([ellipse.contains_point((one.real, one.imag)) for one, _ in near])
    covered = np.mean([bar[0] <= one.real <= bar[1] for _, one in near])
    assert abs(inside - 0.95) < 0.033 and abs(covered - 0.95) < 0.033


def test_a_multiple_pole_has_no_region() -> None:
    jordan = LinearSystem.from_block([[0.0]], [[1.0, 0.0]], [[0.0], [1.0]], [[0.5, 1.0], [0.0, 0.5]])
    axes = plot_poles(estimated(jordan)).axes[0]
    assert not axes.patches and not axes.collections


def test_wide_bands_do_not_squeeze_the_curves() -> None:
    """A gain with a standard error of ten times itself."""
    lost = estimated(random_system(), size=3.0)
    for axes in (*plot_bode(lost).axes, *plot_response(lost).axes):
        low, high = axes.get_ylim()
        curve = np.concatenate([line.get_ydata() for line in axes.lines if len(line.get_ydata()) > 2])
        widths = [upper - lower for _, lower, upper in edges(axes)]
        assert low <= curve.min() and high >= curve.max()
        assert high - low <= 3.3 * max(np.ptp(curve), np.median(widths))


def test_endless_bands_fill_the_panel_and_leave_the_others_alone() -> None:
    """Nothing is known of what goes from the first input to the first output."""
    before = [[axes.get_ylim() for axes in draw().axes] for draw in (SURE.plot_bode, SURE.plot_response)]
    lost_one = untold(SURE, (0, 0))
    drawings = lost_one.plot_bode(), lost_one.plot_response()
    for drawing, limits, lost in zip(drawings, before, ([0, 3], [0]), strict=True):
        drawing.canvas.draw()
        for number, axes in enumerate(drawing.axes):
            ((_, lower, upper),) = edges(axes)
            if number in lost:
                inner = slice(-1)  # at the Nyquist frequency H is real, and its phase does not move
                assert (lower[inner] == axes.get_ylim()[0]).all() and (upper[inner] == axes.get_ylim()[1]).all()
                curve = axes.lines[0].get_ydata()
                assert axes.get_ylim()[0] <= curve.min() and axes.get_ylim()[1] >= curve.max()
            else:
                assert axes.get_ylim() == limits[number]


def test_a_pole_of_which_nothing_is_known_has_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SURE.pole_standard_errors()
    before = plot_poles(SURE).axes[0]
    lost = known._replace(real=np.where(SURE.poles().imag == 0, np.inf, known.real))
    monkeypatch.setattr(LinearSystem, "pole_standard_errors", lambda system: lost)
    axes = plot_poles(SURE).axes[0]
    assert len(axes.patches) == len(before.patches) > 0 and len(before.collections) > len(axes.collections) == 0


def test_a_drift_changes_no_figure_of_what_inputs_do() -> None:
    core = random_system(outputs=2)
    system = drifting(core, np.eye(2))
    for draw in (LinearSystem.plot_bode, LinearSystem.plot_response):
        for own, other in zip(draw(system).axes, draw(core).axes, strict=True):
            np.testing.assert_allclose(own.lines[0].get_xdata(), other.lines[0].get_xdata(), rtol=1e-6)
            np.testing.assert_allclose(own.lines[0].get_ydata(), other.lines[0].get_ydata(), atol=1e-6)
    shown = system.plot_singular_values().axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(shown, core.hankel_singular_values(), rtol=1e-8)


def test_the_legend_says_what_the_pale_colour_means() -> None:
    def shown(drawing: Figure) -> list[str]:
        return [text.get_text() for one in drawing.legends for text in one.get_texts()]

    assert shown(plot_bode(SURE)) == shown(plot_response(SURE)) == ["95 %"]
    assert shown(plot_bode({"model": SURE, "truth": WIDE})) == ["model", "truth", "95 %"]
    assert len(plot_bode({"model": SURE, "truth": WIDE}).axes[0].collections) == 1
    assert "95 %" in shown(plot_poles(SURE)) and "95 %" not in shown(plot_poles(WIDE))


# --- units and names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "cycles", "turns", "time"),
    [
        ({}, "frequency, cycles per step", "frequency, rad per step", "step"),
        ({"dt": 0.01}, "frequency, cycles per unit of time", "frequency, rad per unit of time", "time"),
        ({"dt": 0.01, "time_unit": "s"}, "frequency, Hz", "frequency, rad/s", "time, s"),
        ({"time_unit": "h"}, "frequency, cycles per h", "frequency, rad/h", "time, h"),
    ],
)
def test_axes_say_in_what_they_count(about: dict[str, Any], cycles: str, turns: str, time: str) -> None:
    system = replace(first_order(0.9), **about)
    assert system.plot_bode().axes[-1].get_xlabel() == cycles
    assert system.plot_bode(angular=True).axes[-1].get_xlabel() == turns
    assert system.plot_response().axes[-1].get_xlabel() == time


def test_an_angular_axis_counts_in_rad() -> None:
    at = [0.1, 0.2, 0.5]
    for drawing, scale in ((plot_bode(SURE, at), 1.0), (plot_bode(SURE, at, angular=True), 2 * np.pi)):
        np.testing.assert_allclose(drawing.axes[0].lines[0].get_xdata(), scale * np.array(at))
        np.testing.assert_allclose(edges(drawing.axes[0])[0][0], scale * np.array(at))


def test_a_system_without_a_unit_goes_along() -> None:
    timed, bare = replace(first_order(0.9), time_unit="s"), first_order(0.8)
    assert plot_bode({"a": bare, "b": timed}).axes[-1].get_xlabel() == "frequency, Hz"
    assert plot_response(bare, unit="min").axes[-1].get_xlabel() == "time, min"
    for drawn_in in (
        lambda: plot_bode({"a": timed, "b": replace(bare, time_unit="h")}),
        lambda: plot_response(timed, unit="h"),
    ):
        with pytest.raises(ValueError, match="different units of time: h, s"):
            drawn_in()


def test_panels_have_the_names_of_the_system() -> None:
    named = WIDE.with_names(["u", "v", "w"], ["level", "heat"])
    drawing = named.plot_bode(others={"truth": WIDE})
    assert [axes.get_title(loc="left") for axes in drawing.axes[:3]] == ["u", "v", "w"]
    assert drawing.axes[0].get_ylabel() == "level\ngain, dB"
    assert named.plot_response(inputs=["a", "b", "c"]).axes[0].get_title(loc="left") == "a"
    alone = first_order(0.5).with_names(["u"], ["y"]).plot_response()
    assert (alone.axes[0].get_title(loc="left"), alone.axes[0].get_ylabel()) == ("u", "y\nstep response")


# --- methods ----------------------------------------------------------------------------------------------------------


def test_methods_draw_what_the_functions_draw() -> None:
    system, other = rotation(0.9, 0.3), rotation(0.8, 0.3)
    pair = {"model": system, "truth": other}
    for method, function in (
        (system.plot_bode(others={"truth": other}), plot_bode(pair)),
        (system.plot_response("impulse", 9, others={"truth": other}), plot_response(pair, "impulse", 9)),
        (system.plot_poles(others={"truth": other}), plot_poles(pair)),
        (system.plot_bode([0.1, 0.2]), plot_bode(system, [0.1, 0.2])),
        (system.plot_singular_values(1), plot_singular_values(system.hankel_singular_values(), 1)),
    ):
        assert len(method.axes) == len(function.axes)
        for one, two in zip(method.axes, function.axes, strict=True):
            assert [line.get_label() for line in one.lines] == [line.get_label() for line in two.lines]
            for first, second in zip(one.lines, two.lines, strict=True):
                np.testing.assert_array_equal(first.get_xydata(), second.get_xydata())
    renamed = system.plot_bode(others=pair, name="own")
    assert [text.get_text() for text in renamed.legends[0].get_texts()] == ["own", "model", "truth"]
    with pytest.raises(ValueError, match="'model' names this system"):
        system.plot_bode(others={"model": other})
    with pytest.raises(ValueError, match="without states has no Hankel"):
        unsure_gain(0.1).plot_singular_values()


def test_others_come_with_names() -> None:
    """A list has none: the error says what to give."""
    system = LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.5]])
    with pytest.raises(TypeError, match=r"others is a list, expected a mapping such as"):
        system.plot_bode(others=[system])
