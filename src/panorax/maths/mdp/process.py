"""Finite Markov decision processes as values, and the Bellman equations.

    Q(s, a) = E[r + gamma V(s') | s, a],    V(s) = sum_a pi(a|s) Q(s, a) or max_a Q(s, a)

A process is sparse: every state-action pair has at most K successors, so 10,000 states of a
gridworld take 4 x 3 numbers each. Terminal states are absorbing, earn 0 and have the value 0.
Arrays are float64 on the host; functions in JAX compute in float64 under `jax.enable_x64(True)`.
Source: Puterman 1994, "Markov Decision Processes"; Sutton & Barto 2018, chapters 3 and 4.
"""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import struct
from panorax.core.errors import UserError

SUM = 1e-6
"""largest error of a sum of probabilities that `finite` accepts"""


@struct.dataclass
class MDP:
    """A finite Markov decision process with S states, A actions and K successors of each pair.

    `finite` makes a checked one.
    """

    successor: jax.Array
    """successor states s', int32 (S, A, K)"""
    probability: jax.Array
    """probabilities p(s'|s, a) of the successors (S, A, K)"""
    reward: jax.Array
    """rewards r(s, a, s') (S, A, K)"""
    legal: jax.Array
    """true for actions that the state allows, bool (S, A)"""
    terminal: jax.Array
    """true for terminal states, bool (S,)"""
    start: jax.Array
    """distribution of the first state of an episode (S,)"""
    discount: float
    """discount per step, gamma"""


def finite(
    successor, probability, reward, discount: float, legal=None, terminal=None, start=None
) -> MDP:
    """A checked MDP from arrays (S, A, K).

    Transitions of terminal states are replaced by absorbing ones. Defaults: all actions are legal,
    no state is terminal, the start is uniform over the states that are not terminal.
    Raises UserError for probabilities that are negative or do not sum to 1, successors that do not
    exist, rewards that are not finite, a discount outside [0, 1], a state without a legal action,
    and a discount of 1 if no terminal state can be reached from some state.
    """
    successor = np.array(successor, np.int32)
    probability, reward = np.array(probability, np.float64), np.array(reward, np.float64)
    if successor.ndim != 3 or not successor.shape == probability.shape == reward.shape:
        shapes = f"{successor.shape}, {probability.shape}, {reward.shape}"
        raise UserError(
            f"successors, probabilities, rewards need one shape (S, A, K), got {shapes}"
        )
    S, A, K = successor.shape
    terminal = np.zeros(S, bool) if terminal is None else np.array(terminal, bool)
    legal = np.ones((S, A), bool) if legal is None else np.array(legal, bool)
    start = ~terminal / max(np.sum(~terminal), 1) if start is None else np.array(start, np.float64)

    legal[terminal], reward[terminal] = True, 0
    successor[terminal] = np.flatnonzero(terminal)[:, None, None]
    probability[terminal] = np.arange(K) == 0
    probability[~legal], reward[~legal] = np.arange(K) == 0, 0
    if successor.min() < 0 or successor.max() >= S:
        missing = successor.min() if successor.min() < 0 else successor.max()
        raise UserError(f"successors must be states from 0 to {S - 1}, got {missing}")
    if not legal.any(1).all():
        raise UserError(
            f"every state needs a legal action, state {np.argmin(legal.any(1))} has none"
        )
    if not np.isfinite(reward).all():
        raise UserError("rewards must be finite numbers")
    _check_distributions(probability, "transition probabilities of state {}, action {}")
    _check_distributions(start, "probabilities of the start")
    if not 0 <= discount <= 1:
        raise UserError(f"the discount must lie between 0 and 1, got {discount}")
    mdp = MDP(successor, probability, reward, legal, terminal, start, float(discount))
    if discount == 1:
        _check_termination(mdp, legal, "no action sequence")
    return mdp


def dense(probability_SAS, reward_SA, discount: float, **options) -> MDP:
    """The MDP with the transition probabilities (S, A, S) and the expected rewards (S, A).

    options: `legal`, `terminal`, `start` of `finite`. Raises UserError as `finite` does.
    """
    P = np.asarray(probability_SAS, np.float64)
    K = max(int((P != 0).sum(-1).max()), 1)
    successor = np.argsort(P == 0, -1, stable=True)[..., :K]
    reward = np.broadcast_to(np.asarray(reward_SA)[..., None], successor.shape)
    return finite(successor, np.take_along_axis(P, successor, -1), reward, discount, **options)


def _check_distributions(p, name: str) -> None:
    """Raises UserError for the first distribution along the last axis that is not one."""
    faulty = ~((p >= 0).all(-1) & (np.abs(p.sum(-1) - 1) <= SUM))
    if faulty.any():
        index = np.unravel_index(np.argmax(faulty), faulty.shape)
        total, least = p[index].sum(), p[index].min()
        raise UserError(
            f"{name.format(*index)} must be at least 0 and sum to 1, "
            f"got sum {total:.6g} and minimum {least:.6g}"
        )


def _check_termination(mdp: MDP, chosen_SA: np.ndarray, what: str) -> None:
    """Raises UserError unless the chosen actions can reach a terminal state from every state."""
    edges = _matrix(mdp, chosen_SA.astype(np.float64)) > 0
    ends = np.asarray(mdp.terminal)
    while not np.array_equal(ends, longer := ends | (edges @ ends > 0)):
        ends = longer
    if not ends.all():
        raise UserError(
            f"a discount of 1 needs termination: {what} reaches a terminal state from state "
            f"{np.argmin(ends)}; use a discount below 1"
        )


def q_values(mdp: MDP, value_S: jax.Array) -> jax.Array:
    """Q(s, a) = E[r + gamma V(s')], (S, A); -inf for illegal actions."""
    target = mdp.reward + mdp.discount * value_S[mdp.successor]
    return jnp.where(mdp.legal, jnp.sum(mdp.probability * target, -1), -jnp.inf)


def epsilon_greedy(q_A: jax.Array, legal_A: jax.Array, epsilon) -> jax.Array:
    """Action probabilities (..., A): uniform with probability epsilon, else uniform over argmax Q.

    Illegal actions have probability 0. `epsilon` broadcasts against the axes before A.
    """
    q_A = jnp.where(legal_A, q_A, -jnp.inf)
    best_A = q_A == jnp.max(q_A, -1, keepdims=True)
    share = lambda mask: mask / jnp.sum(mask, -1, keepdims=True)
    epsilon = jnp.broadcast_to(epsilon, q_A.shape[:-1])[..., None]
    return epsilon * share(legal_A) + (1 - epsilon) * share(best_A)


def trembling(mdp: MDP, epsilon: float) -> MDP:
    """The MDP in which a uniform legal action replaces the chosen one with probability epsilon.

    Its optimal value is the best value of all epsilon-soft policies (Sutton & Barto 2018, 5.4).
    """
    S, A, K = mdp.successor.shape
    every = lambda x: np.broadcast_to(x.reshape(S, 1, A * K), (S, A, A * K))
    chosen = (
        np.eye(A)[None] * (1 - epsilon) + epsilon * (mdp.legal / mdp.legal.sum(1)[:, None])[:, None]
    )
    probability = (chosen[..., None] * mdp.probability[:, None]).reshape(S, A, A * K)
    return finite(
        every(mdp.successor),
        probability,
        every(mdp.reward),
        mdp.discount,
        mdp.legal,
        mdp.terminal,
        mdp.start,
    )


def _matrix(mdp: MDP, policy_SA):
    """Sparse matrix P(s, s') of a policy, (S, S); rows of terminal states are 0."""
    from scipy.sparse import csr_array

    S, A, K = mdp.successor.shape
    p_SAK = np.asarray(policy_SA)[..., None] * mdp.probability * ~mdp.terminal[:, None, None]
    rows = np.broadcast_to(np.arange(S)[:, None, None], (S, A, K))
    edges = (rows.ravel(), np.asarray(mdp.successor).ravel())
    return csr_array((p_SAK.ravel(), edges), shape=(S, S))


def _solve(mdp: MDP, policy_SA, right, transposed: bool) -> np.ndarray:
    """Solves (I - gamma P) x = right, or the transposed system, by sparse elimination."""
    from scipy.sparse import eye_array
    from scipy.sparse.linalg import splu

    if mdp.discount == 1:
        _check_termination(mdp, np.asarray(policy_SA) > 0, "the policy never")
    P = _matrix(mdp, policy_SA)
    matrix = (eye_array(P.shape[0]) - mdp.discount * P).tocsc()
    return splu(matrix).solve(right, "T" if transposed else "N")


def evaluate(mdp: MDP, policy_SA) -> np.ndarray:
    """Value V = (I - gamma P)^-1 R of the policy pi(a|s), (S,), in float64.

    Raises UserError if the discount is 1 and the policy never terminates from some state.
    """
    reward_SA = np.sum(mdp.probability * mdp.reward, -1)
    return _solve(mdp, policy_SA, np.sum(policy_SA * reward_SA, 1), transposed=False)


def occupancy(mdp: MDP, policy_SA) -> np.ndarray:
    """Expected discounted number of times sum_t gamma^t P(s_t = s, a_t = a), (S, A), in float64.

    Episodes start from `mdp.start`. Terminal states count 1 visit, at arrival.
    """
    visits_S = _solve(mdp, policy_SA, np.asarray(mdp.start, np.float64), transposed=True)
    return visits_S[:, None] * policy_SA


def draw(u: jax.Array, p_A: jax.Array) -> jax.Array:
    """Index with the probabilities `p_A`, by inversion of a uniform number u in [0, 1).

    Costs less than `jax.random.categorical`, and never returns an index of probability 0.
    """
    total_A = jnp.cumsum(p_A)
    return jnp.sum(total_A <= u * total_A[-1])


def step(mdp: MDP, u: jax.Array, state: jax.Array, action: jax.Array):
    """(reward, next state, terminated) of one transition, drawn by a uniform number u in [0, 1)."""
    k = draw(u, mdp.probability[state, action])
    next_state = mdp.successor[state, action, k]
    return mdp.reward[state, action, k], next_state, mdp.terminal[next_state]
