"""RMS norm: the kernels."""

import jax
import jax.numpy as jnp

from pallas_kernels.rows import Rows, as_rows, launch_rows


def forward(x: jax.Array, scale: jax.Array, eps: float, backend: str) -> jax.Array:
    """x / sqrt(mean(x^2) + eps) * scale over the last axis."""
    D = x.shape[-1]

    def body(x: Rows, scale: Rows, y: Rows):
        row = x.load()
        r = jax.lax.rsqrt(jnp.sum(row * row, 1, keepdims=True) / D + eps)
        y.store(row * r * scale.load())

    rows = as_rows(x)
    (y,) = launch_rows(body, [rows, scale[None]], [rows], backend=backend, name="rms_norm")
    return y.reshape(x.shape)


def backward(
    x: jax.Array, scale: jax.Array, dy: jax.Array, eps: float, backend: str
) -> tuple[jax.Array, jax.Array]:
    """Cotangents of x and scale."""
    D = x.shape[-1]

    def body(x: Rows, scale: Rows, dy: Rows, dx: Rows):
        row, dy = x.load(), dy.load()
        r = jax.lax.rsqrt(jnp.sum(row * row, 1, keepdims=True) / D + eps)
        normed, g = row * r, dy * scale.load()
        dx.store(r * (g - normed * (jnp.sum(g * normed, 1, keepdims=True) / D)))
        return (dy * normed,)

    rows = as_rows(x)
    dx, dscale = launch_rows(
        body,
        [rows, scale[None], as_rows(dy)],
        [rows],
        sums=1,
        backend=backend,
        name="rms_norm_backward",
    )
    return dx.reshape(x.shape), dscale.astype(scale.dtype)
