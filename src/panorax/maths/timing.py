"""Seconds of compiled programs, and the ceilings of the machine that they run on."""

import statistics
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every call in every round.

    Each call runs once before, so that nothing is compiled in a counted round. The calls take
    turns, so that a disturbance of the machine meets all of them.
    """
    for call in calls.values():
        jax.block_until_ready(call())
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - started)
    return seconds


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of a call after one that does not count."""
    return statistics.median(interleaved({"call": call}, repeats)["call"])


def copy_rate(nbytes: int, traffic: int, repeats: int = 5) -> float:
    """Bytes per second that x <- a x + b reads and writes, for an array x of `nbytes` bytes.

    The update repeats inside one program until `traffic` bytes have moved. If x fits a cache, the
    rate is that of the cache.
    """
    x = jnp.ones(max(1, nbytes // 4), jnp.float32)
    times = max(1, traffic // (2 * x.nbytes))
    step = lambda x, _: (x * 0.999 + 1e-3, None)
    program = jax.jit(lambda x: jax.lax.scan(step, x, length=times)[0])
    return 2 * x.nbytes * times / seconds(lambda: program(x), repeats)


def product_rate(n: int, dtype, repeats: int = 5) -> float:
    """Floating-point operations per second of a product of two random n x n matrices.

    float32 is multiplied as float32, not as TF32.
    """
    a, b = jax.random.normal(jax.random.key(0), (2, n, n)).astype(dtype)
    options = {"precision": "highest", "preferred_element_type": jnp.float32}
    program = jax.jit(lambda a, b: jnp.matmul(a, b, **options))
    return 2 * n**3 / seconds(lambda: program(a, b), repeats)


def attainable(intensity, flops: float, bandwidth: float):
    """The roofline: operations per second of a program that does `intensity` operations per byte.

    min(flops, intensity * bandwidth), with the machine's ceilings in operations and bytes per
    second. Below the ridge, flops / bandwidth, memory is the limit.
    Source: Williams, Waterman & Patterson 2009.
    """
    return jnp.minimum(flops, intensity * bandwidth)
