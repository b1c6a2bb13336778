"""What all reports share: a verdict, checks, and the forms they are handed on in."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pandas as pd
import xarray

from seqdyn.checks import check_choice
from seqdyn.reports.json_text import Schema, from_json, keep, to_json
from seqdyn.reports.quantities import Quantity, checks_frame, to_frame, to_xarray

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

    schema: ClassVar[Schema]
    """What its JSON is read as."""

    quantities: ClassVar[tuple[Quantity, ...]]
    """What its frame and its labelled arrays hold."""

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
        """0 if it passed, 1 if it did not, 2 if that was not decided; see :meth:`exit_code_of` for warnings."""
        return self.exit_code_of(fail_on="fail")

    def exit_code_of(self, *, fail_on: str) -> int:
        """0 if it passed, 1 if it did not, 2 if that could not be decided.

        Parameters
        ----------
        fail_on : {"fail", "warn"}
            The mildest finding that counts as failing.
        """
        if not self.passed(fail_on=fail_on):
            return 1
        undecided = self.verdict == "INCONCLUSIVE" or any(one["status"] == "ERROR" for one in self.content["checks"])
        return 2 if undecided else 0

    @property
    def checks(self) -> pd.DataFrame:
        """One row a check: its status, value and threshold."""
        return checks_frame(self.content)

    def to_frame(self) -> pd.DataFrame:
        """Every number, one a row."""
        return to_frame(self.content, self.quantities)

    def to_xarray(self) -> xarray.Dataset:
        """The curves and spectra, with their axes named."""
        return to_xarray(self.content, self.quantities)

    @classmethod
    def from_json(cls, text: str | Path) -> Self:
        """The report that :meth:`to_json` wrote: its text, or a ``pathlib.Path`` to its file."""
        return cls(from_json(text.read_text(encoding="utf-8") if isinstance(text, Path) else text, cls.schema))

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
