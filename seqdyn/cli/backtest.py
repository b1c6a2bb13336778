"""`seqdyn backtest`: from a CSV file to an honest comparison with baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from seqdyn.cli.forecasting import backtest_beside, build_model, describe_model, lost_to_naive, season_steps
from seqdyn.cli.options import Options, check_writable, parse_levels
from seqdyn.cli.reading import takes_options
from seqdyn.cli.series import choose_series, describe_data, read_grid, read_series
from seqdyn.cli.training import run_training
from seqdyn.cli.written import conclude, count_of, echo, echo_files, write_table


@takes_options
def backtest(
    data: Annotated[Path, Argument(metavar="DATA.csv", help="CSV file with a line of column names.")],
    horizon: Annotated[int, Option(min=1, help="Steps ahead.")],
    windows: Annotated[int, Option(min=1, help="Origins of every series.")] = 3,
    step: Annotated[int | None, Option(min=1, help="Steps between origins. Default: the horizon.")] = None,
    refit: Annotated[
        bool, Option("--refit/--no-refit", help="Fit before every origin, or once, before the first.")
    ] = False,
    level: Annotated[str, Option(help="Central intervals to check, in percent: 80,95.")] = "80",
    out: Annotated[Path | None, Option(help="A CSV file for every single forecast.")] = None,
    round_to: Annotated[int | None, Option("--round", min=0, help="Decimals in the CSV file; default: all.")] = None,
    plot: Annotated[Path | None, Option(help="A picture of it: *.png, *.pdf or *.svg.")] = None,
    series: Annotated[str | None, Option(help="The series in the picture. Default: the first.")] = None,
    *,
    options: Options,
) -> None:
    """Forecast from origins in the past, and compare with what came, and with the baselines.

    The last origin stands one horizon before the end of a series, the others --step rows apart before it. No model sees
    a row after its origin. MASE is the error relative to that of the seasonal naive forecast in the rows before the
    origin; coverage is the share of values within an interval. The verdict says whether the model is worth its trouble;
    where it loses even to the naive forecast, the exit code is 3.

    \b
    Example:
      seqdyn backtest data.csv --time ds --target y --horizon 24 --windows 5 --plot backtest.png
    """
    options.check()
    check_writable(out, picture=plot)
    levels = parse_levels(level)
    frame, columns, spelling = read_series(data, options.columns, options.dialect, options.clock)
    panel = read_grid(frame, columns, options.frequency, data)
    chosen = choose_series(panel, series)
    model = build_model(options, columns, panel, horizon, levels)
    describe_data(data, panel, season_steps(model, panel), options.given, spelling)
    echo("model", describe_model(model))
    found, apart = [], step or horizon
    interrupted, seconds = run_training(
        lambda: found.append(backtest_beside(model, frame, panel, horizon, windows, apart, refit=refit, level=levels))
    )
    result = found[0]
    echo("backtest", f"{count_of(windows, 'origin')}, {apart} steps apart; {seconds:.1f} s in all")
    for note in result.notes:
        echo("", note)
    typer.echo(f"\n{result.metrics().round(4).to_string()}\n")
    if out is not None:
        write_table(result.frame, ["cutoff", "time"], spelling, round_to, out)
    if plot is not None:
        result.plot(chosen).savefig(plot)
    echo_files(out, plot)
    echo("verdict", result.verdict())
    conclude(interrupted, lost_to_naive(result))
