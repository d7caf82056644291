"""Progress on a terminal and in a file."""

import io
import itertools
import time

import pytest
from rich.cells import cell_len

from panorax.engine import progress
from panorax.engine.metrics import Log


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 100 columns, wider than the redrawn line may be."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


@pytest.fixture
def seconds(monkeypatch):
    """A clock that advances by 10 seconds each time it is read."""
    ticks = itertools.count(0, 10)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(ticks))


def train(directory, out, steps=1_000_000):
    with Log(directory, out=out) as log:
        log.start(0, steps)
        for step in range(100, 1000, 100):
            log.train(step, {"loss": 2.5})
        log.evaluation(900, {"eval_loss": 0.5})


def drawn(text):
    """The lines that a terminal was asked to draw, without colours and cursor movements."""
    from rich.text import Text

    return [line for part in text.split("\r") for line in Text.from_ansi(part).plain.split("\n")]


def test_a_file_receives_evaluations_and_a_line_every_30_seconds(tmp_path, seconds):
    out = io.StringIO()
    train(tmp_path, out, steps=10_000)
    assert out.getvalue().splitlines() == [
        "compiling ...",
        "step 300/10000  loss 2.5000  10 steps/s  0:16:10 left",
        "step 600/10000  loss 2.5000  10 steps/s  0:15:40 left",
        "step 900/10000  loss 2.5000  10 steps/s  0:15:10 left",
        "step 900/10000  eval_loss 0.5",
    ]


def test_a_terminal_shows_one_line_within_80_columns(tmp_path, terminal, seconds):
    train(tmp_path, terminal)
    lines = drawn(terminal.getvalue())
    assert any("compiling ..." in line for line in lines)
    assert any("step 900/1000000  loss 2.5000  10 steps/s  27:45:10 left" in line for line in lines)
    assert "step 900/1000000  eval_loss 0.5" in map(str.rstrip, lines)
    assert max(map(cell_len, lines)) <= 80


def test_a_terminal_that_cannot_move_its_cursor_receives_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with progress.working("report", terminal):
        pass
    assert terminal.getvalue() == "report ...\n"


def test_a_file_receives_a_line_again_and_again_while_a_task_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.01)
    out = io.StringIO()
    with progress.working("part 2 of 4, escapes", out):
        time.sleep(0.1)
    with Log(tmp_path, out=out) as log:
        log.start(0, 10)
        time.sleep(0.1)
        log.train(1, {"loss": 2.5})
        time.sleep(0.05)
    text = out.getvalue()
    assert text.startswith("part 2 of 4, escapes ...\npart 2 of 4, escapes ... 0:00:00\n")
    first, *others = text.split("compiling ...\n")
    assert "compiling" not in first and others[0].startswith("compiling ... 0:00:00\n")
    assert text.endswith("step 1/10  loss 2.5000\n")


def test_a_running_task_has_a_spinner_and_its_elapsed_time(terminal):
    with progress.working("part 2 of 4, escapes", terminal):
        pass
    assert any("part 2 of 4, escapes 0:00:00" in line for line in drawn(terminal.getvalue()))
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is erased


@pytest.mark.parametrize(
    "seconds, text", [(9720, "2:42:00"), (61.4, "0:01:01"), (100_000, "27:46:40")]
)
def test_time_left_has_hours(seconds, text):
    assert progress.clock(seconds) == text


@pytest.mark.parametrize("rate, text", [(0.01234, "0.0123"), (2.5, "2.5"), (12345.6, "12346")])
def test_a_rate_has_no_exponent(rate, text):
    assert progress.per_second(rate) == text
