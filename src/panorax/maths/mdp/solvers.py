"""Exact solvers of finite MDPs: sweeps of backups, policy iteration, the linear programme.

A sweep maps the value V_k to (V_{k+1}, residual), residual = max_s |(T V_k)(s) - V_k(s)|,
(T V)(s) = max_a Q(s, a):

    value_sweep       V_{k+1} = T V_k, value iteration
    modified_sweep    V_{k+1} = T_pi^m T V_k, pi greedy for V_k: modified policy iteration
    in_place_sweep    V_{k+1} overwrites V_k state by state: Gauss-Seidel value iteration

A residual d bounds the error of T V_k by gamma d / (1 - gamma). `solve` repeats a sweep.
Source: Puterman 1994, chapter 6; Puterman & Shin 1978; Howard 1960; d'Epenoux 1963.
"""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.maths.mdp.process import MDP, evaluate, q_values

Sweep = Callable  # (mdp, value_S) -> (value_S, residual)


class Solution(NamedTuple):
    """An optimal value and policy, with the iterations that led to them."""

    value: np.ndarray
    """V(s), float64 (S,)"""
    policy: np.ndarray
    """greedy actions, int (S,)"""
    iterations: int
    """sweeps, or improvements of the policy"""


def value_sweep(mdp: MDP, value_S: jax.Array):
    """One backup of all states at once."""
    backed = jnp.max(q_values(mdp, value_S), 1)
    return backed, jnp.max(jnp.abs(backed - value_S))


def modified_sweep(mdp: MDP, value_S: jax.Array, evaluations: int):
    """A backup of all states, then `evaluations` backups under the greedy policy [m]."""
    q_SA = q_values(mdp, value_S)
    action, backed = jnp.argmax(q_SA, 1)[:, None], jnp.max(q_SA, 1)
    of_policy = lambda x_SAK: jnp.take_along_axis(x_SAK, action[..., None], 1)[:, 0]
    successor, p, r = map(of_policy, (mdp.successor, mdp.probability, mdp.reward))
    backup = lambda _, V: jnp.sum(p * (r + mdp.discount * V[successor]), 1)
    residual = jnp.max(jnp.abs(backed - value_S))
    return jax.lax.fori_loop(0, evaluations, backup, backed), residual


def in_place_sweep(mdp: MDP, value_S: jax.Array):
    """Backups of the states in order, each with the newest values of the others.

    The residual is max |V_{k+1} - V_k|, which bounds the error in the same way.
    """

    def backup(s, V):
        q_A = jnp.sum(mdp.probability[s] * (mdp.reward[s] + mdp.discount * V[mdp.successor[s]]), -1)
        return V.at[s].set(jnp.max(jnp.where(mdp.legal[s], q_A, -jnp.inf)))

    swept = jax.lax.fori_loop(0, len(value_S), backup, value_S)
    return swept, jnp.max(jnp.abs(swept - value_S))


@functools.partial(jax.jit, static_argnums=0)
def _repeat(sweep: Sweep, mdp: MDP, residual, limit):
    def unfinished(carry):
        _, last, n = carry
        return (last > residual) & (n < limit)

    def again(carry):
        value, _, n = carry
        return *sweep(mdp, value), n + 1

    zero = jnp.zeros(len(mdp.terminal), mdp.probability.dtype)
    return jax.lax.while_loop(unfinished, again, (zero, jnp.inf, 0))


def solve(sweep: Sweep, mdp: MDP, residual: float, limit: int = 1_000_000) -> Solution:
    """Repeats `sweep` from V = 0 until its residual is at most `residual`, in float64.

    Raises ValueError after `limit` sweeps without that.
    """
    with jax.enable_x64(True):
        value, last, n = jax.device_get(_repeat(sweep, mdp, residual, limit))
    if last > residual:
        raise ValueError(f"no solution in {limit} sweeps: the residual is {last}, not {residual}")
    return Solution(value, np.argmax(_q_values(mdp, value), 1), int(n))


@functools.partial(jax.jit, static_argnums=0)
def _sweep_each(sweep: Sweep, mdp: MDP, value_NS):
    return jax.lax.map(lambda value_S: sweep(mdp, value_S)[0], value_NS)


def sweep_each(sweep: Sweep, mdp: MDP, value_NS: np.ndarray) -> np.ndarray:
    """The values (N, S) after one sweep each, in float64."""
    with jax.enable_x64(True):
        return np.asarray(_sweep_each(sweep, mdp, value_NS))


@functools.partial(jax.jit, static_argnums=(0, 3))
def _iterates(sweep: Sweep, mdp: MDP, value, n: int):
    again = lambda V, _: (sweep(mdp, V)[0],) * 2
    return jax.lax.scan(again, value, length=n)[1]


def iterates(sweep: Sweep, mdp: MDP, value_S: np.ndarray, n: int) -> np.ndarray:
    """The values V_0 .. V_n of `n` sweeps from `value_S`, (n + 1, S), in float64."""
    with jax.enable_x64(True):
        return np.concatenate([value_S[None], _iterates(sweep, mdp, value_S, n)])


def improvements(mdp: MDP, policy: np.ndarray | None = None) -> Iterator[tuple]:
    """Yields (value, policy) of every iteration of policy iteration, the last one optimal.

    policy: first actions (S,), by default the greedy actions for V = 0. An action is replaced only
    by one that is better by more than rounding, so that ties end the iteration.
    Raises UserError if the discount is 1 and a policy never terminates from some state.
    """
    if policy is None:
        policy = np.argmax(_q_values(mdp, np.zeros(len(mdp.terminal))), 1)
    improved = True
    while improved:
        value = one_policy(mdp, policy)
        yield value, policy
        q_SA = _q_values(mdp, value)
        kept = np.take_along_axis(q_SA, policy[:, None], 1)[:, 0]
        better = q_SA.max(1) - kept > 1e-11 * max(np.abs(value).max(), 1.0)
        policy, improved = np.where(better, np.argmax(q_SA, 1), policy), better.any()


def _q_values(mdp: MDP, value_S: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(q_values(mdp, value_S))


def policy_iteration(mdp: MDP, policy: np.ndarray | None = None) -> Solution:
    """Alternates the linear solve of a policy and its greedy improvement until none is left.

    policy: first actions, as in `improvements`, which also documents the errors.
    """
    iterations = list(improvements(mdp, policy))
    return Solution(*iterations[-1], len(iterations))


def one_policy(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """The value (S,) of the deterministic policy with these actions (S,)."""
    return evaluate(mdp, np.eye(mdp.legal.shape[1])[policy])


class Programme(NamedTuple):
    """Solutions of the primal and the dual linear programme."""

    value: np.ndarray
    """V(s), float64 (S,)"""
    occupancy: np.ndarray
    """expected discounted numbers of times of the pairs, float64 (S, A)"""


def linear_programme(mdp: MDP) -> Programme:
    """Minimises the mean of V under V(s) >= E[r + gamma V(s')] for all legal actions (HiGHS).

    The mean is over the states that are not terminal. The dual variables are the occupancy of an
    optimal policy for episodes that start uniformly in these states.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    S, A, K = mdp.successor.shape
    s, a = np.nonzero(mdp.legal & ~mdp.terminal[:, None])
    row = np.repeat(np.arange(len(s)), K)
    p = mdp.probability[s, a]
    entries = np.concatenate([-np.ones(len(s)), mdp.discount * p.ravel()])
    rows = np.concatenate([np.arange(len(s)), row])
    columns = np.concatenate([s, mdp.successor[s, a].ravel()])
    constraints = coo_array((entries, (rows, columns)), shape=(len(s), S)).tocsr()
    solution = linprog(
        ~mdp.terminal / np.sum(~mdp.terminal),
        A_ub=constraints,
        b_ub=-np.sum(p * mdp.reward[s, a], 1),
        bounds=[(0, 0) if end else (None, None) for end in mdp.terminal],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not solution.success:
        raise ValueError(f"the linear programme has no solution: {solution.message}")
    visits = np.zeros((S, A))
    visits[s, a] = -solution.ineqlin.marginals
    return Programme(solution.x, visits)
