"""AlphaZero: its network, its targets, its symmetries, and the losses it plays for."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.rl import alphazero as config

from panorax.core.step import scan_steps
from panorax.rl import alphazero
from panorax.rl.games import from_pgx, self_play, solution, strength
from panorax.rl.games.game import moved
from panorax.rl.games.self_play import Position, outcomes, reflected
from panorax.rl.torsos import mlp, residual
from panorax.testing.tolerances import NUMBER, SAME

KEY = jax.random.key(0)


def positions(**arrays) -> Position:
    """Positions of which only these arrays matter."""
    return Position(**dict.fromkeys(Position.__dataclass_fields__) | arrays)


def test_outcomes_alternate_in_sign_and_stop_at_the_end_of_a_game():
    reward = jnp.array([[0.0, 0], [1, 0], [0, 0], [0, 0]])
    discount = jnp.array([[-1.0, -1], [0, -1], [-1, -1], [-1, 0]])
    z = outcomes(reward, discount, jnp.array([0.25, 0.5]))
    np.testing.assert_allclose(z[:, 0], [-1, 1, -0.25, 0.25], **NUMBER)
    np.testing.assert_allclose(z[:, 1], [0, 0, 0, 0], **NUMBER)


@pytest.mark.parametrize("name, action", [("tic_tac_toe", 1), ("connect_four", 5)])
def test_a_symmetry_commutes_with_moves(name, action):
    """The observation after a move is reflected as the observation before it, with its action."""
    game = from_pgx.game(from_pgx.Config(name))
    squares, actions = (np.asarray(x) for x in game.symmetries)
    step = jax.jit(lambda action: moved(game, game.start(len(action)), action)[0])
    see = lambda states: np.asarray(jax.vmap(game.observe)(states))
    plain = see(step(jnp.array([action])))[0].reshape(squares.shape[1], -1)
    for square, permutation in zip(squares, actions, strict=True):
        image = int(np.flatnonzero(permutation == action)[0])
        turned = see(step(jnp.array([image])))[0].reshape(squares.shape[1], -1)
        np.testing.assert_array_equal(turned, plain[square])


def test_a_reflection_moves_weights_with_their_squares():
    game = from_pgx.game(from_pgx.Config("tic_tac_toe"))
    weights = jnp.broadcast_to(jnp.stack([jax.nn.one_hot(i, 9) for i in (1, 0)]), (64, 2, 9))
    view = jnp.stack([weights, 0 * weights], -1).reshape(64, 2, 3, 3, 2)
    rows = positions(view=view, legal=weights > 0, weights=weights, action=weights)
    rows = reflected(rows, game, KEY)
    for moved_rows in (rows.view[..., 0].reshape(64, 2, 9), rows.legal, rows.action):
        np.testing.assert_array_equal(moved_rows, rows.weights)
    edge, corner = np.argmax(rows.weights, -1).T
    assert set(zip(edge.tolist(), corner.tolist(), strict=True)) == {
        *((1, 0), (1, 2), (3, 0), (3, 6), (5, 2), (5, 8), (7, 6), (7, 8))
    }


def test_the_loss_is_cross_entropy_over_legal_actions_and_squared_error():
    cfg = config.smoke()
    game = from_pgx.game(cfg.game)
    net = alphazero.network(cfg, game)
    params, _ = net.init(KEY)
    legal = jnp.array([[True] * 4 + [False] * 5])
    weights = jnp.array([[0.7, 0.3, 0, 0, 0, 0, 0, 0, 0.0]])
    view = jnp.ones((1, 3, 3, 2))
    rows = positions(view=view, legal=legal, weights=weights, target=jnp.array([-1.0]))
    rows = jax.tree.map(lambda x: x[:, None], rows)
    loss, (_, metrics) = alphazero.loss_fn(params, (), rows, KEY, net, cfg)
    (logits, value), _ = net.apply(params, (), view)
    p = np.exp(np.asarray(logits, np.float64))[0, :4]
    expected = -np.log(p / p.sum())[:2] @ [0.7, 0.3]
    np.testing.assert_allclose(metrics["policy_loss"], expected, **NUMBER)
    np.testing.assert_allclose(loss - metrics["policy_loss"], (1 + value[0]) ** 2, **SAME)


def test_training_learns_moves_and_search_improves_on_them():
    """The share of optimal moves rises with training, and by search from the network alone."""
    cfg = dataclasses.replace(
        config.get_config(),
        torso=mlp.Config(hidden=(64,)),
        play=self_play.Config(games=32, length=3, simulations=8, capacity=60, batch=64),
    )
    system = alphazero.system(cfg)
    train = jax.jit(lambda state: scan_steps(system.train_step, state, (), KEY, 20))
    start = system.init_state(KEY)
    state, _ = train(start)
    game = from_pgx.game(cfg.game)
    solved = solution.solve(game)
    act = jax.jit(lambda params, states: make(params, 0)(KEY, states))
    make = lambda params, n: alphazero.player(game, alphazero.network(cfg, game), params, n)
    untrained = solution.in_chunks(functools.partial(act, start.params), solved.states)
    metrics = strength.exact(make, state.params, KEY, game, 8)
    before = solution.optimal_share(solved, untrained)
    assert metrics["network_optimal_share"] > before + 0.05
    assert metrics["search_optimal_share"] > metrics["network_optimal_share"]


def test_residual_torso_keeps_the_shape_of_its_batch():
    torso = residual.torso(residual.Config(channels=4, blocks=2, hidden=5), (6, 7, 2))
    params = jax.tree.map(
        lambda p: jnp.ones(p.shape), torso.spec, is_leaf=lambda p: hasattr(p, "axes")
    )
    assert torso.apply(params, jnp.ones((3, 2, 6, 7, 2))).shape == (3, 2, 5)
    with pytest.raises(ValueError, match="views"):
        residual.torso(residual.Config(), (18,))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="multiple of the length 9"):
        self_play.Config(capacity=181)
    with pytest.raises(ValueError, match="must be even"):
        strength.Config(games=3)
