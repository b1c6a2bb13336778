"""Identify a linear system from records: choose focus and order, fit, and estimate the noise and the uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from seqdyn.arrays import Array
from seqdyn.facts import shown_by_facts
from seqdyn.identification.choice import (
    EXACT_ERROR,
    FittedTrial,
    OrderTrial,
    ValidationSplit,
    best_by_criterion,
    explained_by_size,
    explains,
    fitted_trials,
    from_free_run,
    leaves_white,
    runs_closer_by_far,
    static,
    worth_refining,
)
from seqdyn.identification.excitation import Excitation, delays, excitation, feedback
from seqdyn.identification.focus import Freedom, Prediction, Simulation
from seqdyn.identification.hankel import Factor, TooShort, horizon
from seqdyn.identification.noise import with_noise
from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.refinement import Fit
from seqdyn.identification.sensitivity import equations
from seqdyn.identification.subspace import Subspace
from seqdyn.identification.system import LinearSystem

REACTS, SURELY_REACTS = 1e-2, 1e-3
"""p-values of free inputs below which they are taken to react to the outputs, and are said to."""
IN_A_LOOP = (
    "The inputs react to the outputs, and seem to act on them within the same step: whether x_t moves y_t or y_t moves "
    "x_t, these data cannot tell. If no input acts at once, set feedthrough=False."
)
"""What is said of a feedthrough in a loop."""


@dataclass(frozen=True)
class Settings:
    """The kind of model that is asked for.

    Attributes
    ----------
    order : int or "auto"
    refine : bool
        Whether a search follows the closed form.
    weighting : {"cva", "n4sid", "moesp"}
    feedthrough, stable, free_starts : bool
        See :class:`~seqdyn.identification.refinement.Problem`.
    block_rows : int or None
        Past and future steps of the Hankel matrices; None: 20, or fewer where the data are short.
    validation_fraction : float
        The end of every record on which orders and focuses are compared.
    focus : {"prediction", "simulation", "auto"}
        Which error is made small: one step ahead, of the free run, or the one that suits the data.
    offset : {"constant", "drift", "trend"}
        What is added to the outputs: y_0, an integrator of the noise, or a straight line a record.
    input_delay : int, sequence of int, or "auto"
        Steps before an input acts.
    """

    order: Any = "auto"
    refine: bool = True
    weighting: str = "cva"
    feedthrough: bool = True
    stable: bool = True
    free_starts: bool = True
    block_rows: int | None = None
    validation_fraction: float = 0.25
    focus: str = "simulation"
    offset: str = "constant"
    input_delay: Any = 0

    @property
    def freedom(self) -> Freedom:
        """Which parts of the model are free."""
        return Freedom(self.feedthrough, self.free_starts, self.stable)

    def focused(self, name: str, records: Sequence[DataRecord]) -> Simulation | Prediction:
        """The focus of this name, on these records."""
        if name == "simulation":
            return Simulation.of(records, self.freedom, self.weighting)
        return Prediction.of(records, self.freedom, records[0].y.shape[1] if self.offset == "drift" else 0)


@shown_by_facts
@dataclass(frozen=True, repr=False)
class Identification:
    """An identified system, with the initial states of its records and how it was chosen.

    Attributes
    ----------
    system : LinearSystem
        With the model of the noise where the data allow one.
    starts : array, shape (records, order)
        h_{-1} of every record.
    focus : {"prediction", "simulation"}
    order : int
        States without those of a drift or of delays.
    refined : bool
        Whether the model is the refined one.
    singular_values : array
        Of the weighted projection.
    trials : list of Trial
        What was compared; empty if order and focus were given.
    excitation : Excitation or None
    spectral_radius_before : float
        Of the closed form, before it was made stable.
    input_delay : tuple of int
        Of every input.
    """

    system: LinearSystem
    starts: Array
    focus: str
    order: int
    refined: bool
    singular_values: Array
    trials: list[OrderTrial]
    excitation: Excitation | None
    spectral_radius_before: float
    input_delay: tuple[int, ...] = ()

    def facts(self) -> dict[str, object]:
        """What a line or a small table shows: the model, and what was chosen."""
        return {
            "system": self.system,
            "focus": self.focus,
            "order": self.order,
            "refined": self.refined,
            "trials": len(self.trials),
            "input_delay": self.input_delay,
        }


class FitPlan(NamedTuple):
    """What is fitted to all of the records, and the trials that led to it.

    ``from_simulation``: that the search for the one-step error begins at the fit of the free run.
    """

    focus: str
    order: int
    refine: bool
    from_simulation: bool
    tried: list[FittedTrial]


def identify(records: Sequence[DataRecord], settings: Settings) -> Identification:
    """Identify a linear state-space system from experiments of any lengths, scaled to like sizes.

    It raises :class:`TooShort` where the records are too short for the order, and an error where a drift is asked for
    in a free run, which has no noise that could drift. Ljung (1999), System Identification, sections 10.6 (subspace
    methods) and 7.2, 10.2 (prediction-error methods).
    """
    if settings.offset == "drift" and settings.focus == "simulation":
        raise ValueError(
            "offset='drift' and focus='simulation' exclude each other: a drift is a part of the noise, of which the "
            "free run knows nothing. Take focus='prediction' or 'auto'."
        )
    if settings.offset == "trend":
        records = [record.detrended() for record in records]
    delay = input_delays(records, settings)
    if any(delay):
        found = _from_first_output([record.delayed(delay) for record in records], settings)
        system = found.system.with_input_delay(delay)
        found = replace(found, system=system, starts=least_squares_starts(system, records), input_delay=delay)
    else:
        found = _from_first_output(records, settings)
    return found if settings.offset != "trend" else _counting_lines(found, len(records))


def _counting_lines(found: Identification, records: int) -> Identification:
    """Count the slope of every output of every record among the estimated parameters."""
    estimation = found.system.estimation
    if estimation is None:
        return found
    counted = replace(estimation, parameters=estimation.parameters + records * found.system.outputs)
    return replace(found, system=replace(found.system, estimation=counted))


def _from_first_output(records: Sequence[DataRecord], settings: Settings) -> Identification:
    """Identify from the first known output of every record on, and find the starts before that."""
    unseen = [record.unseen() if settings.free_starts else 0 for record in records]
    found = _identified_without_delay(
        [record.after(steps) for record, steps in zip(records, unseen, strict=True)], settings
    )
    starts = found.starts.copy()
    for place, steps in enumerate(unseen):
        if steps:
            starts[place] = _start_before(found.system, records[place].x[:steps], starts[place])
    return replace(found, starts=starts)


def _start_before(system: LinearSystem, x: Array, h: Array) -> Array:
    """The shortest initial state from which inputs lead to a state, in directions that do not decay on the way."""
    power = np.linalg.matrix_power(system.transition, len(x))
    wanted = h - system.simulate(x)[1]
    start: Array = np.linalg.lstsq(power, wanted, rcond=1e-3)[0]
    return start


def input_delays(records: Sequence[DataRecord], settings: Settings) -> tuple[int, ...]:
    """The steps before every input acts: as given, or as the data show."""
    inputs, asked = records[0].x.shape[1], settings.input_delay
    if isinstance(asked, Integral):
        return (int(asked),) * inputs
    if asked == "auto":
        seen = delays(horizon(records, None, settings.block_rows)).tolist() if inputs else []
        return tuple(max(0, steps - (not settings.feedthrough)) for steps in seen)
    if len(asked) != inputs:
        raise ValueError(f"input_delay has {len(asked)} numbers, but there are {inputs} inputs: give one an input.")
    return tuple(int(steps) for steps in asked)


def examine(records: Sequence[DataRecord], settings: Settings) -> Excitation:
    """Check the inputs for the order asked for or, with ``"auto"``, for one state."""
    order = int(settings.order) if isinstance(settings.order, Integral) else 1
    return excitation(records, horizon(records, order, settings.block_rows), order, settings.weighting)


def noise_of(system: LinearSystem, records: Sequence[DataRecord], block_rows: int | None) -> LinearSystem:
    """A system that was found otherwise, with its Kalman gain; without one where the records are too short."""
    without = replace(system, noise_gain=None, noise_covariance=None)
    try:
        data = horizon(records, max(1, system.order), block_rows)
    except TooShort:
        return without
    if data.inputs_hold_outputs:
        return without
    return with_noise(system, data, records, np.zeros((len(records), system.order)), refine=True)


def least_squares_starts(system: LinearSystem, records: Sequence[DataRecord]) -> Array:
    """h_{-1} of every record, (records, order), by least squares on its free run."""
    here = equations(system, grouped(records), np.zeros((len(records), system.order)), free_starts=True)
    return here.start_steps(np.zeros(here.matrix.shape[1]), len(records))


def _identified_without_delay(records: Sequence[DataRecord], settings: Settings) -> Identification:
    """The model of records whose inputs act without delay."""
    data = _factor_at_horizon(records, settings)
    chosen = _fit_plan(records, settings, data)
    trials = [one.trial for one in chosen.tried]
    if not chosen.order:
        fit = Simulation.of(records, settings.freedom).static()
        said = None
        if data is not None and settings.feedthrough and _in_a_loop(data):
            said = replace(excitation(records, data, 1, settings.weighting), messages=(IN_A_LOOP,))
        return Identification(fit.system, fit.starts, chosen.focus, 0, False, np.zeros(0), trials, said, 0.0)
    if data is None or data.future * data.outputs <= chosen.order:
        data = horizon(records, chosen.order, settings.block_rows)
    focus = settings.focused(chosen.focus, records)
    state_subspace = focus.state_subspace(data)
    fit, radius = _fit_to_all(focus, state_subspace, data, chosen, settings)
    if not np.isfinite(fit.error):  # no stable predictor was found
        focus = Simulation.of(records, settings.freedom, settings.weighting)
        state_subspace = focus.state_subspace(data)
        fit, radius = _fit_to_all(focus, state_subspace, data, chosen, settings)
    fit = focus.finish(fit, data, settings.refine)
    checked = excitation(records, data, chosen.order, settings.weighting)
    if _acts_at_once(fit.system) and _in_a_loop(data):
        checked = replace(checked, messages=(*checked.messages, IN_A_LOOP))
    what = (focus.name, chosen.order, chosen.refine)
    return Identification(fit.system, fit.starts, *what, state_subspace.singular_values, trials, checked, radius)


def _in_a_loop(data: Factor) -> bool:
    """Whether the inputs surely react to the outputs."""
    return not data.inputs_hold_outputs and feedback(data) < SURELY_REACTS


def _acts_at_once(system: LinearSystem) -> bool:
    """Whether the feedthrough A is more than three standard errors away from 0."""
    if system.estimation is None or system.estimation.directions is None:
        return False
    deviation = np.linalg.norm(system.estimation.directions.feedthrough, axis=0)
    return bool((np.abs(system.feedthrough) > 3 * deviation).any())


def _fit_to_all(
    focus: Simulation | Prediction, state_subspace: Subspace, data: Factor, chosen: FitPlan, settings: Settings
) -> tuple[Fit, float]:
    """The fit to all of the records, and the spectral radius its closed form had before it was made stable."""
    fit, radius = focus.begin(state_subspace, chosen.order)
    if not chosen.refine:
        return fit, radius
    fit = focus.refine(fit)
    if isinstance(focus, Prediction) and data.inputs and settings.offset != "drift" and not data.inputs_hold_outputs:
        fit = _better_start(fit, focus, data, chosen, settings)
    return fit, radius


def _better_start(fit: Fit, focus: Prediction, data: Factor, chosen: FitPlan, settings: Settings) -> Fit:
    """The fit, or the result of a search from the fit of the free run, if that is better."""
    simulation = Simulation.of(focus.records, settings.freedom, settings.weighting)
    free = simulation.refine(simulation.begin(simulation.state_subspace(data), chosen.order)[0])
    other = focus.from_simulation(simulation, free, data)
    wanted = chosen.from_simulation and explained_by_size(fit, other, focus.records)
    return other if wanted or other.error < fit.error else fit


def _factor_at_horizon(records: Sequence[DataRecord], settings: Settings) -> Factor | None:
    """The factor of the data at the horizon that the order needs; None where they are too short."""
    order = int(settings.order) if isinstance(settings.order, Integral) else None
    try:
        return horizon(records, order, settings.block_rows)
    except TooShort:
        return None


def _fit_plan(records: Sequence[DataRecord], settings: Settings, data: Factor | None) -> FitPlan:
    """Choose focus and order: as given, or by the ends of the records."""
    names = _focuses(settings, data)
    order = int(settings.order) if isinstance(settings.order, Integral) else None
    if order is not None and len(names) == 1:
        return FitPlan(names[0], order, settings.refine, False, [])
    split = ValidationSplit.of(records, settings.validation_fraction)
    if not split.heads:
        return FitPlan(names[0], order or 0, settings.refine, False, [])
    zero = [static(split.heads, split, settings.freedom)] if order is None else []
    tried = {
        name: fitted_trials(settings.focused(name, split.heads), split, order, settings.block_rows, settings.refine)
        for name in names
    }
    chosen = {name: best_by_criterion([*zero, *some], records) for name, some in tried.items() if zero or some}
    everything = [*zero, *(one for some in tried.values() for one in some)]
    if len(names) > 1:
        fits = {one.trial.order: one.fit for one in tried["simulation"] if one.trial.order}
        ahead = chosen.get("prediction")
        if ahead is not None and ahead.trial.order in fits:
            free = fits[ahead.trial.order]
            chosen["prediction"] = from_free_run(ahead, free, split, settings.block_rows, settings.freedom)
    name = _focus(names, chosen, split)
    if name not in chosen:
        return FitPlan(name, order or 0, settings.refine, False, everything)
    taken = chosen[name]
    refine = settings.refine and (order is not None or worth_refining(taken, records))
    return FitPlan(name, taken.trial.order, refine, taken.from_simulation, everything)


def _focus(names: Sequence[str], chosen: dict[str, FittedTrial], split: ValidationSplit) -> str:
    """The free run where its errors are white, or where the errors one step ahead show that no model explains them."""
    if len(names) == 1 or set(chosen) != set(names) or not np.isfinite(chosen["prediction"].fit.error):
        return names[0]
    run, ahead = chosen["simulation"], chosen["prediction"]
    if run.trial.error <= EXACT_ERROR or leaves_white(run.fit, split.heads):
        return "simulation"
    if not explains(ahead.fit, split.heads) and runs_closer_by_far(run, ahead, split):
        return "simulation"
    return "prediction"


def _focuses(settings: Settings, data: Factor | None) -> list[str]:
    """The focuses that are compared."""
    if settings.focus != "auto":
        return [settings.focus]
    if settings.offset == "drift":
        return ["prediction"]
    if data is None or data.inputs_hold_outputs:
        return ["simulation"]
    if feedback(data) < REACTS:
        return ["prediction"]
    return ["simulation", "prediction"] if settings.refine or not data.inputs else ["simulation"]
