"""seqdyn: every sequence model is a stateful predictor, y_t, h_t = f(x_t, h_{t-1}).

The package is a house; each floor knows only those below it.

    floor 0   state             trees of tensors
              checks            checks of arguments
              kernels           fused recurrences on raw tensors
    floor 1   cell              the contract Cell
              loops             scan and rollout: the only loops over time
              data              containers in, the same containers out
              metrics           scores, with their exact definitions
              figures, files    one plot style; the file format
              phase_figures     portraits, return maps, spectra and bifurcations
    floor 2   composition       Stack, Residual, Readout, Offset, Embedding, Identity
              encoder           both directions
              scores            attention: how much each row of a memory matters to a query
              rows              pictures row by row, and pixel by pixel
              flow              systems given by a differential equation
              held              a cell under a constant input
              glimpses          windows of Gaussian filters on a picture
              initial_state     zero, random, learned, warm-up
              autoregression    own predictions where the past is not known, delay line, centring
              teacher_forcing   how much of the true past a training sees
              row_modules       cells that any torch module reads, or is read by
              step_function     a plain function (x, h) -> (y, h) as a cell
    floor 3   cells             one recurrence a file
              systems           known dynamics as cells
              training          objectives, heads, batches, and the loop: BPTT and truncated BPTT
              dynamics          measurements of any cell
              codecs            between the units of the data and those of a network
              stream            the one mutable object
              decoding          symbols drawn from scores, over any cell
              encoder_decoder   one sequence becomes another
              autoencoder       a sequence becomes a vector, and a sequence again
              picture_encoder   what a decoder reads of a picture
    floor 4   identification    linear systems from data, and what they do
              conversion        torch's own networks as cells
              torch_parts       cells as torch's own networks
              predictor         a fitted network with all that is needed to use it
              sentences         what a decoder writes, searched for and scored
    floor 5   estimators        scikit-learn estimators
    floor 6   forecasting       forecasters of frames, their baselines and backtests
              language          language models, classifiers of texts, translators
              images            models that write, paint and tell pictures
              motion            models that move: joint angles from a drive, rhythms, steering
    floor 7   reports           comparisons of models, the stability of gradients, motion, audits
              datasets          load_* and fetch_*
    floor 8   cli               the command line

Names are imported when they are first used; importing seqdyn itself loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names, for type checkers and editors
    from seqdyn.autoregression import Autoregression, DelayLine, OwnPast, Past
    from seqdyn.cell import Attending, Cell, Noisy
    from seqdyn.cells.elman import Elman
    from seqdyn.cells.gru import GRU
    from seqdyn.cells.linear import Linear
    from seqdyn.cells.lstm import LSTM
    from seqdyn.cells.moving_average import ExponentialMovingAverage, MovingAverage
    from seqdyn.composition import Embedding, Identity, Offset, Readout, Residual, Stack
    from seqdyn.conversion import from_torch
    from seqdyn.data.splits import PanelTimeSplit
    from seqdyn.dynamics.derivatives import jacobian
    from seqdyn.encoder import Encoder
    from seqdyn.estimators.autoencoder import SequenceAutoencoder
    from seqdyn.estimators.baselines import ARXRegressor, PersistenceRegressor
    from seqdyn.estimators.classifiers import ElmanClassifier, GRUClassifier, LSTMClassifier, RecurrentClassifier
    from seqdyn.estimators.echo_state import EchoStateRegressor
    from seqdyn.estimators.linear import LinearStateSpaceRegressor
    from seqdyn.estimators.linearise import linearise
    from seqdyn.estimators.moving_average import ExponentialMovingAverageRegressor, MovingAverageRegressor
    from seqdyn.estimators.next_generation import NextGenerationReservoirRegressor
    from seqdyn.estimators.regressors import ElmanRegressor, GRURegressor, LSTMRegressor, RecurrentRegressor
    from seqdyn.estimators.scorers import time_scorer
    from seqdyn.figures import plot_forecast, plot_history, plot_unrolled
    from seqdyn.files import load, register
    from seqdyn.forecasting.auto_regression import AutoRegForecaster
    from seqdyn.forecasting.automatic import AutoForecaster
    from seqdyn.forecasting.backtest import Backtest
    from seqdyn.forecasting.calibrated import ConformalForecaster
    from seqdyn.forecasting.combination import CombinedForecaster
    from seqdyn.forecasting.forecaster import Forecaster
    from seqdyn.forecasting.naive import (
        DriftForecaster,
        MovingAverageForecaster,
        Naive2Forecaster,
        NaiveForecaster,
        SeasonalNaiveForecaster,
    )
    from seqdyn.forecasting.ridge import RidgeForecaster
    from seqdyn.forecasting.smoothers import SmoothingForecaster, ThetaForecaster
    from seqdyn.forecasting.statistical import ExponentialSmoothingForecaster
    from seqdyn.identification.figures import plot_bode, plot_poles, plot_response, plot_singular_values
    from seqdyn.identification.system import LinearSystem
    from seqdyn.images.captioning import Captioner
    from seqdyn.images.draw import DRAW
    from seqdyn.images.pixel import PixelRNN
    from seqdyn.initial_state import Given, Learned, Random, Warmup, Zero
    from seqdyn.language.classifier import TextClassifier
    from seqdyn.language.model import LanguageModel
    from seqdyn.language.translation import Translator
    from seqdyn.loops import Scan, rollout, scan
    from seqdyn.motion.model import MotionModel
    from seqdyn.motion.steering import steering_map, steering_neurons
    from seqdyn.reports.audits import check_causal, check_likelihood, check_padding
    from seqdyn.reports.compare import compare
    from seqdyn.reports.comparison import compare_models
    from seqdyn.reports.motion.report import MotionReport, motion_report
    from seqdyn.reports.stability.report import StabilityReport, assert_stable, stability_report
    from seqdyn.state import hold
    from seqdyn.stream import Stream
    from seqdyn.teacher_forcing import TeacherForcing
    from seqdyn.torch_parts import TorchParts, to_torch

__version__ = "0.1.0"

_HOME = {
    "state": ("hold",),
    "cell": ("Cell", "Noisy", "Attending"),
    "loops": ("scan", "rollout", "Scan"),
    "figures": ("plot_unrolled", "plot_history", "plot_forecast"),
    "files": ("load", "register"),
    "composition": ("Stack", "Residual", "Readout", "Offset", "Embedding", "Identity"),
    "encoder": ("Encoder",),
    "autoregression": ("Autoregression", "OwnPast", "Past", "DelayLine"),
    "teacher_forcing": ("TeacherForcing",),
    "initial_state": ("Zero", "Random", "Learned", "Given", "Warmup"),
    "cells.moving_average": ("MovingAverage", "ExponentialMovingAverage"),
    "cells.linear": ("Linear",),
    "cells.elman": ("Elman",),
    "cells.lstm": ("LSTM",),
    "cells.gru": ("GRU",),
    "dynamics.derivatives": ("jacobian",),
    "stream": ("Stream",),
    "conversion": ("from_torch",),
    "torch_parts": ("to_torch", "TorchParts"),
    "identification.system": ("LinearSystem",),
    "identification.figures": ("plot_bode", "plot_poles", "plot_response", "plot_singular_values"),
    "estimators.regressors": ("RecurrentRegressor", "ElmanRegressor", "LSTMRegressor", "GRURegressor"),
    "estimators.classifiers": ("RecurrentClassifier", "ElmanClassifier", "LSTMClassifier", "GRUClassifier"),
    "estimators.linear": ("LinearStateSpaceRegressor",),
    "estimators.linearise": ("linearise",),
    "estimators.moving_average": ("MovingAverageRegressor", "ExponentialMovingAverageRegressor"),
    "estimators.autoencoder": ("SequenceAutoencoder",),
    "estimators.baselines": ("PersistenceRegressor", "ARXRegressor"),
    "estimators.echo_state": ("EchoStateRegressor",),
    "estimators.next_generation": ("NextGenerationReservoirRegressor",),
    "data.splits": ("PanelTimeSplit",),
    "estimators.scorers": ("time_scorer",),
    "forecasting.forecaster": ("Forecaster",),
    "forecasting.backtest": ("Backtest",),
    "forecasting.naive": (
        "NaiveForecaster",
        "SeasonalNaiveForecaster",
        "DriftForecaster",
        "MovingAverageForecaster",
        "Naive2Forecaster",
    ),
    "forecasting.statistical": ("ExponentialSmoothingForecaster",),
    "forecasting.auto_regression": ("AutoRegForecaster",),
    "forecasting.ridge": ("RidgeForecaster",),
    "forecasting.combination": ("CombinedForecaster",),
    "forecasting.automatic": ("AutoForecaster",),
    "forecasting.calibrated": ("ConformalForecaster",),
    "forecasting.smoothers": ("SmoothingForecaster", "ThetaForecaster"),
    "language.model": ("LanguageModel",),
    "language.classifier": ("TextClassifier",),
    "language.translation": ("Translator",),
    "images.pixel": ("PixelRNN",),
    "images.draw": ("DRAW",),
    "images.captioning": ("Captioner",),
    "motion.model": ("MotionModel",),
    "motion.steering": ("steering_map", "steering_neurons"),
    "reports.audits": ("check_causal", "check_padding", "check_likelihood"),
    "reports.compare": ("compare",),
    "reports.comparison": ("compare_models",),
    "reports.motion.report": ("motion_report", "MotionReport"),
    "reports.stability.report": ("stability_report", "StabilityReport", "assert_stable"),
}
"""Where each public name lives, floor by floor."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_SUBMODULES = (
    "state",
    "metrics",
    "phase_figures",
    "motion",
    "held",
    "datasets",
    "systems",
    "training",
    "dynamics",
    "initial_state",
    "cells",
    "codecs",
    "data",
    "decoding",
    "scores",
    "rows",
    "flow",
    "glimpses",
    "encoder_decoder",
    "autoencoder",
    "picture_encoder",
    "predictor",
    "sentences",
    "row_modules",
    "step_function",
)

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"seqdyn.{_MODULE_OF[name]}"), name)
    if name in _SUBMODULES or name in _HOME:
        return import_module(f"seqdyn.{name}")
    raise AttributeError(f"module 'seqdyn' has no attribute {name!r}; see dir(seqdyn) for its names.")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])
