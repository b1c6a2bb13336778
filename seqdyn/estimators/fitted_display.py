"""What a fitted model shows of itself: its parameters as scikit-learn writes them, then what was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.utils import estimator_html_repr
from torch import nn

from seqdyn.facts import fact_line, fact_table, shown
from seqdyn.typed_bases import BaseEstimator


def fitted_line(self: Any) -> str:
    """One line, for ``__repr__``: scikit-learn's, and the facts, if there are any."""
    parameters, facts = BaseEstimator.__repr__(self), self._shown_facts()
    return f"{parameters}, {fact_line('fitted', facts)}" if facts else parameters


def fitted_html(self: Any) -> str:
    """HTML for notebooks: scikit-learn's diagram, and below it a table of the facts, if there are any."""
    facts = self._shown_facts()
    return estimator_html_repr(self) + (fact_table("fitted", facts) if facts else "")


def training_facts(network: nn.Module, history: pd.DataFrame | None) -> dict[str, object]:
    """The size of a network and how its training ended; nothing of one that was not trained."""
    if history is None or not len(history):
        return {}
    facts: dict[str, object] = {"weights": f"{sum(weight.numel() for weight in network.parameters()):,}"}
    last = history.iloc[-1]
    losses = {name: float(last[name]) for name in ("loss", "validation_loss") if not pd.isna(last.get(name))}
    return facts | {"epochs": len(history), **losses}


def fitted_summary(title: str, facts: Mapping[str, object], details: str = "") -> str:
    """A screen of text: one fact a line, then the details.

    Examples
    --------
    >>> print(fitted_summary("LanguageModel", {"epochs": 3, "weights": "1,234"}))
    LanguageModel, fitted
      epochs   3
      weights  1,234
    """
    width = max(map(len, facts), default=0)
    lines = [f"{title}, fitted", *(f"  {name:<{width}}  {shown(value)}" for name, value in facts.items())]
    return "\n".join([*lines, details] if details else lines)
