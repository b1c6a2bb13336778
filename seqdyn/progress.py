"""How far a long piece of work is: a bar, a log, and a callback that may end it early.

Nothing is shown, and no thread is started, unless ``verbose`` asks for a bar. The logger ``seqdyn`` is told what begins
and ends (INFO) and every step (DEBUG); it writes nothing until the user configures :mod:`logging`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Self, TypeVar

Tracked = TypeVar("Tracked")

LOGGER = logging.getLogger("seqdyn")


@dataclass(frozen=True)
class Progress:
    """How far a piece of work is, as a callback sees it.

    Attributes
    ----------
    what : str
        What runs: "fit", "backtest", "search", "report", …
    done : int
        Units that are finished.
    total : int or None
        Units there are at most; None where nobody knows.
    unit : str
        "epoch", "origin", "candidate", "section", …
    seconds : float
        Since the work began.
    loss : float or None
        Of the last unit, where it has one.
    detail : str
        What else is known of it.

    Examples
    --------
    >>> print(Progress("fit", done=3, total=5, unit="epoch", seconds=6.0, loss=0.0123))
    fit: epoch 3 of 5, loss 0.0123, 4 s left
    """

    what: str
    done: int
    total: int | None
    unit: str
    seconds: float
    loss: float | None = None
    detail: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Seconds to go if every unit takes as long as those so far did; None where the total is not known."""
        if self.total is None or not self.done:
            return None
        return self.seconds / self.done * max(0, self.total - self.done)

    def __str__(self) -> str:
        left = self.seconds_left
        parts = [
            f"{self.what}: {self.unit} {self.done}" + ("" if self.total is None else f" of {self.total}"),
            "" if self.loss is None else f"loss {self.loss:.3g}",
            self.detail,
            "" if left is None else f"{_duration(left)} left",
        ]
        return ", ".join(filter(None, parts))


Callback = Callable[[Progress], bool | None]
"""Called after every unit; a true answer asks to stop, and what was done so far is kept."""


class Meter:
    """Counts the finished units of a piece of work: a context manager for loops that are not over items.

    ``what``, ``unit`` and ``total`` are those of :class:`Progress`. Where ``verbose`` is 1 or more there is a bar on
    stderr, or a widget in a notebook. ``callback(Progress)`` is called after every unit, and a true answer asks to
    stop, which ``stopped`` tells. ``done`` units were finished in ``seconds``, in the work that this one continues.

    Examples
    --------
    >>> with Meter("fit", "epoch", total=3, callback=lambda progress: progress.done == 2) as meter:
    ...     [meter.advance(loss=1.0), meter.advance(loss=0.5)]
    [False, True]
    """

    def __init__(
        self,
        what: str,
        unit: str,
        total: int | None = None,
        verbose: bool | int = 0,
        callback: Callback | None = None,
        done: int = 0,
        seconds: float = 0.0,
    ):
        self.what, self.unit, self.total, self.verbose, self.callback = what, unit, total, int(verbose), callback
        self.done, self.stopped = done, False
        self._begun = time.monotonic() - seconds
        self._bar: Any = None

    def __enter__(self) -> Self:
        LOGGER.info("%s begins%s", self.what, "" if self.total is None else f": at most {self.total} × {self.unit}")
        if self.verbose > 0:
            from tqdm.auto import tqdm  # only here: it starts a thread, and looks for a notebook

            self._bar = tqdm(total=self.total, initial=self.done, unit=self.unit, desc=self.what)
            self._bar.leave = not self._bar.pos  # a bar inside another one vanishes when it is full
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        took = time.monotonic() - self._begun
        LOGGER.info("%s ended after %d × %s, %s", self.what, self.done, self.unit, _duration(took))

    def describe(self, text: str) -> None:
        """Say on the bar which unit runs now."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def say(self, text: str) -> None:
        """Write a line above the bar, where there is one, and to the log."""
        LOGGER.info("%s: %s", self.what, text)
        if self._bar is not None:
            self._bar.write(f"{self.what}: {text}", file=sys.stderr)

    def advance(self, loss: float | None = None, detail: str = "") -> bool:
        """Count one more unit; whether the callback asks to stop."""
        self.done += 1
        now = Progress(self.what, self.done, self.total, self.unit, time.monotonic() - self._begun, loss, detail)
        LOGGER.debug("%s", now)
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(filter(None, ["" if loss is None else f"loss={loss:.3g}", detail])))
            self._bar.update()
        self.stopped = self.stopped or bool(self.callback is not None and self.callback(now))
        return self.stopped


def track(
    items: Iterable[Tracked],
    what: str,
    unit: str,
    *,
    total: int | None = None,
    verbose: bool | int = 0,
    callback: Callback | None = None,
    describe: Callable[[Tracked], str] | None = None,
) -> Iterator[Tracked]:
    """Yield the items one by one, each of which is one unit of work; ends early where the callback asks for it.

    ``total`` is the length of ``items`` if None, where they have one. ``describe(item)`` is the detail that the bar
    shows while the item runs, and that the callback sees. The others are those of :class:`Meter`.

    Examples
    --------
    >>> list(track("abc", "search", "candidate", callback=lambda progress: progress.done == 2))
    ['a', 'b']
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    with Meter(what, unit, total, verbose, callback) as meter:
        for item in items:
            detail = "" if describe is None else describe(item)
            meter.describe(detail)
            yield item
            if meter.advance(detail=detail):
                return


def nested(verbose: bool | int) -> int:
    """The ``verbose`` of work that runs inside other work: one less, at least 0.

    Examples
    --------
    >>> nested(True), nested(2)
    (0, 1)
    """
    return max(0, int(verbose) - 1)


def _duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
