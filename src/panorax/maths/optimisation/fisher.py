"""Fisher matrices and the natural gradient for networks with exponential family outputs.

The outputs z are the natural parameters of p(t | z) = exp(<z, t> - a(z)) h(t), so t has the mean
grad a and the covariance hess a. With J = d outputs / d params, and z_n, t_n the outputs and the
label of point n:

    loss         1/N sum_n a(z_n) - <z_n, t_n>
    gradient     1/N sum_n J_n^T (grad a(z_n) - t_n)
    Fisher       F = 1/N sum_n J_n^T hess a(z_n) J_n
                 mean of g g^T, g = J_n^T (grad a(z_n) - t), over t drawn from the model at z_n
    empirical    E = 1/N sum_n g_n g_n^T with the t_n of the data; not F, and not the curvature
    natural      d = (F + damping I)^-1 g
                 steepest descent for distances measured by KL(p | p') (Amari 1998)

Source: Martens 2020, "New insights and perspectives on the natural gradient method"
(arXiv:1412.1193); Kunstner et al. 2019 (arXiv:1905.12558).
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
    """An exponential family with natural parameters z."""

    log_partition: Callable
    """z_NK -> a(z) of shape (N,)"""
    sample: Callable
    """(key, z_NK) -> samples t of shape (N, K)"""
    root: Callable
    """z_NK -> r of shape (N, K, R) with r r^T = hess a(z)"""

    def loss(self, z_NK: Float[Array, "N K"], t_NK: Float[Array, "N K"]) -> Float[Array, " N"]:
        """-log p(t | z) up to a term that does not depend on z, in nats."""
        return self.log_partition(z_NK) - jnp.sum(z_NK * t_NK, 1)

    def mean(self, z_NK: Float[Array, "N K"]) -> Float[Array, "N K"]:
        """E t = grad a(z)."""
        return jax.grad(lambda z: jnp.sum(self.log_partition(z)))(z_NK)


def _categorical_sample(key, z_NK):
    return jax.nn.one_hot(jax.random.categorical(key, z_NK), z_NK.shape[1], dtype=z_NK.dtype)


def _categorical_root(z_NK):
    """Columns sqrt(p_k) (e_k - p), one for each class k."""
    p = jax.nn.softmax(z_NK)
    return (jnp.eye(p.shape[1], dtype=p.dtype)[None] - p[:, :, None]) * jnp.sqrt(p)[:, None]


def _bernoulli_root(z_NK):
    deviation = jnp.sqrt(jax.nn.sigmoid(z_NK) * jax.nn.sigmoid(-z_NK))
    return deviation[:, :, None] * jnp.eye(z_NK.shape[1], dtype=z_NK.dtype)[None]


GAUSSIAN = Family(
    lambda z: 0.5 * jnp.sum(jnp.square(z), 1),
    lambda key, z: z + jax.random.normal(key, z.shape, z.dtype),
    lambda z: jnp.broadcast_to(jnp.eye(z.shape[1], dtype=z.dtype)[None], (*z.shape, z.shape[1])),
)
"""normal with mean z and variance 1; its loss is half the squared error"""
BERNOULLI = Family(
    lambda z: jnp.sum(jax.nn.softplus(z), 1),
    lambda key, z: jax.random.bernoulli(key, jax.nn.sigmoid(z)).astype(z.dtype),
    _bernoulli_root,
)
"""independent bits with logits z; its loss is the binary cross entropy, also for t in [0, 1]"""
CATEGORICAL = Family(lambda z: jax.nn.logsumexp(z, 1), _categorical_sample, _categorical_root)
"""one of K classes with logits z, t one-hot; its loss is the cross entropy"""


def fisher_product(outputs: Callable, family: Family, params, v):
    """F v as a tree like `params`; outputs(params) has shape (N, K)."""
    return gauss_newton_product(outputs, lambda z: jnp.mean(family.log_partition(z)), params, v)


def fisher_root_product(outputs: Callable, family: Family, params, v) -> Float[Array, "N R"]:
    """R v with R^T R = F, so that (R v) . (R w) = v^T F w; costs one forward-mode pass."""
    z, pushed = jax.jvp(outputs, (params,), (v,))
    return jnp.einsum("NKR,NK->NR", family.root(z), pushed) / len(z) ** 0.5


def fisher_matrix(outputs: Callable, family: Family, params) -> Float[Array, "P P"]:
    """The full matrix F over the P parameters, in the order of `jax.flatten_util.ravel_pytree`."""
    f, x, _ = to_vectors(outputs, params)
    root = jnp.einsum("NKR,NKP->NRP", family.root(f(x)), jax.jacobian(f)(x)).reshape(-1, x.size)
    return root.T @ root / len(f(x))


def sampled_fisher_matrix(
    outputs: Callable, family: Family, params, key, samples: int = 1
) -> Float[Array, "P P"]:
    """Monte Carlo estimate of F: the mean of g g^T over `samples` labels per point.

    The labels are drawn from the model. Raises ValueError for samples below 1.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    f, x, _ = to_vectors(outputs, params)
    z, jacobian = f(x), jax.jacobian(f)(x)

    def add(total, key):
        g = jnp.einsum("NK,NKP->NP", family.mean(z) - family.sample(key, z), jacobian)
        return total + g.T @ g, None

    zeros = jnp.zeros((x.size, x.size), x.dtype)
    total, _ = jax.lax.scan(add, zeros, jax.random.split(key, samples))
    return total / (samples * len(z))


def empirical_fisher_matrix(losses: Callable, params) -> Float[Array, "P P"]:
    """1/N sum_n g_n g_n^T, g_n the gradient of losses(params)[n]."""
    _, x, back = to_vectors(losses, params)
    row = lambda v: ravel_pytree(empirical_fisher_product(losses, params, back(v)))[0]
    return jax.vmap(row)(jnp.eye(x.size, dtype=x.dtype))


def natural_gradient(matrix: Float[Array, "P P"], gradient, damping: float = 0.0):
    """(F + damping I)^-1 g as a tree like `gradient`, by Cholesky decomposition.

    The result is NaN if F + damping I is not positive definite. Raises ValueError unless F has
    shape (P, P) for a gradient of P numbers, and for a damping that is negative or not finite.
    """
    g, back = ravel_pytree(gradient)
    if matrix.shape != (g.size, g.size):
        raise ValueError(
            f"a gradient of {g.size} numbers needs a matrix of shape {(g.size, g.size)}, "
            f"got {matrix.shape}"
        )
    checked_damping(damping, zero=True)
    return back(cho_solve(cho_factor(matrix + damping * jnp.eye(g.size, dtype=g.dtype)), g))


def natural_gradient_by_products(
    product: Callable, gradient, damping: float, tolerance: float = 1e-5, turns: int | None = None
):
    """(F + damping I)^-1 g from products v -> F v, by conjugate gradients from 0.

    Stops when the residual is `tolerance` times the gradient, or after `turns` iterations.
    Raises ValueError for a damping that is negative or not finite, and for turns below 1.
    """
    checked_damping(damping, zero=True)
    if turns is not None and turns < 1:
        raise ValueError(f"turns must be at least 1, got {turns}")
    damped = lambda v: jax.tree.map(lambda fv, v: fv + damping * v, product(v), v)
    return cg(damped, gradient, tol=tolerance, maxiter=turns)[0]


def checked_damping(damping, zero: bool) -> None:
    """Raises ValueError unless the damping is finite and positive, or 0 if `zero`.

    Tracers pass unchecked.
    """
    if isinstance(damping, jax.core.Tracer):
        return
    if not (np.isfinite(damping) and (damping > 0 or (zero and damping == 0))):
        bound = "at least" if zero else "above"
        raise ValueError(f"damping must be finite and {bound} 0, got {damping}")
