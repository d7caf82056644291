"""Normalisation over the last axis or over groups of channels.

Statistics are computed in float32; the output has the dtype of `x`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import pallas_kernels.layer_norm as layer
import pallas_kernels.rms_norm as rms
from panorax.core.layout import BATCH_AXES, TENSOR_AXES, by_shards


def rms_norm(
    x: Float[Array, "*batch D"],
    scale: Float[Array, " D"],
    eps: float,
    implementation: str | None = None,
) -> Float[Array, "*batch D"]:
    """x / sqrt(mean(x^2) + eps) * scale. Source: Zhang & Sennrich 2019.

    implementation: of `pallas_kernels.rms_norm`; "reference" has forward-mode differentiation on
    every machine.
    """
    run = lambda x, scale: rms.rms_norm(x, scale, eps, implementation)
    return by_shards(run, (x, scale), (_split(x), ()), implementation)


def layer_norm(
    x: Float[Array, "*batch D"],
    scale: Float[Array, " D"],
    bias: Float[Array, " D"],
    eps: float,
    implementation: str | None = None,
) -> Float[Array, "*batch D"]:
    """(x - mean) / sqrt(var + eps) * scale + bias with the biased variance.

    implementation: of `pallas_kernels.layer_norm`; "reference" has forward-mode differentiation on
    every machine. Source: Ba et al. 2016.
    """
    run = lambda x, scale, bias: layer.layer_norm(x, scale, bias, eps, implementation)
    return by_shards(run, (x, scale, bias), (_split(x), (), ()), implementation)


def _split(x: jax.Array):
    """Mesh axes of the rows of x: (B, D), (B, T, D), or heads (B, T, H, K)."""
    return (BATCH_AXES, (), TENSOR_AXES) if x.ndim == 4 else (BATCH_AXES,) * (x.ndim > 1)


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
    centred = split - jnp.mean(split, (1, 3), keepdims=True)
    variance = jnp.mean(jnp.square(centred), (1, 3), keepdims=True)
    normed = (centred * jax.lax.rsqrt(variance + eps)).reshape(x.shape)
    last = lambda v: v.astype(jnp.float32).reshape((1,) * (x.ndim - 1) + v.shape)
    return (normed * last(scale) + last(bias)).astype(x.dtype)
