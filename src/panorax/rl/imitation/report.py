"""GAIL beside behaviour cloning and a constant reward, over numbers of demonstrated episodes."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import figures
from panorax.core.ranges import Count, Positive, checked
from panorax.core.state import Result, System
from panorax.core.study import family
from panorax.rl import moments, on_policy
from panorax.rl.comparison import draw_variants
from panorax.rl.environments.environment import Environments, Observation
from panorax.rl.imitation import cloning
from panorax.rl.imitation.experts import Labels, demonstrations
from panorax.rl.on_policy import Acting
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import Act, first_episodes
from panorax.rl.seeds import Curves, random_actions, standard_error, train_seed


@checked
class Config:
    """What the report of an imitator compares."""

    episodes: tuple[Count, ...] = (1, 4, 16)
    """numbers of demonstrated episodes, each a divisor of the largest"""
    cloning_updates: Count = 2000
    """updates of behaviour cloning"""
    cloning_rate: Positive = 1e-3
    """step size of behaviour cloning"""

    def __post_init__(self):
        if not self.episodes or any(max(self.episodes) % n for n in self.episodes):
            raise ValueError(f"each of episodes must divide the largest, got {self.episodes}")


@dataclasses.dataclass(frozen=True)
class Imitators:
    """Imitators of one expert: GAIL, GAIL with a constant reward, and behaviour cloning."""

    gail: System
    """GAIL, whose batches are demonstrations"""
    constant: System
    """GAIL with a constant reward"""
    policy: Policy
    """policy of all imitators"""
    acting: Acting
    """run of GAIL, number of seeds, and the policy's observations"""
    stride: int
    """steps of an episode from one demonstrated pair to the next"""
    pairs: int
    """demonstrated pairs in a training step of GAIL"""


class Outcome(NamedTuple):
    """An imitator, trained on each number of episodes (E)."""

    returns: jax.Array
    """mean evaluated return (E,)"""
    curve: jax.Array
    """mean return of the training episodes of each chunk of steps, (E, T); () for cloning"""


def adversarial(setup: Imitators, system: System, labels: Labels, key: jax.Array) -> Outcome:
    """GAIL on one set of demonstrations, of which each training step draws `setup.pairs`."""

    def train_step(state, batch, key):
        key_rows, key_step = jax.random.split(key)
        rows = jax.random.randint(key_rows, (setup.pairs,), 0, len(labels.weight))
        drawn = jax.tree.map(lambda x: x[rows], labels)
        return system.train_step(state, drawn._asdict(), key_step)

    method = dataclasses.replace(system, train_step=train_step)
    _, curves, evaluation = train_seed(method, setup.acting.run, key)
    return Outcome(evaluation["eval_return"], curves["return"])


def cloned(
    setup: Imitators, cfg: Config, held_out: Environments, labels: Labels, key: jax.Array
) -> jax.Array:
    """Mean return of the mode of a cloned policy; views are standardised if those of GAIL are."""
    key_fit, key_eval = jax.random.split(key)
    observed = moments.weighted(labels.view, labels.weight)
    seen = on_policy.normalized(Observation(labels.view), observed, setup.acting)
    shown, tx = labels._replace(view=seen.view), optax.adam(cfg.cloning_rate)
    params = cloning.fit(setup.policy, lambda key: shown, key_fit, tx, cfg.cloning_updates)
    mode = on_policy.actor(lambda pi, key: pi.mode(), params, observed, setup.policy, setup.acting)
    return jnp.mean(first_episodes(mode, held_out, (), key_eval)[0])


def nested(labels: Labels, episodes: tuple[int, ...]) -> Labels:
    """The first n of max(episodes) demonstrated episodes for each n in `episodes`, (E, M, ...).

    Fewer episodes are repeated up to the largest number, which changes no mean.
    """
    most = max(episodes)
    rows = len(labels.weight) // most
    repeat = lambda x, n: jnp.tile(x[: n * rows], (most // n,) + (1,) * (x.ndim - 1))
    return jax.tree.map(lambda x: jnp.stack([repeat(x, n) for n in episodes]), labels)


def trained(
    setup: Imitators, cfg: Config, act: Act, source: Environments, held_out: Environments, key
):
    """All imitators with one seed, on demonstrations of this seed.

    source: environments of the demonstrations, as many as the largest number of episodes.
    Returns {method: Outcome}. A constant reward sees no demonstrations: its axis E has length 1.
    """
    key_data, key_gail, key_clone = jax.random.split(key, 3)
    labels = nested(demonstrations(act, source, key_data, setup.stride), cfg.episodes)
    gail, constant = (
        jax.vmap(functools.partial(adversarial, setup, system, key=key_gail))
        for system in (setup.gail, setup.constant)
    )
    clone = jax.vmap(lambda labels: cloned(setup, cfg, held_out, labels, key_clone))
    fewest = jax.tree.map(lambda x: x[:1], labels)
    return {"gail": gail(labels), "constant": constant(fewest), "bc": Outcome(clone(labels), ())}


def report(
    setup: Imitators, cfg: Config, act: Act, source: Environments, held_out: Environments, key
) -> Result:
    """Trains all imitators of the expert `act` with `setup.acting.seeds` seeds.

    A share is (return - random) / (expert - random). The metrics are `expert_return` and
    `random_return`; the mean of the shares over seeds, its standard error and the smallest share
    for GAIL and for cloning ("bc") by number of episodes, and for a constant reward;
    `gail_above_bc_in_errors_<n>`, the mean difference of the shares of GAIL and cloning divided by
    its standard error.
    """
    key_expert, key_random, key_runs = jax.random.split(key, 3)
    returns_of = lambda act: jax.jit(lambda key: first_episodes(act, held_out, (), key)[0])
    expert_return = float(jnp.mean(returns_of(act)(key_expert)))
    random_return = float(jnp.mean(returns_of(random_actions(held_out))(key_random)))
    train = jax.jit(jax.vmap(functools.partial(trained, setup, cfg, act, source, held_out)))
    results = jax.device_get(train(jax.random.split(key_runs, setup.acting.seeds)))
    share = lambda x: (x - random_return) / (expert_return - random_return)
    shares = {name: share(result.returns) for name, result in results.items()}
    metrics = {"expert_return": expert_return, "random_return": random_return}
    metrics |= compared(shares, cfg.episodes)
    drawn = {
        "shares.png": draw_shares(shares, cfg.episodes),
        "learning_curves.png": draw_variants(curves(setup, results, cfg.episodes)),
    }
    return Result(metrics, drawn)


def compared(shares: dict[str, np.ndarray], episodes: tuple[int, ...]) -> dict[str, float]:
    """The metrics of `report` from the shares (S, E) of all methods."""
    by_number = {
        (name, n): shares[name][:, i] for name in ("gail", "bc") for i, n in enumerate(episodes)
    }
    metrics = family("{}_share_{}", {name: x.mean() for name, x in by_number.items()})
    metrics |= family("{}_share_error_{}", {n: standard_error(x) for n, x in by_number.items()})
    metrics |= family("{}_least_share_{}", {name: x.min() for name, x in by_number.items()})
    constant = shares["constant"][:, 0]
    metrics["constant_share"] = float(constant.mean())
    metrics["constant_share_error"] = standard_error(constant)
    gaps = {n: by_number["gail", n] - by_number["bc", n] for n in episodes}
    if len(constant) > 1:
        above = {n: x.mean() / max(standard_error(x), 1e-6) for n, x in gaps.items()}
        metrics |= family("gail_above_bc_in_errors_{}", above)
    return metrics


def curves(setup: Imitators, results: dict, episodes: tuple[int, ...]) -> dict[str, Curves]:
    """Learning curves of GAIL by number of episodes, and those of the constant reward."""
    run, per_step = setup.acting.run, setup.gail.per_step["environment_steps"]
    returns_SET = results["gail"].curve
    chunks = 1 + np.arange(returns_SET.shape[-1])
    steps = per_step * np.minimum(run.chunk * chunks, run.steps)
    curve = lambda returns_ST: Curves({"return": returns_ST}, steps)
    by_number = {
        f"{n} demonstrated episode{'s' * (n > 1)}": curve(returns_SET[:, i])
        for i, n in enumerate(episodes)
    }
    return by_number | {"constant reward": curve(results["constant"].curve[:, 0])}


def draw_shares(shares: dict[str, np.ndarray], episodes: tuple[int, ...]):
    """Shares over demonstrated episodes: a point per seed, the mean and its standard error."""
    figure, (ax,) = figures.panels(width=6, height=4)
    labels = {"gail": "GAIL", "bc": "behaviour cloning", "constant": "constant reward"}
    for (name, label), color in zip(labels.items(), figures.COLORS):
        numbers = episodes if name != "constant" else episodes[:1]
        for n, share_S in zip(numbers, shares[name].T):
            ax.plot(np.full(len(share_S), n), share_S, ".", color=color, alpha=0.5)
        errors = [standard_error(x) for x in shares[name].T]
        mean = shares[name].mean(0)
        ax.errorbar(numbers, mean, errors, fmt="o-", color=color, capsize=3, label=label)
    ax.axhline(1, color="grey", ls=":", label="expert")
    ax.axhline(0, color="grey", ls="--", lw=0.8, label="random actions")
    ax.set(
        xscale="log",
        xlabel="demonstrated episodes",
        ylabel="share of the expert's gain over random actions",
    )
    ax.set_xticks(episodes, [str(n) for n in episodes])
    ax.minorticks_off()
    return figures.legends(figure)
