"""Counts that explain the speed of a GPU program: branches, memory accesses, resident warps.

A warp is 32 threads that execute one instruction together (SIMT, single instruction, multiple
threads). A multiprocessor switches among its resident warps at every cycle.

    branches    a warp executes every branch that one of its threads takes, one after another
    HBM         an access of a warp moves whole sectors of 32 bytes
    SRAM        shared memory has 32 banks of 4-byte words; a bank serves one word per pass
    occupancy   resident warps, limited by registers and shared memory, over the most that fit
    latency     while a warp waits for memory, others compute: Little's law

Source: NVIDIA, CUDA C++ Programming Guide 13, sections on SIMT, memory accesses and occupancy;
Volkov 2016 (latency hiding).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

WARP = 32  # threads
SECTOR = 32  # bytes
BANKS = 32  # words of 4 bytes


@dataclass(frozen=True)
class Multiprocessor:
    """What the warps on one multiprocessor share."""

    warps: int = 64
    """largest number of resident warps"""
    blocks: int = 32
    """largest number of resident thread blocks"""
    registers: int = 65_536
    """registers of 32 bits"""
    shared: int = 233_472
    """shared memory in bytes"""
    reserved: int = 1024
    """bytes of shared memory that each block needs beside its own"""


HOPPER = Multiprocessor()
"""H100 and H200"""
AMPERE = Multiprocessor(shared=167_936)
"""A100"""


def distinct(x: Int[Array, "*batch n"]) -> Int[Array, "*batch"]:
    """Number of different values along the last axis."""
    ordered = jnp.sort(x, -1)
    return 1 + jnp.sum(ordered[..., 1:] != ordered[..., :-1], -1)


def passes(branch: Int[Array, "*warps 32"]) -> Int[Array, "*warps"]:
    """Branches that a warp executes one after another, from the branch that each thread takes."""
    return distinct(branch)


def expected_passes(p: float) -> float:
    """Mean of `passes` if each thread takes one of two branches with probability p.

    One pass is saved if all 32 threads agree: 2 - p^32 - (1 - p)^32.
    """
    return 2 - p**WARP - (1 - p) ** WARP


def sectors(address: Int[Array, "*warps 32"]) -> Int[Array, "*warps"]:
    """Sectors of 32 bytes that one access moves, from the byte address of each thread's word."""
    return distinct(address // SECTOR)


def bank_passes(address: Int[Array, "*warps 32"]) -> Int[Array, "*warps"]:
    """Passes of one access to shared memory: most different words that threads want of one bank.

    Threads that read the same word share a pass.
    """
    word = jnp.sort(address // 4, -1)
    first = jnp.concatenate([jnp.ones_like(word[..., :1]), word[..., 1:] != word[..., :-1]], -1)
    wanted = jax.nn.one_hot(word % BANKS, BANKS, dtype=jnp.int32) * first[..., None]
    return jnp.max(jnp.sum(wanted, -2), -1)


def strided(stride: int, nbytes: int = 4) -> Int[Array, " 32"]:
    """Byte addresses of a warp whose thread i accesses element i * stride."""
    return jnp.arange(WARP) * stride * nbytes


def occupancy(threads: int, registers: int, shared: int, machine: Multiprocessor = HOPPER) -> float:
    """Resident warps of a kernel over the most that the multiprocessor holds.

    threads: of a block.  registers: of a thread.  shared: bytes of a block. Registers are given to
    a warp in units of 256, and shared memory to a block in units of 128 bytes.
    """
    warps = -(-threads // WARP)
    of_warp = -(-registers * WARP // 256) * 256
    by_registers = machine.registers // of_warp // 4 * 4 // warps
    by_shared = machine.shared // (-(-(shared + machine.reserved) // 128) * 128)
    resident = min(machine.blocks, machine.warps // warps, by_registers, by_shared)
    return resident * warps / machine.warps


def utilisation(warps: int, compute: int, latency: int, rounds: int = 10) -> float:
    """Share of cycles in which some warp computes, simulated.

    Each warp computes for `compute` cycles, then waits `latency` cycles for memory, again and
    again. One warp computes at a time; when it waits, the one that is ready first goes on. The
    first of the rounds, in which all start together, is not counted.
    Little's law: min(1, warps compute / (compute + latency)).
    """
    ready, now, began = np.zeros(warps, int), 0, 0
    for turn in range((rounds + 1) * warps):
        warp = np.argmin(ready)
        now = max(now, ready[warp])
        began = now if turn == warps else began
        now += compute
        ready[warp] = now + latency
    ended = max(now, min(ready))
    return rounds * warps * compute / (ended - began)
