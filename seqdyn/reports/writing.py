"""How reports write a number, a count and a power of ten, in every table, label and sentence."""

from __future__ import annotations

import math
from typing import Any

DIGITS = 4
"""Significant digits of a number."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def written(value: Any) -> str:
    """A number as every table, label and sentence shows it: 4 significant digits; whole numbers in full.

    Examples
    --------
    >>> [written(value) for value in (0.123456, -1.2e-7, 1e-8, 24704, float("-inf"), float("nan"), None, True)]
    ['0.1235', '−1.2·10⁻⁷', '10⁻⁸', '24704', '−∞', 'NaN', '–', 'yes']
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value).replace("-", "−")
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    mantissa, _, exponent = f"{value:.{DIGITS}g}".partition("e")
    mantissa = mantissa.replace("-", "−")
    return _times(mantissa, int(exponent)) if exponent else mantissa


def power_of_ten(exponent: int) -> str:
    """A power of ten, set as one.

    Examples
    --------
    >>> power_of_ten(-11), power_of_ten(3)
    ('10⁻¹¹', '10³')
    """
    return "10" + str(exponent).translate(_RAISED)


def from_log10(logarithm: float) -> str:
    """The number that has this logarithm to base ten, with 2 digits: also where no float could hold it.

    Examples
    --------
    >>> [from_log10(value) for value in (-4.2, -0.5, 0.0, 1.3, 400.5, float("-inf"))]
    ['6.3·10⁻⁵', '0.32', '1', '20', '3.2·10⁴⁰⁰', '0']
    """
    if not math.isfinite(logarithm):
        return "0" if logarithm == -math.inf else written(logarithm)
    if -3 <= logarithm < 4:
        return f"{float(f'{10**logarithm:.2g}'):g}"
    exponent = math.floor(logarithm)
    mantissa = f"{10 ** (logarithm - exponent):.2g}"
    return _times("1", exponent + 1) if mantissa == "10" else _times(mantissa, exponent)


def _times(mantissa: str, exponent: int) -> str:
    """A mantissa and a power of ten; 1 is left out."""
    return {"1": "", "−1": "−"}.get(mantissa, f"{mantissa}·") + power_of_ten(exponent)


def counted(number: float, one: str, many: str = "") -> str:
    """A number of things.

    Examples
    --------
    >>> counted(1, "step"), counted(12, "step"), counted(0, "step was", "steps were")
    ('1 step', '12 steps', '0 steps were')
    """
    return f"{written(number)} {one if number == 1 else many or one + 's'}"
