"""What is said of an identification: what the data do not tell, and what was changed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from seqdyn.checks import outside
from seqdyn.identification.choice import LARGEST_ORDER
from seqdyn.identification.excitation import delay_message
from seqdyn.identification.identify import Identification, Settings
from seqdyn.identification.records import DataRecord


def warn_of(found: Identification, records: Sequence[DataRecord], settings: Settings) -> None:
    """Warn of what the data do not tell, and of what was changed."""
    said = (
        _constant_outputs(records),
        _of_order(found),
        _of_focus(found, settings),
        _of_stability(found, records, settings.stable),
    )
    for message in chain(*said):
        warnings.warn(message, stacklevel=outside())


def _constant_outputs(records: Sequence[DataRecord]) -> Iterator[str]:
    outputs = np.concatenate([record.y for record in records])
    for place in np.flatnonzero(np.nanmax(outputs, axis=0) == np.nanmin(outputs, axis=0)):
        yield f"Output {place} never changes: the model is this constant. Check the sensor, or leave it out."


def _of_order(found: Identification) -> Iterator[str]:
    yield from found.excitation.messages if found.excitation else ()
    orders = {trial.order for trial in found.trials}
    if len(orders) > 1 and found.order == LARGEST_ORDER:
        advice = delay_message(found.excitation.delay, found.order) if found.excitation else ""
        yield f"order='auto' took the largest order it tries, {LARGEST_ORDER}. {advice or 'Give a higher order.'}"


def _of_focus(found: Identification, settings: Settings) -> Iterator[str]:
    asked = [f"{name}={value!r}" for name, value in (("focus", "prediction"), ("offset", "drift"))
             if getattr(settings, name) == value]  # fmt: skip
    if asked and found.focus == "simulation":
        yield (
            f"No stable predictor of order {found.order} was found, which {' and '.join(asked)} asks for: the model "
            "makes the error of the free run small instead. It has no drift, its predictions one step ahead may be "
            "poor, and where inputs react to outputs it is biased. If the system itself is unstable, set stable=False; "
            "if not, try another order."
        )


def _of_stability(found: Identification, records: Sequence[DataRecord], stable: bool) -> Iterator[str]:
    moduli, longest = np.abs(found.system.poles()), max(len(record.x) for record in records)
    radius = float(moduli[moduli < 1.0].max(initial=0.0))  # the drift of the outputs is meant to stay
    grew = found.spectral_radius_before > 1.0 + 1e-6  # an integrator or an undamped mode does not
    if stable and grew and radius > math.exp(-2.0 / longest):
        yield (
            f"The closed-form estimate was unstable (spectral radius {found.spectral_radius_before:.4g}) and was kept "
            f"inside the unit circle, at {radius:.4g}. If the system itself is unstable, set stable=False; if not, the "
            "data are too few or too noisy for this order: lower it."
        )
