"""The parts of a torch model: its recurrences, the encoders before them and the heads behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from seqdyn.row_modules import layer_widths
from seqdyn.torch_modules import RECURRENT, inside

IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout)
"""What does nothing in inference."""


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
    return [part for key, child in model.named_children() for part in parts_of(child, _child_name(model, name, key))]


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


def left_out(model: nn.Module) -> list[str]:
    """What is in none of the calls of :func:`how_to_convert`, and so in no cell that they make.

    Dropout, which does nothing in inference, and losses are not counted.

    Examples
    --------
    >>> left_out(nn.Sequential(nn.GRU(4, 5), nn.MultiheadAttention(5, 1), nn.Dropout(), nn.Linear(5, 1)))
    ['model[1]']
    """
    parts = parts_of(model)
    taken = {name for place, part in enumerate(parts) if part.recurrent for name in _parts_in_call(parts, place)}
    inside_parts = {id(own) for part in parts for own in part.module.parameters()}
    loose = [f"model.{name}" for name, own in model.named_parameters() if id(own) not in inside_parts]
    return [part.name for part in parts if part.name not in taken and not _idle(part.module)] + loose


def _idle(module: nn.Module) -> bool:
    """Whether it is no part of what a model computes in inference."""
    return isinstance(module, IDLE) or type(module).__module__ == nn.CrossEntropyLoss.__module__


def recurrent_parts(model: nn.Module) -> list[Part]:
    """The recurrences of a model."""
    return [part for part in parts_of(model) if part.recurrent]


def attention_in(model: nn.Module) -> list[str]:
    """The names of the parts that attend: torch's own, and those whose class or own name says so.

    Examples
    --------
    >>> attention_in(nn.TransformerEncoderLayer(8, 2))
    ['self_attn']
    """
    return [name or "itself" for name, part in model.named_modules() if _attends(name, part)]


def _attends(name: str, part: nn.Module) -> bool:
    called = type(part).__name__.lower()
    own = name.rpartition(".")[2].rpartition("_")[2]  # cross_attn
    return isinstance(part, nn.MultiheadAttention) or "attention" in called or "attn" in (called, own)


def _call(parts: list[Part], place: int) -> str:
    """The call for the recurrence at a place among the parts."""
    name, module = parts[place]
    direction = ', direction="forward"' if _two_directions(module) else ""
    encoder, head = _encoder(parts, place), _reading_parts(parts, place)
    return f"from_torch({name}{_argument('head', head)}{_argument('encoder', encoder)}{direction})"


def _parts_in_call(parts: list[Part], place: int) -> list[str]:
    """The names of all that is in the call for the recurrence at a place."""
    return [*_encoder(parts, place), parts[place].name, *_reading_parts(parts, place)]


def _encoder(parts: list[Part], place: int) -> list[str]:
    """What seems to make the inputs of a recurrence, of the parts back to the one before it."""
    first = max((other + 1 for other in range(place) if parts[other].recurrent), default=0)
    return _leading_parts(parts[first:place], (parts[place].module.input_size,))


def _reading_parts(parts: list[Part], place: int) -> list[str]:
    """What seems to read a recurrence, of the parts up to the one behind it."""
    module = parts[place].module
    last = next((other for other in range(place + 1, len(parts)) if parts[other].recurrent), len(parts))
    return [] if _two_directions(module) else _behind(parts[place + 1 : last], (module.hidden_size,))


def _behind(parts: list[Part], width: Any) -> list[str]:
    """The parts that read what is so wide, one after the other."""
    names = []
    for part in parts:
        taken, given = layer_widths(part.module)
        if taken is not None and taken == width:
            names.append(part.name)
            width = given
    return names


def _leading_parts(parts: list[Part], width: Any) -> list[str]:
    """The parts that lead to what is so wide, one after the other."""
    names: list[str] = []
    for part in reversed(parts):
        taken, given = layer_widths(part.module)
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


def _child_name(model: nn.Module, name: str, key: str) -> str:
    """How a child of a module is written."""
    if isinstance(model, nn.ModuleDict):
        return f"{name}[{key!r}]"
    return f"{name}[{key}]" if isinstance(model, nn.Sequential | nn.ModuleList) else f"{name}.{key}"
