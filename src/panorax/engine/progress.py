"""Progress of training and of studies on the terminal, drawn by rich, which is imported when used.

On a terminal one line is redrawn in place. Any other stream, such as a file or a pipe, receives
plain lines, at least one every `EVERY` seconds while a task runs.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import TextIO

EVERY = 30.0  # seconds between two plain lines
WIDTH = 80  # columns of the redrawn line, at most


def is_live(out: TextIO) -> bool:
    """True if `out` is a terminal that can redraw a line."""
    return out.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def say(line: str, out: TextIO) -> None:
    """Prints one line and flushes it."""
    print(line, file=out, flush=True)


@contextlib.contextmanager
def working(task: str, out: TextIO) -> Iterator[None]:
    """Shows `task` and the elapsed time while the block runs, on a terminal with a spinner."""
    if not is_live(out):
        with _repeated(task, out):
            yield
        return
    from rich.progress import SpinnerColumn, TimeElapsedColumn

    with _line(out, SpinnerColumn(), _text("task"), TimeElapsedColumn()) as live:
        live.add_task("", total=None, task=task)
        yield


@contextlib.contextmanager
def _repeated(task: str, out: TextIO) -> Iterator[None]:
    """Prints `task`, and again with the elapsed time every `EVERY` seconds of the block."""
    started, ended = time.perf_counter(), threading.Event()

    def repeat():
        with contextlib.suppress(OSError):  # a closed pipe ends the main thread
            while not ended.wait(EVERY):
                say(f"{task} ... {clock(time.perf_counter() - started)}", out)

    say(f"{task} ...", out)
    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Bar:
    """Progress of a training loop: step, loss, steps per second and time left.

    On a terminal it is a bar that is redrawn in place, elsewhere a plain line every `EVERY`
    seconds. The rate excludes the first chunk, whose time is mostly compilation.
    """

    def __init__(self, out: TextIO):
        self._out = out
        self._live = None
        self._compiling = contextlib.ExitStack()
        self._measured_from = None

    def open(self) -> None:
        """Shows `compiling ...` until the first `update`."""
        if not is_live(self._out):
            self._compiling.enter_context(_repeated("compiling", self._out))
        else:
            from rich.progress import BarColumn

            self._live = _line(self._out, BarColumn(bar_width=None), _text("status"), expand=True)
            self._task = self._live.add_task("", start=False, total=None, status="compiling ...")
            self._live.start()

    def start(self, step: int, steps: int) -> None:
        """Declares that training goes from `step` to `steps`."""
        self._steps, self._printed = steps, time.perf_counter()
        if self._live:
            self._live.update(self._task, total=steps, completed=step)

    def update(self, step: int, loss: float) -> None:
        """Shows the loss at `step`."""
        self._compiling.close()
        now = time.perf_counter()
        status = f"step {step}/{self._steps}  loss {loss:.4f}"
        if self._measured_from is None:
            self._measured_from = step, now
        else:
            first, since = self._measured_from
            rate = (step - first) / (now - since)
            status += f"  {per_second(rate)} steps/s  {clock((self._steps - step) / rate)} left"
        if self._live:
            self._live.start_task(self._task)
            self._live.update(self._task, completed=step, status=status)
        elif now - self._printed >= EVERY:
            self._printed = now
            say(status, self._out)

    def above(self, line: str) -> None:
        """Prints a line that stays, above the bar."""
        if self._live:
            self._live.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            say(line, self._out)

    def close(self) -> None:
        """Removes the bar."""
        self._compiling.close()
        if self._live:
            self._live.stop()
            self._live = None


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, such as `2:42:00`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def per_second(rate: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


def _line(out: TextIO, *columns, **options):
    """A rich Progress that draws `columns` in one line of at most `WIDTH` columns."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=out)
    console = Console(file=out, width=min(console.width, WIDTH))
    return Progress(*columns, console=console, transient=True, refresh_per_second=4, **options)


def _text(field: str):
    from rich.progress import TextColumn

    return TextColumn(f"{{task.fields[{field}]}}", markup=False)
