"""A transformer is a recurrence: two layers that attend to a window of their own past, step by step and at once.

They learn to repeat a pattern after a gap, which no single step shows; streamed one symbol at a time they give what
their masked matrix gives, and memory is what the window holds.
"""

import numpy as np
import torch

from seqdyn import LanguageModel, Stack, check_causal
from seqdyn.cells.window_attention import WindowAttention


def text(count: int, seed: int) -> str:
    """Words of six letters, each said twice."""
    draw = np.random.default_rng(seed)
    words = ["".join(draw.choice(list("abcdefgh"), 6)) for _ in range(count)]
    return "".join(f"{word}{word}." for word in words)


def main() -> None:
    draw = torch.Generator().manual_seed(0)
    layers = Stack([WindowAttention(32, window=16, heads=4, generator=draw) for _ in range(2)])
    model = LanguageModel(
        cell=layers, embedding_size=32, streams=16, bptt_length=64, max_steps=600, learning_rate=3e-3, random_state=0
    )
    model.fit(text(3000, 0))
    unseen = text(100, 1)
    log_p = model.log_probabilities(unseen).reshape(-1, 13)
    first, again = -log_p[:, :6].mean(), -log_p[:, 6:12].mean()
    print(f"a letter that comes for the first time costs {first:.3f} nats (ln 8 = {np.log(8):.3f}), again {again:.3f}")
    stream, streamed = model.stream(), []
    for symbol in unseen[:60]:
        streamed.append(np.log(stream.probabilities()[model.vocabulary_.encode(symbol)[0]]))
        stream.push(symbol)
    gap = np.abs(np.array(streamed) - log_p.ravel()[:60]).max()
    print(f"symbol by symbol it is the same to {gap:.0e}; {check_causal(model)}")
    assert first > 2.0 and again < 0.1 and gap < 1e-4


if __name__ == "__main__":
    main()
