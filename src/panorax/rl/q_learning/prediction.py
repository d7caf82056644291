"""Prediction: n-step TD and TD(lambda) on the random walk of 19 states."""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.maths.estimates import mean_interval
from panorax.maths.mdp import problems
from panorax.rl.q_learning.agents import Agent, n_step_sarsa, sarsa_lambda
from panorax.rl.q_learning.learning import Learner, Schedule, learn_episodes

STATES = 19
TRUE = np.linspace(-1, 1, STATES + 2)[1:-1]
"""values of the states of the walk"""


def rms(Q: jax.Array) -> jax.Array:
    """Root mean square error of the values of the walk."""
    return jnp.sqrt(jnp.mean(jnp.square(Q[1:-1, 0] - TRUE)))


def error(agent: Agent, alpha, key, episodes: int) -> jax.Array:
    """The root mean square error after each episode, mean over `episodes`."""
    learner = Learner(agent, Schedule(alpha), Schedule(0.0))
    _, record = learn_episodes(learner, problems.random_walk(STATES), key, episodes, rms)
    return jnp.mean(record.measured)


def errors(agent_of, options, key, cfg) -> np.ndarray:
    """Errors (options, step sizes, runs) of the agents agent_of(option), options being traced."""
    one = lambda option, alpha, key: error(agent_of(option), alpha, key, cfg.walk_episodes)
    over_runs = jax.vmap(one, (None, None, 0))
    over_alphas = jax.vmap(over_runs, (None, 0, None))
    every = jax.jit(jax.vmap(over_alphas, (0, None, None)))
    keys = jax.random.split(key, cfg.walk_runs)
    return np.asarray(every(jnp.array(options), jnp.array(cfg.walk_alphas), keys))


def walk(key, cfg) -> Result:
    """Sutton & Barto's figures 7.2 and 12.3: errors over the step size, n and lambda."""
    by_n = [errors(lambda _, n=n: n_step_sarsa(n), [0.0], key, cfg)[0] for n in cfg.horizons]
    found = {
        "n": dict(zip(cfg.horizons, by_n)),
        "td_lambda": dict(
            zip(
                cfg.lambdas,
                errors(lambda x: sarsa_lambda(x, "accumulating"), cfg.lambdas, key, cfg),
            )
        ),
        "true_online": dict(
            zip(cfg.lambdas, errors(lambda x: sarsa_lambda(x, "dutch"), cfg.lambdas, key, cfg))
        ),
    }
    metrics = {}
    for name, by_option in found.items():
        runs = {option: best_runs(x) for option, x in by_option.items()}
        means = {option: x.mean() for option, x in runs.items()}
        best = min(means, key=means.get)
        first, last = list(means)[0], list(means)[-1]
        metrics |= family("rms_{}_{}", {(name, f"{option:g}"): x for option, x in means.items()})
        metrics |= family("rms_{}_{}", {(name, "best"): means[best]})
        metrics |= family("best_{}", {name: best})
        ends = {"first": first, "best": best, "last": last}
        intervals = {end: mean_interval(runs[option]) for end, option in ends.items()}
        metrics |= family("rms_{}_{}_low", {(name, end): x[0] for end, x in intervals.items()})
        metrics |= family("rms_{}_{}_high", {(name, end): x[1] for end, x in intervals.items()})
    return Result(metrics, {"walk.png": draw_walk(found, cfg)})


def best_runs(error_AN: np.ndarray) -> np.ndarray:
    """Errors (runs,) at the step size of the smallest mean error."""
    means = error_AN.mean(1)
    return error_AN[np.nanargmin(means)]


def draw_walk(found: dict[str, dict], cfg):
    """Mean errors over the step size with 95% intervals, a line for each n or lambda."""
    titles = {
        "n": "n-step TD",
        "td_lambda": "TD($\\lambda$)",
        "true_online": "true online TD($\\lambda$)",
    }
    figure, axes = figures.panels(columns=3, width=3.8)
    for ax, (name, by_option) in zip(axes, found.items()):
        for option, error_AN in by_option.items():
            error_AN = np.where(error_AN < 10, error_AN, np.nan)  # divergence
            mean = error_AN.mean(1)
            half = 1.96 * error_AN.std(1, ddof=1) / error_AN.shape[1] ** 0.5
            symbol = "n" if name == "n" else "$\\lambda$"
            label = f"{symbol} = {option:g}"
            ax.errorbar(cfg.walk_alphas, mean, half, capsize=2, lw=1.2, label=label)
        ax.set(
            title=titles[name], xlabel="step size $\\alpha$", ylabel="RMS error", ylim=(0.2, 0.75)
        )
    return figures.legends(figure, fontsize=7, ncols=3, loc="upper center", frameon=True)
