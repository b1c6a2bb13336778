"""Numbers, counts and powers of ten as reports write them in tables, labels and sentences."""

from __future__ import annotations

import math
from typing import Any

SIGNIFICANT_DIGITS = 4
"""How many significant digits a number has."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_number(value: Any) -> str:
    """Write a number with 4 significant digits, or a whole number in full.

    Examples
    --------
    >>> [format_number(value) for value in (0.123456, -1.2e-7, 1e-8, 24704, float("-inf"), float("nan"), None, True)]
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
    mantissa, _, exponent = f"{value:.{SIGNIFICANT_DIGITS}g}".partition("e")
    mantissa = mantissa.replace("-", "−")
    return _with_power(mantissa, int(exponent)) if exponent else mantissa


def format_log10(logarithm: float) -> str:
    """Write 10 to the power of a logarithm, with 2 digits, even if no float can hold it.

    Examples
    --------
    >>> [format_log10(value) for value in (-4.2, -0.5, 0.0, 1.3, 400.5, float("-inf"))]
    ['6.3·10⁻⁵', '0.32', '1', '20', '3.2·10⁴⁰⁰', '0']
    """
    if not math.isfinite(logarithm):
        return "0" if logarithm == -math.inf else format_number(logarithm)
    if -3 <= logarithm < 4:
        return f"{float(f'{10**logarithm:.2g}'):g}"
    exponent = math.floor(logarithm)
    mantissa = f"{10 ** (logarithm - exponent):.2g}"
    return _with_power("1", exponent + 1) if mantissa == "10" else _with_power(mantissa, exponent)


def _with_power(mantissa: str, exponent: int) -> str:
    """Write a mantissa and a power of ten; a mantissa of 1 is left out."""
    return {"1": "", "−1": "−"}.get(mantissa, f"{mantissa}·") + "10" + str(exponent).translate(_RAISED)


def plural(number: float, one: str, many: str = "") -> str:
    """Write a number of things, in the singular or plural.

    Examples
    --------
    >>> plural(1, "step"), plural(12, "step"), plural(0, "step was", "steps were")
    ('1 step', '12 steps', '0 steps were')
    """
    return f"{format_number(number)} {one if number == 1 else many or one + 's'}"
