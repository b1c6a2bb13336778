"""A character-level language model of the word "hello": vocabulary h, e, l, o; the next character is the target.

The letter l is followed once by l and once by o, so the network has to remember what came before it. It learns
all four answers to certainty. Then it spells: it is given h, and its own likeliest answer becomes its next input.
"""

import seqdyn
from seqdyn.data.text import Vocabulary


def main() -> None:
    vocabulary = Vocabulary.of("hello")
    X, y = vocabulary.one_hot("hell"), vocabulary.encode("ello")  # (time, inputs) and (time,)
    model = seqdyn.ElmanClassifier(hidden_size=8, max_epochs=400, n_iter_no_change=400, random_state=0).fit(X, y)
    probability = model.predict_proba(X)[model.classes_ == y[:, None]]  # h never is a target: three classes
    for seen, target, p in zip("hell", "ello", probability, strict=True):
        print(f"after {seen}: P({target}) = {p:.4f}")

    stream = model.stream()
    spelt = "h"
    for _ in range(4):
        spelt += vocabulary.decode([stream.push(vocabulary.one_hot(spelt[-1])[0])])
    print(f"fed with its own characters: {spelt}")

    # forecast does the same in one call; feed says how probabilities become the next input
    stream = model.stream()
    second = stream.push(vocabulary.one_hot("h")[0])
    rest = stream.forecast(3, feed=lambda p, _: vocabulary.one_hot([model.classes_[p.argmax()]])[0])
    assert "h" + vocabulary.decode([second, *rest]) == spelt == "hello"
    assert probability.min() > 0.99


if __name__ == "__main__":
    main()
