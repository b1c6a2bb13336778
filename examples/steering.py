"""A network learns to move from observed motion, and is then steered by its input and by single neurons.

The motion is a rhythm (sin φ, cos φ) whose speed follows a drive. Steered by the input, the trained GRU moves at
speeds it was asked for. Forcing its whole memory to its own trajectory changes nothing, exactly. Holding a single
neuron at a fixed value changes the rhythm: which ones slow it down or stop it says where the rhythm comes from.
"""

import numpy as np
import torch

import seqdyn

SPEED = 0.2  # radians a step at drive 1


def motion(drive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X (series, time, 1) and y (series, time, 2) for a drive (series, time)."""
    phase = np.cumsum(SPEED * drive, axis=1)
    return drive[:, :, None], np.stack([np.sin(phase), np.cos(phase)], axis=-1)


def speed(y: np.ndarray) -> float:
    """Mean advance of the phase, in radians a step, of y (time, 2), after 100 steps to settle."""
    phase = np.unwrap(np.arctan2(y[100:, 0], y[100:, 1]))
    return float(np.diff(phase).mean())


def main() -> None:
    drive = np.random.default_rng(0).uniform(0.5, 1.5, (64, 4)).repeat(25, axis=1)  # a new drive every 25 steps
    model = seqdyn.GRURegressor(hidden_size=24, max_epochs=100, schedule="cosine", scale=False, random_state=0)
    model.fit(*motion(drive))

    print("Steered by the input, radians a step")
    for level in (0.6, 1.0, 1.4):
        moved = speed(model.predict(np.full((300, 1), level)))
        print(f"  asked for {SPEED * level:.3f}, moved at {moved:.3f}")
        assert abs(moved / (SPEED * level) - 1) < 0.05

    cell, x = model.cell_, torch.ones(1, 300, 1)
    with torch.no_grad():
        free = seqdyn.scan(cell, x, record=lambda x, before, output, after: before)
        same = seqdyn.scan(cell, x, force=lambda t, state: type(state)(free.record.h[:, t]))
    change = float((same.output - free.output).abs().max())
    print(f"Forced to its own trajectory, the motion changes by {change}")
    assert change == 0

    slowest = {}
    for neuron in range(24):
        for value in (-0.9, 0.9):

            def clamp(t, state, neuron=neuron, value=value):
                h = state.h.clone()
                h[:, neuron] = value
                return state._replace(h=h)

            with torch.no_grad():
                held = seqdyn.scan(cell, x, force=clamp).output[0].numpy()
            slowest[neuron, value] = speed(held) / SPEED
    order = sorted(slowest, key=slowest.get)
    print("One neuron held, speed relative to the free rhythm")
    for neuron, value in (*order[:3], *order[-2:]):
        print(f"  h[{neuron}] held at {value:+.1f}: {slowest[neuron, value]:6.2f}")
    assert abs(slowest[order[0]]) < 0.1


if __name__ == "__main__":
    main()
