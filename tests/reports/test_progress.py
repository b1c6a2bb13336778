"""Progress of reports and comparisons: bars, callbacks that stop them, and what they show of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seqdyn import (
    GRU,
    ARXRegressor,
    LinearStateSpaceRegressor,
    MovingAverageRegressor,
    StabilityReport,
    assert_stable,
    compare,
    compare_models,
    stability_report,
)
from seqdyn.progress import Progress
from seqdyn.reports.stability.themes import THEMES

SECTIONS = len(THEMES)


def measured(**options: Any) -> StabilityReport:
    """A small report."""
    generator = torch.Generator().manual_seed(0)
    cell, x = GRU(2, 4, generator=generator), torch.randn(6, 40, 2, generator=generator)
    return stability_report(cell, x, required_lag=5, **{"tier": "fast"} | options)


def stopping_after(count: int, seen: list[Progress] | None = None) -> Any:
    """A callback that stops the work after so many units."""

    def callback(progress: Progress) -> bool:
        if seen is not None:
            seen.append(progress)
        return progress.done == count

    return callback


def record(seed: int, rows: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A linear system of first order with noise."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 1))
    return x, np.convolve(x[:, 0], 0.8 ** np.arange(30))[:rows] + 0.1 * generator.normal(size=rows)


def test_a_callback_sees_every_section_of_a_report() -> None:
    """In the order of the page; an answer that is not true changes nothing, to the last byte."""
    seen: list[Progress] = []
    report = measured(callback=stopping_after(0, seen))
    assert [one.detail for one in seen] == [theme.title for theme in THEMES]
    assert [(one.what, one.unit, one.done, one.total) for one in seen] == [
        ("report", "section", done, SECTIONS) for done in range(1, SECTIONS + 1)
    ]
    assert report.to_json() == measured().to_json()


@pytest.mark.parametrize("count", range(1, SECTIONS))
def test_a_report_that_was_stopped_has_what_was_measured(count: int) -> None:
    """Every section up to there is that of a whole report, the others are missing, and every export works."""
    whole, report = measured(), measured(callback=stopping_after(count))
    measured_until, left = THEMES[:count], THEMES[count:]
    for theme in measured_until:
        assert report.content[theme.name] == whole.content[theme.name]
    told = report.content["subject"]["not_computed"]
    assert [f"{theme.title.lower()}: the report was stopped" for theme in left] == told[-len(left) :]
    assert report.verdict == (whole.verdict if count > 1 else "INCONCLUSIVE")
    assert report.verdict in str(report) and report.verdict in report.to_html(minimal=True)
    assert StabilityReport.from_json(report.to_json()).to_json() == report.to_json()
    assert len(report.to_frame()) <= len(whole.to_frame()) and set(report.to_xarray()) <= set(whole.to_xarray())


def test_a_report_stopped_before_the_gradient_advises_to_finish_it() -> None:
    report = measured(callback=stopping_after(1))
    assert report.reason == "The report was stopped before the gradient was measured." and report.exit_code == 2
    assert report.recommendations == ["Let the report run to its end: the gradient over 5 steps was not measured."]
    with pytest.raises(AssertionError, match="was stopped"):
        assert_stable(GRU(2, 4), torch.zeros(6, 40, 2), required_lag=5, callback=stopping_after(1))


@pytest.mark.parametrize("verbose", [True, 1, 2])
def test_a_bar_is_shown_on_request_only(verbose: bool | int, capsys: pytest.CaptureFixture[str]) -> None:
    measured()
    assert capsys.readouterr() == ("", "")
    measured(verbose=verbose)
    shown = capsys.readouterr()
    assert shown.out == "" and "report" in shown.err and f"{SECTIONS}/{SECTIONS}" in shown.err


def test_a_comparison_that_was_stopped_has_the_models_until_then(capsys: pytest.CaptureFixture[str]) -> None:
    """The same numbers as those of a whole comparison; without a nonlinear model nothing is decided."""
    models = {"linear": LinearStateSpaceRegressor(order=1), "average": MovingAverageRegressor(window=5)}
    seen: list[Progress] = []
    options: dict[str, Any] = {"models": models, "horizons": (1,), "window": 20, "seeds": 1}
    stopped = compare_models(*record(0), callback=stopping_after(1, seen), **options)
    assert [str(one).startswith("compare: model 1 of 2, linear") for one in seen] == [True]
    assert list(stopped.runs) == ["linear"] and stopped.verdict == "Not decided: no nonlinear model could be compared."
    whole = compare_models(*record(0), verbose=1, **options)
    assert "2/2" in capsys.readouterr().err
    assert stopped.error("linear") == whole.error("linear")
    assert "linear" in repr(stopped) and "<table" in stopped._repr_html_() and "Not decided" in stopped._repr_html_()


def test_fitted_models_are_compared_until_the_callback_stops() -> None:
    models = {name: ARXRegressor(output_lags=1, input_lags=1).fit(*record(0)) for name in ("one", "<b>other</b>")}
    assert list(compare(models, *record(1), callback=stopping_after(1)).predictions) == ["one"]
    fits = compare(models, *record(1))
    assert list(fits.predictions) == list(models) and fits.summary() == repr(fits)
    page = fits._repr_html_()
    assert "&lt;b&gt;other" in page and "<b>other" not in page and "Free run, scored on" in page


def test_a_report_shows_itself_in_one_line_and_in_a_notebook() -> None:
    report = measured()
    assert (
        repr(report)
        == f"StabilityReport(verdict={report.verdict}, severity={report.severity}, model=GRU, required_lag=5)"
    )
    assert report.summary() == str(report)
    report.content["subject"]["model"] = "<script>"
    page = report._repr_html_()
    assert page.startswith("<table") and "&lt;script&gt;" in page and "<script>" not in page
    assert report.verdict in page and "checks passed" in page
