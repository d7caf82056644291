"""The process of a command: settled before it imports numpy, matplotlib or jax."""

import os
import subprocess
import sys

from panorax.core.errors import UserError

PARSE_FLAGS = "from jaxlib import xla_client; xla_client.make_cpu_client()"


def settle(compares: bool) -> None:
    """Sets what the libraries of a command read from the environment.

    compares: whether the command starts other programs for a comparison, whose threads it leaves
    alone. Otherwise linear algebra on the host has one thread unless the user has set their number:
    the threads of OpenBLAS wait for each other in busy loops, which starve on a busy machine.
    """
    if not compares:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["MPLBACKEND"] = "agg"  # figures are only written to files
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
