"""Texts: one that comes with Python, and one to fetch."""

from __future__ import annotations

from seqdyn.datasets.sources import fetch


def load_python_documentation() -> str:
    """The reference of the Python language, as the interpreter's ``help`` prints it: a text that is always there.

    Returns
    -------
    str
        About 465,000 characters of English and code, by topic in alphabetical order; the text depends on the version of
        Python.

    References
    ----------
    The Python Software Foundation, through the standard library (``pydoc_data.topics``); PSF licence.

    Examples
    --------
    >>> text = load_python_documentation()
    >>> len(text) > 400_000, text[:22]
    (True, 'The "assert" statement')
    """
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def fetch_tiny_shakespeare() -> str:
    """Passages from Shakespeare's plays: one text of 1,115,394 characters, 65 of which differ.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`seqdyn.datasets.sources.fetch`.

    References
    ----------
    Karpathy (2015), The unreasonable effectiveness of recurrent neural networks; the text is in the public domain.

    Examples
    --------
    >>> len(fetch_tiny_shakespeare())  # doctest: +SKIP
    1115394
    """
    return fetch("tiny_shakespeare").read_text(encoding="utf-8")
