"""The process of a command: settled before it imports numpy, matplotlib or jax."""

import contextlib
import os
import subprocess
import sys
from typing import NoReturn

from panorax.core.errors import UserError

PARSE_FLAGS = "from jaxlib import xla_client; xla_client.make_cpu_client()"


def one_thread() -> None:
    """Gives linear algebra on the host one thread, unless the user has set their number.

    Threads of OpenBLAS wait for each other in busy loops, which starve on a busy machine.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def without_display() -> None:
    """Prepares output: figures go to files only, and an ASCII terminal shows every text.

    If the user has closed a standard stream, it reads and writes nothing; without it, the next file
    that the process opens would take its place.
    """
    os.environ["MPLBACKEND"] = "agg"
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # an ASCII terminal shows other characters as `?`
            stream.reconfigure(errors="replace")


def end(code: int) -> NoReturn:
    """Ends this process with an exit code, at once.

    An interrupted compilation leaves objects of XLA, with which Python ends in a segmentation
    fault.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed
            stream.flush()
    os._exit(code)


def check_xla_flags() -> None:
    """Raises UserError if XLA does not know a flag, which would abort this process."""
    if not os.environ.get("XLA_FLAGS"):
        return
    parsed = subprocess.run([sys.executable, "-c", PARSE_FLAGS], capture_output=True, text=True)
    if parsed.returncode:
        raise UserError(f"XLA_FLAGS: {parsed.stderr.partition('] ')[2].splitlines()[0]}")
