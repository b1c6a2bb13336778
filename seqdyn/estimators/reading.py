"""Containers as estimators take them: read, checked against the fit, and given back with their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from seqdyn.arrays import Array
from seqdyn.data.sequences import Sequences, as_sequences, check_finite_rows, check_numeric_columns, is_flat, rank
from seqdyn.data.time_index import series_lengths


def read_inputs(estimator: Any, X: Any, reset: bool, missing: int = 0, fewest: int = 1) -> Sequences:
    """Inputs as sequences, checked against what the fit has seen; with ``reset`` what they are is remembered.

    ``missing`` leading columns may be NaN; a first fit needs the ``fewest`` features.
    """
    if isinstance(X, Sequences):  # read before
        return X
    fewest = fewest if reset else 0  # later the features are those of the fit
    if is_flat(X):
        return _read_table(estimator, X, reset, missing, fewest)
    sequences = as_sequences(X, "X", missing)
    name, features = type(estimator).__name__, sequences.rows.shape[1]
    if features < fewest:
        raise ValueError(f"Found 0 features in X, while a minimum of 1 is required by {name}.")
    if reset:
        estimator.n_features_in_ = features
        vars(estimator).pop("feature_names_in_", None)
        if sequences.features is not None:
            estimator.feature_names_in_ = sequences.features
        return sequences
    given = sequences.features
    fitted: Any = getattr(estimator, "feature_names_in_", given)
    if given is not None and list(given) != list(fitted):
        raise ValueError(
            f"The feature names of X are {list(given)}, those of the fit were {list(fitted)}, in this order."
        )
    if features != estimator.n_features_in_:
        raise ValueError(
            f"X has {features} features, but {name} is expecting {estimator.n_features_in_} features as input."
        )
    return sequences


def _read_table(estimator: Any, X: Any, reset: bool, missing: int, fewest: int) -> Sequences:
    """One 2-D array or frame, checked in scikit-learn's way."""
    if isinstance(X, pd.Series):
        raise ValueError("X is a Series; make it a frame of one feature with X.to_frame().")
    if rank(X) == 1 and len(X):
        raise ValueError(
            f"X has shape ({len(X)},), expected (time, features). Reshape your data: X.reshape(-1, 1) is one "
            f"feature over {len(X)} steps, X.reshape(1, -1) one step of {len(X)} features."
        )
    if isinstance(X, pd.DataFrame):
        check_numeric_columns(X, "X")
    index = X.index if isinstance(X, pd.DataFrame) else None
    lengths = None if index is None else series_lengths(index, "X")
    if isinstance(X, pd.DataFrame) and X.shape[1] == 0 == fewest:  # without columns no dtype to validate
        X = np.empty(np.shape(X))
    options = {"dtype": "numeric", "ensure_all_finite": False, "ensure_min_features": fewest}
    rows = validate_data(estimator, X, reset=reset, **options)
    if lengths is None:
        sequences = Sequences(rows, np.array([len(rows)]), "array")
    else:
        sequences = Sequences(rows, lengths, "frame", index)
    check_finite_rows(sequences, "X", getattr(estimator, "feature_names_in_", None), missing)
    return sequences


def check_layout(X: Any, features: int, name: str) -> None:
    """Raise if a table of sequences was meant, one a row, where a fit was of one feature and one target a sequence."""
    if features != 1 or not is_flat(X) or rank(X) != 2 or np.shape(X)[1] == 1:
        return
    rows, steps = np.shape(X)
    raise ValueError(
        f"X has shape ({rows}, {steps}): one sequence of {steps} features, but {name} was fitted on sequences of one "
        f"feature. If every row is a sequence of its own, give X[:, :, None], an array."
    )


def in_container(
    values: Array, sequences: Sequences, wanted: str, per_step: bool, flat: bool, names: list[str] | None
) -> Any:
    """Predictions (rows, targets) in the container that came in, or the ``wanted`` one; ``flat`` ones lose an axis."""
    if wanted == "default":
        values = values[..., 0][()] if flat else values
        return sequences.restore(values) if per_step else values
    columns = names or [f"y{i}" for i in range(values.shape[-1])]
    if wanted == "pandas":
        index = sequences.labels() if per_step else sequences.series_labels()
        frame = pd.DataFrame(values, index=index, columns=columns)
        return frame[columns[0]] if flat else frame
    labelled = sequences.to_xarray(values, per_step)
    if flat:
        return labelled.isel(outputs=0).rename(columns[0] if names else None)
    return labelled.assign_coords(outputs=columns)
