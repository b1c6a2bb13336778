"""The inputs and the data: of unit size, finite, and enough."""

from __future__ import annotations

import torch
from torch import Tensor

from seqdyn.cells.linear import Linear
from seqdyn.dynamics.trajectory import rows_of
from seqdyn.reports.checks import Answer, at_least, at_most, rule, skipped
from seqdyn.reports.stability.verdict import ENOUGH, Case
from seqdyn.reports.subject import Subject

FAR = 5.0
"""Mean or scale of an input from which it is far from unit: it drives gates and units to the ends of their range."""


def input_sizes(subject: Subject) -> tuple[Tensor, Tensor] | None:
    """Mean and scale of every input, in the cell's own units; None where inputs are no plain numbers, or matter not."""
    x = subject.x
    plain = isinstance(x, Tensor) and x.is_floating_point() and x.dim() == 3 and x.shape[2] > 0
    if subject.kind != "driven" or not plain or isinstance(subject.cell, Linear):
        return None
    rows = rows_of(x)
    return rows.mean(0), rows.std(0, correction=0)


@rule("GS001", "finite", "", "products")
def finite(case: Case) -> Answer:
    broken = case.found.broken
    text = "Weights, loss, states, outputs and Jacobians are finite" if broken is None else broken.text
    return Answer("PASS" if broken is None else "FAIL", None, None, f"{text}.")


@rule("GS005", "enough data", "steps", "subject")
def enough(case: Case) -> Answer:
    text = f"Steps of all sequences together, to judge a lag of {case.evidence.lag}."
    return at_least(case.evidence.rows, ENOUGH * case.evidence.lag, text)


@rule("GS024", "inputs are of unit size", "", "subject")
def unit_size(case: Case) -> Answer:
    sizes = input_sizes(case.subject)
    if sizes is None:
        return skipped("The inputs are no plain numbers, or the model is linear.")
    worst = float(torch.stack(sizes).abs().max())
    return at_most(worst, FAR, "The largest mean or scale of an input, in the units the cell sees.")


RULES = (finite, enough, unit_size)
"""The checks of what goes in."""
