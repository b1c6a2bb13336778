"""The echo state network as a regressor: a random recurrence, and a readout in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from seqdyn.cells.echo_state import EchoState
from seqdyn.estimators.documented import documented
from seqdyn.estimators.parameters import Rule, at_least, either, non_negative, one_of
from seqdyn.estimators.reservoirs import ReservoirRegressor
from seqdyn.generators import generator_of

RADII = (0.2, 0.9)
"""Spectral radii that are tried: a short memory, as where the whole state is seen, and a long one."""


@documented()
@dataclass(kw_only=True, repr=False, eq=False)
class EchoStateRegressor(ReservoirRegressor):
    """An echo state network: h_t = (1 − a) h_{t-1} + a tanh(W_in x_t + W h_{t-1} + b), y_t = V [x_t; h_t; h_t²] + c.

    W_in, W and b are random and stay as they are; V and c are solved for by ridge regression.

    Parameters
    ----------
    hidden_size : int, at least 1
        Random units.
    leak : float in (0, 1]
        a.
    spectral_radius : float, at least 0, or "auto"
        Of W. ``"auto"`` tries 0.2 and 0.9.
    input_scale, bias_scale : float, at least 0
        See :class:`~seqdyn.cells.echo_state.EchoState`.
    connections : int, at least 1
        How many units each unit hears.
    squares : bool
        Show the readout the squares of every second unit, too.
    random_state : int, RandomState or None
        Draws W_in, W and b.

    Attributes
    ----------
    spectral_radius_ : float
    cell_, state_, ridge_, feeds_back_, validation_
        See :class:`~seqdyn.estimators.reservoirs.ReservoirRegressor`.

    Notes
    -----
    The features of all rows are held at once, 8 · 1.5 · ``hidden_size`` bytes a row: longer data come in parts, by
    ``partial_fit``.

    One reservoir cannot hold many places that act on their neighbours alone: 500 units foretell Lorenz-96 of 8 sites,
    and come to rest on 40.

    References
    ----------
    Jaeger (2001), The "echo state" approach to analysing and training recurrent neural networks; Pathak, Hunt, Girvan,
    Lu & Ott (2018), Model-free prediction of large spatiotemporally chaotic systems.

    Examples
    --------
    One step ahead, then alone from the end of the data:

    >>> import numpy as np
    >>> from seqdyn import Autoregression
    >>> from seqdyn.estimators.echo_state import EchoStateRegressor
    >>> t = 0.1 * np.arange(1001)
    >>> orbit = np.column_stack([np.sin(t), np.cos(t)])
    >>> model = EchoStateRegressor(hidden_size=50, random_state=0).fit(orbit[:-1], orbit[1:])
    >>> stream = model.stream(model.state_)
    >>> ahead = np.vstack([stream.push(orbit[-1]), stream.forecast(99)])
    >>> t = 0.1 * np.arange(1001, 1101)
    >>> bool(np.abs(ahead - np.column_stack([np.sin(t), np.cos(t)])).max() < 1e-3)
    True

    Many starts side by side: 50 known rows each, then rows of NaN, where the model runs on its own predictions:

    >>> past = Autoregression(targets=2)
    >>> model.set_params(autoregression=past).fit(orbit[:-1], orbit[1:]).feeds_back_
    True
    >>> runs = np.stack([orbit[start : start + 150] for start in (0, 300, 600)])
    >>> seen = runs.copy()
    >>> seen[:, 50:] = np.nan
    >>> bool(np.abs(model.predict(seen)[:, 49:-1] - runs[:, 50:]).max() < 1e-3)
    True
    """

    _tuned: ClassVar[tuple[str, ...]] = ("spectral_radius",)

    hidden_size: int = 500
    leak: float = 1.0
    spectral_radius: Any = "auto"
    input_scale: float = 0.2
    bias_scale: float = 1.0
    connections: int = 10
    squares: bool = True
    random_state: Any = None

    def _draw(self) -> None:
        self.seed_ = generator_of(self.random_state).initial_seed()

    def _choices(self, inputs: int, rows: int) -> list[dict[str, Any]]:
        radii = RADII if self.spectral_radius == "auto" else (float(self.spectral_radius),)
        return [{"spectral_radius": radius} for radius in radii]

    def _reservoir(self, inputs: int, settings: Mapping[str, Any]) -> EchoState:
        return EchoState(
            inputs,
            self.hidden_size,
            leak=self.leak,
            spectral_radius=settings["spectral_radius"],
            input_scale=self.input_scale,
            bias_scale=self.bias_scale,
            connections=self.connections,
            squares=self.squares,
            generator=torch.Generator().manual_seed(self.seed_),
        )

    def _rules(self) -> Mapping[str, Rule]:
        return {
            "hidden_size": at_least(1),
            "leak": (lambda value: non_negative()[0](value) and 0 < value <= 1, "a number in (0, 1]"),
            "spectral_radius": either(one_of("auto"), non_negative()),
            "input_scale": non_negative(),
            "bias_scale": non_negative(),
            "connections": at_least(1),
            "squares": one_of(False, True),
        }
