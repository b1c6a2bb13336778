"""The measure of the contract: a new kind of training is a short file on public names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FILES = sorted(path for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_objective_is_short(path: Path) -> None:
    """At most 60 lines with its data and its test, and nothing private."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 60 and len(FILES) == 5
    assert not [line for line in lines if re.search(r"[.\s]_[a-z]\w+", line.replace("__init__", ""))]
