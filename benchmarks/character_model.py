"""Is the character model as fast as a bare torch loop, and how fast does it write?

Training: LanguageModel.fit beside nn.Embedding, nn.LSTM and nn.Linear in a loop by hand, LSTM 256, 64 streams, chunks
of 64, the same text, Adam (fused), gradients clipped; both read the text, make the vocabulary, and go through it once.
Writing: one stream, and 64 side by side.

    SEQDYN_DATA=… python benchmarks/character_model.py [--rounds 7] [--characters 300000]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from measure import data_folder, machine, report, take_turns
from torch import nn

from seqdyn import LanguageModel

HIDDEN, STREAMS, CHUNK = 256, 64, 64


def bare(text: str) -> Callable[[], None]:
    """The loop by hand."""

    class Network(nn.Module):
        def __init__(self, symbols: int):
            super().__init__()
            self.embedding, self.lstm = nn.Embedding(symbols, 64), nn.LSTM(64, HIDDEN, batch_first=True)
            self.readout = nn.Linear(HIDDEN, symbols)

        def forward(self, x: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None) -> tuple:
            output, state = self.lstm(self.embedding(x), state)
            return self.readout(output), state

    def train() -> None:
        symbols = sorted(set(text))
        numbers = {symbol: number for number, symbol in enumerate(symbols)}
        tokens = torch.tensor([numbers[symbol] for symbol in text])
        length = len(tokens) // STREAMS
        rows = tokens[: STREAMS * length].view(STREAMS, length)
        network, state = Network(len(symbols)), None
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3, fused=True)
        for place in range(0, length - 1, CHUNK):
            chunk = rows[:, place : place + CHUNK + 1]
            scores, state = network(chunk[:, :-1], state)
            state = tuple(leaf.detach() for leaf in state)
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), chunk[:, 1:].flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return train


def ours(text: str) -> Callable[[], LanguageModel]:
    """The same through the library."""
    model = LanguageModel(hidden_size=HIDDEN, streams=STREAMS, bptt_length=CHUNK, max_epochs=1, random_state=0)
    return lambda: model.fit(text)


def speed(write: Callable[[], object], symbols: int, rounds: int) -> np.ndarray:
    """Symbols a second in every round, after a first that is not counted."""
    write()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        write()
        seconds.append(time.perf_counter() - began)
    return symbols / np.array(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--characters", type=int, default=300_000)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # one epoch still learns
    print(machine())
    text = (data_folder() / "tinyshakespeare.txt").read_text(encoding="utf-8")[: given.characters]
    print(f"\ntraining, once through {len(text):,} characters")
    seconds = take_turns({"LanguageModel": ours(text), "bare torch": bare(text)}, given.rounds)
    ratio = report(seconds, "LanguageModel", "bare torch", 1.0, "s")
    model = ours(text)()
    print("\nwriting, characters a second (median, least and most of the rounds)")
    found = {}
    for rows, length in ((1, 2000), (64, 500)):
        rates = speed(lambda: model.generate(["The "] * rows, length, random_state=0), rows * length, given.rounds)  # noqa: B023
        found[rows] = np.median(rates)
        print(f"    {rows:2} side by side   {np.median(rates):9.0f}   {rates.min():9.0f} to {rates.max():9.0f}")
    print(f"    ratio {found[64] / found[1]:.1f}")
    raise SystemExit(ratio > 1.1 or found[1] < 2500 or found[64] < 10 * found[1])


if __name__ == "__main__":
    main()
