"""Named Markov decision processes: gridworlds, Garnet, gambler's problem, DeepSea, random walk.

Gridworld actions are 0 left, 1 down, 2 right, 3 up, as in FrozenLake. All problems return a checked
`process.MDP`.
"""

import numpy as np

from panorax.core.errors import UserError
from panorax.maths.mdp.process import MDP, finite

MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""steps (dy, dx) of the actions left, down, right, up"""
CLIFF = ("." * 12,) * 3 + ("S" + "C" * 10 + "G",)
"""map of cliff walking (Sutton & Barto 2018, example 6.6)"""


def gridworld(
    rows: tuple[str, ...],
    discount: float,
    slip: float = 0.0,
    step_reward: float = 0.0,
    goal_reward: float = 1.0,
    pit_reward: float = 0.0,
    cliff_reward: float = -100.0,
) -> MDP:
    """A gridworld drawn as text; state y * X + x is the cell in row y, column x.

    `.` and F free, S start, # wall, G goal and H pit (both terminal), C cliff, whose visitors are
    put back to S. Moves against a wall or the border stay. With probability `slip`, the move is
    perpendicular to the action. Rewards depend on the cell that is entered.
    Raises UserError for other characters, rows of different lengths, and a map without S.
    """
    cells = _cells(rows)
    Y, X = cells.shape
    terminal, is_start = np.isin(cells, list("#GH")).ravel(), (cells == "S").ravel()
    S, origin = Y * X, int(np.argmax(is_start))
    y, x = np.divmod(np.arange(S), X)
    flat = cells.ravel()
    arrival = np.empty((S, 4), int)
    for a, (dy, dx) in enumerate(MOVES):
        target = np.clip(y + dy, 0, Y - 1) * X + np.clip(x + dx, 0, X - 1)
        arrival[:, a] = np.where(flat[target] == "#", np.arange(S), target)
    gains = {"G": goal_reward, "H": pit_reward, "C": cliff_reward}
    gain = np.array([gains.get(cell, step_reward) for cell in flat])
    turns = (np.arange(4)[:, None] + np.array([0, -1, 1])) % 4  # ahead, and both sides
    entered = arrival[:, turns]
    return finite(
        np.where(flat[entered] == "C", origin, entered),
        np.broadcast_to([1 - slip, slip / 2, slip / 2], entered.shape),
        gain[entered],
        discount,
        terminal=terminal | (flat == "C"),
        start=is_start / is_start.sum(),
    )


def _cells(rows: tuple[str, ...]) -> np.ndarray:
    """The characters of a map, (Y, X)."""
    if len({len(row) for row in rows}) != 1:
        raise UserError("the rows of a gridworld must have one length")
    cells = np.array([list(row) for row in rows])
    unknown = sorted(set(cells.ravel()) - set(".FS#GHC"))
    if unknown:
        raise UserError(f"cells of a gridworld are . F S # G H C, got {str(unknown[0])!r}")
    if "S" not in cells:
        raise UserError("a gridworld needs a start S")
    return cells


def cliff_walking() -> MDP:
    """Cliff walking: 4 x 12 cells, -1 a step, -100 and back to the start from the cliff."""
    return gridworld(CLIFF, 1.0, step_reward=-1.0, goal_reward=-1.0, cliff_reward=-100.0)


def maze(random: np.random.Generator, side: int, wall_share: float) -> tuple[str, ...]:
    """A map of `side` x `side` cells with random walls, S top left and G bottom right."""
    cells = np.where(random.random((side, side)) < wall_share, "#", ".")
    cells[0, 0], cells[-1, -1] = "S", "G"
    return tuple("".join(row) for row in cells)


def garnet(
    random: np.random.Generator, states: int, actions: int, branching: int, discount: float
) -> MDP:
    """A random MDP: `branching` random successors of each pair, rewards standard normal.

    The probabilities are the gaps between uniform cut points of [0, 1] (Archibald et al. 1995).
    """
    if branching > states:
        raise UserError(f"a Garnet needs branching at most states, got {branching} of {states}")
    pairs = (states, actions)
    order = np.argsort(random.random((*pairs, states)), -1)
    cuts = np.sort(random.random((*pairs, branching - 1)), -1)
    ends = [np.zeros((*pairs, 1)), cuts, np.ones((*pairs, 1))]
    reward = np.broadcast_to(random.normal(size=(*pairs, 1)), (*pairs, branching))
    return finite(order[..., :branching], np.diff(np.concatenate(ends, -1)), reward, discount)


def gambler(goal: int, heads: float) -> MDP:
    """The gambler's problem: the state is the capital, the action a + 1 the stake on heads.

    Capital 0 and `goal` are terminal; reaching `goal` earns 1, so V(s) is the probability to win.
    """
    capital, stake = np.arange(goal + 1)[:, None], np.arange(1, goal // 2 + 1)[None]
    outcomes = np.stack([capital + stake, capital - stake], -1)
    successor = np.clip(outcomes, 0, goal)
    return finite(
        successor,
        np.broadcast_to([heads, 1 - heads], successor.shape),
        successor == goal,
        1.0,
        legal=stake <= np.minimum(capital, goal - capital),
        terminal=np.isin(np.arange(goal + 1), [0, goal]),
    )


def bold_play(goal: int, heads: float) -> np.ndarray:
    """Probability to reach `goal` from each capital 0 .. goal by bold play, the largest stakes.

    With the binary digits s / goal = sum_k 2^-n_k, n_1 < n_2 < ..., it is
    sum_k p^(n_k - k + 1) (1 - p)^(k - 1). Bold play is optimal for p <= 1/2 (Dubins & Savage 1965).
    """
    wins = np.zeros(goal + 1)
    for capital in range(goal):
        rest, weight = capital, 1.0  # weight: probability to play on
        while rest and weight > 1e-18:
            rest *= 2
            if rest >= goal:
                wins[capital] += weight * heads
                rest -= goal
                weight *= 1 - heads
            else:
                weight *= heads
    wins[goal] = 1
    return wins


def timid_play(goal: int, heads: float) -> np.ndarray:
    """Probability to reach `goal` from each capital by stakes of 1: (1 - r^s) / (1 - r^goal).

    r = (1 - p) / p. Timid play is optimal for p >= 1/2 (Ross 1974); p = 1/2 gives s / goal.
    """
    capital, r = np.arange(goal + 1), (1 - heads) / heads
    return capital / goal if r == 1 else (1 - r**capital) / (1 - r**goal)


def deep_sea(size: int, discount: float = 1.0) -> MDP:
    """DeepSea (Osband et al. 2019): the treasure of 1 needs `size` moves to the right in a row.

    Cells (depth, column), actions 0 left and 1 right; every move right costs 0.01 / size.
    """
    depth, column = np.divmod(np.arange(size * size), size)
    last = depth == size - 1
    moved = np.clip(column[:, None] + np.array([-1, 1]), 0, size - 1)
    successor = np.where(last[:, None], size * size, (depth[:, None] + 1) * size + moved)
    reward = np.array([0, -0.01 / size]) + np.outer(last & (column == size - 1), [0.0, 1.0])
    end = size * size
    return finite(
        np.append(successor, [[end, end]], 0)[..., None],
        np.ones((end + 1, 2, 1)),
        np.append(reward, [[0, 0]], 0)[..., None],
        discount,
        terminal=np.arange(end + 1) == end,
        start=np.arange(end + 1) == 0,
    )


def random_walk(states: int) -> MDP:
    """A walk from the middle of 1 .. states, one action; leaving left earns -1, right 1.

    State 0 and the last are terminal. The values are 2 s / (states + 1) - 1
    (Sutton & Barto 2018, example 7.1).
    """
    end = states + 1
    successor = np.clip(np.arange(end + 1)[:, None, None] + np.array([-1, 1]), 0, end)
    return finite(
        successor,
        np.full(successor.shape, 0.5),
        (successor == end) * 1.0 - (successor == 0),
        1.0,
        terminal=np.isin(np.arange(end + 1), [0, end]),
        start=np.arange(end + 1) == end // 2,
    )


def two_doors(actions: int, mean: float) -> MDP:
    """A start whose action 1 ends the episode and whose action 0 leads to a second state.

    There each of `actions` actions ends the episode with the mean reward `mean`
    (Sutton & Barto 2018, example 6.7). States: 0 start, 1 second, 2 terminal.
    """
    successor, reward = np.full((3, actions, 1), 2), np.zeros((3, actions, 1))
    successor[0, 0], reward[1] = 1, mean
    legal = np.ones((3, actions), bool)
    legal[0, 2:] = False
    return finite(
        successor,
        np.ones(successor.shape),
        reward,
        1.0,
        legal,
        terminal=[False, False, True],
        start=[1, 0, 0],
    )
