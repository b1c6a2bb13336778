"""How the benchmarks measure: contestants take turns in one process, and every round gives one ratio."""

from __future__ import annotations

import gc
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def machine() -> str:
    """One line: processor, cores, threads, versions, load."""
    load = os.getloadavg()[0]
    names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return (
        f"{processor}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}, load {load:.2f} at the start"
    )


def take_turns(contestants: dict[str, Callable[[], object]], rounds: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Seconds of every contestant in every round; the order within a round is drawn, the first run is not counted."""
    order = np.random.default_rng(seed)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(rounds):
        for name in order.permutation(list(contestants)):
            gc.collect()
            begin = time.perf_counter()
            contestants[str(name)]()
            seconds[str(name)].append(time.perf_counter() - begin)
    return {name: np.array(values) for name, values in seconds.items()}


def report(seconds: dict[str, np.ndarray], ours: str, peer: str, per: float, unit: str) -> float:
    """Print medians and the paired ratio with its quartiles; returns the median ratio."""
    for name, values in seconds.items():
        print(f"    {name:<28} median {np.median(values) * per:9.3f} {unit}   min {values.min() * per:9.3f}")
    ratio = seconds[ours] / seconds[peer]
    low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
    print(f"    ratio {ours} / {peer}: {middle:.3f}  (quartiles {low:.3f} to {high:.3f}, {len(ratio)} rounds)")
    return float(middle)


def data_folder() -> Path:
    """Where the data of others are: SEQDYN_DATA, else ../shared/data beside the checkout."""
    folder = Path(os.environ.get("SEQDYN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"There is no data in {folder}: set SEQDYN_DATA to the folder that holds it.")
    return folder
