"""What a GPU's threads share, counted by `panorax.maths.simt` beside the closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.maths import simt

STRIDES = (1, 2, 3, 4, 8, 16, 32)
REGISTERS = (32, 64, 96, 128, 168, 255)
RESIDENT = (1, 2, 4, 8, 16, 24, 32, 48, 64)
PROBABILITIES = (0.0, 0.001, 0.01, 0.03, 0.1, 0.25, 0.5)


def divergence(key, warps: int) -> Result:
    """Branches that a warp executes, if each thread takes one of two with probability p."""
    keys = jax.random.split(key, len(PROBABILITIES))
    shape = (warps, simt.WARP)
    counted = [
        float(jnp.mean(simt.passes(jax.random.bernoulli(k, p, shape).astype(jnp.int32))))
        for k, p in zip(keys, PROBABILITIES, strict=True)
    ]
    expected = [simt.expected_passes(p) for p in PROBABILITIES]
    error = max(abs(c - e) for c, e in zip(counted, expected, strict=True))
    metrics = {
        "passes_even": counted[-1],
        "passes_largest_error": error,
    }
    return Result(metrics, {"divergence.png": draw_divergence(counted)})


def access(key) -> Result:
    """Sectors of HBM and passes of shared memory, by the stride between a warp's threads.

    Columns of a matrix with rows of 32 words have stride 32: every thread wants the same bank. A
    row of 33 words, one of them unused, needs one pass.
    """
    moved = [int(simt.sectors(simt.strided(stride))) for stride in STRIDES]
    served = [int(simt.bank_passes(simt.strided(stride))) for stride in STRIDES]
    metrics = {
        "sectors_of_neighbours": moved[0],
        "sectors_of_stride_32": moved[-1],
        "bank_passes_of_stride_32": served[-1],
        "bank_passes_of_stride_33": int(simt.bank_passes(simt.strided(33))),
        "bank_passes_largest_error": max(
            abs(n - math.gcd(stride, simt.BANKS)) for n, stride in zip(served, STRIDES, strict=True)
        ),
    }
    return Result(metrics, {"access.png": draw_access(moved, served)})


def latency(key, compute: int, wait: int) -> Result:
    """Cycles in which a multiprocessor computes, by resident warps; and how many are resident.

    compute, wait: cycles that a warp computes between two reads, and that it waits for each.
    """
    busy = [simt.utilisation(n, compute, wait) for n in RESIDENT]
    law = [min(1.0, n * compute / (compute + wait)) for n in RESIDENT]
    resident = [simt.occupancy(256, registers, 0) for registers in REGISTERS]
    metrics = {
        "littles_law_largest_error": max(abs(b - e) for b, e in zip(busy, law, strict=True)),
        "busy_with_one_warp": busy[0],
        "busy_with_all_warps": busy[-1],
        "occupancy_of_128_registers": simt.occupancy(256, 128, 0),
        "occupancy_of_96_kib": simt.occupancy(128, 32, 96 * 1024),
    }
    return Result(metrics, {"latency.png": draw_latency(busy, resident)})


def draw_divergence(counted):
    figure, (ax,) = figures.panels()
    p = np.linspace(0, 0.5, 201)
    ax.plot(p, simt.expected_passes(p), label="2 - p^32 - (1 - p)^32")
    ax.plot(PROBABILITIES, counted, "o", label="counted")
    ax.set(
        title="A warp executes both branches",
        xlabel="share of threads in the second branch",
        ylabel="branches executed by a warp",
    )
    return figures.legends(figure)


def draw_access(moved, served):
    figure, axes = figures.panels(2)
    axes[0].plot(STRIDES, moved, "o-")
    axes[0].set(title="HBM: one read of a warp", ylabel="sectors of 32 bytes")
    axes[1].plot(STRIDES, served, "o-")
    axes[1].set(title="Shared memory: bank conflicts", ylabel="passes")
    for ax in axes:
        ax.set_xlabel("stride between threads (4-byte words)")
    return figure


def draw_latency(busy, resident):
    figure, axes = figures.panels(2)
    axes[0].plot(RESIDENT, busy, "o-")
    axes[0].set(title="Latency hiding", xlabel="resident warps", ylabel="share of busy cycles")
    axes[1].plot(REGISTERS, resident, "o-")
    axes[1].set(
        title="Occupancy, blocks of 256 threads",
        xlabel="registers of a thread",
        ylabel="resident warps / 64",
    )
    return figure
