"""Default numbers of lags of an autoregression, and those that "auto" tries."""

from __future__ import annotations

import numpy as np

from seqdyn.data.panels import Panel


def default_lags(panel: Panel, season: int) -> int:
    """The default number of lags: seven seasons, one more than a season, or 5.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> default_lags(read_panel(pd.Series(range(700))), 24), default_lags(read_panel(pd.Series(range(144))), 12)
    (168, 13)
    """
    length = int(np.median(panel.lengths))
    if season >= 24 and length >= 21 * season:
        return 7 * season
    return max(1, min(season + 1 if season > 1 else 5, length // 3))


def lag_candidates(panel: Panel, season: int) -> tuple[int, ...]:
    """What ``lags="auto"`` chooses from: a third of the series' length at most."""
    most = max(1, int(np.median(panel.lengths)) // 3)
    several = (season + 1, 2 * season, 7 * season, 14 * season) if season > 1 else (2, 4, 8, 16, 32)
    return tuple(sorted({min(lags, most) for lags in (*several, default_lags(panel, season))}))


def default_input_lags(panel: Panel) -> int:
    """How many earlier values of a covariate count: 4, but not more than a twentieth of the rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from seqdyn.data.panel_reading import read_panel
    >>> default_input_lags(read_panel(pd.Series(range(300)))), default_input_lags(read_panel(pd.Series(range(50))))
    (4, 2)
    """
    return max(0, min(4, int(np.median(panel.lengths)) // 20))
