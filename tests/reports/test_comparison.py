"""compare_models: constructed truths decide the verdict; k-step errors equal those of a loop by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqdyn import ARXRegressor, ElmanRegressor, GRURegressor, LinearStateSpaceRegressor, MovingAverageRegressor
from seqdyn.metrics import fit_percent, rmse
from seqdyn.reports.bootstrap import block_length, improvement_interval
from seqdyn.reports.comparison import Comparison, compare_models

Array = np.ndarray[Any, Any]

NOISE = 0.1


def linear_data(steps: int, seed: int = 0) -> tuple[Array, Array]:
    """x (time, 1), and y = a resonance of order 2 with white noise on the output."""
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(steps, 1)), np.zeros(steps)
    for t in range(2, steps):
        y[t] = 1.2 * y[t - 1] - 0.6 * y[t - 2] + x[t - 1, 0]
    return x, y + NOISE * generator.normal(size=steps)


def saturated_data(steps: int, seed: int = 0) -> tuple[Array, Array]:
    """A Hammerstein system: what drives the linear part is |x|, which no linear model can follow."""
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(steps, 1)).repeat(3, axis=0)[:steps], np.zeros(steps)
    for t in range(1, steps):
        y[t] = 0.7 * y[t - 1] + abs(x[t, 0])
    return x, y + 0.05 * generator.normal(size=steps)


def small_models() -> dict[str, Any]:
    return {
        "moving average": MovingAverageRegressor(window=10, weights="learned"),
        "persistence": "persistence",
        "ARX": ARXRegressor(),
        "linear": LinearStateSpaceRegressor(order=2),
        "GRU": GRURegressor(hidden_size=4, max_epochs=3),
    }


@pytest.fixture(scope="module")
def small() -> tuple[Comparison, Array, Array]:
    """A comparison with a small budget, whose numbers other tests compute by hand."""
    x, y = linear_data(300)
    y[[170, 190, 250]] = np.nan
    return compare_models(x, y, models=small_models(), horizons=(1, 3, 7), window=20, seeds=2), x, y


# --- verdicts on constructed truths -------------------------------------------------------------------------------


def test_of_a_linear_system_the_nonlinearity_does_not_pay() -> None:
    """The linear model's free run is as far from the data as the noise; a short-trained network is farther."""
    x, y = linear_data(600)
    models = {"linear": LinearStateSpaceRegressor(), "Elman": ElmanRegressor(hidden_size=8, max_epochs=80)}
    comparison = compare_models(x, y, models=models, seeds=2, horizons=(1, 10))
    assert comparison.verdict.startswith("No: Elman has ")
    assert comparison.error("linear") == pytest.approx(NOISE, rel=0.1)
    assert comparison.improvement is not None
    assert comparison.improvement.high < 0


def test_a_network_that_begins_as_the_linear_system_is_no_better() -> None:
    """Started at the truth, and hardly trained, it neither gains nor loses what the data could show."""
    x, y = linear_data(600)
    start = LinearStateSpaceRegressor(order=2)
    models = {
        "linear": start,
        "GRU": GRURegressor(hidden_size=8, linear_start=start, learning_rate=1e-4, max_epochs=2),
    }
    comparison = compare_models(x, y, models=models, seeds=1, horizons=(1,))
    assert not comparison.verdict.startswith("Yes")
    assert comparison.error("GRU") < 2 * NOISE


def test_of_a_nonlinear_system_it_pays() -> None:
    """A rectified input: the network has less than half the linear model's error."""
    x, y = saturated_data(600)
    models = {
        "linear": LinearStateSpaceRegressor(order=2),
        "GRU": GRURegressor(hidden_size=8, max_epochs=120, schedule="cosine"),
    }
    comparison = compare_models(x, y, models=models, seeds=2, horizons=(1, 5), window=30)
    assert comparison.verdict.startswith("Yes: GRU has ")
    assert "free-run error than linear" in comparison.verdict
    assert comparison.improvement is not None
    assert comparison.improvement.low < comparison.improvement.share < comparison.improvement.high
    assert comparison.improvement.share > 0.5
    assert "Does the nonlinearity pay? Yes" in repr(comparison)


def test_persistence_that_beats_everything_is_named() -> None:
    """A slow random walk that x does not explain."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(300, 1)), np.cumsum(generator.normal(size=300))
    models = {"persistence": "persistence", "moving average": MovingAverageRegressor(window=5)}
    comparison = compare_models(x, y, models=models, horizons=(1, 2))
    assert any(note.startswith("1 step ahead no model beats persistence") for note in comparison.notes)
    assert comparison.verdict == "Not decided: no nonlinear model could be compared."


# --- numbers by hand ----------------------------------------------------------------------------------------------


def scored_targets(y: Array, first: int, window: int, longest: int) -> Array:
    """At most 50 evenly spread rows from the first that every horizon can reach."""
    rows = np.arange(first + window + longest - 1, len(y))
    rows = rows[~np.isnan(y[rows])]
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(50, len(rows))).round().astype(int))]


def test_persistence_is_the_value_k_steps_ago(small: tuple[Comparison, Array, Array]) -> None:
    """Or the last one known then; its free run is the last value of the window."""
    comparison, _, y = small
    held = pd.Series(y).ffill().to_numpy()
    rows = scored_targets(y, 150, 20, 7)
    for k in (1, 3, 7):
        assert comparison.error("persistence", k) == pytest.approx(rmse(y[rows], held[rows - k]))
    assert comparison.error("persistence") == pytest.approx(rmse(y[170:], np.full(130, held[169])))


def test_a_network_is_run_from_the_window_before_every_origin(small: tuple[Comparison, Array, Array]) -> None:
    """k-step predictions equal those made window by window with the public methods; so does the free run."""
    comparison, x, y = small
    rows = scored_targets(y, 150, 20, 7)
    run = comparison.runs["GRU"]
    for place, k in enumerate((1, 3, 7)):
        X = np.stack([x[t - k - 19 : t + 1] for t in rows])
        state = run.estimators[1].estimate_state(X[:, :20], np.stack([y[t - k - 19 : t - k + 1] for t in rows]))
        ahead = run.estimators[1].predict(X, initial_state=state)[:, -1]
        np.testing.assert_allclose(run.ahead[1, place, :, 0], ahead, rtol=1e-6)
    state = run.estimators[0].estimate_state(x[150:170], y[150:170])
    free = run.estimators[0].predict(x[150:], initial_state=state)[20:]
    np.testing.assert_allclose(run.free[0, :, 0], free, rtol=1e-6)
    by_hand = np.mean([rmse(y[170:], run.free[seed, :, 0]) for seed in (0, 1)])
    assert comparison.error("GRU") == pytest.approx(by_hand)
    assert comparison.frame.loc["GRU", "free-run RMSE"] == pytest.approx(by_hand)
    fits = [fit_percent(y[170:], run.free[seed, :, 0]) for seed in (0, 1)]
    assert comparison.frame.loc["GRU", "free-run FIT %"] == pytest.approx(np.mean(fits))


@pytest.mark.parametrize("name", ["linear", "ARX"])
def test_a_model_of_the_noise_predicts_by_its_own_filter(small: tuple[Comparison, Array, Array], name: str) -> None:
    """The same as ``predict(X, y=y, steps_ahead=k)`` from the state of the window."""
    comparison, x, y = small
    model = comparison.runs[name].estimators[0]
    rows = scored_targets(y, 150, 20, 7)
    state = model.estimate_state(x[150:170], y[150:170])
    for place, k in enumerate((1, 3, 7)):
        ahead = model.predict(x[150:], y=y[150:], steps_ahead=k, initial_state=state)
        np.testing.assert_allclose(comparison.runs[name].ahead[0, place, :, 0], ahead[rows - 150])


def test_a_moving_average_is_as_far_off_at_every_horizon(small: tuple[Comparison, Array, Array]) -> None:
    """It never sees y."""
    comparison, _, y = small
    run = comparison.runs["moving average"]
    rows = scored_targets(y, 150, 20, 7)
    for place in range(3):
        np.testing.assert_array_equal(run.ahead[0, place], run.free[0, rows - 170])


def test_the_frames_say_what_was_compared(small: tuple[Comparison, Array, Array]) -> None:
    """Kinds, columns, labels, and one line a model, output, seed and horizon."""
    comparison, _, y = small
    frame = comparison.frame
    assert list(frame["kind"]) == ["linear", "reference", "linear", "linear", "nonlinear"]
    assert [name for name in frame if "step" in name] == ["1-step RMSE", "3-step RMSE", "7-step RMSE"]
    assert frame.loc["persistence", "parameters"] == 0
    assert frame.loc["moving average", "memory"] == 9
    assert (comparison.free_runs["measured", "y0"].to_numpy() == y[170:])[~np.isnan(y[170:])].all()
    assert list(comparison.free_runs.index) == list(range(170, 300))
    assert len(comparison.errors) == 4 * (4 + 2)
    assert comparison.errors.query("model == 'ARX' and horizon == inf")["rmse"].item() == pytest.approx(
        comparison.error("ARX")
    )
    with pytest.raises(ValueError, match="horizon must be one of"):
        comparison.error("ARX", 2)


def test_the_same_call_gives_the_same_numbers(small: tuple[Comparison, Array, Array]) -> None:
    """Twice, with the same seeds; and the user's estimators are left alone."""
    comparison, x, y = small
    models = small_models()
    again = compare_models(x, y, models=models, horizons=(1, 3, 7), window=20, seeds=2)
    columns = [name for name in comparison.frame if name != "seconds"]
    pd.testing.assert_frame_equal(comparison.frame[columns], again.frame[columns])
    assert comparison.improvement == again.improvement
    assert not hasattr(models["ARX"], "cell_")
    assert models["GRU"].random_state is None


# --- containers ---------------------------------------------------------------------------------------------------


def test_frames_and_several_records() -> None:
    """A frame gives what arrays give; records of unlike lengths are each cut in time; several outputs are scaled."""
    x, y = linear_data(240)
    models = {"linear": LinearStateSpaceRegressor(order=2), "GRU": GRURegressor(hidden_size=3, max_epochs=2)}
    options: dict[str, Any] = {"models": models, "horizons": (1, 4), "window": 20, "seeds": 1}
    times = pd.date_range("2025-01-01", periods=240, freq="h")
    plain = compare_models(x, y, **options)
    labelled = compare_models(pd.DataFrame({"u": x[:, 0]}, times), pd.Series(y, times, name="level"), **options)
    assert labelled.error("GRU", 4) == pytest.approx(plain.error("GRU", 4))
    assert labelled.free_runs.index[0] == times[140]

    both = np.column_stack([y, 1000 * y])
    many = compare_models([x, x[:200]], [both, both[:200]], **options)
    assert many.split.fitted == 120 + 100
    assert len(many.split.measured) == 100 + 80
    assert many.error("linear") == pytest.approx(NOISE / np.std(y), rel=0.3)
    assert many.runs["GRU"].ahead.shape == (1, 2, 50, 2)
    per_output = many.errors.query("model == 'linear' and horizon == inf")["rmse"].to_numpy()
    assert per_output[1] == pytest.approx(1000 * per_output[0], rel=0.01)


def test_the_figure_shows_both(small: tuple[Comparison, Array, Array]) -> None:
    """A line a model on the left; measured and two models on the right."""
    left, right = small[0].plot().axes
    assert left.get_xscale() == "log"
    assert [label.get_text() for label in left.get_xticklabels()] == ["1", "3", "7", "free\nrun"]
    texts = [text.get_text().partition(" (")[0] for text in left.texts]
    assert sorted(texts) == sorted(small[0].runs)
    assert len(right.get_legend_handles_labels()[1]) == 3
    small[0].plot().savefig("/dev/null", format="png")
    with pytest.raises(ValueError, match="output must be one of"):
        small[0].plot("level")


# --- failures and errors ------------------------------------------------------------------------------------------


def test_a_model_that_fails_has_its_error_as_a_note() -> None:
    """The others are compared all the same, and the figure is drawn without it."""
    x, y = linear_data(200)
    models = {
        "linear": LinearStateSpaceRegressor(order=2),
        "GRU": GRURegressor(hidden_size=3, max_epochs=2),
        "wrong": GRURegressor(hidden_size=-1),
    }
    comparison = compare_models(x, y, models=models, horizons=(1,), window=20, seeds=1)
    assert comparison.frame.loc["wrong", "kind"] == "failed"
    assert "hidden_size" in comparison.frame.loc["wrong", "note"]
    assert np.isnan(comparison.frame.loc["wrong", "free-run RMSE"])
    assert "wrong: failed: ValueError" in comparison.summary()
    assert comparison.improvement is not None
    assert comparison.improvement.nonlinear == "GRU"
    comparison.plot()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"horizons": (0, 1)}, ValueError, "horizons must be ints of at least 1"),
        ({"horizons": ()}, ValueError, "horizons must be ints"),
        ({"horizons": (1.5,)}, ValueError, "horizons must be ints"),
        ({"window": 0}, ValueError, "window must be an int of at least 1"),
        ({"seeds": 0}, ValueError, "seeds must be an int"),
        ({"test_fraction": 1.0}, ValueError, "test_fraction must lie between 0 and 1"),
        ({"window": 95}, ValueError, "has 100 of 200 rows, but window=95 and the longest horizon 20 need 115"),
        ({"models": {}}, TypeError, "models must be a mapping"),
        ({"models": {"x": 3}}, TypeError, r"models\['x'\] is int, expected a seqdyn regressor"),
        ({"models": {"x": "GRU"}}, TypeError, r"models\['x'\] is 'GRU'"),
        ({"models": {"x": GRURegressor}}, TypeError, "expected a seqdyn regressor"),
        ({"random_state": None}, TypeError, "random_state must be an int"),
    ],
)
def test_wrong_parameters_are_explained(change: dict[str, Any], error: type[Exception], text: str) -> None:
    x, y = linear_data(200)
    with pytest.raises(error, match=text):
        compare_models(x, y, **{"models": {"persistence": "persistence"}, **change})


def test_wrong_data_are_explained() -> None:
    """Before anything is fitted."""
    x, y = linear_data(200)
    nothing, late = y.copy(), y.copy()
    nothing[100:150], late[150:] = np.nan, np.nan
    with pytest.raises(ValueError, match="no state can be estimated"):
        compare_models(x, nothing)
    with pytest.raises(ValueError, match="nothing can be scored"):
        compare_models(x, late)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        compare_models(np.where(x > 2, np.nan, x), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        compare_models(x, y[:-1])


# --- the interval -------------------------------------------------------------------------------------------------


def test_the_interval_covers_a_known_share() -> None:
    """Of independent errors with RMSE 1 and 0.8 it covers 0.2 about as often as it says, and blocks are short."""
    generator = np.random.default_rng(0)
    hits, lengths = 0, []
    for _ in range(60):
        one, other = generator.normal(size=(1, 300)) ** 2, (0.8 * generator.normal(size=(1, 300))) ** 2
        lengths.append(block_length((other - one)[0], np.zeros(300, dtype=int)))
        low, high = improvement_interval(one, other, np.zeros(300, dtype=int), lengths[-1], generator)
        hits += low <= 0.2 <= high
    assert hits >= 52
    assert np.median(lengths) <= 8


def test_blocks_are_as_long_as_errors_are_alike() -> None:
    """Of an autoregression with the time constant 10 a block has tens of rows; it never passes a record's end."""
    generator = np.random.default_rng(0)
    noise, slow = generator.normal(size=2000), np.zeros(2000)
    for t in range(1, 2000):
        slow[t] = 0.9 * slow[t - 1] + noise[t]
    assert 20 <= block_length(slow, np.zeros(2000, dtype=int)) <= 80
    assert block_length(slow, np.repeat(np.arange(200), 10)) == 10
