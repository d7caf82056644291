"""Compares the memory that a compiled program needs with the free memory of its devices."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from panorax.core.errors import UserError

ROOT = Path("/")  # of the files in which Linux states its memory


class Controller(NamedTuple):
    """Names by which a version of control groups states the memory of a group, in bytes."""

    mount: str
    """folder of the hierarchy, below `ROOT`"""
    limit: str
    """file with the largest memory of the group"""
    used: str
    """file with the memory of the group, including cached files"""
    cached: str
    """key in `memory.stat` of cached files that the kernel drops when memory is short"""


V1 = Controller(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)
V2 = Controller("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def check(compiled: jax.stages.Compiled) -> None:
    """Raises UserError if the outputs and temporaries of a program exceed the free memory.

    XLA states their bytes for one device. Arguments are in memory already. Nothing is checked where
    the free memory is unknown.
    """
    needs = compiled.memory_analysis()
    shardings = jax.tree.leaves(compiled.output_shardings)
    if needs is None or not shardings:
        return
    devices = [*shardings[0].addressable_devices]
    required = needs.temp_size_in_bytes + needs.output_size_in_bytes - needs.alias_size_in_bytes
    free = free_bytes(devices)
    if free is not None and required > free:
        raise UserError(
            f"one device needs {required / 1e9:.3g} GB and has {free / 1e9:.3g} GB free; try a "
            "smaller batch or model, or more devices (`panorax plan` computes what they need)"
        )


def free_bytes(devices: list[jax.Device]) -> float | None:
    """Free bytes per device, None if unknown; the devices of a CPU share the memory of the host."""
    if statistics := devices[0].memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    meminfo = ROOT / "proc/meminfo"
    if not meminfo.exists():
        return None
    lines = (line.split() for line in meminfo.read_text().splitlines())
    kilobytes = {name.rstrip(":"): int(number) for name, number, *_ in lines}
    host = 1024 * (kilobytes["MemAvailable"] + kilobytes["SwapFree"])
    return min([host, *free_in_groups()]) / len(devices)


def free_in_groups() -> Iterator[int]:
    """Yields the free bytes of each control group, such as a container, that limits this process.

    A group is limited by its parents too. A container may see its own group as the top of the
    hierarchy, whatever path `/proc/self/cgroup` states.
    """
    groups = ROOT / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        names = V1 if controllers else V2
        top = ROOT / names.mount
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            # A group without a limit has no file for it, or the text "max".
            with contextlib.suppress(OSError, ValueError):
                limit, used = [
                    int((folder / name).read_text()) for name in (names.limit, names.used)
                ]
                statistics = dict(map(str.split, (folder / "memory.stat").read_text().splitlines()))
                yield limit - used + int(statistics.get(names.cached, 0))
            if folder == top:
                break
