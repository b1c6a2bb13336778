"""A report as one HTML file that needs no network, script or font.

A page has a verdict, advice, and sections with a sentence on how to read them, figures and tables. Of a folded section
only the heading is shown until it is clicked. The template escapes every text; text between backticks is set as code.
A number in a table is a :class:`Number` with all its digits and its place in the report's JSON, so that a test can
compare the page with the JSON.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import quote

import matplotlib
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape
from PIL import Image

from seqdyn.figures import STYLE
from seqdyn.reports.json_text import exact_number
from seqdyn.reports.number_format import format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_SVG = 16_000
"""In bytes: a larger vector graphic becomes an image."""
IMAGE_DPI = 100
"""The resolution of such an image, in dots per inch."""
PALETTE_SIZE = 32
"""How many colours such an image has."""


@dataclass(frozen=True)
class Number:
    """A number of the report, its place in the JSON, and a sign to write before it, such as "≥ "."""

    value: Any
    pointer: str = ""
    before: str = ""
    kind: ClassVar[str] = "number"

    @property
    def shown(self) -> str:
        """The number with 4 digits."""
        return self.before + format_number(self.value)

    @property
    def exact(self) -> str:
        """The number with all its digits."""
        return exact_number(self.value)


@dataclass(frozen=True)
class Status:
    """The status of a check."""

    word: str
    kind: ClassVar[str] = "status"


TableItem = str | Number | Status
TableRows = list[list[TableItem]]


class PageTable(NamedTuple):
    """A table; the first item of a row is its header. Units are in the headers, or in a column of their own."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[TableItem]]


class Sentences(NamedTuple):
    """A list of sentences under a title."""

    title: str
    sentences: Sequence[str]


class Picture(NamedTuple):
    """A figure: its address, a caption, and its size in CSS pixels."""

    source: str
    alt: str
    width: int
    height: int


class Section(NamedTuple):
    """One section of the page."""

    anchor: str
    title: str
    how: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[PageTable] = ()
    lists: Sequence[Sentences] = ()
    folded: bool = False


class Page(NamedTuple):
    """A page: the verdict with its severity ("PASS", "WARN" or "FAIL"), advice and sections."""

    title: str
    badge: str
    severity: str
    reason: str
    tables: Sequence[PageTable]
    advice: Sequence[str]
    sections: Sequence[Section]


class EncodedFigure(NamedTuple):
    """A figure as a file: the suffix of its name, its bytes, and its size in CSS pixels."""

    suffix: str
    data: bytes
    width: int
    height: int

    def picture(self, alt: str) -> Picture:
        """The figure embedded in a page."""
        if self.suffix == "svg":
            source = "data:image/svg+xml," + quote(self.data.decode("utf-8"), safe=" ='/:;,.()-+*@!{}")
        else:
            source = "data:image/png;base64," + base64.b64encode(self.data).decode("ascii")
        return Picture(source, alt, self.width, self.height)


def render(page: Page) -> str:
    """Render a page as HTML: the same page gives the same text.

    Examples
    --------
    >>> page = Page("A report", "OK", "PASS", "Try `x=1`.", (), (), [Section("one", "One", "A sentence.", folded=True)])
    >>> text = render(page)
    >>> "<code>x=1</code>" in text, "<details" in text, "<script" in text
    (True, True, False)
    """
    return _template().render(page=page) + "\n"


def encode(drawing: Figure) -> EncodedFigure:
    """Save a figure as SVG, or as PNG if that is too large; the same figure gives the same bytes."""
    width, height = (round(96 * inches) for inches in drawing.get_size_inches())
    data = _lean(_saved(drawing, "svg", metadata={"Date": None, "Creator": None}))
    if len(data) <= LARGEST_SVG:
        return EncodedFigure("svg", data, width, height)
    image = _few_colours(_saved(drawing, "png", dpi=IMAGE_DPI, metadata={"Software": None}))
    suffix, least = ("svg", data) if len(data) <= len(image) else ("png", image)
    return EncodedFigure(suffix, least, width, height)


def _saved(drawing: Figure, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "seqdyn", "svg.fonttype": "none"}):
        drawing.savefig(file, format=kind, **how)
    return file.getvalue()


def _lean(drawing: bytes) -> bytes:
    """The same drawing without invisible parts: comments, names of groups, fractions of pixels, repeated styles."""
    text = re.sub(r"<!.*?>|<\?.*?\?>|<metadata>.*?</metadata>", "", drawing.decode("utf-8"), flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), text)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\d\.\d)\d", r"\1", path[0]), text)
    text = re.sub(r"(font-family: 'DejaVu Sans'),[^;\"]*", r"\1, sans-serif", text)
    text = re.sub(r'(?<=<g) id="[^"]*"| transform="rotate\(-0 [^"]*"', "", text)
    styles: dict[str, str] = {}
    text = re.sub(r'style="([^"]*)"', lambda found: f'class="{styles.setdefault(found[1], f"s{len(styles)}")}"', text)
    classes = "".join(f".{name}{{{style}}}" for style, name in styles.items())
    text = text.replace("</style>", f"{classes}</style>", 1)
    return re.sub(r"\s+", " ", text).replace('"', "'").replace("> <", "><").strip().encode("utf-8")


def _few_colours(image: bytes) -> bytes:
    """The same image with a palette, at a third of its size."""
    file = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").quantize(PALETTE_SIZE, dither=Image.Dither.NONE).save(file, "png")
    return file.getvalue()


def _prose(text: str) -> Markup:
    """A text as HTML, with code between backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _template() -> Template:
    text = resources.files("seqdyn.reports").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["prose"] = _prose
    return environment.from_string(text)
