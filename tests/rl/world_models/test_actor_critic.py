"""Returns, weights and losses of imagined steps against sums in NumPy, and the policy's mixture."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import spec
from panorax.nets.recurrent import rssm
from panorax.rl.environments.environment import Discrete
from panorax.rl.torsos import mlp
from panorax.rl.world_models.actor_critic import (
    Agent,
    Returns,
    behaviour_losses,
    imagined_returns,
    ranged,
)
from panorax.rl.world_models.imagination import Imagined
from panorax.rl.world_models.world import World, bins
from panorax.testing.tolerances import LAYER, MODEL, NUMBER

CFG = rssm.Config(recurrent=4, variables=1, classes=2, hidden=4, blocks=2)
HEAD = mlp.Config((4,), layer_norm=True)
HEADS = lambda: mlp.torso(HEAD, (CFG.width,))
AGENT = Agent(World(CFG, Discrete(3), (2,), mlp.torso(HEAD, (2,)), HEADS, bins=5), uniform=0.3)
OPTIONS = types.SimpleNamespace(discount=0.9, lambda_=0.8, entropy_weight=0.1, range_rate=0.25)
RNG = np.random.default_rng(0)
H, B = 3, 2
BINS = np.asarray(bins(5))
DREAM = Imagined(
    features=jnp.asarray(RNG.normal(size=(H + 1, B, CFG.width)), jnp.float32),
    action=jnp.asarray(RNG.integers(0, 3, (H, B))),
    reward=jnp.asarray(3 * RNG.normal(size=(H, B)), jnp.float32),
    continuation=jnp.asarray(RNG.uniform(size=(H, B)), jnp.float32),
)


def expected_returns(value):
    """R of the docstring by its recursion, and the weights w."""
    R, w = [value[H]], [np.ones(B)]
    for k in reversed(range(H)):
        ahead = (1 - 0.8) * value[k + 1] + 0.8 * R[0]
        R.insert(0, np.asarray(DREAM.reward[k]) + 0.9 * np.asarray(DREAM.continuation[k]) * ahead)
    for k in range(H - 1):
        w.append(w[-1] * 0.9 * np.asarray(DREAM.continuation[k]))
    return np.stack(R[:-1]), np.stack(w)


def test_returns_and_weights_equal_their_recursions():
    value = RNG.normal(size=(H + 1, B)).astype(np.float32)
    returns, weight = imagined_returns(DREAM, jnp.asarray(value), 0.9, 0.8)
    R, w = expected_returns(value)
    np.testing.assert_allclose(returns, R, **LAYER)
    np.testing.assert_allclose(weight, w, **LAYER)


def test_the_range_moves_towards_the_percentiles_of_returns():
    returns = jnp.arange(101.0)
    statistics = ranged(Returns((), jnp.float32(1), jnp.float32(2)), returns, 0.25)
    np.testing.assert_allclose(statistics.low, 0.75 * 1 + 0.25 * 5, **NUMBER)
    np.testing.assert_allclose(statistics.high, 0.75 * 2 + 0.25 * 95, **NUMBER)


def critic(seed: int):
    """Parameters of a critic, which starts at 0, with random outputs, and its values."""
    new = spec.init(AGENT.spec, jax.random.key(0))["critic"]
    w = np.random.default_rng(seed).normal(size=new["out"]["w"].shape)
    params = new | {"out": new["out"] | {"w": jnp.asarray(w, jnp.float32)}}
    logits = AGENT.world.head(params, DREAM.features)
    p = np.exp(jax.nn.log_softmax(logits))
    return params, np.log(p), p @ np.asarray(bins(5))


def test_losses_equal_their_closed_forms():
    learnt, log_p, value = critic(1)
    slow, _, slow_value = critic(2)
    params = spec.init(AGENT.spec, jax.random.key(0)) | {"critic": learnt}
    statistics = Returns(slow, jnp.float32(0), jnp.float32(8))
    terms, after, _ = behaviour_losses(AGENT, params, DREAM, statistics, OPTIONS)
    R, w = expected_returns(value)
    p = np.exp(AGENT.policy(params, DREAM.features[:-1]).logits)
    picked = np.take_along_axis(p, np.asarray(DREAM.action)[..., None], -1)[..., 0]
    scale = max(1, 0.75 * 8 + 0.25 * np.percentile(R, 95) - 0.25 * np.percentile(R, 5))
    entropy = -(p * np.log(p)).sum(-1)
    gain = np.log(picked) * (R - value[:-1]) / scale
    actor = -(w * (gain + 0.1 * entropy)).mean()
    np.testing.assert_allclose(terms["actor_loss"], actor, **MODEL)
    errors = [
        [
            -(two_hot(R[k, b], BINS) + two_hot(slow_value[k, b], BINS)) @ log_p[k, b]
            for b in range(B)
        ]
        for k in range(H)
    ]
    np.testing.assert_allclose(terms["critic_loss"], (w * errors).mean(), **MODEL)
    assert after.slow is slow


def test_each_loss_trains_its_own_network():
    params = spec.init(AGENT.spec, jax.random.key(0))
    statistics = Returns(params["critic"], jnp.float32(0), jnp.float32(0))
    loss = lambda params: behaviour_losses(AGENT, params, DREAM, statistics, OPTIONS)[0]
    grads = jax.jit(jax.jacrev(loss))(params)
    empty = lambda tree: not any(np.any(x) for x in jax.tree.leaves(tree))
    assert empty(grads["actor_loss"]["critic"]) and empty(grads["critic_loss"]["actor"])
    assert empty(grads["actor_loss"]["world"]) and empty(grads["critic_loss"]["world"])
    assert not empty(grads["actor_loss"]["actor"]) and not empty(grads["critic_loss"]["critic"])


def two_hot(x, values):
    """Linear interpolation weights of x among increasing values."""
    return np.array([np.interp(x, values, np.eye(len(values))[k]) for k in range(len(values))])


def test_every_action_keeps_a_share_of_the_probability():
    params = jax.tree.map(lambda x: 1e3 * x, spec.init(AGENT.spec, jax.random.key(0)))
    p = np.exp(AGENT.policy(params, DREAM.features).logits)
    np.testing.assert_allclose(p.sum(-1), 1, **LAYER)
    np.testing.assert_allclose(p.min(), 0.3 / 3, **LAYER)
    legal = jnp.broadcast_to(jnp.array([True, False, True]), (H + 1, B, 3))
    masked = AGENT.policy(params, DREAM.features, legal)
    assert not (masked.sample(jax.random.key(1)) == 1).any()
