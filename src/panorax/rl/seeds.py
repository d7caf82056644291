"""Training vmapped over seeds, which separates the algorithm from the luck of a single seed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.state import Result, System
from panorax.core.step import evaluated, scan_steps
from panorax.core.study import family
from panorax.rl.environments.environment import Environments
from panorax.rl.policies import actions
from panorax.rl.rollout import first_episodes


def train_seed(system: System, run: Run, key: jax.Array):
    """A whole run as a pure function of its key; returns (state, curves, evaluation).

    curves: each metric of the training step, one value per chunk of `run.chunk` steps.
    evaluation: each metric of `system.evaluate` after the last step.
    """
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


def report_of(system: System, run: Run, seeds: int, envs: Environments) -> Callable:
    """The report of a system that trains `seeds` seeds in parallel, on any final state.

    Raises UserError for environments on the host, which cannot be vmapped over seeds.
    """
    if envs.on_host:
        raise UserError(
            f"these environments run on the host, and the report cannot train {seeds} seeds of "
            "them in parallel: add --seeds 0"
        )
    return lambda state, key: learning_curves(system, run, seeds, envs, key)


def learning_curves(
    system: System, run: Run, seeds: int, envs: Environments, key: jax.Array
) -> Result:
    """Trains `seeds` seeds in parallel and draws their learning curves.

    The metrics are the smallest and the mean evaluated return over seeds, the standard error of
    this mean, and `random_return`, the mean return of uniformly random actions in `envs`.
    """
    key_random, key_seeds = jax.random.split(key)
    baseline, _ = jax.jit(lambda key: first_episodes(_random(envs), envs, (), key))(key_random)
    train = jax.jit(jax.vmap(lambda key: train_seed(system, run, key)[1:]))
    curves, evaluation = jax.device_get(train(jax.random.split(key_seeds, seeds)))
    returns = evaluation["eval_return"]
    random_return = float(jnp.mean(baseline))
    metrics = {"random_return": random_return}
    metrics |= family("min_eval_return_over_{}_seeds", {seeds: returns.min()})
    metrics |= family("mean_eval_return_over_{}_seeds", {seeds: returns.mean()})
    if seeds > 1:
        error = returns.std(ddof=1) / seeds**0.5
        metrics |= family("standard_error_over_{}_seeds", {seeds: error})
    per_step = system.per_step["environment_steps"]
    figure = draw_curves(curves["return"], run, per_step, random_return)
    return Result(metrics, {"learning_curves.png": figure})


def _random(envs: Environments) -> Callable:
    return lambda memory, observation, first, key: (
        memory,
        actions.uniform(envs.actions, observation, envs.n, key),
    )


def draw_curves(return_ST: np.ndarray, run: Run, per_step: int, random_return: float):
    """The mean return of finished episodes over environment steps, a line per seed.

    per_step: environment steps of one training step.
    """
    figure, (ax,) = figures.panels(width=6, height=4)
    steps = np.minimum(run.chunk * np.arange(1, return_ST.shape[1] + 1), run.steps)
    for seed, curve in enumerate(return_ST):
        ax.plot(per_step * steps, curve, lw=1, label=f"seed {seed}")
    ax.axhline(random_return, color="grey", ls=":", label="random actions")
    ax.set(xlabel="environment steps", ylabel="mean return of the last episodes")
    ax.locator_params(axis="x", nbins=5)
    return figures.legends(figure)
