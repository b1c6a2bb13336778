"""What a file holds: values as a tree for JSON and as named tensors, and back.

A dict with a key ``$…`` stands for what JSON does not know: a tuple, a tensor, a record, a cell with its arguments and
weights, an estimator. Reading the tree calls nothing but what the registry names.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn

from seqdyn.registry import FileFormatError, class_name, named_class

_MAX_DEPTH = 100
_DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32,
           torch.uint64, torch.bfloat16, torch.float16, torch.float32, torch.float64)  # fmt: skip


def to_tree(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return a value as a tree for JSON, and the tensors that the tree names.

    Raises
    ------
    TypeError
        If something in it cannot be stored; the message says where it is, and the way out.

    Examples
    --------
    >>> to_tree({"shape": (3, 4), "loss": float("nan")})
    ({'shape': {'$tuple': [3, 4]}, 'loss': {'$float': 'nan'}}, {})
    """
    writer = _TreeWriter()
    return writer.write(value, ""), writer.tensors


def from_tree(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value of which :func:`to_tree` made a tree.

    Raises
    ------
    FileFormatError
        If the tree names what is not registered, or arguments that a class does not take.
    """
    return _TreeReader(tensors).read(tree)


class _TreeWriter:
    """From values to JSON and named tensors; a dict with a key ``$…`` stands for all that JSON does not know."""

    def __init__(self, within_cell: bool = False) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._stored: list[Tensor] = []  # keeps alive what the ids above stand for
        self._within_cell = within_cell  # where a cell is looked at as a whole, its parts need no look

    def write(self, value: Any, path: str, depth: int = 0) -> Any:
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
            return {"$class": class_name(value, path)}
        if hasattr(value, "to_content"):
            content = self.write(value.to_content(), path, depth + 1)
            return {"$estimator": class_name(type(value), path), "content": content}
        if isinstance(value, nn.Module):
            return self._cell(value, path, depth)
        if _is_offset(value):
            return {"$offset": self.write(importlib.import_module("seqdyn.data.offsets").offset_content(value), path)}
        if dataclasses.is_dataclass(value):
            names: Iterable[str] = [field.name for field in dataclasses.fields(value) if field.init]
        elif isinstance(value, tuple) and hasattr(value, "_fields"):
            names = value._fields
        else:
            return self._container(value, path, depth)
        fields = {name: self.write(getattr(value, name), _path_to(path, name), depth + 1) for name in names}
        return {"$record": class_name(type(value), path), "fields": fields}

    def _container(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, list | tuple):
            items = [self.write(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        if not isinstance(value, dict):
            _refuse_value(value, path)
        items = [(self.write(key, f"a key of {path or 'content'}"), self.write(item, _path_to(path, key), depth + 1))
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
            items = [self.write(item, f"{path}[{index}]") for index, item in enumerate(labels)]
            return {"$labels": items, "dtype": dtype.str, "shape": list(value.shape)}
        if dtype.kind not in "biufcmM" or dtype in (np.longdouble, np.clongdouble):
            raise TypeError(f"{path or 'content'} is an array of {dtype}, which a file cannot hold: use .astype(…).")
        native = value.astype(dtype.newbyteorder("="), order="C", copy=True)
        if dtype.kind in "mM":
            tensor = self._tensor(torch.from_numpy(native.view(np.int64)), path)
            return {"$array": tensor, "dtype": native.dtype.str}
        return {"$array": self._tensor(torch.from_numpy(native), path)}

    def _cell(self, cell: nn.Module, path: str, depth: int) -> dict[str, Any]:
        name, outermost = class_name(type(cell), path), not self._within_cell
        self._within_cell = True
        arguments = _constructor_arguments(cell, path)
        state = cell.state_dict(keep_vars=True)
        modules, buffers = cell.named_modules(remove_duplicate=False), cell.named_buffers(remove_duplicate=False)
        node = {
            "$cell": name,
            "arguments": {key: self.write(value, _path_to(path, key), depth + 1) for key, value in arguments.items()},
            "state": {key: self.write(value, _path_to(path, key), depth + 1) for key, value in state.items()},
            "frozen": [key for key, value in cell.named_parameters() if not value.requires_grad],
            "evaluating": [key for key, module in modules if not module.training],
            "derived": {key: str(value.dtype) for key, value in buffers if key not in state},
        }
        if outermost:
            self._check(cell, path)
            self._within_cell = False
        return node

    def _check(self, cell: nn.Module, path: str) -> None:
        """Rebuild the cell, and look whether the same would be stored of it."""
        trial, again = _TreeWriter(within_cell=True), _TreeWriter(within_cell=True)
        node = trial.write(cell, "")
        try:
            with torch.random.fork_rng(devices=[]):
                rebuilt = _TreeReader(trial.tensors).read(node)
            same = again.write(rebuilt, "") == node
            reason = "its constructor makes other attributes of them"
        except Exception as error:
            same, reason = False, str(error)
        if not same:
            raise TypeError(
                f"{path or 'The cell'} ({type(cell).__name__}) cannot be rebuilt from its attributes: {reason}. Store "
                "every constructor argument under its own name, or define constructor_arguments() -> dict for those "
                "that are not."
            )


class _TreeReader:
    """The inverse of :class:`_TreeWriter`; it calls nothing but what the registry names."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.tensors = tensors

    def read(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.read(item) for item in node]
        if not isinstance(node, dict):
            return node
        kind = next((key for key in node if key.startswith("$")), None)
        if kind is None:
            return {key: self.read(item) for key, item in node.items()}
        kinds: dict[str, Callable[[dict[str, Any]], Any]] = {
            "$float": lambda node: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[node["$float"]],
            "$tuple": lambda node: tuple(self.read(node["$tuple"])),
            "$dict": lambda node: {self.read(key): self.read(item) for key, item in node["$dict"]},
            "$class": lambda node: named_class(node["$class"]),
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
            array[index] = self.read(item)
        array = array.reshape(node["shape"])
        return array[()] if node.get("scalar") else array

    def _record(self, node: dict[str, Any]) -> Any:
        cls = named_class(node["$record"])
        if not (inspect.isclass(cls) and (dataclasses.is_dataclass(cls) or hasattr(cls, "_fields"))):
            raise FileFormatError(f"names {node['$record']!r} as a record, which it is not.")
        return _construct(cls, self.read(node["fields"]))

    def _cell(self, node: dict[str, Any]) -> nn.Module:
        cls = named_class(node["$cell"])
        if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
            raise FileFormatError(f"names {node['$cell']!r} as a cell, which it is not.")
        cell = cast(nn.Module, _construct(cls, self.read(node["arguments"])))
        state = self.read(node["state"])
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
        cls = named_class(node["$estimator"])
        if not hasattr(cls, "from_content"):
            raise FileFormatError(f"names {node['$estimator']!r} as an estimator, which it is not.")
        return cls.from_content(self.read(node["content"]))

    def _offset(self, node: dict[str, Any]) -> Any:
        return importlib.import_module("seqdyn.data.offsets").offset_from(self.read(node["$offset"]))


def _constructor_arguments(cell: Any, path: str) -> dict[str, Any]:
    """What the constructor was called with, read from the attributes of the same names."""
    told = dict(cell.constructor_arguments()) if hasattr(cell, "constructor_arguments") else {}
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


def _construct(cls: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return cls(**arguments)
    except Exception as error:
        given = ", ".join(f"{name}=…" for name in arguments)
        raise FileFormatError(f"holds arguments that {cls.__name__}({given}) does not take: {error}") from error


def _refuse_value(value: Any, path: str) -> NoReturn:
    way = "use numbers, strings, lists, dicts, arrays and tensors, or a class decorated with @seqdyn.register"
    if callable(value):
        way = "write it as a function decorated with @seqdyn.register, or name it, as in loss='mse'"
    elif isinstance(value, np.random.RandomState | np.random.Generator | torch.Generator):
        way = "use an int as the seed"
    raise TypeError(f"{path or 'content'} is {kind_in_words(value)}, which a file cannot hold without code: {way}.")


def _is_offset(value: Any) -> bool:
    """Whether it is one of pandas' own steps of a calendar; told by name, since this floor knows no pandas."""
    cls = type(value)
    bases = {f"{base.__module__}.{base.__name__}" for base in cls.__mro__}
    return cls.__module__.startswith("pandas") and "pandas._libs.tslibs.offsets.BaseOffset" in bases


def kind_in_words(value: Any) -> str:
    """Return the type of a value with its article, for messages."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _path_to(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)
