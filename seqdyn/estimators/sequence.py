"""What every estimator shares: containers in and out, scaling, prediction, state, streams and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from seqdyn.autoregression import Autoregression
from seqdyn.cell import Cell
from seqdyn.codecs import Codec, NumberInputs
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences, as_sequences, check_columns, check_finite, is_flat, rank
from seqdyn.data.targets import Targets, as_targets
from seqdyn.data.tensors import without_torch
from seqdyn.data.time_index import series_lengths
from seqdyn.dynamics.driven import Driven, Errors
from seqdyn.estimators.parameters import check_unchanged
from seqdyn.estimators.starts import given_state
from seqdyn.files import save as save_file
from seqdyn.files import storable
from seqdyn.predictor import Predictor
from seqdyn.state import State
from seqdyn.stream import Stream
from seqdyn.training.heads import Head
from seqdyn.training.stopping import copied

Array = np.ndarray[Any, Any]


@dataclass(kw_only=True, repr=False, eq=False)
class SequenceEstimator(BaseEstimator):
    """A fitted network between two scalings: y = s_y f((x − m_x) / s_x) + m_y.

    Subclasses owe ``fit``, ``_rebuild`` (an untrained network of the fitted widths), ``_head`` (what its outputs mean)
    and ``_target_codec`` (how they become predictions).
    """

    # ---------------------------------------------------------------- what subclasses say of themselves

    @property
    def _per_step(self) -> bool:
        return bool(getattr(self, "return_sequences", True))

    @property
    def _lag(self) -> int:
        return int(getattr(self, "output_lag", 0))

    @property
    def _precision(self) -> torch.dtype:
        return torch.float64

    @property
    def _device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def _own_past(self) -> Autoregression | None:
        """How the leading columns of X, the targets' last values, are used; None: X is just inputs."""
        return getattr(self, "autoregression", None)

    def _head(self) -> Head:
        """What the outputs of the network mean."""
        raise NotImplementedError

    def _target_codec(self) -> Any:
        """From outputs to predictions, see :mod:`seqdyn.codecs`."""
        raise NotImplementedError

    @property
    def _warmup(self) -> int | None:
        """Leading steps of every series that carry no loss and no score; None: a tenth of it."""
        return getattr(self, "warmup", None) or 0

    @property
    def _window(self) -> int | None:
        """The longest sequence of which such a tenth is taken."""
        return None

    def _rules(self) -> dict[str, Any]:
        """What parameters of this class must be, beside the common rules."""
        return {}

    def _alike(self, fitted: Any, now: Any) -> bool:
        """Whether two losses say the same of the network's outputs."""
        return fitted is now

    def _check_unchanged(self) -> None:
        """Raise if a parameter that shapes the network was set to something else after the fit."""
        check_unchanged(self, self._alike)

    # ---------------------------------------------------------------- fitted attributes

    def __sklearn_is_fitted__(self) -> bool:
        return "network_" in vars(self)

    @property
    def cell_(self) -> Cell:
        """The fitted network, a Cell: y_t, h_t = f(x_t, h_{t-1}), in network units."""
        if not isinstance(vars(self).get("network_"), Cell):
            raise AttributeError(
                f"{type(self).__name__} has no cell_: it is not fitted, or bidirectional (then network_ is an encoder)."
            )
        return cast(Cell, self.network_)

    @property
    def predictor_(self) -> Predictor:
        """The fitted network with all that is needed to use it: its start, its scalings, its lag and warm-up."""
        check_is_fitted(self)
        self._check_unchanged()
        names = vars(self).get("feature_names_in_")
        named = None if names is None else tuple(map(str, names))
        codec = Codec(NumberInputs(self.input_scaling_, self.input_mean_, self._own_past, named), self._target_codec())
        ways = (self._lag, self._per_step, self._warmup, self._window, self.flat_targets_)
        return Predictor(self.network_, codec, *ways)

    @property
    def training_end_(self) -> dict[Any, pd.Index] | None:
        """The last labels of time of every series of the fit, by its label; None without labels, or from a file."""
        return cast("dict[Any, pd.Index] | None", vars(self).get("_training_end"))

    # ---------------------------------------------------------------- predicting

    def predict(self, X: Any, *, initial_state: Any = None, return_state: bool = False) -> Any:
        """Predict a target for every step, or for every sequence.

        Parameters
        ----------
        X : array, list of arrays, DataFrame, or xarray.DataArray
            Sequences in any container ``fit`` takes.
        initial_state : State, array-like, "zero" or None
            h_{-1} in network units, one row, or one a series; ``est.state_`` continues the training data. Plain numbers
            (width,) or (series, width) are the leaves of the State, one after the other. ``"zero"``: zeros. None: the
            estimator's own strategy.
        return_state : bool
            Give back the state after the last step, too.

        Returns
        -------
        y : array
            Shaped as the targets of ``fit``, in their units.
        state : State
            With ``return_state=True`` only.

        Raises
        ------
        ValueError
            If X has other features than in ``fit``, holds NaN or inf, or the state does not fit.
        """
        sequences = self.read(X)
        return self._predicted(sequences, self._given(initial_state, sequences), return_state)

    def _given(self, start: Any, sequences: Sequences) -> State | None:
        """A start that users gave, as a State."""
        return given_state(self.predictor_, start, len(sequences.lengths))

    def _predicted(self, sequences: Sequences, start: State | None, return_state: bool) -> Any:
        """The predictions of a run from this start, in the container of X."""
        predictor = self.predictor_
        output, state = predictor.run(sequences, start, keep_state=return_state)
        values = self._container(predictor.predicted(output), sequences)
        return (values, state) if return_state else values

    def stream(self, initial_state: Any = None) -> Stream:
        """A :class:`~seqdyn.stream.Stream` that meets its data one step at a time, in the units of the data.

        Parameters
        ----------
        initial_state : State, array-like, "zero" or None
            Where to begin, as in :meth:`predict`; ``est.state_`` continues the training data. The estimator's own
            strategy if None.
        """
        predictor = self.predictor_
        return predictor.stream(given_state(predictor, initial_state, 1))

    def driven_by(self, X: Any, y: Any = None) -> Driven:
        """The network as these data drive it, scaled, and the loss it was trained with: what reports measure.

        Parameters
        ----------
        X, y
            As ``fit`` takes them; the errors are those of the outputs alone if y is None.

        Returns
        -------
        Driven

        Raises
        ------
        ValueError
            If the data do not fit, or the network has no causal state.
        """
        X, y = without_torch(X, "X"), without_torch(y, "y")
        predictor = self.predictor_
        cell = predictor.causal("stability_report")
        if X is None:
            raise ValueError(f"{type(self).__name__} is driven by inputs: give X, as its predict takes it.")
        sequences, at_end = self.read(X), not predictor.per_step
        if y is None:
            return Driven(cell, predictor.rows(sequences), at_end=at_end, estimator=self)
        targets = as_targets(y, sequences, predictor.per_step)
        rows = predictor.rows(targets.sequences, targets.table)
        own = getattr(self, "loss", None)
        name = own if isinstance(own, str) else "the loss of the fit" if own is not None else "squared error"
        errors = Errors(predictor.codec.targets.head.loss, name)
        return Driven(cell, rows, errors, at_end, estimator=self)

    def set_predict_output(self, container: str = "default") -> Self:
        """Choose what ``predict`` returns.

        Parameters
        ----------
        container : {"default", "pandas", "xarray"}
            ``"default"``: arrays. ``"pandas"``: a Series or DataFrame with the index of X; for 3-D or ragged X
            indexed by (series, time). ``"xarray"``: a DataArray with dims (time, outputs) or (series, time, outputs);
            for an xarray with its own dims and coordinates. NaN where a series has no step.

        Returns
        -------
        self
        """
        if container not in ("default", "pandas", "xarray"):
            raise ValueError(f"container must be 'default', 'pandas' or 'xarray', got {container!r}.")
        self._sklearn_output_config = {"predict": container}  # under this name scikit-learn's clone keeps it
        return self

    def _share_scaling(self) -> None:
        """Give targets the scaling of their last values: what is predicted is fed back."""
        own = self._own_past
        if own is not None:
            first, steps = slice(own.targets), np.repeat(np.arange(own.targets), own.horizon)
            own_past = Scaling(self.input_scaling_.mean[first], self.input_scaling_.scale[first])
            self.target_scaling_ = Scaling(own_past.mean[steps], own_past.scale[steps])

    def _check_own_past(self, outputs: int) -> None:
        """Raise if X and y do not have the columns that ``autoregression`` speaks of."""
        own = self._own_past
        if own is None:
            return
        if self.n_features_in_ < own.targets or outputs != own.targets * own.horizon:
            raise ValueError(
                f"autoregression with targets={own.targets} and horizon={own.horizon} needs the last values in the "
                f"{own.targets} leading columns of X and {own.targets * own.horizon} columns of y, but X has "
                f"{self.n_features_in_} and y {outputs}."
            )

    # ---------------------------------------------------------------- containers

    def read(self, X: Any) -> Sequences:
        """What is to be predicted as sequences, checked against the fit: for :attr:`predictor_`.

        The inputs of a one-to-many fit are held as long as its targets were.

        Parameters
        ----------
        X : array, list of arrays, DataFrame, or xarray.DataArray
            In any container ``fit`` takes.

        Returns
        -------
        Sequences

        Raises
        ------
        ValueError
            If X has other features than in ``fit``, or holds NaN or inf.
        """
        check_is_fitted(self)
        self._check_unchanged()
        self._check_layout(X)
        sequences = self._read_inputs(X, reset=False)
        held = self.held_length_
        return sequences.held(held) if held and (sequences.lengths == 1).all() else sequences

    def _check_layout(self, X: Any) -> None:
        """Raise if a table of sequences was meant, one a row, where a fit was of one feature."""
        if self._per_step or self.n_features_in_ != 1 or not is_flat(X) or rank(X) != 2 or np.shape(X)[1] == 1:
            return
        rows, steps = np.shape(X)
        raise ValueError(
            f"X has shape ({rows}, {steps}): one sequence of {steps} features, but {type(self).__name__} was fitted on "
            f"sequences of one feature. If every row is a sequence of its own, give X[:, :, None], an array."
        )

    def _read_inputs(self, X: Any, reset: bool, fewest: int = 1) -> Sequences:
        """Check a container against what the fit has seen, or remember what it is, with so many features at least."""
        if isinstance(X, Sequences):  # read before
            return X
        fewest = fewest if reset else 0  # later the features are those of the fit
        missing = 0 if self._own_past is None else self._own_past.targets
        if is_flat(X):
            return self._read_table(X, reset, missing, fewest)
        sequences = as_sequences(X, "X", missing)
        features = sequences.rows.shape[1]
        if features < fewest:
            raise ValueError(f"Found 0 features in X, while a minimum of 1 is required by {type(self).__name__}.")
        if reset:
            self.n_features_in_ = features
            self.__dict__.pop("feature_names_in_", None)
            if sequences.features is not None:
                self.feature_names_in_ = sequences.features
        elif sequences.features is not None and list(sequences.features) != list(
            getattr(self, "feature_names_in_", sequences.features)
        ):
            raise ValueError(
                f"The feature names of X are {list(sequences.features)}, those of the fit were "
                f"{list(self.feature_names_in_)}, in this order."
            )
        elif features != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input."
            )
        return sequences

    def _read_table(self, X: Any, reset: bool, missing: int, fewest: int) -> Sequences:
        """One 2-D array or frame, checked in scikit-learn's way."""
        if isinstance(X, pd.Series):
            raise ValueError("X is a Series; make it a frame of one feature with X.to_frame().")
        if rank(X) == 1 and len(X):
            raise ValueError(
                f"X has shape ({len(X)},), expected (time, features). Reshape your data: X.reshape(-1, 1) is one "
                f"feature over {len(X)} steps, X.reshape(1, -1) one step of {len(X)} features."
            )
        if isinstance(X, pd.DataFrame):
            check_columns(X, "X")
        index = X.index if isinstance(X, pd.DataFrame) else None
        lengths = None if index is None else series_lengths(index, "X")
        if isinstance(X, pd.DataFrame) and X.shape[1] == 0 == fewest:  # without columns no dtype to validate
            X = np.empty(np.shape(X))
        rows = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_features=fewest)
        if lengths is None:
            sequences = Sequences(rows, np.array([len(rows)]), "array")
        else:
            sequences = Sequences(rows, lengths, "frame", index)
        check_finite(sequences, "X", getattr(self, "feature_names_in_", None), missing)
        return sequences

    def _read_targets(self, y: Any, sequences: Sequences) -> Targets:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        targets = as_targets(y, sequences, self._per_step)
        held = targets.sequences is not sequences
        self.held_length_ = int(targets.sequences.lengths[0]) if held else None
        self._training_end = targets.sequences.ends()
        return targets

    @property
    def _predict_output(self) -> str:
        return str(getattr(self, "_sklearn_output_config", {}).get("predict", "default"))

    def _squeeze(self, values: Array) -> Any:
        return values[..., 0][()] if self.flat_targets_ else values

    def _container(self, values: Array, sequences: Sequences) -> Any:
        """Predictions (rows, targets) in the container that came in, or the one asked for."""
        wanted = self._predict_output
        if wanted != "default":
            return self._labelled(values, sequences, wanted)
        values = self._squeeze(values)
        return sequences.restore(values) if self._per_step else values

    def _labelled(self, values: Array, sequences: Sequences, wanted: str) -> Any:
        """Predictions with their labels, as pandas or xarray."""
        names = getattr(self, "target_names_", None) or [f"y{i}" for i in range(values.shape[-1])]
        if wanted == "pandas":
            index = sequences.labels() if self._per_step else sequences.series_labels()
            frame = pd.DataFrame(values, index=index, columns=names)
            return frame[names[0]] if self.flat_targets_ else frame
        labelled = sequences.to_xarray(values, self._per_step)
        if self.flat_targets_:
            return labelled.isel(outputs=0).rename(names[0] if self.target_names_ else None)
        return labelled.assign_coords(outputs=names)

    # ---------------------------------------------------------------- files

    def save(self, path: Any) -> None:
        """Write the fitted estimator to one ``.safetensors`` file; ``seqdyn.load(path)`` reads it back.

        Parameters
        ----------
        path : str or path
            Replaced atomically.

        Raises
        ------
        TypeError
            If something cannot be stored, such as a callable loss; the message says what and the way out.
        """
        check_is_fitted(self)
        self._check_unchanged()
        save_file(path, self)

    def to_content(self) -> dict[str, Any]:
        """Parameters, fitted attributes, and where a training goes on, as a tree that files can hold."""
        params = {field.name: storable(getattr(self, field.name)) for field in fields(self)}
        if not self.__sklearn_is_fitted__():  # it may be a parameter of something that is
            return {"params": params, "fitted": None, "predict_output": self._predict_output}
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_") and name != "network_"}
        fitted |= {"network": dict(self.network_.state_dict())}
        fitted["memory"] = vars(self).get("_memory")
        del fitted["fitted_params_"]
        if "history_" in fitted:
            fitted["history_"] = {str(name): column.to_numpy() for name, column in self.history_.items()}
            fitted["history_events"] = self.history_.attrs.get("non_finite", [])
        return {"params": params, "fitted": fitted, "predict_output": self._predict_output}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        estimator = cls(**content["params"])
        if content["fitted"] is None:
            return estimator.set_predict_output(content["predict_output"])
        fitted = dict(content["fitted"])
        weights, memory = fitted.pop("network"), fitted.pop("memory", None)
        if "history_" in fitted:
            fitted["history_"] = pd.DataFrame(fitted["history_"])
            fitted["history_"].attrs["non_finite"] = fitted.pop("history_events", [])
        estimator.__dict__.update(fitted)
        estimator.fitted_params_ = estimator.get_params(deep=False)
        estimator.network_ = estimator._rebuild().to(estimator._device, estimator._precision).eval()
        estimator.network_.load_state_dict(weights)
        if memory is not None:
            estimator._memory = memory
        return estimator.set_predict_output(content["predict_output"])

    def _rebuild(self) -> nn.Module:
        """An untrained network of the fitted widths."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = False
        tags.non_deterministic = False
        return tags


@contextmanager
def unchanged_on_error(
    estimator: BaseEstimator, but: type[Exception] | tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Leave the estimator as it was if the block raises: a fit that fails has fitted nothing, and spoilt nothing.

    Parameters
    ----------
    estimator : estimator
        Its attributes and weights are put back.
    but : exception classes
        After these it stays as the block left it.
    """
    before, network = dict(vars(estimator)), vars(estimator).get("network_")
    weights = None if network is None else copied(network)
    try:
        yield
    except but:
        raise
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        if network is not None:
            network.load_state_dict(weights)
        raise
