"""Behaviour cloning of offline data over seeds, beside which other methods are measured.

Training minimises -E log pi(a | s) of `panorax.rl.imitation.cloning` on random transitions. With a
share below 1 only the episodes with the highest returns are imitated, which is %BC of Chen et al.
2021, arXiv:2106.01345, section 5.1.
"""

import jax
import jax.numpy as jnp

from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, PositiveShare, checked
from panorax.rl.environments.environment import Environments
from panorax.rl.imitation.cloning import fit, mode
from panorax.rl.imitation.experts import Labels
from panorax.rl.offline.dataset import Dataset
from panorax.rl.policies import mlp
from panorax.rl.rollout import first_episodes


@checked
class Config:
    """Behaviour cloning."""

    policy: mlp.Config = mlp.Config((128, 128), "relu")
    """network of the policy"""
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
    policy = mlp.policy(cfg.policy, envs.shape, envs.actions)
    tx = optimizer(cfg.optim, cfg.steps, policy.spec)
    view, action = jnp.asarray(data["view"]), jnp.asarray(data["action"])

    def labels(key) -> Labels:
        rows = jax.random.randint(key, (cfg.batch,), 0, len(action))
        return Labels(view[rows], action[rows], jnp.ones(cfg.batch))

    def returns(key):
        key_fit, key_eval = jax.random.split(key)
        params = fit(policy, labels, key_fit, tx, cfg.steps)
        return jnp.mean(first_episodes(mode(params, policy), envs, (), key_eval)[0])

    return jax.jit(jax.vmap(returns))(jax.random.split(key, seeds))
