"""Instruments: measurements of any cell along a trajectory. None of them changes what it measures.

    derivatives        ∂(y_t, h_t)/∂(x_t, h_{t-1}) of one step, recorded along a scan
    trajectory         a float64 copy of the cell, run in stretches; its Jacobians
    products           matrices with their size kept as a logarithm
    transitions        P_{s,t} = J_t … J_{s+1}: norms by lag, and the map over (s, t)
    singular_values    all singular values of a long product
    powers             powers of a constant matrix, and how they grow before they decay; non_normality: why they do
    gradients          ∂E_t/∂h_s by lag, what reaches the parameters, what truncation leaves out
    norm_preservation  Pascanu's Ω, as a measure and as a penalty
    state_gradients    the gradient of a loss by every state, and how far back it reaches
    spectrum           eigenvalues of one step
    lyapunov           exponents, conditional and autonomous; finite_time: over stretches of one lag
    closed_loop        how a cell is run: driven, alone, or on its own output
    forcing            how much of the true past a training has to show it
    equilibria         fixed and slow points; certificate: whether they are there; newton, descent: the search for them
    region             where a state can be: the box that it does not leave, the states that it reaches
    limit_cycles       closed orbits; cycle_search, periodic_orbit, invariant_curve, floquet: how they are found
    gates              saturation, and the time constants gates imply
    capacity           how many past inputs a state holds
    memory_length      how long the memory is, by every definition
    neuron_forces      neurons by name, to clamp or to nudge

The functions are at hand as ``seqdyn.dynamics.<name>``; they are imported when they are first used.
"""

from seqdyn.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
