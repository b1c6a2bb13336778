"""AutoForecaster: what a statistician expects of it, series by series, and the parts that it is made of."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pandas as pd
import pytest

import seqdyn
from seqdyn import AutoForecaster, Forecaster, GRURegressor, NaiveForecaster
from seqdyn.data.panel_reading import read_panel
from seqdyn.forecasting.candidates import candidate_forecasters
from seqdyn.forecasting.error_growth import ErrorGrowth
from seqdyn.forecasting.holdout import Holdout
from seqdyn.forecasting.seasons import season_lengths, seasonal_indices_of
from seqdyn.forecasting.weighing import leaning, weights

Array = np.ndarray


def series(values: Array, freq: str = "MS", name: str = "y") -> pd.Series:
    return pd.Series(values, pd.date_range("2010-01-01", periods=len(values), freq=freq), name=name)


def airline(seed: int, rows: int = 144) -> Array:
    t = np.arange(rows)
    noise = 0.03 * np.random.default_rng(seed).normal(size=rows)
    return np.exp(4.8 + 0.01 * t + 0.15 * np.sin(2 * np.pi * t / 12) + noise)


def long(rows: list[Array]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"unique_id": f"s{i}", "ds": pd.date_range("2010-01-01", periods=len(y), freq="MS"), "y": y})
        for i, y in enumerate(rows)
    ]
    return pd.concat(parts, ignore_index=True)


def auto(**options: object) -> AutoForecaster:
    return AutoForecaster(network=None, **options)


# ---------------------------------------------------------------- what a statistician expects

T = np.arange(144)
EXACT = {
    "straight line": (5 + 0.3 * T, "MS"),
    "falling line": (100 - 0.5 * T, "MS"),
    "growth of 1 %": (100 * 1.01**T, "MS"),
    "decay of 3 %": (100 * 0.97**T, "MS"),
    "constant": (np.full(144, 7.0), "MS"),
    "zeros": (np.zeros(144), "MS"),
    "sine of 7 days": (10 + 3 * np.sin(2 * np.pi * T / 7), "D"),
    "sine of 11 days": (10 + 3 * np.sin(2 * np.pi * T / 11), "D"),
    "sine of 12.5 days": (10 + 3 * np.sin(2 * np.pi * T / 12.5), "D"),
    "line and season": (50 + 0.2 * T + np.tile([3.0, -1, 4, -1, 5, -9, 2, 6, -5, 3, -5, -2], 12), "MS"),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_follows_a_rule_is_continued_by_it(name: str) -> None:
    values, freq = EXACT[name]
    y = series(values, freq)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = auto().fit(y[:-24]).forecast(24, level=80)
    assert np.abs(found["mean"] - y[-24:]).max() <= 0.01 * np.abs(y).max()
    assert (found["0.1"] <= found["mean"]).all() and (found["mean"] <= found["0.9"]).all()
    assert (found["0.1"] < found["0.9"]).all()


def test_a_random_walk_stays_where_it_is_and_noise_returns_to_its_mean() -> None:
    rng = np.random.default_rng(0)
    walk, noise = 100 + np.cumsum(rng.normal(size=(200, 30)), axis=0), 100 + rng.normal(size=(200, 30))
    days = pd.date_range("2020-01-01", periods=200, freq="D")
    for values, simple in ((walk, walk[-11]), (noise, noise[:-10].mean(axis=0))):
        frame = pd.DataFrame(values, days)
        found = auto().fit(frame[:-10]).forecast(10, level=80)
        mean = found.xs("mean", axis=1, level=1).to_numpy()
        best = np.abs(values[-10:] - simple).mean()
        assert np.abs(values[-10:] - mean).mean() < 1.05 * best
        inside = (found.xs("0.1", axis=1, level=1) <= values[-10:]) & (values[-10:] <= found.xs("0.9", axis=1, level=1))
        held = inside.to_numpy().mean(axis=0)
        assert abs(held.mean() - 0.8) < 4 * held.std() / np.sqrt(30)


def test_seasons_with_growth_are_as_good_as_their_own_noise() -> None:
    rows = [airline(seed, 156) for seed in range(12)]
    found = auto().fit(long([y[:-12] for y in rows])).forecast(12, level=80)
    truth = np.concatenate([y[-12:] for y in rows])
    assert np.abs(found["mean"] / truth - 1).mean() < 1.25 * 0.03 * np.sqrt(2 / np.pi)
    assert 0.68 < ((found["0.1"] <= truth) & (truth <= found["0.9"])).mean() < 0.92


def test_intermittent_demand_is_forecast_near_its_mean_and_never_below_zero() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.binomial(1, 0.3, 132) * rng.poisson(5, 132) * 1.0 for _ in range(20)]
    found = auto().fit(long([y[:-12] for y in rows])).forecast(12, level=[80, 95])
    truth = np.concatenate([y[-12:] for y in rows])
    flat = np.repeat([y[:-12].mean() for y in rows], 12)
    assert np.abs(truth - found["mean"]).mean() < 1.03 * np.abs(truth - flat).mean()
    assert (found[["mean", "0.025", "0.1"]] >= 0).all(axis=None)
    assert 0.72 < ((found["0.1"] <= truth) & (truth <= found["0.9"])).mean() <= 1


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 14])
def test_the_shortest_series_have_a_forecast_and_an_interval(rows: int) -> None:
    y = np.array([3.0, 5, 4, 6, 5, 7, 4, 6, 5, 8, 6, 7, 5, 9])[:rows]
    model = auto().fit(series(y))
    with pytest.warns(UserWarning, match="Intervals are guesses") if rows < 3 else contextlib.nullcontext():
        found = model.forecast(4, level=80)
    assert found.notna().all(axis=None)
    assert (found["0.1"] < found["0.9"]).all()
    assert found["mean"].between(0, 15).all()


def test_an_unknown_season_is_found_and_the_frequency_kept_where_it_is_right() -> None:
    rng = np.random.default_rng(2)
    pattern = rng.normal(size=10)
    y = series(20 + np.tile(pattern, 20) * 3 + 0.3 * rng.normal(size=200), "D")
    model = auto().fit(y[:-20])
    assert model.seasons_ == (10,)
    assert any("season 10 is taken" in note for note in model.notes_)
    assert auto().fit(series(airline(0))).seasons_ == (12,)
    assert auto(season_length=(7, 10)).fit(y[:-20]).seasons_ == (7, 10)


@pytest.mark.parametrize(("rows", "seasonal"), [(16, False), (24, True), (40, True)])
def test_intervals_of_short_series_hold_about_what_they_say(rows: int, seasonal: bool) -> None:
    """80 % intervals, six months ahead, of noise or of a season with noise: one series at a time."""
    rng = np.random.default_rng(rows)
    inside, error, simple = [], [], []
    for _ in range(14):
        season = 20 * np.sin(np.arange(rows + 6) * np.pi / 6) if seasonal else 0.0
        y = 100 + season + 10 * rng.normal(size=rows + 6)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Intervals are guesses")
            found = auto(horizon=6).fit(series(y[:rows])).forecast(6, level=80)
        inside.append(((found["0.1"] <= y[rows:]) & (y[rows:] <= found["0.9"])).mean())
        error.append(np.abs(y[rows:] - found["mean"]).mean())
        simple.append(np.abs(y[rows:] - y[:rows].mean()).mean())
    assert 0.65 < np.mean(inside) <= 0.97
    assert np.mean(error) < (1.0 if seasonal else 1.25) * np.mean(simple)


# ---------------------------------------------------------------- the whole


@pytest.fixture(scope="module")
def monthly() -> tuple[pd.Series, AutoForecaster]:
    y = series(airline(3))
    return y, auto(horizon=12).fit(y[:132])


def test_weights_are_shares_and_the_summary_says_them(monthly: tuple[pd.Series, AutoForecaster]) -> None:
    _, model = monthly
    assert np.allclose(model.weights_.sum(axis=1), 1) and (model.weights_ >= 0).all(axis=None)
    assert np.isclose(model.choices_["weight"].sum(), 1)
    text = model.summary()
    assert len(text.splitlines()) <= 24 and all(len(line) <= 140 for line in text.splitlines())
    for name in model.weights_.columns:
        assert name in text


def test_update_goes_on_without_a_new_fit(monthly: tuple[pd.Series, AutoForecaster]) -> None:
    y, _ = monthly
    model = auto(horizon=12).fit(y[:132])
    before = model.weights_.copy()
    whole = model.backtest(y, 6, 1, baselines=None).frame[["mean"]].to_numpy()[:, 0]
    model.update(y[132:135]).update(y[135:138])
    np.testing.assert_allclose(model.forecast(6), whole, rtol=1e-9)
    assert model.weights_.equals(before)


def test_forecasting_changes_nothing_and_a_longer_one_begins_alike(monthly: tuple[pd.Series, AutoForecaster]) -> None:
    _, model = monthly
    first = model.forecast(18, level=80)
    assert model.forecast(18, level=80).equals(first)
    np.testing.assert_allclose(model.forecast(5, level=80), first[:5], rtol=1e-12)


def test_files_hold_everything_but_the_panel_once(monthly, tmp_path) -> None:
    y, model = monthly
    model.save(tmp_path / "auto.safetensors")
    again = seqdyn.load(tmp_path / "auto.safetensors")
    assert again.forecast(12, level=80).equals(model.forecast(12, level=80))
    assert again.summary() == model.summary()
    twin = auto(horizon=12).fit(y[:132]).update(y[132:134])
    assert again.update(y[132:134]).forecast(3).equals(twin.forecast(3))
    assert (tmp_path / "auto.safetensors").stat().st_size < 2_000_000


def test_every_layout_has_the_same_forecast() -> None:
    y = series(airline(4, 72))
    frame = long([y.to_numpy()])
    as_series = auto().fit(y).forecast(4)
    as_long = auto().fit(frame).forecast(4)["mean"]
    as_wide = auto().fit(pd.DataFrame({"a": y})).forecast(4)["a"]
    as_index = auto().fit(frame.set_index(["unique_id", "ds"])).forecast(4)["mean"]
    for other in (as_long, as_wide, as_index):
        np.testing.assert_allclose(other, as_series, rtol=1e-12)


def test_a_series_is_forecast_alike_in_any_order_of_the_panel() -> None:
    rows = [airline(seed, 60 + 6 * seed) for seed in range(4)]
    frame = long(rows)
    turned = pd.concat([part for _, part in reversed(list(frame.groupby("unique_id")))], ignore_index=True)
    one, other = auto().fit(frame).forecast(3), auto().fit(turned).forecast(3)
    both = one.merge(other, on=["unique_id", "ds"])
    np.testing.assert_allclose(both["mean_x"], both["mean_y"], rtol=1e-8)


def test_covariates_known_ahead_are_used() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=300)
    y = 10 + 5 * np.concatenate([[0.0], x[:-1]]) + 0.1 * rng.normal(size=300)
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=300), "y": y, "x": x})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = auto(future=["x"]).fit(frame[:290])
        found = model.forecast(10, frame[290:][["ds", "x"]])
    assert np.abs(found["mean"].to_numpy() - y[290:]).mean() < 0.3


def test_gaps_are_filled_by_what_members_say() -> None:
    y = series(airline(6))
    holed = y.copy()
    holed.iloc[[20, 21, 50, 90, 91, 92, 130]] = np.nan
    found = auto().fit(holed[:132]).forecast(12)
    assert np.abs(found / y[132:] - 1).mean() < 0.06


# ---------------------------------------------------------------- bounds, the network, wrong input


def test_bounds_hold_for_forecasts_and_quantiles() -> None:
    rng = np.random.default_rng(7)
    counts = series(rng.poisson(1.0, 60) * 1.0)
    assert auto().fit(counts).bounds_ == (0.0, np.inf)
    assert auto().fit(counts + 0.5).bounds_ == (-np.inf, np.inf)
    found = auto(lower=0.0, upper=4.0).fit(counts.clip(upper=4)).forecast(6, level=95)
    assert (found >= 0).all(axis=None) and (found <= 4).all(axis=None)
    with pytest.raises(ValueError, match=r"lower=2, but series 'y' is"):
        auto(lower=2).fit(counts)
    with pytest.raises(ValueError, match="must be less than"):
        auto(lower=9, upper=9).fit(series(np.full(20, 9.0)))


def test_the_network_joins_only_where_it_wins() -> None:
    y = series(airline(8, 96))
    regressor = GRURegressor(hidden_size=2, max_epochs=1, random_state=0)
    model = AutoForecaster(network=regressor, horizon=12).fit(y)
    said = [note for note in model.notes_ if note.startswith("the network")]
    assert len(said) == 1
    assert ("joins" in said[0]) == ("network" in model.weights_)
    assert not any("the network" in note for note in auto().fit(y).notes_)
    few = AutoForecaster().fit(y[:20])
    assert any("20 rows are fewer than" in note for note in few.notes_)


@pytest.fixture(scope="module")
def chaotic() -> tuple[pd.Series, AutoForecaster]:
    """The logistic map, which no closed form foretells: the network joins."""
    y = [0.3]
    for _ in range(500):
        y.append(3.9 * y[-1] * (1 - y[-1]))
    y = series(np.array(y), "D")
    network = GRURegressor(hidden_size=16, max_epochs=60, learning_rate=0.005, random_state=0)
    return y, AutoForecaster(horizon=1, network=network).fit(y[:450])


def test_a_network_that_joined_reads_what_comes_in(chaotic: tuple[pd.Series, AutoForecaster]) -> None:
    y, model = chaotic
    assert model.weights_["network"].item() > 0.1
    model.update(y[450:490])
    whole = model.backtest(y[:491], 1, 1, baselines=None).frame["mean"].item()
    assert np.isclose(model.forecast(1).item(), whole, atol=1e-6)


def test_a_network_that_joined_is_in_the_file(chaotic: tuple[pd.Series, AutoForecaster], tmp_path) -> None:
    y, model = chaotic
    last = model.known_.times[-1]
    model.save(tmp_path / "auto.safetensors")
    again = seqdyn.load(tmp_path / "auto.safetensors")
    assert again.forecast(2, level=80).equals(model.forecast(2, level=80))
    new = y[last + pd.Timedelta(days=1) :][:5]
    assert again.update(new).forecast(2).equals(model.update(new).forecast(2))


def test_the_network_is_told_season_and_horizon() -> None:
    rng = np.random.default_rng(12)
    y = series(20 + np.tile(3 * rng.normal(size=10), 12) + 0.3 * rng.normal(size=120), "D")
    model = AutoForecaster(network=GRURegressor(hidden_size=2, max_epochs=1, random_state=0))
    seen: list[tuple[object, object]] = []
    own = Forecaster._learn

    def spied(self: Forecaster, panel: object) -> None:
        seen.append((self.season_length, self.horizon))
        own(self, panel)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Forecaster, "_learn", spied)
        model.fit(y)
    assert seen[0] == ((10,), model.trial_horizon_)


def test_a_network_that_cannot_reach_the_horizon_is_left_out() -> None:
    direct = Forecaster(GRURegressor(hidden_size=2, max_epochs=1), horizon=2, strategy="direct")
    model = AutoForecaster(horizon=6, network=direct).fit(series(airline(1, 72)))
    assert "network" not in model.weights_


def test_without_a_horizon_the_one_of_the_trial_is_forecast() -> None:
    model = auto().fit(series(airline(2, 60)))
    assert len(model.forecast()) == model.trial_horizon_ == 12


def test_values_that_the_fit_did_not_reckon_with_are_warned_of() -> None:
    growth = series(100 * 1.01 ** np.arange(80) * np.exp(0.01 * np.random.default_rng(3).normal(size=80)))
    model = auto().fit(growth[:70])
    assert model.logged_.all()
    with pytest.warns(UserWarning, match="its logarithm is modelled"):
        model.update(growth[70:72] * 0)
    counts = auto().fit(series(np.random.default_rng(4).poisson(3, 60) * 1.0))
    more = pd.Series([-5.0], pd.date_range("2015-01-01", periods=1, freq="MS"), name="y")
    with pytest.warns(UserWarning, match=r"outside the bounds \[0, inf\]"):
        counts.update(more)


def test_quantiles_of_logarithms_do_not_shrink_where_one_step_is_not_positive() -> None:
    model = auto().fit(series(100 * 1.01 ** np.arange(60) * np.exp(0.05 * np.random.default_rng(5).normal(size=60))))
    model.logged_ = np.array([True])
    owner, levels = np.zeros(1, int), np.array([0.1, 0.9])
    above = model._around(np.array([[10.0, 5.0, 1.0]]), owner, levels)
    below = model._around(np.array([[10.0, 5.0, -1.0]]), owner, levels)
    np.testing.assert_allclose(above[:, :2], below[:, :2])
    assert (np.diff(below, axis=2) > 0).all()


def test_a_season_is_found_in_any_order_of_the_series() -> None:
    t, rng = np.arange(120), np.random.default_rng(6)
    table = np.column_stack([np.sin(2 * np.pi * (t + i) / 17) for i in range(150)] + [*rng.normal(size=(100, 120))])
    days = pd.date_range("2020-01-01", periods=120, freq="D")
    found = [season_lengths(read_panel(pd.DataFrame(own, days))) for own in (table, table[:, ::-1])]
    assert found[0] == found[1] == [17]


@pytest.mark.parametrize("size", [1e-200, 1e-9, 1e12, 1e140])
def test_values_of_any_size_are_forecast_without_a_word(size: float) -> None:
    y = series(airline(7, 72))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = auto().fit(y * size).forecast(6)
    np.testing.assert_allclose(found / size, auto().fit(y).forecast(6), rtol=0.02)


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(TypeError, match="neither a regressor of seqdyn"):
        AutoForecaster(network="gru").fit(series(airline(0)))
    with pytest.raises(ValueError, match="horizon must be"):
        auto(horizon=0).fit(series(airline(0)))
    with pytest.raises(ValueError, match="season_length"):
        auto(season_length=0).fit(series(airline(0)))


# ---------------------------------------------------------------- its parts


def test_the_trial_never_shows_what_came() -> None:
    frame = long([airline(seed, 40 + 9 * seed) for seed in range(4)] + [np.array([1.0]), np.array([1.0, 2.0])])
    panel = read_panel(frame)
    trial = Holdout.of(panel, 6, 4)
    assert list(trial.before.names) == list(panel.names)
    first = panel.starts + trial.before.lengths
    assert (trial.request.rows >= first[trial.request.series]).all()
    assert (trial.before.lengths >= np.minimum(panel.lengths, 10)).all()
    place = trial.request.rows[:, None] + np.arange(6)
    inside = place < panel.ends[trial.request.series][:, None]
    np.testing.assert_array_equal(trial.actual[inside], panel.target[place[inside]])
    assert np.isnan(trial.actual[~inside]).all()
    naive = NaiveForecaster().fit_panel(trial.before)
    np.testing.assert_array_equal(naive.forecast_from(trial.request).mean[:, 0], panel.target[trial.request.rows - 1])


def test_weights_prefer_what_erred_less_and_lean_on_all_where_windows_are_few() -> None:
    rng = np.random.default_rng(9)
    errors = np.array([1.0, 1.5, 2.0])[:, None] * np.exp(0.5 * rng.normal(size=(3, 400)))
    few, many = (leaning(errors, np.full(400, windows)) for windows in (0.5, 500.0))
    assert (few.argmin(axis=0) == 0).mean() > 0.95
    assert (many.argmin(axis=0) == errors.argmin(axis=0)).mean() > 0.98
    shares = weights(few, np.array([0, 1, 1]), np.ones(2))
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    failed = leaning(np.array([[1.0], [np.inf]]), np.array([5.0]))
    assert weights(failed, np.array([0, 1]), np.ones(2))[1, 0] < 0.05
    untried = leaning(np.array([[np.nan, 1.0], [np.nan, 2.0]]), np.array([0.0, 5.0]))
    assert untried[0, 0] < untried[1, 0]


def test_errors_grow_as_they_did_and_hold_their_share() -> None:
    rng = np.random.default_rng(10)
    size, windows = np.exp(rng.normal(size=50)), np.full(50, 10.0)
    owner = np.repeat(np.arange(50), 30)
    errors = size[owner][:, None] * np.cumsum(rng.normal(size=(1500, 8)), axis=1)
    growth = ErrorGrowth.from_errors(errors, owner, np.ones(50), windows)
    assert abs(growth.power - 0.5) < 0.05
    levels = np.array([0.1, 0.9])
    later = size[:, None] * np.cumsum(rng.normal(size=(50, 8)), axis=1)
    offset = growth.offsets(levels, 8, np.arange(50))
    inside = (offset[:, :, 0] <= later) & (later <= offset[:, :, 1])
    assert 0.7 < inside.mean() < 0.9
    one = ErrorGrowth.from_errors(np.zeros((4, 3)), np.zeros(4, int), np.ones(1), np.ones(1))
    assert (one.offsets(levels, 3, np.zeros(1, int))[0, :, 1] > 0).all()


@pytest.mark.parametrize("multiply", [True, False])
def test_indices_are_those_of_a_series_alone(multiply: bool) -> None:
    rows = [airline(seed, 50 + 11 * seed) for seed in range(3)]
    table = np.full((80, 3), np.nan)
    for i, y in enumerate(rows):
        table[: len(y), i] = y
    together = seasonal_indices_of(table, 12, multiply)
    for i, y in enumerate(rows):
        np.testing.assert_allclose(together[:, i], seasonal_indices_of(y[:, None], 12, multiply)[:, 0], rtol=1e-10)
    pattern = np.tile([1.0, 2.0, 3.0, 2.0], 9)[:, None]
    expected = pattern[:4, 0] / 2 if multiply else pattern[:4, 0] - 2
    np.testing.assert_allclose(seasonal_indices_of(pattern, 4, multiply)[:, 0], expected)


def test_no_season_is_seen_in_noise() -> None:
    rng = np.random.default_rng(11)
    found = [season_lengths(read_panel(series(rng.normal(size=150)))) for _ in range(50)]
    assert np.mean([bool(own) for own in found]) < 0.2
    walk = read_panel(series(np.arange(5.0)))
    assert season_lengths(walk) == []


def test_hours_of_three_weeks_are_shown_whole_weeks_and_fewer_a_quarter_of_what_there_is() -> None:
    panel = read_panel(series(np.arange(700.0), "h"))
    lags = {
        rows: {
            own.model.lags for own in candidate_forecasters(panel, (24,), rows, {}).variants if own.member == "ridge"
        }
        for rows in (640, 504, 503, 60)
    }
    assert lags == {640: {25, 168}, 504: {25, 168}, 503: {25}, 60: {15}}
