"""Write the pages of ``docs/reference``, one a topic, from the lists of public names.

    python docs/make_reference.py            write them
    python docs/make_reference.py --check    fail if they are not what would be written

A topic names modules and packages. Of a module that ``dir(seqdyn)`` names everything public is shown; of the others
only what the stubs (``__init__.pyi``) export. What is said comes from the docstrings, through mkdocstrings, when the
site is built.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path

import seqdyn
from seqdyn.lazy_names import read_stub

FOLDER = Path(__file__).parent / "reference"
PACKAGE = Path(seqdyn.__file__).parent

TOPICS = {
    "Estimators": (
        "Regressors and classifiers with scikit-learn's `fit`, `predict` and `score`.",
        ("estimators.regressors", "estimators.classifiers", "estimators", "data.splits"),
    ),
    "Forecasting": (
        "Frames with times in, frames with times out: forecasters, baselines, intervals and backtests.",
        ("forecasting.automatic", "forecasting.forecaster", "forecasting"),
    ),
    "Cells and loops": (
        "The contract of a cell, the two loops over time, and every cell of the library.",
        ("cell", "loops", "backend", "state", "cells", "step_function", "row_modules", "scores", "glimpses", "rows"),
    ),
    "Compositions of cells": (
        "Cells made of cells: layers, both directions, own predictions, constant inputs.",
        ("composition", "encoder", "autoregression", "delay_line", "teacher_forcing", "held"),
    ),
    "Initial states": ("Where the memory starts.", ("initial_state",)),
    "Training": (
        "What a step minimises, how batches are made, and the loop that trains: full and truncated BPTT.",
        ("training.loop", "training.objective", "training.heads", "training.batches", "training", "progress"),
    ),
    "Streaming and use": (
        "One step at a time, and everything that a fitted network needs in order to be used.",
        ("stream", "predictor", "codecs", "conversion", "torch_parts"),
    ),
    "Diagnostics": (
        "Measurements of any cell, and the reports made of them.",
        ("reports.stability.report", "reports.audits", "dynamics"),
    ),
    "Linear systems": (
        "Linear state-space models: identification, analysis and figures.",
        ("identification.system", "identification.figures", "estimators.linear", "estimators.linearise"),
    ),
    "Known systems": ("Known dynamics, as example data and as test oracles.", ("systems", "flow", "phase_figures")),
    "Generators": (
        "Models of texts and pictures, and what they are made of.",
        (
            "language",
            "images",
            "estimators.autoencoder",
            "decoding",
            "sentences",
            "encoder_decoder",
            "autoencoder",
            "picture_encoder",
        ),
    ),
    "Motion": ("Models of joint angles: from a drive, run free, and steered.", ("motion", "reports.motion.report")),
    "Data and files": (
        "Containers, windows, vocabularies, example data, and the file format.",
        ("data", "datasets", "files", "registry"),
    ),
    "Scores and comparisons": (
        "Scores with their exact definitions, comparisons of models, and figures.",
        ("metrics", "reports", "figures", "unrolled_figure"),
    ),
}
"""What each page is about: a sentence, and its modules and packages in order; a module stands on the first page, but a
single one goes before its package."""


@cache
def exported() -> dict[str, tuple[str, ...]]:
    """The names that the stubs export, by their module."""
    found: dict[str, list[str]] = {}
    for stub in sorted(PACKAGE.rglob("__init__.pyi")):
        package = ".".join(stub.parent.relative_to(PACKAGE.parent).parts)
        for name, module in read_stub(package, str(stub)).items():
            if module != f"{package}.{name}":
                found.setdefault(module.removeprefix("seqdyn."), []).append(name)
    return {module: tuple(dict.fromkeys(names)) for module, names in found.items()}


@cache
def shown_whole() -> tuple[str, ...]:
    """Modules and packages that ``dir(seqdyn)`` names and that have no list of names of their own."""
    stub = read_stub("seqdyn", str(PACKAGE / "__init__.py"))
    groups = [name for name, module in stub.items() if module == f"seqdyn.{name}"]
    return tuple(name for name in groups if not (PACKAGE / name / "__init__.pyi").exists())


@cache
def topics() -> dict[str, tuple[str, ...]]:
    """The modules of every topic: the entries in order, then the modules that define what their functions give."""
    placed: set[str] = {entry for _, entries in TOPICS.values() for entry in entries if "." in entry}
    found = {}
    for topic, (_, entries) in TOPICS.items():
        listed = [module for entry in entries for module in modules(entry) if module == entry or module not in placed]
        given = [home for module in listed for home in results(module) if home not in placed and not members(home)]
        found[topic] = tuple(dict.fromkeys([*listed, *given]))
        placed |= {*found[topic]}
    return found


@cache
def results(module: str) -> dict[str, list[str]]:
    """The classes that the exported functions and methods of a module give, by the module that defines them."""
    found: dict[str, list[str]] = {}
    home = import_module(f"seqdyn.{module}")
    for name in exported().get(module, ()):
        value = getattr(home, name)
        own = [member for key, member in vars(value).items() if key[0] != "_"] if isclass(value) else [value]
        for function in filter(isfunction, own):
            scope = vars(sys.modules[function.__module__])
            for word in re.findall(r"[A-Z]\w+", str(function.__annotations__.get("return"))):
                result = scope.get(word)
                if isclass(result) and result.__module__.startswith("seqdyn."):
                    found.setdefault(result.__module__.removeprefix("seqdyn."), []).append(word)
    return found


def modules(entry: str) -> list[str]:
    """The modules of an entry that have something to show."""
    if not (PACKAGE / entry.replace(".", "/")).is_dir():
        return [entry]
    if entry in shown_whole():
        return sorted(f"{entry}.{path.stem}" for path in (PACKAGE / entry).glob("[!_]*.py"))
    return sorted(module for module in exported() if module.startswith(f"{entry}."))


@cache
def members(module: str) -> tuple[str, ...] | None:
    """The names of a module that are shown; None: every public one."""
    if {module, module.split(".")[0]} & {*shown_whole()}:
        return None
    return exported().get(module, ())


@cache
def shown(module: str) -> tuple[str, ...] | None:
    """The names of a module that stand on a page: what is exported, and what exported functions give; None: all."""
    if members(module) is None:
        return None
    given = [name for other in exported() for name in results(other).get(module, ())]
    return tuple(dict.fromkeys([*(members(module) or ()), *given]))


@cache
def documented() -> frozenset[str]:
    """The full names of all modules and of their exported members that have a place on a page."""
    every = [module for found in topics().values() for module in found]
    single = (f"seqdyn.{module}.{name}" for module in every for name in shown(module) or ())
    return frozenset([*(f"seqdyn.{module}" for module in every if shown(module) is None), *single])


def is_documented(path: str) -> bool:
    """Whether the object of this full name, or one that it belongs to, has a place in the reference."""
    parts = path.split(".")
    return any(".".join(parts[:end]) in documented() for end in range(2, len(parts) + 1)) or any(
        name.rpartition(".")[0] == path for name in documented()
    )


def page(topic: str) -> str:
    """One page: a heading, a sentence, and one directive a module."""
    lines = [f"# {topic}", "", TOPICS[topic][0], ""]
    for module in topics()[topic]:
        lines += [f"::: seqdyn.{module}"]
        names = shown(module)
        if names is not None:
            lines += ["    options:", f"      members: [{', '.join(names)}]"]
        lines += [""]
    return "\n".join(lines)


def index() -> str:
    """The map: every topic with its modules and the names that come from ``seqdyn`` itself."""
    lines = [
        "# Reference",
        "",
        "By topic. The names in the last column come from `seqdyn` itself, all others from their module or package.",
        "`help(seqdyn)` shows the same modules floor by floor: a module knows only the floors below its own.",
        "",
        "| topic | | modules | names in `seqdyn` |",
        "|---|---|---|---|",
    ]
    own = read_stub("seqdyn", str(PACKAGE / "__init__.py"))
    for topic, found in topics().items():
        names = [name for name, module in own.items() if module.removeprefix("seqdyn.") in found]
        names = [name for name in names if own[name] != f"seqdyn.{name}"]
        groups = dict.fromkeys(module.split(".")[0] for module in found)
        cells = (", ".join(f"`{name}`" for name in listed) for listed in (groups, names))
        lines.append(f"| [{topic}]({file_name(topic)}) | {TOPICS[topic][0]} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def file_name(topic: str) -> str:
    """The page of a topic."""
    return f"{topic.lower().replace(' ', '_')}.md"


def pages() -> dict[str, str]:
    """The text of every page by its file name; every exported name is on exactly one."""
    placed = [module for found in topics().values() for module in found]
    missing = sorted({*exported()} - {*placed})
    missing += sorted(name for name in shown_whole() if not {*modules(name)} <= {*placed})
    if missing or len(placed) > len({*placed}):
        twice = sorted({module for module in placed if placed.count(module) > 1})
        raise SystemExit(f"TOPICS gives no page to {missing} and several to {twice}.")
    return {"index.md": index()} | {file_name(topic): page(topic) for topic in TOPICS}


def main(check: bool) -> int:
    """Write the pages, or compare them."""
    written = pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if check:
        stale = sorted(name for name in written.keys() | found if written.get(name) != found.get(name))
        if stale:
            print(f"Not up to date: {', '.join(stale)}. Run python docs/make_reference.py.")
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for name in found.keys() - written:
        (FOLDER / name).unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
