"""Discriminators of adversarial imitation, and the rewards that they give.

A discriminator D(s, a) = sigmoid(d(s, a)) separates the expert's pairs from the policy's pairs:

    loss = -E_expert[log D] - E_pi[log(1 - D)] + penalty / 2 E[|grad d|^2]

The best D is rho_expert / (rho_expert + rho_pi) with the visits rho of pairs, so that d is the log
ratio of the visits. Without the penalty, the loss is then 2 log 2 - 2 JS(rho_expert, rho_pi). The
penalty on the pairs of both keeps d smooth.
Source: Ho & Ermon 2016, arXiv:1606.03476; Mescheder et al. 2018, arXiv:1801.04406 (penalty).
"""

import math

import jax
import jax.numpy as jnp

from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.ops.losses import weighted_mean
from panorax.rl import moments
from panorax.rl.environments.environment import Discrete, Space
from panorax.rl.torsos import mlp

REWARDS = {
    "log_ratio": lambda d: d,
    "survival": jax.nn.softplus,
    "penalty": lambda d: -jax.nn.softplus(-d),
    "constant": jnp.ones_like,
}
"""reward of a pair from the logit d of D"""


def network(cfg: mlp.Config, shape: tuple[int, ...], space: Space):
    """Parameters of d, and d(params, pair_BI) -> (B,)."""
    size = math.prod(shape) + (space.n if isinstance(space, Discrete) else len(space.low))
    torso = mlp.torso(cfg, (size,))
    spec = {"torso": torso.spec, "head": dense_spec(torso.width, 1, fan_in(1.0))}

    def apply(params, pair_BI):
        return dense(params["head"], torso.apply(params["torso"], pair_BI))[..., 0]

    return spec, apply


def pairs(view, action, observed: moments.Moments, space: Space) -> jax.Array:
    """Standardised views beside actions, (..., I).

    Discrete actions are one-hot. Continuous actions are clipped to their bounds, as the environment
    clips them.
    """
    view = moments.standardize(view, observed)
    if isinstance(space, Discrete):
        action = jax.nn.one_hot(action, space.n)
    else:
        ends = (
            jnp.array(x).reshape((1,) * (action.ndim - 1) + (-1,)) for x in (space.low, space.high)
        )
        action = jnp.clip(action, *ends)
    return jnp.concatenate([view.reshape(*action.shape[:-1], -1), action], -1)


def loss_fn(params, extra, policy_BI, key, expert_MI, weight_M, d, penalty: float):
    """Loss of the discriminator, as in the module's equation; its metrics leave out the penalty.

    policy_BI, expert_MI: pairs of the policy and of the expert.
    weight_M: weights of the expert's pairs.
    """
    of_policy, of_expert = jnp.mean, lambda x_M: weighted_mean(x_M, weight_M)
    policy_B, expert_M = d(params, policy_BI), d(params, expert_MI)
    loss = of_policy(jax.nn.softplus(policy_B)) + of_expert(jax.nn.softplus(-expert_M))
    slope = lambda x: jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(d(params, x)))(x)), -1)
    rough = of_policy(slope(policy_BI)) + of_expert(slope(expert_MI))
    accuracy = (of_policy(policy_B < 0) + of_expert(expert_M > 0)) / 2
    metrics = {"discriminator_loss": loss, "accuracy": accuracy}
    return loss + penalty / 2 * rough, (extra, metrics)
