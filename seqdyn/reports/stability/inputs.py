"""Checks of the inputs and the data: they are finite, of unit size, and enough."""

from __future__ import annotations

from seqdyn.reports.checks import Finding, check_rule, pass_at_least, pass_at_most, skipped
from seqdyn.reports.input_sizes import FAR_FROM_UNIT
from seqdyn.reports.stability.verdict import LAGS_NEEDED, ReportCase


@check_rule("GS001", "finite", "", "products")
def all_finite(case: ReportCase) -> Finding:
    non_finite = case.found.non_finite
    text = "Weights, loss, states, outputs and Jacobians are finite" if non_finite is None else non_finite.text
    return Finding("PASS" if non_finite is None else "FAIL", None, None, f"{text}.")


@check_rule("GS005", "enough data", "steps", "subject")
def enough_data(case: ReportCase) -> Finding:
    text = f"The steps of all sequences together, to judge a lag of {case.evidence.lag}."
    return pass_at_least(case.evidence.rows, LAGS_NEEDED * case.evidence.lag, text)


@check_rule("GS024", "inputs are of unit size", "", "subject")
def unit_size(case: ReportCase) -> Finding:
    sizes = case.probe.sizes
    if sizes is None:
        return skipped("The inputs are not plain numbers, or the recurrence is linear or normalises them itself.")
    seen = "of an output of the encoder" if sizes.encoded else "of an input, in the units of the cell"
    return pass_at_most(float(sizes.largest.max()), FAR_FROM_UNIT, f"The largest mean or scale {seen}.")


INPUT_RULES = (all_finite, enough_data, unit_size)
"""The checks of inputs and data."""
