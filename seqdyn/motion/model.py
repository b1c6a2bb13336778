"""Motion models: joint angles that follow a drive, learnt from a motion that was observed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from seqdyn.arrays import Array
from seqdyn.autoregression import Autoregression, OwnPast
from seqdyn.cell import Cell
from seqdyn.checks import check_choice, check_count, is_number
from seqdyn.data.sequences import as_sequences
from seqdyn.dynamics.driven import Driven
from seqdyn.dynamics.neuron_forces import clamp
from seqdyn.estimators.fitted_display import fitted_html, fitted_line, fitted_summary, training_facts
from seqdyn.estimators.parameters import unchanged_on_error
from seqdyn.estimators.regressors import GRURegressor
from seqdyn.files import save as save_file
from seqdyn.files import storable
from seqdyn.held import Held
from seqdyn.loops import Force, Recorder
from seqdyn.motion.free_runs import STEPS_PER_PIECE, FreeRun, check_bounded, free_run_pieces, has_diverged
from seqdyn.motion.reading import (
    Motion,
    check_drive,
    check_unit,
    constant_drive,
    labelled_angles,
    one_step_pairs,
    read_drive,
    read_motion,
    read_start,
    value_range,
)
from seqdyn.motion.rhythms import DIVERGED_ERRORS, rhythm_errors
from seqdyn.predictor import Predictor
from seqdyn.progress import track
from seqdyn.state import map_leaves
from seqdyn.typed_bases import BaseEstimator

if TYPE_CHECKING:
    from xarray import DataArray


@dataclass(repr=False, eq=False)
class MotionModel(BaseEstimator):
    """A motion that generates itself: y_t, h_t = f(y_{t-1}, d_t, h_{t-1}), with joint angles y and a drive d.

    Any recurrent regressor learns it. In a free run the model sees its own last angles; the drive, or a force on its
    neurons, steers it.

    Parameters
    ----------
    estimator : regressor
        Any regressor of the library that can see its own past; :func:`default_estimator` if None. It is copied. What
        its ``autoregression`` says of lags and teacher forcing is kept.
    angles : sequence of str, or int, or None
        The names of the joints, or their number; those of the data if None. Data with other joints are refused.
    rate : float > 0
        Samples a second, in Hz: the true time of the motion. It is checked against data that are indexed by seconds.
    residual : bool
        Let the network say the change from the last angles.
    warmup : int or None
        Leading steps that find the state: without loss in training, and the fewest that a free run starts from. The
        estimator's own if None.
    unit : {"radians", "degrees"}
        Of the angles. In radians a range beyond four turns is refused: those are degrees.

    Attributes
    ----------
    estimator_ : regressor
        Fitted.
    cell_ : Cell
        Its network, in network units.
    angles_ : tuple of str
        The joints.
    drives_ : tuple of str
        The columns of the drive; empty without one.
    drive_range_, angle_range_ : array, shape (2, columns)
        Least and greatest values of the training.

    References
    ----------
    Martinez, Black & Romero (2017), On human motion prediction using recurrent neural networks (residual angles).

    Examples
    --------
    >>> turn = 2 * np.pi * np.arange(400) / 25
    >>> model = MotionModel(GRURegressor(hidden_size=8, max_steps=40, random_state=0), rate=25.0)
    >>> model = model.fit(None, np.stack([np.sin(turn), np.cos(turn)], axis=1))
    >>> model.free_run(None, np.stack([np.sin(turn), np.cos(turn)], axis=1)[:50], 100).sizes
    Frozen({'time': 100, 'angle': 2})
    """

    estimator: Any = None
    angles: Any = None
    rate: float = 1.0
    residual: bool = True
    warmup: int | None = None
    unit: str = "radians"

    # ---------------------------------------------------------------- fitting

    def fit(self, drive: Any, angles: Any) -> Self:
        """Train on a motion.

        Parameters
        ----------
        drive : array, shape (time, drives), or (series, time, drives), list of arrays, DataFrame, or None
            What drives the motion while every sample comes about; None: it runs by itself.
        angles : array, shape (time, joints), or (series, time, joints), list of arrays, or DataFrame
            In the same container.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If joints are missing, the angles look like degrees, the time is not that of ``rate``, the warm-up is longer
            than a series, or shapes do not go together.
        """
        with unchanged_on_error(self):
            self._check_parameters()
            motion = read_motion(drive, angles, self.angles, self.rate)
            check_unit(motion.angles, motion.names, self.unit)
            self._check_lengths(motion)
            self.angles_, self.drives_ = motion.names, motion.drive_names
            self.drive_range_, self.angle_range_ = value_range(motion.drives), value_range(motion.angles)
            self.estimator_: Any = self._estimator(len(motion.names)).fit(*one_step_pairs(motion))
        return self

    def _check_parameters(self) -> None:
        if not is_number(self.rate) or not 0 < self.rate < np.inf:
            raise ValueError(f"rate is the samples a second, a positive number, got {self.rate!r}.")
        if self.warmup is not None:
            check_count("warmup", self.warmup, 0)
        if isinstance(self.angles, str):
            raise ValueError(f"angles are the names of the joints, a list of str, got the str {self.angles!r}.")
        check_choice("residual", self.residual, (True, False))
        check_choice("unit", self.unit, ("radians", "degrees"))

    def _check_lengths(self, motion: Motion) -> None:
        shortest = min(map(len, motion.angles))
        if shortest <= (self.warmup or 0) + 1:
            raise ValueError(
                f"The warm-up of {self.warmup or 0} steps ({(self.warmup or 0) / self.rate:g} s) is longer than the "
                f"shortest series, of {shortest} steps: leave out such series, or lower warmup."
            )

    def _estimator(self, joints: int) -> Any:
        """The regressor with its own past: the angles that it predicts."""
        estimator = default_estimator() if self.estimator is None else clone(self.estimator)
        names = estimator.get_params(deep=False)
        if "autoregression" not in names:
            raise ValueError(f"{type(estimator).__name__} does not see its own past: take a recurrent regressor.")
        own = replace(names["autoregression"] or Autoregression(), targets=joints, residual=self.residual)
        change = {"autoregression": own} | ({} if self.warmup is None else {"warmup": self.warmup})
        return estimator.set_params(**change)

    # ---------------------------------------------------------------- running

    def free_run(self, drive: Any, start: Any, steps: int | None = None, *, verbose: bool | int = 0) -> DataArray:
        """Generate a motion: the model sees its own last angles, and the drive.

        Parameters
        ----------
        drive : array, or None
            (drives,): a constant drive. (time, drives) or (series, time, drives): one a step, beginning beside the
            first row of ``start``, so that it has ``len(start) + steps`` rows. None for a model without a drive.
        start : array, shape (warm-up, joints) or (series, warm-up, joints), DataFrame or DataArray, or None
            Angles that were observed, from which the state is found. None: from the model's initial state, without any.
        steps : int, at least 1, optional
            How many to generate; as many as the drive has left if None.
        verbose : bool or int
            1 or more shows a bar; it moves every 1,000 steps.

        Returns
        -------
        DataArray, shape (time, angle) or (series, time, angle)
            What was generated after ``start``, with the time in seconds since its first row.

        Raises
        ------
        ValueError
            If shapes do not fit, joints are missing, the drive leaves the range of the training, or ``start`` is
            shorter than the warm-up.
        FloatingPointError
            If the run diverges: not finite, or ten ranges outside that of the training. The message says at which step.
        """
        return self._bounded_run(drive, start, steps, None, verbose)

    def steer(
        self, force: Any, drive: Any, start: Any, steps: int | None = None, *, verbose: bool | int = 0
    ) -> DataArray:
        """Generate a motion while neurons are held.

        Parameters
        ----------
        force : mapping of str to float or array, or callable
            Neurons to clamp, by name, as ``{"h[12]": 0.5}``; see :func:`~seqdyn.dynamics.neuron_forces.clamp`. Or
            ``force(t, state) -> state``, such as ``nudge(model.cell_, {"h[12]": 0.1})``. It acts after ``start``; t
            counts from there.
        drive, start, steps, verbose
            As in :meth:`free_run`.

        Returns
        -------
        DataArray
        """
        check_is_fitted(self)
        forced = clamp(self.cell_, force) if isinstance(force, Mapping) else force
        if not callable(forced):
            raise ValueError(f"force is a mapping such as {{'h[0]': 0.5}} or a callable, got {type(force).__name__}.")
        return self._bounded_run(drive, start, steps, forced, verbose)

    def run(
        self,
        drive: Any,
        start: Any,
        steps: int | None = None,
        force: Force | None = None,
        record: Recorder | None = None,
        copies: int = 1,
    ) -> FreeRun:
        """A free run with the hooks of :func:`seqdyn.scan`; one that diverges is neither stopped nor refused.

        Parameters
        ----------
        drive, start, steps
            As in :meth:`free_run`.
        force, record : callable, optional
            ``force(t, state) -> state`` and ``record(x, before, output, after) -> tree``, from the first step after
            ``start``.
        copies : int, at least 1
            How many runs of one series side by side, for a force that differs from row to row.

        Returns
        -------
        FreeRun
        """
        x, led, time, single = self._run_inputs(drive, start, steps, check_count("copies", copies))
        parts = list(free_run_pieces(self.cell_, x, led, time, force, record))
        values = np.concatenate([self.predictor_.decode(part.output) for part in parts], axis=1)
        kept = map_leaves(lambda *leaves: torch.cat(leaves, 1), *(part.record for part in parts)) if record else None
        return FreeRun(labelled_angles(values, self.angles_, led, self.rate, single, self.unit), kept)

    def _run_inputs(self, drive: Any, start: Any, count: int | None, copies: int = 1) -> tuple[Any, int, int, bool]:
        """Start and drive of a free run as the network takes them, the steps of its warm-up and of all, and whether it
        is one series."""
        check_is_fitted(self)
        begin, single = read_start(start, self.angles_, self.unit, self.angle_range_, self.rate)
        led, needed = begin.shape[1], self._led
        if led and led < needed:
            raise ValueError(f"start has {led} steps, but the warm-up takes {needed}: give more of the past.")
        driven, single_drive = read_drive(drive, self.drives_, led, count, self.rate)
        check_drive(driven, self.drive_range_, self.drives_)
        if len(begin) > 1 and len(driven) > 1 and len(begin) != len(driven):
            raise ValueError(f"start has {len(begin)} series, the drive {len(driven)}: give one, or as many.")
        if copies > 1 and max(len(begin), len(driven)) > 1:
            raise ValueError(f"Copies are of one series, but start has {len(begin)} and the drive {len(driven)}.")
        x = self._inputs(np.repeat(begin, copies, axis=0), driven)
        return x, led, driven.shape[1], single and single_drive and copies == 1

    @property
    def _led(self) -> int:
        """The warm-up, in steps: the model's own, or that of its estimator."""
        return int((self.estimator_.warmup or 0) if self.warmup is None else self.warmup)

    def _bounded_run(
        self, drive: Any, start: Any, count: int | None, force: Force | None, verbose: bool | int
    ) -> DataArray:
        """A free run that is refused where it diverges."""
        x, led, time, single = self._run_inputs(drive, start, count)
        parts, total = list[Array](), -(-(time - led) // STEPS_PER_PIECE)
        pieces = free_run_pieces(self.cell_, x, led, time, force)
        for piece in track(pieces, "free run", "piece", total=total, verbose=verbose):
            parts.append(self.predictor_.decode(piece.output))
            check_bounded(parts[-1], self.angle_range_, STEPS_PER_PIECE * (len(parts) - 1), led, self.rate)
        values = np.concatenate(parts, axis=1)
        return labelled_angles(values, self.angles_, led, self.rate, single, self.unit)

    def _inputs(self, begin: Array, driven: Array) -> Any:
        """Rows (y_{t-1}, d_t) as the network takes them; what was not observed is NaN."""
        series = max(len(begin), len(driven))
        past = np.full((series, driven.shape[1], len(self.angles_)), np.nan)
        past[:, 1 : begin.shape[1] + 1] = begin[:, : past.shape[1] - 1]
        rows = np.concatenate([past, np.broadcast_to(driven, (series, *driven.shape[1:]))], axis=2)
        return self.predictor_.encode(rows)

    def strays(self, angles: Any) -> Array:
        """Where angles (…, time, joints) are not finite, or ten ranges outside the training: bool, shape (…, time)."""
        return has_diverged(angles, self.angle_range_)

    # ---------------------------------------------------------------- scores

    def predict(self, drive: Any, angles: Any) -> Any:
        """Predict one step ahead: every angle from all observations before it, in the container of ``angles``.

        The first angles of a series are those of a model that has seen nothing.
        """
        check_is_fitted(self)
        answers = np.concatenate(list(self.estimator_.predict(self.rows(drive, angles)[0])))
        if hasattr(angles, "columns"):
            return pd.DataFrame(answers, index=angles.index, columns=list(self.angles_))
        found = as_sequences(angles, "angles")
        if hasattr(angles, "dims"):
            return found.to_xarray(answers).rename(outputs="angle").assign_coords(angle=list(self.angles_))
        return found.restore(answers)

    def score(self, drive: Any, angles: Any) -> float:
        """R² one step ahead, near 1 for every smooth motion; :meth:`evaluate` measures free runs."""
        check_is_fitted(self)
        return float(self.estimator_.score(*one_step_pairs(self._read(drive, angles))))

    def evaluate(
        self, drive: Any, angles: Any, warmup: int | None = None, *, verbose: bool | int = 0
    ) -> dict[str, float]:
        """Measure the free runs: each starts from the first steps of a series, and runs over all of the rest.

        Parameters
        ----------
        drive, angles
            As in :meth:`fit`, with at least two turns of the rhythm after the warm-up.
        warmup : int, optional
            Steps that a run starts from; the model's own if None, or a quarter of the shortest series.
        verbose : bool or int
            1 or more shows a bar over the series.

        Returns
        -------
        dict
            ``one_step_rmse``, in the unit of the angles. Of the free runs, medians over the series:
            ``frequency_error`` and ``amplitude_error``, as shares of the true ones, and ``lag_error``, the largest of a
            run, in cycles. ``same_wave``, the share of series that rest, stand or travel as they should; ``diverged``,
            the share that left the range of the training; ``series``, how many there were.

        Raises
        ------
        ValueError
            If the data do not fit, or nothing is left after the warm-up.
        """
        motion = self._read(drive, angles)
        shortest = min(map(len, motion.angles))
        led = check_count("warmup", warmup if warmup is not None else self._led or max(1, shortest // 4))
        if shortest < led + 16:
            raise ValueError(f"The shortest series has {shortest} steps: {led} of warm-up leave too few to run free.")
        series = list(zip(motion.drives, motion.angles, strict=True))
        rows = [self._compared(d, y, led) for d, y in track(series, "evaluate", "series", verbose=verbose)]
        table = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        ahead = np.concatenate(list(self.estimator_.predict(one_step_pairs(motion)[0]))) - np.concatenate(motion.angles)
        medians = {name: float(np.median(table[name])) for name in ("frequency_error", "amplitude_error", "lag_error")}
        shares = {name: float(table[name].mean()) for name in ("same_wave", "diverged")}
        return {"one_step_rmse": float(np.sqrt((ahead**2).mean())), **medians, **shares, "series": len(rows)}

    def _compared(self, drive: Array, angles: Array, led: int) -> dict[str, float]:
        """One free run beside what was observed."""
        run = self.run(drive if self.drives_ else None, angles[:led], len(angles) - led).angles
        return DIVERGED_ERRORS if self.strays(run).any() else rhythm_errors(run, angles[led:], self.rate)

    def rows(self, drive: Any, angles: Any) -> tuple[list[Array], list[Array]]:
        """What the estimator learns from, series by series: (y_{t-1}, d_t), and y_t."""
        return one_step_pairs(self._read(drive, angles))

    def driven_by(self, drive: Any, angles: Any = None) -> Driven:
        """The network driven by a motion, see :meth:`rows`, for reports.

        Parameters
        ----------
        drive, angles
            As in :meth:`fit`.

        Raises
        ------
        ValueError
            If there are no angles, or the motion does not fit.
        """
        if angles is None:
            raise ValueError("A MotionModel is measured on a motion: give its drive or None as X, the angles as y.")
        inputs, targets = self.rows(drive, angles)
        return cast(Driven, self.estimator_.driven_by(inputs, targets))

    def _read(self, drive: Any, angles: Any) -> Motion:
        check_is_fitted(self)
        motion = read_motion(drive, angles, self.angles_, self.rate, self.drives_)
        check_unit(motion.angles, motion.names, self.unit)
        for part in motion.drives:
            check_drive(part[None], self.drive_range_, self.drives_)
        return motion

    # ---------------------------------------------------------------- parts

    @property
    def cell_(self) -> Cell:
        """The fitted network."""
        check_is_fitted(self)
        return cast(Cell, self.estimator_.cell_)

    @property
    def predictor_(self) -> Predictor:
        """The fitted network with its scalings."""
        return cast(Predictor, self.estimator_.predictor_)

    @property
    def history_(self) -> Any:
        """The history of the training, one row an epoch."""
        return self.estimator_.history_

    def autonomous(self, drive: Any = None) -> Held:
        """The free run under a constant drive, as a system without input, for the instruments of dynamics.

        Its step is that of a free run, in network units: ``limit_cycle(model.autonomous([4.0, 4.0]), dt=1 / rate)``.

        Parameters
        ----------
        drive : array, shape (drives,), or None
            None for a model without a drive.

        Raises
        ------
        ValueError
            If the drive has another shape, or leaves the range of the training.
        """
        check_is_fitted(self)
        driven = constant_drive(drive, self.drives_)[None, None]
        check_drive(driven, self.drive_range_, self.drives_)
        x = self._inputs(np.zeros((1, 0, len(self.angles_))), driven)
        loop = cast(OwnPast, self.cell_)
        return Held(loop, map_leaves(lambda leaf: leaf[:, 0], loop.alone(1, 1, x.exogenous)))

    # ---------------------------------------------------------------- what people see

    def _shown_facts(self) -> dict[str, object]:
        if not self.__sklearn_is_fitted__():
            return {}
        facts = {"joints": len(self.angles_), "drives": len(self.drives_), "warmup": self._led}
        return facts | training_facts(self.estimator_.network_, vars(self.estimator_).get("history_"))

    def __sklearn_is_fitted__(self) -> bool:
        return "estimator_" in vars(self)

    __repr__ = fitted_line
    _html_repr = fitted_html  # scikit-learn's hook for notebooks

    def summary(self) -> str:
        """One screen: how the training went, and the range of every joint and drive in it."""
        check_is_fitted(self)
        names, spans = (*self.angles_, *self.drives_), np.hstack([self.angle_range_, self.drive_range_]).T
        ranges = {name: f"{low:.4g} to {high:.4g}" for name, (low, high) in zip(names, spans, strict=True)}
        return fitted_summary(f"MotionModel of {self.rate:g} Hz", self._shown_facts() | ranges)

    # ---------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one ``.safetensors`` file; ``seqdyn.load(path)`` reads it back."""
        check_is_fitted(self)
        save_file(path, self)

    def to_content(self) -> dict[str, Any]:
        """What files hold of it."""
        params = {field.name: storable(getattr(self, field.name)) for field in fields(self)}
        return {"params": params, "fitted": {name: value for name, value in vars(self).items() if name.endswith("_")}}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        model = cls(**content["params"])
        model.__dict__.update(content["fitted"])
        return model


def default_estimator() -> GRURegressor:
    """A GRU of 64 units, trained on windows of 75 steps of which the last 50 run free.

    The free part is what keeps the rhythm: trained one step ahead alone, a model drifts, and may leave for good.

    Examples
    --------
    >>> default_estimator().window
    75
    """
    own = Autoregression(free_run=50)
    return GRURegressor(
        hidden_size=64, window=75, stride=12, learning_rate=5e-3, schedule="cosine", max_epochs=40, autoregression=own
    )
