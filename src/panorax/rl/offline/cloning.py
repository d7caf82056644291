"""Behaviour cloning of discrete actions: a network of the view imitates the actions of the data.

Training minimises the cross entropy of the actions, -log p(a | s), on random transitions; the
policy takes the likeliest action. With a share below 1 only the episodes with the highest returns
are imitated, which is %BC of Chen et al. 2021, arXiv:2106.01345, section 5.1.
"""

import jax
import jax.numpy as jnp

from panorax.core import spec as core_spec
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, PositiveShare, checked
from panorax.core.step import descend
from panorax.ops.losses import cross_entropy
from panorax.rl.actor_critic import acting
from panorax.rl.environments.environment import Environments
from panorax.rl.offline.dataset import Dataset
from panorax.rl.q_values.networks import Mean, q_network
from panorax.rl.rollout import first_episodes
from panorax.rl.torsos import mlp


@checked
class Config:
    """Behaviour cloning."""

    torso: mlp.Config = mlp.Config((128, 128))
    """hidden layers of the policy"""
    optim: Optimizer = AdamW(peak_lr=1e-3)
    """optimiser of the policy"""
    steps: Count = 3000
    """number of updates"""
    batch: Count = 128
    """transitions of an update"""
    top: PositiveShare = 0.1
    """share of the episodes, those with the highest returns, that %BC imitates"""


def cloned_returns(
    cfg: Config, data: Dataset, envs: Environments, key: jax.Array, seeds: int
) -> jax.Array:
    """Mean returns in `envs` of policies that are trained on `data` with different seeds, (S,)."""
    network = q_network(cfg.torso, envs.shape, envs.actions, False, Mean())
    tx = optimizer(cfg.optim, cfg.steps, network.spec)
    view, action = jnp.asarray(data["view"]), jnp.asarray(data["action"])
    logits = lambda params, view_B: network.values(network.apply(params, view_B))

    def loss(params, key):
        rows = jax.random.randint(key, (cfg.batch,), 0, len(action))
        return jnp.mean(cross_entropy(logits(params, view[rows]), action[rows]))

    def train(key):
        key_init, key_steps, key_eval = jax.random.split(key, 3)
        params = core_spec.init(network.spec, key_init)
        params, _ = descend(loss, tx, params, jax.random.split(key_steps, cfg.steps))
        act = acting(lambda view, key: jnp.argmax(logits(params, view), -1))
        return jnp.mean(first_episodes(act, envs, (), key_eval)[0])

    return jax.jit(jax.vmap(train))(jax.random.split(key, seeds))
