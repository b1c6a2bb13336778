"""Praise or blame: where "not" turns a word around, the order of words decides, and counts of them fail.

Sentences with one word of praise or blame are turned around by "not" half of the time, some words before it. Naive
Bayes, which counts words, guesses; a network that reads the sentence once in each direction does not.
"""

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from seqdyn import TextClassifier

PRAISE = ["clever", "moving", "funny", "tender", "bold", "rich"]
BLAME = ["dull", "boring", "clumsy", "loud", "empty", "long"]
FILLED = ["really", "at all", "ever", "in any scene", "for a moment", "as a whole", "to me"]


def sentences(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Sentences, and 1 where they praise."""
    draw = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(count):
        word, no = str(draw.choice(PRAISE + BLAME)), bool(draw.integers(2))
        between = [str(draw.choice(FILLED)) for _ in range(draw.integers(0, 3))]
        texts.append(" ".join(["this film", "is not" if no else "is", *between, word, str(draw.choice(FILLED))]) + ".")
        labels.append(int((word in PRAISE) != no))
    return texts, np.array(labels)


def main() -> None:
    (texts, labels), (unseen, truth) = sentences(600, 0), sentences(300, 1)
    counts = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, labels).score(unseen, truth)
    model = TextClassifier(hidden_size=32, embedding_size=32, members=1, dropout=0.2, random_state=0)
    read = model.fit(texts, labels).score(unseen, truth)
    print(f"counting words {counts:.2f}, reading {read:.2f} of {len(unseen)} sentences right")
    why = model.explain("this film is not really at all boring.")
    print(f"'this film is not really at all boring.': {'praise' if why.label else 'blame'} ({why.probability:.2f})")
    print(why.to_frame().round(2).to_string(index=False))
    assert read > 0.97 > 0.65 > counts


if __name__ == "__main__":
    main()
