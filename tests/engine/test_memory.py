"""Programs that need more memory than the devices have are refused before they run."""

import jax
import jax.numpy as jnp
import pytest

from panorax.core.errors import UserError
from panorax.engine import memory
from panorax.engine.loop import Clock

MEBIBYTE = 2**20


@pytest.fixture
def free(tmp_path, monkeypatch):
    """Sets the free memory of the host, in mebibytes."""

    def set_to(mebibytes):
        text = (
            f"MemTotal: 9 kB\nMemAvailable: {1024 * mebibytes} kB\nSwapFree: 0 kB\nHugePages: 0\n"
        )
        (tmp_path / "meminfo").write_text(text)
        monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")

    return set_to


def large(x):
    return jnp.broadcast_to(x[:, None], (1024, 1024)) + 1  # 4 MiB


def test_an_output_larger_than_the_free_memory_is_refused(free):
    x = jnp.ones(1024)
    free(5)
    assert Clock().once(large, x).shape == (1024, 1024)
    free(3)
    with pytest.raises(UserError, match="needs 0.00419 GB and has 0.00315 GB free; try a smaller"):
        Clock().compile(large, x)


def test_temporary_arrays_count(free):
    sorted_sum = lambda x: jnp.sum(jnp.sort(large(x), axis=0)[::7])
    free(3)
    with pytest.raises(UserError, match="GB free"):
        Clock().compile(sorted_sum, jnp.ones(1024))


def test_the_devices_of_a_cpu_share_its_memory(free):
    free(8)
    assert memory.free_bytes(jax.devices()[:4]) == 2 * MEBIBYTE
    assert memory.free_bytes(jax.devices()[:1]) == 8 * MEBIBYTE
