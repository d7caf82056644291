"""Strict: 8 devices, warnings are errors, no silent broadcasting; programs are compiled at the level of the training loop and kept between runs."""

import hashlib
import os
import platform
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1 " + os.environ.get("XLA_FLAGS", "")
os.environ["JAX_PLATFORMS"] = "cpu"

import hypothesis
import jax
import jaxlib
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
_machine = hashlib.sha256((jaxlib.__version__ + platform.processor() + platform.node()).encode()).hexdigest()[:12]
jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent.parent / ".cache" / _machine))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

hypothesis.settings.register_profile("panorax", deadline=None, derandomize=True, max_examples=20, database=None)
hypothesis.settings.load_profile("panorax")


@pytest.fixture(scope="module", autouse=True)
def programs_end_with_their_module():
    """Every compiled program maps memory of its own, of which Linux gives a process 65,530 pieces: those of a whole suite are more, and XLA ends in a
    segmentation fault."""
    yield
    jax.clear_caches()


@pytest.fixture
def key():
    """A key for one test."""
    return jax.random.key(0)
