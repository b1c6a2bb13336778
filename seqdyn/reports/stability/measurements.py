"""What a stability report has measured, and why it could not measure the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from seqdyn.dynamics.equilibria import FixedPoints
from seqdyn.dynamics.gates import GateStatistics, Saturation
from seqdyn.dynamics.gradients import GradientByLag, ParameterGradients
from seqdyn.dynamics.lyapunov import LyapunovSpectrum
from seqdyn.dynamics.memory_length import Horizon
from seqdyn.dynamics.norm_preservation import Omega
from seqdyn.dynamics.transitions import TransitionMap, TransitionNorms
from seqdyn.dynamics.typical_step import TypicalStep
from seqdyn.reports.non_finite import NonFinite

TIERS = ("fast", "standard", "full")


@dataclass
class Measurements:
    """The results of the instruments; None where one did not run.

    non_finite   what is not finite, and why; then nothing else is measured
    failed       by name, why an instrument could not measure
    omitted      what was not measured on purpose
    stopped      whether the user stopped the report before its end
    """

    recurrence: TypicalStep | None = None
    products: TransitionNorms | None = None
    map: TransitionMap | None = None
    singular_values: Tensor | None = None
    singular_steps: int = 0
    gradient: GradientByLag | None = None
    accumulated: Tensor | None = None
    omega: Omega | None = None
    parameters: ParameterGradients | None = None
    lyapunov: LyapunovSpectrum | None = None
    sum_rule: LyapunovSpectrum | None = None
    gates: dict[str, GateStatistics] | None = None
    saturation: dict[str, Saturation] | None = None
    horizons: dict[str, Horizon] | None = None
    fixed_points: FixedPoints | None = None
    trajectory: Tensor | None = None
    growth: float = 0.0
    non_finite: NonFinite | None = None
    failed: dict[str, str] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)
    stopped: bool = False
