"""compare: scores are those of predictions by hand from the estimated start; what is not comparable is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter
from sklearn.exceptions import NotFittedError

from seqdyn import (
    ARXRegressor,
    ElmanRegressor,
    GRURegressor,
    LinearStateSpaceRegressor,
    LinearSystem,
    MovingAverageRegressor,
)
from seqdyn.metrics import fit_percent, mae, rmse
from seqdyn.reports.model_fits import ModelFits, compare

Array = np.ndarray[Any, Any]

TRUTH = LinearSystem.from_control([[0.7, 0.5], [-0.5, 0.7]], [[1.0], [0.4]], [[1.0, 0.0], [0.5, -1.0]], [[0.2], [-0.3]])


def record(steps: int, seed: int, noise: float = 0.1) -> tuple[Array, Array]:
    """x (time, 1), and y (time, 2) of the truth from a state of its own, with white noise."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(steps, 1))
    y = TRUTH.simulate(x, random.normal(size=2))[0]
    return x, y + noise * random.normal(size=y.shape)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    x, y = record(300, 0)
    return {
        "state space": LinearStateSpaceRegressor(order=2).fit(x, y),
        "ARX": ARXRegressor(output_lags=2, input_lags=2).fit(x, y),
        "truth": TRUTH,
    }


# --- laws ---------------------------------------------------------------------------------------------------------


def test_the_truth_fits_a_record_without_noise_whatever_its_start() -> None:
    x, y = record(100, 1, noise=0.0)
    fits = compare({"truth": TRUTH}, x, y)
    np.testing.assert_allclose(fits.table["FIT %"], 100.0, atol=1e-6)
    np.testing.assert_allclose(fits.predictions["truth"], y, atol=1e-8)


@pytest.mark.parametrize("steps_ahead", [None, 1, 3])
def test_scores_are_those_of_a_run_by_hand(fitted: dict[str, Any], steps_ahead: int | None) -> None:
    x, y = record(200, 2)
    models = {name: fitted[name] for name in ("state space", "ARX")}
    fits = compare(models, x, y, steps_ahead=steps_ahead)
    for name, model in models.items():
        state = model.estimate_state(x[:20], y[:20])
        run = model.predict(x, initial_state=state)
        if steps_ahead is not None:
            run = model.predict(x, y=y, steps_ahead=steps_ahead, initial_state=state)
        for column, output in enumerate(("y0", "y1")):
            one, other = y[20:, column], run[20:, column]
            expected = [fit_percent(one, other), rmse(one, other), mae(one, other), np.mean(other - one), 180]
            np.testing.assert_allclose(fits.table.loc[(name, output)], expected, rtol=1e-10)


def test_rows_of_the_start_are_not_scored(fitted: dict[str, Any]) -> None:
    """The outputs of the start tell the state, the later ones nothing: one that is wrong moves its own error alone."""
    x, y = record(200, 3)
    wrong = y.copy()
    wrong[100, 0] += 50.0
    one, other = (compare({"a": fitted["state space"]}, x, values) for values in (y, wrong))
    np.testing.assert_array_equal(one.predictions["a"], other.predictions["a"])
    assert one.scored.sum() == 180 and not one.scored[:20].any()
    spoilt = y.copy()
    spoilt[5] = np.nan
    assert compare({"a": fitted["state space"]}, x, spoilt).table["rows"].tolist() == [180, 180]


def test_the_start_is_at_least_twice_the_largest_order(fitted: dict[str, Any]) -> None:
    x, y = record(60, 4)
    large = ARXRegressor(output_lags=5, input_lags=5).fit(*record(300, 0))
    assert compare({"a": fitted["state space"]}, x, y).records[0].first == 6
    with_large = compare({"a": fitted["state space"], "b": large}, x, y)
    assert with_large.records[0].first == 2 * large.system_.order > 6


def test_several_records_are_scored_together(fitted: dict[str, Any]) -> None:
    parts = [record(100, 5), record(150, 6)]
    both = compare(fitted, [x for x, _ in parts], [y for _, y in parts])
    alone = [compare(fitted, *part) for part in parts]
    for name in fitted:
        runs = np.concatenate([one.predictions[name] for one in alone])
        np.testing.assert_allclose(both.predictions[name], runs, rtol=1e-10)
        squares = sum(one.table.loc[name, "RMSE"] ** 2 * one.table.loc[name, "rows"] for one in alone)
        rows = sum(one.table.loc[name, "rows"] for one in alone)
        np.testing.assert_allclose(both.table.loc[name, "RMSE"], np.sqrt(squares / rows), rtol=1e-10)


def test_missing_outputs_are_left_out(fitted: dict[str, Any]) -> None:
    x, y = record(200, 7)
    y[50:80, 1] = np.nan
    table = compare(fitted, x, y).table
    assert table["rows"].tolist() == [180, 150] * 3
    assert np.isfinite(table.to_numpy()).all()


def test_persistence_stands_beside_predictions_and_not_beside_free_runs(fitted: dict[str, Any]) -> None:
    x, y = record(200, 8)
    models = {"ARX": fitted["ARX"]}
    assert compare(models, x, y).table.index.get_level_values("model").unique().tolist() == ["ARX"]
    table = compare(models, x, y, steps_ahead=2).table
    np.testing.assert_allclose(table.loc[("persistence", "y0"), "RMSE"], rmse(y[20:, 0], y[18:-2, 0]))


def test_networks_and_averages_run_beside_linear_models() -> None:
    """A first-order lag: the linear model follows it, a network of a few epochs and an average of 3 rows less well."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 1))
    y = lfilter([0.5], [1.0, -0.8], x[:, 0]) + 0.05 * random.normal(size=400)
    training = x[:200], y[:200]
    models = {
        "linear": LinearStateSpaceRegressor(order=1).fit(*training),
        "GRU": GRURegressor(hidden_size=4, max_epochs=20, random_state=0).fit(*training),
        "average": MovingAverageRegressor(window=3, weights="learned").fit(*training),
    }
    fits = compare(models, x[200:], y[200:]).table["FIT %"].droplevel("output")
    assert fits["linear"] > 85 > fits["GRU"] > 0 and fits["linear"] > fits["average"] > 0


def test_a_system_without_inputs_is_compared_without_x() -> None:
    y = lfilter([1.0], [1.0, -1.6, 0.8], np.random.default_rng(0).normal(size=600))
    model = LinearStateSpaceRegressor.from_system(
        LinearSystem(
            np.zeros((1, 0)), [[1.6, -0.8]], np.zeros((2, 0)), [[1.6, -0.8], [1.0, 0.0]], noise_gain=[[1.0], [0.0]]
        )
    )
    table = compare(model, None, y[300:], steps_ahead=1).table
    assert table["RMSE"].iloc[0] == pytest.approx(1.0, abs=0.15)  # the innovations have deviation 1
    assert table["RMSE"].iloc[1] > 1.3


# --- names and figures --------------------------------------------------------------------------------------------


def frames(steps: int = 200) -> tuple[pd.DataFrame, pd.DataFrame]:
    x, y = record(steps, 9)
    times = pd.date_range("2024-01-01", periods=steps, freq="h")
    return pd.DataFrame(x, times, ["heater"]), pd.DataFrame(y, times, ["temperature", "flow"])


def test_frames_give_names_and_times() -> None:
    x, y = frames()
    model = LinearStateSpaceRegressor(order=2).fit(x[:100], y[:100])
    fits = compare({"model": model}, x[100:], y[100:])
    assert fits.outputs == ["temperature", "flow"]
    assert fits.frame.index.equals(x.index[100:])
    assert fits.frame.columns.tolist()[:2] == [("measured", "temperature"), ("measured", "flow")]
    panels = fits.plot().axes
    assert [axes.get_ylabel() for axes in panels] == ["temperature", "flow"]
    entries = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert entries == ["measured", f"model: {fits.table['FIT %']['model', 'flow']:.1f} %"]
    grey = panels[0].patches[0].get_extents().transformed(panels[0].transData.inverted())
    assert grey.width == pytest.approx(10 / 24)  # ten hours of a hundred, in days


def test_names_are_those_of_the_models_where_y_has_none() -> None:
    x, y = frames()
    model = LinearStateSpaceRegressor(order=2).fit(x, y)
    assert compare({"model": model}, x, y.to_numpy()).outputs == ["temperature", "flow"]


def test_models_without_names_are_called_by_their_class(fitted: dict[str, Any]) -> None:
    x, y = record(100, 10)
    several = compare([fitted["state space"], fitted["ARX"], TRUTH, TRUTH], x, y)
    assert list(several.predictions) == [
        "LinearStateSpaceRegressor", "ARXRegressor", "LinearSystem 1", "LinearSystem 2",
    ]  # fmt: skip
    assert list(compare(TRUTH, x, y).predictions) == ["LinearSystem"]


def test_every_record_has_its_figure(fitted: dict[str, Any]) -> None:
    parts = [record(100, 5), record(150, 6)]
    fits: ModelFits = compare(fitted, [x for x, _ in parts], [y for _, y in parts])
    for number, (_, y) in enumerate(parts):
        axes = fits.plot(record=number).axes[0]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), y[:, 0])
        assert f"record {number}" in axes.get_title(loc="left")
    with pytest.raises(ValueError, match="record must be from 0 to 1, got 2"):
        fits.plot(record=2)


def test_a_run_beyond_all_bounds_does_not_stretch_the_figure() -> None:
    x, y = record(400, 11)
    unstable = LinearSystem.from_control([[1.1]], [[1.0]], [[1.0], [1.0]], [[0.0], [0.0]])
    low, high = compare({"unstable": unstable}, x, y).plot().axes[0].get_ylim()
    assert high - low < 3 * np.ptp(y[:, 0])


def test_the_table_is_what_is_printed(fitted: dict[str, Any]) -> None:
    text = repr(compare(fitted, *record(200, 12), steps_ahead=None))
    assert text.startswith("Free run, scored on 180 rows after 20 for the start")
    assert "state space" in text and "FIT %" in text


# --- bad input ----------------------------------------------------------------------------------------------------


def test_other_outputs_are_refused(fitted: dict[str, Any]) -> None:
    x, y = record(100, 13)
    with pytest.raises(ValueError, match=r"models\['ARX'\] has 2 outputs, y has 1"):
        compare({"ARX": fitted["ARX"]}, x, y[:, 0])
    x, y = frames()
    model = LinearStateSpaceRegressor(order=2).fit(x, y)
    with pytest.raises(ValueError, match="the same columns"):
        compare({"model": model}, x, y[["flow", "temperature"]])


def test_short_records_are_refused(fitted: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Record 0 has 5 rows, of which the first 4 are for the start"):
        compare({"a": fitted["state space"]}, *record(5, 14))


def test_models_that_cannot_run_are_refused(fitted: dict[str, Any]) -> None:
    x, y = record(100, 15)
    with pytest.raises(NotFittedError, match=r"models\['new'\], a ARXRegressor, is not fitted"):
        compare({"new": ARXRegressor()}, x, y)
    with pytest.raises(TypeError, match=r"models\['net'\] is the class ElmanRegressor"):
        compare({"net": ElmanRegressor}, x, y)
    with pytest.raises(TypeError, match=r"models\['str'\] is str"):
        compare("ARX", x, y)
    with pytest.raises(ValueError, match="models is empty"):
        compare({}, x, y)
    network = ElmanRegressor(hidden_size=2, max_epochs=1).fit(x, y)
    with pytest.raises(TypeError, match="has no noise model"):
        compare({"net": network}, x, y, steps_ahead=1)
    with pytest.raises(ValueError, match="steps_ahead"):
        compare(fitted, x, y, steps_ahead=0)
