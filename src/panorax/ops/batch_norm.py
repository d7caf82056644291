"""Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167), with torch's running averages.

    y = (x - mean) / sqrt(var + eps) * scale + bias        for each channel

In training, mean and var are those of the batch and all positions, var divided by their number n.
The running averages r follow, r <- (1 - momentum) r + momentum s, with s the mean and the unbiased
variance n / (n - 1) var. In evaluation, the running averages take the place of mean and var. All
statistics are float32; y has the dtype of x. Under `jit` the statistics of a batch that is split
over devices are those of the whole batch; inside `shard_map` each device has those of its part.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Running(NamedTuple):
    """Running averages of mean and variance, float32 (C,) each; in a spec, a `P` for each array."""

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
    """y by the statistics of the batch, and the running averages after it.

    Raises ValueError for a batch with one value per channel, which has no variance.
    """
    n = x.size // x.shape[-1]
    if n < 2:
        raise ValueError(f"batch normalisation needs 2 values per channel or more, got {x.shape}")
    x32 = x.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    mean = jnp.mean(x32, axes)
    var = jnp.mean(jnp.square(x32 - jnp.broadcast_to(mean, x.shape)), axes)
    batch = Running(mean, var * (n / (n - 1)))
    after = jax.tree.map(lambda r, s: (1 - momentum) * r + momentum * s, running, batch)
    return _normalised(x32, mean, var, scale, bias, eps).astype(x.dtype), after


def batch_norm_evaluation(
    x: Float[Array, "*batch C"],
    scale: Float[Array, " C"],
    bias: Float[Array, " C"],
    running: Running,
    eps: float = 1e-5,
) -> Float[Array, "*batch C"]:
    """y by the running averages: every row by itself."""
    y = _normalised(x.astype(jnp.float32), running.mean, running.var, scale, bias, eps)
    return y.astype(x.dtype)


def _normalised(x32, mean, var, scale, bias, eps):
    factor = jax.lax.rsqrt(var + eps) * scale.astype(jnp.float32)
    mean, factor, bias = (jnp.broadcast_to(v, x32.shape) for v in (mean, factor, bias))
    return (x32 - mean) * factor + bias
