"""A word to those who name covariates for a forecaster that cannot use them."""

from __future__ import annotations

import warnings

from seqdyn.checks import outside
from seqdyn.data.labels import quoted
from seqdyn.data.panels import Roles

USERS = {
    "future": "RidgeForecaster, AutoRegForecaster and Forecaster use covariates known ahead",
    "past": "Forecaster uses covariates known up to the present",
    "static": "Forecaster uses static covariates",
}
"""Who uses what."""


def warn_of_unused(model: str, used: tuple[str, ...], roles: Roles) -> None:
    """One warning that names the covariates a forecaster leaves out, and who uses them.

    Parameters
    ----------
    model : str
        The name of the forecaster.
    used : tuple of {"past", "future", "static"}
        What it uses.
    roles : Roles
        What the columns are.

    Warns
    -----
    UserWarning
        If one is not used.
    """
    left = {kind: names for kind in USERS if kind not in used and (names := getattr(roles, kind))}
    if left:
        columns = ", ".join(quoted(name) for names in left.values() for name in names)
        who = "; ".join(USERS[kind] for kind in left)
        warnings.warn(f"{model} does not use the covariates {columns}: {who}.", stacklevel=outside())
