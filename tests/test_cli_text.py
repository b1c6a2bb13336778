"""`seqdyn text`: what the commands print is what the Python API gives, and every error is one line."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from seqdyn import GRU
from seqdyn.cli.main import app
from seqdyn.files import load, save

FIT = "text fit corpus.txt --out m.safetensors --hidden-size 8 --epochs 3"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a corpus."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("to be or not to be, that is the question\n" * 40)
    return tmp_path


def invoke(command: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, shlex.split(command))


def succeed(command: str) -> str:
    """What a command prints."""
    result = invoke(command)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_fit_generate_evaluate(folder: Path) -> None:
    """The model of the file writes and scores as it does in Python."""
    told = succeed(FIT)
    assert "symbols     15 characters" in told and "held out" in told and "saved       m.safetensors" in told
    model = load("m.safetensors")
    assert model.early_stopping and model.hidden_size == 8
    written = succeed('text generate m.safetensors --prompt "to be" --length 30 --temperature 0.7 --seed 3')
    assert written == "to be" + model.generate("to be", 30, temperature=0.7, random_state=3) + "\n"
    greedy = succeed("text generate m.safetensors --greedy --length 12")
    assert greedy == model.generate("", 12, "greedy") + "\n"
    line = succeed("text generate m.safetensors --stop '\\n' --seed 1 --length 2000")
    assert line == model.generate("", 2000, stop="\n", random_state=1) + "\n"
    scores = dict(row.split() for row in succeed("text evaluate m.safetensors corpus.txt").splitlines())
    expected = model.evaluate(folder / "corpus.txt")
    assert set(scores) == set(expected) and scores["symbols_scored"] == f"{40 * 41:,}"
    assert float(scores["bits_per_character"]) == pytest.approx(expected["bits_per_character"], abs=1e-4)


def test_words_without_a_held_out_part(folder: Path) -> None:
    """Words that are rare are unknown; several files are one text."""
    (folder / "more.txt").write_text("alas poor yorick\n")
    told = succeed("text fit corpus.txt more.txt --out w.safetensors --unit word --cell gru --hidden-size 4 --epochs 1 "
                   "--test-fraction 0 --layers 2 --dropout 0.1")  # fmt: skip
    model = load("w.safetensors")
    assert model.unit == "word" and model.min_count == 2 and model.num_layers == 2 and not model.early_stopping
    assert "held out" not in told and " yorick" not in model.vocabulary_.symbols
    assert "unknown_symbols" in succeed("text evaluate w.safetensors more.txt")


def test_without_a_command_it_helps(folder: Path) -> None:
    """The commands, with an example each."""
    told = succeed("text")
    assert "seqdyn text generate model.safetensors" in told and "evaluate" in told
    assert "text" in succeed("--help")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("text fit nowhere.txt --out m.safetensors", "No such file or directory: nowhere.txt"),
        ("text fit corpus.txt --out away/m.safetensors", "There is no folder"),
        ("text fit empty.txt --out m.safetensors", "The corpus is empty"),
        ("text fit old.txt --out m.safetensors", "old.txt is not utf-8: byte 0xdf at offset 3"),
        ("text fit corpus.txt --out m.safetensors --minutes 0", "max_time must be"),
        ("text fit corpus.txt", "Missing option '--out'"),
        ("text generate corpus.txt", "corpus.txt"),
        ("text generate cell.safetensors", "cell.safetensors holds a GRU, not a language model"),
        ("text generate m.safetensors --prompt ü", "'ü', character 0, is not in the vocabulary"),
        ("text generate m.safetensors --greedy --top-k 3", "strategy='greedy' always takes the likeliest"),
        ("text generate m.safetensors --temperature 0", "temperature must be"),
        ("text evaluate m.safetensors nowhere.txt", "No such file"),
        ("text evaluate m.safetensors empty.txt", "The text is empty"),
        ("text write m.safetensors", "No such command 'write'"),
    ],
)
def test_errors_are_one_line(folder: Path, command: str, message: str) -> None:
    """On stderr, with an exit code."""
    (folder / "empty.txt").write_text("")
    (folder / "old.txt").write_bytes(b"Flu\xdf\n")
    save("cell.safetensors", GRU(2, 3))
    if "m.safetensors" in command and "fit" not in command:
        succeed(FIT)
    result = invoke(command)
    assert result.exit_code in (1, 2) and message in result.stderr and len(result.stderr.splitlines()) == 1
