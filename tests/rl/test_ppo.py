"""PPO on probe environments with known values and best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.state import State, System
from panorax.rl import ppo
from panorax.rl.environments import probes
from panorax.rl.policies import gru, mlp
from panorax.rl.seeds import Curves, draw_curves, train_seed
from panorax.testing.tolerances import MODEL, NUMBER

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


def probe(name, **changes):
    """The config of PPO on a probe."""
    return dataclasses.replace(BASE, environment=probes.Config(name), **changes)


@pytest.mark.parametrize(
    "name, x, values",
    [("constant", [0], [1]), ("prediction", [-1, 1], [-1, 1]), ("time_limit", [1, -1], [1, 2])],
)
def test_the_critic_learns_the_known_values(trained, name, x, values):
    respond, _ = trained(probe(name))
    np.testing.assert_allclose(respond(x)[1], values, **MODEL)


def test_the_critic_discounts_a_later_reward(trained):
    respond, _ = trained(probe("discounting"))
    assert abs(float(respond([0])[1][0]) - 0.5) < 0.1


@pytest.mark.parametrize(
    "name, x, actions",
    [("action", [0], [1]), ("policy", [-1, 1], [0, 1]), ("combination", [0], [[1, 2]])],
)
def test_the_actor_learns_the_best_action(trained, name, x, actions):
    respond, mean_return = trained(probe(name, entropy_weight=0.01))
    modes = np.asarray(respond(x)[0]).reshape(np.shape(actions))
    np.testing.assert_array_equal(modes, actions)
    assert mean_return > 0.9


def test_the_actor_learns_the_best_continuous_action(trained):
    respond, _ = trained(probe("continuous"))
    np.testing.assert_allclose(np.asarray(respond([-1, 1])[0])[:, 0], [-0.5, 0.5], **LEARNED)


def test_only_a_policy_with_memory_solves_the_memory_probe(trained):
    _, without = trained(probe("memory"))
    _, recurrent = trained(probe("memory", policy=gru.Config(), length=16, discount=0.9))
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


def test_learning_curves_count_environment_steps_and_begin_after_an_episode():
    returns = np.array([[1.0, 2.0, 3.0], [0.0, 3.0, 4.0]])
    values = {"return": returns, "episodes": np.array([[1.0, 2, 3], [0, 1, 2]])}
    [ax] = draw_curves(Curves(values, np.array([1280, 2560, 3200])), 0.5).axes
    assert [list(line.get_xdata()) for line in ax.lines[:2]] == [[1280, 2560, 3200]] * 2
    drawn = np.array([line.get_ydata() for line in ax.lines[:2]])
    np.testing.assert_array_equal(drawn, [[np.nan, 2, 3], [np.nan, np.nan, 4]])
    assert ax.get_xlabel() == "environment steps" and len(ax.get_legend().get_texts()) == 3


def test_a_minibatch_needs_two_steps():
    with pytest.raises(ValueError, match="a minibatch of one step"):
        ppo.Config(n_envs=1, length=4, minibatches=4)


def test_minibatches_must_divide_the_sequences():
    with pytest.raises(ValueError, match="do not divide into 3 equal minibatches"):
        ppo.Config(n_envs=4, length=8, minibatches=3)


def test_sequences_must_divide_the_rollout():
    with pytest.raises(ValueError, match="8 steps does not divide into sequences of 16 steps"):
        ppo.Config(policy=gru.Config(span=16), length=8)


def test_the_report_has_the_largest_ratio_over_seeds_and_time():
    log_ratio = np.log([[1.1, 1.5], [1.2, 1.3]])
    curves = Curves({"largest_log_ratio": log_ratio, "kl": log_ratio / 10}, np.array([10, 20]))
    result = ppo.trust_region(curves, BASE)
    np.testing.assert_allclose(result.metrics["largest_ratio"], 1.5, **NUMBER)
    np.testing.assert_allclose(result.metrics["largest_kl"], np.log(1.5) / 10, **NUMBER)
    left, right = result.figures["trust_region.png"].axes
    assert len(left.lines) == 3 and len(right.lines) == 2
