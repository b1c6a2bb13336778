"""What is not finite, why, and where it begins: a parameter, the start, the loss, or the trajectory itself.

The causes are looked for in the order in which one leads to the next, and the first that is found is named.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seqdyn.dynamics.trajectory import Trajectory
from seqdyn.reports.subject import Subject
from seqdyn.reports.writing import counted, written
from seqdyn.state import named_leaves, take

OVERFLOWING = 1e10
"""Size of a state from which a NaN after it counts as an overflow, and not as a function outside its domain."""


class Broken(NamedTuple):
    """What is not finite.

    Attributes
    ----------
    cause : {"parameter", "start", "loss", "overflow", "undefined"}
        ``"overflow"``: a finite model whose states grow without bound. ``"undefined"``: one whose step gives NaN from
        states of ordinary size.
    text : str
        What, where and how much of it, in one sentence.
    defined : tuple of float, optional
        Outputs (low, high) between which the loss is defined, where these are known; one of the two is infinite.
    """

    cause: str
    text: str
    defined: tuple[float, float] | None = None

    @property
    def kept(self) -> str:
        """Code that keeps outputs where the loss is defined, and where that is; empty where this is not known.

        Examples
        --------
        >>> Broken("loss", "The loss is NaN", (0.0, math.inf)).kept
        'Above 0 they stay with `torch.nn.functional.softplus(output) + 1e-06`'
        """
        low, high = self.defined or (-math.inf, math.inf)
        if math.isfinite(low):
            return f"Above {low:.4g} they stay with `torch.nn.functional.softplus(output) + {low + 1e-6:.6g}`"
        below = f"Below {high:.4g} they stay with `{high - 1e-6:.6g} - torch.nn.functional.softplus(-output)`"
        return below if math.isfinite(high) else ""


def broken(subject: Subject) -> Broken | None:
    """The first cause for which something is not finite; None where all is.

    Inputs that are not finite are refused when they are read, with the place of the first one.
    """
    return _parameters(subject) or _start(subject) or _trajectory(subject)


def first_event(subject: Subject) -> str:
    """Where the training first met a loss, gradient or weight that is not finite; empty where it never did."""
    events = [] if subject.history is None else subject.history.attrs.get("non_finite", [])
    if not events:
        return ""
    names = [subject.name_of(name) for name in events[0]["parameters"]]
    what = f", in {_listed(names)}" if names else ", in the loss itself"
    return f"epoch {events[0]['epoch']}, batch {events[0]['batch']}{what}"


def _parameters(subject: Subject) -> Broken | None:
    held = [*subject.cell.named_parameters(), *subject.cell.named_buffers()]
    bad = [(name, values) for name, values in held if not bool(values.isfinite().all())]
    if not bad:
        return None
    name, values = bad[0]
    wrong = ~values.isfinite()
    place = wrong.nonzero()[0].tolist()
    what = written(float(values.detach()[tuple(place)]))
    others = f"; also {_listed([subject.name_of(name) for name, _ in bad[1:]])}" if len(bad) > 1 else ""
    event = first_event(subject)
    share = f"{int(wrong.sum())} of {counted(wrong.numel(), 'value')}, first {what} at {place}"
    text = f"The weights `{subject.name_of(name)}` are not finite ({share}{others})"
    return Broken("parameter", text + (f". The training met it first in {event}" if event else ""))


def _start(subject: Subject) -> Broken | None:
    """A start that is not finite; that of a later stretch is looked for in the stretches before, which lead to it."""
    for name, leaf in named_leaves(subject.state, "the initial state"):
        bad = (~leaf.isfinite()).nonzero()
        if len(bad):
            sequence = int(bad[0, 0])
            before = _steps(subject, slice(sequence)) if sequence else []
            text = f"The state before sequence {sequence} is not finite ({name})"
            cause = "start" if not sequence else _growing(leaf, _largest(leaf))
            return before if isinstance(before, Broken) else Broken(cause, text)
    return None


def _trajectory(subject: Subject) -> Broken | None:
    """What a finite model meets on its way; or, where all of that is finite, the loss."""
    found = _steps(subject, slice(None))
    return found if isinstance(found, Broken) else _loss(subject, torch.cat(found, 1))


def _steps(subject: Subject, rows: slice) -> Broken | list[Tensor]:
    """States, outputs or slopes of some sequences that are not finite; else the outputs, stretch by stretch."""
    outputs, size = [], 0.0
    for stretch in Trajectory(subject.cell, take(subject.x, rows), take(subject.state, rows)).forward():
        for name, values in (("states", stretch.states()), ("outputs", stretch.output), ("J_t", stretch.jacobians())):
            bad = ~values.flatten(2).isfinite().all(2)
            if bool(bad.any()):
                sequence, step = bad.nonzero()[0].tolist()
                text = f"The {name} are not finite from step {stretch.start + step} of sequence {sequence} on"
                return Broken(_growing(values, max(size, _largest(stretch.states()))), text)
        size = max(size, _largest(stretch.states()))
        outputs.append(stretch.output)
    return outputs


def _growing(values: Tensor, size: float) -> str:
    return "overflow" if bool(values.isinf().any()) or size > OVERFLOWING else "undefined"


def _largest(values: Tensor) -> float:
    """The largest finite size."""
    return float(values.abs().nan_to_num(0.0, posinf=0.0).max())


def _loss(subject: Subject, output: Tensor) -> Broken | None:
    """Errors, or their slopes, that are not finite although the outputs are."""
    output = output.requires_grad_()
    with torch.enable_grad():
        errors = subject.loss(output)
    if not isinstance(errors, Tensor) or not errors.requires_grad:
        return None  # whoever follows gradients back says what is wrong with it
    (slopes,) = torch.autograd.grad(errors.sum(), output)
    for name, values in (("loss", errors.detach()), ("slope of the loss", slopes)):
        bad = ~values.isfinite()
        if bool(bad.any()):
            text, defined = _range(output.detach(), bad)
            cause = "overflow" if _largest(output.detach()) > OVERFLOWING else "loss"
            return Broken(cause, _where(name, values, bad) + text, defined)
    return None


def _where(name: str, values: Tensor, bad: Tensor) -> str:
    first = bad.nonzero()[0].tolist()
    what = written(float(values[tuple(first)]))
    place = f" at step {first[1]} of sequence {first[0]}" if len(first) > 1 else ""
    return f"The {name} is {what}{place}, and not finite in {int(bad.sum())} of {counted(bad.numel(), 'error')}"


def _range(output: Tensor, bad: Tensor) -> tuple[str, tuple[float, float] | None]:
    """The outputs at which it happens, and those at which it does not, where outputs and errors stand side by side."""
    if bad.dim() < 2:
        return "", None
    if bad.shape != output.shape:
        bad = bad.flatten(2).any(2) if bad.dim() > 2 else bad
    wrong, right = output[bad], output[~bad]
    low, high = float(wrong.min()), float(wrong.max())
    if len(right) and high < float(right.min()):
        if high <= 0 < float(right.min()):
            return ", for outputs at or below 0", (0.0, math.inf)
        return f", for outputs up to {written(high)}", (float(right.min()), math.inf)
    if len(right) and low > float(right.max()):
        if right.max() < 1 <= low:
            return ", for outputs at or above 1", (-math.inf, 1.0)
        return f", for outputs from {written(low)} up", (-math.inf, float(right.max()))
    return f", for outputs from {written(low)} to {written(high)}", None


def _listed(names: list[str], most: int = 3) -> str:
    """Some names, as code, and how many more there are."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
