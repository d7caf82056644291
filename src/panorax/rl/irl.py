"""Maximum-entropy inverse reinforcement learning on a gridworld: rewards from demonstrations.

The expert follows the maximum-entropy policy pi of an unknown reward. The reward theta . f(s, a) is
fitted by maximum likelihood: it minimises the convex dual of the largest discounted causal entropy
under equal feature counts,

    L(theta) = E_start[V_theta(s)] - theta . c + l2/2 |theta|^2
    grad     = sum_{s, a} D_theta(s, a) f(s, a) - c + l2 theta

with the soft value V, the discounted visits D of pi, and the expert's feature counts c. Without
the penalty, -L is the expected E[sum_t gamma^t log pi(a_t|s_t)] over the expert's episodes.
Features: "cells", a weight for each cell that is entered; "pairs", one for each state and action.

Rewards that differ by potential shaping, F(s, a) = phi(s) - gamma E[phi(s')] with phi = 0 at
terminal states, have one optimal and one maximum-entropy policy (Ng, Harada & Russell 1999). Before
two rewards are compared, the least-squares fit of all F is subtracted from each: `correlation_*` is
the Pearson correlation of the residuals over states and actions, `raw_correlation_*` is without the
projection.

    exact      the expert's exact visits; gradients; visits by three methods
    horizon    a horizon of T steps: probabilities of all trajectories by enumeration
    samples    demonstrations that are drawn from the expert's policy, and start where they start
Source: Ziebart et al. 2008; Ziebart 2010; Bloem & Bambos 2014; Cao, Cohen & Szpruch 2021.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.ranges import Count, DecayRate, NonNegative, Positive, Share, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.maths.mdp import problems, soft, solvers
from panorax.maths.mdp.process import MDP, occupancy, q_values

MAP = (
    "S..#....",
    "...#.H..",
    "........",
    "##.##.##",
    "...#....",
    ".H.#....",
    "......H.",
    "...#...G",
)
"""a map with walls #, pits H and a goal G; episodes start in any free cell"""
TINY = ("S.G", "...", ".#.")
"""a map whose trajectories are enumerated"""


@checked
class Config:
    discount: DecayRate = 0.9
    """discount per step [gamma]"""
    slip: Share = 0.1
    """probability of a perpendicular move"""
    goal: NonNegative = 20.0
    """reward of the goal in units of the expert's temperature"""
    pit: NonNegative = 5.0
    """cost of a pit in units of the expert's temperature"""
    demonstrations: tuple[Count, ...] = (4, 16, 64, 256, 1024, 4096)
    """numbers of demonstrations [N]"""
    repeats: Count = 5
    """sets of demonstrations of each size"""
    steps: Count = 80
    """largest number of steps of a demonstration"""
    precision: Positive = 0.02
    """precision of a normal prior of each weight; N demonstrations have l2 = precision / N"""
    episodes: Count = 20_000
    """episodes of the Monte Carlo estimate of visits"""
    horizon: Count = 5
    """steps of the trajectories that are enumerated [T]"""
    seed: Whole = 0
    """seed of all random numbers"""


class Problem(NamedTuple):
    """A gridworld and the features of its rewards."""

    mdp: MDP
    """gridworld with the true rewards, which start in any free cell"""
    features: dict[str, np.ndarray]
    """features f(s, a) by name, (S, A, D)"""

    @property
    def reward(self) -> np.ndarray:
        """True expected rewards (S, A)."""
        return np.sum(self.mdp.probability * self.mdp.reward, -1)


def problem(cfg: Config) -> Problem:
    """The map with both kinds of features."""
    world = problems.gridworld(
        MAP, cfg.discount, cfg.slip, goal_reward=cfg.goal, pit_reward=-cfg.pit
    )
    free = ~world.terminal
    mdp = world.replace(start=free / free.sum())
    S, A, _ = mdp.successor.shape
    s, a, _ = np.ogrid[:S, :A, :1]
    entered = np.zeros((S, A, S))
    np.add.at(entered, (s, a, mdp.successor), mdp.probability)
    return Problem(mdp, {"cells": entered, "pairs": np.eye(S * A).reshape(S, A, S * A)})


def solved(mdp: MDP) -> tuple[np.ndarray, np.ndarray]:
    """Soft value (S,) and maximum-entropy policy pi(a|s) (S, A) of the rewards, in float64."""
    residual = 1e-12 * max(1.0, np.abs(mdp.reward).max())
    value_S = solvers.solve(soft.soft_sweep, mdp, residual).value
    with jax.enable_x64(True):
        return value_S, np.exp(soft.log_policy(mdp, value_S))


def visits_of(mdp: MDP, policy_SA: np.ndarray) -> np.ndarray:
    """Discounted visits of the states and actions that are not terminal, (S, A)."""
    return occupancy(mdp, policy_SA) * ~mdp.terminal[:, None]


def dual(theta: np.ndarray, mdp: MDP, features: np.ndarray, counts: np.ndarray):
    """L(theta) without the penalty, and its gradient."""
    mdp = soft.with_reward(mdp, features @ theta)
    value_S, policy_SA = solved(mdp)
    gradient = np.einsum("sa,sad->d", visits_of(mdp, policy_SA), features) - counts
    return mdp.start @ value_S - theta @ counts, gradient


def fit(mdp: MDP, features: np.ndarray, counts: np.ndarray, l2: float) -> np.ndarray:
    """The weights theta that minimise L, by L-BFGS."""
    from scipy.optimize import minimize

    def penalized(theta):
        value, gradient = dual(theta, mdp, features, counts)
        return value + l2 / 2 * theta @ theta, gradient + l2 * theta

    options = {"maxiter": 3000, "maxfun": 5000, "ftol": 0.0, "gtol": 1e-7, "maxcor": 30}
    zero = np.zeros(features.shape[-1])
    return minimize(penalized, zero, jac=True, method="L-BFGS-B", options=options).x


def without_shaping(mdp: MDP, reward_SA: np.ndarray) -> np.ndarray:
    """Rewards of the states that are not terminal, minus their least-squares fit by shaping."""
    S, A, _ = mdp.successor.shape
    s, a, _ = np.ogrid[:S, :A, :1]
    shaping = np.broadcast_to(np.eye(S)[:, None], (S, A, S)).copy()
    np.add.at(shaping, (s, a, mdp.successor), -mdp.discount * mdp.probability)
    free = ~mdp.terminal
    columns, target = shaping[free][..., free].reshape(-1, free.sum()), reward_SA[free].ravel()
    return target - columns @ np.linalg.lstsq(columns, target)[0]


def compared(truth: Problem, reward_SA: np.ndarray) -> dict[str, float]:
    """Recovered rewards against the true rewards.

    correlation, raw_correlation: see the module.  optimal: share of states whose greedy action for
    the recovered rewards is optimal for the true rewards.  regret: largest loss of value by these
    actions, relative to the largest value.
    """
    mdp, free = truth.mdp, ~truth.mdp.terminal
    correlate = lambda x, y: np.corrcoef(x, y)[0, 1] if np.ptp(x) else 0.0
    best = solvers.policy_iteration(mdp).value
    actions = solvers.policy_iteration(soft.with_reward(mdp, reward_SA)).policy
    with jax.enable_x64(True):
        chosen = np.take_along_axis(np.asarray(q_values(mdp, best)), actions[:, None], 1)[:, 0]
    regret = best - solvers.one_policy(mdp, actions)
    return {
        "correlation": correlate(
            without_shaping(mdp, reward_SA), without_shaping(mdp, truth.reward)
        ),
        "raw_correlation": correlate(reward_SA[free].ravel(), truth.reward[free].ravel()),
        "optimal": np.mean((best - chosen < 1e-6 * best.max())[free]),
        "regret": regret.max() / best.max(),
    }


def exact(key, cfg: Config) -> Result:
    """Recovers the rewards from the exact visits of the expert, with both kinds of features."""
    truth = problem(cfg)
    visits_SA = visits_of(truth.mdp, solved(truth.mdp)[1])
    metrics, rewards = {}, {}
    for name, features in truth.features.items():
        counts = np.einsum("sa,sad->d", visits_SA, features)
        rewards[name] = features @ fit(truth.mdp, features, counts, 1e-9)
        values = {(m, name): x for m, x in compared(truth, rewards[name]).items()}
        metrics |= family("{}_{}", values)
    return Result(metrics, {"rewards.png": draw_rewards(truth, rewards)})


def log_likelihood(theta_D, mdp: MDP, features, visits_SA, sweeps: int):
    """sum_{s, a} visits(s, a) log pi_theta(a|s), by `sweeps` soft backups in JAX."""
    mdp = soft.with_reward(mdp, features @ theta_D)
    again = lambda value_S, _: (soft.soft_sweep(mdp, value_S)[0], None)
    value_S, _ = jax.lax.scan(again, jnp.zeros(len(mdp.terminal)), length=sweeps)
    return jnp.sum(visits_SA * soft.log_policy(mdp, value_S))


def gradients(key, cfg: Config) -> Result:
    """Compares the gradient of L with autodiff of the likelihood, and with differences of L.

    The gaps are relative to the largest element of the gradient.
    """
    truth = problem(cfg)
    mdp, features = truth.mdp, truth.features["cells"]
    visits_SA = visits_of(mdp, solved(mdp)[1])
    counts = np.einsum("sa,sad->d", visits_SA, features)
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    theta, direction = random.normal(size=(2, len(counts)))
    _, gradient = dual(theta, mdp, features, counts)
    sweeps = int(27 / -np.log(cfg.discount))
    with jax.enable_x64(True):
        slope_of = jax.jit(jax.grad(log_likelihood), static_argnums=4)
        by_jax = np.asarray(slope_of(theta, mdp, features, visits_SA, sweeps))
    slope = lambda h: dual(theta + h * direction, mdp, features, counts)[0]
    difference = (slope(1e-4) - slope(-1e-4)) / 2e-4
    size = np.abs(gradient).max()
    return Result(
        {
            "gradient_gap_autodiff": float(np.abs(gradient + by_jax).max() / size),
            "gradient_gap_differences": float(abs(gradient @ direction - difference) / size),
        }
    )


def visits(key, cfg: Config) -> Result:
    """Compares the visits of the expert by a linear solve, a forward pass, and Monte Carlo.

    `visits_deviation_monte_carlo` is the root mean square over visited pairs of the difference in
    standard errors, which is 1 on average.
    """
    mdp = problem(cfg).mdp
    _, policy_SA = solved(mdp)
    exact_SA = visits_of(mdp, policy_SA)
    steps = int(27 / -np.log(cfg.discount))
    with jax.enable_x64(True):
        policies_TSA = np.broadcast_to(policy_SA, (steps, *policy_SA.shape))
        passed_SA = np.asarray(jax.jit(soft.forward)(mdp, policies_TSA)).sum(0)
        drawn = jax.jit(soft.walks, static_argnums=(3, 4))(mdp, policy_SA, key, cfg.episodes, steps)
    counts = soft.discounted_counts(mdp, jax.device_get(drawn))
    visited = counts.any(0)
    error = counts.std(0, ddof=1)[visited] / cfg.episodes**0.5
    deviation = (counts.mean(0) - exact_SA)[visited] / error
    return Result(
        {
            "visits_gap_forward": float(np.abs(passed_SA - exact_SA).max()),
            "visits_deviation_monte_carlo": float(np.sqrt(np.mean(deviation**2))),
        }
    )


def paths(mdp: MDP, state: int, horizon: int):
    """All sequences ((s_0, a_0), (s_1, a_1), ...) of `horizon` steps, or up to a terminal state."""
    if horizon == 0 or mdp.terminal[state]:
        yield ()
        return
    for action, successor in enumerate(mdp.successor[state, :, 0]):
        for rest in paths(mdp, successor, horizon - 1):
            yield ((state, action), *rest)


def horizon(key, cfg: Config) -> Result:
    """Compares the policies of a finite horizon with all trajectories of a small map.

    Moves are deterministic and the discount is 1: the probability of a trajectory is proportional
    to exp(sum_t r_t) (Ziebart et al. 2008, equation 2).
    """
    mdp = problems.gridworld(TINY, 1.0, goal_reward=2.0, step_reward=-0.5)
    with jax.enable_x64(True):
        solution = jax.jit(soft.backward, static_argnums=1)(mdp, cfg.horizon)
        value_S, log_TSA = jax.device_get(solution)
        visits_TSA = np.asarray(jax.jit(soft.forward)(mdp, np.exp(log_TSA)))
    start = int(np.argmax(mdp.start))
    trajectories = list(paths(mdp, start, cfg.horizon))
    rewards = np.array([sum(mdp.reward[*pair, 0] for pair in path) for path in trajectories])
    logs = [sum(log_TSA[t, *pair] for t, pair in enumerate(path)) for path in trajectories]
    log_Z = np.log(np.exp(rewards).sum())
    counts_TSA = np.zeros(visits_TSA.shape)
    for path, reward in zip(trajectories, rewards):
        for t, pair in enumerate(path):
            counts_TSA[t, *pair] += np.exp(reward - log_Z)
    return Result(
        {
            "trajectories": float(len(trajectories)),
            "enumeration_gap_value": float(abs(value_S[start] - log_Z)),
            "enumeration_gap_policy": float(np.abs(logs - (rewards - log_Z)).max()),
            "enumeration_gap_visits": float(np.abs(counts_TSA - visits_TSA).max()),
        }
    )


def demonstrated(truth: Problem, n: int, key, cfg: Config):
    """Yields (start, visits) of `cfg.repeats` sets of `n` demonstrations, means over a set."""
    (_, policy_SA), sets = solved(truth.mdp), cfg.repeats
    with jax.enable_x64(True):
        draw = jax.jit(soft.walks, static_argnums=(3, 4))
        drawn = jax.device_get(draw(truth.mdp, policy_SA, key, n * sets, cfg.steps))
    counts = soft.discounted_counts(truth.mdp, drawn)
    first = np.eye(len(policy_SA))[drawn.state[:, 0]]
    for start, visits_SA in zip(np.split(first, sets), np.split(counts, sets)):
        yield start.mean(0), visits_SA.mean(0)


def samples(key, cfg: Config) -> Result:
    """Recovers a weight for each cell from demonstrations; metrics are means over their sets."""
    truth, scores, maps = problem(cfg), {}, {}
    features = truth.features["cells"]
    for i, n in enumerate(cfg.demonstrations):
        scores[n] = []
        for start, visits_SA in demonstrated(truth, n, jax.random.fold_in(key, i), cfg):
            counts = np.einsum("sa,sad->d", visits_SA, features)
            maps[n] = fit(truth.mdp.replace(start=start), features, counts, cfg.precision / n)
            scores[n].append(compared(truth, features @ maps[n]))
    of = lambda name: {n: np.array([score[name] for score in scores[n]]) for n in scores}
    metrics = {}
    for pattern, name in (
        ("correlation_from_{}_demonstrations", "correlation"),
        ("optimal_from_{}_demonstrations", "optimal"),
        ("regret_from_{}_demonstrations", "regret"),
    ):
        metrics |= family(pattern, {n: x.mean() for n, x in of(name).items()})
    drawn = {
        "demonstrations.png": draw_scores(of("correlation"), of("optimal"), cfg),
        "maps.png": draw_maps(truth, maps),
    }
    return Result(metrics, drawn)


def draw_rewards(truth: Problem, rewards: dict[str, np.ndarray]):
    """Recovered over true rewards of all states and actions, with and without shaping."""
    figure, axes = figures.panels(columns=len(rewards))
    project = functools.partial(without_shaping, truth.mdp)
    free = ~truth.mdp.terminal
    for ax, (name, reward_SA) in zip(axes, rewards.items()):
        ax.plot(truth.reward[free].ravel(), reward_SA[free].ravel(), ".", ms=4, label="as fitted")
        x, y = project(truth.reward), project(reward_SA)
        ax.plot(x, y, "x", ms=4, label="without shaping")
        ax.axline((0, 0), slope=1, color="grey", ls=":", label="equal")
        ax.set(title=f"weights of {name}", xlabel="true reward", ylabel="recovered reward")
    return figures.legends(figure)


def draw_scores(correlation: dict, optimal: dict, cfg: Config):
    """Correlation and share of optimal actions over demonstrations, a point per set."""
    figure, axes = figures.panels(columns=2)
    titles = ("correlation with the true reward", "share of states with an optimal action")
    for ax, values, title in zip(axes, (correlation, optimal), titles):
        for n, x in values.items():
            ax.plot(np.full(len(x), n), x, ".", color="grey")
        ax.plot([*values], [x.mean() for x in values.values()], "o-", label="mean")
        ax.axhline(1, color="grey", ls=":", lw=0.8)
        ax.set(xscale="log", xlabel="demonstrations", ylabel=title)
    return figures.legends(figure, loc="lower right")


def draw_maps(truth: Problem, maps: dict[int, np.ndarray]):
    """The true rewards of the cells, and the rewards from the fewest and the most demonstrations.

    Arrows are the optimal actions of each map. A constant potential is added to each recovered map,
    which fits it best to the true map.
    """
    flat, free = np.array([list(row) for row in MAP]), ~truth.mdp.terminal
    cells = np.select([flat == "G", flat == "H"], [truth.mdp.reward.max(), truth.mdp.reward.min()])
    potential = np.where(free, 1 - truth.mdp.discount, 1.0)[flat.ravel() != "#"]
    shown = {"true": cells.ravel()}
    for n in (min(maps), max(maps)):
        gap = (cells.ravel() - maps[n])[flat.ravel() != "#"]
        shift = potential @ gap / (potential @ potential)
        shown[f"from {n} demonstrations"] = maps[n] + shift * np.where(
            free, 1 - truth.mdp.discount, 1.0
        )
    figure, axes = figures.panels(columns=len(shown), width=4, height=3.4)
    bound = np.abs(cells).max()
    for ax, (title, values) in zip(axes, shown.items()):
        grid = np.where(flat == "#", np.nan, values.reshape(flat.shape))
        image = ax.imshow(grid, cmap="RdBu", vmin=-bound, vmax=bound)
        reward_SA = truth.features["cells"] @ values
        actions = solvers.policy_iteration(soft.with_reward(truth.mdp, reward_SA)).policy
        y, x = np.nonzero(free.reshape(flat.shape))
        moves = np.array(problems.MOVES)[actions[free]]
        arrows = {"scale": 16, "width": 0.01, "headwidth": 4, "pivot": "mid"}
        ax.quiver(x, y, moves[:, 1], moves[:, 0], angles="xy", **arrows)
        for i, j in np.argwhere(np.isin(flat, list("#HG"))):
            ax.text(j, i, flat[i, j], ha="center", va="center", fontsize=8)
        ax.grid(False)
        ax.set(title=title, xlabel="column", ylabel="row")
    figure.colorbar(image, ax=axes, label="reward (temperatures)", shrink=0.8)
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Exact visits, gradients, visits by three methods, a finite horizon, and demonstrations."""
    parts = {
        "exact": exact,
        "gradients": gradients,
        "visits": visits,
        "horizon": horizon,
        "samples": samples,
    }
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
