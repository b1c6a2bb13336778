"""Motion models: free runs, steering, files, and what is refused."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from sklearn.base import clone
from sklearn.linear_model import Ridge

from seqdyn import (
    ARXRegressor,
    EchoStateRegressor,
    GRURegressor,
    LinearStateSpaceRegressor,
    MotionModel,
    load,
    scan,
    stability_report,
    steering_map,
)
from seqdyn.dynamics import fixed_points, limit_cycle, nudge
from seqdyn.motion import rhythm
from seqdyn.state import map_leaves
from tests.motion.conftest import RATE, made

TEST = made(3, 200, 5)


def start(steps: int = 20) -> np.ndarray:
    return TEST.angles[0, :steps]


# ---------------------------------------------------------------- what it does


@pytest.mark.parametrize("drive", [0.7, 1.0, 1.3])
def test_a_free_run_keeps_the_rhythm_of_its_drive(circling: MotionModel, drive: float) -> None:
    run = circling.free_run([drive], start(), 300)
    found = rhythm(run)
    assert found.frequency == pytest.approx(drive, rel=0.03)
    np.testing.assert_allclose(found.amplitude, [1.0, 0.5], rtol=0.05)
    assert run.dims == ("time", "angle") and run["angle"].values.tolist() == ["hip", "knee"]
    np.testing.assert_allclose(run["time"], (20 + np.arange(300)) / RATE)


def test_a_free_run_is_the_prediction_of_rows_whose_past_is_not_known(circling: MotionModel) -> None:
    """And the loop over time by hand."""
    past = np.full((60, 2), np.nan)
    past[1:21] = start()
    rows = np.concatenate([past, TEST.drive[0, :60]], axis=1)
    run = circling.free_run(TEST.drive[0, :60], start())
    np.testing.assert_allclose(run.values, circling.estimator_.predict(rows)[20:], atol=1e-6)
    filled = np.concatenate([start(), run.values])
    one_ahead = circling.predict(TEST.drive[0, :60], filled)
    np.testing.assert_allclose(one_ahead[20:], run.values, atol=1e-5)


def test_series_run_side_by_side(circling: MotionModel) -> None:
    together = circling.free_run(TEST.drive[:, :80], TEST.angles[:, :20])
    assert together.dims == ("series", "time", "angle")
    for number in range(3):
        alone = circling.free_run(TEST.drive[number, :80], TEST.angles[number, :20])
        np.testing.assert_allclose(together[number], alone, atol=1e-5)


def test_the_autonomous_system_is_the_free_run(circling: MotionModel) -> None:
    cell = circling.autonomous([1.0])
    run = circling.run([1.0], start(), 30, record=lambda x, before, output, after: before)
    begin = map_leaves(lambda leaf: leaf[:, 1], run.record)  # the first step still sees the last angles of the start
    with torch.no_grad():
        output = scan(cell, cell.alone(1, 30), begin).output
    np.testing.assert_allclose(circling.predictor_.decode(output)[0, :29], run.angles.values[1:], atol=1e-6)


def test_its_cycle_closes_and_is_stable(circling: MotionModel) -> None:
    cell = circling.autonomous([1.0])
    cycle = limit_cycle(cell, dt=1 / RATE)
    assert cycle.residual < 1e-8 and cycle.stable
    assert cycle.frequency == pytest.approx(rhythm(circling.free_run([1.0], start(), 400)).frequency, rel=1e-3)
    assert not fixed_points(cell, starts=16).stable.any()


def test_a_force_steers(circling: MotionModel) -> None:
    """Held to its own path a neuron changes nothing; held still, something."""
    run = circling.run([1.0], start(), 50, record=lambda x, before, output, after: before.inner.inner.h)
    same = circling.steer({"h[2]": run.record[0, :, 2].numpy()}, [1.0], start(), 50)
    np.testing.assert_array_equal(same, run.angles)
    held = circling.steer({"h[2]": 0.5}, [1.0], start(), 50)
    nudged = circling.steer(nudge(circling.cell_, {"h[2]": 0.1}), [1.0], start(), 50)
    assert np.abs(held - run.angles).max() > 1e-3 and np.abs(nudged - held).max() > 1e-3


def test_residual_and_scores(circling: MotionModel) -> None:
    assert circling.score(TEST.drive, TEST.angles) > 0.99
    assert circling.estimator_.autoregression.residual
    plain = MotionModel(GRURegressor(max_epochs=1, random_state=0), rate=RATE, residual=False)
    assert not plain.fit(*made(2, 50, 0)).estimator_.autoregression.residual


def test_free_runs_are_evaluated(circling: MotionModel) -> None:
    data = made(4, 200, 7)
    found = circling.evaluate(np.full((4, 200, 1), 1.0), _turns(4), warmup=20)
    assert found["frequency_error"] < 0.03 and found["amplitude_error"] < 0.1 and found["lag_error"] < 0.02
    assert (found["diverged"], found["series"]) == (0.0, 4)
    ahead = circling.predict(data.drive, data.angles) - data.angles
    assert circling.evaluate(*data)["one_step_rmse"] == pytest.approx(float(np.sqrt((ahead**2).mean())), rel=1e-6)
    with pytest.raises(ValueError, match="too few to run free"):
        circling.evaluate(data.drive, data.angles, warmup=190)


def _turns(series: int) -> np.ndarray:
    """Turns of 1 Hz, each from a phase of its own."""
    phase = 2 * np.pi * (np.arange(200) / RATE + np.linspace(0, 0.8, series)[:, None])
    return np.stack([np.sin(phase), 0.5 * np.cos(phase) + 0.2], axis=-1)


def test_its_gradients_are_reported(circling: MotionModel) -> None:
    """As those of its estimator on its rows."""
    report, same = (
        stability_report(*arguments, required_lag=10, tier="fast")
        for arguments in ((circling, *TEST), (circling.estimator_, *circling.rows(*TEST)))
    )
    assert report.gradient == same.gradient
    with pytest.raises(ValueError, match="angles as y"):
        stability_report(circling, TEST.drive)


def test_frames_and_what_is_labelled() -> None:
    """A frame indexed by (series, seconds); the joints in another order."""
    data = made(2, 100, 1)
    index = pd.MultiIndex.from_product([["a", "b"], np.arange(100) / RATE], names=["series", "time"])
    drive = pd.DataFrame({"speed": data.drive.ravel()}, index=index)
    angles = pd.DataFrame(data.angles.reshape(-1, 2), index=index, columns=["hip", "knee"])
    network = GRURegressor(hidden_size=4, max_epochs=1, random_state=0)
    model = MotionModel(network, angles=["knee", "hip"], rate=RATE).fit(drive, angles)
    assert (model.angles_, model.drives_) == (("knee", "hip"), ("speed",))
    plain = MotionModel(network, rate=RATE).fit(data.drive, data.angles[..., ::-1])
    run, same = (one.free_run([1.0], data.angles[0, :10, ::-1], 20) for one in (model, plain))
    np.testing.assert_array_equal(run, same)
    np.testing.assert_array_equal(model.free_run([1.0], angles.loc["a"].iloc[:10], 20), run)


@pytest.mark.parametrize("estimator", [ARXRegressor(), EchoStateRegressor()])
def test_closed_forms_turn(estimator: Any) -> None:
    """A turn is linear: models that are solved for, at once, run free at its frequency."""
    turn = 2 * np.pi * np.arange(400) / RATE
    angles = np.stack([np.cos(turn), np.cos(turn + 1)], axis=1)
    model = MotionModel(estimator, rate=RATE).fit(None, angles)
    found = rhythm(model.free_run(None, angles[:100], 200))
    assert found.frequency == pytest.approx(1.0, rel=1e-3) and model.drives_ == ()
    np.testing.assert_allclose(found.amplitude, 1.0, rtol=0.05)


@pytest.mark.parametrize(
    "kind", [ARXRegressor, partial(LinearStateSpaceRegressor, order=2, max_epochs=1, random_state=0)]
)
def test_the_residual_of_a_linear_model_makes_no_difference(kind: Any) -> None:
    runs = [
        MotionModel(kind(), rate=RATE, residual=residual).fit(*TEST).run([1.0], start(), 5).angles
        for residual in (True, False)
    ]
    np.testing.assert_array_equal(*runs)


def test_it_is_kept_in_a_file(circling: MotionModel, tmp_path: Path) -> None:
    circling.save(tmp_path / "motion.safetensors")
    again = load(tmp_path / "motion.safetensors")
    assert again.get_params(deep=False).keys() == circling.get_params(deep=False).keys()
    run, same = (one.free_run([1.0], start(), 50) for one in (circling, again))
    np.testing.assert_array_equal(run, same)
    assert (again.angles_, again.rate) == (circling.angles_, circling.rate)


def test_it_is_cloned_unfitted(circling: MotionModel) -> None:
    copy = clone(circling)
    assert not hasattr(copy, "estimator_") and copy.warmup == 20
    with pytest.raises(Exception, match="not fitted"):
        copy.free_run([1.0], start(), 10)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 0.0}, "rate"),
        ({"warmup": -1}, "warmup"),
        ({"warmup": 300}, r"warm-up of 300 steps \(12 s\) is longer than the shortest series, of 200 steps"),
        ({"angles": ["hip", "knee", "toe"]}, "2 columns, but the model is of 3 joints"),
        ({"angles": 3}, "2 columns, but the model is of 3 joints"),
        ({"unit": "turns"}, "unit"),
        ({"residual": "yes"}, "residual"),
    ],
)
def test_parameters_that_do_not_fit_are_named(change: dict[str, Any], words: str) -> None:
    network = GRURegressor(max_epochs=1)
    with pytest.raises(ValueError, match=words):
        MotionModel(**{"estimator": network, "rate": RATE} | change).fit(*TEST)


def test_an_estimator_without_own_past_is_named() -> None:
    with pytest.raises(ValueError, match="Ridge does not see its own past"):
        MotionModel(Ridge(), rate=RATE).fit(*TEST)


def test_degrees_are_noticed(circling: MotionModel) -> None:
    degrees = np.rad2deg(TEST.angles)
    with pytest.raises(ValueError, match="look like degrees. Give np.deg2rad"):
        MotionModel(GRURegressor(max_epochs=1), rate=RATE).fit(TEST.drive, degrees)
    with pytest.raises(ValueError, match="look like degrees"):
        circling.free_run([1.0], degrees[0, :20], 10)
    own = MotionModel(GRURegressor(max_epochs=1), rate=RATE, unit="degrees").fit(TEST.drive, degrees)
    assert own.free_run([1.0], degrees[0, :20], 10).attrs["units"] == "degrees"


def test_another_rate_is_noticed() -> None:
    index = pd.Index(np.arange(200) / 50.0, name="time")
    angles = pd.DataFrame(TEST.angles[0], index=index)
    with pytest.raises(ValueError, match=r"steps of 0.02 s, 50 Hz, but rate=25 Hz: set rate=50"):
        MotionModel(GRURegressor(max_epochs=1), rate=RATE).fit(None, angles)


def test_missing_joints_are_named() -> None:
    frame = pd.DataFrame(TEST.angles[0], columns=["hip", "ankle"])
    with pytest.raises(ValueError, match=r"joints \['knee'\] are missing from angles, which has \['hip', 'ankle'\]"):
        MotionModel(GRURegressor(max_epochs=1), angles=["hip", "knee"], rate=RATE).fit(None, frame)


@pytest.mark.parametrize(
    ("drive", "begin", "steps", "words"),
    [
        ([3.0], start(), 10, r"drive 'drive_0' is 3 at step 0, outside of the range of the training, 0\.5\d* to 1\.4"),
        (None, start(), 10, "fitted with a drive of 1 columns"),
        ([1.0, 1.0], start(), 10, r"drive has shape \(2,\)"),
        (TEST.drive[0, :25], start(), 10, "needs 30 rows"),
        ([1.0], start(), None, "steps is None"),
        ([1.0], start(3), 10, "start has 3 steps, but the warm-up takes 20"),
        ([1.0], np.zeros((20, 3)), 10, r"start has shape \(20, 3\), expected \(steps, 2\)"),
        ([1.0], np.full((20, 2), np.nan), 10, "start contains NaN"),
        ([1.0], pd.DataFrame(np.zeros((20, 2)), columns=["hip", "toe"]), 10, "missing"),
    ],
)
def test_free_runs_that_cannot_be_are_named(
    circling: MotionModel, drive: Any, begin: Any, steps: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        circling.free_run(drive, begin, steps)


def test_neurons_that_are_not_there_are_named(circling: MotionModel) -> None:
    with pytest.raises(ValueError, match=r"no neuron 'h\[12\]'. OwnPast has 12"):
        circling.steer({"h[12]": 0.0}, [1.0], start(), 10)
    with pytest.raises(ValueError, match="force is a mapping"):
        circling.steer([0.5], [1.0], start(), 10)


def test_a_run_that_diverges_is_stopped_and_the_step_told() -> None:
    """A linear model that doubles its angle with every step."""
    grows = 1e-3 * 1.5 ** np.arange(20)[:, None]
    model = MotionModel(ARXRegressor(output_lags=0), rate=10.0).fit(None, grows)
    with pytest.raises(FloatingPointError, match=r"series 0 diverges at step \d+ \(\d.*ranges outside"):
        model.free_run(None, grows[:10], 200)


# ---------------------------------------------------------------- what is joined by name, and what is not


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two drives, of which the second does nothing, and two joints; series "a" and "b"."""
    data = made(2, 100, 1)
    index = pd.MultiIndex.from_product([["a", "b"], np.arange(100) / RATE], names=["series", "time"])
    drive = pd.DataFrame({"speed": data.drive.ravel(), "idle": np.linspace(-9, 9, 200)}, index=index)
    return drive, pd.DataFrame(data.angles.reshape(-1, 2), index=index, columns=["hip", "knee"])


def test_columns_are_joined_by_name_wherever_they_come_in() -> None:
    drive, angles = frames()
    model = MotionModel(GRURegressor(hidden_size=4, max_epochs=2, random_state=0), rate=RATE).fit(drive, angles)
    first, driven = angles.loc["a"].iloc[:10], drive.loc["a"].iloc[:30]
    run = model.run(driven, first).angles
    swapped, beside = first[["knee", "hip"]].assign(note=0.0), driven[["idle", "speed"]]
    np.testing.assert_array_equal(model.run(beside, swapped).angles, run)
    labelled = xarray.DataArray(swapped[["knee", "hip"]], dims=("time", "angle"), coords={"angle": ["knee", "hip"]})
    np.testing.assert_array_equal(model.run(driven, labelled).angles, run)
    assert model.score(drive[["idle", "speed"]], angles[["knee", "hip"]]) == model.score(drive, angles)
    answers = model.predict(drive, angles)
    assert answers.index.equals(angles.index) and list(answers.columns) == ["hip", "knee"]
    together = model.run(drive, angles.groupby("series").head(10)).angles
    assert together.sizes["series"] == 2
    np.testing.assert_allclose(together[0], model.run(drive.loc["a"], first).angles, rtol=1e-5, atol=1e-5)
    maps = [
        steering_map(model, "amplitude", ["h[1]"], [0.1], drive=[1.0, 0.0], start=begin, steps=30)
        for begin in (first, swapped)
    ]
    np.testing.assert_array_equal(*maps)


def test_what_does_not_go_together_is_named() -> None:
    drive, angles = frames()
    network = GRURegressor(hidden_size=4, max_epochs=1, random_state=0)
    model = MotionModel(network, rate=RATE).fit(drive, angles)
    other = angles.rename(index={"a": "c"}, level=0)
    slow = drive.loc["a"].set_axis(np.arange(100) / 50)
    cases: list[tuple[Any, str]] = [
        (lambda: MotionModel(network, rate=RATE).fit(drive, other), "indexed differently"),
        (lambda: model.score(drive[["speed"]], angles), r"columns \['idle'\] are missing from drive"),
        (lambda: model.score(drive.to_numpy()[:100, :1], angles.to_numpy()[:100]), "drive has 1 columns, but"),
        (lambda: model.score(None, angles), "fitted with a drive of 2 columns"),
        (lambda: model.autonomous(np.ones((5, 2))), "constant drive is 2 finite numbers"),
        (lambda: model.free_run(np.ones((2, 30, 2)), np.zeros((3, 10, 2))), "start has 3 series, the drive 2"),
        (lambda: model.free_run(slow, np.zeros((10, 2))), "drive is indexed by steps of 0.02 s"),
        (lambda: MotionModel(network, rate=np.inf).fit(drive, angles), "rate"),
        (lambda: MotionModel(network, angles="ab", rate=RATE).fit(drive, angles), "a list of str, got the str 'ab'"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words):
            call()


def test_a_joint_that_never_moves_may_move_a_little() -> None:
    """A constant column has no range of its own to be ten times outside of."""
    turn = 2 * np.pi * np.arange(400) / RATE
    angles = np.stack([np.cos(turn), np.zeros(400)], axis=1)
    model = MotionModel(ARXRegressor(), rate=RATE).fit(None, angles)
    assert model.free_run(None, np.column_stack([angles[:50, 0], np.full(50, 1e-3)]), 100).sizes["time"] == 100


def test_the_estimators_own_warm_up_counts() -> None:
    network = GRURegressor(hidden_size=4, max_epochs=1, warmup=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = MotionModel(network, rate=RATE).fit(*TEST)
    with pytest.raises(ValueError, match="start has 3 steps, but the warm-up takes 20"):
        model.free_run([1.0], start(3), 10)
    assert model.evaluate(*TEST)["series"] == 3


def test_long_runs_are_stopped_where_they_diverge_and_go_on_where_not(circling: MotionModel) -> None:
    """Pieces make no difference; what diverges late is stopped in its piece, and the step is right."""
    forced = {"h[2]": np.where(np.arange(1100) % 7, np.nan, 0.3)}
    run = circling.steer(forced, [1.0], start(), 1100)
    whole = circling.free_run([1.0], start(), 1100)
    assert run.sizes["time"] == whole.sizes["time"] == 1100
    np.testing.assert_allclose(circling.steer(forced, [1.0], start(), 900), run[:900], atol=1e-6)
    grows = 1e-3 * 1.01 ** np.arange(100)[:, None]
    model = MotionModel(ARXRegressor(output_lags=0), rate=10.0).fit(None, grows)
    whole = model.run(None, grows[:10], 3000).angles
    first = int(model.strays(whole).argmax())
    with pytest.raises(FloatingPointError, match=f"diverges at step {first} "):
        model.free_run(None, grows[:10], 10**6)
