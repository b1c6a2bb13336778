"""`seqdyn images`: what the commands write is what the Python API gives, and every error is one line."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from seqdyn.cells.gru import GRU
from seqdyn.cli.main import app
from seqdyn.files import load, save

FIT = "images fit bars.npy --out m.safetensors --hidden-size 4 --epochs 2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with grey pictures of which one column is ink."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    bars = np.eye(4)[draw.integers(4, size=60)][:, None].repeat(4, 1) * draw.integers(9, 16, size=(60, 4, 4))
    np.save("bars.npy", (bars > 8).astype(np.uint8))
    np.save("grey.npy", bars)
    np.save("three.npy", (bars > 8)[:, None].repeat(3, 1).astype(np.uint8))
    return tmp_path


def invoke(command: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, shlex.split(command))


def succeed(command: str) -> str:
    """What a command prints."""
    result = invoke(command)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("model", ["row", "diagonal", "draw", "draw-attention"])
def test_fit_and_sample(folder: Path, model: str) -> None:
    """The model of the file draws as it does in Python."""
    size = "--glimpses 2" if "draw" in model else "--layers 2"
    told = succeed(f"{FIT} --model {model} {size}")
    assert "(60, 4, 4), of which the last 6 are held out" in told and "nats a picture" in told and "saved" in told
    assert ("a bound" in told) == ("draw" in model)
    own = load("m.safetensors")
    assert "wrote 5 pictures" in succeed("images sample m.safetensors --n 5 --seed 3 --out s.npy")
    assert np.array_equal(np.load("s.npy"), own.sample(5, random_state=3))
    succeed("images sample m.safetensors --n 20 --out s.png")
    assert Path("s.png").read_bytes().startswith(b"\x89PNG")


def test_complete(folder: Path) -> None:
    """A hidden half, exactly or not; a mask from a file."""
    succeed(f"{FIT} --test-fraction 0")
    own, bars, known = load("m.safetensors"), np.load("bars.npy"), np.zeros((4, 4), dtype=bool)
    known[:2] = True
    told = succeed("images complete m.safetensors bars.npy --n 2 --seed 1 --out c.npy")
    assert "p(hidden | known), exactly" in told
    assert np.array_equal(np.load("c.npy"), own.complete(bars, known, 2, random_state=1).images)
    for half in ("upper", "left", "right"):
        assert "not exactly" in succeed(f"images complete m.safetensors bars.npy --hide {half} --n 1 --out c.npy")
    np.save("mask.npy", known)
    succeed("images complete m.safetensors grey.npy --threshold 8 --mask mask.npy --n 2 --seed 1 --out d.npy")
    assert np.load("d.npy").shape == (60, 2, 4, 4)
    np.save("few.npy", bars[:3, None])
    succeed("images complete m.safetensors few.npy --out c.png")
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")


def test_grey_and_colour(folder: Path) -> None:
    np.save("levels.npy", np.load("grey.npy").astype(int) // 4)
    succeed("images fit levels.npy --levels 4 --out l.safetensors --hidden-size 4 --epochs 1 --minutes 1")
    assert load("l.safetensors").levels == 4
    succeed("images sample l.safetensors --n 2 --out l.png")
    succeed("images fit three.npy --model draw --glimpses 2 --out t.safetensors --hidden-size 4 --epochs 1")
    succeed("images sample t.safetensors --n 2 --out t.png")
    assert load("t.safetensors").channels == 3


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("images fit nothing.npy --out m.safetensors", "No such file"),
        ("images fit grey.npy --out m.safetensors", "expected whole numbers, 0 and 1"),
        ("images fit bars.npy --out nowhere/m.safetensors", "There is no folder"),
        ("images fit text.txt --out m.safetensors", "no NumPy file of numbers"),
        ("images fit several.npz --out m.safetensors", "holds several arrays"),
        ("images sample gru.safetensors --out s.npy", "holds a GRU, not a model of pictures"),
        ("images sample gru.safetensors --out s.gif", "writes .npy or .png"),
        ("images fit bars.npy --out m.safetensors --device tpu", "--device must be"),
        ("images fit bars.npy --out m.safetensors --model draw --levels 4", "--levels is no option of --model draw"),
        ("images fit bars.npy --out m.safetensors --glimpses 4", "--glimpses is no option of --model diagonal"),
        ("images fit row.npy --out m.safetensors", "expected (pictures, height, width)"),
    ],
)
def test_errors(folder: Path, command: str, message: str) -> None:
    Path("text.txt").write_text("no numbers")
    np.savez("several.npz", a=np.zeros(3))
    np.save("row.npy", np.zeros(3))
    save("gru.safetensors", GRU(1, 1))
    result = invoke(command)
    assert result.exit_code == 1 and message in result.output and result.output.count("\n") == 1


def test_completing_needs_pixels(folder: Path) -> None:
    succeed(f"{FIT} --model draw --glimpses 1")
    result = invoke("images complete m.safetensors bars.npy --out c.npy")
    assert result.exit_code == 1 and "fit one with --model row or diagonal" in result.output
    assert "images fit" in succeed("images")
