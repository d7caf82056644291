"""Returns and advantages of a rollout, by backward recursions over its time axis.

Step t leads from s_t to its successor s'_t with the reward r_t. Inside an episode s'_t is s_{t+1}.
A terminated step leads to a terminal state, whose value is 0. At a truncated step a time limit cut
the episode off: s'_t is the final state and not the first state of the next episode, and its value
is bootstrapped, as it is at the end of the rollout. A step is ended if it is one of the two.
Any axes may follow time. All arithmetic is in the dtype of the inputs.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Numbers = Float[Array, " T *N"]
Ends = Bool[Array, " T *N"]


def gae(
    reward_TN: Numbers,
    value_TN: Numbers,
    next_value_TN: Numbers,
    terminated_TN: Ends,
    truncated_TN: Ends,
    discount: float | Float[Array, ""],
    lambda_: float | Float[Array, ""],
) -> Numbers:
    """Generalised advantage estimates:

        delta_t = r_t + discount * (1 - terminated_t) * V(s'_t) - V(s_t)
        A_t     = delta_t + discount * lambda * (1 - ended_t) * A_{t+1},    A_T = 0
        ended_t = terminated_t or truncated_t

    value_TN: V(s_t).  next_value_TN: V(s'_t), ignored where the step terminated.
    lambda_: 0 gives the TD error, 1 the discounted return minus V(s_t).
    The target of the value function is A_t + V(s_t). Source: Schulman et al. 2016, equation 16.
    """
    delta_TN = reward_TN + discount * jnp.where(terminated_TN, 0, next_value_TN) - value_TN
    decay_TN = jnp.where(terminated_TN | truncated_TN, 0, discount * lambda_).astype(delta_TN.dtype)
    return _decayed_sums(delta_TN, decay_TN)


def lambda_returns(
    reward_TN: Numbers,
    next_value_TN: Numbers,
    terminated_TN: Ends,
    truncated_TN: Ends,
    discount: float | Float[Array, "..."],
    lambda_: float | Float[Array, ""],
) -> Numbers:
    """TD(lambda) targets of the value function:

        G_t = r_t + discount * (1 - terminated_t) * ((1 - lambda_t) * V(s'_t) + lambda_t * G_{t+1})
        lambda_t = lambda inside an episode, 0 at truncated steps and at the last step

    discount: a number, or a discount for each step (T, *N).
    For Q-learning V(s') is max_a Q(s', a) (Peng's Q(lambda)).
    Source: Sutton & Barto 2018, section 12.1; Daley & Amato 2019, arXiv:1810.09967.
    """
    bootstrap_TN = jnp.where(terminated_TN, 0, discount * next_value_TN)
    going_on_TN = ~(terminated_TN | truncated_TN)
    going_on_TN &= (jnp.arange(len(reward_TN)) < len(reward_TN) - 1).reshape(
        -1, *(1,) * (reward_TN.ndim - 1)
    )
    lambda_TN = jnp.where(going_on_TN, lambda_, 0).astype(reward_TN.dtype)
    return _decayed_sums(reward_TN + (1 - lambda_TN) * bootstrap_TN, discount * lambda_TN)


def n_step_returns(
    reward_TN: Numbers,
    next_value_TN: Numbers,
    terminated_TN: Ends,
    truncated_TN: Ends,
    discount: float | Float[Array, ""],
    n: int,
) -> Numbers:
    """sum_{i<m} discount^i r_{t+i} + discount^m V(s'_{t+m-1}) over m <= n steps.

    m is smaller than n where an episode or the rollout ends earlier. Behind a terminated step V is
    0. n = 1 gives the target of one-step TD. Source: Sutton & Barto 2018, equation 7.1.
    """
    bootstrap_TN = jnp.where(terminated_TN, 0, next_value_TN)
    ended_TN = terminated_TN | truncated_TN
    later_TN = bootstrap_TN
    for _ in range(n):
        return_TN = reward_TN + discount * jnp.where(ended_TN, bootstrap_TN, later_TN)
        later_TN = jnp.concatenate([return_TN[1:], bootstrap_TN[-1:]])
    return return_TN


def vtrace(
    log_ratio_TN: Numbers,
    reward_TN: Numbers,
    value_TN: Numbers,
    next_value_TN: Numbers,
    terminated_TN: Ends,
    truncated_TN: Ends,
    discount: float | Float[Array, ""],
    lambda_: float | Float[Array, ""] = 1.0,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
) -> tuple[Numbers, Numbers]:
    """V-trace targets v_t and policy gradient advantages, corrected for the behaviour policy:

        rho_t = min(clip_rho, pi(a_t|s_t) / mu(a_t|s_t)),    c_t = lambda * min(clip_c, pi / mu)
        v_t   = V(s_t) + rho_t * delta_t + discount * (1 - ended_t) * c_t * (v_{t+1} - V(s_{t+1}))
        A_t   = rho_t * (r_t + discount * (1 - terminated_t) * v(s'_t) - V(s_t))

    log_ratio_TN: log pi - log mu.  delta_t: the TD error.  v(s'_t): v_{t+1} inside an episode,
    V(s'_t) at truncated steps and at the last step. With pi = mu, v_t is the lambda-return.
    Source: Espeholt et al. 2018, arXiv:1802.01561, section 4.1.
    """
    ratio_TN, ended_TN = jnp.exp(log_ratio_TN), terminated_TN | truncated_TN
    rho_TN = jnp.minimum(clip_rho, ratio_TN)
    bootstrap_TN = jnp.where(terminated_TN, 0, next_value_TN)
    delta_TN = rho_TN * (reward_TN + discount * bootstrap_TN - value_TN)
    decay_TN = jnp.where(ended_TN, 0, discount * lambda_ * jnp.minimum(clip_c, ratio_TN))
    target_TN = value_TN + _decayed_sums(delta_TN, decay_TN.astype(delta_TN.dtype))
    later_TN = jnp.concatenate([target_TN[1:], bootstrap_TN[-1:]])
    later_TN = jnp.where(ended_TN, bootstrap_TN, later_TN)
    return target_TN, rho_TN * (reward_TN + discount * later_TN - value_TN)


def retrace(
    log_ratio_TN: Numbers,
    reward_TN: Numbers,
    q_TN: Numbers,
    next_value_TN: Numbers,
    terminated_TN: Ends,
    truncated_TN: Ends,
    discount: float | Float[Array, ""],
    lambda_: float | Float[Array, ""] = 1.0,
) -> Numbers:
    """Retrace(lambda) targets of Q(s_t, a_t):

        G_t = r_t + discount * (1 - terminated_t) * E_pi Q(s'_t, .)
              + discount * (1 - ended_t) * c_{t+1} * (G_{t+1} - Q(s_{t+1}, a_{t+1}))
        c_t = lambda * min(1, pi(a_t|s_t) / mu(a_t|s_t))

    next_value_TN: E_pi Q(s'_t, .).  log_ratio_TN: log pi - log mu.
    Source: Munos et al. 2016, arXiv:1606.02647, equation 4.
    """
    bootstrap_TN = jnp.where(terminated_TN, 0, next_value_TN)
    delta_TN = reward_TN + discount * bootstrap_TN - q_TN
    c_TN = discount * lambda_ * jnp.minimum(1, jnp.exp(log_ratio_TN))
    later_TN = jnp.concatenate([c_TN[1:], jnp.zeros_like(c_TN[:1])])
    decay_TN = jnp.where(terminated_TN | truncated_TN, 0, later_TN).astype(delta_TN.dtype)
    return q_TN + _decayed_sums(delta_TN, decay_TN)


def _decayed_sums(x_TN: jax.Array, decay_TN: jax.Array) -> jax.Array:
    """y_t = x_t + decay_t * y_{t+1}, y_T = 0."""

    def backward(y_N, step):
        x_N, decay_N = step
        y_N = x_N + decay_N * y_N
        return y_N, y_N

    _, y_TN = jax.lax.scan(backward, jnp.zeros_like(x_TN[0]), (x_TN, decay_TN), reverse=True)
    return y_TN
