"""Inference over the ends of episodes, closed forms of the losses, and imagination."""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import spec
from panorax.nets.recurrent import rssm
from panorax.ops.two_hot import symlog
from panorax.rl import world_model
from panorax.rl.environments.environment import Discrete
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER

CFG = rssm.Config(recurrent=4, variables=2, classes=2, hidden=4, blocks=2)
SHAPE = (3,)
HEAD = mlp.Config((4,), layer_norm=True)
WORLD = world_model.World(
    CFG, Discrete(2), SHAPE, mlp.torso(HEAD, SHAPE), lambda: mlp.torso(HEAD, (CFG.width,))
)
KEY = jax.random.key(0)
PARAMS = spec.init(WORLD.spec, KEY)
RNG = np.random.default_rng(0)
B, T = 2, 4
infer = jax.jit(lambda steps: world_model.infer(WORLD, PARAMS, steps, KEY))


def steps(first=False):
    view = RNG.normal(size=(B, T + 1, *SHAPE)).astype(np.float32)
    return world_model.Steps(
        view=jnp.asarray(view[:, :-1]),
        first=jnp.full((B, T), first),
        action=jnp.asarray(RNG.integers(0, 2, (B, T))),
        reward=jnp.asarray(RNG.normal(size=(B, T)), jnp.float32),
        terminated=jnp.asarray(RNG.uniform(size=(B, T)) < 0.5),
        next_view=jnp.asarray(view[:, 1:]),
    )


def test_a_first_step_forgets_what_was_before():
    data = steps()
    data = data.replace(first=data.first.at[:, 2].set(True))
    other = data.replace(view=data.view.at[:, :2].add(1), next_view=data.next_view.at[:, :2].add(1))
    a, b = infer(data).latent.h, infer(other).latent.h
    np.testing.assert_array_equal(a[:, 2:], b[:, 2:])
    assert np.abs(a[:, :2] - b[:, :2]).max() > 0
    never = infer(data.replace(first=jnp.zeros((B, T), bool))).latent.h
    assert np.abs(never[:, 2:] - a[:, 2:]).max() > 0


def test_the_first_state_of_a_sequence_knows_its_view_alone():
    data = steps()
    np.testing.assert_array_equal(
        infer(data).latent.h, infer(data.replace(first=data.first.at[:, 0].set(True))).latent.h
    )


def test_losses_equal_their_closed_forms():
    data = steps(first=True)
    inferred = infer(data)
    terms = world_model.losses(WORLD, PARAMS, data, inferred, free=0.0)
    features = inferred.latent.features
    view = WORLD.head(PARAMS, "view", features)
    error = 0.5 * np.square(view - symlog(data.next_view)).sum(-1).mean()
    np.testing.assert_allclose(terms["view"], error, **LAYER)
    # the reward head starts at equal probabilities
    np.testing.assert_allclose(terms["reward"], np.log(world_model.BINS), **LAYER)
    p, q = (np.exp(x) for x in (inferred.log_posterior, inferred.log_prior))
    kl = (p * np.log(p / q)).sum((-2, -1)).mean()
    np.testing.assert_allclose(terms["dynamics"], kl, **LAYER)
    np.testing.assert_allclose(terms["representation"], kl, **LAYER)
    logit = np.asarray(WORLD.head(PARAMS, "goes_on", features)[..., 0])
    chance = 1 / (1 + np.exp(-logit))
    picked = np.where(data.terminated, 1 - chance, chance)
    np.testing.assert_allclose(terms["goes_on"], -np.log(picked).mean(), **LAYER)
    capped = world_model.losses(WORLD, PARAMS, data, inferred, free=50.0)
    np.testing.assert_array_equal(capped["dynamics"], 50)


def test_the_two_sides_of_the_divergence_train_different_networks():
    data = steps(first=True)

    def loss(params, name):
        inferred = world_model.infer(WORLD, params, data, KEY)
        return world_model.losses(WORLD, params, data, inferred, 0.0)[name]

    size = lambda tree: sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(tree))
    grad = jax.jit(jax.grad(loss), static_argnums=1)
    dynamics, representation = (grad(PARAMS, n)["rssm"] for n in ("dynamics", "representation"))
    assert size(dynamics["prior"]) > 0 and size(representation["prior"]) == 0
    assert size(representation["posterior"]) > 0


def test_imagination_follows_the_prior_and_the_chosen_actions():
    start = rssm.empty(CFG, (B,))
    act = lambda features, key: jnp.ones(B, jnp.int32)
    dream = jax.jit(lambda: world_model.imagine(WORLD, PARAMS, start, act, KEY, horizon=3))()
    assert dream.features.shape == (4, B, CFG.width) and dream.reward.shape == (3, B)
    np.testing.assert_array_equal(dream.reward, np.zeros((3, B)))
    h = rssm.advance(PARAMS["rssm"], start, jax.nn.one_hot(jnp.ones(B, int), 2), CFG)
    np.testing.assert_allclose(dream.features[1, :, : CFG.recurrent], h, **LAYER)


def test_bins_are_symmetric():
    bins = np.asarray(world_model.bins())
    assert len(bins) == world_model.BINS and (np.diff(bins) > 0).all()
    np.testing.assert_array_equal(bins, -bins[::-1])
