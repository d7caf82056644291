"""Methods that learn from the same offline data, over seeds that are trained in parallel."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.state import Result, System
from panorax.core.step import evaluated, scan_steps
from panorax.core.study import family
from panorax.rl.offline.dataset import TRAINED, Dataset, episode_returns


def train_seed(system: System, arrays: Dataset, run: Run, batch: int, key: jax.Array):
    """A run on random batches of `arrays`; returns (curves, evaluation) as `seeds.train_seed`."""
    key_init, key_train, key_eval = jax.random.split(key, 3)

    def chunk(state, key):
        key_rows, key_steps = jax.random.split(key)
        rows = jax.random.randint(key_rows, (run.chunk, batch), 0, len(arrays["action"]))
        batches = jax.tree.map(lambda x: x[rows], arrays)
        return scan_steps(system.train_step, state, batches, key_steps, run.chunk)

    keys = jax.random.split(key_train, run.steps // run.chunk)
    state, curves = jax.lax.scan(chunk, system.init_state(key_init), keys)
    return curves, evaluated(system.evaluate, state, system.held_out(), key_eval)


def report(
    methods: dict[str, System],
    data: Callable[[], Dataset],
    run: Run,
    batch: int,
    seeds: int,
    key: jax.Array,
) -> Result:
    """Trains each of the methods "cql", "dqn" and "bc" with the same seeds.

    Metrics: `<method>_return`, the mean evaluated return over seeds; `cql_above_<method>`, the
    smallest difference of a seed; `<method>_unseen_q`, how far the largest Q at actions that the
    data lacks lies above Q at actions of the data; `data_return`, the mean return of the data.
    """
    arrays = {name: jnp.asarray(data()[name]) for name in TRAINED}
    keys = jax.random.split(key, seeds)
    train = lambda system: jax.jit(
        jax.vmap(lambda key: train_seed(system, arrays, run, batch, key))
    )(keys)
    results = {name: jax.device_get(train(system)) for name, system in methods.items()}
    returns = {name: evaluation["eval_return"] for name, (_, evaluation) in results.items()}
    curves = {name: curves for name, (curves, _) in results.items()}
    gaps = {name: c["q_of_unseen"][:, -1] - c["q_of_data"][:, -1] for name, c in curves.items()}
    metrics = {"data_return": float(episode_returns(data()).mean())}
    metrics |= family("{}_return", {name: x.mean() for name, x in returns.items()})
    others = {name: x for name, x in returns.items() if name != "cql"}
    metrics |= family("cql_above_{}", {n: (returns["cql"] - x).min() for n, x in others.items()})
    metrics |= family("{}_unseen_q", {name: gaps[name].mean() for name in ("cql", "dqn")})
    figure = draw_methods(returns, metrics["data_return"], curves, run)
    return Result(metrics, {"methods.png": figure})


def draw_methods(returns: dict, data_return: float, curves: dict, run: Run):
    """Returns of all seeds beside the return of the data, and Q-values over steps."""
    figure, (ax, q_ax) = figures.panels(2)
    for i, (name, values) in enumerate(returns.items()):
        ax.plot(np.full(len(values), i), values, "o", label=name)
    ax.axhline(data_return, color="grey", ls=":", label="data")
    ax.set_xticks(range(len(returns)), list(returns))
    ax.set(xlabel="method, a point per seed", ylabel="evaluated return", xlim=(-0.5, 2.5))
    for name in ("cql", "dqn"):
        steps = run.chunk * np.arange(1, curves[name]["q_of_data"].shape[1] + 1)
        q_ax.plot(steps, curves[name]["q_of_data"].mean(0), label=f"{name}, actions of the data")
        q_ax.plot(steps, curves[name]["q_of_unseen"].mean(0), "--", label=f"{name}, best other")
    q_ax.set(xlabel="steps", ylabel="Q, discounted return")
    return figures.legends(figure)
