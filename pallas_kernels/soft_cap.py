"""The soft cap of logits, part of several kernels."""

import jax
import jax.numpy as jnp


def soft_cap(x: jax.Array, cap: float | None) -> jax.Array:
    """cap tanh(x / cap), which lies between -cap and cap; x unchanged if `cap` is None.

    Source: Gemma 2, arXiv:2408.00118, section 2.
    """
    return x if cap is None else cap * jnp.tanh(x / cap)
