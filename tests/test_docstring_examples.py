"""Every public name has an example: in its docstring, or in that of a public function that gives it."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import pytest

PACKAGES = ["seqdyn", *(f"seqdyn.{name}" for name in ("datasets", "dynamics", "metrics", "motion", "phase_figures"))]


@cache
def public() -> dict[str, object]:
    """Every exported function and class by its name; constants and former names need no example."""
    names = ((package, name) for package in PACKAGES for name in import_module(package).__all__)
    values = {f"{package}.{name}": getattr(import_module(package), name) for package, name in names}
    former = {name for name, value in values.items() if (value.__doc__ or "").startswith("The former name of")}
    return {name: value for name, value in values.items() if callable(value) and name not in former}


def has_example(value: object) -> bool:
    """Whether the docstring shows a session; a class does not inherit one."""
    text = vars(value).get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)
    return ">>>" in (text or "")


def given(value: object) -> Iterator[object]:
    """The classes that the annotations of a function, or of the public methods of a class, name as results."""
    methods = [member for name, member in vars(value).items() if name[0] != "_"] if inspect.isclass(value) else [value]
    for function in filter(inspect.isfunction, methods):
        scope = vars(sys.modules[function.__module__])
        for word in re.findall(r"[A-Z]\w+", str(function.__annotations__.get("return"))):
            yield scope.get(word)


@cache
def shown_elsewhere() -> frozenset[object]:
    """The classes that a function or a class with an example gives."""
    found = (result for value in public().values() if has_example(value) for result in given(value))
    return frozenset(result for result in found if inspect.isclass(result))


@pytest.mark.parametrize("name", public())
def test_every_public_name_has_an_example(name: str) -> None:
    """A session in its docstring, or in that of what gives it."""
    value = public()[name]
    assert has_example(value) or value in shown_elsewhere(), f"{name} ({value.__module__}) has no example"
