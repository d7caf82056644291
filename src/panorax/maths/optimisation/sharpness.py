"""The sharpness of a minimum, and sharpness-aware minimisation (SAM).

    sharpness   max over |e| <= rho of L(w + e) - L(w)
    SAM         replaces the gradient g(w) by g(w + rho g(w) / |g(w)|)

|.| is the Euclidean norm over all parameters. Source: Foret et al. 2021 (arXiv:2010.01412).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


def moved(params, direction, length):
    """`params` moved by `length` along `direction`, a tree like `params` of any norm."""
    norm = jnp.maximum(optax.tree.norm(direction), jnp.finfo(jnp.float32).tiny)
    return jax.tree.map(lambda w, d: w + length * d / norm, params, direction)


def sam(rho: float) -> optax.GradientTransformationExtraArgs:
    """Replaces the gradient by the gradient at distance `rho` up the slope; 0 leaves it unchanged.

    Chain it before an optimiser. Its update needs the extra argument `value_fn`, the loss as a
    function of the parameters, which `core.step.update` passes.
    """

    def update(grads, state, params, *, value_fn, **unused):
        return jax.grad(value_fn)(moved(params, grads, rho)) if rho else grads, state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def sharpness(loss: Callable, params, rho: float, steps: int = 20) -> Float[Array, ""]:
    """Lower bound on max over |e| <= rho of L(w + e) - L(w), by projected gradient ascent.

    The ascent starts at distance `rho` up the gradient and takes `steps` steps of length `rho` / 2.
    The result is the largest loss on the way, minus the loss at `params`.
    """

    def climb(point, _):
        ahead = moved(point, jax.grad(loss)(point), rho / 2)
        offset = jax.tree.map(jnp.subtract, ahead, params)
        point = moved(params, offset, jnp.minimum(optax.tree.norm(offset), rho))
        return point, loss(point)

    _, losses = jax.lax.scan(climb, moved(params, jax.grad(loss)(params), rho), length=steps)
    return jnp.max(losses) - loss(params)
