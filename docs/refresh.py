"""Run the Python blocks of the documentation and compare, or renew, what stands below them as their output.

    python docs/refresh.py                       renew all pages
    python docs/refresh.py docs/start.md         renew one
    python docs/refresh.py --check               say what has drifted, and fail

The blocks of a page run in order, in one namespace. A ``text`` block right after one shows what it prints.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DATE = r"\b\d{4}-\d\d(?:-\d\d)?(?:[ T]\d\d:\d\d(?::\d\d)?)?\b"
EXPONENTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹·", "-0123456789.")
POWER = "10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹·]+"
NUMBER = re.compile(rf"{DATE}|{POWER}|[-+−]?\d+(?:\.\d*)?(?:e[-+]?\d+|·{POWER})?")

SHARE = 0.05
"""Numbers differ between machines: by this share of them, or by two units of the last digit that is printed."""
FACTOR = 3.0
"""A number with an exponent is a size: it differs by less than this factor."""
ROUNDING = 1e-6
"""What is printed with an e and is below this is a rounding error: any size is right."""


class Output(NamedTuple):
    """What a block prints, and what the page says that it prints; ``span`` is where that stands in the page."""

    printed: str
    shown: str
    span: tuple[int, int]


def pages() -> list[Path]:
    """Every page with Python in it, decisions included."""
    every = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in every if "```python\n" in page.read_text(encoding="utf-8")]


def outputs(page: Path) -> Iterator[Output]:
    """Run a page in the current folder, block by block."""
    text = page.read_text(encoding="utf-8")
    blocks = list(FENCE.finditer(text))
    namespace: dict[str, object] = {"__name__": f"page_{page.stem}"}
    for number, block in enumerate(blocks):
        if block[1] != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block[2], f"{page.relative_to(ROOT)}, block {number}", "exec"), namespace)
        following = blocks[number + 1] if number + 1 < len(blocks) else block
        if printed.getvalue() and following[1] == "text" and not text[block.end() : following.start()].strip():
            yield Output(tidy(printed.getvalue()), following[2], following.span(2))


def tidy(printed: str) -> str:
    """Output without blanks at the ends of its lines."""
    return "\n".join(line.rstrip() for line in printed.rstrip().splitlines()) + "\n"


def skeleton(text: str) -> str:
    """Output without its numbers and its spacing; dates stay."""
    plain = NUMBER.sub(lambda number: number[0] if re.fullmatch(DATE, number[0]) else "#", text)
    return re.sub(r"-{2,}|─{2,}", "--", re.sub(r"\s+", " ", plain)).strip()


def drift(shown: str, printed: str) -> list[str]:
    """What a page says and the code does not, one sentence a number; empty if they agree."""
    if skeleton(shown) != skeleton(printed):
        return [f"the page shows\n{shown}\nand the code prints\n{printed}"]
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return [f"the page says {old}, the code gives {new}" for old, new in pairs if not agree(old, new)]


def agree(old: str, new: str) -> bool:
    """Whether two printed numbers may come from the same code on two machines."""
    if old == new or re.fullmatch(DATE, old) or re.fullmatch(DATE, new):
        return old == new
    a, b = value(old), value(new)
    if re.search(f"e|{POWER}", old + " " + new):
        small, large = sorted((abs(a), abs(b)))
        return ("e" in old and large < ROUNDING) or (a * b > 0 and large <= FACTOR * small)
    digits = min(len(number.partition(".")[2]) for number in (old, new))
    units = 2.0 * 10.0**-digits if digits else 0.0
    return abs(a - b) <= max(SHARE * abs(a), units) + 1e-12


def value(number: str) -> float:
    """A printed number, also one such as 6.1·10⁻¹⁵."""
    base, power = re.sub(rf"·?{POWER}$", "", number.replace("−", "-")), re.search(rf"{POWER}$", number)
    return float(base or 1.0) * (10.0 ** float(power[0][2:].translate(EXPONENTS)) if power else 1.0)


def renewed(page: Path) -> tuple[str, list[str]]:
    """The text of a page with the output of today, and what has drifted."""
    text, faults = page.read_text(encoding="utf-8"), []
    for output in reversed(list(outputs(page))):
        found = drift(output.shown, output.printed)
        if found:
            text = text[: output.span[0]] + output.printed + text[output.span[1] :]
        faults = [*found, *faults]
    return text, faults


def main(arguments: list[str]) -> int:
    """Renew the pages that are named, or all; with ``--check`` only say what has drifted."""
    named = [Path(argument).resolve() for argument in arguments if argument != "--check"]
    drifted = False
    for page in named or pages():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            text, faults = renewed(page)
        drifted |= bool(faults)
        print("\n".join([str(page.relative_to(ROOT)), *(f"    {fault}" for fault in faults)]), flush=True)
        if "--check" not in arguments:
            page.write_text(text, encoding="utf-8")
    return int(drifted and "--check" in arguments)


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    sys.exit(main(sys.argv[1:]))
