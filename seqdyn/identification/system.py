"""Linear state-space systems, as the lectures' block matrix and as control theory's quadruple."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import seqdyn.identification.balance as balance
import seqdyn.identification.coordinates as coordinates
import seqdyn.identification.exchange as exchange
import seqdyn.identification.figures as figures
import seqdyn.identification.standard_errors as standard_errors
from seqdyn.arrays import Array
from seqdyn.facts import shown_by_facts
from seqdyn.identification.analysis import Analysis
from seqdyn.identification.channels import checked_names
from seqdyn.identification.estimation import Estimation
from seqdyn.identification.exchange import (
    BlockForm,
    ControlForm,
    discrete,
    is_continuous,
    is_system,
    quadruple,
    signal_names,
)
from seqdyn.identification.summary import summarise
from seqdyn.kernels.linear import linear_recurrence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@shown_by_facts
@dataclass(frozen=True, eq=False, repr=False)
class LinearSystem(Analysis):
    """A linear state-space system between inputs and outputs in the units of the data.

        y_t = A x_t + B h_{t-1} + y_0 + e_t
        h_t = C x_t + D h_{t-1} + h_0 + K e_t

    Parameters
    ----------
    feedthrough : array, shape (outputs, inputs)
        A, x → y.
    readout : array, shape (outputs, order)
        B, h → y.
    input_map : array, shape (order, inputs)
        C, x → h.
    transition : array, shape (order, order)
        D, h → h.
    output_offset : array, shape (outputs,), optional
        y_0; 0 if None.
    state_offset : array, shape (order,), optional
        h_0; 0 if None.
    noise_gain : array, shape (order, outputs), optional
        K, the Kalman gain; None: no model of the noise.
    noise_covariance : array, shape (outputs, outputs), optional
        Covariance of the one-step errors e_t.
    dt : float
        Time between two steps; frequencies are per this unit of time.
    time_unit : str
        The unit of dt, such as ``"s"``; empty: none is known.
    estimation : Estimation, optional
        How sure the entries are, and how likely the data; None of a system that was given.
    input_names, output_names : sequence of str, optional
        One name a channel: they label figures, :meth:`summary` and transfer functions. Empty: they have none.

    Notes
    -----
    The matrices are unique only up to the basis of h: compare systems by poles, Markov parameters or frequency
    response.

    References
    ----------
    Ljung (1999), System Identification, section 4.3.

    Examples
    --------
    >>> import numpy as np
    >>> echo = LinearSystem.from_block([[1.0]], [[0.5]], [[1.0]], [[0.5]])
    >>> echo.simulate(np.array([[1.0], [0.0], [0.0], [0.0]]))[0].ravel()
    array([1.   , 0.5  , 0.25 , 0.125])
    >>> echo.poles()
    array([0.5+0.j])
    """

    feedthrough: Array
    readout: Array
    input_map: Array
    transition: Array
    output_offset: Any = None
    state_offset: Any = None
    noise_gain: Array | None = None
    noise_covariance: Array | None = None
    dt: float = 1.0
    time_unit: str = ""
    estimation: Estimation | None = None
    input_names: Sequence[str] = ()
    output_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("feedthrough", "readout", "input_map", "transition"):
            object.__setattr__(self, name, _finite_matrix(getattr(self, name), name))
        expected = {
            "feedthrough": (self.outputs, self.inputs),
            "readout": (self.outputs, self.order),
            "input_map": (self.order, self.inputs),
            "transition": (self.order, self.order),
        }
        found = {name: getattr(self, name).shape for name in expected}
        if found != expected:
            raise ValueError(
                f"The four matrices do not fit together: got {found}; an order of {self.order} (rows of transition), "
                f"{self.inputs} inputs and {self.outputs} outputs (of feedthrough) need {expected}."
            )
        for name, size in (("output_offset", self.outputs), ("state_offset", self.order)):
            value = getattr(self, name)
            offset = np.zeros(size) if value is None else np.asarray(value, dtype=np.float64)
            if offset.shape != (size,):
                raise ValueError(f"{name} has shape {offset.shape}, expected ({size},).")
            object.__setattr__(self, name, offset)
        for name, shape in (
            ("noise_gain", (self.order, self.outputs)),
            ("noise_covariance", (self.outputs, self.outputs)),
        ):
            if getattr(self, name) is not None:
                matrix = _finite_matrix(getattr(self, name), name)
                if matrix.shape != shape:
                    raise ValueError(f"{name} has shape {matrix.shape}, expected {shape}.")
                object.__setattr__(self, name, matrix)
        if not (np.isfinite(self.dt) and self.dt > 0):
            raise ValueError(f"dt must be a time above 0, got {self.dt!r}.")
        if not isinstance(self.time_unit, str):
            raise ValueError(f"time_unit must be a string such as 's', got {self.time_unit!r}.")
        for name, size in (("input_names", self.inputs), ("output_names", self.outputs)):
            object.__setattr__(self, name, checked_names(getattr(self, name), size, name))

    # ---------------------------------------------------------------- views

    @classmethod
    def from_block(
        cls, A: Any, B: Any = None, C: Any = None, D: Any = None, *, dt: float = 1.0, time_unit: str = ""
    ) -> LinearSystem:
        """A system from the lectures' block matrix [A B; C D], or from a :class:`BlockForm`."""
        if isinstance(A, ControlForm):
            raise TypeError("from_block was given a ControlForm, whose letters mean something else: use from_control.")
        A, B, C, D = (A.A, A.B, A.C, A.D) if isinstance(A, BlockForm) else (A, B, C, D)
        return cls(A, B, C, D, dt=dt, time_unit=time_unit)

    @classmethod
    def from_control(
        cls, A: Any, B: Any = None, C: Any = None, D: Any = None, *, dt: float | None = None, time_unit: str = ""
    ) -> LinearSystem:
        """A system from control theory's quadruple, a :class:`ControlForm`, or a discrete-time system of a library.

        Parameters
        ----------
        A : array, shape (order, order), or a system
            State → next state; or a :class:`ControlForm`, a ``scipy.signal`` system, or a ``StateSpace`` or
            ``TransferFunction`` of python-control.
        B, C, D : array, optional
            Input → next state, state → output, input → output.
        dt : float, optional
            Time between two steps; that of the system, or 1, if None.
        time_unit : str
            The unit of dt.

        Returns
        -------
        LinearSystem
            With the names that python-control was given. A transfer function with several inputs or outputs gets
            states of its own for every pair: :meth:`balanced` leaves out those that are too many.

        Raises
        ------
        TypeError
            If the letters are the block form's, or the system is one in continuous time.

        Examples
        --------
        >>> LinearSystem.from_control([[0.5]], [[1.0]], [[2.0]], [[0.0]], dt=0.1, time_unit="s").dc_gain()
        array([[4.]])
        """
        if isinstance(A, BlockForm):
            raise TypeError("from_control was given a BlockForm, whose letters mean something else: use from_block.")
        if is_continuous(A):
            raise TypeError("from_control was given a continuous-time system: use from_continuous(system, dt=…).")
        names: tuple[Sequence[str], Sequence[str]] = ((), ())
        if is_system(A):
            dt, names = A.dt if dt is None else dt, signal_names(A)
            A, B, C, D = quadruple(A)
        dt = 1.0 if dt is None or dt is True else float(dt)  # dt=True of scipy and python-control: no unit
        return cls(D, C, B, A, dt=dt, time_unit=time_unit).with_names(*names)

    @classmethod
    def from_continuous(
        cls, A: Any, B: Any = None, C: Any = None, D: Any = None, *, dt: float, time_unit: str = ""
    ) -> LinearSystem:
        """Convert from continuous time: the system from step to step if inputs are held in between.

            ds/dt = A s + B x,  y = C s + D x        in control theory's letters

        Parameters
        ----------
        A : array, shape (order, order), or a system
            State → its rate of change, per unit of time; or a continuous-time system of ``scipy.signal`` or
            python-control.
        B, C, D : array, optional
            Input → rate of change of the state, state → output, input → output.
        dt : float
            Time between two steps.
        time_unit : str
            The unit of dt.

        Returns
        -------
        LinearSystem
            With the names that python-control was given; :meth:`to_continuous` leads back.

        Raises
        ------
        TypeError
            If a system is given that is not one in continuous time.

        References
        ----------
        Åström & Wittenmark (1997), Computer-Controlled Systems, section 2.3.

        Examples
        --------
        A time constant of 2 s:

        >>> LinearSystem.from_continuous([[-0.5]], [[0.5]], [[1.0]], [[0.0]], dt=0.1).time_constants().round(9)
        array([2.])
        """
        names: tuple[Sequence[str], Sequence[str]] = ((), ())
        if is_system(A):
            if not is_continuous(A):
                raise TypeError("from_continuous was given a discrete-time system: use from_control.")
            names = signal_names(A)
            A, B, C, D = quadruple(A)
        rate, drive, readout, feedthrough = (_finite_matrix(v, n) for v, n in zip((A, B, C, D), "ABCD", strict=True))
        transition, input_map = discrete(rate, drive, readout, feedthrough, dt)
        system = cls(feedthrough, readout, input_map, transition, dt=dt, time_unit=time_unit)
        return system.with_names(*names)

    @classmethod
    def from_rnn(
        cls, W_ih: Any, W_hh: Any, W_hy: Any, b_h: Any = None, b_y: Any = None, *, dt: float = 1.0, time_unit: str = ""
    ) -> LinearSystem:
        """A system from a linear recurrent network, h_t = W_ih x_t + W_hh h_{t-1} + b_h and y_t = W_hy h_t + b_y.

        This *readout form* is [A B] = W_hy [C D]: of the systems of one order those whose outputs are a function of
        the new state. :meth:`is_readout_form` tests for it, :meth:`as_readout_form` gets any system there with as many
        states more as there are outputs.
        """
        W_ih, W_hh, W_hy = _finite_matrix(W_ih, "W_ih"), _finite_matrix(W_hh, "W_hh"), _finite_matrix(W_hy, "W_hy")
        if W_hy.shape[1] != len(W_hh) or len(W_ih) != len(W_hh):
            raise ValueError(
                f"W_ih {W_ih.shape}, W_hh {W_hh.shape} and W_hy {W_hy.shape} do not fit together: expected "
                "(hidden, inputs), (hidden, hidden) and (outputs, hidden)."
            )
        state_offset = np.zeros(len(W_hh)) if b_h is None else _vector_of(b_h, len(W_hh), "b_h")
        own = np.zeros(len(W_hy)) if b_y is None else _vector_of(b_y, len(W_hy), "b_y")
        output_offset = W_hy @ state_offset + own
        feedthrough, readout = W_hy @ W_ih, W_hy @ W_hh
        return cls(feedthrough, readout, W_ih, W_hh, output_offset, state_offset, dt=dt, time_unit=time_unit)

    # ---------------------------------------------------------------- running

    def simulate(self, x: Array, h: Array | None = None) -> tuple[Array, Array]:
        """The free run over inputs, and the state after it.

        Parameters
        ----------
        x : array, shape (time, inputs) or (series, time, inputs)
        h : array, shape (order,) or (series, order), optional
            h_{-1}; 0 if None. The state a run returns continues it: long records go chunk by chunk.

        Returns
        -------
        y : array, shape (…, time, outputs)
        h : array, shape (…, order)
        """
        x = np.asarray(x, dtype=np.float64)
        if x.ndim not in (2, 3) or x.shape[-1] != self.inputs:
            raise ValueError(f"x has shape {x.shape}, expected (time, {self.inputs}) or (series, time, {self.inputs}).")
        batch = x if x.ndim == 3 else x[None]
        start = np.array(np.broadcast_to(0.0 if h is None else h, (len(batch), self.order)))
        joined = np.concatenate([batch, np.ones((*batch.shape[:2], 1))], axis=-1)
        matrices = (
            np.column_stack([self.feedthrough, self.output_offset]),
            self.readout,
            np.column_stack([self.input_map, self.state_offset]),
            self.transition,
        )
        with torch.no_grad():
            y, last = linear_recurrence(*(torch.as_tensor(np.ascontiguousarray(v)) for v in (joined, start, *matrices)))
        output, state = y.numpy(), last.numpy()
        return (output, state) if x.ndim == 3 else (output[0], state[0])

    # ---------------------------------------------------------------- figures and text

    def plot_singular_values(self, chosen: int | None = None) -> Figure:
        """Hankel singular values, largest first: how many states matter between inputs and outputs.

        Parameters
        ----------
        chosen : int, optional
            So many values are marked as those kept.

        Returns
        -------
        matplotlib.figure.Figure
            See :func:`~seqdyn.identification.figures.plot_singular_values`.

        Raises
        ------
        ValueError
            If the part between inputs and outputs is not stable, or the system has no states.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> heater = LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]])
        >>> heater.plot_singular_values().axes[0].get_ylabel()
        'Hankel singular value'
        """
        if not self.order:
            raise ValueError("A system without states has no Hankel singular values.")
        drawing = figures.plot_singular_values(self.hankel_singular_values(), chosen)
        drawing.axes[0].set_ylabel("Hankel singular value")
        return drawing

    def summary(self) -> str:
        """One screen of text: sizes, poles, gains, noise, and how well all this is known.

        Returns
        -------
        str
            Poles with modulus, time constant and period; zeros; static gains; standard deviations of the errors of
            forecasts; focus, likelihood and criteria of the estimation. Lines for which nothing is known are left out.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> print(LinearSystem.from_block([[0.0]], [[1.0]], [[0.1]], [[0.9]], dt=2.0, time_unit="s").summary())
        Linear system: 1 input, 1 output, order 1, dt = 2 s; stable
        <BLANKLINE>
        pole  modulus  time constant, s  period, s
         0.9      0.9             18.98          -
        <BLANKLINE>
        static gain  input 1
        output 1           1
        """
        return summarise(self)

    def facts(self) -> dict[str, object]:
        """What a line or a small table shows of it: sizes, time step, spectral radius, noise and estimation."""
        told = self.estimation
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "order": self.order,
            "dt": f"{self.dt:g} {self.time_unit}".rstrip(),
            "spectral_radius": f"{self.spectral_radius():.4g}",
            "noise_model": "no" if self.noise_gain is None else "yes",
            "estimated": f"for {told.focus}" if told else "no",
        }

    # ---------------------------------------------------------------- methods that other modules define

    plot_bode = figures.plot_bode
    plot_poles = figures.plot_poles
    plot_response = figures.plot_response

    as_readout_form = coordinates.as_readout_form
    in_basis = coordinates.in_basis
    balanced = coordinates.balanced
    in_units = coordinates.in_units
    with_names = coordinates.with_names
    with_input_delay = coordinates.with_input_delay

    as_block = exchange.as_block
    as_control = exchange.as_control
    to_scipy = exchange.to_scipy
    to_control = exchange.to_control
    to_continuous = exchange.to_continuous
    transfer_function = exchange.transfer_function
    is_readout_form = exchange.is_readout_form

    gramians = balance.gramians
    hankel_singular_values = balance.hankel_singular_values

    has_standard_errors = standard_errors.has_standard_errors
    moved = standard_errors.moved
    standard_error = standard_errors.standard_error
    changes = standard_errors.changes
    pole_standard_errors = standard_errors.pole_standard_errors
    pole_changes = standard_errors.pole_changes
    prediction_covariance = standard_errors.prediction_covariance


def _finite_matrix(values: Any, name: str) -> Array:
    """A finite float64 matrix."""
    if values is None:
        raise ValueError(f"{name} is missing: give all four matrices.")
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    matrix = np.array(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"{name} has shape {matrix.shape}, expected a matrix (two axes).")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name} holds NaN or inf.")
    return matrix


def _vector_of(values: Any, size: int, name: str) -> Array:
    """A float64 vector of this size."""
    vector = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    if vector.shape != (size,):
        raise ValueError(f"{name} has shape {vector.shape}, expected ({size},).")
    return vector
