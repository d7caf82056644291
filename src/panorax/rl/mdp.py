"""Exact solutions of finite Markov decision processes: the Bellman equation, solved five ways.

    V*(s) = max_a E[r + gamma V*(s') | s, a]

The processes and the methods are in `panorax.maths.mdp`. The study measures:

    gap_*              largest |V - V*| of a method over five problems; V* is the linear solve of
                       the last policy of policy iteration, whose Bellman residual is 0
    contraction_*      largest ||T V - T U|| / (gamma ||V - U||) of an operator T, at most 1
    gambler_gap_*      distance of V* to the closed forms of the gambler's problem
    *_iterations_*     iterations of a method until its error is at most `error`, by discount

The problems are a Garnet, a maze, a slippery map with pits, the gambler's problem and DeepSea; the
last two have a discount of 1 and end.
Source: Bellman 1957; Howard 1960; Puterman 1994, chapter 6; Sutton & Barto 2018, chapter 4.
"""

import dataclasses
import functools

import jax
import numpy as np

from panorax.core import figures
from panorax.core.ranges import Count, DecayRate, Positive, Share, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family, numpy_generator
from panorax.maths.mdp import problems, solvers
from panorax.maths.mdp.process import MDP, occupancy, q_values

MAP = (
    "S.....#.....",
    "......#.....",
    "............",
    "......#.....",
    "..HHH.#.....",
    "......#.....",
    "##.####.##.#",
    "......#.....",
    "...H..#..HH.",
    "...H........",
    "...H..#.....",
    "......#....G",
)
"""four rooms with pits H"""


@checked
class Config:
    discount: DecayRate = 0.95
    """discount of the Garnet, the maze and the map [gamma]"""
    discounts: tuple[DecayRate, ...] = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
    """discounts over which the iterations are counted"""
    states: Count = 400
    """states of the Garnet"""
    branching: Count = 5
    """successors of each state and action of the Garnet"""
    side: Count = 100
    """rows and columns of the maze"""
    walls: Share = 0.25
    """share of walls in the maze"""
    slip: Share = 0.3
    """probability of a perpendicular move in the maze and on the map"""
    goal: Count = 100
    """capital that the gambler wants to reach"""
    heads: Share = 0.4
    """probability of heads in the gambler's problem"""
    evaluations: Count = 20
    """backups under the greedy policy in a sweep of modified policy iteration [m]"""
    error: Positive = 1e-8
    """error of the value at which a method stops"""
    pairs: Count = 200
    """pairs of random values for which contraction is measured"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.goal < 2 or not 0 < self.heads < 0.5:
            raise ValueError("the gambler needs a goal of at least 2 and heads between 0 and 0.5")
        if self.side < 2 or len(self.discounts) < 2:
            raise ValueError("side and the number of discounts must be at least 2")


def sweeps(cfg: Config) -> dict[str, solvers.Sweep]:
    """The methods that repeat a sweep, by the names of their metrics."""
    return {
        "value": solvers.value_sweep,
        "modified": modified(cfg.evaluations),
        "gauss_seidel": solvers.in_place_sweep,
    }


@functools.cache
def modified(evaluations: int) -> solvers.Sweep:
    """The sweep of modified policy iteration, one object per number so that it compiles once."""
    return functools.partial(solvers.modified_sweep, evaluations=evaluations)


def endless(key, cfg: Config) -> dict[str, MDP]:
    """The problems with a discount below 1."""
    random = numpy_generator(key)
    maze = problems.maze(random, cfg.side, cfg.walls)
    return {
        "garnet": problems.garnet(random, cfg.states, 4, cfg.branching, cfg.discount),
        "maze": problems.gridworld(maze, cfg.discount, cfg.slip),
        "map": problems.gridworld(MAP, cfg.discount, cfg.slip, pit_reward=-1.0),
    }


def ending(cfg: Config) -> dict[str, MDP]:
    """The problems with a discount of 1, in which every policy terminates."""
    return {
        "gambler": problems.gambler(cfg.goal, cfg.heads),
        "deep_sea": problems.deep_sea(max(cfg.side // 4, 2)),
    }


def residual(mdp: MDP, error: float) -> float:
    """The residual at which the error of a value is at most `error`; heuristic at discount 1."""
    return error * (1 - mdp.discount if mdp.discount < 1 else 1e-4)


def agreement(key, cfg: Config) -> Result:
    """Compares every method with the linear solve of the optimal policy."""
    gaps, residuals = {}, []
    for mdp in (endless(key, cfg) | ending(cfg)).values():
        exact = solvers.policy_iteration(mdp).value
        with jax.enable_x64(True):
            residuals.append(np.abs(np.asarray(q_values(mdp, exact)).max(1) - exact).max())
        values = {
            name: solvers.solve(sweep, mdp, residual(mdp, cfg.error)).value
            for name, sweep in sweeps(cfg).items()
        }
        values["linear_programme"] = solvers.linear_programme(mdp).value
        for name, value in values.items():
            gaps[name] = max(gaps.get(name, 0.0), np.abs(value - exact).max())
    return Result(family("gap_{}", gaps) | {"bellman_residual": float(max(residuals))})


def dual(key, cfg: Config) -> Result:
    """Compares the dual of the linear programme with the occupancy of the optimal policy."""
    mdp = endless(key, cfg)["garnet"]
    optimal = np.eye(mdp.legal.shape[1])[solvers.policy_iteration(mdp).policy]
    gap = np.abs(solvers.linear_programme(mdp).occupancy - occupancy(mdp, optimal)).max()
    return Result({"occupancy_gap": float(gap)})


def contraction(key, cfg: Config) -> Result:
    """Measures the contraction of random pairs of values, and draws the errors of the methods."""
    random = numpy_generator(key)
    largest = {"value": 0.0, "gauss_seidel": 0.0}
    for mdp in endless(key, cfg).values():
        pairs = random.normal(size=(2, cfg.pairs, len(mdp.terminal))) * ~mdp.terminal
        for name in largest:
            after = solvers.sweep_each(sweeps(cfg)[name], mdp, pairs.reshape(-1, len(mdp.terminal)))
            before, after = distances(*pairs), distances(*after.reshape(pairs.shape))
            largest[name] = max(largest[name], (after / before).max() / mdp.discount)
    garnet = endless(key, cfg)["garnet"]
    errors = errors_of(garnet, cfg)
    metrics = family("contraction_{}", largest)
    k = len(errors["value"]) // 2
    metrics["late_rate_value"] = (errors["value"][k] / errors["value"][k - 1]) / cfg.discount
    return Result(metrics, {"errors.png": draw_errors(errors, cfg)})


def distances(value, other) -> np.ndarray:
    """Sup-norm distances along the last axis."""
    return np.abs(value - other).max(-1)


def errors_of(mdp: MDP, cfg: Config) -> dict[str, np.ndarray]:
    """||V_k - V*|| of every method from V_0 = 0, down to about 1e-12 of the first error."""
    exact = solvers.policy_iteration(mdp)
    zero, n = np.zeros(len(exact.value)), int(27 / -np.log(mdp.discount))
    errors = {
        name: distances(solvers.iterates(sweep, mdp, zero, n), exact.value)
        for name, sweep in sweeps(cfg).items()
    }
    policies = [value for value, _ in solvers.improvements(mdp)]
    errors["policy"] = distances(np.stack([zero, *policies]), exact.value)
    return errors


def gambler(key, cfg: Config) -> Result:
    """Compares the gambler's problem with its closed forms, and draws values and stakes."""
    metrics, curves = {}, {}
    games = {"bold": (cfg.heads, problems.bold_play), "timid": (1 - cfg.heads, problems.timid_play)}
    for name, (heads, closed_form) in games.items():
        mdp, exact = problems.gambler(cfg.goal, heads), closed_form(cfg.goal, heads)
        value = solvers.solve(solvers.value_sweep, mdp, residual(mdp, cfg.error)).value
        value = np.append(value[:-1], 1)  # the goal is reached
        metrics |= family("gambler_gap_{}", {name: np.abs(value - exact).max()})
        curves[f"{name} play, p = {heads:g}"] = (value, exact)
    mdp = problems.gambler(cfg.goal, cfg.heads)
    with jax.enable_x64(True):
        q_SA = np.asarray(q_values(mdp, solvers.policy_iteration(mdp).value))[1:-1]
    best = q_SA >= q_SA.max(1, keepdims=True) - 1e-9
    metrics["states_with_many_optimal_stakes"] = float(np.mean(best.sum(1) > 1))
    return Result(metrics, {"gambler.png": draw_gambler(curves, best, cfg)})


def counts(key, cfg: Config) -> Result:
    """Counts iterations until the error is at most `cfg.error`, over the discount."""
    counted = {}
    for problem, mdp in endless(key, cfg).items():
        for discount in cfg.discounts if problem != "map" else ():
            mdp = dataclasses.replace(mdp, discount=discount)
            for name, sweep in sweeps(cfg).items():
                solution = solvers.solve(sweep, mdp, residual(mdp, cfg.error))
                counted[problem, name, discount] = solution.iterations
            counted[problem, "policy", discount] = solvers.policy_iteration(mdp).iterations
    largest = {key[:2]: n for key, n in counted.items() if key[2] == max(cfg.discounts)}
    metrics = family("{}_iterations_{}", largest)
    return Result(metrics, {"iterations.png": draw_counts(counted, cfg)})


def maps(key, cfg: Config) -> Result:
    """Draws values and optimal actions of the map without and with slip, and of the maze."""
    slips = {
        f"slip {slip:g}": problems.gridworld(MAP, cfg.discount, slip, pit_reward=-1.0)
        for slip in (0.0, cfg.slip)
    }
    maze = endless(key, cfg)["maze"]
    mazes = {f"maze of {cfg.side} x {cfg.side}, slip {cfg.slip:g}": maze}
    return Result(
        {"maze_states": float(np.sum(~maze.terminal))},
        {"maps.png": draw_maps(slips, MAP), "maze.png": draw_maps(mazes, None)},
    )


LABELS = {
    "value": "value iteration",
    "modified": "modified policy iteration",
    "gauss_seidel": "Gauss-Seidel",
    "policy": "policy iteration",
}


def draw_errors(errors: dict[str, np.ndarray], cfg: Config):
    """The errors on the Garnet over the iterations, with the bound gamma^k."""
    figure, (ax,) = figures.panels(width=5.6)
    for name, error in errors.items():
        error = error[: np.argmax(error < 1e-12) or None]
        ax.semilogy(error, marker="o" if len(error) < 20 else "", ms=3, label=LABELS[name])
    k = np.arange(len(errors["value"]))
    ax.semilogy(
        k, errors["value"][0] * cfg.discount**k, ":", color="grey", label="bound $\\gamma^k$"
    )
    title = f"Garnet of {cfg.states} states, $\\gamma$ = {cfg.discount:g}"
    ax.set(
        title=title, xlabel="iteration k", ylabel="$\\max_s |V_k(s) - V^*(s)|$", ylim=(1e-12, None)
    )
    return figures.legends(figure)


def draw_counts(counted: dict[tuple, int], cfg: Config):
    """Iterations over the horizon 1 / (1 - gamma) for the Garnet and the maze."""
    figure, axes = figures.panels(columns=2)
    horizons = 1 / (1 - np.array(cfg.discounts))
    for ax, problem in zip(axes, ("garnet", "maze")):
        for name, label in LABELS.items():
            n = [counted[problem, name, discount] for discount in cfg.discounts]
            ax.loglog(horizons, n, "o-", ms=3, label=label)
        ax.set(
            title=problem,
            xlabel="horizon 1 / (1 - $\\gamma$)",
            ylabel=f"iterations to error {cfg.error:g}",
        )
    return figures.legends(figure)


def draw_gambler(curves: dict[str, tuple], best: np.ndarray, cfg: Config):
    """Values over the capital with their closed forms, and all optimal stakes."""
    figure, (values, stakes) = figures.panels(columns=2)
    for label, (value, exact) in curves.items():
        values.plot(value, label=label)
        values.plot(exact, ":", color="black")
    values.plot([], [], ":", color="black", label="closed forms")
    values.set(title="probability to win", xlabel="capital", ylabel="V*")
    capital, stake = np.nonzero(best)
    stakes.plot(capital + 1, stake + 1, ".", ms=3, label="optimal stakes")
    s = np.arange(1, cfg.goal)
    stakes.plot(s, np.minimum(s, cfg.goal - s), lw=0.8, label="bold play")
    stakes.set(title=f"stakes at p = {cfg.heads:g}", xlabel="capital", ylabel="stake")
    return figures.legends(figure)


def draw_maps(mdps: dict[str, MDP], rows: tuple[str, ...] | None):
    """Optimal values as colours, walls and terminal cells white.

    rows: the map, whose cells get the optimal actions as arrows; None for logarithmic colours only.
    """
    figure, axes = figures.panels(columns=len(mdps), width=5, height=4)
    for ax, (title, mdp) in zip(axes, mdps.items()):
        solution, side = solvers.policy_iteration(mdp), int(len(mdp.terminal) ** 0.5)
        hidden = mdp.terminal | (solution.value == 0)
        grid = np.where(hidden, np.nan, solution.value).reshape(side, side)
        image = ax.imshow(grid, cmap="viridis", norm="log" if rows is None else None)
        figure.colorbar(image, ax=ax, label="V*", shrink=0.8)
        if rows is not None:
            y, x = np.nonzero(np.isfinite(grid))
            moves = np.array(problems.MOVES)[solution.policy.reshape(side, side)[y, x]]
            arrows = {"scale": 20, "width": 0.01, "headwidth": 4, "pivot": "mid"}
            ax.quiver(x, y, moves[:, 1], moves[:, 0], angles="xy", **arrows)
            for i, j in np.argwhere(np.isin([list(row) for row in rows], list("#HG"))):
                ax.text(j, i, rows[i][j], ha="center", va="center", fontsize=8)
        ax.grid(False)
        ax.set(title=title, xlabel="column", ylabel="row")
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """The methods against each other, contraction, closed forms, iterations, and maps."""
    parts = {
        "agreement": agreement,
        "dual": dual,
        "contraction": contraction,
        "gambler": gambler,
        "counts": counts,
        "maps": maps,
    }
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
