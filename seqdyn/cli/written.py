"""How results leave a command: tables with times as they came in, and the exit code."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.cli.dates import Spelling

FIGURES = 4
"""How many significant figures a typical value has at least, where numbers are printed."""

MEASURED = 6
"""Decimals beyond which nobody wrote a value down: it was computed, and gets two figures more than the least."""

LOST = 3
"""The exit code where the model loses to the naive forecast."""


def write_table(
    table: pd.DataFrame, times: Sequence[str], spelling: Spelling, places: int | None, out: Path | None
) -> None:
    """A table as CSV, in a file or on standard output.

    The columns ``times`` are written as ``spelling`` says; numbers have so many ``places``, all if None.
    """
    table = table.assign(**{name: spelling.write(table[name]) for name in times})
    (table if places is None else table.round(places)).to_csv(sys.stdout if out is None else out, index=False)


def decimals(values: Any) -> int:
    """How many decimals to print: those of the data, and so many that a typical value has four figures.

    Examples
    --------
    >>> decimals([112.0, 118.0]), decimals([0.0123, 0.045]), decimals([1 / 3, 2 / 3])
    (1, 5, 6)
    """
    import numpy as np

    known = np.abs(np.asarray(values, dtype=np.float64))
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known):
        return FIGURES - 1
    before = math.floor(math.log10(float(np.median(known)))) + 1
    own = max(_decimals_of(float(value)) for value in known[:: max(1, len(known) // 1000)])
    if own > MEASURED:
        return max(0, FIGURES + 2 - before)
    return max(0, own, FIGURES - before)


def _decimals_of(value: float) -> int:
    """Digits behind the point of the shortest way to write a number."""
    from decimal import Decimal

    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -int(exponent))


def conclude(interrupted: bool, lost: str | None) -> None:
    """End with an exit code, if the work was interrupted or the model is worth nothing."""
    if lost is not None:
        typer.echo(f"seqdyn: {lost}", err=True)
    if interrupted or lost is not None:
        raise typer.Exit(130 if interrupted else LOST)


def echo(label: str, text: str, aside: bool = False) -> None:
    """One line of the report; aside: on standard error, since standard output holds the result."""
    typer.echo(f"{label:<12}{text}", err=aside)


def echo_files(*paths: Path | None, aside: bool = False) -> None:
    """The files that were written, if any."""
    written = [str(path) for path in paths if path is not None]
    if written:
        echo("written", ", ".join(written), aside)


def count_of(number: int, what: str) -> str:
    """A number of things, in the plural where it must be."""
    return f"{number} {what}{'' if number == 1 else 's'}"
