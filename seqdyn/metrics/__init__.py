"""Scores, with their exact definitions. A NaN in y is a missing observation and is left out.

Nothing else is left out: a NaN in a forecast of a known y is a NaN in the score, and so is a score that is not defined.
Arrays are compared element by element; labels are not. Unless said otherwise a mean runs over everything known, over
all axes at once. The scores of free runs, the last three below, take whole trajectories and refuse a truth with gaps;
a run that blows up is scored as it is.

    points               errors of point predictions
    scaled               errors on the scale of the past of the same series
    quantiles            losses of quantiles
    ranked_probability   scores of a normal distribution, and of samples
    intervals            scores of prediction intervals
    free_runs            how long a free run stays with the truth, in Lyapunov times
    state_space          whether a generated trajectory visits the same places, equally often
    power_spectra        whether it moves at the same frequencies

The functions are at hand as ``seqdyn.metrics.<name>``; they are imported when they are first used.
"""

from seqdyn.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
