"""The columns of a table that a fitted model reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqdyn.cli.tables import add_own_past, check_columns, check_numbers, present_of, with_next_row

if TYPE_CHECKING:
    import pandas as pd


def inputs_of(estimator: Any, frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.Index]:
    """The columns the model was fitted on, in its order, and the rows that predictions are written for."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        numeric = frame.select_dtypes("number")
        if numeric.shape[1] != estimator.n_features_in_:
            raise ValueError(
                f"The model was fitted on {estimator.n_features_in_} features without names, but {path} has "
                f"{numeric.shape[1]} numeric columns: keep those of the fit, in their order."
            )
        names = numeric.columns
    wanted = [str(name) for name in names]
    index = frame.index
    target = next((present_of(name) for name in wanted if name not in frame and present_of(name)), None)
    if target is not None:
        check_columns(frame, [target], path, "the model predicts it from its past")
        check_numbers(frame, [target], path)
        frame = add_own_past(with_next_row(frame) if len(wanted) == 1 else frame, target)
        index = index.union(frame.index)
    check_columns(frame, wanted, path, "the model was fitted on it")
    check_numbers(frame, wanted, path)
    return frame[wanted].astype(float), index
