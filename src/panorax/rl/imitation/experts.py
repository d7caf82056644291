"""Experts trained by an on-policy algorithm, and labels of their actions."""

import functools
import pkgutil
from typing import NamedTuple

import jax

from panorax.core.config import module_of
from panorax.core.errors import UserError
from panorax.core.step import scan_steps
from panorax.rl import on_policy
from panorax.rl.on_policy import Rollouts
from panorax.rl.rollout import Act


class Labels(NamedTuple):
    """States with the actions of an expert."""

    view: jax.Array
    """views (M, *shape)"""
    action: jax.Array
    """the expert's actions (M, ...)"""
    weight: jax.Array
    """weights in losses (M,)"""


def algorithm(name: str) -> Rollouts:
    """The config that the function `name` returns, such as panorax.configs.rl.ppo:get_config.

    Raises UserError if there is no such function, or its config is not that of an on-policy
    algorithm whose policy has no memory.
    """
    try:
        cfg = pkgutil.resolve_name(name)()
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"no config {name!r}; it is written module:function ({error})") from error
    if not isinstance(cfg, Rollouts):
        raise UserError(f"{name} configures no on-policy algorithm such as PPO or A2C")
    if cfg.policy.span > 1:
        raise UserError(f"the policy of {name} has a memory, and demonstrations are single steps")
    return cfg


@functools.cache
def expert(cfg: Rollouts) -> Act:
    """The mode of the policy that the algorithm with the config `cfg` has trained.

    cfg: config of PPO, A2C or TRPO. `cfg.run` has the number of steps and the seed.
    """
    system = module_of(cfg).system(cfg)
    policy = on_policy.parts(cfg)[2]

    @jax.jit
    def train(key):
        key_init, key_train = jax.random.split(key)
        state = system.init_state(key_init)
        return scan_steps(system.train_step, state, (), key_train, cfg.run.steps)[0]

    return on_policy.best(train(jax.random.key(cfg.run.seed)), policy, cfg)
