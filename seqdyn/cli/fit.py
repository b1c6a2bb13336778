"""`seqdyn fit`: from a CSV file to a model file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer import Argument, Option

from seqdyn.cli.arguments import DeviceName, ModelFile, Seed, TestFraction, TimeColumn, Verbosity
from seqdyn.cli.reading import ReadOptions, takes_options
from seqdyn.cli.tables import add_own_past, check_columns, check_numbers, own_past, place, read_table, spoken
from seqdyn.cli.training import check_device, check_folder, recurrent_regressor, run_training

if TYPE_CHECKING:
    import pandas as pd


class RegressorName(StrEnum):
    """What can be fitted."""

    LSTM, GRU, ELMAN, LINEAR = "lstm", "gru", "elman", "linear"
    MOVING_AVERAGE, EXPONENTIAL, ARX, PERSISTENCE = "moving-average", "exponential", "arx", "persistence"


TRAINED_REGRESSORS = (RegressorName.LSTM, RegressorName.GRU, RegressorName.ELMAN, RegressorName.LINEAR)
"""The models that are trained by gradient; the others are solved for."""


class FitTask(NamedTuple):
    """What is learnt from what: X (time, features) and y (time,), the first ``train`` rows to fit, the rest to test."""

    X: pd.DataFrame
    y: pd.Series
    train: int
    own_past: bool
    left_out: list[str]


@takes_options
def fit(
    data: Annotated[
        Path, Argument(metavar="DATA.csv", help="CSV file with a line of column names; one row per time step.")
    ],
    target: Annotated[str, Option(help="The column to predict. Empty cells are left out of the loss.")],
    out: ModelFile,
    features: Annotated[
        str | None,
        Option(
            help="Columns to predict from: a,b,c. Default: all other numeric ones. Naming the target, too, gives the "
            "model its last value."
        ),
    ] = None,
    time_column: TimeColumn = None,
    model: Annotated[RegressorName, Option(help="The kind of model.")] = RegressorName.LSTM,
    hidden_size: Annotated[int | None, Option(min=1, help="Width of the memory. Default: 32; found by linear.")] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the data, at most. Default: 200; linear needs none.")
    ] = None,
    learning_rate: Annotated[float | None, Option(help="Of the optimizer, Adam. Default: 0.01.")] = None,
    test_fraction: TestFraction = 0.2,
    seed: Seed = 0,
    device: DeviceName = "auto",
    verbose: Verbosity = 0,
    *,
    options: ReadOptions,
) -> None:
    """Fit a model to a CSV file, score it, and save it.

    Every other numeric column is an input, known at the same time step as the target. A file with nothing but the
    target is learnt one step ahead, from its own past. The last rows are kept back for the score. Ctrl-C ends the
    training early and keeps what is learnt. The model file remembers its columns by name, for `seqdyn predict`.

    \b
    Example:
      seqdyn fit gas.csv --target co2 --features gas_rate --model gru --out gas.safetensors
    """
    check_folder(out)
    frame = read_table(data, time_column, options.dialect, options.clock)
    check_device(device)
    task = _task(frame, data, target, features, test_fraction, model)
    shared = {"random_state": seed, "device": device, "verbose": verbose}
    estimator = _estimator(model, task, hidden_size, epochs, learning_rate, shared)
    _announce(frame, data, target, task, estimator)
    leading = task.X.iloc[: task.train], task.y.iloc[: task.train]
    interrupted, seconds = run_training(lambda: estimator.fit(*leading))
    _echo_scores(estimator, task, seconds)
    estimator.save(out)
    last = place(task.X, task.train - 1)
    typer.echo(f"saved       {out}; predict --continue-state goes on after {last}")
    if interrupted:
        raise typer.Exit(130)


def _task(
    frame: pd.DataFrame, path: Path, target: str, features: str | None, test_fraction: float, model: RegressorName
) -> FitTask:
    """Inputs and target, checked; the target among its own inputs means its last value."""
    from pandas.api.types import is_numeric_dtype

    check_columns(frame, [target], path, "--target")
    others = [str(name) for name in frame.columns if name != target]
    left_out = [name for name in others if not is_numeric_dtype(frame[name])] if features is None else []
    if features is not None:
        chosen = list(dict.fromkeys(name.strip() for name in features.split(",") if name.strip()))
        check_columns(frame, chosen, path, "--features")
        if not chosen:
            raise ValueError(f"--features names no column: {path} has {spoken(frame.columns)}.")
    elif model is RegressorName.PERSISTENCE:
        chosen = [target]
    else:
        chosen = [name for name in others if name not in left_out] or [target]
    if model is RegressorName.PERSISTENCE and chosen != [target]:
        raise ValueError(f"persistence repeats the last value of {target!r} and takes no --features: leave them out.")
    check_numbers(frame, [name for name in chosen if name != target], path)
    check_numbers(frame, [target], path, missing=target not in chosen)
    past = target in chosen
    if past:
        frame = add_own_past(frame, target)
    inputs = [own_past(target) if name == target else name for name in chosen]
    train = len(frame) - round(test_fraction * len(frame))
    if train < 2:
        raise ValueError(f"{path} leaves {train} rows to fit: at least 2 are needed. Lower --test-fraction.")
    return FitTask(frame[inputs].astype(float), frame[target].astype(float), train, past, left_out)


def _estimator(
    model: RegressorName,
    task: FitTask,
    hidden_size: int | None,
    epochs: int | None,
    learning_rate: float | None,
    shared: dict[str, Any],
) -> Any:
    """An estimator with these settings; those that mean nothing to it are an error."""
    from seqdyn.estimators.baselines import ARXRegressor, PersistenceRegressor
    from seqdyn.estimators.linear import LinearStateSpaceRegressor
    from seqdyn.estimators.moving_average import ExponentialMovingAverageRegressor, MovingAverageRegressor

    if model not in TRAINED_REGRESSORS:
        given = {"--hidden-size": hidden_size, "--epochs": epochs, "--learning-rate": learning_rate}
        useless = [option for option, value in given.items() if value is not None]
        if useless:
            raise ValueError(f"{model} is solved for, not trained: leave out {' and '.join(useless)}.")
        solved: dict[RegressorName, Any] = {
            RegressorName.MOVING_AVERAGE: MovingAverageRegressor(weights="learned"),
            RegressorName.EXPONENTIAL: ExponentialMovingAverageRegressor(),
            RegressorName.ARX: ARXRegressor(output_lags=0) if task.own_past else ARXRegressor(),
            RegressorName.PERSISTENCE: PersistenceRegressor(),
        }
        return solved[model]
    rate = 0.01 if learning_rate is None else learning_rate
    training = shared | {"max_epochs": epochs or 200, "learning_rate": rate}
    if model is RegressorName.LINEAR:
        method = "subspace+gradient" if epochs is None and learning_rate is None else "gradient"
        stable = method != "gradient"  # a few epochs need not end stable
        return LinearStateSpaceRegressor(order=hidden_size or "auto", method=method, stable=stable, **training)
    return recurrent_regressor(str(model), hidden_size=hidden_size or 32, **training)


def _announce(frame: pd.DataFrame, path: Path, target: str, task: FitTask, estimator: Any) -> None:
    """What is about to be fitted."""
    left_out = f" (left out, not numeric: {', '.join(task.left_out)})" if task.left_out else ""
    typer.echo(f"data        {path}: {len(frame)} rows, {place(frame, 0)} to {place(frame, -1)}")
    typer.echo(f"inputs      {', '.join(map(str, task.X.columns))}{left_out}")
    if task.own_past and task.X.shape[1] == 1:
        typer.echo(f"            no features: {target} is learnt one step ahead, from its own past")
    typer.echo(f"target      {target}")
    typer.echo(f"model       {estimator}")


def _echo_scores(estimator: Any, task: FitTask, seconds: float) -> None:
    """How well it fits: the loss of the training, and the scores on the rows kept back, beside a baseline."""
    from sklearn.metrics import r2_score

    from seqdyn.metrics.points import rmse

    history = getattr(estimator, "history_", None)
    how = "solved by least squares"
    if history is not None and len(history):
        how = f"loss {history['loss'].iloc[-1]:.4g} after {len(history)} epochs ({estimator.loss} of scaled targets)"
    elif hasattr(estimator, "method_"):
        how = f"{estimator.order_} states by {estimator.method_}"
    elif history is not None:
        how = "cut short before the first epoch was over"
    typer.echo(f"training    {task.train} rows to {place(task.X, task.train - 1)}; {how}; {seconds:.1f} s")
    known = task.y.iloc[task.train :].notna().to_numpy()
    if known.sum() < 2:
        typer.echo("test        no rows kept back" if not len(known) else "test        too few known targets to score")
        return
    predicted = estimator.predict(task.X)[task.train :]
    if task.own_past:
        name, baseline = "last value", task.X[own_past(str(task.y.name))].to_numpy()[task.train :]
    else:
        name, baseline = "training mean", known * 0 + task.y.iloc[: task.train].mean()
    actual = task.y.to_numpy()[task.train :]
    width = max(len(name), len("model"))
    typer.echo(f"test        {len(known)} rows from {place(task.X, task.train)}; {_reading(estimator, task)}")
    for who, values in (("model", predicted), (name, baseline)):
        r2, error = r2_score(actual[known], values[known]), rmse(actual[known], values[known])
        typer.echo(f"            {who:<{width}}  R² {r2:.3f}  RMSE {error:.4g}")


def _reading(estimator: Any, task: FitTask) -> str:
    """What the model is told while it predicts the test part."""
    if task.own_past:
        return "one step ahead, from the true values before each row"
    if type(estimator).__name__ == "ARXRegressor":
        return "free run: given the inputs; past targets are its own predictions"
    return "given the inputs, and no target"
