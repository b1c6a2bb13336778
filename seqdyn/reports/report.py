"""What all reports share: a verdict, checks, and export to HTML, JSON, a frame and labelled arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import pandas as pd
import xarray

from seqdyn.checks import check_choice
from seqdyn.facts import fact_line, fact_table
from seqdyn.reports.json_text import Schema, from_json, keep, to_json
from seqdyn.reports.quantities import ReportQuantity, checks_frame, report_arrays, report_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Report(ABC):
    """A report, made of one dictionary, so that all its exports agree number for number.

    Parameters
    ----------
    content : dict
        Everything, as plain dictionaries, lists, numbers and strings. ``content["verdict"]`` has a ``name``, a
        ``severity`` and a ``reason``; every entry of ``content["checks"]`` has a ``status``.
    """

    schema: ClassVar[Schema]
    """The schema of its JSON."""

    quantities: ClassVar[tuple[ReportQuantity, ...]]
    """The quantities in its frame and its labelled arrays."""

    def __init__(self, content: Mapping[str, Any]):
        self.content = dict(content)

    @property
    def verdict(self) -> str:
        """The verdict in one word."""
        return str(self.content["verdict"]["name"])

    @property
    def severity(self) -> str:
        """The severity of the verdict: ``"PASS"``, ``"WARN"`` or ``"FAIL"``."""
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
            The mildest finding that counts as a failure.
        not_run : bool
            Whether a check that was skipped or could not be computed counts as a failure, too.
        """
        check_choice("fail_on", fail_on, ["fail", "warn"])
        bad = {"FAIL"} | ({"WARN"} if fail_on == "warn" else set()) | ({"SKIPPED", "ERROR"} if not_run else set())
        return self.severity not in bad and not any(check["status"] in bad for check in self.content["checks"])

    @property
    def exit_code(self) -> int:
        """0 if the report passed, 1 if it failed, 2 if it is undecided; see :meth:`exit_code_of` for warnings."""
        return self.exit_code_of(fail_on="fail")

    def exit_code_of(self, *, fail_on: str) -> int:
        """0 if the report passed, 1 if it failed, 2 if it is undecided.

        Parameters
        ----------
        fail_on : {"fail", "warn"}
            The mildest finding that counts as a failure.
        """
        if not self.passed(fail_on=fail_on):
            return 1
        undecided = self.verdict == "INCONCLUSIVE" or any(one["status"] == "ERROR" for one in self.content["checks"])
        return 2 if undecided else 0

    @property
    def checks(self) -> pd.DataFrame:
        """One row for every check: its status, value and threshold."""
        return checks_frame(self.content)

    def to_frame(self) -> pd.DataFrame:
        """Every number in one tidy frame, one number in a row."""
        return report_frame(self.content, self.quantities)

    def to_xarray(self) -> xarray.Dataset:
        """The curves and spectra as labelled arrays."""
        return report_arrays(self.content, self.quantities)

    @classmethod
    def from_json(cls, text: str | Path) -> Self:
        """Read a report that :meth:`to_json` wrote.

        Parameters
        ----------
        text : str or pathlib.Path
            The JSON itself as a ``str``, or a ``Path`` to its file.
        """
        return cls(from_json(text.read_text(encoding="utf-8") if isinstance(text, Path) else text, cls.schema))

    def to_json(self, path: str | Path | None = None) -> str:
        """The content as JSON; ∞, −∞ and NaN become ``"inf"``, ``"-inf"`` and ``"nan"``.

        Parameters
        ----------
        path : path, optional
            A file to write it to.
        """
        return keep(to_json(self.content), path)

    @abstractmethod
    def _page(self, minimal: bool) -> str:
        """The report as one HTML page."""

    def to_html(self, path: str | Path | None = None, *, minimal: bool = False) -> str:
        """One HTML page that needs no network and no script.

        Parameters
        ----------
        path : path, optional
            A file to write it to.
        minimal : bool
            Whether to leave out the figures.

        Returns
        -------
        str
            The page.
        """
        return keep(self._page(minimal), path)

    @abstractmethod
    def plot(self) -> Figure:
        """The most important findings in one figure."""

    def to_png(self, path: str | Path) -> None:
        """Write :meth:`plot` to a PNG file.

        Parameters
        ----------
        path : path
            The file to write.
        """
        self.plot().savefig(path, format="png")

    def summary(self) -> str:
        """The report on one screen, as ``print`` shows it."""
        return str(self)

    def _facts(self) -> dict[str, object]:
        """What the representation says besides the verdict."""
        return {}

    def __repr__(self) -> str:
        return fact_line(type(self).__name__, {"verdict": self.verdict, "severity": self.severity} | self._facts())

    def _repr_html_(self) -> str:
        checks = self.checks
        bad = checks[checks["status"].isin(["WARN", "FAIL", "ERROR"])]
        facts = {"verdict": f"{self.verdict} ({self.severity})", "reason": self.reason} | self._facts()
        facts["checks passed"] = f"{(checks['status'] == 'PASS').sum()} of {len(checks)}"
        return fact_table(type(self).__name__, facts | dict(zip(bad.index, bad["status"], strict=True)))
