"""Values as categorical distributions over bins, and the transforms that compress their range."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def symlog(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """sign(x) log(1 + |x|) (Hafner et al. 2023, arXiv:2301.04104, equation 9)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """sign(x) (e^|x| - 1), the inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def contract(x: Float[Array, "*batch"], eps: float = 1e-3) -> Float[Array, "*batch"]:
    """h(x) = sign(x) (sqrt(|x| + 1) - 1) + eps x (Pohlen et al. 2018, arXiv:1805.11593)."""
    magnitude = jnp.abs(x)
    return jnp.sign(x) * magnitude / (jnp.sqrt(magnitude + 1) + 1) + eps * x


def expand(y: Float[Array, "*batch"], eps: float = 1e-3) -> Float[Array, "*batch"]:
    """The inverse of `contract`.

    u = sqrt(|x| + 1) - 1 solves eps u^2 + (1 + 2 eps) u = |y|, and |x| = u (u + 2).
    """
    magnitude = jnp.abs(y)
    u = 2 * magnitude / (1 + 2 * eps + jnp.sqrt(1 + 4 * eps * (magnitude + 1 + eps)))
    return jnp.sign(y) * u * (u + 2)


def two_hot(x: Float[Array, "*batch"], bins_K: Float[Array, " K"]) -> Float[Array, "*batch K"]:
    """Probabilities of the two bins around x whose mean is x, clipped to the range of the bins.

    bins_K: increasing values, at least two. Source: Bellemare et al. 2017, arXiv:1707.06887,
    equation 7, for one atom.
    """
    K = len(bins_K)
    x = jnp.clip(x, bins_K[0], bins_K[-1])
    lower = jnp.clip(jnp.searchsorted(bins_K, x, side="right") - 1, 0, K - 2)
    low, high = bins_K[lower], bins_K[lower + 1]
    share = ((x - low) / (high - low))[..., None]
    return (1 - share) * jax.nn.one_hot(lower, K, dtype=x.dtype) + share * jax.nn.one_hot(
        lower + 1, K, dtype=x.dtype
    )


def projected(
    p: Float[Array, "*batch J"], atoms: Float[Array, "*batch J"], bins_K: Float[Array, " K"]
) -> Float[Array, "*batch K"]:
    """The distribution p over `atoms` as one over `bins_K` with the same mean inside their range.

    Every atom is shared out by `two_hot`. Source: Bellemare et al. 2017, equation 7.
    """
    return jnp.sum(p[..., None] * two_hot(atoms, bins_K), -2)


def expectation(
    logits: Float[Array, "*batch K"], bins_K: Float[Array, " K"]
) -> Float[Array, "*batch"]:
    """Mean of the bins under softmax(logits), in float32.

    Bins that mirror each other are summed in pairs, so that equal probabilities give exactly 0 for
    bins that are symmetric about 0 (Hafner et al. 2023, appendix C).
    """
    K = len(bins_K)
    bins = bins_K.reshape((1,) * (logits.ndim - 1) + (K,))
    weighted = jax.nn.softmax(logits.astype(jnp.float32)) * bins
    pairs = weighted[..., : K // 2] + weighted[..., ::-1][..., : K // 2]
    middle = weighted[..., K // 2] if K % 2 else 0.0
    return jnp.sum(pairs, -1) + middle
