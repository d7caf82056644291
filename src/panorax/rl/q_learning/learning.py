"""A tabular agent that acts and learns in a finite MDP, as one pure function of a key."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.maths.mdp.process import MDP, draw, epsilon_greedy, step
from panorax.rl.q_learning.agents import Agent, Transition


@struct.dataclass
class Schedule:
    """The numbers scale * n^-power of the visits n = 1, 2, ..."""

    scale: float | jax.Array
    """number at the first visit"""
    power: float | jax.Array = 0.0
    """exponent; 0 is constant. Step sizes of Robbins & Monro 1951 have exponents in (1/2, 1]"""

    def __call__(self, n):
        return self.scale * jnp.maximum(n, 1) ** -jnp.float32(self.power)


class Learner(NamedTuple):
    """An agent with its schedules."""

    agent: Agent
    """learning rule"""
    alpha: Schedule
    """step size, over the visits of the state-action pair"""
    epsilon: Schedule
    """probability of a uniform action, over the visits of the state"""


@struct.dataclass
class Running:
    """State of a learner between two steps."""

    agent: Any
    """state of the agent"""
    state: jax.Array
    """state s, int32 ()"""
    action: jax.Array
    """action a to take next, int32 ()"""
    visits: jax.Array
    """visits of all pairs, int32 (S, A)"""
    key: jax.Array
    """key of the next step"""


def numbers(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """The next key, and `n` uniform numbers strictly between 0 and 1, by one call of the generator.

    Most of the compile time of a learner is its generator, which `split` would call again.
    """
    bits = jax.lax.optimization_barrier(jax.random.bits(key, n + 2, jnp.uint32))
    uniform = ((bits[2:] >> 9).astype(jnp.float32) + 0.5) * 2.0**-23
    return jax.random.wrap_key_data(bits[:2]), uniform


def begin(learner: Learner, mdp: MDP, key: jax.Array) -> Running:
    """The learner with Q = 0 at the start of an episode."""
    key, u = numbers(key, 2)
    S, A = mdp.legal.shape
    agent, visits = learner.agent.init(S, A), jnp.zeros((S, A), jnp.int32)
    state = draw(u[0], mdp.start)
    action = draw(u[1], policy_at(learner, agent, mdp, visits, state))
    return Running(agent, state, action, visits, key)


def policy_at(learner: Learner, agent, mdp: MDP, visits, state) -> jax.Array:
    """The epsilon-greedy policy (A,) in a state; ties share their probability."""
    epsilon = learner.epsilon(jnp.sum(visits[state]))
    return epsilon_greedy(learner.agent.table(agent)[state], mdp.legal[state], epsilon)


def advance(learner: Learner, mdp: MDP, noise_SA: jax.Array | None, running: Running):
    """(running, transition) after one step and one update; a new episode starts after an end.

    noise_SA: standard deviation of Gaussian noise on the reward of each pair. The next action is
    drawn before the update, so that SARSA learns from the action that it takes.
    """
    key, u = numbers(running.key, 5)
    s, a = running.state, running.action
    reward, next_state, terminated = step(mdp, u[0], s, a)
    if noise_SA is not None:
        reward += noise_SA[s, a] * jax.scipy.special.ndtri(u[1])
    visits = running.visits.at[s, a].add(1)
    state = jnp.where(terminated, draw(u[2], mdp.start), next_state)
    policy = policy_at(learner, running.agent, mdp, visits, state)
    action = draw(u[3], policy)
    transition = Transition(s, a, reward, next_state, action, policy, terminated)
    alpha = lambda s, a: learner.alpha(visits[s, a])
    agent = learner.agent.update(running.agent, transition, alpha, mdp.legal, mdp.discount, u[4])
    return Running(agent, state, action, visits, key), transition


def learn_steps(
    learner: Learner, mdp: MDP, key: jax.Array, chunks: int, chunk: int, measure: Callable
):
    """measure(Q) after each of `chunks` times `chunk` steps, stacked."""
    mdp = jax.tree.map(jnp.asarray, mdp)

    def steps(running, _):
        again = lambda _, running: advance(learner, mdp, None, running)[0]
        running = jax.lax.fori_loop(0, chunk, again, running)
        return running, measure(learner.agent.table(running.agent))

    return jax.lax.scan(steps, begin(learner, mdp, key), length=chunks)[1]


@struct.dataclass
class Episodes:
    """Records of every episode; all leaves have the leading axis of the episodes."""

    earned: jax.Array
    """undiscounted returns"""
    first_action: jax.Array
    """first actions, int32"""
    measured: Any
    """measure(Q) after the episodes"""


def learn_episodes(
    learner: Learner,
    mdp: MDP,
    key: jax.Array,
    episodes: int,
    measure: Callable = lambda Q: (),
    noise_SA: jax.Array | None = None,
):
    """(Q, Episodes) of the first `episodes` episodes."""
    mdp = jax.tree.map(jnp.asarray, mdp)
    running = begin(learner, mdp, key)
    shape = jax.eval_shape(measure, learner.agent.table(running.agent))
    empty = lambda x: jnp.zeros((episodes, *x.shape), x.dtype)
    record = Episodes(
        jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32), jax.tree.map(empty, shape)
    )

    def again(carry):
        running, record, (n, first) = carry
        after, transition = advance(learner, mdp, noise_SA, running)
        measured = measure(learner.agent.table(after.agent))
        record = Episodes(
            record.earned.at[n].add(transition.reward),
            record.first_action.at[n].set(first),
            jax.tree.map(lambda xs, x: xs.at[n].set(x), record.measured, measured),
        )
        ended = transition.terminated
        return after, record, (n + ended, jnp.where(ended, after.action, first))

    carry = (running, record, (jnp.int32(0), running.action))
    running, record, _ = jax.lax.while_loop(lambda carry: carry[2][0] < episodes, again, carry)
    return learner.agent.table(running.agent), record
