"""Series with a calendar: yearly, weekly, monthly, quarterly and hourly."""

from __future__ import annotations

import numpy as np
import pandas as pd

from seqdyn.datasets.frames import Split, calendar, label_frame
from seqdyn.datasets.sources import SOURCES, fetch


def load_sunspots() -> pd.DataFrame:
    """Yearly mean sunspot numbers, 1700–2008.

    Returns
    -------
    DataFrame, shape (309, 1)
        Column ``sunspots`` (count); DatetimeIndex ``time``, freq "YS".

    References
    ----------
    National Geophysical Data Center, through statsmodels; public domain.

    Examples
    --------
    >>> load_sunspots().loc["2006":, "sunspots"].tolist()
    [15.2, 7.5, 2.9]
    """
    from statsmodels.datasets import sunspots

    values = sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    frame = pd.DataFrame({"sunspots": values}, index=calendar("1700-01-01", len(values), "YS"))
    return label_frame(frame, {"sunspots": "count"}, "National Geophysical Data Center (statsmodels)")


def load_co2(freq: str = "weekly") -> pd.DataFrame:
    """CO2 in the air over Mauna Loa, Hawaii, March 1958 to December 2001.

    Parameters
    ----------
    freq : {"weekly", "monthly"}
        ``"weekly"``: as measured; 59 weeks are missing (NaN). ``"monthly"``: the means of the weeks present; the 5
        months without any are interpolated linearly in time.

    Returns
    -------
    DataFrame, shape (2284, 1) or (526, 1)
        Column ``co2`` (ppm by volume); DatetimeIndex ``time``, freq "W-SAT" or "MS".

    Raises
    ------
    ValueError
        If freq has another value.

    References
    ----------
    Keeling & Whorf (2004), through statsmodels; public domain.

    Examples
    --------
    >>> load_co2("monthly").loc["2001-11":, "co2"].round(2).tolist()
    [369.38, 371.02]
    """
    from statsmodels.datasets import co2

    if freq not in ("weekly", "monthly"):
        raise ValueError(f"freq must be 'weekly' or 'monthly', got {freq!r}.")
    frame = co2.load_pandas().data.rename_axis("time")
    if freq == "monthly":
        frame = frame.resample("MS").mean().interpolate("time")
    return label_frame(frame, {"co2": "ppm"}, "Keeling & Whorf (2004), CDIAC (statsmodels)")


def load_macrodata() -> pd.DataFrame:
    """The economy of the United States, quarterly, 1959–2009.

    Returns
    -------
    DataFrame, shape (203, 12)
        DatetimeIndex ``time``, freq "QS", the first day of the quarter. Columns ``realgdp``, ``realcons``,
        ``realinv``, ``realgovt``, ``realdpi`` (gross domestic product, consumption, investment, government
        spending, disposable income; billions of chained 2005 US dollars a year, seasonally adjusted), ``cpi``
        (consumer prices, 1982–84 = 100), ``m1`` (money stock, billions of US dollars), ``tbilrate`` (3-month
        treasury bills, %), ``unemp`` (unemployment, %), ``pop`` (population, millions), ``infl`` (inflation,
        % a year), ``realint`` (``tbilrate`` − ``infl``, %).

    References
    ----------
    Federal Reserve Bank of St. Louis and Bureau of Labor Statistics, through statsmodels; public domain.

    Examples
    --------
    >>> load_macrodata().loc["2009", "unemp"].tolist()
    [8.1, 9.2, 9.6]
    """
    from statsmodels.datasets import macrodata

    frame = macrodata.load_pandas().data.drop(columns=["year", "quarter"])
    frame.index = calendar("1959-01-01", len(frame), "QS")
    money = dict.fromkeys(["realgdp", "realcons", "realinv", "realgovt", "realdpi"], "10⁹ US$ of 2005 a year")
    shares = dict.fromkeys(["tbilrate", "unemp", "infl", "realint"], "%")
    units = money | shares | {"cpi": "1982–84 = 100", "m1": "10⁹ US$", "pop": "10⁶"}
    return label_frame(frame, units, "Federal Reserve Bank of St. Louis, Bureau of Labor Statistics (statsmodels)")


def fetch_air_passengers() -> pd.DataFrame:
    """International airline passengers, monthly, 1949–1960.

    Returns
    -------
    DataFrame, shape (144, 1)
        Column ``passengers`` (thousands); DatetimeIndex ``time``, freq "MS".

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`seqdyn.datasets.sources.fetch`.

    References
    ----------
    Box & Jenkins (1970), Time Series Analysis, series G.

    Examples
    --------
    >>> fetch_air_passengers().shape  # doctest: +SKIP
    (144, 1)
    """
    values = pd.read_csv(fetch("air_passengers"))["#Passengers"].to_numpy()
    frame = pd.DataFrame({"passengers": values}, index=calendar("1949-01-01", len(values), "MS"))
    return label_frame(frame, {"passengers": "10³"}, SOURCES["air_passengers"].origin)


def fetch_etth1() -> pd.DataFrame:
    """A power transformer in China: six loads and its oil temperature, hourly, July 2016 to June 2018.

    Returns
    -------
    DataFrame, shape (17420, 7)
        Columns ``HUFL``, ``HULL``, ``MUFL``, ``MULL``, ``LUFL``, ``LULL`` (high, middle and low load, each useful
        and useless; the publication gives no unit) and the usual target ``OT`` (oil temperature, °C);
        DatetimeIndex ``time``, freq "h".

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`seqdyn.datasets.sources.fetch`.

    References
    ----------
    Zhou et al. (2021), Informer; CC BY-ND 4.0. The usual split is 12, 4 and 4 months of 30 days.

    Examples
    --------
    >>> fetch_etth1().shape  # doctest: +SKIP
    (17420, 7)
    """
    frame = pd.read_csv(fetch("etth1"), index_col="date", parse_dates=True).rename_axis("time").asfreq("h")
    return label_frame(frame, dict.fromkeys(frame, "not given") | {"OT": "°C"}, SOURCES["etth1"].origin)


def fetch_m4_hourly() -> Split:
    """The hourly series of the M4 competition: 414 series, 48 hours to forecast.

    Returns
    -------
    Split
        ``train`` (353500, 1): 700 or 960 rows a series; ``test`` (19872, 1): the next 48. MultiIndex
        ``(series, time)``, with the series' names ``"H1"`` … ``"H414"`` and the hour counted from the beginning of
        each, so that ``test`` continues ``train``. Column ``value``, in a unit that differs and is not given.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`seqdyn.datasets.sources.fetch`.

    References
    ----------
    Makridakis, Spiliotis & Assimakopoulos (2018), The M4 Competition.

    Examples
    --------
    >>> fetch_m4_hourly().test.shape  # doctest: +SKIP
    (19872, 1)
    """
    wide = [pd.read_csv(fetch(f"m4_hourly_{part}"), index_col=0) for part in ("train", "test")]
    seen = wide[0].notna().sum(axis=1).to_numpy()
    train, test = _panel(wide[0], np.zeros_like(seen)), _panel(wide[1], seen)
    origin = SOURCES["m4_hourly_train"].origin
    return Split(*(label_frame(part, {"value": "not given"}, origin) for part in (train, test)))


def _panel(wide: pd.DataFrame, start: np.ndarray) -> pd.DataFrame:
    """Ragged rows, one for each series, as one long column; ``start`` (series,) is the hour before the first value."""
    values = wide.to_numpy()
    row, column = np.nonzero(~np.isnan(values))
    index = pd.MultiIndex.from_arrays([wide.index.to_numpy()[row], start[row] + column], names=["series", "time"])
    return pd.DataFrame({"value": values[row, column]}, index=index)
