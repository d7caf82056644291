"""Strict tests on 8 fake devices: warnings are errors, ranks are not promoted.

Most tests wait for the compiler, so programs are compiled in the cheapest way, and cached between
runs. `XLA_FLAGS="--xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true"` runs the
suite with XLA's defaults.
"""

import ctypes
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

CHEAP = ["--xla_backend_optimization_level=0"]
if importlib.metadata.version("jaxlib") < "0.11":  # later versions do not have the flag
    CHEAP.append("--xla_cpu_use_fusion_emitters=false")
DEVICES = [
    "--xla_force_host_platform_device_count=8",
    # eight devices share the cores: XLA ends a process in which one waits 40 s for the others
    "--xla_cpu_collective_call_terminate_timeout_seconds=300",
]
os.environ["XLA_FLAGS"] = " ".join([*DEVICES, *CHEAP, os.environ.get("XLA_FLAGS", "")])
os.environ["JAX_PLATFORMS"] = "cpu"

import hypothesis
import jax
import jaxlib
import pytest
from budget import (  # noqa: F401, hooks of the suite
    pytest_runtest_protocol,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

from panorax.engine import loop
from panorax.nets.decoders import llama

loop.CPU_LEVEL = 0
llama.OUT_OF_RANGE = "fill"  # an id outside the vocabulary makes the loss NaN
jax.config.update("jax_numpy_rank_promotion", "raise")
_machine = hashlib.sha256(
    (jaxlib.__version__ + platform.processor() + platform.node()).encode()
).hexdigest()[:12]
jax.config.update(
    "jax_compilation_cache_dir", str(Path(__file__).parent.parent / ".cache" / _machine)
)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

hypothesis.settings.register_profile(
    "panorax", deadline=None, derandomize=True, max_examples=20, database=None
)
hypothesis.settings.load_profile("panorax")


GROUP = [""]  # group of the previous test
LIBC = ctypes.CDLL(None)


def group_of(item) -> str:
    """The group of a test, which shares compiled programs: its file, or its entry."""
    return item.nodeid.rpartition("::")[0]


@pytest.fixture(autouse=True)
def programs_end_with_their_group(request):
    """Drops the compiled programs of the previous group when a new group begins.

    Every compiled program has its own memory maps, and Linux allows 65,530 per process. The whole
    suite would exceed this limit, and XLA would end in a segmentation fault. glibc keeps the memory
    that the compiler frees, up to 350 MB per group, until `malloc_trim` returns it.
    """
    group = group_of(request.node)
    if [group] != GROUP:
        GROUP[:] = [group]
        jax.clear_caches()
        if hasattr(LIBC, "malloc_trim"):
            LIBC.malloc_trim(0)


@pytest.fixture
def key():
    """A key for one test."""
    return jax.random.key(0)


def _built(tree: Path, hook: str, folder: Path) -> Path:
    """The archive that a hook of setuptools, such as `build_wheel`, makes from a source tree."""
    program = f"from setuptools import build_meta; build_meta.{hook}({str(folder)!r})"
    done = subprocess.run([sys.executable, "-c", program], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [archive] = folder.iterdir()
    return archive


@pytest.fixture(scope="session")
def source_tree(tmp_path_factory):
    """A copy of the source tree, without caches, environments and runs."""
    tree = tmp_path_factory.mktemp("source") / "panorax"
    unwanted = (
        ".venv*",
        ".git",
        ".cache",
        "runs",
        "build",
        "*.egg-info",
        "__pycache__",
        ".hypothesis",
        ".*_cache",
    )
    shutil.copytree(Path(__file__).parents[1], tree, ignore=shutil.ignore_patterns(*unwanted))
    return tree


@pytest.fixture(scope="session")
def source_archive(source_tree, tmp_path_factory):
    """The source distribution of the tree."""
    return _built(source_tree, "build_sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(source_archive, tmp_path_factory):
    """The wheel of the source distribution."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(source_archive) as archive:
        archive.extractall(folder, filter="data")
    [tree] = folder.iterdir()
    return _built(tree, "build_wheel", tmp_path_factory.mktemp("wheel"))
