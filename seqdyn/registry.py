"""What files may name: a static list of the library's classes, and what users register of their own.

A file holds names, never code, and a name that is not listed here is refused: no file chooses what is imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

Named = TypeVar("Named", bound=Callable[..., Any])

REGISTRY: dict[str, str] = {
    name: module
    for module, names in {
        "seqdyn.composition": "Stack Residual Readout Offset Embedding Identity IdentityState",
        "seqdyn.encoder": "Encoder Pooling Ensemble",
        "seqdyn.held": "Held",
        "seqdyn.autoregression": "Autoregression Past OwnPast OwnPastState Columns",
        "seqdyn.delay_line": "DelayLine DelayLineState",
        "seqdyn.teacher_forcing": "TeacherForcing",
        "seqdyn.initial_state": "Started Zero Random Learned Given Warmup",
        "seqdyn.cells.linear": "Linear LinearState",
        "seqdyn.cells.elman": "Elman ElmanState",
        "seqdyn.cells.lstm": "LSTM LSTMState",
        "seqdyn.cells.gru": "GRU GRUState",
        "seqdyn.cells.min_gru": "MinGRU MinGRUState",
        "seqdyn.cells.min_lstm": "MinLSTM MinLSTMState",
        "seqdyn.cells.lru": "LRU LRUState",
        "seqdyn.cells.moving_average": "MovingAverage WindowState ExponentialMovingAverage AverageState",
        "seqdyn.cells.echo_state": "EchoState ReservoirState",
        "seqdyn.cells.delay_polynomial": "DelayPolynomial DelayState",
        "seqdyn.cells.attention": "AttentionDecoder AttentionState ContextInput ContextInputState "
        "InputFeeding InputFeedingState",
        "seqdyn.cells.hard_attention": "HardAttention",
        "seqdyn.cells.window_attention": "WindowAttention AttentionWindow",
        "seqdyn.rows": "RowStack PixelResidual PixelReadout Placed PlacedState Pixels Raster RasterState",
        "seqdyn.cells.masked_window": "MaskedWindow MaskedWindowState",
        "seqdyn.cells.row_lstm": "RowLSTM RowState",
        "seqdyn.cells.diagonal_lstm": "DiagonalLSTM DiagonalState LineState",
        "seqdyn.cells.draw": "Painter PainterState DRAWCell DRAWState OnCanvas",
        "seqdyn.glimpses": "Read Write",
        "seqdyn.scores": "Attention MultiHead",
        "seqdyn.encoder_decoder": "EncoderDecoder",
        "seqdyn.autoencoder": "Autoencoder",
        "seqdyn.systems.logistic": "Logistic LogisticState",
        "seqdyn.systems.henon": "Henon HenonState",
        "seqdyn.flow": "Flow FlowState",
        "seqdyn.systems.lorenz": "Lorenz",
        "seqdyn.systems.lorenz96": "Lorenz96",
        "seqdyn.systems.rossler": "Rossler",
        "seqdyn.systems.van_der_pol": "VanDerPol",
        "seqdyn.systems.pendulum": "Pendulum",
        "seqdyn.systems.duffing": "Duffing",
        "seqdyn.systems.salamander": "Salamander",
        "seqdyn.systems.mackey_glass": "MackeyGlass MackeyGlassState",
        "seqdyn.systems.cascaded_tanks": "CascadedTanks CascadedTanksState",
        "seqdyn.decoding_strategy": "DecodingStrategy",
        "seqdyn.decoding": "Drawn Beam BeamState Ended",
        "seqdyn.row_modules": "Headed Encoded",
        "seqdyn.step_function": "StepFunction",
        "seqdyn.data.scaling": "Scaling",
        "seqdyn.data.text": "Vocabulary",
        "seqdyn.training.heads": "Squared Absolute Huber Quantile Gaussian CrossEntropy Averaged Bernoulli Custom",
        "seqdyn.training.forward": "Annotator",
        "seqdyn.codecs": "NumberInputs NumberTargets ClassTargets SymbolInputs Codec Plain",
        "seqdyn.predictor": "Predictor",
        "seqdyn.data.grids": "Grid",
        "seqdyn.data.panels": "Panel",
        "seqdyn.data.panel_layouts": "Layout Roles",
        "seqdyn.forecasting.forecaster": "Forecaster",
        "seqdyn.forecasting.naive": "NaiveForecaster SeasonalNaiveForecaster DriftForecaster MovingAverageForecaster",
        "seqdyn.forecasting.deseasonalised": "DeseasonalisedNaiveForecaster",
        "seqdyn.forecasting.statistical": "ExponentialSmoothingForecaster",
        "seqdyn.forecasting.auto_regression": "AutoRegForecaster",
        "seqdyn.forecasting.ridge": "RidgeForecaster",
        "seqdyn.forecasting.combination": "CombinedForecaster",
        "seqdyn.forecasting.calibrated": "ConformalForecaster",
        "seqdyn.forecasting.automatic": "AutoForecaster",
        "seqdyn.forecasting.error_growth": "ErrorGrowth",
        "seqdyn.forecasting.smoothers": "SmoothingForecaster ThetaForecaster",
        "seqdyn.forecasting.smoothing": "SmoothingState",
        "seqdyn.forecasting.transform": "SeriesTransform",
        "seqdyn.forecasting.linear_choice": "SeriesSetting",
        "seqdyn.forecasting.network": "NetworkPlan",
        "seqdyn.forecasting.inputs": "ForecastInputs",
        "seqdyn.forecasting.conformal": "Conformal",
        "seqdyn.forecasting.memory": "SeriesMemory",
        "seqdyn.forecasting.paths": "Residuals",
        "seqdyn.forecasting.intervals": "ForecastErrors",
        "seqdyn.forecasting.envelope": "Envelope",
        "seqdyn.identification.excitation": "Excitation",
        "seqdyn.identification.estimation": "Estimation Directions",
        "seqdyn.estimators.regressors": "RecurrentRegressor ElmanRegressor LSTMRegressor GRURegressor "
        "MinGRURegressor MinLSTMRegressor LRURegressor",
        "seqdyn.estimators.classifiers": "RecurrentClassifier ElmanClassifier LSTMClassifier GRUClassifier "
        "MinGRUClassifier MinLSTMClassifier LRUClassifier",
        "seqdyn.estimators.linear": "LinearStateSpaceRegressor",
        "seqdyn.estimators.moving_average": "MovingAverageRegressor ExponentialMovingAverageRegressor",
        "seqdyn.language.model": "LanguageModel",
        "seqdyn.language.classifier": "TextClassifier",
        "seqdyn.language.translation": "Translator",
        "seqdyn.images.pixel": "PixelRNN",
        "seqdyn.images.draw": "DRAW",
        "seqdyn.images.captioning": "Captioner",
        "seqdyn.motion.model": "MotionModel",
        "seqdyn.estimators.autoencoder": "SequenceAutoencoder",
        "seqdyn.estimators.baselines": "PersistenceRegressor ARXRegressor",
        "seqdyn.estimators.echo_state": "EchoStateRegressor",
        "seqdyn.estimators.next_generation": "NextGenerationReservoirRegressor",
    }.items()
    for name in names.split()
}
"""What a file may name, and the module it is in. :func:`register` adds the user's own."""

RENAMED: dict[str, str] = {
    "Setting": "SeriesSetting",
    "Plan": "NetworkPlan",
    "Inputs": "ForecastInputs",
    "Naive2Forecaster": "DeseasonalisedNaiveForecaster",
}
"""The present names of classes that older files know by another."""

_OWN: dict[str, Any] = {}


class FileFormatError(ValueError):
    """The file is damaged, foreign, newer than this seqdyn, or names what is not known here."""


def register(cls: Named) -> Named:
    """Make a class of your own known to files, by its name: a cell, its state, an estimator; also a function.

    Register it before saving *and* before loading: a file holds its name only, never its code.

    Parameters
    ----------
    cls : class or function
        A cell, a NamedTuple, a dataclass, an estimator with ``to_content`` and ``from_content``, or a function that
        is used as a value (a loss).

    Returns
    -------
    class or function
        The same: ``register`` is a decorator.

    Raises
    ------
    ValueError
        If the name belongs to something else already.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> import torch
    >>> @register
    ... class PendulumState(NamedTuple):
    ...     angle: torch.Tensor
    """
    if not (inspect.isclass(cls) or inspect.isfunction(cls)) or not cls.__name__.isidentifier():
        raise TypeError(f"register takes a class or a function with a name, got {cls!r}.")
    name, known = cls.__name__, _OWN.get(cls.__name__)
    present = RENAMED.get(name, name)
    if present in REGISTRY and not _is_listed(cls):
        raise ValueError(f"{name!r} is the name of {REGISTRY[present]}.{present}: give {_address(cls)} another one.")
    if known is not None and known is not cls and _address(known) != _address(cls):
        raise ValueError(f"{name!r} is registered for {_address(known)} already: give {_address(cls)} another name.")
    if present not in REGISTRY:
        _OWN[name] = cls  # a class defined again at the same place, as in a notebook, replaces the old one
    return cls


def registered(name: str) -> Any:
    """The class or function that files know by a name; its module is imported now.

    Parameters
    ----------
    name : str
        Of :data:`REGISTRY`, or given to :func:`register`.

    Examples
    --------
    >>> registered("GRU").__module__
    'seqdyn.cells.gru'
    """
    if name in _OWN:
        return _OWN[name]
    present = RENAMED.get(name, name)
    return getattr(importlib.import_module(REGISTRY[present]), present)


def named_class(name: Any) -> Any:
    """Return the class or function that a file names.

    Raises
    ------
    FileFormatError
        If it is not registered.
    """
    if not isinstance(name, str) or not (name in _OWN or name in REGISTRY or name in RENAMED):
        raise FileFormatError(
            f"names {name!r}, which is not known here: import or define it, and decorate it with @seqdyn.register "
            "before loading."
        )
    return registered(name)


def class_name(cls: Any, path: str) -> str:
    """Return the name by which a file can hold a class or function, which stands at ``path`` in the content.

    Raises
    ------
    TypeError
        If it is not registered.
    """
    if _OWN.get(cls.__name__) is cls or _is_listed(cls):
        return cast(str, cls.__name__)
    what = "class" if inspect.isclass(cls) else "function"
    raise TypeError(
        f"{path or 'content'} needs the {what} {_address(cls)}, and a file holds no code: decorate the {what} with "
        "@seqdyn.register before saving, and again before loading"
        + (". A loss can also be named, as in loss='mse'." if what == "function" else ".")
    )


def _is_listed(cls: Any) -> bool:
    """Whether it is the library's own class of its name."""
    return REGISTRY.get(cls.__name__) == cls.__module__ and cls.__qualname__ == cls.__name__


def _address(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
