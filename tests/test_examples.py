"""Every example runs without a warning and ends by asserting its number; the table names every one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from seqdyn import registry

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``main()`` runs, prints something, and leaves no file behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_OWN", {})  # what an example registers ends with it
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main()
    assert capsys.readouterr().out
    assert not list(tmp_path.iterdir())


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
