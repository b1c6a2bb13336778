"""A stability report as numbers: how one is written, what the single ones are called, a frame, arrays, and JSON.

Everything here reads ``content``, the report as one plain dictionary. JSON knows no infinity: ∞, −∞ and NaN become the
strings "inf", "-inf" and "nan", and a text that reads like one of them is written with a backslash before it, so that
what comes back is what went in.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

Content = Mapping[str, Any]

NAME, VERSION = "seqdyn.stability_report", 1
"""The schema this module reads and writes."""

SECTIONS: dict[str, tuple[type, ...]] = {
    "schema": (dict,),
    "subject": (dict,),
    "verdict": (dict,),
    "recurrence": (dict, type(None)),
    "products": (dict, type(None)),
    "gradient": (dict, type(None)),
    "lyapunov": (dict, type(None)),
    "horizons": (list, type(None)),
    "gates": (dict, type(None)),
    "training": (dict, type(None)),
    "fixed_points": (dict, type(None)),
    "checks": (list,),
    "counts": (dict,),
    "recommendations": (list,),
}
"""The sections of a report; those that may be None may also be missing."""

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
"""The quantiles a report knows, by name."""

STABILITIES = ("stable", "unstable", "marginal", "slow")
"""What a fixed point can be; a slow one is a place where little moves, and none of the others."""

COLUMNS = ("section", "quantity", "name", "number", "lag", "step", "quantile", "value", "unit")
"""The columns of :func:`to_frame`."""


class Scalar(NamedTuple):
    """A single number of a report: where it stands (a JSON pointer), what it is called, its unit."""

    pointer: str
    label: str
    unit: str = ""


NATS = "lyapunov/unit"
"""Stands for the unit that the section on Lyapunov exponents names."""

SCALARS: tuple[Scalar, ...] = (
    Scalar("/verdict/gradient/median", "gradient at the required lag", "log10"),
    Scalar("/verdict/product/median", "product at the required lag", "log10"),
    Scalar("/recurrence/spectral_radius", "spectral radius ρ"),
    Scalar("/recurrence/largest_singular_value", "largest singular value σ₁"),
    Scalar("/recurrence/smallest_singular_value", "smallest singular value"),
    Scalar("/recurrence/eigenvector_condition", "condition of the eigenvectors κ(V)"),
    Scalar("/recurrence/henrici", "Henrici's departure from normality"),
    Scalar("/recurrence/numerical_radius", "numerical radius"),
    Scalar("/recurrence/kreiss", "Kreiss constant"),
    Scalar("/recurrence/peak", "peak of ‖Dᵏ‖"),
    Scalar("/recurrence/peak_lag", "lag of the peak", "steps"),
    Scalar("/products/singular/steps", "steps of the longest product", "steps"),
    Scalar("/products/singular/condition", "condition of the longest product", "decades"),
    Scalar("/products/singular/effective_rank", "effective rank of the longest product"),
    Scalar("/gradient/omega/value", "Pascanu's Ω"),
    Scalar("/lyapunov/exponents/0", "largest Lyapunov exponent λ₁", NATS),
    Scalar("/lyapunov/steps", "steps behind the exponents", "steps"),
    Scalar("/lyapunov/kaplan_yorke", "Kaplan–Yorke dimension"),
    Scalar("/lyapunov/entropy", "entropy, the sum of the exponents above 0", NATS),
    Scalar("/lyapunov/lyapunov_time", "Lyapunov time", "steps"),
    Scalar("/lyapunov/sum_rule_residual", "residual of the sum rule"),
    Scalar("/lyapunov/adjoint_gap", "gap to the adjoint exponents"),
    Scalar("/lyapunov/finite_time/lag", "stretches of the growth rates", "steps"),
    Scalar("/gates/saturated", "saturated share of the state"),
    Scalar("/gates/dead", "dead share of the units"),
    Scalar("/training/clip_norm", "norm above which gradients are clipped"),
)
"""What is one number, in the order of the page."""


def written(value: Any) -> str:
    """A number as every table, label and sentence shows it: 4 significant digits; whole numbers in full.

    Examples
    --------
    >>> [written(value) for value in (0.123456, -1.2e-7, 24704, float("-inf"), float("nan"), None, True)]
    ['0.1235', '−1.2e−07', '24704', '−∞', 'NaN', '–', 'yes']
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value).replace("-", "−")
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")


def counted(number: float, one: str, many: str = "") -> str:
    """A number of things.

    Examples
    --------
    >>> counted(1, "step"), counted(12, "step"), counted(0, "step was", "steps were")
    ('1 step', '12 steps', '0 steps were')
    """
    return f"{written(number)} {one if number == 1 else many or one + 's'}"


def stabilities(found: Mapping[str, Any]) -> list[str]:
    """Which of ``STABILITIES`` every fixed point is: unstable is only one with directions that lead away."""
    return [
        "slow" if kind == "slow" else "stable" if stable else "unstable" if index > 0 else "marginal"
        for kind, stable, index in zip(found["kinds"], found["stable"], found["index"], strict=True)
    ]


def needed_time_constant(content: Content) -> float:
    """τ with e^{−K/τ} = 10^vanishing_warn, as the check of the gates has it; K where nothing may be lost."""
    lag, least = content["subject"]["required_lag"], content["subject"]["thresholds"]["vanishing_warn"]
    return -lag / (least * math.log(10)) if least < 0 else float(lag)


def exact(value: Any) -> str:
    """A number with all its digits, as JSON holds it: what the page carries beside the 4 digits it shows.

    Examples
    --------
    >>> exact(0.1), exact(3), exact(float("inf")), exact(None)
    ('0.1', '3', 'inf', 'null')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return _symbol(value)
    return json.dumps(value)


def pointer(*parts: Any) -> str:
    """The JSON pointer (RFC 6901) of a value in a report.

    Examples
    --------
    >>> pointer("gates", "named", "a/b", "mean")
    '/gates/named/a~1b/mean'
    """
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def look_up(content: Any, where: str) -> Any:
    """What a JSON pointer points to; None where there is nothing.

    Examples
    --------
    >>> look_up({"lyapunov": {"exponents": [0.1, -0.2]}}, "/lyapunov/exponents/1")
    -0.2
    """
    found = content
    for part in where.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(key)
        elif isinstance(found, Sequence) and not isinstance(found, str) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


def unit_of(scalar: Scalar, content: Content) -> str:
    """The unit of a single number in this report."""
    return str(look_up(content, pointer(*NATS.split("/"))) or "") if scalar.unit == NATS else scalar.unit


# --- frames -----------------------------------------------------------------------------------------------------------


def to_frame(content: Content) -> pd.DataFrame:
    """Every measured curve and number of a report in one tidy frame, one number a row.

    Parameters
    ----------
    content : mapping
        The report.

    Returns
    -------
    DataFrame
        ``section`` and ``quantity`` say what it is, ``name`` of which parameter, gate or horizon, ``number`` its place
        in a spectrum (from 1), ``lag`` and ``step`` (also epochs) where on a curve, ``quantile`` which of the spread
        (0.05 to 0.95), ``value`` and ``unit``. What does not apply is missing. The norms of the products and of the
        gradient, by lag, are ``frame[frame.quantity.isin(["product", "gradient"])]``.

    Examples
    --------
    >>> content = {"products": {"lags": [1, 2], "samples": [9, 8], "quantiles": {"p50": [-0.1, -0.2]}}}
    >>> to_frame(content)[["quantity", "lag", "quantile", "value", "unit"]].head(2)
      quantity  lag  quantile  value   unit
    0  product    1       0.5   -0.1  log10
    1  product    2       0.5   -0.2  log10
    """
    rows = [dict.fromkeys(COLUMNS) | row for row in _rows(content)]
    frame = pd.DataFrame({column: [row[column] for row in rows] for column in COLUMNS}, columns=list(COLUMNS))
    places = {"number": "Int64", "lag": "Int64", "step": "Int64", "quantile": "float64", "value": "float64"}
    return frame.astype(places)


def checks_frame(content: Content) -> pd.DataFrame:
    """The checks of a report, one a row, indexed by their id.

    Parameters
    ----------
    content : mapping
        The report.

    Returns
    -------
    DataFrame
        ``name``, ``status``, ``value``, ``threshold``, ``unit``, ``message`` and ``section``; value and threshold are
        NaN where a check has none.
    """
    columns = ["id", "name", "status", "value", "threshold", "unit", "message", "section"]
    frame = pd.DataFrame([{name: check[name] for name in columns} for check in content["checks"]], columns=columns)
    return frame.astype({"value": "float64", "threshold": "float64"}).set_index("id")


def _rows(content: Content) -> Iterator[dict[str, Any]]:
    """The rows of the frame, section by section."""
    yield from _by_lag(content)
    yield from _along_time(content)
    yield from _by_parameter(content)
    yield from _spectra(content)
    yield from _of_gates(content)
    yield from _of_training(content)
    yield from _single(content)


def _by_lag(content: Content) -> Iterator[dict[str, Any]]:
    for section, quantity in (("products", "product"), ("gradient", "gradient")):
        found = content.get(section) or {}
        for name, values in sorted((found.get("quantiles") or {}).items()):
            for lag, value in zip(found["lags"], values, strict=True):
                yield _row(section, quantity, lag=lag, quantile=QUANTILES[name], value=value, unit="log10")
        for lag, value in zip(found["lags"] if "samples" in found else (), found.get("samples", ()), strict=True):
            yield _row(section, "samples", lag=lag, value=value)


def _along_time(content: Content) -> Iterator[dict[str, Any]]:
    gradient = content.get("gradient") or {}
    for key, quantity, unit in (("accumulated", "accumulated gradient", "log10"), ("omega", "Pascanu's Ω", "")):
        curve = gradient.get(key) or {"steps": [], "median": []}
        for step, value in zip(curve["steps"], curve["median"], strict=True):
            yield _row("gradient", quantity, step=step, quantile=0.5, value=value, unit=unit)


def _by_parameter(content: Content) -> Iterator[dict[str, Any]]:
    found = look_up(content, "/gradient/parameters") or {"edges": [], "log10": {}, "beyond": [], "beyond_apart": []}
    for name, values in sorted(found["log10"].items()):
        for lag, value in zip(found["edges"], values, strict=True):
            yield _row("gradient", "gradient of a parameter", name=name, lag=lag, value=value, unit="log10")
    for key, quantity in (("beyond", "share beyond the lag"), ("beyond_apart", "share beyond the lag, apart")):
        for lag, value in zip(found["edges"], found[key], strict=True):
            yield _row("gradient", quantity, lag=lag, value=value)


def _spectra(content: Content) -> Iterator[dict[str, Any]]:
    unit = str(look_up(content, "/lyapunov/unit") or "")
    for where, quantity, own in (
        ("/recurrence/singular_values", "singular value", ""),
        ("/products/singular/log10", "singular value of the longest product", "log10"),
        ("/lyapunov/exponents", "Lyapunov exponent", unit),
        ("/lyapunov/standard_errors", "standard error of the exponent", unit),
    ):
        for number, value in enumerate(look_up(content, where) or (), start=1):
            yield _row(where.split("/")[1], quantity, number=number, value=value, unit=own)
    for number, (real, imaginary) in enumerate(look_up(content, "/recurrence/eigenvalues") or (), start=1):
        yield _row("recurrence", "eigenvalue, real part", number=number, value=real)
        yield _row("recurrence", "eigenvalue, imaginary part", number=number, value=imaginary)


def _of_gates(content: Content) -> Iterator[dict[str, Any]]:
    for name, gate in sorted((look_up(content, "/gates/named") or {}).items()):
        for key, quantity in GATES.items():
            yield _row("gates", quantity, name=name, value=gate[key])
        for key, quantity, unit in (("unit_means", "mean of a unit", ""), ("time_constants", "time constant", "steps")):
            for number, value in enumerate(gate[key] or (), start=1):
                yield _row("gates", quantity, name=name, number=number, value=value, unit=unit)


GATES = {"mean": "mean", "below_5_percent": "share below 0.05", "above_95_percent": "share above 0.95"}
"""The single numbers of a gate."""

TRAINING = {
    "loss": "loss",
    "gradient_norm": "gradient norm before clipping",
    "clip_coefficient": "clip coefficient",
    "clip_fraction": "share of clipped steps",
    "steps_reached": "share of steps the gradient reaches",
}
"""The columns of a training; norms are not logarithms."""


def _of_training(content: Content) -> Iterator[dict[str, Any]]:
    training = content.get("training") or {"epochs": []}
    for key, quantity in TRAINING.items():
        for epoch, value in zip(training["epochs"], training.get(key) or (), strict=False):
            yield _row("training", quantity, step=epoch, value=value)
    for name, columns in sorted((training.get("parameters") or {}).items()):
        for key, quantity in (("gradient_norm", TRAINING["gradient_norm"]), ("update_ratio", "update ratio")):
            for epoch, value in zip(training["epochs"], columns.get(key) or (), strict=False):
                yield _row("training", quantity, name=name, step=epoch, value=value)


def _single(content: Content) -> Iterator[dict[str, Any]]:
    for horizon in content.get("horizons") or ():
        yield _row("horizons", "horizon", name=horizon["name"], value=horizon["steps"], unit="steps")
    for scalar in SCALARS:
        value = look_up(content, scalar.pointer)
        if value is not None:
            yield _row(scalar.pointer.split("/")[1], scalar.label, value=value, unit=unit_of(scalar, content))


def _row(section: str, quantity: str, *, value: Any, unit: str = "", **place: Any) -> dict[str, Any]:
    return {"section": section, "quantity": quantity, "value": value, "unit": unit, **place}


# --- labelled arrays --------------------------------------------------------------------------------------------------


def to_xarray(content: Content) -> xr.Dataset:
    """The curves and spectra of a report as labelled arrays.

    Parameters
    ----------
    content : mapping
        The report.

    Returns
    -------
    xarray.Dataset
        Over ``lag``, ``quantile``, ``step``, ``exponent``, ``eigenvalue``, ``singular_value``, ``gate``, ``unit``,
        ``parameter``, ``band`` (upper ends of bands of lags), ``epoch``, ``time`` and ``start`` (of the map) and
        ``check``; what is not known at a label is NaN. Single numbers are variables without dimensions. It can be
        written to netCDF: complex eigenvalues come as two parts.

    Examples
    --------
    >>> content = {"products": {"lags": [1, 2], "samples": [9, 8], "quantiles": {"p50": [-0.1, -0.2]}}}
    >>> float(to_xarray(content)["product"].sel(lag=2, quantile=0.5))
    -0.2
    """
    arrays = [*_lagged_arrays(content), *_spectral_arrays(content), *_named_arrays(content), *_single_arrays(content)]
    dataset = xr.merge(arrays, join="outer", compat="no_conflicts") if arrays else xr.Dataset()
    schema, subject, verdict = (content.get(name) or {} for name in ("schema", "subject", "verdict"))
    about = {"schema": schema.get("name"), "schema_version": schema.get("version"), "verdict": verdict.get("name")}
    about |= {key: subject.get(key) for key in ("model", "cell", "kind", "state", "required_lag", "seed")}
    return dataset.assign_attrs({key: value for key, value in about.items() if value is not None})


def _array(name: str, values: Any, units: str = "", /, **coordinates: Any) -> xr.DataArray:
    data = np.asarray(values, dtype=np.float64).reshape([len(labels) for labels in coordinates.values()])
    return xr.DataArray(data, coordinates, list(coordinates), name, {"units": units} if units else {})


def _lagged_arrays(content: Content) -> Iterator[xr.DataArray]:
    for section, name in (("products", "product"), ("gradient", "gradient")):
        found = content.get(section) or {}
        if found.get("quantiles"):
            names = sorted(found["quantiles"])
            values = np.transpose([found["quantiles"][key] for key in names])
            yield _array(name, values, "log10", lag=found["lags"], quantile=[QUANTILES[key] for key in names])
        if "samples" in found:
            yield _array(f"{name}_samples", found["samples"], lag=found["lags"])
    for key, name, unit in (("accumulated", "accumulated_gradient", "log10"), ("omega", "omega", "")):
        curve = look_up(content, f"/gradient/{key}")
        if curve:
            yield _array(name, curve["median"], unit, step=curve["steps"])


def _spectral_arrays(content: Content) -> Iterator[xr.DataArray]:
    unit = str(look_up(content, "/lyapunov/unit") or "")
    for where, name, dimension, own in (
        ("/lyapunov/exponents", "exponents", "exponent", unit),
        ("/lyapunov/standard_errors", "standard_errors", "exponent", unit),
        ("/lyapunov/finite_time/values", "finite_time_exponents", "sample", unit),
        ("/recurrence/singular_values", "singular_values", "singular_value", ""),
        ("/products/singular/log10", "product_singular_values", "singular_value", "log10"),
    ):
        values = look_up(content, where)
        if values:
            yield _array(name, values, own, **{dimension: range(1, len(values) + 1)})
    eigenvalues = look_up(content, "/recurrence/eigenvalues") or []
    for part, name in enumerate(("eigenvalue_real", "eigenvalue_imaginary")):
        if eigenvalues:
            yield _array(name, [pair[part] for pair in eigenvalues], eigenvalue=range(1, len(eigenvalues) + 1))
    running = look_up(content, "/lyapunov/running")
    if running and running["values"]:
        numbers = range(1, len(running["values"][0]) + 1)
        yield _array("running_exponents", running["values"], unit, step=running["steps"], exponent=numbers)


def _named_arrays(content: Content) -> Iterator[xr.DataArray]:
    heat = look_up(content, "/products/map")
    if heat:
        yield _array("product_map", heat["values"], "log10", time=heat["times"], start=heat["times"])
    sent = look_up(content, "/gradient/parameters")
    if sent:
        names = sorted(sent["log10"])
        rows = [sent["log10"][name] for name in names]
        yield _array("parameter_gradient", rows, "log10", parameter=names, band=sent["edges"])
        yield _array("beyond", sent["beyond"], band=sent["edges"])
        yield _array("beyond_apart", sent["beyond_apart"], band=sent["edges"])
    for name, gate in sorted((look_up(content, "/gates/named") or {}).items()):
        for key, quantity, unit in (("unit_means", "unit_mean", ""), ("time_constants", "time_constant", "steps")):
            values = gate[key]
            if values:
                yield _array(quantity, values, unit, gate=[name], unit=range(1, len(values) + 1))
    yield from _training_arrays(content.get("training") or {})


def _training_arrays(training: Mapping[str, Any]) -> Iterator[xr.DataArray]:
    for key in TRAINING:
        if training.get(key):
            yield _array(f"training_{key}", training[key], epoch=training["epochs"])
    for name, columns in sorted((training.get("parameters") or {}).items()):
        for key, values in sorted(columns.items()):
            if values:
                yield _array(f"parameter_{key}", values, parameter=[name], epoch=training["epochs"])


def _single_arrays(content: Content) -> Iterator[xr.DataArray]:
    for scalar in SCALARS:
        value = look_up(content, scalar.pointer)
        if value is not None and not scalar.pointer.endswith("/0"):
            yield _array("_".join(scalar.pointer.split("/")[1:]), value, unit_of(scalar, content))
    horizons = content.get("horizons")
    if horizons:
        yield _array("horizons", [one["steps"] for one in horizons], "steps", horizon=[one["name"] for one in horizons])
    checks = content.get("checks")
    if checks:
        ids = [check["id"] for check in checks]
        values = [np.nan if check["value"] is None else check["value"] for check in checks]
        status = xr.DataArray([check["status"] for check in checks], {"check": ids}, ["check"])
        yield _array("check_value", values, check=ids).assign_coords(status=status)


# --- JSON -------------------------------------------------------------------------------------------------------------


def to_json(content: Content, indent: int | None = 2) -> str:
    """A report as JSON: keys sorted, and the same text for the same content.

    Parameters
    ----------
    content : mapping
        The report.
    indent : int, optional
        Spaces a level; None for one line.

    Returns
    -------
    str
        ∞, −∞ and NaN are the strings "inf", "-inf" and "nan".

    Raises
    ------
    TypeError
        If there is something in it that is no text, number, list or dictionary; the message says where.

    Examples
    --------
    >>> to_json({"peak": float("inf"), "model": "inf"}, indent=None)
    '{"model": "\\\\\\\\inf", "peak": "inf"}'
    """
    return json.dumps(_plain(content, ""), indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> dict[str, Any]:
    """Read what :func:`to_json` wrote; the numbers are the same to the last bit.

    Parameters
    ----------
    text : str
        JSON.

    Returns
    -------
    dict
        The content of the report.

    Raises
    ------
    TypeError
        If it is no text.
    ValueError
        If it is not JSON, not a stability report, or one of a newer version.
    """
    if not isinstance(text, str):
        raise TypeError(f"from_json reads a text, got {type(text).__name__}: read a file with path.read_text().")
    try:
        content = _restored(json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"This is not the JSON of a stability report: {error}.") from error
    _check_schema(content)
    _check_sections(content)
    return dict(content)


def _plain(value: Any, where: str) -> Any:
    """What JSON can hold."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _symbol(value)
    if isinstance(value, str):
        return f"\\{value}" if _ESCAPED.fullmatch(value) else value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(one, where + pointer(key)) for key, one in value.items()}
        raise TypeError(f"The keys at {where or '/'} must be texts, got {[*value][:5]}: JSON knows no others.")
    if isinstance(value, list):
        return [_plain(one, f"{where}/{place}") for place, one in enumerate(value)]
    raise TypeError(f"{where or '/'} is a {type(value).__name__}: JSON takes texts, numbers, lists and dictionaries.")


_ESCAPED = re.compile(r"\\*(inf|-inf|nan)")
_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def _symbol(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _restored(value: Any) -> Any:
    """The inverse of :func:`_plain`."""
    if isinstance(value, str):
        found = _NUMBERS.get(value)
        return found if found is not None else value[1:] if _ESCAPED.fullmatch(value) else value
    if isinstance(value, dict):
        return {key: _restored(one) for key, one in value.items()}
    return [_restored(one) for one in value] if isinstance(value, list) else value


def _refuse(constant: str) -> None:
    raise ValueError(f"it has the bare word {constant}, which is no JSON; a report writes it as a text")


def _check_schema(content: Any) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, dict) or "name" not in schema:
        got = f"the keys {sorted(content)[:5]}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"A stability report has a schema with the name {NAME!r}, got {got}.")
    if schema["name"] != NAME:
        raise ValueError(f"This is a {schema['name']!r}, expected a {NAME!r}: it is another kind of file.")
    version = schema.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"The version of the schema must be a whole number from 1, got {version!r}.")
    if version > VERSION:
        raise ValueError(f"The report has version {version}; this seqdyn reads up to {VERSION}: install a newer one.")


def _check_sections(content: dict[str, Any]) -> None:
    wrong = [
        f"{name} is a {type(content.get(name)).__name__}, expected a {kinds[0].__name__}"
        for name, kinds in SECTIONS.items()
        if not isinstance(content.get(name), kinds)
    ]
    if wrong:
        raise ValueError(f"This is a damaged stability report: {'; '.join(wrong)}.")
