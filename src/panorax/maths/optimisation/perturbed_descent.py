"""Perturbed gradient descent: occasional noise lets gradient descent escape from saddle points.

Gradient descent from the stable manifold of a saddle converges to the saddle. Perturbed descent
(Jin et al. 2017, arXiv:1703.00887, algorithm 1) adds a point drawn uniformly from a ball when the
gradient is small and the last perturbation is more than `wait` steps old. It stops when f has not
decreased by `enough` within `wait` steps of a perturbation.

A perturbation of radius r has a component of about r / sqrt(d) along a direction of curvature -g.
Each step of rate e multiplies the component by 1 + e g, so the escape takes about
log(sqrt(d) / r) / (e g) steps. Plain descent from a random start also escapes a strict saddle. In a
chain of d saddles (Du et al. 2017, arXiv:1705.10412), however, each saddle throws it closer to the
stable manifold of the next. The time at each saddle is a multiple of the time at the previous
saddle, so the total is exponential in d. Perturbed descent takes about equally many steps at each.
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
    """Size and timing of the noise that perturbed descent adds."""

    radius: float
    """radius of the ball"""
    small: float
    """largest gradient norm at which noise is added"""
    wait: int
    """steps between a perturbation and the check of its effect"""
    enough: float
    """decrease of f within `wait` steps that lets the descent continue"""


def jins(
    smooth: float,
    hessian_lipschitz: float,
    accuracy: float,
    dimension: int,
    gap: float,
    failure: float = 0.1,
    c: float = 1.0,
) -> tuple[float, Noise]:
    """Learning rate and noise of the theorem of Jin et al.

    smooth: Lipschitz constant of the gradient.
    hessian_lipschitz: Lipschitz constant of the Hessian.
    accuracy: gradient norm at the end.
    dimension: number of coordinates.
    gap: upper bound on f(start) - min f.
    failure: probability with which the guarantee may fail.
    c: absolute constant of the theorem.

    Within steps of order log^4(dimension) gap smooth / accuracy^2, the descent ends where
    |grad| <= accuracy and no curvature is below -sqrt(hessian_lipschitz accuracy).
    Raises ValueError unless all constants are positive and finite.
    """
    numbers = (smooth, hessian_lipschitz, accuracy, dimension, gap, failure, c)
    if not all(0 < x < math.inf for x in numbers):
        raise ValueError(f"all constants must be above 0 and finite, got {numbers}")
    chi = 3 * max(math.log(dimension * smooth * gap / (c * accuracy**2 * failure)), 4)
    small = c**0.5 / chi**2 * accuracy
    wait = math.ceil(chi / c**2 * smooth / (hessian_lipschitz * accuracy) ** 0.5)
    enough = c / chi**3 * (accuracy**3 / hessian_lipschitz) ** 0.5
    return c / smooth, Noise(small / smooth, small, wait, enough)


@struct.dataclass
class Descent:
    """Result of `descent`."""

    x: Float[Array, " d"]
    """last point"""
    value: Float[Array, ""]
    """f(x)"""
    values: Float[Array, " steps+1"]
    """f at the start and after every step, NaN after the last step"""
    steps: Int[Array, ""]
    """number of steps"""
    ended: Bool[Array, ""]
    """True if a perturbation did not lower f, so that x is a minimum as far as noise can tell"""


class _Perturbation(NamedTuple):
    """The last perturbation."""

    x: Float[Array, " d"]
    """point before the perturbation"""
    value: Float[Array, ""]
    """f at the point before the perturbation"""
    step: Int[Array, ""]
    """step of the perturbation"""


class _State(NamedTuple):
    """State of the descent; fields as in `Descent`."""

    x: Float[Array, " d"]
    value: Float[Array, ""]
    gradient: Float[Array, " d"]
    """gradient of f at x"""
    last: _Perturbation | tuple[()]
    """last perturbation, () without noise"""
    values: Float[Array, " steps+1"]
    steps: Int[Array, ""]
    ended: Bool[Array, ""]


def in_ball(key, like: Float[Array, " d"], radius: float) -> Float[Array, " d"]:
    """Draws a point like `like` uniformly from the ball of `radius` around 0.

    The first d coordinates of a uniform point on the sphere in d + 2 dimensions are uniform in the
    ball (Archimedes, for d = 1).
    """
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
    """Gradient descent x <- x - rate grad f(x), perturbed by `noise` if given.

    Takes at most `steps` steps, and stops when f is below `below`.
    Raises ValueError for a start that is not a vector of finite numbers, for a `rate`, `steps` or
    field of `noise` that is not positive, and for noise without a key.
    """
    finite = isinstance(x, jax.core.Tracer) or np.isfinite(np.asarray(x)).all()
    if x.ndim != 1 or x.size < 1 or not finite:
        raise ValueError(f"the start must be a vector of finite numbers, got shape {x.shape}")
    if steps < 1 or (noise is not None and key is None):
        raise ValueError(f"steps must be at least 1, and noise needs a key: {steps}, {noise}")
    known = [number for number in (rate, *(noise or ())) if not isinstance(number, jax.core.Tracer)]
    if not all(0 < number < math.inf for number in known):
        raise ValueError(f"rate and noise must be above 0 and finite, got {rate} and {noise}")
    measure = jax.value_and_grad(f)

    def perturbed(state: _State) -> _State:
        age = state.steps - state.last.step
        ended = (age == noise.wait) & (state.value - state.last.value > -noise.enough)
        now = (jnp.linalg.norm(state.gradient) <= noise.small) & (age > noise.wait)
        moved = state.x + in_ball(jax.random.fold_in(key, state.steps), state.x, noise.radius)
        current = _Perturbation(state.x, state.value, state.steps)
        last = jax.tree.map(lambda new, old: jnp.where(now, new, old), current, state.last)
        gradient = jax.lax.cond(now, lambda: jax.grad(f)(moved), lambda: state.gradient)
        return state._replace(
            x=jnp.where(ended, state.last.x, jnp.where(now, moved, state.x)),
            gradient=jnp.where(ended, 0, gradient),
            last=last,
            ended=ended,
        )

    def unfinished(state: _State):
        return (state.steps < steps) & ~state.ended & (state.value >= below)

    def step(state: _State) -> _State:
        if noise is not None:
            state = perturbed(state)
        x = state.x - rate * state.gradient
        value, gradient = measure(x)
        values = state.values.at[state.steps + 1].set(value)
        return _State(x, value, gradient, state.last, values, state.steps + 1, state.ended)

    value, gradient = measure(x)
    last = () if noise is None else _Perturbation(x, value, jnp.asarray(-noise.wait - 1))
    values = jnp.full(steps + 1, jnp.nan, x.dtype).at[0].set(value)
    begin = _State(x, value, gradient, last, values, jnp.asarray(0), jnp.asarray(False))
    end = jax.lax.while_loop(unfinished, step, begin)
    return Descent(end.x, end.value, end.values, end.steps, end.ended)
