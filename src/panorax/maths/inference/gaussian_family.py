"""Variational inference with Gaussians: approximates a posterior by maximising the ELBO.

q = N(m, L L^T) approximates the posterior p(z | x) = p(x, z) / p(x), with L diagonal (mean field)
or lower triangular (full rank). As

    log p(x) = ELBO(q) + KL(q | p(z | x)),      ELBO(q) = E_q log p(x, z) + H(q),
    H(q) = D/2 log(2 pi e) + sum log L_ii,

raising the bound lowers the KL divergence. Its gradient is taken through samples z = m + L e,
e ~ N(0, I) (Kingma & Welling 2014, arXiv:1312.6114; Kucukelbir et al. 2017, arXiv:1603.00788).

For a posterior N(mu, P^-1) the optimal full-rank q is the posterior. The optimal mean field has the
same mean and the variances 1 / P_ii, too small for correlated unknowns. A network with a Gaussian
for every weight is Bayes by backprop (Blundell et al. 2015, arXiv:1505.05424). Hamiltonian Monte
Carlo (Neal 2011, arXiv:1206.1901) assumes no family for q and needs many more evaluations.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from panorax.core import struct
from panorax.core.step import descend

Family = Literal["mean_field", "full_rank"]


@struct.dataclass
class Gaussian:
    """N(mean, L L^T)."""

    mean: Float[Array, " D"]
    """m"""
    log_scale: Float[Array, " D"]
    """log of the diagonal of L"""
    lower: Float[Array, "D D"] | None
    """matrix with the strict lower triangle of L, other entries unused; None for a mean field"""

    def factor(self) -> Float[Array, "D D"]:
        """The factor L."""
        diagonal = jnp.diag(jnp.exp(self.log_scale))
        return diagonal if self.lower is None else diagonal + jnp.tril(self.lower, -1)

    def sample(self, key, n: int) -> Float[Array, "n D"]:
        """Draws n samples m + L e."""
        e = jax.random.normal(key, (n, len(self.mean)))
        deviation = e * jnp.exp(self.log_scale)[None]
        if self.lower is not None:
            deviation = deviation + e @ jnp.tril(self.lower, -1).T
        return self.mean[None] + deviation

    def entropy(self) -> Float[Array, ""]:
        """H(q), in nats."""
        return jnp.sum(self.log_scale) + 0.5 * len(self.mean) * (1 + math.log(2 * math.pi))


def start(dimensions: int, family: Family, scale: float = 0.1) -> Gaussian:
    """N(0, scale^2 I) in the given family."""
    lower = jnp.zeros((dimensions, dimensions)) if family == "full_rank" else None
    return Gaussian(jnp.zeros(dimensions), jnp.full(dimensions, math.log(scale)), lower)


def kl_gaussians(mean_q, factor_q, mean_p, factor_p) -> Float[Array, ""]:
    """KL(N(m_q, L_q L_q^T) | N(m_p, L_p L_p^T)) in nats; means (D,), lower triangular L (D, D).

    Equals (|L_p^-1 L_q|_F^2 + |L_p^-1 (m_p - m_q)|^2 - D) / 2 + log |L_p| - log |L_q|.
    """
    solve = functools.partial(jax.scipy.linalg.solve_triangular, factor_p, lower=True)
    log_det = lambda factor: jnp.sum(jnp.log(jnp.diagonal(factor)))
    square = jnp.sum(jnp.square(solve(factor_q))) + jnp.sum(jnp.square(solve(mean_p - mean_q)))
    return 0.5 * (square - len(mean_q)) + log_det(factor_p) - log_det(factor_q)


def kl_to_standard_normal(
    mean: Float[Array, "*n D"], log_variance: Float[Array, "*n D"]
) -> Float[Array, "*n"]:
    """KL(N(mean, diag exp(log_variance)) | N(0, I)) in nats.

    Equals -1/2 sum (1 + log_variance - mean^2 - exp(log_variance)).
    """
    return -0.5 * jnp.sum(1 + log_variance - jnp.square(mean) - jnp.exp(log_variance), -1)


def elbo(q: Gaussian, key, log_joint: Callable, n: int) -> Float[Array, ""]:
    """Estimates the ELBO in nats from n samples; `log_joint(z)` is log p(x, z) for one z."""
    return jnp.mean(jax.vmap(log_joint)(q.sample(key, n))) + q.entropy()


def fit(
    log_joint: Callable, q: Gaussian, key, steps: int, samples: int, lr: float
) -> tuple[Gaussian, Float[Array, " steps"]]:
    """Runs `steps` Adam steps that raise the ELBO, each with `samples` draws from q.

    The learning rate follows a cosine decay from `lr` to 0. Returns q and the ELBO of every step.
    """
    tx = optax.adam(optax.cosine_decay_schedule(lr, steps))
    loss = lambda q, key: -elbo(q, key, log_joint, samples)
    q, losses = jax.jit(lambda q: descend(loss, tx, q, jax.random.split(key, steps)))(q)
    return q, -losses
