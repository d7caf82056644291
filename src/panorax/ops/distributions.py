"""Distributions over actions as pytrees of their parameters.

Each has `sample`, `mode`, `log_prob` and `entropy`. All leading axes are batch axes. Log
probabilities and entropies are float32, in nats.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from panorax.core import struct
from panorax.ops.losses import cross_entropy


def masked(
    logits: Float[Array, "*batch A"], legal: Bool[Array, "*batch A"]
) -> Float[Array, "*batch A"]:
    """Logits with -1e9 at illegal actions: probability 0, with finite entropy and gradients.

    The most negative float would overflow when logsumexp is subtracted from it.
    """
    return jnp.where(legal, logits, -1e9)


@struct.dataclass
class Categorical:
    """P(a) = softmax(logits)_a over a = 0 .. A-1; actions are int32 of shape (*batch)."""

    logits: Float[Array, "*batch A"]

    def sample(self, key: jax.Array) -> Int[Array, "*batch"]:
        return jax.random.categorical(key, self.logits.astype(jnp.float32))

    def mode(self) -> Int[Array, "*batch"]:
        return jnp.argmax(self.logits, -1)

    def log_prob(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        return -cross_entropy(self.logits, action)

    def entropy(self) -> Float[Array, "*batch"]:
        log_p = jax.nn.log_softmax(self.logits.astype(jnp.float32))
        return -jnp.sum(jnp.exp(log_p) * log_p, -1)


@struct.dataclass
class MultiCategorical:
    """K independent categoricals of any sizes; actions are int32 of shape (*batch, K)."""

    parts: tuple[Categorical, ...]

    def sample(self, key: jax.Array) -> Int[Array, "*batch K"]:
        keys = jax.random.split(key, len(self.parts))
        return jnp.stack([p.sample(k) for p, k in zip(self.parts, keys, strict=True)], -1)

    def mode(self) -> Int[Array, "*batch K"]:
        return jnp.stack([p.mode() for p in self.parts], -1)

    def log_prob(self, action: Int[Array, "*batch K"]) -> Float[Array, "*batch"]:
        return sum(p.log_prob(action[..., i]) for i, p in enumerate(self.parts))

    def entropy(self) -> Float[Array, "*batch"]:
        return sum(p.entropy() for p in self.parts)


@struct.dataclass
class DiagonalGaussian:
    """N(mean, diag(exp(log_std)^2)); actions are float32 of shape (*batch, K)."""

    mean: Float[Array, "*batch K"]
    log_std: Float[Array, "*batch K"]

    def sample(self, key: jax.Array) -> Float[Array, "*batch K"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Float[Array, "*batch K"]:
        return self.mean

    def log_prob(self, action: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * math.log(2 * math.pi), -1)

    def entropy(self) -> Float[Array, "*batch"]:
        return jnp.sum(self.log_std + 0.5 * math.log(2 * math.pi * math.e), -1)
