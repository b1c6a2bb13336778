"""A character-level language model of the word "hello": vocabulary h, e, l, o; the next character is the target.

The letter l is followed once by l and once by o, so the network has to remember what came before it. It learns
all four answers to certainty. Then it spells: it is given h, and its own likeliest answer becomes its next input.
"""

import numpy as np

import seqdyn

VOCABULARY = np.array(list("helo"))
ONE_HOT = np.eye(4)


def encode(text: str) -> np.ndarray:
    """Class numbers of the characters, (time,)."""
    return np.array([int(np.flatnonzero(VOCABULARY == character)[0]) for character in text])


def main() -> None:
    X, y = ONE_HOT[encode("hell")], encode("ello")  # (time, inputs) and (time,)
    model = seqdyn.ElmanClassifier(hidden_size=8, max_epochs=400, n_iter_no_change=400, random_state=0).fit(X, y)
    probability = model.predict_proba(X)[model.classes_ == y[:, None]]  # h never is a target: three classes
    for seen, target, p in zip("hell", "ello", probability, strict=True):
        print(f"after {seen}: P({target}) = {p:.4f}")

    stream = model.stream()
    word = encode("h").tolist()
    for _ in range(4):
        word.append(int(stream.push(ONE_HOT[word[-1]])))
    spelt = "".join(VOCABULARY[word])
    print(f"fed with its own characters: {spelt}")

    # forecast does the same in one call; feed says how probabilities become the next input
    stream = model.stream()
    second = stream.push(ONE_HOT[encode("h")[0]])
    rest = stream.forecast(3, feed=lambda probabilities, _: ONE_HOT[model.classes_[probabilities.argmax()]])
    assert "h" + "".join(VOCABULARY[[second, *rest]]) == spelt == "hello"
    assert probability.min() > 0.99


if __name__ == "__main__":
    main()
