"""Progress: what is shown, logged and told, and that nothing is without being asked for."""

import logging
import subprocess
import sys
import threading

import numpy as np
import pytest
import tqdm as bars

import seqdyn
from seqdyn.progress import Meter, Progress, nested, track


def told(**changed: object) -> list[Progress]:
    """What a callback sees of three units."""
    seen: list[Progress] = []
    list(track("abc", "search", "candidate", callback=seen.append, **changed))  # type: ignore[arg-type]
    return seen


# --- what is told ----------------------------------------------------------------------------------------------------


def test_seconds_left() -> None:
    """As long for each unit to come as for each that is done; unknown before the first, and without a total."""
    assert Progress("fit", 2, 8, "epoch", 3.0).seconds_left == 9.0
    assert Progress("fit", 9, 8, "epoch", 3.0).seconds_left == 0.0
    assert Progress("fit", 0, 8, "epoch", 3.0).seconds_left is None
    assert Progress("fit", 2, None, "epoch", 3.0).seconds_left is None


@pytest.mark.parametrize(
    "progress, text",
    [
        (Progress("fit", 3, 200, "epoch", 0.06, 0.0123), "fit: epoch 3 of 200, loss 0.0123, 4 s left"),
        (Progress("text", 3, None, "step", 7.0), "text: step 3"),
        (Progress("search", 1, 3, "candidate", 60.0, detail="GRU"), "search: candidate 1 of 3, GRU, 2 min left"),
        (Progress("fit", 1, 3, "epoch", 3600.0), "fit: epoch 1 of 3, 2 h 0 min left"),
        (Progress("fit", 5, 5, "epoch", 1.0), "fit: epoch 5 of 5, 0 s left"),
    ],
)
def test_in_words(progress: Progress, text: str) -> None:
    """One line."""
    assert str(progress) == text


def test_every_unit_is_told() -> None:
    """In order, with the total and the detail."""
    seen = told(describe=str.upper)
    assert [(one.what, one.done, one.total, one.unit, one.detail) for one in seen] == [
        ("search", number, 3, "candidate", detail) for number, detail in enumerate("ABC", 1)
    ]
    assert 0 <= seen[0].seconds <= seen[-1].seconds


def test_the_total_of_what_has_no_length() -> None:
    """Unknown, or as it is given."""
    seen: list[Progress] = []
    list(track(iter("ab"), "search", "candidate", callback=seen.append))
    list(track(iter("ab"), "search", "candidate", total=2, callback=seen.append))
    assert [one.total for one in seen] == [None, None, 2, 2]


def test_work_that_goes_on() -> None:
    """Counts what was done before, and its seconds."""
    seen: list[Progress] = []
    with Meter("fit", "epoch", 10, callback=seen.append, done=4, seconds=100.0) as meter:
        meter.advance()
    assert seen[0].done == 5 and seen[0].seconds >= 100.0


# --- stopping --------------------------------------------------------------------------------------------------------


def test_a_true_answer_stops() -> None:
    """After the unit that was asked about; anything false goes on."""
    assert list(track("abcd", "search", "candidate", callback=lambda now: now.done == 2)) == ["a", "b"]
    assert list(track("abcd", "search", "candidate", callback=lambda now: None)) == list("abcd")


def test_what_asked_to_stop_stays_stopped() -> None:
    """Whatever is said later."""
    with Meter("fit", "epoch", callback=lambda now: now.done == 1) as meter:
        assert [meter.advance(), meter.advance()] == [True, True] and meter.stopped


def test_an_error_of_the_callback_is_the_callers() -> None:
    """It is not swallowed, and the bar is closed."""
    with pytest.raises(ZeroDivisionError):
        list(track("ab", "search", "candidate", verbose=1, callback=lambda now: 1 / 0))
    assert not bars.tqdm._instances


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_silent_without_verbose(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No output, and no thread."""
    monkeypatch.setattr(bars.tqdm, "monitor", None)
    before = set(threading.enumerate())
    assert len(told()) == 3
    assert capfd.readouterr() == ("", "") and set(threading.enumerate()) <= before


def test_no_bar_is_loaded_without_verbose() -> None:
    """tqdm is imported by the first bar."""
    code = "import sys, seqdyn.progress as p; list(p.track('ab', 'a', 'b')); print('tqdm' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n" and found.stderr == ""


@pytest.mark.parametrize("verbose", [True, 1, 2])
def test_verbose_shows_a_bar(verbose: bool | int, capfd: pytest.CaptureFixture[str]) -> None:
    """On stderr: what runs, the units, the loss and the detail."""
    with Meter("fit", "epoch", 3, verbose) as meter:
        for loss in (3.0, 2.0, 1.234):
            meter.advance(loss, "rate=0.1")
    out, err = capfd.readouterr()
    assert out == "" and "fit:" in err and "3/3" in err and "loss=1.23, rate=0.1" in err


def test_the_bar_says_what_runs(capfd: pytest.CaptureFixture[str]) -> None:
    """Before the item is done."""
    for _ in track(["GRU", "LSTM"], "search", "candidate", verbose=1, describe=str):
        assert "GRU" in capfd.readouterr().err
        break


def test_bars_inside_bars(capfd: pytest.CaptureFixture[str]) -> None:
    """verbose=1 shows the outer work alone; 2 what runs inside too, whose bar vanishes when it is full."""

    def both(verbose: int) -> str:
        for _ in track(range(2), "backtest", "origin", verbose=verbose):
            list(track(range(2), "fit", "epoch", verbose=nested(verbose)))
        return capfd.readouterr().err

    assert "backtest" in (plain := both(1)) and "fit" not in plain
    assert "backtest" in (more := both(2)) and "fit" in more
    assert [nested(verbose) for verbose in (False, True, 0, 1, 2, 3)] == [0, 0, 0, 0, 1, 2]


# --- what is logged --------------------------------------------------------------------------------------------------


def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """INFO: beginning and end; DEBUG: every step; all on the logger ``seqdyn``."""
    with caplog.at_level(logging.DEBUG, "seqdyn"):
        told()
    assert {record.name for record in caplog.records} == {"seqdyn"}
    assert [record.levelname for record in caplog.records] == ["INFO", "DEBUG", "DEBUG", "DEBUG", "INFO"]
    assert caplog.messages[2].startswith("search: candidate 2 of 3")


def test_the_log_is_silent_by_default() -> None:
    """In a process that configures nothing, nothing is written."""
    code = "import seqdyn.progress as p; list(p.track('ab', 'a', 'b'))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")


def test_a_line_above_the_bar(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Where there is a bar, and in the log in any case."""
    for verbose in (0, 1):
        caplog.clear()
        with caplog.at_level("INFO", "seqdyn"), Meter("fit", "epoch", total=2, verbose=verbose) as meter:
            meter.say("compiled in 3 s")
        assert ("fit: compiled in 3 s" in capsys.readouterr().err) == bool(verbose)
        assert "fit: compiled in 3 s" in caplog.messages


def test_a_fit_says_that_it_compiled(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, once."""
    clock = iter([0.0, 3.5, 3.5, 3.5, 3.5])
    monkeypatch.setattr("seqdyn.training.loop.compile_seconds", lambda: next(clock))
    X = np.random.default_rng(0).normal(size=(60, 2))
    seqdyn.ElmanRegressor(max_epochs=3, random_state=0, verbose=1).fit(X, X[:, 0])
    assert capsys.readouterr().err.count("fit: compiled the loops over time in 3.5 s, once for this machine") == 1
