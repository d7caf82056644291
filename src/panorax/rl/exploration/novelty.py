"""The bonus of random network distillation: how badly a trained network predicts a random one.

A fixed random network f and a trained network g map an observation x to K features. The intrinsic
reward of a step to x is |g(x) - f(x)|^2 / K: it falls as observations like x were visited and g was
fitted to them. x is standardised by running moments and clipped to +-5. The reward is divided by
the running standard deviation of the intrinsic return, which no end of an episode interrupts.
Source: Burda et al. 2018, arXiv:1810.12894, sections 2.2 and 2.4.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.nets import mlp
from panorax.rl import moments

BOUND = 5.0
"""largest magnitude of a standardised observation"""


@struct.dataclass
class Novelty:
    """State of the bonus besides the predictor's parameters."""

    target: Any
    """parameters of the random network f"""
    returns: moments.Returns
    """intrinsic returns of each environment, for the scale of the reward"""


def feature_spec(shape: tuple[int, ...], width: int, features: int):
    """Parameters of f, or of g: two hidden layers of `width` ReLUs, and K = `features` outputs."""
    return mlp.spec((math.prod(shape), width, width, features))


def initial(key: jax.Array, n: int, spec) -> Novelty:
    """The bonus of `n` environments with a random network of parameters `spec`."""
    return Novelty(core_spec.init(spec, key), moments.no_returns(n))


def prediction_error(predictor, target, view_TN: jax.Array) -> jax.Array:
    """|g(x) - f(x)|^2 / K at standardised views (T, N, ...), as (T, N)."""
    x = view_TN.reshape(*view_TN.shape[:2], -1)
    g, f = (mlp.perceptron(params, x, jax.nn.relu) for params in (predictor, target))
    return jnp.mean(jnp.square(g - jax.lax.stop_gradient(f)), -1)


def rewards(
    novelty: Novelty, predictor, view_TN: jax.Array, discount: float
) -> tuple[Novelty, jax.Array]:
    """The state after a rollout, and the intrinsic rewards (T, N) of its standardised views."""
    error_TN = prediction_error(predictor, novelty.target, view_TN)

    def step(returns, error_N):
        never = jnp.zeros_like(error_N, bool)
        return moments.add_rewards(returns, error_N, never, discount), None

    returns, _ = jax.lax.scan(step, novelty.returns, error_TN)
    return novelty.replace(returns=returns), moments.scaled(error_TN, returns)
