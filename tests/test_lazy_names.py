"""A package's names are those of its stub; each is imported when it is first used, and nothing before."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from seqdyn.lazy_names import attach, read_stub

ROOT = Path(__file__).parents[1] / "seqdyn"
PACKAGES = [".".join(stub.parent.relative_to(ROOT.parent).parts) for stub in sorted(ROOT.rglob("__init__.pyi"))]


def test_the_packages_with_stubs() -> None:
    """Six packages have names of their own."""
    assert PACKAGES == [
        "seqdyn",
        *(f"seqdyn.{name}" for name in ("datasets", "dynamics", "metrics", "motion", "phase_figures")),
    ]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_of_the_stub_is_there(name: str) -> None:
    """Each name has a value; each line of the stub is read; a module is a name, but not exported by ``*``."""
    package = import_module(name)
    modules = read_stub(name, package.__file__)
    lines = Path(package.__file__).with_suffix(".pyi").read_text(encoding="utf-8").splitlines()
    assert len(modules) == sum(" import " in line for line in lines)
    for attribute, module in modules.items():
        value = getattr(package, attribute)
        assert value is import_module(module) or value is getattr(import_module(module), attribute)
        assert (attribute in package.__all__) == (module != f"{name}.{attribute}")
    assert set(dir(package)) == {*modules, *package.__all__}


@pytest.mark.parametrize("name", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    """``hasattr`` says no, and the message says where to look."""
    assert not hasattr(import_module(name), "nothing")
    with pytest.raises(AttributeError, match=rf"module '{name}' has no attribute 'nothing'; see dir\({name}\)"):
        _ = import_module(name).nothing


def test_attach_reads_one_line_a_name(tmp_path: Path) -> None:
    """Names, modules and the package's own names, in this order."""
    (tmp_path / "__init__.pyi").write_text(
        '"""Names."""\n\nfrom . import json as json\nfrom .path import join as join\n'
    )
    get, names, exported = attach("os", str(tmp_path / "__init__.py"), "__version__")
    assert exported == ["__version__", "join"] and names() == ["__version__", "join", "json"]
    import os.path

    assert get("join") is os.path.join


def test_importing_loads_nothing_heavy() -> None:
    """``import seqdyn`` loads its list of names alone."""
    code = "import sys, seqdyn; print(sorted(m for m in sys.modules if m.startswith(('seqdyn', 'torch', 'numpy'))))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "['seqdyn', 'seqdyn.lazy_names']"
