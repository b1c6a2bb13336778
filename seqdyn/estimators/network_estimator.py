"""Estimators that build a network from what they learn of their data, train it, and keep both in one file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from seqdyn.estimators.documented import documented
from seqdyn.estimators.fitted_display import fitted_html, fitted_line, fitted_summary, training_facts
from seqdyn.estimators.learning import history, recipe_of
from seqdyn.estimators.parameters import check_unchanged
from seqdyn.estimators.training import Clip, Optimisation, with_budget
from seqdyn.files import save, storable
from seqdyn.training.batches import Batches
from seqdyn.training.checkpoint import digest
from seqdyn.training.loop import Trainer
from seqdyn.training.objective import Objective, evaluated
from seqdyn.typed_bases import BaseEstimator


@documented(Optimisation)
@dataclass(kw_only=True, repr=False, eq=False)
class NetworkEstimator(BaseEstimator):
    """An estimator whose network depends on what was learnt of the data before the training, such as a vocabulary.

    A subclass learns attributes such as ``vocabulary_`` in ``fit``, and defines :meth:`_build` and :meth:`_facts`.
    ``_learnt`` names the attributes that a file holds besides the weights; ``_budget`` is how long it trains where no
    budget is given: epochs, or as many as that many steps take.

    Attributes
    ----------
    network_ : nn.Module
        The trained network.
    history_ : DataFrame
        One row an epoch: epoch, loss, validation_loss, gradient_norm (before clipping), clip_coefficient,
        learning_rate, seconds, clip_fraction, the parts of the loss, and gradient_norm/… and update_ratio/… of every
        parameter of the network. ``history_.attrs["non_finite"]`` lists losses and gradients that were not finite.
    n_iter_ : int
        Epochs of the training.
    """

    _learnt: ClassVar[tuple[str, ...]]
    _budget: ClassVar[tuple[int, int]]

    optimizer: str = Optimisation.optimizer
    learning_rate: float = Optimisation.learning_rate
    schedule: Any = Optimisation.schedule
    weight_decay: float = Optimisation.weight_decay
    clip_norm: Clip = Optimisation.clip_norm
    clip_quantile: float | None = Optimisation.clip_quantile
    weight_average: float = Optimisation.weight_average
    max_epochs: int | None = Optimisation.max_epochs
    max_steps: int | None = Optimisation.max_steps
    max_time: float | None = Optimisation.max_time
    early_stopping: bool = Optimisation.early_stopping
    validation_fraction: float = Optimisation.validation_fraction
    n_iter_no_change: int = Optimisation.n_iter_no_change
    tol: float = Optimisation.tol
    device: Any = Optimisation.device
    dtype: str = Optimisation.dtype
    random_state: Any = Optimisation.random_state
    verbose: int | bool = Optimisation.verbose
    callback: Any = Optimisation.callback
    checkpoint: Any = Optimisation.checkpoint
    checkpoint_every: float = Optimisation.checkpoint_every

    @property
    def optimisation(self) -> Optimisation:
        """How the weights are found."""
        return Optimisation.of(vars(self))

    def _build(self, generator: torch.Generator) -> nn.Module:
        """An untrained network for what was learnt of the data."""
        raise NotImplementedError

    def _facts(self) -> dict[str, object]:
        """What was learnt of the data, in short: for people."""
        raise NotImplementedError

    # ---------------------------------------------------------------- training

    def _begin(self, generator: torch.Generator) -> None:
        """Begin with an untrained network for what was learnt of the data."""
        self.network_: Any = self.optimisation.fresh(self._build, generator)
        self.fitted_params_ = self.get_params(deep=False)

    def _train(
        self,
        batches: Batches,
        held_out: Batches | None,
        objectives: tuple[Objective, Objective],
        generator: torch.Generator,
        data: Callable[[], str],
        harder: bool = False,
    ) -> None:
        """Train the network, and keep its history, also where the training breaks off.

        ``objectives`` are what a step minimises, and what is watched on ``held_out``; ``data()`` is a digest by which a
        checkpoint knows the data. If the task gets ``harder``, its loss may rise, and no patience ends it.
        """
        network, optimisation, (objective, watched) = self.network_, self.optimisation, objectives
        validate = None if held_out is None else lambda: evaluated(network, held_out, watched)["loss"]
        recipe = with_budget(recipe_of(optimisation), len(batches), *self._budget)
        recipe = replace(recipe, n_iter_no_change=math.inf) if harder else recipe
        trainer = Trainer(network, batches, objective, recipe, generator, validate)
        if self.checkpoint is not None:
            start = digest(*network.state_dict().values())
            mark = {"estimator": type(self).__name__, "data": data(), "start": start}
            parameters = self.get_params(deep=False)
            trainer.checkpoint = optimisation.checkpointed(mark, parameters, self.schedule is not None, {})
        try:
            trainer.run()
        finally:
            network.eval()
            self.history_, self.n_iter_ = history(trainer), len(trainer.history)

    def _training_count(self, count: int) -> int:
        """How many of the examples are trained on; the last ones are held out with ``early_stopping``."""
        used = count - max(1, round(self.validation_fraction * count)) * self.early_stopping
        if used < 1:
            raise ValueError(f"{count} examples are too few to hold any out: give more, or early_stopping=False.")
        return used

    def _tensor(self, values: Any) -> Tensor:
        """Numbers in the precision and on the device of the network."""
        return torch.as_tensor(values).to(self.optimisation.place, self.optimisation.precision)

    def _tokens(self, numbers: Any) -> Tensor:
        """Numbers of symbols on the device of the network."""
        return torch.as_tensor(numbers, device=self.optimisation.place)

    def __sklearn_is_fitted__(self) -> bool:
        return "history_" in vars(self)

    def _check_fitted(self) -> None:
        """Raise if it is not fitted, or a parameter that shapes the network was changed since."""
        check_is_fitted(self)
        check_unchanged(self)

    # ---------------------------------------------------------------- what people see

    def _shown_facts(self) -> dict[str, object]:
        """What was learnt of the data, the size of the network, and how its training ended; nothing before a fit."""
        return self._facts() | training_facts(self.network_, self.history_) if self.__sklearn_is_fitted__() else {}

    __repr__ = fitted_line
    _html_repr = fitted_html  # scikit-learn's hook for notebooks

    def summary(self) -> str:
        """One screen: what was learnt of the data, how the training went, and the layers of the network."""
        self._check_fitted()
        facts = self._shown_facts() | {"seconds": float(self.history_["seconds"].sum())}
        return fitted_summary(type(self).__name__, facts, str(self.network_))

    # ---------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to one ``.safetensors`` file; ``seqdyn.load(path)`` reads it back.

        Raises
        ------
        TypeError
            If something cannot be stored, such as a cell that is not registered; the message says what.
        """
        self._check_fitted()
        save(path, self)

    def to_content(self) -> dict[str, Any]:
        """Parameters, what was learnt, weights and history, as a tree that files can hold."""
        params = {name: storable(value) for name, value in self.get_params(deep=False).items() if name != "callback"}
        if not self.__sklearn_is_fitted__():
            return {"params": params, "fitted": None}
        columns = {str(name): column.to_numpy() for name, column in self.history_.items()}
        kept = {name: getattr(self, name) for name in (*self._learnt, "n_iter_")}
        written = {"columns": columns, "events": self.history_.attrs["non_finite"]}
        return {"params": params, "fitted": {"kept": kept, "weights": dict(self.network_.state_dict()), **written}}

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_content`."""
        model, fitted = cls(**content["params"]), content["fitted"]
        if fitted is None:
            return model
        vars(model).update(fitted["kept"])
        model._begin(torch.Generator())
        model.network_.load_state_dict(fitted["weights"])
        model.network_.eval()
        model.history_ = pd.DataFrame(fitted["columns"])
        model.history_.attrs["non_finite"] = fitted["events"]
        return model
