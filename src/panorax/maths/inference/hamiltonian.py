"""Hamiltonian Monte Carlo: draws from a posterior by following its slope like a frictionless ball (Duane et al. 1987; Neal 2011, arXiv:1206.1901).

With a momentum p ~ N(0, I), H(y, p) = -log density(y) + |p|^2 / 2 hardly changes along leapfrog steps

    p <- p + e/2 grad log density(y),   y <- y + e p,   p <- p + e/2 grad log density(y),

and what it does change decides whether the end of the path is accepted: with probability min(1, exp(H before - H after)).
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
):
    """`draws` of each of C chains, (C, draws, D), `leapfrog` steps apart, and the mean rate of acceptance; `log_joint(z)` need not be normalised.

    Chains move in y, z = factor y, where the posterior is nearly round if `factor` is that of a good Gaussian. The step size is adapted to accept 80%
    during the first half as many draws, which are left out.
    """
    log_density = lambda y: log_joint(factor @ y)
    slope = jax.grad(log_density)
    warmup = draws // 2

    def transition(carry, inputs):
        y, log_step = carry
        key, i = inputs
        key_momentum, key_accept = jax.random.split(key)
        p, size = jax.random.normal(key_momentum, y.shape), jnp.exp(log_step)

        def leap(state, _):
            y, p = state
            p = p + 0.5 * size * slope(y)
            y = y + size * p
            return (y, p + 0.5 * size * slope(y)), None

        (moved, q), _ = jax.lax.scan(leap, (y, p), length=leapfrog)
        gain = log_density(moved) - log_density(y) + 0.5 * (p @ p - q @ q)
        accept = jnp.exp(jnp.minimum(jnp.nan_to_num(gain, nan=-jnp.inf), 0))
        y = jnp.where(jax.random.uniform(key_accept) < accept, moved, y)
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
    """R-hat (Gelman & Rubin 1992): sqrt((W (n - 1)/n + B/n) / W), W the variance within chains, B/n that of their means; near 1 when they agree."""
    n = draws_CND.shape[1]
    within, between = (
        jnp.mean(jnp.var(draws_CND, 1, ddof=1), 0),
        jnp.var(jnp.mean(draws_CND, 1), 0, ddof=1),
    )
    return jnp.sqrt(((n - 1) / n * within + between) / within)
