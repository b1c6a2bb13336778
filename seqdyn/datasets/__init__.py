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

from seqdyn.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
