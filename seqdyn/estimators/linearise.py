"""A fitted model, near a point or along a trajectory, as a linear system in the units of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from seqdyn.arrays import Array
from seqdyn.cell import Cell
from seqdyn.estimators.numbers import is_sequence_regressor
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.identification.linearisation import linearised_along, linearised_at
from seqdyn.identification.system import LinearSystem
from seqdyn.predictor import Predictor
from seqdyn.state import State
from seqdyn.wrapper import Wrapper


def linearise(
    model: Any, x: Any = None, state: State | None = None, dt: float | None = None
) -> LinearSystem | list[LinearSystem]:
    """The linear system that a model is near a point: its poles, its frequency response, its memory.

    Parameters
    ----------
    model : regressor or Cell
        A fitted regressor of this library, or a cell. It stays as it is.
    x : array-like, optional
        (features,): the operating input; the state is the one that it leads to when it is held. (time, features),
        an array or DataFrame: a trajectory. In the units of the data, of a cell in its own. If None the mean of the
        training inputs, of a cell 0.
    state : State, optional
        One row, in the units of the network (``model.state_``, or what ``predict(…, return_state=True)`` gives). With
        an operating input the state about which to linearise; with a trajectory the one before its first step.
    dt : float, optional
        Time between two steps; frequencies are per this unit of time. If None that of the model where it knows one,
        with its unit, else 1.

    Returns
    -------
    LinearSystem, or a list of them
        Between x and y in the units of the data; the state stays in those of the network. With a trajectory one a
        step, about (x_t, h_{t-1}). Losses with several outputs a target count with their point prediction.

    Raises
    ------
    ValueError
        If the model has no causal system from inputs to targets (bidirectional, ``output_lag``), feeds its own past to
        itself (``autoregression``), or if its state does not settle at the operating input.
    TypeError
        If the model is none that can be linearised.

    Notes
    -----
    It speaks of small signals about the point; elsewhere a nonlinear model has other poles. Compare several operating
    inputs before the poles of one are believed to be those of the data.

    References
    ----------
    Sussillo & Barak (2013), Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural
    networks, Neural Computation 25.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> from seqdyn import ARXRegressor
    >>> x = np.random.default_rng(0).normal(size=(500, 1))
    >>> y = lfilter([1.0], [1.0, -0.8], x[:, 0])
    >>> system = linearise(ARXRegressor(output_lags=1, input_lags=0).fit(x, y))
    >>> round(system.spectral_radius(), 6), system.dc_gain().round(6)
    (0.8, array([[5.]]))
    """
    if isinstance(model, Cell):
        values = np.zeros(model.input_size) if x is None else np.asarray(x, dtype=np.float64)
        return _dispatch(model, values, state, 1.0 if dt is None else dt)
    predictor = _predictor(model)
    codec, cell = predictor.codec, predictor.causal("linearise")
    inputs, targets = codec.inputs.scaling, codec.targets.scaling
    point = _Point(cell, codec.targets.head.point, len(targets.mean))
    found = _dispatch(point, inputs.apply(_inputs(model, x)), state, getattr(model, "dt_", 1.0) if dt is None else dt)
    unit = getattr(model, "time_unit_", "") if dt is None else ""
    names = codec.inputs.names or (), getattr(model, "target_names_", None) or ()

    def physical(system: LinearSystem) -> LinearSystem:
        moved = system.in_units(inputs.mean, inputs.scale, targets.mean, targets.scale)
        return replace(moved.with_names(*names), time_unit=unit)

    return [physical(system) for system in found] if isinstance(found, list) else physical(found)


class _Point(Wrapper):
    """A cell whose output is the point prediction."""

    def __init__(self, cell: Cell, point: Callable[[Tensor], Tensor], outputs: int):
        super().__init__(cell, outputs)
        self.point = point

    def read(self, output: Tensor, x: Any) -> Tensor:
        return self.point(output)


def _dispatch(cell: Cell, x: Array, state: State | None, dt: float) -> LinearSystem | list[LinearSystem]:
    if x.ndim not in (1, 2):
        raise ValueError(
            f"x has shape {x.shape}, expected (features,) for an operating input or (time, features) for a trajectory."
        )
    return linearised_at(cell, x, state, dt) if x.ndim == 1 else linearised_along(cell, x, state, dt)


def _predictor(model: Any) -> Predictor:
    """The predictor of a regressor that has a system from inputs to targets, or what stands against it in words."""
    if not isinstance(model, SequenceEstimator):
        raise TypeError(f"linearise takes a fitted regressor of this library or a Cell, got {type(model).__name__}.")
    predictor = model.predictor_
    if not is_sequence_regressor(model):
        raise TypeError(
            f"{type(model).__name__} does not predict numbers. The scores of its classes can be linearised, in the "
            "units of the network: linearise(model.cell_)."
        )
    if predictor.codec.inputs.own is not None:
        raise ValueError(
            "With autoregression the model feeds its own past to itself, and a past value that is not known is "
            "replaced: it has no one linear system from inputs to targets. Fit without autoregression."
        )
    if predictor.lag:
        raise ValueError(
            f"With output_lag={predictor.lag} y_t is read after x_{{t+{predictor.lag}}} was seen: no causal system "
            f"leads from x to y. The one to y_{{t-{predictor.lag}}}, in the units of the network, is "
            "linearise(model.cell_)."
        )
    return predictor


def _inputs(model: Any, x: Any) -> Array:
    """The operating input (features,), or the rows of one sequence (time, features), in the units of the data."""
    if x is None:
        return np.asarray(model.input_mean_, dtype=np.float64)
    if np.ndim(x) == 1:
        values = np.asarray(x, dtype=np.float64)
        if values.shape != (model.n_features_in_,) or not np.isfinite(values).all():
            raise ValueError(
                f"x has shape {values.shape}, expected ({model.n_features_in_},), all finite, for an operating input, "
                f"or (time, {model.n_features_in_}) for a trajectory."
            )
        return values
    sequences = model.read(x)
    if len(sequences.lengths) != 1:
        raise ValueError(f"x holds {len(sequences.lengths)} series, expected one trajectory.")
    return np.asarray(sequences.rows, dtype=np.float64)
