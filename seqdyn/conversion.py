"""Convert torch's recurrent networks to cells that compute the same numbers.

y_t = head(h_t),   h_t = f(encoder(x_t), h_{t-1}),   with f an nn.RNN, nn.LSTM, nn.GRU, or one of their cells
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import nn

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.checks import check_choice
from seqdyn.composition import Embedding, Readout, Stack
from seqdyn.model_parts import attention_in, how_to_convert, left_out, recurrent_parts
from seqdyn.row_modules import Encoded, Headed, head_width, own_module
from seqdyn.state import State
from seqdyn.step_function import StepFunction
from seqdyn.torch_modules import RECURRENT, Layer, check_values, copy_sum, layers_of, takes_time_first, unwrapped

OWN_RECURRENCE = (
    "write the recurrence as a Cell, which takes about ten lines (see seqdyn.cell.Cell), and every instrument takes it."
)
OWN_STEP = "If its forward is one step (x, h) -> (y, h), give initial_state and input_size."
NO_STATE = (
    "every output looks at all inputs at once, so that there is no state h_t of fixed size which one step hands to the "
    "next, and no memory to measure. How much an output depends on every input is a gradient: "
    "torch.autograd.grad(model(x)[:, -1].sum(), x)."
)
IF_IT_ATTENDS = f"If it is an attention model, there is nothing to write: {NO_STATE}"
TAKEN = f"from_torch takes {', '.join(f'nn.{kind.__name__}' for kind in RECURRENT)}, or a step function"


def from_torch(
    module: nn.Module | Callable[[Any, Any], Any],
    head: nn.Module | None = None,
    *,
    encoder: nn.Module | None = None,
    direction: str | None = None,
    initial_state: State | None = None,
    input_size: int | tuple[int, ...] | None = None,
) -> Cell:
    """Convert a torch network to a cell that computes the same: y_t = head(h_t), h_t = f(encoder(x_t), h_{t-1}).

    Parameters
    ----------
    module : nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell, or a step function
        f, with any number of layers, with or without biases. Or any function or module ``(x, h) -> (y, h)`` that
        computes one step, with ``initial_state`` and ``input_size``; see
        :class:`~seqdyn.step_function.StepFunction`. It stays as it is.
    head : nn.Module, optional
        What reads the last layer: from h_t (batch, hidden) to y_t (batch, outputs). None: y_t = h_t.
    encoder : nn.Module, optional
        What the inputs pass through first: from x_t (batch, *inputs) to what f takes, such as an nn.Linear, or an
        nn.Embedding for tokens.
    direction : {"forward", "backward"}, optional
        Which direction of a bidirectional module of one layer. The backward one runs on the reversed sequence:
        ``scan(cell, x, reverse=True)`` gives the outputs that torch gives.
    initial_state : tree of Tensor, optional
        h_{-1} of one row, for a step function only.
    input_size : int or tuple of int, optional
        The width of x_t, or its shape without the batch (``()`` for tokens). Needed for a step function, and for an
        encoder whose first layer does not tell.

    Returns
    -------
    Cell
        An :class:`~seqdyn.cells.elman.Elman`, :class:`~seqdyn.cells.lstm.LSTM` or :class:`~seqdyn.cells.gru.GRU`, a
        :class:`~seqdyn.composition.Stack` of them where there are several layers; around it a
        :class:`~seqdyn.composition.Readout` where the head is an nn.Linear, a :class:`~seqdyn.row_modules.Headed`
        where it is something else; and a :class:`~seqdyn.composition.Embedding` where the encoder is an nn.Embedding,
        an :class:`~seqdyn.row_modules.Encoded` where it is something else. Dtype (half precision, too), device,
        ``requires_grad`` and training mode are the module's.

        Its attribute ``torch_names`` says what each of its parameters is called in torch, with "head." and "encoder."
        before the names of those two: {"bias": "bias_ih_l0 + bias_hh_l0"}. A parameter that torch does not have, such
        as the bias of a module without, is not in it. Its attribute ``torch_module`` is the name of what was given,
        "LSTM", and ``torch_batch_first`` is False where that takes its data as (time, batch, inputs): then a report
        reads three axes so, as it does for the module itself. Files keep none of the three.

    Raises
    ------
    TypeError
        If the module is of another kind. For a model that holds a recurrence, the message says what to give.
    ValueError
        If the module is bidirectional and no direction is chosen, or projects its state; if its weights have no
        values; if head or encoder do not fit or do not work row by row; or if a step function breaks a rule of steps.

    Notes
    -----
    The weights are *copied*: training one does not train the other. torch adds two biases, of which the cell has the
    sum; the GRU's b_hn, ``bias_hh_l0[2 * hidden_size:]``, stays apart. A bias that is not there is one of zeros that is
    not trained.

    nn.DataParallel, DistributedDataParallel and torch.compile are looked through.

    The cell is the module in inference: ``dropout`` between layers, which torch draws anew at every step, is left out.
    ``batch_first`` is a layout of data: scan runs the cell over (batch, time, inputs) whatever the module's is.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.loops import scan
    >>> lstm, head = torch.nn.LSTM(3, 8, num_layers=2, batch_first=True), torch.nn.Linear(8, 1)
    >>> cell, x = from_torch(lstm, head), torch.zeros(4, 10, 3)
    >>> torch.allclose(scan(cell, x).output, head(lstm(x)[0]), atol=1e-6)
    True
    >>> cell.torch_names["cell.layers.1.bias"]
    'bias_ih_l1 + bias_hh_l1'

    A recurrence of your own, given as one step:

    >>> weight = 0.5 * torch.eye(2)
    >>> def step(x, h):
    ...     h = torch.tanh(x + h @ weight)
    ...     return h, h
    >>> scan(from_torch(step, initial_state=torch.zeros(2), input_size=2), torch.zeros(4, 10, 2)).output.shape
    torch.Size([4, 10, 2])
    """
    bare = unwrapped(module)
    if initial_state is not None and not isinstance(bare, RECURRENT):
        return _of_torch(_of_step(bare, initial_state, input_size, head, encoder, direction), bare)
    _check_module(bare, module)
    _check_arguments(bare, initial_state, input_size, encoder)
    cell = _recurrent(bare, _layers(bare, direction))
    if head is not None:
        cell = _with_head(cell, head, direction)
    if encoder is not None:
        cell = _with_encoder(cell, encoder, input_size)
    return _of_torch(cell.train(bare.training), bare)


def _of_torch(cell: Cell, given: Any) -> Cell:
    """The cell, with what it was made of and how that takes its data."""
    name = type(given).__name__ if isinstance(given, nn.Module) else getattr(given, "__name__", type(given).__name__)
    cell.torch_module = "step function" if name == "<lambda>" else name  # type: ignore[assignment]
    cell.torch_batch_first = not takes_time_first(given)  # type: ignore[assignment]
    return cell


def _check_module(module: Any, given: Any) -> None:
    """Raise unless it is one of torch's recurrences that a cell can be; ``given`` is it with its wrappers."""
    kind = next((kind for kind in RECURRENT if isinstance(module, kind)), None)
    if kind is None:
        raise TypeError(_explain_other_module(given))
    name = type(module).__name__
    if type(module).forward is not kind.forward:
        raise TypeError(f"{name} computes something of its own, not what {kind.__name__} does: {OWN_RECURRENCE}")
    if getattr(module, "proj_size", 0):
        raise ValueError(f"The {name} has proj_size={module.proj_size}, expected 0: {OWN_RECURRENCE}")
    check_values("The module", module)


def _explain_other_module(module: Any) -> str:
    """What to say of something that is no recurrent module."""
    kind = type(unwrapped(module))
    name = f"{kind.__module__}.{kind.__name__}" if kind.__module__.startswith("torch.ao") else kind.__name__
    wanted = f"{TAKEN}; got {name}"
    if isinstance(module, Cell):
        return f"{wanted}, which is a Cell already: use it as it is."
    if not isinstance(module, nn.Module):
        step = ": a step (x, h) -> (y, h) needs initial_state and input_size." if callable(module) else "."
        return wanted + step
    if kind.__module__.startswith(("torch.ao", "torch.jit")):
        return f"{wanted}, which is quantised or compiled by torch.jit: give the nn.Module that it was made from."
    return wanted + (_of_what_it_holds(module) or f": {OWN_RECURRENCE} {OWN_STEP} {IF_IT_ATTENDS}")


def _of_what_it_holds(module: nn.Module) -> str:
    """What to say of a model with a recurrence or with attention inside; empty for any other."""
    recurrent = ", ".join(f"{part.name} ({type(part.module).__name__})" for part in recurrent_parts(module))
    if recurrent:
        return (
            f", which holds {recurrent}. Give the recurrence, with what reads it as the head and what makes its inputs "
            f"as the encoder, joined as in the model's forward: {how_to_convert(module)}.{_missing(module)}"
        )
    attention = attention_in(module)
    if not attention:
        return ""
    return f", which attends ({', '.join(attention[:3])}{', …' if len(attention) > 3 else ''}): {NO_STATE}"


def _missing(module: nn.Module) -> str:
    """What a cell made in the way shown leaves out of the model, in a sentence; empty where it is all there."""
    missing = left_out(module)
    if not missing:
        return ""
    names = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'}"
    return (
        f" {names} not in it: the cell is not the whole model, and what is measured is the gradient without. Put what "
        "works row by row into the head or the encoder."
    )


def _check_arguments(module: Any, initial_state: Any, input_size: Any, encoder: Any) -> None:
    """Raise if an argument is given that belongs to another kind of module."""
    name = type(module).__name__
    if initial_state is not None:
        raise ValueError(
            f"initial_state belongs to a step function; the {name} starts from zeros. To start it elsewhere, give scan "
            "a state: scan(cell, x, state)."
        )
    if input_size is not None and encoder is None and input_size != module.input_size:
        raise ValueError(
            f"input_size={input_size!r}, but the {name} takes rows of {module.input_size}: leave it out, or give the "
            "encoder that makes them."
        )


def _layers(module: Any, direction: str | None) -> list[Layer]:
    """The layers that are converted: all, or those of one direction."""
    check_choice("direction", direction, (None, "forward", "backward"))
    name, layers = type(module).__name__, layers_of(module)
    two = getattr(module, "bidirectional", False)
    if direction is None and not two:
        return layers
    if not two:
        raise ValueError(f"direction={direction!r} picks one of two, but the {name} has one only: leave it out.")
    if module.num_layers > 1:
        raise ValueError(
            f"The {name} is bidirectional and has {module.num_layers} layers: from the second on each reads both "
            "directions of the one below, the past and the future, so there is no state h_t that the past determines. "
            "Train one with bidirectional=False or num_layers=1; for whole sequences there is seqdyn.encoder.Encoder."
        )
    if direction is None:
        raise ValueError(
            f"The {name} is bidirectional: half of its output depends on the future, so there is no state h_t that the "
            'past determines. One direction alone has one: direction="forward" or "backward". For whole sequences '
            "there is seqdyn.encoder.Encoder."
        )
    return [layer for layer in layers if layer.suffix.endswith("_reverse") == (direction == "backward")]


def _recurrent(module: Any, layers: list[Layer]) -> Cell:
    """The layers as cells on top of each other."""
    cells: list[Any] = [_cell_of(module, layer) for layer in layers]
    if len(cells) == 1:
        return cast(Cell, cells[0])
    names = {f"layers.{i}.{key}": name for i, cell in enumerate(cells) for key, name in cell.torch_names.items()}
    return _with_torch_names(Stack(cells), names)


def _cell_of(module: Any, layer: Layer) -> Any:
    """One layer as a cell with a copy of its weights."""
    input_weight, recurrent_weight = (getattr(module, name) for name in (layer.input_weight, layer.recurrent_weight))
    biases = [getattr(module, name) for name in layer.biases]
    cell = _empty(module, input_weight.shape[1]).to(input_weight.device, input_weight.dtype)
    names = {"input_weight": layer.input_weight, "recurrent_weight": layer.recurrent_weight}
    copy_sum(cell.input_weight, [input_weight])
    copy_sum(cell.recurrent_weight, [recurrent_weight])
    if biases:
        names["bias"] = " + ".join(layer.biases)
    if isinstance(cell, GRU):
        size = module.hidden_size
        copy_sum(cell.recurrent_bias, [second[-size:] for second in biases[1:]])  # b_hn stands inside the reset
        if biases:
            names["recurrent_bias"] = f"{layer.biases[1]}[{2 * size}:]"
        biases = biases[:1] + [nn.functional.pad(second[:-size], (0, size)) for second in biases[1:]]
    copy_sum(cell.bias, biases)
    return _with_torch_names(cell, names)


def _empty(module: Any, input_size: int) -> Any:
    """A cell of the module's kind, with weights of its own."""
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        return LSTM(input_size, module.hidden_size)
    if isinstance(module, nn.GRU | nn.GRUCell):
        return GRU(input_size, module.hidden_size)
    return Elman(input_size, module.hidden_size, activation=module.nonlinearity)


def _with_head(cell: Cell, head: Any, direction: str | None) -> Cell:
    """The cell read by a head: a Readout where it is affine."""
    head = own_module("head", head)
    try:
        width = head_width(cell, head)
    except ValueError as error:
        if direction is None:
            raise
        raise ValueError(f"{error} A head that reads both directions does not fit one alone.") from error
    if type(head) is not nn.Linear:
        return _around(cell, Headed(cell, head), "head", head)
    readout = Readout(cell, width)
    readout.affine.to(head.weight.device, head.weight.dtype)
    copy_sum(readout.affine.weight, [head.weight])
    copy_sum(readout.affine.bias, [] if head.bias is None else [head.bias])
    return _around(cell, readout, "affine", head, "head")


def _with_encoder(cell: Cell, encoder: Any, input_size: Any) -> Cell:
    """The cell behind an encoder: an Embedding where it is a plain one."""
    encoded = Encoded(cell, encoder, input_size)
    inner: Any = encoded.encoder
    plain = type(inner) is nn.Embedding and inner.padding_idx is None and inner.max_norm is None
    if not plain or inner.scale_grad_by_freq:
        return _around(cell, encoded, "encoder", inner)
    embedding = Embedding(cell, inner.num_embeddings).to(inner.weight.device, inner.weight.dtype)
    copy_sum(embedding.weight, [inner.weight])
    return _around(cell, embedding, "", inner, "encoder")


def _of_step(module: Any, initial_state: Any, input_size: Any, head: Any, encoder: Any, direction: Any) -> Cell:
    """A step function as a cell."""
    for name, value in (("head", head), ("encoder", encoder), ("direction", direction)):
        if value is not None:
            raise ValueError(f"A step function takes no {name}: what it reads and gives belongs into the step itself.")
    cell = StepFunction(module, initial_state, input_size)
    names = {name: name.removeprefix("step.") for name, _ in cell.named_parameters() if name.startswith("step.")}
    names |= {name: "initial_state" for name, _ in cell.named_parameters(recurse=False)}
    return _with_torch_names(cell.train(getattr(module, "training", True)), names)


def _around(cell: Any, whole: Cell, place: str, part: nn.Module, name: str = "") -> Cell:
    """A wrapper of a cell, with the names of the cell's parameters and those of the part that it adds."""
    names = {f"cell.{key}": value for key, value in cell.torch_names.items()}
    own = (key for key, _ in part.named_parameters())
    return _with_torch_names(whole, names | {f"{place}.{key}".lstrip("."): f"{name or place}.{key}" for key in own})


def _with_torch_names(cell: Cell, names: Mapping[str, str]) -> Cell:
    """The cell, with what its parameters are called in torch."""
    cell.torch_names = dict(names)  # type: ignore[assignment]
    return cell
