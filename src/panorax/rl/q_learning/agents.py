"""Tabular agents: each is an initial state, a table Q(s, a), and the update by one transition.

    Q(s, a) <- Q(s, a) + alpha (target - Q(s, a))

    q_learning       r + gamma max_a Q(s', a)                     Watkins & Dayan 1992
    sarsa            r + gamma Q(s', a')                          Rummery & Niranjan 1994
    expected_sarsa   r + gamma sum_a pi(a|s') Q(s', a)            van Seijen et al. 2009
    double_q         r + gamma Q_2(s', argmax_a Q_1(s', a))       van Hasselt 2010
    n_step_sarsa     r_1 + ... + gamma^(n-1) r_n + gamma^n Q      Sutton & Barto 2018, chapter 7
    sarsa_lambda     traces E: Q += delta E                       Sutton & Barto 2018, 12.1 to 12.5

With one action, SARSA is TD(0), n-step SARSA is n-step TD, and SARSA(lambda) is TD(lambda).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from panorax.core import struct


class Transition(NamedTuple):
    """One step of the environment, and the action that follows."""

    state: jax.Array
    """s, int32"""
    action: jax.Array
    """a, int32"""
    reward: jax.Array
    """r"""
    next_state: jax.Array
    """s', int32"""
    next_action: jax.Array
    """a', drawn from `next_policy`, int32"""
    next_policy: jax.Array
    """pi(.|s') (A,)"""
    terminated: jax.Array
    """true if s' is terminal: its value is 0"""


class Agent(NamedTuple):
    """A learning rule as a value."""

    init: Callable
    """init(S, A) -> state, with Q = 0"""
    table: Callable
    """table(state) -> Q (S, A), from which the behaviour policy follows"""
    update: Callable
    """update(state, transition, alpha, legal_SA, discount, u) -> state

    alpha(s, a): step size of a pair.  u: a uniform number in [0, 1)."""


def zeros(S: int, A: int) -> jax.Array:
    """A table (S, A) of zeros, float32."""
    return jnp.zeros((S, A), jnp.float32)


ONE_STEP = ("q_learning", "sarsa", "expected_sarsa")
"""rules of `one_step`, by index"""


def one_step(rule: int | jax.Array) -> Agent:
    """The agent whose target uses Q(s', .) by the rule ONE_STEP[rule].

    A traced `rule` lets one compiled program run agents of all rules side by side.
    """

    def update(Q, t: Transition, alpha, legal_SA, discount, u):
        q_A = Q[t.next_state]
        largest = jnp.max(q_A, where=legal_SA[t.next_state], initial=-jnp.inf)
        expected = jnp.sum(t.next_policy * q_A)
        V = jax.lax.select_n(jnp.asarray(rule), largest, q_A[t.next_action], expected)
        target = t.reward + discount * jnp.where(t.terminated, 0, V)
        pair = (t.state, t.action)
        return Q.at[pair].add(alpha(*pair) * (target - Q[pair]))

    return Agent(zeros, lambda Q: Q, update)


def _double_update(Q_2SA, t: Transition, alpha, legal_SA, discount, u):
    """A coin chooses the table to update; the other table evaluates its greedy action."""
    i = (u < 0.5).astype(int)
    greedy = jnp.argmax(jnp.where(legal_SA[t.next_state], Q_2SA[i, t.next_state], -jnp.inf))
    V = jnp.where(t.terminated, 0, Q_2SA[1 - i, t.next_state, greedy])
    error = t.reward + discount * V - Q_2SA[i, t.state, t.action]
    return Q_2SA.at[i, t.state, t.action].add(alpha(t.state, t.action) * error)


double_q = Agent(
    lambda S, A: jnp.stack([zeros(S, A)] * 2), lambda Q_2SA: jnp.mean(Q_2SA, 0), _double_update
)


@struct.dataclass
class Window:
    """A table and the last n steps of the episode, newest last."""

    Q: jax.Array
    """Q (S, A)"""
    state: jax.Array
    """states (n,), int32"""
    action: jax.Array
    """actions (n,), int32"""
    reward: jax.Array
    """rewards (n,)"""
    age: jax.Array
    """steps of the episode in the window, int32 ()"""


def n_step_sarsa(n: int) -> Agent:
    """The target of a pair is the sum of the next n discounted rewards plus gamma^n Q(s', a').

    A pair waits n steps for its update; the end of an episode updates all pairs that wait.
    """

    def init(S, A):
        none = jnp.zeros(n, jnp.int32)
        return Window(zeros(S, A), none, none, jnp.zeros(n, jnp.float32), jnp.int32(0))

    def update(window: Window, t: Transition, alpha, legal_SA, discount, u):
        push = lambda old, new: jnp.append(old[1:], new.astype(old.dtype))
        state, action = push(window.state, t.state), push(window.action, t.action)
        reward, age = push(window.reward, t.reward), jnp.minimum(window.age + 1, n)
        bootstrap = jnp.where(t.terminated, 0, window.Q[t.next_state, t.next_action])
        backward = lambda G, r: (r + discount * G,) * 2
        _, target = jax.lax.scan(backward, bootstrap, reward, reverse=True)

        def finish(i, Q):
            is_due = (i >= n - age) & (t.terminated | (i == 0))
            s, a = state[i], action[i]
            return Q.at[s, a].add(jnp.where(is_due, alpha(s, a) * (target[i] - Q[s, a]), 0))

        Q = jax.lax.fori_loop(0, jnp.where(t.terminated, n, 1), finish, window.Q)
        return Window(Q, state, action, reward, jnp.where(t.terminated, 0, age))

    return Agent(init, lambda window: window.Q, update)


@struct.dataclass
class Traced:
    """A table with eligibility traces."""

    Q: jax.Array
    """Q (S, A)"""
    trace: jax.Array
    """eligibility times step size, E (S, A)"""
    last: jax.Array
    """Q(s', a') of the previous transition before its update, ()"""


Trace = Literal["accumulating", "replacing", "dutch"]


def sarsa_lambda(lambda_: float | jax.Array, trace: Trace) -> Agent:
    """SARSA(lambda): delta = r + gamma Q(s', a') - Q(s, a) moves every pair by delta E.

    E decays by gamma lambda per step and contains the step size of each pair, alpha(s, a). At the
    visited pair an accumulating trace grows by alpha, a replacing one becomes alpha, and a dutch
    one grows by alpha (1 - E). Dutch traces give the true online SARSA(lambda), equal to the online
    forward view (van Seijen et al. 2016).
    """

    def init(S, A):
        return Traced(zeros(S, A), zeros(S, A), jnp.float32(0))

    def update(traced: Traced, t: Transition, alpha, legal_SA, discount, u):
        Q, pair = traced.Q, (t.state, t.action)
        a, q, E = alpha(*pair), Q[pair], discount * lambda_ * traced.trace
        q_next = jnp.where(t.terminated, 0, Q[t.next_state, t.next_action])
        delta = t.reward + discount * q_next - q
        grown = {
            "accumulating": lambda: E[pair] + a,
            "replacing": lambda: a,
            "dutch": lambda: E[pair] + a * (1 - E[pair]),
        }[trace]()
        E = E.at[pair].set(grown)
        Q = Q + delta * E
        if trace == "dutch":
            Q = (Q + (q - traced.last) * E).at[pair].add(-a * (q - traced.last))
        return Traced(Q, jnp.where(t.terminated, 0, E), q_next)

    return Agent(init, lambda traced: traced.Q, update)
