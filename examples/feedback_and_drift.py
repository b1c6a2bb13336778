"""A plant is identified while a controller acts on it, and while its sensor drifts.

The controller answers to the noise and to the drift, so that the input knows both. A model that is fitted to the free
run takes the controller's answers for a part of the plant, and is wrong about its memory. A model that is fitted one
step ahead, with a level that may wander, puts noise and drift where they belong, and says how sure it is.
"""

import numpy as np

from seqdyn import LinearStateSpaceRegressor, LinearSystem

PLANT = LinearSystem.from_block(A=[[0.0]], B=[[1.0]], C=[[0.5]], D=[[0.9]])


def closed_loop(steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (time, 1) and measured outputs (time,): h_t = 0.9 h_{t-1} + 0.5 u_t, u_t = r_t - 0.8 y_t."""
    r, noise, wander = np.random.default_rng(seed).normal(size=(3, steps))
    drift = np.cumsum(0.1 * wander)
    u, y, h = np.zeros(steps), np.zeros(steps), 0.0
    for t in range(steps):
        y[t] = h + drift[t] + 0.3 * noise[t]
        u[t] = r[t] - 0.8 * y[t]
        h = 0.9 * h + 0.5 * u[t]
    return u[:, None], y


def response_error(system: LinearSystem) -> float:
    """‖g − ĝ‖ / ‖g‖ of the impulse responses over 30 steps."""
    known, found = PLANT.impulse_response(30), system.impulse_response(30)
    return float(np.linalg.norm(found - known) / np.linalg.norm(known))


def main() -> None:
    u, y = closed_loop(1000, seed=2)
    u_new, y_new = closed_loop(1000, seed=3)
    models = {
        "free run": LinearStateSpaceRegressor(order=1, feedthrough=False, focus="simulation"),
        "one step ahead, drift": LinearStateSpaceRegressor(order=1, feedthrough=False, offset="drift"),
    }
    errors, ahead = {}, {}
    for name, model in models.items():
        system = model.fit(u, y).system_
        place = np.argmin(np.abs(system.poles() - 0.9))  # the drift is a pole at 1
        pole, sure = system.poles()[place].real, system.pole_standard_errors().real[place]
        predicted = model.predict(u_new, y=y_new, steps_ahead=20, initial_state="estimate")
        errors[name] = response_error(system)
        ahead[name] = np.sqrt(np.mean((y_new - predicted)[100:] ** 2))
        print(
            f"{name:22s} pole {pole:.3f} ± {sure:.3f}, first response {system.markov_parameters(2)[1].item():5.2f}, "
            f"response off by {100 * errors[name]:.0f} %, RMSE 20 steps ahead {ahead[name]:.2f}"
        )
    print("truth                  pole 0.900,         first response  0.50")
    assert abs(pole - 0.9) < 3 * sure and sure < 0.03
    assert errors["one step ahead, drift"] < 0.1 < 0.5 < errors["free run"]
    assert ahead["one step ahead, drift"] < ahead["free run"]


if __name__ == "__main__":
    main()
