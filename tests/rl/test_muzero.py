"""MuZero: its unrolled model, its loss, what its search knows, and that it learns the rules."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from panorax.configs.rl import muzero as config

from panorax.ops.two_hot import contract, two_hot
from panorax.rl import muzero
from panorax.rl.games import from_pgx, self_play
from panorax.rl.games.game import random_moves
from panorax.rl.games.play import Choice, policy_of
from panorax.rl.games.self_play import Position
from panorax.testing.tolerances import LAYER, NUMBER

KEY = jax.random.key(0)
GAME = from_pgx.game(from_pgx.Config("tic_tac_toe"))
PLAY = self_play.Config(games=8, length=3, simulations=2, capacity=6, batch=8, updates=1)
SMALL = dataclasses.replace(config.smoke(), unroll=2, bins=5, play=PLAY)
MODEL = muzero.model_of(SMALL, GAME)


@pytest.fixture(scope="module")
def params():
    """Parameters in which every prediction depends on every input."""
    shape = lambda p: jax.random.normal(jax.random.fold_in(KEY, sum(p.shape)), p.shape)
    return jax.tree.map(shape, MODEL.spec, is_leaf=lambda p: hasattr(p, "axes"))


def rows_of(rng) -> Position:
    """Three sequences of three positions: one ends by its first move, one by its second."""
    legal = rng.random((3, 3, 9)) < 0.7
    return Position(
        view=jnp.asarray(rng.integers(0, 2, (3, 3, 3, 3, 2)), jnp.float32),
        legal=jnp.asarray(legal),
        weights=jnp.asarray(rng.dirichlet(np.ones(9), (3, 3)), jnp.float32),
        target=jnp.asarray(rng.choice([-1.0, 0, 1], (3, 3)), jnp.float32),
        action=jax.nn.one_hot(jnp.asarray(rng.integers(0, 9, (3, 3))), 9),
        reward=jnp.asarray([[1.0, 1, 0], [0, 1, 1], [0, 0, 0]]),
        ended=jnp.asarray([[True, False, False], [False, True, False], [False, False, False]]),
    )


def test_the_loss_is_the_cross_entropies_of_the_moves_before_the_end(params):
    rows = rows_of(np.random.default_rng(0))
    loss, (_, terms) = muzero.loss_fn(params, (), rows, KEY, MODEL, SMALL)
    policy = value = reward = 0.0
    entropy = lambda target, logits: -float(np.sum(target * np.asarray(jax.nn.log_softmax(logits))))
    bins_of = lambda x: np.asarray(two_hot(contract(jnp.float32(x)), MODEL.bins))
    for b, alive in enumerate(([1, 0, 0], [1, 1, 0], [1, 1, 1])):
        latent = MODEL.represent(params, rows.view[b, :1])
        for k, weight in enumerate((1, 1 / 2, 1 / 2)):
            logits, values = MODEL.predict(params, latent)
            policy += weight * alive[k] * entropy(np.asarray(rows.weights[b, k]), logits[0])
            value += weight * entropy(bins_of(alive[k] * rows.target[b, k]), values[0])
            if k < 2:
                latent, rewards = MODEL.dynamics(params, latent, rows.action[b, k : k + 1])
                reward += entropy(bins_of(alive[k] * rows.reward[b, k]), rewards[0]) / 2
    expected = {"policy_loss": policy / 3, "value_loss": value / 3, "reward_loss": reward / 3}
    for name, number in expected.items():
        np.testing.assert_allclose(terms[name], number, **LAYER, err_msg=name)
    np.testing.assert_allclose(loss, sum(expected.values()), **LAYER)


def test_every_move_of_the_model_halves_the_gradient(params):
    """A prediction after k moves changes half as much per move as the chain rule says."""
    rows = rows_of(np.random.default_rng(1))
    start = MODEL.represent(params, rows.view[:, 0])

    def chained(latent):
        for k in range(2):
            latent, reward = MODEL.dynamics(params, latent, rows.action[:, k])
        return jnp.sum(reward[:, 0])

    def halved(latent):
        model = dataclasses.replace(MODEL, represent=lambda params, view: latent)
        return jnp.sum(muzero.unrolled(params, None, rows.action[:, :2], model)[2][:, 1, 0])

    np.testing.assert_allclose(jax.grad(halved)(start), jax.grad(chained)(start) / 4, **LAYER)


@pytest.mark.parametrize("x", [-1.0, -0.3, 0.0, 0.7, 1.0])
def test_bins_hold_a_number(x):
    logits = jnp.log(two_hot(contract(jnp.float32(x)), MODEL.bins) + 1e-9)
    np.testing.assert_allclose(MODEL.scalar(logits), x, **NUMBER)


def test_the_search_asks_the_rules_for_nothing_but_the_root(params):
    def refuse(*args):
        raise AssertionError("the search asked for the rules")

    blind = dataclasses.replace(GAME, step=refuse, rewards=refuse, terminated=refuse, player=refuse)
    state = GAME.start(2)
    policy = policy_of("gumbel", 4, noise=False)
    choice = muzero.plan_by_model(blind, policy, MODEL)(params, KEY, state)
    assert choice.weights.shape == (2, 9)


def test_the_model_learns_from_random_games_who_has_won():
    cfg = dataclasses.replace(config.get_config(), latent=32, hidden=(64,), unroll=2)
    model = muzero.model_of(cfg, GAME)

    def guess(key, state):
        action = random_moves(GAME, key, state)
        return Choice(action, jnp.full((len(action), 9), 1 / 9), jnp.zeros(len(action)))

    @jax.jit
    def trained(key):
        params = jax.tree.map(
            lambda p: p.init(key, p.shape), model.spec, is_leaf=lambda p: hasattr(p, "axes")
        )
        _, rows, _ = self_play.self_play(GAME, guess, GAME.start(256), key, 9, 0)
        cut = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1)[:, 4:7], rows)
        tx = optax.adam(3e-3)
        loss = functools.partial(muzero.loss_fn, model=model, cfg=cfg)

        def update(carry, key):
            params, opt = carry
            gradient = jax.grad(lambda params: loss(params, (), cut, key)[0])(params)
            change, opt = tx.update(gradient, opt)
            return (optax.apply_updates(params, change), opt), None

        keys = jax.random.split(key, 150)
        (params, _), _ = jax.lax.scan(update, (params, tx.init(params)), keys)
        _, _, reward = muzero.unrolled(params, cut.view[:, 0], cut.action[:, :2], model)
        return model.scalar(reward)[:, 0], cut.reward[:, 0]

    predicted, reward = trained(KEY)
    assert 20 < np.sum(reward) < 236
    assert np.mean((predicted > 0.5) == (reward > 0.5)) > 0.95


def test_sizes_that_do_not_fit_are_refused():
    for change in ({"unroll": 9}, {"bins": 1}, {"hidden": ()}):
        with pytest.raises(ValueError, match="unroll 9 must be smaller|at least 2 bins and one"):
            dataclasses.replace(config.get_config(), **change)
