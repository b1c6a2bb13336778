"""Pretraining: a training that begins with the vectors, or all the layers, of a model fitted on the texts before."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor, nn

from seqdyn.composition import Embedding
from seqdyn.encoder import Encoder


def pretraining_clone(model: Any, unit: str, reader: str, random_state: Any) -> Any:
    """A clone of a model to be fitted on the texts of another one, with its seed where it has none of its own."""
    if model.unit != unit:
        raise ValueError(f"pretraining has unit={model.unit!r}, the {reader} {unit!r}: set one unit for both.")
    own = clone(model)
    return own.set_params(random_state=random_state) if own.random_state is None else own


def copy_vectors(network: nn.Module, vectors: Tensor) -> None:
    """Set every embedding of a network to these vectors, (symbols, width)."""
    for embedding in (module for module in network.modules() if isinstance(module, Embedding)):
        if embedding.weight.shape != vectors.shape:
            raise ValueError(
                f"pretraining has vectors {vectors.shape[1]} wide, the network {embedding.weight.shape[1]}: set one "
                "embedding_size."
            )
        with torch.no_grad():
            embedding.weight.copy_(vectors)


def copy_layers(encoder: Encoder, known: Encoder) -> None:
    """Copy the weights of another encoder into the layers of this one; symbols that the other lacks keep their own."""
    own: dict[str, Any] = dict(encoder.layers.named_parameters())
    others: dict[str, Any] = dict(known.layers.named_parameters())
    parts = [[type(part).__name__ for part in one.layers.modules()] for one in (encoder, known)]
    tables = {f"{name}.weight" for name, part in encoder.layers.named_modules() if isinstance(part, Embedding)}
    for name in sorted(own.keys() | others.keys()):
        mine, theirs = (tuple(found[name].shape) if name in found else None for found in (own, others))
        grown = name in tables and mine and theirs and mine[1:] == theirs[1:] and mine[0] >= theirs[0]
        if parts[0] != parts[1] or not (mine == theirs or grown):
            raise ValueError(
                f"pretraining has {name} of shape {theirs}, the encoder {mine}: give both the same cell, hidden_size, "
                "num_layers, bidirectional and embedding_size."
            )
    with torch.no_grad():
        for name, weight in others.items():
            own[name][: len(weight)].copy_(weight)
