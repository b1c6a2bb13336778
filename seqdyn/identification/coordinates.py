"""Transform a linear system: coordinates of the state, units, names, delays of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from seqdyn.arrays import Array
from seqdyn.identification.balance import balancing, gramian_roots
from seqdyn.identification.delay import behind, changes_behind, checked_delays, shift_register

if TYPE_CHECKING:
    from seqdyn.identification.system import LinearSystem


def as_readout_form(system: LinearSystem) -> LinearSystem:
    """The same system with the state [h; y], which contains the outputs: the form of a linear network.

    What is known from its estimation is left behind.
    """
    order, outputs = system.order, system.outputs
    transition = np.zeros((order + outputs, order + outputs))
    transition[:, :order] = np.vstack([system.transition, system.readout])
    gain = system.noise_gain
    return replace(
        system,
        readout=np.hstack([system.readout, np.zeros((outputs, outputs))]),
        input_map=np.vstack([system.input_map, system.feedthrough]),
        transition=transition,
        state_offset=np.concatenate([system.state_offset, system.output_offset]),
        noise_gain=None if gain is None else np.vstack([gain, np.eye(outputs)]),
        estimation=None,
    )


def in_basis(system: LinearSystem, basis: Array) -> LinearSystem:
    """The same system for h̃ = T h, with T = ``basis`` (order, order) invertible."""
    inverse = np.linalg.inv(basis)
    return replace(
        system,
        readout=system.readout @ inverse,
        input_map=basis @ system.input_map,
        transition=basis @ system.transition @ inverse,
        state_offset=basis @ system.state_offset,
        noise_gain=None if system.noise_gain is None else basis @ system.noise_gain,
        estimation=system.estimation and system.estimation.in_basis(basis, inverse),
    )


def balanced(system: LinearSystem, order: int | None = None) -> LinearSystem:
    """The system in balanced coordinates: both Gramians are equal and diagonal.

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
        If ``input_output_part()`` is not stable, or there are not as many states that matter.

    References
    ----------
    Moore (1981), Principal component analysis in linear systems; Tombs & Postlethwaite (1987), Truncated balanced
    realization of a stable non-minimal state-space system.

    Examples
    --------
    A state that the input does not reach is left out:

    >>> import numpy as np
    >>> from seqdyn.identification.system import LinearSystem
    >>> LinearSystem.from_block([[0.0]], [[3.0, 1.0]], [[1.0], [0.0]], np.diag([0.5, 0.9])).balanced().order
    1
    """
    part = system.input_output_part()
    forth, back = balancing(*gramian_roots(part), order)
    rest = system.steady_state(np.zeros(system.inputs))
    whole = len(forth) == system.order and system.noise_gain is not None
    return replace(
        system,
        readout=part.readout @ back,
        input_map=forth @ part.input_map,
        transition=forth @ part.transition @ back,
        output_offset=system.output_offset + system.readout @ rest,
        state_offset=None,
        noise_gain=forth @ system.noise_gain if whole else None,
        noise_covariance=system.noise_covariance if whole else None,
        estimation=None,
    )


def in_units(
    system: LinearSystem, input_mean: Array, input_scale: Array, output_mean: Array, output_scale: Array
) -> LinearSystem:
    """The system between x and y, when this one is between (x − m_x) / s_x and (y − m_y) / s_y."""
    gain = output_scale[:, None]
    feedthrough, input_map = system.feedthrough * gain / input_scale, system.input_map / input_scale
    covariance = system.noise_covariance
    return replace(
        system,
        feedthrough=feedthrough,
        readout=system.readout * gain,
        input_map=input_map,
        output_offset=system.output_offset * output_scale + output_mean - feedthrough @ input_mean,
        state_offset=system.state_offset - input_map @ input_mean,
        noise_gain=None if system.noise_gain is None else system.noise_gain / output_scale,
        noise_covariance=None if covariance is None else covariance * np.outer(output_scale, output_scale),
        estimation=system.estimation and system.estimation.in_units(input_mean, input_scale, output_scale),
    )


def with_names(system: LinearSystem, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> LinearSystem:
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
    >>> from seqdyn.identification.system import LinearSystem
    >>> echo = LinearSystem.from_block([[1.0]], [[0.5]], [[1.0]], [[0.5]])
    >>> print(echo.with_names(["voice"], ["ear"]).transfer_function())
    voice → ear
           z
        -------
        z - 0.5
    dt = 1
    """
    return replace(system, input_names=inputs, output_names=outputs)


def with_input_delay(system: LinearSystem, delays: int | Sequence[int]) -> LinearSystem:
    """The same system with inputs delayed by d_i steps: the state holds the inputs that have not arrived yet.

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
    >>> from seqdyn.identification.system import LinearSystem
    >>> echo = LinearSystem.from_block([[1.0]], [[0.5]], [[1.0]], [[0.5]])
    >>> echo.with_input_delay(2).impulse_response(5).ravel()
    array([0.  , 0.  , 1.  , 0.5 , 0.25])
    """
    held = shift_register(checked_delays(delays, system.inputs))
    feedthrough, readout, input_map, transition = behind(
        held, system.feedthrough, system.readout, system.input_map, system.transition
    )
    steps, gain, told = len(held.shift), system.noise_gain, system.estimation
    return replace(
        system,
        feedthrough=feedthrough,
        readout=readout,
        input_map=input_map,
        transition=transition,
        state_offset=np.pad(system.state_offset, (0, steps)),
        noise_gain=None if gain is None else np.pad(gain, ((0, steps), (0, 0))),
        estimation=told and told.changed(lambda along: changes_behind(held, along)),
    )
