"""The stability report as one HTML file that needs nothing else: no network, no script, no font.

What the page says is put together in :mod:`seqdyn.reports.stability.sections`; here it is only set. The template
escapes every text, so a name may hold anything.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from seqdyn.figures import STYLE
from seqdyn.reports.stability.captions import CAPTIONS
from seqdyn.reports.stability.figures import FIGURES, drawable
from seqdyn.reports.stability.sections import Page, Picture, page_of
from seqdyn.reports.stability.tables import Content

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 80_000
"""Bytes of a drawing that stays one; a larger one becomes an image, so that the page stays below 2 MB."""
SHARP = 160
"""Dots per inch of such an image."""
COLOURS = 96
"""Colours of such an image."""


class Encoded(NamedTuple):
    """A figure as a file: how its name ends, what is in it, its size in CSS pixels."""

    suffix: str
    data: bytes
    width: int
    height: int

    @property
    def uri(self) -> str:
        """The file inside an address."""
        kind = {"svg": "image/svg+xml", "png": "image/png"}[self.suffix]
        return f"data:{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


def to_html(content: Content, *, inline: bool = True, minimal: bool = False) -> str:
    """The report as one HTML page.

    Parameters
    ----------
    content : mapping
        The report.
    inline : bool
        False: the page refers to its figures by name; :func:`page_figures` gives the files to be put beside it.
    minimal : bool
        True: no figures.

    Returns
    -------
    str
        The same text for the same content. Every number shown carries all its digits in ``data-value``, and where it
        stands in the report's JSON in ``data-pointer``.

    Examples
    --------
    >>> import torch
    >>> from seqdyn.cells.elman import Elman
    >>> from seqdyn.reports.stability.report import stability_report
    >>> report = stability_report(Elman(1, 4), torch.ones(4, 60, 1), required_lag=10, tier="fast")
    >>> page = to_html(report.content, minimal=True)
    >>> report.verdict in page, "<script" in page
    (True, False)
    """
    files = {} if minimal else _encoded(content)
    pictures = {
        name: Picture(file.uri if inline else f"{name}.{file.suffix}", CAPTIONS[name](content), file.width, file.height)
        for name, file in files.items()
    }
    return render(page_of(content, pictures))


def page_figures(content: Content) -> dict[str, bytes]:
    """The figures of the page as files, by name: what ``to_html(content, inline=False)`` refers to.

    Parameters
    ----------
    content : mapping
        The report.

    Returns
    -------
    dict of str to bytes
        SVG drawings, and PNG images where a drawing would be large.
    """
    return {f"{name}.{file.suffix}": file.data for name, file in _encoded(content).items()}


def render(page: Page) -> str:
    """Set a page.

    Parameters
    ----------
    page : Page

    Returns
    -------
    str
        HTML.
    """
    return _template().render(page=page) + "\n"


def encode(figure: Callable[[], Figure]) -> Encoded:
    """A figure as a file that is the same every time: SVG, or PNG if that is too large.

    Parameters
    ----------
    figure : callable
        Draws it.

    Returns
    -------
    Encoded
    """
    drawing = figure()
    width, height = (round(96 * inches) for inches in drawing.get_size_inches())
    data = _saved(drawing, "svg", metadata={"Date": None, "Creator": None})
    if len(data) <= LARGEST:
        return Encoded("svg", data, width, height)
    image = _few_colours(_saved(drawing, "png", dpi=SHARP, metadata={"Software": None}))
    return min(Encoded("svg", data, width, height), Encoded("png", image, width, height), key=lambda one: len(one.data))


def _encoded(content: Content) -> Mapping[str, Encoded]:
    return {name: encode(lambda draw=FIGURES[name][1]: draw(content)) for name in drawable(content)}  # type: ignore[misc]


def _saved(drawing: Figure, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "seqdyn", "svg.fonttype": "path"}):
        drawing.savefig(file, format=kind, **how)
    return file.getvalue()


def _few_colours(image: bytes) -> bytes:
    """The same image with a palette, a third of its size."""
    file = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, "png")
    return file.getvalue()


@cache
def _template() -> Template:
    text = resources.files("seqdyn.reports.stability").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)
