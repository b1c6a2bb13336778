"""A torch model taken apart: its recurrences, what stands before them, and what reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from seqdyn.row_modules import widths
from seqdyn.torch_modules import RECURRENT, inside


class Part(NamedTuple):
    """A part of a model, and how to write it: ``model.layers[0].lstm``."""

    name: str
    module: Any

    @property
    def recurrent(self) -> bool:
        """Whether it is one of torch's recurrences."""
        return isinstance(self.module, RECURRENT)


def parts_of(model: nn.Module, name: str = "model") -> list[Part]:
    """The recurrences of a model and the largest parts that hold none, in the order in which it names them.

    Examples
    --------
    >>> [part.name for part in parts_of(nn.Sequential(nn.Linear(3, 4), nn.GRU(4, 5)))]
    ['model[0]', 'model[1]']
    """
    if isinstance(model, RECURRENT) or not any(isinstance(part, RECURRENT) for part in model.modules()):
        return [Part(name, model)]
    inner = inside(model)
    if inner is not None:
        return parts_of(inner, f"{name}.{next(key for key, child in model.named_children() if child is inner)}")
    return [part for key, child in model.named_children() for part in parts_of(child, _member(model, name, key))]


def how_to_convert(model: nn.Module) -> str:
    """The calls of ``from_torch`` that take the recurrences of a model, with what seems to belong to each of them.

    A head is what takes rows as wide as the recurrence gives, an encoder what gives rows as wide as it takes.

    Examples
    --------
    >>> how_to_convert(nn.Sequential(nn.Linear(3, 4), nn.GRU(4, 5), nn.Linear(5, 1)))
    'from_torch(model[1], head=model[2], encoder=model[0])'
    """
    parts = parts_of(model)
    return " or ".join(_call(parts, place) for place, part in enumerate(parts) if part.recurrent)


def recurrent_parts(model: nn.Module) -> list[Part]:
    """The recurrences of a model."""
    return [part for part in parts_of(model) if part.recurrent]


def attention_in(model: nn.Module) -> list[str]:
    """The names of the parts that attend: torch's own, and those that are called so.

    Examples
    --------
    >>> attention_in(nn.TransformerEncoderLayer(8, 2))
    ['self_attn']
    """
    return [name or "itself" for name, part in model.named_modules() if _attends(part)]


def _attends(part: nn.Module) -> bool:
    return isinstance(part, nn.MultiheadAttention) or "attention" in type(part).__name__.lower()


def _call(parts: list[Part], place: int) -> str:
    """The call for the recurrence at a place among the parts."""
    name, module = parts[place]
    between = [other for other, part in enumerate(parts) if part.recurrent and other != place]
    first = max((other + 1 for other in between if other < place), default=0)
    last = min((other for other in between if other > place), default=len(parts))
    head = [] if _two_directions(module) else _behind(parts[place + 1 : last], (module.hidden_size,))
    encoder = _before(parts[first:place], (module.input_size,))
    direction = ', direction="forward"' if _two_directions(module) else ""
    return f"from_torch({name}{_argument('head', head)}{_argument('encoder', encoder)}{direction})"


def _behind(parts: list[Part], width: Any) -> list[str]:
    """The parts that read what is so wide, one after the other."""
    names = []
    for part in parts:
        taken, given = widths(part.module)
        if taken is not None and taken == width:
            names.append(part.name)
            width = given
    return names


def _before(parts: list[Part], width: Any) -> list[str]:
    """The parts that lead to what is so wide, one after the other."""
    names: list[str] = []
    for part in reversed(parts):
        taken, given = widths(part.module)
        if given is not None and given == width:
            names.insert(0, part.name)
            width = taken
    return names


def _argument(name: str, parts: list[str]) -> str:
    if not parts:
        return ""
    return f", {name}={parts[0]}" if len(parts) == 1 else f", {name}=nn.Sequential({', '.join(parts)})"


def _two_directions(module: Any) -> bool:
    return bool(getattr(module, "bidirectional", False))


def _member(model: nn.Module, name: str, key: str) -> str:
    """How a child of a module is written."""
    if isinstance(model, nn.ModuleDict):
        return f"{name}[{key!r}]"
    return f"{name}[{key}]" if isinstance(model, nn.Sequential | nn.ModuleList) else f"{name}.{key}"
