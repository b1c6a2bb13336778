"""What every estimator of sequences shares: a fitted network between two scalings, used, saved and streamed."""

from __future__ import annotations

from typing import Any, Literal, Self, cast, overload

import pandas as pd
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import nn

from seqdyn.arrays import Array
from seqdyn.cell import Cell, outline
from seqdyn.data.scaling import Scaling
from seqdyn.data.sequences import Sequences
from seqdyn.data.targets import Targets, as_targets, check_no_infinity
from seqdyn.data.tensors import without_torch
from seqdyn.dynamics.driven import Driven, StepErrors
from seqdyn.estimators.fitted_display import fitted_html, fitted_line, fitted_summary, training_facts
from seqdyn.estimators.learning import Scalings, feature_names, predictor_of
from seqdyn.estimators.parameters import check_unchanged
from seqdyn.estimators.reading import check_layout, in_container, read_inputs
from seqdyn.estimators.starts import given_state
from seqdyn.estimators.tasks import ClassTask, NumberTask
from seqdyn.estimators.training import Alignment, Training
from seqdyn.files import save as save_file
from seqdyn.files import storable
from seqdyn.predictor import Predictor
from seqdyn.state import State
from seqdyn.stream import Stream
from seqdyn.typed_bases import BaseEstimator, RegressorMixin


class SequenceEstimator(BaseEstimator):
    """A fitted network between two scalings: y = s_y f((x − m_x) / s_x) + m_y.

    Subclasses owe ``fit`` and ``_untrained``, a network of the fitted widths; :attr:`task` and :attr:`alignment` say
    what the outputs of the network mean, and how they stand beside the inputs.

    Attributes
    ----------
    network_ : nn.Module
    n_features_in_ : int
    feature_names_in_ : array of str
        Where the features came with names.
    n_outputs_ : int
        Targets.
    target_names_ : list of str or None
        What the targets are called.
    flat_targets_ : bool
        Whether targets had no axis of their own.
    held_length_ : int or None
        How long inputs of one step were held, in a one-to-many fit.
    input_mean_ : array, shape (features,)
        What stands for an input that is not known.
    input_scaling_, target_scaling_ : Scaling
        Between the units of the data and those of the network.
    """

    n_features_in_: int
    n_outputs_: int
    feature_names_in_: Array
    target_names_: list[str] | None
    flat_targets_: bool
    held_length_: int | None
    fitted_params_: dict[str, Any]
    network_: nn.Module
    input_mean_: Array
    input_scaling_: Scaling
    target_scaling_: Scaling
    state_: State
    forgetting_time_: float
    history_: pd.DataFrame
    n_iter_: int
    resume_: dict[str, Any]

    # ---------------------------------------------------------------- what subclasses say of themselves

    @property
    def task(self) -> NumberTask | ClassTask:
        """What the outputs of the network mean: numbers, by the ``loss`` of the estimator or least squares."""
        given = vars(self)
        return NumberTask(given.get("loss", "mse"), given.get("quantiles", (0.5,)))

    @property
    def alignment(self) -> Alignment:
        """How outputs stand beside inputs."""
        return Training.of(vars(self)).alignment

    def _untrained(self) -> nn.Module:
        """An untrained network of the fitted widths, on its device."""
        raise NotImplementedError

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
        check_unchanged(self, self.task.alike)
        scalings = Scalings(self.input_mean_, self.input_scaling_, self.target_scaling_)
        return predictor_of(self.network_, scalings, self.alignment, self.task, feature_names(self), self.flat_targets_)

    # ---------------------------------------------------------------- what it shows of itself

    def _shown_facts(self) -> dict[str, object]:
        """What was learnt, shortly."""
        if not self.__sklearn_is_fitted__():
            return {}
        facts = {"features": self.n_features_in_, "outputs": self.n_outputs_, "network": outline(self.network_)}
        return facts | training_facts(self.network_, vars(self).get("history_"))

    __repr__ = fitted_line
    _html_repr = fitted_html  # scikit-learn's hook for notebooks

    def summary(self) -> str:
        """One screen of text: what was learnt, how the training ended, and the network."""
        check_is_fitted(self)
        return fitted_summary(type(self).__name__, self._shown_facts(), str(self.network_))

    @property
    def training_end_(self) -> dict[Any, pd.Index] | None:
        """The last labels of time of every series of the fit, by its label; None without labels, or from a file."""
        return cast("dict[Any, pd.Index] | None", vars(self).get("_training_end"))

    # ---------------------------------------------------------------- predicting

    @overload
    def predict(self, X: Array, *, initial_state: Any = None, return_state: Literal[False] = False) -> Array: ...
    @overload
    def predict(self, X: Any, *, initial_state: Any = None, return_state: bool = False) -> Any: ...
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
        start = given_state(self.predictor_, initial_state, len(sequences.lengths))
        return self.predict_from(start, sequences, return_state)

    def predict_from(self, start: State | None, sequences: Sequences, return_state: bool = False) -> Any:
        """The predictions of a run over sequences that were read, from this start, in the container of X.

        Parameters
        ----------
        start : State or None
            h_{-1}; None: the estimator's own strategy.
        sequences : Sequences
            See :meth:`read`.
        return_state : bool
            Give back the state after the last step, too.
        """
        predictor = self.predictor_
        output, state = predictor.run(sequences, start, keep_state=return_state)
        values = self.labelled(predictor.predicted(output), sequences)
        return (values, state) if return_state else values

    def labelled(self, values: Array, sequences: Sequences) -> Any:
        """Predictions (rows, targets) in the container that came in, or the one asked for."""
        names = getattr(self, "target_names_", None)
        wanted = str(getattr(self, "_sklearn_output_config", {}).get("predict", "default"))
        return in_container(values, sequences, wanted, self.alignment.per_step, self.flat_targets_, names)

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
        errors = StepErrors(predictor.codec.targets.head.loss, name)
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
        check_unchanged(self, self.task.alike)
        if not self.alignment.per_step:
            check_layout(X, self.n_features_in_, type(self).__name__)
        sequences = read_inputs(self, X, False, self.alignment.missing)
        held = self.held_length_
        return sequences.held(held) if held and (sequences.lengths == 1).all() else sequences

    def targets_beside(self, sequences: Sequences, y: Any, per_step: bool = True) -> Targets:
        """Targets beside the inputs of a fit; what is remembered of them has nothing to do with their values."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        targets = as_targets(y, sequences, per_step)
        held = targets.sequences is not sequences
        self.held_length_ = int(targets.sequences.lengths[0]) if held else None
        self._training_end = targets.sequences.ends()
        check_no_infinity(targets.table, targets.sequences, per_step)
        return targets

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
        check_unchanged(self, self.task.alike)
        save_file(path, self)

    def to_content(self) -> dict[str, Any]:
        """Parameters, fitted attributes, and where a training goes on, as a tree that files can hold."""
        params = {name: storable(value) for name, value in self.get_params(deep=False).items() if name != "callback"}
        output = getattr(self, "_sklearn_output_config", {}).get("predict", "default")
        content = {"params": params, "fitted": None, "predict_output": output}
        if not self.__sklearn_is_fitted__():  # it may be a parameter of something that is
            return content
        apart = ("network_", "fitted_params_", "resume_", "history_")
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_") and name not in apart}
        fitted |= {"network": dict(self.network_.state_dict()), "memory": vars(self).get("resume_")}
        if "history_" in vars(self):
            fitted["history_"] = {str(name): column.to_numpy() for name, column in self.history_.items()}
            fitted["history_events"] = self.history_.attrs.get("non_finite", [])
        return content | {"fitted": fitted}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        estimator = cls(**content["params"])
        if content["fitted"] is None:
            return estimator.set_predict_output(content["predict_output"])
        fitted = dict(content["fitted"])
        weights, resume = fitted.pop("network"), fitted.pop("memory", None)
        if "history_" in fitted:
            fitted["history_"] = pd.DataFrame(fitted["history_"])
            fitted["history_"].attrs["non_finite"] = fitted.pop("history_events", [])
        vars(estimator).update(fitted, **({} if resume is None else {"resume_": resume}))
        estimator.fitted_params_ = estimator.get_params(deep=False)
        estimator.network_ = estimator._untrained().eval()
        estimator.network_.load_state_dict(weights)
        return estimator.set_predict_output(content["predict_output"])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = False
        tags.target_tags.multi_output = isinstance(self, RegressorMixin)
        tags.non_deterministic = False
        return tags
