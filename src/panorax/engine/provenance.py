"""Provenance of a result: commit, sources, device, versions and date."""

import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import jax

from panorax.core import config, sources

WRITTEN = ("configs/*.json", "configs/*.png", "*README.md")  # files that a record writes
VERSIONS = ("panorax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def provenance() -> dict:
    """The commit, device, versions and date of this process, and XLA_FLAGS if set."""
    flags = os.environ.get("XLA_FLAGS")
    return {
        "commit": commit(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": {"python": sys.version.split()[0]}
        | {name: importlib.metadata.version(name) for name in VERSIONS},
        **({"xla_flags": flags} if flags else {}),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def reached(module: ModuleType, cfg) -> str:
    """The digest of the sources that a run of `cfg` reaches, `unknown` if a module has no file.

    module: config module.
    """
    files = [getattr(m, "__file__", None) for m in (module, config.module_of(cfg))]
    return sources.digest(*map(Path, files)) if all(files) else "unknown"


def commit() -> str:
    """The commit of the source tree, with `+` if files other than records differ from it.

    `unknown` outside a git checkout.
    """
    git = lambda *args: subprocess.run(
        ["git", "-C", Path(__file__).parents[3], *args], capture_output=True, text=True
    )
    head = git("rev-parse", "--short=12", "HEAD")
    if head.returncode:
        return "unknown"
    records = [f":!{path}" for path in WRITTEN]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *records)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
