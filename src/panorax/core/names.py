"""Suggestions for misspelt names."""

import difflib


def nearest(name: str, known) -> str:
    """The text `; did you mean 'x'?` if a known name is similar, else an empty text."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
