"""Does a corpus of 10⁸ characters need more memory than one of 10⁶? It is made here, and encoded once into a file.

Each corpus is learnt in a process of its own for the same number of steps, and scored on its first characters. What is
told is the most memory that was resident, with torch and all, and how much of it in the end is the process's own; the
rest are pages of files, code and corpus, which the system may drop whenever it needs the room.

    python benchmarks/long_corpus.py [--symbols 1e6 1e8]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from measure import machine

CHILD = "--child"


def write(path: Path, symbols: int) -> None:
    """Lines of words that are drawn from a few thousand, in pieces."""
    draw = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(draw.choice(letters, draw.integers(2, 9))) for _ in range(4000)]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < symbols:
            lines = (" ".join(words[k] for k in row) for row in draw.zipf(1.3, (2000, 10)) % len(words))
            file.write("\n".join(lines)[: symbols - file.tell()])


def learn(path: Path) -> None:
    """Fit, and say what it took."""
    from seqdyn import LanguageModel

    warnings.simplefilter("ignore")
    began = time.monotonic()
    model = LanguageModel(hidden_size=128, max_steps=100, random_state=0).fit(path)
    seconds = time.monotonic() - began
    with path.open(encoding="utf-8") as file:
        score = model.score(file.read(20_000))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "own": own, "score": score}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=float, nargs="+", default=[1e6, 1e7, 1e8])
    given = parser.parse_args()
    print(machine())
    print("\n| characters | file, MB | most memory, MB | its own | seconds | nats |\n|---|---|---|---|---|---|")
    own = []
    with tempfile.TemporaryDirectory() as folder:
        for symbols in map(int, given.symbols):
            path = Path(folder) / "corpus.txt"
            write(path, symbols)
            out = subprocess.run(
                [sys.executable, __file__, CHILD, path], capture_output=True, text=True, check=True
            ).stdout
            found = json.loads(out)
            own.append(found["own"])
            cost = (
                f"{path.stat().st_size / 2**20:.0f} | {found['peak']:.0f} | {found['own']:.0f} | {found['seconds']:.0f}"
            )
            print(f"| {symbols:.0e} | {cost} | {-found['score']:.2f} |", flush=True)
    growth = own[-1] - own[0]
    print(f"the longest needs {growth:.0f} MB more of its own than the shortest")
    raise SystemExit(growth > 50)


if __name__ == "__main__":
    learn(Path(sys.argv[2])) if sys.argv[1:2] == [CHILD] else main()
