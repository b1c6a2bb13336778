"""Estimators whose network is built from what they learnt of the data, and kept in a file with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from seqdyn.cell import Cell
from seqdyn.cells.elman import Elman
from seqdyn.cells.gru import GRU
from seqdyn.cells.lstm import LSTM
from seqdyn.data.text import TEXT_UNITS
from seqdyn.estimators.layers import layer_of
from seqdyn.estimators.parameters import Rule, at_least, check_unchanged, either, instance_of, one_of, optional
from seqdyn.estimators.trained import Trained, history, with_budget
from seqdyn.files import save, storable
from seqdyn.training.batches import Batches
from seqdyn.training.checkpoint import digest
from seqdyn.training.loop import Trainer
from seqdyn.training.objective import Objective, evaluated

CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "gru": GRU, "elman": Elman}
"""Cells that may be given by name."""


BY_WIDTHS: Rule = (
    lambda value: (isinstance(value, str) and value in CELLS) or (callable(value) and not isinstance(value, Cell)),
    f"one of {', '.join(map(repr, CELLS))}, or a class called as cell(input_size, hidden_size)",
)
"""A cell for layers of several widths: one that is built has one."""


@dataclass(kw_only=True, repr=False, eq=False)
class Built(Trained):
    """An estimator whose network is built from what was learnt of the data, such as a vocabulary.

    A subclass owes :meth:`_build`, names in ``_kept`` what a file holds beside the weights, and says in ``_budget`` for
    how many epochs, or as many as how many steps take, it is trained where no budget is given.

    Attributes
    ----------
    network_ : nn.Module
    history_ : DataFrame
    n_iter_ : int
        Epochs.
    """

    _kept: ClassVar[tuple[str, ...]]
    _budget: ClassVar[tuple[int, int]]

    def _build(self, fitted: Mapping[str, Any], generator: torch.Generator) -> nn.Module:
        """An untrained network, from what is kept."""
        raise NotImplementedError

    def _new(self, generator: torch.Generator, **fitted: Any) -> nn.Module:
        """A fresh network for what was learnt of the data; all that is fitted is set."""
        network = self._fresh(lambda generator: self._build(fitted, generator), generator)
        self.__dict__.update(fitted, network_=network, fitted_params_=self.get_params(deep=False))
        return network

    def _teach(
        self,
        batches: Batches,
        apart: Batches | None,
        objectives: tuple[Objective, Objective],
        generator: torch.Generator,
        data: Callable[[], str],
        changes: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Train the network, and write down how it went, also where it breaks off.

        Parameters
        ----------
        batches, apart : Batches, Batches or None
            To train on; to watch.
        objectives : pair of Objective
            What a step minimises, and what is watched of the batches apart.
        generator : torch.Generator
        data : callable
            A digest of the data, to know them again by.
        changes : mapping, optional
            What differs from the parameters in the recipe.
        """
        objective, watched = objectives
        validate = None if apart is None else lambda: evaluated(self.network_, apart, watched)["loss"]
        recipe = replace(with_budget(self._recipe(), len(batches), *self._budget), **changes)
        trainer = Trainer(self.network_, batches, objective, recipe, generator, validate)
        if self.checkpoint is not None:
            mark = {"data": data(), "start": digest(*self.network_.state_dict().values())}
            trainer.checkpoint = self._checkpointed(mark, self.schedule is not None, {})
        try:
            trainer.run()
        finally:
            self.network_.eval()
            self.history_, self.n_iter_ = history(trainer), len(trainer.history)

    def _held(self, count: int) -> int:
        """How many of the last examples are held out."""
        held = max(1, round(self.validation_fraction * count)) * self.early_stopping
        if count - held < 1:
            raise ValueError(f"{count} examples are too few to hold any out: give more, or early_stopping=False.")
        return held

    def _rules(self) -> dict[str, Rule]:
        return {}

    def __sklearn_is_fitted__(self) -> bool:
        return "history_" in vars(self)

    def _check(self) -> None:
        """Raise if it is not fitted, or a parameter that shapes the network was changed since."""
        check_is_fitted(self)
        check_unchanged(self)

    # ---------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one ``.safetensors`` file; ``seqdyn.load(path)`` reads it back.

        Raises
        ------
        TypeError
            If something cannot be stored, such as a cell that is not registered; the message says what.
        """
        self._check()
        save(path, self)

    def to_content(self) -> dict[str, Any]:
        """Parameters, what was learnt, weights and history, as a tree that files can hold."""
        params = {name: storable(value) for name, value in self.get_params(deep=False).items()}
        if not self.__sklearn_is_fitted__():
            return {"params": params, "fitted": None}
        columns = {str(name): column.to_numpy() for name, column in self.history_.items()}
        kept = {name: getattr(self, name) for name in (*self._kept, "n_iter_")}
        written = {"columns": columns, "events": self.history_.attrs["non_finite"]}
        return {"params": params, "fitted": {"kept": kept, "weights": dict(self.network_.state_dict()), **written}}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        model, fitted = cls(**content["params"]), content["fitted"]
        if fitted is None:
            return model
        model._new(torch.Generator(), **fitted["kept"]).load_state_dict(fitted["weights"])
        model.network_.eval()
        model.history_ = pd.DataFrame(fitted["columns"])
        model.history_.attrs["non_finite"] = fitted["events"]
        return model


@dataclass(kw_only=True, repr=False, eq=False)
class OfSymbols(Built):
    """One whose network reads or writes the symbols of a vocabulary, by recurrences of one kind."""

    _kept: ClassVar[tuple[str, ...]] = ("vocabulary_",)

    unit: str = "character"
    cell: Any = "lstm"
    vocabulary_size: int | None = None
    min_count: int = 1

    @property
    def _cell(self) -> Any:
        """The class of the layers, or one built."""
        return CELLS[self.cell] if isinstance(self.cell, str) else self.cell

    def _layer(self, generator: torch.Generator) -> Callable[[int, int], Cell]:
        """What makes a layer of some widths."""
        return lambda inputs, hidden: layer_of(self._cell, inputs, hidden, generator)

    def _rules(self) -> dict[str, Rule]:
        made = (callable, "a class called as cell(input_size, hidden_size)")
        return super()._rules() | {
            "unit": one_of(*TEXT_UNITS),
            "cell": either(one_of(*CELLS), made, instance_of(Cell, "a built Cell")),
            "vocabulary_size": optional(at_least(1)),
            "min_count": at_least(1),
        }
