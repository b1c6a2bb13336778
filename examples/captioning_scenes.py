"""Scenes of two shapes are told in a sentence each, and every word is looked up where the thing that it names is.

The scenes are made, so that the place of every thing is known. Nobody says where to look: attention has to find out.
Which of two things is left or above takes both places at once, and is learnt last. Without a look at the scene a
sentence costs ln 288 nats: two things of twelve kinds each, and two ways to stand to each other.
"""

import sys

import numpy as np

from seqdyn import Captioner
from seqdyn.datasets import load_shape_scenes


def main(out: str | None = None) -> None:
    train, unseen = load_shape_scenes(4000), load_shape_scenes(300, random_state=1)
    model = Captioner(hidden_size=64, embedding_size=64, learning_rate=6e-3, max_epochs=13, random_state=0)
    model.fit(train.images, train.captions)
    found = model.evaluate(unseen.images, unseen.captions)
    blind = float(np.log(288))
    print(f"{found['exact']:.3f} of unseen scenes told exactly")
    print(f"{found['nats_per_caption']:.3f} nats a sentence, {blind:.3f} without a look")

    shares = []  # of the weight at a word that names a thing, how much lies in the cell of that thing
    for image, caption, words, cells in zip(*(part[:100] for part in unseen), strict=True):
        weights = model.attention_weights(image, caption).values.reshape(-1, 9)
        shares.append(weights[words, cells])
    share = float(np.mean(shares))
    print(f"where a thing is named, {share:.2f} of the weight is on its cell, one of 9\n")

    told = model.attention_weights(unseen.images[0])
    for word, weights in zip(told["word"].values, told.values, strict=True):
        print(f"{word:10}", "  ".join("".join("·░▒▓█"[min(4, int(5 * weight))] for weight in row) for row in weights))
    if out is not None:
        model.plot_attention(unseen.images[0]).savefig(out)
    assert found["exact"] > 0.9 and found["nats_per_caption"] < 0.1 * blind
    assert share > 0.9


if __name__ == "__main__":
    main(*sys.argv[1:2])
