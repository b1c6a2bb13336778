"""Every example runs without a warning and ends by asserting its number; the table has every one, with its numbers."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from seqdyn import registry

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def loaded(path: Path, name: str) -> ModuleType:
    """A file as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


refresh = loaded(FOLDER.parent / "docs" / "refresh.py", "refresh")


def claimed(path: Path) -> list[str]:
    """The numbers in the last column of an example's row."""
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| \[{re.escape(path.name)}\].*\| (.+) \|$", table, re.MULTILINE)
    return refresh.NUMBER.findall(row)


def constants(path: Path) -> list[str]:
    """The numbers that the code of an example holds, such as the bounds of its assertions; as percentages, too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    values = [node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) in (int, float)]
    return [f"{scale * value:.10g}" for value in values for scale in (1, -1, 100)]


def unsupported(path: Path, printed: str) -> list[str]:
    """The numbers of an example's row that it neither prints nor holds, as they are or in percent."""
    numbers = refresh.NUMBER.findall(printed)
    shares = [f"{100 * float(number):.10g}" for number in numbers if re.fullmatch(r"-?0\.\d+", number)]
    known = [*numbers, *shares, *constants(path)]
    return [number for number in claimed(path) if not any(refresh.agree(number, other) for other in known)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``main()`` runs, prints the numbers of its row, and leaves no file behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_OWN", {})  # what an example registers ends with it
    loaded(path, f"example_{path.stem}").main()
    printed = capsys.readouterr().out
    assert printed
    assert not list(tmp_path.iterdir())
    stale = unsupported(path, printed)
    assert not stale, f"examples/README.md says {stale}, which the example neither prints nor holds:\n{printed}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_has_the_form(path: Path) -> None:
    """A docstring of a few lines says what is seen, and something is asserted."""
    text = path.read_text(encoding="utf-8")
    docstring = re.match(r'"""(.+?)"""', text, re.DOTALL)
    assert docstring is not None and 3 <= len(docstring[1].strip().splitlines()) <= 7
    assert re.search(r"^\s+assert |assert_allclose", text, re.MULTILINE)


def test_the_table_names_every_example() -> None:
    """Each file has one row, and each row a file."""
    rows = re.findall(r"^\| \[(\w+\.py)\]\(\1\)", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == [path.name for path in EXAMPLES]
