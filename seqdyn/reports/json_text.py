"""Reports as JSON: reading what was written gives the same content, to the last bit.

JSON has no infinity: ∞, −∞ and NaN become the strings "inf", "-inf" and "nan", and a text that looks like one of them
is written with a backslash before it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seqdyn.reports.pointers import Content, pointer


class Schema(NamedTuple):
    """The kind of a report as JSON names it, the same in words, the newest version that can be read, and its sections.

    Every section has its possible types; a section that may be None may also be missing.
    """

    name: str
    title: str
    version: int
    sections: Mapping[str, tuple[type, ...]]


def to_json(content: Content, indent: int | None = 2) -> str:
    """Write a report as JSON with sorted keys: the same content gives the same text.

    Examples
    --------
    >>> to_json({"peak": float("inf"), "model": "inf"}, indent=None)
    '{"model": "\\\\\\\\inf", "peak": "inf"}'
    """
    return json.dumps(_to_plain(content, ""), indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def from_json(text: str, schema: Schema) -> dict[str, Any]:
    """Read a report that :func:`to_json` wrote; the numbers are the same to the last bit."""
    if not isinstance(text, str):
        raise TypeError(f"from_json reads a text, got {type(text).__name__}: read a file with path.read_text().")
    try:
        content = _restored(json.loads(text, parse_constant=_refuse_constant))
    except (ValueError, RecursionError) as error:
        hint = "" if "{" in text else f" To read a file, give pathlib.Path({text[:80]!r})."
        raise ValueError(f"This is not the JSON of {schema.title}: {error}.{hint}") from error
    _check_schema(content, schema)
    _check_sections(content, schema)
    return dict(content)


def exact_number(value: Any) -> str:
    """Write a number with all its digits, as in the JSON.

    Examples
    --------
    >>> exact_number(0.1), exact_number(3), exact_number(float("inf")), exact_number(None)
    ('0.1', '3', 'inf', 'null')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return _symbol(value)
    return json.dumps(value)


def keep(text: str, path: str | Path | None) -> str:
    """Write a text to a file if a path is given, and return the text."""
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _to_plain(value: Any, where: str) -> Any:
    """The value as JSON can hold it."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _symbol(value)
    if isinstance(value, str):
        return f"\\{value}" if _ESCAPED.fullmatch(value) else value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _to_plain(one, where + pointer(key)) for key, one in value.items()}
        raise TypeError(f"The keys at {where or '/'} must be texts, got {[*value][:5]}: JSON knows no others.")
    if isinstance(value, list):
        return [_to_plain(one, f"{where}/{place}") for place, one in enumerate(value)]
    raise TypeError(f"{where or '/'} is a {type(value).__name__}: JSON takes texts, numbers, lists and dictionaries.")


_ESCAPED = re.compile(r"\\*(inf|-inf|nan)")
_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def _symbol(value: float) -> str:
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _restored(value: Any) -> Any:
    """The inverse of :func:`_to_plain`."""
    if isinstance(value, str):
        found = _NUMBERS.get(value)
        return found if found is not None else value[1:] if _ESCAPED.fullmatch(value) else value
    if isinstance(value, dict):
        return {key: _restored(one) for key, one in value.items()}
    return [_restored(one) for one in value] if isinstance(value, list) else value


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"it has the bare word {constant}, which is not JSON; a report writes it as a string")


def _check_schema(content: Any, expected: Schema) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, dict) or "name" not in schema:
        got = f"the keys {sorted(content)[:5]}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"{expected.title} has a schema with the name {expected.name!r}, got {got}.")
    if schema["name"] != expected.name:
        raise ValueError(f"This is a {schema['name']!r}, expected a {expected.name!r}: it is another kind of file.")
    version = schema.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"The version of the schema must be a whole number from 1, got {version!r}.")
    if version > expected.version:
        raise ValueError(
            f"The report has version {version}; this seqdyn reads up to {expected.version}: install a newer one."
        )


def _check_sections(content: dict[str, Any], schema: Schema) -> None:
    wrong = [
        f"{name} is a {type(content.get(name)).__name__}, expected a {kinds[0].__name__}"
        for name, kinds in schema.sections.items()
        if not isinstance(content.get(name), kinds)
    ]
    if wrong:
        raise ValueError(f"This is damaged, and was {schema.title}: {'; '.join(wrong)}.")
