"""A character-level language model of the word "hello": vocabulary h, e, l, o; the next character is the target.

The letter l is followed once by l and once by o, so the network has to remember what came before it. It becomes
sure of every answer. Then it spells: it is given h, and its own likeliest answer becomes its next input.

    python examples/hello.py [picture.png]
"""

import sys

import numpy as np

from seqdyn import LanguageModel


def main() -> None:
    options = {"max_epochs": 400, "n_iter_no_change": 400, "learning_rate": 0.03, "random_state": 0}
    model = LanguageModel(cell="elman", hidden_size=8, **options).fit("hello")
    print("vocabulary:", *model.vocabulary_.symbols)
    print("a letter is a vector with a single 1: l =", model.vocabulary_.one_hot("l")[0].astype(int))
    for letter, log_p in zip("hello", model.log_probabilities("hello"), strict=True):
        print(f"P({letter} | what came before) = {np.exp(log_p):.4f}")

    spelt = "h" + model.generate("h", 4, strategy="greedy")
    print(f"fed with its own letters: {spelt}")

    # the same by hand: a stream remembers what was pushed
    stream = model.stream()
    for letter in spelt[:3]:
        answer = stream.push(letter)
    other = stream.fork()  # two ways to go on from "hel"
    print(f"after hel: {answer}; after hell: {other.push('l')}; and hel again: {stream.probabilities().round(2)}")

    picture = model.plot("hello")  # one-hot in, state, P(next), the likeliest next letter
    if sys.argv[1:]:
        picture.savefig(sys.argv[1])
    assert spelt == "hello" and answer == "l"
    assert np.exp(model.log_probabilities("hello")).min() > 0.99


if __name__ == "__main__":
    main()
