"""Where each name of ``seqdyn.phase_figures`` is defined; type checkers and ``seqdyn.lazy_names`` read this list."""

from .bifurcations import plot_bifurcation as plot_bifurcation
from .portraits import plot_delay_embedding as plot_delay_embedding
from .portraits import plot_phase_portrait as plot_phase_portrait
from .return_maps import plot_return_map as plot_return_map
from .return_maps import successive_maxima as successive_maxima
from .spectra import plot_power_spectra as plot_power_spectra
