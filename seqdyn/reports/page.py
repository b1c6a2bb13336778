"""A report as one HTML file that needs nothing else: no network, no script, no font.

A page is a verdict, what to do, and sections of a sentence that says how to read them, figures and tables. A section
may be folded: its heading is shown, and the rest on a click. The template escapes every text, so a name may hold
anything; what stands between backticks is set as code. A number stands in a table as a :class:`Number`, with all its
digits and its place in the report's JSON: the page shows what the JSON holds, and a test compares them.
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
from seqdyn.reports.json_text import exact
from seqdyn.reports.writing import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 16_000
"""Bytes of a drawing that stays one; a larger one becomes an image."""
SHARP = 100
"""Dots per inch of such an image."""
COLOURS = 32
"""Colours of such an image."""


@dataclass(frozen=True)
class Number:
    """A number of the report, where it stands there, and what is written before it ("≥ ")."""

    value: Any
    pointer: str = ""
    before: str = ""
    kind: ClassVar[str] = "number"

    @property
    def shown(self) -> str:
        """With 4 digits."""
        return self.before + written(self.value)

    @property
    def exact(self) -> str:
        """With all digits."""
        return exact(self.value)


@dataclass(frozen=True)
class Status:
    """What a check came to."""

    word: str
    kind: ClassVar[str] = "status"


Item = str | Number | Status
Rows = list[list[Item]]


class Table(NamedTuple):
    """A table; the first item of a row is its header. Units stand in the headers of the columns, or in one of them."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Item]]


class Sentences(NamedTuple):
    """A list under a title."""

    title: str
    sentences: Sequence[str]


class Picture(NamedTuple):
    """A figure: its address, what it shows in words, its size in CSS pixels."""

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
    tables: Sequence[Table] = ()
    lists: Sequence[Sentences] = ()
    folded: bool = False


class Page(NamedTuple):
    """A page: the verdict with its severity ("PASS", "WARN" or "FAIL"), what to do, and its sections."""

    title: str
    badge: str
    severity: str
    reason: str
    tables: Sequence[Table]
    advice: Sequence[str]
    sections: Sequence[Section]


class Encoded(NamedTuple):
    """A figure as a file: how its name ends, what is in it, its size in CSS pixels."""

    suffix: str
    data: bytes
    width: int
    height: int

    def picture(self, alt: str) -> Picture:
        """The figure inside a page."""
        if self.suffix == "svg":
            source = "data:image/svg+xml," + quote(self.data.decode("utf-8"), safe=" ='/:;,.()-+*@!{}")
        else:
            source = "data:image/png;base64," + base64.b64encode(self.data).decode("ascii")
        return Picture(source, alt, self.width, self.height)


def render(page: Page) -> str:
    """Set a page: the same text for the same page.

    Parameters
    ----------
    page : Page

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> page = Page("A report", "OK", "PASS", "Try `x=1`.", (), (), [Section("one", "One", "A sentence.", folded=True)])
    >>> text = render(page)
    >>> "<code>x=1</code>" in text, "<details" in text, "<script" in text
    (True, True, False)
    """
    return _template().render(page=page) + "\n"


def encode(drawing: Figure) -> Encoded:
    """A figure as a file that is the same every time: SVG, or PNG if that is too large.

    Parameters
    ----------
    drawing : matplotlib.figure.Figure

    Returns
    -------
    Encoded
    """
    width, height = (round(96 * inches) for inches in drawing.get_size_inches())
    data = _lean(_saved(drawing, "svg", metadata={"Date": None, "Creator": None}))
    if len(data) <= LARGEST:
        return Encoded("svg", data, width, height)
    image = _few_colours(_saved(drawing, "png", dpi=SHARP, metadata={"Software": None}))
    return min(Encoded("svg", data, width, height), Encoded("png", image, width, height), key=lambda one: len(one.data))


def _saved(drawing: Figure, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "seqdyn", "svg.fonttype": "none"}):
        drawing.savefig(file, format=kind, **how)
    return file.getvalue()


def _lean(drawing: bytes) -> bytes:
    """The same drawing without what no eye sees: comments, names of groups, tenths of a pixel, repeated styles."""
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
    """The same image with a palette, a third of its size."""
    file = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, "png")
    return file.getvalue()


def _prose(text: str) -> Markup:
    """A text with code between backticks set as such."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _template() -> Template:
    text = resources.files("seqdyn.reports").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["prose"] = _prose
    return environment.from_string(text)
