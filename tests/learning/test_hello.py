"""The lecture's worked example, learnt: "hello" over the vocabulary h, e, l, o, one-hot in, the next character out.

An l comes after an l once and before an o once: without a memory the two cannot be told apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seqdyn import ElmanClassifier

VOCABULARY = "helo"


def one_hot(text: str) -> np.ndarray[Any, Any]:
    """(time, 4)"""
    return np.eye(4)[[VOCABULARY.index(character) for character in text]]


def learn(scale: bool) -> ElmanClassifier:
    """ "hell" in, "ello" out."""
    model = ElmanClassifier(
        hidden_size=8, learning_rate=0.05, max_epochs=200, scale=scale, random_state=0, n_iter_no_change=200
    )
    return model.fit(one_hot("hell"), np.array(list("ello")))


def test_hello_is_learnt_to_certainty() -> None:
    """Every next character has a probability above 0.99, the two after l too; standardised inputs or not."""
    for scale in (False, True):
        model = learn(scale)
        certainty = model.predict_proba(one_hot("hell"))[np.arange(4), np.searchsorted(model.classes_, list("ello"))]
        assert certainty.min() > 0.99
        assert "".join(model.predict(one_hot("hell"))) == "ello"


def test_hello_is_said_from_its_first_letter() -> None:
    """Fed with what it says itself, one character after the other, the model says the word to its end."""
    stream = learn(scale=False).stream()
    said = "h"
    while len(said) < 5:
        said += str(stream.push(one_hot(said[-1])[0]))
    assert said == "hello"
