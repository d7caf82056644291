"""Provenance of a result: commit, sources, device, versions and date."""

import importlib.metadata
import json
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
    """The commit of Panorax, with `+` if files other than records differ from it.

    In a source tree, this is the checked-out commit; else, the commit from which pip installed the
    package; `unknown` for any other installation.
    """
    tree = Path(__file__).parents[3]
    git = lambda *args: subprocess.run(["git", "-C", tree, *args], capture_output=True, text=True)
    # A repository around the environment is not the source tree.
    if git("ls-files", "--error-unmatch", __file__).returncode:
        origin = importlib.metadata.distribution("panorax").read_text("direct_url.json") or "{}"
        return json.loads(origin).get("vcs_info", {}).get("commit_id", "unknown")[:12]
    head = git("rev-parse", "--short=12", "HEAD").stdout.strip()
    records = [f":!{path}" for path in WRITTEN]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *records)
    return head + ("+" if changed.stdout.strip() else "")
