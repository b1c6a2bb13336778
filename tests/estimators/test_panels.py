"""Many series with labels: frames with the levels (series, time), and xarrays with their axes found by name."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import GridSearchCV

import seqdyn
from seqdyn import GRUClassifier, PersistenceRegressor
from seqdyn.data.sequences import as_sequences
from seqdyn.data.splits import PanelTimeSplit
from seqdyn.data.time_index import directly_follows
from tests.estimators.models import CAUSAL, CLOSED, close, lstm, panel, ragged

Array = np.ndarray[Any, Any]

EVERY = {**CAUSAL, **CLOSED}
NAMES = ["north", "west", "east"]
"""Not in alphabetical order: series keep the order they come in."""
FEATURES = ["rate", "level"]


def labelled(lengths: tuple[int, ...] = (9, 4, 12), begins: tuple[int, ...] = (0, 5, 2)) -> tuple[Any, Any]:
    """The series of :func:`ragged` as one frame and one Series, indexed by (station, day)."""
    X, y = ragged(lengths)
    days = pd.date_range("2024-01-01", periods=60, name="day")
    spans = [days[begin : begin + length] for begin, length in zip(begins, lengths, strict=True)]
    index = pd.MultiIndex.from_arrays(
        [np.repeat(NAMES[: len(lengths)], lengths), spans[0].append(spans[1:])], names=["station", "day"]
    )
    return pd.DataFrame(np.concatenate(X), index, FEATURES), pd.Series(np.concatenate(y), index, name="flow")


def cube() -> tuple[xr.DataArray, xr.DataArray]:
    """The series of :func:`panel` with dims (station, time, feature), and their targets."""
    X, y = panel(series=3)
    coords = {"station": NAMES, "time": pd.date_range("2024-01-01", periods=12), "feature": FEATURES}
    coords |= {"height": ("station", [1.0, 2.0, 3.0])}
    whole = xr.DataArray(X, dims=("station", "time", "feature"), coords=coords)
    targets = xr.DataArray(y, dims=("station", "time"), coords=whole.isel(feature=0, drop=True).coords, name="flow")
    return whole, targets


# --- frames with the levels (series, time) ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_a_panel_is_its_list_of_series(name: str) -> None:
    """The same fit, the same predictions, whatever y comes in; arrays come back, one row per row of X."""
    X, y = labelled()
    listed = EVERY[name]().fit(*ragged())
    expected = np.concatenate(listed.predict(ragged()[0]))
    two = pd.DataFrame({"flow": y, "heat": -y})
    for target in (y, y.to_numpy(), y.to_frame(), two):
        predicted = EVERY[name]().fit(X, target).predict(X)
        assert isinstance(predicted, np.ndarray) and predicted.shape == target.shape
    close(EVERY[name]().fit(X, y).predict(X), expected, 1e-9)
    model = EVERY[name]().fit(X, y)
    assert model.score(X, y) == pytest.approx(listed.score(*ragged()))
    assert model.feature_names_in_.tolist() == FEATURES


def test_panel_predictions_with_labels() -> None:
    """pandas gives the index of X; xarray (series, time), series in their order, NaN where one has no row."""
    X, y = labelled()
    model = lstm().fit(X, y)
    expected = model.predict(X)
    series = model.set_predict_output("pandas").predict(X)
    assert isinstance(series, pd.Series) and series.name == "flow"
    pd.testing.assert_index_equal(series.index, X.index)
    np.testing.assert_array_equal(series, expected)
    found = model.set_predict_output("xarray").predict(X)
    assert found.dims == ("series", "time") and found.shape == (3, 14) and found.name == "flow"
    assert found["series"].values.tolist() == NAMES and found.notnull().sum() == len(X)
    for (station, day), value in series.items():
        assert found.sel(series=station, time=day).item() == value
    two = lstm().fit(X, pd.DataFrame({"zeta": y, "alpha": -y})).set_predict_output("xarray").predict(X)
    assert two.dims == ("series", "time", "outputs") and two["outputs"].values.tolist() == ["zeta", "alpha"]
    frame = lstm().fit(X, y.to_frame()).set_predict_output("pandas").predict(X)
    assert isinstance(frame, pd.DataFrame) and frame.index.equals(X.index) and list(frame) == ["flow"]


def test_one_target_a_series() -> None:
    """Many-to-one: y in the order of the series; labels of series come back."""
    X, y = labelled()
    last = y.groupby(level=0, sort=False).last()
    model = lstm(return_sequences=False).fit(X, last)
    np.testing.assert_array_equal(model.predict(X), lstm(return_sequences=False).fit(X, last.to_numpy()).predict(X))
    found = model.set_predict_output("pandas").predict(X)
    assert found.index.tolist() == NAMES and found.index.name == "station"
    assert model.set_predict_output("xarray").predict(X)["series"].values.tolist() == NAMES
    again = lstm(return_sequences=False).fit(X, last.sort_index())
    np.testing.assert_array_equal(again.predict(X), model.set_predict_output().predict(X))
    with pytest.raises(ValueError, match=r"y has the label 0 in row 0, where the series of X has north"):
        lstm(return_sequences=False).fit(X, last.reset_index(drop=True))


def test_classes_of_a_panel() -> None:
    """Labels and probabilities, one row per row of X."""
    X, y = labelled()
    model = GRUClassifier(hidden_size=4, max_epochs=2, random_state=0).fit(X, np.where(y > 0, "up", "down"))
    assert model.predict_proba(X).shape == (25, 2) and set(model.predict(X)) <= {"up", "down"}
    found = model.set_predict_output("xarray").predict(X)
    assert found.sel(series="west").dropna("time").shape == (4,)
    held = GRUClassifier(hidden_size=4, max_epochs=2, random_state=0, return_sequences=False)
    assert held.fit(X, ["a", "b", "a"]).predict(X).shape == (3,)


def test_weights_and_states_of_a_panel() -> None:
    """One weight a step or a series; one row of the state a series, in their order."""
    X, y = labelled()
    by_series = lstm().fit(X, y, sample_weight=[1.0, 2.0, 3.0]).predict(X)
    by_step = lstm().fit(X, y, sample_weight=np.repeat([1.0, 2.0, 3.0], [9, 4, 12])).predict(X)
    np.testing.assert_array_equal(by_series, by_step)
    model = lstm().fit(X, y)
    _, state = model.predict(X, return_state=True)
    assert state.h.shape == (3, 4)
    west = model.predict(X.loc[["west"]], return_state=True)[1]
    close(state.h[1].numpy(), west.h[0].numpy(), 1e-6)


def test_going_on_with_a_panel(tmp_path: Any) -> None:
    """partial_fit takes panels; a file gives back what predicts them with their labels."""
    X, y = labelled()
    model = lstm().partial_fit(X, y).partial_fit(X.loc[["east"]], y.loc[["east"]]).set_predict_output("pandas")
    model.save(tmp_path / "model.safetensors")
    pd.testing.assert_series_equal(seqdyn.load(tmp_path / "model.safetensors").predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.iloc[[0, 9, 1, 10]], r"rows of series north of X do not stand together.*sort_index"),
        (lambda X: X.swaplevel(), r"levels are \['day', 'station'\], expected \(series, time\).*swaplevel"),
        (lambda X: X.iloc[[1, 0, 2]], r"X, series north, is not sorted in time.*PanelTimeSplit"),
        (lambda X: X.iloc[[0, 1, 9, 9]], r"series west, has duplicates, the first at 2024-01-06.*level=\[0, 1\]"),
        (lambda X: X.drop(X.index[16]), r"series east, has a hole after 2024-01-05.*PanelTimeSplit"),
        (lambda X: X.rename(index={"west": np.nan}, level=0), "missing label in its level of series"),
        (
            lambda X: X.where(X["rate"] != X["rate"].iloc[9]),
            r"X contains NaN in series west at 2024-01-06.*feature 'rate'",
        ),
        (lambda X: X[["level", "rate"]], "feature names"),
        (lambda X: [X, X], r"X\[0\] has a MultiIndex.*\(series, time\)"),
    ],
    ids=["apart", "swapped", "unsorted", "duplicates", "hole", "missing label", "NaN", "columns", "in a list"],
)
def test_panels_that_are_none(change: Any, message: str) -> None:
    """Errors name the series, and the way out."""
    X, y = labelled()
    model = lstm().fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.predict(change(X))


def test_rows_are_joined_by_their_labels() -> None:
    """The labels of y are those of X, in any order; others, by series or by time, are an error."""
    X, y = labelled()
    plain = lstm().fit(X, y)
    other = y.loc[["north", "east", "west"]]
    assert lstm().fit(X, other).score(X, other) == plain.score(X, y)
    np.testing.assert_array_equal(
        lstm().fit(X, other, sample_weight=other.abs()).predict(X), lstm().fit(X, y, sample_weight=y.abs()).predict(X)
    )
    with pytest.raises(ValueError, match="y has 24 labels, X 25: rows are joined by their labels, never by position"):
        lstm().fit(X, y.iloc[:-1])
    shifted = y.set_axis(y.index.set_levels(y.index.levels[1] + pd.Timedelta("1D"), level=1))
    with pytest.raises(ValueError, match=r"y has the label .* in row 0, where X has .*series.shift\(-1\)"):
        lstm().fit(X, shifted)
    assert lstm().fit(X, shifted.to_numpy()).score(X, y.to_numpy()) == plain.score(X, y)


def test_the_labels_of_a_frame_and_of_a_list_of_frames() -> None:
    """One series, and one each."""
    times = pd.date_range("2024", periods=9, freq="D")
    X = pd.DataFrame({"a": np.arange(9.0) ** 2}, times)
    y = X["a"].shift(-1)
    plain = lstm().fit(X, y)
    np.testing.assert_array_equal(lstm().fit(X, y[::-1]).predict(X), plain.predict(X))
    np.testing.assert_array_equal(
        lstm().fit([X, X], [y, y[::-1]]).predict([X])[0], lstm().fit([X, X], [y, y]).predict(X)
    )
    for one in (X["a"].iloc[1:], y.reset_index(drop=True), y.set_axis(times.tz_localize("UTC"))):
        with pytest.raises(ValueError, match="y has .*never by position"):
            lstm().fit(X, one)
        with pytest.raises(ValueError, match=r"y\[1\] has .*never by position"):
            lstm().fit([X, X], [y, one])
    with pytest.raises(ValueError, match="sample_weight has .*never by position"):
        lstm().fit(X, y, sample_weight=y.abs().reset_index(drop=True))


def shuffled(y: Any) -> Any:
    """The same labels in another order."""
    return y.sample(frac=1, random_state=0)


def test_labels_count_in_every_container() -> None:
    """Of frames of classes, of object arrays of series, and between pandas and xarray: in order, or an error."""
    times = pd.date_range("2024", periods=12, freq="D", name="time")
    X = pd.DataFrame({"a": np.arange(12.0) % 5, "b": np.arange(12.0) ** 2}, times)
    y = X["a"].shift(-1).fillna(0.0)
    expected = lstm().fit(X, y).predict(X)
    moved = y.set_axis(times + pd.Timedelta("1D"))
    array = xr.DataArray(X, dims=("time", "feature"))
    objects, weights = (np.empty(2, dtype=object) for _ in range(2))
    for i in range(2):
        objects[i], weights[i] = shuffled(y), shuffled(y + 1)
    np.testing.assert_array_equal(
        lstm().fit([X, X], objects, sample_weight=weights).predict(X),
        lstm().fit([X, X], [y, y], sample_weight=[y + 1, y + 1]).predict(X),
    )
    np.testing.assert_array_equal(lstm().fit(array, shuffled(y)).predict(X), expected)
    np.testing.assert_array_equal(lstm().fit(X, xr.DataArray(shuffled(y))).predict(X), expected)
    labels = pd.DataFrame({"label": X["a"] > 2})
    with pytest.warns(DataConversionWarning):
        classifier = GRUClassifier(max_epochs=3, random_state=0).fit(X, shuffled(labels))
    np.testing.assert_array_equal(
        classifier.predict_proba(X),
        GRUClassifier(max_epochs=3, random_state=0).fit(X, labels["label"]).predict_proba(X),
    )
    for fit in (
        lambda: lstm().fit(array, moved),
        lambda: lstm().fit(X, xr.DataArray(moved)),
        lambda: lstm().fit([X, X], [y, moved]),
        lambda: GRUClassifier(max_epochs=3).fit(X, moved.to_frame() > 2),
    ):
        with pytest.raises(ValueError, match="never by position"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DataConversionWarning)
            fit()


def test_series_of_an_xarray_beside_pandas() -> None:
    """A table (station, time) of targets, one target a station, and an xarray beside a frame with both levels."""
    X, y = cube()
    table = y.to_pandas()
    expected = lstm().fit(X, y).predict(X)
    np.testing.assert_array_equal(lstm().fit(X, shuffled(table)).predict(X), expected)
    np.testing.assert_array_equal(lstm().fit(X, table[table.columns[::-1]]).predict(X), expected)
    with pytest.raises(ValueError, match="never by position"):
        lstm().fit(X, table.set_axis([f"{name}!" for name in table.index]))
    frame, flow = labelled((9, 9, 9), (0, 0, 0))
    np.testing.assert_array_equal(
        lstm().fit(frame, flow.to_xarray().transpose()).predict(frame), lstm().fit(frame, flow).predict(frame)
    )


@pytest.mark.parametrize(
    "times",
    [
        lambda length: pd.RangeIndex(length),
        lambda length: pd.period_range("1990", periods=length, freq="Q"),
        lambda length: pd.bdate_range("2024-01-01", periods=length),
        lambda length: pd.date_range("2024-03-30", periods=length, freq="h", tz="Europe/Vienna"),
        lambda length: pd.Index(np.arange(length) * 0.1),
        lambda length: pd.Index([f"run {number:02d}" for number in range(length)]),
    ],
    ids=["numbers", "quarters", "business days", "tz", "seconds", "names"],
)
def test_any_index_of_time(times: Any) -> None:
    """Each series is checked as a frame of its own would be; every kind of label comes back."""
    parts = {name: pd.DataFrame(np.ones((length, 1)), times(length)) for name, length in zip("ba", (5, 8), strict=True)}
    X = pd.concat(parts).rename(columns=str)
    model = PersistenceRegressor().fit(X, X)
    pd.testing.assert_index_equal(model.set_predict_output("pandas").predict(X).index, X.index)
    found = model.set_predict_output("xarray").predict(X)
    assert found.sizes == {"series": 2, "time": 8, "outputs": 1} and found.isnull().sum() == 3
    with pytest.raises(ValueError, match="series a, is not sorted"):
        model.predict(X.iloc[[0, 1, 2, 8, 7]])


# --- xarray --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_xarray_in_any_order(name: str) -> None:
    """Dims are found by name: the same fit as of the array, and predictions in the order (series, time)."""
    X, y = cube()
    expected = EVERY[name]().fit(X.to_numpy(), y.to_numpy()).predict(X.to_numpy())
    for dims in (("station", "time", "feature"), ("feature", "time", "station"), ("time", "station", "feature")):
        model = EVERY[name]().fit(X.transpose(*dims), y.transpose("time", "station"))
        np.testing.assert_array_equal(model.predict(X.transpose(*dims[::-1])), expected)
        assert model.feature_names_in_.tolist() == FEATURES
    one = EVERY[name]().fit(X[0], y[0])
    np.testing.assert_array_equal(
        one.predict(X[0].T), EVERY[name]().fit(X[0].to_numpy(), y[0].to_numpy()).predict(X[0])
    )


def test_xarray_gives_its_coordinates_back() -> None:
    """All of them but those of the features; the outputs have their own."""
    X, y = cube()
    found = lstm().fit(X, y).set_predict_output("xarray").predict(X.T)
    assert found.dims == ("time", "station")[::-1] and found.name == "flow"
    xr.testing.assert_equal(found.coords.to_dataset(), y.coords.to_dataset())
    both = xr.concat([y, -y], dim=pd.Index(["zeta", "alpha"], name="outputs"))
    two = lstm().fit(X, both).set_predict_output("xarray").predict(X)
    assert two.dims == ("station", "time", "outputs") and two["outputs"].values.tolist() == ["zeta", "alpha"]
    single = lstm().fit(X[0], y[0]).set_predict_output("xarray").predict(X[1])
    assert single.dims == ("time",) and single["station"] == "west"
    last = lstm(return_sequences=False).fit(X, y[:, -1]).set_predict_output("xarray").predict(X)
    assert last.dims == ("station",) and last["height"].values.tolist() == [1.0, 2.0, 3.0]
    frame = lstm().fit(X, y).set_predict_output("pandas").predict(X)
    assert frame.index.names == ["station", "time"] and frame.loc["west"].shape == (12,)


def test_xarray_without_names() -> None:
    """Dims in the natural order need no names; features without labels are numbers."""
    X, y = panel(series=3)
    model = lstm().fit(xr.DataArray(X), y)
    np.testing.assert_array_equal(model.predict(xr.DataArray(X)), lstm().fit(X, y).predict(X))
    assert not hasattr(model, "feature_names_in_")
    found = model.set_predict_output("xarray").predict(xr.DataArray(X, dims=("site", "hour", "channel")))
    assert found.dims == ("site", "hour")


def test_padding_is_absence() -> None:
    """Rows of NaN at the end of a series are not there: the fit of the list, NaN in their place."""
    X, y = cube()
    X, y = X.copy(), y.copy()
    X[0, 9:], X[1, 4:] = np.nan, np.nan
    parts = [X[0, :9].to_numpy(), X[1, :4].to_numpy(), X[2].to_numpy()]
    targets = [y[0, :9].to_numpy(), y[1, :4].to_numpy(), y[2].to_numpy()]
    listed = lstm().fit(parts, targets)
    model = lstm().fit(X, y)
    found = model.predict(X)
    assert found.shape == (3, 12) and np.isnan(found).sum() == 3 + 8
    np.testing.assert_array_equal(found[~np.isnan(found)], np.concatenate(listed.predict(parts)))
    assert model.score(X, y) == pytest.approx(listed.score(parts, targets))
    xr.testing.assert_equal(model.set_predict_output("xarray").predict(X).isnull(), X.isnull().all("feature"))
    assert len(model.set_predict_output("pandas").predict(X)) == 25
    weighted = lstm().fit(X, y, sample_weight=xr.ones_like(y).T)
    np.testing.assert_array_equal(weighted.predict(X), found)
    classes = GRUClassifier(hidden_size=4, max_epochs=2, random_state=0).fit(X, y.to_numpy() > 0).predict(X)
    assert classes.shape == (3, 12) and pd.isna(classes).sum() == 11


def test_one_to_many_with_labels() -> None:
    """The input is held for as long as y; series keep their labels, steps are numbers."""
    X, y = cube()
    model = lstm().fit(X[:, :1], y.drop_vars("time"))
    assert model.predict(X[:, :1]).shape == (3, 12)
    found = model.set_predict_output("xarray").predict(X[:, :1])
    assert found.dims == ("series", "time") and found["series"].values.tolist() == NAMES
    frame = X[:, 0].to_pandas().set_axis(pd.MultiIndex.from_product([NAMES, [0]]))
    assert model.set_predict_output("pandas").predict(frame).loc["west"].shape == (12,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.rename(time="hour").transpose("feature", "hour", "station"), r"dims.*expected.*named 'time'"),
        (lambda X: X.rename(feature="channel").transpose("time", "channel", "station"), r"named 'time' and one of"),
        (lambda X: X.expand_dims("run"), r"dims \('run', 'station', 'time', 'feature'\), expected"),
        (lambda X: X[0, 0], r"dims \('feature',\)"),
        (lambda X: X.where(X["time"] != X["time"][3]), r"NaN in series north at 2024-01-04.*feature 'rate'"),
        (lambda X: X.where(X["station"] != "west"), "NaN everywhere in series west"),
        (lambda X: X.isel(time=slice(None, None, -1)), r"time coordinate of X is not sorted.*sortby"),
        (lambda X: X.drop_isel(time=4), "time coordinate of X has a hole after 2024-01-04"),
        (lambda X: X[..., ::-1], "feature names of X are"),
        (lambda X: X[..., :1], "feature names of X are"),
    ],
    ids=["hour", "channel", "4-D", "1-D", "NaN", "empty series", "backwards", "hole", "order", "too few"],
)
def test_xarrays_that_cannot_be_read(change: Any, message: str) -> None:
    """Errors say which names are needed, or where."""
    X, y = cube()
    model = lstm().fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.predict(change(X))
    with pytest.raises(TypeError, match=r"xarray Dataset, expected a DataArray.*to_dataarray"):
        model.predict(X.to_dataset("feature"))


def test_xarray_targets_that_do_not_fit() -> None:
    """Dims that X does not have, and series in another order."""
    X, y = cube()
    with pytest.raises(ValueError, match=r"y has the dims \('station', 'hour'\), expected \('station', 'time'\)"):
        lstm().fit(X, y.rename(time="hour"))
    with pytest.raises(ValueError, match=r"y has the dims .*'outputs'"):
        lstm().fit(X, y.expand_dims("colour", axis=2))
    np.testing.assert_array_equal(lstm().fit(X, y[::-1]).predict(X), lstm().fit(X, y).predict(X))
    with pytest.raises(ValueError, match=r"coordinate 'time' of y is not that of X.*y.drop_vars\('time'\)"):
        lstm().fit(X, y.assign_coords(time=y["time"] + 1))


def test_all_containers_are_one_fit() -> None:
    """A panel, an xarray and a list of the same series."""
    X, _ = cube()
    frame = X.to_series().unstack("feature").reindex(NAMES, level=0)[FEATURES]
    sequences = as_sequences(frame), as_sequences(X), as_sequences(list(X.to_numpy()))
    for other in sequences[1:]:
        np.testing.assert_array_equal(sequences[0].rows, other.rows)
        np.testing.assert_array_equal(sequences[0].lengths, other.lengths)


# --- what follows what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(1000, 1080, 2),
        pd.date_range("2024-01-31", periods=40, freq="ME"),
        pd.bdate_range("2024-01-01", periods=40),
        pd.period_range("1990", periods=40, freq="Q"),
        pd.timedelta_range("0s", periods=40, freq="100ms"),
        pd.date_range("2024-03-30", periods=40, freq="h", tz="Europe/Vienna"),
    ],
    ids=["even", "month ends", "business days", "quarters", "timedelta", "tz"],
)
def test_directly_follows(index: pd.Index) -> None:
    """One step on follows; two steps, none, or backwards do not; names cannot tell."""
    assert directly_follows(index[20:24], index[16:20]) and directly_follows(index[20:21], index[16:20])
    for head in (index[21:25], index[19:23], index[10:14]):
        assert not directly_follows(head, index[16:20])
    assert not directly_follows(pd.Index(["c", "d"]), pd.Index(["a", "b"]))


def test_a_search_over_a_panel() -> None:
    """GridSearchCV cuts every series at the same days."""
    X, y = labelled((30, 28, 25))
    search = GridSearchCV(lstm(), {"hidden_size": [2, 3]}, cv=PanelTimeSplit(2), error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
