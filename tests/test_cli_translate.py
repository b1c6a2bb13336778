"""`seqdyn translate`: what the commands print is what the Python API gives, and every error is one line."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seqdyn.cells.gru import GRU
from seqdyn.cli.main import app
from seqdyn.files import load, save

FIT = (
    "translate fit de.txt en.txt --out m.safetensors --unit word --hidden-size 16 --embedding-size 8 --epochs 60 "
    "--dropout 0"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with pairs of sentences."""
    monkeypatch.chdir(tmp_path)
    words = {"eins": "one", "zwei": "two", "drei": "three"}
    draw = np.random.default_rng(0)
    rows = [draw.choice(list(words), draw.integers(1, 5)) for _ in range(300)]
    (tmp_path / "de.txt").write_text("\n".join(" ".join(row) for row in rows) + "\n")
    (tmp_path / "en.txt").write_text("\n".join(" ".join(words[word] for word in row) for row in rows) + "\n")
    return tmp_path


def invoke(command: str, stdin: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, shlex.split(command), input=stdin)


def succeed(command: str, stdin: str | None = None) -> str:
    """What a command prints."""
    result = invoke(command, stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_fit_and_predict(folder: Path) -> None:
    """The model of the file translates as it does in Python, from a file and from standard input."""
    told = succeed(FIT)
    assert "pairs       300, of which the last 30 are held out" in told and "BLEU" in told and "saved" in told
    model = load("m.safetensors")
    lines = (folder / "de.txt").read_text().splitlines()
    assert succeed("translate predict m.safetensors de.txt").splitlines() == model.predict(lines)
    narrow = model.set_params(beam_width=1).predict(["zwei eins"])
    assert succeed("translate predict m.safetensors --beam-width 1", "zwei eins\n").splitlines() == narrow
    assert succeed("translate predict m.safetensors", "zwei\n\n \neins\n").splitlines() == ["two", "", "", "one"]
    model.set_params(beam_width=1).save("narrow.safetensors")
    assert load("narrow.safetensors").beam_width == 1
    (folder / "one.txt").write_text("eins\u2028zwei\x0cdrei\r\nzwei\r\n")
    assert len(succeed("translate predict narrow.safetensors one.txt").split("\n")) == 3
    whole = succeed(f"{FIT} --attention none --test-fraction 0")
    assert "held out    " not in whole and load("m.safetensors").attention is None


def test_what_goes_wrong(folder: Path) -> None:
    """Files that do not belong together, are empty, are not there, or hold another model."""
    (folder / "short.txt").write_text("one\n")
    (folder / "empty.txt").write_text("")
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    save("gru.safetensors", GRU(2, 3))
    for command, message in (
        ("translate fit de.txt short.txt --out m.safetensors", "de.txt has 300 lines, short.txt 1"),
        ("translate fit empty.txt en.txt --out m.safetensors", "empty.txt is empty"),
        ("translate fit latin.txt en.txt --out m.safetensors", "byte 0xe9 at offset 3"),
        ("translate fit nowhere.txt en.txt --out m.safetensors", "nowhere.txt"),
        ("translate fit de.txt en.txt --out no/m.safetensors", "There is no folder"),
        ("translate predict gru.safetensors de.txt", "holds a GRU, not a translator"),
    ):
        result = invoke(command)
        assert result.exit_code in (1, 2) and message in result.stderr, command
        assert len(result.stderr.splitlines()) == 1


def test_help_names_the_commands() -> None:
    """Without a subcommand it says what there is."""
    assert "translate predict" in succeed("translate")
