"""Figures of forecasts: they show the numbers they are given, nothing overlaps, and wrong input is refused."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from seqdyn.figures import MODELS, PALETTE
from seqdyn.forecasting.figures import history_length, plot_backtest, plot_fan, spread_out
from seqdyn.forecasting.naive import NaiveForecaster, SeasonalNaiveForecaster

DAYS = pd.date_range("2024-01-01", periods=12)
PAST, AHEAD = DAYS[:8], DAYS[8:]
KNOWN, MEAN = np.arange(8.0), np.arange(8.0, 12.0)
SPREAD = {0.025: MEAN - 2, 0.1: MEAN - 1, 0.9: MEAN + 1, 0.975: MEAN + 2}


def labels(drawing: Figure) -> list[str]:
    return drawing.axes[0].get_legend_handles_labels()[1]


def bands(drawing: Figure) -> list[PolyCollection]:
    return [part for part in drawing.axes[0].collections if isinstance(part, PolyCollection)]


# --- the fan


def test_a_fan_shows_the_past_the_forecast_and_its_bands() -> None:
    """Lines hold the numbers; bands are those of pairs of quantiles, the widest below the others."""
    drawing = plot_fan(PAST, KNOWN, AHEAD, MEAN, SPREAD, title="sales", unit="pieces")
    axes = drawing.axes[0]
    assert labels(drawing) == ["actual", "forecast", "95 % interval", "80 % interval"]
    assert (axes.get_title(loc="left") or axes.get_title(), axes.get_ylabel()) == ("sales", "pieces")
    actual, forecast = axes.lines[:2]
    np.testing.assert_array_equal(actual.get_ydata(), KNOWN)
    np.testing.assert_array_equal(forecast.get_ydata(), np.r_[KNOWN[-1], MEAN])  # joined to the last value
    assert to_hex(forecast.get_color()) == MODELS[0].lower() and to_hex(actual.get_color()) == PALETTE["data"]
    wide, narrow = (band.get_datalim(axes.transData).height for band in bands(drawing))
    assert wide > narrow


def test_quantiles_without_their_counterpart_are_lines() -> None:
    """A median is the forecast already; a quantile alone has a line and a name."""
    drawing = plot_fan(PAST, KNOWN, AHEAD, MEAN, {0.5: MEAN, 0.9: MEAN + 1})
    assert labels(drawing) == ["actual", "forecast", "quantile 0.9"] and not bands(drawing)


def test_a_fan_after_a_missing_value_is_not_joined() -> None:
    """Where the last value is missing the forecast begins by itself, and single values are dots."""
    known = np.r_[KNOWN[:-1], np.nan]
    axes = plot_fan(PAST, known, AHEAD, MEAN).axes[0]
    assert len(axes.lines[1].get_ydata()) == len(MEAN) and axes.lines[0].get_marker() == "."


@pytest.mark.parametrize(
    ("past", "ahead"),
    [
        (range(8), range(8, 12)),
        (pd.period_range("2020-01", periods=8, freq="M"), pd.period_range("2020-09", periods=4, freq="M")),
        (PAST.tz_localize("Europe/Berlin"), AHEAD.tz_localize("Europe/Berlin")),
    ],
)
def test_a_fan_of_any_time(past: Any, ahead: Any) -> None:
    """Numbers, periods and instants of a time zone can be drawn."""
    FigureCanvasAgg(plot_fan(past, KNOWN, ahead, MEAN, SPREAD)).draw()


def test_a_fan_without_a_past() -> None:
    """A forecaster that was loaded knows one row, or none is given: the forecast is drawn all the same."""
    FigureCanvasAgg(plot_fan([], [], AHEAD, MEAN, SPREAD)).draw()


def test_a_fan_of_other_lengths_is_refused() -> None:
    """The error names what does not fit."""
    with pytest.raises(ValueError, match=r"mean has the shape \(3,\), but there are 4 times"):
        plot_fan(PAST, KNOWN, AHEAD, MEAN[:3])
    with pytest.raises(ValueError, match=r"quantiles\[0.1\] has the shape"):
        plot_fan(PAST, KNOWN, AHEAD, MEAN, {0.1: MEAN[:2]})


def test_history_length() -> None:
    """Three horizons, three seasons, and at least 30 steps."""
    assert (history_length(24, 7), history_length(3, 24), history_length(1, 1)) == (72, 72, 30)


# --- the backtest


def backtested(windows: int, horizon: int = 4, step: int = 4) -> Any:
    """Two series, one model and two baselines which are shifted versions of it."""
    steps = np.arange(80)
    frame = pd.DataFrame({"a": np.sin(steps), "b": np.cos(steps) + 2}, pd.date_range("2024-01-01", periods=80))
    found = NaiveForecaster().backtest(frame, horizon, windows, step, level=80, baselines=None)
    others = [found.frame.assign(model=f"other_{k}", mean=found.frame["mean"] + 0.01 * k) for k in range(8)]
    found.frame = pd.concat([found.frame, *others], ignore_index=True)
    return found


def test_a_backtest_shows_origins_and_errors() -> None:
    """Left: one line an origin, and what came. Right: one line a model, named at its end."""
    found = backtested(5)
    drawing = found.plot("b")
    left, right = drawing.axes
    assert len(left.lines) == 5 + 1 and len(bands(drawing)) == 5
    assert set(labels(drawing)) == {"actual", "forecast, from •", "80 % interval"}
    own = found.frame[(found.frame["model"] == "model") & (found.frame["series"] == "b")]
    np.testing.assert_array_equal(left.lines[-1].get_ydata(), own.sort_values("time")["y"])
    np.testing.assert_array_equal(left.lines[0].get_ydata(), own["mean"][:4])
    named = {text.get_text(): to_hex(text.get_color()) for text in right.texts}
    expected = {"model": MODELS[0].lower(), "other 0": PALETTE["data"]}  # itself, and the best baseline
    assert {name: colour for name, colour in named.items() if "grey" not in name} == expected
    assert "grey: 7 more baselines" in named and len(right.lines) == 9
    by_step = found.metrics("step").loc["model"]["MASE"]
    np.testing.assert_allclose(right.lines[0].get_ydata(), by_step)
    assert "MASE" in (right.get_title(loc="left") or right.get_title())


def test_labels_of_like_models_do_not_overlap() -> None:
    """Three lines that end at the same place have names that can be read, all on the page."""
    found = backtested(3)
    found.frame = found.frame.replace({"model": {"other_5": "seasonal_naive"}})
    drawing = found.plot()
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    texts = [text for text in drawing.axes[1].texts if isinstance(text, Annotation)]
    mean = found.metrics()["MASE"].drop(["model", "seasonal_naive"])
    assert {text.get_text() for text in texts} == {"model", mean.idxmin().replace("_", " "), "seasonal naive"}
    extents = [super(Annotation, text).get_window_extent(canvas.get_renderer()) for text in texts]
    for number, extent in enumerate(extents):
        assert drawing.bbox.y0 <= extent.y0 and extent.y1 <= drawing.bbox.y1 and extent.x1 <= drawing.bbox.x1
        assert not any(extent.overlaps(other) for other in extents[:number]), texts[number].get_text()


def test_a_hopeless_baseline_flattens_nothing() -> None:
    """The axis is made for the lines that have a name; a grey one may leave it."""
    found = backtested(3)
    found.frame.loc[found.frame["model"] == "other_7", "mean"] += 1000
    right = found.plot().axes[1]
    by_step = found.metrics("step")["MASE"]
    named = by_step.loc[["model", "other_0"]].max()
    assert named < right.get_ylim()[1] <= 1.2 * named < by_step.loc["other_7"].min()


def test_units_stand_at_the_axes() -> None:
    """The unit of the values on the left; MASE has none."""
    found = backtested(2)
    left, right = plot_backtest(found.frame, found.metrics("step"), unit="ppm").axes
    assert (left.get_ylabel(), right.get_ylabel(), right.get_xlabel()) == ("ppm", "", "steps ahead")


def test_overlapping_windows_have_no_bands() -> None:
    """Where forecasts overlap, neighbours have two colours and no bands that would cover each other."""
    drawing = backtested(4, step=2).plot()
    colours = {to_hex(line.get_color()) for line in drawing.axes[0].lines[:-1]}
    assert len(colours) == 2 and not bands(drawing)


def test_one_step_is_a_dot() -> None:
    """A horizon of one has one tick, at one."""
    right = backtested(3, horizon=1).plot().axes[1]
    assert list(right.get_xticks()) == [1] and right.lines[0].get_marker() == "o"


def test_a_series_that_is_not_there() -> None:
    """The error says which there are."""
    found = backtested(2)
    with pytest.raises(ValueError, match=r"series must be one of \['a', 'b'\], got 'c'"):
        plot_backtest(found.frame, found.metrics("step"), "c")


@pytest.mark.parametrize("wanted", [[0.0], [0.5, 0.5, 0.5], [0.0, 0.1, 0.9], [0.3, 0.31, 0.32, 0.33]])
def test_spread_out(wanted: list[float]) -> None:
    """Places keep their order and distance, and their mean where all touch."""
    found = spread_out(np.array(wanted), 0.1)
    assert (np.diff(found) >= 0.1 - 1e-12).all()
    np.testing.assert_allclose(found.mean(), np.mean(wanted))


def test_drawing_changes_no_setting() -> None:
    """No global setting of matplotlib changes."""
    before = dict(matplotlib.rcParams)
    plot_fan(PAST, KNOWN, AHEAD, MEAN, SPREAD)
    backtested(2).plot()
    assert dict(matplotlib.rcParams) == before


def test_every_forecaster_draws_its_fan() -> None:
    """Baselines, too; a series that is not there is named."""
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    frame = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60.0) % 7}, days)
    model = SeasonalNaiveForecaster().fit(frame)
    drawing = model.plot(14, level=80, series="b", history=20)
    assert drawing.axes[0].get_legend_handles_labels()[1] == ["actual", "forecast", "80 % interval"]
    with pytest.raises(ValueError, match="no series 'c'"):
        model.plot(3, series="c")
