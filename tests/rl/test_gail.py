"""GAIL: the best discriminator of a table, the penalty, and imitation on a probe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.ranges import ConfigError
from panorax.core.state import Result
from panorax.core.step import scan_steps
from panorax.rl import gail, moments
from panorax.rl.environments import probes
from panorax.rl.environments.environment import Box, Discrete
from panorax.rl.imitation import report
from panorax.rl.ppo import Config as PPO
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER, NUMBER

KEY = jax.random.key(0)
LEARNER = PPO(
    environment=probes.Config("policy"),
    optim=AdamW(peak_lr=1e-2, schedule="constant"),
    n_envs=16,
    length=8,
    epochs=2,
    run=Run(steps=1, chunk=1),
    eval_episodes=16,
    seeds=0,
)
CFG = gail.Config(
    run=Run(steps=30, chunk=10),
    trajectories=4,
    stride=1,
    discriminator=mlp.Config((16,), activation="tanh"),
    optim=AdamW(peak_lr=1e-2, schedule="constant"),
    compared=(1, 2),
    cloning_updates=50,
    cloning_rate=1e-2,
    seeds=0,
)


def table(params, pair_BI):
    """d as a number for each of the pairs, which are one-hot."""
    return pair_BI @ params


def test_the_best_discriminator_is_the_log_ratio_of_visits_and_gives_the_divergence():
    policy, expert = np.array([1, 3, 4]), np.array([5, 2, 1])
    rows = lambda counts: jnp.asarray(np.repeat(np.eye(3), counts, 0), jnp.float32)
    batch = {"policy": rows(policy), "expert": rows(expert), "weight": jnp.ones(8)}
    best = jnp.asarray(np.log(expert / policy), jnp.float32)
    loss = lambda d: gail.loss_fn(d, (), batch, KEY, table, 0.0)[0]
    value, gradient = jax.value_and_grad(loss)(best)
    p, q = policy / 8, expert / 8
    kl = lambda a, b: np.sum(a * np.log(a / b))
    divergence = (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2
    np.testing.assert_allclose(value, 2 * np.log(2) - 2 * divergence, **NUMBER)
    np.testing.assert_allclose(gradient, 0, **NUMBER)
    assert loss(best + 0.1 * np.float32([1, -1, 0])) > value


def test_the_loss_and_its_weights_by_numpy():
    rng = np.random.default_rng(0)
    w, policy, expert = (rng.normal(size=shape).astype(np.float32) for shape in (3, (4, 3), (5, 3)))
    batch = {"policy": policy, "expert": expert, "weight": np.float32([1, 1, 0, 1, 0])}
    loss, (_, metrics) = gail.loss_fn(jnp.asarray(w), (), batch, KEY, table, 0.5)
    D = lambda x: 1 / (1 + np.exp(-x @ w))
    kept = expert[[0, 1, 3]]
    plain = -np.log(D(kept)).mean() - np.log(1 - D(policy)).mean()
    np.testing.assert_allclose(loss, plain + 0.5 / 2 * 2 * w @ w, **LAYER)
    np.testing.assert_allclose(metrics["discriminator_loss"], plain, **LAYER)
    right = ((D(policy) < 0.5).mean() + (D(kept) > 0.5).mean()) / 2
    np.testing.assert_allclose(metrics["accuracy"], right, **NUMBER)


def test_pairs_have_standardised_views_and_one_hot_or_continuous_actions():
    observed = moments.merge(moments.initial((2,)), jnp.array([[0.0, 1.0], [2.0, 1.0]]))
    view = jnp.array([[1.0, 1.0]])
    np.testing.assert_allclose(
        gail.pairs(view, jnp.array([2]), observed, Discrete(3)), [[0, 0, 0, 0, 1]], **NUMBER
    )
    box = gail.pairs(view + 1, jnp.array([[0.3]]), observed, Box((-1.0,), (1.0,)))
    np.testing.assert_allclose(box[0, [0, 2]], [1, 0.3], **NUMBER)


@pytest.fixture
def teacher(monkeypatch):
    """The expert of the probe: action 1 for the view 1, action 0 for -1."""

    def act(memory, observation, first, key):
        return memory, (observation.view[:, 0] > 0).astype(jnp.int32)

    monkeypatch.setattr(gail, "algorithm", lambda name: LEARNER)
    monkeypatch.setattr(gail, "expert", lambda cfg: act)
    monkeypatch.setattr(report.experts, "expert", lambda cfg: act)


def test_the_policy_imitates_an_expert_whose_rewards_it_never_sees(teacher):
    system = gail.system(CFG)
    batch = jax.tree.map(lambda x: jnp.stack([x] * CFG.run.steps), system.batches(0))
    assert {name: x.shape[1:] for name, x in batch.items()} == {
        name: x.shape for name, x in system.batch.items()
    }

    @jax.jit
    def train(key):
        state = system.init_state(key)
        state, metrics = scan_steps(system.train_step, state, batch, key, CFG.run.steps)
        total, n = system.evaluate(state, (), key)["eval_return"]
        return total / n, metrics

    mean_return, metrics = train(KEY)
    assert mean_return == 1 and {"loss", "discriminator_loss", "reward"} <= metrics.keys()


def test_the_report_compares_shares_of_the_expert(teacher, monkeypatch):
    def train_seed(system, run, key):
        curves = {"return": jnp.arange(3.0)}
        return (), curves, {"eval_return": jnp.float32(0.5)}

    monkeypatch.setattr(report, "train_seed", train_seed)
    cfg = gail.dataclasses.replace(CFG, seeds=2)
    result: Result = gail.system(cfg).report((), KEY)
    assert result.metrics["expert_return"] == 1 and "methods.png" in result.figures
    chance = result.metrics["random_return"]
    assert result.metrics["gail_share_2"] == pytest.approx((0.5 - chance) / (1 - chance))
    assert result.metrics["bc_share_2"] <= 1 and result.metrics["bc_least_share_1"] <= 1


def test_numbers_of_episodes_that_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match="each of compared must divide the largest"):
        gail.dataclasses.replace(CFG, compared=(3, 4))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"learner": "panorax.configs.rl.a2c:smoke"}, "the learner is PPO, and .*a2c"),
        ({"stride": 501}, "a stride of 501 is longer than an episode, 500"),
    ],
)
def test_a_learner_and_a_stride_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        gail.system(gail.Config(**options))
