"""One JSON file a benchmark: when, where and with what it was measured, and every round."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.speed.protocol import Row

FOLDER = Path(__file__).parents[1] / "results"

SEED = 0
"""What orders, data and weights are drawn from; where several processes do the same, they count up from it."""

PACKAGES = (
    "torch", "numpy", "numba", "scipy", "scikit-learn", "statsmodels", "neuralforecast", "darts", "skorch",
    "pytorch-lightning",
)  # fmt: skip


def surroundings() -> dict[str, Any]:
    """The machine and the versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    processor = models[0] if models else platform.processor()
    return {"processor": processor, "cores": os.cpu_count(), "versions": versions}


def write(name: str, rows: list[Row], *, quick: bool, threads: int, load: tuple[float, float], folder: Path) -> Path:
    """Store what was measured; ``load`` is the machine's before and after."""
    head: dict[str, Any] = {"name": name, "date": datetime.date.today().isoformat(), "quick": quick, "seed": SEED}
    head |= {"threads": threads, "load": load}
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in (head | surroundings()).items()]
    stored = [f"  {json.dumps(rounded(row.stored()), ensure_ascii=False)}" for row in rows]
    path.write_text("\n".join(["{", *lines, ' "rows": [', ",\n".join(stored), " ]", "}", ""]), encoding="utf-8")
    return path


def read(name: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """What is stored of a benchmark, or None; its rows as :class:`Row`."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return found | {"rows": [Row.read(row) for row in found["rows"]]}


def rounded(value: Any) -> Any:
    """Numbers to five digits, in any nest of lists and dicts."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
