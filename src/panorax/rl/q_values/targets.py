"""Targets and errors of Q-learning on sequences of transitions, for means and for distributions.

The return of the first m <= n steps of a sequence is bootstrapped at the state s' behind them:

    G = r_1 + ... + discount^(m-1) r_m + discount^m Q'(s', a*),    a* = argmax_a Q''(s', a)

m < n if the episode ends earlier, and a terminal s' has the value 0. Q' is the target network. Q''
is the target network too, or in double Q-learning the network that learns. For distributions, the
atoms z of Q' become r_1 + ... + discount^m z and are projected onto the atoms of the network.
Source: Mnih et al. 2015; van Hasselt et al. 2016, arXiv:1509.06461; Bellemare et al. 2017,
arXiv:1707.06887, algorithm 1; Hessel et al. 2018, arXiv:1710.02298.
"""

import jax
import jax.numpy as jnp
import optax

from panorax.ops.returns import n_step_returns
from panorax.ops.two_hot import projected
from panorax.rl.q_values.acting import of_legal
from panorax.rl.q_values.networks import QNetwork, of_action
from panorax.rl.replay.experience import Transition


def q_target(
    network: QNetwork, params, target, sequence: Transition, discount: float, double: bool
) -> jax.Array:
    """Targets of the first step of sequences (B, n, ...): G (B,), or probabilities (B, K).

    params, target: parameters of the network that learns, and of the target network.
    """
    ended_Bn = sequence.terminated | sequence.truncated
    n = ended_Bn.shape[1]
    last_B = jnp.where(jnp.any(ended_Bn, 1), jnp.argmax(ended_Bn, 1), n - 1)
    after = jax.tree.map(lambda x: x[jnp.arange(len(last_B)), last_B], sequence.next_observation)
    outputs_BAK = network.apply(target, after.view)
    selector_BAK = network.apply(params, after.view) if double else outputs_BAK
    best_B = jnp.argmax(of_legal(network.values(selector_BAK), after.legal), -1)
    chosen_BK = of_action(outputs_BAK, best_B)
    if network.atoms is None:
        return jax.lax.stop_gradient(returns(sequence, chosen_BK, discount)[:, 0])
    z_BK = jnp.broadcast_to(network.atoms[None], chosen_BK.shape)
    p_BK = projected(jax.nn.softmax(chosen_BK), returns(sequence, z_BK, discount), network.atoms)
    return jax.lax.stop_gradient(p_BK)


def returns(sequence: Transition, value_BK: jax.Array, discount: float) -> jax.Array:
    """G for K values of the state behind the steps of each sequence, (B, K)."""
    n = sequence.reward.shape[1]
    over_time = lambda x_Bn: jnp.broadcast_to(x_Bn.T[..., None], (n, *value_BK.shape))
    value_nBK = jnp.broadcast_to(value_BK[None], (n, *value_BK.shape))
    ends = over_time(sequence.terminated), over_time(sequence.truncated)
    return n_step_returns(over_time(sequence.reward), value_nBK, *ends, discount, n)[0]


def q_error(
    network: QNetwork, outputs_BK: jax.Array, target: jax.Array, huber: float | None
) -> tuple[jax.Array, jax.Array]:
    """(loss, priority) of each transition, from the outputs of its action and its target, (B,).

    A mean has the error delta = target - Q, the loss delta^2 / 2 and the priority |delta|. A
    distribution has the cross entropy with its target as both.
    huber: largest slope of the loss of a mean [kappa]; None: no limit.
    """
    if network.atoms is not None:
        loss_B = -jnp.sum(target * jax.nn.log_softmax(outputs_BK), -1)
        return loss_B, loss_B
    q_B = network.values(outputs_BK)
    loss_B = optax.squared_error(q_B, target) / 2
    if huber is not None:
        loss_B = optax.huber_loss(q_B, target, delta=huber)
    return loss_B, jnp.abs(target - q_B)
