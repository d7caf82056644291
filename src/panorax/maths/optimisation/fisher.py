"""Fisher matrices and the natural gradient, for a net whose outputs z are the natural parameters of p(t | z) = exp(<z, t> - a(z)) h(t).

Then the mean of t is grad a, its covariance is hess a, and with J = d outputs / d params, z_n the outputs of point n and t the one seen there:

    loss         1/N sum_n a(z_n) - <z_n, t_n>                  gradient    1/N sum_n J_n^T (grad a(z_n) - t_n)
    Fisher       F = 1/N sum_n J_n^T hess a(z_n) J_n            the mean of g g^T, g = J_n^T (grad a(z_n) - t), over t drawn from the model at z_n
    empirical    E = 1/N sum_n g_n g_n^T                        the same with the t_n of the data, another matrix: it knows the noise, not the curvature
    natural      d = (F + damping I)^-1 g                       steepest descent where distance is measured by KL(p | p') (Amari 1998)

Source: Martens 2020, "New insights and perspectives on the natural gradient method" (arXiv:1412.1193); Kunstner et al. 2019 (arXiv:1905.12558).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import cho_factor, cho_solve
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float

from panorax.maths.optimisation.curvature import (
    empirical_fisher_product,
    gauss_newton_product,
    to_vectors,
)


class Family(NamedTuple):
    """An exponential family: log_partition(z_NK) is a (N,); sample(key, z_NK) draws t (N, K); root(z_NK) is r (N, K, R) with r r^T = hess a."""

    log_partition: Callable
    sample: Callable
    root: Callable

    def loss(self, z_NK: Float[Array, "N K"], t_NK: Float[Array, "N K"]) -> Float[Array, " N"]:
        """-log p(t | z) up to a term without z."""
        return self.log_partition(z_NK) - jnp.sum(z_NK * t_NK, 1)

    def mean(self, z_NK: Float[Array, "N K"]) -> Float[Array, "N K"]:
        """E t = grad a(z)."""
        return jax.grad(lambda z: jnp.sum(self.log_partition(z)))(z_NK)


def _categorical_sample(key, z_NK):
    return jax.nn.one_hot(jax.random.categorical(key, z_NK), z_NK.shape[1], dtype=z_NK.dtype)


def _categorical_root(z_NK):
    """Columns sqrt(p_k) (e_k - p): one for each class that may be drawn."""
    p = jax.nn.softmax(z_NK)
    return (jnp.eye(p.shape[1], dtype=p.dtype)[None] - p[:, :, None]) * jnp.sqrt(p)[:, None]


def _bernoulli_root(z_NK):
    return (
        jnp.sqrt(jax.nn.sigmoid(z_NK) * jax.nn.sigmoid(-z_NK))[:, :, None]
        * jnp.eye(z_NK.shape[1], dtype=z_NK.dtype)[None]
    )


GAUSSIAN = Family(
    lambda z: 0.5 * jnp.sum(jnp.square(z), 1),
    lambda key, z: z + jax.random.normal(key, z.shape, z.dtype),
    lambda z: jnp.broadcast_to(jnp.eye(z.shape[1], dtype=z.dtype)[None], (*z.shape, z.shape[1])),
)
"""t = z + noise of variance 1: half the squared error"""
BERNOULLI = Family(
    lambda z: jnp.sum(jax.nn.softplus(z), 1),
    lambda key, z: jax.random.bernoulli(key, jax.nn.sigmoid(z)).astype(z.dtype),
    _bernoulli_root,
)
"""independent bits (or shares of them) with logits z: binary cross entropy"""
CATEGORICAL = Family(lambda z: jax.nn.logsumexp(z, 1), _categorical_sample, _categorical_root)
"""one of K classes, t its indicator: cross entropy"""


def fisher_product(outputs: Callable, family: Family, params, v):
    """F v as a tree like `params`; outputs(params) is (N, K)."""
    return gauss_newton_product(outputs, lambda z: jnp.mean(family.log_partition(z)), params, v)


def fisher_root_product(outputs: Callable, family: Family, params, v) -> Float[Array, "N R"]:
    """R v with R^T R = F: (R v) . (R w) = v^T F w for the price of one forward pass each."""
    z, pushed = jax.jvp(outputs, (params,), (v,))
    return jnp.einsum("NKR,NK->NR", family.root(z), pushed) / len(z) ** 0.5


def fisher_matrix(outputs: Callable, family: Family, params) -> Float[Array, "P P"]:
    """F over the flat parameters, whose order is that of `jax.flatten_util.ravel_pytree`; for models small enough for P x P numbers."""
    f, x, _ = to_vectors(outputs, params)
    root = jnp.einsum("NKR,NKP->NRP", family.root(f(x)), jax.jacobian(f)(x)).reshape(-1, x.size)
    return root.T @ root / len(f(x))


def sampled_fisher_matrix(
    outputs: Callable, family: Family, params, key, samples: int = 1
) -> Float[Array, "P P"]:
    """The mean of g g^T over `samples` of t at every point, drawn from the model: F but for chance. Raises ValueError for no samples."""
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    f, x, _ = to_vectors(outputs, params)
    z, jacobian = f(x), jax.jacobian(f)(x)

    def one(total, key):
        g = jnp.einsum("NK,NKP->NP", family.mean(z) - family.sample(key, z), jacobian)
        return total + g.T @ g, None

    total, _ = jax.lax.scan(
        one, jnp.zeros((x.size, x.size), x.dtype), jax.random.split(key, samples)
    )
    return total / (samples * len(z))


def empirical_fisher_matrix(losses: Callable, params) -> Float[Array, "P P"]:
    """1/N sum_n g_n g_n^T, g_n the gradient of losses(params)[n]."""
    _, x, back = to_vectors(losses, params)
    return jax.vmap(lambda v: ravel_pytree(empirical_fisher_product(losses, params, back(v)))[0])(
        jnp.eye(x.size, dtype=x.dtype)
    )


def natural_gradient(matrix: Float[Array, "P P"], gradient, damping: float = 0.0):
    """(F + damping I)^-1 g, a tree like `gradient`, by Cholesky's factors; NaN where F + damping I is not positive definite.

    Raises ValueError where F is not square with a row for each number of the gradient, and for a damping that is negative or not finite.
    """
    g, back = ravel_pytree(gradient)
    if matrix.shape != (g.size, g.size):
        raise ValueError(
            f"a gradient of {g.size} numbers needs a matrix of shape {(g.size, g.size)}, got {matrix.shape}"
        )
    checked_damping(damping, zero=True)
    return back(cho_solve(cho_factor(matrix + damping * jnp.eye(g.size, dtype=g.dtype)), g))


def natural_gradient_by_products(
    product: Callable, gradient, damping: float, tolerance: float = 1e-5, turns: int | None = None
):
    """The same from products v -> F v alone, by conjugate gradients from 0 until the residual is `tolerance` of the gradient, or after `turns`.

    Raises ValueError for a damping that is negative or not finite, and for no turns.
    """
    checked_damping(damping, zero=True)
    if turns is not None and turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    damped = lambda v: jax.tree.map(lambda fv, v: fv + damping * v, product(v), v)
    return cg(damped, gradient, tol=tolerance, maxiter=turns)[0]


def checked_damping(damping, zero: bool) -> None:
    """Raise ValueError unless a damping that is known (no tracer) is finite and positive, or 0 where that is allowed."""
    if isinstance(damping, jax.core.Tracer):
        return
    if not (np.isfinite(damping) and (damping > 0 or (zero and damping == 0))):
        raise ValueError(
            f"damping must be finite and {'at least' if zero else 'above'} 0, got {damping}"
        )
