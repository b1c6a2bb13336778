"""The probe that a stability report measures: a cell, the inputs that drive it, and the errors to follow back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from torch import Tensor, nn

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.linear import Linear
from seqdyn.cells.lstm import LSTM
from seqdyn.cells.moving_average import MovingAverage
from seqdyn.checks import check_count
from seqdyn.dynamics.driven import Driven, ElementwiseLoss, StepErrors, by_step, check_errors, weighted
from seqdyn.dynamics.excerpts import Excerpts, excerpts
from seqdyn.dynamics.gates import forget_bias_for
from seqdyn.dynamics.trajectory import double, float64_copy
from seqdyn.estimators.parameters import check_parameters
from seqdyn.facts import fact_line
from seqdyn.loops import scan
from seqdyn.reports.input_sizes import Sizes, input_sizes, scaling_code
from seqdyn.reports.reading import driven_model, model_name
from seqdyn.state import State, leaves, named_leaves, steps
from seqdyn.training.optimisation import as_clipping

MAX_SEQUENCES, MAX_STEPS = 8, 2000
"""How many sequences, and how many steps of each, are measured by default."""

USUAL_RATE = 1e-2
"""The learning rate to advise if the present one is above 1."""

LOSS_TRIAL_STEPS = 64
"""On how many steps of outputs a loss is tried."""


@dataclass(frozen=True)
class Probe:
    """A cell on a trajectory, with its errors.

    model               the user's name of the model
    x, state            inputs, leaves (sequences, steps, *inputs), and h_{-1} of every sequence
    loss, errors        from outputs (sequences, steps, outputs) to errors (sequences, steps, …); what these are
    at_end              whether only the last step of a sequence has an error
    kind                "driven" by inputs, or "autonomous"
    required_lag        K, how far back a gradient has to reach, in steps
    required_lag_from   the source of K, such as a parameter
    guessed             whether K is a guess from the length of the data
    estimator           the fitted estimator that the cell belongs to
    unused              how many rows of the data are not measured
    layout              how X was read, if that is not obvious
    scaling             how to centre and scale the user's X, as code if one line is enough
    """

    model: str
    cell: Cell
    x: Any
    state: State
    loss: Callable[[Tensor], Tensor]
    errors: str
    at_end: bool
    kind: str
    required_lag: int
    required_lag_from: str
    guessed: bool = False
    estimator: Any = None
    unused: int = 0
    layout: str = ""
    scaling: str = ""

    def __repr__(self) -> str:
        facts = {"model": self.model, "sequences": self.sequences, "steps": self.steps, "errors": self.errors}
        return fact_line("Probe", facts | {"required_lag": self.required_lag})

    @property
    def sizes(self) -> Sizes | None:
        """The mean and scale of the inputs of the recurrence; None if they do not matter."""
        return input_sizes(self.cell, self.x) if self.kind == "driven" else None

    @property
    def bptt_length(self) -> int | None:
        """The length of truncated backpropagation; None if it is not truncated."""
        return getattr(self.estimator, "bptt_length", None)

    @property
    def history(self) -> pd.DataFrame | None:
        """The training history of the estimator."""
        return getattr(self.estimator, "history_", None)

    def accepts(self, **change: Any) -> bool:
        """Whether the estimator takes these parameters; True if there is no estimator."""
        if self.estimator is None:
            return True
        if not set(change) <= set(self.estimator.get_params(deep=False)):
            return False
        try:
            check_parameters(clone(self.estimator).set_params(**change))
        except ValueError:
            return False
        return True

    @property
    def given(self) -> str:
        """The kind of model that was given, for which code is written: "estimator", "cell" or "torch module"."""
        if self.estimator is not None:
            return "estimator"
        return "torch module" if any(own != name for own, name in self.names().items()) else "cell"

    def setting(self, name: str, value: Any) -> str | None:
        """A parameter of the estimator, as code; None if it does not take it, or has this value already."""
        own = getattr(self.estimator, name, None)
        if isinstance(own, str | float | int | tuple) and own == value:
            return None
        taken = self.given == "estimator" and self.accepts(**{name: value})
        return f"`{name}={value!r}`" if taken else None

    def start(self, name: str, number: float | None = None) -> str | None:
        """An initialisation, as code: a parameter of the estimator, or a function that changes a module."""
        function = f"seqdyn.training.initialisation.{name}"
        ends = ")" if number is None else f", {number})"
        if self.given == "torch module":
            gates = self.parts(LSTM, GRU) if name in ("forget_bias", "chrono") else []
            bare = any("bias" not in part.torch_names for part in gates)
            return f"`{function}({self.part}{ends}`{', once it is built with `bias=True`' if bare else ''}"
        if self.given == "cell":
            return f"`{function}(cell{ends}`"
        parameter = self.setting("initialise", name if number is None else (name, number))
        if parameter or not self.accepts(cell=LSTM) or "initialise" in self.estimator.get_params():
            return parameter
        kind = next(type(part).__name__ for part in self.parts(LSTM, GRU, Elman, Linear))
        made = f"made = seqdyn.{kind}(inputs, hidden); {function}(made{ends}; return made"
        return f"`cell=cell` after `def cell(inputs, hidden): {made}`"

    @property
    def part(self) -> str:
        """The variable name for the measured recurrent module of torch's."""
        kinds = {LSTM: "lstm", GRU: "gru", Elman: "rnn"}
        return next((kinds[type(part)] for part in self.parts(*kinds)), "model")

    @property
    def named(self) -> str:
        """An explanation of that name; empty if the code does not use it."""
        return f" Here `{self.part}` is the module that was measured." if self.given == "torch module" else ""

    def started(self, name: str) -> bool:
        """Whether the estimator used this initialisation already, with a gain of 1."""
        own = getattr(self.estimator, "initialise", None) or "orthogonal"
        return self.given == "estimator" and own in (name, (name, 1.0))

    @property
    def isometry(self) -> str:
        """The initialisation that keeps norms in a plain recurrence: with a relu only the identity does."""
        return "identity" if any(part.activation == "relu" for part in self.parts(Elman)) else "orthogonal"

    @property
    def holding_bias(self) -> float:
        """The bias with which a gate holds over the required lag."""
        return round(float(forget_bias_for(float(self.required_lag))), 2)

    @property
    def gated(self) -> str:
        """A gated cell to use instead of a plain one, as code."""
        kind = type(self.estimator).__name__
        if self.given == "estimator" and kind.startswith("Elman"):
            start = f"initialise=('forget_bias', {self.holding_bias})"
            return f"`LSTM{kind.removeprefix('Elman')}({start})` with the same settings otherwise"
        own = getattr(self.estimator, "cell", None)
        if isinstance(own, Cell):
            return f"`cell=seqdyn.LSTM({own.input_size}, {own.hidden_size})`"
        if isinstance(own, type) and self.accepts(cell=LSTM):
            return "`cell=seqdyn.LSTM`"
        own_kind = "`torch.nn.LSTM`" if self.given == "torch module" else "`seqdyn.LSTM`"
        return self.setting("cell", "lstm") or own_kind

    @property
    def clip_limits(self) -> tuple[float | None, float | None]:
        """The longest gradient of a training, and the quantile of the norms so far that it may have; None: no limit."""
        norm, quantile = as_clipping(getattr(self.estimator, "clip_norm", None))
        return norm, quantile or getattr(self.estimator, "clip_quantile", None)

    def clipping(self, norm: float) -> str | None:
        """A limit of the gradient norm, as code: a parameter of the estimator, or torch's function."""
        if self.given == "estimator":
            own, _ = self.clip_limits
            return None if own is not None and own <= norm else self.setting("clip_norm", norm)
        call = f"`torch.nn.utils.clip_grad_norm_(model.parameters(), {norm})`"
        return f"{call} between `loss.backward()` and `optimizer.step()`"

    @property
    def smaller_steps(self) -> str:
        """A smaller learning rate: a tenth, or the usual one if that is still too large; as code if it is known."""
        rate = getattr(self.estimator, "learning_rate", None)
        return f"`learning_rate={rate / 10 if rate <= 1 else USUAL_RATE:g}`" if rate else "a tenth of the learning rate"

    @property
    def usual_norm(self) -> float | None:
        """The median gradient norm over the epochs of the training, before clipping."""
        if self.history is None or "gradient_norm" not in self.history:
            return None
        norms = self.history["gradient_norm"].to_numpy(dtype=float)
        norms = norms[np.isfinite(norms) & (norms > 0)]
        return float(np.median(norms)) if len(norms) else None

    def parts(self, *kinds: type) -> list[Any]:
        """The cells of these kinds inside the cell."""
        return [part for part in self.cell.modules() if isinstance(part, kinds)]

    @property
    def sequences(self) -> int:
        """How many sequences are measured."""
        return len(leaves(self.x)[0])

    @property
    def steps(self) -> int:
        """How many steps each sequence has."""
        return int(leaves(self.x)[0].shape[1])

    def described(self) -> dict[str, Any]:
        """A description in plain words and numbers."""
        return {
            "model": self.model,
            "cell": " ".join(str(self.cell).split()),
            "kind": self.kind,
            "state": ", ".join(f"h[{name}]" if name.isdigit() else name or "h" for name, _ in named_leaves(self.state)),
            "width": sum(leaf[0].numel() for leaf in leaves(self.state)),
            "parameters": sum(parameter.numel() for parameter in self.cell.parameters()),
            "sequences": self.sequences,
            "steps": self.steps,
            "layout": self.layout,
            "measured_in": "a float64 copy",
            "errors": self.errors,
            "required_lag": self.required_lag,
            "required_lag_from": self.required_lag_from,
        }

    def names(self) -> dict[str, str]:
        """The user's name of every parameter of the cell, by its name in the cell."""
        found = {name: name for name, _ in self.cell.named_parameters()}
        for place, part in self.cell.named_modules():
            for own, name in getattr(part, "torch_names", {}).items():
                found[f"{place}.{own}" if place else own] = name
        return found

    def name_of(self, parameter: str) -> str:
        """The user's name of a parameter of the cell."""
        return self.names().get(parameter, parameter)


def probe_of(
    model: Any,
    X: Any = None,
    y: Any = None,
    required_lag: int | None = None,
    loss: ElementwiseLoss | None = None,
    initial_state: State | None = None,
    max_sequences: int = MAX_SEQUENCES,
    max_steps: int | None = MAX_STEPS,
    steps: int = MAX_STEPS,
) -> Probe:
    """Make the probe of a model and its data; parameters and errors are those of :func:`seqdyn.stability_report`."""
    check_count("required_lag", required_lag, 2, (None,), "gradients are measured against those at lag 1")
    check_count("max_sequences", max_sequences)
    check_count("max_steps", max_steps, 2, (None,))
    if loss is not None and not callable(loss):
        raise TypeError(f"loss must be a callable (output, target) -> errors, got {type(loss).__name__}.")
    driven = driven_model(model, X, y, loss, initial_state, steps)
    lag, said, guessed = _required(driven, required_lag)
    cut = excerpts(driven, lag, count=max_sequences, longest=max_steps)
    errors = _tried_errors(driven.cell, cut, _followed_errors(driven, loss))
    return Probe(
        model_name(model),
        driven.cell,
        cut.x,
        cut.state,
        weighted(errors, cut.target, cut.weight),
        errors.name,
        driven.at_end,
        "autonomous" if driven.alone else "driven",
        lag,
        said,
        guessed,
        driven.estimator,
        cut.unused,
        driven.layout,
        scaling_code(X),
    )


def _followed_errors(driven: Driven, loss: ElementwiseLoss | None) -> StepErrors:
    """The errors to follow back: those of the given loss, else the model's own."""
    if loss is None:
        untargeted = StepErrors(lambda output, _: 0.5 * output**2, "½‖y‖² of the outputs, for want of targets")
        return driven.errors or untargeted
    own = copy.deepcopy(loss).double().cpu() if isinstance(loss, nn.Module) else loss  # its weights of classes, too
    return StepErrors(own if driven.errors is not None else lambda output, _: own(output), "the given loss")


def _tried_errors(cell: Cell, cut: Excerpts, errors: StepErrors) -> StepErrors:
    """The errors, adapted to class numbers if they need that; raises if they are not errors of single steps."""
    count = int(leaves(cut.x)[0].shape[1])
    with torch.no_grad():
        output = scan(float64_copy(cell), double(steps(cut.x, 0, min(LOSS_TRIAL_STEPS, count))), cut.state).output
    if isinstance(output, Tensor):
        output = output[:, torch.arange(count) % LOSS_TRIAL_STEPS]
        errors = by_step(errors, output, cut.target)
        check_errors(errors, output, cut.target, cut.weight)
    return errors


def _required(driven: Driven, required_lag: int | None) -> tuple[int, str, bool]:
    """K, its source, and whether it is a guess.

    It is never the length of truncated backpropagation, which is judged by it. If only the end of a sequence has an
    error, that must reach the beginning, so that the length is not a guess.
    """
    if required_lag is not None:
        return int(required_lag), "required_lag", False
    window = getattr(driven.cell if driven.estimator is None else driven.estimator, "window", None)
    if window:
        averaged = any(isinstance(part, MovingAverage) for part in driven.cell.modules())  # it holds one step fewer
        return max(2, int(window) - averaged), "window", False
    lengths = driven.rows.lengths
    if len(lengths) >= 3:
        return max(2, int(lengths.float().median()) - 1), "the length of the sequences", not driven.at_end
    return max(2, int(lengths.max()) // 10), "a tenth of the sequence", True
