"""How long until the first answer: ``import seqdyn``, and the first fit where no loop has been compiled yet?

Every turn is a process of its own. The import is beside ``import torch, pandas, sklearn``, and may load no compiler.
The first fit finds an empty folder of compiled loops (NUMBA_CACHE_DIR), the second one what the first has left there.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
import warnings
from functools import partial

import numpy as np

from benchmarks.speed.protocol import Case, Comparison, Measured, Row, fresh, interleave

KINDS = ("GRU", "Elman", "LSTM")


def measure(quick: bool, threads: int) -> list[Row]:
    """Imports, then the first fit of every kind."""
    imports = {
        "import seqdyn": partial(fresh, imported, names=["seqdyn"]),
        "import torch, pandas, sklearn": partial(fresh, imported, names=["torch", "pandas", "sklearn"]),
    }
    asked = (Comparison(*imports, measure="share", bar=0.1),)
    rows = [interleave(Case({"what": "import"}, imports, asked), 3 if quick else 11, seed=0)]
    for kind in KINDS[:1] if quick else KINDS:
        rows.append(first_fits(kind, 1 if quick else 3, threads))
    return rows


def imported(names: list[str]) -> Measured:
    """Seconds of importing them all; no compiler may come along."""
    begin = time.perf_counter()
    for name in names:
        importlib.import_module(name)
    seconds = time.perf_counter() - begin
    if "numba" in sys.modules:
        raise AssertionError(f"Importing {', '.join(names)} loads numba.")
    return {"seconds": seconds}


def first_fits(kind: str, rounds: int, threads: int) -> Row:
    """The first and the second process, with a new folder in every round."""
    found: dict[str, dict[str, list[float]]] = {"first process": {"seconds": []}, "second process": {"seconds": []}}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for columns in found.values():
                seconds = fresh(fitted, threads=threads, environment={"NUMBA_CACHE_DIR": folder}, kind=kind)["seconds"]
                columns["seconds"].append(seconds)
    asked = [Comparison("first process", "second process", "excess", 8.0)]
    return Row({"what": f"first fit, {kind}"}, {}, asked, found)


def fitted(kind: str) -> Measured:
    """Seconds of two steps of training, imports included."""
    begin = time.perf_counter()
    seqdyn = importlib.import_module("seqdyn")
    x = np.random.default_rng(0).normal(size=(32, 50, 2)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(seqdyn, f"{kind}Regressor")(max_epochs=2, random_state=0).fit(x, x[:, :, :1])
    return {"seconds": time.perf_counter() - begin}
