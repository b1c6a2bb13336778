"""What every estimator shares: containers in and out, scaling, prediction, state, streams and files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self, cast

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from seqdyn.autoregression import Autoregression, Past
from seqdyn.cell import Cell
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences, as_sequences, check_finite, is_flat, series_lengths
from seqdyn.data.targets import Targets, as_targets
from seqdyn.files import save as save_file
from seqdyn.state import State, expand, leaves, map_leaves
from seqdyn.stream import Stream
from seqdyn.training.batches import Rows
from seqdyn.training.forward import run

Array = np.ndarray[Any, Any]


FREE = {
    "warmup", "window", "stride", "bptt_length", "streams", "optimizer", "learning_rate", "schedule", "weight_decay",
    "clip_norm", "clip_quantile", "omega", "initialise", "weight_average", "max_epochs", "max_steps", "max_time",
    "batch_size", "early_stopping", "validation_fraction", "n_iter_no_change", "tol", "warm_start", "device",
    "random_state", "verbose", "class_weight",
}  # fmt: skip
"""Parameters of training alone: they may change after a fit."""


@dataclass(kw_only=True, repr=False, eq=False)
class SequenceEstimator(BaseEstimator):
    """A fitted network between two scalings: y = s_y f((x − m_x) / s_x) + m_y.

    Subclasses owe ``fit``, ``_rebuild`` (an untrained network of the fitted widths), ``_decoder`` (from outputs to
    predictions) and ``_finish`` (from predictions to what users get).
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
    def _fewest_inputs(self) -> int:
        """How many features X must have."""
        return 1

    @property
    def _own_past(self) -> Autoregression | None:
        """How the leading columns of X, the targets' last values, are used; None: X is just inputs."""
        return getattr(self, "autoregression", None)

    def _decoder(self) -> Callable[[Array], Array]:
        """The map from network outputs (…, heads) to predictions (…, targets), in the units of the data."""
        raise NotImplementedError

    def _finish(self, values: Array) -> Any:
        """From decoded values (…, targets) to what users get."""
        raise NotImplementedError

    def _warmup_steps(self, lengths: Array) -> Array:
        """Leading steps of every series that carry no loss and no score."""
        steps = getattr(self, "warmup", None) or 0
        return np.full(len(lengths), steps, dtype=np.int64)

    def _rules(self) -> dict[str, Any]:
        """What parameters of this class must be, beside the common rules."""
        return {}

    def _alike(self, fitted: Any, now: Any) -> bool:
        """Whether two losses read the network's outputs in the same way."""
        return fitted is now

    def _check_unchanged(self) -> None:
        """Raise if a parameter that shapes the network was set to something else after the fit."""
        for name, fitted in self.fitted_params_.items():
            now = getattr(self, name)
            if name == "loss" and self._alike(fitted, now):
                continue
            plain = isinstance(now, int | float | str | tuple | list | None)
            if name not in FREE and now is not fitted and not (plain and type(now) is type(fitted) and now == fitted):
                raise ValueError(
                    f"{name} was {fitted!r} in fit and is {now!r} now: the fitted model cannot follow. Fit again (with "
                    "warm_start=False), or set it back."
                )

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

    # ---------------------------------------------------------------- predicting

    def predict(self, X: Any, *, initial_state: State | None = None, return_state: bool = False) -> Any:
        """Predict a target for every step, or for every sequence.

        Parameters
        ----------
        X : array, list of arrays, DataFrame, or xarray.DataArray
            Sequences in any container ``fit`` takes.
        initial_state : State, optional
            h_{-1} in network units, one row, or one a series; ``est.state_`` continues the training data. The
            estimator's own strategy if None.
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
        sequences = self._read(X)
        output, state = self._run(sequences, initial_state, keep_state=return_state)
        values = self._container(self._finish(self._decoder()(output.cpu().numpy())), sequences)
        return (values, state) if return_state else values

    def stream(self, initial_state: State | None = None) -> Stream:
        """A :class:`~seqdyn.stream.Stream` that meets its data one step at a time, in the units of the data.

        Parameters
        ----------
        initial_state : State, optional
            Where to begin; ``est.state_`` continues the training data. The estimator's own strategy if None.
        """
        check_is_fitted(self)
        self._check_unchanged()
        cell = self._causal("stream")
        one = None if initial_state is None else self._as_state(initial_state, 1)
        return Stream(
            cell,
            one,
            encode=self._encoded,
            decode=self._decoder(),
            lag=self._lag,
            inputs=self.n_features_in_,
            finish=lambda values: self._squeeze(self._finish(values)),
        )

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

    def _run(self, sequences: Sequences, initial_state: State | None, keep_state: bool) -> tuple[Tensor, State | None]:
        """Outputs as one row a prediction, the lag taken out, and the state after the last known step."""
        if initial_state is not None or keep_state:
            self._causal("initial_state=State" if initial_state is not None else "return_state=True")
        state = None if initial_state is None else self._as_state(initial_state, len(sequences.lengths))
        rows = self._rows(sequences)
        late = rows if not self._lag else self._rows(sequences, self._lag)
        output, after = run(self.network_, late, state)
        if self._lag and keep_state:
            _, after = run(self.network_, rows, state)
        if not self._per_step:
            return output[(late.starts + late.lengths - 1).to(output.device)], after
        if self._lag:
            output = output[torch.as_tensor(sequences.places(self._lag) + self._lag).to(output.device)]
        return output, after

    def _rows(self, sequences: Sequences, lag: int = 0) -> Rows:
        """Scaled inputs on the device, every series continued by ``lag`` mean rows."""
        x, starts, lengths = sequences.rows, sequences.starts, sequences.lengths
        if lag:
            longer = np.tile(np.asarray(self.input_mean_, dtype=np.float64), (len(x) + lag * len(lengths), 1))
            longer[sequences.places(lag)] = x
            x, starts, lengths = longer, starts + lag * np.arange(len(lengths)), lengths + lag
        inputs = self._encoded(x)
        nothing = torch.zeros(len(x), 0, dtype=self._precision, device=self._device)
        return Rows(inputs, nothing, None, torch.as_tensor(starts), torch.as_tensor(lengths))

    def _encoded(self, rows: Array) -> Any:
        """Rows (…, features) as the network takes them: scaled, and last values apart, with whether they are known."""
        x = self.input_scaling_.apply(rows)
        if self._own_past is None:
            return self._tensor(x)
        value, rest = np.split(x, [self._own_past.targets], axis=-1)
        known = ~np.isnan(value)
        exogenous = self._tensor(rest) if rest.shape[-1] else None
        return Past(self._tensor(np.where(known, value, 0.0)), self._tensor(known), exogenous)

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

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values)).to(self._device, self._precision)

    # ---------------------------------------------------------------- containers

    def _read(self, X: Any) -> Sequences:
        """Read what is to be predicted; the inputs of a one-to-many fit are held as long as its targets were."""
        check_is_fitted(self)
        self._check_unchanged()
        sequences = self._read_inputs(X, reset=False)
        held = self.held_length_
        return sequences.held(held) if held and (sequences.lengths == 1).all() else sequences

    def _read_inputs(self, X: Any, reset: bool) -> Sequences:
        """Check a container against what the fit has seen, or remember what it is."""
        missing = 0 if self._own_past is None else self._own_past.targets
        if is_flat(X):
            return self._read_table(X, reset, missing)
        sequences = as_sequences(X, "X", missing)
        features = sequences.rows.shape[1]
        if features < self._fewest_inputs:
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

    def _read_table(self, X: Any, reset: bool, missing: int) -> Sequences:
        """One 2-D array or frame, checked in scikit-learn's way."""
        if isinstance(X, pd.Series):
            raise ValueError("X is a Series; make it a frame of one feature with X.to_frame().")
        index = X.index if isinstance(X, pd.DataFrame) else None
        lengths = None if index is None else series_lengths(index, "X")
        if (
            isinstance(X, pd.DataFrame) and X.shape[1] == 0 == self._fewest_inputs
        ):  # a frame without columns has no dtype to validate
            X = np.empty(np.shape(X))
        rows = validate_data(
            self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_features=self._fewest_inputs
        )
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

    # ---------------------------------------------------------------- states

    def _causal(self, what: str) -> Cell:
        """The network as a Cell, or an error for a bidirectional one."""
        if isinstance(self.network_, Cell):
            return self.network_
        raise ValueError(
            f"{what} needs a causal model, whose state depends on the past alone, but bidirectional="
            f"{getattr(self, 'bidirectional', None)!r} also reads the future. Fit with bidirectional=False."
        )

    def _as_state(self, state: State, series: int) -> State:
        """A given state on the device, one row for every series."""
        found = leaves(state)
        if not found:
            raise ValueError("initial_state holds no tensors; give est.state_ or the state predict returned.")
        rows = {len(leaf) if leaf.dim() else 0 for leaf in found}
        if rows == {1} and series > 1:
            state = expand(state, series)
        elif rows != {series}:
            raise ValueError(
                f"initial_state has {sorted(rows)} rows, expected 1 or one for each of the {series} series of X."
            )
        return map_leaves(lambda leaf: leaf.to(self._device), state)

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
        """Parameters and fitted attributes as a tree that files can hold."""
        params = {field.name: getattr(self, field.name) for field in fields(self)}
        if not self.__sklearn_is_fitted__():  # it may be a parameter of something that is
            return {"params": params, "fitted": None, "predict_output": self._predict_output}
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_") and name != "network_"}
        fitted |= {"network": dict(self.network_.state_dict())}
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
        weights = fitted.pop("network")
        if "history_" in fitted:
            fitted["history_"] = pd.DataFrame(fitted["history_"])
            fitted["history_"].attrs["non_finite"] = fitted.pop("history_events", [])
        estimator.__dict__.update(fitted)
        estimator.fitted_params_ = estimator.get_params(deep=False)
        estimator.network_ = estimator._rebuild().to(estimator._device, estimator._precision).eval()
        estimator.network_.load_state_dict(weights)
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
def unchanged_on_error(estimator: SequenceEstimator) -> Iterator[None]:
    """Leave the estimator as it was if the block raises: a fit that fails has fitted nothing, and spoilt nothing."""
    before = dict(vars(estimator))
    try:
        yield
    except Exception:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise
