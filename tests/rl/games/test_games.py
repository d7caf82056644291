"""Games of pgx as `Game`, their solution, minimax, matches and ratings."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl.games import alphabeta, from_pgx, play, solution
from panorax.rl.games.game import model, moved, playouts, root
from panorax.testing.tolerances import NUMBER

KEY = jax.random.key(0)
GAME = from_pgx.game(from_pgx.Config("tic_tac_toe"))
SAMPLING = {"atol": 0.06}
"""sampling error of 1,000 games"""
RATING = {"atol": 5}
"""bias of the virtual draw in Elo points"""


move = jax.jit(functools.partial(moved, GAME))


@functools.cache
def solved():
    return solution.solve(GAME)


def after(*actions):
    """The state of tic-tac-toe after these moves, as a batch of one."""
    state = GAME.start(1)
    for action in actions:
        state, *_ = move(state, jnp.array([action]))
    return state


def test_a_move_rewards_the_mover_and_a_win_ends_the_game():
    state = after(0, 3, 1, 4)
    assert int(GAME.player(jax.tree.map(lambda x: x[0], state))) == 0
    _, reward, discount = move(jax.tree.map(lambda x: x.repeat(2, 0), state), jnp.array([2, 8]))
    np.testing.assert_array_equal(reward, [1, 0])
    np.testing.assert_array_equal(discount, [0, -1])
    end = after(0, 3, 1, 4, 2)
    assert bool(GAME.terminated(jax.tree.map(lambda x: x[0], end)))
    _, reward, discount = move(end, jnp.array([5]))
    assert (float(reward[0]), float(discount[0])) == (0, 0)


def test_a_playout_from_a_won_game_is_worth_nothing_more():
    evaluate = jax.jit(playouts(GAME))
    _, value = evaluate((), KEY, after(0, 3, 1, 4, 2))
    assert float(value[0]) == 0
    # X to move has one empty square left, which completes no line
    _, value = evaluate((), KEY, after(0, 1, 2, 4, 3, 5, 7, 6))
    assert float(value[0]) == 0


def test_playouts_average_to_the_value_of_random_play():
    """Random play of tic-tac-toe is won by X with probability 0.585 and by O with 0.288."""
    start = GAME.start(1000)
    _, value = jax.jit(playouts(GAME))((), KEY, start)
    np.testing.assert_allclose(np.mean(value), 0.585 - 0.288, **SAMPLING)


def test_the_root_masks_illegal_actions_and_values_belong_to_the_player_to_move():
    evaluate = lambda params, key, state: (jnp.zeros((1, 9)), jnp.ones(1))
    start, illegal = root(GAME, evaluate, (), KEY, after(4))
    assert np.flatnonzero(illegal[0]).tolist() == [4]
    output, _ = model(GAME, evaluate)((), KEY, jnp.array([0]), start.embedding)
    assert float(output.discount[0]) == -1
    assert np.flatnonzero(jax.nn.softmax(output.prior_logits[0]) == 0).tolist() == [0, 4]


def test_tic_tac_toe_is_a_draw_with_5478_states():
    s = solved()
    assert (len(s.value), float(s.value[0]), int(s.terminated.sum())) == (5478, 0, 958)
    # the corners, edges and centre all draw on the empty board
    np.testing.assert_array_equal(s.gain[0], np.zeros(9))


def test_perfect_moves_never_lose_and_others_do():
    s = solved()
    best = np.argmax(s.gain, 1)
    assert min(solution.worst_returns(s, best)) == 0
    assert solution.optimal_share(s, best) == 1
    first_legal = np.argmax(s.children >= 0, 1)
    assert solution.worst_returns(s, first_legal) == (-1, -1)
    assert solution.optimal_share(s, first_legal) < 0.7


def test_a_game_too_large_is_refused():
    with pytest.raises(ValueError, match="more than 50 reachable states"):
        solution.solve(GAME, most=50)
    four = from_pgx.game(from_pgx.Config("connect_four"))
    with pytest.raises(ValueError, match="at most 20 bits, the game has 84"):
        solution.perfect_player(four, solved())


def test_alpha_beta_finds_the_exact_value():
    s = solved()
    rows = np.flatnonzero(~s.terminated & (np.arange(len(s.value)) > 1000))[::40]
    states = jax.tree.map(lambda x: x[rows], s.states)
    found = jax.jit(lambda x: alphabeta.alpha_beta(GAME, x, 2000, 9))(states)
    np.testing.assert_array_equal(found.value, s.value[rows])
    np.testing.assert_array_equal(s.gain[rows, np.asarray(found.action)], s.value[rows])
    assert int(found.nodes.max()) < 400  # minimax without pruning takes up to 2,000


def test_alpha_beta_stops_at_its_nodes_and_plays_the_last_complete_depth():
    state = after(0, 4, 1)  # O must block at 2
    found = jax.jit(lambda x: alphabeta.alpha_beta(GAME, x, 60, 9))(state)
    assert int(found.nodes[0]) == 60 and int(found.limit[0]) >= 2
    assert int(found.action[0]) == 2


def test_a_match_counts_both_seats():
    perfect, chance = solution.perfect_player(GAME, solved()), play.random_player(GAME)
    run = jax.jit(lambda key: play.pair(GAME, perfect, chance, key, 200, 0))
    returns = np.asarray(run(KEY))
    assert returns.shape == (200,) and returns.min() == 0 and returns.mean() > 0.8
    reverse = jax.jit(lambda key: play.pair(GAME, chance, perfect, key, 200, 0))
    assert np.asarray(reverse(KEY)).max() == 0
    # X wins twice as often as O: the mover of the first half has the advantage
    even = jax.jit(lambda key: play.pair(GAME, chance, chance, key, 1000, 0))
    first, second = np.split(np.asarray(even(KEY)), 2)
    np.testing.assert_allclose([first.mean(), second.mean()], [0.3, -0.3], **SAMPLING)


def test_elo_of_known_scores():
    """A player that scores 10 to 1 is 400 points above; ratings add up along a chain."""
    wins = np.array([1.0] * 10000 + [-1.0] * 1000)
    ratings = play.elo({(1, 0): wins, (2, 1): wins}, 3)
    np.testing.assert_allclose(np.diff(ratings), [400, 400], **RATING)
    assert play.score([1, 0, -1, 0]) == 0.5


def test_more_simulations_of_uct_win():
    strong, weak = play.uct_player(GAME, 64, 1.0), play.uct_player(GAME, 2, 1.0)
    returns = jax.jit(lambda key: play.pair(GAME, strong, weak, key, 40, 0))(KEY)
    assert play.score(returns) > 0.7


def test_a_game_of_chance_is_refused():
    with pytest.raises(UserError, match="'backgammon' is not one of tic_tac_toe"):
        from_pgx.game(from_pgx.Config("backgammon"))
    assert set(from_pgx.ids()) >= {"connect_four", "othello"}
    np.testing.assert_allclose(np.asarray(GAME.observe(GAME.init())).sum(), 0, **NUMBER)
