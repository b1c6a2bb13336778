"""The linear system as an object, with its two views: the lectures' block matrix and control theory's quadruple."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from seqdyn.identification.channels import checked_names
from seqdyn.identification.continuous import discrete
from seqdyn.identification.delay import behind, changes_behind, checked_delays, register
from seqdyn.identification.estimation import Estimation
from seqdyn.identification.exchange import (
    BlockForm,
    ControlForm,
    Exchange,
    is_continuous,
    is_system,
    quadruple,
    signal_names,
)
from seqdyn.identification.gramians import balancing
from seqdyn.identification.presentation import Presentation
from seqdyn.identification.standard_errors import StandardErrors
from seqdyn.kernels.linear import linear_recurrence

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class LinearSystem(Exchange, StandardErrors, Presentation):
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
            object.__setattr__(self, name, _matrix(getattr(self, name), name))
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
                matrix = _matrix(getattr(self, name), name)
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
        """The system that a continuous-time one is from step to step, if inputs are held in between.

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
        rate, drive, readout, feedthrough = (_matrix(v, n) for v, n in zip((A, B, C, D), "ABCD", strict=True))
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
        W_ih, W_hh, W_hy = _matrix(W_ih, "W_ih"), _matrix(W_hh, "W_hh"), _matrix(W_hy, "W_hy")
        if W_hy.shape[1] != len(W_hh) or len(W_ih) != len(W_hh):
            raise ValueError(
                f"W_ih {W_ih.shape}, W_hh {W_hh.shape} and W_hy {W_hy.shape} do not fit together: expected "
                "(hidden, inputs), (hidden, hidden) and (outputs, hidden)."
            )
        state_offset = np.zeros(len(W_hh)) if b_h is None else _vector(b_h, len(W_hh), "b_h")
        own = np.zeros(len(W_hy)) if b_y is None else _vector(b_y, len(W_hy), "b_y")
        output_offset = W_hy @ state_offset + own
        feedthrough, readout = W_hy @ W_ih, W_hy @ W_hh
        return cls(feedthrough, readout, W_ih, W_hh, output_offset, state_offset, dt=dt, time_unit=time_unit)

    def as_readout_form(self) -> LinearSystem:
        """The same system with the state [h; y], of which the outputs are a part: it has a linear network's form.

        What is known from its estimation is left behind.
        """
        order, outputs = self.order, self.outputs
        transition = np.zeros((order + outputs, order + outputs))
        transition[:, :order] = np.vstack([self.transition, self.readout])
        gain = self.noise_gain
        return replace(
            self,
            readout=np.hstack([self.readout, np.zeros((outputs, outputs))]),
            input_map=np.vstack([self.input_map, self.feedthrough]),
            transition=transition,
            state_offset=np.concatenate([self.state_offset, self.output_offset]),
            noise_gain=None if gain is None else np.vstack([gain, np.eye(outputs)]),
            estimation=None,
        )

    # ---------------------------------------------------------------- change of coordinates and units

    def in_basis(self, basis: Array) -> LinearSystem:
        """The same system for h̃ = T h, with T = ``basis`` (order, order) invertible."""
        inverse = np.linalg.inv(basis)
        return replace(
            self,
            readout=self.readout @ inverse,
            input_map=basis @ self.input_map,
            transition=basis @ self.transition @ inverse,
            state_offset=basis @ self.state_offset,
            noise_gain=None if self.noise_gain is None else basis @ self.noise_gain,
            estimation=self.estimation and self.estimation.in_basis(basis, inverse),
        )

    def balanced(self, order: int | None = None) -> LinearSystem:
        """The same system in the coordinates in which every state is reached as strongly as it shows.

        Both Gramians become diag(σ), with the Hankel singular values σ, largest first.

        Parameters
        ----------
        order : int, optional
            Keep so many states, the ones that matter most: no frequency response is then off by more than
            2 Σ_{i>r} σ_i. If None all that the inputs reach and the outputs show, which changes nothing between them.

        Returns
        -------
        LinearSystem
            Its state is the deviation from rest at x = 0. A model of the noise is left behind where states are.

        Raises
        ------
        ValueError
            If :meth:`input_output_part` is not stable, or there are not as many states that matter.

        References
        ----------
        Moore (1981), Principal component analysis in linear systems; Tombs & Postlethwaite (1987), Truncated balanced
        realization of a stable non-minimal state-space system.

        Examples
        --------
        A state that the input does not reach is left out:

        >>> import numpy as np
        >>> LinearSystem.from_block([[0.0]], [[3.0, 1.0]], [[1.0], [0.0]], np.diag([0.5, 0.9])).balanced().order
        1
        """
        part = self.input_output_part()
        forth, back = balancing(*part._gramian_roots(), order)
        rest = self.steady_state(np.zeros(self.inputs))
        whole = len(forth) == self.order and self.noise_gain is not None
        return replace(
            self,
            readout=part.readout @ back,
            input_map=forth @ part.input_map,
            transition=forth @ part.transition @ back,
            output_offset=self.output_offset + self.readout @ rest,
            state_offset=None,
            noise_gain=forth @ self.noise_gain if whole else None,
            noise_covariance=self.noise_covariance if whole else None,
            estimation=None,
        )

    def in_units(self, input_mean: Array, input_scale: Array, output_mean: Array, output_scale: Array) -> LinearSystem:
        """The system between x and y, when this one is between (x − m_x) / s_x and (y − m_y) / s_y."""
        gain = output_scale[:, None]
        feedthrough, input_map = self.feedthrough * gain / input_scale, self.input_map / input_scale
        covariance = self.noise_covariance
        return replace(
            self,
            feedthrough=feedthrough,
            readout=self.readout * gain,
            input_map=input_map,
            output_offset=self.output_offset * output_scale + output_mean - feedthrough @ input_mean,
            state_offset=self.state_offset - input_map @ input_mean,
            noise_gain=None if self.noise_gain is None else self.noise_gain / output_scale,
            noise_covariance=None if covariance is None else covariance * np.outer(output_scale, output_scale),
            estimation=self.estimation and self.estimation.in_units(input_mean, input_scale, output_scale),
        )

    def with_names(self, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> LinearSystem:
        """The same system with names for its inputs and outputs; none where none are given.

        Parameters
        ----------
        inputs, outputs : sequence of str
            One name a channel; empty: none.

        Returns
        -------
        LinearSystem

        Examples
        --------
        >>> echo = LinearSystem.from_block([[1.0]], [[0.5]], [[1.0]], [[0.5]])
        >>> print(echo.with_names(["voice"], ["ear"]).transfer_function())
        voice → ear
               z
            -------
            z - 0.5
        dt = 1
        """
        return replace(self, input_names=inputs, output_names=outputs)

    def with_input_delay(self, delays: int | Sequence[int]) -> LinearSystem:
        """The same system with inputs that arrive d_i steps later: what is on its way stands in the state.

        Parameters
        ----------
        delays : int, or sequence of int
            d, from 0 on: one for all inputs, or one an input.

        Returns
        -------
        LinearSystem
            Its state is [h; what is on its way], the latter input by input, the newest first. The noise and what is
            known from the estimation are carried along.

        Raises
        ------
        ValueError
            If there are not as many delays as inputs, or one is not a whole number of steps.

        Examples
        --------
        >>> echo = LinearSystem.from_block([[1.0]], [[0.5]], [[1.0]], [[0.5]])
        >>> echo.with_input_delay(2).impulse_response(5).ravel()
        array([0.  , 0.  , 1.  , 0.5 , 0.25])
        """
        held = register(checked_delays(delays, self.inputs))
        feedthrough, readout, input_map, transition = behind(
            held, self.feedthrough, self.readout, self.input_map, self.transition
        )
        steps, gain, told = len(held.shift), self.noise_gain, self.estimation
        return replace(
            self,
            feedthrough=feedthrough,
            readout=readout,
            input_map=input_map,
            transition=transition,
            state_offset=np.pad(self.state_offset, (0, steps)),
            noise_gain=None if gain is None else np.pad(gain, ((0, steps), (0, 0))),
            estimation=told and told.changed(lambda along: changes_behind(held, along)),
        )

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
        start = (
            np.zeros((len(batch), self.order)) if h is None else np.array(np.broadcast_to(h, (len(batch), self.order)))
        )
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

    def __repr__(self) -> str:
        noise = "" if self.noise_gain is None else ", with a model of the noise"
        dt = f"{self.dt:g} {self.time_unit}".rstrip()
        return (
            f"LinearSystem(inputs={self.inputs}, outputs={self.outputs}, order={self.order}, dt={dt}, "
            f"spectral radius {self.spectral_radius():.4g}{noise})"
        )


def _matrix(values: Any, name: str) -> Array:
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


def _vector(values: Any, size: int, name: str) -> Array:
    """A float64 vector of this size."""
    vector = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    if vector.shape != (size,):
        raise ValueError(f"{name} has shape {vector.shape}, expected ({size},).")
    return vector
