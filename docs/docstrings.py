"""What the site's docstring reader has to be told: Sphinx's roles, and parameters that share one line.

An extension of griffe, which reads the package for mkdocstrings.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))  # griffe loads this file by its path
from make_reference import is_documented

ROLE = re.compile(r":\w+:`(~?)([\w.]+)`")


class Docstrings(griffe.Extension):
    """Turns ``:class:`~a.b.C``` into a link, and gives every parameter its own type and default."""

    def on_package(self, *, pkg: griffe.Module, **others: Any) -> None:
        """Walk through the package when it has been read."""
        self._walk(pkg)

    def _walk(self, thing: Any) -> None:
        if thing.docstring is not None:
            text = ROLE.sub(lambda role: self._link(role, thing), thing.docstring.value)
            thing.docstring.value = text.replace("] [", "] \\[")  # a matrix times a vector is no link
            if thing.is_class:
                self._tell_apart(thing)
        for member in thing.members.values():
            if not member.is_alias:
                self._walk(member)

    def _link(self, role: re.Match[str], thing: Any) -> str:
        """A cross-reference in Markdown where the reference shows the name; else the name as code."""
        name = role[2]
        shown = f"`{name.rpartition('.')[2] if role[1] else name}`"
        target = self._find(name, thing)
        if target is None or not target.docstring or not is_documented(target.path):
            return shown
        return f"[{shown}][{target.path}]"

    def _find(self, name: str, thing: Any) -> Any:
        """The object of a full name, or of one that is looked for from here outwards."""
        if name.startswith("seqdyn."):
            scope, path = thing.package, name.removeprefix("seqdyn.")
        else:
            scope, path = thing, name
            while scope is not None and path.split(".")[0] not in scope.members:
                scope = scope.parent
        try:
            found = None if scope is None else scope[path]
            return found.final_target if found is not None and found.is_alias else found
        except (KeyError, griffe.AliasResolutionError):  # a name of another library
            return None

    def _tell_apart(self, cls: Any) -> None:
        """``a, b, c`` in one line are three parameters; the reader would give all of them the default of the first."""
        own = {parameter.name: parameter for parameter in cls.parameters}
        for section in cls.docstring.parsed:
            if section.kind is not griffe.DocstringSectionKind.parameters:
                continue
            for shown in section.value:
                if shown.name in own:
                    shown.value = own[shown.name].default
                    if not isinstance(shown.annotation, str):
                        shown.annotation = own[shown.name].annotation
