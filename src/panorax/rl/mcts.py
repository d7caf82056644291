"""Monte Carlo tree search with random playouts: strength over simulations, beside minimax.

UCT (UCB1 in every node) and PUCT (with a uniform prior) evaluate each new node by one game of
random moves. Minimax with alpha-beta pruning and iterative deepening generates as many nodes per
move and counts 0 at its depth limit. The study measures

    tic-tac-toe     the share of all 4,520 positions in which the move keeps the exact value, and
                    the share of seeds whose moves never lose, whatever the opponent plays
    Connect Four    scores between searches, and Elo ratings over simulations

A score is the share of points, with 1/2 for a draw; its interval is over seeds.
Source: Coulom 2006; Kocsis & Szepesvari 2006; Knuth & Moore 1975.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.maths.estimates import mean_interval
from panorax.rl import search
from panorax.rl.games import from_pgx
from panorax.rl.games.alphabeta import alpha_beta, alpha_beta_player
from panorax.rl.games.game import Game, model, playouts, root
from panorax.rl.games.play import (
    Player,
    elo,
    pair,
    plan_by_rules,
    policy_of,
    score,
    search_player,
    uct_player,
)
from panorax.rl.games.solution import Solution, optimal_share, solve, worst_returns
from panorax.rl.games.strength import in_every_state

TIC_TAC_TOE, CONNECT_FOUR = from_pgx.Config("tic_tac_toe"), from_pgx.Config("connect_four")


@checked
class Config:
    exact_simulations: tuple[Count, ...] = (16, 64, 256, 1024)
    """simulations per move of UCT in tic-tac-toe"""
    simulations: tuple[Count, ...] = (16, 64, 256, 1024)
    """simulations per move of the Connect Four tournament"""
    equal: Count = 512
    """nodes per move of the matches of PUCT and of alpha-beta against UCT in Connect Four"""
    games: Count = 32
    """games of a match for each seed"""
    seeds: Count = 5
    """seeds of every interval"""
    positions: Count = 200
    """positions of tic-tac-toe in which alpha-beta searches to the end of the game"""
    exploration: Positive = 1.0
    """weight of the UCB1 bonus, for returns between -1 and 1"""
    opening: Whole = 2
    """random moves before a game of Connect Four"""
    seed: Whole = 0
    """seed of all random numbers"""


def puct_player(game: Game, simulations: int) -> Player:
    """Moves by PUCT with a uniform prior and one random playout per simulation."""
    policy = policy_of("puct", simulations, noise=False)
    return search_player(plan_by_rules(game, policy, playouts(game)))


@functools.cache
def solved() -> tuple[Game, Solution]:
    """Tic-tac-toe and its solution."""
    game = from_pgx.game(TIC_TAC_TOE)
    return game, solve(game)


def exact(key, cfg: Config) -> Result:
    """Solves tic-tac-toe, and compares alpha-beta with the solution."""
    game, solution = solved()
    # alpha-beta from positions of at least three moves, which it searches to the end soon
    candidates = np.flatnonzero(~solution.terminated & (np.arange(len(solution.value)) > 82))
    rows = candidates[:: max(1, len(candidates) // cfg.positions)]
    states = jax.tree.map(lambda x: x[rows], solution.states)
    found = jax.jit(lambda states: alpha_beta(game, states, 10_000, 9))(states)
    keeps = solution.gain[rows, np.asarray(found.action)] == solution.value[rows]
    return Result(
        {
            "tic_tac_toe_states": float(len(solution.value)),
            "tic_tac_toe_value": float(solution.value[0]),
            "alpha_beta_exact_values": float(np.mean(found.value == solution.value[rows])),
            "alpha_beta_exact_moves": float(np.mean(keeps)),
        }
    )


def tic_tac_toe(key, cfg: Config) -> Result:
    """UCT in every position of tic-tac-toe, against the exact solution."""
    game, solution = solved()
    optimal, safe = {}, {}
    for n in cfg.exact_simulations:
        player = uct_player(game, n, cfg.exploration)
        actions = [
            in_every_state(player, solution, jax.random.fold_in(key, seed))
            for seed in range(cfg.seeds)
        ]
        optimal[n] = [optimal_share(solution, action) for action in actions]
        safe[n] = [min(worst_returns(solution, action)) >= 0 for action in actions]
    metrics = family("uct_{}_optimal_share", {n: np.mean(x) for n, x in optimal.items()})
    metrics |= family("uct_{}_never_loses", {n: np.mean(x) for n, x in safe.items()})
    return Result(metrics, {"tic_tac_toe.png": draw_optimal(optimal, safe)})


def points(game: Game, one: Player, two: Player, key, cfg: Config) -> np.ndarray:
    """Returns of `one` against `two`, (seeds, games)."""
    run = jax.jit(lambda key: pair(game, one, two, key, cfg.games, cfg.opening))
    return np.stack([run(jax.random.fold_in(key, seed)) for seed in range(cfg.seeds)])


def tournament(key, cfg: Config) -> Result:
    """Connect Four: UCT with more simulations against fewer, all pairs, and their ratings."""
    game = from_pgx.game(CONNECT_FOUR)
    players = [uct_player(game, n, cfg.exploration) for n in cfg.simulations]
    returns = {
        (i, j): points(game, players[i], players[j], jax.random.fold_in(key, 100 * i + j), cfg)
        for i in range(len(players))
        for j in range(i)
    }
    by_seed = np.array(
        [
            elo({pair: x[seed] for pair, x in returns.items()}, len(players))
            for seed in range(cfg.seeds)
        ]
    )
    more = {
        (cfg.simulations[i], cfg.simulations[i - 1]): mean_interval(
            np.array([score(x) for x in returns[i, i - 1]])
        )
        for i in range(1, len(players))
    }
    scores = {pair: score(x) for pair, x in returns.items()}
    metrics = family(
        "score_{}_against_{}",
        {(cfg.simulations[i], cfg.simulations[j]): x for (i, j), x in scores.items()},
    )
    metrics |= family("score_{}_against_{}_low", {pair: low for pair, (low, _) in more.items()})
    metrics |= family("elo_{}", dict(zip(cfg.simulations, by_seed.mean(0), strict=True)))
    metrics["lowest_score_of_more_simulations"] = min(low for low, _ in more.values())
    return Result(metrics, {"elo.png": draw_elo(cfg.simulations, by_seed)})


def equal_nodes(key, cfg: Config) -> Result:
    """Connect Four at equal nodes per move: PUCT and alpha-beta against UCT."""
    game = from_pgx.game(CONNECT_FOUR)
    uct = uct_player(game, cfg.equal, cfg.exploration)
    metrics = {}
    for name, player in (
        ("puct", puct_player(game, cfg.equal)),
        ("alpha_beta", alpha_beta_player(game, cfg.equal, 42)),
    ):
        returns = points(game, player, uct, key, cfg)
        low, high = mean_interval(np.array([score(x) for x in returns]))
        values = {"score": score(returns), "score_low": low, "score_high": high}
        metrics |= family(
            "{}_{}_against_uct", {(name, fact): value for fact, value in values.items()}
        )
    return Result(metrics)


def threat(key, cfg: Config) -> Result:
    """Visits of UCT in a position of Connect Four with one winning move."""
    game = from_pgx.game(CONNECT_FOUR)
    state = game.start(1)
    for column in (3, 2, 3, 2, 3, 5):
        state = jax.vmap(game.step)(state, jnp.array([column]))
    evaluate, key_search = playouts(game), jax.random.fold_in(key, 1)
    start, illegal = root(game, evaluate, (), key, state)
    run = functools.partial(
        search.uct_policy, num_simulations=cfg.equal, exploration=cfg.exploration
    )
    output = jax.jit(
        lambda key: run((), key, start, model(game, evaluate), invalid_actions=illegal)
    )(key_search)
    summary = output.tree.summary()
    visits = np.asarray(summary.visit_counts[0])
    board = np.asarray(game.observe(jax.tree.map(lambda x: x[0], state)))
    return Result(
        {"winning_move_share": float(visits[3] / visits.sum())},
        {"visits.png": draw_visits(board, visits, np.asarray(summary.qvalues[0]))},
    )


def draw_optimal(optimal: dict, safe: dict):
    """The share of optimal moves, and of seeds that never lose, over simulations."""
    figure, (ax,) = figures.panels()
    for label, values in (("optimal moves", optimal), ("seeds that never lose", safe)):
        ax.plot(list(values), [np.mean(x) for x in values.values()], "o-", label=label)
    ax.set(title="UCT in tic-tac-toe", xlabel="simulations per move", ylabel="share")
    ax.set_xscale("log", base=2)
    return figures.legends(figure)


def draw_elo(simulations, ratings_SP: np.ndarray):
    """Elo ratings over simulations: the mean and the range over seeds."""
    figure, (ax,) = figures.panels()
    mean = ratings_SP.mean(0)
    ax.plot(simulations, mean, "o-", label="mean")
    ax.fill_between(
        simulations, ratings_SP.min(0), ratings_SP.max(0), alpha=0.2, label="range over seeds"
    )
    ax.set(title="UCT in Connect Four", xlabel="simulations per move", ylabel="Elo rating")
    ax.set_xscale("log", base=2)
    return figures.legends(figure)


def draw_visits(board: np.ndarray, visits: np.ndarray, qvalues: np.ndarray):
    """A board of Connect Four, and the visits and values of its seven moves."""
    figure, (left, middle, right) = figures.panels(3)
    columns = np.arange(len(visits))
    for plane, label in enumerate(("to move", "opponent")):
        row, column = np.nonzero(board[..., plane])
        left.plot(column, 5 - row, "o", ms=17, label=label)
    left.set(title="position", xlabel="column", ylabel="row", xlim=(-0.6, 6.6), ylim=(-0.6, 7.2))
    middle.bar(columns, visits, label="UCT")
    middle.set(title="visits", xlabel="column", ylabel="simulations")
    right.bar(columns, qvalues, color=figures.COLORS[1], label="UCT")
    right.set(title="values", xlabel="column", ylabel="mean return")
    figures.legends(figure)
    left.legend(frameon=False, fontsize=9, ncols=2, loc="upper center", markerscale=0.5)
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Search in solved tic-tac-toe, then in Connect Four."""
    parts = {
        "exact": exact,
        "tic_tac_toe": tic_tac_toe,
        "tournament": tournament,
        "equal_nodes": equal_nodes,
        "threat": threat,
    }
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
