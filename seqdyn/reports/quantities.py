"""The quantities of a report: the place, name, unit and axes of every curve and number.

The frame and the labelled arrays are made from these declarations alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from seqdyn.reports.pointers import Content, Key, filled, look_up, matches

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
"""The quantiles in a report, by name."""

FRAME_COLUMNS = ("section", "quantity", "name", "number", "lag", "step", "quantile", "value", "unit")
"""The columns of the frame."""


class Axis(NamedTuple):
    """The axis that a ``*`` in the place of a quantity stands for: its dimension in the arrays and column in the frame.

    ``labels`` is the place of its labels, with a ``*`` for the key. "": the labels are the keys of a dictionary, or the
    places of a list, counted from 1.
    """

    dimension: str
    column: str = "number"
    labels: str = ""

    def label(self, content: Content, key: Key) -> Any:
        """The label of a key in the frame and in the arrays."""
        if self.column == "quantile":
            return QUANTILES[str(key)]
        if self.labels:
            return look_up(content, filled(self.labels, key))
        return key + 1 if isinstance(key, int) else key


QUANTILE = Axis("quantile", "quantile")


class ReportQuantity(NamedTuple):
    """A number, a curve or a table of numbers in a report.

    where          its place: a JSON pointer with a ``*`` for every axis
    label, array   its names in the frame and among the labelled arrays; "" if it is not there
    unit           its unit, or the pointer to it
    axes           one for every ``*``
    quantile       which quantile it is, if that is not an axis
    """

    where: str
    label: str
    array: str = ""
    unit: str = ""
    axes: tuple[Axis, ...] = ()
    quantile: float | None = None

    def unit_in(self, content: Content) -> str:
        """Its unit in this report."""
        return str(look_up(content, self.unit) or "") if self.unit.startswith("/") else self.unit

    def entries(self, content: Content) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Every value with its labels, one for each axis."""
        for keys, value in matches(content, self.where):
            if value is not None:
                yield tuple(axis.label(content, key) for axis, key in zip(self.axes, keys, strict=True)), value

    def rows(self, content: Content) -> Iterator[dict[str, Any]]:
        """Its rows of the frame."""
        section, unit = self.where.split("/")[1], self.unit_in(content)
        own: dict[str, Any] = {"section": section, "quantity": self.label, "unit": unit}
        if self.quantile is not None:
            own["quantile"] = self.quantile
        columns = [axis.column for axis in self.axes]
        for labels, value in self.entries(content):
            yield own | dict(zip(columns, labels, strict=True)) | {"value": value}

    def labelled(self, content: Content) -> xr.DataArray | None:
        """Its labelled array, with NaN for missing values; None if there is no value at all."""
        entries = dict(self.entries(content))
        if not entries:
            return None
        coordinates = [list(dict.fromkeys(labels)) for labels in zip(*entries, strict=True)]
        places = [{label: place for place, label in enumerate(labels)} for labels in coordinates]
        values = np.full([len(labels) for labels in coordinates], np.nan)
        for labels, value in entries.items():
            values[tuple(place[label] for place, label in zip(places, labels, strict=True))] = value
        unit, dimensions = self.unit_in(content), [axis.dimension for axis in self.axes]
        return xr.DataArray(values, coordinates, dimensions, self.array, {"units": unit} if unit else {})


def curves(
    pattern: str, labels: Mapping[str, str], array: str, *axes: Axis, unit: str = ""
) -> tuple[ReportQuantity, ...]:
    """One curve for each name, which replaces ``{}`` in the pattern and in the name of the array.

    Examples
    --------
    >>> [found.where for found in curves("/training/{}/*", {"loss": "loss"}, "training_{}", Axis("epoch", "step"))]
    ['/training/loss/*']
    """
    return tuple(
        ReportQuantity(pattern.format(name), label, array.format(name), unit, axes) for name, label in labels.items()
    )


def single(where: str, label: str, unit: str = "") -> ReportQuantity:
    """A single number; its array is named after its place."""
    return ReportQuantity(where, label, "" if where.endswith("/0") else "_".join(where.split("/")[1:]), unit)


def report_frame(content: Content, quantities: Sequence[ReportQuantity]) -> pd.DataFrame:
    """Put every measured curve and number of a report into one tidy frame, one number in a row.

    Columns ``section`` and ``quantity``; ``name`` of a parameter, gate or horizon; ``number``, the place in a spectrum,
    from 1; ``lag`` and ``step`` (also epochs), the place on a curve; ``quantile`` (0.05 to 0.95); ``value`` and
    ``unit``. Entries that do not apply are missing. The norms by lag of products and gradient are
    ``frame[frame.quantity.isin(["product", "gradient"])]``.

    Examples
    --------
    >>> content = {"products": {"lags": [1, 2], "quantiles": {"p50": [-0.1, -0.2]}}}
    >>> axes = (QUANTILE, Axis("lag", "lag", "/products/lags/*"))
    >>> product = ReportQuantity("/products/quantiles/*/*", "product", "product", "log10", axes)
    >>> report_frame(content, [product])[["quantity", "lag", "quantile", "value", "unit"]]
      quantity  lag  quantile  value   unit
    0  product    1       0.5   -0.1  log10
    1  product    2       0.5   -0.2  log10
    """
    rows = [row for quantity in quantities if quantity.label for row in quantity.rows(content)]
    frame = pd.DataFrame({column: [row.get(column) for row in rows] for column in FRAME_COLUMNS})
    places = {"number": "Int64", "lag": "Int64", "step": "Int64", "quantile": "float64", "value": "float64"}
    return frame.astype(places)


def checks_frame(content: Content) -> pd.DataFrame:
    """The checks of a report by id, one in a row; value and threshold are NaN if a check has none."""
    columns = ["id", "name", "status", "value", "threshold", "unit", "message", "section"]
    frame = pd.DataFrame([{name: check[name] for name in columns} for check in content["checks"]], columns=columns)
    return frame.astype({"value": "float64", "threshold": "float64"}).set_index("id")


def report_arrays(content: Content, quantities: Sequence[ReportQuantity]) -> xr.Dataset:
    """Return the curves and spectra of a report as labelled arrays.

    Dimensions are ``lag``, ``quantile``, ``step``, ``exponent``, ``eigenvalue``, ``singular_value``, ``gate``,
    ``unit``, ``parameter``, ``band`` (upper ends of bands of lags), ``epoch``, ``time`` and ``start`` (of the map) and
    ``check``; missing values are NaN. Single numbers are variables without dimensions. It can be written to netCDF:
    complex eigenvalues have two parts.
    """
    arrays = [one.labelled(content) for one in quantities if one.array]
    found = [array for array in arrays if array is not None]
    dataset = xr.merge([*found, *_checks(content)], join="outer", compat="no_conflicts") if found else xr.Dataset()
    schema, subject, verdict = (content.get(name) or {} for name in ("schema", "subject", "verdict"))
    about: Mapping[str, Any] = {
        "schema": schema.get("name"),
        "schema_version": schema.get("version"),
        "verdict": verdict.get("name"),
        **{key: subject.get(key) for key in ("model", "cell", "kind", "state", "required_lag", "seed")},
    }
    return dataset.assign_attrs({key: value for key, value in about.items() if value is not None})


def _checks(content: Content) -> Iterator[xr.DataArray]:
    frame = checks_frame(content)
    if len(frame):
        ids = frame.index.to_list()
        own = xr.DataArray(frame["value"].to_numpy(), {"check": ids}, ["check"], "check_value")
        yield own.assign_coords(status=("check", frame["status"].to_list()))
