"""A model of the Lorenz system from its data alone: how long it foretells it, and whether it is the same attractor.

300 random units and a readout by ridge regression see 6,000 steps. Left alone they stay with the truth for some fifteen
Lyapunov times, in each of which an error grows by e; later they are elsewhere, on the same attractor: as often in the
same places, at the same frequencies, and with the same Lyapunov exponents, which nobody told them. What repeats the
last value, or is linear, loses the truth at once.
"""

import numpy as np
import torch

from seqdyn import ARXRegressor, Autoregression, PersistenceRegressor
from seqdyn.dynamics import lyapunov_spectrum
from seqdyn.estimators.echo_state import EchoStateRegressor
from seqdyn.metrics import power_spectrum_error, state_space_divergence, valid_prediction_time
from seqdyn.systems.lorenz import Lorenz
from seqdyn.systems.simulate import simulate

DT, EXPONENT = 0.02, 0.9056
FIT, LATER = 6_000, 12_000  # steps to learn from, and to test on
KNOWN, STEPS = 100, 1_200  # of a free run: true steps before it, and its length


def main() -> None:
    orbit = simulate(Lorenz(dt=DT).double(), FIT + LATER, discard=1000)[0].numpy()
    learnt, later = orbit[:FIT], orbit[FIT:]
    own = Autoregression(targets=3)  # the columns of X are the last values: a row of NaN is a step of a free run
    models = {
        "persistence": PersistenceRegressor(autoregression=own),
        "linear, 3 lags": ARXRegressor(output_lags=0, input_lags=2, autoregression=own),
        "echo state": EchoStateRegressor(hidden_size=300, autoregression=own, random_state=0),
    }
    starts = np.linspace(0, LATER - KNOWN - STEPS, 50).astype(int)
    truth = np.stack([later[start : start + KNOWN + STEPS] for start in starts])
    seen = truth.copy()
    seen[:, KNOWN:] = np.nan
    print("steps that stay within 0.4 standard deviations, in Lyapunov times, from 50 starts")
    for name, model in models.items():
        model.fit(learnt[:-1], learnt[1:])
        runs = model.predict(seen)[:, KNOWN - 1 : -1]
        valid = valid_prediction_time(truth[:, KNOWN:], runs, exponent=EXPONENT, dt=DT, scale=learnt.std(axis=0))
        print(f"  {name:15s} {valid.median:6.2f}  (quartiles {valid.quartiles[0]:.2f} to {valid.quartiles[1]:.2f})")
    assert valid.median > 10 and valid.share_above(1) == 1

    print(f"chosen by free runs: a radius of {model.spectral_radius_}, a ridge of {model.ridge_:.0e}")
    alone = np.full((LATER // 2, 3), np.nan)
    dream = model.predict(alone, initial_state=model.state_)
    places, spectra = state_space_divergence(later, dream), power_spectrum_error(later, dream)
    print(f"left alone for {len(dream):,} steps, of which {places.outside:.1%} lie outside the range of the truth:")
    print(f"  D_stsp {places.value:.2f}, of truth itself {places.floor:.2f}")
    print(f"  D_H {spectra.value:.3f}, of truth itself {spectra.floor:.3f}")
    assert places.value < 2 * places.floor and spectra.value < 2 * spectra.floor and places.outside < 0.01

    network = model.cell_
    spectrum = lyapunov_spectrum(network, network.alone(1, 4000), model.state_, k=3, dt=DT, k_adjoint=0)
    expected = torch.tensor([0.906, 0.0, -14.57], dtype=torch.float64)
    print("exponents " + ", ".join(f"{value:.2f}" for value in spectrum.exponents) + "; of the system 0.91, 0, -14.57")
    assert (spectrum.exponents - expected).abs().max() < 0.3


if __name__ == "__main__":
    main()
