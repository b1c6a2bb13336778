"""The motion report: its verdicts, its forms, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqdyn import ARXRegressor, LinearStateSpaceRegressor, MotionModel, MotionReport, motion_report
from seqdyn.dynamics import limit_cycle, neurons
from seqdyn.motion import rhythm
from seqdyn.progress import Progress
from tests.motion.conftest import RATE, made

START = made(1, 50, 5).angles[0, :20]


@pytest.fixture(scope="module")
def report(circling: MotionModel) -> MotionReport:
    return motion_report(circling, [1.0], START, steps=300, starts=16)


def test_a_stable_cycle_is_found(circling: MotionModel, report: MotionReport) -> None:
    """The numbers are those of the instruments."""
    assert (report.verdict, report.severity, report.exit_code) == ("LIMIT CYCLE", "PASS", 0)
    assert report.passed(fail_on="warn")
    cycle = limit_cycle(circling.autonomous([1.0]), dt=1 / RATE)
    assert report.content["cycle"]["frequency"] == pytest.approx(cycle.frequency, rel=1e-6)
    assert report.content["cycle"]["residual"] <= 1e-8
    free = rhythm(circling.free_run([1.0], START, 300).isel(time=slice(150, None)))
    assert report.content["rhythm"]["frequency"] == pytest.approx(free.frequency, rel=1e-6)
    assert abs(report.content["exponents"]["values"][0]) < 0.2
    assert report.content["points"]["stable"] == 0


def test_what_a_neuron_does_is_what_holding_it_does(circling: MotionModel, report: MotionReport) -> None:
    table = report.neurons()
    assert list(table.index) == neurons(circling.cell_) and list(table.columns) == ["hip", "knee", "frequency"]
    run = circling.run([1.0], START, 300, record=lambda x, before, output, after: after.inner.inner.h)
    held = circling.steer({"h[4]": float(run.record[0, 150:, 4].mean())}, [1.0], START, 300)
    found, free = (rhythm(part.isel(time=slice(150, None))) for part in (held, run.angles))
    expected = (found.amplitude - free.amplitude) / free.amplitude.max()
    np.testing.assert_allclose(table.loc["h[4]", ["hip", "knee"]].to_numpy(dtype=float), expected, atol=1e-4)


def test_it_fits_on_two_screens_and_says_the_verdict_first(report: MotionReport) -> None:
    lines = str(report).splitlines()
    assert lines[0].startswith("LIMIT CYCLE (PASS)") and len(lines) <= 80
    assert max(map(len, lines)) <= 200
    assert repr(report).startswith("MotionReport(verdict=LIMIT CYCLE, severity=PASS, model=MotionModel(")


def test_all_forms_say_the_same(report: MotionReport, tmp_path: Path) -> None:
    content = json.loads(report.to_json(tmp_path / "motion.json"))
    assert content["cycle"]["frequency"] == report.content["cycle"]["frequency"]
    frame = report.to_frame().set_index(["section", "name", "number"])["value"]
    assert frame["rhythm", "frequency", 0] == report.content["rhythm"]["frequency"]
    page = report.to_html(tmp_path / "motion.html")
    assert "LIMIT CYCLE" in page and "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")
    assert len(report.plot().axes) == 5
    assert list(report.checks.index) == ["stays", "closed", "stable", "agrees", "comes back"]
    assert report.to_html(minimal=True).count("<img") == 0


def test_two_motions_are_compared(report: MotionReport) -> None:
    """Nothing changes beside itself; another frequency and a check that fails are told, with joints by name."""
    assert str(report.compare(report)).splitlines()[:2] == ["Still LIMIT CYCLE.", "No check changed its status."]
    content = json.loads(json.dumps(report.content, default=str))
    content["rhythm"]["frequency"] *= 2
    content["checks"][0]["status"] = "FAIL"
    other = MotionReport(content)
    difference = report.compare(other)
    assert [(one["id"], one["before"], one["after"]) for one in difference["checks"]] == [("stays", "PASS", "FAIL")]
    frame = difference.to_frame().set_index("quantity")
    assert frame.loc["frequency", "difference"] == report.content["rhythm"]["frequency"]
    joint = report.content["subject"]["joints"][0]
    assert frame.loc[f"{joint}: amplitude", "before"] == report.content["rhythm"]["amplitude"][0]
    assert "LIMIT CYCLE → LIMIT CYCLE" in difference.to_html()


def test_a_model_that_rests_is_said_to_rest() -> None:
    """A damped turn."""
    turn = np.exp(-0.05 * np.arange(300)) * np.cos(2 * np.pi * np.arange(300) / 20)
    model = MotionModel(ARXRegressor(input_lags=1, output_lags=0), rate=20.0).fit(None, turn[:, None])
    report = motion_report(model, None, turn[:20, None], steps=400, starts=4)
    assert (report.verdict, report.severity) == ("AT REST", "WARN")
    assert report.content["points"]["stable"] == 1 and not report.content["cycle"]["found"]
    assert "AT REST" in report.to_html(minimal=True)


def test_a_model_that_diverges_is_said_to_diverge() -> None:
    grows = 1e-3 * 1.5 ** np.arange(20)[:, None]
    model = MotionModel(ARXRegressor(output_lags=0), rate=10.0).fit(None, grows)
    report = motion_report(model, None, grows[:10], steps=3000)
    assert (report.verdict, report.exit_code) == ("DIVERGES", 1)
    assert str(report).startswith("DIVERGES (FAIL)") and "DIVERGES" in report.to_html()
    assert len(report.plot().axes) >= 4
    assert len(report.joints()) == 0 and len(report.neurons()) == 0


def test_a_model_that_leaves_slowly_diverges_and_one_without_memory_has_no_neurons() -> None:
    """An echo of itself that grows by 0.2 % a step is no chaos."""
    turn = 2 * np.pi * np.arange(300) / RATE
    grows = 1e-3 * 1.002 ** np.arange(300)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    model = MotionModel(ARXRegressor(output_lags=0, input_lags=0), rate=RATE).fit(None, 100 * grows)
    report = motion_report(model, None, 100 * grows[:50], steps=100, starts=4)
    assert report.verdict in ("DIVERGES", "NOT CLOSED") and not report.passed()
    assert report.content["neurons"] is None and "Neurons" not in str(report)
    assert (len(report.plot().axes) >= 4 and "DIVERGES" in report.to_html()) or report.verdict == "NOT CLOSED"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"drive": [5.0]}, "outside"),
        ({"drive": np.ones((550, 1))}, "constant drive is 1 finite"),
        ({"steps": 10}, "steps"),
        ({"starts": 0}, "starts"),
        ({"steps": 40}, "less than two turns"),
        ({"start": START[:3]}, "warm-up"),
    ],
)
def test_what_cannot_be_reported_is_named(circling: MotionModel, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        motion_report(circling, **{"drive": [1.0], "start": START} | arguments)


def test_other_models_are_refused() -> None:
    with pytest.raises(TypeError, match="MotionModel, got LinearStateSpaceRegressor"):
        motion_report(LinearStateSpaceRegressor())  # type: ignore[arg-type]


@pytest.mark.parametrize("count", range(1, 5))
def test_a_report_that_was_stopped_has_what_was_measured(
    circling: MotionModel, report: MotionReport, count: int
) -> None:
    """The sections until then are those of a whole report; all exports work, and nothing is said of the rest."""
    seen: list[str] = []

    def callback(progress: Progress) -> bool:
        seen.append(progress.detail)
        return progress.done == count

    stopped = motion_report(circling, [1.0], START, steps=300, starts=16, callback=callback)
    assert seen == ["cycle", "exponents", "points", "neurons", "back"][:count]
    for name in ("cycle", "exponents", "points", "neurons", "back"):
        assert (stopped.content[name] is not None) == (name in seen)
    assert stopped.content["cycle"]["frequency"] == pytest.approx(report.content["cycle"]["frequency"], rel=1e-9)
    assert stopped.verdict == "LIMIT CYCLE" and list(stopped.checks.index) == ["stays", "closed", "stable", "agrees"]
    assert "comes back" not in str(stopped) and "LIMIT CYCLE" in stopped.to_html()
    assert MotionReport.from_json(stopped.to_json()).to_json() == stopped.to_json()
    assert set(stopped.to_frame()["section"]) == {"rhythm", *seen} - {"neurons"} and stopped.plot().axes
    assert "LIMIT CYCLE" in stopped._repr_html_() and str(report.compare(stopped))
