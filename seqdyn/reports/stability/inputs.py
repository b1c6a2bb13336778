"""The inputs and the data: of unit size, finite, and enough."""

from __future__ import annotations

from seqdyn.reports.checks import Answer, at_least, at_most, rule, skipped
from seqdyn.reports.input_sizes import FAR
from seqdyn.reports.stability.verdict import ENOUGH, Case


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
    sizes = case.subject.sizes
    if sizes is None:
        return skipped("The inputs are no plain numbers, or the recurrence is linear or normalises them itself.")
    seen = "of what the encoder makes of the inputs" if sizes.encoded else "of an input, in the units the cell sees"
    return at_most(float(sizes.largest.max()), FAR, f"The largest mean or scale {seen}.")


RULES = (finite, enough, unit_size)
"""The checks of what goes in."""
