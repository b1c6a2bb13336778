"""Own past in estimators: gaps, scaling, training on free runs, the linear start, averaged weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from seqdyn import (
    ARXRegressor,
    Autoregression,
    ElmanRegressor,
    GRURegressor,
    LinearStateSpaceRegressor,
    LSTMClassifier,
    LSTMRegressor,
    load,
)
from seqdyn.autoregression import Past
from seqdyn.cells.linear import Linear
from seqdyn.delay_line import DelayLine
from seqdyn.loops import scan
from seqdyn.teacher_forcing import TeacherForcing

QUICK: dict[str, Any] = {"hidden_size": 4, "max_epochs": 3, "random_state": 0, "dtype": "float64"}
WALK = np.cumsum(np.random.default_rng(0).normal(size=300))


def test_a_gap_in_x_is_the_loop_by_hand() -> None:
    model = GRURegressor(autoregression=Autoregression(lags=3, centred=True), **QUICK).fit(WALK[:-1, None], WALK[1:])
    x = WALK[:40, None].copy()
    x[20:25] = np.nan
    predicted = model.predict(x)
    filled = x.copy()
    for step in range(20, 25):
        filled[step] = model.predict(filled[:step])[-1]
    np.testing.assert_allclose(predicted, model.predict(filled), rtol=1e-9)


def test_streaming_goes_through_gaps_too(tmp_path: Any) -> None:
    model = LSTMRegressor(autoregression=Autoregression(lags=2), **QUICK).fit(WALK[:-1, None], WALK[1:])
    model.save(tmp_path / "model.safetensors")
    x = WALK[:30, None].copy()
    x[10:14] = np.nan
    stream = load(tmp_path / "model.safetensors").stream()
    np.testing.assert_allclose([stream.push(row) for row in x], model.predict(x), rtol=1e-9)


def test_targets_and_their_past_share_one_scaling() -> None:
    y = 100 + 5 * WALK
    model = ElmanRegressor(autoregression=Autoregression(), **QUICK).fit(y[:-1, None], y[1:])
    assert model.target_scaling_.mean[0] == model.input_scaling_.mean[0]
    assert model.target_scaling_.scale[0] == model.input_scaling_.scale[0]


def test_a_free_run_trains_on_the_error_of_the_rollout() -> None:
    """With ``free_run`` the loss of one window is that of its rollout, by hand."""
    own = Autoregression(free_run=3)
    model = GRURegressor(autoregression=own, max_epochs=1, hidden_size=4, random_state=0, dtype="float64", tol=0)
    model.fit(WALK[:20, None], WALK[1:21])
    loss = model.history_["loss"].iloc[0]
    fresh = GRURegressor(
        autoregression=Autoregression(),
        max_epochs=1,
        hidden_size=4,
        random_state=0,
        dtype="float64",
        learning_rate=1e-300,
    ).fit(WALK[:20, None], WALK[1:21])
    x = WALK[:20, None].copy()
    x[17:] = np.nan
    error = (fresh.predict(x) - WALK[1:21]) / fresh.target_scaling_.scale[0]
    assert loss == pytest.approx(np.mean(error**2))


def test_scheduled_sampling_is_not_stopped_by_its_rising_loss() -> None:
    own = Autoregression(teacher_forcing="linear")
    model = GRURegressor(autoregression=own, **QUICK | {"max_epochs": 30, "n_iter_no_change": 1})
    assert model.fit(WALK[:20, None], WALK[1:21]).n_iter_ == 30


def test_hide_shows_the_share_that_is_asked_for() -> None:
    x = Past(torch.ones(50, 200, 1), torch.ones(50, 200, 1))
    generator = torch.Generator().manual_seed(0)
    shown = Autoregression(teacher_forcing=0.3).hide(x, None, 0.0, generator).known.mean()
    assert float(shown) == pytest.approx(0.3, abs=0.02)
    late = Autoregression(teacher_forcing="linear").hide(x, None, 0.75, generator).known.mean()
    assert float(late) == pytest.approx(0.25, abs=0.02)
    lengths = torch.full((50,), 100)
    ends = Autoregression(free_run=7).hide(x, lengths, 0.0, generator).known
    assert (ends[:, :93] == 1).all()
    assert (ends[:, 93:] == 0).all()
    assert x.known.min() == 1
    sparse = TeacherForcing(every=10, alpha=0.5)
    assert Autoregression(teacher_forcing=sparse).hide(x, None, 0.0, generator).known.sum() == 50 * 20 * 0.5


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("loss", ["mse", "quantile", "gaussian"])
def test_a_linear_start_is_the_ridge_solution(centred: bool, loss: str) -> None:
    lags, penalty = 5, 3.0
    model = GRURegressor(
        autoregression=Autoregression(lags=lags, centred=centred),
        skip=True,
        linear_start=penalty,
        loss=loss,
        **QUICK | {"max_epochs": 1, "learning_rate": 1e-300},
    ).fit(WALK[:-1, None], WALK[1:])
    z = (WALK - model.input_scaling_.mean) / model.input_scaling_.scale
    rows, wanted = [], []
    for t in range(299):
        lag = np.array([z[t - j] if t >= j else (z[t] if centred else 0.0) for j in range(lags)])
        rows.append(lag[1:] - lag[0] if centred else lag)
        wanted.append(z[t + 1] - (lag[0] if centred else 0.0))
    ridge = Ridge(alpha=penalty).fit(rows, wanted)
    readout = model.network_.cell.cell
    heads = model.task.head.location_outputs
    for head in heads:
        np.testing.assert_allclose(readout.direct[head].detach(), ridge.coef_, rtol=1e-5, atol=1e-9)
        assert readout.affine.bias[head].item() == pytest.approx(ridge.intercept_, rel=1e-5)
    assert (readout.affine.weight.abs() < 1e-200).all()


def test_averaged_weights_are_the_average_of_the_steps() -> None:
    """The average of two known trajectories: after one and two steps."""
    paths = [
        GRURegressor(**QUICK | {"max_epochs": epochs}).fit(WALK[:-1, None], WALK[1:]).network_.affine.bias.detach()
        for epochs in (1, 2)
    ]
    averaged = GRURegressor(weight_average=0.9, **QUICK | {"max_epochs": 2}).fit(WALK[:-1, None], WALK[1:])
    first = 2 / 11  # (1 + n) / (10 + n) with n = 1 and 2: early steps count more
    expected = paths[0] * (1 - first)
    expected = expected + (1 - 3 / 12) * (paths[1] - expected)
    np.testing.assert_allclose(averaged.network_.affine.bias.detach(), expected, rtol=1e-9)


def test_early_stopping_keeps_the_best_average() -> None:
    model = GRURegressor(weight_average=0.9, early_stopping=True, **QUICK | {"max_epochs": 20}).fit(
        WALK[:-1, None], WALK[1:]
    )
    best = model.history_["validation_loss"].min()
    scaled = (model.predict(WALK[:-1, None]) - WALK[1:]) / model.target_scaling_.scale[0]
    assert np.mean(scaled[-30:] ** 2) == pytest.approx(best, rel=1e-6)


def test_two_targets_and_two_steps() -> None:
    y = np.stack([WALK, -WALK], axis=1)
    target = np.concatenate([y[1:-1, :1], y[2:, :1], y[1:-1, 1:], y[2:, 1:]], axis=1)
    model = ElmanRegressor(autoregression=Autoregression(targets=2, horizon=2, lags=2, centred=True), **QUICK)
    assert model.fit(y[:-2], target).predict(y[:10]).shape == (10, 4)
    with pytest.raises(ValueError, match="4 columns of y"):
        model.fit(y[:-2], target[:, :3])


def test_the_linear_model_still_reads_its_matrices() -> None:
    model = LinearStateSpaceRegressor(autoregression=Autoregression(lags=2), order=2, max_epochs=2, random_state=0)
    model.fit(WALK[:-1, None], WALK[1:])
    assert model.feedthrough_.shape == (1, 2)
    assert model.input_map_.shape == (2, 2)
    assert np.isfinite(model.output_offset_).all()


def test_a_solved_model_leaves_out_steps_whose_past_is_missing() -> None:
    x, y = WALK[:-1, None].copy(), WALK[1:].copy()
    whole = ARXRegressor(output_lags=0, input_lags=0, autoregression=Autoregression()).fit(x, y)
    x[50] = np.nan
    kept = np.arange(299) != 50
    holed = ARXRegressor(output_lags=0, input_lags=0, autoregression=Autoregression()).fit(x, y)
    slope, offset = np.polyfit(WALK[:-1][kept], y[kept], 1)
    assert holed.predict(np.array([[2.0]]))[0] == pytest.approx(2 * slope + offset)
    assert whole.predict(np.array([[2.0]]))[0] != holed.predict(np.array([[2.0]]))[0]


def test_other_columns_must_be_known() -> None:
    x = np.column_stack([WALK[:-1], WALK[:-1]])
    x[5, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ElmanRegressor(autoregression=Autoregression(), **QUICK).fit(x, WALK[1:])
    x[5] = [np.inf, 0]
    with pytest.raises(ValueError, match="inf"):
        ElmanRegressor(autoregression=Autoregression(), **QUICK).fit(x, WALK[1:])


@pytest.mark.parametrize(
    "change",
    [{"lags": 0}, {"targets": 0}, {"horizon": 1.5}, {"centred": True}, {"teacher_forcing": 1.5}, {"free_run": -1}],
)
def test_bad_autoregressions(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        Autoregression(**change)


def test_what_does_not_go_together() -> None:
    x, y = WALK[:-1, None], WALK[1:]
    for change, message in (
        ({"bidirectional": True, "autoregression": Autoregression()}, "causal"),
        ({"output_lag": 2, "autoregression": Autoregression()}, "delays"),
        ({"skip": True, "bidirectional": True}, "causal readout"),
        ({"linear_start": 1.0, "bidirectional": True}, "causal readout"),
    ):
        with pytest.raises(ValueError, match=message):
            GRURegressor(**QUICK | change).fit(x, y)
    with pytest.raises(ValueError, match="in a regressor"):
        LSTMClassifier(skip=True, linear_start=1.0).fit(x, y > 0)
    with pytest.raises(ValueError, match="of one lag"):
        ARXRegressor(autoregression=Autoregression(lags=3)).fit(x, y)


def test_a_cell_of_the_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 inputs"):
        DelayLine(Linear(3, 2), targets=2, lags=2)
    with pytest.raises(ValueError, match="shifted"):
        DelayLine(Linear(3, 2), lags=2, shifted=[0])


def test_the_delay_line_is_a_sliding_window() -> None:
    """Against the windows written out: y_t = v_t + v_{t-1} + v_{t-2}, unseen lags as 0."""
    total = Linear(3, 0, 1).double()
    total.feedthrough.data.fill_(1.0)
    values = torch.randn(2, 10, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = scan(DelayLine(total, lags=3).double(), values).output[..., 0].detach()
    padded = torch.nn.functional.pad(values[..., 0], (2, 0))
    np.testing.assert_allclose(found, padded.unfold(1, 3, 1).sum(2), rtol=1e-12)


@pytest.mark.parametrize("lags", [1, 3])
def test_a_residual_network_says_the_change(lags: int) -> None:
    """y_t = v_t + o_t: a network that says nothing stands still, and the lags are seen as they are."""
    still = Linear(lags, 0, 1).double()
    still.feedthrough.data.zero_()
    values = torch.randn(2, 10, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(scan(DelayLine(still, lags=lags, shifted=[0], residual=True).double(), values).output, values)
    still.feedthrough.data[0, -1] = 1.0  # the oldest lag
    moved = scan(DelayLine(still, lags=lags, shifted=[0], residual=True).double(), values).output.detach()
    oldest = torch.nn.functional.pad(values, (0, 0, lags - 1, 0))[:, : values.shape[1]]
    torch.testing.assert_close(moved, values + oldest)


def test_a_residual_network_keeps_its_meaning_in_the_units_of_the_data() -> None:
    """A motion at a constant speed, far from 0: the network has to learn one number."""
    own = Autoregression(residual=True)
    model = GRURegressor(autoregression=own, skip=True, linear_start=1e-9, max_epochs=1, learning_rate=1e-300)
    line = 500.0 + 0.5 * np.arange(100.0)
    model.fit(line[:-1, None], line[1:])
    ahead = np.full((5, 1), np.nan)
    ahead[0] = line[-1]
    np.testing.assert_allclose(
        model.predict(ahead, initial_state=model.state_), line[-1] + 0.5 * np.arange(1, 6), rtol=1e-5
    )


def test_windows_find_their_delay_line_filled_from_the_rows_before() -> None:
    """A linear model without memory: the loss of windows is that of the whole, whose delay line runs on."""
    own = Autoregression(lags=4, centred=True)
    common = {
        "autoregression": own,
        "skip": True,
        "linear_start": 1e-6,
        **QUICK | {"max_epochs": 1, "learning_rate": 1e-300},
    }
    whole = GRURegressor(**common).fit(WALK[:-1, None], WALK[1:])
    parts = GRURegressor(window=23, stride=23, batch_size=1000, **common).fit(WALK[:-1, None], WALK[1:])
    error = (whole.predict(WALK[:-1, None]) - WALK[1:]) / whole.target_scaling_.scale[0]
    spans = [range(start, start + 23) for start in [*range(0, 276, 23), 276]]
    expected = np.mean([np.mean(error[span] ** 2) for span in spans])
    assert parts.history_["loss"].iloc[0] == pytest.approx(expected, rel=1e-9)
