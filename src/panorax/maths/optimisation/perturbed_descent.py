"""Gradient descent that leaves saddles: now and then a little noise, and how many steps that takes.

Descent from the stable manifold of a saddle ends in the saddle. Perturbed descent (Jin et al. 2017, arXiv:1703.00887, algorithm 1) adds, where the
gradient is small and the last noise `wait` steps ago, a point drawn from a ball, and ends where f has not fallen by `enough` within `wait` steps of
it. Noise of size r puts about r / sqrt(d) along a direction of curvature -g, which each step of rate e multiplies by 1 + e g: it is out after about
log(sqrt(d) / r) / (e g) steps. Near a strict saddle descent from a random start leaves too, but each saddle on its way throws it nearer to the
stable manifold of the next: in a chain of d saddles (Du et al. 2017, arXiv:1705.10412) the time at each is a multiple of that before, so that it
needs exponentially many steps in d, with noise about as many at each.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from panorax.core import struct


class Noise(NamedTuple):
    """When and how much: `radius` of the ball, the largest norm of a gradient that counts as `small`, steps to `wait`, the fall that is `enough`."""

    radius: float
    small: float
    wait: int
    enough: float


def jins(
    smooth: float,
    hessian_lipschitz: float,
    accuracy: float,
    dimension: int,
    gap: float,
    failure: float = 0.1,
    c: float = 1.0,
) -> tuple[float, Noise]:
    """(rate, noise) of the theorem, for a gradient with Lipschitz constant `smooth`, a Hessian with `hessian_lipschitz`, f(start) - min f <= `gap`:
    descent then ends within steps of order log^4(dimension) gap smooth / accuracy^2 where |grad| <= accuracy and no curvature is below
    -sqrt(hessian_lipschitz accuracy)."""
    numbers = (smooth, hessian_lipschitz, accuracy, dimension, gap, failure, c)
    if not all(0 < x < math.inf for x in numbers):
        raise ValueError(f"all constants must be above 0 and finite, got {numbers}")
    chi = 3 * max(math.log(dimension * smooth * gap / (c * accuracy**2 * failure)), 4)
    small = c**0.5 / chi**2 * accuracy
    wait = math.ceil(chi / c**2 * smooth / (hessian_lipschitz * accuracy) ** 0.5)
    return c / smooth, Noise(
        small / smooth, small, wait, c / chi**3 * (accuracy**3 / hessian_lipschitz) ** 0.5
    )


@struct.dataclass
class Descent:
    """Where it stopped: the point and its value; the value after every step, NaN after the last; how many steps, and whether noise ended it, which
    did not make f fall: the point is then a minimum, as far as noise can tell."""

    x: Float[Array, " d"]
    value: Float[Array, ""]
    values: Float[Array, " steps+1"]
    steps: Int[Array, ""]
    ended: Bool[Array, ""]


def in_ball(key, like: Float[Array, " d"], radius: float) -> Float[Array, " d"]:
    """Uniform in the ball around 0: the first d coordinates of a point on the sphere of d + 2 (Archimedes, for d = 1)."""
    x = jax.random.normal(key, (like.size + 2,), like.dtype)
    return radius * x[:-2] / jnp.linalg.norm(x)


def descent(
    f: Callable,
    x: Float[Array, " d"],
    rate: float,
    steps: int,
    noise: Noise | None = None,
    key=None,
    below: float = -math.inf,
) -> Descent:
    """x <- x - rate grad f(x), at most `steps` times, until f is below `below`; with `noise` the algorithm at the top of this file. Raises
    ValueError for a start that is no vector of finite numbers, a rate or steps that are not above 0, or noise without a key."""
    if (
        x.ndim != 1
        or x.size < 1
        or not (isinstance(x, jax.core.Tracer) or np.isfinite(np.asarray(x)).all())
    ):
        raise ValueError(
            f"descent starts from a vector of finite numbers, not from shape {x.shape}{'' if x.ndim != 1 or x.size < 1 else ' with others'}"
        )
    if steps < 1 or (noise is not None and key is None):
        raise ValueError(f"steps must be at least 1, and noise needs a key: {steps}, {noise}")
    known = [number for number in (rate, *(noise or ())) if not isinstance(number, jax.core.Tracer)]
    if not all(0 < number < math.inf for number in known):
        raise ValueError(
            f"rate, and all that noise is made of, must be above 0 and finite: {rate}, {noise}"
        )
    measure = jax.value_and_grad(f)

    def perturbed(x, value, gradient, memory, t):
        before, at, when = memory
        ended = (t - when == noise.wait) & (value - at > -noise.enough)
        now = (jnp.linalg.norm(gradient) <= noise.small) & (t - when > noise.wait)
        moved = x + in_ball(jax.random.fold_in(key, t), x, noise.radius)
        memory = jax.tree.map(lambda new, old: jnp.where(now, new, old), (x, value, t), memory)
        gradient = jax.lax.cond(now, lambda: jax.grad(f)(moved), lambda: gradient)
        return (
            jnp.where(ended, before, jnp.where(now, moved, x)),
            jnp.where(ended, 0, gradient),
            memory,
            ended,
        )

    def go_on(state):
        _, value, _, _, _, t, ended = state
        return (t < steps) & ~ended & (value >= below)

    def step(state):
        x, value, gradient, memory, values, t, ended = state
        if noise is not None:
            x, gradient, memory, ended = perturbed(x, value, gradient, memory, t)
        x = x - rate * gradient
        value, gradient = measure(x)
        return x, value, gradient, memory, values.at[t + 1].set(value), t + 1, ended

    value, gradient = measure(x)
    memory = () if noise is None else (x, value, jnp.asarray(-noise.wait - 1))
    values = jnp.full(steps + 1, jnp.nan, x.dtype).at[0].set(value)
    x, value, _, _, values, t, ended = jax.lax.while_loop(
        go_on, step, (x, value, gradient, memory, values, jnp.asarray(0), jnp.asarray(False))
    )
    return Descent(x, value, values, t, ended)
