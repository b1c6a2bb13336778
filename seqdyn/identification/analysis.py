"""What a linear system does: poles and zeros, responses in time and frequency, Hankel singular values.

Responses are those of the deviations: offsets play no part in them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import schur

from seqdyn.checks import check_count

Array = np.ndarray[Any, Any]

EPSILON = float(np.finfo(np.float64).eps)


class FrequencyResponse(NamedTuple):
    """H at every frequency.

    Attributes
    ----------
    frequencies : array, shape (frequencies,)
        In cycles per unit of time.
    response : array of complex, shape (frequencies, outputs, inputs)
        H; its modulus is the gain of a sinusoid, its argument the phase it is ahead.
    """

    frequencies: Array
    response: Array


class Gramians(NamedTuple):
    """Two matrices of a stable system: how strongly inputs reach the states, and states show in the outputs.

    Attributes
    ----------
    controllability, observability : array, shape (order, order)
    """

    controllability: Array
    observability: Array


class Analysis:
    """The measurements of a :class:`~seqdyn.identification.system.LinearSystem`."""

    feedthrough: Array
    readout: Array
    input_map: Array
    transition: Array
    state_offset: Any
    dt: float

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
        return _sorted(np.linalg.eigvals(self.transition))

    def zeros(self) -> Array:
        """The invariant zeros: where the system lets nothing through, although it is driven and its state moves.

            rank [D − zI, C; B, A]  is lower at z than at nearly every other number

        Returns
        -------
        array of complex
            Largest modulus first. Of a minimal system these are the transmission zeros; a mode that the inputs do not
            reach or the outputs do not show appears here, too. Systems with unlike numbers of inputs and outputs
            usually have none.

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
        quadruple = (self.transition, *_balanced_channels(self.input_map, self.readout, self.feedthrough))
        transition, input_map, readout, feedthrough = _full_row_rank(*quadruple)
        transposed = _full_row_rank(transition.T, readout.T, input_map.T, feedthrough.T)
        transition, readout, input_map, feedthrough = (matrix.T for matrix in transposed)
        if not len(transition):
            return np.zeros(0, dtype=complex)
        return _sorted(np.linalg.eigvals(transition - input_map @ np.linalg.solve(feedthrough, readout)))

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
        """How long every pole remembers: τ = −dt / ln |λ|, the time in which it falls to 1/e.

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
        """How long one turn of every pole takes: T = 2π dt / |arg λ|.

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
        """Steps until the slowest pole has forgotten its start: ln(level) / ln ρ with ρ the spectral radius.

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
        """A, BC, BDC, BD²C, …: they describe all that goes from inputs to outputs, in whatever basis the state is.

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
        """What a constant input is multiplied with in the end: G = A + B (I − D)⁻¹ C.

        Returns
        -------
        array, shape (outputs, inputs)
            It is where the step response ends if the system is stable.

        Raises
        ------
        ValueError
            If there is a pole at 1: a constant input is summed up without end.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[1.0]], [[1.0]], [[1.0]], [[0.75]]).dc_gain()
        array([[5.]])
        """
        return self.feedthrough + self.readout @ self._at_rest(self.input_map)

    def steady_state(self, x: Any) -> Array:
        """The state that stays as it is when x is held: h = (I − D)⁻¹ (C x + h_0).

        Parameters
        ----------
        x : array-like, shape (inputs,)

        Returns
        -------
        array, shape (order,)

        Raises
        ------
        ValueError
            If there is a pole at 1.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[1.0]], [[1.0]], [[1.0]], [[0.75]]).steady_state([2.0])
        array([8.])
        """
        values = np.asarray(x, dtype=np.float64)
        if values.shape != self.input_map.shape[1:]:
            raise ValueError(f"x has shape {values.shape}, expected {self.input_map.shape[1:]}: one number an input.")
        return self._at_rest(self.input_map @ values + self.state_offset)

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
        at = self._frequencies() if frequencies is None else self._checked(frequencies)
        z = np.exp(2j * np.pi * at * self.dt)
        triangular, basis = schur(self.transition.astype(complex), output="complex")
        driven, seen = basis.conj().T @ self.input_map, self.readout @ basis
        reached = np.zeros((len(z), *driven.shape), dtype=complex)  # (zI − D)⁻¹ C, (frequencies, order, inputs)
        for i in reversed(range(len(triangular))):
            right = driven[i] + np.einsum("k,fkm->fm", triangular[i, i + 1 :], reached[:, i + 1 :])
            reached[:, i] = right / _away_from_zero(z - triangular[i, i])[:, None]
        return FrequencyResponse(at, self.feedthrough + np.einsum("on,fnm->fom", seen, reached))

    # ---------------------------------------------------------------- which states matter

    def gramians(self) -> Gramians:
        """How strongly the inputs reach the states, and how strongly the states show in the outputs.

            W_c = Σ_k D^k C Cᵀ (D^k)ᵀ,    W_o = Σ_k (D^k)ᵀ Bᵀ B D^k

        Returns
        -------
        Gramians
            ``(controllability, observability)``, the solutions of W_c = D W_c Dᵀ + C Cᵀ and W_o = Dᵀ W_o D + Bᵀ B.

        Raises
        ------
        ValueError
            If the system is not stable: the sums grow without end.

        References
        ----------
        Smith (1968), Matrix equation XA + BX = C, SIAM J. Applied Mathematics 16, for the doubling that sums them.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[3.0]], [[1.0]], [[0.5]]).gramians().observability
        array([[12.]])
        """
        reach, show = self._factors()
        return Gramians(reach @ reach.T, show.T @ show)

    def hankel_singular_values(self) -> Array:
        """How much every state, in balanced coordinates, matters for what goes from inputs to outputs.

            σ_i = √ λ_i(W_c W_o)

        Returns
        -------
        array, shape (order,)
            Largest first; 0 for a state that the inputs do not reach or the outputs do not show. A model that keeps
            the first r states errs at no frequency by more than 2 Σ_{i>r} σ_i.

        Raises
        ------
        ValueError
            If the system is not stable.

        References
        ----------
        Moore (1981), Principal component analysis in linear systems, IEEE Trans. Automatic Control 26.

        Examples
        --------
        >>> from seqdyn.identification.system import LinearSystem
        >>> LinearSystem.from_block([[0.0]], [[3.0]], [[1.0]], [[0.5]]).hankel_singular_values().round(9)
        array([4.])
        """
        reach, show = self._factors()
        values = np.linalg.svd(show @ reach, compute_uv=False)
        return np.concatenate([values, np.zeros(len(self.transition))])[: len(self.transition)]

    # ---------------------------------------------------------------- steps of these

    def _factors(self) -> tuple[Array, Array]:
        """L and R with W_c = L Lᵀ and W_o = Rᵀ R, without forming these: small directions keep their digits."""
        if not self.is_stable():
            raise ValueError(
                f"Gramians, Hankel singular values and balanced coordinates need a stable system, but the spectral "
                f"radius is {self.spectral_radius():.6g}: what it sums grows without end."
            )
        return _summed(self.transition, self.input_map), _summed(self.transition.T, self.readout.T).T

    def _at_rest(self, driven: Array) -> Array:
        """(I − D)⁻¹ of what drives the state."""
        if not len(self.transition):
            return np.zeros_like(driven)
        gap = np.eye(len(self.transition)) - self.transition
        if np.linalg.cond(gap) > 0.01 / EPSILON:
            raise ValueError(
                "There is a pole at 1, an integrator: a constant input is summed up without end, so there is no gain "
                "at frequency 0 and no state of rest."
            )
        solved: Array = np.linalg.solve(gap, driven)
        return solved

    def _frequencies(self, lowest: float | None = None) -> Array:
        """The grid that shows all poles, from ``lowest`` on if given."""
        nyquist = 0.5 / self.dt
        if lowest is None:
            constants = self.time_constants()
            slowest = constants[np.isfinite(constants)].max(initial=self.dt)
            turning = self.periods()
            slowest = max(slowest, turning[np.isfinite(turning)].max(initial=0.0) / (2 * np.pi))
            lowest = float(np.clip(0.1 / (2 * np.pi * slowest), 1e-7 * nyquist, 1e-2 * nyquist))
        grid = np.geomspace(min(lowest, 0.5 * nyquist), nyquist, 500)
        grid[-1] = nyquist
        return grid

    def _checked(self, frequencies: Any) -> Array:
        at = np.asarray(frequencies, dtype=np.float64)
        nyquist = 0.5 / self.dt
        if at.ndim != 1 or not np.isfinite(at).all() or (at < 0).any() or (at > nyquist * (1 + 1e-12)).any():
            raise ValueError(
                f"frequencies must be one row of numbers from 0 to the Nyquist frequency 1 / (2 dt) = {nyquist:g} "
                f"cycles per unit of time, beyond which the response repeats; got an array of shape {at.shape} "
                f"between {np.min(at, initial=np.inf):g} and {np.max(at, initial=-np.inf):g}."
            )
        return at


def _sorted(values: Array) -> Array:
    """Largest modulus first; pairs stay together."""
    ordered = sorted(values.astype(complex), key=lambda pole: (-round(abs(pole), 12), -pole.real, -pole.imag))
    return np.array(ordered, dtype=complex)


def _away_from_zero(values: Array) -> Array:
    """The values, none of them closer to 0 than rounding."""
    return np.where(np.abs(values) < EPSILON, EPSILON, values)


def _summed(transition: Array, driven: Array) -> Array:
    """L with L Lᵀ = Σ_k D^k G Gᵀ (D^k)ᵀ: every round doubles the number of terms."""
    factor, power = driven, transition
    while True:
        more = power @ factor
        if np.linalg.norm(more) <= EPSILON * np.linalg.norm(factor) or not power.size:
            return factor
        _, upper = np.linalg.qr(np.hstack([factor, more]).T)
        factor, power = upper.T, power @ power


def _balanced_channels(input_map: Array, readout: Array, feedthrough: Array) -> tuple[Array, Array, Array]:
    """Every input and every output in a unit of its own size: zeros do not depend on it, ranks are easier to see."""
    for _ in range(10):  # the size of an input depends on the units of the outputs, and the other way round
        size = np.linalg.norm(np.vstack([input_map, feedthrough]), axis=0)
        input_map, feedthrough = (matrix / np.where(size > 0, size, 1.0) for matrix in (input_map, feedthrough))
        size = np.linalg.norm(np.hstack([readout, feedthrough]), axis=1)[:, None]
        readout, feedthrough = (matrix / np.where(size > 0, size, 1.0) for matrix in (readout, feedthrough))
    return input_map, readout, feedthrough


def _full_row_rank(
    transition: Array, input_map: Array, readout: Array, feedthrough: Array
) -> tuple[Array, Array, Array, Array]:
    """A system with the same zeros whose feedthrough has full row rank.

    Where an output has no feedthrough, an output of 0 asks the states that it reads to be 0. These are left out, and
    that they are 0 at the next step, too, becomes a further output to be 0.
    """
    tolerance = 1e-11 * max(1.0, float(np.linalg.norm(transition)))
    while True:
        left, rank = _split_rows(feedthrough, tolerance)
        feedthrough, readout = left.T @ feedthrough, left.T @ readout
        basis, seen = _split_rows(readout[rank:].T, tolerance)
        if not seen:
            return transition, input_map, readout[:rank], feedthrough[:rank]
        moved, driven, read = basis.T @ transition @ basis, basis.T @ input_map, readout[:rank] @ basis
        transition, input_map = moved[seen:, seen:], driven[seen:]
        readout = np.vstack([read[:, seen:], moved[:seen, seen:]])
        feedthrough = np.vstack([feedthrough[:rank], driven[:seen]])


def _split_rows(matrix: Array, tolerance: float) -> tuple[Array, int]:
    """An orthogonal basis whose first columns span those of the matrix, and how many these are."""
    basis, sizes, _ = np.linalg.svd(matrix, full_matrices=True)
    return basis, int((sizes > tolerance).sum())
