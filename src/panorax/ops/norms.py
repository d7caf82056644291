"""Normalisation over the last axis or over groups of channels.

Statistics are computed in float32; the output has the dtype of `x`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def rms_norm(
    x: Float[Array, "*batch D"], scale: Float[Array, " D"], eps: float
) -> Float[Array, "*batch D"]:
    """x / sqrt(mean(x^2) + eps) * scale. Source: Zhang & Sennrich 2019."""
    x32 = x.astype(jnp.float32)
    normed = x32 * jax.lax.rsqrt(jnp.mean(jnp.square(x32), -1, keepdims=True) + eps)
    return (normed * _last(scale, x)).astype(x.dtype)


def layer_norm(
    x: Float[Array, "*batch D"], scale: Float[Array, " D"], bias: Float[Array, " D"], eps: float
) -> Float[Array, "*batch D"]:
    """(x - mean) / sqrt(var + eps) * scale + bias with the biased variance.

    Source: Ba et al. 2016.
    """
    normed = _standardize(x.astype(jnp.float32), (-1,), eps)
    return (normed * _last(scale, x) + _last(bias, x)).astype(x.dtype)


def group_norm(
    x: Float[Array, "B *space C"],
    scale: Float[Array, " C"],
    bias: Float[Array, " C"],
    groups: int,
    eps: float,
) -> Float[Array, "B *space C"]:
    """Standardises each of `groups` equal blocks of channels over its channels and all positions.

    The result is multiplied by `scale` and shifted by `bias` per channel. Raises ValueError if
    `groups` does not divide C. Source: Wu & He 2018.
    """
    if x.shape[-1] % groups:
        raise ValueError(f"{groups} groups do not divide {x.shape[-1]} channels")
    split = x.astype(jnp.float32).reshape(x.shape[0], -1, groups, x.shape[-1] // groups)
    normed = _standardize(split, (1, 3), eps).reshape(x.shape)
    return (normed * _last(scale, x) + _last(bias, x)).astype(x.dtype)


def _standardize(x, axes, eps):
    centred = x - jnp.mean(x, axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axes, keepdims=True) + eps)


def _last(v, x):
    """The vector v as float32, reshaped to the rank of x with v along the last axis."""
    return v.astype(jnp.float32).reshape((1,) * (x.ndim - 1) + v.shape)
