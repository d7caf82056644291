"""Rotary position embeddings: the kernel, forward and backward."""

import jax
import jax.numpy as jnp

from pallas_kernels.launch import (
    Block,
    ceil_div,
    ds,
    iota,
    launch,
    load,
    power_of_2,
    program_id,
    store,
)

HELD = 4_096  # elements of a tile on a GPU
HELD_TPU = 65_536  # elements of a tile on a TPU: 128 kB of VMEM in bfloat16


def rotate(
    x_BTHK: jax.Array, position_BT: jax.Array, frequencies: jax.Array, backend: str
) -> jax.Array:
    """The rotation of x; frequencies: [1, K/2] or [B, K/2]."""
    if x_BTHK.size == 0:
        return x_BTHK
    B, T, H, K = x_BTHK.shape
    half, (t, h, k) = K // 2, _tile(*x_BTHK.shape[1:], backend)

    def body(x, position, frequency, y):
        token = program_id(1) * t + iota((t, 1, 1), 0) < T
        head = program_id(2) * h + iota((1, h, 1), 1) < H
        pair = iota((1, 1, k), 2) < half
        valid = token & head & pair
        whole = (slice(None),) * 3
        angle = load(position, whole, token, 0).astype(jnp.float32) * load(frequency, whole, pair)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        low, high = (*whole[:2], ds(0, k)), (*whole[:2], ds(half, k))
        a, b = (load(x, at, valid).astype(jnp.float32) for at in (low, high))
        store(y, low, a * cos - b * sin, valid)
        store(y, high, b * cos + a * sin, valid)

    heads = Block((None, t, h, half + k), lambda b, i, j: (b, i, j, 0))
    each = len(frequencies) > 1
    (y_BTHK,) = launch(
        body,
        [x_BTHK, position_BT[:, :, None, None], frequencies[:, None, None, :]],
        [x_BTHK],
        grid=(B, ceil_div(T, t), ceil_div(H, h)),
        reads=[
            heads,
            Block((None, t, 1, 1), lambda b, i, j: (b, i, 0, 0)),
            Block((None, 1, 1, k), lambda b, i, j: (b if each else 0, 0, 0, 0)),
        ],
        writes=[heads],
        backend=backend,
        name="rope",
    )
    return y_BTHK


def _tile(T: int, H: int, K: int, backend: str) -> tuple[int, int, int]:
    """Tokens, heads and pairs of a tile. Heads come first, since they share sines and cosines."""
    if backend.startswith("tpu"):
        return min(power_of_2(T), max(1, HELD_TPU // (H * K))), H, K // 2
    k = power_of_2(K // 2)
    h = min(power_of_2(H), max(1, HELD // (2 * k)))
    return min(power_of_2(T), max(1, HELD // (2 * k * h))), h, k
