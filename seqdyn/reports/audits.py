"""Audits: what no model may fail to do.

    causality     the output at step i does not depend on the input at a later step j > i
    padding       a sequence gives the same outputs alone and in a batch of longer ones

They run the model on inputs made for the purpose, and report where it fails.
:mod:`seqdyn.reports.likelihood_audit` has a third one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from seqdyn.autoencoder import Autoencoder
from seqdyn.cell import Cell
from seqdyn.checks import check_count
from seqdyn.dynamics.trajectory import double
from seqdyn.encoder import Encoder, Ensemble
from seqdyn.encoder_decoder import EncoderDecoder
from seqdyn.estimators.autoencoder import SequenceAutoencoder
from seqdyn.estimators.network_estimator import NetworkEstimator
from seqdyn.estimators.sequence import SequenceEstimator
from seqdyn.facts import fact_line
from seqdyn.language.model import LanguageModel
from seqdyn.loops import scan
from seqdyn.picture_encoder import PictureEncoder
from seqdyn.state import is_held, leaves, map_leaves
from seqdyn.training.forward import Annotator


@dataclass(frozen=True)
class Audit:
    """The result of an audit; it is true if the model passed.

    Attributes
    ----------
    name : str
        "causality", "padding" or "likelihood".
    passed : bool
        Whether the model passed.
    reason : str
        The finding in one sentence.
    places : tuple of pairs of int
        Where it failed. Causality: steps (i, j) at which output i depends on input j. Padding: (sequence, step).
        Likelihood: (text, symbol).
    largest : float
        The largest difference that was found.
    """

    name: str
    passed: bool
    reason: str
    places: tuple[tuple[int, int], ...] = ()
    largest: float = 0.0

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return fact_line("Audit", {"name": self.name, "passed": self.passed, "reason": self.reason})

    def __str__(self) -> str:
        return f"{self.name}: {'PASS' if self.passed else 'FAIL'}. {self.reason}"


def check_causal(model: Any, X: Any = None, *, steps: int = 12, seed: int = 0) -> Audit:
    """Check that no output of a model depends on a later input.

    The input is changed at one step after another; all outputs before that step must stay the same, to the bit.

    Parameters
    ----------
    model : Cell, Encoder, EncoderDecoder, fitted estimator, model of texts, or callable
        A callable is ``(x, mask) -> outputs``, with x as in X.
    X : Tensor, shape (batch, time, *inputs), or a tree of such, optional
        Inputs in the units of the network; None: random ones of shape (2, steps, *input_shape).
    steps : int, at least 2
        Steps of the random inputs.
    seed : int
        Of everything drawn.

    Returns
    -------
    Audit

    Raises
    ------
    TypeError
        If the model is none of those.
    ValueError
        If no X can be drawn for it.

    Examples
    --------
    >>> import seqdyn
    >>> from seqdyn.cells.gru import GRU
    >>> print(check_causal(GRU(3, 4)))
    causality: PASS. No output of 12 steps changed with an input after it.
    >>> check_causal(seqdyn.Encoder([(GRU(3, 4), GRU(3, 4))]), steps=3).places
    ((0, 1), (0, 2), (1, 2))
    """
    run, x, generator = _prepared(model, X, check_count("steps", steps, 2), seed)
    before = run(x, None)
    time, places, largest = leaves(x)[0].shape[1], [], 0.0
    for j in range(1, time):
        after = run(_changed(x, j, _symbol_count(model), generator), None)
        gaps = _gaps(after, before)[:, :j].amax(0)
        places += [(i, j) for i in (gaps != 0).nonzero().flatten().tolist()]
        largest = max(largest, float(gaps.max()))
    if not places:
        return Audit("causality", True, f"No output of {time} steps changed with an input after it.")
    (i, j), many = places[0], f"{len(places)} pair{'s' if len(places) > 1 else ''} in all"
    reason = f"The output at step {i} changed with the input at step {j}, by up to {largest:.2g}; {many}."
    return Audit("causality", False, reason, tuple(places), largest)


def check_padding(model: Any, X: Any = None, *, steps: int = 12, seed: int = 0, tolerance: float = 1e-9) -> Audit:
    """Check that a sequence gives the same outputs alone and in a padded batch, whatever the padding holds.

    Parameters
    ----------
    model, X, steps, seed
        As in :func:`check_causal`; the sequences are cut to different lengths.
    tolerance : float
        The largest difference that passes, relative to the largest output.

    Returns
    -------
    Audit

    Examples
    --------
    >>> from seqdyn.cells.lstm import LSTM
    >>> print(check_padding(LSTM(3, 4)))
    padding: PASS. 4 sequences of 1 to 12 steps have the same outputs alone and in a batch.
    """
    run, x, generator = _prepared(model, X, check_count("steps", steps, 2), seed, batch=4)
    batch, time = leaves(x)[0].shape[:2]
    lengths = torch.linspace(1, time, batch).round().long()
    mask = torch.arange(time) < lengths[:, None]
    places, largest, size = [], 0.0, 0.0
    for padded in (x, _scrambled(x, mask, _symbol_count(model), generator)):
        together = run(padded, mask)
        for row, length in enumerate(lengths.tolist()):
            own = map_leaves(lambda leaf: leaf[row : row + 1, :length], x)  # noqa: B023
            alone = run(own, torch.ones(1, length, dtype=torch.bool))
            gaps = _gaps(map_leaves(lambda leaf: leaf[row : row + 1, :length], together), alone)[0]  # noqa: B023
            size = max(size, *(float(leaf.abs().max()) for leaf in leaves(alone)))
            places += [(row, step) for step in (gaps > tolerance * max(size, 1e-300)).nonzero().flatten().tolist()]
            largest = max(largest, float(gaps.max()))
    told = f"{batch} sequence{'s' if batch > 1 else ''} of {int(lengths[0])} to {time} steps"
    if not places:
        return Audit("padding", True, f"{told} have the same outputs alone and in a batch.", largest=largest)
    row, step = places[0]
    reason = f"Of {told}, number {row} gives another output at step {step} in a batch, by up to {largest:.2g}."
    return Audit("padding", False, reason, tuple(dict.fromkeys(places)), largest)


def _network(model: Any) -> Any:
    """The network of a fitted model, or what was given."""
    if isinstance(model, SequenceAutoencoder):
        network = model.network_
    else:
        network = model.predictor_.network if isinstance(model, SequenceEstimator | NetworkEstimator) else model
    if not callable(network):
        raise TypeError(
            f"An audit takes a Cell, an Encoder, a fitted estimator or a callable (x, mask) -> outputs, got "
            f"{type(model).__name__}."
        )
    return network


def _prepared(
    model: Any, X: Any, steps: int, seed: int, batch: int = 2
) -> tuple[Callable[[Any, Tensor | None], Any], Any, torch.Generator]:
    """A function that runs a copy of the model in double precision on the CPU, its inputs, and a generator."""
    network, generator = _network(model), torch.Generator().manual_seed(seed)
    if isinstance(network, nn.Module):
        network = copy.deepcopy(network).double().cpu().eval()
    if X is None:
        X = _random_inputs(model, network, batch, steps, generator)
    elif isinstance(model, LanguageModel) and isinstance(X, str):
        X = model.rows(X).x[None]
    x = double(torch.as_tensor(X) if isinstance(X, np.ndarray) else X)

    @torch.no_grad()
    def run(x: Any, mask: Tensor | None) -> Any:
        if isinstance(network, Cell):
            return scan(network, x, mask=mask).output
        if isinstance(network, EncoderDecoder):
            return _decoded(network, x, mask)
        return network(x, mask).output if isinstance(network, Encoder | Ensemble) else network(x, mask)

    return run, x, generator


def _decoded(network: EncoderDecoder, x: Tensor, mask: Tensor | None) -> Tensor:
    """The output of a decoder on x as its own symbols, or on x as its source.

    Without a mask x is what the decoder sees, with a fixed source; with one x is the source, and every step holds all
    that the decoder gives for fixed symbols. A picture is a source of one step, which has no padding: x is then what
    the decoder sees.
    """
    some = torch.arange(5).expand(len(x), 5)
    if isinstance(network.encoder, PictureEncoder):
        shape = network.encoder.input_shape
        picture = torch.linspace(0, 1, math.prod(shape), dtype=torch.float64).reshape(1, 1, *shape)
        return cast(Tensor, network.forced(picture.expand(len(x), *picture.shape[1:]), None, x))
    if mask is None:
        return cast(Tensor, network.forced(some % cast(int, network.encoder.input_size), None, x))
    given = network.forced(x, mask, some % network.decoder.input_size)
    return given.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)


def _random_inputs(model: Any, network: Any, batch: int, steps: int, generator: torch.Generator) -> Tensor:
    """Random inputs for a network with an ``input_shape``."""
    inner = _taking(network)
    shape = getattr(inner, "input_shape", None)
    if shape is None:
        raise ValueError(f"{type(model).__name__} has no input_shape: give X (batch, time, *inputs).")
    if shape:
        return torch.randn(batch, steps, *shape, generator=generator, dtype=torch.float64)
    return torch.randint(inner.input_size, (batch, steps), generator=generator)


def _symbol_count(model: Any) -> int | None:
    """The size of the vocabulary of a model of tokens."""
    return cast("int | None", getattr(_taking(_network(model)), "input_size", None))


def _taking(network: Any) -> Any:
    """The part of a network that takes its inputs: the encoder or decoder with the smaller vocabulary."""
    if isinstance(network, EncoderDecoder):
        if isinstance(network.encoder, PictureEncoder):
            return network.decoder
        few = cast(int, network.encoder.input_size) < network.decoder.input_size
        return network.encoder if few else network.decoder
    return network.encoder if isinstance(network, Annotator | Autoencoder) else network


def _changed(x: Any, step: int, symbols: int | None, generator: torch.Generator) -> Any:
    """x with another value at one step; inputs that are held in time stay."""

    def change(leaf: Tensor) -> Tensor:
        if is_held(leaf):
            return leaf
        leaf = leaf.clone()
        leaf[:, step] = _other(leaf[:, step], symbols, generator)
        return leaf

    return map_leaves(change, x)


def _scrambled(x: Any, mask: Tensor, symbols: int | None, generator: torch.Generator) -> Any:
    """x with other values in the padding."""

    def scramble(leaf: Tensor) -> Tensor:
        marks = mask.reshape(*mask.shape, *[1] * (leaf.dim() - 2))
        return leaf if is_held(leaf) else torch.where(marks, leaf, _other(leaf, symbols, generator))

    return map_leaves(scramble, x)


def _other(values: Tensor, symbols: int | None, generator: torch.Generator) -> Tensor:
    """Numbers shifted by standard normal ones, or other tokens."""
    if values.is_floating_point():
        return values + torch.randn(values.shape, generator=generator, dtype=values.dtype)
    count = symbols or int(values.max()) + 1
    return (values + torch.randint(1, max(count, 2), values.shape, generator=generator)) % count


def _gaps(one: Any, other: Any) -> Tensor:
    """The largest difference of two outputs at every step, (batch, time); a NaN counts as infinite."""
    found = [
        torch.nan_to_num((a.double() - b.double()).abs(), nan=torch.inf).flatten(2).amax(2)
        if a.dim() > 2
        else (a.double() - b.double()).abs()
        for a, b in zip(leaves(one), leaves(other), strict=True)
    ]
    return torch.stack(found).amax(0)
