"""Episodes until DeepSea is solved, over its size, with an exploration bonus and without it.

Only one of 2^n sequences of actions is rewarded at size n, so that random actions need 2^n episodes
on average. Deep exploration needs a polynomial number of episodes: the fitted exponent k is the
slope of log(episodes) over log(n).
Source: Osband et al. 2020, arXiv:1908.03568, section 4.2.
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family

SOLVED = 0.8
"""mean return of the last episodes at which DeepSea is solved; the best return is 0.99"""


def report(train: Callable, sizes: tuple[int, ...], key: jax.Array) -> Result:
    """Trains on every size, with the bonus and without it, on the same keys.

    train: train(key, size=..., with_bonus=...) -> (returns (S, T) over seeds and time,
    episodes (T,)).
    The metrics are those of `solving_metrics`, and the trained episodes of a seed.
    """
    keys = jax.random.split(key, len(sizes))
    bonus, without = (
        {n: train(key, size=n, with_bonus=on) for n, key in zip(sizes, keys)}
        for on in (True, False)
    )
    first = [{n: solved_after(*run) for n, run in runs.items()} for runs in (bonus, without)]
    budget = max(episodes[-1] for _, episodes in bonus.values())
    metrics = solving_metrics(*first) | {"episodes_per_seed": float(budget)}
    n = max(sizes)
    shown = {
        "episodes.png": draw_episodes(*first, budget),
        "returns.png": draw_returns(bonus[n], without[n], n),
    }
    return Result(metrics, shown)


def solved_after(returns_ST: np.ndarray, episodes: np.ndarray) -> np.ndarray:
    """Episodes of each seed until its mean return exceeds SOLVED, infinite if it never does."""
    is_solved = returns_ST > SOLVED
    return np.where(is_solved.any(1), episodes[is_solved.argmax(1)], np.inf)


def solving_metrics(
    bonus: Mapping[int, np.ndarray], without: Mapping[int, np.ndarray]
) -> dict[str, float]:
    """Metrics of the episodes until solved, which are infinite for an unsolved seed.

    solved_at_size_n, solved_without_bonus_at_size_n   shares of the seeds that solve the size
    median_episodes_at_size_n                          with the bonus, for sizes of finite median
    exponent                                           of these medians, for at least two sizes
    """
    solved = lambda runs: {n: np.mean(np.isfinite(x)) for n, x in runs.items()}
    metrics = family("solved_at_size_{}", solved(bonus))
    metrics |= family("solved_without_bonus_at_size_{}", solved(without))
    median = {n: np.median(x) for n, x in bonus.items() if np.isfinite(np.median(x))}
    metrics |= family("median_episodes_at_size_{}", median)
    return metrics | ({"exponent": exponent(median)} if len(median) > 1 else {})


def exponent(values: Mapping[int, float]) -> float:
    """The slope of log(value) over log(size), for at least two sizes."""
    return float(np.polyfit(np.log([*values]), np.log([*values.values()]), 1)[0])


def draw_episodes(
    bonus: Mapping[int, np.ndarray], without: Mapping[int, np.ndarray], budget: float
):
    """Episodes until solved over the size, a point per seed; unsolved seeds are at the budget."""
    figure, (ax,) = figures.panels(width=6, height=4)
    for runs, label, marker in ((bonus, "with the bonus", "o"), (without, "without it", "x")):
        sizes = np.repeat([*runs], [len(x) for x in runs.values()])
        episodes = np.minimum(np.concatenate([*runs.values()]), budget)
        ax.plot(sizes, episodes, marker, label=label)
    n = np.arange(min(bonus), max(bonus) + 1)
    ax.plot(n, 2.0**n, color="grey", ls=":", label="random actions, $2^n$")
    ax.axhline(budget, color="grey", ls="--", lw=1, label="budget: unsolved at this line")
    ax.set(xlabel="size n", ylabel="episodes until solved", yscale="log", ylim=(30, 30 * budget))
    return figures.legends(figure)


def draw_returns(bonus: tuple, without: tuple, size: int):
    """Returns over episodes on one size, a line per seed."""
    figure, axes = figures.panels(2, sharey=True)
    for ax, (returns_ST, episodes), title in zip(axes, (bonus, without), ("with", "without")):
        for seed, curve in enumerate(returns_ST):
            ax.plot(episodes, curve, lw=1, label=f"seed {seed}")
        ax.set(title=f"{title} the bonus, size {size}", xlabel="episodes")
        ax.set(ylabel="mean return of the last episodes")
    return figures.legends(figure)
