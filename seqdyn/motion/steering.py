"""Dose and response: what a motion does while one neuron is held, for every neuron and many values at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from seqdyn.arrays import Array
from seqdyn.checks import check_count
from seqdyn.dynamics.neuron_forces import clamp, memory, neurons, places
from seqdyn.motion.model import MotionModel
from seqdyn.motion.rhythms import Rhythm, joint_places, rhythm
from seqdyn.progress import Callback, track
from seqdyn.state import flatten

if TYPE_CHECKING:
    import pandas as pd
    import xarray

MotionQuantity = Callable[[Any], float]

STEERED_RUNS_AT_ONCE = 512
"""Runs side by side."""

DOSE_STRETCH = 2.0
"""Doses reach over this many times the range of a neuron in the free run."""

STEERED_QUANTITIES: dict[str, Callable[[Rhythm], float]] = {
    "frequency": lambda found: found.frequency,
    "amplitude": lambda found: float(found.amplitude.mean()),
    "turning": lambda found: float(found.offset.mean()),
}
"""Frequency in Hz; the mean amplitude of the joints, and their mean offset, by which a body turns, both in rad."""


def steering_map(
    model: MotionModel,
    quantity: str | MotionQuantity = "frequency",
    neurons: Sequence[str] | None = None,
    values: Any = 9,
    *,
    drive: Any = None,
    start: Any = None,
    steps: int = 500,
    joints: Sequence[Any] | None = None,
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> xarray.DataArray:
    """The response of a motion to every dose of every neuron, each held alone.

    Parameters
    ----------
    model : MotionModel
        Fitted.
    quantity : {"frequency", "amplitude", "turning"} or callable
        What is measured of the second half of every run; a callable takes the angles, (time, angle), and gives a
        number. Frequency is in Hz; amplitude and turning, the mean amplitude and the mean offset of the joints, in rad.
    neurons : sequence of str, optional
        By name, as ``"h[12]"``; all of them if None.
    values : int, or array, shape (doses,)
        How many doses, evenly over twice the 5–95 % range of each neuron in the free run; or the doses themselves, in
        the units of the state.
    drive, start
        As in :meth:`~seqdyn.motion.model.MotionModel.free_run`: one series. ``start=None`` begins without any angles.
    steps : int
        Of every run.
    joints : sequence of int or str, optional
        Of which joints the quantity is; all if None.
    verbose : bool or int
        1 or more shows a bar; it moves every 512 runs.
    callback : callable, optional
        ``callback(Progress)`` every 512 runs; a true answer leaves the other runs out, as NaN.

    Returns
    -------
    DataArray, dims (neuron, dose)
        NaN where a run diverged. ``value`` (neuron, dose) is the dose in the units of the state, ``free`` the quantity
        of the free run, ``low`` and ``high`` (neuron,) the 5–95 % range.

    Raises
    ------
    ValueError
        If there is no such neuron, quantity or joint, or the doses are no finite numbers.

    Examples
    --------
    >>> from seqdyn import GRURegressor
    >>> turn = 2 * np.pi * np.arange(400) / 25
    >>> model = MotionModel(GRURegressor(hidden_size=8, max_steps=40, random_state=0), rate=25.0)
    >>> model = model.fit(None, np.stack([np.sin(turn), np.cos(turn)], axis=1))
    >>> steering_map(model, "amplitude", ["h[0]", "h[3]"], 5, steps=100).sizes
    Frozen({'neuron': 2, 'dose': 5})
    """
    measures = [_measure_of(quantity, model, joints)]
    (found,) = _responses(model, measures, neurons, values, drive, start, steps, verbose, callback)
    return found.rename(quantity if isinstance(quantity, str) else getattr(quantity, "__name__", "quantity"))


def steering_neurons(
    model: MotionModel,
    quantity: str | MotionQuantity = "frequency",
    neurons: Sequence[str] | None = None,
    values: Any = 9,
    *,
    drive: Any = None,
    start: Any = None,
    steps: int = 500,
    joints: Sequence[Any] | None = None,
    verbose: bool | int = 0,
    callback: Callback | None = None,
) -> pd.DataFrame:
    """Find the neurons that change a quantity most, with least side effect on the others.

    A neuron's effect is the range of its responses, its side effect the largest range of the other quantities; both are
    counted in shares of the free run's frequency, and of its amplitude for amplitude and turning. A dose under which
    the motion diverges counts as a side effect of 1.

    Parameters
    ----------
    model, quantity, neurons, values, drive, start, steps, joints, verbose, callback
        As in :func:`steering_map`.

    Returns
    -------
    DataFrame, indexed by neuron, the best first
        ``effect``, in the unit of the quantity, and ``relative_effect``, as a share; ``side_effect``, as a share;
        ``monotone``, whether the response only rises or only falls with the dose; ``correlation``, of the ranks of dose
        and response (Spearman's ρ); ``score``, relative effect less side effect.

    Examples
    --------
    >>> from seqdyn import GRURegressor
    >>> turn = 2 * np.pi * np.arange(400) / 25
    >>> model = MotionModel(GRURegressor(hidden_size=8, max_steps=40, random_state=0), rate=25.0)
    >>> model = model.fit(None, np.stack([np.sin(turn), np.cos(turn)], axis=1))
    >>> steering_neurons(model, "amplitude", ["h[0]", "h[3]"], 3, steps=100).shape
    (2, 6)
    """
    others = [name for name in STEERED_QUANTITIES if name != quantity]
    measures = {name: _measure_of(name, model, joints) for name in (quantity, *others, "amplitude", "frequency")}
    own_measures = list(measures.values())
    responses = _responses(model, own_measures, neurons, values, drive, start, steps, verbose, callback)
    found = dict(zip(measures, responses, strict=True))
    amplitude, frequency = (max(abs(float(found[name].free)), 1e-12) for name in ("amplitude", "frequency"))
    scales = {name: frequency if name == "frequency" else amplitude for name in STEERED_QUANTITIES}
    own = found[quantity]
    scale = scales.get(quantity, 0.0) if isinstance(quantity, str) else max(abs(float(own.free)), 1e-12)
    return _rank_neurons(own, scale, {name: found[name] / scales[name] for name in others})


def _rank_neurons(own: xarray.DataArray, scale: float, beside: dict[str, xarray.DataArray]) -> pd.DataFrame:
    """Neurons by relative effect less side effect; the responses beside are shares."""
    import pandas as pd

    effect = np.ptp(own.fillna(own.free).values, axis=1)
    lost = own.isnull().values.any(axis=1)
    side = np.max([np.ptp(part.fillna(part.free).values, axis=1) for part in beside.values()], axis=0)
    side = np.where(lost, np.maximum(side, 1.0), side)
    steps = np.diff(own.values, axis=1)
    pairs = zip(own["value"].values, own.values, strict=True)
    columns = {
        "effect": effect,
        "relative_effect": effect / scale,
        "side_effect": side,
        "monotone": (steps >= 0).all(axis=1) | (steps <= 0).all(axis=1),
        "correlation": [_ranks(dose, answer) for dose, answer in pairs],
        "score": effect / scale - side,
    }
    frame = pd.DataFrame(columns, index=pd.Index(own["neuron"].values, name="neuron"))
    return frame.sort_values("score", ascending=False)


def _ranks(dose: Array, answer: Array) -> float:
    """Spearman's ρ; NaN where nothing changes."""
    from scipy.stats import rankdata

    there = np.isfinite(answer)
    if there.sum() < 2 or np.ptp(answer[there]) == 0 or np.ptp(dose[there]) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(dose[there]), rankdata(answer[there]))[0, 1])


def _measure_of(quantity: str | MotionQuantity, model: MotionModel, joints: Sequence[Any] | None) -> MotionQuantity:
    """What is measured, as a function of the angles (time, angle)."""
    check_is_fitted(model, "estimator_")
    chosen = [joints] if isinstance(joints, str) else joints
    columns = None if chosen is None else joint_places(chosen, len(model.angles_), model.angles_)
    if callable(quantity):
        return lambda angles: float(quantity(angles if columns is None else angles.isel(angle=columns)))
    if quantity not in STEERED_QUANTITIES:
        raise ValueError(
            f"quantity must be one of {list(STEERED_QUANTITIES)} or a callable of the angles, got {quantity!r}."
        )
    of = STEERED_QUANTITIES[quantity]
    return lambda angles: of(rhythm(angles if columns is None else angles.isel(angle=columns), model.rate))


def _responses(
    model: MotionModel,
    measures: list[MotionQuantity],
    names: Sequence[str] | None,
    values: Any,
    drive: Any,
    start: Any,
    count: int,
    verbose: bool | int,
    callback: Callback | None,
) -> list[xarray.DataArray]:
    """The quantities of every run, (neuron, dose) each."""
    import xarray

    check_count("steps", count, 16)
    chosen = _chosen_neurons(model, names)
    free = model.run(drive, start, count, record=lambda x, before, output, after: flatten(memory(before)))
    if free.angles.ndim == 3:
        raise ValueError(f"Steering is of one series, but start or drive has {len(free.angles)}: give one of them.")
    own = free.record[0, count // 2 :, places(model.cell_, chosen)].numpy()
    low, high = np.quantile(own, [0.05, 0.95], axis=0)
    doses = _doses(values, low, high)
    runs = _held_runs(model, chosen, doses, drive, start, count)
    total = -(-doses.size // STEERED_RUNS_AT_ONCE)
    angles = np.concatenate(list(track(runs, "steer", "batch", total=total, verbose=verbose, callback=callback)))
    settled = [free.angles.isel(time=slice(count // 2, None)).copy(data=run[count // 2 :]) for run in angles]
    coordinates = {
        "neuron": chosen,
        "value": (("neuron", "dose"), doses),
        "low": ("neuron", low),
        "high": ("neuron", high),
    }
    found = []
    for measure in measures:
        at_rest = measure(free.angles.isel(time=slice(count // 2, None)))
        responses = np.full(doses.size, np.nan)
        responses[: len(settled)] = [np.nan if model.strays(run).any() else measure(run) for run in settled]
        table = responses.reshape(doses.shape)
        found.append(xarray.DataArray(table, coordinates | {"free": at_rest}, ("neuron", "dose")))
    return found


def _doses(values: Any, low: Array, high: Array) -> Array:
    """The doses of every neuron, (neuron, dose)."""
    if isinstance(values, int | np.integer) and not isinstance(values, bool):
        middle, half = (low + high) / 2, (high - low) / 2
        return middle[:, None] + DOSE_STRETCH * half[:, None] * np.linspace(-1, 1, check_count("values", values, 2))
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all():
        raise ValueError(f"values must be a number of doses, or finite doses (doses,), got shape {given.shape}.")
    return np.broadcast_to(given, (len(low), len(given)))


def _chosen_neurons(model: MotionModel, names: Sequence[str] | str | None) -> list[str]:
    """Which neurons are to be held: each once."""
    chosen = neurons(model.cell_) if names is None else [names] if isinstance(names, str) else list(names)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"neurons must be different names, at least one, got {chosen}.")
    return chosen


def _held_runs(
    model: MotionModel, names: list[str], doses: Array, drive: Any, start: Any, count: int
) -> Iterator[Array]:
    """The angles of every run, parts of (runs, time, angle)."""
    which, place = (table.ravel() for table in np.indices(doses.shape))
    for rows in np.array_split(np.arange(len(which)), -(-len(which) // STEERED_RUNS_AT_ONCE)):
        held = {}
        for number in np.unique(which[rows]):
            own = which[rows] == number
            held[names[number]] = np.where(own, doses[number, place[rows]], np.nan)[:, None]
        found = model.run(drive, start, count, clamp(model.cell_, held), copies=len(rows)).angles.values
        yield found if found.ndim == 3 else found[None]
