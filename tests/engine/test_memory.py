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
        written(tmp_path, "proc/meminfo", text)
        monkeypatch.setattr(memory, "ROOT", tmp_path)

    return set_to


def written(root, name, content):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(str(content))


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


def limit(root, names, group, limit, used, cached=0):
    """Writes the files of a control group, sizes in mebibytes."""
    folder = f"{names.mount}/{group}"
    for name, size in ((names.limit, limit), (names.used, used)):
        written(root, f"{folder}/{name}", size if isinstance(size, str) else size * MEBIBYTE)
    written(root, f"{folder}/memory.stat", f"anon 5\n{names.cached} {cached * MEBIBYTE}")


@pytest.mark.parametrize("names, groups", [(memory.V2, "0::/a/b"), (memory.V1, "4:cpu,memory:/a")])
def test_the_lowest_limit_of_a_container_counts(free, tmp_path, names, groups):
    available = lambda: memory.free_bytes(jax.devices()[:1]) / MEBIBYTE
    free(100)
    written(tmp_path, "proc/self/cgroup", f"3:cpuset:/x\n{groups}")
    assert available() == 100
    limit(tmp_path, names, "", 90, 10)  # a container sees its own group as the top
    assert available() == 80
    limit(tmp_path, names, "a", 70, 60, cached=10)
    assert available() == 20
    limit(tmp_path, names, "a", 2**43 if names is memory.V1 else "max", 60)
    assert available() == 80
    free(50)
    assert available() == 50
    limit(tmp_path, names, "x", 1, 1)  # another group
    assert available() == 50


def test_a_limit_of_a_parent_counts_and_unreadable_files_do_not(free, tmp_path):
    free(100)
    written(tmp_path, "proc/self/cgroup", "0::/a/b")
    limit(tmp_path, memory.V2, "a/b", 60, 20)
    limit(tmp_path, memory.V2, "a", 50, 30)
    assert memory.free_bytes(jax.devices()[:2]) == 10 * MEBIBYTE
    (tmp_path / "sys/fs/cgroup/a/memory.stat").write_text("inactive_file\n")
    assert memory.free_bytes(jax.devices()[:2]) == 20 * MEBIBYTE
