"""`seqdyn demo`: four data sets, forecast by one recurrent network each and by all baselines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from seqdyn.cli.arguments import Verbosity
from seqdyn.cli.training import one_thread
from seqdyn.progress import nested, track

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.cli.demo_cases import Case, Outcome
    from seqdyn.reports.stability.report import StabilityReport

ERRORS = {"MAE": 4, "RMSE": 4, "MASE": 3, "sMAPE": 3}
"""Columns of the table, and how many figures of the smallest one count."""

EXPLANATION = """
*         the best of its data set
auto      AutoForecaster: closed forms, and the GRU where it beats them, weighted by their errors in the past
MASE      the error relative to that of the seasonal naive forecast in the rows before the origin
sMAPE     in percent, 0 to 200
in 80 %   how many of the values lay within the interval that should hold 80 % of them
seconds   of the fit
The settings of the networks were chosen within the first three quarters: cut in four, fitted on three parts, tested
on the fourth, by MASE, among those whose training is calm. No setting was chosen by its errors above.
"""


def demo(
    out: Annotated[Path, Option(help="The folder to write to; made if it is not there.")] = Path("seqdyn-demo"),
    seed: Annotated[int, Option(help="Of all randomness; the same seed gives the same table.")] = 0,
    quick: Annotated[bool, Option("--quick", help="Train for two epochs only, to see that all works.")] = False,
    verbose: Verbosity = 0,
) -> None:
    """Forecast four data sets with a GRU, and compare with all baselines.

    The first is one variable of the Lorenz system, of which the others are not seen: what the state is good for. Then
    come CO2 by months, sunspots by years and the economy of the United States by quarters, where closed forms do as
    well or better. One network each is fitted on the first three quarters and forecasts the last one from rolling
    origins. So do eight baselines and an AutoForecaster of closed forms. Then the network reads the last quarter
    without being fitted again, and forecasts what comes after it. Takes about a minute; writes tables, two pictures, a
    report on the gradients of one network, and the fitted forecasters.

    \b
    Example:
      seqdyn demo --out seqdyn-demo --seed 1
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for outcome in _solved_cases(seed, 2 if quick else None, verbose):
        outcomes.append(outcome)
        typer.echo(_outcome_report(outcome))
    typer.echo(EXPLANATION)
    names = _write_outcomes(out, outcomes)
    typer.echo(f"Wrote to {out}, in {time.monotonic() - began:.0f} s:")
    for name in names:
        typer.echo(f"  {name}")
    typer.echo("To go on with a forecaster, as new rows come in:")
    typer.echo(f'  import seqdyn; model = seqdyn.load("{(out / names[-1]).as_posix()}")')
    typer.echo(f"  model.update(new_rows).forecast({outcomes[-1].case.horizon}, level=[80, 95])")


def _solved_cases(seed: int, max_epochs: int | None, verbose: int) -> Iterator[Outcome]:
    """All cases, one by one."""
    from seqdyn.cli.demo_cases import CASES, run_case

    for make in track(CASES, "demo", "data set", verbose=verbose, describe=lambda make: make.__name__):
        with one_thread():
            outcome = run_case(make(), seed, max_epochs, nested(verbose))
        yield outcome


def _outcome_report(outcome: Outcome) -> str:
    """The data, the table, the verdict, and what the state is good for."""
    from seqdyn.cli.demo_cases import UNTRAINED

    case = outcome.case
    start = () if outcome.epochs else (f"{UNTRAINED.capitalize()}.",)
    said = [f"  {sentence}" for sentence in (*outcome.test.notes, *start, outcome.verdict())]
    return "\n".join([_described(case), _printed(outcome.table()), *said, _remembered(outcome), _said(outcome), ""])


def _described(case: Case) -> str:
    first, fitted, tested, last = (case.label(case.data.index[row]) for row in (0, case.cut - 1, case.cut, -1))
    series = "" if case.shown is None else f", {case.data.shape[1]} series"
    return (
        f"{case.name}: {case.title}{series}, {case.unit}\n{case.note and f'  {case.note}{chr(10)}'}"
        f"  fitted on {first} to {fitted}, tested on {tested} to {last}: "
        f"{case.horizon} {case.period}s ahead from {case.windows} origins"
    )


def _printed(table: pd.DataFrame) -> str:
    """The table as text, the best marked."""
    lines = [f"{'':24}" + "".join(f"{name:>10}" for name in (*ERRORS, "in 80 %", "in 95 %", "seconds"))]
    digits = {name: _digits(float(table[name].min()), figures) for name, figures in ERRORS.items()}
    for (_, model), row in table.iterrows():
        cells = [f"{row[name]:.{digits[name]}f}{'*' if row[f'best_{name}'] else ' '}" for name in ERRORS]
        cells += [f"{row['coverage_80']:.0f} %", f"{row['coverage_95']:.0f} %", f"{row['seconds']:.1f}"]
        lines.append(f"  {model.replace('_', ' '):<22}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


def _digits(smallest: float, figures: int) -> int:
    """Decimal places, so that so many figures of the smallest number count."""
    import math

    return max(0, figures - 1 - math.floor(math.log10(smallest))) if smallest > 0 else figures


def _remembered(outcome: Outcome) -> str:
    """What no table shows: the memory, and how new rows come in."""
    case, model = outcome.case, outcome.model
    size = sum(int(values.size) for values in model.state.data_vars.values()) // model.state.sizes["series"]
    rows, milliseconds = len(case.data) - case.cut, 1000 * outcome.reading
    worth = _worth(outcome)
    return worth + (
        f"  Then the {rows} rows of the last quarter came in, in {milliseconds:.0f} ms: the state, {size} numbers a "
        "series, read them\n  and nothing before them; no weight changed."
    )


def _worth(outcome: Outcome) -> str:
    """What the network is worth if it remembers a few rows only."""
    if not outcome.forgetful:
        return ""
    few = ", ".join(f"{mase:.2f} with {rows}" for rows, mase in outcome.forgetful.items())
    own = outcome.table()["MASE"][(outcome.case.name, "GRU")]
    return (
        "  Its state earns its keep: MASE of the same network, if that begins at zero a few rows before every origin:\n"
        f"  {few} rows; {own:.2f} with all of them.\n"
    )


def _said(outcome: Outcome) -> str:
    """The last step of the forecast after the data, in one sentence."""
    case = outcome.case
    ahead = outcome.ahead()
    row = (ahead if case.shown is None else ahead[ahead["series"] == case.shown]).iloc[-1]
    name = case.data.name if case.shown is None else case.shown
    low, high = row["0.025"], row["0.975"]
    return f"  From there, {name} of {case.label(row['time'])}: {row['mean']:.5g}, 95 % {low:.5g} to {high:.5g}."


def _diagnosed(outcomes: list[Outcome]) -> StabilityReport:
    """Whether the gradients of the network of the sunspots reached back over one of their cycles."""
    from seqdyn.reports.stability.report import stability_report

    outcome = next(outcome for outcome in outcomes if outcome.case.name == "sunspots")
    with one_thread():
        return stability_report(outcome.model, outcome.case.past, required_lag=outcome.case.season_length)


def _write_outcomes(out: Path, outcomes: list[Outcome]) -> list[str]:
    """Tables, pictures and forecasters; returns their names."""
    import pandas as pd

    from seqdyn.cli.demo_figures import draw_forecasts, draw_training

    pd.concat([outcome.table() for outcome in outcomes]).to_csv(out / "table.csv")
    draw_forecasts(out / "forecasts.png", outcomes)
    draw_training(out / "training.png", outcomes)
    _diagnosed(outcomes).to_html(out / "stability.html")
    for outcome in outcomes:
        outcome.ahead().to_csv(out / f"{outcome.case.name}-forecast.csv", index=False)
        outcome.model.save(out / f"{outcome.case.name}.safetensors")
    written = ["table.csv", "forecasts.png", "training.png", "stability.html"]
    written += [f"{outcome.case.name}-forecast.csv" for outcome in outcomes]
    return written + [f"{outcome.case.name}.safetensors" for outcome in outcomes]
