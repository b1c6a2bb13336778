"""The house stands: imports go to lower floors only, without cycles, and nobody goes through a package's front door.

Read with ``ast``, so lazy imports inside functions count; what stands under ``if TYPE_CHECKING`` does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1] / "seqdyn"

FLOORS = {
    "state": 0,
    "arrays": 0,
    "checks": 0,
    "facts": 0,
    "registry": 0,
    "activations": 0,
    "torch_modules": 0,
    "generators": 0,
    "affine": 0,
    "progress": 0,
    "levenberg_marquardt": 0,
    "kernels": 0,
    "lazy_names": 0,
    "typed_bases": 0,
    "cell": 1,
    "prepared": 1,
    "loops": 1,
    "data": 1,
    "metrics": 1,
    "figures": 1,
    "unrolled_figure": 1,
    "phase_figures": 1,
    "file_content": 1,
    "files": 1,
    "wrapper": 2,
    "backend": 2,
    "composition": 2,
    "row_modules": 2,
    "step_function": 2,
    "model_parts": 2,
    "encoder": 2,
    "scores": 2,
    "rows": 2,
    "flow": 2,
    "glimpses": 2,
    "picture_encoder": 3,
    "initial_state": 2,
    "teacher_forcing": 2,
    "delay_line": 2,
    "autoregression": 2,
    "held": 2,
    "cells": 3,
    "systems": 3,
    "training": 3,
    "dynamics": 3,
    "codecs": 3,
    "stream": 3,
    "decoding_strategy": 2,
    "decoding": 3,
    "encoder_decoder": 3,
    "autoencoder": 3,
    "identification": 4,
    "conversion": 4,
    "torch_parts": 4,
    "predictor": 4,
    "sentences": 4,
    "estimators": 5,
    "forecasting": 6,
    "language": 6,
    "images": 6,
    "motion": 6,
    "reports": 7,
    "datasets": 7,
    "cli": 8,
    "__main__": 8,
}
LONERS = {"cells", "systems"}
"""Packages whose modules never import each other."""
APPLICATIONS = {"forecasting", "language", "images", "motion"}
"""Packages that never import each other."""
FRAMES = {"pandas", "xarray"}
FRAMELESS = 4
"""The highest floor that knows no frames."""
FRAMES_ALLOWED = {"data", "state"}


class Import(NamedTuple):
    """One import: the module it is in, its line, and the full name that is asked for."""

    module: str
    line: int
    target: str


def violations(root: Path) -> list[str]:
    """Everything in the package that breaks a rule of the house, one sentence each."""
    modules = find_modules(root)
    imports = [found for name, path in modules.items() for found in read_imports(name, path, modules)]
    problems = [
        f"{name} stands on no floor: give {floor_name(name)!r} one in FLOORS of tests/test_floors.py"
        for name in modules
        if floor_name(name) not in FLOORS and floor_name(name)
    ]
    for found in imports:
        problems += [f"{found.module}, line {found.line}: {fault}" for fault in faults(found, modules, root.name)]
    level = {name: [] for name in modules if floor_name(name)}  # a circle over several floors goes up somewhere
    for found in imports:
        if found.module in level and found.target in level and height(found.module) == height(found.target):
            level[found.module].append(found.target)
    problems += [f"imports go round in a circle: {' → '.join(circle)}" for circle in circles(level)]
    return problems


def find_modules(root: Path) -> dict[str, Path]:
    """All modules by dotted name; a package has the name of its folder."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_imports(module: str, path: Path, modules: dict[str, Path]) -> Iterator[Import]:
    """Every import of a file, also inside functions and by ``import_module`` of a constant name."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield Import(module, node.lineno, source)
            for alias in node.names:  # a module may be fetched from its package: that is an import of it as well
                if f"{source}.{alias.name}" in modules:
                    yield Import(module, node.lineno, f"{source}.{alias.name}")
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            if node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                yield Import(module, node.lineno, node.args[0].value)


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, without what only the type checker reads."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
        for node in tree.orelse:
            yield from at_run_time(node)
        return
    yield tree
    for node in ast.iter_child_nodes(tree):
        yield from at_run_time(node)


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def faults(found: Import, modules: dict[str, Path], house: str) -> Iterator[str]:
    """What is wrong with one import."""
    own, other = floor_name(found.module), floor_name(found.target)
    floor = height(found.module)
    if not own or floor is None:  # the front door may import anything; who has no floor is reported as such
        return
    outside = found.target.partition(".")[0]
    if outside in FRAMES and floor <= FRAMELESS and own not in FRAMES_ALLOWED:
        yield f"imports {outside}, but floors 0 to {FRAMELESS} know no frames, except {sorted(FRAMES_ALLOWED)}"
    if outside != house or found.target == found.module:
        return
    if is_package(found.target, modules):
        yield f"imports {found.target}, a package's __init__: import the module that defines the name"
    elif found.target not in modules:
        yield f"imports {found.target}, which is not there"
    elif FLOORS.get(other, floor) > floor:
        yield f"imports {found.target} from floor {FLOORS[other]}, but stands on floor {floor}"
    elif own == other and own in LONERS and not is_package(found.module, modules):
        yield f"imports {found.target}, its sibling: modules of {own} never import each other"
    elif own != other and {own, other} <= APPLICATIONS:
        yield f"imports {found.target}: the applications {sorted(APPLICATIONS)} never import each other"


def floor_name(module: str) -> str:
    """The second part of a dotted name, which has a floor; empty for the package itself."""
    return [*module.split("."), ""][1]


def is_package(name: str, modules: dict[str, Path]) -> bool:
    """Whether a name is a folder with an ``__init__``, or one without."""
    folder = any(other.startswith(name + ".") for other in modules)
    return folder or (name in modules and modules[name].name == "__init__.py")


def height(module: str) -> int | None:
    """The floor a module stands on."""
    return FLOORS.get(floor_name(module))


def circles(imports: dict[str, list[str]]) -> list[list[str]]:
    """The circles met on a walk along the imports from every module."""
    found, finished = [], set()

    def walk(module: str, way: list[str]) -> None:
        if module in way:
            found.append([*way[way.index(module) :], module])
        elif module not in finished:
            for target in dict.fromkeys(imports[module]):
                walk(target, [*way, module])
            finished.add(module)

    for module in imports:
        walk(module, [])
    return found


def test_the_house_stands() -> None:
    """No import breaks a rule."""
    problems = violations(ROOT)
    assert not problems, "\n".join(["", *problems])


def test_every_file_is_read() -> None:
    """The checker sees the modules of the package and their imports: else it would find nothing wrong anywhere."""
    modules = find_modules(ROOT)
    assert {"seqdyn", "seqdyn.state", "seqdyn.loops", "seqdyn.cells", "seqdyn.cells.elman"} <= set(modules)
    imports = {found.target for found in read_imports("seqdyn.state", ROOT / "state.py", modules)}
    assert {"torch", "xarray"} <= imports  # the second one stands inside a function
    module = ROOT / "dynamics" / "spectrum.py"
    imports = {found.target for found in read_imports("seqdyn.dynamics.spectrum", module, modules)}
    assert "seqdyn.state" in imports and "seqdyn.cell" not in imports  # the second one is for the type checker


SOUND = {
    "__init__.py": "import seqdyn.estimators.regressor",
    "state.py": "def label():\n    import xarray",
    "loops.py": "from seqdyn.cell import Cell\nfrom typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from seqdyn.encoder import Encoder\nelse:\n    import math",
    "cell.py": "from seqdyn.state import leaves",
    "encoder.py": "from seqdyn.loops import scan",
    "initial_state.py": "from seqdyn.encoder import Encoder",
    "data/__init__.py": "",
    "data/frames.py": "import pandas as pd",
    "cells/__init__.py": "from seqdyn.cells.elman import Elman",
    "cells/elman.py": "from seqdyn.cell import Cell\nfrom ..state import leaves",
    "cells/gru.py": "from seqdyn.cell import Cell",
    "training/__init__.py": "",
    "training/loop.py": "import importlib\n\ndef load(name):\n    return importlib.import_module(name)",
    "estimators/__init__.py": "",
    "estimators/regressor.py": "import pandas\nfrom seqdyn.cells.elman import Elman",
    "forecasting/__init__.py": "",
    "forecasting/forecaster.py": "from seqdyn.forecasting.frames import wide",
    "forecasting/frames.py": "import seqdyn.estimators.regressor as regressor",
    "language/__init__.py": "",
    "language/characters.py": "",
}


def build(folder: Path, files: dict[str, str]) -> Path:
    """Write a package of this content."""
    for name, text in files.items():
        path = folder / "seqdyn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return folder / "seqdyn"


def test_a_sound_house_is_left_alone(tmp_path: Path) -> None:
    """Lower floors, own package, type checking, frames where they belong: nothing to say."""
    assert violations(build(tmp_path, SOUND)) == []


PLANTED = [
    ("state.py", "from seqdyn.loops import scan", "imports seqdyn.loops from floor 1, but stands on floor 0"),
    ("state.py", "def late():\n    from seqdyn.cells.elman import Elman", "seqdyn.cells.elman from floor 3"),
    (
        "state.py",
        "try:\n    import seqdyn.encoder as encoder\nexcept ImportError:\n    pass",
        "seqdyn.encoder from floor 2",
    ),
    ("loops.py", "from .encoder import Encoder", "seqdyn.encoder from floor 2"),
    ("data/frames.py", "from ..cells.gru import GRU", "seqdyn.cells.gru from floor 3"),
    ("loops.py", "if not TYPE_CHECKING:\n    from seqdyn.encoder import Encoder", "seqdyn.encoder from floor 2"),
    (
        "loops.py",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from seqdyn.encoder import Encoder",
        "seqdyn.encoder from floor 2",
    ),
    ("cell.py", "import importlib\nimportlib.import_module('seqdyn.cells.gru')", "seqdyn.cells.gru from floor 3"),
    ("cell.py", "import seqdyn.loops", "circle"),
    ("encoder.py", "from seqdyn.initial_state import Zero", "circle"),
    ("forecasting/frames.py", "from seqdyn.forecasting.forecaster import F", "circle"),
    ("cells/gru.py", "from seqdyn.cells.elman import Elman", "its sibling: modules of cells never"),
    ("cells/gru.py", "from .elman import Elman", "its sibling: modules of cells never"),
    ("cells/deep/cell.py", "from seqdyn.cells.elman import Elman", "its sibling: modules of cells never"),
    ("forecasting/frames.py", "from seqdyn.language.characters import C", "the applications"),
    ("training/loop.py", "import pandas as pd", "imports pandas, but floors 0 to 4 know no frames"),
    ("training/loop.py", "def late():\n    from pandas.core import frame", "imports pandas"),
    ("loops.py", "import xarray", "imports xarray"),
    ("training/loop.py", "import seqdyn", "imports seqdyn, a package's __init__"),
    ("training/loop.py", "from seqdyn import Elman", "imports seqdyn, a package's __init__"),
    ("training/loop.py", "from seqdyn import state", "imports seqdyn, a package's __init__"),
    ("training/loop.py", "from .. import state", "imports seqdyn, a package's __init__"),
    ("training/loop.py", "from seqdyn.cells import Elman", "imports seqdyn.cells, a package's __init__"),
    ("training/loop.py", "from seqdyn.cells import elman", "imports seqdyn.cells, a package's __init__"),
    ("training/loop.py", "import seqdyn.cells", "imports seqdyn.cells, a package's __init__"),
    ("training/loop.py", "from seqdyn.scam import scan", "imports seqdyn.scam, which is not there"),
    ("novelty.py", "", "seqdyn.novelty stands on no floor: give 'novelty' one"),
    ("novelty/__init__.py", "", "seqdyn.novelty stands on no floor: give 'novelty' one"),
]


@pytest.mark.parametrize(("name", "text", "expected"), PLANTED, ids=[expected for _, _, expected in PLANTED])
def test_planted_violations_are_caught(tmp_path: Path, name: str, text: str, expected: str) -> None:
    """One bad import added to a sound house is found, and nothing else."""
    files = {**SOUND, name: f"{SOUND.get(name, '')}\n{text}"}
    problems = violations(build(tmp_path, files))
    assert any(expected in problem for problem in problems), problems
    assert len(problems) == 1, problems
