"""PPO on probe environments with known values and best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.state import State, System
from panorax.core.step import scan_steps
from panorax.rl import ppo
from panorax.rl.environments import probes
from panorax.rl.environments.environment import Observation
from panorax.rl.policies import gru, mlp
from panorax.rl.seeds import draw_curves, train_seed
from panorax.testing.tolerances import MODEL

LEARNED = {"atol": 0.15}
"""error of a policy that is learned from samples"""

KEY = jax.random.key(0)
BASE = ppo.Config(
    policy=mlp.Config(hidden=(16,)),
    optim=AdamW(peak_lr=2e-2, schedule="linear", b2=0.999, eps=1e-5, clip=0.5),
    run=Run(steps=150, chunk=150),
    n_envs=16,
    length=8,
    epochs=4,
    discount=0.5,
    gae_lambda=0.95,
    eval_episodes=16,
)


def trained(name, **changes):
    """PPO after training on a probe: (mode, value) of views x, and the evaluated return."""
    cfg = dataclasses.replace(BASE, environment=probes.Config(name), **changes)
    system = ppo.system(cfg)

    @jax.jit
    def train(key):
        start = system.init_state(key)
        state, _ = scan_steps(system.train_step, start, (), key, cfg.run.steps)
        total, n = system.evaluate(state, (), key)["eval_return"]
        return state, total / n

    state, mean_return = train(KEY)
    envs = probes.environments(cfg.environment, cfg.n_envs)

    def respond(x):
        n = len(x)
        observation = Observation(jnp.asarray(x, jnp.float32).reshape(n, 1, 1))
        policy = mlp.policy(cfg.policy, envs.shape, envs.actions)
        _, pi, value = policy.apply(state.params, (), observation, jnp.zeros((n, 1), bool))
        return pi.mode()[:, 0], value[:, 0]

    return respond, float(mean_return)


@pytest.mark.parametrize(
    "name, x, values",
    [("constant", [0], [1]), ("prediction", [-1, 1], [-1, 1]), ("time_limit", [1, -1], [1, 2])],
)
def test_the_critic_learns_the_known_values(name, x, values):
    respond, _ = trained(name)
    np.testing.assert_allclose(respond(x)[1], values, **MODEL)


def test_the_critic_discounts_a_later_reward():
    respond, _ = trained("discounting")
    assert abs(float(respond([0])[1][0]) - 0.5) < 0.1


@pytest.mark.parametrize(
    "name, x, actions",
    [("action", [0], [1]), ("policy", [-1, 1], [0, 1]), ("combination", [0], [[1, 2]])],
)
def test_the_actor_learns_the_best_action(name, x, actions):
    respond, mean_return = trained(name, entropy_weight=0.01)
    modes = np.asarray(respond(x)[0]).reshape(np.shape(actions))
    np.testing.assert_array_equal(modes, actions)
    assert mean_return > 0.9


def test_the_actor_learns_the_best_continuous_action():
    respond, _ = trained("continuous")
    np.testing.assert_allclose(np.asarray(respond([-1, 1])[0])[:, 0], [-0.5, 0.5], **LEARNED)


def test_only_a_policy_with_memory_solves_the_memory_probe():
    _, without = trained("memory")
    _, recurrent = trained("memory", policy=gru.Config(), length=16, discount=0.9)
    assert without < 0.8 and recurrent > 0.95


def test_zero_seeds_disable_the_report():
    cfg = dataclasses.replace(BASE, environment=probes.Config("constant"), seeds=0)
    assert ppo.system(cfg).report(None, KEY).metrics == {}


def test_a_seed_of_the_report_trains_all_steps_of_the_run():
    counter = System(
        spec={},
        init_state=lambda key: State((), (), (), jnp.int32(0)),
        train_step=lambda state, batch, key: (
            state.replace(step=state.step + 1),
            {"loss": state.step},
        ),
        evaluate=lambda state, batch, key: {"eval_step": (state.step, 1)},
    )
    state, curves, evaluation = train_seed(counter, Run(steps=5, chunk=2), KEY)
    assert int(state.step) == int(evaluation["eval_step"]) == 5
    np.testing.assert_array_equal(curves["loss"], [0.5, 2.5, 4.0])


def test_learning_curves_count_environment_steps():
    curves = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])
    [ax] = draw_curves(curves, Run(steps=25, chunk=10), 128, 0.5).axes
    assert [list(line.get_xdata()) for line in ax.lines[:2]] == [[1280, 2560, 3200]] * 2
    assert ax.get_xlabel() == "environment steps" and len(ax.get_legend().get_texts()) == 3


def test_a_minibatch_needs_two_steps():
    with pytest.raises(ValueError, match="a minibatch of one step"):
        ppo.Config(n_envs=1, length=4, minibatches=4)


def test_minibatches_must_divide_the_sequences():
    with pytest.raises(ValueError, match="do not divide into 3 equal minibatches"):
        ppo.Config(n_envs=4, length=8, minibatches=3)
