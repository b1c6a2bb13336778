"""Typesets the equations of the site: sub- and superscripts, italic letters, lines that align at their columns.

Equations are written as people read them in an editor and in ``help()``: ``h_t = (1 − z_t) ∘ n_t + z_t ∘ h_{t-1}``.
This hook of mkdocs turns them into HTML when the site is built. Nothing is loaded when a page is read.
"""

from __future__ import annotations

import html
import re
from typing import Any

LETTER = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u2113\u0300-\u036f"
SCRIPT = r"(?:[_^](?:\{[^{}]*\}|\([^()]*\)(?![^ ,;.)])|[−+]?[0-9" + LETTER + r"]+|[*⁺⊤]))"
SUMS = {"Σ", "Π"}
TOKEN = re.compile(rf"(?P<base>[{LETTER}]+|[)\]Σ∏∂∫‖]|\d+(?:\.\d+)?)?(?P<scripts>{SCRIPT}+)|(?P<word>[{LETTER}]+)")
INDEX = r"(?:[_^](?:\{[^{}]*\}|\w{1,2})|\^\([^()]*\))"
INLINE = re.compile(rf"(?<![\w.^/])(?P<base>[{LETTER}][\u0300-\u036f]?)(?P<scripts>{INDEX}+)(?![\w(])")
CODE = re.compile(r"[↑↓│─]|^\s*\[.*\]\s+\[|>>>|import |----|\{\d+:|\(FAIL\)|\d{4}-\d\d", re.MULTILINE)
"""What a drawing, a matrix, code or printed numbers have and an equation has not."""
BLOCK = re.compile(r'<div class="highlight"[^>]*><pre[^>]*>(?:<span></span>)?<code>([^<]*)</code></pre></div>')
VERBATIM = {"code", "pre", "script", "style", "title"}


def on_page_content(content: str, **others: Any) -> str:
    """The body of a page with its equations typeset."""
    return typeset_prose(BLOCK.sub(typeset_block, content))


def typeset_block(block: re.Match[str]) -> str:
    """A block of lines as a table, if it is an equation."""
    text = html.unescape(block[1])
    if not is_equation(text):
        return block[0]
    lines = [re.split(r"\s{3,}", line.strip()) for line in text.strip().splitlines()]
    rows = ("".join(f"<td>{typeset(cell)}</td>" for cell in line) for line in lines)
    return f'<table class="equation">{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'


def is_equation(text: str) -> bool:
    """Whether a block says that something equals something with an index, and is no drawing, matrix, code or output."""
    indexed = re.search(rf"(?<!\w)[{LETTER}][\u0300-\u036f]?{SCRIPT}|[)Σ∏]{SCRIPT}|[Σ∂‖√]", text)
    return bool(re.search(r"[=→←≤≈~]|^min", text) and indexed and not CODE.search(text))


def typeset(text: str) -> str:
    """Plain text as HTML: scripts up and down, single letters italic."""
    done, parts = 0, []
    for token in TOKEN.finditer(text):
        parts += [html.escape(text[done : token.start()]), typeset_token(token)]
        done = token.end()
    return "".join([*parts, html.escape(text[done:])])


def typeset_token(token: re.Match[str]) -> str:
    """A letter or a word with its scripts; a word with a long index is a name in the code."""
    base, scripts = token["base"] or token.groupdict().get("word") or "", token["scripts"] or ""
    letters = re.sub(r"[\u0300-\u036f]", "", base)  # without hats and bars
    if len(letters) > 1 and re.search(r"_[^\W_]{2,}", scripts):
        return f"<code>{html.escape(token[0])}</code>"
    italic = len(letters) == 1 and letters.isalpha() and letters not in SUMS
    shown = f"<i>{base}</i>" if italic else html.escape(base)
    return shown + "".join(typeset_script(script) for script in re.findall(SCRIPT, scripts))


def typeset_script(script: str) -> str:
    """One index or exponent."""
    tag = "sub" if script[0] == "_" else "sup"
    text = script[1:].strip("{}").replace("-", "−")
    shown = f"<i>{text}</i>" if len(text) == 2 and text.isalpha() else typeset(text)
    return f"<{tag}>{shown}</{tag}>"


def typeset_prose(page: str) -> str:
    """Indices in sentences and tables; code, links and titles stay as they are."""
    inside, parts = 0, []
    for part in re.split(r"(<[^>]*>)", page):
        tag = re.match(r"<(/?)(\w+)", part)
        if tag is not None and tag[2] in VERBATIM:
            inside += -1 if tag[1] else 1
        parts.append(part if inside or tag is not None else INLINE.sub(typeset_token, part))
    return "".join(parts)
