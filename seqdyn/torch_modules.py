"""torch's recurrent modules: their types, the names of their parameters, and their wrappers.

h_t = f(W_ih x_t + b_ih, W_hh h_{t-1} + b_hh)
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

RECURRENT: tuple[type[nn.Module], ...] = (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell)
"""torch's own recurrences."""


class Layer(NamedTuple):
    """One layer of a recurrent module in one direction, by the names of its parameters.

    Attributes
    ----------
    module : nn.Module
        One of :data:`RECURRENT`.
    suffix : str
        What torch appends to the names: ``""`` for a cell, else ``"_l0"``, ``"_l0_reverse"``, …
    """

    module: Any
    suffix: str

    @property
    def input_weight(self) -> str:
        """The name of W_ih, (gates · hidden, inputs)."""
        return f"weight_ih{self.suffix}"

    @property
    def recurrent_weight(self) -> str:
        """The name of W_hh, (gates · hidden, hidden)."""
        return f"weight_hh{self.suffix}"

    @property
    def biases(self) -> tuple[str, ...]:
        """The names of b_ih and b_hh, (gates · hidden,) each; none where the module has no bias."""
        return (f"bias_ih{self.suffix}", f"bias_hh{self.suffix}") if self.module.bias else ()


def layers_of(module: Any) -> list[Layer]:
    """The layers of a recurrent module in the order torch keeps them: from input to output, forward before backward.

    Examples
    --------
    >>> [layer.recurrent_weight for layer in layers_of(nn.GRU(3, 4, bidirectional=True))]
    ['weight_hh_l0', 'weight_hh_l0_reverse']
    >>> layers_of(nn.LSTMCell(3, 4, bias=False))[0].biases
    ()
    """
    if not isinstance(module, nn.RNNBase):
        return [Layer(module, "")]
    directions = ("", "_reverse") if module.bidirectional else ("",)
    return [Layer(module, f"_l{index}{way}") for index in range(module.num_layers) for way in directions]


def takes_time_first(module: Any) -> bool:
    """Whether it takes its data as (time, batch, inputs).

    Examples
    --------
    >>> [takes_time_first(module) for module in (nn.GRU(3, 4), nn.GRU(3, 4, batch_first=True), nn.GRUCell(3, 4))]
    [True, False, False]
    """
    return isinstance(module, nn.RNNBase) and not module.batch_first


def unwrapped(module: Any) -> Any:
    """The module inside DataParallel, DistributedDataParallel and torch.compile; anything else as it is.

    Examples
    --------
    >>> unwrapped(nn.DataParallel(nn.GRU(3, 4)))
    GRU(3, 4)
    """
    inner = inside(module)
    return module if inner is None else unwrapped(inner)


def inside(module: Any) -> nn.Module | None:
    """What the outermost wrapper holds; None for a module that is no wrapper."""
    if isinstance(module, DataParallel | DistributedDataParallel):
        return module.module
    if isinstance(module, nn.Module):  # the class of compiled modules is private, and slow to import
        return dict(module.named_children()).get("_orig_mod")
    return None


def bare_copy(what: str, module: nn.Module) -> nn.Module:
    """A deep copy without the wrappers, wherever they stand in it.

    Raises a ValueError if it keeps a tensor that was computed with a history; ``what`` is how the error calls it.
    """
    memo: dict[int, Any] = {}
    try:
        for part in reversed(list(module.modules())):
            if inside(part) is not None:
                memo[id(part)] = copy.deepcopy(unwrapped(part), memo)
        return copy.deepcopy(unwrapped(module), memo)
    except RuntimeError as error:
        raise ValueError(
            f"{what} ({type(module).__name__}) cannot be copied: it keeps a tensor that was computed with a history. "
            "Store value.detach(), or convert the module before it has been run."
        ) from error


def check_values(what: str, module: nn.Module) -> None:
    """Raise if a parameter has no value yet: on the device "meta", or of a lazy module.

    Examples
    --------
    >>> check_values("The head", nn.Linear(2, 1, device="meta"))
    Traceback (most recent call last):
    ...
    ValueError: The head (Linear) is on the device 'meta': weight has a shape but no values. Load them first: \
module.to_empty(device='cpu') and module.load_state_dict(...).
    """
    for name, value in chain(module.named_parameters(), module.named_buffers()):
        if is_lazy(value):
            raise ValueError(f"{what} ({type(module).__name__}) is lazy: {name} has no shape yet. Run the model once.")
        if value.is_meta:
            raise ValueError(
                f"{what} ({type(module).__name__}) is on the device 'meta': {name} has a shape but no values. Load "
                "them first: module.to_empty(device='cpu') and module.load_state_dict(...)."
            )


@torch.no_grad()
def copy_sum(parameter: Any, sources: list[Tensor]) -> None:
    """Make a parameter the sum of the sources, trained if one of them is.

    Examples
    --------
    >>> bias = nn.Parameter(torch.ones(2))
    >>> copy_sum(bias, [torch.ones(2), torch.ones(2)])
    >>> bias
    Parameter containing:
    tensor([2., 2.])
    """
    parameter.zero_()
    for source in sources:
        parameter.add_(source)
    parameter.requires_grad_(any(source.requires_grad for source in sources))
