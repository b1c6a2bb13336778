"""What the page of a stability report says: sections of a sentence that says how to read them, figures, and tables.

A number stands in a table as a :class:`Number`, with all its digits and its place in the report's JSON: the page shows
what the JSON holds, and a test can compare them number for number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from seqdyn.reports.stability.checks import STATUSES
from seqdyn.reports.stability.tables import (
    GATES,
    QUANTILES,
    SCALARS,
    TRAINING,
    Content,
    counted,
    exact,
    look_up,
    pointer,
    stabilities,
    unit_of,
    written,
)

ROWS = 20
"""Rows of a table; more are in the JSON."""
LEADING = 8
"""Rows of a table of a spectrum."""
SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Number:
    """A number of the report, where it stands there, and what is written before it ("≥ ")."""

    value: Any
    pointer: str = ""
    before: str = ""
    kind: ClassVar[str] = "number"

    @property
    def shown(self) -> str:
        """With 4 digits."""
        return self.before + written(self.value)

    @property
    def exact(self) -> str:
        """With all digits."""
        return exact(self.value)


@dataclass(frozen=True)
class Status:
    """What a check came to."""

    word: str
    kind: ClassVar[str] = "status"


@dataclass(frozen=True)
class Link:
    """A reference to a section of the page."""

    text: str
    anchor: str
    kind: ClassVar[str] = "link"


Item = str | Number | Status | Link
Rows = list[list[Item]]


class Table(NamedTuple):
    """A table; the first item of a row is its header. Units stand in the headers of the columns, or in one of them."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Item]]


class Sentences(NamedTuple):
    """A list under a title."""

    title: str
    sentences: Sequence[str]


class Picture(NamedTuple):
    """A figure: its address, what it shows in words, its size in CSS pixels."""

    source: str
    alt: str
    width: int
    height: int


class Section(NamedTuple):
    """One section of the page."""

    anchor: str
    title: str
    how: str
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    lists: Sequence[Sentences] = ()


class Page(NamedTuple):
    """A page: the verdict with its severity ("PASS", "WARN" or "FAIL"), and its sections."""

    title: str
    badge: str
    severity: str
    reason: str
    tables: Sequence[Table]
    advice: Sequence[str]
    sections: Sequence[Section]


PLAN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "recurrence": (
        "1 Recurrence",
        "One step, linearised at one point: eigenvalues inside the unit circle decay in the end, singular values above "
        "1 may grow before. Neither decides alone.",
        ("spectrum", "singular_values"),
    ),
    "products": (
        "2 Products of Jacobians",
        "How a small change of the state has grown some lag of steps later: 0 is unchanged, every −1 a tenth. Below "
        "float32 rounding it is lost in a sum.",
        ("norms_by_lag", "product_map", "product_singular_values"),
    ),
    "gradient": (
        "3 Loss gradients and horizons",
        "What single errors send back in time, relative to lag 1, apart from what plain backpropagation accumulates; "
        "parameters learn from a lag only as far as this reaches.",
        ("gradient_by_parameter", "truncation_share", "gradient_along_time"),
    ),
    "lyapunov": (
        "4 Lyapunov exponents",
        "Mean rates of growth along the trajectory: where all are below 0 the start is forgotten. One above 0 says of "
        "a driven model that two starts under the same input never meet; of a model that runs alone it is chaos where "
        "the state stays bounded, and plain growth where it does not.",
        ("lyapunov_exponents", "running_exponents", "finite_time_exponents"),
    ),
    "gates": (
        "5 Gates",
        "A gate near the end of its range passes no gradient to its weights. A unit holds what is needed if its time "
        "constant keeps 10 to the power of the threshold “vanishing warn” over the required lag.",
        ("gate_means", "gate_time_constants"),
    ),
    "training": (
        "6 Training",
        "Norms are those before clipping. Where most steps are clipped, clipping sets the learning rate.",
        ("training_timeline",),
    ),
    "fixed_points": (
        "7 Fixed points",
        "Where the state would stay if the input stood still; the index counts the directions that lead away.",
        ("fixed_points",),
    ),
}
"""Title, how to read it, and the figures of every measured section."""


def page_of(content: Content, pictures: Mapping[str, Picture]) -> Page:
    """Put the page of a report together.

    Parameters
    ----------
    content : mapping
        The report.
    pictures : mapping of str to Picture
        The figures there are, by name.

    Returns
    -------
    Page
    """
    subject, verdict = content["subject"], content["verdict"]
    measured = [section for name in PLAN for section in _measured(name, content, pictures)]
    anchors = {section.anchor for section in measured}
    return Page(
        title=f"Stability report: {subject['model']}",
        badge=verdict["name"],
        severity=verdict["severity"],
        reason=verdict["reason"],
        tables=[_verdict_table(content)],
        advice=[one["text"] for one in content["recommendations"][:3]],
        sections=[_subject(content, anchors), *measured, _checks(content, anchors), *_recommendations(content)],
    )


def _measured(name: str, content: Content, pictures: Mapping[str, Picture]) -> Iterator[Section]:
    """The section, if anything of it was computed."""
    title, how, figures = PLAN[name]
    tables = [table for table in TABLES[name](content) if table.rows]
    own = [pictures[figure] for figure in figures if figure in pictures]
    if name == "gradient" and not content.get("products"):  # then the norms by lag have no other place
        own = [*([pictures["norms_by_lag"]] if "norms_by_lag" in pictures else []), *own]
    if name == "products" and not content.get("products"):
        return
    if content.get(name) or tables:
        yield Section(name, title, how, own, tables)


# --- the verdict, and what was measured -------------------------------------------------------------------------------


def _verdict_table(content: Content) -> Table:
    lag = content["subject"]["required_lag"]
    names = {"gradient": "gradient of an error, L", "product": "product of Jacobians, G"}
    rows: Rows = [
        [label, *_numbers(content, f"/verdict/{key}", ("median", "low", "high"))] for key, label in names.items()
    ]
    columns = ["norm", "median, log10", "95 % from, log10", "to, log10"]
    return Table(f"At the required lag of {counted(lag, 'step')}", columns, rows)


SUBJECT = {
    "model": "model",
    "cell": "cell",
    "kind": "kind",
    "state": "state",
    "width": "width of the state",
    "parameters": "parameters",
    "sequences": "sequences",
    "steps": "steps of each",
    "measured_in": "measured in",
    "errors": "errors followed back",
    "required_lag": "required lag, steps",
    "required_lag_from": "required lag comes from",
    "seed": "seed",
}
"""What was measured, in the order of the page."""


def _subject(content: Content, anchors: set[str]) -> Section:
    subject = content["subject"]
    rows: Rows = [[label, _item(content, pointer("subject", key))] for key, label in SUBJECT.items()]
    rows += [[f"version of {name}", version] for name, version in sorted(subject["versions"].items())]
    rows += [["version of this report's schema", _number(content, "/schema/version")]]
    thresholds: Rows = [
        [name.replace("_", " "), _number(content, pointer("subject", "thresholds", name))]
        for name in sorted(subject["thresholds"])
    ]
    missing = [title for name, (title, _, _) in PLAN.items() if name not in anchors]
    left_out = [*subject["not_computed"], *([f"Sections left out: {', '.join(missing)}."] if missing else [])]
    return Section(
        "subject",
        "What was measured",
        "The model was not changed. Norms are spectral unless it says otherwise.",
        tables=[
            Table("Subject", ["quantity", "value"], rows),
            Table("Thresholds of the verdict", ["name", "value"], thresholds),
        ],
        lists=[
            Sentences("Not computed", left_out or ["Nothing was left out."]),
            *([Sentences("Conventions", subject["conventions"])] if subject["conventions"] else []),
        ],
    )


# --- the tables of the measured sections ------------------------------------------------------------------------------


def _recurrence_tables(content: Content) -> Iterator[Table]:
    found = content.get("recurrence")
    if found:
        yield _scalars(content, "recurrence", f"The recurrence at {found['at']}")
        if found["radius_along"]:
            row: list[Item] = ["spectral radius", *_numbers(content, "/recurrence/radius_along", QUANTILES)]
            yield Table("Along the trajectory", ["quantile", *QUANTILES], [row])
        values = found["eigenvalues"]
        order = sorted(range(len(values)), key=lambda place: -np.hypot(*values[place]))[:LEADING]
        rows: Rows = [
            [str(place + 1), *_numbers(content, f"/recurrence/eigenvalues/{place}", (0, 1))] for place in sorted(order)
        ]
        yield Table(_part("Largest eigenvalues", len(rows), len(values)), ["number", "real", "imaginary"], rows)
        yield _column(content, "/recurrence/singular_values", "Singular values", "singular value")


def _product_tables(content: Content) -> Iterator[Table]:
    found = content.get("products")
    if found:
        yield _by_lag(content, "products", "log10 ‖P‖ by lag")
        if found["singular"]:
            yield _scalars(content, "products", "The longest product")
            yield _column(content, "/products/singular/log10", "Its singular values", "σ, log10")


def _gradient_tables(content: Content) -> Iterator[Table]:
    found = content.get("gradient")
    if found:
        yield _by_lag(content, "gradient", "log10 of the gradient by lag, relative to lag 1")
        yield _scalars(content, "gradient", "Regularity")
        if found["parameters"]:
            yield from _parameter_tables(content)
    horizons = content.get("horizons") or []
    rows: Rows = [
        [one["name"], _number(content, f"/horizons/{place}/steps", "≥ " if one["at_least"] else ""), one["definition"]]
        for place, one in enumerate(horizons)
    ]
    yield Table("Horizons", ["name", "steps", "definition"], rows)


def _parameter_tables(content: Content) -> Iterator[Table]:
    found = look_up(content, "/gradient/parameters")
    edges = range(len(found["edges"]))
    headers = [f"≤{SPACE}{edge}, log10" for edge in found["edges"]]
    names = sorted(found["log10"])
    rows: Rows = [[name, *_numbers(content, pointer("gradient", "parameters", "log10", name), edges)] for name in names]
    yield Table("Norm of the gradient by parameter and band of lags", ["parameter, by lag", *headers], rows)
    shares: Rows = [
        [_number(content, f"/gradient/parameters/{key}/{place}") for key in ("edges", "beyond", "beyond_apart")]
        for place in edges
    ]
    yield Table("Share of the gradient from beyond a lag", ["lag, steps", "of the sum", "of the parts"], shares)


def _lyapunov_tables(content: Content) -> Iterator[Table]:
    found = content.get("lyapunov")
    if found:
        yield _scalars(content, "lyapunov", f"Exponents, {found['kind']}")
        places = range(min(LEADING, len(found["exponents"])))
        rows: Rows = [
            [
                str(place + 1),
                *(_number(content, f"/lyapunov/{key}/{place}") for key in ("exponents", "standard_errors")),
            ]
            for place in places
        ]
        columns = ["number", f"exponent, {found['unit']}", f"standard error, {found['unit']}"]
        yield Table(_part("Largest exponents", len(rows), len(found["exponents"])), columns, rows)


def _gate_tables(content: Content) -> Iterator[Table]:
    found = content.get("gates")
    if found:
        names = sorted(found["named"])
        rows: Rows = [[name, *_numbers(content, pointer("gates", "named", name), GATES)] for name in names]
        yield Table("Gates over all units and steps", ["gate", *GATES.values()], rows)
        lasting = [name for name in names if found["named"][name]["time_constants"]]
        rows = [[name, *_time_constants(content, name)] for name in lasting]
        columns = ["gate", "shortest, steps", "middle, steps", "longest, steps"]
        yield Table("Time constants of the units", columns, rows)
        yield _scalars(content, "gates", "The state")


def _time_constants(content: Content, name: str) -> list[Number]:
    last = len(content["gates"]["named"][name]["time_constants"]) - 1
    return _numbers(content, pointer("gates", "named", name, "time_constants"), (0, last // 2, last))


def _training_tables(content: Content) -> Iterator[Table]:
    found = content.get("training")
    if found:
        epochs = found["epochs"]
        columns = {key: label for key, label in {"epochs": "epoch", **TRAINING}.items() if found.get(key)}
        chosen = [place - 1 for place in _telling(range(1, len(epochs) + 1), None)]
        rows: Rows = [[_number(content, f"/training/{key}/{place}") for key in columns] for place in chosen]
        yield Table(_part("By epoch", len(rows), len(epochs)), [*columns.values()], rows)
        yield _parameters_in_training(content, found, len(epochs) - 1)
        yield _scalars(content, "training", "Clipping")
        events: Rows = [
            [*_numbers(content, f"/training/non_finite/{place}", ("epoch", "batch")), ", ".join(event["parameters"])]
            for place, event in enumerate(found["non_finite"][:ROWS])
        ]
        caption = _part("Steps whose gradient was not finite", len(events), len(found["non_finite"]))
        yield Table(caption, ["epoch", "batch", "parameters"], events)


def _parameters_in_training(content: Content, found: Mapping[str, Any], last: int) -> Table:
    rows: Rows = [
        [name, *(_number(content, pointer("training", "parameters", name, key, last)) for key in PARAMETER)]
        for name in sorted(found["parameters"])
    ]
    return Table("Parameters in the last epoch", ["parameter", *PARAMETER.values()], rows)


PARAMETER = {"gradient_norm": TRAINING["gradient_norm"], "update_ratio": "update over weight"}
"""What a training holds of every parameter."""


def _fixed_point_tables(content: Content) -> Iterator[Table]:
    found = content.get("fixed_points")
    if found:
        keys = ("index", "speed", "share", "time_constants")
        stability = stabilities(found)
        rows: Rows = [
            [found["kinds"][place], stability[place]]
            + [_number(content, f"/fixed_points/{key}/{place}") for key in keys]
            for place in range(min(ROWS, len(found["points"])))
        ]
        columns = ["kind", "stability", "unstable directions", "speed per step", "share of starts", "slowest, steps"]
        yield Table(_part("Points", len(rows), len(found["points"])), columns, rows)


TABLES = {
    "recurrence": _recurrence_tables,
    "products": _product_tables,
    "gradient": _gradient_tables,
    "lyapunov": _lyapunov_tables,
    "gates": _gate_tables,
    "training": _training_tables,
    "fixed_points": _fixed_point_tables,
}
"""The tables of every measured section; those without rows are not shown."""


# --- checks and recommendations ---------------------------------------------------------------------------------------


def _checks(content: Content, anchors: set[str]) -> Section:
    statuses = [status for status in STATUSES if status in content["counts"]]
    counts: Rows = [["checks", *_numbers(content, "/counts", statuses)]]
    rows: Rows = [_check_row(content, place, check, anchors) for place, check in enumerate(content["checks"])]
    columns = ["id", "status", "check", "value", "threshold", "unit", "what was found", "section"]
    tables = [Table("How many", ["status", *statuses], counts), Table("Every check", columns, rows)]
    how = "SKIPPED was not asked for or does not apply, ERROR could not be computed; neither counts as passed."
    return Section("checks", "8 Checks", how, tables=[table for table in tables if table.rows])


def _check_row(content: Content, place: int, check: Mapping[str, Any], anchors: set[str]) -> list[Item]:
    section = check["section"]
    numbers = [_number(content, f"/checks/{place}/{key}") for key in ("value", "threshold")]
    where = Link(PLAN[section][0], section) if section in anchors else section
    return [check["id"], Status(check["status"]), check["name"], *numbers, check["unit"], check["message"], where]


def _recommendations(content: Content) -> Iterator[Section]:
    found = content["recommendations"]
    rows: Rows = [
        [
            one["id"],
            one["text"],
            _number(content, f"/recommendations/{place}/number"),
            one["unit"],
            Link(one["check"], "checks"),
        ]
        for place, one in enumerate(found)
    ]
    how = "Each follows from the check named beside it, and carries its number."
    table = Table("What to do", ["id", "recommendation", "number", "unit", "check"], rows)
    if found:
        yield Section("recommendations", "9 Recommendations", how, tables=[table])


# --- pieces of tables -------------------------------------------------------------------------------------------------


def _number(content: Content, where: str, before: str = "") -> Number:
    return Number(look_up(content, where), where, before)


def _numbers(content: Content, where: str, keys: Any) -> list[Number]:
    return [_number(content, where + pointer(key)) for key in keys]


def _item(content: Content, where: str) -> Item:
    """A text as it is, a number as one."""
    found = look_up(content, where)
    return found if isinstance(found, str) else Number(found, where)


def _scalars(content: Content, section: str, caption: str) -> Table:
    """The single numbers of a section."""
    own = [one for one in SCALARS if one.pointer.startswith(f"/{section}/")]
    rows: Rows = [
        [one.label, _number(content, one.pointer), unit_of(one, content)]
        for one in own
        if look_up(content, one.pointer) is not None
    ]
    return Table(caption, ["quantity", "value", "unit"], rows)


def _by_lag(content: Content, section: str, caption: str) -> Table:
    """Quantiles at telling lags."""
    found = content[section]
    lags, names = found["lags"], [name for name in QUANTILES if name in found["quantiles"]]
    columns = ["lag, steps", *(["samples"] if "samples" in found else []), *(f"{name}, log10" for name in names)]
    wheres = ["lags", *(["samples"] if "samples" in found else []), *(f"quantiles/{name}" for name in names)]
    chosen = [place for place, lag in enumerate(lags) if lag in _telling(lags, content["subject"]["required_lag"])]
    rows: Rows = [[_number(content, f"/{section}/{where}/{place}") for where in wheres] for place in chosen]
    return Table(_part(caption, len(rows), len(lags)), columns, rows)


def _column(content: Content, where: str, caption: str, header: str) -> Table:
    """The first of a row of numbers."""
    values = look_up(content, where) or []
    rows: Rows = [[str(place + 1), _number(content, f"{where}/{place}")] for place in range(min(LEADING, len(values)))]
    return Table(_part(caption, len(rows), len(values)), ["number", header], rows)


def _telling(places: Sequence[int], required: int | None) -> list[int]:
    """Powers of two, the last place, and the required one."""
    powers = {2**power for power in range(40)} | {required, *places[-1:]}
    return [place for place in places if len(places) <= ROWS or place in powers]


def _part(caption: str, shown: int, there: int) -> str:
    return caption if shown == there else f"{caption} ({shown} of {there}; all are in the JSON)"
