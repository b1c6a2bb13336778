"""No test of the data goes to the network; real files are read where they are, else the test is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seqdyn import datasets

FOLDER = Path(os.environ.get("SEQDYN_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every download fails at once."""

    def refuse(*arguments, **options):
        raise ConnectionError("the network is blocked in this test")

    monkeypatch.setattr("pooch.retrieve", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.fixture
def local(monkeypatch):
    """Point SEQDYN_DATA to the folder of development data; ``local(name)`` skips where the file is missing."""
    monkeypatch.setenv("SEQDYN_DATA", str(FOLDER))

    def need(*names):
        for name in names:
            if not (FOLDER / datasets.SOURCES[name].file).is_file():
                pytest.skip(f"{datasets.SOURCES[name].file} is not in SEQDYN_DATA or ../shared/data")

    return need
