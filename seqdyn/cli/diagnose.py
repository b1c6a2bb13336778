"""`seqdyn diagnose`: whether the gradients of a model reach as far as they have to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from seqdyn.cli.arguments import TimeColumn, Verbosity
from seqdyn.cli.reading import ReadOptions, takes_options
from seqdyn.cli.tables import check_numbers, check_readable, inputs_of, read_table
from seqdyn.cli.training import one_thread

if TYPE_CHECKING:
    import pandas as pd

FAILED = 2
"""The exit code where there is no verdict."""


FailOn = StrEnum("FailOn", "FAIL WARN")
"""The mildest finding that counts as failing."""

Tier = StrEnum("Tier", "FAST STANDARD FULL")
"""How much is measured."""


@takes_options
def diagnose(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file, written by `seqdyn fit` or save().")],
    data: Annotated[Path, Argument(metavar="DATA.csv", help="CSV file with the columns the model reads.")],
    time_column: TimeColumn = None,
    required_lag: Annotated[int | None, Option(min=1, help="How many steps back the model has to learn from.")] = None,
    tier: Annotated[Tier, Option(help="How much to measure.")] = Tier.STANDARD,
    html: Annotated[Path | None, Option(help="The report to write, one HTML file.")] = None,
    json: Annotated[Path | None, Option(help="The same numbers, as JSON.")] = None,
    png: Annotated[Path | None, Option(help="The verdict in one picture.")] = None,
    fail_on: Annotated[FailOn, Option(help="The mildest finding that makes the exit code 1.")] = FailOn.FAIL,
    seed: Annotated[int, Option(help="Of all randomness.")] = 0,
    verbose: Verbosity = 0,
    *,
    options: ReadOptions,
) -> None:
    """Say whether gradients vanish or explode over the lag that matters, why, and what to change.

    The errors whose gradients are followed are those of the fit, where the file has the target; else those of the
    outputs. Exit code: 0 passed, 1 a check or the verdict failed (with --fail-on warn: or warns), 2 no verdict.

    \b
    Example:
      seqdyn diagnose gas.safetensors gas.csv --required-lag 50 --html report.html --json report.json --fail-on warn
    """
    with no_verdict():
        for given in (model, data):
            check_readable(given)
        from seqdyn.reports.stability.report import stability_report

        read = _read(model, read_table(data, time_column, options.dialect, options.clock), data)
        with one_thread():
            report = stability_report(*read, required_lag=required_lag, tier=str(tier), seed=seed, verbose=verbose)
        for out, write in ((html, report.to_html), (json, report.to_json), (png, report.to_png)):
            if out is not None:
                write(out)
    typer.echo(str(report))
    for out in (html, json, png):
        if out is not None:
            typer.echo(f"wrote {out}")
    raise typer.Exit(report.exit_code_of(fail_on=str(fail_on)))


@contextmanager
def no_verdict() -> Iterator[None]:
    """Let errors end with their own exit code: they are not a verdict."""
    try:
        yield
    except Exception as error:
        error.exit_code = FAILED  # type: ignore[attr-defined]
        raise


def _read(path: Path, frame: pd.DataFrame, data: Path) -> tuple[Any, Any, Any]:
    """The model, its inputs, and its targets where the table has them."""
    from seqdyn.cell import Cell
    from seqdyn.estimators.sequence import SequenceEstimator
    from seqdyn.files import load

    model = load(path)
    if isinstance(model, Cell):
        return model, _numbers(model, frame, data), None
    if not isinstance(model, SequenceEstimator):
        raise TypeError(
            f"{path} holds a {type(model).__name__}. seqdyn diagnose takes an estimator or a cell; from Python, "
            "seqdyn.stability_report takes the estimator inside a forecaster."
        )
    X, _ = inputs_of(model, frame, data)
    X = X.loc[X.index.intersection(frame.index)]
    names = [str(name) for name in getattr(model, "target_names_", None) or []]
    if not names or any(name not in frame for name in names):
        return model, _seen(model, X), None
    check_numbers(frame, names, data, missing=True)
    y = frame.loc[X.index, names].astype(float)
    return model, _seen(model, X), y if len(names) > 1 else y[names[0]]


def _seen(model: Any, X: pd.DataFrame) -> Any:
    """A frame, if the model was fitted on one."""
    return X if hasattr(model, "feature_names_in_") else X.to_numpy()


def _numbers(cell: Any, frame: pd.DataFrame, path: Path) -> Any:
    """The numeric columns, if they are as many as a bare cell takes."""
    numeric = frame.select_dtypes("number")
    if numeric.shape[1] != cell.input_size:
        raise ValueError(
            f"{path} has {numeric.shape[1]} numeric columns, but the {type(cell).__name__} takes {cell.input_size} "
            "inputs: keep those, in their order."
        )
    check_numbers(numeric, [str(name) for name in numeric], path)
    return numeric.to_numpy(dtype=float)
