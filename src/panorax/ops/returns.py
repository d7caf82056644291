"""Returns and advantages: backward recursions over the time axis of a rollout."""

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
    """Generalised advantage estimates (Schulman et al. 2016, eq. 16):

        delta_t = r_t + discount * (1 - terminated_t) * V(s'_t) - V(s_t)
        A_t     = delta_t + discount * lambda * (1 - (terminated_t or truncated_t)) * A_{t+1},    A_T = 0

    `value_TN` is V(s_t) of the states acted in, `next_value_TN` is V(s'_t) of what followed: inside an episode that is V(s_{t+1}), at a
    time limit the value of the state in which the episode was cut off (not of the first state of the next one), at a terminal
    state anything, for it is not used. lambda = 0 gives the TD error, lambda = 1 the discounted return minus V(s_t).
    Any axes may follow time; computed in the dtype of the inputs. The target of the value function is A_t + V(s_t).
    """
    delta_TN = reward_TN + discount * jnp.where(terminated_TN, 0, next_value_TN) - value_TN
    decay_TN = jnp.where(terminated_TN | truncated_TN, 0, discount * lambda_).astype(delta_TN.dtype)

    def backward(advantage_N, step):
        delta_N, decay_N = step
        advantage_N = delta_N + decay_N * advantage_N
        return advantage_N, advantage_N

    return jax.lax.scan(backward, jnp.zeros_like(delta_TN[0]), (delta_TN, decay_TN), reverse=True)[
        1
    ]
