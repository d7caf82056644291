"""First-order optimisers, each as a rule for one array and as an `optax.GradientTransformation`.

With the gradient g, the step t = 1, 2, .. and moments that start at 0, every update is followed by
p <- p + update:

    SGD        update = -lr g
    momentum   v <- b v + g
               update = -lr v  (Polyak 1964)
    Nesterov   v <- b v + g
               update = -lr (g + b v)  (Sutskever et al. 2013)
    AdaGrad    s <- s + g^2
               update = -lr g / (sqrt(s) + e)  (Duchi et al. 2011)
    RMSProp    s <- b s + (1 - b) g^2
               update = -lr g / (sqrt(s) + e)  (Tieleman & Hinton 2012)
    Adam       m <- b1 m + (1 - b1) g,  s <- b2 s + (1 - b2) g^2
               update = -lr m' / (sqrt(s') + e),  m' = m / (1 - b1^t),  s' = s / (1 - b2^t)
    AdamW      as Adam, update = Adam's - lr d p  (Loshchilov & Hutter 2019)
    Lion       m <- b2 m + (1 - b2) g
               update = -lr (sign(b1 m_old + (1 - b1) g) + d p)  (Chen et al. 2023)
    Muon       m <- m + (1 - b)(g - m)
               update = -lr sqrt(max(1, rows/columns)) orthogonalised(g + b (m - g))

The conventions, in particular for e, are PyTorch's. Momentum as a running mean,
v <- b v + (1 - b) g, is equivalent with lr / (1 - b). Adam with d p added to the gradient divides
the decay by sqrt(s'), so weights with large gradients hardly decay; AdamW decouples the decay.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


class Moments(NamedTuple):
    """State of a rule."""

    step: Array
    """number of updates"""
    values: tuple
    """one tree like the parameters for each moment"""


def by_rule(moments: int, rule: Callable) -> optax.GradientTransformation:
    """The transformation whose update of each array is `rule(g, p, t, *moments)`.

    The rule returns (update, *moments) for `moments` moments. `update` may omit the parameters if
    the rule does not read p.
    """

    def init(params):
        zeros = tuple(jax.tree.map(jnp.zeros_like, params) for _ in range(moments))
        return Moments(jnp.int32(0), zeros)

    def update(grads, state, params=None):
        step = state.step + 1
        outs = jax.tree.map(
            lambda g, p, *m: rule(g, p, step, *m),
            grads,
            grads if params is None else params,
            *state.values,
        )
        updates, *values = jax.tree.transpose(
            jax.tree.structure(grads), jax.tree.structure((0,) * (moments + 1)), outs
        )
        return updates, Moments(step, tuple(values))

    return optax.GradientTransformation(init, update)


def sgd(lr: float) -> optax.GradientTransformation:
    """Gradient descent."""
    return by_rule(0, lambda g, p, t: (-lr * g,))


def momentum(lr: float, b: float = 0.9, nesterov: bool = False) -> optax.GradientTransformation:
    """Gradient descent with momentum, or Nesterov's momentum."""

    def rule(g, p, t, v):
        v = b * v + g
        return -lr * (g + b * v if nesterov else v), v

    return by_rule(1, rule)


def adagrad(lr: float, eps: float = 1e-10) -> optax.GradientTransformation:
    """AdaGrad: a step size per parameter that falls with the sum of its squared gradients."""

    def rule(g, p, t, s):
        s = s + jnp.square(g)
        return -lr * g / (jnp.sqrt(s) + eps), s

    return by_rule(1, rule)


def rmsprop(lr: float, b: float = 0.99, eps: float = 1e-8) -> optax.GradientTransformation:
    """RMSProp: AdaGrad with a moving average of the squared gradients."""

    def rule(g, p, t, s):
        s = b * s + (1 - b) * jnp.square(g)
        return -lr * g / (jnp.sqrt(s) + eps), s

    return by_rule(1, rule)


def adamw(
    lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay; Adam for decay 0."""

    def rule(g, p, t, m, s):
        m, s = b1 * m + (1 - b1) * g, b2 * s + (1 - b2) * jnp.square(g)
        mean, square = m / (1 - b1**t), s / (1 - b2**t)
        return -lr * (mean / (jnp.sqrt(square) + eps) + decay * p), m, s

    return by_rule(2, rule)


def adam_l2(
    lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0
) -> optax.GradientTransformation:
    """Adam on the loss plus decay / 2 |p|^2."""
    adam = adamw(lr, b1, b2, eps)

    def update(grads, state, params):
        return adam.update(jax.tree.map(lambda g, p: g + decay * p, grads, params), state, params)

    return optax.GradientTransformation(adam.init, update)


def lion(
    lr: float, b1: float = 0.9, b2: float = 0.99, decay: float = 0.0
) -> optax.GradientTransformation:
    """Lion: the update is lr times the sign of an average gradient."""

    def rule(g, p, t, m):
        return -lr * (jnp.sign(b1 * m + (1 - b1) * g) + decay * p), b2 * m + (1 - b2) * g

    return by_rule(1, rule)


def orthogonalised(g: Float[Array, "m n"], turns: int = 5) -> Float[Array, "m n"]:
    """Approximates U V^T of g = U diag(s) V^T by `turns` Newton-Schulz iterations.

    Each iteration x <- a x + b (x x^T) x + c (x x^T)^2 x maps every singular value s to
    a s + b s^3 + c s^5, which drives singular values in (0, 1] to between 0.7 and 1.2
    (Jordan et al. 2024, "Muon").
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = g.T if g.shape[0] > g.shape[1] else g
    x = wide / jnp.maximum(jnp.linalg.norm(wide), 1e-7)
    for _ in range(turns):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def muon(lr: float, b: float = 0.95, decay: float = 0.0) -> optax.GradientTransformation:
    """Muon: momentum with orthogonalised updates, for matrices only.

    Raises ValueError for arrays of other ranks; train them with another optimiser.
    """

    def rule(g, p, t, m):
        if g.ndim != 2:
            raise ValueError(
                f"Muon is for matrices, got an array of shape {g.shape}; "
                "use optax.multi_transform to give other arrays another optimiser"
            )
        m = m + (1 - b) * (g - m)
        scale = max(1.0, g.shape[0] / g.shape[1]) ** 0.5
        return -lr * (scale * orthogonalised(g + b * (m - g)) + decay * p), m

    return by_rule(1, rule)


def clipped(limit: float) -> optax.GradientTransformation:
    """Clips the global norm: g min(1, limit / |g|) (Pascanu et al. 2013)."""

    def update(grads, state, params=None):
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(grads)))
        return jax.tree.map(lambda g: g * jnp.minimum(1.0, limit / (norm + 1e-6)), grads), state

    return optax.GradientTransformation(lambda params: (), update)


def warmup_cosine(peak: float, warmup: int, steps: int, final: float = 0.0) -> optax.Schedule:
    """Linear warm-up from 0 to `peak` in `warmup` updates, then cosine decay to `final`.

    The schedule reaches `final` at update `steps`.
    """

    def rate(t):
        progress = jnp.clip((t - warmup) / max(steps - warmup, 1), 0, 1)
        decayed = final + (peak - final) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
        return jnp.where(t < warmup, peak * t / max(warmup, 1), decayed)

    return rate


def scheduled(
    rate: optax.Schedule, unit: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Scales `unit`, a transformation with learning rate 1, by `rate(t)`, t = 0 first."""

    def update(grads, state, params=None):
        t, inner = state
        updates, inner = unit.update(grads, inner, params)
        return jax.tree.map(lambda u: rate(t) * u, updates), (t + 1, inner)

    return optax.GradientTransformation(lambda params: (jnp.int32(0), unit.init(params)), update)
