"""The parameters of training, and what is wrong with them, all at once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from seqdyn.autoregression import Autoregression
from seqdyn.cell import Cell
from seqdyn.checks import is_int, is_one_of
from seqdyn.initial_state import NAMED, Warmup, Zero, as_initial_state
from seqdyn.training.heads import POINTWISE, check_quantiles
from seqdyn.training.initialisation import INITIALISERS, as_initialiser
from seqdyn.training.optimisation import CLIPPINGS, OPTIMIZERS, SCHEDULE_SHAPES, as_clipping, as_schedule
from seqdyn.training.stopping import copied

Rule = tuple[Callable[[Any], bool], str]


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(float(value))


def at_least(min_count: int) -> Rule:
    """An int not below ``least``."""
    return lambda value: is_int(value) and value >= min_count, f"an int of at least {min_count}"


def positive() -> Rule:
    """A number above 0."""
    return lambda value: _is_real(value) and value > 0, "a number above 0"


def non_negative() -> Rule:
    """A number of at least 0."""
    return lambda value: _is_real(value) and value >= 0, "a number of at least 0"


def share(zero: bool) -> Rule:
    """A number in [0, 1) or (0, 1)."""
    name = "[0, 1)" if zero else "(0, 1)"
    return lambda value: _is_real(value) and (0 <= value < 1 if zero else 0 < value < 1), f"a number in {name}"


def one_of(*choices: Any) -> Rule:
    """One of some names or truth values; numpy's own count as Python's."""
    text = ("one of " if len(choices) > 1 else "") + ", ".join(map(repr, choices))
    return lambda value: is_one_of(value, choices), text


def accepted(read: Callable[[Any], Any], text: str) -> Rule:
    """What a reading function takes without an error."""

    def allowed(value: Any) -> bool:
        try:
            read(value)
        except (ValueError, TypeError, RuntimeError):
            return False
        return True

    return allowed, text


def loss_of(*names: str) -> Rule:
    """One of the names, or a callable."""
    text = "one of " + ", ".join(map(repr, names)) + ", or a callable (output, target) -> loss, elementwise"
    return lambda value: callable(value) or (isinstance(value, str) and value in names), text


def _device(value: Any) -> None:
    device = torch.device("cpu" if isinstance(value, str) and value == "auto" else value)
    if isinstance(value, bool | Real) or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise ValueError(f"no such device: {value!r}")


def optional(rule: Rule) -> Rule:
    """None, or what the rule says."""
    allowed, text = rule
    return lambda value: value is None or allowed(value), f"None or {text}"


def either(*rules: Rule) -> Rule:
    """What one of several rules says."""
    return lambda value: any(allowed(value) for allowed, _ in rules), " or ".join(text for _, text in rules)


def each(rule: Rule) -> Rule:
    """A sequence of what the rule says."""
    allowed, text = rule
    return (
        lambda value: isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1 and all(map(allowed, value)),
        f"a sequence of {text.removeprefix('an ')}, one an input",
    )


def instance_of(cls: Any, text: str) -> Rule:
    """An object of a class."""
    return lambda value: isinstance(value, cls), text


def widths() -> Rule:
    """An int of at least 1, or a tuple of such."""
    good, _ = at_least(1)
    return (
        lambda value: good(value) or (isinstance(value, tuple | list) and len(value) > 0 and all(map(good, value))),
        "an int of at least 1, or a tuple of such, one a layer",
    )


def linear_model() -> Rule:
    """An estimator that finds a linear system."""
    return lambda value: _is_linear_model(value), "a LinearStateSpaceRegressor"


def _is_linear_model(value: Any) -> bool:
    return hasattr(value, "get_params") and hasattr(type(value), "system_")


NUMBER_LOSS: Rule = loss_of(*POINTWISE, "quantile", "gaussian")
"""The losses of numbers."""

COMMON_RULES: dict[str, Rule] = {
    "callback": optional((callable, "a callable of a Progress")),
    "hidden_size": widths(),
    "num_layers": at_least(1),
    "residual": one_of(False, True),
    "bidirectional": one_of(False, True, "first"),
    "dropout": share(zero=True),
    "return_sequences": one_of(False, True),
    "warmup": optional(at_least(0)),
    "output_lag": at_least(0),
    "output_lags": at_least(0),
    "input_lags": at_least(0),
    "gamma": optional(share(zero=False)),
    "window": optional(at_least(1)),
    "stride": at_least(1),
    "bptt_length": optional(at_least(1)),
    "streams": at_least(1),
    "optimizer": one_of(*OPTIMIZERS),
    "learning_rate": positive(),
    "weight_decay": non_negative(),
    "clip_norm": accepted(as_clipping, CLIPPINGS),
    "clip_quantile": optional(share(zero=False)),
    "omega": non_negative(),
    "initialise": accepted(as_initialiser, INITIALISERS),
    "weight_average": share(zero=True),
    "max_epochs": optional(at_least(0)),
    "max_steps": optional(at_least(1)),
    "max_time": optional(positive()),
    "batch_size": at_least(1),
    "early_stopping": one_of(False, True),
    "validation_fraction": share(zero=False),
    "n_iter_no_change": at_least(1),
    "tol": non_negative(),
    "scale": one_of(False, True),
    "warm_start": one_of(False, True),
    "dtype": one_of("float32", "float64"),
    "activation": one_of("tanh", "relu", "sigmoid"),
    "reset_gate": one_of("after", "before"),
    "peepholes": one_of(False, True),
    "weights": one_of("uniform", "learned"),
    "schedule": accepted(
        as_schedule, f"None, one of {', '.join(map(repr, [*SCHEDULE_SHAPES, 'plateau']))}, or a callable"
    ),
    "initial_state": accepted(as_initial_state, f"one of {', '.join(map(repr, NAMED))}, a strategy, or a State"),
    "autoregression": optional(instance_of(Autoregression, "a seqdyn.Autoregression")),
    "skip": one_of(False, True),
    "linear_start": optional(either(non_negative(), linear_model())),
    "quantiles": accepted(check_quantiles, "increasing numbers in (0, 1)"),
    "device": accepted(_device, "'auto' or a device that is here"),
    "random_state": accepted(check_random_state, "None, an int from 0 to 2**32 - 1, or a RandomState"),
    "verbose": either(one_of(False, True), at_least(0)),
    "checkpoint": optional(accepted(os.fspath, "the path of a file")),
    "checkpoint_every": non_negative(),
}


FREE = {
    "warmup", "window", "stride", "bptt_length", "streams", "optimizer", "learning_rate", "schedule", "weight_decay",
    "clip_norm", "clip_quantile", "omega", "initialise", "weight_average", "max_epochs", "max_steps", "max_time",
    "batch_size", "early_stopping", "validation_fraction", "n_iter_no_change", "tol", "warm_start", "device",
    "random_state", "verbose", "callback", "checkpoint", "checkpoint_every", "class_weight", "encoding",
    "word_dropout", "pretraining", "smoothing", "teacher_forcing", "hard_training", "beam_width", "length_penalty",
    "coverage_penalty", "max_length",
}  # fmt: skip
"""Parameters of training or of a search alone: they may change after a fit."""


def check_parameters(estimator: Any, rules: Mapping[str, Rule] = MappingProxyType({})) -> None:
    """Raise one ValueError that lists every bad argument of an estimator, and every pair that does not go together."""
    given = estimator.get_params(deep=False)
    problems = [
        f"{name} must be {text}, got {given[name]!r}."
        for name, (allowed, text) in (COMMON_RULES | dict(rules)).items()
        if name in given and not allowed(given[name])
    ]
    problems = problems or _conflicts(given)
    if problems:
        raise ValueError(f"{type(estimator).__name__}: " + " ".join(problems))


def _conflicts(given: dict[str, Any]) -> list[str]:
    """Arguments that are good alone and not together."""
    found = []
    if given.get("window") and given.get("bptt_length"):
        found.append("window trains every window separately, bptt_length carries the state on: choose one.")
    if given.get("clip_quantile") is not None and isinstance(given["clip_norm"], tuple | list):
        found.append("clip_quantile is the former name of a quantile in clip_norm: leave it out.")
    if given.get("streams", 1) > 1 and not given.get("bptt_length"):
        found.append("streams belong to truncated BPTT: set bptt_length, too.")
    if given.get("window") and not given.get("return_sequences", True):
        found.append("window cuts sequences, but with return_sequences=False a sequence has one target at its end.")
    widths, layers = given.get("hidden_size"), given.get("num_layers", 1)
    if isinstance(widths, tuple | list) and layers not in (1, len(widths)):
        found.append(f"hidden_size names {len(widths)} layers, num_layers={layers}: leave num_layers at 1.")
    if isinstance(given.get("cell"), Cell) and layers != 1:
        found.append("cell is one built layer, num_layers more: give the class, or a Stack of built cells.")
    if given.get("bidirectional") and given.get("bptt_length"):
        found.append("bptt_length carries a causal state on, which bidirectional does not have.")
    if given.get("autoregression") and given.get("bidirectional"):
        found.append("autoregression feeds a causal model's predictions back, which bidirectional does not have.")
    if given.get("autoregression") and given.get("output_lag"):
        found.append("autoregression feeds predictions back, which output_lag delays.")
    found.extend(_conflicts_of_start(given))
    if given.get("omega"):
        found.extend(_conflicts_of_omega(given))
    if "weighting" in given:
        found.extend(_conflicts_of_identification(given))
    if given.get("skip") and given.get("bidirectional"):
        found.append("skip belongs to a causal readout: leave out bidirectional.")
    if given.get("bidirectional") and given.get("output_lag"):
        found.append("output_lag waits for the future, which bidirectional reads anyway.")
    return found


def _conflicts_of_identification(given: dict[str, Any]) -> list[str]:
    """What the closed form of a linear state-space model, or least squares on it, cannot do."""
    open_form = [name for name in ("autoregression", "output_lag") if given[name]]
    open_form += [] if given["return_sequences"] else ["return_sequences=False"]
    open_form += [] if given["loss"] == "mse" else ["loss"]
    trained = [name for name in ("window", "bptt_length", "early_stopping", "weight_decay") if given[name]]
    found = []
    if given["method"] != "gradient":
        found += [
            f"{name} belongs to weights that are trained from a random start: set method='gradient', too."
            for name in ("omega", "initialise")
            if given[name]
        ]
    if given["method"] == "subspace" and open_form + trained:
        text = "method='subspace' trains nothing and needs an output of its own at every step: leave out "
        found.append(text + ", ".join(open_form + trained) + ".")
    return found + _lost_in_training(given)


PLAIN = {
    "method": "subspace+gradient", "loss": "mse", "autoregression": None, "output_lag": 0, "return_sequences": True,
    "window": None, "bptt_length": None, "early_stopping": False, "weight_decay": 0.0,
}  # fmt: skip
"""With these a linear state-space model is identified, and no training loop follows."""


def _lost_in_training(given: dict[str, Any]) -> list[str]:
    """What is asked of an identification and a training loop cannot hold."""
    lost = [
        f"{name}={given[name]!r}"
        for name, plain in (("feedthrough", True), ("input_delay", 0), ("offset", "constant"))
        if not np.all(np.asarray(given[name]) == plain)
    ]
    trained = [name for name, plain in PLAIN.items() if given[name] != plain and name != "method"]
    trained += ["method"] if given["method"] == "gradient" else []
    start = given["initial_state"]
    estimated = isinstance(start, str) and start == "estimate"
    trained += [] if estimated or isinstance(as_initial_state(start), Zero | Warmup) else ["initial_state"]
    if not lost or not trained:
        return []
    plain = [f"{name}={(PLAIN | {'initial_state': 'estimate'})[name]!r}" for name in trained]
    return [
        f"The training loop, which {', '.join(trained)} asks for, cannot hold {', '.join(lost)}: only "
        f"method='subspace' and least squares on whole records can. Set {', '.join(plain)}, or leave out "
        f"{', '.join(lost)}."
    ]


def _conflicts_of_omega(given: dict[str, Any]) -> list[str]:
    """Where a gradient on its way back cannot be kept long, or not be followed."""
    reasons = {
        "bidirectional": "a state that reads the future has no way back in time alone",
        "bptt_length": "the state a chunk starts from is not known to it",
        "autoregression": "its delay line is state, too, which no weight can keep or lose",
    }
    return [f"omega follows the gradient along whole sequences: leave out {name}, since {reason}."
            for name, reason in reasons.items() if given.get(name)]  # fmt: skip


def _conflicts_of_start(given: dict[str, Any]) -> list[str]:
    """What a linear start does not go together with."""
    start = given.get("linear_start")
    if start is None:
        return []
    if "quantiles" not in given:
        return ["linear_start solves for a level: it belongs in a regressor."]
    if not _is_linear_model(start):
        causal = "linear_start as a number solves for a causal readout of the inputs: leave out bidirectional."
        return [causal] if given.get("bidirectional") else []
    clash = [name for name in ("bidirectional", "autoregression") if given.get(name)]
    clash += [] if given.get("return_sequences", True) else ["return_sequences=False"]
    text = "a linear model starts a causal recurrence with inputs of its own and a target at every step: leave out "
    return [text + ", ".join(clash) + "."] if clash else []


def check_unchanged(estimator: Any, alike: Callable[[Any, Any], bool] = lambda fitted, now: fitted is now) -> None:
    """Raise if a parameter that shapes the network was set to something else since the fit.

    ``alike(fitted, now)`` says whether two values of ``loss`` say the same of the outputs.
    """
    for name, fitted in estimator.fitted_params_.items():
        now = getattr(estimator, name)
        if (name == "loss" and alike(fitted, now)) or _same_past(fitted, now):
            continue
        plain = isinstance(now, int | float | str | tuple | list | None)
        if name not in FREE and now is not fitted and not (plain and type(now) is type(fitted) and now == fitted):
            raise ValueError(
                f"{name} was {fitted!r} in fit and is {now!r} now: the fitted model cannot follow. Fit again"
                f"{' (with warm_start=False)' if hasattr(estimator, 'warm_start') else ''}, or set it back."
            )


def _same_past(fitted: Any, now: Any) -> bool:
    """Whether two autoregressions shape the same network: what a training is shown of the past may change."""
    both = [replace(own, teacher_forcing=1.0, free_run=0) for own in (fitted, now) if isinstance(own, Autoregression)]
    return len(both) == 2 and both[0] == both[1]


@contextmanager
def unchanged_on_error(estimator: Any, but: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Leave the estimator as it was if the block raises: a fit that fails has fitted nothing, and spoilt nothing.

    After the exceptions in ``but`` it stays as the block left it.
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
