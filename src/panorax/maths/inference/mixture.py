"""Gaussian mixtures fitted by expectation maximisation, a coordinate ascent on the ELBO.

With p(x, z = k) = w_k N(x; mu_k, S_k) and responsibilities r over the K components of a point,

    log p(x) = ELBO(r) + KL(r | p(z | x)),
    ELBO(r) = sum_k r_k (log w_k + log N(x; mu_k, S_k) - log r_k).

The E step sets r = p(z | x), which makes the bound tight. The M step maximises the bound:
w_k = n_k / N, mu_k = sum r x / n_k, and S_k is the covariance weighted by r.
Source: Dempster, Laird & Rubin 1977; Neal & Hinton 1998; Bishop 2006, sections 9.2 to 9.4.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from panorax.core import struct

Kind = Literal["full", "diagonal", "tied"]
KINDS: tuple[Kind, ...] = ("full", "diagonal", "tied")


@struct.dataclass
class Mixture:
    """Weights that sum to 1, means, and covariances as whole matrices for every kind."""

    weight: Float[Array, " K"]
    mean: Float[Array, "K D"]
    covariance: Float[Array, "K D D"]


def log_joint(mixture: Mixture, x_ND: Float[Array, "N D"]) -> Float[Array, "N K"]:
    """log w_k + log N(x; mu_k, S_k)."""

    def component(weight, mean, covariance):
        factor = jnp.linalg.cholesky(covariance)
        whitened = solve_triangular(factor, (x_ND - mean[None]).T, lower=True)
        log_determinant = jnp.sum(jnp.log(jnp.diagonal(factor)))
        constant = 0.5 * len(mean) * jnp.log(2 * jnp.pi)
        square = 0.5 * jnp.sum(jnp.square(whitened), 0)
        return jnp.log(weight) - square - constant - log_determinant

    return jax.vmap(component, out_axes=1)(mixture.weight, mixture.mean, mixture.covariance)


def log_likelihood(mixture: Mixture, x_ND: Float[Array, "N D"]) -> Float[Array, " N"]:
    """log p(x) of each point, in nats."""
    return logsumexp(log_joint(mixture, x_ND), axis=1)


def elbo(
    mixture: Mixture, x_ND: Float[Array, "N D"], r_NK: Float[Array, "N K"]
) -> Float[Array, " N"]:
    """ELBO(r) of each point for any responsibilities r, in nats."""
    log_r = jnp.log(jnp.where(r_NK > 0, r_NK, 1))
    return jnp.sum(jnp.where(r_NK > 0, r_NK * (log_joint(mixture, x_ND) - log_r), 0), 1)


def e_step(mixture: Mixture, x_ND: Float[Array, "N D"]) -> Float[Array, "N K"]:
    """Responsibilities p(z = k | x)."""
    return jax.nn.softmax(log_joint(mixture, x_ND), axis=1)


def m_step(
    x_ND: Float[Array, "N D"], r_NK: Float[Array, "N K"], kind: Kind, ridge: float
) -> Mixture:
    """The mixture that maximises the ELBO for responsibilities r.

    kind: one covariance per component ("full", "diagonal") or one for all ("tied").
    ridge: constant added to the variances, so that no component collapses onto one point.
    """
    n_K = jnp.sum(r_NK, 0) + 10 * jnp.finfo(r_NK.dtype).eps
    mean = r_NK.T @ x_ND / n_K[:, None]
    difference = x_ND[:, None] - mean[None]
    scatter = jnp.einsum("NK,NKD,NKE->KDE", r_NK, difference, difference)
    if kind == "tied":
        covariance = jnp.broadcast_to(jnp.sum(scatter, 0) / jnp.sum(n_K), scatter.shape)
    else:
        covariance = scatter / n_K[:, None, None]
    eye = jnp.eye(x_ND.shape[1])[None]
    covariance = covariance * eye if kind == "diagonal" else covariance
    return Mixture(n_K / jnp.sum(n_K), mean, covariance + ridge * eye)


@functools.partial(jax.jit, static_argnames=("kind", "steps"))
def fit(
    x_ND: Float[Array, "N D"], r_NK: Float[Array, "N K"], kind: Kind, steps: int, ridge: float
) -> tuple[Mixture, Float[Array, "steps 2"]]:
    """Runs `steps` M and E steps from the responsibilities r.

    Returns the mixture and the mean ELBO after each M step and after each E step; the ELBO after an
    E step is the mean log likelihood.
    """

    def step(r_NK, _):
        mixture = m_step(x_ND, r_NK, kind, ridge)
        after = e_step(mixture, x_ND)
        return after, jnp.stack([jnp.mean(elbo(mixture, x_ND, r)) for r in (r_NK, after)])

    r_NK, bounds = jax.lax.scan(step, r_NK, length=steps)
    return m_step(x_ND, r_NK, kind, ridge), bounds


def k_means(key, x_ND: Float[Array, "N D"], components: int, steps: int = 20) -> Int[Array, " N"]:
    """The component of each point by Lloyd's algorithm (1957) from a k-means++ start.

    k-means++ (Arthur & Vassilvitskii 2007) draws each first mean with probability proportional to
    its squared distance from the means before it. Raises ValueError if `components` is not between
    1 and N.
    """
    if not 1 <= components <= len(x_ND):
        raise ValueError(f"{len(x_ND)} points cannot start {components} components")
    x_ND = jnp.asarray(x_ND)
    key_first, key_next = jax.random.split(key)
    square_distances = lambda mean: jnp.sum(jnp.square(x_ND - mean[None]), 1)

    def draw(nearest, key):
        mean = x_ND[jax.random.categorical(key, jnp.log(nearest))]
        return jnp.minimum(nearest, square_distances(mean)), mean

    first = x_ND[jax.random.randint(key_first, (), 0, len(x_ND))]
    keys = jax.random.split(key_next, components - 1)
    _, others = jax.lax.scan(draw, square_distances(first), keys)
    means = jnp.concatenate([first[None], others])

    def lloyd(means, _):
        member = jax.nn.one_hot(nearest_mean(x_ND, means), components)
        count = jnp.sum(member, 0)[:, None]
        return jnp.where(count > 0, member.T @ x_ND / jnp.maximum(count, 1), means), None

    means, _ = jax.lax.scan(lloyd, means, length=steps)
    return nearest_mean(x_ND, means)


def nearest_mean(x_ND: Float[Array, "N D"], mean_KD: Float[Array, "K D"]) -> Int[Array, " N"]:
    """Index of the mean nearest to each point."""
    return jnp.argmin(jnp.sum(jnp.square(x_ND[:, None] - mean_KD[None]), -1), 1)


def sample_mixture(mixture: Mixture, key, n: int) -> Float[Array, "n D"]:
    """Draws n points from the mixture."""
    key_component, key_noise = jax.random.split(key)
    z = jax.random.categorical(key_component, jnp.log(mixture.weight), shape=(n,))
    noise = jax.random.normal(key_noise, (n, mixture.mean.shape[1]))
    factors = jnp.linalg.cholesky(mixture.covariance)[z]
    return mixture.mean[z] + jnp.einsum("NDE,NE->ND", factors, noise)
