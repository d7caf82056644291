"""Softmax: the kernels."""

import jax
import jax.numpy as jnp

from pallas_kernels.rows import Rows, as_rows, launch_rows


def forward(x: jax.Array, backend: str) -> jax.Array:
    """Softmax over the last axis."""

    def body(x: Rows, y: Rows):
        row = x.load(fill=-jnp.inf)
        e = jnp.exp(row - jnp.max(row, 1, keepdims=True))
        y.store(e / jnp.sum(e, 1, keepdims=True))

    rows = as_rows(x)
    (y,) = launch_rows(body, [rows], [rows], backend=backend, name="softmax")
    return y.reshape(x.shape)


def backward(y: jax.Array, dy: jax.Array, backend: str) -> jax.Array:
    """Cotangent of x, from the result and its cotangent."""

    def body(y: Rows, dy: Rows, dx: Rows):
        p, dp = y.load(), dy.load()
        dx.store(p * (dp - jnp.sum(p * dp, 1, keepdims=True)))

    rows = [as_rows(y), as_rows(dy)]
    (dx,) = launch_rows(body, rows, rows[:1], backend=backend, name="softmax_backward")
    return dx.reshape(y.shape)
