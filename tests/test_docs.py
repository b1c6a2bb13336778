"""The documentation is true: what it shows runs, what it links to is there, and every public name is in it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import seqdyn
from seqdyn import registry
from seqdyn.lazy_names import read_stub

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "examples" / "README.md", *DOCS.rglob("*.md")])
WRITTEN = [page for page in PAGES if "decisions" not in page.parts]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPEC = importlib.util.spec_from_file_location("refresh", DOCS / "refresh.py")
assert SPEC is not None and SPEC.loader is not None
refresh = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(refresh)
COMMANDS = [
    'pip install -c constraints.txt ".[fast]" && seqdyn demo',
    'pip install -c constraints.txt ".[test]" && pytest',
]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """All fenced blocks of a page: (language, text)."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def prose(page: Path) -> str:
    """The page without its blocks and its inline code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as mkdocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", refresh.pages(), ids=named)
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run in order, and what it shows as their output is what they print, numbers too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_OWN", {})  # what a page registers ends with it
    drifted = [fault for output in refresh.outputs(page) for fault in refresh.drift(output.shown, output.printed)]
    assert not drifted, "\n".join(
        [f"{named(page)} has drifted; python docs/refresh.py {named(page)} renews it", *drifted]
    )


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("RMSE 20.1, R² 0.87", "RMSE 20.4, R² 0.85"),
        ("λ 0.02 in 30 steps", "λ 0.01 in 31 steps"),
        ("6.1·10⁻¹⁵ of its size", "9.8·10⁻¹⁵ of its size"),
        ("off by 3e-08", "off by 7.1e-10"),
        ("a   b\n-----\n1.0 2.0", "a b\n---\n1.0  2.0"),
        ("about 10⁻¹¹ of it", "about 10⁻¹¹ of it"),
    ],
)
def test_small_differences_are_the_machine(shown: str, printed: str) -> None:
    """5 %, or two units of the last digit; a size within a factor; rounding errors of any size."""
    assert refresh.drift(shown, printed) == []


@pytest.mark.parametrize(
    ("shown", "printed", "fault"),
    [
        ("0.12 seconds", "0.24 seconds", "the page says 0.12, the code gives 0.24"),
        ("508 wide", "268 wide", "the page says 508, the code gives 268"),
        ("12 rows", "13 rows", "the page says 12, the code gives 13"),
        ("2009-10-01  13015.0", "2010-01-01  13015.0", "the page shows"),
        ("gain -5.01", "gain 5.01", "the page says -5.01, the code gives 5.01"),
        ("about 10⁻¹¹ of it", "about 10⁻⁹ of it", "the page says 10⁻¹¹, the code gives 10⁻⁹"),
        ("a 1", "b 1", "the page shows"),
        ("1 2", "1", "the page shows"),
    ],
)
def test_drift_is_found(shown: str, printed: str, fault: str) -> None:
    """Another number, another date, another word."""
    (found,) = refresh.drift(shown, printed)
    assert found.startswith(fault)


def test_a_page_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block after a block of code takes what that prints today; the rest of the page stays."""
    monkeypatch.setattr(refresh, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    text = "A\n\n```python\nx = {}\nprint('is', x)\n```\n\n```text\nis 3\n```\n\nB ```text```\n\n```text\n7\n```\n"
    page.write_text(text.format(5), encoding="utf-8")
    renewed, faults = refresh.renewed(page)
    assert renewed == text.format(5).replace("is 3", "is 5") and faults == ["the page says 3, the code gives 5"]


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_blocks_have_a_language(page: Path) -> None:
    """Every fence says what it holds, so that none is skipped by mistake, and every fence is closed."""
    assert {language for language, _ in blocks(page)} <= {"python", "text", "bash"}
    assert "```" not in FENCE.sub("", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_resolve(page: Path) -> None:
    """Files and headings that are linked to exist."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{named(page)} links to {target}"
        assert not anchor or anchor in anchors(there), f"{named(page)} links to {target}"


@pytest.mark.parametrize("page", WRITTEN, ids=named)
def test_paths_exist(page: Path) -> None:
    """A path into the package, the tests, the examples or the benchmarks is a file or a folder."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for path in re.findall(r"`((?:seqdyn|tests|examples|benchmarks|docs|datasets)/[\w./]*)`", text):
        assert (ROOT / path).exists(), f"{named(page)} names {path}"


def test_the_two_commands() -> None:
    """The README holds exactly the two commands that CI runs."""
    text = FENCE.sub("", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert [line.strip() for line in text.splitlines() if line.startswith("    ")] == COMMANDS


def test_every_public_name_is_in_the_reference() -> None:
    """A name in ``__all__`` is listed in the map, and one page shows it, or the whole of its module."""
    index = (DOCS / "reference" / "index.md").read_text(encoding="utf-8")
    shown = [page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")]
    modules = read_stub("seqdyn", seqdyn.__file__)
    assert {*modules} >= {*seqdyn.__all__} - {"__version__"}
    for name in {*seqdyn.__all__} - {"__version__"}:
        assert f"`{name}`" in index
        page = "\n".join(page for page in shown if f"::: {modules[name]}\n" in page)
        (listed,) = re.findall(
            rf"^::: {re.escape(modules[name])}\n(?:    options:\n      members: \[(.+)\])?", page, re.M
        )
        assert not listed or name in listed.split(", ")


def test_the_map_of_help_names_every_module() -> None:
    """``help(seqdyn)`` shows every module and package at the top level."""
    found = {path.stem for path in (ROOT / "seqdyn").glob("[!_]*") if path.suffix == ".py" or path.is_dir()}
    assert found <= {*re.findall(r"[a-z_0-9]+", seqdyn.__doc__)}


def test_the_reference_is_up_to_date() -> None:
    """The pages are what ``docs/make_reference.py`` would write."""
    check = subprocess.run(
        [sys.executable, DOCS / "make_reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr


def test_every_page_is_in_the_navigation() -> None:
    """mkdocs.yml names every page; of the decisions only their table."""
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    pages = {str(page.relative_to(DOCS)) for page in WRITTEN if DOCS in page.parents} | {"decisions/README.md"}
    assert set(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == pages


def test_names_of_the_notation_exist() -> None:
    """Every dotted name, call and fitted attribute in the tables of the notation is a name in the code."""
    page = (DOCS / "notation.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|") and not line.startswith("|---")]
    codes = {code for row in rows for code in re.findall(r"`([^`]+)`", row)}
    cells = {
        "MovingAverage": seqdyn.MovingAverage(2, weights="learned"),
        "ExponentialMovingAverage": seqdyn.ExponentialMovingAverage(2),
        "Linear": seqdyn.Linear(2, 3),
        "Elman": seqdyn.Elman(2, 3, output_size=1),
        "LSTM": seqdyn.LSTM(2, 3, peepholes=True),
        "GRU": seqdyn.GRU(2, 3),
    }
    checked = set()
    for code in codes:
        owner, _, path = code.partition(".")
        if owner not in cells and (not hasattr(seqdyn, owner) or owner.islower()):
            continue  # a variable such as state.h, or a function with its arguments
        thing = cells.get(owner) or getattr(seqdyn, owner)
        for name in re.match(r"[\w.]*", path)[0].split(".") if path else ():
            assert hasattr(thing, name) or name in getattr(thing, "__dataclass_fields__", ()), code
            thing = getattr(thing, name, None)
        checked.add(owner)
    assert set(cells) <= checked
    fitted = {code for code in codes if re.fullmatch(r"[a-z]\w*_", code)}
    linear = seqdyn.LinearStateSpaceRegressor
    assert all(hasattr(linear, name) or name in ("gamma_", "history_") for name in fitted) and len(fitted) >= 5
    for name in ("input_weight", "recurrent_weight", "bias"):
        assert {f"{cell}.{name}" for cell in ("Elman", "LSTM", "GRU")} <= codes


def test_words_of_the_notation_are_used() -> None:
    """The vocabulary of axes has one row a word."""
    page = (DOCS / "notation.md").read_text(encoding="utf-8").partition("## Symbols")[0]
    words = ["batch", "time", "inputs", "outputs", "hidden", "series", "lag", "horizon"]
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == words


def test_modules_of_the_reference_exist() -> None:
    """Every directive names a module that can be imported."""
    for page in (DOCS / "reference").glob("*.md"):
        for module in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            import_module(module)


def test_the_source_distribution_holds_what_the_readme_links_to() -> None:
    """Whoever unpacks the sdist can follow every link of the README, run the tests, and build the site."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        included = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(ROOT / "README.md"))
    linked = {target.partition("/")[0] for target in targets if not re.match(r"[a-z]+:", target)}
    needed = {"mkdocs.yml", "CONTRIBUTING.md", "constraints.txt", "tests", "docs", ".ci", "seqdyn"}
    assert linked | needed <= {*included}
    assert all((ROOT / name).exists() for name in included)


def test_the_docs_tools_are_pinned() -> None:
    """The versions that build the site are in constraints.txt, with all others."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    for requirement in [*extras["docs"], *extras["test"]]:
        assert re.match(r"[\w-]+", requirement)[0].lower() in {name.lower() for name in pinned}, requirement
    assert "mkdocs build --quiet --strict" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
