"""Questions about a short story that is made here: the answer is in the story, and the question decides where.

The commonest answer is right once in eight times, any answer of the right kind once in two. What every word of an
answer looked at is printed behind it: often the question itself, since the encoder reads in both directions and can
bring the answer there.
"""

import numpy as np

from seqdyn import Translator

PEOPLE, PLACES = ["anna", "ben", "clara", "david"], ["kitchen", "garden", "hall", "attic"]


def stories(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Where two people are; then where somebody is, or who is somewhere."""
    draw, sources, targets = np.random.default_rng(seed), [], []
    for _ in range(count):
        people, places = draw.permutation(PEOPLE)[:2], draw.permutation(PLACES)[:2]
        story = " . ".join(f"{person} is in the {place}" for person, place in zip(people, places, strict=True))
        asked = int(draw.integers(2))
        if draw.random() < 0.5:
            sources.append(f"{story} . where is {people[asked]} ?")
            targets.append(f"in the {places[asked]}")
        else:
            sources.append(f"{story} . who is in the {places[asked]} ?")
            targets.append(f"{people[asked]} is")
    return sources, targets


def main() -> None:
    (sources, targets), (unseen, truth) = stories(2500, 0), stories(300, 1)
    model = Translator(
        unit="word", attention="additive", hidden_size=48, embedding_size=32, dropout=0.0, smoothing=0.0, batch_size=16,
        learning_rate=5e-3, max_epochs=18, random_state=0,
    )  # fmt: skip
    model.fit(sources, targets)
    exact = model.evaluate(unseen, truth)["exact"]
    commonest = max(truth.count(answer) for answer in set(truth)) / len(truth)
    for number in (0, 1):
        weights = model.attention_weights(unseen[number])
        places = weights.argmax("source").values.tolist()
        words = unseen[number].split()
        looked = [f"{one.strip()}←{words[k]}" for one, k in zip(weights.target.values, places, strict=True)]
        print(f"{unseen[number]}\n   {' '.join(looked[:-1])}")
    print(f"{exact:.3f} of {len(truth)} unseen questions are answered; by the commonest answer {commonest:.2f}")
    assert exact > 0.9


if __name__ == "__main__":
    main()
