"""Processes with an input and an output: tanks, a furnace, a dryer and a heating system."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from seqdyn.datasets.frames import Split, label_frame
from seqdyn.datasets.sources import SOURCES, fetch


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
        How many samples, one every 4 s.
    signal : {"multisine", "steps"}
        The voltage of the pump. ``"multisine"``: all frequencies f up to 0.0144 Hz with amplitudes ∝ 1/√f and random
        phases, mean 2.8 V, standard deviation 1 V, one period in all. ``"steps"``: random levels in [0.5, 5] V, each
        held for 20 to 80 samples. Both overflow at times.
    noise : float
        Standard deviation of the level sensor's error, V.
    random_state : int, numpy Generator or None
        Of the voltage and the noise.

    Returns
    -------
    DataFrame, shape (steps, 2)
        Columns ``voltage`` (input, V, held for the 4 s after the row's instant) and ``level`` (output, V, of the
        lower tank at the end of these 4 s); RangeIndex ``time``.

    Raises
    ------
    ValueError
        If signal has another value.

    Notes
    -----
    Both tanks are half full at first; this transient decays within about 50 samples. Another ``random_state`` gives
    another experiment, for testing.

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
        See :func:`seqdyn.datasets.sources.fetch`.

    References
    ----------
    Schoukens & Noël (2017), Three benchmarks addressing open challenges in nonlinear system identification.

    Examples
    --------
    >>> fetch_cascaded_tanks().train.shape  # doctest: +SKIP
    (1024, 2)
    """
    table = pd.read_csv(fetch("cascaded_tanks"))
    origin = SOURCES["cascaded_tanks"].origin
    return Split(*(_tanks(table[f"u{part}"], table[f"y{part}"], origin) for part in ("Est", "Val")))


def fetch_gas_furnace() -> pd.DataFrame:
    """A gas furnace, every 9 s: the gas rate is the input, the CO2 of the exhaust is the output.

    Returns
    -------
    DataFrame, shape (296, 2)
        Columns ``gas_rate`` (input, ft³/min, as a deviation from its mean) and ``co2`` (output, %); RangeIndex
        ``time``.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`seqdyn.datasets.sources.fetch`.

    References
    ----------
    Box & Jenkins (1970), Time Series Analysis, series J.

    Examples
    --------
    >>> fetch_gas_furnace().shape  # doctest: +SKIP
    (296, 2)
    """
    frame = pd.read_csv(fetch("gas_furnace")).set_axis(["gas_rate", "co2"], axis=1).rename_axis("time")
    return label_frame(frame, {"gas_rate": "ft³/min", "co2": "%"}, SOURCES["gas_furnace"].origin, 9.0, "s")


def fetch_daisy(name: str) -> pd.DataFrame:
    """A measured process of the identification database DaISy.

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
        If name has another value.
    FileNotFoundError
        See :func:`seqdyn.datasets.sources.fetch`.

    References
    ----------
    De Moor (ed.), DaISy: Database for the Identification of Systems, KU Leuven; cite data sets 96-006 and 99-001.

    Examples
    --------
    >>> fetch_daisy("dryer").shape  # doctest: +SKIP
    (1000, 2)
    """
    kinds = {"dryer": (0.08, "not given"), "heating_system": (2.0, "°C")}
    if name not in kinds:
        raise ValueError(f"name must be one of {', '.join(map(repr, kinds))}, got {name!r}.")
    interval, unit = kinds[name]
    columns = np.loadtxt(fetch(f"daisy_{name}"))[:, -2:]  # the heating system's first column is the time
    frame = pd.DataFrame(columns, columns=["voltage", "temperature"]).rename_axis("time")
    units = {"voltage": "V", "temperature": unit}
    return label_frame(frame, units, SOURCES[f"daisy_{name}"].origin, interval, "s")


def _tanks(voltage: Any, level: Any, source: str) -> pd.DataFrame:
    frame = pd.DataFrame({"voltage": np.asarray(voltage), "level": np.asarray(level)}).rename_axis("time")
    return label_frame(frame, {"voltage": "V", "level": "V"}, source, 4.0, "s")


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
