"""Training vmapped over seeds, which separates the algorithm from the luck of a single seed."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.state import Result, System
from panorax.core.step import evaluated, scan_steps
from panorax.core.study import family, joined
from panorax.rl.environments.environment import Environments
from panorax.rl.play import draw_frames
from panorax.rl.policies import actions
from panorax.rl.rollout import Act, first_episodes


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


class Curves(NamedTuple):
    """Metrics of the training of many seeds."""

    values: dict[str, np.ndarray]
    """each metric of the training step, averaged over each chunk of steps, (S, T)"""
    steps: np.ndarray
    """environment steps at the end of each chunk, (T,)"""

    def draw(self, ax, values_ST: np.ndarray) -> None:
        """Draws one line per seed over environment steps."""
        for seed, curve in enumerate(values_ST):
            ax.plot(self.steps, curve, lw=1, label=f"seed {seed}")
        ax.set(xlabel="environment steps")
        ax.locator_params(axis="x", nbins=5)


def train_seeds(
    system: System, run: Run, keys: jax.Array, before: int = 0
) -> tuple[Curves, dict[str, np.ndarray]]:
    """Whole runs side by side, one per key: their curves, and their evaluations, each (S,).

    before: environment steps that precede the first training step.
    """
    train = jax.jit(jax.vmap(lambda key: train_seed(system, run, key)[1:]))
    values, evaluation = jax.device_get(train(keys))
    steps = np.minimum(run.chunk * np.arange(1, values["return"].shape[1] + 1), run.steps)
    return Curves(values, before + system.per_step["environment_steps"] * steps), evaluation


def no_measures(curves: Curves) -> Result:
    """Measures nothing beside the returns."""
    return Result({})


def report_of(
    system: System,
    run: Run,
    seeds: int,
    envs: Environments,
    measure: Callable[[Curves], Result] = no_measures,
    before: int = 0,
) -> Callable:
    """The report of a system that trains `seeds` seeds in parallel, and shows an episode.

    measure: further metrics and figures of the learning curves.
    before: environment steps that precede the first training step.
    Raises UserError for environments on the host, which cannot be vmapped over seeds.
    """
    require_device(envs, seeds)

    def report(state, key):
        key_curves, key_play = jax.random.split(key)
        curves = learning_curves(system, run, seeds, envs, key_curves, measure, before)
        episode = system.play(state, key_play)[0]
        shown = {"episode.png": draw_frames(episode)} if episode.frames else {}
        return joined([curves, Result({}, shown)])

    return report


def require_device(envs: Environments, seeds: int) -> None:
    """Raises UserError for environments on the host, which cannot be vmapped over seeds."""
    if envs.on_host:
        raise UserError(
            f"these environments run on the host, and the report cannot train {seeds} seeds of "
            "them in parallel: add --seeds 0"
        )


def standard_error(x_S: np.ndarray) -> float:
    """Standard error of the mean of S independent numbers, 0 for a single number."""
    return float(np.std(x_S, ddof=1) / len(x_S) ** 0.5) if len(x_S) > 1 else 0.0


def learning_curves(
    system: System,
    run: Run,
    seeds: int,
    envs: Environments,
    key: jax.Array,
    measure: Callable[[Curves], Result] = no_measures,
    before: int = 0,
) -> Result:
    """Trains `seeds` seeds in parallel and draws their learning curves.

    The metrics are the smallest and the mean evaluated return over seeds, the standard error of
    this mean, `random_return`, the mean return of uniformly random actions in `envs`,
    `environment_steps`, those of one seed, and those of `measure`.
    """
    key_random, key_seeds = jax.random.split(key)
    baseline, _ = jax.jit(lambda key: first_episodes(random_actions(envs), envs, (), key))(
        key_random
    )
    curves, evaluation = train_seeds(system, run, jax.random.split(key_seeds, seeds), before)
    returns = evaluation["eval_return"]
    random_return = float(jnp.mean(baseline))
    metrics = {"random_return": random_return, "environment_steps": float(curves.steps[-1])}
    metrics |= family("min_eval_return_over_{}_seeds", {seeds: returns.min()})
    metrics |= family("mean_eval_return_over_{}_seeds", {seeds: returns.mean()})
    if seeds > 1:
        metrics |= family("standard_error_over_{}_seeds", {seeds: standard_error(returns)})
    figure = draw_curves(curves, random_return)
    return joined([Result(metrics, {"learning_curves.png": figure}), measure(curves)])


def random_actions(envs: Environments) -> Act:
    """The policy that samples uniformly among the legal actions or within the Box."""
    return lambda memory, observation, first, key: (
        memory,
        actions.uniform(envs.actions, observation, envs.n, key),
    )


def draw_curves(curves: Curves, random_return: float):
    """The mean return of finished episodes over environment steps, a line per seed."""
    figure, (ax,) = figures.panels(width=6, height=4)
    curves.draw(ax, curves.values["return"])
    ax.axhline(random_return, color="grey", ls=":", label="random actions")
    ax.set(ylabel="mean return of the last episodes")
    return figures.legends(figure)
