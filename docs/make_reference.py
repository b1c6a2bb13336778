"""Write the pages of ``docs/reference`` from the list of public names, floor by floor.

    python docs/make_reference.py            write them
    python docs/make_reference.py --check    fail if they are not what would be written

One page a package or module of ``seqdyn._HOME``, and one a further module that ``dir(seqdyn)`` names. What stands on a
page comes from the docstrings, through mkdocstrings, when the site is built.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import seqdyn

FOLDER = Path(__file__).parent / "reference"
PACKAGE = Path(seqdyn.__file__).parent


def floors() -> dict[str, str]:
    """The floor of every module group and what it is, from the docstring of the package."""
    found, floor = {}, ""
    for line in seqdyn.__doc__.splitlines():
        entry = re.match(r"\s+(?:floor (\d))?\s+([a-z_]+(?:, [a-z_]+)*)(?:\s{2,}(.+))?$", line)
        if entry:
            floor = entry[1] or floor
            found |= {name: (floor, entry[3] or "") for name in entry[2].split(", ")}
    return found


def modules(group: str) -> list[str]:
    """The modules of a group that have public names, those with exported names first, in the order of ``_HOME``."""
    if (PACKAGE / f"{group}.py").exists():
        return [group]
    exported = [module for module in seqdyn._HOME if module.startswith(f"{group}.")]
    others = sorted(f"{group}.{path.stem}" for path in (PACKAGE / group).glob("[!_]*.py"))
    return [*exported, *(module for module in others if module not in exported)]


def summary(module: str) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")))
    return re.split(r"(?<=\.)\s|\n\n", text or "")[0].replace("\n", " ").rstrip(".:").replace("``", "`")


def page(group: str) -> str:
    """One page: a heading and one directive a module."""
    lines = [f"# {group}", ""]
    for module in modules(group):
        lines += [f"::: seqdyn.{module}", ""]
    return "\n".join(lines)


def index(groups: dict[str, str]) -> str:
    """The map: every group with its floor and the names it exports."""
    lines = [
        "# Reference",
        "",
        "The package floor by floor; a module knows only the floors below its own. The names in the last column come",
        "from `seqdyn` itself, all others from their module.",
        "",
        "| floor | modules | | names in `seqdyn` |",
        "|---|---|---|---|",
    ]
    for group, floor in groups.items():
        names = [name for home, exported in seqdyn._HOME.items() if home.split(".")[0] == group for name in exported]
        what = floors()[group][1] or summary(modules(group)[0])
        lines.append(f"| {floor} | [{group}]({group}.md) | {what} | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """The text of every page by its file name."""
    known = floors()
    public = dict.fromkeys([*(module.split(".")[0] for module in seqdyn._HOME), *seqdyn._SUBMODULES])
    groups = {group: floor for group, (floor, _) in known.items() if group in public}
    missing = set(public) - set(groups)
    if missing:
        raise SystemExit(f"The docstring of seqdyn gives no floor for {sorted(missing)}.")
    return {"index.md": index(groups)} | {f"{group}.md": page(group) for group in groups}


def main(check: bool) -> int:
    """Write the pages, or compare them."""
    written = pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if check:
        stale = sorted(name for name in written.keys() | found if written.get(name) != found.get(name))
        if stale:
            print(f"Not up to date: {', '.join(stale)}. Run python docs/make_reference.py.")
        return int(bool(stale))
    FOLDER.mkdir(exist_ok=True)
    for name in found.keys() - written:
        (FOLDER / name).unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
