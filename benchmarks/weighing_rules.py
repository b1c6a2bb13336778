"""Do the rules by which AutoForecaster weighs its members depend on the collections that they were chosen on?

    python benchmarks/weighing_rules.py [--sets austres lynx …]

Scores AutoForecaster(network=None) on the nine collections of ``forecasting/development.json.gz`` under many rules: the
power of the errors, how far series lean on all of them, how many variants of a member are mixed, and whether members
count alike before any error is known. Then every collection is scored by the rule that is best on the other eight
(geometric mean of MASE / the better of the stored AutoETS and AutoTheta). Prints that, the shipped rule, and the range
over all rules.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
import warnings
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from measure import data_folder, machine

from seqdyn import AutoForecaster
from seqdyn.forecasting import candidates, weighing

RULES = [
    {"POWER": power, "LEANING": leaning, "BEST": best, "prior": prior}
    for power, leaning, best, prior in product((2.0, 4.0, 8.0), (1.0, 5.0, 25.0), (1, 3), (True, False))
]
SHIPPED = {"POWER": weighing.POWER, "LEANING": weighing.LEANING, "BEST": weighing.BEST, "prior": True}
PRIOR = dict(candidates.MEMBER_PRIOR)


def rows_of(one: dict[str, Any], cut: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is known before an origin, and what came."""
    known, came = [], []
    for own in one["series"]:
        last = len(own["y"]) - one["horizon"] - cut
        times = pd.date_range(own["start"], periods=len(own["y"]), freq=one["freq"])
        frame = pd.DataFrame({"unique_id": own["id"], "ds": times, "y": own["y"]})
        known.append(frame[:last])
        came.append(frame[last : last + one["horizon"]])
    return pd.concat(known, ignore_index=True), pd.concat(came, ignore_index=True)


def scale(values: np.ndarray, m: int) -> float:
    """Q of MASE; of one step where that of the season is 0 or not known."""
    change = np.abs(values[m:] - values[:-m]) if len(values) > m else np.zeros(0)
    return float(change.mean()) if len(change) and change.mean() > 0 else float(np.abs(np.diff(values)).mean())


def mase(one: dict[str, Any]) -> float:
    """The mean over series and origins."""
    errors: list[float] = []
    for cut in one["back"]:
        known, came = rows_of(one, cut)
        both = came.merge(AutoForecaster(network=None).fit(known).forecast(one["horizon"]), on=["unique_id", "ds"])
        off = (both["y"] - both["mean"]).abs().groupby(both["unique_id"]).mean()
        q = known.groupby("unique_id")["y"].apply(lambda own: scale(own.to_numpy(), one["mase_m"]))
        errors += (off / q)[q > 0].tolist()
    return float(np.mean(errors))


def applied(rule: dict[str, Any]) -> None:
    """Put a rule in the place of the shipped one."""
    for name in ("POWER", "LEANING", "BEST"):
        setattr(weighing, name, rule[name])
    candidates.MEMBER_PRIOR.clear()
    candidates.MEMBER_PRIOR.update(PRIOR if rule["prior"] else {})


def mean(ratios: np.ndarray) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    data = json.load(gzip.open(data_folder() / "forecasting" / "development.json.gz", "rt"))
    names = given.sets or list(data)
    bar = np.array([min(peer["MASE"] for peer in data[name]["peers"].values()) for name in names])
    print(machine(), flush=True)
    began, table = time.time(), []
    for rule in RULES:
        applied(rule)
        table.append(np.array([mase(data[name]) for name in names]) / bar)
        print(
            rule, f"{mean(table[-1]):.3f}", np.round(table[-1], 2).tolist(), f"{time.time() - began:.0f} s", flush=True
        )
    ratios = np.array(table)
    left_out = []
    for number, name in enumerate(names):
        others = np.delete(ratios, number, axis=1)
        best = int(np.argmin([mean(row) for row in others]))
        left_out.append(ratios[best, number])
        print(f"{name:10s} {left_out[-1]:.3f} by the rule that is best on the others: {RULES[best]}")
    means = [mean(row) for row in ratios]
    behind = int((np.array(left_out) > 1.05).sum())
    print(f"rules settled on the others: {mean(np.array(left_out)):.3f}, behind by more than 5 % on {behind}")
    print(f"the shipped rule {means[RULES.index(SHIPPED)]:.3f}; all rules {min(means):.3f} to {max(means):.3f}")


if __name__ == "__main__":
    main()
