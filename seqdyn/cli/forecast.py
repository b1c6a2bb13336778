"""`seqdyn forecast`: from a CSV file to the steps after its last row."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer import Argument, Option

from seqdyn.cli.arguments import misused
from seqdyn.cli.dates import Spelling
from seqdyn.cli.forecasting import backtest_beside, build_model, describe_model, lost_to_naive, season_steps
from seqdyn.cli.options import ForecasterName, Options, check_writable, option_name, parse_levels
from seqdyn.cli.reading import takes_options
from seqdyn.cli.series import SERIES, VALUE, ColumnRoles, choose_series, describe_data, read_grid, read_series
from seqdyn.cli.tables import as_times, check_columns, check_numbers, check_readable, read_rows
from seqdyn.cli.training import run_training
from seqdyn.cli.written import conclude, count_of, decimals, echo, echo_files, write_table

if TYPE_CHECKING:
    import pandas as pd

    from seqdyn.data.panels import Panel


class Ready(NamedTuple):
    """A fitted model, and the tables of the past and of what is known ahead.

    ``frame`` is None if a saved model goes on without new rows.
    """

    model: Any
    columns: ColumnRoles
    frame: pd.DataFrame | None
    panel: Panel
    ahead: pd.DataFrame | None
    spelling: Spelling
    saved: bool
    interrupted: bool = False


@takes_options
def forecast(
    horizon: Annotated[int, Option(min=1, help="Steps ahead.")],
    data: Annotated[
        Path | None,
        Argument(
            metavar="DATA.csv",
            help="CSV file with a line of column names; one row per time step and series; optional with --load.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, Option(help="The CSV file to write. Default: standard output.")] = None,
    round_to: Annotated[
        int | None,
        Option("--round", min=0, help="Decimals. Default: all in a file; on standard output as the data have."),
    ] = None,
    plot: Annotated[Path | None, Option(help="A picture of it: *.png, *.pdf or *.svg.")] = None,
    series: Annotated[str | None, Option(help="The series in the picture. Default: the first.")] = None,
    level: Annotated[str, Option(help="Central intervals, in percent: 80,95.")] = "80",
    future: Annotated[
        Path | None, Option(help="CSV file with the next values of the --future-columns, and their times.")
    ] = None,
    save: Annotated[Path | None, Option(help="Keep the fitted model in this file, *.safetensors.")] = None,
    load: Annotated[
        Path | None, Option(help="Use a model that --save kept; rows of DATA.csv it does not know yet are taken in.")
    ] = None,
    check: Annotated[
        bool, Option("--check/--no-check", help="Compare with baselines on the last steps; it costs a second fit.")
    ] = True,
    *,
    options: Options,
) -> None:
    """Forecast the steps after the last row of a CSV file, with intervals.

    The frequency is found in the times; absent rows and empty cells are missing values. The result has a column "mean",
    and one for every quantile: --level 80 gives "0.1" and "0.9". In the end the same model is fitted without the last
    steps, and compared on them with baselines. With --load nothing is fitted: the saved model reads the new rows and
    goes on from there.

    \b
    Example:
      seqdyn forecast data.csv --time ds --target y --horizon 24 --out forecast.csv --plot forecast.png
    """
    options.check()
    check_writable(out, save, picture=plot)
    aside, levels = out is None, parse_levels(level)
    if load is None:
        ready = _fitted(data, options, horizon, levels, future, series, aside)
    else:
        ready = _loaded(load, data, options, horizon, future, aside)
    chosen = choose_series(ready.model.known_, series)
    table = _forecast_table(ready, horizon, levels, aside)
    places = decimals(ready.panel.target) if round_to is None and out is None else round_to
    write_table(table, [str(ready.columns.time)], ready.spelling, places, out)
    if plot is not None:
        _draw(table, ready, chosen, horizon).savefig(plot)
    if save is not None:
        _keep(ready, save)
    echo_files(out, plot, save, aside=aside)
    conclude(ready.interrupted, _check(ready, horizon, aside) if check and not ready.interrupted else None)


def _fitted(
    data: Path | None,
    options: Options,
    horizon: int,
    levels: list[float],
    future: Path | None,
    series: str | None,
    aside: bool,
) -> Ready:
    """A model fitted to the whole table; what can be wrong is found before the fit."""
    if data is None:
        raise misused("DATA.csv", "give a CSV file, or a saved model with --load.")
    frame, columns, spelling = read_series(data, options.columns, options.dialect, options.clock)
    panel = read_grid(frame, columns, options.frequency, data)
    ahead = _read_future(future, columns, horizon, options, panel, spelling)
    choose_series(panel, series)
    model = build_model(options, columns, panel, horizon, levels)
    describe_data(data, panel, season_steps(model, panel), options.given, spelling, aside)
    echo("model", describe_model(model), aside)
    interrupted, seconds = run_training(lambda: model.fit(frame))
    _echo_training_of(model, seconds, aside)
    if options.verbose and options.model is ForecasterName.AUTO:
        typer.echo(f"\n{model.summary()}\n", err=aside)
    return Ready(model, columns, frame, panel, ahead, spelling, False, interrupted)


def _echo_training_of(model: Any, seconds: float, aside: bool) -> None:
    """How long the fit took, and where the loss ended."""
    history = getattr(getattr(model, "estimator_", None), "history_", None)
    how = "fitted"
    if history is not None and len(history):
        how = f"loss {history['loss'].iloc[-1]:.4g} after {count_of(len(history), 'epoch')}"
    elif history is not None:
        how = "its linear start is kept: no epoch was better on the rows held out"
    echo("training", f"{how}; {seconds:.1f} s", aside)


def _loaded(load: Path, data: Path | None, options: Options, horizon: int, future: Path | None, aside: bool) -> Ready:
    """A saved model, which has read the rows that are new to it."""
    from seqdyn.files import load as load_file
    from seqdyn.forecasting.contract import PanelForecaster

    useless = [option_name(name) for name in sorted(options.given)]
    if useless:
        raise ValueError(f"{load} knows its own columns and settings: leave out {' and '.join(useless)}.")
    check_readable(load)
    model = load_file(load)
    if not isinstance(model, PanelForecaster):
        raise TypeError(f"{load} holds a {type(model).__name__}, not a forecaster that `seqdyn forecast --save` wrote.")
    roles, layout = model.known_.roles, model.known_.layout
    if layout.kind != "long":
        raise ValueError(
            f"{load} was fitted in Python to a frame of the kind {layout.kind!r}: go on there, with seqdyn.load(path), "
            "or fit it to a long frame."
        )
    covariates = (roles.past, roles.future, roles.static)
    series = None if layout.single else roles.id_col
    columns = ColumnRoles((roles.target_col,), roles.time_col, series, *covariates)
    last = max(model.fitted_until_.last)
    if data is None:
        spelling = Spelling(**getattr(model, "spelling_", {}))
        ahead = _read_future(future, columns, horizon, options, model.known_, spelling)
        echo("model", f"{load}: {describe_model(model)}, fitted up to {spelling.one(last)}", aside)
        return Ready(model, columns, None, model.known_, ahead, spelling, True)
    asked = columns
    if (series, roles.target_col) == (SERIES, VALUE):  # several columns were the series
        asked = columns._replace(targets=tuple(map(str, model.known_.names)), id=None)
    frame, _, spelling = read_series(data, asked, options.dialect, options.clock)
    frame = frame.assign(**{roles.time_col: _in_zone_of(frame[roles.time_col], model.known_)})
    panel = read_grid(frame, columns, model.known_.grid.freq, data)
    ahead = _read_future(future, columns, horizon, options, panel, spelling)
    echo("model", f"{load}: {describe_model(model)}, fitted up to {spelling.one(last)}", aside)
    _update(model, columns, frame, spelling, aside)
    return Ready(model, columns, frame, panel, ahead, spelling, True)


def _in_zone_of(times: pd.Series, panel: Panel) -> pd.Series:
    """Instants as the time zone of a panel shows them, if both have one."""
    zone = getattr(panel.times, "tz", None)
    return times if zone is None or getattr(times.dtype, "tz", None) is None else times.dt.tz_convert(zone)


def _keep(ready: Ready, path: Path) -> None:
    """Save the model, with what --load without a table has to know."""
    ready.model.spelling_ = asdict(ready.spelling)
    ready.model.save(path)


def _update(model: Any, columns: ColumnRoles, frame: pd.DataFrame, spelling: Spelling, aside: bool) -> None:
    """Let the model read the rows after those it knows."""
    import pandas as pd

    last = pd.Series(model.known_.last, model.known_.names)
    known = last.iloc[0] if columns.id is None else frame[columns.id].map(last)
    new = frame[~(frame[columns.time] <= known)]
    if not len(new):
        echo("update", f"no row is new: it knows those up to {spelling.one(last.max())}", aside)
        return
    model.update(new, fill_gaps=True)
    echo("update", f"{count_of(len(new), 'new row')}, up to {spelling.one(new[columns.time].max())}", aside)


def _read_future(
    path: Path | None, columns: ColumnRoles, horizon: int, options: Options, panel: Panel, spelling: Spelling
) -> pd.DataFrame | None:
    """The covariates known ahead, with their times."""
    if path is None and columns.future:
        names = ", ".join(columns.future)
        raise misused("--future", f"{names}: known ahead, so give the next {horizon} rows in a CSV file.")
    if path is None:
        return None
    if not columns.future:
        raise ValueError(
            f"--future {path}: the model takes no covariates known ahead. Name them with --future-columns."
        )
    frame = read_rows(path, options.dialect)
    if columns.id == SERIES and SERIES not in frame:  # several columns are the series, and share what is known ahead
        frame = frame.merge(panel.names.to_frame(name=SERIES), how="cross")
    keys = [name for name in (columns.id, columns.time) if name is not None]
    check_columns(frame, [*keys, *columns.future], path, "--future")
    check_numbers(frame, columns.future, path, missing=True)
    series = None if columns.id is None else frame[columns.id]
    times, _ = as_times(frame[columns.time], path, options.clock.as_in(spelling), series)
    frame = frame.assign(**{str(columns.time): _in_zone_of(times, panel)})
    return frame[[*keys, *columns.future]]


def _forecast_table(ready: Ready, horizon: int, levels: list[float], aside: bool) -> pd.DataFrame:
    """The forecast with its columns of series and time in front."""
    found, columns, one = ready.model.forecast(horizon, ready.ahead, level=levels), ready.columns, ready.spelling.one
    steps = found[columns.time]
    echo("forecast", f"{count_of(horizon, 'step')}, {one(steps.min())} to {one(steps.max())}", aside)
    keys = [name for name in (columns.id, columns.time) if name is not None]
    return found[[*keys, *(name for name in found.columns if name not in keys)]]


def _draw(table: pd.DataFrame, ready: Ready, chosen: Any, horizon: int) -> Any:
    """The picture of one series."""
    from seqdyn.forecasting.figures import history_length, plot_fan

    columns, panel = ready.columns, ready.panel
    own = table if columns.id is None else table[table[columns.id] == chosen]
    rows = panel.rows(panel.names.get_loc(chosen)) if chosen in panel.names else slice(0, 0)
    tail = slice(max(rows.start, rows.stop - history_length(horizon, ready.model.season_length_)), rows.stop)
    spread = {float(name): own[name] for name in own.columns if name not in (columns.id, columns.time, "mean")}
    title = f"{count_of(horizon, 'step')} ahead"
    return plot_fan(
        panel.times[tail], panel.target[tail], own[columns.time], own["mean"], spread, title=title, unit=str(chosen)
    )


def _check(ready: Ready, horizon: int, aside: bool) -> str | None:
    """Compare with baselines on the last steps, if no model has seen them; what to say if it loses to the naive one."""
    began = time.monotonic()
    if ready.saved and (ready.frame is None or not _unseen(ready.model, ready.panel, horizon)):
        echo("check", f"left out: it needs {count_of(horizon, 'row')} that the saved model was not fitted on", aside)
        return None
    assert ready.frame is not None
    try:
        found = backtest_beside(ready.model, ready.frame, ready.panel, horizon, 1, horizon, refit=not ready.saved)
    except ValueError as error:
        echo("check", f"left out: {error}", aside)
        return None
    seconds = time.monotonic() - began
    echo("check", f"the last {count_of(horizon, 'step')}, which it was not fitted on; {seconds:.1f} s", aside)
    echo("verdict", found.verdict(), aside)
    return lost_to_naive(found)


def _unseen(model: Any, panel: Panel, horizon: int) -> bool:
    """Whether the last steps of every series came after the fit."""
    seen = dict(zip(model.fitted_until_.names, model.fitted_until_.last, strict=True))
    origins = panel.ends - horizon - 1
    late = [panel.times[row] >= seen[name] for name, row in zip(panel.names, origins, strict=True)]
    return bool((origins >= panel.starts).all() and all(late))
