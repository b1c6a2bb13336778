"""Docstrings of classes from one source: a parameter is described where its part is defined, and shown everywhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

Documented = TypeVar("Documented", bound=type)
HEAD = "Parameters\n----------\n"


def documented(*parts: type) -> Callable[[Documented], Documented]:
    """Let the docstring of a class describe every parameter it takes, in the order of its signature.

    What the class does not describe itself is described by ``parts``, and after them by its ancestors.

    Examples
    --------
    >>> class Part:
    ...     '''A part.
    ...
    ...     Parameters
    ...     ----------
    ...     size : int
    ...         How large.
    ...     '''
    >>> @documented(Part)
    ... class Whole:
    ...     '''A whole.'''
    ...
    ...     def __init__(self, size: int = 3): ...
    >>> print(Whole.__doc__)
    A whole.
    <BLANKLINE>
    Parameters
    ----------
    size : int
        How large.
    """

    def complete(cls: Documented) -> Documented:
        before, own, after = split_docstring(inspect.cleandoc(cls.__doc__ or ""))
        known = own
        sources: list[type] = [*parts, cls]
        for source in (parent for part in sources for parent in part.__mro__):
            known = split_docstring(inspect.cleandoc(source.__doc__ or ""))[1] | known
        names = list(inspect.signature(cls).parameters)
        entries = dict.fromkeys(known[name] for name in names if name in known)
        cls.__doc__ = before + "\n\n" + HEAD + "\n".join(entries) + ("\n\n" + after if after else "")
        return cls

    return complete


def split_docstring(text: str) -> tuple[str, dict[str, str], str]:
    """What stands before the parameters of a numpydoc docstring, the entry of every parameter, and what follows.

    Examples
    --------
    >>> split_docstring("Run.\\n\\nParameters\\n----------\\na, b : int\\n    Two.\\n\\nReturns\\n-------\\nint")
    ('Run.', {'a': 'a, b : int\\n    Two.', 'b': 'a, b : int\\n    Two.'}, 'Returns\\n-------\\nint')
    """
    before, found, rest = text.partition(HEAD)
    if not found:
        return _without_parameters(text)
    lines = rest.split("\n")
    underlines = (i for i, line in enumerate(lines) if line and set(line) == {"-"})
    end = next(underlines, len(lines) + 1) - 1
    starts = [i for i in range(end) if lines[i] and not lines[i].startswith(" ")]
    entries = {}
    for start, stop in zip(starts, [*starts[1:], end], strict=True):
        for name in lines[start].partition(" : ")[0].split(", "):
            entries[name] = "\n".join(lines[start:stop]).rstrip()
    return before.rstrip(), entries, "\n".join(lines[end:])


def _without_parameters(text: str) -> tuple[str, dict[str, str], str]:
    """A docstring that describes no parameters: they belong before its first section."""
    lines = text.split("\n")
    underlines = (i for i, line in enumerate(lines) if line and set(line) == {"-"})
    first = next(underlines, len(lines) + 1) - 1
    return "\n".join(lines[:first]).rstrip(), {}, "\n".join(lines[first:])
