"""Example data: shapes, calendars, reproducibility, and where files come from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seqdyn import datasets

FOLDER = Path(os.environ.get("SEQDYN_DATA") or Path(__file__).parents[2] / "shared" / "data")
TRAJECTORIES = [datasets.load_logistic, datasets.load_henon, datasets.load_lorenz, datasets.load_mackey_glass]
LOADERS = [
    datasets.load_sunspots,
    datasets.load_co2,
    datasets.load_macrodata,
    datasets.load_cascaded_tanks,
    *TRAJECTORIES,
]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every download fails at once."""

    def refuse(*arguments, **options):
        raise ConnectionError("the network is blocked in this test")

    monkeypatch.setattr("pooch.retrieve", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture
def local(monkeypatch):
    """Point SEQDYN_DATA to the folder of development data; ``local(name)`` skips where the file is missing."""
    monkeypatch.setenv("SEQDYN_DATA", str(FOLDER))

    def need(*names):
        for name in names:
            if not (FOLDER / datasets.SOURCES[name].file).is_file():
                pytest.skip(f"{datasets.SOURCES[name].file} is not in SEQDYN_DATA or ../shared/data")

    return need


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
        [sys.executable, "-c", check], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", [name for name in dir(datasets) if name.startswith(("load_", "fetch_"))])
def test_every_data_set_has_a_card(name):
    folder = {"fetch_daisy": "daisy", "fetch_m4_hourly": "m4_hourly"}.get(name, name.partition("_")[2])
    card = Path(__file__).parents[1] / "datasets" / folder / "README.md"
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


# A simulated salamander

BODY = [f"body_{k}" for k in range(1, 9)]
LIMBS = [f"limb_{side}_{end}" for end in ("fore", "hind") for side in ("left", "right")]


@pytest.fixture(scope="module")
def staircases():
    return datasets.load_salamander(30, 20.0, rate=10.0, hold=(2.0, 4.0), turning=0.4, discard=0.0)


def steady(drive):
    """Ten seconds, after 15 of the same drive: a whole number of cycles for the drives below."""
    return datasets.load_salamander(1, 10.0, drives=drive, rate=20.0, discard=15.0, random_state=3)


def wave(values, cycles):
    """Amplitude and delay, in cycles, of the fundamental of every column: A cos 2π(τ − delay)."""
    coefficient = 2 * np.fft.rfft(values, axis=0)[cycles] / len(values)
    return np.abs(coefficient), -np.angle(coefficient) / (2 * np.pi)


@pytest.mark.parametrize(
    ("drive", "hertz", "axial", "limb", "lags"),
    [
        (2.0, 0.4, 0.326, 0.393, [0.024, 0.012, 0.054, 0.369, 0.057, 0.013, 0.024]),
        (4.0, 1.1, 0.456, 0.0, [0.125] * 7),
    ],
)
def test_salamander_has_its_published_gaits(drive, hertz, axial, limb, lags):
    """Frequency, amplitude and lags from head to tail, as published: the angle of a joint is 2 r cos θ."""
    frame = steady(drive)
    power = np.abs(np.fft.rfft(frame[BODY].to_numpy(), axis=0)) ** 2
    assert (power[round(10 * hertz)] > 0.999 * power.sum(axis=0)).all()
    amplitude, delay = wave(frame[BODY].to_numpy(), round(10 * hertz))
    np.testing.assert_allclose(amplitude, 2 * axial, atol=0.003)
    np.testing.assert_allclose(np.diff(delay) % 1, lags, atol=0.002)
    np.testing.assert_allclose(frame[LIMBS].max(), 2 * limb, atol=0.003)
    assert set(frame["gait"]) == {"walking" if drive <= 3 else "swimming"}


def test_salamander_limbs_trot_and_tell_left_from_right():
    """Diagonal limbs together, the others opposite; the left fore limb keeps time with the left of the trunk."""
    frame = steady(2.0)
    delays = dict(zip(LIMBS, wave(frame[LIMBS].to_numpy(), 4)[1], strict=True))
    apart = [(delays[name] - delays[LIMBS[0]]) % 1 for name in LIMBS[1:3]]
    np.testing.assert_allclose(apart, 0.5, atol=0.01)
    assert abs((delays["limb_right_hind"] - delays[LIMBS[0]] + 0.5) % 1 - 0.5) < 0.01
    assert frame["body_2"].corr(frame["limb_left_fore"]) > 0.9 and frame["body_2"].corr(frame["limb_right_fore"]) < -0.9


def test_salamander_turns_and_rests():
    """An angle of r_left − r_right on average; none at all where no oscillator is awake."""
    turn = steady(np.ones((200, 2)) * [4.8, 3.2])
    assert turn[BODY].to_numpy().mean() == pytest.approx(0.104, abs=0.002)  # over one wavelength: the wave cancels
    still = steady(0.5)
    assert still[BODY + LIMBS].abs().to_numpy().max() < 1e-9 and set(still["gait"]) == {"rest"}


def test_salamander_frame(staircases):
    assert staircases.columns.tolist() == ["drive_left", "drive_right", *BODY, *LIMBS, "gait"]
    assert staircases.index.names == ["series", "time"] and staircases.shape == (6000, 15)
    assert staircases.loc[29].index.equals(pd.Index(np.arange(200) / 10, name="time"))
    assert set(staircases.attrs["units"]) == set(staircases.columns) and staircases.attrs["rate"] == 10.0
    assert staircases.attrs["interval"] == 0.1 and staircases.attrs["interval_unit"] == "s"
    pd.testing.assert_frame_equal(
        datasets.load_salamander(2, 1.0, random_state=4), datasets.load_salamander(2, 1.0, random_state=4)
    )
    other = datasets.load_salamander(2, 1.0, random_state=5)
    assert not other.equals(datasets.load_salamander(2, 1.0, random_state=4))
    assert not np.allclose(other.loc[0, BODY], other.loc[1, BODY])


def test_salamander_staircases_hold_their_levels_and_turn_within_a_gait(staircases):
    spans, levels = [], []
    for _, one in staircases.groupby("series"):
        both = one[["drive_left", "drive_right"]].to_numpy()
        starts = np.flatnonzero(np.any(np.diff(both, axis=0), axis=1)) + 1
        spans += [*np.diff([0, *starts])]
        levels += [*both[[0, *starts]]]
    levels = np.array(levels)
    assert min(spans) >= 20 and max(spans) <= 40 and len(levels) > 150
    assert levels.min() >= 1 and levels.max() <= 5 and ((levels > 3).all(axis=1) | (levels <= 3).all(axis=1)).all()
    share = (levels[:, 0] != levels[:, 1]).mean()
    assert abs(share - 0.4) < 4 * np.sqrt(0.24 / len(levels))  # four standard errors
    assert abs(levels.mean() - 3) < 4 * np.sqrt(16 / 12 / len(levels))
    assert np.abs(levels[:, 0] - levels[:, 1]).max() <= 1
    swims = staircases[["drive_left", "drive_right"]].min(axis=1) > 3
    assert ((staircases["gait"] == "swimming") == swims).all() and not (staircases["gait"] == "rest").any()


def test_salamander_is_the_same_at_every_rate():
    """Rows at 25 Hz are every second row at 50 Hz; what is discarded is the time before."""
    slow, fast = (datasets.load_salamander(2, 2.0, rate=rate, drives=2.5, discard=0.4) for rate in (25.0, 50.0))
    np.testing.assert_allclose(slow[BODY], fast[BODY].to_numpy().reshape(2, 50, 2, 8)[:, :, 1].reshape(-1, 8))
    whole = datasets.load_salamander(2, 2.4, rate=50.0, drives=2.5, discard=0.0)
    np.testing.assert_allclose(fast.loc[1, BODY], whole.loc[1, BODY].iloc[20:])
    fine = datasets.load_salamander(2, 2.0, rate=400.0, drives=2.5, discard=0.4)  # in steps of 2.5 ms
    np.testing.assert_allclose(fine.loc[0, BODY].iloc[15::16], slow.loc[0, BODY], atol=2e-5)


def test_salamander_takes_drives():
    ramp = np.linspace(0.5, 5.5, 50)
    both = datasets.load_salamander(2, 1.0, drives=ramp)
    assert (both.loc[1, "drive_right"] == ramp).all() and (both.loc[0, "drive_left"] == ramp).all()
    assert both.loc[0, "gait"].tolist() == ["rest"] * 5 + ["walking"] * 20 + ["swimming"] * 20 + ["rest"] * 5
    own = np.random.default_rng(0).uniform(1, 5, (2, 50, 2))
    frame = datasets.load_salamander(2, 1.0, drives=own)
    assert np.array_equal(frame[["drive_left", "drive_right"]].to_numpy(), own.reshape(100, 2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_series": 0}, "n_series must be an int of at least 1, got 0"),
        ({"seconds": 0.0}, "seconds > 0.*seconds=0.0"),
        ({"rate": -1.0}, "rate > 0.*rate=-1.0"),
        ({"rate": float("nan")}, "rate must be a finite number, got nan"),
        ({"turning": 1.5}, "turning <= 1.*turning=1.5"),
        ({"discard": "none"}, "discard must be a finite number, got 'none'"),
        ({"hold": (5.0, 2.0)}, r"hold must be the least and the most.*\(5.0, 2.0\)"),
        ({"hold": 5.0}, "hold must be the least and the most.*5.0"),
        (
            {"drives": np.ones((3, 2))},
            r"drives has shape \(3, 2\), expected a number, \(50,\), \(50, 2\) or \(2, 50, 2\)",
        ),
        ({"drives": np.nan}, "drives must be finite, got nan"),
    ],
)
def test_salamander_says_what_is_wrong(wrong, message):
    with pytest.raises(ValueError, match=message):
        datasets.load_salamander(**{"n_series": 2, "seconds": 1.0} | wrong)


# Measured motion

AXES = [f"axis_{k}" for k in range(1, 9)]
KINEMATICS = {
    "swimming": (
        [11.1, 12.8, 12.1, 12.6, 22.1, 32.8, 29.6, 31.5],
        [0.127, 0.320, 0.404, 0.489, 0.599, 0.749, 0.889, 1.006],
    ),
    "walking": (
        [4.7, 20.2, 16.8, 1.4, 17.8, 15.7, 1.8, 4.5],
        [0.919, 0.019, 0.013, 0.014, 0.500, 0.475, 0.839, 0.932],
    ),
}
"""By gait: amplitude (degrees) and delay (cycles) of the fundamental of every axis."""


@pytest.mark.parametrize("gait", KINEMATICS)
@pytest.mark.parametrize("harmonics", [1, 5, None])
def test_salamander_kinematics(local, gait, harmonics):
    """What is known of the files, found again in rad at a rate that has nothing to do with theirs."""
    local(f"salamander_{gait}")
    frame = datasets.fetch_salamander(gait, rate=300.0, frequency=1.5, cycles=3, harmonics=harmonics)
    assert frame.shape == (600, {"swimming": 8, "walking": 24}[gait])
    amplitude, delay = wave(frame[AXES].to_numpy(), 3)
    expected, delays = KINEMATICS[gait]
    np.testing.assert_allclose(np.rad2deg(amplitude), expected, atol=0.06 if harmonics else 0.1)
    np.testing.assert_allclose((delay - delays + 0.5) % 1 - 0.5, 0, atol=0.01)


@pytest.mark.parametrize(("gait", "hertz", "rows"), [("swimming", 3.2, 625), ("walking", 0.88, 2273)])
def test_salamander_time(local, gait, hertz, rows):
    local(f"salamander_{gait}")
    frame = datasets.fetch_salamander(gait)
    assert len(frame) == rows and frame.index.name == "time" and frame.index[-1] < 20 / hertz <= rows / 100
    assert frame.attrs["frequency"] == hertz and frame.attrs["rate"] == 100 and frame.attrs["interval"] == 0.01
    assert set(frame.attrs["units"].values()) == {"rad"} and set(frame.attrs["units"]) == set(frame.columns)
    power = np.abs(np.fft.rfft(datasets.fetch_salamander(gait, rate=100 * hertz)[AXES], axis=0)) ** 2
    assert (power[np.arange(len(power)) % 20 != 0] < 1e-20 * power.max()).all()  # exactly periodic, 20 cycles


def test_salamander_limbs_are_half_a_cycle_apart(local):
    local("salamander_walking")
    frame = datasets.fetch_salamander("walking", rate=100, frequency=1, cycles=1)
    sides = [frame.columns[frame.columns.str.startswith(side)] for side in ("left_", "right_")]
    assert [name.partition("_")[2] for name in sides[0]] == [name.partition("_")[2] for name in sides[1]]
    assert len(sides[0]) == 8
    left, right = np.roll(frame[sides[0]], 50, axis=0), frame[sides[1]].to_numpy()
    assert min(np.corrcoef(left[:, k], right[:, k])[0, 1] for k in range(8)) > 0.995
    assert np.abs(left - right).max() < 0.08  # of ranges from 0.47 to 1.56 rad


def test_salamander_harmonics_close_the_cycle_and_none_keeps_its_jump(local):
    local("salamander_swimming")
    table = pd.read_csv(FOLDER / "salamander" / "swimming.csv").to_numpy()[:, 1:]
    raw = np.rad2deg(datasets.fetch_salamander(rate=1000, frequency=1, cycles=2, harmonics=None).to_numpy())
    np.testing.assert_allclose(raw, np.tile(table, (2, 1)), atol=1e-10)
    whole = np.rad2deg(datasets.fetch_salamander(rate=1001, frequency=1, cycles=1, harmonics=499).to_numpy())
    np.testing.assert_allclose(whole[0], table[0], atol=0.2)  # all of the cycle but its fastest alternation
    assert np.abs(np.diff(raw, axis=0))[999].max() > 10
    smooth = np.rad2deg(datasets.fetch_salamander(rate=1000, frequency=1, cycles=2).to_numpy())
    assert np.abs(np.diff(smooth, axis=0)).max() < 0.3 and np.abs(smooth - raw).max() < 6.7
    np.testing.assert_allclose(smooth[:1000].mean(axis=0), table.mean(axis=0), atol=1e-10)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gait": "trotting"}, "gait must be one of 'swimming', 'walking', got 'trotting'"),
        ({"harmonics": 0}, "harmonics must be None or an int of at least 1, got 0"),
        ({"harmonics": 500, "rate": 1e5}, "harmonics=500 is more than the 499"),
        ({"rate": 32.0}, "rate=32 Hz is too low for 5 harmonics of 3.2 Hz: take more than 32 Hz"),
        ({"frequency": 0.0}, "frequency must be a positive number, in Hz, got 0.0"),
        ({"rate": True}, "rate must be a positive number, in Hz, got True"),
        ({"cycles": 1.5}, "cycles must be an int of at least 1, got 1.5"),
    ],
)
def test_salamander_kinematics_say_what_is_wrong(local, wrong, message):
    local("salamander_swimming")
    with pytest.raises(ValueError, match=message):
        datasets.fetch_salamander(**wrong)


@pytest.fixture
def clips(local):
    local(*(name for name in datasets.SOURCES if name.startswith("cmu_walking")))
    return datasets.fetch_cmu_walking()


def test_cmu_walking(clips):
    assert [len(clip) for clip in clips.train] == [344, 599, 495, 317, 330] and len(clips.test) == 359
    for clip in (*clips.train, clips.test):
        assert clip.shape[1] == 117 and clip.index.name == "time" and clip.index[120] == 1.0
        assert clip.columns[[0, 3, 6, 116]].tolist() == ["root_x", "root_rotation_x", "joint_00_x", "joint_36_z"]
        assert set(clip.attrs["units"]) == set(clip.columns) and clip.attrs["rate"] == clips.rate == 120.0
        assert not clip.isna().any(axis=None) and 15.5 < clip["root_y"].min() < clip["root_y"].max() < 18.5
    varied = pd.concat(clips.train).std(ddof=0) >= 1e-4
    assert varied.sum() == 70 and varied.filter(like="joint_").sum() == 64


def test_cmu_walking_takes_a_stride_in_its_true_time(clips):
    """The lag at which the joints agree best with themselves is a step pair of 1.08 to 1.21 s: 130 to 145 rows."""
    strides = [best_lag(clip.filter(like="joint_").iloc[1:].to_numpy()) / clips.rate for clip in clips.train]
    assert 1.08 < min(strides) < max(strides) < 1.21
    assert best_lag(clips.test.filter(like="joint_").iloc[1:].to_numpy()) == 135


def best_lag(values):
    values = values - values.mean(axis=0)
    pairs = {lag: (values[lag:], values[:-lag]) for lag in range(80, 200)}
    agreement = {lag: (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) for lag, (a, b) in pairs.items()}
    return max(agreement, key=agreement.get)


def test_cmu_walking_begins_with_a_pose_and_leaps_where_the_card_says(clips):
    for clip in (*clips.train, clips.test):
        assert (clip.iloc[0, :3] == clip.iloc[1, :3]).all() and (clip.iloc[0] == 0).sum() == 107
    leaps = np.abs(np.diff(clips.train[2]["joint_26_y"])) > 3
    assert (np.flatnonzero(leaps) + 1).tolist() == [458, 461]
