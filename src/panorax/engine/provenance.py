"""Where a number comes from: commit, device, versions and date."""

import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path

import jax

WRITTEN = ("configs/*.json", "configs/*.png", "*README.md")  # what a record writes
VERSIONS = ("panorax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def provenance() -> dict:
    """What produced a number: commit, versions, device, XLA_FLAGS if set, date."""
    flags = os.environ.get("XLA_FLAGS")
    return {
        "commit": _commit(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {"python": sys.version.split()[0]}
        | {name: importlib.metadata.version(name) for name in VERSIONS},
        **({"xla_flags": flags} if flags else {}),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _commit() -> str:
    """The commit of the source tree this is imported from, `+` if it has changes besides results; `unknown` outside a git checkout."""
    git = lambda *args: subprocess.run(
        ["git", "-C", Path(__file__).parents[3], *args], capture_output=True, text=True
    )
    head = git("rev-parse", "--short=12", "HEAD")
    if head.returncode:
        return "unknown"
    return head.stdout.strip() + (
        "+"
        if git(
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            ".",
            *(f":!{path}" for path in WRITTEN),
        ).stdout.strip()
        else ""
    )
