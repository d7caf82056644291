"""Behaviour cloning and DAgger: errors that compound over the horizon, and errors that do not.

A learner that errs with probability eps in the states of its training distribution has a regret,
the expected cost above the expert's, of at most

    behaviour cloning   eps T^2      trained in the states of the expert (Ross & Bagnell 2010)
    DAgger              u eps T      trained in the states of the learner itself (Ross et al. 2011)

after T steps, if a deviation costs the expert at most u until it is back.

    rope      a rope of T steps, on which the bounds are attained; each step beside the rope costs
              1. The cloned policy errs with eps on the rope, and never returns to it, because no
              state beside the rope was in its data. DAgger's policy errs with eps everywhere. Costs
              are exact, by the linear solve of the expected visits.
    control   both clone the same expert of the library with equally many labels. Round i acts with
              the expert with probability mixture^i in each step, labels the visited states by the
              expert, and fits a new policy to the labels of all rounds. Mixture 1 is behaviour
              cloning: all states are the expert's.

`regret_of_labels` is DAgger's mean loss of each policy in the next round, minus the loss of the
last policy in all rounds: no-regret learning drives it to 0 (Ross et al. 2011, section 3).
Source: Ross & Bagnell 2010; Ross, Gordon & Bagnell 2011, arXiv:1011.0686, algorithm 3.1.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import figures
from panorax.core.config import module_of
from panorax.core.ranges import Count, Positive, PositiveShare, Share, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.maths.mdp.process import MDP, finite, occupancy
from panorax.rl import on_policy
from panorax.rl.imitation import cloning
from panorax.rl.imitation.experts import Labels, algorithm, expert
from panorax.rl.on_policy import Rollouts
from panorax.rl.rollout import Act, first_episodes, rollout, start


@checked
class Config:
    expert: str = "panorax.configs.rl.ppo:get_config"
    """config of the on-policy algorithm that trains the expert, as module:function"""
    horizons: tuple[Count, ...] = (10, 20, 40, 80, 160, 320)
    """lengths of the rope [T]"""
    error: PositiveShare = 1e-4
    """probability of an error in a state of the training distribution [eps]"""
    rounds: Count = 10
    """rounds of acting, labelling and fitting"""
    labels: Count = 40
    """labels of a round"""
    mixture: Share = 0.0
    """base of the probability mixture^i that DAgger acts with the expert in round i [beta_i]"""
    updates: Count = 500
    """updates of Adam in a fit"""
    rate: Positive = 1e-3
    """step size of Adam"""
    eval_episodes: Count = 30
    """evaluated episodes of each policy"""
    seeds: Count = 10
    """runs of each method"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if len(self.horizons) < 2:
            raise ValueError("an exponent needs at least two horizons")


class Rounds(NamedTuple):
    """Measurements of every round; all arrays are (seeds, rounds)."""

    returns: np.ndarray
    """mean evaluated return of the policy after the round"""
    online: np.ndarray
    """loss of the policy before the round in the states of the round, in nats"""
    hindsight: np.ndarray
    """loss of the policy after the round in the states of all rounds so far, in nats"""


def tightrope(T: int) -> MDP:
    """A rope of T steps: action 0 goes on or climbs back, action 1 falls off or stays beside it.

    State 2 t is on the rope and 2 t + 1 beside it at step t; each step beside it earns -1. State
    2 T is terminal.
    """
    state = np.arange(2 * T + 1)
    ahead = 2 * (state // 2 + 1)
    successor = np.minimum(np.stack([ahead, ahead + 1], 1), 2 * T)[..., None]
    reward = np.broadcast_to(-(state % 2)[:, None, None], successor.shape)
    ones, end = np.ones(successor.shape), state == 2 * T
    return finite(successor, ones, reward, 1.0, terminal=end, start=state == 0)


def regret(T: int, error: float, error_beside: float) -> float:
    """Expected steps beside the rope of a policy with these probabilities of action 1."""
    mdp = tightrope(T)
    beside = np.arange(len(mdp.start)) % 2 == 1
    wrong = np.where(beside, error_beside, error)
    visits_SA = occupancy(mdp, np.stack([1 - wrong, wrong], 1))
    return float(visits_SA[beside].sum())


def on_rope(key, cfg: Config) -> Result:
    """Fits the exponents of the exact regrets, and compares them with bounds and closed forms."""
    T, eps = np.array(cfg.horizons), cfg.error
    cloned = np.array([regret(n, eps, 1.0) for n in cfg.horizons])
    dagger = np.array([regret(n, eps, eps) for n in cfg.horizons])
    exponent = lambda y: np.polyfit(np.log(T), np.log(y), 1)[0]
    closed = T - -np.expm1(T * np.log1p(-eps)) / eps
    metrics = {
        "bc_exponent": float(exponent(cloned)),
        "dagger_exponent": float(exponent(dagger)),
        "bc_over_bound": float((cloned / (eps * T**2)).max()),
        "dagger_over_bound": float((dagger / (eps * T)).max()),
        "closed_form_gap": float(
            max(abs(cloned - closed).max(), abs(dagger - eps * (T - 1)).max())
        ),
    }
    return Result(metrics, {"rope.png": draw_rope(T, cloned, dagger, metrics, eps)})


def mixed(first: Act, second: Act, share: jax.Array) -> Act:
    """Acts by `first` with probability `share` in each step, otherwise by `second`."""

    def act(memory, observation, is_first, key):
        keys = jax.random.split(key, 3)
        (memory, a), (_, b) = (
            policy(memory, observation, is_first, key) for policy, key in zip((first, second), keys)
        )
        is_by_first = jax.random.bernoulli(keys[2], share, a.shape[:1])
        return memory, jnp.where(is_by_first.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return act


def aggregation(
    cfg: Config, learner: Rollouts, teacher: Act, mixture: float, key: jax.Array
) -> Rounds:
    """Algorithm 3.1: all rounds of one run; the environment goes on from one round to the next."""
    policy = on_policy.parts(learner)[2]
    make = functools.partial(module_of(learner.environment).environments, learner.environment)
    envs, held_out = make(1), make(cfg.eval_episodes)
    key_start, key_rounds, key_fit = jax.random.split(key, 3)
    running = start(envs, (), key_start)
    shapes = jax.eval_shape(teacher, (), running.observation, running.first, key)[1]
    size = (cfg.rounds * cfg.labels,)
    data = Labels(
        jnp.zeros(size + envs.shape),
        jnp.zeros(size + shapes.shape[1:], shapes.dtype),
        jnp.zeros(size),
    )
    tx = optax.adam(cfg.rate)
    fit = lambda data, key: cloning.fit(policy, lambda _: data, key, tx, cfg.updates)

    def one_round(carry, inputs):
        running, data, params = carry
        i, key = inputs
        key_act, key_label, key_fit, key_eval = jax.random.split(key, 4)
        act = mixed(teacher, cloning.mode(params, policy), jnp.float32(mixture) ** i)
        running, steps = rollout(act, envs, running, key_act, cfg.labels)
        seen = jax.tree.map(lambda x: x[:, 0], steps.observation)
        _, action = teacher((), seen, steps.first[:, 0], key_label)
        new = Labels(seen.view, action, jnp.ones(cfg.labels))
        online = cloning.loss(params, policy, new)
        at = lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, i * cfg.labels, 0)
        data = jax.tree.map(at, data, new)
        params = fit(data, key_fit)
        returns, _ = first_episodes(cloning.mode(params, policy), held_out, (), key_eval)
        measured = Rounds(jnp.mean(returns), online, cloning.loss(params, policy, data))
        return (running, data, params), measured

    inputs = jnp.arange(cfg.rounds), jax.random.split(key_rounds, cfg.rounds)
    first = fit(data, key_fit)  # no label has weight yet
    return jax.lax.scan(one_round, (running, data, first), inputs)[1]


def control(key, cfg: Config) -> Result:
    """Compares behaviour cloning and DAgger on the expert's environment with equal labels."""
    key_expert, key_runs = jax.random.split(key)
    learner = algorithm(cfg.expert)
    make = module_of(learner.environment).environments
    held_out = make(learner.environment, cfg.eval_episodes)
    teacher = expert(learner)
    run = jax.jit(lambda key: first_episodes(teacher, held_out, (), key)[0])
    expert_return = float(jnp.mean(run(key_expert)))
    keys, results = jax.random.split(key_runs, cfg.seeds), {}
    for name, mixture in (("bc", 1.0), ("dagger", cfg.mixture)):
        train = jax.jit(jax.vmap(functools.partial(aggregation, cfg, learner, teacher, mixture)))
        results[name] = jax.device_get(train(keys))
    metrics = {"expert_return": expert_return}
    last = {name: rounds.returns[:, -1] for name, rounds in results.items()}
    metrics |= family("{}_return", {name: x.mean() for name, x in last.items()})
    metrics |= family(
        "{}_standard_error", {name: x.std(ddof=1) / len(x) ** 0.5 for name, x in last.items()}
    )
    metrics |= family("{}_share_of_expert", {n: x.mean() / expert_return for n, x in last.items()})
    dagger = results["dagger"]
    regrets = dagger.online.cumsum(1) / np.arange(1, cfg.rounds + 1) - dagger.hindsight
    metrics["first_regret_of_labels"] = float(regrets[:, 0].mean())
    metrics["regret_of_labels"] = float(regrets[:, -1].mean())
    return Result(metrics, {"control.png": draw_control(results, regrets, expert_return, cfg)})


def draw_rope(T, cloned, dagger, metrics: dict, eps: float):
    """Regrets over the length of the rope, with the bounds."""
    figure, (ax,) = figures.panels(width=5.6)
    for name, label, y, bound in (
        ("bc", "behaviour cloning", cloned, eps * T**2),
        ("dagger", "DAgger", dagger, eps * T),
    ):
        exponent = metrics[f"{name}_exponent"]
        (line,) = ax.loglog(T, y, "o", label=f"{label}, exponent {exponent:.2f}")
        ax.loglog(T, bound, ":", color=line.get_color(), label=f"bound of {label}")
    ax.set(xlabel="length T (steps)", ylabel="expected steps beside the rope")
    return figures.legends(figure)


def draw_control(results: dict[str, Rounds], regrets, expert_return: float, cfg: Config):
    """Returns over labels, a line per seed and the mean; DAgger's losses and regret."""
    figure, (ax, loss_ax) = figures.panels(columns=2)
    labels = cfg.labels * np.arange(1, cfg.rounds + 1)
    for (name, rounds), color in zip(results.items(), figures.COLORS):
        ax.plot(labels, rounds.returns.T, color=color, lw=0.5, alpha=0.5)
        ax.plot(labels, rounds.returns.mean(0), color=color, lw=2.5, label=f"mean of {name}")
    ax.axhline(expert_return, color="grey", ls=":", label="expert")
    ax.set(xlabel="labels of the expert", ylabel="mean return")
    loss_ax.plot(labels, results["dagger"].online.mean(0), label="loss in the next round")
    loss_ax.plot(labels, results["dagger"].hindsight.mean(0), label="loss in all rounds so far")
    loss_ax.plot(labels, regrets.mean(0), "--", label="mean regret")
    loss_ax.set(title="DAgger", xlabel="labels of the expert", ylabel="nats")
    return figures.legends(figure, frameon=True)


def study(cfg: Config) -> dict[str, Part]:
    """The exact regrets on the rope, and a learner on the expert's environment."""
    parts = {"rope": on_rope, "control": control}
    return {name: functools.partial(part, cfg=cfg) for name, part in parts.items()}
