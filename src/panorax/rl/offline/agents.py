"""Named agents that make offline data on Pendulum with a few torques.

random          uniformly random torques
medium          SAC's policy early in its training
expert          SAC's policy late in its training
medium-expert   the episodes of medium, then those of expert
mixed           the episodes of random, then of medium, then of expert

The mode of the policy is rounded to the nearest torque, and sometimes replaced by a random torque.
"""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.ranges import Count, Share, Whole, checked
from panorax.core.step import scan_steps
from panorax.rl import actor_critic, sac
from panorax.rl.environments import from_gymnax
from panorax.rl.environments.environment import Environments
from panorax.rl.environments.wrappers import nearest_value
from panorax.rl.offline.dataset import Dataset, joined
from panorax.rl.rollout import Act, rollout, start
from panorax.rl.seeds import random_actions
from panorax.rl.torsos.mlp import Config as Layers

STEPS = {"medium": 300, "expert": 1500}
"""training steps of SAC's policy, each with 8 environment steps"""

MIXTURES = {"medium-expert": ("medium", "expert"), "mixed": ("random", "medium", "expert")}
"""agents of a mixture; each of them makes all episodes of the config"""


@checked
class Config:
    """Transitions of one agent, or of several agents one after another."""

    agent: Literal["random", "medium", "expert", "medium-expert", "mixed"] = "medium"
    """agent that acts, or mixture of agents"""
    torques: Count = 5
    """number of evenly spaced torques"""
    exploration: Share = 0.2
    """probability that medium and expert act at random in a step"""
    episodes: Count = 50
    """episodes of 200 steps, of each agent of a mixture"""
    seed: Whole = 0
    """seed of the agent and of its episodes"""


def environments(cfg: Config, n: int) -> Environments:
    """`n` copies of Pendulum with discrete torques."""
    return from_gymnax.environments(from_gymnax.Config("Pendulum-v1", values=cfg.torques), n)


@functools.cache
def dataset(cfg: Config) -> Dataset:
    """The transitions of all episodes, one episode after another."""
    if cfg.agent in MIXTURES:
        agents = MIXTURES[cfg.agent]
        return joined([dataset(dataclasses.replace(cfg, agent=agent)) for agent in agents])
    envs = environments(cfg, cfg.episodes)
    key_agent, key_start, key_steps = jax.random.split(jax.random.key(cfg.seed), 3)
    act = random_actions(envs) if cfg.agent == "random" else _trained(cfg, key_agent)

    @jax.jit
    def run(key_start, key_steps):
        return rollout(act, envs, start(envs, (), key_start), key_steps, envs.max_steps)[1]

    steps = jax.device_get(run(key_start, key_steps))
    arrays = {
        "view": steps.observation.view,
        "next_view": steps.next_observation.view,
        "action": steps.action,
        "reward": steps.reward,
        "terminated": steps.terminated,
        "truncated": steps.truncated,
    }
    by_episode = lambda x: np.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])
    return {name: by_episode(x) for name, x in arrays.items()}


def _trained(cfg: Config, key: jax.Array) -> Act:
    """SAC's policy after STEPS training steps, with random torques at the rate of exploration."""
    steps, layers = STEPS[cfg.agent], Layers((64, 64))
    optim = AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, clip=1e6)
    run = Run(steps=steps)
    options = sac.Config(actor=layers, critic=layers, optim=optim, run=run, batch=128, seeds=0)
    system = sac.system(options)
    train = lambda key: scan_steps(system.train_step, system.init_state(key), (), key, steps)[0]
    actor = jax.jit(train)(key).params["policy"]["actor"]
    nets = actor_critic.networks(options, (3,), 1, 2)

    def choose(view_N, key):
        key_explore, key_torque = jax.random.split(key)
        mode = sac.policy_of(actor, view_N, nets).mode()[:, 0]
        explores = jax.random.bernoulli(key_explore, cfg.exploration, mode.shape)
        torque = jax.random.randint(key_torque, mode.shape, 0, cfg.torques)
        return jnp.where(explores, torque, nearest_value(mode, cfg.torques))

    return actor_critic.acting(choose)
