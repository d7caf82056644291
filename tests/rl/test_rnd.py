"""RND: its reward, its advantages by definition, and a probe."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps
from panorax.rl import moments, novelty, on_policy, rnd
from panorax.rl.environments import deep_sea, probes
from panorax.rl.policies import mlp
from panorax.rl.rollout import rollout
from panorax.testing.tolerances import LAYER, MODEL

KEY = jax.random.key(0)
BASE = rnd.Config(
    environment=deep_sea.Config(4),
    policy=mlp.Config(hidden=(16,)),
    optim=AdamW(peak_lr=1e-2, schedule="constant", b2=0.999, eps=1e-5, clip=0.5),
    run=Run(steps=100, chunk=100),
    n_envs=8,
    length=8,
    eval_episodes=16,
    seeds=0,
)


@pytest.fixture(scope="module")
def played():
    """State and trajectory of a rollout of the first policy, and what RND makes of it."""
    envs, _, policy = on_policy.parts(BASE)
    state = rnd.system(BASE).init_state(KEY)

    @jax.jit
    def play(state):
        act = on_policy.sampler(state.replace(params=state.params["policy"]), policy, BASE)
        running, trajectory = rollout(act, envs, state.extra.running, KEY, BASE.length)
        last, next_view = running.observation.view, trajectory.next_observation.view
        view = moments.standardize(next_view, moments.merge(state.extra.observed, next_view), 5.0)
        extra, reward = novelty.rewards(
            state.extra.novelty, state.params["predictor"], view, BASE.intrinsic_discount
        )
        streams = rnd.intrinsic_advantages(state.params, trajectory, last, reward, BASE)
        return trajectory, last, extra, view, reward, streams

    return state, *jax.device_get(play(state))


def network(params, x, activation):
    """A perceptron in float64."""
    for i, layer in enumerate(params):
        w, b = (np.asarray(layer[name], np.float64) for name in "wb")
        x = x @ w + b
        x = activation(x) if i < len(params) - 1 else x
    return x


def test_reward_is_the_prediction_error_over_the_deviation_of_its_returns(played):
    state, trajectory, _, extra, view, reward, _ = played
    next_view = trajectory.next_observation.view.astype(np.float64)
    flat = next_view.reshape(-1, 4, 4)
    z = np.clip((next_view - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-8), -5, 5)
    np.testing.assert_allclose(view, z, **MODEL)
    relu = lambda x: np.maximum(x, 0)
    g, f = (
        network(jax.device_get(p), z.reshape(8, 8, 16), relu)
        for p in (state.params["predictor"], state.extra.novelty.target)
    )
    error, total, returns = ((g - f) ** 2).mean(-1), 0, []
    for row in error:
        total = BASE.intrinsic_discount * total + row
        returns.append(total)
    np.testing.assert_allclose(extra.past, total, **MODEL)
    np.testing.assert_allclose(reward, error / np.std(returns), **MODEL)


def test_intrinsic_advantages_go_on_over_the_ends_of_episodes(played):
    state, trajectory, last, _, _, reward, (value, advantage) = played
    assert trajectory.terminated[:-1].any()
    views = np.concatenate([trajectory.observation.view, last[None]])
    V = network(jax.device_get(state.params["critic"]), views.reshape(9, 8, 16), np.tanh)[..., 0]
    np.testing.assert_allclose(value, V[:-1], **LAYER)
    delta = reward + BASE.intrinsic_discount * V[1:] - V[:-1]
    rate = BASE.intrinsic_discount * BASE.gae_lambda
    expected = [sum(rate**k * delta[t + k] for k in range(8 - t)) for t in range(8)]
    np.testing.assert_allclose(advantage, expected, **MODEL)


def test_a_rollout_is_novel_until_the_predictor_is_trained_on_it(played):
    state, trajectory, *_ = played
    system = rnd.system(BASE)
    train = jax.jit(lambda s: scan_steps(system.train_step, s, (), KEY, 30)[0])
    after = train(state)
    target = state.extra.novelty.target
    chex.assert_trees_all_equal(after.extra.novelty.target, target)
    before, trained = (
        novelty.prediction_error(s.params["predictor"], target, played[4]) for s in (state, after)
    )
    assert trained.mean() < 0.2 * before.mean()


def test_learns_the_best_actions_of_a_probe_without_a_bonus(trained_policy):
    cfg = dataclasses.replace(
        BASE, environment=probes.Config("policy"), intrinsic_weight=0.0, discount=0.5
    )
    assert trained_policy(cfg) > 0.9


@pytest.fixture
def trained_policy():
    """The evaluated return after training."""

    def train(cfg):
        system = rnd.system(cfg)

        @jax.jit
        def whole(key):
            state, _ = scan_steps(system.train_step, system.init_state(key), (), key, cfg.run.steps)
            total, n = system.evaluate(state, (), key)["eval_return"]
            return total / n

        return float(whole(KEY))

    return train


def test_the_share_of_solved_seeds_and_the_exponent():
    bonus = {4: np.array([10.0, 20.0, 30.0]), 8: np.array([80.0, 160.0, np.inf])}
    without = {4: np.array([np.inf, 5.0, np.inf]), 8: np.full(3, np.inf)}
    metrics = rnd.solving_metrics(bonus, without)
    assert metrics == {
        "solved_at_size_4": 1.0,
        "solved_at_size_8": pytest.approx(2 / 3),
        "solved_without_bonus_at_size_4": pytest.approx(1 / 3),
        "solved_without_bonus_at_size_8": 0.0,
        "exponent": pytest.approx(3.0),
    }
    [ax] = rnd.draw_steps(bonus, without).axes
    assert len(ax.lines) == 3


def test_minibatches_must_divide_the_steps():
    with pytest.raises(ValueError, match="8 environments x 8 steps do not divide into 3 equal"):
        dataclasses.replace(BASE, minibatches=3)
