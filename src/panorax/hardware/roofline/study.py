"""The roofline: a kernel is limited by memory or by arithmetic.

A program that does I operations per byte of memory traffic reaches at most

    min(F, I B)    operations per second,

with the machine's F operations and B bytes per second. Both ceilings are measured here, and every
operation of `pallas_kernels` is placed under them. The other parts show where the ceilings come
from:

    memory       bandwidth of caches and of main memory
    arithmetic   rate of matrix products, float32 and bfloat16
    habits       both branches of a select, and reads with a stride, on this machine
    precision    bfloat16 factors with float32 sums, as tensor cores multiply
    divergence   a warp of 32 threads executes every branch that one of them takes
    access       sectors of HBM and bank conflicts of shared memory, by stride
    latency      warps hide the latency of memory; registers limit their number
    placement    every operation under the roofline

The parts divergence, access and latency count in a model of the hardware (`panorax.maths.simt`).
All other parts are measured on this machine.
Source: Williams, Waterman & Patterson 2009; NVIDIA, CUDA C++ Programming Guide.
"""

import functools
from typing import Literal

from panorax.core.ranges import Count, Whole, checked
from panorax.core.study import Part
from panorax.hardware.roofline.ceilings import arithmetic, habits, memory
from panorax.hardware.roofline.placement import placement
from panorax.hardware.roofline.precision import sums
from panorax.hardware.roofline.warps import access, divergence, latency

TIMED = ("memory", "arithmetic", "habits", "placement")


@checked
class Config:
    arrays: tuple[Count, ...] = (16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144)
    """sizes of the array whose bandwidth is measured, in KiB; the last must exceed all caches"""
    traffic: Count = 2048
    """MiB that each measurement of bandwidth moves"""
    matrix: Count = 1024
    """rows of the square matrices whose product is timed"""
    lengths: tuple[Count, ...] = (64, 256, 1024, 4096, 16_384)
    """lengths of the dot products whose rounding is measured"""
    products: Count = 256
    """dot products of each length"""
    warps: Count = 20_000
    """simulated warps of each branch probability"""
    compute: Count = 20
    """cycles that a warp computes between two reads"""
    wait: Count = 600
    """cycles that a warp waits for HBM"""
    elements: Count = 2**22
    """numbers of the array that is branched on and read with a stride"""
    repeats: Count = 7
    """counted repetitions of each timing"""
    cases: Literal["small", "cpu", "gpu"] = "cpu"
    """size of the kernels' arguments"""
    seed: Whole = 0
    """seed of all random numbers"""


def study(cfg: Config) -> dict[str, Part]:
    """Ceilings, what lies behind them, and the kernels below."""
    part = functools.partial
    return {
        "memory": part(memory, sizes=cfg.arrays, traffic=cfg.traffic),
        "arithmetic": part(arithmetic, matrix=cfg.matrix),
        "habits": part(habits, elements=cfg.elements, repeats=cfg.repeats),
        "precision": part(sums, lengths=cfg.lengths, products=cfg.products),
        "divergence": part(divergence, warps=cfg.warps),
        "access": access,
        "latency": part(latency, compute=cfg.compute, wait=cfg.wait),
        "placement": part(
            placement, size=cfg.cases, matrix=cfg.matrix, nbytes=1024 * cfg.arrays[-1]
        ),
    }
