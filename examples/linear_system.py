"""A known linear system [A B; C D] is recovered from its input and output alone.

The data determine it only up to a change of basis of the state, h → S h, which turns B, C, D into B S⁻¹, S C, S D S⁻¹:
the entries come out different, what one can observe the same. The poles (eigenvalues of D) and the impulse response
A, B C, B D C, B D² C, … agree to many digits.
"""

import numpy as np

from seqdyn import LinearStateSpaceRegressor
from seqdyn.metrics import fit_percent

A = np.array([[0.5]])
B = np.array([[1.0, -1.0]])
C = np.array([[1.0], [0.5]])
D = np.array([[0.81, 0.27], [-0.27, 0.81]])  # poles 0.81 ± 0.27i: a damped oscillation


def simulate(x: np.ndarray) -> np.ndarray:
    """[y_t; h_t] = [A B; C D] [x_t; h_{t-1}], written out."""
    h, y = np.zeros(2), []
    for x_t in x:
        y.append(A @ x_t + B @ h)
        h = C @ x_t + D @ h
    return np.array(y)


def impulse_response(A: np.ndarray, B: np.ndarray, C: np.ndarray, D: np.ndarray, steps: int) -> np.ndarray:
    """What comes out after x = 1, 0, 0, …"""
    return np.array([A[0, 0], *((B @ np.linalg.matrix_power(D, k) @ C)[0, 0] for k in range(steps - 1))])


def main() -> None:
    draw = np.random.default_rng(0)
    x, x_new = draw.normal(size=(1000, 1)), draw.normal(size=(300, 1))
    model = LinearStateSpaceRegressor(order=2, scale=False).fit(x, simulate(x))  # it has no offset, and starts at 0

    learned = (model.feedthrough_, model.readout_, model.input_map_, model.transition_)
    poles, known = np.sort_complex(model.system_.poles()), np.sort_complex(np.linalg.eigvals(D))
    responses = [impulse_response(*matrices, steps=30) for matrices in (learned, (A, B, C, D))]
    fit = fit_percent(simulate(x_new), model.predict(x_new))
    print("D, learned:", np.array2string(model.transition_, precision=3).replace("\n", ""))
    print("D, known:  ", np.array2string(D, precision=3).replace("\n", ""), "(another basis of the same state)")
    print(f"poles, learned {poles.round(6)}, known {known}")
    print(f"impulse response over 30 steps: largest difference {np.abs(responses[0] - responses[1]).max():.1e}")
    print(f"FIT on new data, in free run: {fit:.6f} %")
    np.testing.assert_allclose(poles, known, atol=1e-6)
    np.testing.assert_allclose(*responses, atol=1e-6)
    assert fit > 99.9999


if __name__ == "__main__":
    main()
