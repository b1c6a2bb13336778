"""A salamander is learnt from what it does: it swims, walks and turns by its drive, and a single neuron steers it.

A simulated spinal cord walks at low drive and swims at high drive. A GRU that has seen drives and joint angles runs
free under drives that it has not met: gait, frequency and the wave along the body are right. A linear model reproduces
one gait, and cannot learn both. Held at nine values, a neuron turns the animal in proportion. What makes the rhythm is
one stable cycle. With a folder as argument it draws figures, and an animated salamander.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from seqdyn import (
    ARXRegressor,
    Autoregression,
    GRURegressor,
    MotionModel,
    motion_report,
    steering_map,
    steering_neurons,
)
from seqdyn.datasets import load_salamander
from seqdyn.motion import animate_salamander, plot_joint_angles, plot_steering_map, rhythm

RATE, WARMUP, FREE = 20.0, 40, 300
BODY = list(range(8))


def watched(drive: object, seconds: float, discard: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Drives and joint angles of the simulated animal, (time, 2) and (time, 12)."""
    frame = load_salamander(1, seconds, rate=RATE, drives=drive, discard=discard).loc[0]
    values = frame.drop(columns="gait").to_numpy(dtype=float)
    return values[:, :2], values[:, 2:]


def train() -> tuple[MotionModel, MotionModel]:
    """A GRU, and a linear model, on twelve animals whose drives go up and down."""
    data = load_salamander(12, seconds=40.0, rate=RATE, random_state=0)
    drive, angles = data.iloc[:, :2], data.iloc[:, 2:14]
    network = GRURegressor(hidden_size=48, window=60, stride=12, learning_rate=1e-2, schedule="cosine", max_epochs=20,
                           autoregression=Autoregression(free_run=40), random_state=0)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        learnt = MotionModel(network, rate=RATE).fit(drive, angles)
    return learnt, MotionModel(ARXRegressor(output_lags=0, input_lags=1), rate=RATE).fit(drive, angles)


def main(folder: Path | None = None) -> None:
    model, linear = train()
    print("drive   animal: wave, Hz, lag      model, left to itself for 15 s")
    errors = []
    for level in (1.8, 2.6, 3.4, 4.7):
        drive, angles = watched(level, (WARMUP + FREE) / RATE)
        true, found = rhythm(angles[WARMUP:], RATE), rhythm(model.free_run(drive, angles[:WARMUP]))
        errors.append((true.wave(BODY) == found.wave(BODY), abs(found.frequency / true.frequency - 1)))
        shown = (f"{one.wave(BODY):10} {one.frequency:.3f} {one.lags(BODY)[2]:.3f}" for one in (true, found))
        print(f"  {level}   " + "     ".join(shown))

    drive, angles = watched(np.repeat([2.0, 4.0], 200), 20.0)
    own = MotionModel(ARXRegressor(output_lags=0, input_lags=1), rate=RATE).fit(None, angles[:200])
    one_gait = rhythm(own.free_run(None, angles[:50], 150)).frequency
    crossed = [one.run(drive[100:], angles[100:150]).angles.values[150:] for one in (model, linear)]
    animal, learnt, both = (rhythm(part, RATE).frequency for part in (angles[300:], *crossed))
    print(f"walking, Hz: animal 0.400, a linear model of this gait alone {one_gait:.3f}")
    print(f"from walking to swimming, Hz: animal {animal:.3f}, GRU {learnt:.3f}, linear model of both {both:.3f}")

    drive, angles = watched(4.0, WARMUP / RATE)
    options = {"drive": [4.0, 4.0], "start": angles, "steps": 160, "joints": BODY}
    ranked = steering_neurons(model, "turning", values=5, **options)
    best = ranked[ranked["monotone"]].index[0]
    doses = steering_map(model, "turning", [best], **options)
    print(f"turning by {best}, rad:", doses.values[0].round(3))

    report = motion_report(model, [4.0, 4.0], angles, steps=200, starts=8)
    print(report.reason)
    if folder is not None:
        draw(model, folder)
        plot_steering_map(steering_map(model, "turning", **options), unit="rad").savefig(folder / "steering_map.png")
        report.plot().savefig(folder / "motion_report.png")
    assert all(gait and error < 0.03 for gait, error in errors)
    assert abs(one_gait - 0.4) < 0.004 and abs(learnt / animal - 1) < 0.03 < 0.2 < abs(both / animal - 1)
    assert ranked.loc[best, "monotone"] and ranked.loc[best, "effect"] > 0.05
    assert report.verdict == "LIMIT CYCLE" and report.content["cycle"]["residual"] < 1e-8


def draw(model: MotionModel, folder: Path) -> None:
    """The model swims, walks and turns: joint angles over time, and the animal."""
    levels = np.array([[4.0, 4.0], [2.0, 2.0], [4.4, 3.6]]).repeat(200, axis=0)
    drive, angles = watched(levels[:WARMUP], WARMUP / RATE)
    run = model.free_run(np.concatenate([drive, levels]), angles)
    gaits = np.repeat(["swimming", "walking", "turning"], 200).tolist()
    plot_joint_angles(run, gaits=gaits, title="Steered by its drive").savefig(folder / "joint_angles.png")
    animate_salamander(run, folder / "salamander.gif", frames_per_second=10, labels=gaits)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
