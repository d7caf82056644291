"""Tables on the terminal, drawn by rich, which is imported when used."""

import sys
from collections.abc import Sequence
from typing import TextIO


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], out: TextIO | None = None) -> None:
    """Prints `rows` with the headings `columns` to `out`, stdout by default.

    On a terminal the table wraps to its width. Any other stream receives one complete line per row,
    without headings: the first column, padded, then the other columns.
    """
    out = out or sys.stdout
    if not out.isatty():
        width = max((len(row[0]) for row in rows), default=0)
        for first, *others in rows:
            print(f"{first:{width}}  {'; '.join(others)}", file=out)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=out).print(table)
