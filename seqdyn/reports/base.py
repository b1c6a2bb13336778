"""What all reports share: a verdict, checks, and the forms they are handed on in."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqdyn.checks import check_choice
from seqdyn.reports.json_text import keep, to_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report(ABC):
    """A report, made of one dictionary, so that all its forms agree number for number.

    Parameters
    ----------
    content : dict
        Everything, as plain dictionaries, lists, numbers and strings. ``content["verdict"]`` has a ``name``, a
        ``severity`` and a ``reason``; every one of ``content["checks"]`` a ``status``.
    """

    def __init__(self, content: Mapping[str, Any]):
        self.content = dict(content)

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        return str(self.content["verdict"]["name"])

    @property
    def severity(self) -> str:
        """How bad that is: ``"PASS"``, ``"WARN"`` or ``"FAIL"``."""
        return str(self.content["verdict"]["severity"])

    @property
    def reason(self) -> str:
        """The verdict in one sentence."""
        return str(self.content["verdict"]["reason"])

    def passed(self, *, fail_on: str = "fail", not_run: bool = False) -> bool:
        """Whether the verdict and all checks passed.

        Parameters
        ----------
        fail_on : {"fail", "warn"}
            The mildest finding that counts as failing.
        not_run : bool
            Whether a check that was skipped or could not be computed counts as failing, too.
        """
        check_choice("fail_on", fail_on, ["fail", "warn"])
        bad = {"FAIL"} | ({"WARN"} if fail_on == "warn" else set()) | ({"SKIPPED", "ERROR"} if not_run else set())
        return self.severity not in bad and not any(check["status"] in bad for check in self.content["checks"])

    @property
    def exit_code(self) -> int:
        """0 if it passed, else 1."""
        return 0 if self.passed() else 1

    def to_json(self, path: str | Path | None = None) -> str:
        """The content as JSON; what is not finite as ``"inf"``, ``"-inf"``, ``"nan"``.

        Parameters
        ----------
        path : path, optional
            Where to write it.
        """
        return keep(to_json(self.content), path)

    @abstractmethod
    def _page(self, minimal: bool) -> str:
        """The report as one HTML page."""

    def to_html(self, path: str | Path | None = None, *, minimal: bool = False) -> str:
        """One HTML file that stands alone: no network, no script.

        Parameters
        ----------
        path : path, optional
            Where to write it.
        minimal : bool
            Leave out the figures.

        Returns
        -------
        str
            The page.
        """
        return keep(self._page(minimal), path)

    @abstractmethod
    def plot(self) -> Figure:
        """What matters most, in one figure."""

    def to_png(self, path: str | Path) -> None:
        """Write :meth:`plot` to a file."""
        self.plot().savefig(path, format="png")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.verdict} ({self.severity})>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
