"""Texts: one that every Python has, and one to fetch."""

from __future__ import annotations

from seqdyn.datasets.sources import fetch


def load_python_documentation() -> str:
    """The reference of the Python language, as the interpreter's own ``help`` prints it: a corpus that is always there.

    Returns
    -------
    str
        Some 465,000 characters of English and code, by topics in alphabetical order; the text is that of the Python
        that runs, and differs from version to version.

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
    """Passages from Shakespeare's plays, one text of 1,115,394 characters out of 65.

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
    """
    return fetch("tiny_shakespeare").read_text(encoding="utf-8")
