"""Linear state-space models where the noise has dynamics, the plant is in a loop, or outputs are missing.

Everything is simulated. The error is ‖g − ĝ‖ / ‖g‖ of the impulse response over 50 steps, seed by seed; the reference
is an ARMAX model by the prediction-error method (``armax.py``) of the class that holds the truth, on the same record;
SIPPY's N4SID, CVA and PARSIM-K where it is installed. All get the true order.

- ``reference``: whether the reference is one: the spread of its poles and gain over that of the Cramér–Rao bound.
- ``drift``: a plant of order 2 or 3 and on its output a disturbance of pole 0.998, or a random walk, and white noise.
- ``coloured``: an ARMAX plant; Box–Jenkins plants with slow and with resonant noise. Bar of both: the ratio of medians,
  and of means, of the errors, ours over the reference's: 1.1.
- ``feedback``, ``unstable``: u = r − k y. Poles, the first response b and, of a stable plant, the static gain, in
  standard errors of the model's own. Bar: 3, and as these are many draws, how many lie beyond it. ``bias`` is the mean
  error in standard errors of the mean.
- ``output_only``: AR(2), ARMA(2, 1), and two outputs of three states. RMSE one step ahead on a fresh record over that
  of the truth. Bar: 1.05.
- ``partial``: two outputs with a tenth of the values missing, or one sensor out for long; the error over that of the
  same fit without gaps, and RMSE one step ahead over that of the exact Kalman filter. Bars: 1.1 / √(share known), 1.05.
- ``coverage``: how often intervals of poles and gains hold the truth. Bars: 60 to 76 % and 90 to 98 %.
- ``speed``: a fit of order 4 on 10³ samples. Bars: 20 ms in closed form, 0.5 s by prediction errors.

    python benchmarks/identification_noise.py [--what drift …] [--seeds 20] [--focus prediction auto] [--records 200]

``--orders true auto`` are the order that is given and that which is chosen.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from armax import Armax, Regression, armax
from identification_robustness import matched
from measure import machine, take_turns
from noisy_plants import (
    LJUNG,
    OUTPUT_NOISE,
    PLAIN_LOOP,
    RESONANT_NOISE,
    SECOND,
    SECOND_LOOP,
    SLOW_NOISE,
    STEPS,
    TWO,
    TWO_INPUTS,
    UNSTABLE_COLOURED,
    UNSTABLE_LOOP,
    VECTOR,
    Loop,
    a_tenth,
    disturbed,
    exact_filter,
    innovations,
    moving,
    one_sensor,
)
from statsmodels.tsa.ar_model import AutoReg
from system_identification import OURS, Array, Model, example, ours, quiet, sippy

from seqdyn import LinearStateSpaceRegressor
from seqdyn.identification.system import LinearSystem

SKIPPED = 50
"""Rows at the start of a fresh record that are not scored."""


class Case(NamedTuple):
    """Records, the true impulse response, the reference, the order, and other settings of ours."""

    record: Callable[[int], tuple[Array, Array]]
    impulse: Array
    reference: Callable[[Array, Array], Armax]
    order: int
    settings: dict[str, Any]


def differenced(x: Array, y: Array, order: int) -> Armax:
    """A random walk on the output: the differences are ARMAX, with one more moving average."""
    return armax(np.diff(x, axis=0), np.diff(y), order, order + 1, constant=False)


def of_class(order: int) -> Callable[[Array, Array], Armax]:
    return lambda x, y: armax(x, y, order)


DRIFT = {
    "order 2, disturbance of pole 0.998": Case(
        lambda seed: disturbed(SECOND, 0.998, 0.05, 0.1, seed, 1200), SECOND.impulse_response(), of_class(3), 3, {}
    ),
    "order 3, two inputs, disturbance of pole 0.998": Case(
        lambda seed: disturbed(TWO_INPUTS, 0.998, 0.05, 0.1, seed, 1200), TWO_INPUTS.impulse_response(),
        of_class(4), 4, {},
    ),
    "order 2, random walk, as a state": Case(
        lambda seed: disturbed(SECOND, 1.0, 0.1, 0.1, seed, 1200), SECOND.impulse_response(), of_class(3), 3, {}
    ),
    'order 2, random walk, offset="drift"': Case(
        lambda seed: disturbed(SECOND, 1.0, 0.1, 0.1, seed, 1200), SECOND.impulse_response(),
        partial(differenced, order=2), 2, {"offset": "drift"},
    ),
}  # fmt: skip
COLOURED = {
    "ARMAX of order 2": Case(lambda seed: LJUNG.record(seed, 1000), LJUNG.impulse_response(), of_class(2), 2, {}),
    "order 2, noise of pole 0.95": Case(
        lambda seed: SLOW_NOISE.record(seed, 1000), SLOW_NOISE.impulse_response(), of_class(3), 3, {}
    ),
    "order 2, resonant noise": Case(
        lambda seed: RESONANT_NOISE.record(seed, 1000), RESONANT_NOISE.impulse_response(), of_class(4), 4, {}
    ),
}
LOOPS = {
    "pole 0.9, first order": (PLAIN_LOOP, 3000),
    "second order, coloured noise": (SECOND_LOOP, 2000),
}
UNSTABLE = {
    "poles 1.05 and 0.8, white noise": (UNSTABLE_LOOP, 2000),
    "poles 1.05 and 0.8, coloured noise": (UNSTABLE_COLOURED, 2000),
}


def variants(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Our models: one a focus."""
    return {f"seqdyn, {one}": {"focus": one} for one in options.focus}


def peers() -> list[str]:
    """SIPPY's methods, where it is installed."""
    return ["N4SID", "CVA", "PARSIM-K"] if importlib.util.find_spec("sippy_unipi") else []


# -------------------------------------------------------------------- the impulse response


def relative(found: Array, true: Array) -> float:
    return float(np.linalg.norm(np.nan_to_num(found - true, nan=1e6)) / np.linalg.norm(true))


def response(model: Model) -> Array:
    """(steps, inputs) of the first output."""
    return model.system_.impulse_response(STEPS)[:, 0, :]


def collected(label: str, one: Callable[[int], Any], seeds: int) -> tuple[list[Any], float]:
    """The results of the seeds, and seconds of one; failures are said and left out."""
    results, failures, begin = [], {}, time.perf_counter()
    for seed in range(seeds):
        try:
            with quiet():
                results.append(one(seed))
        except Exception as error:  # a contestant may fail in any way; that is a result, too
            failures[seed] = f"{type(error).__name__}: {str(error)[:120]}"
    if failures:
        seed, text = next(iter(failures.items()))
        print(f"    {label:<28} FAILED for {len(failures)} of {seeds} seeds; seed {seed}: {text}")
    return results, (time.perf_counter() - begin) / seeds


def error_line(label: str, errors: list[float], seconds: float, reference: Array | None, bar: float = 1.1) -> None:
    if not errors:
        return
    values = np.array(errors)
    line = f"median {np.median(values):.4f}, mean {values.mean():.4f}, worst {values.max():.4f}"
    if reference is not None and len(values) == len(reference):
        ratios = np.median(values) / np.median(reference), values.mean() / reference.mean()
        met = "met" if max(ratios) <= bar else "MISSED"
        line += f"; over the reference {ratios[0]:.3f} and {ratios[1]:.3f} (bar {bar:.3g}, {met})"
    print(f"    {label:<28} {line}; {1e3 * seconds:.0f} ms", flush=True)


def impulse_errors(cases: dict[str, Case], options: argparse.Namespace) -> None:
    for name, case in cases.items():
        print(f"{name}: {options.seeds} seeds, ‖g − ĝ‖ / ‖g‖ over {STEPS} steps, order {case.order}")

        def reference(seed: int, case: Case = case) -> float:
            return relative(case.reference(*case.record(seed)).impulse_response(STEPS), case.impulse)

        def mine(seed: int, order: Any, settings: dict[str, Any], case: Case = case) -> float:
            x, y = case.record(seed)
            return relative(response(ours(x, y[:, None], order, **settings)), case.impulse)

        def peer(seed: int, method: str, case: Case = case) -> float:
            x, y = case.record(seed)
            return relative(response(sippy(x, y[:, None], case.order, method)), case.impulse)

        errors, seconds = collected("ARMAX, scipy", reference, options.seeds)
        error_line("ARMAX, scipy", errors, seconds, None)
        for label, own in variants(options).items():
            settings = own | case.settings
            for order in (case.order if one == "true" else one for one in options.orders):
                line = label if order == case.order else f"{label}, order auto"
                found = collected(line, partial(mine, order=order, settings=settings), options.seeds)
                error_line(line, *found, np.array(errors))
        for method in peers():
            found = collected(f"SIPPY, {method}", partial(peer, method=method), options.seeds)
            error_line(f"SIPPY, {method}", *found, np.array(errors))


def drift(options: argparse.Namespace) -> None:
    impulse_errors(DRIFT, options)


def coloured(options: argparse.Namespace) -> None:
    impulse_errors(COLOURED, options)


# -------------------------------------------------------------------- poles and gains


class Estimate(NamedTuple):
    """Parts of poles, and gains, end to end; their standard errors, NaN where nothing tells them."""

    values: Array
    errors: Array


def parts(values: Array, truth: Array) -> Array:
    """Real parts of numbers that stand beside the true poles, imaginary ones of pairs; one of a pair."""
    upper, pair = truth.imag >= 0, truth.imag > 0
    return np.concatenate([values[upper].real, values[pair].imag])


def first_response(system: LinearSystem) -> Array:
    return system.markov_parameters(2)[1, 0]


def static_gain(system: LinearSystem) -> Array:
    return system.dc_gain()[0]


def both_gains(system: LinearSystem) -> Array:
    return np.concatenate([first_response(system), static_gain(system)])


def estimate(system: LinearSystem, truth: Array, gains: Callable[[LinearSystem], Array]) -> Estimate:
    """Of a fitted system: its poles beside the true ones, and its gains."""
    poles = matched(system.poles(), truth)
    place = [int(np.argmin(np.abs(system.poles() - pole))) for pole in poles]
    values = np.concatenate([parts(poles, truth), gains(system)])
    if getattr(system, "estimation", None) is None or system.estimation.directions is None:
        return Estimate(values, np.full(len(values), np.nan))
    told = system.pole_standard_errors()
    errors = parts(told.real[place] + 1j * told.imaginary[place], truth)
    return Estimate(values, np.concatenate([errors, system.standard_error(gains)]))


def of_reference(model: Armax, truth: Array, count: int) -> Estimate:
    """The same of the reference, by the derivatives; of the first response and the static gain the first ``count``."""
    n, lags = len(model.a), model.b.shape[1]
    poles = matched(model.poles().astype(complex), truth)
    slopes = np.zeros((n + 2, len(model.covariance)), dtype=complex)
    for place, pole in enumerate(poles):  # A(λ) = 0: dλ = −λ^{n-i} da_i / A'(λ)
        slopes[place, :n] = -(pole ** np.arange(n - 1, -1, -1)) / np.polyval(np.polyder([1.0, *model.a]), pole)
    gain, rest = model.gains()[0], 1.0 + model.a.sum()
    slopes[n, n] = 1.0
    slopes[n + 1, :n], slopes[n + 1, n : n + lags] = -gain / rest, 1.0 / rest
    deviations = [np.sqrt(np.diag(part @ model.covariance @ part.T)) for part in (slopes.real, slopes.imag)]
    told = parts(deviations[0][:n] + 1j * deviations[1][:n], truth)
    values = np.concatenate([parts(poles, truth), [model.b[0, 0], gain][:count]])
    return Estimate(values, np.concatenate([told, deviations[0][n : n + count]]))


def score_line(label: str, found: list[Estimate], seconds: float, truth: Array) -> None:
    if not found:
        return
    values, errors = np.array([one.values for one in found]), np.array([one.errors for one in found])
    off = values - truth
    bias = off.mean(axis=0) / (off.std(axis=0, ddof=1) / np.sqrt(len(off)))
    text = f"mean {np.round(values.mean(axis=0), 4)}, rms error {np.round(np.sqrt((off**2).mean(axis=0)), 4)}"
    text += f", bias {np.round(bias, 1)}"
    if np.isnan(errors).all():
        text += "; no standard errors"
    else:
        size = np.abs(off) / errors
        beyond = int((size > 3).sum())
        text += f"; in standard errors at most {np.round(size.max(axis=0), 2)}, beyond 3: {beyond} of {size.size}"
        text += f" ({'met' if beyond == 0 else 'see'}); told over seen {np.round(np.median(errors, 0) / off.std(0), 2)}"
    print(f"    {label:<28} {text}; {1e3 * seconds:.0f} ms", flush=True)


def in_loop(cases: dict[str, tuple[Loop, int]], options: argparse.Namespace) -> None:
    for name, (loop, rows) in cases.items():
        poles = loop.poles()
        truth = np.concatenate([parts(poles, poles), loop.gains()])
        print(
            f"{name}: {options.seeds} seeds of {rows} rows; real and imaginary parts of poles, gains: {truth.round(4)}"
        )
        for label, fit in in_loop_contestants(loop, options).items():

            def one(seed: int, fit: Callable[..., Estimate] = fit, loop: Loop = loop, rows: int = rows) -> Estimate:
                return fit(*loop.record(seed, rows))

            score_line(label, *collected(label, one, options.seeds), truth)


def in_loop_contestants(loop: Loop, options: argparse.Namespace) -> dict[str, Callable[[Array, Array], Estimate]]:
    poles, gains = loop.poles(), both_gains if loop.stable else first_response
    settings = {"feedthrough": False} | ({} if loop.stable else {"stable": False})

    def system_of(fit: Callable[..., Model], x: Array, y: Array) -> Estimate:
        return estimate(fit(x, y[:, None], len(poles)).system_, poles, gains)

    def reference(x: Array, y: Array) -> Estimate:
        return of_reference(armax(x, y, len(poles), first=1), poles, len(loop.gains()))

    found: dict[str, Callable[[Array, Array], Estimate]] = {"ARMAX, scipy": reference}
    for label, own in variants(options).items():
        found[label] = partial(system_of, partial(ours, **own, **settings))
    for method in peers():
        found[f"SIPPY, {method}"] = partial(system_of, partial(sippy, method=method))
    return found


def feedback(options: argparse.Namespace) -> None:
    in_loop(LOOPS, options)


def unstable(options: argparse.Namespace) -> None:
    in_loop(UNSTABLE, options)


def reference(options: argparse.Namespace) -> None:
    """The reference beside the bound at the truth."""
    plant, poles = LJUNG, np.roots(LJUNG.A[0]).astype(complex)
    records = [plant.record(seed, 1000) for seed in range(options.records)]
    truth = np.concatenate([parts(poles, poles), [plant.B[0][0], np.sum(plant.B[0]) / np.sum(plant.A[0])]])
    off = [of_reference(armax(x, y, 2), poles, 2).values - truth for x, y in records]
    x, y = records[0]
    a, b, c = np.array(plant.A[0][1:]), np.array(plant.B), np.array(plant.C[1:])
    data = Regression.of(x, y, 2, 2, 0, True)
    theta = np.concatenate([a, b.ravel(), np.zeros(3)])
    slopes = data.derivatives(data.errors(theta, c), c)
    kept = [0, 1, 2, 3, 4, 8, 9]  # all but the constant and the start
    covariance = plant.deviation**2 * np.linalg.inv(slopes.T @ slopes)[np.ix_(kept, kept)]
    least = of_reference(Armax(a, b, c, 0, y, covariance), poles, 2).errors
    ratio = np.sqrt(np.mean(np.square(off), axis=0)) / least
    print(f"ARMAX of order 2, {options.records} records, spread over the bound: {ratio.round(3)} of the real and the")
    print("    imaginary part of the poles, the first response and the static gain")


# -------------------------------------------------------------------- outputs alone


def autoregression(y: Array, fresh: Array) -> Array:
    """One-step errors of statsmodels' AR(2) on a fresh record."""
    constant, *weights = AutoReg(y[:, 0], 2).fit().params
    return (fresh[:, 0] - constant - sum(w * np.roll(fresh[:, 0], lag + 1) for lag, w in enumerate(weights)))[:, None]


ALONE: dict[str, tuple[Callable[..., tuple[Array, Array]], int]] = {
    "AR(2), 1.6 and −0.8": (moving([1.0], [1.0, -1.6, 0.8]), 2),
    "ARMA(2, 1)": (moving([1.0, 0.6], [1.0, -1.6, 0.8]), 2),
    "two outputs of three states": (lambda rows, random: innovations(VECTOR, np.zeros((rows, 0)), random), 3),
}


def output_only(options: argparse.Namespace) -> None:
    for name, (draw, order) in ALONE.items():
        print(f"{name}: {options.seeds} seeds of 1000 rows, RMSE one step ahead on 5000 fresh ones over the optimum")

        def record(seed: int, draw: Callable[..., tuple[Array, Array]] = draw) -> tuple[Array, Array, Array]:
            y = draw(1000, np.random.default_rng(seed))[0]
            return y, *draw(5000, np.random.default_rng(1000 + seed))

        def over(errors: Array, e: Array) -> float:
            return float(np.sqrt((errors[SKIPPED:] ** 2).mean(axis=0) / (e[SKIPPED:] ** 2).mean(axis=0)).mean())

        def mine(seed: int, order: Any, settings: dict[str, Any]) -> float:
            y, fresh, e = record(seed)
            model = LinearStateSpaceRegressor(order=order, **settings).fit(None, y)
            return over(fresh - np.reshape(model.predict(None, y=fresh, steps_ahead=1), fresh.shape), e)

        def peer(seed: int) -> float:
            y, fresh, e = record(seed)
            return over(autoregression(y, fresh), e)

        if name.startswith("AR("):
            error_line("AutoReg, statsmodels", *collected("AutoReg, statsmodels", peer, options.seeds), None)
        for label, own in variants(options).items():
            for chosen in (order if one == "true" else one for one in options.orders):
                line = f"{label}, order {chosen}"
                found = collected(line, partial(mine, order=chosen, settings=own), options.seeds)
                error_line(line, *found, np.ones(len(found[0])), 1.05)


# -------------------------------------------------------------------- outputs with gaps

GAPS = {"a tenth of all values missing": a_tenth, "one sensor out for 250 rows, again and again": one_sensor}


def partial_outputs(options: argparse.Namespace) -> None:
    true = TWO.impulse_response(STEPS)
    for name, gap in GAPS.items():

        def record(seed: int, gap: Callable[..., Array] = gap) -> tuple[Array, Array, Array]:
            random = np.random.default_rng(seed)
            x = random.normal(size=(2000, 2))
            y = innovations(TWO, x, random)[0]
            return x, y, gap(y, random)

        def both(seed: int, settings: dict[str, Any]) -> tuple[float, float, float]:
            (x, y, seen), (fresh, wanted, partly) = record(seed), record(1000 + seed)
            models = [ours(x, one, 3, **settings) for one in (y, seen)]
            whole, parted = (relative(model.system_.impulse_response(STEPS), true) for model in models)
            ahead = models[1].predict(fresh, y=partly, steps_ahead=1)
            best = exact_filter(TWO, fresh, partly)
            scores = [np.sqrt(((wanted - one)[SKIPPED:] ** 2).mean()) for one in (ahead, best)]
            return whole, parted, float(scores[0] / scores[1])

        shares = [float((~np.isnan(record(seed)[2])).mean()) for seed in range(3)]
        bar = 1.1 / np.sqrt(np.mean(shares))
        print(f"{name}: {options.seeds} seeds of 2000 rows, two outputs, order 3")
        for label, own in variants(options).items():
            found, seconds = collected(label, partial(both, settings=own), options.seeds)
            if found:
                whole, parted, ahead = np.array(found).T
                error_line(f"{label}, complete", list(whole), seconds, None)
                error_line(f"{label}, with gaps", list(parted), seconds, whole, bar)
                error_line(f"{label}, one step ahead", list(ahead), seconds, np.ones(len(ahead)), 1.05)


# -------------------------------------------------------------------- intervals and time


def loop_record(seed: int) -> tuple[Array, Array]:
    return SECOND_LOOP.record(seed, 1000)


COVERED: dict[str, tuple[Callable[[int], tuple[Array, Array]], Any, dict[str, Any]]] = {
    "prediction, ARMAX": (lambda seed: LJUNG.record(seed, 1000), LJUNG, {"focus": "prediction"}),
    "prediction, second-order loop": (loop_record, SECOND_LOOP, {"focus": "prediction", "feedthrough": False}),
    "simulation, white output noise": (
        lambda seed: OUTPUT_NOISE.record(seed, 1000), OUTPUT_NOISE, {"focus": "simulation"},
    ),
    "simulation, coloured output noise": (
        lambda seed: SLOW_NOISE.record(seed, 1000), SLOW_NOISE, {"focus": "simulation"},
    ),
}  # fmt: skip
LEVELS = {68: (0.99446, 60, 76), 95: (1.95996, 90, 98)}
"""Percent: half width in standard errors, and the bar."""


def coverage(options: argparse.Namespace) -> None:
    print(f"share of {options.records} records whose interval holds the truth: parts of the poles, gain")
    for name, (record, plant, settings) in COVERED.items():
        A, B = (plant.A, plant.B) if isinstance(plant, Loop) else (plant.A[0], plant.B[0])
        poles = np.roots(A).astype(complex)
        truth = np.append(parts(poles, poles), np.sum(B) / np.sum(A))

        def fitted(seed: int, record: Any = record, settings: Any = settings, poles: Array = poles) -> Estimate:
            x, y = record(seed)
            return estimate(ours(x, y[:, None], len(poles), **settings).system_, poles, static_gain)

        found, seconds = collected(name, fitted, options.records)
        errors = np.array([one.errors for one in found])
        size = np.abs(np.array([one.values for one in found]) - truth) / errors
        for level, (width, low, high) in LEVELS.items():
            share = 100 * (size <= width).mean(axis=0)
            met = "met" if ((share >= low) & (share <= high)).all() else "MISSED"
            print(f"    {name:<36} {level} %: {share.round(1)} (bar {low} to {high}, {met}); {1e3 * seconds:.0f} ms")


def speed(options: argparse.Namespace) -> None:
    x, y = example(1000)
    contestants: dict[str, Callable[[], object]] = {
        label: lambda settings=settings: ours(x, y, 4, **settings) for label, settings in OURS.items()
    }
    contestants["ARMAX, scipy"] = lambda: armax(x, y, 4)
    with quiet():
        seconds = take_turns(contestants, options.rounds)
    print(f"fit of order 4 on 1000 samples, {options.rounds} rounds; bars 20 ms closed form, 500 ms prediction error")
    for name, values in seconds.items():
        low, middle, high = 1e3 * np.quantile(values, [0.25, 0.5, 0.75])
        print(f"    {name:<28} median {middle:7.1f} ms ({low:.1f} to {high:.1f}, least {1e3 * values.min():.1f})")


def main() -> None:
    questions = {
        "reference": reference, "drift": drift, "coloured": coloured, "feedback": feedback, "output_only": output_only,
        "unstable": unstable, "partial": partial_outputs, "coverage": coverage, "speed": speed,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=questions, default=list(questions))
    parser.add_argument("--focus", nargs="+", default=["prediction", "simulation", "auto"])
    parser.add_argument("--orders", nargs="+", choices=("true", "auto"), default=["true", "auto"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # what models say of such data is not what is measured here
    print(machine())
    for question in options.what:
        questions[question](options)


if __name__ == "__main__":
    main()
