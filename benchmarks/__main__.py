"""``python -m benchmarks list | run NAME … [--quick] [--threads 2] | table``.

``list`` names every benchmark and script with the question it asks. ``run`` runs benchmarks of speed and stores their
rounds under ``benchmarks/results/`` (``all``: each of them), or one script with what follows its name. ``table`` writes
the section *Speed* of ``benchmarks/README.md``, and ``benchmarks/speed.png``, from what is stored.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.speed import NAMES
from benchmarks.speed.questions import question

FOLDER = Path(__file__).parent
NO_SCRIPTS = ("__init__", "__main__", "measure")


def scripts() -> dict[str, str]:
    """Every script beside this file, and its question."""
    paths = [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in NO_SCRIPTS]
    return {path.stem: question(path) for path in paths}


def listed() -> str:
    """All names, one a line."""
    speed = {name: question(FOLDER / "speed" / f"{name}.py") for name in NAMES}
    lines = [f"  {name:<28} {asked}" for name, asked in speed.items()]
    others = [f"  {name:<28} {asked}" for name, asked in scripts().items()]
    return "\n".join(["speed, stored and shown in README.md:", *lines, "", "scripts, which print:", *others])


def run(name: str, quick: bool, threads: int, folder: Path) -> None:
    """Measure one benchmark of speed, and store it."""
    from benchmarks.speed import results

    begin, before = time.perf_counter(), os.getloadavg()[0]
    rows = importlib.import_module(f"benchmarks.speed.{name}").measure(quick, threads)
    load = (before, os.getloadavg()[0])
    path = results.write(name, rows, quick=quick, threads=threads, load=load, folder=folder)
    print(f"{name}: {time.perf_counter() - begin:.0f} s, stored in {path}")


def write_table() -> None:
    """The section of README.md, and the figure where anything is stored."""
    from benchmarks.speed import figure, results, table

    table.README.write_text(table.with_section(table.README.read_text(encoding="utf-8"), table.written()), "utf-8")
    print(f"wrote {table.README}")
    if any((results.FOLDER / f"{name}.json").exists() for name in figure.DRAWN):
        figure.draw()
        print(f"wrote {figure.PICTURE}")


def main() -> None:
    """Read the command line."""
    from benchmarks.speed.results import FOLDER as RESULTS

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name every benchmark and script")
    commands.add_parser("table", help="write the section Speed of README.md, and speed.png")
    running = commands.add_parser("run", help="run benchmarks of speed, or one script")
    running.add_argument("names", nargs="+", metavar="NAME", help=f"{', '.join(NAMES)}, all, or a script")
    running.add_argument("--quick", action="store_true", help="few rounds, to see whether it works")
    running.add_argument("--threads", type=int, default=2, help="of every contestant")
    running.add_argument("--folder", type=Path, default=RESULTS, help="where results are stored")
    chosen, rest = parser.parse_known_args()
    if chosen.command == "list":
        print(listed())
    elif chosen.command == "table":
        write_table()
    elif chosen.names[0] in scripts():
        script = FOLDER / f"{chosen.names[0]}.py"
        raise SystemExit(subprocess.run([sys.executable, script, *chosen.names[1:], *rest]).returncode)
    else:
        names = list(NAMES) if chosen.names == ["all"] else chosen.names
        if rest or (unknown := [name for name in names if name not in NAMES]):
            parser.error(f"unknown: {' '.join(rest or unknown)}. python -m benchmarks list names what there is.")
        for name in names:
            run(name, chosen.quick, chosen.threads, chosen.folder)


if __name__ == "__main__":
    main()
