"""Advantages of a rollout, by a backward recursion over its time axis."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def gae(
    reward_TN: Float[Array, " T *N"],
    value_TN: Float[Array, " T *N"],
    next_value_TN: Float[Array, " T *N"],
    terminated_TN: Bool[Array, " T *N"],
    truncated_TN: Bool[Array, " T *N"],
    discount: float | Float[Array, ""],
    lambda_: float | Float[Array, ""],
) -> Float[Array, " T *N"]:
    """Generalised advantage estimates:

        delta_t = r_t + discount * (1 - terminated_t) * V(s'_t) - V(s_t)
        A_t     = delta_t + discount * lambda * (1 - ended_t) * A_{t+1},    A_T = 0
        ended_t = terminated_t or truncated_t

    value_TN: V(s_t).  next_value_TN: V(s'_t) of the successor of s_t. Inside an episode this is
    V(s_{t+1}); at a time limit it is the value of the final state, not of the next episode's first
    state; at a terminal state it is ignored.
    lambda_: 0 gives the TD error, 1 the discounted return minus V(s_t).
    The target of the value function is A_t + V(s_t). Any axes may follow time; all arithmetic is in
    the dtype of the inputs. Source: Schulman et al. 2016, equation 16.
    """
    delta_TN = reward_TN + discount * jnp.where(terminated_TN, 0, next_value_TN) - value_TN
    decay_TN = jnp.where(terminated_TN | truncated_TN, 0, discount * lambda_).astype(delta_TN.dtype)

    def backward(advantage_N, step):
        delta_N, decay_N = step
        advantage_N = delta_N + decay_N * advantage_N
        return advantage_N, advantage_N

    steps = (delta_TN, decay_TN)
    _, advantage_TN = jax.lax.scan(backward, jnp.zeros_like(delta_TN[0]), steps, reverse=True)
    return advantage_TN
