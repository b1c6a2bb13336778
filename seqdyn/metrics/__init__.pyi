"""Where each name of ``seqdyn.metrics`` is defined; type checkers and ``seqdyn.lazy_names`` read this list."""

from .free_runs import ValidPredictionTime as ValidPredictionTime
from .free_runs import valid_prediction_time as valid_prediction_time
from .intervals import coverage as coverage
from .intervals import interval_score as interval_score
from .intervals import msis as msis
from .points import fit_percent as fit_percent
from .points import mae as mae
from .points import mape as mape
from .points import rmse as rmse
from .points import smape as smape
from .power_spectra import power_spectrum_error as power_spectrum_error
from .quantiles import pinball as pinball
from .quantiles import wql as wql
from .ranked_probability import crps_gaussian as crps_gaussian
from .ranked_probability import crps_samples as crps_samples
from .reconstructions import Divergence as Divergence
from .scaled import mase as mase
from .scaled import owa as owa
from .scaled import rmsse as rmsse
from .state_space import state_space_divergence as state_space_divergence
