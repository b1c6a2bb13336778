"""What does a stability report cost, and does its memory grow with the length of the data?

- ``report``: the standard report of an LSTM, H 64, T 500, 8 sequences, with its page and its JSON, in a fresh process
  on one and on two threads. Bar: 20 s and 2 GB on two cores.
- ``parts``: seconds of the standard report by instrument, and of its page.
- ``long``: one sequence of 10⁴ and of 10⁵ steps, H 16, all of them measured (``max_steps=None``), each in a fresh
  process. Bar: the peak does not grow.

    python benchmarks/stability_report.py [--what report parts long]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jacobians import peak
from measure import machine
from torch import Tensor

from seqdyn import stability_report
from seqdyn.cells.lstm import LSTM
from seqdyn.reports.theme import Examination


def driven(hidden: int, series: int, steps: int) -> tuple[LSTM, Tensor]:
    """A fresh LSTM of three inputs, and noise."""
    generator = torch.Generator().manual_seed(0)
    return LSTM(3, hidden, generator=generator), torch.randn(series, steps, 3, generator=generator)


def warm_up() -> None:
    """Imports, fonts and kernels."""
    cell, x = driven(4, 3, 40)
    stability_report(cell, x, required_lag=10).to_html()


class Spent(NamedTuple):
    """Seconds by the clock, and of processors: on a busy machine only the latter say anything."""

    clock: float
    processors: float

    def __str__(self) -> str:
        return f"{self.clock:.2f} s ({self.processors:.2f} of processors)"


def timed(call: Callable[[], Any]) -> tuple[Any, Spent]:
    clock, processors = time.perf_counter(), time.process_time()
    found = call()
    return found, Spent(time.perf_counter() - clock, time.process_time() - processors)


def once(hidden: int, series: int, steps: int, threads: int, options: dict[str, Any], warm: bool) -> None:
    """Print what one report takes, in seconds and in memory of the whole process."""
    torch.set_num_threads(threads)
    if warm:
        warm_up()
    cell, x = driven(hidden, series, steps)
    start = peak()
    report, seconds = timed(lambda: stability_report(cell, x, **options))
    measured = peak()
    page, writing = timed(report.to_html)
    text, dumping = timed(report.to_json)
    errors = report.content["counts"]["ERROR"]
    print(
        f"    H {hidden}, T {steps}, {series} sequences, {threads} thread(s){'' if warm else ', cold'}: report "
        f"{seconds}, page {writing} ({len(page) / 2**10:.0f} KiB), JSON {dumping} "
        f"({len(text) / 2**10:.0f} KiB); peak {peak():.0f} MiB, {measured - start:.0f} above the start; "
        f"{report.verdict} at lag {report.content['subject']['required_lag']}, {errors} errors",
        flush=True,
    )


def alone(*what: object) -> None:
    """Measure in a process of its own: the peak of a process never falls."""
    threads = what[3]
    code = f"import stability_report; stability_report.once(*{what!r})"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=sys.path[0], env=environment)


def report() -> None:
    for threads in (1, 2):
        alone(64, 8, 500, threads, {}, False)
        alone(64, 8, 500, threads, {}, True)
    alone(64, 8, 500, 1, {"tier": "fast"}, True)
    alone(64, 8, 500, 1, {"tier": "full"}, True)


@contextmanager
def watched(seconds: dict[str, Spent]) -> Any:
    """Note what every instrument takes."""
    own = Examination.value

    def value(self: Any, name: str, instrument: Callable[[], Any]) -> Any:
        found, seconds[name] = timed(lambda: own(self, name, instrument))
        return found

    Examination.value = value  # type: ignore[method-assign]
    try:
        yield
    finally:
        Examination.value = own  # type: ignore[method-assign]


def parts() -> None:
    warm_up()
    cell, x = driven(64, 8, 500)
    seconds: dict[str, Spent] = {}
    with watched(seconds):
        found, whole = timed(lambda: stability_report(cell, x))
    rest = [total - sum(parts) for total, *parts in zip(whole, *seconds.values(), strict=True)]
    seconds["the page"] = timed(found.to_html)[1]
    for name, value in sorted(seconds.items(), key=lambda pair: -pair[1].processors):
        print(f"    {name:<18} {value}", flush=True)
    print(f"    {'the rest':<18} {Spent(*rest)}")


def long() -> None:
    for options in ({"max_steps": None}, {"max_steps": None, "tier": "fast"}):
        for steps in (10**4, 10**5):
            alone(16, 1, steps, 1, {"max_sequences": 1, **options}, True)


def main() -> None:
    questions = {"report": report, "parts": parts, "long": long}
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--what", nargs="+", choices=questions, default=list(questions))
    options = arguments.parse_args()
    print(machine())
    for question in options.what:
        print(question, flush=True)
        questions[question]()


if __name__ == "__main__":
    main()
