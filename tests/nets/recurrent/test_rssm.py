"""The recurrent cell against the sum over blocks in NumPy, and the algebra of its variables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec
from panorax.nets.recurrent import rssm
from panorax.testing.tolerances import LAYER

CFG = rssm.Config(recurrent=6, variables=3, classes=2, hidden=4, blocks=2)
KEY = jax.random.key(0)
PARAMS = spec.init(rssm.spec(CFG, actions=2, embedding=5), KEY)
RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def latent(batch=3):
    return rssm.Latent(jnp.asarray(drawn(batch, 6)), jnp.asarray(drawn(batch, 3, 2)))


def rms(x, scale):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-4) * scale


def silu(x):
    return x / (1 + np.exp(-x))


def test_the_recurrent_state_equals_the_formula_block_by_block():
    state, action = latent(), drawn(3, 2)
    p = jax.tree.map(np.asarray, PARAMS)
    layer = lambda p, x: silu(rms(x @ p["w"] + p["b"], p["scale"]))
    h, z = np.asarray(state.h), np.asarray(state.z).reshape(3, -1)
    shared = np.concatenate([layer(p["h"], h), layer(p["z"], z), layer(p["action"], action)], -1)
    own = [h[:, 3 * g : 3 * g + 3] @ p["joined"]["w"][g] + p["joined"]["b"][g] for g in range(2)]
    x = np.concatenate(own, -1) + shared @ p["joined"]["shared"]
    x = silu(rms(x, p["joined"]["scale"]))
    new = []
    for g in range(2):
        gates = x[:, 3 * g : 3 * g + 3] @ p["gates"]["w"][g] + p["gates"]["b"][g]
        reset, candidate, update = gates[:, :3], gates[:, 3:6], gates[:, 6:]
        update = 1 / (1 + np.exp(1 - update))
        candidate = np.tanh(candidate / (1 + np.exp(-reset)))
        new.append(update * candidate + (1 - update) * h[:, 3 * g : 3 * g + 3])
    result = rssm.advance(PARAMS, state, jnp.asarray(action), CFG)
    np.testing.assert_allclose(result, np.concatenate(new, -1), **LAYER)


def test_every_class_keeps_a_share_of_the_probability():
    sharp = jax.tree.map(lambda x: 100 * x, PARAMS)
    p = np.exp(rssm.prior(sharp, latent().h, CFG))
    np.testing.assert_allclose(p.sum(-1), 1, **LAYER)
    assert p.min() >= 0.01 / 2 * (1 - 1e-5)


def test_samples_are_one_hot_with_the_gradient_of_the_probabilities():
    weight = jnp.asarray(drawn(3, 3, 2))
    log_p = jnp.log(jax.nn.softmax(jnp.asarray(drawn(3, 3, 2))))
    u = jax.random.uniform(KEY, (3, 3))
    z = rssm.one_hot_sample(log_p, u)
    np.testing.assert_allclose(np.sort(z, -1), np.broadcast_to([0.0, 1.0], z.shape), **LAYER)
    through = jax.grad(lambda log_p: jnp.sum(weight * rssm.one_hot_sample(log_p, u)))(log_p)
    direct = jax.grad(lambda log_p: jnp.sum(weight * jnp.exp(log_p)))(log_p)
    np.testing.assert_allclose(through, direct, **LAYER)


def test_samples_have_the_probabilities_of_their_classes():
    p = np.array([[0.5, 0.2, 0.3]], np.float32)
    log_p = jnp.broadcast_to(jnp.log(p), (1000, 1, 3))
    u = (jnp.arange(1000) + 0.5)[:, None] / 1000
    np.testing.assert_allclose(rssm.one_hot_sample(log_p, u).mean(0), p, **LAYER)
    ends = rssm.one_hot_sample(log_p[:2], jnp.array([[0.0], [1.0]]))
    np.testing.assert_array_equal(ends.argmax(-1), [[0], [2]])


def test_divergence_is_the_sum_over_variables():
    p, q = (RNG.dirichlet(np.ones(2), size=(4, 3)).astype(np.float32) for _ in range(2))
    expected = (p * np.log(p / q)).sum((-2, -1))
    np.testing.assert_allclose(rssm.divergence(jnp.log(p), jnp.log(q)), expected, **LAYER)
    np.testing.assert_array_equal(rssm.divergence(jnp.log(p), jnp.log(p)), np.zeros(4))


def test_blocks_divide_the_recurrent_state():
    with pytest.raises(ValueError, match="3 blocks do not divide a width of 8"):
        rssm.Config(recurrent=8, blocks=3)
