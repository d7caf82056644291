"""Matrix-free products with second-order matrices, for any loss and any tree of parameters.

Hessian       H v = d/de grad f(p + e v)
              forward mode over the gradient (Pearlmutter 1994)
Gauss-Newton  G v = J^T L J v,  J = d outputs / d p,  L = d^2 loss / d outputs^2
              positive semidefinite for a convex loss (Schraudolph 2002)
Fisher        F v = E_y [g g^T] v,  g = grad log p(y | outputs), y drawn from the model
              equal to G if the outputs are natural parameters
empirical     1/N sum_n g_n g_n^T v, g_n at the labels of the data
              differs from F (Kunstner et al. 2019, arXiv:1905.12558)
"""

from collections.abc import Callable

import jax
from jax.flatten_util import ravel_pytree


def hessian_product(f: Callable, params, v):
    """H v of a scalar function of one tree. v and the result are trees like `params`."""
    return jax.jvp(jax.grad(f), (params,), (v,))[1]


def gauss_newton_product(outputs: Callable, loss: Callable, params, v):
    """G v of loss(outputs(params)); `outputs` returns a tree of arrays, `loss` a scalar."""
    y, pushed = jax.jvp(outputs, (params,), (v,))
    return jax.vjp(outputs, params)[1](hessian_product(loss, y, pushed))[0]


def empirical_fisher_product(losses: Callable, params, v):
    """1/N sum_n g_n g_n^T v, g_n the gradient of `losses(params)[n]`.

    Takes one forward and one reverse pass for all n together.
    """
    values, pushed = jax.jvp(losses, (params,), (v,))
    return jax.vjp(losses, params)[1](pushed / values.size)[0]


def to_vectors(f: Callable, params):
    """Returns f as a function of a flat vector, `params` as a vector, and the unravel function."""
    vector, back = ravel_pytree(params)
    return lambda x: f(back(x)), vector, back
