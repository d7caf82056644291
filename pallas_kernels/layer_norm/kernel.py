"""Layer norm: the kernels."""

import jax
import jax.numpy as jnp

from pallas_kernels.rows import Rows, as_rows, launch_rows


def _standardized(x: Rows, D: int, eps: float) -> tuple[jax.Array, jax.Array]:
    """(x - mean) r and r = 1 / sqrt(var + eps) of each row; padding is 0."""
    row = x.load()
    centred = jnp.where(x.valid, row - jnp.sum(row, 1, keepdims=True) / D, 0)
    r = jax.lax.rsqrt(jnp.sum(centred * centred, 1, keepdims=True) / D + eps)
    return centred * r, r


def forward(x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float, backend: str) -> jax.Array:
    """(x - mean) / sqrt(var + eps) * scale + bias over the last axis."""
    D = x.shape[-1]

    def body(x: Rows, scale: Rows, bias: Rows, y: Rows):
        normed, _ = _standardized(x, D, eps)
        y.store(normed * scale.load() + bias.load())

    rows = as_rows(x)
    arrays = [rows, scale[None], bias[None]]
    (y,) = launch_rows(body, arrays, [rows], backend=backend, name="layer_norm")
    return y.reshape(x.shape)


def backward(
    x: jax.Array, scale: jax.Array, dy: jax.Array, eps: float, backend: str
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cotangents of x, scale and bias; the last two in float32."""
    D = x.shape[-1]

    def body(x: Rows, scale: Rows, dy: Rows, dx: Rows):
        normed, r = _standardized(x, D, eps)
        dy = dy.load()
        g = dy * scale.load()
        mean = lambda v: jnp.sum(v, 1, keepdims=True) / D
        dx.store(r * (g - mean(g) - normed * mean(g * normed)))
        return dy * normed, dy

    rows = as_rows(x)
    dx, dscale, dbias = launch_rows(
        body,
        [rows, scale[None], as_rows(dy)],
        [rows],
        sums=2,
        backend=backend,
        name="layer_norm_backward",
    )
    return dx.reshape(x.shape), dscale, dbias
