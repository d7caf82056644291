"""Maximum-entropy policies of a finite MDP: soft Bellman equations, and visits by a forward pass.

    Q(s, a) = E[r + gamma V(s')],    V(s) = log sum_a exp Q(s, a),    pi(a|s) = exp(Q(s, a) - V(s))

pi maximises the expected discounted sum of rewards and of entropies -log pi(a|s), in nats: rewards
are in units of the temperature. The expected visits of policies pi_t follow forward in time:

    D_0(s) = start(s),    D_{t+1}(s') = gamma sum_{s, a} D_t(s) pi_t(a|s) p(s'|s, a)

Functions in JAX compute in float64 under `jax.enable_x64(True)`.
Source: Ziebart et al. 2008, "Maximum entropy inverse reinforcement learning", algorithm 1;
Ziebart 2010, "Modeling purposeful adaptive behavior", section 6.2, for random transitions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.maths.mdp.process import MDP, draw, q_values, step


class Walks(NamedTuple):
    """Episodes of a policy; all arrays are (N, T)."""

    state: jax.Array
    """states s_t"""
    action: jax.Array
    """actions a_t"""
    running: jax.Array
    """true until the episode reaches a terminal state"""


def with_reward(mdp: MDP, reward_SA) -> MDP:
    """The MDP with the rewards r(s, a); terminal states keep 0."""
    reward_SA = reward_SA * ~mdp.terminal[:, None]
    return mdp.replace(reward=reward_SA[..., None] * np.ones(mdp.successor.shape))


def soft_sweep(mdp: MDP, value_S: jax.Array):
    """One soft backup of all states at once, a sweep of `panorax.maths.mdp.solvers`."""
    backed = jnp.where(mdp.terminal, 0, jax.nn.logsumexp(q_values(mdp, value_S), axis=1))
    return backed, jnp.max(jnp.abs(backed - value_S))


def log_policy(mdp: MDP, value_S: jax.Array) -> jax.Array:
    """log pi(a|s) for the value of the next state, (S, A); -inf for illegal actions."""
    return jax.nn.log_softmax(q_values(mdp, value_S), axis=1)


def backward(mdp: MDP, horizon: int) -> tuple[jax.Array, jax.Array]:
    """Value of the first step (S,) and log pi_t(a|s) of all steps (T, S, A) of `horizon` steps.

    The value after the last step is 0.
    """
    back = lambda value_S, _: (soft_sweep(mdp, value_S)[0], log_policy(mdp, value_S))
    zero = jnp.zeros(len(mdp.terminal), mdp.probability.dtype)
    value_S, log_TSA = jax.lax.scan(back, zero, length=horizon, reverse=True)
    return value_S, log_TSA


def forward(mdp: MDP, policy_TSA: jax.Array) -> jax.Array:
    """Expected discounted visits D_t(s) pi_t(a|s) of the pairs at each step, (T, S, A)."""

    def on(visits_S, policy_SA):
        visits_SA = jnp.where(mdp.terminal, 0, visits_S)[:, None] * policy_SA
        moved_SAK = mdp.discount * visits_SA[..., None] * mdp.probability
        return jnp.zeros_like(visits_S).at[mdp.successor].add(moved_SAK), visits_SA

    return jax.lax.scan(on, mdp.start, policy_TSA)[1]


def walks(mdp: MDP, policy_SA: jax.Array, key: jax.Array, n: int, horizon: int) -> Walks:
    """`n` episodes of a policy pi(a|s), cut off after `horizon` steps."""

    def episode(key):
        def move(state, u_2):
            action = draw(u_2[0], policy_SA[state])
            _, next_state, _ = step(mdp, u_2[1], state, action)
            return next_state, (state, action, ~mdp.terminal[state])

        u_T2 = jax.random.uniform(key, (horizon + 1, 2), policy_SA.dtype)
        first = draw(u_T2[0, 0], mdp.start).astype(mdp.successor.dtype)
        return jax.lax.scan(move, first, u_T2[1:])[1]

    return Walks(*jax.vmap(episode)(jax.random.split(key, n)))


def discounted_counts(mdp: MDP, walks: Walks) -> np.ndarray:
    """sum_t gamma^t 1[s_t = s, a_t = a] of each episode, (N, S, A), on the host."""
    N, T = walks.state.shape
    counts_NSA = np.zeros((N, *mdp.legal.shape))
    weight_NT = np.asarray(walks.running) * mdp.discount ** np.arange(T)
    rows_NT = np.broadcast_to(np.arange(N)[:, None], (N, T))
    np.add.at(counts_NSA, (rows_NT, np.asarray(walks.state), np.asarray(walks.action)), weight_NT)
    return counts_NSA
