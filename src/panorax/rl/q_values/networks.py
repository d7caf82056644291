"""Networks of action values Q(s, a): a torso and a head, for the mean return or its distribution.

A head has K outputs per action. With K = 1 the output is Q. A categorical head has K logits of a
distribution over returns z_1 < ... < z_K, and Q(s, a) = sum_k p_k(s, a) z_k. A duelling head adds
outputs of the state and of the actions, V(s) + A(s, a) - mean_b A(s, b), for every k.
Source: Wang et al. 2016, arXiv:1511.06581; Bellemare et al. 2017, arXiv:1707.06887.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from panorax.core.config import module_of
from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.ops.two_hot import expectation
from panorax.rl.environments.environment import Discrete, Space


@checked
class Mean:
    """The network learns the mean of the return."""


@checked
class Categorical:
    """The network learns the distribution of the return over equally spaced atoms (C51)."""

    atoms: Count = 51
    """number of atoms [K]"""
    low: float = -10.0
    """smallest return"""
    high: float = 10.0
    """largest return"""

    def __post_init__(self):
        if self.atoms < 2 or self.low >= self.high:
            raise ValueError(
                f"a distribution needs at least 2 atoms from a smaller to a larger return, got "
                f"{self.atoms} atoms from {self.low:g} to {self.high:g}"
            )


@dataclass(frozen=True)
class QNetwork:
    """Action values for one shape of views and A actions."""

    spec: Any
    """parameters, a tree of P"""
    apply: Callable
    """apply(params, view) -> outputs (*batch, A, K) of views (*batch, *shape)"""
    atoms: jax.Array | None
    """returns z of a categorical head (K,), None if the output is the mean"""

    def values(self, outputs: jax.Array) -> jax.Array:
        """Q-values (*batch) of outputs (*batch, K)."""
        return outputs[..., 0] if self.atoms is None else expectation(outputs, self.atoms)


def actions_of(space: Space) -> int:
    """The number of actions. Raises UserError for an action space that is not Discrete."""
    if not isinstance(space, Discrete):
        raise UserError(
            f"Q-learning compares a finite number of actions; this environment has {space}"
        )
    return space.n


def q_network(
    torso_cfg, shape: tuple[int, ...], space: Space, dueling: bool, returns: Mean | Categorical
) -> QNetwork:
    """The network with the torso of `torso_cfg` for views of `shape`.

    Raises UserError for an action space that is not Discrete or a torso that cannot see the views.
    """
    A = actions_of(space)
    K = returns.atoms if isinstance(returns, Categorical) else 1
    try:
        torso = module_of(torso_cfg).torso(torso_cfg, shape)
    except ValueError as error:
        raise UserError(str(error)) from error
    spec = {"torso": torso.spec, "actions": dense_spec(torso.width, A * K, fan_in(0.1))}
    if dueling:
        spec["state"] = dense_spec(torso.width, K, fan_in(0.1))

    def apply(params, view):
        features = torso.apply(params["torso"], view.astype(jnp.float32))
        outputs = dense(params["actions"], features).reshape(*features.shape[:-1], A, K)
        if dueling:
            outputs = outputs - jnp.mean(outputs, -2, keepdims=True)
            outputs = outputs + dense(params["state"], features)[..., None, :]
        return outputs

    if K == 1:
        return QNetwork(spec, apply, None)
    return QNetwork(spec, apply, jnp.linspace(returns.low, returns.high, K))


def of_action(outputs: jax.Array, action: jax.Array) -> jax.Array:
    """The outputs (*batch, K) of these actions (*batch), from outputs (*batch, A, K)."""
    return jnp.take_along_axis(outputs, action[..., None, None], -2)[..., 0, :]
