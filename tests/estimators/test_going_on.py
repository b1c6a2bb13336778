"""What goes on after a fit: further training, changed parameters, failures, and what is left behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import xarray
from sklearn.base import clone

from seqdyn.cell import Cell
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.estimators.baselines import PersistenceRegressor
from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor, RecurrentRegressor
from seqdyn.training.loop import NonFiniteError

X = np.random.default_rng(0).normal(size=(120, 2))
Y = X.cumsum(axis=0) * 0.1


def gru(**changes: Any) -> GRURegressor:
    """A small model."""
    return GRURegressor(**{"hidden_size": 6, "max_epochs": 3, "random_state": 0} | changes)


def test_partial_fits_are_one_fit() -> None:
    """The optimizer and all randomness go on: twenty epochs one by one are twenty epochs."""
    X3, Y3 = X.reshape(6, 20, 2), Y.reshape(6, 20, 2)
    settings = {"batch_size": 2, "dropout": 0.3, "initial_state": "random"}
    whole = gru(max_epochs=20, n_iter_no_change=99, **settings).fit(X3, Y3)
    parts = gru(**settings)
    for _ in range(20):
        parts.partial_fit(X3, Y3)
    np.testing.assert_array_equal(parts.predict(X3), whole.predict(X3))


def test_a_changed_structure_is_refused() -> None:
    """Training parameters may change after a fit; what shapes the network may not, until it is fitted anew."""
    model = gru(warm_start=True).fit(X, Y)
    model.set_params(learning_rate=0.1, max_epochs=2).fit(X, Y)
    for change in ({"hidden_size": 9}, {"loss": "gaussian"}, {"dtype": "float64"}, {"reset_gate": "before"}):
        before = {name: getattr(model, name) for name in change}
        model.set_params(**change)
        for use in (lambda: model.fit(X, Y), lambda: model.predict(X), lambda: model.save("never.safetensors")):
            with pytest.raises(ValueError, match=f"{next(iter(change))} was .* in fit and is .* now"):
                use()
        model.set_params(**before)
    assert model.set_params(hidden_size=9, warm_start=False).fit(X, Y).predict(X).shape == Y.shape


def test_a_partial_fit_that_fails_changes_nothing() -> None:
    """Neither how long inputs are held nor anything else."""
    model = gru().fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match="3 outputs"):
        model.partial_fit(np.zeros((4, 1, 2)), np.zeros((4, 7, 3)))
    with pytest.raises(ValueError):
        model.fit(np.column_stack([X, X]), Y * np.nan)
    np.testing.assert_array_equal(model.predict(X), before)
    assert model.predict(X[:1]).shape == (1, 2)


def test_the_last_update_is_checked() -> None:
    """No loss sees it: weights that are not finite are taken back all the same."""
    model = ElmanRegressor(max_epochs=1, optimizer="sgd", clip_norm=None, learning_rate=1e300, random_state=0)
    with pytest.raises(NonFiniteError, match=r"not finite.*the parameter"):
        model.fit(X, Y)
    assert np.isfinite(model.predict(X)).all()


def test_the_validation_loss_is_checked() -> None:
    """A loss that is not finite only on the part held out does not pass either."""
    model = ElmanRegressor(
        activation="relu", max_epochs=1, optimizer="sgd", clip_norm=None, learning_rate=1e30, early_stopping=True
    )
    with pytest.raises(NonFiniteError, match="validation loss in epoch 0"):
        model.set_params(random_state=0).fit(X, Y)
    assert np.isfinite(model.predict(X)).all()


def test_batches_without_a_target_are_no_steps() -> None:
    """The loss of an epoch is the same however the series with targets is batched."""
    x = np.random.default_rng(1).normal(size=(8, 20, 2))
    y = x.sum(axis=2)
    y[1:] = np.nan
    plans: tuple[dict[str, Any], ...] = ({"batch_size": 1}, {"batch_size": 8}, {"bptt_length": 20})
    losses = [gru(max_epochs=1, learning_rate=1e-9, **plan).fit(x, y).history_["loss"][0] for plan in plans]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


def test_streams_without_a_target_say_so() -> None:
    """A warm-up longer than every stream leaves nothing to learn from."""
    with pytest.raises(ValueError, match="No target counts on 4 streams of 30 steps"):
        gru(warmup=30, bptt_length=5, streams=4).fit(X, Y)


def test_no_device_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit on the CPU leaves the generators of every GPU alone."""
    calls: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", calls.append)
    gru().fit(X, Y)
    assert calls == []


def test_clone_keeps_the_output_container() -> None:
    """As it keeps scikit-learn's own set_output."""
    model = clone(gru().set_predict_output("pandas")).fit(X, Y)
    assert list(model.predict(X).columns) == ["y0", "y1"]


def test_one_series_of_many_keeps_its_axis() -> None:
    """Labelled predictions of a 3-D X of one series have the dimension of series."""
    model = gru().fit(X[None], Y[None]).set_predict_output("xarray")
    assert model.predict(X[None]).dims == ("series", "time", "outputs")


def test_models_without_memory_have_an_empty_state() -> None:
    """There is nothing to estimate."""
    state = PersistenceRegressor().fit(X, Y).estimate_state(X, Y)
    assert state.h.shape == (1, 0)


def test_cells_that_take_no_hidden_size() -> None:
    """Their second argument is something else: the error names the ways out, which work."""
    with pytest.raises(ValueError, match=r"MovingAverage takes no hidden_size.*cell=lambda"):
        RecurrentRegressor(cell=MovingAverage, max_epochs=1).fit(X, Y)

    def window(inputs: int, hidden: int) -> Cell:
        return MovingAverage(inputs, window=3)

    assert RecurrentRegressor(cell=window, max_epochs=1, random_state=0).fit(X, Y).predict(X).shape == Y.shape


def test_xarray_is_not_read_by_position() -> None:
    """Its axes have names; reading them in another order than these say would be a guess."""
    with pytest.raises(ValueError, match=r"xarray with the dims \('feature', 'hour'\), expected \(time, feature\)"):
        gru().fit(xarray.DataArray(X, dims=("feature", "hour")), Y)
