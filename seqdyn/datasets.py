"""Example data: ``load_*`` needs no network, ``fetch_*`` reads the folder ``SEQDYN_DATA`` or downloads.

Columns are named, and ``frame.attrs`` says where the data come from (``source``) and what they are measured in
(``units``). What has a calendar is indexed by it; what has none is indexed by the number of the sample, and
``frame.attrs["interval"]`` is the time between two samples, in ``frame.attrs["interval_unit"]``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from seqdyn.checks import check_choice, check_count

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.cell import Cell
    from seqdyn.data.scenes import Scenes


class Digits(NamedTuple):
    """``images`` (1797, 8, 8), float32 in [0, 1], and ``labels`` (1797,), integers from 0 to 9."""

    images: np.ndarray
    labels: np.ndarray


class Films(NamedTuple):
    """``X`` (films, time, pixels), float32 in [0, 1], and ``y`` (films, time), the digit each frame shows."""

    X: np.ndarray
    y: np.ndarray


class BinarizedPictures(NamedTuple):
    """``train``, ``validation`` and ``test``, (pictures, height, width) of uint8, 0 or 1."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class Split(NamedTuple):
    """Two frames: ``train`` is for fitting, ``test`` is for the score."""

    train: pd.DataFrame
    test: pd.DataFrame


class Source(NamedTuple):
    """Where a file comes from: its name in ``SEQDYN_DATA``, its SHA-256, its address or None, and its origin."""

    file: str
    sha256: str
    url: str | None
    origin: str


_DARTS = "https://raw.githubusercontent.com/unit8co/darts/master/datasets"
_M4 = "https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset"
_MNIST = "MNIST of LeCun, Cortes & Burges, binarised once and for all by Salakhutdinov & Murray (2008)"
_DAISY = "DaISy, De Moor (ed.), KU Leuven, https://homes.esat.kuleuven.be/~smc/daisy/daisydata.html"

SOURCES = {
    "air_passengers": Source(
        "air_passengers.csv",
        "5f8b316b84545d9cfb05612298df8415ce4c44421c7012d109465564b07ebc06",
        f"{_DARTS}/AirPassengers.csv",
        "Box & Jenkins (1970), Time Series Analysis, series G",
    ),
    "gas_furnace": Source(
        "gasrate_co2.csv",
        "da1474ddd1de5133fe1735b1204bd5f3ab819787958e9edcddaecfd6f05c758d",
        f"{_DARTS}/gasrate_co2.csv",
        "Box & Jenkins (1970), Time Series Analysis, series J",
    ),
    "etth1": Source(
        "etth1.csv",
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        "Zhou et al. (2021), Informer; CC BY-ND 4.0",
    ),
    "m4_hourly_train": Source(
        "m4_hourly_train.csv",
        "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
        f"{_M4}/Train/Hourly-train.csv",
        "Makridakis, Spiliotis & Assimakopoulos (2018), The M4 Competition",
    ),
    "m4_hourly_test": Source(
        "m4_hourly_test.csv",
        "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
        f"{_M4}/Test/Hourly-test.csv",
        "Makridakis, Spiliotis & Assimakopoulos (2018), The M4 Competition",
    ),
    "daisy_dryer": Source(
        "daisy/dryer.dat",
        "adcb2f5a1d9e174d08dd49f7f037626745b5e69cbda0bc1e8dca2a7c687d4538",
        None,
        f"{_DAISY}, data set 96-006",
    ),
    "daisy_heating_system": Source(
        "daisy/heating_system.dat",
        "3bfbe8424719830870b153067eeff40ebff3afb0204c150ed7103b5d6c1908bc",
        None,
        f"{_DAISY}, data set 99-001",
    ),
    "cascaded_tanks": Source(
        "cascaded_tanks.csv",
        "7416cb2aeb97c0775f2d9fdd4be698024d49608f8b0a8e767755c5ecb2bb023c",
        None,
        "Schoukens & Noël (2017), the CSV file of the Cascaded Tanks benchmark, https://www.nonlinearbenchmark.org",
    ),
    "tiny_shakespeare": Source(
        "tinyshakespeare.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "Karpathy (2015), char-rnn; the text is in the public domain",
    ),
    "binarized_mnist_train": Source(
        "binarized_mnist/train.amat",
        "79a0312c7389d855cfc97e3812de3998417c5829d8a51543b56a90a91252ae7e",
        None,
        _MNIST,
    ),
    "binarized_mnist_valid": Source(
        "binarized_mnist/valid.amat",
        "7436afc856959075c7787025bb8a4ba2b520b9230ee39667c66aa7dd2819dd68",
        None,
        _MNIST,
    ),
    "binarized_mnist_test": Source(
        "binarized_mnist/test.amat",
        "5bc30222e1e7896cbccd1e1db6b28540cc1230f4d2d5473841a5f6cc54be8d38",
        None,
        _MNIST,
    ),
}
"""Every file of ``fetch_*``."""


# Shipped with other packages


def load_sunspots() -> pd.DataFrame:
    """Yearly mean sunspot numbers, 1700–2008.

    Returns
    -------
    DataFrame, shape (309, 1)
        Column ``sunspots`` (count); DatetimeIndex ``time``, freq "YS".

    References
    ----------
    National Geophysical Data Center, through statsmodels; public domain.

    Examples
    --------
    >>> load_sunspots().loc["2006":, "sunspots"].tolist()
    [15.2, 7.5, 2.9]
    """
    import pandas as pd
    from statsmodels.datasets import sunspots

    values = sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    frame = pd.DataFrame({"sunspots": values}, index=_calendar("1700-01-01", len(values), "YS"))
    return _label(frame, {"sunspots": "count"}, "National Geophysical Data Center (statsmodels)")


def load_co2(freq: str = "weekly") -> pd.DataFrame:
    """CO2 in the air over Mauna Loa, Hawaii, March 1958 to December 2001.

    Parameters
    ----------
    freq : {"weekly", "monthly"}
        ``"weekly"``: as measured; 59 weeks are missing (NaN). ``"monthly"``: the means of the weeks present; the 5
        months without any are interpolated linearly in time.

    Returns
    -------
    DataFrame, shape (2284, 1) or (526, 1)
        Column ``co2`` (ppm by volume); DatetimeIndex ``time``, freq "W-SAT" or "MS".

    Raises
    ------
    ValueError
        If freq is something else.

    References
    ----------
    Keeling & Whorf (2004), through statsmodels; public domain.

    Examples
    --------
    >>> load_co2("monthly").loc["2001-11":, "co2"].round(2).tolist()
    [369.38, 371.02]
    """
    from statsmodels.datasets import co2

    if freq not in ("weekly", "monthly"):
        raise ValueError(f"freq must be 'weekly' or 'monthly', got {freq!r}.")
    frame = co2.load_pandas().data.rename_axis("time")
    if freq == "monthly":
        frame = frame.resample("MS").mean().interpolate("time")
    return _label(frame, {"co2": "ppm"}, "Keeling & Whorf (2004), CDIAC (statsmodels)")


def load_macrodata() -> pd.DataFrame:
    """The economy of the United States by quarters, 1959–2009.

    Returns
    -------
    DataFrame, shape (203, 12)
        DatetimeIndex ``time``, freq "QS", the first day of the quarter. Columns ``realgdp``, ``realcons``,
        ``realinv``, ``realgovt``, ``realdpi`` (gross domestic product, consumption, investment, government
        spending, disposable income; billions of chained 2005 US dollars a year, seasonally adjusted), ``cpi``
        (consumer prices, 1982–84 = 100), ``m1`` (money stock, billions of US dollars), ``tbilrate`` (3-month
        treasury bills, %), ``unemp`` (unemployment, %), ``pop`` (population, millions), ``infl`` (inflation,
        % a year), ``realint`` (``tbilrate`` − ``infl``, %).

    References
    ----------
    Federal Reserve Bank of St. Louis and Bureau of Labor Statistics, through statsmodels; public domain.

    Examples
    --------
    >>> load_macrodata().loc["2009", "unemp"].tolist()
    [8.1, 9.2, 9.6]
    """
    from statsmodels.datasets import macrodata

    frame = macrodata.load_pandas().data.drop(columns=["year", "quarter"])
    frame.index = _calendar("1959-01-01", len(frame), "QS")
    money = dict.fromkeys(["realgdp", "realcons", "realinv", "realgovt", "realdpi"], "10⁹ US$ of 2005 a year")
    shares = dict.fromkeys(["tbilrate", "unemp", "infl", "realint"], "%")
    units = money | shares | {"cpi": "1982–84 = 100", "m1": "10⁹ US$", "pop": "10⁶"}
    return _label(frame, units, "Federal Reserve Bank of St. Louis, Bureau of Labor Statistics (statsmodels)")


def load_digits() -> Digits:
    """Handwritten digits of 13 people, 8 × 8 pixels.

    Returns
    -------
    Digits
        ``images`` (1797, 8, 8), 0 is paper and 1 is ink, and ``labels`` (1797,).

    References
    ----------
    Alpaydin & Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; CC BY 4.0; through scikit-learn.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.images.shape, digits.labels[:5].tolist()
    ((1797, 8, 8), [0, 1, 2, 3, 4])
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    return Digits((bunch.images / 16).astype(np.float32), bunch.target)


# Made from them, or simulated


def load_moving_digits(
    n_films: int = 1000,
    time: int = 12,
    *,
    canvas: int = 12,
    digits: Sequence[int] = (0, 1, 4),
    subset: str = "train",
    random_state: int | np.random.Generator | None = 0,
) -> Films:
    """Films of a handwritten digit that drifts over a canvas and turns into another one at a random step.

    The digit moves one pixel a frame in both directions and bounces off the edges. Because it changes, the label
    of a frame cannot be told from its neighbours alone: many-to-many, one label a frame.

    Parameters
    ----------
    n_films : int
    time : int, at least 2
        Frames in a film.
    canvas : int, at least 8
        Width and height of a frame, pixels; the digits are 8 × 8.
    digits : sequence of int
        Which digits there are, at least two. A thousand films teach three of them; all ten take several thousand.
    subset : {"train", "test"}
        The writing to draw from: the first three quarters of every digit's images, or the rest. No image is in both.
    random_state : int, numpy Generator or None
        Draws images, starts, directions and the step of the change.

    Returns
    -------
    Films
        ``X`` (n_films, time, canvas²) and ``y`` (n_films, time); the change happens at a step from 1 to time − 1.

    Raises
    ------
    ValueError
        If a size is too small, or subset is something else.

    References
    ----------
    Made from :func:`load_digits`, in the manner of Srivastava et al. (2015), Unsupervised learning of video
    representations using LSTMs.

    Examples
    --------
    >>> films = load_moving_digits(n_films=4)
    >>> films.X.shape
    (4, 12, 144)
    >>> films.y[0].tolist()
    [4, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0, 0]
    """
    if time < 2 or canvas < 8 or len(set(digits)) < 2 or subset not in ("train", "test"):
        raise ValueError(
            "load_moving_digits needs time >= 2, canvas >= 8, at least two digits, and subset 'train' or 'test'; got "
            f"time={time}, canvas={canvas}, digits={tuple(digits)}, subset={subset!r}."
        )
    generator = np.random.default_rng(random_state)
    images, labels = load_digits()
    chosen = _two_images(labels, digits, subset, n_films, generator)  # (films, 2)
    change = generator.integers(1, time, n_films)
    shown = chosen[np.arange(n_films)[:, None], (np.arange(time) >= change[:, None]).astype(int)]  # (films, time)
    corner = _bouncing(n_films, time, canvas - 8, generator)
    return Films(_paste(images[shown], corner, canvas).reshape(n_films, time, -1), labels[shown])


def load_binarized_digits() -> BinarizedPictures:
    """The digits of :func:`load_digits` in black and white: a pixel is 1 where it is at least half full of ink.

    Returns
    -------
    BinarizedPictures
        1,257, 180 and 360 pictures of 8 × 8 pixels, in their order: the first two together are the 1,437 of the usual
        split.

    Examples
    --------
    >>> [len(part) for part in load_binarized_digits()]
    [1257, 180, 360]
    """
    from seqdyn.data.pictures import binarised

    images = binarised(load_digits().images)
    return BinarizedPictures(images[:1257], images[1257:1437], images[1437:])


def load_digit_scenes(n: int = 2000, *, subset: str = "train", random_state: int | None = 0) -> Scenes:
    """Scenes of two handwritten digits with a sentence about each: "a three left of a seven".

    Parameters
    ----------
    n : int, at least 1
    subset : {"train", "test"}
        The writing to draw from: the first 1,437 images of :func:`load_digits`, or the last 360.
    random_state : int or None

    Returns
    -------
    Scenes
        Images (n, 24, 24), captions, the words that name the digits and the cells they are in.

    Examples
    --------
    >>> made = load_digit_scenes(3)
    >>> made.captions[0], made.words[0].tolist(), made.cells[0].tolist()
    ('a zero left of a zero', [1, 5], [7, 8])
    """
    from seqdyn.data.scenes import digit, scenes

    own, (images, labels) = _half(subset), load_digits()
    return scenes(check_count("n", n), digit(images[own], labels[own]), np.random.default_rng(random_state))


def load_shape_scenes(n: int = 2000, *, random_state: int | None = 0) -> Scenes:
    """Scenes of simple shapes with a sentence about each: "a small circle above two squares".

    Parameters
    ----------
    n : int, at least 1
    random_state : int or None

    Returns
    -------
    Scenes
        Images (n, 24, 24), captions, the words that name the shapes and the cells they are in.

    Examples
    --------
    >>> load_shape_scenes(3).captions[1]
    'a small triangle above two crosses'
    """
    from seqdyn.data.scenes import scenes, shape

    return scenes(check_count("n", n), shape, np.random.default_rng(random_state))


def load_digit_plates(
    n: int = 2000, *, digits: int = 3, side: int = 24, subset: str = "train", random_state: int | None = 0
) -> np.ndarray:
    """Plates of several handwritten digits in pure colours: a number of its own for every channel, 0 or 1.

    Parameters
    ----------
    n : int, at least 1
    digits : int, at least 1
        On every plate, each in a cell of its own.
    side : int, a multiple of 8
        Height and width.
    subset : {"train", "test"}
        As in :func:`load_digit_scenes`.
    random_state : int or None

    Returns
    -------
    array of uint8, shape (n, 3, side, side)

    Examples
    --------
    >>> load_digit_plates(4).shape
    (4, 3, 24, 24)
    """
    from seqdyn.data.pictures import binarised
    from seqdyn.data.scenes import plates

    if check_count("side", side) % 8 or check_count("digits", digits) > (side // 8) ** 2:
        raise ValueError(f"side={side} must be a multiple of 8, and hold digits={digits} of 8 × 8 pixels.")
    images = binarised(load_digits().images)[_half(subset)]
    return plates(check_count("n", n), images, digits, side, np.random.default_rng(random_state))


def _half(subset: str) -> slice:
    """Which images a part is made of."""
    return {"train": slice(1437), "test": slice(1437, None)}[check_choice("subset", subset, ("train", "test"))]


def load_python_documentation() -> str:
    """The reference of the Python language, as the interpreter's own ``help`` prints it: a corpus that is always there.

    Returns
    -------
    str
        Some 465,000 characters of English and code, by topics in alphabetical order; the text is that of the Python
        that runs, and differs from version to version.

    References
    ----------
    The Python Software Foundation, through the standard library (``pydoc_data.topics``); PSF licence.

    Examples
    --------
    >>> text = load_python_documentation()
    >>> len(text) > 400_000, text[:22]
    (True, 'The "assert" statement')
    """
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def load_logistic(steps: int = 1000, *, r: float = 3.9, discard: int = 100) -> pd.DataFrame:
    """A trajectory of the logistic map, x_t = r x_{t-1} (1 − x_{t-1}), free of noise.

    Parameters
    ----------
    steps : int
    r : float in [0, 4]
    discard : int
        Steps left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 1)
        Column ``x`` (no unit, in [0, 1]); RangeIndex ``time``.

    References
    ----------
    :class:`seqdyn.systems.logistic.Logistic`; May (1976).

    Examples
    --------
    >>> load_logistic(steps=3, r=2.0)["x"].tolist()
    [0.5, 0.5, 0.5]
    """
    from seqdyn.systems.logistic import Logistic

    return _trajectory(Logistic(r), steps, discard, ["x"])


def load_henon(steps: int = 1000, *, a: float = 1.4, b: float = 0.3, discard: int = 100) -> pd.DataFrame:
    """A trajectory of the Hénon map, free of noise.

    Parameters
    ----------
    steps : int
    a, b : float
    discard : int
        Steps left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 2)
        Columns ``x`` and ``y`` (no unit); RangeIndex ``time``.

    References
    ----------
    :class:`seqdyn.systems.henon.Henon`; Hénon (1976).

    Examples
    --------
    >>> load_henon().shape
    (1000, 2)
    """
    from seqdyn.systems.henon import Henon

    return _trajectory(Henon(a, b), steps, discard, ["x", "y"])


def load_lorenz(
    steps: int = 5000,
    *,
    dt: float = 0.01,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8 / 3,
    discard: int = 1000,
) -> pd.DataFrame:
    """A trajectory of the Lorenz system, free of noise.

    Parameters
    ----------
    steps : int
    dt : float
        The time between two rows.
    sigma, rho, beta : float
    discard : int
        Steps left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 3)
        Columns ``x``, ``y``, ``z`` (no unit); RangeIndex ``time``, ``dt`` apart.

    References
    ----------
    :class:`seqdyn.systems.lorenz.Lorenz`; Lorenz (1963).

    Examples
    --------
    >>> load_lorenz(steps=200).shape
    (200, 3)
    """
    from seqdyn.systems.lorenz import Lorenz

    return _trajectory(Lorenz(sigma, rho, beta, dt), steps, discard, ["x", "y", "z"], dt)


def load_mackey_glass(steps: int = 2000, *, tau: float = 17.0, dt: float = 1.0, discard: int = 1000) -> pd.DataFrame:
    """A trajectory of the Mackey–Glass equation with β = 0.2, γ = 0.1, n = 10, free of noise.

    Parameters
    ----------
    steps : int
    tau : float
        The delay; a whole number of steps.
    dt : float
        The time between two rows.
    discard : int
        Steps left out at the beginning.

    Returns
    -------
    DataFrame, shape (steps, 1)
        Column ``x`` (no unit); RangeIndex ``time``, ``dt`` apart.

    References
    ----------
    :class:`seqdyn.systems.mackey_glass.MackeyGlass`; Mackey & Glass (1977).

    Examples
    --------
    >>> load_mackey_glass(steps=300).shape
    (300, 1)
    """
    from seqdyn.systems.mackey_glass import MackeyGlass

    return _trajectory(MackeyGlass(tau=tau, dt=dt), steps, discard, ["x"], dt)


def load_cascaded_tanks(
    steps: int = 1024,
    *,
    signal: str = "multisine",
    noise: float = 0.05,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """A simulated experiment on two cascaded tanks that may overflow.

    Parameters
    ----------
    steps : int, at least 2
        One sample every 4 s.
    signal : {"multisine", "steps"}
        The pump's voltage. ``"multisine"``: all frequencies f up to 0.0144 Hz with amplitudes ∝ 1/√f and random
        phases, mean 2.8 V, standard deviation 1 V, one period in all. ``"steps"``: random levels in [0.5, 5] V, each
        held for 20 to 80 samples. Both overflow at times.
    noise : float
        Standard deviation of the level sensor's error, V.
    random_state : int, numpy Generator or None
        Draws the voltage and the noise.

    Returns
    -------
    DataFrame, shape (steps, 2)
        Columns ``voltage`` (input, V, held for the 4 s after the row's instant) and ``level`` (output, V, of the
        lower tank at the end of these 4 s); RangeIndex ``time``.

    Raises
    ------
    ValueError
        If signal is something else.

    Notes
    -----
    Both tanks are half full at first; this dies away within about 50 samples. Another ``random_state`` is another
    experiment, for testing.

    References
    ----------
    :class:`seqdyn.systems.cascaded_tanks.CascadedTanks`; after Schoukens & Noël (2017). The measured experiment is
    :func:`fetch_cascaded_tanks`.

    Examples
    --------
    >>> experiment = load_cascaded_tanks(noise=0.0)
    >>> experiment.shape, experiment.columns.tolist()
    ((1024, 2), ['voltage', 'level'])
    """
    import torch

    from seqdyn.systems.cascaded_tanks import CascadedTanks
    from seqdyn.systems.simulate import simulate

    if signal not in _SIGNALS:
        raise ValueError(f"signal must be one of {', '.join(map(repr, _SIGNALS))}, got {signal!r}.")
    generator = np.random.default_rng(random_state)
    system = CascadedTanks().double()
    voltage = _SIGNALS[signal](steps, system.dt, generator)
    level = simulate(system, steps, x=torch.from_numpy(voltage).view(1, -1, 1)).numpy().ravel()
    level = level + noise * generator.standard_normal(steps)
    return _tanks(voltage, level, "simulated by seqdyn.systems.cascaded_tanks")


# Fetched


def fetch_air_passengers() -> pd.DataFrame:
    """International airline passengers by months, 1949–1960.

    Returns
    -------
    DataFrame, shape (144, 1)
        Column ``passengers`` (thousands); DatetimeIndex ``time``, freq "MS".

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`fetch`.

    References
    ----------
    Box & Jenkins (1970), Time Series Analysis, series G.
    """
    import pandas as pd

    values = pd.read_csv(fetch("air_passengers"))["#Passengers"].to_numpy()
    frame = pd.DataFrame({"passengers": values}, index=_calendar("1949-01-01", len(values), "MS"))
    return _label(frame, {"passengers": "10³"}, SOURCES["air_passengers"].origin)


def fetch_gas_furnace() -> pd.DataFrame:
    """A gas furnace: from the gas rate to the CO2 of the exhaust, every 9 s.

    Returns
    -------
    DataFrame, shape (296, 2)
        Columns ``gas_rate`` (input, ft³/min, as a deviation from its mean) and ``co2`` (output, %); RangeIndex
        ``time``.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`fetch`.

    References
    ----------
    Box & Jenkins (1970), Time Series Analysis, series J.
    """
    import pandas as pd

    frame = pd.read_csv(fetch("gas_furnace")).set_axis(["gas_rate", "co2"], axis=1).rename_axis("time")
    return _label(frame, {"gas_rate": "ft³/min", "co2": "%"}, SOURCES["gas_furnace"].origin, 9.0, "s")


def fetch_etth1() -> pd.DataFrame:
    """A power transformer in China: six loads and its oil temperature, hourly, July 2016 to June 2018.

    Returns
    -------
    DataFrame, shape (17420, 7)
        Columns ``HUFL``, ``HULL``, ``MUFL``, ``MULL``, ``LUFL``, ``LULL`` (high, middle and low load, each useful
        and useless; the publication gives no unit) and the usual target ``OT`` (oil temperature, °C);
        DatetimeIndex ``time``, freq "h".

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`fetch`.

    References
    ----------
    Zhou et al. (2021), Informer; CC BY-ND 4.0. The usual split is 12, 4 and 4 months of 30 days.
    """
    import pandas as pd

    frame = pd.read_csv(fetch("etth1"), index_col="date", parse_dates=True).rename_axis("time").asfreq("h")
    return _label(frame, dict.fromkeys(frame, "not given") | {"OT": "°C"}, SOURCES["etth1"].origin)


def fetch_m4_hourly() -> Split:
    """The hourly series of the M4 competition: 414 series, 48 hours to forecast.

    Returns
    -------
    Split
        ``train`` (353500, 1): 700 or 960 rows a series; ``test`` (19872, 1): the next 48. MultiIndex
        ``(series, time)``, with the series' names ``"H1"`` … ``"H414"`` and the hour counted from the beginning of
        each, so that ``test`` continues ``train``. Column ``value``, in a unit that differs and is not given.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`fetch`.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2018), The M4 Competition.
    """
    import pandas as pd

    wide = [pd.read_csv(fetch(f"m4_hourly_{part}"), index_col=0) for part in ("train", "test")]
    seen = wide[0].notna().sum(axis=1).to_numpy()
    train, test = _panel(wide[0], np.zeros_like(seen)), _panel(wide[1], seen)
    return Split(*(_label(part, {"value": "not given"}, SOURCES["m4_hourly_train"].origin) for part in (train, test)))


def fetch_daisy(name: str) -> pd.DataFrame:
    """One of the measured processes of the identification database DaISy.

    Parameters
    ----------
    name : {"dryer", "heating_system"}
        ``"dryer"``: a laboratory hair dryer, 0.08 s a sample. ``"heating_system"``: a halogen lamp over a steel
        plate, 2 s a sample.

    Returns
    -------
    DataFrame, shape (1000, 2) or (801, 2)
        Columns ``voltage`` (input, V) and ``temperature`` (output; °C for the heating system, no unit given for the
        dryer); RangeIndex ``time``.

    Raises
    ------
    ValueError
        If name is something else.
    FileNotFoundError
        See :func:`fetch`.

    References
    ----------
    De Moor (ed.), DaISy: Database for the Identification of Systems, KU Leuven; cite data sets 96-006 and 99-001.
    """
    import pandas as pd

    kinds = {"dryer": (0.08, "not given"), "heating_system": (2.0, "°C")}
    if name not in kinds:
        raise ValueError(f"name must be one of {', '.join(map(repr, kinds))}, got {name!r}.")
    interval, unit = kinds[name]
    columns = np.loadtxt(fetch(f"daisy_{name}"))[:, -2:]  # the heating system's first column is the time
    frame = pd.DataFrame(columns, columns=["voltage", "temperature"]).rename_axis("time")
    units = {"voltage": "V", "temperature": unit}
    return _label(frame, units, SOURCES[f"daisy_{name}"].origin, interval, "s")


def fetch_cascaded_tanks() -> Split:
    """The measured benchmark of two cascaded tanks that overflow, every 4 s.

    Returns
    -------
    Split
        ``train`` (the benchmark's estimation data) and ``test``, each (1024, 2): columns ``voltage`` (input, pump,
        V) and ``level`` (output, lower tank, V), as in :func:`load_cascaded_tanks`; RangeIndex ``time``. Both start
        in the same unknown state.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`fetch`.

    References
    ----------
    Schoukens & Noël (2017), Three benchmarks addressing open challenges in nonlinear system identification.
    """
    import pandas as pd

    table = pd.read_csv(fetch("cascaded_tanks"))
    origin = SOURCES["cascaded_tanks"].origin
    return Split(*(_tanks(table[f"u{part}"], table[f"y{part}"], origin) for part in ("Est", "Val")))


def fetch_tiny_shakespeare() -> str:
    """Passages from Shakespeare's plays, one text of 1,115,394 characters out of 65.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`fetch`.

    References
    ----------
    Karpathy (2015), The unreasonable effectiveness of recurrent neural networks; the text is in the public domain.
    """
    return fetch("tiny_shakespeare").read_text(encoding="utf-8")


def fetch_binarized_mnist() -> BinarizedPictures:
    """Handwritten digits, 28 × 28 pixels, black and white: the fixed binarisation that likelihoods are compared on.

    The test part is sorted by class: its first pictures are no sample of it.

    Returns
    -------
    BinarizedPictures
        50,000, 10,000 and 10,000 pictures.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`fetch`. The files are MATLAB's, in spite of their names.

    References
    ----------
    Salakhutdinov & Murray (2008), On the quantitative analysis of deep belief networks.
    """
    from scipy.io import loadmat

    parts = (loadmat(fetch(f"binarized_mnist_{part}"))["X"] for part in ("train", "valid", "test"))
    return BinarizedPictures(*(part.reshape(-1, 28, 28) for part in parts))


def fetch(name: str) -> Path:
    """Find a file of :data:`SOURCES`: in the folder ``SEQDYN_DATA``, in pooch's cache, or on the network.

    Parameters
    ----------
    name : str
        A key of :data:`SOURCES`.

    Returns
    -------
    Path
        The file, its SHA-256 checked.

    Raises
    ------
    FileNotFoundError
        If it is in none of the places; the message says where to get it and where to put it.
    ValueError
        If its SHA-256 is another one; the message gives both.

    Notes
    -----
    The folder goes first: a file of the right name there is used or refused, never passed over.
    """
    source = SOURCES[name]
    folder = os.environ.get("SEQDYN_DATA")
    local = Path(folder or "", source.file)
    if folder and local.is_file():
        return _checked(local, source)
    if source.url is None:
        raise FileNotFoundError(_missing(source, "it has no stable public address"))
    return _download(source)


def _checked(path: Path, source: Source) -> Path:
    """The path, if the file is the one we know."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise ValueError(
            f"{path} has SHA-256 {found}, expected {source.sha256}: it is damaged or another edition. "
            f"It comes from {source.url or source.origin}."
        )
    return path


def _download(source: Source) -> Path:
    import pooch

    try:
        path = pooch.retrieve(
            source.url, known_hash=f"sha256:{source.sha256}", fname=source.file, path=pooch.os_cache("seqdyn")
        )
    except OSError as error:
        raise FileNotFoundError(_missing(source, f"downloading {source.url} failed ({error})")) from error
    return Path(path)


def _missing(source: Source, reason: str) -> str:
    folder = os.environ.get("SEQDYN_DATA")
    where = f"the folder SEQDYN_DATA={folder}" if folder else "a folder and set the variable SEQDYN_DATA to it"
    return f"There is no local copy of {source.file}, and {reason}. Put it into {where}. It is from: {source.origin}."


# Frames


def _calendar(start: str, periods: int, freq: str) -> pd.DatetimeIndex:
    import pandas as pd

    return pd.date_range(start, periods=periods, freq=freq, name="time")


def _label(
    frame: pd.DataFrame,
    units: Mapping[str, str],
    source: str,
    interval: float | None = None,
    interval_unit: str = "1",
) -> pd.DataFrame:
    """Say what the columns are measured in, where they are from, and how far apart the rows are."""
    attributes: dict[str, Any] = {"source": source, "units": dict(units)}
    if interval is not None:
        attributes |= {"interval": interval, "interval_unit": interval_unit}
    frame.attrs = attributes
    return frame


def _trajectory(system: Cell, steps: int, discard: int, columns: Sequence[str], interval: float = 1.0) -> pd.DataFrame:
    """Simulate an autonomous system in double precision."""
    import pandas as pd

    from seqdyn.systems.simulate import simulate

    values = simulate(system.double(), steps, discard=discard)[0].numpy()
    frame = pd.DataFrame(values, columns=list(columns)).rename_axis("time")
    source = f"simulated by {type(system).__module__}"
    return _label(frame, dict.fromkeys(columns, "1"), source, interval)


def _tanks(voltage: Any, level: Any, source: str) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame({"voltage": np.asarray(voltage), "level": np.asarray(level)}).rename_axis("time")
    return _label(frame, {"voltage": "V", "level": "V"}, source, 4.0, "s")


def _panel(wide: pd.DataFrame, start: np.ndarray) -> pd.DataFrame:
    """Ragged rows, one a series, as one long column; ``start`` (series,) is the hour before each first one."""
    import pandas as pd

    values = wide.to_numpy()
    row, column = np.nonzero(~np.isnan(values))
    index = pd.MultiIndex.from_arrays([wide.index.to_numpy()[row], start[row] + column], names=["series", "time"])
    return pd.DataFrame({"value": values[row, column]}, index=index)


# Signals and films


def _multisine(steps: int, interval: float, generator: np.random.Generator) -> np.ndarray:
    """Frequencies up to 0.0144 Hz, amplitudes ∝ 1/√f, random phases; mean 2.8, standard deviation 1, at least 0."""
    harmonics = np.arange(1, max(1, int(0.0144 * interval * steps)) + 1)
    amplitudes = np.sqrt(2 / harmonics / (1 / harmonics).sum())
    phases = generator.uniform(0, 2 * np.pi, len(harmonics))
    angles = 2 * np.pi * np.outer(np.arange(steps) / steps, harmonics) + phases
    return np.maximum(2.8 + np.cos(angles) @ amplitudes, 0.0)


def _random_steps(steps: int, interval: float, generator: np.random.Generator) -> np.ndarray:
    """Levels in [0.5, 5], each held for 20 to 80 samples."""
    count = steps // 20 + 1
    levels, lengths = generator.uniform(0.5, 5.0, count), generator.integers(20, 81, count)
    return np.repeat(levels, lengths)[:steps]


_SIGNALS = {"multisine": _multisine, "steps": _random_steps}


def _two_images(
    labels: np.ndarray, digits: Sequence[int], subset: str, n_films: int, generator: np.random.Generator
) -> np.ndarray:
    """The numbers of two images a film, (films, 2), of two different digits."""
    pools = []
    for digit in sorted(set(digits)):
        images = np.flatnonzero(labels == digit)
        cut = 3 * len(images) // 4
        pools.append(images[:cut] if subset == "train" else images[cut:])
    first = generator.integers(len(pools), size=n_films)
    second = (first + generator.integers(1, len(pools), size=n_films)) % len(pools)
    kinds = np.stack([first, second], axis=1)
    place = (generator.random(kinds.shape) * np.array([len(pool) for pool in pools])[kinds]).astype(int)
    return np.array(
        [[pools[kind][k] for kind, k in zip(*pair, strict=True)] for pair in zip(kinds, place, strict=True)]
    )


def _bouncing(n_films: int, time: int, room: int, generator: np.random.Generator) -> np.ndarray:
    """The upper left corner of a digit that moves one pixel a step and turns at the edges: (films, time, 2)."""
    start = generator.integers(0, 2 * room + 1, (n_films, 1, 2))  # beyond ``room`` it is on its way back
    return room - np.abs((start + np.arange(time)[:, None]) % max(2 * room, 1) - room)


def _paste(images: np.ndarray, corner: np.ndarray, canvas: int) -> np.ndarray:
    """Put images (films, time, 8, 8) with their corners onto empty frames (films, time, canvas, canvas)."""
    n_films, time, height, width = images.shape
    frames = np.zeros((n_films, time, canvas, canvas), images.dtype)
    film, step = np.ogrid[:n_films, :time]
    rows = corner[..., 0, None, None] + np.arange(height)[:, None]
    columns = corner[..., 1, None, None] + np.arange(width)
    frames[film[..., None, None], step[..., None, None], rows, columns] = images
    return frames
