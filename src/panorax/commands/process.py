"""The process of a command: settled before it imports numpy, matplotlib or jax."""

import os
import subprocess
import sys

from panorax.core.errors import UserError

PARSE_FLAGS = "from jaxlib import xla_client; xla_client.make_cpu_client()"


def one_thread() -> None:
    """Gives linear algebra on the host one thread, unless the user has set their number.

    Threads of OpenBLAS wait for each other in busy loops, which starve on a busy machine.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def without_display() -> None:
    """Prepares output: figures go to files only, and an ASCII terminal shows every text."""
    os.environ["MPLBACKEND"] = "agg"
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # an ASCII terminal shows other characters as `?`
            stream.reconfigure(errors="replace")


def check_xla_flags() -> None:
    """Raises UserError if XLA does not know a flag, which would abort this process."""
    if not os.environ.get("XLA_FLAGS"):
        return
    parsed = subprocess.run([sys.executable, "-c", PARSE_FLAGS], capture_output=True, text=True)
    if parsed.returncode:
        raise UserError(f"XLA_FLAGS: {parsed.stderr.partition('] ')[2].splitlines()[0]}")
