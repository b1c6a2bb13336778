"""`seqdyn predict`: from a model file and a CSV file to predictions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from seqdyn.cli.arguments import Verbosity
from seqdyn.cli.reading import ReadOptions, takes_options
from seqdyn.cli.tables import check_readable, inputs_of, read_table
from seqdyn.progress import Meter

if TYPE_CHECKING:
    import pandas as pd


@takes_options
def predict(
    model: Annotated[Path, Argument(metavar="MODEL", help="A model file, written by `seqdyn fit` or save().")],
    data: Annotated[Path, Argument(metavar="DATA.csv", help="CSV file with the columns the model was fitted on.")],
    time_column: Annotated[
        str | None, Option("--time", help="The column of dates or numbers; it is kept in the predictions.")
    ] = None,
    out: Annotated[Path | None, Option(help="The CSV file to write. Default: standard output.")] = None,
    continue_state: Annotated[
        bool, Option("--continue-state", help="Start from the state after the training data, which these follow.")
    ] = False,
    verbose: Verbosity = 0,
    *,
    options: ReadOptions,
) -> None:
    """Predict the target for every row of a CSV file.

    Columns are found by name; others are ignored. A model of its own past predicts each row from the rows before it,
    and one row more: the next step. With --continue-state the rows must follow the training data directly (for a
    model of its own past: begin with its last row); else the model starts as it did in training.

    \b
    Example:
      seqdyn predict gas.safetensors new.csv --out predictions.csv
    """
    for path in (model, data):
        check_readable(path)
    with Meter("predict", "stage", 3, verbose) as meter:
        meter.describe("read")
        estimator = _load_estimator(model)
        X, index = inputs_of(estimator, read_table(data, time_column, options.dialect, options.clock), data)
        meter.advance(detail="read")
        predictions = _predict(estimator, X, continue_state).reindex(index)
        meter.advance(detail="predicted")
        predictions.to_csv(sys.stdout if out is None else out, index=time_column is not None)
        meter.advance(detail="written")
    if out is not None:
        typer.echo(f"wrote {len(predictions)} rows to {out}")


def _load_estimator(path: Path) -> Any:
    """An estimator that predicts every row, from a file."""
    from seqdyn.files import load

    estimator = load(path)
    if not hasattr(estimator, "predict"):
        raise TypeError(f"{path} holds a bare {type(estimator).__name__} cell, not an estimator that was fitted.")
    if not getattr(estimator, "return_sequences", True):
        raise ValueError(
            f"{path} predicts one value for a whole sequence (return_sequences=False): use it from Python, with "
            "seqdyn.load(path).predict(X)."
        )
    return estimator


def _predict(estimator: Any, X: pd.DataFrame, continue_state: bool) -> pd.DataFrame:
    """Predictions under the names of the targets, with the labels of X."""
    import pandas as pd

    state = None
    if continue_state:
        state = getattr(estimator, "state_", None)
        if state is None:
            raise ValueError("The model keeps no state after its training data (bidirectional=True): it cannot go on.")
    seen = X if hasattr(estimator, "feature_names_in_") else X.to_numpy()
    values = estimator.set_predict_output("default").predict(seen, initial_state=state)
    outputs = 1 if values.ndim == 1 else values.shape[1]
    names = getattr(estimator, "target_names_", None) or [f"y{number}" for number in range(outputs)]
    return pd.DataFrame(values.reshape(len(values), outputs), index=X.index, columns=names)
