"""Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167), with torch's running averages.

    y = (x - mean) / sqrt(var + eps) * scale + bias        for each channel

In training, mean and var are the moments over the batch and all n positions; var is biased. Each
running average r follows a statistic s by r <- (1 - momentum) r + momentum s; s is the mean or the
unbiased variance n / (n - 1) var. In evaluation, the running averages replace mean and var.

All statistics are float32; y has the dtype of x. Under `jit`, a batch that is split over devices is
normalised by the statistics of the whole batch; inside `shard_map`, by the statistics per device.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Running(NamedTuple):
    """Running averages of mean and variance, float32 (C,) each. A spec holds a `P` for each."""

    mean: Any
    var: Any


def batch_norm(
    x: Float[Array, "*batch C"],
    scale: Float[Array, " C"],
    bias: Float[Array, " C"],
    running: Running,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Float[Array, "*batch C"], Running]:
    """Normalises x by its own statistics; returns y and the updated running averages.

    Raises ValueError if x has one value per channel, because its variance is undefined.
    """
    n = x.size // x.shape[-1]
    if n < 2:
        raise ValueError(f"batch normalisation needs at least 2 values per channel, got {x.shape}")
    x32 = x.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x32, axes)
    var = jnp.mean(jnp.square(x32 - jnp.broadcast_to(mean, x.shape)), axes)
    batch = Running(mean, var * (n / (n - 1)))
    updated = jax.tree.map(lambda r, s: (1 - momentum) * r + momentum * s, running, batch)
    return _normalised(x32, mean, var, scale, bias, eps).astype(x.dtype), updated


def batch_norm_evaluation(
    x: Float[Array, "*batch C"],
    scale: Float[Array, " C"],
    bias: Float[Array, " C"],
    running: Running,
    eps: float = 1e-5,
) -> Float[Array, "*batch C"]:
    """Normalises x by the running averages, each row independently of the others."""
    y = _normalised(x.astype(jnp.float32), running.mean, running.var, scale, bias, eps)
    return y.astype(x.dtype)


def _normalised(x32, mean, var, scale, bias, eps):
    factor = jax.lax.rsqrt(var + eps) * scale.astype(jnp.float32)
    mean, factor, bias = (jnp.broadcast_to(v, x32.shape) for v in (mean, factor, bias))
    return (x32 - mean) * factor + bias
