"""Tables wrap on a terminal; a pipe receives whole lines."""

import io

import pytest
from rich.text import Text

from panorax.commands import tables

TITLE = "a title of " + "many words " * 20
ROWS = [("lm/llama", TITLE, "3 of 3"), ("rl/a_longer_name", "[b]", "none")]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_receives_one_whole_line_per_row():
    out = io.StringIO()
    tables.show(("name", "title", "claims"), ROWS, out)
    assert out.getvalue().splitlines() == [
        f"lm/llama          {TITLE}; 3 of 3",
        "rl/a_longer_name  [b]; none",
    ]


@pytest.mark.parametrize("width", [50, 100])
def test_a_terminal_receives_a_table_of_its_width(monkeypatch, width):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    out = Terminal()
    tables.show(("name", "title", "claims"), ROWS, out)
    lines = Text.from_ansi(out.getvalue()).plain.splitlines()
    assert max(map(len, lines)) <= width and lines[0].split() == ["name", "title", "claims"]
    words = " ".join(" ".join(lines).split())
    assert words.count("many") == 20 and "…" not in words
    assert any(line.split()[:2] == ["rl/a_longer_name", "[b]"] for line in lines)
