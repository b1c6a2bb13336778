"""A simulated salamander: the drive of its brain stem, and the angles of its joints while it walks and swims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from seqdyn.checks import check_count, is_number
from seqdyn.datasets.frames import label_frame

_LIMBS = ("limb_left_fore", "limb_right_fore", "limb_left_hind", "limb_right_hind")
_DRIVES = ["drive_left", "drive_right"]
_ANGLES = [*(f"body_{k}" for k in range(1, 9)), *_LIMBS]
_GAITS = ("rest", "walking", "swimming")


def load_salamander(
    n_series: int = 8,
    seconds: float = 30.0,
    *,
    rate: float = 50.0,
    drives: Any = None,
    hold: tuple[float, float] = (5.0, 10.0),
    turning: float = 0.25,
    discard: float = 6.0,
    random_state: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """A salamander that walks, swims and turns: the drive of both sides, and the angles of twelve joints.

    Parameters
    ----------
    n_series : int, at least 1
        How many animals, each with its own drive and its own initial phases.
    seconds : float > 0
        The length of every series, s.
    rate : float > 0
        Rows in a second, Hz. The simulation takes 10 ms a step or less, whatever the rate.
    drives : float or array, optional
        None: random staircases, as below. A number: a constant drive of both sides. An array with a drive for every
        row: (time,) for both sides, (time, 2) for left and right, (series, time, 2) for every animal.
    hold : (float, float), 0 < first ≤ second
        How long a level of the staircase is held at least and at most, s. The levels are uniform from 1 to 5.
    turning : float in [0, 1]
        The share of levels that differ between the sides, by 0.2 to 1, or less if one side would leave the gait.
    discard : float ≥ 0
        How long it runs with its first drive before the first row, s.
    random_state : int, numpy Generator or None
        Of drives and initial states: phases uniform in (−π, π), amplitudes and their speeds in (0, 1).

    Returns
    -------
    DataFrame, shape (n_series · time, 15)
        MultiIndex ``(series, time)``, time in s from 0. ``drive_left`` and ``drive_right`` (inputs, no unit, held for
        the interval that ends with the row); ``body_1`` … ``body_8`` from head to tail, ``limb_left_fore``,
        ``limb_right_fore``, ``limb_left_hind``, ``limb_right_hind`` (outputs, rad, at the end of it); ``gait``, one of
        "rest", "walking" and "swimming" by the mean drive of both sides. ``attrs["rate"]`` is the rate in Hz.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the drives do not fit the series.

    Notes
    -----
    ``discard`` removes the transient of the random start. Transients after every change of the drive are kept: a model
    has to learn them beyond the steady gaits. From 256 random starts with constant drives, the lags along the body
    settled (to 0.01 cycles) within 1.8 s of walking and 5.4 s of swimming. It walks at 0.2 d Hz for
    1 ≤ d ≤ 3 and swims at 0.2 d + 0.3 Hz for 3 < d ≤ 5; the label ``gait`` changes with the drive at once.

    References
    ----------
    :class:`seqdyn.systems.salamander.Salamander`; Ijspeert, Crespi, Ryczko & Cabelguen (2007), From swimming to
    walking with a salamander robot driven by a spinal cord model. Measured angles are
    :func:`seqdyn.datasets.motion.fetch_salamander`.

    Examples
    --------
    >>> frame = load_salamander(2, seconds=3.0, drives=4.0)
    >>> frame.shape, frame.columns[2], frame["gait"].iloc[0]
    ((300, 15), 'body_1', 'swimming')
    """
    _check_simulation(seconds, rate, hold, turning, discard)
    generator = np.random.default_rng(random_state)
    shape = check_count("n_series", n_series), max(1, round(seconds * rate))
    if drives is None:
        drive = np.stack([_staircase(shape[1] / rate, rate, hold, turning, generator) for _ in range(shape[0])])
    else:
        drive = _as_drives(drives, *shape)
    return _frame(drive, _angles(drive, rate, round(discard * rate), generator), rate)


def _check_simulation(seconds: Any, rate: Any, hold: Any, turning: Any, discard: Any) -> None:
    """Refuse arguments out of their range."""
    given = {"seconds": seconds, "rate": rate, "turning": turning, "discard": discard}
    for name, value in given.items():
        if not is_number(value) or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value!r}.")
    if seconds <= 0 or rate <= 0 or discard < 0 or not 0 <= turning <= 1:
        raise ValueError(
            "load_salamander needs seconds > 0, rate > 0, discard >= 0 and 0 <= turning <= 1, got "
            + ", ".join(f"{name}={value}" for name, value in given.items())
            + "."
        )
    if np.shape(hold) != (2,) or not 0 < hold[0] <= hold[1] < math.inf:
        raise ValueError(f"hold must be the least and the most seconds of a level, such as (5.0, 10.0), got {hold!r}.")


def _staircase(
    seconds: float, rate: float, hold: tuple[float, float], turning: float, generator: np.random.Generator
) -> np.ndarray:
    """Drives of both sides, (time, 2): random levels, each held for a while."""
    count = int(seconds / hold[0]) + 1
    level, side = generator.uniform(1.0, 5.0, count), generator.choice([-1, 1], count)
    room = np.minimum(np.minimum(level - 1, 5 - level), np.abs(level - 3))  # to the next border of the gait
    apart = np.minimum(generator.uniform(0.1, 0.5, count), 0.99 * room) * (generator.random(count) < turning)
    lengths = np.maximum(1, np.round(generator.uniform(*hold, count) * rate)).astype(int)
    both = np.stack([level + side * apart, level - side * apart], axis=1)
    rows = round(seconds * rate)
    return np.repeat(both, lengths, axis=0)[:rows]


def _as_drives(drives: Any, series: int, time: int) -> np.ndarray:
    """The user's drives as (series, time, 2)."""
    found = np.asarray(drives, dtype=float)
    fits = {(): (1, 1, 1), (time,): (1, time, 1), (time, 2): (1, time, 2), (series, time, 2): (series, time, 2)}
    if found.shape not in fits:
        raise ValueError(
            f"drives has shape {found.shape}, expected a number, ({time},), ({time}, 2) or ({series}, {time}, 2): a "
            f"drive for every row, and seconds · rate = {time} rows."
        )
    if not np.isfinite(found).all():
        raise ValueError(f"drives must be finite, got {found[~np.isfinite(found)][0]} among them.")
    return np.broadcast_to(found.reshape(fits[found.shape]), (series, time, 2))


def _angles(drive: np.ndarray, rate: float, discard: int, generator: np.random.Generator) -> np.ndarray:
    """Run animals from random starts, (series, time, 12), with several steps in a row and without the first rows."""
    import torch

    from seqdyn.flow import FlowState
    from seqdyn.systems.salamander import Salamander
    from seqdyn.systems.simulate import simulate

    substeps = math.ceil(100 / rate - 1e-9)
    start = generator.uniform([-math.pi] * 20 + [0.0] * 40, [math.pi] * 20 + [1.0] * 40, (len(drive), 60))
    whole = np.concatenate([np.repeat(drive[:, :1], discard, axis=1), drive], axis=1).repeat(substeps, axis=1)
    system, x = Salamander(dt=1 / (rate * substeps)).double(), torch.from_numpy(whole)
    left_out = discard * substeps
    angles = simulate(system, x.shape[1] - left_out, FlowState(torch.from_numpy(start)), x, left_out)
    return angles[:, substeps - 1 :: substeps].numpy()


def _frame(drive: np.ndarray, angles: np.ndarray, rate: float) -> pd.DataFrame:
    """Everything in columns, by series and by time in seconds."""
    series, time, _ = drive.shape
    index = pd.MultiIndex.from_product([range(series), np.arange(time) / rate], names=["series", "time"])
    values = np.concatenate([drive, angles], axis=2).reshape(series * time, -1)
    frame = pd.DataFrame(values, index=index, columns=[*_DRIVES, *_ANGLES])
    level = frame[_DRIVES].mean(axis=1).to_numpy()
    awake = (level >= 1) & (level <= 5)
    frame["gait"] = pd.Categorical.from_codes(np.where(awake, 1 + (level > 3), 0), categories=_GAITS)
    units = dict.fromkeys(_DRIVES, "1") | dict.fromkeys(_ANGLES, "rad") | {"gait": "name"}
    label_frame(frame, units, "simulated by seqdyn.systems.salamander", 1 / rate, "s").attrs["rate"] = rate
    return frame
