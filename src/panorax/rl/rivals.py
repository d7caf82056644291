"""Other algorithms of an environment, named by their configs and trained for as many steps."""

import dataclasses
import pkgutil
from collections.abc import Sequence

import jax
import numpy as np

from panorax.core.config import Run, module_of
from panorax.core.errors import UserError
from panorax.core.state import Result, System
from panorax.core.study import family
from panorax.rl.seeds import standard_error, train_seeds


def configured(name: str):
    """The config that the function `name` returns, such as panorax.configs.rl.ppo:get_config.

    Raises UserError if there is no such function.
    """
    try:
        return pkgutil.resolve_name(name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"no config {name!r}; it is written module:function ({error})") from error


def rivals(
    names: Sequence[str], environment, environment_steps: int
) -> dict[str, tuple[System, Run]]:
    """The named algorithms and their runs of `environment_steps` steps, by the algorithm's name.

    Their schedules end after these steps too. Random steps that fill a replay before the first
    training step are not counted. Raises UserError for an algorithm of another environment.
    """
    found = {}
    for name in names:
        cfg = configured(name)
        if cfg.environment != environment:
            raise UserError(f"{name} acts in {cfg.environment}, and not in {environment}")
        per_step = module_of(cfg).system(cfg).per_step["environment_steps"]
        steps = max(1, round(environment_steps / per_step))
        cfg = dataclasses.replace(cfg, run=dataclasses.replace(cfg.run, steps=steps), seeds=0)
        found[module_of(cfg).__name__.rpartition(".")[2]] = module_of(cfg).system(cfg), cfg.run
    return found


def trained(named: dict[str, tuple[System, Run]], seeds: int, key: jax.Array) -> Result:
    """Evaluated returns of every rival over `seeds` seeds: mean, standard error and smallest."""
    returns: dict[str, np.ndarray] = {}
    for (name, (system, run)), key_rival in zip(named.items(), jax.random.split(key, len(named))):
        _, evaluation = train_seeds(system, run, jax.random.split(key_rival, seeds))
        returns[name] = evaluation["eval_return"]
    over = lambda function: {name: function(x) for name, x in returns.items()}
    metrics = family("{}_mean_eval_return", over(np.mean))
    metrics |= family("{}_standard_error", over(standard_error))
    return Result(metrics | family("{}_min_eval_return", over(np.min)))
