"""Names that a person typed, and what they may have meant."""

import difflib


def nearest(name: str, known) -> str:
    """`; did you mean 'x'?` if something similar is known, else nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
