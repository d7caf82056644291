"""The comparison of CQL, offline DQN and cloning on the same data, over seeds."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.state import Result, System
from panorax.core.study import family
from panorax.rl.offline.dataset import TRAINED, Dataset, episode_returns
from panorax.rl.offline.training import train_seeds
from panorax.rl.seeds import standard_error


def report(
    methods: dict[str, System],
    data: Callable[[], Dataset],
    run: Run,
    batch: int,
    seeds: int,
) -> Result:
    """Trains each of the methods "cql", "dqn" and "bc" with the same seeds.

    Metrics: `<method>_return` and `<method>_return_error`, the mean evaluated return over seeds and
    its standard error; `cql_above_<method>`, the smallest difference of a seed;
    `mean_cql_above_<method>`, the mean difference; `<method>_unseen_q`, how far the largest Q at
    actions that the data lacks lies above Q at actions of the data; `data_return`, the mean return
    of the data.
    """
    arrays = {name: jnp.asarray(data()[name]) for name in TRAINED}
    batch_of = lambda row_B: jax.tree.map(lambda x: x[row_B], arrays)
    results = {
        name: train_seeds(system, batch_of, len(arrays["action"]), run, batch, seeds)
        for name, system in methods.items()
    }
    returns = {name: evaluation["eval_return"] for name, (_, evaluation) in results.items()}
    curves = {name: curves for name, (curves, _) in results.items()}
    gaps = {name: c["q_of_unseen"][:, -1] - c["q_of_data"][:, -1] for name, c in curves.items()}
    metrics = {"data_return": float(episode_returns(data()).mean())}
    metrics |= family("{}_return", {name: x.mean() for name, x in returns.items()})
    metrics |= family("{}_return_error", {n: standard_error(x) for n, x in returns.items()})
    above = {name: returns["cql"] - x for name, x in returns.items() if name != "cql"}
    metrics |= family("cql_above_{}", {name: x.min() for name, x in above.items()})
    metrics |= family("mean_cql_above_{}", {name: x.mean() for name, x in above.items()})
    metrics |= family("{}_unseen_q", {name: gaps[name].mean() for name in ("cql", "dqn")})
    figure = draw_methods(returns, metrics["data_return"], curves, run)
    return Result(metrics, {"methods.png": figure})


def draw_methods(returns: dict, data_return: float, curves: dict, run: Run):
    """Returns of all seeds beside the return of the data, and Q-values over steps."""
    figure, (ax, q_ax) = figures.panels(2)
    draw_returns(ax, returns, data_return)
    for name, color in zip(("cql", "dqn"), figures.COLORS):
        chunks = curves[name]["q_of_data"].shape[1]
        steps = np.minimum(run.chunk * np.arange(1, chunks + 1), run.steps)
        of_data, best_other = (curves[name][of].mean(0) for of in ("q_of_data", "q_of_unseen"))
        q_ax.plot(steps, of_data, color=color, label=f"{name}, actions of the data")
        q_ax.plot(steps, best_other, "--", color=color, label=f"{name}, best other")
    q_ax.set(xlabel="steps", ylabel="Q, discounted return")
    return figures.legends(figure)


def draw_returns(ax, returns: dict, data_return: float) -> None:
    """A column for each method: a point per seed. A dotted line: the mean return of the data."""
    for i, (name, values) in enumerate(returns.items()):
        ax.plot(np.full(len(values), i), values, "o", label=name.replace("_", " "))
    ax.axhline(data_return, color="grey", ls=":", label="data")
    ax.set_xticks(range(len(returns)), [name.replace("_", " ") for name in returns])
    ax.set(xlabel="method, a point per seed", ylabel="evaluated return")
    ax.set_xlim(-0.5, len(returns) - 0.5)
