"""Experts trained by an on-policy algorithm, labels of their actions, and demonstrations."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from panorax.core.config import module_of
from panorax.core.errors import UserError
from panorax.core.step import scan_steps
from panorax.rl import on_policy
from panorax.rl.environments.environment import Environments
from panorax.rl.on_policy import Rollouts
from panorax.rl.rivals import configured
from panorax.rl.rollout import Act, first_episode, rollout, start


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
    cfg = configured(name)
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


def demonstrations(act: Act, envs: Environments, key: jax.Array, stride: int) -> Labels:
    """One episode of a policy without memory in each environment; keeps every `stride`-th step.

    The first kept step is a random one of the first `stride` steps. The labels are those of one
    episode after another, T // stride of each; labels after the end of an episode have weight 0.
    Source: Ho & Ermon 2016, arXiv:1606.03476, section 6.
    """
    key_start, key_steps, key_offset = jax.random.split(key, 3)
    steps = rollout(act, envs, start(envs, (), key_start), key_steps, envs.max_steps)[1]
    kept = envs.max_steps // stride
    offset_N = jax.random.randint(key_offset, (envs.n,), 0, stride)
    time_NK = offset_N[:, None] + stride * jnp.arange(kept)[None]
    pick = lambda x: x[time_NK, jnp.arange(envs.n)[:, None]].reshape(-1, *x.shape[2:])
    weight_TN = first_episode(steps).astype(jnp.float32)
    return Labels(pick(steps.observation.view), pick(steps.action), pick(weight_TN))
