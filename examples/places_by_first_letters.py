"""Place names, letter by letter: a model of 450 names completes a few first letters to names that sound right.

Each name ends with a line end, after which the model has learnt to begin another one. It predicts names that it has not
seen better than the frequencies of letters do, and most of what it writes is on no list.
"""

from zoneinfo import available_timezones

import numpy as np

from seqdyn import LanguageModel


def places() -> list[str]:
    """The places that time zones are named after, in a drawn order; they come with Python or the package tzdata."""
    zones = (name.split("/") for name in available_timezones())
    names = {parts[-1].replace("_", " ") for parts in zones if len(parts) > 1 and parts[0] not in ("Etc", "SystemV")}
    kept = sorted(name for name in names if name.replace(" ", "").isalpha())
    return np.random.default_rng(0).permutation(kept).tolist()


def main() -> None:
    names = places()
    train, test = names[: int(0.9 * len(names))], names[int(0.9 * len(names)) :]
    known = set("".join(train))
    test = [name for name in test if set(name) <= known]
    text, unseen = ("".join(f"{name}\n" for name in part) for part in (train, test))
    model = LanguageModel(hidden_size=96, dropout=0.3, streams=16, bptt_length=32, max_epochs=40, random_state=0)
    model.fit(text)
    shares = np.array([text.count(symbol) for symbol in unseen]) / len(text)
    alone, found = -np.log(shares).mean(), -model.score(unseen)
    print(f"{len(names)} names; held out: {found:.2f} nats a letter, {alone:.2f} by the frequencies of letters")

    begun = ["San ", "Ber", "Kat", "Mon", "Q"]
    written = model.generate(begun * 8, 20, temperature=0.7, stop="\n", random_state=0)
    completed = [begin + rest.rstrip("\n") for begin, rest in zip(begun * 8, written, strict=True)]
    for first in begun:
        print(f"  {first:4}", ", ".join(dict.fromkeys(name for name in completed if name.startswith(first))))
    new = [name for name in completed if name not in names]
    print(f"{len(new)} of {len(completed)} are on no list")
    assert found < alone - 0.4 and len(new) > len(completed) / 2


if __name__ == "__main__":
    main()
