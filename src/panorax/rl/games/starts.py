"""How a network starts: by games of a teacher, or by its own. Measured in a solved game."""

import functools
from collections.abc import Callable

import jax
import numpy as np

from panorax.core import figures
from panorax.core.state import Result, System
from panorax.core.step import scan_steps
from panorax.core.study import family
from panorax.rl.games.game import Game
from panorax.rl.games.solution import in_chunks, optimal_share, solve


def compared_starts(
    variants: dict[str, System],
    make: Callable,
    game: Game,
    steps: int,
    chunk: int,
    seeds: int,
    key: jax.Array,
) -> Result:
    """Trains every variant on the same seeds; make(params, 0) is the network without search.

    The metrics are the mean over seeds of the share of all positions in which the network's move
    keeps the exact value, after the first chunk and after the last.
    """
    keys, solution = jax.random.split(key, seeds), solve(game)
    act = jax.jit(lambda params, states: make(params, 0)(key, states))

    def share(params) -> float:
        return optimal_share(solution, in_chunks(functools.partial(act, params), solution.states))

    shares = {name: [] for name in variants}
    for name, system in variants.items():
        train = jax.jit(
            jax.vmap(
                lambda state, key, s=system: scan_steps(s.train_step, state, (), key, chunk)[0]
            )
        )
        states = jax.jit(jax.vmap(system.init_state))(keys)
        for _ in range(steps // chunk):
            states = train(states, keys)
            shares[name].append(
                [share(jax.tree.map(lambda x, i=i: x[i], states.params)) for i in range(seeds)]
            )
    curves = {name: np.array(x).T for name, x in shares.items()}
    metrics = family("first_share_{}", {name: x[:, 0].mean() for name, x in curves.items()})
    metrics |= family("last_share_{}", {name: x[:, -1].mean() for name, x in curves.items()})
    at = chunk * np.arange(1, steps // chunk + 1)
    return Result(metrics, {"starts.png": draw_starts(at, curves)})


def draw_starts(steps: np.ndarray, curves: dict[str, np.ndarray]):
    """The share of optimal moves over training steps: the mean and the range over seeds."""
    figure, (ax,) = figures.panels()
    for name, shares_ST in curves.items():
        (line,) = ax.plot(steps, shares_ST.mean(0), "o-", label=name.replace("_", " "))
        ax.fill_between(
            steps, shares_ST.min(0), shares_ST.max(0), color=line.get_color(), alpha=0.2
        )
    ax.set(
        title=f"network alone, {len(shares_ST)} seeds",
        xlabel="training steps",
        ylabel="share of optimal moves",
    )
    return figures.legends(figure)
