"""Linear state-space models of known systems: stable at every order, exact without noise, near the least spread.

- ``robustness``: three stable truths of order 2 to 4, the first with a pole at 0.99; white noise in, 500 samples, 10
  and 20 dB of noise on the output, 20 seeds of input and noise; models of orders 1 to 10, in closed form and of every
  focus. How many have a spectral radius of 1 or more, the largest |ŷ| of the free run over 2,000 fresh inputs as a
  multiple of the truth's, and the FIT there (from step 500 on) of the true order, and of that and all above. Bar: none
  is unstable.
- ``known``: random systems of orders 1 to 10 with 2 or 3 inputs and outputs, poles of modulus 0.3 to 0.9 at least 0.05
  apart, normal matrices, drawn again until the smallest Hankel singular value is a thousandth of the largest or more;
  1,000 samples without noise, white noise in, an unknown start. The least FIT over 1,000 fresh inputs in free run, from
  a state estimated on the first 50 and scored after them, and the largest error of a pole. Bars: 99.99 %, 1e-6.
- ``noise``: 20 dB of white noise on the outputs, 1,000 samples, the same input for every seed of the noise. The spread
  of the poles, √E|λ̂ − Eλ̂|², over that of the Cramér–Rao bound with everything unknown, the start and the offsets
  too: var λ = ∇λᴴ σ² (JᵀJ)⁺ ∇λ. Bar: 3.

    python benchmarks/identification_robustness.py [--what robustness known noise] [--seeds 20] [--noise_seeds 100]

nfoursid, 20 block rows, is fitted to the same data where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable

import numpy as np
from measure import machine
from scipy.linalg import block_diag, eig
from scipy.optimize import linear_sum_assignment
from system_identification import OURS, Array, Model, nfoursid, ours

from seqdyn.identification.records import DataRecord, grouped
from seqdyn.identification.sensitivity import equations
from seqdyn.identification.system import LinearSystem
from seqdyn.metrics import fit_percent

TRUTHS = {
    "order 2, poles 0.99, 0.6": [(0.99, 0.0), (0.6, 0.0)],
    "order 3, poles 0.95 e^±0.5i, 0.7": [(0.95, 0.5), (0.7, 0.0)],
    "order 4, poles 0.98 e^±0.3i, 0.9 e^±1.4i": [(0.98, 0.3), (0.9, 1.4)],
}
"""Modulus and angle of every mode."""


def contestants() -> dict[str, Callable[[Array, Array, int], Model]]:
    found: dict[str, Callable[[Array, Array, int], Model]] = {
        label: lambda x, y, order, settings=settings: ours(x, y, order, **settings) for label, settings in OURS.items()
    }
    if importlib.util.find_spec("nfoursid"):
        return found | {"nfoursid": nfoursid}
    print("  nfoursid is not installed: left out")
    return found


def modes(places: list[tuple[float, float]]) -> Array:
    """A transition with these eigenvalues: real ones, and pairs where the angle is not 0."""
    turns = [
        modulus * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if angle
        else np.array([[modulus]])
        for modulus, angle in places
    ]
    return block_diag(*turns)


def single(places: list[tuple[float, float]]) -> LinearSystem:
    """One input, one output, every mode driven to a like size."""
    transition = modes(places)
    drive = np.sqrt(1.0 - np.abs(np.linalg.eigvals(transition)) ** 2)[:, None]
    return LinearSystem.from_control(transition, drive, np.ones((1, len(drive))), [[0.3]])


def measured(truth: LinearSystem, x: Array, decibel: float, random: np.random.Generator) -> Array:
    """The output with white noise on it."""
    y = truth.simulate(x)[0]
    return y + 10 ** (-decibel / 20) * y.std(axis=0) * random.normal(size=y.shape)


# -------------------------------------------------------------------- robustness


def robustness(options: argparse.Namespace) -> None:
    for name, places in TRUTHS.items():
        truth = single(places)
        for decibel in (10, 20):
            print(f"{name}, {decibel} dB: 500 samples, {options.seeds} seeds, orders 1 to 10")
            for label, fit in contestants().items():
                one_contestant(label, fit, truth, decibel, options.seeds)


def one_contestant(label: str, fit: Callable[..., Model], truth: LinearSystem, decibel: float, seeds: int) -> None:
    begin, radii, sizes, fits = time.perf_counter(), [], [], []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        x, fresh = random.normal(size=(500, 1)), random.normal(size=(2000, 1))
        y, wanted = measured(truth, x, decibel, random), truth.simulate(fresh)[0]
        for order in range(1, 11):
            model = fit(x, y, order)
            with np.errstate(all="ignore"):
                run = np.nan_to_num(model.predict(fresh).reshape(wanted.shape), nan=np.inf)
            radii.append(model.system_.spectral_radius())
            sizes.append(np.abs(run).max() / np.abs(wanted).max())
            if order >= truth.order:
                with np.errstate(all="ignore"):
                    fits.append((order, fit_percent(wanted[500:], run[500:])))
    unstable, right = sum(radius >= 1.0 for radius in radii), [fit for order, fit in fits if order == truth.order]
    every = [fit for _, fit in fits]
    print(
        f"    {label:<28} {unstable} of {len(radii)} unstable, largest radius {max(radii):.6f}; largest |ŷ| "
        f"{max(sizes):.3g} of the truth's; FIT {np.median(right):5.2f} at the true order, "
        f"{np.median(every):5.2f} from there on, least {min(every):.4g}; "
        f"{time.perf_counter() - begin:.0f} s",
        flush=True,
    )


# -------------------------------------------------------------------- known systems


def drawn(order: int, random: np.random.Generator) -> LinearSystem:
    """A random stable system, well conditioned, see above."""
    while True:
        inputs, outputs = random.integers(2, 4, size=2)
        pairs = int(random.integers(0, order // 2 + 1))
        places = [(modulus, angle) for modulus, angle in random.uniform([0.3, 0.2], [0.9, 2.9], (pairs, 2))]
        signed = random.choice([-1.0, 1.0], order - 2 * pairs) * random.uniform(0.3, 0.9, order - 2 * pairs)
        transition = modes([*places, *((value, 0.0) for value in signed)])
        poles = np.linalg.eigvals(transition)
        basis = np.linalg.qr(random.normal(size=(order, order)))[0]
        B, C, D = (random.normal(size=shape) for shape in ((order, inputs), (outputs, order), (outputs, inputs)))
        truth = LinearSystem.from_control(basis @ transition @ basis.T, B, C, D)
        values = truth.hankel_singular_values()
        apart = np.abs(poles[:, None] - poles)[np.triu_indices(order, 1)].min(initial=1.0)
        if apart >= 0.05 and values.min() >= 1e-3 * values.max():
            return truth


def matched(found: Array, true: Array) -> Array:
    """The poles found, in the order of the true ones."""
    rows, columns = linear_sum_assignment(np.abs(true[:, None] - found))
    return found[columns[np.argsort(rows)]]


def known(options: argparse.Namespace) -> None:
    seeds = max(1, options.seeds // 2)
    print(f"random systems of known order without noise, {seeds} of every order; the worst of them")
    worst: dict[str, list[tuple[float, float]]] = {}
    for order in range(1, 11):
        line = f"    order {order:2d}:"
        for label, fit in contestants().items():
            results = [recovered(order, seed, fit) for seed in range(seeds)]
            worst.setdefault(label, []).append((min(fit for fit, _ in results), max(error for _, error in results)))
            line += f"  {label}: {worst[label][-1][0]:.6f} %, {worst[label][-1][1]:.1e};"
        print(line, flush=True)
    for label, results in worst.items():
        least, largest = min(fit for fit, _ in results), max(error for _, error in results)
        print(f"    {label:<28} least FIT {least:.8f} % (bar 99.99), largest pole error {largest:.1e} (bar 1e-6)")


def recovered(order: int, seed: int, fit: Callable[..., Model]) -> tuple[float, float]:
    """FIT of the free run over fresh inputs, and the largest error of a pole."""
    random = np.random.default_rng(1000 * order + seed)
    truth = drawn(order, random)
    x, fresh = (random.normal(size=(1000, truth.inputs)) for _ in range(2))
    y, wanted = (truth.simulate(inputs, random.normal(size=order))[0] for inputs in (x, fresh))
    model = fit(x, y, order)
    run = model.predict(fresh, initial_state=model.estimate_state(fresh[:50], wanted[:50]))
    error = np.abs(matched(model.system_.poles(), truth.poles()) - truth.poles()).max()
    return fit_percent(wanted[50:], run[50:]), float(error)


# -------------------------------------------------------------------- spread of the poles


def bound(truth: LinearSystem, x: Array, deviation: Array) -> tuple[Array, Array]:
    """The poles, and the least spread any unbiased estimate of them has."""
    y = truth.simulate(x)[0]
    record = DataRecord.of(x, y, np.broadcast_to(1.0 / deviation**2, y.shape))
    here = equations(truth, grouped([record]), np.zeros((1, truth.order)), free_starts=True)
    poles, left, right = eig(truth.transition, left=True, right=True)
    slopes = np.zeros((len(poles), here.matrix.shape[1]), dtype=complex)
    for place in range(len(poles)):
        outer = np.outer(left[:, place].conj(), right[:, place]) / (left[:, place].conj() @ right[:, place])
        slopes[place, : outer.size] = outer.ravel()  # the entries of the transition come first
    roots = slopes @ np.linalg.pinv(here.matrix, rcond=1e-9)
    return poles, np.linalg.norm(roots, axis=1)


def noise(options: argparse.Namespace) -> None:
    random = np.random.default_rng(7)
    B, C, D = (random.normal(size=shape) for shape in ((3, 2), (2, 3), (2, 2)))
    truths = {
        "one input and output, order 2, poles 0.9, 0.5": single([(0.9, 0.0), (0.5, 0.0)]),
        "two inputs and outputs, order 3": LinearSystem.from_control(modes([(0.85, 0.6), (0.6, 0.0)]), B, C, D),
    }
    for name, truth in truths.items():
        x = random.normal(size=(1000, truth.inputs))
        deviation = 0.1 * truth.simulate(x)[0].std(axis=0)
        poles, least = bound(truth, x, deviation)
        upper = poles.imag >= 0
        print(f"{name}: 20 dB, 1000 samples, {options.noise_seeds} seeds")
        print(f"    poles {np.round(poles[upper], 3)}, Cramér–Rao spread {np.round(least[upper], 6)}")
        for label, fit in contestants().items():
            begin = time.perf_counter()
            found = np.array([
                matched(fit(x, measured(truth, x, 20, np.random.default_rng(seed)), truth.order).system_.poles(), poles)
                for seed in range(options.noise_seeds)
            ])  # fmt: skip
            spread = np.sqrt((np.abs(found - found.mean(axis=0)) ** 2).mean(axis=0)) / least
            whole = np.sqrt((np.abs(found - poles) ** 2).mean(axis=0)) / least
            print(
                f"    {label:<28} spread / bound {np.round(spread[upper], 3)} (bar 3), with the bias "
                f"{np.round(whole[upper], 3)}; {time.perf_counter() - begin:.0f} s",
                flush=True,
            )


def main() -> None:
    questions = {"robustness": robustness, "known": known, "noise": noise}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=questions, default=list(questions))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--noise_seeds", type=int, default=100)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)  # what they say of orders and stability is counted here
    print(machine())
    for question in chosen.what:
        questions[question](chosen)


if __name__ == "__main__":
    main()
