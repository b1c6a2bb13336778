"""The storeys are light: short modules, functions and classes, few ancestors, no reach into others, one meaning a name.

Read with ``ast`` and ``tokenize``; lines of code are those without docstrings, comments and blanks.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import itertools
import os
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import seqdyn

ROOT = Path(seqdyn.__file__).parent
LINES_OF_A_MODULE, LINES_OF_A_CLASS, LINES_OF_A_FUNCTION = 500, 300, 50
ANCESTORS = 3
"""Classes of ours in the order of resolution of a public class, itself included; scikit-learn's mixins do not count."""

OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
"""Public in spite of their underscore, says their documentation."""

REACHES = {
    ("kernels.transforms", "_C"): "torch says in no other way whether one of its function transforms is at work",
    ("kernels.transforms", "_are_functorch_transforms_active"): "as above",
    ("kernels.transforms", "_current_level"): "as above, of forward mode",
    ("prepared", "_parameters"): "to see in a microsecond, before every step, that no parameter was replaced",
    ("training.optimisation", "_foreach_*"): "torch's operations on many tensors have no public name",
    ("training.ledger", "_foreach_*"): "as above",
    ("training.stopping", "_foreach_*"): "as above",
}
"""Where a private member of another object is used, and why."""

PROTOCOLS = {
    "__all__": "the public names of a module",
    "__getattr__": "names that come when they are asked for",
    "__dir__": "what tab completion shows",
}
"""Names that Python itself gives a meaning in every module."""


def sources() -> dict[str, str]:
    """Every module of the package by its dotted name below it."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
        for path in sorted(ROOT.rglob("*.py"))
    }


SOURCES = sources()


# -------------------------------------------------------------------- size


def code_lines(source: str) -> set[int]:
    """The numbers of lines that hold code."""
    found: set[int] = set()
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            text = node.body[0]
            found -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return found


def too_long(source: str) -> Iterator[str]:
    """Classes and functions that hold too much code."""
    code = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        count = len(code.intersection(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
        limit = LINES_OF_A_CLASS if isinstance(node, ast.ClassDef) else LINES_OF_A_FUNCTION
        if count > limit:
            yield f"{node.name} has {count} lines of code, {limit} are allowed"


def test_everything_is_short() -> None:
    """Modules, classes and functions."""
    long = [f"{name} has {source.count(chr(10))} lines" for name, source in SOURCES.items()
            if source.count("\n") > LINES_OF_A_MODULE]  # fmt: skip
    long += [f"{name}: {fault}" for name, source in SOURCES.items() for fault in too_long(source)]
    assert not long, "\n".join(["", *long])


def test_what_is_long_is_found() -> None:
    """Docstrings, comments and blank lines do not count."""
    body = "    x = 1\n" * LINES_OF_A_FUNCTION
    docstring = '    """Many.\n' + "\n    words\n" * 40 + '    """\n    # why\n'
    assert list(too_long(f"def short():\n{docstring}{body.removesuffix('    x = 1' + chr(10))}")) == []
    assert list(too_long(f"def long():\n{docstring}{body}")) == ["long has 51 lines of code, 50 are allowed"]


# -------------------------------------------------------------------- ancestors


def public_classes() -> dict[str, type]:
    """Every class that users import, by its full name."""
    found = {}
    for package in ("", ".dynamics", ".metrics", ".motion", ".datasets", ".phase_figures"):
        module = importlib.import_module(f"seqdyn{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) and value.__module__.startswith("seqdyn"):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


def test_few_ancestors() -> None:
    """A reader of any public class opens three files at most."""
    deep = {}
    for name, cls in public_classes().items():
        ours = [parent.__name__ for parent in cls.__mro__ if parent.__module__.startswith("seqdyn")]
        if len(ours) > ANCESTORS:
            deep[name] = ours
    assert not deep


# -------------------------------------------------------------------- what belongs to others


def reaches(source: str) -> Iterator[tuple[int, str]]:
    """Private members of other objects, with the line: members that no class of the same module has."""
    tree = ast.parse(source)
    own = {name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for name in member_names(node)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")):
            continue
        value = node.value
        of_self = isinstance(value, ast.Name) and value.id in ("self", "cls")
        of_super = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "super"
        if not (of_self or of_super or node.attr in own or node.attr in OF_NAMED_TUPLES):
            yield node.lineno, node.attr


def member_names(cls: ast.ClassDef) -> Iterator[str]:
    """Methods and attributes of a class, as its body says them."""
    for node in ast.walk(cls):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        yield part.id
                    elif isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self":
                        yield part.attr


def test_nobody_reaches_into_others() -> None:
    """Private members stay in the module of their class; the few exceptions have a reason, and are used."""
    found, used = [], set()
    for name, source in SOURCES.items():
        for line, attribute in reaches(source):
            known = [(name, attribute), (name, "_foreach_*" if attribute.startswith("_foreach_") else attribute)]
            allowed = next((place for place in known if place in REACHES), None)
            used.add(allowed)
            if allowed is None:
                found.append(f"{name}, line {line}: {attribute}")
    assert not found, "\n".join(["", *found])
    assert set(REACHES) <= used and len({reason for reason in REACHES.values() if reason != "as above"}) <= 5


def test_a_reach_is_found() -> None:
    """Of another class; not of the own one, nor of a named tuple."""
    own = "class A:\n    def _step(self): ...\n    def twin(self, b): return b._step(), b._replace(), self._x\n"
    assert list(reaches(own)) == []
    assert list(reaches("def run(model):\n    return model._step()\n")) == [(2, "_step")]


# -------------------------------------------------------------------- channels through self


def channels(source: str) -> Iterator[str]:
    """Attributes that one method sets for another one, which deletes them: they are arguments in disguise."""
    for cls in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(cls):
            if isinstance(node, ast.Delete):
                for target in node.targets:
                    if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                        yield f"{cls.name} deletes self.{target.attr}"
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("self.__dict__.pop", "vars(self).pop"):
                argument = node.args[0]
                if isinstance(argument, ast.Constant) and not str(argument.value).endswith("_"):
                    yield f"{cls.name} takes {argument.value} out of itself"


def test_no_channels_through_self() -> None:
    """What a method needs it is given; a fitted attribute, with an underscore at its end, may be forgotten."""
    found = [f"{name}: {fault}" for name, source in SOURCES.items() for fault in channels(source)]
    assert not found


def test_a_channel_is_found() -> None:
    source = "class A:\n    def run(self):\n        self._told = 1\n        {}\n"
    for line in ("del self._told", "self.__dict__.pop('_told', None)", "vars(self).pop('_told')"):
        assert len(list(channels(source.format(line)))) == 1
    assert list(channels(source.format("self.__dict__.pop('state_')"))) == []


# -------------------------------------------------------------------- names


def top_level(source: str) -> Iterator[str]:
    """Names that a module defines, without those it imports."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def shared_names(modules: dict[str, str]) -> dict[str, list[str]]:
    """Names that several modules define, with these modules."""
    found: dict[str, list[str]] = {}
    for module, source in modules.items():
        for name in set(top_level(source)):
            found.setdefault(name, []).append(module)
    return {name: places for name, places in found.items() if len(places) > 1 and name not in PROTOCOLS}


def test_one_name_one_meaning() -> None:
    """A name, private ones too, is defined in one module of the library: whoever searches for it finds one thing."""
    shared = shared_names(SOURCES)
    assert not shared, "\n".join(["", *(f"{name}: {', '.join(places)}" for name, places in sorted(shared.items()))])


def test_a_second_meaning_is_found() -> None:
    modules = {
        "one": "A, B = 1, 2\ndef run(): ...",
        "two": "class run: ...\nfrom three import A",
        "three": "A: int = 1",
    }
    assert shared_names(modules) == {"A": ["one", "three"], "run": ["one", "two"]}


# -------------------------------------------------------------------- parameters


def described(cls: type, *sections: str) -> list[str]:
    """The names that some sections of the docstring of a class describe."""
    lines = inspect.cleandoc(cls.__doc__ or "").split("\n")
    heads = [i for i in range(1, len(lines)) if lines[i] and set(lines[i]) == {"-"}]
    found: list[str] = []
    for head, end in zip(heads, [*heads[1:], len(lines) + 1][: len(heads)], strict=True):
        if lines[head - 1] in sections:
            entries = (line.partition(" : ")[0] for line in lines[head + 1 : end - 1] if line[:1].strip())
            found += [name.strip("*") for entry in entries for name in entry.split(", ")]
    return found


@pytest.mark.parametrize("name", sorted(public_classes()))
def test_every_parameter_is_described(name: str) -> None:
    """By the class itself, so that ``help`` shows it: not "as in" another one."""
    cls: Any = public_classes()[name]
    if issubclass(cls, tuple | type):  # a named tuple describes its fields in a sentence
        return
    own = inspect.signature(cls).parameters.values()
    taken = {one.name for one in own if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
    missing = taken.difference(described(cls, "Parameters", "Attributes"))
    assert not missing, f"{name} does not describe {sorted(missing)}"
    names = described(cls, "Parameters")
    assert len(names) == len(set(names)), f"{name} describes a parameter twice"


# -------------------------------------------------------------------- the way of a fit


def test_the_way_of_a_fit_is_short() -> None:
    """One fit goes from file to file of the estimators 15 times at most, and passes 37 files of the library in all.

    The kernels count as one: they know raw tensors alone, and a reader stops at their door.
    """
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 3))
    model = seqdyn.GRURegressor(max_epochs=5, random_state=0)
    files: list[str] = []

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(ROOT)):
            files.append(frame.f_code.co_filename)

    sys.setprofile(watch)
    try:
        model.fit(X, X.sum(axis=1))
    finally:
        sys.setprofile(None)
    estimators = [file for file in files if f"{os.sep}estimators{os.sep}" in file]
    changes = sum(one != other for one, other in itertools.pairwise(estimators))
    passed = {"kernels" if f"{os.sep}kernels{os.sep}" in file else file for file in files}
    assert changes <= 15 and len(passed) <= 37
