"""Example data: shapes, calendars, reproducibility, and where files come from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seqdyn import datasets

TRAJECTORIES = [datasets.load_logistic, datasets.load_henon, datasets.load_lorenz, datasets.load_mackey_glass]
LOADERS = [
    datasets.load_sunspots,
    datasets.load_co2,
    datasets.load_macrodata,
    datasets.load_cascaded_tanks,
    *TRAJECTORIES,
]


# Every frame


@pytest.mark.parametrize("load", LOADERS)
def test_frames_are_labelled(load):
    frame = load()
    assert frame.index.name == "time"
    assert frame.attrs["source"]
    assert set(frame.attrs["units"]) == set(frame.columns)
    assert (frame.dtypes == np.float64).all()
    pd.testing.assert_frame_equal(frame, load())


@pytest.mark.parametrize("load", [*LOADERS, datasets.load_moving_digits, lambda: datasets.load_salamander(1, 1.0)])
def test_global_generators_are_left_alone(load):
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    load()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_import_is_silent_and_light():
    check = (
        "import sys, seqdyn.datasets; sys.exit(bool({'pandas', 'sklearn', 'statsmodels', 'pooch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", [name for name in dir(datasets) if name.startswith(("load_", "fetch_"))])
def test_every_data_set_has_a_card(name):
    folder = {"fetch_daisy": "daisy", "fetch_m4_hourly": "m4_hourly"}.get(name, name.partition("_")[2])
    card = Path(__file__).parents[2] / "datasets" / folder / "README.md"
    lines = card.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25
    for heading in ("Source", "Terms", "Units", "Sampling", "Shape", "Split", "Made by"):
        assert any(line.startswith(f"- **{heading}**") for line in lines), heading
    assert f"({folder}/README.md)" in (card.parents[1] / "README.md").read_text(encoding="utf-8")


# Shipped with other packages


def test_sunspots():
    frame = datasets.load_sunspots()
    assert frame.shape == (309, 1)
    assert frame.index.freqstr.startswith("YS")
    assert frame.index[0] == pd.Timestamp("1700-01-01") and frame.index[-1] == pd.Timestamp("2008-01-01")
    assert frame["sunspots"].loc["1700":"1702"].tolist() == [5.0, 11.0, 16.0]


def test_co2_keeps_its_gaps_by_weeks_and_has_none_by_months():
    weekly, monthly = datasets.load_co2(), datasets.load_co2("monthly")
    assert weekly.shape == (2284, 1) and weekly.index.freqstr == "W-SAT" and weekly["co2"].isna().sum() == 59
    assert monthly.shape == (526, 1) and monthly.index.freqstr == "MS" and not monthly.isna().any(axis=None)
    assert monthly.loc["2001-12", "co2"].item() == pytest.approx(weekly.loc["2001-12", "co2"].mean())
    with pytest.raises(ValueError, match="'weekly' or 'monthly'"):
        datasets.load_co2("daily")


def test_macrodata():
    frame = datasets.load_macrodata()
    assert frame.shape == (203, 12) and frame.index.freqstr.startswith("QS")
    assert frame.index[0] == pd.Timestamp("1959-01-01") and frame.index[-1] == pd.Timestamp("2009-07-01")
    assert frame["realgdp"].iloc[0] == 2710.349


def test_digits():
    images, labels = datasets.load_digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    assert labels.shape == (1797,) and set(labels) == set(range(10))


# Moving digits


def test_moving_digits_change_once_and_are_the_digit_they_say():
    films = datasets.load_moving_digits(n_films=20, canvas=12, random_state=1)
    assert films.X.shape == (20, 12, 144) and films.X.dtype == np.float32 and films.y.shape == (20, 12)
    assert ((np.diff(films.y, axis=1) != 0).sum(axis=1) == 1).all()
    images, labels = datasets.load_digits()
    for frame, label in zip(films.X.reshape(-1, 12, 12), films.y.ravel(), strict=True):
        places = np.lib.stride_tricks.sliding_window_view(frame, (8, 8)).reshape(25, 64)
        ink = places[places.sum(axis=1) == frame.sum()]  # the windows that hold the whole digit
        distance = np.abs(ink[:, None] - images[labels == label].reshape(1, -1, 64)).max(axis=2)
        assert distance.min() == 0


def test_moving_digits_move_one_pixel_at_most():
    films = datasets.load_moving_digits(n_films=30, time=10, canvas=11, random_state=2)
    for film, labels in zip(films.X.reshape(30, 10, 11, 11), films.y, strict=True):
        for before, after, same in zip(film, film[1:], np.diff(labels) == 0, strict=False):
            if same:
                shifts = [np.roll(before, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
                assert any(np.array_equal(shifted, after) for shifted in shifts)
                assert not np.array_equal(before, after)


def test_moving_digits_of_training_and_test_share_no_image():
    def inked(subset):
        frames = datasets.load_moving_digits(300, canvas=8, subset=subset, digits=range(10), random_state=0).X
        return {frame.tobytes() for frame in frames.reshape(-1, 64)}

    train, test = inked("train"), inked("test")
    assert len(train) > 300 and len(test) > 200 and not train & test


def test_moving_digits_are_reproducible():
    same, again = (datasets.load_moving_digits(5, random_state=7) for _ in range(2))
    other = datasets.load_moving_digits(5, random_state=8)
    assert np.array_equal(same.X, again.X) and np.array_equal(same.y, again.y)
    assert not np.array_equal(same.X, other.X)
    generator = datasets.load_moving_digits(5, random_state=np.random.default_rng(7))
    assert np.array_equal(same.X, generator.X)


@pytest.mark.parametrize("wrong", [{"time": 1}, {"canvas": 7}, {"digits": (3, 3)}, {"subset": "all"}])
def test_moving_digits_say_what_is_wrong(wrong):
    with pytest.raises(ValueError, match="load_moving_digits needs"):
        datasets.load_moving_digits(**wrong)


# Simulated


@pytest.mark.parametrize(
    ("load", "columns", "interval"),
    [
        (datasets.load_logistic, ["x"], 1.0),
        (datasets.load_henon, ["x", "y"], 1.0),
        (datasets.load_lorenz, ["x", "y", "z"], 0.01),
        (datasets.load_mackey_glass, ["x"], 1.0),
    ],
)
def test_trajectories(load, columns, interval):
    frame = load(steps=50)
    assert frame.shape == (50, len(columns)) and frame.columns.tolist() == columns
    assert frame.index.equals(pd.RangeIndex(50)) and frame.attrs["interval"] == interval
    pd.testing.assert_frame_equal(
        load(steps=40, discard=10), load(steps=50, discard=0)[10:].reset_index(drop=True).rename_axis("time")
    )


def test_trajectories_obey_their_equations():
    x = datasets.load_logistic(r=3.7)["x"].to_numpy()
    np.testing.assert_allclose(x[1:], 3.7 * x[:-1] * (1 - x[:-1]), rtol=1e-12)
    x, y = datasets.load_henon().to_numpy().T
    np.testing.assert_allclose(x[1:], 1 - 1.4 * x[:-1] ** 2 + y[:-1], atol=1e-12)
    np.testing.assert_allclose(y[1:], 0.3 * x[:-1], atol=1e-12)


@pytest.mark.parametrize("signal", ["multisine", "steps"])
def test_tanks_experiment(signal):
    frame = datasets.load_cascaded_tanks(signal=signal)
    assert frame.shape == (1024, 2) and frame.columns.tolist() == ["voltage", "level"]
    assert frame.attrs["interval"] == 4.0 and frame.attrs["interval_unit"] == "s"
    assert frame["voltage"].between(0, 10).all()
    assert frame["level"].between(-0.3, 10.3).all() and frame["level"].max() > 9.5
    assert not frame.equals(datasets.load_cascaded_tanks(signal=signal, random_state=1))


def test_tanks_noise_is_added_to_the_level_only():
    clean, noisy = (datasets.load_cascaded_tanks(4000, noise=noise) for noise in (0.0, 0.2))
    assert clean["voltage"].equals(noisy["voltage"])
    assert (noisy["level"] - clean["level"]).std() == pytest.approx(0.2, rel=0.05)


def test_multisine_has_the_band_it_promises():
    voltage = datasets.load_cascaded_tanks()["voltage"].to_numpy()
    power = np.abs(np.fft.rfft(voltage - voltage.mean())) ** 2
    frequency = np.fft.rfftfreq(len(voltage), 4.0)
    assert power[frequency > 0.0145].sum() < 1e-3 * power.sum()
    assert voltage.mean() == pytest.approx(2.8, abs=0.01) and voltage.std() == pytest.approx(1, abs=0.01)


def test_tanks_signal_must_be_known():
    with pytest.raises(ValueError, match="signal must be one of"):
        datasets.load_cascaded_tanks(signal="noise")


# Fetched, where the files are


def test_air_passengers(local):
    local("air_passengers")
    frame = datasets.fetch_air_passengers()
    assert frame.shape == (144, 1) and frame.columns.tolist() == ["passengers"]
    assert frame.index.freqstr == "MS" and frame.index[-1] == pd.Timestamp("1960-12-01")
    assert frame["passengers"].sum() == 40363


def test_gas_furnace(local):
    local("gas_furnace")
    frame = datasets.fetch_gas_furnace()
    assert frame.shape == (296, 2) and frame.columns.tolist() == ["gas_rate", "co2"]
    assert frame.attrs["interval"] == 9.0 and frame["co2"].between(40, 65).all()


def test_etth1(local):
    local("etth1")
    frame = datasets.fetch_etth1()
    assert frame.shape == (17420, 7) and frame.columns[-1] == "OT"
    assert frame.index.freqstr == "h" and not frame.isna().any(axis=None)


def test_m4_hourly(local):
    local("m4_hourly_train", "m4_hourly_test")
    train, test = datasets.fetch_m4_hourly()
    assert train.shape == (353500, 1) and test.shape == (19872, 1)
    assert train.index.names == ["series", "time"] and not train.isna().any(axis=None)
    lengths = train.groupby("series").size()
    assert len(lengths) == 414 and set(lengths) == {700, 960}
    assert (test.groupby("series").size() == 48).all()
    for name in ("H1", "H414"):
        hours = [*train.loc[name].index, *test.loc[name].index]
        assert hours == list(range(lengths[name] + 48))


@pytest.mark.parametrize(("name", "rows", "interval"), [("dryer", 1000, 0.08), ("heating_system", 801, 2.0)])
def test_daisy(local, name, rows, interval):
    local(f"daisy_{name}")
    frame = datasets.fetch_daisy(name)
    assert frame.shape == (rows, 2) and frame.columns.tolist() == ["voltage", "temperature"]
    assert frame.attrs["interval"] == interval and frame["voltage"].between(3, 9).all()


def test_daisy_must_be_known():
    with pytest.raises(ValueError, match="'dryer', 'heating_system'"):
        datasets.fetch_daisy("toaster")


def test_measured_tanks(local):
    local("cascaded_tanks")
    for part in datasets.fetch_cascaded_tanks():
        assert part.shape == (1024, 2) and part.columns.tolist() == ["voltage", "level"]
        assert part["level"].max() == 10.0 and part.attrs["interval"] == 4.0
        assert not part.isna().any(axis=None)


def test_tiny_shakespeare(local):
    local("tiny_shakespeare")
    text = datasets.fetch_tiny_shakespeare()
    assert len(text) == 1_115_394 and len(set(text)) == 65


# Fetched, where they are not


def test_missing_file_without_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQDYN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        datasets.fetch_air_passengers()
    message = str(error.value)
    for part in ("air_passengers.csv", f"SEQDYN_DATA={tmp_path}", "https://", "Box & Jenkins", "network is blocked"):
        assert part in message


def test_missing_file_without_address_says_where_it_is_from(monkeypatch):
    monkeypatch.delenv("SEQDYN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"no stable public address.*SEQDYN_DATA.*homes\.esat\.kuleuven\.be"):
        datasets.fetch_daisy("dryer")


def test_damaged_file_is_refused_with_both_checksums(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQDYN_DATA", str(tmp_path))
    (tmp_path / "air_passengers.csv").write_text("Month,#Passengers\n")
    with pytest.raises(ValueError, match="SHA-256") as error:
        datasets.fetch_air_passengers()
    assert datasets.SOURCES["air_passengers"].sha256 in str(error.value)
    assert len([word for word in str(error.value).split() if len(word.strip(",:")) == 64]) == 2


def test_download_goes_to_the_cache_with_its_checksum(monkeypatch, tmp_path):
    calls = []

    def retrieve(url, **options):
        calls.append((url, options))
        path = tmp_path / "text"
        path.write_text("To be", encoding="utf-8")
        return str(path)

    monkeypatch.delenv("SEQDYN_DATA", raising=False)
    monkeypatch.setattr("pooch.retrieve", retrieve)
    assert datasets.fetch_tiny_shakespeare() == "To be"
    ((url, options),) = calls
    source = datasets.SOURCES["tiny_shakespeare"]
    assert url == source.url and options["known_hash"] == f"sha256:{source.sha256}"


def test_every_source_is_complete():
    for name, source in datasets.SOURCES.items():
        assert len(source.sha256) == 64 and source.origin and source.file, name
        assert source.url is None or source.url.startswith("https://raw.githubusercontent.com/")


# Pictures


def test_binarized_digits_are_the_digits():
    parts, images = datasets.load_binarized_digits(), datasets.load_digits().images
    assert np.array_equal(np.concatenate(parts), images >= 0.5) and parts.train.dtype == np.uint8


def test_binarized_mnist(local):
    """The means that are known of the fixed binarisation; upright, since the first row is empty."""
    local("binarized_mnist_train", "binarized_mnist_valid", "binarized_mnist_test")
    parts = datasets.fetch_binarized_mnist()
    assert [part.shape for part in parts] == [(50000, 28, 28), (10000, 28, 28), (10000, 28, 28)]
    assert [round(float(part.mean()), 5) for part in parts] == [0.13056, 0.13113, 0.13251]
    assert all(set(np.unique(part)) == {0, 1} for part in parts)
    assert parts.train[:, 0].mean() < 1e-3 < parts.train[:, 14].mean()
