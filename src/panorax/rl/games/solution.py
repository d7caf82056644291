"""The exact solution of a small game by retrograde analysis over all reachable states."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.rl.games.game import Game, moved
from panorax.rl.games.play import Player


class Solution(NamedTuple):
    """All reachable states of a game, and their values."""

    states: object
    """states without repetition, a pytree of (N, ...); the initial state is the first"""
    terminated: np.ndarray
    """true for states in which the game is over, (N,)"""
    player: np.ndarray
    """player to move, (N,)"""
    value: np.ndarray
    """value for the player to move if both play perfectly, 0 if the game is over, (N,)"""
    children: np.ndarray
    """index of the state after each action, -1 for an illegal one, (N, A)"""
    gain: np.ndarray
    """value of each action for the player to move, -inf for an illegal one, (N, A)"""
    reward: np.ndarray
    """reward of each action for the player to move, (N, A)"""


def solve(game: Game, most: int = 100_000) -> Solution:
    """Solves a game whose moves never lead back to a state.

    Raises ValueError if the game has more than `most` reachable states.
    """
    A, layers, edges, found = game.actions, [game.start(1)], [], 1

    def look(state):
        facts = game.legal(state), game.terminated(state), game.player(state)
        return facts, moved(game, _repeated(state, A), jnp.arange(A))

    look = jax.jit(jax.vmap(look))
    while len(jax.tree.leaves(layers[-1])[0]):
        (legal, over, player), (after, reward, discount) = in_chunks(look, layers[-1])
        legal = legal & ~over[:, None]
        kept = jax.tree.map(lambda x: x[legal], after)
        rows, inverse = _distinct(kept, legal.sum())
        children = np.full(legal.shape, -1)
        children[legal] = inverse
        edges.append((over, player, children, np.where(legal, reward, 0), discount))
        layers.append(jax.tree.map(lambda x: x[rows], kept))
        found += len(rows)
        if found > most:
            raise ValueError(f"the game has more than {most} reachable states")
    return _backwards(layers, edges)


def in_chunks(f, states, size: int = 512):
    """f of all states, a pytree of (N, ...), computed for `size` states at a time on the host."""
    n = len(jax.tree.leaves(states)[0])
    parts = []
    for start in range(0, n, size):
        rows = np.minimum(np.arange(start, start + size), n - 1)
        parts.append(jax.device_get(f(jax.tree.map(lambda x: x[rows], states))))
    return jax.tree.map(lambda *xs: np.concatenate(xs)[:n], *parts)


def _distinct(states, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the distinct states among `n`, and the position of each state among them."""
    if n == 0:
        return np.zeros(0, int), np.zeros(0, int)
    leaves = [np.asarray(x).reshape(n, -1).view(np.uint8) for x in jax.tree.leaves(states)]
    code = np.concatenate(leaves, axis=1)
    _, rows, inverse = np.unique(code, axis=0, return_index=True, return_inverse=True)
    return rows, inverse.ravel()


def _repeated(state, n: int):
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), state)


def _backwards(layers, edges) -> Solution:
    """Values from the last layer to the first."""
    sizes = [len(over) for over, *_ in edges]
    starts = np.cumsum([0, *sizes])
    values, gains, below = [], [], np.zeros(0)
    for over, _, children, reward, discount in reversed(edges):
        future = below[children] if len(below) else np.zeros(children.shape)
        gain = np.where(children >= 0, reward + discount * future, -np.inf)
        below = np.where(over, 0.0, gain.max(1, initial=-np.inf))
        values.insert(0, below)
        gains.insert(0, gain)
    shifted = [
        np.where(children >= 0, children + start, -1)
        for (_, _, children, *_), start in zip(edges, starts[1:], strict=True)
    ]
    over, player, _, reward, _ = (np.concatenate(x) for x in zip(*edges, strict=True))
    states = jax.tree.map(lambda *xs: np.concatenate(xs), *layers[:-1])
    return Solution(
        states,
        over,
        player,
        np.concatenate(values),
        np.concatenate(shifted),
        np.concatenate(gains),
        reward,
    )


def worst_returns(solution: Solution, action: np.ndarray) -> tuple[float, float]:
    """The lowest returns of a player against all opponents, as the first and the second player.

    action: the player's action in every state, (N,).
    """
    lowest = []
    for seat in (0, 1):
        value = np.zeros(len(action))
        for i in reversed(range(len(action))):
            if solution.terminated[i]:
                continue
            mine = solution.player[i] == seat
            choices = [action[i]] if mine else np.flatnonzero(solution.children[i] >= 0)
            sign = 1 if mine else -1
            after = [sign * solution.reward[i, a] + value[solution.children[i, a]] for a in choices]
            value[i] = min(after)
        lowest.append(float(value[0]))
    return lowest[0], lowest[1]


def optimal_share(solution: Solution, action: np.ndarray) -> float:
    """Share of states before the end in which `action` (N,) keeps the exact value."""
    kept = solution.gain[np.arange(len(action)), action] == solution.value
    return float(kept[~solution.terminated].mean())


def perfect_player(game: Game, solution: Solution) -> Player:
    """Moves uniformly at random among the optimal actions.

    Raises ValueError if an observation has more than 20 binary entries, too many for a table.
    """
    bits = int(np.prod(game.shape))
    if bits > 20:
        raise ValueError(f"a table of observations needs at most 20 bits, the game has {bits}")
    weights = 2 ** np.arange(bits)
    seen = np.asarray(jax.vmap(game.observe)(solution.states)).reshape(-1, bits)
    running = ~solution.terminated
    table = np.zeros((2**bits, game.actions), bool)
    best = solution.gain == solution.value[:, None]
    table[(seen[running] @ weights).astype(int)] = best[running]
    table = jnp.asarray(table)

    def act(key, state_B):
        view = jax.vmap(game.observe)(state_B).reshape(-1, bits)
        code_B = jnp.sum(view * weights[None], -1).astype(jnp.int32)
        noise_BA = jax.random.uniform(key, (len(code_B), game.actions))
        return jnp.argmax(jnp.where(table[code_B], noise_BA, -1.0), -1).astype(jnp.int32)

    return act
