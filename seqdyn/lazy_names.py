"""Names of a package that are imported when they are first used.

A package lists its names once, in its stub ``__init__.pyi``, one line a name::

    from .loops import scan as scan

Type checkers and editors read the stub as it is; :func:`attach` reads the same lines at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module


def attach(package: str, file: str, *own: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, ``__dir__`` and ``__all__`` of a package; ``__all__`` leaves out its modules.

    ``package`` and ``file`` are its ``__name__`` and ``__file__``; ``own`` are names that the package itself defines.
    """
    modules = read_stub(package, file)

    def get(name: str) -> object:
        """The value of a name, imported now."""
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; see dir({package}) for its names.")
        module = import_module(modules[name])
        return module if modules[name] == f"{package}.{name}" else getattr(module, name)

    names = [name for name, module in modules.items() if module != f"{package}.{name}"]
    return get, lambda: sorted([*own, *modules]), [*own, *names]


def read_stub(package: str, file: str) -> dict[str, str]:
    """The module that each name of a package comes from, in the order of its stub."""
    modules = {}
    with open(f"{file.rpartition('.')[0]}.pyi", encoding="utf-8") as stub:
        for line in stub:
            if line.startswith("from ."):
                _, source, _, name, *_ = line.split()
                modules[name] = f"{package}.{name}" if source == "." else package + source
    return modules
