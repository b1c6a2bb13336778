"""Forecasters say how far they are, may be ended, and show what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import seqdyn
from seqdyn import (
    AutoForecaster,
    AutoRegForecaster,
    CombinedForecaster,
    ConformalForecaster,
    DeseasonalisedNaiveForecaster,
    DriftForecaster,
    ExponentialSmoothingForecaster,
    Forecaster,
    GRURegressor,
    MovingAverageForecaster,
    Naive2Forecaster,
    NaiveForecaster,
    RidgeForecaster,
    SeasonalNaiveForecaster,
    SmoothingForecaster,
    ThetaForecaster,
)
from seqdyn.forecasting.contract import PanelForecaster
from seqdyn.forecasting.search import grid_search
from seqdyn.progress import Progress
from seqdyn.registry import named_class

KINDS: list[type[PanelForecaster]] = [
    AutoForecaster,
    AutoRegForecaster,
    CombinedForecaster,
    ConformalForecaster,
    DeseasonalisedNaiveForecaster,
    DriftForecaster,
    ExponentialSmoothingForecaster,
    Forecaster,
    MovingAverageForecaster,
    NaiveForecaster,
    RidgeForecaster,
    SeasonalNaiveForecaster,
    SmoothingForecaster,
    ThetaForecaster,
]
MEMBERS = {"naive": NaiveForecaster(), "drift": DriftForecaster(), "mean": MovingAverageForecaster(window=3)}
TINY = GRURegressor(hidden_size=2, max_epochs=2, random_state=0)


def days(rows: int = 60, series: int = 1) -> pd.DataFrame:
    """Weeks with noise."""
    rng = np.random.default_rng(0)
    values = 20 + 5 * np.sin(np.arange(rows) * 2 * np.pi / 7)[:, None] + rng.normal(size=(rows, series))
    return pd.DataFrame(values, pd.date_range("2024-01-01", periods=rows, name="ds"), list("abcdef")[:series])


class Record:
    """A callback that keeps what it is told, and asks to stop after some units of one kind of work."""

    def __init__(self, what: str = "", stop: int = 0):
        self.what, self.stop, self.seen = what, stop, list[Progress]()

    def __call__(self, progress: Progress) -> bool:
        self.seen.append(progress)
        return progress.what == self.what and progress.done >= self.stop

    def of(self, what: str) -> list[tuple[int, int | None, str]]:
        return [(own.done, own.total, own.unit) for own in self.seen if own.what == what]


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_documented(kind: type[PanelForecaster]) -> None:
    doc = kind.__doc__ or ""
    section = doc[doc.index("Parameters\n") : doc.find("\n\n    References")]
    named = {name.strip() for line in section.splitlines() if " : " in line for name in line.split(" : ")[0].split(",")}
    assert set(kind().get_params(deep=False)) <= named, set(kind().get_params(deep=False)) - named
    assert ("does not use past, future or static" in " ".join(doc.split())) == (kind.used_covariates == ())


def test_naive2_is_a_name_of_the_deseasonalised_naive_forecaster() -> None:
    assert Naive2Forecaster is DeseasonalisedNaiveForecaster
    for old in ("Naive2Forecaster", "Setting", "Plan", "Inputs"):
        assert named_class(old).__module__.startswith("seqdyn.forecasting.")


def test_a_backtest_counts_models_or_origins() -> None:
    record = Record()
    NaiveForecaster().backtest(days(), 3, 4, baselines=["drift"], callback=record)
    assert record.of("backtest") == [(1, 2, "model"), (2, 2, "model")]
    assert [own.detail for own in record.seen] == ["model", "drift"]
    record = Record()
    NaiveForecaster(callback=record).backtest(days(), 3, 4, baselines=None, refit=True)
    assert record.of("backtest") == [(done, 4, "origin") for done in (1, 2, 3, 4)]


def test_an_ended_backtest_keeps_what_was_forecast() -> None:
    whole = NaiveForecaster().backtest(days(), 3, 4, refit=True, baselines=None)
    part = NaiveForecaster().backtest(days(), 3, 4, refit=True, baselines=None, callback=Record("backtest", 2))
    pd.testing.assert_frame_equal(part.frame, whole.frame.iloc[: len(part.frame)])
    assert part.frame["cutoff"].nunique() == 2 and "ended after 2 of 4" in part.notes[-1]
    assert part.metrics().loc["model", "n"] == 6


def test_a_search_is_watched_and_may_end() -> None:
    record, grid = Record("search", 2), {"season_length": [1, 2, 7]}
    found = grid_search(SeasonalNaiveForecaster(), grid, days(), 7, metric="MAE", callback=record)
    assert record.of("search") == [(1, 3, "candidate"), (2, 3, "candidate")] and len(found.table) == 2
    assert "7" not in found.table["season_length"].tolist() and "<table" in found._repr_html_()
    whole = SeasonalNaiveForecaster().search(grid, days(), 7, metric="MAE")
    assert whole.best_params == {"season_length": 7} and len(whole.table) == 3


def test_an_ended_comparison_weighs_the_candidates_so_far() -> None:
    record = Record("compare", 5)
    model = AutoForecaster(network=None, callback=record).fit(days(80))
    assert len(record.of("compare")) == 5 == len(model.choices_) and "ended after 5 of" in model.notes_[-1]
    np.testing.assert_allclose(model.weights_.sum(axis=1), 1.0)
    assert np.isfinite(model.forecast(3).to_numpy()).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_trainings_of_a_forecaster_are_counted() -> None:
    record = Record()
    Forecaster(TINY, callback=record).fit(days())
    assert record.of("fit")[-1] == (2, 2, "training")
    model = Forecaster(TINY, callback=Record("fit", 1)).fit(days())
    assert model.plan_.share == 0.0 and np.isfinite(model.forecast(2).to_numpy()).all()


def test_members_series_and_calibrations_are_counted() -> None:
    record = Record()
    CombinedForecaster(models=MEMBERS, callback=record).fit(days())
    assert record.of("fit") == [(done, 3, "member") for done in (1, 2, 3)]
    record = Record()
    ConformalForecaster(NaiveForecaster(), horizon=2, callback=record).fit(days())
    assert record.of("calibrate") == [(1, 2, "fit"), (2, 2, "fit")]
    record = Record("fit", 2)
    with pytest.warns(UserWarning, match="ended before it"):
        model = ExponentialSmoothingForecaster(callback=record).fit(days(40, 3))
    assert record.of("fit") == [(1, 3, "series"), (2, 3, "series")]
    assert model.forecast(1)["c"].item() == days(40, 3)["c"].iloc[-1]


def test_an_ended_combination_has_the_members_so_far() -> None:
    model = CombinedForecaster(models=MEMBERS, callback=Record("fit", 2)).fit(days())
    assert list(model.members_) == ["naive", "drift"] == list(model.weights_.columns)
    np.testing.assert_allclose(model.weights_, 0.5)


def test_bars_are_shown_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    NaiveForecaster().backtest(days(), 3, 2, baselines=None)
    assert capsys.readouterr() == ("", "")
    NaiveForecaster(verbose=1).backtest(days(), 3, 2, baselines=None, refit=True)
    shown = capsys.readouterr()
    assert shown.out == "" and "backtest" in shown.err


def test_a_callback_is_left_out_of_a_file(tmp_path: Any) -> None:
    model = NaiveForecaster(callback=print, verbose=2).fit(days())
    model.save(tmp_path / "model.safetensors")
    read = seqdyn.load(tmp_path / "model.safetensors", NaiveForecaster)
    assert read.callback is None and read.verbose == 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SeasonalNaiveForecaster(season_length=7), "season=7"),
        (lambda: AutoForecaster(network=None), "weights={"),
        (lambda: CombinedForecaster(models=MEMBERS), "weights={"),
        (lambda: ConformalForecaster(NaiveForecaster(), horizon=2), "calibration="),
        (lambda: Forecaster(TINY), "network="),
    ],
)
def test_what_a_forecaster_shows(make: Callable[[], PanelForecaster], said: str) -> None:
    plain = make()
    assert repr(plain).startswith(f"{type(plain).__name__}(") and "fitted" not in repr(plain)
    fitted = plain.fit(days().set_axis(["<b>"], axis=1))
    assert said in repr(fitted) and "until=2024-02-29" in repr(fitted)
    several = make().fit(days(60, 2).set_axis(["<b>", "&"], axis=1))
    html = several._repr_html_()
    assert html.startswith("<table>") and "&lt;b&gt;" in html and "<b>" not in html


def test_what_a_backtest_shows() -> None:
    found = NaiveForecaster().backtest(days(60, 2), 3, 2)
    assert "series" in repr(found) and found.verdict() in repr(found)
    html = found._repr_html_()
    assert html.count("<table") == 2 and "seasonal_naive" in html
