"""Figures of linear systems: they show the numbers of the systems, nothing overlaps, and wrong input is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from seqdyn.identification.figures import plot_bode, plot_poles, plot_response, plot_singular_values
from seqdyn.identification.system import LinearSystem
from tests.identification.test_analysis import first_order, rotation
from tests.identification.test_system import random_system

Array = np.ndarray[Any, Any]

WIDE = random_system(order=4, inputs=3, outputs=2)
NAMED = {"the true one": rotation(0.9, 0.3), "GRU at rest": rotation(0.85, 0.35), "linear": rotation(0.8, 0.3)}

DRAWN = {
    "bode": lambda: plot_bode(rotation(0.9, 0.3)),
    "bode of several": lambda: plot_bode(NAMED, unit="h"),
    "bode of many channels": lambda: plot_bode({"one": WIDE, "other": WIDE}, inputs=["valve", "heater", "ambient"]),
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
