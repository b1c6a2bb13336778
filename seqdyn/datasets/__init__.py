"""Example data: ``load_*`` needs no network, ``fetch_*`` reads the folder ``SEQDYN_DATA`` or downloads.

    series      series of the calendar: sunspots, CO2, the economy, passengers, a transformer, the M4 competition
    systems     trajectories of known systems: logistic, Hénon, Lorenz, Mackey–Glass
    processes   from an input to an output: tanks, a furnace, a dryer and a heating system
    pictures    handwriting, in grey and in black and white, and scenes with a sentence about each
    films       handwriting that moves and changes
    motion      how salamanders and people were seen to move
    salamander  a simulated one, from its drive to its joints
    texts       one that every Python has, and one to fetch
    frames      what every frame says of itself
    sources     every file that is fetched, and the check that it is the one we know

Columns are named, and ``frame.attrs`` says where the data come from (``source``) and what they are measured in
(``units``). What has a calendar is indexed by it; what has none is indexed by the number of the sample, and
``frame.attrs["interval"]`` is the time between two samples, in ``frame.attrs["interval_unit"]``. Motion is indexed by
its time in seconds; a Forecaster, which counts rows, takes ``frame.reset_index(drop=True)``.

The functions are at hand as ``seqdyn.datasets.<name>``; they are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "series": (
        "load_sunspots",
        "load_co2",
        "load_macrodata",
        "fetch_air_passengers",
        "fetch_etth1",
        "fetch_m4_hourly",
    ),
    "systems": ("load_logistic", "load_henon", "load_lorenz", "load_mackey_glass"),
    "processes": ("load_cascaded_tanks", "fetch_cascaded_tanks", "fetch_gas_furnace", "fetch_daisy"),
    "pictures": (
        "load_digits",
        "load_binarized_digits",
        "load_digit_scenes",
        "load_shape_scenes",
        "load_digit_plates",
        "fetch_binarized_mnist",
        "Digits",
        "BinarizedPictures",
    ),
    "films": ("load_moving_digits", "Films"),
    "motion": ("fetch_salamander", "fetch_cmu_walking", "WalkingClips"),
    "salamander": ("load_salamander",),
    "texts": ("load_python_documentation", "fetch_tiny_shakespeare"),
    "frames": ("Split",),
    "sources": ("SOURCES", "Source", "fetch"),
}
"""Where each public name lives."""

_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"seqdyn.datasets.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'seqdyn.datasets' has no attribute {name!r}; see dir(seqdyn.datasets).")


def __dir__() -> list[str]:
    return sorted(__all__)
