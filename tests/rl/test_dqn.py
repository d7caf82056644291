"""DQN and its parts on probe environments with known values and best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run, differences
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps
from panorax.rl import dqn
from panorax.rl.environments import probes
from panorax.rl.environments.environment import Observation
from panorax.rl.q_values.acting import action_values
from panorax.rl.q_values.networks import Categorical, q_network
from panorax.rl.replay.buffers import Prioritized
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import NUMBER

LEARNED = {"atol": 0.1}
"""error of values that are learned from samples"""

KEY = jax.random.key(0)
BASE = dqn.Config(
    torso=mlp.Config((16,)),
    optim=AdamW(peak_lr=1e-2, schedule="linear", b2=0.999),
    run=Run(steps=300, chunk=300),
    n_envs=8,
    batch=32,
    capacity=256,
    random_steps=64,
    discount=0.5,
    target_every=10,
    final_epsilon=0.5,
    eval_episodes=8,
)
RAINBOW = dataclasses.replace(
    BASE,
    returns=Categorical(atoms=31, low=-3.0, high=3.0),
    replay=Prioritized(),
    n_step=3,
    double=True,
    dueling=True,
)


def trained(cfg):
    """Q-values of views x after training, a function; the system's evaluation; the last state."""
    system = dqn.system(cfg)

    @jax.jit
    def train(key):
        start = system.init_state(key)
        state, _ = scan_steps(system.train_step, start, (), key, cfg.run.steps)
        return state, system.evaluate(state, (), key)

    state, totals = train(KEY)
    envs = probes.environments(cfg.environment, 1)
    network = q_network(cfg.torso, envs.shape, envs.actions, cfg.dueling, cfg.returns)
    view = lambda x: Observation(jnp.asarray(x, jnp.float32)[:, None])
    values = lambda x: np.asarray(action_values(state.params, view(x), network))
    return values, {name: float(total) / n for name, (total, n) in totals.items()}, state


@pytest.mark.parametrize(
    "name, x, values, cfg",
    [
        ("policy", [-1, 1], [[1, -1], [-1, 1]], BASE),
        ("time_limit", [1, -1], [[1, 1], [2, 2]], BASE),
        ("time_limit", [1, -1], [[1, 1], [2, 2]], RAINBOW),
        ("discounting", [0, 1], [[0.5, 0.5], [1, 1]], RAINBOW),
    ],
)
def test_the_network_learns_the_known_values(name, x, values, cfg):
    learned, evaluation, _ = trained(dataclasses.replace(cfg, environment=probes.Config(name)))
    np.testing.assert_allclose(learned(x), values, **LEARNED)
    assert evaluation["eval_return"] == 1.0
    discounted = evaluation["eval_value"] - evaluation["eval_overestimation"]
    np.testing.assert_allclose(discounted, 0.5 if name == "discounting" else 1.0, **NUMBER)


def test_a_running_mean_is_a_target_network_too():
    polyak = {"target_every": 1, "target_rate": 0.1, "environment": probes.Config("time_limit")}
    learned, _, _ = trained(dataclasses.replace(BASE, **polyak))
    np.testing.assert_allclose(learned([1, -1]), [[1, 1], [2, 2]], **LEARNED)


def test_the_target_network_is_copied_every_few_updates():
    cfg = dataclasses.replace(
        BASE, environment=probes.Config("constant"), updates=2, target_every=6
    )
    system = dqn.system(cfg)
    step = jax.jit(system.train_step)
    state = jax.jit(system.init_state)(KEY)
    same = []
    for i in range(6):
        before = state.extra.target
        state, _ = step(state, (), jax.random.fold_in(KEY, i))
        pairs = [
            [np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, pair), strict=True)]
            for pair in ((before, state.extra.target), (state.params, state.extra.target))
        ]
        same.append(tuple(map(all, pairs)))
    kept, copied = (True, False), (False, True)
    assert same == [kept, kept, copied] * 2


def test_a_part_is_removed_alone():
    cfg = dataclasses.replace(RAINBOW, torso=mlp.Config((16,), layer_norm=True), seeds=3)
    changed = lambda part: differences(dqn.without(cfg, part), cfg).keys() - {"seeds"}
    assert changed("replay") == {"capacity"} and changed("double") == {"double"}
    assert dqn.without(cfg, "replay").capacity == 32  # 4 rollouts of 8 steps, a batch of 32
    assert changed("target") == {"target-every"} and changed("norm") == {"torso.layer-norm"}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"capacity": 60}, "60 transitions is no multiple of a rollout of 8 environments x 1"),
        ({"capacity": 16}, "16 transitions is smaller than a batch of 32"),
        ({"n_step": 64}, r"than a batch of 32 or than 1 \+ 64 - 1 steps in 8 environments"),
        ({"capacity": 32, "length": 2, "n_step": 4}, r"than 2 \+ 4 - 1 steps in 8 environments"),
        ({"discount": 1.0}, "discount must be at least 0 and below 1, got 1.0"),
    ],
)
def test_bad_input_is_one_line(changes, message):
    with pytest.raises(UserError, match=message) as error:
        dataclasses.replace(BASE, **changes)
    assert "\n" not in str(error.value)


def test_actions_are_discrete():
    with pytest.raises(UserError, match="finite number of actions; this environment has Box"):
        dqn.system(dataclasses.replace(BASE, environment=probes.Config("continuous")))
