"""What a linear system does: poles and zeros, responses in time and frequency.

Responses are those of the deviations: offsets play no part in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np

from seqdyn.arrays import EPSILON, Array
from seqdyn.checks import check_count
from seqdyn.identification.estimation import Estimation
from seqdyn.identification.frequency import FrequencyResponse, checked_frequencies, response_at
from seqdyn.identification.lasting_modes import lasting, state_at_rest, without_undriven_modes
from seqdyn.identification.zeros import invariant_zeros


class Analysis:
    """The measurements of a :class:`~seqdyn.identification.system.LinearSystem`."""

    feedthrough: Array
    readout: Array
    input_map: Array
    transition: Array
    output_offset: Any
    state_offset: Any
    noise_gain: Array | None
    noise_covariance: Array | None
    dt: float
    time_unit: str
    estimation: Estimation | None
    input_names: Sequence[str]
    output_names: Sequence[str]

    # ---------------------------------------------------------------- sizes

    @property
    def inputs(self) -> int:
        """Width of x."""
        return int(self.feedthrough.shape[1])

    @property
    def outputs(self) -> int:
        """Width of y."""
        return int(self.feedthrough.shape[0])

    @property
    def order(self) -> int:
        """Width of h."""
        return int(self.transition.shape[0])

    # ---------------------------------------------------------------- poles and zeros

    def poles(self) -> Array:
        """The eigenvalues of the transition D, largest modulus first.

        Returns
        -------
        array of complex, shape (order,)
            A pole λ is a response that goes as λ^t.

        References
        ----------
        Ljung (1999), System Identification, section 4.3.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0, 0.0]], [[0.0], [1.0]], [[0.0, 1.0], [-0.25, 1.0]]).poles()
        array([0.5+0.j, 0.5+0.j])
        """
        return _by_modulus(np.linalg.eigvals(self.transition))

    def zeros(self) -> Array:
        """The invariant zeros: frequencies z at which the output stays 0 although input and state do not.

            rank [D − zI, C; B, A]  is lower at z than at nearly every other number

        Returns
        -------
        array of complex
            Largest modulus first; those of :meth:`input_output_part`. Of a minimal system these are the transmission
            zeros; a mode that decays and that the inputs do not reach or the outputs do not show appears here, too.
            Systems with unlike numbers of inputs and outputs usually have none.

        References
        ----------
        Emami-Naeini & Van Dooren (1982), Computation of zeros of linear multivariable systems, Automatica 18.

        Examples
        --------
        y_t = x_t − 0.8 x_{t-1}:

        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[1.0]], [[-0.8]], [[1.0]], [[0.0]]).zeros()
        array([0.8+0.j])
        """
        return _by_modulus(invariant_zeros(*control_matrices(self.input_output_part())))

    def spectral_radius(self) -> float:
        """The largest modulus of the poles; below 1 the system is stable.

        Returns
        -------
        float
            0 for a system without states.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[-0.5]]).spectral_radius()
        0.5
        """
        return float(np.abs(self.poles()).max(initial=0.0))

    def is_stable(self) -> bool:
        """Whether the initial state is forgotten: all poles lie inside the unit circle.

        Returns
        -------
        bool

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[1.0]]).is_stable()
        False
        """
        return self.spectral_radius() < 1

    def time_constants(self) -> Array:
        """The time constants of the poles: τ = −dt / ln |λ|, the time in which a mode falls to 1/e.

        Returns
        -------
        array, shape (order,)
            In the unit of dt, in the order of :meth:`poles`; inf where |λ| ≥ 1, 0 where λ = 0.

        Examples
        --------
        >>> import numpy as np
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[np.exp(-0.1)]], dt=0.5).time_constants()
        array([5.])
        """
        moduli = np.abs(self.poles())
        with np.errstate(divide="ignore"):
            return np.where(moduli < 1, -self.dt / np.log(np.minimum(moduli, 1 - EPSILON)), np.inf)

    def periods(self) -> Array:
        """The periods of the poles: T = 2π dt / |arg λ|, the time of one oscillation.

        Returns
        -------
        array, shape (order,)
            In the unit of dt, in the order of :meth:`poles`; inf where λ ≥ 0, 2 dt where λ < 0.

        Examples
        --------
        A rotation by a twelfth of a turn a step:

        >>> import numpy as np
        >>> from seqdyn.identification.system import LinearSystem
        >>> c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
        >>> LinearSystem.from_block([[0.0]], [[1.0, 0.0]], [[1.0], [0.0]], [[c, -s], [s, c]]).periods().round(9)
        array([12., 12.])
        """
        angles = np.abs(np.angle(self.poles()))
        with np.errstate(divide="ignore"):
            return 2 * np.pi * self.dt / angles

    def forgetting_time(self, level: float = 0.01) -> float:
        """Steps until the slowest mode has decayed to ``level``: ln(level) / ln ρ with ρ the spectral radius.

        Parameters
        ----------
        level : float in (0, 1)
            What may be left of it.

        Returns
        -------
        float
            In steps; inf if the system is not stable. It is the rate in the long run: poles that are nearly equal,
            or far from orthogonal modes, can take longer at first.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> round(LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.9]]).forgetting_time(), 1)
        43.7
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}.")
        radius = self.spectral_radius()
        if radius >= 1:
            return float("inf")
        return float(np.log(level) / np.log(radius)) if radius > 0 else 0.0

    # ---------------------------------------------------------------- responses

    def markov_parameters(self, count: int) -> Array:
        """The Markov parameters A, BC, BDC, BD²C, …: the impulse response, the same in every basis of the state.

        Parameters
        ----------
        count : int, at least 1

        Returns
        -------
        array, shape (count, outputs, inputs)

        References
        ----------
        Ho & Kalman (1966), Effective construction of linear state-variable models from input/output functions.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[3.0]], [[1.0]], [[1.0]], [[0.5]]).markov_parameters(4).ravel()
        array([3.  , 1.  , 0.5 , 0.25])
        """
        check_count("count", count)
        found, reached = [self.feedthrough], self.input_map
        for _ in range(count - 1):
            found.append(self.readout @ reached)
            reached = self.transition @ reached
        return np.array(found)

    def impulse_response(self, time: int) -> Array:
        """The outputs after x = 1, 0, 0, … in each input alone: the Markov parameters A, BC, BDC, …

        Parameters
        ----------
        time : int, at least 1
            In steps.

        Returns
        -------
        array, shape (time, outputs, inputs)

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.5]]).impulse_response(3).ravel()
        array([0. , 1. , 0.5])
        """
        check_count("time", time)
        return self.markov_parameters(time)

    def step_response(self, time: int) -> Array:
        """The outputs after x = 1, 1, 1, … in each input alone: A, A + BC, A + BC + BDC, …

        Parameters
        ----------
        time : int, at least 1
            In steps.

        Returns
        -------
        array, shape (time, outputs, inputs)
            It tends to :meth:`dc_gain` if the system is stable.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.5]]).step_response(4).ravel()
        array([0.  , 1.  , 1.5 , 1.75])
        """
        check_count("time", time)
        return self.markov_parameters(time).cumsum(axis=0)

    def dc_gain(self) -> Array:
        """The static gain: G = A + B (I − D)⁻¹ C, output per constant input in the steady state.

        Returns
        -------
        array, shape (outputs, inputs)
            It is where the step response ends if :meth:`input_output_part` is stable.

        Raises
        ------
        ValueError
            If there is a pole at 1 that inputs reach and outputs show: a constant input is summed up without end.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[1.0]], [[1.0]], [[1.0]], [[0.75]]).dc_gain()
        array([[5.]])
        """
        part = self.input_output_part()
        return self.feedthrough + part.readout @ state_at_rest(part.transition, part.input_map)

    def steady_state(self, x: Any) -> Array:
        """The state that stays as it is when x is held: h = (I − D)⁻¹ (C x + h_0).

        Parameters
        ----------
        x : array-like, shape (inputs,)

        Returns
        -------
        array, shape (order,)
            Of the states that stay, if there is more than one, that without a drift: what does not decay and is not
            driven is 0.

        Raises
        ------
        ValueError
            If there is a pole at 1 that inputs or offsets drive.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[1.0]], [[1.0]], [[1.0]], [[0.75]]).steady_state([2.0])
        array([8.])
        """
        values = np.asarray(x, dtype=np.float64)
        if values.shape != self.input_map.shape[1:]:
            raise ValueError(f"x has shape {values.shape}, expected {self.input_map.shape[1:]}: one number an input.")
        return state_at_rest(self.transition, (self.input_map @ values + self.state_offset)[:, None])[:, 0]

    def frequency_response(self, frequencies: Any = None) -> FrequencyResponse:
        """The response to sinusoids: H(f) = A + B (zI − D)⁻¹ C with z = exp(2πi f dt).

        Parameters
        ----------
        frequencies : array-like, shape (frequencies,), optional
            In cycles per unit of time, from 0 to the Nyquist frequency 1 / (2 dt). If None 500 of them, evenly on a
            logarithmic axis, from a tenth of the lowest corner frequency of the poles on.

        Returns
        -------
        FrequencyResponse
            ``(frequencies, response)``. On a pole H is infinite; what stands there is as large as rounding lets it be.

        Notes
        -----
        D is brought to triangular form once; a frequency then costs one back-substitution.

        References
        ----------
        Laub (1981), Efficient multivariable frequency response computations, IEEE Trans. Automatic Control 26.

        Examples
        --------
        The mean of two neighbours keeps a constant and removes what alternates:

        >>> from seqdyn.identification.system import LinearSystem
        >>> mean = LinearSystem.from_block([[0.5]], [[0.5]], [[1.0]], [[0.0]])
        >>> abs(mean.frequency_response([0.0, 0.5]).response).ravel().round(9)
        array([1., 0.])
        """
        at = self.frequency_grid() if frequencies is None else checked_frequencies(frequencies, self.dt)
        response = response_at(np.exp(2j * np.pi * at * self.dt), *control_matrices(self.input_output_part()))
        return FrequencyResponse(at, response)

    def frequency_grid(self, lowest: float | None = None) -> Array:
        """Frequencies that show all poles: 500, evenly on a logarithmic axis, up to the Nyquist frequency 1 / (2 dt).

        Parameters
        ----------
        lowest : float, optional
            Where to begin, in cycles per unit of time; a tenth of the lowest corner frequency of the poles if None.

        Returns
        -------
        array, shape (500,)

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[1.0]], [[1.0]], [[0.9]]).frequency_grid()[[0, -1]].round(4)
        array([0.0017, 0.5   ])
        """
        nyquist = 0.5 / self.dt
        if lowest is None:
            part = self.input_output_part()
            constants, turning = part.time_constants(), part.periods()
            slowest = constants[np.isfinite(constants)].max(initial=self.dt)
            slowest = max(slowest, turning[np.isfinite(turning)].max(initial=0.0) / (2 * np.pi))
            lowest = float(np.clip(0.1 / (2 * np.pi * slowest), 1e-7 * nyquist, 1e-2 * nyquist))
        grid = np.geomspace(min(lowest, 0.5 * nyquist), nyquist, 500)
        grid[-1] = nyquist
        return grid

    # ---------------------------------------------------------------- parts

    def input_output_part(self) -> Self:
        """The system without the modes that do not decay and that no input reaches or no output shows.

        Returns
        -------
        LinearSystem
            With the same responses; the system itself where there are no such modes. Where modes are left out it tells
            of deviations only: offsets, noise and what is known from the estimation are left behind.

        Notes
        -----
        A drift of the outputs is such a mode: a pole at 1 that no input reaches. Zeros, gains, frequency responses,
        Hankel singular values, balanced coordinates and transfer functions are those of this part. A mode counts as
        not reached if the inputs drive it by less than 1e-11 of what they drive at all, or 1e-11 ‖D‖ if that is more,
        in units of the states that balance D.

        References
        ----------
        Hautus (1969), Controllability and observability conditions of linear autonomous systems; Parlett & Reinsch
        (1969), Balancing a matrix for calculation of eigenvalues and eigenvectors.

        Examples
        --------
        >>> import numpy as np
        >>> from seqdyn.identification.system import LinearSystem
        >>> drifting = LinearSystem.from_block([[0.0]], [[2.0, 1.0]], [[1.0], [0.0]], np.diag([0.5, 1.0]))
        >>> drifting.input_output_part().poles(), drifting.dc_gain()
        (array([0.5+0.j]), array([[4.]]))
        """
        if not len(lasting(self.poles())):
            return self
        forth, back = without_undriven_modes(self.transition, self.input_map)
        onto, out_of = without_undriven_modes((forth @ self.transition @ back).T, (self.readout @ back).T)
        forth, back = out_of.T @ forth, back @ onto.T
        if len(forth) == self.order:
            return self
        matrices = (self.readout @ back, forth @ self.input_map, forth @ self.transition @ back)
        named = dict(zip(("readout", "input_map", "transition"), matrices, strict=True))
        left = dict.fromkeys(("output_offset", "state_offset", "noise_gain", "noise_covariance", "estimation"))
        return cast(Self, replace(cast(Any, self), **named, **left))


def control_matrices(system: Analysis) -> tuple[Array, Array, Array, Array]:
    """D, C, B and A: the matrices in the order in which control theory has them."""
    return system.transition, system.input_map, system.readout, system.feedthrough


def pole_order(values: Array) -> list[int]:
    """The order that sorts poles by modulus, largest first; conjugate pairs stay together."""
    keys = [(-round(float(abs(value)), 12), -value.real, -value.imag) for value in values.astype(complex)]
    return sorted(range(len(keys)), key=keys.__getitem__)


def _by_modulus(values: Array) -> Array:
    return values.astype(complex)[pole_order(values)]
