"""Policy heads: the last layer of a policy, which maps features to an action distribution."""

import math

import jax
import jax.numpy as jnp

from panorax.core.spec import P
from panorax.nets import mlp
from panorax.ops.distributions import Categorical, DiagonalGaussian, MultiCategorical, masked
from panorax.rl.environments.environment import Box, Discrete, MultiDiscrete, Observation, Space


def head_spec(space: Space, width: int):
    """Parameters of an affine map, initially small so that all actions start equally likely.

    A Box also has a log standard deviation per dimension that does not depend on the state.
    """
    outputs = {
        Discrete: lambda: space.n,
        MultiDiscrete: lambda: sum(space.n),
        Box: lambda: len(space.low),
    }[type(space)]()
    spec = {"out": mlp.dense_spec(width, outputs, mlp.fan_in(0.01))}
    if isinstance(space, Box):
        spec["log_std"] = P((outputs,), ("outputs",), jax.nn.initializers.zeros)
    return spec


def head(params, features, legal, space: Space):
    """Action distribution for `features` (..., width).

    legal: mask of legal actions (..., A), or None if all are legal.
    """
    y = mlp.dense(params["out"], features)
    if isinstance(space, Box):
        return DiagonalGaussian(
            y, jnp.broadcast_to(params["log_std"].reshape((1,) * (y.ndim - 1) + (-1,)), y.shape)
        )
    return choices(y if legal is None else masked(y, legal), space)


def choices(logits, space: Discrete | MultiDiscrete):
    """Distribution over a discrete space; `logits` are (..., n) or (..., n_1 + ... + n_K)."""
    if isinstance(space, Discrete):
        return Categorical(logits)
    ends = [sum(space.n[: i + 1]) for i in range(len(space.n) - 1)]
    return MultiCategorical(tuple(Categorical(part) for part in jnp.split(logits, ends, -1)))


def uniform(space: Space, observation: Observation, n: int, key: jax.Array):
    """Samples `n` actions uniformly among the legal actions or within the Box.

    Actions of a Box with an infinite bound are standard normal.
    """
    if isinstance(space, Box):
        low, high = jnp.array(space.low)[None], jnp.array(space.high)[None]
        if not all(map(math.isfinite, space.low + space.high)):
            return jax.random.normal(key, (n, len(space.low)))
        return jax.random.uniform(key, (n, len(space.low)), minval=low, maxval=high)
    logits = jnp.zeros((n, space.n if isinstance(space, Discrete) else sum(space.n)))
    return choices(
        logits if observation.legal is None else masked(logits, observation.legal), space
    ).sample(key)
