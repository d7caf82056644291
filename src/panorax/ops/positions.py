"""Positions as phases: rotary embeddings for attention, sinusoidal features for times and positions."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Num


def rope_frequencies(head_dim: int, theta: float) -> Float[Array, " half"]:
    """Angular frequencies theta^(-2i / head_dim), i = 0 .. head_dim/2 - 1, in radians per position (Su et al. 2021, sec. 3.2.2)."""
    return theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)


def rope(x_BTHK: Float[Array, "B T H K"], position_BT: Int[Array, "B T"], frequencies: Float[Array, " half"]) -> Float[Array, "B T H K"]:
    """Rotate each pair (x_i, x_{i + K/2}) by position * frequency_i, so that q.k depends on the distance of positions alone.

    Pairs are half-split, as in the Hugging Face weights; the paper and Meta's weights interleave them (a permutation of the rows of
    the q and k projections). Computed in float32, returned in the dtype of `x_BTHK`.
    """
    angle = position_BT[:, :, None, None].astype(jnp.float32) * frequencies[None, None, None, :]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b = jnp.split(x_BTHK.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1).astype(x_BTHK.dtype)


def sinusoidal(position: Num[Array, "*shape"], width: int, max_period: float = 10_000.0) -> Float[Array, "*shape width"]:
    """[cos(p w_i), sin(p w_i)] with w_i = max_period^(-2i / width) (Vaswani et al. 2017, sec. 3.5; halves side by side, not interleaved).

    `width` must be even. For a time in [0, 1] scale it up first: the highest frequency is 1 radian per unit.
    """
    if width % 2:
        raise ValueError(f"sinusoidal features need an even width, got {width}")
    w = max_period ** (-jnp.arange(0, width, 2, dtype=jnp.float32) / width)
    angle = position.astype(jnp.float32)[..., None] * w.reshape((1,) * position.ndim + w.shape)
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)
