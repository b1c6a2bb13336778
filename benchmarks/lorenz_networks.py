"""How long do a GRU and an LSTM foretell the Lorenz system, and is what they dream the same attractor?

Lorenz-63 (σ 10, ρ 28, β 8/3), noise-free, a step of 0.02: 10,000 steps to learn from in ten minutes on one core, and a
disjoint later stretch to be scored on. A network sees the last state and says the next; from the end of a warm-up of
100 true states it runs on its own output. The valid prediction time is in Lyapunov times, λ = 0.9056, ε = 0.4, over
100 starts. The exponents are those of the trained network in closed loop; D_stsp and D_H compare 10,000 steps of it
with the truth, beside the score of truth itself.

``--forcing`` compares what a training may show of the past, at equal time and one seed: everything, a share that falls
from 1 to 0 (scheduled), every n-th state (sparse), a mixture (generalised), and a mixture of the strength that the
Jacobians ask for, measured anew six times on the way.

    python benchmarks/lorenz_networks.py [--network LSTM GRU] [--seeds 0 1 2] [--minutes 10] [--keep FOLDER]
    python benchmarks/lorenz_networks.py --forcing [--network LSTM] [--minutes 3]

``--validate`` trains on the first 8,000 steps and scores the other 2,000: there the settings were chosen.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from measure import machine
from sklearn.exceptions import ConvergenceWarning

import seqdyn
from seqdyn import Autoregression
from seqdyn.autoregression import Past
from seqdyn.dynamics.forcing import recommended_alpha
from seqdyn.dynamics.lyapunov import lyapunov_spectrum
from seqdyn.metrics import power_spectrum_error, state_space_divergence, valid_prediction_time
from seqdyn.state import map_leaves
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.simulate import simulate
from seqdyn.teacher_forcing import TeacherForcing

Array = np.ndarray[Any, Any]

DT, EXPONENT, EPSILON = 0.02, 0.9056, 0.4
LEARNT, LATER, KEPT_BACK = 10_000, 22_000, 2_000
WARMUP, HORIZON, STARTS = 100, 900, 100
DREAM = 10_000
SPECTRUM = (0.906, 0.0, -14.57)
"""The exponents of the system itself, per unit of time."""
BAR = 6.0

COMMON: dict[str, Any] = {
    "skip": True,
    "linear_start": 1e-8,
    "hidden_size": 32,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "max_epochs": 10**6,
    "n_iter_no_change": 10**6,
}
"""Of both networks. The readout sees the last state, too, and begins as the best linear map, which errs by 0.12
standard deviations where a step is 0.15. Nothing but the time ends a training."""

NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LSTM": (seqdyn.LSTMRegressor, {"window": 100, "stride": 25, "warmup": 20, "batch_size": 16}),
    "GRU": (seqdyn.GRURegressor, {"bptt_length": 20, "streams": 100}),
}

FORCINGS: dict[str, TeacherForcing | None] = {
    "full": TeacherForcing(),
    "scheduled, 1 to 0": TeacherForcing(schedule="linear", warmup=20),
    "sparse, every 10th": TeacherForcing(every=10, warmup=20),
    "sparse, every 38th": TeacherForcing(every=38, warmup=20),
    "generalised, α = 0.5": TeacherForcing(alpha=0.5, warmup=20),
    "generalised, α = 0.1": TeacherForcing(alpha=0.1, warmup=20),
    "generalised, α measured": None,
}
"""38 steps are ln 2/λ, the time in which an error doubles. Windows find their state on true values, as forecasts do."""

ROUNDS, LEAST = 6, 1e-3


class Data(NamedTuple):
    """A series to learn from, a later one to be scored on, both (time, 3), and the standard deviations of both."""

    learnt: Array
    later: Array
    scale: Array


def split(validate: bool) -> Data:
    """A trajectory on the attractor, in float64, cut in two; the last training steps are the later ones to validate."""
    series = np.asarray(simulate(Lorenz(dt=DT).double(), LEARNT + LATER + 1, discard=2000)[0])
    begin, end = (LEARNT - KEPT_BACK, LEARNT) if validate else (LEARNT, len(series) - 1)
    return Data(series[: begin + 1], series[begin + 1 : end + 1], series.std(0))


def network(name: str, seed: int, seconds: float, forcing: TeacherForcing) -> Any:
    """An untrained one."""
    kind, own = NETWORKS[name]
    past = Autoregression(targets=3, teacher_forcing=forcing)
    return kind(**COMMON | own, autoregression=past, max_time=seconds, random_state=seed)


def steps_of(model: Any, series: Array) -> int:
    """Optimizer steps of its last training, up to one epoch that the time cut short."""
    rows = len(series) - 1
    if model.window is None:
        return int(model.n_iter_) * math.ceil(math.ceil(rows / model.streams) / model.bptt_length)
    return int(model.n_iter_) * math.ceil(((rows - model.window) // model.stride + 1) / model.batch_size)


def trained(name: str, seed: int, seconds: float, forcing: TeacherForcing, series: Array) -> tuple[Any, int]:
    """A network that has learnt from a series, and the steps it took."""
    model = network(name, seed, seconds, forcing).fit(series[:-1], series[1:])
    return model, steps_of(model, series)


def adapted(name: str, seed: int, seconds: float, series: Array) -> tuple[Any, int]:
    """Trained in rounds of equal time: fully forced first, then each by the least α that its Jacobians ask for.

    The rate falls over all rounds along one cosine.
    """
    model = network(name, seed, seconds / ROUNDS, TeacherForcing()).set_params(warm_start=True)
    alphas, steps = [1.0], 0
    for number in range(ROUNDS):
        model.set_params(schedule=partial(piece_of_cosine, number))
        forcing = TeacherForcing(alpha=alphas[-1], warmup=20)
        model.set_params(autoregression=Autoregression(targets=3, teacher_forcing=forcing))
        model.fit(series[:-1], series[1:])
        steps += steps_of(model, series)
        alphas.append(max(recommended_alpha(model.cell_, windows(model, series)), LEAST))
    print(f"α by round: {', '.join(f'{alpha:.3f}' for alpha in alphas[:-1])}\n")
    return model, steps


def piece_of_cosine(number: int, progress: float) -> float:
    """The factor on the rate in one of the rounds, which together make half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * (number + progress) / ROUNDS))


def windows(model: Any, series: Array, count: int = 8, steps: int = 100) -> Past:
    """Some stretches of the series in the network's units, (count, steps, 3)."""
    x = model.predictor_.rows(model.read(series)).x
    places = np.linspace(0, len(series) - steps, count).astype(int)
    found: Past = map_leaves(lambda leaf: torch.stack([leaf[place : place + steps] for place in places]), x)
    return found


def free_runs(model: Any, series: Array, starts: int, steps: int) -> tuple[Array, Array]:
    """Truth and free runs (starts, steps, 3) after a warm-up, from places spread over the series."""
    places = np.linspace(0, len(series) - WARMUP - steps - 1, starts).astype(int)
    X = np.stack([series[place : place + WARMUP + steps] for place in places])
    y = X[:, WARMUP:].copy()
    X[:, WARMUP:] = np.nan
    return y, model.predict(X)[:, WARMUP - 1 : -1]


def one_step_error(model: Any, series: Array, scale: Array) -> float:
    """The root mean square of the error one step ahead, in standard deviations."""
    error = (model.predict(series[:-1]) - series[1:])[WARMUP:] / scale
    return float(np.sqrt(np.mean(error**2)))


def scores(model: Any, later: Array, scale: Array) -> tuple[float, list[str]]:
    """The median of the valid prediction times, and a row that says how good the network is."""
    y, runs = free_runs(model, later, STARTS, HORIZON)
    valid = valid_prediction_time(y, runs, exponent=EXPONENT, dt=DT, threshold=EPSILON, scale=scale)
    low, high = valid.quartiles
    spread = [f"{valid.median:.2f}", f"{low:.2f}–{high:.2f}", f"{valid.share_above(1):.2f}"]
    return valid.median, [f"{one_step_error(model, later, scale):.1e}", *spread]


def dreamt(model: Any, later: Array) -> str:
    """D_stsp and D_H of a long free run, with the scores of truth."""
    X = np.full((WARMUP + DREAM * 5 // 4, 3), np.nan)
    X[:WARMUP] = later[:WARMUP]
    generated, real = model.predict(X)[-DREAM:], later[WARMUP : WARMUP + 2 * DREAM]
    state, spectrum = state_space_divergence(real, generated), power_spectrum_error(real, generated)
    return (
        f"D_stsp {state.value:.3f} (truth {state.floor:.3f}, outside {state.outside:.4f}), "
        f"D_H {spectrum.value:.3f} (truth {spectrum.floor:.3f})"
    )


def exponents(model: Any, later: Array, starts: int = 20, steps: int = 3000) -> str:
    """The three leading exponents of the closed loop, per unit of time, each with the true one."""
    places = np.linspace(0, len(later) - WARMUP, starts).astype(int)
    _, state = model.predict(np.stack([later[place : place + WARMUP] for place in places]), return_state=True)
    inner = model.cell_.cell
    found = lyapunov_spectrum(inner, None, state.inner, last=state.last, steps=steps, k=3, dt=DT, k_adjoint=0)
    rows = zip(found.exponents.tolist(), found.standard_errors.tolist(), SPECTRUM, strict=True)
    return ", ".join(f"{value:+.3f} ± {error:.3f} (true {known:+.3f})" for value, error, known in rows)


def line(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def compare_forcings(name: str, seconds: float, seed: int, data: Data) -> None:
    """One row for every kind of forcing, all of one time and seed."""
    print(f"\n{name}, seed {seed}, {seconds:.0f} s each\n")
    line("forcing", "steps", "one-step error", "VPT", "quartiles", "P(VPT > 1)", "CPU s")
    line(*["---"] * 7)
    for told, forcing in FORCINGS.items():
        begin = time.process_time()
        if forcing is None:
            model, steps = adapted(name, seed, seconds, data.learnt)
        else:
            model, steps = trained(name, seed, seconds, forcing, data.learnt)
        used = time.process_time() - begin
        line(told, str(steps), *scores(model, data.later, data.scale)[1], f"{used:.0f}")


def ready(name: str, seed: int, seconds: float, folder: Path | None, series: Array) -> Any:
    """A trained network: the one that is kept in the folder, else a new one."""
    path = None if folder is None else folder / f"lorenz_{name}_{seed}.safetensors"
    if path is not None and path.exists():
        return seqdyn.load(path)
    model, _ = trained(name, seed, seconds, TeacherForcing(), series)
    if path is not None:
        model.save(path)
    return model


def measure(name: str, seeds: list[int], seconds: float, folder: Path | None, data: Data) -> bool:
    """A row a seed, then what its closed loop does; whether the median over the seeds is beyond the bar."""
    medians, told = [], []
    line("network", "seed", "steps", "one-step error", "VPT", "quartiles", "P(VPT > 1)", "s")
    line(*["---"] * 8)
    for seed in seeds:
        model = ready(name, seed, seconds, folder, data.learnt)
        median, row = scores(model, data.later, data.scale)
        medians.append(median)
        line(name, str(seed), str(steps_of(model, data.learnt)), *row, f"{model.history_['seconds'].iloc[-1]:.0f}")
        told.append(f"seed {seed}: exponents {exponents(model, data.later)}\n    {dreamt(model, data.later)}")
    print("\n" + "\n".join(told) + "\n", flush=True)
    return float(np.median(medians)) >= BAR


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--network", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--forcing", action="store_true")
    arguments.add_argument("--validate", action="store_true")
    arguments.add_argument("--keep", type=Path, default=None)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the time is meant
    print(machine() + "\n")
    data, seconds = split(options.validate), 60 * options.minutes
    if options.forcing:
        for name in options.network:
            compare_forcings(name, seconds, options.seeds[0], data)
        return
    reached = [measure(name, options.seeds, seconds, options.keep, data) for name in options.network]
    missed = [name for name, good in zip(options.network, reached, strict=True) if not good]
    print(f"below {BAR:g} Lyapunov times: {', '.join(missed)}" if missed else f"{BAR:g} Lyapunov times or more")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
