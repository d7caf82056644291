"""The study of tree search at the smallest sizes that show its effects."""

import dataclasses

import jax
import numpy as np
from panorax.configs.rl import mcts as config

from panorax.rl import mcts
from panorax.rl.games import from_pgx, solution, strength

KEY = jax.random.key(0)


def test_uct_finds_the_winning_move():
    result = mcts.threat(KEY, dataclasses.replace(config.smoke(), equal=200))
    assert result.metrics["winning_move_share"] > 0.5
    board = result.figures["visits.png"].axes[0]
    assert [len(line.get_xdata()) for line in board.lines] == [3, 3]


def test_actions_in_every_state_are_legal():
    game = from_pgx.game(mcts.TIC_TAC_TOE)
    solved = solution.solve(game)
    actions = strength.in_every_state(mcts.puct_player(game, 2), solved, KEY)
    running = ~solved.terminated
    assert (solved.children[np.arange(len(actions)), actions][running] >= 0).all()
    assert 0.5 < solution.optimal_share(solved, actions) < 1
