"""Rotary position embeddings (Su et al. 2021): each pair of a head turns by an angle.

    y_i       = x_i cos a - x_(i + K/2) sin a,        a = position * frequency_i
    y_(i+K/2) = x_(i + K/2) cos a + x_i sin a,        dx = the rotation of dy by -a

Pairs are half-split, as in Hugging Face.

**Tiling.** A program has a tile of tokens and heads, and both halves of each head. It computes the
sines and cosines of its tokens once for all of its heads.
**Traffic.** x is read and y is written, 2 B T H K elements; the backward pass is the same. The
kernel takes positions (4 bytes a token) and K/2 frequencies. Tables of cosines and sines would be
4 K bytes more for each token, written and read: with 8 key heads in bf16 a quarter of the traffic.
Unfused, XLA writes these tables. Nothing is kept for the backward pass but the positions.
**Intensity.** 3 operations an element against 4 bytes in bf16, and K / 2 sines and cosines a token:
the kernel is bound by memory. Its roofline is the copy bandwidth.
"""

import functools

import jax

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.rope import kernel
from pallas_kernels.rope.reference import reference


def rope(
    x_BTHK: jax.Array,
    position_BT: jax.Array,
    frequencies: jax.Array,
    implementation: str | None = None,
) -> jax.Array:
    """Rotates each pair (x_i, x_{i + K/2}) by position * frequency_i, in float32; the dtype of x.

    position_BT: integers. frequencies: radians per position, [K/2] or [1, K/2] for all rows of the
    batch, [B, K/2] for each row. Differentiable in x; the kernels in reverse mode, as often as
    asked, and they raise NotImplementedError if frequencies are differentiated.
    Raises ValueError for other shapes or an unknown implementation.
    """
    B, T, _, K = x_BTHK.shape
    if position_BT.shape != (B, T):
        raise ValueError(f"positions have the shape {position_BT.shape}; accepted: {(B, T)}")
    if K % 2 or frequencies.shape not in ((K // 2,), (1, K // 2), (B, K // 2)):
        raise ValueError(
            f"frequencies have the shape {frequencies.shape} for heads of {K} elements; accepted: "
            f"half of an even head, {(K // 2,)}, {(1, K // 2)} or {(B, K // 2)}"
        )
    return first_that_runs(IMPLEMENTATIONS, implementation, x_BTHK, position_BT, frequencies)


def _rotated(x_BTHK, position_BT, frequencies, backend: str) -> jax.Array:
    rows = frequencies.reshape(-1, frequencies.shape[-1])
    return _rope(x_BTHK, position_BT, _constant(rows), backend)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _rope(x_BTHK, position_BT, frequencies, backend: str) -> jax.Array:
    return kernel.rotate(x_BTHK, position_BT, frequencies, backend)


def _forward(x_BTHK, position_BT, frequencies, backend):
    return _rope(x_BTHK, position_BT, frequencies, backend), (position_BT, frequencies)


def _backward(backend, kept, dy_BTHK):
    position_BT, frequencies = kept
    return _rope(dy_BTHK, position_BT, -frequencies, backend), None, None


_rope.defvjp(_forward, _backward)


@jax.custom_jvp
def _constant(frequencies: jax.Array) -> jax.Array:
    return frequencies


@_constant.defjvp
def _refuse(primals, tangents):
    raise NotImplementedError(
        "kernels of rope have no gradient of frequencies; implementation='reference' has it"
    )


IMPLEMENTATIONS = {"reference": reference, **portable(_rotated)}
