"""A handwritten digit that drifts over a film and becomes another one: one label a frame (synced many-to-many)."""

from __future__ import annotations

from seqdyn import LSTMClassifier
from seqdyn.datasets import load_moving_digits


def test_frames_are_labelled() -> None:
    """Above 95 % of the frames of films in a writing nobody has seen; no film is read as a whole."""
    model = LSTMClassifier(hidden_size=32, max_epochs=20, learning_rate=1e-2, random_state=0)
    model.fit(*load_moving_digits())
    test = load_moving_digits(n_films=300, subset="test", random_state=1)
    assert model.score(*test) > 0.95
    predicted = model.predict(test.X)
    assert predicted.shape == test.y.shape
    changes = (test.y[:, 1:] != test.y[:, :-1]) & (predicted[:, 1:] != predicted[:, :-1])
    assert changes.sum() > 0.9 * (test.y[:, 1:] != test.y[:, :-1]).sum()
