"""Convert linear systems: other letters, other libraries, continuous time, transfer functions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.linalg import block_diag, expm, logm
from scipy.signal import StateSpace, cont2discrete, dlti, lti, tf2ss

from seqdyn.arrays import EPSILON, Array
from seqdyn.identification.analysis import control_matrices
from seqdyn.identification.transfer import TransferFunction, numerators

if TYPE_CHECKING:
    from seqdyn.identification.system import LinearSystem


@dataclass(frozen=True, eq=False)
class BlockForm:
    """[y_t; h_t] = [A B; C D] [x_t; h_{t-1}]: the lectures' letters.

    Attributes
    ----------
    A : array, shape (outputs, inputs)
        x → y.
    B : array, shape (outputs, order)
        h → y.
    C : array, shape (order, inputs)
        x → h.
    D : array, shape (order, order)
        h → h.

    Notes
    -----
    It cannot be unpacked: the same four letters mean something else in :class:`ControlForm`.
    """

    convention: ClassVar[str] = "block"
    A: Array
    B: Array
    C: Array
    D: Array


@dataclass(frozen=True, eq=False)
class ControlForm:
    """s_{t+1} = A s_t + B x_t, y_t = C s_t + D x_t with s_t = h_{t-1}: control theory's letters.

    Attributes
    ----------
    A : array, shape (order, order)
        State → next state: the block form's D.
    B : array, shape (order, inputs)
        Input → next state: the block form's C.
    C : array, shape (outputs, order)
        State → output: the block form's B.
    D : array, shape (outputs, inputs)
        Input → output: the block form's A.
    dt : float
        Time between two steps.

    Notes
    -----
    No sample is shifted: control theory's x_0 is the block form's h_{-1}.
    """

    convention: ClassVar[str] = "control"
    A: Array
    B: Array
    C: Array
    D: Array
    dt: float = 1.0


# --- the ways out -----------------------------------------------------------------------------------------------------


def as_block(system: LinearSystem) -> BlockForm:
    """[A B; C D], the lectures' letters."""
    return BlockForm(system.feedthrough, system.readout, system.input_map, system.transition)


def as_control(system: LinearSystem) -> ControlForm:
    """A_control = D, B_control = C, C_control = B, D_control = A."""
    return ControlForm(system.transition, system.input_map, system.readout, system.feedthrough, system.dt)


def to_scipy(system: LinearSystem) -> dlti:
    """A discrete-time ``scipy.signal.StateSpace``; offsets and noise are left behind."""
    return dlti(system.transition, system.input_map, system.readout, system.feedthrough, dt=system.dt)


def to_control(system: LinearSystem) -> Any:
    """A discrete-time ``control.StateSpace`` of python-control, with dt and the names of inputs and outputs.

    Returns
    -------
    control.StateSpace
        Offsets, noise and the unit of time are left behind.

    Raises
    ------
    ImportError
        If python-control is not installed.
    """
    try:
        from control import StateSpace as ControlStateSpace
    except ImportError as error:
        raise ImportError("to_control needs python-control, which is not installed: pip install control") from error
    names = {"inputs": list(system.input_names) or None, "outputs": list(system.output_names) or None}
    return ControlStateSpace(*control_matrices(system), system.dt, **{key: name for key, name in names.items() if name})


def to_continuous(system: LinearSystem) -> StateSpace:
    """Convert to continuous time: the system with the same states at every step if inputs are held in between.

        [D C; 0 I] = exp([F G; 0 0] dt),    ds/dt = F s + G x,  y = B s + A x

    Returns
    -------
    scipy.signal.StateSpace
        With control theory's letters, A = F, B = G, C = B, D = A, per unit of time. Of the systems that look the
        same at every step it is the slowest: none of its modes turns faster than the Nyquist frequency. Offsets
        and noise are left behind.

    Raises
    ------
    ValueError
        If a pole is 0 (a delay) or a negative number: no real system in continuous time gives it.

    References
    ----------
    Åström & Wittenmark (1997), Computer-Controlled Systems, section 2.3.

    Examples
    --------
    A time constant of 2 s:

    >>> import numpy as np
    >>> from seqdyn.identification.system import LinearSystem
    >>> pole = np.exp(-0.1 / 2)
    >>> tank = LinearSystem.from_block([[0.0]], [[1.0]], [[1 - pole]], [[pole]], dt=0.1, time_unit="s")
    >>> tank.to_continuous().A.round(9), tank.to_continuous().B.round(9)
    (array([[-0.5]]), array([[0.5]]))
    """
    F, G = continuous(system.transition, system.input_map, system.dt)
    return StateSpace(F, G, system.readout, system.feedthrough)


def transfer_function(system: LinearSystem) -> TransferFunction:
    """H(z) = A + B (zI − D)⁻¹ C as ratios of polynomials in z.

    Returns
    -------
    TransferFunction
        Coefficients in descending powers; all pairs share the characteristic polynomial of D, without the modes
        that ``input_output_part()`` leaves out. Printed it reads as fractions.

    Notes
    -----
    Coefficients of high order are sensitive to rounding where poles lie close together; calculate with the system
    itself.

    Examples
    --------
    >>> from seqdyn.identification.system import LinearSystem
    >>> print(LinearSystem.from_block([[1.0]], [[1.0]], [[1.0]], [[0.5]]).transfer_function())
    input 1 → output 1
        z + 0.5
        -------
        z - 0.5
    dt = 1
    """
    part = system.input_output_part()
    denominator = np.real(np.poly(part.transition)) if part.order else np.ones(1)
    above = numerators(part.markov_parameters(part.order + 1), denominator)
    return TransferFunction(
        above, denominator, system.dt, system.time_unit, tuple(system.input_names), tuple(system.output_names)
    )


def is_readout_form(system: LinearSystem, tolerance: float = 1e-8) -> bool:
    """Whether y_t is a linear function of h_t: the rows of [A B] lie in the row space of [C D]."""
    below = np.hstack([system.input_map, system.transition])
    above = np.hstack([system.feedthrough, system.readout])
    reached = np.linalg.lstsq(below.T, above.T, rcond=None)[0].T @ below
    return bool(np.linalg.norm(above - reached) <= tolerance * max(1.0, float(np.linalg.norm(above))))


# --- the ways in ------------------------------------------------------------------------------------------------------


def is_system(given: Any) -> bool:
    """Whether it is a system of a library, or a :class:`ControlForm`, and not a matrix."""
    return isinstance(given, ControlForm | lti | dlti) or hasattr(given, "dt")


def is_continuous(system: Any) -> bool:
    """Whether scipy or python-control says that it is a system in continuous time."""
    dt = getattr(system, "dt", None)
    return isinstance(system, lti) or (dt is not None and not isinstance(dt, bool) and dt == 0)


def quadruple(system: Any) -> tuple[Any, Any, Any, Any]:
    """A, B, C and D in control theory's letters, of a state-space system or a transfer function of a library."""
    if isinstance(system, lti | dlti):
        system = system.to_ss()
    if hasattr(system, "num") and not hasattr(system, "A"):
        return _realised(system.num, system.den)
    return system.A, system.B, system.C, system.D


def signal_names(system: Any) -> tuple[Sequence[str], Sequence[str]]:
    """The names python-control has for inputs and outputs, unless they are only numbers that it gave itself."""
    found = []
    for kind, letter in (("input_labels", "u"), ("output_labels", "y")):
        names = tuple(getattr(system, kind, ()))
        found.append(() if names == tuple(f"{letter}[{i}]" for i in range(len(names))) else names)
    return found[0], found[1]


def _realised(numerators: Any, denominators: Any) -> tuple[Array, Array, Array, Array]:
    """A state-space system of a table of fractions, with states of its own for every pair."""
    rows, columns = len(numerators), len(numerators[0])
    parts, feedthrough = [(np.zeros((0, 0)), np.zeros((0, columns)), np.zeros((rows, 0)))], np.zeros((rows, columns))
    for row, column in np.ndindex(rows, columns):
        above = np.trim_zeros(np.atleast_1d(numerators[row][column]), "f")
        if not len(above):
            continue
        A, B, C, D = tf2ss(above, denominators[row][column])
        feedthrough[row, column] = D.item()
        parts.append((A, B @ np.eye(columns)[[column]], np.eye(rows)[:, [row]] @ C))
    maps, drives, reads = zip(*parts, strict=True)
    return block_diag(*maps), np.vstack(drives), np.hstack(reads), feedthrough


# --- continuous time --------------------------------------------------------------------------------------------------


def continuous(transition: Array, input_map: Array, dt: float) -> tuple[Array, Array]:
    """F and G, per unit of time, of the slowest continuous-time system with the same states at every step.

    A pole that is 0 or a negative number raises an error: no real system in continuous time has it after a step.
    """
    order, inputs = input_map.shape
    _check_poles(np.linalg.eigvals(transition))
    joined = np.block([[transition, input_map], [np.zeros((inputs, order)), np.eye(inputs)]])
    if not order:
        return transition.copy(), input_map.copy()
    with warnings.catch_warnings():  # what scipy warns of is checked below
        warnings.simplefilter("ignore", RuntimeWarning)
        rate = np.real(logm(joined))
    gap = np.linalg.norm(expm(rate) - joined) if np.isfinite(rate).all() else np.inf
    if gap > 1e-8 * np.linalg.norm(joined):
        raise ValueError(
            f"No continuous-time system was found: an exponential comes back to the system only up to {gap:.2g}. Poles "
            "close to 0, such as those of a delay, have no logarithm: take the delay out of the system, and give it to "
            "the inputs."
        )
    return rate[:order, :order] / dt, rate[:order, order:] / dt


def discrete(F: Array, G: Array, readout: Array, feedthrough: Array, dt: float) -> tuple[Array, Array]:
    """D and C of the system that a continuous one, ds/dt = F s + G x, is from step to step when inputs are held."""
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt must be a time above 0, got {dt!r}.")
    transition, input_map, *_ = cont2discrete((F, G, readout, feedthrough), dt, method="zoh")
    return transition, input_map


def _check_poles(poles: Array) -> None:
    """None on the negative real axis or at 0."""
    still = np.abs(poles) <= 100 * EPSILON
    negative = (poles.real < 0) & (np.abs(poles.imag) <= 100 * EPSILON * np.abs(poles))
    if still.any():
        raise ValueError(
            f"There is no continuous-time system: {still.sum()} of the poles are 0, and nothing in continuous time is "
            "gone after one step. A pole at 0 is a delay: identify the system without it, and shift the inputs."
        )
    if negative.any():
        listed = ", ".join(f"{pole.real:.4g}" for pole in poles[negative])
        raise ValueError(
            f"There is no continuous-time system of this order: the poles {listed} are negative "
            "numbers, which change sign at every step; a pole in continuous time does so only together with a second "
            "one. Sample faster, or choose a lower order."
        )
