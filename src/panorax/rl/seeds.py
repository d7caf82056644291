"""The same training for many seeds at once: is it the algorithm that learns, or one lucky seed?"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.config import Run
from panorax.core.state import Result, System
from panorax.core.step import evaluated, scan_steps
from panorax.rl.environments.environment import Environments
from panorax.rl.policies import actions
from panorax.rl.rollout import first_episodes


def train_seed(system: System, run: Run, key: jax.Array):
    """All of a run as one pure function of its key: `(state, curves, evaluation)`, the curves one value per chunk of steps."""
    key_init, key_train, key_eval = jax.random.split(key, 3)
    steps = lambda state, n: scan_steps(system.train_step, state, (), key_train, n)
    state, curves = jax.lax.scan(
        lambda state, _: steps(state, run.chunk),
        system.init_state(key_init),
        length=run.steps // run.chunk,
    )
    if run.steps % run.chunk:
        state, rest = steps(state, run.steps % run.chunk)
        curves = jax.tree.map(jnp.append, curves, rest)
    return state, curves, evaluated(system.evaluate, state, system.held_out(), key_eval)


def learning_curves(
    system: System, run: Run, seeds: int, envs: Environments, key: jax.Array
) -> Result:
    """Trains `seeds` seeds side by side; the worst and mean of their evaluations, beside those of random actions in `envs`, and their curves."""
    key_random, key_seeds = jax.random.split(key)
    baseline, _ = jax.jit(lambda key: first_episodes(_random(envs), envs, (), key))(key_random)
    train = jax.jit(jax.vmap(lambda key: train_seed(system, run, key)[1:]))
    curves, evaluation = jax.device_get(train(jax.random.split(key_seeds, seeds)))
    returns = evaluation["eval_return"]
    random_return = float(jnp.mean(baseline))
    metrics = {
        "random_return": random_return,
        f"min_eval_return_over_{seeds}_seeds": float(returns.min()),
        f"mean_eval_return_over_{seeds}_seeds": float(returns.mean()),
    }
    return Result(metrics, {"learning_curves.png": _figure(curves["return"], run, random_return)})


def _random(envs: Environments) -> Callable:
    return lambda memory, observation, first, key: (
        memory,
        actions.uniform(envs.actions, observation, envs.n, key),
    )


def _figure(returns: np.ndarray, run: Run, random_return: float):
    from matplotlib.figure import Figure

    figure = Figure((6, 4), layout="constrained")
    axes = figure.subplots()
    steps = np.minimum(run.chunk * np.arange(1, returns.shape[1] + 1), run.steps)
    for seed, curve in enumerate(returns):
        axes.plot(steps, curve, lw=1, label=f"seed {seed}")
    axes.axhline(random_return, color="grey", ls=":", label="random actions")
    axes.set(xlabel="training step", ylabel="return of the last episodes")
    axes.legend(frameon=False)
    return figure
