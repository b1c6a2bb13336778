"""What a benchmark or a script asks: the first sentence of its docstring."""

from __future__ import annotations

import ast
from pathlib import Path


def question(path: Path) -> str:
    """The first paragraph of a docstring in one line; nothing is imported."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ")
