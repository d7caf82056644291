"""RND: its advantages and its loss by definition, and what training does to the bonus."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps
from panorax.rl import on_policy, ppo, rnd
from panorax.rl.environments import deep_sea
from panorax.rl.exploration import novelty
from panorax.rl.on_policy import Batch
from panorax.rl.policies import mlp
from panorax.rl.seeds import Curves
from panorax.testing.tolerances import LAYER, MODEL, NUMBER

KEY = jax.random.key(0)
BASE = rnd.Config(
    environment=deep_sea.Config(4),
    policy=mlp.Config(hidden=(16,)),
    optim=AdamW(peak_lr=1e-2, schedule="constant", b2=0.999, eps=1e-5, clip=0.5),
    run=Run(steps=60, chunk=60),
    n_envs=8,
    length=8,
    epochs=4,
    minibatches=4,
    eval_episodes=16,
    seeds=0,
)


@pytest.fixture(scope="module")
def trained():
    """State before and after training on DeepSea of size 4, metrics, and the evaluated return."""
    system = rnd.system(BASE)
    before = system.init_state(KEY)

    @jax.jit
    def train(state):
        state, metrics = scan_steps(system.train_step, state, (), KEY, BASE.run.steps)
        total, n = system.evaluate(state, (), KEY)["eval_return"]
        return state, metrics, total / n

    return before, *train(before)


def test_training_lowers_the_error_leaves_the_random_network_and_reaches_the_best_return(trained):
    before, after, metrics, mean_return = trained
    target = before.extra.novelty.target
    chex.assert_trees_all_equal(after.extra.novelty.target, target)
    n = BASE.environment.size
    cells = jnp.eye(n * n).reshape(1, n * n, n, n)
    errors = [
        novelty.prediction_error(s.params["predictor"], target, cells).mean()
        for s in (before, after)
    ]
    assert errors[1] < 0.3 * errors[0]
    assert metrics["intrinsic_reward"] > 0 and metrics["episodes"] > 8
    np.testing.assert_allclose(mean_return, 0.99, **NUMBER)


def test_intrinsic_advantages_go_on_over_the_ends_of_episodes(trained):
    params = trained[0].params
    rng = np.random.default_rng(0)
    view, last = (rng.normal(size=s).astype(np.float32) for s in ((6, 3, 4, 4), (3, 4, 4)))
    reward = rng.normal(size=(6, 3)).astype(np.float32)
    value, advantage = rnd.intrinsic_advantages(
        params, *map(jnp.asarray, (view, last, reward)), BASE
    )
    (first, second) = (
        {name: np.asarray(x, np.float64) for name, x in layer.items()} for layer in params["critic"]
    )
    x = np.concatenate([view, last[None]]).reshape(7, 3, 16)
    V = (np.tanh(x @ first["w"] + first["b"]) @ second["w"] + second["b"])[..., 0]
    np.testing.assert_allclose(value, V[:-1], **LAYER)
    delta = reward + BASE.intrinsic_discount * V[1:] - V[:-1]
    rate = BASE.intrinsic_discount * BASE.gae_lambda
    expected = [sum(rate**k * delta[t + k] for k in range(6 - t)) for t in range(6)]
    np.testing.assert_allclose(advantage, expected, **MODEL)


def test_the_loss_is_that_of_ppo_with_both_advantages_and_two_more_errors(trained):
    before = trained[0]
    cfg = dataclasses.replace(BASE, entropy_weight=0.01, extrinsic_weight=2.0, intrinsic_weight=0.5)
    _, _, policy = on_policy.parts(cfg)
    rng = np.random.default_rng(1)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape).astype(np.float32))
    acting = Batch(
        observation=deep_sea.Observation(draw(6, 1, 4, 4)),
        first=jnp.ones((6, 1), bool),
        memory=(),
        action=jnp.asarray(rng.integers(0, 2, (6, 1)), jnp.int32),
        log_prob=-jnp.abs(draw(6, 1)),
        value=draw(6, 1),
        advantage=draw(6, 1),
    )
    batch = rnd.Examples(acting, draw(6, 1, 4, 4), draw(6, 1), draw(6, 1))
    target = before.extra.novelty.target
    loss, (_, metrics) = rnd.loss_fn(before.params, (), batch, None, target, policy, cfg)
    summed = acting.replace(advantage=2.0 * acting.advantage + 0.5 * batch.advantage)
    of_ppo = lambda batch: ppo.loss_fn(
        before.params["policy"], (), batch, None, policy, ppo.Config()
    )[1][1]
    of_policy, of_value = of_ppo(summed), of_ppo(acting)
    value = rnd.intrinsic_value(before.params, acting.observation.view)
    intrinsic = np.mean(np.square(value - (batch.value + batch.advantage)))
    error = novelty.prediction_error(before.params["predictor"], target, batch.view).mean()
    expected = of_policy["policy_loss"] - 0.01 * of_policy["entropy"] + error
    expected += 0.5 * (of_value["value_loss"] + intrinsic)
    np.testing.assert_allclose(loss, expected, **LAYER)
    np.testing.assert_allclose(metrics["distillation_loss"], error, **LAYER)


def test_a_rollout_of_the_report_is_one_episode_and_the_bonus_can_be_left_out(monkeypatch):
    trained = []

    def train(system, run, keys):
        trained.append((system.per_step, len(keys)))
        steps = np.array([96, 192])
        return Curves({"return": np.zeros((3, 2))}, steps), {}

    monkeypatch.setattr(rnd, "train_seeds", train)
    cfg = dataclasses.replace(BASE, seeds=3)
    returns, episodes = rnd.trained_returns(KEY, cfg, 6, with_bonus=False)
    assert trained == [({"environment_steps": 48}, 3)]
    np.testing.assert_array_equal(episodes, [16, 32])
    assert returns.shape == (3, 2)
