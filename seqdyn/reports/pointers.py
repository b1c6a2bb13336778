"""JSON pointers (RFC 6901): names of places in the content of a report, which is one plain dictionary.

In a pattern, ``*`` stands for every key of a dictionary or every place of a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Content = Mapping[str, Any]
Key = str | int


def pointer(*parts: Any) -> str:
    """Join keys to a JSON pointer.

    Examples
    --------
    >>> pointer("gates", "named", "a/b", "mean")
    '/gates/named/a~1b/mean'
    """
    return "".join("/" + escaped(part) for part in parts)


def escaped(part: Any) -> str:
    """One key as a part of a pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def look_up(content: Any, where: str) -> Any:
    """The value at a JSON pointer; None if there is nothing.

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


def filled(pattern: str, *keys: Key) -> str:
    """A pattern with keys in the place of its stars.

    Examples
    --------
    >>> filled("/gates/named/*/mean", "forget")
    '/gates/named/forget/mean'
    """
    for key in keys:
        pattern = pattern.replace("*", escaped(key), 1)
    return pattern


def keys_of(value: Any) -> Sequence[Key]:
    """The sorted keys of a dictionary, or the places of a list; nothing for other values."""
    if isinstance(value, Mapping):
        return sorted(value)
    return range(len(value)) if isinstance(value, list) else ()


def matches(content: Any, pattern: str) -> Iterator[tuple[tuple[Key, ...], Any]]:
    """Every value that matches a pattern, with the keys that its stars stand for.

    Examples
    --------
    >>> list(matches({"gates": {"b": {"mean": 1}, "a": {"mean": 2}}}, "/gates/*/mean"))
    [(('a',), 2), (('b',), 1)]
    """
    head, star, tail = pattern.partition("/*")
    found = look_up(content, head)
    if not star:
        if found is not None:
            yield (), found
        return
    for key in keys_of(found):
        for others, value in matches(found[key], tail):
            yield (key, *others), value
