"""The file format: one safetensors file with its configuration as JSON in the header, and never any code.

    file    = length of the header (8 bytes) | header | tensors
    header  = {"__metadata__": {"seqdyn": text}, name of a tensor: {dtype, shape, offsets}, …}
    text    = {"format": 1, "sha256": digest of the file with the digest's 64 characters at 0, "written": {"seqdyn":
              version, "at": instant}, "content": tree}

Loading a file nobody trusts can fail, never execute: a file holds values and names, and names are looked up in a
static registry. Every later format keeps the beginning of the text, so that an old seqdyn can say what it has met.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import json
import math
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows, where a file that is open cannot be removed
    flock = None  # type: ignore[assignment]

Path = str | os.PathLike[str]
Named = TypeVar("Named", bound=Callable[..., Any])

FORMAT = 1
"""The newest format this seqdyn writes and reads."""

REGISTRY: dict[str, str] = {
    name: module
    for module, names in {
        "seqdyn.composition": "Stack Residual Readout Offset Embedding Identity IdentityState",
        "seqdyn.encoder": "Encoder Pooling Ensemble",
        "seqdyn.held": "Held",
        "seqdyn.autoregression": "Autoregression Past OwnPast OwnPastState Columns DelayLine DelayLineState",
        "seqdyn.teacher_forcing": "TeacherForcing",
        "seqdyn.initial_state": "Started Zero Random Learned Given Warmup",
        "seqdyn.cells.linear": "Linear LinearState",
        "seqdyn.cells.elman": "Elman ElmanState",
        "seqdyn.cells.lstm": "LSTM LSTMState",
        "seqdyn.cells.gru": "GRU GRUState",
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
        "seqdyn.decoding": "Drawn Strategy Beam BeamState Ended",
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
        "seqdyn.data.layouts": "Layout Roles",
        "seqdyn.forecasting.forecaster": "Forecaster",
        "seqdyn.forecasting.naive": "NaiveForecaster SeasonalNaiveForecaster DriftForecaster MovingAverageForecaster "
        "Naive2Forecaster",
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
        "seqdyn.forecasting.linear_choice": "Setting",
        "seqdyn.forecasting.network": "Plan",
        "seqdyn.forecasting.inputs": "Inputs",
        "seqdyn.forecasting.conformal": "Conformal",
        "seqdyn.forecasting.memory": "SeriesMemory",
        "seqdyn.forecasting.paths": "Residuals",
        "seqdyn.forecasting.intervals": "ForecastErrors",
        "seqdyn.forecasting.envelope": "Envelope",
        "seqdyn.identification.excitation": "Excitation",
        "seqdyn.identification.estimation": "Estimation Directions",
        "seqdyn.estimators.regressors": "RecurrentRegressor ElmanRegressor LSTMRegressor GRURegressor",
        "seqdyn.estimators.classifiers": "RecurrentClassifier ElmanClassifier LSTMClassifier GRUClassifier",
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

_OWN: dict[str, Any] = {}
_SEAL = re.compile(rb'"__metadata__":\{"seqdyn":"\{\\"format\\":(\d{1,9}),\\"sha256\\":\\"([0-9a-f]{64})\\"')
_BLANK = b"0" * 64
_MAX_HEADER = 100_000_000  # safetensors refuses to read more
_MAX_DEPTH = 100
_DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32,
           torch.uint64, torch.bfloat16, torch.float16, torch.float32, torch.float64)  # fmt: skip


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
    if name in REGISTRY and not _is_builtin(cls):
        raise ValueError(f"{name!r} is the name of {REGISTRY[name]}.{name}: give {_address(cls)} another one.")
    if known is not None and known is not cls and _address(known) != _address(cls):
        raise ValueError(f"{name!r} is registered for {_address(known)} already: give {_address(cls)} another name.")
    if name not in REGISTRY:
        _OWN[name] = cls  # a class defined again at the same place, as in a notebook, replaces the old one
    return cls


def registered(name: str) -> Any:
    """The class or function that files know by a name; its module is imported now.

    Parameters
    ----------
    name : str
        Of :data:`REGISTRY`, or given to :func:`register`.

    Returns
    -------
    class or function

    Examples
    --------
    >>> registered("GRU").__module__
    'seqdyn.cells.gru'
    """
    return _OWN[name] if name in _OWN else getattr(importlib.import_module(REGISTRY[name]), name)


def save(path: Path, model: Any) -> None:
    """Write an estimator or a built cell to a file; a file that is there already is replaced in one piece.

    Parameters
    ----------
    path : str or path-like
        By convention ``….safetensors``.
    model : estimator or cell

    Raises
    ------
    TypeError
        If something in it cannot be stored; the message says where it is, and the way out.

    Examples
    --------
    >>> import tempfile
    >>> from seqdyn.cells.gru import GRU
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/gru.safetensors", GRU(3, 8))
    ...     load(f"{folder}/gru.safetensors").hidden_size
    8
    """
    if not _is_model(model):
        raise TypeError(
            f"save takes an estimator or a cell, got {_kind(model)}; seqdyn.files.write takes other values."
        )
    write(path, model)


def load(path: Path) -> Any:
    """Read the estimator or cell from a file, on the CPU. It runs no code of the file's.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    estimator or cell

    Raises
    ------
    FileFormatError
        If the file is damaged, foreign, newer than this seqdyn, or names something that is not registered.
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    """
    model = read(path)
    if not _is_model(model):
        raise FileFormatError(f"{path} holds {_kind(model)}, not a model: seqdyn.files.read returns it.")
    return model


def write(path: Path, content: Any) -> None:
    """Write a tree of values to a file.

    Parameters
    ----------
    path : str or path-like
        The file is written beside it and then takes its place: nobody ever sees half a file.
    content : tree
        None, bools, ints, floats, strings; dicts, lists and tuples; numpy arrays of numbers, times and strings, numpy
        scalars; tensors; pandas' offsets; and what is registered: states, strategies, cells, estimators, and classes as
        values.

    Raises
    ------
    TypeError
        If something in the tree cannot be stored; the message says where it is, and the way out.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/run.safetensors", {"shape": (3, 4), "loss": float("nan")})
    ...     read(f"{folder}/run.safetensors")
    {'shape': (3, 4), 'loss': nan}
    """
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise IsADirectoryError(f"{os.fspath(path)} is a folder: give the name of a file in it.")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"There is no folder {os.path.dirname(target)} to write {os.path.basename(target)} in.")
    encoder = _Encoder()
    tree = {"format": FORMAT, "sha256": _BLANK.decode(), "written": _now(), "content": encoder.encode(content, "")}
    text = json.dumps(tree, allow_nan=False, separators=(",", ":"))
    data = bytearray(safetensors.torch.save(encoder.tensors, {"seqdyn": text}))
    if int.from_bytes(data[:8], "little") > _MAX_HEADER:
        raise ValueError(f"The configuration takes more than {_MAX_HEADER} bytes: store long lists as arrays.")
    start, stop = cast(re.Match[bytes], _SEAL.search(data)).span(2)
    data[start:stop] = _digest(data, start, stop)
    _replace(target, data)


def storable(value: Any) -> Any:
    """A parameter of a model as files hold it: devices, paths and steps of time by their names."""
    if isinstance(value, torch.device | timedelta):
        return str(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def read(path: Path) -> Any:
    """Read what :func:`write` wrote: the same values in the same types, tensors on the CPU.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    tree

    Raises
    ------
    FileFormatError
        If the file is damaged, foreign, newer than this seqdyn, or names something that is not registered.
    FileNotFoundError, IsADirectoryError
        If there is no such file.
    """
    data = _checked(path)
    try:
        with torch.random.fork_rng(devices=[]):  # a constructor may draw; reading may not
            return _Decoder(safetensors.torch.load(data)).decode(_text(data)["content"])
    except FileFormatError as error:
        raise FileFormatError(f"{os.fspath(path)} {error}") from error.__cause__
    except Exception as error:
        raise FileFormatError(
            f"{os.fspath(path)} holds what this seqdyn cannot rebuild: {type(error).__name__}: {error}"
        ) from error


def written(path: Path) -> dict[str, str]:
    """Who wrote a file, and when; nothing of its content is rebuilt.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    dict
        ``"seqdyn"``: the version of the library; ``"at"``: the instant, in UTC. Empty where a file does not tell.

    Raises
    ------
    FileFormatError, FileNotFoundError, IsADirectoryError
        As :func:`read`.
    """
    data = _checked(path)
    try:
        return {str(key): str(value) for key, value in _text(data).get("written", {}).items()}
    except Exception as error:
        raise FileFormatError(
            f"{os.fspath(path)} does not say who wrote it: {type(error).__name__}: {error}"
        ) from error


def _checked(path: Path) -> bytes:
    """The bytes of a file, if it is whole and this seqdyn knows its format."""
    with open(path, "rb") as file:
        data = file.read()
    seal = _SEAL.search(data)
    if seal is None:
        raise FileFormatError(f"{os.fspath(path)} {_foreign(data)}")
    if _digest(data, *seal.span(2)) != seal[2]:
        raise FileFormatError(f"{os.fspath(path)} is truncated or damaged: its contents do not match its checksum.")
    if int(seal[1]) > FORMAT:
        raise FileFormatError(
            f"{os.fspath(path)} was written by a newer seqdyn (format {int(seal[1])}; this one reads up to {FORMAT}): "
            "upgrade with pip install --upgrade seqdyn."
        )
    return data


def _now() -> dict[str, str]:
    """Who writes, and when; SOURCE_DATE_EPOCH, where it is set, makes the same file twice."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(int(seconds), UTC)
    return {"seqdyn": sys.modules["seqdyn"].__version__, "at": now.isoformat(timespec="seconds")}


def _text(data: bytes) -> Any:
    """The configuration in the header."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["seqdyn"])


class _Encoder:
    """From values to JSON and named tensors; a dict with a key ``$…`` stands for all that JSON does not know."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._stored: list[Tensor] = []  # keeps alive what the ids above stand for
        self._inside = False

    def encode(self, value: Any, path: str, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            raise TypeError(f"{path[:60]}… is nested more than {_MAX_DEPTH} levels deep, or contains itself.")
        if value is None or type(value) in (bool, str):
            return value
        if type(value) is int and value.bit_length() <= 4096:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, np.generic):
            return {**self._array(np.asarray(value), path), "scalar": True}
        if type(value) in (np.ndarray, np.memmap):
            return self._array(value, path)
        if inspect.isclass(value) or inspect.isfunction(value):
            return {"$class": _name(value, path)}
        if hasattr(value, "to_content"):
            content = self.encode(value.to_content(), path, depth + 1)
            return {"$estimator": _name(type(value), path), "content": content}
        if isinstance(value, nn.Module):
            return self._cell(value, path, depth)
        if _is_offset(value):
            return {"$offset": self.encode(importlib.import_module("seqdyn.data.offsets").offset_content(value), path)}
        if dataclasses.is_dataclass(value):
            names: Iterable[str] = [field.name for field in dataclasses.fields(value) if field.init]
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            names = value._fields
        else:
            return self._container(value, path, depth)
        fields = {name: self.encode(getattr(value, name), _join(path, name), depth + 1) for name in names}
        return {"$record": _name(type(value), path), "fields": fields}

    def _container(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, list | tuple):
            items = [self.encode(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if not isinstance(value, dict):
            _refuse(value, path)
        items = [(self.encode(key, f"a key of {path or 'content'}"), self.encode(item, _join(path, key), depth + 1))
                 for key, item in value.items()]  # fmt: skip
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in items):
            return dict(items)
        return {"$dict": items}

    def _tensor(self, value: Tensor, path: str) -> dict[str, Any]:
        if value.layout != torch.strided or value.is_meta or not (value.is_complex() or value.dtype in _DTYPES):
            raise TypeError(
                f"{path or 'content'} is a {value.layout} tensor of {value.dtype} on {value.device}, which a file "
                "cannot hold: store a dense one."
            )
        if id(value) not in self._names:
            self._stored.append(value)
            self._names[id(value)] = name = self._free_name(path)
            plain = value.detach().cpu().resolve_conj().resolve_neg()
            plain = torch.view_as_real(plain) if plain.is_complex() else plain
            self.tensors[name] = plain.clone(memory_format=torch.contiguous_format)
        return {"$tensor": self._names[id(value)], **({"complex": True} if value.is_complex() else {})}

    def _free_name(self, path: str) -> str:
        plain = re.sub(r"[^\w.\[\]-]", "_", path, flags=re.ASCII) or "content"
        name, count = plain, 1
        while name in self.tensors or name == "__metadata__":
            name, count = f"{plain}~{count}", count + 1
        return name

    def _array(self, value: np.ndarray, path: str) -> dict[str, Any]:
        dtype = value.dtype
        if dtype.kind in "UO":
            labels = value.ravel().tolist()
            if not all(item is None or isinstance(item, str | int | float | np.generic) for item in labels):
                raise TypeError(
                    f"{path or 'content'} is an object array with other items than strings and numbers: "
                    "store it as a list, or as an array of one type."
                )
            items = [self.encode(item, f"{path}[{index}]") for index, item in enumerate(labels)]
            return {"$labels": items, "dtype": dtype.str, "shape": list(value.shape)}
        if dtype.kind not in "biufcmM" or dtype in (np.longdouble, np.clongdouble):
            raise TypeError(f"{path or 'content'} is an array of {dtype}, which a file cannot hold: use .astype(…).")
        native = value.astype(dtype.newbyteorder("="), order="C", copy=True)
        if dtype.kind in "mM":
            tensor = self._tensor(torch.from_numpy(native.view(np.int64)), path)
            return {"$array": tensor, "dtype": native.dtype.str}
        return {"$array": self._tensor(torch.from_numpy(native), path)}

    def _cell(self, cell: nn.Module, path: str, depth: int) -> dict[str, Any]:
        name, outermost = _name(type(cell), path), not self._inside
        self._inside = True
        arguments = _arguments(cell, path)
        state = cell.state_dict(keep_vars=True)
        modules, buffers = cell.named_modules(remove_duplicate=False), cell.named_buffers(remove_duplicate=False)
        node = {
            "$cell": name,
            "arguments": {key: self.encode(value, _join(path, key), depth + 1) for key, value in arguments.items()},
            "state": {key: self.encode(value, _join(path, key), depth + 1) for key, value in state.items()},
            "frozen": [key for key, value in cell.named_parameters() if not value.requires_grad],
            "evaluating": [key for key, module in modules if not module.training],
            "derived": {key: str(value.dtype) for key, value in buffers if key not in state},
        }
        if outermost:
            self._check(cell, path)
            self._inside = False
        return node

    def _check(self, cell: nn.Module, path: str) -> None:
        """Rebuild the cell, and look whether the same would be stored of it."""
        trial, again = _Encoder(), _Encoder()
        trial._inside = again._inside = True
        node = trial.encode(cell, "")
        try:
            with torch.random.fork_rng(devices=[]):
                rebuilt = _Decoder(trial.tensors).decode(node)
            same = again.encode(rebuilt, "") == node
            reason = "its constructor makes other attributes of them"
        except Exception as error:
            same, reason = False, str(error)
        if not same:
            raise TypeError(
                f"{path or 'The cell'} ({type(cell).__name__}) cannot be rebuilt from its attributes: {reason}. Store "
                "every constructor argument under its own name, or define constructor_arguments() -> dict for those "
                "that are not."
            )


class _Decoder:
    """The inverse of :class:`_Encoder`; it calls nothing but what the registry names."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.tensors = tensors

    def decode(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        kind = next((key for key in node if key.startswith("$")), None)
        if kind is None:
            return {key: self.decode(item) for key, item in node.items()}
        kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
            "$float": lambda node: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[node["$float"]],
            "$tuple": lambda node: tuple(self.decode(node["$tuple"])),
            "$dict": lambda node: {self.decode(key): self.decode(item) for key, item in node["$dict"]},
            "$class": lambda node: _look_up(node["$class"]),
            "$tensor": self._tensor,
            "$array": self._array,
            "$labels": self._labels,
            "$record": self._record,
            "$cell": self._cell,
            "$estimator": self._estimator,
            "$offset": self._offset,
        }
        return kinds[kind](node)

    def _tensor(self, node: dict[str, Any]) -> Tensor:
        tensor = self.tensors[node["$tensor"]]
        return torch.view_as_complex(tensor) if node.get("complex") else tensor

    def _array(self, node: dict[str, Any]) -> Any:
        array = self._tensor(node["$array"]).numpy()
        if "dtype" in node:
            dtype = np.dtype(node["dtype"])
            if dtype.kind not in "mM":
                raise ValueError(f"{dtype} is no type of times.")
            array = array.view(dtype)
        return array[()] if node.get("scalar") else array

    def _labels(self, node: dict[str, Any]) -> Any:
        dtype = np.dtype(node["dtype"])
        if dtype.kind not in "UO":
            raise ValueError(f"{dtype} is no type of labels.")
        array = np.empty(len(node["$labels"]), dtype)
        for index, item in enumerate(node["$labels"]):
            array[index] = self.decode(item)
        array = array.reshape(node["shape"])
        return array[()] if node.get("scalar") else array

    def _record(self, node: dict[str, Any]) -> Any:
        cls = _look_up(node["$record"])
        if not (inspect.isclass(cls) and (dataclasses.is_dataclass(cls) or hasattr(cls, "_fields"))):
            raise FileFormatError(f"names {node['$record']!r} as a record, which it is not.")
        return _build(cls, self.decode(node["fields"]))

    def _cell(self, node: dict[str, Any]) -> nn.Module:
        cls = _look_up(node["$cell"])
        if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
            raise FileFormatError(f"names {node['$cell']!r} as a cell, which it is not.")
        cell = cast(nn.Module, _build(cls, self.decode(node["arguments"])))
        state = self.decode(node["state"])
        try:
            cell.load_state_dict(state, strict=True, assign=True)
        except RuntimeError as error:
            raise FileFormatError(f"holds weights that do not fit {cls.__name__}: {error}") from error
        _tie(cell, state)
        for name, parameter in cell.named_parameters():
            parameter.requires_grad_(name not in node["frozen"])
        for name, dtype in node["derived"].items():
            owner, _, leaf = name.rpartition(".")
            module = cell.get_submodule(owner)
            setattr(module, leaf, module.get_buffer(leaf).to(_DTYPES[[str(own) for own in _DTYPES].index(dtype)]))
        for name, module in cell.named_modules(remove_duplicate=False):
            module.training = name not in node["evaluating"]
        return cell

    def _estimator(self, node: dict[str, Any]) -> Any:
        cls = _look_up(node["$estimator"])
        if not hasattr(cls, "from_content"):
            raise FileFormatError(f"names {node['$estimator']!r} as an estimator, which it is not.")
        return cls.from_content(self.decode(node["content"]))

    def _offset(self, node: dict[str, Any]) -> Any:
        return importlib.import_module("seqdyn.data.offsets").offset_from(self.decode(node["$offset"]))


def _arguments(cell: Any, path: str) -> dict[str, Any]:
    """What the constructor was called with, read from the attributes of the same names."""
    told = dict(cell.constructor_arguments())
    for name, parameter in inspect.signature(type(cell)).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(
                f"{path or 'The cell'}: {type(cell).__name__}() takes {parameter}: give every argument a name."
            )
        if name == "generator" or name in told:
            continue
        if not hasattr(cell, name):
            raise TypeError(
                f"{path or 'The cell'}: {type(cell).__name__}() takes {name!r}, but the cell has no attribute of that "
                f"name: store it as self.{name}, or define constructor_arguments() -> dict."
            )
        told[name] = getattr(cell, name)
    return {name: _unwrapped(value) for name, value in told.items()}


def _unwrapped(value: Any) -> Any:
    """Module lists as the tuples they were made from."""
    return tuple(map(_unwrapped, value)) if isinstance(value, nn.ModuleList) else value


def _tie(cell: nn.Module, state: dict[str, Any]) -> None:
    """Make one parameter again of what was one parameter under several names."""
    first: dict[int, str] = {}
    for name, value in state.items():
        known = first.setdefault(id(value), name)
        if known != name and isinstance(value, Tensor):
            owner, _, leaf = name.rpartition(".")
            source, _, shared = known.rpartition(".")
            setattr(cell.get_submodule(owner), leaf, getattr(cell.get_submodule(source), shared))


def _build(cls: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return cls(**arguments)
    except Exception as error:
        given = ", ".join(f"{name}=…" for name in arguments)
        raise FileFormatError(f"holds arguments that {cls.__name__}({given}) does not take: {error}") from error


def _look_up(name: Any) -> Any:
    if not isinstance(name, str) or (name not in _OWN and name not in REGISTRY):
        raise FileFormatError(
            f"names {name!r}, which is not known here: import or define it, and decorate it with @seqdyn.register "
            "before loading."
        )
    return registered(name)


def _name(cls: Any, path: str) -> str:
    """The name of a class or function that a loader can look up."""
    if _OWN.get(cls.__name__) is cls or _is_builtin(cls):
        return cast(str, cls.__name__)
    what = "class" if inspect.isclass(cls) else "function"
    raise TypeError(
        f"{path or 'content'} needs the {what} {_address(cls)}, and a file holds no code: decorate the {what} with "
        "@seqdyn.register before saving, and again before loading"
        + (". A loss can also be named, as in loss='mse'." if what == "function" else ".")
    )


def _refuse(value: Any, path: str) -> NoReturn:
    way = "use numbers, strings, lists, dicts, arrays and tensors, or a class decorated with @seqdyn.register"
    if callable(value):
        way = "write it as a function decorated with @seqdyn.register, or name it, as in loss='mse'"
    elif isinstance(value, np.random.RandomState | np.random.Generator | torch.Generator):
        way = "use an int as the seed"
    raise TypeError(f"{path or 'content'} is {_kind(value)}, which a file cannot hold without code: {way}.")


def _is_builtin(cls: Any) -> bool:
    return REGISTRY.get(cls.__name__) == cls.__module__ and cls.__qualname__ == cls.__name__


def _is_model(value: Any) -> bool:
    return not inspect.isclass(value) and (hasattr(value, "to_content") or isinstance(value, nn.Module))


def _is_offset(value: Any) -> bool:
    """Whether it is one of pandas' own steps of a calendar; told by name, since this floor knows no pandas."""
    cls = type(value)
    bases = {f"{base.__module__}.{base.__name__}" for base in cls.__mro__}
    return cls.__module__.startswith("pandas") and "pandas._libs.tslibs.offsets.BaseOffset" in bases


def _address(cls: Any) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _digest(data: bytes | bytearray, start: int, stop: int) -> bytes:
    """The SHA-256 of the whole file, with the digest's own place at 0."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(_BLANK)
    digest.update(view[stop:])
    return digest.hexdigest().encode()


def _foreign(data: bytes) -> str:
    """What a file without a seal is, as far as can be told without opening it."""
    if not data:
        return "is empty."
    if data[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") and data[8:9] != b"{":
        return "is a pickle, which can run any code: seqdyn never opens one. Save the model with seqdyn."
    if data[:4] == b"PK\x03\x04":
        return "is a zip archive, perhaps of torch.save with a pickle inside: seqdyn never opens one."
    if data[8:9] != b"{":
        return "is not a safetensors file, or only a few bytes of one."
    if b'"seqdyn"' in data[:64]:
        return "is truncated or damaged: the beginning of its header does not read."
    return "is a safetensors file, or part of one, but not of seqdyn: its header has no 'seqdyn' metadata."


def _replace(target: str, data: bytes | bytearray) -> None:
    """Write beside the target, then take its place; on failure the target is as it was and nothing is left."""
    folder, name = os.path.split(target)
    _clear(folder, name)
    beside, descriptor = _beside(folder, name)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if flock is not None:
                os.replace(beside, target)  # still locked: nobody takes it for a file that was left over
        if flock is None:
            os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _beside(folder: str, name: str) -> tuple[str, int]:
    """A new file beside the target, locked while it is written."""
    while True:
        path = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if flock is not None:
            flock(descriptor, LOCK_EX)
        if os.path.exists(path):
            return path, descriptor
        os.close(descriptor)  # cleared away before it was locked


def _clear(folder: str, name: str) -> None:
    """Remove what writers of this target that were killed have left: files that nobody holds."""
    left = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp")
    for entry in filter(left.fullmatch, os.listdir(folder)):
        path = os.path.join(folder, entry)
        with contextlib.suppress(OSError):  # somebody is writing it
            if flock is None:
                os.unlink(path)
                continue
            descriptor = os.open(path, os.O_WRONLY)
            try:
                flock(descriptor, LOCK_EX | LOCK_NB)
                os.unlink(path)
            finally:
                os.close(descriptor)
