"""How many characters back does a character model read? Cut its context, and look at the price; follow its gradients.

A model of Python's documentation is scored with the last k characters only. Each doubling of k helps less, and beyond
some ten characters nothing is gained by so small a model. Its state and its gradients remember for longer than that.
"""

import numpy as np
import torch

from seqdyn import LanguageModel, scan, stability_report
from seqdyn.datasets import load_python_documentation
from seqdyn.dynamics import memory_horizons
from seqdyn.training.heads import CrossEntropy

CONTEXTS = (1, 2, 4, 8, 16, 32, 64)


def with_context(model: LanguageModel, text: str, k: int, count: int = 400) -> float:
    """Nats a character, each predicted from the k before it; the same characters for every k."""
    numbers = torch.as_tensor(model.vocabulary_.encode(text))
    ends = np.linspace(max(CONTEXTS), len(numbers) - 1, count).astype(int)
    begin = torch.full((count, 1), len(model.vocabulary_))  # the token that says that nothing is known
    x = torch.cat([begin, torch.stack([numbers[end - k : end] for end in ends])], 1)
    with torch.inference_mode():
        log_p = torch.log_softmax(scan(model.network_, x).output[:, -1], -1)
    return -float(log_p[range(count), numbers[ends]].mean())


def main() -> None:
    text = load_python_documentation()
    train, test = text[:120_000], text[120_000:150_000]
    model = LanguageModel(hidden_size=96, streams=32, bptt_length=64, learning_rate=6e-3, max_epochs=8, min_count=3,
                          random_state=0).fit(train)  # fmt: skip
    found = {k: with_context(model, test, k) for k in CONTEXTS}
    for k, nats in found.items():
        print(f"{k:3} characters: {nats:.3f} nats")
    best = found[max(CONTEXTS)]
    enough = min(k for k, nats in found.items() if nats < best + 0.02)
    print(f"{enough} characters are as good as {max(CONTEXTS)}, to 0.02 nats")

    report = stability_report(model, test[:2000], required_lag=enough, tier="fast", max_sequences=1, max_steps=256)
    print(f"an error reaches the state {enough} characters before it with 10^{report.gradient.median:.1f} of its size")
    rows = model.rows(test[:256])
    loss = CrossEntropy(len(model.vocabulary_)).loss
    horizons = memory_horizons(model.network_, rows.x[None], loss=lambda scores: loss(scores, rows.y[None]))
    for name in ("gradient", "products"):
        print(f"{name}: a hundredth is left after {horizons[name].steps:.0f} characters")
    assert found[1] > found[2] > found[4] > best + 0.1 and enough <= 32
    assert report.passed() and horizons["products"].steps > enough


if __name__ == "__main__":
    main()
