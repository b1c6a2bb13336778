"""A start from a model that has read the texts before: its vectors of symbols, or all its layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqdyn.composition import Embedding
from seqdyn.encoder import Encoder


def copy_vectors(network: nn.Module, vectors: Tensor) -> None:
    """Let every embedding of a network begin with these vectors, (symbols, width).

    Raises
    ------
    ValueError
        If the widths differ.
    """
    for embedding in (module for module in network.modules() if isinstance(module, Embedding)):
        if embedding.weight.shape != vectors.shape:
            raise ValueError(
                f"pretraining has vectors {vectors.shape[1]} wide, the network {embedding.weight.shape[1]}: set one "
                "embedding_size."
            )
        with torch.no_grad():
            embedding.weight.copy_(vectors)


def copy_layers(encoder: Encoder, known: Encoder) -> None:
    """Let the layers of an encoder begin with the weights of another one; symbols that only it has keep their own.

    Raises
    ------
    ValueError
        If they are not of one kind and width; the message says where.
    """
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
