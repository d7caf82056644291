"""Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011, arXiv:1206.1901).

With a momentum p ~ N(0, I) and H(y, p) = -log density(y) + |p|^2 / 2, leapfrog steps of size e

    p <- p + e/2 grad log density(y),   y <- y + e p,   p <- p + e/2 grad log density(y)

change H little. The end of the path is accepted with probability min(1, exp(H_start - H_end)).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def chains(
    log_joint: Callable,
    start_CD: Float[Array, "C D"],
    factor: Float[Array, "D D"],
    key,
    draws: int,
    leapfrog: int,
) -> tuple[Float[Array, "C draws D"], Float[Array, ""]]:
    """Runs C chains from `start_CD`; returns `draws` samples per chain and the acceptance rate.

    log_joint: log density of z up to a constant.
    factor: lower triangular map z = factor y. The chains move in y, whose posterior is nearly
        isotropic if factor factor^T approximates the posterior covariance.
    leapfrog: leapfrog steps per draw.

    The step size adapts to 80% acceptance during draws // 2 warm-up draws, which are discarded.
    """
    log_density = lambda y: log_joint(factor @ y)
    gradient = jax.grad(log_density)
    warmup = draws // 2

    def transition(carry, inputs):
        y, log_step = carry
        key, i = inputs
        key_momentum, key_accept = jax.random.split(key)
        p, size = jax.random.normal(key_momentum, y.shape), jnp.exp(log_step)

        def leap(state, _):
            y, p = state
            p = p + 0.5 * size * gradient(y)
            y = y + size * p
            return (y, p + 0.5 * size * gradient(y)), None

        (proposal, q), _ = jax.lax.scan(leap, (y, p), length=leapfrog)
        gain = log_density(proposal) - log_density(y) + 0.5 * (p @ p - q @ q)
        accept = jnp.exp(jnp.minimum(jnp.nan_to_num(gain, nan=-jnp.inf), 0))
        y = jnp.where(jax.random.uniform(key_accept) < accept, proposal, y)
        log_step = log_step + jnp.where(i < warmup, (accept - 0.8) / jnp.sqrt(i + 1.0), 0.0)
        return (y, log_step), (y, accept)

    def chain(key, z):
        begin = (jax.scipy.linalg.solve_triangular(factor, z, lower=True), jnp.log(0.1))
        total = warmup + draws
        _, (ys, accepted) = jax.lax.scan(
            transition, begin, (jax.random.split(key, total), jnp.arange(total))
        )
        return ys[warmup:] @ factor.T, jnp.mean(accepted[warmup:])

    zs, rates = jax.jit(jax.vmap(chain))(jax.random.split(key, len(start_CD)), start_CD)
    return zs, jnp.mean(rates)


def potential_scale_reduction(draws_CND: Float[Array, "C n D"]) -> Float[Array, " D"]:
    """R-hat = sqrt((W (n - 1)/n + B/n) / W) (Gelman & Rubin 1992), near 1 after convergence.

    W is the mean variance within chains, B/n the variance of the chain means.
    """
    n = draws_CND.shape[1]
    within = jnp.mean(jnp.var(draws_CND, 1, ddof=1), 0)
    between = jnp.var(jnp.mean(draws_CND, 1), 0, ddof=1)
    return jnp.sqrt(((n - 1) / n * within + between) / within)
