"""Control: convergence to exact action values, maximisation bias, and cliff walking."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family, numpy_generator
from panorax.maths.estimates import mean_interval, share_interval
from panorax.maths.mdp import problems, solvers
from panorax.maths.mdp.process import MDP, epsilon_greedy, evaluate, q_values, trembling
from panorax.rl.q_learning import agents
from panorax.rl.q_learning.learning import Learner, Schedule, learn_episodes, learn_steps

LEFT = 0
"""the worse action of the maximisation bias"""


def exact_q(mdp: MDP, epsilon: float) -> np.ndarray:
    """Q of the best epsilon-soft policy (S, A); Q* for epsilon 0."""
    value = solvers.policy_iteration(trembling(mdp, epsilon)).value
    with jax.enable_x64(True):
        return np.asarray(q_values(mdp, value))


class Learners(NamedTuple):
    """Learners that one compiled program runs side by side; all fields have one length."""

    names: tuple[str, ...]
    """names of their metrics"""
    agent_of: Callable
    """agent_of(rule) -> Agent"""
    rules: tuple[int, ...]
    """rule of each learner, for `agent_of`"""
    alphas: tuple[tuple[float, float], ...]
    """scale and power of the step sizes"""
    epsilons: tuple[tuple[float, float], ...]
    """scale and power of the probability of a uniform action"""


def learners(cfg) -> list[Learners]:
    """All learners of the Garnet."""
    theory, follow, uniform = (1.0, cfg.powers[1]), (cfg.epsilon, 0.0), (1.0, 0.0)
    single = lambda name, agent, epsilon: Learners(
        (name,), lambda rule: agent, (0,), (theory,), (epsilon,)
    )
    n = len(cfg.powers)
    one_step = Learners(
        names=(
            *(f"q_learning_{power:g}" for power in cfg.powers),
            "q_learning_constant",
            "sarsa_greedy_in_the_limit",
            "sarsa",
            "expected_sarsa",
        ),
        agent_of=agents.one_step,
        rules=(0,) * (n + 1) + (1, 1, 2),
        alphas=(*((1.0, power) for power in cfg.powers), (0.1, 0.0), theory, theory, theory),
        epsilons=(uniform,) * (n + 1) + ((1.0, 0.5), follow, follow),
    )
    traces = agents.sarsa_lambda(0.7, "accumulating")
    double_q = single("double_q", agents.double_q, uniform)
    n_step = single("n_step_sarsa", agents.n_step_sarsa(4), follow)
    return [one_step, double_q, n_step, single("sarsa_lambda", traces, follow)]


def errors_of(group: Learners, mdp: MDP, exact: dict, key, cfg) -> dict[str, np.ndarray]:
    """max |Q - exact Q| after every chunk, mean over seeds, by the name of the learner."""
    epsilons = np.array(group.epsilons)
    follows = (epsilons == (cfg.epsilon, 0.0)).all(1)
    targets = jnp.stack([exact["soft" if soft else "best"] for soft in follows])

    def learn(rule, alpha, epsilon, target, key):
        learner = Learner(group.agent_of(rule), Schedule(*alpha), Schedule(*epsilon))
        error = lambda Q: jnp.max(jnp.abs(Q - target))
        return learn_steps(learner, mdp, key, cfg.chunks, cfg.chunk, error)

    over_seeds = jax.vmap(learn, (None, None, None, None, 0))
    every = jax.jit(jax.vmap(over_seeds, (0, 0, 0, 0, None)))
    of_learners = (jnp.array(group.rules), jnp.array(group.alphas), jnp.array(epsilons), targets)
    errors = every(*of_learners, jax.random.split(key, cfg.seeds))
    return dict(zip(group.names, np.asarray(errors).mean(1)))


def convergence(key, cfg) -> Result:
    """Errors of all learners over the steps, for a Garnet."""
    key_garnet, key_learn = jax.random.split(key)
    mdp = problems.garnet(numpy_generator(key_garnet), cfg.states, 3, 3, cfg.discount)
    exact = {"best": exact_q(mdp, 0.0), "soft": exact_q(mdp, cfg.epsilon)}
    curves = {}
    for group in learners(cfg):
        curves |= errors_of(group, mdp, exact, key_learn, cfg)
    metrics = family("error_{}", {name: curve[-1] for name, curve in curves.items()})
    tenth = max(cfg.chunks // 10, 1) - 1
    metrics |= family("fall_{}", {name: x[-1] / x[tenth] for name, x in curves.items()})
    metrics["largest_q"] = float(np.abs(exact["best"]).max())
    metrics["soft_distance"] = float(np.abs(exact["best"] - exact["soft"]).max())
    return Result(metrics, {"convergence.png": draw_convergence(curves, cfg)})


def bias(key, cfg) -> Result:
    """Sutton & Barto's figure 6.5: share of episodes that begin with left, which is worse."""
    mdp = problems.two_doors(10, -0.1)
    noise = jnp.zeros(mdp.legal.shape).at[1].set(1.0)
    keys = jax.random.split(key, cfg.bias_runs)
    shares, metrics = {}, {}
    for name, agent in {"q_learning": agents.one_step(0), "double_q": agents.double_q}.items():
        learner = Learner(agent, Schedule(0.1), Schedule(0.1))
        learn = lambda key, learner=learner: learn_episodes(
            learner, mdp, key, cfg.bias_episodes, noise_SA=noise
        )
        Q, record = jax.device_get(jax.jit(jax.vmap(learn))(keys))
        shares[name] = np.mean(record.first_action == LEFT, 0)
        last = record.first_action[:, -1] == LEFT
        low, high = share_interval(int(last.sum()), len(last))
        metrics |= family("left_share_{}", {name: shares[name].mean()})
        metrics |= family("left_share_peak_{}", {name: shares[name].max()})
        metrics |= family("left_share_last_{}", {name: last.mean()})
        metrics |= family("left_share_last_{}_{}", {(name, "low"): low, (name, "high"): high})
        metrics |= family("estimate_of_left_{}", {name: Q[:, 0, LEFT].mean()})
    return Result(metrics, {"bias.png": draw_bias(shares)})


def cliff(key, cfg) -> Result:
    """Sutton & Barto's example 6.6 and figure 6.3: returns while learning, and greedy paths."""
    mdp, alphas = problems.cliff_walking(), jnp.array(cfg.cliff_alphas)
    steep, half = cfg.cliff_alphas.index(0.5), cfg.cliff_episodes // 2
    keys, paths, metrics = jax.random.split(key, cfg.cliff_runs), {}, {}

    def learn(rule, alpha, key):
        learner = Learner(agents.one_step(rule), Schedule(alpha), Schedule(0.1))
        Q, record = learn_episodes(learner, mdp, key, cfg.cliff_episodes)
        return Q, record.earned

    over_alphas = jax.vmap(jax.vmap(learn, (None, None, 0)), (None, 0, None))
    every = jax.jit(jax.vmap(over_alphas, (0, None, None)))
    tables, returns = jax.device_get(every(jnp.arange(3), alphas, keys))
    for name, Q, earned in zip(agents.ONE_STEP, tables, returns):
        paths[name] = greedy_path(mdp, Q[steep].mean(0))
        late = earned[steep, :, half:].mean(1)
        low, high = mean_interval(late)
        metrics |= family("return_{}", {name: late.mean()})
        metrics |= family("return_{}_{}", {(name, "low"): low, (name, "high"): high})
        lengths = [len(greedy_path(mdp, q)) - 1 for q in Q[steep]]
        metrics |= family("median_path_{}", {name: np.median(lengths)})
        interim = earned[:, :, : cfg.interim].mean((1, 2))
        metrics |= family("interim_return_{}", {name: interim.max()})
        metrics |= family("interim_return_{}_last", {name: interim[-1]})
    for name, epsilon in {"optimal": 0.0, "soft_optimal": 0.1}.items():
        exact = cliff_q(mdp, epsilon)
        follow = np.array(epsilon_greedy(exact, mdp.legal, 0.1), np.float64)
        value = evaluate(mdp, follow / follow.sum(1, keepdims=True))
        metrics |= family("exact_return_{}", {name: value[np.argmax(mdp.start)]})
        metrics |= family("exact_path_{}", {name: len(greedy_path(mdp, exact)) - 1})
    drawn = dict(zip(agents.ONE_STEP, returns[:, steep].mean(1)))
    steps = dict(zip(agents.ONE_STEP, returns[..., : cfg.interim].mean((2, 3))))
    return Result(metrics, {"cliff.png": draw_cliff(drawn, paths, steps, cfg)})


def cliff_q(mdp: MDP, epsilon: float) -> np.ndarray:
    """As `exact_q`, by value iteration: with a discount of 1 some policies never terminate."""
    value = solvers.solve(solvers.value_sweep, trembling(mdp, epsilon), 1e-12).value
    with jax.enable_x64(True):
        return np.asarray(q_values(mdp, value))


def greedy_path(mdp: MDP, Q: np.ndarray, limit: int = 100) -> list[int]:
    """States that the greedy policy visits from the start, at most `limit` steps."""
    path = [int(np.argmax(mdp.start))]
    while not mdp.terminal[path[-1]] and len(path) <= limit:
        path.append(int(mdp.successor[path[-1], np.argmax(Q[path[-1]]), 0]))
    return path


def draw_convergence(curves: dict[str, np.ndarray], cfg):
    """Errors over the steps: of agents that learn Q*, and of agents that learn the soft Q."""
    figure, axes = figures.panels(columns=2, width=5)
    soft = ("sarsa", "expected_sarsa", "n_step_sarsa", "sarsa_lambda")
    axes[0].set_title("distance to Q*")
    axes[1].set_title(f"distance to the best $\\epsilon$-soft Q, $\\epsilon$ = {cfg.epsilon:g}")
    steps = cfg.chunk * np.arange(1, cfg.chunks + 1)
    for name, error in curves.items():
        axes[name in soft].loglog(steps, error, label=name.replace("_", " "))
    for ax in axes:
        ax.set(xlabel="steps", ylabel="max |Q - exact Q|")
    return figures.legends(figure, fontsize=8)


def draw_bias(shares: dict[str, np.ndarray]):
    """The share of runs that begin an episode with left, over the episodes."""
    figure, (ax,) = figures.panels(width=5.6)
    for name, share in shares.items():
        ax.plot(np.arange(1, len(share) + 1), 100 * share, label=name.replace("_", " "))
    ax.axhline(5, color="grey", ls=":", label="optimal: 5%")
    ax.set(
        xlabel="episode",
        ylabel="runs that begin with left (%)",
        title="maximisation bias",
        ylim=(0, 100),
    )
    return figures.legends(figure)


def draw_cliff(earned: dict, paths: dict[str, list[int]], by_step: dict, cfg):
    """Mean returns of the episodes, smoothed over ten, greedy paths, and returns by step size."""
    figure, (ax, grid, steps) = figures.panels(columns=3, width=4.6)
    for name, returns in earned.items():
        smooth = np.convolve(returns, np.full(10, 0.1), "valid") if len(returns) > 10 else returns
        ax.plot(smooth, label=name.replace("_", " "))
        steps.plot(cfg.cliff_alphas, by_step[name], "o-", ms=3, label=name.replace("_", " "))
    ax.set(title="while learning", xlabel="episode", ylabel="return", ylim=(-100, 0))
    title = f"first {cfg.interim} episodes"
    steps.set(title=title, xlabel="step size $\\alpha$", ylabel="mean return")
    image = np.array([[cell == "C" for cell in row] for row in problems.CLIFF])
    grid.imshow(image, cmap="Greys", vmax=2)
    for i, (name, path) in enumerate(paths.items()):
        y, x = np.divmod(np.array(path), 12)
        shift = 0.15 * (i - 1)
        grid.plot(x + shift, y + shift, label=name.replace("_", " "))
    for x, cell in ((0, "S"), (11, "G")):
        grid.text(x, 3, cell, ha="center", va="center")
    grid.set(title="greedy paths of the mean Q", xlabel="column", ylabel="row", ylim=(3.5, -3.2))
    grid.set_yticks(range(4))
    grid.grid(False)
    return figures.legends(figure)
