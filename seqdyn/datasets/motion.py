"""Measured motion: the mean cycles of a salamander, and people who walk."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from seqdyn.checks import check_choice, check_count, is_number
from seqdyn.datasets.frames import label_frame
from seqdyn.datasets.sources import SOURCES, fetch

_FREQUENCY = {"swimming": 3.2, "walking": 0.88}
"""Cycles in a second, Hz."""

_CLIPS = (*(f"train_{k}" for k in range(1, 6)), "test_1")
_ROOT = [f"root_{part}{axis}" for part in ("", "rotation_") for axis in "xyz"]
_JOINTS = [f"joint_{k:02d}_{axis}" for k in range(37) for axis in "xyz"]
_RATE = 120.0
"""Of the clips, Hz."""


class WalkingClips(NamedTuple):
    """Clips of walking people: five frames ``train``, one frame ``test``, and the ``rate``, 120 Hz."""

    train: list[pd.DataFrame]
    test: pd.DataFrame
    rate: float = _RATE


def fetch_salamander(
    gait: str = "swimming",
    *,
    rate: float = 100.0,
    frequency: float | None = None,
    cycles: int = 20,
    harmonics: int | None = 5,
) -> pd.DataFrame:
    """The joint angles of a real salamander: one mean cycle of swimming or walking, repeated.

        y(t) = a_0 + Σ_{k=1}^{K} a_k cos 2πkft + b_k sin 2πkft

    Parameters
    ----------
    gait : {"swimming", "walking"}
        Swimming: eight joints of the body. Walking: these and four of every limb.
    rate : float > 0
        Rows in a second, Hz.
    frequency : float > 0, optional
        f, cycles in a second, Hz. The files give the fraction of a cycle and no time. None: 3.2 for swimming, in the
        middle of the 2.6 to 3.8 that were measured, and the 0.88 of walking.
    cycles : int, at least 1
        How many times the cycle is repeated.
    harmonics : int from 1 to 499, or None
        K: a Fourier series of the cycle, exactly periodic. None: the cycle as it is, with a jump between two cycles,
        since its end is up to 10° away from its beginning.

    Returns
    -------
    DataFrame, shape (⌈cycles · rate / frequency⌉, 8) or (…, 24)
        Index ``time``, s. Columns ``axis_1`` … ``axis_8`` from head to tail; when walking also ``left_`` and
        ``right_`` with ``shoulder_yaw``, ``shoulder_pitch``, ``shoulder_roll``, ``elbow``, ``hip_yaw``, ``hip_pitch``,
        ``hip_roll``, ``knee``: angles in rad (the files hold degrees). ``attrs`` has the ``rate`` and the
        ``frequency``, Hz.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the rate is too low for the harmonics.
    FileNotFoundError
        See :func:`seqdyn.datasets.sources.fetch`.

    Notes
    -----
    A cycle was interpolated from some 20 frames (swimming) or 100 (walking) to 1000: no part of it is independent of
    the rest, and every repetition is the same. Score a model on what it generates, not on held-out rows.

    References
    ----------
    Karakasiliotis, Schilling, Cabelguen & Ijspeert (2013), Where are we in understanding salamander locomotion;
    the files are those of A. Pazzaglia's SalamandraSNN. A simulated one is
    :func:`seqdyn.datasets.salamander.load_salamander`.

    Examples
    --------
    >>> frame = fetch_salamander("walking", cycles=2)  # doctest: +SKIP
    >>> frame.shape, frame.columns[0], frame.attrs["frequency"]  # doctest: +SKIP
    ((228, 24), 'axis_1', 0.88)
    """
    usual = _FREQUENCY[check_choice("gait", gait, tuple(_FREQUENCY))]
    frequency = usual if frequency is None else frequency
    _check_rates(rate, frequency, check_count("harmonics", harmonics, others=(None,)))
    table = pd.read_csv(fetch(f"salamander_{gait}")).drop(columns="time")
    time = np.arange(math.ceil(check_count("cycles", cycles) * rate / frequency - 1e-9)) / rate
    values = np.deg2rad(_repeated(table.to_numpy(), frequency * time, harmonics))
    columns = [name.lower().replace(" ", "_").replace("-", "_") for name in table]
    frame = pd.DataFrame(values, columns=columns, index=pd.Index(time, name="time"))
    label_frame(frame, dict.fromkeys(columns, "rad"), SOURCES[f"salamander_{gait}"].origin, 1 / rate, "s")
    frame.attrs |= {"rate": rate, "frequency": frequency}
    return frame


def fetch_cmu_walking() -> WalkingClips:
    """Six clips of people who walk, from the motion capture of Carnegie Mellon University, at 120 Hz.

    Returns
    -------
    WalkingClips
        ``train`` (344, 599, 495, 317 and 330 rows) and ``test`` (359), each with 117 columns and the index ``time``,
        s: ``root_x``, ``root_y``, ``root_z`` (where the hips are; y is up), ``root_rotation_x``, … (how they are
        turned), and ``joint_00_x``, …, ``joint_36_z``, three for every joint. Rotations are exponential maps: the axis
        times the angle, rad.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`seqdyn.datasets.sources.fetch`.

    Notes
    -----
    *The published protocol's labels are wrong for these data.* It keeps every second row and calls 25 of them a second.
    At that rate a stride would take 2.6 to 2.9 s; it takes 130 to 145 rows, 1.1 to 1.2 s at 120 Hz. What is
    published as 80, 160, 320, 400, 560 and 1000 ms is 33, 67, 133, 167, 233 and 417 ms.

    The rows are those of the files. The first of every clip is no motion but the pose the skeleton is defined in: leave
    it out with ``clip.iloc[1:]``. Many columns are constant: over ``train`` 70 have a standard deviation of at least
    1e-4, 64 of them outside the root; without the first rows it is 68 and 62. In ``train[2]`` ``joint_26_y`` leaps by
    3.2 rad before rows 458 and 461, a fault of the recording.

    ``joint_k`` is joint k + 1 of the 38 of the source's skeleton, whose root is joint 0. The files give no unit for
    the position of the root; were it 5.6 cm, the hips would be 0.9 to 1.0 m above the ground.

    References
    ----------
    CMU Graphics Lab Motion Capture Database; Li, Zhang, Lee & Lee (2018), Convolutional sequence to sequence model for
    human dynamics, whose files these are; the protocol is that of Martinez, Black & Romero (2017), On human motion
    prediction using recurrent neural networks.

    Examples
    --------
    >>> clips = fetch_cmu_walking()  # doctest: +SKIP
    >>> [len(clip) for clip in clips.train], clips.test.shape, clips.rate  # doctest: +SKIP
    ([344, 599, 495, 317, 330], (359, 117), 120.0)
    """
    *train, test = (_read_clip(f"cmu_walking_{name}") for name in _CLIPS)
    return WalkingClips(train, test)


def _check_rates(rate: Any, frequency: Any, harmonics: int | None) -> None:
    """Refuse rates and frequencies that are not positive, and harmonics that the rate cannot show."""
    for name, value in (("rate", rate), ("frequency", frequency)):
        if not is_number(value) or not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive number, in Hz, got {value!r}.")
    if harmonics is not None and harmonics > 499:
        raise ValueError(f"harmonics={harmonics} is more than the 499 that a cycle of 1000 samples has.")
    if harmonics is not None and 2 * harmonics * frequency >= rate:
        raise ValueError(
            f"rate={rate:g} Hz is too low for {harmonics} harmonics of {frequency:g} Hz: take more than "
            f"{2 * harmonics * frequency:g} Hz, or fewer harmonics."
        )


def _repeated(cycle: np.ndarray, turns: np.ndarray, harmonics: int | None) -> np.ndarray:
    """A cycle (1000, joints) at times (time,) in units of cycles, by its Fourier series or as it is."""
    if harmonics is None:
        grid = np.arange(len(cycle)) / len(cycle)
        return np.stack([np.interp(turns, grid, column, period=1) for column in cycle.T], axis=1)
    waves = np.fft.rfft(cycle, axis=0)[: harmonics + 1] / len(cycle)
    waves[1:] *= 2
    return (np.exp(2j * np.pi * np.outer(turns, np.arange(len(waves)))) @ waves).real


def _read_clip(name: str) -> pd.DataFrame:
    """One file as a frame, indexed by the time in seconds."""
    values = np.loadtxt(fetch(name), delimiter=",")
    columns = [*_ROOT, *_JOINTS]
    frame = pd.DataFrame(values, columns=columns, index=pd.Index(np.arange(len(values)) / _RATE, name="time"))
    units = dict.fromkeys(_ROOT[:3], "not given") | dict.fromkeys(columns[3:], "rad")
    label_frame(frame, units, SOURCES[name].origin, 1 / _RATE, "s").attrs["rate"] = _RATE
    return frame
