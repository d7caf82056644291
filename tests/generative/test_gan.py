"""Losses of both games, a game in one dimension in closed form, and the order of updates."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from panorax.configs.generative import gan as config

from panorax.core.errors import UserError
from panorax.core.net import Net, stateful, stateless
from panorax.core.spec import P
from panorax.generative import gan, seeds
from panorax.testing.tolerances import NUMBER

KEY = jax.random.key(0)
GAMES = tuple(gan.GAMES)
weights = st.lists(st.floats(0.05, 1), min_size=5, max_size=5).map(lambda p: np.array(p) / sum(p))


@given(weights, weights)
def test_the_loss_of_the_optimal_discriminator_is_a_jensen_shannon_divergence(p, q):
    """The minimum is at D* = p / (p + q), with the loss log 4 - 2 JSD(p, q) (Goodfellow 2014)."""

    def loss(score):
        game = gan.GAMES["non_saturating"].discriminator
        real, fake = game(score, jnp.full(5, -1e9)), game(jnp.full(5, 1e9), score)
        return jnp.sum(p * real) + jnp.sum(q * fake)

    optimum = jnp.log(p / q)
    value, slope = jax.value_and_grad(loss)(optimum)
    np.testing.assert_allclose(jax.nn.sigmoid(optimum), p / (p + q), **NUMBER)
    np.testing.assert_allclose(slope, 0, **NUMBER)
    mean = (p + q) / 2
    divergence = (np.sum(p * np.log(p / mean)) + np.sum(q * np.log(q / mean))) / 2
    np.testing.assert_allclose(value, np.log(4) - 2 * divergence, **NUMBER)


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(-5, 5))
def test_the_relativistic_losses_depend_only_on_the_difference_of_scores(real, fake, shift):
    game = gan.GAMES["relativistic"]
    for loss in game:
        np.testing.assert_allclose(loss(real + shift, fake + shift), loss(real, fake), **NUMBER)
    np.testing.assert_allclose(game.generator(real, fake), game.discriminator(fake, real))
    np.testing.assert_allclose(game.discriminator(real, real), np.log(2), **NUMBER)


def dirac() -> gan.Nets:
    """The Dirac-GAN of Mescheder et al. 2018: G(z) = theta, D(x) = psi x."""
    number = P((), (), jax.nn.initializers.constant(0.5))
    score = lambda p, x, label: p["psi"] * x[:, 0]
    image = lambda p, z, label: jnp.full((len(z), 1), p["theta"])
    return {
        "discriminator": stateless({"psi": number}, score),
        "generator": stateless({"theta": number}, image),
    }


def played(cfg, nets, txs, steps):
    """Stacked states and metrics of `steps` steps; all real images are 0."""
    rows = {"x": jnp.zeros((4, 1)), "label": jnp.zeros(4, jnp.int32)}

    def step(state, key):
        game = gan.GAMES[cfg.game]
        state, metrics = gan.train_step(state, rows, key, nets, txs, game, cfg)
        return state, (state, metrics)

    start = gan.system(cfg, nets, txs).init_state(KEY)
    run = jax.jit(lambda state: jax.lax.scan(step, state, jax.random.split(KEY, steps))[1])
    return run(start)


def sgd(d: float, g: float) -> gan.Optimizers:
    return {"discriminator": optax.sgd(d), "generator": optax.sgd(g)}


@pytest.mark.parametrize("game", GAMES)
def test_a_penalty_makes_the_game_converge(game):
    """The Dirac-GAN orbits its equilibrium (0, 0) without penalty, and reaches it with R1."""
    final = {}
    for r1 in (0.0, 1.0):
        states, _ = played(gan.Config(game=game, r1=r1, r2=0.0), dirac(), sgd(0.2, 0.2), 400)
        psi, theta = states.params["discriminator"]["psi"], states.params["generator"]["theta"]
        final[r1] = float(jnp.max(jnp.hypot(psi, theta)[-100:]))
    assert final[0.0] > 0.3 and final[1.0] < 1e-3


def test_the_generator_plays_against_the_updated_discriminator():
    """One step in closed form: psi' from theta, then theta' from psi', each with its optimiser."""
    cfg = gan.Config(game="non_saturating", r1=0.6, r2=0.4)
    states, metrics = played(cfg, dirac(), sgd(0.1, 0.3), 1)
    sigmoid, x = lambda t: 1 / (1 + np.exp(-t)), np.tanh(0.5)
    psi = 0.5 - 0.1 * (sigmoid(0.5 * x) * x + (0.6 + 0.4) * 0.5)
    theta = 0.5 + 0.3 * sigmoid(-psi * x) * psi * (1 - x**2)
    np.testing.assert_allclose(states.params["discriminator"]["psi"][0], psi, **NUMBER)
    np.testing.assert_allclose(states.params["generator"]["theta"][0], theta, **NUMBER)
    np.testing.assert_allclose(states.extra.ema["theta"][0], 0.05 + 0.9 * theta, **NUMBER)
    loss_d = np.log(2) + np.log1p(np.exp(0.5 * x)) + 0.125
    loss_g = np.log1p(np.exp(-psi * x))
    np.testing.assert_allclose(metrics["discriminator_loss"][0], loss_d, **NUMBER)
    np.testing.assert_allclose(metrics["generator_loss"][0], loss_g, **NUMBER)
    np.testing.assert_allclose(metrics["loss"][0], loss_d + loss_g, **NUMBER)
    np.testing.assert_allclose(metrics["penalty"][0], 0.125, **NUMBER)
    np.testing.assert_allclose(metrics["mean_gap"][0], x**2, **NUMBER)


def test_r1_is_taken_at_real_and_r2_at_generated_images():
    """D(x) = |x|^2 / 2 has the gradient x."""
    nets = {
        "discriminator": stateless({}, lambda p, x, label: jnp.sum(jnp.square(x), 1) / 2),
        "generator": stateless({}, lambda p, z, label: jnp.full((2, 2), jnp.arctanh(0.5))),
    }
    batch = {"x": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "label": jnp.zeros(2, jnp.int32)}
    batch["z"] = jnp.zeros((2, 1))

    def penalty(r1, r2):
        game, cfg = gan.GAMES["relativistic"], gan.Config(r1=r1, r2=r2)
        loss = gan.discriminator_loss_fn({}, (), batch, None, ({}, ()), nets, game, cfg)
        return loss[1][1]["penalty"]

    np.testing.assert_allclose(penalty(1.0, 0.0), (5 + 1) / 2 / 2, **NUMBER)
    np.testing.assert_allclose(penalty(0.0, 1.0), 0.5 / 2, **NUMBER)


def test_each_network_updates_its_state_once_a_step():
    """The state of a network changes only in the update of its own player."""
    counter = {"calls": P((), (), jax.nn.initializers.zeros)}

    def counting(net: Net) -> Net:
        def apply(params, extra, *inputs, key, train):
            return net.apply(params, (), *inputs)[0], {"calls": extra["calls"] + train}

        return stateful(net.spec, counter, apply)

    nets = {player: counting(net) for player, net in dirac().items()}
    states, _ = played(gan.Config(), nets, sgd(0.1, 0.1), 3)
    for carried in (states.extra.discriminator, states.extra.generator):
        np.testing.assert_array_equal(carried["calls"], [1, 2, 3])


def test_each_update_has_its_own_noise():
    """Both networks keep their last inputs as state; D reads the tanh of G(z) = 0.5 z."""
    inputs = lambda n: {"x": P((n,), ("batch",), jax.nn.initializers.zeros)}
    score = lambda p, extra, x, label, key, train: (p["psi"] * x[:, 0], {"x": x[:, 0]})
    image = lambda p, extra, z, label, key, train: (p["theta"] * z, {"x": z[:, 0]})
    spec = {player: net.spec for player, net in dirac().items()}
    nets = {
        "discriminator": stateful(spec["discriminator"], inputs(8), score),
        "generator": stateful(spec["generator"], inputs(4), image),
    }
    states, _ = played(gan.Config(latent=1), nets, sgd(0.1, 0.0), 2)
    noise_d = np.arctanh(states.extra.discriminator["x"][:, 4:]) / 0.5
    noise = np.concatenate([noise_d, states.extra.generator["x"]])
    assert len(np.unique(np.round(noise, 4))) == 16


@functools.cache
def smoke():
    cfg = config.smoke()
    system = gan.system(cfg)
    return cfg, system, jax.jit(system.init_state)(KEY)


def test_evaluation_ignores_padding():
    _, system, state = smoke()
    *_, last = system.held_out()
    padded = last["weight"] == 0
    assert padded.any()
    x = np.where(padded[:, None, None, None], 1.0, last["x"]).astype(np.float32)
    evaluate = jax.jit(system.evaluate)
    metrics = evaluate(state, last, KEY)
    chex.assert_trees_all_equal(metrics, evaluate(state, last | {"x": x}, KEY))
    assert all(weight == last["weight"].sum() for _, weight in metrics.values())


def test_samples_come_from_the_averaged_generator():
    cfg, _, state = smoke()
    net = gan.networks(cfg)["generator"]
    label = jnp.arange(10)
    draw = lambda state: gan.samples(state, KEY, label, net, cfg)
    fresh = jax.tree.map(lambda x: x + 1, state.params["generator"])
    x = draw(state)
    moved = state.replace(params=state.params | {"generator": fresh})
    np.testing.assert_array_equal(x, draw(moved))
    chex.assert_shape(x, (10, 8, 8, 1))
    assert float(jnp.abs(x).max()) <= 1
    assert not np.array_equal(x, draw(state.replace(extra=state.extra.replace(ema=fresh))))
    assert not np.array_equal(x, gan.samples(state, KEY, label[::-1], net, cfg))


def test_over_seeds_gives_the_mean_and_the_worst_of_each_metric():
    measured = [{"frechet": 3.0, "coverage": 0.9}, {"frechet": 5.0, "coverage": 0.7}]
    metrics = seeds.over_seeds(measured)
    assert metrics["worst_frechet"] == 5 and metrics["worst_coverage"] == 0.7
    assert metrics["mean_frechet"] == 4 and seeds.over_seeds([]) == {}
    diverged = seeds.over_seeds([*measured, {"frechet": float("nan"), "coverage": 0.8}])
    assert np.isnan(diverged["worst_frechet"])


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"r1": -1.0}, {"ema": 1.5}])
def test_a_number_out_of_range_is_rejected(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        gan.Config(**wrong)
