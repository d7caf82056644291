"""GAIL beside behaviour cloning, over numbers of demonstrated episodes and seeds in parallel."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result, System
from panorax.core.study import family
from panorax.rl.environments.environment import Environments
from panorax.rl.imitation import cloning, experts
from panorax.rl.imitation.experts import Labels
from panorax.rl.on_policy import Rollouts
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import first_episodes
from panorax.rl.seeds import Curves, random_actions, train_seed


def report(
    imitation: System,
    policy: Policy,
    held_out: Environments,
    make: Callable,
    learner: Rollouts,
    cfg,
    key: jax.Array,
) -> Result:
    """Trains GAIL and behaviour cloning on each number of episodes and with the same seeds.

    imitation: GAIL as a System.  policy: its policy.  held_out: environments of evaluations.
    make: make(n) -> environments of n demonstrated episodes.  learner: config that trains the
    expert.  cfg: config of GAIL.

    Metrics: `expert_return`, `random_return`; `<method>_share_<n>`, the mean over seeds of
    (return - random) / (expert - random) from n episodes, and `<method>_least_share_<n>`.
    Fewer episodes are repeated up to the largest number, which changes no mean.
    """
    key_expert, key_random, key_runs = jax.random.split(key, 3)
    teacher, most = experts.expert(learner), max(cfg.compared)
    returns_of = lambda act, key: first_episodes(act, held_out, (), key)[0]
    expert_return = float(jnp.mean(jax.jit(functools.partial(returns_of, teacher))(key_expert)))
    chance = jax.jit(functools.partial(returns_of, random_actions(held_out)))(key_random)
    random_return = float(jnp.mean(chance))

    def runs(key):
        """GAIL's curves and returns, and returns of cloning, each by number of episodes."""
        key_data, key_clone, key_train, key_eval = jax.random.split(key, 4)
        every = experts.demonstrations(teacher, make(most), (), key_data, cfg.stride)
        rows = len(every.weight) // most
        repeated = lambda n: jax.tree.map(
            lambda x: jnp.tile(x[: n * rows], (most // n,) + (1,) * (x.ndim - 1)), every
        )
        sets = [repeated(n) for n in cfg.compared]
        labels_n = jax.tree.map(lambda *xs: jnp.stack(xs), *sets)

        def one(labels: Labels):
            def step(state, batch, key):
                key_rows, key_step = jax.random.split(key)
                rows = jax.random.randint(key_rows, (cfg.batch,), 0, len(labels.weight))
                drawn = jax.tree.map(lambda x: x[rows], labels)
                return imitation.train_step(state, drawn._asdict(), key_step)

            method = dataclasses.replace(imitation, train_step=step)
            _, curves, evaluation = train_seed(method, cfg.run, key_train)
            clone = cloning.fit(policy, labels, key_clone, cfg.cloning_updates, cfg.cloning_rate)
            cloned = jnp.mean(returns_of(cloning.mode(clone, policy), key_eval))
            return curves, evaluation["eval_return"], cloned

        return jax.vmap(one)(labels_n)

    keys = jax.random.split(key_runs, cfg.seeds)
    values, gail, cloned = jax.device_get(jax.jit(jax.vmap(runs))(keys))
    share = lambda x: (x - random_return) / (expert_return - random_return)
    shares = {"gail": share(gail), "bc": share(cloned)}
    by = lambda reduce: {
        (method, n): reduce(x_SN[:, i])
        for method, x_SN in shares.items()
        for i, n in enumerate(cfg.compared)
    }
    metrics = {"expert_return": expert_return, "random_return": random_return}
    metrics |= family("{}_share_{}", by(np.mean)) | family("{}_least_share_{}", by(np.min))
    steps = cfg.run.chunk * np.arange(1, values["return"].shape[-1] + 1)
    steps = imitation.per_step["environment_steps"] * np.minimum(steps, cfg.run.steps)
    curves = {
        n: Curves({"return": values["return"][:, i]}, steps) for i, n in enumerate(cfg.compared)
    }
    return Result(metrics, {"methods.png": draw_methods(shares, curves, expert_return, cfg)})


def draw_methods(shares: dict, curves: dict[int, Curves], expert_return: float, cfg):
    """Shares of the expert's return over demonstrations, and returns of GAIL over steps."""
    figure, (ax, curve_ax) = figures.panels(columns=2)
    for (method, x_SN), label in zip(shares.items(), ("GAIL", "behaviour cloning")):
        (line,) = ax.plot(cfg.compared, x_SN.mean(0), "o-", label=label)
        for n, x in zip(cfg.compared, x_SN.T):
            ax.plot(np.full(len(x), n), x, ".", ms=4, color=line.get_color())
    ax.axhline(1, color="grey", ls=":", label="expert")
    ax.set(xscale="log", xlabel="demonstrated episodes", ylabel="share of the expert's return")
    ax.set_xticks(cfg.compared, [str(n) for n in cfg.compared])
    for n, curve in curves.items():
        values = curve.values["return"]
        curve_ax.plot(curve.steps, values.mean(0), label=f"GAIL, {n} episodes")
    curve_ax.axhline(expert_return, color="grey", ls=":", label="expert")
    curve_ax.set(xlabel="environment steps", ylabel="mean return of the last episodes")
    curve_ax.locator_params(axis="x", nbins=5)
    return figures.legends(figure)
