"""Strict settings: 8 devices and no silent rank promotion.

Programs are compiled at the level of the training loop and cached between runs.
"""

import hashlib
import os
import platform
from pathlib import Path

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1 "
    + os.environ.get("XLA_FLAGS", "")
)
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


def group_of(item) -> str:
    """The group of a test, which shares compiled programs: its file, or its entry."""
    return item.nodeid.rpartition("::")[0]


@pytest.fixture(autouse=True)
def programs_end_with_their_group(request):
    """Drops the compiled programs of the previous group when a new group begins.

    Every compiled program has its own memory maps, and Linux allows 65,530 per process. The whole
    suite would exceed this limit, and XLA would end in a segmentation fault.
    """
    group = group_of(request.node)
    if [group] != GROUP:
        GROUP[:] = [group]
        jax.clear_caches()


@pytest.fixture
def key():
    """A key for one test."""
    return jax.random.key(0)
