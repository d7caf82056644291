"""The two ceilings of a machine, bytes and operations per second, and its cache hierarchy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.maths.timing import copy_rate, interleaved, product_rate

DTYPES = ("float32", "bfloat16")


def memory(key, sizes: tuple[int, ...], traffic: int) -> Result:
    """Bandwidth by the size of the array that is read and written again and again.

    A small array stays in the cache (on a GPU, in L2), a large one comes from memory every time.
    """
    rates = [copy_rate(1024 * size, 2**20 * traffic) / 1e9 for size in sizes]
    metrics = {
        "memory_gb_per_s": rates[-1],
        "cache_gb_per_s": max(rates),
        "cache_over_memory": max(rates) / rates[-1],
    }
    return Result(metrics, {"bandwidth.png": draw_bandwidth(sizes, rates)})


def arithmetic(key, matrix: int) -> Result:
    """Rate of a product of two square matrices of `matrix` rows, by dtype."""
    rates = {dtype: product_rate(matrix, jnp.dtype(dtype)) / 1e9 for dtype in DTYPES}
    return Result(
        family("gflops_{}", rates) | {"bfloat16_over_float32": rates["bfloat16"] / rates["float32"]}
    )


def habits(key, elements: int, repeats: int) -> Result:
    """Branches and strided reads, timed on this machine.

    both_branches_over_one    time of a `cond` that is vmapped, over the time of one of its two
                              equally long branches: it becomes a select of both results
    strided_read_slowdown     time per element of a sum over every 16th float32, one for each cache
                              line of 64 bytes, over that of a sum over neighbours
    """
    x = jax.random.normal(key, (elements,))
    sine = lambda x: jax.lax.fori_loop(0, 8, lambda _, y: jnp.sin(y), x)
    cosine = lambda x: jax.lax.fori_loop(0, 8, lambda _, y: jnp.cos(y), x)
    programs = {
        "one": sine,
        "both": jax.vmap(lambda x: jax.lax.cond(x > 0, sine, cosine, x)),
        "neighbours": jnp.sum,
        "apart": lambda x: jnp.sum(x[::16]),
    }
    calls = {name: functools.partial(jax.jit(f), x) for name, f in programs.items()}
    took = {name: np.array(each) for name, each in interleaved(calls, repeats).items()}
    metrics = {
        "both_branches_over_one": float(np.median(took["both"] / took["one"])),
        "strided_read_slowdown": float(np.median(16 * took["apart"] / took["neighbours"])),
    }
    return Result(metrics)


def draw_bandwidth(sizes, rates):
    figure, (ax,) = figures.panels()
    ax.loglog([1024 * size for size in sizes], rates, "o-")
    ax.set(title="Read and write one array", xlabel="array (bytes)", ylabel="bandwidth (GB/s)")
    return figure
