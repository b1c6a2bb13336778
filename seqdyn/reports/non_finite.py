"""The search for values that are not finite: in parameters, the initial state, the trajectory or the loss.

Causes are searched in the order in which one leads to the next; the first one found is reported.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.reports.number_format import format_number, plural
from seqdyn.reports.probe import Probe
from seqdyn.state import named_leaves, take

OVERFLOWING = 1e10
"""A NaN after a state of this size counts as an overflow, and not as a function outside its domain."""


class NonFinite(NamedTuple):
    """A value that is not finite, and its cause.

    cause     "parameter", "start", "loss", "overflow" (a finite model whose states grow without bound), or
              "undefined" (a step gives NaN from states of ordinary size)
    text      what is not finite, where, and how much of it, in one sentence
    defined   the outputs (low, high) between which the loss is defined, if known; one of the two is infinite
    """

    cause: str
    text: str
    defined: tuple[float, float] | None = None

    @property
    def kept(self) -> str:
        """Code that keeps the outputs where the loss is defined; empty if that is not known.

        Examples
        --------
        >>> NonFinite("loss", "The loss is NaN", (0.0, math.inf)).kept
        'Above 0 they stay with `torch.nn.functional.softplus(output) + 1e-06`'
        """
        low, high = self.defined or (-math.inf, math.inf)
        if math.isfinite(low):
            return f"Above {low:.4g} they stay with `torch.nn.functional.softplus(output) + {low + 1e-6:.6g}`"
        below = f"Below {high:.4g} they stay with `{high - 1e-6:.6g} - torch.nn.functional.softplus(-output)`"
        return below if math.isfinite(high) else ""


def find_non_finite(probe: Probe) -> NonFinite | None:
    """Find the first cause of a value that is not finite; None if everything is finite.

    Inputs that are not finite are refused earlier, when they are read.
    """
    return _parameters(probe) or _initial_states(probe) or _along_trajectory(probe)


def first_event(probe: Probe) -> str:
    """Where in training a loss, gradient or weight was first not finite; empty if none ever was."""
    events = [] if probe.history is None else probe.history.attrs.get("non_finite", [])
    if not events:
        return ""
    names = [probe.name_of(name) for name in events[0]["parameters"]]
    what = f", in {_code_list(names)}" if names else ", in the loss itself"
    return f"epoch {events[0]['epoch']}, batch {events[0]['batch']}{what}"


def _parameters(probe: Probe) -> NonFinite | None:
    held = [*probe.cell.named_parameters(), *probe.cell.named_buffers()]
    bad = [(name, values) for name, values in held if not bool(values.isfinite().all())]
    if not bad:
        return None
    name, values = bad[0]
    wrong = ~values.isfinite()
    place = wrong.nonzero()[0].tolist()
    what = format_number(float(values.detach()[tuple(place)]))
    others = f"; also {_code_list([probe.name_of(name) for name, _ in bad[1:]])}" if len(bad) > 1 else ""
    event = first_event(probe)
    share = f"{int(wrong.sum())} of {plural(wrong.numel(), 'value')}, first {what} at {place}"
    text = f"The weights `{probe.name_of(name)}` are not finite ({share}{others})"
    return NonFinite("parameter", text + (f". In training this was first seen in {event}" if event else ""))


def _initial_states(probe: Probe) -> NonFinite | None:
    """An initial state that is not finite; for a later sequence the cause is searched in the sequences before it."""
    for name, leaf in named_leaves(probe.state, "the initial state"):
        bad = (~leaf.isfinite()).nonzero()
        if len(bad):
            sequence = int(bad[0, 0])
            before = _first_in_steps(probe, slice(sequence)) if sequence else []
            text = f"The state before sequence {sequence} is not finite ({name})"
            cause = "start" if not sequence else _overflow_or_undefined(leaf, _largest_size(leaf))
            return before if isinstance(before, NonFinite) else NonFinite(cause, text)
    return None


def _along_trajectory(probe: Probe) -> NonFinite | None:
    """A value that is not finite along the trajectory of a finite model, or else in its loss."""
    found = _first_in_steps(probe, slice(None))
    return found if isinstance(found, NonFinite) else _loss(probe, torch.cat(found, 1))


def _first_in_steps(probe: Probe, rows: slice) -> NonFinite | list[Tensor]:
    """States, outputs or Jacobians of some sequences that are not finite; if all are, the outputs, part by part."""
    outputs, size = [], 0.0
    for stretch in Trajectory(probe.cell, take(probe.x, rows), take(probe.state, rows)).forward():
        for name, values in (("states", stretch.states()), ("outputs", stretch.output), ("J_t", stretch.jacobians())):
            bad = ~values.flatten(2).isfinite().all(2)
            if bool(bad.any()):
                sequence, step = bad.nonzero()[0].tolist()
                text = f"The {name} are not finite from step {stretch.start + step} of sequence {sequence} on"
                return NonFinite(_overflow_or_undefined(values, max(size, _largest_size(stretch.states()))), text)
        size = max(size, _largest_size(stretch.states()))
        outputs.append(stretch.output)
    return outputs


def _overflow_or_undefined(values: Tensor, size: float) -> str:
    return "overflow" if bool(values.isinf().any()) or size > OVERFLOWING else "undefined"


def _largest_size(values: Tensor) -> float:
    """The largest finite absolute value."""
    return float(values.abs().nan_to_num(0.0, posinf=0.0).max())


def _loss(probe: Probe, output: Tensor) -> NonFinite | None:
    """Errors, or their derivatives, that are not finite although the outputs are."""
    output = output.requires_grad_()
    with torch.enable_grad():
        errors = probe.loss(output)
    if not isinstance(errors, Tensor) or not errors.requires_grad:
        return None  # the instruments that follow gradients say what is wrong with it
    (slopes,) = torch.autograd.grad(errors.sum(), output)
    for name, values in (("loss", errors.detach()), ("slope of the loss", slopes)):
        bad = ~values.isfinite()
        if bool(bad.any()):
            text, defined = _output_range(output.detach(), bad)
            cause = "overflow" if _largest_size(output.detach()) > OVERFLOWING else "loss"
            return NonFinite(cause, _first_place(name, values, bad) + text, defined)
    return None


def _first_place(name: str, values: Tensor, bad: Tensor) -> str:
    first = bad.nonzero()[0].tolist()
    what = format_number(float(values[tuple(first)]))
    place = f" at step {first[1]} of sequence {first[0]}" if len(first) > 1 else ""
    return f"The {name} is {what}{place}, and not finite in {int(bad.sum())} of {plural(bad.numel(), 'error')}"


def _output_range(output: Tensor, bad: Tensor) -> tuple[str, tuple[float, float] | None]:
    """The outputs at which errors are not finite, and those between which they are, if there is an error per output."""
    if bad.dim() < 2:
        return "", None
    if bad.shape != output.shape:
        bad = bad.flatten(2).any(2) if bad.dim() > 2 else bad
    wrong, right = output[bad], output[~bad]
    low, high = float(wrong.min()), float(wrong.max())
    if len(right) and high < float(right.min()):
        if high <= 0 < float(right.min()):
            return ", for outputs at or below 0", (0.0, math.inf)
        return f", for outputs up to {format_number(high)}", (float(right.min()), math.inf)
    if len(right) and low > float(right.max()):
        if right.max() < 1 <= low:
            return ", for outputs at or above 1", (-math.inf, 1.0)
        return f", for outputs from {format_number(low)} up", (-math.inf, float(right.max()))
    return f", for outputs from {format_number(low)} to {format_number(high)}", None


def _code_list(names: list[str], most: int = 3) -> str:
    """Some names as code, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
