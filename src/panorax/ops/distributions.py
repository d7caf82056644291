"""Distributions over actions as pytrees of their parameters.

Each has `sample`, `mode` and `log_prob`, and where they have closed forms `entropy` and
`kl(other)`, the divergence KL(self | other) from a distribution of the same type. All leading axes
are batch axes. Log probabilities, entropies and divergences are float32, in nats.
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

    def kl(self, other: "Categorical") -> Float[Array, "*batch"]:
        log_p, log_q = (jax.nn.log_softmax(d.logits.astype(jnp.float32)) for d in (self, other))
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q), -1)


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

    def kl(self, other: "MultiCategorical") -> Float[Array, "*batch"]:
        return sum(p.kl(q) for p, q in zip(self.parts, other.parts, strict=True))


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

    def kl(self, other: "DiagonalGaussian") -> Float[Array, "*batch"]:
        apart = jnp.square((self.mean - other.mean) * jnp.exp(-other.log_std))
        log_ratio = self.log_std - other.log_std
        return jnp.sum(0.5 * (apart + jnp.exp(2 * log_ratio) - 1) - log_ratio, -1)


@struct.dataclass
class TanhGaussian:
    """a = tanh(u), u ~ N(mean, diag(exp(log_std)^2)); actions in (-1, 1)^K, shape (*batch, K).

    Source: Haarnoja et al. 2018, arXiv:1801.01290, appendix C.
    """

    mean: Float[Array, "*batch K"]
    log_std: Float[Array, "*batch K"]

    def sample(self, key: jax.Array) -> Float[Array, "*batch K"]:
        return jnp.tanh(self._gaussian().sample(key))

    def mode(self) -> Float[Array, "*batch K"]:
        """The median tanh(mean): the density has its maxima near the bounds if the std is large."""
        return jnp.tanh(self.mean)

    def log_prob(self, action: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
        """Actions beyond the bounds of float32 count as the nearest action inside."""
        bound = 1 - jnp.finfo(jnp.float32).eps / 2
        return self._log_prob_of(jnp.arctanh(jnp.clip(action, -bound, bound)))

    def sample_and_log_prob(
        self, key: jax.Array
    ) -> tuple[Float[Array, "*batch K"], Float[Array, "*batch"]]:
        """A sample and its exact log probability, without the inverse of tanh; differentiable."""
        u = self._gaussian().sample(key)
        return jnp.tanh(u), self._log_prob_of(u)

    def _gaussian(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean, self.log_std)

    def _log_prob_of(self, u: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
        """log p(u) - sum log(1 - tanh(u)^2), with 1 - tanh(u)^2 = 4 / (e^u + e^-u)^2."""
        log_slope = 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))
        return self._gaussian().log_prob(u) - jnp.sum(log_slope, -1)
