"""Compares the memory that a compiled program needs with the free memory of its devices."""

from pathlib import Path

import jax

from panorax.core.errors import UserError

MEMINFO = Path("/proc/meminfo")


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
    if not MEMINFO.exists():
        return None
    lines = (line.split() for line in MEMINFO.read_text().splitlines())
    kilobytes = {name.rstrip(":"): int(number) for name, number, *_ in lines}
    return 1024 * (kilobytes["MemAvailable"] + kilobytes["SwapFree"]) / len(devices)
